//! The peer's signaling core against the real tracker logic, on a virtual clock: no sockets, but
//! every message goes through both ends' encoders and parsers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use piecework::signaling::{
    MAX_TORRENTS, Signaling, SignalingAction, SignalingConfig, SignalingEvent,
};
use piecework::time::{Duration, Timestamp};
use piecework::types::{ConnectionId, InfoHash, PeerId, TrackerId};
use piecework_signaling::tracker::{self, Limits, Output, Tracker};
use piecework_signaling_protocol::{self as protocol, Announce, Event, Request};
use std::collections::{BTreeMap, BTreeSet};

const HASH: InfoHash = InfoHash([7; 20]);
const TRACKERS: usize = 2;

struct Server {
    tracker: Tracker,
    /// The peer at the other end of a connection.
    peers: BTreeMap<usize, usize>,
    up: bool,
}

struct Peer {
    signaling: Signaling,
    trackers: Vec<TrackerId>,
    sockets: [Option<tracker::ConnectionId>; TRACKERS],
    /// The text in the descriptions of a connection: the offering peer and its connection.
    offers: BTreeMap<ConnectionId, (usize, ConnectionId)>,
    established: BTreeSet<ConnectionId>,
}

/// Many peers, two servers. A description is the text `peer connection`; a channel opens when the
/// offering side applies an answer, if the answering side still has its end.
struct World {
    now: Timestamp,
    servers: [Server; TRACKERS],
    peers: Vec<Peer>,
    made: usize,
    /// The servers' refusals.
    refused: Vec<String>,
    /// The ids of all announces.
    announced: BTreeSet<PeerId>,
    /// The connection by which the first of two peers has met the second in a swarm.
    met: BTreeMap<(InfoHash, usize, usize), ConnectionId>,
    /// Connections between two peers that had one already.
    doubled: usize,
}

impl World {
    fn new(peers: usize, wanted: usize) -> Self {
        let servers = std::array::from_fn(|n| Server {
            tracker: Tracker::new(Limits::default(), [n as u8; 32]),
            peers: BTreeMap::new(),
            up: true,
        });
        let now = Timestamp::from_millis(1_000_000);
        let peers = (0..peers)
            .map(|n| {
                let config = SignalingConfig::new(PeerId([n as u8 + 1; 20]));
                let mut signaling = Signaling::new(config, [n as u8 + 100; 32]);
                let trackers: Vec<_> = (0..TRACKERS)
                    .map(|t| {
                        signaling
                            .add_tracker(&format!("ws://t{t}.example"))
                            .unwrap()
                    })
                    .collect();
                signaling.announce_start(now, HASH, &trackers).unwrap();
                signaling.set_wanted(now, HASH, wanted);
                Peer {
                    signaling,
                    trackers,
                    sockets: [None; TRACKERS],
                    offers: BTreeMap::new(),
                    established: BTreeSet::new(),
                }
            })
            .collect();
        World {
            now,
            servers,
            peers,
            made: 0,
            refused: Vec::new(),
            announced: BTreeSet::new(),
            met: BTreeMap::new(),
            doubled: 0,
        }
    }

    fn since_start(&self) -> std::time::Duration {
        self.now.since(Timestamp::ZERO)
    }

    fn settle(&mut self) {
        loop {
            let mut idle = true;
            for n in 0..self.peers.len() {
                while let Some(action) = self.peers[n].signaling.poll() {
                    idle = false;
                    self.carry_out(n, action);
                }
            }
            if idle {
                return;
            }
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.settle();
            let next = self
                .peers
                .iter()
                .map(|p| p.signaling.next_timeout())
                .min()
                .unwrap();
            if next > end {
                self.now = end;
                return;
            }
            assert!(next > self.now, "time stands still");
            self.now = next;
            for peer in &mut self.peers {
                peer.signaling.tick(self.now);
            }
            for server in &mut self.servers {
                server.tracker.sweep(self.now.since(Timestamp::ZERO));
            }
        }
    }

