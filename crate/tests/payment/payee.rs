//! What each message and each rule of docs/protocol.md brings about at the payee.

use crate::hand::*;
use alloy_primitives::{Address, B256, U256};
use piecework::payment::PayEvent;
use piecework::payment::payee::{ClaimOutcome, RedeemScope};
use piecework::payment::voucher::Voucher;
use piecework::time::Duration;
use piecework::types::{ConnectionId, FineUnits, TokenUnits};
use piecework::wire::pay::{ByeReason, NeedReason, PayMessage, RejectCode, Terms};

#[test]
fn terms_go_only_to_buyers_on_the_same_vault_and_only_at_a_price() {
    let mut s = Selling::new();
    assert!(matches!(
        s.connect(ms(0), A).sent[..],
        [(
            A,
            PayMessage::Terms(Terms {
                unit: UNIT,
                payee: PAYEE,
                ..
            })
        )]
    ));
    let mut other = info(2);
    other.handshake.as_mut().unwrap().chain_id = 1;
    s.payee.connected(ms(0), B, other, UNIT);
    assert!(s.run(ms(0)).sent.is_empty());
    s.payee.connected(ms(0), ConnectionId(3), info(1), UNIT);
    assert!(s.run(ms(0)).sent.is_empty());
    let mut free = Selling::asking(FineUnits(0));
    assert!(free.connect(ms(0), A).sent.is_empty());
}

#[test]
fn a_commit_is_checked_stored_acknowledged_and_then_unchoked() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let done = s.commit(ms(0), A, &voucher(7, FineUnits(0), 1).0);
    assert_eq!(done.order, ["put", "ack", "unchoke"]);
    assert_eq!(done.ack(), (0, 0, 4));
    assert!(s.payee.is_paying(A));
    assert_eq!(s.write(ms(1), A, 100), 4, "credit0");
}

#[test]
fn each_thing_wrong_with_a_commit_has_its_code() {
    let refused = |change: &dyn Fn(&mut Voucher, &mut Selling)| {
        let mut s = Selling::new();
        s.connect(ms(0), A);
        let (mut v, _) = voucher(7, FineUnits(0), 1);
        change(&mut v, &mut s);
        s.commit(ms(0), A, &v).reject()
    };
    use RejectCode::*;
    assert_eq!(refused(&|_, s| s.quote ^= 1).0, PriceOrQuote);
    assert_eq!(refused(&|v, _| v.unit.0 -= 1).0, PriceOrQuote);
    assert_eq!(
        refused(&|v, _| v.luck = B256::repeat_byte(1)).0,
        PriceOrQuote
    );
    assert_eq!(refused(&|v, _| v.content = B256::repeat_byte(1)).0, Content);
    assert_eq!(refused(&|v, _| v.first = 0).0, NotCovered);
    assert_eq!(refused(&|v, _| (v.first, v.count) = (255, 2)).0, NotCovered);
    assert_eq!(refused(&|_, s| s.state.known = false).0, ChainPending);
    assert_eq!(refused(&|_, s| s.state.chain_id = 1).0, ChainPending);
    assert_eq!(refused(&|_, s| s.state.exit_at = 5).0, Exiting);
    assert_eq!(refused(&|v, _| v.first = 201), (NotCovered, 201));
    assert_eq!(
        refused(&|_, s| s.state.spent_word = U256::from(0x81u8)),
        (ConsumedOrClosed, 7)
    );
    assert_eq!(
        refused(&|_, s| s.state.bond = TokenUnits(2_499_999)).0,
        BondTooLow
    );
    assert_eq!(refused(&|v, _| v.base = Q.fine()).0, RangeTooSmall);
    // The order of the chain's checks: an exit is said before a missing cover.
    assert_eq!(
        refused(&|v, s| {
            v.first = 201;
            s.state.exit_at = 5;
        })
        .0,
        Exiting
    );
    let mut s = Selling::with(|c| c.min_range = TokenUnits(10_001).fine());
    s.connect(ms(0), A);
    let done = s.commit(ms(0), A, &voucher(7, FineUnits(0), 1).0);
    assert_eq!(done.reject(), (RangeTooSmall, 2));
}

