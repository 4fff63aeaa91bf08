//! What buyers who mean harm can cost a seller: its redemptions, its ledger, its memory, its reads of the chain.

use std::collections::BTreeMap;

use crate::hand::*;
use crate::shop::*;
use alloy_primitives::{Address, B256, U256, keccak256};
use piecework::payment::PayEvent;
use piecework::payment::ledger::Credit;
use piecework::payment::payee::{ClaimOutcome, MAX_ACCOUNTS, RedeemScope};
use piecework::payment::record::{Key, PayeeFactsRecord, PayeeRangeLife, PayeeRangeRecord};
use piecework::payment::voucher;
use piecework::time::Duration;
use piecework::types::{ConnectionId, FineUnits, TokenUnits};
use piecework::wire::pay::{PayMessage, RejectCode};

const NOTHING: FineUnits = FineUnits(0);

/// Three accounts that come first by their ids leave 180 claims; an honest one leaves one that is worth less.
fn crowded(blocks: u16) -> (Shop, Vec<Buyer>, Buyer) {
    let mut s = Shop::new();
    let honest = Buyer::new(0);
    let crowd: Vec<Buyer> = Buyer::before(&[&honest]).take(3).collect();
    for buyer in &crowd {
        s.chain.insert(buyer.account, deposit(6_000_000, Q.0));
        s.buys(buyer, 1..=60, blocks);
    }
    s.chain.insert(honest.account, deposit(2_000_000, Q.0));
    s.buys(&honest, 1..=1, 150);
    (s, crowd, honest)
}

#[test]
fn claims_of_withdrawn_accounts_take_no_place_in_a_batch() {
    // Whether or not they were read meanwhile; and in a process that begins, redeems once and ends.
    for (hours_later, restarts) in [(24, false), (0, true), (24, true)] {
        let (mut s, crowd, honest) = crowded(200);
        for buyer in &crowd {
            let state = s.chain[&buyer.account];
            s.chain.insert(buyer.account, withdrawn(state));
        }
        s.later(hours(hours_later));
        if restarts {
            s.restart();
        }
        let claims = s.take(RedeemScope::All);
        let accounts: Vec<B256> = claims.iter().map(|c| c.id.account).collect();
        assert_eq!(
            accounts,
            [honest.account],
            "{hours_later} h, restarts: {restarts}"
        );
    }
}

#[test]
fn claims_whose_batch_failed_leave_after_all_others() {
    let (mut s, crowd, honest) = crowded(200);
    // Nothing tells that they are worth nothing but that their transaction would revert.
    let mut rounds = 0;
    loop {
        let claims = s.take(RedeemScope::All);
        assert!(!claims.is_empty(), "round {rounds}");
        if claims.iter().any(|c| c.id.account == honest.account) {
            break;
        }
        s.ended(&claims, |_| ClaimOutcome::Failed);
        rounds += 1;
    }
    assert_eq!(rounds, 1, "180 claims are two batches");
    assert_eq!(crowd.len(), 3);
    // One failure of the honest one does not shut it out either.
    let mut s = Shop::new();
    s.chain.insert(honest.account, deposit(2_000_000, Q.0));
    s.buys(&honest, 1..=1, 150);
    let claims = s.take(RedeemScope::All);
    s.ended(&claims, |_| ClaimOutcome::Failed);
    assert_eq!(s.take(RedeemScope::All).len(), 1);
}

#[test]
fn claims_leave_by_worth() {
    let mut s = Shop::new();
    for (n, blocks) in [(1, 150), (2, 250), (3, 200)] {
        let buyer = Buyer::new(n);
        s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
        s.buys(&buyer, 1..=1, blocks);
    }
    let worth: Vec<u128> = (s.take(RedeemScope::All).iter()).map(|c| c.due.0).collect();
    assert_eq!(worth, [2_500, 2_000, 1_500]);
}

#[test]
fn what_the_chain_does_not_cover_or_says_is_consumed_stays_out_of_a_batch() {
    let mut s = Shop::new();
    let [good, uncovered, consumed] = [1, 2, 3].map(Buyer::new);
    for buyer in [&good, &uncovered, &consumed] {
        s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
        s.buys(buyer, 5..=5, 200);
    }
    let state = s.chain.get_mut(&uncovered.account).unwrap();
    state.balance = TokenUnits(30_000);
    s.consume(consumed.account, 5, 1, TokenUnits(1));
    s.later(Duration::from_secs(601));
    let claims = s.take(RedeemScope::All);
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].id.account, good.account);
    // Covered again (a reorg was undone), it can be claimed.
    s.chain.get_mut(&uncovered.account).unwrap().balance = TokenUnits(2_000_000);
    s.later(Duration::from_secs(601));
    let claims = s.take(RedeemScope::All);
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].id.account, uncovered.account);
}

