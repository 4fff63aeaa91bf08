//! What is at stake for one title or one seller, and must not keep an honest buyer from buying on.

use crate::hand::*;
use piecework::payment::payer::{BEHIND_RETRIES, MAX_GONE, PENDING_RETRIES, PayerConnState};
use piecework::payment::policy::CROWDED_SPACING;
use piecework::payment::record::{Key, PayerTitleRecord};
use piecework::payment::{EndReason, PeerPayInfo, Refusal};
use piecework::time::Duration;
use piecework::types::{BlockRef, ConnectionId, FineUnits, InfoHash, TokenUnits};
use piecework::verify::{Advances, Payable};
use piecework::wire::pay::{NeedReason, PayMessage, RejectCode, VoucherBody};

/// Opens a connection for a title to the one seller.
fn open(b: &mut Buying, at: u64, conn: ConnectionId, title: u8, credit: u16) {
    let info = PeerPayInfo {
        torrent: InfoHash([title; 20]),
        ..info(1)
    };
    b.payer.connected(ms(at), conn, info);
    b.payer.want(ms(at), conn, V1, true, MAX_UNIT);
    let v = b.say(ms(at), conn, PayMessage::Terms(terms(UNIT))).commit();
    b.ack_with(ms(at), conn, &v, credit);
}

fn receive(b: &mut Buying, conn: ConnectionId, block: BlockRef) {
    b.payer.request_sent(conn);
    b.payer.block_received(conn, block);
}

#[test]
fn what_is_at_stake_in_a_title_that_was_left_does_not_keep_its_seller_from_selling_another() {
    let mut b = Buying::new();
    open(&mut b, 0, A, 1, 2);
    for n in 0..2 {
        receive(&mut b, A, block(n));
    }
    assert!(b.payer.payable(ms(10), A, advance(block(0))));
    b.run(ms(10));
    b.payer.disconnected(ms(20), A);
    b.run(ms(20));
    open(&mut b, 2_000, B, 2, 2);
    for n in 4..6 {
        receive(&mut b, B, block(n));
    }
    assert_eq!(b.payer.may_request(B), 0, "nothing more without money");
    assert_eq!(b.payer.needs_advance(B), Some(1));
    assert!(b.payer.payable(ms(2_010), B, advance(block(4))));
}

#[test]
fn what_is_at_stake_from_a_connection_that_is_gone_does_not_keep_its_seller_from_the_next_piece() {
    let mut b = Buying::new();
    open(&mut b, 0, A, 1, 2);
    for n in 0..2 {
        receive(&mut b, A, block(n));
    }
    assert!(b.payer.payable(ms(10), A, advance(block(0))));
    b.run(ms(10));
    b.payer.disconnected(ms(20), A);
    b.run(ms(20));
    open(&mut b, 2_000, B, 1, 2);
    receive(&mut b, B, block(4));
    assert!(b.payer.payable(ms(2_010), B, advance(block(4))));
}

#[test]
fn a_budget_that_no_piece_fits_into_any_more_is_said_to_be_used_up() {
    let mut b = Buying::new();
    // Of 16 blocks, 15 are lost.
    for number in 1..=5u8 {
        let at = u64::from(number) * 20_000;
        let conn = ConnectionId(100 + u64::from(number));
        let terms = piecework::wire::pay::Terms {
            payee: alloy_primitives::Address::repeat_byte(number),
            credit0: 2,
            ..terms(UNIT)
        };
        b.payer
            .connected(ms(at), conn, info_at(&format!("192.0.2.{number}")));
        b.payer.want(ms(at), conn, V1, true, MAX_UNIT);
        let v = b.say(ms(at), conn, PayMessage::Terms(terms)).commit();
        b.ack_with(ms(at), conn, &v, 2);
        let first = u32::from(number) * 4;
        let blocks: Vec<_> = (first..first + 3).map(block).collect();
        for block in &blocks {
            receive(&mut b, conn, *block);
            assert!(b.payer.payable(ms(at), conn, advance(*block)), "{number}");
        }
        b.run(ms(at));
        b.payer.block_invalid(ms(at), conn, &blocks);
        b.run(ms(at));
    }
    b.payer.connected(ms(200_000), A, info(1));
    b.payer.want(ms(200_000), A, V1, true, MAX_UNIT);
    let terms = piecework::wire::pay::Terms {
        credit0: 2,
        ..terms(UNIT)
    };
    let done = b.say(ms(200_000), A, PayMessage::Terms(terms));
    let refused = PayerConnState::Quoted(Some(Refusal::LossBudget));
    assert_eq!(b.payer.status(A), refused);
    assert!(!done.order.contains(&"commit"));
}

