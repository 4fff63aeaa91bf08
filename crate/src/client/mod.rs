//! Many torrents behind one door: the only thing an edge drives.
//!
//! A `Client` owns what its sessions share: connections and upload slots, rate limits, trackers, the
//! payment account and its serials, storage quota. It never reads a clock and never blocks.

use bytes::Bytes;

use crate::time::Timestamp;
use crate::types::InfoHash;

pub use crate::contract::*;

/// The peer. See the crate's documentation for the run loop.
#[derive(Debug)]
pub struct Client {
    config: Config,
}

impl Client {
    /// A client that resumes from `records` (all that [`Effect::PutRecords`] ever put and did not delete).
    ///
    /// `seed` is fresh entropy from the edge's cryptographic source; it is never used twice.
    pub fn new(
        config: Config,
        seed: [u8; 32],
        records: impl IntoIterator<Item = (String, Bytes)>,
        now: Timestamp,
    ) -> Client {
        let _ = (seed, records.into_iter().count(), now);
        Client { config }
    }

    /// The one way in. Call [`Client::poll_output`] until [`Output::Timeout`] afterwards.
    pub fn handle_input(&mut self, now: Timestamp, input: Input) {
        let _ = (now, input, &self.config);
    }

    /// The one way out.
    pub fn poll_output(&mut self) -> Output {
        Output::Timeout(Timestamp::NEVER)
    }

    /// All torrents, money and trackers at a glance.
    pub fn snapshot(&self) -> ClientSnapshot {
        ClientSnapshot::default()
    }

    /// One torrent.
    pub fn torrent(&self, info_hash: InfoHash) -> Option<TorrentSnapshot> {
        let _ = info_hash;
        None
    }

    /// Torrents whose info dictionary is in the records, for [`Source::Stored`].
    pub fn stored_torrents(&self) -> Vec<InfoHash> {
        Vec::new()
    }
}
