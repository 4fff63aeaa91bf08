//! The pages that use this engine: their requests, the events that they hear, and the wallet reads that they lend.
//!
//! Every page speaks through a `MessagePort` of its own. `{t, id, ...}` is a request, and its answer is `{t: "ok", id,
//! v}` or `{t: "err", id, message}`. `{t: "event", e, ...}` goes to all pages. The types are in
//! `www/npm/src/protocol.ts`. The engine checks a page's messages like all bytes from outside.

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use futures_channel::oneshot;
use gloo_events::EventListener;
use gloo_timers::callback::Timeout;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::MessagePort;

use super::driver::Driver;
use super::{hex, js, seed, snapshot};
use crate::io::{
    AddOptions, CheckExisting, Claim, Command, Event, Input, Playhead, Priority, RedeemOutcome,
    RedeemScope, Side, Source,
};
use crate::payment::vault::{self, Log, Redemption};
use crate::payment::voucher;
use crate::sorted::{Map, Set};
use crate::types::{ConnectionId, FineUnits, InfoHash, TokenUnits};

/// Pages at once, at most; the oldest gives way.
const MAX_PAGES: usize = 64;
/// Events that are kept for the first page, at most.
const MAX_EARLY: usize = 64;
/// The time that a page may take for one wallet read.
const WALLET_TIMEOUT_MS: u32 = 10_000;
/// Trackers that are taken with one torrent, at most.
const MAX_TRACKERS: usize = 64;
/// Files that one message names, at most: more are in no torrent that is taken.
const MAX_FILES: usize = 131_072;
/// Logs that are taken of one receipt, at most, and then the bytes of each.
const MAX_LOGS: usize = 1024;
const MAX_LOG_BYTES: usize = 4096;
/// Torrents that are made at once, at most; the next `seed` request is refused.
const MAX_MAKING: usize = 64;
/// Players of one page, at most; further ones are ignored.
const MAX_PLAYERS: u64 = 1_000;
/// The lifetime of a redemption's signature.
const REDEEM_SECONDS: u64 = 3_600;
/// The time after which the claims of a redemption are given back. It is ten minutes longer, because the chain's clock
/// may be behind.
const REDEEM_VOID_MS: u32 = (REDEEM_SECONDS as u32 + 600) * 1_000;

/// The requests of an engine with payments.
const MONEY: &[&str] = &[
    "account",
    "accountId",
    "budget",
    "clearReceipts",
    "domainSeparator",
    "dust",
    "fee",
    "newSessionKey",
    "receipts",
    "redeem",
    "redeemed",
    "refresh",
];

type WalletAnswer = Result<String, String>;
type Answer = Result<JsValue, String>;

/// A `seed` request: its page, and its id.
pub type Making = (u64, u64);

/// All pages.
pub struct Pages {
    driver: Weak<Driver>,
    pages: RefCell<Map<u64, Page>>,
    next: Cell<u64>,
    /// Events from before the first page came. The first page gets them.
    early: RefCell<Option<Vec<JsValue>>>,
    /// `add` requests that the core has yet to answer, by tag.
    adding: RefCell<Map<u64, (u64, f64)>>,
    /// `seed` requests whose torrent is being made, and whether the page takes them back.
    making: RefCell<Map<Making, bool>>,
    /// `redeem` requests. The core prepares the claims of the first one, and those of the next one when these are
    /// handed out.
    redeeming: RefCell<VecDeque<Redeeming>>,
    /// Claims that are handed out and not yet reported on, by tag.
    claims: RefCell<Map<u64, Handed>>,
    wallet_reads: RefCell<Map<u64, oneshot::Sender<WalletAnswer>>>,
}

struct Page {
    port: MessagePort,
    has_wallet: bool,
    /// The torrents that the page added and did not leave. A torrent that no page uses is stopped.
    torrents: Set<InfoHash>,
    /// What its players play.
    playing: Map<u64, InfoHash>,
    _on_message: EventListener,
}

struct Redeeming {
    page: u64,
    request: f64,
    to: alloy_primitives::Address,
    scope: RedeemScope,
}

/// Claims that a page redeems.
struct Handed {
    page: u64,
    claims: Vec<Claim>,
    /// Gives the claims back when the redemption is void.
    _void: Timeout,
}

