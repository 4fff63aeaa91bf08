//! The durability of one torrent: the slots of the scratch file, the records, and the cycles that write them.
//! [`Pieces`] knows where each block stands, and every call lends it. Writes leave here as data; there are no file
//! handles.
//!
//! Invariants:
//! - Unverified bytes lie only in memory and in the scratch file, never in the files.
//! - A have-record names a piece only after its write ended: that much is there after a process is killed. Until a
//!   flush that was asked for after that write ends, each record also names the piece among those to be hashed again: a
//!   flush is there after a loss of power.
//! - A scratch slot is used again only after a record that no longer names it was put. After a loss of power the record
//!   before it may come back.
//! - At most one durability cycle runs at a time: it writes the scratch file, flushes if that is due, and puts the
//!   records.
//! - A block from the scratch file blames no peer: a loss of power may have torn it.

mod records;

use bytes::Bytes;

use crate::bitfield::Bitfield;
use crate::metainfo::Geometry;
use crate::pieces::{Block, Partial, Pieces, Saved};
use crate::sorted::{Map, Set};
use crate::time::Duration;
use crate::types::{BLOCK_LEN, Durability, PieceIndex};

pub use records::{HaveRecord, ScratchEntry, decode_have, decode_scratch};
use records::{MAX_SLOTS, encode_have, encode_scratch};

/// A cycle begins when this many bytes would be lost with the process (docs/decisions/003-what-a-kill-may-cost.md). It
/// is less than 1 MiB, because more bytes arrive while the cycle runs.
pub const GROUP_BYTES: u64 = 768 * 1024;
/// The bytes of begun pieces that a cycle for [`GROUP_BYTES`] leaves in memory alone. The blocks that arrived last
/// mostly belong to pieces that are complete in a moment, and would be written twice.
const KEPT_BYTES: u64 = GROUP_BYTES / 2;
/// The least number of bytes that such a cycle must cover. It cannot cover pieces that are being hashed or written; a
/// later one does.
const LEAST_COVERED: u64 = GROUP_BYTES / 2;
/// The bytes that may be asked for or lost with the process at any rate; see [`Store::may_be_at_risk`].
const RISK_BYTES: u64 = 1024 * 1024;
/// The bytes that come in this time may be at risk besides. It covers a round trip and a durability cycle.
const RISK_TIME: Duration = Duration::from_millis(400);
/// The bytes that may be asked for or lost with the process at most.
pub const MOST_AT_RISK: u64 = 4 * 1024 * 1024;
/// A flush follows when this many bytes were written since the last one. After a loss of power they are fetched again.
pub const FLUSH_BYTES: u64 = 16 * 1024 * 1024;
/// A flush follows when this many pieces are not flushed. Each of them is hashed again at a start.
const MAX_UNFLUSHED: usize = 256;
/// At least this many of the newest recorded pieces are hashed again at a start, because a disk may lie about its
/// flushes.
const RECENT_PIECES: usize = 16;

/// A write into the scratch file.
#[derive(Debug, Clone)]
pub struct ScratchWrite {
    /// The offset in the scratch file, in bytes.
    pub offset: u64,
    /// One run of bytes, in parts.
    pub chunks: Vec<Bytes>,
}

/// The two records of one durability cycle.
#[derive(Debug, Clone)]
pub struct CycleRecords {
    /// The encoded [`HaveRecord`].
    pub have: Bytes,
    /// The encoded scratch index.
    pub scratch: Bytes,
    /// The loss that the records are to outlive: a loss of power if they follow a flush.
    pub durability: Durability,
}

/// The reason why a cycle begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CycleFor {
    /// Much would be lost with the process.
    Group,
    /// Something would be lost for long: the cycle writes everything that is held.
    Age,
    /// Everything is to outlive the machine: the cycle writes and flushes everything that is held.
    Flush,
}

/// The work that a cycle asks for. The caller reports the end of each write and of the flush by [`Store::step_done`]
/// with this number.
#[derive(Debug)]
pub struct CycleBegun {
    /// The number of the cycle, which its torrent counts from 1. Steps of an earlier cycle are ignored.
    pub number: u64,
    /// The writes into the scratch file.
    pub writes: Vec<ScratchWrite>,
    /// Whether a flush follows these writes and all that were asked for before.
    pub flush: bool,
    /// The records to put at once, if there is nothing to wait for.
    pub records: Option<CycleRecords>,
}

