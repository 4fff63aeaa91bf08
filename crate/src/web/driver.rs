//! The run loop of the crate's documentation, in a worker.
//!
//! The driver handles one input at a time. It reads the clock once, the core handles the input, and the driver collects
//! the outputs. It carries them out only when the core is no longer borrowed. Their immediate results are queued and
//! handled next.

use core::cell::{Cell, RefCell};
use core::pin::Pin;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use alloy_primitives::keccak256;
use bytes::Bytes;
use gloo_timers::callback::Timeout;
use js_sys::Function;
use wasm_bindgen::JsValue;

use super::chain::{self, Chain};
use super::data_channel::{Channel, ChannelEvent};
use super::keys::Keys;
use super::page::Pages;
use super::records::Records;
use super::storage::Storage;
use super::stream::Streams;
use super::tracker::TrackerSocket;
use super::{hash, js};
use crate::client::Client;
use crate::client::edge::{self, Edge};
use crate::io::{
    Command, Effect, EffectError, EffectResult, Event, IceServer, Input, Output, WebSeedHead,
};
use crate::paying::Paid;
use crate::sorted::Map;
use crate::time::Timestamp;
use crate::types::{ConnectionId, EffectId, TrackerId, WebRequestId};

/// Bytes from peers that may wait in the queue. The driver closes a connection that would exceed it.
const MAX_QUEUED_BYTES: usize = 8 << 20;
/// Longest time a browser's timer can be set to.
const MAX_TIMER_MS: f64 = 2_147_483_647.0;

type EffectEnd = Result<EffectResult, EffectError>;

/// Everything that the engine owns.
pub struct Driver {
    me: Weak<Driver>,
    core: RefCell<Client>,
    queue: RefCell<VecDeque<Input>>,
    queued_bytes: Cell<usize>,
    running: Cell<bool>,
    core_deadline: Cell<Timestamp>,
    timer: RefCell<Option<(Timeout, Timestamp)>>,
    connections: RefCell<Map<ConnectionId, Connection>>,
    trackers: RefCell<Map<TrackerId, TrackerSocket>>,
    /// Connections that this batch of outputs sent to.
    sent_to: RefCell<Vec<ConnectionId>>,
    message: RefCell<Vec<u8>>,
    /// The files of the torrents.
    pub storage: Rc<Storage>,
    /// Records.
    pub records: Rc<Records>,
    /// Keys; `None` without payments.
    pub keys: Option<Paid<Rc<Keys>>>,
    /// The vault; `None` without payments.
    pub chain: Option<Paid<Chain>>,
    ask_web_seed: Function,
    /// Whether the vault's exit delay is known or asked for.
    exit_delay_asked: Cell<bool>,
    /// The time of the latest block that was seen, in seconds since the epoch.
    block_time: Cell<u64>,
    /// The pages that use this engine.
    pub pages: Pages,
    /// Readers of files.
    pub streams: Streams,
}

/// The engine leaves a peer that sends more than this before its channel is open.
const MAX_EARLY_BYTES: usize = 1 << 20;

/// Candidates of a peer's description that the driver looks at.
const MAX_CLAIMED: usize = 32;

/// One connection that the core knows.
#[derive(Default)]
struct Connection {
    channel: Option<Channel>,
    /// Whether its channel can send.
    can_send: bool,
    /// The hash of the peer's real address, see [`Input::ConnectionOpen`]; `None` until the page has seen that address.
    address_hash: Option<u64>,
    /// The hashes of the addresses that its description names, at most [`MAX_CLAIMED`].
    claimed: Vec<u64>,
    /// Whether the core was told that the connection is open.
    open: bool,
    /// Messages that came before that, at most [`MAX_EARLY_BYTES`].
    early: Vec<Bytes>,
}

