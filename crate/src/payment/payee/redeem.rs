//! From a full or idle range to token units in the payee's hands.
//!
//! Invariant: a range is closed durably before its payer hears of it, its step is frozen before its
//! claim leaves, and its voucher is forgotten only when a later read confirms that it was redeemed.

use alloy_primitives::B256;

use super::{CLOSE_GRACE, ClaimOutcome, Life, Payee, RangeId, ReadyClaim, RedeemScope, Work};
use crate::payment::PayEvent;
use crate::payment::record::Key;
use crate::payment::voucher;
use crate::time::{Duration, Timestamp};
use crate::types::TokenUnits;
use crate::wire::pay::{NeedReason, PayMessage};

/// An exiting account is redeemed so long before its funds may leave.
pub(super) const EXIT_MARGIN: Duration = Duration::from_secs(3_600);
/// A redemption is confirmed by a read after this.
const CONFIRM: Duration = Duration::from_secs(30);
/// Skip reason of the vault: consumed already.
const SKIP_CONSUMED: u8 = 6;

impl Payee {
    /// Closes ranges durably and tells their payers; `PayEvent::ClaimsReady` follows (at once, with
    /// what is ready, when nothing has to be closed).
    pub fn prepare_redeem(&mut self, now: Timestamp, scope: RedeemScope) {
        self.turn(now);
        let accounts: Vec<B256> = self.accounts.keys().copied().collect();
        for id in accounts {
            let chosen: Vec<(u32, TokenUnits)> = match scope {
                RedeemScope::All => self.redeemable(id, |_| true),
                RedeemScope::Due => self.due_ranges(id),
            };
            let sum: u128 = chosen.iter().map(|(_, due)| due.0).sum();
            if scope == RedeemScope::Due && sum < self.config.dust.0 {
                continue;
            }
            for (first, _) in chosen {
                self.close_range(RangeId { account: id, first });
            }
        }
        let open: Vec<_> = self.range_ids(|r| r.life == Life::Closing).collect();
        self.closing.extend(open);
        if self.closing.is_empty() {
            self.say_ready();
        } else {
            self.closed_ready();
        }
    }

    fn redeemable(&self, id: B256, keep: impl Fn(&super::Range) -> bool) -> Vec<(u32, TokenUnits)> {
        let Some(account) = self.accounts.get(&id) else {
            return Vec::new();
        };
        account
            .ranges
            .iter()
            .filter(|(_, r)| r.best.voucher.payee == self.config.payee && !r.skipped)
            .filter(|(_, r)| match r.life {
                Life::Open => keep(r),
                Life::Closing | Life::Ready { .. } => true,
                Life::Claimed | Life::Redeemed(_) | Life::Lost => false,
            })
            .map(|(first, r)| (*first, r.best.voucher.due(r.best.k, account.tranche)))
            .filter(|(_, due)| due.0 > 0)
            .collect()
    }

    /// Full ranges, ranges long without a connection, everything of an account that is exiting.
    fn due_ranges(&self, id: B256) -> Vec<(u32, TokenUnits)> {
        let Some(account) = self.accounts.get(&id) else {
            return Vec::new();
        };
        let (now, idle) = (self.now, self.config.redeem_idle);
        self.redeemable(id, |r| {
            account.exit_at.is_some()
                || r.usable(account.tranche) == 0
                || r.conn.is_none() && r.idle_since + idle <= now
        })
    }

    fn close_range(&mut self, id: RangeId) {
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        let (session_key, tranche) = (account.session_key, account.tranche);
        let Some(range) = account.ranges.get_mut(&id.first) else {
            return;
        };
        if range.life != Life::Open {
            return;
        }
        range.life = Life::Closing;
        let k = range.newest().k;
        let record = range.record(session_key, tranche);
        let key = Key::PayeeRange(id.account, id.first);
        self.put(key, Some(record.encode()), Work::Close { id, k });
    }

