//! The number of blocks that each side owes the other. Counts only: the payer and the payee decide on prices and
//! ranges.
//!
//! Invariant: a block is in one place at a time. On the payer's side it is in flight, received, due or paid. On the
//! payee's side it is unpaid (on one connection), lost, forgiven or paid.

use super::record::PayeeFactsRecord;
use crate::sorted::Map;
use crate::types::{BlockRef, ConnectionId, FineUnits};

/// Blocks that a buyer may owe: a seller's stake with each account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// At first.
    pub first: u16,
    /// At most.
    pub most: u16,
    /// Paid blocks for each further block of credit; 0: it does not grow.
    pub ramp: u8,
}

impl Default for Credit {
    /// 256 KiB at first, half of the paid blocks after that, 4 MiB at most.
    fn default() -> Self {
        Credit {
            first: 16,
            most: 256,
            ramp: 2,
        }
    }
}

/// Ramp of an account that walked away owing.
pub const WALKED_RAMP: u8 = 16;

/// The payer's side of one connection.
#[derive(Clone, Debug, Default)]
pub struct BuyerLedger {
    /// Requests sent and not ended.
    pub in_flight: u32,
    /// Blocks that came in while a range was attached and are not judged yet, with the number of copies of each.
    unverified: Map<BlockRef, u16>,
    unverified_count: u32,
    /// Blocks that may be paid now.
    pub due: u32,
    /// Blocks paid on this connection.
    pub paid: u64,
    /// Fine units revealed on this connection.
    pub spent: FineUnits,
}

impl BuyerLedger {
    /// A block came in that was asked for. It is charged if a range is attached.
    pub fn received(&mut self, block: BlockRef, charged: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.came_late(block, charged);
    }

    /// A block came in that was asked for once, and is no longer in flight.
    pub fn came_late(&mut self, block: BlockRef, charged: bool) {
        if charged {
            let times = self.unverified.entry(block).or_insert(0);
            *times = times.saturating_add(1);
            self.unverified_count = self.unverified_count.saturating_add(1);
        }
    }

    /// The block was judged (or may be advanced): true when it had come in charged.
    pub fn judged(&mut self, block: BlockRef) -> bool {
        let Some(times) = self.unverified.get_mut(&block) else {
            return false;
        };
        *times -= 1;
        if *times == 0 {
            self.unverified.remove(&block);
        }
        self.unverified_count = self.unverified_count.saturating_sub(1);
        true
    }

    /// Whether a charged copy of the block waits for its verdict.
    pub fn awaits(&self, block: BlockRef) -> bool {
        self.unverified.contains_key(&block)
    }

    /// Charged blocks that wait for their verdict.
    pub fn unverified(&self) -> u32 {
        self.unverified_count
    }

    /// Received and not paid.
    pub fn received_unpaid(&self) -> u32 {
        self.unverified_count.saturating_add(self.due)
    }

    /// Blocks that count against credit: in flight, received and not paid.
    pub fn outstanding(&self) -> u32 {
        self.in_flight.saturating_add(self.received_unpaid())
    }
}

/// The payee's side of one account, over all its connections.
#[derive(Clone, Debug, Default)]
pub struct SellerLedger {
    facts: PayeeFactsRecord,
    unpaid: Map<ConnectionId, u32>,
}

impl SellerLedger {
    /// With the counts of earlier runs.
    pub fn new(facts: PayeeFactsRecord) -> Self {
        SellerLedger {
            facts,
            unpaid: Map::new(),
        }
    }

    /// The facts to be stored.
    pub fn facts(&self) -> &PayeeFactsRecord {
        &self.facts
    }

    /// The facts to be stored, to change the redeemed sum.
    pub fn facts_mut(&mut self) -> &mut PayeeFactsRecord {
        &mut self.facts
    }

    /// Blocks unpaid on all connections.
    pub fn unpaid(&self) -> u64 {
        self.unpaid.values().map(|n| u64::from(*n)).sum()
    }

