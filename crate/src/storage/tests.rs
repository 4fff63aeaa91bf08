//! What outlives what: blocks, pieces and slots over cycles that end, fail and overlap.

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

/// Runs a cycle to its end; answers what it wrote and recorded.
fn cycle(store: &mut Store, why: CycleFor, in_files: &Bitfield) -> (CycleBegun, CycleRecords) {
    let mut begun = store.begin_cycle(why, in_files).expect("a cycle");
    let mut records = begun.records.take();
    for _ in 0..begun.writes.len() + usize::from(begun.flush) {
        assert!(records.is_none(), "records before the last step");
        records = store.step_done(begun.number, in_files);
    }
    store.recorded(begun.number);
    (begun, records.expect("records"))
}

/// A store in which these pieces were verified and written.
fn with_pieces(store: &mut Store, pieces: core::ops::Range<u32>) {
    for piece in pieces {
        for number in 0..4 {
            assert!(store.add(block(piece, number), data(piece as u8), ConnectionId(1)));
        }
        store.written(PieceIndex(piece));
    }
}

#[test]
fn a_block_is_durable_only_after_a_flush_and_the_record() {
    let none = Bitfield::empty(8);
    let mut store = store();
    assert!(store.add(block(2, 0), data(1), ConnectionId(1)));
    assert!(store.add(block(2, 1), data(2), ConnectionId(1)));
    assert!(!store.add(block(2, 1), data(3), ConnectionId(2)));
    let durable = |s: &Store| {
        s.partial(PieceIndex(2))
            .and_then(|p| p.blocks[0].as_ref())
            .is_some_and(|b| b.durable)
    };
    let (begun, records) = cycle(&mut store, CycleFor::Age, &none);
    assert_eq!(begun.writes.len(), 1, "neighbours are one write");
    assert_eq!(begun.writes[0].chunks.len(), 2);
    assert!(!begun.flush);
    assert_eq!(entries(&records)[0].blocks.count(), 2);
    assert!(!store.is_dirty() && !durable(&store));
    let begun = store.begin_cycle(CycleFor::Flush, &none).expect("idle");
    assert!(begun.writes.is_empty() && begun.flush);
    assert!(
        store.begin_cycle(CycleFor::Flush, &none).is_none(),
        "one cycle at a time"
    );
    let records = store.step_done(begun.number, &none).expect("flushed");
    assert_eq!(entries(&records)[0].blocks.count(), 2);
    assert!(!durable(&store));
    store.recorded(begun.number);
    assert!(durable(&store));
}

#[test]
fn a_piece_is_recorded_only_if_its_write_is_known_to_be_done() {
    let mut store = store();
    with_pieces(&mut store, 0..1);
    let (_, records) = cycle(&mut store, CycleFor::Age, &Bitfield::empty(8));
    assert_eq!(have(&records, 8).have.count(), 0);
    assert!(store.is_dirty(), "the piece still waits for its record");
    let (_, records) = cycle(&mut store, CycleFor::Age, &bits(8, [0]));
    let have = have(&records, 8);
    assert!(have.have.contains(0));
    assert_eq!(have.recent, [PieceIndex(0)]);
    assert!(!store.is_dirty());
}

#[test]
fn a_written_piece_stays_named_in_the_scratch_file_until_it_is_recorded() {
    let none = Bitfield::empty(8);
    let mut store = store();
    store.add(block(0, 0), data(1), ConnectionId(1));
    cycle(&mut store, CycleFor::Age, &none);
    for number in 1..4 {
        store.add(block(0, number), data(1), ConnectionId(1));
    }
    store.written(PieceIndex(0));
    let (_, records) = cycle(&mut store, CycleFor::Age, &none);
    assert_eq!(entries(&records)[0].blocks.count(), 1);
    let (_, records) = cycle(&mut store, CycleFor::Age, &bits(8, [0]));
    assert_eq!(entries(&records), []);
    assert!(have(&records, 8).have.contains(0));
}

