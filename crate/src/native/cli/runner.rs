//! A running peer as the command line sees it: its events, its traffic and earnings, and its stop.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::described::told_of_title;
use super::output::{CliError, plain, say, say_json, sentence, tokens};
use super::payout::{Batch, Pace, Payout, Sum, redeemed_line};
use super::select::{Choice, selected};
use super::stalls::Stalls;
use super::standing::{
    BY_COMMANDS, BY_FLAGS, in_the_way, incomplete, is_gone, is_whole, shortfalls,
};
use super::torrent::Named;
use super::web_seeds;
use crate::client::{
    AddError, AddOptions, CheckExisting, Command, Event, MoneySnapshot, NO_TRACKER, PaymentNeed,
    PeerSnapshot, Priority, Source, TorrentSnapshot, TorrentState, TrackerSnapshot,
};
use crate::metainfo::{MagnetLink, TrackerUrl, TrackerUrlError};
use crate::native::driver::{
    self, Account, Handle, NativeConfig, Running, Snapshot, StartError, Stopped,
};
use crate::native::records::RecordsError;
use crate::types::{ConnectionId, FineUnits, InfoHash};

/// Peers of one run that are remembered for the summary; those connected first are forgotten.
const MAX_PEERS: usize = 4096;
/// Time between looks whether the data in place is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// How long a run that ends still pays for the blocks that came, as while a promise is renewed.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// The same trouble with a tracker is not reported again for this long.
const TROUBLE_SAID: Duration = Duration::from_secs(600);
/// The end of a sentence that asks for a tracker.
const BY_TRACKER: &str = ", with --tracker wss://HOST[:PORT]";

pub(super) struct Runner {
    pub(super) handle: Handle,
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
    pub(super) payout: Option<Payout>,
    pub(super) json: bool,
    pub(super) decimals: u8,
    /// Say `seeding ...` for each complete torrent.
    pub(super) announces: bool,
    /// A torrent that cannot be fetched is reported, and the others go on.
    pub(super) goes_on: bool,
    /// The files that are fetched, if the operator named any.
    pub(super) choice: Option<Choice>,
    /// They are selected.
    chosen: bool,
    torrents: BTreeMap<InfoHash, Watched>,
    /// Torrents that were added, for the tags of commands.
    added: u64,
    peers: BTreeMap<ConnectionId, (InfoHash, PeerSnapshot)>,
    pub(super) finished: mpsc::Sender<Batch>,
    batches: mpsc::Receiver<Batch>,
    /// The last of this run, for the summary.
    pub(super) redeemed: VecDeque<Value>,
    /// How many transactions of this run redeemed something, and how many failed.
    pub(super) redemptions: Redemptions,
    /// The last report on each tracker, and its time.
    troubles: BTreeMap<String, Trouble>,
    pub(super) pace: Pace,
    /// Claims are on their way to the chain.
    pub(super) sending: bool,
    /// Nothing may be sent to the chain any more.
    pub(super) gave_up: bool,
    /// The last redemption without a command was not worth its gas, which was said.
    waits_for_gas: bool,
    /// Why nothing comes from sellers.
    stalls: Stalls,
}

/// The wish for a torrent, once it is known which of its pieces are here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Serve the pieces that are here.
    Serve,
    /// Fetch the rest, once.
    Fetch,
    /// The same, unless none of its files is there: it was complete before, and who did not mount a disk does not want
    /// everything fetched, and paid, again.
    FetchAgain,
    /// Fetch the rest, and again every piece that is lost later.
    Repair,
}

/// The redemptions of a run, counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Redemptions {
    pub(super) done: u64,
    pub(super) failed: u64,
}

struct Watched {
    magnet: MagnetLink,
    /// The source, to take it up again.
    source: Source,
    options: AddOptions,
    wish: Wish,
    standing: Standing,
    /// When the runner looked at it last.
    verified_bytes: u64,
    complete: bool,
    announced: bool,
}

/// The last report on a tracker.
struct Trouble {
    text: String,
    at: Instant,
    /// The end of the trouble was reported, too.
    ended: bool,
}

/// The progress of the data in place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Its metadata, or its storage, is waited for.
    Opening,
    /// The data in place is being hashed.
    Checking,
    /// The data in place is known.
    Known,
}

