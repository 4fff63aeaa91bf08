//! The payer: buys blocks on many connections at once from one account.
//!
//! Owns the serial allocator, the budget, every range's chain and the count of the owed blocks.
//!
//! One connection goes `AwaitingTerms -> Quoted -> Opening -> Attached -> Ended`; in `Attached` it
//! has one or two live ranges, each of which is stored, signed, committed and acknowledged on its
//! own (`PayerRange::stage`). The order of calls per connection:
//!
//! 1. `connected` once both extended handshakes are in; messages to `message`.
//! 2. `want(.., title, true)` when the metadata is complete and blocks are wanted from there.
//! 3. While `may_request` allows: send a REQUEST and call `request_sent`; then exactly one of `block_received` or
//!    `request_ended_without_block`. Call these on **every** connection, paid or not, because a block requested in a
//!    free slot is charged if it is written after the ACK.
//! 4. `payable` for each block that turned out good, with the connection that delivered it (also after that connection
//!    is gone). `block_invalid` for the blocks of a piece whose hash is wrong.
//! 5. `end_of_batch` after each batch of inputs: then PAYs leave.
//!
//! Invariants:
//! - A serial and a base are durable before they are signed; a range is signed for one payee only.
//! - The revealed sum never exceeds the budget, nor the blocks held plus the v1 advance.
//! - Every chain is fresh: a new one per voucher, from the machine's own generator, never stored.
//!
//! Never holds a key, reads a clock, or judges bytes.

mod account;
mod choose;
#[cfg(any(test, feature = "_test"))]
mod for_tests;
mod inbound;
mod losses;
mod pay;
mod place;
mod range;
mod ranges;
mod reconcile;
mod seller;

use std::collections::VecDeque;

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use self::account::{PayerAccount, StoredAccount};
pub use self::losses::Begun;
use self::losses::Losses;
use self::range::{PayerRange, PayerTask};
use self::seller::{Seller, SellerBook};
use super::ledger::BuyerLedger;
use super::outgoing::Outgoing;
use super::policy::{FakePayeeLimiter, PayerConfig};
use super::record::{Key, PayerAccountRecord, PayerRangeRecord, PayerTitleRecord};
use super::{
    EndReason, MAX_CONNECTIONS, PayAction, PayEffect, PayEvent, PeerPayInfo, Refusal, TitleKind,
};
use crate::sorted::{Map, Set};
use crate::time::{Duration, Timestamp, Wait};
use crate::types::{ConnectionId, Durability, FineUnits, InfoHash, TokenUnits};
use crate::wire::pay::{ByeReason, PayMessage, Terms, VERSION};

/// A verified block is paid at the latest after this.
pub const PAY_DELAY: Duration = Duration::from_millis(20);
/// Revealed steps are durable at the latest after this ...
pub const STORE_DELAY: Duration = Duration::from_millis(500);
/// ... or after this many steps.
pub const STORE_STEPS: u128 = 64;
/// Least time between COMMITs of new ranges on one connection, unless [`super::NEW_RANGE_STEPS`] were paid
/// meanwhile; the payee's limit is one second.
pub const COMMIT_SPACING: Duration = Duration::from_millis(1_100);
/// A COMMIT without an answer ends buying after this.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(60);
/// Waits before the identical COMMIT is repeated after REJECT 13.
pub const PENDING_RETRIES: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(30),
];
/// A payee that does not see all of the deposit (REJECT 4) gets this many of these waits: 14 s in all.
pub const BEHIND_RETRIES: usize = 3;
/// Steps beyond the credit that must be usable before the next range is committed.
pub const NEXT_RANGE_MARGIN: u64 = 64;
/// Live ranges per payee and connection.
pub const MAX_LIVE_RANGES: usize = 2;
/// Ranges that a seller closed before half of them was used; it gets no further one until the chain shows one of them
/// consumed.
pub const MAX_WASTED_RANGES: usize = 2;
/// Time until the payer looks at the chain again for a seller that closed that many.
pub const LOOK_SPACING: Duration = Duration::from_secs(15);
/// Connections that are gone and may still have blocks to be judged; the oldest is forgotten, and
/// its blocks are then not paid.
pub const MAX_GONE: usize = 256;
/// SEEN and STATE signatures checked per connection; further ones are ignored.
pub const MAX_EVIDENCE_CHECKS: u8 = 4;
/// REJECT 9 answers per connection after which buying ends.
pub const MAX_QUOTE_REJECTS: u8 = 3;
const FAILURE_DELAY: Duration = Duration::from_secs(10);

