//! The payee: sells blocks on many connections at once to one address.
//!
//! Owns the quotes, every voucher with its best link (that is money), each account's debt, and the times of
//! redemptions.
//!
//! Per connection: call `connected` once both extended handshakes are in (TERMS leave at once if this side sells),
//! `message` for each message, and `block_written` after each `piece` message while `is_paying`. Before a `piece` is
//! written to a paying peer, `may_send` must allow it; requests that may not be served yet are held. `Unchoke` and
//! `Choke` actions say when a paid peer's place begins and ends; the ACK is always queued before the unchoke.
//! `end_of_batch` sends ACKs.
//!
//! A range goes `Open -> Closing -> Ready -> Claimed -> Redeemed -> gone`; its best voucher is replaced only when the
//! next one is durable. Serials that somebody else redeemed first make it `Lost`: its voucher is kept as proof.
//!
//! To redeem: `prepare_redeem` closes ranges durably and tells the payers (NEED 5); at `PayEvent::ClaimsReady`,
//! `take_claims` hands the claims out; `redeemed` reports the end of each.
//!
//! Invariants:
//! - No ACK before the voucher is durable; received links are durable within [`GROUP_DELAY`] or
//!   [`GROUP_STEPS`] steps, and steps beyond that count against the credit until they are.
//! - The record that a claim may leave is stored before it leaves, so that a later run can tell its own redemptions
//!   from another's.
//! - A redeemable sum is a sum of floors; a closed range takes no further block.
//! - The payee accepts only ranges that the chain, read at `latest`, covers.

mod accounts;
mod attach;
mod claims;
mod commit;
mod config;
mod credit;
mod exposure;
mod looks;
mod reads;
mod reconcile;
mod redeem;
mod state;

use std::collections::VecDeque;

use alloy_primitives::B256;
use bytes::Bytes;
use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

#[cfg(feature = "_test")]
pub use self::accounts::MAX_PAST;
use self::accounts::{Accounts, Past};
pub use self::config::{
    ClaimOutcome, LEAST_UNITS, PayeeConfig, PayeeTotals, RangeId, ReadyClaim, RedeemScope,
};
use self::looks::Looks;
use self::reads::Reads;
use self::state::{Best, Conn, Life, PayeeAccount, PayeeRange, PayeeTask, Quote};
use super::chain;
use super::ledger::SellerLedger;
use super::outgoing::Outgoing;
use super::record::{Key, PayeeFactsRecord, PayeeRangeLife, PayeeRangeRecord};
use super::voucher::{self, Signature, Voucher};
use super::{Concern, MAX_CONNECTIONS, PayAction, PayEffect, PayEvent, PeerPayInfo};
use crate::sorted::{Map, Set};
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, Durability, FineUnits, TokenUnits};
use crate::wire::pay::{ByeReason, NeedReason, PayMessage, RejectCode, Terms, VERSION};
use redeem::Preparing;

/// Received links are durable after this at the latest ...
pub const GROUP_DELAY: Duration = Duration::from_millis(100);
/// ... or after this many steps.
pub const GROUP_STEPS: u64 = 64;
/// A PAY that changes no credit is acknowledged after this at the latest, or after [`GROUP_STEPS`] steps.
pub const ACK_DELAY: Duration = GROUP_DELAY;
/// At full credit without a payment for this long: REJECT 12 and choke.
pub const OVER_CREDIT: Duration = Duration::from_secs(10);
/// Least time between new ranges of one connection, unless it paid [`super::NEW_RANGE_STEPS`] meanwhile. It is a tenth
/// less than the second that payers keep, because delay varies on the way.
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
/// Accounts that have something to redeem. A further one takes the place of the one that owes least, if that is not
/// worth its gas; else its COMMIT is answered with REJECT 13.
pub const MAX_ACCOUNTS: usize = 16_384;
/// Promises of one range that others followed before a step of them was paid, and that the payee remembers. Each has
/// the range once.
pub const MAX_FOLLOWED: usize = 64;
/// A range that is worth nothing and has no connection is forgotten after this.
pub const WORTHLESS: Duration = Duration::from_secs(24 * 3_600);

