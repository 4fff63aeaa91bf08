//! The account of what was bought, sold, redeemed and paid for gas: a line for each day, title and peer.
//!
//! Invariant: the lines say what the machines' own records say, to the last unit and over every kill. A line grows by
//! what the record of a range grew by, and both go into one batch, which is stored whole or not at all. So a sum that a
//! kill takes from a range is in no line, and a sum that the other side brings back comes into one.
//!
//! The lines are bounded: of the last [`DAYS`] days each has its own, then each month, and after [`MONTHS`] all are
//! one. In each of these at most so many titles, and for each title so many peers, have lines of their own; the rest
//! shares one. Never read by a machine: no payment depends on them.

use core::fmt;
use std::collections::VecDeque;

use alloy_primitives::{Address, B256};
use bytes::{BufMut, Bytes, BytesMut};

use super::record::{self, Key, PayeeFactsRecord, PayeeRangeRecord, PayerRangeRecord};
use super::voucher::Vault;
use crate::sorted::{Map, Set};
use crate::time::Timestamp;
use crate::types::{EffectId, FineUnits, InfoHash, TokenUnits};
use crate::wire::pay::Reader;

/// The beginning of the keys of all lines.
pub const PREFIX: &str = "history/";
/// The beginning of the keys of a buyer's lines: an edge that keeps a buyer's records apart keeps these with them.
pub const BUYER_PREFIX: &str = "history/payer/";
/// Days that have lines of their own, today among them.
pub const DAYS: u32 = 62;
/// Months that have lines of their own after that.
pub const MONTHS: u32 = 120;
/// Titles of a day or month, on one side, that have lines of their own.
pub const MAX_TITLES: usize = 128;
/// Peers of a title, in a day or month, that have lines of their own.
pub const MAX_PEERS: usize = 32;
/// Transactions that are known to be counted, so that gas which several pages report counts once. Pages that follow one
/// transaction see its end within seconds of each other.
pub const MAX_COUNTED: usize = 64;
/// Bytes of a title's name that are kept.
const MAX_NAME: usize = 120;
const VERSION: u8 = 1;
const SECONDS_OF_A_DAY: u64 = 86_400;

/// The time that a line is about, by the calendar of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// Before all months that have lines of their own.
    Earlier,
    /// A month: twelve times the year, and 0 for January to 11 for December.
    Month(u32),
    /// A day: the number of days since 1 January 1970.
    Day(u32),
}

impl Period {
    /// The number of the day at a time.
    pub fn day(now: Timestamp) -> u32 {
        u32::try_from(now.as_secs() / SECONDS_OF_A_DAY).unwrap_or(u32::MAX)
    }

    /// Year, month (0 is January) and day (from 1) of a day since 1 January 1970.
    fn calendar(day: u32) -> (u64, u64, u64) {
        // Years begin in March, so that the leap day is the last of its year, and each era has 400 years.
        let days = u64::from(day) + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let months = (era * 400 + year) * 12 + from_march + 2;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        (months / 12, months % 12, day)
    }

    /// The month of a day.
    fn month(day: u32) -> u32 {
        let (year, month, _) = Period::calendar(day);
        u32::try_from(year * 12 + month).unwrap_or(u32::MAX)
    }

    /// Its part of a key. Texts are in the order of time.
    fn text(self) -> String {
        match self {
            Period::Earlier => "a".to_owned(),
            Period::Month(month) => format!("b{month:010}"),
            Period::Day(day) => format!("c{day:010}"),
        }
    }

    fn parse(text: &str) -> Option<Period> {
        let number = text.get(1..)?;
        let period = match text.get(..1)? {
            "a" => Period::Earlier,
            "b" => Period::Month(number.parse().ok()?),
            "c" => Period::Day(number.parse().ok()?),
            _ => return None,
        };
        (period.text() == text).then_some(period)
    }
}

impl fmt::Display for Period {
    /// `2026-11-30`, `2026-11`, or `earlier`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Period::Earlier => f.write_str("earlier"),
            Period::Month(month) => write!(f, "{}-{:02}", month / 12, month % 12 + 1),
            Period::Day(day) => {
                let (year, month, day) = Period::calendar(*day);
                write!(f, "{year}-{:02}-{day:02}", month + 1)
            }
        }
    }
}

