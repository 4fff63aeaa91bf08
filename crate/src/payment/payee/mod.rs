//! The payee: sells blocks on many connections at once to one address.
//!
//! Owns the quotes, every voucher with its best link (that is money), each account's debt, and what
//! is redeemed when.
//!
//! Per connection: `connected` once both extended handshakes are in (TERMS leave at once if this
//! side sells), messages to `message`, `block_written` after each `piece` message while
//! `is_paying`. Before a `piece` is written to a paying peer, `may_send` must allow it; requests that
//! may not be served yet are held. `Unchoke` and `Choke` actions say when a paid peer's place begins
//! and ends; the ACK is always queued before the unchoke. `end_of_batch` sends ACKs.
//!
//! A range goes `Open -> Closing -> Ready -> Claimed -> Redeemed -> gone`; its best voucher is replaced
//! only when the next one is durable.
//!
//! To redeem: `prepare_redeem` closes ranges durably and tells the payers (NEED 5); at
//! `PayEvent::ClaimsReady`, `take_claims` hands the claims out; `redeemed` says what became of them.
//!
//! Invariants:
//! - No ACK before the voucher is durable; received links are durable within [`GROUP_DELAY`] or
//!   [`GROUP_STEPS`] steps, and steps beyond that count against the credit until they are.
//! - A redeemable sum is a sum of floors; a closed range takes no further block.
//! - Nothing is accepted that the chain, read at `latest`, does not cover.

mod commit;
mod reads;
mod redeem;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use self::commit::Pending;
use self::reads::Reads;
use super::chain;
use super::ledger::SellerLedger;
use super::record::{Key, PayeeFactsRecord, PayeeRangeLife, PayeeRangeRecord};
use super::voucher::{self, Signature, Vault, Voucher, abi};
use super::{CloseReason, MAX_CONNECTIONS, PayAction, PayEffect, PayEvent, PeerPayInfo};
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, FineUnits, TokenUnits};
use crate::wire::pay::{ByeReason, NeedReason, PayMessage, RejectCode, Terms, VERSION};

/// Received links are durable after this at the latest ...
pub const GROUP_DELAY: Duration = Duration::from_millis(100);
/// ... or after so many steps.
pub const GROUP_STEPS: u64 = 64;
/// At full credit without a payment for so long: REJECT 12 and choke.
pub const OVER_CREDIT: Duration = Duration::from_secs(10);
/// Least time between new ranges of one connection. A tenth short of the second that payers keep,
/// for delay varies on the way.
pub const NEW_RANGE_SPACING: Duration = Duration::from_millis(900);
/// How long PAYs on a closed range are still taken before its claim is ready.
pub const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// Live ranges of one payer on one connection.
pub const MAX_LIVE_RANGES: usize = 2;
/// Bad preimages after which the connection is closed.
pub const MAX_BAD_PREIMAGES: u8 = 3;
/// Evidence (SEEN) kept; the oldest is forgotten first.
pub const MAX_EVIDENCE: usize = 64;
/// Evidence signatures checked per connection; further ones are ignored.
pub const MAX_EVIDENCE_CHECKS: u8 = 4;
/// Accounts served at once; a COMMIT of a further one is answered with REJECT 13.
pub const MAX_ACCOUNTS: usize = 16_384;

/// What a seller asks for and accepts. Comes from the operator's or page's configuration only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayeeConfig {
    /// Vault and chain; a peer on another one is plain BitTorrent.
    pub vault: Vault,
    /// Who is paid.
    pub payee: Address,
    /// Price per block; zero: does not sell.
    pub unit: FineUnits,
    /// Least worth of a range.
    pub min_range: FineUnits,
    /// Longest chain accepted (1 to 256).
    pub max_steps: u16,
    /// Credit at first, blocks.
    pub credit0: u16,
    /// Credit at most, blocks.
    pub credit_max: u16,
    /// Paid blocks per further block of credit; 0: no growth.
    pub ramp: u8,
    /// Least bond in percent of the balance.
    pub min_bond_percent: u16,
    /// How long a quote is valid for the first COMMIT of a range, seconds. It is renewed at half.
    pub ttl_secs: u16,
    /// Unredeemed ranges of one account that are held at most; a further COMMIT waits (REJECT 13)
    /// until a full one was redeemed. 2 is the rule of payments.md; a seller who cannot redeem by
    /// itself (a page whose wallet asks its user) sets more, and risks that much more.
    pub max_ranges: u16,
    /// Automatic redemption takes no less than this from one account (the dust rule).
    pub dust: TokenUnits,
    /// How long a range without a connection waits before automatic redemption takes it.
    pub redeem_idle: Duration,
}

