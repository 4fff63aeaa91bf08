//! The client, driven by operations: commands, trackers, peers, effects in any order and with any end,
//! time, restarts and crashes.
//!
//! It holds that outputs end and wake-ups lie ahead; that tables are bounded; that a reader gets the
//! content's bytes and a piece that is called held is in the files; that no serial is promised twice, nothing is
//! signed above what the configuration and the title allow, no more is spent than the budget and no less than
//! what was revealed; that nothing is asked of what is closed.

mod edge;
mod remote;
mod seller;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use bytes::Bytes;
use piecework::client::{
    AddOptions, BuyConfig, CheckExisting, Client, Command, Config, Credit, EffectError, Event,
    Input, Limits, Output, PaymentConfig, Playhead, Priority, RedeemOutcome, RedeemScope,
    ResalePrice, SellConfig, Source, WebSeedHead,
};
use piecework::payment::voucher::Vault;
use piecework::signaling::{MAX_LEARNED_SERVERS, MAX_TRACKERS};
use piecework::time::{Duration, Timestamp};
use piecework::types::{
    ConnectionId, FineUnits, InfoHash, StreamId, TokenUnits, TrackerId, WebRequestId,
};
use piecework_signaling_protocol::{self as protocol, Request, Response};

use super::choices::Choices;
use edge::{CONTENTS, Edge, content};
use remote::Remote;
use seller::Promises;

const TRACKER: &str = "wss://tracker.invalid/";
/// A web server with the files of every torrent.
const WEB_SEED: &str = "http://w.example/";
const MAX_SEND: usize = 65_535;
const MAX_CHUNK: usize = 256 * 1024;
/// Outputs of one input.
const MAX_OUTPUTS: usize = 20_000;
/// Inputs of one run: a longer row only takes longer.
const MAX_STEPS: usize = 600;
const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
/// What a block may cost at the most.
const CEILING: FineUnits = FineUnits(1 << 32);

const VAULT: Vault = Vault {
    address: Address::repeat_byte(0x44),
    chain_id: 31_337,
};

/// Buying up to [`CEILING`], selling at `unit`.
pub fn payments(unit: u128) -> PaymentConfig {
    PaymentConfig {
        vault: VAULT.address,
        chain_id: VAULT.chain_id,
        buy: Some(BuyConfig {
            max_price: CEILING,
            budget: TokenUnits(1_000_000),
            loss_budget_pieces: 4,
        }),
        sell: Some(SellConfig {
            payee: Address::repeat_byte(0x77),
            price: ResalePrice::Fixed(FineUnits(unit)),
            min_bond_percent: 125,
            credit: Credit::default(),
            dust: SellConfig::dust_of(6),
        }),
    }
}

/// How far a connection is at our end.
enum Link {
    Offering,
    Offered,
    Answering(InfoHash),
    Connecting(InfoHash),
    Open(Remote),
}

struct Reader {
    info_hash: InfoHash,
    file: usize,
    position: u64,
    end: u64,
    pulls: u32,
}

struct Scene {
    config: Config,
    client: Client,
    now: Timestamp,
    edge: Edge,
    sockets: BTreeMap<TrackerId, bool>,
    links: BTreeMap<ConnectionId, Link>,
    seen: BTreeSet<ConnectionId>,
    /// Offers that were announced: swarm and id.
    announced: Vec<(protocol::InfoHash, protocol::OfferId)>,
    /// Swarm of the offer that was given to the client last.
    offered: InfoHash,
    readers: BTreeMap<StreamId, Reader>,
    next: u64,
    promises: Promises,
    budget: TokenUnits,
    /// The most that each title was ever allowed to cost.
    ceilings: BTreeMap<InfoHash, FineUnits>,
    /// What the client said last that it had spent.
    spent: FineUnits,
    claims: Vec<(u64, usize)>,
    stopping: bool,
    lives: u8,
    /// Requests to web seeds under way.
    web: Vec<Asked>,
}

