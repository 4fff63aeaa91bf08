//! One range of serials from reservation to the last step: store, sign, commit, fold.
//!
//! Invariant: a voucher is signed only when its serials and its base are durable, and only for the
//! payee its record names. While a fold is stored and signed, nothing is revealed on the range, so
//! its base is always exactly what was revealed.

use alloy_primitives::B256;

use super::range::{Live, Range, Stage, Work};
use super::{
    COMMIT_SPACING, COMMIT_TIMEOUT, FAILURE_DELAY, MAX_LIVE_RANGES, MAX_WASTED_RANGES,
    NEXT_RANGE_MARGIN, Payer, STORE_DELAY, STORE_STEPS,
};
use crate::payment::NEW_RANGE_STEPS;
use crate::payment::chain::HashChain;
use crate::payment::policy;
use crate::payment::record::{Key, PayerRangeLife};
use crate::payment::voucher::{self, Signature, Voucher};
use crate::payment::{NotSigned, PayAction, PayEffect, PayEvent, Refusal, TitleKind};
use crate::sorted::Set;
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, FineUnits};
use crate::wire::pay::{PayMessage, Terms};

enum Choice {
    Reuse(u32),
    New {
        first: u32,
        count: u16,
        stranger: bool,
    },
}

impl Payer {
    /// Whole steps the range still allows, folds included.
    pub(super) fn usable(&self, range: &Range, unit: FineUnits) -> u64 {
        match &self.account {
            Some(account) if range.life == PayerRangeLife::Usable => {
                voucher::usable_steps(range.count, account.info.tranche, range.paid, unit)
            }
            _ => 0,
        }
    }

    fn usable_now(&self, first: u32) -> u64 {
        self.range(first).map_or(0, |r| {
            let unit = r.active.as_ref().map_or(r.unit, |l| l.voucher.unit);
            self.usable(r, unit)
        })
    }

    /// Usable steps on the ranges of a connection that are attached (`opening`: or about to be).
    pub(super) fn usable_on(&self, conn: ConnectionId, opening: bool) -> u64 {
        let Some(c) = self.conns.get(&conn) else {
            return 0;
        };
        c.ranges
            .iter()
            .filter(|first| opening || self.range(**first).is_some_and(Range::is_attached))
            .map(|first| self.usable_now(*first))
            .fold(0, u64::saturating_add)
    }

    /// Commits the next range of a connection if one is wanted and allowed.
    pub(super) fn pump(&mut self, conn: ConnectionId) {
        let (choice, terms) = match self.choose(conn) {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(why) => {
                self.refuse(conn, why);
                return;
            }
        };
        let now = self.now;
        let (Some(account), Some(c)) = (self.account.as_mut(), self.conns.get_mut(&conn)) else {
            return;
        };
        let first = match choice {
            Choice::Reuse(first) => first,
            Choice::New {
                first,
                count,
                stranger,
            } => {
                account.next = u64::from(first) + u64::from(count);
                let mut range = Range::new(first, count, terms.payee, terms.content);
                range.address = (!c.info.address.is_empty()).then(|| c.info.address.clone());
                account.ranges.insert(first, range);
                if stranger {
                    self.strangers.took(now);
                }
                first
            }
        };
        if let Some(quote) = c.quote.as_mut() {
            quote.refused = None;
        }
        c.next_range_asked = false;
        self.commit(conn, first, &terms);
    }

