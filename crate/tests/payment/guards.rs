//! What holds at the limits of one machine, and though something before it went wrong: a wrong key, a lost record, a
//! budget that was lowered.

use crate::hand::*;
use alloy_primitives::Address;
use k256::ecdsa::SigningKey;
use piecework::payment::payee::NEW_RANGE_SPACING;
use piecework::payment::payer::{
    AccountInfo, COMMIT_SPACING, MAX_WASTED_RANGES, Payer, PayerConnState,
};
use piecework::payment::record::Key;
use piecework::payment::voucher::MAX_FINE;
use piecework::payment::{ChainState, ChainUnreadable, EndReason, PayAction, PayEvent, TitleKind};
use piecework::time::Timestamp;
use piecework::types::{ConnectionId, FineUnits, TokenUnits};
use piecework::wire::pay::{NeedReason, PayMessage, RejectCode, Terms, VoucherBody};

// ---- the payer ----

/// Everything the payer asks for up to a signature, which is then one of another key.
fn signed_by_another_key(b: &mut Buying, now: Timestamp) -> Done {
    let waiting = b.run_to(now, |action| matches!(action, PayAction::Sign { .. }));
    let [(effect, digest)] = waiting.signs[..] else {
        panic!("{:?}", waiting.signs);
    };
    let other = SigningKey::from_slice(&[0x12; 32]).unwrap();
    b.payer.signed(now, effect, Ok(sign(&other, digest)));
    b.run(now)
}

/// Three quarters of a range's first chain were revealed: a fold follows.
fn before_fold(b: &mut Buying) -> VoucherBody {
    let v = b.open();
    b.buy(ms(1_000), 0..64);
    b.buy(ms(2_000), 64..128);
    for n in 128..192 {
        b.payer.request_sent(A);
        b.payer.block_received(A, block(n));
        assert!(b.payer.payable(ms(3_000), A, verified(block(n))));
    }
    v
}

#[test]
fn a_voucher_that_another_key_signed_never_leaves() {
    let mut b = Buying::new();
    b.payer.connected(ms(0), A, info(1));
    b.payer.want(ms(0), A, V1, true, MAX_UNIT);
    b.payer.message(ms(0), A, PayMessage::Terms(terms(UNIT)));
    let done = signed_by_another_key(&mut b, ms(0));
    assert!(done.sent.is_empty(), "{:?}", done.sent);
    assert_eq!(b.payer.totals().vouchers_signed, 0);
    b.payer.tick(ms(9_999));
    assert!(b.run(ms(9_999)).sent.is_empty());
    b.payer.tick(ms(10_000));
    assert_eq!(b.run(ms(10_000)).commit().first, 1, "tried again later");
}

#[test]
fn a_fold_that_another_key_signed_leaves_the_old_chain_in_place() {
    let mut b = Buying::new();
    let v = before_fold(&mut b);
    let done = signed_by_another_key(&mut b, ms(3_000));
    assert!(done.sent.is_empty(), "{:?}", done.sent);
    let done = b.buy(ms(3_100), 192..200);
    assert_eq!(done.paid_to(), Some((v.first, v.tag(), 200)));
}

#[test]
fn before_its_ack_a_fold_pays_no_more_than_its_old_chain_could() {
    let mut b = Buying::new();
    let v = before_fold(&mut b);
    let fold = b.run(ms(3_000)).commit();
    assert_eq!(fold.base.0, 192 * UNIT.0);
    let done = b.buy(ms(4_000), 192..256);
    assert_eq!(done.paid_to(), Some((v.first, fold.tag(), 64)));
    let done = b.buy(ms(4_100), 256..260);
    assert_eq!(done.paid_to(), None, "a refusal could not be made good");
    let done = b.ack(ms(4_200), A, &fold, 64);
    assert_eq!(done.paid_to(), Some((v.first, fold.tag(), 68)));
}

