//! Peer wire frames in one direction of a channel (BEP 3), cut out of the byte stream independently of
//! the client's own decoder.

use bytes::{Buf, Bytes, BytesMut};

const HANDSHAKE_LEN: usize = 68;
/// No message of ours is longer.
const MAX_FRAME_LEN: usize = 1 << 20;

/// One message, or the handshake, with all its bytes.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Handshake(Bytes),
    /// Length prefix included.
    Message(Bytes),
}

impl Frame {
    pub(crate) fn bytes(&self) -> &Bytes {
        match self {
            Frame::Handshake(bytes) | Frame::Message(bytes) => bytes,
        }
    }

    /// The message's id; `None`: handshake or keep-alive.
    pub(crate) fn id(&self) -> Option<u8> {
        match self {
            Frame::Handshake(_) => None,
            Frame::Message(bytes) => bytes.get(4).copied(),
        }
    }

    /// The bytes after the id.
    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes().get(5..).unwrap_or_default()
    }
}

/// Cuts frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    rest: BytesMut,
    greeted: bool,
}

impl Frames {
    /// Adds bytes; answers the frames that are complete now.
    pub(crate) fn push(&mut self, bytes: &Bytes) -> Vec<Frame> {
        // Whole frames are not copied: most messages are one.
        let mut bytes = if self.rest.is_empty() {
            bytes.clone()
        } else {
            self.rest.extend_from_slice(bytes);
            if self.first(&self.rest).is_none() {
                return Vec::new();
            }
            core::mem::take(&mut self.rest).freeze()
        };
        let mut frames = Vec::new();
        while let Some(length) = self.first(&bytes) {
            let frame = bytes.split_to(length);
            frames.push(match core::mem::replace(&mut self.greeted, true) {
                false => Frame::Handshake(frame),
                true => Frame::Message(frame),
            });
        }
        self.rest.extend_from_slice(&bytes);
        frames
    }

    /// Length of the frame that these bytes begin with; `None`: it is not complete.
    fn first(&self, bytes: &[u8]) -> Option<usize> {
        let length = match self.greeted {
            false => HANDSHAKE_LEN,
            true => 4 + bytes.get(..4)?.get_u32() as usize,
        };
        assert!(length <= MAX_FRAME_LEN, "a frame of {length} bytes");
        (length <= bytes.len()).then_some(length)
    }
}
