//! The work that time and changed wishes cause: connections given up, trackers tried again, announces and their offers.

use super::link::{Link, LinkState, SentTo};
use super::tracker::Tracker;
use super::{DESCRIPTION_TIMEOUT, Signaling, SignalingAction};
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, InfoHash, TrackerId};
use piecework_signaling_protocol as protocol;
use protocol::Event as AnnounceEvent;

/// An announce waits this long for the offers that it asked for, then goes without them.
pub(super) const OFFER_WAIT: Duration = Duration::from_secs(5);

/// Where some peers are connected and a tracker names others, an offer that nobody took may be announced again after
/// this time.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Session descriptions of one announce together, in bytes of JSON: leaves room for the rest of a
/// message of [`super::MAX_MESSAGE_LEN`].
const MAX_OFFERS_LEN: usize = 48 * 1024;

impl Signaling {
    /// Does the work that time and changed wishes cause. Called at the end of each input.
    pub(super) fn drive(&mut self, now: Timestamp) {
        self.expire_links(now);
        self.expire_ice(now);
        self.drive_trackers(now);
        let due: Vec<(InfoHash, TrackerId)> = self
            .torrents
            .iter()
            .flat_map(|(hash, torrent)| torrent.trackers.keys().map(|id| (*hash, *id)))
            .filter(|(_, id)| self.trackers.get(id).is_some_and(Tracker::is_open))
            .collect();
        for (info_hash, id) in due {
            self.announce_if_due(now, info_hash, id);
        }
        self.wake_at = self.compute_wake_at();
    }

    fn expire_links(&mut self, now: Timestamp) {
        let expired: Vec<ConnectionId> = self
            .links
            .iter()
            .filter(|(_, link)| link.deadline() <= now)
            .map(|(id, _)| *id)
            .collect();
        for connection in expired {
            if let Some(link) = self.links.get(&connection).filter(|l| l.is_unfinished())
                && let Some(torrent) = self.torrents.get_mut(&link.info_hash)
            {
                torrent.missed();
                torrent.hurry(now);
            }
            self.drop_link(connection);
        }
    }

    fn drive_trackers(&mut self, now: Timestamp) {
        let ids: Vec<TrackerId> = self.trackers.keys().copied().collect();
        for id in ids {
            let used = self.torrents.values().any(|t| t.trackers.contains_key(&id));
            let Some(tracker) = self.trackers.get_mut(&id) else {
                continue;
            };
            if !used && tracker.has_socket() {
                self.close_tracker(id);
            } else if used && tracker.deadline() <= now {
                self.actions
                    .push_back(SignalingAction::CloseTracker { tracker: id });
                self.lose_tracker(now, id, "it does not answer");
            } else if used && self.online && tracker.wants_connect(now) {
                tracker.connecting(now);
                let url = tracker.url.to_string();
                self.actions
                    .push_back(SignalingAction::ConnectTracker { tracker: id, url });
            }
        }
    }

    fn announce_if_due(&mut self, now: Timestamp, info_hash: InfoHash, id: TrackerId) {
        let Some(torrent) = self.torrents.get(&info_hash) else {
            return;
        };
        let Some(membership) = torrent.trackers.get(&id) else {
            return;
        };
        let regular = membership.next_at <= now;
        if !regular && (membership.early_at > now || torrent.waits_to_be_asked(membership)) {
            return;
        }
        let paced = self.trackers.get(&id).map(|t| t.announce_from(!regular));
        if paced.is_none_or(|from| from > now) {
            return;
        }
        let event = membership.next_event();
        let met = self.met(info_hash);
        let strangers = membership.strangers(met);
        let room = match event {
            AnnounceEvent::Completed => 0,
            _ => torrent
                .wanted
                .saturating_sub(self.unfinished(info_hash))
                .min(self.offers_for(strangers)),
        };
        // A server does not know which peers are connected: some of the offers that it passes on reach peers that need
        // nothing.
        let reuse_after = match met > 0 && strangers > 0 {
            true => ANSWER_WAIT,
            false => self.config.offer_reuse_after,
        };
        let ready = self.offers_to_send(now, info_hash, room, reuse_after);
        let asked_until = membership.offers_asked_until;
        let enough = ready.len() >= room || asked_until.is_some();
        if !enough && self.ask_for_offers(now, info_hash, room, ready.len()) {
            if let Some(membership) = self.membership(info_hash, id) {
                membership.offers_asked_until = Some(now + OFFER_WAIT);
            }
            return;
        }
        let waiting = self.links.values().any(|link| {
            link.info_hash == info_hash && matches!(link.state, LinkState::Offering { .. })
        });
        if asked_until.is_some_and(|until| waiting && now < until) {
            return;
        }
        if !regular && ready.is_empty() {
            // An early announce without offers is worth nothing: wait for some.
            if let Some(membership) = self.membership(info_hash, id) {
                membership.skip_early(now);
            }
            return;
        }
        self.announce(now, info_hash, id, event, &ready);
    }

