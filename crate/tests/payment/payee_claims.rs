//! What a seller redeems and when, whose doing it takes a redemption for, and when it forgets a promise.

use crate::hand::*;
use crate::shop::*;
use piecework::payment::PayEvent;
use piecework::payment::payee::{CLOSE_GRACE, ClaimOutcome, ReadyClaim, RedeemScope};
use piecework::time::Duration;
use piecework::types::{ConnectionId, FineUnits, TokenUnits};

const NOTHING: FineUnits = FineUnits(0);

fn customer() -> (Shop, Buyer) {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    (s, buyer)
}

fn worth(claims: &[ReadyClaim]) -> Vec<u128> {
    claims.iter().map(|c| c.due.0).collect()
}

fn conflicts(s: &Shop) -> usize {
    s.said(|e| matches!(e, PayEvent::Conflict { .. }))
}

#[test]
fn a_claim_waits_two_seconds_for_what_its_buyer_still_owes_and_takes_it_along() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, NOTHING, 1);
    s.commit(ms(0), A, &v);
    s.say(ms(10), A, pay(&v, &chain, 100));
    assert_eq!(s.write(ms(20), A, 3), 3);
    let ready = |done: &Done| {
        let said = |e: &PayEvent| match e {
            PayEvent::ClaimsReady { count, due } => Some((*count, due.0)),
            _ => None,
        };
        done.events.iter().find_map(said)
    };
    let now = ms(1_000);
    s.payee.prepare_redeem(now, RedeemScope::All);
    assert_eq!(ready(&s.run(now)), None);
    assert!(s.payee.claims().is_empty());
    s.say(ms(1_500), A, pay(&v, &chain, 103));
    let end = now + CLOSE_GRACE;
    while s.payee.next_timeout() < end {
        let at = s.payee.next_timeout();
        s.payee.tick(at);
        assert_eq!(ready(&s.run(at)), None, "{at:?}");
    }
    s.payee.tick(end);
    assert_eq!(ready(&s.run(end)), Some((1, 1_030)));
    assert_eq!(worth(&s.payee.take_claims(end, 9)), [1_030]);
}

#[test]
fn ranges_on_which_nothing_was_paid_and_those_worth_their_gas_are_no_crumbs() {
    let (mut s, buyer) = customer();
    s.buys(&buyer, 1..=3, 0);
    s.buys(&buyer, 4..=5, 100);
    s.buys(&buyer, 6..=6, 1);
    assert_eq!(worth(&s.take(RedeemScope::All)), [1_000, 1_000, 10]);
}

#[test]
fn claims_that_had_no_room_in_a_transaction_keep_their_place() {
    let mut s = Shop::new();
    for (n, blocks) in [(1, 150), (2, 250), (3, 200)] {
        let buyer = Buyer::new(n);
        s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
        s.buys(&buyer, 1..=1, blocks);
    }
    let claims = s.take(RedeemScope::All);
    assert_eq!(worth(&claims), [2_500, 2_000, 1_500]);
    s.ended(&claims[1..], |_| ClaimOutcome::Unsent);
    s.ended(&claims[..1], |_| ClaimOutcome::Failed);
    assert_eq!(worth(&s.take(RedeemScope::All)), [2_000, 1_500, 2_500]);
}

#[test]
fn an_account_at_its_limit_is_choked_and_whatever_it_owes_that_is_worth_its_gas_is_due() {
    let mut s = Shop::with(&Default::default(), |config| {
        *config = config.with_dust(TokenUnits(1_000));
        config.exposure_least_ranges = 0;
    });
    let q = TokenUnits(1_000);
    let buyer = Buyer::new(1);
    // A quarter of its bond: 500 blocks.
    s.chain.insert(buyer.account, deposit(16_000, q.0));
    let mut sold = 0;
    for first in 1..=6 {
        s.connect(buyer.conn, "");
        let promise = buyer.promise(first, 1, q, NOTHING);
        assert_eq!(s.commit(&buyer, &promise), None, "{first}");
        sold += s.sell(&buyer, &promise, 0, 90);
        if first < 6 {
            s.leave(buyer.conn);
        }
    }
    assert_eq!(sold, 500);
    assert!(!s.payee.is_unchoked(buyer.conn));
    // None of them is worth the dust limit, but nothing more would ever be sold.
    let claims = s.take(RedeemScope::Due);
    assert_eq!(worth(&claims), [900, 900, 900, 900, 900, 500]);
}

#[test]
fn the_failure_of_a_second_claim_takes_nothing_from_what_the_first_brought() {
    for outcome in [ClaimOutcome::Skipped(6), ClaimOutcome::Failed] {
        let (mut s, buyer) = customer();
        s.buys(&buyer, 1..=1, 256);
        let claims = s.take(RedeemScope::All);
        s.ended(&claims, |_| ClaimOutcome::Unknown);
        let again = s.take(RedeemScope::All);
        assert_eq!(again.len(), 1);
        s.consume(buyer.account, 1, 1, claims[0].due);
        s.later(hours(2));
        s.ended(&again, |_| outcome);
        let redeemed = s.payee.totals().redeemed;
        assert_eq!((conflicts(&s), redeemed), (0, claims[0].due), "{outcome:?}");
    }
}

