//! What stands between a mistake elsewhere and the payer's money: each guard alone, with what came before it made wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod payment_hand;

use alloy_primitives::Address;
use bytes::Bytes;
use k256::ecdsa::SigningKey;
use payment_hand::*;
use piecework::payment::record::{Key, PayerRangeRecord};
use piecework::payment::voucher::account_id;
use piecework::payment::{PayAction, PayEvent, TitleKind};
use piecework::time::Timestamp;
use piecework::types::TokenUnits;
use piecework::wire::pay::{PayMessage, RejectCode, VoucherBody};

/// Lets the payer's effects happen, with signatures of `key`: the vouchers that leave.
fn run_signed_by(b: &mut Buying, now: Timestamp, key: &SigningKey) -> Vec<VoucherBody> {
    let mut commits = Vec::new();
    while let Some(action) = b.payer.poll() {
        match action {
            PayAction::PutRecord {
                effect, key, value, ..
            } => {
                b.store.insert(key, value.unwrap());
                b.payer.stored(now, effect, true);
            }
            PayAction::Sign { effect, digest } => {
                b.payer.signed(now, effect, Ok(sign(key, digest)));
            }
            PayAction::Send {
                message: PayMessage::Commit { voucher, .. },
                ..
            } => commits.push(voucher),
            _ => {}
        }
    }
    commits
}

/// Receives blocks beyond what the payer would ask for, and lets them verify.
fn deliver(b: &mut Buying, now: Timestamp, blocks: std::ops::Range<u32>) -> Done {
    for n in blocks {
        b.payer.request_sent(A);
        b.payer.block_received(A, block(n));
        b.payer.payable(now, A, verified(block(n)));
    }
    b.run(now)
}

fn account() -> alloy_primitives::B256 {
    account_id(OWNER, session_address())
}

fn range_key(first: u32) -> String {
    Key::PayerRange(account(), first).text(&vault())
}

#[test]
fn a_signature_of_another_key_never_leaves_and_the_right_one_later_does() {
    let other = SigningKey::from_slice(&[0x12; 32]).unwrap();
    let mut b = Buying::new();
    b.payer.connected(ms(0), A, info(1));
    b.payer.want(ms(0), A, TitleKind::V2, true, MAX_UNIT);
    b.payer.message(ms(0), A, PayMessage::Terms(terms(UNIT)));
    assert_eq!(run_signed_by(&mut b, ms(0), &other), []);
    assert_eq!(b.payer.totals().vouchers_signed, 0);
    for at in [9_000, 11_000] {
        b.payer.tick(ms(at));
        let sent = run_signed_by(&mut b, ms(at), &key());
        assert_eq!(sent.len(), usize::from(at > 10_000), "after {at} ms");
    }
}

#[test]
fn a_fold_signed_by_another_key_leaves_the_old_chain_in_place() {
    let other = SigningKey::from_slice(&[0x12; 32]).unwrap();
    let mut b = Buying::new();
    let v = b.open();
    b.buy(ms(100), 0..60);
    b.buy(ms(200), 60..120);
    for n in 120..192 {
        b.payer.request_sent(A);
        b.payer.block_received(A, block(n));
        b.payer.payable(ms(2_000), A, verified(block(n)));
    }
    b.payer.end_of_batch(ms(2_000));
    assert_eq!(run_signed_by(&mut b, ms(2_000), &other), []);
    let done = deliver(&mut b, ms(2_100), 192..196);
    assert_eq!(done.paid_to(), Some((v.first, v.tag(), 196)));
}

#[test]
fn what_is_due_is_not_paid_beyond_a_budget_that_was_lowered() {
    for (blocks, paid) in [(30, 30), (32, 32), (35, 35), (39, 39)] {
        let mut b = Buying::new();
        let v = b.open();
        b.buy(ms(100), 0..30);
        // Ten are on their way; money for so many is left.
        (30..40).for_each(|_| b.payer.request_sent(A));
        b.payer.set_budget(ms(150), TokenUnits(blocks * 10));
        for n in 30..40 {
            b.payer.block_received(A, block(n));
            b.payer.payable(ms(200), A, verified(block(n)));
        }
        let done = b.run(ms(200));
        let last = done.sent.iter().find_map(|(_, m)| match m {
            PayMessage::Pay { tag, k, .. } => Some((*tag, *k)),
            _ => None,
        });
        assert_eq!(last, (paid > 30).then_some((v.tag(), paid)));
        assert_eq!(b.payer.totals().spent.0, u128::from(paid) * UNIT.0);
        assert_eq!(b.payer.may_request(A), 0);
    }
}