    fn announce(
        &mut self,
        now: Timestamp,
        info_hash: InfoHash,
        id: TrackerId,
        event: AnnounceEvent,
        offers: &[ConnectionId],
    ) {
        let (jitter, offered) = (self.jitter(), offers.len());
        for connection in offers {
            if let Some(link) = self.links.get_mut(connection) {
                link.sent(SentTo {
                    tracker: id,
                    at: now,
                });
            }
        }
        let offers = offers
            .iter()
            .filter_map(|connection| self.links.get(connection)?.offer())
            .collect();
        let Some(torrent) = self.torrents.get_mut(&info_hash) else {
            return;
        };
        let peer_id = torrent.next_id_at(id);
        let text = torrent.announce(peer_id, info_hash, event, offers);
        let asked = (torrent.wanted, torrent.is_seed());
        if let Some(membership) = torrent.trackers.get_mut(&id) {
            membership.announced(now, peer_id, event, asked, offered, jitter);
        }
        if let Some(tracker) = self.trackers.get_mut(&id) {
            tracker.announced(now);
        }
        self.send(id, text);
    }

    /// Offers of the torrent that may be announced now, at most `room`, those never sent first.
    fn offers_to_send(
        &self,
        now: Timestamp,
        info_hash: InfoHash,
        room: usize,
        reuse_after: Duration,
    ) -> Vec<ConnectionId> {
        let mut ready: Vec<(Timestamp, ConnectionId, usize)> = self
            .links
            .iter()
            .filter(|(_, link)| link.info_hash == info_hash)
            .filter_map(|(id, link)| {
                let (reusable_at, len) = link.sendable(reuse_after)?;
                (reusable_at <= now).then_some((reusable_at, *id, len))
            })
            .collect();
        ready.sort();
        let mut total = 0;
        ready
            .into_iter()
            .take(room)
            .take_while(|(_, _, len)| {
                total += len;
                total <= MAX_OFFERS_LEN
            })
            .map(|(_, id, _)| id)
            .collect()
    }

    /// Asks for new offers beside the `ready` so that `room` can be sent, as far as the torrent's wishes
    /// and the cap allow. Whether any was asked for, or is on its way.
    fn ask_for_offers(
        &mut self,
        now: Timestamp,
        info_hash: InfoHash,
        room: usize,
        ready: usize,
    ) -> bool {
        let wanted = self.torrents.get(&info_hash).map_or(0, |t| t.wanted);
        let of_torrent = |link: &&Link| link.info_hash == info_hash;
        let pending = self
            .links
            .values()
            .filter(of_torrent)
            .filter(|l| l.state != LinkState::Established)
            .count();
        let offering = self
            .links
            .values()
            .filter(of_torrent)
            .filter(|l| matches!(l.state, LinkState::Offering { .. }))
            .count();
        // Each tracker that waits for offers is to get its own.
        let waiting = self.torrents.get(&info_hash).map_or(0, |torrent| {
            let trackers = torrent.trackers.values();
            trackers.filter(|m| m.offers_asked_until.is_some()).count()
        });
        let missing = (room * (waiting + 1))
            .saturating_sub(ready + offering)
            .min(wanted.saturating_sub(pending))
            .min(self.config.max_connections.saturating_sub(self.links.len()));
        for _ in 0..missing {
            let connection = self.insert_link(Link {
                info_hash,
                remote: None,
                state: LinkState::Offering {
                    deadline: now + DESCRIPTION_TIMEOUT,
                },
                ice_generation: self.ice_generation,
            });
            self.actions.push_back(SignalingAction::CreateOffer {
                connection,
                info_hash,
            });
        }
        missing + offering > 0
    }

    fn compute_wake_at(&self) -> Timestamp {
        let links = self.links.values().map(Link::deadline);
        let trackers = self.trackers.iter().filter_map(|(id, tracker)| {
            let used = self.torrents.values().any(|t| t.trackers.contains_key(id));
            used.then(|| tracker.wake_at(self.online))
        });
        let announces = self.torrents.values().flat_map(|torrent| {
            torrent.trackers.iter().filter_map(|(id, membership)| {
                let tracker = self.trackers.get(id).filter(|t| t.is_open())?;
                let wanting = torrent.wanted > 0 && !torrent.waits_to_be_asked(membership);
                let early_from = wanting.then(|| tracker.announce_from(true));
                Some(membership.wake_at(tracker.announce_from(false), early_from))
            })
        });
        links
            .chain(trackers)
            .chain(announces)
            .chain(self.ice_wake_at())
            .min()
            .unwrap_or(Timestamp::NEVER)
    }
}
