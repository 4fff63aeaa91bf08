//! The account and its serials: selecting it, and finding out whether the records know all promises.
//!
//! Records that are durable before anything is signed are never behind, but after a restored backup or beside a copy of
//! the profile they are. Then the payer does not know its other promises, and might promise a serial twice: the account
//! is held.
//!
//! Invariant: nothing is allocated before the scan of the vault's bitmap is complete, or after the account is held.

use alloy_primitives::{B256, U256};

use super::range::{PayerRange, PayerTask};
use super::{AccountInfo, Conn, Payer};
use crate::payment::record::{Key, PayerAccountRecord, PayerRangeLife};
use crate::payment::voucher;
use crate::payment::{
    ChainState, ChainUnreadable, CloseReason, EndReason, PayAction, PayEffect, PayEvent,
    PaymentNeed, Refusal,
};
use crate::sorted::{Map, Set};
use crate::time::{Duration, Timestamp};
use crate::types::FineUnits;
use crate::wire::pay::ByeReason;

/// Bitmap words read at once.
const SCAN_WINDOW: usize = 8;
const SCAN_RETRIES: [Duration; 5] = super::PENDING_RETRIES;

/// The facts of an account that is not selected: from the records, and, of one that was selected in this run, those
/// that are durable.
#[derive(Debug, Default)]
pub(super) struct StoredAccount {
    pub(super) next: u64,
    /// There are records of it that cannot be read.
    pub(super) behind: bool,
    pub(super) ranges: Map<u32, PayerRange>,
}

#[derive(Debug)]
pub(super) struct PayerAccount {
    pub(super) id: B256,
    pub(super) info: AccountInfo,
    /// Next free serial.
    pub(super) next: u64,
    pub(super) ranges: Map<u32, PayerRange>,
    /// Ranges whose sum could not be stored, by first serial, until it is: perhaps no connection has them.
    pub(super) unstored: Set<u32>,
    /// Sum of `paid` over all ranges.
    pub(super) spent: FineUnits,
    /// Highest bound seen: it never falls while the account lives.
    bound: u64,
    scan: Scan,
}

#[derive(Debug)]
enum Scan {
    Running {
        todo: Set<u64>,
        reading: Set<u64>,
        found: Map<u64, U256>,
        /// The least count of all answers. Every word was read at that state or a later one, so all words together show
        /// at least that many bits.
        consumed: Option<u64>,
        attempt: usize,
        retry_at: Option<Timestamp>,
    },
    Done,
    Held,
}

impl PayerAccount {
    pub(super) fn ready(&self) -> bool {
        matches!(self.scan, Scan::Done)
    }

    pub(super) fn held(&self) -> bool {
        matches!(self.scan, Scan::Held)
    }

    /// The value that is stored for `next`.
    fn stored_next(&self) -> u64 {
        match self.scan {
            Scan::Held => PayerAccountRecord::HELD,
            Scan::Running { .. } | Scan::Done => self.next,
        }
    }

    /// Whether a serial is consumed that was never promised here. Serial 0 is consumed when the account is opened.
    fn is_behind(&self, found: &Map<u64, U256>) -> bool {
        let mut found = found.clone();
        let own = self.ranges.values().map(|r| (r.first, u32::from(r.count)));
        for (first, count) in own.chain([(0, 1)]) {
            if let Some(bits) = found.get_mut(&(u64::from(first) >> 8)) {
                let start = first & 255;
                (start..(start + count).min(256)).for_each(|bit| bits.set_bit(bit as usize, false));
            }
        }
        found.values().any(|bits| !bits.is_zero())
    }

    pub(super) fn bound(&self) -> u64 {
        self.bound
    }

    pub(super) fn unassigned(&self) -> u64 {
        self.bound.saturating_sub(self.next)
    }

    /// Less than half of the range was used.
    pub(super) fn is_early(&self, first: u32) -> bool {
        self.ranges.get(&first).is_some_and(|r| {
            let cap = voucher::range_cap(r.count, self.info.tranche);
            r.paid.0.saturating_mul(2) < cap.0
        })
    }

    /// Ranges signed or about to be that are of little use: nothing was revealed on them, or their payee closed or
    /// refused them before half of them was used. A range that the chain shows as consumed is none of them.
    pub(super) fn idle_ranges(&self) -> u64 {
        self.ranges.values().filter(|r| self.is_idle(r)).count() as u64
    }

