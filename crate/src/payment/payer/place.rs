//! The sellers that take one of the few places of a title.
//!
//! A seller takes a place only while its blocks are worth it: for [`Wait::LIMIT`](crate::time::Wait::LIMIT) from its
//! first promise on, and for two seconds more with each block that it sends. The buyer waits for it whatever it does
//! instead: be silent, put off, choke, give no credit, drip or leave and come back. The time of the wait goes with the
//! seller's ranges, so that nobody begins anew by another visit or another name. While the seller owes blocks the time
//! counts, wanted or not: a price that it raises meanwhile stops no clock. Otherwise no time counts in which the buyer
//! could get nothing from it anyway: it is not wanted, or there is nothing that any other peer would be asked for. So a
//! buyer that has everything it needs brings no further seller in.
//!
//! A seller that takes no place loses nothing by it: it stays wanted, before all that are dearer, and is asked for all
//! that it may be. But no seller that delivers waits for its sake, as dearer ones wait for a cheaper one that counts.

use super::Payer;
use crate::payment::Refusal;
use crate::time::Timestamp;
use crate::types::ConnectionId;

impl Payer {
    /// Whether this seller takes a place: it was promised something, or will be, and is not waited for in vain. It will
    /// be promised nothing where buying ended, or where its quote is too old, names somebody else or is refused.
    pub fn is_of_use(&self, conn: ConnectionId) -> bool {
        let Some(c) = self.conns.get(&conn).filter(|c| c.ended.is_none()) else {
            return false;
        };
        let good = c.quote.as_ref().is_some_and(|quote| {
            let ours = c.payee().is_none_or(|payee| payee == quote.terms.payee);
            ours && self.is_fresh(quote) && quote.refused.is_none_or(|why| self.is_passing(why))
        });
        !c.wait.is_over(self.now) && (good || !c.ranges.is_empty())
    }

    /// Whether a refusal shows nothing against this seller beside those that were promised something. The rest of the
    /// budget is too little for a dearer one as well, and the promises of an account that is not read yet are not
    /// known.
    fn is_passing(&self, why: Refusal) -> bool {
        let held = || self.account.as_ref().is_some_and(|a| a.held());
        why == Refusal::BudgetExhausted || why == Refusal::NoAccount && !held()
    }

    /// Says whether anybody would be asked for more without this seller. Answers when it takes no place any more if
    /// nothing comes.
    pub fn wait_for(&mut self, now: Timestamp, conn: ConnectionId, lacking: bool) -> Timestamp {
        self.turn(now);
        let Some(c) = self.conns.get_mut(&conn) else {
            return Timestamp::NEVER;
        };
        let waited_for = c.ledger.in_flight > 0 || c.wanted && lacking;
        (c.wait).set(now, c.seller.is_some() && waited_for);
        c.wait.ends_at()
    }
}
