//! One torrent's state machine: its metadata, its peers, its pieces, its readers.
//!
//! Owns everything of one torrent and nothing that torrents share; that is lent to it by the client as a
//! [`Context`] for the length of one call. [`Torrent`] routes; each part of its state has a file that owns it:
//!
//! - `peers`: who is connected, and who left; `metadata`: the exchange of the info dictionary
//! - [`pieces`](crate::pieces): where each piece and block stands; `durability`: what is recorded and flushed when
//! - `sellers`: with whom to deal; `advances`: what is paid before it verifies; `late`: blocks that came twice;
//!   `pricing`: asked and paid prices; `money`: the payment machines
//! - `titles`: what a publisher signed, and whether it fits
//! - `web_seeds`: HTTP servers that have the files (BEP 19)
//! - `selection`: which files; `streams`: readers; `players`: how far ahead of a player; `quota`: the storage limit;
//!   `outbox`: what leaves
//!
//! A block's way is `requests` (asked for) -> `messages` (decoded) -> `download` (matched, hashed, verified, written,
//! paid); `upload` serves; `start` takes up what a restart finds; `report` is what a page may see.

mod advances;
mod download;
mod durability;
mod late;
mod messages;
mod metadata;
mod money;
mod outbox;
mod peers;
mod players;
mod pricing;
mod quota;
mod report;
mod requests;
mod selection;
mod sellers;
mod start;
mod streams;
mod suspects;
mod titles;
mod upload;
mod web_seeds;

use std::collections::VecDeque;

use bytes::Bytes;
use chacha20::ChaCha20Rng;

use crate::bitfield::Bitfield;
use crate::io::{
    AddOptions, ClosedReason, Config, Event, Output, Playhead, Priority, StorageOp, StreamError,
};
use crate::metainfo::{MagnetLink, Metainfo};
use crate::peer::{Identity, Peer, SendQueues, TokenBucket, Uplink};
use crate::picker::{Picker, Window};
use crate::pieces::{Pieces, Requests};
use crate::sorted::{Map, Set};
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, Durability, InfoHash, PeerId, PieceIndex, StreamId};
use crate::wire::Message;

use advances::Advancing;
use durability::Cycles;
use late::Copies;
use metadata::MetadataExchange;
use sellers::Sellers;

pub use money::{Buying, Money, MoneyAction};
pub use outbox::{EffectOwner, Outbox, Purpose};
pub use peers::Peers;
pub use quota::Quota;
pub use selection::Selection;
pub use web_seeds::WebSeedAnswer;
#[cfg(feature = "_test")]
pub use web_seeds::is_range;

/// A peer with which no block passed for so long gives way when there is no room for another.
const IDLE_IN_A_FULL_HOUSE: Duration = Duration::from_secs(120);
/// A torrent to which no peer brought a block for so long starves.
const STARVING_AFTER: Duration = Duration::from_secs(60);
/// So many give way at once.
const GIVE_WAY: usize = 4;

/// What all torrents of a client share, lent for one call.
pub struct Context<'a> {
    /// The time of this input.
    pub now: Timestamp,
    /// The way out.
    pub out: &'a mut Outbox,
    /// The payment machines.
    pub money: &'a mut Money,
    /// The configuration.
    pub config: &'a Config,
    /// Our peer id.
    pub peer_id: PeerId,
    /// What torrents may store.
    pub quota: &'a mut Quota,
    /// What waits to be sent on each connection.
    pub queues: &'a mut SendQueues,
    /// What all connections send through.
    pub uplink: &'a mut Uplink,
    /// Upload cap.
    pub upload: &'a mut TokenBucket,
    /// Download cap.
    pub download: &'a mut TokenBucket,
    /// Randomness.
    pub rng: &'a mut ChaCha20Rng,
    /// Peers that sent corrupt data.
    pub banned: &'a mut Set<Identity>,
    /// Connections that ended during this call.
    pub closed: &'a mut Vec<Closed>,
}

