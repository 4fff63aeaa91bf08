//! The web seeds of one torrent (BEP 19): which of them is asked for what, and what they answer
//! (docs/decisions/055-web-seeds-fill-in-for-peers.md).
//!
//! Owns their state. A web seed stands beside the peers in the picker and among the pieces, under a name that no
//! connection has: so a block is out to it as to a peer, and its piece is hashed, blamed and written as any other.
//! Money knows nothing of it. In the picker's eyes it chokes us, and it is asked only for the pieces that this module
//! names: so no seller and no other peer waits because of it, unless the user wants that
//! ([`WebSeedUse::Always`]).
//!
//! Invariants:
//! - every block that is out to a web seed is in one of its jobs, or its request is taken back at once;
//! - a web seed that was banned, or dropped, is asked for nothing any more;
//! - a web seed's bytes leave this module in whole blocks only, which are verified as a peer's are.

mod answers;
mod seed;

use bytes::Bytes;

#[cfg(feature = "_test")]
pub use answers::is_range;
use answers::{Fault, judge};
use seed::{Get, Job, WebSeed};

use super::{Content, Context, Phase, Torrent};
use crate::bitfield::Bitfield;
use crate::io::{Event, WebSeedHead, WebSeedSnapshot, WebSeedUse};
use crate::metainfo::WebSeedUrl;
use crate::metainfo::raw::{RawPath, raw_paths};
use crate::peer::Peer;
use crate::picker::{ASSUMED_RATE, PATIENCE, PeerStatus};
use crate::sorted::Set;
use crate::time::{Duration, Timestamp};
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, FineUnits, WebRequestId};

/// Web seeds of one torrent that are used; further ones are not, so that a link makes its readers ask few servers.
pub const MAX_WEB_SEEDS: usize = 8;
/// The name of the first web seed. Connections are counted from 0, and their numbers never come so far.
const FIRST_NAME: u64 = 1 << 63;
/// Requests that are out to one web seed at once.
const MAX_ACTIVE: usize = 2;
/// Bytes of the longest request, ...
const MAX_JOB: u64 = 1024 * 1024;
/// ... and of the first ones, before it shows what it can do.
const FIRST_JOB: u64 = 256 * 1024;
/// A request is for what the web seed brings in this time.
const JOB_AHEAD: Duration = Duration::from_secs(1);
/// Peers that bring so many bytes a second together suffice where no reader waits.
const ENOUGH: u64 = ASSUMED_RATE;
/// Peers that bring less for so long are helped.
const GRACE: Duration = PATIENCE;
/// A web seed that sends no byte for so long is slow, ...
const STALL: Duration = Duration::from_secs(10);
/// ... and one whose request is not answered whole by then.
const JOB_TIME: Duration = Duration::from_secs(30);
/// The same while peers are connected, or other web seeds may be asked.
const STALL_BESIDE_OTHERS: Duration = PATIENCE;
/// See [`STALL_BESIDE_OTHERS`].
const JOB_TIME_BESIDE_OTHERS: Duration = Duration::from_secs(12);
/// After a fault a web seed is left alone for so long, twice as long after each further one, ...
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// ... and for so long at the most.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A web seed that never gave a right byte is dropped after so many faults.
const MAX_UNPROVED: u32 = 3;
/// Files that a web seed may lack; one that lacks more is dropped.
const MAX_LACKING: usize = 64;
/// A torrent that finds no room among the requests of all torrents looks again so often.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A request that is not sent for so long, because others go before it, is left to peers and to other web seeds.
const LONGEST_WAIT: Duration = PATIENCE;
/// Runs of pieces that are tried for one request.
const MAX_RUNS: usize = 4;

/// All web seeds of a torrent.
#[derive(Debug, Default)]
pub(super) struct WebSeeds {
    seeds: Vec<WebSeed>,
    /// The web seeds that ever were. No name is given again: pieces may still know who sent their blocks.
    count: u64,
    /// The names of the files as they stand in the torrent; read when a URL is first made of them.
    names: Option<Vec<RawPath>>,
    /// Since when peers bring next to nothing of what they could.
    little_since: Option<Timestamp>,
    /// One would be asked for something, and there is no room among the requests of all torrents.
    waits_for_room: bool,
    /// The web seeds that the torrent names, for the record.
    named: Vec<String>,
}

