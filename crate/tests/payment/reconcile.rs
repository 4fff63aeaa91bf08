//! A buyer and a seller that meet again: what one side lost of a range's end, the other brings back, and nobody gets
//! more by a lie.

use crate::hand::*;
use crate::payee_scene::{Kind, PAID, Scene, State, message, scene};
use alloy_primitives::{Address, B256};
use piecework::payment::PayAction;
use piecework::payment::RECONCILED_RANGES;
use piecework::payment::chain::HashChain;
use piecework::payment::payee::{ClaimOutcome, MAX_EVIDENCE_CHECKS, RedeemScope};
use piecework::payment::voucher::Voucher;
use piecework::types::{ConnectionId, FineUnits};
use piecework::wire::pay::{PayMessage, VoucherBody};

/// A change of what is true, and its name.
type Lie<T> = (&'static str, fn(&mut T));

fn blocks(count: u16) -> FineUnits {
    FineUnits(UNIT.0 * u128::from(count))
}

/// A seller that holds ten steps of range 7, and was killed. Its buyer had paid more.
fn killed() -> (Selling, Voucher, HashChain) {
    let mut s = Selling::new();
    let (v, chain) = voucher(7, FineUnits(0), 1);
    s.connect(ms(0), A);
    s.commit(ms(10), A, &v);
    for k in [4, 8, 10] {
        s.write(ms(20), A, 4);
        s.say(ms(30), A, pay(&v, &chain, k));
    }
    s.payee.tick(ms(1_000));
    s.run(ms(1_000));
    s.restart(ms(5_000));
    assert_eq!(s.payee.totals().earned, blocks(10));
    (s, v, chain)
}

fn is_held(message: &PayMessage) -> bool {
    matches!(message, PayMessage::Held { .. })
}

#[test]
fn a_higher_sum_of_the_buyer_is_stored_and_redeemed() {
    let (mut s, v, _) = killed();
    s.connect(ms(6_000), B);
    let before = s.payee.totals().paid_blocks;
    let done = s.say(ms(6_010), B, sum(&v, blocks(14)));
    assert!(done.sent.is_empty(), "{:?}", done.sent);
    assert!(!s.payee.is_paying(B), "it attaches nothing");
    assert_eq!(s.payee.totals().earned, blocks(14));
    assert_eq!(s.payee.totals().paid_blocks, before + 4);
    s.restart(ms(7_000));
    assert_eq!(s.payee.totals().earned, blocks(14), "it is durable");

    s.payee.prepare_redeem(ms(8_000), RedeemScope::All);
    s.run(ms(8_000));
    let claims = s.payee.take_claims(ms(8_000), 9);
    let [claim] = &claims[..] else {
        panic!("{claims:?}")
    };
    assert_eq!(claim.due, blocks(14).floor());
    assert_eq!(
        (claim.claim.k, claim.claim.base.to::<u128>()),
        (0, blocks(14).0)
    );
}

#[test]
fn a_buyer_that_names_less_is_shown_what_is_held_of_all_its_ranges_once() {
    let (mut s, v, chain) = killed();
    s.connect(ms(6_000), B);
    let done = s.say(ms(6_010), B, sum(&v, blocks(8)));
    assert_eq!(done.sent, [(B, held(&v, &chain, 10))]);
    let done = s.say(ms(6_020), B, sum(&v, blocks(10)));
    assert!(done.sent.is_empty(), "both hold the same");
    let done = s.say(ms(6_030), B, sum(&v, blocks(9)));
    assert_eq!(done.sent, [(B, held(&v, &chain, 10))]);
    assert_eq!(s.payee.totals().earned, blocks(10));
}

#[test]
fn what_a_lying_buyer_names_counts_for_nothing() {
    let (s, v, _) = killed();
    let lies: [Lie<Voucher>; 8] = [
        ("with steps", |v| v.steps = 1),
        ("for another payee", |v| {
            v.payee = Address::repeat_byte(0x34)
        }),
        ("of somebody else's account", |v| {
            v.owner = Address::repeat_byte(0x23)
        }),
        ("of another range", |v| v.first = 8),
        ("of more serials", |v| v.count = 2),
        ("at another price", |v| v.unit = FineUnits(UNIT.0 * 50)),
        ("above the worth of the range", |v| {
            v.base = FineUnits(Q.fine().0 + 1)
        }),
        ("of a lottery", |v| v.luck = B256::repeat_byte(1)),
    ];
    for (named, lie) in lies {
        let mut s = Selling {
            store: s.store.clone(),
            ..Selling::new()
        };
        s.restart(ms(5_000));
        let before = s.store.clone();
        s.connect(ms(6_000), B);
        let mut said = Voucher {
            base: blocks(14),
            steps: 0,
            ..v
        };
        lie(&mut said);
        s.say(
            ms(6_010),
            B,
            PayMessage::Reconcile {
                voucher: body(&said),
            },
        );
        assert_eq!(s.payee.totals().earned, blocks(10), "a sum {named}");
        assert_eq!(s.store, before, "a sum {named}");
    }
}

#[test]
fn thousands_of_sums_cost_a_few_signature_checks() {
    let (mut s, v, _) = killed();
    s.connect(ms(6_000), B);
    let mut forged = sum(&v, blocks(14));
    if let PayMessage::Reconcile { voucher } = &mut forged {
        voucher.owner = Address::repeat_byte(0x23);
    }
    for _ in 0..5_000 {
        assert!(s.say(ms(6_010), B, forged).sent.is_empty());
    }
    s.say(ms(6_020), B, sum(&v, blocks(14)));
    assert_eq!(
        s.payee.totals().earned,
        blocks(10),
        "it is not looked at any more"
    );

    // Who is known may name each range; here it names one again and again.
    s.connect(ms(7_000), A);
    for more in 1..=1_000 {
        s.say(ms(7_010), A, sum(&v, FineUnits(blocks(10).0 + more)));
    }
    let most = blocks(10).0 + 1 + RECONCILED_RANGES as u128;
    assert_eq!(s.payee.totals().earned, FineUnits(most));
    let few = usize::from(MAX_EVIDENCE_CHECKS) <= RECONCILED_RANGES;
    assert!(few && RECONCILED_RANGES <= 64);
}

/// The sum of range 7 is a step above what was paid.
fn names_a_step_more(scene: &mut Scene) {
    let message = message(Kind::Reconcile, scene);
    scene.s.payee.message(scene.now, A, message);
    scene.run_to(|action| matches!(action, PayAction::PutRecord { .. }));
}

#[test]
fn a_claim_waits_for_a_higher_sum_that_is_being_stored() {
    let mut scene = scene(State::Ready);
    names_a_step_more(&mut scene);
    assert!(scene.s.payee.take_claims(scene.now, 9).is_empty());
    scene.settle();
    let claims = scene.s.payee.take_claims(scene.now, 9);
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].due, blocks(PAID + 1).floor());
}

