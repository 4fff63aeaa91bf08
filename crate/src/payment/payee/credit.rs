//! Blocks against links: the blocks that were sent, the blocks that were paid, the blocks that may still be sent, and
//! the time at which links become durable.
//!
//! Invariant: `may_send` never lets unpaid blocks pass the credit, nor the worth of the ranges, nor the account's
//! limit.

use alloy_primitives::B256;

use super::reads::GROWING;
use super::{ACK_DELAY, GROUP_STEPS, Life, MAX_BAD_PREIMAGES, Payee, PayeeTask, RangeId};
use crate::payment::chain;
use crate::payment::record::Key;
use crate::payment::{CloseReason, PayAction, PayEvent};
use crate::time::Timestamp;
use crate::types::ConnectionId;
use crate::wire::pay::{PayMessage, RejectCode};

impl Payee {
    /// A `piece` message was written to this connection: one step, if a range is attached.
    pub fn block_written(&mut self, now: Timestamp, conn: ConnectionId) {
        self.turn(now);
        if !self.is_paying(conn) {
            return;
        }
        let (now, credit) = (self.now, u64::from(self.credit(conn)));
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some(account) = c.account.and_then(|id| self.accounts.get_mut(&id)) else {
            return;
        };
        account.ledger.written(conn);
        if account.ledger.unpaid() >= credit {
            c.full_since.get_or_insert(now);
        }
        self.hold_at_limit(conn);
    }

    pub(super) fn pay(&mut self, conn: ConnectionId, first: u32, tag: [u8; 4], k: u16, w: B256) {
        let now = self.now;
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some(id) = c.account else {
            return;
        };
        let tentative = c.tentative == Some(first);
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        let Some(range) = account.ranges.get_mut(&first) else {
            return;
        };
        // A link is worth the same from any connection of its account, also from one that lost the range.
        if !range.life.is_unredeemed() || range.life == Life::Claimed {
            // Its claim is out: a further link would be worth nothing, so it must not count.
            self.reject(conn, RejectCode::ConsumedOrClosed, first, tag, first);
            return;
        }
        let best = match &mut range.next {
            Some(next) if next.voucher.tag() == tag => next,
            None if range.best.voucher.tag() == tag => &mut range.best,
            _ => return,
        };
        if k <= best.k {
            return;
        }
        if k > best.voucher.steps || !chain::advances(best.k, best.w, k, w) {
            c.bad_preimages = c.bad_preimages.saturating_add(1);
            let close = c.bad_preimages >= MAX_BAD_PREIMAGES;
            self.reject(conn, RejectCode::BadPreimage, first, tag, u32::from(k));
            if close {
                self.out.push(PayAction::CloseConnection {
                    conn,
                    reason: CloseReason::BadPreimages,
                });
            }
            return;
        }
        let steps = u32::from(k - best.k);
        best.k = k;
        best.w = w;
        let price = best.voucher.unit;
        range.paid_since_commit += u64::from(steps);
        if range.next.is_none() {
            range.dirty_since.get_or_insert(now);
        }
        account.ledger.paid(conn, steps);
        c.paid += u64::from(steps);
        c.paid_since_new += u64::from(steps);
        if c.ack.replace(first).is_none() {
            c.ack_by = now + ACK_DELAY;
        }
        self.event(PayEvent::Earned {
            conn,
            blocks: steps,
            price,
        });
        let range_id = RangeId { account: id, first };
        if tentative {
            self.attach(conn, range_id);
        }
        self.group_commit(range_id);
        self.room_again(id);
        self.due_by_payment(range_id);
    }

