//! stub
#![allow(missing_docs, unused_variables)]
use crate::time::Timestamp;
use crate::types::*;
#[derive(Debug)]
pub struct Signaling;
pub struct SignalingConfig {
    pub peer_id: PeerId,
    pub max_connections: usize,
    pub max_pending: usize,
}
impl SignalingConfig {
    pub fn new(peer_id: PeerId) -> Self {
        Self {
            peer_id,
            max_connections: 0,
            max_pending: 0,
        }
    }
}
#[derive(Debug)]
pub enum SignalingAction {
    ConnectTracker {
        tracker: TrackerId,
        url: String,
    },
    SendTracker {
        tracker: TrackerId,
        text: String,
    },
    CloseTracker {
        tracker: TrackerId,
    },
    CreateOffer {
        connection: ConnectionId,
        info_hash: InfoHash,
    },
    AcceptOffer {
        connection: ConnectionId,
        info_hash: InfoHash,
        sdp: String,
        peer_id: PeerId,
    },
    ApplyAnswer {
        connection: ConnectionId,
        sdp: String,
    },
    DropConnection {
        connection: ConnectionId,
    },
    Event(SignalingEvent),
}
#[derive(Debug)]
pub enum SignalingEvent {
    Swarm {
        tracker: TrackerId,
        info_hash: InfoHash,
        seeders: u32,
        leechers: u32,
    },
    TrackerError {
        tracker: TrackerId,
        text: String,
    },
}
impl Signaling {
    pub fn new(c: SignalingConfig, seed: [u8; 32]) -> Self {
        Signaling
    }
    pub fn add_tracker(&mut self, url: &str) -> Result<TrackerId, ()> {
        Err(())
    }
    pub fn announce_start(&mut self, now: Timestamp, h: InfoHash, t: &[TrackerId]) {}
    pub fn announce_stop(&mut self, now: Timestamp, h: InfoHash) {}
    pub fn set_progress(&mut self, h: InfoHash, up: u64, down: u64, left: Option<u64>) {}
    pub fn set_wanted(&mut self, h: InfoHash, n: usize) {}
    pub fn completed(&mut self, now: Timestamp, h: InfoHash) {}
    pub fn tracker_connected(&mut self, now: Timestamp, t: TrackerId) {}
    pub fn tracker_message(&mut self, now: Timestamp, t: TrackerId, b: &[u8]) {}
    pub fn tracker_closed(&mut self, now: Timestamp, t: TrackerId, r: &str) {}
    pub fn offer_ready(&mut self, now: Timestamp, c: ConnectionId, sdp: String) {}
    pub fn answer_ready(&mut self, now: Timestamp, c: ConnectionId, sdp: String) {}
    pub fn connection_established(&mut self, now: Timestamp, c: ConnectionId) {}
    pub fn connection_closed(&mut self, now: Timestamp, c: ConnectionId) {}
    pub fn connection_failed(&mut self, now: Timestamp, c: ConnectionId) {}
    pub fn online(&mut self, now: Timestamp) {}
    pub fn offline(&mut self, now: Timestamp) {}
    pub fn tick(&mut self, now: Timestamp) {}
    pub fn poll(&mut self) -> Option<SignalingAction> {
        None
    }
    pub fn next_timeout(&self) -> Timestamp {
        Timestamp::NEVER
    }
}