#[test]
fn blocks_under_way_are_paid_as_far_as_a_lowered_budget_goes() {
    let mut b = Buying::new();
    let v = b.open();
    b.buy(ms(1_000), 0..4);
    (0..8).for_each(|_| b.payer.request_sent(A));
    b.payer
        .set_budget(ms(1_500), TokenUnits(4 * 10 + 3 * 10 + 9));
    for n in 4..12 {
        b.payer.block_received(A, block(n));
        b.payer.payable(ms(2_000), A, verified(block(n)));
    }
    let done = b.run(ms(2_000));
    assert_eq!(done.paid_to(), Some((v.first, v.tag(), 7)));
    let totals = b.payer.totals();
    assert_eq!((totals.spent.0, totals.unpaid_blocks), (7 * UNIT.0, 5));
    assert_eq!(totals.budget_left, TokenUnits(9).fine());
    assert_eq!(b.payer.may_request(A), 0);
}

#[test]
fn no_more_is_asked_for_than_the_budget_pays() {
    let mut b = Buying::new();
    b.open();
    b.payer.set_budget(ms(1_000), TokenUnits(5 * 10));
    assert_eq!(b.payer.may_request(A), 5);
    b.payer.request_sent(A);
    b.payer.request_sent(A);
    assert_eq!(b.payer.may_request(A), 3, "what is asked for is pledged");
    b.payer.request_ended_without_block(A);
    assert_eq!(b.payer.may_request(A), 4);
}

/// A payer that was told of its account, perhaps wrongly, and has not read the chain yet.
fn unread(wrong: impl Fn(&mut AccountInfo)) -> (Buying, Done) {
    let mut b = Buying::new();
    b.payer = Payer::new(b.config, [5; 32], std::iter::empty());
    let mut account = AccountInfo {
        owner: OWNER,
        session_key: session_address(),
        tranche: Q,
        balance: b.state.balance,
        bond: b.state.bond,
        consumed: b.state.consumed,
        exit_at: 0,
    };
    wrong(&mut account);
    b.payer.set_account(ms(0), account);
    let is_read = |action: &PayAction| matches!(action, PayAction::ReadState { .. });
    let waiting = b.run_to(ms(0), is_read);
    (b, waiting)
}

#[test]
fn a_chain_that_cannot_be_read_is_asked_again_ever_more_seldom() {
    let (mut b, mut waiting) = unread(|_| {});
    let mut now = 0;
    for seconds in [2, 4, 8, 16, 30, 30] {
        let [(effect, _)] = waiting.reads[..] else {
            panic!("{:?}", waiting.reads);
        };
        b.payer.chain_state(ms(now), effect, Err(ChainUnreadable));
        now += seconds * 1_000;
        assert_eq!(b.payer.next_timeout(), ms(now));
        b.payer.tick(ms(now - 1));
        assert!(b.run(ms(now - 1)).events.is_empty());
        b.payer.tick(ms(now));
        let is_read = |action: &PayAction| matches!(action, PayAction::ReadState { .. });
        waiting = b.run_to(ms(now), is_read);
    }
    let (effect, _) = waiting.reads[0];
    b.payer.chain_state(ms(now), effect, Ok(b.state));
    let ready = |e: &PayEvent| matches!(e, PayEvent::AccountReady { next: 1, .. });
    assert!(b.run(ms(now)).events.iter().any(ready));
}

#[test]
fn an_answer_of_another_chain_or_of_no_account_makes_nothing_ready() {
    let other_chain = |state: &mut ChainState| state.chain_id = 1;
    let unknown = |state: &mut ChainState| state.known = false;
    let changes: [&dyn Fn(&mut ChainState); 2] = [&other_chain, &unknown];
    for (change, mismatch) in changes.into_iter().zip([true, false]) {
        let (mut b, waiting) = unread(|_| {});
        let (effect, _) = waiting.reads[0];
        let mut state = b.state;
        change(&mut state);
        b.payer.chain_state(ms(0), effect, Ok(state));
        let done = b.run(ms(0));
        let ready = |e: &PayEvent| matches!(e, PayEvent::AccountReady { .. });
        assert!(!done.events.iter().any(ready), "{:?}", done.events);
        let said = PayEvent::ChainMismatch { chain_id: 1 };
        assert_eq!(done.events.contains(&said), mismatch);
    }
}

