//! COMMIT: the payee's checks in their order, folding, and evidence.
//!
//! Invariant: cheap checks come before the signature, the signature before the chain, the chain
//! before the store, the store before the ACK.

use alloy_primitives::{Address, B256};

use super::{
    Best, Life, MAX_EVIDENCE, MAX_EVIDENCE_CHECKS, MAX_LIVE_RANGES, NEW_RANGE_SPACING, Payee,
    PayeeAccount, PayeeConfig, PayeeRange, PayeeTask, RangeId,
};
use crate::payment::NEW_RANGE_STEPS;
use crate::payment::chain;
use crate::payment::record::Key;
use crate::payment::voucher::{self, Signature, Voucher};
use crate::payment::{ChainState, ChainUnreadable, PayEffect, PayEvent};
use crate::time::Duration;
use crate::types::ConnectionId;
use crate::wire::pay::{PayMessage, RejectCode, VoucherBody};

/// After an attach the chain is read again (reorgs).
const REREAD: Duration = Duration::from_secs(30);

/// A COMMIT that waits for the chain or the store.
#[derive(Debug)]
pub(super) struct Pending {
    best: Best,
    session_key: Address,
    id: RangeId,
    effect: PayEffect,
    kind: Kind,
    /// The chain's answer.
    state: ChainState,
}

impl Pending {
    /// The range that it is to open, to resume or to attach.
    pub(super) fn id(&self) -> RangeId {
        self.id
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A range not stored yet.
    New,
    /// A fold of a range that is not attached to this connection.
    Resume,
    /// The stored voucher itself, again: attaches without credit.
    Replay,
    /// The stored voucher itself, for a range that was suspended here.
    Recheck,
}

enum Verdict {
    /// Already in hand.
    Ignore,
    /// Attached here already.
    AckAgain,
    Fold,
    Read(Kind),
    /// The payee holds more.
    Behind,
    /// The range was closed or redeemed here, or its record cannot be read.
    Ended,
    /// Another voucher stands against it.
    Conflict(Voucher, Signature),
}

type Rejection = (RejectCode, u32);

impl Payee {
    pub(super) fn commit(&mut self, conn: ConnectionId, quote_id: u32, body: &VoucherBody) {
        let (voucher, signature) = Voucher::from_body(body, self.config.payee);
        let (first, tag) = (voucher.first, voucher.tag());
        let known = match self.cheap_checks(conn, quote_id, &voucher) {
            Ok(false) => return,
            Ok(true) => signature.recover(&voucher.digest(&self.config.vault)).ok(),
            Err(why) => return self.refuse_commit(conn, first, tag, why),
        };
        let Some(session_key) = known else {
            self.reject(conn, RejectCode::Signature, first, tag, 0);
            return;
        };
        let id = RangeId {
            account: voucher::account_id(voucher.owner, session_key),
            first,
        };
        let best = Best::new(voucher, signature);
        match self.judge(conn, id, &voucher) {
            Ok(Verdict::Ignore) => {}
            Ok(Verdict::AckAgain) => {
                self.ack_now(conn, first);
            }
            Ok(Verdict::Fold) => self.fold(conn, id, best),
            Ok(Verdict::Behind) => self.say_state(conn, id),
            Ok(Verdict::Ended) => {
                self.refuse_ended(conn, first, tag);
            }
            Ok(Verdict::Conflict(other, signature)) => {
                self.send(
                    conn,
                    PayMessage::Seen {
                        payee: other.payee,
                        voucher: other.to_body(&signature),
                    },
                );
                let serial = first.max(other.first);
                if other.payee != voucher.payee {
                    self.event(PayEvent::Conflict {
                        account: id.account,
                        serial,
                    });
                }
                self.reject(conn, RejectCode::Conflict, first, tag, serial);
            }
            Ok(Verdict::Read(kind)) => {
                let stranger = self.is_stranger(&id.account);
                if let Some(wait) = self.looks.take(self.now, &self.peer(conn), stranger) {
                    let wait = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
                    self.reject(conn, RejectCode::Rate, first, tag, wait.max(1));
                    return;
                }
                let task = PayeeTask::CommitRead { conn, stranger };
                let effect = self.out.read(id.account, u64::from(first >> 8), task);
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.pending = Some(Pending {
                        best,
                        session_key,
                        id,
                        effect,
                        kind,
                        state: ChainState::default(),
                    });
                }
            }
            Err(why) => self.refuse_commit(conn, first, tag, why),
        }
    }