/// What a line counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Bought,
    Sold,
    Redeemed,
    Fees,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Bought, Kind::Sold, Kind::Redeemed, Kind::Fees];

    fn text(self) -> &'static str {
        match self {
            Kind::Bought => "bought",
            Kind::Sold => "sold",
            Kind::Redeemed => "redeemed",
            Kind::Fees => "fees",
        }
    }
}

/// The sum of a line, in its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// Revealed to a seller.
    Bought(FineUnits),
    /// Received from a buyer, redeemed or not.
    Sold(FineUnits),
    /// Paid by the vault for a buyer's vouchers.
    Redeemed(TokenUnits),
    /// Paid for gas, in the smallest unit of the chain's coin.
    Fees(u128),
}

/// One line of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The day, the month, or all the time before.
    pub period: Period,
    /// `None`: not of one title, or of titles that share a line.
    pub title: Option<InfoHash>,
    /// The payee that was paid, or the owner of the buyer's account. `None`: of peers that share a line, or of none.
    pub peer: Option<Address>,
    /// Blocks that were bought or sold, ranges that were redeemed, or transactions.
    pub count: u64,
    /// The sum.
    pub sum: Sum,
}

/// A count and its sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Line {
    count: u64,
    amount: u128,
}

/// The lines of one title (or none), each peer's once: at most [`MAX_PEERS`], and the one that others share.
type Lines = Vec<(Address, Line)>;

fn encode(lines: &Lines) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + lines.len() * 44);
    out.put_u8(VERSION);
    for (peer, line) in lines {
        out.put_slice(peer.as_slice());
        out.put_u64(line.count);
        out.put_u128(line.amount);
    }
    out.freeze()
}

/// The lines in a record; `None` if it is not one.
fn decode(record: &[u8]) -> Option<Lines> {
    let mut r = Reader(record);
    if r.u8()? != VERSION {
        return None;
    }
    let mut lines = Lines::new();
    while !r.0.is_empty() {
        let peer = r.address()?;
        let line = Line {
            count: r.u64()?,
            amount: r.u128()?,
        };
        if lines.len() > MAX_PEERS || lines.iter().any(|(known, _)| *known == peer) {
            return None;
        }
        lines.push((peer, line));
    }
    Some(lines)
}

/// Adds to a peer's line, or to the one that further peers share.
fn add(lines: &mut Lines, peer: Address, more: Line) {
    let at = |lines: &Lines, peer| lines.iter().position(|(known, _)| *known == peer);
    let shared = at(lines, Address::ZERO);
    let has_room = lines.len() - usize::from(shared.is_some()) < MAX_PEERS;
    let found = match (at(lines, peer), has_room) {
        (None, true) => None,
        (None, false) => shared,
        (found, _) => found,
    };
    let at = found.unwrap_or_else(|| {
        let peer = if has_room { peer } else { Address::ZERO };
        lines.push((peer, Line::default()));
        lines.len() - 1
    });
    if let Some((_, line)) = lines.get_mut(at) {
        line.count = line.count.saturating_add(more.count);
        line.amount = line.amount.saturating_add(more.amount);
    }
}

/// What the last record of a range said.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    amount: FineUnits,
    title: Option<InfoHash>,
}

/// A record of a machine, as far as the account is concerned.
enum Noted {
    Bought(B256, u32, Address, FineUnits, FineUnits),
    Sold(B256, u32, Address, FineUnits, FineUnits),
    Redeemed(B256, TokenUnits),
}

fn noted(key: Key, value: &[u8]) -> Option<Noted> {
    Some(match key {
        Key::PayerRange(id, first) => {
            let r = PayerRangeRecord::decode(value)?;
            Noted::Bought(id, first, r.payee, r.paid, r.unit)
        }
        Key::PayeeRange(id, first) => {
            let r = PayeeRangeRecord::decode(value)?;
            let owed = r.voucher.owed_at(r.k);
            Noted::Sold(id, first, r.voucher.owner, owed, r.voucher.unit)
        }
        Key::PayeeFacts(id) => Noted::Redeemed(id, PayeeFactsRecord::decode(value)?.redeemed),
        _ => return None,
    })
}

