//! Sellers that mean harm, one message at a time: what they say in whatever order makes the payer sign nothing above
//! its ceilings, forget nothing that it revealed, and think nothing ill of anybody else.

use std::collections::BTreeMap;

use crate::hand::*;
use alloy_primitives::{Address, B256};
use piecework::payment::payer::PayerConnState;
use piecework::payment::voucher::Voucher;
use piecework::payment::{EndReason, PayEvent, Refusal};
use piecework::time::Timestamp;
use piecework::types::{ConnectionId, FineUnits, TokenUnits};
use piecework::wire::pay::{NeedReason, PayMessage, RejectCode, VoucherBody};
use proptest::prelude::*;

/// A STATE that shows a voucher and no link: that is, what the payer sent itself.
fn echo(voucher: &VoucherBody) -> PayMessage {
    PayMessage::State {
        payee: PAYEE,
        voucher: *voucher,
        k: 0,
        w: voucher.root,
    }
}

fn commits(done: &Done) -> Vec<VoucherBody> {
    let commit = |(_, m): &(ConnectionId, PayMessage)| match m {
        PayMessage::Commit { voucher, .. } => Some(*voucher),
        _ => None,
    };
    done.sent.iter().filter_map(commit).collect()
}

fn inconsistent() -> PayerConnState {
    PayerConnState::Ended(EndReason::Inconsistent)
}

// ---- prices

#[test]
fn a_voucher_shown_back_buys_nothing_at_a_price_above_the_ceiling() {
    for paid in [0, 1, 40] {
        let mut b = Buying::new();
        let v = b.open();
        b.buy(ms(100), 0..paid);
        b.say(ms(200), A, PayMessage::Terms(terms(Q.fine())));
        let done = b.say(ms(210), A, echo(&v));
        assert_eq!(commits(&done), [], "after {paid} blocks");
        assert_eq!(b.payer.status(A), inconsistent());
        assert_eq!(b.payer.totals().spent.0, u128::from(paid) * UNIT.0);
    }
}

#[test]
fn a_payee_that_is_truly_ahead_is_credited_but_sold_nothing_above_the_ceiling_of_account_or_title()
{
    let (held, chain) = voucher(1, FineUnits(0), 5);
    let high = FineUnits(MAX_UNIT.0 + 1);
    for (unit, title_limit, signs) in [
        (high, MAX_UNIT, false),
        (UNIT, FineUnits(UNIT.0 - 1), false),
        (UNIT, UNIT, true),
    ] {
        let mut b = Buying::new();
        b.connect(ms(0), A, V1);
        // The first COMMIT is on its way: then the price rises, or the title's limit falls.
        b.say(ms(5), A, PayMessage::Terms(terms(unit)));
        b.payer.want(ms(6), A, V1, true, title_limit);
        let done = b.say(ms(10), A, state(&held, &chain, 30));
        assert_eq!(commits(&done).len(), usize::from(signs), "{unit:?}");
        assert_eq!(b.payer.totals().spent.0, 30 * UNIT.0, "it has the links");
    }
}

#[test]
fn a_payee_that_is_ahead_is_not_asked_for_more_once_its_quote_is_too_old() {
    let (held, chain) = voucher(1, FineUnits(0), 5);
    let mut b = Buying::new();
    b.connect(ms(0), A, V1);
    let done = b.say(ms(541_000), A, state(&held, &chain, 30));
    assert_eq!(commits(&done), []);
    assert_eq!(b.payer.totals().spent.0, 30 * UNIT.0);
}

