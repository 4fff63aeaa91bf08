//! Reloads, killed processes, machines without power, and bit rot. The net checks that no client asks again for a piece
//! that is on record and in the files, and that no client serves a wrong byte.

use crate::common::{complete, minutes};
use piecework::client::{AddOptions, CheckExisting, Command, Config, Source};
use piecework::storage::{FLUSH_BYTES, GROUP_BYTES, Store};
use piecework::time::Duration;
use piecework::types::{BLOCK_LEN, InfoHash};
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, Steps, TRACKER, for_seeds};

/// Of each fault here.
const SEEDS: u64 = 500;
const LENGTH: usize = 4_000_000;
/// Where pieces are of 1 MiB: a life of half a second to two begins one or two of them.
const LARGE: usize = 6_000_000;

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
fn kills_at_random_times_cost_at_most_the_last_group() {
    for_seeds(SEEDS, |seed| {
        let (mut net, content, _, b) = scene(seed);
        let mut kills = 0;
        net.run_for(Duration::from_secs(3));
        while !net.is_complete(b, &content) && kills < 6 {
            net.kill_process(b);
            net.run_for(Duration::from_millis(500));
            resume(&mut net, b, content.info_hash(), CheckExisting::Resume);
            let time = net.random.number(500..6_000);
            net.run_for(Duration::from_millis(time));
            kills += 1;
        }
        complete(&mut net, &[b], &content, minutes(10));
        let fetched = net.watch.sent_to(b, content.info_hash());
        // Per kill the last group of 1 MiB, and the blocks in flight.
        let most = LENGTH as u64 * 105 / 100 + kills * ((1 << 20) + (1 << 19));
        assert!(
            fetched <= most,
            "seed {seed}: {fetched} bytes, {kills} kills"
        );
    });
}

/// Blocks that a peer is asked for whatever is at risk.
const LEAST_ASKED: u64 = 4 * BLOCK_LEN as u64;

#[test]
fn with_slow_storage_no_more_arrives_than_a_kill_may_cost() {
    let ms = Duration::from_millis;
    for (piece_length, seeders, uplink, busy) in [
        (64 << 10, 1, 3_000_000, ms(20)..ms(200)),
        (256 << 10, 3, 1_000_000, ms(100)..ms(600)),
        (1 << 20, 1, 20_000_000, ms(100)..ms(500)),
        (4 << 20, 2, 8_000_000, ms(100)..ms(900)),
        (16 << 20, 2, 8_000_000, ms(100)..ms(900)),
    ] {
        // A rate is measured over half a second at the least: a little more may have come in that.
        let rate = seeders * uplink * 110 / 100;
        let most = Store::may_be_at_risk(rate) + seeders * LEAST_ASKED;
        for_seeds(SEEDS / 5, |seed| {
            let net_config = NetConfig {
                uplink: uplink..uplink + 1,
                ..NetConfig::default()
            };
            let mut net = SimNet::new(seed, net_config);
            let length = (9 << 20) + 7;
            let content = Content::file(seed, length, piece_length);
            for _ in 0..seeders {
                let a = net.node(SimNet::config());
                net.seed(a, &content);
            }
            let b = net.node(SimNet::config());
            net.slow_storage(b, busy.clone());
            net.leech(b, &content);
            let named = format!("seed {seed}, pieces of {piece_length}");
            let mut highest = 0;
            let mut look = |net: &SimNet, kills: usize| {
                let load = net.client(b).load();
                highest = highest.max(load.at_risk_of_one);
                let sum = load.at_risk_and_asked_of_one;
                assert!(sum <= most, "{named}: {sum} bytes after {kills} kills");
            };
            for kills in 0..3 {
                let stop = net.random.number(1_000..8_000);
                net.run_until(ms(stop), |net| {
                    look(net, kills);
                    false
                });
                net.kill_process(b);
                if !stored(&mut net, b, content.info_hash()) {
                    net.leech(b, &content);
                }
            }
            let done = net.run_until(minutes(60), |net| {
                look(net, 3);
                net.is_complete(b, &content)
            });
            assert!(done, "{named}: not complete");
            let fetched = net.watch.sent_to(b, content.info_hash());
            assert!(
                fetched <= length as u64 + 3 * most,
                "{named}: {fetched} bytes"
            );
            // The scene is one in which storage is behind: otherwise nothing here could fail. The first three lives may
            // all end before storage was looked through, but in one of the four at least a quarter of all arrives,
            // 2.25 MiB: more than half of `most`.
            assert!(highest >= most / 2, "{named}: at most {highest} at risk");
        });
    }
}

