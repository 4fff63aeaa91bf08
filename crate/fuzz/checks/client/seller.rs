//! What the client signed and revealed, over all connections; and a seller that uses it against the client.
//!
//! It holds for every voucher that it was asked for, and that a unit lies within what the title may cost; that no
//! serial is promised twice; that a chain is revealed forwards and one voucher builds on what was revealed before.

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::{Address, B256};
use piecework::payment::chain::walk;
use piecework::payment::voucher::Voucher;
use piecework::types::{FineUnits, TokenUnits};
use piecework::wire::pay::{NeedReason, PayMessage, RejectCode, Terms, VoucherBody};

use super::super::choices::Choices;
use super::edge::{CLIENT_KEY, TRANCHE, sign};
use super::{CEILING, VAULT};

/// Vouchers that sellers remember; older ones are forgotten.
const MAX_HELD: usize = 64;

/// A voucher of the client, and its best link.
struct Held {
    payee: Address,
    body: VoucherBody,
    k: u16,
    w: B256,
}

/// The client's vouchers and the links that it revealed for them.
#[derive(Default)]
pub struct Promises {
    /// Serials and who they were promised to.
    serials: BTreeMap<u64, Address>,
    held: VecDeque<Held>,
    /// By a range's first serial: the most that was ever revealed on it,
    ever: BTreeMap<u32, FineUnits>,
    /// and since the client started last.
    in_this_life: BTreeMap<u32, FineUnits>,
}

impl Promises {
    /// The client starts again: of what it revealed it may have forgotten the last steps.
    pub fn restart(&mut self) {
        self.in_this_life.clear();
    }

    /// What was revealed since the client started last, on the ranges that it used.
    pub fn revealed(&self) -> FineUnits {
        FineUnits(self.in_this_life.values().map(|range| range.0).sum())
    }

    /// The client sent COMMIT. `quotes` are those of its number; `ceiling` is what its title may cost.
    pub fn commit(
        &mut self,
        body: VoucherBody,
        quotes: &[(Address, FineUnits)],
        ceiling: FineUnits,
    ) {
        let mut payees = quotes.iter().filter(|(_, unit)| *unit == body.unit);
        assert!(payees.clone().count() > 0, "another price");
        let signed_for = |payee: Address| {
            let (voucher, signature) = Voucher::from_body(&body, payee);
            signature == sign(CLIENT_KEY, voucher.digest(&VAULT))
        };
        let Some((payee, _)) = payees.find(|(payee, _)| signed_for(*payee)) else {
            panic!("signed for another payee than any of the quote's");
        };
        assert!(body.unit <= ceiling, "above the ceiling");
        assert!(body.steps > 0, "a voucher of no steps");
        let first = u64::from(body.first);
        assert!(first > 0, "serial 0 is never assigned");
        for serial in first..first + u64::from(body.count) {
            let before = self.serials.insert(serial, *payee);
            assert!(before.is_none_or(|b| b == *payee), "serial {serial} twice");
        }
        let ever = self.ever.entry(body.first).or_default();
        assert!(body.base <= *ever, "{:?} above {ever:?}", body.base);
        self.held.push_back(Held {
            payee: *payee,
            body,
            k: 0,
            w: body.root,
        });
        let surplus = self.held.len().saturating_sub(MAX_HELD);
        self.held.drain(..surplus);
        self.reveal(body.first, body.base);
    }

    /// The client named a sum to one of these: no more than it revealed, and to nobody but the range's payee.
    pub fn reconcile(&mut self, body: VoucherBody, mut payees: impl Iterator<Item = Address>) {
        let signed_for = |payee: &Address| {
            let (voucher, signature) = Voucher::from_body(&body, *payee);
            signature == sign(CLIENT_KEY, voucher.digest(&VAULT))
        };
        let Some(payee) = payees.find(signed_for) else {
            panic!("signed for somebody that did not quote");
        };
        let first = u64::from(body.first);
        for serial in first..first + u64::from(body.count) {
            let before = self.serials.insert(serial, payee);
            assert!(before.is_none_or(|b| b == payee), "serial {serial} twice");
        }
        let ever = self.ever.entry(body.first).or_default();
        assert!(body.base <= *ever, "{:?} above {ever:?}", body.base);
        assert_eq!(body.steps, 0, "a sum has no steps");
    }

