//! One range of serials as the payer keeps it.

use alloy_primitives::{Address, B256};

use crate::payment::PayEffect;
use crate::payment::chain::HashChain;
use crate::payment::record::{PayerRangeLife, PayerRangeRecord};
use crate::payment::voucher::{self, Signature, Voucher};
use crate::sorted::Set;
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, FineUnits, InfoHash, TokenUnits};

/// A seller that was waited for this long keeps nothing that others want.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The purpose of an effect.
#[derive(Debug)]
pub(super) enum PayerTask {
    /// A record that nobody waits for.
    Background,
    /// The blocks at stake for a title.
    Staked,
    Scan {
        account: B256,
        word: u64,
    },
    /// A record that a COMMIT waits for.
    Reserve {
        account: B256,
        first: u32,
        paid: Option<FineUnits>,
    },
    /// The revealed sum of a range.
    Paid {
        account: B256,
        first: u32,
        paid: FineUnits,
    },
    Sign {
        account: B256,
        first: u32,
    },
    /// The record of a sum that a RECONCILE is to name, then its signature.
    Reconcile {
        account: B256,
        conn: ConnectionId,
        voucher: Box<Voucher>,
    },
    /// Whether ranges that were closed early have been consumed.
    Look {
        account: B256,
        word: u64,
    },
}

/// A voucher with the chain that extends it.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) voucher: Voucher,
    pub(super) signature: Signature,
    pub(super) chain: HashChain,
    /// Last step revealed.
    pub(super) k: u16,
    pub(super) quote_id: u32,
}

impl Live {
    pub(super) fn steps_left(&self) -> u16 {
        self.voucher.steps.saturating_sub(self.k)
    }
}

/// The state of a range on the connection that it is bound to.
#[derive(Debug)]
pub(super) enum RangeStage {
    /// Bound to none.
    Idle,
    /// Waits for its records to be durable.
    Storing {
        draft: Live,
        waits: Set<PayEffect>,
        fold: bool,
    },
    /// Waits for the session key.
    Signing {
        draft: Live,
        effect: PayEffect,
        fold: bool,
    },
    /// COMMIT sent, not acknowledged on this connection.
    Committed {
        since: Timestamp,
        attempt: usize,
        retry_at: Option<Timestamp>,
    },
    /// Can be paid on (a fold may still wait for its ACK: then `prior` is there).
    Attached,
}

#[derive(Debug)]
pub(super) struct PayerRange {
    pub(super) first: u32,
    pub(super) count: u16,
    pub(super) payee: Address,
    pub(super) content: B256,
    pub(super) price: FineUnits,
    /// Revealed so far, in any voucher of this range.
    pub(super) paid: FineUnits,
    pub(super) life: PayerRangeLife,
    pub(super) stage: RangeStage,
    pub(super) conn: Option<ConnectionId>,
    /// The title that was bought on it last, in this run.
    pub(super) title: Option<InfoHash>,
    /// Since when it is bound to that one; zero: it was bound to none in this run.
    pub(super) bound_at: Timestamp,
    pub(super) active: Option<Live>,
    /// The voucher before a fold, until the fold's ACK.
    pub(super) prior: Option<Live>,
    /// Refused in this run.
    pub(super) refused: bool,
    /// Never acknowledged yet.
    pub(super) fresh: bool,
    /// It was promised to a stranger, in this run.
    pub(super) on_trial: bool,
    /// It is of an earlier run, whose last links a crash may have taken from the record.
    pub(super) is_earlier: bool,
    /// The time that the seller was waited for that it was bound to last, in this run.
    pub(super) waited: Duration,
    pub(super) fold_asked: bool,
    pub(super) fold_after: Timestamp,
    /// Address of the peer that was first to sell on it in this run, or of the first that it was promised to.
    pub(super) address: Option<String>,
    /// The connection of that peer, once it sold.
    pub(super) sold_by: Option<ConnectionId>,
    /// Allocator and range are durable.
    pub(super) reserved: bool,
    pub(super) durable_paid: FineUnits,
    pub(super) emitted_paid: FineUnits,
    pub(super) dirty_since: Option<Timestamp>,
    pub(super) steps_since_commit: u32,
    pub(super) last_commit: Timestamp,
}

