//! Agreeing with a payee on ranges that no connection uses, when the two meet again.
//!
//! The end of such a range may be missing on one side: a crash takes the last records, and a link that is on its way
//! when a connection ends arrives nowhere. No later fold names the sum of a range that is full or closed. So the payer
//! names one such range on each connection (RECONCILE), the payee shows what it holds of all of them (HELD), and each
//! side takes the higher sum.
//!
//! Invariant: the payer signs no sum above its own record, and raises its record only to what its own signature and a
//! link of that voucher's chain prove.

use alloy_primitives::{Address, B256};

use super::range::{PayerRange, PayerTask};
use super::{Conn, Payer};
use crate::payment::chain;
use crate::payment::record::{Key, PayerRangeLife};
use crate::payment::voucher::{self, Signature, Voucher};
use crate::payment::{NotSigned, PayAction, RECONCILED_RANGES};
use crate::types::{ConnectionId, FineUnits};
use crate::wire::pay::{PayMessage, VoucherBody};

impl Payer {
    /// Names the newest range that the payee of this connection has, and that no connection uses: the payee then knows
    /// the account. Once, as soon as both the payee and the account are known. Ranges that nothing more is paid on go
    /// first: no COMMIT takes them meanwhile.
    pub(super) fn greet(&mut self, conn: ConnectionId) {
        let Some(account) = self.account.as_ref().filter(|a| a.ready() || a.held()) else {
            return;
        };
        let Some(c) = self.conns.get_mut(&conn).filter(|c| !c.greeted) else {
            return;
        };
        let Some(payee) = c.quote.as_ref().map(|q| q.terms.payee) else {
            return;
        };
        c.greeted = true;
        let tranche = account.info.tranche;
        let of_payee = || {
            let newest_first = account.ranges.values().rev();
            newest_first.filter(|r| r.payee == payee && r.may_be_named())
        };
        let is_over = |r: &&PayerRange| r.life != PayerRangeLife::Usable || r.is_used_up(tranche);
        let named = of_payee().find(is_over).or_else(|| of_payee().next());
        if let Some((first, unit)) = named.map(|r| (r.first, r.price)) {
            self.reconcile(conn, first, unit);
        }
    }

    /// A connection ended, or did not answer, that had this range: its sum is named on another one to the same payee.
    pub(super) fn name_elsewhere(&mut self, first: u32) {
        let Some((payee, unit)) = self.range(first).map(|r| (r.payee, r.price)) else {
            return;
        };
        let sells = |c: &Conn| (c.quote.as_ref()).is_some_and(|q| q.terms.payee == payee);
        // The newest: an older one may be dead as well.
        let other = self.conns.iter().rev().find(|(_, c)| sells(c));
        if let Some(conn) = other.map(|(conn, _)| *conn) {
            self.reconcile(conn, first, unit);
        }
    }

    /// Prepares a voucher without steps whose base is the sum on record. As always, the base is durable first.
    fn reconcile(&mut self, conn: ConnectionId, first: u32, unit: FineUnits) {
        let root = self.fresh_tip();
        let Some(account) = self.account.as_mut() else {
            return;
        };
        let (id, owner) = (account.id, account.info.owner);
        let range = (account.ranges.get_mut(&first)).filter(|r| r.may_be_named());
        let c = (self.conns.get_mut(&conn)).filter(|c| c.compared < RECONCILED_RANGES);
        let (Some(range), Some(c)) = (range, c) else {
            return;
        };
        c.compared += 1;
        let voucher = Box::new(Voucher {
            owner,
            payee: range.payee,
            first,
            count: range.count,
            content: range.content,
            base: range.paid,
            unit,
            steps: 0,
            root,
            luck: B256::ZERO,
        });
        if range.durable_paid == range.paid {
            return self.sum_stored(conn, voucher);
        }
        range.emitted_paid = range.paid;
        range.dirty_since = None;
        let record = range.record().encode();
        let work = PayerTask::Reconcile { conn, voucher };
        self.put(Key::PayerRange(id, first), record, work);
    }

