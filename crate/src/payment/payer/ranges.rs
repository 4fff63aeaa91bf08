//! One range of serials from reservation to the last step: store, sign, commit, fold.
//!
//! Invariant: a voucher is signed only when its serials and its base are durable, and only for the payee that its
//! record names. It is never signed above the ceilings or, for a fold, above the price that its range agreed on, and
//! never when the budget pays no step of it. While a fold is stored and signed, nothing is revealed on the range, so
//! its base is always exactly the revealed sum.

use alloy_primitives::B256;

use super::range::{Live, PayerRange, PayerTask, RangeStage};
use super::seller::Seller;
use super::{COMMIT_SPACING, COMMIT_TIMEOUT, FAILURE_DELAY, Payer, STORE_DELAY, STORE_STEPS};
use crate::payment::chain::HashChain;
use crate::payment::record::{Key, PayerRangeLife};
use crate::payment::voucher::{self, Signature, Voucher};
use crate::payment::{Concern, EndReason, NotSigned, PayAction, PayEffect};
use crate::sorted::Set;
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, FineUnits};
use crate::wire::pay::{PayMessage, Terms};

impl Payer {
    /// Whole steps the range still allows, folds included.
    pub(super) fn usable(&self, range: &PayerRange, price: FineUnits) -> u64 {
        match &self.account {
            Some(account) if range.life == PayerRangeLife::Usable => {
                voucher::usable_steps(range.count, account.info.tranche, range.paid, price)
            }
            _ => 0,
        }
    }

    pub(super) fn usable_now(&self, first: u32) -> u64 {
        self.range(first).map_or(0, |r| {
            let price = r.active.as_ref().map_or(r.price, |l| l.voucher.unit);
            self.usable(r, price)
        })
    }

    /// Usable steps on the ranges of a connection that are attached (`opening`: or about to be).
    pub(super) fn usable_on(&self, conn: ConnectionId, opening: bool) -> u64 {
        let Some(c) = self.conns.get(&conn) else {
            return 0;
        };
        c.ranges
            .iter()
            .filter(|first| opening || self.range(**first).is_some_and(PayerRange::is_attached))
            .map(|first| self.usable_now(*first))
            .fold(0, u64::saturating_add)
    }