/// Sellers that take a promise and are never heard of again.
fn fakes(b: &mut Buying, from: u8, count: u8) -> u64 {
    let mut at = 0;
    for number in from..from + count {
        at = u64::from(number) * 20_000;
        let conn = ConnectionId(100 + u64::from(number));
        let terms = piecework::wire::pay::Terms {
            payee: alloy_primitives::Address::repeat_byte(number),
            ..terms(UNIT)
        };
        b.payer
            .connected(ms(at), conn, info_at(&format!("192.0.2.{number}")));
        b.payer.want(ms(at), conn, V1, true, MAX_UNIT);
        b.say(ms(at), conn, PayMessage::Terms(terms));
        b.payer.disconnected(ms(at + 100), conn);
        b.run(ms(at + 100));
    }
    at + 1_000
}

#[test]
fn sellers_that_are_never_heard_of_again_do_not_keep_an_honest_one_out_for_ever() {
    let mut b = Buying::new();
    let mut now = fakes(&mut b, 1, 8);
    let free = b.payer.totals().free;
    for restart in [false, true] {
        now += CROWDED_SPACING.as_millis() as u64;
        if restart {
            b.restart(ms(now));
        }
        let conn = ConnectionId(1_000 + u64::from(restart));
        b.payer.connected(ms(now), conn, info(1));
        b.payer.want(ms(now), conn, V1, true, MAX_UNIT);
        let done = b.say(ms(now), conn, PayMessage::Terms(terms(UNIT)));
        assert!(done.order.contains(&"commit"), "restart {restart}");
        b.payer.disconnected(ms(now), conn);
        b.run(ms(now));
    }
    assert_eq!(
        b.payer.totals().free.0,
        free.0 - Q.0,
        "one serial, used twice"
    );
}

#[test]
fn beyond_a_share_of_the_deposit_strangers_get_a_serial_each_five_minutes() {
    let mut b = Buying::new();
    let free = b.payer.totals().free;
    // One each twenty seconds: six at first.
    fakes(&mut b, 1, 200);
    let taken = (free.0 - b.payer.totals().free.0) / Q.0;
    assert_eq!(taken, 6 + (4_000 - 120) / 300);
}

/// A deposit was topped up, and the seller's node is some blocks behind.
#[test]
fn a_seller_that_does_not_see_all_of_the_deposit_yet_is_asked_again_and_not_for_ever() {
    for sees_it in [true, false] {
        let mut b = Buying::new();
        let v = b.connect(ms(0), A, V1).commit();
        let mut at = 10;
        let behind = v.first;
        b.reject(ms(at), &v, RejectCode::NotCovered, behind);
        for wait in &PENDING_RETRIES[..BEHIND_RETRIES] {
            assert_eq!(b.payer.status(A), PayerConnState::Opening);
            at += wait.as_millis() as u64;
            b.payer.tick(ms(at));
            assert_eq!(b.run(ms(at)).commit(), v, "the same again");
            if sees_it {
                b.ack(ms(at), A, &v, 0);
                break;
            }
            b.reject(ms(at), &v, RejectCode::NotCovered, behind);
        }
        let ended = EndReason::Rejected(RejectCode::NotCovered);
        let status = match sees_it {
            true => PayerConnState::Attached,
            false => PayerConnState::Ended(ended),
        };
        assert_eq!(b.payer.status(A), status);
    }
}

#[test]
fn a_seller_whose_node_has_caught_up_takes_the_promise_that_it_refused() {
    let mut s = Selling::new();
    let covered = s.state.balance;
    s.state.balance = TokenUnits(0);
    s.connect(ms(0), A);
    let (v, _) = voucher(1, FineUnits(0), 7);
    let done = s.commit(ms(0), A, &v);
    assert_eq!(done.reject(), (RejectCode::NotCovered, v.first));
    s.state.balance = covered;
    let done = s.commit(ms(2_000), A, &v);
    assert_eq!(done.ack().0, 0);
}