    /// Blocks unpaid on one connection.
    pub fn unpaid_on(&self, conn: ConnectionId) -> u32 {
        self.unpaid.get(&conn).copied().unwrap_or(0)
    }

    /// Blocks that connections left unpaid as they went away, beyond the forgiven ones. An honest payer never received
    /// the forgiven ones and so never pays them: its first credit, and a 32nd of all that it ever paid.
    pub fn debt(&self, first_credit: u16) -> u64 {
        let forgiven = u64::from(first_credit).saturating_add(self.facts.paid_total / 32);
        self.facts.lost.saturating_sub(forgiven)
    }

    /// A `piece` message was written.
    pub fn written(&mut self, conn: ConnectionId) {
        let unpaid = self.unpaid.entry(conn).or_insert(0);
        *unpaid = unpaid.saturating_add(1);
    }

    /// `blocks` were paid on `conn`: that connection's first, then lost ones, then other connections'.
    pub fn paid(&mut self, conn: ConnectionId, blocks: u32) {
        self.facts.paid_total = self.facts.paid_total.saturating_add(u64::from(blocks));
        let mut left = blocks;
        if let Some(unpaid) = self.unpaid.get_mut(&conn) {
            let here = left.min(*unpaid);
            *unpaid -= here;
            left -= here;
        }
        let old = u64::from(left).min(self.facts.lost);
        self.facts.lost -= old;
        left -= old as u32;
        for unpaid in self.unpaid.values_mut() {
            let there = left.min(*unpaid);
            *unpaid -= there;
            left -= there;
        }
        self.look_at_walk();
    }

    /// `blocks` of connections that are gone were paid after all.
    pub fn paid_late(&mut self, blocks: u32) {
        let facts = &mut self.facts;
        facts.paid_total = facts.paid_total.saturating_add(u64::from(blocks));
        facts.lost = facts.lost.saturating_sub(u64::from(blocks));
        self.look_at_walk();
    }

    fn look_at_walk(&mut self) {
        if self.facts.lost <= self.facts.paid_total / 32 {
            self.facts.walked = false;
        }
    }

    /// `blocks` that counted as paid on `conn` do not, because the voucher could not be stored.
    pub fn unpay(&mut self, conn: ConnectionId, blocks: u32) {
        self.facts.paid_total = self.facts.paid_total.saturating_sub(u64::from(blocks));
        let unpaid = self.unpaid.entry(conn).or_insert(0);
        *unpaid = unpaid.saturating_add(blocks);
    }

    /// The connection is gone: its unpaid blocks are lost. Answers their number when that is a walk-away: more than a
    /// 32nd of the blocks paid on this connection. (When an honest page closes, the blocks in transit stay below that
    /// once some credit has grown. An account that pays off all its lost blocks is no walk-away any more.)
    pub fn disconnect(&mut self, conn: ConnectionId, paid_on_connection: u64) -> Option<u32> {
        let left = self.unpaid.remove(&conn).unwrap_or(0);
        self.facts.lost = self.facts.lost.saturating_add(u64::from(left));
        let walked = u64::from(left) > paid_on_connection / 32;
        if walked {
            self.facts.walked = true;
        }
        walked.then_some(left)
    }

