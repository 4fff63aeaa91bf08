use super::*;
use piecework_signaling_protocol::{Offer, Sdp};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

const NOW: Duration = Duration::from_secs(1000);
const HASH: InfoHash = InfoHash([7; 20]);

fn tracker() -> Tracker {
    Tracker::new(Limits::default(), [3; 32])
}

fn announce(peer: u8, offers: u8) -> Announce<'static> {
    Announce {
        info_hash: HASH,
        peer_id: PeerId([peer; 20]),
        event: Event::Update,
        uploaded: None,
        downloaded: None,
        left: Some(1),
        numwant: Some(u64::from(offers)),
        offers: (0..offers)
            .map(|n| Offer {
                offer_id: OfferId([n; 20]),
                sdp: Sdp::from_text("v=0").unwrap(),
            })
            .collect(),
        skipped_offers: 0,
    }
}

fn answer(peer: u8, to: u8, offer: u8) -> Request<'static> {
    Request::Answer(Answer {
        info_hash: HASH,
        peer_id: PeerId([peer; 20]),
        to_peer_id: PeerId([to; 20]),
        offer_id: OfferId([offer; 20]),
        sdp: Sdp::from_text("v=1").unwrap(),
    })
}

fn say(tracker: &mut Tracker, from: ConnectionId, request: Request<'_>) -> Vec<Output> {
    tracker.handle_request(NOW, from, Ok(request));
    outputs(tracker)
}

fn outputs(tracker: &mut Tracker) -> Vec<Output> {
    std::iter::from_fn(|| tracker.poll_output()).collect()
}

fn sent_to(outputs: &[Output], connection: ConnectionId) -> Vec<Response<'_>> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Send { to, text } if *to == connection => {
                Some(Response::parse(text, Default::default()).unwrap())
            }
            _ => None,
        })
        .collect()
}

fn failed(outputs: &[Output], connection: ConnectionId) -> bool {
    matches!(
        sent_to(outputs, connection)[..],
        [Response::Failure {
            info_hash: Some(HASH),
            ..
        }]
    )
}

#[test]
fn offers_go_to_distinct_others_and_never_to_the_offerer() {
    let mut tracker = tracker();
    let peers: Vec<_> = (0..8).map(|_| tracker.connect(NOW)).collect();
    for (n, peer) in peers.iter().enumerate() {
        say(&mut tracker, *peer, Request::Announce(announce(n as u8, 0)));
    }
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let out = say(&mut tracker, peers[3], Request::Announce(announce(3, 5)));
        let targets: Vec<_> = out
            .iter()
            .filter_map(|o| match o {
                Output::Send { to, text } if text.contains("\"offer\"") => Some(to.0),
                _ => None,
            })
            .collect();
        assert_eq!(targets.len(), 5);
        assert_eq!(targets.iter().collect::<HashSet<_>>().len(), 5);
        assert!(!targets.contains(&peers[3].0));
        seen.extend(targets);
    }
    assert_eq!(seen.len(), 7, "every other peer is chosen sometimes");
}

#[test]
fn an_answer_is_relayed_once_and_only_from_the_peer_that_got_the_offer() {
    let mut tracker = tracker();
    let [a, b, c] = [0; 3].map(|_| tracker.connect(NOW));
    say(&mut tracker, b, Request::Announce(announce(2, 0)));
    say(&mut tracker, a, Request::Announce(announce(1, 1)));
    say(&mut tracker, c, Request::Announce(announce(3, 0)));

    // c was not offered anything, and is not b.
    assert!(failed(&say(&mut tracker, c, answer(3, 1, 0)), c));
    assert!(failed(&say(&mut tracker, c, answer(2, 1, 0)), c));

    let out = say(&mut tracker, b, answer(2, 1, 0));
    assert!(matches!(
        sent_to(&out, a)[..],
        [Response::Answer {
            peer_id: PeerId([2, ..]),
            ..
        }]
    ));
    assert!(failed(&say(&mut tracker, b, answer(2, 1, 0)), b));
}

