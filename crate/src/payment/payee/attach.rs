//! The connection of each range: attaching, moving it from one to another, and taking it away.
//!
//! Invariant: at most one connection has a range, and the payee tells a connection that loses it to another.

use alloy_primitives::B256;

use super::{Life, Payee, PayeeRange, RangeId};
use crate::payment::PayEvent;
use crate::types::ConnectionId;
use crate::wire::pay::RejectCode;

/// After this many milliseconds a connection that lost a range to another may ask for it again.
const MOVED_WAIT: u32 = 50;

impl Payee {
    /// Tells the connection that had a range that another takes it. The buyer may be there, and the other connection
    /// may only pass on a promise that the buyer made to it. Then the buyer promises anew.
    pub(super) fn tell_moved(&mut self, to: ConnectionId, before: &PayeeRange) {
        let (first, tag) = (before.best.voucher.first, before.best.voucher.tag());
        if let Some(from) = before.conn.filter(|from| *from != to) {
            self.reject(from, RejectCode::Rate, first, tag, MOVED_WAIT);
        }
    }

    /// The range is this connection's from now on: ACK, then unchoke.
    pub(super) fn attach(&mut self, conn: ConnectionId, id: RangeId) {
        let now = self.now;
        let holder = self.range(id).and_then(|r| r.conn);
        if let Some(other) = holder.filter(|other| *other != conn) {
            self.take_from(other, id);
        }
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.account = Some(id.account);
        c.tentative = None;
        c.pending = None;
        // A buyer that commits again buys again.
        c.bye = false;
        let newcomer = c.attached.is_empty();
        if newcomer {
            c.paid = 0;
        }
        // Full and closed ranges make room.
        let (ranges, tranche) = (&mut account.ranges, account.tranche);
        c.attached.retain(|first| {
            let over = ranges
                .get_mut(first)
                .filter(|r| r.life != Life::Open || r.usable(tranche) == 0);
            match over {
                Some(range) => {
                    range.conn = None;
                    range.idle_since = now;
                    false
                }
                None => *first != id.first,
            }
        });
        c.attached.push(id.first);
        let title = c.info.torrent;
        if let Some(range) = account.ranges.get_mut(&id.first) {
            range.conn = Some(conn);
            range.title = Some(title);
            range.suspended = false;
            range.paid_since_commit = 0;
        }
        if newcomer && self.owes_too_much(id.account) {
            self.refuse_for_debt(conn, id);
            return;
        }
        self.event(PayEvent::BuyerAttached {
            conn,
            account: id.account,
            first: id.first,
        });
        self.ack_now(conn, id.first);
        // An account at its limit waits; its range is good as soon as another is redeemed.
        if self.within_limit(conn) {
            self.unchoke(conn);
        }
    }

    /// A range leaves a connection whose buyer uses it elsewhere, or not at all. A reloaded page is back before its old
    /// connection is known to be dead. A full range that is still attached there buys nothing more.
    pub(super) fn take_from(&mut self, conn: ConnectionId, id: RangeId) {
        self.detach(conn, id.first);
        if !self.buys(conn) {
            self.leave_full_ranges(conn);
            let paid = self.conns.get(&conn).map_or(0, |c| c.paid);
            self.count_lost(id.account, conn, paid);
            self.store_facts(id.account);
        }
    }

    /// An old debt is worked off at the first credit, without growth; a debt of a whole window is too much. A smaller
    /// bound would refuse an honest buyer that was cut off several times before it had paid much.
    pub(super) fn owes_too_much(&self, account: B256) -> bool {
        self.debt(account) > u64::from(self.config.credit.most)
    }

    fn debt(&self, account: B256) -> u64 {
        let account = self.accounts.get(&account);
        account.map_or(0, |a| a.ledger.debt(self.config.credit.first))
    }

    /// Takes a range off its connection, because its account left blocks unpaid on others.
    pub(super) fn refuse_for_debt(&mut self, conn: ConnectionId, id: RangeId) {
        let tag = self.range(id).map_or([0; 4], |r| r.best.voucher.tag());
        let aux = u32::try_from(self.debt(id.account)).unwrap_or(u32::MAX);
        self.reject(conn, RejectCode::OverCredit, id.first, tag, aux);
        self.detach(conn, id.first);
    }

    /// Whether a range attached to the connection can still pay.
    fn buys(&self, conn: ConnectionId) -> bool {
        let Some(c) = self.conns.get(&conn) else {
            return false;
        };
        let Some(account) = c.account.and_then(|id| self.accounts.get(&id)) else {
            return false;
        };
        c.attached
            .iter()
            .filter_map(|first| account.ranges.get(first))
            .any(|range| range.life == Life::Open && range.usable(account.tranche) > 0)
    }

    fn leave_full_ranges(&mut self, conn: ConnectionId) {
        let attached = self.conns.get(&conn).map(|c| c.attached.clone());
        for first in attached.unwrap_or_default() {
            self.detach(conn, first);
        }
    }

    /// The range leaves the connection; without any range it is a free peer again.
    pub(super) fn detach(&mut self, conn: ConnectionId, first: u32) {
        let now = self.now;
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.attached.retain(|other| *other != first);
        c.ack = c.ack.filter(|other| *other != first);
        let none_left = c.attached.is_empty();
        let account = c.account;
        if none_left {
            c.full_since = None;
        }
        if let Some(account) = account {
            let id = RangeId { account, first };
            if let Some(range) = self.range_mut(id) {
                range.conn = None;
                range.idle_since = now;
            }
            self.store_links(id);
        }
        if none_left {
            self.choke(conn);
        }
    }
}
