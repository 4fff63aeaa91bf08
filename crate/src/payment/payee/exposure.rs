//! The most that one account may owe before it is redeemed.
//!
//! Invariant: three sums of an account together are worth no more than [`PayeeConfig::exposure_limit`] allows for its
//! bond: the unredeemed ranges, the unpaid blocks, and the ranges that somebody else redeemed in this seller's place.
//! Only blocks of a broken connection, which are paid late, come on top. So a seller of a promise that others hold too
//! loses no more than that, however often. An account at its limit is choked, and goes on as soon as some of it is
//! redeemed; an account at half of it is due for redemption, and at a fixed sum as far as its ranges are half used.

use super::state::{Life, PayeeAccount, PayeeRange};
use super::{Payee, PayeeConfig};
use crate::types::{ConnectionId, FineUnits};

impl PayeeAccount {
    /// Steps received in ranges of such lives.
    fn received(&self, of: impl Fn(Life) -> bool) -> u128 {
        (self.ranges.values())
            .filter(|r| of(r.life))
            .fold(0, |sum, r| sum.saturating_add(r.newest().owed().0))
    }

    /// Whether this many more blocks at this price would pass the limit. One block is always within it.
    pub(super) fn passes_limit(&self, config: &PayeeConfig, price: FineUnits, blocks: u64) -> bool {
        let limit = config.exposure_limit(self.bond).max(price);
        let more = price.0.saturating_mul(u128::from(blocks));
        // A buyer that promised twice does not get the same credit again.
        let lent = self.received(|life| life.is_unredeemed() || life == Life::Lost);
        lent.saturating_add(more) > limit.0
    }

    /// All of its live ranges are due, too.
    pub(super) fn owes_much(&self, config: &PayeeConfig) -> bool {
        self.received(Life::is_unredeemed) >= config.due_exposure(self.bond).0
            || self.is_at_limit(config)
    }

    /// Its live ranges are due, too, once they are half used.
    pub(super) fn owes_some(&self, config: &PayeeConfig) -> bool {
        self.received(Life::is_unredeemed) >= config.due_in_part().0
    }

    /// The payee sends it nothing more.
    pub(super) fn is_at_limit(&self, config: &PayeeConfig) -> bool {
        let price = (self.ranges.values())
            .filter(|r| r.conn.is_some())
            .map(|r| r.newest().voucher.unit)
            .max();
        price.is_some_and(|price| self.passes_limit(config, price, 1))
    }
}

impl Payee {
    /// Whether one more block to this connection keeps the account's debt within its limit.
    pub(super) fn within_limit(&self, conn: ConnectionId) -> bool {
        let Some(c) = self.conns.get(&conn) else {
            return false;
        };
        let Some(account) = c.account.and_then(|id| self.accounts.get(&id)) else {
            return false;
        };
        let range = |first| account.ranges.get(first);
        let Some(newest) = c.attached.last().and_then(range).map(PayeeRange::newest) else {
            return false;
        };
        let blocks = account.ledger.unpaid().saturating_add(1);
        !account.passes_limit(&self.config, newest.voucher.unit, blocks)
    }

    /// Chokes a paying peer that is at its limit, so that it asks others meanwhile.
    pub(super) fn hold_at_limit(&mut self, conn: ConnectionId) {
        if !self.within_limit(conn) {
            self.choke(conn);
        }
    }
}
