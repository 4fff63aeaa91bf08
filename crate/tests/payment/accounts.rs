//! The account that pays, and its serials: what the chain and the records say of them, who may have one more, and what
//! the user is asked for when there are none.

use alloy_primitives::{Address, B256, U256};
use piecework::payment::payer::{AccountInfo, Payer, PayerConnState};
use piecework::payment::record::{Key, PayerAccountRecord, PayerRangeLife, PayerRangeRecord};
use piecework::payment::voucher::{account_id, range_cap};
use piecework::payment::{EndReason, PayAction, PayEvent, PaymentNeed, Refusal};
use piecework::time::Timestamp;
use piecework::types::{ConnectionId, FineUnits, TokenUnits};
use piecework::wire::pay::{ByeReason, NeedReason, PayMessage, RejectCode, Terms};

use crate::hand::*;

fn id() -> B256 {
    account_id(OWNER, session_address())
}

/// The payee with that number, for records and quotes.
fn payee(number: u8) -> Address {
    Address::repeat_byte(number)
}

/// An account on record whose next free serial is `next`.
fn put_account(b: &mut Buying, next: u64) {
    let record = PayerAccountRecord {
        owner: OWNER,
        session_key: session_address(),
        next,
    };
    let key = Key::PayerAccount(id()).text(&vault());
    b.store.insert(key, record.encode());
}

/// A range of one serial on record, promised to a payee of its own: `first` names both.
fn put_range(b: &mut Buying, first: u32, to: u8, life: PayerRangeLife, paid: FineUnits) {
    let record = PayerRangeRecord {
        first,
        count: 1,
        payee: payee(to),
        content: B256::ZERO,
        unit: UNIT,
        paid,
        life,
    };
    let key = Key::PayerRange(id(), first).text(&vault());
    b.store.insert(key, record.encode());
}

/// A seller of its own address quotes.
fn quotes(b: &mut Buying, now: Timestamp, conn: ConnectionId, number: u8) -> Done {
    let address = format!("192.0.2.{number}");
    b.payer.connected(now, conn, info_at(&address));
    b.payer.want(now, conn, V1, true, MAX_UNIT);
    let quote = Terms {
        payee: payee(number),
        ..terms(UNIT)
    };
    b.say(now, conn, PayMessage::Terms(quote))
}

/// A deposit of so many serials, none promised on record.
fn deposit_of(serials: u128) -> Buying {
    let mut b = Buying::new();
    b.state.balance = TokenUnits(serials * Q.0);
    b.state.bond = TokenUnits(serials * Q.0 * 125 / 100);
    b.restart(ms(0));
    b
}

fn is_put(action: &PayAction) -> bool {
    matches!(action, PayAction::PutRecord { .. })
}

// ---- turning to another account

#[test]
fn who_turns_to_another_account_and_back_promises_no_serial_twice() {
    let mut b = Buying::new();
    let v = b.open();
    b.buy(ms(1_000), 0..4);
    let other = AccountInfo {
        owner: Address::repeat_byte(0x23),
        ..account_of(&b.state)
    };
    b.payer.set_account(ms(2_000), other);
    let asked = b.run_to(ms(2_000), |_| true);
    // Its seller knows one account of the connection.
    let bye = PayMessage::Bye {
        selling: false,
        reason: ByeReason::Done,
    };
    assert_eq!(asked.sent, [(A, bye)]);
    assert_eq!(asked.closed, [A]);
    let closed = PayerConnState::Ended(EndReason::Closed);
    assert_eq!(b.payer.status(A), closed);
    assert_eq!(b.payer.totals().spent, FineUnits(0));
    b.payer.disconnected(ms(2_100), A);
    b.account(ms(3_000));
    assert_eq!(b.payer.totals().spent.0, 4 * UNIT.0);
    let done = quotes(&mut b, ms(20_000), B, 0x99);
    assert_eq!(done.commit().first, v.first + 1);
}

// ---- reading the chain

#[test]
fn eight_words_of_the_bitmap_are_asked_for_at_once() {
    let mut b = Buying::new();
    put_account(&mut b, 256 * 20);
    b.payer = Payer::new(b.config, [5; 32], b.store.clone().into_iter());
    b.payer.set_account(ms(0), account_of(&b.state));
    let mut reads = b.run_to(ms(0), |_| true).reads;
    assert_eq!(reads.len(), 8);
    let mut words = 0u64;
    while let Some((effect, word)) = reads.pop() {
        words += 1;
        let mut state = b.state;
        if word != U256::ZERO {
            state.spent_word = U256::ZERO;
        }
        b.payer.chain_state(ms(0), effect, Ok(state));
        reads.extend(b.run_to(ms(0), |_| true).reads);
        assert!(reads.len() <= 8);
    }
    assert_eq!(words, 21, "the one with the next serial, too");
}

