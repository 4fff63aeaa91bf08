//! A viewer pays for what is watched and for the window ahead of it, wherever it seeks and whenever it leaves.

use crate::common::player::Player;
use crate::common::{DEPOSIT, TEN_DOLLARS, TRANCHE, minutes, per_gb, ready, trader};
use piecework::client::{AddOptions, Command, Priority, ResalePrice, Source};
use piecework::time::Duration;
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, for_seeds};

const BLOCK: u64 = 16 * 1024;
const PIECE: u64 = 64 * 1024;
const FILM: u64 = 16_000_000;
/// Ten minutes.
const RATE: u64 = FILM / 600;
/// `torrent/players.rs`: half a minute would be less than the least.
const AHEAD: u64 = 1024 * 1024;
const JUMP: u64 = 512 * 1024;
/// The ends of the file, and the pieces that a window begins and ends in.
const MORE: u64 = 4 * PIECE;

/// A funded viewer, a seller of its film at `payee`, and the film.
fn scene(seed: u64) -> (SimNet, Content, NodeId, NodeId) {
    let config = NetConfig {
        uplink: 400_000..2_000_000,
        ..NetConfig::default()
    };
    let mut net = SimNet::new(seed, config);
    let film = Content::file(seed, FILM as usize, PIECE as u32);
    let price = ResalePrice::Fixed(per_gb(TEN_DOLLARS));
    let config = trader(&net, 1, price, None);
    let seller = net.node(config);
    net.seed(seller, &film);
    let config = trader(
        &net,
        2,
        ResalePrice::PercentOfPaid(50),
        Some(per_gb(2 * TEN_DOLLARS)),
    );
    let viewer = net.node(config);
    net.fund(viewer, DEPOSIT, TRANCHE);
    let options = AddOptions {
        on_demand: true,
        ..AddOptions::default()
    };
    net.watch_content(&film);
    net.add(viewer, Source::Torrent(film.torrent()), options);
    ready(&mut net, viewer, &film);
    (net, film, seller, viewer)
}

/// What left the seller is verified or part of a few begun pieces, and each block came and was paid once.
fn nothing_twice(net: &SimNet, film: &Content, seller: NodeId, viewer: NodeId) -> u64 {
    let sent = net.watch.sent(seller, viewer, film.info_hash());
    let torrent = net.torrent(viewer, film.info_hash()).expect("its torrent");
    assert_eq!(torrent.wasted, 0);
    let begun = net.client(viewer).load().partial_bytes;
    assert!(
        sent <= torrent.verified_bytes + begun + MORE,
        "{sent} bytes were sent for {} verified and {begun} begun",
        torrent.verified_bytes
    );
    let paid = net.watch.books.revealed(viewer, [1; 20].into()).0 / per_gb(TEN_DOLLARS).0;
    let blocks = u128::from(sent.div_ceil(BLOCK));
    assert!(paid <= blocks, "{paid} blocks paid, {blocks} sent");
    sent
}

#[test]
fn who_leaves_after_a_minute_pays_for_that_minute_and_the_window() {
    for_seeds(30, |seed| {
        let (mut net, film, seller, viewer) = scene(seed);
        let hash = film.info_hash();
        let mut player = Player::open(&mut net, viewer, hash, FILM, RATE);
        player.play(&mut net, Duration::from_secs(75));
        let watched = player.position;
        assert!(watched >= 55 * RATE, "only {watched} bytes were watched");
        let sent = nothing_twice(&net, &film, seller, viewer);
        let most = watched + AHEAD + MORE;
        assert!(
            sent <= most,
            "{sent} bytes for {watched} watched, at most {most}"
        );
        player.leave(&mut net);
        net.command(
            viewer,
            Command::Remove {
                info_hash: hash,
                delete_data: false,
            },
        );
        net.run_for(minutes(1));
        let after = net.watch.sent(seller, viewer, hash);
        assert!(after <= most, "{after} bytes in the end, at most {most}");
    });
}