/// Records to be put (`Some`) or deleted.
pub type Changes = Vec<(String, Option<Bytes>)>;

/// The side of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that pays.
    Buyer,
    /// The one that is paid.
    Seller,
}

/// The account of one client at one vault.
#[derive(Debug)]
pub struct Receipts {
    vault: Vault,
    /// Each side's lines go into the batches of its own machine alone.
    buyer: Book,
    seller: Book,
    /// What the records of ranges say: of those that this client bought, and of those that it sold.
    bought: Map<(B256, u32), Known>,
    sold: Map<(B256, u32), Known>,
    /// The owners of buyers' accounts, and what the accounts' facts say: of those that the seller's machine remembers.
    /// These are at most `payee::MAX_ACCOUNTS` and `payee::MAX_PAST`, and it says which it forgets.
    accounts: Map<B256, (Address, TokenUnits)>,
    /// The transactions whose gas was counted last, at most [`MAX_COUNTED`].
    counted: VecDeque<B256>,
    /// The lines of each batch that is not known to be stored.
    under_way: Map<EffectId, (Side, Vec<String>)>,
}

impl Receipts {
    /// Takes up the account from the client's records, those of the machines included.
    pub fn new<'a>(
        vault: Vault,
        records: impl Iterator<Item = (&'a String, &'a Bytes)>,
    ) -> Receipts {
        let home = record::home(&vault);
        let mut receipts = Receipts {
            buyer: Book::new(format!("{BUYER_PREFIX}{home}/")),
            seller: Book::new(format!("{PREFIX}payee/{home}/")),
            vault,
            bought: Map::new(),
            sold: Map::new(),
            accounts: Map::new(),
            counted: VecDeque::new(),
            under_way: Map::new(),
        };
        for (key, value) in records {
            if receipts.buyer.takes_up(key, value) || receipts.seller.takes_up(key, value) {
                continue;
            }
            let parsed = Key::parse(key, &receipts.vault);
            if let Some(noted) = parsed.and_then(|key| noted(key, value)) {
                receipts.learn(&noted, None);
            }
        }
        receipts
    }

    /// Notes what a record says; the answer is the title, and by how much that is more, or less, than the one before.
    fn learn(&mut self, noted: &Noted, title: Option<InfoHash>) -> (Option<InfoHash>, u128, u128) {
        let known = match *noted {
            Noted::Bought(id, first, ..) => self.bought.entry((id, first)).or_default(),
            Noted::Sold(id, first, owner, ..) => {
                self.accounts.entry(id).or_default().0 = owner;
                self.sold.entry((id, first)).or_default()
            }
            Noted::Redeemed(id, redeemed) => {
                let known = &mut self.accounts.entry(id).or_default().1;
                let before = core::mem::replace(known, redeemed);
                let more = redeemed.0.saturating_sub(before.0);
                return (None, more, before.0.saturating_sub(redeemed.0));
            }
        };
        let (Noted::Bought(.., amount, _) | Noted::Sold(.., amount, _)) = *noted else {
            return (None, 0, 0);
        };
        known.title = title.or(known.title);
        let more = amount.0.saturating_sub(known.amount.0);
        let less = known.amount.0.saturating_sub(amount.0);
        known.amount = amount;
        (known.title, more, less)
    }

    /// A machine puts or deletes a record: the records that go into the same batch. `title` is the one that the range
    /// is attached to, with its name.
    pub fn follow(
        &mut self,
        now: Timestamp,
        key: &str,
        value: Option<&[u8]>,
        title: Option<(InfoHash, &str)>,
    ) -> Changes {
        let Some(parsed) = Key::parse(key, &self.vault) else {
            return Changes::new();
        };
        let Some(value) = value else {
            match parsed {
                Key::PayerRange(id, first) => self.bought.remove(&(id, first)),
                Key::PayeeRange(id, first) => self.sold.remove(&(id, first)),
                _ => None,
            };
            return Changes::new();
        };
        let Some(noted) = noted(parsed, value) else {
            return Changes::new();
        };
        let (of, more, less) = self.learn(&noted, title.map(|(hash, _)| hash));
        let side = match noted {
            Noted::Bought(..) => Side::Buyer,
            Noted::Sold(..) | Noted::Redeemed(..) => Side::Seller,
        };
        if more == 0 && less == 0 {
            // A record that is put again after a failure brings its line with it.
            return self.book(side).unstored_changes();
        }
        let (kind, peer, count) = match noted {
            Noted::Bought(_, _, payee, _, unit) => (Kind::Bought, payee, more.checked_div(unit.0)),
            Noted::Sold(_, _, owner, _, unit) => (Kind::Sold, owner, more.checked_div(unit.0)),
            Noted::Redeemed(id, _) => {
                let (owner, _) = self.accounts.get(&id).copied().unwrap_or_default();
                (Kind::Redeemed, owner, Some(1))
            }
        };
        let book = self.book(side);
        let mut changed = book.turn(now);
        if more > 0 {
            let line = Line {
                count: u64::try_from(count.unwrap_or(0)).unwrap_or(u64::MAX),
                amount: more,
            };
            changed.insert(book.add_today(kind, of, peer, line));
            if let Some((hash, name)) = title.filter(|(hash, _)| Some(*hash) == of) {
                changed.extend(book.name(hash, name));
            }
        }
        if less > 0 {
            book.take_back(kind, peer, less, &mut changed);
        }
        book.changes(changed)
    }

    /// The seller's machine remembers this account no more. If the account comes back, its facts begin anew there, and
    /// so do its sums here.
    pub fn forget(&mut self, account: B256) {
        self.accounts.remove(&account);
    }

    /// How many accounts it knows.
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// One side paid gas for a transaction, in the smallest unit of the chain's coin. It counts once, however often it
    /// is said.
    pub fn fee(&mut self, now: Timestamp, side: Side, transaction: B256, amount: u128) -> Changes {
        if self.counted.contains(&transaction) {
            return Changes::new();
        }
        if self.counted.len() >= MAX_COUNTED {
            self.counted.pop_front();
        }
        self.counted.push_back(transaction);
        let book = self.book(side);
        let mut changed = book.turn(now);
        changed.insert(book.add_today(Kind::Fees, None, Address::ZERO, Line { count: 1, amount }));
        book.changes(changed)
    }

    /// A batch with these lines of one side leaves as this effect.
    pub fn leave(&mut self, effect: EffectId, side: Side, lines: &Changes) {
        if !lines.is_empty() {
            let keys = lines.iter().map(|(key, _)| key.clone()).collect();
            self.under_way.insert(effect, (side, keys));
        }
    }

    /// An effect ended. The lines of a batch that failed go into the next one of their side again.
    pub fn ended(&mut self, effect: EffectId, ok: bool) {
        if let Some((side, keys)) = self.under_way.remove(&effect)
            && !ok
        {
            self.book(side).unstored.extend(keys);
        }
    }

    /// Deletes one side's lines.
    pub fn clear(&mut self, side: Side) -> Changes {
        self.book(side).clear()
    }

    /// All lines: the buyer's, then the seller's, the oldest of each first.
    pub fn lines(&self) -> Vec<Receipt> {
        let mut all = Vec::new();
        self.buyer.lines(&mut all);
        self.seller.lines(&mut all);
        all
    }

    /// The names of the titles in the lines, as they were when they were first bought or sold. They come from
    /// strangers.
    pub fn names(&self) -> Vec<(InfoHash, String)> {
        let mut names = self.buyer.names();
        names.extend(self.seller.names());
        names
    }

    /// What was paid and received for a title, all runs included.
    pub fn of_title(&self, title: InfoHash) -> (FineUnits, FineUnits) {
        (self.buyer.of_title(title), self.seller.of_title(title))
    }

    fn book(&mut self, side: Side) -> &mut Book {
        match side {
            Side::Buyer => &mut self.buyer,
            Side::Seller => &mut self.seller,
        }
    }
}

