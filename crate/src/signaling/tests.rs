use super::drive::OFFER_WAIT;
use super::*;
use proptest::prelude::*;
use protocol::{Action, AnnounceReply, Offer, OfferId};
use std::collections::BTreeSet;

mod ice;
mod ids;

const HASH: InfoHash = InfoHash([7; 20]);
const ME: PeerId = PeerId([50; 20]);

/// A signaling under test and the time.
struct Rig {
    signaling: Signaling,
    now: Timestamp,
}

impl Rig {
    fn new() -> Self {
        Rig {
            signaling: Signaling::new(SignalingConfig::new(ME), [9; 32]),
            now: Timestamp::from_millis(1_000_000),
        }
    }

    /// With one open tracker, at which the torrent wants this many connections.
    fn announced(wanted: usize) -> (Self, TrackerId) {
        let mut rig = Rig::new();
        let id = rig.signaling.add_tracker("ws://a.example").unwrap();
        rig.signaling.announce_start(rig.now, HASH, &[id]).unwrap();
        rig.signaling.set_wanted(rig.now, HASH, wanted);
        rig.signaling.tracker_connected(rig.now, id);
        (rig, id)
    }

    /// The id that the torrent is announced under.
    fn me(&self) -> PeerId {
        self.signaling.torrents.get(&HASH).map_or(ME, |t| t.peer_id)
    }

    /// The peer of this number: that of `ME` is this peer, whatever its id is by now.
    fn peer(&self, number: u8) -> PeerId {
        match PeerId([number; 20]) {
            ME => self.me(),
            other => other,
        }
    }

    fn drain(&mut self) -> Vec<SignalingAction> {
        std::iter::from_fn(|| self.signaling.poll()).collect()
    }

    /// Carries out CreateOffer and AcceptOffer at once, and answers everything seen.
    fn run(&mut self) -> Vec<SignalingAction> {
        let mut seen = Vec::new();
        while let Some(action) = self.signaling.poll() {
            match &action {
                SignalingAction::CreateOffer { connection, .. } => {
                    let sdp = format!("offer {}", connection.0);
                    self.signaling.offer_ready(self.now, *connection, &sdp);
                }
                SignalingAction::AcceptOffer { connection, .. } => {
                    let sdp = format!("answer {}", connection.0);
                    self.signaling.answer_ready(self.now, *connection, &sdp);
                }
                _ => {}
            }
            seen.push(action);
        }
        seen
    }

    fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while self.signaling.next_timeout() <= end {
            self.now = self.now.max(self.signaling.next_timeout());
            self.signaling.tick(self.now);
            assert!(self.signaling.next_timeout() > self.now, "a tick must help");
            if self
                .signaling
                .actions
                .iter()
                .any(|a| !matches!(a, SignalingAction::Event(_)))
            {
                return;
            }
        }
        self.now = end;
    }

    fn say(&mut self, id: TrackerId, response: Response<'_>) {
        let text = response.encode();
        self.signaling
            .tracker_message(self.now, id, text.as_bytes());
    }

    fn reply(&mut self, id: TrackerId, interval: u64) {
        self.say(
            id,
            Response::Announce(AnnounceReply {
                info_hash: protocol::InfoHash(HASH.0),
                interval_secs: Some(interval),
                min_interval_secs: None,
                complete: Some(1),
                incomplete: Some(2),
                warning: None,
                ice: None,
            }),
        );
    }

    fn refuse(&mut self, id: TrackerId, reason: &str) {
        self.say(
            id,
            Response::Failure {
                action: Action::Announce,
                info_hash: Some(protocol::InfoHash(HASH.0)),
                reason: reason.to_owned(),
            },
        );
    }

    fn offer_from(&mut self, id: TrackerId, remote: u8) {
        self.offer_from_peer(id, PeerId([remote; 20]));
    }

    fn offer_from_peer(&mut self, id: TrackerId, remote: PeerId) {
        self.say(
            id,
            Response::Offer {
                info_hash: protocol::InfoHash(HASH.0),
                peer_id: protocol::PeerId(remote.0),
                offer: Offer {
                    offer_id: OfferId(remote.0),
                    sdp: Sdp::from_text("their offer").unwrap(),
                },
            },
        );
    }

    fn answer_from(&mut self, id: TrackerId, remote: u8, offer_id: OfferId) {
        self.answer_from_peer(id, PeerId([remote; 20]), offer_id);
    }

    fn answer_from_peer(&mut self, id: TrackerId, remote: PeerId, offer_id: OfferId) {
        self.say(
            id,
            Response::Answer {
                info_hash: protocol::InfoHash(HASH.0),
                peer_id: protocol::PeerId(remote.0),
                offer_id,
                sdp: Sdp::from_text("their answer").unwrap(),
            },
        );
    }
}