#[test]
fn what_the_chain_says_of_the_account_counts_whatever_was_told_of_it() {
    let wrongs: [&dyn Fn(&mut AccountInfo); 4] = [
        &|told| told.balance = TokenUnits(0),
        &|told| told.bond = TokenUnits(0),
        &|told| told.tranche = TokenUnits(0),
        &|told| told.exit_at = 9,
    ];
    for (n, wrong) in wrongs.into_iter().enumerate() {
        let (mut b, waiting) = unread(wrong);
        let (effect, _) = waiting.reads[0];
        b.payer.chain_state(ms(0), effect, Ok(b.state));
        b.run(ms(0));
        let done = b.connect(ms(0), A, V1);
        assert!(done.order.contains(&"commit"), "{n}: {:?}", done.events);
        assert_eq!(b.payer.totals().free.0, 199 * Q.0, "{n}");
    }
}

#[test]
fn a_voucher_to_another_seller_of_ours_is_no_conflict_and_one_never_promised_holds_the_account() {
    let mut b = Buying::new();
    b.open();
    let payee = Address::repeat_byte(0x99);
    let voucher = other_seller(&mut b, ms(20_000), B, payee).commit();
    let done = b.say(ms(21_000), A, PayMessage::Seen { payee, voucher });
    assert!(done.events.is_empty(), "{:?}", done.events);
    assert_eq!(b.payer.held_account(), None);
    let (mut never, _) = crate::hand::voucher(7, FineUnits(0), 9);
    never.payee = payee;
    let voucher = body(&never);
    b.say(ms(22_000), A, PayMessage::Seen { payee, voucher });
    assert_eq!(b.payer.held_account(), b.payer.account_id());
    assert!(b.payer.held_account().is_some());
}

#[test]
fn the_last_block_of_a_budget_is_bought_and_none_after_it() {
    for (budget, bought) in [(10, true), (9, false)] {
        let mut b = Buying::new();
        b.payer.set_budget(ms(0), TokenUnits(budget));
        let done = b.connect(ms(0), A, V1);
        let committed = done.order.contains(&"commit");
        assert_eq!(committed, bought, "{budget}");
        let said = done.events.contains(&PayEvent::BudgetExhausted);
        assert_eq!(said, !bought, "{budget}");
    }
}

#[test]
fn a_promise_at_the_limit_leaves_though_the_wish_is_said_again() {
    let mut b = Buying::new();
    b.payer.connected(ms(0), A, info(1));
    b.payer.want(ms(0), A, V1, true, UNIT);
    b.payer.message(ms(0), A, PayMessage::Terms(terms(UNIT)));
    let waiting = b.run_to(ms(0), |action| {
        matches!(action, PayAction::PutRecord { .. })
    });
    b.payer.want(ms(1), A, V1, true, UNIT);
    for effect in waiting.puts {
        b.payer.stored(ms(2), effect, true);
    }
    assert_eq!(b.run(ms(2)).commit().unit, UNIT);
}

#[test]
fn the_next_range_waits_for_its_second_though_it_is_asked_for() {
    let mut b = Buying::new();
    let v = b.open();
    b.buy(ms(20), 0..4);
    let (reason, first) = (NeedReason::NextRange, v.first);
    let done = b.say(ms(100), A, PayMessage::Need { reason, first });
    assert!(done.sent.is_empty(), "{:?}", done.sent);
    let spaced = u64::try_from(COMMIT_SPACING.as_millis()).unwrap();
    assert_eq!(
        b.payer.next_timeout().min(ms(spaced)),
        b.payer.next_timeout()
    );
    b.payer.tick(ms(spaced - 1));
    assert!(b.run(ms(spaced - 1)).sent.is_empty());
    b.payer.tick(ms(spaced));
    assert_eq!(b.run(ms(spaced)).commit().first, v.first + 1);
}

#[test]
fn who_is_paid_64_blocks_gets_the_next_range_at_once() {
    let mut b = Buying::new();
    let v = b.open();
    b.buy(ms(20), 0..64);
    let (reason, first) = (NeedReason::NextRange, v.first);
    let done = b.say(ms(100), A, PayMessage::Need { reason, first });
    assert_eq!(done.commit().first, v.first + 1);
}

