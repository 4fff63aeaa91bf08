//! How much is kept of pieces that failed with several senders
//! (docs/decisions/045-a-failed-piece-comes-whole-by-turns.md).

use core::cmp::Reverse;

use super::Content;
use crate::pieces::Suspect;
use crate::sorted::Set;
use crate::types::{ConnectionId, PieceIndex};

/// Pieces whose wrong bytes are kept until a whole copy tells who sent them,
const MAX_PIECES: u64 = 8;
/// and bytes of one copy of each of them; but always one piece.
const MAX_BYTES: u64 = 64 << 20;
/// Of each of these pieces so many times its blocks are kept, and besides what was paid for in advance, which the loss
/// budget bounds.
const MAX_COPIES: usize = 2;

impl Content {
    /// Something was kept of a piece that failed: throws out what has no room beside it, of this piece what was not
    /// paid for in advance.
    pub(super) fn throw_out(&mut self, piece: PieceIndex) {
        self.throw_out_pieces(piece);
        self.throw_out_blocks(piece);
    }

    fn throw_out_pieces(&mut self, newest: PieceIndex) {
        // By the length of all but the last piece: then nothing but a new piece takes another's place.
        let length = u64::from(self.pieces.geometry().piece_length());
        let most = (MAX_BYTES / length).clamp(1, MAX_PIECES) as usize;
        while self.pieces.suspects().pieces().len() > most {
            let paid = |all: &[Suspect]| all.iter().filter(|s| s.advanced).count();
            let others = self.pieces.suspects().pieces();
            // What a reader needs comes first, and then the first ones.
            let other = others
                .filter(|(other, _)| *other != newest)
                .min_by_key(|(other, all)| {
                    (paid(all), self.picker.is_due(*other), Reverse(*other))
                });
            let Some((other, _)) = other else {
                break;
            };
            let forgotten = self.pieces.suspects_mut().close(other);
            self.pieces.forget(forgotten);
        }
    }

    fn throw_out_blocks(&mut self, piece: PieceIndex) {
        let blocks = self.pieces.geometry().blocks_in(piece).unwrap_or(0) as usize;
        let unpaid = |all: &[Suspect]| all.iter().filter(|s| !s.advanced).count();
        while unpaid(self.pieces.suspects().of(piece)) > MAX_COPIES * blocks {
            let rest = (self.pieces.suspects().of(piece).iter()).filter(|s| !s.advanced);
            let rest: Set<ConnectionId> = rest.map(|s| s.from).collect();
            // First what nobody goes on with, the longest of it, and of the rest what would be complete last.
            let last = rest.into_iter().min_by_key(|conn| {
                let left = self.picker.turns_left(&self.pieces, piece, *conn);
                let missed = self.picker.missed(piece, *conn);
                (left.map(Reverse), Reverse(missed), Reverse(*conn))
            });
            let suspects = self.pieces.suspects_mut();
            suspects.take(piece, |s| !s.advanced && Some(s.from) == last);
        }
    }
}
