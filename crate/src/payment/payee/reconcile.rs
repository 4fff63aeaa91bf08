//! Agreeing with a payer on ranges that were paid earlier, when the two meet again.
//!
//! A crash takes links that were not stored, and a link that is on its way when a connection ends never comes. The
//! payer names its sum of one range (RECONCILE), which proves its account. The payee then shows what it holds of all
//! ranges of that account (HELD), and takes each higher sum that the payer signs.
//!
//! Invariant: a sum counts when its voucher is durable, and only where a later claim can be redeemed for it.

use super::state::Late;
use super::{Best, Life, Payee, PayeeTask, RangeId};
use crate::payment::RECONCILED_RANGES;
use crate::payment::record::Key;
use crate::payment::voucher::{self, Voucher};
use crate::types::ConnectionId;
use crate::wire::pay::{PayMessage, VoucherBody};
use alloy_primitives::B256;

impl Payee {
    /// A payer names its sum of a range. It attaches nothing, and no credit comes of it.
    pub(super) fn reconcile(&mut self, conn: ConnectionId, body: &VoucherBody) {
        let (voucher, signature) = Voucher::from_body(body, self.config.payee);
        let is_sum = voucher.steps == 0 && voucher.is_well_formed();
        let Some(c) = self.conns.get_mut(&conn).filter(|_| is_sum && !self.shut) else {
            return;
        };
        let Some(left) = c.sum_checks.checked_sub(1) else {
            return;
        };
        c.sum_checks = left;
        let is_first = !c.reconciles;
        let committed = c.account;
        let Ok(session_key) = signature.recover(&voucher.digest(&self.config.vault)) else {
            return;
        };
        let account = voucher::account_id(voucher.owner, session_key);
        if committed.is_some_and(|other| other != account) || !self.accounts.contains_key(&account)
        {
            return;
        }
        let first = voucher.first;
        let id = RangeId { account, first };
        self.take_sum(conn, id, Best::new(voucher, signature));
        if let Some(c) = self.conns.get_mut(&conn).filter(|_| is_first) {
            c.reconciles = true;
            c.sum_checks = RECONCILED_RANGES as u8;
            self.show(conn, account, |_| true);
        } else {
            self.show(conn, account, |best| {
                best.voucher.first == first && best.owed() > voucher.base
            });
        }
    }

    /// Stores a payer's sum if it is higher than what is held, and if it can be redeemed: no claim of the range has
    /// left.
    fn take_sum(&mut self, conn: ConnectionId, id: RangeId, sum: Best) {
        let v = &sum.voucher;
        let is_pending = (self.conns.values())
            .filter_map(|c| c.pending.as_ref())
            .any(|pending| pending.id() == id);
        let key = Key::PayeeRange(id.account, id.first);
        if is_pending || self.unreadable.contains(&key) {
            return;
        }
        let title = self.conns.get(&conn).map(|c| c.info.torrent);
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        let Some(range) = account.ranges.get_mut(&id.first) else {
            return;
        };
        let best = range.newest();
        let cap = voucher::range_cap(v.count, account.tranche);
        let is_same = (v.count, v.content, v.luck, v.unit)
            == (
                best.voucher.count,
                best.voucher.content,
                best.voucher.luck,
                best.voucher.unit,
            );
        let is_higher = v.base > best.owed() && v.base <= cap;
        let takes = matches!(range.life, Life::Open | Life::Ready { .. })
            && !range.may_have_left
            && range.next.is_none();
        if !(is_same && is_higher && takes) {
            return;
        }
        let steps = (v.base.0 - best.owed().0) / v.unit.0.max(1);
        let holder = range.conn;
        let late = Late {
            tag: v.tag(),
            steps: u32::try_from(steps).unwrap_or(u32::MAX),
            holder,
        };
        range.next = Some(sum);
        range.dirty_since = None;
        range.title = range.title.or(title);
        // The payer pays nothing on it, so it is attached to a connection that is dead.
        if let Some(holder) = holder {
            self.take_from(holder, id);
        }
        self.put_range(id, PayeeTask::Reconcile { id, late });
    }

    /// A payer's sum is durable, or is not.
    pub(super) fn reconciled(&mut self, id: RangeId, late: Late, ok: bool) {
        let now = self.now;
        let Some(range) = self.range_mut(id) else {
            return;
        };
        if (range.next).is_none_or(|next| next.voucher.tag() != late.tag) {
            return;
        }
        if !ok {
            range.next = None;
            range.dirty_since = (range.best.k > range.durable_k).then_some(now);
            return;
        }
        self.promote(id);
        if let Some(account) = self.accounts.get_mut(&id.account) {
            match late.holder {
                Some(holder) => account.ledger.paid(holder, late.steps),
                None => account.ledger.paid_late(late.steps),
            }
        }
        self.store_facts(id.account);
        self.room_again(id.account);
        self.due_by_payment(id);
        self.closed_ready();
    }

    /// Shows the best voucher and link of an account's ranges, the newest first.
    fn show(&mut self, conn: ConnectionId, account: B256, which: impl Fn(&Best) -> bool) {
        let Some(account) = self.accounts.get(&account) else {
            return;
        };
        let shown = (account.ranges.values().rev())
            .filter(|r| r.life != Life::Lost && r.next.is_none() && which(&r.best))
            .take(RECONCILED_RANGES);
        for range in shown {
            let best = range.best;
            let message = PayMessage::Held {
                payee: best.voucher.payee,
                voucher: best.voucher.to_body(&best.signature),
                k: best.k,
                w: best.w,
            };
            self.out.send(conn, message);
        }
    }
}