    fn choose(&self, conn: ConnectionId) -> Result<Option<(Choice, Terms)>, Refusal> {
        let Some(c) = self.conns.get(&conn) else {
            return Ok(None);
        };
        let Some(quote) = &c.quote else {
            return Ok(None);
        };
        let terms = quote.terms;
        let idle = c.ended.is_some() || !c.sells || !c.wanted || c.title == TitleKind::Unknown;
        let spaced = c.spaced_until > self.now && c.paid_since_new < NEW_RANGE_STEPS;
        if idle || spaced || c.next_commit > self.now {
            return Ok(None);
        }
        let opening = |first: &u32| self.range(*first).is_some_and(Range::is_opening);
        if c.ranges.iter().any(opening) {
            return Ok(None);
        }
        if !c.ranges.is_empty() && c.payee.is_some_and(|p| p != terms.payee) {
            return Ok(None);
        }
        let live = c
            .ranges
            .iter()
            .filter(|first| self.usable_now(**first) > 0)
            .count();
        if live >= MAX_LIVE_RANGES {
            return Ok(None);
        }
        let usable = self.usable_on(conn, true);
        let enough = u64::from(c.credit) + NEXT_RANGE_MARGIN;
        let affordable = self.budget_left().0 / terms.unit.0.max(1);
        if affordable == 0 {
            return Err(Refusal::BudgetExhausted);
        }
        if c.acked && live > 0 && !c.next_range_asked && usable >= enough {
            return Ok(None);
        }
        if live > 0 && u128::from(usable) >= affordable {
            return Ok(None);
        }
        let Some(account) = self.account.as_ref().filter(|a| a.ready()) else {
            return Err(Refusal::NoAccount);
        };
        let book = self.payees.get(&terms.payee);
        if book.is_some_and(|b| b.refused) {
            return Err(Refusal::PayeeRefused);
        }
        if matches!(c.title, TitleKind::V1 { .. }) && self.losses_left(c.info.torrent) == 0 {
            return Err(Refusal::LossBudget);
        }
        policy::judge_quote(&self.config, &account.info, &terms, c.info.content)?;
        // The payee counts from sending: leave it a tenth for the way.
        let ttl = Duration::from_millis(u64::from(terms.ttl_secs) * 900);
        if quote.received + ttl < self.now {
            return Ok(None);
        }
        let same_payee = || account.ranges.values().filter(|r| r.payee == terms.payee);
        let reusable = same_payee().find(|r| {
            r.conn.is_none()
                && !r.refused
                && r.content == terms.content
                && self.usable(r, terms.unit) > 0
                && voucher::range_cap(r.count, account.info.tranche) >= terms.min_range
        });
        if let Some(range) = reusable {
            return Ok(Some((Choice::Reuse(range.first), terms)));
        }
        let wasted = same_payee().filter(|r| r.paid.0 == 0 && r.life == PayerRangeLife::Closed);
        if wasted.count() >= MAX_WASTED_RANGES {
            return Err(Refusal::PayeeRefused);
        }
        // One that was closed early is not full.
        let tranche = account.info.tranche;
        let full = |r: &&Range| voucher::usable_steps(r.count, tranche, r.paid, r.unit) == 0;
        let filled = same_payee().filter(|r| r.paid.0 > 0).filter(full);
        let sizing = policy::size_range(
            &self.config,
            account.info.tranche,
            &terms,
            filled.count(),
            account.unassigned(),
            self.budget_left(),
        )?;
        let stranger = !c.delivered && !same_payee().any(|r| r.paid.0 > 0);
        let same_address = !c.info.address.is_empty()
            && account
                .ranges
                .values()
                .any(|r| r.paid.0 == 0 && r.address.as_deref() == Some(c.info.address.as_str()));
        if stranger
            && !self.strangers.allows(
                self.now,
                account.unrevealed_ranges(),
                account.unassigned(),
                same_address,
            )
        {
            return Err(Refusal::FakePayeeLimit);
        }
        let (first, count) = policy::allocate(account.next, account.bound(), sizing)
            .ok_or(Refusal::DepositExhausted)?;
        Ok(Some((
            Choice::New {
                first,
                count,
                stranger,
            },
            terms,
        )))
    }

    fn refuse(&mut self, conn: ConnectionId, why: Refusal) {
        let now = self.now;
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if why == Refusal::FakePayeeLimit {
            // Tried again when the next slot comes, at least a second from now.
            let slot = self.strangers.next_slot(now);
            c.next_commit = slot.max(now + Duration::from_secs(1));
        }
        let Some(quote) = c.quote.as_mut() else {
            return;
        };
        if quote.refused.replace(why) == Some(why) {
            return;
        }
        self.event(PayEvent::Refused { conn, why });
        let once = match why {
            Refusal::BudgetExhausted if !self.said_budget => {
                self.said_budget = true;
                PayEvent::BudgetExhausted
            }
            Refusal::DepositExhausted if !self.said_deposit => {
                self.said_deposit = true;
                PayEvent::DepositExhausted
            }
            _ => return,
        };
        self.event(once);
    }

