//! The peers that may be asked for the blocks of a begun piece.
//!
//! Invariant: a piece with a paid source is asked of that source alone (docs/protocol.md, "Advances in v1 torrents"),
//! so no block is ever out to two paid peers.

use super::PATIENCE;
use crate::pieces::{Block, MAX_COPIES, Partial, PieceOwner, Pieces};
use crate::time::Timestamp;
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, PieceIndex};

impl Partial {
    /// Whether `conn` may be asked for a missing block of this piece.
    pub(super) fn admits(&self, conn: ConnectionId, free: bool, now: Timestamp) -> bool {
        let idle = self.requested() == 0;
        let delivery = self.delivery();
        match delivery.owner {
            PieceOwner::Shared => free || idle,
            PieceOwner::Sole(owner) if owner == conn => true,
            PieceOwner::Sole(_) => {
                idle && !delivery.whole && now.since(delivery.touched) >= PATIENCE
            }
            PieceOwner::Vacant => idle,
        }
    }

    /// Whether it is one peer's turn to bring the piece whole.
    pub(super) fn has_turn(&self) -> bool {
        let delivery = self.delivery();
        delivery.whole && matches!(delivery.owner, PieceOwner::Sole(_))
    }

    /// Whether the piece is to come whole from another peer than `conn`, and that one does nothing any more.
    pub(super) fn abandoned_whole(&self, conn: ConnectionId, now: Timestamp) -> bool {
        let delivery = self.delivery();
        delivery.whole
            && self.requested() == 0
            && self.missing() > 0
            && matches!(delivery.owner, PieceOwner::Sole(owner) if owner != conn)
            && now.since(delivery.touched) >= PATIENCE
    }
}

/// The blocks of a piece that one more free peer, `conn`, may be asked for. Each comes with its number, the peer that
/// was asked last, and the time of that request.
pub(super) fn copyable(
    pieces: &Pieces,
    piece: PieceIndex,
    conn: ConnectionId,
    copies: usize,
) -> impl Iterator<Item = (u32, ConnectionId, Timestamp)> + '_ {
    let partial = pieces.partial(piece);
    let shared = partial.filter(|p| p.delivery().owner == PieceOwner::Shared && p.requested() > 0);
    let blocks = shared.map_or(&[][..], Partial::blocks);
    (0..).zip(blocks).filter_map(move |(number, block)| {
        let Block::Requested(by) = block else {
            return None;
        };
        let by = by.all();
        let last = *by.last()?;
        let at = pieces.asked_at(last, pieces.geometry().block(piece, number)?)?;
        let room = by.len() < copies.min(MAX_COPIES) && !by.contains(&conn);
        room.then_some((number, last, at))
    })
}

/// Asks `conn` for the first missing block of a begun piece, which a seller brings alone. The caller checked
/// [`Partial::admits`].
pub(super) fn request_next(
    pieces: &mut Pieces,
    now: Timestamp,
    conn: ConnectionId,
    free: bool,
    piece: PieceIndex,
) -> Option<BlockRef> {
    let block = pieces.request_next(now, conn, piece)?;
    let delivery = pieces.delivery_mut(piece)?;
    let owner = match free && !delivery.whole {
        true => PieceOwner::Shared,
        false => PieceOwner::Sole(conn),
    };
    if delivery.owner != owner {
        delivery.owner = owner;
        delivery.touched = now;
    }
    Some(block)
}

/// The bytes that a peer owes, each block counted whole.
pub(super) fn outstanding_bytes(pieces: &Pieces, conn: ConnectionId) -> u64 {
    pieces.requests(conn).len() as u64 * u64::from(BLOCK_LEN)
}