#[test]
fn who_takes_up_a_torrent_again_under_a_new_id_is_found_among_its_leftovers() {
    let mut tracker = tracker();
    let [a, b] = [0; 2].map(|_| tracker.connect(NOW));
    // As libtorrent does: an id for each time a torrent is added, and no farewell to the last one.
    for id in 10..20 {
        say(&mut tracker, b, Request::Announce(announce(id, 0)));
    }
    for _ in 0..20 {
        let out = say(&mut tracker, a, Request::Announce(announce(1, 1)));
        let offers = sent_to(&out, b);
        assert!(matches!(offers[..], [Response::Offer { .. }]), "{offers:?}");
        let out = say(&mut tracker, b, answer(19, 1, 0));
        assert!(matches!(
            sent_to(&out, a)[..],
            [Response::Answer {
                peer_id: PeerId([19, ..]),
                ..
            }]
        ));
    }
    // A peer that offers does not get its own offer by way of its leftovers, and several offers reach it as one peer.
    let out = say(&mut tracker, b, Request::Announce(announce(19, 5)));
    assert_eq!(sent_to(&out, a).len(), 1);
    assert_eq!(sent_to(&out, b).len(), 1, "the reply alone");
}

#[test]
fn leftovers_do_not_keep_an_announce_from_reaching_everybody_else() {
    let mut tracker = tracker();
    let [a, b, c] = [0; 3].map(|_| tracker.connect(NOW));
    for id in 10..13 {
        say(&mut tracker, b, Request::Announce(announce(id, 0)));
    }
    say(&mut tracker, c, Request::Announce(announce(2, 0)));
    for _ in 0..20 {
        let out = say(&mut tracker, a, Request::Announce(announce(1, 2)));
        assert_eq!(sent_to(&out, b).len(), 1);
        assert_eq!(sent_to(&out, c).len(), 1);
    }
}

/// An id of its own for each number.
fn numbered(n: u16) -> PeerId {
    let mut id = [b'x'; 20];
    id[..2].copy_from_slice(&n.to_be_bytes());
    PeerId(id)
}

/// A viewer and a seller beside connections that have this many ids each in their swarm, and never offer or answer.
struct Crowded {
    tracker: Tracker,
    now: Duration,
    viewer: ConnectionId,
    seller: ConnectionId,
    crowd: Vec<ConnectionId>,
}

impl Crowded {
    fn with(connections: u16, ids: u16) -> Crowded {
        let mut tracker = tracker();
        let [viewer, seller] = [0; 2].map(|_| tracker.connect(NOW));
        say(&mut tracker, seller, Request::Announce(announce(2, 0)));
        let mut crowded = Crowded {
            tracker,
            now: NOW,
            viewer,
            seller,
            crowd: Vec::new(),
        };
        for c in 0..connections {
            let stranger = crowded.tracker.connect(NOW);
            crowded.crowd.push(stranger);
            for n in 0..ids {
                // As fast as one connection may.
                crowded.now += Duration::from_millis(50);
                crowded.say_as(stranger, numbered(c * ids + n), Event::Update);
            }
        }
        crowded
    }

    fn say_as(&mut self, from: ConnectionId, peer_id: PeerId, event: Event) {
        let announce = Announce {
            peer_id,
            event,
            ..announce(0, 0)
        };
        let request = Ok(Request::Announce(announce));
        self.tracker.handle_request(self.now, from, request);
        assert!(!failed(&outputs(&mut self.tracker), from));
    }

    /// The number of announces in a hundred, each with this many offers, that send this connection an offer.
    fn reached(&mut self, whom: ConnectionId, offers: u8) -> usize {
        let announces = (0..100).map(|_| {
            self.now += Duration::from_secs(5);
            let request = Ok(Request::Announce(announce(1, offers)));
            self.tracker.handle_request(self.now, self.viewer, request);
            let out = outputs(&mut self.tracker);
            let reached = sent_to(&out, whom).len();
            assert!(reached <= 1, "one announce offers to a connection twice");
            reached
        });
        announces.sum()
    }
}