impl PayeeConfig {
    /// The defaults of payments.md; sells nothing until `unit` is set.
    pub fn new(vault: Vault, payee: Address) -> Self {
        PayeeConfig {
            vault,
            payee,
            unit: FineUnits(0),
            min_range: FineUnits(0),
            max_steps: chain::MAX_STEPS,
            credit0: 4,
            credit_max: 128,
            ramp: 4,
            min_bond_percent: 125,
            ttl_secs: 600,
            max_ranges: 64,
            dust: TokenUnits(10_000),
            redeem_idle: Duration::from_secs(600),
        }
    }
}

/// Which ranges to redeem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedeemScope {
    /// Everything, on an explicit command.
    All,
    /// Full ranges, ranges long without a connection, and accounts that are exiting, above dust.
    Due,
}

/// Names a range of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeId {
    /// The account.
    pub account: B256,
    /// Its first serial.
    pub first: u32,
}

/// A range that is closed durably and can be claimed.
#[derive(Clone, Debug)]
pub struct ReadyClaim {
    /// Which range.
    pub id: RangeId,
    /// What to put into `redeem` or `redeemFor` (at most [`voucher::MAX_CLAIMS`] in a call).
    pub claim: abi::Claim,
    /// What the vault pays for it.
    pub due: TokenUnits,
}

/// What became of one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The vault paid (gross, before a registry's cut).
    Paid(TokenUnits),
    /// The vault skipped it, for this reason (event `Skipped`).
    Skipped(u8),
    /// The transaction failed or never confirmed: the claim is ready again.
    Failed,
}

/// Sums over all accounts, all runs included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayeeTotals {
    /// Fine units received in unredeemed ranges.
    pub earned: FineUnits,
    /// What can be redeemed: the sum of each range's floor.
    pub redeemable: TokenUnits,
    /// How many ranges that is.
    pub ranges: u32,
    /// `earned` less `redeemable`: rests below one token unit per range.
    pub rests: FineUnits,
    /// What was redeemed.
    pub redeemed: TokenUnits,
    /// Blocks sent and not paid on live connections.
    pub unpaid_blocks: u64,
    /// Blocks whose payer left.
    pub lost_blocks: u64,
    /// Steps received but not durable yet.
    pub undurable_steps: u64,
    /// Blocks paid, all runs.
    pub paid_blocks: u64,
}

/// The payee. See the module's documentation for the order of calls.
#[derive(Debug)]
pub struct Payee {
    config: PayeeConfig,
    rng: ChaCha20Rng,
    now: Timestamp,
    actions: VecDeque<PayAction>,
    last_effect: u64,
    effects: BTreeMap<PayEffect, Work>,
    conns: BTreeMap<ConnectionId, Conn>,
    accounts: BTreeMap<B256, Account>,
    evidence: VecDeque<(B256, Voucher, Signature)>,
    reads: Reads,
    /// Ranges a `prepare_redeem` waits for.
    closing: BTreeSet<RangeId>,
    shut: bool,
}

/// What an effect was for.
#[derive(Debug)]
enum Work {
    Background,
    /// The first record of a range that a connection committed.
    NewRange {
        conn: ConnectionId,
    },
    /// A fold of an attached range.
    Fold {
        id: RangeId,
    },
    /// Best link of a range.
    Links {
        id: RangeId,
        k: u16,
        tag: [u8; 4],
    },
    Close {
        id: RangeId,
        k: u16,
    },
    /// A read a COMMIT waits for.
    CommitRead {
        conn: ConnectionId,
    },
    Read {
        account: B256,
        word: u64,
    },
}

#[derive(Clone, Copy, Debug)]
struct Quote {
    id: u32,
    unit: FineUnits,
    sent: Timestamp,
}

#[derive(Debug)]
struct Conn {
    info: PeerPayInfo,
    buys: bool,
    /// Price asked here; zero: not selling.
    unit: FineUnits,
    /// The last two, newest last.
    quotes: VecDeque<Quote>,
    account: Option<B256>,
    /// Attached ranges, oldest first.
    attached: Vec<u32>,
    /// A replayed COMMIT: no credit until a higher link comes.
    tentative: Option<u32>,
    pending: Option<Pending>,
    /// Steps paid on this connection since its first attach.
    paid: u64,
    ack: Option<u32>,
    unchoked: bool,
    full_since: Option<Timestamp>,
    next_new: Timestamp,
    /// A STATE was sent: the fold to it is exempt from the rate.
    refold: bool,
    bad_preimages: u8,
    evidence_checks: u8,
    bye: bool,
}

