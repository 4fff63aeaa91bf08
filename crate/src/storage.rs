//! What of a torrent lies where: blocks held in memory, in the scratch file, in the files, and which of
//! that is durable. Reads and writes leave here as data; there are no file handles.
//!
//! Invariants: unverified bytes lie only in memory and in the scratch file, never in the files. A
//! have-record names a piece only after the piece was written and flushed. A scratch slot is used again
//! only after a durable record no longer names it. At most one durability cycle runs at a time:
//! write scratch, flush, record.

use bytes::{BufMut, Bytes, BytesMut};

use crate::bitfield::Bitfield;
use crate::sorted::{Map, Set};
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, PieceIndex};

/// A cycle begins when this many bytes would be lost by a crash (architecture.md, section 3: a group of
/// at most 1 MiB; half of it, because more arrives while the cycle runs).
pub const GROUP_BYTES: u64 = 512 * 1024;

/// Pieces of the newest records that are hashed again at a start.
const RECENT_PIECES: usize = 16;

const HAVE_VERSION: u8 = 1;
const SCRATCH_VERSION: u8 = 1;
/// Scratch slots that a record may name; more would not fit the budget of begun pieces.
const MAX_SLOTS: u32 = 4096;

/// One block in memory, not verified.
#[derive(Debug, Clone)]
pub struct HeldBlock {
    /// Its bytes.
    pub data: Bytes,
    /// Who sent it; `None` if restored from the scratch file.
    pub from: Option<ConnectionId>,
    /// It lies in the scratch file and was flushed and recorded.
    pub durable: bool,
    /// It was paid for in advance.
    pub advanced: bool,
    scratched: bool,
}

/// A piece begun and not verified.
#[derive(Debug)]
pub struct Partial {
    /// By block number.
    pub blocks: Vec<Option<HeldBlock>>,
    received: usize,
    slot: Option<u32>,
    /// Its hash is being taken, or its data written: nothing more is added.
    pub sealed: bool,
}

impl Partial {
    /// Every block is there.
    pub fn is_complete(&self) -> bool {
        self.received == self.blocks.len()
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.blocks
            .iter()
            .flatten()
            .map(|b| b.data.len() as u64)
            .sum()
    }

    /// Everybody who sent a part of it.
    pub fn senders(&self) -> Set<Option<ConnectionId>> {
        self.blocks.iter().flatten().map(|b| b.from).collect()
    }

    /// Its bytes in order. Only for a complete piece.
    pub fn chunks(&self) -> Vec<Bytes> {
        self.blocks
            .iter()
            .flatten()
            .map(|b| b.data.clone())
            .collect()
    }
}

/// A write into the scratch file.
#[derive(Debug, Clone)]
pub struct ScratchWrite {
    /// Byte in the file.
    pub offset: u64,
    /// One run of bytes.
    pub chunks: Vec<Bytes>,
}

/// What a restart finds in the scratch file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchEntry {
    /// Which slot; it begins at `slot * piece_length`.
    pub slot: u32,
    /// Which piece.
    pub piece: PieceIndex,
    /// Which of its blocks.
    pub blocks: Bitfield,
    /// Which of its blocks were paid for in advance.
    pub advanced: Bitfield,
}

/// What a have-record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaveRecord {
    /// Pieces verified, written and flushed.
    pub have: Bitfield,
    /// The newest of them: hashed again at a start.
    pub recent: Vec<PieceIndex>,
}

/// The two records of one durability cycle.
#[derive(Debug, Clone)]
pub struct CycleRecords {
    /// Encoded [`HaveRecord`].
    pub have: Bytes,
    /// Encoded scratch index.
    pub scratch: Bytes,
}

#[derive(Debug)]
enum Cycle {
    Idle,
    /// Waiting for the flush. `pieces` were being written or written when it began.
    Flushing {
        pieces: Set<PieceIndex>,
        blocks: Vec<(PieceIndex, usize)>,
    },
    /// Waiting for the record.
    Recording {
        pieces: Set<PieceIndex>,
        blocks: Vec<(PieceIndex, usize)>,
    },
}

