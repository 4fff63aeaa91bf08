//! All accounts of a payee, and the choice of those that need a look.
//!
//! A change of an account goes through [`Accounts::get_mut`], which forgets the account's due time. So the payee walks
//! only through accounts that changed or whose time came, however many others there are with however many ranges. It
//! asks this after every input.

use core::cell::Cell;
use core::ops::Deref;
use std::collections::VecDeque;

use alloy_primitives::B256;

use super::state::PayeeAccount;
use crate::payment::record::PayeeFactsRecord;
use crate::sorted::Map;
use crate::time::Timestamp;

/// The times of an account since its last change.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// When something is due next.
    next: Cell<Option<Timestamp>>,
    /// The work that was due then is done.
    seen: bool,
}

/// See the module. Boxed: there may be many, and ids come in any order.
#[derive(Debug, Default)]
pub(super) struct Accounts(Map<B256, Box<PayeeAccount>>);

impl Deref for Accounts {
    type Target = Map<B256, Box<PayeeAccount>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Accounts {
    /// An account, to be changed.
    pub(super) fn get_mut(&mut self, id: &B256) -> Option<&mut PayeeAccount> {
        let account = self.0.get_mut(id)?;
        account.watch = Watch::default();
        Some(account)
    }

    /// An account, to be changed; made if it is new.
    pub(super) fn get_or_insert_with(
        &mut self,
        id: B256,
        make: impl FnOnce() -> PayeeAccount,
    ) -> &mut PayeeAccount {
        let account = self.0.entry(id).or_insert_with(|| Box::new(make()));
        account.watch = Watch::default();
        account
    }

    /// Forgets an account.
    pub(super) fn remove(&mut self, id: &B256) -> Option<Box<PayeeAccount>> {
        self.0.remove(id)
    }

    /// When something is due next, or was due and is not done yet. `of` computes it for an account that changed.
    pub(super) fn next(&self, of: impl Fn(&PayeeAccount) -> Timestamp) -> Timestamp {
        let next = |account: &PayeeAccount| {
            let at = (account.watch.next.get()).unwrap_or_else(|| of(account));
            account.watch.next.set(Some(at));
            at
        };
        (self.0.values())
            .map(|account| next(account))
            .min()
            .unwrap_or(Timestamp::NEVER)
    }

    /// Accounts that changed since they were last given here, or whose time came.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<B256> {
        let mut due = Vec::new();
        for (id, account) in self.0.iter_mut() {
            let watch = &mut account.watch;
            if !watch.seen || watch.next.get().is_none_or(|at| at <= now) {
                watch.seen = true;
                watch.next.set(None);
                due.push(*id);
            }
        }
        due
    }
}

/// Accounts whose facts are remembered though none of their ranges is left to redeem.
pub const MAX_PAST: usize = 16_384;

/// Facts of accounts of which no range is left to redeem: at most [`MAX_PAST`], and those that left first are forgotten
/// first. Their records stay in place, and their sums stay counted.
#[derive(Debug, Default)]
pub(super) struct Past {
    facts: Map<B256, PayeeFactsRecord>,
    /// In the order in which they left.
    order: VecDeque<B256>,
    sums: PayeeFactsRecord,
}

impl Past {
    /// An account has nothing left to redeem; the answer is the one that is forgotten for it.
    pub(super) fn put(&mut self, id: B256, facts: PayeeFactsRecord) -> Option<B256> {
        self.facts.insert(id, facts);
        self.order.push_back(id);
        let sums = &mut self.sums;
        // A spoilt record may say any number.
        sums.paid_total = sums.paid_total.saturating_add(facts.paid_total);
        sums.lost = sums.lost.saturating_add(facts.lost);
        sums.redeemed.0 = sums.redeemed.0.saturating_add(facts.redeemed.0);
        if self.facts.len() <= MAX_PAST {
            return None;
        }
        let oldest = self.order.pop_front()?;
        self.facts.remove(&oldest);
        Some(oldest)
    }

    /// The account is back.
    pub(super) fn take(&mut self, id: &B256) -> PayeeFactsRecord {
        let Some(facts) = self.facts.remove(id) else {
            return PayeeFactsRecord::default();
        };
        self.order.retain(|other| other != id);
        let sums = &mut self.sums;
        sums.paid_total = sums.paid_total.saturating_sub(facts.paid_total);
        sums.lost = sums.lost.saturating_sub(facts.lost);
        sums.redeemed.0 = sums.redeemed.0.saturating_sub(facts.redeemed.0);
        facts
    }

