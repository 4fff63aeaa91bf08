//! Peer wire messages (BEP 3, BEP 6, BEP 10), and their writing.
//!
//! Owns ids and layouts. Reading them is [`super::decoder`]'s.

use bytes::{BufMut, Bytes, BytesMut};

use crate::types::{BlockRef, PieceIndex};

/// Message ids (BEP 3, BEP 6, BEP 10).
pub(super) mod id {
    pub const CHOKE: u8 = 0;
    pub const UNCHOKE: u8 = 1;
    pub const INTERESTED: u8 = 2;
    pub const NOT_INTERESTED: u8 = 3;
    pub const HAVE: u8 = 4;
    pub const BITFIELD: u8 = 5;
    pub const REQUEST: u8 = 6;
    pub const PIECE: u8 = 7;
    pub const CANCEL: u8 = 8;
    pub const SUGGEST_PIECE: u8 = 0x0d;
    pub const HAVE_ALL: u8 = 0x0e;
    pub const HAVE_NONE: u8 = 0x0f;
    pub const REJECT_REQUEST: u8 = 0x10;
    pub const ALLOWED_FAST: u8 = 0x11;
    pub const EXTENDED: u8 = 20;
}

/// Bytes before the block in a `piece` message: length prefix, id, piece, begin.
pub const PIECE_HEADER_LEN: usize = 13;

/// One message after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Nothing; keeps the connection open.
    KeepAlive,
    /// The sender will not serve requests.
    Choke,
    /// The sender will serve requests.
    Unchoke,
    /// The sender wants something that the receiver has.
    Interested,
    /// The sender wants nothing that the receiver has.
    NotInterested,
    /// The sender has this piece now.
    Have(PieceIndex),
    /// The pieces the sender has; high bit of the first byte is piece 0. Not yet checked against
    /// a torrent's piece count.
    Bitfield(Bytes),
    /// Asks for a block. The receiver checks it against the torrent.
    Request(BlockRef),
    /// One block, at most [`crate::types::BLOCK_LEN`] bytes.
    Piece {
        /// The piece.
        piece: PieceIndex,
        /// First byte within the piece.
        begin: u32,
        /// The block.
        data: Bytes,
    },
    /// Takes a request back.
    Cancel(BlockRef),
    /// Would be a good piece to ask for (BEP 6).
    SuggestPiece(PieceIndex),
    /// The sender has everything (BEP 6).
    HaveAll,
    /// The sender has nothing (BEP 6).
    HaveNone,
    /// The request will not be served (BEP 6).
    RejectRequest(BlockRef),
    /// This piece is served even while choked (BEP 6).
    AllowedFast(PieceIndex),
    /// An extension message (BEP 10): 0 is the extended handshake, else an id of the receiver's.
    Extended {
        /// Extension message id.
        id: u8,
        /// The bytes after the id.
        payload: Bytes,
    },
    /// A message of no meaning here, its payload skipped (BEP 5 `port`, BEP 52 hashes, ...).
    Unknown {
        /// Message id.
        id: u8,
    },
}

impl Message {
    /// Appends the framed message. For blocks prefer [`piece_header`] and the block's own
    /// [`Bytes`]: that copies nothing.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Message::KeepAlive => out.put_u32(0),
            Message::Choke => put_head(out, id::CHOKE, 0),
            Message::Unchoke => put_head(out, id::UNCHOKE, 0),
            Message::Interested => put_head(out, id::INTERESTED, 0),
            Message::NotInterested => put_head(out, id::NOT_INTERESTED, 0),
            Message::Have(piece) => put_piece_index(out, id::HAVE, *piece),
            Message::Bitfield(bits) => {
                put_head(out, id::BITFIELD, bits.len());
                out.put_slice(bits);
            }
            Message::Request(block) => put_block_ref(out, id::REQUEST, *block),
            Message::Piece { piece, begin, data } => {
                out.put_slice(&piece_header(*piece, *begin, data.len() as u32));
                out.put_slice(data);
            }
            Message::Cancel(block) => put_block_ref(out, id::CANCEL, *block),
            Message::SuggestPiece(piece) => put_piece_index(out, id::SUGGEST_PIECE, *piece),
            Message::HaveAll => put_head(out, id::HAVE_ALL, 0),
            Message::HaveNone => put_head(out, id::HAVE_NONE, 0),
            Message::RejectRequest(block) => put_block_ref(out, id::REJECT_REQUEST, *block),
            Message::AllowedFast(piece) => put_piece_index(out, id::ALLOWED_FAST, *piece),
            Message::Extended { id, payload } => {
                put_head(out, id::EXTENDED, 1 + payload.len());
                out.put_u8(*id);
                out.put_slice(payload);
            }
            Message::Unknown { id } => put_head(out, *id, 0),
        }
    }
}

#[cfg(any(test, feature = "_test"))]
impl Message {
    /// The framed message in a buffer of its own.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.encode(&mut out);
        out.freeze()
    }
}

/// The bytes before a block of `len` bytes on the wire: a `piece` message without its data.
pub fn piece_header(piece: PieceIndex, begin: u32, len: u32) -> [u8; PIECE_HEADER_LEN] {
    let mut out = [0; PIECE_HEADER_LEN];
    out[..4].copy_from_slice(&len.saturating_add(9).to_be_bytes());
    out[4] = id::PIECE;
    out[5..9].copy_from_slice(&piece.0.to_be_bytes());
    out[9..].copy_from_slice(&begin.to_be_bytes());
    out
}

fn put_head(out: &mut BytesMut, id: u8, payload_len: usize) {
    out.reserve(5 + payload_len);
    out.put_u32(1 + payload_len as u32);
    out.put_u8(id);
}

fn put_piece_index(out: &mut BytesMut, id: u8, piece: PieceIndex) {
    put_head(out, id, 4);
    out.put_u32(piece.0);
}

fn put_block_ref(out: &mut BytesMut, id: u8, block: BlockRef) {
    put_head(out, id, 12);
    out.put_u32(block.piece.0);
    out.put_u32(block.begin);
    out.put_u32(block.length);
}
