//! What a payer makes of what its seller says: ACK, REJECT, NEED and STATE, where the words are true, late or false.

use crate::hand::*;
use alloy_primitives::B256;
use piecework::payment::payer::{PENDING_RETRIES, PayerConnState};
use piecework::payment::{EndReason, PayAction};
use piecework::time::{Duration, Timestamp};
use piecework::types::{ConnectionId, FineUnits};
use piecework::wire::pay::{NeedReason, PayMessage, RejectCode, VoucherBody};

fn need(reason: NeedReason, first: u32) -> PayMessage {
    PayMessage::Need { reason, first }
}

fn ended(reason: EndReason) -> PayerConnState {
    PayerConnState::Ended(reason)
}

fn commits(done: &Done) -> Vec<VoucherBody> {
    let commit = |(_, m): &(ConnectionId, PayMessage)| match m {
        PayMessage::Commit { voucher, .. } => Some(*voucher),
        _ => None,
    };
    done.sent.iter().filter_map(commit).collect()
}

#[test]
fn a_quote_of_another_version_or_with_a_lottery_ends_the_purchase() {
    let mut later = terms(UNIT);
    later.version = 2;
    let mut lottery = terms(UNIT);
    lottery.luck = B256::repeat_byte(1);
    for quote in [later, lottery] {
        let mut b = Buying::new();
        let done = b.quote(ms(0), A, info(1), quote);
        assert!(done.order.is_empty(), "{:?}", done.order);
        assert_eq!(b.payer.status(A), ended(EndReason::Unsupported));
    }
}

// ---- ACK

#[test]
fn what_a_payee_counts_as_unpaid_is_believed_when_all_is_quiet_and_else_only_if_it_falls() {
    let mut b = Buying::new();
    let v = b.open();
    b.buy(ms(20), 0..4);
    (0..10).for_each(|_| b.payer.request_sent(A));
    let credit = |b: &mut Buying, k, owed| {
        b.say(ms(30), A, acked(&v, k, owed, 64));
        b.payer.may_request(A)
    };
    assert_eq!(credit(&mut b, 4, 6), 54, "what is under way is counted");
    (0..10).for_each(|_| b.payer.request_ended_without_block(A));
    assert_eq!(credit(&mut b, 3, 6), 64, "before the last PAY");
    assert_eq!(credit(&mut b, 4, 5), 59, "nothing is under way");
    assert_eq!(credit(&mut b, 3, 9), 59);
    assert_eq!(credit(&mut b, 3, 2), 62);
}

#[test]
fn what_a_payee_counts_with_its_second_ranges_ack_takes_nothing_from_the_credit() {
    let (mut b, _) = Buying::open_of(4);
    let two = b.buy(ms(5_000), 0..1).commit();
    b.say(ms(5_010), A, acked(&two, 0, 2, 64));
    assert_eq!(b.payer.may_request(A), 7, "three steps and four");
}

#[test]
fn what_is_owed_from_a_connection_that_is_gone_is_paid_and_then_takes_nothing_from_the_credit() {
    let mut b = Buying::new();
    b.open();
    (0..3).for_each(|n| b.receive(A, block(n)));
    b.payer.disconnected(ms(100), A);
    for n in 0..3 {
        assert!(b.payer.payable(ms(110), A, verified(block(n))));
    }
    let v = b.connect(ms(2_000), B, V1).commit();
    let done = b.say(ms(2_010), B, acked(&v, 0, 3, 64));
    assert_eq!(done.paid_to(), Some((v.first, v.tag(), 3)));
    assert_eq!(b.payer.may_request(B), 64);
}

#[test]
fn an_ack_is_heeded_about_a_voucher_that_is_here_or_the_last_payment_and_no_other() {
    let (mut b, one) = Buying::open_of(4);
    let two = b.buy(ms(5_000), 0..4).commit();
    b.ack(ms(5_010), A, &two, 0);
    assert_eq!(b.payer.may_request(A), 16);
    for (k, credit) in [(3, 16), (4, 2)] {
        // The first range is used up, and its last payment was the fourth.
        b.say(ms(5_020), A, acked(&one, k, 0, 2));
        assert_eq!(b.payer.may_request(A), credit, "{k}");
    }
}