#[test]
fn a_chain_that_cannot_be_asked_does_not_hold_the_claims_up() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=1, 200);
    s.offline = true;
    s.restart();
    assert_eq!(s.take(RedeemScope::All).len(), 1);
    assert_eq!(s.said(|e| matches!(e, PayEvent::ClaimsReady { .. })), 1);
}

#[test]
fn a_withdrawn_account_is_neither_read_nor_counted_nor_stored_any_more() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=3, 250);
    let claims = s.take(RedeemScope::All);
    s.pays(&claims[..1]);
    s.ended(&claims[1..], |_| ClaimOutcome::Failed);
    let state = s.chain[&buyer.account];
    s.chain.insert(buyer.account, withdrawn(state));
    s.later(hours(24));
    let lost = |e: &PayEvent| {
        matches!(
            e,
            PayEvent::LeftUnredeemed {
                due: TokenUnits(5_000),
                ..
            }
        )
    };
    assert_eq!(s.said(lost), 1);
    assert_eq!(s.records(buyer.account), 0);
    let before = s.reads.len();
    s.later(hours(48));
    assert_eq!(s.reads.len(), before);
    let totals = s.payee.totals();
    let sums = (totals.redeemable.0, totals.earned.0, totals.redeemed.0);
    assert_eq!(sums, (0, 0, 2_500), "what was redeemed stays counted");
    s.restart();
    assert_eq!(s.payee.totals().redeemed.0, 2_500);
}

#[test]
fn vouchers_to_another_key_of_the_operator_are_left_alone_but_not_sold_for_again() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=1, 200);
    let records = s.store.clone();
    s.config.payee = Address::repeat_byte(0x34);
    s.restart();
    let reads = s.reads.len();
    s.later(hours(12));
    assert_eq!((s.payee.totals().redeemable.0, s.reads.len()), (0, reads));
    assert!(s.take(RedeemScope::All).is_empty());
    assert_eq!(s.store, records);
    s.connect(buyer.conn, "");
    let mut again = buyer.promise(1, 1, Q, NOTHING);
    again.v.payee = s.config.payee;
    assert_eq!(s.commit(&buyer, &again), Some(RejectCode::Conflict));
    assert_eq!(s.store, records);
    // With the first key it is money again.
    s.config.payee = PAYEE;
    s.restart();
    assert_eq!(s.take(RedeemScope::All).len(), 1);
}

// ---- what one account may owe

/// A deposit, and one large range of it: ten serials of 0.01. Its seller lends by the bond alone.
fn large(deposited: u128) -> (Shop, Buyer, Promise) {
    let mut s = Shop::with(&BTreeMap::new(), |config| config.exposure_least_ranges = 1);
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(deposited, Q.0));
    s.connect(buyer.conn, "");
    let promise = buyer.promise(1, 10, Q, NOTHING);
    assert_eq!(s.commit(&buyer, &promise), None);
    (s, buyer, promise)
}

/// Buys on a range with folds until it gets no more: how many blocks.
fn buy_all(s: &mut Shop, buyer: &Buyer, promise: &mut Promise) -> u64 {
    let mut blocks = 0;
    loop {
        let sold = s.sell(buyer, promise, 0, promise.v.steps);
        blocks += u64::from(sold);
        if sold < promise.v.steps {
            return blocks;
        }
        let (first, count) = (promise.v.first, promise.v.count);
        let base = promise.v.owed_at(sold);
        *promise = buyer.promise(first, count, Q, base);
        assert_eq!(s.commit(buyer, promise), None);
        s.later(Duration::from_secs(1));
    }
}

#[test]
fn what_an_account_owes_follows_its_bond_and_it_buys_on_once_some_is_redeemed() {
    // A quarter of its bond.
    for (deposited, limit) in [(120_000, 37_500), (160_000, 50_000)] {
        let (mut s, buyer, mut promise) = large(deposited);
        let blocks = buy_all(&mut s, &buyer, &mut promise);
        assert_eq!(u128::from(blocks) * 10, limit);
        assert_eq!(s.payee.totals().redeemable.0, limit);
        assert_eq!(s.due_said(), 1, "its range is live, and not full");
        // A further range, here or on another connection, changes nothing.
        s.later(Duration::from_secs(1));
        let next = buyer.promise(11, 1, Q, NOTHING);
        assert_eq!(s.commit(&buyer, &next), None);
        assert!(!s.payee.may_send(buyer.conn));
        s.leave(buyer.conn);
        s.connect(buyer.conn, "");
        let next = buyer.promise(11, 1, Q, FineUnits(1));
        assert_eq!(s.commit(&buyer, &next), None);
        assert!(!s.payee.may_send(buyer.conn));
        // By itself, what is due is redeemed; then there is room at once.
        let claims = s.take(RedeemScope::Due);
        assert_eq!(claims.len(), 1);
        s.pays(&claims);
        assert!(s.payee.may_send(buyer.conn));
    }
}

