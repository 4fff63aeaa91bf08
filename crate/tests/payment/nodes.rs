//! What a seller and a buyer believe of a node that is behind, contradicts itself, or answers once and never again.

use crate::hand::*;
use crate::shop::*;
use piecework::payment::PayEvent;
use piecework::payment::payee::{ClaimOutcome, RedeemScope};
use piecework::time::Duration;
use piecework::types::{FineUnits, TokenUnits};
use piecework::wire::pay::RejectCode;

const NOTHING: FineUnits = FineUnits(0);

/// A seller whom a buyer owes two ranges of 200 blocks.
fn owed() -> (Shop, Buyer) {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=2, 200);
    (s, buyer)
}

/// Whether the buyer gets blocks for a range that it promises now.
fn is_served(s: &mut Shop, buyer: &Buyer, first: u32) -> bool {
    s.connect(buyer.conn, "");
    let refused = s.commit(buyer, &buyer.promise(first, 1, Q, NOTHING));
    let served = refused.is_none() && s.payee.may_send(buyer.conn);
    s.leave(buyer.conn);
    served
}

#[test]
fn one_answer_that_an_account_withdrew_makes_no_voucher_worthless() {
    // Read at its own time, for a redemption, or for a promise.
    for at in ["its own time", "a redemption", "a promise"] {
        let (mut s, buyer) = owed();
        let state = s.chain[&buyer.account];
        s.chain.insert(buyer.account, withdrawn(state));
        match at {
            "its own time" => s.later(Duration::from_secs(31)),
            "a redemption" => {
                s.restart();
                assert!(s.take(RedeemScope::All).is_empty(), "it would pay nothing");
            }
            _ => assert!(!is_served(&mut s, &buyer, 3)),
        }
        s.chain.insert(buyer.account, state);
        s.later(hours(1));
        assert_eq!(s.said(|e| matches!(e, PayEvent::LeftUnredeemed { .. })), 0);
        assert_eq!(s.records(buyer.account), 2, "{at}");
        assert_eq!(s.take(RedeemScope::All).len(), 2, "{at}");
    }
}

#[test]
fn an_account_that_withdrew_is_believed_when_the_chain_still_says_so_an_hour_later() {
    let (mut s, buyer) = owed();
    let state = s.chain[&buyer.account];
    s.restart();
    s.chain.insert(buyer.account, withdrawn(state));
    s.later(Duration::from_secs(1_801));
    s.later(Duration::from_secs(3_590));
    assert_eq!(s.records(buyer.account), 2);
    s.later(Duration::from_secs(10));
    assert_eq!(s.records(buyer.account), 0);
    let gone = |e: &PayEvent| {
        let all = TokenUnits(4_000);
        matches!(e, PayEvent::LeftUnredeemed { due, .. } if *due == all)
    };
    assert_eq!(s.said(gone), 1);
}

#[test]
fn a_buyer_whose_exit_was_undone_is_served_again() {
    let (mut s, buyer) = owed();
    let state = s.chain[&buyer.account];
    s.chain.get_mut(&buyer.account).unwrap().exit_at = s.now.as_secs() + 72 * 3_600;
    s.later(Duration::from_secs(1_801));
    let exits = |s: &Shop| s.said(|e| matches!(e, PayEvent::Exiting { .. }));
    assert_eq!(exits(&s), 1);
    assert!(!is_served(&mut s, &buyer, 3));
    // It was in a block that is no part of the chain any more.
    s.chain.insert(buyer.account, state);
    s.later(hours(1));
    assert!(is_served(&mut s, &buyer, 4));
    // One answer of a node that is behind hides a true exit for no longer than until the next, half a minute later.
    s.chain.get_mut(&buyer.account).unwrap().exit_at = s.now.as_secs() + 72 * 3_600;
    s.later(hours(1));
    assert_eq!(exits(&s), 2);
    let exiting = s.chain.insert(buyer.account, state).unwrap();
    let reads = s.reads.len();
    while s.reads.len() == reads {
        s.later(Duration::from_secs(1));
    }
    s.chain.insert(buyer.account, exiting);
    s.later(Duration::from_secs(30));
    assert_eq!(exits(&s), 3);
}

#[test]
fn a_claim_whose_end_was_not_seen_leaves_again_only_if_the_chain_does_not_show_it() {
    for is_in in [true, false] {
        let (mut s, buyer) = owed();
        let claims = s.take(RedeemScope::All);
        assert_eq!(claims.len(), 2);
        s.ended(&claims, |_| ClaimOutcome::Unknown);
        // One of the two got there, or somebody else's did.
        if is_in {
            s.consume(buyer.account, 1, 1, claims[0].due);
        }
        let again = s.take(RedeemScope::All);
        assert_eq!(again.len(), 2 - usize::from(is_in));
    }
}

#[test]
fn a_claim_that_the_vault_did_not_cover_yet_leaves_again_when_the_chain_does() {
    let (mut s, buyer) = owed();
    let topped_up = s.chain[&buyer.account];
    let claims = s.take(RedeemScope::All);
    // The block that the claims got into was before the deposit's.
    s.chain.insert(buyer.account, deposit(10_000, Q.0));
    s.ended(&claims, |c| match c.id.first {
        1 => ClaimOutcome::Paid(c.due),
        _ => ClaimOutcome::Skipped(5),
    });
    assert!(s.take(RedeemScope::All).is_empty());
    s.chain.insert(buyer.account, topped_up);
    s.consume(buyer.account, 1, 1, claims[0].due);
    s.later(Duration::from_secs(601));
    let again = s.take(RedeemScope::All);
    assert_eq!(again.iter().map(|c| c.id.first).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_stale_answer_does_not_part_a_seller_from_its_buyer() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    let before = deposit(50_000, Q.0);
    let topped_up = deposit(2_000_000, Q.0);
    s.chain.insert(buyer.account, topped_up);
    s.connect(buyer.conn, "");
    let promise = buyer.promise(7, 1, Q, NOTHING);
    assert_eq!(s.commit(&buyer, &promise), None);
    // The look half a minute later is answered by another machine, which does not know of the top-up yet.
    s.chain.insert(buyer.account, before);
    s.later(Duration::from_secs(31));
    assert!(!s.payee.may_send(buyer.conn));
    s.chain.insert(buyer.account, topped_up);
    s.later(Duration::from_secs(2));
    assert_eq!(s.commit(&buyer, &promise), None);
    assert!(s.payee.may_send(buyer.conn));
    let refused = |e: &PayEvent| matches!(e, PayEvent::Rejected { code, .. } if *code != RejectCode::ChainPending);
    assert_eq!(s.said(refused), 0, "nothing that ends the range");
}