#[test]
fn whatever_the_quotes_each_block_costs_at_most_the_ceiling() {
    let mut b = Buying::new();
    let (mut blocks, mut now) = (0u32, 0);
    for conn in (1..40).map(ConnectionId) {
        now += 20_000;
        let mut commit = b.connect(ms(now), conn, V1).sent.pop();
        for _ in 0..4 {
            let Some((_, PayMessage::Commit { voucher, .. })) = commit else {
                break;
            };
            b.ack(ms(now + 10), conn, &voucher, 0);
            let whole = FineUnits(Q.fine().0 * u128::from(voucher.count));
            b.say(ms(now + 20), conn, PayMessage::Terms(terms(whole)));
            let mut done = b.say(ms(now + 30), conn, echo(&voucher));
            b.say(ms(now + 40), conn, PayMessage::Terms(terms(UNIT)));
            if let Some(dear) = commits(&done).pop() {
                b.ack(ms(now + 50), conn, &dear, 0);
            }
            if b.payer.may_request(conn) > 0 {
                b.payer.request_sent(conn);
                b.payer.block_received(conn, block(blocks));
                (b.payer).payable(ms(now + 60), conn, verified(block(blocks)));
                blocks += 1;
            }
            now += 1_200;
            b.payer.tick(ms(now));
            done.sent.extend(b.run(ms(now)).sent);
            commit = done.sent.pop();
        }
        b.payer.disconnected(ms(now + 100), conn);
        b.run(ms(now + 100));
    }
    let spent = b.payer.totals().spent.0;
    assert!(
        spent <= u128::from(blocks) * MAX_UNIT.0,
        "{spent} for {blocks}"
    );
}

#[test]
fn the_titles_own_limit_holds_though_a_new_price_and_the_wish_for_a_range_come_together() {
    let mut b = Buying::new();
    b.open_at(UNIT);
    b.buy(ms(100), 0..40);
    b.payer
        .message(ms(2_000), A, PayMessage::Terms(terms(MAX_UNIT)));
    let reason = NeedReason::NextRange;
    let done = b.say(ms(2_000), A, PayMessage::Need { reason, first: 1 });
    assert_eq!(commits(&done), []);
    // Back at the old price the range follows.
    let done = b.say(ms(2_010), A, PayMessage::Terms(terms(UNIT)));
    assert_eq!(done.commit().unit, UNIT);
}

#[test]
fn a_promise_that_has_not_left_is_taken_back_when_it_is_not_wanted_any_more() {
    for (wanted, limit) in [(false, MAX_UNIT), (true, FineUnits(UNIT.0 - 1))] {
        let mut b = Buying::new();
        b.payer.connected(ms(0), A, info(1));
        b.payer.want(ms(0), A, V1, true, MAX_UNIT);
        b.payer.message(ms(0), A, PayMessage::Terms(terms(UNIT)));
        // Nothing that it asks for is done yet.
        assert_eq!(b.payer.status(A), PayerConnState::Opening);
        b.payer.want(ms(1), A, V1, wanted, limit);
        assert_eq!(commits(&b.run(ms(2))), []);
        // The serial is not lost.
        b.payer.want(ms(2_000), A, V1, true, MAX_UNIT);
        assert_eq!(b.run(ms(2_000)).commit().first, 1);
    }
}

#[test]
fn no_voucher_without_a_step_is_signed_whatever_the_quote_has_become() {
    let mut b = Buying::new();
    b.open();
    b.buy(ms(100), 0..40);
    let mut useless = terms(UNIT);
    useless.max_steps = 0;
    b.say(ms(200), A, PayMessage::Terms(useless));
    for first in [1, 2] {
        let reason = NeedReason::Fold;
        let done = b.say(ms(2_000), A, PayMessage::Need { reason, first });
        let steps: Vec<u16> = commits(&done).iter().map(|v| v.steps).collect();
        assert!(!steps.contains(&0), "{steps:?}");
    }
}

#[test]
fn credit_is_held_to_what_the_quote_said_when_the_range_was_promised() {
    let mut b = Buying::new();
    let mut small = terms(UNIT);
    (small.credit0, small.credit_max) = (4, 8);
    b.payer.connected(ms(0), A, info(1));
    b.payer.want(ms(0), A, V1, true, MAX_UNIT);
    let v = b.say(ms(0), A, PayMessage::Terms(small)).commit();
    b.say(ms(5), A, PayMessage::Terms(terms(UNIT)));
    b.ack_with(ms(10), A, &v, u16::MAX);
    assert_eq!(b.payer.may_request(A), 8);
}

// ---- what was revealed