/// A request to a web seed: its id, URL, first and last byte.
type Asked = (WebRequestId, String, u64, u64);

/// Runs the client by the operations that `data` spells, and panics when it breaks a promise.
pub fn client(data: &[u8]) {
    let mut choices = Choices::new(data);
    let config = config(choices.byte());
    let mut scene = Scene {
        client: Client::new(config.clone(), [1; 32], [], START),
        config,
        now: START,
        edge: Edge::new(VAULT.chain_id),
        sockets: BTreeMap::new(),
        links: BTreeMap::new(),
        seen: BTreeSet::new(),
        announced: Vec::new(),
        offered: InfoHash([0; 20]),
        readers: BTreeMap::new(),
        next: 1,
        promises: Promises::default(),
        budget: TokenUnits(1_000_000),
        ceilings: BTreeMap::new(),
        spent: FineUnits(0),
        claims: Vec::new(),
        stopping: false,
        lives: 1,
        web: Vec::new(),
    };
    scene.drain();
    let mut steps = 0;
    while !choices.is_empty() && steps < MAX_STEPS {
        scene.step(&mut choices);
        steps += 1;
    }
    scene.check_held();
}

fn config(how: u8) -> Config {
    let mut limits = Limits {
        max_connections: 6,
        max_connections_per_torrent: 5,
        max_pending_connections: 4,
        max_partial_bytes: 96 * 1024,
        upload_slots: 2,
        ..Limits::default()
    };
    if how & 4 != 0 {
        limits.upload_bytes_per_second = Some(20_000);
        limits.download_bytes_per_second = Some(50_000);
    }
    Config {
        trackers: vec![TRACKER.to_owned()],
        limits,
        payment: match how & 3 {
            0 => None,
            1 => Some(payments(0)),
            _ => Some(payments(1 << 30)),
        },
        ..Config::default()
    }
}

