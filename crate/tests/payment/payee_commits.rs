//! What a seller takes and refuses of the COMMITs of a buyer: how soon after each other, how many ranges at once, and
//! what the chain and others say of its serials.

use std::collections::BTreeMap;

use crate::hand::*;
use crate::shop::{Buyer, Shop, deposit};
use alloy_primitives::{Address, B256, U256};
use piecework::payment::payee::{MAX_ACCOUNTS, MAX_EVIDENCE, MAX_EVIDENCE_CHECKS, RedeemScope};
use piecework::payment::record::{Key, PayeeRangeLife, PayeeRangeRecord};
use piecework::payment::voucher::{Voucher, account_id};
use piecework::payment::{PayAction, PayEvent};
use piecework::types::{ConnectionId, FineUnits, TokenUnits};
use piecework::wire::pay::{NeedReason, PayMessage, RejectCode};

const NOTHING: FineUnits = FineUnits(0);
const ELSEWHERE: Address = Address::repeat_byte(0x99);

/// A seller with a buyer's connection.
fn selling() -> Selling {
    let mut s = Selling::new();
    s.connect(ms(0), A);
    s
}

/// Commits a range at once, on A: why it was refused.
fn refusal(s: &mut Selling, at: u64, v: &Voucher) -> Option<RejectCode> {
    let done = s.commit(ms(at), A, v);
    (!done.order.contains(&"ack")).then(|| done.reject().0)
}

fn range(first: u32) -> Voucher {
    voucher(first, NOTHING, first as u8).0
}

/// Shows a voucher of range `first` for somebody else, by an account of this owner.
fn show(s: &mut Selling, conn: ConnectionId, owner: Address, payee: Address, first: u32) -> Done {
    let (mut other, _) = voucher(first, NOTHING, 200);
    (other.owner, other.payee) = (owner, payee);
    let voucher = body(&other);
    s.say(ms(0), conn, PayMessage::Seen { payee, voucher })
}

fn conflicts(done: &Done) -> usize {
    let conflict = |e: &&PayEvent| matches!(e, PayEvent::Conflict { .. });
    done.events.iter().filter(conflict).count()
}

#[test]
fn folds_on_which_little_was_paid_keep_the_spacing_of_new_ranges() {
    let mut s = selling();
    assert_eq!(refusal(&mut s, 0, &range(7)), None);
    let fold = |tip| voucher(7, NOTHING, tip).0;
    assert_eq!(refusal(&mut s, 1_000, &fold(20)), None);
    let done = s.commit(ms(1_100), A, &fold(21));
    assert_eq!(done.reject(), (RejectCode::Rate, 800));
    assert_eq!(refusal(&mut s, 1_900, &fold(22)), None);
}

#[test]
fn who_paid_32_blocks_may_commit_its_next_range_at_once() {
    for (paid, refused) in [(31, Some(RejectCode::Rate)), (32, None)] {
        let mut s = selling();
        let (v, chain) = voucher(7, NOTHING, 7);
        assert_eq!(refusal(&mut s, 0, &v), None);
        s.say(ms(10), A, pay(&v, &chain, paid));
        assert_eq!(refusal(&mut s, 20, &range(8)), refused, "{paid}");
    }
}

/// Range 7 is filled, 8 is begun.
fn one_full_and_one_live() -> Selling {
    let mut s = selling();
    let (full, chain) = voucher(7, FineUnits(Q.fine().0 - 3 * UNIT.0), 7);
    assert_eq!(refusal(&mut s, 0, &full), None);
    let (live, links) = voucher(8, NOTHING, 8);
    assert_eq!(refusal(&mut s, 1_000, &live), None);
    assert_eq!(refusal(&mut s, 2_000, &range(9)), Some(RejectCode::Rate));
    s.say(ms(2_100), A, pay(&full, &chain, 3));
    s.say(ms(2_100), A, pay(&live, &links, 1));
    s
}

#[test]
fn a_buyer_has_two_live_ranges_and_those_that_are_full_or_closed_make_room() {
    let mut s = one_full_and_one_live();
    assert_eq!(refusal(&mut s, 3_000, &range(9)), None, "7 is full");
    assert_eq!(refusal(&mut s, 4_000, &range(10)), Some(RejectCode::Rate));
    s.payee.prepare_redeem(ms(4_100), RedeemScope::All);
    s.run(ms(4_100));
    assert_eq!(refusal(&mut s, 5_000, &range(10)), None, "8 is closed");
    assert_eq!(refusal(&mut s, 6_000, &range(11)), Some(RejectCode::Rate));
}

#[test]
fn a_full_range_leaves_its_connection_with_the_next_one_and_live_ones_stay() {
    let mut s = one_full_and_one_live();
    assert_eq!(refusal(&mut s, 3_000, &range(9)), None);
    s.payee.prepare_redeem(ms(3_100), RedeemScope::All);
    let closed = |(_, m): &(ConnectionId, PayMessage)| match m {
        PayMessage::Need {
            reason: NeedReason::RangeClosed,
            first,
        } => Some(*first),
        _ => None,
    };
    let told: Vec<u32> = (s.run(ms(3_100)).sent.iter()).filter_map(closed).collect();
    assert_eq!(told, [8], "nobody waits for 7");
    assert_eq!(s.payee.claims().len(), 2);
}

