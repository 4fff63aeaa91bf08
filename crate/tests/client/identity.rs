//! Whom a client takes a peer for that has several addresses, or says that it has.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use piecework::client::{AddOptions, Client, ClosedReason, Command, Config, Input, Output, Source};
use piecework::time::{Duration, Timestamp};
use piecework::types::{ConnectionId, InfoHash, PeerId};
use piecework::wire::Handshake;
use piecework_signaling_protocol::{Limits, Request};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const HASH: InfoHash = InfoHash([0x61; 20]);
const NEXT: InfoHash = InfoHash([0x62; 20]);
const TRACKER: &str = "wss://tracker.example/";
const ID: PeerId = PeerId(*b"-XX0000-abcdefghijkl");
const OTHER_ID: PeerId = PeerId(*b"-XX0000-mnopqrstuvwx");

/// A client that peers connect to.
struct Called {
    client: Client,
    now: Timestamp,
    offers: u8,
    accepted: Option<ConnectionId>,
    closed: BTreeMap<ConnectionId, ClosedReason>,
    /// Which torrents were announced under which ids.
    announced: BTreeSet<([u8; 20], [u8; 20])>,
    /// The ids in our handshakes.
    greeted: BTreeSet<PeerId>,
}

impl Called {
    fn new() -> Called {
        let config = Config {
            trackers: vec![TRACKER.to_owned()],
            ..Config::default()
        };
        let mut called = Called {
            client: Client::new(config, [7; 32], [], NOW),
            now: NOW,
            offers: 0,
            accepted: None,
            closed: BTreeMap::new(),
            announced: BTreeSet::new(),
            greeted: BTreeSet::new(),
        };
        called.add(HASH);
        called
    }

    fn add(&mut self, torrent: InfoHash) {
        self.input(Input::Command(Command::Add {
            tag: 1,
            source: Source::Magnet(format!("magnet:?xt=urn:btih:{torrent}")),
            options: AddOptions::default(),
        }));
    }

    fn input(&mut self, input: Input) {
        self.client.handle_input(self.now, input);
        loop {
            match self.client.poll_output() {
                Output::Timeout(_) => break,
                Output::ConnectTracker { tracker, .. } => {
                    self.client
                        .handle_input(self.now, Input::TrackerConnected { tracker });
                }
                Output::AcceptOffer { connection, .. } => self.accepted = Some(connection),
                Output::SendTracker { text, .. } => {
                    if let Ok(Request::Announce(a)) = Request::parse(&text, Limits::default()) {
                        self.announced.insert((a.info_hash.0, a.peer_id.0));
                    }
                }
                Output::Send { chunks, .. } => {
                    let greeting = chunks.concat().first_chunk().and_then(Handshake::decode);
                    self.greeted.extend(greeting.map(|it| it.peer_id));
                }
                Output::CloseConnection { connection, reason } => {
                    self.closed.insert(connection, reason);
                }
                _ => {}
            }
        }
    }

    /// A peer that is announced under this id offers. The connection by which it is answered.
    fn offer(&mut self, torrent: InfoHash, announced: &str) -> Option<ConnectionId> {
        self.offers += 1;
        let text = format!(
            r#"{{"action":"announce","info_hash":"{hash}","peer_id":"{announced}","offer_id":"{offer:020}","offer":{{"type":"offer","sdp":"v=0"}}}}"#,
            hash = String::from_utf8_lossy(&torrent.0),
            offer = self.offers,
        );
        let tracker = piecework::types::TrackerId(0);
        self.input(Input::TrackerMessage {
            tracker,
            text: Bytes::from(text),
        });
        let connection = self.accepted.take()?;
        self.input(Input::AnswerReady {
            connection,
            sdp: "v=0".to_owned(),
        });
        Some(connection)
    }

    /// A peer that is at the address `at` and says that it has those of `claimed`.
    fn call(&mut self, id: PeerId, at: u64, claimed: &[u64]) -> ConnectionId {
        let announced = format!("-XX0000-{:012}", self.offers);
        self.call_as(&announced, HASH, id, at, claimed)
    }

