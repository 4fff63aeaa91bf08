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
use super::seller::Seller;
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
        let Some(c) = self.conns.get(&conn).filter(|c| !c.greeted) else {
            return;
        };
        let payee = c.quote.as_ref().map(|q| q.terms.payee);
        let Some(payee) = payee.filter(|payee| self.is_dealt_with(conn, *payee)) else {
            return;
        };
        if let Some(c) = self.conns.get_mut(&conn) {
            c.greeted = true;
        }
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

    /// Whether the peer may learn the account and the sum: blocks are wanted from it, so that a COMMIT would tell it as
    /// much, or it sold some in this run. Anybody can claim a payee's name.
    fn is_dealt_with(&self, conn: ConnectionId, payee: Address) -> bool {
        self.conns.get(&conn).is_some_and(|c| {
            let book = self.sellers.get(&Seller::new(payee, conn, &c.info));
            c.wanted_terms().is_some() || c.delivered || book.is_some_and(|b| b.served)
        })
    }

    /// A connection ended, or did not answer, that had this range: its sum is named on another one to the same payee.
    pub(super) fn name_elsewhere(&mut self, first: u32) {
        let Some((payee, unit)) = self.range(first).map(|r| (r.payee, r.price)) else {
            return;
        };
        let is_payee = |c: &Conn| (c.quote.as_ref()).is_some_and(|q| q.terms.payee == payee);
        // The one that did not answer ended. The newest: an older one may be dead as well.
        let other = (self.conns.iter().rev()).find(|(_, c)| c.ended.is_none() && is_payee(c));
        if let Some(conn) = other.map(|(conn, _)| *conn) {
            self.reconcile(conn, first, unit);
        }
    }

    /// Prepares a voucher without steps whose base is the sum on record. As always, the base is durable first.
    fn reconcile(&mut self, conn: ConnectionId, first: u32, unit: FineUnits) {
        let payee = self.range(first).map(|r| r.payee);
        let may_hear =
            |payee| self.is_dealt_with(conn, payee) || self.was_first_to_sell(conn, first);
        if !payee.is_some_and(may_hear) {
            return;
        }
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
            return self.sum_stored(id, conn, voucher);
        }
        range.emitted_paid = range.paid;
        range.dirty_since = None;
        let record = range.record().encode();
        let work = PayerTask::Reconcile {
            account: id,
            conn,
            voucher,
        };
        self.put(Key::PayerRange(id, first), record, work);
    }

    /// The sum is durable: the session key signs it.
    pub(super) fn sum_stored(&mut self, account: B256, conn: ConnectionId, voucher: Box<Voucher>) {
        let digest = voucher.digest(&self.config.vault);
        if let Some(range) = self.range_mut(voucher.first) {
            range.durable_paid = range.durable_paid.max(voucher.base);
        }
        if !self.is_unchanged(account, &voucher) {
            return self.greet_again(conn);
        }
        let work = PayerTask::Reconcile {
            account,
            conn,
            voucher,
        };
        let effect = self.out.begin(work);
        self.out.push(PayAction::Sign { effect, digest });
    }

    /// Whether no connection took the range of a sum, and nothing was added to it, since the sum was written.
    fn is_unchanged(&self, account: B256, voucher: &Voucher) -> bool {
        let account = self.account.as_ref().filter(|a| a.id == account);
        account
            .and_then(|a| a.ranges.get(&voucher.first))
            .is_some_and(|r| r.is_of(voucher) && r.paid == voucher.base && r.may_be_named())
    }

    /// The range that was to be named is another now: one is chosen anew.
    fn greet_again(&mut self, conn: ConnectionId) {
        if let Some(c) = self.conns.get_mut(&conn) {
            c.greeted = false;
        }
        self.greet(conn);
    }

    /// The session key signed a sum, or did not.
    pub(super) fn sum_signed(
        &mut self,
        account: B256,
        conn: ConnectionId,
        sum: &Voucher,
        result: Result<Signature, NotSigned>,
    ) {
        let Ok(signature) = result else {
            return;
        };
        if !self.is_unchanged(account, sum) {
            return self.greet_again(conn);
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
        let known = account.ranges.get(&shown.first);
        let known = known.filter(|range| range.is_of(&shown));
        // Nothing is paid on a range that was made in this run before its first ACK.
        let is_forgotten = known.is_none_or(|range| range.fresh);
        if let Some(range) = known {
            // A range that a connection uses is agreed on by its COMMIT.
            let is_used = range.conn.is_some();
            if held == range.paid || is_used && !(range.fresh && held > range.paid) {
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
        // An own promise or a step that is not on record: the records are behind.
        if is_forgotten {
            self.hold_for_good();
        }
        let Some(account) = self.account.as_mut() else {
            return;
        };
        let range = account.ranges.get_mut(&voucher.first);
        if let Some(range) = range.filter(|r| r.is_of(&voucher) && r.conn.is_none()) {
            range.raise_paid(held, &mut account.spent);
            range.price = voucher.unit;
            range.title.get_or_insert(torrent);
            self.store_paid(voucher.first);
        }
    }
}

impl PayerRange {
    /// The promise is of this range: the same serials, payee and content.
    fn is_of(&self, v: &Voucher) -> bool {
        let same = (v.first, v.count, v.payee, v.content);
        same == (self.first, self.count, self.payee, self.content)
    }

    /// No connection uses it, its serials are durable, and a sum of it is still worth something.
    fn may_be_named(&self) -> bool {
        self.conn.is_none() && self.reserved && self.life != PayerRangeLife::Consumed
    }
}
