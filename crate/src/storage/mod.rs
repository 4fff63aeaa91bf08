//! What of a torrent lies where: blocks held in memory, in the scratch file, in the files, and which of
//! that outlives what. Reads and writes leave here as data; there are no file handles.
//!
//! Invariants: unverified bytes lie only in memory and in the scratch file, never in the files. A
//! have-record names a piece only after its write was done, which is what a killed process leaves behind; until a
//! flush that was asked for after that write is done, which is what a machine without power leaves behind, each
//! record also names it among those to be hashed again. A scratch slot is used again only after a record that no
//! longer names it was put; without power the one before may come back. At most one durability cycle runs at a time: write scratch, flush if it is due, record.
//! What comes back from the scratch file blames nobody: without power it may be torn.

mod records;

use bytes::Bytes;

use crate::bitfield::Bitfield;
use crate::sorted::{Map, Set};
use crate::time::Duration;
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, Durability, PieceIndex};

pub use records::{HaveRecord, ScratchEntry, decode_have, decode_scratch};
use records::{MAX_SLOTS, encode_have, encode_scratch};

/// A cycle begins when this many bytes would be lost with the process (docs/decisions/003-what-a-kill-may-cost.md); less
/// than 1 MiB, because more arrives while the cycle runs.
pub const GROUP_BYTES: u64 = 768 * 1024;
/// Of the begun pieces, a cycle that begins for the sake of [`GROUP_BYTES`] leaves this much in memory alone: what
/// arrived last mostly belongs to pieces that are complete in a moment, and would be written twice.
const KEPT_BYTES: u64 = GROUP_BYTES / 2;
/// So much such a cycle must cover: what is being hashed or written cannot be, and is covered by a later one.
const LEAST_COVERED: u64 = GROUP_BYTES / 2;
/// What arrived and would be lost with the process may be so much, together with what peers are asked for ...
const RISK_BYTES: u64 = 1024 * 1024;
/// ... and with what comes in this time: round trip, and durability cycle; ...
const RISK_TIME: Duration = Duration::from_millis(400);
/// ... but never more than this.
pub const MOST_AT_RISK: u64 = 4 * 1024 * 1024;
/// What was written is flushed when it is this much: without power that is fetched again.
pub const FLUSH_BYTES: u64 = 16 * 1024 * 1024;
/// Or when it is this many pieces: each is hashed again at a start.
const MAX_UNFLUSHED: usize = 256;
/// At least so many of the newest recorded pieces are hashed again at a start: a disk may lie about its flushes.
const RECENT_PIECES: usize = 16;

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
    /// Its write into the scratch file was asked for.
    scratched: bool,
    /// A record names it.
    recorded: bool,
}

/// A piece begun and not verified.
#[derive(Debug)]
pub struct Partial {
    /// By block number.
    pub blocks: Vec<Option<HeldBlock>>,
    received: usize,
    slot: Option<u32>,
    /// When its newest block came, counted in blocks.
    grew_at: u64,
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