    /// A COMMIT is refused. A buyer that is to promise anew gets a quote for it.
    fn refuse_commit(&mut self, conn: ConnectionId, first: u32, tag: [u8; 4], why: Rejection) {
        let (code, aux) = why;
        self.reject(conn, code, first, tag, aux);
        if code == RejectCode::PriceOrQuote {
            self.quote(conn);
        }
    }

    /// Nothing is known of the account.
    fn is_stranger(&self, account: &B256) -> bool {
        !self.accounts.contains_key(account) && !self.past.knows(account)
    }

    /// The key by which one peer's looks at the chain are counted: its address, or its connection if that is unknown.
    fn peer(&self, conn: ConnectionId) -> String {
        match self.conns.get(&conn).map(|c| c.info.address.as_str()) {
            None | Some("") => format!("connection {}", conn.0),
            Some(address) => address.to_owned(),
        }
    }

    /// Quote, price, content, size, rate: no check here costs more than a look-up. `Ok(false)`: the same COMMIT is
    /// being checked already.
    fn cheap_checks(
        &mut self,
        conn: ConnectionId,
        quote_id: u32,
        v: &Voucher,
    ) -> Result<bool, Rejection> {
        let (now, config, shut) = (self.now, self.config, self.shut);
        let Some(c) = self.conns.get_mut(&conn) else {
            return Ok(false);
        };
        if shut {
            return Err((RejectCode::ShuttingDown, 0));
        }
        let attached = c
            .account
            .and_then(|id| self.accounts.get(&id))
            .and_then(|a| a.ranges.get(&v.first))
            .filter(|r| r.conn == Some(conn));
        if let Some(pending) = &c.pending {
            if pending.best.voucher == *v {
                return Ok(false);
            }
            // A fold needs no read of the chain, and does not wait for the range that does.
            if attached.is_none() {
                return Err((RejectCode::Rate, 1_000));
            }
        }
        // Acceptance fixed the price of an attached range; any other needs a valid quote.
        let priced = match attached {
            Some(range) => range.best.voucher.unit == v.unit,
            None => {
                let ttl = Duration::from_secs(u64::from(config.ttl_secs));
                c.quotes
                    .iter()
                    .any(|q| q.id == quote_id && q.price == v.unit && q.sent + ttl >= now)
            }
        };
        if !priced || !v.luck.is_zero() || v.unit.0 == 0 {
            return Err((RejectCode::PriceOrQuote, 0));
        }
        if v.content != c.info.content {
            return Err((RejectCode::Content, 0));
        }
        if !v.is_well_formed() {
            return Err((RejectCode::NotCovered, 0));
        }
        if v.steps == 0 || v.steps > config.max_steps {
            return Err((RejectCode::RangeTooSmall, u32::from(v.count)));
        }
        // The steps paid since the last COMMIT make up for the cost of checking this one.
        let earned = match attached {
            Some(range) => range.paid_since_commit >= super::GROUP_STEPS,
            None => c.paid_since_new >= NEW_RANGE_STEPS,
        };
        if !earned && !c.refold && now < c.next_new {
            let wait = c.next_new.since(now).as_millis() as u32;
            return Err((RejectCode::Rate, wait.max(1)));
        }
        c.refold = false;
        if attached.is_none() {
            c.paid_since_new = 0;
        }
        if attached.is_none() || !earned {
            c.next_new = now + NEW_RANGE_SPACING;
        }
        Ok(true)
    }

