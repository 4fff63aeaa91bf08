//! The lifetimes of blocks, pieces and slots over cycles that end, fail and overlap.

use super::*;
use crate::pieces::{GiveUp, Taken};
use crate::time::Timestamp;
use crate::types::{BlockRef, ConnectionId};

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

/// A store with the pieces that it looks at.
struct Store {
    saves: super::Store,
    pieces: Pieces,
}

impl Store {
    fn new(pieces: u32, piece_length: u32) -> Store {
        let total = u64::from(pieces) * u64::from(piece_length);
        let geometry = Geometry::new(total, piece_length).expect("sizes");
        Store {
            saves: super::Store::new(geometry),
            pieces: Pieces::new(geometry),
        }
    }

    /// A block came. Answers `false` if it is here already.
    fn add(&mut self, block: BlockRef, data: Bytes) -> bool {
        self.pieces.begin(Timestamp::ZERO, block.piece, false);
        let conn = ConnectionId(1);
        let taken = (self.pieces).receive(Timestamp::ZERO, conn, block, &data);
        taken != Some(Taken::Duplicate)
    }

    /// A piece is verified, and its write was asked for.
    fn written(&mut self, piece: PieceIndex) {
        let proof = self
            .pieces
            .check(piece, &[1; 20], &[1; 20])
            .expect("equal digests");
        let partial = self.pieces.write(proof).expect("begun");
        self.saves.written(piece, &partial);
    }

    /// The writes of these pieces are done.
    fn in_files(&mut self, pieces: impl IntoIterator<Item = u32>) {
        for piece in pieces {
            self.pieces.written(PieceIndex(piece));
        }
    }

    fn discard(&mut self, piece: PieceIndex) {
        self.pieces.give_up(piece, GiveUp::Drop);
        self.saves.given_up(piece);
    }

    fn begin_cycle(&mut self, why: CycleFor) -> Option<CycleBegun> {
        self.saves.begin_cycle(why, &mut self.pieces)
    }

    fn step_done(&mut self, number: u64) -> Option<CycleRecords> {
        self.saves.step_done(number, &self.pieces)
    }

    fn recorded(&mut self, number: u64) {
        self.saves.recorded(number, &mut self.pieces);
    }

    fn cycle_failed(&mut self, number: u64) {
        self.saves.cycle_failed(number, &mut self.pieces);
    }

    fn at_risk(&self) -> u64 {
        self.saves.at_risk(&self.pieces)
    }

    fn wants_cycle(&self) -> bool {
        self.saves.wants_cycle(&self.pieces)
    }

    fn is_dirty(&self) -> bool {
        self.saves.is_dirty(&self.pieces)
    }

    fn is_settled(&self) -> bool {
        self.saves.is_settled(&self.pieces)
    }
}

fn store() -> Store {
    Store::new(8, PIECE)
}

fn entries(records: &CycleRecords) -> Vec<ScratchEntry> {
    decode_scratch(&records.scratch, |_| Some(4)).expect("own record")
}

fn have(records: &CycleRecords, pieces: u32) -> HaveRecord {
    decode_have(&records.have, pieces).expect("own record")
}

fn bits(pieces: u32, set: impl IntoIterator<Item = u32>) -> Bitfield {
    let mut bits = Bitfield::empty(pieces);
    for piece in set {
        bits.insert(piece);
    }
    bits
}

/// Runs a cycle to its end. Answers its writes and its records.
fn cycle(store: &mut Store, why: CycleFor) -> (CycleBegun, CycleRecords) {
    let mut begun = store.begin_cycle(why).expect("a cycle");
    let mut records = begun.records.take();
    for _ in 0..begun.writes.len() + usize::from(begun.flush) {
        assert!(records.is_none(), "records before the last step");
        records = store.step_done(begun.number);
    }
    store.recorded(begun.number);
    store.pieces.assert_agrees();
    (begun, records.expect("records"))
}

/// Fills a store with pieces that were verified and whose writes were asked for.
fn with_pieces(store: &mut Store, pieces: core::ops::Range<u32>) {
    for piece in pieces {
        for number in 0..4 {
            assert!(store.add(block(piece, number), data(piece as u8)));
        }
        store.written(PieceIndex(piece));
    }
}