#[test]
fn who_comes_back_is_told_of_two_ended_ranges_at_once_and_waits_after_a_third() {
    let mut s = Selling::new();
    for first in 7..=10 {
        let now = u64::from(first) * 1_000;
        s.connect(ms(now), A);
        let (v, chain) = voucher(first, NOTHING, first as u8);
        assert_eq!(refusal(&mut s, now, &v), None);
        s.say(ms(now), A, pay(&v, &chain, 100));
        s.payee.disconnected(ms(now), A);
        s.run(ms(now));
    }
    s.payee.prepare_redeem(ms(20_000), RedeemScope::All);
    s.run(ms(20_000));
    s.connect(ms(30_000), A);
    let told = [7, 8, 9, 10].map(|first| refusal(&mut s, 30_000, &range(first)).unwrap());
    let ended = RejectCode::ConsumedOrClosed;
    assert_eq!(told, [ended, ended, ended, RejectCode::Rate]);
}

#[test]
fn who_finds_two_ranges_redeemed_meanwhile_is_not_held_up_by_it() {
    let mut s = selling();
    s.state.spent_word = U256::from(7u8) << 90;
    for first in [90, 91] {
        let ended = Some(RejectCode::ConsumedOrClosed);
        assert_eq!(refusal(&mut s, 0, &range(first)), ended, "{first}");
    }
    assert_eq!(refusal(&mut s, 0, &range(7)), None);
}

#[test]
fn whom_the_chain_refuses_is_looked_at_again_when_its_wait_is_over() {
    for (after, refused) in [(1_799, Some(RejectCode::Rate)), (1_800, None)] {
        let mut s = selling();
        assert_eq!(
            refusal(&mut s, 0, &range(250)),
            Some(RejectCode::NotCovered)
        );
        assert_eq!(refusal(&mut s, after, &range(7)), refused, "{after}");
    }
}

#[test]
fn what_is_refused_to_one_peer_holds_up_no_other() {
    for addresses in [["203.0.113.1", "203.0.113.2"], ["", ""]] {
        let mut s = Shop::new();
        let [stranger, buyer] = [1, 2].map(Buyer::new);
        s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
        s.connect(stranger.conn, addresses[0]);
        s.connect(buyer.conn, addresses[1]);
        let nothing = s.commit(&stranger, &stranger.promise(1, 1, Q, NOTHING));
        assert_eq!(nothing, Some(RejectCode::ChainPending));
        assert_eq!(s.commit(&buyer, &buyer.promise(1, 1, Q, NOTHING)), None);
    }
}

#[test]
fn proofs_that_concern_others_or_this_seller_itself_are_held_against_nobody() {
    let mut s = selling();
    let stranger = Address::repeat_byte(0x23);
    show(&mut s, A, stranger, ELSEWHERE, 7);
    show(&mut s, A, OWNER, PAYEE, 7);
    assert_eq!(refusal(&mut s, 0, &range(7)), None);
    let again = show(&mut s, A, OWNER, PAYEE, 7);
    assert_eq!(conflicts(&again), 0, "what it promised here");
    let apart = show(&mut s, A, OWNER, ELSEWHERE, 8);
    assert_eq!(conflicts(&apart), 0, "other serials");
}

#[test]
fn sixty_four_proofs_are_kept_and_the_oldest_makes_room() {
    for (proofs, kept) in [(MAX_EVIDENCE, true), (MAX_EVIDENCE + 1, false)] {
        let mut s = Selling::new();
        for n in 0..proofs {
            let conn = ConnectionId(100 + n as u64 / u64::from(MAX_EVIDENCE_CHECKS));
            if n % usize::from(MAX_EVIDENCE_CHECKS) == 0 {
                s.connect(ms(0), conn);
            }
            show(&mut s, conn, OWNER, ELSEWHERE, 20 + n as u32);
        }
        s.connect(ms(0), A);
        let conflict = Some(RejectCode::Conflict);
        assert_eq!(refusal(&mut s, 0, &range(21)), conflict, "{proofs}");
        let oldest = refusal(&mut s, 1_000, &range(20));
        assert_eq!(oldest, conflict.filter(|_| kept), "{proofs}");
    }
}

