//! The choice of the range that a connection is to pay on next, and of the quotes that may be taken at all.
//!
//! Invariant: no range is bound to a connection whose quote [`Payer::acceptable`] refuses, whatever message led there.

use rand_core::Rng;

use super::account::PayerAccount;
use super::range::{PayerRange, PayerTask};
use super::seller::Seller;
use super::{
    Conn, LOOK_SPACING, MAX_LIVE_RANGES, MAX_WASTED_RANGES, NEXT_RANGE_MARGIN, Payer, Quote,
};
use crate::payment::policy::{self, Sizing};
use crate::payment::{NEW_RANGE_STEPS, PayEvent, Refusal, TitleKind, voucher};
use crate::sorted::Set;
use crate::time::Duration;
use crate::types::{ConnectionId, FineUnits};
use crate::wire::pay::Terms;

/// The range that a connection gets.
enum Choice {
    /// A range that its payee has and that no connection uses.
    Reuse(u32),
    /// Serials that nobody has.
    New {
        first: u32,
        count: u16,
        stranger: bool,
    },
}

impl Payer {
    /// Commits the next range of a connection if one is wanted and allowed. Ranges that it leaves alone are compared
    /// with the payee, once.
    pub(super) fn pump(&mut self, conn: ConnectionId) {
        self.commit_next(conn);
        self.greet(conn);
    }

    fn commit_next(&mut self, conn: ConnectionId) {
        let (choice, terms) = match self.choose(conn) {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(why) => {
                self.refuse(conn, why);
                return;
            }
        };
        if let Choice::Reuse(first) = choice {
            self.drop_range(first);
        }
        let now = self.now;
        let (Some(account), Some(c)) = (self.account.as_mut(), self.conns.get_mut(&conn)) else {
            return;
        };
        let first = match choice {
            Choice::Reuse(first) => first,
            Choice::New {
                first,
                count,
                stranger,
            } => {
                account.next = u64::from(first) + u64::from(count);
                let mut range = PayerRange::new(first, count, terms.payee, terms.content);
                range.address = c.address();
                range.on_trial = stranger;
                account.ranges.insert(first, range);
                if stranger {
                    self.strangers.spend(now);
                }
                first
            }
        };
        if let Some(quote) = c.quote.as_mut() {
            quote.refused = None;
        }
        c.next_range_asked = false;
        self.commit(conn, first, &terms);
    }

    fn choose(&self, conn: ConnectionId) -> Result<Option<(Choice, Terms)>, Refusal> {
        let Some(c) = self.conns.get(&conn) else {
            return Ok(None);
        };
        let Some(terms) = c.wanted_terms() else {
            return Ok(None);
        };
        let spaced = c.spaced_until > self.now && c.paid_since_new < NEW_RANGE_STEPS;
        if spaced || c.next_commit > self.now || !self.has_use(conn, c, &terms)? {
            return Ok(None);
        }
        if !self.account.as_ref().is_some_and(|a| a.ready()) {
            return Err(Refusal::NoAccount);
        }
        if self.acceptable(conn)?.is_none() {
            return Ok(None);
        }
        let reuse = |held| self.reusable(conn, c, &terms, held).map(Choice::Reuse);
        let choice = match reuse(false) {
            Some(choice) => choice,
            None => match self.new_range(conn, c, &terms) {
                Err(why @ Refusal::FakePayeeLimit) => reuse(true).ok_or(why)?,
                other => other?,
            },
        };
        Ok(Some((choice, terms)))
    }

    /// Whether one range more would be of use on this connection.
    fn has_use(&self, conn: ConnectionId, c: &Conn, terms: &Terms) -> Result<bool, Refusal> {
        let opening = |first: &u32| self.range(*first).is_some_and(PayerRange::is_opening);
        let live = self.live_on(c);
        if c.ranges.iter().any(opening) || live >= MAX_LIVE_RANGES {
            return Ok(false);
        }
        let affordable = self.budget_left().0 / terms.unit.0.max(1);
        if affordable == 0 {
            return Err(Refusal::BudgetExhausted);
        }
        let usable = self.usable_on(conn, true);
        let enough = u64::from(c.credit) + NEXT_RANGE_MARGIN;
        let served = c.acked && !c.next_range_asked && usable >= enough;
        Ok(live == 0 || !served && u128::from(usable) < affordable)
    }

    /// The number of this connection's ranges that have a step left.
    pub(super) fn live_on(&self, c: &Conn) -> usize {
        let live = |first: &&u32| self.usable_now(**first) > 0;
        c.ranges.iter().filter(live).count()
    }

