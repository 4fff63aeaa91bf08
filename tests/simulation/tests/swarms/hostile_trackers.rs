//! Trackers that talk nonsense, lie, fall silent, die and come back; and peers that lie to trackers.

use std::sync::Mutex;

use crate::common::{closings, complete_within_bounds, minutes, within_bounds};
use piecework::client::{AddOptions, CheckExisting, ClosedReason, Source, TorrentState};
use piecework::time::{Duration, Timestamp};
use piecework::types::PeerId;
use piecework::wire::Message;
use piecework_signaling_protocol::{
    Action, AnnounceReply, Event, InfoHash, Limits, Offer, OfferId, PeerId as SignaledId, Request,
    Response, ScrapeEntry, Sdp,
};
use piecework_simulation::{
    Content, NetConfig, NodeId, Random, Said, SimNet, TrackerMood, Wire, for_seeds,
};
use serde_json::{Value, json};

const SEEDS: u64 = 500;

/// A seed with a slow uplink, and one that downloads from it: about six seconds of time for harm.
fn pair(seed: u64) -> (SimNet, Content, NodeId, NodeId) {
    let mut net = SimNet::new(seed, NetConfig::default());
    let content = Content::file(seed, 120_001, 32 * 1024);
    let from = net.node(SimNet::config());
    net.seed(from, &content);
    net.set_uplink(from, 20_000);
    let to = net.node(SimNet::config());
    net.leech(to, &content);
    (net, content, from, to)
}

fn hash(content: &Content) -> InfoHash {
    InfoHash(content.info_hash().0)
}

fn id20(random: &mut Random) -> [u8; 20] {
    let mut id = [0; 20];
    random.fill(&mut id);
    id
}

fn offer_from(content: &Content, peer_id: [u8; 20], random: &mut Random) -> String {
    let offer_id = OfferId(id20(random));
    let sdp = Sdp::from_text("v=0\r\ns=offer 999999\r\n").unwrap();
    Response::Offer {
        info_hash: hash(content),
        peer_id: SignaledId(peer_id),
        offer: Offer { offer_id, sdp },
    }
    .encode()
}

fn answer_to(info_hash: InfoHash, peer_id: [u8; 20], offer_id: OfferId) -> String {
    Response::Answer {
        info_hash,
        peer_id: SignaledId(peer_id),
        offer_id,
        sdp: Sdp::from_text("v=0\r\nnobody is here\r\n").unwrap(),
    }
    .encode()
}

/// One message that no server should send.
fn nonsense(content: &Content, random: &mut Random) -> Vec<u8> {
    let whole = [
        "",
        "x",
        "{",
        "[]",
        "null",
        "{}",
        "1e999",
        "\u{0}",
        "\"\\ud800\"",
    ];
    match random.number(0..6) {
        0 => whole[random.index(whole.len())].into(),
        1 => vec![b' '; 64 * 1024 + 1 + random.index(100_000)],
        2 => {
            let mut noise = vec![0; 1 + random.index(300)];
            random.fill(&mut noise);
            noise
        }
        3 => [vec![b'['; 5_000], vec![b']'; 5_000]].concat(),
        _ => wrong_type(content, random).into_bytes(),
    }
}

/// A message in which one field has a wrong type.
fn wrong_type(content: &Content, random: &mut Random) -> String {
    let reply = Response::Announce(AnnounceReply {
        info_hash: hash(content),
        interval_secs: Some(60),
        min_interval_secs: Some(10),
        complete: Some(1),
        incomplete: Some(1),
        warning: Some("careful".to_owned()),
        ice: None,
    });
    let failure = Response::Failure {
        action: Action::Announce,
        info_hash: Some(hash(content)),
        reason: "no".to_owned(),
    };
    let entry = ScrapeEntry {
        complete: 1,
        incomplete: 1,
        downloaded: 1,
    };
    let files = vec![(hash(content), entry)];
    let template = match random.number(0..5) {
        0 => reply.encode(),
        1 => failure.encode(),
        2 => Response::Scrape { files }.encode(),
        3 => {
            let peer_id = id20(random);
            offer_from(content, peer_id, random)
        }
        _ => answer_to(hash(content), id20(random), OfferId(id20(random))),
    };
    let mut message: Value = serde_json::from_str(&template).unwrap();
    let wrong = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0.5),
        json!(u64::MAX),
        json!("x"),
        json!("é".repeat(21)),
        json!("<img src=x onerror=alert(1)>".repeat(50)),
        json!([]),
        json!([[{}]]),
        json!({"type": 1, "sdp": 2}),
        json!({"type": "offer", "sdp": {"a": []}}),
    ];
    let fields: Vec<String> = message.as_object().unwrap().keys().cloned().collect();
    let field = &fields[random.index(fields.len())];
    message[field] = wrong[random.index(wrong.len())].clone();
    message.to_string()
}