#[test]
fn a_sum_that_cannot_be_stored_leaves_everything_as_it_was() {
    let mut scene = scene(State::BuyerLeft);
    names_a_step_more(&mut scene);
    for effect in std::mem::take(&mut scene.waiting.puts) {
        scene.s.payee.stored(scene.now, effect, false);
    }
    scene.settle();
    assert_eq!(scene.s.payee.totals().earned, blocks(PAID));
    let next = pay(&scene.v, &scene.chain, PAID + 2);
    scene.s.say(scene.now, A, next);
    assert_eq!(
        scene.s.payee.totals().earned,
        blocks(PAID + 2),
        "its links still count"
    );
}

#[test]
fn no_sum_counts_while_a_claim_of_its_range_may_be_on_its_way() {
    for (outcome, counts) in [
        (None, false),
        (Some(ClaimOutcome::Unknown), false),
        (Some(ClaimOutcome::Failed), true),
    ] {
        let mut scene = scene(State::Ready);
        let claims = scene.s.payee.take_claims(scene.now, 9);
        if let Some(outcome) = outcome {
            scene
                .s
                .payee
                .redeemed(scene.now, &[(claims[0].id, outcome)]);
        }
        scene.s.run(scene.now);
        names_a_step_more(&mut scene);
        scene.settle();
        let earned = scene.s.payee.totals().earned;
        let held = if counts { PAID + 1 } else { PAID };
        assert_eq!(earned, blocks(held), "{outcome:?}");
    }
}

// ---- the buyer ----

/// The last voucher of range 1, and the link that the buyer revealed last.
struct Revealed {
    voucher: VoucherBody,
    k: u16,
    w: B256,
}

impl Revealed {
    fn held(&self) -> PayMessage {
        PayMessage::Held {
            payee: PAYEE,
            voucher: self.voucher,
            k: self.k,
            w: self.w,
        }
    }
}

/// A buyer that paid twelve blocks, and was killed when eight were on record.
fn forgetful() -> (Buying, Revealed) {
    let mut b = Buying::new();
    let voucher = b.open();
    b.buy(ms(20), 0..8);
    b.payer.tick(ms(1_000));
    b.run(ms(1_000));
    let eight = b.store.clone();
    let paid = b.buy(ms(1_010), 8..12).sent;
    let (k, w) = (paid.iter())
        .find_map(|(_, m)| match m {
            PayMessage::Pay { k, w, .. } => Some((*k, *w)),
            _ => None,
        })
        .unwrap();
    assert_eq!(k, 12);
    b.store = eight;
    b.restart(ms(5_000));
    assert_eq!(b.payer.totals().spent, blocks(8));
    (b, Revealed { voucher, k, w })
}