    /// The quote of this connection, if it may be promised for now. `None`: it is not wanted, or it is too old.
    pub(super) fn acceptable(&self, conn: ConnectionId) -> Result<Option<Terms>, Refusal> {
        let Some((c, terms)) = self
            .conns
            .get(&conn)
            .and_then(|c| Some((c, c.wanted_terms()?)))
        else {
            return Ok(None);
        };
        // Ranges of a held account are paid on.
        let usable = self.account.as_ref().filter(|a| a.ready() || a.held());
        let Some(account) = usable else {
            return Err(Refusal::NoAccount);
        };
        let book = (self.sellers).get(&Seller::new(terms.payee, conn, &c.info));
        if book.is_some_and(|b| b.refused) {
            return Err(Refusal::PayeeRefused);
        }
        if matches!(c.title, TitleKind::V1 { .. }) && self.losses_left(c.info.torrent) == 0 {
            return Err(Refusal::LossBudget);
        }
        policy::judge_quote(self.ceiling_of(c), &account.info, &terms, c.info.content)?;
        if terms.unit > self.budget_left() {
            return Err(Refusal::BudgetExhausted);
        }
        let fresh = c.quote.as_ref().is_some_and(|q| self.is_fresh(q));
        Ok(fresh.then_some(terms))
    }

    /// The payee counts from sending: leave it a tenth for the way.
    pub(super) fn is_fresh(&self, quote: &Quote) -> bool {
        let ttl = Duration::from_millis(u64::from(quote.terms.ttl_secs) * 900);
        quote.received + ttl >= self.now
    }

    /// The most that may be signed for a block on this connection: the account's ceiling or the title's, whichever
    /// is lower.
    pub(super) fn ceiling_of(&self, c: &Conn) -> FineUnits {
        self.config.ceiling.min(c.max_price)
    }

    /// A range that this payee has already, and that no connection uses, or (`held`) that another one occupies.
    fn reusable(&self, conn: ConnectionId, c: &Conn, terms: &Terms, held: bool) -> Option<u32> {
        let mut ranges = self.account.as_ref()?.ranges.values();
        let found = ranges
            .find(|r| self.may_have(conn, c, terms, r, held) && !self.is_behind(conn, c, r, held));
        found.map(|r| r.first)
    }

    /// Whether the range is this payee's, has steps left, and is free or (`held`) occupied.
    fn may_have(
        &self,
        conn: ConnectionId,
        c: &Conn,
        terms: &Terms,
        r: &PayerRange,
        held: bool,
    ) -> bool {
        let is_free = || match r.conn {
            None => !held,
            Some(holder) => held && self.sits_on(holder, r, c),
        };
        let book = || (self.sellers).get(&Seller::new(terms.payee, conn, &c.info));
        let suits = |account: &PayerAccount| {
            let tranche = account.info.tranche;
            voucher::range_cap(r.count, tranche) >= terms.min_range && !r.is_used_up(tranche)
        };
        r.payee == terms.payee
            && r.content == terms.content
            && !r.refused
            && is_free()
            && !book().is_some_and(|b| b.closed.contains(&r.first))
            && self.usable(r, terms.unit) > 0
            && self.account.as_ref().is_some_and(suits)
    }

    /// Whether another peer under the same payee's name is to have the range first. Peers that were promised nothing
    /// yet have it in the order in which they came, before those that had one and let it go. A peer that sold on it is
    /// behind nobody.
    fn is_behind(&self, conn: ConnectionId, c: &Conn, r: &PayerRange, held: bool) -> bool {
        let had_one = |conn: ConnectionId, c: &Conn| {
            let seller = Seller::new(r.payee, conn, &c.info);
            self.sellers.contains_key(&seller)
        };
        let had = had_one(conn, c);
        let is_before = |(other, o): (&ConnectionId, &Conn)| {
            *other != conn
                && (had || *other < conn)
                && !had_one(*other, o)
                && (self.waiting_terms(o))
                    .is_some_and(|terms| self.may_have(*other, o, &terms, r, held))
        };
        !self.was_first_to_sell(conn, r.first) && self.conns.iter().any(is_before)
    }

    /// Whether a peer that is not known to be the payee keeps the range from another, and brings too little for that.
    fn sits_on(&self, holder: ConnectionId, range: &PayerRange, other: &Conn) -> bool {
        let brought = |h: &Conn| (h.ledger.paid).saturating_add(h.ledger.received_unpaid().into());
        !self.may_end(holder, range.first)
            && self.conns.get(&holder).is_some_and(|h| {
                h.info.address != other.info.address && range.is_held_for_long(self.now, brought(h))
            })
    }

