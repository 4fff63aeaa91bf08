//! What a seller does at the ends of its times and windows: when a range is due, and who waits for whom.

use std::collections::BTreeMap;

use crate::hand::*;
use crate::shop::*;
use piecework::payment::payee::{ClaimOutcome, RedeemScope};
use piecework::payment::record::{Key, PayeeFactsRecord};
use piecework::time::Duration;
use piecework::types::{FineUnits, TokenUnits};
use piecework::wire::pay::RejectCode;

const NOTHING: FineUnits = FineUnits(0);

/// A buyer with a deposit, at a shop whose dust limit one range of 200 blocks passes.
fn customer() -> (Shop, Buyer) {
    let mut s = Shop::with(&BTreeMap::new(), |config| {
        *config = config.with_dust(TokenUnits(1_000));
    });
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    (s, buyer)
}

#[test]
fn a_range_in_use_is_not_due_however_long_and_one_left_alone_is_after_ten_minutes() {
    let (mut s, buyer) = customer();
    s.connect(buyer.conn, "");
    let promise = buyer.promise(1, 1, Q, NOTHING);
    assert_eq!(s.commit(&buyer, &promise), None);
    assert_eq!(s.sell(&buyer, &promise, 0, 200), 200);
    s.later(hours(1));
    assert_eq!(s.due_said(), 0);
    assert!(s.take(RedeemScope::Due).is_empty(), "it is in use");
    s.leave(buyer.conn);
    let idle = s.config.redeem_idle;
    s.later(Duration::from_millis(
        u64::try_from(idle.as_millis()).unwrap() - 1,
    ));
    assert_eq!(s.due_said(), 0, "it may come back");
    s.later(Duration::from_millis(1));
    assert_eq!(s.due_said(), 1);
    let claims = s.take(RedeemScope::Due);
    assert_eq!(claims.iter().map(|c| c.due.0).sum::<u128>(), 2_000);
}

#[test]
fn what_is_due_is_said_once_and_again_after_a_redemption() {
    let (mut s, buyer) = customer();
    s.buys(&buyer, 1..=1, 200);
    s.later(hours(1));
    s.later(hours(1));
    assert_eq!(s.due_said(), 1);
    let claims = s.take(RedeemScope::Due);
    s.pays(&claims);
    s.later(Duration::from_secs(60));
    s.buys(&buyer, 2..=2, 200);
    s.later(hours(1));
    assert_eq!(s.due_said(), 2);
}

#[test]
fn who_bought_before_does_not_wait_for_strangers() {
    let regular = Buyer::new(100);
    let facts = PayeeFactsRecord {
        paid_total: 3,
        ..PayeeFactsRecord::default()
    };
    let key = Key::PayeeFacts(regular.account).text(&vault());
    let store = BTreeMap::from([(key, facts.encode())]);
    let mut s = Shop::with(&store, |_| {});
    s.chain.insert(regular.account, deposit(2_000_000, Q.0));
    s.slow = Some(Vec::new());
    let asks = |s: &mut Shop, buyer: &Buyer| {
        s.connect(buyer.conn, &format!("203.0.113.{}", buyer.conn.0));
        s.commit(buyer, &buyer.promise(1, 1, Q, NOTHING))
    };
    for n in 0..8 {
        assert_eq!(asks(&mut s, &Buyer::new(n)), None, "{n}");
    }
    assert_eq!(asks(&mut s, &Buyer::new(8)), Some(RejectCode::Rate));
    assert_eq!(asks(&mut s, &regular), None);
    s.answers_arrive();
    assert!(s.payee.is_paying(regular.conn));
}

#[test]
fn the_sums_are_those_of_all_ranges_and_accounts() {
    let (mut s, buyer) = customer();
    let other = Buyer::new(2);
    s.chain.insert(other.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=2, 200);
    s.buys(&other, 1..=1, 150);
    let totals = s.payee.totals();
    assert_eq!(totals.ranges, 3);
    assert_eq!(totals.redeemable, TokenUnits(5_500));
    assert_eq!(totals.earned, TokenUnits(5_500).fine());
    assert_eq!((totals.rests, totals.redeemed), (NOTHING, TokenUnits(0)));
    assert_eq!((totals.paid_blocks, totals.lost_blocks), (550, 0));
    let claims = s.take(RedeemScope::All);
    s.pays(&claims[..1]);
    s.ended(&claims[1..], |_| ClaimOutcome::Failed);
    let totals = s.payee.totals();
    assert_eq!((totals.ranges, totals.paid_blocks), (2, 550));
    let redeemed = claims[0].due;
    assert_eq!(totals.redeemed, redeemed);
    assert_eq!(totals.redeemable.0, 5_500 - redeemed.0);
    s.restart();
    let again = s.payee.totals();
    assert_eq!(
        (again.redeemed, again.redeemable, again.paid_blocks),
        (totals.redeemed, totals.redeemable, totals.paid_blocks)
    );
}