#[test]
fn a_node_that_was_behind_gives_nobody_at_its_limit_a_place() {
    let (mut s, buyer, mut promise) = large(120_000);
    buy_all(&mut s, &buyer, &mut promise);
    let state = s.chain[&buyer.account];
    let behind = piecework::payment::ChainState {
        balance: TokenUnits(0),
        ..state
    };
    s.chain.insert(buyer.account, behind);
    s.later(Duration::from_secs(61));
    s.chain.insert(buyer.account, state);
    // Asked for blocks, it would be sent none, and part in half a minute.
    assert_eq!(s.commit(&buyer, &promise), None);
    assert!(!s.payee.is_unchoked(buyer.conn) && !s.payee.may_send(buyer.conn));
    s.later(Duration::from_secs(31));
    let claims = s.take(RedeemScope::Due);
    s.pays(&claims);
    assert_eq!(s.commit(&buyer, &buyer.promise(11, 1, Q, NOTHING)), None);
    assert!(s.payee.may_send(buyer.conn));
}

#[test]
fn a_deposit_of_half_a_token_can_be_spent_whole_before_anything_is_redeemed() {
    for (deposited, limit) in [(100_000, 100_000), (20_000, 20_000)] {
        let mut s = Shop::new();
        let buyer = Buyer::new(1);
        s.chain.insert(buyer.account, deposit(deposited, Q.0));
        s.connect(buyer.conn, "");
        let serials = u16::try_from(deposited / Q.0).unwrap();
        let mut promise = buyer.promise(1, serials, Q, NOTHING);
        assert_eq!(s.commit(&buyer, &promise), None);
        let mut owed = 0;
        while owed < limit {
            let sold = s.sell(&buyer, &promise, 0, promise.v.steps);
            assert_eq!(sold, promise.v.steps, "after {owed}");
            owed += u128::from(sold) * 10;
            let base = promise.v.owed_at(sold);
            promise = buyer.promise(1, serials, Q, base);
            if owed < limit {
                assert_eq!(s.commit(&buyer, &promise), None);
            }
            s.later(Duration::from_secs(1));
        }
        assert_eq!(s.payee.totals().redeemable.0, limit);
    }
}

#[test]
fn a_second_live_range_of_an_account_at_its_limit_goes_on_when_the_first_is_redeemed() {
    let (mut s, buyer, mut promise) = large(160_000);
    let mut other = buyer.clone();
    other.conn = ConnectionId(77);
    s.connect(other.conn, "");
    assert_eq!(s.commit(&other, &buyer.promise(11, 1, Q, NOTHING)), None);
    assert!(s.payee.may_send(other.conn));
    buy_all(&mut s, &buyer, &mut promise);
    assert!(!s.payee.may_send(other.conn), "one limit for both");
    let claims = s.take(RedeemScope::Due);
    assert_eq!(claims.len(), 1, "the second has nothing to claim");
    s.pays(&claims);
    assert!(s.payee.may_send(other.conn));
}

#[test]
fn at_half_of_its_limit_a_live_range_is_due_so_that_a_seller_that_redeems_stalls_nobody() {
    let (mut s, buyer, mut promise) = large(250_000);
    let mut bought = 0;
    for next in [11, 16] {
        // A seller that redeems each time it is told.
        let told = s.due_said();
        while s.due_said() == told {
            let sold = s.sell(&buyer, &promise, 0, promise.v.steps);
            assert_eq!(sold, promise.v.steps, "it is never held");
            bought += u128::from(sold) * 10;
            let (first, count) = (promise.v.first, promise.v.count);
            promise = buyer.promise(first, count, Q, promise.v.owed_at(sold));
            assert_eq!(s.commit(&buyer, &promise), None);
        }
        let owed = s.payee.totals().redeemable.0;
        assert!((39_062..42_000).contains(&owed), "{owed}");
        let claims = s.take(RedeemScope::Due);
        assert_eq!(claims.len(), 1);
        s.pays(&claims);
        promise = buyer.promise(next, 5, Q, NOTHING);
        assert_eq!(s.commit(&buyer, &promise), None);
    }
    assert_eq!(s.payee.totals().redeemed.0, bought);
}

#[test]
fn however_large_a_bond_a_live_range_is_due_at_a_fixed_sum_once_it_is_half_used() {
    let (mut s, buyer, _) = large(2_000_000_000);
    s.config = s.config.with_dust(TokenUnits(1_000));
    s.restart();
    s.connect(buyer.conn, "");
    let mut promise = buyer.promise(11, 10, Q, NOTHING);
    assert_eq!(s.commit(&buyer, &promise), None);
    // 32 times the dust limit are 32,000, of a bond of 2,500 tokens, and the range is worth 100,000.
    let mut owed = 0;
    while s.due_said() == 0 {
        assert!(owed < 50_000, "{owed}");
        let sold = s.sell(&buyer, &promise, 0, 100);
        assert_eq!(sold, 100);
        owed += 1_000;
        promise = buyer.promise(11, 10, Q, promise.v.owed_at(sold));
        assert_eq!(s.commit(&buyer, &promise), None);
    }
    assert_eq!(owed, 50_000);
    assert_eq!(s.take(RedeemScope::Due).len(), 1);
}