/// The account that pays: the wallet's deposit, and the chain's last state of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    /// The wallet that deposited.
    pub owner: Address,
    /// Address of the session key.
    pub session_key: Address,
    /// Worth of one serial, `q`.
    pub tranche: TokenUnits,
    /// Deposit left.
    pub balance: TokenUnits,
    /// Collateral.
    pub bond: TokenUnits,
    /// Serials consumed.
    pub consumed: u64,
    /// Seconds since the epoch; 0: not exiting.
    pub exit_at: u64,
}

/// The state of one seller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayerConnState {
    /// The remote does not sell to us: plain BitTorrent.
    NoDeal,
    /// It sells, but no TERMS came yet.
    AwaitingTerms,
    /// A quote is there; nothing is committed. The reason why not, if something but the caller's wish is missing.
    Quoted(Option<Refusal>),
    /// A first range is being stored, signed or waits for its ACK.
    Opening,
    /// Blocks can be bought.
    Attached,
    /// Buying from this connection ended for good.
    Ended(EndReason),
}

/// Sums over the account, all runs included unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayerTotals {
    /// Revealed to payees.
    pub spent: FineUnits,
    /// The sum that payees could redeem or did: the sum of each range's floor.
    pub spent_floor: TokenUnits,
    /// Worth of serials bound to payees' open ranges and not revealed.
    pub committed: FineUnits,
    /// Worth of covered serials not assigned to anybody.
    pub free: TokenUnits,
    /// Budget not spent.
    pub budget_left: FineUnits,
    /// Blocks received and not paid yet, all connections.
    pub unpaid_blocks: u64,
    /// Vouchers sent in this run.
    pub vouchers_signed: u64,
    /// Chain steps revealed in this run.
    pub preimages_released: u64,
}

/// The payer. See the module's documentation for the order of calls.
#[derive(Debug)]
pub struct Payer {
    config: PayerConfig,
    rng: ChaCha20Rng,
    now: Timestamp,
    out: Outgoing<PayerTask>,
    /// Accounts with records that are not the selected one.
    archive: Map<B256, StoredAccount>,
    /// Session keys with more promises than are on record.
    behind: Set<Address>,
    account: Option<PayerAccount>,
    conns: Map<ConnectionId, Conn>,
    gone: VecDeque<Gone>,
    sellers: Map<Seller, SellerBook>,
    titles: Map<InfoHash, Losses>,
    /// Titles whose record does not name their blocks at stake yet.
    unrecorded: Set<InfoHash>,
    strangers: FakePayeeLimiter,
    /// Of the sellers that wait for their turn, the one whose turn it is now.
    drawn: Option<ConnectionId>,
    said_budget: bool,
    said_deposit: bool,
    vouchers_signed: u64,
    preimages_released: u64,
}

#[derive(Debug)]
struct Quote {
    terms: Terms,
    received: Timestamp,
    /// The event that was sent about it.
    refused: Option<Refusal>,
}

