//! What is asked of a remote, and how it answers: patience with it, requests that ended without their block, and how
//! many requests keep its link busy. The requests that are out are in [`Pieces`](crate::pieces::Pieces).

use crate::sorted::Set;
use crate::time::{Duration, Timestamp, Wait};
use crate::types::{BLOCK_LEN, BlockRef};

use super::SNUB_TIMEOUT;

/// A batch of requests is this part of those that keep the link busy, ...
const REQUEST_BATCH_SHARE: usize = 16;
/// ... and at most so many.
const MAX_REQUEST_BATCH: usize = 16;
/// Requests out to one remote, whatever it allows.
const MAX_REQUESTS_OUT: usize = 256;
/// Requests out to a remote that has sent nothing yet.
const FIRST_REQUESTS: usize = 16;
/// Bytes that answer a request: how far ahead requests go at the measured rate.
const PIPELINE: Duration = Duration::from_secs(1);
/// Requests that were taken back or voided by a choke, and whose block is still forgiven: so many of each.
const MAX_FORGIVEN: usize = 256;
/// A remote that sends this many blocks nobody asked for is closed.
const MAX_UNREQUESTED: u32 = 64;

/// What is asked of one remote.
#[derive(Debug)]
pub struct Asked {
    /// When it last sent a block, or was first asked for one since.
    block_at: Timestamp,
    /// It owes blocks and sends none.
    snubbed: bool,
    /// For how long blocks were out to it, less what the blocks that it sent are worth. Its chokes and refusals do not
    /// set it back.
    wait: Wait,
    /// It was waited for in vain, and what was out to it was left to a seller.
    passed_over: bool,
    /// Blocks nobody asked for.
    unrequested: u32,
    /// Requests taken back whose block may still come. One that is made again is answered twice then.
    cancelled: Set<BlockRef>,
    /// Requests that a choke voided and whose block may still come. Of one that is made again a single block is taken,
    /// or a remote that chokes and unchokes would sell each twice.
    voided: Set<BlockRef>,
    /// When a choke last voided any, or one of them was answered by its block; `None` once anything was asked again.
    answered_at: Option<Timestamp>,
    /// Blocks that it sold after they were taken back, which others may have been asked for: little is asked of it
    /// until it has sent as many in time.
    sold_late: u32,
}

impl Asked {
    pub(super) fn new(now: Timestamp) -> Asked {
        Asked {
            block_at: now,
            snubbed: false,
            wait: Wait::default(),
            passed_over: false,
            unrequested: 0,
            cancelled: Set::new(),
            voided: Set::new(),
            answered_at: None,
            sold_late: 0,
        }
    }

    /// When it last sent a block, or was first asked for one since.
    pub fn block_at(&self) -> Timestamp {
        self.block_at
    }

    /// It owes blocks and sends none.
    pub fn is_snubbed(&self) -> bool {
        self.snubbed
    }

    /// It was waited for in vain, and what was out to it was left to a seller.
    pub fn is_passed_over(&self) -> bool {
        self.passed_over
    }

    /// For how long it was waited for.
    pub fn wait(&self) -> &Wait {
        &self.wait
    }

    // ---- requests

    /// Requests went out to it. `first`: nothing was out before.
    pub fn requested(&mut self, now: Timestamp, blocks: &[BlockRef], first: bool) {
        if blocks.is_empty() {
            return;
        }
        if first {
            self.block_at = now;
        }
        self.wait.set(now, true);
        self.answered_at = None;
        for block in blocks {
            self.voided.remove(block);
        }
    }

    /// What is out to it changed: it is waited for if that is anything.
    pub fn owes(&mut self, now: Timestamp, anything: bool) {
        self.wait.set(now, anything);
    }

    /// A request was taken back after it had left.
    pub fn taken_back(&mut self, block: BlockRef) {
        if self.cancelled.len() >= MAX_FORGIVEN {
            self.cancelled.clear();
        }
        self.cancelled.insert(block);
    }

    /// A choke voided a request that had left.
    pub fn voided(&mut self, now: Timestamp, block: BlockRef) {
        self.answered_at = Some(now);
        if self.voided.len() < MAX_FORGIVEN {
            self.voided.insert(block);
        }
    }

    /// Until when it has time to answer the requests that a choke voided: by a block or a refusal each (BEP 6). One
    /// that crossed with the choke may be served all the same. If it were made again before, a seller would serve and
    /// count both, and the second block would never be paid.
    pub fn answers_by(&self) -> Timestamp {
        let waits = self.answered_at.filter(|_| !self.voided.is_empty());
        waits.map_or(Timestamp::ZERO, |at| at + Wait::LIMIT)
    }

    /// It will not serve a request (BEP 6). `true`: that answers one that was taken back, and one that was made since
    /// stands, for each is answered.
    pub fn answers_taken_back(&mut self, block: BlockRef) -> bool {
        let answers = self.cancelled.remove(&block);
        if !answers {
            self.voided.remove(&block);
        }
        answers
    }

    /// It owes blocks and sends none.
    pub fn snub(&mut self) {
        self.snubbed = true;
    }

    /// It was waited for in vain: what was out to it is left to a seller.
    pub fn pass_over(&mut self) {
        self.passed_over = true;
    }

    // ---- blocks

    /// A block came that is not out to it. `true`: it was before it was taken back or voided.
    pub fn is_late(&mut self, block: BlockRef) -> bool {
        self.cancelled.remove(&block) || self.voided.remove(&block)
    }

    /// A block came that nobody asked for. `false`: they are a flood.
    #[must_use]
    pub fn forgive_unrequested(&mut self) -> bool {
        self.unrequested += 1;
        self.unrequested <= MAX_UNREQUESTED
    }

    /// It sent a block that is asked of it, or was before it was taken back: by those alone it would keep what it
    /// holds. `owes`: other blocks are still out to it.
    pub fn sent_block(&mut self, now: Timestamp, asked: bool, sold: bool, owes: bool) {
        self.block_at = now;
        self.snubbed = false;
        self.owes(now, owes);
        self.sold_late = match asked {
            true => self.sold_late.saturating_sub(1),
            false => self.sold_late.saturating_add(u32::from(sold)),
        };
        if asked {
            self.wait.block(now);
            self.passed_over &= self.wait.is_over(now);
        } else if let Some(at) = &mut self.answered_at {
            *at = now;
        }
    }

    // ---- how much

    /// How many requests keep its link busy at so many bytes a second. `reqq`: it takes no more (BEP 10).
    pub fn wanted(&self, per_second: u64, reqq: usize) -> usize {
        let ahead = u128::from(per_second) * PIPELINE.as_micros() / 1_000_000;
        let wanted = FIRST_REQUESTS + (ahead / u128::from(BLOCK_LEN)) as usize;
        let wanted = match self.sold_late {
            0 => wanted,
            _ => FIRST_REQUESTS,
        };
        let wanted = if self.snubbed { 1 } else { wanted };
        wanted.min(MAX_REQUESTS_OUT).min(reqq)
    }

    /// How many more requests should go out beside those that are `out`, for so many to be; none while only a few are
    /// missing, so that several share a message.
    pub fn room(wanted: usize, out: usize) -> usize {
        let room = wanted.saturating_sub(out);
        match room < (wanted / REQUEST_BATCH_SHARE).min(MAX_REQUEST_BATCH) {
            true => 0,
            false => room,
        }
    }

    /// When it snubs us, if blocks are out to it.
    pub fn snubs_at(&self) -> Timestamp {
        self.block_at + SNUB_TIMEOUT
    }
}
