//! What waits to be sent to one peer, and how much of it the edge may hold.
//!
//! Control messages go ahead of requests, and those ahead of blocks. What is queued is coalesced into messages of at most
//! [`MAX_MESSAGE`] bytes; nothing ever waits to be coalesced. The edge holds about 200 ms of the measured
//! drain rate, between 64 KiB and 1 MiB, and all connections together no more than [`super::Uplink`] says; the rest stays
//! here, where a cancel or a choke still reaches it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::time::Timestamp;
use crate::types::BlockRef;
use crate::wire::Message;

use super::rate::Rate;
use super::uplink::Uplink;

/// No channel holds so much: what an edge says beyond it would only overflow the sums.
const MOST_IN_EDGE: u64 = u32::MAX as u64;
/// The largest message that every browser and native stack takes.
pub const MAX_MESSAGE: usize = 65_535;
/// Bytes of a framed `request` (BEP 3).
const REQUEST_LEN: usize = 17;
const MIN_TARGET: u64 = 64 * 1024;
const MAX_TARGET: u64 = 1024 * 1024;
const START_TARGET: u64 = 256 * 1024;
/// Control bytes that may wait for a peer that does not read; more closes the connection.
const MAX_CONTROL: usize = 4 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub struct SendQueue {
    control: VecDeque<Bytes>,
    control_bytes: usize,
    requests: VecDeque<BlockRef>,
    blocks: VecDeque<(BlockRef, Bytes, Bytes)>,
    block_bytes: u64,
    in_edge: u64,
    drained: Rate,
    target: u64,
    low_water: Option<u64>,
}

impl Default for SendQueue {
    fn default() -> Self {
        SendQueue {
            control: VecDeque::new(),
            control_bytes: 0,
            requests: VecDeque::new(),
            blocks: VecDeque::new(),
            block_bytes: 0,
            in_edge: 0,
            drained: Rate::default(),
            target: START_TARGET,
            low_water: None,
        }
    }
}

impl SendQueue {
    /// Queues a control message. `false`: the peer has not read for so long that the queue is full.
    #[must_use]
    pub fn push_control(&mut self, bytes: Bytes) -> bool {
        self.control_bytes += bytes.len();
        self.control.push_back(bytes);
        self.control_bytes <= MAX_CONTROL
    }

    /// Queues a request.
    pub fn push_request(&mut self, block: BlockRef) {
        self.requests.push_back(block);
    }

    /// Takes a request back that was not handed to the edge yet: nothing need be said about it.
    pub fn take_back_request(&mut self, block: BlockRef) -> bool {
        let at = self.requests.iter().position(|b| *b == block);
        at.is_some_and(|at| self.requests.remove(at).is_some())
    }

    /// Queues a block behind everything else.
    pub fn push_block(&mut self, block: BlockRef, header: Bytes, data: Bytes) {
        self.block_bytes += (header.len() + data.len()) as u64;
        self.blocks.push_back((block, header, data));
    }

    /// Takes a block back that was not handed to the edge yet.
    pub fn cancel(&mut self, block: BlockRef) -> bool {
        let Some(at) = self.blocks.iter().position(|(b, _, _)| *b == block) else {
            return false;
        };
        if let Some((_, header, data)) = self.blocks.remove(at) {
            self.block_bytes -= (header.len() + data.len()) as u64;
        }
        true
    }

    /// Takes all queued blocks back (a choke).
    pub fn take_blocks(&mut self) -> Vec<BlockRef> {
        self.block_bytes = 0;
        self.blocks.drain(..).map(|(block, _, _)| block).collect()
    }

    /// The edge and this queue hold so little that more may come.
    pub fn has_room(&self) -> bool {
        self.in_edge + (self.control_bytes as u64) < self.target
    }

    /// Bytes that storage may have under way or queued for this peer before the next read.
    pub fn room_for_reads(&self) -> u64 {
        (2 * self.target).saturating_sub(self.block_bytes)
    }

    /// The edge says how much it still holds. Answers how much has left it.
    pub fn report(&mut self, now: Timestamp, buffered: u64) -> u64 {
        let buffered = buffered.min(MOST_IN_EDGE);
        let gone = self.in_edge.saturating_sub(buffered);
        self.drained.add(now, gone);
        self.in_edge = buffered;
        self.target = (self.drained.per_second(now) / 5).clamp(MIN_TARGET, MAX_TARGET);
        gone
    }

    /// Bytes that the edge holds.
    pub fn in_edge(&self) -> u64 {
        self.in_edge
    }

    /// The low-water mark, when it changed enough to be told. `shared`: what all connections together may hold.
    pub fn low_water(&mut self, shared: u64) -> Option<u64> {
        let mark = self.target.min(shared) / 2;
        let told = self.low_water.unwrap_or(0);
        if mark.abs_diff(told) * 4 > told {
            self.low_water = Some(mark);
            return Some(mark);
        }
        None
    }