#[test]
fn however_many_ids_others_have_in_a_swarm_an_announce_reaches_as_many_connections() {
    for (connections, ids) in [(1, 1000), (4, 200)] {
        let mut crowded = Crowded::with(connections, ids);
        let seller = crowded.seller;
        assert_eq!(crowded.reached(seller, 5), 100, "{connections} x {ids}");
    }
}

#[test]
fn a_connection_with_many_ids_is_drawn_as_often_as_one_with_one() {
    let mut crowded = Crowded::with(9, 50);
    let all = [&[crowded.seller], &crowded.crowd[..]].concat();
    for whom in all {
        // Ten others, two offers: one in five.
        let reached = crowded.reached(whom, 2);
        assert!((8..=32).contains(&reached), "{whom:?}: {reached}");
    }
}

#[test]
fn whichever_of_its_ids_a_connection_leaves_with_it_is_reached_by_the_others() {
    for gone in [&[0, 1, 2][..], &[2, 1, 0], &[1, 3, 0], &[3, 0, 1]] {
        let mut crowded = Crowded::with(3, 4);
        for (c, whom) in crowded.crowd.clone().into_iter().enumerate() {
            for n in gone {
                crowded.say_as(whom, numbered(c as u16 * 4 + n), Event::Stopped);
                agrees(&crowded.tracker);
                assert_eq!(crowded.reached(whom, 4), 100, "{gone:?}");
            }
        }
    }
}

/// Each swarm's list has one member of each connection first, then the others, and each knows its place.
fn agrees(tracker: &Tracker) {
    for (id, swarm) in &tracker.swarms {
        let members: Vec<&Member> = (swarm.members.iter())
            .map(|member| &tracker.members[*member as usize])
            .collect();
        for (place, member) in members.iter().enumerate() {
            assert_eq!((member.swarm, member.position), (id as u32, place as u32));
        }
        let connections = |of: &[&Member]| of.iter().map(|m| m.connection).collect::<HashSet<_>>();
        let first = connections(&members[..swarm.connections as usize]);
        assert_eq!(first.len(), swarm.connections as usize);
        assert_eq!(first, connections(&members));
    }
}

#[test]
fn who_is_silent_for_three_intervals_leaves_the_swarm_and_comes_back_with_an_announce() {
    let mut tracker = tracker();
    let [a, b] = [0; 2].map(|_| tracker.connect(NOW));
    say(&mut tracker, a, Request::Announce(announce(1, 0)));
    say(&mut tracker, b, Request::Announce(announce(2, 0)));
    let interval = Limits::default().interval;
    let later = NOW + 2 * interval;
    tracker.handle_request(later, a, Ok(Request::Announce(announce(1, 0))));
    tracker.sweep(NOW + 3 * interval - Duration::from_millis(1));
    assert_eq!(tracker.peer_count(), 2);
    tracker.sweep(NOW + 3 * interval);
    assert_eq!(tracker.peer_count(), 1);
    outputs(&mut tracker);
    tracker.handle_request(NOW + 3 * interval, b, Ok(Request::Announce(announce(2, 1))));
    let out = outputs(&mut tracker);
    assert_eq!(sent_to(&out, a).len(), 1, "its offer arrives");
    assert_eq!(tracker.peer_count(), 2);
}

#[test]
fn an_offer_cannot_be_answered_after_its_lifetime() {
    let mut tracker = tracker();
    let [a, b] = [0; 2].map(|_| tracker.connect(NOW));
    say(&mut tracker, b, Request::Announce(announce(2, 0)));
    say(&mut tracker, a, Request::Announce(announce(1, 1)));
    let late = NOW + Limits::default().offer_lifetime;
    tracker.handle_request(late, b, Ok(answer(2, 1, 0)));
    assert!(failed(&outputs(&mut tracker), b));

    say(&mut tracker, a, Request::Announce(announce(1, 1)));
    tracker.sweep(late);
    assert_eq!(tracker.pending.len(), 0);
    assert!(tracker.members.iter().all(|(_, m)| m.pending == 0));
}

