//! The trackers of a simulated net, in memory, speaking the WebTorrent protocol's own JSON.

use std::collections::BTreeMap;

use piecework::types::TrackerId;
use piecework_signaling_protocol::{
    AnnounceReply, Event, InfoHash, Limits, PeerId, Request, Response, ScrapeEntry,
};

use crate::node::NodeId;
use crate::random::Random;

/// One WebSocket at a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Socket {
    pub(crate) node: NodeId,
    /// The node's life it belongs to.
    pub(crate) life: u64,
    pub(crate) tracker: TrackerId,
}

#[derive(Clone, Debug)]
struct Member {
    socket: Socket,
    left: Option<u64>,
}

/// All trackers: a swarm is known by the URL it was announced at.
#[derive(Debug, Default)]
pub(crate) struct Trackers {
    swarms: BTreeMap<(String, InfoHash), BTreeMap<PeerId, Member>>,
}

impl Trackers {
    /// Answers the messages to send, and their receivers.
    pub(crate) fn handle(
        &mut self,
        random: &mut Random,
        url: &str,
        socket: Socket,
        text: &str,
    ) -> Vec<(Socket, String)> {
        let request = Request::parse(text, Limits::default());
        let request = request.unwrap_or_else(|e| panic!("{e}: {text}"));
        match request {
            Request::Announce(announce) => {
                assert_eq!(announce.skipped_offers, 0, "offers of bad form: {text}");
                let swarm = (url.to_owned(), announce.info_hash);
                let members = self.swarms.entry(swarm).or_default();
                if announce.event == Event::Stopped {
                    members.remove(&announce.peer_id);
                    return Vec::new();
                }
                let member = Member {
                    socket,
                    left: announce.left,
                };
                members.insert(announce.peer_id, member);
                let complete = members.values().filter(|m| m.left == Some(0)).count() as u64;
                let reply = Response::Announce(AnnounceReply {
                    info_hash: announce.info_hash,
                    interval_secs: Some(60),
                    min_interval_secs: None,
                    complete: Some(complete),
                    incomplete: Some(members.len() as u64 - complete),
                    warning: None,
                    ice: None,
                });
                let mut out = vec![(socket, reply.encode())];
                let mut others: Vec<&Member> = (members.iter())
                    .filter(|(id, _)| **id != announce.peer_id)
                    .map(|(_, member)| member)
                    .collect();
                for offer in announce.offers {
                    if others.is_empty() {
                        break;
                    }
                    let other = others.swap_remove(random.index(others.len()));
                    let relayed = Response::Offer {
                        info_hash: announce.info_hash,
                        peer_id: announce.peer_id,
                        offer,
                    };
                    out.push((other.socket, relayed.encode()));
                }
                out
            }
            Request::Answer(answer) => {
                let swarm = self.swarms.get(&(url.to_owned(), answer.info_hash));
                let Some(member) = swarm.and_then(|s| s.get(&answer.to_peer_id)) else {
                    return Vec::new();
                };
                let relayed = Response::Answer {
                    info_hash: answer.info_hash,
                    peer_id: answer.peer_id,
                    offer_id: answer.offer_id,
                    sdp: answer.sdp,
                };
                vec![(member.socket, relayed.encode())]
            }
            Request::Scrape(scrape) => {
                let files = (scrape.info_hashes.into_iter())
                    .map(|hash| {
                        let members = self.swarms.get(&(url.to_owned(), hash));
                        let count = |seed: bool| {
                            members.map_or(0, |m| {
                                m.values().filter(|m| (m.left == Some(0)) == seed).count() as u64
                            })
                        };
                        let entry = ScrapeEntry {
                            complete: count(true),
                            incomplete: count(false),
                            downloaded: 0,
                        };
                        (hash, entry)
                    })
                    .collect();
                vec![(socket, Response::Scrape { files }.encode())]
            }
        }
    }

    /// A socket closed: its peers leave.
    pub(crate) fn closed(&mut self, socket: Socket) {
        for members in self.swarms.values_mut() {
            members.retain(|_, member| member.socket != socket);
        }
    }
}