/// What came of a request to a web seed.
pub enum WebSeedAnswer {
    /// See [`crate::io::Input::WebSeedHead`].
    Head(WebSeedHead),
    /// See [`crate::io::Input::WebSeedBytes`].
    Bytes(Bytes),
    /// See [`crate::io::Input::WebSeedEnd`].
    End(Option<String>),
}

/// What web seeds are to bring.
#[derive(Debug, Default)]
struct Need {
    /// What a reader needs sooner than peers would bring it, and what failed.
    first: Set<u32>,
    /// And then everything.
    all: bool,
}

impl Need {
    fn is_empty(&self) -> bool {
        !self.all && self.first.is_empty()
    }
}

impl WebSeeds {
    /// The URLs that the torrent itself names.
    pub(super) fn named(&self) -> &[String] {
        &self.named
    }

    /// For pages and operators.
    pub(super) fn snapshot(&self, now: Timestamp) -> Vec<WebSeedSnapshot> {
        self.seeds.iter().map(|seed| seed.snapshot(now)).collect()
    }

    /// Bytes a second from all of them.
    pub(super) fn rate(&self, now: Timestamp) -> u64 {
        let rates = self.seeds.iter().map(|seed| seed.rate.per_second(now));
        rates.sum()
    }

    /// Bytes that they are asked for and that have not come.
    fn bytes_out(&self) -> u64 {
        let jobs = self.seeds.iter().flat_map(|seed| &seed.jobs);
        jobs.map(|job| job.end - job.next()).sum()
    }

    /// The same in blocks.
    pub(super) fn blocks_out(&self) -> usize {
        let blocks = self.bytes_out().div_ceil(u64::from(BLOCK_LEN));
        usize::try_from(blocks).unwrap_or(usize::MAX)
    }

    /// A piece was right: so are those who sent it.
    pub(super) fn proved(&mut self, senders: &Set<Option<ConnectionId>>) {
        for seed in &mut self.seeds {
            if senders.contains(&Some(seed.conn)) {
                seed.proved();
            }
        }
    }

    fn get(&mut self, conn: ConnectionId) -> Option<&mut WebSeed> {
        self.seeds.iter_mut().find(|seed| seed.conn == conn)
    }

    /// The web seed and the job of a request.
    fn job(&mut self, request: WebRequestId) -> Option<(&mut WebSeed, usize)> {
        self.seeds.iter_mut().find_map(|seed| {
            let at = seed.job(request)?;
            Some((seed, at))
        })
    }

    fn asks(&self, request: WebRequestId) -> bool {
        (self.seeds.iter()).any(|seed| seed.job(request).is_some())
    }

    /// The names of all.
    fn names(&self) -> Vec<ConnectionId> {
        self.seeds.iter().map(|seed| seed.conn).collect()
    }

    fn patience(&self, peers: bool) -> (Duration, Duration) {
        let others = self.seeds.iter().filter(|seed| seed.is_of_use()).count() > 1;
        match peers || others {
            true => (STALL_BESIDE_OTHERS, JOB_TIME_BESIDE_OTHERS),
            false => (STALL, JOB_TIME),
        }
    }

    /// When patience with an answer ends.
    fn gives_up_at(job: &Job, (stall, whole): (Duration, Duration)) -> Timestamp {
        match job.get {
            Some(_) => (job.moved + stall).min(job.begun + whole),
            None => job.moved + LONGEST_WAIT,
        }
    }
}

/// Whether it is a web seed's name.
pub(super) fn is_web_seed(conn: ConnectionId) -> bool {
    conn.0 >= FIRST_NAME
}

impl Torrent {
    /// The web seeds that the torrent itself names, which come after those that the user names.
    pub fn name_web_seeds(&mut self, urls: Vec<String>, used: bool) {
        if urls.is_empty() {
            return;
        }
        for url in urls.iter().filter(|_| used) {
            // Torrents name web seeds for other clients, too: FTP, for one.
            if let Ok(url) = WebSeedUrl::parse(url) {
                self.take_web_seed(url, false);
            }
        }
        self.web_seeds.named = urls;
    }