    /// Our own store's verdict on a voucher whose signature is good.
    fn judge(&self, conn: ConnectionId, id: RangeId, v: &Voucher) -> Result<Verdict, Rejection> {
        let Some(c) = self.conns.get(&conn) else {
            return Ok(Verdict::Ignore);
        };
        if c.account.is_some_and(|account| account != id.account) {
            return Err((RejectCode::Signature, 0));
        }
        let clash = |first: u32, count: u16| voucher::overlap(first, count, v.first, v.count);
        let overlaps = |p: &Pending| clash(p.id.first, p.best.voucher.count);
        let mut pending = self.conns.values().filter_map(|c| c.pending.as_ref());
        if pending.any(|p| p.id.account == id.account && overlaps(p)) {
            return Err((RejectCode::Rate, 1_000));
        }
        let mut others = self.foreign.iter().chain(&self.evidence);
        let evidence = others.find(|(account, other, _)| {
            *account == id.account && other.payee != v.payee && clash(other.first, other.count)
        });
        if let Some((_, other, signature)) = evidence {
            return Ok(Verdict::Conflict(*other, *signature));
        }
        if (self.unreadable).contains(&Key::PayeeRange(id.account, id.first)) {
            return Ok(Verdict::Ended);
        }
        let account = self.accounts.get(&id.account);
        if account.is_some_and(|a| a.exit_at.is_some()) {
            return Err((RejectCode::Exiting, 0));
        }
        let Some(account) = account else {
            if !self.has_room() {
                return Err((RejectCode::ChainPending, 0));
            }
            return Ok(Verdict::Read(Kind::New));
        };
        let same = |o: &Voucher| {
            o.first == v.first
                && o.count == v.count
                && o.content == v.content
                && o.payee == v.payee
                && o.luck == v.luck
        };
        let other = account
            .ranges
            .values()
            .find(|r| !same(&r.best.voucher) && clash(r.best.voucher.first, r.best.voucher.count));
        if let Some(range) = other {
            return Ok(Verdict::Conflict(range.best.voucher, range.best.signature));
        }
        let live = c
            .attached
            .iter()
            .filter(|first| **first != v.first)
            .filter_map(|first| account.ranges.get(first))
            .filter(|r| r.life == Life::Open && r.usable(account.tranche) > 0)
            .count();
        if live >= MAX_LIVE_RANGES {
            return Err((RejectCode::Rate, 1_000));
        }
        let Some(range) = account.ranges.get(&v.first) else {
            let held = account
                .ranges
                .values()
                .filter(|r| !matches!(r.life, Life::Redeemed { .. }))
                .count();
            if held >= usize::from(self.config.max_ranges.max(1)) {
                return Err((RejectCode::ChainPending, 0));
            }
            return Ok(Verdict::Read(Kind::New));
        };
        if range.life != Life::Open {
            return Ok(Verdict::Ended);
        }
        let attached = range.conn == Some(conn);
        let newest = range.newest();
        if newest.voucher.root == v.root {
            if newest.voucher != *v {
                // One chain under two vouchers: its links would count twice.
                return Err((RejectCode::Signature, 0));
            }
            return Ok(match (attached, range.suspended) {
                (true, false) => Verdict::AckAgain,
                (true, true) => Verdict::Read(Kind::Recheck),
                (false, _) => Verdict::Read(Kind::Replay),
            });
        }
        if v.base < newest.owed() {
            return Ok(Verdict::Behind);
        }
        if range.followed.contains(&v.tag()) {
            // A payer makes a new chain; a peer that only passes promises on has none.
            return Err((RejectCode::PriceOrQuote, 0));
        }
        let cap = voucher::range_cap(v.count, account.tranche);
        if v.owed_at(v.steps) > cap {
            return Err((RejectCode::RangeTooSmall, u32::from(v.count)));
        }
        if range.next.is_some() {
            return Err((RejectCode::Rate, 200));
        }
        Ok(match (attached, range.suspended) {
            (true, false) => Verdict::Fold,
            (true, true) | (false, _) => Verdict::Read(Kind::Resume),
        })
    }