/// The cause of a wake-up.
pub(super) enum Woken {
    Event(Event),
    Batch(Batch),
    /// The data in place may be checked by now.
    Checked,
    /// The peer is gone.
    Stopped,
}

impl Runner {
    pub(super) fn start(
        config: NativeConfig,
        payout: Option<Payout>,
        json: bool,
        decimals: u8,
    ) -> Result<Runner, CliError> {
        let Running {
            handle,
            events,
            task,
        } = driver::start(config).map_err(|e| match e {
            StartError::Records(RecordsError::Database(..)) | StartError::Entropy(_) => {
                CliError::Failed(e.to_string())
            }
            _ => CliError::Invalid(e.to_string()),
        })?;
        let (finished, batches) = mpsc::channel(16);
        Ok(Runner {
            handle,
            events,
            task,
            payout,
            json,
            decimals,
            announces: false,
            goes_on: false,
            choice: None,
            chosen: false,
            torrents: BTreeMap::new(),
            added: 0,
            peers: BTreeMap::new(),
            finished,
            batches,
            redeemed: VecDeque::new(),
            redemptions: Redemptions::default(),
            troubles: BTreeMap::new(),
            pace: Pace::default(),
            sending: false,
            gave_up: false,
            waits_for_gas: false,
            stalls: Stalls::default(),
        })
    }

    /// Takes up a torrent and waits for the answer. Data that no record names is hashed. Nothing is fetched before the
    /// runner knows which data is there, and whose it is.
    pub(super) async fn add(
        &mut self,
        mut named: Named,
        wish: Wish,
        recheck: bool,
        extra_trackers: &[String],
    ) -> Result<InfoHash, CliError> {
        let stored = self.handle.stored_torrents().await.map_err(stopped)?;
        if recheck || !stored.contains(&named.info_hash) {
            named.options.check = CheckExisting::Recheck;
        }
        for url in extra_trackers {
            if !named.magnet.trackers.contains(url) {
                named.magnet.trackers.push(url.clone());
            }
        }
        self.tell_unused_trackers(&named);
        named.options.on_demand = true;
        let tag = self.next_tag();
        let watched = || Watched {
            magnet: named.magnet,
            source: named.source.clone(),
            options: named.options.clone(),
            wish,
            standing: Standing::Opening,
            verified_bytes: 0,
            complete: false,
            announced: false,
        };
        // A torrent that is named twice is known already, and its state is not reported again.
        let is_new = !self.torrents.contains_key(&named.info_hash);
        self.torrents.entry(named.info_hash).or_insert_with(watched);
        let add = Command::Add {
            tag,
            source: named.source,
            options: named.options,
        };
        self.handle.command(add).await.map_err(stopped)?;
        loop {
            match self.next().await {
                Woken::Event(Event::Added {
                    tag: answered,
                    result,
                }) if answered == tag => {
                    if result.is_err() && is_new {
                        self.torrents.remove(&named.info_hash);
                    }
                    let worded = |e: AddError| match e {
                        AddError::NotStored(_) => format!("{e}{BY_TRACKER}"),
                        _ => e.to_string(),
                    };
                    return result.map_err(|e| CliError::Invalid(worded(e)));
                }
                other => self.handle_woken(other).await?,
            }
        }
    }

    fn next_tag(&mut self) -> u64 {
        self.added += 1;
        self.added
    }

    /// Stops a torrent and forgets it. What it earned stays on record.
    pub(super) async fn remove(
        &mut self,
        info_hash: InfoHash,
        delete_data: bool,
    ) -> Result<(), CliError> {
        self.torrents.remove(&info_hash);
        let remove = Command::Remove {
            info_hash,
            delete_data,
        };
        self.handle.command(remove).await.map_err(stopped)?;
        self.handle.place(info_hash, None).await.map_err(stopped)
    }

    /// The link of a torrent that is watched.
    pub(super) fn magnet(&self, info_hash: &InfoHash) -> Option<String> {
        Some(self.torrents.get(info_hash)?.magnet.to_string())
    }

    /// Names the torrent's trackers that are of no use here. Where all are, the peer says so itself.
    fn tell_unused_trackers(&self, named: &Named) {
        let is_other =
            |url: &&String| TrackerUrl::parse(url) == Err(TrackerUrlError::UnsupportedScheme);
        let others: Vec<&String> = named.magnet.trackers.iter().filter(is_other).collect();
        let Some(first) = others.first() else {
            return;
        };
        if others.len() == named.magnet.trackers.len() {
            return;
        }
        let more = match others.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let text = format!(
            "the tracker {}{more} is not used: {}",
            plain(first),
            TrackerUrlError::UnsupportedScheme
        );
        let value = json!({"info_hash": named.info_hash.to_hex(), "text": text});
        self.note("warning", &value, || format!("warning: {text}"));
    }