    /// Clears the over-credit clocks that a payment ended. Unchokes again (the ACK first) the peers that may be sent
    /// more after a payment, a redemption or the loss of a connection.
    pub(super) fn room_again(&mut self, id: B256) {
        let conns: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, c)| c.account == Some(id) && !c.attached.is_empty())
            .map(|(conn, _)| *conn)
            .collect();
        for conn in conns {
            let unpaid = self.accounts.get(&id).map_or(0, |a| a.ledger.unpaid());
            if unpaid >= u64::from(self.credit(conn)) {
                continue;
            }
            let Some(c) = self.conns.get_mut(&conn) else {
                continue;
            };
            c.full_since = None;
            if !c.unchoked && !c.is_over() && self.within_limit(conn) {
                let Some(c) = self.conns.get_mut(&conn) else {
                    continue;
                };
                c.ack = c.ack.or(c.attached.last().copied());
                self.send_ack(conn);
                self.unchoke(conn);
            }
        }
    }

    /// Credit of the connection in blocks; 0 without an attached range.
    pub(super) fn credit(&self, conn: ConnectionId) -> u16 {
        let Some(c) = self.conns.get(&conn).filter(|c| !c.attached.is_empty()) else {
            return 0;
        };
        let config = &self.config;
        c.account
            .and_then(|id| self.accounts.get(&id))
            .map_or(0, |a| a.ledger.credit(c.paid, config.credit))
    }

    /// Whether one more `piece` message may be written to this paying connection: `unpaid + 1 <= credit`, its ranges
    /// can still pay for it, and its account may owe it.
    pub fn may_send(&self, conn: ConnectionId) -> bool {
        // A peer that has its place has a range, and neither side said BYE.
        let Some(c) = self.conns.get(&conn).filter(|c| c.unchoked) else {
            return false;
        };
        let Some(account) = c.account.and_then(|id| self.accounts.get(&id)) else {
            return false;
        };
        let at_risk = account.undurable().saturating_sub(GROUP_STEPS);
        let credit = u64::from(self.credit(conn));
        if account.ledger.unpaid() + at_risk + 1 > credit {
            return false;
        }
        let usable: u64 = c
            .attached
            .iter()
            .filter_map(|first| account.ranges.get(first))
            .filter(|r| r.life == Life::Open && !r.suspended)
            .map(|r| r.usable(account.tranche))
            .fold(0, u64::saturating_add);
        u64::from(account.ledger.unpaid_on(conn)) < usable && self.within_limit(conn)
    }

    /// Whether a range is attached: blocks are charged and the peer uses no free upload slot.
    pub fn is_paying(&self, conn: ConnectionId) -> bool {
        self.conns
            .get(&conn)
            .is_some_and(|c| !c.attached.is_empty() && !c.is_over())
    }

    /// Whether a paying peer has its place: not while it is over its credit or at its account's limit, or while the
    /// chain does not cover it.
    pub fn is_unchoked(&self, conn: ConnectionId) -> bool {
        self.conns.get(&conn).is_some_and(|c| c.unchoked)
    }

    pub(super) fn over_credit(&mut self, conn: ConnectionId) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.full_since = None;
        let first = c.attached.last().copied().unwrap_or(0);
        let Some(account) = c.account.and_then(|id| self.accounts.get(&id)) else {
            return;
        };
        let unpaid = u32::try_from(account.ledger.unpaid()).unwrap_or(u32::MAX);
        let tag = account
            .ranges
            .get(&first)
            .map_or([0; 4], |r| r.best.voucher.tag());
        self.reject(conn, RejectCode::OverCredit, first, tag, unpaid);
        self.choke(conn);
    }

    pub(super) fn send_acks(&mut self) {
        let due: Vec<_> = self
            .conns
            .iter()
            .filter(|(conn, c)| {
                let (credit, paid) = c.acked;
                let soon = c.ack_by <= self.now || c.paid >= paid + GROUP_STEPS;
                c.ack.is_some() && (soon || self.credit(**conn) != credit)
            })
            .map(|(conn, _)| *conn)
            .collect();
        for conn in due {
            self.send_ack(conn);
        }
    }

    /// Sends the ACK of a range, after the ACK that waits for another.
    pub(super) fn ack_now(&mut self, conn: ConnectionId, first: u32) {
        let waiting = self.conns.get(&conn).and_then(|c| c.ack);
        if waiting.is_some_and(|other| other != first) {
            self.send_ack(conn);
        }
        if let Some(c) = self.conns.get_mut(&conn) {
            c.ack = Some(first);
        }
        self.send_ack(conn);
    }

    /// The ACK of the range that was paid or committed last.
    pub(super) fn send_ack(&mut self, conn: ConnectionId) {
        let credit = self.credit(conn);
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let (Some(first), Some(id)) = (c.ack.take(), c.account) else {
            return;
        };
        let Some(account) = self.accounts.get(&id) else {
            return;
        };
        let Some(range) = account.ranges.get(&first) else {
            return;
        };
        if range.next.is_some() {
            // The fold's own ACK follows when it is durable, with the same news.
            return;
        }
        c.acked = (credit, c.paid);
        let message = PayMessage::Ack {
            first,
            tag: range.best.voucher.tag(),
            k: range.best.k,
            owed_blocks: u32::try_from(account.ledger.unpaid()).unwrap_or(u32::MAX),
            credit_blocks: credit,
        };
        self.send(conn, message);
    }

    /// Stores the best link if enough steps came together.
    pub(super) fn group_commit(&mut self, id: RangeId) {
        if self.range(id).is_some_and(|r| r.undurable() >= GROUP_STEPS) {
            self.store_links(id);
        }
    }

    pub(super) fn store_links(&mut self, id: RangeId) {
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        let (session_key, tranche) = (account.session_key, account.tranche);
        let Some(range) = account.ranges.get_mut(&id.first) else {
            return;
        };
        if range.storing || range.next.is_some() {
            return;
        }
        if range.best.k == range.durable_k {
            range.dirty_since = None;
            return;
        }
        range.storing = true;
        range.dirty_since = None;
        let word = range.word();
        self.reads.at(id.account, word, self.now + GROWING);
        let (k, tag) = (range.best.k, range.best.voucher.tag());
        let record = range.record(session_key, tranche);
        let key = Key::PayeeRange(id.account, id.first);
        self.put(key, Some(record.encode()), PayeeTask::Links { id, k, tag });
        if self.accounts.get(&id.account).is_some_and(|a| {
            a.ledger.facts().paid_total >= a.stored_facts.paid_total.saturating_add(256)
        }) {
            self.store_facts(id.account);
        }
    }

    pub(super) fn store_facts(&mut self, id: B256) {
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        let (facts, key) = (*account.ledger.facts(), Key::PayeeFacts(id));
        if facts != account.stored_facts && !self.unreadable.contains(&key) {
            account.stored_facts = facts;
            self.put(key, Some(facts.encode()), PayeeTask::Background);
        }
    }

    pub(super) fn unchoke(&mut self, conn: ConnectionId) {
        if let Some(c) = self.conns.get_mut(&conn)
            && !c.unchoked
            && !c.is_over()
        {
            c.unchoked = true;
            self.out.push(PayAction::Unchoke { conn });
        }
    }

    pub(super) fn choke(&mut self, conn: ConnectionId) {
        if let Some(c) = self.conns.get_mut(&conn)
            && c.unchoked
        {
            c.unchoked = false;
            self.out.push(PayAction::Choke { conn });
        }
    }
}