/// Opens a connection over which two pieces are at stake, one block each.
fn two_at_stake(b: &mut Buying) {
    open(b, 0, A, 1, 8);
    for n in [0, 4] {
        receive(b, A, block(n));
    }
    let suspect = Payable::Advance(Advances::suspect(block(0)));
    assert!(b.payer.payable(ms(10), A, suspect));
    assert!(b.payer.payable(ms(10), A, advance(block(4))));
    b.run(ms(10));
    assert_eq!(on_record(b), (0, 2));
}

/// Blocks lost, and blocks at stake.
fn on_record(b: &Buying) -> (u32, u32) {
    let key = Key::PayerTitle(InfoHash([1; 20])).text(&vault());
    let record = PayerTitleRecord::decode(&b.store[&key]).unwrap();
    (record.lost, record.at_stake.values().sum())
}

#[test]
fn who_left_pays_for_each_of_its_bad_pieces_whenever_it_is_judged() {
    for left in [false, true] {
        let mut b = Buying::new();
        two_at_stake(&mut b);
        if left {
            b.payer.disconnected(ms(20), A);
        }
        b.payer.block_invalid(ms(30), A, &[block(0)]);
        b.run(ms(30));
        assert_eq!(on_record(&b), (1, 1));
        b.payer.disconnected(ms(40), A);
        b.payer.block_invalid(ms(50), A, &[block(4)]);
        b.run(ms(50));
        assert_eq!(on_record(&b), (2, 0), "left {left}");
    }
}

#[test]
fn what_is_thrown_away_unjudged_is_lost_once_and_nobody_is_blamed() {
    for left in [false, true] {
        let mut b = Buying::new();
        two_at_stake(&mut b);
        if left {
            b.payer.disconnected(ms(20), A);
        }
        for _ in 0..2 {
            b.payer.thrown_away(ms(30), A, &[block(0), block(1)]);
            let done = b.run(ms(30));
            assert_eq!(on_record(&b), (1, 1), "left {left}");
            assert_eq!(done.bans, []);
        }
    }
}

#[test]
fn connections_that_brought_nothing_do_not_push_out_the_one_that_is_to_blame() {
    let mut b = Buying::new();
    open(&mut b, 0, A, 1, 8);
    receive(&mut b, A, block(0));
    assert!(b.payer.payable(ms(10), A, advance(block(0))));
    b.run(ms(10));
    b.payer.disconnected(ms(20), A);
    for n in 0..=MAX_GONE as u64 {
        let conn = ConnectionId(1_000 + n);
        let at = 2_000 * (n + 1);
        open(&mut b, at, conn, 1, 8);
        b.payer.disconnected(ms(at), conn);
        b.run(ms(at));
    }
    let at = 2_000 * (MAX_GONE as u64 + 3);
    b.payer.block_invalid(ms(at), A, &[block(0)]);
    assert_eq!(b.run(ms(at)).bans, [A]);
    assert_eq!(on_record(&b), (1, 0));
}

// ---- whose turn it is, of the strangers that wait

/// A seller that names a payee of its own, and stays. What it was promised at once.
fn stranger(b: &mut Buying, at: u64, number: u8, address: &str) -> Option<VoucherBody> {
    let conn = ConnectionId(1_000 + u64::from(number));
    b.payer.connected(ms(at), conn, info_at(address));
    b.payer.want(ms(at), conn, V1, true, MAX_UNIT);
    let done = b.say(ms(at), conn, offer(number));
    done.order.contains(&"commit").then(|| done.commit())
}

fn offer(number: u8) -> PayMessage {
    PayMessage::Terms(piecework::wire::pay::Terms {
        payee: alloy_primitives::Address::repeat_byte(number),
        ttl_secs: 40_000,
        ..terms(MAX_UNIT)
    })
}

fn strangers(b: &mut Buying, at: u64, numbers: std::ops::Range<u8>) {
    for number in numbers {
        let address = format!("198.51.100.{number}");
        assert_eq!(stranger(b, at, number, &address), None);
    }
}