    /// Binds a range to a connection and prepares its first voucher there: always a fresh chain on top of the revealed
    /// sum.
    pub(super) fn commit(&mut self, conn: ConnectionId, first: u32, terms: &Terms) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let (now, seller) = (self.now, Seller::new(terms.payee, conn, &c.info));
        let title = c.info.torrent;
        let range = self.account.as_ref().and_then(|a| a.ranges.get(&first));
        (c.wait).begin_after(now, range.map_or(Duration::ZERO, |r| r.waited));
        c.seller = Some(seller.clone());
        c.credit_most = terms.credit_max.max(terms.credit0);
        if !c.ranges.contains(&first) {
            c.ranges.push(first);
        }
        self.sellers.entry(seller).or_default();
        if let Some(range) = self.range_mut(first) {
            range.conn = Some(conn);
            range.title = Some(title);
            range.bound_at = now;
            range.active = None;
            range.prior = None;
        }
        self.draft(first, terms.unit, terms.max_steps, terms.quote_id, false);
    }

    /// Whether a voucher at this price may be signed, whatever led here: the last look before each signature.
    fn may_sign(&self, range: &PayerRange, price: FineUnits, fold: bool) -> bool {
        let conn = range.conn.and_then(|conn| self.conns.get(&conn));
        let most = match (fold, &range.active) {
            // An agreed sum stays owed, also when the ceilings fall meanwhile.
            (true, Some(live)) => live.voucher.unit,
            (true, None) => FineUnits(0),
            (false, _) => conn.map_or(FineUnits(0), |c| self.ceiling_of(c)),
        };
        (1..=most.0).contains(&price.0) && price <= self.budget_left()
    }

    fn draft(&mut self, first: u32, price: FineUnits, max_steps: u16, quote_id: u32, fold: bool) {
        let tip = self.fresh_tip();
        let allowed = self
            .range(first)
            .is_some_and(|r| self.may_sign(r, price, fold));
        let Some(account) = self.account.as_mut() else {
            return;
        };
        let (id, info) = (account.id, account.info);
        let Some(range) = account.ranges.get_mut(&first) else {
            return;
        };
        let steps = voucher::chain_steps(range.count, info.tranche, range.paid, price, max_steps);
        if !allowed || steps == 0 {
            self.give_up(first, fold);
            return;
        }
        let chain = HashChain::generate(tip, steps);
        let draft = Live {
            voucher: Voucher {
                owner: info.owner,
                payee: range.payee,
                first,
                count: range.count,
                content: range.content,
                base: range.paid,
                unit: price,
                steps,
                root: chain.root(),
                luck: B256::ZERO,
            },
            signature: Signature {
                r: B256::ZERO,
                vs: B256::ZERO,
            },
            chain,
            k: 0,
            quote_id,
        };
        range.price = price;
        let (reserved, paid) = (range.reserved, range.paid);
        let stored = reserved && range.durable_paid == paid;
        let record = range.record();
        let mut waits = Set::new();
        if !reserved {
            let work = PayerTask::Reserve {
                account: id,
                first,
                paid: None,
            };
            waits.extend(self.store_account(work));
        }
        if !stored {
            let work = PayerTask::Reserve {
                account: id,
                first,
                paid: Some(paid),
            };
            waits.insert(self.put(Key::PayerRange(id, first), record.encode(), work));
        }
        if let Some(range) = self.range_mut(first) {
            range.emitted_paid = paid;
            range.dirty_since = None;
            range.stage = RangeStage::Storing { draft, waits, fold };
        }
        if stored {
            self.sign(first);
        }
    }

    /// Whom the end of an effect concerns. To be asked before the effect is reported. What else follows from it, the
    /// machine tells by its actions.
    pub fn concern(&self, effect: PayEffect) -> Concern {
        let conn = match self.out.task(effect) {
            Some(PayerTask::Scan { .. } | PayerTask::Look { .. }) => return Concern::Everybody,
            Some(
                PayerTask::Reserve { first, .. }
                | PayerTask::Paid { first, .. }
                | PayerTask::Sign { first, .. },
            ) => self.range(*first).and_then(|range| range.conn),
            Some(PayerTask::Background | PayerTask::Staked | PayerTask::Reconcile { .. })
            | None => None,
        };
        Concern::Connections(conn.map_or_else(Vec::new, |conn| self.sharers(conn)))
    }

    /// The connections that share their credit with this one, and itself: those to its seller.
    pub fn sharers(&self, conn: ConnectionId) -> Vec<ConnectionId> {
        let seller = self.conns.get(&conn).and_then(|c| c.seller.as_ref());
        let same = |(other, c): &(&ConnectionId, &super::Conn)| {
            **other == conn || seller.is_some() && c.seller.as_ref() == seller
        };
        self.conns
            .iter()
            .filter(same)
            .map(|(other, _)| *other)
            .collect()
    }

    /// A `PutRecord` is durable, or failed.
    pub fn stored(&mut self, now: Timestamp, effect: PayEffect, ok: bool) {
        self.turn(now);
        let Some(work) = self.out.stored(effect, ok) else {
            return;
        };
        let selected = self.account_id();
        match work {
            PayerTask::Reconcile {
                account,
                conn,
                voucher,
            } if Some(account) == selected => match ok {
                true => self.sum_stored(account, conn, voucher),
                false => self.not_stored(voucher.first),
            },
            PayerTask::Reserve {
                account,
                first,
                paid,
            } if Some(account) == selected => {
                let Some(range) = self.range_mut(first) else {
                    return;
                };
                if let (true, Some(paid)) = (ok, paid) {
                    range.durable_paid = range.durable_paid.max(paid);
                }
                let RangeStage::Storing { waits, .. } = &mut range.stage else {
                    return;
                };
                if !waits.remove(&effect) {
                    return;
                }
                if !ok {
                    self.abort(first);
                    if paid.is_some() {
                        self.not_stored(first);
                    }
                } else if waits.is_empty() {
                    range.reserved = true;
                    self.sign(first);
                }
            }
            PayerTask::Paid {
                account,
                first,
                paid,
            } if Some(account) == selected => {
                if !ok {
                    self.not_stored(first);
                } else if let Some(range) = self.range_mut(first) {
                    range.durable_paid = range.durable_paid.max(paid);
                }
            }
            _ => {}
        }
    }

    fn sign(&mut self, first: u32) {
        let vault = self.config.vault;
        let Some(account) = self.account_id() else {
            return;
        };
        let effect = self.out.begin(PayerTask::Sign { account, first });
        let Some(range) = self.range_mut(first) else {
            return;
        };
        match core::mem::replace(&mut range.stage, RangeStage::Idle) {
            RangeStage::Storing { draft, fold, .. } => {
                let digest = draft.voucher.digest(&vault);
                range.stage = RangeStage::Signing {
                    draft,
                    effect,
                    fold,
                };
                self.out.push(PayAction::Sign { effect, digest });
            }
            other => range.stage = other,
        }
    }

    /// The session key signed, or did not.
    pub fn signed(
        &mut self,
        now: Timestamp,
        effect: PayEffect,
        result: Result<Signature, NotSigned>,
    ) {
        self.turn(now);
        let (id, first) = match self.out.ended(effect) {
            Some(PayerTask::Sign { account, first }) => (account, first),
            Some(PayerTask::Reconcile {
                account,
                conn,
                voucher,
            }) => {
                return self.sum_signed(account, conn, &voucher, result);
            }
            _ => return,
        };
        let (now, vault) = (self.now, self.config.vault);
        let Some(account) = self.account.as_mut().filter(|a| a.id == id) else {
            return;
        };
        let session_key = account.info.session_key;
        let Some(range) = account.ranges.get_mut(&first) else {
            return;
        };
        let (mut draft, fold) = match core::mem::replace(&mut range.stage, RangeStage::Idle) {
            RangeStage::Signing {
                draft,
                effect: waiting,
                fold,
            } if waiting == effect => (draft, fold),
            other => {
                range.stage = other;
                return;
            }
        };
        let good = result
            .ok()
            .filter(|s| s.recover(&draft.voucher.digest(&vault)) == Ok(session_key));
        let (Some(signature), Some(conn)) = (good, range.conn) else {
            range.stage = RangeStage::Storing {
                draft,
                waits: Set::new(),
                fold,
            };
            self.abort(first);
            return;
        };
        draft.signature = signature;
        range.prior = if fold { range.active.take() } else { None };
        range.active = Some(draft);
        range.fold_asked = false;
        range.stage = if fold {
            RangeStage::Attached
        } else {
            RangeStage::Committed {
                since: now,
                attempt: 0,
                retry_at: None,
            }
        };
        self.vouchers_signed += 1;
        self.send_commit(conn, first);
        if fold {
            self.settle(conn);
        }
    }

    /// Sends the range's current voucher, again if need be.
    pub(super) fn send_commit(&mut self, conn: ConnectionId, first: u32) {
        let now = self.now;
        let Some(range) = self.range_mut(first) else {
            return;
        };
        let Some(live) = &range.active else {
            return;
        };
        let message = PayMessage::Commit {
            quote_id: live.quote_id,
            voucher: live.voucher.to_body(&live.signature),
        };
        range.steps_since_commit = 0;
        range.last_commit = now;
        if range.is_opening()
            && let Some(c) = self.conns.get_mut(&conn)
        {
            // The payee counts from this message to the next, too: steps paid while this one was made are before it.
            c.spaced_until = now + COMMIT_SPACING;
            c.paid_since_new = 0;
        }
        self.send(conn, message);
    }

    /// A draft could not be stored or signed: a fold leaves the old chain in place, a first voucher
    /// leaves the connection.
    fn abort(&mut self, first: u32) {
        let Some(range) = self.range_mut(first) else {
            return;
        };
        let fold = match &range.stage {
            RangeStage::Storing { fold, .. } | RangeStage::Signing { fold, .. } => *fold,
            _ => return,
        };
        if fold {
            range.stage = RangeStage::Attached;
        }
        let conn = range.conn;
        self.give_up(first, fold);
        if let (true, Some(conn)) = (fold, conn) {
            self.settle(conn);
        }
    }

    /// No voucher now: a fold is tried again later, a range without a voucher leaves its connection.
    fn give_up(&mut self, first: u32, fold: bool) {
        let later = self.now + FAILURE_DELAY;
        let Some(range) = self.range_mut(first) else {
            return;
        };
        let conn = range.conn;
        if fold {
            range.fold_after = later;
            return;
        }
        self.detach_range(first);
        if let Some(c) = conn.and_then(|conn| self.conns.get_mut(&conn)) {
            c.next_commit = later;
        }
    }

    /// The range leaves its connection; the revealed sum is stored.
    pub(super) fn detach_range(&mut self, first: u32) {
        let now = self.now;
        let Some(range) = self.account.as_mut().and_then(|a| a.ranges.get_mut(&first)) else {
            return;
        };
        range.stage = RangeStage::Idle;
        range.active = None;
        range.prior = None;
        let conn = range.conn.take();
        if let Some(c) = conn.and_then(|conn| self.conns.get_mut(&conn)) {
            range.waited = c.wait.time(now);
            c.ranges.retain(|other| *other != first);
        }
        self.store_paid(first);
    }

    /// The range leaves its connection, where nothing is charged any more if it has no other.
    pub(super) fn drop_range(&mut self, first: u32) {
        let conn = self.range(first).and_then(|r| r.conn);
        self.detach_range(first);
        if let Some(c) = conn.and_then(|conn| self.conns.get_mut(&conn)) {
            c.acked &= !c.ranges.is_empty();
        }
    }

    /// The revealed sum is not on record. It is stored later, whether or not a connection has the range by then.
    fn not_stored(&mut self, first: u32) {
        let now = self.now;
        if let Some(account) = self.account.as_mut()
            && let Some(range) = account.ranges.get_mut(&first)
        {
            range.store_failed(now);
            account.unstored.insert(first);
        }
    }

    /// Stores again what could not be stored, in time.
    pub(super) fn retry_stores(&mut self) {
        let now = self.now;
        let Some(account) = self.account.as_mut() else {
            return;
        };
        let ranges = &account.ranges;
        let dirty_since = |first: &u32| ranges.get(first).and_then(|r| r.dirty_since);
        account
            .unstored
            .retain(|first| dirty_since(first).is_some());
        let is_due = |first: &u32| dirty_since(first).is_some_and(|at| at + STORE_DELAY <= now);
        let due: Vec<u32> = account.unstored.iter().copied().filter(is_due).collect();
        for first in due {
            self.store_paid(first);
        }
    }

    /// When [`Payer::retry_stores`] has something to do.
    pub(super) fn store_retry_at(&self) -> Timestamp {
        let since = |first: &u32| self.range(*first)?.dirty_since;
        let unstored = self.account.iter().flat_map(|a| a.unstored.iter());
        let first = unstored.filter_map(since).min();
        first.map_or(Timestamp::NEVER, |at| at + STORE_DELAY)
    }

    /// Stores the revealed sum, if that is news.
    pub(super) fn store_paid(&mut self, first: u32) {
        if self.range(first).is_some_and(|r| r.paid != r.emitted_paid) {
            self.store_range(first);
        }
    }

    fn store_range(&mut self, first: u32) {
        let Some(account) = self.account_id() else {
            return;
        };
        let Some(range) = self.range_mut(first) else {
            return;
        };
        let paid = range.paid;
        range.emitted_paid = paid;
        range.dirty_since = None;
        let record = range.record();
        let work = PayerTask::Paid {
            account,
            first,
            paid,
        };
        self.put(Key::PayerRange(account, first), record.encode(), work);
    }

    /// The range ended for good.
    pub(super) fn set_life(&mut self, first: u32, life: PayerRangeLife) {
        let Some(range) = self.range_mut(first) else {
            return;
        };
        range.life = life;
        let conn = range.conn;
        self.drop_range(first);
        self.store_range(first);
        self.note_life(conn, first, life);
    }

    /// `steps` were revealed on the range's chain: store in time, fold in time, retire when full.
    pub(super) fn revealed(&mut self, conn: ConnectionId, first: u32, steps: u16) {
        let now = self.now;
        let Some(account) = self.account.as_mut() else {
            return;
        };
        let was_early = account.is_early(first);
        let Some(range) = account.ranges.get_mut(&first) else {
            return;
        };
        let worth = range
            .active
            .as_ref()
            .map_or(0, |l| l.voucher.unit.0.saturating_mul(u128::from(steps)));
        if let Some(c) = self.conns.get(&conn)
            && (range.paid.0 == 0 || range.address.is_none())
        {
            range.address = c.address();
            range.sold_by = Some(conn);
        }
        let paid = FineUnits(range.paid.0.saturating_add(worth));
        range.raise_paid(paid, &mut account.spent);
        range.steps_since_commit = range.steps_since_commit.saturating_add(u32::from(steps));
        let price = range.price.0.max(1);
        if range.paid.0.saturating_sub(range.emitted_paid.0) / price >= STORE_STEPS {
            self.store_paid(first);
        } else {
            range.dirty_since.get_or_insert(now);
        }
        let full =
            self.usable_now(first) == 0 && self.range(first).is_some_and(|r| r.prior.is_none());
        let early = self.account.as_ref().is_some_and(|a| a.is_early(first));
        if let Some(book) = self.book_mut(conn) {
            book.served |= !early;
            book.filled = book.filled.saturating_add(usize::from(full));
        }
        if was_early && !early {
            self.strangers.proved();
            self.proved(conn);
        }
        if full {
            // The connection stays acknowledged: blocks on their way are paid on its next range.
            self.detach_range(first);
        } else {
            self.fold_if_time(conn, first);
        }
    }

    /// Folds when three quarters of the chain are used, or when the payee asked.
    pub(super) fn fold_if_time(&mut self, conn: ConnectionId, first: u32) {
        let now = self.now;
        let Some(range) = self.range(first) else {
            return;
        };
        let Some(live) = &range.active else {
            return;
        };
        let used = 4 * u32::from(live.k) >= 3 * u32::from(live.voucher.steps);
        let asked = range.fold_asked && live.k > 0;
        let longer = self.usable_now(first) > u64::from(live.steps_left());
        let in_rate = u128::from(range.steps_since_commit) >= STORE_STEPS
            || now >= range.last_commit + COMMIT_SPACING;
        let free = range.is_payable() && range.prior.is_none() && now >= range.fold_after;
        if !((used && longer || asked) && in_rate && free) {
            return;
        }
        let (price, quote_id) = (live.voucher.unit, live.quote_id);
        let max_steps = self
            .conns
            .get(&conn)
            .and_then(|c| c.quote.as_ref())
            .map(|q| q.terms.max_steps)
            .filter(|steps| *steps > 0)
            .unwrap_or(live.voucher.steps);
        self.draft(first, price, max_steps, quote_id, true);
    }

    /// The payee refused the fold: the old chain goes on, as far along as the new one was.
    pub(super) fn roll_back(&mut self, conn: ConnectionId, first: u32, fold_after: Timestamp) {
        let Some(range) = self.range_mut(first) else {
            return;
        };
        let (Some(mut old), Some(new)) = (range.prior.take(), range.active.take()) else {
            return;
        };
        old.k = old.k.saturating_add(new.k).min(old.voucher.steps);
        range.fold_after = fold_after;
        let message = old.chain.link(old.k).map(|w| PayMessage::Pay {
            first,
            tag: old.voucher.tag(),
            k: old.k,
            w,
        });
        range.active = Some(old);
        range.stage = RangeStage::Attached;
        if new.k > 0
            && let Some(message) = message
        {
            self.send(conn, message);
        }
        self.settle(conn);
    }

    pub(super) fn range_timers(&mut self, conn: ConnectionId, first: u32) {
        let now = self.now;
        let Some(range) = self.range_mut(first) else {
            return;
        };
        if range.dirty_since.is_some_and(|at| at + STORE_DELAY <= now) {
            self.store_paid(first);
        }
        let Some(range) = self.range_mut(first) else {
            return;
        };
        if (range.unanswered_since()).is_some_and(|at| at + COMMIT_TIMEOUT <= now) {
            self.detach_range(first);
            self.end(conn, EndReason::NoAnswer);
            self.name_elsewhere(first);
            return;
        }
        match &mut range.stage {
            RangeStage::Committed {
                since, retry_at, ..
            } if retry_at.is_some_and(|at| at <= now) => {
                *retry_at = None;
                *since = now;
                self.send_commit(conn, first);
            }
            RangeStage::Attached => self.fold_if_time(conn, first),
            _ => {}
        }
    }

    pub(super) fn range_timeout(&self, first: u32) -> Timestamp {
        let Some(range) = self.range(first) else {
            return Timestamp::NEVER;
        };
        let dirty = range
            .dirty_since
            .map_or(Timestamp::NEVER, |at| at + STORE_DELAY);
        let stage = match &range.stage {
            RangeStage::Committed { retry_at, .. } => retry_at.unwrap_or(Timestamp::NEVER),
            RangeStage::Attached => {
                // Only a fold that waits for its rate or its delay has a time.
                let at = range.fold_after.max(range.last_commit + COMMIT_SPACING);
                let wants = range
                    .active
                    .as_ref()
                    .is_some_and(|l| 4 * u32::from(l.k) >= 3 * u32::from(l.voucher.steps));
                if wants && at > self.now {
                    at
                } else {
                    Timestamp::NEVER
                }
            }
            _ => Timestamp::NEVER,
        };
        let answer = (range.unanswered_since()).map_or(Timestamp::NEVER, |at| at + COMMIT_TIMEOUT);
        dirty.min(stage).min(answer)
    }
}
