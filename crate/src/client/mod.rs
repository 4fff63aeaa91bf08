//! Many torrents and the things that they share: the only thing that an edge drives.
//!
//! A [`Client`] owns the things that its torrents share: connections and upload slots, rate limits, trackers, the
//! payment account and its serials, and the routes of new channels to their torrents. It never reads a clock and never
//! blocks. It handles one input whole: it dispatches the input, then pays, then lets every touched torrent go on, and
//! repeats this until nothing more follows.

mod commands;
pub mod edge;
mod payments;
mod report;
mod stored;
mod trackers;
mod wording;

use bytes::Bytes;
use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

pub use crate::io::*;
use crate::paying::Paid;
use crate::payment::receipts::{self, Receipts};
use crate::peer::choke::{Choker, UploadSlots};
use crate::peer::{Identity, SendQueues, TokenBucket, Uplink};
use crate::signaling::Signaling;
use crate::sorted::{Map, Set};
use crate::time::{Duration, Timestamp};
use crate::torrent::{Closed, Context, EffectOwner, Money, Outbox, Quota, Torrent, WebSeedAnswer};
use crate::types::{ConnectionId, InfoHash, PeerId, StreamId, WebRequestId};

/// The beginning of this peer's ids (BEP 20, Azureus style): client `PW`, version 0.1.0.
const THIS_CLIENT: PeerId = PeerId(*b"-PW0100-............");
/// Torrents that one client has at most.
pub const MAX_TORRENTS: usize = 512;
/// Peers that the client remembers as senders of corrupt data. Beyond that it forgets any of them.
const MAX_BANNED: usize = 4096;
/// The client looks this often for peers of no use.
const ROOM_INTERVAL: Duration = Duration::from_secs(30);
/// Rounds of consequences that the client handles for one input. More would be a loop; the rest waits for the next
/// input.
const MAX_ROUNDS: usize = 32;

/// A call into a torrent.
type Call<'a> = &'a mut dyn FnMut(&mut Torrent, &mut Context);

/// The torrent that a connection belongs to, and its state.
#[derive(Debug, Clone, Copy)]
struct Route {
    info_hash: InfoHash,
    open: bool,
}

