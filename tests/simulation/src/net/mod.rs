//! The net: time, chance, and everything between the clients.

mod channels;
mod money;
mod outputs;
mod puppets;
mod web;

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use piecework::client::edge::{self, Edge};
use piecework::client::{
    AddOptions, CheckExisting, Claim, Client, ClientSnapshot, Command, Config, Effect, Event,
    Input, Output, Source, TorrentSnapshot,
};
use piecework::time::{Duration, Timestamp};
use piecework::types::{ConnectionId, EffectId, InfoHash, StreamId, TokenUnits, WebRequestId};

use crate::channel::{Cheat, End, Link};
use crate::content::Content;
use crate::disk::Disk;
use crate::node::{EffectCounts, Node, NodeId, Reader, StreamEnd};
use crate::random::Random;
use crate::steps::Steps;
use crate::tracker::{Socket, Trackers};
use crate::vault::{Deposit, SessionKey, SimVault};
use crate::watch::Watch;
use crate::web::WebServer;

/// The start of a run's clock: seconds since the epoch.
const START_SECS: u64 = 1_790_000_000;
/// The tracker that [`SimNet::config`] names.
pub const TRACKER: &str = "wss://tracker.invalid/announce";
const MAX_MESSAGE: usize = 65_535;
const MAX_CHUNK: usize = 256 * 1024;
/// Wake-ups in a row at one time beyond which a client spins.
const MAX_SPINS: u32 = 1_000;
/// Events of one run.
const MAX_EVENTS: u64 = 50_000_000;

/// The world between the clients.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// One way, of a channel or to a tracker.
    pub latency: Range<Duration>,
    /// Bytes per second that a node can send over all its channels.
    pub uplink: Range<u64>,
    /// How long an effect takes to be carried out, and how long its result takes to come back.
    pub effect: Range<Duration>,
    /// How long an offer or answer takes to gather its candidates.
    pub gather: Range<Duration>,
    /// A random channel dies this often.
    pub lose_channel_every: Option<Duration>,
    /// One in so many messages arrives in parts; 0: none.
    pub split_one_in: u64,
    /// One in so many packets is lost on the way and sent again; 0: none.
    pub lose_packet_one_in: u64,
}

impl Default for NetConfig {
    fn default() -> Self {
        let ms = Duration::from_millis;
        NetConfig {
            latency: ms(5)..ms(80),
            uplink: 500_000..4_000_000,
            effect: Duration::from_micros(100)..ms(15),
            gather: ms(20)..ms(200),
            lose_channel_every: None,
            split_one_in: 4,
            lose_packet_one_in: 0,
        }
    }
}

/// The trackers' treatment of peers that connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrackerMood {
    /// As a tracker should.
    #[default]
    Up,
    /// Nobody is there.
    Down,
    /// Each connection is taken, and closed again at once.
    Slam,
    /// Each connection is taken, and nothing is ever answered.
    Mute,
    /// Each announce is answered, and its connection closed a second later.
    Hasty,
}

/// The next events.
#[derive(Debug)]
enum What {
    Tick(NodeId, u64),
    Input(NodeId, u64, Input),
    Run(NodeId, u64, EffectId, Effect),
    Pull(NodeId, u64, StreamId),
    WebBody(NodeId, u64, WebRequestId, Bytes, String),
    TellTracker(Socket, String),
    Open(usize),
    Drained(usize, usize, u64),
    Arrive(usize, usize, Bytes),
    Closed(usize, usize, String),
    Redeem(NodeId, u64, u64, Vec<Claim>, TokenUnits),
    Wake(NodeId, u64, ConnectionId),
    LoseChannel,
}

