//! What a payer remembers of its sellers and of connections that are gone, how long, and that it is bounded.

use crate::hand::*;
use piecework::payment::payer::{MAX_GONE, PayerConnState};
use piecework::payment::record::{Key, PayerTitleRecord};
use piecework::payment::{EndReason, MAX_CONNECTIONS, Refusal};
use piecework::types::{ConnectionId, InfoHash, TokenUnits};
use piecework::wire::pay::{NeedReason, PayMessage, RejectCode};

fn refused(why: Refusal) -> PayerConnState {
    PayerConnState::Quoted(Some(why))
}

// ---- what is owed

#[test]
fn a_seller_that_redeemed_a_range_whose_links_a_crash_took_here_sells_the_next() {
    let mut b = Buying::new();
    assert_eq!(b.open().first, 1);
    // The record has no link, and the seller was paid for some.
    b.restart(ms(20_000));
    let again = b.connect(ms(20_000), A, V1).commit();
    assert_eq!(again.first, 1);
    let done = b.reject(ms(20_010), &again, RejectCode::ConsumedOrClosed, 1);
    assert_eq!(done.commit().first, 2);
}

#[test]
fn what_is_due_when_a_seller_leaves_is_paid_when_it_comes_again() {
    let mut b = Buying::new();
    b.open();
    (0..30).for_each(|_| b.payer.request_sent(A));
    b.payer.block_received(A, block(0));
    assert!(b.payer.payable(ms(20), A, verified(block(0))));
    b.payer.disconnected(ms(20), A);
    b.run(ms(20));
    assert_eq!(b.payer.totals().unpaid_blocks, 1);
    let v = b.connect(ms(2_000), B, V1).commit();
    let done = b.ack(ms(2_010), B, &v, 0);
    assert_eq!(done.paid_to(), Some((v.first, v.tag(), 1)));
}

#[test]
fn what_is_owed_to_a_seller_at_an_unknown_address_is_paid_when_its_name_comes_again() {
    let mut b = Buying::new();
    let v = b.quote(ms(0), A, info_at(""), terms(UNIT)).commit();
    b.ack(ms(10), A, &v, 0);
    (0..3).for_each(|n| b.receive(A, block(n)));
    b.payer.disconnected(ms(100), A);
    b.run(ms(100));
    for n in 0..3 {
        assert!(b.payer.payable(ms(110), A, verified(block(n))));
    }
    let v = b.quote(ms(2_000), B, info_at(""), terms(UNIT)).commit();
    let done = b.ack(ms(2_010), B, &v, 0);
    assert_eq!(done.paid_to(), Some((v.first, v.tag(), 3)));
}

#[test]
fn what_was_advanced_just_before_its_seller_left_is_judged_all_the_same() {
    let mut b = Buying::new();
    b.open_at(MAX_UNIT);
    b.receive(A, block(0));
    assert!(b.payer.payable(ms(20), A, advance(block(0))));
    b.payer.disconnected(ms(20), A);
    b.run(ms(20));
    let title = Key::PayerTitle(InfoHash([1; 20])).text(&vault());
    let at_stake = |b: &Buying| {
        let record = PayerTitleRecord::decode(&b.store[&title]).unwrap();
        (record.lost, record.at_stake.values().sum::<u32>())
    };
    assert_eq!(at_stake(&b), (0, 1));
    assert!(!b.payer.payable(ms(30), A, verified(block(0))));
    b.run(ms(30));
    assert_eq!(at_stake(&b), (0, 0));
}

#[test]
fn blocks_of_the_last_256_connections_that_are_gone_are_owed_when_they_are_verified() {
    let mut b = Buying::new();
    let conn = |n: u32| ConnectionId(1_000 + u64::from(n));
    let connections = MAX_GONE as u32 + 1;
    for n in 0..connections {
        let v = b.connect(ms(0), conn(n), V1).commit();
        b.ack(ms(0), conn(n), &v, 0);
        b.receive(conn(n), block(n));
        b.payer.disconnected(ms(0), conn(n));
        b.run(ms(0));
    }
    for n in 0..connections {
        let owed = b.payer.payable(ms(10), conn(n), verified(block(n)));
        assert_eq!(owed, n > 0, "{n}: the oldest alone is forgotten");
    }
}

// ---- what is held against a seller

#[test]
fn who_sold_bad_data_is_left_on_all_its_connections() {
    let mut b = Buying::new();
    b.open();
    b.buy(ms(100), 0..4);
    let v = b.connect(ms(20_000), B, V1).commit();
    b.ack(ms(20_010), B, &v, 0);
    assert_eq!(b.payer.status(B), PayerConnState::Attached);
    b.payer.block_invalid(ms(21_000), A, &[block(9)]);
    assert_eq!(b.run(ms(21_000)).bans, [A]);
    for conn in [A, B] {
        let ended = PayerConnState::Ended(EndReason::SoldBadData);
        assert_eq!(b.payer.status(conn), ended);
        assert_eq!(b.payer.may_request(conn), 0);
    }
}

