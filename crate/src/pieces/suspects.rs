//! Blocks of pieces that failed with several senders. Each is kept until a right copy shows the liar, or until its
//! sender brings the rest of the piece itself (docs/decisions/045-a-failed-piece-comes-whole-by-turns.md).
//!
//! Invariant: of each block at most one copy is kept from each peer.

use bytes::Bytes;

use crate::sorted::{Map, Set};
use crate::types::{BlockRef, ConnectionId, PieceIndex};

/// A block of a failed piece. It is compared with a right copy, or becomes a part of one from the same peer.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// Its sender.
    pub from: ConnectionId,
    /// The place that its sender named for it.
    pub block: BlockRef,
    /// Its bytes.
    pub data: Bytes,
    /// The buyer paid for it in advance.
    pub advanced: bool,
}

/// The suspects of all failed pieces. The torrent bounds their number: see `torrent::suspects`.
#[derive(Debug, Default)]
pub struct Suspects {
    of: Map<PieceIndex, Vec<Suspect>>,
}

impl Suspects {
    /// The pieces that are open for suspects, with their suspects.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = (PieceIndex, &[Suspect])> {
        self.of.iter().map(|(piece, all)| (*piece, all.as_slice()))
    }

    /// The suspects of a piece.
    pub fn of(&self, piece: PieceIndex) -> &[Suspect] {
        self.of.get(&piece).map_or(&[], Vec::as_slice)
    }

    /// All suspects, so that the torrent can mark those that were paid for in advance.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Suspect> {
        self.of.values_mut().flatten()
    }

    /// The number of blocks of a piece that are kept from one peer.
    pub fn count(&self, piece: PieceIndex, conn: ConnectionId) -> u32 {
        self.of(piece).iter().filter(|s| s.from == conn).count() as u32
    }

    /// Whether a copy of a block from this peer is kept.
    pub fn has(&self, block: BlockRef, conn: ConnectionId) -> bool {
        let is_one = |s: &Suspect| (s.from, s.block) == (conn, block);
        self.of(block.piece).iter().any(is_one)
    }

    /// Opens a piece: from now on it may have suspects.
    pub(super) fn open(&mut self, piece: PieceIndex) {
        self.of.entry(piece).or_default();
    }

    /// Keeps blocks of an open piece, in place of the copies that the same peers sent before. Answers those copies. Of
    /// a piece that is not open it keeps nothing.
    pub(super) fn keep(&mut self, piece: PieceIndex, sent: Vec<Suspect>) -> Vec<Suspect> {
        if !self.of.contains_key(&piece) {
            return Vec::new();
        }
        let again: Set<(ConnectionId, BlockRef)> = sent.iter().map(|s| (s.from, s.block)).collect();
        let before = self.take(piece, |s| again.contains(&(s.from, s.block)));
        self.of.entry(piece).or_default().extend(sent);
        before
    }

    /// Takes out some suspects of a piece.
    pub fn take(&mut self, piece: PieceIndex, is_one: impl Fn(&Suspect) -> bool) -> Vec<Suspect> {
        let Some(all) = self.of.get_mut(&piece) else {
            return Vec::new();
        };
        let (taken, rest) = core::mem::take(all).into_iter().partition(is_one);
        *all = rest;
        taken
    }

    /// Takes out all suspects of a piece, and closes it.
    pub fn close(&mut self, piece: PieceIndex) -> Vec<Suspect> {
        self.of.remove(&piece).unwrap_or_default()
    }
}
