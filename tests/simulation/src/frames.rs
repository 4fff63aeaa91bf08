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
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        self.rest.extend_from_slice(bytes);
        let mut frames = Vec::new();
        loop {
            if !self.greeted {
                if self.rest.len() < HANDSHAKE_LEN {
                    return frames;
                }
                self.greeted = true;
                frames.push(Frame::Handshake(self.rest.split_to(HANDSHAKE_LEN).freeze()));
                continue;
            }
            let Some(prefix) = self.rest.get(..4) else {
                return frames;
            };
            let length = 4 + { prefix }.get_u32() as usize;
            assert!(length <= MAX_FRAME_LEN, "a frame of {length} bytes");
            if self.rest.len() < length {
                return frames;
            }
            frames.push(Frame::Message(self.rest.split_to(length).freeze()));
        }
    }
}