/// One torrent's data on its way to durability.
#[derive(Debug)]
pub struct Store {
    piece_length: u32,
    total_length: u64,
    partials: Map<PieceIndex, Partial>,
    partial_bytes: u64,
    /// Slot of every piece that has one, also of verified pieces whose record is not durable yet.
    slots: Map<PieceIndex, u32>,
    retiring: Set<u32>,
    cycle: Cycle,
    undurable: u64,
    /// Written to the files, not recorded yet.
    unrecorded: Set<PieceIndex>,
    recorded: Bitfield,
    recent: Vec<PieceIndex>,
    /// Something besides blocks changed that a record should say (a piece was lost, a slot freed).
    record_stale: bool,
}

impl Store {
    /// Nothing held, nothing recorded.
    pub fn new(total_length: u64, piece_length: u32) -> Self {
        let pieces = total_length.div_ceil(u64::from(piece_length.max(1)));
        Store {
            piece_length: piece_length.max(1),
            total_length,
            partials: Map::new(),
            partial_bytes: 0,
            slots: Map::new(),
            retiring: Set::new(),
            cycle: Cycle::Idle,
            undurable: 0,
            unrecorded: Set::new(),
            recorded: Bitfield::empty(u32::try_from(pieces).unwrap_or(u32::MAX)),
            recent: Vec::new(),
            record_stale: false,
        }
    }

    /// Takes over what the records said, after a check against the files.
    pub fn restore_have(&mut self, have: &Bitfield) {
        self.recorded = have.clone();
    }

    /// Believes the edge that these pieces are in the files; the next record says so.
    pub fn adopt(&mut self, have: &Bitfield) {
        self.recorded = have.clone();
        self.record_stale = true;
    }

    /// A piece in the files was hashed and is right: the next record says so.
    pub fn found(&mut self, piece: PieceIndex) {
        if !self.recorded.contains(piece.0) {
            self.unrecorded.insert(piece);
        }
    }

    /// Takes a block back from the scratch file.
    pub fn restore_block(&mut self, slot: u32, block: BlockRef, data: Bytes, advanced: bool) {
        self.slots.insert(block.piece, slot);
        self.hold(
            block,
            HeldBlock {
                data,
                from: None,
                durable: true,
                advanced,
                scratched: true,
            },
        );
        if let Some(partial) = self.partials.get_mut(&block.piece) {
            partial.slot = Some(slot);
        }
    }

    /// A slot of the records that is not taken over.
    pub fn retire_slot(&mut self, slot: u32) {
        self.retiring.insert(slot);
        self.record_stale = true;
    }

    /// Holds a received block. `false`: it was there already, or its piece is sealed.
    pub fn add(&mut self, block: BlockRef, data: Bytes, from: ConnectionId) -> bool {
        let length = data.len() as u64;
        let added = self.hold(
            block,
            HeldBlock {
                data,
                from: Some(from),
                durable: false,
                advanced: false,
                scratched: false,
            },
        );
        if added {
            self.undurable += length;
        }
        added
    }

    fn hold(&mut self, block: BlockRef, held: HeldBlock) -> bool {
        let count = self.blocks_in(block.piece);
        let partial = self.partials.entry(block.piece).or_insert_with(|| Partial {
            blocks: vec![None; count],
            received: 0,
            slot: None,
            sealed: false,
        });
        let Some(place) = partial.blocks.get_mut((block.begin / BLOCK_LEN) as usize) else {
            return false;
        };
        if place.is_some() || partial.sealed {
            return false;
        }
        self.partial_bytes += held.data.len() as u64;
        *place = Some(held);
        partial.received += 1;
        true
    }

    /// A piece begun.
    pub fn partial(&self, piece: PieceIndex) -> Option<&Partial> {
        self.partials.get(&piece)
    }

    /// A piece begun.
    pub fn partial_mut(&mut self, piece: PieceIndex) -> Option<&mut Partial> {
        self.partials.get_mut(&piece)
    }

    /// All pieces begun.
    pub fn partials(&self) -> impl Iterator<Item = (PieceIndex, &Partial)> {
        self.partials.iter().map(|(p, partial)| (*p, partial))
    }

