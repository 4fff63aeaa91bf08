//! What a payee remembers of connections, accounts and ranges.

use std::collections::VecDeque;

use alloy_primitives::{Address, B256};

use super::RangeId;
use super::accounts::Watch;
use super::commit::Pending;
use crate::payment::PeerPayInfo;
use crate::payment::ledger::SellerLedger;
use crate::payment::record::{PayeeFactsRecord, PayeeRangeLife, PayeeRangeRecord};
use crate::payment::voucher::{self, Signature, Voucher};
use crate::sorted::Map;
use crate::time::Timestamp;
use crate::types::{ConnectionId, FineUnits, TokenUnits};

/// What an effect was for.
#[derive(Debug)]
pub(super) enum Work {
    Background,
    /// The first record of a range that a connection committed.
    NewRange {
        conn: ConnectionId,
    },
    /// A fold of an attached range.
    Fold {
        id: RangeId,
    },
    /// Best link of a range.
    Links {
        id: RangeId,
        k: u16,
        tag: [u8; 4],
    },
    Close {
        id: RangeId,
        k: u16,
    },
    /// A read a COMMIT waits for.
    CommitRead {
        conn: ConnectionId,
    },
    Read {
        account: B256,
        word: u64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Quote {
    pub(super) id: u32,
    pub(super) unit: FineUnits,
    pub(super) sent: Timestamp,
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) info: PeerPayInfo,
    pub(super) buys: bool,
    /// Price asked here; zero: not selling.
    pub(super) unit: FineUnits,
    /// The last two, newest last.
    pub(super) quotes: VecDeque<Quote>,
    pub(super) account: Option<B256>,
    /// Attached ranges, oldest first.
    pub(super) attached: Vec<u32>,
    /// A replayed COMMIT: no credit until a higher link comes.
    pub(super) tentative: Option<u32>,
    pub(super) pending: Option<Pending>,
    /// Steps paid on this connection since its first attach.
    pub(super) paid: u64,
    /// Range whose ACK is due, by `ack_by` at the latest.
    pub(super) ack: Option<u32>,
    pub(super) ack_by: Timestamp,
    /// The credit that the last ACK named, and what had been paid then.
    pub(super) acked: (u16, u64),
    pub(super) unchoked: bool,
    pub(super) full_since: Option<Timestamp>,
    pub(super) next_new: Timestamp,
    /// Steps paid here since the last new range was taken.
    pub(super) paid_since_new: u64,
    /// A STATE was sent: the fold to it is exempt from the rate.
    pub(super) refold: bool,
    /// Ranges refused as closed or redeemed.
    pub(super) ended_told: usize,
    pub(super) bad_preimages: u8,
    pub(super) evidence_checks: u8,
    /// The remote said that it stops buying.
    pub(super) bye: bool,
    /// This side said that it stops selling.
    pub(super) stopped: bool,
}

impl Conn {
    /// Nothing is charged any more, though links may still come.
    pub(super) fn is_over(&self) -> bool {
        self.bye || self.stopped
    }
}

#[derive(Debug)]
pub(super) struct Account {
    pub(super) session_key: Address,
    pub(super) tranche: TokenUnits,
    pub(super) ledger: SellerLedger,
    pub(super) ranges: Map<u32, Range>,
    /// Time from which its funds may leave, if it is exiting.
    pub(super) exit_at: Option<Timestamp>,
    pub(super) stored_facts: PayeeFactsRecord,
    /// A `RedeemDue` was said since the last redemption.
    pub(super) said_due: bool,
    pub(super) watch: Watch,
}

/// A voucher and its best link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Best {
    pub(super) voucher: Voucher,
    pub(super) signature: Signature,
    pub(super) k: u16,
    pub(super) w: B256,
}

impl Best {
    pub(super) fn new(voucher: Voucher, signature: Signature) -> Self {
        Best {
            voucher,
            signature,
            k: 0,
            w: voucher.root,
        }
    }

    pub(super) fn owed(&self) -> FineUnits {
        self.voucher.owed_at(self.k)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Open,
    /// The record of its closing is being stored.
    Closing,
    /// Closed durably; its claim is ready at this time.
    Ready {
        at: Timestamp,
    },
    /// Handed out: its step is frozen.
    Claimed,
    Redeemed(TokenUnits),
    /// Somebody else, to whom the same serials were promised, redeemed them.
    Lost,
}

#[derive(Debug)]
pub(super) struct Range {
    pub(super) best: Best,
    /// A fold that is not durable yet.
    pub(super) next: Option<Best>,
    pub(super) durable_k: u16,
    pub(super) dirty_since: Option<Timestamp>,
    /// A record of links is being stored.
    pub(super) storing: bool,
    pub(super) life: Life,
    pub(super) conn: Option<ConnectionId>,
    pub(super) idle_since: Timestamp,
    /// Steps since the last COMMIT of it.
    pub(super) paid_since_commit: u64,
    /// The chain did not confirm it lately: no sending on it until its COMMIT comes again.
    pub(super) suspended: bool,
    /// The vault skipped its claim in this run.
    pub(super) skipped: bool,
    /// A transaction with its claim may be on the chain, or get there: then consumed serials may be our own doing.
    pub(super) may_have_left: bool,
    /// The same before its claim was handed out last.
    pub(super) had_left: bool,
}

impl Range {
    pub(super) fn new(best: Best, life: Life, now: Timestamp) -> Self {
        Range {
            durable_k: best.k,
            best,
            next: None,
            dirty_since: None,
            storing: false,
            life,
            conn: None,
            idle_since: now,
            paid_since_commit: 0,
            suspended: false,
            skipped: false,
            may_have_left: false,
            had_left: false,
        }
    }

    /// The newest voucher, durable or not.
    pub(super) fn newest(&self) -> &Best {
        self.next.as_ref().unwrap_or(&self.best)
    }

    pub(super) fn undurable(&self) -> u64 {
        match &self.next {
            Some(next) => u64::from(next.k),
            None => u64::from(self.best.k.saturating_sub(self.durable_k)),
        }
    }

    /// Whole steps left, folds included.
    pub(super) fn usable(&self, tranche: TokenUnits) -> u64 {
        let best = self.newest();
        voucher::usable_steps(best.voucher.count, tranche, best.owed(), best.voucher.unit)
    }

    pub(super) fn record(&self, session_key: Address, tranche: TokenUnits) -> PayeeRangeRecord {
        let best = self.next.as_ref().unwrap_or(&self.best);
        PayeeRangeRecord {
            session_key,
            voucher: best.voucher,
            signature: best.signature,
            k: best.k,
            w: best.w,
            tranche,
            life: match self.life {
                Life::Open => PayeeRangeLife::Open,
                Life::Closing | Life::Ready { .. } | Life::Claimed => PayeeRangeLife::Closed,
                Life::Redeemed(gross) => PayeeRangeLife::Redeemed(gross),
                Life::Lost => PayeeRangeLife::Lost,
            },
        }
    }
}

impl Account {
    pub(super) fn undurable(&self) -> u64 {
        self.ranges.values().map(Range::undurable).sum()
    }
}