/// Many clients and everything between them. Deterministic: the same seed and calls give the same run.
pub struct SimNet {
    /// The time.
    pub now: Timestamp,
    /// The chain.
    pub vault: SimVault,
    /// The onlooker.
    pub watch: Watch,
    /// The run's chance.
    pub random: Random,
    net: NetConfig,
    queue: BTreeMap<(Timestamp, u64), What>,
    sequence: u64,
    processed: u64,
    nodes: Vec<Node>,
    links: Vec<Link>,
    trackers: Trackers,
    mood: TrackerMood,
    /// Steps of the exchange of money, by one node.
    pub steps: Steps,
    /// Web servers by URL.
    web: BTreeMap<String, WebServer>,
}

impl SimNet {
    /// An empty net.
    pub fn new(seed: u64, net: NetConfig) -> SimNet {
        let mut sim = SimNet {
            now: Timestamp::from_millis(START_SECS * 1000),
            vault: SimVault::new(),
            watch: Watch::default(),
            random: Random::new(seed),
            net,
            queue: BTreeMap::new(),
            sequence: 0,
            processed: 0,
            nodes: Vec::new(),
            links: Vec::new(),
            trackers: Trackers::default(),
            mood: TrackerMood::Up,
            steps: Steps::default(),
            web: BTreeMap::new(),
        };
        sim.schedule_loss();
        sim
    }

    /// A free client's configuration in this net.
    pub fn config() -> Config {
        Config {
            trackers: vec![TRACKER.to_owned()],
            ..Config::default()
        }
    }

    /// A client, running.
    pub fn node(&mut self, config: Config) -> NodeId {
        let uplink = self.random.number(self.net.uplink.clone());
        self.nodes.push(Node::new(config, uplink));
        let id = NodeId(self.nodes.len() - 1);
        self.start(id);
        id
    }

    /// Starts a node that was stopped, from its disk. The caller adds its torrents again, and sets its account again,
    /// as a page would.
    pub fn start(&mut self, id: NodeId) {
        let seed = self.random.bytes32();
        let now = self.now;
        let node = &mut self.nodes[id.0];
        assert!(node.client.is_none(), "{id:?} runs already");
        let records = node.disk.records();
        node.client = Some(Client::new(node.config.clone(), seed, records, now));
        let life = self.nodes[id.0].life;
        let at = edge::start(&mut NodeEdge {
            net: self,
            node: id,
            life,
        });
        if self.lives(id, life) {
            self.sleep(id, at);
        }
    }

    /// Stops a node's machine at once: writes that were not flushed are lost, and its peers notice some time later.
    pub fn crash(&mut self, id: NodeId) {
        self.nodes[id.0].disk.crash(&mut self.random, self.now);
        self.stop(id);
    }

    /// Stops a node's process at once: its writes stay, flushed or not.
    pub fn kill_process(&mut self, id: NodeId) {
        self.nodes[id.0].disk.close();
        self.stop(id);
    }

    fn stop(&mut self, id: NodeId) {
        self.watch.settle(id, &self.nodes[id.0].disk);
        let node = &mut self.nodes[id.0];
        node.client = None;
        node.puppet = None;
        node.life += 1;
        node.wake = Timestamp::NEVER;
        node.queues.clear();
        node.web.clear();
        node.uplink_free = self.now;
        for reader in node.readers.values_mut() {
            reader.end.get_or_insert(StreamEnd::Closed);
        }
        let sockets: Vec<_> = core::mem::take(&mut node.sockets).into_keys().collect();
        let life = node.life - 1;
        for tracker in sockets {
            let node = id;
            self.trackers.closed(Socket {
                node,
                life,
                tracker,
            });
        }
        let ends = core::mem::take(&mut self.nodes[id.0].ends);
        for (link, side) in ends.into_values() {
            if let Some(end) = &mut self.links[link].ends[side] {
                end.closed = true;
            }
            self.kill(link);
        }
    }

    /// Stops a node that says goodbye first.
    pub fn shut_down(&mut self, id: NodeId) {
        let from = self.nodes[id.0].events.len();
        self.command(id, Command::Shutdown);
        let done = self.run_until(Duration::from_secs(60), |net| {
            let events = &net.nodes[id.0].events[from..];
            events.iter().any(|(_, e)| matches!(e, Event::ShutDown))
        });
        assert!(done, "a shutdown ends");
        self.crash(id);
    }