/// The parts of a driver.
pub struct Parts {
    /// The core.
    pub core: Client,
    /// The files of the torrents.
    pub storage: Storage,
    /// Records.
    pub records: Rc<Records>,
    /// Keys; `None` without payments.
    pub keys: Option<Paid<Rc<Keys>>>,
    /// The vault; `None` without payments.
    pub chain: Option<Paid<Chain>>,
    /// Asks web seeds.
    pub ask_web_seed: Function,
}

impl Edge for &Driver {
    fn now(&self) -> Timestamp {
        Driver::now()
    }

    fn with_client<T>(&mut self, call: impl FnOnce(&mut Client) -> T) -> T {
        call(&mut self.core.borrow_mut())
    }

    fn carry_out(&mut self, output: Output) {
        #[cfg(feature = "trace")]
        super::trace::put_out(&output);
        self.carry_out_one(output);
    }

    #[cfg(feature = "trace")]
    fn on_input(&mut self, now: Timestamp, input: &Input) {
        super::trace::heard(now, input);
    }

    fn end_of_batch(&mut self) {
        self.report_send_buffers();
    }
}

impl Driver {
    /// A driver that waits for its first input.
    pub fn new(parts: Parts) -> Rc<Driver> {
        Rc::new_cyclic(|me: &Weak<Driver>| Driver {
            me: Weak::clone(me),
            core: RefCell::new(parts.core),
            queue: RefCell::default(),
            queued_bytes: Cell::new(0),
            running: Cell::new(false),
            core_deadline: Cell::new(Timestamp::NEVER),
            timer: RefCell::new(None),
            connections: RefCell::default(),
            trackers: RefCell::default(),
            sent_to: RefCell::default(),
            message: RefCell::default(),
            storage: Rc::new(parts.storage),
            records: parts.records,
            keys: parts.keys,
            chain: parts.chain,
            ask_web_seed: parts.ask_web_seed,
            exit_delay_asked: Cell::new(false),
            block_time: Cell::new(0),
            pages: Pages::new(Weak::clone(me)),
            streams: Streams::new(Weak::clone(me)),
        })
    }

    /// The clock: monotonic, from the Unix epoch.
    pub fn now() -> Timestamp {
        let micros = js::worker().performance().map_or(0.0, |performance| {
            (performance.time_origin() + performance.now()) * 1_000.0
        });
        Timestamp::from_micros(micros as u64)
    }

    /// Seconds since the epoch, for signatures that the chain judges. The clock of [`Driver::now`] may stand still
    /// while the machine sleeps, and a signature with its time would be void when it is sent. Any clock may be wrong,
    /// and the chain's own is not, so the latest of them counts.
    pub fn chain_now(&self) -> u64 {
        let wall = js_sys::Date::now() / 1_000.0;
        let now = Driver::now().as_secs().max(wall as u64);
        now.max(self.block_time.get())
    }

    /// The way in for every input. Runs until the core waits, unless a run is under way.
    pub fn input(&self, input: Input) {
        self.queue.borrow_mut().push_back(input);
        self.run();
    }

    /// A command for the core.
    pub fn command(&self, command: Command) {
        self.input(Input::Command(command));
    }

    /// Looks at the core between inputs.
    pub fn look<T>(&self, look: impl FnOnce(&Client) -> T) -> T {
        look(&self.core.borrow())
    }

    /// Changes the core between inputs. Outputs that follow from the change wait for the next input.
    pub fn change<T>(&self, change: impl FnOnce(&mut Client) -> T) -> T {
        change(&mut self.core.borrow_mut())
    }

    /// Takes in the report of a channel.
    pub fn handle_channel(&self, id: ConnectionId, event: ChannelEvent) {
        if let Some(connection) = self.connections.borrow_mut().get_mut(&id) {
            // Chromium brings messages before the channel can send.
            connection.can_send |= match &event {
                ChannelEvent::Open => true,
                ChannelEvent::Message(_) => {
                    connection.channel.as_ref().is_some_and(Channel::is_open)
                }
                ChannelEvent::Drained(_) | ChannelEvent::Closed(_) => false,
            };
        } else {
            return;
        }
        self.open_if_ready(id);
        match event {
            ChannelEvent::Open => {}
            ChannelEvent::Message(bytes) => self.message(id, bytes),
            ChannelEvent::Drained(buffered) => self.input(Input::SendBuffer {
                connection: id,
                buffered,
            }),
            ChannelEvent::Closed(reason) => self.lose(id, reason),
        }
    }

