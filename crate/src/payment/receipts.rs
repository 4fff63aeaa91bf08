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

use alloy_primitives::{Address, B256};
use bytes::{BufMut, Bytes, BytesMut};

use super::record::{self, Key, PayeeFactsRecord, PayeeRangeRecord, PayerRangeRecord};
use super::voucher::Vault;
use crate::sorted::{Map, Set};
use crate::time::Timestamp;
use crate::types::{FineUnits, InfoHash, TokenUnits};
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
    fn day(now: Timestamp) -> u32 {
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

    fn text(self) -> String {
        match self {
            Period::Earlier => "e".to_owned(),
            Period::Month(month) => format!("m{month:010}"),
            Period::Day(day) => format!("d{day:010}"),
        }
    }

    fn parse(text: &str) -> Option<Period> {
        let number = text.get(1..)?;
        let period = match text.get(..1)? {
            "e" => Period::Earlier,
            "m" => Period::Month(number.parse().ok()?),
            "d" => Period::Day(number.parse().ok()?),
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

/// The lines of one title (or none), by peer.
type Lines = Map<Address, Line>;

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
        let ascends = (lines.last_key_value()).is_none_or(|(last, _)| *last < peer);
        if !ascends || lines.len() > MAX_PEERS {
            return None;
        }
        lines.insert(peer, line);
    }
    Some(lines)
}

/// Adds to a peer's line, or to the one that further peers share.
fn add(lines: &mut Lines, peer: Address, more: Line) {
    let own = lines.len() - usize::from(lines.contains_key(&Address::ZERO));
    let peer = match lines.contains_key(&peer) || own < MAX_PEERS {
        true => peer,
        false => Address::ZERO,
    };
    let line = lines.entry(peer).or_default();
    line.count = line.count.saturating_add(more.count);
    line.amount = line.amount.saturating_add(more.amount);
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
    /// What the facts of buyers' accounts say, and whose they are.
    redeemed: Map<B256, TokenUnits>,
    owners: Map<B256, Address>,
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
            redeemed: Map::new(),
            owners: Map::new(),
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
        receipts.buyer.sum_up();
        receipts.seller.sum_up();
        receipts
    }

    /// Notes what a record says; the answer is the title, and by how much that is more, or less, than the one before.
    fn learn(&mut self, noted: &Noted, title: Option<InfoHash>) -> (Option<InfoHash>, u128, u128) {
        let known = match *noted {
            Noted::Bought(id, first, ..) => self.bought.entry((id, first)).or_default(),
            Noted::Sold(id, first, owner, ..) => {
                self.owners.insert(id, owner);
                self.sold.entry((id, first)).or_default()
            }
            Noted::Redeemed(id, redeemed) => {
                let before = self.redeemed.insert(id, redeemed).unwrap_or(TokenUnits(0));
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
        if more == 0 && less == 0 {
            return Changes::new();
        }
        let (kind, peer, count) = match noted {
            Noted::Bought(_, _, payee, _, unit) => (Kind::Bought, payee, more.checked_div(unit.0)),
            Noted::Sold(_, _, owner, _, unit) => (Kind::Sold, owner, more.checked_div(unit.0)),
            Noted::Redeemed(id, _) => {
                let owner = self.owners.get(&id).copied().unwrap_or(Address::ZERO);
                (Kind::Redeemed, owner, Some(1))
            }
        };
        let book = match kind {
            Kind::Bought => &mut self.buyer,
            Kind::Sold | Kind::Redeemed | Kind::Fees => &mut self.seller,
        };
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

    /// One side paid gas for a transaction, in the smallest unit of the chain's coin.
    pub fn fee(&mut self, now: Timestamp, side: Side, amount: u128) -> Changes {
        let book = self.book(side);
        let mut changed = book.turn(now);
        changed.insert(book.add_today(Kind::Fees, None, Address::ZERO, Line { count: 1, amount }));
        book.changes(changed)
    }

    /// A batch of one side's machine failed: its lines of today go into the next one again.
    pub fn failed(&mut self, side: Side) {
        self.book(side).failed();
    }

    /// Deletes one side's lines.
    pub fn clear(&mut self, side: Side) -> Changes {
        self.book(side).clear()
    }

    /// All lines, the oldest first.
    pub fn lines(&self) -> Vec<Receipt> {
        let mut all = self.buyer.lines();
        all.extend(self.seller.lines());
        all.sort_by_key(|line| line.period);
        all
    }

    /// The names of the titles in the lines, as they were when they were first bought or sold. They come from
    /// strangers.
    pub fn names(&self) -> Map<InfoHash, String> {
        self.buyer.names().chain(self.seller.names()).collect()
    }

    /// What was paid and received for a title, all runs included.
    pub fn of_title(&self, title: InfoHash) -> (FineUnits, FineUnits) {
        let of = |book: &Book| book.titles.get(&title).copied().unwrap_or_default();
        (of(&self.buyer), of(&self.seller))
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
    /// What was paid or received for each title.
    titles: Map<InfoHash, FineUnits>,
    /// The day that was folded up to.
    today: u32,
    /// Lines that a failed batch held: the next batch holds them again.
    unstored: Set<String>,
}

impl Book {
    fn new(home: String) -> Book {
        Book {
            home,
            records: Map::new(),
            titles: Map::new(),
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

    fn failed(&mut self) {
        let of_today = format!("{}{}/", self.home, Period::Day(self.today).text());
        let keys: Vec<String> = (self.keys_from(&of_today).cloned()).collect();
        self.unstored.extend(keys);
    }

    fn clear(&mut self) -> Changes {
        let keys = core::mem::take(&mut self.records).into_keys();
        self.unstored.clear();
        self.titles.clear();
        keys.map(|key| (key, None)).collect()
    }

    fn lines(&self) -> Vec<Receipt> {
        let mut all = Vec::new();
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
        all
    }

    fn names(&self) -> impl Iterator<Item = (InfoHash, String)> {
        let prefix = self.name_key("");
        let named = move |(key, value): (&String, &Bytes)| {
            let title = InfoHash::from_hex(key.strip_prefix(&prefix)?)?;
            Some((title, String::from_utf8_lossy(value).into_owned()))
        };
        self.records.iter().filter_map(named)
    }

    fn sum_up(&mut self) {
        let mut titles = Map::new();
        for (key, value) in &self.records {
            if let Some((_, _, Some(title))) = self.parse(key) {
                let lines = decode(value).unwrap_or_default();
                let sum = (lines.values()).fold(0u128, |sum, line| sum.saturating_add(line.amount));
                let so_far: &mut FineUnits = titles.entry(title).or_default();
                so_far.0 = so_far.0.saturating_add(sum);
            }
        }
        self.titles = titles;
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
        self.sum_up();
        self.forget_names(&mut changed);
        changed
    }

    /// Names of titles that no line has any more.
    fn forget_names(&mut self, changed: &mut Set<String>) {
        let unused: Vec<InfoHash> = (self.names())
            .map(|(title, _)| title)
            .filter(|title| !self.titles.contains_key(title))
            .collect();
        for title in unused {
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
        if let Some((_, _, Some(title))) = self.parse(&key) {
            let so_far = self.titles.entry(title).or_default();
            so_far.0 = so_far.0.saturating_add(more.amount);
        }
        self.records.insert(key.clone(), encode(&lines));
        key
    }

    /// A chain that was rolled back took a redemption with it, or a record says less than the one before: the newest
    /// lines of that peer lose as much.
    fn take_back(&mut self, kind: Kind, peer: Address, less: u128, changed: &mut Set<String>) {
        let mut rest = less;
        let mut keys: Vec<(Period, String)> = (self.records.keys())
            .filter_map(|key| {
                let (period, of, _) = self.parse(key)?;
                (of == kind).then(|| (period, key.clone()))
            })
            .collect();
        keys.sort();
        while rest > 0
            && let Some((_, key)) = keys.pop()
        {
            let Some(mut lines) = self.records.get(&key).and_then(|value| decode(value)) else {
                continue;
            };
            let Some(line) = lines.get_mut(&peer) else {
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
        }
        self.sum_up();
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