    /// Takes up a torrent; the tag is in its [`Event::Added`].
    pub fn add(&mut self, id: NodeId, source: Source, options: AddOptions) -> u64 {
        let node = &mut self.nodes[id.0];
        let tag = node.next_tag;
        node.next_tag += 1;
        let command = Command::Add {
            tag,
            source,
            options,
        };
        self.command(id, command);
        tag
    }

    /// Lets the onlooker know a torrent's bytes, for one that is added by [`SimNet::add`].
    pub fn watch_content(&mut self, content: &Content) {
        self.watch.know(content);
    }

    /// Gives a node the whole content and lets it seed.
    pub fn seed(&mut self, id: NodeId, content: &Content) {
        self.watch.know(content);
        self.nodes[id.0].disk.place(content);
        let options = AddOptions {
            check: CheckExisting::Complete,
            ..AddOptions::default()
        };
        self.add(id, Source::Torrent(content.torrent()), options);
    }

    /// Lets a node fetch the content by its .torrent file.
    pub fn leech(&mut self, id: NodeId, content: &Content) {
        self.watch.know(content);
        let source = Source::Torrent(content.torrent());
        self.add(id, source, AddOptions::default());
    }

    /// Lets a node announce the content and want no connection.
    pub fn add_paused(&mut self, id: NodeId, content: &Content) {
        self.leech(id, content);
        let info_hash = content.info_hash();
        self.command(id, Command::Pause { info_hash });
    }

    /// Lets a node fetch the content by its magnet link.
    pub fn leech_magnet(&mut self, id: NodeId, content: &Content) {
        self.watch.know(content);
        self.add(id, Source::Magnet(content.magnet()), AddOptions::default());
    }

    /// Gives a node a session key and an account with that much in it.
    pub fn fund(&mut self, id: NodeId, amount: u128, tranche: u128) -> B256 {
        let key = SessionKey::new(self.random.bytes32());
        let owner = Address::from_slice(&self.random.bytes32()[..20]);
        let account = self.vault.deposit(Deposit {
            owner,
            key: key.address(),
            amount,
            tranche,
            bond: amount * 5 / 4,
        });
        let node = &mut self.nodes[id.0];
        node.key = Some(key);
        node.owner = owner;
        self.set_account(id);
        account
    }

    /// Tells a node its account, as a page does at start.
    pub fn set_account(&mut self, id: NodeId) {
        let node = &self.nodes[id.0];
        let key = node.key.as_ref().expect("a funded node");
        let command = Command::SetAccount {
            owner: node.owner,
            session_key: key.address(),
        };
        self.command(id, command);
    }

    /// Opens a reader. `pace`: bytes per second, `None` as fast as they come.
    pub fn read(
        &mut self,
        id: NodeId,
        info_hash: InfoHash,
        file: u32,
        range: Range<u64>,
        pace: Option<u64>,
    ) -> StreamId {
        self.read_as(id, info_hash, file, range, pace, false)
    }

    /// The same; with `plays` as a player, which is held to its place (`Command::Play`).
    pub fn read_as(
        &mut self,
        id: NodeId,
        info_hash: InfoHash,
        file: u32,
        range: Range<u64>,
        pace: Option<u64>,
        plays: bool,
    ) -> StreamId {
        let now = self.now;
        let node = &mut self.nodes[id.0];
        let stream = StreamId(node.next_stream);
        node.next_stream += 1;
        let reader = Reader {
            info_hash,
            file,
            position: range.start,
            range: range.clone(),
            pace,
            opened: now,
            first_bytes: None,
            waited: Duration::ZERO,
            pulled: now,
            end: None,
        };
        node.readers.insert(stream, reader);
        let life = node.life;
        let command = Command::OpenStream {
            stream,
            info_hash,
            file,
            offset: range.start,
            length: range.end - range.start,
            plays,
        };
        self.command(id, command);
        self.schedule(Duration::ZERO, What::Pull(id, life, stream));
        stream
    }

