//! The payees' messages: TERMS, ACK, REJECT, NEED, STATE, SEEN, BYE.
//!
//! Invariant: no message of a payee makes the payer sign for somebody else, reveal a step without a block, or trust a
//! number that it can count itself.

use super::range::{Live, PayerRange, RangeStage};
use super::{
    BEHIND_RETRIES, Conn, MAX_EVIDENCE_CHECKS, MAX_LIVE_RANGES, MAX_QUOTE_REJECTS, PENDING_RETRIES,
    Payer, Quote,
};
use crate::payment::chain;
use crate::payment::record::PayerRangeLife;
use crate::payment::voucher::{self, Voucher};
use crate::payment::{EndReason, PayEvent};
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, FineUnits};
use crate::wire::pay::{NeedReason, PayMessage, RejectCode, Terms, VERSION, VoucherBody};
use alloy_primitives::{Address, B256};

impl Payer {
    /// A `pw_pay` message came in. Messages to a payee are ignored here.
    #[inline(never)]
    pub fn message(&mut self, now: Timestamp, conn: ConnectionId, message: PayMessage) {
        self.turn(now);
        if !self.conns.get(&conn).is_some_and(|c| c.sells) {
            return;
        }
        match message {
            PayMessage::Terms(terms) => self.terms(conn, terms),
            PayMessage::Ack {
                first,
                tag,
                k,
                owed_blocks,
                credit_blocks,
            } => self.ack(conn, first, tag, k, owed_blocks, credit_blocks),
            PayMessage::Reject {
                code,
                first,
                tag,
                aux,
            } => self.reject(conn, code, first, tag, aux),
            PayMessage::Need { reason, first } => self.need(conn, reason, first),
            PayMessage::State {
                payee,
                voucher,
                k,
                w,
            } => self.state(conn, payee, &voucher, k, w),
            PayMessage::Held {
                payee,
                voucher,
                k,
                w,
            } => self.held(conn, payee, &voucher, k, w),
            PayMessage::Seen { payee, voucher } => self.seen(conn, payee, &voucher),
            PayMessage::Bye { selling: true, .. } => {
                self.settle(conn);
                self.end(conn, EndReason::RemoteStopped);
            }
            PayMessage::Bye { selling: false, .. }
            | PayMessage::Commit { .. }
            | PayMessage::Pay { .. }
            | PayMessage::Reconcile { .. } => {}
        }
    }

    fn terms(&mut self, conn: ConnectionId, terms: Terms) {
        if terms.unit.0 == 0 {
            return;
        }
        if terms.version != VERSION || !terms.luck.is_zero() {
            self.end(conn, EndReason::Unsupported);
            return;
        }
        let received = self.now;
        if let Some(c) = self.conns.get_mut(&conn) {
            // A refusal for a time holds until then, however often the payee offers. Another name is judged at once.
            let same = (c.quote.as_ref()).filter(|q| q.terms.payee == terms.payee);
            if same.is_none() && c.seller.is_none() {
                c.next_commit = received;
            }
            let refused = same.and_then(|q| q.refused.filter(|_| c.next_commit > received));
            c.quote = Some(Quote {
                terms,
                received,
                refused,
            });
        }
        self.event(PayEvent::Quoted {
            conn,
            payee: terms.payee,
            price: terms.unit,
        });
        self.pump(conn);
    }