    /// Bytes of begun pieces in memory.
    pub fn partial_bytes(&self) -> u64 {
        self.partial_bytes
    }

    /// The piece verified and its write was emitted: memory may let go of it.
    pub fn written(&mut self, piece: PieceIndex) {
        self.drop_partial(piece);
        self.unrecorded.insert(piece);
    }

    /// The piece's data is wrong: memory and scratch let go of it.
    pub fn discard(&mut self, piece: PieceIndex) -> Option<Partial> {
        if let Some(slot) = self.slots.remove(&piece) {
            self.retire_slot(slot);
        }
        let (partial, lost) = self.take_partial(piece)?;
        self.undurable = self.undurable.saturating_sub(lost);
        Some(partial)
    }

    /// A piece in the files turned out to be missing or wrong.
    pub fn lost(&mut self, piece: PieceIndex) {
        self.unrecorded.remove(&piece);
        if piece.0 < self.recorded.len() && self.recorded.contains(piece.0) {
            self.recorded.remove(piece.0);
            self.record_stale = true;
        }
    }

    fn drop_partial(&mut self, piece: PieceIndex) {
        // What was not durable stays counted: it is so only once the piece's record is.
        let _ = self.take_partial(piece);
    }

    fn take_partial(&mut self, piece: PieceIndex) -> Option<(Partial, u64)> {
        let partial = self.partials.remove(&piece)?;
        self.partial_bytes = self.partial_bytes.saturating_sub(partial.bytes());
        let undurable = partial
            .blocks
            .iter()
            .flatten()
            .filter(|b| !b.durable)
            .map(|b| b.data.len() as u64)
            .sum();
        Some((partial, undurable))
    }

    /// Something would be lost by a crash.
    pub fn is_dirty(&self) -> bool {
        self.undurable > 0 || !self.unrecorded.is_empty() || self.record_stale
    }

    /// Enough would be lost by a crash for a cycle to begin now.
    pub fn wants_cycle(&self) -> bool {
        matches!(self.cycle, Cycle::Idle) && self.undurable >= GROUP_BYTES
    }

    /// No cycle runs.
    pub fn is_idle(&self) -> bool {
        matches!(self.cycle, Cycle::Idle)
    }

    /// Begins a cycle: what to write into the scratch file before the flush. `None` if one runs.
    pub fn begin_cycle(&mut self) -> Option<Vec<ScratchWrite>> {
        if !self.is_idle() {
            return None;
        }
        let mut writes = Vec::new();
        let mut blocks = Vec::new();
        let pieces: Vec<PieceIndex> = self.partials.keys().copied().collect();
        for piece in pieces {
            let dirty = self
                .partials
                .get(&piece)
                .is_some_and(|p| !p.sealed && p.blocks.iter().flatten().any(|b| !b.scratched));
            if !dirty {
                continue;
            }
            let Some(slot) = self.slot_for(piece) else {
                continue;
            };
            let start = u64::from(slot) * u64::from(self.piece_length);
            let Some(partial) = self.partials.get_mut(&piece) else {
                continue;
            };
            partial.slot = Some(slot);
            let mut run: Option<ScratchWrite> = None;
            for (number, block) in partial.blocks.iter_mut().enumerate() {
                match block {
                    Some(block) if !block.scratched => {
                        block.scratched = true;
                        blocks.push((piece, number));
                        let offset = start + number as u64 * u64::from(BLOCK_LEN);
                        run.get_or_insert_with(|| ScratchWrite {
                            offset,
                            chunks: Vec::new(),
                        })
                        .chunks
                        .push(block.data.clone());
                    }
                    _ => writes.extend(run.take()),
                }
            }
            writes.extend(run);
        }
        self.undurable = 0;
        self.record_stale = false;
        self.cycle = Cycle::Flushing {
            pieces: self.unrecorded.clone(),
            blocks,
        };
        Some(writes)
    }

