//! Bytes of one connection into a handshake and messages.
//!
//! Owns the bytes that have arrived and are not decoded yet. A data channel is read as a byte stream: the borders of
//! its messages mean nothing. A frame inside one chunk is handed out as a slice of that chunk; only a frame that
//! straddles chunks is copied, once.
//!
//! Invariant: a frame's length is checked against the bound of its kind before a byte of it is
//! kept. After an error the connection is over: every later call gives the same error.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::handshake::{HANDSHAKE_LEN, Handshake, PROTOCOL};
use super::message::{Message, id};
use crate::metainfo::MAX_PIECES;
use crate::types::{BLOCK_LEN, BlockRef, PieceIndex};

/// Longest block of a `piece` message: we ask for no more, so a longer one was never asked for.
pub const MAX_BLOCK_LEN: usize = BLOCK_LEN as usize;
/// Longest bitfield: one bit for each piece of the largest torrent we take.
pub const MAX_BITFIELD_LEN: usize = MAX_PIECES.div_ceil(8);
/// Longest extension message with its id. The largest of use is a 16 KiB metadata piece (BEP 9)
/// behind a short dictionary.
pub const MAX_EXTENDED_LEN: usize = 32 * 1024;
/// Longest payload of a message we do not know; it is skipped as it arrives, never kept.
pub const MAX_SKIPPED_LEN: usize = 1024 * 1024;
/// Most bytes pushed and not decoded yet. A caller that decodes all it can after each push stays far below with any
/// chunk of up to 1 MiB less one frame; more is an error and ends the connection.
pub const MAX_BUFFERED_LEN: usize = 1024 * 1024;

/// Length prefix and id.
const HEAD_LEN: usize = 5;

/// A peer's fault that ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The first bytes are of another protocol.
    #[error("the peer does not speak the BitTorrent protocol")]
    NotBitTorrent,
    /// A message of fixed size has another size.
    #[error("message {id} has {len} bytes of payload, expected {expected}")]
    WrongLength {
        /// Message id.
        id: u8,
        /// Payload bytes announced.
        len: usize,
        /// Payload bytes that the message has.
        expected: usize,
    },
    /// A payload shorter than the message's fixed part.
    #[error("message {id} has {len} bytes of payload, too few")]
    TooShort {
        /// Message id.
        id: u8,
        /// Payload bytes announced.
        len: usize,
    },
    /// A payload longer than the bound of its kind.
    #[error("message {id} has {len} bytes of payload, at most {max} are accepted")]
    TooLong {
        /// Message id.
        id: u8,
        /// Payload bytes announced.
        len: usize,
        /// Payload bytes accepted.
        max: usize,
    },
    /// More than [`MAX_BUFFERED_LEN`] bytes are waiting to be decoded.
    #[error("{len} bytes wait to be decoded, more than the {MAX_BUFFERED_LEN} allowed")]
    Overflow {
        /// Bytes that would wait.
        len: usize,
    },
}

/// Decodes one connection's incoming bytes.
///
/// After each [`Decoder::push`] call [`Decoder::next_handshake`] until it gives the one handshake,
/// from then on [`Decoder::next_message`] until it gives `None`.
#[derive(Debug, Default)]
pub struct Decoder {
    chunks: VecDeque<Bytes>,
    /// Bytes in `chunks`.
    queued: usize,
    /// The front of a frame whose rest has not arrived; never longer than one accepted frame.
    partial: BytesMut,
    /// Bytes of an unknown message still to be thrown away.
    skip: usize,
    has_handshake: bool,
    failed: Option<WireError>,
}

impl Decoder {
    /// A decoder that expects a handshake first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes in the order of their arrival.
    ///
    /// # Errors
    /// [`WireError::Overflow`] when the waiting bytes would pass [`MAX_BUFFERED_LEN`], and any earlier error.
    pub fn push(&mut self, chunk: Bytes) -> Result<(), WireError> {
        self.check()?;
        let len = self.buffered_len().saturating_add(chunk.len());
        if len > MAX_BUFFERED_LEN {
            return self.fail(WireError::Overflow { len });
        }
        if !chunk.is_empty() {
            self.queued += chunk.len();
            self.chunks.push_back(chunk);
        }
        Ok(())
    }

    /// Bytes that arrived and are not decoded yet.
    pub fn buffered_len(&self) -> usize {
        self.queued + self.partial.len()
    }

