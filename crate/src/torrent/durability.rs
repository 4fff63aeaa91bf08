//! The durability of one torrent: when a cycle begins, and what its steps were.
//!
//! Owns the store and the reasons for the next cycle. A cycle writes the scratch file, flushes if it is due, and puts
//! the two records (docs/decisions/001-records-before-flushes.md).

use super::{Context, EffectOwner, Phase, Purpose, Torrent, record_key};
use crate::bitfield::Bitfield;
use crate::io::{EffectError, StorageOp};
use crate::metainfo::Geometry;
use crate::pieces::{Partial, Pieces};
use crate::storage::{CycleBegun, CycleFor, CycleRecords, HaveRecord, Store};
use crate::time::{Duration, Timestamp};
use crate::types::PieceIndex;

/// What is not durable yet becomes so after this time even if it is little.
pub(super) const LAZY_CYCLE: Duration = Duration::from_secs(1);

/// What is to be durable, and since when it is not.
#[derive(Debug)]
pub(super) struct Cycles {
    store: Store,
    /// Something is not durable since.
    dirty_since: Option<Timestamp>,
    /// Something waits for all that is held to be flushed and recorded.
    flush_wanted: bool,
}

impl Cycles {
    pub(super) fn new(geometry: Geometry) -> Cycles {
        Cycles {
            store: Store::new(geometry),
            dirty_since: None,
            flush_wanted: false,
        }
    }

    // ---- what a restart finds

    /// Believes the edge that these pieces are in the files.
    pub(super) fn adopt(&mut self, have: &Bitfield) {
        self.store.adopt(have);
        self.flush_wanted = true;
    }

    pub(super) fn restore_have(&mut self, record: HaveRecord) {
        self.store.restore_have(record);
    }

    /// The blocks of a begun piece were taken back from this slot of the scratch file.
    pub(super) fn restore_slot(&mut self, slot: u32, piece: PieceIndex) {
        self.store.restore_slot(slot, piece);
    }

    /// A slot of the records is not taken over.
    pub(super) fn retire_slot(&mut self, slot: u32) {
        self.store.retire_slot(slot);
    }

    /// A piece in the files was hashed and is right.
    pub(super) fn found(&mut self, piece: PieceIndex) {
        self.store.found(piece);
    }

    /// The check has ended: what it changed is to be recorded.
    pub(super) fn checked(&mut self, now: Timestamp, pieces: &Pieces) {
        if self.store.is_dirty(pieces) {
            self.note_dirty(now);
        }
    }

    // ---- what happens to pieces

    /// Something came that is not durable.
    pub(super) fn note_dirty(&mut self, now: Timestamp) {
        self.dirty_since.get_or_insert(now);
    }

    /// A piece verified, and its write was asked for.
    pub(super) fn written(&mut self, now: Timestamp, piece: PieceIndex, partial: &Partial) {
        self.store.written(piece, partial);
        self.note_dirty(now);
    }

    /// What was begun of a piece is given up.
    pub(super) fn given_up(&mut self, piece: PieceIndex) {
        self.store.given_up(piece);
    }

    /// A piece is not in the files, or is wrong there. A record that names it is not to stand for long.
    pub(super) fn lost(&mut self, piece: PieceIndex) {
        self.flush_wanted |= self.store.lost(piece);
    }

    /// Somebody waits for blocks to be durable. A cycle that runs may bring it.
    pub(super) fn awaited(&mut self) {
        self.flush_wanted |= self.store.is_idle();
    }

    // ---- cycles

    fn begin(&mut self, now: Timestamp, pieces: &mut Pieces) -> Option<CycleBegun> {
        let old = self
            .dirty_since
            .is_some_and(|since| now >= since + LAZY_CYCLE);
        let why = if self.flush_wanted {
            CycleFor::Flush
        } else if old {
            CycleFor::Age
        } else if self.store.wants_cycle(pieces) {
            CycleFor::Group
        } else {
            return None;
        };
        let cycle = self.store.begin_cycle(why, pieces)?;
        self.flush_wanted = false;
        self.dirty_since = None;
        Some(cycle)
    }