    /// A fold of an attached range: no read of the chain is needed. The old voucher stays until the new one is durable;
    /// links of the new chain count from now on.
    fn fold(&mut self, conn: ConnectionId, id: RangeId, best: Best) {
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        let (session_key, tranche) = (account.session_key, account.tranche);
        let Some(range) = account.ranges.get_mut(&id.first) else {
            return;
        };
        range.next = Some(best);
        range.paid_since_commit = 0;
        range.dirty_since = None;
        let record = range.record(session_key, tranche);
        let key = Key::PayeeRange(id.account, id.first);
        self.put(key, Some(record.encode()), PayeeTask::Fold { id });
        if let Some(c) = self.conns.get_mut(&conn) {
            // The base of the fold includes the steps of the old chain.
            c.ack = c.ack.filter(|first| *first != id.first);
        }
    }

    pub(super) fn fold_stored(&mut self, id: RangeId, ok: bool) {
        if ok {
            self.promote(id);
        }
        let now = self.now;
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        let Some(range) = account.ranges.get_mut(&id.first) else {
            return;
        };
        let conn = range.conn;
        let dropped = range.next.take();
        if dropped.is_some() {
            // Links of the old chain that waited for the fold are still to be stored.
            range.dirty_since = (range.best.k > range.durable_k).then_some(now);
        }
        if let (Some(new), Some(conn)) = (&dropped, conn) {
            // The payer goes on with the old chain and pays the same blocks there.
            account.ledger.unpay(conn, u32::from(new.k));
        }
        let Some(conn) = conn else {
            return;
        };
        match dropped {
            Some(new) => {
                let tag = new.voucher.tag();
                self.reject(conn, RejectCode::ChainPending, id.first, tag, 0);
            }
            None => {
                self.ack_now(conn, id.first);
                self.group_commit(id);
            }
        }
    }

    /// The next voucher is durable: it replaces the stored one.
    pub(super) fn promote(&mut self, id: RangeId) {
        let now = self.now;
        let Some(range) = self.range_mut(id) else {
            return;
        };
        let Some(next) = range.next.take() else {
            return;
        };
        range.followed = range.followed_by(&next);
        range.best = next;
        range.durable_k = 0;
        range.dirty_since = (next.k > 0).then_some(now);
    }

    /// The range was closed or redeemed. The next one may follow at once, as many times as an honest payer that comes
    /// back has left ranges open. Answers whether this was one of those times.
    fn refuse_ended(&mut self, conn: ConnectionId, first: u32, tag: [u8; 4]) -> bool {
        let now = self.now;
        let mut is_usual = false;
        if let Some(c) = self.conns.get_mut(&conn)
            && c.ended_told < MAX_LIVE_RANGES
        {
            c.ended_told += 1;
            c.next_new = now;
            is_usual = true;
        }
        self.reject(conn, RejectCode::ConsumedOrClosed, first, tag, first);
        is_usual
    }

    fn say_state(&mut self, conn: ConnectionId, id: RangeId) {
        let Some(best) = self.range(id).map(|r| *r.newest()) else {
            return;
        };
        if let Some(c) = self.conns.get_mut(&conn) {
            c.refold = true;
        }
        self.send(
            conn,
            PayMessage::State {
                payee: best.voucher.payee,
                voucher: best.voucher.to_body(&best.signature),
                k: best.k,
                w: best.w,
            },
        );
    }