impl Pages {
    /// No pages.
    pub fn new(driver: Weak<Driver>) -> Pages {
        Pages {
            driver,
            pages: RefCell::default(),
            next: Cell::new(1),
            early: RefCell::new(Some(Vec::new())),
            adding: RefCell::default(),
            making: RefCell::default(),
            redeeming: RefCell::default(),
            claims: RefCell::default(),
            wallet_reads: RefCell::default(),
        }
    }

    /// Takes up a page.
    pub fn attach(&self, port: MessagePort) {
        let id = self.count();
        let on_message = js::listen(&port, {
            let driver = Weak::clone(&self.driver);
            move |message| {
                if let Some(driver) = driver.upgrade() {
                    driver.pages.handle(id, &message);
                }
            }
        });
        for message in self.early.take().unwrap_or_default() {
            let _ = port.post_message(&message);
        }
        let mut pages = self.pages.borrow_mut();
        let oldest = (pages.len() >= MAX_PAGES)
            .then(|| pages.pop_first())
            .flatten();
        pages.insert(
            id,
            Page {
                port,
                has_wallet: false,
                torrents: Set::new(),
                playing: Map::new(),
                _on_message: on_message,
            },
        );
        drop(pages);
        if let Some((id, oldest)) = oldest {
            self.gone(id, &oldest);
        }
    }

    /// A page left. Its redemptions may have been sent.
    fn gone(&self, id: u64, page: &Page) {
        js::close(&page.port);
        for (player, info_hash) in &page.playing {
            self.stop_player(*info_hash, *player);
        }
        let tags: Vec<u64> = (self.claims.borrow().iter())
            .filter(|(_, handed)| handed.page == id)
            .map(|(tag, _)| *tag)
            .collect();
        for tag in tags {
            let reason = "the page that redeemed was closed".to_owned();
            self.give_back(tag, RedeemOutcome::Unknown { reason });
        }
    }

    /// Gives back claims that no page will report on.
    fn give_back(&self, tag: u64, outcome: RedeemOutcome) {
        self.claims.borrow_mut().remove(&tag);
        if let Some(driver) = self.driver.upgrade() {
            driver.command(Command::Redeemed { tag, outcome });
        }
    }

    /// An `eth_call` through the wallet of the newest page that has one; `None` if no page has.
    pub fn ask_wallet(
        &self,
        to: &str,
        data: &str,
    ) -> Option<impl Future<Output = WalletAnswer> + use<>> {
        let id = self.count();
        let page = self
            .pages
            .borrow()
            .iter()
            .rev()
            .find(|(_, page)| page.has_wallet)
            .map(|(page, _)| *page)?;
        let (sender, receiver) = oneshot::channel();
        self.wallet_reads.borrow_mut().insert(id, sender);
        self.post(
            page,
            &js::object(&[
                ("t", "ethCall".into()),
                ("id", js::num(id)),
                ("to", to.into()),
                ("data", data.into()),
            ]),
        );
        let driver = Weak::clone(&self.driver);
        let timer = Timeout::new(WALLET_TIMEOUT_MS, move || {
            if let Some(driver) = driver.upgrade() {
                driver.pages.wallet_reads.borrow_mut().remove(&id);
            }
        });
        Some(async move {
            let answer = receiver.await;
            drop(timer);
            answer.unwrap_or_else(|_| Err("the wallet did not answer in time".to_owned()))
        })
    }

    /// Answers requests that waited for the event, or tells every page.
    pub fn handle_event(&self, event: Event) {
        match event {
            Event::Added { tag, result } => {
                let waiting = self.adding.borrow_mut().remove(&tag);
                if let Some((page, request)) = waiting {
                    if let Ok(info_hash) = &result {
                        self.note_used(page, *info_hash);
                    }
                    let answer = result
                        .map(|info_hash| info_hash.to_hex().into())
                        .map_err(|error| error.to_string());
                    self.answer(page, request, answer);
                }
            }
            Event::ClaimsReady {
                tag,
                claims,
                total,
                is_last_chance,
            } => {
                let waiting = self.redeeming.borrow_mut().pop_front();
                let Some(waiting) = waiting else {
                    return;
                };
                let answer = self.redemption(tag, claims, total, is_last_chance, &waiting);
                let gone = !self.pages.borrow().contains_key(&waiting.page);
                if gone || answer.is_err() {
                    let reason = "nobody was handed the claims".to_owned();
                    self.give_back(tag, RedeemOutcome::Failed { reason });
                }
                self.answer(waiting.page, waiting.request, answer);
                self.prepare_redeem();
            }
            event => {
                let Some(message) = snapshot::event(&event) else {
                    return;
                };
                let pages = self.pages.borrow();
                for page in pages.values() {
                    let _ = page.port.post_message(&message);
                }
                let mut early = self.early.borrow_mut();
                if let Some(early) = early.as_mut().filter(|early| early.len() < MAX_EARLY) {
                    early.push(message);
                }
            }
        }
    }

