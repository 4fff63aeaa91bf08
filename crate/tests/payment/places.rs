//! Who keeps one of the few places that a title has for sellers: those that sell, not those that are cheap and silent.

use crate::hand::*;
use piecework::payment::payer::PayerConnState;
use piecework::time::{Duration, Timestamp};
use piecework::types::{ConnectionId, FineUnits};
use piecework::wire::pay::{NeedReason, PayMessage, RejectCode, Terms, VoucherBody};

fn commits(done: &Done) -> Vec<VoucherBody> {
    let commit = |(_, m): &(ConnectionId, PayMessage)| match m {
        PayMessage::Commit { voucher, .. } => Some(*voucher),
        _ => None,
    };
    done.sent.iter().filter_map(commit).collect()
}

#[test]
fn a_seller_that_puts_a_promise_off_again_and_again_keeps_no_place_until_it_sells() {
    for (code, aux, often) in [
        (RejectCode::Rate, 60_000, 2),
        (RejectCode::Rate, 1_000, 12),
        (RejectCode::ChainPending, 0, 4),
    ] {
        let mut b = Buying::new();
        let v = b.connect(ms(0), A, V1).commit();
        let mut at = ms(0);
        for times in 0..often {
            b.reject(at, &v, code, aux);
            assert_eq!(
                b.payer.is_of_use(A),
                at < ms(10_000),
                "{code:?} {aux} {times}"
            );
            // It is asked all the same.
            let mut again = Vec::new();
            while again.is_empty() {
                at = b.payer.next_timeout();
                b.payer.tick(at);
                again = commits(&b.run(at));
            }
            assert_eq!(again, [v]);
        }
        assert!(!b.payer.is_of_use(A), "{code:?} {aux}");
        b.ack(at, A, &v, 0);
        // Each block makes up for two seconds; more than twenty are not remembered.
        let at = at + Duration::from_secs(30);
        b.payer.end_of_batch(at);
        b.buy(at, 0..5);
        assert!(!b.payer.is_of_use(A), "{code:?} {aux}");
        b.buy(at, 5..6);
        assert!(b.payer.is_of_use(A), "{code:?} {aux}");
    }
}

#[test]
fn a_seller_that_sold_nothing_and_comes_back_keeps_no_place_until_it_sells() {
    for (acks, blocks, keeps) in [(false, 0, false), (true, 0, false), (true, 4, true)] {
        let mut b = Buying::new();
        let v = b.connect(ms(0), A, V1).commit();
        if acks {
            b.ack(ms(10), A, &v, 0);
        }
        b.payer.end_of_batch(ms(10_000));
        b.buy(ms(10_000), 0..blocks);
        b.payer.disconnected(ms(10_000), A);
        b.run(ms(10_000));
        let v = b.connect(ms(12_000), B, V1).commit();
        assert_eq!(b.payer.is_of_use(B), keeps, "{acks} {blocks}");
        b.ack(ms(12_010), B, &v, 0);
        assert_eq!(b.payer.is_of_use(B), keeps, "{acks} {blocks}");
    }
}

/// Lets seconds pass: in how many of them A was of use.
fn of_use_for(b: &mut Buying, at: &mut u64, seconds: u64) -> u64 {
    let mut of_use = 0;
    for _ in 0..seconds {
        *at += 1_000;
        b.payer.tick(ms(*at));
        b.run(ms(*at));
        of_use += u64::from(b.payer.is_of_use(A));
    }
    of_use
}