/// The lines of one side.
#[derive(Debug)]
struct Book {
    /// The beginning of its keys.
    home: String,
    /// The lines and the titles' names, as they were put.
    records: Map<String, Bytes>,
    /// The day that was folded up to.
    today: u32,
    /// Lines of failed batches, deleted ones too: the next batch holds them again.
    unstored: Set<String>,
}

impl Book {
    fn new(home: String) -> Book {
        Book {
            home,
            records: Map::new(),
            today: 0,
            unstored: Set::new(),
        }
    }

    /// Whether a record of an earlier run is one of this book's.
    fn takes_up(&mut self, key: &str, value: &Bytes) -> bool {
        let is_own = key.starts_with(&self.home);
        if is_own {
            self.records.insert(key.to_owned(), value.clone());
        }
        is_own
    }

    fn unstored_changes(&mut self) -> Changes {
        let keys = core::mem::take(&mut self.unstored);
        self.changes(keys)
    }

    fn clear(&mut self) -> Changes {
        let mut keys: Set<String> = core::mem::take(&mut self.records).into_keys().collect();
        keys.extend(core::mem::take(&mut self.unstored));
        self.changes(keys)
    }

    fn lines(&self, all: &mut Vec<Receipt>) {
        for (key, value) in &self.records {
            let (Some((period, kind, title)), Some(lines)) = (self.parse(key), decode(value))
            else {
                continue;
            };
            all.extend(lines.iter().map(|(peer, line)| Receipt {
                period,
                title,
                peer: (*peer != Address::ZERO).then_some(*peer),
                count: line.count,
                sum: match kind {
                    Kind::Bought => Sum::Bought(FineUnits(line.amount)),
                    Kind::Sold => Sum::Sold(FineUnits(line.amount)),
                    Kind::Redeemed => Sum::Redeemed(TokenUnits(line.amount)),
                    Kind::Fees => Sum::Fees(line.amount),
                },
            }));
        }
    }

