//! The run loop: one task owns the [`Client`], and carries out its outputs.
//!
//! Owns the clock and the queue through which everything enters. Invariant: each input is followed
//! by [`Client::poll_output`] until it answers a time, and no output waits for anything. Never
//! decides anything itself.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sha1::{Digest, Sha1};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep_until, timeout};

use super::chain::{Chain, ChainConfig, ChainError};
use super::chain_reads::ChainReads;
use super::records::{Records, RecordsError};
use super::session_key::SessionKey;
use super::signaling::Trackers;
use super::storage::{Storage, SurveyedFile};
use super::transport::{Transport, TransportConfig, TransportError};
use super::web_seeds::WebSeeds;
use crate::client::edge::{self, Edge};
use crate::client::{
    BUYER_PREFIX, Client, ClientSnapshot, Command, Config, Effect, EffectError, EffectResult,
    Event, Input, Output, Receipt, StorageOp, TorrentSnapshot,
};
use crate::metainfo::raw::raw_paths;
use crate::time::{Duration, Timestamp};
use crate::types::{EffectId, InfoHash};

/// Inputs that wait for the client; when full, sockets and threads wait.
const MAX_QUEUED_INPUTS: usize = 512;
/// Commands that wait for the client; when full, callers wait.
const MAX_QUEUED_REQUESTS: usize = 64;
/// Events that wait for the embedder. Beyond that, [`Event::PieceDone`] is dropped at once, and of
/// the others the oldest.
const MAX_QUEUED_EVENTS: usize = 4096;
/// The prefix of the keys of a buyer's records; those records lie beside the buyer's key.
const PAYER_RECORDS: [&str; 2] = ["pay/payer/", BUYER_PREFIX];
/// How long sockets may take to say goodbye at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Everything a native peer needs to know.
#[derive(Clone, Debug)]
pub struct NativeConfig {
    /// For the core.
    pub client: Config,
    /// For peer connections.
    pub transport: TransportConfig,
    /// Below it lie the torrents' files.
    pub data_dir: PathBuf,
    /// Records and scratch files; used by one process at a time.
    pub state_dir: PathBuf,
    /// Write also into files below `data_dir` that this program did not make.
    pub repair: bool,
    /// The web seeds that torrents name may lie on this machine or in its network.
    pub local_web_seeds: bool,
    /// Needed to buy and to sell.
    pub chain: Option<ChainConfig>,
    /// Needed to buy: the key, whose records lie beside it.
    pub session_key: Option<SessionKey>,
}

/// The reason why a native peer does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The data folder.
    #[error("the data folder {0} cannot be used: {1}")]
    Data(PathBuf, std::io::Error),
    /// Sockets.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The chain's configuration.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes: {0}")]
    Entropy(String),
    /// The operating system gave no thread.
    #[error("the operating system gave no thread: {0}")]
    Threads(std::io::Error),
}

/// All torrents and the money, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The facts that torrents share.
    pub client: ClientSnapshot,
    /// Each torrent.
    pub torrents: Vec<TorrentSnapshot>,
}

/// The running peer has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer has stopped")]
pub struct Stopped;

/// How to talk to a running peer.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
enum Request {
    Command(Box<Command>),
    Snapshot(oneshot::Sender<Snapshot>),
    Stored(oneshot::Sender<Vec<InfoHash>>),
    Survey(InfoHash, oneshot::Sender<Vec<SurveyedFile>>),
    Place(InfoHash, Option<PathBuf>),
    Shared(InfoHash, oneshot::Sender<Vec<(PathBuf, InfoHash)>>),
    Receipts(oneshot::Sender<Account>),
}

/// What was bought, sold and redeemed, and the titles' names; see [`Client::receipts`].
pub type Account = (Vec<Receipt>, Vec<(InfoHash, String)>);

impl Handle {
    /// Gives a command; its answer is an event. Stream commands have no use here: their data is dropped, because files
    /// are read in place.
    ///
    /// # Errors
    /// The peer has stopped.
    pub async fn command(&self, command: Command) -> Result<(), Stopped> {
        self.requests
            .send(Request::Command(Box::new(command)))
            .await
            .map_err(|_| Stopped)
    }

    /// Names the folder for a torrent's files, for commands that come later; see [`Storage::place`].
    ///
    /// # Errors
    /// The peer has stopped.
    pub async fn place(&self, info_hash: InfoHash, folder: Option<PathBuf>) -> Result<(), Stopped> {
        (self.requests)
            .send(Request::Place(info_hash, folder))
            .await
            .map_err(|_| Stopped)
    }

    /// A snapshot of the client.
    ///
    /// # Errors
    /// The peer has stopped.
    pub async fn snapshot(&self) -> Result<Snapshot, Stopped> {
        let (answer, receiver) = oneshot::channel();
        self.requests
            .send(Request::Snapshot(answer))
            .await
            .map_err(|_| Stopped)?;
        receiver.await.map_err(|_| Stopped)
    }

