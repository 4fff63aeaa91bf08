//! The rules of docs/protocol.md that are arithmetic, each at its limit and one past it.

use crate::hand::*;
use alloy_primitives::{B256, U256};
use piecework::payment::chain::{self, HashChain, MAX_STEPS};
use piecework::payment::ledger::{BuyerLedger, Credit, SellerLedger};
use piecework::payment::payer::AccountInfo;
use piecework::payment::policy::{
    FakePayeeLimiter, NEW_PAYEE_WINDOW, PayerConfig, Sizing, allocate, judge_quote, size_range,
};
use piecework::payment::record::PayeeFactsRecord;
use piecework::payment::voucher::{
    MAX_COUNT, MAX_FINE, chain_steps, overlap, range_cap, range_is_well_formed, range_worth,
    usable_steps,
};
use piecework::payment::{ChainState, Refusal};
use piecework::types::{FineUnits, TokenUnits};
use piecework::wire::pay::Terms;

fn deposit() -> AccountInfo {
    AccountInfo {
        owner: OWNER,
        session_key: session_address(),
        tranche: Q,
        balance: TokenUnits(2_000_000),
        bond: TokenUnits(2_500_000),
        consumed: 1,
        exit_at: 0,
    }
}

fn judge(ceiling: FineUnits, terms: &Terms) -> Result<(), Refusal> {
    judge_quote(ceiling, &deposit(), terms, B256::ZERO)
}

#[test]
fn a_price_at_the_ceiling_is_taken_and_one_above_is_not() {
    let quote = |unit| terms(FineUnits(unit));
    assert_eq!(judge(UNIT, &quote(UNIT.0)), Ok(()));
    assert_eq!(judge(UNIT, &quote(UNIT.0 + 1)), Err(Refusal::OverCeiling));
    // A block may cost as much as the longest range is worth.
    let most = (256 * Q.0) << 24;
    assert_eq!(judge(MAX_FINE, &quote(most)), Ok(()));
    assert_eq!(judge(MAX_FINE, &quote(most + 1)), Err(Refusal::OverTranche));
}

#[test]
fn a_quote_of_no_credit_or_no_steps_is_of_no_use_and_one_of_each_is() {
    let quote = |credit0, credit_max, max_steps| Terms {
        credit0,
        credit_max,
        max_steps,
        ..terms(UNIT)
    };
    assert_eq!(judge(UNIT, &quote(1, 1, 1)), Ok(()));
    for useless in [quote(0, 1, 1), quote(1, 0, 1), quote(1, 1, 0)] {
        assert_eq!(judge(UNIT, &useless), Err(Refusal::Useless));
    }
}

#[test]
fn a_bond_of_exactly_the_percentage_is_enough() {
    for (bond, enough) in [(2_500_000, true), (2_499_999, false)] {
        let account = AccountInfo {
            bond: TokenUnits(bond),
            ..deposit()
        };
        let judged = judge_quote(UNIT, &account, &terms(UNIT), B256::ZERO);
        assert_eq!(judged.is_ok(), enough, "{bond}");
    }
}

#[test]
fn a_range_is_large_enough_for_the_quote_and_for_one_step() {
    let mut config = PayerConfig::new(vault());
    config.max_count = 4;
    let left = MAX_FINE;
    let needed = |min_range, unit| {
        let terms = Terms {
            min_range: FineUnits(min_range),
            ..terms(FineUnits(unit))
        };
        size_range(&config, Q, &terms, 1, 100, left).map(|sizing| sizing.needed)
    };
    let serial = Q.fine().0;
    assert_eq!(needed(serial, 1), Ok(1));
    assert_eq!(needed(serial + 1, 1), Ok(2));
    assert_eq!(needed(0, 4 * serial), Ok(4), "the step is what needs them");
    assert_eq!(needed(0, 4 * serial + 1), Err(Refusal::RangeTooLarge));
}

#[test]
fn no_more_serials_are_bound_than_the_budget_can_use() {
    let config = PayerConfig::new(vault());
    let wanted = |left| size_range(&config, Q, &terms(UNIT), 1, 100, left).map(|s| s.wanted);
    let serial = Q.fine().0;
    assert_eq!(wanted(FineUnits(3 * serial)), Ok(3));
    assert_eq!(wanted(FineUnits(3 * serial + 1)), Ok(4));
    assert_eq!(wanted(FineUnits(9 * serial)), Ok(4));
    assert_eq!(wanted(FineUnits(0)), Ok(1));
}

#[test]
fn the_rest_of_a_word_is_used_if_it_is_just_enough() {
    let sizing = |needed| Sizing { needed, wanted: 4 };
    assert_eq!(allocate(254, 1_000, sizing(2)), Some((254, 2)));
    assert_eq!(allocate(254, 1_000, sizing(3)), Some((256, 4)));
    assert_eq!(allocate(255, 1_000, sizing(1)), Some((255, 1)));
    // The bound is the first serial that is not covered.
    assert_eq!(allocate(10, 12, sizing(2)), Some((10, 2)));
    assert_eq!(allocate(10, 11, sizing(2)), None);
}