/// The peer: a state machine that its edge drives, over any number of torrents.
///
/// A client does nothing by itself. Its methods are of four kinds.
///
/// **Commands** are the wishes of the page or the operator. A [`Command`] is an input like any other, and its answer,
/// if it has one, is an [`Event`]. Three methods are commands of an edge that writes a torrent's files itself, before
/// it adds the torrent:
/// - [`Client::reserve_storage`] sets room aside, or answers why there is none.
/// - [`Client::doubt_stored`] takes back the word of the records on those files.
/// - [`Client::release_storage`] gives the room back when the files were not written after all.
///
/// **Inputs** report events: the time came, a channel brought bytes, an effect ended.
/// - [`Client::handle_input`] takes every [`Input`].
///
/// **Outputs** tell the edge its next work, and the time at which to come back.
/// - [`Client::poll_output`] answers the next [`Output`].
///
/// **Queries** answer the current state, and change nothing. They may be called whenever no other method runs.
/// - [`Client::snapshot`] and [`Client::torrent`] are for a page to show, and [`Client::limits`] for its settings.
/// - [`Client::is_whole`] and [`Client::is_durable`] answer whether the torrents that are taken up are stored.
/// - [`Client::stored_torrents`] and [`Client::stored_info_bytes`] answer the content of the records, also of earlier
///   runs.
/// - [`Client::held_account`] names the account to which no deposit must go.
/// - [`Client::receipts`] and [`Client::receipt_names`] answer what was bought, sold and redeemed on which day.
/// - [`Client::load`] counts the things that strangers make the client hold.
///
/// # The order of calls
///
/// 1. [`Client::new`] with the records of earlier runs. Outputs may wait already: go on with step 3.
/// 2. [`Client::handle_input`] with one input and the time at which the edge took it. [`Client::doubt_stored`] counts
///    as an input.
/// 3. [`Client::poll_output`] until it answers [`Output::Timeout`]. The edge begins each output in this order, and
///    waits for none of them: an effect's result is a later input.
/// 4. The edge waits for the next event or for the time of the timeout. Then it goes on with step 2, with
///    [`Input::Tick`] if the time came.
/// 5. [`Command::Shutdown`] begins the end. The steps go on until [`Event::ShutDown`], and then the client is dropped.
///    A client that is dropped without it loses no more than a killed process does.
///
/// An input may be about something that the client has forgotten: a closed connection, a removed torrent. The client
/// ignores it.
///
/// # Example
///
/// The shortest loop: one input, and its outputs. `crate/examples/two_peers` is a whole edge in memory, and [`edge`]
/// has this loop for edges that want it ready-made.
///
/// ```
/// use piecework::client::{Client, Config, Input, Output};
/// use piecework::time::Timestamp;
///
/// // The edge reads its clock, and draws the seed from the system's entropy.
/// let now = Timestamp::from_millis(1_790_000_000_000);
/// let mut client = Client::new(Config::default(), [7; 32], [], now);
///
/// client.handle_input(now, Input::Tick);
/// let wake = loop {
///     match client.poll_output() {
///         Output::Timeout(at) => break at,
///         output => println!("the edge carries out {output:?}"),
///     }
/// };
/// // Without a torrent there is nothing to wake up for: the next input is a command.
/// assert_eq!(wake, Timestamp::NEVER);
/// ```
pub struct Client {
    config: Config,
    peer_id: PeerId,
    now: Timestamp,
    rng: ChaCha20Rng,
    out: Outbox,
    torrents: Map<InfoHash, Torrent>,
    /// Torrents that go as soon as their data is durable.
    leaving: Set<InfoHash>,
    /// Leaving torrents that were added again meanwhile, with the tags of those commands.
    returning: Vec<(u64, commands::Found)>,
    order: Vec<InfoHash>,
    money: Money,
    account: payments::Account,
    redemptions: payments::Redemptions,
    /// What was bought, sold and redeemed; `None` without payments.
    receipts: Option<Paid<Receipts>>,
    signaling: Signaling,
    /// Torrents that announce themselves.
    announced: Set<InfoHash>,
    told: Map<InfoHash, trackers::AnnouncedState>,
    tracker_status: Map<crate::types::TrackerId, TrackerSnapshot>,
    routes: Map<ConnectionId, Route>,
    queues: SendQueues,
    streams: Map<StreamId, InfoHash>,
    choker: Choker,
    choke_stale: bool,
    quota: Quota,
    uplink: Uplink,
    upload: TokenBucket,
    download: TokenBucket,
    banned: Set<Identity>,
    closed: Vec<Closed>,
    /// Torrents that the current input touched.
    touched: Set<InfoHash>,
    /// The number of times that a torrent went on.
    pumps: u64,
    /// The time at which the client next makes room in full torrents.
    room_at: Timestamp,
    shutdown_by: Option<Timestamp>,
    shut_down: bool,
}