#[test]
fn what_the_chain_says_to_one_commit_counts_for_all_ranges_of_its_account() {
    let mut s = selling();
    let mismatch = |done: &Done| {
        let said = |e: &&PayEvent| matches!(e, PayEvent::ChainMismatch { .. });
        done.events.iter().filter(said).count()
    };
    let done = s.commit(ms(0), A, &range(7));
    assert_eq!((mismatch(&done), done.order.contains(&"ack")), (0, true));
    s.state.chain_id = 1;
    let done = s.commit(ms(1_000), A, &range(8));
    assert_eq!(mismatch(&done), 1);
    assert_eq!(done.reject().0, RejectCode::ChainPending);
    s.state.chain_id = vault().chain_id;
    s.state.exit_at = 9_000;
    let done = s.commit(ms(3_000), A, &range(8));
    let exiting = |(_, m): &(ConnectionId, PayMessage)| match m {
        PayMessage::Reject {
            code: RejectCode::Exiting,
            first,
            ..
        } => Some(*first),
        _ => None,
    };
    let told: Vec<u32> = done.sent.iter().filter_map(exiting).collect();
    assert_eq!(told, [7, 8]);
    assert!(!s.payee.is_paying(A));
}

#[test]
fn serials_beyond_the_first_word_are_asked_for_in_their_own() {
    let mut s = selling();
    s.state.balance = TokenUnits(5_000_000);
    s.state.bond = TokenUnits(6_250_000);
    let word = |s: &mut Selling| loop {
        if let Some(PayAction::ReadState { word, .. }) = s.payee.poll() {
            return word;
        }
    };
    let v = range(300);
    let commit = PayMessage::Commit {
        quote_id: s.quote,
        voucher: body(&v),
    };
    s.payee.message(ms(0), A, commit);
    assert_eq!(word(&mut s), U256::from(1u8));
    // And so are they read again.
    let mut s = selling();
    s.state.balance = TokenUnits(5_000_000);
    s.state.bond = TokenUnits(6_250_000);
    let (v, chain) = voucher(300, NOTHING, 3);
    assert_eq!(refusal(&mut s, 0, &v), None);
    s.say(ms(10), A, pay(&v, &chain, 100));
    s.payee.tick(ms(110));
    s.run(ms(110));
    s.state.spent_word = U256::from(1u8) << 44;
    s.payee.tick(ms(31_000));
    let conflict = |e: &PayEvent| matches!(e, PayEvent::Conflict { serial: 300, .. });
    assert!(s.run(ms(31_000)).events.iter().any(conflict));
}

// ---- room for accounts

/// As many accounts as there is room for, less `free`, each of which owes so many blocks.
fn crowd(blocks: u16, free: usize) -> BTreeMap<String, bytes::Bytes> {
    let buyer = Buyer::new(1);
    let promise = buyer.promise(1, 1, Q, NOTHING);
    let record = |session_key| PayeeRangeRecord {
        session_key,
        voucher: promise.v,
        signature: sign(&buyer.key, promise.v.root),
        k: blocks,
        w: promise.chain.link(blocks).unwrap(),
        tranche: Q,
        life: PayeeRangeLife::Open,
    };
    (0..MAX_ACCOUNTS - free)
        .map(|n| {
            let session_key = Address::from_word(B256::from(U256::from(n + 1)));
            let id = account_id(buyer.owner, session_key);
            let key = Key::PayeeRange(id, 1).text(&vault());
            (key, record(session_key).encode())
        })
        .collect()
}

/// A shop with such a crowd, of which the chain has said nothing yet; and buyers with deposits, connected.
fn crowded(blocks: u16, free: usize) -> (Shop, [Buyer; 2]) {
    let mut s = Shop::with(&crowd(blocks, free), |_| {});
    while s.payee.poll().is_some() {}
    let buyers = [1, 2].map(Buyer::new);
    for buyer in &buyers {
        s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
        s.connect(buyer.conn, "");
    }
    (s, buyers)
}

#[test]
fn an_account_makes_room_that_owes_less_than_its_gas_and_none_that_owes_as_much() {
    for (blocks, served) in [(99, true), (100, false)] {
        let (mut s, [buyer, _]) = crowded(blocks, 0);
        let refused = s.commit(&buyer, &buyer.promise(1, 1, Q, NOTHING));
        assert_eq!(refused.is_none(), served, "{blocks}");
        assert_eq!(s.store.len(), MAX_ACCOUNTS, "{blocks}");
    }
}

#[test]
fn who_is_connected_makes_no_room_and_while_there_is_room_nobody_does() {
    let (mut s, [buyer, next]) = crowded(200, 1);
    assert_eq!(s.commit(&buyer, &buyer.promise(1, 1, Q, NOTHING)), None);
    let refused = s.commit(&next, &next.promise(1, 1, Q, NOTHING));
    assert_eq!(refused, Some(RejectCode::ChainPending));
    s.leave(buyer.conn);
    s.now = ms(2_000);
    assert_eq!(s.commit(&next, &next.promise(1, 1, Q, NOTHING)), None);
    assert_eq!(s.records(buyer.account), 0, "it owes nothing");

    let mut s = Shop::new();
    for buyer in [&buyer, &next] {
        s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
        s.buys(buyer, 1..=1, 0);
    }
    assert_eq!(s.records(buyer.account), 1);
}