#[test]
fn while_what_an_account_owes_grows_it_is_read_each_minute() {
    let (mut s, buyer, promise) = large(2_000_000);
    s.later(Duration::from_secs(31));
    let before = s.reads.len();
    for minute in 0..10 {
        s.sell(&buyer, &promise, minute * 10, 10);
        s.later(Duration::from_secs(60));
    }
    let grown = s.reads.len() - before;
    assert!((9..=11).contains(&grown), "{grown} reads in ten minutes");
    s.later(Duration::from_secs(60));
    let before = s.reads.len();
    s.later(hours(1));
    assert_eq!(s.reads.len() - before, 6, "then each ten minutes");
}

#[test]
fn a_bond_that_burns_takes_the_limit_with_it() {
    let (mut s, buyer, promise) = large(2_000_000);
    assert_eq!(s.sell(&buyer, &promise, 0, 100), 100);
    s.chain.get_mut(&buyer.account).unwrap().bond = TokenUnits(0);
    s.later(Duration::from_secs(61));
    // One least range, 0.01, is all that is left: it owes 0.001 of it.
    assert_eq!(s.sell(&buyer, &promise, 100, 156), 156);
    let mut fold = buyer.promise(1, 10, Q, promise.v.owed_at(256));
    assert_eq!(s.commit(&buyer, &fold), None);
    assert_eq!(buy_all(&mut s, &buyer, &mut fold), 1_000 - 256);
}

#[test]
fn what_somebody_else_redeemed_counts_against_the_limit_of_its_account_for_good() {
    let (mut s, buyer, mut promise) = large(160_000);
    let blocks = buy_all(&mut s, &buyer, &mut promise);
    assert_eq!(u128::from(blocks) * 10, 50_000, "a quarter of its bond");
    // It had promised the same serials to itself, and its claim comes first.
    let claims = s.take(RedeemScope::Due);
    s.consume(buyer.account, 1, 10, TokenUnits(100_000));
    s.ended(&claims, |_| ClaimOutcome::Skipped(6));
    assert_eq!(conflicts(&s), 1);
    s.leave(buyer.conn);
    for restarts in [false, true] {
        if restarts {
            s.restart();
        }
        s.connect(buyer.conn, "");
        let next = buyer.promise(11, 5, Q, FineUnits(u128::from(restarts)));
        assert_eq!(s.commit(&buyer, &next), None);
        assert!(!s.payee.may_send(buyer.conn), "restarts: {restarts}");
        s.leave(buyer.conn);
        s.later(Duration::from_secs(60));
    }
    // The chain shows that it was not so: then it can be claimed, and room comes of that.
    let state = s.chain.get_mut(&buyer.account).unwrap();
    (state.consumed, state.balance) = (1, TokenUnits(160_000));
    state.spent_word = U256::ONE;
    s.later(hours(7));
    let claims = s.take(RedeemScope::All);
    assert_eq!(claims.len(), 1);
    s.pays(&claims);
    s.connect(buyer.conn, "");
    assert_eq!(
        s.commit(&buyer, &buyer.promise(11, 5, Q, FineUnits(2))),
        None
    );
    assert!(s.payee.may_send(buyer.conn));
}

// ---- small change

#[test]
fn a_stranger_needs_a_deposit_of_one_least_range_and_gets_one_window_for_it() {
    // As clients sell: 16 blocks at first, half of what was paid, 256 at most.
    let shop = || {
        Shop::with(&BTreeMap::new(), |c| {
            c.credit = Credit::default();
        })
    };
    let buyer = Buyer::new(1);
    for q in [160, 1_000, 9_999] {
        let mut s = shop();
        s.chain.insert(buyer.account, deposit(q, q));
        s.connect(buyer.conn, "");
        let promise = buyer.promise(1, 1, TokenUnits(q), NOTHING);
        assert_eq!(
            s.commit(&buyer, &promise),
            Some(RejectCode::RangeTooSmall),
            "{q}"
        );
        assert!(!s.payee.may_send(buyer.conn));
    }
    let mut s = shop();
    s.chain.insert(buyer.account, deposit(Q.0, Q.0));
    let mut got = 0;
    for turn in 0..100 {
        let mut walker = buyer.clone();
        walker.conn = ConnectionId(100 + turn);
        s.connect(walker.conn, "");
        let mut promise = walker.promise(1, 1, Q, NOTHING);
        promise.v.root = keccak256(turn.to_be_bytes());
        s.commit(&walker, &promise);
        while s.payee.may_send(walker.conn) {
            s.payee.block_written(s.now, walker.conn);
            got += 1;
        }
        s.leave(walker.conn);
        s.later(Duration::from_secs(30));
    }
    // What is forgiven, a window, and what passes it: 4.7 MB per account and seller.
    assert_eq!(got, 16 + 256 + 16);
}

