//! All accounts of a payee, and which of them need a look.
//!
//! Whoever changes an account goes through [`Accounts::get_mut`], which forgets when something of it is due. So only
//! accounts that changed, or whose time came, are walked through again, however many others there are with however many
//! ranges: this is asked after every input.

use core::cell::Cell;
use core::ops::Deref;

use alloy_primitives::B256;

use super::state::Account;
use crate::sorted::Map;
use crate::time::Timestamp;

/// What is known of an account's times since it last changed.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// When something is due next.
    next: Cell<Option<Timestamp>>,
    /// What was due then was done.
    seen: bool,
}

/// See the module. Boxed: there may be many, and ids come in any order.
#[derive(Debug, Default)]
pub(super) struct Accounts(Map<B256, Box<Account>>);

impl Deref for Accounts {
    type Target = Map<B256, Box<Account>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Accounts {
    /// An account, to be changed.
    pub(super) fn get_mut(&mut self, id: &B256) -> Option<&mut Account> {
        let account = self.0.get_mut(id)?;
        account.watch = Watch::default();
        Some(account)
    }

    /// An account, to be changed; made if it is new.
    pub(super) fn get_or_insert_with(
        &mut self,
        id: B256,
        make: impl FnOnce() -> Account,
    ) -> &mut Account {
        let account = self.0.entry(id).or_insert_with(|| Box::new(make()));
        account.watch = Watch::default();
        account
    }

    /// When something is due next; `of` tells it for one account, later than now or to be done now.
    pub(super) fn next(&self, now: Timestamp, of: impl Fn(&Account) -> Timestamp) -> Timestamp {
        let next = |account: &Account| match account.watch.next.get() {
            Some(at) if at > now => at,
            _ => {
                let at = of(account);
                account.watch.next.set(Some(at));
                at
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::ledger::SellerLedger;
    use crate::payment::record::PayeeFactsRecord;
    use crate::types::TokenUnits;
    use alloy_primitives::Address;

    fn account() -> Account {
        Account {
            session_key: Address::ZERO,
            tranche: TokenUnits(0),
            ledger: SellerLedger::default(),
            ranges: Map::new(),
            exit_at: None,
            stored_facts: PayeeFactsRecord::default(),
            said_due: false,
            watch: Watch::default(),
        }
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
        let of = |account: &Account| {
            looked.set(looked.get() + 1);
            at(1_000 + account.tranche.0 as u64)
        };
        assert_eq!(accounts.take_due(at(0)).len(), 200);
        assert_eq!(accounts.next(at(0), of), at(1_000));
        assert_eq!(looked.take(), 200);
        assert!(accounts.take_due(at(1)).is_empty());
        assert_eq!(accounts.next(at(1), of), at(1_000));
        assert_eq!(looked.take(), 0);

        accounts.get_mut(&id(7)).expect("there").tranche = TokenUnits(500);
        assert_eq!(accounts.take_due(at(2)), [id(7)]);
        assert_eq!(accounts.next(at(2), of), at(1_000));
        assert_eq!(looked.take(), 1);

        // The first three are due; what is done about them is over then.
        assert_eq!(accounts.take_due(at(1_002)), [id(0), id(1), id(2)]);
        let later = |account: &Account| {
            looked.set(looked.get() + 1);
            at(9_000 + account.tranche.0 as u64)
        };
        assert_eq!(accounts.next(at(1_002), later), at(1_003));
        assert_eq!(looked.take(), 3);
    }

    #[test]
    fn what_changes_between_the_question_and_the_time_is_not_missed() {
        let mut accounts = Accounts::default();
        accounts.get_or_insert_with(id(1), account);
        // Asked before anybody did what was due: that is still to be done.
        accounts.next(at(0), |_| at(1_000));
        assert_eq!(accounts.take_due(at(1)), [id(1)]);
        // Done, and not asked since: it is given again rather than forgotten.
        assert_eq!(accounts.take_due(at(2)), [id(1)]);
        accounts.next(at(2), |_| at(1_000));
        assert!(accounts.take_due(at(3)).is_empty());
        accounts.get_mut(&id(1)).expect("there").exit_at = Some(at(5));
        accounts.next(at(3), |_| Timestamp::NEVER);
        assert_eq!(accounts.take_due(at(4)), [id(1)]);
    }
}
