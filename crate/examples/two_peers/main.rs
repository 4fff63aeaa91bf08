//! Two peers in one process, on a virtual clock: the core alone, with no socket, no file and no thread.
//!
//! One [`Client`] seeds a small title, the other fetches it. This program is the edge of both: it carries out what they
//! ask for, takes the bytes of one to the other, and sets the clock to the next time at which something happens. A real
//! edge does the same with real sockets, files and clocks. Run it: `cargo run --example two_peers`
//!
//! This file has the title, the clock, and what is on its way. `edge.rs` has the run loop, `disk.rs` the storage.

mod disk;
mod edge;

use std::collections::BTreeMap;
use std::error::Error;

use piecework::client::{AddOptions, CheckExisting, Client, Command, Config, Input, Source};
use piecework::metainfo::TorrentBuilder;
use piecework::time::{Duration, Timestamp};
use piecework::types::{ConnectionId, TrackerId};

use disk::Disk;

const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
/// The time that anything takes from one peer to the other.
const LATENCY: Duration = Duration::from_millis(20);
/// More than the fetcher needs, on the virtual clock.
const PATIENCE: Duration = Duration::from_secs(60);

const SEEDER: usize = 0;
const FETCHER: usize = 1;
const NAMES: [&str; 2] = ["seeder", "fetcher"];

fn main() -> Result<(), Box<dyn Error>> {
    let title: Vec<u8> = (0..300_000u64).map(|i| ((i * i) >> 7) as u8).collect();
    let builder = TorrentBuilder::single_file("title.bin", title.len() as u64)
        .piece_length(64 * 1024)
        .tracker("ws://tracker.example");
    let mut hasher = builder.hasher()?;
    hasher.update(&title);
    let torrent = builder.build(hasher.finish()?)?;

    let mut world = World {
        now: START,
        peers: [Peer::new(1), Peer::new(2)],
        coming: BTreeMap::new(),
        sent: 0,
    };
    world.peers[SEEDER].disk.file = title.clone();
    let torrent_file = Source::Torrent(torrent.to_torrent().into());
    world.add(SEEDER, torrent_file, CheckExisting::Complete);
    let magnet_link = Source::Magnet(torrent.magnet().to_string());
    world.add(FETCHER, magnet_link, CheckExisting::Resume);
    world.run()?;

    if world.peers[FETCHER].disk.file != title {
        return Err("the fetched bytes are not the seeded ones".into());
    }
    println!("the fetched bytes are the seeded ones, all {}", title.len());
    Ok(())
}

/// A client, and what its edge keeps for it.
struct Peer {
    client: Client,
    /// When the client wants its next [`Input::Tick`].
    wake: Timestamp,
    disk: Disk,
    tracker: Option<TrackerId>,
    /// By this peer's name for a channel: the other peer's name for it.
    channels: BTreeMap<ConnectionId, ConnectionId>,
    is_shut_down: bool,
}

impl Peer {
    /// A real edge draws the seed from the system's entropy, and gives the records that it stored in earlier runs.
    fn new(seed: u8) -> Peer {
        Peer {
            client: Client::new(Config::default(), [seed; 32], Vec::new(), START),
            wake: START,
            disk: Disk::default(),
            tracker: None,
            channels: BTreeMap::new(),
            is_shut_down: false,
        }
    }
}

/// The clock, the peers, and what is on its way to them.
struct World {
    now: Timestamp,
    peers: [Peer; 2],
    /// By the time of arrival, and then in the order of sending.
    coming: BTreeMap<(Timestamp, u64), (usize, Input)>,
    sent: u64,
}

impl World {
    fn add(&mut self, to: usize, source: Source, check: CheckExisting) {
        let options = AddOptions {
            check,
            ..AddOptions::default()
        };
        let command = Command::Add {
            tag: 0,
            source,
            options,
        };
        self.send(Duration::ZERO, to, Input::Command(command));
    }

    fn send(&mut self, after: Duration, to: usize, input: Input) {
        self.sent += 1;
        self.coming
            .insert((self.now + after, self.sent), (to, input));
    }

    /// Until both peers are shut down: the clock jumps to what comes next, an arrival or a timeout.
    fn run(&mut self) -> Result<(), Box<dyn Error>> {
        while !self.peers.iter().all(|peer| peer.is_shut_down) {
            let sleeper = usize::from(self.peers[1].wake < self.peers[0].wake);
            let wake = self.peers[sleeper].wake;
            let (to, input) = match self.coming.first_entry() {
                Some(next) if next.key().0 <= wake => {
                    self.now = next.key().0;
                    next.remove()
                }
                _ => {
                    self.now = wake;
                    (sleeper, Input::Tick)
                }
            };
            if self.now.since(START) > PATIENCE {
                return Err("the title did not arrive within a minute".into());
            }
            self.feed(to, input)?;
        }
        Ok(())
    }
}
