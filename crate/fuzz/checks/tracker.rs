//! The signaling server's tracker, driven by operations and compared with a model of its swarms.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use piecework_signaling::tracker::{ConnectionId, Limits, Output, Rate, SILENT_INTERVALS, Tracker};
use piecework_signaling_protocol::{
    Announce, Answer, Event, InfoHash, Offer, OfferId, PeerId, Request, Response, Scrape, Sdp,
};

use super::choices::Choices;

const MAX_CONNECTIONS: usize = 12;
/// Operations of one run: a longer row only takes longer.
const MAX_STEPS: usize = 500;

/// Small, so that each is reached.
fn limits() -> Limits {
    Limits {
        offers_per_announce: 3,
        hashes_per_scrape: 3,
        torrents_per_connection: 3,
        messages: Rate {
            per_second: 20.0,
            burst: 64.0,
        },
        max_strikes: 3,
        offers: Rate {
            per_second: 10.0,
            burst: 16.0,
        },
        pending_offers_per_peer: 4,
        ..Limits::default()
    }
}

/// An offer on its way: swarm, who offers, its id, and to which connection it was relayed.
type Relayed = (InfoHash, PeerId, OfferId, usize);

struct Scene {
    tracker: Tracker,
    now: Duration,
    open: Vec<ConnectionId>,
    /// Whose it is, and when it was last announced.
    members: BTreeMap<(InfoHash, PeerId), (usize, Duration)>,
    relayed: BTreeSet<Relayed>,
}

/// Peer ids stay with whom they belong to, an answer goes once to who offered and comes from who was
/// offered to, sizes are true, and nothing stays behind.
pub fn tracker(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut scene = Scene {
        tracker: Tracker::new(limits(), [5; 32]),
        now: Duration::ZERO,
        open: Vec::new(),
        members: BTreeMap::new(),
        relayed: BTreeSet::new(),
    };
    for _ in 0..MAX_STEPS {
        if choices.is_empty() {
            break;
        }
        scene.step(&mut choices);
        scene.agree();
    }
    for connection in core::mem::take(&mut scene.open) {
        scene.disconnect(connection);
    }
    scene.agree();
    assert_eq!(scene.tracker.connection_count(), 0);
    assert_eq!(scene.tracker.swarm_count(), 0);
}