#[test]
fn a_voucher_shown_back_takes_nothing_back_that_was_spent() {
    let mut b = Buying::new();
    b.payer.set_budget(ms(0), TokenUnits(400));
    let v = b.open();
    b.buy(ms(100), 0..40);
    assert_eq!(b.payer.may_request(A), 0, "the budget is used up");
    let done = b.say(ms(200), A, echo(&v));
    assert_eq!(commits(&done), []);
    assert_eq!(b.payer.totals().spent, FineUnits(40 * UNIT.0));
    assert_eq!(b.payer.totals().budget_left, FineUnits(0));
    b.payer.disconnected(ms(300), A);
    b.restart(ms(400));
    assert_eq!(b.payer.totals().spent, FineUnits(40 * UNIT.0));
}

#[test]
fn a_state_about_a_range_that_is_closed_or_elsewhere_or_another_payees_changes_nothing() {
    let (ahead, chain) = voucher(1, FineUnits(0), 5);
    type Change = fn(&mut Buying);
    let cases: [(&str, Change); 3] = [
        ("closed", |b| {
            // By who sold on it.
            b.payer.request_sent(B);
            b.payer.block_received(B, block(0));
            assert!(b.payer.payable(ms(15), B, verified(block(0))));
            let reason = NeedReason::RangeClosed;
            b.say(ms(20), B, PayMessage::Need { reason, first: 1 });
        }),
        ("attached elsewhere", |_| {}),
        ("somebody else's", |b| {
            let mut other = terms(UNIT);
            other.payee = Address::repeat_byte(0x99);
            b.say(ms(20), A, PayMessage::Terms(other));
        }),
    ];
    for (named, change) in cases {
        let mut b = Buying::new();
        let conn = if named == "somebody else's" { A } else { B };
        let payee = if conn == A {
            Address::repeat_byte(0x99)
        } else {
            PAYEE
        };
        b.payer.connected(ms(0), conn, info(1));
        b.payer.want(ms(0), conn, V1, true, MAX_UNIT);
        let mut quote = terms(UNIT);
        quote.payee = payee;
        let v = b.say(ms(0), conn, PayMessage::Terms(quote)).commit();
        assert_eq!(v.first, 1);
        b.ack(ms(10), conn, &v, 0);
        change(&mut b);
        // The other seller speaks up about serial 1.
        let second = ConnectionId(9);
        b.payer
            .connected(ms(20_000), second, info_at("198.51.100.9"));
        b.payer.want(ms(20_000), second, V1, true, MAX_UNIT);
        b.say(ms(20_000), second, PayMessage::Terms(terms(UNIT)));
        let done = b.say(ms(20_010), second, state(&ahead, &chain, 30));
        assert_eq!(commits(&done), [], "{named}");
        let sold = u128::from(named == "closed");
        assert_eq!(b.payer.totals().spent.0, sold * UNIT.0, "{named}");
        assert_eq!(b.payer.status(second), inconsistent(), "{named}");
        let told = done
            .events
            .iter()
            .any(|e| matches!(e, PayEvent::Conflict { serial: 1, .. }));
        assert_eq!(told, named == "somebody else's", "{named}");
    }
}

#[test]
fn signatures_are_checked_for_a_connection_four_times() {
    let mut b = Buying::new();
    let open = b.open();
    for n in 0..6u8 {
        let (mut own, _) = voucher(open.first, FineUnits(0), n);
        own.payee = Address::repeat_byte(0x90 + n);
        let seen = PayMessage::Seen {
            payee: own.payee,
            voucher: body(&own),
        };
        let done = b.say(ms(100), A, seen);
        let is_conflict = |e: &PayEvent| matches!(e, PayEvent::Conflict { .. });
        assert_eq!(done.events.iter().any(is_conflict), n < 4, "number {n}");
    }
}

// ---- under somebody else's name

/// B names the payee of the honest A, from another address.
fn impostor(b: &mut Buying, now: u64) -> VoucherBody {
    b.payer.connected(ms(now), B, info_at("198.51.100.9"));
    b.payer.want(ms(now), B, V1, true, MAX_UNIT);
    b.say(ms(now), B, PayMessage::Terms(terms(UNIT))).commit()
}