#[test]
fn automatic_redemption_takes_no_item_that_is_dust() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    // 50 ranges of 200 blocks, 0.1 in all: each item would cost a good part of what it brings.
    s.buys(&buyer, 1..=50, 200);
    s.later(hours(2));
    assert_eq!(s.due_said(), 0);
    assert!(s.take(RedeemScope::Due).is_empty());
    // Also those that a command closed and that came to nothing.
    let claims = s.take(RedeemScope::All);
    assert_eq!(claims.len(), 50);
    s.ended(&claims, |_| ClaimOutcome::Failed);
    assert!(s.take(RedeemScope::Due).is_empty());
}

#[test]
fn a_range_that_is_full_is_no_dust_though_no_whole_step_reaches_the_limit() {
    // Three blocks of 0.003 fit in a serial of 0.01, and the limit is 0.01.
    let dear = FineUnits(TokenUnits(3_000).fine().0);
    let mut s = Shop::new();
    s.price = dear;
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    let mut promise = buyer.promise(1, 1, Q, FineUnits(0));
    promise.v.unit = dear;
    promise.v.steps = 3;
    s.connect(buyer.conn, "");
    assert_eq!(s.commit(&buyer, &promise), None);
    assert_eq!(s.sell(&buyer, &promise, 0, 2), 2);
    assert!(s.take(RedeemScope::Due).is_empty(), "it is not full");
    assert_eq!(s.sell(&buyer, &promise, 2, 1), 1);
    assert_eq!(s.due_said(), 1);
    let claims = s.take(RedeemScope::Due);
    assert_eq!(claims.iter().map(|c| c.due.0).sum::<u128>(), 9_000);
}

#[test]
fn crumbs_of_an_account_that_leaves_many_cost_no_gas_at_all() {
    let mut s = Shop::new();
    let [honest, splitter] = [1, 2].map(Buyer::new);
    for buyer in [&honest, &splitter] {
        s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    }
    s.buys(&splitter, 1..=60, 1);
    s.buys(&honest, 1..=2, 3);
    let claims = s.take(RedeemScope::All);
    let accounts: Vec<B256> = claims.iter().map(|c| c.id.account).collect();
    assert_eq!(accounts, [honest.account; 2], "on command, what is left");
}

#[test]
fn of_an_account_that_exits_all_that_is_worth_its_gas_is_due() {
    // An item costs a tenth of the dust limit.
    for (blocks, is_due) in [(99, false), (100, true), (512, true)] {
        let mut s = Shop::new();
        let buyer = Buyer::new(1);
        s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
        s.buys(&buyer, 1..=1, blocks.min(256));
        if blocks > 256 {
            s.connect(buyer.conn, "");
            s.later(Duration::from_secs(1));
            let fold = buyer.promise(1, 1, Q, FineUnits(256 * UNIT.0));
            assert_eq!(s.commit(&buyer, &fold), None);
            s.sell(&buyer, &fold, 0, blocks - 256);
            s.leave(buyer.conn);
        }
        let end = (s.now + hours(72)).as_secs();
        s.chain.get_mut(&buyer.account).unwrap().exit_at = end;
        s.later(hours(12));
        assert_eq!(s.said(|e| matches!(e, PayEvent::Exiting { .. })), 1);
        let before = |e: &PayEvent| match e {
            PayEvent::RedeemDue { before, .. } => before.map(|at| at.as_secs()),
            _ => None,
        };
        let told = s.events.iter().find_map(before);
        assert_eq!(told, is_due.then_some(end - 3_600), "{blocks} blocks");
        let claims = s.take(RedeemScope::Due);
        assert_eq!(claims.len(), usize::from(is_due), "{blocks} blocks");
    }
}

#[test]
fn an_exit_sooner_than_the_margin_is_redeemed_in_half_of_what_is_left() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.connect(buyer.conn, "");
    let promise = buyer.promise(1, 1, Q, NOTHING);
    assert_eq!(s.commit(&buyer, &promise), None);
    s.sell(&buyer, &promise, 0, 200);
    s.later(Duration::from_secs(29));
    // Read in a second; a vault may let go after an hour.
    let end = s.now.as_secs() + 1 + 3_600;
    s.chain.get_mut(&buyer.account).unwrap().exit_at = end;
    s.later(Duration::from_secs(2));
    let told = s.events.iter().find_map(|e| match e {
        PayEvent::Exiting { redeem_before, .. } => Some(redeem_before.as_secs()),
        _ => None,
    });
    let told = told.unwrap();
    assert!(told > s.now.as_secs() + 1_700 && told < end - 1_700);
}