impl Scene {
    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.below(8) {
            0 if self.open.len() < MAX_CONNECTIONS => {
                let connection = self.tracker.connect(self.now);
                assert!(!self.open.contains(&connection));
                self.open.push(connection);
            }
            0 | 1 => {
                let at = choices.below(self.open.len().max(1));
                if at < self.open.len() {
                    let connection = self.open.swap_remove(at);
                    self.disconnect(connection);
                }
            }
            2 => {
                self.now +=
                    Duration::from_millis(u64::from(choices.u16()) << (choices.byte() % 16));
                self.tracker.sweep(self.now);
                let (now, silence) = (self.now, limits().interval * SILENT_INTERVALS);
                self.members.retain(|_, (_, heard)| now - *heard < silence);
            }
            3 => {
                let text = String::from_utf8_lossy(choices.bytes()).into_owned();
                if let Some(from) = choices.one(&self.open) {
                    self.say(from, &text);
                }
            }
            _ => {
                let request = request(choices).encode();
                if let Some(from) = choices.one(&self.open) {
                    self.say(from, &request);
                }
            }
        }
    }

    fn disconnect(&mut self, connection: ConnectionId) {
        self.tracker.disconnect(connection);
        self.members.retain(|_, (owner, _)| *owner != connection.0);
        // Its number may be given to another.
        self.relayed.retain(|(.., to)| *to != connection.0);
    }

    fn say(&mut self, from: ConnectionId, text: &str) {
        let request = Request::parse(text, limits().parser());
        self.tracker.handle_request(self.now, from, request.clone());
        let mut outputs = Vec::new();
        while let Some(output) = self.tracker.poll_output() {
            outputs.push(output);
        }
        assert!(outputs.len() <= 2 + limits().offers_per_announce);
        for output in &outputs {
            match output {
                Output::Send { to, text } => {
                    assert!(self.open.contains(to), "a message to nobody");
                    match Response::parse(text, limits().parser()) {
                        Ok(response) => self.hear(from, *to, &request, &response),
                        Err(error) => panic!("own message refused: {error}: {text}"),
                    }
                }
                Output::Probe(whom) => assert!(self.open.contains(whom) && *whom != from),
                Output::Close(whom) => assert_eq!(*whom, from),
            }
        }
    }

    fn hear<E>(
        &mut self,
        from: ConnectionId,
        to: ConnectionId,
        request: &Result<Request<'_>, E>,
        response: &Response<'_>,
    ) {
        match (request, response) {
            (Ok(Request::Announce(announce)), Response::Announce(reply)) => {
                assert_eq!((to, reply.info_hash), (from, announce.info_hash));
                let key = (announce.info_hash, announce.peer_id);
                let owner = self.members.get(&key);
                assert!(
                    owner.is_none_or(|(owner, _)| *owner == from.0),
                    "taken over"
                );
                if announce.event == Event::Stopped {
                    self.members.remove(&key);
                } else {
                    self.members.insert(key, (from.0, self.now));
                }
                let size = self.size(announce.info_hash);
                let told = reply.complete.zip(reply.incomplete);
                assert_eq!(told.map(|(seeds, others)| seeds + others), Some(size));
            }
            (
                Ok(Request::Announce(announce)),
                Response::Offer {
                    info_hash,
                    peer_id,
                    offer,
                },
            ) => {
                assert_eq!(
                    (*info_hash, *peer_id),
                    (announce.info_hash, announce.peer_id)
                );
                let is_member =
                    |((hash, peer), owner): (&(InfoHash, PeerId), &(usize, Duration))| {
                        hash == info_hash && peer != peer_id && owner.0 == to.0
                    };
                assert!(self.members.iter().any(is_member), "an offer to a stranger");
                assert!(to != from, "an offer to the one who makes it");
                assert!(announce.offers.contains(offer));
                self.relayed
                    .insert((*info_hash, *peer_id, offer.offer_id, to.0));
            }
            (
                Ok(Request::Answer(answer)),
                Response::Answer {
                    info_hash,
                    peer_id,
                    offer_id,
                    sdp,
                },
            ) => {
                assert_eq!((*info_hash, *peer_id), (answer.info_hash, answer.peer_id));
                assert_eq!((*offer_id, sdp), (answer.offer_id, &answer.sdp));
                let owner = |peer| Some(self.members.get(&(*info_hash, peer))?.0);
                assert_eq!(owner(answer.peer_id), Some(from.0), "an answer for another");
                assert_eq!(owner(answer.to_peer_id), Some(to.0), "to who did not offer");
                let relayed = (*info_hash, answer.to_peer_id, *offer_id, from.0);
                assert!(self.relayed.contains(&relayed), "nobody asked");
            }
            (Ok(Request::Scrape(scrape)), Response::Scrape { files }) => {
                assert_eq!(to, from);
                assert_eq!(files.len(), scrape.info_hashes.len());
                for (hash, entry) in files {
                    assert_eq!(entry.complete + entry.incomplete, self.size(*hash));
                }
            }
            (_, Response::Failure { .. }) => assert_eq!(to, from),
            (_, other) => panic!("not an answer to what was said: {other:?}"),
        }
    }

    fn size(&self, hash: InfoHash) -> u64 {
        self.members.keys().filter(|(h, _)| *h == hash).count() as u64
    }

    fn agree(&self) {
        assert_eq!(self.tracker.connection_count(), self.open.len());
        assert_eq!(self.tracker.peer_count(), self.members.len());
        let mut swarms: Vec<InfoHash> = self.members.keys().map(|(hash, _)| *hash).collect();
        swarms.dedup();
        assert_eq!(self.tracker.swarm_count(), swarms.len());
    }
}

/// A well-formed message among few swarms, peers and offers, so that they meet.
fn request(choices: &mut Choices<'_>) -> Request<'static> {
    let hash = |choices: &mut Choices<'_>| InfoHash([choices.byte() % 5; 20]);
    let peer = |choices: &mut Choices<'_>| PeerId([choices.byte() % 9; 20]);
    let offer_id = |choices: &mut Choices<'_>| OfferId([choices.byte() % 7; 20]);
    let sdp = || Sdp::from_text("v=0").unwrap_or_else(|| unreachable!());
    match choices.below(4) {
        0 => Request::Scrape(Scrape {
            info_hashes: (0..=choices.below(4)).map(|_| hash(choices)).collect(),
        }),
        1 => Request::Answer(Answer {
            info_hash: hash(choices),
            peer_id: peer(choices),
            to_peer_id: peer(choices),
            offer_id: offer_id(choices),
            sdp: sdp(),
        }),
        _ => {
            let events = [
                Event::Update,
                Event::Started,
                Event::Stopped,
                Event::Completed,
            ];
            Request::Announce(Announce {
                info_hash: hash(choices),
                peer_id: peer(choices),
                event: events[choices.below(4)],
                uploaded: None,
                downloaded: None,
                left: choices.flag().then_some(u64::from(choices.flag())),
                numwant: None,
                offers: (0..choices.below(6))
                    .map(|_| Offer {
                        offer_id: offer_id(choices),
                        sdp: sdp(),
                    })
                    .collect(),
                skipped_offers: 0,
            })
        }
    }
}
