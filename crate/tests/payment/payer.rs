//! What each message and each rule of docs/protocol.md brings about at the payer.

use crate::hand::*;
use alloy_primitives::{Address, U256};
use bytes::Bytes;
use piecework::payment::payer::{PENDING_RETRIES, Payer, PayerConnState};
use piecework::payment::record::{Key, PayerAccountRecord};
use piecework::payment::voucher::account_id;
use piecework::payment::{EndReason, PayEvent, PaymentNeed, Refusal, TitleKind};
use piecework::time::{Duration, Timestamp};
use piecework::types::{BlockRef, ConnectionId, FineUnits, InfoHash};
use piecework::wire::pay::{ByeReason, NeedReason, PayMessage, RejectCode};

#[test]
fn a_range_is_stored_then_signed_then_committed_and_steps_pay_blocks() {
    let mut b = Buying::new();
    let done = b.connect(ms(0), A, V1);
    assert_eq!(done.order, ["put", "put", "commit"]);
    let v = done.commit();
    assert_eq!(
        (v.first, v.count, v.base, v.steps),
        (1, 1, FineUnits(0), 256)
    );
    assert_eq!(b.payer.may_request(A), 0, "nothing before the ACK");
    b.ack(ms(10), A, &v, 0);
    assert_eq!(b.payer.may_request(A), 64);
    assert_eq!(b.buy(ms(20), 0..10).paid_to(), Some((1, v.tag(), 10)));
    assert_eq!(b.payer.paid_on(A), (10, FineUnits(10 * UNIT.0)));
}

#[test]
fn no_commit_before_the_metadata_and_none_above_the_ceiling() {
    let mut b = Buying::new();
    assert!(
        !b.connect(ms(0), A, TitleKind::Unknown)
            .order
            .contains(&"commit")
    );
    b.payer.want(ms(1), A, V1, true, MAX_UNIT);
    assert!(b.run(ms(1)).order.contains(&"commit"));
    let mut b = Buying::new();
    b.payer.set_ceiling(ms(0), FineUnits(UNIT.0 - 1));
    let done = b.connect(ms(0), A, V1);
    assert!(!done.order.contains(&"commit"));
    assert_eq!(
        b.payer.status(A),
        PayerConnState::Quoted(Some(Refusal::OverCeiling))
    );
}

#[test]
fn payment_leaves_with_four_blocks_a_quarter_nothing_in_flight_the_next_batch_or_20_ms() {
    let mut b = Buying::new();
    let v = b.open();
    for _ in 0..30 {
        b.payer.request_sent(A);
    }
    let give = |b: &mut Buying, n: u32, now| {
        b.payer.block_received(A, block(n));
        b.payer.payable(now, A, verified(block(n)));
    };
    give(&mut b, 0, ms(20));
    b.payer.end_of_batch(ms(20));
    assert!(b.payer.poll().is_none(), "one block of 64 credit can wait");
    assert_eq!(b.payer.next_timeout(), ms(40));
    b.payer.tick(ms(40));
    assert_eq!(b.run(ms(40)).paid_to(), Some((1, v.tag(), 1)));
    give(&mut b, 1, ms(50));
    b.payer.end_of_batch(ms(50));
    assert!(b.payer.poll().is_none());
    b.payer.end_of_batch(ms(51));
    assert_eq!(
        b.run(ms(51)).paid_to(),
        Some((1, v.tag(), 2)),
        "the next batch"
    );
    for n in 2..6 {
        give(&mut b, n, ms(60));
    }
    assert_eq!(
        b.run(ms(60)).paid_to(),
        Some((1, v.tag(), 6)),
        "four blocks"
    );
}