    /// The handshake, once, when all of it is here. `None` also after it was given.
    ///
    /// # Errors
    /// [`WireError::NotBitTorrent`] as soon as a byte differs.
    pub fn next_handshake(&mut self) -> Result<Option<Handshake>, WireError> {
        self.check()?;
        if self.has_handshake {
            return Ok(None);
        }
        let complete = self.gather(HANDSHAKE_LEN);
        let seen = self.partial.len().min(PROTOCOL.len());
        if self.partial[..seen] != PROTOCOL[..seen] {
            return self.fail(WireError::NotBitTorrent);
        }
        if !complete {
            return Ok(None);
        }
        let mut bytes = [0; HANDSHAKE_LEN];
        bytes.copy_from_slice(&self.partial.split_to(HANDSHAKE_LEN));
        match Handshake::decode(&bytes) {
            None => self.fail(WireError::NotBitTorrent),
            Some(handshake) => {
                self.has_handshake = true;
                Ok(Some(handshake))
            }
        }
    }

    /// The next whole message; `None` until more bytes arrive, and before the handshake.
    ///
    /// # Errors
    /// A frame that breaks its message's layout or bound.
    pub fn next_message(&mut self) -> Result<Option<Message>, WireError> {
        self.check()?;
        if !self.has_handshake {
            return Ok(None);
        }
        self.discard_skipped();
        if self.skip > 0 {
            return Ok(None);
        }
        let Some(prefix) = self.peek::<4>() else {
            return Ok(None);
        };
        let frame_len = u32::from_be_bytes(prefix) as usize;
        if frame_len == 0 {
            let _ = self.take(4);
            return Ok(Some(Message::KeepAlive));
        }
        let Some([.., id]) = self.peek::<HEAD_LEN>() else {
            return Ok(None);
        };
        let payload_len = frame_len - 1;
        match check_payload_len(id, payload_len) {
            Err(error) => self.fail(error),
            Ok(Layout::Skipped) => {
                let _ = self.take(HEAD_LEN);
                self.skip = payload_len;
                self.discard_skipped();
                Ok(Some(Message::Unknown { id }))
            }
            Ok(Layout::Kept) => Ok(self.take(HEAD_LEN + payload_len).map(|mut frame| {
                frame.advance(HEAD_LEN);
                read_payload(id, frame)
            })),
        }
    }

    fn check(&self) -> Result<(), WireError> {
        self.failed.map_or(Ok(()), Err)
    }

    fn fail<T>(&mut self, error: WireError) -> Result<T, WireError> {
        self.failed = Some(error);
        self.chunks.clear();
        self.queued = 0;
        self.partial = BytesMut::new();
        Err(error)
    }

    fn discard_skipped(&mut self) {
        while self.skip > 0 {
            let Some(front) = self.chunks.front_mut() else {
                return;
            };
            let n = front.len().min(self.skip);
            front.advance(n);
            self.skip -= n;
            self.queued -= n;
            self.drop_empty_front();
        }
    }

    /// The next `N` bytes without consuming them.
    fn peek<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.partial.is_empty()
            && let Some(front) = self.chunks.front()
            && let Some(bytes) = front.first_chunk::<N>()
        {
            return Some(*bytes);
        }
        if !self.gather(N) {
            return None;
        }
        self.partial.first_chunk::<N>().copied()
    }

    /// Consumes `len` bytes, without a copy if they lie in one chunk.
    fn take(&mut self, len: usize) -> Option<Bytes> {
        if self.partial.is_empty()
            && let Some(front) = self.chunks.front_mut()
            && front.len() >= len
        {
            let frame = front.split_to(len);
            self.queued -= len;
            self.drop_empty_front();
            return Some(frame);
        }
        if !self.gather(len) {
            return None;
        }
        if self.partial.len() == len {
            return Some(core::mem::take(&mut self.partial).freeze());
        }
        Some(self.partial.split_to(len).freeze())
    }

    /// Moves bytes into `partial` until it has `len`; false when they are not all here.
    fn gather(&mut self, len: usize) -> bool {
        while self.partial.len() < len {
            let missing = len - self.partial.len();
            let Some(front) = self.chunks.front_mut() else {
                return false;
            };
            // `len` is within the bound of its message.
            self.partial.reserve(missing);
            let part = front.split_to(front.len().min(missing));
            self.queued -= part.len();
            self.partial.extend_from_slice(&part);
            self.drop_empty_front();
        }
        true
    }

    fn drop_empty_front(&mut self) {
        if self.chunks.front().is_some_and(Bytes::is_empty) {
            self.chunks.pop_front();
        }
    }
}

enum Layout {
    Kept,
    Skipped,
}