#[test]
fn ten_seeks_fetch_ten_windows_at_most_and_nothing_is_paid_twice() {
    for_seeds(30, |seed| {
        let (mut net, film, seller, viewer) = scene(seed);
        let mut player = Player::open(&mut net, viewer, film.info_hash(), FILM, RATE);
        player.play(&mut net, Duration::from_secs(10));
        let mut watched = player.position;
        for _ in 0..10 {
            let to = net.random.number(0..FILM - 200_000);
            player.seek(&mut net, to);
            player.play(&mut net, Duration::from_secs(10));
            assert!(
                player.position > to,
                "seed {seed}: it does not play at {to}"
            );
            watched += player.position - to;
        }
        let sent = nothing_twice(&net, &film, seller, viewer);
        let most = watched + 11 * (AHEAD + JUMP + MORE);
        assert!(
            sent <= most,
            "{sent} bytes for {watched} watched, at most {most}"
        );
        player.leave(&mut net);
    });
}

#[test]
fn a_viewer_whose_peers_are_slow_moves_no_other_viewers_window() {
    for_seeds(10, |seed| {
        let (mut net, film, seller, viewer) = scene(seed);
        let hash = film.info_hash();
        let mut slow = Player::open(&mut net, viewer, hash, FILM, RATE);
        slow.play(&mut net, Duration::from_secs(20));
        let at = 5_000_000;
        let mut paused = Player::open_at(&mut net, viewer, 2, hash, FILM, RATE, at);
        slow.play_beside(&mut net, &mut paused, Duration::from_secs(20));
        let edge = at + AHEAD + MORE;
        let read = paused.has_read();
        assert!(read >= at + AHEAD, "seed {seed}: it has not its window");
        assert!(read <= edge, "seed {seed}: {read} were read");

        net.set_uplink(seller, RATE / 2);
        let to = 12_000_000;
        slow.seek(&mut net, to);
        slow.play_beside(&mut net, &mut paused, minutes(1));
        let read = paused.has_read();
        assert!(
            read <= edge,
            "seed {seed}: {read} of {edge} were read by the one that is paused"
        );
        // Nothing but its own bytes came: it stood still for the line alone.
        assert!(slow.has_read() > to, "seed {seed}: it got nothing");
        net.set_uplink(seller, 1_000_000);
        slow.play_beside(&mut net, &mut paused, minutes(1));
        assert!(
            slow.position > to + 50 * RATE,
            "seed {seed}: it stands at {}",
            slow.position
        );
        assert!(paused.has_read() <= edge, "seed {seed}");
    });
}

#[test]
fn files_that_are_left_out_in_mid_download_are_not_bought_and_nothing_that_was_paid_is_lost() {
    for_seeds(30, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let files = [1_000_000, 3_000_000, 500_000];
        let album = Content::folder(seed, &files, PIECE as u32);
        let config = trader(&net, 1, ResalePrice::Fixed(per_gb(TEN_DOLLARS)), None);
        let seller = net.node(config);
        net.seed(seller, &album);
        net.set_uplink(seller, 300_000);
        let config = trader(
            &net,
            2,
            ResalePrice::PercentOfPaid(50),
            Some(per_gb(2 * TEN_DOLLARS)),
        );
        let buyer = net.node(config);
        net.fund(buyer, DEPOSIT, TRANCHE);
        net.leech(buyer, &album);
        let hash = album.info_hash();
        let begun = 200_000 + 40_000 * seed;
        let sent = |net: &SimNet| net.watch.sent(seller, buyer, hash);
        assert!(net.run_until(minutes(2), |net| sent(net) > begun));
        let command = Command::SelectFiles {
            info_hash: hash,
            files: vec![1],
            priority: Priority::Skip,
        };
        net.command(buyer, command);
        let before = sent(&net);
        let complete = |net: &SimNet| {
            let torrent = net.torrent(buyer, hash).expect("its torrent");
            torrent.selected_verified == torrent.selected_length
        };
        assert!(net.run_until(minutes(3), complete), "seed {seed}");
        net.run_for(Duration::from_secs(20));
        let torrent = net.torrent(buyer, hash).expect("its torrent");
        let after = sent(&net);
        // Of the file that is left out: what was there or on its way, and what it shares with its neighbours.
        let most = before + torrent.selected_length + 8 * PIECE;
        assert!(
            after <= most,
            "seed {seed}: {after} bytes, {before} before, {most} at most"
        );
        assert!(after < 4_500_000, "seed {seed}: all was bought");
        let begun = net.client(buyer).load().partial_bytes;
        assert_eq!(begun, 0, "seed {seed}: paid pieces were left behind");
        let paid = net.watch.books.revealed(buyer, [1; 20].into()).0 / per_gb(TEN_DOLLARS).0;
        assert!(
            paid <= u128::from(after.div_ceil(BLOCK)),
            "seed {seed}: {paid} blocks paid"
        );
    });
}