#[test]
fn a_pending_chain_is_asked_again_five_times_with_the_identical_commit() {
    let mut b = Buying::new();
    let v = b.connect(ms(0), A, V1).commit();
    let mut now = ms(0);
    for wait in PENDING_RETRIES {
        b.reject(now, &v, RejectCode::ChainPending, 0);
        let early = now + wait - Duration::from_millis(1);
        b.payer.tick(early);
        assert!(b.run(early).order.is_empty());
        now = now + wait;
        assert_eq!(b.payer.next_timeout(), now);
        b.payer.tick(now);
        assert_eq!(b.run(now).commit(), v);
    }
    b.reject(now, &v, RejectCode::ChainPending, 0);
    assert_eq!(
        b.payer.status(A),
        PayerConnState::Ended(EndReason::Rejected(RejectCode::ChainPending))
    );
}

#[test]
fn a_rate_limit_is_waited_out_and_a_quote_refused_waits_for_terms() {
    let mut b = Buying::new();
    let v = b.connect(ms(0), A, V1).commit();
    b.reject(ms(10), &v, RejectCode::Rate, 700);
    b.payer.tick(ms(709));
    assert!(b.run(ms(709)).order.is_empty());
    b.payer.tick(ms(710));
    assert_eq!(b.run(ms(710)).commit(), v);
    b.reject(ms(800), &v, RejectCode::PriceOrQuote, 0);
    assert_eq!(b.payer.status(A), PayerConnState::AwaitingTerms);
    b.say(ms(900), A, PayMessage::Terms(terms(FineUnits(UNIT.0 + 5))));
    b.payer.tick(ms(2_000));
    let again = b.run(ms(2_000)).commit();
    assert_eq!(
        (again.first, again.unit.0),
        (1, UNIT.0 + 5),
        "the same serial"
    );
    assert_ne!(again.root, v.root);
}

#[test]
fn final_refusals_end_the_peer_for_this_run() {
    for code in reject_codes_that_end() {
        let mut b = Buying::new();
        let v = b.connect(ms(0), A, V1).commit();
        b.reject(ms(10), &v, code, 0);
        assert_eq!(
            b.payer.status(A),
            PayerConnState::Ended(EndReason::Rejected(code))
        );
        let done = b.connect(ms(20_000), B, V1);
        assert!(!done.order.contains(&"commit"), "{code:?}");
    }
}

#[test]
fn a_refused_fold_goes_on_with_the_old_chain() {
    let mut b = Buying::new();
    let v = b.open();
    for start in (0..144).step_by(48) {
        let done = b.buy(ms(100 + u64::from(start)), start..start + 48);
        assert!(!done.order.contains(&"commit"));
    }
    let done = b.buy(ms(2_000), 144..192);
    let fold = done.commit();
    assert_eq!((fold.first, fold.base.0), (1, 192 * UNIT.0));
    assert_ne!(fold.root, v.root);
    let after = b.buy(ms(2_100), 192..200);
    assert_eq!(
        after.paid_to(),
        Some((1, fold.tag(), 8)),
        "the new chain from then on"
    );
    let done = b.reject(ms(2_200), &fold, RejectCode::ChainPending, 0);
    assert_eq!(done.paid_to(), Some((1, v.tag(), 200)));
    assert_eq!(b.payer.totals().spent.0, 200 * UNIT.0);
}

#[test]
fn after_a_restart_the_same_serial_goes_on_from_what_was_durable() {
    let mut b = Buying::new();
    let v = b.open();
    b.buy(ms(100), 0..40);
    b.payer.tick(ms(700));
    b.run(ms(700));
    b.buy(ms(710), 40..50);
    b.restart(ms(1_000));
    let fold = b.connect(ms(1_000), A, V1).commit();
    assert_eq!(
        (fold.first, fold.base.0),
        (1, 40 * UNIT.0),
        "ten steps were not durable"
    );
    assert_ne!(fold.root, v.root);
}

