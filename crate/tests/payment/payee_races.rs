//! What a payee counts on while its store or the chain has not answered, and when they refuse.

use crate::hand::*;
use crate::payee_scene::{PAID, Scene, State, scene};
use piecework::payment::chain::HashChain;
use piecework::payment::payee::{GROUP_DELAY, GROUP_STEPS, RedeemScope};
use piecework::payment::record::{PayeeRangeLife, PayeeRangeRecord};
use piecework::payment::voucher::Voucher;
use piecework::payment::{PayAction, PayEvent};
use piecework::time::Duration;
use piecework::types::{ConnectionId, FineUnits, TokenUnits};
use piecework::wire::pay::{PayMessage, RejectCode};

fn is_put(action: &PayAction) -> bool {
    matches!(action, PayAction::PutRecord { .. })
}

fn is_read(action: &PayAction) -> bool {
    matches!(action, PayAction::ReadState { .. })
}

/// Says something, and answers everything but what `stops` names.
fn say(scene: &mut Scene, conn: ConnectionId, message: PayMessage, stops: fn(&PayAction) -> bool) {
    scene.s.payee.message(scene.now, conn, message);
    scene.run_to(stops);
}

fn commit(scene: &Scene, v: &Voucher) -> PayMessage {
    PayMessage::Commit {
        quote_id: scene.s.quote,
        voucher: body(v),
    }
}

fn blocks_earned(scene: &Scene) -> u128 {
    scene.s.payee.totals().earned.0 / UNIT.0
}

/// The one range that is stored.
fn stored(scene: &Scene) -> PayeeRangeRecord {
    let mut ranges = (scene.s.store.iter()).filter(|(key, _)| key.ends_with("/range/7"));
    let record = PayeeRangeRecord::decode(ranges.next().unwrap().1).unwrap();
    assert!(ranges.next().is_none());
    record
}

#[test]
fn links_that_come_while_a_resumed_range_is_read_or_stored_are_never_exchanged_for_fewer() {
    for stops in [is_read as fn(&PayAction) -> bool, is_put] {
        let mut scene = scene(State::Attached);
        let (v, chain) = (scene.v, scene.chain.clone());
        scene.s.connect(scene.now, B);
        let (resumed, _) = voucher(7, v.owed_at(PAID), 3);
        let message = commit(&scene, &resumed);
        say(&mut scene, B, message, stops);
        say(&mut scene, A, pay(&v, &chain, PAID + 4), stops);
        let done = scene.settle();
        let told = done.sent.iter().find_map(|(conn, m)| match m {
            PayMessage::State { k, voucher, .. } => Some((*conn, *k, *voucher)),
            _ => None,
        });
        assert_eq!(told, Some((B, PAID + 4, body(&v))));
        assert!(!scene.s.payee.is_paying(B) && scene.s.payee.is_paying(A));
        scene.later(200);
        assert_eq!(blocks_earned(&scene), u128::from(PAID + 4));
        assert_eq!((stored(&scene).voucher, stored(&scene).k), (v, PAID + 4));
    }
}

#[test]
fn a_range_that_is_closed_while_its_commit_is_read_or_stored_stays_closed() {
    // A new chain on top of what was paid, and the voucher that is stored already.
    for (base, stops) in [
        (PAID, is_read as fn(&PayAction) -> bool),
        (PAID, is_put),
        (0, is_read),
    ] {
        let mut scene = scene(State::Attached);
        let v = match base {
            0 => scene.v,
            k => voucher(7, scene.v.owed_at(k), 3).0,
        };
        scene.s.connect(scene.now, B);
        let message = commit(&scene, &v);
        say(&mut scene, B, message, stops);
        scene.s.payee.prepare_redeem(scene.now, RedeemScope::All);
        scene.run_to(stops);
        let done = scene.settle();
        assert_eq!(done.reject(), (RejectCode::ConsumedOrClosed, 7));
        assert!(!scene.s.payee.is_paying(B) && !scene.s.payee.may_send(A));
        assert_ne!(stored(&scene).life, PayeeRangeLife::Open);
        let claims = scene.s.payee.take_claims(scene.now, 9);
        assert_eq!((claims.len(), claims[0].claim.k), (1, PAID));
    }
}

#[test]
fn an_account_that_exits_while_its_promise_is_stored_is_sold_nothing() {
    let mut scene = scene(State::Attached);
    scene.s.connect(scene.now, B);
    let resumed = commit(&scene, &voucher(7, scene.v.owed_at(PAID), 3).0);
    say(&mut scene, B, resumed, is_put);
    scene.s.state.exit_at = 9;
    scene.later(30_000);
    let done = scene.settle();
    assert_eq!(done.reject(), (RejectCode::Exiting, 0));
    assert!(!scene.s.payee.is_paying(B));
    assert_eq!((stored(&scene).voucher, stored(&scene).k), (scene.v, PAID));
}

