//! A payee's memory of connections, accounts and ranges.

use std::collections::VecDeque;

use alloy_primitives::{Address, B256};

use super::accounts::Watch;
use super::commit::Pending;
use super::{MAX_FOLLOWED, RangeId, WORTHLESS};
use crate::payment::ledger::SellerLedger;
use crate::payment::record::{PayeeFactsRecord, PayeeRangeLife, PayeeRangeRecord};
use crate::payment::voucher::{self, Signature, Voucher};
use crate::payment::{ChainState, PeerPayInfo};
use crate::sorted::Map;
use crate::time::Timestamp;
use crate::types::{ConnectionId, FineUnits, InfoHash, TokenUnits};

/// The purpose of an effect.
#[derive(Debug)]
pub(super) enum PayeeTask {
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
    /// A payer's sum of a range, above the best link.
    Reconcile {
        id: RangeId,
        late: Late,
    },
    /// The record that a claim may have left.
    Claim {
        id: RangeId,
    },
    /// A read that a COMMIT waits for; of an account that was not known here, or of one that was.
    CommitRead {
        conn: ConnectionId,
        stranger: bool,
    },
    Read {
        account: B256,
        word: u64,
    },
}

/// Steps that a payer's sum adds to a range, and the connection that had the range until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    pub(super) tag: [u8; 4],
    pub(super) steps: u32,
    pub(super) holder: Option<ConnectionId>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Quote {
    pub(super) id: u32,
    pub(super) price: FineUnits,
    pub(super) sent: Timestamp,
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) info: PeerPayInfo,
    pub(super) buys: bool,
    /// Price asked here; zero: not selling.
    pub(super) price: FineUnits,
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
    /// The credit that the last ACK named, and the steps paid by then.
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
    /// Sums (RECONCILE) whose signatures are still checked.
    pub(super) sum_checks: u8,
    /// A known account named a sum: its ranges were shown.
    pub(super) reconciles: bool,
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
pub(super) struct PayeeAccount {
    pub(super) session_key: Address,
    pub(super) tranche: TokenUnits,
    /// Collateral and deposit, by the chain's last answer; nothing before it was asked in this run.
    pub(super) bond: TokenUnits,
    pub(super) balance: Option<TokenUnits>,
    /// The number of times that either was seen to grow in this run: something was deposited.
    pub(super) deposits: u32,
    /// Blocks that it had paid when it was read last.
    paid_when_read: u64,
    pub(super) ledger: SellerLedger,
    pub(super) ranges: Map<u32, PayeeRange>,
    /// Time from which its funds may leave, if it is exiting.
    pub(super) exit_at: Option<Timestamp>,
    /// The time since which the chain shows its deposit as taken back.
    pub(super) withdrawn_since: Option<Timestamp>,
    pub(super) stored_facts: PayeeFactsRecord,
    /// A `RedeemDue` was sent since the last redemption.
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
    /// For this sum. Not proven: nobody saw its end, and the voucher is kept in case somebody else did it.
    Redeemed {
        gross: TokenUnits,
        proven: bool,
    },
    /// Somebody else, to whom the same serials were promised, redeemed them.
    Lost,
}

impl Life {
    /// Whether anything is still to be redeemed.
    pub(super) fn is_unredeemed(self) -> bool {
        !matches!(self, Life::Redeemed { .. } | Life::Lost)
    }
}

#[derive(Debug)]
pub(super) struct PayeeRange {
    pub(super) best: Best,
    /// A fold that is not durable yet.
    pub(super) next: Option<Best>,
    /// Tags of the promises on its base that others followed; the oldest of [`MAX_FOLLOWED`] is forgotten. A peer that
    /// got one of them under this payee's name has the range and its first credit once.
    pub(super) followed: VecDeque<[u8; 4]>,
    pub(super) durable_k: u16,
    pub(super) dirty_since: Option<Timestamp>,
    /// A record of links is being stored.
    pub(super) storing: bool,
    pub(super) life: Life,
    pub(super) conn: Option<ConnectionId>,
    /// The title that was sold on it last, in this run.
    pub(super) title: Option<InfoHash>,
    pub(super) idle_since: Timestamp,
    /// Steps since the last COMMIT of it.
    pub(super) paid_since_commit: u64,
    /// The chain did not confirm it lately: nothing is sent on it until its COMMIT comes again.
    pub(super) suspended: bool,
    /// The vault skipped its claim in this run.
    pub(super) skipped: bool,
    /// A transaction with its claim may be on the chain, or get there: then our own claim may have consumed the
    /// serials.
    pub(super) may_have_left: bool,
    /// The same before its claim was handed out last.
    pub(super) had_left: bool,
    /// Its record says that a claim may have left, or is being stored to say it.
    pub(super) noted: bool,
    /// The account's deposit, and the number of its increases, when its claim was handed out first in this run.
    pub(super) before: Option<(TokenUnits, u32)>,
    /// When the chain was asked about it last.
    pub(super) asked: Timestamp,
    /// The chain covered it then.
    pub(super) covered: bool,
    /// The number of times that its claim failed in this run.
    pub(super) failed: u32,
}