    /// Waits for something to happen; hand it to [`Runner::handle_woken`].
    pub(super) async fn next(&mut self) -> Woken {
        tokio::select! {
            event = self.events.recv() => event.map_or(Woken::Stopped, Woken::Event),
            Some(batch) = self.batches.recv() => Woken::Batch(batch),
            () = sleep(CHECK_INTERVAL), if self.is_checking() => Woken::Checked,
        }
    }

    fn is_checking(&self) -> bool {
        (self.torrents.values()).any(|watched| watched.standing == Standing::Checking)
    }

    /// Reports an event and acts on it.
    pub(super) async fn handle_woken(&mut self, woken: Woken) -> Result<(), CliError> {
        match woken {
            Woken::Stopped => Err(CliError::Failed("the peer has stopped".to_owned())),
            Woken::Checked => self.look().await.map(drop),
            Woken::Batch(batch) => {
                (self.pace.under_way, self.sending) = (false, false);
                let waits = batch.waits_for_gas();
                // It is said once, until something is redeemed again.
                let is_news = !waits || !std::mem::replace(&mut self.waits_for_gas, waits);
                self.waits_for_gas = waits;
                match batch.next_may_pay() {
                    true => self.pace.went_well(batch.is_full()),
                    false => self.pace.failed(Instant::now()),
                }
                if !is_news {
                    return self.tell_outcome(&batch).await.map_err(stopped);
                }
                let report = self.close_batch(batch).await;
                self.note("redeemed", &report, || redeemed_line(&report));
                Ok(())
            }
            Woken::Event(Event::RedeemDue) => {
                self.pace.said_due();
                Ok(())
            }
            Woken::Event(Event::ClaimsReady {
                tag,
                claims,
                total,
                is_last_chance,
            }) => {
                // With nothing in it there is nothing to answer.
                if !claims.is_empty() && total >= self.redeem_min() {
                    self.send_claims(
                        tag,
                        claims,
                        Sum {
                            total,
                            is_last_chance,
                        },
                    );
                    return Ok(());
                }
                self.pace.under_way = false;
                if claims.is_empty() {
                    self.pace.came_to_nothing(Instant::now());
                    return Ok(());
                }
                self.pace.put_off(Instant::now());
                self.give_back(tag, "it is not worth a transaction yet")
                    .await
            }
            Woken::Event(Event::Complete { info_hash }) => self.completed(info_hash).await,
            Woken::Event(event) => {
                self.tell(event);
                Ok(())
            }
        }
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Ready { info_hash } => {
                if let Some(watched) = self.torrents.get_mut(&info_hash) {
                    watched.standing = Standing::Checking;
                }
            }
            Event::Warning {
                info_hash,
                mut text,
            } => {
                if text == NO_TRACKER {
                    text.push_str(BY_TRACKER);
                }
                let value = json!({"info_hash": info_hash.map(InfoHash::to_hex), "text": text});
                self.note("warning", &value, || {
                    format!("warning: {}", sentence(&text))
                });
            }
            Event::Title {
                info_hash,
                standing,
            } => {
                let (text, mut value) = told_of_title(&standing);
                value["info_hash"] = json!(info_hash.to_hex());
                self.note("title", &value, || format!("title {info_hash}: {text}"));
            }
            Event::Failed { info_hash, text } => {
                let value = json!({"info_hash": info_hash.to_hex(), "text": text});
                self.note("failed", &value, || {
                    format!("failed {info_hash}: {}", sentence(&text))
                });
            }
            Event::Payment { info_hash, text } => {
                let value = json!({"info_hash": info_hash.map(InfoHash::to_hex), "text": text});
                self.note("payment", &value, || format!("payment: {}", plain(&text)));
            }
            Event::PaymentNeeded {
                info_hash,
                price,
                why,
            } => {
                let per_gb = tokens(price.per_gb_from_per_block(), self.decimals);
                let value = json!({"info_hash": info_hash.to_hex(), "tokens_per_gb": per_gb});
                self.note("payment_needed", &value, || {
                    format!("peers ask {per_gb} tokens per GB: {}", lacking(why))
                });
            }
            Event::PeerConnected {
                info_hash,
                connection,
            } if self.json => {
                let value = json!({"info_hash": info_hash.to_hex(), "connection": connection.0});
                self.note("peer_connected", &value, String::new);
            }
            Event::PeerClosed {
                info_hash,
                connection,
                reason,
            } if self.json => {
                let value = json!({
                    "info_hash": info_hash.map(InfoHash::to_hex),
                    "connection": connection.0,
                    "reason": reason.to_string(),
                });
                self.note("peer_closed", &value, String::new);
            }
            _ => {}
        }
    }

    /// One event: a line of JSON, or of text.
    pub(super) fn note(&self, event: &str, value: &Value, text: impl FnOnce() -> String) {
        if self.json {
            say_json(&with_event(event, value.clone()));
        } else {
            let text = text();
            if !text.is_empty() {
                say(&text);
            }
        }
    }

    fn announce(&mut self, info_hash: InfoHash) {
        let Some(watched) = self.torrents.get_mut(&info_hash) else {
            return;
        };
        watched.complete = true;
        if self.announces && !std::mem::replace(&mut watched.announced, true) {
            let magnet = watched.magnet.to_string();
            let value = json!({"info_hash": info_hash.to_hex(), "magnet": magnet});
            self.note("seeding", &value, || {
                format!("seeding {info_hash} {magnet}")
            });
        }
    }

    /// What was bought, sold and redeemed.
    pub(super) async fn receipts(&self) -> Result<Account, CliError> {
        self.handle.receipts().await.map_err(stopped)
    }

    /// Looks at all torrents and peers, and keeps the figures that will be gone later.
    pub(super) async fn look(&mut self) -> Result<Snapshot, CliError> {
        let snapshot = self.handle.snapshot().await.map_err(stopped)?;
        self.tell_trackers(&snapshot.client.trackers);
        for stall in (self.stalls).look(&snapshot.torrents, self.decimals, Instant::now()) {
            self.note("stalled", &stall.value, || stall.text);
        }
        for torrent in &snapshot.torrents {
            self.look_at(torrent).await?;
            for peer in &torrent.peers {
                self.peers
                    .insert(peer.connection, (torrent.info_hash, peer.clone()));
            }
        }
        while self.peers.len() > MAX_PEERS {
            self.peers.pop_first();
        }
        Ok(snapshot)
    }

    async fn look_at(&mut self, torrent: &TorrentSnapshot) -> Result<(), CliError> {
        let Some(watched) = self.torrents.get_mut(&torrent.info_hash) else {
            return Ok(());
        };
        let before = std::mem::replace(&mut watched.verified_bytes, torrent.verified_bytes);
        let checked = !matches!(
            torrent.state,
            TorrentState::FetchingMetadata | TorrentState::Checking
        );
        match watched.standing {
            Standing::Opening => {}
            // The data in place could not be read. That was reported, and shows nothing about the data.
            Standing::Checking if torrent.state == TorrentState::Failed => {
                watched.standing = Standing::Known;
            }
            Standing::Checking if checked => {
                watched.standing = Standing::Known;
                self.checked(torrent).await?;
            }
            Standing::Checking => {}
            Standing::Known if torrent.verified_bytes < before => {
                // A peer that fetches notices by itself that pieces are missing again.
                if watched.complete || watched.wish == Wish::Serve {
                    self.check_again(torrent).await?;
                }
            }
            Standing::Known if is_whole(torrent) => self.announce(torrent.info_hash),
            Standing::Known => {}
        }
        Ok(())
    }

    /// The data in place is known now. It is served, or the rest is fetched, if that harms nobody's files.
    async fn checked(&mut self, torrent: &TorrentSnapshot) -> Result<(), CliError> {
        let info_hash = torrent.info_hash;
        if is_whole(torrent) {
            self.announce(info_hash);
            return Ok(());
        }
        let torrent = &self.selected(torrent).await?;
        let survey = self.handle.survey(info_hash).await.map_err(stopped)?;
        let files = shortfalls(torrent, &survey);
        if let Some(watched) = self.torrents.get_mut(&info_hash)
            && watched.wish == Wish::FetchAgain
        {
            watched.wish = match is_gone(torrent, &survey) {
                true => Wish::Serve,
                false => Wish::Fetch,
            };
        }
        let wish = self.torrents.get(&info_hash).map(|watched| watched.wish);
        if wish == Some(Wish::Serve) {
            let remedy = if self.goes_on { BY_COMMANDS } else { BY_FLAGS };
            let (value, text) = incomplete(torrent, &files, remedy);
            self.note("incomplete", &value, || text);
            return Ok(());
        }
        if let Some(text) = in_the_way(torrent, &files) {
            if self.json || self.goes_on {
                self.tell(Event::Failed {
                    info_hash,
                    text: text.clone(),
                });
            }
            if !self.goes_on {
                return Err(CliError::Invalid(text));
            }
            // What is right of it is served.
            if let Some(watched) = self.torrents.get_mut(&info_hash) {
                watched.wish = Wish::Serve;
            }
            return Ok(());
        }
        let fetch = Command::SetOnDemand {
            info_hash,
            on_demand: false,
            remember: false,
        };
        self.handle.command(fetch).await.map_err(stopped)?;
        // It may be here already, and then it is not said again.
        match self.chosen {
            true => self.completed(info_hash).await,
            false => Ok(()),
        }
    }

    /// Everything that was selected is here, if the selection is still that: what an earlier run chose may be complete
    /// before the operator's choice is made.
    async fn completed(&mut self, info_hash: InfoHash) -> Result<(), CliError> {
        if self.choice.is_some() && !self.chosen {
            return Ok(());
        }
        let snapshot = self.handle.snapshot().await.map_err(stopped)?;
        let is_it = |torrent: &&TorrentSnapshot| torrent.info_hash == info_hash;
        if let Some(torrent) = snapshot.torrents.iter().find(is_it)
            && torrent.selected_length == torrent.selected_verified
        {
            self.announce(info_hash);
        }
        Ok(())
    }

    /// The files that the operator named are selected. Answers the torrent with its priorities as they are then.
    async fn selected(&mut self, torrent: &TorrentSnapshot) -> Result<TorrentSnapshot, CliError> {
        let mut torrent = torrent.clone();
        let info_hash = torrent.info_hash;
        if self.torrents.get(&info_hash).map(|watched| watched.wish) != Some(Wish::Fetch) {
            return Ok(torrent);
        }
        if let Some(choice) = &self.choice {
            torrent.priorities = choice.priorities(&torrent.name, &torrent.files)?;
            for priority in [Priority::Normal, Priority::Skip] {
                let files = (0u32..).zip(&torrent.priorities);
                let select = Command::SelectFiles {
                    info_hash,
                    files: (files.filter(|(_, its)| **its == priority))
                        .map(|(at, _)| at)
                        .collect(),
                    priority,
                };
                self.handle.command(select).await.map_err(stopped)?;
            }
            self.chosen = true;
        }
        let (files, of) = selected(&torrent);
        if files < of {
            let value = json!({"info_hash": info_hash.to_hex(), "files": files, "of": of});
            self.note("selected", &value, || {
                format!(
                    "fetching {files} of {of} files: {} are left out",
                    of - files
                )
            });
        }
        Ok(torrent)
    }

    /// Verified data changed, or is gone: the peers hear again which pieces are there, once that is known.
    async fn check_again(&mut self, torrent: &TorrentSnapshot) -> Result<(), CliError> {
        let info_hash = torrent.info_hash;
        let tag = self.next_tag();
        let Some(watched) = self.torrents.get_mut(&info_hash) else {
            return Ok(());
        };
        watched.standing = Standing::Opening;
        (watched.complete, watched.announced) = (false, false);
        if matches!(watched.wish, Wish::Fetch | Wish::FetchAgain) {
            watched.wish = Wish::Serve;
        }
        let again = [
            Command::Remove {
                info_hash,
                delete_data: false,
            },
            Command::Add {
                tag,
                source: watched.source.clone(),
                options: AddOptions {
                    check: CheckExisting::Recheck,
                    ..watched.options.clone()
                },
            },
        ];
        let text = format!(
            "the data of {} changed or went away while it was served: it is checked again",
            plain(&torrent.name)
        );
        let value = json!({"info_hash": info_hash.to_hex(), "text": text});
        self.note("data_lost", &value, || text);
        for command in again {
            self.handle.command(command).await.map_err(stopped)?;
        }
        Ok(())
    }

    /// Says why a tracker brings nothing: each trouble once in a while.
    fn tell_trackers(&mut self, trackers: &[TrackerSnapshot]) {
        for tracker in trackers {
            let said = self.troubles.get_mut(&tracker.url);
            let Some(error) = &tracker.error else {
                let ended = said.filter(|said| tracker.connected && !said.ended);
                if let Some(said) = ended {
                    said.ended = true;
                    let value = json!({"url": tracker.url, "connected": true, "error": null});
                    self.note("tracker", &value, || {
                        format!("tracker {} can be used now", plain(&tracker.url))
                    });
                }
                continue;
            };
            if said.is_some_and(|said| said.text == *error && said.at.elapsed() < TROUBLE_SAID) {
                continue;
            }
            let trouble = Trouble {
                text: error.clone(),
                at: Instant::now(),
                ended: false,
            };
            self.troubles.insert(tracker.url.clone(), trouble);
            let value = json!({
                "url": tracker.url, "connected": tracker.connected, "error": error,
            });
            self.note("tracker", &value, || {
                let what = match tracker.connected {
                    true => "says",
                    false => "cannot be used now, and is tried again",
                };
                format!("tracker {} {what}: {}", plain(&tracker.url), plain(error))
            });
        }
        self.troubles
            .retain(|url, _| trackers.iter().any(|tracker| tracker.url == *url));
    }

    /// Whether every torrent is complete.
    pub(super) fn all_complete(&self) -> bool {
        self.torrents.values().all(|watched| watched.complete)
    }

    /// The figures of this run for the operator.
    pub(super) fn summary(&self, snapshot: &Snapshot) -> Value {
        let torrents = snapshot.torrents.iter();
        let torrents: Vec<Value> = torrents.map(|t| self.torrent_json(t)).collect();
        let mut summary = self.shared_json(snapshot);
        summary["torrents"] = json!(torrents);
        summary
    }

    /// The figures of one torrent.
    pub(super) fn torrent_json(&self, torrent: &TorrentSnapshot) -> Value {
        let peers: Vec<Value> = self
            .peers
            .values()
            .filter(|(info_hash, _)| *info_hash == torrent.info_hash)
            .map(|(_, peer)| {
                let connected = torrent
                    .peers
                    .iter()
                    .any(|now| now.connection == peer.connection);
                peer_json(peer, connected)
            })
            .collect();
        json!({
            "info_hash": torrent.info_hash.to_hex(),
            "name": torrent.name,
            "state": state_name(torrent),
            "total_length": torrent.total_length,
            "verified_bytes": torrent.verified_bytes,
            "uploaded": torrent.uploaded,
            "downloaded": torrent.downloaded,
            "wasted": torrent.wasted,
            "price_fine": torrent.price.0.to_string(),
            "tokens_per_gb": tokens(torrent.price.per_gb_from_per_block(), self.decimals),
            "earned_fine": torrent.earned.0.to_string(),
            "spent_fine": torrent.spent.0.to_string(),
            "peers": peers,
            "web_seeds": torrent.web_seeds.iter().map(web_seeds::as_json).collect::<Vec<_>>(),
        })
    }

    /// The figures that torrents share.
    pub(super) fn shared_json(&self, snapshot: &Snapshot) -> Value {
        json!({
            "upload_rate": snapshot.client.upload_rate,
            "download_rate": snapshot.client.download_rate,
            "money": money_json(&snapshot.client.money),
            "redemptions": self.redeemed,
            "trackers": snapshot.client.trackers.iter().map(|t| json!({
                "url": t.url, "connected": t.connected, "error": t.error,
            })).collect::<Vec<_>>(),
        })
    }

    /// Asks another price of every torrent.
    pub(super) async fn set_price(&mut self, price: FineUnits) -> Result<(), CliError> {
        self.check_price(price).await?;
        let all: Vec<InfoHash> = self.torrents.keys().copied().collect();
        for info_hash in all {
            self.set_price_of(info_hash, price).await?;
        }
        Ok(())
    }

    /// Whether a price can be asked here.
    pub(super) async fn check_price(&mut self, price: FineUnits) -> Result<(), CliError> {
        if let Some(payout) = self.payout.as_mut().filter(|_| price.0 > 0) {
            payout.check_vault(self.decimals).await?;
        } else if price.0 > 0 {
            let text = "there is no payee: start with --payee-key";
            return Err(CliError::Invalid(text.to_owned()));
        }
        Ok(())
    }

    /// Asks another price of one torrent; [`Runner::check_price`] comes first.
    pub(super) async fn set_price_of(
        &mut self,
        info_hash: InfoHash,
        price: FineUnits,
    ) -> Result<(), CliError> {
        if let Some(watched) = self.torrents.get_mut(&info_hash) {
            // A torrent that is taken up again keeps its price.
            watched.options.price = Some(price);
        }
        let set = Command::SetPrice { info_hash, price };
        self.handle.command(set).await.map_err(stopped)
    }

    /// Waits until every block that came is paid, no longer than [`SETTLE_LIMIT`].
    async fn settle(&mut self) {
        let by = Instant::now() + SETTLE_LIMIT;
        while Instant::now() < by {
            match self.look().await {
                Ok(snapshot) if snapshot.client.money.owed_blocks > 0 => {}
                _ => return,
            }
            tokio::select! {
                Some(event) = self.events.recv() => self.tell(event),
                () = sleep(CHECK_INTERVAL) => {}
            }
        }
    }

    /// Pays what is owed, says goodbye, makes everything durable, and waits until that is done.
    pub(super) async fn shut_down(mut self) -> Result<(), CliError> {
        self.settle().await;
        // Stopped already is as good.
        let _ = self.handle.command(Command::Shutdown).await;
        while let Some(event) = self.events.recv().await {
            match event {
                Event::ShutDown => {}
                other => self.tell(other),
            }
        }
        drop(self.handle);
        self.task
            .await
            .map_err(|e| CliError::Failed(format!("the peer broke off: {e}")))
    }
}