    /// Torrents whose info dictionary is in the records.
    ///
    /// # Errors
    /// The peer has stopped.
    pub async fn stored_torrents(&self) -> Result<Vec<InfoHash>, Stopped> {
        let (answer, receiver) = oneshot::channel();
        self.requests
            .send(Request::Stored(answer))
            .await
            .map_err(|_| Stopped)?;
        receiver.await.map_err(|_| Stopped)
    }

    /// What was bought, sold and redeemed.
    ///
    /// # Errors
    /// The peer has stopped.
    pub async fn receipts(&self) -> Result<Account, Stopped> {
        let (answer, receiver) = oneshot::channel();
        self.requests
            .send(Request::Receipts(answer))
            .await
            .map_err(|_| Stopped)?;
        receiver.await.map_err(|_| Stopped)
    }

    /// How a torrent's files lie on disk, in its order; nothing if its storage is not open.
    ///
    /// # Errors
    /// The peer has stopped.
    pub async fn survey(&self, info_hash: InfoHash) -> Result<Vec<SurveyedFile>, Stopped> {
        let (answer, receiver) = oneshot::channel();
        self.requests
            .send(Request::Survey(info_hash, answer))
            .await
            .map_err(|_| Stopped)?;
        Ok(receiver.await.unwrap_or_default())
    }

    /// The files of a torrent that another one has, too; see [`Storage::shared`].
    ///
    /// # Errors
    /// The peer has stopped.
    pub async fn shared(&self, info_hash: InfoHash) -> Result<Vec<(PathBuf, InfoHash)>, Stopped> {
        let (answer, receiver) = oneshot::channel();
        self.requests
            .send(Request::Shared(info_hash, answer))
            .await
            .map_err(|_| Stopped)?;
        receiver.await.map_err(|_| Stopped)
    }
}

/// A running peer.
#[derive(Debug)]
pub struct Running {
    /// The handle to the running peer.
    pub handle: Handle,
    /// Its events; ends after [`Event::ShutDown`].
    pub events: mpsc::Receiver<Event>,
    /// Ends when everything is durable, closed and unlocked.
    pub task: JoinHandle<()>,
}

/// Starts a peer on the current tokio runtime (multi-threaded).
///
/// # Errors
/// See [`StartError`]; nothing runs then.
pub fn start(config: NativeConfig) -> Result<Running, StartError> {
    let (inputs_tx, inputs) = mpsc::channel(MAX_QUEUED_INPUTS);
    let (requests_tx, requests) = mpsc::channel(MAX_QUEUED_REQUESTS);
    let (events_tx, events) = mpsc::channel(1);
    let (records, mut stored) = Records::open(&config.state_dir, inputs_tx.clone())?;
    let buying = match config.session_key {
        Some(key) => {
            let (records, promised) = Records::open(key.records_dir(), inputs_tx.clone())?;
            // If a record is in both places, the one beside the key was written last.
            stored.extend(promised);
            Some(Buying { key, records })
        }
        None => None,
    };
    let data_error = |e| StartError::Data(config.data_dir.clone(), e);
    std::fs::create_dir_all(&config.data_dir).map_err(data_error)?;
    let storage = Storage::new(
        &config.data_dir,
        &config.state_dir,
        config.repair,
        inputs_tx.clone(),
    )
    .map_err(data_error)?;
    let transport = Transport::new(config.transport, inputs_tx.clone())?;
    let chain = config.chain.as_ref().map(Chain::new).transpose()?;
    let chain_reads = chain
        .map(|chain| ChainReads::start(&chain, &inputs_tx))
        .transpose()
        .map_err(StartError::Threads)?;
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed).map_err(|e| StartError::Entropy(e.to_string()))?;
    let clock = Clock::new();
    let client = Client::new(config.client, seed, stored, clock.now());
    let driver = Driver {
        client,
        clock,
        at_once: VecDeque::new(),
        events: VecDeque::new(),
        shut_down: false,
        trackers: Trackers::new(inputs_tx.clone()),
        web_seeds: WebSeeds::new(config.local_web_seeds, inputs_tx.clone()),
        inputs: inputs_tx,
        transport,
        storage,
        records,
        chain_reads,
        buying,
    };
    let task = tokio::spawn(driver.run(inputs, requests, events_tx));
    Ok(Running {
        handle: Handle {
            requests: requests_tx,
        },
        events,
        task,
    })
}

/// A monotonic clock that tells Unix time. It is anchored once, so that a change of the system clock turns no timeout
/// back.
#[derive(Clone, Copy, Debug)]
struct Clock {
    anchor: Instant,
    anchor_micros: u64,
}