    /// Reports a connection to the core once it can send and its address is known, and then the messages that came
    /// before.
    fn open_if_ready(&self, id: ConnectionId) {
        let (address_hash, claimed, early) = {
            let mut connections = self.connections.borrow_mut();
            let Some(connection) = connections.get_mut(&id) else {
                return;
            };
            let Some(address_hash) = connection.address_hash else {
                return;
            };
            if connection.open || !connection.can_send {
                return;
            }
            connection.open = true;
            (
                address_hash,
                core::mem::take(&mut connection.claimed),
                core::mem::take(&mut connection.early),
            )
        };
        self.input(Input::ConnectionOpen {
            connection: id,
            address_hash,
            claimed,
        });
        for bytes in early {
            self.receive(id, bytes);
        }
    }

    fn message(&self, id: ConnectionId, bytes: Bytes) {
        let waiting: usize = {
            let mut connections = self.connections.borrow_mut();
            match connections.get_mut(&id) {
                Some(connection) if !connection.open => {
                    connection.early.push(bytes);
                    connection.early.iter().map(Bytes::len).sum()
                }
                Some(_) => {
                    drop(connections);
                    return self.receive(id, bytes);
                }
                None => return,
            }
        };
        if waiting > MAX_EARLY_BYTES {
            self.lose(id, "more bytes came than could be handled".to_owned());
        }
    }

    fn receive(&self, id: ConnectionId, bytes: Bytes) {
        let queued = self.queued_bytes.get() + bytes.len();
        if queued > MAX_QUEUED_BYTES {
            return self.lose(id, "more bytes came than could be handled".to_owned());
        }
        self.queued_bytes.set(queued);
        self.input(Input::Received {
            connection: id,
            bytes,
        });
    }

    /// Takes in the report of a tracker's socket.
    pub fn handle_tracker(&self, id: TrackerId, input: Input) {
        if matches!(input, Input::TrackerClosed { .. }) {
            let gone = self.trackers.borrow_mut().remove(&id);
            drop(gone);
        }
        self.input(input);
    }

    /// Takes in the report of the page that holds the peer connections.
    pub fn handle_broker(&self, message: &JsValue) {
        let Some(connection) = js::number(message, "c").map(ConnectionId) else {
            return;
        };
        if !self.connections.borrow().contains_key(&connection) {
            return;
        }
        match js::text(message, "t").as_deref() {
            Some("offer") => {
                if let Some(sdp) = js::text(message, "sdp") {
                    self.input(Input::OfferReady { connection, sdp });
                }
            }
            Some("answer") => {
                if let Some(sdp) = js::text(message, "sdp") {
                    self.input(Input::AnswerReady { connection, sdp });
                }
            }
            Some("channel") => self.take_channel(connection, &js::field(message, "channel")),
            Some("address") => {
                let seen = js::text(message, "address");
                if let Some(known) = self.connections.borrow_mut().get_mut(&connection) {
                    known.address_hash = Some(seen.map_or(0, |address| address_hash(&address)));
                }
                self.open_if_ready(connection);
            }
            Some("failed") => self.lose(
                connection,
                js::text(message, "reason").unwrap_or_else(|| "the connection failed".to_owned()),
            ),
            _ => {}
        }
    }

    fn ask_web_seed(&self, arguments: &[JsValue]) {
        // It answers by messages alone, and throws nothing.
        let _ = self
            .ask_web_seed
            .apply(&JsValue::UNDEFINED, &arguments.iter().cloned().collect());
    }

