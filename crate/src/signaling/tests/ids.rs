//! The ids under which this peer is announced.

use super::*;

const OTHER: InfoHash = InfoHash([8; 20]);

/// An announce or answer to a tracker of a torrent.
struct Said {
    tracker: TrackerId,
    info_hash: InfoHash,
    peer_id: PeerId,
    /// `None`: it is an answer.
    event: Option<AnnounceEvent>,
    offers: BTreeSet<OfferId>,
}

fn said(actions: &[SignalingAction]) -> Vec<Said> {
    let said = actions.iter().filter_map(|action| match action {
        SignalingAction::SendTracker { tracker, text } => Some((*tracker, text)),
        _ => None,
    });
    said.map(|(tracker, text)| {
        let (info_hash, peer_id, event, offers) = match Request::parse(text, Default::default()) {
            Ok(Request::Announce(a)) => {
                let offers = a.offers.iter().map(|offer| offer.offer_id).collect();
                (a.info_hash, a.peer_id, Some(a.event), offers)
            }
            Ok(Request::Answer(a)) => (a.info_hash, a.peer_id, None, BTreeSet::new()),
            _ => panic!("{text}"),
        };
        Said {
            tracker,
            info_hash: InfoHash(info_hash.0),
            peer_id: PeerId(peer_id.0),
            event,
            offers,
        }
    })
    .collect()
}

/// The next message to a tracker.
fn next_said(rig: &mut Rig) -> Vec<Said> {
    loop {
        let said = said(&rig.run());
        if !said.is_empty() {
            return said;
        }
        rig.advance(Duration::from_secs(600));
    }
}

/// One torrent at two open trackers, which both know it.
fn at_two_trackers() -> (Rig, [TrackerId; 2]) {
    let (mut rig, a) = Rig::announced(2);
    let b = rig.signaling.add_tracker("ws://b.example").unwrap();
    rig.signaling.announce_start(rig.now, HASH, &[b]).unwrap();
    rig.signaling.tracker_connected(rig.now, b);
    let mut told = BTreeSet::new();
    while told.len() < 2 {
        told.extend(next_said(&mut rig).iter().map(|said| said.tracker));
    }
    (rig, [a, b])
}

#[test]
fn an_id_that_is_seen_in_one_swarm_is_used_in_no_other() {
    let (mut rig, tracker) = Rig::announced(1);
    let mut seen = vec![said(&rig.run())[0].peer_id];
    let mut start = |rig: &mut Rig, info_hash| {
        rig.signaling
            .announce_start(rig.now, info_hash, &[tracker])
            .unwrap();
        let said = said(&rig.run());
        assert_eq!((said.len(), said[0].info_hash), (1, info_hash));
        seen.push(said[0].peer_id);
    };
    start(&mut rig, OTHER);
    start(&mut rig, InfoHash([9; 20]));
    // Nor in the same one later, nor is one that a former torrent had.
    rig.signaling.announce_stop(rig.now, HASH);
    rig.run();
    start(&mut rig, InfoHash([10; 20]));
    start(&mut rig, HASH);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 5);
    // All say which client this is.
    assert!(seen.iter().all(|id| id.0[..8] == ME.0[..8]));
}

#[test]
fn whose_id_somebody_else_has_comes_under_another_with_the_same_offers() {
    let (mut rig, tracker) = Rig::announced(3);
    let first = said(&rig.run());
    let (mut ids, offers) = (BTreeSet::from([first[0].peer_id]), &first[0].offers);
    assert_eq!(offers.len(), 3);
    for pause in [5, 10, 20] {
        let refused = rig.now;
        rig.refuse(tracker, protocol::PEER_ID_IN_USE);
        let again = next_said(&mut rig);
        assert!(ids.insert(again[0].peer_id), "an id that was refused");
        assert!(again[0].offers == *offers, "nobody was offered these");
        let waited = rig.now.since(refused).as_secs();
        assert!((pause..=2 * pause).contains(&waited), "{waited}");
    }
    // Where it is taken, it stays.
    rig.reply(tracker, 120);
    assert!(!ids.insert(next_said(&mut rig)[0].peer_id));
}