#[test]
fn what_is_due_leaves_with_the_ack_that_opens_a_range() {
    let (mut b, _) = Buying::open_of(4);
    let two = b.buy(ms(5_000), 0..1).commit();
    (0..8).for_each(|_| b.payer.request_sent(A));
    for n in 1..5 {
        b.payer.block_received(A, block(n));
        assert!(b.payer.payable(ms(5_100), A, verified(block(n))));
    }
    b.payer.end_of_batch(ms(5_100));
    b.leaves();
    assert_eq!(b.payer.paid_on(A).0, 4, "all that the first range allows");
    b.payer.message(ms(5_110), A, acked(&two, 0, 0, 64));
    assert_eq!(b.leaves().paid_to(), Some((two.first, two.tag(), 1)));
}

/// A fold is promised after 192 blocks, and not acknowledged.
fn folds(b: &mut Buying) -> (VoucherBody, VoucherBody) {
    let v = b.open();
    b.buy(ms(1_000), 0..64);
    b.buy(ms(2_000), 64..128);
    let fold = b.buy(ms(3_000), 128..192).commit();
    assert_eq!((fold.first, fold.base.0), (v.first, 192 * UNIT.0));
    (v, fold)
}

#[test]
fn what_is_due_leaves_with_a_folds_ack() {
    let mut b = Buying::new();
    let (v, fold) = folds(&mut b);
    b.buy(ms(4_000), 192..256);
    assert_eq!(b.buy(ms(4_100), 256..260).paid_to(), None);
    b.payer.message(ms(4_200), A, acked(&fold, 64, 4, 64));
    assert_eq!(b.leaves().paid_to(), Some((v.first, fold.tag(), 68)));
}

// ---- REJECT

#[test]
fn a_refused_fold_is_tried_again_after_the_time_that_the_payee_names_or_two_seconds() {
    let refused = ms(5_000);
    for (code, aux, wait) in [
        (RejectCode::Rate, 700, Duration::from_millis(700)),
        (RejectCode::ChainPending, 700, PENDING_RETRIES[0]),
        (RejectCode::PriceOrQuote, 0, PENDING_RETRIES[0]),
    ] {
        let mut b = Buying::new();
        let (_, fold) = folds(&mut b);
        let done = b.reject(refused, &fold, code, aux);
        assert_eq!(commits(&done), [], "{code:?}");
        let again = refused + wait;
        assert_eq!(b.payer.next_timeout(), again, "{code:?}");
        let early = again - Duration::from_millis(1);
        b.payer.tick(early);
        assert_eq!(commits(&b.run(early)), [], "{code:?}");
        b.payer.tick(again);
        assert_eq!(b.run(again).commit().base, fold.base, "{code:?}");
    }
}

#[test]
fn a_promise_that_its_payee_forgot_after_the_ack_is_said_again() {
    for (code, wait) in [(RejectCode::ChainPending, 2_000), (RejectCode::Rate, 700)] {
        let mut b = Buying::new();
        let v = b.open();
        b.reject(ms(5_000), &v, code, 700);
        let again = ms(5_000 + wait);
        let early = again - Duration::from_millis(1);
        b.payer.tick(early);
        assert_eq!(commits(&b.run(early)), [], "{code:?}");
        b.payer.tick(again);
        assert_eq!(b.run(again).commit(), v, "{code:?}");
    }
}

#[test]
fn a_refusal_of_a_voucher_that_is_not_here_or_of_a_quote_that_was_taken_changes_nothing() {
    for code in [RejectCode::NotCovered, RejectCode::ConsumedOrClosed] {
        let mut b = Buying::new();
        let mut other = b.open();
        other.root.0[0] ^= 1;
        b.reject(ms(20), &other, code, 0);
        assert_eq!(b.payer.status(A), PayerConnState::Attached, "{code:?}");
    }
    for code in [RejectCode::PriceOrQuote, RejectCode::BadPreimage] {
        let mut b = Buying::new();
        let v = b.open();
        b.reject(ms(20), &v, code, 0);
        assert_eq!(b.payer.status(A), PayerConnState::Attached, "{code:?}");
        assert_eq!(b.payer.price(A), Some(UNIT));
        assert_eq!(b.buy(ms(30), 0..4).paid_to(), Some((1, v.tag(), 4)));
    }
}

#[test]
fn a_payee_that_counts_too_much_to_open_a_second_range_is_bought_from_no_more() {
    let (mut b, _) = Buying::open_of(4);
    let two = b.buy(ms(5_000), 0..1).commit();
    b.reject(ms(5_010), &two, RejectCode::OverCredit, 4);
    assert_eq!(b.payer.status(A), ended(EndReason::PhantomDebt));
}

