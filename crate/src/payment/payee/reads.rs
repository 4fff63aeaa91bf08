//! When the chain is read again: 30 s after a new range, every 10 minutes while attached, at start
//! for everything unredeemed; never per block.

use alloy_primitives::{B256, U256};

use super::{Life, Payee, RangeId, Work};
use crate::payment::{ChainState, ChainUnreadable, PayAction, PayEffect, PayEvent};
use crate::sorted::Map;
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, TokenUnits};
use crate::wire::pay::RejectCode;

/// Reads on their way at once, those of COMMITs apart.
const WINDOW: usize = 8;
const ATTACHED: Duration = Duration::from_secs(600);
const WAITING: Duration = Duration::from_secs(1_800);
const RETRY: Duration = Duration::from_secs(30);

/// Which word of which account is read next, and when.
#[derive(Debug, Default)]
pub(super) struct Reads {
    due: Map<(B256, u64), Timestamp>,
    reading: usize,
}

impl Reads {
    pub(super) fn soon(&mut self, account: B256, word: u64, now: Timestamp) {
        self.due.insert((account, word), now);
    }

    /// Not later than `at`.
    pub(super) fn at(&mut self, account: B256, word: u64, at: Timestamp) {
        let due = self.due.entry((account, word)).or_insert(at);
        *due = (*due).min(at);
    }

    pub(super) fn next(&self) -> Timestamp {
        if self.reading >= WINDOW {
            return Timestamp::NEVER;
        }
        self.due.values().copied().min().unwrap_or(Timestamp::NEVER)
    }
}

impl Payee {
    pub(super) fn read_due(&mut self) {
        while self.reads.reading < WINDOW {
            let now = self.now;
            let found = self.reads.due.iter().find(|(_, at)| **at <= now);
            let Some((&(account, word), _)) = found else {
                return;
            };
            self.reads.due.remove(&(account, word));
            self.reads.reading += 1;
            let effect = self.effect(Work::Read { account, word });
            self.actions.push_back(PayAction::ReadState {
                effect,
                account,
                word: U256::from(word),
            });
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
        match self.effects.remove(&effect) {
            Some(Work::CommitRead { conn }) => self.commit_read(conn, effect, result),
            Some(Work::Read { account, word }) => {
                self.reads.reading = self.reads.reading.saturating_sub(1);
                self.read_again(account, word, result);
                self.read_due();
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
        if state.known {
            self.note_exit(account, &state);
        }
        let ids: Vec<RangeId> = self
            .range_ids(|r| u64::from(r.best.voucher.first) >> 8 == word)
            .filter(|id| id.account == account)
            .collect();
        let mut wait = None;
        for id in ids {
            self.confront(id, &state);
            if let Some(range) = self.range(id) {
                let next = if range.conn.is_some() {
                    ATTACHED
                } else {
                    WAITING
                };
                wait = Some(wait.map_or(next, |w: Duration| w.min(next)));
            }
        }
        if let Some(wait) = wait {
            self.reads.at(account, word, now + wait);
        }
    }

    /// Holds one range against what the chain says now.
    fn confront(&mut self, id: RangeId, state: &ChainState) {
        let Some(range) = self.range(id) else {
            return;
        };
        let voucher = range.best.voucher;
        let consumed = state.known && state.any_consumed(voucher.first, voucher.count);
        match (range.life, consumed) {
            (Life::Redeemed(_), true) => self.forget(id),
            (Life::Redeemed(gross), false) => self.unredeem(id, gross),
            (Life::Lost, true) => {}
            (Life::Lost, false) => self.unredeem(id, TokenUnits(0)),
            // A claim on its way is taken for what consumed it, until its outcome says something else.
            (Life::Open | Life::Closing | Life::Ready { .. } | Life::Claimed, true) => {
                self.found_consumed(id);
            }
            (Life::Open, false) => {
                if let Some(conn) = range.conn.filter(|_| !range.suspended) {
                    self.suspend_unless_covered(conn, id, state);
                }
            }
            (Life::Closing | Life::Ready { .. } | Life::Claimed, false) => {}
        }
    }

    fn suspend_unless_covered(&mut self, conn: ConnectionId, id: RangeId, state: &ChainState) {
        let Some(range) = self.range_mut(id) else {
            return;
        };
        let voucher = range.best.voucher;
        let code = if !state.known {
            RejectCode::ChainPending
        } else if voucher.end() > state.bound() {
            RejectCode::NotCovered
        } else {
            return;
        };
        range.suspended = true;
        let bound = u32::try_from(state.bound()).unwrap_or(u32::MAX);
        self.reject(conn, code, id.first, voucher.tag(), bound);
        if code == RejectCode::NotCovered {
            self.detach(conn, id.first);
        } else {
            self.choke(conn);
        }
    }
}
