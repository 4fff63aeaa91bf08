//! STUN and TURN servers that trackers name.
//!
//! Owns the choice of those that the edge uses: only trackers that the page or the operator configured are listened to
//! ([`super::SignalingConfig::ice_trackers`]), since a list of servers makes a browser send packets to whatever
//! addresses are in it. Nothing outlives its time.

use super::link::LinkState;
use super::{MAX_LEARNED_SERVERS, Signaling, SignalingAction};
use crate::metainfo::TrackerUrl;
use crate::time::{Duration, Timestamp};
use crate::types::TrackerId;
use piecework_signaling_protocol::{IceServer, IceServers};

/// A tenth of the time is left alone: a connection is still to be made with the credentials, and clocks differ.
const SPARED: f64 = 0.1;

/// An offer made before the first servers were known may be answered for this long. Nobody behind a NAT may be able to.
const OLD_OFFER_LIFETIME: Duration = Duration::from_secs(15);

/// The servers that one tracker named last.
pub(super) struct Learned {
    servers: Vec<IceServer>,
    until: Timestamp,
}

impl Signaling {
    /// A tracker named servers.
    pub(super) fn learn_ice(&mut self, now: Timestamp, id: TrackerId, named: IceServers) {
        let Some(tracker) = self.trackers.get(&id) else {
            return;
        };
        let is_listened_to =
            |url: &String| TrackerUrl::parse(url).is_ok_and(|configured| configured == tracker.url);
        if !self.config.ice_trackers.iter().any(is_listened_to) {
            return;
        }
        let until = now + Duration::from_secs(named.ttl_secs).mul_f64(1.0 - SPARED);
        let servers = named.servers;
        let is_first = self.ice.is_empty();
        self.ice.insert(id, Learned { servers, until });
        self.tell_ice();
        if is_first {
            self.retire_offers(now);
        }
    }

    /// Forgets servers whose time is over.
    pub(super) fn expire_ice(&mut self, now: Timestamp) {
        let before = self.ice.len();
        self.ice.retain(|_, learned| learned.until > now);
        if self.ice.len() < before {
            self.tell_ice();
        }
    }

    /// When the next servers are over.
    pub(super) fn ice_wake_at(&self) -> Option<Timestamp> {
        self.ice.values().map(|learned| learned.until).min()
    }

    fn tell_ice(&mut self) {
        let all = self.ice.values().flat_map(|learned| &learned.servers);
        let servers = all.take(MAX_LEARNED_SERVERS).cloned().collect();
        self.actions
            .push_back(SignalingAction::UseIceServers { servers });
    }

    /// Offers made without servers give way to others: at once those that nobody has seen.
    fn retire_offers(&mut self, now: Timestamp) {
        self.ice_generation = self.ice_generation.wrapping_add(1);
        for link in self.links.values_mut() {
            if let LinkState::Offered { sent, expires, .. } = &mut link.state {
                let until = sent.map_or(now, |sent| sent.at + OLD_OFFER_LIFETIME);
                *expires = until.min(*expires);
            }
        }
        for torrent in self.torrents.values_mut() {
            if torrent.wanted > 0 && !torrent.is_seed() {
                torrent.hurry(now);
            }
        }
    }

    /// How long an offer that was asked for in this generation is good for.
    pub(super) fn offer_lifetime(&self, generation: u32) -> Duration {
        match generation == self.ice_generation {
            true => self.config.offer_lifetime,
            false => OLD_OFFER_LIFETIME,
        }
    }
}