    fn handle(&self, page: u64, message: &JsValue) {
        let Some(driver) = self.driver.upgrade() else {
            return;
        };
        let request = js::field(message, "id").as_f64();
        let what = js::text(message, "t").unwrap_or_default();
        match (what.as_str(), request) {
            ("bye", _) => {
                let gone = self.pages.borrow_mut().remove(&page);
                if let Some(gone) = gone {
                    self.gone(page, &gone);
                    for info_hash in gone.torrents {
                        self.stop_unused(&driver, info_hash);
                    }
                }
            }
            ("wallet", _) => {
                if let Some(known) = self.pages.borrow_mut().get_mut(&page) {
                    known.has_wallet = js::flag(message, "has").unwrap_or(false);
                }
            }
            ("ethCallAnswer", Some(id)) => {
                let asked = self.wallet_reads.borrow_mut().remove(&(id as u64));
                if let Some(asked) = asked {
                    let answer = js::text(message, "v").ok_or_else(|| {
                        js::text(message, "message").unwrap_or_else(|| "no answer".to_owned())
                    });
                    // This fails if nobody waits any more.
                    let _ = asked.send(answer);
                }
            }
            ("stop", Some(id)) => {
                if let Some(stopped) = self.making.borrow_mut().get_mut(&(page, id as u64)) {
                    *stopped = true;
                }
            }
            ("stream", _) => driver.streams.open(message),
            ("play", _) => self.play(&driver, page, message).unwrap_or_default(),
            ("online", _) => {
                driver.input(Input::Command(Command::Online(
                    js::flag(message, "v").unwrap_or(true),
                )));
            }
            (what, Some(request)) => {
                if let Some(answer) = self.handle_request(&driver, page, request, what, message) {
                    self.answer(page, request, answer);
                }
            }
            _ => {}
        }
    }