#[test]
fn a_block_is_durable_only_after_a_flush_and_the_record() {
    let mut store = store();
    assert!(store.add(block(2, 0), data(1)));
    assert!(store.add(block(2, 1), data(2)));
    assert!(!store.add(block(2, 1), data(3)));
    let durable = |s: &Store| {
        let partial = s.pieces.partial(PieceIndex(2));
        let held = partial.and_then(|partial| partial.held_block(0));
        held.is_some_and(|held| held.saved == Saved::Flushed)
    };
    let (begun, records) = cycle(&mut store, CycleFor::Age);
    assert_eq!(begun.writes.len(), 1, "neighbours are one write");
    assert_eq!(begun.writes[0].chunks.len(), 2);
    assert!(!begun.flush);
    assert_eq!(entries(&records)[0].blocks.count(), 2);
    assert!(!store.is_dirty() && !durable(&store));
    let begun = store.begin_cycle(CycleFor::Flush).expect("idle");
    assert!(begun.writes.is_empty() && begun.flush);
    assert!(
        store.begin_cycle(CycleFor::Flush).is_none(),
        "one cycle at a time"
    );
    let records = store.step_done(begun.number).expect("flushed");
    assert_eq!(entries(&records)[0].blocks.count(), 2);
    assert!(!durable(&store));
    store.recorded(begun.number);
    assert!(durable(&store));
}

#[test]
fn a_piece_is_recorded_only_if_its_write_is_known_to_be_done() {
    let mut store = store();
    with_pieces(&mut store, 0..1);
    let (_, records) = cycle(&mut store, CycleFor::Age);
    assert_eq!(have(&records, 8).have.count(), 0);
    assert!(store.is_dirty(), "the piece still waits for its record");
    store.in_files([0]);
    let (_, records) = cycle(&mut store, CycleFor::Age);
    let have = have(&records, 8);
    assert!(have.have.contains(0));
    assert_eq!(have.recent, [PieceIndex(0)]);
    assert!(!store.is_dirty());
}

#[test]
fn a_written_piece_stays_named_in_the_scratch_file_until_it_is_recorded() {
    let mut store = store();
    store.add(block(0, 0), data(1));
    cycle(&mut store, CycleFor::Age);
    for number in 1..4 {
        store.add(block(0, number), data(1));
    }
    store.written(PieceIndex(0));
    let (_, records) = cycle(&mut store, CycleFor::Age);
    assert_eq!(entries(&records)[0].blocks.count(), 1);
    store.in_files([0]);
    let (_, records) = cycle(&mut store, CycleFor::Age);
    assert_eq!(entries(&records), []);
    assert!(have(&records, 8).have.contains(0));
}

#[test]
fn a_group_leaves_what_grew_last_in_memory_and_age_takes_all() {
    let mut store = Store::new(64, PIECE);
    let mut held = 0;
    for piece in 0..64 {
        assert_eq!(store.wants_cycle(), held >= GROUP_BYTES);
        if store.wants_cycle() {
            break;
        }
        for number in 0..3 {
            store.add(block(piece, number), data(1));
            held += u64::from(BLOCK_LEN);
        }
    }
    let (begun, records) = cycle(&mut store, CycleFor::Group);
    let written: usize = begun.writes.iter().map(|w| w.chunks.len()).sum();
    let left = held - written as u64 * u64::from(BLOCK_LEN);
    assert!(left <= KEPT_BYTES && left + u64::from(PIECE) > KEPT_BYTES);
    assert!(!store.wants_cycle() && store.is_dirty());
    let oldest: Vec<u32> = entries(&records).iter().map(|e| e.piece.0).collect();
    assert_eq!(oldest, (0..oldest.len() as u32).collect::<Vec<_>>());
    cycle(&mut store, CycleFor::Age);
    assert!(!store.is_dirty());
}

