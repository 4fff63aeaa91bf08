//! An impostor: it names an honest payee in its TERMS, and passes on to that payee what a buyer promises it.

use std::collections::BTreeMap;

use crate::hand::*;
use crate::shop::*;
use alloy_primitives::B256;
use piecework::payment::chain::HashChain;
use piecework::payment::ledger::Credit;
use piecework::payment::payee::{MAX_FOLLOWED, RedeemScope};
use piecework::time::Duration;
use piecework::types::{ConnectionId, FineUnits};
use piecework::wire::pay::{PayMessage, RejectCode};

/// As clients sell: 16 blocks at first, 256 at most.
fn shop(buyer: &Buyer) -> Shop {
    let mut s = Shop::with(&BTreeMap::new(), |config| {
        config.credit = Credit::default();
    });
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s
}

/// The buyer's next promise on its first serial: a fresh chain for each connection.
fn fresh(buyer: &Buyer, number: u8) -> Promise {
    let mut promise = buyer.promise(1, 1, Q, FineUnits(0));
    promise.chain = HashChain::generate(B256::repeat_byte(number), promise.v.steps);
    promise.v.root = promise.chain.root();
    promise
}

/// Passes a promise on from a connection of its own, and takes what it gets.
fn passes_on(s: &mut Shop, buyer: &Buyer, promise: &Promise, number: u8) -> u32 {
    let mut impostor = buyer.clone();
    impostor.conn = ConnectionId(100 + u64::from(number));
    s.connect(impostor.conn, &format!("192.0.2.{number}"));
    s.commit(&impostor, promise);
    let mut got = 0;
    while s.payee.may_send(impostor.conn) {
        s.payee.block_written(s.now, impostor.conn);
        got += 1;
    }
    s.leave(impostor.conn);
    s.later(Duration::from_secs(30));
    got
}

#[test]
fn a_promise_that_is_passed_on_again_and_again_brings_one_first_credit_and_the_buyer_buys_on() {
    let buyer = Buyer::new(1);
    let mut s = shop(&buyer);
    let promise = fresh(&buyer, 1);
    let got: Vec<u32> = (1..=40)
        .map(|number| passes_on(&mut s, &buyer, &promise, number))
        .collect();
    assert_eq!(got.iter().sum::<u32>(), 16, "{got:?}");
    // The buyer comes itself, with a chain of its own as on each connection.
    s.connect(buyer.conn, "203.0.113.5");
    let promise = fresh(&buyer, 2);
    assert_eq!(s.commit(&buyer, &promise), None);
    assert_eq!(s.sell(&buyer, &promise, 0, 200), 200);
    let claims = s.take(RedeemScope::All);
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].due.0, 200 * 10);
}

#[test]
fn each_promise_that_is_passed_on_brings_one_first_credit_and_all_together_a_window_and_two() {
    let buyer = Buyer::new(1);
    let mut s = shop(&buyer);
    let got: u32 = (1..=40)
        .map(|number| passes_on(&mut s, &buyer, &fresh(&buyer, number), number))
        .sum();
    assert_eq!(got, 16 + 256 + 16);
    // A limit: who signed so often for an impostor is not served by this payee any more.
    s.connect(buyer.conn, "203.0.113.5");
    let refused = s.commit(&buyer, &fresh(&buyer, 41));
    assert_eq!(refused, Some(RejectCode::OverCredit));
}

#[test]
fn who_passed_a_promise_on_keeps_the_range_from_nobody_who_has_its_links() {
    let buyer = Buyer::new(1);
    let mut s = shop(&buyer);
    s.connect(buyer.conn, "203.0.113.5");
    let promise = fresh(&buyer, 1);
    assert_eq!(s.commit(&buyer, &promise), None);
    assert_eq!(s.sell(&buyer, &promise, 0, 100), 100);
    // An older one, without any link, while the buyer is there.
    passes_on(&mut s, &buyer, &fresh(&buyer, 9), 9);
    let sold = s.sell(&buyer, &promise, 100, 50);
    assert_eq!(sold, 50);
    let claims = s.take(RedeemScope::All);
    assert_eq!(claims[0].due.0, u128::from(100 + sold) * 10);
}

