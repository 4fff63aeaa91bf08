//! What is at stake for a title whose pieces are paid for in advance: which pieces, whether another may be begun, and
//! who is bought from when nothing more may be lost.

use alloy_primitives::Address;
use piecework::payment::payer::PayerConnState;
use piecework::payment::{EndReason, PayEvent, PeerPayInfo};
use piecework::types::{ConnectionId, InfoHash};
use piecework::wire::pay::{ByeReason, PayMessage, Terms};

use crate::hand::*;

const TITLE: InfoHash = InfoHash([1; 20]);
const OTHER_TITLE: InfoHash = InfoHash([2; 20]);

/// A seller of its own name and address. `at` is to be seconds later for each.
fn seller(b: &mut Buying, at: u64, number: u8, torrent: InfoHash) -> ConnectionId {
    let conn = ConnectionId(100 + u64::from(number));
    let info = PeerPayInfo {
        torrent,
        ..info_at(&format!("192.0.2.{number}"))
    };
    let quote = Terms {
        payee: Address::repeat_byte(number),
        ..terms(UNIT)
    };
    b.payer.connected(ms(at), conn, info);
    b.payer.want(ms(at), conn, V1, true, MAX_UNIT);
    let v = b.say(ms(at), conn, PayMessage::Terms(quote)).commit();
    b.ack(ms(at), conn, &v, 0);
    conn
}

/// Blocks that come in and are paid in advance.
fn advance_blocks(b: &mut Buying, at: u64, conn: ConnectionId, blocks: std::ops::Range<u32>) {
    for n in blocks {
        b.payer.request_sent(conn);
        b.payer.block_received(conn, block(n));
        assert!(b.payer.payable(ms(at), conn, advance(block(n))), "{n}");
    }
    b.run(ms(at));
}

#[test]
fn the_pieces_at_stake_are_named_and_whether_another_may_be_begun() {
    let mut b = Buying::new();
    let at_stake = |b: &Buying| {
        let (pieces, full) = b.payer.staked(TITLE);
        (pieces.iter().copied().collect::<Vec<_>>(), full)
    };
    assert_eq!(at_stake(&b), (vec![], false), "nobody knows the title");
    for number in 1..=4u8 {
        let at = u64::from(number) * 20_000;
        let conn = seller(&mut b, at, number, TITLE);
        let piece = u32::from(number) + 4;
        advance_blocks(&mut b, at, conn, piece * 4..piece * 4 + 1);
        let begun = (5..=piece).collect();
        assert_eq!(at_stake(&b), (begun, number == 4));
    }
    assert!(!b.payer.staked(OTHER_TITLE).1);
    let conn = ConnectionId(101);
    b.payer.payable(ms(90_000), conn, verified(block(5 * 4)));
    assert_eq!(at_stake(&b), (vec![6, 7, 8], false), "one turned out good");
}

#[test]
fn the_last_loss_of_a_title_ends_its_purchase_from_everybody_and_no_other_titles() {
    let mut b = Buying::new();
    let bystander = seller(&mut b, 0, 8, TITLE);
    let elsewhere = seller(&mut b, 20_000, 9, OTHER_TITLE);
    for number in 1..=4u8 {
        assert_eq!(b.payer.status(bystander), PayerConnState::Attached);
        let at = 20_000 + u64::from(number) * 20_000;
        let conn = seller(&mut b, at, number, TITLE);
        let first = u32::from(number) * 4;
        advance_blocks(&mut b, at, conn, first..first + 4);
        let blocks: Vec<_> = (first..first + 4).map(block).collect();
        b.payer.block_invalid(ms(at), conn, &blocks);
        let done = b.run(ms(at));
        let bye = PayMessage::Bye {
            selling: false,
            reason: ByeReason::Policy,
        };
        let said = done.sent.contains(&(bystander, bye));
        assert_eq!(said, number == 4);
    }
    let ended = PayerConnState::Ended(EndReason::Closed);
    assert_eq!(b.payer.status(bystander), ended);
    assert_eq!(b.payer.status(elsewhere), PayerConnState::Attached);
}

/// At an address that nobody knows, it is another seller once its connection is gone.
#[test]
fn each_copy_that_was_paid_in_advance_is_lost_though_its_connection_is_gone() {
    let mut b = Buying::new();
    for visit in 0..2u64 {
        let (conn, at) = (ConnectionId(101 + visit), visit * 20_000);
        b.payer.connected(ms(at), conn, info_at(""));
        b.payer.want(ms(at), conn, V1, true, MAX_UNIT);
        let v = b.say(ms(at), conn, PayMessage::Terms(terms(UNIT))).commit();
        b.ack(ms(at), conn, &v, 0);
        advance_blocks(&mut b, at, conn, 0..3);
        b.payer.disconnected(ms(at), conn);
        b.run(ms(at));
    }
    let blocks: Vec<_> = (0..3).map(block).collect();
    let conn = ConnectionId(102);
    b.payer.block_invalid(ms(40_000), conn, &blocks);
    let lost = b.run(ms(40_000)).events.into_iter().find_map(|e| match e {
        PayEvent::LossDebited { blocks, .. } => Some(blocks),
        _ => None,
    });
    assert_eq!(lost, Some(6));
}