    /// The client sent PAY.
    pub fn pay(&mut self, first: u32, tag: [u8; 4], k: u16, w: B256) {
        let mut newest_first = self.held.iter_mut().rev();
        let Some(held) = newest_first.find(|h| (h.body.first, h.body.tag()) == (first, tag)) else {
            return;
        };
        let (best, steps) = (held.k, held.body.steps);
        assert!(k >= best && k <= steps, "step {k} after {best} of {steps}");
        assert_eq!(walk(w, k), held.body.root);
        (held.k, held.w) = (k, w);
        let owed = held.body.base.0 + held.body.unit.0 * u128::from(k);
        self.reveal(first, FineUnits(owed));
    }

    fn reveal(&mut self, first: u32, owed: FineUnits) {
        for ranges in [&mut self.ever, &mut self.in_this_life] {
            let best = ranges.entry(first).or_default();
            *best = owed.max(*best);
        }
    }

    /// A quote that is sound but for its price, and perhaps for what it gives.
    pub fn terms(&self, choices: &mut Choices<'_>) -> Terms {
        let serial = TRANCHE.fine();
        let unit = match choices.below(8) {
            0 => CEILING,
            1 => FineUnits(CEILING.0 + 1),
            2 => serial,
            // All of the last range for one block.
            3 => FineUnits(serial.0 * self.held.back().map_or(1, |h| u128::from(h.body.count))),
            4 => FineUnits(serial.0 * 256),
            _ => FineUnits(u128::from(choices.u16()) << 16),
        };
        let how = choices.byte();
        Terms {
            version: 1,
            flags: 0,
            quote_id: u32::from(choices.byte()),
            ttl_secs: if how & 1 == 0 { 600 } else { 0 },
            payee: Address::repeat_byte(0x70 + (how >> 1) % 2),
            content: B256::ZERO,
            unit,
            min_range: FineUnits(0),
            max_steps: if how & 4 == 0 { 256 } else { 0 },
            credit0: if how & 8 == 0 { 16 } else { 0 },
            credit_max: if how & 16 == 0 { 128 } else { 0 },
            ramp: 32,
            min_bond_percent: 125,
            luck: B256::ZERO,
        }
    }

    /// Says something about a voucher that the client signed, whoever has it and whatever became of it.
    pub fn accuse(&self, choices: &mut Choices<'_>) -> PayMessage {
        let held: Vec<&Held> = self.held.iter().rev().collect();
        let Some(held) = choices.one(&held) else {
            return PayMessage::Need {
                reason: NeedReason::NextRange,
                first: 0,
            };
        };
        let (first, tag) = (held.body.first, held.body.tag());
        match choices.below(8) {
            0..=2 => {
                // A step that was revealed: the first, the last, or one between.
                let back = u16::from(choices.byte()).min(held.k);
                let (payee, voucher) = (held.payee, held.body);
                let (k, w) = (held.k - back, walk(held.w, back));
                match choices.flag() {
                    true => PayMessage::Held {
                        payee,
                        voucher,
                        k,
                        w,
                    },
                    false => PayMessage::State {
                        payee,
                        voucher,
                        k,
                        w,
                    },
                }
            }
            3 => PayMessage::Seen {
                payee: held.payee,
                voucher: held.body,
            },
            4 => PayMessage::Reject {
                code: RejectCode::from_code(choices.byte()),
                first,
                tag,
                aux: choices.u32(),
            },
            5 | 6 => PayMessage::Need {
                reason: NeedReason::from_code(choices.byte() % 8),
                first,
            },
            _ => PayMessage::Ack {
                first,
                tag,
                k: held.k.saturating_sub(u16::from(choices.byte())),
                owed_blocks: u32::from(choices.u16()),
                credit_blocks: choices.u16(),
            },
        }
    }
}

/// The budget and what was spent, as the client tells them, beside what was revealed.
pub fn check_spent(spent: FineUnits, before: FineUnits, promises: &Promises, budget: TokenUnits) {
    let revealed = promises.revealed();
    assert!(spent >= before, "{spent:?} spent after {before:?}");
    assert!(spent >= revealed, "{spent:?} spent of {revealed:?}");
    assert!(spent.floor() <= budget, "{spent:?} of {budget:?}");
}