#[test]
fn the_next_range_is_promised_when_the_steps_left_run_short_and_counts_once_it_is_acknowledged() {
    let mut b = Buying::new();
    b.open();
    b.payer.tick(ms(5_000));
    assert!(b.run(ms(5_000)).sent.is_empty(), "a thousand are left");
    let (mut b, v) = Buying::open_of(4);
    b.buy(ms(5_000), 0..1);
    b.payer.tick(ms(7_000));
    b.run(ms(7_000));
    assert_eq!(b.payer.may_request(A), 3, "of the first");
    let first = v.first + 1;
    let next = b
        .store
        .keys()
        .any(|key| matches!(Key::parse(key, &vault()), Some(Key::PayerRange(_, f)) if f == first));
    assert!(next, "the second is promised");
}

#[test]
fn a_quote_that_is_refused_again_and_again_ends_the_purchase() {
    let mut b = Buying::new();
    let mut v = b.connect(ms(0), A, V1).commit();
    for n in 1..=4 {
        b.reject(ms(n * 10_000), &v, RejectCode::PriceOrQuote, 0);
        let ended = PayerConnState::Ended(EndReason::Rejected(RejectCode::PriceOrQuote));
        assert_eq!(b.payer.status(A) == ended, n == 4, "{n}");
        let done = b.say(ms(n * 10_000 + 1), A, PayMessage::Terms(terms(UNIT)));
        assert_eq!(done.order.contains(&"commit"), n < 4, "{n}");
        if n < 4 {
            v = done.commit();
        }
    }
}

#[test]
fn a_payee_that_asks_for_a_fold_gets_one_once_something_was_paid() {
    let mut b = Buying::new();
    let v = b.open();
    let (reason, first) = (NeedReason::Fold, v.first);
    let done = b.say(ms(5_000), A, PayMessage::Need { reason, first });
    assert!(done.sent.is_empty(), "{:?}", done.sent);
    let fold = b.buy(ms(6_000), 0..4).commit();
    assert_eq!((fold.first, fold.base.0), (v.first, 4 * UNIT.0));
    // Refused before anything was revealed on it: there is nothing to say again.
    let done = b.reject(ms(6_010), &fold, RejectCode::ChainPending, 0);
    assert!(done.sent.is_empty(), "{:?}", done.sent);
    let done = b.buy(ms(6_020), 4..8);
    assert_eq!(done.paid_to(), Some((v.first, v.tag(), 8)));
}

#[test]
fn a_chain_that_lasts_to_the_end_of_its_range_is_not_folded() {
    let (mut b, v) = Buying::open_of(4);
    assert_eq!(v.steps, 4);
    let done = b.buy(ms(5_000), 0..3);
    assert_eq!(done.paid_to(), Some((v.first, v.tag(), 3)));
    let folds = |(_, m): &(ConnectionId, PayMessage)| {
        let of_range = |voucher: &VoucherBody| voucher.first == v.first;
        matches!(m, PayMessage::Commit { voucher, .. } if of_range(voucher))
    };
    assert!(!done.sent.iter().any(folds), "{:?}", done.sent);
}

/// How many ranges a seller gets that closes each, of eight at most, after so many of its four steps.
fn ranges_closed_after(used: u32) -> usize {
    let (mut b, v) = Buying::open_of(4);
    let mut ranges = vec![v];
    for n in 0..8 {
        let Some(v) = ranges.get(n).copied() else {
            break;
        };
        let now = 10_000 * (n as u64 + 1);
        let mut sent = b.buy(ms(now), 0..used).sent;
        let (reason, first) = (NeedReason::RangeClosed, v.first);
        sent.extend(
            b.say(ms(now + 10), A, PayMessage::Need { reason, first })
                .sent,
        );
        b.payer.tick(ms(now + 2_000));
        sent.extend(b.run(ms(now + 2_000)).sent);
        while let Some((_, message)) = sent.pop() {
            if let PayMessage::Commit { voucher, .. } = message {
                sent.extend(b.ack(ms(now + 2_010), A, &voucher, 0).sent);
                ranges.push(voucher);
            }
        }
    }
    ranges.len()
}

#[test]
fn a_range_that_is_closed_when_half_of_it_is_used_is_not_held_against_its_seller() {
    // One more was promised before the last of these was closed.
    assert_eq!(ranges_closed_after(1), MAX_WASTED_RANGES + 1);
    assert!(ranges_closed_after(2) >= 8);
}