/// A connection that ended.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    /// The connection, which is no peer of the torrent any more.
    pub connection: ConnectionId,
    /// It broke, or its peer closed it, while the peer still wanted something from us.
    pub wanted_more: bool,
    /// The connection that its peer has besides.
    pub double_of: Option<ConnectionId>,
}

/// Everything that exists once the metadata is known.
#[derive(Debug)]
struct Content {
    meta: Metainfo,
    /// Where every piece and block stands.
    pieces: Pieces,
    picker: Picker,
    cycles: Cycles,
    advancing: Advancing,
    phase: Phase,
    copies: Copies,
    /// The files that are read.
    read: Set<u32>,
    selection: Selection,
    /// The pieces of the files that are selected.
    selected: Bitfield,
    /// Bytes of these.
    selected_length: u64,
    /// `Complete` was said.
    complete_said: bool,
}

impl Content {
    /// The picker goes by the selection.
    fn apply_selection(&mut self) {
        self.selected = self.selection.pieces(&self.meta, Priority::Normal);
        self.selected_length = self.selected_bytes().0;
        let first = self.selection.pieces(&self.meta, Priority::High);
        self.picker.set_first(first);
    }

    /// Everything that is selected is verified and stored, whether or not it was fetched on demand.
    fn is_complete(&self) -> bool {
        let done = self.pieces.done().words();
        let missing =
            (self.selected.words().iter().zip(done)).any(|(wanted, have)| wanted & !have != 0);
        !missing && !self.pieces.is_writing()
    }

    /// A piece is not in the files, or is wrong there: it is fetched again.
    fn lost(&mut self, piece: PieceIndex) {
        self.cycles.lost(piece);
        if self.pieces.lost(piece) {
            self.picker.lost(&self.pieces, piece);
        }
    }
}

#[derive(Debug)]
enum Phase {
    /// Storage is being opened.
    Opening,
    /// What is there is hashed again.
    Checking {
        queue: VecDeque<PieceIndex>,
        under_way: usize,
        restoring: Map<PieceIndex, crate::storage::ScratchEntry>,
    },
    /// Pieces are fetched and served.
    Running,
}

/// One torrent.
#[derive(Debug)]
pub struct Torrent {
    info_hash: InfoHash,
    name: Option<String>,
    options: AddOptions,
    paused: bool,
    failed: Option<String>,
    /// Why it does not fit the storage limit: only what readers ask for is fetched, as far as that fits.
    over_limit: Option<String>,
    peers: Peers,
    metadata: MetadataExchange,
    titles: titles::Titles,
    content: Option<Content>,
    /// From the torrent file, for when its info dictionary turns into a [`Metainfo`].
    trackers: Vec<Vec<String>>,
    streams: streams::Streams,
    downloaded: u64,
    uploaded: u64,
    wasted: u64,
    /// Pieces were written in this run.
    wrote: bool,
    pricing: pricing::Pricing,
    sellers: Sellers,
    web_seeds: web_seeds::WebSeeds,
    swarm: Option<(u32, u32)>,
    /// Somebody's interest changed, or somebody new is there.
    choke_stale: bool,
    /// Who was last given room at the edge for blocks.
    turn: ConnectionId,
    /// When something that is out may be taken back from a slow peer, or may be asked again of one that choked.
    take_back_at: Timestamp,
    /// The cap of all downloads keeps it from asking for anything.
    waits_for_cap: bool,
    /// When something is due, since the last change.
    due: Option<Timestamp>,
}