    /// `clamp(floor(paidOnThisConnection / ramp), first, most)`. With ramp 0 it does not grow, and neither while an old
    /// debt is not worked off (docs/protocol.md, "Credit").
    pub fn credit(&self, paid_on_connection: u64, given: Credit) -> u16 {
        if self.debt(given.first) > 0 {
            return given.first;
        }
        let ramp = match (given.ramp, self.facts.walked) {
            (0, _) => 0,
            (ramp, true) => ramp.max(WALKED_RAMP),
            (ramp, false) => ramp,
        };
        let grown = paid_on_connection.checked_div(u64::from(ramp)).unwrap_or(0);
        let grown = u16::try_from(grown).unwrap_or(u16::MAX);
        grown.max(given.first).min(given.most.max(given.first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PieceIndex;

    const CREDIT: Credit = Credit {
        first: 4,
        most: 128,
        ramp: 4,
    };
    const A: ConnectionId = ConnectionId(1);
    const B: ConnectionId = ConnectionId(2);

    fn block(n: u32) -> BlockRef {
        BlockRef {
            piece: PieceIndex(n),
            begin: 0,
            length: 16_384,
        }
    }

    #[test]
    fn credit_grows_with_what_was_paid_and_slower_after_a_walk_away() {
        let mut ledger = SellerLedger::default();
        assert_eq!(ledger.credit(0, CREDIT), 4);
        assert_eq!(ledger.credit(19, CREDIT), 4);
        assert_eq!(ledger.credit(20, CREDIT), 5);
        assert_eq!(ledger.credit(10_000, CREDIT), 128);
        assert_eq!(ledger.credit(10_000, Credit { ramp: 0, ..CREDIT }), 4);
        ledger.written(A);
        assert_eq!(ledger.disconnect(A, 0), Some(1));
        assert_eq!(ledger.credit(160, CREDIT), 10);
        ledger.paid(B, 1);
        assert_eq!(ledger.credit(160, CREDIT), 40, "a debt paid off is no debt");
    }

    #[test]
    fn a_debt_beyond_what_is_forgiven_stops_credit_from_growing_until_it_is_worked_off() {
        let mut ledger = SellerLedger::default();
        for _ in 0..2 {
            for _ in 0..4 {
                ledger.written(A);
            }
            ledger.disconnect(A, 0);
        }
        assert_eq!(ledger.debt(4), 4, "8 lost, 4 forgiven");
        assert_eq!(
            ledger.unpaid(),
            0,
            "what an honest payer never got is not asked of it"
        );
        assert_eq!(ledger.credit(1_000, CREDIT), 4);
        ledger.facts_mut().paid_total = 128;
        assert_eq!(ledger.debt(4), 0, "128 paid forgive 4 more");
        assert_eq!(
            ledger.credit(1_000, CREDIT),
            62,
            "after a walk-away, slowly"
        );
        ledger.facts_mut().paid_total = 256;
        ledger.paid(A, 0);
        assert_eq!(ledger.credit(1_000, CREDIT), 128, "forgotten");
    }

    #[test]
    fn a_small_remainder_of_a_good_customer_is_no_walk_away() {
        let mut ledger = SellerLedger::default();
        ledger.written(A);
        assert_eq!(ledger.disconnect(A, 64), None);
        assert_eq!(ledger.facts().lost, 1);
    }

    #[test]
    fn a_payment_covers_its_own_connection_first_then_others() {
        let mut ledger = SellerLedger::default();
        ledger.written(A);
        ledger.written(B);
        ledger.written(B);
        ledger.paid(A, 2);
        assert_eq!((ledger.unpaid_on(A), ledger.unpaid_on(B)), (0, 1));
        ledger.unpay(A, 2);
        assert_eq!((ledger.unpaid_on(A), ledger.facts().paid_total), (2, 0));
    }

    #[test]
    fn each_charged_copy_of_a_block_is_judged_once() {
        let mut ledger = BuyerLedger {
            in_flight: 3,
            ..BuyerLedger::default()
        };
        ledger.received(block(1), true);
        ledger.received(block(1), true);
        ledger.received(block(2), false);
        assert_eq!((ledger.in_flight, ledger.unverified()), (0, 2));
        // A request that was taken back is not in flight: it makes no room for another one.
        ledger.in_flight = 1;
        ledger.came_late(block(2), false);
        assert_eq!(ledger.outstanding(), 3);
        ledger.in_flight = 0;
        assert!(ledger.judged(block(1)));
        assert!(ledger.judged(block(1)));
        assert!(!ledger.judged(block(1)));
        assert!(!ledger.judged(block(2)), "free blocks are not charged");
        assert_eq!(ledger.outstanding(), 0);
    }
}