impl Client {
    /// A client that resumes from `records`: all that [`Effect::PutRecords`] ever put and did not delete.
    ///
    /// `seed` is fresh entropy from the edge's cryptographic source; the edge never uses it twice. The client has no
    /// torrent yet: each comes by [`Command::Add`], also one of an earlier run. The edge calls [`Client::poll_output`]
    /// until [`Output::Timeout`] afterwards.
    pub fn new(
        config: Config,
        seed: [u8; 32],
        records: impl IntoIterator<Item = (String, Bytes)>,
        now: Timestamp,
    ) -> Client {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let peer_id = THIS_CLIENT.redrawn(&mut rng);
        let (pay, torrents): (Map<_, _>, Map<_, _>) = records
            .into_iter()
            .partition(|(key, _)| key.starts_with("pay/") || key.starts_with(receipts::PREFIX));
        let money = payments::machines(&config, now, &mut rng, &pay);
        let receipts = payments::receipts(&config, &pay);
        let mut signaling_seed = [0; 32];
        rng.fill_bytes(&mut signaling_seed);
        let signaling = trackers::signaling(&config, peer_id, signaling_seed);
        let upload = TokenBucket::new(config.limits.upload_bytes_per_second, now);
        let download = TokenBucket::new(config.limits.download_bytes_per_second, now);
        let mut client = Client {
            config,
            peer_id,
            now,
            rng,
            out: Outbox::new(torrents),
            torrents: Map::new(),
            leaving: Set::new(),
            returning: Vec::new(),
            order: Vec::new(),
            money,
            account: payments::Account::default(),
            redemptions: payments::Redemptions::default(),
            receipts,
            signaling,
            announced: Set::new(),
            told: Map::new(),
            tracker_status: Map::new(),
            routes: Map::new(),
            queues: SendQueues::default(),
            streams: Map::new(),
            choker: Choker::new(),
            choke_stale: false,
            quota: Quota::default(),
            uplink: Uplink::default(),
            upload,
            download,
            banned: Set::new(),
            closed: Vec::new(),
            touched: Set::new(),
            pumps: 0,
            room_at: now + ROOM_INTERVAL,
            shutdown_by: None,
            shut_down: false,
        };
        client.check_configured_trackers();
        client.limit_storage();
        client.settle();
        client
    }

    /// The one way in: takes one input and handles everything that follows from it. The edge calls
    /// [`Client::poll_output`] until [`Output::Timeout`] afterwards.
    ///
    /// `now` is the edge's clock. A time before that of an earlier input counts as that one.
    pub fn handle_input(&mut self, now: Timestamp, input: Input) {
        self.now = self.now.max(now);
        match input {
            // Torrents that wait for time alone (a cap, patience with a peer) look again when they are due: see
            // `on_time`.
            Input::Tick => {}
            Input::Command(command) => self.command(command),
            Input::TrackerConnected { tracker } => {
                self.signaling.tracker_connected(self.now, tracker);
                self.note_tracker(tracker, true, None);
            }
            Input::TrackerMessage { tracker, text } => {
                self.signaling.tracker_message(self.now, tracker, &text);
            }
            Input::TrackerClosed { tracker, reason } => {
                self.note_tracker(tracker, false, Some(reason.clone()));
                self.signaling.tracker_closed(self.now, tracker, &reason);
            }
            Input::OfferReady { connection, sdp } => {
                self.signaling.offer_ready(self.now, connection, &sdp);
            }
            Input::AnswerReady { connection, sdp } => {
                self.signaling.answer_ready(self.now, connection, &sdp);
            }
            Input::ConnectionOpen {
                connection,
                address_hash,
                claimed,
            } => self.connection_open(connection, address_hash, claimed),
            Input::Received { connection, bytes } => {
                let mut choke = false;
                self.in_torrent_of(connection, |torrent, ctx| {
                    torrent.received(ctx, connection, bytes);
                    choke = torrent.take_choke_stale();
                });
                self.choke_stale |= choke;
            }
            Input::SendBuffer {
                connection,
                buffered,
            } => self.send_buffer(connection, buffered),
            Input::ConnectionClosed { connection, reason } => {
                self.connection_closed(connection, reason);
            }
            Input::WebSeedHead { request, head } => {
                self.web_seed_answers(request, WebSeedAnswer::Head(head));
            }
            Input::WebSeedBytes { request, bytes } => {
                self.web_seed_answers(request, WebSeedAnswer::Bytes(bytes));
            }
            Input::WebSeedEnd { request, error } => {
                self.web_seed_answers(request, WebSeedAnswer::End(error));
            }
            Input::EffectDone { id, result } => self.effect_done(id, result),
        }
        self.on_time();
        let urgent = self.torrents.values().any(Torrent::is_downloading);
        self.uplink.set_urgent(urgent);
        // The room that one connection gave back may be the room that another torrent's connection waits for.
        if self.uplink.take_waiting() {
            self.touched.extend(self.torrents.keys());
        }
        self.settle();
    }

