//! One announced torrent: its announced numbers, and the times of its announces at each tracker.

use crate::sorted::Map;
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, InfoHash, PeerId, TrackerId};
use piecework_signaling_protocol as protocol;
use protocol::{Announce, AnnounceReply, Event, Offer, Request};

/// Bounds of a tracker's interval.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(3600));

/// The interval while the tracker has not told one.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(120);

/// Early announces keep at least this distance, or the tracker's own if that is longer. It doubles
/// with each early announce until something changes.
const MIN_EARLY_INTERVAL: Duration = Duration::from_secs(5);

/// An announce has one event: a download that was complete before the first announce is reported after it.
const NEXT_EVENT_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Torrent {
    /// Its announces go out under this id, except where [`Membership::other_id`] has another.
    pub(super) peer_id: PeerId,
    pub(super) trackers: Map<TrackerId, Membership>,
    pub(super) uploaded: u64,
    pub(super) downloaded: u64,
    pub(super) left: Option<u64>,
    pub(super) wanted: usize,
    /// See [`super::Signaling::set_starving`].
    pub(super) starving: bool,
    /// Ids of peers that came while they were connected already, and the connection of each: a peer that a tracker
    /// refused its id comes under another.
    pub(super) doubles: Map<PeerId, ConnectionId>,
}

/// A torrent at one tracker.
pub(super) struct Membership {
    /// The tracker's present socket has seen an announce, the last one under this id.
    pub(super) joined: Option<PeerId>,
    /// Somebody else has the torrent's id there. No other tracker gets this new one, or a stranger could make it change
    /// for ever.
    pub(super) other_id: Option<PeerId>,
    pub(super) completed_due: bool,
    /// The next announce.
    pub(super) next_at: Timestamp,
    /// The next announce if there are offers to send.
    pub(super) early_at: Timestamp,
    /// The announce that is due waits this long for offers.
    pub(super) offers_asked_until: Option<Timestamp>,
    started: bool,
    /// The last announce said that nothing is missing.
    said_complete: bool,
    /// So it was when the last announce went out.
    wanted_nobody: bool,
    /// Connections were wanted, and the offers brought none: a seed too announces early then.
    pub(super) missed: bool,
    /// Peers in the swarm besides this one, by the tracker's last word; 0: it gave none.
    others: usize,
    last_at: Option<Timestamp>,
    interval: Duration,
    min_interval: Duration,
    early_interval: Duration,
    refusals: u32,
}

impl Torrent {
    pub(super) fn new(peer_id: PeerId) -> Self {
        Torrent {
            peer_id,
            trackers: Map::new(),
            uploaded: 0,
            downloaded: 0,
            left: None,
            wanted: 0,
            starving: false,
            doubles: Map::new(),
        }
    }

    /// The id by which a tracker knows us, or will.
    pub(super) fn id_at(&self, tracker: TrackerId) -> PeerId {
        let membership = self.trackers.get(&tracker);
        let id = membership.and_then(|m| m.joined.or(m.other_id));
        id.unwrap_or(self.peer_id)
    }

    /// The content of the next announce to a tracker.
    pub(super) fn next_id_at(&self, tracker: TrackerId) -> PeerId {
        let membership = self.trackers.get(&tracker);
        membership.and_then(|m| m.other_id).unwrap_or(self.peer_id)
    }

    /// Whether some tracker may know us by this id.
    pub(super) fn is_me(&self, id: PeerId) -> bool {
        let mut others = self.trackers.values().flat_map(|m| [m.joined, m.other_id]);
        id == self.peer_id || others.any(|mine| mine == Some(id))
    }

    /// The message of one announce.
    pub(super) fn announce(
        &self,
        peer_id: PeerId,
        info_hash: InfoHash,
        event: Event,
        offers: Vec<Offer<'_>>,
    ) -> String {
        Request::Announce(Announce {
            info_hash: protocol::InfoHash(info_hash.0),
            peer_id: protocol::PeerId(peer_id.0),
            event,
            uploaded: Some(self.uploaded),
            downloaded: Some(self.downloaded),
            left: self.left,
            numwant: Some(offers.len() as u64),
            offers,
            skipped_offers: 0,
        })
        .encode()
    }

    /// A peer that has everything waits until others ask: seeds that sought each other would connect for nothing.
    pub(super) fn is_seed(&self) -> bool {
        self.left == Some(0)
    }

    /// A seed does so, too, unless it just missed somebody.
    pub(super) fn waits_to_be_asked(&self, membership: &Membership) -> bool {
        self.is_seed() && !membership.missed
    }

    /// A connection that was agreed on came to nothing.
    pub(super) fn missed(&mut self) {
        for membership in self.trackers.values_mut() {
            membership.missed = true;
        }
    }

    /// Something changed: announce early, as soon as the trackers allow.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        for membership in self.trackers.values_mut() {
            membership.hurry(now);
        }
    }

    /// A peer took an offer: announce early where the tracker knows more peers than the `met`.
    pub(super) fn hurry_for_more(&mut self, now: Timestamp, met: usize) {
        for membership in self.trackers.values_mut() {
            if membership.strangers(met) > 0 {
                membership.hurry(now);
            }
        }
    }
}