#[test]
fn what_an_impostor_refuses_is_not_held_against_the_payee_it_names() {
    for code in reject_codes_that_end() {
        let mut b = Buying::new();
        b.open();
        b.buy(ms(100), 0..40);
        let bad = impostor(&mut b, 2_000);
        let (first, tag) = (bad.first, bad.tag());
        let (aux, reason) = (0, NeedReason::NextRange);
        b.say(
            ms(2_010),
            B,
            PayMessage::Reject {
                code,
                first,
                tag,
                aux,
            },
        );
        let done = b.say(ms(5_000), A, PayMessage::Need { reason, first: 1 });
        assert_eq!(commits(&done).len(), 1, "{code:?}");
    }
}

type End = Box<dyn Fn(&mut Buying, &VoucherBody)>;

/// What B can do to a range that it was promised under the name of A's payee.
fn ways_to_end_a_range() -> Vec<(String, End)> {
    let mut ways: Vec<(String, End)> = Vec::new();
    let codes = reject_codes_that_end();
    for code in codes.into_iter().chain([RejectCode::ConsumedOrClosed]) {
        let refuses = move |b: &mut Buying, v: &VoucherBody| {
            let (first, tag, aux) = (v.first, v.tag(), 0);
            let refusal = PayMessage::Reject {
                code,
                first,
                tag,
                aux,
            };
            drop(b.say(ms(2_010), B, refusal));
        };
        ways.push((format!("{code:?}"), Box::new(refuses)));
    }
    let closes: End = Box::new(|b, v| {
        let (reason, first) = (NeedReason::RangeClosed, v.first);
        drop(b.say(ms(2_010), B, PayMessage::Need { reason, first }));
    });
    let lies: End = Box::new(|b, v| drop(b.say(ms(2_010), B, echo(v))));
    let sells_junk: End = Box::new(|b, v| {
        b.ack(ms(2_010), B, v, 0);
        b.payer.request_sent(B);
        b.payer.block_received(B, block(900));
        b.payer.block_invalid(ms(2_020), B, &[block(900)]);
        drop(b.run(ms(2_020)));
    });
    let is_silent: End = Box::new(|b, _| {
        b.payer.tick(ms(62_000));
        b.run(ms(62_000));
        let ended = PayerConnState::Ended(EndReason::NoAnswer);
        assert_eq!(b.payer.status(B), ended);
    });
    for (named, way) in [
        ("closes", closes),
        ("lies", lies),
        ("sells junk", sells_junk),
        ("is silent", is_silent),
    ] {
        ways.push((named.to_owned(), way));
    }
    ways
}

#[test]
fn what_an_impostor_ends_is_not_taken_from_the_payee_it_names() {
    // In this run the payee sold on it, or in an earlier one, or nobody did so far.
    for (sold, earlier) in [(40, false), (40, true), (0, false), (0, true)] {
        for (named, end) in ways_to_end_a_range() {
            let named = format!("{named} after {sold}, {earlier}");
            let mut b = Buying::new();
            let v = b.open();
            b.buy(ms(100), 0..sold);
            b.payer.disconnected(ms(1_000), A);
            b.run(ms(1_000));
            if earlier {
                b.restart(ms(1_500));
            }
            let bad = impostor(&mut b, 2_000);
            assert_eq!(bad.first, v.first);
            end(&mut b, &bad);
            b.payer.disconnected(ms(70_000), B);
            b.run(ms(70_000));
            let again = b.connect(ms(80_000), A, V1).commit();
            assert_eq!(again.first, v.first, "{named}");
            b.ack(ms(80_010), A, &again, 0);
            b.buy(ms(80_100), 40..44);
            // On record, too.
            b.payer.disconnected(ms(81_000), A);
            b.run(ms(81_000));
            b.restart(ms(90_000));
            let again = b.connect(ms(90_000), A, V1).commit();
            assert_eq!(again.first, v.first, "{named}");
        }
    }
}

#[test]
fn who_ended_a_range_of_a_payee_gets_it_no_more_and_the_payee_does() {
    let mut b = Buying::new();
    let mut ended = Vec::new();
    for at in (0..100_000).step_by(20_000) {
        b.payer.connected(ms(at), B, info_at("198.51.100.9"));
        b.payer.want(ms(at), B, V1, true, MAX_UNIT);
        let done = b.say(ms(at), B, PayMessage::Terms(terms(UNIT)));
        for v in commits(&done) {
            let (reason, first) = (NeedReason::RangeClosed, v.first);
            b.say(ms(at), B, PayMessage::Need { reason, first });
            ended.push(first);
        }
        b.payer.disconnected(ms(at), B);
        b.run(ms(at));
    }
    assert_eq!(ended, [1]);
    let v = b.connect(ms(100_000), A, V1).commit();
    assert_eq!(v.first, 1);
}

