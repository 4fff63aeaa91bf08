//! The messages of trackers: replies, refusals, and the offers and answers of other peers.

use super::link::{Link, LinkState};
use super::{DESCRIPTION_TIMEOUT, Signaling, SignalingAction, SignalingEvent};
use crate::time::Timestamp;
use crate::types::{InfoHash, PeerId, TrackerId};
use piecework_signaling_protocol as protocol;
use protocol::{Action, Response, Sdp};

/// Bytes of a peer id that name the client, without its version: `-PW` (BEP 20).
const CLIENT_LEN: usize = 3;

impl Signaling {
    pub(super) fn handle_response(
        &mut self,
        now: Timestamp,
        id: TrackerId,
        response: Response<'_>,
    ) {
        match response {
            Response::Announce(reply) => {
                let info_hash = InfoHash(reply.info_hash.0);
                let jitter = self.jitter();
                let Some(membership) = self.membership(info_hash, id) else {
                    return;
                };
                membership.replied(now, &reply, jitter);
                if let Some(named) = reply.ice {
                    self.learn_ice(now, id, named);
                }
                self.event(SignalingEvent::Announced {
                    tracker: id,
                    info_hash,
                    seeders: reply.complete,
                    leechers: reply.incomplete,
                });
                if let Some(message) = reply.warning {
                    self.event(SignalingEvent::Warning {
                        tracker: id,
                        info_hash,
                        message,
                    });
                }
            }
            Response::Failure {
                action,
                info_hash,
                reason,
            } => {
                let info_hash = info_hash.map(|hash| InfoHash(hash.0));
                let jitter = self.jitter();
                if action == Action::Announce
                    && let Some(info_hash) = info_hash
                    && let Some(membership) = self.membership(info_hash, id)
                {
                    membership.refused(now, jitter);
                    if reason == protocol::PEER_ID_IN_USE {
                        self.take_another_id(info_hash, id);
                    }
                }
                self.event(SignalingEvent::Refused {
                    tracker: id,
                    info_hash,
                    reason,
                });
            }
            Response::Offer {
                info_hash,
                peer_id,
                offer,
            } => self.handle_offer(now, id, InfoHash(info_hash.0), PeerId(peer_id.0), &offer),
            Response::Answer {
                info_hash,
                peer_id,
                offer_id,
                sdp,
            } => {
                let (info_hash, remote) = (InfoHash(info_hash.0), PeerId(peer_id.0));
                self.handle_answer(now, id, info_hash, remote, offer_id, &sdp);
            }
            // Never asked for.
            Response::Scrape { .. } => {}
        }
    }

    fn handle_offer(
        &mut self,
        now: Timestamp,
        id: TrackerId,
        info_hash: InfoHash,
        remote: PeerId,
        offer: &protocol::Offer<'_>,
    ) {
        let Some(torrent) = self.torrents.get(&info_hash) else {
            return;
        };
        if !torrent.trackers.contains_key(&id)
            || torrent.is_me(remote)
            || self.link_to(info_hash, remote).is_some()
            || self.unfinished(info_hash) >= torrent.wanted
            || !self
                .trackers
                .get_mut(&id)
                .is_some_and(|t| t.take_offer(now))
            || !self.make_room()
        {
            return;
        }
        let connection = self.insert_link(Link {
            info_hash,
            remote: Some(remote),
            state: LinkState::Answering {
                tracker: id,
                offer_id: offer.offer_id,
                deadline: now + DESCRIPTION_TIMEOUT,
            },
            ice_generation: self.ice_generation,
        });
        self.actions.push_back(SignalingAction::AcceptOffer {
            connection,
            info_hash,
            remote,
            sdp: offer.sdp.to_text(),
        });
    }

    fn handle_answer(
        &mut self,
        now: Timestamp,
        id: TrackerId,
        info_hash: InfoHash,
        remote: PeerId,
        offer_id: protocol::OfferId,
        sdp: &Sdp<'_>,
    ) {
        let mine = self
            .links
            .iter()
            .find(|(_, link)| link.info_hash == info_hash && link.waits_for_answer(id, offer_id));
        let Some(connection) = mine.map(|(connection, _)| *connection) else {
            return;
        };
        let torrent = self.torrents.get(&info_hash);
        let wanting = torrent.filter(|t| t.wanted > 0 && !t.is_me(remote));
        let Some(own) = wanting.map(|torrent| torrent.id_at(id)) else {
            return self.drop_link(connection);
        };
        if let Some(other) = self.link_to(info_hash, remote) {
            // Both peers offered to each other, and one connection may be further than that. Two of our kind both keep
            // the connection that the greater id offered. WebTorrent keeps the offer that it heard of first, and does
            // not answer the offer of a peer that has answered its own. It keeps an offer that it answered.
            let crossing = self.links.get(&other).is_some_and(Link::is_my_answer_open);
            let theirs_wins = is_of_one_kind(own, remote) && own < remote;
            if !crossing || theirs_wins {
                return self.drop_link(connection);
            }
            self.drop_link(other);
        }
        let deadline = now + self.config.connect_timeout;
        if let Some(link) = self.links.get_mut(&connection) {
            link.remote = Some(remote);
            link.state = LinkState::Connecting {
                offered_by_me: true,
                deadline,
            };
        }
        self.actions.push_back(SignalingAction::ApplyAnswer {
            connection,
            info_hash,
            remote,
            sdp: sdp.to_text(),
        });
    }
}

/// Whether these are of one client, by the first part of their ids (BEP 20), and cross alike.
fn is_of_one_kind(a: PeerId, b: PeerId) -> bool {
    a.0[..CLIENT_LEN] == b.0[..CLIENT_LEN]
}