/// The announces among the actions: event, numwant, offers (id, text).
fn announces(actions: &[SignalingAction]) -> Vec<(AnnounceEvent, Vec<(OfferId, String)>)> {
    actions
        .iter()
        .filter_map(|action| match action {
            SignalingAction::SendTracker { text, .. } => {
                match Request::parse(text, Default::default()).unwrap() {
                    Request::Announce(a) => {
                        assert_eq!(a.numwant, Some(a.offers.len() as u64));
                        let offers = a.offers.iter();
                        Some((
                            a.event,
                            offers.map(|o| (o.offer_id, o.sdp.to_text())).collect(),
                        ))
                    }
                    _ => None,
                }
            }
            _ => None,
        })
        .collect()
}

fn created(actions: &[SignalingAction]) -> usize {
    let created = |a: &&SignalingAction| matches!(a, SignalingAction::CreateOffer { .. });
    actions.iter().filter(created).count()
}

fn accepted(actions: &[SignalingAction]) -> usize {
    let accepted = |a: &&SignalingAction| matches!(a, SignalingAction::AcceptOffer { .. });
    actions.iter().filter(accepted).count()
}

#[test]
fn only_websocket_trackers_are_taken() {
    let mut s = Rig::new().signaling;
    for (url, error) in [
        ("udp://a.example:80", TrackerUrlError::UnsupportedScheme),
        ("a.example", TrackerUrlError::NoScheme),
        ("wss://user:secret@a.example", TrackerUrlError::Credentials),
    ] {
        assert_eq!(s.add_tracker(url), Err(error.into()), "{url}");
    }
    let id = s.add_tracker(" WSS://a.example/announce ").unwrap();
    assert_eq!(s.add_tracker("wss://a.example/announce"), Ok(id));
    assert_ne!(s.add_tracker("wss://b.example/announce"), Ok(id));
}

#[test]
fn trackers_are_bounded_but_unused_ones_make_room() {
    let mut rig = Rig::new();
    let add = |rig: &mut Rig, n: usize| rig.signaling.add_tracker(&format!("ws://t{n}.example"));
    let ids: Vec<_> = (0..MAX_TRACKERS)
        .map(|n| add(&mut rig, n).unwrap())
        .collect();
    rig.signaling.announce_start(rig.now, HASH, &ids).unwrap();
    assert_eq!(add(&mut rig, 100), Err(AddTrackerError::TooMany));
    rig.signaling.announce_stop(rig.now, HASH);
    let new = add(&mut rig, 100).unwrap();
    assert!(!ids.contains(&new));
}

#[test]
fn nothing_is_connected_until_a_torrent_is_announced() {
    let mut rig = Rig::new();
    let id = rig.signaling.add_tracker("ws://a.example").unwrap();
    rig.signaling.tick(rig.now);
    assert_eq!(rig.drain(), []);
    rig.signaling.announce_start(rig.now, HASH, &[id]).unwrap();
    assert_eq!(
        rig.drain(),
        [SignalingAction::ConnectTracker {
            tracker: id,
            url: "ws://a.example".to_owned()
        }]
    );
}

#[test]
fn a_torrent_that_wants_nobody_announces_without_offers_and_takes_none() {
    let (mut rig, id) = Rig::announced(0);
    let seen = rig.run();
    assert_eq!(created(&seen), 0);
    assert_eq!(announces(&seen), [(AnnounceEvent::Started, vec![])]);
    rig.offer_from(id, 1);
    assert_eq!(accepted(&rig.run()), 0);
}

#[test]
fn the_first_announce_carries_the_offers_it_waited_for() {
    let (mut rig, _) = Rig::announced(3);
    let seen = rig.run();
    assert_eq!(created(&seen), 3);
    let sent = announces(&seen);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0, AnnounceEvent::Started);
    assert_eq!(sent[0].1.len(), 3);
}