#[test]
fn received_blocks_are_advanced_only_when_the_credit_is_used_up() {
    let mut b = Buying::new();
    let title = TitleKind::V1 { piece_blocks: 16 };
    let v = b.connect(ms(0), A, title).commit();
    b.ack_with(ms(10), A, &v, 8);
    (0..8).for_each(|_| b.payer.request_sent(A));
    assert_eq!(b.payer.needs_advance(A), None, "nothing has come");
    for n in 0..4 {
        b.payer.block_received(A, block(n));
    }
    assert_eq!(
        b.payer.needs_advance(A),
        None,
        "half of the credit stays unpaid"
    );
    for n in 4..7 {
        b.payer.block_received(A, block(n));
    }
    assert_eq!(b.payer.needs_advance(A), Some(3));
    b.payer.request_ended_without_block(A);
    assert_eq!(b.payer.needs_advance(A), None, "one more may be asked for");
}

#[test]
fn a_credit_of_one_block_is_advanced_whole_or_nothing_more_would_ever_be_asked_for() {
    for (credit, advanced) in [(1, 1), (2, 1), (3, 1), (4, 2)] {
        let mut b = Buying::new();
        let title = TitleKind::V1 { piece_blocks: 16 };
        let v = b.connect(ms(0), A, title).commit();
        b.ack_with(ms(10), A, &v, credit);
        for n in 0..u32::from(credit) {
            b.payer.request_sent(A);
            b.payer.block_received(A, block(n));
        }
        assert_eq!(b.payer.may_request(A), 0);
        assert_eq!(b.payer.needs_advance(A), Some(advanced), "{credit}");
    }
}

#[test]
fn a_piece_longer_than_the_steps_of_two_ranges_is_advanced_and_goes_on() {
    const STEPS: u32 = 5;
    let unit = FineUnits(Q.fine().0 / u128::from(STEPS));
    let title = TitleKind::V1 { piece_blocks: 64 };
    let mut b = Buying::new();
    b.payer.set_ceiling(ms(0), unit);
    b.payer.connected(ms(0), A, info(1));
    b.payer.want(ms(0), A, title, true, unit);
    let one = b.say(ms(0), A, PayMessage::Terms(terms(unit))).commit();
    b.ack(ms(10), A, &one, 0);
    b.buy(ms(20), 0..1);
    b.payer.tick(ms(2_000));
    let two = b.run(ms(2_000)).commit();
    b.ack(ms(2_010), A, &two, 0);
    let steps = b.payer.may_request(A);
    assert_eq!(
        (two.first, steps),
        (2, 2 * STEPS - 1 + u32::from(two.count - 1) * STEPS)
    );
    assert!(steps < 64);
    for n in 0..steps {
        b.receive(A, block(100 + n));
    }
    assert_eq!(b.payer.may_request(A), 0);
    assert_eq!(b.payer.needs_advance(A), Some(steps / 2));
}

/// The store without the account's own record.
fn lose_account(b: &mut Buying) {
    let before = b.store.len();
    b.store
        .retain(|key, _| !matches!(Key::parse(key, &vault()), Some(Key::PayerAccount(_))));
    assert_eq!(b.store.len(), before - 1);
}

/// Another seller at another address.
fn other_seller(b: &mut Buying, now: Timestamp, conn: ConnectionId, payee: Address) -> Done {
    b.payer.connected(now, conn, info_at("203.0.113.8"));
    b.payer.want(now, conn, V1, true, MAX_UNIT);
    let terms = Terms {
        payee,
        ..terms(UNIT)
    };
    b.say(now, conn, PayMessage::Terms(terms))
}

#[test]
fn serials_of_ranges_on_record_are_taken_though_the_accounts_record_is_lost() {
    let mut b = Buying::new();
    let v = b.open();
    lose_account(&mut b);
    b.restart(ms(1_000));
    let done = other_seller(&mut b, ms(20_000), B, Address::repeat_byte(0x99));
    assert_eq!(done.commit().first, v.first + u32::from(v.count));
}