#[test]
fn a_seller_that_leaves_after_each_block_keeps_no_place_whenever_it_is_silent() {
    // For so many seconds before it takes the promise, and so many after that, each time.
    for (before, after) in [(59, 0), (9, 0), (5, 4), (0, 4)] {
        let mut b = Buying::new();
        let (mut of_use, mut at) = (0, 0);
        for visit in 0..20u32 {
            let v = b.connect(ms(at), A, V1).commit();
            assert_eq!(v.first, 1, "the same range each time");
            of_use += of_use_for(&mut b, &mut at, before);
            b.ack(ms(at), A, &v, 0);
            of_use += of_use_for(&mut b, &mut at, after);
            b.buy(ms(at), visit..visit + 1);
            b.payer.disconnected(ms(at), A);
            b.run(ms(at));
            at += 1_000;
        }
        assert!(of_use <= 20, "{before} and {after}: {of_use}");
    }
}

#[test]
fn a_seller_that_puts_off_what_it_took_and_sells_a_block_between_keeps_no_place() {
    for secs in [9, 60] {
        let mut b = Buying::new();
        let v = b.connect(ms(0), A, V1).commit();
        let (mut of_use, mut at) = (0, 0);
        for n in 0..20u32 {
            b.ack(ms(at), A, &v, 0);
            b.buy(ms(at), n..n + 1);
            b.reject(ms(at), &v, RejectCode::Rate, secs * 1_000);
            of_use += of_use_for(&mut b, &mut at, u64::from(secs) - 1);
            at += 1_000;
            b.payer.tick(ms(at));
            assert_eq!(commits(&b.run(ms(at))), [v], "it is asked all the same");
        }
        assert!(of_use <= 20, "{secs}: {of_use}");
    }
}

#[test]
fn a_seller_that_sells_for_what_it_was_waited_for_keeps_its_place() {
    let mut b = Buying::new();
    let mut at = 0;
    for visit in 0..20u32 {
        let v = b.connect(ms(at), A, V1).commit();
        assert_eq!(of_use_for(&mut b, &mut at, 5), 5, "visit {visit}");
        b.ack(ms(at), A, &v, 0);
        b.buy(ms(at), visit * 10..visit * 10 + 10);
        assert!(b.payer.is_of_use(A));
        b.payer.disconnected(ms(at), A);
        b.run(ms(at));
        at += 1_000;
    }
}

#[test]
fn a_seller_that_takes_its_credit_back_while_a_block_waits_for_its_piece_keeps_no_place() {
    let mut b = Buying::new();
    let v = (b.connect(ms(0), A, V1)).commit();
    b.ack_with(ms(10), A, &v, 1);
    b.receive(A, block(0));
    b.say(ms(20), A, acked(&v, 0, 1, 0));
    assert_eq!(b.payer.may_request(A), 0);
    assert_eq!(b.payer.needs_advance(A), None, "nothing without credit");
    let mut at = 20;
    assert!(of_use_for(&mut b, &mut at, 600) <= 20);
    b.say(ms(at), A, acked(&v, 0, 1, 64));
    assert!(b.payer.may_request(A) > 0, "it is asked all the same");
}

#[test]
fn a_seller_that_puts_one_of_two_ranges_off_and_gives_no_credit_keeps_no_place() {
    let mut b = Buying::new();
    let one = b.connect(ms(0), A, V1).commit();
    b.ack_with(ms(10), A, &one, 1);
    b.buy(ms(2_000), 0..1);
    let (reason, first) = (NeedReason::NextRange, one.first);
    let two = (b.say(ms(2_010), A, PayMessage::Need { reason, first })).commit();
    assert_ne!(two.first, one.first);
    b.ack_with(ms(2_020), A, &two, 0);
    let (mut of_use, mut at) = (0, 3_000);
    for _ in 0..10 {
        b.reject(ms(at), &one, RejectCode::Rate, 60_000);
        of_use += of_use_for(&mut b, &mut at, 59);
        at += 1_000;
        b.payer.tick(ms(at));
        assert_eq!(commits(&b.run(ms(at))), [one], "it is asked all the same");
    }
    assert!(of_use <= 20, "{of_use}");
}