#[test]
fn an_announce_does_not_wait_for_offers_that_never_come() {
    let (mut rig, _) = Rig::announced(2);
    assert!(announces(&rig.drain()).is_empty());
    rig.advance(OFFER_WAIT);
    assert_eq!(announces(&rig.drain()), [(AnnounceEvent::Started, vec![])]);
}

#[test]
fn unanswered_offers_are_announced_again_and_not_made_again() {
    let (mut rig, id) = Rig::announced(4);
    let mut sent = Vec::new();
    let (mut made, mut texts) = (0, BTreeSet::new());
    while sent.len() < 4 {
        let seen = rig.run();
        made += created(&seen);
        for (_, offers) in announces(&seen) {
            rig.reply(id, 15);
            if !offers.is_empty() {
                texts.extend(offers.iter().map(|o| o.1.clone()));
                sent.push((rig.now, offers.len()));
            }
        }
        rig.advance(Duration::from_secs(600));
    }
    assert_eq!((made, texts.len()), (4, 4));
    for pair in sent.windows(2) {
        assert!(pair[1].0.since(pair[0].0) >= Duration::from_secs(50));
    }
}

#[test]
fn offers_and_connections_stay_under_the_cap() {
    let (mut rig, id) = Rig::announced(1000);
    for n in 0..200u64 {
        let seen = rig.run();
        if !announces(&seen).is_empty() {
            rig.reply(id, 15);
        }
        rig.offer_from(id, (n % 40) as u8);
        rig.run();
        assert!(rig.signaling.links.len() <= rig.signaling.config.max_connections);
        rig.advance(Duration::from_secs(3));
    }
}

#[test]
fn no_more_offers_are_taken_than_connections_are_wanted() {
    let (mut rig, id) = Rig::announced(3);
    rig.run();
    for remote in 1..=10 {
        rig.offer_from(id, remote);
    }
    let seen = rig.run();
    assert_eq!(accepted(&seen), 3);
    let answers = seen.iter().filter(
        |a| matches!(a, SignalingAction::SendTracker { text, .. } if text.contains("answer")),
    );
    assert_eq!(answers.count(), 3);
}

#[test]
fn a_trackers_flood_of_offers_is_cut_to_the_rate() {
    let (mut rig, id) = Rig::announced(10_000);
    rig.signaling.config.max_connections = 10_000;
    for n in 0..1000u32 {
        let mut remote = [0; 20];
        remote[..4].copy_from_slice(&n.to_be_bytes());
        rig.say(
            id,
            Response::Offer {
                info_hash: protocol::InfoHash(HASH.0),
                peer_id: protocol::PeerId(remote),
                offer: Offer {
                    offer_id: OfferId(remote),
                    sdp: Sdp::from_text("x").unwrap(),
                },
            },
        );
    }
    assert_eq!(accepted(&rig.drain()), 60);
}

#[test]
fn never_connects_to_itself_or_twice_to_one_peer() {
    let (mut rig, id) = Rig::announced(5);
    rig.run();
    rig.offer_from(id, ME.0[0]);
    rig.offer_from(id, 1);
    rig.offer_from(id, 1);
    let seen = rig.run();
    assert_eq!(accepted(&seen), 1);
}

#[test]
fn an_answer_completes_its_offer_once() {
    let (mut rig, id) = Rig::announced(2);
    let sent = announces(&rig.run());
    let offer = sent[0].1[0].0;
    rig.answer_from(id, 1, OfferId([0; 20]));
    assert_eq!(rig.run(), []);
    rig.answer_from(id, 1, offer);
    rig.answer_from(id, 2, offer);
    let seen = rig.run();
    let [
        SignalingAction::ApplyAnswer {
            connection, remote, ..
        },
    ] = seen[..]
    else {
        panic!("{seen:?}");
    };
    assert_eq!(remote, PeerId([1; 20]));
    rig.signaling.connection_established(rig.now, connection);
    assert_eq!(rig.signaling.torrents.get(&HASH).map(|t| t.wanted), Some(1));
    // The other offer, answered by the same peer, is dropped.
    rig.answer_from(id, 1, sent[0].1[1].0);
    assert!(matches!(
        rig.run()[0],
        SignalingAction::DropConnection { .. }
    ));
}