#[test]
fn the_dust_limit_follows_the_token() {
    // A token with two decimals: one unit is the least.
    for (dust, bought, least) in [(1, 1, 1), (10_000, 1_000, 10_000), (30_000, 1_000, 30_000)] {
        let mut s = Shop::new();
        s.config = s.config.with_dust(TokenUnits(dust));
        s.restart();
        let buyer = Buyer::new(1);
        s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
        s.connect(buyer.conn, "");
        let terms = s.sent.iter().find_map(|(_, m)| match m {
            PayMessage::Terms(t) => Some(t.min_range),
            _ => None,
        });
        assert_eq!(terms, Some(TokenUnits(least).fine()));
        let mut promise = buyer.promise(1, 3, Q, NOTHING);
        s.commit(&buyer, &promise);
        let mut blocks = 0;
        while blocks < bought {
            let most = (bought - blocks).min(256);
            let sold = s.sell(&buyer, &promise, 0, most);
            assert!(sold > 0, "{dust}");
            blocks += sold;
            promise = buyer.promise(1, 3, Q, FineUnits(u128::from(blocks) * UNIT.0));
            s.later(Duration::from_secs(1));
            assert_eq!(s.commit(&buyer, &promise), None);
        }
        s.leave(buyer.conn);
        s.later(hours(1));
        let is_due = u128::from(bought) * 10 >= dust;
        assert_eq!(
            s.take(RedeemScope::Due).len(),
            usize::from(is_due),
            "{dust}"
        );
    }
}

#[test]
fn the_dust_limit_follows_the_gas_while_it_sells() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    // 50 ranges of 200 blocks, each worth 2,000.
    s.buys(&buyer, 1..=50, 200);
    s.later(hours(2));
    assert!(s.take(RedeemScope::Due).is_empty(), "the limit is 10,000");
    s.payee.set_dust(s.now, TokenUnits(2_001), TokenUnits(200));
    s.later(Duration::from_secs(1));
    assert!(s.take(RedeemScope::Due).is_empty());
    assert_eq!(s.due_said(), 0);
    s.payee.set_dust(s.now, TokenUnits(2_000), TokenUnits(200));
    s.later(Duration::from_secs(1));
    assert_eq!(s.due_said(), 1);
    assert_eq!(s.take(RedeemScope::Due).len(), 50);

    // What is not worth its gas is not sold.
    let other = Buyer::new(2);
    s.chain.insert(other.account, deposit(2_000_000, Q.0));
    for (gas, refusal) in [(Q.0 + 1, Some(RejectCode::RangeTooSmall)), (Q.0, None)] {
        s.payee
            .set_dust(s.now, TokenUnits(gas * 10), TokenUnits(gas));
        s.connect(other.conn, "");
        let promise = other.promise(1, 1, Q, NOTHING);
        assert_eq!(s.commit(&other, &promise), refusal, "{gas}");
        s.leave(other.conn);
        s.later(Duration::from_secs(30));
    }
}

// ---- memory and reads

#[test]
fn however_many_bought_before_a_new_buyer_is_served() {
    let facts = PayeeFactsRecord {
        paid_total: 3,
        redeemed: TokenUnits(2),
        ..PayeeFactsRecord::default()
    };
    let key = |n: u64| Key::PayeeFacts(keccak256(n.to_be_bytes())).text(&vault());
    let store = (0..20_000)
        .map(|n| (key(n), facts.encode()))
        .collect::<BTreeMap<_, _>>();
    let mut s = Shop::with(&store, |_| {});
    let totals = s.payee.totals();
    assert_eq!((totals.paid_blocks, totals.redeemed.0), (60_000, 40_000));
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=1, 100);
    assert_eq!(s.payee.totals().paid_blocks, 60_100);
}

#[test]
fn accounts_that_owe_less_than_their_gas_make_room_for_a_new_one() {
    let buyer = Buyer::new(1);
    for (blocks, is_served) in [(1, true), (200, false)] {
        let promise = buyer.promise(1, 1, Q, NOTHING);
        let record = PayeeRangeRecord {
            session_key: Address::ZERO,
            voucher: promise.v,
            signature: sign(&buyer.key, promise.v.root),
            k: blocks,
            w: promise.chain.link(blocks).unwrap(),
            tranche: Q,
            life: PayeeRangeLife::Open,
        };
        let store: BTreeMap<_, _> = (0..MAX_ACCOUNTS as u64)
            .map(|n| {
                let session_key = Address::from_word(B256::from(U256::from(n + 1)));
                let id = voucher::account_id(buyer.owner, session_key);
                let record = PayeeRangeRecord {
                    session_key,
                    ..record
                };
                (Key::PayeeRange(id, 1).text(&vault()), record.encode())
            })
            .collect();
        let mut s = Shop::with(&store, |_| {});
        // The chain has not answered yet: nothing is known to be dead.
        while s.payee.poll().is_some() {}
        s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
        s.connect(buyer.conn, "");
        let refused = s.commit(&buyer, &buyer.promise(1, 1, Q, NOTHING));
        let expected = (!is_served).then_some(RejectCode::ChainPending);
        assert_eq!(refused, expected, "{blocks} blocks");
        assert_eq!(s.store.len(), MAX_ACCOUNTS, "{blocks} blocks");
    }
}