    fn ack(
        &mut self,
        conn: ConnectionId,
        first: u32,
        tag: [u8; 4],
        k: u16,
        owed: u32,
        credit: u16,
    ) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some(seller) = c.seller.clone() else {
            return;
        };
        let credit = credit.min(c.credit_most);
        let last_pay = c.last_pay;
        let mut opened = None;
        if let Some(range) = self.range_mut(first)
            && range.conn == Some(conn)
            && range
                .active
                .as_ref()
                .is_some_and(|l| l.voucher.tag() == tag)
        {
            range.prior = None;
            if matches!(range.stage, RangeStage::Committed { .. }) {
                range.stage = RangeStage::Attached;
                opened = Some((range.fresh, range.count, range.price));
                range.fresh = false;
            }
        } else if last_pay != Some((first, tag, k)) {
            // It is about a voucher that is not (or no longer) here, and shows nothing about the present one.
            return;
        }
        let owe_here = self.outstanding_at(&seller);
        let quiet = owe_here == 0 && last_pay == Some((first, tag, k));
        let attaches = opened.is_some() && self.conns.get(&conn).is_some_and(|c| !c.acked);
        let debt = if attaches { self.take_debt(&seller) } else { 0 };
        let book = self.sellers.entry(seller).or_default();
        if attaches {
            // The payer never pays the blocks that the payee counts beyond those that were received or may still come.
            let known = owe_here + u64::from(debt);
            let phantom = u64::from(owed).saturating_sub(known);
            book.phantom = u32::try_from(phantom).unwrap_or(u32::MAX);
        } else if quiet {
            book.phantom = owed;
        } else {
            // The payee may have given up on blocks of a dead connection.
            book.phantom = book.phantom.min(owed);
        }
        if let Some(c) = self.conns.get_mut(&conn) {
            if opened.is_some() {
                c.quote_rejects = 0;
            }
            c.credit = credit;
            c.acked = true;
            c.ledger.due = c.ledger.due.saturating_add(debt);
        }
        if let Some((true, count, price)) = opened {
            self.event(PayEvent::RangeOpened {
                conn,
                first,
                count,
                price,
            });
        }
        if opened.is_some() {
            self.settle(conn);
        } else {
            // A fold's ACK lifts the limit that the old chain set.
            if self.conns.get(&conn).is_some_and(|c| c.ledger.due > 0) {
                self.pay_if_time(conn);
            }
            self.pump(conn);
        }
    }

    fn reject(&mut self, conn: ConnectionId, code: RejectCode, first: u32, tag: [u8; 4], aux: u32) {
        self.event(PayEvent::Rejected { conn, code, aux });
        match code {
            RejectCode::Version | RejectCode::ChainOrVault | RejectCode::ShuttingDown => {
                self.settle(conn);
                self.end(conn, EndReason::Rejected(code));
                for first in self.ranges_of(conn) {
                    self.detach_range(first);
                }
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.acked = false;
                }
                return;
            }
            _ => {}
        }
        let now = self.now;
        let Some(range) = self.range(first).filter(|r| r.conn == Some(conn)) else {
            if code == RejectCode::OverCredit {
                self.over_credit(conn, aux);
            }
            return;
        };
        let is = |live: &Option<Live>| live.as_ref().is_some_and(|l| l.voucher.tag() == tag);
        let (of_active, of_prior) = (is(&range.active), is(&range.prior));
        let opening = range.is_opening();
        let end = range.end();
        if !of_active && !of_prior {
            return;
        }
        if of_active && range.prior.is_some() && code != RejectCode::OverCredit {
            let wait = match code {
                RejectCode::Rate => Duration::from_millis(u64::from(aux.min(60_000))),
                _ => PENDING_RETRIES[0],
            };
            self.roll_back(conn, first, now + wait);
            let retryable = matches!(
                code,
                RejectCode::Rate
                    | RejectCode::ChainPending
                    | RejectCode::PriceOrQuote
                    | RejectCode::BadPreimage
            );
            if retryable {
                return;
            }
        }
        match code {
            RejectCode::OverCredit if opening => {
                self.detach_range(first);
                self.end(conn, EndReason::PhantomDebt);
            }
            RejectCode::OverCredit => self.over_credit(conn, aux),
            RejectCode::ChainPending => self.retry_commit(conn, first, code, None),
            // Its node is behind ours: it does not see all of the deposit yet.
            RejectCode::NotCovered if opening && (1..end).contains(&u64::from(aux)) => {
                self.retry_commit(conn, first, code, None);
            }
            RejectCode::Rate => {
                let wait = Duration::from_millis(u64::from(aux.clamp(50, 60_000)));
                self.retry_commit(conn, first, code, Some(wait));
            }
            RejectCode::PriceOrQuote if opening => {
                self.detach_range(first);
                let Some(c) = self.conns.get_mut(&conn) else {
                    return;
                };
                c.quote = None;
                c.quote_rejects = c.quote_rejects.saturating_add(1);
                if c.quote_rejects > MAX_QUOTE_REJECTS {
                    self.end(conn, EndReason::Rejected(code));
                }
            }
            RejectCode::PriceOrQuote | RejectCode::BadPreimage => {}
            _ => self.range_refused(conn, first, code),
        }
    }

    /// 3-8, 10, 16 and unknown codes end the range. The seller is offered no other one in this run, unless it only
    /// closed a range on which it had served, or may have, in an earlier run.
    fn range_refused(&mut self, conn: ConnectionId, first: u32, code: RejectCode) {
        let Some(range) = self.range(first) else {
            return;
        };
        let served = range.paid.0 > 0 || range.is_earlier;
        let opening = range.is_opening();
        let closes = matches!(code, RejectCode::ConsumedOrClosed | RejectCode::Conflict);
        self.end_range(conn, first, closes);
        if code == RejectCode::ConsumedOrClosed && served {
            // If it had redeemed before, the payer asked in vain: the next range may follow at once.
            if let (true, Some(c)) = (opening, self.conns.get_mut(&conn)) {
                c.spaced_until = self.now;
            }
            self.pump(conn);
            return;
        }
        // Where an address is only claimed, the peer that refuses may be another than the one that sells there.
        let seller = self.conns.get(&conn).and_then(|c| c.seller.as_ref());
        let sells = |c: &Conn| c.ledger.paid > 0 && c.seller.as_ref() == seller;
        let others_sell = (self.conns.iter()).any(|(other, c)| *other != conn && sells(c));
        if let Some(book) = self.book_mut(conn).filter(|_| !others_sell) {
            book.refused = true;
        }
        self.end(conn, EndReason::Rejected(code));
    }

    /// The payer is to repeat the identical COMMIT after 2, 4, 8, 16, 30 s (13, and 4 of a node that is behind), or
    /// after the time that the payee names (14).
    fn retry_commit(
        &mut self,
        conn: ConnectionId,
        first: u32,
        code: RejectCode,
        wait: Option<Duration>,
    ) {
        let now = self.now;
        let Some(range) = self.range_mut(first) else {
            return;
        };
        let attempt = match &range.stage {
            RangeStage::Committed { attempt, .. } => *attempt,
            RangeStage::Attached => 0,
            _ => return,
        };
        let (wait, attempt) = match wait {
            Some(wait) => (Some(wait), attempt),
            // A node that is behind is so for a block or two.
            None if code == RejectCode::NotCovered && attempt >= BEHIND_RETRIES => (None, attempt),
            None => (PENDING_RETRIES.get(attempt).copied(), attempt + 1),
        };
        let Some(wait) = wait else {
            self.detach_range(first);
            self.end(conn, EndReason::Rejected(code));
            return;
        };
        range.stage = RangeStage::Committed {
            since: now,
            attempt,
            retry_at: Some(now + wait),
        };
    }

    /// The payee stopped sending: pay the due blocks. If none is due, the payee's count is no debt of ours.
    fn over_credit(&mut self, conn: ConnectionId, unpaid: u32) {
        self.settle(conn);
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let owe_nothing = c.ledger.received_unpaid() == 0;
        if owe_nothing && unpaid >= u32::from(c.credit) && c.last_pay.is_none() {
            self.end(conn, EndReason::PhantomDebt);
        }
    }

    fn need(&mut self, conn: ConnectionId, reason: NeedReason, first: u32) {
        let ours = self.range(first).is_some_and(|r| r.conn == Some(conn));
        match reason {
            NeedReason::Fold if ours => {
                if let Some(range) = self.range_mut(first) {
                    range.fold_asked = true;
                }
                self.fold_if_time(conn, first);
            }
            NeedReason::NextRange => {
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.next_range_asked = true;
                }
                self.pump(conn);
            }
            NeedReason::RangeClosed if ours => {
                // Pays the last steps for it; later blocks are paid on the next range.
                self.settle(conn);
                self.end_range(conn, first, true);
                self.pump(conn);
            }
            other => self.event(PayEvent::Asked {
                conn,
                reason: other,
            }),
        }
    }

    /// Whether the voucher was signed by our own session key, for this payee.
    fn is_own(
        &mut self,
        conn: ConnectionId,
        payee: Address,
        body: &VoucherBody,
    ) -> Option<Voucher> {
        let c = self.conns.get_mut(&conn)?;
        if c.evidence_checks >= MAX_EVIDENCE_CHECKS {
            return None;
        }
        c.evidence_checks += 1;
        self.signed_here(payee, body)
    }

    /// The voucher, if our own session key signed it for this payee. It costs a signature check.
    pub(super) fn signed_here(&self, payee: Address, body: &VoucherBody) -> Option<Voucher> {
        let info = self.account.as_ref()?.info;
        let (voucher, signature) = Voucher::from_body(body, payee);
        let own = voucher.owner == info.owner
            && voucher.is_well_formed()
            && signature.recover(&voucher.digest(&self.config.vault)) == Ok(info.session_key);
        own.then_some(voucher)
    }

    /// The payee holds more than the payer's base: check our signature and the walk, then fold to it. Once per range
    /// and connection.
    fn state(&mut self, conn: ConnectionId, payee: Address, body: &VoucherBody, k: u16, w: B256) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let quoted = c.quote.as_ref().map(|q| q.terms.payee);
        if c.ended.is_some() || c.payee() != Some(payee) || quoted != Some(payee) {
            return;
        }
        // A run that ended may have left more than one range behind the sum that it had paid.
        let again = c.adopted.contains(&body.first);
        let known = if again {
            None
        } else {
            self.is_own(conn, payee, body)
        };
        let sound =
            known.filter(|v| v.luck.is_zero() && k <= v.steps && chain::walk(w, k) == v.root);
        let Some(voucher) = sound else {
            self.leave(conn, EndReason::Inconsistent);
            return;
        };
        let Some(account) = self.account.as_ref() else {
            return;
        };
        let cap = voucher::range_cap(voucher.count, account.info.tranche);
        let held = voucher.owed_at(k).min(cap);
        // An own signature is proven, even if something else is wrong with it.
        self.skip_past(voucher.end() - 1);
        let title = self.conns.get(&conn).map(|c| c.info.torrent);
        let Some(account) = self.account.as_mut() else {
            return;
        };
        let clash = account
            .ranges
            .values()
            .find(|r| {
                voucher::overlap(r.first, r.count, voucher.first, voucher.count)
                    && !(r.first == voucher.first
                        && r.count == voucher.count
                        && r.payee == payee
                        && r.content == voucher.content)
            })
            .map(|r| (r.payee, r.first.max(voucher.first)));
        if let Some((other, serial)) = clash {
            let account = account.id;
            if other != payee {
                self.event(PayEvent::Conflict { account, serial });
            }
            self.leave(conn, EndReason::Inconsistent);
            return;
        }
        let known = account.ranges.get(&voucher.first);
        let paid = known.map_or(FineUnits(0), |r| r.paid);
        let taken = known.is_some_and(|r| {
            r.life != PayerRangeLife::Usable || r.conn.is_some_and(|other| other != conn)
        });
        // Right only if the payee is ahead: a voucher alone, without a link that is news, proves nothing.
        if held <= paid || taken {
            self.leave(conn, EndReason::Inconsistent);
            return;
        }
        let range = account.ranges.entry(voucher.first).or_insert_with(|| {
            PayerRange::adopted(voucher.first, voucher.count, payee, voucher.content)
        });
        range.raise_paid(held, &mut account.spent);
        range.price = voucher.unit;
        range.title = title;
        // Nothing is paid on a range that was made in this run before its ACK: an earlier promise of it is not on
        // record.
        let forgotten = range.fresh;
        if forgotten {
            self.hold_for_good();
        }
        if let Some(c) = self.conns.get_mut(&conn) {
            c.adopted.push(voucher.first);
        }
        let others = self
            .ranges_of(conn)
            .into_iter()
            .filter(|first| *first != voucher.first)
            .count();
        // The sum that the payee held stays spent; more is bought at its price only if the usual checks allow it.
        let terms = self.acceptable(conn).ok().flatten().filter(|terms| {
            others < MAX_LIVE_RANGES
                && self
                    .range(voucher.first)
                    .is_some_and(|r| self.usable(r, terms.unit) > 0)
        });
        match terms {
            Some(terms) => self.commit(conn, voucher.first, &terms),
            None => {
                self.detach_range(voucher.first);
                self.pump(conn);
            }
        }
    }

    /// Evidence that comes before a REJECT 6: an own signature moves `next`.
    fn seen(&mut self, conn: ConnectionId, payee: Address, body: &VoucherBody) {
        let Some(voucher) = self.is_own(conn, payee, body) else {
            return;
        };
        let Some(account) = &self.account else {
            return;
        };
        let id = account.id;
        let clash = account
            .ranges
            .values()
            .find(|r| {
                r.payee != payee && voucher::overlap(r.first, r.count, voucher.first, voucher.count)
            })
            .map(|r| r.first.max(voucher.first));
        if let Some(serial) = clash {
            self.event(PayEvent::Conflict {
                account: id,
                serial,
            });
        }
        self.skip_past(voucher.end() - 1);
    }
}