#[test]
fn a_payee_ends_the_purchase_if_it_counts_a_whole_credit_of_blocks_and_none_ever_came() {
    type Before = fn(&mut Buying);
    let cases: [(&str, Before, u32, bool); 4] = [
        ("none came", |_| {}, 64, true),
        ("within the credit", |_| {}, 63, false),
        ("one came", |b| b.receive(A, block(0)), 64, false),
        (
            "four were paid",
            |b| {
                b.buy(ms(100), 0..4);
            },
            64,
            false,
        ),
    ];
    for (named, before, unpaid, ends) in cases {
        let mut b = Buying::new();
        let v = b.open();
        before(&mut b);
        b.reject(ms(200), &v, RejectCode::OverCredit, unpaid);
        let is_ended = b.payer.status(A) == ended(EndReason::PhantomDebt);
        assert_eq!(is_ended, ends, "{named}");
    }
}

#[test]
fn blocks_that_come_after_the_last_range_was_refused_cost_nothing() {
    let mut b = Buying::new();
    let v = b.open();
    b.payer.request_sent(A);
    b.reject(ms(20), &v, RejectCode::Exiting, 0);
    b.payer.block_received(A, block(0));
    assert!(!b.payer.payable(ms(30), A, verified(block(0))));
    assert_eq!(b.payer.totals().unpaid_blocks, 0);
}

#[test]
fn blocks_under_way_are_paid_on_the_range_that_is_left_when_the_second_is_refused() {
    let (mut b, one) = Buying::open_of(4);
    let two = b.buy(ms(5_000), 0..1).commit();
    b.payer.request_sent(A);
    b.reject(ms(5_010), &two, RejectCode::Exiting, 0);
    let refused = EndReason::Rejected(RejectCode::Exiting);
    assert_eq!(b.payer.status(A), ended(refused));
    b.payer.block_received(A, block(1));
    assert!(b.payer.payable(ms(5_020), A, verified(block(1))));
    let paid = b.run(ms(5_020)).paid_to();
    assert_eq!(paid, Some((one.first, one.tag(), 2)));
}

// ---- NEED

#[test]
fn nobody_closes_the_range_of_another_connection() {
    let mut b = Buying::new();
    let v = b.open();
    b.payer.connected(ms(20), B, info_at("198.51.100.9"));
    for reason in [NeedReason::RangeClosed, NeedReason::Fold] {
        b.say(ms(5_000), B, need(reason, v.first));
    }
    assert_eq!(b.payer.status(A), PayerConnState::Attached);
    let done = b.buy(ms(5_100), 0..4);
    assert_eq!(done.paid_to(), Some((v.first, v.tag(), 4)));
    assert_eq!(commits(&done), []);
}

#[test]
fn no_block_is_advanced_where_no_range_is_attached_or_buying_ended() {
    type Change = fn(&mut Buying);
    let cases: [(&str, Change, Option<u32>); 3] = [
        ("attached", |_| {}, Some(2)),
        (
            "closed",
            |b| {
                b.say(ms(20), A, need(NeedReason::RangeClosed, 1));
            },
            None,
        ),
        ("stopped", |b| b.payer.stop(ms(20), A), None),
    ];
    for (named, change, blocks) in cases {
        let mut b = Buying::new();
        let v = b.connect(ms(0), A, V1).commit();
        b.ack_with(ms(10), A, &v, 4);
        (0..4).for_each(|n| b.receive(A, block(n)));
        change(&mut b);
        assert_eq!(b.payer.needs_advance(A), blocks, "{named}");
    }
    let mut b = Buying::new();
    let v = b.connect(ms(0), A, V1).commit();
    b.ack_with(ms(10), A, &v, 0);
    assert_eq!(b.payer.needs_advance(A), None, "no credit");
}

// ---- STATE

/// Blocks are paid, of which the records know nothing: the run ends before. Answers what the payee can show.
fn forgets(b: &mut Buying, now: Timestamp, v: &VoucherBody, blocks: u32) -> PayMessage {
    let before = b.store.clone();
    let done = b.buy(ms(5_000), 0..blocks);
    let shows = done.sent.iter().find_map(|(_, m)| match m {
        PayMessage::Pay { k, w, .. } => Some(PayMessage::State {
            payee: PAYEE,
            voucher: *v,
            k: *k,
            w: *w,
        }),
        _ => None,
    });
    b.store = before;
    b.restart(now);
    b.connect(now, A, V1);
    shows.unwrap()
}