#[derive(Debug)]
struct Account {
    session_key: Address,
    tranche: TokenUnits,
    ledger: SellerLedger,
    ranges: BTreeMap<u32, Range>,
    /// Time from which its funds may leave, if it is exiting.
    exit_at: Option<Timestamp>,
    stored_facts: PayeeFactsRecord,
    /// A `RedeemDue` was said since the last redemption.
    said_due: bool,
}

/// A voucher and its best link.
#[derive(Clone, Copy, Debug)]
struct Best {
    voucher: Voucher,
    signature: Signature,
    k: u16,
    w: B256,
}

impl Best {
    fn new(voucher: Voucher, signature: Signature) -> Self {
        Best {
            voucher,
            signature,
            k: 0,
            w: voucher.root,
        }
    }

    fn owed(&self) -> FineUnits {
        self.voucher.owed_at(self.k)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// The record of its closing is being stored.
    Closing,
    /// Closed durably; its claim is ready at this time.
    Ready {
        at: Timestamp,
    },
    /// Handed out: its step is frozen.
    Claimed,
    Redeemed(TokenUnits),
}

#[derive(Debug)]
struct Range {
    best: Best,
    /// A fold that is not durable yet.
    next: Option<Best>,
    durable_k: u16,
    dirty_since: Option<Timestamp>,
    /// A record of links is being stored.
    storing: bool,
    life: Life,
    conn: Option<ConnectionId>,
    idle_since: Timestamp,
    /// Steps since the last COMMIT of it.
    paid_since_commit: u64,
    /// The chain did not confirm it lately: no sending on it until its COMMIT comes again.
    suspended: bool,
    /// The vault skipped its claim in this run.
    skipped: bool,
}

impl Range {
    fn new(best: Best, life: Life, now: Timestamp) -> Self {
        Range {
            durable_k: best.k,
            best,
            next: None,
            dirty_since: None,
            storing: false,
            life,
            conn: None,
            idle_since: now,
            paid_since_commit: 0,
            suspended: false,
            skipped: false,
        }
    }

    /// The newest voucher, durable or not.
    fn newest(&self) -> &Best {
        self.next.as_ref().unwrap_or(&self.best)
    }

    fn undurable(&self) -> u64 {
        match &self.next {
            Some(next) => u64::from(next.k),
            None => u64::from(self.best.k.saturating_sub(self.durable_k)),
        }
    }

    /// Whole steps left, folds included.
    fn usable(&self, tranche: TokenUnits) -> u64 {
        let best = self.newest();
        voucher::usable_steps(best.voucher.count, tranche, best.owed(), best.voucher.unit)
    }

    fn record(&self, session_key: Address, tranche: TokenUnits) -> PayeeRangeRecord {
        let best = self.next.as_ref().unwrap_or(&self.best);
        PayeeRangeRecord {
            session_key,
            voucher: best.voucher,
            signature: best.signature,
            k: best.k,
            w: best.w,
            tranche,
            life: match self.life {
                Life::Open => PayeeRangeLife::Open,
                Life::Closing | Life::Ready { .. } | Life::Claimed => PayeeRangeLife::Closed,
                Life::Redeemed(gross) => PayeeRangeLife::Redeemed(gross),
            },
        }
    }
}

impl Account {
    fn undurable(&self) -> u64 {
        self.ranges.values().map(Range::undurable).sum()
    }
}

impl Payee {
    /// A payee with the records it wrote earlier (any others are ignored). Reads of everything
    /// unredeemed follow at once. `rng_seed`: fresh entropy, for quote ids.
    pub fn new(
        now: Timestamp,
        config: PayeeConfig,
        rng_seed: [u8; 32],
        records: impl Iterator<Item = (String, Bytes)>,
    ) -> Self {
        let mut payee = Payee {
            config,
            rng: ChaCha20Rng::from_seed(rng_seed),
            now,
            actions: VecDeque::new(),
            last_effect: 0,
            effects: BTreeMap::new(),
            conns: BTreeMap::new(),
            accounts: BTreeMap::new(),
            evidence: VecDeque::new(),
            reads: Reads::default(),
            closing: BTreeSet::new(),
            shut: false,
        };
        let mut facts = BTreeMap::new();
        for (text, bytes) in records {
            let read = match Key::parse(&text, &config.vault) {
                Some(Key::PayeeFacts(id)) => PayeeFactsRecord::decode(&bytes).map(|r| {
                    facts.insert(id, r);
                }),
                Some(Key::PayeeRange(id, first)) => {
                    PayeeRangeRecord::decode(&bytes).and_then(|r| payee.load(id, first, &r))
                }
                _ => continue,
            };
            if read.is_none() {
                payee.event(PayEvent::RecordUnreadable { key: text });
            }
        }
        for (id, record) in facts {
            // An account of which nothing is left to redeem still has its history.
            let account = payee.accounts.entry(id).or_insert_with(|| Account {
                session_key: Address::ZERO,
                tranche: TokenUnits(0),
                ledger: SellerLedger::default(),
                ranges: BTreeMap::new(),
                exit_at: None,
                stored_facts: record,
                said_due: false,
            });
            account.ledger = SellerLedger::new(record);
            account.stored_facts = record;
        }
        payee.read_due();
        payee
    }

