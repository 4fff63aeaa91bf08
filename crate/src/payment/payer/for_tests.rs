//! What tests alone do to a payer: no client calls it.

use super::{EndReason, Payer};
use crate::time::Timestamp;
use crate::types::{ConnectionId, FineUnits};
use crate::wire::pay::ByeReason;

impl Payer {
    /// Changes the most that may be paid for a block; ranges already promised keep their price.
    pub fn set_ceiling(&mut self, now: Timestamp, ceiling: FineUnits) {
        self.turn(now);
        self.config.ceiling = ceiling;
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            self.drop_drafts(conn);
        }
        self.pump_all();
    }

    /// Ends buying from a connection: pays the due blocks and says BYE. Requested blocks are still paid when they come.
    pub fn stop(&mut self, now: Timestamp, conn: ConnectionId) {
        self.turn(now);
        self.settle(conn);
        self.bye(conn, ByeReason::Done);
        self.end(conn, EndReason::Closed);
    }

    /// Blocks and fine units paid on this connection.
    pub fn paid_on(&self, conn: ConnectionId) -> (u64, FineUnits) {
        self.conns
            .get(&conn)
            .map_or((0, FineUnits(0)), |c| (c.ledger.paid, c.ledger.spent))
    }
}