    /// Takes in the report on a request to a web seed.
    pub fn handle_web_seed(&self, message: &JsValue) {
        let Some(request) = js::number(message, "r").map(WebRequestId) else {
            return;
        };
        self.input(if let Some(status) = js::number(message, "status") {
            let head = WebSeedHead {
                status: u16::try_from(status).unwrap_or(0),
                content_range: js::text(message, "range"),
                content_encoding: js::text(message, "encoding"),
                retry_after: js::text(message, "retryAfter"),
            };
            Input::WebSeedHead { request, head }
        } else if let Some(bytes) = js::bytes(&js::field(message, "bytes"), u32::MAX) {
            Input::WebSeedBytes { request, bytes }
        } else {
            let error = js::text(message, "error");
            Input::WebSeedEnd { request, error }
        });
    }

    fn take_channel(&self, id: ConnectionId, value: &JsValue) {
        let Some(channel) = Channel::take(value, id, &self.me) else {
            return self.lose(id, "the page posted no data channel".to_owned());
        };
        let arrival = channel.on_arrival();
        if let Some(connection) = self.connections.borrow_mut().get_mut(&id) {
            connection.channel = Some(channel);
        }
        if let Some(event) = arrival {
            self.handle_channel(id, event);
        }
    }

    /// A connection ended on its own. The core hears of it once, and of nothing after it.
    fn lose(&self, id: ConnectionId, reason: String) {
        let lost = self.connections.borrow_mut().remove(&id);
        if lost.is_some() {
            post("close", id, None);
            self.input(Input::ConnectionClosed {
                connection: id,
                reason,
            });
        }
    }

    fn run(&self) {
        if self.running.replace(true) {
            return;
        }
        loop {
            let Some(input) = self.queue.borrow_mut().pop_front() else {
                break;
            };
            if let Input::Received { bytes, .. } = &input {
                self.queued_bytes.set(self.queued_bytes.get() - bytes.len());
            }
            self.core_deadline.set(edge::feed(&mut &*self, input));
        }
        self.running.set(false);
        self.arm(self.core_deadline.get().min(self.streams.deadline()));
    }

    /// Reports buffers at or below their mark. A buffer that never rises above its mark fires no event when it falls.
    fn report_send_buffers(&self) {
        let connections = self.connections.borrow();
        let mut queue = self.queue.borrow_mut();
        for connection in self.sent_to.borrow_mut().drain(..) {
            let channel = connections
                .get(&connection)
                .and_then(|known| known.channel.as_ref());
            if let Some(buffered) = channel.and_then(Channel::drained) {
                queue.push_back(Input::SendBuffer {
                    connection,
                    buffered,
                });
            }
        }
    }

    fn handle_timer(&self) {
        self.timer.replace(None);
        let now = Driver::now();
        self.streams.close_idle(now);
        if now >= self.core_deadline.get() {
            self.input(Input::Tick);
        } else {
            self.run();
        }
    }

    /// Sets the timer, unless it fires early enough: then it is set anew when it fires.
    fn arm(&self, at: Timestamp) {
        if at == Timestamp::NEVER
            || self
                .timer
                .borrow()
                .as_ref()
                .is_some_and(|(_, armed)| *armed <= at)
        {
            return;
        }
        let milliseconds = (at.since(Driver::now()).as_micros() as f64 / 1_000.0).ceil();
        let me = Weak::clone(&self.me);
        let timer = Timeout::new(milliseconds.min(MAX_TIMER_MS) as u32, move || {
            if let Some(driver) = me.upgrade() {
                driver.handle_timer();
            }
        });
        self.timer.replace(Some((timer, at)));
    }