#[test]
fn what_is_hashed_or_written_makes_no_cycle_that_covers_nothing() {
    let mut store = Store::new(64, PIECE);
    with_pieces(&mut store, 0..16);
    assert!(store.wants_cycle());
    assert!(store.begin_cycle(CycleFor::Group).is_none());
    store.in_files(0..16);
    let (begun, records) = cycle(&mut store, CycleFor::Group);
    assert!(
        begun.writes.is_empty() && !begun.flush,
        "nothing is written twice"
    );
    assert_eq!(have(&records, 64).have.count(), 16);
    assert!(!store.is_dirty());
}

#[test]
fn what_arrived_is_at_risk_until_a_record_names_it_whatever_happens_to_it_meanwhile() {
    const BLOCK: u64 = BLOCK_LEN as u64;
    let mut store = store();
    // One piece is written, one is begun, and the last blocks of a third come while the cycle runs.
    with_pieces(&mut store, 0..1);
    store.add(block(1, 0), data(1));
    store.add(block(2, 0), data(1));
    assert_eq!(store.at_risk(), 6 * BLOCK);
    store.in_files([0]);
    let first = store.begin_cycle(CycleFor::Age).expect("idle");
    assert_eq!(
        store.at_risk(),
        6 * BLOCK,
        "a cycle that runs saves nothing"
    );
    for number in 1..4 {
        store.add(block(2, number), data(1));
    }
    store.written(PieceIndex(2));
    for _ in &first.writes {
        store.step_done(first.number);
    }
    assert_eq!(
        store.at_risk(),
        9 * BLOCK,
        "a record under way saves nothing"
    );
    store.recorded(first.number);
    assert_eq!(
        store.at_risk(),
        3 * BLOCK,
        "of the third piece one block was named"
    );
    cycle(&mut store, CycleFor::Age);
    assert_eq!(store.at_risk(), 3 * BLOCK, "its write is not done");
    store.in_files([2]);
    cycle(&mut store, CycleFor::Age);
    assert_eq!(store.at_risk(), 0);
    store.add(block(3, 0), data(1));
    store.discard(PieceIndex(3));
    assert_eq!(store.at_risk(), 0, "what is wrong is nobody's loss");
}

#[test]
fn what_a_failed_cycle_covered_is_at_risk_again() {
    const BLOCK: u64 = BLOCK_LEN as u64;
    let mut store = store();
    store.add(block(0, 0), data(1));
    let failing = store.begin_cycle(CycleFor::Age).expect("idle");
    for number in 1..4 {
        store.add(block(0, number), data(1));
    }
    store.written(PieceIndex(0));
    store.cycle_failed(failing.number);
    assert_eq!(store.at_risk(), 4 * BLOCK);
    store.in_files([0]);
    cycle(&mut store, CycleFor::Age);
    assert_eq!(store.at_risk(), 0);
}

#[test]
fn every_piece_recorded_since_the_last_flush_is_hashed_again_at_a_start() {
    const PIECES: u32 = 400;
    let mut store = Store::new(PIECES, PIECE);
    let (mut flushes, mut unflushed) = (0, 0);
    for piece in 0..PIECES {
        with_pieces(&mut store, piece..piece + 1);
        store.in_files([piece]);
        let (begun, records) = cycle(&mut store, CycleFor::Age);
        unflushed = if begun.flush { 0 } else { unflushed + 1 };
        flushes += u32::from(begun.flush);
        let recent = have(&records, PIECES).recent;
        let expected = usize::max(unflushed, RECENT_PIECES).min(piece as usize + 1);
        assert_eq!(recent.len(), expected, "piece {piece}");
        assert_eq!(recent.last(), Some(&PieceIndex(piece)));
    }
    assert_eq!(flushes, PIECES / MAX_UNFLUSHED as u32);
    assert!(!store.is_settled());
    let (begun, _) = cycle(&mut store, CycleFor::Flush);
    assert!(begun.flush && store.is_settled());
}

#[test]
fn a_flush_is_due_after_so_many_bytes() {
    const LARGE: u32 = 1 << 20;
    let mut store = Store::new(40, LARGE);
    let mut flushes = Vec::new();
    for piece in 0..40 {
        for begin in (0..LARGE).step_by(BLOCK_LEN as usize) {
            let block = BlockRef {
                piece: PieceIndex(piece),
                begin,
                length: BLOCK_LEN,
            };
            store.add(block, data(1));
        }
        store.written(PieceIndex(piece));
        store.in_files([piece]);
        if cycle(&mut store, CycleFor::Group).0.flush {
            flushes.push(piece);
        }
    }
    assert_eq!(flushes, [15, 31]);
}

