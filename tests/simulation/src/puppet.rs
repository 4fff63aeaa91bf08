//! A remote that is no client of ours: on each of its channels a test's script speaks.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use piecework::metainfo::Geometry;
use piecework::time::{Duration, Timestamp};
use piecework::types::{BlockRef, ConnectionId, PeerId, PieceIndex};
use piecework::wire::extension::{EXTENDED_HANDSHAKE_ID, METADATA_PIECE_LEN};
use piecework::wire::extension::{MetadataMessage, PW_PAY_ID, UT_METADATA_ID, UT_METADATA_NAME};
use piecework::wire::pay::{PayMessage, Terms};
use piecework::wire::{ExtendedHandshake, Handshake, Message};

use crate::content::Content;
use crate::frames::{Frame, Frames};
use crate::random::Random;

/// A channel's script: its reaction to each event there.
pub type Script = Box<dyn FnMut(&mut Wire<'_>, Said<'_>)>;

/// An event on a channel.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// It opened.
    Open,
    /// The other side's handshake came.
    Handshake(&'a [u8]),
    /// A message came: its id and the bytes after it. A keep-alive has none.
    Message(u8, &'a [u8]),
    /// The time of [`Wire::wake_in`] came.
    Wake,
}

/// One channel, as a script sees it.
pub struct Wire<'a> {
    /// The torrent it is about.
    pub content: &'a Content,
    /// Chance.
    pub random: &'a mut Random,
    /// The puppet's peer id.
    pub peer_id: PeerId,
    /// The time.
    pub now: Timestamp,
    pub(crate) out: BytesMut,
    pub(crate) close: bool,
    pub(crate) wake: Option<Duration>,
    pub(crate) quotes: Vec<Terms>,
}