    /// The one way out: the next output for the edge. The edge calls it after each input until it answers
    /// [`Output::Timeout`], which has the latest time at which the client wants an [`Input::Tick`].
    pub fn poll_output(&mut self) -> Output {
        let Some(output) = self.out.pop() else {
            return Output::Timeout(self.next_timeout());
        };
        // The client forgets a stream that ended. Its reader need not close it.
        if let Output::StreamData {
            stream, last: true, ..
        }
        | Output::StreamFailed { stream, .. } = &output
        {
            self.streams.remove(stream);
        }
        output
    }

    // ---- inputs

    /// The edge says how much of a channel's bytes it still holds.
    fn send_buffer(&mut self, connection: ConnectionId, buffered: u64) {
        if let Some(queue) = self.queues.get_mut(connection) {
            let gone = queue.report(self.now, buffered);
            self.uplink.drained(self.now, gone);
            self.touched.extend(self.torrent_of(connection));
        }
    }

    fn connection_open(&mut self, connection: ConnectionId, address_hash: u64, claimed: Vec<u64>) {
        let Some(route) = self.routes.get_mut(&connection) else {
            return;
        };
        if route.open {
            return;
        }
        route.open = true;
        let info_hash = route.info_hash;
        self.signaling.connection_established(self.now, connection);
        let full = self.open_connections() > self.config.limits.max_connections;
        if full || !self.torrents.contains_key(&info_hash) {
            self.routes.remove(&connection);
            self.signaling.connection_closed(self.now, connection);
            self.out.push(Output::CloseConnection {
                connection,
                reason: ClosedReason::NotNeeded("no room"),
            });
            return;
        }
        self.with_torrent(info_hash, |torrent, ctx| {
            torrent.connected(ctx, connection, address_hash, claimed);
        });
        self.choke_stale = true;
    }

    fn connection_closed(&mut self, connection: ConnectionId, reason: String) {
        let Some(route) = self.routes.get(&connection).copied() else {
            return;
        };
        if route.open {
            self.with_torrent(route.info_hash, |torrent, ctx| {
                torrent.close(ctx, connection, ClosedReason::Remote(reason));
            });
        } else {
            self.routes.remove(&connection);
            self.signaling.connection_closed(self.now, connection);
        }
        self.choke_stale = true;
    }

    fn effect_done(
        &mut self,
        id: crate::types::EffectId,
        result: Result<EffectResult, EffectError>,
    ) {
        if let Some(receipts) = &mut self.receipts {
            receipts.ended(id, result.is_ok());
        }
        match self.out.take_owner(id) {
            Some(EffectOwner::Torrent(info_hash, purpose)) => {
                self.with_torrent(info_hash, |torrent, ctx| {
                    torrent.effect_done(ctx, purpose, result);
                });
            }
            Some(EffectOwner::Payer(effect)) => self.payer_effect_done(effect, result),
            Some(EffectOwner::Payee(effect)) => self.payee_effect_done(effect, result),
            Some(EffectOwner::Account) => self.account_read(result),
            Some(EffectOwner::Nobody) => {
                if let Err(error) = result {
                    self.out.event(Event::Warning {
                        info_hash: None,
                        text: format!("{error}: the torrent may have to be added again next time"),
                    });
                }
            }
            // Lines that failed go with the next batch.
            Some(EffectOwner::Receipts) | None => {}
        }
    }

    // ---- consequences