    /// The chain answered the question of a COMMIT.
    pub(super) fn commit_read(
        &mut self,
        conn: ConnectionId,
        effect: PayEffect,
        result: Result<ChainState, ChainUnreadable>,
    ) {
        let config = self.config;
        let now = self.now;
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some(mut pending) = c.pending.take_if(|p| p.effect == effect) else {
            return;
        };
        let (id, v) = (pending.id, pending.best.voucher);
        let checked = check_state(&config, &v, &result);
        if let Ok(state) = &result {
            if state.chain_id != config.vault.chain_id {
                let chain_id = state.chain_id;
                self.event(PayEvent::ChainMismatch { chain_id });
            } else {
                self.note_chain(id.account, state);
            }
        }
        let peer = self.peer(conn);
        let state = match checked {
            Ok(state) => {
                self.looks.accepted(&peer);
                state
            }
            Err((RejectCode::ConsumedOrClosed, first)) => {
                if !self.refuse_ended(conn, first, v.tag()) {
                    self.looks.refuse(now, peer);
                }
                return;
            }
            Err((code, aux)) => {
                self.looks.refuse(now, peer);
                self.reject(conn, code, id.first, v.tag(), aux);
                return;
            }
        };
        self.reads
            .at(id.account, u64::from(id.first) >> 8, now + REREAD);
        pending.state = state;
        if self.is_overtaken(conn, &pending) {
            return;
        }
        match pending.kind {
            Kind::New | Kind::Resume => self.store_new(conn, pending),
            Kind::Recheck => {
                if let Some(range) = self.range_mut(id) {
                    range.suspended = false;
                }
                self.ack_now(conn, id.first);
                if self.within_limit(conn) {
                    self.unchoke(conn);
                }
            }
            Kind::Replay => {
                // No credit, and the range stays where it is, until a higher link comes.
                let Some(best) = self.range(id).map(|r| r.best) else {
                    return;
                };
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.account = Some(id.account);
                    c.tentative = Some(id.first);
                }
                self.send(
                    conn,
                    PayMessage::Ack {
                        first: id.first,
                        tag: best.voucher.tag(),
                        k: best.k,
                        owed_blocks: 0,
                        credit_blocks: 0,
                    },
                );
            }
        }
    }

    /// Whether the COMMIT was judged by another state of its range than the present one: meanwhile links came on
    /// another connection, or the range was closed for redemption. Then the payee tells its payer.
    fn is_overtaken(&mut self, conn: ConnectionId, pending: &Pending) -> bool {
        let (id, kind, v) = (pending.id, pending.kind, &pending.best.voucher);
        let has_base = matches!(kind, Kind::New | Kind::Resume);
        let exits = (self.accounts.get(&id.account)).is_some_and(|a| a.exit_at.is_some());
        match self.range(id) {
            _ if exits => self.reject(conn, RejectCode::Exiting, id.first, v.tag(), 0),
            None if kind == Kind::New => return false,
            // It was redeemed, and is forgotten: the payee asks the chain anew.
            None => self.reject(conn, RejectCode::ChainPending, id.first, v.tag(), 0),
            Some(range) if range.life != Life::Open => {
                self.refuse_ended(conn, id.first, v.tag());
            }
            Some(range) if has_base && v.base < range.newest().owed() => self.say_state(conn, id),
            Some(_) => return false,
        }
        true
    }

    fn store_new(&mut self, conn: ConnectionId, mut pending: Pending) {
        let range = PayeeRange::new(pending.best, Life::Open, self.now);
        let record = range.record(pending.session_key, pending.state.tranche);
        let key = Key::PayeeRange(pending.id.account, pending.id.first);
        pending.effect = self.put(key, Some(record.encode()), PayeeTask::NewRange { conn });
        if let Some(c) = self.conns.get_mut(&conn) {
            c.pending = Some(pending);
        }
    }

    pub(super) fn new_range_stored(&mut self, conn: ConnectionId, effect: PayEffect, ok: bool) {
        let now = self.now;
        let Some(pending) = self
            .conns
            .get_mut(&conn)
            .and_then(|c| c.pending.take_if(|p| p.effect == effect))
        else {
            // The connection is gone. The record is there; the next start reads it, or the payer replaces it when it
            // comes back.
            return;
        };
        let (id, best) = (pending.id, pending.best);
        if !ok {
            self.reject(
                conn,
                RejectCode::ChainPending,
                id.first,
                best.voucher.tag(),
                0,
            );
            return;
        }
        if self.is_overtaken(conn, &pending) {
            // Its own record in the place of the stored one.
            self.put_range(id, PayeeTask::Background);
            return;
        }
        if !self.accounts.contains_key(&id.account) {
            self.make_room();
        }
        let past = &mut self.past;
        let account = self.accounts.get_or_insert_with(id.account, || {
            let facts = past.take(&id.account);
            PayeeAccount::new(pending.session_key, pending.state.tranche, facts)
        });
        account.note_chain(&pending.state);
        account.session_key = pending.session_key;
        account.tranche = pending.state.tranche;
        let mut range = PayeeRange::new(best, Life::Open, now);
        let before = account.ranges.remove(&id.first);
        if let Some(before) = &before {
            range.conn = before.conn;
            range.title = before.title;
            range.followed = before.followed_by(&best);
        }
        account.ranges.insert(id.first, range);
        if let Some(before) = before {
            self.tell_moved(conn, &before);
        }
        self.attach(conn, id);
    }

    /// Evidence that a payer signed for somebody else: kept, and held against our own ranges.
    pub(super) fn seen(&mut self, conn: ConnectionId, payee: Address, body: &VoucherBody) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if c.evidence_checks >= MAX_EVIDENCE_CHECKS {
            return;
        }
        c.evidence_checks += 1;
        let (voucher, signature) = Voucher::from_body(body, payee);
        if !voucher.is_well_formed() {
            return;
        }
        let Ok(session_key) = signature.recover(&voucher.digest(&self.config.vault)) else {
            return;
        };
        let account: B256 = voucher::account_id(voucher.owner, session_key);
        let clash = self.accounts.get(&account).and_then(|a| {
            a.ranges
                .values()
                .map(|r| &r.best.voucher)
                .find(|v| {
                    v.payee != payee
                        && voucher::overlap(v.first, v.count, voucher.first, voucher.count)
                })
                .map(|v| v.first.max(voucher.first))
        });
        if let Some(serial) = clash {
            self.event(PayEvent::Conflict { account, serial });
        }
        if !self.evidence.iter().any(|(_, v, _)| *v == voucher) {
            self.evidence.push_back((account, voucher, signature));
            while self.evidence.len() > MAX_EVIDENCE {
                self.evidence.pop_front();
            }
        }
    }
}

