//! Honest buyers of v1 titles whose stakes must not bring them to a standstill.

use crate::common::{DEPOSIT, TEN_DOLLARS, TRANCHE, complete, minutes, per_gb, ready, trader};
use piecework::client::{AddOptions, Command, Config, ResalePrice, Source};
use piecework::payment::record::PayerTitleRecord;
use piecework::time::Duration;
use piecework_simulation::{Cheat, Content, NetConfig, NodeId, SimNet, StreamEnd};

fn seller(net: &mut SimNet, payee: u8, contents: &[&Content]) -> NodeId {
    let price = ResalePrice::Fixed(per_gb(TEN_DOLLARS));
    let node = net.node(trader(net, payee, price, None));
    for content in contents {
        net.seed(node, content);
    }
    node
}

fn viewer_config(net: &SimNet, payee: u8) -> Config {
    let price = ResalePrice::PercentOfPaid(50);
    trader(net, payee, price, Some(per_gb(2 * TEN_DOLLARS)))
}

fn viewer(net: &mut SimNet, payee: u8) -> NodeId {
    let node = net.node(viewer_config(net, payee));
    net.fund(node, DEPOSIT, TRANCHE);
    node
}

/// The payer's records of all its titles: lost, and at stake.
fn losses(net: &mut SimNet, node: NodeId) -> (u32, u32) {
    let records = net.disk(node).records();
    let titles = records.iter().filter(|(key, _)| key.contains("/title/"));
    let titles = titles.map(|(_, bytes)| PayerTitleRecord::decode(bytes).expect("readable"));
    titles.fold((0, 0), |(lost, at_stake), record| {
        let here: u32 = record.at_stake.values().sum();
        (lost + record.lost, at_stake + here)
    })
}

/// Runs until more is at stake than `before`.
fn until_at_stake(net: &mut SimNet, node: NodeId, before: u32) {
    let mut waited = 0;
    while losses(net, node).1 <= before {
        net.run_for(Duration::from_millis(5));
        waited += 1;
        assert!(waited < 12_000, "nothing was paid in advance");
    }
}

fn net(seed: u64) -> SimNet {
    let config = NetConfig {
        uplink: 400_000..800_000,
        ..NetConfig::default()
    };
    SimNet::new(seed, config)
}

#[derive(Clone, Copy, Debug)]
enum Leaving {
    Pause,
    Remove,
    Delete,
}

#[test]
fn a_title_that_is_left_in_mid_piece_does_not_keep_its_seller_from_selling_another() {
    for leaving in [Leaving::Pause, Leaving::Remove, Leaving::Delete] {
        for seed in 0..3 {
            let mut net = net(seed);
            let films = [0, 1000].map(|n| Content::file(seed + n, 4_000_000, 1024 * 1024));
            seller(&mut net, 1, &[&films[0], &films[1]]);
            let b = viewer(&mut net, 2);
            net.leech(b, &films[0]);
            until_at_stake(&mut net, b, 0);
            let info_hash = films[0].info_hash();
            let delete_data = matches!(leaving, Leaving::Delete);
            net.command(
                b,
                match leaving {
                    Leaving::Pause => Command::Pause { info_hash },
                    _ => Command::Remove {
                        info_hash,
                        delete_data,
                    },
                },
            );
            net.leech(b, &films[1]);
            complete(&mut net, &[b], &films[1], minutes(3));
        }
    }
}