#[test]
fn an_answer_from_another_tracker_is_ignored() {
    let (mut rig, _) = Rig::announced(1);
    let sent = announces(&rig.run());
    let other = rig.signaling.add_tracker("ws://b.example").unwrap();
    rig.signaling
        .announce_start(rig.now, HASH, &[other])
        .unwrap();
    rig.signaling.tracker_connected(rig.now, other);
    rig.run();
    rig.answer_from(other, 1, sent[0].1[0].0);
    let seen = rig.run();
    assert!(
        !seen
            .iter()
            .any(|a| matches!(a, SignalingAction::ApplyAnswer { .. }))
    );
}

/// Both peers offer to each other, and the other one answers ours. Answers whether ours is kept.
fn keeps_mine_when_offers_cross(remote: PeerId) -> bool {
    let (mut rig, id) = Rig::announced(5);
    let offer = announces(&rig.run())[0].1[0].0;
    rig.offer_from_peer(id, remote);
    let seen = rig.run();
    let Some(SignalingAction::AcceptOffer {
        connection: theirs, ..
    }) = seen.first()
    else {
        panic!("{seen:?}");
    };
    rig.answer_from_peer(id, remote, offer);
    let seen = rig.run();
    let applied = seen
        .iter()
        .any(|a| matches!(a, SignalingAction::ApplyAnswer { .. }));
    let dropped = seen.iter().find_map(|a| match a {
        SignalingAction::DropConnection { connection } => Some(*connection),
        _ => None,
    });
    assert!(dropped.is_some());
    assert_eq!(dropped == Some(*theirs), applied);
    applied
}

#[test]
fn crossing_offers_leave_the_connection_of_the_greater_id() {
    let of_my_client = |last: u8| {
        let mut id = ME;
        id.0[19] = last;
        id
    };
    assert!(keeps_mine_when_offers_cross(of_my_client(1)));
    assert!(!keeps_mine_when_offers_cross(of_my_client(99)));
}

#[test]
fn when_offers_cross_with_another_client_the_one_that_it_answered_is_kept() {
    // WebTorrent keeps the offer that it heard of first: had that been our answer, it would not have answered.
    for id in [1, 99] {
        assert!(keeps_mine_when_offers_cross(PeerId([id; 20])));
    }
}

#[test]
fn a_connection_that_does_not_open_is_dropped() {
    let (mut rig, id) = Rig::announced(5);
    rig.run();
    rig.offer_from(id, 1);
    let seen = rig.run();
    let SignalingAction::AcceptOffer { connection, .. } = seen[0] else {
        panic!("{seen:?}");
    };
    rig.reply(id, 3600);
    let mut dropped = false;
    for _ in 0..20 {
        rig.advance(Duration::from_secs(5));
        dropped |= rig
            .run()
            .contains(&SignalingAction::DropConnection { connection });
    }
    assert!(dropped);
}

#[test]
fn dead_trackers_are_tried_for_ever_with_backoff_and_jitter() {
    let mut rig = Rig::new();
    let id = rig.signaling.add_tracker("ws://a.example").unwrap();
    rig.signaling.announce_start(rig.now, HASH, &[id]).unwrap();
    rig.signaling.set_wanted(rig.now, HASH, 10);
    let mut pauses = Vec::new();
    for _ in 0..100 {
        let seen = rig.run();
        assert_eq!(seen.len(), 1, "only one connect and nothing else: {seen:?}");
        rig.signaling.tracker_closed(rig.now, id, "refused");
        let [SignalingAction::Event(SignalingEvent::Unreachable { retry_in, .. })] =
            rig.drain()[..]
        else {
            panic!("no event");
        };
        pauses.push(retry_in);
        rig.advance(Duration::from_secs(3600));
    }
    for (n, pause) in pauses.iter().enumerate() {
        let mean = Duration::from_secs((1 << n.min(7)).min(120));
        assert!((mean / 2..=mean * 3 / 2).contains(pause), "{n}: {pause:?}");
    }
    assert!(
        pauses[20..].iter().collect::<BTreeSet<_>>().len() > 10,
        "no jitter"
    );
    assert_eq!(rig.signaling.links.len(), 0);
}

#[test]
fn announces_resume_on_a_new_socket_with_the_offers_of_the_old_one() {
    let (mut rig, id) = Rig::announced(3);
    let first = announces(&rig.run());
    rig.reply(id, 120);
    rig.signaling.tracker_closed(rig.now, id, "gone");
    rig.drain();
    rig.advance(Duration::from_secs(10));
    assert!(matches!(
        rig.run()[..],
        [SignalingAction::ConnectTracker { .. }]
    ));
    rig.signaling.tracker_connected(rig.now, id);
    let seen = rig.run();
    assert_eq!(created(&seen), 0);
    let mut again = announces(&seen);
    assert_eq!(again[0].0, AnnounceEvent::Update);
    again[0].1.sort();
    let mut offers = first[0].1.clone();
    offers.sort();
    assert_eq!(again[0].1, offers);
}