    fn carry_out(&mut self, n: usize, action: SignalingAction) {
        let now = self.now;
        let index = |peer: &Peer, id| peer.trackers.iter().position(|t| *t == id).unwrap();
        match action {
            SignalingAction::ConnectTracker { tracker, .. } => {
                let t = index(&self.peers[n], tracker);
                if !self.servers[t].up {
                    return self.peers[n]
                        .signaling
                        .tracker_closed(now, tracker, "refused");
                }
                let connection = self.servers[t].tracker.connect(now.since(Timestamp::ZERO));
                self.servers[t].peers.insert(connection.0, n);
                self.peers[n].sockets[t] = Some(connection);
                self.peers[n].signaling.tracker_connected(now, tracker);
            }
            SignalingAction::CloseTracker { tracker } => {
                let t = index(&self.peers[n], tracker);
                if let Some(connection) = self.peers[n].sockets[t].take() {
                    self.servers[t].tracker.disconnect(connection);
                    self.servers[t].peers.remove(&connection.0);
                }
            }
            SignalingAction::SendTracker { tracker, text } => {
                let t = index(&self.peers[n], tracker);
                let connection = self.peers[n].sockets[t].expect("an open socket");
                let request = Request::parse(&text, Limits::default().parser());
                assert!(request.is_ok(), "{text}");
                if let Ok(Request::Announce(announce)) = &request {
                    self.announced.insert(PeerId(announce.peer_id.0));
                }
                let since_start = self.since_start();
                self.servers[t]
                    .tracker
                    .handle_request(since_start, connection, request);
                self.deliver(t);
            }
            SignalingAction::CreateOffer { connection, .. } => {
                self.made += 1;
                let sdp = format!("{n} {}", connection.0);
                self.peers[n].offers.insert(connection, (n, connection));
                self.peers[n].signaling.offer_ready(now, connection, &sdp);
            }
            SignalingAction::AcceptOffer {
                connection, sdp, ..
            } => {
                let offerer = parse(&sdp);
                self.peers[n].offers.insert(connection, offerer);
                let sdp = format!("{n} {}", connection.0);
                self.peers[n].signaling.answer_ready(now, connection, &sdp);
            }
            SignalingAction::ApplyAnswer {
                connection,
                info_hash,
                sdp,
                ..
            } => {
                let (other, theirs) = parse(&sdp);
                // Only if the other side has not dropped its end, as with a real channel.
                if self.peers[other].offers.get(&theirs) == Some(&(n, connection)) {
                    self.establish(info_hash, (n, connection), (other, theirs));
                }
            }
            SignalingAction::DropConnection { connection } => {
                self.peers[n].offers.remove(&connection);
                assert!(!self.peers[n].established.contains(&connection));
            }
            SignalingAction::Event(SignalingEvent::Refused { reason, .. }) => {
                self.refused.push(reason);
            }
            // The server of these tests names none.
            SignalingAction::UseIceServers { .. } | SignalingAction::Event(_) => {}
        }
    }

    /// A channel opens, and the handshake tells the first of its ends whether the peer of the other is connected
    /// already.
    fn establish(
        &mut self,
        info_hash: InfoHash,
        first: (usize, ConnectionId),
        second: (usize, ConnectionId),
    ) {
        let now = self.now;
        let met = (info_hash, first.0, second.0);
        let before = self.met.get(&met).copied();
        for (n, connection) in [first, second] {
            let signaling = &mut self.peers[n].signaling;
            signaling.connection_established(now, connection);
        }
        if let Some(before) = before {
            self.doubled += 1;
            let knows = &mut self.peers[first.0].signaling;
            knows.connection_doubled(now, first.1, before);
            let told = &mut self.peers[second.0].signaling;
            return told.connection_closed(now, second.1);
        }
        for ((n, connection), (other, _)) in [(first, second), (second, first)] {
            self.peers[n].established.insert(connection);
            self.met.insert((info_hash, n, other), connection);
        }
    }

    fn deliver(&mut self, t: usize) {
        while let Some(output) = self.servers[t].tracker.poll_output() {
            let (Output::Send { to, .. } | Output::Probe(to) | Output::Close(to)) = output;
            let Some(&n) = self.servers[t].peers.get(&to.0) else {
                // A stranger: it is alive, and says nothing.
                continue;
            };
            let Output::Send { text, .. } = output else {
                panic!("honest peers are neither probed nor closed: {output:?}");
            };
            let tracker = self.peers[n].trackers[t];
            let now = self.now;
            self.peers[n]
                .signaling
                .tracker_message(now, tracker, text.as_bytes());
        }
    }

    fn stop_server(&mut self, t: usize) {
        self.servers[t].up = false;
        self.servers[t].tracker = Tracker::new(Limits::default(), [77; 32]);
        self.servers[t].peers.clear();
        for peer in &mut self.peers {
            if peer.sockets[t].take().is_some() {
                peer.signaling
                    .tracker_closed(self.now, peer.trackers[t], "reset");
            }
        }
    }

    /// A stranger connects to both servers and announces itself in a swarm under these ids.
    fn take_ids(&mut self, info_hash: InfoHash, ids: &BTreeSet<PeerId>) {
        let now = self.since_start();
        for t in 0..TRACKERS {
            let stranger = self.servers[t].tracker.connect(now);
            for id in ids {
                let announce = Request::Announce(Announce {
                    info_hash: protocol::InfoHash(info_hash.0),
                    peer_id: protocol::PeerId(id.0),
                    event: Event::Started,
                    uploaded: None,
                    downloaded: None,
                    left: None,
                    numwant: None,
                    offers: Vec::new(),
                    skipped_offers: 0,
                });
                let tracker = &mut self.servers[t].tracker;
                tracker.handle_request(now, stranger, Ok(announce));
            }
            self.deliver(t);
        }
    }

    fn pairs(&self) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for (n, peer) in self.peers.iter().enumerate() {
            for connection in &peer.established {
                let (offerer, _) = peer.offers[connection];
                if offerer != n {
                    pairs.push((offerer.min(n), offerer.max(n)));
                }
            }
        }
        pairs.sort_unstable();
        pairs
    }
}

fn parse(sdp: &str) -> (usize, ConnectionId) {
    let (peer, connection) = sdp.split_once(' ').unwrap();
    (
        peer.parse().unwrap(),
        ConnectionId(connection.parse().unwrap()),
    )
}