    pub(super) fn close_stored(&mut self, id: RangeId, k: u16, ok: bool) {
        if ok {
            self.promote(id);
        }
        let now = self.now;
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        let Some(range) = account.ranges.get_mut(&id.first) else {
            return;
        };
        if range.life == Life::Closing {
            if ok {
                range.durable_k = range.durable_k.max(k);
                let owes = range
                    .conn
                    .is_some_and(|conn| account.ledger.unpaid_on(conn) > 0);
                let grace = if owes { CLOSE_GRACE } else { Duration::ZERO };
                range.life = Life::Ready { at: now + grace };
            } else {
                range.life = Life::Open;
                account.said_due = false;
                self.closing.remove(&id);
                if self.closing.is_empty() {
                    // Whoever waits for the claims hears of those that are ready.
                    self.say_ready();
                }
                return;
            }
        }
        let conn = range.conn;
        if let Some(conn) = conn {
            let reason = NeedReason::RangeClosed;
            self.send(
                conn,
                PayMessage::Need {
                    reason,
                    first: id.first,
                },
            );
        }
        self.closed_ready();
    }

    /// When every range that is being closed is ready.
    pub(super) fn closed_at(&self) -> Timestamp {
        let at = |id: &RangeId| match self.range(*id).map(|r| r.life) {
            Some(Life::Ready { at }) => at,
            Some(Life::Closing) => Timestamp::NEVER,
            _ => self.now,
        };
        self.closing
            .iter()
            .map(at)
            .max()
            .unwrap_or(Timestamp::NEVER)
    }

    pub(super) fn closed_ready(&mut self) {
        if !self.closing.is_empty() && self.closed_at() <= self.now {
            self.closing.clear();
            self.say_ready();
        }
    }

    fn say_ready(&mut self) {
        let claims = self.claims();
        let due = TokenUnits(claims.iter().map(|c| c.due.0).sum());
        self.event(PayEvent::ClaimsReady {
            count: claims.len(),
            due,
        });
    }

    /// What can be claimed now.
    pub fn claims(&self) -> Vec<ReadyClaim> {
        let mut claims = Vec::new();
        for (id, account) in self.accounts.iter() {
            for (first, range) in &account.ranges {
                let ready = matches!(range.life, Life::Ready { at } if at <= self.now);
                let best = &range.best;
                let due = best.voucher.due(best.k, account.tranche);
                if ready && !range.skipped && due.0 > 0 && best.voucher.payee == self.config.payee {
                    claims.push(ReadyClaim {
                        id: RangeId {
                            account: *id,
                            first: *first,
                        },
                        claim: best.voucher.claim(&best.signature, best.k, best.w),
                        due,
                    });
                }
            }
        }
        claims
    }

    /// Hands out up to `most` ready claims (a call takes [`voucher::MAX_CLAIMS`]). From here their steps
    /// are frozen; `redeemed` must say what became of each.
    pub fn take_claims(&mut self, now: Timestamp, most: usize) -> Vec<ReadyClaim> {
        self.turn(now);
        let mut claims = self.claims();
        claims.truncate(most.min(voucher::MAX_CLAIMS));
        for claim in &claims {
            if let Some(range) = self.range_mut(claim.id) {
                range.life = Life::Claimed;
                range.had_left = range.may_have_left;
                range.may_have_left = true;
                let conn = range.conn;
                if let Some(conn) = conn {
                    self.detach(conn, claim.id.first);
                }
            }
        }
        claims
    }

    /// What became of claims that were taken.
    pub fn redeemed(&mut self, now: Timestamp, outcomes: &[(RangeId, ClaimOutcome)]) {
        self.turn(now);
        let now = self.now;
        for (id, outcome) in outcomes {
            let Some(range) = self.range_mut(*id) else {
                continue;
            };
            if let (Life::Redeemed(gross), false) = (range.life, range.had_left)
                && matches!(
                    outcome,
                    ClaimOutcome::Skipped(SKIP_CONSUMED) | ClaimOutcome::Failed
                )
            {
                // A read found the serials consumed meanwhile, and it was not by this claim.
                self.lost(*id, gross);
                continue;
            }
            if range.life != Life::Claimed {
                continue;
            }
            match outcome {
                ClaimOutcome::Paid(gross) => self.note_redeemed(*id, *gross),
                ClaimOutcome::Skipped(SKIP_CONSUMED) => {
                    range.may_have_left = range.had_left;
                    self.found_consumed(*id);
                }
                ClaimOutcome::Skipped(_) => {
                    range.life = Life::Ready { at: now };
                    range.may_have_left = range.had_left;
                    range.skipped = true;
                }
                ClaimOutcome::Failed => {
                    range.life = Life::Ready { at: now };
                    range.may_have_left = range.had_left;
                }
                ClaimOutcome::Unknown => range.life = Life::Ready { at: now },
            }
        }
    }

