//! Serials that somebody else seems to have redeemed: what a receipt that comes after all makes of them, and a deposit
//! that is taken back.

use piecework::payment::PayEvent;
use piecework::payment::payee::{ClaimOutcome, ReadyClaim, RedeemScope};
use piecework::types::TokenUnits;

use crate::hand::*;
use crate::shop::*;

/// A seller of two ranges of 256 blocks at 10 token units. The first one's claim did not leave, as was told; and the
/// chain shows its serial consumed.
fn robbed() -> (Shop, Buyer, Vec<ReadyClaim>) {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=1, 256);
    let claims = s.take(RedeemScope::All);
    s.buys(&buyer, 2..=2, 256);
    s.consume(buyer.account, 1, 1, claims[0].due);
    s.later(hours(2));
    s.ended(&claims, |_| ClaimOutcome::Failed);
    let conflict = |e: &PayEvent| matches!(e, PayEvent::Conflict { serial: 1, .. });
    assert_eq!(s.said(conflict), 1);
    assert_eq!(s.payee.totals().redeemed, TokenUnits(0));
    (s, buyer, claims)
}

#[test]
fn a_receipt_counts_though_the_claim_was_called_lost_before() {
    let (mut s, buyer, claims) = robbed();
    s.ended(&claims, |claim| ClaimOutcome::Paid(claim.due));
    assert_eq!(s.payee.totals().redeemed, TokenUnits(2_560));
    s.ended(&claims, |claim| ClaimOutcome::Paid(claim.due));
    assert_eq!(s.payee.totals().redeemed, TokenUnits(2_560), "once");
    s.later(hours(12));
    assert_eq!(s.records(buyer.account), 1, "of the second range");
}

#[test]
fn of_a_deposit_that_is_taken_back_what_was_lost_before_is_not_mourned_again() {
    let (mut s, buyer, _) = robbed();
    let state = s.chain[&buyer.account];
    s.chain.insert(buyer.account, withdrawn(state));
    s.later(hours(24));
    let account = buyer.account;
    let due = TokenUnits(2_560);
    let left = PayEvent::LeftUnredeemed { account, due };
    assert_eq!(s.said(|e| *e == left), 1, "the second range's");
    assert_eq!(s.records(account), 0);
}
