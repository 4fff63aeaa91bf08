//! Whom a client takes a peer for that has several addresses, or says that it has.

use std::collections::BTreeMap;

use bytes::Bytes;
use piecework::client::{AddOptions, Client, ClosedReason, Command, Config, Input, Output, Source};
use piecework::time::Timestamp;
use piecework::types::{ConnectionId, InfoHash, PeerId};
use piecework::wire::Handshake;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const HASH: InfoHash = InfoHash([0x61; 20]);
const TRACKER: &str = "wss://tracker.example/";
const ID: PeerId = PeerId(*b"-XX0000-abcdefghijkl");
const OTHER_ID: PeerId = PeerId(*b"-XX0000-mnopqrstuvwx");

/// A client that peers connect to.
struct Called {
    client: Client,
    offers: u8,
    accepted: Option<ConnectionId>,
    closed: BTreeMap<ConnectionId, ClosedReason>,
}

impl Called {
    fn new() -> Called {
        let config = Config {
            trackers: vec![TRACKER.to_owned()],
            ..Config::default()
        };
        let mut called = Called {
            client: Client::new(config, [7; 32], [], NOW),
            offers: 0,
            accepted: None,
            closed: BTreeMap::new(),
        };
        called.input(Input::Command(Command::Add {
            tag: 1,
            source: Source::Magnet(format!("magnet:?xt=urn:btih:{HASH}")),
            options: AddOptions::default(),
        }));
        called
    }

    fn input(&mut self, input: Input) {
        self.client.handle_input(NOW, input);
        loop {
            match self.client.poll_output() {
                Output::Timeout(_) => break,
                Output::ConnectTracker { tracker, .. } => {
                    self.client
                        .handle_input(NOW, Input::TrackerConnected { tracker });
                }
                Output::AcceptOffer { connection, .. } => self.accepted = Some(connection),
                Output::CloseConnection { connection, reason } => {
                    self.closed.insert(connection, reason);
                }
                _ => {}
            }
        }
    }

    /// A peer that is at the address `at` and says that it has those of `claimed`.
    fn call(&mut self, id: PeerId, at: u64, claimed: &[u64]) -> ConnectionId {
        self.offers += 1;
        let text = format!(
            r#"{{"action":"announce","info_hash":"{hash}","peer_id":"{peer}","offer_id":"{offer:020}","offer":{{"type":"offer","sdp":"v=0"}}}}"#,
            hash = "a".repeat(20),
            peer = format_args!("-XX0000-{:012}", self.offers),
            offer = self.offers,
        );
        let tracker = piecework::types::TrackerId(0);
        self.input(Input::TrackerMessage {
            tracker,
            text: Bytes::from(text),
        });
        let connection = self.accepted.take().unwrap();
        self.input(Input::AnswerReady {
            connection,
            sdp: "v=0".to_owned(),
        });
        self.input(Input::ConnectionOpen {
            connection,
            address_hash: at,
            claimed: claimed.to_vec(),
        });
        self.input(Input::Received {
            connection,
            bytes: Bytes::copy_from_slice(&Handshake::ours(HASH, id).encode()),
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