#[test]
fn a_seller_that_leaves_a_fold_without_an_answer_keeps_no_place() {
    let mut b = Buying::new();
    b.payer.connected(ms(0), A, info(1));
    b.payer.want(ms(0), A, V1, true, MAX_UNIT);
    let of_one_step = Terms {
        max_steps: 1,
        ..terms(UNIT)
    };
    let v = b.say(ms(0), A, PayMessage::Terms(of_one_step)).commit();
    b.ack_with(ms(10), A, &v, 1);
    let fold = b.buy(ms(2_000), 0..1).commit();
    assert_eq!((fold.first, fold.steps), (v.first, 1));
    b.receive(A, block(1));
    assert!(b.payer.payable(ms(2_100), A, verified(block(1))));
    let done = b.run(ms(2_100));
    assert_eq!(done.paid_to(), None, "no further than the old chain goes");
    assert_eq!(b.payer.may_request(A), 0);
    let mut at = 2_100;
    assert!(of_use_for(&mut b, &mut at, 600) <= 20);
}

#[test]
fn a_seller_is_waited_for_while_something_is_out_to_it_or_somebody_else_would_be_asked() {
    // What is lacking, out to it, wanted of it.
    for (lacking, out, wanted, waits) in [
        (true, false, true, true),
        (false, true, true, true),
        (false, false, true, false),
        (true, false, false, false),
        // It raised its price with blocks out, or says that it has nothing any more.
        (false, true, false, true),
        (true, true, false, true),
    ] {
        let mut b = Buying::new();
        b.open();
        b.payer.want(ms(1_000), A, V1, wanted, MAX_UNIT);
        if out {
            b.payer.request_sent(A);
        }
        let until = b.payer.wait_for(ms(1_000), A, lacking);
        let expected = if waits { ms(10_000) } else { Timestamp::NEVER };
        assert_eq!(until, expected, "{lacking} {out} {wanted}");
        b.payer.end_of_batch(ms(10_000));
        assert_eq!(b.payer.is_of_use(A), !waits, "{lacking} {out} {wanted}");
        // The time in which it was not is not counted later.
        assert_eq!(b.payer.wait_for(ms(60_000), A, lacking), Timestamp::NEVER);
        assert_eq!(b.payer.is_of_use(A), !waits, "{lacking} {out} {wanted}");
    }
}

#[test]
fn blocks_that_were_taken_back_earn_no_place_and_are_charged_all_the_same() {
    let mut b = Buying::new();
    b.open();
    b.payer.end_of_batch(ms(30_000));
    assert!(!b.payer.is_of_use(A));
    for n in 0..16 {
        b.payer.request_sent(A);
        b.payer.request_ended_without_block(A);
        b.payer.taken_back_received(A, block(n));
        assert!(b.payer.payable(ms(30_100), A, verified(block(n))));
    }
    b.run(ms(30_100));
    assert!(!b.payer.is_of_use(A));
    b.buy(ms(30_200), 16..32);
    assert!(b.payer.is_of_use(A));
}

#[test]
fn a_seller_whose_quote_is_void_has_the_price_of_its_range() {
    let mut b = Buying::new();
    let v = b.open();
    assert!(b.payer.is_wanted(A));
    b.buy(ms(20), 0..64);
    let (reason, first) = (NeedReason::NextRange, v.first);
    let next = b
        .say(ms(100), A, PayMessage::Need { reason, first })
        .commit();
    // It refuses the second range for its price.
    b.reject(ms(200), &next, RejectCode::PriceOrQuote, 0);
    assert_eq!(b.payer.status(A), PayerConnState::Attached);
    assert_eq!(b.payer.price(A), Some(UNIT));
    // Or names another price.
    let dearer = FineUnits(UNIT.0 + 1);
    b.say(ms(300), A, PayMessage::Terms(terms(dearer)));
    assert_eq!(b.payer.price(A), Some(dearer));
    b.payer.want(ms(400), A, V1, false, MAX_UNIT);
    assert!(!b.payer.is_wanted(A));
}