impl Wire<'_> {
    /// Sends bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    /// Sends a message.
    pub fn say(&mut self, message: &Message) {
        message.encode(&mut self.out);
    }

    /// Sends a payment message.
    pub fn pay(&mut self, message: &PayMessage) {
        if let PayMessage::Terms(terms) = message {
            self.quotes.push(*terms);
        }
        let (id, payload) = (PW_PAY_ID, message.encode().into());
        self.say(&Message::Extended { id, payload });
    }

    /// Sends a message of any id and payload.
    pub fn frame(&mut self, id: u8, payload: &[u8]) {
        self.out.put_u32(1 + payload.len() as u32);
        self.out.put_u8(id);
        self.out.put_slice(payload);
    }

    /// Closes the channel after what was sent.
    pub fn close(&mut self) {
        self.close = true;
    }

    /// Asks for [`Said::Wake`] after this time.
    pub fn wake_in(&mut self, after: Duration) {
        self.wake = Some(after);
    }

    /// Sends the handshake (BEP 3) with the bits of BEP 6 and 10.
    pub fn handshake(&mut self) {
        let ours = Handshake::ours(self.content.info_hash(), self.peer_id);
        self.raw(&ours.encode());
    }

    /// The same without the fast extension (BEP 6): its choke voids the requests to it.
    pub fn handshake_without_fast(&mut self) {
        let mut ours = Handshake::ours(self.content.info_hash(), self.peer_id);
        ours.reserved[7] &= !0x04;
        self.raw(&ours.encode());
    }

    /// Sends the extension handshake (BEP 10), claiming metadata of this size.
    pub fn extensions(&mut self, metadata_size: Option<u32>) {
        let mut ours = ExtendedHandshake {
            metadata_size,
            ..ExtendedHandshake::default()
        };
        (ours.m).insert(UT_METADATA_NAME.to_owned(), UT_METADATA_ID);
        let payload = ours.encode();
        self.say(&Message::Extended {
            id: EXTENDED_HANDSHAKE_ID,
            payload,
        });
    }

    /// Sends an extension handshake that names the number of requests it takes at once (BEP 10, `reqq`).
    pub fn takes_requests(&mut self, reqq: u32) {
        let ours = ExtendedHandshake {
            reqq: Some(reqq),
            ..ExtendedHandshake::default()
        };
        let (id, payload) = (EXTENDED_HANDSHAKE_ID, ours.encode());
        self.say(&Message::Extended { id, payload });
    }

    /// Introduces itself as a seed that serves everybody.
    pub fn greet_as_seed(&mut self) {
        self.handshake();
        self.extensions(Some(self.content.metainfo.info.len() as u32));
        self.say(&Message::HaveAll);
        self.say(&Message::Unchoke);
    }

    /// Introduces itself as a peer that has nothing and wants everything.
    pub fn greet_as_leecher(&mut self) {
        self.handshake();
        self.extensions(None);
        self.say(&Message::HaveNone);
        self.say(&Message::Interested);
    }

    /// Every block of the torrent.
    pub fn blocks(&self) -> Vec<BlockRef> {
        let geometry: Geometry = self.content.metainfo.geometry();
        (0..geometry.piece_count())
            .flat_map(|piece| {
                let count = geometry.blocks_in(PieceIndex(piece)).unwrap_or(0);
                (0..count).filter_map(move |n| geometry.block(PieceIndex(piece), n))
            })
            .collect()
    }

    /// The true bytes of a block; beyond the torrent's end, zeros.
    pub fn block(&self, block: BlockRef) -> Bytes {
        let at = block.piece.0 as usize * self.content.metainfo.piece_length as usize
            + block.begin as usize;
        let end = at + block.length as usize;
        if end <= self.content.bytes.len() {
            self.content.bytes.slice(at..end)
        } else {
            vec![0; block.length as usize].into()
        }
    }

    /// Sends a block's true bytes.
    pub fn send_block(&mut self, block: BlockRef) {
        let data = self.block(block);
        let (piece, begin) = (block.piece, block.begin);
        self.say(&Message::Piece { piece, begin, data });
    }

    /// The requested block, if the message was a request.
    pub fn request(said: &Said) -> Option<BlockRef> {
        Self::block_named(said, 6)
    }

    /// The cancelled block, if the message was a cancel.
    pub fn cancel(said: &Said) -> Option<BlockRef> {
        Self::block_named(said, 8)
    }

    fn block_named(said: &Said, message: u8) -> Option<BlockRef> {
        match said {
            Said::Message(id, payload) if *id == message && payload.len() == 12 => {
                let number = |at: usize| {
                    u32::from_be_bytes([
                        payload[at],
                        payload[at + 1],
                        payload[at + 2],
                        payload[at + 3],
                    ])
                };
                Some(BlockRef {
                    piece: PieceIndex(number(0)),
                    begin: number(4),
                    length: number(8),
                })
            }
            _ => None,
        }
    }

    /// The requested metadata piece, if the message asked for one.
    pub fn metadata_request(said: &Said) -> Option<u32> {
        match said {
            Said::Message(20, [UT_METADATA_ID, payload @ ..]) => {
                let payload = Bytes::copy_from_slice(payload);
                match MetadataMessage::decode(&payload) {
                    Ok(MetadataMessage::Request { piece }) => Some(piece),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Sends a metadata piece: `info` is the puppet's info dictionary.
    pub fn send_metadata(&mut self, info: &Bytes, piece: u32) {
        let from = (piece as usize * METADATA_PIECE_LEN).min(info.len());
        let to = (from + METADATA_PIECE_LEN).min(info.len());
        let data = MetadataMessage::Data {
            piece,
            total_size: info.len() as u32,
            data: info.slice(from..to),
        };
        let (id, payload) = (UT_METADATA_ID, data.encode());
        self.say(&Message::Extended { id, payload });
    }

    /// Acts as a good seed: gives blocks and metadata.
    pub fn serve(&mut self, said: &Said) {
        if let Said::Open = said {
            self.greet_as_seed();
        } else if let Some(block) = Wire::request(said) {
            self.send_block(block);
        } else if let Some(piece) = Wire::metadata_request(said) {
            let info = self.content.metainfo.info.clone();
            self.send_metadata(&info, piece);
        }
    }
}

/// A remote that a test writes: `make` gives each channel its script.
pub(crate) struct Puppet {
    pub(crate) peer_id: PeerId,
    pub(crate) content: Content,
    pub(crate) make: Box<dyn FnMut() -> Script>,
    pub(crate) channels: BTreeMap<ConnectionId, Channel>,
    pub(crate) next: u64,
}

pub(crate) struct Channel {
    pub(crate) script: Script,
    pub(crate) frames: Frames,
}

impl Puppet {
    pub(crate) fn next_connection(&mut self) -> ConnectionId {
        self.next += 1;
        ConnectionId(self.next)
    }
}

impl Channel {
    /// Lets the script see whole frames.
    pub(crate) fn hear(&mut self, wire: &mut Wire, bytes: &Bytes) {
        for frame in self.frames.push(bytes) {
            match &frame {
                Frame::Handshake(bytes) => (self.script)(wire, Said::Handshake(bytes)),
                Frame::Message(_) => {
                    if let Some(id) = frame.id() {
                        (self.script)(wire, Said::Message(id, frame.payload()));
                    }
                }
            }
        }
    }
}