#[derive(Debug)]
enum Cycle {
    Idle,
    /// The cycle waits for this many writes and flushes.
    Writing(CycleWork, usize),
    /// The cycle waits for the records.
    Recording(CycleWork),
}

/// The pieces and blocks that a cycle covers.
#[derive(Debug, Default)]
struct CycleWork {
    /// The pieces to record. Their writes were asked for before the cycle began.
    pieces: Set<PieceIndex>,
    /// The blocks that the scratch index is to name.
    blocks: Vec<(PieceIndex, u32)>,
    /// The bytes of blocks that the cycle writes into the scratch file.
    bytes: u64,
    /// The pieces and the number of bytes that the flush covers; `None` without a flush.
    flush: Option<(Set<PieceIndex>, u64)>,
}

/// A piece in the files that no record names yet.
#[derive(Debug, Default)]
struct Unrecorded {
    /// The bytes of the piece that no record names in the scratch file.
    unsaved: u64,
    /// The piece's entry in the scratch index, which the index keeps until a record names the piece itself.
    leaving: Option<ScratchEntry>,
}

/// The data of one torrent on its way to durability.
#[derive(Debug)]
pub struct Store {
    geometry: Geometry,
    /// The slot of every piece that has one, also of verified pieces that no record names yet.
    slots: Map<PieceIndex, u32>,
    retiring: Set<u32>,
    cycle: Cycle,
    cycles: u64,
    /// Pieces that were written to the files and are not recorded yet.
    unrecorded: Map<PieceIndex, Unrecorded>,
    recorded: Bitfield,
    /// Recorded pieces, newest last: all that are not flushed, and some more.
    recent: Vec<PieceIndex>,
    /// Pieces whose write was asked for and that no ended flush covers.
    unflushed: Set<PieceIndex>,
    /// Pieces of `unflushed` that an earlier process wrote and that were not hashed again yet: no flush covers them.
    unchecked: Set<PieceIndex>,
    /// The bytes written into files and scratch file since the last flush.
    unflushed_bytes: u64,
    /// Whether a record should report a change besides blocks: a piece was lost, or a slot was freed.
    record_stale: bool,
}

impl Store {
    /// A store that has recorded nothing.
    pub fn new(geometry: Geometry) -> Self {
        Store {
            geometry,
            slots: Map::new(),
            retiring: Set::new(),
            cycle: Cycle::Idle,
            cycles: 0,
            unrecorded: Map::new(),
            recorded: Bitfield::empty(geometry.piece_count()),
            recent: Vec::new(),
            unflushed: Set::new(),
            unchecked: Set::new(),
            unflushed_bytes: 0,
            record_stale: false,
        }
    }

    /// Takes over a have-record. Its recent pieces count as not flushed: the earlier process may have ended before it
    /// flushed them.
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

    /// Believes the edge that these pieces are in the files. The next record names them.
    pub fn adopt(&mut self, have: &Bitfield) {
        self.recorded = have.clone();
        self.record_stale = true;
    }

    /// A piece in the files was hashed and is right. The next record names it.
    pub fn found(&mut self, piece: PieceIndex) {
        if self.unchecked.remove(&piece) {
            self.unflushed_bytes += self.length_of(piece);
        }
        if !self.recorded.contains(piece.0) {
            self.unrecorded.insert(piece, Unrecorded::default());
            self.note_unflushed(piece);
        }
    }

    fn note_unflushed(&mut self, piece: PieceIndex) {
        if self.unflushed.insert(piece) {
            self.unflushed_bytes += self.length_of(piece);
        }
    }

    /// The blocks of a begun piece were taken back from this slot of the scratch file.
    pub fn restore_slot(&mut self, slot: u32, piece: PieceIndex) {
        self.slots.insert(piece, slot);
    }

    /// Frees a slot of the earlier records that is not taken over.
    pub fn retire_slot(&mut self, slot: u32) {
        self.retiring.insert(slot);
        self.record_stale = true;
    }

