//! The place of every piece and every block of one torrent.
//!
//! This module alone owns that state: the begun, the verified and the written pieces, the peers that each block is out
//! to, the blocks in memory, and the kept blocks of pieces that failed. It chooses nothing, sends nothing and knows no
//! files. The [`picker`](crate::picker) decides the order, [`storage`](crate::storage) the durability, and the torrent
//! the payments.
//!
//! A piece is in exactly one [`Standing`]; a block of a begun piece is in exactly one [`Block`] state.
//!
//! Invariants, which `Pieces::assert_agrees` in the tests holds after every step:
//! - a request of a peer is out for exactly the blocks that name that peer among their askers;
//! - a piece is in one standing, and a sealed one is complete;
//! - the sums agree with the blocks.

mod partial;
mod suspects;
#[cfg(test)]
pub(crate) mod tests;

use bytes::Bytes;

use crate::bitfield::Bitfield;
use crate::metainfo::Geometry;
use crate::sorted::{Map, Set};
use crate::time::Timestamp;
use crate::types::{BlockRef, ConnectionId, PieceIndex};
use crate::verify::{Corrupt, VerifiedPiece, VerifiedPieces};

pub use partial::{Block, Delivery, Held, MAX_COPIES, Partial, PieceOwner, Saved, Taken};
pub use suspects::{Suspect, Suspects};

/// The requests that are out to one peer, with the time of each.
pub type Requests = Map<BlockRef, Timestamp>;

/// The place of a piece on its way from missing to verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No block of it is here or asked for.
    Missing,
    /// Some of its blocks are out or here.
    Begun,
    /// Every block is here, and its hash is being taken.
    Hashing,
    /// Its hash matched, and it is being written to the files.
    Writing,
    /// It is in the files: it may be served and read.
    Verified,
}

/// The fate of the blocks of a piece that is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// The blocks are kept as suspects, because the piece failed before.
    Keep,
    /// The blocks are thrown away, and [`Pieces::take_forgotten`] names those that were paid for.
    Forget,
    /// The blocks are thrown away. The caller knows their senders and the paid ones.
    Drop,
}

/// The place of every piece and block of one torrent. Only these methods change it.
#[derive(Debug)]
pub struct Pieces {
    geometry: Geometry,
    /// Pieces in the files.
    verified: VerifiedPieces,
    /// Verified pieces that the edge is writing.
    writing: Map<PieceIndex, VerifiedPiece>,
    /// Both of these: nobody is asked for their blocks.
    done: Bitfield,
    partials: Map<PieceIndex, Partial>,
    /// Those of `partials` with blocks that nobody is asked for.
    unrequested: Set<PieceIndex>,
    /// The lengths of `partials`, each counted whole.
    begun_bytes: u64,
    /// The bytes of `partials` in memory.
    held_bytes: u64,
    /// The bytes of `partials` in memory alone.
    unsaved_bytes: u64,
    /// A counter of the blocks of `partials` that ever came to be here.
    blocks_held: u64,
    /// By the peer that is asked. An entry goes with its peer.
    requests: Map<ConnectionId, Requests>,
    suspects: Suspects,
    /// Pieces whose blocks were given up, which the torrent has to settle.
    given_up: Vec<PieceIndex>,
    /// Paid blocks that were thrown away.
    forgotten: Vec<Suspect>,
}

impl Pieces {
    /// A torrent of which nothing is here.
    pub fn new(geometry: Geometry) -> Pieces {
        Pieces {
            geometry,
            verified: VerifiedPieces::none(geometry),
            writing: Map::new(),
            done: Bitfield::empty(geometry.piece_count()),
            partials: Map::new(),
            unrequested: Set::new(),
            begun_bytes: 0,
            held_bytes: 0,
            unsaved_bytes: 0,
            blocks_held: 0,
            requests: Map::new(),
            suspects: Suspects::default(),
            given_up: Vec::new(),
            forgotten: Vec::new(),
        }
    }

    // ---- the state

    /// The sizes of the torrent and its pieces.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The place of a piece.
    pub fn standing(&self, piece: PieceIndex) -> Standing {
        match self.partials.get(&piece) {
            Some(partial) if partial.is_sealed() => Standing::Hashing,
            Some(_) => Standing::Begun,
            None if self.writing.contains_key(&piece) => Standing::Writing,
            None if self.verified.contains(piece) => Standing::Verified,
            None => Standing::Missing,
        }
    }

    /// The pieces that are in the files: they may be served and read.
    pub fn verified(&self) -> &VerifiedPieces {
        &self.verified
    }

    /// The pieces whose hash matched: nobody is asked for their blocks. Some may still be on their way to the files.
    pub fn done(&self) -> &Bitfield {
        &self.done
    }

