//! One machine at a time against a hand-driven remote: what each message and each rule of payments.md
//! section 4 brings about.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloy_primitives::{Address, B256, U256, keccak256};
use bytes::Bytes;
use k256::ecdsa::{SigningKey, VerifyingKey};
use piecework::payment::chain::HashChain;
use piecework::payment::payee::{ClaimOutcome, Payee, PayeeConfig, RedeemScope};
use piecework::payment::payer::{AccountInfo, PENDING_RETRIES, Payer, PayerConnState};
use piecework::payment::policy::PayerConfig;
use piecework::payment::voucher::{Signature, Vault, Voucher};
use piecework::payment::{
    BanReason, ChainState, EndReason, PayAction, PayEffect, PayEvent, PeerPayInfo, Refusal,
    TitleKind,
};
use piecework::time::{Duration, Timestamp};
use piecework::types::{BlockRef, ConnectionId, FineUnits, InfoHash, PieceIndex, TokenUnits};
use piecework::verify::{Advances, Payable, VerifiedPieces};
use piecework::wire::pay::{
    ByeReason, NeedReason, PayHandshake, PayMessage, RejectCode, Terms, VoucherBody,
};
use std::collections::BTreeMap;

const UNIT: FineUnits = FineUnits(10 << 24);
const Q: TokenUnits = TokenUnits(10_000);
const A: ConnectionId = ConnectionId(1);
const B: ConnectionId = ConnectionId(2);
const PAYEE: Address = Address::repeat_byte(0x33);
const OWNER: Address = Address::repeat_byte(0x22);

fn vault() -> Vault {
    Vault {
        address: Address::repeat_byte(0x44),
        chain_id: 31_337,
    }
}

fn key() -> SigningKey {
    SigningKey::from_slice(&[0x11; 32]).unwrap()
}

fn session_address() -> Address {
    let key = key();
    let point = VerifyingKey::from(&key).to_encoded_point(false);
    Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
}

fn sign(key: &SigningKey, digest: B256) -> Signature {
    let (signature, recovery) = key.sign_prehash_recoverable(digest.as_slice()).unwrap();
    let bytes = signature.to_bytes();
    let mut vs = B256::from_slice(&bytes[32..]);
    vs.0[0] |= if recovery.is_y_odd() { 0x80 } else { 0 };
    Signature {
        r: B256::from_slice(&bytes[..32]),
        vs,
    }
}