    /// A piece is verified, and its write was asked for. `partial` is its state in memory before that.
    pub fn written(&mut self, piece: PieceIndex, partial: &Partial) {
        let newly = match &self.cycle {
            Cycle::Writing(work, _) | Cycle::Recording(work) => &work.blocks[..],
            Cycle::Idle => &[],
        };
        let leaving = self.named(piece, partial, &newly.iter().copied().collect());
        // Bytes that were not durable still count as such: they are durable only once the piece's record is.
        let unsaved = partial.unsaved();
        let written = Unrecorded { unsaved, leaving };
        self.unrecorded.insert(piece, written);
        self.note_unflushed(piece);
    }

    /// A begun piece was given up: its slot is freed.
    pub fn given_up(&mut self, piece: PieceIndex) {
        if let Some(slot) = self.slots.remove(&piece) {
            self.retire_slot(slot);
        }
    }

    /// A piece in the files turned out to be missing or wrong. Answers `true` if a record names it, which should not
    /// last.
    pub fn lost(&mut self, piece: PieceIndex) -> bool {
        let written = self.unrecorded.remove(&piece);
        self.record_stale |= written.is_some_and(|written| written.leaving.is_some());
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

    /// Whether anything would be lost with the process.
    pub fn is_dirty(&self, pieces: &Pieces) -> bool {
        self.undurable(pieces) > 0 || !self.unrecorded.is_empty() || self.record_stale
    }

    /// Whether nothing would be lost with the machine and no cycle is under way.
    pub fn is_settled(&self, pieces: &Pieces) -> bool {
        self.is_idle() && !self.is_dirty(pieces) && self.unflushed_bytes == 0
    }

    /// The bytes that may be asked for or lost with the process, at this many bytes per second. They are more than a
    /// cycle begins at, so that requests keep the links busy while the cycle runs.
    pub fn may_be_at_risk(per_second: u64) -> u64 {
        let soon = per_second.saturating_mul(RISK_TIME.as_millis() as u64) / 1_000;
        RISK_BYTES.saturating_add(soon).min(MOST_AT_RISK)
    }

    /// The bytes that would be lost with the process now. They are held in memory, being hashed or written, or covered
    /// by the running cycle, whose record is not put yet.
    pub fn at_risk(&self, pieces: &Pieces) -> u64 {
        let covered = self.work().map_or(0, |work| work.bytes);
        let written = self.unrecorded.values().map(|written| written.unsaved);
        pieces.unsaved_bytes() + covered + written.sum::<u64>()
    }

    /// The bytes that would be lost with the process once the running cycle has ended.
    fn undurable(&self, pieces: &Pieces) -> u64 {
        let covered = |piece: &PieceIndex| self.work().is_some_and(|w| w.pieces.contains(piece));
        let written = self.unrecorded.iter().filter(|(piece, _)| !covered(piece));
        pieces.unsaved_bytes() + written.map(|(_, written)| written.unsaved).sum::<u64>()
    }

    fn work(&self) -> Option<&CycleWork> {
        match &self.cycle {
            Cycle::Writing(work, _) | Cycle::Recording(work) => Some(work),
            Cycle::Idle => None,
        }
    }

    /// Whether a cycle should begin now, because enough would be lost with the process.
    pub fn wants_cycle(&self, pieces: &Pieces) -> bool {
        self.is_idle() && self.undurable(pieces) >= GROUP_BYTES
    }

    /// Whether no cycle runs.
    pub fn is_idle(&self) -> bool {
        matches!(self.cycle, Cycle::Idle)
    }

    /// Begins a cycle. `None` if one runs, or if a new one would cover too little to be worth it.
    #[inline(never)]
    pub fn begin_cycle(&mut self, why: CycleFor, pieces: &mut Pieces) -> Option<CycleBegun> {
        if !self.is_idle() {
            return None;
        }
        let keep = match why {
            CycleFor::Group => KEPT_BYTES,
            CycleFor::Age | CycleFor::Flush => 0,
        };
        let (stale, stale_bytes) = stalest(pieces, keep);
        let in_files = |piece: &PieceIndex| pieces.verified().contains(*piece);
        let written = self.unrecorded.iter().filter(|(piece, _)| in_files(piece));
        let written: u64 = written.map(|(_, written)| written.unsaved).sum();
        if why == CycleFor::Group && stale_bytes + written < LEAST_COVERED {
            return None;
        }
        let (writes, mut blocks) = self.write_scratch(pieces, &stale);
        let bytes = (writes.iter().flat_map(|write| &write.chunks))
            .map(|c| c.len() as u64)
            .sum();
        let flush = why == CycleFor::Flush
            || self.unflushed_bytes >= FLUSH_BYTES
            || self.unflushed.len() >= MAX_UNFLUSHED;
        if flush {
            // The flush covers the blocks that earlier cycles wrote, too.
            blocks = undurable_blocks(pieces);
        }
        let awaited = writes.len() + usize::from(flush);
        let in_files = |piece: &PieceIndex| pieces.verified().contains(*piece);
        let written = self.unrecorded.keys().copied();
        let unflushed = self.unflushed.iter().copied();
        let work = CycleWork {
            // A write or a flush that the cycle waits for comes after the writes of these pieces. If it waits for
            // nothing, the writes must have ended already.
            pieces: written
                .filter(|piece| awaited > 0 || in_files(piece))
                .collect(),
            blocks,
            bytes,
            flush: flush.then(|| {
                let checked = unflushed.filter(|p| !self.unchecked.contains(p));
                (checked.collect(), self.unflushed_bytes)
            }),
        };
        self.record_stale = false;
        self.cycles += 1;
        self.cycle = Cycle::Writing(work, awaited);
        Some(CycleBegun {
            number: self.cycles,
            writes,
            flush,
            records: (awaited == 0).then(|| self.records(pieces)).flatten(),
        })
    }

    /// Asks for the writes of these pieces into the scratch file, and names their blocks.
    fn write_scratch(
        &mut self,
        pieces: &mut Pieces,
        stale: &[PieceIndex],
    ) -> (Vec<ScratchWrite>, Vec<(PieceIndex, u32)>) {
        let mut writes = Vec::new();
        let mut blocks = Vec::new();
        for &piece in stale {
            let Some(slot) = self.slot_for(piece) else {
                continue;
            };
            let start = u64::from(slot) * u64::from(self.geometry.piece_length());
            let of_piece = blocks.len();
            let mut run: Option<ScratchWrite> = None;
            for (number, block) in (0..).zip(pieces.partial(piece).map_or(&[][..], Partial::blocks))
            {
                match block {
                    Block::Held(held) if held.saved == Saved::No => {
                        self.unflushed_bytes += held.data.len() as u64;
                        blocks.push((piece, number));
                        let offset = start + u64::from(number) * u64::from(BLOCK_LEN);
                        run.get_or_insert_with(|| ScratchWrite {
                            offset,
                            chunks: Vec::new(),
                        })
                        .chunks
                        .push(held.data.clone());
                    }
                    _ => writes.extend(run.take()),
                }
            }
            writes.extend(run);
            for (piece, number) in &blocks[of_piece..] {
                pieces.set_saved(*piece, *number, Saved::Asked);
            }
        }
        (writes, blocks)
    }

    /// One of a cycle's writes or its flush ended. After the last one, answers the records to put.
    pub fn step_done(&mut self, number: u64, pieces: &Pieces) -> Option<CycleRecords> {
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
        self.records(pieces)
    }

    fn records(&mut self, pieces: &Pieces) -> Option<CycleRecords> {
        let Cycle::Writing(mut work, _) = core::mem::replace(&mut self.cycle, Cycle::Idle) else {
            return None;
        };
        if let Some((flushed, bytes)) = work.flush.take() {
            self.unflushed.retain(|p| !flushed.contains(p));
            self.unflushed_bytes = self.unflushed_bytes.saturating_sub(bytes);
            work.flush = Some((Set::new(), 0));
        }
        let known =
            |p: &PieceIndex| pieces.verified().contains(*p) && self.unrecorded.contains_key(p);
        work.pieces = core::mem::take(&mut work.pieces)
            .into_iter()
            .filter(known)
            .collect();
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
        let newly: Set<(PieceIndex, u32)> = work.blocks.iter().copied().collect();
        let begun = pieces.partials();
        let begun = begun.filter_map(|(piece, partial)| self.named(piece, partial, &newly));
        let leaving = self
            .unrecorded
            .iter()
            .filter(|(p, _)| !work.pieces.contains(*p));
        let leaving = leaving.filter_map(|(_, written)| written.leaving.clone());
        let entries: Vec<ScratchEntry> = begun.chain(leaving).collect();
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

    /// The records of a cycle are put.
    pub fn recorded(&mut self, number: u64, pieces: &mut Pieces) {
        if number != self.cycles || !matches!(self.cycle, Cycle::Recording(_)) {
            return;
        }
        let Cycle::Recording(work) = core::mem::replace(&mut self.cycle, Cycle::Idle) else {
            return;
        };
        for piece in work.pieces {
            self.unrecorded.remove(&piece);
            if pieces.partial(piece).is_none()
                && let Some(slot) = self.slots.remove(&piece)
            {
                self.retiring.insert(slot);
            }
        }
        let saved = match work.flush {
            Some(_) => Saved::Flushed,
            None => Saved::Recorded,
        };
        for (piece, number) in work.blocks {
            // A block that came anew meanwhile, after its piece was given up, was not written.
            let held = pieces
                .partial(piece)
                .and_then(|partial| partial.held_block(number));
            if held.is_some_and(|held| held.saved >= Saved::Asked) {
                pieces.set_saved(piece, number, saved);
            }
        }
        // These records name no slot that was retired before they were made.
        if !self.record_stale {
            self.retiring.clear();
        }
    }

    /// A step of a cycle failed: everything that the cycle covered counts as not durable again.
    pub fn cycle_failed(&mut self, number: u64, pieces: &mut Pieces) {
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
            let held = pieces.partial(piece).and_then(|p| p.held_block(number));
            if let Some(held) = held {
                if held.saved == Saved::Asked {
                    pieces.set_saved(piece, number, Saved::No);
                }
            } else if let Some(written) = self.unrecorded.get_mut(&piece)
                && let Some(entry) = &mut written.leaving
            {
                entry.blocks.remove(number);
                let block = self.geometry.block(piece, number);
                written.unsaved += block.map_or(0, |block| u64::from(block.length));
            }
        }
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
        u64::from(self.geometry.piece_len(piece).unwrap_or(0))
    }

    /// The entry of a begun piece in the scratch index: its blocks that earlier records name, and those of this one.
    fn named(
        &self,
        piece: PieceIndex,
        partial: &Partial,
        newly: &Set<(PieceIndex, u32)>,
    ) -> Option<ScratchEntry> {
        let slot = *self.slots.get(&piece)?;
        let count = partial.blocks().len() as u32;
        let mut blocks = Bitfield::empty(count);
        let mut advanced = Bitfield::empty(count);
        for (number, held) in partial.held() {
            let is_newly = || held.saved == Saved::Asked && newly.contains(&(piece, number));
            if held.saved >= Saved::Recorded || is_newly() {
                blocks.insert(number);
                if held.advanced {
                    advanced.insert(number);
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
}

/// The begun pieces with bytes in memory alone, with the sum of these bytes. The pieces that grew last stay out, as far
/// as they have no more than `keep` such bytes together.
fn stalest(pieces: &Pieces, keep: u64) -> (Vec<PieceIndex>, u64) {
    let mut dirty: Vec<(u64, PieceIndex, u64)> = (pieces.partials())
        .filter(|(_, partial)| !partial.is_sealed())
        .map(|(piece, partial)| (partial.grew_at(), piece, partial.unsaved()))
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

/// The blocks that were written into the scratch file and are not flushed since.
fn undurable_blocks(pieces: &Pieces) -> Vec<(PieceIndex, u32)> {
    let mut blocks = Vec::new();
    for (piece, partial) in pieces.partials() {
        let written = partial.held();
        let written = written.filter(|(_, h)| matches!(h.saved, Saved::Asked | Saved::Recorded));
        blocks.extend(written.map(|(number, _)| (piece, number)));
    }
    blocks
}

#[cfg(test)]
mod tests;
