//! From a full or idle range to token units in the payee's hands.
//!
//! Invariant: a range is closed durably before its payer hears of it, and its step is frozen before its claim leaves.
//! Its voucher is forgotten only when a later read confirms that the paid claim is in the chain, or that nothing will
//! ever be paid for it.

use alloy_primitives::B256;

use super::{CLOSE_GRACE, ClaimOutcome, Life, Payee, PayeeTask, RangeId, RedeemScope};
use crate::payment::PayEvent;
use crate::payment::record::Key;
use crate::sorted::Set;
use crate::time::{Duration, Timestamp};
use crate::types::TokenUnits;
use crate::wire::pay::{NeedReason, PayMessage, RejectCode};

/// An exiting account is redeemed this long before its funds may leave, or at half of the time until then if that is
/// later.
const EXIT_MARGIN: Duration = Duration::from_secs(3_600);
/// A redemption is confirmed by a read after this.
pub(super) const CONFIRM: Duration = Duration::from_secs(30);
/// Skip reason of the vault: the deposit does not reach so far.
const SKIP_NOT_COVERED: u8 = 5;
/// Skip reason of the vault: consumed already.
const SKIP_CONSUMED: u8 = 6;

/// A redemption that is prepared: before it is told, the ranges close, and the records that claims may leave are
/// stored.
#[derive(Debug)]
pub(super) struct Preparing {
    /// What the last `prepare_redeem` asked for.
    pub(super) scope: RedeemScope,
    /// It is not answered yet.
    asked: bool,
    /// Ranges it waits for.
    closing: Set<RangeId>,
    /// ... and those whose records that their claims may leave are being stored.
    noting: Set<RangeId>,
}

impl Default for Preparing {
    fn default() -> Preparing {
        Preparing {
            scope: RedeemScope::All,
            asked: false,
            closing: Set::new(),
            noting: Set::new(),
        }
    }
}

impl Preparing {
    fn begin(&mut self, scope: RedeemScope, closing: Vec<RangeId>) {
        self.scope = scope;
        self.closing.extend(closing);
        self.asked = true;
    }

    /// It is asked for, and waits for no range and no record.
    fn is_next(&self) -> bool {
        self.asked && self.closing.is_empty() && self.noting.is_empty()
    }

    /// The record that a claim may leave is being stored.
    pub(super) fn notes(&mut self, id: RangeId) {
        self.noting.insert(id);
    }

    /// Such a record is stored, or cannot be. `true`: it was the last one.
    pub(super) fn noted(&mut self, id: RangeId) -> bool {
        self.noting.remove(&id);
        self.noting.is_empty()
    }

    pub(super) fn is_noting(&self) -> bool {
        !self.noting.is_empty()
    }

    /// The record of this range is not being stored.
    pub(super) fn is_noted(&self, id: &RangeId) -> bool {
        !self.noting.contains(id)
    }
}

impl Payee {
    /// Closes ranges durably, tells their payers, and asks the chain about the claims that leave next unless it was
    /// asked lately. `PayEvent::ClaimsReady` follows (at once, with the ready claims, when there is nothing to wait
    /// for).
    pub fn prepare_redeem(&mut self, now: Timestamp, scope: RedeemScope) {
        self.turn(now);
        let accounts: Vec<B256> = self.accounts.keys().copied().collect();
        for id in accounts {
            for (first, _) in self.chosen(id, scope) {
                self.close_range(RangeId { account: id, first });
            }
        }
        let open: Vec<_> = self.range_ids(|r| r.life == Life::Closing).collect();
        self.preparing.begin(scope, open);
        self.closed_ready();
    }

    fn close_range(&mut self, id: RangeId) {
        let Some(range) = self.range_mut(id).filter(|r| r.life == Life::Open) else {
            return;
        };
        range.life = Life::Closing;
        let k = range.newest().k;
        self.put_range(id, PayeeTask::Close { id, k });
    }