    fn step_done(&mut self, cycle: u64, pieces: &Pieces) -> Option<CycleRecords> {
        self.store.step_done(cycle, pieces)
    }

    /// The records of a cycle are put.
    pub(super) fn recorded(&mut self, now: Timestamp, cycle: u64, pieces: &mut Pieces) {
        self.store.recorded(cycle, pieces);
        self.dirty_since = self.store.is_dirty(pieces).then_some(now);
    }

    fn failed(&mut self, now: Timestamp, cycle: u64, pieces: &mut Pieces) {
        self.store.cycle_failed(cycle, pieces);
        self.dirty_since = Some(now);
    }

    /// Asks for a cycle that ends with everything flushed and recorded. `false`: there is nothing to do, or it was
    /// asked for.
    fn make_soon(&mut self, pieces: &Pieces) -> bool {
        !self.store.is_settled(pieces) && !core::mem::replace(&mut self.flush_wanted, true)
    }

    /// Bytes that would be lost with the process now.
    pub(super) fn at_risk(&self, pieces: &Pieces) -> u64 {
        self.store.at_risk(pieces)
    }

    /// When a cycle is due though nothing comes in.
    pub(super) fn next_timeout(&self) -> Timestamp {
        let due = self.dirty_since.map(|since| since + LAZY_CYCLE);
        due.unwrap_or(Timestamp::NEVER)
    }
}

impl Torrent {
    /// Begins a cycle when enough would be lost by a crash, or little for long.
    pub(super) fn drive_durability(&mut self, ctx: &mut Context) {
        let Some(content) = &mut self.content else {
            return;
        };
        if matches!(content.phase, Phase::Opening) {
            return;
        }
        let Some(cycle) = content.cycles.begin(ctx.now, &mut content.pieces) else {
            return;
        };
        for write in cycle.writes {
            ctx.out.storage(
                self.info_hash,
                Purpose::WriteScratch(cycle.number),
                StorageOp::WriteScratch {
                    offset: write.offset,
                    chunks: write.chunks,
                },
            );
        }
        if cycle.flush {
            ctx.out.storage(
                self.info_hash,
                Purpose::Flush(cycle.number),
                StorageOp::Flush,
            );
        }
        if let Some(records) = cycle.records {
            self.put_cycle(ctx, cycle.number, records);
        }
    }

    /// The next pump begins a cycle that ends with everything flushed and recorded. False: there is nothing to do, or
    /// it was asked for already.
    pub fn make_durable_soon(&mut self) -> bool {
        let content = self.content.as_mut();
        content.is_some_and(|content| content.cycles.make_soon(&content.pieces))
    }

    /// A durability cycle is under way.
    pub fn is_recording(&self) -> bool {
        (self.content.as_ref()).is_some_and(|content| !content.cycles.store.is_idle())
    }

    /// Nothing would be lost now, whatever stops.
    pub fn is_durable(&self) -> bool {
        let content = self.content.as_ref();
        content.is_none_or(|content| content.cycles.store.is_settled(&content.pieces))
    }

    pub(super) fn cycle_step_done(&mut self, ctx: &mut Context, cycle: u64) {
        let content = self.content.as_mut();
        let records = content.and_then(|content| {
            let pieces = &content.pieces;
            content.cycles.step_done(cycle, pieces)
        });
        if let Some(records) = records {
            self.put_cycle(ctx, cycle, records);
        }
    }

    fn put_cycle(&mut self, ctx: &mut Context, cycle: u64, records: CycleRecords) {
        let have = (record_key(self.info_hash, "have"), Some(records.have));
        let scratch = (record_key(self.info_hash, "scratch"), Some(records.scratch));
        ctx.out.put_records(
            EffectOwner::Torrent(self.info_hash, Purpose::Record(cycle)),
            vec![have, scratch],
            records.durability,
        );
    }

    pub(super) fn cycle_failed(&mut self, ctx: &mut Context, cycle: u64, error: &EffectError) {
        if let Some(content) = &mut self.content {
            (content.cycles).failed(ctx.now, cycle, &mut content.pieces);
        }
        self.fail(
            ctx,
            format!("{error}: what was fetched may be fetched again; free space, then resume"),
        );
    }
}