    /// The sum is durable: the session key signs it.
    pub(super) fn sum_stored(&mut self, conn: ConnectionId, voucher: Box<Voucher>) {
        let digest = voucher.digest(&self.config.vault);
        if let Some(range) = self.unchanged(&voucher) {
            range.durable_paid = range.paid;
            let effect = self.out.begin(PayerTask::Reconcile { conn, voucher });
            self.out.push(PayAction::Sign { effect, digest });
        }
    }

    /// The range of a sum, if no connection took it, and nothing was added to it, since the sum was written.
    fn unchanged(&mut self, voucher: &Voucher) -> Option<&mut PayerRange> {
        let account = (self.account.as_mut()).filter(|a| a.info.owner == voucher.owner)?;
        let range = account.ranges.get_mut(&voucher.first)?;
        let is_same = range.payee == voucher.payee && range.paid == voucher.base;
        (is_same && range.may_be_named()).then_some(range)
    }

    /// The session key signed a sum, or did not.
    pub(super) fn sum_signed(
        &mut self,
        conn: ConnectionId,
        sum: &Voucher,
        result: Result<Signature, NotSigned>,
    ) {
        let Ok(signature) = result else {
            return;
        };
        if self.unchanged(sum).is_none() {
            // A COMMIT took the range meanwhile, and another one is named.
            if let Some(c) = self.conns.get_mut(&conn) {
                c.greeted = false;
            }
            return self.greet(conn);
        }
        let voucher = sum.to_body(&signature);
        let is_own = self.signed_here(sum.payee, &voucher).is_some();
        if is_own && self.conns.contains_key(&conn) {
            self.send(conn, PayMessage::Reconcile { voucher });
        }
    }

    /// The payee shows its best voucher and link of a range. Less than our sum: it lost the rest, and gets the sum
    /// again. More: a record was lost here, if our signature and the links say so.
    pub(super) fn held(
        &mut self,
        conn: ConnectionId,
        payee: Address,
        body: &VoucherBody,
        k: u16,
        w: B256,
    ) {
        let (shown, _) = Voucher::from_body(body, payee);
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let quoted = c.quote.as_ref().map(|q| q.terms.payee);
        let account = self.account.as_ref().filter(|a| a.ready() || a.held());
        let Some(account) = account.filter(|_| quoted == Some(payee)) else {
            return;
        };
        let cap = voucher::range_cap(shown.count, account.info.tranche);
        let held = shown.owed_at(k).min(cap);
        if let Some(range) = account.ranges.get(&shown.first) {
            let is_same = range.payee == payee
                && (range.count, range.content) == (shown.count, shown.content);
            // A range that a connection uses is agreed on by its COMMIT.
            if !is_same || range.conn.is_some() || held == range.paid {
                return;
            }
            if held < range.paid {
                return self.reconcile(conn, shown.first, shown.unit);
            }
        }
        let torrent = c.info.torrent;
        if c.compared >= RECONCILED_RANGES {
            return;
        }
        let own = self.signed_here(payee, body);
        let own = own.filter(|v| v.luck.is_zero() && k <= v.steps && chain::walk(w, k) == v.root);
        if let Some(c) = self.conns.get_mut(&conn) {
            // Who shows what was never signed here is not looked at again.
            c.compared = match own {
                Some(_) => c.compared + 1,
                None => RECONCILED_RANGES,
            };
        }
        let Some(voucher) = own else {
            return;
        };
        // An own signature over serials that were never promised here: the records are behind.
        self.skip_past(voucher.end() - 1);
        let Some(account) = self.account.as_mut() else {
            return;
        };
        if let Some(range) = account.ranges.get_mut(&voucher.first) {
            range.raise_paid(held, &mut account.spent);
            range.price = voucher.unit;
            range.title.get_or_insert(torrent);
            self.store_paid(voucher.first);
        }
    }
}

impl PayerRange {
    /// No connection uses it, its serials are durable, and a sum of it is still worth something.
    fn may_be_named(&self) -> bool {
        self.conn.is_none() && self.reserved && self.life != PayerRangeLife::Consumed
    }
}