    fn carry_out_one(&self, output: Output) {
        match output {
            Output::Timeout(_) => {}
            Output::ConnectTracker { tracker, url } => {
                match TrackerSocket::connect(tracker, &url, &self.me) {
                    Ok(socket) => {
                        self.trackers.borrow_mut().insert(tracker, socket);
                    }
                    Err(reason) => self.input(Input::TrackerClosed { tracker, reason }),
                }
            }
            Output::SendTracker { tracker, text } => {
                if let Some(socket) = self.trackers.borrow().get(&tracker) {
                    socket.send(&text);
                }
            }
            Output::CloseTracker { tracker } => {
                let closed = self.trackers.borrow_mut().remove(&tracker);
                drop(closed);
            }
            Output::UseIceServers { servers } => tell_ice_servers(&servers),
            Output::CreateOffer { connection } => {
                self.expect(connection);
                post("createOffer", connection, None);
            }
            Output::AcceptOffer { connection, sdp } => {
                self.expect(connection);
                self.note_claimed(connection, &sdp);
                post("acceptOffer", connection, Some(&sdp));
            }
            Output::ApplyAnswer { connection, sdp } => {
                self.note_claimed(connection, &sdp);
                post("applyAnswer", connection, Some(&sdp));
            }
            Output::Send { connection, chunks } => self.send(connection, &chunks),
            Output::SetLowWater { connection, bytes } => {
                let connections = self.connections.borrow();
                if let Some(channel) = connections
                    .get(&connection)
                    .and_then(|c| c.channel.as_ref())
                {
                    channel.set_low_water(bytes);
                    // The buffer may be below the new mark already, and then it never falls to the mark.
                    self.note_buffer(connection);
                }
            }
            Output::CloseConnection { connection, .. } => {
                let closed = self.connections.borrow_mut().remove(&connection);
                if closed.is_some() {
                    post("close", connection, None);
                }
            }
            Output::WebSeedGet {
                request,
                url,
                first,
                last,
                ..
            } => {
                let asked = [
                    js::num(request.0),
                    url.into(),
                    js::num(first),
                    js::num(last),
                ];
                self.ask_web_seed(&asked);
            }
            Output::WebSeedCancel { request } => self.ask_web_seed(&[js::num(request.0)]),
            Output::Effect { id, effect } => self.carry_out_effect(id, effect),
            Output::StreamData { stream, data, last } => self.streams.deliver(stream, &data, last),
            Output::StreamFailed { stream, error } => {
                self.streams.fail(stream, &error.to_string());
            }
            Output::Event(event) => self.carry_out_event(event),
        }
    }

    fn expect(&self, connection: ConnectionId) {
        let mut connections = self.connections.borrow_mut();
        connections.insert(connection, Connection::default());
    }

    fn note_claimed(&self, connection: ConnectionId, sdp: &str) {
        if let Some(known) = self.connections.borrow_mut().get_mut(&connection) {
            let candidates = (sdp.lines()).filter_map(|line| line.strip_prefix("a=candidate:"));
            let addresses = candidates.filter_map(|candidate| candidate.split(' ').nth(4));
            known.claimed = addresses.take(MAX_CLAIMED).map(address_hash).collect();
        }
    }

    fn carry_out_event(&self, event: Event) {
        if let Event::Ready { info_hash } = &event {
            self.streams.resume_waiting(*info_hash);
        }
        if matches!(event, Event::ShutDown) {
            let _ = js::worker().post_message(&js::object(&[("t", JsValue::from_str("stopped"))]));
        }
        self.pages.handle_event(event);
    }

    fn send(&self, connection: ConnectionId, chunks: &[Bytes]) {
        let sent = {
            let mut connections = self.connections.borrow_mut();
            let Some(channel) = connections
                .get_mut(&connection)
                .and_then(|known| known.channel.as_mut())
            else {
                return;
            };
            channel.send(chunks, &mut self.message.borrow_mut())
        };
        self.note_buffer(connection);
        if let Err(reason) = sent {
            self.lose(connection, reason);
        }
    }

    /// Has the buffer checked at the end of the batch.
    fn note_buffer(&self, connection: ConnectionId) {
        let mut sent_to = self.sent_to.borrow_mut();
        if !sent_to.contains(&connection) {
            sent_to.push(connection);
        }
    }