#[test]
fn nonsense_of_every_kind_stops_no_download() {
    for_seeds(SEEDS, |seed| {
        let (mut net, content, _, to) = pair(seed);
        let mut random = Random::new(seed ^ 0x5eed);
        for _ in 0..12 {
            net.run_for(Duration::from_millis(random.number(10..800)));
            for _ in 0..random.number(1..15) {
                let message = nonsense(&content, &mut random);
                net.tracker_sends(to, &message);
            }
            within_bounds(&net, to);
        }
        complete_within_bounds(&mut net, to, &content, minutes(30));
        for tracker in net.snapshot(to).trackers {
            assert!(tracker.error.is_none_or(|text| text.len() <= 256));
        }
    });
}

#[test]
fn a_tracker_that_only_talks_nonsense_is_left_and_tried_again_ever_more_rarely() {
    for_seeds(SEEDS, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::file(seed, 10_000, 32 * 1024);
        let to = net.node(SimNet::config());
        net.leech(to, &content);
        net.set_trackers(TrackerMood::Mute);
        for _ in 0..600 {
            net.run_for(Duration::from_secs(1));
            for _ in 0..10 {
                net.tracker_says(to, "{\"a\":");
            }
        }
        let tries = net.connects(to).len();
        assert!((5..20).contains(&tries), "{tries} in ten minutes");
        assert_eq!(
            net.torrent(to, content.info_hash()).unwrap().state,
            TorrentState::Downloading
        );
    });
}

// ---- lies about peers

/// Names of the offers that a node announced.
fn offered(net: &SimNet, node: NodeId) -> Vec<OfferId> {
    (net.announces(node).iter())
        .filter_map(|(_, text)| match Request::parse(text, Limits::default()) {
            Ok(Request::Announce(announce)) => Some(announce),
            _ => None,
        })
        .flat_map(|announce| announce.offers.into_iter().map(|offer| offer.offer_id))
        .collect()
}

