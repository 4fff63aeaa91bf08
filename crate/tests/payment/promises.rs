//! A promised range from its first voucher to its last step, as the payer keeps it: what is on record before anything
//! is signed, what is paid while a fold is made, and when the next fold is due.

use alloy_primitives::{Address, U256};
use piecework::payment::payer::{AccountInfo, PayerConnState};
use piecework::payment::record::{Key, PayerRangeRecord};
use piecework::payment::voucher::account_id;
use piecework::payment::{EndReason, PayAction, PayEvent};
use piecework::time::Timestamp;
use piecework::types::{ConnectionId, FineUnits, TokenUnits};
use piecework::wire::pay::{NeedReason, PayMessage, RejectCode, Terms, VoucherBody};

use crate::hand::*;

fn range_key(first: u32) -> String {
    let account = account_id(OWNER, session_address());
    Key::PayerRange(account, first).text(&vault())
}

/// Blocks that are paid for by what is on record of the first range.
fn blocks_on_record(b: &Buying) -> u128 {
    let record = PayerRangeRecord::decode(&b.store[&range_key(1)]).unwrap();
    record.paid.0 / UNIT.0
}

/// Blocks come in and may be paid; nothing that follows is done yet.
fn receive(b: &mut Buying, now: Timestamp, blocks: std::ops::Range<u32>) {
    for n in blocks {
        b.payer.request_sent(A);
        b.payer.block_received(A, block(n));
        assert!(b.payer.payable(now, A, verified(block(n))));
    }
}

/// All that the payer asks for, none of it done.
fn wishes(b: &mut Buying, now: Timestamp) -> Done {
    b.run_to(now, |_| true)
}

fn is_commit((_, message): &(ConnectionId, PayMessage)) -> bool {
    matches!(message, PayMessage::Commit { .. })
}

/// A range with 192 of the 256 steps of its first chain due: with the next batch a fold follows.
fn at_three_quarters() -> (Buying, VoucherBody) {
    let mut b = Buying::new();
    let v = b.open();
    b.buy(ms(1_000), 0..64);
    b.buy(ms(2_000), 64..128);
    receive(&mut b, ms(3_000), 128..192);
    (b, v)
}

/// A range whose payee takes chains of at most so many steps.
fn open_with_chains_of(max_steps: u16) -> (Buying, VoucherBody) {
    let mut b = Buying::new();
    b.payer.connected(ms(0), A, info(1));
    b.payer.want(ms(0), A, V1, true, MAX_UNIT);
    let quote = Terms {
        max_steps,
        ..terms(UNIT)
    };
    let v = b.say(ms(0), A, PayMessage::Terms(quote)).commit();
    b.ack(ms(10), A, &v, 0);
    (b, v)
}

// ---- before a signature

#[test]
fn nothing_is_revealed_on_a_range_while_its_fold_is_stored_and_signed() {
    let (mut b, v) = at_three_quarters();
    let stored = wishes(&mut b, ms(3_000));
    assert_eq!(stored.paid_to(), Some((v.first, v.tag(), 192)));
    receive(&mut b, ms(3_100), 192..200);
    assert_eq!(wishes(&mut b, ms(3_100)).paid_to(), None, "being stored");
    for effect in stored.puts {
        b.payer.stored(ms(3_200), effect, true);
    }
    let signed = wishes(&mut b, ms(3_200));
    assert_eq!(signed.paid_to(), None, "being signed");
    let [(effect, digest)] = signed.signs[..] else {
        panic!("{:?}", signed.signs);
    };
    b.payer.signed(ms(3_300), effect, Ok(sign(&key(), digest)));
    let done = b.run(ms(3_300));
    let fold = done.commit();
    assert_eq!(fold.base.0, 192 * UNIT.0);
    assert_eq!(done.paid_to(), Some((v.first, fold.tag(), 8)));
}

#[test]
fn a_fold_that_the_budget_pays_no_step_of_is_not_signed() {
    for (beyond, signed) in [(9, false), (10, true)] {
        let mut b = Buying::new();
        b.payer.set_budget(ms(0), TokenUnits(192 * 10 + beyond));
        b.open();
        b.buy(ms(1_000), 0..64);
        b.buy(ms(2_000), 64..128);
        let mut sent = b.buy(ms(3_000), 128..192).sent;
        b.payer.tick(ms(20_000));
        sent.extend(b.run(ms(20_000)).sent);
        assert_eq!(sent.iter().any(is_commit), signed, "{beyond}");
        let vouchers = if signed { 2 } else { 1 };
        assert_eq!(b.payer.totals().vouchers_signed, vouchers);
    }
}