    /// Whether a piece whose hash matched is on its way to the files.
    pub fn is_writing(&self) -> bool {
        !self.writing.is_empty()
    }

    /// A piece that is begun.
    pub fn partial(&self, piece: PieceIndex) -> Option<&Partial> {
        self.partials.get(&piece)
    }

    /// All pieces that are begun.
    pub fn partials(&self) -> impl ExactSizeIterator<Item = (PieceIndex, &Partial)> {
        self.partials
            .iter()
            .map(|(piece, partial)| (*piece, partial))
    }

    /// The begun pieces with blocks that nobody is asked for.
    pub fn unrequested(&self) -> &Set<PieceIndex> {
        &self.unrequested
    }

    /// The lengths of all begun pieces, each counted whole.
    pub fn begun_bytes(&self) -> u64 {
        self.begun_bytes
    }

    /// Bytes of begun pieces in memory.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Bytes of begun pieces that lie in memory alone.
    pub fn unsaved_bytes(&self) -> u64 {
        self.unsaved_bytes
    }

    /// The bytes that done and begun pieces take of the storage, each begun piece counted whole.
    pub fn room_taken(&self) -> u64 {
        let piece_length = u64::from(self.geometry.piece_length());
        let last = PieceIndex(self.geometry.piece_count() - 1);
        let short = match self.done.contains(last.0) {
            true => piece_length - self.length_of(last),
            false => 0,
        };
        u64::from(self.done.count()) * piece_length - short + self.begun_bytes
    }

    /// The requests that are out to a peer.
    pub fn requests(&self, conn: ConnectionId) -> &Requests {
        const NONE: &Requests = &Map::new();
        self.requests.get(&conn).unwrap_or(NONE)
    }

    /// The bytes that all peers are asked for.
    pub fn requested_bytes(&self) -> u64 {
        let blocks = self.requests.values().flat_map(Map::keys);
        blocks.map(|block| u64::from(block.length)).sum()
    }

    /// The time at which a peer was asked for a block that is out to it.
    pub fn asked_at(&self, conn: ConnectionId, block: BlockRef) -> Option<Timestamp> {
        self.requests(conn).get(&block).copied()
    }

    /// The blocks that are kept of pieces that failed with several senders.
    pub fn suspects(&self) -> &Suspects {
        &self.suspects
    }

    /// The same, so that the torrent can pay for them or throw them out.
    pub fn suspects_mut(&mut self) -> &mut Suspects {
        &mut self.suspects
    }

    fn length_of(&self, piece: PieceIndex) -> u64 {
        u64::from(self.geometry.piece_len(piece).unwrap_or(0))
    }

    // ---- a piece begins

    /// Begins a piece, unless it is begun or done, or the torrent has no such piece. With `whole` one peer is to bring
    /// all of it.
    pub fn begin(&mut self, now: Timestamp, piece: PieceIndex, whole: bool) {
        let Some(blocks) = self.geometry.blocks_in(piece) else {
            return;
        };
        if self.partials.contains_key(&piece) || self.done.contains(piece.0) {
            return;
        }
        self.begun_bytes += self.length_of(piece);
        self.partials
            .insert(piece, Partial::new(blocks, whole, now));
        self.unrequested.insert(piece);
    }

    /// The delivery of a begun piece, so that the picker can change it.
    pub fn delivery_mut(&mut self, piece: PieceIndex) -> Option<&mut Delivery> {
        self.partials
            .get_mut(&piece)
            .map(|partial| &mut partial.delivery)
    }

    /// The deliveries of all begun pieces, so that the picker can change them.
    pub fn deliveries_mut(&mut self) -> impl Iterator<Item = (PieceIndex, &mut Delivery)> {
        let partials = self.partials.iter_mut();
        partials.map(|(piece, partial)| (*piece, &mut partial.delivery))
    }

    // ---- requests

    /// Asks a peer for the first missing block of a begun piece; `None` if none is missing.
    pub fn request_next(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        piece: PieceIndex,
    ) -> Option<BlockRef> {
        let partial = self.partials.get_mut(&piece)?;
        let number = partial.request_next(conn)?;
        if partial.missing() == 0 {
            self.unrequested.remove(&piece);
        }
        self.note_request(now, conn, piece, number)
    }

    /// Asks one more peer for a block that is out. `None` if it is not out, or if it is out to enough peers.
    pub fn request_copy(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        piece: PieceIndex,
        number: u32,
    ) -> Option<BlockRef> {
        let partial = self.partials.get_mut(&piece)?;
        match partial.request_copy(conn, number) {
            true => self.note_request(now, conn, piece, number),
            false => None,
        }
    }