/// Time passes. Who was promised a range, by number; those leave without a word, if they are to.
fn turns(b: &mut Buying, from: u64, to: u64, leave: bool) -> Vec<u64> {
    let (mut at, mut turns) = (ms(from), Vec::new());
    while at < ms(to) {
        let next = b.payer.next_timeout();
        at = next.max(at + Duration::from_millis(1)).min(ms(to));
        b.payer.tick(at);
        for (conn, message) in b.run(at).sent {
            if matches!(message, PayMessage::Commit { .. }) {
                turns.push(conn.0 - 1_000);
                if leave {
                    b.payer.disconnected(at, conn);
                }
            }
        }
    }
    turns
}

const TURN: u64 = CROWDED_SPACING.as_millis() as u64;

#[test]
fn strangers_take_their_turns_by_chance_and_not_in_order_of_connection() {
    let mut b = Buying::new();
    let now = fakes(&mut b, 1, 8);
    strangers(&mut b, now, 100..120);
    let turns = turns(&mut b, now, now + 21 * TURN, true);
    assert_eq!(turns.len(), 20);
    // Whoever comes last is not behind all others.
    let late = turns[..10].iter().filter(|number| **number >= 110).count();
    assert!((3..=7).contains(&late), "{turns:?}");
}

#[test]
fn who_connects_as_a_turn_comes_is_not_before_those_that_wait() {
    let mut b = Buying::new();
    // The sixth took its range at 120 s.
    let now = fakes(&mut b, 1, 8);
    let turn = 120_000 + TURN;
    strangers(&mut b, now + 500, 100..101);
    assert!(turns(&mut b, now + 500, turn, false).is_empty());
    // It looks each second whether its turn has come.
    strangers(&mut b, turn + 100, 101..110);
    let next = turns(&mut b, turn + 100, turn + 30_000, false);
    assert_eq!(next.len(), 1, "one of all that wait");
}

#[test]
fn who_comes_from_many_connections_of_one_address_is_one_of_those_that_wait() {
    let mut b = Buying::new();
    let now = fakes(&mut b, 1, 8);
    for number in 100..130 {
        assert_eq!(stranger(&mut b, now, number, "198.51.100.1"), None);
    }
    strangers(&mut b, now, 130..131);
    let turns = turns(&mut b, now, now + 2 * TURN, false);
    assert!(turns.len() == 2 && turns.contains(&130), "{turns:?}");
}

#[test]
fn a_stranger_that_offers_again_while_it_waits_keeps_no_place() {
    let mut b = Buying::new();
    let now = fakes(&mut b, 1, 8);
    strangers(&mut b, now, 100..101);
    for at in (now..now + 20_000).step_by(300) {
        b.say(ms(at), ConnectionId(1_100), offer(100));
        assert!(!b.payer.is_of_use(ConnectionId(1_100)), "at {at}");
        b.payer.tick(ms(at + 100));
        b.run(ms(at + 100));
    }
}

/// Half a range and more is bought.
fn buys(b: &mut Buying, at: u64, number: u64, v: &VoucherBody) {
    let conn = ConnectionId(1_000 + number);
    b.ack_with(ms(at), conn, v, 128);
    for n in 0..250 {
        b.payer.request_sent(conn);
        b.payer.block_received(conn, block(n));
        assert!(b.payer.payable(ms(at), conn, verified(block(n))));
    }
    b.run(ms(at));
}

#[test]
fn a_stranger_that_turns_out_to_be_a_seller_lets_the_next_one_in_at_once() {
    for sells in [false, true] {
        let mut b = Buying::new();
        let now = fakes(&mut b, 1, 8);
        let turn = now + TURN;
        b.payer.tick(ms(turn));
        b.run(ms(turn));
        let sold = stranger(&mut b, turn, 100, "198.51.100.1").unwrap();
        strangers(&mut b, turn, 101..103);
        if sells {
            buys(&mut b, turn, 100, &sold);
        }
        let next = turns(&mut b, turn, turn + 30_000, false);
        assert_eq!(next.len(), usize::from(sells));
        // Each range proves it once: not with each block that is bought after the seller came back.
        if sells {
            let now = turn + 30_000;
            b.payer.disconnected(ms(now), ConnectionId(1_100));
            b.run(ms(now));
            let v = stranger(&mut b, now, 100, "198.51.100.77").unwrap();
            assert_eq!(v.first, sold.first);
            let conn = ConnectionId(1_100);
            b.ack_with(ms(now), conn, &v, 128);
            b.payer.request_sent(conn);
            b.payer.block_received(conn, block(250));
            assert!(b.payer.payable(ms(now), conn, verified(block(250))));
            b.run(ms(now));
            assert!(turns(&mut b, now, now + 30_000, false).is_empty());
        }
    }
}

