//! One web seed: what is asked of it, and how it answered so far.

use bytes::Bytes;

use super::answers::Fault;
use super::{FIRST_JOB, FIRST_PAUSE, JOB_AHEAD, LONGEST_PAUSE, MAX_ACTIVE, MAX_JOB, MAX_UNPROVED};
use crate::io::{WebSeedSnapshot, WebSeedState};
use crate::metainfo::{Geometry, WebSeedUrl};
use crate::peer::Rate;
use crate::sorted::Set;
use crate::time::{Duration, Timestamp};
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, WebRequestId};

/// One request for a part of one file.
#[derive(Debug)]
pub(super) struct Get {
    pub(super) request: WebRequestId,
    pub(super) file: u32,
    pub(super) first: u64,
    pub(super) last: u64,
    /// Its head came, and is good.
    pub(super) answered: bool,
    /// Bytes of the body before the first one that was asked for.
    pub(super) skip: u64,
    /// Bytes that are still to come.
    pub(super) left: u64,
    /// The server sends the whole file: the rest behind what was asked for is no fault.
    pub(super) whole: bool,
}

/// Neighbouring blocks that are asked for together. Where they lie in several files, one request follows the other.
#[derive(Debug)]
pub(super) struct Job {
    /// The torrent's offset of the block that is being put together, and of the end of the last one.
    pub(super) at: u64,
    pub(super) end: u64,
    /// What came of that block.
    buffer: Vec<u8>,
    pub(super) get: Option<Get>,
    /// When it was first asked for.
    pub(super) begun: Timestamp,
    /// When a byte last came, or it was last asked for; of one that was not yet, when it was made.
    pub(super) moved: Timestamp,
}

impl Job {
    pub(super) fn new(at: u64, end: u64, now: Timestamp) -> Job {
        Job {
            at,
            end,
            buffer: Vec::new(),
            get: None,
            begun: Timestamp::NEVER,
            moved: now,
        }
    }

    /// The torrent's offset of the next byte.
    pub(super) fn next(&self) -> u64 {
        self.at + self.buffer.len() as u64
    }

    /// The blocks that are still to come.
    pub(super) fn blocks<'a>(&self, geometry: &'a Geometry) -> impl Iterator<Item = BlockRef> + 'a {
        let (mut at, end) = (self.at, self.end);
        core::iter::from_fn(move || {
            let block = block_at(geometry, at).filter(|_| at < end)?;
            at += u64::from(block.length);
            Some(block)
        })
    }

    /// The next bytes came. Answers the blocks that they complete.
    pub(super) fn put(&mut self, geometry: &Geometry, mut bytes: &[u8]) -> Vec<(BlockRef, Bytes)> {
        let mut whole = Vec::new();
        while let Some(block) = block_at(geometry, self.at).filter(|_| !bytes.is_empty()) {
            let length = block.length as usize;
            let (taken, rest) = bytes.split_at((length - self.buffer.len()).min(bytes.len()));
            self.buffer.reserve_exact(length - self.buffer.len());
            self.buffer.extend_from_slice(taken);
            bytes = rest;
            if self.buffer.len() == length {
                whole.push((block, Bytes::from(core::mem::take(&mut self.buffer))));
                self.at += length as u64;
            }
        }
        whole
    }
}

/// The block that begins at this offset of the torrent.
fn block_at(geometry: &Geometry, at: u64) -> Option<BlockRef> {
    let within = at % u64::from(geometry.piece_length());
    geometry.block(geometry.piece_at(at)?, within as u32 / BLOCK_LEN)
}

/// One web seed of one torrent.
#[derive(Debug)]
pub(super) struct WebSeed {
    /// Its name in picker and pieces, where it stands beside the peers. No connection has it.
    pub(super) conn: ConnectionId,
    pub(super) url: WebSeedUrl,
    /// The user named it, not the torrent.
    pub(super) given: bool,
    pub(super) jobs: Vec<Job>,
    pub(super) rate: Rate,
    /// Files that it does not have.
    pub(super) lacks: Set<u32>,
    /// A piece with a block of it was right.
    proved: bool,
    /// Faults since the last right piece.
    failures: u32,
    /// It is asked for nothing before this time.
    pub(super) again_at: Timestamp,
    note: String,
    /// A fault of it was told to the user.
    told: bool,
    /// It is asked for nothing any more.
    ended: Option<WebSeedState>,
}

impl WebSeed {
    pub(super) fn new(conn: ConnectionId, url: WebSeedUrl, given: bool) -> WebSeed {
        WebSeed {
            conn,
            url,
            given,
            jobs: Vec::new(),
            rate: Rate::default(),
            lacks: Set::new(),
            proved: false,
            failures: 0,
            again_at: Timestamp::ZERO,
            note: String::new(),
            told: false,
            ended: None,
        }
    }

    /// It may be asked for something, now or later.
    pub(super) fn is_of_use(&self) -> bool {
        self.ended.is_none()
    }

    /// The place of a request's job.
    pub(super) fn job(&self, request: WebRequestId) -> Option<usize> {
        let asked = |job: &Job| job.get.as_ref().is_some_and(|get| get.request == request);
        self.jobs.iter().position(asked)
    }

