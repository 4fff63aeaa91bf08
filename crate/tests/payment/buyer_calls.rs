//! What a payer does when its session calls: whom it takes for a seller, when it pays, what it waits for, how it ends.

use std::cell::RefCell;

use crate::hand::*;
use alloy_primitives::Address;
use piecework::payment::payer::{COMMIT_SPACING, PAY_DELAY, PayerConnState};
use piecework::payment::{EndReason, PayAction, TitleKind};
use piecework::time::Timestamp;
use piecework::types::Durability::{self, PowerLoss, Process};
use piecework::types::FineUnits;
use piecework::wire::pay::{ByeReason, PayHandshake, PayMessage};

#[test]
fn only_who_sells_on_the_same_vault_and_chain_in_the_same_version_is_bought_from() {
    type Change = fn(&mut PayHandshake);
    let changes: [(&str, Change); 4] = [
        ("does not sell", |h| h.flags = 2),
        ("another version", |h| h.version = 2),
        ("another vault", |h| h.vault = Address::repeat_byte(0x45)),
        ("another chain", |h| h.chain_id = 1),
    ];
    for (named, change) in changes {
        let mut b = Buying::new();
        let mut remote = info(1);
        change(remote.handshake.as_mut().unwrap());
        let done = b.quote(ms(0), A, remote, terms(UNIT));
        assert!(done.order.is_empty(), "{named}: {:?}", done.order);
        assert_eq!(b.payer.status(A), PayerConnState::NoDeal, "{named}");
    }
}

#[test]
fn the_price_is_the_one_that_was_quoted_last() {
    let mut b = Buying::new();
    b.payer.connected(ms(0), A, info(1));
    assert_eq!(b.payer.price(A), None);
    b.open();
    assert_eq!(b.payer.price(A), Some(UNIT));
    b.say(ms(20), A, PayMessage::Terms(terms(MAX_UNIT)));
    assert_eq!(b.payer.price(A), Some(MAX_UNIT));
    assert_eq!(b.payer.price(B), None);
}

#[test]
fn vouchers_are_counted_as_they_are_signed() {
    let mut b = Buying::new();
    assert_eq!(b.payer.totals().vouchers_signed, 0);
    b.open();
    assert_eq!(b.payer.totals().vouchers_signed, 1);
}

/// What each record that is written is to outlive.
fn durability(b: &mut Buying, now: Timestamp) -> Vec<Durability> {
    let seen = RefCell::new(Vec::new());
    b.run_to(now, |action| {
        if let PayAction::PutRecord { durability, .. } = action {
            seen.borrow_mut().push(*durability);
        }
        false
    });
    seen.into_inner()
}

#[test]
fn promises_and_losses_are_to_outlast_a_loss_of_power_and_payments_are_not() {
    let mut b = Buying::new();
    b.payer.connected(ms(0), A, info(1));
    b.payer.want(ms(0), A, V1, true, MAX_UNIT);
    b.payer.message(ms(0), A, PayMessage::Terms(terms(UNIT)));
    assert_eq!(
        durability(&mut b, ms(0)),
        [PowerLoss, PowerLoss],
        "serials and range"
    );
    let mut b = Buying::new();
    b.open_at(MAX_UNIT);
    b.receive(A, block(0));
    assert!(b.payer.payable(ms(20), A, advance(block(0))));
    assert_eq!(durability(&mut b, ms(20)), [Process], "at stake");
    b.payer.tick(ms(1_000));
    assert_eq!(durability(&mut b, ms(1_000)), [Process], "paid");
    b.payer.block_invalid(ms(1_010), A, &[block(0)]);
    assert_eq!(durability(&mut b, ms(1_010)), [PowerLoss], "lost");
}

// ---- when a payment leaves

/// An open connection with so much under way that one block can wait.
fn busy() -> Buying {
    let mut b = Buying::new();
    b.open();
    (0..30).for_each(|_| b.payer.request_sent(A));
    b
}

fn arrives(b: &mut Buying, n: u32, now: Timestamp) {
    b.payer.block_received(A, block(n));
    assert!(b.payer.payable(now, A, verified(block(n))));
}

#[test]
fn a_batch_in_which_nothing_is_due_does_not_hasten_the_next_payment() {
    let mut b = busy();
    b.payer.end_of_batch(ms(20));
    arrives(&mut b, 0, ms(21));
    b.payer.end_of_batch(ms(21));
    assert_eq!(b.leaves().paid_to(), None);
}