    /// Handles a request. Answers `None` if the answer comes later.
    fn handle_request(
        &self,
        driver: &Rc<Driver>,
        page: u64,
        request: f64,
        what: &str,
        message: &JsValue,
    ) -> Option<Answer> {
        let done = Some(Ok(JsValue::UNDEFINED));
        let pays = driver.keys.is_some();
        match what {
            "hello" => Some(Ok(snapshot::hello(driver))),
            "snapshot" => Some(Ok(driver.look(|core| snapshot::client(&core.snapshot())))),
            "add" => self.add(driver, page, request, message).err().map(Err),
            "seed" => {
                let (driver, message) = (Rc::clone(driver), message.clone());
                let making = (page, request as u64);
                if self.making.borrow().len() >= MAX_MAKING {
                    let most = "at most 64 torrents are made at once: wait for one of them";
                    return Some(Err(most.to_owned()));
                }
                self.making.borrow_mut().insert(making, false);
                wasm_bindgen_futures::spawn_local(async move {
                    let made = seed::make(&driver, &message, making).await;
                    driver.pages.making.borrow_mut().remove(&making);
                    let answer = made.map(|bytes| js::buffer(&bytes).into());
                    driver.pages.answer(page, request, answer);
                });
                None
            }
            "limits" => {
                let limits = driver.look(|core| snapshot::limits(message, core.limits()));
                driver.command(Command::SetLimits(limits));
                done
            }
            "refresh" if pays => {
                driver.command(Command::RefreshAccount);
                done
            }
            "receipts" if pays => {
                Some(Ok(driver.look(|core| {
                    snapshot::receipts(&core.receipts(), &core.receipt_names())
                })))
            }
            "clearReceipts" if pays => {
                driver.command(Command::ClearReceipts);
                done
            }
            "fee" if pays => {
                let fee = js::word(message, "transaction").zip(js::amount(message, "amount"));
                Some(with(fee, "transaction", |(transaction, amount)| {
                    let side = match js::flag(message, "selling") {
                        Some(true) => Side::Seller,
                        _ => Side::Buyer,
                    };
                    driver.command(Command::NoteFee {
                        side,
                        transaction,
                        amount,
                    });
                }))
            }
            "dust" if pays => {
                let gas = js::amount(message, "gas");
                let limits = js::amount(message, "least").zip(gas);
                Some(with(limits, "least", |(dust, item_gas)| {
                    driver.command(Command::SetDust {
                        dust: TokenUnits(dust),
                        item_gas: TokenUnits(item_gas),
                    });
                }))
            }
            "budget" if pays => Some(with(js::amount(message, "total"), "total", |total| {
                driver.command(Command::SetBudget {
                    total: TokenUnits(total),
                });
            })),
            "account" if pays => {
                self.set_account(driver, page, request, message);
                None
            }
            "newSessionKey" if pays => {
                let keys = driver.keys.clone()?;
                let Some(old) = js::address(message, "old") else {
                    return Some(Err("`old` is not an address".to_owned()));
                };
                let driver = Rc::clone(driver);
                wasm_bindgen_futures::spawn_local(async move {
                    let made = keys.renew_session(&driver.records, old).await;
                    let answer = made.map(|key| hex::to_hex(key.as_slice()).into());
                    driver.pages.answer(page, request, answer);
                });
                None
            }
            "accountId" if pays => Some(account_id(driver, message)),
            "domainSeparator" if pays => Some(domain_separator(message)),
            "redeem" if pays => {
                let Some(to) = js::address(message, "to") else {
                    return Some(Err("`to` is not an address".to_owned()));
                };
                let scope = match js::flag(message, "due") {
                    Some(true) => RedeemScope::Due,
                    _ => RedeemScope::All,
                };
                let alone = self.redeeming.borrow().is_empty();
                self.redeeming.borrow_mut().push_back(Redeeming {
                    page,
                    request,
                    to,
                    scope,
                });
                if alone {
                    self.prepare_redeem();
                }
                None
            }
            "redeemed" if pays => Some(self.redeemed(driver, page, message)),
            "leave" => Some(named_torrent(what, message).map(|info_hash| {
                if let Some(page) = self.pages.borrow_mut().get_mut(&page) {
                    page.torrents.remove(&info_hash);
                }
                self.stop_unused(driver, info_hash);
                JsValue::UNDEFINED
            })),
            what if !pays && MONEY.contains(&what) => Some(Err(no_payments())),
            _ => Some(torrent_request(driver, what, message)),
        }
    }

    /// A player tells where it is: `{t: "play", hash, player, file, position, rate, starved}`; without `position` it
    /// plays no more. A page numbers its players.
    fn play(&self, driver: &Driver, page: u64, message: &JsValue) -> Option<()> {
        let info_hash = InfoHash::from_hex(&js::text(message, "hash")?)?;
        let number = js::number(message, "player").filter(|number| *number < MAX_PLAYERS)?;
        let player = page.checked_mul(MAX_PLAYERS)?.checked_add(number)?;
        let mut pages = self.pages.borrow_mut();
        let playing = &mut pages.get_mut(&page)?.playing;
        let head = js::number(message, "position").and_then(|position| {
            Some(Playhead {
                file: js::number(message, "file")?.try_into().ok()?,
                position,
                rate: js::number(message, "rate")?,
                starved: js::flag(message, "starved").unwrap_or(false),
            })
        });
        match head {
            Some(_) => playing.insert(player, info_hash),
            None => playing.remove(&player),
        };
        drop(pages);
        driver.command(Command::Play {
            info_hash,
            player,
            head,
        });
        Some(())
    }

    fn stop_player(&self, info_hash: InfoHash, player: u64) {
        if let Some(driver) = self.driver.upgrade() {
            driver.command(Command::Play {
                info_hash,
                player,
                head: None,
            });
        }
    }

    /// A page's torrent was added. A page that is gone meanwhile uses no torrent.
    fn note_used(&self, page: u64, info_hash: InfoHash) {
        if let Some(page) = self.pages.borrow_mut().get_mut(&page) {
            page.torrents.insert(info_hash);
            return;
        }
        if let Some(driver) = self.driver.upgrade() {
            self.stop_unused(&driver, info_hash);
        }
    }