#[test]
fn who_claims_the_address_of_a_payee_too_refuses_only_for_itself_while_that_payee_sells() {
    for sells in [true, false] {
        let mut b = Buying::new();
        if sells {
            b.open();
            b.buy(ms(100), 0..40);
        }
        let bad = b.connect(ms(2_000), B, V1).commit();
        let (first, tag) = (bad.first, bad.tag());
        let (code, aux) = (RejectCode::Signature, 0);
        let refusal = PayMessage::Reject {
            code,
            first,
            tag,
            aux,
        };
        b.say(ms(2_010), B, refusal);
        let refused = PayerConnState::Ended(EndReason::Rejected(code));
        assert_eq!(b.payer.status(B), refused);
        if sells {
            let (reason, first) = (NeedReason::NextRange, 1);
            let done = b.say(ms(5_000), A, PayMessage::Need { reason, first });
            assert_eq!(commits(&done).len(), 1);
        } else {
            // The two are one: a page knows of an address what a peer says of it.
            b.connect(ms(5_000), A, V1);
            let status = PayerConnState::Quoted(Some(Refusal::PayeeRefused));
            assert_eq!(b.payer.status(A), status);
        }
    }
}

#[test]
fn bad_data_and_debts_of_an_impostor_leave_the_honest_seller_alone() {
    let mut b = Buying::new();
    b.open();
    b.buy(ms(100), 0..40);
    let bad = impostor(&mut b, 2_000);
    let credit = b.payer.may_request(A);
    b.ack(ms(2_010), B, &bad, 0);
    b.payer.request_sent(B);
    b.payer.block_received(B, block(900));
    assert_eq!(b.payer.may_request(A), credit, "its window is its own");
    b.payer.block_invalid(ms(2_020), B, &[block(900)]);
    assert_eq!(b.run(ms(2_020)).bans, [B]);
    assert_eq!(b.payer.status(A), PayerConnState::Attached);
    b.buy(ms(2_100), 40..44);
}

#[test]
fn what_is_owed_to_a_seller_that_is_gone_is_not_paid_to_an_impostor() {
    let mut b = Buying::new();
    b.open();
    for n in 0..3 {
        b.payer.request_sent(A);
        b.payer.block_received(A, block(n));
    }
    b.payer.disconnected(ms(100), A);
    for n in 0..3 {
        assert!(b.payer.payable(ms(110), A, verified(block(n))));
    }
    let bad = impostor(&mut b, 2_000);
    let done = b.ack(ms(2_010), B, &bad, 0);
    assert_eq!(done.paid_to(), None);
    b.payer.disconnected(ms(3_000), B);
    b.run(ms(3_000));
    let v = b.connect(ms(4_000), ConnectionId(3), V1).commit();
    let done = b.ack(ms(4_010), ConnectionId(3), &v, 0);
    assert_eq!(done.paid_to(), Some((v.first, v.tag(), 3)));
}

// ---- closing what was promised

/// Buys one block of each range that A closes, by REJECT 5; answers how many ranges it got.
fn close_each_after_one_block(b: &mut Buying) -> u32 {
    let mut v = b.open();
    for n in 0..400u32 {
        let now = ms(100 + u64::from(n) * 2_000);
        b.buy(now, n..n + 1);
        let mut done = b.reject(now, &v, RejectCode::ConsumedOrClosed, v.first);
        b.payer.tick(ms(1_500 + u64::from(n) * 2_000));
        done.sent
            .extend(b.run(ms(1_500 + u64::from(n) * 2_000)).sent);
        let Some(next) = commits(&done).pop() else {
            return n + 1;
        };
        v = next;
        b.ack(ms(1_500 + u64::from(n) * 2_000), A, &v, 0);
    }
    400
}

