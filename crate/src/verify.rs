//! Who may say that bytes are good, and for what money may be released.
//!
//! Owns the only constructors of [`VerifiedBlock`] and [`AdvanceBlock`]; everything that serves,
//! plays or pays takes one of them by value, so an unverified byte cannot get there by mistake.
//! Neither type can be copied: one block is paid once. Never hashes: digests come from the edge.

use crate::types::BlockRef;

/// The digest of a piece is not the one the metainfo names: some block of it is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the piece does not have the hash that the metainfo names")]
pub struct Corrupt;

/// A block whose piece (v1) or leaf (v2) has the expected hash.
#[derive(Debug, PartialEq, Eq)]
pub struct VerifiedBlock {
    block: BlockRef,
}

impl VerifiedBlock {
    /// Which block.
    pub fn block(&self) -> BlockRef {
        self.block
    }
}

/// A block of a v1 piece that is not complete yet, durable in the scratch file, for which the
/// payer may advance one step (payments.md, "v1 torrents").
#[derive(Debug, PartialEq, Eq)]
pub struct AdvanceBlock {
    block: BlockRef,
}

impl AdvanceBlock {
    /// Which block.
    pub fn block(&self) -> BlockRef {
        self.block
    }
}

/// What a chain step may be released for. Both kinds are made in this module only.
#[derive(Debug, PartialEq, Eq)]
pub enum Payable {
    /// Its hash is right.
    Verified(VerifiedBlock),
    /// v1 only: received and durable in scratch, booked against the loss budget.
    Advance(AdvanceBlock),
}

impl Payable {
    /// Which block.
    pub fn block(&self) -> BlockRef {
        match self {
            Payable::Verified(b) => b.block(),
            Payable::Advance(b) => b.block(),
        }
    }
}

/// That a block lies durably in the scratch file: made when the store says so.
#[derive(Debug, PartialEq, Eq)]
pub struct DurableScratch {
    block: BlockRef,
}

impl DurableScratch {
    /// The store reported `block` durable in scratch.
    pub fn stored(block: BlockRef) -> Self {
        DurableScratch { block }
    }
}

/// Judges a whole v1 piece: `digest` is what its bytes hash to, `expected` what the metainfo says.
///
/// # Errors
/// [`Corrupt`] when they differ; no block of the piece is verified then.
pub fn verify_piece(
    expected: &[u8; 20],
    digest: [u8; 20],
    blocks: impl Iterator<Item = BlockRef>,
) -> Result<Vec<VerifiedBlock>, Corrupt> {
    if *expected != digest {
        return Err(Corrupt);
    }
    Ok(blocks.map(|block| VerifiedBlock { block }).collect())
}

/// Allows one step for a block of an incomplete v1 piece that is durable in scratch.
pub fn advance(scratch: DurableScratch) -> AdvanceBlock {
    AdvanceBlock {
        block: scratch.block,
    }
}