impl PayerRange {
    pub(super) fn new(first: u32, count: u16, payee: Address, content: B256) -> Self {
        PayerRange {
            first,
            count,
            payee,
            content,
            price: FineUnits(0),
            paid: FineUnits(0),
            life: PayerRangeLife::Usable,
            stage: RangeStage::Idle,
            conn: None,
            title: None,
            bound_at: Timestamp::ZERO,
            active: None,
            prior: None,
            refused: false,
            fresh: true,
            on_trial: false,
            is_earlier: false,
            waited: Duration::ZERO,
            fold_asked: false,
            fold_after: Timestamp::ZERO,
            address: None,
            sold_by: None,
            reserved: false,
            durable_paid: FineUnits(0),
            emitted_paid: FineUnits(0),
            dirty_since: None,
            steps_since_commit: 0,
            last_commit: Timestamp::ZERO,
        }
    }

    /// A range that only the payee's evidence names.
    pub(super) fn adopted(first: u32, count: u16, payee: Address, content: B256) -> Self {
        PayerRange {
            fresh: false,
            is_earlier: true,
            ..PayerRange::new(first, count, payee, content)
        }
    }

    pub(super) fn from_record(r: &PayerRangeRecord) -> Self {
        PayerRange {
            price: r.unit,
            paid: r.paid,
            life: r.life,
            fresh: false,
            is_earlier: true,
            reserved: true,
            durable_paid: r.paid,
            emitted_paid: r.paid,
            ..PayerRange::new(r.first, r.count, r.payee, r.content)
        }
    }

    pub(super) fn record(&self) -> PayerRangeRecord {
        PayerRangeRecord {
            first: self.first,
            count: self.count,
            payee: self.payee,
            content: self.content,
            unit: self.price,
            paid: self.paid,
            life: self.life,
        }
    }

    /// At least this much is revealed by now; a revealed sum stays spent.
    pub(super) fn raise_paid(&mut self, paid: FineUnits, spent: &mut FineUnits) {
        spent.0 = (spent.0).saturating_add(paid.0.saturating_sub(self.paid.0));
        self.paid = self.paid.max(paid);
    }

    /// What was put on record last is not there. If more is revealed than is on record, it is stored later.
    pub(super) fn store_failed(&mut self, now: Timestamp) {
        self.emitted_paid = self.durable_paid;
        self.dirty_since = (self.paid > self.durable_paid).then_some(now);
    }

    /// Its connection, which brought this many blocks, has had it long enough that somebody else may want it: each
    /// block makes up for a second.
    pub(super) fn is_held_for_long(&self, now: Timestamp, brought: u64) -> bool {
        now.since(self.bound_at) >= PATIENCE.saturating_add(Duration::from_secs(brought))
    }

    /// An earlier run ended it before it was used up.
    pub(super) fn was_closed_earlier(&self) -> bool {
        self.life == PayerRangeLife::Closed && self.bound_at == Timestamp::ZERO
    }

    /// No whole step is left at the price that it was promised at last. If its seller asks less by now, there may be
    /// one at that price; but for the seller it is still attached, and keeps its price.
    pub(super) fn is_used_up(&self, tranche: TokenUnits) -> bool {
        self.paid.0 > 0 && voucher::usable_steps(self.count, tranche, self.paid, self.price) == 0
    }

    /// Since when its COMMIT, a fold's too, waits for an answer.
    pub(super) fn unanswered_since(&self) -> Option<Timestamp> {
        match self.stage {
            RangeStage::Committed {
                since,
                retry_at: None,
                ..
            } => Some(since),
            RangeStage::Attached if self.prior.is_some() => Some(self.last_commit),
            _ => None,
        }
    }

    /// The serial after its last one.
    pub(super) fn end(&self) -> u64 {
        u64::from(self.first) + u64::from(self.count)
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(
            self.stage,
            RangeStage::Storing { fold: false, .. }
                | RangeStage::Signing { fold: false, .. }
                | RangeStage::Committed { .. }
        )
    }

    /// Its first voucher on this connection has not left yet.
    pub(super) fn is_drafted(&self) -> bool {
        matches!(
            self.stage,
            RangeStage::Storing { fold: false, .. } | RangeStage::Signing { fold: false, .. }
        )
    }

    /// Acknowledged on its connection (perhaps being folded).
    pub(super) fn is_attached(&self) -> bool {
        self.conn.is_some() && !self.is_opening() && !matches!(self.stage, RangeStage::Idle)
    }

    /// Can be paid on right now.
    pub(super) fn is_payable(&self) -> bool {
        self.life == PayerRangeLife::Usable && matches!(self.stage, RangeStage::Attached)
    }
}