    /// Does the work that is due by now.
    fn on_time(&mut self) {
        self.signaling.tick(self.now);
        self.money.tick(self.now);
        self.account_on_time();
        self.redemptions_on_time();
        let (now, capped, queues) = (self.now, self.is_capped(), &self.queues);
        let due: Vec<InfoHash> = (self.torrents.values_mut())
            .filter_map(|torrent| {
                (torrent.due(now, capped, queues) <= now).then(|| torrent.info_hash())
            })
            .collect();
        for info_hash in due {
            self.with_torrent(info_hash, |torrent, ctx| torrent.tick(ctx));
        }
        if self.choker.next_round() <= self.now {
            self.choke_stale = true;
        }
        if self.room_at <= self.now {
            self.room_at = self.now + ROOM_INTERVAL;
            self.make_room();
            self.note_starving();
        }
    }

    /// Starving torrents also look for peers under ids that they are connected to.
    fn note_starving(&mut self) {
        for (info_hash, torrent) in &self.torrents {
            let starving = torrent.is_starving(self.now);
            self.signaling.set_starving(*info_hash, starving);
        }
    }

    /// Idle peers give way in torrents that no other peer would fit into.
    fn make_room(&mut self) {
        let limits = &self.config.limits;
        let full = self.open_connections() >= limits.max_connections;
        let per_torrent = limits.max_connections_per_torrent;
        let crowded: Vec<InfoHash> = (self.torrents.values())
            .filter(|s| full || s.peers().len() >= per_torrent)
            .map(Torrent::info_hash)
            .collect();
        for info_hash in crowded {
            self.with_torrent(info_hash, |torrent, ctx| torrent.make_room(ctx));
        }
    }

    /// Lets everything follow that this input allows.
    fn settle(&mut self) {
        for _ in 0..MAX_ROUNDS {
            self.money.end_of_batch(self.now);
            let mut busy = self.drain_money();
            busy |= self.drain_closed();
            if core::mem::take(&mut self.choke_stale) {
                self.choke();
            }
            for info_hash in core::mem::take(&mut self.touched) {
                busy = true;
                self.pump(info_hash);
            }
            busy |= self.finish_leaving();
            busy |= self.wake_for_room();
            self.announce();
            busy |= self.drain_signaling();
            if !busy {
                break;
            }
        }
        self.finish_shutdown();
    }

    fn drain_closed(&mut self) -> bool {
        let closed = core::mem::take(&mut self.closed);
        while self.banned.len() > MAX_BANNED {
            self.banned.pop_first();
        }
        for end in &closed {
            if let Some(route) = self.routes.remove(&end.connection) {
                self.touched.insert(route.info_hash);
            }
            if let Some(other) = end.double_of {
                self.signaling
                    .connection_doubled(self.now, end.connection, other);
            } else if end.wanted_more {
                self.signaling.connection_lost(self.now, end.connection);
            } else {
                self.signaling.connection_closed(self.now, end.connection);
            }
            self.choke_stale = true;
        }
        !closed.is_empty()
    }

    fn choke(&mut self) {
        let mut candidates = Vec::new();
        let hashes: Vec<InfoHash> = self.torrents.keys().copied().collect();
        for info_hash in hashes {
            let mut found = Vec::new();
            self.lend(info_hash, &mut |torrent, ctx| {
                found = torrent.choke_candidates(ctx);
            });
            candidates.extend(found);
        }
        let upload = UploadSlots {
            slots: self.config.limits.upload_slots,
            cap: self.config.limits.upload_bytes_per_second,
        };
        let unchoked = self
            .choker
            .choose(self.now, upload, &candidates, &mut self.rng);
        for candidate in candidates {
            let conn = candidate.conn;
            let choked = !unchoked.contains(&conn);
            let Some(route) = self.routes.get(&conn).copied() else {
                continue;
            };
            let mut changed = false;
            self.lend(route.info_hash, &mut |torrent, ctx| {
                changed = torrent
                    .peers()
                    .get(conn)
                    .is_some_and(|p| p.am_choking != choked);
                if changed {
                    torrent.set_choked(ctx, conn, choked);
                }
            });
            if changed {
                self.touched.insert(route.info_hash);
            }
        }
    }

    fn pump(&mut self, info_hash: InfoHash) {
        self.pumps += 1;
        self.lend(info_hash, &mut |torrent, ctx| torrent.pump(ctx));
    }