/// The id that a node announces.
fn peer_id(net: &SimNet, node: NodeId) -> PeerId {
    let (_, text) = net.announces(node).first().expect("it has announced");
    match Request::parse(text, Limits::default()) {
        Ok(Request::Announce(announce)) => PeerId(announce.peer_id.0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn stolen_and_made_up_answers_only_cost_the_offers_they_name() {
    for_seeds(SEEDS, |seed| {
        let (mut net, content, _, to) = pair(seed);
        let mut random = Random::new(seed ^ 0x57_01e4);
        for _ in 0..20 {
            net.run_for(Duration::from_millis(random.number(10..300)));
            let offers = offered(&net, to);
            if net.announces(to).is_empty() {
                continue;
            }
            let me = peer_id(&net, to).0;
            for _ in 0..random.number(1..6) {
                let made_up = OfferId(id20(&mut random));
                let known = !offers.is_empty() && !random.one_in(3);
                let offer = match known {
                    true => offers[random.index(offers.len())],
                    false => made_up,
                };
                let whose = match random.one_in(4) {
                    true => me,
                    false => id20(&mut random),
                };
                let torrent = match random.one_in(3) {
                    true => InfoHash(id20(&mut random)),
                    false => hash(&content),
                };
                let answer = answer_to(torrent, whose, offer);
                net.tracker_says(to, &answer);
                if random.one_in(2) {
                    net.tracker_says(to, &answer);
                }
            }
            within_bounds(&net, to);
        }
        complete_within_bounds(&mut net, to, &content, minutes(30));
    });
}

#[test]
fn a_flood_of_offers_is_taken_at_a_bounded_rate() {
    for_seeds(SEEDS, |seed| {
        let (mut net, content, _, to) = pair(seed);
        let mut random = Random::new(seed ^ 0x000f_100d);
        for _ in 0..60 {
            net.run_for(Duration::from_millis(300));
            for _ in 0..10 {
                let from = id20(&mut random);
                let offer = offer_from(&content, from, &mut random);
                net.tracker_says(to, &offer);
            }
            within_bounds(&net, to);
        }
        complete_within_bounds(&mut net, to, &content, minutes(30));
        // Sixty at once and sixty per minute.
        let taken = net.offers_taken(to).len();
        assert!(taken <= 60 + 60, "{taken} of 600 offers taken");
    });
}

#[test]
fn who_comes_under_the_id_of_an_honest_seed_neither_keeps_it_out_nor_has_it_banned() {
    for_seeds(SEEDS, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::file(seed, 120_001, 32 * 1024);
        let honest = net.node(SimNet::config());
        net.seed(honest, &content);
        net.run_until(minutes(1), |net| !net.announces(honest).is_empty());
        let stolen = peer_id(&net, honest);
        let corrupt = seed % 2 == 0;
        let thief = net.puppet_as(stolen, &content, move || {
            Box::new(
                move |wire: &mut Wire<'_>, said: Said<'_>| match Wire::request(&said) {
                    Some(block) if corrupt => {
                        let data = vec![0x77; block.length as usize].into();
                        let (piece, begin) = (block.piece, block.begin);
                        wire.say(&Message::Piece { piece, begin, data });
                    }
                    _ => match said {
                        Said::Open if corrupt => wire.greet_as_seed(),
                        // Stays connected, and sends just enough for that.
                        Said::Open | Said::Wake => {
                            if let Said::Open = said {
                                wire.handshake();
                                wire.say(&Message::HaveAll);
                            }
                            wire.say(&Message::KeepAlive);
                            wire.wake_in(Duration::from_secs(60));
                        }
                        _ => {}
                    },
                },
            )
        });
        let victim = net.node(SimNet::config());
        net.leech(victim, &content);
        net.run_until(minutes(1), |net| !net.announces(victim).is_empty());
        net.puppet_offers(thief, victim);
        complete_within_bounds(&mut net, victim, &content, minutes(60));
        for (who, reason) in closings(&net, victim) {
            let blamed = matches!(reason, ClosedReason::Corrupt | ClosedReason::Protocol(_));
            assert!(who == thief || !blamed, "{who:?}: {reason:?}");
        }
    });
}

// ---- servers that go away

#[test]
fn a_server_killed_in_mid_download_is_found_again_and_transfers_go_on_meanwhile() {
    for_seeds(SEEDS, |seed| {
        let (mut net, content, from, to) = pair(seed);
        let met = net.run_until(minutes(2), |net| net.channels(from, to) > 0);
        assert!(met);
        net.run_for(Duration::from_millis(500));
        assert!(!net.is_complete(to, &content));
        net.trackers_down(true);
        complete_within_bounds(&mut net, to, &content, minutes(10));
        let late = net.node(SimNet::config());
        net.leech(late, &content);
        net.run_for(Duration::from_secs(30 + seed % 200));
        let before = [from, to, late].map(|node| net.announces(node).len());
        assert!(!net.is_complete(late, &content));
        net.trackers_down(false);
        complete_within_bounds(&mut net, late, &content, minutes(30));
        let resumed = net.run_until(minutes(10), |net| {
            let now = [from, to, late].map(|node| net.announces(node).len());
            now.iter().zip(before).all(|(now, before)| *now > before)
        });
        assert!(resumed, "everybody announces again by itself");
    });
}

#[test]
fn with_all_trackers_dead_one_connected_peer_is_enough() {
    for_seeds(SEEDS, |seed| {
        let (mut net, content, from, to) = pair(seed);
        assert!(net.run_until(minutes(2), |net| net.channels(from, to) > 0));
        net.trackers_down(true);
        complete_within_bounds(&mut net, to, &content, minutes(10));
        assert_eq!(net.channels(from, to), 0, "two seeds part");
    });
}

/// Pauses between a node's attempts to connect.
fn pauses(connects: &[Timestamp]) -> Vec<f64> {
    (connects.windows(2))
        .map(|pair| pair[1].since(pair[0]).as_secs_f64())
        .collect()
}

#[test]
fn a_lost_server_is_tried_with_growing_pauses_that_are_spread_over_the_peers() {
    for mood in [TrackerMood::Down, TrackerMood::Slam] {
        let seen: Mutex<Vec<Vec<f64>>> = Mutex::default();
        for_seeds(SEEDS, |seed| {
            let mut net = SimNet::new(seed, NetConfig::default());
            let content = Content::file(seed, 10_000, 32 * 1024);
            net.set_trackers(mood);
            let node = net.node(SimNet::config());
            net.leech(node, &content);
            net.run_for(minutes(30));
            let pauses = pauses(net.connects(node));
            assert!(pauses.len() < 35, "{} attempts", pauses.len());
            for (n, pause) in pauses.iter().enumerate() {
                // An attempt itself takes less than 0.7 s.
                let mean = (1 << n.min(10)).min(120) as f64;
                let expected = mean * 0.5..mean * 1.5 + 0.7;
                assert!(
                    expected.contains(pause),
                    "pause {n}: {pause} of {expected:?}"
                );
            }
            seen.lock().unwrap().push(pauses);
        });
        let seen = seen.into_inner().unwrap();
        if seen.len() < 100 {
            continue;
        }
        // At each step the peers come evenly over the whole width, so that no moment sees many of them.
        for n in [0, 1, 3, 7, 9] {
            let mean = (1 << n).min(120) as f64;
            let mut tenths = [0usize; 12];
            for pauses in &seen {
                let place = (pauses[n] / mean - 0.5) * 10.0;
                tenths[(place.max(0.0) as usize).min(11)] += 1;
            }
            let most = *tenths.iter().max().unwrap();
            assert!(most * 5 < seen.len(), "step {n}: {tenths:?}");
        }
    }
}

#[test]
fn a_server_that_never_answers_is_left_and_not_hammered() {
    for_seeds(SEEDS, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::file(seed, 10_000, 32 * 1024);
        net.set_trackers(TrackerMood::Mute);
        let node = net.node(SimNet::config());
        net.leech(node, &content);
        net.run_for(minutes(30));
        let tries = net.connects(node).len();
        assert!((5..35).contains(&tries), "{tries} attempts");
    });
}

#[test]
fn a_server_that_answers_and_closes_is_asked_no_oftener_than_it_wants() {
    for_seeds(SEEDS, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::file(seed, 10_000, 32 * 1024);
        net.set_trackers(TrackerMood::Hasty);
        let node = net.node(SimNet::config());
        net.leech(node, &content);
        net.run_for(Duration::from_secs(45));
        let soon = net.announces(node).len();
        assert!((1..=5).contains(&soon), "{soon} announces in 45 s");
        net.run_for(minutes(60));
        let all = net.announces(node).len();
        assert!((20..50).contains(&all), "{all} announces in an hour");
    });
}