    /// The reader leaves (as on a seek).
    pub fn close_stream(&mut self, id: NodeId, stream: StreamId) {
        let reader = self.nodes[id.0].readers.get_mut(&stream).expect("a reader");
        if reader.end.is_none() {
            reader.end = Some(StreamEnd::Closed);
            self.command(id, Command::CloseStream { stream });
        }
    }

    /// Any command.
    pub fn command(&mut self, id: NodeId, command: Command) {
        self.input(id, Input::Command(command));
    }

    /// The node's cheat from now on.
    pub fn set_cheat(&mut self, id: NodeId, cheat: Cheat) {
        self.nodes[id.0].cheat = cheat;
    }

    /// A node's storage is busy this long with each effect from now on, and each waits for those before it.
    pub fn slow_storage(&mut self, id: NodeId, busy: Range<Duration>) {
        self.nodes[id.0].storage_busy = Some(busy);
    }

    /// Bytes per second that a node can send from now on.
    pub fn set_uplink(&mut self, id: NodeId, bytes_per_second: u64) {
        self.nodes[id.0].uplink = bytes_per_second;
    }

    /// All trackers go away (`true`), or come back.
    pub fn trackers_down(&mut self, down: bool) {
        let mood = if down {
            TrackerMood::Down
        } else {
            TrackerMood::Up
        };
        self.set_trackers(mood);
    }

    /// The trackers treat peers so from now on. Their present connections end, unless they come back.
    pub fn set_trackers(&mut self, mood: TrackerMood) {
        self.mood = mood;
        if mood == TrackerMood::Up {
            (0..self.nodes.len()).for_each(|id| self.join(NodeId(id)));
            return;
        }
        for id in 0..self.nodes.len() {
            let node = &mut self.nodes[id];
            let life = node.life;
            if node.puppet.is_some() {
                continue;
            }
            for tracker in core::mem::take(&mut node.sockets).into_keys() {
                let node = NodeId(id);
                self.trackers.closed(Socket {
                    node,
                    life,
                    tracker,
                });
                let reason = "the server went away".to_owned();
                let input = Input::TrackerClosed { tracker, reason };
                self.schedule(Duration::from_millis(1), What::Input(node, life, input));
            }
        }
    }

    /// A random open channel dies; both sides notice later.
    pub fn lose_channel(&mut self) {
        let open: Vec<usize> = (0..self.links.len())
            .filter(|&l| self.links[l].open && !self.links[l].dead)
            .collect();
        if !open.is_empty() {
            let link = open[self.random.index(open.len())];
            self.kill(link);
        }
    }

