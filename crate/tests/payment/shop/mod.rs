//! A seller with a chain that knows several accounts, and buyers with keys of their own.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256, keccak256};
use bytes::Bytes;
use k256::ecdsa::{SigningKey, VerifyingKey};
use piecework::payment::chain::HashChain;
use piecework::payment::payee::{ClaimOutcome, Payee, PayeeConfig, ReadyClaim, RedeemScope};
use piecework::payment::voucher::{self, Voucher};
use piecework::payment::{ChainState, ChainUnreadable, PayAction, PayEffect, PayEvent};
use piecework::time::{Duration, Timestamp};
use piecework::types::{ConnectionId, FineUnits, TokenUnits};
use piecework::wire::pay::{PayMessage, RejectCode};

use crate::hand::*;

/// Somebody with a session key and an account.
#[derive(Clone)]
pub struct Buyer {
    pub key: SigningKey,
    pub owner: Address,
    pub account: B256,
    pub conn: ConnectionId,
}

impl Buyer {
    /// The `n`th of all.
    pub fn new(n: u64) -> Buyer {
        let mut bytes = [0u8; 32];
        bytes[24..].copy_from_slice(&(n + 1).to_be_bytes());
        let key = SigningKey::from_slice(&bytes).unwrap();
        let point = VerifyingKey::from(&key).to_encoded_point(false);
        let address = Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..]);
        let owner = Address::repeat_byte(0x66);
        Buyer {
            key,
            owner,
            account: voucher::account_id(owner, address),
            conn: ConnectionId(n + 10),
        }
    }

    /// Buyers whose accounts come before all of these.
    pub fn before(others: &[&Buyer]) -> impl Iterator<Item = Buyer> {
        let least = others.iter().map(|b| b.account).min().unwrap();
        (1_000..).map(Buyer::new).filter(move |b| b.account < least)
    }

    /// A promise over `count` serials worth `q` each.
    pub fn promise(&self, first: u32, count: u16, q: TokenUnits, base: FineUnits) -> Promise {
        let steps = voucher::chain_steps(count, q, base, UNIT, 256);
        let seed = (self.account, first, base.0);
        let tip = keccak256(format!("{seed:?}"));
        let chain = HashChain::generate(tip, steps);
        let v = Voucher {
            owner: self.owner,
            payee: PAYEE,
            first,
            count,
            content: B256::ZERO,
            base,
            unit: UNIT,
            steps,
            root: chain.root(),
            luck: B256::ZERO,
        };
        Promise { v, chain }
    }
}

/// A voucher and its chain.
#[derive(Clone)]
pub struct Promise {
    pub v: Voucher,
    pub chain: HashChain,
}

/// An account with serials worth `q`, and the bond that sellers ask for.
pub fn deposit(amount: u128, q: u128) -> ChainState {
    ChainState {
        balance: TokenUnits(amount),
        tranche: TokenUnits(q),
        bond: TokenUnits((amount * 125).div_ceil(100)),
        ..chain_state()
    }
}

pub fn withdrawn(state: ChainState) -> ChainState {
    ChainState {
        balance: TokenUnits(0),
        tranche: TokenUnits(0),
        bond: TokenUnits(0),
        exit_at: 1,
        ..state
    }
}

pub struct Shop {
    pub payee: Payee,
    pub config: PayeeConfig,
    /// What it asks of those that connect.
    pub price: FineUnits,
    pub now: Timestamp,
    pub store: BTreeMap<String, Bytes>,
    pub quotes: BTreeMap<ConnectionId, u32>,
    /// What the chain says; of other accounts that they are unknown.
    pub chain: BTreeMap<B256, ChainState>,
    /// The chain cannot be asked.
    pub offline: bool,
    pub reads: Vec<B256>,
    /// The chain answers, but the answers are on their way: these.
    pub slow: Option<Vec<(PayEffect, ChainState)>>,
    pub events: Vec<PayEvent>,
    pub sent: Vec<(ConnectionId, PayMessage)>,
}

impl Shop {
    pub fn new() -> Shop {
        Shop::with(&BTreeMap::new(), |_| {})
    }