#[test]
fn a_range_is_over_when_one_of_its_own_serials_is_consumed_and_no_other() {
    let mut b = deposit_of(2_000);
    put_account(&mut b, 512);
    // The last has the same place in the next word as the second.
    for (first, to) in [(7, 1), (9, 2), (256 + 9, 3)] {
        put_range(&mut b, first, to, PayerRangeLife::Usable, UNIT);
    }
    b.state.spent_word = U256::from(1u8) | U256::from(1u8) << 9;
    b.state.consumed = 2;
    b.restart(ms(0));
    for (n, (number, first)) in [(1, 7), (2, 512), (3, 256 + 9)].into_iter().enumerate() {
        let conn = ConnectionId(n as u64 + 10);
        let now = ms(20_000 * (n as u64 + 1));
        let v = quotes(&mut b, now, conn, number).commit();
        assert_eq!(v.first, first, "the range of payee {number}");
    }
}

#[test]
fn a_look_that_another_chain_or_no_account_answers_relieves_nobody() {
    let mut b = Buying::new();
    let mut v = b.open();
    for n in 0..2u32 {
        let now = 100 + u64::from(n) * 2_000;
        b.buy(ms(now), n..n + 1);
        b.reject(ms(now), &v, RejectCode::ConsumedOrClosed, v.first);
        b.payer.tick(ms(now + 1_400));
        let done = b.run(ms(now + 1_400));
        if n == 0 {
            v = done.commit();
            b.ack(ms(now + 1_400), A, &v, 0);
        }
    }
    // Both were redeemed; but who says so?
    b.state.spent_word = U256::from(0b111u8);
    b.state.consumed = 3;
    let right = b.state;
    let mut other_chain = right;
    other_chain.chain_id = 1;
    let mut unknown = right;
    unknown.known = false;
    for (n, (answer, relieved)) in [(other_chain, false), (unknown, false), (right, true)]
        .into_iter()
        .enumerate()
    {
        b.state = answer;
        let now = ms(60_000 * (n as u64 + 1));
        b.payer.tick(now);
        let done = b.run(now);
        let commits = done.order.contains(&"commit");
        assert_eq!(commits, relieved, "answer {n}");
    }
}

#[test]
fn serials_that_were_consumed_count_as_the_chain_says_whatever_was_told_of_them() {
    for told in [0, 1] {
        let mut b = Buying::new();
        b.payer = Payer::new(b.config, [5; 32], std::iter::empty());
        let info = AccountInfo {
            consumed: told,
            ..account_of(&b.state)
        };
        b.payer.set_account(ms(0), info);
        b.run(ms(0));
        // Serials 1 to 200.
        assert_eq!(b.payer.totals().free.0, 200 * Q.0);
    }
}

#[test]
fn more_serials_consumed_than_those_on_record_hold_the_account_without_a_search() {
    for (consumed, held) in [(1, false), (2, true)] {
        let mut b = Buying::new();
        b.payer = Payer::new(b.config, [5; 32], std::iter::empty());
        b.payer.set_account(ms(0), account_of(&b.state));
        let asked = b.run_to(ms(0), |_| true).reads;
        let [(effect, word)] = asked[..] else {
            panic!("one word: {asked:?}");
        };
        assert_eq!(word, U256::ZERO);
        // It shows serial 0.
        b.state.consumed = consumed;
        b.payer.chain_state(ms(0), effect, Ok(b.state));
        let done = b.run_to(ms(0), |_| true);
        assert_eq!(done.reads, [], "wherever they are");
        let unusable = PayEvent::AccountUnusable { account: id() };
        assert_eq!(done.events.contains(&unusable), held, "{consumed}");
        assert_eq!(b.payer.held_account().is_some(), held, "{consumed}");
    }
}

// ---- an account that is held

/// The payee on this connection shows a promise that was never made here.
fn proof_of_more(b: &mut Buying, now: Timestamp, conn: ConnectionId) {
    let (mut never, _) = voucher(70, FineUnits(0), 9);
    never.payee = payee(0x98);
    let evidence = PayMessage::Seen {
        payee: never.payee,
        voucher: body(&never),
    };
    b.payer.message(now, conn, evidence);
}

