//! The only maker of proof that bytes are right for their torrent.
//!
//! Everything that serves data, hands it to a player or releases money takes one of the types of this module, and no
//! other module can make them. [`VerifiedPiece`] and [`VerifiedBlock`] prove that a hash matched. [`AdvanceBlock`]
//! allows a payment for an unverified block of a v1 torrent: it is durable and within the one piece that its sender may
//! be advanced (docs/protocol.md, "Advances in v1 torrents"), or its piece was wrong and its sender, who may be honest,
//! waits for money.

use crate::bitfield::Bitfield;
use crate::metainfo::Geometry;
use crate::sorted::Map;
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, PieceIndex};

/// A piece whose SHA-1 matched (BEP 3 `pieces`).
#[derive(Debug, PartialEq, Eq)]
pub struct VerifiedPiece {
    piece: PieceIndex,
    length: u32,
}

/// A block of a piece whose hash matched: may be served, read by a player, and paid for.
#[derive(Debug, PartialEq, Eq)]
pub struct VerifiedBlock {
    block: BlockRef,
}

/// An unverified block that may be paid for in advance: a durable one of a begun piece, or a suspect.
#[derive(Debug, PartialEq, Eq)]
pub struct AdvanceBlock {
    block: BlockRef,
    suspect: bool,
}

/// The proofs that money may be released for.
#[derive(Debug, PartialEq, Eq)]
pub enum Payable {
    /// Its hash matched.
    Verified(VerifiedBlock),
    /// Its sender is advanced; booked against the title's loss budget until its piece verifies.
    Advance(AdvanceBlock),
}

/// The piece's bytes do not match its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("piece {} does not match its hash", .0.0)]
pub struct Corrupt(pub PieceIndex);

/// The reason why a block is not advanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdvanceRefused {
    /// The sender already holds an advance over another unverified piece.
    #[error("another piece of this sender is advanced and not verified yet")]
    OtherPieceOpen,
    /// The block could be lost by a crash, and then would be paid twice.
    #[error("the block is not durable yet")]
    NotDurable,
}

impl VerifiedPiece {
    /// The piece.
    pub fn piece(&self) -> PieceIndex {
        self.piece
    }

    /// Bytes of the piece; the last one of a torrent may have fewer than the others.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// One of its blocks; `None` if `begin` is no block's first byte.
    pub fn block(&self, begin: u32) -> Option<VerifiedBlock> {
        if begin >= self.length || !begin.is_multiple_of(BLOCK_LEN) {
            return None;
        }
        let length = BLOCK_LEN.min(self.length - begin);
        Some(VerifiedBlock {
            block: BlockRef {
                piece: self.piece,
                begin,
                length,
            },
        })
    }
}

impl VerifiedBlock {
    /// Where it lies.
    pub fn block(&self) -> BlockRef {
        self.block
    }
}

impl AdvanceBlock {
    /// Where it lies.
    pub fn block(&self) -> BlockRef {
        self.block
    }

    /// It is of a piece whose hash was wrong and that has several senders.
    pub fn is_suspect(&self) -> bool {
        self.suspect
    }
}

impl Payable {
    /// Where the block lies.
    pub fn block(&self) -> BlockRef {
        match self {
            Payable::Verified(v) => v.block,
            Payable::Advance(a) => a.block,
        }
    }
}

/// The pieces of one torrent that are verified and in storage, readable and servable.
#[derive(Debug, Clone)]
pub struct VerifiedPieces {
    geometry: Geometry,
    bits: Bitfield,
    bytes: u64,
}

impl VerifiedPieces {
    /// None of them, of a torrent of this size.
    pub fn none(geometry: Geometry) -> Self {
        VerifiedPieces {
            geometry,
            bits: Bitfield::empty(geometry.piece_count()),
            bytes: 0,
        }
    }

    /// Compares a digest with the torrent's and answers the proof.
    pub fn check(
        &self,
        piece: PieceIndex,
        expected: &[u8; 20],
        digest: &[u8; 20],
    ) -> Result<VerifiedPiece, Corrupt> {
        if piece.0 < self.bits.len() && expected == digest {
            Ok(VerifiedPiece {
                piece,
                length: self.length_of(piece),
            })
        } else {
            Err(Corrupt(piece))
        }
    }

    /// The piece is in storage now.
    pub fn insert(&mut self, piece: VerifiedPiece) {
        if self.bits.insert(piece.piece.0) {
            self.bytes += u64::from(piece.length);
        }
    }

    /// Believes a have-record: it was written only after these pieces were verified and durable.
    pub fn restore(&mut self, record: &Bitfield) {
        for piece in record.iter() {
            let piece = PieceIndex(piece);
            if piece.0 < self.bits.len() {
                self.insert(VerifiedPiece {
                    piece,
                    length: self.length_of(piece),
                });
            }
        }
    }