#[test]
fn a_peer_id_belongs_to_its_connection() {
    let mut tracker = tracker();
    let [owner, thief] = [0; 2].map(|_| tracker.connect(NOW));
    say(&mut tracker, owner, Request::Announce(announce(1, 0)));
    for event in [
        Event::Update,
        Event::Started,
        Event::Completed,
        Event::Stopped,
    ] {
        let spoofed = Announce {
            event,
            ..announce(1, 1)
        };
        let out = say(&mut tracker, thief, Request::Announce(spoofed));
        assert!(failed(&out, thief));
        assert!(out.contains(&Output::Probe(owner)));
        assert_eq!(tracker.peer_count(), 1);
        assert_eq!(tracker.size_of(HASH).downloaded, 0);
    }
    // Once the owner is gone, the id is free.
    tracker.disconnect(owner);
    let out = say(&mut tracker, thief, Request::Announce(announce(1, 0)));
    assert!(matches!(sent_to(&out, thief)[..], [Response::Announce(_)]));
}

#[test]
fn a_later_peer_in_the_same_slot_inherits_no_offer() {
    let mut tracker = tracker();
    let [a, b, c] = [0; 3].map(|_| tracker.connect(NOW));
    say(&mut tracker, b, Request::Announce(announce(2, 0)));
    say(&mut tracker, a, Request::Announce(announce(1, 1)));
    tracker.disconnect(a);
    // c takes a's slot and id, but never sent that offer.
    say(&mut tracker, c, Request::Announce(announce(1, 0)));
    let out = say(&mut tracker, b, answer(2, 1, 0));
    assert!(failed(&out, b));
    assert!(sent_to(&out, c).is_empty());
}

#[test]
fn counts_follow_the_events() {
    let mut tracker = tracker();
    let a = tracker.connect(NOW);
    let b = tracker.connect(NOW);
    let event = |peer, event, left| {
        Request::Announce(Announce {
            event,
            left,
            ..announce(peer, 0)
        })
    };
    let size = |tracker: &Tracker| {
        let s = tracker.size_of(HASH);
        (s.complete, s.incomplete, s.downloaded)
    };
    say(&mut tracker, a, event(1, Event::Started, None));
    say(&mut tracker, b, event(2, Event::Started, Some(0)));
    assert_eq!(size(&tracker), (1, 1, 0));
    say(&mut tracker, a, event(1, Event::Completed, Some(0)));
    say(&mut tracker, a, event(1, Event::Completed, Some(0)));
    assert_eq!(size(&tracker), (2, 0, 1));
    say(&mut tracker, b, event(2, Event::Stopped, Some(0)));
    assert_eq!(size(&tracker), (1, 0, 1));
    say(&mut tracker, a, event(1, Event::Stopped, Some(0)));
    assert_eq!(size(&tracker), (0, 0, 0));
    assert_eq!(tracker.swarm_count(), 0);
}

#[test]
fn a_flood_of_offers_is_cut_to_the_limits() {
    let limits = Limits {
        offers: Rate {
            per_second: 0.0,
            burst: 12.0,
        },
        ..Limits::default()
    };
    let mut tracker = Tracker::new(limits, [1; 32]);
    let flooder = tracker.connect(NOW);
    let victim = tracker.connect(NOW);
    say(&mut tracker, victim, Request::Announce(announce(2, 0)));
    let mut relayed = 0;
    for _ in 0..100 {
        let out = say(&mut tracker, flooder, Request::Announce(announce(1, 10)));
        relayed += sent_to(&out, victim).len();
        assert!(matches!(
            sent_to(&out, flooder)[..],
            [Response::Announce(_)]
        ));
    }
    assert_eq!(relayed, 12);
}