#[test]
fn a_first_promise_that_has_not_left_does_not_leave_once_the_account_is_held() {
    let mut b = Buying::new();
    let v = quotes(&mut b, ms(0), B, 0x99).commit();
    b.ack(ms(10), B, &v, 0);
    b.payer.connected(ms(20_000), A, info(1));
    b.payer.want(ms(20_000), A, V1, true, MAX_UNIT);
    b.payer
        .message(ms(20_000), A, PayMessage::Terms(terms(UNIT)));
    let waiting = b.run_to(ms(20_000), is_put);
    assert_eq!(waiting.puts.len(), 2);
    proof_of_more(&mut b, ms(20_100), B);
    assert_eq!(b.payer.held_account(), Some(id()));
    for effect in waiting.puts {
        b.payer.stored(ms(20_200), effect, true);
    }
    let done = b.run_to(ms(20_200), |_| true);
    assert_eq!(done.signs, []);
    assert_eq!(b.payer.status(A), PayerConnState::Quoted(None));
}

#[test]
fn a_range_that_something_was_paid_on_goes_on_though_the_account_is_held() {
    let mut b = Buying::new();
    let v = quotes(&mut b, ms(0), B, 0x99).commit();
    b.ack(ms(10), B, &v, 0);
    let v = b.connect(ms(20_000), A, V1).commit();
    b.ack(ms(20_010), A, &v, 0);
    b.buy(ms(20_100), 0..4);
    b.payer.disconnected(ms(20_200), A);
    b.run(ms(20_200));
    b.payer.connected(ms(40_000), A, info(1));
    b.payer.want(ms(40_000), A, V1, true, MAX_UNIT);
    b.payer
        .message(ms(40_000), A, PayMessage::Terms(terms(UNIT)));
    let signs = b.run_to(ms(40_000), |_| true).signs;
    assert_eq!(signs.len(), 1);
    proof_of_more(&mut b, ms(40_100), B);
    let (effect, digest) = signs[0];
    b.payer.signed(ms(40_200), effect, Ok(sign(&key(), digest)));
    let again = b.run(ms(40_200)).commit();
    assert_eq!((again.first, again.base.0), (v.first, 4 * UNIT.0));
}

// ---- who gets serials while they are few

#[test]
fn ranges_of_no_use_are_those_nothing_was_paid_on_and_those_closed_before_half_of_them_was() {
    use PayerRangeLife::{Closed, Consumed, Usable};
    let half = FineUnits(Q.fine().0 / 2);
    let none = FineUnits(0);
    for (life, paid, idle) in [
        (Usable, none, true),
        (Usable, UNIT, false),
        (Closed, none, true),
        (Closed, UNIT, true),
        (Closed, FineUnits(half.0 - 1), true),
        (Closed, half, false),
        (Consumed, none, false),
        (Consumed, UNIT, false),
    ] {
        // Of so few serials, two may be idle.
        let mut b = deposit_of(20);
        put_account(&mut b, 3);
        for first in [1, 2] {
            put_range(&mut b, first, first as u8, life, paid);
        }
        b.restart(ms(0));
        let v = b.connect(ms(0), A, V1).commit();
        b.ack(ms(10), A, &v, 0);
        b.buy(ms(100), 0..1);
        let done = quotes(&mut b, ms(20_000), B, 0x99);
        let gets = done.order.contains(&"commit");
        assert_eq!(gets, !idle, "{life:?}, {paid:?}");
        let why = Refusal::FakePayeeLimit;
        let refused = PayEvent::Refused { conn: B, why };
        assert_eq!(done.events.contains(&refused), idle);
    }
}

#[test]
fn while_serials_are_few_who_sold_half_of_a_range_gets_the_next_and_who_sold_less_does_not() {
    let dear = FineUnits(Q.fine().0 / 4);
    for (sold, gets) in [(1, false), (2, true)] {
        let mut b = deposit_of(20);
        put_account(&mut b, 3);
        for first in [1, 2] {
            let life = PayerRangeLife::Usable;
            put_range(&mut b, first, first as u8, life, FineUnits(0));
        }
        b.restart(ms(0));
        b.payer.set_ceiling(ms(0), dear);
        b.payer.connected(ms(0), A, info(1));
        b.payer.want(ms(0), A, V1, true, dear);
        let v = b.say(ms(0), A, PayMessage::Terms(terms(dear))).commit();
        b.ack(ms(10), A, &v, 0);
        let mut done = b.buy(ms(5_000), 0..sold);
        let (reason, first) = (NeedReason::NextRange, v.first);
        let asked = b.say(ms(5_010), A, PayMessage::Need { reason, first });
        done.order.extend(asked.order);
        assert_eq!(done.order.contains(&"commit"), gets, "{sold} of 4");
    }
}