#[test]
fn what_an_earlier_process_wrote_is_flushed_only_after_it_was_hashed_again() {
    let mut store = store();
    store.pieces.believe(&Bitfield::full(8));
    store.saves.restore_have(HaveRecord {
        have: bits(8, 0..8),
        recent: (0..3).map(PieceIndex).collect(),
    });
    let (_, records) = cycle(&mut store, CycleFor::Flush);
    let recent = |records: &CycleRecords| have(records, 8).recent;
    assert_eq!(recent(&records).len(), 3, "none of it was looked at");
    store.saves.found(PieceIndex(0));
    assert!(store.saves.lost(PieceIndex(1)));
    assert!(!store.is_settled());
    cycle(&mut store, CycleFor::Flush);
    assert!(store.is_settled());
    assert_eq!(store.saves.unflushed, [PieceIndex(2)].into_iter().collect());
}

#[test]
fn what_ends_after_its_cycle_failed_counts_for_nothing() {
    let mut store = store();
    store.add(block(0, 0), data(1));
    store.add(block(2, 0), data(1));
    let first = store.begin_cycle(CycleFor::Flush).expect("idle");
    assert_eq!(first.writes.len(), 2);
    store.cycle_failed(first.number);
    let again = store.begin_cycle(CycleFor::Flush).expect("idle");
    assert_eq!(again.writes.len(), 2, "both are written again");
    for _ in 0..3 {
        assert!(store.step_done(first.number).is_none());
    }
    store.cycle_failed(first.number);
    for _ in 0..2 {
        assert!(store.step_done(again.number).is_none());
    }
    assert!(store.step_done(again.number).is_some());
    store.recorded(first.number);
    assert!(!store.saves.is_idle());
    store.recorded(again.number);
    assert!(store.saves.is_idle());
}

#[test]
fn a_slot_is_used_again_only_after_a_record_without_it() {
    let mut store = store();
    store.add(block(0, 0), data(1));
    let (first, _) = cycle(&mut store, CycleFor::Age);
    store.discard(PieceIndex(0));
    store.add(block(1, 0), data(2));
    let (second, _) = cycle(&mut store, CycleFor::Age);
    assert_ne!(
        first.writes[0].offset, second.writes[0].offset,
        "the record that is put still names slot 0"
    );
    store.add(block(3, 0), data(2));
    let (third, _) = cycle(&mut store, CycleFor::Age);
    assert_eq!(first.writes[0].offset, third.writes[0].offset);
}

#[test]
fn foreign_records_are_refused_not_believed() {
    assert!(decode_have(&[], 8).is_none());
    assert!(decode_have(&[1, 0, 0, 0, 9, 0, 0], 8).is_none());
    assert!(decode_scratch(&[1, 255, 255], |_| Some(4)).is_none());
}

#[test]
fn a_block_that_came_anew_while_a_cycle_ran_is_written_by_the_next_one() {
    let mut store = store();
    store.add(block(0, 0), data(1));
    let begun = store.begin_cycle(CycleFor::Flush).expect("idle");
    // Its piece was wrong, and comes again from another.
    store.discard(PieceIndex(0));
    store.add(block(0, 0), data(2));
    for _ in 0..begun.writes.len() {
        assert!(store.step_done(begun.number).is_none());
    }
    let records = store.step_done(begun.number).expect("flushed");
    assert_eq!(entries(&records), [], "what was written is nobody's");
    store.recorded(begun.number);
    assert_eq!(store.at_risk(), u64::from(BLOCK_LEN));
    let (again, records) = cycle(&mut store, CycleFor::Age);
    assert_eq!(again.writes[0].chunks, [data(2)]);
    assert_eq!(entries(&records)[0].blocks.count(), 1);
    assert_eq!(store.at_risk(), 0);
}