    fn names(&self) -> Vec<(InfoHash, String)> {
        let prefix = self.name_key("");
        let named = |key: &String| {
            let title = InfoHash::from_hex(key.strip_prefix(&prefix)?)?;
            let name = String::from_utf8_lossy(self.records.get(key)?);
            Some((title, name.into_owned()))
        };
        self.keys_from(&prefix).filter_map(named).collect()
    }

    fn of_title(&self, title: InfoHash) -> FineUnits {
        let ending = format!("/{title}");
        let mut sum = FineUnits(0);
        for (key, value) in &self.records {
            if key.ends_with(&ending) && self.parse(key).is_some() {
                for (_, line) in decode(value).unwrap_or_default() {
                    sum.0 = sum.0.saturating_add(line.amount);
                }
            }
        }
        sum
    }

    fn key(&self, period: Period, kind: Kind, title: Option<InfoHash>) -> String {
        let start = format!("{}{}/{}", self.home, period.text(), kind.text());
        match (kind, title) {
            (Kind::Bought | Kind::Sold, Some(title)) => format!("{start}/{title}"),
            (Kind::Bought | Kind::Sold, None) => format!("{start}/"),
            (Kind::Redeemed | Kind::Fees, _) => start,
        }
    }

    fn name_key(&self, title: &str) -> String {
        format!("{}name/{title}", self.home)
    }

    fn parse(&self, key: &str) -> Option<(Period, Kind, Option<InfoHash>)> {
        let mut parts = key.strip_prefix(&self.home)?.splitn(3, '/');
        let period = Period::parse(parts.next()?)?;
        let kind = parts.next()?;
        let kind = Kind::ALL.into_iter().find(|known| known.text() == kind)?;
        let title = match (kind, parts.next()) {
            (Kind::Bought | Kind::Sold, Some("")) | (Kind::Redeemed | Kind::Fees, None) => None,
            (Kind::Bought | Kind::Sold, Some(title)) => Some(InfoHash::from_hex(title)?),
            _ => return None,
        };
        (self.key(period, kind, title) == key).then_some((period, kind, title))
    }

    fn keys_from<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a String> {
        (self.records.range(prefix.to_owned()..))
            .map(|(key, _)| key)
            .take_while(move |key| key.starts_with(prefix))
    }