#[test]
fn a_refused_quote_brings_new_terms_and_the_last_two_are_valid() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let first = s.quote;
    s.payee.set_price_on(ms(1), A, FineUnits(UNIT.0 + 1));
    s.run(ms(1));
    assert_ne!(s.quote, first);
    s.quote = first;
    let done = s.commit(ms(2), A, &voucher(7, FineUnits(0), 1).0);
    assert!(done.order.contains(&"ack"), "the last two quotes are valid");
    s.connect(ms(3), B);
    let old = s.quote;
    s.payee.set_price_on(ms(4), B, FineUnits(UNIT.0 + 2));
    s.payee.set_price_on(ms(5), B, UNIT);
    s.run(ms(5));
    s.quote = old;
    let done = s.commit(ms(6), B, &voucher(8, FineUnits(0), 2).0);
    assert_eq!(done.reject().0, RejectCode::PriceOrQuote);
    assert!(matches!(done.sent.last(), Some((B, PayMessage::Terms(_)))));
}

#[test]
fn a_quote_ends_with_its_ttl_and_is_renewed_at_half() {
    let mut s = Selling::with(|c| c.ttl_secs = 10);
    s.connect(ms(0), A);
    let first = s.quote;
    assert_eq!(s.payee.next_timeout(), ms(5_000));
    let late = s.commit(ms(10_001), A, &voucher(7, FineUnits(0), 1).0);
    assert_eq!(late.reject().0, RejectCode::PriceOrQuote);
    assert_ne!(s.quote, first);
    let done = s.commit(ms(11_500), A, &voucher(7, FineUnits(0), 1).0);
    assert!(done.order.contains(&"ack"));
}

#[test]
fn one_new_range_per_second_and_folds_after_64_steps_are_exempt() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    let hasty = s.commit(ms(300), A, &voucher(8, FineUnits(0), 2).0);
    assert_eq!(hasty.reject(), (RejectCode::Rate, 600));
    s.say(ms(310), A, pay(&v, &chain, 63));
    let (fold, _) = voucher(7, v.owed_at(63), 3);
    assert_eq!(s.commit(ms(320), A, &fold).reject().0, RejectCode::Rate);
    s.say(ms(330), A, pay(&v, &chain, 64));
    let (fold, _) = voucher(7, v.owed_at(64), 3);
    assert!(s.commit(ms(340), A, &fold).order.contains(&"ack"));
}

#[test]
fn a_payment_that_changes_no_credit_is_acknowledged_after_64_steps_or_a_tenth_of_a_second() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    let acks = |done: &Done| done.order.iter().filter(|word| **word == "ack").count();
    assert_eq!(acks(&s.say(ms(310), A, pay(&v, &chain, 1))), 0);
    assert_eq!(acks(&s.say(ms(350), A, pay(&v, &chain, 2))), 0);
    assert_eq!(s.payee.next_timeout(), ms(410), "a tenth after the first");
    s.payee.tick(ms(410));
    let late = s.run(ms(410));
    assert_eq!((acks(&late), late.ack().0), (1, 2));
    // What follows is more than 64 steps, and more credit.
    let many = s.say(ms(411), A, pay(&v, &chain, 66));
    assert_eq!((acks(&many), many.ack().0), (1, 66));
}

#[test]
fn a_lower_fold_is_answered_with_state_and_the_fold_to_it_is_taken() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    s.say(ms(10), A, pay(&v, &chain, 70));
    s.payee.disconnected(ms(20), A);
    s.connect(ms(30), B);
    let (low, _) = voucher(7, v.owed_at(60), 2);
    let done = s.commit(ms(40), B, &low);
    let (
        _,
        PayMessage::State {
            k,
            w,
            voucher: held,
            ..
        },
    ) = done.sent[0]
    else {
        panic!("{:?}", done.sent);
    };
    assert_eq!((k, Some(w), held), (70, chain.link(70), body(&v)));
    assert!(!s.payee.is_paying(B), "STATE does not attach");
    let (fold, _) = voucher(7, v.owed_at(70), 3);
    assert_eq!(s.commit(ms(50), B, &fold).order, ["put", "ack", "unchoke"]);
}