/// How a node of a small scene is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The process: its writes stay.
    Killed,
    /// The machine: writes that were not flushed are lost, or torn.
    PowerLost,
}

/// Pieces of 16 KiB: enough that a flush is due on the way.
fn small_pieces(seed: u64) -> (SimNet, Content, NodeId, NodeId) {
    let mut net = SimNet::new(seed, NetConfig::default());
    let content = Content::file(seed, 5_000_000, 16 * 1024);
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    let b = net.node(SimNet::config());
    (net, content, a, b)
}

/// Pieces of 256 KiB, which go through the scratch file.
fn large_pieces(seed: u64) -> (SimNet, Content, NodeId, NodeId) {
    let net_config = NetConfig {
        uplink: 400_000..3_000_000,
        ..NetConfig::default()
    };
    let mut net = SimNet::new(seed, net_config);
    let content = Content::file(seed, 3_000_000, 256 * 1024);
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    let c = net.node(SimNet::config());
    net.seed(c, &content);
    let b = net.node(SimNet::config());
    (net, content, a, b)
}

#[test]
fn a_download_that_is_cut_at_any_step_goes_on_and_takes_no_wrong_byte_for_right() {
    for (name, scene, cuts) in [
        ("small", small_pieces as fn(u64) -> _, SEEDS),
        ("large", large_pieces, SEEDS),
    ] {
        let steps = {
            let (mut net, content, _, b) = scene(0);
            net.steps = Steps::of(b, None);
            net.leech(b, &content);
            complete(&mut net, &[b], &content, minutes(10));
            net.run_for(Duration::from_secs(3));
            assert!(net.effects(b).flushes > 0, "{name}: {:?}", net.effects(b));
            net.steps.taken
        };
        println!("{name}: {steps} steps");
        for_seeds(cuts, |seed| {
            let (mut net, content, _, b) = scene(seed);
            let stop = 1 + seed * steps / cuts;
            let end = [End::Killed, End::PowerLost][(seed % 2) as usize];
            net.steps = Steps::of(b, Some(stop));
            net.steps.killed = end == End::Killed;
            if seed % 4 > 1 {
                net.slow_storage(b, Duration::from_millis(5)..Duration::from_millis(60));
            }
            net.leech(b, &content);
            let named = format!("{name}, {end:?} at step {stop} of {steps}");
            let cut = net.run_until(minutes(10), |net| net.steps.stopped());
            if !cut {
                // This seed's run took fewer steps: it ends after its last one.
                assert!(net.is_complete(b, &content), "{named}");
                net.crash(b);
            }
            let before = net.watch.sent_to(b, content.info_hash());
            let hash = content.info_hash();
            let twice = stored(&mut net, b, hash);
            if twice {
                // In its second life it is cut again, in the middle of the check or soon after it.
                let soon = net.random.number(0..400);
                net.run_for(Duration::from_millis(soon));
                match end {
                    End::Killed => net.kill_process(b),
                    End::PowerLost => net.crash(b),
                }
            }
            if !twice || !stored(&mut net, b, hash) {
                net.leech(b, &content);
            }
            // In this life, whatever an earlier one reported.
            let whole = net.run_until(minutes(10), |net| {
                let torrent = net.torrent(b, hash);
                torrent.is_some_and(|t| t.verified_bytes == content.bytes.len() as u64)
            });
            assert!(whole, "{named}: not complete");
            let fetched = net.watch.sent_to(b, hash);
            let lost = match end {
                End::Killed => 1 << 20,
                End::PowerLost => FLUSH_BYTES,
            };
            // Twice the amount that may be lost, and twice the amount on the way.
            let most = content.bytes.len() as u64 + 2 * (lost + 768 * 1024);
            assert!(fetched <= most, "{named}: {fetched} bytes, {before} before");
            // The pieces that it takes for verified are those that it would serve.
            assert!(net.disk(b).holds(&content), "{named}: wrong bytes");
        });
    }
}

/// Starts a node again; true if it knows the torrent and goes on with it.
fn stored(net: &mut SimNet, node: NodeId, info_hash: InfoHash) -> bool {
    net.start(node);
    let known = net.client(node).stored_torrents().contains(&info_hash);
    if known {
        net.add(node, Source::Stored(info_hash), AddOptions::default());
    }
    known
}