#[test]
fn what_an_account_did_is_remembered_when_nothing_of_it_is_left() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.connect(buyer.conn, "");
    let promise = buyer.promise(1, 1, Q, NOTHING);
    assert_eq!(s.commit(&buyer, &promise), None);
    s.sell(&buyer, &promise, 0, 200);
    s.payee.block_written(s.now, buyer.conn);
    s.payee.block_written(s.now, buyer.conn);
    s.leave(buyer.conn);
    let claims = s.take(RedeemScope::All);
    s.pays(&claims);
    s.later(hours(1));
    assert_eq!(s.records(buyer.account), 0);
    for restarts in [false, true] {
        if restarts {
            s.restart();
        }
        let totals = s.payee.totals();
        let facts = (totals.paid_blocks, totals.lost_blocks, totals.redeemed.0);
        assert_eq!(facts, (200, 2, 2_000));
    }
    // It comes back as who it was, and pays off what it lost.
    s.connect(buyer.conn, "");
    let next = buyer.promise(2, 1, Q, NOTHING);
    assert_eq!(s.commit(&buyer, &next), None);
    s.say(buyer.conn, pay(&next.v, &next.chain, 2));
    let totals = s.payee.totals();
    assert_eq!((totals.paid_blocks, totals.lost_blocks), (202, 0));
}

#[test]
fn accounts_that_do_not_exist_cost_few_reads_from_however_many_addresses() {
    for (addresses, most) in [(1, 6), (50, 32 + 2 * 60)] {
        let mut s = Shop::new();
        for n in 0..50 {
            let address = format!("203.0.113.{}", n % addresses);
            s.connect(ConnectionId(n + 10), &address);
        }
        for step in 0..66 {
            for n in 0..50 {
                // A new key each time: nobody's accounts cost nothing.
                let mut buyer = Buyer::new(50 * step + n);
                buyer.conn = ConnectionId(n + 10);
                let promise = buyer.promise(1, 1, Q, NOTHING);
                let refused = s.commit(&buyer, &promise);
                assert!(matches!(
                    refused,
                    Some(RejectCode::Rate | RejectCode::ChainPending)
                ));
            }
            s.later(Duration::from_millis(910));
        }
        let reads = s.reads.len();
        assert!(
            reads <= most,
            "{reads} reads in a minute of {addresses} addresses"
        );
    }
}

#[test]
fn a_known_account_that_promises_what_it_does_not_have_costs_few_reads_too() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=1, 1);
    s.connect(buyer.conn, "203.0.113.9");
    let before = s.reads.len();
    for step in 0..66 {
        s.commit(&buyer, &buyer.promise(1_000 + step, 1, Q, NOTHING));
        s.later(Duration::from_millis(910));
    }
    let reads = s.reads.len() - before;
    assert!(reads <= 8, "{reads} reads");
}

#[test]
fn a_newcomer_whose_deposit_is_in_no_block_yet_is_served_as_soon_as_it_asks_again() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.connect(buyer.conn, "203.0.113.9");
    let promise = buyer.promise(1, 1, Q, NOTHING);
    let pending = Some(RejectCode::ChainPending);
    assert_eq!(s.commit(&buyer, &promise), pending);
    for wait in [2, 4, 8] {
        s.later(Duration::from_secs(wait));
        assert_eq!(s.commit(&buyer, &promise), pending, "after {wait} s");
    }
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.later(Duration::from_secs(16));
    assert_eq!(s.commit(&buyer, &promise), None);
}

#[test]
fn ranges_on_which_nothing_was_paid_are_forgotten_after_a_day() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=2, 0);
    s.buys(&buyer, 3..=3, 1);
    assert_eq!(s.records(buyer.account), 3);
    s.later(hours(23));
    assert_eq!(s.records(buyer.account), 3);
    s.later(hours(2));
    assert_eq!(s.records(buyer.account), 1, "a block is money");
    s.connect(buyer.conn, "");
    let promise = buyer.promise(1, 1, Q, NOTHING);
    assert_eq!(s.commit(&buyer, &promise), None, "its buyer is welcome");
}

