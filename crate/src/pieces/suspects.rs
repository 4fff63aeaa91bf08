//! What peers sent of pieces that failed with several senders: kept until a right copy shows the liar, or its sender brings
//! the rest of the piece itself (docs/decisions/045-a-failed-piece-comes-whole-by-turns.md).
//!
//! Invariant: of one block one copy is kept from each peer.

use bytes::Bytes;

use crate::sorted::{Map, Set};
use crate::types::{BlockRef, ConnectionId, PieceIndex};

/// A block of a piece that failed, to be compared with a right copy, or to be a part of one from the same peer.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// Its sender.
    pub from: ConnectionId,
    /// The block that it was sent as.
    pub block: BlockRef,
    /// Its bytes.
    pub data: Bytes,
    /// It was paid for in advance.
    pub advanced: bool,
}

/// The suspects of all pieces that failed. Their number is bounded by whoever adds: see `torrent::suspects`.
#[derive(Debug, Default)]
pub struct Suspects {
    of: Map<PieceIndex, Vec<Suspect>>,
}

impl Suspects {
    /// Pieces of which something is kept, or may be.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = (PieceIndex, &[Suspect])> {
        self.of.iter().map(|(piece, all)| (*piece, all.as_slice()))
    }

    /// What is kept of a piece.
    pub fn of(&self, piece: PieceIndex) -> &[Suspect] {
        self.of.get(&piece).map_or(&[], Vec::as_slice)
    }

    /// All suspects, to be paid for in advance.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Suspect> {
        self.of.values_mut().flatten()
    }

    /// How many blocks of a piece are kept from one peer.
    pub fn count(&self, piece: PieceIndex, conn: ConnectionId) -> u32 {
        self.of(piece).iter().filter(|s| s.from == conn).count() as u32
    }

    /// Of a block a copy from this peer is kept.
    pub fn has(&self, block: BlockRef, conn: ConnectionId) -> bool {
        let is_one = |s: &Suspect| (s.from, s.block) == (conn, block);
        self.of(block.piece).iter().any(is_one)
    }

    /// From now on something may be kept of this piece.
    pub(super) fn open(&mut self, piece: PieceIndex) {
        self.of.entry(piece).or_default();
    }

    /// Keeps blocks of a piece, in place of the copies that the same peers sent before, which it answers. Of a piece that is
    /// not open it keeps nothing.
    pub(super) fn keep(&mut self, piece: PieceIndex, sent: Vec<Suspect>) -> Vec<Suspect> {
        if !self.of.contains_key(&piece) {
            return Vec::new();
        }
        let again: Set<(ConnectionId, BlockRef)> = sent.iter().map(|s| (s.from, s.block)).collect();
        let before = self.take(piece, |s| again.contains(&(s.from, s.block)));
        self.of.entry(piece).or_default().extend(sent);
        before
    }

    /// Takes out some of a piece.
    pub fn take(&mut self, piece: PieceIndex, is_one: impl Fn(&Suspect) -> bool) -> Vec<Suspect> {
        let Some(all) = self.of.get_mut(&piece) else {
            return Vec::new();
        };
        let (taken, rest) = core::mem::take(all).into_iter().partition(is_one);
        *all = rest;
        taken
    }

    /// Takes out all of a piece, of which nothing more is kept.
    pub fn close(&mut self, piece: PieceIndex) -> Vec<Suspect> {
        self.of.remove(&piece).unwrap_or_default()
    }
}
