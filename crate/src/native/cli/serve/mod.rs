//! `serve`: many torrents in one process, as a file says, until it is stopped.
//!
//! Owns which torrents run, and from where each came. Invariants: what was answered over HTTP is on disk; a torrent's
//! trouble ends no other; the state folder's lock comes before anything is read or made in it. Torrents, peers and
//! redemptions are the runner's.

mod config;
mod file;
mod http;
mod kept;
mod metrics;
pub(super) mod token;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{block_in_place, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};

pub(super) use self::config::endpoint;
use self::config::{Plan, Title, may_hold_data};
use self::http::{Ask, Asked, Reply, Wanted};
use self::kept::{Kept, Memory, Origin};
use self::token::Token;
use self::watch::{Again, Finding, FolderId};
use super::get;
use super::interrupt::Interrupt;
use super::money::tell_others_claims;
use super::output::{CliError, plain, say, sentence};
use super::runner::{Runner, Wish, money_json, stopped};
use super::seed::{self, LOOK_INTERVAL, stats_line};
use super::serve_args::ServeArgs;
use super::standing::is_whole;
use super::torrent::Named;
use super::{history, in_runtime};
use crate::client::{Command, TorrentSnapshot};
use crate::native::driver::{NativeConfig, Snapshot};
use crate::types::{FineUnits, InfoHash};

/// What `--example` prints.
const EXAMPLE: &str = include_str!("example.toml");

/// `piecework serve`
pub(super) fn serve(args: ServeArgs) -> Result<(), CliError> {
    let Some(path) = args.config.as_ref().filter(|_| !args.example) else {
        say(EXAMPLE.trim_end());
        return Ok(());
    };
    let plan = Plan::read(path)?;
    if args.check {
        say(&format!(
            "{} is valid: {} torrents, {}{}",
            plan.path.display(),
            plan.titles.len(),
            match &plan.http {
                Some(http) => format!("commands at http://{}", http.listen),
                None => "no commands over HTTP".to_owned(),
            },
            match &plan.watch {
                Some(watch) => format!(", watching {}", watch.folder.display()),
                None => String::new(),
            }
        ));
        return Ok(());
    }
    in_runtime(run(plan, args))
}

async fn run(mut plan: Plan, args: ServeArgs) -> Result<(), CliError> {
    plan.seed.common.json = args.json;
    let decimals = plan.seed.chain.decimals;
    // The vault is asked when something gets a price.
    let payout = seed::payout(&plan.seed.payee, &plan.seed.chain, &plan.state, false).await?;
    if let Some(buying) = &plan.buying {
        let (key, owner) = (buying.key.clone(), buying.owner);
        let chain = plan.seed.chain.required("buying")?;
        spawn_blocking(move || get::claim(&key, owner, &chain, decimals))
            .await
            .map_err(|e| CliError::Failed(e.to_string()))??;
    }
    if let (Some(payout), Some(chain)) = (&payout, plan.seed.chain.config()) {
        tell_others_claims(&plan.state, &chain, payout.payee.address(), decimals)?;
    }
    let mut client = seed::client_config(&plan.seed, payout.as_ref(), plan.price);
    client.limits.download_bytes_per_second = plan.download_limit;
    client.payment = config::payment(&plan, client.payment);
    let trackers: Vec<String> = plan
        .titles
        .iter()
        .flat_map(|title| title.named.magnet.trackers.iter().cloned())
        .collect();
    let native = NativeConfig {
        client,
        transport: plan.seed.network.transport(&trackers),
        data_dir: plan.seed.data.clone(),
        state_dir: plan.state.clone(),
        repair: false,
        local_web_seeds: false,
        chain: plan.seed.chain.config(),
        session_key: plan.buying.as_ref().map(|buying| buying.key.clone()),
    };
    let mut interrupt = Interrupt::new()?;
    let mut runner = Runner::start(native, payout, args.json, decimals)?;
    runner.announces = true;
    runner.goes_on = true;
    let redeem_on_exit = plan.seed.payee.redeem_on_exit;
    // From here on nobody else uses the state folder.
    let (runner, served) = match block_in_place(|| Memory::open(plan.own_dir())) {
        Ok(memory) => {
            let mut daemon = Daemon {
                runner,
                plan,
                memory,
                listed: BTreeSet::new(),
                shown: Shown::default(),
                refused: BTreeMap::new(),
                unwritten: BTreeSet::new(),
                started: unix_now(),
            };
            let served = daemon.serve(&mut interrupt, args.stats).await;
            (daemon.runner, served)
        }
        Err(error) => (runner, Err(error)),
    };
    // Earnings and served data are durable, however the run ended.
    let finished = seed::finish(runner, &mut interrupt, redeem_on_exit).await;
    served.and(finished)
}

fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

struct Daemon {
    runner: Runner,
    plan: Plan,
    memory: Memory,
    /// The torrents of CONFIG.toml.
    listed: BTreeSet<InfoHash>,
    shown: Shown,
    /// What was said of each torrent of the watch folder that could not be taken up.
    refused: BTreeMap<InfoHash, String>,
    /// What could not be put on record, which was said.
    unwritten: BTreeSet<&'static str>,
    started: u64,
}

/// What the looks into the watch folder showed.
#[derive(Default)]
struct Shown {
    /// There was one.
    looked: bool,
    /// The torrents that had a file in the last look into that folder, and not where its disk is to be mounted.
    present: BTreeSet<InfoHash>,
    /// The last look was such a one.
    is_sure: bool,
    /// The folder in which a known torrent was seen.
    folder: Option<FolderId>,
}

impl Daemon {
    /// Until it is to stop.
    async fn serve(&mut self, interrupt: &mut Interrupt, stats_secs: u64) -> Result<(), CliError> {
        if let Some(buying) = &self.plan.buying {
            let account = Command::SetAccount {
                owner: buying.owner,
                session_key: buying.key.pair.address(),
            };
            self.runner.handle.command(account).await.map_err(stopped)?;
        }
        self.tell_large_dust();
        self.take_up_listed().await?;
        self.take_up_added().await?;
        let mut asked = self.open_door().await?;
        let mut findings =
            (self.plan.watch.as_ref()).map(|watch| watch::start(watch.folder.clone(), watch.every));
        let mut look = turns(LOOK_INTERVAL);
        let mut stats = turns(Duration::from_secs(stats_secs));
        stats.tick().await;
        let redeem_secs = self.plan.seed.payee.redeem_every;
        let redeems = redeem_secs > 0 && self.runner.payout.is_some();
        let mut redeem = turns(Duration::from_secs(redeem_secs.max(1)));
        redeem.tick().await;
        self.runner.look_at_gas();
        loop {
            tokio::select! {
                woken = self.runner.next() => self.runner.handle_woken(woken).await?,
                _ = look.tick() => {
                    let snapshot = self.runner.look().await?;
                    let noted = self.note_complete(&snapshot);
                    self.go_on("that a torrent is complete", noted);
                    // A buyer that owes as much as it may waits for it.
                    if redeems && self.runner.wants_redemption() {
                        self.runner.redeem_due().await?;
                    }
                }
                _ = stats.tick() => {
                    let snapshot = self.runner.look().await?;
                    let runner = &self.runner;
                    runner.note("stats", &runner.summary(&snapshot), || {
                        stats_line(&snapshot, runner.decimals)
                    });
                }
                _ = redeem.tick(), if redeems => {
                    self.runner.look_at_gas();
                    self.runner.redeem_due().await?;
                }
                Some(asked) = next(&mut asked) => {
                    if self.answer(asked, interrupt).await? {
                        return Ok(());
                    }
                }
                Some(finding) = next(&mut findings) => self.find(finding).await?,
                () = interrupt.wait() => return Ok(()),
            }
        }
    }

