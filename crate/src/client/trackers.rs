//! Trackers in the client: who announces where, how many connections are wanted, and what the signaling
//! machine asks for.

use super::{Client, Route};
use crate::contract::{ClosedReason, Config, Event, Output, TrackerSnapshot};
use crate::signaling::{MAX_TRACKERS, Signaling, SignalingAction, SignalingConfig, SignalingEvent};
use crate::types::{ConnectionId, InfoHash, PeerId, TrackerId};

pub(super) fn signaling(config: &Config, peer_id: PeerId, seed: [u8; 32]) -> Signaling {
    let config = SignalingConfig {
        max_connections: config.limits.max_connections + config.limits.max_pending_connections,
        ..SignalingConfig::new(peer_id)
    };
    Signaling::new(config, seed)
}

/// What the signaling machine was last told of a torrent.
#[derive(Debug, Default)]
pub(super) struct Told {
    wanted: Option<usize>,
    was_incomplete: bool,
}

impl Client {
    /// A torrent announces to these trackers.
    pub(super) fn follow_trackers(&mut self, info_hash: InfoHash, urls: &[String]) {
        let mut trackers = Vec::new();
        for url in urls {
            // UDP and HTTP trackers stand in most torrents; a WebRTC peer cannot use them.
            let Ok(tracker) = self.signaling.add_tracker(url) else {
                continue;
            };
            self.tracker_status
                .entry(tracker)
                .or_insert_with(|| TrackerSnapshot {
                    url: url.clone(),
                    connected: false,
                    error: None,
                });
            if !trackers.contains(&tracker) {
                trackers.push(tracker);
            }
        }
        // Ids only count up: the lowest are of trackers that gave way to others long ago.
        while self.tracker_status.len() > MAX_TRACKERS {
            self.tracker_status.pop_first();
        }
        if trackers.is_empty() && !self.announced.contains(&info_hash) {
            self.out.event(Event::Warning {
                info_hash: Some(info_hash),
                text: "no tracker with a ws:// or wss:// address is known, so no peers can be found: add one"
                    .to_owned(),
            });
        }
        self.announced.insert(info_hash);
        self.tell_progress(info_hash);
        let started = self
            .signaling
            .announce_start(self.now, info_hash, &trackers);
        if let Err(error) = started {
            self.out.event(Event::Warning {
                info_hash: Some(info_hash),
                text: format!("it is not announced: {error}"),
            });
        }
        self.touched.insert(info_hash);
    }

    pub(super) fn stop_announcing(&mut self, info_hash: InfoHash) {
        self.told.remove(&info_hash);
        if self.announced.remove(&info_hash) {
            self.signaling.announce_stop(self.now, info_hash);
        }
    }

    pub(super) fn note_tracker(
        &mut self,
        tracker: TrackerId,
        connected: bool,
        error: Option<String>,
    ) {
        if let Some(status) = self.tracker_status.get_mut(&tracker) {
            status.connected = connected;
            if connected || error.is_some() {
                status.error = error;
            }
        }
    }

    fn tell_progress(&mut self, info_hash: InfoHash) {
        if let Some(session) = self.sessions.get(&info_hash) {
            let (uploaded, downloaded, left) = session.progress();
            self.signaling
                .set_progress(info_hash, uploaded, downloaded, left);
        }
    }

    /// Tells the signaling machine how many connections are wanted, and how far each torrent is.
    pub(super) fn announce(&mut self) {
        // Those under way are the signaling machine's to count.
        let room = (self.config.limits.max_connections).saturating_sub(self.open_connections());
        for info_hash in self.announced.clone() {
            let Some(session) = self.sessions.get(&info_hash) else {
                continue;
            };
            let wanted = if session.wants_peers() {
                self.config
                    .limits
                    .max_connections_per_torrent
                    .saturating_sub(session.peers().len())
                    .min(room)
            } else {
                0
            };
            let (left, seed) = (session.progress().2, session.is_seed());
            self.tell_progress(info_hash);
            let told = self.told.entry(info_hash).or_default();
            if told.wanted != Some(wanted) {
                told.wanted = Some(wanted);
                self.signaling.set_wanted(self.now, info_hash, wanted);
            }
            // `completed` is for who saw it incomplete (BEP 3).
            told.was_incomplete |= left.is_some_and(|l| l > 0);
            if seed && core::mem::take(&mut told.was_incomplete) {
                self.signaling.completed(self.now, info_hash);
            }
        }
    }

    pub(super) fn drain_signaling(&mut self) -> bool {
        let mut busy = false;
        while let Some(action) = self.signaling.poll() {
            busy = true;
            match action {
                SignalingAction::ConnectTracker { tracker, url } => {
                    self.out.push(Output::ConnectTracker { tracker, url });
                }
                SignalingAction::SendTracker { tracker, text } => {
                    self.out.push(Output::SendTracker { tracker, text });
                }
                SignalingAction::CloseTracker { tracker } => {
                    self.out.push(Output::CloseTracker { tracker });
                }
                SignalingAction::CreateOffer {
                    connection,
                    info_hash,
                } => {
                    self.route(connection, info_hash);
                    self.out.push(Output::CreateOffer { connection });
                }
                SignalingAction::AcceptOffer {
                    connection,
                    info_hash,
                    sdp,
                    ..
                } => {
                    self.route(connection, info_hash);
                    self.out.push(Output::AcceptOffer { connection, sdp });
                }
                SignalingAction::ApplyAnswer {
                    connection, sdp, ..
                } => {
                    self.out.push(Output::ApplyAnswer { connection, sdp });
                }
                SignalingAction::DropConnection { connection } => {
                    self.routes.remove(&connection);
                    self.out.push(Output::CloseConnection {
                        connection,
                        reason: ClosedReason::TimedOut("nobody answered the offer"),
                    });
                }
                SignalingAction::Event(event) => self.signaling_event(event),
            }
        }
        busy
    }

    fn route(&mut self, connection: ConnectionId, info_hash: InfoHash) {
        let open = false;
        self.routes.insert(connection, Route { info_hash, open });
    }

    fn signaling_event(&mut self, event: SignalingEvent) {
        match event {
            SignalingEvent::Announced {
                tracker,
                info_hash,
                seeders,
                leechers,
            } => {
                self.note_tracker(tracker, true, None);
                if let Some(session) = self.sessions.get_mut(&info_hash)
                    && let (Some(seeders), Some(leechers)) = (seeders, leechers)
                {
                    let peers = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
                    session.set_swarm(peers(seeders), peers(leechers));
                }
            }
            SignalingEvent::Warning {
                tracker, message, ..
            } => self.note_tracker(tracker, true, Some(message)),
            SignalingEvent::Refused {
                tracker, reason, ..
            } => self.note_tracker(tracker, true, Some(reason)),
            SignalingEvent::Unreachable {
                tracker, reason, ..
            } => self.note_tracker(tracker, false, Some(reason)),
        }
    }
}