fn ms(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

fn info(flags: u8) -> PeerPayInfo {
    PeerPayInfo {
        handshake: Some(PayHandshake {
            vault: vault().address,
            chain_id: 31_337,
            flags,
            version: 1,
        }),
        address: "203.0.113.7".into(),
        torrent: InfoHash([1; 20]),
        content: B256::ZERO,
        content_sold: B256::ZERO,
    }
}

fn chain_state() -> ChainState {
    ChainState {
        balance: TokenUnits(2_000_000),
        tranche: Q,
        consumed: 1,
        known: true,
        bond: TokenUnits(2_500_000),
        exit_at: 0,
        spent_word: U256::from(1u8),
        chain_id: 31_337,
        block_number: 1,
        timestamp: 1,
    }
}

fn voucher(first: u32, base: FineUnits, tip: u8) -> (Voucher, HashChain) {
    let steps = 256.min(((Q.fine().0 - base.0) / UNIT.0) as u16);
    let chain = HashChain::generate(B256::repeat_byte(tip), steps);
    let voucher = Voucher {
        owner: OWNER,
        payee: PAYEE,
        first,
        count: 1,
        content: B256::ZERO,
        base,
        unit: UNIT,
        steps,
        root: chain.root(),
        luck: B256::ZERO,
    };
    (voucher, chain)
}

fn body(v: &Voucher) -> VoucherBody {
    v.to_body(&sign(&key(), v.digest(&vault())))
}

fn pay(v: &Voucher, chain: &HashChain, k: u16) -> PayMessage {
    PayMessage::Pay {
        first: v.first,
        tag: v.tag(),
        k,
        w: chain.link(k).unwrap(),
    }
}

fn block(n: u32) -> BlockRef {
    BlockRef {
        piece: PieceIndex(n / 4),
        begin: n % 4 * 16_384,
        length: 16_384,
    }
}

const PIECE_LENGTH: u64 = 4 * 16_384;

fn verified(block: BlockRef) -> Payable {
    let pieces = VerifiedPieces::none(
        u64::from(block.piece.0 + 1) * PIECE_LENGTH,
        PIECE_LENGTH as u32,
    );
    let proof = pieces.check(block.piece, &[7; 20], &[7; 20]).unwrap();
    Payable::Verified(proof.block(block.begin).unwrap())
}

fn advance(block: BlockRef) -> Payable {
    let durable = true;
    let proof = Advances::default().advance(Address::ZERO, block, durable);
    Payable::Advance(proof.unwrap())
}

/// What one machine did: records are stored at once, other effects wait.
#[derive(Default)]
struct Done {
    sent: Vec<(ConnectionId, PayMessage)>,
    order: Vec<&'static str>,
    reads: Vec<(PayEffect, U256)>,
    signs: Vec<(PayEffect, B256)>,
    puts: Vec<PayEffect>,
    bans: Vec<ConnectionId>,
    closed: Vec<ConnectionId>,
    events: Vec<PayEvent>,
}

impl Done {
    fn take(&mut self, action: PayAction, store: &mut BTreeMap<String, Bytes>) {
        match action {
            PayAction::Send { conn, message } => {
                self.order.push(match message {
                    PayMessage::Ack { .. } => "ack",
                    PayMessage::Reject { .. } => "reject",
                    PayMessage::Seen { .. } => "seen",
                    PayMessage::Commit { .. } => "commit",
                    _ => "other",
                });
                self.sent.push((conn, message));
            }
            PayAction::PutRecord { effect, key, value } => {
                self.order.push("put");
                match value {
                    Some(value) => store.insert(key, value),
                    None => store.remove(&key),
                };
                self.puts.push(effect);
            }
            PayAction::Sign { effect, digest } => self.signs.push((effect, digest)),
            PayAction::ReadState { effect, word, .. } => self.reads.push((effect, word)),
            PayAction::Unchoke { .. } => self.order.push("unchoke"),
            PayAction::Choke { .. } => self.order.push("choke"),
            PayAction::CloseConnection { conn, .. } => self.closed.push(conn),
            PayAction::Ban { conn, reason } => {
                assert_eq!(reason, BanReason::SoldBadData);
                self.bans.push(conn);
            }
            PayAction::Event(event) => self.events.push(event),
        }
    }

    fn reject(&self) -> (RejectCode, u32) {
        self.sent
            .iter()
            .rev()
            .find_map(|(_, m)| match m {
                PayMessage::Reject { code, aux, .. } => Some((*code, *aux)),
                _ => None,
            })
            .unwrap_or_else(|| panic!("no REJECT in {:?}", self.sent))
    }

    fn ack(&self) -> (u16, u32, u16) {
        self.sent
            .iter()
            .rev()
            .find_map(|(_, m)| match m {
                PayMessage::Ack {
                    k,
                    owed_blocks,
                    credit_blocks,
                    ..
                } => Some((*k, *owed_blocks, *credit_blocks)),
                _ => None,
            })
            .unwrap_or_else(|| panic!("no ACK in {:?}", self.sent))
    }

    fn commit(&self) -> VoucherBody {
        self.sent
            .iter()
            .rev()
            .find_map(|(_, m)| match m {
                PayMessage::Commit { voucher, .. } => Some(*voucher),
                _ => None,
            })
            .unwrap_or_else(|| panic!("no COMMIT in {:?}", self.sent))
    }

    fn paid_to(&self) -> Option<(u32, [u8; 4], u16)> {
        self.sent.iter().rev().find_map(|(_, m)| match m {
            PayMessage::Pay { first, tag, k, .. } => Some((*first, *tag, *k)),
            _ => None,
        })
    }
}

// ---- the payee ----

struct Selling {
    payee: Payee,
    config: PayeeConfig,
    store: BTreeMap<String, Bytes>,
    state: ChainState,
    quote: u32,
}

impl Selling {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl Fn(&mut PayeeConfig)) -> Self {
        let mut config = PayeeConfig::new(vault(), PAYEE);
        config.unit = UNIT;
        change(&mut config);
        Selling {
            payee: Payee::new(ms(0), config, [1; 32], std::iter::empty()),
            config,
            store: BTreeMap::new(),
            state: chain_state(),
            quote: 0,
        }
    }

    /// Drains; effects are answered at once.
    fn run(&mut self, now: Timestamp) -> Done {
        let mut done = Done::default();
        loop {
            self.payee.end_of_batch(now);
            let mut any = false;
            while let Some(action) = self.payee.poll() {
                any = true;
                if let PayAction::Send {
                    message: PayMessage::Terms(t),
                    ..
                } = &action
                {
                    self.quote = t.quote_id;
                }
                done.take(action, &mut self.store);
            }
            for effect in std::mem::take(&mut done.puts) {
                self.payee.stored(now, effect, true);
            }
            for (effect, _) in std::mem::take(&mut done.reads) {
                self.payee.chain_state(now, effect, Ok(self.state));
            }
            if !any {
                return done;
            }
        }
    }

    fn connect(&mut self, now: Timestamp, conn: ConnectionId) -> Done {
        self.payee.connected(now, conn, info(2));
        self.run(now)
    }

    fn say(&mut self, now: Timestamp, conn: ConnectionId, message: PayMessage) -> Done {
        self.payee.message(now, conn, message);
        self.run(now)
    }

    fn commit(&mut self, now: Timestamp, conn: ConnectionId, v: &Voucher) -> Done {
        let quote_id = self.quote;
        let voucher = body(v);
        self.say(now, conn, PayMessage::Commit { quote_id, voucher })
    }

    fn write(&mut self, now: Timestamp, conn: ConnectionId, most: u32) -> u32 {
        let mut written = 0;
        while written < most && self.payee.may_send(conn) {
            self.payee.block_written(now, conn);
            written += 1;
        }
        written
    }

    fn restart(&mut self, now: Timestamp) -> Done {
        self.payee = Payee::new(now, self.config, [2; 32], self.store.clone().into_iter());
        self.run(now)
    }
}

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
    s.payee.connected(ms(0), B, other);
    assert!(s.run(ms(0)).sent.is_empty());
    s.payee.connected(ms(0), ConnectionId(3), info(1));
    assert!(s.run(ms(0)).sent.is_empty());
    let mut free = Selling::with(|c| c.unit = FineUnits(0));
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
    s.payee.set_price(ms(1), FineUnits(UNIT.0 + 1));
    s.run(ms(1));
    assert_ne!(s.quote, first);
    s.quote = first;
    let done = s.commit(ms(2), A, &voucher(7, FineUnits(0), 1).0);
    assert!(done.order.contains(&"ack"), "the last two quotes are valid");
    s.connect(ms(3), B);
    let old = s.quote;
    s.payee.set_price(ms(4), FineUnits(UNIT.0 + 2));
    s.payee.set_price(ms(5), UNIT);
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
    let mut s = Selling::with(|c| c.credit_max = 16);
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
    // Confirmed, it is forgotten.
    s.state.spent_word |= U256::from(1u8) << 7;
    s.restart(ms(40_000));
    s.payee.tick(ms(71_000));
    s.run(ms(71_000));
    assert!(!s.store.keys().any(|k| k.contains("/range/")));
    assert_eq!(s.payee.totals().redeemed, TokenUnits(200));
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

