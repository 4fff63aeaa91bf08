//! Blocks of sellers that came twice: a seller that was asked is paid for a right copy, too.
//!
//! A copy of a stored block is compared with it at once. A copy of a block that is not stored yet is kept until then.

use bytes::Bytes;

use super::{Content, Context, Purpose, Torrent};
use crate::io::StorageOp;
use crate::types::{BlockRef, ConnectionId, InfoHash, PieceIndex};
use crate::verify::Payable;

/// So many are kept, 4 MiB of them; the oldest give way.
const MAX_COPIES: usize = 256;

/// A block that came twice.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) from: ConnectionId,
    pub(super) block: BlockRef,
    pub(super) data: Bytes,
}

/// Blocks that came twice, of pieces that are not verified and stored yet.
#[derive(Debug, Default)]
pub(super) struct Copies(Vec<Copy>);

impl Copies {
    /// Keeps what came twice. Of one block it keeps one copy from each peer: a seller that is asked for it again and
    /// again is paid for the one that is stored and for one more. What is not kept stays charged, as the seller counts
    /// it.
    fn keep(&mut self, copy: Copy) {
        let is_same = |kept: &Copy| (kept.from, kept.block) == (copy.from, copy.block);
        if self.0.iter().any(is_same) {
            return;
        }
        if self.0.len() >= MAX_COPIES {
            self.0.remove(0);
        }
        self.0.push(copy);
    }

    /// What came twice of a piece is to be judged.
    fn take(&mut self, piece: PieceIndex) -> Vec<Copy> {
        let copies = core::mem::take(&mut self.0).into_iter();
        let (taken, rest) = copies.partition(|copy| copy.block.piece == piece);
        self.0 = rest;
        taken
    }
}

impl Content {
    /// A seller sent a block that is here already.
    pub(super) fn came_twice(&mut self, info_hash: InfoHash, ctx: &mut Context, copy: Copy) {
        if self.pieces.verified().block(copy.block).is_some() {
            self.compare(info_hash, ctx, copy);
        } else {
            self.copies.keep(copy);
        }
    }

    /// A piece is in the files: its copies are judged.
    pub(super) fn judge_copies(
        &mut self,
        info_hash: InfoHash,
        ctx: &mut Context,
        piece: PieceIndex,
    ) {
        for copy in self.copies.take(piece) {
            self.compare(info_hash, ctx, copy);
        }
    }

    /// Reads what is stored where a copy of it came.
    fn compare(&self, info_hash: InfoHash, ctx: &mut Context, copy: Copy) {
        let Copy { from, block, data } = copy;
        let spans = (self.pieces.geometry().block_offset(block))
            .map(|at| self.meta.spans(at, u64::from(block.length)).collect())
            .unwrap_or_default();
        ctx.out.storage(
            info_hash,
            Purpose::CompareBlock(from, block, data),
            StorageOp::Read { spans },
        );
    }
}

impl Torrent {
    /// What is stored came back, to be compared with a late block.
    pub(super) fn block_compared(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        block: BlockRef,
        late: &Bytes,
        stored: &Bytes,
    ) {
        let content = self.content.as_ref();
        let proof = content.and_then(|c| c.pieces.verified().block(block));
        match proof {
            Some(proof) if late == stored => {
                ctx.money.payable(ctx.now, conn, Payable::Verified(proof));
            }
            Some(_) => ctx.money.blocks_invalid(ctx.now, conn, &[block]),
            // The piece was lost meanwhile: nothing shows who is right, so nobody is to blame.
            None => ctx.money.thrown_away(ctx.now, conn, block),
        }
    }
}
