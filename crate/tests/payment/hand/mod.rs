//! One machine at a time against a hand-driven remote, whose effects are answered at once.

use alloy_primitives::{Address, B256, U256, keccak256};
use bytes::Bytes;
use k256::ecdsa::{SigningKey, VerifyingKey};
use piecework::metainfo::Geometry;
use piecework::payment::chain::HashChain;
use piecework::payment::ledger::Credit;
use piecework::payment::payee::{Payee, PayeeConfig};
use piecework::payment::payer::{AccountInfo, Payer};
use piecework::payment::policy::PayerConfig;
use piecework::payment::voucher::{Signature, Vault, Voucher};
use piecework::payment::{
    BanReason, ChainState, PayAction, PayEffect, PayEvent, PeerPayInfo, TitleKind,
};
use piecework::time::Timestamp;
use piecework::types::{BlockRef, ConnectionId, FineUnits, InfoHash, PieceIndex, TokenUnits};
use piecework::verify::{Advances, Payable, VerifiedPieces};
use piecework::wire::pay::{PayHandshake, PayMessage, RejectCode, Terms, VoucherBody};
use std::collections::BTreeMap;

pub const UNIT: FineUnits = FineUnits(10 << 24);
/// What a payer may pay for a block.
pub const MAX_UNIT: FineUnits = FineUnits(UNIT.0 * 2);
pub const Q: TokenUnits = TokenUnits(10_000);
/// Less than clients give, so that a test reaches its limits in few blocks.
pub const CREDIT: Credit = Credit {
    first: 4,
    most: 128,
    ramp: 4,
};
/// The kind of title that ships: a piece of four blocks is judged as a whole.
pub const V1: TitleKind = TitleKind::V1 { piece_blocks: 4 };
pub const A: ConnectionId = ConnectionId(1);
pub const B: ConnectionId = ConnectionId(2);
pub const PAYEE: Address = Address::repeat_byte(0x33);
pub const OWNER: Address = Address::repeat_byte(0x22);

pub fn vault() -> Vault {
    Vault {
        address: Address::repeat_byte(0x44),
        chain_id: 31_337,
    }
}

pub fn key() -> SigningKey {
    SigningKey::from_slice(&[0x11; 32]).unwrap()
}

pub fn session_address() -> Address {
    let key = key();
    let point = VerifyingKey::from(&key).to_encoded_point(false);
    Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
}

pub fn sign(key: &SigningKey, digest: B256) -> Signature {
    let (signature, recovery) = key.sign_prehash_recoverable(digest.as_slice()).unwrap();
    let bytes = signature.to_bytes();
    let mut vs = B256::from_slice(&bytes[32..]);
    vs.0[0] |= if recovery.is_y_odd() { 0x80 } else { 0 };
    Signature {
        r: B256::from_slice(&bytes[..32]),
        vs,
    }
}

pub fn ms(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

pub fn info(flags: u8) -> PeerPayInfo {
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
    }
}

/// A seller at another network address.
pub fn info_at(address: &str) -> PeerPayInfo {
    PeerPayInfo {
        address: address.to_owned(),
        ..info(1)
    }
}