impl Torrent {
    /// A torrent of which only the hash is known; [`Torrent::set_metainfo`] or peers bring the rest.
    pub fn new(
        info_hash: InfoHash,
        name: Option<String>,
        trackers: Vec<Vec<String>>,
        options: AddOptions,
    ) -> Torrent {
        Torrent {
            pricing: pricing::Pricing::new(options.price),
            info_hash,
            name,
            options,
            paused: false,
            failed: None,
            over_limit: None,
            peers: Peers::default(),
            metadata: MetadataExchange::default(),
            titles: titles::Titles::default(),
            content: None,
            trackers,
            streams: streams::Streams::default(),
            downloaded: 0,
            uploaded: 0,
            wasted: 0,
            wrote: false,
            sellers: Sellers::default(),
            web_seeds: web_seeds::WebSeeds::default(),
            swarm: None,
            choke_stale: false,
            turn: ConnectionId(0),
            take_back_at: Timestamp::NEVER,
            waits_for_cap: false,
            due: None,
        }
    }

    /// SHA-1 of the info dictionary, known before the dictionary itself is.
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// Its name, once it is known: from strangers.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What a .torrent file of it says, once its info dictionary is known.
    pub fn metainfo(&self) -> Option<Metainfo> {
        let meta = self.content.as_ref()?.meta.clone();
        Some(Metainfo {
            trackers: self.trackers.clone(),
            web_seeds: self.web_seeds.named().to_vec(),
            ..meta
        })
    }

    /// Connected peers.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Uploaded, downloaded and left, as an announce says it; left is unknown without metadata.
    pub fn progress(&self) -> (u64, u64, Option<u64>) {
        let left = self.content.as_ref().map(Content::left);
        (self.uploaded, self.downloaded, left)
    }

    /// Bytes of pieces begun and not verified.
    pub fn partial_bytes(&self) -> u64 {
        (self.content.as_ref()).map_or(0, |c| c.pieces.held_bytes())
    }

    /// Bytes that arrived and would be lost with the process, and bytes that peers are asked for.
    pub fn at_risk(&self) -> (u64, u64) {
        self.content.as_ref().map_or((0, 0), |content| {
            let pieces = &content.pieces;
            (content.cycles.at_risk(pieces), pieces.requested_bytes())
        })
    }

    /// Everything that is selected is verified and stored.
    pub fn is_complete(&self) -> bool {
        self.content.as_ref().is_some_and(Content::is_complete)
    }

    /// The same, where it is more than nothing: what trackers call complete.
    pub fn is_downloaded(&self) -> bool {
        (self.content.as_ref()).is_some_and(|c| c.is_complete() && !c.is_empty_handed())
    }

    /// Whether pieces were written since the start.
    pub fn has_written(&self) -> bool {
        self.wrote
    }

    /// Nothing is selected or read that is not verified.
    fn lacks_nothing(&self) -> bool {
        self.content
            .as_ref()
            .is_some_and(|c| c.is_complete() && c.picker.is_complete(&c.pieces))
    }

    /// Everything is verified and stored.
    pub fn is_seed(&self) -> bool {
        self.content
            .as_ref()
            .is_some_and(|c| c.pieces.verified().is_complete())
    }

    /// What was there at the start is known.
    pub fn is_checked(&self) -> bool {
        self.content
            .as_ref()
            .is_some_and(|c| matches!(c.phase, Phase::Running))
    }

    /// Something is missing and fetched.
    pub fn is_downloading(&self) -> bool {
        self.wants_peers() && !self.lacks_nothing()
    }

    /// Whether the choker should look again, since the last question.
    pub fn take_choke_stale(&mut self) -> bool {
        core::mem::take(&mut self.choke_stale)
    }

    /// It cannot go on.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Connections would be of use.
    pub fn wants_peers(&self) -> bool {
        !self.paused && self.failed.is_none()
    }

    /// The trackers' last word on the swarm.
    pub fn set_swarm(&mut self, seeders: u32, leechers: u32) {
        self.swarm = Some((seeders, leechers));
    }