    // ---- lending

    /// Calls into a torrent and marks it touched.
    fn with_torrent(&mut self, info_hash: InfoHash, f: impl FnOnce(&mut Torrent, &mut Context)) {
        let mut f = Some(f);
        self.enter(info_hash, &mut |torrent, ctx| {
            if let Some(f) = f.take() {
                f(torrent, ctx);
            }
        });
    }

    /// Calls into the torrent of an open connection and marks it touched.
    fn in_torrent_of(
        &mut self,
        connection: ConnectionId,
        f: impl FnOnce(&mut Torrent, &mut Context),
    ) {
        let route = self.routes.get(&connection).filter(|route| route.open);
        if let Some(info_hash) = route.map(|route| route.info_hash) {
            self.with_torrent(info_hash, f);
        }
    }

    fn web_seed_answers(&mut self, request: WebRequestId, answer: WebSeedAnswer) {
        let asks = |torrent: &&Torrent| torrent.asks_web_seed(request);
        let torrent = self.torrents.values().find(asks).map(Torrent::info_hash);
        if let Some(info_hash) = torrent {
            self.with_torrent(info_hash, |torrent, ctx| {
                torrent.web_seed_answers(ctx, request, answer);
            });
        }
    }

    fn enter(&mut self, info_hash: InfoHash, call: Call) {
        if self.torrents.contains_key(&info_hash) {
            self.touched.insert(info_hash);
            self.lend(info_hash, call);
        }
    }

    /// Lends a torrent what all share. One function for all calls: what it lends is put together in one place.
    fn lend(&mut self, info_hash: InfoHash, call: Call) {
        let Some(torrent) = self.torrents.get_mut(&info_hash) else {
            return;
        };
        let mut ctx = Context {
            now: self.now,
            out: &mut self.out,
            money: &mut self.money,
            config: &self.config,
            peer_id: self.peer_id,
            quota: &mut self.quota,
            queues: &mut self.queues,
            uplink: &mut self.uplink,
            upload: &mut self.upload,
            download: &mut self.download,
            rng: &mut self.rng,
            banned: &mut self.banned,
            closed: &mut self.closed,
        };
        call(torrent, &mut ctx);
        torrent.changed();
    }

    // ---- time

    fn is_capped(&self) -> bool {
        self.upload.is_capped() || self.download.is_capped()
    }

    fn next_timeout(&mut self) -> Timestamp {
        let (now, capped, queues) = (self.now, self.is_capped(), &self.queues);
        let torrents = self
            .torrents
            .values_mut()
            .map(|torrent| torrent.due(now, capped, queues));
        let torrents = torrents.min().unwrap_or(Timestamp::NEVER);
        let choke = if self.routes.values().any(|r| r.open) {
            self.choker.next_round().min(self.room_at)
        } else {
            Timestamp::NEVER
        };
        let at = torrents
            .min(choke)
            .min(self.signaling.next_timeout())
            .min(self.money.next_timeout())
            .min(self.account.next_timeout())
            .min(self.redemptions.next_timeout())
            .min(self.shutdown_by.unwrap_or(Timestamp::NEVER));
        // A deadline in the past is due at the next tick, not before: time must pass between ticks.
        at.max(self.now + Duration::from_millis(1))
    }

    fn open_connections(&self) -> usize {
        self.routes.values().filter(|r| r.open).count()
    }

    // ---- the end

    fn finish_shutdown(&mut self) {
        let Some(by) = self.shutdown_by else { return };
        if self.shut_down {
            return;
        }
        let waiting = self.out.waits_for(|_| true);
        if (!waiting && self.is_durable()) || self.now >= by {
            self.shut_down = true;
            self.shutdown_by = None;
            self.out.event(Event::ShutDown);
        }
    }
}

impl core::fmt::Debug for Client {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Client")
            .field("torrents", &self.order)
            .field("connections", &self.routes.len())
            .finish_non_exhaustive()
    }
}
