//! The payer's state machine.

use alloy_primitives::{Address, B256};
use bytes::Bytes;

use super::policy::PayerConfig;
use super::voucher::Signature;
use super::{
    ChainState, ChainUnreadable, EndReason, NotSigned, PayAction, PayEffect, PeerPayInfo, Refusal,
};
use crate::time::Timestamp;
use crate::types::{BlockRef, ConnectionId, FineUnits, TokenUnits};
use crate::verify::Payable;
use crate::wire::pay::PayMessage;

/// The account that pays: what the wallet opened, and the chain's last word on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    /// The wallet that deposited.
    pub owner: Address,
    /// Address of the session key.
    pub session_key: Address,
    /// Worth of one serial, `q`.
    pub tranche: TokenUnits,
    /// Deposit left.
    pub balance: TokenUnits,
    /// Collateral.
    pub bond: TokenUnits,
    /// Serials consumed.
    pub consumed: u64,
    /// Seconds since the epoch; 0: not exiting.
    pub exit_at: u64,
}

/// How things stand with one seller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayerConnState {
    /// The remote does not sell to us: plain BitTorrent.
    NoDeal,
    /// It sells, but no TERMS came yet.
    AwaitingTerms,
    /// A quote is there; nothing is committed. Why not, if something but the caller's wish is missing.
    Quoted(Option<Refusal>),
    /// A first range is being stored, signed or waits for its ACK.
    Opening,
    /// Blocks can be bought.
    Attached,
    /// Buying from this connection ended for good.
    Ended(EndReason),
}

/// Sums over the account, all runs included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayerTotals {
    /// Revealed to payees.
    pub spent: FineUnits,
    /// What payees could redeem or did: the sum of each range's floor.
    pub spent_floor: TokenUnits,
    /// Worth of serials bound to payees' open ranges and not revealed.
    pub committed: FineUnits,
    /// Worth of covered serials not assigned to anybody.
    pub free: TokenUnits,
    /// Budget not spent.
    pub budget_left: FineUnits,
    /// Blocks received and not paid yet, all connections.
    pub unpaid_blocks: u64,
    /// Vouchers sent in this run.
    pub vouchers_signed: u64,
    /// Chain steps revealed in this run.
    pub preimages_released: u64,
}

/// The payer.
#[derive(Debug)]
pub struct Payer {}

#[allow(unused_variables, missing_docs)]
impl Payer {
    pub fn new(
        config: PayerConfig,
        rng_seed: [u8; 32],
        records: impl Iterator<Item = (String, Bytes)>,
    ) -> Self {
        Payer {}
    }
    pub fn set_account(&mut self, now: Timestamp, account: AccountInfo) {}
    pub fn set_budget(&mut self, now: Timestamp, budget: TokenUnits) {}
    pub fn set_ceiling(&mut self, now: Timestamp, ceiling: FineUnits) {}
    pub fn connected(&mut self, now: Timestamp, conn: ConnectionId, info: PeerPayInfo) {}
    pub fn disconnected(&mut self, now: Timestamp, conn: ConnectionId) {}
    pub fn message(&mut self, now: Timestamp, conn: ConnectionId, message: PayMessage) {}
    /// `metadata`: `None` while the metadata is incomplete, else `Some(v1_piece_blocks)`.
    pub fn want(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        metadata: Option<Option<u32>>,
        wanted: bool,
    ) {
    }
    pub fn request_sent(&mut self, conn: ConnectionId) {}
    pub fn request_ended_without_block(&mut self, conn: ConnectionId) {}
    pub fn block_received(&mut self, conn: ConnectionId, block: BlockRef) {}
    pub fn payable(&mut self, now: Timestamp, conn: ConnectionId, payable: Payable) {}
    pub fn block_invalid(&mut self, now: Timestamp, conn: ConnectionId, blocks: &[BlockRef]) {}
    pub fn stored(&mut self, now: Timestamp, effect: PayEffect, ok: bool) {}
    pub fn signed(
        &mut self,
        now: Timestamp,
        effect: PayEffect,
        result: Result<Signature, NotSigned>,
    ) {
    }
    pub fn chain_state(
        &mut self,
        now: Timestamp,
        effect: PayEffect,
        result: Result<ChainState, ChainUnreadable>,
    ) {
    }
    pub fn end_of_batch(&mut self, now: Timestamp) {}
    pub fn tick(&mut self, now: Timestamp) {}
    pub fn stop(&mut self, now: Timestamp, conn: ConnectionId) {}
    pub fn close(&mut self, now: Timestamp) {}
    pub fn poll(&mut self) -> Option<PayAction> {
        None
    }
    pub fn next_timeout(&self) -> Timestamp {
        Timestamp::NEVER
    }
    pub fn may_request(&self, conn: ConnectionId) -> u32 {
        0
    }
    pub fn status(&self, conn: ConnectionId) -> PayerConnState {
        PayerConnState::NoDeal
    }
    pub fn price(&self, conn: ConnectionId) -> Option<FineUnits> {
        None
    }
    /// Blocks of the oldest incomplete v1 piece to advance.
    pub fn needs_advance(&self, conn: ConnectionId) -> Option<u32> {
        None
    }
    pub fn totals(&self) -> PayerTotals {
        PayerTotals::default()
    }
    /// Blocks and fine units paid on this connection.
    pub fn paid_on(&self, conn: ConnectionId) -> (u64, FineUnits) {
        (0, FineUnits(0))
    }
    pub fn account_id(&self) -> Option<B256> {
        None
    }
}