/// A payee that sold half a range in an earlier run, and a crowd that has taken what strangers may have.
fn sold_before_in_a_crowd() -> (Buying, u64, VoucherBody) {
    let mut b = Buying::new();
    let conn = ConnectionId(1_100);
    let sold = stranger(&mut b, 0, 100, "198.51.100.1").unwrap();
    buys(&mut b, 0, 100, &sold);
    b.payer.want(ms(1), conn, V1, false, MAX_UNIT);
    let (reason, first) = (NeedReason::RangeClosed, sold.first);
    b.say(ms(1), conn, PayMessage::Need { reason, first });
    b.payer.disconnected(ms(1), conn);
    b.run(ms(1));
    let now = fakes(&mut b, 1, 8);
    b.restart(ms(now));
    // Another takes the first turn of this run.
    assert!(stranger(&mut b, now, 101, "198.51.100.2").is_some());
    strangers(&mut b, now, 102..103);
    (b, now, sold)
}

#[test]
fn a_payee_that_sold_before_waits_for_no_turn_whatever_an_impostor_does_under_its_name() {
    for how in [
        "closes",
        "refuses",
        "is silent",
        "is silent and puts off",
        "chokes",
    ] {
        let (mut b, now, _) = sold_before_in_a_crowd();
        // It is there first, from elsewhere.
        let conn = ConnectionId(1_100);
        let taken = stranger(&mut b, now, 100, "203.0.113.9").unwrap();
        let (first, tag) = (taken.first, taken.tag());
        let refusal = |code, aux| PayMessage::Reject {
            code,
            first,
            tag,
            aux,
        };
        let reason = NeedReason::RangeClosed;
        match how {
            "closes" => drop(b.say(ms(now), conn, PayMessage::Need { reason, first })),
            "refuses" => drop(b.say(ms(now), conn, refusal(RejectCode::Signature, 0))),
            "chokes" => drop(b.ack_with(ms(now), conn, &taken, 4)),
            _ => {}
        }
        // The payee itself, where it sold before.
        let (at, payee) = (now + 1_000, ConnectionId(1_200));
        b.payer.connected(ms(at), payee, info_at("198.51.100.1"));
        b.payer.want(ms(at), payee, V1, true, MAX_UNIT);
        let done = b.say(ms(at), payee, offer(100));
        let mut promised = commits_of(&done, payee);
        if how == "is silent and puts off" {
            b.ack_with(ms(now + 5_000), conn, &taken, 4);
            b.say(ms(now + 5_000), conn, refusal(RejectCode::Rate, 50));
        }
        let mut seconds = 1;
        while promised.is_empty() && seconds < 12 {
            seconds += 1;
            b.payer.tick(ms(now + seconds * 1_000));
            let done = b.run(ms(now + seconds * 1_000));
            promised = commits_of(&done, payee);
        }
        // The range that the other was promised: nothing is locked.
        assert!(promised.iter().any(|v| v.first == first), "{how}");
        let at_once = ["closes", "refuses"].contains(&how);
        assert_eq!(seconds, if at_once { 1 } else { 10 }, "{how}");
        // It stays there.
        b.ack_with(ms(now + 12_000), payee, &promised[0], 4);
        b.payer.request_sent(payee);
        b.payer.block_received(payee, block(500));
        assert!((b.payer).payable(ms(now + 12_100), payee, verified(block(500))));
        b.run(ms(now + 12_100));
        for seconds in 13..40 {
            b.payer.tick(ms(now + seconds * 1_000));
            let done = b.run(ms(now + seconds * 1_000));
            assert!(commits_of(&done, conn).iter().all(|v| v.first != first));
        }
    }
}

