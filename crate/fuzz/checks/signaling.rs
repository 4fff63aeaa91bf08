//! The peer's half of signaling, driven by operations: what trackers say, sockets, descriptions, wishes.

use std::collections::{BTreeMap, BTreeSet};

use piecework::signaling::{
    MAX_LEARNED_SERVERS, MAX_TRACKERS, Signaling, SignalingAction, SignalingConfig,
};
use piecework::time::{Duration, Timestamp};
use piecework::types::{ConnectionId, InfoHash, PeerId, TrackerId};
use piecework_signaling_protocol::{self as protocol, MAX_MESSAGE_LEN, Request, Response};

use super::choices::Choices;

const MAX_CONNECTIONS: usize = 8;
const MAX_ACTIONS: usize = 10_000;
/// Operations of one run: a longer row only takes longer.
const MAX_STEPS: usize = 500;

/// How far the edge's end of a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    Offering,
    Offered,
    Answering,
    Connecting,
    Established,
}

struct Scene {
    signaling: Signaling,
    now: Timestamp,
    trackers: BTreeSet<TrackerId>,
    /// Sockets: true once open.
    sockets: BTreeMap<TrackerId, bool>,
    links: BTreeMap<ConnectionId, Link>,
    /// Offers that were announced: swarm and id.
    announced: Vec<(protocol::InfoHash, protocol::OfferId)>,
    /// Ids are never given again.
    seen: BTreeSet<ConnectionId>,
}

/// Connections and messages stay within their bounds; the edge is asked for nothing that is not open, and
/// never twice; a wake-up that comes in time is followed by a later one.
pub fn signaling(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut config = SignalingConfig::new(PeerId([9; 20]));
    config.max_connections = MAX_CONNECTIONS;
    config.ice_trackers = (0..=u8::MAX / 2).map(tracker_url).collect();
    let mut scene = Scene {
        signaling: Signaling::new(config, [3; 32]),
        now: Timestamp::from_millis(1_790_000_000_000),
        trackers: BTreeSet::new(),
        sockets: BTreeMap::new(),
        links: BTreeMap::new(),
        announced: Vec::new(),
        seen: BTreeSet::new(),
    };
    for _ in 0..MAX_STEPS {
        if choices.is_empty() {
            break;
        }
        scene.step(&mut choices);
        scene.drain();
    }
}

fn tracker_url(number: u8) -> String {
    format!("wss://tracker{number}.invalid/")
}

/// Half of all replies name servers.
fn ice_servers(number: u64) -> Option<protocol::IceServers> {
    let server = protocol::IceServer {
        urls: vec!["turn:turn.invalid".to_owned()],
        username: number.to_string(),
        credential: "x".to_owned(),
    };
    let count = usize::try_from(number >> 1 & 7).unwrap_or(0);
    (number & 1 == 1).then(|| protocol::IceServers {
        servers: vec![server; count],
        ttl_secs: number >> 4,
    })
}

fn hash(choices: &mut Choices<'_>) -> InfoHash {
    InfoHash([choices.byte() % 4; 20])
}

impl Scene {
    fn step(&mut self, choices: &mut Choices<'_>) {
        let now = self.now;
        let connections: Vec<ConnectionId> = self.links.keys().copied().collect();
        let trackers: Vec<TrackerId> = self.trackers.iter().copied().collect();
        match choices.below(16) {
            0 => {
                let url = match choices.below(3) {
                    0 => String::from_utf8_lossy(choices.bytes()).into_owned(),
                    _ => tracker_url(choices.byte()),
                };
                if let Ok(tracker) = self.signaling.add_tracker(&url) {
                    self.trackers.insert(tracker);
                }
            }
            1 | 2 => {
                let used: Vec<TrackerId> = (0..choices.below(4))
                    .filter_map(|_| choices.one(&trackers))
                    .collect();
                let hash = hash(choices);
                let _ = self.signaling.announce_start(now, hash, &used);
                let wanted = choices.below(12);
                self.signaling.set_wanted(now, hash, wanted);
            }
            3 => self.signaling.announce_stop(now, hash(choices)),
            4 => {
                let hash = hash(choices);
                self.signaling.set_wanted(now, hash, choices.below(12));
                let left = choices.flag().then(|| choices.u64());
                self.signaling
                    .set_progress(hash, choices.u64(), choices.u64(), left);
            }
            5 => self.signaling.completed(now, hash(choices)),
            6 | 7 => {
                if let Some(tracker) = choices.one(&trackers) {
                    match self.sockets.get_mut(&tracker) {
                        Some(open) if !*open => {
                            *open = true;
                            self.signaling.tracker_connected(now, tracker);
                        }
                        Some(_) if choices.flag() => {
                            self.sockets.remove(&tracker);
                            self.signaling.tracker_closed(now, tracker, "gone");
                        }
                        _ => {}
                    }
                }
            }
            8 | 9 => {
                let message = self.message(choices);
                if let Some(tracker) = choices.one(&trackers)
                    && self.sockets.get(&tracker) == Some(&true)
                {
                    self.signaling.tracker_message(now, tracker, &message);
                }
            }
            10 | 11 => {
                if let Some(connection) = choices.one(&connections) {
                    let sdp = match choices.below(8) {
                        0 => "x".repeat(usize::from(choices.u16())),
                        _ => "v=0\r\n".to_owned(),
                    };
                    self.go_on(connection, &sdp);
                }
            }
            12 => {
                if let Some(connection) = choices.one(&connections) {
                    self.links.remove(&connection);
                    self.signaling.connection_closed(now, connection);
                }
            }
            13 if choices.flag() => self.signaling.offline(now),
            13 => self.signaling.online(now),
            14 => {
                self.now = now + Duration::from_millis(u64::from(choices.u16()));
                self.signaling.tick(self.now);
            }
            _ => {
                // The time it asked for, but no later than a day from now: it may be never.
                let at = self.signaling.next_timeout();
                self.now = at.clamp(now, now + Duration::from_secs(86_400));
                self.signaling.tick(self.now);
            }
        }
    }

