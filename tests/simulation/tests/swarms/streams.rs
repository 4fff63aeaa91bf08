//! Readers, which act as players do. The net itself compares every byte that a reader gets.

use crate::common::player::Player;
use crate::common::{complete, minutes, ready};
use piecework::client::{AddOptions, Event, Source, StreamError};
use piecework::time::Duration;
use piecework::types::StreamId;
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, StreamEnd};

const FILM: usize = 12_000_000;
/// Bytes per second that the player takes.
const PACE: u64 = 300_000;

fn scene(seed: u64, on_demand: bool) -> (SimNet, Content, NodeId, NodeId) {
    let net_config = NetConfig {
        uplink: 1_500_000..3_000_000,
        ..NetConfig::default()
    };
    let mut net = SimNet::new(seed, net_config);
    let content = Content::file(seed, FILM, 256 * 1024);
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    let b = net.node(SimNet::config());
    let options = AddOptions {
        on_demand,
        ..AddOptions::default()
    };
    net.watch_content(&content);
    net.add(b, Source::Torrent(content.torrent()), options);
    ready(&mut net, b, &content);
    (net, content, a, b)
}

fn finish(net: &mut SimNet, node: NodeId, stream: StreamId, limit: Duration) {
    net.run_until(limit, |net| net.reader(node, stream).end.is_some());
    let reader = net.reader(node, stream);
    assert_eq!(reader.end, Some(StreamEnd::Complete), "{reader:?}");
}

#[test]
fn a_film_is_read_from_end_to_end_without_waiting() {
    for on_demand in [false, true] {
        let (mut net, content, _, b) = scene(1, on_demand);
        let hash = content.info_hash();
        let stream = net.read(b, hash, 0, 0..FILM as u64, Some(PACE));
        finish(&mut net, b, stream, minutes(5));
        let reader = net.reader(b, stream);
        let first = reader.first_bytes.unwrap().since(reader.opened);
        assert!(
            first < Duration::from_secs(8),
            "first bytes after {first:?}"
        );
        assert!(
            reader.waited < Duration::from_secs(3),
            "waited {:?}",
            reader.waited
        );
    }
}

#[test]
fn a_seek_into_parts_not_fetched_is_served_soon() {
    for seed in 10..20 {
        let (mut net, content, _, b) = scene(seed, false);
        let hash = content.info_hash();
        let mut stream = net.read(b, hash, 0, 0..FILM as u64, Some(PACE));
        for _ in 0..6 {
            net.run_for(Duration::from_secs(2));
            net.close_stream(b, stream);
            let to = net.random.number(0..FILM as u64 - 1_000_000);
            stream = net.read(b, hash, 0, to..FILM as u64, Some(PACE));
            let served = net.run_until(Duration::from_secs(10), |net| {
                net.reader(b, stream).first_bytes.is_some()
            });
            assert!(served, "seed {seed}: no bytes 10 s after a seek to {to}");
        }
    }
}

#[test]
fn the_end_is_read_first_as_for_an_mp4_with_its_index_there() {
    let (mut net, content, _, b) = scene(2, true);
    let hash = content.info_hash();
    let end = FILM as u64;
    let index = net.read(b, hash, 0, end - 300_000..end, None);
    finish(&mut net, b, index, minutes(1));
    let fetched = net.watch.sent_to(b, hash);
    assert!(fetched < 4_000_000, "{fetched} bytes fetched for 300 kB");
}

#[test]
fn what_a_player_shows_first_comes_before_the_index_that_may_be_at_the_end() {
    for on_demand in [false, true] {
        let (mut net, content, _, b) = scene(4, on_demand);
        let hash = content.info_hash();
        net.read_as(b, hash, 0, 0..FILM as u64, Some(PACE), true);
        let last = (FILM as u32).div_ceil(256 * 1024) - 1;
        let mut come = Vec::new();
        let both_ends = net.run_until(minutes(1), |net| {
            let verified = net.events(b).filter_map(|event| match event {
                Event::PieceDone { piece, .. } => Some(*piece),
                _ => None,
            });
            come = verified.collect();
            come.contains(&last)
        });
        assert!(both_ends, "the end is not fetched: {come:?}");
        let before: Vec<_> = come.iter().take_while(|piece| **piece != last).collect();
        for piece in 0..4 {
            assert!(before.contains(&&piece), "{come:?}");
        }
        // The reader is not there yet: it was fetched ahead of time.
        assert!(before.len() < 16, "{come:?}");
    }
}