#[test]
fn a_seller_that_closes_ranges_early_gets_two_and_the_deposit_stays_free() {
    let mut b = Buying::new();
    let free = b.payer.totals().free;
    assert_eq!(close_each_after_one_block(&mut b), 2);
    assert_eq!(b.payer.totals().free.0, free.0 - 2 * Q.0);
}

#[test]
fn a_seller_that_redeemed_what_it_closed_gets_the_next_range() {
    let mut b = Buying::new();
    assert_eq!(close_each_after_one_block(&mut b), 2);
    // Serials 0, 1 and 2 are consumed.
    b.state.spent_word = alloy_primitives::U256::from(0b111u8);
    b.state.consumed = 3;
    b.payer.tick(ms(60_000));
    assert_eq!(b.run(ms(60_000)).commit().first, 3);
}

// ---- in any order, with any numbers

/// What a payer let out of its hands, as the vault would read it.
#[derive(Default)]
struct Ledger {
    vouchers: BTreeMap<(u32, [u8; 4]), (VoucherBody, u16, B256)>,
    payees: BTreeMap<u32, Address>,
}

impl Ledger {
    fn revealed(&self) -> u128 {
        let mut best: BTreeMap<u32, u128> = BTreeMap::new();
        for (v, k, _) in self.vouchers.values() {
            let owed = v.base.0 + v.unit.0 * u128::from(*k);
            let range = best.entry(v.first).or_default();
            *range = (*range).max(owed);
        }
        best.values().sum()
    }

    /// Holds what left to the rules.
    fn take(&mut self, done: &Done) {
        for (conn, message) in &done.sent {
            match *message {
                PayMessage::Commit { voucher: v, .. } => {
                    assert!(v.unit <= limit(*conn), "signed {:?} for {conn:?}", v.unit);
                    assert!(v.steps > 0, "a voucher of no steps");
                    let payee = payee_of(&v);
                    for serial in v.first..v.first + u32::from(v.count) {
                        let before = *self.payees.entry(serial).or_insert(payee);
                        assert_eq!(before, payee, "serial {serial} is promised twice");
                    }
                    self.vouchers.insert((v.first, v.tag()), (v, 0, v.root));
                }
                PayMessage::Pay { first, tag, k, w } => {
                    let sent = self.vouchers.get_mut(&(first, tag)).unwrap();
                    assert!(k > sent.1 && k <= sent.0.steps);
                    (sent.1, sent.2) = (k, w);
                }
                _ => {}
            }
        }
    }
}

/// Whom a voucher was signed for: the body does not say.
fn payee_of(body: &VoucherBody) -> Address {
    let signed_for = |payee: &Address| {
        let (voucher, signature) = Voucher::from_body(body, *payee);
        signature.recover(&voucher.digest(&vault())) == Ok(session_address())
    };
    PAYEES.into_iter().find(signed_for).unwrap()
}

/// A's title may cost as much as the account's ceiling, B's only half of that.
fn limit(conn: ConnectionId) -> FineUnits {
    if conn == A { MAX_UNIT } else { UNIT }
}

const PAYEES: [Address; 2] = [PAYEE, Address::repeat_byte(0x99)];
const BUDGET: TokenUnits = TokenUnits(3_000);

#[derive(Clone, Copy, Debug)]
struct Step {
    conn: ConnectionId,
    what: u8,
    a: u8,
    b: u8,
    n: u32,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let conn = prop_oneof![Just(A), Just(B)];
    let step = (conn, 0u8..14, any::<u8>(), any::<u8>(), any::<u32>());
    let step = step.prop_map(|(conn, what, a, b, n)| Step {
        conn,
        what,
        a,
        b,
        n,
    });
    proptest::collection::vec(step, 1..60)
}

struct Play {
    b: Buying,
    ledger: Ledger,
    now: u64,
    blocks: u32,
}

impl Play {
    fn new() -> Self {
        let mut play = Play {
            b: Buying::new(),
            ledger: Ledger::default(),
            now: 0,
            blocks: 0,
        };
        play.b.payer.set_budget(ms(0), BUDGET);
        for conn in [A, B] {
            play.connect(conn);
        }
        play
    }

    fn at(&self) -> Timestamp {
        ms(self.now)
    }