/// The seller connects and quotes. Its blocks are wanted, but not at its price: so no COMMIT takes a range.
fn meets(b: &mut Buying, conn: ConnectionId) -> Vec<PayMessage> {
    b.payer.connected(ms(6_000), conn, info(1));
    (b.payer).want(ms(6_000), conn, V1, true, FineUnits(UNIT.0 - 1));
    let done = b.say(ms(6_000), conn, PayMessage::Terms(terms(UNIT)));
    done.sent.into_iter().map(|(_, message)| message).collect()
}

fn named(message: &PayMessage) -> Voucher {
    let PayMessage::Reconcile { voucher: body } = message else {
        panic!("{message:?}");
    };
    let (voucher, signature) = Voucher::from_body(body, PAYEE);
    assert_eq!(
        signature.recover(&voucher.digest(&vault())),
        Ok(session_address())
    );
    voucher
}

#[test]
fn a_buyer_that_comes_back_names_its_sum_once_though_the_price_is_too_high() {
    let (mut b, _) = forgetful();
    let said = meets(&mut b, A);
    let [said] = &said[..] else {
        panic!("{said:?}");
    };
    let sum = named(said);
    assert_eq!((sum.base, sum.steps, sum.first), (blocks(8), 0, 1));
    let again = b.say(ms(6_100), A, PayMessage::Terms(terms(UNIT)));
    assert!(again.sent.is_empty(), "{:?}", again.sent);
    assert_eq!(
        b.payer.totals().spent,
        blocks(8),
        "nothing is revealed by it"
    );
}

#[test]
fn a_buyer_without_a_range_of_the_payee_names_nothing() {
    let (mut b, _) = forgetful();
    b.payer.connected(ms(6_000), A, info(1));
    b.payer.want(ms(6_000), A, V1, true, FineUnits(UNIT.0 - 1));
    let mut other = terms(UNIT);
    other.payee = Address::repeat_byte(0x34);
    let done = b.say(ms(6_000), A, PayMessage::Terms(other));
    assert!(done.sent.is_empty(), "{:?}", done.sent);
}

#[test]
fn a_range_that_a_commit_takes_meanwhile_is_not_named() {
    let (mut b, shown) = forgetful();
    b.payer.connected(ms(6_000), A, info(1));
    (b.payer).want(ms(6_000), A, V1, true, FineUnits(UNIT.0 - 1));
    b.payer
        .message(ms(6_000), A, PayMessage::Terms(terms(UNIT)));
    let waiting = b.run_to(ms(6_000), |action| matches!(action, PayAction::Sign { .. }));
    assert_eq!(waiting.signs.len(), 1);
    b.payer.want(ms(6_010), A, V1, true, MAX_UNIT);
    let done = b.run(ms(6_010));
    assert_eq!(done.commit().first, 1);
    for (effect, digest) in waiting.signs {
        b.payer.signed(ms(6_020), effect, Ok(sign(&key(), digest)));
    }
    assert!(b.run(ms(6_020)).sent.is_empty(), "its COMMIT says as much");
    b.say(ms(6_030), A, shown.held());
    assert_eq!(b.payer.totals().spent, blocks(8), "STATE will tell");
}

#[test]
fn a_forgotten_step_is_believed_with_our_signature_and_its_link_alone() {
    let (mut b, shown) = forgetful();
    let lies: [Lie<Revealed>; 4] = [
        ("a link that is none", |r| r.w = B256::repeat_byte(9)),
        ("a step more than was revealed", |r| r.k += 1),
        ("a step past the end", |r| r.k = 300),
        ("another base", |r| r.voucher.base = blocks(20)),
    ];
    for (n, (named, lie)) in lies.into_iter().enumerate() {
        let conn = ConnectionId(10 + n as u64);
        meets(&mut b, conn);
        let mut lied = Revealed { ..shown };
        lie(&mut lied);
        b.say(ms(6_100), conn, lied.held());
        assert_eq!(b.payer.totals().spent, blocks(8), "{named}");
        b.say(ms(6_200), conn, shown.held());
        assert_eq!(
            b.payer.totals().spent,
            blocks(8),
            "who lied is not heard again"
        );
    }
    meets(&mut b, A);
    b.say(ms(6_300), A, shown.held());
    assert_eq!(b.payer.totals().spent, blocks(12));
    b.restart(ms(7_000));
    assert_eq!(b.payer.totals().spent, blocks(12), "it is on record");
}