/// A film that is played in parts: each visit begins at another place and ends in mid-piece.
#[test]
fn a_film_that_is_played_at_another_place_at_each_visit_goes_on() {
    let piece = 1024 * 1024;
    for seed in 0..3 {
        let mut net = net(seed);
        let film = Content::file(seed, 12_000_000, piece);
        seller(&mut net, 1, &[&film]);
        let b = viewer(&mut net, 2);
        let options = AddOptions {
            on_demand: true,
            ..AddOptions::default()
        };
        net.watch_content(&film);
        net.add(b, Source::Torrent(film.torrent()), options.clone());
        ready(&mut net, b, &film);
        let hash = film.info_hash();
        for visit in 0..5u64 {
            let from = (2 * visit + 1) * u64::from(piece);
            let before = losses(&mut net, b).1;
            net.read(b, hash, 0, from..from + u64::from(piece), None);
            if visit < 4 {
                until_at_stake(&mut net, b, before);
                net.kill_process(b);
                net.run_for(Duration::from_millis(300));
                net.start(b);
                net.set_account(b);
                net.add(b, Source::Stored(hash), options.clone());
                net.run_for(Duration::from_secs(2));
            }
        }
        let stream = net.read(b, hash, 0, 9 << 20..(9 << 20) + 900_000, None);
        net.run_until(minutes(3), |net| net.reader(b, stream).end.is_some());
        let end = net.reader(b, stream).end.clone();
        let torrent = net.torrent(b, hash);
        assert_eq!(end, Some(StreamEnd::Complete), "seed {seed} {torrent:#?}");
    }
}

/// In one visit: the connection breaks while the viewer goes to another place.
#[test]
fn a_film_goes_on_at_another_place_after_its_seller_was_lost_in_mid_piece() {
    let piece = 1024 * 1024;
    for seed in 0..3 {
        let mut net = net(seed);
        let film = Content::file(seed, 12_000_000, piece);
        seller(&mut net, 1, &[&film]);
        let b = viewer(&mut net, 2);
        let options = AddOptions {
            on_demand: true,
            ..AddOptions::default()
        };
        net.watch_content(&film);
        net.add(b, Source::Torrent(film.torrent()), options);
        ready(&mut net, b, &film);
        let hash = film.info_hash();
        let stream = net.read(b, hash, 0, 1 << 20..2 << 20, None);
        until_at_stake(&mut net, b, 0);
        net.close_stream(b, stream);
        net.lose_channel();
        let stream = net.read(b, hash, 0, 9 << 20..(9 << 20) + 900_000, None);
        net.run_until(minutes(5), |net| net.reader(b, stream).end.is_some());
        let end = net.reader(b, stream).end.clone();
        let torrent = net.torrent(b, hash);
        assert_eq!(end, Some(StreamEnd::Complete), "seed {seed} {torrent:#?}");
    }
}

#[test]
fn a_reader_that_waited_for_long_is_served_when_somebody_comes() {
    let mut net = net(7);
    let film = Content::file(7, 12_000_000, 256 * 1024);
    let b = viewer(&mut net, 2);
    let options = AddOptions {
        on_demand: true,
        ..AddOptions::default()
    };
    net.watch_content(&film);
    net.add(b, Source::Torrent(film.torrent()), options);
    ready(&mut net, b, &film);
    let hash = film.info_hash();
    let stream = net.read(b, hash, 0, 1 << 20..2 << 20, None);
    net.run_for(Duration::from_secs(30));
    seller(&mut net, 1, &[&film]);
    net.run_until(minutes(2), |net| net.reader(b, stream).end.is_some());
    assert_eq!(net.reader(b, stream).end, Some(StreamEnd::Complete));
}

/// Each of them left pieces behind in which something is wrong: the advances to it are lost, whichever is judged first.
#[test]
fn what_sellers_that_left_were_paid_for_lies_is_lost_and_does_not_stay_at_stake() {
    for seed in [2, 4] {
        let mut net = net(seed);
        let film = Content::file(seed, 12_000_000, 1024 * 1024);
        let b = viewer(&mut net, 2);
        net.leech(b, &film);
        for payee in 10..17 {
            let bad = seller(&mut net, payee, &[&film]);
            net.set_cheat(bad, Cheat::Corrupt { one_in: 1 });
            net.set_uplink(bad, 40_000);
            net.run_for(Duration::from_secs(7));
            net.kill_process(bad);
        }
        net.run_for(Duration::from_secs(30));
        let paid = losses(&mut net, b).0 + losses(&mut net, b).1;
        seller(&mut net, 3, &[&film]);
        complete(&mut net, &[b], &film, minutes(5));
        net.run_for(Duration::from_secs(1));
        assert_eq!(losses(&mut net, b), (paid, 0), "seed {seed}");
    }
}