pub fn chain_state() -> ChainState {
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

/// What the wallet tells of an account that stands so on the chain.
pub fn account_of(state: &ChainState) -> AccountInfo {
    AccountInfo {
        owner: OWNER,
        session_key: session_address(),
        tranche: Q,
        balance: state.balance,
        bond: state.bond,
        consumed: state.consumed,
        exit_at: state.exit_at,
    }
}

pub fn voucher(first: u32, base: FineUnits, tip: u8) -> (Voucher, HashChain) {
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

pub fn body(v: &Voucher) -> VoucherBody {
    v.to_body(&sign(&key(), v.digest(&vault())))
}

pub fn pay(v: &Voucher, chain: &HashChain, k: u16) -> PayMessage {
    PayMessage::Pay {
        first: v.first,
        tag: v.tag(),
        k,
        w: chain.link(k).unwrap(),
    }
}

pub fn block(n: u32) -> BlockRef {
    BlockRef {
        piece: PieceIndex(n / 4),
        begin: n % 4 * 16_384,
        length: 16_384,
    }
}

pub const PIECE_LENGTH: u64 = 4 * 16_384;

pub fn verified(block: BlockRef) -> Payable {
    let total = u64::from(block.piece.0 + 1) * PIECE_LENGTH;
    let geometry = Geometry::new(total, PIECE_LENGTH as u32).unwrap();
    let pieces = VerifiedPieces::none(geometry);
    let proof = pieces.check(block.piece, &[7; 20], &[7; 20]).unwrap();
    Payable::Verified(proof.block(block.begin).unwrap())
}

pub fn advance(block: BlockRef) -> Payable {
    let durable = true;
    let proof = Advances::default().advance(ConnectionId(0), block, durable);
    Payable::Advance(proof.unwrap())
}

/// What one machine did: records are stored at once, other effects wait.
#[derive(Default)]
pub struct Done {
    pub sent: Vec<(ConnectionId, PayMessage)>,
    pub order: Vec<&'static str>,
    pub reads: Vec<(PayEffect, U256)>,
    pub signs: Vec<(PayEffect, B256)>,
    pub puts: Vec<PayEffect>,
    pub bans: Vec<ConnectionId>,
    pub closed: Vec<ConnectionId>,
    pub events: Vec<PayEvent>,
}

impl Done {
    pub fn take(&mut self, action: PayAction, store: &mut BTreeMap<String, Bytes>) {
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
            PayAction::PutRecord {
                effect, key, value, ..
            } => {
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

    pub fn reject(&self) -> (RejectCode, u32) {
        self.sent
            .iter()
            .rev()
            .find_map(|(_, m)| match m {
                PayMessage::Reject { code, aux, .. } => Some((*code, *aux)),
                _ => None,
            })
            .unwrap_or_else(|| panic!("no REJECT in {:?}", self.sent))
    }

    pub fn ack(&self) -> (u16, u32, u16) {
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

    pub fn commit(&self) -> VoucherBody {
        self.sent
            .iter()
            .rev()
            .find_map(|(_, m)| match m {
                PayMessage::Commit { voucher, .. } => Some(*voucher),
                _ => None,
            })
            .unwrap_or_else(|| panic!("no COMMIT in {:?}", self.sent))
    }

    pub fn paid_to(&self) -> Option<(u32, [u8; 4], u16)> {
        self.sent.iter().rev().find_map(|(_, m)| match m {
            PayMessage::Pay { first, tag, k, .. } => Some((*first, *tag, *k)),
            _ => None,
        })
    }
}

// ---- the payee ----

pub struct Selling {
    pub payee: Payee,
    pub config: PayeeConfig,
    /// What it asks of those that connect.
    pub price: FineUnits,
    pub store: BTreeMap<String, Bytes>,
    pub state: ChainState,
    pub quote: u32,
}

impl Selling {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl Fn(&mut PayeeConfig)) -> Self {
        let mut config = PayeeConfig::new(vault(), PAYEE);
        config.credit = CREDIT;
        change(&mut config);
        Selling {
            payee: Payee::new(ms(0), config, [1; 32], std::iter::empty()),
            config,
            price: UNIT,
            store: BTreeMap::new(),
            state: chain_state(),
            quote: 0,
        }
    }

    pub fn asking(price: FineUnits) -> Self {
        Selling {
            price,
            ..Self::new()
        }
    }

    /// Drains; effects are answered at once.
    pub fn run(&mut self, now: Timestamp) -> Done {
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

    pub fn connect(&mut self, now: Timestamp, conn: ConnectionId) -> Done {
        self.payee.connected(now, conn, info(2), self.price);
        self.run(now)
    }

    pub fn say(&mut self, now: Timestamp, conn: ConnectionId, message: PayMessage) -> Done {
        self.payee.message(now, conn, message);
        self.run(now)
    }

    pub fn commit(&mut self, now: Timestamp, conn: ConnectionId, v: &Voucher) -> Done {
        let quote_id = self.quote;
        let voucher = body(v);
        self.say(now, conn, PayMessage::Commit { quote_id, voucher })
    }

    pub fn write(&mut self, now: Timestamp, conn: ConnectionId, most: u32) -> u32 {
        let mut written = 0;
        while written < most && self.payee.may_send(conn) {
            self.payee.block_written(now, conn);
            written += 1;
        }
        written
    }

    pub fn restart(&mut self, now: Timestamp) -> Done {
        self.payee = Payee::new(now, self.config, [2; 32], self.store.clone().into_iter());
        self.run(now)
    }
}

// ---- the payer ----

pub struct Buying {
    pub payer: Payer,
    pub config: PayerConfig,
    pub store: BTreeMap<String, Bytes>,
    pub state: ChainState,
}

pub fn terms(unit: FineUnits) -> Terms {
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
        credit0: CREDIT.first,
        credit_max: CREDIT.most,
        ramp: CREDIT.ramp,
        min_bond_percent: 125,
        luck: B256::ZERO,
    }
}

impl Buying {
    pub fn new() -> Self {
        let mut config = PayerConfig::new(vault());
        config.ceiling = MAX_UNIT;
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

    pub fn account(&mut self, now: Timestamp) -> Done {
        self.payer.set_account(now, account_of(&self.state));
        self.run(now)
    }

    /// The wallet told that the account is exiting.
    pub fn exiting(&mut self, now: Timestamp) {
        self.state.exit_at = 9;
        self.account(now);
    }

    pub fn run(&mut self, now: Timestamp) -> Done {
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

    /// Does what the payer asks for up to (and not including) what `stops` names; answers what waits.
    pub fn run_to(&mut self, now: Timestamp, stops: impl Fn(&PayAction) -> bool) -> Done {
        let mut waiting = Done::default();
        loop {
            self.payer.end_of_batch(now);
            let mut any = false;
            while let Some(action) = self.payer.poll() {
                any = true;
                if stops(&action) {
                    waiting.take(action, &mut self.store);
                    continue;
                }
                let mut done = Done::default();
                done.take(action, &mut self.store);
                for effect in done.puts {
                    self.payer.stored(now, effect, true);
                }
                for (effect, digest) in done.signs {
                    self.payer.signed(now, effect, Ok(sign(&key(), digest)));
                }
            }
            if !any {
                return waiting;
            }
        }
    }

    pub fn connect(&mut self, now: Timestamp, conn: ConnectionId, title: TitleKind) -> Done {
        self.payer.connected(now, conn, info(1));
        self.payer.want(now, conn, title, true, MAX_UNIT);
        self.say(now, conn, PayMessage::Terms(terms(UNIT)))
    }

    pub fn say(&mut self, now: Timestamp, conn: ConnectionId, message: PayMessage) -> Done {
        self.payer.message(now, conn, message);
        self.run(now)
    }

    pub fn ack(&mut self, now: Timestamp, conn: ConnectionId, v: &VoucherBody, k: u16) -> Done {
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

    /// The first ACK of a voucher, with another credit.
    pub fn ack_with(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        v: &VoucherBody,
        credit_blocks: u16,
    ) -> Done {
        let (first, tag) = (v.first, v.tag());
        let (k, owed_blocks) = (0, 0);
        self.say(
            now,
            conn,
            PayMessage::Ack {
                first,
                tag,
                k,
                owed_blocks,
                credit_blocks,
            },
        )
    }

    pub fn reject(&mut self, now: Timestamp, v: &VoucherBody, code: RejectCode, aux: u32) -> Done {
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

    pub fn open(&mut self) -> VoucherBody {
        let v = self.connect(ms(0), A, V1).commit();
        self.ack(ms(10), A, &v, 0);
        v
    }

    /// As [`Buying::open`], for a title whose own limit is `max_price`.
    pub fn open_at(&mut self, max_price: FineUnits) -> VoucherBody {
        let title = V1;
        self.payer.connected(ms(0), A, info(1));
        self.payer.want(ms(0), A, title, true, max_price);
        let v = self.say(ms(0), A, PayMessage::Terms(terms(UNIT))).commit();
        self.ack(ms(10), A, &v, 0);
        v
    }

    /// A connection whose range has so many steps.
    pub fn open_of(steps: u128) -> (Self, VoucherBody) {
        let unit = FineUnits(Q.fine().0 / steps);
        let mut b = Buying::new();
        b.payer.set_ceiling(ms(0), unit);
        b.payer.connected(ms(0), A, info(1));
        b.payer.want(ms(0), A, V1, true, unit);
        let v = b.say(ms(0), A, PayMessage::Terms(terms(unit))).commit();
        b.ack(ms(10), A, &v, 0);
        (b, v)
    }

    /// A remote connects, and sells for these terms.
    pub fn quote(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        remote: PeerPayInfo,
        terms: Terms,
    ) -> Done {
        self.payer.connected(now, conn, remote);
        self.payer.want(now, conn, V1, true, MAX_UNIT);
        self.say(now, conn, PayMessage::Terms(terms))
    }

    /// What leaves by itself: no batch ends, and nothing that it waits for is done.
    pub fn leaves(&mut self) -> Done {
        let mut done = Done::default();
        while let Some(action) = self.payer.poll() {
            done.take(action, &mut self.store);
        }
        done
    }

    /// A block that was asked for comes in; it is not verified yet.
    pub fn receive(&mut self, conn: ConnectionId, block: BlockRef) {
        self.payer.request_sent(conn);
        self.payer.block_received(conn, block);
    }

    pub fn buy(&mut self, now: Timestamp, blocks: std::ops::Range<u32>) -> Done {
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

    pub fn restart(&mut self, now: Timestamp) -> Done {
        self.payer = Payer::new(self.config, [4; 32], self.store.clone().into_iter());
        self.account(now)
    }
}

pub fn reject_codes_that_end() -> [RejectCode; 7] {
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

pub fn state(v: &Voucher, chain: &HashChain, k: u16) -> PayMessage {
    PayMessage::State {
        payee: PAYEE,
        voucher: body(v),
        k,
        w: chain.link(k).unwrap(),
    }
}

/// The payee's best voucher and link, as it shows them to a payer that comes back.
pub fn held(v: &Voucher, chain: &HashChain, k: u16) -> PayMessage {
    PayMessage::Held {
        payee: v.payee,
        voucher: body(v),
        k,
        w: chain.link(k).unwrap(),
    }
}

/// The payer's sum of the range of this voucher.
pub fn sum(v: &Voucher, base: FineUnits) -> PayMessage {
    let voucher = Voucher {
        base,
        steps: 0,
        root: keccak256(base.0.to_be_bytes()),
        ..*v
    };
    PayMessage::Reconcile {
        voucher: body(&voucher),
    }
}

/// An ACK that says how much the payee counts as unpaid.
pub fn acked(v: &VoucherBody, k: u16, owed_blocks: u32, credit_blocks: u16) -> PayMessage {
    let (first, tag) = (v.first, v.tag());
    PayMessage::Ack {
        first,
        tag,
        k,
        owed_blocks,
        credit_blocks,
    }
}

/// The type of a message, so that a table can show that it leaves none out.
pub fn type_of(message: &PayMessage) -> u8 {
    match message {
        PayMessage::Terms(_) => 1,
        PayMessage::Commit { .. } => 2,
        PayMessage::Pay { .. } => 3,
        PayMessage::Ack { .. } => 4,
        PayMessage::Reject { .. } => 5,
        PayMessage::Need { .. } => 6,
        PayMessage::Seen { .. } => 7,
        PayMessage::State { .. } => 8,
        PayMessage::Bye { .. } => 9,
        PayMessage::Held { .. } => 10,
        PayMessage::Reconcile { .. } => 11,
    }
}