#[test]
fn a_tracker_that_answers_and_closes_gets_no_more_announces_than_it_asked_for() {
    for interval in [20, 120, 1800] {
        let (mut rig, id) = Rig::announced(5);
        let begun = rig.now;
        let mut announced = Vec::new();
        while rig.now < begun + Duration::from_secs(4 * 3600) {
            for action in rig.run() {
                match action {
                    SignalingAction::ConnectTracker { .. } => {
                        rig.signaling.tracker_connected(rig.now, id);
                    }
                    SignalingAction::SendTracker { .. } => {
                        announced.push(rig.now.since(begun).as_secs());
                        rig.reply(id, interval);
                        rig.signaling.tracker_closed(rig.now, id, "closed");
                    }
                    _ => {}
                }
            }
            rig.advance(Duration::from_secs(3600));
        }
        let within = |seconds: u64| announced.iter().filter(|at| **at < seconds).count();
        assert!(within(45) <= 5, "{interval}: {announced:?}");
        // Longer than this between announces is no reason to come sooner than once in two minutes.
        let mean = interval.max(120);
        assert!(
            within(4 * 3600) as u64 <= 4 * 3600 / mean + 15,
            "{interval}: {announced:?}"
        );
    }
}

#[test]
fn a_socket_that_lasted_is_replaced_at_once() {
    let (mut rig, id) = Rig::announced(0);
    for _ in 0..10 {
        rig.run();
        rig.reply(id, 120);
        rig.advance(Duration::from_secs(60));
        rig.run();
        rig.signaling.tracker_closed(rig.now, id, "idle");
        let seen = rig.drain();
        let retry = seen.iter().find_map(|action| match action {
            SignalingAction::Event(SignalingEvent::Unreachable { retry_in, .. }) => Some(*retry_in),
            _ => None,
        });
        assert!(retry.unwrap() < Duration::from_secs(2), "{retry:?}");
        rig.advance(Duration::from_secs(2));
        rig.run();
        rig.signaling.tracker_connected(rig.now, id);
    }
}

#[test]
fn many_torrents_announce_at_a_pace_that_servers_take() {
    let (mut rig, id) = Rig::announced(1);
    let begun = rig.now;
    for n in 1..MAX_TORRENTS {
        let mut hash = [9; 20];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        let info_hash = InfoHash(hash);
        rig.signaling
            .announce_start(begun, info_hash, &[id])
            .unwrap();
        rig.signaling.set_progress(info_hash, 0, 0, Some(0));
        rig.signaling.set_wanted(begun, info_hash, 1);
    }
    let mut sent: Vec<u64> = Vec::new();
    let mut told = BTreeSet::new();
    while rig.now < begun + Duration::from_secs(300) {
        for action in rig.run() {
            if let SignalingAction::SendTracker { text, .. } = &action
                && let Ok(Request::Announce(a)) = Request::parse(text, Default::default())
            {
                sent.push(rig.now.since(begun).as_millis() as u64);
                told.insert(a.info_hash.0);
                let reply = AnnounceReply {
                    info_hash: a.info_hash,
                    interval_secs: Some(120),
                    min_interval_secs: None,
                    complete: Some(1),
                    incomplete: Some(0),
                    warning: None,
                    ice: None,
                };
                rig.say(id, Response::Announce(reply));
            }
        }
        rig.advance(Duration::from_secs(600));
        if told.len() == MAX_TORRENTS && rig.now < begun + Duration::from_secs(70) {
            told.clear();
        }
    }
    assert!(told.len() == MAX_TORRENTS, "each announces again in time");
    // Our server's limits for one connection: 512 at once and 20 per second.
    for (n, at) in sent.iter().enumerate() {
        let since = |m: usize| (at - sent[m]) * 20 / 1000 + 512;
        assert!((0..n).all(|m| (n - m) as u64 <= since(m)), "{n}");
    }
}

