//! The stored torrents of earlier runs, and the room that all torrents may take.

use bytes::Bytes;

use super::Client;
use crate::metainfo::{MagnetLink, Metainfo};
use crate::storage::decode_have;
use crate::torrent::{EffectOwner, Torrent, record_key, stored_link};
use crate::types::{Durability, InfoHash};

impl Client {
    /// The torrents whose info dictionary is in the records, for [`crate::io::Source::Stored`]. An edge that takes up
    /// the torrents of earlier runs asks for them after [`Client::new`], or at any later time.
    pub fn stored_torrents(&self) -> Vec<InfoHash> {
        self.out
            .record_keys("torrent/")
            .filter_map(|key| key.strip_prefix("torrent/")?.strip_suffix("/info"))
            .filter_map(InfoHash::from_hex)
            .collect()
    }

    /// A torrent's info dictionary, if it is in the records. It is there from the time at which the metadata is
    /// complete until the torrent is deleted. An edge asks for it if it wants more than [`crate::io::StorageOp::Open`]
    /// has, such as names that are not UTF-8.
    pub fn stored_info_bytes(&self, info_hash: InfoHash) -> Option<&Bytes> {
        self.out.record(&record_key(info_hash, "info"))
    }

    /// Sets storage aside for a torrent that the edge is about to write whole, before the core knows of it. If it does
    /// not fit, answers why. The edge calls this before it writes the first byte. When the client takes up the torrent,
    /// the torrent keeps its share. If the edge does not write it after all, it calls [`Client::release_storage`].
    pub fn reserve_storage(&mut self, info_hash: InfoHash, bytes: u64) -> Result<(), String> {
        let room = self.quota.room_for(info_hash);
        if bytes > room && !self.torrents.get(&info_hash).is_some_and(Torrent::is_seed) {
            return Err(self.quota.refusal(bytes, room));
        }
        self.quota.set_share(info_hash, bytes);
        Ok(())
    }

    /// Gives back the storage that [`Client::reserve_storage`] set aside, unless the torrent is taken up. The edge
    /// calls this when writing failed or was called off, and it does not add the torrent.
    pub fn release_storage(&mut self, info_hash: InfoHash) {
        if !self.torrents.contains_key(&info_hash) {
            self.quota.forget(info_hash);
        }
    }

    /// Whether all of a torrent is verified and stored; `None` if it is not taken up. An edge asks this before it
    /// writes a torrent's files itself: it must not write to a torrent that is taken up.
    pub fn is_whole(&self, info_hash: InfoHash) -> Option<bool> {
        self.torrents.get(&info_hash).map(Torrent::is_seed)
    }

    /// The edge is about to write anew the files that an earlier run stored. None of their pieces counts as verified
    /// before it is hashed again. The edge calls this before it writes the first byte, for a torrent that is not taken
    /// up. It calls [`Client::poll_output`] until [`crate::io::Output::Timeout`] afterwards, because the client puts a
    /// record.
    pub fn doubt_stored(&mut self, info_hash: InfoHash) {
        let record = (record_key(info_hash, "have"), None);
        self.out
            .put_records(EffectOwner::Nobody, vec![record], Durability::PowerLoss);
    }

    /// Applies the configured limit, which also counts the bytes that earlier runs stored.
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

    /// Torrents that wait for room look again when there may be some. Answers whether any torrent does.
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

    /// The trackers and names of a torrent's first magnet link or .torrent file, besides its info dictionary.
    pub(super) fn stored_link(&self, info_hash: InfoHash) -> MagnetLink {
        stored_link(&self.out, info_hash)
    }

    /// The bytes of the pieces that a torrent's record names.
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