/// What a payee told one connection since so many messages.
fn told(s: &Shop, conn: ConnectionId, since: usize) -> Vec<RejectCode> {
    let rejected = |(to, m): &(ConnectionId, PayMessage)| match m {
        PayMessage::Reject { code, .. } if *to == conn => Some(*code),
        _ => None,
    };
    s.sent[since..].iter().filter_map(rejected).collect()
}

#[test]
fn who_passes_an_older_promise_on_keeps_no_range_from_a_buyer_whose_first_blocks_are_on_their_way()
{
    let buyer = Buyer::new(1);
    let mut s = shop(&buyer);
    // Signed for the impostor, which left at once. Then the buyer meets the payee itself, with chains of its own.
    let older: Vec<Promise> = (0..3).map(|n| fresh(&buyer, 100 + n)).collect();
    let mut promise = fresh(&buyer, 1);
    s.connect(buyer.conn, "203.0.113.5");
    assert_eq!(s.commit(&buyer, &promise), None);
    for _ in 0..4 {
        assert!(s.payee.may_send(buyer.conn));
        s.payee.block_written(s.now, buyer.conn);
    }
    for (number, passed_on) in (0..).zip(&older) {
        let mut impostor = buyer.clone();
        impostor.conn = ConnectionId(100 + number);
        s.connect(impostor.conn, "192.0.2.1");
        s.later(Duration::from_secs(1));
        let before = s.sent.len();
        s.commit(&impostor, passed_on);
        // Whoever loses its range hears of it, and says the same COMMIT again. Its chain had its turn: it makes a new
        // one.
        assert_eq!(told(&s, buyer.conn, before), [RejectCode::Rate]);
        s.later(Duration::from_secs(1));
        let again = s.commit(&buyer, &promise);
        assert_eq!(again, Some(RejectCode::PriceOrQuote));
        promise = fresh(&buyer, 2 + number as u8);
        s.later(Duration::from_secs(1));
        let before = s.sent.len();
        s.commit(&buyer, &promise);
        assert_eq!(told(&s, buyer.conn, before), []);
        // The impostor has no chain but those that it was given.
        let before = s.sent.len();
        for passed_on in &older[..=number as usize] {
            s.later(Duration::from_secs(1));
            let again = s.commit(&impostor, passed_on);
            assert_eq!(again, Some(RejectCode::PriceOrQuote));
        }
        assert_eq!(told(&s, buyer.conn, before), []);
    }
    s.say(buyer.conn, pay(&promise.v, &promise.chain, 4));
    // What it left unpaid meanwhile is paid: its credit grows as that of any buyer.
    assert_eq!(s.sell(&buyer, &promise, 4, 100), 100);
    assert_eq!(s.payee.totals().lost_blocks, 0);
    s.payee.block_written(s.now, buyer.conn);
    let unpaid = (1..=60).filter(|_| {
        let may = s.payee.may_send(buyer.conn);
        if may {
            s.payee.block_written(s.now, buyer.conn);
        }
        may
    });
    assert_eq!(1 + unpaid.count(), 52, "half of what it paid");
    assert_eq!(s.take(RedeemScope::All)[0].due.0, 104 * 10);
}

#[test]
fn a_promise_that_is_passed_on_again_brings_no_second_credit_when_the_buyer_came_meanwhile() {
    for older in [1, 3] {
        let buyer = Buyer::new(1);
        let mut s = shop(&buyer);
        let older: Vec<Promise> = (0..older).map(|n| fresh(&buyer, 100 + n)).collect();
        let mut got = 0;
        for visit in 0..12u8 {
            let passed_on = &older[usize::from(visit) % older.len()];
            got += passes_on(&mut s, &buyer, passed_on, visit + 1);
            s.connect(buyer.conn, "203.0.113.5");
            let accepted = s.commit(&buyer, &fresh(&buyer, visit + 1));
            assert_eq!(accepted, None, "visit {visit}");
            s.leave(buyer.conn);
            s.later(Duration::from_secs(30));
        }
        assert_eq!(got, 16 * older.len() as u32);
    }
}

