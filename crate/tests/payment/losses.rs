//! What is paid in advance for unverified pieces of a v1 title: never more than its loss budget, over all sellers and
//! all runs; and who reloads a page honestly uses none of it up.

use crate::hand::*;
use alloy_primitives::Address;
use piecework::payment::payer::{Begun, PayerConnState};
use piecework::payment::policy::loss_budget;
use piecework::payment::record::{Key, PayerTitleRecord};
use piecework::payment::{EndReason, PayAction, PayEvent, Refusal, TitleKind};
use piecework::types::{BlockRef, ConnectionId, InfoHash, PieceIndex};
use piecework::verify::{Advances, Payable};
use piecework::wire::pay::{PayMessage, Terms};

const TITLE: InfoHash = InfoHash([1; 20]);
/// Four pieces of four blocks may be lost.
const BUDGET: u32 = 16;

/// Opens a connection to a seller of its own, with a payee and an address that no other has. Strangers get ranges
/// slowly: `at` is to be seconds later for each.
fn seller(b: &mut Buying, at: u64, number: u8, title: TitleKind) -> ConnectionId {
    let conn = ConnectionId(100 + u64::from(number));
    let terms = Terms {
        payee: Address::repeat_byte(number),
        ..terms(UNIT)
    };
    b.payer
        .connected(ms(at), conn, info_at(&format!("192.0.2.{number}")));
    b.payer.want(ms(at), conn, title, true, MAX_UNIT);
    let v = b.say(ms(at), conn, PayMessage::Terms(terms)).commit();
    b.ack(ms(at), conn, &v, 0);
    conn
}

/// Receives a block and tries to pay it in advance.
fn advanced(b: &mut Buying, at: u64, conn: ConnectionId, block: BlockRef) -> bool {
    b.payer.request_sent(conn);
    b.payer.block_received(conn, block);
    let paid = b.payer.payable(ms(at), conn, advance(block));
    b.run(ms(at));
    paid
}

fn title_key() -> String {
    Key::PayerTitle(TITLE).text(&vault())
}

/// Blocks lost, and blocks at stake.
fn on_record(b: &Buying) -> (u32, u32) {
    counts(&b.store[&title_key()])
}

fn counts(record: &[u8]) -> (u32, u32) {
    let record = PayerTitleRecord::decode(record).unwrap();
    (record.lost, record.at_stake.values().sum())
}

fn refused(b: &Buying, conn: ConnectionId) -> bool {
    b.payer.status(conn) == PayerConnState::Quoted(Some(Refusal::LossBudget))
}

#[test]
fn sellers_that_leave_before_their_pieces_are_judged_cost_one_loss_budget_in_all_visits_together() {
    let mut b = Buying::new();
    let mut paid = 0;
    for visit in 0..10u8 {
        let at = u64::from(visit) * 20_000;
        b.payer.connected(ms(at), A, info(1));
        b.payer.want(ms(at), A, V1, true, MAX_UNIT);
        let done = b.say(ms(at), A, PayMessage::Terms(terms(UNIT)));
        if refused(&b, A) {
            assert!(!done.order.contains(&"commit"));
        } else {
            b.ack(ms(at), A, &done.commit(), 0);
            let first = u32::from(visit) * 4;
            let blocks = (first..first + 4).filter(|n| advanced(&mut b, at, A, block(*n)));
            paid += blocks.collect::<Vec<_>>().len() as u32;
        }
        b.payer.disconnected(ms(at), A);
        b.run(ms(at));
        b.restart(ms(at));
    }
    assert_eq!(paid, BUDGET);
    assert_eq!(b.payer.totals().spent.0, u128::from(BUDGET) * UNIT.0);
    assert_eq!(on_record(&b), (0, 16));
}

#[test]
fn what_is_at_stake_is_on_record_before_the_links_for_it_leave() {
    let mut b = Buying::new();
    let conn = seller(&mut b, 0, 1, V1);
    for n in 0..4 {
        b.payer.request_sent(conn);
        b.payer.block_received(conn, block(n));
        assert!(b.payer.payable(ms(10), conn, advance(block(n))));
    }
    b.payer.end_of_batch(ms(10));
    let mut recorded = 0;
    let mut paid = 0;
    while let Some(action) = b.payer.poll() {
        match action {
            PayAction::PutRecord { key, value, .. } if key == title_key() => {
                recorded = counts(&value.unwrap()).1;
            }
            PayAction::Send {
                message: PayMessage::Pay { k, .. },
                ..
            } => {
                assert_eq!(recorded, 4, "before the PAY");
                paid = k;
            }
            _ => {}
        }
    }
    assert_eq!(paid, 4);
}