    /// Whether it bought here before.
    pub(super) fn knows(&self, id: &B256) -> bool {
        self.facts.contains_key(id)
    }

    /// All of them together, also those that were forgotten in this run.
    pub(super) fn sums(&self) -> &PayeeFactsRecord {
        &self.sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TokenUnits;
    use alloy_primitives::Address;

    fn account() -> PayeeAccount {
        PayeeAccount::new(Address::ZERO, TokenUnits(0), PayeeFactsRecord::default())
    }

    fn id(n: u8) -> B256 {
        B256::repeat_byte(n)
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn only_accounts_that_changed_or_whose_time_came_are_looked_at() {
        let mut accounts = Accounts::default();
        for n in 0..200 {
            accounts.get_or_insert_with(id(n), account).tranche = TokenUnits(n.into());
        }
        let looked = Cell::new(0);
        // Each is due at its own time.
        let of = |account: &PayeeAccount| {
            looked.set(looked.get() + 1);
            at(1_000 + account.tranche.0 as u64)
        };
        assert_eq!(accounts.take_due(at(0)).len(), 200);
        assert_eq!(accounts.next(of), at(1_000));
        assert_eq!(looked.take(), 200);
        assert!(accounts.take_due(at(1)).is_empty());
        assert_eq!(accounts.next(of), at(1_000));
        assert_eq!(looked.take(), 0);

        accounts.get_mut(&id(7)).expect("there").tranche = TokenUnits(500);
        assert_eq!(accounts.take_due(at(2)), [id(7)]);
        assert_eq!(accounts.next(of), at(1_000));
        assert_eq!(looked.take(), 1);

        // The first three are due; the work for them is done then.
        assert_eq!(accounts.take_due(at(1_002)), [id(0), id(1), id(2)]);
        let later = |account: &PayeeAccount| {
            looked.set(looked.get() + 1);
            at(9_000 + account.tranche.0 as u64)
        };
        assert_eq!(accounts.next(later), at(1_003));
        assert_eq!(looked.take(), 3);
    }

    #[test]
    fn what_changes_between_the_question_and_the_time_is_not_missed() {
        let mut accounts = Accounts::default();
        accounts.get_or_insert_with(id(1), account);
        // Asked before anybody did the due work: it is still to be done.
        accounts.next(|_| at(1_000));
        assert_eq!(accounts.take_due(at(1)), [id(1)]);
        // Done, and not asked since: it is given again rather than forgotten.
        assert_eq!(accounts.take_due(at(2)), [id(1)]);
        accounts.next(|_| at(1_000));
        assert!(accounts.take_due(at(3)).is_empty());
        accounts.get_mut(&id(1)).expect("there").exit_at = Some(at(5));
        accounts.next(|_| Timestamp::NEVER);
        assert_eq!(accounts.take_due(at(4)), [id(1)]);
    }

    #[test]
    fn the_past_is_bounded_forgets_the_oldest_and_keeps_the_sums() {
        let facts = |paid_total| PayeeFactsRecord {
            paid_total,
            ..PayeeFactsRecord::default()
        };
        let nth = |n: usize| alloy_primitives::keccak256(n.to_be_bytes());
        let mut past = Past::default();
        for n in 0..MAX_PAST {
            assert_eq!(past.put(nth(n), facts(1)), None);
        }
        // The first one comes back and leaves again: it is not the oldest any more.
        assert_eq!(past.take(&nth(0)), facts(1));
        assert_eq!(past.sums().paid_total, MAX_PAST as u64 - 1);
        past.put(nth(0), facts(3));
        assert_eq!(past.put(nth(MAX_PAST), facts(1)), Some(nth(1)));
        assert!(past.knows(&nth(0)) && !past.knows(&nth(1)) && past.knows(&nth(2)));
        assert_eq!(past.facts.len(), MAX_PAST);
        assert_eq!(past.order.len(), MAX_PAST);
        assert_eq!(past.take(&nth(1)), PayeeFactsRecord::default());
        assert_eq!(past.sums().paid_total, MAX_PAST as u64 + 3);
    }
}