#[derive(Debug)]
struct Conn {
    info: PeerPayInfo,
    sells: bool,
    title: TitleKind,
    wanted: bool,
    /// The title's own limit for a block; see [`Payer::want`].
    max_price: FineUnits,
    ended: Option<EndReason>,
    quote: Option<Quote>,
    /// The payee of this connection's ranges, once one was committed.
    seller: Option<Seller>,
    ledger: BuyerLedger,
    /// Its ranges by first serial, oldest first.
    ranges: Vec<u32>,
    /// The time that it was waited for.
    wait: Wait,
    /// An ACK came: blocks are charged.
    acked: bool,
    credit: u16,
    /// The most that its quote named when the last range was promised.
    credit_most: u16,
    last_pay: Option<(u32, [u8; 4], u16)>,
    pay_next_batch: bool,
    pay_deadline: Option<Timestamp>,
    next_commit: Timestamp,
    /// The next new range waits for this time, or for `paid_since_new` to reach [`super::NEW_RANGE_STEPS`].
    spaced_until: Timestamp,
    paid_since_new: u64,
    /// The payee asked for the next range.
    next_range_asked: bool,
    /// Ranges folded to a STATE, by first serial; no more than [`MAX_EVIDENCE_CHECKS`].
    adopted: Vec<u32>,
    quote_rejects: u8,
    evidence_checks: u8,
    /// Delivered a verified block.
    delivered: bool,
    said_bye: bool,
    /// Ranges of earlier connections were looked for, and the newest was named if there was any.
    greeted: bool,
    /// Ranges that were compared with the payee; no more than [`super::RECONCILED_RANGES`].
    compared: usize,
}

/// A connection that is gone.
#[derive(Debug)]
struct Gone {
    conn: ConnectionId,
    seller: Seller,
    torrent: InfoHash,
    ledger: BuyerLedger,
}

impl Conn {
    /// The quote, if blocks are wanted at its price.
    fn wanted_terms(&self) -> Option<Terms> {
        let idle =
            self.ended.is_some() || !self.sells || !self.wanted || self.title == TitleKind::Unknown;
        let terms = self.quote.as_ref().map(|q| q.terms)?;
        // A connection pays one payee.
        let other = self.payee().is_some_and(|payee| payee != terms.payee);
        (!idle && !other).then_some(terms)
    }
}

impl Payer {
    /// A payer with the records that it wrote earlier (any others are ignored). `rng_seed` must be fresh entropy:
    /// chains are made from it.
    pub fn new(
        config: PayerConfig,
        rng_seed: [u8; 32],
        records: impl Iterator<Item = (String, Bytes)>,
    ) -> Self {
        let mut payer = Payer {
            config,
            rng: ChaCha20Rng::from_seed(rng_seed),
            now: Timestamp::ZERO,
            out: Outgoing::default(),
            archive: Map::new(),
            behind: Set::new(),
            account: None,
            conns: Map::new(),
            gone: VecDeque::new(),
            sellers: Map::new(),
            titles: Map::new(),
            unrecorded: Set::new(),
            strangers: FakePayeeLimiter::default(),
            drawn: None,
            said_budget: false,
            said_deposit: false,
            vouchers_signed: 0,
            preimages_released: 0,
        };
        for (text, bytes) in records {
            let key = Key::parse(&text, &payer.config.vault);
            if key.is_some_and(|key| !payer.load(key, &bytes)) {
                payer.event(PayEvent::RecordUnreadable { key: text });
            }
        }
        payer
    }

    /// Takes up a record. False: it cannot be read, and may mean anything, as one of a later version does. Its account
    /// then promises nothing more, its title loses nothing more.
    fn load(&mut self, key: Key, bytes: &[u8]) -> bool {
        match key {
            Key::PayerAccount(id) => {
                let record = PayerAccountRecord::decode(bytes);
                let stored = self.stored_account(id);
                stored.behind |= record.is_none();
                stored.next = record.map_or(0, |r| r.next);
                record.is_some()
            }
            Key::PayerRange(id, first) => {
                let record = PayerRangeRecord::decode(bytes).filter(|r| r.first == first);
                let stored = self.stored_account(id);
                stored.behind |= record.is_none();
                stored
                    .ranges
                    .extend(record.as_ref().map(|r| (first, PayerRange::from_record(r))));
                record.is_some()
            }
            Key::PayerTitle(torrent) => {
                let record = PayerTitleRecord::decode(bytes);
                let read = record.is_some();
                let losses = record.map_or_else(Losses::used_up, Losses::from_record);
                self.titles.insert(torrent, losses);
                read
            }
            Key::PayerBehind(key) => {
                self.behind.insert(key);
                true
            }
            Key::PayeeFacts(_) | Key::PayeeRange(..) => true,
        }
    }

