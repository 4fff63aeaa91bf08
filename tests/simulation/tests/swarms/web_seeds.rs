//! Web seeds (BEP 19) beside peers: who brings what, who is blamed, and who steps back.

use std::collections::BTreeSet;

use piecework::client::{
    AddOptions, Command, Config, Event, Limits, Source, TorrentSnapshot, WebSeedSnapshot,
    WebSeedState, WebSeedUse,
};
use piecework::storage::Store;
use piecework::time::Duration;
use piecework::types::BLOCK_LEN;
use piecework_simulation::{
    Cheat, Content, NetConfig, NodeId, Serves, SimNet, StreamEnd, TrackerMood, WebServer, for_seeds,
};

use crate::common::{banned_by, complete, minutes, ready, within_bounds};

const URL: &str = "https://w.example/film.mp4";
const OTHER: &str = "https://x.example/film.mp4";
const LENGTH: usize = 3_000_000;
const BLOCKS: u64 = LENGTH as u64 / 16_384 + 1;
const MB: u64 = 1_000_000;
/// Each is asked for so much, or it would show nothing of what it can do.
const LEAST_ASKED: u64 = 4 * BLOCK_LEN as u64;

fn film(seed: u64) -> Content {
    Content::file(seed, LENGTH, 64 * 1024)
}

fn add(net: &mut SimNet, node: NodeId, content: &Content, on_demand: bool, urls: &[&str]) {
    net.watch_content(content);
    let options = AddOptions {
        on_demand,
        web_seeds: urls.iter().map(|url| (*url).to_owned()).collect(),
        ..AddOptions::default()
    };
    net.add(node, Source::Torrent(content.torrent()), options);
}

fn torrent(net: &SimNet, node: NodeId, content: &Content) -> TorrentSnapshot {
    net.torrent(node, content.info_hash()).unwrap()
}

fn web_seed(net: &SimNet, node: NodeId, content: &Content, url: &str) -> WebSeedSnapshot {
    let seeds = torrent(net, node, content).web_seeds;
    seeds.into_iter().find(|seed| seed.url == url).unwrap()
}

fn warnings(net: &SimNet, node: NodeId) -> Vec<String> {
    (net.events(node))
        .filter_map(|event| match event {
            Event::Warning { text, .. } => Some(text.clone()),
            _ => None,
        })
        .collect()
}

/// A node with web seeds and nobody else.
fn alone(seed: u64, serves: Serves) -> (SimNet, Content, NodeId) {
    let mut net = SimNet::new(seed, NetConfig::default());
    net.set_trackers(TrackerMood::Down);
    let content = film(seed);
    net.web_server(URL, WebServer::new(&content, serves, MB));
    let node = net.node(SimNet::config());
    (net, content, node)
}

#[test]
fn with_nobody_there_everything_comes_from_a_web_seed() {
    for_seeds(100, |seed| {
        let (mut net, content, node) = alone(seed, Serves::Right);
        add(&mut net, node, &content, false, &[URL]);
        complete(&mut net, &[node], &content, minutes(2));
        let said = web_seed(&net, node, &content, URL);
        assert_eq!(said.state, WebSeedState::Idle, "{said:?}");
        assert_eq!(said.downloaded, LENGTH as u64, "no byte twice");
        assert_eq!(net.web_sent(URL), LENGTH as u64, "no byte twice");
        assert!(net.web_asked(URL).len() < 20, "it was asked piece by piece");
    });
}

#[test]
fn a_film_plays_from_its_middle_out_of_a_web_seed_alone() {
    for_seeds(100, |seed| {
        let (mut net, content, node) = alone(seed, Serves::Right);
        add(&mut net, node, &content, true, &[URL]);
        ready(&mut net, node, &content);
        let from = LENGTH as u64 / 2;
        let stream = net.read(node, content.info_hash(), 0, from..from + 500_000, None);
        let served = net.run_until(Duration::from_secs(3), |net| {
            net.reader(node, stream).first_bytes.is_some()
        });
        assert!(served, "seed {seed}: no byte after three seconds");
        net.run_until(minutes(1), |net| net.reader(node, stream).end.is_some());
        assert_eq!(net.reader(node, stream).end, Some(StreamEnd::Complete));
        let before = from - 300_000;
        let piece = (before / 65_536) as u32;
        let have = torrent(&net, node, &content).have;
        let has = have[(piece / 8) as usize] & (128 >> (piece % 8)) != 0;
        assert!(!has, "only what the reader asks for is fetched");
    });
}

