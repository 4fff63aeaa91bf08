//! Native peers meet through the real signaling server and exchange real files over WebRTC.

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;

use crate::common::{Program, Tracker, content};
use piecework::client::{
    AddOptions, CheckExisting, Command, Config, Event, Source, TorrentSnapshot,
};
use piecework::metainfo::{Metainfo, TorrentBuilder};
use piecework::native::driver::{NativeConfig, Running, start};
use piecework::native::transport::TransportConfig;
use piecework::types::InfoHash;
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

fn torrent(name: &str, files: &[(&[&str], &[u8])], tracker: &str) -> Metainfo {
    let mut builder = match files {
        [([], bytes)] => TorrentBuilder::single_file(name, bytes.len() as u64),
        _ => files
            .iter()
            .fold(TorrentBuilder::new(name), |builder, (path, bytes)| {
                builder.file(path.iter().copied(), bytes.len() as u64)
            }),
    };
    builder = builder.tracker(tracker).piece_length(32 * 1024);
    let mut hasher = builder.hasher().unwrap();
    for (_, bytes) in files {
        hasher.update(bytes);
    }
    builder.build(hasher.finish().unwrap()).unwrap()
}

struct Peer {
    running: Running,
}

impl Peer {
    fn start(data: &Path, udp_port: Option<u16>) -> Peer {
        let config = NativeConfig {
            client: Config::default(),
            transport: TransportConfig {
                loopback: true,
                udp_port,
                ..TransportConfig::default()
            },
            data_dir: data.to_owned(),
            state_dir: data.join(".piecework"),
            repair: true,
            local_web_seeds: false,
            chain: None,
            session_key: None,
        };
        Peer {
            running: start(config).unwrap(),
        }
    }

    async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.running.events.recv())
            .await
            .expect("nothing happened for 60 s")
            .expect("the peer stopped")
    }

    async fn add(&mut self, source: Source, check: CheckExisting) -> InfoHash {
        let options = AddOptions {
            check,
            ..AddOptions::default()
        };
        let add = Command::Add {
            tag: 7,
            source,
            options,
        };
        self.running.handle.command(add).await.unwrap();
        loop {
            if let Event::Added { tag: 7, result } = self.event().await {
                return result.unwrap();
            }
        }
    }

    async fn until_complete(&mut self) {
        loop {
            match self.event().await {
                Event::Complete { .. } => return,
                Event::Failed { text, .. } => panic!("{text}"),
                _ => {}
            }
        }
    }

    async fn torrent(&self) -> TorrentSnapshot {
        let snapshot = self.running.handle.snapshot().await.unwrap();
        snapshot.torrents[0].clone()
    }

    async fn stop(mut self) {
        self.running
            .handle
            .command(Command::Shutdown)
            .await
            .unwrap();
        while self.running.events.recv().await.is_some() {}
        self.running.task.await.unwrap();
    }
}

