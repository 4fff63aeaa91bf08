//! What may be signed.

use crate::types::{FineUnits, TokenUnits};

use super::voucher::Vault;

/// What the embedder allows a payer to do. Comes from the page's or operator's configuration only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayerConfig {
    /// Vault and chain; a peer on another one is plain BitTorrent.
    pub vault: Vault,
    /// Most that may be paid for a block.
    pub ceiling: FineUnits,
    /// Most that may ever be revealed, all earlier runs on this account included: to allow `x` more,
    /// set `totals().spent + x`. A hard cap.
    pub budget: TokenUnits,
    /// Serials in the first range of a payee that never filled one.
    pub unknown_count: u16,
    /// Serials in a range of a payee that did.
    pub max_count: u16,
    /// v1: pieces per title that may be lost to bad data.
    pub loss_budget_pieces: u32,
}

impl PayerConfig {
    /// The defaults of payments.md: nothing may be paid until `ceiling` and `budget` are set.
    pub fn new(vault: Vault) -> Self {
        PayerConfig {
            vault,
            ceiling: FineUnits(0),
            budget: TokenUnits(0),
            unknown_count: 1,
            max_count: 4,
            loss_budget_pieces: 4,
        }
    }
}