    /// Caps the sum that may ever be revealed on this account (see [`PayerConfig::budget`]).
    pub fn set_budget(&mut self, now: Timestamp, budget: TokenUnits) {
        self.turn(now);
        self.config.budget = budget;
        self.said_budget = false;
        self.pump_all();
    }

    /// Both extended handshakes are in.
    pub fn connected(&mut self, now: Timestamp, conn: ConnectionId, info: PeerPayInfo) {
        self.turn(now);
        if self.conns.len() >= MAX_CONNECTIONS {
            return;
        }
        let vault = self.config.vault;
        let sells = info.handshake.is_some_and(|h| {
            h.sells()
                && h.version == VERSION
                && h.vault == vault.address
                && h.chain_id == vault.chain_id
        });
        self.conns.insert(
            conn,
            Conn {
                info,
                sells,
                title: TitleKind::Unknown,
                wanted: false,
                max_price: FineUnits(0),
                ended: None,
                quote: None,
                seller: None,
                ledger: BuyerLedger::default(),
                ranges: Vec::new(),
                wait: Wait::default(),
                acked: false,
                credit: 0,
                credit_most: 0,
                last_pay: None,
                pay_next_batch: false,
                pay_deadline: None,
                next_commit: Timestamp::ZERO,
                spaced_until: Timestamp::ZERO,
                paid_since_new: 0,
                next_range_asked: false,
                adopted: Vec::new(),
                quote_rejects: 0,
                evidence_checks: 0,
                delivered: false,
                said_bye: false,
                greeted: false,
                compared: 0,
            },
        );
    }

    /// The connection is gone. Its ranges can be attached elsewhere; its blocks that are held and not paid are paid at
    /// the next attach to the same payee.
    pub fn disconnected(&mut self, now: Timestamp, conn: ConnectionId) {
        self.turn(now);
        let left = self.ranges_of(conn);
        for first in &left {
            self.detach_range(*first);
        }
        let Some(gone) = self.conns.remove(&conn) else {
            return;
        };
        let Some(seller) = gone.seller else {
            return;
        };
        let mut ledger = gone.ledger;
        let seller = self.keep_book(seller);
        let book = self.sellers.entry(seller.clone()).or_default();
        // The blocks of its advances are due or paid. A connection that brought nothing takes nobody's place among
        // those that are gone.
        let advanced = ledger.paid > 0 || ledger.due > 0;
        book.debt = book.debt.saturating_add(ledger.due);
        ledger.due = 0;
        let at_stake = advanced && !book.advanced.is_empty();
        let judged = ledger.unverified() == 0 && !at_stake;
        self.loosen(&seller, gone.info.torrent);
        self.forget_seller(&seller);
        if !judged {
            self.gone.push_back(Gone {
                conn,
                seller,
                torrent: gone.info.torrent,
                ledger,
            });
            while self.gone.len() > MAX_GONE {
                self.gone.pop_front();
            }
        }
        self.pump_all();
        for first in left {
            self.name_elsewhere(first);
        }
    }

    /// Whether blocks are wanted from this connection, and what kind of title it is (once the metadata is complete: no
    /// COMMIT leaves before). Nothing above `max_price`, nor above [`PayerConfig::ceiling`], is ever signed for a block
    /// of it. A promise that has not left is taken back when the connection is not wanted any more, or costs too much
    /// now.
    pub fn want(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        title: TitleKind,
        wanted: bool,
        max_price: FineUnits,
    ) {
        self.turn(now);
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.wanted = wanted;
        c.title = title;
        c.max_price = max_price;
        if let TitleKind::V1 { piece_blocks } = title {
            let losses = self.titles.entry(c.info.torrent).or_default();
            losses.set_piece_blocks(piece_blocks);
        }
        self.drop_drafts(conn);
        self.pump(conn);
    }

    /// What is bought on this connection has this id from now on. Promises under another one that have not left are
    /// taken back; what was promised under it is paid.
    pub fn set_content(&mut self, now: Timestamp, conn: ConnectionId, content: B256) {
        self.turn(now);
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if c.info.content != content {
            c.info.content = content;
            self.drop_drafts(conn);
            self.pump(conn);
        }
    }