    /// The same in a torrent, announced under this id.
    fn call_as(
        &mut self,
        announced: &str,
        torrent: InfoHash,
        id: PeerId,
        at: u64,
        claimed: &[u64],
    ) -> ConnectionId {
        let connection = self.offer(torrent, announced).unwrap();
        self.input(Input::ConnectionOpen {
            connection,
            address_hash: at,
            claimed: claimed.to_vec(),
        });
        self.input(Input::Received {
            connection,
            bytes: Bytes::copy_from_slice(&Handshake::ours(torrent, id).encode()),
        });
        connection
    }

    fn is_refused(&self, connection: ConnectionId) -> bool {
        match self.closed.get(&connection) {
            None => false,
            Some(reason) => {
                assert_eq!(*reason, ClosedReason::NotNeeded("connected already"));
                true
            }
        }
    }
}

#[test]
fn a_peer_with_several_addresses_is_connected_once() {
    let mut called = Called::new();
    let first = called.call(ID, 4, &[4, 6]);
    for (at, claimed) in [(4, &[4, 6][..]), (4, &[]), (6, &[4, 6]), (6, &[9, 4])] {
        let again = called.call(ID, at, claimed);
        assert!(called.is_refused(again), "{at} {claimed:?}");
    }
    let another = called.call(OTHER_ID, 6, &[4, 6]);
    assert!(!called.is_refused(another) && !called.is_refused(first));
}

#[test]
fn who_says_that_it_is_somewhere_else_keeps_nobody_out_who_is_there() {
    let mut called = Called::new();
    // It gives another's id and address.
    let impostor = called.call(ID, 66, &[4, 6]);
    let honest = called.call(ID, 4, &[4, 6]);
    assert!(!called.is_refused(impostor) && !called.is_refused(honest));
    // Neither does one whose address is not known, to those whose is.
    let mut called = Called::new();
    let hidden = called.call(ID, 0, &[4]);
    let honest = called.call(ID, 4, &[4, 6]);
    assert!(!called.is_refused(hidden) && !called.is_refused(honest));
}

#[test]
fn who_is_connected_already_is_not_answered_again_under_the_id_it_came_by() {
    let mut called = Called::new();
    let first = called.call(ID, 4, &[]);
    let again = called.call_as("-XX0000-another id00", HASH, ID, 4, &[]);
    assert!(called.is_refused(again));
    assert!(called.offer(HASH, "-XX0000-another id00").is_none());
    called.input(Input::ConnectionClosed {
        connection: first,
        reason: "gone".to_owned(),
    });
    let back = called.call_as("-XX0000-another id00", HASH, ID, 4, &[]);
    assert!(!called.is_refused(back));
}

#[test]
fn torrents_are_announced_under_ids_of_their_own_and_peers_greeted_under_one() {
    let mut called = Called::new();
    called.add(NEXT);
    // An announce does not wait for ever for the offers that it asked for.
    called.now = NOW + Duration::from_secs(10);
    called.input(Input::Tick);
    let announced: BTreeMap<_, _> = called.announced.iter().copied().collect();
    assert_eq!((called.announced.len(), announced.len()), (2, 2));
    assert_ne!(announced[&HASH.0], announced[&NEXT.0]);
    for torrent in [HASH, NEXT] {
        let peer = called.call_as("-XX0000-any id there", torrent, ID, 4, &[]);
        assert!(!called.is_refused(peer));
    }
    let [me] = called.greeted.iter().copied().collect::<Vec<_>>()[..] else {
        panic!("{} ids in handshakes", called.greeted.len());
    };
    // So this peer knows itself, wherever it meets itself.
    for torrent in [HASH, NEXT] {
        let itself = called.call_as("-XX0000-this one too", torrent, me, 4, &[]);
        let reason = ClosedReason::NotNeeded("connected to ourselves");
        assert_eq!(called.closed.get(&itself), Some(&reason));
    }
}