#[test]
fn somebody_else_who_shows_it_is_not_the_payee() {
    let (mut b, shown) = forgetful();
    b.payer.connected(ms(6_000), A, info(1));
    let mut other = terms(UNIT);
    other.payee = Address::repeat_byte(0x34);
    b.say(ms(6_000), A, PayMessage::Terms(other));
    b.say(ms(6_100), A, shown.held());
    assert_eq!(b.payer.totals().spent, blocks(8));
}

#[test]
fn a_seller_that_shows_less_gets_the_sum_on_record_and_never_more() {
    let (mut b, shown) = forgetful();
    meets(&mut b, A);
    let lost = Revealed {
        k: 0,
        w: shown.voucher.root,
        ..shown
    };
    let mut sums = 0;
    for _ in 0..1_000 {
        for (_, message) in b.say(ms(6_100), A, lost.held()).sent {
            assert_eq!(named(&message).base, blocks(8));
            sums += 1;
        }
    }
    assert_eq!(sums, RECONCILED_RANGES - 1, "one was named at first");
}

#[test]
fn the_sum_of_a_connection_that_is_lost_is_named_on_another_to_the_same_payee() {
    let mut b = Buying::new();
    b.open();
    assert!(meets(&mut b, B).is_empty(), "the only range is in use");
    b.buy(ms(6_100), 0..8);
    b.payer.disconnected(ms(6_200), A);
    let done = b.run(ms(6_200));
    let sums: Vec<_> = done
        .sent
        .iter()
        .map(|(conn, m)| (*conn, named(m).base))
        .collect();
    assert_eq!(sums, [(B, blocks(8))]);
}

#[test]
fn who_only_claims_the_payees_name_learns_neither_account_nor_sum() {
    let (mut b, shown) = forgetful();
    b.payer.connected(ms(6_000), A, info_at("203.0.113.9"));
    let done = b.say(ms(6_000), A, PayMessage::Terms(terms(UNIT)));
    assert!(done.sent.is_empty(), "{:?}", done.sent);
    let less = Revealed { k: 0, ..shown };
    let done = b.say(ms(6_100), A, less.held());
    assert!(done.sent.is_empty(), "{:?}", done.sent);

    (b.payer).want(ms(6_200), A, V1, true, FineUnits(UNIT.0 - 1));
    let done = b.run(ms(6_200));
    let [(A, said)] = &done.sent[..] else {
        panic!("{:?}", done.sent);
    };
    assert_eq!(named(said).base, blocks(8), "where it buys");
}

/// What a seller shows of range 1, signed by the session key: three steps.
fn three_steps(change: fn(&mut Voucher)) -> PayMessage {
    let (mut v, chain) = voucher(1, FineUnits(0), 5);
    change(&mut v);
    held(&v, &chain, 3)
}

#[test]
fn an_own_promise_that_the_records_contradict_holds_the_account_for_good() {
    let promises: [Lie<Voucher>; 3] = [
        ("of more serials", |v| v.count = 2),
        ("of other content", |v| v.content = B256::repeat_byte(7)),
        ("of serials that no range begins with", |v| v.first = 2),
    ];
    for (named, change) in promises {
        let (mut b, _) = forgetful();
        meets(&mut b, A);
        b.say(ms(6_100), A, three_steps(change));
        let account = b.payer.held_account();
        assert!(account.is_some(), "a promise {named}");
        assert_eq!(b.payer.totals().spent, blocks(8), "a promise {named}");
        b.restart(ms(7_000));
        assert_eq!(b.payer.held_account(), account, "a promise {named}");
    }
}

#[test]
fn an_own_promise_whose_range_has_no_record_holds_the_account_below_the_next_serial_too() {
    let (mut b, shown) = forgetful();
    let account = piecework::payment::voucher::account_id(OWNER, session_address());
    let key = piecework::payment::record::Key::PayerRange(account, 1);
    b.store.remove(&key.text(&vault())).unwrap();
    b.restart(ms(5_500));
    assert_eq!(b.payer.held_account(), None);
    meets(&mut b, A);
    b.say(ms(6_100), A, shown.held());
    assert_eq!(b.payer.held_account(), Some(account));
}