fn free_udp_port() -> u16 {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_magnet_link_brings_the_files_bit_by_bit_and_a_restart_fetches_nothing() {
    let tracker = Tracker::start().await;
    let (a, b) = (content(3_000_000), content(70_001));
    let files: &[(&[&str], &[u8])] = &[(&["a.bin"], &a), (&["sub", "b.bin"], &b)];
    let metainfo = torrent("album", files, &tracker.url());

    let (seed_dir, get_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(seed_dir.path().join("album/sub")).unwrap();
    std::fs::write(seed_dir.path().join("album/a.bin"), &a).unwrap();
    std::fs::write(seed_dir.path().join("album/sub/b.bin"), &b).unwrap();
    let mut seeder = Peer::start(seed_dir.path(), Some(free_udp_port()));
    let source = Source::Torrent(metainfo.to_torrent().into());
    seeder.add(source, CheckExisting::Recheck).await;
    seeder.until_complete().await;

    let mut getter = Peer::start(get_dir.path(), None);
    let magnet = metainfo.magnet().to_string();
    let added = getter
        .add(Source::Magnet(magnet.clone()), CheckExisting::Resume)
        .await;
    assert_eq!(added, metainfo.info_hash);
    getter.until_complete().await;
    let fetched = getter.torrent().await;
    assert_eq!(fetched.verified_bytes, 3_070_001);
    getter.stop().await;
    assert_eq!(
        std::fs::read(get_dir.path().join("album/a.bin")).unwrap(),
        a
    );
    assert_eq!(
        std::fs::read(get_dir.path().join("album/sub/b.bin")).unwrap(),
        b
    );

    let mut getter = Peer::start(get_dir.path(), None);
    getter
        .add(Source::Magnet(magnet), CheckExisting::Resume)
        .await;
    getter.until_complete().await;
    assert_eq!(getter.torrent().await.downloaded, 0);
    getter.stop().await;
    seeder.stop().await;
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_piece_that_rotted_on_disk_is_fetched_again_and_nothing_else() {
    let tracker = Tracker::start().await;
    let bytes = content(1_000_000);
    let metainfo = torrent("film.mp4", &[(&[], &bytes)], &tracker.url());
    let (seed_dir, get_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(seed_dir.path().join("film.mp4"), &bytes).unwrap();
    let mut rotten = bytes.clone();
    rotten[100_000] ^= 1;
    std::fs::write(get_dir.path().join("film.mp4"), &rotten).unwrap();

    let source = || Source::Torrent(metainfo.to_torrent().into());
    let mut seeder = Peer::start(seed_dir.path(), None);
    seeder.add(source(), CheckExisting::Recheck).await;
    seeder.until_complete().await;
    let mut getter = Peer::start(get_dir.path(), None);
    getter.add(source(), CheckExisting::Recheck).await;
    getter.until_complete().await;
    assert_eq!(getter.torrent().await.downloaded, 32 * 1024);
    getter.stop().await;
    seeder.stop().await;
    assert_eq!(
        std::fs::read(get_dir.path().join("film.mp4")).unwrap(),
        bytes
    );
    tracker.handle.shutdown().await;
}

fn folder_with_film(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    std::fs::write(&film, bytes).unwrap();
    (dir, film)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_seeds_gets_and_says_goodbye() {
    let tracker = Tracker::start().await;
    let bytes = content(2_000_000);
    let (seed_dir, film) = folder_with_film(&bytes);
    let torrent = seed_dir.path().join("film.torrent");
    let get_dir = tempfile::tempdir().unwrap();
    let url = tracker.url();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (torrent, film) = (path(&torrent), path(&film));
    let (seed_path, get_path) = (path(seed_dir.path()), path(get_dir.path()));
    let ran = tokio::task::spawn_blocking(move || {
        let mut create =
            Program::start(&["create", &film, "-o", &torrent, "--tracker", &url, "--json"]);
        let made = create.until(|_| true);
        assert_eq!(create.exit_code(), Some(0));

        let mut seeder = Program::start(&[
            "seed",
            &torrent,
            "--data",
            &seed_path,
            "--json",
            "--stdin-commands",
        ]);
        let seeding = seeder.until(|line| line["event"] == "seeding");
        assert_eq!(seeding["info_hash"], made["info_hash"]);
        let magnet = seeding["magnet"].as_str().unwrap();

        let mut second = Program::start(&["seed", &torrent, "--data", &seed_path]);
        assert_eq!(
            second.exit_code(),
            Some(2),
            "two processes share a state folder"
        );

        let mut getter = Program::start(&["get", magnet, "-o", &get_path, "--json"]);
        let complete = getter.until(|line| line["event"] == "complete");
        assert_eq!(complete["total_length"], 2_000_000);
        let summary = getter.until(|line| line["event"] == "summary");
        assert_eq!(summary["torrents"][0]["verified_bytes"], 2_000_000);
        assert_eq!(getter.exit_code(), Some(0));

        seeder.say("stats");
        let stats = seeder.until(|line| line["command"] == "stats");
        assert_eq!(stats["ok"], true);
        let uploaded = stats["torrents"][0]["uploaded"].as_u64().unwrap();
        assert!(uploaded >= 2_000_000, "{uploaded}");
        seeder.say("price 10");
        let price = seeder.until(|line| line["command"] == "price");
        assert_eq!(price["ok"], false, "a price without a payee");
        seeder.say("dance");
        let unknown = seeder.until(|line| line["command"] == "dance");
        assert_eq!(unknown["ok"], false);

        let pid = seeder.child.id().to_string();
        let killed = Process::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(killed.success());
        let summary = seeder.until(|line| line["event"] == "summary");
        assert_eq!(summary["torrents"][0]["state"], "seeding");
        assert_eq!(seeder.exit_code(), Some(0));
    });
    ran.await.unwrap();
    assert_eq!(
        std::fs::read(get_dir.path().join("film.mp4")).unwrap(),
        bytes
    );
    tracker.handle.shutdown().await;
}