#[test]
fn blocks_under_way_are_paid_though_the_wish_or_the_ceiling_falls() {
    let ends: [fn(&mut Buying); 2] = [
        |b| b.payer.want(ms(100), A, V1, false, MAX_UNIT),
        |b| b.payer.set_ceiling(ms(100), FineUnits(UNIT.0 - 1)),
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let mut b = Buying::new();
        let v = b.open();
        (0..4).for_each(|_| b.payer.request_sent(A));
        end(&mut b);
        b.run(ms(100));
        for n in 0..4 {
            b.payer.block_received(A, block(n));
            assert!(b.payer.payable(ms(200), A, verified(block(n))));
        }
        let paid = b.run(ms(200)).paid_to();
        assert_eq!(paid, Some((v.first, v.tag(), 4)), "{n}");
    }
}

#[test]
fn a_fold_and_a_payment_that_were_stored_of_one_account_count_for_no_other() {
    for late in [0, 1] {
        let (mut b, _) = at_three_quarters();
        // What was revealed, and the base of the fold: both 192 blocks.
        let before = wishes(&mut b, ms(3_000)).puts;
        assert_eq!(before.len(), 2);
        let other = AccountInfo {
            owner: Address::repeat_byte(0x23),
            ..account_of(&b.state)
        };
        b.payer.set_account(ms(4_000), other);
        b.run(ms(4_000));
        b.payer.disconnected(ms(4_000), A);
        let v = b.connect(ms(20_000), A, V1).commit();
        assert_eq!(v.first, 1, "the same serial of another account");
        b.ack(ms(20_010), A, &v, 0);
        b.payer.stored(ms(20_020), before[late], true);
        for n in 0..3 {
            let now = ms(21_000 + u64::from(n) * 100);
            receive(&mut b, now, n * 64..(n + 1) * 64);
            let asked = wishes(&mut b, now);
            let base = u128::from((n + 1) * 64) * UNIT.0;
            assert_eq!(b.payer.totals().spent.0, base);
            assert_eq!(asked.signs, [], "no base is on record yet");
        }
    }
}

#[test]
fn what_is_on_record_is_promised_again_without_another_write() {
    let mut b = Buying::new();
    let v = b.open();
    b.buy(ms(1_000), 0..4);
    b.payer.tick(ms(1_500));
    b.run(ms(1_500));
    b.restart(ms(2_000));
    b.payer.connected(ms(20_000), A, info(1));
    b.payer.want(ms(20_000), A, V1, true, MAX_UNIT);
    b.payer
        .message(ms(20_000), A, PayMessage::Terms(terms(UNIT)));
    let asked = wishes(&mut b, ms(20_000));
    assert_eq!((asked.puts.len(), asked.signs.len()), (0, 1));
    let (effect, digest) = asked.signs[0];
    b.payer.signed(ms(20_000), effect, Ok(sign(&key(), digest)));
    let again = b.run(ms(20_000)).commit();
    assert_eq!((again.first, again.base.0), (v.first, 4 * UNIT.0));
}

#[test]
fn a_signature_that_comes_after_its_connection_is_gone_disturbs_no_later_promise() {
    let mut b = Buying::new();
    let quoted = |b: &mut Buying, now| {
        b.payer.connected(now, A, info(1));
        b.payer.want(now, A, V1, true, MAX_UNIT);
        b.payer.message(now, A, PayMessage::Terms(terms(UNIT)));
        let is_sign = |action: &PayAction| matches!(action, PayAction::Sign { .. });
        b.run_to(now, is_sign).signs[0]
    };
    let (late, of_first) = quoted(&mut b, ms(0));
    b.payer.disconnected(ms(100), A);
    let (effect, of_second) = quoted(&mut b, ms(20_000));
    b.payer.signed(ms(20_100), late, Ok(sign(&key(), of_first)));
    assert!(b.run(ms(20_100)).sent.is_empty());
    b.payer
        .signed(ms(20_200), effect, Ok(sign(&key(), of_second)));
    assert_eq!(b.run(ms(20_200)).commit().first, 1);
}

// ---- on record

#[test]
fn sixty_four_blocks_are_put_on_record_at_once_and_fewer_after_half_a_second() {
    let mut b = Buying::new();
    b.open();
    b.buy(ms(1_000), 0..64);
    assert_eq!(blocks_on_record(&b), 64);
    b.buy(ms(2_000), 64..68);
    b.payer.tick(ms(2_499));
    b.run(ms(2_499));
    assert_eq!(blocks_on_record(&b), 64);
    assert_eq!(b.payer.next_timeout(), ms(2_500));
    b.payer.tick(ms(2_500));
    b.run(ms(2_500));
    assert_eq!(blocks_on_record(&b), 68);
}