    fn connect(&mut self, conn: ConnectionId) {
        let now = self.at();
        let address = if conn == A { "a" } else { "b" };
        self.b.payer.connected(now, conn, info_at(address));
        self.b.payer.want(now, conn, V1, true, limit(conn));
    }

    fn heard(&self, n: u32) -> (VoucherBody, u16, B256) {
        let all: Vec<_> = self.ledger.vouchers.values().collect();
        match all.get(n as usize % all.len().max(1)) {
            Some(known) => **known,
            None => (body(&voucher(77, FineUnits(0), 1).0), 0, B256::ZERO),
        }
    }

    fn step(&mut self, step: Step) {
        let Step {
            conn,
            what,
            a,
            b,
            n,
        } = step;
        let (v, k, w) = self.heard(n);
        let (first, tag) = (v.first, v.tag());
        let now = self.at();
        let message = match what {
            0 | 1 => {
                let units = [
                    UNIT.0 / 3,
                    UNIT.0,
                    MAX_UNIT.0,
                    MAX_UNIT.0 + 1,
                    Q.fine().0,
                    u128::MAX >> 32,
                ];
                let mut t = terms(FineUnits(units[usize::from(a) % units.len()]));
                t.max_steps = [256, 5, 1, 0][usize::from(b) % 4];
                t.credit_max = [128, 8, 0, u16::MAX][n as usize % 4];
                t.payee = PAYEES[usize::from(n >> 8 & 7 == 0)];
                Some(PayMessage::Terms(t))
            }
            2 => Some(PayMessage::Ack {
                first,
                tag,
                k,
                owed_blocks: u32::from(a) * u32::from(b),
                credit_blocks: n as u16,
            }),
            3 => Some(PayMessage::Reject {
                code: RejectCode::from_code(a % 18),
                first,
                tag,
                aux: n,
            }),
            4 => Some(PayMessage::Need {
                reason: NeedReason::from_code(a % 7),
                first,
            }),
            5 => Some(PayMessage::State {
                payee: PAYEES[usize::from(a & 1)],
                voucher: v,
                k: if b & 1 == 0 { 0 } else { k },
                w: if b & 1 == 0 { v.root } else { w },
            }),
            6 => Some(PayMessage::Seen {
                payee: PAYEES[usize::from(a & 1)],
                voucher: v,
            }),
            // The commonest by far is the next thing an honest seller says.
            7 | 8 => {
                let mut last = self
                    .ledger
                    .vouchers
                    .values()
                    .filter(|(v, ..)| v.first % 2 == n % 2);
                last.next_back().map(|(v, k, _)| PayMessage::Ack {
                    first: v.first,
                    tag: v.tag(),
                    k: *k,
                    owed_blocks: 0,
                    credit_blocks: 64,
                })
            }
            9..=11 => {
                self.buy(conn, u32::from(a) % 90);
                None
            }
            12 => {
                self.now += u64::from(n % 3_000);
                let now = self.at();
                self.b.payer.tick(now);
                None
            }
            _ => {
                self.b.payer.disconnected(now, conn);
                self.connect(conn);
                None
            }
        };
        if let Some(message) = message {
            self.b.payer.message(now, conn, message);
        }
    }

    fn buy(&mut self, conn: ConnectionId, blocks: u32) {
        let now = self.at();
        for _ in 0..blocks {
            if self.b.payer.may_request(conn) == 0 {
                break;
            }
            self.b.payer.request_sent(conn);
            self.b.payer.block_received(conn, block(self.blocks));
            (self.b.payer).payable(now, conn, verified(block(self.blocks)));
            self.blocks += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn nothing_is_signed_above_the_ceilings_and_what_was_revealed_stays_spent(steps in steps()) {
        let mut play = Play::new();
        let mut before = 0;
        for step in steps {
            play.step(step);
            let now = play.at();
            let done = play.b.run(now);
            play.ledger.take(&done);
            let (spent, revealed) = (play.b.payer.totals().spent.0, play.ledger.revealed());
            prop_assert_eq!(spent, revealed, "after {:?}", step);
            prop_assert!(spent >= before);
            prop_assert!(spent <= BUDGET.fine().0);
            prop_assert!(spent <= u128::from(play.blocks) * MAX_UNIT.0);
            before = spent;
        }
    }
}