// ---- the payer ----

struct Buying {
    payer: Payer,
    config: PayerConfig,
    store: BTreeMap<String, Bytes>,
    state: ChainState,
}

fn terms(unit: FineUnits) -> Terms {
    Terms {
        version: 1,
        flags: 0,
        quote_id: 77,
        ttl_secs: 600,
        payee: PAYEE,
        content: B256::ZERO,
        unit,
        min_range: FineUnits(0),
        max_steps: 256,
        credit0: 4,
        credit_max: 128,
        ramp: 4,
        min_bond_percent: 125,
        luck: B256::ZERO,
    }
}

impl Buying {
    fn new() -> Self {
        let mut config = PayerConfig::new(vault());
        config.ceiling = FineUnits(UNIT.0 * 2);
        config.budget = TokenUnits(1_000_000);
        let mut b = Buying {
            payer: Payer::new(config, [3; 32], std::iter::empty()),
            config,
            store: BTreeMap::new(),
            state: chain_state(),
        };
        b.account(ms(0));
        b
    }

    fn account(&mut self, now: Timestamp) -> Done {
        self.payer.set_account(
            now,
            AccountInfo {
                owner: OWNER,
                session_key: session_address(),
                tranche: Q,
                balance: self.state.balance,
                bond: self.state.bond,
                consumed: self.state.consumed,
                exit_at: 0,
            },
        );
        self.run(now)
    }