    /// The chain says that the serials are consumed: by our own claim, for what the range was worth, if one may have
    /// got there; else by somebody to whom they were promised too.
    pub(super) fn found_consumed(&mut self, id: RangeId) {
        let Some(account) = self.accounts.get(&id.account) else {
            return;
        };
        let Some(range) = account.ranges.get(&id.first) else {
            return;
        };
        let gross = range.best.voucher.due(range.best.k, account.tranche);
        let ours = range.may_have_left;
        if let Some(conn) = range.conn {
            let reason = NeedReason::RangeClosed;
            self.send(
                conn,
                PayMessage::Need {
                    reason,
                    first: id.first,
                },
            );
            self.detach(conn, id.first);
        }
        if ours {
            self.note_redeemed(id, gross);
        } else {
            self.lost(id, TokenUnits(0));
        }
    }

    /// Somebody else redeemed the serials; `counted` was taken for redeemed by us.
    fn lost(&mut self, id: RangeId, counted: TokenUnits) {
        self.set_redeemed(id, Life::Lost, |sum| sum.saturating_sub(counted.0));
        self.closing.remove(&id);
        self.event(PayEvent::Conflict {
            account: id.account,
            serial: id.first,
        });
    }

    fn note_redeemed(&mut self, id: RangeId, gross: TokenUnits) {
        self.set_redeemed(id, Life::Redeemed(gross), |sum| sum.saturating_add(gross.0));
        self.reads
            .at(id.account, u64::from(id.first) >> 8, self.now + CONFIRM);
        self.event(PayEvent::Redeemed {
            account: id.account,
            first: id.first,
            gross,
        });
    }

    /// The chain forgot the redemption (a reorg): the claim is ready again.
    pub(super) fn unredeem(&mut self, id: RangeId, gross: TokenUnits) {
        let ready = Life::Ready { at: self.now };
        self.set_redeemed(id, ready, |sum| sum.saturating_sub(gross.0));
        self.say_due(id.account);
    }

    fn set_redeemed(&mut self, id: RangeId, life: Life, sum: impl Fn(u128) -> u128) {
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        let (session_key, tranche) = (account.session_key, account.tranche);
        account.said_due = false;
        let facts = account.ledger.facts_mut();
        facts.redeemed.0 = sum(facts.redeemed.0);
        let Some(range) = account.ranges.get_mut(&id.first) else {
            return;
        };
        range.life = life;
        range.next = None;
        range.dirty_since = None;
        let record = range.record(session_key, tranche);
        let key = Key::PayeeRange(id.account, id.first);
        self.put(key, Some(record.encode()), Work::Background);
        self.store_facts(id.account);
    }

    /// Confirmed: the voucher is worth nothing any more.
    pub(super) fn forget(&mut self, id: RangeId) {
        if let Some(account) = self.accounts.get_mut(&id.account) {
            account.ranges.remove(&id.first);
            let key = Key::PayeeRange(id.account, id.first);
            self.put(key, None, Work::Background);
        }
    }

    /// A range may just have become full.
    pub(super) fn full_range(&mut self, id: RangeId) {
        let full = self.accounts.get(&id.account).is_some_and(|a| {
            a.ranges
                .get(&id.first)
                .is_some_and(|r| r.usable(a.tranche) == 0)
        });
        if full {
            self.say_due(id.account);
        }
    }

    /// Ranges that have been without a connection for long.
    pub(super) fn idle_due(&mut self, accounts: &[B256]) {
        for id in accounts {
            self.say_due(*id);
        }
    }

    /// Says once, per account and redemption, that something above dust should be redeemed.
    pub(super) fn say_due(&mut self, id: B256) {
        if self.accounts.get(&id).is_none_or(|a| a.said_due) {
            return;
        }
        let sum: u128 = self.due_ranges(id).iter().map(|(_, due)| due.0).sum();
        if sum < self.config.dust.0.max(1) {
            return;
        }
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        account.said_due = true;
        let before = account.exit_at.map(|at| at - EXIT_MARGIN);
        self.event(PayEvent::RedeemDue {
            before,
            due: TokenUnits(sum),
        });
    }
}
