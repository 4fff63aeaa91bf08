//! Which range a payer promises next, to whom it promises none, and when it tries again.

use crate::hand::*;
use alloy_primitives::{Address, U256};
use piecework::payment::payer::{LOOK_SPACING, PayerConnState};
use piecework::payment::{NEW_RANGE_STEPS, PayAction, PayEvent, Refusal};
use piecework::time::Duration;
use piecework::types::{ConnectionId, FineUnits, TokenUnits};
use piecework::wire::pay::{NeedReason, PayMessage, Terms};

const C: ConnectionId = ConnectionId(3);

fn terms_of(payee: u8) -> Terms {
    Terms {
        payee: Address::repeat_byte(payee),
        ..terms(UNIT)
    }
}

fn need(reason: NeedReason, first: u32) -> PayMessage {
    PayMessage::Need { reason, first }
}

fn refused(why: Refusal) -> PayerConnState {
    PayerConnState::Quoted(Some(why))
}

// ---- strangers

#[test]
fn a_second_stranger_at_an_address_waits_until_something_is_paid_to_the_first() {
    let mut b = Buying::new();
    b.open();
    b.quote(ms(20_000), B, info(1), terms_of(0x99));
    assert_eq!(b.payer.status(B), refused(Refusal::FakePayeeLimit));
    let again = ms(21_000);
    assert_eq!(b.payer.next_timeout(), again);
    b.buy(ms(20_100), 0..4);
    b.payer.tick(again);
    let done = b.run(again);
    assert_eq!(done.commit().first, 2);
    // At another address, or where none is known, nobody waits for anybody.
    for (first, second) in [("203.0.113.7", "203.0.113.8"), ("", "")] {
        let mut b = Buying::new();
        b.quote(ms(0), A, info_at(first), terms(UNIT)).commit();
        let done = b.quote(ms(20_000), B, info_at(second), terms_of(0x99));
        assert_eq!(done.commit().first, 2, "{second}");
    }
}

/// A seller with some credit always has a next range on which nothing was revealed.
#[test]
fn the_next_range_of_a_seller_that_delivers_keeps_nobody_of_its_address_waiting() {
    let (mut b, _) = Buying::open_of(4);
    b.quote(ms(100), B, info(1), terms_of(0x99));
    assert_eq!(b.payer.status(B), refused(Refusal::FakePayeeLimit));
    b.buy(ms(200), 0..2);
    b.payer.tick(ms(1_500));
    let sent = b.run(ms(1_500)).sent;
    let commits = sent.iter().filter_map(|(conn, message)| match message {
        PayMessage::Commit { voucher, .. } => Some((*conn, voucher.first)),
        _ => None,
    });
    assert_eq!(commits.collect::<Vec<_>>(), [(A, 2), (B, 3)]);
}

#[test]
fn a_payee_that_filled_a_range_in_an_earlier_run_gets_a_larger_one_and_no_other_payee_does() {
    for (payee, count) in [(PAYEE, 4), (Address::repeat_byte(0x99), 1)] {
        let (mut b, _) = Buying::open_of(4);
        b.payer.set_budget(ms(20), Q);
        b.buy(ms(5_000), 0..4);
        b.restart(ms(20_000));
        let quote = Terms {
            payee,
            ..terms(UNIT)
        };
        let v = b.quote(ms(20_000), A, info(1), quote).commit();
        assert_eq!((v.first, v.count), (2, count), "{payee}");
    }
    // One that is begun is not filled.
    let mut b = Buying::new();
    b.open();
    b.buy(ms(100), 0..4);
    b.payer.close(ms(200));
    b.run(ms(200));
    b.restart(ms(20_000));
    b.connect(ms(20_000), A, V1).commit();
    let v = b.quote(ms(20_000), B, info_at("203.0.113.8"), terms(UNIT));
    assert_eq!(v.commit().count, 1);
}