/// What was promised on a connection.
fn commits_of(done: &Done, to: ConnectionId) -> Vec<VoucherBody> {
    let commit = |(conn, m): &(ConnectionId, PayMessage)| match m {
        PayMessage::Commit { voucher, .. } if *conn == to => Some(*voucher),
        _ => None,
    };
    done.sent.iter().filter_map(commit).collect()
}

#[test]
fn of_a_payee_that_sold_before_one_range_is_bought_though_others_crowd() {
    let (mut b, now, sold) = sold_before_in_a_crowd();
    let conn = ConnectionId(1_100);
    let free = b.payer.totals().free.0;
    let promised = stranger(&mut b, now, 100, "198.51.100.1").unwrap();
    assert_ne!(promised.first, sold.first);
    // Whoever comes under its name before it sells gets no further one.
    for at in [now + 1_000, now + 3_000] {
        b.payer.disconnected(ms(at), conn);
        b.run(ms(at));
        let again = stranger(&mut b, at, 100, &format!("203.0.113.{at}"));
        assert_eq!(again.unwrap().first, promised.first);
    }
    assert_eq!(
        free - b.payer.totals().free.0,
        Q.0 * u128::from(promised.count)
    );
}

/// A seller comes under the name of the payee that sold before. What it was promised at once.
fn comes(b: &mut Buying, at: u64, conn: ConnectionId, address: &str) -> Vec<VoucherBody> {
    b.payer.connected(ms(at), conn, info_at(address));
    b.payer.want(ms(at), conn, V1, true, MAX_UNIT);
    commits_of(&b.say(ms(at), conn, offer(100)), conn)
}

#[test]
fn each_impostor_keeps_a_range_from_a_payee_that_sold_before_for_ten_seconds_at_the_most() {
    for (how, most) in [
        ("lets it go and takes it again", 12),
        ("brings a block that is never judged", 13),
        ("others come from elsewhere all the time", 12),
        ("another waited before", 23),
    ] {
        let (mut b, now, _) = sold_before_in_a_crowd();
        let holder = ConnectionId(1_100);
        let taken = stranger(&mut b, now, 100, "203.0.113.9").unwrap();
        let (first, tag) = (taken.first, taken.tag());
        if how.starts_with("brings") {
            b.ack_with(ms(now), holder, &taken, 1);
            b.receive(holder, block(500));
        }
        if how.starts_with("another") {
            let other = comes(&mut b, now + 500, ConnectionId(1_150), "203.0.113.8");
            assert_eq!(other, []);
        }
        // The payee itself, where it sold before.
        let payee = ConnectionId(1_200);
        let mut promised = comes(&mut b, now + 1_000, payee, "198.51.100.1");
        let mut sells_from = None;
        for tenths in 11..10 * (most + 20) {
            let at = now + tenths * 100;
            if how.starts_with("lets") && tenths % 90 == 85 {
                let refusal = |code, aux| PayMessage::Reject {
                    code,
                    first,
                    tag,
                    aux,
                };
                // The ACK makes its refused quotes count from 0 again, the REJECT 14 makes the range one that is being
                // opened.
                b.ack_with(ms(at), holder, &taken, 1);
                b.say(ms(at), holder, refusal(RejectCode::Rate, 50));
                b.say(ms(at), holder, refusal(RejectCode::PriceOrQuote, 0));
                let again = commits_of(&b.say(ms(at), holder, offer(100)), holder);
                assert_eq!(again, [], "{how}");
            }
            if how.starts_with("others") {
                let other = ConnectionId(2_000 + tenths);
                let address = format!("192.0.{}.{}", tenths / 200, tenths % 200);
                let promised = comes(&mut b, at, other, &address);
                assert!(promised.iter().all(|v| v.first != first), "{how}");
            }
            b.payer.tick(ms(at));
            let done = b.run(ms(at));
            if sells_from.is_none() {
                promised.extend(commits_of(&done, payee));
            }
            let Some(v) = promised.iter().find(|v| v.first == first) else {
                continue;
            };
            // It sells, and has the range from then on.
            if sells_from.is_none() {
                sells_from = Some(tenths);
                b.ack_with(ms(at), payee, v, 4);
                b.receive(payee, block(501));
                assert!((b.payer).payable(ms(at), payee, verified(block(501))));
                b.run(ms(at));
            } else {
                let moved = |(_, m): &(ConnectionId, PayMessage)| match m {
                    PayMessage::Commit { voucher, .. } => voucher.first == first,
                    _ => false,
                };
                assert!(!done.sent.iter().any(moved), "{how}");
            }
        }
        assert!(sells_from.is_some_and(|at| at <= 10 * most), "{how}");
    }
}