#[test]
fn what_was_there_is_told_soon_and_is_no_download() {
    let (mut rig, id) = Rig::announced(0);
    rig.signaling.set_progress(HASH, 0, 0, Some(100));
    rig.run();
    rig.reply(id, 120);
    rig.advance(Duration::from_millis(100));
    rig.signaling.found_complete(rig.now, HASH);
    rig.signaling.found_complete(rig.now, HASH);
    rig.advance(Duration::from_secs(2));
    let seen = rig.run();
    assert_eq!(announces(&seen), [(AnnounceEvent::Update, Vec::new())]);
    let left_nothing = |action: &SignalingAction| {
        let SignalingAction::SendTracker { text, .. } = action else {
            return false;
        };
        text.contains("\"left\":0,")
    };
    assert!(seen.iter().any(left_nothing));
    rig.reply(id, 120);
    rig.signaling.found_complete(rig.now, HASH);
    rig.advance(Duration::from_secs(60));
    assert_eq!(announces(&rig.run()), []);
}

#[test]
fn a_socket_that_swallows_announces_is_replaced() {
    let (mut rig, id) = Rig::announced(0);
    rig.run();
    rig.advance(Duration::from_secs(40));
    let seen = rig.drain();
    assert_eq!(seen[0], SignalingAction::CloseTracker { tracker: id });
}

#[test]
fn a_tracker_that_talks_nonsense_is_dropped() {
    let (mut rig, id) = Rig::announced(0);
    rig.run();
    let big = vec![b' '; MAX_MESSAGE_LEN + 1];
    for n in 0..10 {
        let message: &[u8] = if n % 2 == 0 { b"\xff{" } else { &big };
        rig.signaling.tracker_message(rig.now, id, message);
    }
    assert!(
        rig.drain()
            .contains(&SignalingAction::CloseTracker { tracker: id })
    );
}

#[test]
fn intervals_are_clamped() {
    for (told, least, most) in [(0, 15, 17), (100, 100, 110), (u64::MAX, 3600, 3960)] {
        let (mut rig, id) = Rig::announced(0);
        rig.run();
        let start = rig.now;
        rig.reply(id, told);
        rig.drain();
        rig.advance(Duration::from_secs(1_000_000));
        assert_eq!(announces(&rig.drain()).len(), 1);
        let waited = rig.now.since(start).as_secs();
        assert!((least..=most).contains(&waited), "{told}: {waited}");
    }
}

#[test]
fn wishes_bring_the_next_announce_forward_but_not_below_the_minimum() {
    let (mut rig, id) = Rig::announced(1);
    rig.run();
    let start = rig.now;
    rig.reply(id, 3600);
    rig.drain();
    rig.now = rig.now + Duration::from_secs(1);
    rig.signaling.set_wanted(rig.now, HASH, 3);
    rig.advance(Duration::from_secs(60));
    let seen = rig.run();
    assert_eq!(announces(&seen)[0].1.len(), 2);
    let waited = rig.now.since(start).as_secs();
    assert!((5..=6).contains(&waited), "{waited}");
}

#[test]
fn the_first_wish_after_an_idle_announce_does_not_wait() {
    let (mut rig, id) = Rig::announced(0);
    rig.run();
    rig.reply(id, 3600);
    rig.drain();
    rig.signaling.set_wanted(rig.now, HASH, 2);
    let sent = announces(&rig.run());
    assert_eq!(sent.len(), 1, "its offers go out at once");
    assert_eq!(sent[0].1.len(), 2);
    // Once only: offers that fail do not bring about an announce each.
    rig.signaling.set_wanted(rig.now, HASH, 3);
    assert!(announces(&rig.run()).is_empty());
}

#[test]
fn a_seed_announces_early_only_after_it_missed_somebody() {
    let (mut rig, id) = Rig::announced(2);
    rig.signaling.set_progress(HASH, 0, 0, Some(0));
    rig.run();
    rig.reply(id, 3600);
    rig.drain();
    rig.signaling.set_wanted(rig.now, HASH, 3);
    rig.advance(Duration::from_secs(30));
    assert!(announces(&rig.run()).is_empty(), "it waits to be asked");
    // Somebody's offer is answered, and the channel does not open.
    rig.offer_from(id, 1);
    assert_eq!(accepted(&rig.run()), 1);
    rig.advance(Duration::from_secs(60));
    let sent = announces(&rig.run());
    assert!(!sent.is_empty() && !sent[0].1.is_empty(), "{sent:?}");
}