#[test]
fn a_payee_that_is_ahead_is_believed_once_and_only_with_our_signature_and_links() {
    let (v, chain) = voucher(1, FineUnits(0), 5);
    let mut b = Buying::new();
    b.connect(ms(0), A, V1);
    let fold = b.say(ms(10), A, state(&v, &chain, 30)).commit();
    assert_eq!((fold.first, fold.base.0), (1, 30 * UNIT.0));
    b.say(ms(20), A, state(&v, &chain, 40));
    assert_eq!(
        b.payer.status(A),
        PayerConnState::Ended(EndReason::Inconsistent)
    );
    let mut b = Buying::new();
    b.connect(ms(0), A, V1);
    let mut forged = state(&v, &chain, 30);
    if let PayMessage::State { voucher, .. } = &mut forged {
        voucher.base = FineUnits(1 << 30);
    }
    b.say(ms(10), A, forged);
    assert_eq!(
        b.payer.status(A),
        PayerConnState::Ended(EndReason::Inconsistent)
    );
    assert_eq!(b.payer.totals().spent, FineUnits(0));
}

#[test]
fn a_payee_that_is_ahead_on_two_ranges_is_believed_on_both() {
    let (one, one_chain) = voucher(1, FineUnits(0), 5);
    let (two, two_chain) = voucher(2, FineUnits(0), 6);
    let mut b = Buying::new();
    b.connect(ms(0), A, V1);
    let fold = b.say(ms(10), A, state(&one, &one_chain, 30)).commit();
    assert_eq!((fold.first, fold.base.0), (1, 30 * UNIT.0));
    b.ack(ms(20), A, &fold, 0);
    // The next range of the record is behind too: it was paid on right before the run ended.
    let fold = b.say(ms(2_000), A, state(&two, &two_chain, 7)).commit();
    assert_eq!((fold.first, fold.base.0), (2, 7 * UNIT.0));
    assert_eq!(b.payer.totals().spent.0, 37 * UNIT.0);
    b.say(ms(3_000), A, state(&two, &two_chain, 8));
    assert_eq!(
        b.payer.status(A),
        PayerConnState::Ended(EndReason::Inconsistent),
        "twice on one range is not honest"
    );
}

/// No voucher was sent by an action in it.
fn promises_nothing(b: &mut Buying, now: Timestamp, conn: ConnectionId) -> bool {
    !b.connect(now, conn, V1).order.contains(&"commit")
}

fn is_held(done: &Done) -> bool {
    let held = |e: &PayEvent| matches!(e, PayEvent::AccountUnusable { .. });
    done.events.iter().any(held)
}

#[test]
fn an_own_signature_that_is_not_on_record_holds_the_account_in_this_run_and_the_next() {
    let (v, chain) = voucher(40, FineUnits(0), 5);
    let (mut other, _) = voucher(90, FineUnits(0), 6);
    other.payee = Address::repeat_byte(0x98);
    let seen = PayMessage::Seen {
        payee: other.payee,
        voucher: body(&other),
    };
    for (evidence, of_this_payee) in [(state(&v, &chain, 30), true), (seen, false)] {
        let mut b = Buying::new();
        b.connect(ms(0), A, V1).commit();
        let done = b.say(ms(10), A, evidence);
        assert!(is_held(&done));
        let id = b.payer.account_id();
        assert_eq!(b.payer.held_account(), id);
        assert_eq!(b.payer.payment_need(), Some(PaymentNeed::Held));
        if of_this_payee {
            // What is promised to this seller already is paid on.
            assert_eq!(done.commit().first, 40);
        }
        assert!(promises_nothing(&mut b, ms(2_000), B));
        assert!(is_held(&b.restart(ms(0))));
        assert!(promises_nothing(&mut b, ms(0), A));
    }
}

/// Records that know nothing but the next serial.
fn records(next: u64) -> impl Iterator<Item = (String, Bytes)> {
    let record = PayerAccountRecord {
        owner: OWNER,
        session_key: session_address(),
        next,
    };
    let id = account_id(OWNER, session_address());
    std::iter::once((Key::PayerAccount(id).text(&vault()), record.encode()))
}