#[test]
fn a_third_stranger_waits_until_the_first_is_ten_seconds_old() {
    let mut limiter = FakePayeeLimiter::default();
    assert_eq!(limiter.next_slot(ms(0)), ms(0));
    limiter.spend(ms(0));
    assert_eq!(limiter.next_slot(ms(1)), ms(1), "one is not too many");
    limiter.spend(ms(4_000));
    assert_eq!(limiter.next_slot(ms(5_000)), ms(0) + NEW_PAYEE_WINDOW);
    assert_eq!(limiter.next_slot(ms(9_999)), ms(10_000));
    assert_eq!(limiter.next_slot(ms(10_000)), ms(10_000));
    limiter.spend(ms(10_000));
    assert_eq!(limiter.next_slot(ms(10_000)), ms(14_000));
    assert_eq!(limiter.next_slot(ms(60_000)), ms(60_000));
}

#[test]
fn a_chain_of_256_steps_is_walked_to_its_end_and_no_further() {
    let chain = HashChain::generate(B256::repeat_byte(5), MAX_STEPS);
    let end = chain.link(MAX_STEPS).unwrap();
    assert!(chain::advances(0, chain.root(), MAX_STEPS, end));
    assert!(!chain::advances(MAX_STEPS, end, MAX_STEPS, end));
    assert!(!chain::advances(0, chain.root(), MAX_STEPS + 1, end));
    assert_eq!(chain.link(MAX_STEPS + 1), None);
}

#[test]
fn serials_are_a_range_inside_one_word_without_the_first() {
    for (first, count, good) in [
        (0, 1, false),
        (1, 0, false),
        (1, 1, true),
        (1, 255, true),
        (1, 256, false),
        (255, 1, true),
        (255, 2, false),
        (256, 256, true),
        (256, 257, false),
        (u32::MAX, 1, true),
        (u32::MAX, 2, false),
    ] {
        assert_eq!(range_is_well_formed(first, count), good, "{first} {count}");
        let (mut voucher, _) = voucher(7, FineUnits(0), 1);
        (voucher.first, voucher.count) = (first, count);
        assert_eq!(voucher.is_well_formed(), good, "{first} {count}");
    }
    let (mut long, _) = voucher(7, FineUnits(0), 1);
    long.steps = 256;
    assert!(long.is_well_formed());
    long.steps = 257;
    assert!(!long.is_well_formed());
}

#[test]
fn ranges_that_touch_share_no_serial() {
    for (a, b, shared) in [
        ((1, 2), (3, 2), false),
        ((1, 3), (3, 1), true),
        ((1, 9), (4, 2), true),
        ((5, 1), (5, 1), true),
        ((1, 2), (9, 2), false),
        ((u32::MAX, 1), (u32::MAX - 1, 1), false),
    ] {
        assert_eq!(overlap(a.0, a.1, b.0, b.1), shared, "{a:?} {b:?}");
        assert_eq!(overlap(b.0, b.1, a.0, a.1), shared, "{b:?} {a:?}");
    }
}

#[test]
fn no_step_is_partly_capped_and_no_amount_is_more_than_a_voucher_names() {
    let cap = (3 * Q.0) << 24;
    assert_eq!(range_worth(3, Q), TokenUnits(30_000));
    assert_eq!(range_cap(3, Q), FineUnits(cap));
    assert_eq!(
        range_cap(MAX_COUNT, TokenUnits(u128::MAX)).0 >> 24,
        MAX_FINE.0 >> 24
    );
    let usable = |base, unit| usable_steps(3, Q, FineUnits(base), FineUnits(unit));
    assert_eq!(usable(0, cap), 1);
    assert_eq!(usable(0, cap + 1), 0);
    assert_eq!(usable(1, cap), 0);
    assert_eq!(usable(cap - 20, 10), 2);
    assert_eq!(usable(cap - 19, 10), 1);
    assert_eq!(usable(cap + 1, 10), 0);
    assert_eq!(usable(0, 0), 0, "nothing is for nothing");
    let steps = |unit, most| chain_steps(3, Q, FineUnits(0), FineUnits(unit), most);
    assert_eq!(steps(cap / 5, 256), 5);
    assert_eq!(steps(cap / 5, 4), 4);
    assert_eq!(steps(1, 1_000), 256);
}

#[test]
fn a_claim_is_worth_what_its_step_says_up_to_its_serials() {
    let (mut v, _) = voucher(7, FineUnits(0), 1);
    v.base = FineUnits((5 << 24) + 1);
    v.unit = FineUnits((1 << 24) - 1);
    assert_eq!(v.owed_at(1), FineUnits(6 << 24));
    assert_eq!(v.due(0, Q), TokenUnits(5));
    assert_eq!(v.due(1, Q), TokenUnits(6));
    assert_eq!(
        v.due(2, Q),
        TokenUnits(6),
        "a rest below one unit is not due"
    );
    assert_eq!(v.due(1, TokenUnits(4)), TokenUnits(4));
    assert_eq!(v.end(), 8);
}

