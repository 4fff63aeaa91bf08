//! Payers and payees against each other (`payment_world`), under every fault that a network, a disk and
//! a chain know.

use crate::world::{Faults, PIECE, World, why_not};
use piecework::payment::payer::PayerConnState;
use piecework::payment::{EndReason, PayEvent, Refusal};
use piecework::time::Timestamp;
use piecework::types::{ConnectionId, TokenUnits};
use piecework::wire::pay::RejectCode;

#[test]
fn one_buyer_pays_one_seller_for_every_block_and_the_chain_agrees() {
    for seed in 0..4 {
        let mut world = World::new(seed, 1, 1, Faults::none());
        world.order(0, 1, 600, 1);
        world.connect(0, 0, 1);
        assert!(world.run(600), "seed {seed}: {:?}", world.buyers[0].events);
        world.run_on(1);
        assert_eq!(world.paid_blocks(0), 600, "seed {seed}");
        world.redeem_all();
        let spent = world.buyers[0].payer.totals();
        assert_eq!(spent.spent.0, world.unit.0 * 600);
        assert_eq!(spent.spent_floor.0, world.sellers[0].redeemed);
        assert_eq!(spent.preimages_released, 600);
        if seed == 2 {
            let folds = world.vouchers.values().filter(|v| v.0.base.0 > 0).count();
            assert!(
                folds >= 6,
                "600 blocks on chains of 90 steps: {folds} folds"
            );
        }
    }
}

#[test]
fn two_torrents_and_many_sellers_on_one_account_share_no_serial() {
    for seed in 0..20 {
        let mut world = World::new(1_000 + seed, 2, 3, Faults::none());
        for buyer in 0..2 {
            for torrent in 1..=2 {
                world.order(buyer, torrent, 70, 1);
                for seller in 0..3 {
                    world.connect(buyer, seller, torrent);
                }
            }
        }
        assert!(world.run(600), "seed {seed}");
        world.redeem_all();
    }
}

#[test]
fn lost_connections_and_crashes_at_any_step_lose_no_money_and_the_order_completes() {
    let mut completed = 0;
    for seed in 0..100 {
        let mut faults = Faults::none();
        faults.disconnects = 2 + (seed % 5) as u32;
        faults.crashes = 2 + (seed % 7) as u32;
        faults.until = Timestamp::from_millis(1_000_000 + 12_000);
        let mut world = World::new(10_000 + seed, 1, 2, faults);
        for torrent in 1..=2 {
            world.order(0, torrent, 80, 1);
            world.connect(0, 0, torrent);
            world.connect(0, 1, torrent);
        }
        if world.run(3_600) {
            completed += 1;
        } else {
            // Blocks lost on the way may pass what a seller forgives: then the order says so.
            let phantom = PayerConnState::Ended(EndReason::PhantomDebt);
            let states = why_not(&world);
            assert!(
                states.iter().all(|(_, s)| *s == phantom),
                "seed {seed}: {states:?}"
            );
        }
        world.redeem_all();
    }
    assert!(completed >= 80, "{completed} of 100 orders completed");
}

#[test]
fn failing_stores_and_chains_delay_but_never_cost() {
    for seed in 0..40 {
        let mut faults = Faults::none();
        faults.store_fails = 10;
        faults.chain_fails = 20;
        faults.disconnects = 10;
        faults.until = Timestamp::from_millis(1_000_000 + 30_000);
        let mut world = World::new(20_000 + seed, 1, 2, faults);
        world.order(0, 1, 120, 1);
        world.connect(0, 0, 1);
        world.connect(0, 1, 1);
        assert!(world.run(3_600), "seed {seed}: {:?}", why_not(&world));
        world.redeem_all();
    }
}