#[test]
fn a_session_key_whose_records_are_marked_as_behind_promises_nothing() {
    let mark = |key: Address| Key::PayerBehind(key).text(&vault());
    // Also where the records are of before its account was opened.
    for opened in [true, false] {
        let mut b = Buying::new();
        if opened {
            b.open();
        }
        b.store.insert(mark(session_address()), Bytes::new());
        assert!(is_held(&b.restart(ms(0))), "{opened}");
        assert!(promises_nothing(&mut b, ms(0), A), "{opened}");
        assert_eq!(b.payer.payment_need(), Some(PaymentNeed::Held));
    }
    // Another key has other records.
    let mut b = Buying::new();
    b.store
        .insert(mark(Address::repeat_byte(0x98)), Bytes::new());
    assert!(!is_held(&b.restart(ms(0))));
    b.connect(ms(0), A, V1).commit();
}

/// Records as a later version may leave them, or a disk.
fn unreadable(record: &[u8]) -> Vec<Bytes> {
    let mut later = record.to_vec();
    later[0] += 1;
    let longer = [record, &[0]].concat();
    let forms = [
        later,
        longer,
        record[..record.len() - 1].to_vec(),
        Vec::new(),
    ];
    forms.map(Bytes::from).to_vec()
}

#[test]
fn what_an_unreadable_record_may_have_promised_is_promised_to_nobody_else() {
    let mut b = Buying::new();
    b.open();
    let is_range = |key: &str| key.ends_with("/range/1");
    let is_account = |key: &str| key.ends_with("/account");
    let both = |key: &str| is_range(key) || is_account(key);
    let whole = b.store.clone();
    for spoils in [&is_range as &dyn Fn(&str) -> bool, &is_account, &both] {
        for form in 0..4 {
            let spoilt = whole.iter().map(|(key, value)| match spoils(key) {
                true => (key.clone(), unreadable(value)[form].clone()),
                false => (key.clone(), value.clone()),
            });
            b.store = spoilt.collect();
            let before = b.store.clone();
            assert!(is_held(&b.restart(ms(0))), "{form}");
            b.payer.connected(ms(0), A, info_at("198.51.100.2"));
            b.payer.want(ms(0), A, V1, true, MAX_UNIT);
            let mut of_another = terms(UNIT);
            of_another.payee = Address::repeat_byte(0x98);
            let done = b.say(ms(0), A, PayMessage::Terms(of_another));
            assert!(!done.order.contains(&"commit"), "{form}");
            assert_eq!(b.store, before, "{form}: written over");
        }
    }
}

#[test]
fn a_title_whose_losses_cannot_be_read_loses_nothing_more() {
    let mut b = Buying::new();
    b.open_at(MAX_UNIT);
    b.payer.request_sent(A);
    b.payer.block_received(A, block(0));
    assert!(b.payer.payable(ms(20), A, advance(block(0))));
    b.run(ms(100));
    let title = Key::PayerTitle(InfoHash([1; 20])).text(&vault());
    for form in unreadable(&b.store[&title].clone()) {
        b.store.insert(title.clone(), form.clone());
        b.restart(ms(0));
        assert!(promises_nothing(&mut b, ms(0), A));
        let refused = PayerConnState::Quoted(Some(Refusal::LossBudget));
        assert_eq!(b.payer.status(A), refused);
        assert_eq!(b.store[&title], form, "written over");
    }
}

#[test]
fn a_consumed_serial_that_was_never_promised_here_holds_the_account() {
    // Consumed serials, and the next one on record: restored from a backup, and beside a copy of the profile.
    let gap = U256::from(1u8) << 3;
    for (spent, next) in [(gap, 1), (U256::from(1u8) << 30, 9), (gap, 9)] {
        let mut b = Buying::new();
        b.state.spent_word = U256::from(1u8) | spent;
        b.state.consumed = 2;
        b.payer = Payer::new(b.config, [9; 32], records(next));
        assert!(is_held(&b.account(ms(0))), "{spent} {next}");
        assert!(promises_nothing(&mut b, ms(0), A));
    }
    // More is consumed than can be found.
    let mut b = Buying::new();
    b.state.consumed = 9;
    b.payer = Payer::new(b.config, [9; 32], records(1));
    assert!(is_held(&b.account(ms(0))));
    assert!(promises_nothing(&mut b, ms(0), A));
}