    /// Takes back promises that have not left and are not to leave any more.
    fn drop_drafts(&mut self, conn: ConnectionId) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let most = if c.wanted {
            self.ceiling_of(c)
        } else {
            FineUnits(0)
        };
        let content = c.info.content;
        for first in self.ranges_of(conn) {
            if self
                .range(first)
                .is_some_and(|r| r.is_drafted() && (r.price > most || r.content != content))
            {
                self.detach_range(first);
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.next_commit = self.now + COMMIT_SPACING;
                }
            }
        }
    }

    /// Shuts down: pays the due blocks, stores the revealed sums, says BYE. Drain `poll` afterwards and carry its sends
    /// and puts out before closing.
    pub fn close(&mut self, now: Timestamp) {
        self.turn(now);
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            self.settle(conn);
            self.bye(conn, ByeReason::Shutdown);
            self.end(conn, EndReason::Closed);
        }
        // Also those that no connection has, and that could not be stored.
        let ranges = self.account.iter().flat_map(|a| a.ranges.keys());
        for first in ranges.copied().collect::<Vec<_>>() {
            self.store_paid(first);
        }
        self.store_stakes();
    }

    /// The end of a batch of inputs: PAYs that are due leave.
    pub fn end_of_batch(&mut self, now: Timestamp) {
        self.turn(now);
        let due: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, c)| c.ledger.due > 0)
            .map(|(id, _)| *id)
            .collect();
        for conn in due {
            self.pay_if_time(conn);
        }
        self.store_stakes();
    }

    /// The time that [`Payer::next_timeout`] named came.
    pub fn tick(&mut self, now: Timestamp) {
        self.turn(now);
        self.retry_scan();
        self.retry_stores();
        self.draw_stranger();
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            if self
                .conns
                .get(&conn)
                .and_then(|c| c.pay_deadline)
                .is_some_and(|at| at <= self.now)
            {
                self.settle(conn);
            }
            for first in self.ranges_of(conn) {
                self.range_timers(conn, first);
            }
            self.pump(conn);
        }
        self.drawn = None;
    }

    /// When [`Payer::tick`] is to be called next.
    pub fn next_timeout(&self) -> Timestamp {
        let mut at = self.scan_retry_at().min(self.store_retry_at());
        for conn in self.conns.values() {
            at = at.min(conn.pay_deadline.unwrap_or(Timestamp::NEVER));
            for first in &conn.ranges {
                at = at.min(self.range_timeout(*first));
            }
            let next_commit = conn.next_commit.max(conn.spaced_until);
            if conn.ended.is_none() && conn.wanted && next_commit > self.now {
                at = at.min(next_commit);
            }
        }
        at
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<PayAction> {
        self.out.poll()
    }

    /// The state of this seller.
    pub fn status(&self, conn: ConnectionId) -> PayerConnState {
        let Some(c) = self.conns.get(&conn) else {
            return PayerConnState::NoDeal;
        };
        if let Some(reason) = c.ended {
            PayerConnState::Ended(reason)
        } else if !c.sells {
            PayerConnState::NoDeal
        } else if c.acked {
            PayerConnState::Attached
        } else if !c.ranges.is_empty() {
            PayerConnState::Opening
        } else {
            match &c.quote {
                Some(quote) => PayerConnState::Quoted(quote.refused),
                None => PayerConnState::AwaitingTerms,
            }
        }
    }

    /// The price per block that this connection quoted last; where that quote is void, that of its ranges.
    pub fn price(&self, conn: ConnectionId) -> Option<FineUnits> {
        let c = self.conns.get(&conn)?;
        let quoted = c.quote.as_ref().map(|quote| quote.terms.unit);
        let promised = || c.ranges.iter().filter_map(|first| self.range(*first));
        quoted.or_else(|| promised().map(|range| range.price).max())
    }

    /// It quoted under another registration than the title's, or under none, and is never bought from.
    #[inline(never)]
    pub fn is_foreign(&self, conn: ConnectionId) -> bool {
        let c = self.conns.get(&conn);
        c.is_some_and(|c| (c.quote.as_ref()).is_some_and(|q| q.terms.content != c.info.content))
    }

    /// The client wants to buy from it; see [`Payer::want`].
    pub fn is_wanted(&self, conn: ConnectionId) -> bool {
        self.conns.get(&conn).is_some_and(|c| c.wanted)
    }

    /// The selected account.
    pub fn account_id(&self) -> Option<B256> {
        self.account.as_ref().map(|a| a.id)
    }

    /// Sums for the user.
    pub fn totals(&self) -> PayerTotals {
        let mut totals = PayerTotals {
            vouchers_signed: self.vouchers_signed,
            preimages_released: self.preimages_released,
            budget_left: self.budget_left(),
            unpaid_blocks: self
                .conns
                .values()
                .map(|c| u64::from(c.ledger.received_unpaid()))
                .chain(self.sellers.values().map(|b| u64::from(b.debt)))
                .sum(),
            ..PayerTotals::default()
        };
        if let Some(account) = &self.account {
            totals.spent = account.spent;
            totals.free =
                TokenUnits(u128::from(account.unassigned()).saturating_mul(account.info.tranche.0));
            for range in account.ranges.values() {
                let (spent, committed) = (&mut totals.spent_floor.0, &mut totals.committed.0);
                *spent = spent.saturating_add(range.paid.floor().0);
                *committed = committed.saturating_add(account.unrevealed(range).0);
            }
        }
        totals
    }

    // ---- shared by the parts ----

    /// The clock never steps back.
    fn turn(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    fn event(&mut self, event: PayEvent) {
        self.out.event(event);
    }

    fn send(&mut self, conn: ConnectionId, message: PayMessage) {
        self.out.send(conn, message);
    }

    fn put(&mut self, key: Key, value: Bytes, work: PayerTask) -> PayEffect {
        // If steps are forgotten here, the payee names them, with its proof, when it is paid next. And no seller can
        // switch off this machine's power.
        let durability = match work {
            PayerTask::Paid { .. } | PayerTask::Staked => Durability::Process,
            _ => Durability::PowerLoss,
        };
        let title = match key {
            Key::PayerRange(_, first) => self.range(first).and_then(|range| range.title),
            _ => None,
        };
        let key = key.text(&self.config.vault);
        self.out.put(key, Some(value), durability, title, work)
    }

    fn fresh_tip(&mut self) -> B256 {
        let mut tip = [0u8; 32];
        self.rng.fill_bytes(&mut tip);
        B256::from(tip)
    }

    fn range(&self, first: u32) -> Option<&PayerRange> {
        self.account.as_ref()?.ranges.get(&first)
    }

    fn range_mut(&mut self, first: u32) -> Option<&mut PayerRange> {
        self.account.as_mut()?.ranges.get_mut(&first)
    }

    fn ranges_of(&self, conn: ConnectionId) -> Vec<u32> {
        self.conns
            .get(&conn)
            .map(|c| c.ranges.clone())
            .unwrap_or_default()
    }

    fn stored_account(&mut self, id: B256) -> &mut StoredAccount {
        self.archive.entry(id).or_default()
    }

    fn budget_left(&self) -> FineUnits {
        let spent = self.account.as_ref().map_or(0, |a| a.spent.0);
        FineUnits(self.config.budget.fine().0.saturating_sub(spent))
    }

    /// Buying from here is over; due blocks can still be paid while ranges stay attached.
    fn end(&mut self, conn: ConnectionId, reason: EndReason) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if c.ended.is_none() && c.sells {
            c.ended = Some(reason);
            self.event(PayEvent::Ended { conn, reason });
            // A promise that was not made yet is not made any more.
            for first in self.ranges_of(conn) {
                if self.range(first).is_some_and(PayerRange::is_drafted) {
                    self.detach_range(first);
                }
            }
        }
    }

    fn bye(&mut self, conn: ConnectionId, reason: ByeReason) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if c.ranges.is_empty() || c.said_bye {
            return;
        }
        c.said_bye = true;
        self.send(
            conn,
            PayMessage::Bye {
                selling: false,
                reason,
            },
        );
    }

    fn pump_all(&mut self) {
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            self.pump(conn);
        }
    }
}
