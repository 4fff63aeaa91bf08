//! Payers and payees against each other on a virtual clock: seeded delays, reordered effects, lost
//! connections, crashes that keep only what was durable, replayed and forged messages.
//!
//! What must hold at every step, whatever happens, is in `judge.rs`; the vault they trust, written a
//! second time from its description, in `chain.rs`; blocks, and what goes wrong, in `trade.rs`.

mod chain;
mod judge;
mod trade;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use alloy_primitives::{Address, B256, U256};
use bytes::Bytes;
use chacha20::ChaCha8Rng;
use k256::ecdsa::SigningKey;
use piecework::metainfo::Geometry;
use piecework::payment::payee::{ClaimOutcome, Payee, PayeeConfig, RedeemScope};
use piecework::payment::payer::{AccountInfo, Payer};
use piecework::payment::policy::PayerConfig;
use piecework::payment::voucher::{Vault, account_id};
use piecework::payment::{ChainUnreadable, PayAction, PayEffect, PayEvent, PeerPayInfo, TitleKind};
use piecework::time::{Duration, Timestamp};
use piecework::types::{BlockRef, ConnectionId, FineUnits, InfoHash, PieceIndex, TokenUnits};
use piecework::verify::{Advances, Payable, VerifiedPieces};
use piecework::wire::pay::{PayHandshake, VoucherBody};
use rand_core::{Rng, SeedableRng};

pub use chain::{Chain, Deposit, address_of, sign};
pub use judge::why_not;

pub const TRANCHE: u128 = 10_000;
/// About 10 $/GB: 61 blocks per serial.
pub const UNIT: FineUnits = FineUnits(163_840_000 * 16_777_216 / 1_000_000);
pub const PIECE: u32 = 8;

pub fn vault() -> Vault {
    Vault {
        address: Address::repeat_byte(0x44),
        chain_id: 31_337,
    }
}

// ---- the world ----

#[derive(Clone, Debug)]
pub struct Faults {
    /// Mean seconds between faults of each kind; 0: never.
    pub disconnects: u32,
    pub crashes: u32,
    /// Percent of `PutRecord`s that fail, and of reads that do.
    pub store_fails: u32,
    pub chain_fails: u32,
    /// Percent of messages that an attacker repeats elsewhere or flips a bit in.
    pub forged: u32,
    /// Until when faults happen.
    pub until: Timestamp,
}

