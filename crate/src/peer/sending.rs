//! What waits to be sent to one peer, and how much of it the edge may hold.
//!
//! Control messages go ahead of requests, and those ahead of blocks. What is queued is coalesced into messages of at
//! most [`MAX_MESSAGE`] bytes; nothing ever waits to be coalesced. A fast peer's messages are filled to the last byte,
//! with part of a block where no whole one fits: each message costs both sides much the same, whatever its length. The
//! edge holds about 200 ms of the measured drain rate, between 64 KiB and 1 MiB, and all connections together no more
//! than [`super::Uplink`] says; the rest stays here, where a cancel or a choke still reaches it.

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
/// Part of a block goes out only where the edge holds as much as this: on a thin link its rest would hold up what is
/// urgent.
const SPLIT_FROM: u64 = 2 * MIN_TARGET;
/// No smaller part of a block is worth the copy that its receiver makes.
const MIN_PART: usize = 1024;
/// Control bytes that may wait for a peer that does not read; more closes the connection.
const MAX_CONTROL: usize = 4 * 1024 * 1024;

/// The queue of one peer, and the bytes of it that the edge holds already.
#[derive(Debug)]
pub struct SendQueue {
    control: VecDeque<Bytes>,
    control_bytes: usize,
    requests: VecDeque<BlockRef>,
    blocks: VecDeque<(BlockRef, Bytes, Bytes)>,
    /// What the last message had no room for of its last block. It is next: nothing may come between.
    rest: Bytes,
    /// Bytes in `blocks` and `rest`.
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
            rest: Bytes::new(),
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
        if !self.rest.is_empty() {
            let part = self.rest.split_to(self.rest.len().min(room));
            room -= part.len();
            self.block_bytes -= part.len() as u64;
            chunks.push(part);
        }
        while let Some(front) = self.control.front_mut() {
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
        if self.control.is_empty() && !self.requests.is_empty() && room >= REQUEST_LEN {
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
            && self.rest.is_empty()
            && self.in_edge < self.target
            && let Some((_, header, data)) = self.blocks.front_mut()
            && uplink.is_open(now)
        {
            let length = header.len() + data.len();
            let part = if length <= room {
                data.len()
            } else if self.target >= SPLIT_FROM && room >= MIN_PART {
                room - header.len()
            } else {
                break;
            };
            self.rest = data.split_off(part);
            let handed = length - self.rest.len();
            room -= handed;
            self.block_bytes -= handed as u64;
            uplink.handed(handed as u64);
            let Some((block, header, data)) = self.blocks.pop_front() else {
                break;
            };
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PieceIndex;
    use crate::wire::piece_header;

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
        assert_eq!(left.len(), 4, "the last of them in part");
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
        queue.report(Timestamp::from_millis(1_000), 0);
        assert!(queue.poll(NOW, &mut Uplink::default(), &mut left).is_some());
    }

    /// What a queue says when it is polled and drained `polls` times, and before each of them `more` is queued.
    fn stream(queue: &mut SendQueue, polls: usize, mut more: impl FnMut(&mut SendQueue)) -> Bytes {
        let mut said = BytesMut::new();
        for _ in 0..polls {
            more(queue);
            if let Some(chunks) = queue.poll(NOW, &mut Uplink::default(), &mut Vec::new()) {
                let length: usize = chunks.iter().map(Bytes::len).sum();
                assert!(length <= MAX_MESSAGE);
                chunks
                    .iter()
                    .for_each(|chunk| said.extend_from_slice(chunk));
            }
            queue.in_edge = 0;
        }
        assert_eq!(queue.queued_bytes(), 0);
        said.freeze()
    }

    #[test]
    fn messages_are_filled_to_the_last_byte() {
        let mut queue = SendQueue::default();
        (0..12).for_each(|n| push(&mut queue, n * 16_384));
        let polled = |queue: &mut SendQueue| {
            let chunks = queue.poll(NOW, &mut Uplink::default(), &mut Vec::new());
            chunks.iter().flatten().map(Bytes::len).sum::<usize>()
        };
        let lengths: Vec<usize> = (0..4).map(|_| polled(&mut queue)).collect();
        let rest = 12 * 16_397 - 3 * MAX_MESSAGE;
        assert_eq!(lengths, [MAX_MESSAGE, MAX_MESSAGE, MAX_MESSAGE, rest]);
        assert_eq!(queue.queued_bytes(), 0);
    }

    #[test]
    fn a_thin_link_gets_whole_blocks() {
        let mut queue = SendQueue::default();
        queue.report(NOW, 0);
        assert_eq!(queue.target, MIN_TARGET);
        (0..4).for_each(|n| push(&mut queue, n * 16_384));
        let mut left = Vec::new();
        let chunks = queue.poll(NOW, &mut Uplink::default(), &mut left);
        let length: usize = chunks.iter().flatten().map(Bytes::len).sum();
        assert_eq!((length, left.len()), (3 * 16_397, 3));
    }

    #[test]
    fn nothing_comes_between_the_parts_of_a_block() {
        let mut queue = SendQueue::default();
        let mut round = 0;
        let said =
            stream(&mut queue, 60, |queue| {
                round += 1;
                if round <= 40 {
                    for n in 0..round % 7 {
                        queue.push_block(
                            block(round * 65_536 + n * 16_384),
                            Bytes::copy_from_slice(&piece_header(
                                PieceIndex(round),
                                n * 16_384,
                                16_384,
                            )),
                            Bytes::from(vec![round as u8; 16_384]),
                        );
                    }
                    for n in 0..round % 5 {
                        queue.push_request(block(n * 16_384));
                        assert!(queue.push_control(Message::Have(PieceIndex(n)).to_bytes()));
                    }
                    if round % 6 == 0 {
                        assert!(queue.push_control(
                            Message::Bitfield(Bytes::from(vec![0; 30_000])).to_bytes()
                        ));
                    }
                }
            });
        let mut decoder = crate::wire::Decoder::new();
        let hello = crate::wire::Handshake::ours(
            crate::types::InfoHash([1; 20]),
            crate::types::PeerId([2; 20]),
        );
        decoder
            .push(Bytes::copy_from_slice(&hello.encode()))
            .expect("room");
        decoder.next_handshake().expect("a handshake");
        let mut blocks = 0;
        for chunk in said.chunks(10_000) {
            decoder.push(Bytes::copy_from_slice(chunk)).expect("room");
            while let Some(message) = decoder.next_message().expect("a message") {
                match message {
                    Message::Piece { piece, data, .. } => {
                        assert_eq!(data.len(), 16_384);
                        assert!(data.iter().all(|byte| *byte == piece.0 as u8));
                        blocks += 1;
                    }
                    Message::Have(_) | Message::Request(_) | Message::Bitfield(_) => (),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(decoder.buffered_len(), 0);
        assert!(blocks > 50, "{blocks}");
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
