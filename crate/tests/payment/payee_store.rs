//! When a seller stores links and facts, how it goes on when the store is slow or full, and that no clock of its rings
//! for nothing.

use crate::hand::*;
use crate::payee_scene::{PAID, Scene, State, scene};
use piecework::payment::payee::{GROUP_DELAY, GROUP_STEPS};
use piecework::payment::record::{Key, PayeeFactsRecord, PayeeRangeRecord};
use piecework::payment::voucher::account_id;
use piecework::payment::{PayAction, PayEffect, PayEvent};
use piecework::time::Duration;
use piecework::types::FineUnits;

const NOTHING: FineUnits = FineUnits(0);

fn is_put(action: &PayAction) -> bool {
    matches!(action, PayAction::PutRecord { .. })
}

/// The record of range 7.
fn stored(scene: &Scene) -> PayeeRangeRecord {
    let key = Key::PayeeRange(account_id(OWNER, session_address()), 7).text(&vault());
    PayeeRangeRecord::decode(&scene.s.store[&key]).unwrap()
}

/// The buyer reveals a link; nothing is stored yet.
fn pays(scene: &mut Scene, k: u16) {
    let message = pay(&scene.v, &scene.chain, k);
    scene.s.payee.message(scene.now, A, message);
    scene.run_to(is_put);
}

/// Time passes, and what is to be stored is on its way.
fn storing_later(scene: &mut Scene, by: Duration) {
    scene.now = scene.now + by;
    scene.s.payee.tick(scene.now);
    scene.run_to(is_put);
}

fn the_only(puts: &mut Vec<PayEffect>) -> PayEffect {
    assert_eq!(puts.len(), 1);
    puts.remove(0)
}

/// No clock runs for links to be stored.
fn has_nothing_to_store(scene: &Scene) -> bool {
    scene.s.payee.next_timeout() > scene.now + GROUP_DELAY
}

#[test]
fn links_wait_a_tenth_of_a_second_for_more_of_them() {
    let mut scene = scene(State::Attached);
    pays(&mut scene, PAID + 1);
    scene.later(50);
    assert_eq!(stored(&scene).k, PAID);
    pays(&mut scene, PAID + 2);
    scene.later(50);
    assert_eq!(stored(&scene).k, PAID + 2);
}

#[test]
fn while_a_record_is_being_stored_none_follows_and_no_clock_runs_and_then_all_links_since_are_stored()
 {
    let mut scene = scene(State::Attached);
    pays(&mut scene, PAID + 1);
    storing_later(&mut scene, GROUP_DELAY);
    let effect = the_only(&mut scene.waiting.puts);
    pays(&mut scene, PAID + 2);
    storing_later(&mut scene, GROUP_DELAY * 2);
    assert!(scene.waiting.puts.is_empty(), "one at a time");
    assert!(scene.s.payee.next_timeout() > scene.now);
    let k = PAID + 2 + GROUP_STEPS as u16;
    pays(&mut scene, k);
    assert!(scene.waiting.puts.is_empty(), "one at a time");
    scene.s.payee.stored(scene.now, effect, true);
    scene.run_to(is_put);
    let effect = the_only(&mut scene.waiting.puts);
    assert_eq!(stored(&scene).k, k);
    scene.s.payee.stored(scene.now, effect, true);
    scene.run_to(is_put);
    assert_eq!(scene.s.payee.totals().undurable_steps, 0);
    assert!(has_nothing_to_store(&scene));
}

#[test]
fn links_revealed_while_their_fold_was_being_stored_are_stored_after_it() {
    let mut scene = scene(State::FoldStoring);
    let (fold, links, _) = scene.best.clone();
    scene.s.payee.message(scene.now, A, pay(&fold, &links, 3));
    scene.settle();
    scene.later(100);
    assert_eq!((stored(&scene).voucher, stored(&scene).k), (fold, 3));
    assert_eq!(scene.s.payee.totals().undurable_steps, 0);
}

#[test]
fn links_of_the_old_chain_under_way_while_its_fold_is_being_stored_are_no_bad_ones() {
    let mut scene = scene(State::FoldStoring);
    for more in 1..=3 {
        let late = pay(&scene.v, &scene.chain, PAID + more);
        let done = scene.s.say(scene.now, A, late);
        assert!(done.sent.is_empty() && done.closed.is_empty(), "{more}");
    }
    let (fold, links, _) = scene.best.clone();
    scene.s.payee.message(scene.now, A, pay(&fold, &links, 3));
    scene.settle();
    assert_eq!(scene.s.payee.totals().earned, fold.owed_at(3));
}

#[test]
fn a_fold_without_links_leaves_nothing_to_store_whether_or_not_it_was_stored() {
    for ok in [true, false] {
        let mut scene = scene(State::FoldStoring);
        let effect = the_only(&mut scene.waiting.puts);
        scene.s.payee.stored(scene.now, effect, ok);
        scene.run_to(|_| false);
        assert!(has_nothing_to_store(&scene), "{ok}");
    }
}

#[test]
fn a_full_disk_is_said_once_until_something_could_be_stored() {
    let mut scene = scene(State::Attached);
    let mut said = Vec::new();
    for (n, ok) in [true, false, false, true, false].into_iter().enumerate() {
        pays(&mut scene, PAID + 1 + n as u16);
        storing_later(&mut scene, GROUP_DELAY);
        let effect = the_only(&mut scene.waiting.puts);
        scene.s.payee.stored(scene.now, effect, ok);
        scene.run_to(|a| matches!(a, PayAction::Event(_)));
        let events = std::mem::take(&mut scene.waiting.events);
        said.push(events.contains(&PayEvent::StoreFailed));
    }
    assert_eq!(said, [false, true, false, false, true]);
}

#[test]
fn what_an_account_paid_in_all_is_stored_with_each_256_blocks() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, NOTHING, 1);
    s.commit(ms(0), A, &v);
    let facts = Key::PayeeFacts(account_id(OWNER, session_address())).text(&vault());
    s.say(ms(10), A, pay(&v, &chain, 255));
    assert!(!s.store.contains_key(&facts));
    s.say(ms(20), A, pay(&v, &chain, 256));
    s.payee.tick(ms(200));
    s.run(ms(200));
    let stored = PayeeFactsRecord::decode(&s.store[&facts]).unwrap();
    assert_eq!(stored.paid_total, 256);
}

#[test]
fn a_range_in_use_and_a_crumb_left_alone_set_no_clock_for_redemption() {
    let idle = Duration::from_secs(100);
    let mut s = Selling::with(|c| c.redeem_idle = idle);
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, NOTHING, 1);
    s.commit(ms(0), A, &v);
    s.say(ms(10), A, pay(&v, &chain, 1));
    for at in [200, 31_000, 92_000] {
        s.payee.tick(ms(at));
        s.run(ms(at));
    }
    assert!(s.payee.next_timeout() > ms(0) + idle, "in use");
    s.payee.disconnected(ms(92_000), A);
    s.run(ms(92_000));
    let due = ms(92_000) + idle;
    assert_eq!(s.payee.next_timeout(), due);
    s.payee.tick(due);
    assert!(s.run(due).events.is_empty(), "a block is no item");
    assert!(s.payee.next_timeout() > due);
}