#[test]
fn after_a_restart_only_a_range_that_was_used_up_earns_its_payee_a_longer_one() {
    let whole = range_cap(1, Q);
    for (paid, count) in [(UNIT, 1), (whole, 4)] {
        let mut b = Buying::new();
        put_account(&mut b, 2);
        put_range(&mut b, 1, 0x33, PayerRangeLife::Closed, paid);
        b.restart(ms(0));
        assert_eq!(payee(0x33), PAYEE);
        let v = b.connect(ms(0), A, V1).commit();
        assert_eq!((v.first, v.count), (2, count), "{paid:?}");
    }
}

#[test]
fn what_an_open_range_can_still_reveal_is_committed_and_of_a_closed_one_nothing() {
    let mut b = Buying::new();
    let v = b.open();
    b.buy(ms(1_000), 0..4);
    let rest = range_cap(1, Q).0 - 4 * UNIT.0;
    assert_eq!(b.payer.totals().committed.0, rest);
    b.payer.want(ms(1_100), A, V1, false, MAX_UNIT);
    let (reason, first) = (NeedReason::RangeClosed, v.first);
    b.say(ms(1_200), A, PayMessage::Need { reason, first });
    assert_eq!(b.payer.totals().committed, FineUnits(0));
}

// ---- what the user is asked for

#[test]
fn a_deposit_that_is_promised_is_said_while_somebody_is_wanted_that_gets_nothing_of_it() {
    let mut b = deposit_of(1);
    b.open();
    assert_eq!(b.payer.payment_need(), None);
    quotes(&mut b, ms(20_000), B, 0x99);
    let refused = PayerConnState::Quoted(Some(Refusal::DepositExhausted));
    assert_eq!(b.payer.status(B), refused);
    let need = Some(PaymentNeed::DepositUsedUp);
    assert_eq!(b.payer.payment_need(), need);
    b.payer.want(ms(21_000), B, V1, false, MAX_UNIT);
    assert_eq!(b.payer.payment_need(), None, "nobody wants it");
}

#[test]
fn a_budget_that_is_spent_is_said_unless_the_deposit_is_promised_whole_as_well() {
    for (serials, need) in [
        (20, PaymentNeed::BudgetUsedUp),
        (1, PaymentNeed::DepositUsedUp),
    ] {
        let mut b = deposit_of(serials);
        b.payer.set_budget(ms(0), TokenUnits(4 * 10));
        b.open();
        b.buy(ms(1_000), 0..4);
        assert_eq!(b.payer.payment_need(), None, "nobody else is wanted");
        quotes(&mut b, ms(20_000), B, 0x99);
        let refused = PayerConnState::Quoted(Some(Refusal::BudgetExhausted));
        assert_eq!(b.payer.status(B), refused);
        assert_eq!(b.payer.payment_need(), Some(need));
    }
}

#[test]
fn who_can_be_promised_nothing_takes_no_place_of_a_seller_that_was() {
    for held in [false, true] {
        let mut b = deposit_of(if held { 2_000 } else { 1 });
        let v = quotes(&mut b, ms(0), A, 0x98).commit();
        b.ack(ms(10), A, &v, 0);
        if held {
            proof_of_more(&mut b, ms(100), A);
            b.run(ms(100));
            assert_eq!(b.payer.held_account(), Some(id()));
        }
        // Any number of cheaper sellers, of none of which anything can be bought.
        quotes(&mut b, ms(20_000), B, 0x99);
        let why = match held {
            true => Refusal::NoAccount,
            false => Refusal::DepositExhausted,
        };
        assert_eq!(b.payer.status(B), PayerConnState::Quoted(Some(why)));
        for secs in [21, 60, 3_000] {
            b.payer.tick(ms(secs * 1_000));
            b.run(ms(secs * 1_000));
            assert!(!b.payer.is_of_use(B), "{secs}, {why:?}");
        }
    }
}

#[test]
fn who_will_be_promised_something_once_the_account_is_read_takes_a_place_meanwhile() {
    let mut b = Buying::new();
    b.payer = Payer::new(b.config, [3; 32], std::iter::empty());
    b.connect(ms(0), A, V1);
    let refused = PayerConnState::Quoted(Some(Refusal::NoAccount));
    assert_eq!(b.payer.status(A), refused);
    assert!(b.payer.is_of_use(A));
}