#[test]
fn a_replayed_commit_gets_no_credit_until_a_higher_link_comes() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    s.say(ms(10), A, pay(&v, &chain, 5));
    s.connect(ms(20), B);
    let done = s.commit(ms(30), B, &v);
    assert_eq!(done.ack(), (5, 0, 0));
    assert!(!s.payee.is_paying(B) && s.payee.is_paying(A));
    assert!(!s.payee.may_send(B));
    s.say(ms(40), B, pay(&v, &chain, 5));
    assert!(!s.payee.is_paying(B), "the same link is no proof");
    s.say(ms(50), B, pay(&v, &chain, 6));
    assert!(
        s.payee.is_paying(B) && !s.payee.is_paying(A),
        "the range moved"
    );
    assert!(s.payee.may_send(B));
}

#[test]
fn another_account_or_an_overlapping_range_is_refused_with_evidence() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, _) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    let (mut wide, _) = voucher(6, FineUnits(0), 2);
    wide.count = 2;
    let done = s.commit(ms(1_000), A, &wide);
    assert_eq!(done.order, ["seen", "reject"]);
    assert_eq!(done.reject(), (RejectCode::Conflict, 7));
    assert!(matches!(done.sent[0].1, PayMessage::Seen { voucher, .. } if voucher == body(&v)));
    let (mut foreign, _) = voucher(9, FineUnits(0), 3);
    foreign.owner = Address::repeat_byte(0x23);
    assert_eq!(
        s.commit(ms(2_000), A, &foreign).reject().0,
        RejectCode::Signature
    );
    // A voucher for somebody else that was seen stands against one for us.
    let (mut stolen, _) = voucher(20, FineUnits(0), 4);
    stolen.payee = Address::repeat_byte(0x99);
    s.say(
        ms(2_100),
        A,
        PayMessage::Seen {
            payee: stolen.payee,
            voucher: body(&stolen),
        },
    );
    let done = s.commit(ms(3_000), A, &voucher(20, FineUnits(0), 5).0);
    assert_eq!(done.reject(), (RejectCode::Conflict, 20));
    assert!(
        done.events
            .iter()
            .any(|e| matches!(e, PayEvent::Conflict { serial: 20, .. }))
    );
}

#[test]
fn the_third_bad_preimage_closes_the_connection() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, _) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    let (_, other) = voucher(7, FineUnits(0), 9);
    for turn in 1..=3 {
        let done = s.say(ms(10), A, pay(&v, &other, turn));
        assert_eq!(done.reject().0, RejectCode::BadPreimage);
        assert_eq!(done.closed.len(), usize::from(turn == 3));
    }
}

#[test]
fn over_credit_for_ten_seconds_is_said_and_a_payment_makes_room() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    assert_eq!(s.write(ms(100), A, 9), 4);
    s.payee.tick(ms(10_099));
    assert!(s.run(ms(10_099)).order.is_empty());
    assert_eq!(s.payee.next_timeout(), ms(10_100));
    s.payee.tick(ms(10_100));
    let done = s.run(ms(10_100));
    assert_eq!(done.reject(), (RejectCode::OverCredit, 4));
    assert_eq!(done.order, ["reject", "choke"]);
    let done = s.say(ms(10_200), A, pay(&v, &chain, 2));
    assert_eq!(done.order[..2], ["ack", "unchoke"]);
    assert_eq!(s.write(ms(10_300), A, 9), 2);
}

