//! What a remote asks of us: its requests in their order, and what storage reads for them.

use std::collections::VecDeque;

use crate::time::{Duration, Timestamp};
use crate::types::BlockRef;

/// Requests of a remote that wait here; further ones are rejected (BEP 6) or dropped (BEP 10 `reqq`).
pub const MAX_REQUESTS_IN: usize = 256;
/// Neighbouring blocks read from storage at once.
const MAX_READ_BLOCKS: usize = 8;
/// A remote with more requests than this not served within [`REFUSED_WINDOW`] floods us: an honest one asks for
/// [`MAX_REQUESTS_IN`] at most before it learns that it is choked.
const MAX_REFUSED: u32 = 4 * MAX_REQUESTS_IN as u32;
/// See [`MAX_REFUSED`].
const REFUSED_WINDOW: Duration = Duration::from_secs(10);

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    /// Its turn.
    Waiting,
    /// Storage.
    Reading,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It waits for its turn.
    Waits,
    /// The same one waits already.
    Known,
    /// Too many wait.
    Full,
}

/// The requests of one remote.
#[derive(Debug)]
pub struct Serving {
    requests: VecDeque<(BlockRef, Upload)>,
    /// Bytes of them that storage is reading.
    reading: u64,
    /// Requests not served since `refused_since`.
    refused: u32,
    refused_since: Timestamp,
}

impl Serving {
    pub(super) fn new(now: Timestamp) -> Serving {
        Serving {
            requests: VecDeque::new(),
            reading: 0,
            refused: 0,
            refused_since: now,
        }
    }

    /// Requests that wait, or that storage reads.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// It asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Bytes that storage reads for it.
    pub fn reading(&self) -> u64 {
        self.reading
    }

    /// It asks for a block that may be served.
    pub fn requested(&mut self, block: BlockRef) -> Taken {
        if self.requests.len() >= MAX_REQUESTS_IN {
            return Taken::Full;
        }
        if self.requests.iter().any(|(asked, _)| *asked == block) {
            return Taken::Known;
        }
        self.requests.push_back((block, Upload::Waiting));
        Taken::Waits
    }

    /// Notes a request that is not served. `false`: so many in so short a time are a flood.
    #[must_use]
    pub fn refuse(&mut self, now: Timestamp) -> bool {
        if now >= self.refused_since + REFUSED_WINDOW {
            self.refused_since = now;
            self.refused = 0;
        }
        self.refused += 1;
        self.refused <= MAX_REFUSED
    }

    /// It takes a request back. `false`: none waits. A block that is being read or queued was counted as sent, and
    /// still goes out.
    pub fn cancel(&mut self, block: BlockRef) -> bool {
        let waits =
            |(asked, state): &(BlockRef, Upload)| *asked == block && *state == Upload::Waiting;
        let at = self.requests.iter().position(waits);
        at.is_some_and(|at| self.requests.remove(at).is_some())
    }

    /// We choke it. Answers the requests that waited; what storage reads still goes out.
    pub fn choke(&mut self) -> Vec<BlockRef> {
        let waiting = self
            .requests
            .iter()
            .filter(|(_, state)| *state == Upload::Waiting);
        let waiting = waiting.map(|(block, _)| *block).collect();
        self.requests.retain(|(_, state)| *state != Upload::Waiting);
        waiting
    }

    /// The next neighbouring blocks to be read, of not much more than `room` bytes. Each is taken by `take`, which may
    /// refuse it.
    pub fn next_read(
        &mut self,
        room: u64,
        mut take: impl FnMut(BlockRef) -> bool,
    ) -> Vec<BlockRef> {
        let mut blocks: Vec<BlockRef> = Vec::new();
        let mut bytes = 0;
        let waiting = self
            .requests
            .iter_mut()
            .filter(|(_, state)| *state == Upload::Waiting);
        for (block, state) in waiting {
            let adjacent = blocks.last().is_none_or(|last| {
                last.piece == block.piece && last.begin + last.length == block.begin
            });
            if !adjacent || blocks.len() >= MAX_READ_BLOCKS || bytes >= room || !take(*block) {
                break;
            }
            *state = Upload::Reading;
            bytes += u64::from(block.length);
            blocks.push(*block);
        }
        self.reading += bytes;
        blocks
    }

    /// Storage read these blocks. Answers those that the remote still waits for.
    pub fn was_read(&mut self, blocks: &[BlockRef]) -> Vec<BlockRef> {
        let bytes: u64 = blocks.iter().map(|block| u64::from(block.length)).sum();
        self.reading = self.reading.saturating_sub(bytes);
        let mut asked = Vec::new();
        for block in blocks {
            let place = self.requests.iter().position(|(asked, _)| asked == block);
            asked.extend(
                place
                    .and_then(|at| self.requests.remove(at))
                    .map(|(block, _)| block),
            );
        }
        asked
    }
}
