//! What is stored: torrents of earlier runs, and how much all of them may take.

use bytes::Bytes;

use super::Client;
use crate::metainfo::{MagnetLink, Metainfo};
use crate::storage::decode_have;
use crate::torrent::{EffectOwner, Torrent, record_key, stored_link};
use crate::types::{Durability, InfoHash};

impl Client {
    /// Torrents whose info dictionary is in the records, for [`crate::io::Source::Stored`].
    pub fn stored_torrents(&self) -> Vec<InfoHash> {
        self.out
            .record_keys("torrent/")
            .filter_map(|key| key.strip_prefix("torrent/")?.strip_suffix("/info"))
            .filter_map(InfoHash::from_hex)
            .collect()
    }

    /// A torrent's info dictionary, if it is in the records.
    pub fn stored_info_bytes(&self, info_hash: InfoHash) -> Option<&Bytes> {
        self.out.record(&record_key(info_hash, "info"))
    }

    /// Sets aside storage for a torrent that the edge is about to write whole, before the core knows of it; else says
    /// why it does not fit. Taken up, it keeps its share; if it is not written after all, see
    /// [`Client::release_storage`].
    pub fn reserve_storage(&mut self, info_hash: InfoHash, bytes: u64) -> Result<(), String> {
        let room = self.quota.room_for(info_hash);
        if bytes > room && !self.torrents.get(&info_hash).is_some_and(Torrent::is_seed) {
            return Err(self.quota.refusal(bytes, room));
        }
        self.quota.set_share(info_hash, bytes);
        Ok(())
    }

    /// Gives back what [`Client::reserve_storage`] set aside for a torrent that is not stored now.
    pub fn release_storage(&mut self, info_hash: InfoHash) {
        if !self.torrents.contains_key(&info_hash) {
            self.quota.forget(info_hash);
        }
    }

    /// Whether a torrent is taken up, and then whether all of it is verified and stored.
    pub fn is_whole(&self, info_hash: InfoHash) -> Option<bool> {
        self.torrents.get(&info_hash).map(Torrent::is_seed)
    }

    /// The edge is about to write anew what an earlier run stored: none of it counts as verified before it is hashed
    /// again.
    pub fn doubt_stored(&mut self, info_hash: InfoHash) {
        let record = (record_key(info_hash, "have"), None);
        self.out
            .put_records(EffectOwner::Nobody, vec![record], Durability::PowerLoss);
    }

    /// Holds to the configured limit, which counts what earlier runs stored.
    pub(super) fn limit_storage(&mut self) {
        let limit = self.config.limits.storage_bytes;
        if limit.is_some() {
            for info_hash in self.stored_torrents() {
                if !self.quota.knows(info_hash) {
                    let bytes = self.stored_bytes(info_hash).unwrap_or(0);
                    self.quota.set_share(info_hash, bytes);
                }
            }
        }
        self.quota.set_limit(limit);
    }

    /// Torrents that wait for room look again when there may be some. Answers whether any does.
    pub(super) fn wake_for_room(&mut self) -> bool {
        if !self.quota.take_freed() {
            return false;
        }
        let waiting = self.torrents.values().filter(|s| s.is_over_limit());
        let before = self.touched.len();
        self.touched.extend(waiting.map(Torrent::info_hash));
        self.touched.len() > before
    }

    pub(super) fn stored_info(
        &self,
        info_hash: InfoHash,
        trackers: &[Vec<String>],
    ) -> Option<Metainfo> {
        let info = self.stored_info_bytes(info_hash)?.clone();
        Metainfo::from_info(info, info_hash, trackers.to_vec()).ok()
    }

    /// What a torrent's first magnet link or .torrent file named besides its info dictionary.
    pub(super) fn stored_link(&self, info_hash: InfoHash) -> MagnetLink {
        stored_link(&self.out, info_hash)
    }

    /// Bytes of the pieces that a torrent's record names.
    fn stored_bytes(&self, info_hash: InfoHash) -> Option<u64> {
        let record = self.out.record(&record_key(info_hash, "have"))?;
        let geometry = self.stored_info(info_hash, &[])?.geometry();
        let have = decode_have(record, geometry.piece_count())?.have;
        let lengths = have
            .iter()
            .filter_map(|piece| geometry.piece_len(crate::types::PieceIndex(piece)));
        Some(lengths.map(u64::from).sum())
    }
}
