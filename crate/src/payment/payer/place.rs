//! Who takes one of the few places that a title has for sellers.
//!
//! A seller takes one only while what it delivers is worth it: for [`Wait::LIMIT`](crate::time::Wait::LIMIT) from its
//! first promise on, and for two seconds more with each block that it sends. Whatever it does instead, be it silent,
//! put off, choke, give no credit, drip or leave and come back, it is waited for. What it was waited for goes with its
//! ranges, so that nobody begins anew by another visit or another name. While it owes blocks it is waited for, wanted or
//! not: a price that it raises meanwhile stops no clock. Otherwise no time counts in which nothing could come from it for
//! our sake: it is not wanted, or there is nothing that anybody else would be asked for. So a buyer that has what it needs
//! brings no further seller in.
//!
//! A seller that takes no place loses nothing by it: it stays wanted, before all that are dearer, and is asked for all that it
//! may be. But none that delivers waits for its sake, as dearer ones are for a cheaper one that counts.

use super::Payer;
use crate::payment::Refusal;
use crate::time::Timestamp;
use crate::types::ConnectionId;

impl Payer {
    /// Whether this seller takes a place: it was promised something, or will be, and is not waited for in vain. Nothing will be
    /// where buying ended, or its quote is too old, names somebody else or is refused.
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

    /// Whether a refusal says nothing against this seller beside those that were promised something: what is left of the
    /// budget is too little for a dearer one as well, and what was promised by an account that is not read yet is not known.
    fn is_passing(&self, why: Refusal) -> bool {
        let held = || self.account.as_ref().is_some_and(|a| a.held());
        why == Refusal::BudgetExhausted || why == Refusal::NoAccount && !held()
    }

    /// Says whether anybody would be asked for more if it were not this seller. Answers when it takes no place any more if
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
