//! Counting blocks, and paying chain steps for them.
//!
//! Invariant: `settle` is the only place where a link leaves for new blocks, and it never reveals
//! more steps than blocks are due, nor more than the budget allows.

use super::{Conn, MAX_LIVE_RANGES, PAY_DELAY, Payer};
use crate::payment::ledger::BuyerLedger;
use crate::payment::{BanReason, EndReason, PayAction, PayEvent, TitleKind};
use crate::time::Timestamp;
use crate::types::{BlockRef, ConnectionId};
use crate::verify::Payable;
use crate::wire::pay::PayMessage;

impl Payer {
    /// A REQUEST left.
    pub fn request_sent(&mut self, conn: ConnectionId) {
        if let Some(c) = self.conns.get_mut(&conn) {
            c.ledger.in_flight = c.ledger.in_flight.saturating_add(1);
        }
    }

    /// A request will bring no block: it was cancelled in time, rejected, or dropped by a choke.
    pub fn request_ended_without_block(&mut self, conn: ConnectionId) {
        if let Some(c) = self.conns.get_mut(&conn) {
            c.ledger.in_flight = c.ledger.in_flight.saturating_sub(1);
        }
    }

    /// A block that this connection was asked for came in, not verified yet.
    pub fn block_received(&mut self, conn: ConnectionId, block: BlockRef) {
        let now = self.now;
        if let Some(c) = self.conns.get_mut(&conn) {
            c.wait.block(now);
            c.ledger.received(block, c.acked);
        }
    }

    /// The same for a block whose request was taken back before. It is charged as any other, but earns its seller no
    /// place. Otherwise a seller that only sends blocks that others were asked for meanwhile would be asked again and
    /// again, and be paid beside them.
    pub fn taken_back_received(&mut self, conn: ConnectionId, block: BlockRef) {
        if let Some(c) = self.conns.get_mut(&conn) {
            c.ledger.came_late(block, c.acked);
        }
    }

    /// A block of this connection may be paid: verified, or (v1) durable in scratch while its piece is
    /// incomplete. A block that came free of charge, or was paid in advance, costs nothing here.
    ///
    /// Answers whether a step is due for it. An advance is refused (false) when it would reach over a
    /// second incomplete piece of this payee, or beyond the title's loss budget; offer it again as
    /// verified later.
    pub fn payable(&mut self, now: Timestamp, conn: ConnectionId, payable: Payable) -> bool {
        self.turn(now);
        let block = payable.block();
        let verified = matches!(payable, Payable::Verified(_));
        let Some(c) = self.conns.get(&conn) else {
            return verified && self.late_block(conn, block);
        };
        let torrent = c.info.torrent;
        let awaited = c.ledger.awaits(block);
        if let Payable::Advance(advance) = &payable
            && !(awaited && self.may_advance(conn, advance))
        {
            return false;
        }
        let Some(c) = self.conns.get_mut(&conn) else {
            return false;
        };
        if verified && !core::mem::replace(&mut c.delivered, true) {
            self.proved(conn);
        }
        let book = self.book_mut(conn);
        if verified && book.is_some_and(|b| b.take_advanced(torrent, block)) {
            self.judged(torrent, &[block]);
            return false;
        }
        let Some(c) = self.conns.get_mut(&conn) else {
            return false;
        };
        if !c.ledger.judged(block) {
            return false;
        }
        c.ledger.due = c.ledger.due.saturating_add(1);
        c.pay_deadline.get_or_insert(self.now + PAY_DELAY);
        if let Payable::Advance(advance) = payable {
            self.stake(conn, torrent, &advance);
        }
        true
    }

    /// A block of a connection that is gone was verified: it is owed to its seller.
    fn late_block(&mut self, conn: ConnectionId, block: BlockRef) -> bool {
        let Some(gone) = self.gone.iter_mut().find(|g| g.conn == conn) else {
            return false;
        };
        let torrent = gone.torrent;
        let book = self.sellers.entry(gone.seller.clone()).or_default();
        if book.take_advanced(torrent, block) {
            self.judged(torrent, &[block]);
            return false;
        }
        if !gone.ledger.judged(block) {
            return false;
        }
        book.debt = book.debt.saturating_add(1);
        true
    }