fn check_payload_len(id: u8, len: usize) -> Result<Layout, WireError> {
    let (min, max) = match id {
        id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED => (0, 0),
        id::HAVE_ALL | id::HAVE_NONE => (0, 0),
        id::HAVE | id::SUGGEST_PIECE | id::ALLOWED_FAST => (4, 4),
        id::REQUEST | id::CANCEL | id::REJECT_REQUEST => (12, 12),
        id::BITFIELD => (0, MAX_BITFIELD_LEN),
        id::PIECE => (8, 8 + MAX_BLOCK_LEN),
        id::EXTENDED => (1, MAX_EXTENDED_LEN),
        _ if len > MAX_SKIPPED_LEN => {
            let max = MAX_SKIPPED_LEN;
            return Err(WireError::TooLong { id, len, max });
        }
        _ => return Ok(Layout::Skipped),
    };
    if min == max && len != min {
        let expected = min;
        return Err(WireError::WrongLength { id, len, expected });
    }
    if len < min {
        return Err(WireError::TooShort { id, len });
    }
    if len > max {
        return Err(WireError::TooLong { id, len, max });
    }
    Ok(Layout::Kept)
}

/// `payload` has a length that [`check_payload_len`] accepted for `id`.
fn read_payload(id: u8, mut payload: Bytes) -> Message {
    let block = |mut p: Bytes| BlockRef {
        piece: PieceIndex(p.get_u32()),
        begin: p.get_u32(),
        length: p.get_u32(),
    };
    match id {
        id::CHOKE => Message::Choke,
        id::UNCHOKE => Message::Unchoke,
        id::INTERESTED => Message::Interested,
        id::NOT_INTERESTED => Message::NotInterested,
        id::HAVE => Message::Have(PieceIndex(payload.get_u32())),
        id::BITFIELD => Message::Bitfield(payload),
        id::REQUEST => Message::Request(block(payload)),
        id::PIECE => Message::Piece {
            piece: PieceIndex(payload.get_u32()),
            begin: payload.get_u32(),
            data: payload,
        },
        id::CANCEL => Message::Cancel(block(payload)),
        id::SUGGEST_PIECE => Message::SuggestPiece(PieceIndex(payload.get_u32())),
        id::HAVE_ALL => Message::HaveAll,
        id::HAVE_NONE => Message::HaveNone,
        id::REJECT_REQUEST => Message::RejectRequest(block(payload)),
        id::ALLOWED_FAST => Message::AllowedFast(PieceIndex(payload.get_u32())),
        id::EXTENDED => Message::Extended {
            id: payload.get_u8(),
            payload,
        },
        _ => Message::Unknown { id },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::types::{InfoHash, PeerId};
    use crate::wire::message::piece_header;
    use bytes::BufMut;
    use proptest::prelude::*;

    fn ours() -> Handshake {
        Handshake::ours(InfoHash([1; 20]), PeerId([2; 20]))
    }

    /// A decoder behind its handshake.
    fn open() -> Decoder {
        let mut decoder = Decoder::new();
        decoder
            .push(Bytes::copy_from_slice(&ours().encode()))
            .unwrap();
        assert_eq!(decoder.next_handshake(), Ok(Some(ours())));
        decoder
    }

    fn decode_chunks(chunks: impl IntoIterator<Item = Bytes>) -> (Vec<Message>, Option<WireError>) {
        let mut decoder = open();
        let mut messages = Vec::new();
        for chunk in chunks {
            if let Err(error) = decoder.push(chunk) {
                return (messages, Some(error));
            }
            loop {
                match decoder.next_message() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(error) => return (messages, Some(error)),
                }
            }
        }
        (messages, None)
    }

    fn frame(id: u8, payload_len: usize) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_u32(1 + payload_len as u32);
        out.put_u8(id);
        out.put_bytes(0, payload_len);
        out
    }

    #[test]
    fn messages_have_the_bytes_of_their_specifications() {
        let block = BlockRef {
            piece: PieceIndex(1),
            begin: 0x4000,
            length: 0x4000,
        };
        let block_bytes = [0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 0x40, 0];
        let with = |head: &[u8], tail: &[u8]| [head, tail].concat();
        for (message, bytes) in [
            (Message::KeepAlive, vec![0, 0, 0, 0]),
            (Message::Choke, vec![0, 0, 0, 1, 0]),
            (Message::Unchoke, vec![0, 0, 0, 1, 1]),
            (Message::Interested, vec![0, 0, 0, 1, 2]),
            (Message::NotInterested, vec![0, 0, 0, 1, 3]),
            (
                Message::Have(PieceIndex(0x0102_0304)),
                vec![0, 0, 0, 5, 4, 1, 2, 3, 4],
            ),
            (
                Message::Bitfield(Bytes::from_static(&[0xf0, 0x01])),
                vec![0, 0, 0, 3, 5, 0xf0, 0x01],
            ),
            (
                Message::Request(block),
                with(&[0, 0, 0, 13, 6], &block_bytes),
            ),
            (
                Message::Piece {
                    piece: PieceIndex(1),
                    begin: 0x4000,
                    data: Bytes::from_static(b"ab"),
                },
                with(&[0, 0, 0, 11, 7], b"\0\0\0\x01\0\0\x40\0ab"),
            ),
            (
                Message::Cancel(block),
                with(&[0, 0, 0, 13, 8], &block_bytes),
            ),
            (
                Message::SuggestPiece(PieceIndex(9)),
                vec![0, 0, 0, 5, 0x0d, 0, 0, 0, 9],
            ),
            (Message::HaveAll, vec![0, 0, 0, 1, 0x0e]),
            (Message::HaveNone, vec![0, 0, 0, 1, 0x0f]),
            (
                Message::RejectRequest(block),
                with(&[0, 0, 0, 13, 0x10], &block_bytes),
            ),
            (
                Message::AllowedFast(PieceIndex(9)),
                vec![0, 0, 0, 5, 0x11, 0, 0, 0, 9],
            ),
            (
                Message::Extended {
                    id: 3,
                    payload: Bytes::from_static(b"de"),
                },
                vec![0, 0, 0, 4, 20, 3, b'd', b'e'],
            ),
        ] {
            assert_eq!(message.to_bytes(), bytes);
            let (read, error) = decode_chunks([Bytes::from(bytes)]);
            assert_eq!((read, error), (vec![message], None));
        }
    }

    #[test]
    fn a_block_inside_one_chunk_is_not_copied() {
        let mut bytes = BytesMut::new();
        bytes.put_slice(&piece_header(PieceIndex(3), 16_384, 16_384));
        bytes.put_bytes(7, 16_384);
        Message::Choke.encode(&mut bytes);
        let chunk = bytes.freeze();
        let place = chunk[13..].as_ptr();
        let (messages, _) = decode_chunks([chunk]);
        let Message::Piece { data, .. } = &messages[0] else {
            unreachable!()
        };
        assert_eq!((data.len(), data.as_ptr()), (16_384, place));
        assert_eq!(messages[1], Message::Choke);
    }

    #[test]
    fn a_handshake_in_single_bytes_is_read_and_leaves_what_follows() {
        let mut decoder = Decoder::new();
        let mut bytes = ours().encode().to_vec();
        bytes.extend_from_slice(&Message::Unchoke.to_bytes());
        let mut handshakes = Vec::new();
        let mut messages = Vec::new();
        for byte in bytes {
            decoder.push(Bytes::copy_from_slice(&[byte])).unwrap();
            handshakes.extend(decoder.next_handshake().unwrap());
            messages.extend(decoder.next_message().unwrap());
        }
        assert_eq!(
            (handshakes, messages),
            (vec![ours()], vec![Message::Unchoke])
        );
        assert_eq!(decoder.buffered_len(), 0);
    }

    #[test]
    fn another_protocol_is_refused_at_its_first_byte_and_for_ever() {
        let mut decoder = Decoder::new();
        decoder.push(Bytes::from_static(b"G")).unwrap();
        assert_eq!(decoder.next_handshake(), Err(WireError::NotBitTorrent));
        assert_eq!(decoder.next_message(), Err(WireError::NotBitTorrent));
        let more = decoder.push(Bytes::from_static(b"ET / HTTP/1.1"));
        assert_eq!(more, Err(WireError::NotBitTorrent));
        assert_eq!(decoder.buffered_len(), 0);
    }

    #[test]
    fn a_length_beyond_its_bound_is_refused_before_the_payload_arrives() {
        for (id, max) in [
            (id::PIECE, 8 + MAX_BLOCK_LEN),
            (id::BITFIELD, MAX_BITFIELD_LEN),
            (id::EXTENDED, MAX_EXTENDED_LEN),
            (99, MAX_SKIPPED_LEN),
        ] {
            let len = max + 1;
            let head = frame(id, len).freeze().slice(..HEAD_LEN);
            let (_, error) = decode_chunks([head]);
            assert_eq!(error, Some(WireError::TooLong { id, len, max }));
            let (messages, error) = decode_chunks([frame(id, max).freeze().slice(..HEAD_LEN)]);
            assert_eq!((messages.len(), error), (usize::from(id == 99), None));
        }
        let (_, error) = decode_chunks([Bytes::from_static(&[0xff; 5])]);
        assert!(matches!(error, Some(WireError::TooLong { id: 0xff, .. })));
    }

    #[test]
    fn a_wrong_size_is_refused() {
        for (id, len, expected) in [
            (id::CHOKE, 1, 0),
            (id::HAVE_ALL, 1, 0),
            (id::HAVE, 3, 4),
            (id::REQUEST, 11, 12),
            (id::CANCEL, 13, 12),
            (id::REJECT_REQUEST, 0, 12),
        ] {
            let (_, error) = decode_chunks([frame(id, len).freeze()]);
            assert_eq!(error, Some(WireError::WrongLength { id, len, expected }));
        }
        for (id, len) in [(id::PIECE, 7), (id::EXTENDED, 0)] {
            let (_, error) = decode_chunks([frame(id, len).freeze()]);
            assert_eq!(error, Some(WireError::TooShort { id, len }));
        }
    }

    #[test]
    fn an_unknown_message_is_skipped_without_being_kept() {
        let mut decoder = open();
        let mut bytes = frame(21, MAX_SKIPPED_LEN);
        Message::Interested.encode(&mut bytes);
        let bytes = bytes.freeze();
        let mut messages = Vec::new();
        for start in (0..bytes.len()).step_by(10_000) {
            let end = bytes.len().min(start + 10_000);
            decoder.push(bytes.slice(start..end)).unwrap();
            while let Some(message) = decoder.next_message().unwrap() {
                messages.push(message);
            }
            assert_eq!(decoder.buffered_len(), 0);
        }
        assert_eq!(messages, [Message::Unknown { id: 21 }, Message::Interested]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut decoder = open();
        let half = Bytes::from(vec![0; MAX_BUFFERED_LEN / 2]);
        decoder.push(half.clone()).unwrap();
        decoder.push(half).unwrap();
        let len = MAX_BUFFERED_LEN + 1;
        assert_eq!(
            decoder.push(Bytes::from_static(&[0])),
            Err(WireError::Overflow { len })
        );
    }

    fn block() -> impl Strategy<Value = BlockRef> {
        (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(piece, begin, length)| BlockRef {
            piece: PieceIndex(piece),
            begin,
            length,
        })
    }

    fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from)
    }

    fn message() -> impl Strategy<Value = Message> {
        let piece = || any::<u32>().prop_map(PieceIndex);
        prop_oneof![
            Just(Message::KeepAlive),
            Just(Message::Choke),
            Just(Message::Unchoke),
            Just(Message::Interested),
            Just(Message::NotInterested),
            Just(Message::HaveAll),
            Just(Message::HaveNone),
            piece().prop_map(Message::Have),
            piece().prop_map(Message::SuggestPiece),
            piece().prop_map(Message::AllowedFast),
            bytes(100).prop_map(Message::Bitfield),
            block().prop_map(Message::Request),
            block().prop_map(Message::Cancel),
            block().prop_map(Message::RejectRequest),
            (piece(), any::<u32>(), bytes(300)).prop_map(|(piece, begin, data)| Message::Piece {
                piece,
                begin,
                data
            }),
            (any::<u8>(), bytes(100)).prop_map(|(id, payload)| Message::Extended { id, payload }),
            (21u8..).prop_map(|id| Message::Unknown { id }),
        ]
    }

    /// Cuts `bytes` into chunks of the given lengths, over and over.
    fn cut(mut bytes: Bytes, lengths: &[usize]) -> Vec<Bytes> {
        let mut chunks = Vec::new();
        for len in lengths.iter().cycle() {
            if bytes.is_empty() {
                break;
            }
            chunks.push(bytes.split_to(bytes.len().min(*len)));
        }
        chunks
    }

    proptest! {
        #[test]
        fn messages_survive_any_chunking(
            messages in proptest::collection::vec(message(), 0..20),
            lengths in proptest::collection::vec(1usize..400, 1..8),
        ) {
            let mut out = BytesMut::new();
            for message in &messages {
                message.encode(&mut out);
            }
            let (read, error) = decode_chunks(cut(out.freeze(), &lengths));
            prop_assert_eq!((read, error), (messages, None));
        }

        #[test]
        fn damaged_streams_read_the_same_in_any_chunking(
            messages in proptest::collection::vec(message(), 1..10),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            lengths in proptest::collection::vec(1usize..100, 1..8),
        ) {
            let mut out = BytesMut::new();
            for message in &messages {
                message.encode(&mut out);
            }
            for (at, byte) in edits {
                let at = at.index(out.len());
                out[at] = byte;
            }
            let bytes = out.freeze();
            prop_assert_eq!(decode_chunks([bytes.clone()]), decode_chunks(cut(bytes, &lengths)));
        }
    }
}
