//! Plain BitTorrent among many.

use crate::common::{complete, minutes, ready};
use piecework::client::{AddOptions, ClosedReason, Command, Event, ResalePrice, Source};
use piecework::time::Duration;
use piecework::types::{ConnectionId, FineUnits};
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, for_seeds};

/// One seed and this many leechers of the content.
fn swarm(net: &mut SimNet, content: &Content, leechers: usize) -> (NodeId, Vec<NodeId>) {
    let seed = net.node(SimNet::config());
    net.seed(seed, content);
    let leechers = (0..leechers)
        .map(|_| {
            let node = net.node(SimNet::config());
            net.leech(node, content);
            node
        })
        .collect();
    (seed, leechers)
}

#[test]
fn one_seed_and_five_leechers_end_with_the_same_bytes() {
    for seed in 0..50 {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::file(seed, 700_001, 32 * 1024);
        let (_, leechers) = swarm(&mut net, &content, 5);
        complete(&mut net, &leechers, &content, minutes(10));
    }
}

#[test]
fn a_peer_that_is_closed_by_hand_is_gone_and_may_come_again() {
    let mut net = SimNet::new(3, NetConfig::default());
    let content = Content::file(3, 3_000_000, 32 * 1024);
    let (seed, leechers) = swarm(&mut net, &content, 1);
    net.set_uplink(seed, 100_000);
    let (leecher, info_hash) = (leechers[0], content.info_hash());
    let mut connected = None;
    net.run_until(minutes(1), |net| {
        connected = net.events(leecher).find_map(|event| match event {
            Event::PeerConnected { connection, .. } => Some(*connection),
            _ => None,
        });
        connected.is_some()
    });
    let connection = connected.expect("the seed");
    let close = |connection| Command::ClosePeer {
        info_hash,
        connection,
    };
    let closed = |net: &SimNet| {
        let reasons = net.events(leecher).filter_map(|event| match event {
            Event::PeerClosed { reason, .. } => Some(reason.clone()),
            _ => None,
        });
        reasons.collect::<Vec<_>>()
    };
    net.command(leecher, close(ConnectionId(u64::MAX)));
    assert_eq!(closed(&net), [], "nobody has that number");
    net.command(leecher, close(connection));
    net.command(leecher, close(connection));
    assert_eq!(closed(&net), [ClosedReason::NotNeeded("closed by hand")]);
    complete(&mut net, &leechers, &content, minutes(30));
}

#[test]
fn leechers_give_to_each_other_and_spare_the_seed() {
    let mut net = SimNet::new(1, NetConfig::default());
    let content = Content::file(1, 2_000_000, 32 * 1024);
    let (seed, leechers) = swarm(&mut net, &content, 6);
    net.set_uplink(seed, 300_000);
    complete(&mut net, &leechers, &content, minutes(10));
    let from_seed: u64 = (leechers.iter())
        .map(|&to| net.watch.sent(seed, to, content.info_hash()))
        .sum();
    let all: u64 = (leechers.iter())
        .map(|&to| net.watch.sent_to(to, content.info_hash()))
        .sum();
    assert!(from_seed * 2 < all, "the seed sent {from_seed} of {all}");
}

#[test]
fn little_is_fetched_twice() {
    let mut net = SimNet::new(2, NetConfig::default());
    let content = Content::file(2, 3_000_000, 64 * 1024);
    let (_, leechers) = swarm(&mut net, &content, 4);
    complete(&mut net, &leechers, &content, minutes(10));
    for &node in &leechers {
        let fetched = net.watch.sent_to(node, content.info_hash());
        assert!(fetched < 3_000_000 * 115 / 100, "{fetched} bytes");
    }
}

#[test]
fn a_folder_of_files_arrives_by_magnet_link() {
    for seed in 0..5 {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::folder(seed, &[1, 0, 70_000, 16_384, 250_000, 3], 32 * 1024);
        let a = net.node(SimNet::config());
        net.seed(a, &content);
        let b = net.node(SimNet::config());
        net.leech_magnet(b, &content);
        complete(&mut net, &[b], &content, minutes(10));
    }
}

#[test]
fn a_newcomer_learns_the_metadata_from_one_who_came_by_magnet_too() {
    let mut net = SimNet::new(3, NetConfig::default());
    let content = Content::file(3, 500_000, 32 * 1024);
    let (a, b, c) = (
        net.node(SimNet::config()),
        net.node(SimNet::config()),
        net.node(SimNet::config()),
    );
    net.seed(a, &content);
    net.leech_magnet(b, &content);
    complete(&mut net, &[b], &content, minutes(10));
    net.shut_down(a);
    net.leech_magnet(c, &content);
    complete(&mut net, &[c], &content, minutes(10));
}

#[test]
fn channels_that_die_do_not_stop_a_swarm() {
    for seed in 100..120 {
        let config = NetConfig {
            lose_channel_every: Some(Duration::from_secs(2)),
            uplink: 100_000..400_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, config);
        let content = Content::file(seed, 700_001, 32 * 1024);
        let (_, leechers) = swarm(&mut net, &content, 5);
        complete(&mut net, &leechers, &content, minutes(60));
    }
}

#[test]
fn a_seed_that_dies_early_leaves_what_the_others_share() {
    for seed in 200..210 {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::file(seed, 700_001, 32 * 1024);
        let (first, leechers) = swarm(&mut net, &content, 4);
        complete(&mut net, &leechers[..1], &content, minutes(10));
        net.crash(first);
        complete(&mut net, &leechers, &content, minutes(20));
    }
}