    /// A day begins: old days become months, and old months one sum.
    fn turn(&mut self, now: Timestamp) -> Set<String> {
        let mut changed = core::mem::take(&mut self.unstored);
        let today = Period::day(now);
        if today == self.today {
            return changed;
        }
        self.today = today;
        let month = Period::month(today);
        let old: Vec<(String, Period, Kind, Option<InfoHash>)> = (self.records.keys())
            .filter_map(|key| {
                let (period, kind, title) = self.parse(key)?;
                let into = match period {
                    Period::Day(day) if day.saturating_add(DAYS) <= today => {
                        let month_of = Period::month(day);
                        match month_of.saturating_add(MONTHS) <= month {
                            true => Period::Earlier,
                            false => Period::Month(month_of),
                        }
                    }
                    Period::Month(of) if of.saturating_add(MONTHS) <= month => Period::Earlier,
                    _ => return None,
                };
                Some((key.clone(), into, kind, title))
            })
            .collect();
        for (key, into, kind, title) in old {
            let lines = self.records.remove(&key).and_then(|value| decode(&value));
            for (peer, line) in &lines.unwrap_or_default() {
                changed.insert(self.add(into, kind, title, *peer, *line));
            }
            changed.insert(key);
        }
        self.forget_names(&mut changed);
        changed
    }

    /// Names of titles that no line has any more.
    fn forget_names(&mut self, changed: &mut Set<String>) {
        let mut unused = self.names();
        unused.retain(|(title, _)| {
            let ending = format!("/{title}");
            let has_line = |key: &String| key.ends_with(&ending) && self.parse(key).is_some();
            !self.records.keys().any(has_line)
        });
        for (title, _) in unused {
            let key = self.name_key(&title.to_string());
            self.records.remove(&key);
            changed.insert(key);
        }
    }

    fn add_today(
        &mut self,
        kind: Kind,
        title: Option<InfoHash>,
        peer: Address,
        more: Line,
    ) -> String {
        self.add(Period::Day(self.today), kind, title, peer, more)
    }

    /// Adds to a line; the answer is the key of its record.
    fn add(
        &mut self,
        period: Period,
        kind: Kind,
        title: Option<InfoHash>,
        peer: Address,
        more: Line,
    ) -> String {
        let mut key = self.key(period, kind, title);
        if title.is_some() && !self.records.contains_key(&key) {
            let all = self.key(period, kind, None);
            let titles = self.keys_from(&all).filter(|key| **key != all).count();
            if titles >= MAX_TITLES {
                key = all;
            }
        }
        // A record of another version is left alone, and its title has no line this time.
        let Some(mut lines) =
            (self.records.get(&key)).map_or_else(|| Some(Lines::new()), |value| decode(value))
        else {
            return key;
        };
        add(&mut lines, peer, more);
        self.records.insert(key.clone(), encode(&lines));
        key
    }

    /// A chain that was rolled back took a redemption with it, or a record says less than the one before: the newest
    /// lines of that peer lose as much.
    fn take_back(&mut self, kind: Kind, peer: Address, less: u128, changed: &mut Set<String>) {
        let mut rest = less;
        let keys: Vec<String> = (self.records.keys().rev())
            .filter(|key| self.parse(key).is_some_and(|(_, of, _)| of == kind))
            .cloned()
            .collect();
        for key in keys {
            let lines = self.records.get(&key).and_then(|value| decode(value));
            let mut lines = lines.unwrap_or_default();
            let Some((_, line)) = lines.iter_mut().find(|(of, _)| *of == peer) else {
                continue;
            };
            let taken = line.amount.min(rest);
            rest -= taken;
            line.amount -= taken;
            if kind == Kind::Redeemed {
                line.count = line.count.saturating_sub(1);
            }
            self.records.insert(key.clone(), encode(&lines));
            changed.insert(key);
            if rest == 0 {
                return;
            }
        }
    }

    /// Keeps the name of a title that has a line.
    fn name(&mut self, title: InfoHash, name: &str) -> Option<String> {
        let key = self.name_key(&title.to_string());
        if name.is_empty() || self.records.contains_key(&key) {
            return None;
        }
        let end = (0..=MAX_NAME.min(name.len())).rev();
        let end = end.into_iter().find(|end| name.is_char_boundary(*end))?;
        let name = name.get(..end)?;
        let value = Bytes::copy_from_slice(name.as_bytes());
        self.records.insert(key.clone(), value);
        Some(key)
    }

    /// The records of a batch.
    fn changes(&self, keys: Set<String>) -> Changes {
        (keys.into_iter())
            .map(|key| {
                let value = self.records.get(&key).cloned();
                (key, value)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