#[test]
fn completed_is_told_once_and_stopped_at_the_end() {
    let (mut rig, id) = Rig::announced(0);
    rig.run();
    rig.reply(id, 120);
    rig.signaling.completed(rig.now, HASH);
    rig.reply(id, 120);
    let events: Vec<_> = announces(&rig.run()).into_iter().map(|a| a.0).collect();
    assert_eq!(events, [AnnounceEvent::Completed]);
    rig.signaling.announce_stop(rig.now, HASH);
    let seen = rig.run();
    assert_eq!(announces(&seen)[0].0, AnnounceEvent::Stopped);
    assert_eq!(
        seen.last(),
        Some(&SignalingAction::CloseTracker { tracker: id })
    );
    assert_eq!(rig.signaling.next_timeout(), Timestamp::NEVER);
}

#[test]
fn offline_closes_and_online_tries_at_once() {
    let (mut rig, id) = Rig::announced(0);
    rig.run();
    rig.signaling.offline(rig.now);
    assert_eq!(rig.drain(), [SignalingAction::CloseTracker { tracker: id }]);
    rig.advance(Duration::from_secs(3600));
    assert_eq!(rig.drain(), []);
    rig.signaling.online(rig.now);
    assert!(matches!(
        rig.drain()[..],
        [SignalingAction::ConnectTracker { .. }]
    ));
}