#[test]
fn who_reloads_the_page_and_finds_its_blocks_again_uses_nothing_of_the_budget_up() {
    let mut b = Buying::new();
    for visit in 0..20u8 {
        let at = u64::from(visit) * 20_000;
        // Two sellers are advanced over most of a piece each; one block of it is missing.
        for number in [1, 2] {
            let conn = seller(&mut b, at, number, V1);
            let first = (u32::from(visit) * 2 + u32::from(number)) * 4;
            for n in first..first + 3 {
                assert!(advanced(&mut b, at, conn, block(n)), "visit {visit}: {n}");
            }
        }
        b.restart(ms(at + 100));
        b.payer.restored(ms(at + 100), TITLE, |_| Begun::Held);
        for number in [1, 2] {
            let piece = PieceIndex(u32::from(visit) * 2 + number);
            b.payer.restored_judged(ms(at + 200), TITLE, piece, true);
        }
        b.run(ms(at + 200));
        assert_eq!(on_record(&b), (0, 0));
    }
}

#[test]
fn a_begun_piece_is_paid_to_its_end_after_a_restart_though_four_are_begun() {
    let mut b = Buying::new();
    for number in 1..=4 {
        let at = u64::from(number) * 20_000;
        let conn = seller(&mut b, at, number, V1);
        for n in 0..3 {
            let n = u32::from(number) * 4 + n;
            assert!(advanced(&mut b, at, conn, block(n)));
        }
    }
    // The budget is taken: nobody begins a fifth.
    let fifth = seller(&mut b, 100_000, 5, V1);
    assert!(!advanced(&mut b, 100_000, fifth, block(5 * 4)));
    b.restart(ms(101_000));
    b.payer.restored(ms(101_000), TITLE, |_| Begun::Held);
    let conn = seller(&mut b, 120_000, 6, V1);
    assert!(!advanced(&mut b, 120_000, conn, block(5 * 4)), "a fifth");
    assert!(advanced(&mut b, 120_000, conn, block(4 + 3)), "the rest");
}

#[test]
fn restored_blocks_of_a_piece_that_is_bad_are_lost_and_nobody_is_blamed() {
    let mut b = Buying::new();
    let conn = seller(&mut b, 0, 1, V1);
    for n in 0..3 {
        assert!(advanced(&mut b, 0, conn, block(n)));
    }
    b.restart(ms(100));
    let conn = seller(&mut b, 20_000, 1, V1);
    b.payer.restored(ms(20_000), TITLE, |_| Begun::Held);
    b.payer
        .restored_judged(ms(20_100), TITLE, PieceIndex(0), false);
    let done = b.run(ms(20_100));
    assert_eq!(done.bans, []);
    let (torrent, blocks, left) = (TITLE, 3, BUDGET - 3);
    assert!(done.events.contains(&PayEvent::LossDebited {
        torrent,
        blocks,
        left
    }));
    assert_eq!(on_record(&b), (3, 0));
    assert_eq!(b.payer.status(conn), PayerConnState::Attached);
}

#[test]
fn after_a_restart_what_storage_has_verified_is_at_stake_no_more_and_what_it_lacks_is_lost() {
    for (begun, counted) in [
        (Begun::Good, (0, 0)),
        (Begun::Held, (0, 3)),
        (Begun::Gone, (3, 0)),
    ] {
        let mut b = Buying::new();
        let conn = seller(&mut b, 0, 1, V1);
        for n in 0..3 {
            assert!(advanced(&mut b, 0, conn, block(n)));
        }
        b.restart(ms(100));
        b.payer.restored(ms(100), TITLE, |piece| {
            assert_eq!(piece, PieceIndex(0));
            begun
        });
        b.run(ms(100));
        assert_eq!(on_record(&b), counted, "{begun:?}");
    }
}

#[test]
fn a_torrent_that_is_added_again_in_the_same_run_has_its_blocks_at_stake_once() {
    for good in [true, false] {
        let mut b = Buying::new();
        let conn = seller(&mut b, 0, 1, V1);
        for n in 0..3 {
            assert!(advanced(&mut b, 0, conn, block(n)));
        }
        for _ in 0..2 {
            b.payer.restored(ms(10), TITLE, |_| Begun::Held);
            b.run(ms(10));
            assert_eq!(on_record(&b), (0, 3));
        }
        b.payer.restored_judged(ms(20), TITLE, PieceIndex(0), good);
        b.run(ms(20));
        assert_eq!(on_record(&b), (if good { 0 } else { 3 }, 0));
        assert!(advanced(&mut b, 30, conn, block(4)), "the next piece");
    }
}

#[test]
fn advances_of_several_sellers_stay_within_one_budget_and_a_loss_takes_of_it() {
    let mut b = Buying::new();
    let mut sellers = Vec::new();
    for number in 1..=4 {
        let at = u64::from(number) * 20_000;
        let conn = seller(&mut b, at, number, V1);
        assert!(advanced(&mut b, at, conn, block(u32::from(number) * 4)));
        sellers.push(conn);
    }
    let now = 100_000;
    let fifth = seller(&mut b, now, 5, V1);
    assert!(!advanced(&mut b, now, fifth, block(40)));
    // A piece that verifies makes room for another, one that is bad for none.
    assert!(!b.payer.payable(ms(now), sellers[0], verified(block(4))));
    assert!(advanced(&mut b, now, fifth, block(41)));
    b.payer.block_invalid(ms(now), sellers[1], &[block(8)]);
    b.run(ms(now));
    assert_eq!(on_record(&b), (1, 3));
    let sixth = seller(&mut b, 120_000, 6, V1);
    assert!(
        !advanced(&mut b, 120_000, sixth, block(48)),
        "15 left, 12 taken"
    );
}

