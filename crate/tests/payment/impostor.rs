//! An impostor: it names an honest payee in its TERMS, and passes on to that payee what a buyer promises it.

use std::collections::BTreeMap;

use crate::hand::*;
use crate::shop::*;
use alloy_primitives::B256;
use piecework::payment::chain::HashChain;
use piecework::payment::payee::RedeemScope;
use piecework::time::Duration;
use piecework::types::{ConnectionId, FineUnits};
use piecework::wire::pay::RejectCode;

/// As clients sell: 16 blocks at first, 256 at most.
fn shop(buyer: &Buyer) -> Shop {
    let mut s = Shop::with(&BTreeMap::new(), |config| {
        config.credit0 = 16;
        config.credit_max = 256;
        config.ramp = 2;
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