    /// The flush is done: the records to put. `in_files` are the pieces whose writes are known to be done.
    pub fn flushed(&mut self, in_files: &Bitfield) -> Option<CycleRecords> {
        let Cycle::Flushing { pieces, blocks } = &mut self.cycle else {
            return None;
        };
        let pieces: Set<PieceIndex> = core::mem::take(pieces)
            .into_iter()
            .filter(|p| in_files.contains(p.0) && self.unrecorded.contains(p))
            .collect();
        let blocks = core::mem::take(blocks);
        for piece in &pieces {
            self.recorded.insert(piece.0);
            self.recent.push(*piece);
        }
        let excess = self.recent.len().saturating_sub(RECENT_PIECES);
        self.recent.drain(..excess);
        let newly: Set<(PieceIndex, usize)> = blocks.iter().copied().collect();
        let entries: Vec<ScratchEntry> = self
            .partials
            .iter()
            .filter_map(|(piece, partial)| {
                let slot = partial.slot?;
                let count = partial.blocks.len() as u32;
                let mut held = Bitfield::empty(count);
                let mut advanced = Bitfield::empty(count);
                for (number, block) in partial.blocks.iter().enumerate() {
                    if let Some(block) = block
                        && (block.durable || newly.contains(&(*piece, number)))
                    {
                        held.insert(number as u32);
                        if block.advanced {
                            advanced.insert(number as u32);
                        }
                    }
                }
                (held.count() > 0).then_some(ScratchEntry {
                    slot,
                    piece: *piece,
                    blocks: held,
                    advanced,
                })
            })
            .collect();
        let records = CycleRecords {
            have: encode_have(&HaveRecord {
                have: self.recorded.clone(),
                recent: self.recent.clone(),
            }),
            scratch: encode_scratch(&entries),
        };
        self.cycle = Cycle::Recording { pieces, blocks };
        Some(records)
    }

    /// The records are durable.
    pub fn recorded(&mut self) {
        let Cycle::Recording { pieces, blocks } = core::mem::replace(&mut self.cycle, Cycle::Idle)
        else {
            return;
        };
        for piece in pieces {
            self.unrecorded.remove(&piece);
            if !self.partials.contains_key(&piece)
                && let Some(slot) = self.slots.remove(&piece)
            {
                self.retiring.insert(slot);
            }
        }
        for (piece, number) in blocks {
            if let Some(Some(block)) = self
                .partials
                .get_mut(&piece)
                .and_then(|p| p.blocks.get_mut(number))
            {
                block.durable = true;
            }
        }
        // A slot retired before this cycle's records were made is named by none of them.
        if !self.record_stale {
            self.retiring.clear();
        }
    }

    /// A step of the cycle failed: everything it covered is undurable again.
    pub fn cycle_failed(&mut self) {
        if let Cycle::Flushing { pieces, blocks } | Cycle::Recording { pieces, blocks } =
            core::mem::replace(&mut self.cycle, Cycle::Idle)
        {
            for piece in pieces {
                if self.unrecorded.contains(&piece) {
                    self.recorded.remove(piece.0);
                }
            }
            for (piece, number) in blocks {
                if let Some(Some(block)) = self
                    .partials
                    .get_mut(&piece)
                    .and_then(|p| p.blocks.get_mut(number))
                {
                    block.scratched = false;
                }
            }
            self.record_stale = true;
        }
    }

    fn slot_for(&mut self, piece: PieceIndex) -> Option<u32> {
        if let Some(slot) = self.slots.get(&piece) {
            return Some(*slot);
        }
        let used: Set<u32> = self.slots.values().chain(&self.retiring).copied().collect();
        let slot = (0..MAX_SLOTS).find(|s| !used.contains(s))?;
        self.slots.insert(piece, slot);
        Some(slot)
    }

    fn blocks_in(&self, piece: PieceIndex) -> usize {
        let start = u64::from(piece.0) * u64::from(self.piece_length);
        let length = self
            .total_length
            .saturating_sub(start)
            .min(u64::from(self.piece_length));
        length.div_ceil(u64::from(BLOCK_LEN)) as usize
    }
}