/// The state that the chain must show, in the order of docs/protocol.md, "The seller's checks of a COMMIT".
fn check_state(
    config: &PayeeConfig,
    v: &Voucher,
    result: &Result<ChainState, ChainUnreadable>,
) -> Result<ChainState, Rejection> {
    let Some(state) = result
        .as_ref()
        .ok()
        .filter(|s| s.chain_id == config.vault.chain_id && s.known)
    else {
        return Err((RejectCode::ChainPending, 0));
    };
    if state.exit_at != 0 {
        return Err((RejectCode::Exiting, 0));
    }
    if v.end() > state.bound() {
        let bound = u32::try_from(state.bound()).unwrap_or(u32::MAX);
        return Err((RejectCode::NotCovered, bound));
    }
    if state.any_consumed(v.first, v.count) {
        return Err((RejectCode::ConsumedOrClosed, v.first));
    }
    let bond = state.bond.0.saturating_mul(100);
    let least = state
        .balance
        .0
        .saturating_mul(u128::from(config.min_bond_percent));
    if bond < least {
        return Err((RejectCode::BondTooLow, 0));
    }
    let cap = voucher::range_cap(v.count, state.tranche);
    if cap < config.min_range || v.owed_at(v.steps) > cap {
        let serial = voucher::range_cap(1, state.tranche).0.max(1);
        let needed = config.min_range.max(v.owed_at(v.steps)).0.div_ceil(serial);
        return Err((
            RejectCode::RangeTooSmall,
            u32::try_from(needed).unwrap_or(u32::MAX),
        ));
    }
    debug_assert!(v.steps <= chain::MAX_STEPS);
    Ok(*state)
}