    pub fn with(store: &BTreeMap<String, Bytes>, change: impl Fn(&mut PayeeConfig)) -> Shop {
        let mut config = PayeeConfig::new(vault(), PAYEE);
        config.credit = CREDIT;
        change(&mut config);
        Shop {
            payee: Payee::new(ms(0), config, [1; 32], store.clone().into_iter()),
            config,
            price: UNIT,
            now: ms(0),
            store: store.clone(),
            quotes: BTreeMap::new(),
            chain: BTreeMap::new(),
            offline: false,
            reads: Vec::new(),
            slow: None,
            events: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// The process ends without a word and another begins.
    pub fn restart(&mut self) {
        let records = self.store.clone().into_iter();
        self.payee = Payee::new(self.now, self.config, [2; 32], records);
        self.events.clear();
        self.run();
    }

    pub fn run(&mut self) {
        let now = self.now;
        loop {
            self.payee.end_of_batch(now);
            let mut any = false;
            while let Some(action) = self.payee.poll() {
                any = true;
                self.carry_out(action);
            }
            if !any {
                return;
            }
        }
    }

    fn carry_out(&mut self, action: PayAction) {
        let now = self.now;
        match action {
            PayAction::Send { conn, message } => {
                if let PayMessage::Terms(t) = &message {
                    self.quotes.insert(conn, t.quote_id);
                }
                self.sent.push((conn, message));
            }
            PayAction::PutRecord {
                effect, key, value, ..
            } => {
                match value {
                    Some(value) => self.store.insert(key, value),
                    None => self.store.remove(&key),
                };
                self.payee.stored(now, effect, true);
            }
            PayAction::ReadState {
                effect, account, ..
            } => {
                self.reads.push(account);
                let unknown = ChainState {
                    chain_id: vault().chain_id,
                    ..ChainState::default()
                };
                let state = self.chain.get(&account).copied().unwrap_or(unknown);
                if let Some(under_way) = &mut self.slow {
                    return under_way.push((effect, state));
                }
                let answer = if self.offline {
                    Err(ChainUnreadable)
                } else {
                    Ok(state)
                };
                self.payee.chain_state(now, effect, answer);
            }
            PayAction::Event(event) => self.events.push(event),
            _ => {}
        }
    }

    /// Time passes; whatever is due is done.
    pub fn later(&mut self, by: Duration) {
        let to = self.now + by;
        while self.now < to {
            let next = self.payee.next_timeout();
            self.now = next.max(self.now + Duration::from_millis(1)).min(to);
            self.payee.tick(self.now);
            self.run();
        }
    }

    /// What was under way arrives.
    pub fn answers_arrive(&mut self) {
        for (effect, state) in self.slow.take().unwrap_or_default() {
            self.payee.chain_state(self.now, effect, Ok(state));
        }
        self.run();
    }

    pub fn connect(&mut self, conn: ConnectionId, address: &str) {
        let mut info = info(2);
        info.address = address.to_owned();
        self.payee.connected(self.now, conn, info, self.price);
        self.run();
    }

    pub fn leave(&mut self, conn: ConnectionId) {
        self.payee.disconnected(self.now, conn);
        self.run();
    }

    pub fn say(&mut self, conn: ConnectionId, message: PayMessage) {
        self.payee.message(self.now, conn, message);
        self.run();
    }

    pub fn commit(&mut self, by: &Buyer, promise: &Promise) -> Option<RejectCode> {
        let voucher = promise
            .v
            .to_body(&sign(&by.key, promise.v.digest(&vault())));
        let quote_id = self.quotes[&by.conn];
        let before = self.sent.len();
        self.say(by.conn, PayMessage::Commit { quote_id, voucher });
        self.sent[before..].iter().find_map(|(_, m)| match m {
            PayMessage::Reject { code, .. } => Some(*code),
            _ => None,
        })
    }

    /// Writes blocks while it may, `most` at the most, each paid at once: how many.
    pub fn sell(&mut self, by: &Buyer, promise: &Promise, from: u16, most: u16) -> u16 {
        let mut k = from;
        while k < from + most && self.payee.may_send(by.conn) {
            self.payee.block_written(self.now, by.conn);
            k += 1;
            self.say(by.conn, pay(&promise.v, &promise.chain, k));
        }
        k - from
    }

    /// Buys so many blocks of each of these serials, at 10 token units each; comes and leaves for each.
    pub fn buys(&mut self, by: &Buyer, serials: std::ops::RangeInclusive<u32>, blocks: u16) {
        for first in serials {
            self.connect(by.conn, "");
            let promise = by.promise(first, 1, Q, FineUnits(0));
            assert_eq!(self.commit(by, &promise), None, "range {first}");
            let sold = self.sell(by, &promise, 0, blocks);
            assert_eq!(sold, blocks, "range {first}");
            self.leave(by.conn);
        }
    }

    /// Closes what `scope` names and takes what is ready then.
    pub fn take(&mut self, scope: RedeemScope) -> Vec<ReadyClaim> {
        self.payee.prepare_redeem(self.now, scope);
        self.run();
        self.later(Duration::from_secs(3));
        let claims = self.payee.take_claims(self.now, 128);
        self.run();
        claims
    }

    /// What became of claims.
    pub fn ended(&mut self, claims: &[ReadyClaim], outcome: impl Fn(&ReadyClaim) -> ClaimOutcome) {
        let outcomes: Vec<_> = claims.iter().map(|c| (c.id, outcome(c))).collect();
        self.payee.redeemed(self.now, &outcomes);
        self.run();
    }

    /// The vault pays claims, and the chain shows it.
    pub fn pays(&mut self, claims: &[ReadyClaim]) {
        for claim in claims {
            let count = claim.claim.count.into();
            self.consume(claim.id.account, claim.id.first, count, claim.due);
        }
        self.ended(claims, |c| ClaimOutcome::Paid(c.due));
    }

    /// Somebody redeems serials of the first word for so much.
    pub fn consume(&mut self, account: B256, first: u32, count: u32, gross: TokenUnits) {
        let state = self.chain.get_mut(&account).unwrap();
        for serial in first..first + count {
            state.spent_word |= U256::from(1u8) << serial;
        }
        state.consumed += u64::from(count);
        state.balance.0 -= gross.0;
    }

    pub fn said(&self, of: impl Fn(&PayEvent) -> bool) -> usize {
        self.events.iter().filter(|e| of(e)).count()
    }

    pub fn due_said(&self) -> usize {
        self.said(|e| matches!(e, PayEvent::RedeemDue { .. }))
    }

    pub fn records(&self, of: B256) -> usize {
        let of = format!("{of:x}");
        (self.store.keys())
            .filter(|key| key.contains("/range/") && key.contains(&of))
            .count()
    }
}

pub fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3_600)
}