#[test]
fn what_was_revealed_and_could_not_be_stored_is_stored_half_a_second_later() {
    let mut b = Buying::new();
    b.open();
    receive(&mut b, ms(1_000), 0..64);
    let [effect] = wishes(&mut b, ms(1_000)).puts[..] else {
        panic!("one record");
    };
    b.store.remove(&range_key(1));
    b.payer.stored(ms(2_000), effect, false);
    assert_eq!(b.payer.next_timeout(), ms(2_500));
    b.payer.tick(ms(2_500));
    b.run(ms(2_500));
    assert_eq!(blocks_on_record(&b), 64);
}

#[test]
fn a_store_that_fails_is_told_once_until_it_stores_again() {
    let told = |done: &Done| done.events.contains(&PayEvent::StoreFailed);
    let mut b = Buying::new();
    b.payer.connected(ms(0), A, info(1));
    b.payer.want(ms(0), A, V1, true, MAX_UNIT);
    b.payer.message(ms(0), A, PayMessage::Terms(terms(UNIT)));
    // In the order of the account's and the range's record, tried twice.
    for (seconds, outcomes) in [
        (0, [(false, true), (false, false)]),
        (10, [(true, false), (false, true)]),
    ] {
        b.payer.tick(ms(seconds * 1_000));
        let puts = wishes(&mut b, ms(seconds * 1_000)).puts;
        assert_eq!(puts.len(), 2);
        for (effect, (ok, says)) in puts.into_iter().zip(outcomes) {
            b.payer.stored(ms(seconds * 1_000), effect, ok);
            let done = wishes(&mut b, ms(seconds * 1_000));
            assert_eq!(told(&done), says, "after {seconds} s: {ok}");
        }
    }
}

#[test]
fn a_range_that_the_chain_shows_consumed_is_recorded_so_once() {
    let mut b = Buying::new();
    b.open();
    b.buy(ms(1_000), 0..64);
    b.state.spent_word = U256::from(0b11u8);
    b.state.consumed = 2;
    let done = b.restart(ms(2_000));
    let written = done.order.iter().filter(|what| **what == "put");
    assert_eq!(written.count(), 1);
    assert_eq!(blocks_on_record(&b), 64);
}

#[test]
fn a_range_whose_record_was_lost_is_taken_up_as_far_as_its_payee_can_prove() {
    let mut b = Buying::new();
    b.open();
    b.payer.disconnected(ms(100), A);
    b.run(ms(100));
    b.store.remove(&range_key(1)).unwrap();
    b.restart(ms(1_000));
    assert_eq!(
        b.connect(ms(20_000), A, V1).commit().first,
        2,
        "the account's record still says that the first is taken"
    );
    let (held, chain) = voucher(1, FineUnits(0), 5);
    let again = b.say(ms(20_100), A, state(&held, &chain, 30)).commit();
    assert_eq!((again.first, again.base.0), (1, 30 * UNIT.0));
    assert_eq!(b.payer.held_account(), None, "no serial is promised twice");
    let opened = |e: &PayEvent| matches!(e, PayEvent::RangeOpened { .. });
    let done = b.ack(ms(20_200), A, &again, 0);
    assert!(!done.events.iter().any(opened), "it is not a new one");
}

// ---- the next fold

#[test]
fn a_short_chain_is_folded_as_soon_as_the_last_promise_is_old_enough() {
    let (mut b, v) = open_with_chains_of(8);
    assert_eq!(v.steps, 8);
    let fold = b.buy(ms(2_000), 0..6).commit();
    assert_eq!(fold.base.0, 6 * UNIT.0);
    b.ack(ms(2_010), A, &fold, 0);
    b.buy(ms(2_020), 6..11);
    b.payer.tick(ms(2_520));
    b.run(ms(2_520));
    let idle = b.payer.next_timeout();
    assert_eq!(idle, Timestamp::NEVER, "five of eight are used");
    let done = b.buy(ms(2_700), 11..12);
    assert!(!done.sent.iter().any(is_commit), "{:?}", done.sent);
    assert_eq!(b.payer.next_timeout(), ms(3_100));
    b.payer.tick(ms(3_099));
    assert!(!b.run(ms(3_099)).sent.iter().any(is_commit));
    b.payer.tick(ms(3_100));
    assert_eq!(b.run(ms(3_100)).commit().base.0, 12 * UNIT.0);
}

