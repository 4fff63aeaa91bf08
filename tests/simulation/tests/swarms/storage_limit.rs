//! The storage limit: a title that does not fit is refused in words, and the limit is never exceeded.

use crate::common::{complete, minutes, ready};
use piecework::client::{
    AddOptions, Command, Config, Event, Limits, Source, StreamError, TorrentState,
};
use piecework::time::Duration;
use piecework::types::InfoHash;
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, StreamEnd, for_seeds};

const PIECE: u32 = 32 * 1024;
const LENGTH: usize = 1_000_000;

fn limits(bytes: u64) -> Limits {
    Limits {
        storage_bytes: Some(bytes),
        ..Limits::default()
    }
}

fn limited(bytes: u64) -> Config {
    Config {
        limits: limits(bytes),
        ..SimNet::config()
    }
}

fn set_limit(net: &mut SimNet, node: NodeId, bytes: u64) {
    net.command(node, Command::SetLimits(limits(bytes)));
}

fn seeded(net: &mut SimNet, seed: u64, length: usize) -> Content {
    let content = Content::file(seed, length, PIECE);
    let node = net.node(SimNet::config());
    net.seed(node, &content);
    content
}

fn on_demand(net: &mut SimNet, node: NodeId, content: &Content) {
    let options = AddOptions {
        on_demand: true,
        ..AddOptions::default()
    };
    net.watch_content(content);
    net.add(node, Source::Torrent(content.torrent()), options);
    ready(net, node, content);
}

fn failures(net: &SimNet, node: NodeId, content: &Content) -> Vec<String> {
    (net.events(node))
        .filter_map(|event| match event {
            Event::Failed { info_hash, text } if *info_hash == content.info_hash() => {
                Some(text.clone())
            }
            _ => None,
        })
        .collect()
}

fn state(net: &SimNet, node: NodeId, info_hash: InfoHash) -> TorrentState {
    net.torrent(node, info_hash).expect("taken up").state
}

/// Bytes of verified and of begun pieces.
fn held(net: &SimNet, node: NodeId) -> u64 {
    let torrents = net.snapshot(node).torrents;
    let verified: u64 = (torrents.into_iter())
        .map(|hash| net.torrent(node, hash).expect("listed").verified_bytes)
        .sum();
    verified + net.client(node).load().partial_bytes
}

#[test]
fn a_torrent_that_does_not_fit_is_not_fetched_and_is_when_the_limit_is_raised() {
    let mut net = SimNet::new(1, NetConfig::default());
    let content = seeded(&mut net, 1, LENGTH);
    let node = net.node(limited(600_000));
    net.leech(node, &content);
    net.run_for(Duration::from_secs(20));
    let text = "1000 kB of storage are needed, 600 kB of the allowed 600 kB are left: remove torrents with their data, or raise the storage limit";
    assert_eq!(failures(&net, node, &content), [text]);
    let torrent = net.torrent(node, content.info_hash()).unwrap();
    assert_eq!(torrent.state, TorrentState::Failed);
    assert_eq!(torrent.failure.as_deref(), Some(text));
    assert_eq!(torrent.downloaded, 0);
    assert!(
        !net.events(node)
            .any(|e| matches!(e, Event::Complete { .. }))
    );

    set_limit(&mut net, node, LENGTH as u64);
    assert_eq!(
        state(&net, node, content.info_hash()),
        TorrentState::Downloading
    );
    complete(&mut net, &[node], &content, minutes(2));
    assert_eq!(failures(&net, node, &content).len(), 1);
    assert!(
        net.events(node)
            .any(|e| matches!(e, Event::Complete { .. }))
    );
}