#[test]
fn a_range_that_was_refused_by_who_sold_on_it_is_not_offered_again_under_the_same_name() {
    for code in [RejectCode::NotCovered, RejectCode::RangeTooSmall] {
        for sold in [0, 4] {
            let mut b = Buying::new();
            let v = b.open();
            b.buy(ms(20), 0..sold);
            b.reject(ms(30), &v, code, 0);
            let next = other_seller(&mut b, ms(20_000), B, PAYEE).commit().first;
            // Who sold nothing may not be the payee that it names.
            let expected = match sold {
                0 => v.first,
                _ => v.first + u32::from(v.count),
            };
            assert_eq!(next, expected, "{code:?} {sold}");
        }
    }
}

#[test]
fn a_range_in_use_is_not_promised_on_a_second_connection() {
    let mut b = Buying::new();
    let v = b.open();
    b.buy(ms(1_000), 0..4);
    let done = other_seller(&mut b, ms(20_000), B, PAYEE);
    assert_eq!(done.commit().first, v.first + u32::from(v.count));
    b.payer.disconnected(ms(21_000), A);
    b.run(ms(21_000));
    b.payer.disconnected(ms(21_000), B);
    b.run(ms(21_000));
    let again = other_seller(&mut b, ms(40_000), B, PAYEE).commit();
    assert_eq!((again.first, again.base.0), (v.first, 4 * UNIT.0));
}

#[test]
fn a_record_under_another_ranges_name_is_not_read() {
    let mut b = Buying::new();
    b.open();
    let of_range = |key: &str| match Key::parse(key, &vault()) {
        Some(Key::PayerRange(account, first)) => Some((account, first)),
        _ => None,
    };
    let (account, first, record) = b
        .store
        .iter()
        .find_map(|(key, value)| of_range(key).map(|(id, first)| (id, first, value.clone())))
        .unwrap();
    let wrong = Key::PayerRange(account, first + 1).text(&vault());
    b.store.insert(wrong.clone(), record);
    let done = b.restart(ms(1_000));
    let unreadable = PayEvent::RecordUnreadable { key: wrong };
    assert!(done.events.contains(&unreadable), "{:?}", done.events);
}

// ---- the payee ----

/// Whether a seller at this price says so.
fn quotes(unit: FineUnits) -> bool {
    let done = Selling::asking(unit).connect(ms(0), A);
    let terms = |m: &PayMessage| matches!(m, PayMessage::Terms(t) if t.unit == unit);
    done.sent.iter().any(|(_, m)| terms(m))
}

#[test]
fn any_price_that_a_voucher_can_name_is_quoted_and_no_other() {
    assert!(quotes(FineUnits(1)));
    assert!(quotes(MAX_FINE));
    assert!(!quotes(FineUnits(0)));
    assert!(!quotes(FineUnits(MAX_FINE.0 + 1)));
}

#[test]
fn the_last_serial_that_the_deposit_covers_is_sold_for_and_the_next_is_not() {
    // One consumed and two hundred left.
    for (first, covered) in [(200, true), (201, false)] {
        let mut s = Selling::new();
        s.connect(ms(0), A);
        let (v, _) = voucher(first, FineUnits(0), 1);
        let done = s.commit(ms(0), A, &v);
        assert_eq!(s.payee.is_paying(A), covered, "{first}");
        if !covered {
            assert_eq!(done.reject().0, RejectCode::NotCovered);
        }
    }
}

#[test]
fn a_promise_goes_up_to_its_ranges_worth_and_not_one_step_further() {
    let whole = Q.fine().0 / UNIT.0;
    for (extra, taken) in [(0, true), (1, false)] {
        let mut s = Selling::new();
        s.connect(ms(0), A);
        let (mut v, _) = voucher(7, FineUnits((whole - 256) * UNIT.0), 1);
        assert_eq!(v.steps, 256);
        v.base.0 += extra;
        let done = s.commit(ms(0), A, &v);
        assert_eq!(s.payee.is_paying(A), taken, "{extra}");
        if !taken {
            assert_eq!(done.reject().0, RejectCode::RangeTooSmall);
        }
    }
}