    /// Says so where the least that is sold costs more than a GB of the cheapest title.
    fn tell_large_dust(&self) {
        let plan = &self.plan;
        if self.runner.payout.is_none() {
            return;
        }
        // What cannot be read is refused where it is taken up.
        let own = (plan.titles.iter().map(|title| &title.price))
            .chain(plan.watch.iter().map(|watch| &watch.price))
            .filter_map(|price| plan.parse_price(price.as_ref()?).ok());
        let prices = own.chain([plan.price]).filter(|price| price.0 > 0);
        let decimals = plan.seed.chain.decimals;
        let remedy = "`sell.coin_price` or `sell.min_redeem`";
        if let Some(text) = prices
            .min()
            .and_then(|price| seed::large_dust(&plan.seed.payee, price, decimals, remedy))
        {
            self.warn(&text);
        }
    }

    /// Takes up what CONFIG.toml lists. The prices that were set in earlier runs hold, until the listed ones change.
    async fn take_up_listed(&mut self) -> Result<(), CliError> {
        let titles = std::mem::take(&mut self.plan.titles);
        self.listed = titles.iter().map(|title| title.named.info_hash).collect();
        let listed = &self.listed;
        block_in_place(|| self.memory.forget_unlisted(|hash| listed.contains(hash)))?;
        for title in titles {
            let Title {
                named,
                data,
                price,
                max_price,
                fetch,
            } = title;
            let info_hash = named.info_hash;
            let before = self.memory.get(&info_hash);
            if before.is_some_and(|kept| kept.removed) {
                self.warn(&format!(
                    "{info_hash} was removed by a command, and {} lists it: add it by a command, or take it out of the file",
                    self.plan.path.display()
                ));
                continue;
            }
            let set =
                before.filter(|kept| kept.origin == Origin::Config && kept.instead_of == price);
            let kept = Kept {
                origin: Origin::Config,
                magnet: None,
                data,
                price: set.and_then(|kept| kept.price.clone()),
                instead_of: price,
                max_price: None,
                fetch,
                complete: false,
                removed: false,
            };
            if let Some(text) = self.unpaid_price(&kept) {
                let text = format!(
                    "{info_hash} is not sold: a command set the price {} of it, which is on record in {}, and nobody is paid here: give {} the table [sell] with `payee_key`",
                    plain(&text),
                    self.plan.own_dir().join(kept::FILE).display(),
                    self.plan.path.display()
                );
                self.warn_of(Some(info_hash), &text);
            }
            let mut named = named;
            named.options.max_price = max_price;
            // What the operator wrote down must be taken up, or the operator hears why not.
            self.take_up(named, kept, false).await?;
        }
        Ok(())
    }