    /// Binds a range to a connection and prepares its first voucher there: always a fresh chain on
    /// top of what was revealed.
    pub(super) fn commit(&mut self, conn: ConnectionId, first: u32, terms: &Terms) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.payee = Some(terms.payee);
        if !c.ranges.contains(&first) {
            c.ranges.push(first);
        }
        self.payees.entry(terms.payee).or_default();
        if let Some(range) = self.range_mut(first) {
            range.conn = Some(conn);
            range.active = None;
            range.prior = None;
        }
        self.draft(first, terms.unit, terms.max_steps, terms.quote_id, false);
    }

    fn draft(&mut self, first: u32, unit: FineUnits, max_steps: u16, quote_id: u32, fold: bool) {
        let tip = self.fresh_tip();
        let Some(account) = self.account.as_mut() else {
            return;
        };
        let (id, info) = (account.id, account.info);
        let Some(range) = account.ranges.get_mut(&first) else {
            return;
        };
        let steps = voucher::chain_steps(range.count, info.tranche, range.paid, unit, max_steps);
        let chain = HashChain::generate(tip, steps);
        let draft = Live {
            voucher: Voucher {
                owner: info.owner,
                payee: range.payee,
                first,
                count: range.count,
                content: range.content,
                base: range.paid,
                unit,
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
        range.unit = unit;
        let (reserved, paid) = (range.reserved, range.paid);
        let stored = reserved && range.durable_paid == paid;
        let record = range.record();
        let mut waits = Set::new();
        if !reserved {
            let work = Work::Reserve {
                account: id,
                first,
                paid: None,
            };
            waits.extend(self.store_account(work));
        }
        if !stored {
            let work = Work::Reserve {
                account: id,
                first,
                paid: Some(paid),
            };
            waits.insert(self.put(Key::PayerRange(id, first), record.encode(), work));
        }
        if let Some(range) = self.range_mut(first) {
            range.emitted_paid = paid;
            range.dirty_since = None;
            range.stage = Stage::Storing { draft, waits, fold };
        }
        if stored {
            self.sign(first);
        }
    }

    /// A `PutRecord` is durable, or failed.
    pub fn stored(&mut self, now: Timestamp, effect: PayEffect, ok: bool) {
        self.turn(now);
        let Some(work) = self.effects.remove(&effect) else {
            return;
        };
        if !ok {
            self.event(PayEvent::StoreFailed);
        }
        let selected = self.account_id();
        match work {
            Work::Reserve {
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
                let Stage::Storing { waits, .. } = &mut range.stage else {
                    return;
                };
                if !waits.remove(&effect) {
                    return;
                }
                if !ok {
                    self.abort(first);
                } else if waits.is_empty() {
                    range.reserved = true;
                    self.sign(first);
                }
            }
            Work::Paid {
                account,
                first,
                paid,
            } if Some(account) == selected => {
                let now = self.now;
                if let Some(range) = self.range_mut(first) {
                    if ok {
                        range.durable_paid = range.durable_paid.max(paid);
                    } else {
                        range.emitted_paid = range.durable_paid;
                        range.dirty_since = Some(now);
                    }
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
        let effect = self.effect(Work::Sign { account, first });
        let Some(range) = self.range_mut(first) else {
            return;
        };
        match core::mem::replace(&mut range.stage, Stage::Idle) {
            Stage::Storing { draft, fold, .. } => {
                let digest = draft.voucher.digest(&vault);
                range.stage = Stage::Signing {
                    draft,
                    effect,
                    fold,
                };
                self.actions.push_back(PayAction::Sign { effect, digest });
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
        let Some(Work::Sign { account: id, first }) = self.effects.remove(&effect) else {
            return;
        };
        let (now, vault) = (self.now, self.config.vault);
        let Some(account) = self.account.as_mut().filter(|a| a.id == id) else {
            return;
        };
        let session_key = account.info.session_key;
        let Some(range) = account.ranges.get_mut(&first) else {
            return;
        };
        let (mut draft, fold) = match core::mem::replace(&mut range.stage, Stage::Idle) {
            Stage::Signing {
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
            range.stage = Stage::Storing {
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
            Stage::Attached
        } else {
            Stage::Committed {
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
        let opens = range.is_opening();
        if opens && let Some(c) = self.conns.get_mut(&conn) {
            // The payee counts from this message to the next, too: what was paid while this one was made is before it.
            c.spaced_until = now + COMMIT_SPACING;
            c.paid_since_new = 0;
        }
        self.send(conn, message);
    }

    /// A draft could not be stored or signed: a fold leaves the old chain in place, a first voucher
    /// leaves the connection.
    fn abort(&mut self, first: u32) {
        let later = self.now + FAILURE_DELAY;
        let Some(range) = self.range_mut(first) else {
            return;
        };
        let fold = match &range.stage {
            Stage::Storing { fold, .. } | Stage::Signing { fold, .. } => *fold,
            _ => return,
        };
        let conn = range.conn;
        if fold {
            range.stage = Stage::Attached;
            range.fold_after = later;
            if let Some(conn) = conn {
                self.settle(conn);
            }
            return;
        }
        self.detach_range(first);
        if let Some(c) = conn.and_then(|conn| self.conns.get_mut(&conn)) {
            c.next_commit = later;
        }
    }

    /// The range leaves its connection; what was revealed is stored.
    pub(super) fn detach_range(&mut self, first: u32) {
        let Some(range) = self.range_mut(first) else {
            return;
        };
        let conn = range.conn.take();
        range.stage = Stage::Idle;
        range.active = None;
        range.prior = None;
        if let Some(c) = conn.and_then(|conn| self.conns.get_mut(&conn)) {
            c.ranges.retain(|other| *other != first);
        }
        self.store_paid(first);
    }

    /// Stores what was revealed, if that is news.
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
        let work = Work::Paid {
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
        self.detach_range(first);
        self.store_range(first);
        if let Some(c) = conn.and_then(|conn| self.conns.get_mut(&conn)) {
            c.acked &= !c.ranges.is_empty();
        }
    }

    /// `steps` were revealed on the range's chain: store in time, fold in time, retire when full.
    pub(super) fn revealed(&mut self, conn: ConnectionId, first: u32, steps: u16) {
        let now = self.now;
        let Some(account) = self.account.as_mut() else {
            return;
        };
        let Some(range) = account.ranges.get_mut(&first) else {
            return;
        };
        let worth = range
            .active
            .as_ref()
            .map_or(0, |l| l.voucher.unit.0 * u128::from(steps));
        range.paid.0 += worth;
        account.spent.0 += worth;
        range.steps_since_commit += u32::from(steps);
        let unit = range.unit.0.max(1);
        if (range.paid.0 - range.emitted_paid.0.min(range.paid.0)) / unit >= STORE_STEPS {
            self.store_paid(first);
        } else {
            range.dirty_since.get_or_insert(now);
        }
        let full =
            self.usable_now(first) == 0 && self.range(first).is_some_and(|r| r.prior.is_none());
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
        let (unit, quote_id) = (live.voucher.unit, live.quote_id);
        let max_steps = self
            .conns
            .get(&conn)
            .and_then(|c| c.quote.as_ref())
            .map_or(live.voucher.steps, |q| q.terms.max_steps);
        self.draft(first, unit, max_steps, quote_id, true);
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
        range.stage = Stage::Attached;
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
        match &mut range.stage {
            Stage::Committed {
                since, retry_at, ..
            } => match *retry_at {
                Some(at) if at <= now => {
                    *retry_at = None;
                    *since = now;
                    self.send_commit(conn, first);
                }
                None if *since + COMMIT_TIMEOUT <= now => {
                    range.refused = true;
                    self.detach_range(first);
                    self.end(conn, crate::payment::EndReason::NoAnswer);
                }
                _ => {}
            },
            Stage::Attached => self.fold_if_time(conn, first),
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
            Stage::Committed {
                since, retry_at, ..
            } => retry_at.unwrap_or(*since + COMMIT_TIMEOUT),
            Stage::Attached => {
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
        dirty.min(stage)
    }
}