    /// The user names a web seed.
    pub fn add_web_seed(&mut self, ctx: &mut Context, url: &str) {
        let refused = match WebSeedUrl::parse(url) {
            Ok(url) => match self.take_web_seed(url, true) {
                true => return,
                false => format!("at most {MAX_WEB_SEEDS} web seeds are used for one torrent"),
            },
            Err(error) => error.to_string(),
        };
        ctx.out.event(Event::Warning {
            info_hash: Some(self.info_hash),
            text: format!("the web seed {url} is not used: {refused}"),
        });
    }

    /// Answers `false` if there is no room for it. One that the user names takes the place of one that ended.
    fn take_web_seed(&mut self, url: WebSeedUrl, given: bool) -> bool {
        let WebSeeds { seeds, count, .. } = &mut self.web_seeds;
        if let Some(known) = seeds.iter_mut().find(|seed| seed.url == url) {
            known.given |= given;
            return true;
        }
        if seeds.len() >= MAX_WEB_SEEDS {
            let ended = seeds.iter().position(|seed| !seed.is_of_use());
            let Some(ended) = ended.filter(|_| given) else {
                return false;
            };
            seeds.remove(ended);
        }
        let conn = ConnectionId(FIRST_NAME + *count);
        *count += 1;
        seeds.push(WebSeed::new(conn, url, given));
        true
    }

    // ---- what is asked of them

    /// Asks web seeds for what peers do not bring in time. So many blocks have room beside what is out; each web
    /// seed is asked for `least` at any rate.
    pub(super) fn request_from_web_seeds(&mut self, ctx: &mut Context, room: usize, least: usize) {
        if self.web_seeds.seeds.is_empty() {
            return;
        }
        self.tell_picker_of_web_seeds(ctx);
        let need = self.web_need(ctx);
        self.web_seeds.waits_for_room = false;
        if need.is_empty() {
            return;
        }
        // What was asked for and has not come yet is not in the bucket's account.
        let capped = ctx
            .download
            .left()
            .saturating_sub(self.web_seeds.bytes_out());
        let capped = usize::try_from(capped / u64::from(BLOCK_LEN)).unwrap_or(usize::MAX);
        let idle = self.web_seeds.bytes_out() == 0;
        let (mut room, least) = (room.min(capped), least.min(capped.max(usize::from(idle))));
        // The least busy ones first.
        for busy in 0..MAX_ACTIVE {
            let mut left = self
                .web_seeds
                .seeds
                .iter()
                .filter(|s| s.is_of_use())
                .count();
            for conn in self.web_seeds.names() {
                let Some(seed) = self.web_seeds.get(conn).filter(|s| s.is_of_use()) else {
                    continue;
                };
                let share = room / left;
                left -= 1;
                if seed.jobs.len() != busy {
                    continue;
                }
                let floor = if busy == 0 { least } else { 0 };
                let most = seed.wish(ctx.now).min(share.max(floor));
                if most > 0 && !ctx.out.has_web_room(self.info_hash) {
                    // What is not asked for at once is left to others.
                    self.web_seeds.waits_for_room = true;
                    return;
                }
                if most > 0 {
                    room = room.saturating_sub(self.ask_web_seed(ctx, conn, &need, most));
                }
            }
        }
    }

    fn tell_picker_of_web_seeds(&mut self, ctx: &Context) {
        let Some(content) = &mut self.content else {
            return;
        };
        // Whose turn it is to bring a failed piece is the picker's choice among all that may be asked.
        let seen =
            ctx.config.web_seed_use == WebSeedUse::Always || content.picker.wants_any_failed();
        let count = content.pieces.geometry().piece_count();
        let has_room = ctx.out.has_web_room(self.info_hash);
        for seed in self.web_seeds.seeds.iter().filter(|seed| seed.is_of_use()) {
            if content.picker.peer_pieces(seed.conn).is_none() {
                content
                    .picker
                    .peer_bitfield(seed.conn, Bitfield::full(count));
            }
            let status = PeerStatus {
                price: FineUnits(0),
                usable: seen && ctx.now >= seed.again_at && (has_room || !seed.jobs.is_empty()),
                rate: seed.rate.per_second(ctx.now),
                snubbed: false,
            };
            (content.picker).peer_status(&mut content.pieces, seed.conn, status);
        }
    }