    fn run(&mut self, now: Timestamp) -> Done {
        let mut done = Done::default();
        loop {
            self.payer.end_of_batch(now);
            let mut any = false;
            while let Some(action) = self.payer.poll() {
                any = true;
                done.take(action, &mut self.store);
            }
            for effect in std::mem::take(&mut done.puts) {
                self.payer.stored(now, effect, true);
            }
            for (effect, digest) in std::mem::take(&mut done.signs) {
                self.payer.signed(now, effect, Ok(sign(&key(), digest)));
            }
            for (effect, word) in std::mem::take(&mut done.reads) {
                let mut state = self.state;
                if word != U256::ZERO {
                    state.spent_word = U256::ZERO;
                }
                self.payer.chain_state(now, effect, Ok(state));
            }
            if !any {
                return done;
            }
        }
    }

    fn connect(&mut self, now: Timestamp, conn: ConnectionId, title: TitleKind) -> Done {
        self.payer.connected(now, conn, info(1));
        self.payer.want(now, conn, title, true);
        self.say(now, conn, PayMessage::Terms(terms(UNIT)))
    }

    fn say(&mut self, now: Timestamp, conn: ConnectionId, message: PayMessage) -> Done {
        self.payer.message(now, conn, message);
        self.run(now)
    }

    fn ack(&mut self, now: Timestamp, conn: ConnectionId, v: &VoucherBody, k: u16) -> Done {
        self.say(
            now,
            conn,
            PayMessage::Ack {
                first: v.first,
                tag: v.tag(),
                k,
                owed_blocks: 0,
                credit_blocks: 64,
            },
        )
    }

    fn reject(&mut self, now: Timestamp, v: &VoucherBody, code: RejectCode, aux: u32) -> Done {
        let (first, tag) = (v.first, v.tag());
        self.say(
            now,
            A,
            PayMessage::Reject {
                code,
                first,
                tag,
                aux,
            },
        )
    }

    fn open(&mut self) -> VoucherBody {
        let v = self.connect(ms(0), A, TitleKind::V2).commit();
        self.ack(ms(10), A, &v, 0);
        v
    }

    fn buy(&mut self, now: Timestamp, blocks: std::ops::Range<u32>) -> Done {
        for n in blocks.clone() {
            assert!(self.payer.may_request(A) > 0, "block {n}");
            self.payer.request_sent(A);
        }
        for n in blocks {
            self.payer.block_received(A, block(n));
            assert!(self.payer.payable(now, A, verified(block(n))));
        }
        self.run(now)
    }

    fn restart(&mut self, now: Timestamp) -> Done {
        self.payer = Payer::new(self.config, [4; 32], self.store.clone().into_iter());
        self.account(now)
    }
}

fn reject_codes_that_end() -> [RejectCode; 7] {
    use RejectCode::*;
    [
        Signature,
        NotCovered,
        Conflict,
        Exiting,
        BondTooLow,
        Content,
        RangeTooSmall,
    ]
}

#[test]
fn a_range_is_stored_then_signed_then_committed_and_steps_pay_blocks() {
    let mut b = Buying::new();
    let done = b.connect(ms(0), A, TitleKind::V2);
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
    b.payer.want(ms(1), A, TitleKind::V2, true);
    assert!(b.run(ms(1)).order.contains(&"commit"));
    let mut b = Buying::new();
    b.payer.set_ceiling(ms(0), FineUnits(UNIT.0 - 1));
    let done = b.connect(ms(0), A, TitleKind::V2);
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
    let v = b.connect(ms(0), A, TitleKind::V2).commit();
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
    let v = b.connect(ms(0), A, TitleKind::V2).commit();
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
        let v = b.connect(ms(0), A, TitleKind::V2).commit();
        b.reject(ms(10), &v, code, 0);
        assert_eq!(
            b.payer.status(A),
            PayerConnState::Ended(EndReason::Rejected(code))
        );
        let done = b.connect(ms(20_000), B, TitleKind::V2);
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
    let fold = b.connect(ms(1_000), A, TitleKind::V2).commit();
    assert_eq!(
        (fold.first, fold.base.0),
        (1, 40 * UNIT.0),
        "ten steps were not durable"
    );
    assert_ne!(fold.root, v.root);
}