    /// Bytes that lie in memory alone.
    fn unsaved(&self) -> u64 {
        let unsaved = self.blocks.iter().flatten().filter(|b| !b.scratched);
        unsaved.map(|b| b.data.len() as u64).sum()
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

/// The two records of one durability cycle.
#[derive(Debug, Clone)]
pub struct CycleRecords {
    /// Encoded [`HaveRecord`].
    pub have: Bytes,
    /// Encoded scratch index.
    pub scratch: Bytes,
    /// What they are to outlive: a loss of power, if they follow a flush.
    pub durability: Durability,
}

/// Why a cycle begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CycleFor {
    /// Much would be lost with the process.
    Group,
    /// Something would be lost for long: all that is held is written.
    Age,
    /// All of it is to outlive the machine: all that is held is written, and flushed.
    Flush,
}

/// What a cycle asks for; the end of each write and of the flush is told by [`Store::step_done`] with this number.
#[derive(Debug)]
pub struct CycleBegun {
    /// Number of the cycle, counted by its torrent from 1; steps of an earlier cycle are ignored.
    pub number: u64,
    /// Into the scratch file.
    pub writes: Vec<ScratchWrite>,
    /// After these writes, and all that were asked for before.
    pub flush: bool,
    /// There is nothing to wait for: the records to put at once.
    pub records: Option<CycleRecords>,
}

#[derive(Debug)]
enum Cycle {
    Idle,
    /// Waiting for so many writes into the scratch file and flushes.
    Writing(CycleWork, usize),
    /// Waiting for the record.
    Recording(CycleWork),
}

/// What a cycle covers.
#[derive(Debug, Default)]
struct CycleWork {
    /// To be recorded: their writes were asked for before the cycle began.
    pieces: Set<PieceIndex>,
    /// To be named as lying in the scratch file.
    blocks: Vec<(PieceIndex, usize)>,
    /// The flush covers these pieces and so many bytes; `None` without one.
    flush: Option<(Set<PieceIndex>, u64)>,
}

/// One torrent's data on its way to durability.
#[derive(Debug)]
pub struct Store {
    piece_length: u32,
    total_length: u64,
    partials: Map<PieceIndex, Partial>,
    partial_bytes: u64,
    /// Blocks ever held.
    blocks_held: u64,
    /// Slot of every piece that has one, also of verified pieces whose record is not put yet.
    slots: Map<PieceIndex, u32>,
    retiring: Set<u32>,
    cycle: Cycle,
    cycles: u64,
    /// What would be lost with the process, without what the running cycle covers.
    undurable: u64,
    /// What would be lost with the process now: what arrived and no record names that was put.
    at_risk: u64,
    /// Written to the files, not recorded yet; how many of its bytes no record knows in the scratch file.
    unrecorded: Map<PieceIndex, u64>,
    /// What the scratch file holds of those: named until they are recorded themselves.
    leaving: Map<PieceIndex, ScratchEntry>,
    recorded: Bitfield,
    /// Recorded pieces, newest last: all that are not flushed, and some more.
    recent: Vec<PieceIndex>,
    /// Their writes were asked for, and no flush after that is done.
    unflushed: Set<PieceIndex>,
    /// Those of them that an earlier process wrote and that were not hashed again yet: no flush covers them.
    unchecked: Set<PieceIndex>,
    /// Bytes written into files and scratch file since the last flush.
    unflushed_bytes: u64,
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
            blocks_held: 0,
            slots: Map::new(),
            retiring: Set::new(),
            cycle: Cycle::Idle,
            cycles: 0,
            undurable: 0,
            at_risk: 0,
            unrecorded: Map::new(),
            leaving: Map::new(),
            recorded: Bitfield::empty(u32::try_from(pieces).unwrap_or(u32::MAX)),
            recent: Vec::new(),
            unflushed: Set::new(),
            unchecked: Set::new(),
            unflushed_bytes: 0,
            record_stale: false,
        }
    }

    /// Takes over what a have-record said. Its recent pieces count as not flushed: an earlier process may have written
    /// them and never come to it.
    pub fn restore_have(&mut self, record: HaveRecord) {
        self.recorded = record.have;
        for piece in record.recent {
            if piece.0 < self.recorded.len() && self.recorded.contains(piece.0) {
                self.recent.push(piece);
                self.unflushed.insert(piece);
                self.unchecked.insert(piece);
            }
        }
    }

    /// Believes the edge that these pieces are in the files; the next record says so.
    pub fn adopt(&mut self, have: &Bitfield) {
        self.recorded = have.clone();
        self.record_stale = true;
    }

    /// A piece in the files was hashed and is right: the next record says so.
    pub fn found(&mut self, piece: PieceIndex) {
        if self.unchecked.remove(&piece) {
            self.unflushed_bytes += self.length_of(piece);
        }
        if !self.recorded.contains(piece.0) {
            self.unrecorded.insert(piece, 0);
            self.note_unflushed(piece);
        }
    }

    fn note_unflushed(&mut self, piece: PieceIndex) {
        if self.unflushed.insert(piece) {
            self.unflushed_bytes += self.length_of(piece);
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
                durable: false,
                advanced,
                scratched: true,
                recorded: true,
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
                recorded: false,
            },
        );
        if added {
            self.undurable += length;
            self.at_risk += length;
        }
        added
    }

    fn hold(&mut self, block: BlockRef, held: HeldBlock) -> bool {
        let count = self.blocks_in(block.piece);
        let partial = self.partials.entry(block.piece).or_insert_with(|| Partial {
            blocks: vec![None; count],
            received: 0,
            slot: None,
            grew_at: 0,
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
        self.blocks_held += 1;
        partial.grew_at = self.blocks_held;
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
        let mut unsaved = 0;
        if let Some(partial) = self.take_partial(piece) {
            // What was not durable stays counted: it is so only once the piece's record is.
            unsaved = partial.unsaved();
            let newly = match &self.cycle {
                Cycle::Writing(work, _) | Cycle::Recording(work) => &work.blocks[..],
                Cycle::Idle => &[],
            };
            if let Some(entry) = named(piece, &partial, &newly.iter().copied().collect()) {
                self.leaving.insert(piece, entry);
            }
        }
        self.unrecorded.insert(piece, unsaved);
        self.note_unflushed(piece);
    }

    /// The piece's data is wrong: memory and scratch let go of it.
    pub fn discard(&mut self, piece: PieceIndex) -> Option<Partial> {
        if let Some(slot) = self.slots.remove(&piece) {
            self.retire_slot(slot);
        }
        let partial = self.take_partial(piece)?;
        // What the running cycle covers of it counts until that ends.
        self.no_longer_at_risk(partial.unsaved());
        Some(partial)
    }

    /// A piece in the files turned out to be missing or wrong. True: a record names it, and should not for long.
    pub fn lost(&mut self, piece: PieceIndex) -> bool {
        if let Some(unsaved) = self.unrecorded.remove(&piece) {
            self.no_longer_at_risk(unsaved);
        }
        if self.leaving.remove(&piece).is_some() {
            self.record_stale = true;
        }
        self.unflushed.remove(&piece);
        self.unchecked.remove(&piece);
        self.recent.retain(|recent| *recent != piece);
        if piece.0 < self.recorded.len() && self.recorded.contains(piece.0) {
            self.recorded.remove(piece.0);
            self.record_stale = true;
            return true;
        }
        false
    }

    fn no_longer_at_risk(&mut self, bytes: u64) {
        self.undurable = self.undurable.saturating_sub(bytes);
        self.at_risk = self.at_risk.saturating_sub(bytes);
    }

    fn take_partial(&mut self, piece: PieceIndex) -> Option<Partial> {
        let partial = self.partials.remove(&piece)?;
        self.partial_bytes = self.partial_bytes.saturating_sub(partial.bytes());
        Some(partial)
    }

    /// Something would be lost with the process.
    pub fn is_dirty(&self) -> bool {
        self.undurable > 0 || !self.unrecorded.is_empty() || self.record_stale
    }

    /// Nothing would be lost with the machine, nor is there a cycle under way.
    pub fn is_settled(&self) -> bool {
        self.is_idle() && !self.is_dirty() && self.unflushed_bytes == 0
    }

    /// How much may be lost with the process or be asked for, at so many bytes per second. More than a cycle begins at:
    /// what is asked for while it runs keeps the links busy.
    pub fn may_be_at_risk(per_second: u64) -> u64 {
        let soon = per_second.saturating_mul(RISK_TIME.as_millis() as u64) / 1_000;
        RISK_BYTES.saturating_add(soon).min(MOST_AT_RISK)
    }

    /// Bytes that would be lost with the process now: held in memory, being hashed or written, and what the running
    /// cycle covers, for its record is not put yet.
    pub fn at_risk(&self) -> u64 {
        self.at_risk
    }

    /// Enough would be lost with the process for a cycle to begin now.
    pub fn wants_cycle(&self) -> bool {
        self.is_idle() && self.undurable >= GROUP_BYTES
    }

    /// No cycle runs.
    pub fn is_idle(&self) -> bool {
        matches!(self.cycle, Cycle::Idle)
    }

    /// Begins a cycle. `in_files` are the pieces whose writes are known to be done. `None` if one runs, or if one would
    /// cover too little to be worth it.
    pub fn begin_cycle(&mut self, why: CycleFor, in_files: &Bitfield) -> Option<CycleBegun> {
        if !self.is_idle() {
            return None;
        }
        let keep = match why {
            CycleFor::Group => KEPT_BYTES,
            CycleFor::Age | CycleFor::Flush => 0,
        };
        let (stale, stale_bytes) = self.stalest(keep);
        let written = (self.unrecorded.iter()).filter(|(p, _)| in_files.contains(p.0));
        let covered = stale_bytes + written.map(|(_, unsaved)| *unsaved).sum::<u64>();
        if why == CycleFor::Group && covered < LEAST_COVERED {
            return None;
        }
        let (writes, mut blocks) = self.write_scratch(&stale);
        let flush = why == CycleFor::Flush
            || self.unflushed_bytes >= FLUSH_BYTES
            || self.unflushed.len() >= MAX_UNFLUSHED;
        if flush {
            // It covers what earlier cycles wrote, too.
            blocks = self.undurable_blocks();
        }
        let awaited = writes.len() + usize::from(flush);
        let pieces = self.unrecorded.keys().copied();
        let unflushed = self.unflushed.iter().copied();
        let work = CycleWork {
            // Whatever is awaited comes after these writes; where nothing is, they must be done already.
            pieces: pieces
                .filter(|p| awaited > 0 || in_files.contains(p.0))
                .collect(),
            blocks,
            flush: flush.then(|| {
                let checked = unflushed.filter(|p| !self.unchecked.contains(p));
                (checked.collect(), self.unflushed_bytes)
            }),
        };
        self.record_stale = false;
        self.cycles += 1;
        self.undurable = self.beyond(&work.pieces);
        self.cycle = Cycle::Writing(work, awaited);
        Some(CycleBegun {
            number: self.cycles,
            writes,
            flush,
            records: (awaited == 0).then(|| self.records(in_files)).flatten(),
        })
    }

    /// Begun pieces with bytes in memory alone, without those that grew last and have no more than `keep` of them
    /// together; and how many bytes that are.
    fn stalest(&self, keep: u64) -> (Vec<PieceIndex>, u64) {
        let mut dirty: Vec<(u64, PieceIndex, u64)> = (self.partials.iter())
            .filter(|(_, partial)| !partial.sealed)
            .map(|(piece, partial)| (partial.grew_at, *piece, partial.unsaved()))
            .filter(|(_, _, unsaved)| *unsaved > 0)
            .collect();
        dirty.sort_unstable();
        let mut left: u64 = dirty.iter().map(|(_, _, unsaved)| unsaved).sum();
        let mut bytes = 0;
        let mut stale = Vec::new();
        for (_, piece, unsaved) in dirty {
            if left <= keep {
                break;
            }
            left -= unsaved;
            bytes += unsaved;
            stale.push(piece);
        }
        (stale, bytes)
    }

    /// What to write into the scratch file of these pieces, and which blocks that are.
    fn write_scratch(
        &mut self,
        pieces: &[PieceIndex],
    ) -> (Vec<ScratchWrite>, Vec<(PieceIndex, usize)>) {
        let mut writes = Vec::new();
        let mut blocks = Vec::new();
        for piece in pieces {
            let Some(slot) = self.slot_for(*piece) else {
                continue;
            };
            let start = u64::from(slot) * u64::from(self.piece_length);
            let Some(partial) = self.partials.get_mut(piece) else {
                continue;
            };
            partial.slot = Some(slot);
            let mut run: Option<ScratchWrite> = None;
            for (number, block) in partial.blocks.iter_mut().enumerate() {
                match block {
                    Some(block) if !block.scratched => {
                        block.scratched = true;
                        self.unflushed_bytes += block.data.len() as u64;
                        blocks.push((*piece, number));
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
        (writes, blocks)
    }

    fn undurable_blocks(&self) -> Vec<(PieceIndex, usize)> {
        let of = |(piece, partial): (&PieceIndex, &Partial)| {
            let piece = *piece;
            let blocks = partial.blocks.iter().enumerate();
            let written = blocks
                .filter(|(_, b)| b.as_ref().is_some_and(|b| b.scratched && !b.durable))
                .map(move |(number, _)| (piece, number));
            written.collect::<Vec<_>>()
        };
        self.partials.iter().flat_map(of).collect()
    }

    /// What would be lost with the process once `covered` are recorded.
    fn beyond(&self, covered: &Set<PieceIndex>) -> u64 {
        let held: u64 = self.partials.values().map(Partial::unsaved).sum();
        let written = self.unrecorded.iter().filter(|(p, _)| !covered.contains(p));
        held + written.map(|(_, unsaved)| *unsaved).sum::<u64>()
    }

    /// One of a cycle's writes or its flush is done. After the last one: the records to put.
    pub fn step_done(&mut self, number: u64, in_files: &Bitfield) -> Option<CycleRecords> {
        let Cycle::Writing(_, awaited) = &mut self.cycle else {
            return None;
        };
        if number != self.cycles {
            return None;
        }
        *awaited -= 1;
        if *awaited > 0 {
            return None;
        }
        self.records(in_files)
    }

    fn records(&mut self, in_files: &Bitfield) -> Option<CycleRecords> {
        let Cycle::Writing(mut work, _) = core::mem::replace(&mut self.cycle, Cycle::Idle) else {
            return None;
        };
        if let Some((flushed, bytes)) = work.flush.take() {
            self.unflushed.retain(|p| !flushed.contains(p));
            self.unflushed_bytes = self.unflushed_bytes.saturating_sub(bytes);
            work.flush = Some((Set::new(), 0));
        }
        let known = |p: &PieceIndex| in_files.contains(p.0) && self.unrecorded.contains_key(p);
        work.pieces = core::mem::take(&mut work.pieces)
            .into_iter()
            .filter(known)
            .collect();
        self.undurable = self.beyond(&work.pieces);
        for piece in &work.pieces {
            self.recorded.insert(piece.0);
            self.recent.push(*piece);
        }
        let newest = self.recent.len().saturating_sub(RECENT_PIECES);
        let mut at = 0;
        let unflushed = &self.unflushed;
        self.recent.retain(|piece| {
            at += 1;
            at > newest || unflushed.contains(piece)
        });
        let newly: Set<(PieceIndex, usize)> = work.blocks.iter().copied().collect();
        let leaving = self.leaving.iter();
        let entries: Vec<ScratchEntry> = (self.partials.iter())
            .filter_map(|(piece, partial)| named(*piece, partial, &newly))
            .chain(
                leaving
                    .filter(|(piece, _)| !work.pieces.contains(*piece))
                    .map(|(_, entry)| entry.clone()),
            )
            .collect();
        let records = CycleRecords {
            have: encode_have(&HaveRecord {
                have: self.recorded.clone(),
                recent: self.recent.clone(),
            }),
            scratch: encode_scratch(&entries),
            durability: match work.flush {
                Some(_) => Durability::PowerLoss,
                None => Durability::Process,
            },
        };
        self.cycle = Cycle::Recording(work);
        Some(records)
    }

    /// The records are put.
    pub fn recorded(&mut self, number: u64) {
        if number != self.cycles || !matches!(self.cycle, Cycle::Recording(_)) {
            return;
        }
        let Cycle::Recording(work) = core::mem::replace(&mut self.cycle, Cycle::Idle) else {
            return;
        };
        for piece in work.pieces {
            self.unrecorded.remove(&piece);
            self.leaving.remove(&piece);
            if !self.partials.contains_key(&piece)
                && let Some(slot) = self.slots.remove(&piece)
            {
                self.retiring.insert(slot);
            }
        }
        for (piece, number) in work.blocks {
            if let Some(Some(block)) = self
                .partials
                .get_mut(&piece)
                .and_then(|p| p.blocks.get_mut(number))
            {
                block.recorded = true;
                block.durable = work.flush.is_some();
            }
        }
        self.undurable = self.beyond(&Set::new());
        self.at_risk = self.undurable;
        // A slot retired before this cycle's records were made is named by none of them.
        if !self.record_stale {
            self.retiring.clear();
        }
    }

    /// A step of a cycle failed: everything it covered would be lost again.
    pub fn cycle_failed(&mut self, number: u64) {
        if number != self.cycles {
            return;
        }
        let recording = matches!(self.cycle, Cycle::Recording(_));
        let (Cycle::Writing(work, _) | Cycle::Recording(work)) =
            core::mem::replace(&mut self.cycle, Cycle::Idle)
        else {
            return;
        };
        for piece in work.pieces {
            if recording && self.unrecorded.contains_key(&piece) {
                self.recorded.remove(piece.0);
                self.recent.retain(|recent| *recent != piece);
            }
        }
        for (piece, number) in work.blocks {
            if let Some(Some(block)) = self
                .partials
                .get_mut(&piece)
                .and_then(|p| p.blocks.get_mut(number))
            {
                block.scratched = block.recorded;
            } else if let Some(entry) = self.leaving.get_mut(&piece) {
                entry.blocks.remove(number as u32);
                let begin = number as u64 * u64::from(BLOCK_LEN);
                let length = self.length_of(piece).saturating_sub(begin);
                if let Some(unsaved) = self.unrecorded.get_mut(&piece) {
                    *unsaved += length.min(u64::from(BLOCK_LEN));
                }
            }
        }
        self.undurable = self.beyond(&Set::new());
        self.at_risk = self.undurable;
        self.record_stale = true;
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

    fn length_of(&self, piece: PieceIndex) -> u64 {
        let start = u64::from(piece.0) * u64::from(self.piece_length);
        self.total_length
            .saturating_sub(start)
            .min(u64::from(self.piece_length))
    }

    fn blocks_in(&self, piece: PieceIndex) -> usize {
        self.length_of(piece).div_ceil(u64::from(BLOCK_LEN)) as usize
    }
}

/// A piece begun, as the scratch index names it: blocks of earlier records, and of this one.
fn named(
    piece: PieceIndex,
    partial: &Partial,
    newly: &Set<(PieceIndex, usize)>,
) -> Option<ScratchEntry> {
    let slot = partial.slot?;
    let count = partial.blocks.len() as u32;
    let mut blocks = Bitfield::empty(count);
    let mut advanced = Bitfield::empty(count);
    for (number, block) in partial.blocks.iter().enumerate() {
        if let Some(block) = block
            && (block.recorded || newly.contains(&(piece, number)))
        {
            blocks.insert(number as u32);
            if block.advanced {
                advanced.insert(number as u32);
            }
        }
    }
    (blocks.count() > 0).then_some(ScratchEntry {
        slot,
        piece,
        blocks,
        advanced,
    })
}

#[cfg(test)]
mod tests;