    fn load(&mut self, id: B256, first: u32, record: &PayeeRangeRecord) -> Option<()> {
        let voucher = record.voucher;
        if voucher.first != first || voucher::account_id(voucher.owner, record.session_key) != id {
            return None;
        }
        let now = self.now;
        let account = self.accounts.entry(id).or_insert_with(|| Account {
            session_key: record.session_key,
            tranche: record.tranche,
            ledger: SellerLedger::default(),
            ranges: BTreeMap::new(),
            exit_at: None,
            stored_facts: PayeeFactsRecord::default(),
            said_due: false,
        });
        let best = Best {
            voucher,
            signature: record.signature,
            k: record.k,
            w: record.w,
        };
        let life = match record.life {
            PayeeRangeLife::Open => Life::Open,
            PayeeRangeLife::Closed => Life::Ready { at: now },
            PayeeRangeLife::Redeemed(gross) => Life::Redeemed(gross),
        };
        account.ranges.insert(first, Range::new(best, life, now));
        self.reads.soon(id, u64::from(first) >> 8, now);
        Some(())
    }

    /// Both extended handshakes are in: TERMS at the configured price follow, if this side sells and the
    /// remote buys here.
    pub fn connected(&mut self, now: Timestamp, conn: ConnectionId, info: PeerPayInfo) {
        self.connected_at(now, conn, info, self.config.unit);
    }

    /// [`Payee::connected`], at a price for this connection's torrent; zero: not selling it.
    pub fn connected_at(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        info: PeerPayInfo,
        unit: FineUnits,
    ) {
        self.turn(now);
        if self.conns.len() >= MAX_CONNECTIONS {
            return;
        }
        let vault = self.config.vault;
        let buys = info.handshake.is_some_and(|h| {
            h.understands_prices()
                && h.version == VERSION
                && h.vault == vault.address
                && h.chain_id == vault.chain_id
        });
        self.conns.insert(
            conn,
            Conn {
                info,
                buys,
                unit,
                quotes: VecDeque::new(),
                account: None,
                attached: Vec::new(),
                tentative: None,
                pending: None,
                paid: 0,
                ack: None,
                unchoked: false,
                full_since: None,
                next_new: Timestamp::ZERO,
                refold: false,
                bad_preimages: 0,
                evidence_checks: 0,
                bye: false,
            },
        );
        self.quote(conn);
    }

    /// The connection is gone: what it left unpaid is lost, its ranges wait.
    pub fn disconnected(&mut self, now: Timestamp, conn: ConnectionId) {
        self.turn(now);
        let Some(gone) = self.conns.remove(&conn) else {
            return;
        };
        let Some(id) = gone.account else {
            return;
        };
        let now = self.now;
        if let Some(account) = self.accounts.get_mut(&id) {
            let walked = account.ledger.disconnect(conn, gone.paid);
            for range in account.ranges.values_mut() {
                if range.conn == Some(conn) {
                    range.conn = None;
                    range.idle_since = now;
                }
            }
            if let Some(blocks) = walked {
                self.event(PayEvent::WalkedAway {
                    account: id,
                    blocks,
                });
            }
        }
        for first in gone.attached {
            self.store_links(RangeId { account: id, first });
        }
        self.store_facts(id);
        self.closed_ready();
    }

    /// Changes the price everywhere. New TERMS leave; ranges already accepted keep their price. Zero stops
    /// selling.
    pub fn set_price(&mut self, now: Timestamp, unit: FineUnits) {
        self.config.unit = unit;
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.set_price_on(now, conn, unit);
        }
    }