#[test]
fn who_offers_is_told_of_offers_that_nobody_gets() {
    let limits = Limits {
        pending_offers_per_peer: 3,
        ..Limits::default()
    };
    let mut tracker = Tracker::new(limits, [1; 32]);
    let [a, ..] = [1u8, 2, 3, 4, 5, 6].map(|peer| {
        let connection = tracker.connect(NOW);
        say(
            &mut tracker,
            connection,
            Request::Announce(announce(peer, 0)),
        );
        connection
    });
    let mut told = |offers: u8, skipped_offers: u32| {
        let announce = Announce {
            skipped_offers,
            ..announce(1, offers)
        };
        let out = say(&mut tracker, a, Request::Announce(announce));
        match &sent_to(&out, a)[..] {
            [Response::Announce(reply)] => reply.warning.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told(0, 0), None);
    let skipped = told(1, 2).unwrap();
    assert!(
        skipped.starts_with("2 offers were left out: each needs an offer_id of 20"),
        "{skipped}"
    );
    // There are five others, and room for two more offers to wait.
    let withheld = told(8, 0).unwrap();
    assert_eq!(withheld, "3 offers were not passed on: too many at once");
}

#[test]
fn torrents_beyond_the_limit_are_refused_by_a_word_that_names_it() {
    let limits = Limits {
        torrents_per_connection: 1,
        ..Limits::default()
    };
    let mut tracker = Tracker::new(limits, [1; 32]);
    let a = tracker.connect(NOW);
    say(&mut tracker, a, Request::Announce(announce(1, 0)));
    let second = InfoHash([8; 20]);
    let other = Announce {
        info_hash: second,
        ..announce(1, 0)
    };
    let out = say(&mut tracker, a, Request::Announce(other));
    let [
        Response::Failure {
            info_hash, reason, ..
        },
    ] = &sent_to(&out, a)[..]
    else {
        panic!("{out:?}");
    };
    assert_eq!(*info_hash, Some(second));
    assert_eq!(reason, "too many torrents on one connection: at most 1");
}

#[test]
fn unanswered_offers_of_one_peer_are_bounded() {
    let limits = Limits {
        pending_offers_per_peer: 3,
        ..Limits::default()
    };
    let mut tracker = Tracker::new(limits, [1; 32]);
    let connections: Vec<_> = (0..9).map(|_| tracker.connect(NOW)).collect();
    for (n, c) in connections.iter().enumerate() {
        say(&mut tracker, *c, Request::Announce(announce(n as u8, 0)));
    }
    for _ in 0..3 {
        say(
            &mut tracker,
            connections[0],
            Request::Announce(announce(0, 8)),
        );
    }
    assert_eq!(tracker.pending.len(), 3);
}

#[test]
fn one_who_never_slows_down_is_closed() {
    let limits = Limits {
        messages: Rate {
            per_second: 0.0,
            burst: 2.0,
        },
        max_strikes: 3,
        ..Limits::default()
    };
    let mut tracker = Tracker::new(limits, [1; 32]);
    let a = tracker.connect(NOW);
    for _ in 0..2 {
        let out = say(&mut tracker, a, Request::Announce(announce(1, 0)));
        assert!(matches!(sent_to(&out, a)[..], [Response::Announce(_)]));
    }
    for _ in 0..3 {
        assert!(failed(
            &say(&mut tracker, a, Request::Announce(announce(1, 0))),
            a
        ));
    }
    let out = say(&mut tracker, a, Request::Announce(announce(1, 0)));
    assert_eq!(out, [Output::Close(a)]);
}

#[test]
fn torrents_of_one_connection_are_bounded_and_can_be_left() {
    let limits = Limits {
        torrents_per_connection: 2,
        ..Limits::default()
    };
    let mut tracker = Tracker::new(limits, [1; 32]);
    let a = tracker.connect(NOW);
    let on = |hash: u8, event| {
        Request::Announce(Announce {
            info_hash: InfoHash([hash; 20]),
            event,
            ..announce(1, 0)
        })
    };
    say(&mut tracker, a, on(1, Event::Started));
    say(&mut tracker, a, on(2, Event::Started));
    let out = say(&mut tracker, a, on(3, Event::Started));
    assert!(matches!(sent_to(&out, a)[..], [Response::Failure { .. }]));
    say(&mut tracker, a, on(1, Event::Stopped));
    let out = say(&mut tracker, a, on(3, Event::Started));
    assert!(matches!(sent_to(&out, a)[..], [Response::Announce(_)]));
}

#[derive(Clone, Debug)]
enum Step {
    Connect,
    Disconnect(usize),
    Announce(usize, u8, u8, Event, bool),
    Answer(usize, u8, u8, u8),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let event = prop_oneof![
        3 => Just(Event::Update),
        1 => Just(Event::Stopped),
        1 => Just(Event::Completed)
    ];
    prop_oneof![
        1 => Just(Step::Connect),
        1 => (0..8usize).prop_map(Step::Disconnect),
        6 => (0..8usize, 0..8u8, 0..4u8, event, any::<bool>())
            .prop_map(|(c, p, o, e, s)| Step::Announce(c, p, o, e, s)),
        4 => (0..8usize, 0..8u8, 0..8u8, 0..4u8).prop_map(|(c, p, t, o)| Step::Answer(c, p, t, o)),
        1 => prop_oneof![8 => 0..40u16, 1 => 300..400u16].prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever connections do, the tracker agrees with the plain model about the owner of each id, and about the
    /// offers that reached a peer and were not answered yet.
    #[test]
    fn behaves_like_the_plain_model(steps in proptest::collection::vec(step(), 1..120)) {
        let mut tracker = tracker();
        let mut now = NOW;
        let mut owners: HashMap<u8, (ConnectionId, bool, Duration)> = HashMap::new();
        let mut live: Vec<ConnectionId> = Vec::new();
        // (from, to, offer) -> when relayed
        let mut relayed: HashMap<(u8, ConnectionId, u8), Duration> = HashMap::new();
        for step in steps {
            match step {
                Step::Connect => live.push(tracker.connect(now)),
                Step::Disconnect(n) => if !live.is_empty() {
                    let gone = live.remove(n % live.len());
                    tracker.disconnect(gone);
                    let left: Vec<u8> = owners.iter()
                        .filter(|(_, (c, _, _))| *c == gone).map(|(p, _)| *p).collect();
                    for p in left {
                        owners.remove(&p);
                        relayed.retain(|(f, _, _), _| *f != p);
                    }
                    relayed.retain(|(_, t, _), _| *t != gone);
                },
                Step::Announce(n, peer, offers, event, seeder) => if !live.is_empty() {
                    let from = live[n % live.len()];
                    let request = Announce {
                        event, left: Some(u64::from(!seeder)), ..announce(peer, offers)
                    };
                    tracker.handle_request(now, from, Ok(Request::Announce(request)));
                    let out = outputs(&mut tracker);
                    if owners.get(&peer).is_some_and(|(c, _, _)| *c != from) {
                        prop_assert!(failed(&out, from));
                        continue;
                    }
                    if event == Event::Stopped {
                        owners.remove(&peer);
                        relayed.retain(|(f, _, _), _| *f != peer);
                    } else {
                        owners.insert(peer, (from, seeder || event == Event::Completed, now));
                        let mut reached = HashSet::new();
                        for o in &out {
                            let Output::Send { to, text } = o else { continue };
                            let Ok(Response::Offer { peer_id, offer, .. }) =
                                Response::parse(text, Default::default()) else { continue };
                            prop_assert_eq!(peer_id.0[0], peer);
                            prop_assert!(*to != from && reached.insert(*to));
                            relayed.insert((peer, *to, offer.offer_id.0[0]), now);
                        }
                        let others: HashSet<_> =
                            owners.values().map(|(c, _, _)| *c).filter(|c| *c != from).collect();
                        prop_assert_eq!(reached.len(), usize::from(offers).min(others.len()));
                    }
                },
                Step::Answer(n, peer, to, offer) => if !live.is_empty() {
                    let from = live[n % live.len()];
                    tracker.handle_request(now, from, Ok(answer(peer, to, offer)));
                    let out = outputs(&mut tracker);
                    let arrived = out.iter().any(|o| matches!(o,
                        Output::Send { text, .. } if text.contains("\"answer\":{")));
                    if arrived {
                        prop_assert_eq!(owners.get(&peer).map(|(c, _, _)| *c), Some(from));
                        let at = relayed.remove(&(to, from, offer));
                        prop_assert!(at.is_some_and(|at| now - at < Limits::default().offer_lifetime));
                        let owner = owners[&to].0;
                        prop_assert!(!sent_to(&out, owner).is_empty());
                    } else {
                        prop_assert!(failed(&out, from));
                    }
                },
                Step::Wait(seconds) => {
                    now += Duration::from_secs(u64::from(seconds));
                    tracker.sweep(now);
                    let silence = Limits::default().interval * SILENT_INTERVALS;
                    owners.retain(|_, (_, _, heard)| now - *heard < silence);
                    relayed.retain(|(f, _, _), _| owners.contains_key(f));
                }
            }
            let size = tracker.size_of(HASH);
            prop_assert_eq!(size.complete as usize, owners.values().filter(|(_, s, _)| *s).count());
            prop_assert_eq!(size.incomplete as usize, owners.values().filter(|(_, s, _)| !*s).count());
            prop_assert_eq!(tracker.peer_count(), owners.len());
            agrees(&tracker);
        }
        for connection in live {
            tracker.disconnect(connection);
        }
        tracker.sweep(now + Duration::from_secs(100));
        prop_assert_eq!((tracker.swarm_count(), tracker.peer_count()), (0, 0));
        prop_assert_eq!(tracker.pending.len(), 0);
        prop_assert_eq!(tracker.by_peer.len() + tracker.by_hash.len(), 0);
    }
}

fn naming(secret: bool) -> Tracker {
    let mut tracker = tracker();
    tracker.name_ice_servers(IceConfig {
        stun: vec!["stun:s.example".to_owned()],
        turn: vec!["turn:t.example".to_owned()],
        secret: secret.then(|| crate::TurnSecret::from_file("0123456789abcdef").unwrap()),
        ttl: Duration::from_secs(400),
    });
    tracker.tell_date(NOW, 1_700_000_000);
    tracker
}

/// The servers in the one reply to an announce of this peer, sent then.
fn named(
    tracker: &mut Tracker,
    at: Duration,
    from: ConnectionId,
    announce: Announce<'static>,
) -> Option<IceServers> {
    tracker.handle_request(at, from, Ok(Request::Announce(announce)));
    let outputs = outputs(tracker);
    match &sent_to(&outputs, from)[..] {
        [Response::Announce(reply)] => reply.ice.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reply_names_servers_with_credentials_that_end() {
    let mut tracker = naming(true);
    let from = tracker.connect(NOW);
    tracker.set_subscriber(from, 0xabc);
    let ice = named(&mut tracker, NOW, from, announce(1, 0)).unwrap();
    assert_eq!(ice.ttl_secs, 400);
    assert_eq!(ice.servers[0].urls, ["stun:s.example"]);
    assert_eq!(ice.servers[1].urls, ["turn:t.example"]);
    assert_eq!(ice.servers[1].username, "1700000400:0000000000000abc");
}

#[test]
fn without_a_secret_only_stun_servers_are_named() {
    let mut tracker = naming(false);
    let from = tracker.connect(NOW);
    let ice = named(&mut tracker, NOW, from, announce(1, 0)).unwrap();
    assert_eq!(ice.servers.len(), 1);
    assert_eq!(ice.servers[0].username, "");
}

#[test]
fn a_connection_gets_others_after_a_quarter_of_their_time_however_often_it_asks() {
    let mut tracker = naming(true);
    let from = tracker.connect(NOW);
    let issued: Vec<u64> = (0..500)
        .filter(|second| {
            let at = NOW + Duration::from_secs(*second);
            let peer = announce((*second % 200) as u8, 0);
            named(&mut tracker, at, from, peer).is_some()
        })
        .collect();
    assert_eq!(issued, [0, 100, 200, 300, 400]);
}

#[test]
fn a_peer_that_stops_gets_none() {
    let mut tracker = naming(true);
    let from = tracker.connect(NOW);
    let stopped = Announce {
        event: Event::Stopped,
        ..announce(1, 0)
    };
    assert_eq!(named(&mut tracker, NOW, from, stopped), None);
}