#[test]
fn who_walks_away_again_and_again_gets_no_more_than_one_credit_window_for_nothing() {
    let mut s = Selling::with(|c| c.credit.most = 16);
    let mut taken = 0;
    for turn in 0..10u64 {
        let conn = ConnectionId(turn + 1);
        s.connect(ms(turn * 2_000), conn);
        let (v, _) = voucher(7, FineUnits(0), 1 + turn as u8);
        let done = s.commit(ms(turn * 2_000), conn, &v);
        if !s.payee.is_paying(conn) {
            // 4 are forgiven, 16 are the window; the walk-away that passes both is the last.
            assert_eq!(done.reject(), (RejectCode::OverCredit, 20));
            break;
        }
        taken += s.write(ms(turn * 2_000 + 1), conn, 9);
        s.payee.disconnected(ms(turn * 2_000 + 2), conn);
        let done = s.run(ms(turn * 2_000 + 2));
        assert!(
            done.events
                .iter()
                .any(|e| matches!(e, PayEvent::WalkedAway { blocks: 4, .. }))
        );
    }
    assert_eq!(taken, 24);
}

#[test]
fn who_attaches_many_connections_before_it_leaves_the_first_gets_no_more_than_who_comes_again_and_again()
 {
    for paid_each in [0, 1] {
        let mut s = Selling::with(|c| c.credit.most = 16);
        let conns: Vec<ConnectionId> = (1..=40).map(ConnectionId).collect();
        for (turn, conn) in conns.iter().enumerate() {
            let at = turn as u64 * 1_000;
            s.connect(ms(at), *conn);
            let (v, chain) = voucher(20 + turn as u32, FineUnits(0), 1 + turn as u8);
            s.commit(ms(at), *conn, &v);
            assert!(s.payee.is_paying(*conn));
            if paid_each > 0 {
                assert_eq!(s.write(ms(at + 1), *conn, 1), 1);
                s.say(ms(at + 2), *conn, pay(&v, &chain, 1));
            }
        }
        let mut taken = 0;
        for (turn, conn) in conns.iter().enumerate() {
            let at = 60_000 + turn as u64 * 1_000;
            taken += s.write(ms(at), *conn, 9);
            s.payee.disconnected(ms(at + 1), *conn);
            s.run(ms(at + 1));
        }
        // 4 are forgiven and a 32nd of what was paid, 16 are the window, and the last of 4 passes both.
        assert_eq!(taken, 24, "{paid_each}");
    }
}

#[test]
fn what_a_dead_connection_owes_does_not_hold_the_one_that_takes_its_range_over() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (full, chain) = voucher(7, FineUnits(Q.fine().0 - 3 * UNIT.0), 7);
    s.commit(ms(0), A, &full);
    s.commit(ms(1_000), A, &voucher(8, FineUnits(0), 8).0);
    s.say(ms(1_010), A, pay(&full, &chain, 3));
    assert_eq!(s.write(ms(1_020), A, 9), 4, "the whole credit");
    assert!(!s.payee.may_send(A));
    // The page was killed: A is dead, but nobody knows yet.
    s.connect(ms(2_000), B);
    s.commit(ms(3_000), B, &voucher(8, FineUnits(0), 9).0);
    assert!(s.payee.is_paying(B) && s.payee.may_send(B));
    assert!(!s.payee.is_paying(A));
}

#[test]
fn unpaid_blocks_are_summed_over_all_connections_of_an_account() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    s.commit(ms(0), A, &voucher(7, FineUnits(0), 1).0);
    s.connect(ms(10), B);
    s.commit(ms(20), B, &voucher(8, FineUnits(0), 2).0);
    assert_eq!(s.write(ms(30), A, 3), 3);
    assert_eq!(s.write(ms(40), B, 9), 1);
}

#[test]
fn a_bye_ends_charging() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    s.commit(ms(0), A, &voucher(7, FineUnits(0), 1).0);
    let bye = PayMessage::Bye {
        selling: false,
        reason: ByeReason::Done,
    };
    assert_eq!(s.say(ms(10), A, bye).order, ["choke"]);
    assert!(!s.payee.is_paying(A) && !s.payee.may_send(A));
    s.payee.block_written(ms(20), A);
    assert_eq!(s.payee.totals().unpaid_blocks, 0);
}