    fn web_need(&mut self, ctx: &Context) -> Need {
        let rate: u64 = self.peers.iter().map(|p| p.down.per_second(ctx.now)).sum();
        let enough =
            (ctx.config.limits.download_bytes_per_second).map_or(ENOUGH, |cap| ENOUGH.min(cap / 2));
        let Some(content) = &self.content else {
            return Need::default();
        };
        // Who lacks nothing is sent nothing, be the peers as fast as they may: a player whose window is full.
        let owes = |peer: &Peer| !content.pieces.requests(peer.connection).is_empty();
        let lacks =
            !content.picker.everything_is_out(&content.pieces) || self.peers.iter().any(owes);
        let little_since = &mut self.web_seeds.little_since;
        *little_since = match rate < enough && lacks {
            true => little_since.or(Some(ctx.now)),
            false => None,
        };
        let little = little_since.is_some_and(|since| ctx.now >= since + GRACE);
        let always = ctx.config.web_seed_use == WebSeedUse::Always;
        let counts = |conn: ConnectionId| !always && !is_web_seed(conn);
        Need {
            first: (content.picker).endangered(&content.pieces, ctx.now, &counts),
            all: always || little,
        }
    }

    /// Answers for how many blocks it asked.
    fn ask_web_seed(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        need: &Need,
        most: usize,
    ) -> usize {
        if let Some(content) = &mut self.content {
            (content.picker).end_abandoned(&mut content.pieces, ctx.now, conn);
        }
        self.settle_given_up(ctx);
        let Some(Content {
            pieces,
            picker,
            meta,
            ..
        }) = &mut self.content
        else {
            return 0;
        };
        let mut blocks = Vec::new();
        if !need.first.is_empty() {
            picker.pick(pieces, ctx.now, conn, most, Some(&need.first), &mut blocks);
        }
        // Neighbours, so that one request brings them all.
        let count = (most as u64 * u64::from(BLOCK_LEN))
            .div_ceil(u64::from(meta.piece_length))
            .max(1);
        let mut from = 0;
        for _ in 0..MAX_RUNS {
            if !need.all || !blocks.is_empty() {
                break;
            }
            let run = picker.next_run(pieces, ctx.now, conn, from, count as usize);
            let Some(last) = run.last() else {
                break;
            };
            from = last + 1;
            picker.pick(pieces, ctx.now, conn, most, Some(&run), &mut blocks);
        }
        let asked = blocks.len();
        // In the order of the torrent's bytes.
        let blocks: Set<BlockRef> = blocks.into_iter().collect();
        if let Some(seed) = self.web_seeds.get(conn) {
            let before = seed.jobs.len();
            for block in blocks.iter() {
                let at = pieces.geometry().block_offset(*block).unwrap_or(0);
                let end = at + u64::from(block.length);
                match seed.jobs[before..].last_mut().filter(|job| job.end == at) {
                    Some(job) => job.end = end,
                    None => seed.jobs.push(Job::new(at, end, ctx.now)),
                }
            }
        }
        self.settle_given_up(ctx);
        self.go_on_with_web_seed(ctx, conn);
        asked
    }

