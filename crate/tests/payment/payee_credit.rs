//! What the connections of one account share at a seller, and when a buyer has its place: credit, choking, and the ACKs
//! that each connection waits for.

use crate::hand::*;
use crate::shop::{Buyer, Shop, deposit};
use piecework::payment::payee::{OVER_CREDIT, RedeemScope};
use piecework::types::{ConnectionId, FineUnits, TokenUnits};
use piecework::wire::pay::{PayMessage, RejectCode};

const NOTHING: FineUnits = FineUnits(0);

/// ACKs that left on a connection: range, step, and blocks owed.
fn acks(done: &Done, on: ConnectionId) -> Vec<(u32, u16, u32)> {
    let ack = |(conn, m): &(ConnectionId, PayMessage)| match m {
        PayMessage::Ack {
            first,
            k,
            owed_blocks,
            ..
        } if *conn == on => Some((*first, *k, *owed_blocks)),
        _ => None,
    };
    done.sent.iter().filter_map(ack).collect()
}

fn rejects(done: &Done) -> Vec<RejectCode> {
    let code = |(_, m): &(ConnectionId, PayMessage)| match m {
        PayMessage::Reject { code, .. } => Some(*code),
        _ => None,
    };
    done.sent.iter().filter_map(code).collect()
}

/// A seller with two live ranges on one connection: 7 and 8.
fn two_ranges() -> Selling {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    for first in [7, 8] {
        let (v, _) = voucher(first, NOTHING, first as u8);
        let now = ms(u64::from(first - 7) * 1_000);
        assert!(s.commit(now, A, &v).order.contains(&"ack"));
    }
    s
}

#[test]
fn when_a_connection_is_lost_the_others_of_its_account_hear_that_they_have_room() {
    let mut s = Selling::new();
    for (conn, first) in [(A, 7), (B, 8)] {
        s.connect(ms(0), conn);
        s.commit(ms(0), conn, &voucher(first, NOTHING, first as u8).0);
    }
    assert_eq!(s.write(ms(1_000), A, 9), 4, "the whole credit");
    assert!(!s.payee.may_send(B));
    s.payee.disconnected(ms(2_000), A);
    let done = s.run(ms(2_000));
    assert_eq!(acks(&done, B), [(8, 0, 0)]);
    assert!(s.payee.may_send(B));
}

#[test]
fn a_lost_connection_ends_the_clock_and_the_choking_of_one_whose_credit_it_had_used_up() {
    for lost_after in [2_000, 12_000] {
        let mut s = Selling::new();
        for (conn, first) in [(A, 7), (B, 8)] {
            s.connect(ms(0), conn);
            s.commit(ms(0), conn, &voucher(first, NOTHING, first as u8).0);
        }
        assert_eq!((s.write(ms(1_000), A, 3), s.write(ms(1_000), B, 9)), (3, 1));
        let is_choked = lost_after > 11_000;
        s.payee.tick(ms(lost_after));
        s.run(ms(lost_after));
        assert_eq!(s.payee.is_unchoked(B), !is_choked);
        s.payee.disconnected(ms(lost_after), A);
        let done = s.run(ms(lost_after));
        let order = done.order.iter().filter(|what| **what != "put");
        let expected: &[&str] = if is_choked {
            &["ack", "unchoke"]
        } else {
            &["ack"]
        };
        assert!(order.eq(expected), "{:?}", done.order);
        s.payee.tick(ms(13_000));
        assert_eq!(rejects(&s.run(ms(13_000))), []);
        assert!(s.payee.may_send(B), "{lost_after}");
    }
}

#[test]
fn a_buyer_has_its_place_until_its_whole_credit_is_used_up_for_ten_seconds() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    assert!(!s.payee.is_unchoked(A));
    s.commit(ms(0), A, &voucher(7, NOTHING, 1).0);
    assert_eq!(s.write(ms(0), A, 3), 3);
    let later = ms(0) + OVER_CREDIT + OVER_CREDIT;
    s.payee.tick(later);
    assert_eq!(rejects(&s.run(later)), [], "it may take one more");
    assert!(s.payee.is_unchoked(A));
    assert_eq!(s.write(later, A, 9), 1);
    let end = later + OVER_CREDIT;
    s.payee.tick(end);
    assert_eq!(rejects(&s.run(end)), [RejectCode::OverCredit]);
    assert!(!s.payee.is_unchoked(A) && !s.payee.may_send(A));
}

#[test]
fn what_one_account_pays_makes_no_room_for_another() {
    let mut s = Shop::new();
    let [debtor, payer] = [1, 2].map(Buyer::new);
    for buyer in [&debtor, &payer] {
        s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
        s.connect(buyer.conn, "");
    }
    let promise = debtor.promise(1, 1, Q, NOTHING);
    assert_eq!(s.commit(&debtor, &promise), None);
    while s.payee.may_send(debtor.conn) {
        s.payee.block_written(s.now, debtor.conn);
    }
    s.later(OVER_CREDIT);
    assert!(!s.payee.is_unchoked(debtor.conn));
    let promise = payer.promise(1, 1, Q, NOTHING);
    assert_eq!(s.commit(&payer, &promise), None);
    assert_eq!(s.sell(&payer, &promise, 0, 20), 20);
    assert!(!s.payee.is_unchoked(debtor.conn) && !s.payee.may_send(debtor.conn));
}

#[test]
fn a_range_that_is_closed_is_sent_nothing_more() {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    let (v, chain) = voucher(7, NOTHING, 1);
    s.commit(ms(0), A, &v);
    s.say(ms(10), A, pay(&v, &chain, 100));
    assert!(s.payee.may_send(A));
    s.payee.prepare_redeem(ms(1_000), RedeemScope::All);
    s.run(ms(1_000));
    assert_eq!(s.write(ms(1_000), A, 9), 0, "its claim may leave");
}

#[test]
fn who_was_choked_for_one_of_its_ranges_is_sent_nothing_on_the_other() {
    let mut s = two_ranges();
    // Serial 8 is not covered any more.
    s.state.balance = TokenUnits(7 * Q.0);
    s.payee.tick(ms(31_000));
    let done = s.run(ms(31_000));
    assert_eq!(rejects(&done), [RejectCode::ChainPending]);
    assert!(done.order.contains(&"choke"));
    assert!(s.payee.is_paying(A));
    assert_eq!(s.write(ms(31_000), A, 9), 0);
}

#[test]
fn a_range_that_goes_to_another_connection_leaves_the_rest_where_it_was() {
    let mut s = two_ranges();
    let (v, chain) = voucher(8, NOTHING, 8);
    s.connect(ms(2_000), B);
    s.say(ms(2_000), A, pay(&v, &chain, 1));
    let done = s.commit(ms(2_010), B, &voucher(7, NOTHING, 9).0);
    assert_eq!(acks(&done, B), [(7, 0, 0)]);
    assert!(s.payee.is_paying(A) && s.payee.may_send(A), "8 still buys");
    s.payee.tick(ms(2_100));
    assert_eq!(acks(&s.run(ms(2_100)), A), [(8, 1, 0)]);
}

#[test]
fn a_fold_of_one_range_leaves_the_ack_of_another_due() {
    let mut s = two_ranges();
    let (v, chain) = voucher(8, NOTHING, 8);
    s.say(ms(2_000), A, pay(&v, &chain, 1));
    let done = s.commit(ms(2_010), A, &voucher(7, NOTHING, 9).0);
    assert_eq!(acks(&done, A), [(8, 1, 0), (7, 0, 0)]);
}