    /// Blocks of this connection are bad, and the torrent is sure of the sender: the peer is banned, the payee at its
    /// address gets nothing more, the advances for them are lost.
    pub fn block_invalid(&mut self, now: Timestamp, conn: ConnectionId, blocks: &[BlockRef]) {
        self.turn(now);
        let (seller, torrent) = match self.conns.get_mut(&conn) {
            Some(c) => {
                for block in blocks {
                    while c.ledger.judged(*block) {}
                }
                (c.seller.clone(), c.info.torrent)
            }
            None => match self.gone.iter_mut().find(|g| g.conn == conn) {
                Some(gone) => {
                    // Nothing more is paid; its advances in other pieces are still to be judged.
                    gone.ledger = BuyerLedger::default();
                    (Some(gone.seller.clone()), gone.torrent)
                }
                None => return,
            },
        };
        let mut lost = Vec::new();
        if let Some(seller) = seller {
            let book = self.sellers.entry(seller.clone()).or_default();
            book.refused = true;
            for block in blocks {
                while book.take_advanced(torrent, *block) {
                    lost.push(*block);
                }
            }
            // Nothing more is paid there, on any connection.
            let same: Vec<_> = self
                .conns
                .iter()
                .filter(|(id, c)| **id != conn && c.seller.as_ref() == Some(&seller))
                .map(|(id, _)| *id)
                .collect();
            for other in same {
                self.leave(other, EndReason::SoldBadData);
            }
        }
        self.leave(conn, EndReason::SoldBadData);
        self.judged(torrent, &lost);
        self.book_loss(torrent, lost.len() as u32);
        self.out.push(PayAction::Ban {
            conn,
            reason: BanReason::SoldBadData,
        });
    }

    /// Drops a seller: its ranges are detached at once and nothing more is paid.
    pub(super) fn leave(&mut self, conn: ConnectionId, reason: EndReason) {
        self.end(conn, reason);
        for first in self.ranges_of(conn) {
            self.end_range(conn, first, false);
        }
        if let Some(c) = self.conns.get_mut(&conn) {
            c.acked = false;
            c.ledger.due = 0;
            c.pay_deadline = None;
        }
    }

    /// The blocks that count against the credit that a seller gives, over all its connections.
    fn outstanding(&self, conn: ConnectionId) -> u64 {
        let Some(c) = self.conns.get(&conn) else {
            return 0;
        };
        match &c.seller {
            None => u64::from(c.ledger.outstanding()),
            Some(seller) => self.outstanding_at(seller) + u64::from(self.phantom(conn)),
        }
    }

    /// Blocks that the seller on this connection counts as unpaid and that never came.
    fn phantom(&self, conn: ConnectionId) -> u32 {
        self.book(conn).map_or(0, |b| b.phantom)
    }

    /// The most that a block of this connection costs; 0 when it is free.
    fn price_on(&self, c: &Conn) -> u128 {
        if !c.acked {
            return 0;
        }
        let agreed = c.ranges.iter().filter_map(|first| self.range(*first));
        agreed
            .map(|r| r.price.0)
            .max()
            .or(c.quote.as_ref().map(|q| q.terms.unit.0))
            .unwrap_or(0)
    }

    /// The number of further requests that may go out on this connection now: within credit
    /// (`inFlight + receivedUnpaid <= credit`), within the steps that its ranges still allow, and within the budget. 0
    /// while no range is attached.
    pub fn may_request(&self, conn: ConnectionId) -> u32 {
        let Some(c) = self.conns.get(&conn) else {
            return 0;
        };
        if !c.acked || c.ended.is_some() || !c.wanted {
            return 0;
        }
        let outstanding = self.outstanding(conn);
        let credit = u64::from(c.credit).saturating_sub(outstanding);
        let here = u64::from(c.ledger.outstanding()) + u64::from(self.phantom(conn));
        let steps = self.usable_on(conn, false).saturating_sub(here);
        let pledged: u128 = self
            .conns
            .values()
            .map(|c| (self.price_on(c)).saturating_mul(u128::from(c.ledger.outstanding())))
            .fold(0, u128::saturating_add);
        let price = self.price_on(c).max(1);
        let budget = self.budget_left().0.saturating_sub(pledged) / price;
        let most = credit.min(steps).min(u64::from(u32::MAX));
        most.min(u64::try_from(budget).unwrap_or(u64::MAX)) as u32
    }