#[test]
fn a_group_leaves_what_grew_last_in_memory_and_age_takes_all() {
    let mut store = Store::new(u64::from(PIECE) * 64, PIECE);
    let none = Bitfield::empty(64);
    let mut held = 0;
    for piece in 0..64 {
        assert_eq!(store.wants_cycle(), held >= GROUP_BYTES);
        if store.wants_cycle() {
            break;
        }
        for number in 0..3 {
            store.add(block(piece, number), data(1), ConnectionId(1));
            held += u64::from(BLOCK_LEN);
        }
    }
    let (begun, records) = cycle(&mut store, CycleFor::Group, &none);
    let written: usize = begun.writes.iter().map(|w| w.chunks.len()).sum();
    let left = held - written as u64 * u64::from(BLOCK_LEN);
    assert!(left <= KEPT_BYTES && left + u64::from(PIECE) > KEPT_BYTES);
    assert!(!store.wants_cycle() && store.is_dirty());
    let oldest: Vec<u32> = entries(&records).iter().map(|e| e.piece.0).collect();
    assert_eq!(oldest, (0..oldest.len() as u32).collect::<Vec<_>>());
    cycle(&mut store, CycleFor::Age, &none);
    assert!(!store.is_dirty());
}

#[test]
fn what_is_hashed_or_written_makes_no_cycle_that_covers_nothing() {
    let mut store = Store::new(u64::from(PIECE) * 64, PIECE);
    with_pieces(&mut store, 0..16);
    assert!(store.wants_cycle());
    let none = Bitfield::empty(64);
    assert!(store.begin_cycle(CycleFor::Group, &none).is_none());
    let (begun, records) = cycle(&mut store, CycleFor::Group, &bits(64, 0..16));
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
    let none = Bitfield::empty(8);
    let mut store = store();
    // A piece that is written, one that is begun, and one whose last blocks come while the cycle runs.
    with_pieces(&mut store, 0..1);
    store.add(block(1, 0), data(1), ConnectionId(1));
    store.add(block(2, 0), data(1), ConnectionId(1));
    assert_eq!(store.at_risk(), 6 * BLOCK);
    let done = bits(8, [0]);
    let first = store.begin_cycle(CycleFor::Age, &done).expect("idle");
    assert_eq!(
        store.at_risk(),
        6 * BLOCK,
        "a cycle that runs saves nothing"
    );
    for number in 1..4 {
        store.add(block(2, number), data(1), ConnectionId(1));
    }
    store.written(PieceIndex(2));
    for _ in &first.writes {
        store.step_done(first.number, &done);
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
    let (_, _) = cycle(&mut store, CycleFor::Age, &none);
    assert_eq!(store.at_risk(), 3 * BLOCK, "its write is not done");
    cycle(&mut store, CycleFor::Age, &bits(8, [2]));
    assert_eq!(store.at_risk(), 0);
    store.add(block(3, 0), data(1), ConnectionId(1));
    store.discard(PieceIndex(3));
    assert_eq!(store.at_risk(), 0, "what is wrong is nobody's loss");
}

#[test]
fn what_a_failed_cycle_covered_is_at_risk_again() {
    const BLOCK: u64 = BLOCK_LEN as u64;
    let mut store = store();
    store.add(block(0, 0), data(1), ConnectionId(1));
    let failing = store
        .begin_cycle(CycleFor::Age, &Bitfield::empty(8))
        .expect("idle");
    for number in 1..4 {
        store.add(block(0, number), data(1), ConnectionId(1));
    }
    store.written(PieceIndex(0));
    store.cycle_failed(failing.number);
    assert_eq!(store.at_risk(), 4 * BLOCK);
    cycle(&mut store, CycleFor::Age, &bits(8, [0]));
    assert_eq!(store.at_risk(), 0);
}

#[test]
fn every_piece_recorded_since_the_last_flush_is_hashed_again_at_a_start() {
    const PIECES: u32 = 400;
    let mut store = Store::new(u64::from(PIECE) * u64::from(PIECES), PIECE);
    let (mut flushes, mut unflushed) = (0, 0);
    for piece in 0..PIECES {
        with_pieces(&mut store, piece..piece + 1);
        let done = bits(PIECES, 0..=piece);
        let (begun, records) = cycle(&mut store, CycleFor::Age, &done);
        unflushed = if begun.flush { 0 } else { unflushed + 1 };
        flushes += u32::from(begun.flush);
        let recent = have(&records, PIECES).recent;
        let expected = usize::max(unflushed, RECENT_PIECES).min(piece as usize + 1);
        assert_eq!(recent.len(), expected, "piece {piece}");
        assert_eq!(recent.last(), Some(&PieceIndex(piece)));
    }
    assert_eq!(flushes, PIECES / MAX_UNFLUSHED as u32);
    assert!(!store.is_settled());
    let (begun, _) = cycle(&mut store, CycleFor::Flush, &Bitfield::full(PIECES));
    assert!(begun.flush && store.is_settled());
}

#[test]
fn a_flush_is_due_after_so_many_bytes() {
    const LARGE: u32 = 1 << 20;
    let mut store = Store::new(u64::from(LARGE) * 40, LARGE);
    let mut flushes = Vec::new();
    for piece in 0..40 {
        for begin in (0..LARGE).step_by(BLOCK_LEN as usize) {
            let block = BlockRef {
                piece: PieceIndex(piece),
                begin,
                length: BLOCK_LEN,
            };
            store.add(block, data(1), ConnectionId(1));
        }
        store.written(PieceIndex(piece));
        let done = bits(40, 0..=piece);
        if cycle(&mut store, CycleFor::Group, &done).0.flush {
            flushes.push(piece);
        }
    }
    assert_eq!(flushes, [15, 31]);
}

#[test]
fn what_an_earlier_process_wrote_is_flushed_only_after_it_was_hashed_again() {
    let mut store = store();
    store.restore_have(HaveRecord {
        have: bits(8, 0..8),
        recent: (0..3).map(PieceIndex).collect(),
    });
    let all = Bitfield::full(8);
    let (_, records) = cycle(&mut store, CycleFor::Flush, &all);
    let recent = |records: &CycleRecords| have(records, 8).recent;
    assert_eq!(recent(&records).len(), 3, "none of it was looked at");
    store.found(PieceIndex(0));
    assert!(store.lost(PieceIndex(1)));
    assert!(!store.is_settled());
    cycle(&mut store, CycleFor::Flush, &all);
    assert!(store.is_settled());
    assert_eq!(store.unflushed, [PieceIndex(2)].into_iter().collect());
}

#[test]
fn what_ends_after_its_cycle_failed_counts_for_nothing() {
    let none = Bitfield::empty(8);
    let mut store = store();
    store.add(block(0, 0), data(1), ConnectionId(1));
    store.add(block(2, 0), data(1), ConnectionId(1));
    let first = store.begin_cycle(CycleFor::Flush, &none).expect("idle");
    assert_eq!(first.writes.len(), 2);
    store.cycle_failed(first.number);
    let again = store.begin_cycle(CycleFor::Flush, &none).expect("idle");
    assert_eq!(again.writes.len(), 2, "both are written again");
    for _ in 0..3 {
        assert!(store.step_done(first.number, &none).is_none());
    }
    store.cycle_failed(first.number);
    for _ in 0..2 {
        assert!(store.step_done(again.number, &none).is_none());
    }
    assert!(store.step_done(again.number, &none).is_some());
    store.recorded(first.number);
    assert!(!store.is_idle());
    store.recorded(again.number);
    assert!(store.is_idle());
}

#[test]
fn a_slot_is_used_again_only_after_a_record_without_it() {
    let none = Bitfield::empty(8);
    let mut store = store();
    store.add(block(0, 0), data(1), ConnectionId(1));
    let (first, _) = cycle(&mut store, CycleFor::Age, &none);
    store.discard(PieceIndex(0));
    store.add(block(1, 0), data(2), ConnectionId(1));
    let (second, _) = cycle(&mut store, CycleFor::Age, &none);
    assert_ne!(
        first.writes[0].offset, second.writes[0].offset,
        "the record that is put still names slot 0"
    );
    store.add(block(3, 0), data(2), ConnectionId(1));
    let (third, _) = cycle(&mut store, CycleFor::Age, &none);
    assert_eq!(first.writes[0].offset, third.writes[0].offset);
}

#[test]
fn foreign_records_are_refused_not_believed() {
    assert!(decode_have(&[], 8).is_none());
    assert!(decode_have(&[1, 0, 0, 0, 9, 0, 0], 8).is_none());
    assert!(decode_scratch(&[1, 255, 255], |_| Some(4)).is_none());
}