    pub(super) fn close_stored(&mut self, id: RangeId, k: u16, ok: bool) {
        if ok {
            self.promote(id);
        }
        let now = self.now;
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        let Some(range) = account.ranges.get_mut(&id.first) else {
            return;
        };
        if range.life == Life::Closing {
            if ok {
                range.durable_k = range.durable_k.max(k);
                let owes = range
                    .conn
                    .is_some_and(|conn| account.ledger.unpaid_on(conn) > 0);
                let grace = if owes { CLOSE_GRACE } else { Duration::ZERO };
                range.life = Life::Ready { at: now + grace };
            } else {
                range.life = Life::Open;
                account.said_due = false;
                self.preparing.closing.remove(&id);
                // A caller that waits for the claims gets those that are ready.
                self.closed_ready();
                return;
            }
        }
        let conn = range.conn;
        if let Some(conn) = conn {
            let reason = NeedReason::RangeClosed;
            self.send(
                conn,
                PayMessage::Need {
                    reason,
                    first: id.first,
                },
            );
        }
        self.closed_ready();
    }

    /// When every range that is being closed is ready; never, if none is.
    pub(super) fn closed_at(&self) -> Timestamp {
        let at = |id: &RangeId| match self.range(*id).map(|r| r.life) {
            Some(Life::Ready { at }) => at,
            Some(Life::Closing) => Timestamp::NEVER,
            _ => self.now,
        };
        (self.preparing.closing.iter())
            .map(at)
            .max()
            .unwrap_or(Timestamp::NEVER)
    }

    /// Reports the claims as ready, once three things are done: the ranges are closed, the chain was asked about them,
    /// and the record that they leave is stored.
    pub(super) fn closed_ready(&mut self) {
        if self.closed_at() <= self.now {
            self.preparing.closing.clear();
        }
        if self.preparing.is_next() && !self.asks_chain() && !self.notes_claims() {
            self.preparing.asked = false;
            let claims = self.claims();
            let due = claims
                .iter()
                .fold(0, |sum: u128, c| sum.saturating_add(c.due.0));
            self.event(PayEvent::ClaimsReady {
                count: claims.len(),
                due: TokenUnits(due),
            });
        }
    }

    /// The end of claims that were taken.
    pub fn redeemed(&mut self, now: Timestamp, outcomes: &[(RangeId, ClaimOutcome)]) {
        self.turn(now);
        for (id, outcome) in outcomes {
            match self.range(*id).map(|range| range.life) {
                Some(Life::Claimed) => self.claim_ended(*id, *outcome),
                Some(life @ (Life::Redeemed { proven: false, .. } | Life::Lost)) => {
                    self.end_overtaken(*id, life, *outcome);
                }
                _ => {}
            }
        }
    }

    fn claim_ended(&mut self, id: RangeId, outcome: ClaimOutcome) {
        let now = self.now;
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        if !matches!(outcome, ClaimOutcome::Failed | ClaimOutcome::Unsent) {
            // The chain's answer from before it left is old, also on the deposit: the payee asks before more claims of
            // it leave.
            for range in account.ranges.values_mut() {
                range.asked = Timestamp::ZERO;
            }
        }
        let Some(range) = account.ranges.get_mut(&id.first) else {
            return;
        };
        let is_back = !matches!(outcome, ClaimOutcome::Unknown | ClaimOutcome::Paid(_));
        if is_back {
            range.may_have_left = range.had_left;
        }
        range.life = Life::Ready { at: now };
        match outcome {
            ClaimOutcome::Paid(gross) => self.note_redeemed(id, gross, true),
            // By an earlier claim of ours, or by somebody else: the next read shows it.
            ClaimOutcome::Skipped(SKIP_CONSUMED) if range.had_left => {
                let word = range.word();
                self.reads.soon(id.account, word, now);
            }
            ClaimOutcome::Skipped(SKIP_CONSUMED) => self.found_consumed(id),
            // The vault did not see all of the deposit yet: the next read shows it.
            ClaimOutcome::Skipped(SKIP_NOT_COVERED) => range.covered = false,
            ClaimOutcome::Skipped(_) => range.skipped = true,
            ClaimOutcome::Failed => range.failed = range.failed.saturating_add(1),
            ClaimOutcome::Unsent | ClaimOutcome::Unknown => {}
        }
        if is_back {
            self.note_back(id);
        }
    }