#[test]
fn a_step_on_a_range_that_was_never_paid_on_here_holds_the_account() {
    let mut b = Buying::new();
    b.connect(ms(0), A, V1).commit();
    b.payer.disconnected(ms(100), A);
    b.run(ms(100));
    meets(&mut b, B);
    b.say(ms(6_100), B, three_steps(|_| ()));
    assert!(b.payer.held_account().is_some());
    assert_eq!(b.payer.totals().spent, blocks(3));

    // While its COMMIT waits for the answer of another peer, too.
    let mut b = Buying::new();
    meets(&mut b, B);
    b.connect(ms(6_000), A, V1).commit();
    b.say(ms(6_100), B, three_steps(|_| ()));
    assert!(b.payer.held_account().is_some());
    assert_eq!(b.payer.totals().spent, blocks(0), "STATE will tell");
}

#[test]
fn promises_that_were_never_signed_hold_nothing() {
    let (mut b, _) = forgetful();
    meets(&mut b, A);
    b.say(
        ms(6_100),
        A,
        three_steps(|v| {
            v.owner = Address::repeat_byte(0x23);
            v.count = 2;
        }),
    );
    b.say(ms(6_200), A, three_steps(|v| v.count = 2));
    assert_eq!(b.payer.held_account(), None, "it is not heard again");
}

#[test]
fn the_sum_of_a_commit_without_an_answer_is_named_on_a_connection_that_lives() {
    let mut b = Buying::new();
    assert!(meets(&mut b, A).is_empty());
    assert_eq!(b.connect(ms(6_000), B, V1).commit().first, 1);
    b.payer.tick(ms(66_000));
    let done = b.run(ms(66_000));
    let on: Vec<_> = (done.sent.iter())
        .map(|(conn, m)| (*conn, named(m).first))
        .collect();
    assert_eq!(on, [(A, 1)]);
}

/// Eight blocks were paid on a connection that is gone, and no store of their sum succeeded.
fn not_stored() -> Buying {
    let mut b = Buying::new();
    b.open();
    b.buy(ms(20), 0..8);
    b.payer.disconnected(ms(100), A);
    fails(&mut b, ms(100));
    b
}

fn is_put(action: &PayAction) -> bool {
    matches!(action, PayAction::PutRecord { .. })
}

/// The one record that is to be stored now is not.
fn fails(b: &mut Buying, now: piecework::time::Timestamp) {
    let puts = b.run_to(now, is_put).puts;
    let [effect] = puts[..] else {
        panic!("{puts:?}");
    };
    b.payer.stored(now, effect, false);
}

#[test]
fn a_sum_that_no_connection_has_and_that_could_not_be_stored_is_stored_later() {
    let mut b = not_stored();
    assert_eq!(b.payer.next_timeout(), ms(600));
    b.payer.tick(ms(600));
    fails(&mut b, ms(600));
    b.payer.connected(ms(700), B, info(1));
    (b.payer).want(ms(700), B, V1, true, FineUnits(UNIT.0 - 1));
    b.payer.message(ms(700), B, PayMessage::Terms(terms(UNIT)));
    // The record that the RECONCILE waits for.
    fails(&mut b, ms(700));
    assert_eq!(b.payer.next_timeout(), ms(1_200));
    b.payer.tick(ms(1_200));
    fails(&mut b, ms(1_200));
    b.payer.close(ms(1_300));
    assert_eq!(b.run_to(ms(1_300), is_put).puts.len(), 1, "at the end");
    b.payer.tick(ms(9_000));
    assert!(b.run_to(ms(9_000), is_put).puts.is_empty(), "one at a time");
}

#[test]
fn a_sum_that_rose_while_it_was_written_is_named_as_it_is_now() {
    let mut b = not_stored();
    b.payer.connected(ms(200), B, info(1));
    (b.payer).want(ms(200), B, V1, true, FineUnits(UNIT.0 - 1));
    b.payer.message(ms(200), B, PayMessage::Terms(terms(UNIT)));
    let [written] = b.run_to(ms(200), is_put).puts[..] else {
        panic!("one record");
    };
    let (v, chain) = voucher(1, FineUnits(0), 5);
    b.say(ms(300), B, held(&v, &chain, 12));
    b.payer.stored(ms(400), written, true);
    let done = b.run(ms(400));
    let [(B, said)] = &done.sent[..] else {
        panic!("{:?}", done.sent);
    };
    assert_eq!(named(said).base, blocks(12));
}

#[test]
fn messages_of_the_other_role_are_ignored() {
    let (mut s, v, chain) = killed();
    s.connect(ms(6_000), B);
    assert!(s.say(ms(6_010), B, held(&v, &chain, 10)).sent.is_empty());
    let (mut b, _) = forgetful();
    let said = meets(&mut b, A);
    assert!(!said.iter().any(is_held));
    assert!(b.say(ms(6_010), A, sum(&v, blocks(9))).sent.is_empty());
}