#[test]
fn what_does_not_fit_beside_another_goes_on_when_that_is_removed_with_its_data() {
    let mut net = SimNet::new(2, NetConfig::default());
    let first = seeded(&mut net, 2, LENGTH);
    let second = seeded(&mut net, 3, LENGTH);
    let node = net.node(limited(1_500_000));
    net.leech(node, &first);
    ready(&mut net, node, &first);
    // The first is far from complete: its room is kept for it.
    net.leech(node, &second);
    complete(&mut net, &[node], &first, minutes(2));
    let said = failures(&net, node, &second);
    assert!(
        said[0].starts_with("1000 kB of storage are needed, 500 kB of"),
        "{said:?}"
    );
    assert!(failures(&net, node, &first).is_empty());

    let remove = |delete_data| Command::Remove {
        info_hash: first.info_hash(),
        delete_data,
    };
    // Removed and kept, its data still lies there.
    net.command(node, remove(false));
    net.run_for(Duration::from_secs(5));
    assert_eq!(state(&net, node, second.info_hash()), TorrentState::Failed);
    net.leech(node, &first);
    ready(&mut net, node, &first);
    net.command(node, remove(true));
    let second_now = state(&net, node, second.info_hash());
    assert_eq!(second_now, TorrentState::Downloading);
    complete(&mut net, &[node], &second, minutes(2));
}

#[test]
fn readers_get_what_fits_and_are_told_why_the_rest_does_not_come() {
    for whole in [false, true] {
        let mut net = SimNet::new(4, NetConfig::default());
        let content = seeded(&mut net, 4, LENGTH);
        let hash = content.info_hash();
        let limit = 10 * u64::from(PIECE) + 5;
        let node = net.node(limited(limit));
        if whole {
            net.leech(node, &content);
            ready(&mut net, node, &content);
        } else {
            on_demand(&mut net, node, &content);
        }
        let film = net.read(node, hash, 0, 0..LENGTH as u64, None);
        let ended = net.run_until(minutes(2), |net| {
            assert!(held(net, node) <= limit, "{} bytes", held(net, node));
            net.reader(node, film).end.is_some()
        });
        assert!(ended, "whole: {whole}");
        let reader = net.reader(node, film);
        let Some(StreamEnd::Failed(StreamError::StorageLimit(text))) = &reader.end else {
            panic!("{:?}", reader.end);
        };
        assert!(
            text.contains("of the allowed 327 kB are left: remove"),
            "{text}"
        );
        // Most of the pieces that fit come from the start. A few lie at the file's end, where players look first.
        let given = reader.position;
        assert!(given >= 7 * u64::from(PIECE), "{given} bytes");
        assert_eq!(failures(&net, node, &content).len(), 1);
        assert_eq!(state(&net, node, hash), TorrentState::Failed);

        // The pieces that are there can be read as before.
        let again = net.read(node, hash, 0, 0..given, None);
        net.run_until(minutes(1), |net| net.reader(node, again).end.is_some());
        assert_eq!(net.reader(node, again).end, Some(StreamEnd::Complete));
        // With more room, the rest comes.
        set_limit(&mut net, node, LENGTH as u64);
        let rest = net.read(node, hash, 0, given..LENGTH as u64, None);
        net.run_until(minutes(2), |net| net.reader(node, rest).end.is_some());
        assert_eq!(net.reader(node, rest).end, Some(StreamEnd::Complete));
        assert_ne!(state(&net, node, hash), TorrentState::Failed);
    }
}

#[test]
fn what_earlier_runs_stored_counts_though_nobody_takes_it_up() {
    let mut net = SimNet::new(5, NetConfig::default());
    let old = seeded(&mut net, 5, LENGTH);
    let new = seeded(&mut net, 6, LENGTH);
    let node = net.node(limited(1_500_000));
    net.leech(node, &old);
    complete(&mut net, &[node], &old, minutes(2));
    net.shut_down(node);
    net.start(node);
    net.leech(node, &new);
    ready(&mut net, node, &new);
    net.run_for(Duration::from_secs(5));
    let said = failures(&net, node, &new);
    assert!(
        said[0].starts_with("1000 kB of storage are needed, 500 kB of"),
        "{said:?}"
    );
    // It needs nothing more itself, also under a limit that it exceeds.
    set_limit(&mut net, node, 10);
    net.leech(node, &old);
    ready(&mut net, node, &old);
    net.run_for(Duration::from_secs(5));
    assert_eq!(state(&net, node, old.info_hash()), TorrentState::Seeding);
    assert!(net.is_complete(node, &old));
    let again = net.read(node, old.info_hash(), 0, 0..LENGTH as u64, None);
    net.run_until(minutes(1), |net| net.reader(node, again).end.is_some());
    assert_eq!(net.reader(node, again).end, Some(StreamEnd::Complete));
}