impl PayeeRange {
    pub(super) fn new(best: Best, life: Life, now: Timestamp) -> Self {
        PayeeRange {
            durable_k: best.k,
            best,
            next: None,
            followed: VecDeque::new(),
            dirty_since: None,
            storing: false,
            life,
            conn: None,
            title: None,
            idle_since: now,
            paid_since_commit: 0,
            suspended: false,
            skipped: false,
            may_have_left: false,
            had_left: false,
            noted: false,
            before: None,
            asked: now,
            covered: true,
            failed: 0,
        }
    }

    /// The newest voucher, durable or not.
    pub(super) fn newest(&self) -> &Best {
        self.next.as_ref().unwrap_or(&self.best)
    }

    /// The promises that are remembered when `next` follows the best one. On a higher base, all earlier ones are
    /// behind.
    pub(super) fn followed_by(&self, next: &Best) -> VecDeque<[u8; 4]> {
        if next.voucher.base > self.best.voucher.base {
            return VecDeque::new();
        }
        let mut followed = self.followed.clone();
        followed.push_back(self.best.voucher.tag());
        if followed.len() > MAX_FOLLOWED {
            followed.pop_front();
        }
        followed
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

    /// A range that is closed before is wasted to its buyer
    /// (docs/decisions/026-ranges-closed-early-count-as-unused.md).
    pub(super) fn is_half_used(&self, tranche: TokenUnits) -> bool {
        let best = self.newest();
        let cap = voucher::range_cap(best.voucher.count, tranche);
        best.owed().0.saturating_mul(2) >= cap.0
    }

    /// The vault's payment for it; the last durable voucher counts.
    pub(super) fn due(&self, tranche: TokenUnits) -> TokenUnits {
        self.best.voucher.due(self.best.k, tranche)
    }

    /// When it may be forgotten, as things are: not while it is worth anything or is connected.
    pub(super) fn worthless_at(&self, tranche: TokenUnits) -> Timestamp {
        let is_worthless = self.life == Life::Open
            && self.conn.is_none()
            && self.next.is_none()
            && self.due(tranche).0 == 0;
        match is_worthless {
            true => self.idle_since + WORTHLESS,
            false => Timestamp::NEVER,
        }
    }

    /// The bitmap word its serials are in.
    pub(super) fn word(&self) -> u64 {
        u64::from(self.best.voucher.first) >> 8
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
                Life::Closing | Life::Ready { .. } | Life::Claimed if self.noted => {
                    PayeeRangeLife::Claimed
                }
                Life::Closing | Life::Ready { .. } | Life::Claimed => PayeeRangeLife::Closed,
                Life::Redeemed {
                    gross,
                    proven: true,
                } => PayeeRangeLife::Redeemed(gross),
                Life::Redeemed {
                    gross,
                    proven: false,
                } => PayeeRangeLife::Presumed(gross),
                Life::Lost => PayeeRangeLife::Lost,
            },
        }
    }
}

impl PayeeAccount {
    /// An account with these facts, without ranges.
    pub(super) fn new(
        session_key: Address,
        tranche: TokenUnits,
        facts: PayeeFactsRecord,
    ) -> PayeeAccount {
        PayeeAccount {
            session_key,
            tranche,
            bond: TokenUnits(0),
            balance: None,
            deposits: 0,
            paid_when_read: 0,
            ledger: SellerLedger::new(facts),
            ranges: Map::new(),
            exit_at: None,
            withdrawn_since: None,
            stored_facts: facts,
            said_due: false,
            watch: Watch::default(),
        }
    }

    /// The chain's present state of it.
    pub(super) fn note_chain(&mut self, state: &ChainState) {
        let grew = |balance| balance < state.balance || self.bond < state.bond;
        self.deposits = (self.deposits).saturating_add(self.balance.is_some_and(grew).into());
        self.bond = state.bond;
        self.balance = Some(state.balance);
    }

    /// Whether it paid anything since this was asked last.
    pub(super) fn grew(&mut self) -> bool {
        let paid = self.ledger.facts().paid_total;
        core::mem::replace(&mut self.paid_when_read, paid) != paid
    }

    pub(super) fn undurable(&self) -> u64 {
        self.ranges.values().map(PayeeRange::undurable).sum()
    }
}