#[test]
fn a_fold_goes_up_to_its_ranges_worth_and_not_one_step_further() {
    let whole = Q.fine().0 / UNIT.0;
    for (extra, taken) in [(0, true), (1, false)] {
        let mut s = Selling::new();
        s.connect(ms(0), A);
        let (v, _) = voucher(7, FineUnits(0), 1);
        s.commit(ms(0), A, &v);
        let (mut fold, _) = voucher(7, FineUnits((whole - 256) * UNIT.0), 2);
        fold.base.0 += extra;
        let done = s.commit(ms(2_000), A, &fold);
        let acked = done.order.contains(&"ack");
        assert_eq!(acked, taken, "{extra}: {:?}", done.sent);
        if !taken {
            assert_eq!(done.reject().0, RejectCode::RangeTooSmall);
        }
    }
}

#[test]
fn a_new_range_is_looked_at_once_its_time_has_come_and_not_before() {
    let spacing = u64::try_from(NEW_RANGE_SPACING.as_millis()).unwrap();
    for (at, taken) in [(spacing - 1, false), (spacing, true)] {
        let mut s = Selling::new();
        s.connect(ms(0), A);
        let (first, _) = voucher(7, FineUnits(0), 1);
        s.commit(ms(0), A, &first);
        let (next, _) = voucher(8, FineUnits(0), 2);
        let done = s.commit(ms(at), A, &next);
        assert_eq!(done.order.contains(&"ack"), taken, "{at}");
        if !taken {
            assert_eq!(done.reject(), (RejectCode::Rate, 1));
        }
    }
}

#[test]
fn the_serials_of_a_range_are_its_own_also_from_the_same_first_one() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, _) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    let (mut wider, _) = voucher(7, FineUnits(0), 2);
    wider.count = 2;
    let done = s.commit(ms(2_000), A, &wider);
    assert_eq!(done.reject(), (RejectCode::Conflict, 7));
    assert!(done.order.contains(&"seen"), "{:?}", done.order);
}

#[test]
fn a_seller_checks_the_evidence_of_a_connection_four_times() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, _) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    for n in 1..=5 {
        let (mut other, _) = voucher(7, FineUnits(0), n + 1);
        other.payee = Address::repeat_byte(0x99);
        let (payee, voucher) = (other.payee, body(&other));
        let done = s.say(ms(2_000), A, PayMessage::Seen { payee, voucher });
        let conflict = |e: &PayEvent| matches!(e, PayEvent::Conflict { serial: 7, .. });
        assert_eq!(done.events.iter().any(conflict), n <= 4, "{n}");
    }
}

#[test]
fn each_proof_of_a_double_promise_is_held_against_its_serials() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    for (first, tip) in [(20, 2), (30, 3), (30, 3)] {
        let (mut other, _) = voucher(first, FineUnits(0), tip);
        other.payee = Address::repeat_byte(0x99);
        let (payee, voucher) = (other.payee, body(&other));
        s.say(ms(0), A, PayMessage::Seen { payee, voucher });
    }
    for (n, (first, taken)) in [(20, false), (30, false), (40, true)].iter().enumerate() {
        let (v, _) = voucher(*first, FineUnits(0), 1);
        let done = s.commit(ms(2_000 * (n as u64 + 1)), A, &v);
        assert_eq!(done.order.contains(&"ack"), *taken, "{first}");
        if !taken {
            assert_eq!(done.reject(), (RejectCode::Conflict, *first));
        }
    }
}

#[test]
fn a_record_under_another_ranges_or_accounts_name_is_not_read() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    s.say(ms(10), A, pay(&v, &chain, 1));
    let of_range = |key: &str| match Key::parse(key, &vault()) {
        Some(Key::PayeeRange(account, first)) => Some((account, first)),
        _ => None,
    };
    let (account, first, record) = s
        .store
        .iter()
        .find_map(|(key, value)| of_range(key).map(|(id, first)| (id, first, value.clone())))
        .unwrap();
    let mut other = account;
    other.0[0] ^= 1;
    let wrong = [
        Key::PayeeRange(account, first + 1),
        Key::PayeeRange(other, first),
    ]
    .map(|key| key.text(&vault()));
    for key in &wrong {
        s.store.insert(key.clone(), record.clone());
    }
    let done = s.restart(ms(1_000));
    for key in wrong {
        let unreadable = PayEvent::RecordUnreadable { key };
        assert!(done.events.contains(&unreadable), "{:?}", done.events);
    }
    assert_eq!(s.payee.totals().ranges, 1);
}
