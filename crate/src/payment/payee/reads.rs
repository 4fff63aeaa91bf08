//! The times at which the chain is read again: 30 s after a new range, every minute while an account buys, every 10
//! minutes while it is attached, and ever more seldom while it is away. At the start everything unredeemed is read. No
//! read follows a block.

use alloy_primitives::B256;

use super::redeem::{CONFIRM, redeem_before};
use super::{Life, Payee, PayeeAccount, PayeeRange, PayeeTask, RangeId};
use crate::payment::{ChainState, ChainUnreadable, PayEffect, PayEvent};
use crate::sorted::{Map, Set};
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, TokenUnits};
use crate::wire::pay::RejectCode;

/// Reads on their way at once, without those of COMMITs.
const WINDOW: usize = 8;
/// While an account's debt grows.
pub(super) const GROWING: Duration = Duration::from_secs(60);
const ATTACHED: Duration = Duration::from_secs(600);
/// Away: half of the time that it has been away, between these. Nobody can withdraw sooner than a quarter of a day
/// after the exit.
const AWAY: core::ops::RangeInclusive<Duration> =
    Duration::from_secs(1_800)..=Duration::from_secs(6 * 3_600);
const RETRY: Duration = Duration::from_secs(30);
/// A withdrawal cannot be undone. A node that is wrong for a while has this long to correct itself.
const WITHDRAWN_FOR: Duration = Duration::from_secs(3_600);

/// The word and account that are read next, and when.
#[derive(Debug, Default)]
pub(super) struct Reads {
    due: Map<(B256, u64), Timestamp>,
    reading: Set<(B256, u64)>,
    /// Of these, the words of which something was redeemed meanwhile: the answer may be older than that.
    overtaken: Set<(B256, u64)>,
}

impl Reads {
    pub(super) fn soon(&mut self, account: B256, word: u64, now: Timestamp) {
        self.due.insert((account, word), now);
    }

    /// Before all others; if it is on its way, that answer is good.
    pub(super) fn first(&mut self, account: B256, word: u64) {
        if !self.reading.contains(&(account, word)) {
            self.soon(account, word, Timestamp::ZERO);
        }
    }

    /// Not later than `at`.
    pub(super) fn at(&mut self, account: B256, word: u64, at: Timestamp) {
        let due = self.due.entry((account, word)).or_insert(at);
        *due = (*due).min(at);
    }

    /// Something of this word was redeemed.
    pub(super) fn overtake(&mut self, account: B256, word: u64) {
        if self.reading.contains(&(account, word)) {
            self.overtaken.insert((account, word));
        }
    }

    /// An answer came; whether it is newer than all known redemptions.
    fn ended(&mut self, account: B256, word: u64) -> bool {
        self.reading.remove(&(account, word));
        !self.overtaken.remove(&(account, word))
    }

    pub(super) fn next(&self) -> Timestamp {
        self.earliest().map_or(Timestamp::NEVER, |(_, at)| at)
    }

    fn earliest(&self) -> Option<((B256, u64), Timestamp)> {
        if self.reading.len() >= WINDOW {
            return None;
        }
        (self.due.iter())
            .filter(|(key, _)| !self.reading.contains(*key))
            .map(|(key, at)| (*key, *at))
            .min_by_key(|(_, at)| *at)
    }
}

