//! Data channels between clients, and their faults.

use bytes::{BufMut, Bytes, BytesMut};
use piecework::time::{Duration, Timestamp};
use piecework::types::ConnectionId;

use crate::frames::{Frame, Frames};
use crate::node::NodeId;
use crate::random::Random;
use crate::watch::Direction;

const PIECE: u8 = 7;

/// A node's cheat: a change of the messages that its honest client sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cheat {
    /// Not at all.
    #[default]
    Honest,
    /// Flips a byte in one of this many blocks.
    Corrupt {
        /// 1: in every one.
        one_in: u64,
    },
    /// Sends no block any more after this many, but everything else.
    Stall {
        /// Blocks that the node still sends on each connection.
        after: u32,
    },
    /// Adds blocks that nobody asked for, this many after each message.
    Flood {
        /// Blocks that the node adds after each message.
        blocks: u32,
    },
    /// Sends random bytes after its handshake.
    Garbage,
}

/// A channel from its offer to its end.
#[derive(Debug)]
pub(crate) struct Link {
    /// The offering side first.
    pub(crate) ends: [Option<End>; 2],
    pub(crate) open: bool,
    /// Gone without a word: nothing arrives any more.
    pub(crate) dead: bool,
    pub(crate) latency: Duration,
}

/// One side of a channel.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) node: NodeId,
    pub(crate) life: u64,
    pub(crate) conn: ConnectionId,
    /// This side closed it, or learned of its end.
    pub(crate) closed: bool,
    pub(crate) buffered: u64,
    pub(crate) low_water: u64,
    /// Something was sent, or another mark set, since the buffer was last reported.
    pub(crate) owes_report: bool,
    /// When the last byte sent so far reaches the other side.
    pub(crate) arrives: Timestamp,
    /// When the channel's own congestion control lets the next byte leave.
    pub(crate) paced: Timestamp,
    /// A PAY is in the bytes on their way.
    pub(crate) has_pay: bool,
    pub(crate) frames: Frames,
    pub(crate) direction: Direction,
    blocks: u32,
}

impl End {
    pub(crate) fn new(node: NodeId, life: u64, conn: ConnectionId) -> End {
        End {
            node,
            life,
            conn,
            closed: false,
            buffered: 0,
            low_water: 0,
            owes_report: false,
            arrives: Timestamp::ZERO,
            paced: Timestamp::ZERO,
            has_pay: false,
            frames: Frames::default(),
            direction: Direction::default(),
            blocks: 0,
        }
    }

    /// The frames that leave instead of these.
    pub(crate) fn cheat(&mut self, cheat: Cheat, frames: &[Frame], random: &mut Random) -> Bytes {
        let mut out = BytesMut::new();
        for frame in frames {
            let bytes = frame.bytes();
            let is_block = frame.id() == Some(PIECE);
            self.blocks += u32::from(is_block);
            match cheat {
                Cheat::Corrupt { one_in } if is_block && random.one_in(one_in) => {
                    let at = out.len() + 13 + random.index(bytes.len() - 13);
                    out.put_slice(bytes);
                    out[at] ^= 1 << random.index(8);
                }
                Cheat::Stall { after } if is_block && self.blocks > after => {}
                Cheat::Garbage if !matches!(frame, Frame::Handshake(_)) => {
                    let mut noise = vec![0; bytes.len()];
                    random.fill(&mut noise);
                    out.put_slice(&noise);
                }
                Cheat::Flood { blocks } if matches!(frame, Frame::Message(_)) => {
                    out.put_slice(bytes);
                    for piece in 0..blocks {
                        out.put_u32(9 + 16 * 1024);
                        out.put_u8(PIECE);
                        out.put_u32(piece);
                        out.put_u32(0);
                        out.put_bytes(0xaa, 16 * 1024);
                    }
                }
                _ => out.put_slice(bytes),
            }
        }
        out.freeze()
    }
}