    /// Sends the requests that may be out to a web seed.
    fn go_on_with_web_seed(&mut self, ctx: &mut Context, conn: ConnectionId) {
        loop {
            let (Some(content), Some(seed)) = (&self.content, self.web_seeds.get(conn)) else {
                return;
            };
            (seed.jobs).retain(|job| job.at < job.end || job.get.is_some());
            let active = seed.jobs.iter().filter(|job| job.get.is_some()).count();
            let waiting = seed.jobs.iter().position(|job| job.get.is_none());
            let Some(at) = waiting.filter(|_| active < MAX_ACTIVE) else {
                return;
            };
            let (url, given) = (seed.url.clone(), seed.given);
            let job = &mut seed.jobs[at];
            let meta = &content.meta;
            let Some(span) = meta.spans(job.next(), job.end - job.next()).next() else {
                return;
            };
            if span.pad {
                let zeros = vec![0; span.length as usize];
                let blocks = job.put(content.pieces.geometry(), &zeros);
                self.web_blocks(ctx, conn, blocks, false);
                continue;
            }
            let names = &mut self.web_seeds.names;
            let names = names.get_or_insert_with(|| raw_paths(&meta.info));
            let raw = names.get(span.file as usize);
            let Some(url) = raw.and_then(|raw| url.of_file(meta.multi_file, raw)) else {
                return self.web_seed_failed(ctx, conn, Some(span.file), &Fault::NotFound(404));
            };
            let (first, last) = (span.offset, span.offset + span.length - 1);
            let request = (ctx.out).web_get(self.info_hash, url, (first, last), given);
            let job = self
                .web_seeds
                .get(conn)
                .and_then(|seed| seed.jobs.get_mut(at));
            let (Some(request), Some(job)) = (request, job) else {
                return;
            };
            job.moved = ctx.now;
            job.begun = job.begun.min(ctx.now);
            job.get = Some(Get {
                request,
                file: span.file,
                first,
                last,
                answered: false,
                skip: 0,
                left: span.length,
                whole: false,
            });
        }
    }

    // ---- what they answer

    /// Whether it is this torrent's request.
    pub fn asks_web_seed(&self, request: WebRequestId) -> bool {
        self.web_seeds.asks(request)
    }

    /// A web seed answers.
    pub fn web_seed_answers(
        &mut self,
        ctx: &mut Context,
        request: WebRequestId,
        answer: WebSeedAnswer,
    ) {
        match answer {
            WebSeedAnswer::Head(head) => self.web_seed_head(ctx, request, &head),
            WebSeedAnswer::Bytes(bytes) => self.web_seed_bytes(ctx, request, &bytes),
            WebSeedAnswer::End(error) => self.web_seed_end(ctx, request, error),
        }
    }

    /// An answer begins.
    fn web_seed_head(&mut self, ctx: &mut Context, request: WebRequestId, head: &WebSeedHead) {
        let files = self.content.as_ref().map(|content| &content.meta.files);
        let Some((seed, at)) = self.web_seeds.job(request) else {
            return;
        };
        let (conn, job) = (seed.conn, &mut seed.jobs[at]);
        let Some(get) = &mut job.get else {
            return;
        };
        let length = files.and_then(|files| files.get(get.file as usize));
        let length = length.map_or(0, |file| file.length);
        match judge(head, get.first, get.last, length) {
            Ok(skip) => {
                job.moved = ctx.now;
                get.answered = true;
                get.skip = skip;
                get.whole = head.status == 200;
            }
            Err(fault) => {
                let file = get.file;
                self.web_seed_failed(ctx, conn, Some(file), &fault);
            }
        }
    }

    /// An answer goes on.
    fn web_seed_bytes(&mut self, ctx: &mut Context, request: WebRequestId, bytes: &Bytes) {
        let Some((seed, at)) = self.web_seeds.job(request) else {
            return;
        };
        let (conn, job) = (seed.conn, &mut seed.jobs[at]);
        let Some(get) = job.get.as_mut().filter(|get| get.answered) else {
            return;
        };
        job.moved = ctx.now;
        let skipped = get.skip.min(bytes.len() as u64);
        get.skip -= skipped;
        let rest = &bytes[skipped as usize..];
        let wanted = &rest[..get.left.min(rest.len() as u64) as usize];
        get.left -= wanted.len() as u64;
        let (done, more) = (get.left == 0, rest.len() > wanted.len());
        let ends = done && get.whole;
        if ends {
            job.get = None;
            ctx.out.web_cancel(request);
        }
        seed.rate.add(ctx.now, wanted.len() as u64);
        ctx.download.take(wanted.len() as u64);
        let Some(content) = &self.content else {
            return;
        };
        let blocks = job.put(content.pieces.geometry(), wanted);
        self.web_blocks(ctx, conn, blocks, true);
        if ends {
            self.go_on_with_web_seed(ctx, conn);
        } else if more {
            self.web_seed_failed(ctx, conn, None, &Fault::TooMany);
        }
    }