#[test]
fn before_its_ack_a_fold_goes_no_further_than_the_old_chain_can() {
    for refused in [false, true] {
        let mut b = Buying::new();
        let v = b.open();
        for start in (0..144).step_by(48) {
            b.buy(ms(100 + u64::from(start)), start..start + 48);
        }
        let fold = b.buy(ms(2_000), 144..192).commit();
        // The chain of 256 steps has 64 left.
        let done = deliver(&mut b, ms(2_100), 192..292);
        assert_eq!(done.paid_to(), Some((1, fold.tag(), 64)));
        if refused {
            let done = b.reject(ms(2_200), &fold, RejectCode::ChainPending, 0);
            let paid = done.sent.iter().find_map(|(_, m)| match m {
                PayMessage::Pay { tag, k, .. } => Some((*tag, *k)),
                _ => None,
            });
            assert_eq!(paid, Some((v.tag(), 256)));
            assert_eq!(b.payer.totals().spent.0, 256 * UNIT.0);
        } else {
            let done = b.ack(ms(2_200), A, &fold, 64);
            assert_eq!(done.paid_to(), Some((1, fold.tag(), 100)));
            assert_eq!(b.payer.totals().spent.0, 292 * UNIT.0);
        }
    }
}

#[test]
fn without_its_account_record_no_serial_of_a_known_range_is_promised_again() {
    let mut b = Buying::new();
    b.open();
    b.buy(ms(100), 0..40);
    b.run(ms(700));
    b.store.remove(&Key::PayerAccount(account()).text(&vault()));
    b.restart(ms(20_000));
    // Another payee: it may not have what the first one was promised.
    b.payer.connected(ms(20_000), B, info_at("192.0.2.9"));
    b.payer.want(ms(20_000), B, TitleKind::V2, true, MAX_UNIT);
    let mut other = terms(UNIT);
    other.payee = Address::repeat_byte(9);
    let v = b.say(ms(20_000), B, PayMessage::Terms(other)).commit();
    assert_eq!((v.first, v.base.0), (2, 0));
}

#[test]
fn a_range_whose_seller_was_refused_is_not_used_at_another_address_of_that_payee() {
    let mut b = Buying::new();
    b.open();
    b.buy(ms(100), 0..4);
    b.payer.block_invalid(ms(200), A, &[block(4)]);
    b.run(ms(200));
    b.payer.connected(ms(20_000), B, info_at("192.0.2.9"));
    b.payer.want(ms(20_000), B, TitleKind::V2, true, MAX_UNIT);
    let v = b
        .say(ms(20_000), B, PayMessage::Terms(terms(UNIT)))
        .commit();
    assert_eq!((v.first, v.base.0), (2, 0), "range 1 is at the liar's");
}

#[test]
fn a_record_that_is_no_range_or_another_one_is_named_and_left_alone() {
    let good = {
        let mut b = Buying::new();
        b.open();
        b.buy(ms(100), 0..40);
        b.payer.tick(ms(1_000));
        b.run(ms(1_000));
        b.store
    };
    let whole = good[&range_key(1)].clone();
    let moved = PayerRangeRecord {
        first: 9,
        ..PayerRangeRecord::decode(&whole).unwrap()
    };
    for (key, value) in [
        (range_key(1), whole.slice(..whole.len() - 1)),
        (range_key(1), moved.encode()),
        (range_key(9), whole.clone()),
        (range_key(9), Bytes::new()),
    ] {
        let mut b = Buying::new();
        b.store = good.clone();
        b.store.insert(key.clone(), value.clone());
        let done = b.restart(ms(20_000));
        let unreadable = PayEvent::RecordUnreadable { key: key.clone() };
        assert!(done.events.contains(&unreadable), "{key}");
        assert_eq!(b.store[&key], value, "it may be of use to somebody");
        let whole_is_known = key != range_key(1);
        let spent = if whole_is_known { 40 * UNIT.0 } else { 0 };
        assert_eq!(b.payer.totals().spent.0, spent);
        // The allocator's own record still holds.
        let v = b.connect(ms(20_000), B, TitleKind::V2).commit();
        assert_eq!(v.first, if whole_is_known { 1 } else { 2 });
    }
}