#[test]
fn a_player_that_reads_ahead_gets_its_window_and_plays_without_waiting() {
    for seed in 20..30 {
        let (mut net, content, _, b) = scene(seed, true);
        let hash = content.info_hash();
        // 40 s of film: an eighth of it is more than half a minute, and a window is a piece longer at the most.
        let rate = FILM as u64 / 400;
        let ahead = FILM as u64 / 8;
        let mut player = Player::open(&mut net, b, hash, FILM as u64, rate);
        player.play(&mut net, Duration::from_secs(60));
        let fetched = net.watch.sent_to(b, hash);
        let most = player.position + ahead.min(30 * rate).max(1 << 20) + 3 * 256 * 1024;
        assert!(
            player.position >= 50 * rate,
            "it stands still at {}",
            player.position
        );
        assert!(
            fetched <= most,
            "{fetched} bytes fetched at {}",
            player.position
        );
    }
}

#[test]
fn a_film_whose_first_part_has_most_of_its_bytes_plays_on() {
    let (mut net, content, _, b) = scene(31, true);
    // The page's place is far behind the true one: it takes a byte for four.
    let rate = FILM as u64 / 100;
    let mut player = Player::open(&mut net, b, content.info_hash(), FILM as u64, rate);
    player.thinks(4);
    player.play(&mut net, Duration::from_secs(90));
    assert!(
        player.position >= 60 * rate,
        "it stands still at {}",
        player.position
    );
}

#[test]
fn a_read_that_is_no_players_is_held_by_none() {
    let (mut net, content, _, b) = scene(32, true);
    let hash = content.info_hash();
    let mut player = Player::open(&mut net, b, hash, FILM as u64, FILM as u64 / 600);
    player.play(&mut net, Duration::from_secs(5));
    let saved = net.read(b, hash, 0, 0..FILM as u64, None);
    finish(&mut net, b, saved, minutes(2));
}

#[test]
fn several_readers_of_several_files_get_their_bytes_at_once() {
    let mut net = SimNet::new(3, NetConfig::default());
    let content = Content::folder(3, &[900_000, 10, 700_000], 64 * 1024);
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    let b = net.node(SimNet::config());
    net.leech(b, &content);
    ready(&mut net, b, &content);
    let hash = content.info_hash();
    let streams = [
        net.read(b, hash, 0, 0..900_000, None),
        net.read(b, hash, 2, 100_000..700_000, Some(PACE)),
        net.read(b, hash, 1, 0..10, None),
        net.read(b, hash, 0, 899_999..900_000, None),
    ];
    for stream in streams {
        finish(&mut net, b, stream, minutes(2));
    }
    complete(&mut net, &[b], &content, minutes(2));
}

#[test]
fn a_reader_of_what_is_not_there_is_told() {
    let (mut net, content, _, b) = scene(4, true);
    let hash = content.info_hash();
    let past = net.read(b, hash, 0, 0..FILM as u64 + 1, None);
    let none = net.read(b, hash, 7, 0..1, None);
    net.run_for(Duration::from_secs(1));
    let end = |stream| net.reader(b, stream).end.clone();
    assert_eq!(
        end(past),
        Some(StreamEnd::Failed(StreamError::OutOfRange(FILM as u64)))
    );
    assert_eq!(end(none), Some(StreamEnd::Failed(StreamError::NotFound)));
}

#[test]
fn a_seed_reads_its_own_file_with_nobody_there() {
    let mut net = SimNet::new(5, NetConfig::default());
    let content = Content::file(5, 1_000_000, 64 * 1024);
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    ready(&mut net, a, &content);
    let stream = net.read(a, content.info_hash(), 0, 123_456..1_000_000, None);
    finish(&mut net, a, stream, minutes(1));
}