#[test]
fn replayed_and_forged_messages_never_cost_more_than_the_connection() {
    for seed in 0..80 {
        let mut faults = Faults::none();
        faults.forged = 10;
        faults.disconnects = 8;
        faults.crashes = if seed % 2 == 0 { 0 } else { 10 };
        faults.until = Timestamp::from_millis(1_000_000 + 30_000);
        let mut world = World::new(30_000 + seed, 2, 2, faults);
        for buyer in 0..2 {
            world.order(buyer, 1, 60, 1);
            world.connect(buyer, 0, 1);
            world.connect(buyer, 1, 1);
        }
        // A forgery may end buying from both sellers: then each order says why.
        if !world.run(600) {
            for (conn, state) in why_not(&world) {
                assert!(
                    !matches!(state, PayerConnState::Attached | PayerConnState::Opening),
                    "seed {seed}: {conn:?} is stuck in {state:?}"
                );
            }
        }
        world.redeem_all();
    }
}

#[test]
fn v1_blocks_are_advanced_within_one_piece_and_paid_once() {
    for seed in 0..40 {
        let mut faults = Faults::none();
        if seed % 2 == 1 {
            faults.disconnects = 3;
            faults.crashes = if seed % 4 == 1 { 6 } else { 0 };
            faults.until = Timestamp::from_millis(1_000_000 + 10_000);
        }
        let clean = faults.disconnects == 0;
        let mut world = World::new(40_000 + seed, 1, 1, faults);
        world.order(0, 1, 96, PIECE);
        world.connect(0, 0, 1);
        // After crashes the debt of a v1 piece may pass what is forgiven: then the order says so.
        let done = world.run(3_600);
        assert!(
            done || seed % 4 == 1
                && why_not(&world)
                    .iter()
                    .all(|(_, s)| *s == PayerConnState::Ended(EndReason::PhantomDebt)),
            "seed {seed}: {:?}",
            why_not(&world)
        );
        world.run_on(1);
        if clean {
            assert_eq!(world.paid_blocks(0), 96, "seed {seed}");
        }
        world.redeem_all();
    }
}

#[test]
fn the_budget_is_a_hard_cap_and_is_said() {
    let mut world = World::new(6, 1, 1, Faults::none());
    let cap = TokenUnits(15_000);
    world.buyers[0].config.budget = cap;
    let now = world.now;
    world.buyers[0].payer.set_budget(now, cap);
    world.order(0, 1, 300, 1);
    world.connect(0, 0, 1);
    assert!(!world.run(120));
    let totals = world.buyers[0].payer.totals();
    assert!(totals.spent <= cap.fine());
    assert!(totals.budget_left < world.unit, "spent to the last block");
    assert_eq!(
        totals.unpaid_blocks, 0,
        "nothing was taken that could not be paid"
    );
    assert!(world.buyers[0].events.contains(&PayEvent::BudgetExhausted));
}

#[test]
fn an_exit_stops_the_sale_and_is_redeemed_in_time() {
    let mut world = World::new(7, 1, 1, Faults::none());
    world.order(0, 1, 2_000, 1);
    world.connect(0, 0, 1);
    world.run_on(3);
    let account = world.account_of(0);
    let exit_at = world.now.as_secs() + 72 * 3_600;
    world.chain.accounts.get_mut(&account).unwrap().exit_at = exit_at;
    world.run_on(60);
    assert!(world.sellers[0].events.iter().any(|e| matches!(
        e,
        PayEvent::Exiting { redeem_before, .. } if redeem_before.as_secs() == exit_at - 3_600
    )));
    assert!(matches!(
        world.buyers[0].payer.status(ConnectionId(1)),
        PayerConnState::Ended(EndReason::Rejected(RejectCode::Exiting))
    ));
    world.redeem_all();
    assert!(world.sellers[0].redeemed > 0);
}

#[test]
fn strangers_beyond_the_limit_wait_for_a_verified_block() {
    let mut world = World::new(8, 1, 6, Faults::none());
    world.order(0, 1, 10, 1);
    // Sellers that answer nothing: their COMMITs are never delivered.
    for seller in 0..6 {
        world.connect(0, seller, 1);
        world.links[seller].up = true;
    }
    let commits = |world: &World| world.vouchers.len();
    for _ in 0..40 {
        world.step();
    }
    assert!(commits(&world) <= 2, "two new payees per ten seconds");
    assert!(world.buyers[0].events.iter().any(|e| matches!(
        e,
        PayEvent::Refused {
            why: Refusal::FakePayeeLimit,
            ..
        }
    )));
}