    /// A data channel opened.
    pub fn connected(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        address_hash: u64,
        claimed: Vec<u64>,
    ) {
        let mut peer = Peer::new(conn, address_hash, ctx.now);
        peer.claimed = claimed;
        let handshake = crate::wire::Handshake::ours(self.info_hash, ctx.peer_id);
        ctx.queues.open(ctx.now, conn);
        let handshake = Bytes::copy_from_slice(&handshake.encode());
        let sent = ctx.queues.send_bytes(ctx.now, conn, handshake);
        self.peers.joined(peer);
        if !sent {
            self.close(ctx, conn, ClosedReason::TimedOut("it does not read"));
        }
    }

    /// The connection is gone, or is to go: its requests, blocks and payments end.
    pub fn close(&mut self, ctx: &mut Context, conn: ConnectionId, reason: ClosedReason) {
        let Some(peer) = self.peers.left(conn) else {
            return;
        };
        if reason == ClosedReason::Corrupt {
            ctx.banned.extend(peer.identity());
        }
        ctx.uplink.forgotten(ctx.queues.close(conn));
        if let Some(content) = &mut self.content {
            content.picker.peer_gone(&mut content.pieces, conn);
        }
        self.metadata.peer_gone(conn);
        self.titles.peer_gone(conn);
        if peer.in_payments {
            ctx.money.disconnected(ctx.now, conn);
        }
        if !matches!(reason, ClosedReason::Remote(_)) {
            ctx.out.push(Output::CloseConnection {
                connection: conn,
                reason: reason.clone(),
            });
        }
        ctx.closed.push(Closed {
            connection: conn,
            wanted_more: peer.peer_interested && matches!(reason, ClosedReason::Remote(_)),
            double_of: peer.double_of,
        });
        ctx.out.event(Event::PeerClosed {
            info_hash: Some(self.info_hash),
            connection: conn,
            reason,
        });
    }

    /// It lacks something, and no peer brought anything for long.
    pub fn is_starving(&self, now: Timestamp) -> bool {
        let fed = |p: &Peer| now < p.of_use_at + STARVING_AFTER;
        self.wants_peers() && !self.lacks_nothing() && !self.peers.iter().any(fed)
    }

    /// There is no room for another peer: those of no use for long give way, so that nobody is kept out by peers
    /// that only sit there.
    pub fn make_room(&mut self, ctx: &mut Context) {
        let mut idle: Vec<(Timestamp, ConnectionId)> = (self.peers.iter())
            .filter(|p| ctx.now >= p.of_use_at + IDLE_IN_A_FULL_HOUSE)
            .map(|p| (p.of_use_at, p.connection))
            .collect();
        idle.sort_unstable();
        for (_, conn) in idle.into_iter().take(GIVE_WAY) {
            self.close(ctx, conn, ClosedReason::NotNeeded("it gave way to others"));
        }
    }

    /// Closes all connections.
    pub fn close_all(&mut self, ctx: &mut Context, reason: &ClosedReason) {
        for conn in self.peers.connections() {
            self.close(ctx, conn, reason.clone());
        }
    }

    /// Pauses: no connections, no requests.
    pub fn pause(&mut self, ctx: &mut Context) {
        self.paused = true;
        self.stop_web_seeds(ctx);
        self.close_all(ctx, &ClosedReason::NotNeeded("paused"));
        self.settle_pricing(ctx);
        self.make_durable_soon();
    }

    /// Goes on after a pause or a failure. Peers that were told meanwhile that nothing is wanted are told otherwise.
    pub fn resume(&mut self, ctx: &mut Context) {
        self.paused = false;
        self.failed = None;
        self.go_on_checking(ctx);
        self.wishes_changed(ctx);
    }

    /// Fetches everything, or only what streams ask for.
    pub fn set_on_demand(&mut self, ctx: &mut Context, on_demand: bool) {
        self.options.on_demand = on_demand;
        if let Some(content) = &mut self.content {
            let wanted = content.wanted(on_demand || self.over_limit.is_some());
            content.picker.set_wanted(&content.pieces, wanted);
        }
        self.wishes_changed(ctx);
    }