    /// The edge did what it was asked for.
    fn go_on(&mut self, connection: ConnectionId, sdp: &str) {
        let Some(link) = self.links.get_mut(&connection) else {
            return;
        };
        match *link {
            Link::Offering => {
                *link = Link::Offered;
                self.signaling.offer_ready(self.now, connection, sdp);
            }
            Link::Answering => {
                *link = Link::Connecting;
                self.signaling.answer_ready(self.now, connection, sdp);
            }
            Link::Connecting => {
                *link = Link::Established;
                self.signaling.connection_established(self.now, connection);
            }
            Link::Offered | Link::Established => {}
        }
    }

    fn message(&self, choices: &mut Choices<'_>) -> Vec<u8> {
        let info_hash = protocol::InfoHash(hash(choices).0);
        let peer_id = protocol::PeerId([choices.byte() % 12; 20]);
        let sdp = protocol::Sdp::from_text("v=0").unwrap_or_else(|| unreachable!());
        match choices.below(6) {
            0 => return choices.bytes().to_vec(),
            1 => {
                let interval_secs = choices.flag().then(|| choices.u64());
                let min_interval_secs = choices.flag().then(|| choices.u64());
                let complete = choices.u64();
                Response::Announce(protocol::AnnounceReply {
                    info_hash,
                    interval_secs,
                    min_interval_secs,
                    complete: Some(complete),
                    incomplete: None,
                    warning: choices.flag().then(|| "slow".to_owned()),
                    ice: ice_servers(complete),
                })
            }
            2 => Response::Failure {
                action: protocol::Action::Announce,
                info_hash: choices.flag().then_some(info_hash),
                reason: "no".to_owned(),
            },
            3 => Response::Offer {
                info_hash,
                peer_id,
                offer: protocol::Offer {
                    offer_id: protocol::OfferId(choices.array()),
                    sdp,
                },
            },
            _ => {
                let (info_hash, offer_id) = choices
                    .one(&self.announced)
                    .unwrap_or((info_hash, protocol::OfferId([0; 20])));
                Response::Answer {
                    info_hash,
                    peer_id,
                    offer_id,
                    sdp,
                }
            }
        }
        .encode()
        .into_bytes()
    }

    fn drain(&mut self) {
        let mut actions = 0;
        while let Some(action) = self.signaling.poll() {
            actions += 1;
            assert!(actions < MAX_ACTIONS, "an input that does not end");
            self.carry_out(action);
        }
        assert!(self.trackers.len() >= self.sockets.len());
        assert!(self.sockets.len() <= MAX_TRACKERS);
        assert!(self.links.len() <= MAX_CONNECTIONS, "too many connections");
        let at = self.signaling.next_timeout();
        if at <= self.now {
            // What is due now is done by one tick at this time.
            self.signaling.tick(self.now);
            while let Some(action) = self.signaling.poll() {
                self.carry_out(action);
            }
            assert!(self.signaling.next_timeout() > self.now, "it spins");
        }
    }

    fn carry_out(&mut self, action: SignalingAction) {
        match action {
            SignalingAction::ConnectTracker { tracker, url } => {
                assert!(url.starts_with("ws://") || url.starts_with("wss://"));
                assert_eq!(self.sockets.insert(tracker, false), None, "a second socket");
            }
            SignalingAction::CloseTracker { tracker } => {
                assert!(self.sockets.remove(&tracker).is_some(), "no such socket");
            }
            SignalingAction::SendTracker { tracker, text } => {
                assert_eq!(self.sockets.get(&tracker), Some(&true), "not open");
                assert!(text.len() <= MAX_MESSAGE_LEN, "a long message");
                match Request::parse(&text, protocol::Limits::default()) {
                    Ok(Request::Announce(announce)) => {
                        assert_eq!(announce.skipped_offers, 0);
                        self.announced.extend(
                            announce
                                .offers
                                .iter()
                                .map(|o| (announce.info_hash, o.offer_id)),
                        );
                        let surplus = self.announced.len().saturating_sub(255);
                        self.announced.drain(..surplus);
                    }
                    Ok(_) => {}
                    Err(error) => panic!("own message refused: {error}"),
                }
            }
            SignalingAction::CreateOffer { connection, .. } => {
                assert!(self.seen.insert(connection), "an id given again");
                self.links.insert(connection, Link::Offering);
            }
            SignalingAction::AcceptOffer { connection, .. } => {
                assert!(self.seen.insert(connection), "an id given again");
                self.links.insert(connection, Link::Answering);
            }
            SignalingAction::ApplyAnswer { connection, .. } => {
                let before = self.links.insert(connection, Link::Connecting);
                assert_eq!(before, Some(Link::Offered), "no offer was made");
            }
            SignalingAction::DropConnection { connection } => {
                assert!(
                    self.links.remove(&connection).is_some(),
                    "no such connection"
                );
            }
            SignalingAction::UseIceServers { servers } => {
                assert!(servers.len() <= MAX_LEARNED_SERVERS);
            }
            SignalingAction::Event(_) => {}
        }
    }
}