/// The payee. See the module's documentation for the order of calls.
#[derive(Debug)]
pub struct Payee {
    config: PayeeConfig,
    rng: ChaCha20Rng,
    now: Timestamp,
    out: Outgoing<PayeeTask>,
    conns: Map<ConnectionId, Conn>,
    /// At most [`MAX_ACCOUNTS`]: those that are connected or have something to redeem.
    accounts: Accounts,
    past: Past,
    evidence: VecDeque<(B256, Voucher, Signature)>,
    /// Vouchers to the operator's other keys: their serials are taken, and their records are left alone.
    foreign: Vec<(B256, Voucher, Signature)>,
    /// Records that cannot be read. They may be money to a later version, so nothing is written in their place.
    unreadable: Set<Key>,
    reads: Reads,
    looks: Looks,
    preparing: Preparing,
    shut: bool,
}

impl Payee {
    /// A payee with the records that it wrote earlier (any others are ignored). Reads of everything unredeemed follow
    /// at once. `rng_seed`: fresh entropy, for quote ids.
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
            out: Outgoing::default(),
            conns: Map::new(),
            accounts: Accounts::default(),
            past: Past::default(),
            evidence: VecDeque::new(),
            foreign: Vec::new(),
            unreadable: Set::new(),
            reads: Reads::default(),
            looks: Looks::default(),
            preparing: Preparing::default(),
            shut: false,
        };
        let mut facts = Map::new();
        for (text, bytes) in records {
            let Some(key) = Key::parse(&text, &config.vault) else {
                continue;
            };
            let read = match key {
                Key::PayeeFacts(id) => PayeeFactsRecord::decode(&bytes).map(|r| {
                    facts.insert(id, r);
                }),
                Key::PayeeRange(id, first) => {
                    PayeeRangeRecord::decode(&bytes).and_then(|r| payee.load(id, first, &r))
                }
                _ => continue,
            };
            if read.is_none() {
                payee.unreadable.insert(key);
                payee.event(PayEvent::RecordUnreadable { key: text });
            }
        }
        for (id, record) in facts {
            let Some(account) = payee.accounts.get_mut(&id) else {
                payee.put_past(id, record);
                continue;
            };
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
        if voucher.payee != self.config.payee {
            self.foreign.push((id, voucher, record.signature));
            return Some(());
        }
        let now = self.now;
        let account = self.accounts.get_or_insert_with(id, || {
            PayeeAccount::new(
                record.session_key,
                record.tranche,
                PayeeFactsRecord::default(),
            )
        });
        let best = Best {
            voucher,
            signature: record.signature,
            k: record.k,
            w: record.w,
        };
        let life = match record.life {
            PayeeRangeLife::Open => Life::Open,
            PayeeRangeLife::Closed | PayeeRangeLife::Claimed => Life::Ready { at: now },
            PayeeRangeLife::Redeemed(gross) => Life::Redeemed {
                gross,
                proven: true,
            },
            PayeeRangeLife::Presumed(gross) => Life::Redeemed {
                gross,
                proven: false,
            },
            PayeeRangeLife::Lost => Life::Lost,
        };
        let mut range = PayeeRange::new(best, life, now);
        range.may_have_left = match record.life {
            PayeeRangeLife::Open | PayeeRangeLife::Closed | PayeeRangeLife::Lost => false,
            PayeeRangeLife::Claimed | PayeeRangeLife::Redeemed(_) | PayeeRangeLife::Presumed(_) => {
                true
            }
        };
        range.noted = range.may_have_left;
        range.asked = Timestamp::ZERO;
        account.ranges.insert(first, range);
        self.reads.soon(id, u64::from(first) >> 8, now);
        Some(())
    }

    /// Both extended handshakes are in: TERMS follow at this price of the connection's torrent, if the remote buys
    /// here. Zero: it is not sold.
    pub fn connected(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        info: PeerPayInfo,
        price: FineUnits,
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
                price,
                quotes: VecDeque::new(),
                account: None,
                attached: Vec::new(),
                tentative: None,
                pending: None,
                paid: 0,
                ack: None,
                ack_by: Timestamp::ZERO,
                acked: (0, 0),
                unchoked: false,
                full_since: None,
                next_new: Timestamp::ZERO,
                paid_since_new: 0,
                refold: false,
                ended_told: 0,
                bad_preimages: 0,
                evidence_checks: 0,
                sum_checks: MAX_EVIDENCE_CHECKS,
                reconciles: false,
                bye: false,
                stopped: false,
            },
        );
        self.quote(conn);
    }

    /// The connection is gone: its unpaid blocks are lost, its ranges wait.
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
            for range in account.ranges.values_mut() {
                if range.conn == Some(conn) {
                    range.conn = None;
                    range.idle_since = now;
                }
            }
        }
        self.count_lost(id, conn, gone.paid);
        for first in gone.attached {
            self.store_links(RangeId { account: id, first });
        }
        self.store_facts(id);
        self.retire(id);
        self.closed_ready();
    }

    /// An account that is not connected and has nothing to redeem makes room: its facts are enough.
    pub(super) fn retire(&mut self, id: B256) {
        let is_idle = (self.accounts.get(&id)).is_some_and(|a| a.ranges.is_empty());
        if !is_idle || self.conns.values().any(|c| c.account == Some(id)) {
            return;
        }
        self.store_facts(id);
        if let Some(account) = self.accounts.remove(&id) {
            self.put_past(id, *account.ledger.facts());
        }
    }

    fn put_past(&mut self, id: B256, facts: PayeeFactsRecord) {
        if let Some(account) = self.past.put(id, facts) {
            self.event(PayEvent::AccountForgotten { account });
        }
    }

    /// The account to forget for a new one, when there are too many: the one that owes least, if that is not worth its
    /// gas.
    fn least_worth(&self) -> Option<B256> {
        let worth = |account: &PayeeAccount| {
            let due = |r: &PayeeRange| r.due(account.tranche).0;
            let owed = account.ranges.values().filter(|r| r.life.is_unredeemed());
            owed.map(due).fold(0, u128::saturating_add)
        };
        let is_attached =
            |account: &PayeeAccount| account.ranges.values().any(|r| r.conn.is_some());
        (self.accounts.iter())
            .filter(|(_, account)| !is_attached(account))
            .map(|(id, account)| (worth(account), *id))
            .min()
            .filter(|(worth, _)| *worth < self.config.item_gas.0)
            .map(|(_, id)| id)
    }

    /// Whether one more account can be served.
    pub(super) fn has_room(&self) -> bool {
        self.accounts.len() < MAX_ACCOUNTS || self.least_worth().is_some()
    }

    /// Makes room for one more account.
    pub(super) fn make_room(&mut self) {
        if self.accounts.len() < MAX_ACCOUNTS {
            return;
        }
        if let Some(id) = self.least_worth() {
            for range in self.range_ids_of(id, |_| true) {
                self.forget(range);
            }
        }
    }

    /// Ranges that are worth nothing and whose buyers stay away are forgotten.
    fn forget_worthless(&mut self, accounts: &[B256]) {
        for id in accounts {
            let Some(tranche) = self.accounts.get(id).map(|a| a.tranche) else {
                continue;
            };
            let now = self.now;
            for range in self.range_ids_of(*id, |r| r.worthless_at(tranche) <= now) {
                self.forget(range);
            }
        }
    }

    /// A connection's unpaid blocks are lost, and no longer held against the account's other connections. The payee
    /// tells those, and they have room.
    pub(super) fn count_lost(&mut self, id: B256, conn: ConnectionId, paid_on_connection: u64) {
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        let walked = account.ledger.disconnect(conn, paid_on_connection);
        for other in self.conns.values_mut().filter(|c| c.account == Some(id)) {
            other.ack = other.ack.or(other.attached.last().copied());
            other.ack_by = self.now;
        }
        if let Some(blocks) = walked {
            self.event(PayEvent::WalkedAway {
                account: id,
                blocks,
            });
        }
        if self.owes_too_much(id) {
            self.part_from(id);
        } else {
            self.room_again(id);
        }
    }

    /// Takes the ranges of an account off all its connections: it may have attached them all before it left the blocks
    /// of the first one unpaid.
    fn part_from(&mut self, account: B256) {
        let of_it = self
            .conns
            .iter()
            .filter(|(_, c)| c.account == Some(account));
        let attached: Vec<_> = of_it
            .flat_map(|(conn, c)| c.attached.iter().map(|first| (*conn, *first)))
            .collect();
        for (conn, first) in attached {
            self.refuse_for_debt(conn, RangeId { account, first });
        }
    }

    /// Changes the price on one connection. New TERMS leave; accepted ranges keep their price. Zero stops selling.
    pub fn set_price_on(&mut self, now: Timestamp, conn: ConnectionId, price: FineUnits) {
        self.turn(now);
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if c.price == price {
            return;
        }
        c.price = price;
        let attached = c.attached.last().copied();
        if price.0 == 0 {
            self.stop_selling(conn, ByeReason::Done);
            return;
        }
        self.quote(conn);
        if let Some(first) = attached {
            let reason = NeedReason::PriceChanged;
            self.send(conn, PayMessage::Need { reason, first });
        }
    }

    /// What is sold on one connection has this id from now on. New TERMS leave; accepted ranges keep their id.
    pub fn set_content_on(&mut self, now: Timestamp, conn: ConnectionId, content: B256) {
        self.turn(now);
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if c.info.content == content {
            return;
        }
        c.info.content = content;
        let attached = c.attached.last().copied();
        if c.quotes.is_empty() {
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
        c.stopped = true;
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
        let price = c.price;
        if price.0 == 0 || price > voucher::MAX_FINE || !c.buys || self.shut {
            return;
        }
        c.stopped = false;
        c.quotes.push_back(Quote {
            id,
            price,
            sent: now,
        });
        if c.quotes.len() > 2 {
            c.quotes.pop_front();
        }
        let content = c.info.content;
        self.send(
            conn,
            PayMessage::Terms(Terms {
                version: VERSION,
                flags: 0,
                quote_id: id,
                ttl_secs: config.ttl_secs,
                payee: config.payee,
                content,
                unit: price,
                min_range: config.min_range,
                max_steps: config.max_steps.clamp(1, chain::MAX_STEPS),
                credit0: config.credit.first,
                credit_max: config.credit.most,
                ramp: config.credit.ramp,
                min_bond_percent: config.min_bond_percent,
                luck: B256::ZERO,
            }),
        );
    }

    /// A `pw_pay` message came in. Messages to a payer are ignored here.
    pub fn message(&mut self, now: Timestamp, conn: ConnectionId, message: PayMessage) {
        self.turn(now);
        if !self.conns.get(&conn).is_some_and(|c| c.buys) {
            return;
        }
        match message {
            PayMessage::Commit { quote_id, voucher } => self.commit(conn, quote_id, &voucher),
            PayMessage::Pay { first, tag, k, w } => self.pay(conn, first, tag, k, w),
            PayMessage::Seen { payee, voucher } => self.seen(conn, payee, &voucher),
            PayMessage::Reconcile { voucher } => self.reconcile(conn, &voucher),
            PayMessage::Bye { selling: false, .. } => {
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.bye = true;
                }
                self.choke(conn);
            }
            _ => {}
        }
    }

    /// Sums for the operator.
    pub fn totals(&self) -> PayeeTotals {
        let past = self.past.sums();
        let mut totals = PayeeTotals {
            redeemed: past.redeemed,
            lost_blocks: past.lost,
            paid_blocks: past.paid_total,
            ..PayeeTotals::default()
        };
        for account in self.accounts.values() {
            for range in account.ranges.values() {
                if !range.life.is_unredeemed() {
                    continue;
                }
                // A fold that is not durable yet is not counted on.
                totals.earned.0 += range.best.owed().0;
                totals.ranges += 1;
                totals.redeemable.0 += range.due(account.tranche).0;
                totals.undurable_steps += range.undurable();
            }
            let facts = account.ledger.facts();
            // A spoilt record may say any number.
            totals.redeemed.0 = totals.redeemed.0.saturating_add(facts.redeemed.0);
            totals.unpaid_blocks += account.ledger.unpaid();
            totals.lost_blocks = totals.lost_blocks.saturating_add(facts.lost);
            totals.paid_blocks = totals.paid_blocks.saturating_add(facts.paid_total);
        }
        totals.rests.0 = totals.earned.0.saturating_sub(totals.redeemable.fine().0);
        totals
    }

    /// The end of a batch of inputs: the ACKs that are due leave.
    pub fn end_of_batch(&mut self, now: Timestamp) {
        self.turn(now);
        self.send_acks();
    }

    /// The time that [`Payee::next_timeout`] named came.
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
        let due = self.accounts.take_due(now);
        for account in &due {
            let dirty = |r: &PayeeRange| r.dirty_since.is_some_and(|at| at + GROUP_DELAY <= now);
            for id in self.range_ids_of(*account, dirty) {
                self.store_links(id);
            }
        }
        self.forget_worthless(&due);
        self.closed_ready();
        for account in due {
            self.say_due(account);
        }
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
            if c.ack.is_some() {
                at = at.min(c.ack_by);
            }
        }
        at.min((self.accounts).next(|account| self.account_timeout(account)))
    }

    /// When a group of links is to be stored, or an idle range may be worth a redemption.
    fn account_timeout(&self, account: &PayeeAccount) -> Timestamp {
        let mut at = Timestamp::NEVER;
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
            at = at.min(range.worthless_at(account.tranche));
        }
        at
    }

    /// Another dust limit from now on; see [`PayeeConfig::with_item_gas`]. A quote that is out keeps its terms.
    pub fn set_dust(&mut self, now: Timestamp, dust: TokenUnits, item_gas: TokenUnits) {
        self.turn(now);
        self.config = self.config.with_item_gas(dust, item_gas);
        let accounts: Vec<_> = self.accounts.keys().copied().collect();
        for id in accounts {
            self.say_due(id);
        }
    }

    /// Shuts down: stores everything, says BYE. Drain `poll` afterwards.
    pub fn close(&mut self, now: Timestamp) {
        self.turn(now);
        for c in self.conns.values_mut() {
            c.ack_by = now;
        }
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
        self.out.poll()
    }

    // ---- shared by the parts ----

    fn turn(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    fn event(&mut self, event: PayEvent) {
        self.out.event(event);
    }

    fn send(&mut self, conn: ConnectionId, message: PayMessage) {
        self.out.send(conn, message);
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

    fn put(&mut self, key: Key, value: Option<Bytes>, work: PayeeTask) -> PayEffect {
        let title = match (&work, key) {
            (PayeeTask::NewRange { conn }, _) => self.conns.get(conn).map(|c| c.info.torrent),
            (_, Key::PayeeRange(account, first)) => {
                let range = self.range(RangeId { account, first });
                range.and_then(|range| range.title)
            }
            _ => None,
        };
        let key = key.text(&self.config.vault);
        (self.out).put(key, value, Durability::PowerLoss, title, work)
    }

    /// Puts a range on record as it is.
    fn put_range(&mut self, id: RangeId, work: PayeeTask) {
        let Some(account) = self.accounts.get(&id.account) else {
            return;
        };
        let Some(range) = account.ranges.get(&id.first) else {
            return;
        };
        let record = range.record(account.session_key, account.tranche);
        let key = Key::PayeeRange(id.account, id.first);
        self.put(key, Some(record.encode()), work);
    }

    fn range(&self, id: RangeId) -> Option<&PayeeRange> {
        self.accounts.get(&id.account)?.ranges.get(&id.first)
    }

    fn range_mut(&mut self, id: RangeId) -> Option<&mut PayeeRange> {
        self.accounts
            .get_mut(&id.account)?
            .ranges
            .get_mut(&id.first)
    }

    fn range_ids(&self, keep: impl Fn(&PayeeRange) -> bool) -> impl Iterator<Item = RangeId> {
        self.accounts
            .keys()
            .flat_map(move |account| self.range_ids_of(*account, &keep))
    }

    fn range_ids_of(&self, account: B256, keep: impl Fn(&PayeeRange) -> bool) -> Vec<RangeId> {
        let ranges = self.accounts.get(&account).map(|a| a.ranges.iter());
        (ranges.into_iter().flatten())
            .filter(|(_, r)| keep(r))
            .map(|(first, _)| RangeId {
                account,
                first: *first,
            })
            .collect()
    }

    /// The connections that share their credit with this one, and itself: those of its account.
    pub fn sharers(&self, conn: ConnectionId) -> Vec<ConnectionId> {
        let account = self.conns.get(&conn).and_then(|c| c.account);
        account.map_or_else(Vec::new, |account| self.conns_of(account))
    }

    fn conns_of(&self, account: B256) -> Vec<ConnectionId> {
        let all = self
            .conns
            .iter()
            .filter(|(_, c)| c.account == Some(account));
        all.map(|(conn, _)| *conn).collect()
    }

    /// Whom the end of an effect concerns. To be asked before the effect is reported. What else follows from it, the
    /// machine tells by its actions.
    pub fn concern(&self, effect: PayEffect) -> Concern {
        let conns = match self.out.task(effect) {
            Some(PayeeTask::NewRange { conn } | PayeeTask::CommitRead { conn, .. }) => vec![*conn],
            Some(
                PayeeTask::Fold { id }
                | PayeeTask::Links { id, .. }
                | PayeeTask::Close { id, .. }
                | PayeeTask::Reconcile { id, .. }
                | PayeeTask::Claim { id },
            ) => self.conns_of(id.account),
            Some(PayeeTask::Read { account, .. }) => self.conns_of(*account),
            Some(PayeeTask::Background) | None => Vec::new(),
        };
        Concern::Connections(conns)
    }

    /// A `PutRecord` is durable, or failed.
    pub fn stored(&mut self, now: Timestamp, effect: PayEffect, ok: bool) {
        self.turn(now);
        let now = self.now;
        let Some(work) = self.out.stored(effect, ok) else {
            return;
        };
        match work {
            PayeeTask::NewRange { conn } => self.new_range_stored(conn, effect, ok),
            PayeeTask::Fold { id } => self.fold_stored(id, ok),
            PayeeTask::Close { id, k } => self.close_stored(id, k, ok),
            PayeeTask::Reconcile { id, late } => self.reconciled(id, late, ok),
            PayeeTask::Claim { id } => {
                if self.preparing.noted(id) {
                    self.closed_ready();
                }
            }
            PayeeTask::Links { id, k, tag } => {
                let Some(range) = self.range_mut(id) else {
                    return;
                };
                range.storing = false;
                if range.best.voucher.tag() != tag {
                    return;
                }
                if !ok {
                    // A full disk may answer at once, and so would the next attempt.
                    range.dirty_since = Some(now);
                    return;
                }
                range.durable_k = range.durable_k.max(k);
                if range.best.k > range.durable_k {
                    range.dirty_since.get_or_insert(now);
                    self.group_commit(id);
                }
            }
            PayeeTask::Background | PayeeTask::CommitRead { .. } | PayeeTask::Read { .. } => {}
        }
    }
}