    /// The user chose to fetch all of it, or takes that back: later runs know it ([`is_kept`]).
    pub fn remember_kept(&self, ctx: &mut Context, kept: bool) {
        if is_kept(ctx.out, self.info_hash) != kept {
            let key = record_key(self.info_hash, "kept");
            let record = kept.then(|| Bytes::from_static(&[1]));
            (ctx.out).put_records(
                EffectOwner::Nobody,
                vec![(key, record)],
                Durability::PowerLoss,
            );
        }
    }

    /// What is out to a peer, and since when.
    pub fn requests_out(&self, conn: ConnectionId) -> &Requests {
        const NONE: &Requests = &Map::new();
        let pieces = self.content.as_ref().map(|content| &content.pieces);
        pieces.map_or(NONE, |pieces| pieces.requests(conn))
    }

    fn peer_pieces(&self, conn: ConnectionId) -> Option<&Bitfield> {
        self.content.as_ref()?.picker.peer_pieces(conn)
    }

    fn is_peer_seed(&self, conn: ConnectionId) -> bool {
        self.peer_pieces(conn).is_some_and(Bitfield::is_full)
    }

    /// Looks again at who has something for us, and says so.
    fn wishes_changed(&mut self, ctx: &mut Context) {
        self.refresh_interest();
        for conn in self.peers.connections() {
            self.tell_interest(ctx, conn);
        }
    }

    /// Says goodbye to everything of this torrent. Its peers are closed already.
    pub fn remove(&mut self, ctx: &mut Context, delete_data: bool) {
        self.stop_web_seeds(ctx);
        ctx.out.forget(self.info_hash);
        self.leave_storage(ctx, delete_data);
        for stream in self.streams.drain() {
            ctx.out.push(Output::StreamFailed {
                stream,
                error: StreamError::NotFound,
            });
        }
        if self.content.is_some() {
            ctx.out.storage(
                self.info_hash,
                Purpose::Close,
                StorageOp::Close {
                    delete: delete_data,
                },
            );
        }
        if delete_data {
            let keys = [
                "info", "link", "have", "scratch", "price", "files", "kept", "title",
            ];
            let keys = keys.map(|k| (record_key(self.info_hash, k), None));
            ctx.out
                .put_records(EffectOwner::Nobody, keys.into(), Durability::PowerLoss);
        } else {
            self.settle_pricing(ctx);
        }
    }

    /// Begins to read a file.
    pub fn open_stream(
        &mut self,
        ctx: &mut Context,
        stream: StreamId,
        file: u32,
        offset: u64,
        length: u64,
        plays: bool,
    ) {
        let found = self
            .content
            .as_ref()
            .and_then(|c| c.meta.files.get(file as usize))
            .filter(|f| !f.pad);
        let error = match found {
            None => Some(StreamError::NotFound),
            Some(f) if length == 0 || offset.checked_add(length).is_none_or(|e| e > f.length) => {
                Some(StreamError::OutOfRange(f.length))
            }
            Some(_) if self.streams.len() >= streams::MAX_STREAMS => {
                Some(StreamError::TooMany(streams::MAX_STREAMS))
            }
            Some(_) => None,
        };
        match error {
            Some(error) => ctx.out.push(Output::StreamFailed { stream, error }),
            None => {
                (self.streams).open(stream, file, offset, length, plays, ctx.now);
            }
        }
    }

    /// A player tells where it is, or that it plays no more.
    pub fn play(&mut self, now: Timestamp, player: u64, head: Option<Playhead>) {
        let meta = self.content.as_ref().map(|content| &content.meta);
        self.streams.play(player, head, meta, now);
    }

    /// The reader has room.
    pub fn pull_stream(&mut self, now: Timestamp, stream: StreamId) {
        self.streams.pull(stream, now);
    }

    /// The reader is gone.
    pub fn close_stream(&mut self, stream: StreamId) -> bool {
        self.streams.close(stream)
    }