#[test]
fn a_third_range_waits_until_a_full_one_is_redeemed() {
    let mut s = Selling::with(|c| c.max_ranges = 2);
    s.connect(ms(0), A);
    for (i, first) in [7u32, 8].into_iter().enumerate() {
        let now = ms(1_000 * i as u64);
        let base = FineUnits(Q.fine().0 - 3 * UNIT.0);
        let (v, chain) = voucher(first, base, first as u8);
        s.commit(now, A, &v);
        s.say(now + Duration::from_millis(10), A, pay(&v, &chain, 3));
    }
    let (v, _) = voucher(9, FineUnits(0), 9);
    assert_eq!(
        s.commit(ms(3_000), A, &v).reject().0,
        RejectCode::ChainPending
    );
    s.payee.prepare_redeem(ms(3_100), RedeemScope::Due);
    let done = s.run(ms(3_100));
    assert!(done.events.iter().any(|e| matches!(
        e,
        PayEvent::ClaimsReady {
            count: 2,
            due: TokenUnits(20_000)
        }
    )));
    assert!(done.sent.iter().any(|(_, m)| matches!(
        m,
        PayMessage::Need {
            reason: NeedReason::RangeClosed,
            first: 8
        }
    )));
    let claims = s.payee.take_claims(ms(3_200), 1);
    assert_eq!((claims.len(), claims[0].due), (1, Q));
    s.payee
        .redeemed(ms(3_300), &[(claims[0].id, ClaimOutcome::Paid(Q))]);
    s.run(ms(3_300));
    assert_eq!(s.payee.totals().redeemed, Q);
    s.state.spent_word |= U256::from(1u8) << 7;
    s.state.consumed += 1;
    assert!(s.commit(ms(5_000), A, &v).order.contains(&"ack"));
}

#[test]
fn a_restart_keeps_every_link_and_finds_what_was_redeemed_meanwhile() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    s.say(ms(10), A, pay(&v, &chain, 20));
    assert_eq!(s.payee.totals().undurable_steps, 20);
    s.payee.tick(ms(110));
    s.run(ms(110));
    assert_eq!(
        s.payee.totals().undurable_steps,
        0,
        "group commit after 100 ms"
    );
    s.restart(ms(1_000));
    assert_eq!(s.payee.totals().redeemable, TokenUnits(200));
    // Its claim leaves, and nobody hears what became of it.
    s.payee.prepare_redeem(ms(1_100), RedeemScope::All);
    s.run(ms(1_100));
    assert_eq!(s.payee.take_claims(ms(1_200), 1).len(), 1);
    s.state.spent_word |= U256::from(1u8) << 7;
    s.state.consumed += 1;
    let done = s.restart(ms(2_000));
    assert!(
        done.events
            .iter()
            .any(|e| matches!(e, PayEvent::Redeemed { first: 7, .. }))
    );
    let totals = s.payee.totals();
    assert_eq!(
        (totals.redeemable, totals.redeemed),
        (TokenUnits(0), TokenUnits(200))
    );
    // A reorg takes the redemption back: the voucher was kept.
    s.state.spent_word = U256::from(1u8);
    s.payee.tick(ms(32_000));
    s.run(ms(32_000));
    let totals = s.payee.totals();
    assert_eq!(
        (totals.redeemable, totals.redeemed),
        (TokenUnits(200), TokenUnits(0))
    );
    assert_eq!(s.payee.claims().len(), 1);
    // Nobody saw that it was our claim, so the voucher stays as the proof that it was not.
    s.state.spent_word |= U256::from(1u8) << 7;
    s.restart(ms(40_000));
    s.payee.tick(ms(71_000));
    s.run(ms(71_000));
    assert!(s.store.keys().any(|k| k.contains("/range/")));
    assert_eq!(s.payee.totals().redeemed, TokenUnits(200));
}

