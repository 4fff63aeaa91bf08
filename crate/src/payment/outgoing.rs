//! What a payment machine asks of its caller, and what it waits for. The buying and the selling machine have one each.
//!
//! Invariant: each effect has a number of its own in a run, and is answered once.

use std::collections::VecDeque;

use alloy_primitives::{B256, U256};
use bytes::Bytes;

use super::{PayAction, PayEffect, PayEvent};
use crate::sorted::Map;
use crate::types::{ConnectionId, Durability, InfoHash};
use crate::wire::pay::PayMessage;

/// The actions of one machine in their order, and the tasks of the effects that are under way.
#[derive(Debug)]
pub(super) struct Outgoing<T> {
    actions: VecDeque<PayAction>,
    last_effect: u64,
    tasks: Map<PayEffect, T>,
    /// The last record could not be stored; reported once.
    store_fails: bool,
}

impl<T> Default for Outgoing<T> {
    fn default() -> Self {
        Outgoing {
            actions: VecDeque::new(),
            last_effect: 0,
            tasks: Map::new(),
            store_fails: false,
        }
    }
}

impl<T> Outgoing<T> {
    /// The next action.
    pub(super) fn poll(&mut self) -> Option<PayAction> {
        self.actions.pop_front()
    }

    pub(super) fn push(&mut self, action: PayAction) {
        self.actions.push_back(action);
    }

    pub(super) fn event(&mut self, event: PayEvent) {
        self.push(PayAction::Event(event));
    }

    pub(super) fn send(&mut self, conn: ConnectionId, message: PayMessage) {
        self.push(PayAction::Send { conn, message });
    }

    /// Numbers an effect whose action the machine pushes later.
    pub(super) fn begin(&mut self, task: T) -> PayEffect {
        self.last_effect += 1;
        let effect = PayEffect(self.last_effect);
        self.tasks.insert(effect, task);
        effect
    }

    /// Asks for a record to be stored, or removed.
    pub(super) fn put(
        &mut self,
        key: String,
        value: Option<Bytes>,
        durability: Durability,
        title: Option<InfoHash>,
        task: T,
    ) -> PayEffect {
        let effect = self.begin(task);
        self.push(PayAction::PutRecord {
            effect,
            key,
            value,
            durability,
            title,
        });
        effect
    }

    /// Asks for the chain's state of an account and one word of its serials.
    pub(super) fn read(&mut self, account: B256, word: u64, task: T) -> PayEffect {
        let effect = self.begin(task);
        self.push(PayAction::ReadState {
            effect,
            account,
            word: U256::from(word),
        });
        effect
    }

    /// The task of an effect that is under way.
    pub(super) fn task(&self, effect: PayEffect) -> Option<&T> {
        self.tasks.get(&effect)
    }

    /// An effect has ended.
    pub(super) fn ended(&mut self, effect: PayEffect) -> Option<T> {
        self.tasks.remove(&effect)
    }

    /// A record is stored, or is not: the first failure after a success is told.
    pub(super) fn stored(&mut self, effect: PayEffect, ok: bool) -> Option<T> {
        let task = self.ended(effect)?;
        if !ok && !self.store_fails {
            self.event(PayEvent::StoreFailed);
        }
        self.store_fails = !ok;
        Some(task)
    }
}