    /// Takes up what was added in earlier runs.
    async fn take_up_added(&mut self) -> Result<(), CliError> {
        for (info_hash, kept) in self.memory.added() {
            let named = block_in_place(|| self.memory.named(info_hash, &kept));
            let taken = match named {
                Ok(named) => self.take_up(named, kept, false).await,
                Err(error) => Err(error),
            };
            match taken {
                Ok(()) => {}
                Err(CliError::Invalid(text)) => {
                    self.warn(&format!(
                        "{info_hash}, which was added earlier, is not served: {text}"
                    ));
                }
                // A later start may fare better.
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Puts on record which torrents are here as a whole.
    fn note_complete(&mut self, snapshot: &Snapshot) -> Result<(), CliError> {
        for torrent in snapshot.torrents.iter().filter(|torrent| is_whole(torrent)) {
            let info_hash = torrent.info_hash;
            if (self.memory.get(&info_hash)).is_some_and(|kept| !kept.complete) {
                block_in_place(|| self.memory.update(info_hash, |kept| kept.complete = true))?;
            }
        }
        Ok(())
    }

    async fn open_door(&mut self) -> Result<Option<mpsc::Receiver<Asked>>, CliError> {
        let Some(http) = &self.plan.http else {
            return Ok(None);
        };
        let token = block_in_place(|| Token::load_or_make(&http.token_file))?;
        let (address, asked) = http::start(http, token).await?;
        let url = format!("http://{address}");
        let file = http.token_file.display().to_string();
        self.runner.note(
            "listening",
            &json!({"url": url, "token_file": file}),
            || format!("commands at {url}, with the token in {file}"),
        );
        Ok(Some(asked))
    }

    fn warn(&self, text: &str) {
        self.warn_of(None, text);
    }

    fn warn_of(&self, info_hash: Option<InfoHash>, text: &str) {
        let info_hash = info_hash.map(|info_hash| info_hash.to_hex());
        let value = json!({"info_hash": info_hash, "text": text});
        self.runner
            .note("warning", &value, || format!("warning: {}", sentence(text)));
    }

    /// Says once that a record cannot be written: what is served does not depend on it, and the next look tries again.
    fn go_on(&mut self, what: &'static str, written: Result<(), CliError>) {
        match written {
            Ok(()) => {
                self.unwritten.remove(what);
            }
            Err(error) if self.unwritten.insert(what) => self.warn(&format!(
                "{what} is not on record: {error}: the daemon tries again"
            )),
            Err(_) => {}
        }
    }

    /// The price that a command set in an earlier run, if nobody can be paid any more.
    fn unpaid_price(&self, kept: &Kept) -> Option<String> {
        let set = (kept.price.as_ref())
            .filter(|_| kept.origin == Origin::Config && self.runner.payout.is_none())?;
        let is_free = (self.plan.parse_price(set)).is_ok_and(|price| price.0 == 0);
        (!is_free).then(|| set.clone())
    }

    /// The price that counts: that of the torrent, or the configuration's.
    fn price_of(&self, kept: &Kept) -> Result<FineUnits, CliError> {
        if self.unpaid_price(kept).is_some() {
            return Ok(self.plan.price);
        }
        // A listed one has a price of its own only if it was set by a command.
        match kept.price.as_ref().or(kept.instead_of.as_ref()) {
            Some(text) => self.plan.parse_price(text),
            None => Ok(self.plan.price),
        }
    }

    /// Takes up a torrent and puts it on record. `is_new`: what names it goes on record, too.
    async fn take_up(
        &mut self,
        mut named: Named,
        mut kept: Kept,
        is_new: bool,
    ) -> Result<(), CliError> {
        let info_hash = named.info_hash;
        let price = self.price_of(&kept)?;
        self.check_price(price).await?;
        let plan = &self.plan;
        kept.data = block_in_place(|| folder(plan, &kept.data))?;
        let before = self.memory.get(&info_hash);
        // Records of files elsewhere say nothing about these.
        let moved = before.is_none_or(|before| before.data != kept.data);
        if let Some(text) = &kept.max_price {
            named.options.max_price = Some(self.plan.parse_price(text)?);
        }
        named.options.price = Some(price);
        let source = is_new.then(|| named.source.clone());
        // What is added anew is fetched anew.
        kept.complete = !is_new && before.is_some_and(|before| before.complete) && !moved;
        let wish = match (kept.fetch, kept.complete) {
            (false, _) => Wish::Serve,
            (true, false) => Wish::Fetch,
            (true, true) => Wish::FetchAgain,
        };
        let handle = &self.runner.handle;
        let place = Some(kept.data.clone());
        handle.place(info_hash, place).await.map_err(stopped)?;
        let trackers = self.plan.seed.network.tracker.clone();
        let taken = match self.runner.add(named, wish, moved, &trackers).await {
            Ok(_) => block_in_place(|| self.memory.put(info_hash, kept, source.as_ref())),
            Err(error) => Err(error),
        };
        if taken.is_err() {
            self.runner.remove(info_hash, false).await?;
        }
        taken
    }

    async fn check_price(&mut self, price: FineUnits) -> Result<(), CliError> {
        if price.0 > 0 && self.runner.payout.is_none() {
            return Err(self.no_payee());
        }
        self.runner.check_price(price).await
    }

    fn no_payee(&self) -> CliError {
        CliError::Invalid(format!(
            "nobody is paid here: give {} the table [sell] with `payee_key`",
            self.plan.path.display()
        ))
    }

    /// A .torrent file of the watch folder.
    async fn find(&mut self, finding: Finding) -> Result<(), CliError> {
        let (named, again): (_, Again) = match finding {
            Finding::Warning(text) => {
                self.warn(&text);
                return Ok(());
            }
            Finding::Present(present, folder) => {
                self.note_present(present, folder);
                return Ok(());
            }
            Finding::Torrent(named, again) => (named, again),
        };
        let Some(watch) = &self.plan.watch else {
            return Ok(());
        };
        // It is here, or was removed by a command.
        if self.memory.get(&named.info_hash).is_some() {
            return Ok(());
        }
        let kept = Kept {
            origin: Origin::Watch,
            magnet: None,
            data: watch.data.clone(),
            price: watch.price.clone(),
            instead_of: None,
            max_price: None,
            fetch: watch.fetch,
            complete: false,
            removed: false,
        };
        let info_hash = named.info_hash;
        match self.take_up(*named, kept, true).await {
            Ok(()) => {
                self.refused.remove(&info_hash);
                self.tell("added", info_hash);
            }
            Err(error) => {
                self.runner.handle.snapshot().await.map_err(stopped)?;
                again.later();
                let text = format!(
                    "{info_hash} of the watch folder is not served: {error}: the daemon tries again"
                );
                if self.refused.get(&info_hash) != Some(&text) {
                    self.warn(&text);
                    if self.refused.len() < watch::MAX_FILES {
                        self.refused.insert(info_hash, text);
                    }
                }
            }
        }
        Ok(())
    }

    /// A look into the watch folder is over. One that shows no known torrent may have shown the folder in which its
    /// disk is to be mounted.
    fn note_present(&mut self, present: BTreeSet<InfoHash>, folder: Option<FolderId>) {
        self.refused.retain(|hash, _| present.contains(hash));
        let is_known = present.iter().any(|hash| self.memory.get(hash).is_some());
        if is_known {
            self.shown.folder = folder;
        }
        self.shown.looked = true;
        self.shown.is_sure = is_known || (folder.is_some() && folder == self.shown.folder);
        if self.shown.is_sure {
            self.shown.present = present;
        }
        self.forget_removed();
    }

    /// Forgets the torrents that were removed, but for those that CONFIG.toml or the watch folder has, or may have.
    fn forget_removed(&mut self) {
        let (listed, shown) = (&self.listed, &self.shown);
        let watches = self.plan.watch.is_some();
        let is_listed = |hash: &InfoHash, origin: Origin| {
            // What the watch folder has is known only after a look, and while its disk is there.
            let is_unknown = !shown.looked || (origin == Origin::Watch && !shown.is_sure);
            listed.contains(hash) || shown.present.contains(hash) || (watches && is_unknown)
        };
        let forgotten = block_in_place(|| self.memory.forget_removed(is_listed));
        self.go_on("that a removed torrent is forgotten", forgotten);
    }

    fn tell(&self, event: &str, info_hash: InfoHash) {
        let value = json!({"info_hash": info_hash.to_hex()});
        self.runner
            .note(event, &value, || format!("{event} {info_hash}"));
    }

    /// Carries out a wish and answers it; whether the daemon is to stop. Fails only if the peer has stopped.
    async fn answer(&mut self, asked: Asked, interrupt: &mut Interrupt) -> Result<bool, CliError> {
        let mut stops = false;
        let reply = match asked.ask {
            Ask::List => {
                let snapshot = self.runner.look().await?;
                let all = snapshot
                    .torrents
                    .iter()
                    .filter_map(|torrent| self.view(torrent));
                Reply::json(&json!({"torrents": all.collect::<Vec<_>>()}))
            }
            Ask::Show(info_hash) => {
                let snapshot = self.runner.look().await?;
                match self.view_of(&snapshot, info_hash) {
                    Some(view) => Reply::json(&view),
                    None => not_here(info_hash),
                }
            }
            Ask::Redeem if self.runner.payout.is_none() => Reply::of_error(&self.no_payee()),
            Ask::Redeem => {
                // Who wants the daemon to stop meanwhile wants that the redemption ends where it stands, too.
                let redeemed = self.runner.redeem_all(interrupt).await?;
                stops = redeemed.interrupted;
                let snapshot = self.runner.look().await?;
                let money = money_json(&snapshot.client.money);
                Reply::json(&json!({"batches": redeemed.reports, "money": money}))
            }
            Ask::Stats => {
                let snapshot = self.runner.look().await?;
                let mut stats = self.runner.shared_json(&snapshot);
                stats["torrents"] = json!(snapshot.torrents.len());
                stats["decimals"] = json!(self.runner.decimals);
                stats["started"] = json!(self.started);
                stats["version"] = json!(env!("CARGO_PKG_VERSION"));
                Reply::json(&stats)
            }
            Ask::History => {
                let (lines, names) = self.runner.receipts().await?;
                let lines = history::lines_json(&lines, &names.into_iter().collect());
                Reply::json(&json!({"lines": lines}))
            }
            Ask::Metrics => {
                let snapshot = self.runner.look().await?;
                let runner = &self.runner;
                let (decimals, redemptions) = (runner.decimals, runner.redemptions);
                Reply::metrics(metrics::text(
                    &snapshot,
                    decimals,
                    redemptions,
                    self.started,
                ))
            }
            Ask::Add(named, wanted) => {
                let done = self.add(*named, wanted).await;
                self.alive(done).await?
            }
            Ask::Remove { info_hash, delete } => {
                let done = self.remove(info_hash, delete).await;
                self.alive(done).await?
            }
            Ask::Price(info_hash, text) => {
                let done = self.set_price(info_hash, &text).await;
                self.alive(done).await?
            }
        };
        // Who asked may have gone.
        let _ = asked.answer.send(reply);
        Ok(stops)
    }

    /// The answer to a command that may have failed, unless the peer has stopped.
    async fn alive(&self, done: Result<Reply, CliError>) -> Result<Reply, CliError> {
        if done.is_err() {
            self.runner.handle.snapshot().await.map_err(stopped)?;
        }
        Ok(done.unwrap_or_else(|error| Reply::of_error(&error)))
    }

    /// A torrent as HTTP shows it; `None`: it is about to leave.
    fn view(&self, torrent: &TorrentSnapshot) -> Option<Value> {
        let kept = self
            .memory
            .get(&torrent.info_hash)
            .filter(|kept| !kept.removed)?;
        let mut view = self.runner.torrent_json(torrent);
        view["origin"] = json!(kept.origin.name());
        view["data"] = json!(kept.data.display().to_string());
        view["magnet"] = json!(self.runner.magnet(&torrent.info_hash));
        view["failure"] = json!(torrent.failure);
        view["upload_rate"] = json!(torrent.upload_rate);
        view["download_rate"] = json!(torrent.download_rate);
        Some(view)
    }

    fn view_of(&self, snapshot: &Snapshot, info_hash: InfoHash) -> Option<Value> {
        let mut torrents = snapshot.torrents.iter();
        self.view(torrents.find(|torrent| torrent.info_hash == info_hash)?)
    }

    fn runs(&self, info_hash: &InfoHash) -> bool {
        self.runner.magnet(info_hash).is_some()
    }

    async fn add(&mut self, named: Named, wanted: Wanted) -> Result<Reply, CliError> {
        let info_hash = named.info_hash;
        if self.runs(&info_hash) {
            return Ok(Reply::error(
                StatusCode::CONFLICT,
                format!("{info_hash} is here already: PATCH changes its price"),
            ));
        }
        if wanted.max_price.is_some() && self.plan.buying.is_none() {
            return Err(CliError::Invalid(format!(
                "max_price needs somebody who pays: give {} the table [buy]",
                self.plan.path.display()
            )));
        }
        let kept = Kept {
            origin: Origin::Http,
            magnet: None,
            data: wanted.data.unwrap_or_else(|| self.plan.seed.data.clone()),
            price: wanted.price,
            instead_of: None,
            max_price: wanted.max_price,
            fetch: wanted.fetch,
            complete: false,
            removed: false,
        };
        self.take_up(named, kept, true).await?;
        self.tell("added", info_hash);
        let snapshot = self.runner.look().await?;
        let view = self.view_of(&snapshot, info_hash);
        Ok(Reply::created(
            &view.unwrap_or(json!({"info_hash": info_hash.to_hex()})),
        ))
    }

    async fn remove(&mut self, info_hash: InfoHash, delete: bool) -> Result<Reply, CliError> {
        if !self.runs(&info_hash) {
            return Ok(not_here(info_hash));
        }
        block_in_place(|| self.memory.update(info_hash, |kept| kept.removed = true))?;
        let shared = match delete {
            true => (self.runner.handle.shared(info_hash).await).map_err(stopped)?,
            false => Vec::new(),
        };
        self.runner.remove(info_hash, delete).await?;
        self.forget_removed();
        self.tell("removed", info_hash);
        let kept = shared.iter().map(|(path, other)| {
            let path = path.display().to_string();
            json!({"path": path, "info_hash": other.to_hex()})
        });
        // The files go after what was begun with them.
        Ok(Reply::json(&json!({
            "info_hash": info_hash.to_hex(),
            "deletes_data": delete,
            "kept_files": kept.collect::<Vec<_>>(),
        })))
    }

    async fn set_price(&mut self, info_hash: InfoHash, text: &str) -> Result<Reply, CliError> {
        if !self.runs(&info_hash) {
            return Ok(not_here(info_hash));
        }
        let price = self.plan.parse_price(text)?;
        self.check_price(price).await?;
        block_in_place(|| {
            self.memory
                .update(info_hash, |kept| kept.price = Some(text.to_owned()))
        })?;
        self.runner.set_price_of(info_hash, price).await?;
        let value = json!({"info_hash": info_hash.to_hex(), "tokens_per_gb": text});
        self.runner.note("price", &value, || {
            format!("price {info_hash} {}", plain(text))
        });
        let snapshot = self.runner.look().await?;
        let view = self.view_of(&snapshot, info_hash);
        Ok(view.map_or_else(|| not_here(info_hash), |view| Reply::json(&view)))
    }
}

fn not_here(info_hash: InfoHash) -> Reply {
    Reply::error(
        StatusCode::NOT_FOUND,
        format!("{info_hash} is not here: see /torrents"),
    )
}

/// The folder for a torrent's files in its one form; it is made if need be.
fn folder(plan: &Plan, path: &Path) -> Result<PathBuf, CliError> {
    let cannot = |e: &dyn std::fmt::Display| {
        CliError::Invalid(format!(
            "the folder {} cannot hold data: {e}",
            path.display()
        ))
    };
    std::fs::create_dir_all(path).map_err(|e| cannot(&e))?;
    let folder = std::fs::canonicalize(path).map_err(|e| cannot(&e))?;
    let state = std::fs::canonicalize(&plan.state).map_err(|e| cannot(&e))?;
    match may_hold_data(&state, &folder) {
        true => Ok(folder),
        false => Err(cannot(&"it is for records, choose another")),
    }
}

/// The next message, if there may be any; without a sender none comes.
async fn next<T>(messages: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match messages {
        Some(messages) => messages.recv().await,
        None => std::future::pending().await,
    }
}

fn turns(period: Duration) -> tokio::time::Interval {
    let mut turns = interval(period);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    turns
}