/// Shape: version byte, number of bits (u32), bits, then u16 count and that many piece indices (u32).
fn encode_have(record: &HaveRecord) -> Bytes {
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

/// Reads a have-record for a torrent of `pieces` pieces; `None` if it is not one.
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

/// Shape: version byte, u16 count, then per entry slot u32, piece u32, number of blocks u32, two bitmaps.
fn encode_scratch(entries: &[ScratchEntry]) -> Bytes {
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

/// Reads a scratch index; `blocks_in` tells how many blocks a piece has, `None` for no such piece.
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

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: u32 = 4 * BLOCK_LEN;

    fn block(piece: u32, number: u32) -> BlockRef {
        BlockRef {
            piece: PieceIndex(piece),
            begin: number * BLOCK_LEN,
            length: BLOCK_LEN,
        }
    }

    fn data(byte: u8) -> Bytes {
        Bytes::from(vec![byte; BLOCK_LEN as usize])
    }

    fn store() -> Store {
        Store::new(u64::from(PIECE) * 8, PIECE)
    }

    fn entries(records: &CycleRecords) -> Vec<ScratchEntry> {
        decode_scratch(&records.scratch, |_| Some(4)).expect("own record")
    }

    #[test]
    fn a_cycle_makes_blocks_durable_only_after_the_record() {
        let mut store = store();
        assert!(store.add(block(2, 0), data(1), ConnectionId(1)));
        assert!(store.add(block(2, 1), data(2), ConnectionId(1)));
        assert!(!store.add(block(2, 1), data(3), ConnectionId(2)));
        let writes = store.begin_cycle().expect("idle");
        assert_eq!(writes.len(), 1, "neighbours are one write");
        assert_eq!(writes[0].chunks.len(), 2);
        assert!(store.begin_cycle().is_none(), "one cycle at a time");
        let durable = |s: &Store| {
            s.partial(PieceIndex(2))
                .and_then(|p| p.blocks[0].as_ref())
                .is_some_and(|b| b.durable)
        };
        let records = store.flushed(&Bitfield::empty(8)).expect("flushing");
        assert!(!durable(&store));
        store.recorded();
        assert!(durable(&store));
        let entries = entries(&records);
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].blocks.count(), 2);
        assert!(!store.is_dirty());
    }

    #[test]
    fn a_piece_is_recorded_only_if_its_write_is_known_to_be_done() {
        let mut store = store();
        store.add(block(0, 0), data(1), ConnectionId(1));
        store.written(PieceIndex(0));
        store.begin_cycle();
        let records = store.flushed(&Bitfield::empty(8)).expect("flushing");
        let have = decode_have(&records.have, 8).expect("own record");
        assert_eq!(have.have.count(), 0);
        store.recorded();
        assert!(store.is_dirty(), "the piece still waits for its record");
        let mut done = Bitfield::empty(8);
        done.insert(0);
        store.begin_cycle();
        let records = store.flushed(&done).expect("flushing");
        let have = decode_have(&records.have, 8).expect("own record");
        assert!(have.have.contains(0));
        assert_eq!(have.recent, [PieceIndex(0)]);
    }

    #[test]
    fn a_slot_is_used_again_only_after_a_record_without_it() {
        let mut store = store();
        store.add(block(0, 0), data(1), ConnectionId(1));
        let first = store.begin_cycle().expect("idle")[0].offset;
        store.flushed(&Bitfield::empty(8));
        store.recorded();
        store.discard(PieceIndex(0));
        store.add(block(1, 0), data(2), ConnectionId(1));
        let second = store.begin_cycle().expect("idle")[0].offset;
        assert_ne!(first, second, "the durable record still names slot 0");
        store.flushed(&Bitfield::empty(8));
        store.recorded();
        store.add(block(3, 0), data(2), ConnectionId(1));
        let third = store.begin_cycle().expect("idle")[0].offset;
        assert_eq!(first, third);
    }

    #[test]
    fn foreign_records_are_refused_not_believed() {
        assert!(decode_have(&[], 8).is_none());
        assert!(decode_have(&[1, 0, 0, 0, 9, 0, 0], 8).is_none());
        assert!(decode_scratch(&[1, 255, 255], |_| Some(4)).is_none());
    }
}