    fn note_request(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        piece: PieceIndex,
        number: u32,
    ) -> Option<BlockRef> {
        let block = self.geometry.block(piece, number)?;
        self.requests.entry(conn).or_default().insert(block, now);
        Some(block)
    }

    /// A peer will not deliver a block. Does nothing if the peer was not asked for it.
    pub fn give_back(&mut self, conn: ConnectionId, block: BlockRef) {
        let out = self.requests.get_mut(&conn);
        if out.and_then(|out| out.remove(&block)).is_none() {
            return;
        }
        if let Some(partial) = self.partials.get_mut(&block.piece)
            && let Some(number) = self.geometry.block_number(block)
        {
            partial.give_back(conn, number);
            if partial.missing() > 0 {
                self.unrequested.insert(block.piece);
            }
        }
    }

    /// A peer left. Its requests were given back before.
    pub fn peer_gone(&mut self, conn: ConnectionId) {
        self.requests.remove(&conn);
    }

    // ---- blocks

    /// A block came, asked for or not. Answers the other peers that were asked for it and no longer are; `None` if its
    /// piece is not begun.
    pub fn receive(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        block: BlockRef,
        data: &Bytes,
    ) -> Option<Taken> {
        let number = self.geometry.block_number(block)?;
        let partial = self.partials.get_mut(&block.piece)?;
        let taken = partial.take(now, conn, number, data, self.blocks_held + 1);
        if taken == Taken::Duplicate {
            self.give_back(conn, block);
        } else if let Taken::Wanted(others) = &taken {
            for asked in others.iter().chain([&conn]) {
                if let Some(out) = self.requests.get_mut(asked) {
                    out.remove(&block);
                }
            }
            let bytes = data.len() as u64;
            self.note_held(block.piece, bytes, bytes);
        }
        Some(taken)
    }

    /// A block was read back from the scratch file. Its piece begins with it. Answers `false` if the block is here
    /// already.
    pub fn restore(
        &mut self,
        now: Timestamp,
        block: BlockRef,
        data: Bytes,
        advanced: bool,
    ) -> bool {
        self.begin(now, block.piece, false);
        let held = Held {
            data,
            from: None,
            advanced,
            saved: Saved::Recorded,
        };
        self.hold(block, held)
    }

    fn hold(&mut self, block: BlockRef, held: Held) -> bool {
        let Some(number) = self.geometry.block_number(block) else {
            return false;
        };
        let Some(partial) = self.partials.get_mut(&block.piece) else {
            return false;
        };
        let bytes = held.data.len() as u64;
        let unsaved = if held.saved == Saved::No { bytes } else { 0 };
        if !partial.hold(number, held, self.blocks_held + 1) {
            return false;
        }
        self.note_held(block.piece, bytes, unsaved);
        true
    }

    /// A block of a begun piece came to be here, so many of its bytes in memory alone.
    fn note_held(&mut self, piece: PieceIndex, bytes: u64, unsaved: u64) {
        let partial = self.partials.get(&piece);
        if partial.is_some_and(|partial| partial.missing() == 0) {
            self.unrequested.remove(&piece);
        }
        self.blocks_held += 1;
        self.held_bytes += bytes;
        self.unsaved_bytes += unsaved;
    }

    /// A block that is here was paid for in advance.
    pub fn note_advanced(&mut self, piece: PieceIndex, number: u32) {
        let partial = self.partials.get_mut(&piece);
        if let Some(held) = partial.and_then(|partial| partial.held_mut(number)) {
            held.advanced = true;
        }
    }

    /// Sets how far a block that is here is written down. Does nothing if the block is not here any more.
    pub fn set_saved(&mut self, piece: PieceIndex, number: u32, saved: Saved) {
        let partial = self.partials.get_mut(&piece);
        let Some(held) = partial.and_then(|partial| partial.held_mut(number)) else {
            return;
        };
        let bytes = held.data.len() as u64;
        match (held.saved == Saved::No, saved == Saved::No) {
            (true, false) => self.unsaved_bytes -= bytes,
            (false, true) => self.unsaved_bytes += bytes,
            _ => {}
        }
        held.saved = saved;
    }

    /// A peer goes on with the blocks that it brought before of a failed piece that is begun anew.
    pub fn take_up(&mut self, piece: PieceIndex, conn: ConnectionId) {
        for suspect in self.suspects.take(piece, |s| s.from == conn) {
            let held = Held {
                data: suspect.data,
                from: Some(conn),
                advanced: suspect.advanced,
                saved: Saved::No,
            };
            self.hold(suspect.block, held);
        }
    }

    /// Keeps a block of a failed piece that came out of its sender's turn.
    pub fn keep_late(&mut self, suspect: Suspect) {
        let before = self.suspects.keep(suspect.block.piece, vec![suspect]);
        self.forget(before);
    }