#[test]
fn a_seller_that_was_put_off_as_a_stranger_gets_its_next_range_as_soon_as_it_sold() {
    // What is paid in advance proves a seller once it is half of its range, a verified block does at once.
    let cases = [
        ("verified", 1, true),
        ("advanced", 1, false),
        ("advanced", 2, true),
    ];
    for (how, blocks, proved) in cases {
        let mut b = Buying::new();
        let unit = FineUnits(Q.fine().0 / 4);
        b.payer.set_ceiling(ms(0), unit);
        let quote = |payee| Terms {
            unit,
            ..terms_of(payee)
        };
        // The second one takes what strangers get in ten seconds.
        for (conn, payee) in [(A, 0x98), (B, 0x99)] {
            let remote = info_at(&format!("192.0.2.{payee}"));
            b.payer.connected(ms(0), conn, remote);
            b.payer.want(ms(0), conn, V1, true, unit);
            let v = b.say(ms(0), conn, PayMessage::Terms(quote(payee)));
            b.ack(ms(10), conn, &v.commit(), 0);
        }
        b.payer.tick(ms(1_500));
        assert!(!b.run(ms(1_500)).order.contains(&"commit"), "{how}");
        for n in 0..blocks {
            b.receive(A, block(n));
            let payable = match how {
                "verified" => verified(block(n)),
                _ => advance(block(n)),
            };
            assert!(b.payer.payable(ms(1_600), A, payable));
        }
        let done = b.run(ms(1_600));
        let first = proved.then_some(3);
        let next = (done.order.contains(&"commit")).then(|| done.commit().first);
        assert_eq!(next, first, "{how}, {blocks} blocks");
    }
}

// ---- the next range of a connection

#[test]
fn a_range_that_was_used_up_is_promised_no_more_where_its_seller_asks_less_by_now() {
    let unit = |tokens: u128| FineUnits(tokens << 24);
    let mut b = Buying::new();
    let max_price = unit(3_000);
    b.payer.set_ceiling(ms(0), max_price);
    b.payer.connected(ms(0), A, info(1));
    b.payer.want(ms(0), A, V1, true, max_price);
    let one = (b.say(ms(0), A, PayMessage::Terms(terms(max_price)))).commit();
    assert_eq!((one.first, one.steps), (1, 3));
    b.ack(ms(10), A, &one, 0);
    b.buy(ms(20), 0..2);
    let two = (b.say(ms(2_000), A, PayMessage::Terms(terms(unit(900))))).commit();
    assert_eq!((two.first, two.unit), (2, unit(900)));
    b.ack(ms(2_010), A, &two, 0);
    // Of its 10,000 a thousand are left: one step more at the new price. But its seller has it at the old one.
    b.buy(ms(2_020), 2..3);
    b.payer.tick(ms(4_000));
    assert_eq!(b.run(ms(4_000)).commit().first, 3);
}

#[test]
fn the_next_range_follows_at_once_from_32_paid_blocks_on_and_not_from_one_less() {
    let enough = u32::try_from(NEW_RANGE_STEPS).unwrap();
    for (blocks, at_once) in [(enough - 1, false), (enough, true)] {
        let mut b = Buying::new();
        let v = b.open();
        b.buy(ms(20), 0..blocks);
        let done = b.say(ms(100), A, need(NeedReason::NextRange, v.first));
        assert_eq!(done.order.contains(&"commit"), at_once, "{blocks}");
    }
}

#[test]
fn no_further_range_is_promised_when_those_there_take_the_whole_budget() {
    let a_block = Q.0 / 4;
    for (budget, further) in [(Q.0, false), (Q.0 + a_block, true)] {
        let (mut b, _) = Buying::open_of(4);
        b.payer.set_budget(ms(20), TokenUnits(budget));
        b.buy(ms(30), 0..1);
        b.payer.tick(ms(2_000));
        let done = b.run(ms(2_000));
        assert_eq!(done.order.contains(&"commit"), further, "{budget}");
    }
}