    /// See [`PayerAccount::idle_ranges`].
    pub(super) fn is_idle(&self, r: &PayerRange) -> bool {
        let ended = r.life == PayerRangeLife::Closed || r.refused;
        r.life != PayerRangeLife::Consumed && (r.paid.0 == 0 || ended && self.is_early(r.first))
    }

    /// Addresses at which a stranger got a range in this run on which nothing was revealed. The next range of a seller
    /// that delivers is not on trial: there is nearly always one with nothing revealed, and it would keep every other
    /// seller of its address out.
    pub(super) fn tried_addresses(&self) -> impl Iterator<Item = &str> {
        let unpaid = (self.ranges.values()).filter(|r| r.on_trial && r.paid.0 == 0);
        unpaid.filter_map(|r| r.address.as_deref())
    }

    /// The sum that an open range could still reveal.
    pub(super) fn unrevealed(&self, range: &PayerRange) -> FineUnits {
        if range.life != PayerRangeLife::Usable {
            return FineUnits(0);
        }
        let cap = voucher::range_cap(range.count, self.info.tranche);
        FineUnits(cap.0.saturating_sub(range.paid.0))
    }

    /// The chain's present state of it.
    fn learn(&mut self, state: &ChainState) {
        self.update(AccountInfo {
            tranche: state.tranche,
            balance: state.balance,
            bond: state.bond,
            consumed: state.consumed,
            exit_at: state.exit_at,
            ..self.info
        });
    }

    fn update(&mut self, info: AccountInfo) {
        self.info = info;
        let tranches = info.balance.0.checked_div(info.tranche.0).unwrap_or(0);
        let bound = info
            .consumed
            .saturating_add(u64::try_from(tranches).unwrap_or(u64::MAX));
        self.bound = self.bound.max(bound).min(1 << 32);
    }
}

impl Payer {
    /// Selects the account that pays, or takes a change of it (a top-up, an exit). The first time, the vault's bitmap
    /// is read before anything is signed.
    pub fn set_account(&mut self, now: Timestamp, info: AccountInfo) {
        self.turn(now);
        let id = voucher::account_id(info.owner, info.session_key);
        self.said_deposit = false;
        if let Some(account) = self.account.as_mut().filter(|a| a.id == id) {
            account.update(info);
            self.pump_all();
            return;
        }
        self.archive_account();
        let stored = self.archive.remove(&id).unwrap_or_default();
        let ranges = stored.ranges;
        // A range record without its account record still names serials that were reserved.
        let past = ranges.values().map(PayerRange::end).max().unwrap_or(1);
        let held = stored.next == PayerAccountRecord::HELD
            || stored.behind
            || self.behind.contains(&info.session_key);
        let next = if held { past } else { stored.next.max(past) }.max(1);
        let mut account = PayerAccount {
            id,
            info,
            next,
            spent: FineUnits(
                ranges
                    .values()
                    .fold(0, |sum, r| r.paid.0.saturating_add(sum)),
            ),
            ranges,
            unstored: Set::new(),
            bound: 0,
            scan: Scan::Running {
                todo: (0..=next >> 8).collect(),
                reading: Set::new(),
                found: Map::new(),
                consumed: None,
                attempt: 0,
                retry_at: None,
            },
        };
        account.update(info);
        if held {
            account.scan = Scan::Held;
            self.event(PayEvent::AccountUnusable { account: id });
        }
        self.account = Some(account);
        self.read_words();
    }