#[test]
fn whose_id_was_taken_while_its_socket_was_lost_comes_under_another() {
    let (mut rig, tracker) = Rig::announced(1);
    let lost = said(&rig.run())[0].peer_id;
    rig.reply(tracker, 120);
    rig.signaling.tracker_closed(rig.now, tracker, "gone");
    rig.run();
    rig.advance(Duration::from_secs(10));
    rig.run();
    rig.signaling.tracker_connected(rig.now, tracker);
    assert!(next_said(&mut rig)[0].peer_id == lost);
    rig.refuse(tracker, protocol::PEER_ID_IN_USE);
    assert!(next_said(&mut rig)[0].peer_id != lost);
}

#[test]
fn an_announce_that_is_refused_for_anything_else_comes_under_the_same_id() {
    let (mut rig, tracker) = Rig::announced(1);
    let first = said(&rig.run())[0].peer_id;
    for reason in ["too many messages, slow down", "unregistered torrent", ""] {
        rig.refuse(tracker, reason);
        assert!(next_said(&mut rig)[0].peer_id == first, "{reason}");
    }
}

#[test]
fn a_tracker_that_refuses_each_id_changes_none_anywhere_else() {
    let (mut rig, [honest, hostile]) = at_two_trackers();
    let known = rig.me();
    let (mut there, mut here) = (BTreeSet::from([known]), 0);
    rig.reply(honest, 120);
    rig.refuse(hostile, protocol::PEER_ID_IN_USE);
    while there.len() < 10 || here < 3 {
        for said in next_said(&mut rig) {
            if said.tracker == honest {
                assert!(said.peer_id == known);
                rig.reply(honest, 120);
                here += 1;
            } else {
                assert!(there.insert(said.peer_id), "an id that was refused");
                rig.refuse(hostile, protocol::PEER_ID_IN_USE);
            }
        }
    }
}

#[test]
fn a_tracker_that_took_an_id_is_answered_and_told_of_the_end_under_it() {
    let (mut rig, [a, b]) = at_two_trackers();
    let known = rig.me();
    rig.refuse(a, protocol::PEER_ID_IN_USE);
    let next = rig.signaling.torrents.get(&HASH).unwrap().next_id_at(a);
    assert!(next != known);
    rig.run();
    rig.offer_from(b, 1);
    let answer = said(&rig.run());
    assert!(answer.len() == 1 && answer[0].event.is_none());
    assert!(answer[0].tracker == b && answer[0].peer_id == known);
    // A peer under either id is this peer itself.
    for mine in [known, next] {
        rig.offer_from_peer(b, mine);
        assert_eq!(accepted(&rig.run()), 0);
    }
    rig.signaling.announce_stop(rig.now, HASH);
    let stopped = said(&rig.run());
    assert!(stopped.len() == 1, "who refused has nothing to forget");
    assert!(stopped[0].event == Some(AnnounceEvent::Stopped));
    assert!(stopped[0].tracker == b && stopped[0].peer_id == known);
}

#[test]
fn a_peer_that_comes_under_a_second_id_is_met_once_while_it_is_connected() {
    let (mut rig, tracker) = Rig::announced(9);
    let offers: Vec<OfferId> = said(&rig.run())[0].offers.iter().copied().collect();
    let meet = |rig: &mut Rig, remote| {
        rig.offer_from(tracker, remote);
        let seen = rig.run();
        let connection = seen.iter().find_map(|action| match action {
            SignalingAction::AcceptOffer { connection, .. } => Some(*connection),
            _ => None,
        })?;
        rig.signaling.connection_established(rig.now, connection);
        Some(connection)
    };
    let first = meet(&mut rig, 1).unwrap();
    for alias in [2, 3] {
        let second = meet(&mut rig, alias).unwrap();
        rig.signaling.connection_doubled(rig.now, second, first);
    }
    let other = meet(&mut rig, 4).unwrap();
    rig.signaling.connection_closed(rig.now, other);
    for alias in [2, 3] {
        assert!(meet(&mut rig, alias).is_none());
    }
    rig.answer_from(tracker, 2, offers[0]);
    let applied = |action: &SignalingAction| matches!(action, SignalingAction::ApplyAnswer { .. });
    assert!(!rig.run().iter().any(applied));
    // Its connection brings nothing: that connection may be somebody else's.
    rig.signaling.set_starving(HASH, true);
    assert!(meet(&mut rig, 2).is_some());
    rig.signaling.set_starving(HASH, false);
    rig.signaling.connection_closed(rig.now, first);
    assert!(meet(&mut rig, 3).is_some());
}