#[test]
fn a_seller_that_refused_is_known_again_when_it_comes_back() {
    let mut b = Buying::new();
    let v = b.connect(ms(0), A, V1).commit();
    b.reject(ms(10), &v, RejectCode::NotCovered, 0);
    b.payer.disconnected(ms(20), A);
    b.run(ms(20));
    let done = b.connect(ms(20_000), B, V1);
    assert!(!done.order.contains(&"commit"));
    assert_eq!(b.payer.status(B), refused(Refusal::PayeeRefused));
}

#[test]
fn a_seller_that_closed_two_ranges_early_is_known_again_when_it_comes_back() {
    let mut b = Buying::new();
    let one = b.open();
    b.buy(ms(100), 0..1);
    let closed = |first| PayMessage::Need {
        reason: NeedReason::RangeClosed,
        first,
    };
    let two = b.say(ms(2_000), A, closed(one.first)).commit();
    b.ack(ms(2_010), A, &two, 0);
    b.say(ms(4_000), A, closed(two.first));
    assert_eq!(b.payer.status(A), refused(Refusal::ClosesEarly));
    b.payer.disconnected(ms(5_000), A);
    b.run(ms(5_000));
    let done = b.connect(ms(40_000), B, V1);
    assert!(!done.order.contains(&"commit"));
    assert_eq!(b.payer.status(B), refused(Refusal::ClosesEarly));
}

#[test]
fn what_a_seller_counts_as_unpaid_is_remembered_while_one_of_its_connections_is_there() {
    let mut b = Buying::new();
    let v = b.connect(ms(0), A, V1).commit();
    b.say(ms(10), A, acked(&v, 0, 3, 64));
    assert_eq!(b.payer.may_request(A), 61);
    b.buy(ms(20), 0..4);
    assert_eq!(b.payer.may_request(A), 61);
    b.connect(ms(20_000), B, V1).commit();
    b.payer.disconnected(ms(20_010), B);
    b.run(ms(20_010));
    assert_eq!(b.payer.may_request(A), 61);
}

// ---- how many are remembered

/// Sellers that are remembered.
const MOST: u64 = 2 * MAX_CONNECTIONS as u64;

/// A payer that may promise serials to more sellers than it remembers.
fn rich() -> Buying {
    let mut b = Buying::new();
    b.state.balance = TokenUnits(2 * u128::from(MOST) * Q.0);
    b.state.bond = TokenUnits(3 * u128::from(MOST) * Q.0);
    b.account(ms(0));
    b
}

/// The seller of this number connects, at an address of its own and so late that strangers are let in; answers how
/// things stand once its quote is in.
fn comes(b: &mut Buying, turn: u64, number: u64) -> PayerConnState {
    let now = ms(turn * 310_000);
    b.payer.connected(now, A, info_at(&format!("{number:05}")));
    b.payer.want(now, A, V1, true, MAX_UNIT);
    b.payer.message(now, A, PayMessage::Terms(terms(UNIT)));
    b.leaves();
    b.payer.status(A)
}

fn goes(b: &mut Buying, turn: u64) {
    b.payer.disconnected(ms(turn * 310_000), A);
    b.leaves();
}

/// Buying from the seller that is there ends for its bad data.
fn sells_bad_data(b: &mut Buying, turn: u64) {
    b.payer.block_invalid(ms(turn * 310_000), A, &[]);
    assert_eq!(b.leaves().bans, [A]);
}

#[test]
fn of_sellers_that_sold_bad_data_as_many_are_remembered_as_twice_the_connections() {
    let mut b = rich();
    for number in 0..MOST {
        assert_eq!(comes(&mut b, number, number), PayerConnState::Opening);
        sells_bad_data(&mut b, number);
        goes(&mut b, number);
    }
    let first = comes(&mut b, MOST, 0);
    assert_eq!(first, refused(Refusal::PayeeRefused));
    goes(&mut b, MOST);
    comes(&mut b, MOST, MOST);
    sells_bad_data(&mut b, MOST);
    goes(&mut b, MOST);
    let first = comes(&mut b, MOST + 1, 0);
    assert_eq!(first, PayerConnState::Opening, "forgotten for one more");
}

#[test]
fn sellers_of_whom_nothing_is_to_be_remembered_make_none_forgotten() {
    let mut b = rich();
    comes(&mut b, 0, 0);
    sells_bad_data(&mut b, 0);
    goes(&mut b, 0);
    for number in 1..=MOST {
        let turn = number;
        assert_eq!(comes(&mut b, turn, number), PayerConnState::Opening);
        goes(&mut b, turn);
    }
    let first = comes(&mut b, MOST + 1, 0);
    assert_eq!(first, refused(Refusal::PayeeRefused));
}