#[test]
fn consumed_serials_that_were_promised_here_hold_nothing() {
    let mut b = Buying::new();
    b.open();
    b.state.spent_word = U256::from(3u8);
    b.state.consumed = 2;
    assert!(!is_held(&b.restart(ms(0))));
    assert_eq!(b.connect(ms(0), A, V1).commit().first, 2);
}

#[test]
fn a_closed_range_takes_its_last_steps_and_the_next_one_follows() {
    let mut b = Buying::new();
    let v = b.open();
    b.buy(ms(100), 0..20);
    for _ in 0..40 {
        b.payer.request_sent(A);
    }
    b.payer.block_received(A, block(20));
    b.payer.payable(ms(2_000), A, verified(block(20)));
    let done = b.say(
        ms(2_000),
        A,
        PayMessage::Need {
            reason: NeedReason::RangeClosed,
            first: 1,
        },
    );
    assert_eq!(done.paid_to(), Some((1, v.tag(), 21)));
    let next = done.commit();
    assert_eq!(next.first, 2);
    b.restart(ms(5_000));
    let again = b.connect(ms(5_000), B, V1).commit();
    assert_eq!(again.first, 2, "a closed range is never used again");
}

#[test]
fn a_payee_that_closes_range_after_range_unused_gets_no_third() {
    let mut b = Buying::new();
    b.open();
    b.buy(ms(100), 0..20);
    let mut firsts = Vec::new();
    let mut first = 1;
    for turn in 1..=5u64 {
        let now = ms(turn * 2_000);
        let reason = NeedReason::RangeClosed;
        let mut sent = b.say(now, A, PayMessage::Need { reason, first }).sent;
        b.payer.tick(now + Duration::from_secs(1));
        sent.extend(b.run(now + Duration::from_secs(1)).sent);
        let commit = sent.iter().find_map(|(_, m)| match m {
            PayMessage::Commit { voucher, .. } => Some(*voucher),
            _ => None,
        });
        let Some(next) = commit else { break };
        b.ack(now + Duration::from_secs(1), A, &next, 0);
        first = next.first;
        firsts.push(first);
    }
    assert_eq!(firsts, [2], "two were closed before half of them was used");
    assert_eq!(
        b.payer.status(A),
        PayerConnState::Quoted(Some(Refusal::ClosesEarly))
    );
}

#[test]
fn bad_blocks_ban_the_peer_and_debit_the_loss_budget() {
    let mut b = Buying::new();
    let title = TitleKind::V1 { piece_blocks: 8 };
    let v = b.connect(ms(0), A, title).commit();
    b.say(
        ms(10),
        A,
        PayMessage::Ack {
            first: v.first,
            tag: v.tag(),
            k: 0,
            owed_blocks: 0,
            credit_blocks: 4,
        },
    );
    for n in 0..4 {
        assert!(b.payer.may_request(A) > 0);
        b.payer.request_sent(A);
        b.payer.block_received(A, block(n));
    }
    assert_eq!(b.payer.may_request(A), 0);
    assert_eq!(b.payer.needs_advance(A), Some(2), "two of four stay unpaid");
    assert!(b.payer.payable(ms(20), A, advance(block(0))));
    assert!(b.payer.payable(ms(20), A, advance(block(1))));
    assert_eq!(b.run(ms(20)).paid_to(), Some((1, v.tag(), 2)));
    // Never over a second incomplete piece.
    b.payer.request_sent(A);
    b.payer.block_received(A, block(9));
    assert!(!b.payer.payable(ms(21), A, advance(block(9))));
    let blocks: Vec<BlockRef> = (0..4).map(block).collect();
    b.payer.block_invalid(ms(30), A, &blocks);
    let done = b.run(ms(30));
    assert_eq!(done.bans, [A]);
    assert!(done.events.contains(&PayEvent::LossDebited {
        torrent: InfoHash([1; 20]),
        blocks: 2,
        left: 30,
    }));
    assert_eq!(
        b.payer.status(A),
        PayerConnState::Ended(EndReason::SoldBadData)
    );
    assert!(!b.connect(ms(20_000), B, title).order.contains(&"commit"));
}