#[test]
fn a_fast_download_flushes_seldom_and_writes_little_twice() {
    let mut net = SimNet::new(
        50,
        NetConfig {
            uplink: 20_000_000..20_000_001,
            ..NetConfig::default()
        },
    );
    let content = Content::file(50, 40 << 20, 256 * 1024);
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    let b = net.node(SimNet::config());
    net.leech(b, &content);
    complete(&mut net, &[b], &content, minutes(10));
    net.run_for(Duration::from_secs(3));
    let effects = net.effects(b);
    // Two on the way, one at the end; one more for the bytes that came while it was under way.
    assert!((3..=4).contains(&effects.flushes), "{effects:?}");
    let length = content.bytes.len() as u64;
    assert!(effects.scratch_bytes <= length / 10, "{effects:?}");
    let groups = length / (GROUP_BYTES / 2);
    assert!(effects.puts <= groups, "{effects:?}");
    println!("{effects:?}");
}

#[test]
fn a_goodbye_loses_nothing() {
    for_seeds(SEEDS, |seed| {
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
    });
}

#[test]
fn a_torrent_that_is_removed_in_mid_download_and_kept_goes_on_where_it_was() {
    for_seeds(SEEDS, |seed| {
        // Pieces so large that much of them is begun, and none of that is on record for a while.
        let net_config = NetConfig {
            uplink: 1_000_000..1_500_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let content = Content::file(seed, LARGE, 1 << 20);
        let hash = content.info_hash();
        let a = net.node(SimNet::config());
        net.seed(a, &content);
        let b = net.node(SimNet::config());
        let mut on_the_way = 0;
        for _ in 0..3 {
            net.leech(b, &content);
            let time = net.random.number(500..1_800);
            net.run_for(Duration::from_millis(time));
            let load = net.client(b).load();
            on_the_way += load.at_risk_and_asked_of_one - load.at_risk_of_one;
            net.command(
                b,
                Command::Remove {
                    info_hash: hash,
                    delete_data: false,
                },
            );
            assert!(net.torrent(b, hash).is_none_or(|t| t.peers.is_empty()));
            net.run_for(Duration::from_secs(2));
            assert!(net.torrent(b, hash).is_none(), "seed {seed}: still there");
        }
        net.leech(b, &content);
        complete(&mut net, &[b], &content, minutes(10));
        let fetched = net.watch.sent_to(b, hash);
        // Blocks that it had asked for when it was removed may come twice, nothing else.
        let most = LARGE as u64 + on_the_way;
        assert!(fetched <= most, "seed {seed}: {fetched} bytes");
    });
}

#[test]
fn a_torrent_that_is_taken_up_again_while_it_leaves_loses_nothing() {
    for_seeds(SEEDS, |seed| {
        let net_config = NetConfig {
            uplink: 1_000_000..1_500_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let content = Content::file(seed, LARGE, 1 << 20);
        let hash = content.info_hash();
        let a = net.node(SimNet::config());
        net.seed(a, &content);
        let b = net.node(SimNet::config());
        net.leech(b, &content);
        let remove = |delete_data| Command::Remove {
            info_hash: hash,
            delete_data,
        };
        let mut on_the_way = 0;
        for round in 0..3 {
            let time = net.random.number(500..1_800);
            net.run_for(Duration::from_millis(time));
            let load = net.client(b).load();
            on_the_way += load.at_risk_and_asked_of_one - load.at_risk_of_one;
            net.command(b, remove(false));
            net.leech(b, &content);
            if round == 1 {
                // The last word counts.
                net.command(b, remove(false));
                net.run_for(Duration::from_secs(2));
                assert!(net.torrent(b, hash).is_none(), "seed {seed}: still there");
                net.leech(b, &content);
            }
        }
        complete(&mut net, &[b], &content, minutes(10));
        let fetched = net.watch.sent_to(b, hash);
        let most = LARGE as u64 + on_the_way;
        assert!(fetched <= most, "seed {seed}: {fetched} bytes");
        // Removed with its data before it is taken up again, it is fetched anew.
        net.command(b, remove(false));
        net.leech(b, &content);
        net.command(b, remove(true));
        net.run_for(Duration::from_secs(1));
        assert!(net.torrent(b, hash).is_none(), "seed {seed}: still there");
        net.leech(b, &content);
        complete(&mut net, &[b], &content, minutes(10));
        assert!(net.watch.sent_to(b, hash) >= fetched + LARGE as u64);
    });
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
fn who_connects_while_storage_opens_hears_what_is_there() {
    let ms = Duration::from_millis;
    let slow = NetConfig {
        latency: ms(1)..ms(2),
        effect: ms(800)..ms(1_000),
        gather: ms(1)..ms(2),
        ..NetConfig::default()
    };
    let mut net = SimNet::new(60, slow);
    let content = Content::file(60, 500_000, 64 * 1024);
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    let b = net.node(SimNet::config());
    net.leech(b, &content);
    complete(&mut net, &[b], &content, minutes(2));
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
    // Twice: the next restart takes up the same as the first.
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