impl Clock {
    fn new() -> Clock {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Clock {
            anchor: Instant::now(),
            anchor_micros: u64::try_from(unix.as_micros()).unwrap_or(u64::MAX),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.anchor_micros) + self.anchor.elapsed()
    }

    /// `None` for a time that never comes.
    fn instant(&self, at: Timestamp) -> Option<tokio::time::Instant> {
        if at == Timestamp::NEVER {
            return None;
        }
        let ahead = at.since(Timestamp::from_micros(self.anchor_micros));
        self.anchor.checked_add(ahead).map(Into::into)
    }
}

struct Driver {
    client: Client,
    clock: Clock,
    /// Results that were there at once.
    at_once: VecDeque<Input>,
    events: VecDeque<Event>,
    shut_down: bool,
    inputs: mpsc::Sender<Input>,
    transport: Transport,
    trackers: Trackers,
    web_seeds: WebSeeds,
    storage: Storage,
    records: Records,
    chain_reads: Option<ChainReads>,
    buying: Option<Buying>,
}

/// The signer of promises, and its records.
struct Buying {
    key: SessionKey,
    records: Records,
}

impl Driver {
    async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        mut requests: mpsc::Receiver<Request>,
        events: mpsc::Sender<Event>,
    ) {
        let mut commands_end = false;
        let mut listened_to = true;
        let mut next = edge::start(&mut self);
        while !self.shut_down {
            if let Some(input) = self.at_once.pop_front() {
                next = self.feed(input);
                continue;
            }
            let wake = self.clock.instant(next);
            let input = tokio::select! {
                Some(input) = inputs.recv() => input,
                request = requests.recv(), if !commands_end => match request {
                    Some(Request::Command(command)) => Input::Command(*command),
                    Some(Request::Snapshot(answer)) => {
                        // The caller may have gone meanwhile.
                        let _ = answer.send(self.snapshot());
                        continue;
                    }
                    Some(Request::Stored(answer)) => {
                        let _ = answer.send(self.client.stored_torrents());
                        continue;
                    }
                    Some(Request::Receipts(answer)) => {
                        let _ = answer.send((self.client.receipts(), self.client.receipt_names()));
                        continue;
                    }
                    Some(Request::Place(info_hash, folder)) => {
                        self.storage.place(info_hash, folder);
                        continue;
                    }
                    Some(Request::Shared(info_hash, answer)) => {
                        let _ = answer.send(self.storage.shared(info_hash));
                        continue;
                    }
                    Some(Request::Survey(info_hash, answer)) => {
                        self.storage.survey(info_hash, answer);
                        continue;
                    }
                    None => {
                        commands_end = true;
                        Input::Command(Command::Shutdown)
                    }
                },
                permit = events.reserve(), if listened_to && !self.events.is_empty() => {
                    match (permit, self.events.pop_front()) {
                        (Ok(permit), Some(event)) => permit.send(event),
                        _ => listened_to = false,
                    }
                    continue;
                }
                () = sleep_to(wake) => Input::Tick,
            };
            next = self.feed(input);
        }
        self.finish(inputs, events).await;
    }

    fn feed(&mut self, input: Input) -> Timestamp {
        if let Input::ConnectionClosed { connection, .. } = &input {
            self.transport.forget(*connection);
        }
        if let Input::TrackerClosed { tracker, .. } = &input {
            self.trackers.close(*tracker);
        }
        if let Input::WebSeedEnd { request, .. } = &input {
            self.web_seeds.forget(*request);
        }
        edge::feed(self, input)
    }

    fn begin(&mut self, id: EffectId, effect: Effect) -> Result<(), EffectError> {
        match effect {
            Effect::Storage { info_hash, op } => {
                let raw = match &op {
                    StorageOp::Open { .. } => {
                        self.client.stored_info_bytes(info_hash).map(raw_paths)
                    }
                    _ => None,
                };
                return self
                    .storage
                    .submit(info_hash, id, op, raw.unwrap_or_default());
            }
            Effect::PutRecords { records, .. } => {
                let promises = records
                    .iter()
                    .any(|(key, _)| PAYER_RECORDS.iter().any(|start| key.starts_with(start)));
                let home = match &self.buying {
                    Some(buying) if promises => &buying.records,
                    _ => &self.records,
                };
                return home.submit(id, records);
            }
            Effect::Hash { chunks } => self.in_background(id, move || {
                let mut sha1 = Sha1::new();
                for chunk in &chunks {
                    sha1.update(chunk);
                }
                Ok(EffectResult::Hashed(sha1.finalize().into()))
            }),
            Effect::Sign { digest } => {
                let signature = self
                    .buying
                    .as_ref()
                    .ok_or_else(|| {
                        EffectError::Signing("there is no session key: give --session-key".into())
                    })?
                    .key
                    .pair
                    .sign(digest)
                    .ok_or_else(|| EffectError::Signing("the key refused the digest".into()))?;
                self.at_once.push_back(Input::EffectDone {
                    id,
                    result: Ok(EffectResult::Signed(signature)),
                });
            }
            Effect::ReadAccount { account, word } => {
                return self
                    .chain_reads
                    .as_ref()
                    .ok_or_else(|| EffectError::Chain("no chain is configured: give --rpc".into()))?
                    .submit(id, account, word);
            }
        }
        Ok(())
    }

    fn in_background(
        &self,
        id: EffectId,
        work: impl FnOnce() -> Result<EffectResult, EffectError> + Send + 'static,
    ) {
        let inputs = self.inputs.clone();
        spawn_blocking(move || {
            let result = work();
            // If nobody listens, the client is gone.
            let _ = inputs.blocking_send(Input::EffectDone { id, result });
        });
    }

    fn note(&mut self, event: Event) {
        self.shut_down |= matches!(event, Event::ShutDown);
        if self.events.len() >= MAX_QUEUED_EVENTS {
            if matches!(event, Event::PieceDone { .. }) {
                return;
            }
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn snapshot(&self) -> Snapshot {
        let client = self.client.snapshot();
        let torrents = client
            .torrents
            .iter()
            .filter_map(|info_hash| self.client.torrent(*info_hash))
            .collect();
        Snapshot { client, torrents }
    }

    async fn finish(self, mut inputs: mpsc::Receiver<Input>, events: mpsc::Sender<Event>) {
        // A task that still reports must not wait for a client that is gone.
        let drain = tokio::spawn(async move { while inputs.recv().await.is_some() {} });
        let goodbyes = async {
            tokio::join!(self.transport.shutdown(), self.trackers.shutdown());
        };
        // Dropping it closes the sockets that were not done in time.
        let _ = timeout(SHUTDOWN_TIMEOUT, goodbyes).await;
        let recorded = self.client.is_durable();
        let (storage, records, buying) = (self.storage, self.records, self.buying);
        let durable = spawn_blocking(move || {
            storage.finish(recorded);
            records.finish();
            if let Some(buying) = buying {
                buying.records.finish();
            }
        });
        let _ = durable.await;
        drain.abort();
        for event in self.events {
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
}

impl Edge for Driver {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn with_client<T>(&mut self, call: impl FnOnce(&mut Client) -> T) -> T {
        call(&mut self.client)
    }

    fn carry_out(&mut self, output: Output) {
        let (connection, failed) = match output {
            Output::Timeout(_) => return,
            Output::ConnectTracker { tracker, url } => {
                if let Err(reason) = self.trackers.connect(tracker, url) {
                    self.at_once
                        .push_back(Input::TrackerClosed { tracker, reason });
                }
                return;
            }
            Output::SendTracker { tracker, text } => {
                if let Err(reason) = self.trackers.send(tracker, text) {
                    self.at_once
                        .push_back(Input::TrackerClosed { tracker, reason });
                }
                return;
            }
            Output::CloseTracker { tracker } => return self.trackers.close(tracker),
            Output::UseIceServers { servers } => return self.transport.use_ice_servers(&servers),
            Output::CreateOffer { connection } => {
                (connection, self.transport.create_offer(connection))
            }
            Output::AcceptOffer { connection, sdp } => {
                (connection, self.transport.accept_offer(connection, sdp))
            }
            Output::ApplyAnswer { connection, sdp } => {
                (connection, self.transport.apply_answer(connection, sdp))
            }
            Output::Send { connection, chunks } => {
                (connection, self.transport.send(connection, chunks))
            }
            Output::SetLowWater { connection, bytes } => {
                (connection, self.transport.set_low_water(connection, bytes))
            }
            Output::CloseConnection { connection, .. } => {
                return self.transport.close(connection);
            }
            Output::Effect { id, effect } => {
                if let Err(error) = self.begin(id, effect) {
                    self.at_once.push_back(Input::EffectDone {
                        id,
                        result: Err(error),
                    });
                }
                return;
            }
            Output::WebSeedGet {
                request,
                url,
                first,
                last,
                given,
            } => return self.web_seeds.get(request, url, first..=last, given),
            Output::WebSeedCancel { request } => return self.web_seeds.forget(request),
            // Nothing opens streams here; see [`Handle::command`].
            Output::StreamData { .. } | Output::StreamFailed { .. } => return,
            Output::Event(event) => return self.note(event),
        };
        if let Err(reason) = failed {
            self.at_once
                .push_back(Input::ConnectionClosed { connection, reason });
        }
    }
}

async fn sleep_to(wake: Option<tokio::time::Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