    fn archive_account(&mut self) {
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            if self.conns.get(&conn).is_none_or(|c| c.payee().is_none()) {
                continue;
            }
            // A payee knows one account of a connection: the next one begins on another.
            self.settle(conn);
            self.bye(conn, ByeReason::Done);
            self.end(conn, EndReason::Closed);
            for first in self.ranges_of(conn) {
                self.detach_range(first);
            }
            let reason = CloseReason::AccountChanged;
            let close = PayAction::CloseConnection { conn, reason };
            self.out.push(close);
        }
        if let Some(old) = self.account.take() {
            self.archive.insert(
                old.id,
                StoredAccount {
                    next: old.stored_next(),
                    behind: false,
                    ranges: old.ranges,
                },
            );
        }
    }

    fn read_words(&mut self) {
        let mut reads = Vec::new();
        let Some(account) = self.account.as_mut() else {
            return;
        };
        let id = account.id;
        if let Scan::Running { todo, reading, .. } = &mut account.scan {
            while reading.len() < SCAN_WINDOW {
                let Some(word) = todo.pop_first() else {
                    break;
                };
                reading.insert(word);
                reads.push(word);
            }
        }
        for word in reads {
            self.out
                .read(id, word, PayerTask::Scan { account: id, word });
        }
    }

    /// The answer to a `ReadState`.
    pub fn chain_state(
        &mut self,
        now: Timestamp,
        effect: PayEffect,
        result: Result<ChainState, ChainUnreadable>,
    ) {
        self.turn(now);
        let (id, word) = match self.out.ended(effect) {
            Some(PayerTask::Scan { account, word }) => (account, word),
            Some(PayerTask::Look { account, word }) => {
                if let Ok(state) = result {
                    self.looked(account, word, &state);
                }
                return;
            }
            _ => return,
        };
        let chain_id = self.config.vault.chain_id;
        let Some(account) = self.account.as_mut().filter(|a| a.id == id) else {
            return;
        };
        let now = self.now;
        let mut wrong_chain = None;
        if let Scan::Running {
            todo,
            reading,
            found,
            consumed,
            attempt,
            retry_at,
            ..
        } = &mut account.scan
        {
            reading.remove(&word);
            match result {
                Ok(state) if state.chain_id == chain_id && state.known => {
                    *consumed = Some(consumed.map_or(state.consumed, |c| c.min(state.consumed)));
                    found.insert(word, state.spent_word);
                    *attempt = 0;
                    account.learn(&state);
                }
                other => {
                    wrong_chain = other.ok().map(|s| s.chain_id).filter(|c| *c != chain_id);
                    todo.insert(word);
                    let wait = SCAN_RETRIES
                        .get(*attempt)
                        .or(SCAN_RETRIES.last())
                        .copied()
                        .unwrap_or_default();
                    *attempt += 1;
                    *retry_at = Some(now + wait);
                }
            }
        }
        if let Some(chain_id) = wrong_chain {
            self.event(PayEvent::ChainMismatch { chain_id });
        }
        self.scan_on();
    }

    pub(super) fn scan_retry_at(&self) -> Timestamp {
        match self.account.as_ref().map(|a| &a.scan) {
            Some(Scan::Running {
                retry_at: Some(at), ..
            }) => *at,
            _ => Timestamp::NEVER,
        }
    }

    pub(super) fn retry_scan(&mut self) {
        if self.scan_retry_at() > self.now {
            return;
        }
        if let Some(PayerAccount {
            scan: Scan::Running { retry_at, .. },
            ..
        }) = self.account.as_mut()
        {
            *retry_at = None;
        }
        self.scan_on();
    }

    /// Reads on, or concludes.
    fn scan_on(&mut self) {
        let Some(account) = self.account.as_mut() else {
            return;
        };
        let Scan::Running {
            todo,
            reading,
            found,
            consumed,
            retry_at,
            ..
        } = &mut account.scan
        else {
            return;
        };
        if retry_at.is_some() {
            return;
        }
        if !todo.is_empty() || !reading.is_empty() {
            self.read_words();
            return;
        }
        let seen: usize = found.values().map(|w| w.count_ones()).sum();
        if (seen as u64) < consumed.unwrap_or(0) {
            // The vault consumed serials that lie beyond everything known here.
            return self.hold();
        }
        let found = core::mem::take(found);
        account.scan = Scan::Done;
        self.conclude_scan(&found);
    }

    fn conclude_scan(&mut self, found: &Map<u64, U256>) {
        if self.account.as_ref().is_some_and(|a| a.is_behind(found)) {
            return self.hold();
        }
        for (word, bits) in found.iter() {
            self.note_consumed(*word, bits);
        }
        if let Some(account) = &self.account {
            let (account, next) = (account.id, account.next);
            self.event(PayEvent::AccountReady {
                account,
                next: u32::try_from(next).unwrap_or(u32::MAX),
            });
        }
        self.pump_all();
    }

    /// Ranges of one word with a serial that the chain shows consumed are over. Answers whether there are any.
    fn note_consumed(&mut self, word: u64, bits: &U256) -> bool {
        let consumed: Vec<u32> = self
            .account
            .iter()
            .flat_map(|a| a.ranges.values())
            .filter(|r| r.life != PayerRangeLife::Consumed && u64::from(r.first) >> 8 == word)
            .filter(|r| {
                (r.first & 255..(r.first & 255) + u32::from(r.count))
                    .any(|bit| bits.bit(bit as usize))
            })
            .map(|r| r.first)
            .collect();
        for first in &consumed {
            self.set_life(*first, PayerRangeLife::Consumed);
        }
        !consumed.is_empty()
    }

    /// The chain was asked whether ranges that were closed early are consumed.
    fn looked(&mut self, id: B256, word: u64, state: &ChainState) {
        let chain_id = self.config.vault.chain_id;
        let Some(account) = self.account.as_mut().filter(|a| a.id == id) else {
            return;
        };
        if state.chain_id != chain_id || !state.known {
            return;
        }
        account.learn(state);
        // A seller that this relieves need not wait for the next look.
        if self.note_consumed(word, &state.spent_word) {
            for c in self.conns.values_mut() {
                c.next_commit = c.next_commit.min(self.now);
            }
            self.pump_all();
        }
    }

    /// An own signature at `serial` is proven. A serial that was never promised here means that the records are behind.
    pub(super) fn skip_past(&mut self, serial: u64) {
        if self.account.as_ref().is_some_and(|a| serial >= a.next) {
            self.hold_for_good();
        }
    }

    /// A payee showed that the records are behind. The chain would show it again, but the payer may not meet that payee
    /// again.
    pub(super) fn hold_for_good(&mut self) {
        if self.account.as_ref().is_some_and(|a| !a.held()) {
            self.hold();
            self.store_account(PayerTask::Background);
        }
    }

    /// Promises nothing more on this account. Ranges that were promised are paid on.
    fn hold(&mut self) {
        let Some(account) = self.account.as_mut().filter(|a| !a.held()) else {
            return;
        };
        account.scan = Scan::Held;
        let id = account.id;
        let drafted: Vec<u32> = (account.ranges.values())
            .filter(|r| r.is_drafted() && r.paid.0 == 0)
            .map(|r| r.first)
            .collect();
        for first in drafted {
            self.detach_range(first);
        }
        self.event(PayEvent::AccountUnusable { account: id });
    }

    /// The account on which nothing more is promised.
    pub fn held_account(&self) -> Option<B256> {
        self.account.as_ref().filter(|a| a.held()).map(|a| a.id)
    }

    /// The reason why nothing new can be bought, if the user can do something about it.
    pub fn payment_need(&self) -> Option<PaymentNeed> {
        let Some(account) = &self.account else {
            return Some(PaymentNeed::NoAccount);
        };
        if account.info.tranche.0 == 0 {
            return Some(PaymentNeed::Withdrawn);
        }
        if account.info.exit_at != 0 {
            return Some(PaymentNeed::Exiting);
        }
        if account.held() {
            return Some(PaymentNeed::Held);
        }
        // A seller counts only if its ranges have no usable steps beyond the blocks under way.
        let taken = |c: &Conn| u64::from(c.ledger.outstanding());
        let mut refusals = (self.conns.iter())
            .filter(|(conn, c)| c.wanted && self.usable_on(**conn, true) <= taken(c))
            .filter_map(|(_, c)| c.quote.as_ref()?.refused);
        refusals.find_map(|why| match why {
            Refusal::DepositExhausted => Some(PaymentNeed::DepositUsedUp),
            Refusal::BudgetExhausted if account.unassigned() == 0 => {
                Some(PaymentNeed::DepositUsedUp)
            }
            Refusal::BudgetExhausted => Some(PaymentNeed::BudgetUsedUp),
            _ => None,
        })
    }

    /// Stores the allocator.
    pub(super) fn store_account(&mut self, work: PayerTask) -> Option<PayEffect> {
        let account = self.account.as_ref()?;
        let record = PayerAccountRecord {
            owner: account.info.owner,
            session_key: account.info.session_key,
            next: account.stored_next(),
        };
        let key = Key::PayerAccount(account.id);
        Some(self.put(key, record.encode(), work))
    }
}