#[test]
fn a_payee_that_is_ahead_on_the_last_range_on_record_does_not_hold_the_account() {
    let mut b = Buying::new();
    let v = b.open();
    let shows = forgets(&mut b, ms(20_000), &v, 40);
    let fold = b.say(ms(20_010), A, shows).commit();
    assert_eq!((fold.first, fold.base.0), (v.first, 40 * UNIT.0));
    assert_eq!(b.payer.held_account(), None);
}

#[test]
fn the_next_range_follows_at_once_if_a_payee_shows_that_its_range_is_used_up() {
    let (mut b, v) = Buying::open_of(4);
    let shows = forgets(&mut b, ms(20_000), &v, 4);
    let done = b.say(ms(22_000), A, shows);
    assert_eq!(b.payer.totals().spent, Q.fine());
    assert_eq!(done.commit().first, v.first + 1);
}

#[test]
fn a_payee_that_is_ahead_on_a_third_range_is_credited_and_offered_no_third_one() {
    let mut b = Buying::new();
    let one = b.open();
    b.buy(ms(100), 0..4);
    let done = b.say(ms(2_000), A, need(NeedReason::NextRange, one.first));
    let two = done.commit();
    b.ack(ms(2_010), A, &two, 0);
    let (held, chain) = voucher(3, FineUnits(0), 5);
    let done = b.say(ms(5_000), A, state(&held, &chain, 30));
    assert_eq!(commits(&done), []);
    assert_eq!(b.payer.totals().spent.0, 34 * UNIT.0);
    assert_eq!(b.payer.status(A), PayerConnState::Attached);
}

#[test]
fn an_own_signature_over_other_serials_or_a_lottery_is_not_adopted() {
    let (mut wider, chain) = voucher(1, FineUnits(0), 5);
    wider.count = 2;
    let (mut lottery, same_chain) = voucher(1, FineUnits(0), 5);
    lottery.luck = B256::repeat_byte(1);
    for (held, chain) in [(wider, chain), (lottery, same_chain)] {
        let mut b = Buying::new();
        b.open();
        let done = b.say(ms(2_000), A, state(&held, &chain, 30));
        assert_eq!(commits(&done), []);
        assert_eq!(b.payer.status(A), ended(EndReason::Inconsistent));
        assert_eq!(b.payer.totals().spent, FineUnits(0));
    }
}

#[test]
fn what_a_seller_shows_after_the_end_or_under_a_name_it_does_not_quote_is_not_looked_at() {
    let (held, chain) = voucher(1, FineUnits(0), 5);
    type Change = fn(&mut Buying);
    let cases: [(&str, Change); 2] = [
        ("stopped", |b| b.payer.stop(ms(20), A)),
        ("another payee's quote", |b| {
            let mut other = terms(UNIT);
            other.payee.0[0] ^= 1;
            b.say(ms(20), A, PayMessage::Terms(other));
        }),
    ];
    for (named, change) in cases {
        let mut b = Buying::new();
        b.open();
        change(&mut b);
        let before = b.payer.status(A);
        b.run(ms(30));
        b.payer.message(ms(2_000), A, state(&held, &chain, 30));
        let done = b.run_to(ms(2_000), |action| matches!(action, PayAction::Event(_)));
        assert!(done.events.is_empty(), "{named}: {:?}", done.events);
        assert_eq!(b.payer.status(A), before, "{named}");
        assert_eq!(b.payer.totals().spent, FineUnits(0), "{named}");
        assert_eq!(b.payer.held_account(), None, "{named}");
    }
}

#[test]
fn a_signature_for_another_owner_or_under_what_is_no_voucher_is_no_proof_of_a_promise() {
    let (proof, _) = voucher(40, FineUnits(0), 5);
    let (mut other_owner, mut too_long) = (proof, proof);
    other_owner.owner.0[0] ^= 1;
    too_long.steps = 257;
    for (named, shown, holds) in [
        ("as it was promised", proof, true),
        ("another owner's", other_owner, false),
        ("of too many steps", too_long, false),
    ] {
        let mut b = Buying::new();
        b.open();
        let (payee, voucher) = (PAYEE, body(&shown));
        b.say(ms(20), A, PayMessage::Seen { payee, voucher });
        assert_eq!(b.payer.held_account().is_some(), holds, "{named}");
    }
}