#[test]
fn a_fold_that_was_refused_is_tried_again_after_its_wait_and_not_before() {
    let (mut b, v) = at_three_quarters();
    let fold = b.run(ms(3_000)).commit();
    b.reject(ms(3_010), &fold, RejectCode::ChainPending, 0);
    let done = b.buy(ms(4_500), 192..200);
    assert_eq!(done.paid_to(), Some((v.first, v.tag(), 200)));
    assert!(!done.sent.iter().any(is_commit), "{:?}", done.sent);
    b.payer.tick(ms(5_009));
    assert!(!b.run(ms(5_009)).sent.iter().any(is_commit));
    b.payer.tick(ms(5_010));
    assert_eq!(b.run(ms(5_010)).commit().base.0, 200 * UNIT.0);
}

#[test]
fn while_a_fold_is_made_or_waits_for_its_ack_no_other_is_begun_though_one_is_asked_for() {
    let (mut b, v) = at_three_quarters();
    let (reason, first) = (NeedReason::Fold, v.first);
    let asks = PayMessage::Need { reason, first };
    let stored = wishes(&mut b, ms(3_000));
    b.payer.message(ms(3_100), A, asks);
    let again = wishes(&mut b, ms(3_100));
    assert_eq!((again.puts, again.signs), (vec![], vec![]));
    for effect in stored.puts {
        b.payer.stored(ms(3_200), effect, true);
    }
    let fold = b.run(ms(3_200)).commit();
    // Old enough for another, and something is paid on it.
    let done = b.buy(ms(5_000), 192..196);
    assert_eq!(done.paid_to(), Some((v.first, fold.tag(), 4)));
    let done = b.say(ms(5_100), A, asks);
    assert!(!done.sent.iter().any(is_commit), "{:?}", done.sent);
    b.ack(ms(5_200), A, &fold, 4);
    b.payer.tick(ms(5_300));
    assert_eq!(b.run(ms(5_300)).commit().base.0, 196 * UNIT.0);
}

#[test]
fn a_fold_is_as_long_as_the_newest_quote_says_or_as_the_last_if_that_names_none() {
    for (max_steps, steps) in [(8, 8), (1, 1), (0, 256)] {
        let (mut b, _) = at_three_quarters();
        let quote = Terms {
            max_steps,
            ..terms(UNIT)
        };
        b.payer.message(ms(3_000), A, PayMessage::Terms(quote));
        assert_eq!(b.run(ms(3_000)).commit().steps, steps);
    }
}

#[test]
fn a_promise_that_is_not_answered_for_a_minute_ends_the_purchase() {
    let mut b = Buying::new();
    b.connect(ms(0), A, V1).commit();
    b.payer.tick(ms(1_100));
    b.run(ms(1_100));
    assert_eq!(b.payer.next_timeout(), ms(60_000));
    b.payer.tick(ms(59_999));
    b.run(ms(59_999));
    assert_eq!(b.payer.status(A), PayerConnState::Opening);
    b.payer.tick(ms(60_000));
    b.run(ms(60_000));
    let ended = PayerConnState::Ended(EndReason::NoAnswer);
    assert_eq!(b.payer.status(A), ended);
}

#[test]
fn a_fold_that_is_not_answered_for_a_minute_ends_the_purchase() {
    for answered in [false, true] {
        let (mut b, v) = at_three_quarters();
        let fold = b.run(ms(3_000)).commit();
        assert_eq!((fold.first, fold.base.0), (v.first, 192 * UNIT.0));
        b.payer.tick(ms(4_000));
        b.run(ms(4_000));
        assert_eq!(b.payer.next_timeout(), ms(63_000));
        b.payer.tick(ms(62_999));
        b.run(ms(62_999));
        assert_eq!(b.payer.status(A), PayerConnState::Attached);
        if answered {
            b.ack(ms(62_999), A, &fold, 0);
        }
        b.payer.tick(ms(63_000));
        b.run(ms(63_000));
        if answered {
            assert_eq!(b.payer.status(A), PayerConnState::Attached);
            continue;
        }
        let ended = PayerConnState::Ended(EndReason::NoAnswer);
        assert_eq!(b.payer.status(A), ended);
        // What is left of the range is bought from its payee elsewhere.
        let again = b.connect(ms(64_000), B, V1).commit();
        assert_eq!((again.first, again.base.0), (v.first, 192 * UNIT.0));
    }
}