#[test]
fn a_redemption_is_forgotten_when_its_end_was_seen_and_a_later_read_confirms_it() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    s.say(ms(10), A, pay(&v, &chain, 20));
    s.payee.prepare_redeem(ms(1_100), RedeemScope::All);
    s.run(ms(1_100));
    let claims = s.payee.take_claims(ms(1_200), 1);
    let paid = ClaimOutcome::Paid(claims[0].due);
    s.payee.redeemed(ms(1_300), &[(claims[0].id, paid)]);
    s.run(ms(1_300));
    let is_stored = |s: &Selling| s.store.keys().any(|k| k.contains("/range/"));
    assert!(is_stored(&s), "a reorg may take it back");
    s.state.spent_word |= U256::from(1u8) << 7;
    s.restart(ms(40_000));
    assert!(!is_stored(&s));
    assert_eq!(s.payee.totals().redeemed, TokenUnits(200));
}

#[test]
fn serials_that_somebody_else_redeemed_first_are_no_earnings_and_the_voucher_is_kept_as_proof() {
    let reverted = |s: &mut Selling| {
        s.payee.prepare_redeem(ms(1_000), RedeemScope::All);
        s.run(ms(1_000));
        let claims = s.payee.take_claims(ms(1_100), 1);
        (claims[0].id, ClaimOutcome::Failed)
    };
    let skipped = |s: &mut Selling| (reverted(s).0, ClaimOutcome::Skipped(6));
    type Redeem<'a, T> = Option<&'a dyn Fn(&mut Selling) -> T>;
    let ways: [(&str, Redeem<_>); 3] = [
        ("it was never closed", None),
        ("its transaction reverted", Some(&reverted)),
        ("its transaction skipped it", Some(&skipped)),
    ];
    for (way, redeem) in ways {
        let mut s = Selling::new();
        s.connect(ms(0), A);
        let (v, chain) = voucher(7, FineUnits(0), 1);
        s.commit(ms(0), A, &v);
        s.say(ms(10), A, pay(&v, &chain, 100));
        s.payee.tick(ms(110));
        s.run(ms(110));
        s.state.spent_word |= U256::from(1u8) << 7;
        s.state.consumed += 1;
        let outcome = redeem.map(|redeem| redeem(&mut s));
        s.payee.redeemed(ms(1_200), outcome.as_slice());
        let mut events = s.run(ms(1_200)).events;
        s.payee.tick(ms(40_000));
        events.extend(s.run(ms(40_000)).events);
        let conflict = |e: &&PayEvent| matches!(e, PayEvent::Conflict { serial: 7, .. });
        assert_eq!(events.iter().filter(conflict).count(), 1, "{way}");
        let totals = s.payee.totals();
        let sums = (totals.redeemed, totals.redeemable, totals.earned);
        assert_eq!(sums, (TokenUnits(0), TokenUnits(0), FineUnits(0)), "{way}");
        // Also after a restart; and nothing more is taken on it.
        s.restart(ms(50_000));
        let totals = s.payee.totals();
        assert_eq!(
            (totals.redeemed, totals.redeemable),
            (TokenUnits(0), TokenUnits(0))
        );
        assert!(
            s.store.keys().any(|k| k.ends_with("/range/7")),
            "{way}: the proof"
        );
        s.connect(ms(50_100), B);
        assert_eq!(
            s.commit(ms(50_200), B, &v).reject().0,
            RejectCode::ConsumedOrClosed
        );
        // A reorg takes the other's redemption back: it can be claimed after all.
        s.state.spent_word = U256::from(1u8);
        s.restart(ms(60_000));
        assert_eq!(s.payee.totals().redeemable, TokenUnits(1_000), "{way}");
    }
}