#[test]
fn who_deposits_more_while_a_claim_is_on_its_way_is_not_taken_for_a_thief() {
    let (mut s, buyer) = customer();
    s.buys(&buyer, 1..=1, 256);
    let claims = s.take(RedeemScope::All);
    s.ended(&claims, |_| ClaimOutcome::Unknown);
    s.consume(buyer.account, 1, 1, claims[0].due);
    let state = s.chain.get_mut(&buyer.account).unwrap();
    state.balance.0 += 1_000_000;
    state.bond.0 += 1_250_000;
    s.later(hours(2));
    assert_eq!(
        (conflicts(&s), s.payee.totals().redeemed),
        (0, claims[0].due)
    );
}

#[test]
fn what_another_chain_says_of_an_account_costs_it_nothing() {
    let (mut s, buyer) = customer();
    s.buys(&buyer, 1..=2, 200);
    let mut other = withdrawn(s.chain[&buyer.account]);
    other.chain_id = 1;
    let right = s.chain.insert(buyer.account, other).unwrap();
    s.later(hours(4));
    assert!(s.said(|e| matches!(e, PayEvent::ChainMismatch { chain_id: 1 })) > 1);
    assert_eq!(s.records(buyer.account), 2);
    s.chain.insert(buyer.account, right);
    s.later(hours(1));
    assert_eq!(worth(&s.take(RedeemScope::All)), [2_000, 2_000]);
}

#[test]
fn who_left_lately_is_read_often_for_an_exit_takes_hours() {
    let (mut s, buyer) = customer();
    s.buys(&buyer, 1..=1, 100);
    s.later(Duration::from_secs(600));
    let reads = s.reads.len();
    s.later(hours(8));
    // Half an hour apart at first, then when it has been away half as long again.
    assert_eq!(s.reads.len() - reads, 7);
}

#[test]
fn who_is_connected_may_begin_to_pay_after_days() {
    let (mut s, buyer) = customer();
    s.connect(buyer.conn, "");
    let promise = buyer.promise(1, 1, Q, NOTHING);
    assert_eq!(s.commit(&buyer, &promise), None);
    s.later(hours(50));
    assert_eq!(s.sell(&buyer, &promise, 0, 9), 9);
    assert_eq!(s.payee.totals().redeemable, TokenUnits(90));
}

#[test]
fn a_withdrawal_loses_what_was_paid_and_who_deposits_anew_buys_again() {
    for (blocks, lost) in [(0, 0), (200, 1)] {
        let (mut s, buyer) = customer();
        // Somebody else is here all the time.
        s.connect(ConnectionId(1), "");
        s.buys(&buyer, 1..=1, blocks);
        let before = s.chain[&buyer.account];
        s.chain.get_mut(&buyer.account).unwrap().exit_at = 40_000;
        s.later(hours(2));
        s.chain.insert(buyer.account, withdrawn(before));
        s.later(hours(9));
        assert_eq!(s.records(buyer.account), 0);
        let said = s.said(|e| matches!(e, PayEvent::LeftUnredeemed { .. }));
        assert_eq!(said, lost, "{blocks} blocks");
        s.chain.insert(buyer.account, before);
        s.buys(&buyer, 2..=2, 10);
        assert_eq!(s.payee.totals().paid_blocks, u64::from(blocks) + 10);
    }
}

#[test]
fn only_the_claims_of_a_buyer_that_withdraws_are_a_last_chance() {
    let (mut s, stays) = customer();
    let leaves = Buyer::new(2);
    s.chain.insert(leaves.account, deposit(2_000_000, Q.0));
    s.buys(&stays, 1..=1, 100);
    s.buys(&leaves, 1..=2, 200);
    s.chain.get_mut(&leaves.account).unwrap().exit_at = 40_000;
    s.later(hours(2));
    let mut last: Vec<_> = (s.take(RedeemScope::All).iter())
        .map(|claim| (claim.id.account == leaves.account, claim.is_last_chance))
        .collect();
    last.sort_unstable();
    assert_eq!(last, [(false, false), (true, true), (true, true)]);
}

#[test]
fn a_range_left_alone_is_due_though_others_were_served_at_that_very_time() {
    let mut s = Shop::with(&Default::default(), |config| {
        *config = config.with_dust(TokenUnits(1_000));
    });
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=1, 200);
    let due = s.now + s.config.redeem_idle;
    s.later(s.config.redeem_idle - Duration::from_millis(1));
    assert_eq!(s.payee.next_timeout(), due);
    // An input comes just before the clock does.
    s.now = due + Duration::from_millis(1);
    s.connect(ConnectionId(1), "");
    assert!(s.payee.next_timeout() <= s.now);
    s.payee.tick(s.now);
    s.run();
    assert_eq!(s.due_said(), 1);
}