/// Its piece was wrong and has another sender, too: the seller waits for money before it sends the whole of it.
#[test]
fn a_suspect_is_paid_for_its_blocks_within_the_budget_and_for_each_copy_once() {
    for guilty in [false, true] {
        let mut b = Buying::new();
        let conn = seller(&mut b, 0, 1, V1);
        let receive = |b: &mut Buying, n| {
            b.payer.request_sent(conn);
            b.payer.block_received(conn, block(n));
        };
        let suspect = |n| Payable::Advance(Advances::suspect(block(n)));
        for n in [0, 1, 0, 4] {
            receive(&mut b, n);
        }
        for n in [0, 1] {
            assert!(b.payer.payable(ms(10), conn, suspect(n)));
        }
        assert!(!b.payer.payable(ms(10), conn, suspect(2)), "never sent");
        // Nor does it keep the seller from being advanced over the piece that it sends now.
        assert!(b.payer.payable(ms(10), conn, advance(block(4))));
        assert!(
            !b.payer.payable(ms(10), conn, advance(block(0))),
            "one at a time"
        );
        assert!(b.payer.payable(ms(10), conn, suspect(0)), "its second copy");
        b.run(ms(10));
        assert_eq!(on_record(&b), (0, 4));
        if guilty {
            b.payer.block_invalid(ms(20), conn, &[block(0), block(1)]);
        } else {
            for n in [0, 0, 0, 1, 1, 4] {
                assert!(!b.payer.payable(ms(20), conn, verified(block(n))));
            }
        }
        b.run(ms(20));
        assert_eq!(on_record(&b), if guilty { (3, 1) } else { (0, 0) });
        assert_eq!(b.payer.totals().spent.0, 4 * UNIT.0);
    }
}

#[test]
fn the_last_block_of_the_budget_ends_paid_buying_of_the_title_for_good() {
    let mut b = Buying::new();
    for number in 1..=4 {
        let at = u64::from(number) * 20_000;
        let conn = seller(&mut b, at, number, V1);
        let first = u32::from(number) * 4;
        for n in first..first + 4 {
            assert!(advanced(&mut b, at, conn, block(n)));
        }
        let blocks: Vec<_> = (first..first + 4).map(block).collect();
        b.payer.block_invalid(ms(at), conn, &blocks);
        assert_eq!(b.run(ms(at)).bans, [conn]);
        let ended = PayerConnState::Ended(EndReason::SoldBadData);
        assert_eq!(b.payer.status(conn), ended);
    }
    for restart in [false, true] {
        if restart {
            b.restart(ms(100_000));
        }
        let at = 100_000;
        b.payer.connected(ms(at), A, info(1));
        b.payer.want(ms(at), A, V1, true, MAX_UNIT);
        let done = b.say(ms(at), A, PayMessage::Terms(terms(UNIT)));
        assert!(!done.order.contains(&"commit"));
        assert!(refused(&b, A));
    }
}

#[test]
fn the_budget_of_large_pieces_is_two_of_them_and_of_small_ones_as_many_as_configured() {
    for (pieces, piece_kib, budget_kib) in [
        (4, 16, 64),
        (4, 1 << 10, 4 << 10),
        (4, 4 << 10, 16 << 10),
        (4, 8 << 10, 16 << 10),
        (4, 64 << 10, 128 << 10),
        (1, 64 << 10, 64 << 10),
        (64, 1 << 10, 64 << 10),
        (64, 64 << 10, 256 << 10),
        (0, 64 << 10, 0),
    ] {
        let budget = loss_budget(pieces, piece_kib / 16);
        assert_eq!(budget, budget_kib / 16, "{pieces} of {piece_kib} KiB");
    }
}

#[test]
fn a_record_of_before_there_was_anything_at_stake_is_read_and_one_out_of_order_is_not() {
    let old = [1, 0, 0, 0, 7];
    let record = PayerTitleRecord {
        lost: 7,
        ..PayerTitleRecord::default()
    };
    assert_eq!(PayerTitleRecord::decode(&old), Some(record.clone()));
    assert_eq!(record.encode().as_ref(), old);
    let piece = |index, blocks| [0, 0, 0, index, 0, 0, 0, blocks];
    for (pieces, sound) in [
        (vec![piece(0, 1), piece(9, 4)], true),
        (vec![piece(9, 4), piece(0, 1)], false),
        (vec![piece(9, 4), piece(9, 4)], false),
        (vec![piece(9, 0)], false),
    ] {
        let bytes = [&old[..], &pieces.concat()].concat();
        assert_eq!(PayerTitleRecord::decode(&bytes).is_some(), sound);
        assert_eq!(PayerTitleRecord::decode(&bytes[..bytes.len() - 1]), None);
    }
}