    /// A read found the serials consumed before the claim's end was known.
    fn end_overtaken(&mut self, id: RangeId, life: Life, outcome: ClaimOutcome) {
        let Some(left_before) = self.range(id).map(|range| range.had_left) else {
            return;
        };
        match (life, outcome) {
            (Life::Redeemed { gross, .. }, ClaimOutcome::Paid(paid)) => {
                self.uncount(id, gross);
                self.count(id, paid, true);
            }
            (_, ClaimOutcome::Paid(paid)) => self.note_redeemed(id, paid, true),
            (
                Life::Redeemed { gross, .. },
                ClaimOutcome::Skipped(SKIP_CONSUMED) | ClaimOutcome::Failed | ClaimOutcome::Unsent,
            ) if !left_before => self.lost(id, gross),
            (Life::Redeemed { gross, .. }, ClaimOutcome::Unknown) if !self.may_be_ours(id) => {
                self.lost(id, gross);
            }
            _ => {}
        }
    }

    /// The chain shows the serials as consumed. If a claim of ours may have got there, it is taken for the cause, at
    /// the range's worth; else somebody did it to whom they were promised too.
    pub(super) fn found_consumed(&mut self, id: RangeId) {
        let Some(account) = self.accounts.get(&id.account) else {
            return;
        };
        let Some(range) = account.ranges.get(&id.first) else {
            return;
        };
        let gross = range.due(account.tranche);
        // The end of a claim on its way is not known yet.
        let ours = range.life == Life::Claimed || self.may_be_ours(id);
        if let Some(conn) = range.conn {
            let reason = NeedReason::RangeClosed;
            self.send(
                conn,
                PayMessage::Need {
                    reason,
                    first: id.first,
                },
            );
            self.detach(conn, id.first);
        }
        if ours {
            self.note_redeemed(id, gross, false);
        } else {
            self.lost(id, TokenUnits(0));
        }
    }

    /// Whether a claim of ours may have consumed the serials: one left, and the account's deposit fell by its sum
    /// since.
    fn may_be_ours(&self, id: RangeId) -> bool {
        let Some(account) = self.accounts.get(&id.account) else {
            return false;
        };
        let Some(range) = account.ranges.get(&id.first) else {
            return false;
        };
        let fell = match (range.before, account.balance) {
            (Some((before, deposits)), Some(now)) if account.deposits == deposits => {
                before.0.saturating_sub(now.0)
            }
            // It left in an earlier run, or something was deposited since: nobody is blamed.
            _ => u128::MAX,
        };
        range.may_have_left && fell >= range.due(account.tranche).0
    }

    /// Somebody else redeemed the serials; `counted` was booked as redeemed by us.
    fn lost(&mut self, id: RangeId, counted: TokenUnits) {
        self.uncount(id, counted);
        self.set_life(id, Life::Lost);
        self.preparing.closing.remove(&id);
        self.event(PayEvent::Conflict {
            account: id.account,
            serial: id.first,
        });
    }

    fn note_redeemed(&mut self, id: RangeId, gross: TokenUnits, proven: bool) {
        self.count(id, gross, proven);
        self.event(PayEvent::Redeemed {
            account: id.account,
            first: id.first,
            gross,
        });
        self.room_again(id.account);
    }

    fn count(&mut self, id: RangeId, gross: TokenUnits, proven: bool) {
        if let Some(account) = self.accounts.get_mut(&id.account) {
            let sum = &mut account.ledger.facts_mut().redeemed.0;
            *sum = sum.saturating_add(gross.0);
        }
        self.set_life(id, Life::Redeemed { gross, proven });
        let word = u64::from(id.first) >> 8;
        self.reads.overtake(id.account, word);
        self.reads.at(id.account, word, self.now + CONFIRM);
    }

