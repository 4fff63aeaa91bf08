//! The payee's state machine.

use alloy_primitives::{Address, B256};
use bytes::Bytes;

use super::voucher::{Vault, abi};
use super::{ChainState, ChainUnreadable, PayAction, PayEffect, PeerPayInfo};
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, FineUnits, TokenUnits};
use crate::wire::pay::PayMessage;

/// What a seller asks for and accepts. Comes from the operator's or page's configuration only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayeeConfig {
    /// Vault and chain; a peer on another one is plain BitTorrent.
    pub vault: Vault,
    /// Who is paid.
    pub payee: Address,
    /// Price per block; zero: does not sell.
    pub unit: FineUnits,
    /// Registry id sent in quotes; zero when none was configured.
    pub content: B256,
    /// Least worth of a range.
    pub min_range: FineUnits,
    /// Longest chain accepted (1 to 256).
    pub max_steps: u16,
    /// Credit at first, blocks.
    pub credit0: u16,
    /// Credit at most, blocks.
    pub credit_max: u16,
    /// Paid blocks per further block of credit; 0: no growth.
    pub ramp: u8,
    /// Least bond in percent of the balance.
    pub min_bond_percent: u16,
    /// How long a quote is valid for the first COMMIT of a range, seconds.
    pub ttl_secs: u16,
    /// Unredeemed ranges of one account that are held before a full one must be redeemed.
    pub max_ranges: u16,
    /// Automatic redemption takes no less than this from one account (the dust rule).
    pub dust: TokenUnits,
    /// How long a range without a connection waits before automatic redemption takes it.
    pub redeem_idle: Duration,
}

impl PayeeConfig {
    /// The defaults of payments.md; sells nothing until `unit` is set.
    pub fn new(vault: Vault, payee: Address) -> Self {
        PayeeConfig {
            vault,
            payee,
            unit: FineUnits(0),
            content: B256::ZERO,
            min_range: FineUnits(0),
            max_steps: 256,
            credit0: 4,
            credit_max: 128,
            ramp: 4,
            min_bond_percent: 125,
            ttl_secs: 600,
            max_ranges: 2,
            dust: TokenUnits(10_000),
            redeem_idle: Duration::from_secs(600),
        }
    }
}

/// Which ranges to redeem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedeemScope {
    /// Everything, on an explicit command.
    All,
    /// Full ranges, ranges long without a connection, and accounts that are exiting, above dust.
    Due,
}

/// Names a range of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeId {
    /// The account.
    pub account: B256,
    /// Its first serial.
    pub first: u32,
}

/// A range that is closed durably and can be claimed.
#[derive(Clone, Debug)]
pub struct ReadyClaim {
    /// Which range.
    pub id: RangeId,
    /// What to put into `redeem` or `redeemFor` (at most [`super::voucher::MAX_CLAIMS`] in a call).
    pub claim: abi::Claim,
    /// What the vault pays for it.
    pub due: TokenUnits,
}

/// What became of one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The vault paid (gross, before a registry's cut).
    Paid(TokenUnits),
    /// The vault skipped it, for this reason (event `Skipped`).
    Skipped(u8),
    /// The transaction failed or never confirmed: the claim is ready again.
    Failed,
}

/// Sums over all accounts, all runs included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayeeTotals {
    /// Fine units received in unredeemed ranges.
    pub earned: FineUnits,
    /// What can be redeemed: the sum of each range's floor.
    pub redeemable: TokenUnits,
    /// `earned` less `redeemable`: rests below one token unit per range.
    pub rests: FineUnits,
    /// How many ranges that is.
    pub ranges: u32,
    /// What was redeemed.
    pub redeemed: TokenUnits,
    /// Blocks sent and not paid on live connections.
    pub unpaid_blocks: u64,
    /// Blocks whose payer left.
    pub lost_blocks: u64,
    /// Steps received but not durable yet.
    pub undurable_steps: u64,
    /// Blocks paid, all runs.
    pub paid_blocks: u64,
}

/// The payee.
#[derive(Debug)]
pub struct Payee {}

#[allow(unused_variables, missing_docs)]
impl Payee {
    pub fn new(
        now: Timestamp,
        config: PayeeConfig,
        rng_seed: [u8; 32],
        records: impl Iterator<Item = (String, Bytes)>,
    ) -> Self {
        Payee {}
    }
    pub fn set_price(&mut self, now: Timestamp, conn: ConnectionId, unit: FineUnits) {}
    pub fn connected(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        info: PeerPayInfo,
        unit: FineUnits,
    ) {
    }
    pub fn disconnected(&mut self, now: Timestamp, conn: ConnectionId) {}
    pub fn message(&mut self, now: Timestamp, conn: ConnectionId, message: PayMessage) {}
    /// A `piece` message was written to this connection.
    pub fn block_written(&mut self, now: Timestamp, conn: ConnectionId) {}
    pub fn stored(&mut self, now: Timestamp, effect: PayEffect, ok: bool) {}
    pub fn chain_state(
        &mut self,
        now: Timestamp,
        effect: PayEffect,
        result: Result<ChainState, ChainUnreadable>,
    ) {
    }
    pub fn end_of_batch(&mut self, now: Timestamp) {}
    pub fn tick(&mut self, now: Timestamp) {}
    /// Closes ranges durably; `PayEvent::ClaimsReady` follows.
    pub fn prepare_redeem(&mut self, now: Timestamp, scope: RedeemScope) {}
    pub fn claims(&self) -> Vec<ReadyClaim> {
        Vec::new()
    }
    pub fn redeemed(&mut self, now: Timestamp, outcomes: &[(RangeId, ClaimOutcome)]) {}
    pub fn close(&mut self, now: Timestamp) {}
    pub fn poll(&mut self) -> Option<PayAction> {
        None
    }
    pub fn next_timeout(&self) -> Timestamp {
        Timestamp::NEVER
    }
    /// Whether one more `piece` message may be written to this paying connection.
    pub fn may_send(&self, conn: ConnectionId) -> bool {
        false
    }
    /// Whether a range is attached: the connection uses no free upload slot.
    pub fn is_paying(&self, conn: ConnectionId) -> bool {
        false
    }
    pub fn totals(&self) -> PayeeTotals {
        PayeeTotals::default()
    }
}