    // ---- a piece ends

    /// Every block of the piece is here, so its hash is to be taken. Answers its bytes; `None` if the piece is not
    /// complete, or sealed.
    pub fn seal(&mut self, piece: PieceIndex) -> Option<Vec<Bytes>> {
        let partial = self.partials.get_mut(&piece)?;
        if !partial.is_complete() || partial.is_sealed() {
            return None;
        }
        partial.seal();
        Some(partial.chunks())
    }

    /// Compares a digest with the hash of the piece in the torrent.
    pub fn check(
        &self,
        piece: PieceIndex,
        expected: &[u8; 20],
        digest: &[u8; 20],
    ) -> Result<VerifiedPiece, Corrupt> {
        self.verified.check(piece, expected, digest)
    }

    /// The hash of a begun piece matched, so the edge is to write it. Answers the piece's state in memory.
    pub fn write(&mut self, proof: VerifiedPiece) -> Option<Partial> {
        let piece = proof.piece();
        let partial = self.remove(piece);
        self.done.insert(piece.0);
        self.writing.insert(piece, proof);
        partial
    }

    /// A piece is in the files now. Answers `false` if it was not being written.
    pub fn written(&mut self, piece: PieceIndex) -> bool {
        let proof = self.writing.remove(&piece);
        proof.map(|proof| self.verified.insert(proof)).is_some()
    }

    /// A piece was found in the files, and its hash matched.
    pub fn found(&mut self, proof: VerifiedPiece) {
        self.done.insert(proof.piece().0);
        self.verified.insert(proof);
    }

    /// Takes these pieces as verified. A have-record names them, which was put only after their writes ended, or the
    /// edge says that its files are complete.
    pub fn believe(&mut self, record: &Bitfield) {
        self.verified.restore(record);
        self.done = self.verified.bits().clone();
    }

    /// A piece is not in the files, or is wrong there. Answers `false` if it did not count as done.
    pub fn lost(&mut self, piece: PieceIndex) -> bool {
        self.writing.remove(&piece);
        self.verified.remove(piece);
        self.done.remove(piece.0)
    }

    /// Gives up a begun piece. Answers the peers that still owe blocks of it, to be cancelled. If a block of it was
    /// here, [`Pieces::take_given_up`] names the piece.
    pub fn give_up(&mut self, piece: PieceIndex, how: GiveUp) -> Vec<(ConnectionId, BlockRef)> {
        let Some(partial) = self.partials.get(&piece) else {
            return Vec::new();
        };
        let owed: Vec<(ConnectionId, BlockRef)> = partial
            .askers()
            .filter_map(|(conn, number)| Some((conn, self.geometry.block(piece, number)?)))
            .collect();
        for (conn, block) in &owed {
            if let Some(out) = self.requests.get_mut(conn) {
                out.remove(block);
            }
        }
        let Some(partial) = self.remove(piece) else {
            return owed;
        };
        if partial.received() == 0 {
            return owed;
        }
        self.given_up.push(piece);
        if how == GiveUp::Drop {
            return owed;
        }
        let geometry = self.geometry;
        let sent = partial.into_held().filter_map(|(number, held)| {
            Some(Suspect {
                from: held.from?,
                block: geometry.block(piece, number)?,
                data: held.data,
                advanced: held.advanced,
            })
        });
        let sent = sent.collect();
        let forgotten = match how {
            GiveUp::Keep => {
                self.suspects.open(piece);
                self.suspects.keep(piece, sent)
            }
            _ => sent,
        };
        self.forget(forgotten);
        owed
    }

    /// Opens a piece for suspects, because it failed with several senders.
    pub fn suspect(&mut self, piece: PieceIndex) {
        self.suspects.open(piece);
    }

    /// Throws suspects away. [`Pieces::take_forgotten`] reports the paid ones.
    pub fn forget(&mut self, suspects: Vec<Suspect>) {
        self.forgotten
            .extend(suspects.into_iter().filter(|s| s.advanced));
    }

    /// The pieces whose blocks were given up since the last call.
    pub fn take_given_up(&mut self) -> Vec<PieceIndex> {
        core::mem::take(&mut self.given_up)
    }

    /// The blocks that were paid for in advance and thrown away since the last call.
    pub fn take_forgotten(&mut self) -> Vec<Suspect> {
        core::mem::take(&mut self.forgotten)
    }

    fn remove(&mut self, piece: PieceIndex) -> Option<Partial> {
        let partial = self.partials.remove(&piece)?;
        self.unrequested.remove(&piece);
        self.begun_bytes -= self.length_of(piece);
        self.held_bytes -= partial.bytes();
        self.unsaved_bytes -= partial.unsaved();
        Some(partial)
    }
}