#[test]
fn a_range_that_is_used_up_but_for_its_folds_ack_takes_no_other_ranges_place() {
    let (mut b, one) = Buying::open_of(4);
    let two = b.buy(ms(5_000), 0..1).commit();
    assert_eq!(two.first, 2);
    b.ack(ms(5_010), A, &two, 0);
    let fold = b.say(ms(7_000), A, need(NeedReason::Fold, one.first));
    assert_eq!(fold.commit().first, one.first);
    let done = b.buy(ms(7_010), 1..4);
    assert_eq!(done.commit().first, 3, "the second one alone is left");
}

#[test]
fn no_more_is_asked_for_than_the_steps_that_what_is_under_way_leaves() {
    let (mut b, _) = Buying::open_of(4);
    assert_eq!(b.payer.may_request(A), 4);
    b.payer.request_sent(A);
    b.payer.request_sent(A);
    assert_eq!(b.payer.may_request(A), 2);
}

// ---- whether a connection is of use

#[test]
fn a_connection_is_of_use_for_ten_seconds_until_blocks_come_and_not_when_buying_ended() {
    let mut b = Buying::new();
    assert!(!b.payer.is_of_use(A), "there is none");
    let v = b.open();
    assert_eq!(b.payer.may_request(A), 64);
    assert!(b.payer.is_of_use(A));
    (0..64).for_each(|_| b.payer.request_sent(A));
    assert_eq!(b.payer.may_request(A), 0);
    assert!(b.payer.is_of_use(A));
    (0..64).for_each(|_| b.payer.request_ended_without_block(A));
    b.ack_with(ms(20), A, &v, 0);
    b.payer.end_of_batch(ms(9_999));
    assert!(b.payer.is_of_use(A));
    b.payer.end_of_batch(ms(10_000));
    assert!(!b.payer.is_of_use(A), "no credit is given");
    let mut b = Buying::new();
    b.open();
    b.payer.stop(ms(40), A);
    assert!(!b.payer.is_of_use(A), "buying ended");
}

#[test]
fn a_connection_is_of_use_while_a_range_is_opened_or_waits_for_its_time() {
    let mut b = Buying::new();
    b.payer.connected(ms(0), A, info(1));
    b.payer.want(ms(0), A, V1, true, MAX_UNIT);
    assert!(!b.payer.is_of_use(A), "no quote");
    let ttl_secs = 5;
    let brief = Terms {
        ttl_secs,
        ..terms(UNIT)
    };
    b.say(ms(0), A, PayMessage::Terms(brief)).commit();
    assert!(b.payer.is_of_use(A));
    b.payer.end_of_batch(ms(9_999));
    assert!(b.payer.is_of_use(A), "the promise is out, be the quote old");
    b.payer.end_of_batch(ms(10_000));
    assert!(!b.payer.is_of_use(A), "it is waited for no longer");
    for (next, of_use) in [(terms(UNIT), true), (terms_of(0x99), false)] {
        let mut b = Buying::new();
        let v = b.open();
        b.say(ms(20), A, PayMessage::Terms(next));
        let done = b.say(ms(30), A, need(NeedReason::RangeClosed, v.first));
        assert!(!done.order.contains(&"commit"), "within a second");
        assert_eq!(b.payer.is_of_use(A), of_use, "{}", next.payee);
    }
}

#[test]
fn a_connection_whose_quote_is_refused_is_of_use_if_the_user_can_mend_it_and_while_it_is_fresh() {
    let mut b = Buying::new();
    b.payer.set_budget(ms(0), TokenUnits(9));
    b.connect(ms(0), A, V1);
    assert_eq!(b.payer.status(A), refused(Refusal::BudgetExhausted));
    assert!(b.payer.is_of_use(A));
    b.payer.end_of_batch(ms(540_000));
    assert!(b.payer.is_of_use(A));
    b.payer.end_of_batch(ms(540_001));
    assert!(!b.payer.is_of_use(A), "too old");
    let mut b = Buying::new();
    b.payer.set_ceiling(ms(0), FineUnits(UNIT.0 - 1));
    b.connect(ms(0), A, V1);
    assert_eq!(b.payer.status(A), refused(Refusal::OverCeiling));
    assert!(!b.payer.is_of_use(A), "for the seller's sake");
}

