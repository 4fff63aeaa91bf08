//! Who keeps one of the few places that a title has for sellers: those that sell, not those that are cheap and silent.

use crate::hand::*;
use piecework::payment::TitleKind;
use piecework::types::ConnectionId;
use piecework::wire::pay::{PayMessage, RejectCode, VoucherBody};

fn commits(done: &Done) -> Vec<VoucherBody> {
    let commit = |(_, m): &(ConnectionId, PayMessage)| match m {
        PayMessage::Commit { voucher, .. } => Some(*voucher),
        _ => None,
    };
    done.sent.iter().filter_map(commit).collect()
}

#[test]
fn a_seller_that_puts_a_promise_off_again_and_again_keeps_no_place_until_it_sells() {
    // How often it does until it is of no use: one that is behind by a block is waited for.
    for (code, aux, patience) in [
        (RejectCode::Rate, 60_000, 0),
        (RejectCode::Rate, 1_000, 9),
        (RejectCode::ChainPending, 0, 2),
    ] {
        let mut b = Buying::new();
        let v = b.connect(ms(0), A, TitleKind::V2).commit();
        let mut at = ms(0);
        for times in 0..patience + 2 {
            b.reject(at, &v, code, aux);
            assert_eq!(
                b.payer.is_of_use(A),
                times < patience,
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
        // Each block makes up for a second; more than a minute is not remembered.
        b.buy(at, 0..51);
        assert!(b.payer.is_of_use(A), "{code:?} {aux}");
    }
}

#[test]
fn a_seller_that_sold_nothing_and_comes_back_keeps_no_place_until_it_sells() {
    for (acks, blocks, keeps) in [(false, 0, false), (true, 0, false), (true, 4, true)] {
        let mut b = Buying::new();
        let v = b.connect(ms(0), A, TitleKind::V2).commit();
        if acks {
            b.ack(ms(10), A, &v, 0);
        }
        b.buy(ms(20), 0..blocks);
        b.payer.disconnected(ms(30), A);
        b.run(ms(30));
        let v = b.connect(ms(2_000), B, TitleKind::V2).commit();
        assert_eq!(b.payer.is_of_use(B), keeps, "{acks} {blocks}");
        b.ack(ms(2_010), B, &v, 0);
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
            let v = b.connect(ms(at), A, TitleKind::V2).commit();
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
        let v = b.connect(ms(0), A, TitleKind::V2).commit();
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
        let v = b.connect(ms(at), A, TitleKind::V2).commit();
        assert_eq!(of_use_for(&mut b, &mut at, 5), 5, "visit {visit}");
        b.ack(ms(at), A, &v, 0);
        b.buy(ms(at), visit * 10..visit * 10 + 10);
        assert!(b.payer.is_of_use(A));
        b.payer.disconnected(ms(at), A);
        b.run(ms(at));
        at += 1_000;
    }
}