/// A node's announces of the content: event and bytes missing.
fn said(net: &SimNet, node: NodeId) -> Vec<(Event, Option<u64>)> {
    (net.announces(node).iter())
        .filter_map(|(_, text)| match Request::parse(text, Limits::default()) {
            Ok(Request::Announce(announce)) => Some((announce.event, announce.left)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_download_is_told_once_and_what_was_there_never() {
    for_seeds(SEEDS, |seed| {
        let (mut net, content, from, to) = pair(seed);
        complete_within_bounds(&mut net, to, &content, minutes(30));
        net.run_for(minutes(3));
        let completed =
            |said: &[(Event, Option<u64>)]| said.iter().filter(|s| s.0 == Event::Completed).count();
        let seed_said = said(&net, from);
        assert_eq!(completed(&seed_said), 0, "{seed_said:?}");
        let said_by_leech = said(&net, to);
        assert_eq!(completed(&said_by_leech), 1, "{said_by_leech:?}");
        // A new run, with all of it there: hashed again, and by its records.
        for check in [CheckExisting::Recheck, CheckExisting::Resume] {
            net.kill_process(to);
            let before = said(&net, to).len();
            net.start(to);
            let options = AddOptions {
                check,
                ..AddOptions::default()
            };
            net.add(to, Source::Torrent(content.torrent()), options);
            net.run_for(Duration::from_secs(30));
            let said = said(&net, to).split_off(before);
            assert_eq!(completed(&said), 0, "{check:?}: {said:?}");
            assert_eq!(
                said.last().map(|s| s.1),
                Some(Some(0)),
                "{check:?}: {said:?}"
            );
        }
    });
}

#[test]
fn a_swarm_whose_server_restarts_does_not_come_back_all_at_once() {
    for_seeds(SEEDS, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::file(seed, 10_000, 32 * 1024);
        // They want no connections: the time of their coming counts.
        let nodes: Vec<NodeId> = (0..40)
            .map(|_| {
                let node = net.node(SimNet::config());
                net.add_paused(node, &content);
                node
            })
            .collect();
        net.run_for(Duration::from_secs(5));
        net.trackers_down(true);
        let gone = net.now;
        net.run_for(Duration::from_secs(5));
        net.trackers_down(false);
        net.run_for(Duration::from_secs(20));
        let mut back: Vec<Timestamp> = (nodes.iter())
            .flat_map(|&node| net.connects(node).iter().copied().filter(|at| *at > gone))
            .collect();
        back.sort_unstable();
        let window = Duration::from_millis(100);
        let most = (0..back.len())
            .map(|n| {
                back[n..]
                    .iter()
                    .take_while(|at| **at < back[n] + window)
                    .count()
            })
            .max();
        assert!(most < Some(16), "{most:?} of 40 within {window:?}");
    });
}