    /// How many blocks would be asked of it beside what is; 0 if it is busy, or not to be asked now. What it brings in
    /// a second or two goes into one request.
    pub(super) fn wish(&self, now: Timestamp) -> usize {
        if self.ended.is_some() || now < self.again_at || self.jobs.len() >= MAX_ACTIVE {
            return 0;
        }
        let rate = u128::from(self.rate.per_second(now));
        let ahead = (rate * JOB_AHEAD.as_micros() / 1_000_000) as u64;
        (ahead.clamp(FIRST_JOB, MAX_JOB) / u64::from(BLOCK_LEN)) as usize
    }

    /// A piece with a block of it was right.
    pub(super) fn proved(&mut self) {
        self.proved = true;
        self.failures = 0;
        if self.ended.is_none() {
            self.note.clear();
        }
    }

    /// It failed. Answers a sentence if that is news to the user.
    pub(super) fn failed(
        &mut self,
        now: Timestamp,
        fault: &Fault,
        useless: bool,
    ) -> Option<String> {
        self.failures = self.failures.saturating_add(1);
        let unproved = !self.proved && self.failures >= MAX_UNPROVED;
        let sentence = format!("the web seed {} {fault}", self.url.origin());
        let is_news = !core::mem::replace(&mut self.told, true);
        if useless || fault.is_lasting() || unproved {
            self.end(WebSeedState::Dropped, sentence);
            return Some(format!("{}; it is not used any more", self.note));
        }
        let asked = match fault {
            Fault::Busy(_, away) => *away,
            _ => Duration::ZERO,
        };
        let doubled = FIRST_PAUSE.saturating_mul(1 << (self.failures - 1).min(8));
        self.again_at = now + doubled.min(LONGEST_PAUSE).max(asked);
        self.note = sentence;
        is_news.then(|| format!("{}; it is tried again later", self.note))
    }

    /// It sent wrong bytes.
    pub(super) fn banned(&mut self) -> String {
        let sentence = format!(
            "the web seed {} sent bytes that are not the torrent's",
            self.url.origin()
        );
        self.end(WebSeedState::Banned, sentence);
        format!("{}; it is not used any more", self.note)
    }

    fn end(&mut self, how: WebSeedState, note: String) {
        self.ended = Some(how);
        self.note = note;
    }

    pub(super) fn snapshot(&self, now: Timestamp) -> WebSeedSnapshot {
        let state = match self.ended {
            Some(ended) => ended,
            None if !self.jobs.is_empty() => WebSeedState::Downloading,
            None if now < self.again_at => WebSeedState::Waiting,
            None => WebSeedState::Idle,
        };
        WebSeedSnapshot {
            url: self.url.as_str().to_owned(),
            state,
            note: self.note.clone(),
            downloaded: self.rate.total(),
            download_rate: self.rate.per_second(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn bytes_become_blocks_however_they_are_cut() {
        // Pieces of two blocks, the last of them short.
        let total = u64::from(4 * BLOCK_LEN) + 100;
        let Some(geometry) = Geometry::new(total, 2 * BLOCK_LEN) else {
            panic!("no geometry");
        };
        let from = u64::from(BLOCK_LEN);
        for cut in [1, 7, BLOCK_LEN as usize, 40_000] {
            let mut job = Job::new(from, total, Timestamp::ZERO);
            let blocks: Vec<BlockRef> = job.blocks(&geometry).collect();
            assert_eq!(blocks.len(), 4);
            let bytes: Vec<u8> = (0..total - from).map(|n| n as u8).collect();
            let parts = bytes.chunks(cut);
            let came: Vec<_> = parts.flat_map(|part| job.put(&geometry, part)).collect();
            assert!(came.iter().map(|(block, _)| *block).eq(blocks));
            let joined: Vec<u8> = came.iter().flat_map(|(_, data)| data.to_vec()).collect();
            assert_eq!(joined, bytes);
            assert_eq!((job.at, job.next(), job.end), (total, total, total));
            assert_eq!(job.blocks(&geometry).count(), 0);
        }
    }

    #[test]
    fn one_that_never_gave_a_right_byte_is_dropped_soon_and_another_is_not() {
        let now = Timestamp::from_millis(1_000);
        let new = || {
            let url = WebSeedUrl::parse("http://w.example/f").ok()?;
            Some(WebSeed::new(ConnectionId(0), url, false))
        };
        let (Some(mut dead), Some(mut good)) = (new(), new()) else {
            panic!("no URL");
        };
        good.proved();
        for n in 1..=20 {
            dead.failed(now, &Fault::Slow, false);
            good.failed(now, &Fault::Slow, false);
            assert_eq!(dead.is_of_use(), n < MAX_UNPROVED);
            assert!(good.is_of_use() && good.again_at <= now + LONGEST_PAUSE);
            assert_eq!(good.wish(now), 0);
        }
        assert!(good.wish(now + LONGEST_PAUSE) > 0);
        assert_eq!(dead.wish(now + LONGEST_PAUSE), 0);
        let away = Duration::from_secs(600);
        good.failed(now, &Fault::Busy(503, away), false);
        assert_eq!(good.again_at, now + away);
    }
}