#[test]
fn a_payee_that_sold_on_a_range_has_it_again_though_others_wait_under_its_name() {
    let (mut b, now, _) = sold_before_in_a_crowd();
    let payee = ConnectionId(1_200);
    let sold = comes(&mut b, now, payee, "198.51.100.1")[0];
    b.ack_with(ms(now), payee, &sold, 4);
    b.receive(payee, block(500));
    assert!((b.payer).payable(ms(now), payee, verified(block(500))));
    b.run(ms(now));
    // One gets a range with its name, the next ones wait.
    for (number, ranges) in [(0, 1), (1, 0), (2, 0)] {
        let conn = ConnectionId(1_250 + number);
        let address = format!("203.0.113.{number}");
        let promised = comes(&mut b, now + 500, conn, &address);
        assert_eq!(promised.len(), ranges);
        assert!(promised.iter().all(|v| v.first != sold.first));
    }
    b.payer.disconnected(ms(now + 700), payee);
    b.run(ms(now + 700));
    let again = comes(&mut b, now + 700, ConnectionId(1_300), "198.51.100.1");
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].first, sold.first);
}

#[test]
fn who_sells_a_block_under_the_name_of_a_payee_makes_no_stranger_of_it_in_later_runs() {
    let (mut b, mut now, _) = sold_before_in_a_crowd();
    let conn = ConnectionId(1_100);
    for run in 0..3u8 {
        // While the payee is away, one range in each run is closed after a block: on record, and for good.
        let free = b.payer.totals().free.0;
        let taken = stranger(&mut b, now, 100, "203.0.113.9").unwrap();
        b.ack_with(ms(now), conn, &taken, 1);
        b.receive(conn, block(500));
        assert!((b.payer).payable(ms(now), conn, verified(block(500))));
        b.run(ms(now));
        let (reason, first) = (NeedReason::RangeClosed, taken.first);
        b.say(ms(now), conn, PayMessage::Need { reason, first });
        b.payer.disconnected(ms(now), conn);
        b.run(ms(now));
        assert_eq!(stranger(&mut b, now + 5_000, 100, "203.0.113.10"), None);
        assert_eq!(free - b.payer.totals().free.0, Q.0, "run {run}");
        now += 20_000;
        b.restart(ms(now));
        // Another takes the first turn of the next run, too.
        let address = format!("198.51.100.{}", 110 + run);
        assert!(stranger(&mut b, now, 110 + run, &address).is_some());
        strangers(&mut b, now, 120..121);
    }
    assert!(stranger(&mut b, now, 100, "198.51.100.1").is_some());
}

#[test]
fn who_sold_on_one_range_of_a_payee_ends_no_other_of_it() {
    // Where its address is known, and where it is not.
    for address in ["198.51.100.9", ""] {
        let mut b = Buying::new();
        // The payee has two ranges from an earlier run, a part of one used.
        let one = b.open();
        b.buy(ms(2_000), 0..40);
        let next = PayMessage::Need {
            reason: NeedReason::NextRange,
            first: one.first,
        };
        let two = b.say(ms(4_000), A, next).commit();
        assert_ne!(one.first, two.first);
        b.payer.disconnected(ms(5_000), A);
        b.run(ms(5_000));
        b.restart(ms(10_000));
        // An impostor sells a block on the first, and closes both.
        let bad = b
            .quote(ms(10_000), B, info_at(address), terms(UNIT))
            .commit();
        assert_eq!(bad.first, one.first);
        b.ack_with(ms(10_010), B, &bad, 1);
        b.receive(B, block(900));
        assert!(b.payer.payable(ms(12_000), B, verified(block(900))));
        b.run(ms(12_000));
        let closed = |first| PayMessage::Need {
            reason: NeedReason::RangeClosed,
            first,
        };
        let next = b.say(ms(14_000), B, closed(one.first)).commit();
        assert_eq!(next.first, two.first);
        b.say(ms(14_010), B, closed(two.first));
        b.payer.disconnected(ms(15_000), B);
        b.run(ms(15_000));
        // Nobody sold on the second in this run.
        let again = b.quote(ms(30_000), A, info(1), terms(UNIT)).commit();
        assert_eq!(again.first, two.first, "{address:?}");
    }
}