    /// Time-driven work: what timed out, what is due.
    pub fn tick(&mut self, ctx: &mut Context) {
        self.time_out_peers(ctx);
        self.time_out_web_seeds(ctx);
        self.time_out_metadata(ctx);
    }

    /// Everything that can go on, goes on. Called after each input of this torrent, after payments.
    pub fn pump(&mut self, ctx: &mut Context) {
        self.settle_given_up(ctx);
        self.choose_sellers(ctx);
        self.fetch_metadata(ctx);
        self.fit_storage(ctx);
        self.update_windows(ctx);
        let lacking = self.request_blocks(ctx);
        self.wait_for_sellers(ctx, lacking);
        self.serve_requests(ctx);
        self.serve_metadata(ctx);
        self.serve_streams(ctx);
        self.keep_to_storage(ctx);
        self.advance_payments(ctx);
        self.leave_fellow_seeds(ctx);
        self.drive_durability(ctx);
        self.drive_pricing(ctx);
        self.flush_sends(ctx);
    }

    /// It may be due at another time than it said.
    pub fn changed(&mut self) {
        self.due = None;
    }

    /// When something is due though nothing comes in, as of its last change.
    pub fn due(&mut self, now: Timestamp, capped: bool, queues: &SendQueues) -> Timestamp {
        let due = self
            .due
            .unwrap_or_else(|| self.next_timeout(now, capped, queues));
        self.due = Some(due);
        due
    }

    fn next_timeout(&self, now: Timestamp, capped: bool, queues: &SendQueues) -> Timestamp {
        let mut at = Timestamp::NEVER;
        for peer in self.peers.iter() {
            // A capped transfer goes on when the bucket has filled a little.
            let out = self.requests_out(peer.connection);
            if capped && !(peer.serving.is_empty() && out.is_empty()) {
                at = at.min(now + Duration::from_millis(20));
            }
            let sent = queues.last_sent(peer.connection);
            at = at.min(peer.next_timeout(!out.is_empty(), sent));
        }
        if capped && self.waits_for_cap {
            at = at.min(now + Duration::from_millis(20));
        }
        at = at.min(self.metadata.next_timeout());
        if let Some(content) = &self.content {
            at = at
                .min(content.picker.next_timeout(&content.pieces, now))
                .min(content.advancing.next_timeout())
                .min(content.cycles.next_timeout());
        }
        at.min(self.streams.next_timeout())
            .min(self.pricing.record_due())
            .min(self.sellers.next_timeout())
            .min(self.take_back_at)
            .min(self.web_seeds_timeout(now))
    }

    fn time_out_peers(&mut self, ctx: &mut Context) {
        use crate::peer::{HANDSHAKE_TIMEOUT, HandshakeStage, IDLE_TIMEOUT, KEEP_ALIVE};
        let now = ctx.now;
        let mut closing = Vec::new();
        let mut snubbed = Vec::new();
        let pieces = self.content.as_ref().map(|content| &content.pieces);
        for peer in self.peers.iter_mut() {
            let conn = peer.connection;
            if peer.stage == HandshakeStage::Handshaking {
                if now >= peer.opened_at + HANDSHAKE_TIMEOUT {
                    closing.push((conn, "no handshake"));
                }
                continue;
            }
            if now >= peer.last_received + IDLE_TIMEOUT {
                closing.push((conn, "it said nothing"));
            } else if now >= peer.asked.snubs_at()
                && pieces.is_some_and(|pieces| !pieces.requests(conn).is_empty())
            {
                snubbed.push(conn);
            }
            if now >= ctx.queues.last_sent(conn) + KEEP_ALIVE
                && !ctx.queues.send(now, conn, &Message::KeepAlive)
            {
                closing.push((conn, "it does not read"));
            }
        }
        for conn in snubbed {
            // A seller that stops delivering holds our credit: leave it. A free peer may come back.
            if matches!(ctx.money.buying(conn), Buying::Paid(_)) {
                closing.push((conn, "it was paid and sends nothing"));
            } else {
                self.snub(ctx, conn);
            }
        }
        for (conn, why) in closing {
            self.close(ctx, conn, ClosedReason::TimedOut(why));
        }
    }

