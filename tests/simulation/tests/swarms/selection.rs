//! Files that are selected and left out (BEP 53). The net itself compares every byte that a reader gets.

use crate::common::{minutes, ready};
use piecework::client::{
    AddOptions, Command, Event, Priority, Source, TorrentSnapshot, TorrentState,
};
use piecework::time::Duration;
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, StreamEnd, for_seeds};

const PIECE: u64 = 64 * 1024;
/// Files that share pieces with their neighbours.
const FILES: [usize; 4] = [300_000, 500_000, 900_000, 400_000];

/// The pieces that these files lie in.
fn pieces(files: &[usize]) -> Vec<u32> {
    let mut all: Vec<u32> = (files.iter())
        .flat_map(|file| {
            let begin = FILES[..*file].iter().sum::<usize>() as u64;
            let end = begin + FILES[*file] as u64;
            (begin / PIECE) as u32..end.div_ceil(PIECE) as u32
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn here(torrent: &TorrentSnapshot) -> Vec<u32> {
    let has = |piece: &u32| torrent.have[*piece as usize / 8] & (0x80 >> (piece % 8)) != 0;
    (0..torrent.piece_count).filter(has).collect()
}

/// A seed of the files and a node that fetches some of them: those that `options` name.
fn scene(seed: u64, options: AddOptions) -> (SimNet, Content, NodeId) {
    let config = NetConfig {
        uplink: 200_000..400_000,
        ..NetConfig::default()
    };
    let mut net = SimNet::new(seed, config);
    let content = Content::folder(seed, &FILES, PIECE as u32);
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    let b = net.node(SimNet::config());
    net.watch_content(&content);
    net.add(b, Source::Torrent(content.torrent()), options);
    ready(&mut net, b, &content);
    (net, content, b)
}

fn only(files: &[u32]) -> AddOptions {
    AddOptions {
        files: Some(files.iter().map(|file| *file..=*file).collect()),
        ..AddOptions::default()
    }
}

fn select(net: &mut SimNet, node: NodeId, content: &Content, files: &[u32], priority: Priority) {
    let command = Command::SelectFiles {
        info_hash: content.info_hash(),
        files: files.to_vec(),
        priority,
    };
    net.command(node, command);
}

fn torrent(net: &SimNet, node: NodeId, content: &Content) -> TorrentSnapshot {
    net.torrent(node, content.info_hash()).unwrap()
}

/// Runs until so many times everything that is selected was said to be here.
fn completes(net: &mut SimNet, node: NodeId, times: usize) {
    let said = |net: &SimNet| {
        let complete = |event: &&Event| matches!(event, Event::Complete { .. });
        net.events(node).filter(complete).count() == times
    };
    assert!(net.run_until(minutes(2), said), "it is not complete");
}

#[test]
fn files_that_are_left_out_are_not_fetched_and_those_that_are_selected_later_are() {
    for_seeds(20, |seed| {
        let (mut net, content, b) = scene(seed, only(&[1, 3]));
        completes(&mut net, b, 1);
        net.run_for(Duration::from_secs(20));
        let now = torrent(&net, b, &content);
        assert_eq!(here(&now), pieces(&[1, 3]), "seed {seed}");
        assert_eq!(now.state, TorrentState::Seeding);
        assert_eq!(now.selected_verified, now.selected_length);
        assert_eq!(
            net.watch.sent_to(b, content.info_hash()),
            now.verified_bytes
        );
        // Trackers and peers hear that nothing is missing.
        let (_, said) = net.announces(b).last().unwrap();
        assert!(said.contains("\"left\":0"), "{said}");

        select(&mut net, b, &content, &[0], Priority::Normal);
        assert_eq!(torrent(&net, b, &content).state, TorrentState::Downloading);
        completes(&mut net, b, 2);
        assert_eq!(here(&torrent(&net, b, &content)), pieces(&[0, 1, 3]));
        select(&mut net, b, &content, &[2], Priority::High);
        completes(&mut net, b, 3);
        assert!(net.is_complete(b, &content));
        assert_eq!(torrent(&net, b, &content).wasted, 0);
    });
}

#[test]
fn a_file_that_is_left_out_in_mid_download_stops_and_stays_out_after_a_restart() {
    for_seeds(20, |seed| {
        let (mut net, content, b) = scene(seed, AddOptions::default());
        let begun = |net: &SimNet| torrent(net, b, &content).verified_bytes > 5 * PIECE;
        assert!(net.run_until(minutes(1), begun));
        select(&mut net, b, &content, &[2, 3], Priority::Skip);
        completes(&mut net, b, 1);
        net.run_for(Duration::from_secs(10));
        let (sent, had) = (
            net.watch.sent_to(b, content.info_hash()),
            here(&torrent(&net, b, &content)),
        );
        assert!(pieces(&[0, 1]).iter().all(|piece| had.contains(piece)));
        assert!(
            had.len() < 30,
            "seed {seed}: it fetched all the same: {had:?}"
        );

        net.kill_process(b);
        net.run_for(Duration::from_millis(300));
        net.start(b);
        net.add(
            b,
            Source::Stored(content.info_hash()),
            AddOptions::default(),
        );
        net.run_for(Duration::from_secs(30));
        let now = torrent(&net, b, &content);
        let priorities = [
            Priority::Normal,
            Priority::Normal,
            Priority::Skip,
            Priority::Skip,
        ];
        assert_eq!(now.priorities, priorities);
        assert_eq!(now.state, TorrentState::Seeding);
        assert_eq!(net.watch.sent_to(b, content.info_hash()), sent);
    });
}

#[test]
fn a_reader_of_a_file_that_is_left_out_gets_what_it_asks_for() {
    let (mut net, content, b) = scene(1, only(&[0]));
    completes(&mut net, b, 1);
    let stream = net.read(b, content.info_hash(), 2, 100_000..300_000, None);
    net.run_until(minutes(1), |net| net.reader(b, stream).end.is_some());
    assert_eq!(net.reader(b, stream).end, Some(StreamEnd::Complete));
}

#[test]
fn a_link_selects_files_and_what_was_chosen_later_goes_before_it() {
    let (mut net, content, b) = scene(2, AddOptions::default());
    let hash = content.info_hash();
    let c = net.node(SimNet::config());
    let link = format!("{}&so=0,9", content.magnet());
    net.add(c, Source::Magnet(link.clone()), AddOptions::default());
    ready(&mut net, c, &content);
    completes(&mut net, c, 1);
    assert_eq!(here(&torrent(&net, c, &content)), pieces(&[0]));
    select(&mut net, c, &content, &[1], Priority::High);
    completes(&mut net, c, 2);
    let command = Command::Remove {
        info_hash: hash,
        delete_data: false,
    };
    net.command(c, command);
    net.run_for(Duration::from_secs(5));
    net.add(c, Source::Magnet(link), AddOptions::default());
    net.run_for(Duration::from_secs(5));
    let priorities = [
        Priority::Normal,
        Priority::High,
        Priority::Skip,
        Priority::Skip,
    ];
    assert_eq!(torrent(&net, c, &content).priorities, priorities);
    let _ = b;
}

#[test]
fn a_choice_that_names_no_file_of_the_torrent_selects_none() {
    for files in [&[][..], &[9]] {
        let (mut net, content, b) = scene(4, only(files));
        let nothing = |net: &SimNet| {
            let now = torrent(net, b, &content);
            assert_eq!(now.priorities, [Priority::Skip; 4], "{files:?}");
            assert_eq!((now.selected_length, now.verified_bytes), (0, 0));
            assert_eq!(net.watch.sent_to(b, content.info_hash()), 0);
        };
        net.run_for(Duration::from_secs(20));
        nothing(&net);
        net.kill_process(b);
        net.run_for(Duration::from_millis(300));
        net.start(b);
        let source = Source::Stored(content.info_hash());
        net.add(b, source.clone(), AddOptions::default());
        net.run_for(Duration::from_secs(20));
        nothing(&net);
        // Also of a torrent that is there already.
        net.add(b, source.clone(), only(&[0]));
        let fetched = |net: &SimNet| here(&torrent(net, b, &content)) == pieces(&[0]);
        assert!(net.run_until(minutes(2), fetched), "{files:?}");
        net.add(b, source, only(files));
        net.run_for(Duration::from_secs(20));
        let now = torrent(&net, b, &content);
        assert_eq!(now.priorities, [Priority::Skip; 4], "{files:?}");
        assert_eq!(here(&now), pieces(&[0]));
    }
}

/// A node's announces after the first `from`, of this kind.
fn announces<'a>(net: &'a SimNet, node: NodeId, from: usize, said: &str) -> Vec<&'a str> {
    let texts = net.announces(node).iter().skip(from);
    (texts.map(|(_, text)| &text[..]))
        .filter(|text| text.contains(said))
        .collect()
}

#[test]
fn who_selects_nothing_and_has_nothing_is_no_seed_and_completed_nothing() {
    for_seeds(10, |seed| {
        let (mut net, content, b) = scene(seed, AddOptions::default());
        select(&mut net, b, &content, &[0, 1, 2, 3], Priority::Skip);
        net.run_for(minutes(5));
        assert_eq!(torrent(&net, b, &content).verified_bytes, 0, "seed {seed}");
        let all = announces(&net, b, 0, "\"left\"");
        let left = format!("\"left\":{}", FILES.iter().sum::<usize>());
        assert!(all.len() > 1, "seed {seed}: {all:?}");
        assert!(
            all.iter().all(|said| said.contains(&left)),
            "seed {seed}: {all:?}"
        );
        assert_eq!(announces(&net, b, 0, "completed").len(), 0, "seed {seed}");

        select(&mut net, b, &content, &[1], Priority::Normal);
        let fetched = |net: &SimNet| here(&torrent(net, b, &content)) == pieces(&[1]);
        assert!(net.run_until(minutes(2), fetched), "seed {seed}");
        net.run_for(Duration::from_secs(20));
        let said = announces(&net, b, 0, "completed");
        assert_eq!(said.len(), 1, "seed {seed}: {said:?}");
        assert!(said[0].contains("\"left\":0"), "{said:?}");
    });
}

#[test]
fn who_leaves_out_what_is_missing_has_completed_nothing_in_this_run() {
    for_seeds(10, |seed| {
        let (mut net, content, b) = scene(seed, only(&[0]));
        completes(&mut net, b, 1);
        net.run_for(Duration::from_secs(20));
        assert_eq!(announces(&net, b, 0, "completed").len(), 1, "seed {seed}");
        net.kill_process(b);
        net.run_for(Duration::from_millis(300));
        net.start(b);
        let before = net.announces(b).len();
        net.add(b, Source::Stored(content.info_hash()), only(&[0, 1]));
        let is_checked = |net: &SimNet| {
            let now = net.torrent(b, content.info_hash());
            now.is_some_and(|now| now.state == TorrentState::Downloading)
        };
        assert!(net.run_until(minutes(1), is_checked), "seed {seed}");
        select(&mut net, b, &content, &[1], Priority::Skip);
        net.run_for(minutes(1));
        assert_eq!(here(&torrent(&net, b, &content)), pieces(&[0]));
        let said = announces(&net, b, before, "completed");
        assert_eq!(said.len(), 0, "seed {seed}: {said:?}");
        // Its trackers hear all the same that it lacks nothing.
        let (_, last) = net.announces(b).last().unwrap();
        assert!(last.contains("\"left\":0"), "seed {seed}: {last}");
    });
}

#[test]
fn the_storage_limit_counts_what_is_selected() {
    let mut config = SimNet::config();
    config.limits.storage_bytes = Some(600_000);
    let mut net = SimNet::new(3, NetConfig::default());
    let content = Content::folder(3, &FILES, PIECE as u32);
    let a = net.node(SimNet::config());
    net.seed(a, &content);
    let b = net.node(config);
    net.watch_content(&content);
    net.add(b, Source::Torrent(content.torrent()), only(&[1]));
    ready(&mut net, b, &content);
    completes(&mut net, b, 1);
    select(&mut net, b, &content, &[0], Priority::Normal);
    net.run_for(Duration::from_secs(5));
    assert_eq!(torrent(&net, b, &content).state, TorrentState::Failed);
    select(&mut net, b, &content, &[0], Priority::Skip);
    net.run_for(Duration::from_secs(5));
    assert_eq!(torrent(&net, b, &content).state, TorrentState::Seeding);
}