/// As [`sold_before_in_a_crowd`]; also what number 101 was promised, under its own name.
fn sold_before_and_another_has_a_range() -> (Buying, u64, VoucherBody) {
    let mut b = Buying::new();
    let conn = ConnectionId(1_100);
    let sold = stranger(&mut b, 0, 100, "198.51.100.1").unwrap();
    buys(&mut b, 0, 100, &sold);
    b.payer.want(ms(1), conn, V1, false, MAX_UNIT);
    let (reason, first) = (NeedReason::RangeClosed, sold.first);
    b.say(ms(1), conn, PayMessage::Need { reason, first });
    b.payer.disconnected(ms(1), conn);
    b.run(ms(1));
    let now = fakes(&mut b, 1, 8);
    b.restart(ms(now));
    let other = stranger(&mut b, now, 101, "198.51.100.2").unwrap();
    (b, now, other)
}

#[test]
fn who_can_have_no_range_of_a_payee_is_before_nobody() {
    for sits in [true, false] {
        let (mut b, now, other) = sold_before_and_another_has_a_range();
        // It ends its own range, is refused another one, and names the payee while that refusal stands. A connection
        // pays one payee, so it is promised nothing any more.
        let x = ConnectionId(1_101);
        let (reason, first) = (NeedReason::RangeClosed, other.first);
        b.say(ms(now + 1_200), x, PayMessage::Need { reason, first });
        let waits = PayerConnState::Quoted(Some(Refusal::FakePayeeLimit));
        assert_eq!(b.payer.status(x), waits);
        b.say(ms(now + 1_201), x, offer(100));

        // The range that the payee's name brings: an impostor sits on it, or the payee itself had it and lost its
        // connection.
        let y = ConnectionId(1_150);
        let address = if sits { "203.0.113.9" } else { "198.51.100.1" };
        let promised = comes(&mut b, now + 2_000, y, address);
        assert_eq!(promised.len(), 1);
        if !sits {
            b.payer.disconnected(ms(now + 2_500), y);
            b.run(ms(now + 2_500));
        }
        let payee = ConnectionId(1_200);
        let mut got = comes(&mut b, now + 3_000, payee, "198.51.100.1");
        for tenths in 31..300 {
            b.payer.tick(ms(now + tenths * 100));
            got.extend(commits_of(&b.run(ms(now + tenths * 100)), payee));
        }
        // Ten seconds at the most for the one that sits (30 s are given here); at once where nobody does.
        assert!(
            got.iter().any(|v| v.first == promised[0].first),
            "sits: {sits}"
        );
    }
}

#[test]
fn a_stranger_that_takes_another_name_is_judged_by_that_one_at_once() {
    let (mut b, now, sold) = sold_before_in_a_crowd();
    let conn = ConnectionId(1_102);
    let waits = PayerConnState::Quoted(Some(Refusal::FakePayeeLimit));
    assert_eq!(b.payer.status(conn), waits);
    let promised = commits_of(&b.say(ms(now + 10), conn, offer(100)), conn);
    assert_eq!(promised.len(), 1, "its turn is no longer waited for");
    assert_ne!(promised[0].first, sold.first);
    // A name that nobody knows is refused at once, so that it keeps no place.
    let conn = ConnectionId(1_103);
    assert_eq!(stranger(&mut b, now + 20, 103, "198.51.100.103"), None);
    for number in 110..120 {
        b.say(ms(now + 20 + u64::from(number)), conn, offer(number));
        assert_eq!(b.payer.status(conn), waits);
        assert!(!b.payer.is_of_use(conn));
    }
}