    /// Stops a torrent that no page uses any more: it is neither fetched nor paid nor served. Its data stays.
    fn stop_unused(&self, driver: &Driver, info_hash: InfoHash) {
        let used = (self.pages.borrow().values()).any(|page| page.torrents.contains(&info_hash));
        if !used {
            driver.command(Command::Remove {
                info_hash,
                delete_data: false,
            });
        }
    }

    fn add(
        &self,
        driver: &Rc<Driver>,
        page: u64,
        request: f64,
        message: &JsValue,
    ) -> Result<(), String> {
        let source = if let Some(magnet) = js::text(message, "magnet") {
            Source::Magnet(magnet)
        } else if let Some(hash) = js::text(message, "hash") {
            Source::Stored(InfoHash::from_hex(&hash).ok_or("`hash` is not an info hash")?)
        } else {
            let torrent = js::bytes(&js::field(message, "torrent"), js::MAX_BYTES_FROM_PAGE);
            Source::Torrent(torrent.ok_or("give a magnet link, a .torrent file or an info hash")?)
        };
        let options = AddOptions {
            trackers: js::texts(message, "trackers", MAX_TRACKERS),
            web_seeds: js::texts(message, "webSeeds", MAX_TRACKERS),
            check: match js::text(message, "check").as_deref() {
                Some("recheck") => CheckExisting::Recheck,
                Some("complete") => CheckExisting::Complete,
                _ => CheckExisting::Resume,
            },
            price: js::amount(message, "pricePerBlock").map(FineUnits),
            max_price: js::amount(message, "maxPricePerBlock").map(FineUnits),
            // Where anything is paid, nobody buys what nobody watches.
            on_demand: js::flag(message, "onDemand").unwrap_or(driver.chain.is_some()),
            files: js::numbers(message, "files", MAX_FILES)
                .map(|files| files.into_iter().map(|file| file..=file).collect()),
            select_only: Vec::new(),
            content: js::word(message, "content").map(|word| word.0),
            by: None,
        };
        let tag = self.count();
        self.adding.borrow_mut().insert(tag, (page, request));
        driver.command(Command::Add {
            tag,
            source,
            options,
        });
        Ok(())
    }

    /// Remembers the owner, then buys from its account. Without an owner it buys from the account of the remembered
    /// one.
    fn set_account(&self, driver: &Rc<Driver>, page: u64, request: f64, message: &JsValue) {
        let Some(setting) = driver.set_owner(js::address(message, "owner")) else {
            return self.answer(page, request, Err(no_payments()));
        };
        let driver = Rc::clone(driver);
        wasm_bindgen_futures::spawn_local(async move {
            let answer = setting.await.map(|()| JsValue::UNDEFINED);
            driver.pages.answer(page, request, answer);
        });
    }

    /// Asks the core for the claims of the first page that waits.
    fn prepare_redeem(&self) {
        let scope = self.redeeming.borrow().front().map(|first| first.scope);
        if let (Some(scope), Some(driver)) = (scope, self.driver.upgrade()) {
            driver.command(Command::PrepareRedeem(scope));
        }
    }

    fn redemption(
        &self,
        tag: u64,
        claims: Vec<Claim>,
        total: TokenUnits,
        is_last_chance: bool,
        &Redeeming { page, to, .. }: &Redeeming,
    ) -> Answer {
        let driver = self.driver.upgrade().ok_or_else(no_payments)?;
        let (Some(keys), Some(chain)) = (&driver.keys, &driver.chain) else {
            return Err(no_payments());
        };
        let redemption = Redemption {
            payee: keys.payee_address(),
            claims: &claims,
            to,
            relayer: to,
            deadline: driver.chain_now().saturating_add(REDEEM_SECONDS),
        };
        let signature = keys.sign_redemption(redemption.digest(&chain.vault()))?;
        let answer = js::object(&[
            ("tag", js::num(tag)),
            ("count", js::num(claims.len() as u64)),
            ("total", js::big(total.0)),
            ("isLastChance", is_last_chance.into()),
            ("data", hex::to_hex(&redemption.call(signature)).into()),
            ("payee", hex::to_hex(redemption.payee.as_slice()).into()),
        ]);
        let driver = Weak::clone(&self.driver);
        let void = Timeout::new(REDEEM_VOID_MS, move || {
            if let Some(driver) = driver.upgrade() {
                let reason = "the redemption is void by now".to_owned();
                (driver.pages).give_back(tag, RedeemOutcome::Unknown { reason });
            }
        });
        let handed = Handed {
            page,
            claims,
            _void: void,
        };
        self.claims.borrow_mut().insert(tag, handed);
        Ok(answer)
    }