fn state(v: &Voucher, chain: &HashChain, k: u16) -> PayMessage {
    PayMessage::State {
        payee: PAYEE,
        voucher: body(v),
        k,
        w: chain.link(k).unwrap(),
    }
}

#[test]
fn a_payee_that_is_ahead_is_believed_once_and_only_with_our_signature_and_links() {
    let (v, chain) = voucher(1, FineUnits(0), 5);
    let mut b = Buying::new();
    b.connect(ms(0), A, TitleKind::V2);
    let fold = b.say(ms(10), A, state(&v, &chain, 30)).commit();
    assert_eq!((fold.first, fold.base.0), (1, 30 * UNIT.0));
    b.say(ms(20), A, state(&v, &chain, 40));
    assert_eq!(
        b.payer.status(A),
        PayerConnState::Ended(EndReason::Inconsistent)
    );
    let mut b = Buying::new();
    b.connect(ms(0), A, TitleKind::V2);
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
fn evidence_of_an_own_signature_past_next_moves_it_by_sixteen() {
    let (v, chain) = voucher(40, FineUnits(0), 5);
    let mut b = Buying::new();
    let first = b.connect(ms(0), A, TitleKind::V2).commit();
    let done = b.say(ms(10), A, state(&v, &chain, 30));
    assert!(
        done.events
            .contains(&PayEvent::SerialsSkipped { from: 2, to: 56 })
    );
    assert_eq!(
        done.commit().first,
        40,
        "a range missing from the record is adopted"
    );
    // Evidence before REJECT 6.
    let (mut other, _) = voucher(90, FineUnits(0), 6);
    other.payee = Address::repeat_byte(0x98);
    let done = b.say(
        ms(20),
        A,
        PayMessage::Seen {
            payee: other.payee,
            voucher: body(&other),
        },
    );
    assert!(
        done.events
            .contains(&PayEvent::SerialsSkipped { from: 56, to: 106 })
    );
    b.reject(ms(30), &first, RejectCode::Conflict, 1);
    assert!(matches!(b.payer.status(A), PayerConnState::Ended(_)));
}

#[test]
fn consumed_serials_past_the_record_are_skipped_at_start_before_anything_is_signed() {
    let mut b = Buying::new();
    b.state.spent_word = U256::from(1u8) | U256::from(1u8) << 30;
    b.state.consumed = 2;
    b.payer = Payer::new(b.config, [9; 32], std::iter::empty());
    let done = b.account(ms(0));
    assert!(
        done.events
            .contains(&PayEvent::SerialsSkipped { from: 1, to: 46 })
    );
    assert_eq!(b.connect(ms(0), A, TitleKind::V2).commit().first, 46);
    // More consumed than can be found: nothing is signed.
    b.state.consumed = 9;
    b.payer = Payer::new(b.config, [9; 32], std::iter::empty());
    let done = b.account(ms(0));
    assert!(
        done.events
            .iter()
            .any(|e| matches!(e, PayEvent::AccountUnusable { .. }))
    );
    assert!(!b.connect(ms(0), A, TitleKind::V2).order.contains(&"commit"));
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
    let again = b.connect(ms(5_000), B, TitleKind::V2).commit();
    assert_eq!(again.first, 2, "a closed range is never used again");
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
    let v = b
        .connect(ms(0), A, TitleKind::V1 { piece_blocks: 4 })
        .commit();
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
    let v = b.connect(ms(2_000), B, TitleKind::V2).commit();
    assert_eq!(v.first, 1, "the same range");
    let done = b.ack(ms(2_010), B, &v, 0);
    assert_eq!(done.paid_to(), Some((1, v.tag(), 3)));
}

#[test]
fn a_debt_that_is_not_ours_takes_credit_but_no_money() {
    let mut b = Buying::new();
    let v = b.connect(ms(0), A, TitleKind::V2).commit();
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
    let v = b.connect(ms(0), A, TitleKind::V2).commit();
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