/// A link shows whose the range is: what was promised before is behind, and nothing more needs to be known of it.
#[test]
fn a_buyer_that_was_there_before_and_paid_is_served_with_a_new_promise_each_time() {
    let buyer = Buyer::new(1);
    let mut s = shop(&buyer);
    for visit in 0..100u8 {
        let mut promise = fresh(&buyer, visit + 1);
        promise.v.base = FineUnits(u128::from(visit) * UNIT.0);
        promise.v.steps -= u16::from(visit);
        promise.chain = HashChain::generate(B256::repeat_byte(visit + 1), promise.v.steps);
        promise.v.root = promise.chain.root();
        s.connect(buyer.conn, "203.0.113.5");
        assert_eq!(s.commit(&buyer, &promise), None, "visit {visit}");
        assert_eq!(s.sell(&buyer, &promise, 0, 1), 1);
        s.leave(buyer.conn);
        s.later(Duration::from_secs(1));
    }
}

#[test]
fn so_many_promises_on_one_base_are_remembered_and_no_more() {
    let buyer = Buyer::new(1);
    let mut s = shop(&buyer);
    let mut commit = |number: usize| {
        s.connect(buyer.conn, "203.0.113.5");
        let refused = s.commit(&buyer, &fresh(&buyer, number as u8));
        s.leave(buyer.conn);
        s.later(Duration::from_secs(1));
        refused
    };
    for number in 1..=MAX_FOLLOWED + 1 {
        assert_eq!(commit(number), None);
    }
    for followed in [1, 2, MAX_FOLLOWED] {
        assert_eq!(commit(followed), Some(RejectCode::PriceOrQuote));
    }
    assert_eq!(commit(MAX_FOLLOWED + 2), None);
    assert_eq!(commit(1), None, "the oldest is forgotten");
    assert_eq!(commit(3), Some(RejectCode::PriceOrQuote));
}

/// Time passes on both sides of a connection, and each hears what the other says from `heard` on.
fn trade(b: &mut Buying, s: &mut Shop, heard: &mut usize, by: Duration) {
    s.later(by);
    b.payer.tick(s.now);
    let mut said = b.run(s.now).sent;
    loop {
        for (conn, message) in said.drain(..) {
            s.say(conn, message);
        }
        let answers = s.sent.split_off(*heard);
        *heard = s.sent.len();
        for (_, message) in answers.into_iter().filter(|(conn, _)| *conn == A) {
            said.extend(b.say(s.now, A, message).sent);
        }
        if said.is_empty() {
            return;
        }
    }
}

#[test]
fn a_buyer_whose_range_went_to_a_promise_that_was_passed_on_has_it_again_in_two_seconds() {
    let mut b = Buying::new();
    // Promised to an impostor.
    let impostor = info_at("192.0.2.1");
    let older = b.quote(ms(0), B, impostor, terms(UNIT)).commit();
    b.payer.disconnected(ms(0), B);
    b.run(ms(0));
    let account = b.payer.account_id().unwrap();
    let mut s = Shop::with(&BTreeMap::new(), |_| {});
    s.chain.insert(account, b.state);
    let mut heard = 0;
    b.payer.connected(s.now, A, info(1));
    b.payer.want(s.now, A, V1, true, MAX_UNIT);
    s.connect(A, "203.0.113.5");
    for _ in 0..12 {
        trade(&mut b, &mut s, &mut heard, Duration::from_millis(100));
    }
    assert!(s.payee.is_unchoked(A) && b.payer.may_request(A) > 0);
    s.connect(ConnectionId(100), "192.0.2.1");
    let quote_id = s.quotes[&ConnectionId(100)];
    let passed_on = PayMessage::Commit {
        quote_id,
        voucher: older,
    };
    s.say(ConnectionId(100), passed_on);
    assert!(!s.payee.is_unchoked(A), "its range is gone");
    for _ in 0..20 {
        trade(&mut b, &mut s, &mut heard, Duration::from_millis(100));
    }
    assert!(s.payee.is_unchoked(A));
    for n in 0..50 {
        assert!(b.payer.may_request(A) > 0 && s.payee.may_send(A));
        s.payee.block_written(s.now, A);
        b.receive(A, block(n));
        assert!(b.payer.payable(s.now, A, verified(block(n))));
        trade(&mut b, &mut s, &mut heard, Duration::from_millis(30));
    }
    assert_eq!(s.take(RedeemScope::All)[0].due.0, 50 * 10);
}