impl Payee {
    pub(super) fn read_due(&mut self) {
        while let Some((key, at)) = self.reads.earliest()
            && at <= self.now
        {
            let (account, word) = key;
            self.reads.due.remove(&key);
            self.reads.reading.insert(key);
            self.out
                .read(account, word, PayeeTask::Read { account, word });
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
        match self.out.ended(effect) {
            Some(PayeeTask::CommitRead { conn, stranger }) => {
                self.looks.answered(stranger);
                self.commit_read(conn, effect, result);
            }
            Some(PayeeTask::Read { account, word }) => {
                if self.reads.ended(account, word) {
                    self.read_again(account, word, result);
                }
                self.read_due();
                self.closed_ready();
            }
            _ => {}
        }
    }

    fn read_again(
        &mut self,
        account: B256,
        word: u64,
        result: Result<ChainState, ChainUnreadable>,
    ) {
        let now = self.now;
        let ids = self.range_ids_of(account, |r| r.word() == word);
        for id in &ids {
            if let Some(range) = self.range_mut(*id) {
                range.asked = now;
            }
        }
        let state = match result {
            Ok(state) if state.chain_id == self.config.vault.chain_id => state,
            other => {
                if let Ok(state) = other {
                    let chain_id = state.chain_id;
                    self.event(PayEvent::ChainMismatch { chain_id });
                }
                self.reads.at(account, word, now + RETRY);
                return;
            }
        };
        // First the bits of this word, because some may have been redeemed before the deposit was taken back.
        if let Some(known) = self.accounts.get_mut(&account) {
            known.note_chain(&state);
        }
        for id in &ids {
            self.confront(*id, &state);
        }
        self.note_chain(account, &state);
        let grows = (self.accounts.get_mut(&account)).is_some_and(PayeeAccount::grew);
        let wait = (ids.into_iter())
            .filter_map(|id| Some(next_read(self.range(id)?, grows, now)))
            .min();
        if let Some(wait) = wait {
            self.reads.at(account, word, now + wait);
        }
    }

    /// The chain's present state of an account.
    pub(super) fn note_chain(&mut self, id: B256, state: &ChainState) {
        if !state.known {
            return;
        }
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        account.note_chain(state);
        match state.is_withdrawn() {
            true => self.note_withdrawal(id),
            false => {
                account.withdrawn_since = None;
                self.note_exit(id, state);
            }
        }
    }

    /// The payee forgets vouchers of an account that withdrew. If that was not true, they were money. So it believes a
    /// withdrawal when the chain still shows it [`WITHDRAWN_FOR`] later.
    fn note_withdrawal(&mut self, id: B256) {
        let now = self.now;
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        let since = *account.withdrawn_since.get_or_insert(now);
        if since + WITHDRAWN_FOR <= now {
            self.withdrawn(id);
        } else {
            self.read_all_of(id, since + WITHDRAWN_FOR);
        }
    }

    /// Everything that is kept of an account is held against the chain, not later than `at`.
    fn read_all_of(&mut self, id: B256, at: Timestamp) {
        let ranges = self.accounts.get(&id).map(|a| a.ranges.values());
        let words: Set<u64> = ranges.into_iter().flatten().map(PayeeRange::word).collect();
        for word in words.iter() {
            self.reads.at(id, *word, at);
        }
    }

    /// An account that is exiting: the payee accepts nothing more from it. An account that exited, and does not by the
    /// chain's present state, may buy again. An exit cannot be taken back, so the payee asks the chain once more soon.
    fn note_exit(&mut self, id: B256, state: &ChainState) {
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        if state.exit_at == 0 {
            if account.exit_at.take().is_some() {
                self.read_all_of(id, self.now + CONFIRM);
            }
            return;
        }
        let exit_at = Timestamp::from_millis(state.exit_at.saturating_mul(1_000));
        if account.exit_at.replace(exit_at).is_some() {
            return;
        }
        account.said_due = false;
        let attached: Vec<_> = account
            .ranges
            .iter()
            .filter_map(|(first, r)| Some((*first, r.conn?, r.best.voucher.tag())))
            .collect();
        self.event(PayEvent::Exiting {
            account: id,
            redeem_before: redeem_before(self.now, exit_at),
        });
        for (first, conn, tag) in attached {
            self.reject(conn, RejectCode::Exiting, first, tag, 0);
            self.detach(conn, first);
        }
        self.say_due(id);
    }

    /// Holds one range against the chain's present state.
    fn confront(&mut self, id: RangeId, state: &ChainState) {
        let Some(range) = self.range_mut(id) else {
            return;
        };
        let voucher = range.best.voucher;
        let consumed = state.known && state.any_consumed(voucher.first, voucher.count);
        range.covered = state.known && voucher.end() <= state.bound();
        match (range.life, consumed) {
            (Life::Redeemed { proven: true, .. }, true) => self.forget(id),
            (Life::Redeemed { proven: false, .. } | Life::Lost, true) => {}
            (Life::Redeemed { gross, .. }, false) => self.unredeem(id, gross),
            (Life::Lost, false) => self.unredeem(id, TokenUnits(0)),
            // A claim on its way is taken for the cause, until its outcome says something else.
            (Life::Open | Life::Closing | Life::Ready { .. } | Life::Claimed, true) => {
                self.found_consumed(id);
            }
            (Life::Open, false) => {
                let conn = range.conn.filter(|_| !range.suspended && !range.covered);
                if let Some(conn) = conn {
                    self.suspend(conn, id);
                }
            }
            (Life::Closing | Life::Ready { .. } | Life::Claimed, false) => {}
        }
    }

    /// The payee sends nothing more on a range that the chain does not cover by its answer. The node may be behind,
    /// because a covered range stays covered until the deposit is taken back. The payer asks again soon, and then the
    /// payee reads anew.
    fn suspend(&mut self, conn: ConnectionId, id: RangeId) {
        let Some(range) = self.range_mut(id) else {
            return;
        };
        range.suspended = true;
        let tag = range.best.voucher.tag();
        self.reject(conn, RejectCode::ChainPending, id.first, tag, 0);
        self.choke(conn);
    }
}

/// Time until a range is held against the chain again.
fn next_read(range: &PayeeRange, grows: bool, now: Timestamp) -> Duration {
    if range.conn.is_some() || !range.covered {
        return if grows { GROWING } else { ATTACHED };
    }
    let away = now.since(range.idle_since) / 2;
    away.clamp(*AWAY.start(), *AWAY.end())
}