impl Membership {
    pub(super) fn new(now: Timestamp) -> Self {
        Membership {
            joined: None,
            other_id: None,
            completed_due: false,
            next_at: now,
            early_at: Timestamp::NEVER,
            offers_asked_until: None,
            started: false,
            said_complete: false,
            wanted_nobody: false,
            missed: false,
            others: 0,
            last_at: None,
            interval: DEFAULT_INTERVAL,
            min_interval: MIN_EARLY_INTERVAL,
            early_interval: MIN_EARLY_INTERVAL,
            refusals: 0,
        }
    }

    /// The tracker has a new socket, which knows nothing of us.
    pub(super) fn rejoin(&mut self, now: Timestamp) {
        self.joined = None;
        self.next_at = now;
        self.offers_asked_until = None;
    }

    /// The time between announces that the tracker asked for.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Nothing is missing any more.
    pub(super) fn found_complete(&mut self, now: Timestamp) {
        if let Some(last) = self.last_at.filter(|_| !self.said_complete) {
            self.next_at = self.next_at.min(now.max(last + NEXT_EVENT_AFTER));
        }
    }

    fn hurry(&mut self, now: Timestamp) {
        self.early_interval = MIN_EARLY_INTERVAL;
        let earliest = self.min_interval.max(MIN_EARLY_INTERVAL);
        // An announce that wanted no peers is no reason to wait with the one that does.
        let idle = core::mem::take(&mut self.wanted_nobody);
        let at = match self.last_at {
            Some(last) if !idle => last + earliest,
            _ => now,
        };
        self.early_at = self.early_at.min(at.max(now));
    }

    /// Peers that the tracker named last, besides this one and those that are `met`.
    pub(super) fn strangers(&self, met: usize) -> usize {
        self.others.saturating_sub(met)
    }

    pub(super) fn next_event(&self) -> Event {
        if !self.started {
            Event::Started
        } else if self.completed_due {
            Event::Completed
        } else {
            Event::Update
        }
    }

    /// An announce of this torrent goes out with this many offers. `jitter` is in 0..1.
    pub(super) fn announced(
        &mut self,
        now: Timestamp,
        peer_id: PeerId,
        event: Event,
        (wanted, is_seed): (usize, bool),
        offered: usize,
        jitter: f64,
    ) {
        self.joined = Some(peer_id);
        self.said_complete = is_seed;
        self.wanted_nobody = wanted == 0;
        // Its offers come too late; it had none left to make.
        self.missed = wanted > 0 && offered == 0 && event != Event::Completed;
        self.offers_asked_until = None;
        self.last_at = Some(now);
        match event {
            Event::Started => self.started = true,
            Event::Completed => self.completed_due = false,
            Event::Update | Event::Stopped => {}
        }
        self.schedule(now, jitter);
        if self.completed_due {
            self.next_at = now + NEXT_EVENT_AFTER;
        }
        self.early_at = now + self.early_interval.max(self.min_interval);
        self.early_interval = (self.early_interval * 2).min(self.interval);
    }

    /// The tracker answered.
    pub(super) fn replied(&mut self, now: Timestamp, reply: &AnnounceReply, jitter: f64) {
        self.refusals = 0;
        let named = [reply.complete, reply.incomplete].into_iter().flatten();
        let all = named.fold(0, u64::saturating_add);
        self.others = usize::try_from(all.saturating_sub(1)).unwrap_or(usize::MAX);
        if let Some(seconds) = reply.interval_secs {
            self.interval = Duration::from_secs(seconds).clamp(INTERVAL.0, INTERVAL.1);
        }
        if let Some(seconds) = reply.min_interval_secs {
            self.min_interval =
                Duration::from_secs(seconds).clamp(MIN_EARLY_INTERVAL, self.interval);
        }
        // A reply to an announce that another one has followed already must not hold that up.
        if self.offers_asked_until.is_none() && !self.completed_due {
            self.schedule(now, jitter);
        }
    }

    /// The tracker refused.
    pub(super) fn refused(&mut self, now: Timestamp, jitter: f64) {
        let doubled = MIN_EARLY_INTERVAL * (1 << self.refusals.min(6));
        self.refusals = self.refusals.saturating_add(1);
        let pause = doubled.min(self.interval).mul_f64(1.0 + jitter);
        self.next_at = now + pause;
        self.early_at = self.next_at;
    }

    /// An early announce had nothing to offer.
    pub(super) fn skip_early(&mut self, now: Timestamp) {
        self.offers_asked_until = None;
        self.early_at = now + self.early_interval.max(self.min_interval);
    }

    /// When the next announce is due, where the tracker takes regular ones from `from` on, and early ones, if any are
    /// wanted, from `early_from` on.
    pub(super) fn wake_at(&self, from: Timestamp, early_from: Option<Timestamp>) -> Timestamp {
        let regular = self.next_at.max(from);
        let early = early_from.map(|from| self.early_at.max(from));
        let due = early.map_or(regular, |early| early.min(regular));
        // While it waits for offers, they or the end of the wait come next.
        self.offers_asked_until.map_or(due, |until| due.max(until))
    }

    fn schedule(&mut self, now: Timestamp, jitter: f64) {
        // Never sooner than asked for, and not all peers at once.
        self.next_at = now + self.interval.mul_f64(1.0 + 0.1 * jitter);
    }
}