    fn new_range(&self, conn: ConnectionId, c: &Conn, terms: &Terms) -> Result<Choice, Refusal> {
        let account = self.account.as_ref().ok_or(Refusal::NoAccount)?;
        let book = (self.sellers).get(&Seller::new(terms.payee, conn, &c.info));
        if book.is_some_and(|b| b.closed.len() >= MAX_WASTED_RANGES) {
            return Err(Refusal::ClosesEarly);
        }
        // Ranges that the payee's name filled earlier show that the payee exists, not that this peer is it.
        let tranche = account.info.tranche;
        let of_payee = || (account.ranges.values()).filter(|r| r.payee == terms.payee);
        let known = of_payee().any(|r| r.is_used_up(tranche));
        let filled = book.map_or(0, |b| b.filled).max(usize::from(known));
        let sizing: Sizing = policy::size_range(
            &self.config,
            tranche,
            terms,
            filled,
            account.unassigned(),
            self.budget_left(),
        )?;
        let idle = account.idle_ranges();
        let crowded = idle >= policy::most_idle(account.unassigned());
        // A peer under the name of a payee that sold before gets one range with it in a run, and no more until that is
        // used.
        let sold = of_payee().any(|r| !account.is_early(r.first))
            && !of_payee().any(|r| account.is_idle(r) && !r.was_closed_earlier());
        let served = sold || book.is_some_and(|b| b.served);
        let stranger = !served && (!c.delivered || crowded);
        let mut tried = account.tried_addresses();
        let same_address =
            !c.info.address.is_empty() && tried.any(|address| address == c.info.address);
        if stranger
            && (self.stands_behind(conn)
                || !self
                    .strangers
                    .allows(self.now, idle, account.unassigned(), same_address))
        {
            return Err(Refusal::FakePayeeLimit);
        }
        let (first, count) = policy::allocate(account.next, account.bound(), sizing)
            .ok_or(Refusal::DepositExhausted)?;
        Ok(Choice::New {
            first,
            count,
            stranger,
        })
    }

    /// Strangers that may get a range when their turn comes, one of each address: a peer with many connections is
    /// chosen no more often.
    fn waiting(&self) -> Vec<ConnectionId> {
        let Some(account) = &self.account else {
            return Vec::new();
        };
        let mut addresses: Set<&str> = account.tried_addresses().collect();
        (self.conns.iter())
            .filter(|(_, c)| self.waiting_terms(c).is_some())
            .filter(|(_, c)| c.info.address.is_empty() || addresses.insert(c.info.address.as_str()))
            .map(|(conn, _)| *conn)
            .collect()
    }

    /// The quote of a stranger that waits for its turn.
    fn waiting_terms(&self, c: &Conn) -> Option<Terms> {
        let (terms, quote) = (c.wanted_terms()?, c.quote.as_ref()?);
        let waits = quote.refused == Some(Refusal::FakePayeeLimit) && self.is_fresh(quote);
        waits.then_some(terms)
    }

    /// Of the strangers that wait, chance chooses the next one. In the order of connection, useless ones that came
    /// first would keep all others out, and a peer that connects in the right moment would be before all that wait.
    pub(super) fn draw_stranger(&mut self) {
        let waiting = self.waiting();
        self.drawn = match waiting.len() {
            0 => None,
            len => waiting.get(self.rng.next_u32() as usize % len).copied(),
        };
    }

    /// Others wait for the turn that this one wants.
    fn stands_behind(&self, conn: ConnectionId) -> bool {
        self.drawn != Some(conn) && self.waiting().iter().any(|other| *other != conn)
    }

    fn refuse(&mut self, conn: ConnectionId, why: Refusal) {
        let now = self.now;
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if why == Refusal::FakePayeeLimit {
            // Tried again when the next slot comes, at least a second from now.
            let slot = self.strangers.next_slot(now);
            c.next_commit = slot.max(now + Duration::from_secs(1));
        }
        if why == Refusal::ClosesEarly {
            c.next_commit = now + LOOK_SPACING;
            self.look(conn);
        }
        let Some(quote) = self.conns.get_mut(&conn).and_then(|c| c.quote.as_mut()) else {
            return;
        };
        if quote.refused.replace(why) == Some(why) {
            return;
        }
        self.event(PayEvent::Refused { conn, why });
        let once = match why {
            Refusal::BudgetExhausted if !self.said_budget => {
                self.said_budget = true;
                PayEvent::BudgetExhausted
            }
            Refusal::DepositExhausted if !self.said_deposit => {
                self.said_deposit = true;
                PayEvent::DepositExhausted
            }
            _ => return,
        };
        self.event(once);
    }

    /// This seller sold something: it does not wait any longer for the turn that it was put off to as a stranger. The
    /// wait would count against it.
    pub(super) fn proved(&mut self, conn: ConnectionId) {
        let now = self.now;
        if let Some(c) = self.conns.get_mut(&conn)
            && let Some(quote) = &c.quote
            && quote.refused == Some(Refusal::FakePayeeLimit)
        {
            c.next_commit = c.next_commit.min(now);
        }
    }

    /// Asks the chain whether the ranges that this seller closed early are consumed: then it redeemed them, and nothing
    /// is held against it.
    fn look(&mut self, conn: ConnectionId) {
        let now = self.now;
        let Some(account) = self.account_id() else {
            return;
        };
        // By the name in its quote, because one that connected anew was promised nothing here yet.
        let seller = (self.conns.get(&conn))
            .and_then(|c| Some(Seller::new(c.quote.as_ref()?.terms.payee, conn, &c.info)));
        let book = seller.and_then(|seller| self.sellers.get_mut(&seller));
        let Some(book) = book.filter(|b| b.look_at <= now) else {
            return;
        };
        book.look_at = now + LOOK_SPACING;
        let words: Set<u64> = book.closed.iter().map(|f| u64::from(*f) >> 8).collect();
        for word in words.iter().copied() {
            let task = PayerTask::Look { account, word };
            self.out.read(account, word, task);
        }
    }
}