impl Faults {
    pub fn none() -> Self {
        Faults {
            disconnects: 0,
            crashes: 0,
            store_fails: 0,
            chain_fails: 0,
            forged: 0,
            until: Timestamp::ZERO,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Buyer(usize),
    Seller(usize),
}

#[derive(Clone, Debug)]
pub enum Item {
    Pay(Vec<u8>),
    Unchoke,
    Choke,
    Request(BlockRef),
    Piece(BlockRef),
}

#[derive(Debug)]
pub enum Happens {
    Deliver {
        link: usize,
        to: Who,
        item: Item,
    },
    Stored {
        who: Who,
        run: u32,
        effect: PayEffect,
        key: String,
        value: Option<Bytes>,
        ok: bool,
    },
    Signed {
        who: Who,
        run: u32,
        effect: PayEffect,
        digest: B256,
    },
    Read {
        who: Who,
        run: u32,
        effect: PayEffect,
        account: B256,
        word: u64,
    },
    Tick {
        who: Who,
        run: u32,
    },
    Redeem {
        seller: usize,
        run: u32,
    },
    Connect {
        buyer: usize,
        seller: usize,
        torrent: u8,
    },
    Disconnect {
        link: usize,
    },
    Crash {
        who: Who,
    },
}

pub struct Link {
    pub conn: ConnectionId,
    pub buyer: usize,
    pub seller: usize,
    pub torrent: u8,
    pub up: bool,
    pub unchoked: bool,
    /// Requests without a block yet, at the buyer.
    pub asked: BTreeSet<BlockRef>,
    /// Requests held, at the seller.
    pub queue: VecDeque<BlockRef>,
    pub last: [Timestamp; 2],
}

pub struct Order {
    /// 1: each block is judged by itself, as soon as it came.
    pub piece_blocks: u32,
    pub todo: BTreeSet<BlockRef>,
    pub have: BTreeSet<BlockRef>,
    /// Received, its piece incomplete, by which connection.
    pub scratch: BTreeMap<BlockRef, ConnectionId>,
    pub total: usize,
}

pub struct Buyer {
    pub payer: Payer,
    pub key: SigningKey,
    pub owner: Address,
    pub store: BTreeMap<String, Bytes>,
    pub orders: BTreeMap<u8, Order>,
    pub last_put: Timestamp,
    pub run: u32,
    pub config: PayerConfig,
    pub tick_at: Timestamp,
    /// Charged blocks received, by payee.
    pub received: BTreeMap<Address, u64>,
    pub events: Vec<PayEvent>,
}

pub struct Seller {
    pub payee: Payee,
    pub config: PayeeConfig,
    pub store: BTreeMap<String, Bytes>,
    pub last_put: Timestamp,
    pub run: u32,
    pub tick_at: Timestamp,
    pub redeemed: u128,
    pub events: Vec<PayEvent>,
}

/// A voucher that was sent, its payee, and the highest step revealed with its link.
pub type Sent = (VoucherBody, Address, u16, B256);

pub struct World {
    pub unit: FineUnits,
    pub rng: ChaCha8Rng,
    pub now: Timestamp,
    pub seq: u64,
    pub agenda: BinaryHeap<Reverse<(Timestamp, u64)>>,
    pub what: BTreeMap<u64, Happens>,
    pub chain: Chain,
    pub buyers: Vec<Buyer>,
    pub sellers: Vec<Seller>,
    pub links: Vec<Link>,
    pub faults: Faults,
    pub next_conn: u64,
    /// Who a serial was signed for.
    pub promised: BTreeMap<(B256, u32), Address>,
    /// Every voucher sent, by account, first serial and tag.
    pub vouchers: BTreeMap<(B256, u32, [u8; 4]), Sent>,
    pub overheard: Vec<Vec<u8>>,
    pub trace: bool,
    pub ticks: (Timestamp, u32),
}

pub fn block(index: u32) -> BlockRef {
    BlockRef {
        piece: PieceIndex(index / PIECE),
        begin: index % PIECE * 16_384,
        length: 16_384,
    }
}

pub const PIECE_LENGTH: u64 = PIECE as u64 * 16_384;

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

impl World {
    pub fn new(seed: u64, buyers: usize, sellers: usize, faults: Faults) -> Self {
        // Every third world has long ranges and short chains, which fold often.
        let unit = FineUnits(if seed % 3 == 2 { UNIT.0 / 16 } else { UNIT.0 });
        let mut world = World {
            unit,
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: Timestamp::from_millis(1_000_000),
            seq: 0,
            agenda: BinaryHeap::new(),
            what: BTreeMap::new(),
            chain: Chain::default(),
            buyers: Vec::new(),
            sellers: Vec::new(),
            links: Vec::new(),
            faults,
            next_conn: 0,
            promised: BTreeMap::new(),
            vouchers: BTreeMap::new(),
            overheard: Vec::new(),
            ticks: (Timestamp::ZERO, 0),
            trace: std::env::var_os("PAY_TRACE").is_some(),
        };
        for i in 0..sellers {
            let mut config = PayeeConfig::new(vault(), Address::repeat_byte(0x30 + i as u8));
            config.credit = crate::hand::CREDIT;
            config.max_steps = if seed % 3 == 2 { 90 } else { 256 };
            config.max_ranges = 8;
            config.redeem_idle = Duration::from_secs(100_000);
            let payee = Payee::new(world.now, config, world.seed(), std::iter::empty());
            world.sellers.push(Seller {
                payee,
                config,
                store: BTreeMap::new(),
                last_put: Timestamp::ZERO,
                run: 0,
                tick_at: Timestamp::NEVER,
                redeemed: 0,
                events: Vec::new(),
            });
        }
        for i in 0..buyers {
            let key = SigningKey::from_slice(&[0x11 + i as u8; 32]).unwrap();
            let owner = Address::repeat_byte(0xa0 + i as u8);
            let id = account_id(owner, address_of(key.verifying_key()));
            world.chain.accounts.insert(
                id,
                Deposit {
                    balance: 200 * TRANCHE,
                    bond: 250 * TRANCHE,
                    consumed: 1,
                    exit_at: 0,
                    spent: BTreeMap::from([(0, U256::from(1u8))]),
                },
            );
            let mut config = PayerConfig::new(vault());
            config.ceiling = UNIT;
            config.budget = TokenUnits(150 * TRANCHE);
            let payer = Payer::new(config, world.seed(), std::iter::empty());
            world.buyers.push(Buyer {
                payer,
                key,
                owner,
                store: BTreeMap::new(),
                orders: BTreeMap::new(),
                last_put: Timestamp::ZERO,
                run: 0,
                config,
                tick_at: Timestamp::NEVER,
                received: BTreeMap::new(),
                events: Vec::new(),
            });
            world.choose_account(i);
        }
        if world.faults.crashes > 0 {
            for i in 0..buyers {
                world.schedule_crash(Who::Buyer(i));
            }
            for i in 0..sellers {
                world.schedule_crash(Who::Seller(i));
            }
        }
        world
    }

    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0u8; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }

    pub fn random(&mut self, below: u32) -> u32 {
        self.rng.next_u32() % below.max(1)
    }

    pub fn percent(&mut self, chance: u32) -> bool {
        self.now < self.faults.until && self.random(100) < chance
    }

    pub fn at(&mut self, at: Timestamp, what: Happens) {
        self.seq += 1;
        self.agenda.push(Reverse((at, self.seq)));
        self.what.insert(self.seq, what);
    }

    pub fn later(&mut self, mean_secs: u32) -> Timestamp {
        let micros = u64::from(self.random(2_000_000)) * u64::from(mean_secs);
        self.now + Duration::from_micros(micros)
    }

    pub fn schedule_crash(&mut self, who: Who) {
        let at = self.later(self.faults.crashes);
        if at < self.faults.until {
            self.at(at, Happens::Crash { who });
        }
    }

    pub fn account_of(&self, buyer: usize) -> B256 {
        let b = &self.buyers[buyer];
        account_id(b.owner, address_of(b.key.verifying_key()))
    }

    pub fn choose_account(&mut self, buyer: usize) {
        let account = self.chain.accounts[&self.account_of(buyer)].clone();
        let b = &mut self.buyers[buyer];
        b.payer.set_account(
            self.now,
            AccountInfo {
                owner: b.owner,
                session_key: address_of(b.key.verifying_key()),
                tranche: TokenUnits(TRANCHE),
                balance: TokenUnits(account.balance),
                bond: TokenUnits(account.bond),
                consumed: account.consumed,
                exit_at: account.exit_at,
            },
        );
        self.run_actions(Who::Buyer(buyer));
    }

    pub fn order(&mut self, buyer: usize, torrent: u8, blocks: u32, piece_blocks: u32) {
        self.buyers[buyer].orders.insert(
            torrent,
            Order {
                piece_blocks,
                todo: (0..blocks).map(block).collect(),
                have: BTreeSet::new(),
                scratch: BTreeMap::new(),
                total: blocks as usize,
            },
        );
    }

    pub fn connect(&mut self, buyer: usize, seller: usize, torrent: u8) {
        self.next_conn += 1;
        let conn = ConnectionId(self.next_conn);
        let info = |flags: u8, name: String| PeerPayInfo {
            handshake: Some(PayHandshake {
                vault: vault().address,
                chain_id: 31_337,
                flags,
                version: 1,
            }),
            address: name,
            torrent: InfoHash([torrent; 20]),
            content: B256::ZERO,
        };
        let piece_blocks = self.buyers[buyer].orders[&torrent].piece_blocks;
        let title = TitleKind::V1 { piece_blocks };
        self.links.push(Link {
            conn,
            buyer,
            seller,
            torrent,
            up: true,
            unchoked: false,
            asked: BTreeSet::new(),
            queue: VecDeque::new(),
            last: [self.now; 2],
        });
        let b = &mut self.buyers[buyer].payer;
        b.connected(self.now, conn, info(1, format!("seller {seller}")));
        b.want(self.now, conn, title, true, UNIT);
        let s = &mut self.sellers[seller].payee;
        s.connected(self.now, conn, info(2, format!("buyer {buyer}")), self.unit);
        self.run_actions(Who::Buyer(buyer));
        self.run_actions(Who::Seller(seller));
        if self.faults.disconnects > 0 {
            let at = self.later(self.faults.disconnects);
            if at < self.faults.until {
                let link = self.links.len() - 1;
                self.at(at, Happens::Disconnect { link });
            }
        }
    }

    pub fn link_of(&self, conn: ConnectionId) -> Option<usize> {
        self.links.iter().position(|l| l.conn == conn && l.up)
    }

    pub fn deliver(&mut self, link: usize, to: Who, item: Item) {
        let jitter = Duration::from_micros(u64::from(1_000 + self.random(30_000)));
        let direction = usize::from(matches!(to, Who::Seller(_)));
        let at = (self.now + jitter).max(self.links[link].last[direction]);
        self.links[link].last[direction] = at;
        self.at(at, Happens::Deliver { link, to, item });
    }

    /// Carries a machine's actions out.
    pub fn run_actions(&mut self, who: Who) {
        loop {
            let action = match who {
                Who::Buyer(i) => self.buyers[i].payer.poll(),
                Who::Seller(i) => self.sellers[i].payee.poll(),
            };
            let Some(action) = action else {
                break;
            };
            if self.trace {
                eprintln!("{} {who:?} {action:?}", self.now.as_micros());
            }
            self.run_action(who, action);
        }
        let (timeout, run) = match who {
            Who::Buyer(i) => (self.buyers[i].payer.next_timeout(), self.buyers[i].run),
            Who::Seller(i) => (self.sellers[i].payee.next_timeout(), self.sellers[i].run),
        };
        let tick_at = match who {
            Who::Buyer(i) => &mut self.buyers[i].tick_at,
            Who::Seller(i) => &mut self.sellers[i].tick_at,
        };
        if timeout < *tick_at {
            *tick_at = timeout;
            let at = timeout.max(self.now);
            self.at(at, Happens::Tick { who, run });
        }
    }

    pub fn run_action(&mut self, who: Who, action: PayAction) {
        let run = match who {
            Who::Buyer(i) => self.buyers[i].run,
            Who::Seller(i) => self.sellers[i].run,
        };
        match action {
            PayAction::Send { conn, message } => self.send(who, conn, message),
            PayAction::PutRecord {
                effect, key, value, ..
            } => {
                let delay = Duration::from_micros(u64::from(500 + self.random(20_000)));
                let ok = !self.percent(self.faults.store_fails);
                let last = match who {
                    Who::Buyer(i) => &mut self.buyers[i].last_put,
                    Who::Seller(i) => &mut self.sellers[i].last_put,
                };
                let at = (self.now + delay).max(*last);
                *last = at;
                self.at(
                    at,
                    Happens::Stored {
                        who,
                        run,
                        effect,
                        key,
                        value,
                        ok,
                    },
                );
            }
            PayAction::Sign { effect, digest } => {
                let at = self.now + Duration::from_micros(u64::from(200 + self.random(5_000)));
                self.at(
                    at,
                    Happens::Signed {
                        who,
                        run,
                        effect,
                        digest,
                    },
                );
            }
            PayAction::ReadState {
                effect,
                account,
                word,
            } => {
                let at = self.now + Duration::from_micros(u64::from(1_000 + self.random(200_000)));
                let word = word.to::<u64>();
                self.at(
                    at,
                    Happens::Read {
                        who,
                        run,
                        effect,
                        account,
                        word,
                    },
                );
            }
            PayAction::Unchoke { conn } | PayAction::Choke { conn } => {
                let unchoke = matches!(action, PayAction::Unchoke { .. });
                if let Some(link) = self.link_of(conn) {
                    if !unchoke {
                        self.links[link].queue.clear();
                    }
                    let to = Who::Buyer(self.links[link].buyer);
                    let item = if unchoke { Item::Unchoke } else { Item::Choke };
                    self.deliver(link, to, item);
                }
            }
            PayAction::CloseConnection { conn, .. } | PayAction::Ban { conn, .. } => {
                if let Some(link) = self.link_of(conn) {
                    let at = self.now;
                    self.at(at, Happens::Disconnect { link });
                }
            }
            PayAction::Event(event) => {
                if let (Who::Seller(seller), PayEvent::RedeemDue { .. }) = (who, &event) {
                    let now = self.now;
                    self.sellers[seller]
                        .payee
                        .prepare_redeem(now, RedeemScope::Due);
                }
                if let (Who::Seller(seller), PayEvent::ClaimsReady { .. }) = (who, &event) {
                    let at = self.now + Duration::from_millis(u64::from(self.random(2_000)));
                    self.at(at, Happens::Redeem { seller, run });
                }
                match who {
                    Who::Buyer(i) => self.buyers[i].events.push(event),
                    Who::Seller(i) => self.sellers[i].events.push(event),
                }
            }
        }
    }

    pub fn step(&mut self) -> bool {
        let Some(Reverse((at, seq))) = self.agenda.pop() else {
            return false;
        };
        let Some(what) = self.what.remove(&seq) else {
            return true;
        };
        self.now = self.now.max(at);
        let now = self.now;
        match what {
            Happens::Deliver { link, to, item } => {
                if self.links[link].up {
                    self.receive(link, to, item);
                }
            }
            Happens::Stored {
                who,
                run,
                effect,
                key,
                value,
                ok,
            } => {
                if run != self.run_of(who) {
                    return true;
                }
                let store = match who {
                    Who::Buyer(i) => &mut self.buyers[i].store,
                    Who::Seller(i) => &mut self.sellers[i].store,
                };
                if ok {
                    match value {
                        Some(value) => store.insert(key, value),
                        None => store.remove(&key),
                    };
                }
                match who {
                    Who::Buyer(i) => self.buyers[i].payer.stored(now, effect, ok),
                    Who::Seller(i) => self.sellers[i].payee.stored(now, effect, ok),
                }
                self.after(who);
            }
            Happens::Signed {
                who,
                run,
                effect,
                digest,
            } => {
                if let Who::Buyer(i) = who
                    && self.buyers[i].run == run
                {
                    let signature = sign(&self.buyers[i].key, &digest);
                    self.buyers[i].payer.signed(now, effect, Ok(signature));
                    self.after(who);
                }
            }
            Happens::Read {
                who,
                run,
                effect,
                account,
                word,
            } => {
                let result = if self.percent(self.faults.chain_fails) {
                    Err(ChainUnreadable)
                } else {
                    Ok(self.chain.state(account, word))
                };
                match who {
                    Who::Buyer(i) if self.buyers[i].run == run => {
                        self.buyers[i].payer.chain_state(now, effect, result);
                    }
                    Who::Seller(i) if self.sellers[i].run == run => {
                        self.sellers[i].payee.chain_state(now, effect, result);
                    }
                    _ => return true,
                }
                self.after(who);
            }
            Happens::Tick { who, run } => {
                self.ticks = if self.ticks.0 == now {
                    (now, self.ticks.1 + 1)
                } else {
                    (now, 0)
                };
                assert!(
                    self.ticks.1 < 1_000,
                    "{who:?} asks for a tick that never ends"
                );
                match who {
                    Who::Buyer(i) if self.buyers[i].run == run => {
                        self.buyers[i].tick_at = Timestamp::NEVER;
                        self.buyers[i].payer.tick(now);
                    }
                    Who::Seller(i) if self.sellers[i].run == run => {
                        self.sellers[i].tick_at = Timestamp::NEVER;
                        self.sellers[i].payee.tick(now);
                    }
                    _ => return true,
                }
                self.after(who);
            }
            Happens::Redeem { seller, run } => {
                if self.sellers[seller].run == run {
                    self.redeem(seller);
                    self.after(Who::Seller(seller));
                }
            }
            Happens::Connect {
                buyer,
                seller,
                torrent,
            } => self.connect(buyer, seller, torrent),
            Happens::Disconnect { link } => self.disconnect(link),
            Happens::Crash { who } => self.crash(who),
        }
        if self.seq.is_multiple_of(16) {
            self.check();
        }
        true
    }

    pub fn run_of(&self, who: Who) -> u32 {
        match who {
            Who::Buyer(i) => self.buyers[i].run,
            Who::Seller(i) => self.sellers[i].run,
        }
    }

    pub fn redeem(&mut self, seller: usize) {
        let now = self.now;
        let s = &mut self.sellers[seller];
        let claims = s.payee.take_claims(now, 128);
        let mut outcomes = Vec::new();
        for claim in claims {
            let outcome = match self.chain.redeem(s.config.payee, &claim.claim) {
                Ok(paid) => {
                    assert_eq!(paid, claim.due.0, "the ledger is right to the last unit");
                    s.redeemed += paid;
                    ClaimOutcome::Paid(TokenUnits(paid))
                }
                Err(reason) => panic!("the vault skips an honest claim: {reason}"),
            };
            outcomes.push((claim.id, outcome));
        }
        s.payee.redeemed(now, &outcomes);
    }

    /// The end of a batch, most times.
    pub fn after(&mut self, who: Who) {
        let now = self.now;
        let ends = self.random(4) > 0;
        match who {
            Who::Buyer(i) => {
                if ends {
                    self.buyers[i].payer.end_of_batch(now);
                }
                self.run_actions(who);
                self.request(i);
            }
            Who::Seller(i) => {
                if ends {
                    self.sellers[i].payee.end_of_batch(now);
                }
                self.run_actions(who);
                self.serve(i);
            }
        }
        self.run_actions(who);
    }

    /// Runs until every order is complete; true if it is.
    pub fn run(&mut self, seconds: u64) -> bool {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end && !self.complete() {
            if !self.step() {
                break;
            }
        }
        self.complete()
    }

    pub fn run_on(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            match self.agenda.peek() {
                Some(Reverse((at, _))) if *at <= end => {
                    self.step();
                }
                _ => break,
            }
        }
        self.now = end;
    }
}
