//! The ranges that are worth a place in a redemption, and the order in which their claims leave.
//!
//! Invariant: a worthless claim never takes the place of another. Claims leave by worth; claims that failed leave after
//! all others; a claim stays if the chain, asked lately, does not cover it.

use alloy_primitives::B256;

use super::state::{PayeeAccount, PayeeRange};
use super::{Life, MAX_LIVE_RANGES, Payee, PayeeTask, RangeId, ReadyClaim, RedeemScope};
use crate::payment::voucher::{MAX_CLAIMS, range_cap};
use crate::sorted::Set;
use crate::time::{Duration, Timestamp};
use crate::types::TokenUnits;

/// Before a claim leaves, the chain was asked about it within this time.
const FRESH: Duration = Duration::from_secs(600);

impl Payee {
    /// Ranges of an account that a redemption takes, and the worth of each.
    pub(super) fn chosen(&self, id: B256, scope: RedeemScope) -> Vec<(u32, TokenUnits)> {
        let Some(account) = self.accounts.get(&id) else {
            return Vec::new();
        };
        let gas = self.config.item_gas;
        let items = || {
            (account.ranges.iter())
                .filter(|(_, r)| !r.skipped && r.covered)
                .map(|(first, r)| (*first, r, r.due(account.tranche)))
                .filter(|(_, r, due)| due.0 > 0 && is_unclaimed(r))
        };
        let least = match scope {
            RedeemScope::Due if !self.is_pressing(account) => self.config.dust,
            RedeemScope::Due => gas,
            // An honest buyer leaves no more crumbs than it has live ranges.
            RedeemScope::All => {
                let crumbs = items().filter(|(.., due)| *due < gas).count();
                if crumbs > MAX_LIVE_RANGES {
                    gas
                } else {
                    TokenUnits(1)
                }
            }
        };
        items()
            .filter(|(_, r, due)| *due >= least || self.is_filled(account, r))
            .filter(|(_, r, _)| self.is_wanted(account, r, scope))
            .map(|(first, _, due)| (first, due))
            .collect()
    }

    /// A full range of the least size may lack a part of a step to the dust limit, and gets no step more.
    fn is_filled(&self, account: &PayeeAccount, range: &PayeeRange) -> bool {
        let cap = range_cap(range.best.voucher.count, account.tranche);
        range.usable(account.tranche) == 0 && cap >= self.config.dust.fine()
    }

    /// Every range that is worth its gas is due: it will be gone, or nothing more can be sold before.
    fn is_pressing(&self, account: &PayeeAccount) -> bool {
        account.exit_at.is_some() || account.is_at_limit(&self.config)
    }

    /// Closed ranges are due; so are open ones that are full or long without a connection, all of an account that is
    /// exiting or owes much, and those half used of one that owes some.
    fn is_wanted(&self, account: &PayeeAccount, range: &PayeeRange, scope: RedeemScope) -> bool {
        let idle = range.idle_since + self.config.redeem_idle;
        scope == RedeemScope::All
            || range.life != Life::Open
            || account.exit_at.is_some()
            || account.owes_much(&self.config)
            || account.owes_some(&self.config) && range.is_half_used(account.tranche)
            || range.usable(account.tranche) == 0
            || range.conn.is_none() && idle <= self.now
    }

    /// The claims that can leave now, of those that the last `prepare_redeem` asked for, best first.
    pub fn claims(&self) -> Vec<ReadyClaim> {
        let mut ready = Vec::new();
        for (account, state) in self.accounts.iter() {
            for (first, due) in self.chosen(*account, self.preparing.scope) {
                let range = state.ranges.get(&first);
                if let Some(range) = range.filter(|r| r.is_ready(self.now)) {
                    let id = RangeId {
                        account: *account,
                        first,
                    };
                    ready.push(((range.failed, core::cmp::Reverse(due), id), range));
                }
            }
        }
        ready.sort_by_key(|(rank, _)| *rank);
        let claim =
            |((_, due, id), range): ((_, core::cmp::Reverse<TokenUnits>, RangeId), &PayeeRange)| {
                let best = &range.best;
                let account = self.accounts.get(&id.account);
                ReadyClaim {
                    id,
                    claim: best.voucher.claim(&best.signature, best.k, best.w),
                    due: due.0,
                    is_last_chance: account.is_some_and(|a| a.exit_at.is_some()),
                }
            };
        ready.into_iter().map(claim).collect()
    }

    /// Stores, for the claims that leave next, that they may have left, unless a record says so already. True while a
    /// record is being stored. A record that cannot be stored holds no claim up: earnings go before books.
    pub(super) fn notes_claims(&mut self) -> bool {
        let claims = self.claims();
        for ReadyClaim { id, .. } in claims.into_iter().take(MAX_CLAIMS) {
            if let Some(range) = self.range_mut(id).filter(|r| !r.noted) {
                range.noted = true;
                self.preparing.notes(id);
                self.put_range(id, PayeeTask::Claim { id });
            }
        }
        self.preparing.is_noting()
    }

    /// A claim is back, and no claim of its range is out.
    pub(super) fn note_back(&mut self, id: RangeId) {
        if let Some(range) = self.range_mut(id).filter(|r| r.noted && !r.may_have_left) {
            range.noted = false;
            self.put_range(id, PayeeTask::Background);
        }
    }

    /// Hands out up to `most` ready claims (a call takes [`MAX_CLAIMS`]) whose records say that they may leave. From
    /// here their steps are frozen; `redeemed` must report the end of each.
    pub fn take_claims(&mut self, now: Timestamp, most: usize) -> Vec<ReadyClaim> {
        self.turn(now);
        let mut claims = self.claims();
        let is_noted = |id| self.range(id).is_some_and(|r| r.noted) && self.preparing.is_noted(&id);
        claims.retain(|claim| is_noted(claim.id));
        claims.truncate(most.min(MAX_CLAIMS));
        for claim in &claims {
            let Some(account) = self.accounts.get_mut(&claim.id.account) else {
                continue;
            };
            let before = account.balance.map(|balance| (balance, account.deposits));
            if let Some(range) = account.ranges.get_mut(&claim.id.first) {
                range.life = Life::Claimed;
                range.had_left = range.may_have_left;
                range.may_have_left = true;
                if !range.had_left {
                    range.before = before;
                }
                if let Some(conn) = range.conn {
                    self.detach(conn, claim.id.first);
                }
            }
        }
        claims
    }

    /// Asks the chain about the claims that leave next, unless that was done lately; true while an answer is waited
    /// for. Claims that turn out to be dead make room for others, about which the payee asks in turn.
    pub(super) fn asks_chain(&mut self) -> bool {
        let stale: Set<(B256, u64)> = (self.claims().iter().take(MAX_CLAIMS))
            .filter_map(|claim| {
                let range = self.range(claim.id)?;
                let is_stale = range.asked + FRESH <= self.now;
                is_stale.then_some((claim.id.account, range.word()))
            })
            .collect();
        for (account, word) in &stale {
            self.reads.first(*account, *word);
        }
        self.read_due();
        !stale.is_empty()
    }
}

/// Its claim is not on its way, and nobody redeemed it.
fn is_unclaimed(range: &PayeeRange) -> bool {
    matches!(range.life, Life::Open | Life::Closing | Life::Ready { .. })
}

impl PayeeRange {
    fn is_ready(&self, now: Timestamp) -> bool {
        // A higher sum of it may be on its way to the disk.
        self.next.is_none() && matches!(self.life, Life::Ready { at } if at <= now)
    }
}