    /// The next message for the edge, with the blocks that leave in it.
    pub fn poll(
        &mut self,
        now: Timestamp,
        uplink: &mut Uplink,
        left: &mut Vec<BlockRef>,
    ) -> Option<Vec<Bytes>> {
        // What is not a block is small and urgent, and waits only behind a peer that reads nothing at all.
        let urgent = !(self.control.is_empty() && self.requests.is_empty());
        let limit = if urgent { 4 * MAX_TARGET } else { self.target };
        if self.in_edge >= limit {
            return None;
        }
        let mut room = MAX_MESSAGE;
        let mut chunks = Vec::new();
        while let Some(front) = self.control.front_mut() {
            if room == 0 {
                break;
            }
            if front.len() > room {
                // Only a first, oversized frame is split: message boundaries mean nothing.
                if chunks.is_empty() {
                    chunks.push(front.split_to(room));
                    room = 0;
                }
                break;
            }
            room -= front.len();
            chunks.extend(self.control.pop_front());
        }
        if self.control.is_empty() && !self.requests.is_empty() {
            let mut frames = BytesMut::new();
            while room >= REQUEST_LEN
                && let Some(block) = self.requests.pop_front()
            {
                Message::Request(block).encode(&mut frames);
                room -= REQUEST_LEN;
            }
            chunks.push(frames.freeze());
        }
        let blocks_too = self.control.is_empty() && self.requests.is_empty();
        uplink.handed((MAX_MESSAGE - room) as u64);
        while blocks_too
            && self.in_edge < self.target
            && let Some((_, header, data)) = self.blocks.front()
            && header.len() + data.len() <= room
            && uplink.is_open(now)
        {
            let Some((block, header, data)) = self.blocks.pop_front() else {
                break;
            };
            let length = (header.len() + data.len()) as u64;
            room -= header.len() + data.len();
            self.block_bytes -= length;
            uplink.handed(length);
            left.push(block);
            chunks.push(header);
            chunks.push(data);
        }
        if chunks.is_empty() {
            return None;
        }
        self.control_bytes = self.control.iter().map(Bytes::len).sum();
        self.in_edge += (MAX_MESSAGE - room) as u64;
        Some(chunks)
    }

    /// Bytes that wait here.
    pub fn queued_bytes(&self) -> usize {
        let blocks = usize::try_from(self.block_bytes).unwrap_or(usize::MAX);
        self.control_bytes + self.requests.len() * REQUEST_LEN + blocks
    }

    /// Nothing waits here.
    pub fn is_empty(&self) -> bool {
        self.control.is_empty() && self.requests.is_empty() && self.blocks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PieceIndex;

    const NOW: Timestamp = Timestamp::ZERO;

    fn block(begin: u32) -> BlockRef {
        BlockRef {
            piece: PieceIndex(0),
            begin,
            length: 16_384,
        }
    }

    fn push(queue: &mut SendQueue, begin: u32) {
        queue.push_block(
            block(begin),
            Bytes::from_static(&[0; 13]),
            Bytes::from(vec![0; 16_384]),
        );
    }

    #[test]
    fn control_overtakes_blocks_and_blocks_are_coalesced() {
        let mut queue = SendQueue::default();
        for n in 0..4 {
            push(&mut queue, n * 16_384);
        }
        assert!(queue.push_control(Bytes::from_static(b"first")));
        let mut left = Vec::new();
        let message = queue
            .poll(NOW, &mut Uplink::default(), &mut left)
            .expect("room");
        assert_eq!(message[0], "first");
        assert_eq!(left.len(), 3);
        assert!(message.iter().map(Bytes::len).sum::<usize>() <= MAX_MESSAGE);
    }

    #[test]
    fn the_edge_holds_no_more_than_its_target() {
        let mut queue = SendQueue::default();
        for n in 0..200 {
            push(&mut queue, n * 16_384);
        }
        let mut left = Vec::new();
        let mut handed = 0;
        while let Some(message) = queue.poll(NOW, &mut Uplink::default(), &mut left) {
            handed += message.iter().map(Bytes::len).sum::<usize>();
        }
        assert!(handed as u64 <= START_TARGET + MAX_MESSAGE as u64);
        assert!(queue.cancel(block(199 * 16_384)));
        queue.report(Timestamp::from_millis(1_000), 0);
        assert!(queue.poll(NOW, &mut Uplink::default(), &mut left).is_some());
    }

    #[test]
    fn a_frame_larger_than_a_message_is_split() {
        let mut queue = SendQueue::default();
        assert!(queue.push_control(Bytes::from(vec![7; 100_000])));
        let mut total = 0;
        while let Some(message) = queue.poll(NOW, &mut Uplink::default(), &mut Vec::new()) {
            let size: usize = message.iter().map(Bytes::len).sum();
            assert!(size <= MAX_MESSAGE);
            total += size;
        }
        assert_eq!(total, 100_000);
    }
}
