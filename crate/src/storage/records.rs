//! The bytes of a torrent's have-record and scratch index. A record from a disk is refused if it is not whole.

use bytes::{BufMut, Bytes, BytesMut};

use crate::bitfield::Bitfield;
use crate::sorted::Set;
use crate::types::PieceIndex;

const HAVE_VERSION: u8 = 1;
const SCRATCH_VERSION: u8 = 1;
/// The number of scratch slots that a record may name; more would not fit the budget of begun pieces.
pub(super) const MAX_SLOTS: u32 = 4096;

/// A slot of the scratch file, as a restart finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchEntry {
    /// The number of the slot, which begins at `slot * piece_length`.
    pub slot: u32,
    /// The piece whose bytes lie in the slot.
    pub piece: PieceIndex,
    /// Its blocks that lie in the slot.
    pub blocks: Bitfield,
    /// Its blocks that the buyer paid for in advance.
    pub advanced: Bitfield,
}

/// The content of a have-record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaveRecord {
    /// Pieces verified and written.
    pub have: Bitfield,
    /// Pieces of `have` that may not be flushed, and the newest ones. A start hashes them again.
    pub recent: Vec<PieceIndex>,
}

/// Shape: version byte, number of bits (u32), bits, then a u16 count and that many piece indices (u32).
pub(super) fn encode_have(record: &HaveRecord) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(HAVE_VERSION);
    out.put_u32(record.have.len());
    out.put_slice(&record.have.as_bytes());
    out.put_u16(record.recent.len() as u16);
    for piece in &record.recent {
        out.put_u32(piece.0);
    }
    out.freeze()
}

/// Reads a have-record for a torrent of `pieces` pieces; `None` if the bytes are none.
pub fn decode_have(bytes: &[u8], pieces: u32) -> Option<HaveRecord> {
    let mut input = Reader(bytes);
    if input.u8()? != HAVE_VERSION || input.u32()? != pieces {
        return None;
    }
    let have = Bitfield::from_bytes(input.take(pieces.div_ceil(8) as usize)?, pieces).ok()?;
    let count = input.u16()?;
    let mut recent = Vec::new();
    for _ in 0..count {
        let piece = input.u32()?;
        if piece < pieces {
            recent.push(PieceIndex(piece));
        }
    }
    Some(HaveRecord { have, recent })
}

/// Shape: version byte, u16 count, then for each entry slot u32, piece u32, number of blocks u32, two bitmaps.
pub(super) fn encode_scratch(entries: &[ScratchEntry]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(SCRATCH_VERSION);
    out.put_u16(entries.len() as u16);
    for entry in entries {
        out.put_u32(entry.slot);
        out.put_u32(entry.piece.0);
        out.put_u32(entry.blocks.len());
        out.put_slice(&entry.blocks.as_bytes());
        out.put_slice(&entry.advanced.as_bytes());
    }
    out.freeze()
}

/// Reads a scratch index. `blocks_in` answers the number of blocks of a piece, or `None` for no such piece.
pub fn decode_scratch(
    bytes: &[u8],
    blocks_in: impl Fn(PieceIndex) -> Option<u32>,
) -> Option<Vec<ScratchEntry>> {
    let mut input = Reader(bytes);
    if input.u8()? != SCRATCH_VERSION {
        return None;
    }
    let mut slots = Set::new();
    let mut pieces = Set::new();
    let mut entries = Vec::new();
    for _ in 0..input.u16()? {
        let slot = input.u32()?;
        let piece = PieceIndex(input.u32()?);
        let count = input.u32()?;
        if blocks_in(piece)? != count || slot >= MAX_SLOTS {
            return None;
        }
        let bytes = count.div_ceil(8) as usize;
        let blocks = Bitfield::from_bytes(input.take(bytes)?, count).ok()?;
        let advanced = Bitfield::from_bytes(input.take(bytes)?, count).ok()?;
        if !slots.insert(slot) || !pieces.insert(piece) {
            return None;
        }
        entries.push(ScratchEntry {
            slot,
            piece,
            blocks,
            advanced,
        });
    }
    Some(entries)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
}