    /// The chain forgot the redemption (a reorg): the claim is ready again.
    pub(super) fn unredeem(&mut self, id: RangeId, gross: TokenUnits) {
        self.uncount(id, gross);
        self.set_life(id, Life::Ready { at: self.now });
        self.say_due(id.account);
    }

    fn uncount(&mut self, id: RangeId, gross: TokenUnits) {
        if let Some(account) = self.accounts.get_mut(&id.account) {
            let sum = &mut account.ledger.facts_mut().redeemed.0;
            *sum = sum.saturating_sub(gross.0);
        }
    }

    fn set_life(&mut self, id: RangeId, life: Life) {
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        account.said_due = false;
        let Some(range) = account.ranges.get_mut(&id.first) else {
            return;
        };
        range.life = life;
        range.next = None;
        range.dirty_since = None;
        self.put_range(id, PayeeTask::Background);
        self.store_facts(id.account);
    }

    /// The voucher is worth nothing any more: confirmed, or never to be paid.
    pub(super) fn forget(&mut self, id: RangeId) {
        if let Some(account) = self.accounts.get_mut(&id.account) {
            account.ranges.remove(&id.first);
            self.preparing.closing.remove(&id);
            let key = Key::PayeeRange(id.account, id.first);
            self.put(key, None, PayeeTask::Background);
            self.retire(id.account);
        }
    }

    /// The buyer took its deposit back: none of its debts can be paid any more. Ranges that may have been redeemed just
    /// before are left to their own read.
    pub(super) fn withdrawn(&mut self, id: B256) {
        let gone = |r: &super::PayeeRange| !matches!(r.life, Life::Claimed | Life::Redeemed { .. });
        let mut due = 0u128;
        for range_id in self.range_ids_of(id, gone) {
            let Some(account) = self.accounts.get(&id) else {
                continue;
            };
            let Some(range) = account.ranges.get(&range_id.first) else {
                continue;
            };
            let worth = match range.life {
                Life::Lost => 0,
                _ => range.due(account.tranche).0,
            };
            due = due.saturating_add(worth);
            let (conn, tag) = (range.conn, range.best.voucher.tag());
            if let Some(conn) = conn {
                self.reject(conn, RejectCode::Exiting, range_id.first, tag, 0);
                self.detach(conn, range_id.first);
            }
            self.forget(range_id);
        }
        if due > 0 {
            let due = TokenUnits(due);
            self.event(PayEvent::LeftUnredeemed { account: id, due });
        }
    }

    /// A payment may just have filled a range, or made its account owe much.
    pub(super) fn due_by_payment(&mut self, id: RangeId) {
        let due = (self.accounts.get(&id.account)).is_some_and(|account| {
            let full = |r: &super::PayeeRange| r.usable(account.tranche) == 0;
            !account.said_due
                && (account.ranges.get(&id.first).is_some_and(full)
                    || account.owes_some(&self.config)
                    || account.owes_much(&self.config))
        });
        if due {
            self.say_due(id.account);
        }
    }

    /// Reports once, per account and redemption, that something should be redeemed.
    pub(super) fn say_due(&mut self, id: B256) {
        if self.accounts.get(&id).is_none_or(|a| a.said_due) {
            return;
        }
        let chosen = self.chosen(id, RedeemScope::Due);
        let due = chosen
            .iter()
            .fold(0, |sum: u128, (_, due)| sum.saturating_add(due.0));
        if due == 0 {
            return;
        }
        let now = self.now;
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        account.said_due = true;
        let before = account.exit_at.map(|at| redeem_before(now, at));
        self.event(PayEvent::RedeemDue {
            before,
            due: TokenUnits(due),
        });
    }
}

/// The time until which an exiting account is to be redeemed.
pub(super) fn redeem_before(now: Timestamp, exit_at: Timestamp) -> Timestamp {
    exit_at - EXIT_MARGIN.min(exit_at.since(now) / 2)
}