#[test]
fn serials_that_are_being_checked_for_one_promise_are_not_taken_for_another() {
    for stops in [is_read as fn(&PayAction) -> bool, is_put] {
        let mut scene = scene(State::Quoted);
        let wide = Voucher {
            count: 2,
            ..voucher(7, FineUnits(0), 1).0
        };
        let message = commit(&scene, &wide);
        say(&mut scene, A, message, stops);
        scene.s.connect(scene.now, B);
        let narrow = commit(&scene, &voucher(8, FineUnits(0), 2).0);
        let done = scene.s.say(scene.now, B, narrow);
        assert_eq!(done.reject(), (RejectCode::Rate, 1_000));
        scene.settle();
        assert!(scene.s.payee.is_paying(A));
        scene.later(2_000);
        let done = scene.s.say(scene.now, B, narrow);
        assert_eq!(done.reject().0, RejectCode::Conflict);
    }
}

#[test]
fn blocks_paid_on_a_fold_that_could_not_be_stored_are_unpaid_again() {
    let mut scene = scene(State::Attached);
    let (v, chain) = (scene.v, scene.chain.clone());
    assert_eq!(scene.s.write(scene.now, A, 9), 4);
    let (fold, links) = voucher(7, v.owed_at(PAID), 3);
    let message = commit(&scene, &fold);
    say(&mut scene, A, message, is_put);
    say(&mut scene, A, pay(&fold, &links, 3), is_put);
    assert_eq!(scene.s.payee.totals().unpaid_blocks, 1);
    let effect = scene.waiting.puts.remove(0);
    scene.s.payee.stored(scene.now, effect, false);
    let done = scene.s.run(scene.now);
    assert_eq!(done.reject().0, RejectCode::ChainPending);
    assert_eq!(scene.s.payee.totals().unpaid_blocks, 4);
    assert!(!scene.s.payee.may_send(A), "no credit for nothing");
    // The payer pays the same blocks on the old chain.
    scene.s.say(scene.now, A, pay(&v, &chain, PAID + 4));
    assert_eq!(scene.s.payee.totals().unpaid_blocks, 0);
    assert_eq!(blocks_earned(&scene), u128::from(PAID + 4));
}

#[test]
fn a_range_whose_closing_could_not_be_stored_is_open_and_nothing_is_claimed() {
    let mut scene = scene(State::Closing);
    let (v, chain) = (scene.v, scene.chain.clone());
    let effect = scene.waiting.puts.remove(0);
    scene.s.payee.stored(scene.now, effect, false);
    let done = scene.s.run(scene.now);
    assert!(
        (done.events.iter()).any(|e| matches!(e, PayEvent::ClaimsReady { count: 0, .. })),
        "who waits is told"
    );
    scene.later(60_000);
    assert!(scene.s.payee.claims().is_empty());
    assert!(scene.s.payee.is_paying(A) && scene.s.payee.may_send(A));
    scene.s.say(scene.now, A, pay(&v, &chain, PAID + 1));
    assert_eq!(blocks_earned(&scene), u128::from(PAID + 1));
}

#[test]
fn on_a_range_that_the_chain_covers_no_more_nothing_is_sent_until_it_does_again() {
    // A node that is behind shows less than before for a moment; a reorg may show it for good.
    for is_behind in [true, false] {
        let mut scene = scene(State::Attached);
        let before = scene.s.state;
        scene.s.state.balance = TokenUnits(5 * Q.0);
        scene.now = scene.now + Duration::from_secs(30);
        scene.s.payee.tick(scene.now);
        let done = scene.s.run(scene.now);
        assert_eq!(done.reject(), (RejectCode::ChainPending, 0));
        assert!(done.order.contains(&"choke"));
        assert!(!scene.s.payee.may_send(A));
        if is_behind {
            scene.s.state = before;
        }
        scene.now = scene.now + Duration::from_secs(2);
        let again = commit(&scene, &scene.v);
        let done = scene.s.say(scene.now, A, again);
        assert_eq!(scene.s.payee.may_send(A), is_behind);
        if !is_behind {
            assert_eq!(done.reject(), (RejectCode::NotCovered, 7));
        }
    }
}

#[test]
fn links_that_are_not_durable_count_against_the_credit_beyond_a_group() {
    let mut scene = scene(State::Attached);
    let (v, chain) = (scene.v, scene.chain.clone());
    let group = GROUP_STEPS as u16;
    // The credit is a quarter of what was paid.
    let k = 200;
    say(&mut scene, A, pay(&v, &chain, k), is_put);
    assert_eq!(scene.s.payee.totals().undurable_steps, u64::from(k - PAID));
    assert!(k - PAID - group > k / 4);
    assert!(!scene.s.payee.may_send(A), "a crash would forget them");
    scene.settle();
    assert_eq!(scene.s.write(scene.now, A, 300), u32::from(k / 4));
}