#[test]
fn two_peers_find_each_other_within_seconds() {
    let mut world = World::new(2, 5);
    world.run(Duration::from_secs(10));
    assert_eq!(world.pairs(), [(0, 1)]);
}

#[test]
fn a_swarm_connects_without_a_pair_twice_and_without_more_than_wanted() {
    let mut world = World::new(12, 6);
    world.run(Duration::from_secs(600));
    assert_eq!(world.doubled, 0);
    for peer in &world.peers {
        assert!(peer.established.len() >= 3, "{}", peer.established.len());
        assert!(peer.established.len() <= 12);
    }
}

#[test]
fn unanswered_offers_do_not_pile_up_for_a_lonely_peer() {
    let mut world = World::new(1, 10);
    world.run(Duration::from_secs(3600));
    // Ten at a time, each for its lifetime of five minutes.
    assert!(world.made <= 10 * 14, "{}", world.made);
    assert!(world.peers[0].offers.len() <= 10);
}

#[test]
fn announces_resume_by_themselves_after_a_server_restart() {
    let mut world = World::new(3, 5);
    world.run(Duration::from_secs(30));
    assert_eq!(world.pairs().len(), 3);
    for t in 0..TRACKERS {
        world.stop_server(t);
    }
    world.run(Duration::from_secs(300));
    assert_eq!(
        world.pairs().len(),
        3,
        "open connections do not need a server"
    );
    for server in &mut world.servers {
        server.up = true;
    }
    world.run(Duration::from_secs(200));
    for server in &world.servers {
        assert_eq!(server.tracker.peer_count(), 3);
    }
}

#[test]
fn who_takes_the_ids_of_a_swarm_while_its_servers_restart_keeps_nobody_out() {
    let mut world = World::new(3, 5);
    world.run(Duration::from_secs(30));
    let ids = world.announced.clone();
    assert_eq!(ids.len(), 3);
    for t in 0..TRACKERS {
        world.stop_server(t);
        world.servers[t].up = true;
    }
    world.take_ids(HASH, &ids);
    world.run(Duration::from_secs(60));
    assert!(!world.refused.is_empty(), "the stranger came first");
    for server in &world.servers {
        assert_eq!(server.tracker.peer_count(), 6);
    }
    // They want more connections, and try each other's new ids, but not again and again.
    world.run(Duration::from_secs(3600));
    assert!(world.doubled <= 6, "{}", world.doubled);
}

#[test]
fn who_takes_an_id_that_it_saw_in_one_swarm_gets_none_of_the_next() {
    let next = InfoHash([8; 20]);
    let mut world = World::new(2, 5);
    world.run(Duration::from_secs(10));
    let ids = world.announced.clone();
    world.take_ids(next, &ids);
    for n in 0..2 {
        let (now, trackers) = (world.now, world.peers[n].trackers.clone());
        let signaling = &mut world.peers[n].signaling;
        signaling.announce_start(now, next, &trackers).unwrap();
        signaling.set_wanted(now, next, 5);
    }
    world.run(Duration::from_secs(10));
    assert_eq!(world.refused, [""; 0]);
    assert_eq!(world.pairs(), [(0, 1), (0, 1)]);
}

#[test]
fn one_live_tracker_of_two_is_enough() {
    let mut world = World::new(4, 5);
    world.stop_server(0);
    world.run(Duration::from_secs(60));
    assert_eq!(world.pairs().len(), 6);
}

#[test]
fn leaving_tells_every_tracker() {
    let mut world = World::new(2, 5);
    world.run(Duration::from_secs(10));
    let now = world.now;
    world.peers[0].signaling.announce_stop(now, HASH);
    world.settle();
    for server in &world.servers {
        assert_eq!(server.tracker.peer_count(), 1);
    }
}

#[test]
fn all_torrents_of_the_fullest_client_are_found_on_one_socket() {
    let torrent = |n: usize| {
        let mut hash = [1; 20];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        InfoHash(hash)
    };
    let mut world = World::new(2, 5);
    let (now, trackers) = (world.now, world.peers[0].trackers.clone());
    let holder = &mut world.peers[0].signaling;
    for n in 1..MAX_TORRENTS {
        holder.announce_start(now, torrent(n), &trackers).unwrap();
        holder.set_progress(torrent(n), 0, 0, Some(0));
        holder.set_wanted(now, torrent(n), 1);
    }
    world.run(Duration::from_secs(130));
    assert_eq!(world.refused, [""; 0]);
    for server in &world.servers {
        assert_eq!(server.tracker.swarm_count(), MAX_TORRENTS);
    }
    let mut met = world.peers[1].established.len();
    for n in [1, 300, MAX_TORRENTS - 1] {
        let now = world.now;
        let seeker = &mut world.peers[1].signaling;
        seeker.announce_start(now, torrent(n), &trackers).unwrap();
        seeker.set_wanted(now, torrent(n), 1);
        world.run(Duration::from_secs(10));
        let now_met = world.peers[1].established.len();
        assert!(now_met > met, "torrent {n}");
        met = now_met;
    }
}