#[test]
fn an_ack_when_nothing_is_due_does_not_hasten_the_next_payment() {
    let mut b = Buying::new();
    let v = b.open();
    b.buy(ms(20), 0..4);
    (0..30).for_each(|_| b.payer.request_sent(A));
    b.payer.message(ms(30), A, acked(&v, 4, 0, 64));
    arrives(&mut b, 4, ms(31));
    b.payer.end_of_batch(ms(31));
    assert_eq!(b.leaves().paid_to(), None);
}

#[test]
fn a_payment_that_waits_leaves_when_its_time_comes_without_another_batch() {
    let mut b = busy();
    arrives(&mut b, 0, ms(20));
    let time = ms(20) + PAY_DELAY;
    assert_eq!(b.payer.next_timeout(), time);
    b.payer.tick(ms(39));
    assert_eq!(b.leaves().paid_to(), None);
    b.payer.tick(time);
    assert_eq!(b.leaves().paid_to().map(|(_, _, k)| k), Some(1));
}

// ---- what is waited for

#[test]
fn the_time_of_the_next_range_is_waited_for_while_more_is_wanted_and_no_time_that_is_past() {
    let spaced = ms(0) + COMMIT_SPACING;
    let mut b = Buying::new();
    b.open();
    assert_eq!(b.payer.next_timeout(), spaced);
    b.payer.tick(spaced);
    assert_eq!(b.payer.next_timeout(), Timestamp::NEVER);
    let mut b = Buying::new();
    b.open();
    b.payer.want(ms(20), A, V1, false, MAX_UNIT);
    assert_eq!(b.payer.next_timeout(), Timestamp::NEVER, "not wanted");
    let mut b = Buying::new();
    b.open();
    b.payer.stop(ms(20), A);
    assert_eq!(b.payer.next_timeout(), Timestamp::NEVER, "stopped");
}

#[test]
fn a_promise_that_was_taken_back_is_not_made_again_at_once() {
    let mut b = Buying::new();
    b.payer.connected(ms(0), A, info(1));
    b.payer.want(ms(0), A, V1, true, MAX_UNIT);
    b.payer.message(ms(0), A, PayMessage::Terms(terms(UNIT)));
    assert_eq!(b.payer.status(A), PayerConnState::Opening);
    b.payer.want(ms(1), A, V1, true, FineUnits(UNIT.0 - 1));
    b.payer.want(ms(2), A, V1, true, MAX_UNIT);
    assert!(b.run(ms(2)).sent.is_empty());
    let again = ms(1) + COMMIT_SPACING;
    assert_eq!(b.payer.next_timeout(), again);
    b.payer.tick(again);
    assert_eq!(b.run(again).commit().first, 1);
}

// ---- the end

#[test]
fn who_stops_buying_pays_what_is_due_says_bye_once_and_pays_what_was_under_way() {
    let mut b = busy();
    arrives(&mut b, 0, ms(20));
    b.payer.stop(ms(20), A);
    let done = b.leaves();
    assert_eq!(done.paid_to().map(|(_, _, k)| k), Some(1));
    let (selling, reason) = (false, ByeReason::Done);
    let bye = (A, PayMessage::Bye { selling, reason });
    assert_eq!(done.sent.last(), Some(&bye));
    let ended = PayerConnState::Ended(EndReason::Closed);
    assert_eq!(b.payer.status(A), ended);
    assert_eq!(b.payer.may_request(A), 0);
    b.payer.stop(ms(30), A);
    assert!(b.leaves().sent.is_empty(), "once");
    for n in 1..5 {
        arrives(&mut b, n, ms(40));
    }
    assert_eq!(b.run(ms(40)).paid_to().map(|(_, _, k)| k), Some(5));
}

#[test]
fn who_was_promised_nothing_is_not_told_that_buying_stops() {
    let mut b = Buying::new();
    b.connect(ms(0), A, TitleKind::Unknown);
    b.payer.stop(ms(20), A);
    assert!(b.run(ms(20)).sent.is_empty());
    let ended = PayerConnState::Ended(EndReason::Closed);
    assert_eq!(b.payer.status(A), ended);
}