#[test]
fn no_block_is_sent_that_the_rest_of_a_range_cannot_pay() {
    for left in [1, 3] {
        let mut s = Selling::new();
        s.connect(ms(0), A);
        let base = FineUnits(Q.fine().0 - left * UNIT.0);
        s.commit(ms(0), A, &voucher(7, base, 1).0);
        assert_eq!(u128::from(s.write(ms(1), A, 9)), left, "the credit is 4");
    }
}

#[test]
fn a_step_past_the_end_of_a_voucher_is_not_taken_though_its_chain_goes_on() {
    // The vault skips such a claim: the whole range would be lost for it.
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let chain = HashChain::generate(voucher(7, FineUnits(0), 1).0.root, 10);
    let v = Voucher {
        steps: 5,
        root: chain.root(),
        ..voucher(7, FineUnits(0), 1).0
    };
    s.commit(ms(0), A, &v);
    let done = s.say(ms(10), A, pay(&v, &chain, 6));
    assert_eq!(done.reject(), (RejectCode::BadPreimage, 6));
    s.say(ms(20), A, pay(&v, &chain, 5));
    assert_eq!(s.payee.totals().redeemable, TokenUnits(50));
}

#[test]
fn one_chain_under_two_vouchers_and_a_fold_below_one_on_its_way_are_refused() {
    let mut scene = scene(State::Attached);
    let (v, chain) = (scene.v, scene.chain.clone());
    say(&mut scene, A, pay(&v, &chain, 70), is_read);
    // Its links would count twice.
    let mut again = voucher(7, v.owed_at(70), 2).0;
    again.root = v.root;
    let message = commit(&scene, &again);
    let done = scene.s.say(scene.now, A, message);
    assert_eq!(done.reject().0, RejectCode::Signature);

    scene.later(2_000);
    let (fold, links) = voucher(7, v.owed_at(70), 3);
    let message = commit(&scene, &fold);
    say(&mut scene, A, message, is_put);
    say(&mut scene, A, pay(&fold, &links, 64), is_put);
    // At the base of the one that is being stored, but below its links.
    let (below, _) = voucher(7, v.owed_at(70), 4);
    let message = commit(&scene, &below);
    say(&mut scene, A, message, |action| {
        is_put(action) || matches!(action, PayAction::Send { .. })
    });
    let told = &scene.waiting.sent;
    let state = |(_, m): &(ConnectionId, PayMessage)| matches!(m, PayMessage::State { k: 64, .. });
    assert!(told.iter().any(state), "{told:?}");
    scene.settle();
    assert_eq!(blocks_earned(&scene), 134);
}

/// Answers that nothing can be stored, as a full disk does, at once and for so many records; how many that were.
fn refuses_to_store(scene: &mut Scene, most: usize) -> usize {
    let stops = |a: &PayAction| is_put(a) || matches!(a, PayAction::Event(PayEvent::StoreFailed));
    let mut refused = 0;
    while refused < most {
        scene.run_to(stops);
        let puts = std::mem::take(&mut scene.waiting.puts);
        if puts.is_empty() {
            break;
        }
        for effect in puts {
            refused += 1;
            scene.s.payee.stored(scene.now, effect, false);
        }
    }
    refused
}

#[test]
fn a_full_disk_is_tried_again_in_time_and_not_at_once() {
    // Fewer links than a group, a group, and more.
    for links in [1, GROUP_STEPS as u16, 200] {
        let mut scene = scene(State::Attached);
        let (v, chain) = (scene.v, scene.chain.clone());
        let k = PAID + links;
        scene.s.payee.message(scene.now, A, pay(&v, &chain, k));
        let mut said = 0;
        for _ in 0..20 {
            assert!(refuses_to_store(&mut scene, 50) <= 2, "{links}: at once");
            said += std::mem::take(&mut scene.waiting.events).len();
            assert!(scene.s.payee.next_timeout() > scene.now, "{links}: never");
            scene.now = scene.now + GROUP_DELAY;
            scene.s.payee.tick(scene.now);
        }
        assert!(said <= 1, "{links}: said {said} times");
        // There is room again.
        scene.run_to(is_put);
        scene.settle();
        assert_eq!(stored(&scene).k, k);
        assert_eq!(scene.s.payee.totals().undurable_steps, 0);
    }
}

#[test]
fn links_of_a_chain_whose_fold_could_not_be_stored_are_stored() {
    let mut scene = scene(State::Attached);
    let (v, chain) = (scene.v, scene.chain.clone());
    scene
        .s
        .payee
        .message(scene.now, A, pay(&v, &chain, PAID + 3));
    let (fold, _) = voucher(7, v.owed_at(PAID + 3), 3);
    let message = commit(&scene, &fold);
    say(&mut scene, A, message, is_put);
    let effect = scene.waiting.puts.remove(0);
    scene.s.payee.stored(scene.now, effect, false);
    scene.settle();
    scene.later(100);
    assert_eq!(scene.s.payee.totals().undurable_steps, 0);
    assert_eq!(stored(&scene).k, PAID + 3);
}