#[test]
fn serials_are_covered_up_to_the_bound_and_consumed_by_their_own_bits() {
    let state = |bits: &[usize]| {
        let mut state = chain_state();
        state.spent_word = U256::ZERO;
        bits.iter()
            .for_each(|bit| state.spent_word.set_bit(*bit, true));
        state
    };
    assert_eq!(state(&[]).bound(), 1 + 200, "consumed, and balance / q");
    for (bits, first, count, consumed) in [
        (&[7][..], 7, 1, true),
        (&[7], 8, 4, false),
        (&[7], 4, 3, false),
        (&[7], 4, 4, true),
        (&[255], 511, 1, true),
        (&[0], 256 + 255, 1, false),
        // What a stranger asks beyond the word says nothing of it.
        (&[255], 250, u16::MAX, true),
        (&[249], 250, u16::MAX, false),
    ] {
        assert_eq!(
            state(bits).any_consumed(first, count),
            consumed,
            "{bits:?} {first} {count}"
        );
    }
    let gone = ChainState {
        tranche: TokenUnits(0),
        ..state(&[])
    };
    assert!(gone.is_withdrawn() && !state(&[]).is_withdrawn());
    let unknown = ChainState {
        known: false,
        ..gone
    };
    assert!(!unknown.is_withdrawn(), "never opened is not taken back");
}

#[test]
fn who_leaves_a_32nd_unpaid_is_a_good_customer_and_one_more_is_a_walk_away() {
    for (left, walked) in [(2, None), (3, Some(3))] {
        let mut ledger = SellerLedger::default();
        (0..left).for_each(|_| ledger.written(A));
        assert_eq!(ledger.disconnect(A, 64), walked);
        assert_eq!(ledger.facts().walked, walked.is_some());
        assert_eq!(ledger.facts().lost, left);
    }
}

#[test]
fn a_payment_counts_on_its_connection_then_for_what_was_lost_then_on_others() {
    let mut ledger = SellerLedger::new(PayeeFactsRecord {
        lost: 3,
        walked: true,
        ..PayeeFactsRecord::default()
    });
    (0..2).for_each(|_| ledger.written(A));
    (0..4).for_each(|_| ledger.written(B));
    assert_eq!(ledger.unpaid(), 6);
    ledger.paid(A, 4);
    assert_eq!((ledger.unpaid_on(A), ledger.facts().lost), (0, 1));
    assert!(ledger.facts().walked, "1 of 4 is more than a 32nd");
    ledger.paid(A, 2);
    assert_eq!((ledger.unpaid_on(B), ledger.facts().lost), (3, 0));
    assert!(!ledger.facts().walked);
    assert_eq!(ledger.facts().paid_total, 6);
    ledger.paid(B, 9);
    assert_eq!(ledger.unpaid(), 0, "what is paid ahead is no debt of ours");
}

#[test]
fn a_lost_32nd_of_what_was_paid_is_forgotten() {
    for (paid_total, walked) in [(63, true), (64, false)] {
        let mut ledger = SellerLedger::new(PayeeFactsRecord {
            lost: 2,
            paid_total,
            walked: true,
            ..PayeeFactsRecord::default()
        });
        ledger.paid(A, 0);
        assert_eq!(ledger.facts().walked, walked, "{paid_total}");
    }
}

fn credit(first: u16, most: u16, ramp: u8) -> Credit {
    Credit { first, most, ramp }
}

#[test]
fn credit_is_the_paid_part_between_its_first_and_its_most() {
    let ledger = SellerLedger::default();
    for (paid, ramp, blocks) in [
        (0, 4, 4),
        (19, 4, 4),
        (20, 4, 5),
        (511, 4, 127),
        (512, 4, 128),
        (u64::MAX, 4, 128),
        (40, 1, 40),
    ] {
        assert_eq!(
            ledger.credit(paid, credit(4, 128, ramp)),
            blocks,
            "{paid} {ramp}"
        );
    }
    assert_eq!(
        ledger.credit(100, credit(9, 5, 4)),
        9,
        "never less than the first"
    );
    let walked = SellerLedger::new(PayeeFactsRecord {
        walked: true,
        ..PayeeFactsRecord::default()
    });
    assert_eq!(walked.credit(160, credit(4, 128, 4)), 10);
    assert_eq!(
        walked.credit(160, credit(4, 128, 32)),
        5,
        "the slower of both"
    );
    assert_eq!(walked.credit(160, credit(4, 128, 0)), 4, "none stays none");
}

#[test]
fn what_counts_against_credit_is_in_flight_or_received_and_not_paid() {
    let mut ledger = BuyerLedger::default();
    ledger.in_flight = 4;
    ledger.received(block(1), true);
    ledger.received(block(2), false);
    assert_eq!((ledger.in_flight, ledger.received_unpaid()), (2, 1));
    assert!(ledger.awaits(block(1)) && !ledger.awaits(block(2)));
    ledger.due += 2;
    assert_eq!((ledger.received_unpaid(), ledger.outstanding()), (3, 5));
    assert!(ledger.judged(block(1)));
    assert_eq!((ledger.unverified(), ledger.outstanding()), (0, 4));
    ledger.in_flight = 0;
    ledger.received(block(3), false);
    assert_eq!(ledger.in_flight, 0, "a block that nobody asked for");
}