    /// Runs until `done` or for `limit`; answers whether `done`. It asks after every 16 events, which in a quiet net
    /// are seconds. So [`SimNet::timed_events`] gives the times of a measurement, and not the end of this.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&SimNet) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            for _ in 0..16 {
                match self.queue.first_key_value() {
                    Some((&(at, _), _)) if at <= end => self.step(),
                    _ => {
                        self.now = end;
                        return done(self);
                    }
                }
            }
            if done(self) {
                return true;
            }
        }
    }

    /// Runs for this long.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// The node has sent [`Event::Complete`] and its disk holds every byte.
    pub fn is_complete(&self, id: NodeId, content: &Content) -> bool {
        let hash = content.info_hash();
        let said = (self.nodes[id.0].events.iter().rev())
            .any(|(_, e)| matches!(e, Event::Complete { info_hash } if *info_hash == hash));
        said && self.nodes[id.0].disk.holds(content)
    }

    /// All events that the node sent to its page, in all its lives.
    pub fn events(&self, id: NodeId) -> impl Iterator<Item = &Event> {
        self.nodes[id.0].events.iter().map(|(_, event)| event)
    }

    /// The same with the time.
    pub fn timed_events(&self, id: NodeId) -> &[(Timestamp, Event)] {
        &self.nodes[id.0].events
    }

    /// A node's disk.
    pub fn disk(&mut self, id: NodeId) -> &mut Disk {
        &mut self.nodes[id.0].disk
    }

    /// A reader.
    pub fn reader(&self, id: NodeId, stream: StreamId) -> &Reader {
        &self.nodes[id.0].readers[&stream]
    }

    /// Each time a node tried to connect to a tracker.
    pub fn connects(&self, id: NodeId) -> &[Timestamp] {
        &self.nodes[id.0].connects
    }

    /// A node's announces, as JSON.
    pub fn announces(&self, id: NodeId) -> &[(Timestamp, String)] {
        &self.nodes[id.0].announces
    }

    /// Offers of others that a node took.
    pub fn offers_taken(&self, id: NodeId) -> &[Timestamp] {
        &self.nodes[id.0].offers_taken
    }

    /// Effects a node asked for.
    pub fn effects(&self, id: NodeId) -> EffectCounts {
        self.nodes[id.0].effects
    }

    /// A running client at a glance.
    pub fn snapshot(&self, id: NodeId) -> ClientSnapshot {
        self.client(id).snapshot()
    }

    /// A torrent of a running client.
    pub fn torrent(&self, id: NodeId, info_hash: InfoHash) -> Option<TorrentSnapshot> {
        self.client(id).torrent(info_hash)
    }

    /// A running client.
    pub fn client(&self, id: NodeId) -> &Client {
        let client = self.nodes[id.0].client.as_ref();
        client.expect("a running client")
    }

    /// The node at the other end of a connection, if it ever opened.
    pub fn peer_of(&self, id: NodeId, conn: ConnectionId) -> Option<NodeId> {
        self.links.iter().find_map(|link| {
            let (Some(a), Some(b)) = (&link.ends[0], &link.ends[1]) else {
                return None;
            };
            let is = |end: &End| end.node == id && end.conn == conn;
            is(a).then_some(b.node).or(is(b).then_some(a.node))
        })
    }

    /// Bytes of messages with blocks that a puppet sent to a node.
    pub fn blocks_from(&self, puppet: NodeId, to: NodeId) -> u64 {
        (self.nodes[puppet.0].blocks_to)
            .get(&to)
            .copied()
            .unwrap_or(0)
    }

    /// Open channels between two nodes.
    pub fn channels(&self, a: NodeId, b: NodeId) -> usize {
        let wanted = BTreeSet::from([a, b]);
        (self.links.iter())
            .filter(|link| link.open && !link.dead)
            .filter(|link| {
                let live = link.ends.iter().flatten().filter(|end| !end.closed);
                live.map(|end| end.node).collect::<BTreeSet<_>>() == wanted
            })
            .count()
    }

    fn schedule(&mut self, after: Duration, what: What) {
        self.schedule_at(self.now + after, what);
    }

    fn schedule_at(&mut self, at: Timestamp, what: What) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), what);
    }

    fn schedule_loss(&mut self) {
        if let Some(every) = self.net.lose_channel_every {
            let after = self.random.duration(&(every / 2..every * 3 / 2));
            self.schedule(after, What::LoseChannel);
        }
    }

    fn latency(&mut self) -> Duration {
        self.random.duration(&self.net.latency)
    }

    fn lives(&self, id: NodeId, life: u64) -> bool {
        let node = &self.nodes[id.0];
        node.life == life && (node.client.is_some() || node.puppet.is_some())
    }

    fn step(&mut self) {
        let Some(((at, _), what)) = self.queue.pop_first() else {
            return;
        };
        self.now = at;
        self.processed += 1;
        assert!(self.processed < MAX_EVENTS, "the run does not end");
        match what {
            What::Tick(id, life) => {
                if self.lives(id, life) && self.nodes[id.0].wake == at {
                    self.nodes[id.0].wake = Timestamp::NEVER;
                    self.input(id, Input::Tick);
                }
            }
            What::Input(id, life, input) => self.late_input(id, life, input),
            What::Run(id, life, effect_id, effect) => {
                if self.lives(id, life) {
                    self.carry_out_effect(id, effect_id, effect);
                }
            }
            What::Pull(id, life, stream) => self.pull(id, life, stream),
            What::WebBody(id, life, request, body, url) => {
                self.web_body(id, life, request, body, &url);
            }
            What::TellTracker(socket, text) => self.tell_tracker(socket, &text),
            What::Open(link) => self.open(link),
            What::Drained(link, side, bytes) => self.drained(link, side, bytes),
            What::Arrive(link, side, bytes) => self.arrive(link, side, bytes),
            What::Closed(link, side, reason) => self.closed(link, side, reason),
            What::Redeem(id, life, tag, claims, total) => {
                if self.lives(id, life) {
                    self.redeem(id, tag, &claims, total);
                }
            }
            What::Wake(id, life, conn) => {
                if self.lives(id, life) {
                    self.puppet_wakes(id, conn);
                }
            }
            What::LoseChannel => {
                self.lose_channel();
                self.schedule_loss();
            }
        }
    }

    fn input(&mut self, id: NodeId, input: Input) {
        if self.nodes[id.0].puppet.is_some() {
            return self.puppet_input(id, input);
        }
        let life = self.nodes[id.0].life;
        let at = edge::feed(
            &mut NodeEdge {
                net: self,
                node: id,
                life,
            },
            input,
        );
        if self.lives(id, life) {
            self.sleep(id, at);
        }
    }

    /// Inputs that something else may have overtaken.
    fn late_input(&mut self, id: NodeId, life: u64, input: Input) {
        if !self.lives(id, life) {
            return;
        }
        let node = &mut self.nodes[id.0];
        match &input {
            Input::TrackerMessage { tracker, .. } | Input::TrackerConnected { tracker }
                if !node.sockets.contains_key(tracker) =>
            {
                return;
            }
            Input::OfferReady { connection, .. } | Input::AnswerReady { connection, .. }
                if !node.ends.contains_key(connection) =>
            {
                return;
            }
            Input::WebSeedHead { request, .. } | Input::WebSeedBytes { request, .. }
                if !node.web.contains(request) =>
            {
                return;
            }
            Input::WebSeedEnd { request, .. } if !node.web.remove(request) => return,
            Input::ConnectionClosed { connection, .. } => {
                node.ends.remove(connection);
            }
            _ => {}
        }
        self.input(id, input);
    }

    fn sleep(&mut self, id: NodeId, at: Timestamp) {
        let now = self.now;
        let node = &mut self.nodes[id.0];
        node.spins = if at <= now { node.spins + 1 } else { 0 };
        assert!(node.spins < MAX_SPINS, "{id:?} spins");
        // No timer fires sooner than this.
        node.wake = at.max(now + Duration::from_millis(1));
        if at != Timestamp::NEVER {
            let (wake, life) = (node.wake, node.life);
            self.schedule_at(wake, What::Tick(id, life));
        }
    }
}

/// The edge of one node.
struct NodeEdge<'a> {
    net: &'a mut SimNet,
    node: NodeId,
    life: u64,
}

impl Edge for NodeEdge<'_> {
    fn now(&self) -> Timestamp {
        self.net.now
    }

    fn with_client<T>(&mut self, call: impl FnOnce(&mut Client) -> T) -> T {
        let client = self.net.nodes[self.node.0].client.as_mut();
        call(client.expect("a running client"))
    }

    fn carry_out(&mut self, output: Output) {
        // One of its earlier outputs may have stopped it.
        if self.net.lives(self.node, self.life) {
            self.net.carry_out(self.node, output);
        }
    }
}