pub(super) fn stopped(_: Stopped) -> CliError {
    CliError::Failed("the peer has stopped".to_owned())
}

/// For JSON.
pub(super) fn state_name(torrent: &TorrentSnapshot) -> &'static str {
    match torrent.state {
        TorrentState::FetchingMetadata => "fetchingmetadata",
        TorrentState::Checking => "checking",
        // It is offered as it is, and nothing is fetched.
        TorrentState::Downloading if torrent.on_demand => "incomplete",
        TorrentState::Downloading => "downloading",
        TorrentState::Seeding => "seeding",
        TorrentState::Paused => "paused",
        TorrentState::Failed => "failed",
    }
}

/// `{"event": ..., ...value}`
pub(super) fn with_event(event: &str, mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.insert("event".to_owned(), json!(event));
    }
    value
}

pub(super) fn money_json(money: &MoneySnapshot) -> Value {
    json!({
        "account_ready": money.account_ready,
        "balance": money.balance.0.to_string(),
        "locked": money.locked.0.to_string(),
        "budget": money.budget.0.to_string(),
        "spent_fine": money.spent.0.to_string(),
        "redeemable": money.redeemable.0.to_string(),
        "redeemable_fine": money.redeemable_fine.0.to_string(),
        "redeemable_ranges": money.redeemable_ranges,
        "redeemed": money.redeemed.0.to_string(),
        "vouchers_signed": money.vouchers_signed,
        "preimages_released": money.preimages_released,
        "preimages_received": money.preimages_received,
    })
}

fn peer_json(peer: &PeerSnapshot, connected: bool) -> Value {
    json!({
        "connection": peer.connection.0,
        "client": peer.client,
        "connected": connected,
        "uploaded": peer.uploaded,
        "downloaded": peer.downloaded,
        "bought_blocks": peer.buying.blocks,
        "bought_fine": peer.buying.paid.0.to_string(),
        "sold_blocks": peer.selling.blocks,
        "sold_fine": peer.selling.paid.0.to_string(),
    })
}

/// Work that must be done before anything is bought.
fn lacking(why: PaymentNeed) -> &'static str {
    match why {
        PaymentNeed::NoAccount => {
            "open an account, and give --owner, --session-key, --max-price and --budget"
        }
        PaymentNeed::DepositUsedUp => "the deposit is used up, top it up",
        PaymentNeed::BudgetUsedUp => "the budget is used up, give a larger --budget",
        PaymentNeed::Exiting => "the deposit is on its way back, open another account",
        PaymentNeed::Withdrawn => "the deposit went back, open another account",
        PaymentNeed::Held => {
            "this account promised more than is recorded here, get it back and open another"
        }
    }
}