    /// v1: the number of received blocks of the oldest incomplete piece that should be advanced now, so that
    /// `ceil(credit/2)` stay unpaid; `None` while credit and steps are left or nothing may be advanced. Make them
    /// durable in scratch, then pass them to [`Payer::payable`] as `Advance`.
    pub fn needs_advance(&self, conn: ConnectionId) -> Option<u32> {
        let c = self.conns.get(&conn)?;
        let v1 = matches!(c.title, TitleKind::V1 { .. });
        if !v1 || !c.acked || c.ended.is_some() || c.credit == 0 {
            return None;
        }
        // The last steps of two ranges may be fewer than the blocks of a piece, and a third range comes only when one
        // of the two is used up.
        let here = u64::from(c.ledger.outstanding()) + u64::from(self.phantom(conn));
        let (steps, credit) = (self.usable_on(conn, false), u64::from(c.credit));
        let is_last = here >= steps
            && steps == self.usable_on(conn, true)
            && self.live_on(c) >= MAX_LIVE_RANGES;
        if self.outstanding(conn) < credit && !is_last {
            return None;
        }
        let unpaid = (c.ledger.received_unpaid()).saturating_add(self.phantom(conn));
        // All of it, where the credit is a single block: otherwise nothing more would ever be asked for.
        let most = if is_last { credit.min(steps) } else { credit } as u32;
        let keep = most.div_ceil(2).min(most.saturating_sub(1));
        let wanted = unpaid.saturating_sub(keep).min(c.ledger.unverified());
        let blocks = wanted.min(self.advances_left(conn));
        (blocks > 0).then_some(blocks)
    }

    /// docs/protocol.md, "When the buyer pays": at the end of a batch if at least 4 verified blocks are unpaid, or
    /// unpaid is at least a quarter of the credit, or nothing is in flight; else with the next batch.
    pub(super) fn pay_if_time(&mut self, conn: ConnectionId) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let quarter = u32::from(c.credit).div_ceil(4);
        let now_is_time = c.ledger.due >= 4
            || c.ledger.received_unpaid() >= quarter
            || c.ledger.in_flight == 0
            || c.pay_next_batch;
        if now_is_time {
            self.settle(conn);
        } else {
            c.pay_next_batch = true;
        }
    }

    /// Reveals a step for every block due, on the connection's ranges in order.
    pub(super) fn settle(&mut self, conn: ConnectionId) {
        self.store_stakes();
        for first in self.ranges_of(conn) {
            let budget = self.budget_left();
            let Some(due) = self.conns.get(&conn).map(|c| c.ledger.due) else {
                break;
            };
            let Some(range) = self.range_mut(first).filter(|r| r.is_payable()) else {
                continue;
            };
            // Before the fold's ACK, no further than the old chain could go on a refusal.
            let fallback = match (&range.prior, &range.active) {
                (Some(old), Some(new)) => old.steps_left().saturating_sub(new.k),
                _ => u16::MAX,
            };
            let Some(live) = range.active.as_mut() else {
                continue;
            };
            let price = live.voucher.unit;
            let affordable = u16::try_from(budget.0 / price.0.max(1)).unwrap_or(u16::MAX);
            let steps = live
                .steps_left()
                .min(fallback)
                .min(affordable)
                .min(u16::try_from(due).unwrap_or(u16::MAX));
            if steps == 0 {
                continue;
            }
            let k = live.k + steps;
            let Some(w) = live.chain.link(k) else {
                continue;
            };
            live.k = k;
            let tag = live.voucher.tag();
            if let Some(c) = self.conns.get_mut(&conn) {
                c.ledger.due = c.ledger.due.saturating_sub(u32::from(steps));
                c.ledger.paid += u64::from(steps);
                c.paid_since_new += u64::from(steps);
                let worth = price.0.saturating_mul(u128::from(steps));
                c.ledger.spent.0 = c.ledger.spent.0.saturating_add(worth);
                c.last_pay = Some((first, tag, k));
            }
            self.preimages_released += u64::from(steps);
            self.send(conn, PayMessage::Pay { first, tag, k, w });
            self.event(PayEvent::Paid {
                conn,
                blocks: u32::from(steps),
                price,
            });
            self.revealed(conn, first, steps);
        }
        if let Some(c) = self.conns.get_mut(&conn) {
            // Blocks that cannot be paid now are paid when a fold or a range comes through.
            c.pay_next_batch = false;
            c.pay_deadline = None;
        }
        self.pump(conn);
    }
}
