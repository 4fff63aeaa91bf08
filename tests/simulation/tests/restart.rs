//! Reloads, crashes and bit rot. That no piece settled before is asked for again is watched by the net.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{complete, minutes};
use piecework::client::{AddOptions, CheckExisting, Command, Config, Source};
use piecework::time::Duration;
use piecework::types::InfoHash;
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, TRACKER};

const LENGTH: usize = 4_000_000;

fn scene(seed: u64) -> (SimNet, Content, NodeId, NodeId) {
    let net_config = NetConfig {
        uplink: 300_000..600_000,
        ..NetConfig::default()
    };
    let mut net = SimNet::new(seed, net_config);
    let content = Content::file(seed, LENGTH, 64 * 1024);
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    let b = net.node(SimNet::config());
    net.leech(b, &content);
    (net, content, a, b)
}

fn resume(net: &mut SimNet, node: NodeId, info_hash: InfoHash, check: CheckExisting) {
    net.start(node);
    let stored = net.client(node).stored_torrents();
    let source = Source::Stored(info_hash);
    assert!(stored.contains(&info_hash), "the torrent is in the records");
    let options = AddOptions {
        check,
        ..AddOptions::default()
    };
    net.add(node, source, options);
}

#[test]
fn crashes_at_random_times_cost_at_most_the_last_group() {
    for seed in 0..15 {
        let (mut net, content, _, b) = scene(seed);
        let mut crashes = 0;
        net.run_for(Duration::from_secs(3));
        while !net.is_complete(b, &content) && crashes < 6 {
            net.crash(b);
            net.run_for(Duration::from_millis(500));
            resume(&mut net, b, content.info_hash(), CheckExisting::Resume);
            let time = net.random.number(500..6_000);
            net.run_for(Duration::from_millis(time));
            crashes += 1;
        }
        complete(&mut net, &[b], &content, minutes(10));
        let fetched = net.watch.sent_to(b, content.info_hash());
        // Per crash the last unflushed group of 1 MiB, and what was in flight.
        let most = LENGTH as u64 * 105 / 100 + crashes * ((1 << 20) + (1 << 19));
        assert!(
            fetched <= most,
            "seed {seed}: {fetched} bytes, {crashes} crashes"
        );
    }
}

#[test]
fn a_goodbye_loses_nothing() {
    for seed in 20..25 {
        let (mut net, content, _, b) = scene(seed);
        net.run_for(Duration::from_secs(6));
        let before = net.torrent(b, content.info_hash()).unwrap();
        assert!(before.verified_bytes > 0, "seed {seed}");
        net.shut_down(b);
        resume(&mut net, b, content.info_hash(), CheckExisting::Resume);
        net.run_for(Duration::from_secs(1));
        let after = net.torrent(b, content.info_hash()).unwrap();
        assert!(after.verified_bytes >= before.verified_bytes);
        complete(&mut net, &[b], &content, minutes(10));
        let fetched = net.watch.sent_to(b, content.info_hash());
        assert!(fetched <= LENGTH as u64 * 110 / 100, "{fetched} bytes");
    }
}

#[test]
fn a_finished_download_seeds_after_a_restart_and_fetches_nothing() {
    let (mut net, content, a, b) = scene(30);
    complete(&mut net, &[b], &content, minutes(10));
    let fetched = net.watch.sent_to(b, content.info_hash());
    net.run_for(Duration::from_secs(5));
    net.crash(b);
    net.crash(a);
    resume(&mut net, b, content.info_hash(), CheckExisting::Resume);
    let c = net.node(SimNet::config());
    net.leech(c, &content);
    complete(&mut net, &[c], &content, minutes(10));
    assert_eq!(net.watch.sent_to(b, content.info_hash()), fetched);
}

#[test]
fn a_recheck_finds_rotten_pieces_and_fetches_them_alone() {
    let (mut net, content, _, b) = scene(40);
    complete(&mut net, &[b], &content, minutes(10));
    net.run_for(Duration::from_secs(5));
    let hash = content.info_hash();
    let before = net.watch.sent_to(b, hash);
    net.shut_down(b);
    net.disk(b).rot(hash, 0, 5);
    net.disk(b).rot(hash, 0, 3_000_000);
    net.watch.unsettle(b);
    resume(&mut net, b, hash, CheckExisting::Recheck);
    let whole = net.run_until(minutes(10), |net| net.is_complete(b, &content));
    assert!(whole);
    net.run_for(Duration::from_secs(5));
    let fetched = net.watch.sent_to(b, hash) - before;
    assert_eq!(fetched, 2 * 64 * 1024);
}

/// A magnet link that names the tracker.
fn link(content: &Content) -> String {
    let tracker = TRACKER.replace(':', "%3A").replace('/', "%2F");
    format!("{}&tr={tracker}", content.magnet())
}

#[test]
fn a_torrent_taken_up_by_its_hash_alone_announces_where_its_link_said() {
    let net_config = NetConfig {
        uplink: 300_000..600_000,
        ..NetConfig::default()
    };
    let mut net = SimNet::new(50, net_config);
    let content = Content::file(50, LENGTH, 64 * 1024);
    let hash = content.info_hash();
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    // The page names no tracker of its own.
    let b = net.node(Config {
        trackers: Vec::new(),
        ..SimNet::config()
    });
    net.add(b, Source::Magnet(link(&content)), AddOptions::default());
    net.run_for(Duration::from_secs(5));
    // Twice: what a restart takes up, the next one takes up too.
    for _ in 0..2 {
        assert!(net.torrent(b, hash).unwrap().verified_bytes > 0);
        assert!(!net.is_complete(b, &content));
        net.crash(b);
        let before = net.announces(b).len();
        resume(&mut net, b, hash, CheckExisting::Resume);
        net.run_for(Duration::from_secs(2));
        assert!(net.announces(b).len() > before, "it announces again");
    }
    complete(&mut net, &[b], &content, minutes(10));

    // Removed with its data, nothing of it is left to take up.
    net.command(
        b,
        Command::Remove {
            info_hash: hash,
            delete_data: true,
        },
    );
    net.run_for(Duration::from_secs(1));
    let records = net.disk(b).records();
    let left: Vec<_> = (records.iter())
        .filter(|(key, _)| key.starts_with("torrent/"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_title_keeps_its_number_when_it_is_taken_up_by_its_hash() {
    let mut net = SimNet::new(51, NetConfig::default());
    let content = Content::file(51, 100_000, 32 * 1024);
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    let b = net.node(SimNet::config());
    let number = "ab".repeat(32);
    let link = format!("{}&pw.content={number}", link(&content));
    net.watch_content(&content);
    net.add(b, Source::Magnet(link), AddOptions::default());
    complete(&mut net, &[b], &content, minutes(2));
    let key = format!("torrent/{}/link", content.info_hash().to_hex());
    let record = |net: &mut SimNet| {
        let records = net.disk(b).records();
        let (_, value) = records.into_iter().find(|(k, _)| *k == key).expect("kept");
        String::from_utf8(value.to_vec()).unwrap()
    };
    let kept = record(&mut net);
    assert!(kept.contains(&number), "{kept}");
    // A later link without any of it takes nothing away.
    net.shut_down(b);
    net.start(b);
    net.add(b, Source::Magnet(content.magnet()), AddOptions::default());
    net.run_for(Duration::from_secs(5));
    assert_eq!(record(&mut net), kept);
}