#[test]
fn a_block_paid_in_advance_is_not_paid_again_when_its_piece_is_verified() {
    let mut b = Buying::new();
    let v = b.connect(ms(0), A, V1).commit();
    b.ack(ms(10), A, &v, 0);
    for n in 0..4 {
        b.payer.request_sent(A);
        b.payer.block_received(A, block(n));
    }
    assert!(b.payer.payable(ms(20), A, advance(block(0))));
    b.run(ms(20));
    assert!(!b.payer.payable(ms(30), A, verified(block(0))));
    for n in 1..4 {
        assert!(b.payer.payable(ms(30), A, verified(block(n))));
    }
    assert!(!b.payer.payable(ms(30), A, verified(block(3))), "nor twice");
    assert_eq!(b.run(ms(30)).paid_to(), Some((1, v.tag(), 4)));
}

#[test]
fn blocks_verified_after_the_connection_is_gone_are_paid_at_the_next_attach() {
    let mut b = Buying::new();
    b.open();
    for n in 0..3 {
        b.payer.request_sent(A);
        b.payer.block_received(A, block(n));
    }
    b.payer.disconnected(ms(100), A);
    b.run(ms(100));
    for n in 0..3 {
        assert!(b.payer.payable(ms(110), A, verified(block(n))));
    }
    let v = b.connect(ms(2_000), B, V1).commit();
    assert_eq!(v.first, 1, "the same range");
    let done = b.ack(ms(2_010), B, &v, 0);
    assert_eq!(done.paid_to(), Some((1, v.tag(), 3)));
}

#[test]
fn a_debt_that_is_not_ours_takes_credit_but_no_money() {
    let mut b = Buying::new();
    let v = b.connect(ms(0), A, V1).commit();
    b.say(
        ms(10),
        A,
        PayMessage::Ack {
            first: v.first,
            tag: v.tag(),
            k: 0,
            owed_blocks: 3,
            credit_blocks: 4,
        },
    );
    assert_eq!(b.payer.may_request(A), 1);
    assert_eq!(b.payer.totals().spent, FineUnits(0));
    let mut b = Buying::new();
    let v = b.connect(ms(0), A, V1).commit();
    b.reject(ms(10), &v, RejectCode::OverCredit, 4);
    assert_eq!(
        b.payer.status(A),
        PayerConnState::Ended(EndReason::PhantomDebt)
    );
}

#[test]
fn a_seller_that_stops_is_paid_for_what_came_and_asked_no_more() {
    let mut b = Buying::new();
    let v = b.open();
    for _ in 0..9 {
        b.payer.request_sent(A);
    }
    b.payer.block_received(A, block(0));
    b.payer.payable(ms(100), A, verified(block(0)));
    let done = b.say(
        ms(100),
        A,
        PayMessage::Bye {
            selling: true,
            reason: ByeReason::Shutdown,
        },
    );
    assert_eq!(done.paid_to(), Some((1, v.tag(), 1)));
    assert_eq!(b.payer.may_request(A), 0);
    assert_eq!(
        b.payer.status(A),
        PayerConnState::Ended(EndReason::RemoteStopped)
    );
}

#[test]
fn shutting_down_pays_stores_and_says_bye() {
    let mut b = Buying::new();
    let v = b.open();
    b.payer.request_sent(A);
    b.payer.request_sent(A);
    b.payer.block_received(A, block(0));
    b.payer.payable(ms(100), A, verified(block(0)));
    b.payer.close(ms(100));
    let done = b.run(ms(100));
    assert_eq!(done.paid_to(), Some((1, v.tag(), 1)));
    assert!(matches!(
        done.sent.last(),
        Some((
            A,
            PayMessage::Bye {
                selling: false,
                reason: ByeReason::Shutdown
            }
        ))
    ));
    b.restart(ms(200));
    assert_eq!(b.payer.totals().spent, UNIT);
}