    fn carry_out_effect(&self, id: EffectId, effect: Effect) {
        match effect {
            Effect::Storage { info_hash, op } => {
                self.storage.submit(info_hash, id, op, &self.me);
            }
            Effect::Hash { chunks } => self.spawn(id, async move {
                hash::sha1_of_chunks(&chunks)
                    .await
                    .map(EffectResult::Hashed)
                    .map_err(EffectError::Storage)
            }),
            Effect::PutRecords {
                records,
                durability,
            } => match self.records.put(records, durability).transpose() {
                Some(Ok(durable)) => self.spawn(id, async move {
                    durable.await?;
                    Ok(EffectResult::Done)
                }),
                Some(Err(error)) => self.input(Input::EffectDone {
                    id,
                    result: Err(error),
                }),
                None => self.input(Input::EffectDone {
                    id,
                    result: Ok(EffectResult::Done),
                }),
            },
            Effect::Sign { digest } => {
                let signed = match &self.keys {
                    Some(keys) => keys.sign_voucher(digest),
                    None => Err("payments are not configured".to_owned()),
                };
                self.input(Input::EffectDone {
                    id,
                    result: signed
                        .map(EffectResult::Signed)
                        .map_err(EffectError::Signing),
                });
            }
            Effect::ReadAccount { account, word } => {
                let Some(driver) = self.me.upgrade() else {
                    return;
                };
                let Some(vault) = self.chain.clone() else {
                    return self.input(Input::EffectDone {
                        id,
                        result: Err(EffectError::Chain("payments are not configured".to_owned())),
                    });
                };
                self.spawn(id, async move {
                    if !driver.exit_delay_asked.replace(true) {
                        let judged = chain::judge_exit_delay(Rc::downgrade(&driver));
                        wasm_bindgen_futures::spawn_local(judged);
                    }
                    let state = chain::read_account(&driver, &vault, account, word)
                        .await
                        .map_err(EffectError::Chain)?;
                    let block_time = driver.block_time.get().max(state.timestamp);
                    driver.block_time.set(block_time);
                    Ok(EffectResult::Account(state))
                });
            }
        }
    }

    fn spawn(&self, id: EffectId, work: impl Future<Output = EffectEnd> + 'static) {
        let Some(driver) = self.me.upgrade() else {
            return;
        };
        // Boxed, so that the code after the work is compiled once.
        let work: Pin<Box<dyn Future<Output = EffectEnd>>> = Box::pin(work);
        wasm_bindgen_futures::spawn_local(async move {
            let result = work.await;
            driver.input(Input::EffectDone { id, result });
        });
    }
}

/// Sends a request about one connection to the page that holds the peer connections.
fn post(what: &str, connection: ConnectionId, sdp: Option<&str>) {
    let message = js::object(&[
        ("t", JsValue::from_str(what)),
        ("c", js::num(connection.0)),
        ("sdp", sdp.map_or(JsValue::UNDEFINED, JsValue::from_str)),
    ]);
    // Only a value that cannot be cloned is refused.
    let _ = js::worker().post_message(&message);
}

/// The page makes the connections, so it has the servers.
fn tell_ice_servers(servers: &[IceServer]) {
    let texts = |urls: &[String]| -> Vec<JsValue> { urls.iter().map(|url| url.into()).collect() };
    let servers: Vec<JsValue> = (servers.iter())
        .map(|server| {
            js::object(&[
                ("urls", js::list(&texts(&server.urls)).into()),
                ("username", (&server.username).into()),
                ("credential", (&server.credential).into()),
            ])
        })
        .collect();
    let message = js::object(&[
        ("t", JsValue::from_str("iceServers")),
        ("servers", js::list(&servers).into()),
    ]);
    let _ = js::worker().post_message(&message);
}

/// A hash that tells addresses apart. It is never 0, and nobody can find another address with the same hash.
fn address_hash(address: &str) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&keccak256(address)[..8]);
    u64::from_be_bytes(first).max(1)
}