    fn redeemed(&self, driver: &Rc<Driver>, page: u64, message: &JsValue) -> Answer {
        let tag = js::number(message, "tag").ok_or("`tag` is missing")?;
        // Another page may mean claims that an earlier engine handed out under the same tag.
        let is_its = (self.claims.borrow().get(&tag)).is_some_and(|handed| handed.page == page);
        let handed = is_its
            .then(|| self.claims.borrow_mut().remove(&tag))
            .flatten();
        let (Some(Handed { claims, .. }), Some(chain), Some(keys)) =
            (handed, &driver.chain, &driver.keys)
        else {
            return Err(
                "this redemption is over: what it paid shows when the chain is read".to_owned(),
            );
        };
        let (outcome, paid) = match js::text(message, "failed") {
            Some(reason) if js::flag(message, "sent") == Some(false) => {
                (RedeemOutcome::Failed { reason }, 0)
            }
            // Many errors of wallets do not show whether a transaction was sent.
            Some(reason) => (RedeemOutcome::Unknown { reason }, 0),
            None => {
                let logs = read_logs(&js::field(message, "logs"));
                let report =
                    vault::redeem_report(chain.vault, keys.payee_address(), &claims, &logs);
                let paid =
                    (report.paid.iter()).fold(0u128, |sum, (_, units)| sum.saturating_add(units.0));
                let outcome = RedeemOutcome::Mined {
                    paid: report.paid,
                    skipped: report.skipped,
                };
                (outcome, paid)
            }
        };
        driver.command(Command::Redeemed { tag, outcome });
        Ok(js::big(paid))
    }

    /// Tells a page how far its `seed` request is.
    ///
    /// # Errors
    /// The page takes the request back, or is gone.
    pub fn making(&self, (page, request): Making, done: u64, total: u64) -> Result<(), String> {
        let is_wanted = self.making.borrow().get(&(page, request)) == Some(&false);
        if !is_wanted || !self.pages.borrow().contains_key(&page) {
            return Err("the page takes it back".to_owned());
        }
        let message = js::object(&[
            ("t", "progress".into()),
            ("id", js::num(request)),
            ("done", js::num(done)),
            ("total", js::num(total)),
        ]);
        self.post(page, &message);
        Ok(())
    }

    fn answer(&self, page: u64, request: f64, answer: Answer) {
        let id = JsValue::from_f64(request);
        let message = match answer {
            Ok(value) => js::object(&[("t", "ok".into()), ("id", id), ("v", value)]),
            Err(text) => js::object(&[("t", "err".into()), ("id", id), ("message", text.into())]),
        };
        self.post(page, &message);
    }

    fn post(&self, page: u64, message: &JsValue) {
        if let Some(page) = self.pages.borrow().get(&page) {
            let _ = page.port.post_message(message);
        }
    }

    fn count(&self) -> u64 {
        let id = self.next.get();
        self.next.set(id + 1);
        id
    }
}

fn named_torrent(what: &str, message: &JsValue) -> Result<InfoHash, String> {
    (js::text(message, "hash"))
        .and_then(|hash| InfoHash::from_hex(&hash))
        .ok_or_else(|| format!("`{what}` needs the info hash of a torrent"))
}