    fn update_windows(&mut self, ctx: &mut Context) {
        let Some(content) = &mut self.content else {
            return;
        };
        let windows: Vec<Window> = self
            .streams
            .urgent(&content.meta, ctx.now, self.options.on_demand)
            .into_iter()
            .map(|u| Window {
                pieces: u.first.0..u.end.0,
                deadline: u.deadline,
                spacing: u.spacing,
            })
            .collect();
        let mut changed = content.picker.set_windows(&content.pieces, &windows);
        let read = self.streams.files(ctx.now);
        if content.read != read {
            let geometry = content.pieces.geometry();
            let mut later = Bitfield::empty(geometry.piece_count());
            for file in (read.iter()).filter_map(|index| content.meta.files.get(*index as usize)) {
                for piece in (geometry.pieces_of(file.offset..file.offset + file.length)).iter() {
                    later.insert(piece.0);
                }
            }
            content.picker.set_later(later);
            content.read = read;
            changed = true;
        }
        if changed {
            self.wishes_changed(ctx);
        }
    }

    /// Queues a message; a peer that does not read is closed.
    fn send(&mut self, ctx: &mut Context, conn: ConnectionId, message: &Message) {
        if !ctx.queues.send(ctx.now, conn, message) {
            self.close(ctx, conn, ClosedReason::TimedOut("it does not read"));
        }
    }

    /// Hands to the edge what it has room for. The peers take turns, so that a thin uplink is everybody's.
    fn flush_sends(&mut self, ctx: &mut Context) {
        let last = self.turn;
        self.flush_some(ctx, |conn| conn > last);
        self.flush_some(ctx, |conn| conn <= last);
    }

    fn flush_some(&mut self, ctx: &mut Context, which: impl Fn(ConnectionId) -> bool) {
        for peer in self.peers.iter_mut().filter(|peer| which(peer.connection)) {
            let conn = peer.connection;
            let Some(queue) = ctx.queues.get_mut(conn) else {
                continue;
            };
            let (mut left, mut sent) = (Vec::new(), false);
            while let Some(chunks) = queue.poll(ctx.now, ctx.uplink, &mut left) {
                sent = true;
                ctx.out.push(Output::Send {
                    connection: conn,
                    chunks,
                });
            }
            if let Some(bytes) = queue.low_water(ctx.uplink.limit(ctx.now)) {
                ctx.out.push(Output::SetLowWater {
                    connection: conn,
                    bytes,
                });
            }
            if sent {
                ctx.queues.sent(ctx.now, conn);
            }
            let bytes: u64 = left.iter().map(|b| u64::from(b.length)).sum();
            if bytes > 0 {
                self.turn = conn;
                peer.was_of_use(ctx.now);
                peer.up.add(ctx.now, bytes);
                self.uploaded += bytes;
            }
        }
    }
}

/// Key of one of a torrent's records.
pub fn record_key(info_hash: InfoHash, what: &str) -> String {
    format!("torrent/{}/{what}", info_hash.to_hex())
}

/// Whether the user chose to fetch all of a torrent; its record says that by being there.
pub fn is_kept(out: &Outbox, info_hash: InfoHash) -> bool {
    out.record(&record_key(info_hash, "kept")).is_some()
}

/// What a torrent's record says of trackers and title; nothing of either if there is none.
pub fn stored_link(out: &Outbox, info_hash: InfoHash) -> MagnetLink {
    (out.record(&record_key(info_hash, "link")))
        .and_then(|bytes| core::str::from_utf8(bytes).ok()?.parse().ok())
        .filter(|link: &MagnetLink| link.info_hash == info_hash)
        .unwrap_or_else(|| MagnetLink::new(info_hash))
}