#[test]
fn the_files_of_a_folder_come_from_their_own_urls() {
    for_seeds(20, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::folder(seed, &[100_000, 1, 0, 700_000, 50_000], 64 * 1024);
        let url = "http://w.example/d";
        net.web_server(url, WebServer::new(&content, Serves::Right, MB));
        let node = net.node(SimNet::config());
        add(&mut net, node, &content, false, &["http://w.example/d/"]);
        complete(&mut net, &[node], &content, minutes(2));
    });
}

#[test]
fn a_file_that_a_web_seed_lacks_comes_from_another() {
    for_seeds(20, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::folder(seed, &[100_000, 200_000, 300_000], 64 * 1024);
        let (a, b) = ("http://a.example", "http://b.example");
        let without = |files: &[u32]| Serves::Without(files.iter().copied().collect());
        net.web_server(a, WebServer::new(&content, without(&[0]), MB));
        net.web_server(b, WebServer::new(&content, without(&[2]), MB));
        let node = net.node(SimNet::config());
        add(&mut net, node, &content, false, &[a, b]);
        complete(&mut net, &[node], &content, minutes(2));
        assert!(net.web_sent(a) > 0 && net.web_sent(b) > 0);
    });
}

#[test]
fn peers_that_suffice_leave_a_web_seed_alone() {
    for_seeds(100, |seed| {
        let net_config = NetConfig {
            uplink: 2 * MB..3 * MB,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let content = film(seed);
        net.web_server(URL, WebServer::new(&content, Serves::Right, 10 * MB));
        let peer = net.node(SimNet::config());
        net.seed(peer, &content);
        let node = net.node(SimNet::config());
        add(&mut net, node, &content, false, &[URL]);
        complete(&mut net, &[node], &content, minutes(2));
        assert_eq!(net.web_sent(URL), 0, "seed {seed}: nobody needed it");
    });
}

#[test]
fn a_window_that_fast_peers_keep_full_leaves_a_web_seed_alone() {
    for_seeds(20, |seed| {
        let net_config = NetConfig {
            uplink: 2 * MB..3 * MB,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let content = Content::file(seed, 30_000_000, 1024 * 1024);
        net.web_server(URL, WebServer::new(&content, Serves::Right, 10 * MB));
        for _ in 0..2 {
            let peer = net.node(SimNet::config());
            net.seed(peer, &content);
        }
        let node = net.node(SimNet::config());
        add(&mut net, node, &content, true, &[URL]);
        ready(&mut net, node, &content);
        net.run_for(Duration::from_secs(10));
        let pace = 60_000;
        let stream = net.read(node, content.info_hash(), 0, 0..30_000_000, Some(pace));
        // The start is urgent: whoever can brings it.
        net.run_for(Duration::from_secs(20));
        let start = net.web_sent(URL);
        net.run_for(minutes(2));
        let waited = net.reader(node, stream).waited;
        assert!(waited < Duration::from_secs(1), "seed {seed}: {waited:?}");
        let sent = net.web_sent(URL) - start;
        assert!(sent < MB / 4, "seed {seed}: {sent} beside fast peers");
    });
}

#[test]
fn a_web_seed_fills_in_for_slow_peers_and_steps_back_for_fast_ones() {
    for_seeds(100, |seed| {
        let net_config = NetConfig {
            uplink: 20_000..30_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let content = Content::file(seed, 12_000_000, 256 * 1024);
        net.web_server(URL, WebServer::new(&content, Serves::Right, MB));
        let peer = net.node(SimNet::config());
        net.seed(peer, &content);
        let node = net.node(SimNet::config());
        add(&mut net, node, &content, false, &[URL]);
        let helped = net.run_until(minutes(1), |net| {
            within_bounds(net, node);
            torrent(net, node, &content).verified_bytes > 4 * MB
        });
        assert!(helped, "seed {seed}: nobody helped");
        let filled = net.web_sent(URL);
        assert!(filled > 2 * MB, "seed {seed}: {filled}");
        net.set_uplink(peer, 2 * MB);
        net.run_for(Duration::from_secs(6));
        let before = net.web_sent(URL);
        complete(&mut net, &[node], &content, minutes(3));
        let after = net.web_sent(URL) - before;
        assert!(
            after < MB / 2,
            "seed {seed}: {after} after the peers were fast"
        );
    });
}

#[test]
fn a_reader_that_slow_peers_would_keep_waiting_is_served_by_a_web_seed() {
    for_seeds(100, |seed| {
        let net_config = NetConfig {
            uplink: 50_000..60_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let content = Content::file(seed, 6_000_000, 256 * 1024);
        net.web_server(URL, WebServer::new(&content, Serves::Right, MB));
        let peer = net.node(SimNet::config());
        net.seed(peer, &content);
        let node = net.node(SimNet::config());
        add(&mut net, node, &content, true, &[URL]);
        ready(&mut net, node, &content);
        let pace = 400_000;
        let stream = net.read(node, content.info_hash(), 0, 0..5_000_000, Some(pace));
        net.run_until(minutes(2), |net| net.reader(node, stream).end.is_some());
        let reader = net.reader(node, stream);
        assert_eq!(reader.end, Some(StreamEnd::Complete), "seed {seed}");
        let waited = reader.waited;
        assert!(
            waited < Duration::from_secs(4),
            "seed {seed}: waited {waited:?}"
        );
    });
}

#[test]
fn with_always_a_web_seed_helps_beside_fast_peers() {
    for_seeds(20, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = film(seed);
        net.web_server(URL, WebServer::new(&content, Serves::Right, MB));
        let peer = net.node(SimNet::config());
        net.seed(peer, &content);
        let node = net.node(Config {
            web_seed_use: WebSeedUse::Always,
            ..SimNet::config()
        });
        add(&mut net, node, &content, false, &[URL]);
        complete(&mut net, &[node], &content, minutes(2));
        assert!(net.web_sent(URL) > 0, "seed {seed}");
    });
}

#[test]
fn several_web_seeds_share_the_work() {
    for_seeds(20, |seed| {
        let (mut net, content, node) = alone(seed, Serves::Right);
        net.web_server(OTHER, WebServer::new(&content, Serves::Right, MB));
        add(&mut net, node, &content, false, &[URL, OTHER]);
        complete(&mut net, &[node], &content, minutes(2));
        for url in [URL, OTHER] {
            assert!(net.web_sent(url) > LENGTH as u64 / 10, "seed {seed}: {url}");
        }
    });
}

// ---- bad ones

#[test]
fn a_web_seed_that_lies_in_one_block_is_banned_and_no_other() {
    for_seeds(100, |seed| {
        let (mut net, content, node) = alone(seed, Serves::Right);
        let wrong = BTreeSet::from([seed % BLOCKS]);
        net.set_serves(URL, Serves::Wrong(wrong));
        net.web_server(OTHER, WebServer::new(&content, Serves::Right, MB));
        add(&mut net, node, &content, false, &[URL, OTHER]);
        complete(&mut net, &[node], &content, minutes(5));
        let other = web_seed(&net, node, &content, OTHER);
        assert_eq!(other.state, WebSeedState::Idle, "seed {seed}: {other:?}");
        let liar = web_seed(&net, node, &content, URL);
        // The wrong block may have come from the other one.
        if liar.state != WebSeedState::Idle {
            assert_eq!(liar.state, WebSeedState::Banned, "seed {seed}: {liar:?}");
            assert!(warnings(&net, node)[0].contains("https://w.example"));
        }
    });
}

#[test]
fn a_web_seed_that_always_lies_is_banned_after_one_piece() {
    for_seeds(100, |seed| {
        let (mut net, content, node) = alone(seed, Serves::Wrong((0..BLOCKS).collect()));
        add(&mut net, node, &content, false, &[URL]);
        net.run_for(minutes(1));
        let liar = web_seed(&net, node, &content, URL);
        assert_eq!(liar.state, WebSeedState::Banned, "{liar:?}");
        assert!(liar.note.contains("https://w.example"), "{liar:?}");
        assert_eq!(torrent(&net, node, &content).verified_bytes, 0);
        assert!(net.web_sent(URL) < MB, "{}", net.web_sent(URL));
    });
}

#[test]
fn of_a_piece_from_a_peer_and_a_web_seed_the_liar_is_blamed() {
    for_seeds(100, |seed| {
        let peer_lies = seed % 2 == 0;
        let net_config = NetConfig {
            uplink: 60_000..90_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        // Large pieces, so that both bring parts of each.
        let content = Content::file(seed, 2_000_000, 512 * 1024);
        let serves = match peer_lies {
            true => Serves::Right,
            false => Serves::Wrong((0..200).collect()),
        };
        net.web_server(URL, WebServer::new(&content, serves, 400_000));
        let honest = net.node(SimNet::config());
        net.seed(honest, &content);
        let liar = net.node(SimNet::config());
        net.seed(liar, &content);
        if peer_lies {
            net.set_cheat(liar, Cheat::Corrupt { one_in: 3 });
        }
        let node = net.node(Config {
            web_seed_use: WebSeedUse::Always,
            ..SimNet::config()
        });
        add(&mut net, node, &content, false, &[URL]);
        complete(&mut net, &[node], &content, minutes(20));
        let banned = banned_by(&net, node);
        let web = web_seed(&net, node, &content, URL).state;
        if peer_lies {
            assert!(!banned.contains(&honest), "seed {seed}: {banned:?}");
            assert_ne!(web, WebSeedState::Banned, "seed {seed}");
        } else {
            assert!(banned.is_empty(), "seed {seed}: {banned:?}");
            assert_eq!(web, WebSeedState::Banned, "seed {seed}");
        }
    });
}

/// Each fault of a server, whether it is lasting, and a part of its sentence.
fn faults() -> Vec<(Serves, bool, &'static str)> {
    vec![
        (Serves::WholeFiles, true, "must serve ranges"),
        (Serves::OtherRange, true, "another range"),
        (Serves::Status(404, None), true, "does not have the file"),
        (Serves::Status(403, None), true, "refuses"),
        (
            Serves::Status(416, None),
            true,
            "shorter than the torrent's",
        ),
        (Serves::Status(500, None), false, "status 500"),
        (Serves::Status(503, Some(7)), false, "busy"),
        (Serves::Length(-1), false, "too few"),
        (Serves::Length(1), false, "more bytes"),
        (Serves::Nothing, false, "too slowly"),
        (Serves::Drips(1_000), false, "too slowly"),
    ]
}

#[test]
fn each_fault_of_a_server_has_its_sentence_and_is_not_tried_for_ever() {
    for (serves, lasting, sentence) in faults() {
        for_seeds(10, |seed| {
            let (mut net, content, node) = alone(seed, serves.clone());
            add(&mut net, node, &content, false, &[URL]);
            net.run_for(minutes(10));
            let said = warnings(&net, node);
            let of_it: Vec<&String> = said.iter().filter(|t| t.contains("w.example")).collect();
            assert!(of_it[0].contains(sentence), "{serves:?}: {of_it:?}");
            assert!(of_it.len() <= 2, "{serves:?}: {of_it:?}");
            let asked = net.web_asked(URL).len();
            if lasting {
                let state = web_seed(&net, node, &content, URL).state;
                assert_eq!(state, WebSeedState::Dropped, "{serves:?}");
                assert!(asked <= 2, "{serves:?}: asked {asked} times");
                assert!(net.web_sent(URL) < 600_000, "{serves:?}");
            }
            assert!(asked <= 250, "{serves:?}: asked {asked} times");
        });
    }
}

#[test]
fn a_dead_web_seed_is_dropped_after_three_tries() {
    for_seeds(20, |seed| {
        let (mut net, content, node) = alone(seed, Serves::Right);
        let nowhere = "https://nowhere.example/film.mp4";
        add(&mut net, node, &content, false, &[nowhere]);
        net.run_for(minutes(10));
        let dead = web_seed(&net, node, &content, nowhere);
        assert_eq!(dead.state, WebSeedState::Dropped, "{dead:?}");
        assert!(dead.note.contains("no such host"), "{dead:?}");
    });
}

#[test]
fn a_server_that_is_busy_is_left_alone_as_long_as_it_says() {
    let (mut net, content, node) = alone(1, Serves::Status(503, Some(60)));
    add(&mut net, node, &content, false, &[URL]);
    net.run_until(minutes(1), |net| !net.web_asked(URL).is_empty());
    let from = net.now;
    net.run_for(Duration::from_secs(50));
    let asked = net.web_asked(URL);
    assert!(
        asked.iter().all(|at| *at <= from + Duration::from_secs(1)),
        "{asked:?}"
    );
    net.set_serves(URL, Serves::Right);
    complete(&mut net, &[node], &content, minutes(5));
}

#[test]
fn bad_web_seeds_keep_a_peer_from_nothing() {
    for (serves, ..) in faults() {
        for_seeds(10, |seed| {
            let net_config = NetConfig {
                uplink: 80_000..120_000,
                ..NetConfig::default()
            };
            let mut net = SimNet::new(seed, net_config);
            let content = Content::file(seed, 1_000_000, 64 * 1024);
            net.web_server(URL, WebServer::new(&content, serves.clone(), MB));
            let peer = net.node(SimNet::config());
            net.seed(peer, &content);
            let node = net.node(SimNet::config());
            add(&mut net, node, &content, false, &[URL]);
            let alone = Duration::from_secs(15);
            complete(&mut net, &[node], &content, alone + Duration::from_secs(35));
        });
    }
}

// ---- what the user says

#[test]
fn a_pause_ends_the_requests_and_a_cap_holds_for_web_seeds() {
    for_seeds(20, |seed| {
        let (mut net, content, _) = alone(seed, Serves::Right);
        let node = net.node(Config {
            limits: Limits {
                download_bytes_per_second: Some(100_000),
                ..Limits::default()
            },
            ..SimNet::config()
        });
        add(&mut net, node, &content, false, &[URL]);
        net.run_for(Duration::from_secs(14));
        let sent = net.web_sent(URL);
        assert!((300_000..1_900_000).contains(&sent), "seed {seed}: {sent}");
        let info_hash = content.info_hash();
        net.command(node, Command::Pause { info_hash });
        let paused = net.web_sent(URL);
        net.run_for(minutes(1));
        assert_eq!(net.web_sent(URL), paused, "seed {seed}");
        net.command(node, Command::Resume { info_hash });
        complete(&mut net, &[node], &content, minutes(3));
    });
}

#[test]
fn the_torrents_own_web_seeds_are_used_unless_the_user_says_no() {
    for used in [true, false] {
        let (mut net, content, _) = alone(3, Serves::Right);
        let node = net.node(Config {
            use_torrent_web_seeds: used,
            ..SimNet::config()
        });
        let mut meta = content.metainfo.clone();
        meta.web_seeds = vec!["ftp://w.example/film.mp4".to_owned(), URL.to_owned()];
        net.watch_content(&content);
        let torrent = meta.to_torrent().into();
        net.add(node, Source::Torrent(torrent), AddOptions::default());
        net.run_for(Duration::from_secs(30));
        assert_eq!(net.is_complete(node, &content), used);
        // And after a restart, by the hash alone.
        net.shut_down(node);
        net.start(node);
        net.add(
            node,
            Source::Stored(content.info_hash()),
            AddOptions::default(),
        );
        net.run_for(Duration::from_secs(1));
        let seeds = net.torrent(node, content.info_hash()).unwrap().web_seeds;
        assert_eq!(seeds.iter().any(|seed| seed.url == URL), used, "{seeds:?}");
    }
}

#[test]
fn a_web_seed_may_be_added_later_and_a_useless_url_is_named() {
    let (mut net, content, node) = alone(4, Serves::Right);
    add(&mut net, node, &content, false, &[]);
    net.run_for(Duration::from_secs(10));
    for url in ["ftp://w.example/f", "https://u:p@w.example/f", URL] {
        let command = Command::AddWebSeed {
            info_hash: content.info_hash(),
            url: url.to_owned(),
        };
        net.command(node, command);
    }
    complete(&mut net, &[node], &content, minutes(2));
    let said = warnings(&net, node);
    assert!(said.iter().any(|text| text.contains("ftp://")), "{said:?}");
    assert!(
        said.iter().any(|text| text.contains("password")),
        "{said:?}"
    );
}

#[test]
fn a_given_web_seed_takes_the_place_of_one_that_ended() {
    let (mut net, content, node) = alone(5, Serves::Right);
    let dead: Vec<String> = (0..8)
        .map(|n| format!("https://dead{n}.example/f"))
        .collect();
    let dead: Vec<&str> = dead.iter().map(String::as_str).collect();
    add(&mut net, node, &content, false, &dead);
    let info_hash = content.info_hash();
    let url = URL.to_owned();
    net.command(node, Command::AddWebSeed { info_hash, url });
    let refused = |net: &SimNet| warnings(net, node).iter().any(|t| t.contains("at most 8"));
    assert!(refused(&net), "all of them may still be of use");
    net.run_for(minutes(10));
    net.command(
        node,
        Command::AddWebSeed {
            info_hash,
            url: URL.to_owned(),
        },
    );
    complete(&mut net, &[node], &content, minutes(2));
    let seeds = torrent(&net, node, &content).web_seeds;
    assert_eq!(seeds.len(), 8, "{seeds:?}");
}

// ---- what all torrents share

#[test]
fn a_reader_waits_for_no_other_torrents_web_seeds() {
    for_seeds(20, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        net.set_trackers(TrackerMood::Down);
        let node = net.node(SimNet::config());
        let big = Content::file(seed, 40_000_000, 256 * 1024);
        let urls: Vec<String> = (0..8)
            .map(|n| format!("https://big{n}.example/f"))
            .collect();
        for url in &urls {
            net.web_server(url, WebServer::new(&big, Serves::Right, 200_000));
        }
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        add(&mut net, node, &big, false, &urls);
        net.run_for(Duration::from_secs(10));
        let film = film(seed + 1_000);
        net.web_server(URL, WebServer::new(&film, Serves::Right, MB));
        add(&mut net, node, &film, true, &[URL]);
        ready(&mut net, node, &film);
        let stream = net.read(node, film.info_hash(), 0, 0..LENGTH as u64, None);
        let served = net.run_until(Duration::from_secs(3), |net| {
            net.reader(node, stream).first_bytes.is_some()
        });
        assert!(served, "seed {seed}: no byte after three seconds");
        net.run_until(Duration::from_secs(15), |net| {
            net.reader(node, stream).end.is_some()
        });
        assert_eq!(net.reader(node, stream).end, Some(StreamEnd::Complete));
        assert!(!net.is_complete(node, &big), "seed {seed}: nobody competed");
    });
}

#[test]
fn what_web_seeds_are_asked_for_counts_as_what_a_kill_may_cost() {
    let ms = Duration::from_millis;
    for_seeds(20, |seed| {
        let (mut net, _, node) = alone(seed, Serves::Right);
        let content = Content::file(seed, 5 * LENGTH, 256 * 1024);
        net.slow_storage(node, ms(100)..ms(600));
        let urls: Vec<String> = (0..8).map(|n| format!("https://w{n}.example/f")).collect();
        let rate = MB / 2;
        for url in &urls {
            net.web_server(url, WebServer::new(&content, Serves::Right, rate));
        }
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        add(&mut net, node, &content, false, &urls);
        // A rate is measured over half a second at the least: a little more may have come in that.
        let all = Store::may_be_at_risk(8 * rate * 110 / 100);
        let most = all + 8 * LEAST_ASKED;
        let mut highest = 0;
        let done = net.run_until(minutes(5), |net| {
            let sum = net.client(node).load().at_risk_and_asked_of_one;
            assert!(sum <= most, "seed {seed}: {sum}, the bound is {most}");
            highest = highest.max(sum);
            net.is_complete(node, &content)
        });
        assert!(done, "seed {seed}: not complete");
        assert!(highest >= most / 2, "seed {seed}: at most {highest}");
    });
}

#[test]
fn what_a_busy_web_seed_was_not_asked_for_in_four_seconds_is_given_back() {
    const PIECE: u64 = 65_536;
    for_seeds(20, |seed| {
        let ms = Duration::from_millis;
        let (mut net, content, node) = alone(seed, Serves::Drips(10_000));
        add(&mut net, node, &content, true, &[]);
        ready(&mut net, node, &content);
        let info_hash = content.info_hash();
        // Four places that are far from each other, and two requests are out to a server at once.
        let reads = [5, 15, 25, 35]
            .map(|piece| piece * PIECE)
            .map(|at| net.read(node, info_hash, 0, at..at + 10_000, None));
        let url = URL.to_owned();
        net.command(node, Command::AddWebSeed { info_hash, url });
        for read in reads {
            net.close_stream(node, read);
        }
        // What came and is not stored yet is in the sum as well.
        let asked = |net: &SimNet| net.client(node).load().at_risk_and_asked_of_one;
        net.run_for(ms(3_900));
        let before = asked(&net);
        net.run_for(ms(200));
        let after = asked(&net);
        let within = |sum, pieces| sum > (pieces - 1) * PIECE && sum <= pieces * PIECE;
        let sums = format!("seed {seed}: {before}, then {after}");
        assert!(within(before, 4) && within(after, 2), "{sums}");
        assert!(before - after >= 2 * PIECE, "{sums}");
        // By the time that the server has time for them nobody reads there any more, so it is asked for no more.
        net.run_for(minutes(1));
        assert_eq!(net.web_asked(URL).len(), 2, "seed {seed}");
        assert_eq!(net.web_sent(URL), 2 * PIECE, "seed {seed}");
    });
}