/// A request about one torrent: each names it by `hash`.
fn torrent_request(driver: &Rc<Driver>, what: &str, message: &JsValue) -> Answer {
    let info_hash = named_torrent(what, message)?;
    let command = match what {
        "torrent" => {
            let torrent = driver.look(|core| core.torrent(info_hash));
            return Ok(torrent.map_or(JsValue::NULL, |torrent| snapshot::torrent(&torrent)));
        }
        "title" => {
            return Ok(title_of(driver, info_hash));
        }
        "source" => {
            let meta = driver.look(|core| core.metainfo(info_hash));
            return Ok(meta.map_or(JsValue::NULL, |meta| snapshot::source(&meta)));
        }
        "closePeer" => Command::ClosePeer {
            info_hash,
            connection: ConnectionId(js::number(message, "peer").ok_or("`peer` is missing")?),
        },
        "remove" => Command::Remove {
            info_hash,
            delete_data: js::flag(message, "deleteData").unwrap_or(false),
        },
        "pause" => Command::Pause { info_hash },
        "resume" => Command::Resume { info_hash },
        "onDemand" => Command::SetOnDemand {
            info_hash,
            on_demand: js::flag(message, "v").unwrap_or(true),
            remember: js::flag(message, "remember").unwrap_or(false),
        },
        "webSeed" => Command::AddWebSeed {
            info_hash,
            url: js::text(message, "url").ok_or("`url` is missing")?,
        },
        "select" => Command::SelectFiles {
            info_hash,
            files: js::numbers(message, "files", MAX_FILES).ok_or("`files` is missing")?,
            priority: match js::text(message, "priority").as_deref() {
                Some("skip") => Priority::Skip,
                Some("normal") => Priority::Normal,
                Some("high") => Priority::High,
                _ => return Err("`priority` is skip, normal or high".to_owned()),
            },
        },
        "maxPrice" => Command::SetMaxPrice {
            info_hash,
            max_price: FineUnits(
                js::amount(message, "pricePerBlock").ok_or("`pricePerBlock` is not an amount")?,
            ),
        },
        "price" => Command::SetPrice {
            info_hash,
            price: FineUnits(
                js::amount(message, "pricePerBlock").ok_or("`pricePerBlock` is not an amount")?,
            ),
        },
        _ => return Err(format!("the engine knows no request `{what}`")),
    };
    driver.command(command);
    Ok(JsValue::UNDEFINED)
}

fn with<T>(value: Option<T>, name: &str, then: impl FnOnce(T)) -> Answer {
    then(value.ok_or_else(|| format!("`{name}` is missing"))?);
    Ok(JsValue::UNDEFINED)
}

/// What is known of a torrent's title; null: the torrent is not taken up.
#[inline(never)]
fn title_of(driver: &Rc<Driver>, info_hash: InfoHash) -> JsValue {
    let title = driver.look(|core| core.title(info_hash));
    title.map_or(JsValue::NULL, |title| snapshot::title(&title))
}

/// The account of an owner with this engine's session key.
fn account_id(driver: &Rc<Driver>, message: &JsValue) -> Answer {
    let owner = js::address(message, "owner").ok_or("`owner` is not an address")?;
    let keys = driver.keys.as_ref().ok_or_else(no_payments)?;
    let session_key = keys.session_address();
    let id = voucher::account_id(owner, session_key);
    // Asked also before the account is the one that pays, because a deposit must not go to a held account.
    let held = keys.is_behind() || driver.look(|core| core.held_account() == Some(id));
    Ok(js::object(&[
        ("held", held.into()),
        ("id", hex::to_hex(id.as_slice()).into()),
        ("sessionKey", hex::to_hex(session_key.as_slice()).into()),
    ]))
}

fn domain_separator(message: &JsValue) -> Answer {
    let contract = js::address(message, "contract").ok_or("`contract` is not an address")?;
    let chain_id = js::number(message, "chainId").ok_or("`chainId` is missing")?;
    let separator = vault::domain_separator(
        &js::text(message, "name").unwrap_or_default(),
        &js::text(message, "version").unwrap_or_default(),
        contract,
        chain_id,
    );
    Ok(hex::to_hex(separator.as_slice()).into())
}

/// The logs of a receipt, as a wallet gives them. Malformed ones are left out.
fn read_logs(list: &JsValue) -> Vec<Log> {
    let Some(list) = list.dyn_ref::<js_sys::Array>() else {
        return Vec::new();
    };
    list.iter()
        .take(MAX_LOGS)
        .filter_map(|log| {
            Some(Log {
                address: js::address(&log, "address")?,
                topics: js::texts(&log, "topics", 4)
                    .iter()
                    .map(|topic| topic.parse().ok())
                    .collect::<Option<_>>()?,
                data: hex::from_hex(&js::text(&log, "data")?, MAX_LOG_BYTES)?,
            })
        })
        .collect()
}

fn no_payments() -> String {
    "payments are not configured".to_owned()
}