#[test]
fn who_stays_away_is_read_ever_more_seldom() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=1, 100);
    let mut reads = Vec::new();
    for _ in 0..4 {
        let before = s.reads.len();
        s.later(hours(24));
        reads.push(s.reads.len() - before);
    }
    assert!(reads[0] <= 16, "{reads:?}");
    assert!((3..=5).contains(&reads[3]), "{reads:?}");
}

// ---- whose redemption it was

/// A buyer paid for 256 blocks; the claim of them was handed out.
fn handed_out() -> (Shop, Buyer, Vec<piecework::payment::payee::ReadyClaim>) {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=1, 256);
    let claims = s.take(RedeemScope::All);
    assert_eq!(claims.len(), 1);
    (s, buyer, claims)
}

fn conflicts(s: &Shop) -> usize {
    s.said(|e| matches!(e, PayEvent::Conflict { .. }))
}

#[test]
fn what_somebody_else_redeemed_is_no_earning_whatever_was_told_of_our_own_claim() {
    // Refused prompts, reverts and lost answers; the other takes less than ours would.
    for outcome in [ClaimOutcome::Failed, ClaimOutcome::Unknown] {
        for read_first in [false, true] {
            let (mut s, buyer, claims) = handed_out();
            if !read_first {
                s.ended(&claims, |_| outcome);
            }
            s.consume(buyer.account, 1, 1, TokenUnits(1));
            s.later(hours(2));
            if read_first {
                s.ended(&claims, |_| outcome);
            }
            let named = format!("{outcome:?}, read first: {read_first}");
            assert_eq!(conflicts(&s), 1, "{named}");
            assert_eq!(s.payee.totals().redeemed.0, 0, "{named}");
            s.later(hours(24));
            assert_eq!(s.records(buyer.account), 1, "{named}: the proof");
            s.restart();
            s.later(hours(24));
            assert_eq!(s.payee.totals().redeemed.0, 0, "{named}");
            assert_eq!(s.records(buyer.account), 1, "{named}: the proof");
        }
    }
}

#[test]
fn what_our_claim_may_have_redeemed_is_counted_but_its_proof_is_kept_until_its_end_is_seen() {
    for told in [None, Some(ClaimOutcome::Unknown)] {
        let (mut s, buyer, claims) = handed_out();
        if let Some(outcome) = told {
            s.ended(&claims, |_| outcome);
        }
        s.consume(buyer.account, 1, 1, claims[0].due);
        s.later(hours(2));
        assert_eq!(
            (conflicts(&s), s.payee.totals().redeemed),
            (0, claims[0].due)
        );
        s.restart();
        s.later(hours(48));
        assert_eq!(
            (conflicts(&s), s.payee.totals().redeemed),
            (0, claims[0].due)
        );
        assert_eq!(s.records(buyer.account), 1, "{told:?}: the proof");
    }
    // Its receipt came after all.
    let (mut s, buyer, claims) = handed_out();
    s.consume(buyer.account, 1, 1, claims[0].due);
    s.later(hours(2));
    s.ended(&claims, |c| ClaimOutcome::Paid(c.due));
    s.later(hours(12));
    assert_eq!(s.payee.totals().redeemed, claims[0].due);
    assert_eq!(s.records(buyer.account), 0);
    let paid = s.said(|e| matches!(e, PayEvent::Redeemed { .. }));
    assert_eq!(paid, 1, "said once");
}

#[test]
fn a_second_claim_that_the_vault_skips_as_consumed_is_our_first_one_if_the_deposit_fell() {
    for (gross, is_ours) in [(2_560, true), (1, false)] {
        let (mut s, buyer, claims) = handed_out();
        s.ended(&claims, |_| ClaimOutcome::Unknown);
        let again = s.take(RedeemScope::All);
        assert_eq!(again.len(), 1);
        s.consume(buyer.account, 1, 1, TokenUnits(gross));
        s.ended(&again, |_| ClaimOutcome::Skipped(6));
        s.later(Duration::from_secs(60));
        let totals = s.payee.totals();
        let expected = if is_ours { (0, 2_560) } else { (1, 0) };
        assert_eq!((conflicts(&s), totals.redeemed.0), expected);
    }
}

#[test]
fn an_answer_that_was_on_its_way_during_a_redemption_takes_nothing_back() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=1, 200);
    let claims = s.take(RedeemScope::All);
    assert_eq!(claims.len(), 1);
    s.slow = Some(Vec::new());
    s.later(hours(6));
    assert_eq!(s.slow.as_ref().map(Vec::len), Some(1), "it is read");
    s.pays(&claims);
    s.answers_arrive();
    assert_eq!(s.payee.totals().redeemed, claims[0].due);
    s.later(hours(1));
    assert_eq!(s.payee.totals().redeemed, claims[0].due);
    assert_eq!(s.records(buyer.account), 0, "confirmed");
}
