//! What peers sent of pieces that failed with several senders: kept until a right copy tells who lied, or its sender brings the whole
//! piece (docs/decisions/045-a-failed-piece-comes-whole-by-turns.md).

use core::cmp::Reverse;

use bytes::Bytes;

use super::Content;
use crate::sorted::Set;
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, PieceIndex};

/// Pieces whose wrong bytes are kept until a whole copy tells who sent them,
const MAX_PIECES: u64 = 8;
/// and bytes of one copy of each of them; but always one piece.
const MAX_BYTES: u64 = 64 << 20;
/// Of each of these pieces so many times its blocks are kept, and besides what was paid for in advance, which the loss budget bounds.
const MAX_COPIES: usize = 2;

/// A block of a piece that failed, to be compared with a right copy, or to be a part of one from the same peer.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) from: ConnectionId,
    pub(super) block: BlockRef,
    pub(super) data: Bytes,
    /// It was paid for in advance.
    pub(super) advanced: bool,
}

impl Content {
    /// Remembers who sent what of a piece that failed. Answers what has no room beside it.
    pub(super) fn suspect(&mut self, piece: PieceIndex, sent: Vec<Suspect>) -> Vec<Suspect> {
        let length = u64::from(self.geometry.piece_len(piece).unwrap_or(1).max(1));
        let most = (MAX_BYTES / length).clamp(1, MAX_PIECES) as usize;
        let mut forgotten = Vec::new();
        while self.suspects.len() >= most && !self.suspects.contains_key(&piece) {
            let paid = |all: &[Suspect]| all.iter().filter(|s| s.advanced).count();
            let others = self.suspects.iter();
            // What a reader needs comes first, and then the first ones.
            let other = others.min_by_key(|(other, all)| {
                (paid(all), self.picker.is_due(other.0), Reverse(**other))
            });
            let Some(other) = other.map(|(other, _)| *other) else {
                break;
            };
            forgotten.extend(self.suspects.remove(&other).unwrap_or_default());
        }
        for gone in &forgotten {
            self.picker.forget_block(gone.from, gone.block);
        }
        let again: Set<(ConnectionId, BlockRef)> = sent.iter().map(|s| (s.from, s.block)).collect();
        let all = self.suspects.entry(piece).or_default();
        // What came late, before this was given up, belongs to it.
        forgotten.extend(take(all, |s| again.contains(&(s.from, s.block))));
        all.extend(sent);
        self.throw_out(piece);
        forgotten
    }

    /// Keeps a block that came when its sender's turn was over, with what that brought in it.
    pub(super) fn keep_late(&mut self, suspect: Suspect) {
        let piece = suspect.block.piece;
        match self.suspects.get_mut(&piece) {
            Some(all) => all.push(suspect),
            None => self.picker.forget_block(suspect.from, suspect.block),
        }
        self.throw_out(piece);
    }

    /// Keeps no more of a piece than it may, of what was not paid for in advance.
    fn throw_out(&mut self, piece: PieceIndex) {
        let blocks = self.geometry.blocks_in(piece).unwrap_or(0) as usize;
        let Some(all) = self.suspects.get_mut(&piece) else {
            return;
        };
        let unpaid = all.iter().filter(|s| !s.advanced).count();
        let mut too_many = unpaid.saturating_sub(MAX_COPIES * blocks);
        while too_many > 0 {
            let rest = all.iter().filter(|s| !s.advanced);
            let rest: Set<ConnectionId> = rest.map(|s| s.from).collect();
            // First what nobody goes on with, the longest of it, and of the rest what would be complete last.
            let last = rest.into_iter().min_by_key(|conn| {
                let left = self.picker.turns_left(piece, *conn);
                let missed = self.picker.missed(piece, *conn);
                (left.map(Reverse), Reverse(missed), Reverse(*conn))
            });
            let gone = take(all, |s| !s.advanced && Some(s.from) == last);
            for suspect in &gone {
                self.picker.forget_block(suspect.from, suspect.block);
            }
            too_many = too_many.saturating_sub(gone.len());
        }
    }

    /// A peer goes on with what it brought of a piece that failed.
    pub(super) fn resume(&mut self, piece: PieceIndex, conn: ConnectionId) {
        let own = self.suspects.get_mut(&piece);
        let own = own.map(|all| take(all, |s| s.from == conn));
        for suspect in own.unwrap_or_default() {
            let number = (suspect.block.begin / BLOCK_LEN) as usize;
            self.store.add(suspect.block, suspect.data, conn);
            let partial = self.store.partial_mut(piece);
            let held = partial.and_then(|p| p.blocks.get_mut(number)?.as_mut());
            if let Some(held) = held {
                held.advanced = suspect.advanced;
            }
        }
        let blocks = self.store.partial(piece).map(|p| p.blocks.as_slice());
        let held = |index| blocks.is_some_and(|b| matches!(b.get(index), Some(Some(_))));
        self.picker.keep_only(piece, held);
    }
}

/// Takes some out.
fn take(all: &mut Vec<Suspect>, is_one: impl Fn(&Suspect) -> bool) -> Vec<Suspect> {
    let (taken, rest) = core::mem::take(all).into_iter().partition(is_one);
    *all = rest;
    taken
}