    /// [`Payee::set_price`], on one connection.
    pub fn set_price_on(&mut self, now: Timestamp, conn: ConnectionId, unit: FineUnits) {
        self.turn(now);
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if c.unit == unit {
            return;
        }
        c.unit = unit;
        let attached = c.attached.last().copied();
        if unit.0 == 0 {
            self.stop_selling(conn, ByeReason::Done);
            return;
        }
        self.quote(conn);
        if let Some(first) = attached {
            let reason = NeedReason::PriceChanged;
            self.send(conn, PayMessage::Need { reason, first });
        }
    }

    fn stop_selling(&mut self, conn: ConnectionId, reason: ByeReason) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if c.quotes.is_empty() {
            return;
        }
        c.quotes.clear();
        c.bye = true;
        self.send(
            conn,
            PayMessage::Bye {
                selling: true,
                reason,
            },
        );
        self.choke(conn);
    }

    fn quote(&mut self, conn: ConnectionId) {
        let config = self.config;
        let (now, id) = (self.now, self.rng.next_u32());
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let unit = c.unit;
        if unit.0 == 0 || unit > voucher::MAX_FINE || !c.buys || self.shut {
            return;
        }
        c.quotes.push_back(Quote {
            id,
            unit,
            sent: now,
        });
        if c.quotes.len() > 2 {
            c.quotes.pop_front();
        }
        let content = c.info.content_sold;
        self.send(
            conn,
            PayMessage::Terms(Terms {
                version: VERSION,
                flags: 0,
                quote_id: id,
                ttl_secs: config.ttl_secs,
                payee: config.payee,
                content,
                unit,
                min_range: config.min_range,
                max_steps: config.max_steps.clamp(1, chain::MAX_STEPS),
                credit0: config.credit0,
                credit_max: config.credit_max,
                ramp: config.ramp,
                min_bond_percent: config.min_bond_percent,
                luck: B256::ZERO,
            }),
        );
    }

    /// A `pw_pay` message came in. Those that speak to a payer are ignored here.
    pub fn message(&mut self, now: Timestamp, conn: ConnectionId, message: PayMessage) {
        self.turn(now);
        if !self.conns.get(&conn).is_some_and(|c| c.buys) {
            return;
        }
        match message {
            PayMessage::Commit { quote_id, voucher } => self.commit(conn, quote_id, &voucher),
            PayMessage::Pay { first, tag, k, w } => self.pay(conn, first, tag, k, w),
            PayMessage::Seen { payee, voucher } => self.seen(conn, payee, &voucher),
            PayMessage::Bye { selling: false, .. } => {
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.bye = true;
                }
                self.choke(conn);
            }
            _ => {}
        }
    }

    /// A `piece` message was written to this connection: one step, if a range is attached.
    pub fn block_written(&mut self, now: Timestamp, conn: ConnectionId) {
        self.turn(now);
        if !self.is_paying(conn) {
            return;
        }
        let (now, credit) = (self.now, u64::from(self.credit(conn)));
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some(account) = c.account.and_then(|id| self.accounts.get_mut(&id)) else {
            return;
        };
        account.ledger.written(conn);
        if account.ledger.unpaid() >= credit {
            c.full_since.get_or_insert(now);
        }
    }

    fn pay(&mut self, conn: ConnectionId, first: u32, tag: [u8; 4], k: u16, w: B256) {
        let now = self.now;
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some(id) = c.account else {
            return;
        };
        let tentative = c.tentative == Some(first);
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        let Some(range) = account.ranges.get_mut(&first) else {
            return;
        };
        // A link is worth the same from any connection of its account: also one that lost the range.
        if matches!(range.life, Life::Claimed | Life::Redeemed(_)) {
            // Its claim is out: a further link would be worth nothing, so it must not count.
            self.reject(conn, RejectCode::ConsumedOrClosed, first, tag, first);
            return;
        }
        let best = match &mut range.next {
            Some(next) if next.voucher.tag() == tag => next,
            None if range.best.voucher.tag() == tag => &mut range.best,
            _ => return,
        };
        if k <= best.k {
            return;
        }
        if k > best.voucher.steps || !chain::advances(best.k, best.w, k, w) {
            c.bad_preimages = c.bad_preimages.saturating_add(1);
            let close = c.bad_preimages >= MAX_BAD_PREIMAGES;
            self.reject(conn, RejectCode::BadPreimage, first, tag, u32::from(k));
            if close {
                self.actions.push_back(PayAction::CloseConnection {
                    conn,
                    reason: CloseReason::BadPreimages,
                });
            }
            return;
        }
        let steps = u32::from(k - best.k);
        best.k = k;
        best.w = w;
        let unit = best.voucher.unit;
        range.paid_since_commit += u64::from(steps);
        if range.next.is_none() {
            range.dirty_since.get_or_insert(now);
        }
        account.ledger.paid(conn, steps);
        c.paid += u64::from(steps);
        c.ack = Some(first);
        self.event(PayEvent::Earned {
            conn,
            blocks: steps,
            unit,
        });
        let range_id = RangeId { account: id, first };
        if tentative {
            self.attach(conn, range_id);
        }
        self.group_commit(range_id);
        self.room_again(conn);
        self.full_range(range_id);
    }

    /// Clears the over-credit clocks that a payment ended, and unchokes again (the ACK first).
    fn room_again(&mut self, payer: ConnectionId) {
        let Some(id) = self.conns.get(&payer).and_then(|c| c.account) else {
            return;
        };
        let conns: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, c)| c.account == Some(id) && !c.attached.is_empty())
            .map(|(conn, _)| *conn)
            .collect();
        for conn in conns {
            let unpaid = self.accounts.get(&id).map_or(0, |a| a.ledger.unpaid());
            if unpaid >= u64::from(self.credit(conn)) {
                continue;
            }
            let Some(c) = self.conns.get_mut(&conn) else {
                continue;
            };
            c.full_since = None;
            if !c.unchoked && !c.bye {
                c.ack = c.ack.or(c.attached.last().copied());
                self.send_ack(conn);
                self.unchoke(conn);
            }
        }
    }

    /// Credit of the connection in blocks; 0 without an attached range.
    fn credit(&self, conn: ConnectionId) -> u16 {
        let Some(c) = self.conns.get(&conn).filter(|c| !c.attached.is_empty()) else {
            return 0;
        };
        let config = &self.config;
        c.account
            .and_then(|id| self.accounts.get(&id))
            .map_or(0, |a| {
                a.ledger
                    .credit(c.paid, config.credit0, config.credit_max, config.ramp)
            })
    }

    /// Whether one more `piece` message may be written to this paying connection:
    /// `unpaid + 1 <= credit`, and its ranges can still pay for it.
    pub fn may_send(&self, conn: ConnectionId) -> bool {
        let Some(c) = self.conns.get(&conn) else {
            return false;
        };
        if c.bye || c.attached.is_empty() || !c.unchoked {
            return false;
        }
        let Some(account) = c.account.and_then(|id| self.accounts.get(&id)) else {
            return false;
        };
        let at_risk = account.undurable().saturating_sub(GROUP_STEPS);
        let credit = u64::from(self.credit(conn));
        if account.ledger.unpaid() + at_risk + 1 > credit {
            return false;
        }
        let usable: u64 = c
            .attached
            .iter()
            .filter_map(|first| account.ranges.get(first))
            .filter(|r| r.life == Life::Open && !r.suspended)
            .map(|r| r.usable(account.tranche))
            .fold(0, u64::saturating_add);
        u64::from(account.ledger.unpaid_on(conn)) < usable
    }

    /// Whether a range is attached: blocks are charged and the peer uses no free upload slot.
    pub fn is_paying(&self, conn: ConnectionId) -> bool {
        self.conns
            .get(&conn)
            .is_some_and(|c| !c.attached.is_empty() && !c.bye)
    }

    /// The price asked for now.
    pub fn price(&self) -> FineUnits {
        self.config.unit
    }

    /// Sums for the operator.
    pub fn totals(&self) -> PayeeTotals {
        let mut totals = PayeeTotals::default();
        for account in self.accounts.values() {
            for range in account.ranges.values() {
                if matches!(range.life, Life::Redeemed(_)) {
                    continue;
                }
                // A fold that is not durable yet is not counted on.
                totals.earned.0 += range.best.owed().0;
                totals.ranges += 1;
                totals.redeemable.0 += range.best.voucher.due(range.best.k, account.tranche).0;
                totals.undurable_steps += range.undurable();
            }
            let facts = account.ledger.facts();
            totals.redeemed.0 += facts.redeemed.0;
            totals.unpaid_blocks += account.ledger.unpaid();
            totals.lost_blocks += facts.lost;
            totals.paid_blocks += facts.paid_total;
        }
        totals.rests.0 = totals.earned.0.saturating_sub(totals.redeemable.fine().0);
        totals
    }

    /// The end of a batch of inputs: ACKs leave.
    pub fn end_of_batch(&mut self, now: Timestamp) {
        self.turn(now);
        self.send_acks();
    }

    fn send_acks(&mut self) {
        let due: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, c)| c.ack.is_some())
            .map(|(conn, _)| *conn)
            .collect();
        for conn in due {
            self.send_ack(conn);
        }
    }

    /// The time [`Payee::next_timeout`] named came.
    pub fn tick(&mut self, now: Timestamp) {
        self.turn(now);
        let now = self.now;
        let half = Duration::from_millis(u64::from(self.config.ttl_secs) * 500);
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            let Some(c) = self.conns.get_mut(&conn) else {
                continue;
            };
            let stale = c.quotes.back().is_some_and(|q| q.sent + half <= now);
            let overdue = c.full_since.is_some_and(|at| at + OVER_CREDIT <= now);
            if stale {
                self.quote(conn);
            }
            if overdue {
                self.over_credit(conn);
            }
        }
        let dirty: Vec<_> = self
            .range_ids(|r| r.dirty_since.is_some_and(|at| at + GROUP_DELAY <= now))
            .collect();
        for id in dirty {
            self.store_links(id);
        }
        self.closed_ready();
        self.idle_due();
        self.read_due();
        self.send_acks();
    }

    /// When [`Payee::tick`] is to be called next.
    pub fn next_timeout(&self) -> Timestamp {
        let half = Duration::from_millis(u64::from(self.config.ttl_secs).max(2) * 500);
        let mut at = self.reads.next().min(self.closed_at());
        for c in self.conns.values() {
            if let Some(quote) = c.quotes.back() {
                at = at.min(quote.sent + half);
            }
            if let Some(since) = c.full_since {
                at = at.min(since + OVER_CREDIT);
            }
        }
        for account in self.accounts.values() {
            for range in account.ranges.values() {
                if let Some(since) = range
                    .dirty_since
                    .filter(|_| !range.storing && range.next.is_none())
                {
                    at = at.min(since + GROUP_DELAY);
                }
                if range.conn.is_none() && range.life == Life::Open && !account.said_due {
                    let due = range.idle_since + self.config.redeem_idle;
                    if due > self.now {
                        at = at.min(due);
                    }
                }
            }
        }
        at
    }

    fn over_credit(&mut self, conn: ConnectionId) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.full_since = None;
        let first = c.attached.last().copied().unwrap_or(0);
        let Some(account) = c.account.and_then(|id| self.accounts.get(&id)) else {
            return;
        };
        let unpaid = u32::try_from(account.ledger.unpaid()).unwrap_or(u32::MAX);
        let tag = account
            .ranges
            .get(&first)
            .map_or([0; 4], |r| r.best.voucher.tag());
        self.reject(conn, RejectCode::OverCredit, first, tag, unpaid);
        self.choke(conn);
    }

    /// Shuts down: stores everything, says BYE. Drain `poll` afterwards.
    pub fn close(&mut self, now: Timestamp) {
        self.turn(now);
        self.send_acks();
        let ids: Vec<_> = self.range_ids(|r| r.dirty_since.is_some()).collect();
        for id in ids {
            self.store_links(id);
        }
        let accounts: Vec<_> = self.accounts.keys().copied().collect();
        for id in accounts {
            self.store_facts(id);
        }
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            self.stop_selling(conn, ByeReason::Shutdown);
        }
        self.shut = true;
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<PayAction> {
        self.actions.pop_front()
    }

    // ---- shared by the parts ----

    fn turn(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    fn event(&mut self, event: PayEvent) {
        self.actions.push_back(PayAction::Event(event));
    }

    fn send(&mut self, conn: ConnectionId, message: PayMessage) {
        self.actions.push_back(PayAction::Send { conn, message });
    }

    fn reject(&mut self, conn: ConnectionId, code: RejectCode, first: u32, tag: [u8; 4], aux: u32) {
        self.event(PayEvent::Rejected { conn, code, aux });
        self.send(
            conn,
            PayMessage::Reject {
                code,
                first,
                tag,
                aux,
            },
        );
    }

    fn effect(&mut self, work: Work) -> PayEffect {
        self.last_effect += 1;
        let effect = PayEffect(self.last_effect);
        self.effects.insert(effect, work);
        effect
    }

    fn put(&mut self, key: Key, value: Option<Bytes>, work: Work) -> PayEffect {
        let effect = self.effect(work);
        self.actions.push_back(PayAction::PutRecord {
            effect,
            key: key.text(&self.config.vault),
            value,
        });
        effect
    }

    fn range(&self, id: RangeId) -> Option<&Range> {
        self.accounts.get(&id.account)?.ranges.get(&id.first)
    }

    fn range_mut(&mut self, id: RangeId) -> Option<&mut Range> {
        self.accounts
            .get_mut(&id.account)?
            .ranges
            .get_mut(&id.first)
    }

    fn range_ids(&self, keep: impl Fn(&Range) -> bool) -> impl Iterator<Item = RangeId> {
        self.accounts.iter().flat_map(move |(account, a)| {
            let account = *account;
            let kept: Vec<_> = a
                .ranges
                .iter()
                .filter(|(_, r)| keep(r))
                .map(|(first, _)| RangeId {
                    account,
                    first: *first,
                })
                .collect();
            kept
        })
    }

    fn unchoke(&mut self, conn: ConnectionId) {
        if let Some(c) = self.conns.get_mut(&conn)
            && !c.unchoked
            && !c.bye
        {
            c.unchoked = true;
            self.actions.push_back(PayAction::Unchoke { conn });
        }
    }

    fn choke(&mut self, conn: ConnectionId) {
        if let Some(c) = self.conns.get_mut(&conn)
            && c.unchoked
        {
            c.unchoked = false;
            self.actions.push_back(PayAction::Choke { conn });
        }
    }

    /// ACK of the range that was paid or committed last.
    fn send_ack(&mut self, conn: ConnectionId) {
        let credit = self.credit(conn);
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let (Some(first), Some(id)) = (c.ack.take(), c.account) else {
            return;
        };
        let Some(account) = self.accounts.get(&id) else {
            return;
        };
        let Some(range) = account.ranges.get(&first) else {
            return;
        };
        if range.next.is_some() {
            // The fold's own ACK follows when it is durable, with the same news.
            return;
        }
        let message = PayMessage::Ack {
            first,
            tag: range.best.voucher.tag(),
            k: range.best.k,
            owed_blocks: u32::try_from(account.ledger.unpaid()).unwrap_or(u32::MAX),
            credit_blocks: credit,
        };
        self.send(conn, message);
    }

    /// Stores the best link if enough came together.
    fn group_commit(&mut self, id: RangeId) {
        if self.range(id).is_some_and(|r| r.undurable() >= GROUP_STEPS) {
            self.store_links(id);
        }
    }

    fn store_links(&mut self, id: RangeId) {
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        let (session_key, tranche) = (account.session_key, account.tranche);
        let Some(range) = account.ranges.get_mut(&id.first) else {
            return;
        };
        if range.storing || range.next.is_some() {
            return;
        }
        if range.best.k == range.durable_k {
            range.dirty_since = None;
            return;
        }
        range.storing = true;
        range.dirty_since = None;
        let (k, tag) = (range.best.k, range.best.voucher.tag());
        let record = range.record(session_key, tranche);
        let key = Key::PayeeRange(id.account, id.first);
        self.put(key, Some(record.encode()), Work::Links { id, k, tag });
        if self
            .accounts
            .get(&id.account)
            .is_some_and(|a| a.ledger.facts().paid_total >= a.stored_facts.paid_total + 256)
        {
            self.store_facts(id.account);
        }
    }

    fn store_facts(&mut self, id: B256) {
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        let facts = *account.ledger.facts();
        if facts != account.stored_facts {
            account.stored_facts = facts;
            self.put(Key::PayeeFacts(id), Some(facts.encode()), Work::Background);
        }
    }

    /// A `PutRecord` is durable, or failed.
    pub fn stored(&mut self, now: Timestamp, effect: PayEffect, ok: bool) {
        self.turn(now);
        let now = self.now;
        let Some(work) = self.effects.remove(&effect) else {
            return;
        };
        if !ok {
            self.event(PayEvent::StoreFailed);
        }
        match work {
            Work::NewRange { conn } => self.new_range_stored(conn, effect, ok),
            Work::Fold { id } => self.fold_stored(id, ok),
            Work::Close { id, k } => self.close_stored(id, k, ok),
            Work::Links { id, k, tag } => {
                let Some(range) = self.range_mut(id) else {
                    return;
                };
                range.storing = false;
                if range.best.voucher.tag() != tag {
                    return;
                }
                if ok {
                    range.durable_k = range.durable_k.max(k);
                }
                if range.best.k > range.durable_k {
                    range.dirty_since.get_or_insert(now);
                    self.group_commit(id);
                }
            }
            Work::Background | Work::CommitRead { .. } | Work::Read { .. } => {}
        }
    }
}