#[derive(Clone, Debug)]
enum Step {
    Connected(u8),
    Closed(u8),
    Noise(u8, Vec<u8>),
    Reply(u8, u64, u64),
    Refuse(u8, bool),
    Offer(u8, u8),
    Answer(u8, u8, prop::sample::Index),
    Established(prop::sample::Index),
    Gone(prop::sample::Index),
    OfferFails,
    Wanted(u8),
    Completed,
    Stop,
    Start,
    Offline,
    Online,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..3u8;
    prop_oneof![
        4 => id.clone().prop_map(Step::Connected),
        1 => id.clone().prop_map(Step::Closed),
        1 => (id.clone(), any::<Vec<u8>>()).prop_map(|(t, b)| Step::Noise(t, b)),
        4 => (id.clone(), any::<u64>(), any::<u64>()).prop_map(|(t, a, b)| Step::Reply(t, a, b)),
        1 => (id.clone(), any::<bool>()).prop_map(|(t, of_id)| Step::Refuse(t, of_id)),
        4 => (id.clone(), 45..55u8).prop_map(|(t, p)| Step::Offer(t, p)),
        4 => (id.clone(), 45..55u8, any::<prop::sample::Index>())
            .prop_map(|(t, p, o)| Step::Answer(t, p, o)),
        2 => any::<prop::sample::Index>().prop_map(Step::Established),
        2 => any::<prop::sample::Index>().prop_map(Step::Gone),
        1 => Just(Step::OfferFails),
        2 => (0..30u8).prop_map(Step::Wanted),
        1 => Just(Step::Completed),
        1 => Just(Step::Stop),
        2 => Just(Step::Start),
        1 => Just(Step::Offline),
        2 => Just(Step::Online),
        6 => (0..200u16).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever trackers, peers and the edge do, the caps hold, no peer is connected to twice, ids are never reused,
    /// sockets open and close in turn, and time always moves on.
    #[test]
    fn invariants_hold_under_any_history(steps in prop::collection::vec(step(), 1..150)) {
        let mut rig = Rig::new();
        rig.signaling.config.max_connections = 12;
        let ids: Vec<_> = (0..3)
            .map(|n| rig.signaling.add_tracker(&format!("ws://t{n}.example")).unwrap())
            .collect();
        let mut sockets = [false; 3];
        let mut offers_fail = false;
        let mut known: Vec<OfferId> = vec![OfferId([0; 20])];
        let mut live: BTreeSet<ConnectionId> = BTreeSet::new();
        let mut last_id = 0;
        for step in steps {
            let now = rig.now;
            let s = &mut rig.signaling;
            match step {
                Step::Connected(t) => if sockets[t as usize] { s.tracker_connected(now, ids[t as usize]) },
                Step::Closed(t) => if std::mem::take(&mut sockets[t as usize]) {
                    s.tracker_closed(now, ids[t as usize], "gone");
                },
                Step::Noise(t, bytes) => s.tracker_message(now, ids[t as usize], &bytes),
                Step::Reply(t, interval, min) => rig.say(ids[t as usize], Response::Announce(AnnounceReply {
                    info_hash: protocol::InfoHash(HASH.0),
                    interval_secs: Some(interval),
                    min_interval_secs: Some(min),
                    complete: Some(interval),
                    incomplete: (min % 2 == 0).then_some(min),
                    warning: Some("w".repeat(300)),
                    ice: None,
                })),
                Step::Refuse(t, of_id) => {
                    rig.refuse(ids[t as usize], if of_id { protocol::PEER_ID_IN_USE } else { "no" });
                }
                Step::Offer(t, peer) => rig.offer_from_peer(ids[t as usize], rig.peer(peer)),
                Step::Answer(t, peer, offer) => {
                    let offer = *offer.get(&known);
                    rig.answer_from_peer(ids[t as usize], rig.peer(peer), offer);
                }
                Step::Established(which) => if !live.is_empty() {
                    let all: Vec<_> = live.iter().copied().collect();
                    s.connection_established(now, *which.get(&all));
                },
                Step::Gone(which) => if !live.is_empty() {
                    let all: Vec<_> = live.iter().copied().collect();
                    live.remove(which.get(&all));
                    s.connection_closed(now, *which.get(&all));
                },
                Step::OfferFails => offers_fail = !offers_fail,
                Step::Wanted(n) => s.set_wanted(now, HASH, usize::from(n)),
                Step::Completed => s.completed(now, HASH),
                Step::Stop => s.announce_stop(now, HASH),
                Step::Start => prop_assert!(s.announce_start(now, HASH, &ids).is_ok()),
                Step::Offline => s.offline(now),
                Step::Online => s.online(now),
                Step::Wait(seconds) => {
                    let end = now + Duration::from_secs(u64::from(seconds));
                    if rig.signaling.next_timeout() <= end {
                        rig.now = rig.now.max(rig.signaling.next_timeout());
                        rig.signaling.tick(rig.now);
                    } else {
                        rig.now = end;
                    }
                }
            }
            while let Some(action) = rig.signaling.poll() {
                let index = |id: TrackerId| ids.iter().position(|i| *i == id).unwrap();
                match action {
                    SignalingAction::ConnectTracker { tracker, .. } => {
                        prop_assert!(!std::mem::replace(&mut sockets[index(tracker)], true));
                    }
                    SignalingAction::CloseTracker { tracker } => {
                        prop_assert!(std::mem::replace(&mut sockets[index(tracker)], false));
                    }
                    SignalingAction::SendTracker { tracker, text } => {
                        prop_assert!(sockets[index(tracker)]);
                        prop_assert!(text.len() <= MAX_MESSAGE_LEN);
                        if let Ok(Request::Announce(a)) = Request::parse(&text, Default::default()) {
                            prop_assert!(a.offers.len() <= 10);
                            known.extend(a.offers.iter().map(|o| o.offer_id));
                        }
                    }
                    SignalingAction::CreateOffer { connection, .. } => {
                        prop_assert!(connection.0 > last_id && live.insert(connection));
                        last_id = connection.0;
                        if offers_fail {
                            live.remove(&connection);
                            rig.signaling.connection_closed(rig.now, connection);
                        } else {
                            rig.signaling.offer_ready(rig.now, connection, &"x".repeat(15_000));
                        }
                    }
                    SignalingAction::AcceptOffer { connection, remote, .. } => {
                        prop_assert!(connection.0 > last_id && live.insert(connection));
                        last_id = connection.0;
                        prop_assert!(remote != rig.me());
                        rig.signaling.answer_ready(rig.now, connection, "answer");
                    }
                    SignalingAction::ApplyAnswer { connection, remote, .. } => {
                        prop_assert!(live.contains(&connection) && remote != rig.me());
                    }
                    SignalingAction::DropConnection { connection } => {
                        prop_assert!(live.remove(&connection));
                    }
                    SignalingAction::UseIceServers { .. } | SignalingAction::Event(_) => {}
                }
            }
            let links = &rig.signaling.links;
            prop_assert!(links.keys().eq(live.iter()));
            prop_assert!(links.len() <= 12);
            let remotes: Vec<_> = links.values().filter_map(|l| l.remote).collect();
            prop_assert_eq!(remotes.iter().collect::<BTreeSet<_>>().len(), remotes.len());
            prop_assert!(rig.signaling.next_timeout() > rig.now);
        }
    }
}