// ---- what the user is told

/// How often it is said while three sellers at addresses of their own quote.
fn said(b: &mut Buying, now: u64, event: &PayEvent) -> usize {
    let mut events = Vec::new();
    for (n, conn) in [A, B, C].into_iter().enumerate() {
        let remote = info_at(&format!("192.0.2.{n}"));
        let terms = terms_of(0x90 + n as u8);
        events.extend(b.quote(ms(now), conn, remote, terms).events);
    }
    events.iter().filter(|e| *e == event).count()
}

#[test]
fn that_the_budget_is_used_up_is_said_once_until_it_is_changed() {
    let mut b = Buying::new();
    for (budget, now) in [(9, 0), (8, 20_000)] {
        b.payer.set_budget(ms(now), TokenUnits(budget));
        let times = said(&mut b, now + 1, &PayEvent::BudgetExhausted);
        assert_eq!(times, 1, "{budget}");
    }
}

#[test]
fn that_the_deposit_is_used_up_is_said_once_until_the_account_is_changed() {
    let mut b = Buying::new();
    b.state.balance = Q;
    b.restart(ms(0));
    assert_eq!(b.payer.totals().free, Q, "one serial");
    for now in [0, 20_000] {
        b.account(ms(now));
        let times = said(&mut b, now + 1, &PayEvent::DepositExhausted);
        assert_eq!(times, 1, "at {now}");
    }
}

// ---- sellers that close ranges early

/// A seller closes two ranges after one block each; answers what it did at the second.
fn closes_two(b: &mut Buying) -> Done {
    let one = b.open();
    b.buy(ms(100), 0..1);
    let done = b.say(ms(2_000), A, need(NeedReason::RangeClosed, one.first));
    let two = done.commit();
    b.ack(ms(2_010), A, &two, 0);
    b.buy(ms(2_020), 1..2);
    b.payer
        .message(ms(4_000), A, need(NeedReason::RangeClosed, two.first));
    let is_read = |action: &PayAction| matches!(action, PayAction::ReadState { .. });
    let waiting = b.run_to(ms(4_000), is_read);
    assert_eq!(b.payer.status(A), refused(Refusal::ClosesEarly));
    waiting
}

#[test]
fn the_chain_is_asked_again_about_ranges_that_were_closed_early_after_fifteen_seconds() {
    let mut b = Buying::new();
    let waiting = closes_two(&mut b);
    assert_eq!(waiting.reads.len(), 1);
    let again = ms(4_000) + LOOK_SPACING;
    assert_eq!(b.payer.next_timeout(), again);
    let is_read = |action: &PayAction| matches!(action, PayAction::ReadState { .. });
    // Another connection of the seller does not make it sooner.
    let now = again - Duration::from_millis(1);
    b.payer.connected(now, B, info(1));
    b.payer.want(now, B, V1, true, MAX_UNIT);
    b.payer.message(now, B, PayMessage::Terms(terms(UNIT)));
    assert!(b.run_to(now, is_read).reads.is_empty());
    assert_eq!(b.payer.status(B), refused(Refusal::ClosesEarly));
    b.payer.tick(again);
    assert_eq!(b.run_to(again, is_read).reads.len(), 1);
}

#[test]
fn a_seller_that_redeemed_what_it_closed_gets_a_range_though_it_connected_anew_meanwhile() {
    let mut b = Buying::new();
    closes_two(&mut b);
    b.payer.disconnected(ms(5_000), A);
    b.run(ms(5_000));
    let done = b.connect(ms(6_000), B, V1);
    assert!(!done.order.contains(&"commit"));
    assert_eq!(b.payer.status(B), refused(Refusal::ClosesEarly));
    // Serials 0, 1 and 2 are consumed.
    b.state.spent_word = U256::from(0b111u8);
    b.state.consumed = 3;
    let again = b.payer.next_timeout();
    b.payer.tick(again);
    assert_eq!(b.run(again).commit().first, 3);
}