    /// The piece's data is gone or was found to be wrong.
    pub fn remove(&mut self, piece: PieceIndex) {
        if self.contains(piece) {
            self.bits.remove(piece.0);
            self.bytes -= u64::from(self.length_of(piece));
        }
    }

    /// The piece may be read and served.
    pub fn contains(&self, piece: PieceIndex) -> bool {
        piece.0 < self.bits.len() && self.bits.contains(piece.0)
    }

    /// Proof for any run of bytes within one piece that is in storage; `None` otherwise.
    pub fn block(&self, block: BlockRef) -> Option<VerifiedBlock> {
        let end = block.begin.checked_add(block.length)?;
        let ok =
            block.length > 0 && self.contains(block.piece) && end <= self.length_of(block.piece);
        ok.then_some(VerifiedBlock { block })
    }

    /// One bit for each piece of the torrent, set if the piece is verified.
    pub fn bits(&self) -> &Bitfield {
        &self.bits
    }

    /// Sum of the lengths of all verified pieces, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Every piece of the torrent is verified.
    pub fn is_complete(&self) -> bool {
        self.bits.is_full()
    }

    fn length_of(&self, piece: PieceIndex) -> u32 {
        self.geometry.piece_len(piece).unwrap_or(0)
    }
}

/// The piece that each seller of a torrent is advanced over: at most one at a time. A connection counts, not the payee
/// that it names: anybody can name an honest seller's, and would keep its advance open.
#[derive(Debug, Default)]
pub struct Advances {
    open: Map<ConnectionId, PieceIndex>,
}

impl Advances {
    /// Allows a block to be paid for before its piece verifies.
    pub fn advance(
        &mut self,
        conn: ConnectionId,
        block: BlockRef,
        durable: bool,
    ) -> Result<AdvanceBlock, AdvanceRefused> {
        if !durable {
            return Err(AdvanceRefused::NotDurable);
        }
        match self.open.get(&conn) {
            Some(piece) if *piece != block.piece => Err(AdvanceRefused::OtherPieceOpen),
            _ => {
                self.open.insert(conn, block.piece);
                let suspect = false;
                Ok(AdvanceBlock { block, suspect })
            }
        }
    }

    /// Nothing may be advanced over this piece before another is judged.
    pub fn is_closed_for(&self, conn: ConnectionId, piece: PieceIndex) -> bool {
        self.open.get(&conn).is_some_and(|open| *open != piece)
    }

    /// Allows a payment for a block whose piece was wrong, while nobody knows yet which of its senders lied. The honest
    /// one gives no further credit before it is paid, and may be the only one that can send the whole piece.
    pub fn suspect(block: BlockRef) -> AdvanceBlock {
        let suspect = true;
        AdvanceBlock { block, suspect }
    }

    /// The piece verified or was given up: its senders may be advanced over another.
    pub fn settle(&mut self, piece: PieceIndex) {
        self.open.retain(|_, open| *open != piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_matching_hash_makes_a_piece_servable() {
        let mut pieces = VerifiedPieces::none(Geometry::new(40_000, 32_768).expect("sizes"));
        let block = BlockRef {
            piece: PieceIndex(1),
            begin: 0,
            length: 100,
        };
        assert!(pieces.check(PieceIndex(1), &[1; 20], &[2; 20]).is_err());
        assert!(pieces.block(block).is_none());
        let proof = pieces
            .check(PieceIndex(1), &[1; 20], &[1; 20])
            .expect("equal digests");
        assert_eq!(proof.length(), 40_000 - 32_768);
        pieces.insert(proof);
        assert!(pieces.block(block).is_some());
        assert_eq!(pieces.bytes(), 7_232);
        let beyond = BlockRef {
            begin: 7_200,
            ..block
        };
        assert!(pieces.block(beyond).is_none());
        assert!(pieces.check(PieceIndex(2), &[1; 20], &[1; 20]).is_err());
    }

    #[test]
    fn a_seller_is_advanced_over_one_unverified_piece_at_most() {
        let conn = ConnectionId(1);
        let mut advances = Advances::default();
        let block = |piece| BlockRef {
            piece: PieceIndex(piece),
            begin: 0,
            length: BLOCK_LEN,
        };
        assert_eq!(
            advances.advance(conn, block(3), false),
            Err(AdvanceRefused::NotDurable)
        );
        assert!(advances.advance(conn, block(3), true).is_ok());
        assert_eq!(
            advances.advance(conn, block(4), true),
            Err(AdvanceRefused::OtherPieceOpen)
        );
        assert!(
            advances.advance(ConnectionId(2), block(4), true).is_ok(),
            "another is another, whatever payee both name"
        );
        advances.settle(PieceIndex(3));
        assert!(advances.advance(conn, block(4), true).is_ok());
    }
}