#[test]
fn a_read_that_overtakes_the_outcome_of_a_claim_is_put_right_by_it() {
    // The deposit falls by what is redeemed, by us or by somebody else.
    for (outcome, gross, redeemed) in [
        (ClaimOutcome::Paid(TokenUnits(1_000)), 1_000, 1_000),
        (ClaimOutcome::Skipped(6), 1_000, 0),
        (ClaimOutcome::Failed, 1_000, 0),
        (ClaimOutcome::Unknown, 1_000, 1_000),
        (ClaimOutcome::Unknown, 999, 0),
    ] {
        let mut s = Selling::new();
        s.connect(ms(0), A);
        let (v, chain) = voucher(7, FineUnits(0), 1);
        s.commit(ms(0), A, &v);
        s.say(ms(10), A, pay(&v, &chain, 100));
        s.payee.prepare_redeem(ms(1_000), RedeemScope::All);
        s.run(ms(1_000));
        let claims = s.payee.take_claims(ms(1_100), 1);
        s.state.spent_word |= U256::from(1u8) << 7;
        s.state.consumed += 1;
        s.state.balance.0 -= gross;
        s.payee.tick(ms(40_000));
        s.run(ms(40_000));
        s.payee.redeemed(ms(41_000), &[(claims[0].id, outcome)]);
        s.run(ms(41_000));
        let totals = s.payee.totals();
        assert_eq!(
            (totals.redeemed, totals.redeemable),
            (TokenUnits(redeemed), TokenUnits(0)),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_further_range_does_not_reset_the_clock_of_a_payer_at_its_credit() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    s.commit(ms(0), A, &voucher(7, FineUnits(0), 1).0);
    assert_eq!(s.write(ms(100), A, 9), 4);
    s.commit(ms(2_000), A, &voucher(8, FineUnits(0), 2).0);
    s.payee.tick(ms(10_100));
    assert_eq!(s.run(ms(10_100)).reject(), (RejectCode::OverCredit, 4));
}

#[test]
fn dust_is_redeemed_on_command_only() {
    let mut s = Selling::with(|c| c.redeem_idle = Duration::from_secs(1));
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    s.say(ms(10), A, pay(&v, &chain, 100));
    s.payee.disconnected(ms(20), A);
    s.run(ms(20));
    s.payee.tick(ms(5_000));
    assert!(s.run(ms(5_000)).events.is_empty());
    s.payee.prepare_redeem(ms(5_000), RedeemScope::Due);
    s.run(ms(5_000));
    assert!(s.payee.claims().is_empty());
    s.payee.prepare_redeem(ms(5_000), RedeemScope::All);
    s.run(ms(5_000));
    assert_eq!(s.payee.claims()[0].due, TokenUnits(1_000));
}

#[test]
fn nothing_is_written_over_a_record_that_cannot_be_read() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, FineUnits(0), 1);
    s.commit(ms(0), A, &v);
    s.say(ms(10), A, pay(&v, &chain, 9));
    s.payee.disconnected(ms(1_000), A);
    s.run(ms(1_000));
    let whole = s.store.clone();
    let mut spoilt = 0;
    for (key, record) in &whole {
        // Of a later version, cut off, and emptied.
        let mut later = record.to_vec();
        later[0] += 1;
        for form in [later, record[..record.len() - 1].to_vec(), Vec::new()] {
            spoilt += 1;
            s.store = whole.clone();
            s.store.insert(key.clone(), form.clone().into());
            let done = s.restart(ms(2_000));
            let said = PayEvent::RecordUnreadable { key: key.clone() };
            assert!(done.events.contains(&said), "{:?}", done.events);
            // The buyer comes back and begins the range anew.
            s.connect(ms(2_000), A);
            let done = s.commit(ms(2_000), A, &voucher(7, FineUnits(0), 2).0);
            if key.ends_with("/range/7") {
                assert_eq!(done.reject(), (RejectCode::ConsumedOrClosed, 7));
            }
            let (next, chain) = voucher(8, FineUnits(0), 3);
            let done = s.commit(ms(4_000), A, &next);
            assert!(done.order.contains(&"ack"), "{:?}", done.sent);
            s.say(ms(4_010), A, pay(&next, &chain, 5));
            s.payee.disconnected(ms(5_000), A);
            s.run(ms(5_000));
            s.payee.close(ms(6_000));
            s.run(ms(6_000));
            assert_eq!(s.store[key], form, "{key}");
        }
    }
    assert_eq!(spoilt, 6, "a range and what is known of its account");
}