impl Scene {
    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.below(32) {
            0 | 1 => self.add(choices),
            2 => {
                let info_hash = hash(choices);
                let command = match choices.below(6) {
                    0 => Command::Remove {
                        info_hash,
                        delete_data: choices.flag(),
                    },
                    1 => Command::Pause { info_hash },
                    2 | 3 => Command::Resume { info_hash },
                    _ => Command::SetOnDemand {
                        info_hash,
                        on_demand: choices.flag(),
                        remember: true,
                    },
                };
                self.command(command);
            }
            3 => {
                self.config.limits.upload_bytes_per_second = rate(choices);
                self.config.limits.download_bytes_per_second = rate(choices);
                self.config.limits.upload_slots = choices.below(4);
                self.command(Command::SetLimits(self.config.limits.clone()));
            }
            4 | 5 => self.open_stream(choices),
            6..=8 => {
                let streams: Vec<StreamId> = self.readers.keys().copied().collect();
                if let Some(stream) = choices.one(&streams) {
                    if choices.byte() == 255 {
                        self.readers.remove(&stream);
                        self.command(Command::CloseStream { stream });
                    } else {
                        if let Some(reader) = self.readers.get_mut(&stream) {
                            reader.pulls += 1;
                        }
                        self.command(Command::PullStream { stream });
                    }
                }
            }
            9 => self.tracker(choices),
            10..=12 => self.meet(choices),
            13 => self.go_on(choices),
            14..=20 => {
                let open: Vec<ConnectionId> = self.open().collect();
                if let Some(connection) = choices.one(&open)
                    && let Some(Link::Open(remote)) = self.links.get_mut(&connection)
                {
                    let bytes = remote.say(choices, &self.promises);
                    self.receive(connection, bytes, choices);
                }
            }
            21 => {
                let open: Vec<ConnectionId> = self.open().collect();
                if let Some(connection) = choices.one(&open) {
                    let buffered = match choices.byte() {
                        255 => choices.u64(),
                        few => u64::from(few % 2) << 14,
                    };
                    self.input(Input::SendBuffer {
                        connection,
                        buffered,
                    });
                }
            }
            22 => {
                let all: Vec<ConnectionId> = self.links.keys().copied().collect();
                if let Some(connection) = choices.one(&all) {
                    self.links.remove(&connection);
                    let reason = "gone".to_owned();
                    self.input(Input::ConnectionClosed { connection, reason });
                }
            }
            23..=25 => {
                // Mostly in order and all of them; else one of them.
                match choices.byte() {
                    few if few < 64 => {
                        let at = usize::from(few) % self.edge.waiting().max(1);
                        self.effect(at);
                    }
                    _ => self.settle(),
                }
            }
            26 => self.trouble(choices),
            27 | 28 => self.money(choices),
            29 => {
                let ahead = match choices.below(4) {
                    0 => Duration::from_millis(u64::from(choices.u16())),
                    1 => Duration::from_secs(u64::from(choices.u16())),
                    _ => self.until_wake(),
                };
                self.now = self.now + ahead;
                self.input(Input::Tick);
            }
            30 => {
                for _ in 0..=choices.below(16) {
                    self.now = self.now + self.until_wake();
                    self.input(Input::Tick);
                    self.settle();
                }
            }
            _ => match choices.below(8) {
                0 => {
                    self.stopping = true;
                    self.command(Command::Shutdown);
                }
                1 => self.command(Command::Online(choices.flag())),
                2 | 3 => self.restart(choices),
                4 | 5 if !self.web.is_empty() => self.web_seed(choices),
                4 => {
                    let head = choices.flag().then(|| Playhead {
                        file: u32::from(choices.byte() % 4),
                        position: u64::from(choices.u16()),
                        rate: choices.u64(),
                        starved: choices.flag(),
                    });
                    self.command(Command::Play {
                        info_hash: hash(choices),
                        player: u64::from(choices.byte()),
                        head,
                    });
                }
                5 => {
                    let priority = match choices.below(3) {
                        0 => Priority::Skip,
                        1 => Priority::Normal,
                        _ => Priority::High,
                    };
                    self.command(Command::SelectFiles {
                        info_hash: hash(choices),
                        files: vec![u32::from(choices.byte() % 5)],
                        priority,
                    });
                }
                _ => {
                    // A result that nobody waits for.
                    let id = piecework::types::EffectId(choices.u64());
                    let result = Err(EffectError::Storage("late".to_owned()));
                    if self.edge.waiting() == 0 {
                        self.input(Input::EffectDone { id, result });
                    }
                }
            },
        }
    }

    /// A web seed answers, as it should or not.
    fn web_seed(&mut self, choices: &mut Choices<'_>) {
        let at = choices.below(self.web.len());
        let (request, url, first, last) = self.web[at].clone();
        let files = CONTENTS.iter().flat_map(|content| {
            let files = content.meta.files.iter();
            files.map(move |file| (content, file))
        });
        let found = files
            .filter(|(_, file)| url.ends_with(&format!("/{}", file.path)))
            .map(|(content, file)| &content.bytes[file.offset as usize..][..file.length as usize])
            .next();
        let Some(bytes) = found else {
            panic!("no torrent has {url}");
        };
        let how = choices.byte();
        let status = match how & 7 {
            0..=4 => 206,
            5 => 200,
            _ => choices.u16(),
        };
        let (from, to) = match (status, how & 8) {
            (200, _) => (0, bytes.len()),
            (_, 0) => (first as usize, last as usize + 1),
            _ => (first as usize, choices.below(bytes.len() + 1)),
        };
        let mut body = bytes.get(from..to).unwrap_or_default().to_vec();
        if how & 16 != 0
            && let Some(byte) = body.last_mut()
        {
            *byte ^= 1;
        }
        let range = match how & 32 {
            0 => format!("bytes {first}-{last}/{}", bytes.len()),
            _ => String::from_utf8_lossy(choices.bytes()).into_owned(),
        };
        let head = WebSeedHead {
            status,
            content_range: (how & 64 != 0).then_some(range),
            ..WebSeedHead::default()
        };
        self.input(Input::WebSeedHead { request, head });
        for part in body.chunks(1 + usize::from(choices.u16())) {
            let bytes = Bytes::copy_from_slice(part);
            self.input(Input::WebSeedBytes { request, bytes });
        }
        if how & 128 == 0 {
            self.web.retain(|(other, ..)| *other != request);
            let error = choices.flag().then(|| "broke off".to_owned());
            self.input(Input::WebSeedEnd { request, error });
        }
    }

    // ---- what the page wants

    fn add(&mut self, choices: &mut Choices<'_>) {
        let known = &CONTENTS[choices.below(2)];
        let source = match choices.below(6) {
            0 | 1 => Source::Torrent(known.meta.to_torrent().into()),
            2 | 3 => Source::Magnet(known.meta.magnet().to_string()),
            4 => Source::Stored(known.meta.info_hash),
            _ if choices.flag() => Source::Torrent(Bytes::copy_from_slice(choices.bytes())),
            _ => Source::Magnet(String::from_utf8_lossy(choices.bytes()).into_owned()),
        };
        let how = choices.byte();
        let options = AddOptions {
            on_demand: how & 1 != 0,
            check: match how & 2 {
                0 => CheckExisting::Resume,
                _ => CheckExisting::Recheck,
            },
            web_seeds: (how & 16 != 0)
                .then(|| WEB_SEED.to_owned())
                .into_iter()
                .collect(),
            price: (how & 4 != 0).then_some(FineUnits(u128::from(how) << 24)),
            max_price: (how & 8 != 0).then_some(FineUnits(u128::from(how) << 20)),
            ..AddOptions::default()
        };
        self.allow(known.meta.info_hash, options.max_price.unwrap_or(CEILING));
        self.command(Command::Add {
            tag: 1,
            source,
            options,
        });
    }

    /// From now on a title may cost this much.
    fn allow(&mut self, title: InfoHash, max_price: FineUnits) {
        let most = self.ceilings.entry(title).or_default();
        *most = max_price.min(CEILING).max(*most);
    }

    fn open_stream(&mut self, choices: &mut Choices<'_>) {
        let (info_hash, file) = (hash(choices), u32::from(choices.byte() % 4));
        let (offset, length) = match choices.byte() {
            255 => (choices.u64(), choices.u64()),
            254 => (
                u64::from(choices.u16()),
                u64::MAX - u64::from(choices.u16()),
            ),
            _ => (u64::from(choices.u16()), u64::from(choices.u16()) * 2),
        };
        let stream = StreamId(self.next);
        self.next += 1;
        self.readers.insert(
            stream,
            Reader {
                info_hash,
                file: file as usize,
                position: offset,
                end: offset.saturating_add(length),
                pulls: 0,
            },
        );
        self.command(Command::OpenStream {
            stream,
            info_hash,
            file,
            offset,
            length,
            plays: length % 2 == 1,
        });
    }

    fn money(&mut self, choices: &mut Choices<'_>) {
        let info_hash = hash(choices);
        let command = match choices.below(10) {
            0 | 1 => Command::SetAccount {
                owner: Address::repeat_byte(0x11),
                session_key: edge::address(edge::CLIENT_KEY),
            },
            2 => Command::RefreshAccount,
            3 => {
                let total = match choices.byte() {
                    255 => TokenUnits(u128::MAX - u128::from(choices.byte())),
                    few => TokenUnits(u128::from(few) * 10_000),
                };
                self.budget = self.budget.max(total);
                Command::SetBudget { total }
            }
            4 => {
                let max_price = FineUnits(u128::from(choices.u32()));
                self.allow(info_hash, max_price);
                Command::SetMaxPrice {
                    info_hash,
                    max_price,
                }
            }
            5 => Command::SetPrice {
                info_hash,
                price: FineUnits(u128::from(choices.u64()) >> (choices.byte() % 64)),
            },
            6 => Command::PrepareRedeem(RedeemScope::Due),
            7 => Command::PrepareRedeem(RedeemScope::All),
            _ => {
                let Some((tag, count)) = self.claims.pop() else {
                    return;
                };
                let outcome = match choices.below(3) {
                    0 => RedeemOutcome::Failed {
                        reason: "reverted".to_owned(),
                    },
                    1 => RedeemOutcome::Mined {
                        paid: vec![(choices.u32(), TokenUnits(u128::from(choices.u64())))],
                        skipped: vec![(u32::from(choices.byte() % 3), choices.byte())],
                    },
                    _ => RedeemOutcome::Mined {
                        paid: (0..count as u32)
                            .map(|i| (i, TokenUnits(u128::from(choices.u16()))))
                            .collect(),
                        skipped: Vec::new(),
                    },
                };
                Command::Redeemed { tag, outcome }
            }
        };
        self.command(command);
    }

    // ---- the network

    fn tracker(&mut self, choices: &mut Choices<'_>) {
        let trackers: Vec<TrackerId> = self.sockets.keys().copied().collect();
        let Some(tracker) = choices.one(&trackers) else {
            return;
        };
        let open = self.sockets.get(&tracker) == Some(&true);
        let input = match choices.below(5) {
            0 | 1 if !open => {
                self.sockets.insert(tracker, true);
                Input::TrackerConnected { tracker }
            }
            2 => {
                self.sockets.remove(&tracker);
                let reason = String::from_utf8_lossy(choices.bytes()).into_owned();
                Input::TrackerClosed { tracker, reason }
            }
            3 if open => Input::TrackerMessage {
                tracker,
                text: Bytes::copy_from_slice(choices.bytes()),
            },
            _ if open => {
                let reply = Response::Announce(protocol::AnnounceReply {
                    info_hash: protocol::InfoHash(hash(choices).0),
                    interval_secs: Some(choices.u64()),
                    min_interval_secs: None,
                    complete: Some(choices.u64()),
                    incomplete: Some(choices.u64()),
                    warning: None,
                    ice: None,
                });
                let text = reply.encode().into();
                Input::TrackerMessage { tracker, text }
            }
            _ => return,
        };
        self.input(input);
    }

    /// A peer comes all the way: sockets open, an offer or an answer, a channel, an introduction.
    fn meet(&mut self, choices: &mut Choices<'_>) {
        let closed: Vec<TrackerId> = (self.sockets.iter())
            .filter(|(_, open)| !**open)
            .map(|(tracker, _)| *tracker)
            .collect();
        for tracker in closed {
            if let Some(open) = self.sockets.get_mut(&tracker) {
                *open = true;
                self.input(Input::TrackerConnected { tracker });
            }
        }
        let open: Vec<TrackerId> = (self.sockets.iter())
            .filter(|(_, open)| **open)
            .map(|(tracker, _)| *tracker)
            .collect();
        let Some(tracker) = choices.one(&open) else {
            return;
        };
        let (info_hash, peer) = (hash(choices), choices.byte());
        let peer_id = protocol::PeerId([peer; 20]);
        let Some(sdp) = protocol::Sdp::from_text("v=0") else {
            return;
        };
        self.offered = info_hash;
        let text = if choices.flag() {
            Response::Offer {
                info_hash: protocol::InfoHash(info_hash.0),
                peer_id,
                offer: protocol::Offer {
                    offer_id: protocol::OfferId([peer; 20]),
                    sdp,
                },
            }
        } else {
            let Some((info_hash, offer_id)) = choices.one(&self.announced) else {
                return;
            };
            self.offered = InfoHash(info_hash.0);
            Response::Answer {
                info_hash,
                peer_id,
                offer_id,
                sdp,
            }
        };
        let text = text.encode().into();
        self.input(Input::TrackerMessage { tracker, text });
        let waiting: Vec<ConnectionId> = (self.links.iter())
            .filter(|(_, link)| matches!(link, Link::Answering(_) | Link::Connecting(_)))
            .map(|(connection, _)| *connection)
            .collect();
        for connection in waiting {
            self.advance(connection);
            self.advance(connection);
            let how = choices.byte();
            if how != 255
                && let Some(Link::Open(remote)) = self.links.get_mut(&connection)
            {
                let bytes = remote.introduce(peer, how.is_multiple_of(2));
                self.receive(connection, bytes, choices);
            }
        }
    }

    fn go_on(&mut self, choices: &mut Choices<'_>) {
        let all: Vec<ConnectionId> = self.links.keys().copied().collect();
        if let Some(connection) = choices.one(&all) {
            self.advance(connection);
        }
    }

    /// The edge did what it was asked for.
    fn advance(&mut self, connection: ConnectionId) {
        let Some(link) = self.links.get_mut(&connection) else {
            return;
        };
        let sdp = "v=0\r\n".to_owned();
        let (next, input) = match link {
            Link::Offering => (Link::Offered, Input::OfferReady { connection, sdp }),
            Link::Answering(hash) => (
                Link::Connecting(*hash),
                Input::AnswerReady { connection, sdp },
            ),
            Link::Connecting(hash) => (
                Link::Open(Remote::new(*hash)),
                Input::ConnectionOpen {
                    connection,
                    address_hash: connection.0 % 3,
                    claimed: vec![connection.0 % 5],
                },
            ),
            Link::Offered | Link::Open(_) => return,
        };
        *link = next;
        self.input(input);
    }

    fn open(&self) -> impl Iterator<Item = ConnectionId> {
        let links = self.links.iter();
        links
            .filter(|(_, link)| matches!(link, Link::Open(_)))
            .map(|(connection, _)| *connection)
    }

    /// Gives bytes to the client, whole or in parts: boundaries mean nothing.
    fn receive(&mut self, connection: ConnectionId, bytes: Bytes, choices: &mut Choices<'_>) {
        let step = match choices.byte() {
            0 => 1 + usize::from(choices.byte()),
            _ => usize::MAX,
        };
        for part in bytes.chunks(step.max(bytes.len() / 64 + 1)) {
            if matches!(self.links.get(&connection), Some(Link::Open(_))) {
                let bytes = bytes.slice_ref(part);
                self.input(Input::Received { connection, bytes });
            }
        }
    }

    // ---- the machine

    fn trouble(&mut self, choices: &mut Choices<'_>) {
        match choices.below(8) {
            0 => self.edge.failing = Some(EffectError::QuotaExceeded("no room".to_owned())),
            1 => self.edge.failing = Some(EffectError::Storage("broken".to_owned())),
            2 | 3 => self.edge.failing = None,
            4 => self.edge.chain_down = choices.flag(),
            5 => self.edge.signs = choices.flag(),
            6 => {
                let account = &mut self.edge.account;
                match choices.below(6) {
                    0 => account.exit_at = u64::from(choices.u32()),
                    1 => account.balance = TokenUnits(u128::from(choices.u32())),
                    2 => account.consumed = u64::from(choices.byte()),
                    3 => account.known = choices.flag(),
                    4 => account.chain_id = VAULT.chain_id + u64::from(choices.byte() % 2),
                    _ => account.bond = TokenUnits(u128::from(choices.u32())),
                }
                account.block_number += 1;
            }
            _ => {
                let at = 1 + choices.below(255);
                self.edge.account.spent_word.set_bit(at, true);
                self.edge.account.block_number += 1;
            }
        }
    }

    fn until_wake(&mut self) -> Duration {
        match self.client.poll_output() {
            // It may be never: then a minute.
            Output::Timeout(at) => at.since(self.now).min(Duration::from_secs(60)),
            other => panic!("left behind: {other:?}"),
        }
    }

    fn effect(&mut self, at: usize) {
        if let Some((id, result)) = self.edge.take(at) {
            self.input(Input::EffectDone { id, result });
        }
    }

    /// Tells all results that wait, those that they lead to as well, up to a bound.
    fn settle(&mut self) {
        for _ in 0..64 {
            if self.edge.waiting() == 0 {
                return;
            }
            self.effect(0);
        }
    }

    fn restart(&mut self, choices: &mut Choices<'_>) {
        self.check_held();
        self.edge.stop(choices.flag());
        self.sockets.clear();
        self.links.clear();
        self.seen.clear();
        self.announced.clear();
        self.readers.clear();
        self.web.clear();
        self.claims.clear();
        self.promises.restart();
        self.spent = FineUnits(0);
        self.stopping = false;
        self.lives += 1;
        self.now = self.now + Duration::from_secs(1);
        let records = self.edge.records();
        self.client = Client::new(self.config.clone(), [self.lives; 32], records, self.now);
        self.drain();
        for info_hash in self.client.stored_torrents() {
            let (source, options) = (Source::Stored(info_hash), AddOptions::default());
            self.allow(info_hash, CEILING);
            self.command(Command::Add {
                tag: 2,
                source,
                options,
            });
        }
    }

    // ---- in and out

    fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    fn input(&mut self, input: Input) {
        self.client.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut outputs = 0;
        loop {
            match self.client.poll_output() {
                Output::Timeout(at) => {
                    assert!(at > self.now, "a wake-up in the past");
                    break;
                }
                output => self.carry_out(output),
            }
            outputs += 1;
            assert!(outputs < MAX_OUTPUTS, "outputs do not end");
        }
        let limits = &self.config.limits;
        assert!(self.open().count() <= limits.max_connections);
        assert!(self.links.len() <= limits.max_connections + limits.max_pending_connections);
        assert!(self.sockets.len() <= MAX_TRACKERS);
        let money = self.client.snapshot().money;
        seller::check_spent(money.spent, self.spent, &self.promises, self.budget);
        self.spent = money.spent;
        assert!(money.redeemable <= money.redeemable_fine.floor());
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Timeout(_) => {}
            Output::ConnectTracker { tracker, url } => {
                assert!(url.starts_with("ws://") || url.starts_with("wss://"));
                assert_eq!(self.sockets.insert(tracker, false), None, "a second socket");
            }
            Output::CloseTracker { tracker } => {
                assert!(self.sockets.remove(&tracker).is_some(), "no such socket");
            }
            Output::SendTracker { tracker, text } => {
                assert_eq!(self.sockets.get(&tracker), Some(&true), "not open");
                assert!(text.len() <= protocol::MAX_MESSAGE_LEN, "a long message");
                match Request::parse(&text, protocol::Limits::default()) {
                    Ok(Request::Announce(announce)) => {
                        let offers = announce.offers.iter();
                        self.announced
                            .extend(offers.map(|o| (announce.info_hash, o.offer_id)));
                        let surplus = self.announced.len().saturating_sub(64);
                        self.announced.drain(..surplus);
                    }
                    Ok(_) => {}
                    Err(error) => panic!("own message refused: {error}"),
                }
            }
            Output::UseIceServers { servers } => {
                assert!(servers.len() <= MAX_LEARNED_SERVERS, "too many servers");
            }
            Output::CreateOffer { connection } => {
                assert!(self.seen.insert(connection), "an id given again");
                self.links.insert(connection, Link::Offering);
            }
            Output::AcceptOffer { connection, .. } => {
                assert!(self.seen.insert(connection), "an id given again");
                self.links.insert(connection, Link::Answering(self.offered));
            }
            Output::ApplyAnswer { connection, .. } => {
                let before = self.links.remove(&connection);
                assert!(matches!(before, Some(Link::Offered)), "no offer was made");
                self.links
                    .insert(connection, Link::Connecting(self.offered));
            }
            Output::Send { connection, chunks } => {
                let bytes: Bytes = chunks.concat().into();
                assert!(bytes.len() <= MAX_SEND, "a long message");
                let Some(Link::Open(remote)) = self.links.get_mut(&connection) else {
                    panic!("it sends on a closed channel");
                };
                let ceiling = self.ceilings.get(&remote.info_hash()).copied();
                remote.hear(bytes, ceiling.unwrap_or_default(), &mut self.promises);
            }
            Output::SetLowWater { .. } => {}
            Output::CloseConnection { connection, .. } => {
                assert!(
                    self.links.remove(&connection).is_some(),
                    "no such connection"
                );
            }
            Output::Effect { id, effect } => self.edge.carry_out(id, effect),
            Output::StreamData { stream, data, last } => self.stream_data(stream, &data, last),
            Output::StreamFailed { stream, .. } => {
                self.readers.remove(&stream);
            }
            Output::WebSeedGet {
                request,
                url,
                first,
                last,
                ..
            } => {
                assert!(first <= last, "an empty range");
                assert!(url.starts_with(WEB_SEED), "another server");
                self.web.push((request, url, first, last));
                assert!(self.web.len() <= 16, "many requests at once");
            }
            Output::WebSeedCancel { request } => {
                let before = self.web.len();
                self.web.retain(|(other, ..)| *other != request);
                assert!(self.web.len() < before, "no such request");
            }
            Output::Event(event) => match event {
                Event::ClaimsReady { tag, claims, .. } => {
                    assert!(claims.len() <= 128);
                    self.claims.push((tag, claims.len()));
                }
                Event::ShutDown => assert!(self.stopping, "nobody asked for it"),
                _ => {}
            },
        }
    }

    fn stream_data(&mut self, stream: StreamId, data: &Bytes, last: bool) {
        let Some(reader) = self.readers.get_mut(&stream) else {
            panic!("bytes for a reader that is gone");
        };
        let Some(content) = content(reader.info_hash) else {
            panic!("bytes of an unknown torrent");
        };
        assert!(data.len() <= MAX_CHUNK, "a long chunk");
        assert!(reader.pulls > 0, "nobody pulled");
        reader.pulls -= 1;
        let file = &content.meta.files[reader.file];
        let from = (file.offset + reader.position) as usize;
        assert_eq!(*data, content.bytes[from..from + data.len()], "wrong bytes");
        reader.position += data.len() as u64;
        let end = reader.end.min(file.length);
        assert!(reader.position <= end, "more than was asked for");
        assert_eq!(
            last,
            reader.position == end,
            "last is said with the last byte"
        );
        if last {
            self.readers.remove(&stream);
        }
    }

    /// Every piece that the client calls held is in the files.
    fn check_held(&self) {
        for content in CONTENTS.iter() {
            let Some(torrent) = self.client.torrent(content.meta.info_hash) else {
                continue;
            };
            let geometry = content.meta.geometry();
            for piece in geometry.pieces().iter() {
                let byte = torrent.have.get(piece.0 as usize / 8).copied().unwrap_or(0);
                let held = byte & (0x80 >> (piece.0 % 8)) != 0;
                if let (true, Some(offset), Some(length)) = (
                    held,
                    geometry.piece_offset(piece),
                    geometry.piece_len(piece),
                ) {
                    let length = u64::from(length);
                    assert!(
                        self.edge.holds(content, offset, length),
                        "{piece:?} is not there"
                    );
                }
            }
            assert!(torrent.verified_bytes <= torrent.total_length);
        }
    }
}

fn hash(choices: &mut Choices<'_>) -> InfoHash {
    match choices.byte() {
        255 => InfoHash(choices.array()),
        which => CONTENTS[usize::from(which % 2)].meta.info_hash,
    }
}

fn rate(choices: &mut Choices<'_>) -> Option<u64> {
    match choices.below(4) {
        0 => Some(u64::from(choices.u16())),
        1 => Some(choices.u64()),
        _ => None,
    }
}