#[test]
fn a_swarm_goes_on_when_the_trackers_are_gone_and_finds_them_when_they_return() {
    let mut net = SimNet::new(4, NetConfig::default());
    let content = Content::file(4, 1_500_000, 32 * 1024);
    let (seed, leechers) = swarm(&mut net, &content, 3);
    net.set_uplink(seed, 50_000);
    net.run_for(Duration::from_secs(8));
    net.trackers_down(true);
    complete(&mut net, &leechers, &content, minutes(10));
    let late = net.node(SimNet::config());
    net.leech(late, &content);
    net.run_for(minutes(2));
    assert!(!net.is_complete(late, &content));
    net.trackers_down(false);
    complete(&mut net, &[late], &content, minutes(20));
}

#[test]
fn a_paused_torrent_fetches_nothing_and_resumes() {
    let mut net = SimNet::new(5, NetConfig::default());
    let content = Content::file(5, 1_500_000, 32 * 1024);
    let (seed, leechers) = swarm(&mut net, &content, 1);
    net.set_uplink(seed, 100_000);
    let (b, info_hash) = (leechers[0], content.info_hash());
    net.run_for(Duration::from_secs(8));
    net.command(b, Command::Pause { info_hash });
    net.run_for(Duration::from_secs(10));
    let before = net.watch.sent_to(b, info_hash);
    net.run_for(minutes(2));
    assert_eq!(net.watch.sent_to(b, info_hash), before);
    assert!(!net.is_complete(b, &content));
    net.command(b, Command::Resume { info_hash });
    complete(&mut net, &[b], &content, minutes(10));
}

#[test]
fn with_upload_off_nothing_leaves() {
    let mut net = SimNet::new(6, NetConfig::default());
    let content = Content::file(6, 700_000, 32 * 1024);
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    let mut quiet = SimNet::config();
    quiet.limits.upload_bytes_per_second = Some(0);
    let b = net.node(quiet);
    net.leech(b, &content);
    let c = net.node(SimNet::config());
    net.leech(c, &content);
    complete(&mut net, &[b, c], &content, minutes(10));
    assert_eq!(net.watch.sent(b, c, content.info_hash()), 0);
}

#[test]
fn an_upload_cap_holds() {
    let mut net = SimNet::new(7, NetConfig::default());
    let content = Content::file(7, 1_000_000, 32 * 1024);
    let mut capped = SimNet::config();
    capped.limits.upload_bytes_per_second = Some(50_000);
    let a = net.node(capped);
    net.seed(a, &content);
    let b = net.node(SimNet::config());
    net.leech(b, &content);
    let start = net.now;
    complete(&mut net, &[b], &content, minutes(10));
    let took = net.now.since(start);
    assert!(took > Duration::from_secs(17), "{took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn a_download_cap_starves_no_torrent() {
    for_seeds(20, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let titles = [seed, seed + 1_000].map(|seed| Content::file(seed, 500_000, 32 * 1024));
        let mut capped = SimNet::config();
        capped.limits.download_bytes_per_second = Some(50_000);
        for title in &titles {
            let a = net.node(SimNet::config());
            net.seed(a, title);
        }
        let b = net.node(capped);
        for title in &titles {
            net.leech(b, title);
        }
        let start = net.now;
        for title in &titles {
            complete(&mut net, &[b], title, minutes(10));
        }
        let took = net.now.since(start);
        // A million bytes take 20 s at most. A torrent that nobody woke would wait for a keep-alive, 90 s.
        assert!(took < Duration::from_secs(25), "seed {seed}: {took:?}");
    });
}

#[test]
fn a_removed_torrent_is_forgotten_with_its_data() {
    let mut net = SimNet::new(8, NetConfig::default());
    let content = Content::file(8, 300_000, 32 * 1024);
    let (_, leechers) = swarm(&mut net, &content, 1);
    let (b, info_hash) = (leechers[0], content.info_hash());
    complete(&mut net, &[b], &content, minutes(10));
    net.command(
        b,
        Command::Remove {
            info_hash,
            delete_data: true,
        },
    );
    net.run_for(Duration::from_secs(10));
    assert!(net.torrent(b, info_hash).is_none());
    assert!(!net.disk(b).holds(&content));
    net.shut_down(b);
    net.start(b);
    assert!(net.client(b).stored_torrents().is_empty());
}

#[test]
fn a_swarm_at_price_zero_contacts_no_chain_and_signs_nothing() {
    let mut net = SimNet::new(9, NetConfig::default());
    let content = Content::file(9, 700_000, 32 * 1024);
    let free = ResalePrice::Fixed(FineUnits(0));
    let nodes: Vec<_> = (0..3)
        .map(|i| {
            let config = crate::common::trader(&net, i + 1, free, Some(FineUnits(u128::MAX >> 40)));
            net.node(config)
        })
        .collect();
    net.seed(nodes[0], &content);
    net.leech(nodes[1], &content);
    net.leech_magnet(nodes[2], &content);
    complete(&mut net, &nodes[1..], &content, minutes(10));
    for &node in &nodes {
        let effects = net.effects(node);
        assert_eq!((effects.signs, effects.account_reads), (0, 0));
    }
    assert!(net.watch.commits.is_empty());
}

#[test]
fn only_what_is_read_is_fetched_on_demand() {
    let mut net = SimNet::new(10, NetConfig::default());
    let content = Content::file(10, 8_000_000, 64 * 1024);
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    let b = net.node(SimNet::config());
    let options = AddOptions {
        on_demand: true,
        ..AddOptions::default()
    };
    net.add(b, Source::Torrent(content.torrent()), options);
    ready(&mut net, b, &content);
    net.run_for(minutes(1));
    assert_eq!(net.watch.sent_to(b, content.info_hash()), 0);
}