    /// An answer ended.
    fn web_seed_end(&mut self, ctx: &mut Context, request: WebRequestId, error: Option<String>) {
        let Some((seed, at)) = self.web_seeds.job(request) else {
            return;
        };
        ctx.out.web_ended(request);
        let (conn, job) = (seed.conn, &mut seed.jobs[at]);
        let left = job.get.take().map_or(0, |get| get.left);
        match error {
            _ if left == 0 => self.go_on_with_web_seed(ctx, conn),
            Some(error) => self.web_seed_failed(ctx, conn, None, &Fault::Edge(error)),
            None => self.web_seed_failed(ctx, conn, None, &Fault::TooFew),
        }
    }

    /// Blocks of a web seed are whole: they go the way of every block. `sent`: they came from it, and are not padding.
    fn web_blocks(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        blocks: Vec<(BlockRef, Bytes)>,
        sent: bool,
    ) {
        for (block, data) in blocks {
            let length = if sent { u64::from(block.length) } else { 0 };
            self.downloaded += length;
            if !self.take_block(ctx, conn, block, &data) {
                self.wasted += length;
            }
        }
    }

    // ---- requests that end without their block

    /// Some blocks are not asked of a web seed any more; the picker knows already. A request of which nothing is wanted
    /// ends.
    pub(super) fn take_back_from_web_seed(&mut self, ctx: &mut Context, conn: ConnectionId) {
        let (Some(content), Some(seed)) = (&self.content, self.web_seeds.get(conn)) else {
            return;
        };
        let asked = content.pieces.requests(conn);
        seed.jobs.retain(|job| {
            let mut blocks = job.blocks(content.pieces.geometry());
            let wanted = blocks.any(|block| asked.contains_key(&block));
            if let Some(get) = job.get.as_ref().filter(|get| !wanted && get.left > 0) {
                ctx.out.web_cancel(get.request);
            }
            wanted || job.get.as_ref().is_some_and(|get| get.left == 0)
        });
    }

    /// Ends all that is asked of a web seed.
    fn stop_web_seed(&mut self, ctx: &mut Context, conn: ConnectionId) {
        let Some(seed) = self.web_seeds.get(conn) else {
            return;
        };
        for job in core::mem::take(&mut seed.jobs) {
            if let Some(get) = job.get {
                ctx.out.web_cancel(get.request);
            }
        }
        if let Some(content) = &mut self.content {
            content.picker.timed_out(&mut content.pieces, conn);
        }
        self.settle_given_up(ctx);
    }

    /// Ends all that is asked of web seeds.
    pub(super) fn stop_web_seeds(&mut self, ctx: &mut Context) {
        for conn in self.web_seeds.names() {
            self.stop_web_seed(ctx, conn);
        }
        self.web_seeds.little_since = None;
    }

    /// A web seed failed, for the sake of this file or at all.
    fn web_seed_failed(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        file: Option<u32>,
        fault: &Fault,
    ) {
        self.stop_web_seed(ctx, conn);
        let useless = match (fault, file) {
            (Fault::NotFound(_), Some(file)) => !self.web_seed_lacks(conn, file),
            _ => false,
        };
        let now = ctx.now;
        let said = self
            .web_seeds
            .get(conn)
            .and_then(|seed| seed.failed(now, fault, useless));
        self.tell_of_web_seed(ctx, conn, said);
    }

    /// A web seed does not have a file. Answers whether it may have another.
    fn web_seed_lacks(&mut self, conn: ConnectionId, file: u32) -> bool {
        let (Some(content), Some(seed)) = (&mut self.content, self.web_seeds.get(conn)) else {
            return false;
        };
        seed.lacks.insert(file);
        let mut have = Bitfield::full(content.pieces.geometry().piece_count());
        for file in seed.lacks.iter() {
            for piece in content.meta.pieces_of_file(*file).iter() {
                have.remove(piece.0);
            }
        }
        let has_any = have.count() > 0 && seed.lacks.len() <= MAX_LACKING;
        content.picker.peer_bitfield(conn, have);
        has_any
    }