#[test]
fn a_download_that_full_storage_stopped_goes_on_when_there_is_room_and_it_is_resumed() {
    for_seeds(200, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = seeded(&mut net, seed, 400_000);
        let node = net.node(SimNet::config());
        net.leech(node, &content);
        let until = Duration::from_millis(net.random.number(300..2_500));
        net.run_for(until);
        net.disk(node).set_full(true);
        let failed = net.run_until(minutes(2), |net| {
            net.is_complete(node, &content) || !failures(net, node, &content).is_empty()
        });
        assert!(failed, "nothing is said of full storage");
        // Blocks that were asked for come in meanwhile, and no others.
        net.run_for(Duration::from_secs(5));
        net.disk(node).set_full(false);
        let info_hash = content.info_hash();
        net.command(node, Command::Resume { info_hash });
        complete(&mut net, &[node], &content, minutes(2));
    });
}

#[test]
fn made_torrents_count_and_are_refused_when_they_do_not_fit() {
    let mut net = SimNet::new(7, NetConfig::default());
    let other = seeded(&mut net, 8, LENGTH);
    let made = Content::file(7, LENGTH, PIECE);
    let node = net.node(limited(1_500_000));
    net.seed(node, &made);
    ready(&mut net, node, &made);
    net.leech(node, &other);
    ready(&mut net, node, &other);
    net.run_for(Duration::from_secs(5));
    assert_eq!(state(&net, node, made.info_hash()), TorrentState::Seeding);
    assert_eq!(state(&net, node, other.info_hash()), TorrentState::Failed);

    let config = limited(1_500_000);
    let mut client = piecework::client::Client::new(config, [1; 32], [], net.now);
    let hash = |n| InfoHash([n; 20]);
    assert_eq!(client.reserve_storage(hash(1), 1_000_000), Ok(()));
    // Two at once do not get the same room; the same twice does.
    let refused = client.reserve_storage(hash(2), 1_000_000).unwrap_err();
    assert!(
        refused.starts_with("1000 kB of storage are needed, 500 kB of"),
        "{refused}"
    );
    assert_eq!(client.reserve_storage(hash(1), 1_000_000), Ok(()));
    client.release_storage(hash(1));
    assert_eq!(client.reserve_storage(hash(2), 1_000_000), Ok(()));
}

#[test]
fn whatever_is_fetched_read_and_removed_the_limit_holds_and_everything_ends_in_words_or_whole() {
    for_seeds(500, |seed| {
        let config = NetConfig {
            uplink: 2_000_000..6_000_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, config);
        let contents: Vec<Content> = (0..3)
            .map(|n| {
                let length = net.random.number(60_000..300_000) as usize;
                seeded(&mut net, 10 * seed + n, length)
            })
            .collect();
        let limit = net.random.number(40_000..700_000);
        let node = net.node(limited(limit));
        for (n, content) in contents.iter().enumerate() {
            if n % 2 == 0 {
                net.leech(node, content);
            } else {
                on_demand(&mut net, node, content);
            }
        }
        for _ in 0..4 {
            let which = net.random.index(contents.len());
            let (hash, length) = (contents[which].info_hash(), contents[which].bytes.len());
            let from = net.random.number(0..length as u64 - 1);
            let stream = net.read(node, hash, 0, from..length as u64, None);
            let ended = net.run_until(minutes(1), |net| {
                assert!(held(net, node) <= limit, "{} of {limit}", held(net, node));
                net.reader(node, stream).end.is_some()
            });
            assert!(
                ended,
                "a reader waits for ever: {:?}",
                net.torrent(node, hash)
            );
            match &net.reader(node, stream).end {
                Some(StreamEnd::Complete | StreamEnd::Failed(StreamError::StorageLimit(_))) => {}
                other => panic!("{other:?}"),
            }
        }
        for content in contents.iter().step_by(2) {
            let settled = |net: &SimNet| {
                net.is_complete(node, content)
                    || state(net, node, content.info_hash()) == TorrentState::Failed
            };
            assert!(net.run_until(minutes(2), settled));
            let failed = !net.is_complete(node, content);
            assert_eq!(failed, !failures(&net, node, content).is_empty() && failed);
        }
        // With room for all of it, all of it comes.
        set_limit(&mut net, node, 1_000_000);
        for content in contents.iter().step_by(2) {
            complete(&mut net, &[node], content, minutes(3));
        }
    });
}