    /// A web seed sent wrong bytes: nothing more is asked of it.
    pub(super) fn ban_web_seed(&mut self, ctx: &mut Context, conn: ConnectionId) {
        self.stop_web_seed(ctx, conn);
        let said = self.web_seeds.get(conn).map(WebSeed::banned);
        self.tell_of_web_seed(ctx, conn, said);
    }

    fn tell_of_web_seed(&mut self, ctx: &mut Context, conn: ConnectionId, said: Option<String>) {
        let ended = self
            .web_seeds
            .get(conn)
            .is_some_and(|seed| !seed.is_of_use());
        if let Some(content) = self.content.as_mut().filter(|_| ended) {
            content.picker.peer_gone(&mut content.pieces, conn);
        }
        if let Some(text) = said {
            ctx.out.event(Event::Warning {
                info_hash: Some(self.info_hash),
                text,
            });
        }
    }

    // ---- time

    /// Ends requests that bring too little, and those that are not sent.
    pub(super) fn time_out_web_seeds(&mut self, ctx: &mut Context) {
        let patience = self.web_seeds.patience(!self.peers.is_empty());
        for conn in self.web_seeds.names() {
            self.leave_to_others(ctx, conn, patience);
        }
        let is_slow =
            |job: &Job| job.get.is_some() && ctx.now >= WebSeeds::gives_up_at(job, patience);
        let slow: Vec<ConnectionId> = (self.web_seeds.seeds.iter())
            .filter(|seed| seed.jobs.iter().any(is_slow))
            .map(|seed| seed.conn)
            .collect();
        for conn in slow {
            self.web_seed_failed(ctx, conn, None, &Fault::Slow);
        }
    }

    /// Gives back what a web seed was to be asked for, and was not for too long. It is not to blame for that.
    fn leave_to_others(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        patience: (Duration, Duration),
    ) {
        let (Some(content), Some(seed)) = (&mut self.content, self.web_seeds.get(conn)) else {
            return;
        };
        let now = ctx.now;
        let waits = |job: &Job| job.get.is_none() && now >= WebSeeds::gives_up_at(job, patience);
        let geometry = *content.pieces.geometry();
        let late: Vec<BlockRef> = (seed.jobs.iter().filter(|job| waits(job)))
            .flat_map(|job| job.blocks(&geometry))
            .collect();
        seed.jobs.retain(|job| !waits(job));
        for block in late {
            (content.picker).give_back(&mut content.pieces, conn, block);
        }
        self.settle_given_up(ctx);
    }

    /// When patience with a web seed ends, or one may be asked.
    pub(super) fn web_seeds_timeout(&self, now: Timestamp) -> Timestamp {
        let running = |content: &Content| matches!(content.phase, Phase::Running);
        if !self.is_downloading() || !self.content.as_ref().is_some_and(running) {
            return Timestamp::NEVER;
        }
        let patience = self.web_seeds.patience(!self.peers.is_empty());
        let mut at = match self.web_seeds.waits_for_room {
            true => now + LOOK_AGAIN,
            false => Timestamp::NEVER,
        };
        for seed in self.web_seeds.seeds.iter().filter(|seed| seed.is_of_use()) {
            if seed.again_at > now {
                at = at.min(seed.again_at);
            }
            if let Some(since) = self
                .web_seeds
                .little_since
                .filter(|since| now < *since + GRACE)
            {
                at = at.min(since + GRACE);
            }
            let active = seed.jobs.iter().filter(|job| job.get.is_some()).count();
            for job in &seed.jobs {
                at = at.min(WebSeeds::gives_up_at(job, patience));
                if job.get.is_none() && active < MAX_ACTIVE {
                    at = at.min(now + LOOK_AGAIN);
                }
            }
        }
        at
    }

    /// Requests that had no room among those of all torrents are tried again.
    pub(super) fn go_on_with_web_seeds(&mut self, ctx: &mut Context) {
        for conn in self.web_seeds.names() {
            self.go_on_with_web_seed(ctx, conn);
        }
    }
}
