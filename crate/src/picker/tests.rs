mod slow;
mod turns;

use super::*;
use crate::metainfo::Geometry;
use crate::pieces::{MAX_COPIES, Partial};
use crate::types::{BLOCK_LEN, FineUnits};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const KIB: u64 = 1024;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

fn conn(id: u64) -> ConnectionId {
    ConnectionId(id)
}

fn status(price: u128, rate: u64) -> PeerStatus {
    PeerStatus {
        price: FineUnits(price),
        usable: true,
        rate,
        snubbed: false,
    }
}

/// A picker with the pieces that it chooses from.
struct Picker {
    order: super::Picker,
    pieces: Pieces,
}

/// Calls of the picker itself, each with its pieces.
impl Picker {
    fn new(total_length: u64, piece_length: u32, seed: [u8; 32]) -> Picker {
        let geometry = Geometry::new(total_length, piece_length).expect("sizes");
        let pieces = Pieces::new(geometry);
        let order = super::Picker::new(&pieces, seed);
        Picker { order, pieces }
    }

    fn set_partial_budget(&mut self, bytes: u64) {
        self.order.set_partial_budget(bytes);
    }

    fn set_wanted(&mut self, wanted: Wanted) {
        self.order.set_wanted(&self.pieces, wanted);
    }

    fn set_windows(&mut self, windows: &[Window]) -> bool {
        self.order.set_windows(&self.pieces, windows)
    }

    fn set_staked(&mut self, pieces: Set<u32>, first: bool) {
        self.order.set_staked(pieces, first);
    }

    fn peer_status(&mut self, conn: ConnectionId, status: PeerStatus) {
        self.order.peer_status(&mut self.pieces, conn, status);
    }

    fn peer_bitfield(&mut self, conn: ConnectionId, have: Bitfield) {
        self.order.peer_bitfield(conn, have);
    }

    fn peer_gone(&mut self, conn: ConnectionId) {
        self.order.peer_gone(&mut self.pieces, conn);
    }

    fn choked(&mut self, now: Timestamp, conn: ConnectionId, serves: &Set<u32>) {
        self.order.choked(&mut self.pieces, now, conn, serves);
    }

    fn timed_out(&mut self, conn: ConnectionId) {
        self.order.timed_out(&mut self.pieces, conn);
        // As before anything is asked for again.
        self.order.drop_ended(&mut self.pieces);
    }

    fn rejected(&mut self, now: Timestamp, conn: ConnectionId, block: BlockRef) {
        self.order.rejected(&mut self.pieces, now, conn, block);
    }

    fn received(&mut self, now: Timestamp, conn: ConnectionId, block: BlockRef) -> Received {
        let data = Bytes::from(vec![0; block.length as usize]);
        (self.order).received(&mut self.pieces, now, conn, block, &data)
    }

    /// A piece is verified and in the files.
    fn have(&mut self, piece: PieceIndex) {
        let proof = self
            .pieces
            .check(piece, &[1; 20], &[1; 20])
            .expect("equal digests");
        self.pieces.write(proof);
        self.pieces.written(piece);
        self.order.done(piece);
    }

    /// Blocks were read back from storage. Answers whether the piece is complete.
    fn restore_partial(&mut self, now: Timestamp, piece: PieceIndex, blocks: &Bitfield) -> bool {
        for number in blocks.iter() {
            let block = self.block_ref(piece.0, number);
            let data = Bytes::from(vec![0; block.length as usize]);
            assert!(self.pieces.restore(now, block, data, false));
        }
        self.order.restored(&mut self.pieces, piece);
        self.pieces.partial(piece).is_some_and(Partial::is_complete)
    }

    fn piece_failed(&mut self, piece: PieceIndex, whole: bool) -> Vec<(ConnectionId, BlockRef)> {
        // A piece that is in the files turned out to be wrong there.
        if self.pieces.lost(piece) {
            self.order.lost(&self.pieces, piece);
        }
        let owed = self.order.piece_failed(&mut self.pieces, piece, whole);
        self.pieces.take_given_up();
        owed
    }

    fn take_dropped(&mut self) -> Vec<PieceIndex> {
        self.order.drop_ended(&mut self.pieces);
        self.pieces.take_given_up()
    }

    /// A block that was kept of a peer gave way to others.
    fn forget_block(&mut self, conn: ConnectionId, block: BlockRef) {
        let suspects = self.pieces.suspects_mut();
        suspects.take(block.piece, |s| (s.from, s.block) == (conn, block));
    }

    fn pick(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        max: usize,
        only: Option<&Set<u32>>,
        out: &mut Vec<BlockRef>,
    ) {
        (self.order).pick(&mut self.pieces, now, conn, max, only, out);
    }

    fn end_turns(&mut self, now: Timestamp) -> Vec<(ConnectionId, BlockRef)> {
        self.order.end_turns(&mut self.pieces, now)
    }

    fn end_abandoned(&mut self, now: Timestamp, conn: ConnectionId) {
        self.order.end_abandoned(&mut self.pieces, now, conn);
    }

    fn withdraw(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        asked_before: Timestamp,
        urgent: bool,
    ) -> Vec<BlockRef> {
        (self.order).withdraw(&mut self.pieces, now, conn, asked_before, urgent)
    }

    fn pass_on(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        asked_before: Timestamp,
        urgent: bool,
        idle: &Set<ConnectionId>,
    ) -> Vec<BlockRef> {
        (self.order).pass_on(&mut self.pieces, now, conn, asked_before, urgent, idle)
    }

    fn return_staked(
        &mut self,
        now: Timestamp,
        may_be_asked: &Set<ConnectionId>,
    ) -> Vec<(ConnectionId, BlockRef)> {
        (self.order).return_staked(&mut self.pieces, now, may_be_asked)
    }

    fn next_timeout(&self, now: Timestamp) -> Timestamp {
        self.order.next_timeout(&self.pieces, now)
    }

    fn interested(&self, conn: ConnectionId) -> bool {
        self.order.interested(&self.pieces, conn)
    }

    fn is_complete(&self) -> bool {
        self.order.is_complete(&self.pieces)
    }

    fn is_anything_left(&self) -> bool {
        self.order.is_anything_left(&self.pieces)
    }

    fn is_late(&self, now: Timestamp, price: FineUnits) -> bool {
        self.order.is_late(&self.pieces, now, price)
    }

    fn probed_at(&self, conn: ConnectionId) -> Timestamp {
        self.order.probed_at(conn)
    }

    fn turns_left(&self, piece: PieceIndex, conn: ConnectionId) -> Option<u64> {
        self.order.turns_left(&self.pieces, piece, conn)
    }

    fn missed(&self, piece: PieceIndex, conn: ConnectionId) -> u32 {
        self.order.missed(piece, conn)
    }
}

/// Views of the state for the tests.
impl Picker {
    fn peer_pieces(&self, conn: ConnectionId) -> Option<&Bitfield> {
        self.order.peer_pieces(conn)
    }

    fn outstanding(&self, conn: ConnectionId) -> usize {
        self.pieces.requests(conn).len()
    }

    fn availability(&self, piece: PieceIndex) -> u32 {
        self.order.rarity.availability(piece.0)
    }

    fn block_ref(&self, piece: u32, number: u32) -> BlockRef {
        let geometry = self.pieces.geometry();
        geometry.block(PieceIndex(piece), number).expect("a block")
    }

    /// The blocks of a begun piece that are here, with their senders.
    fn sources(&self, piece: PieceIndex) -> Vec<(u32, Option<ConnectionId>)> {
        let held = self
            .pieces
            .partial(piece)
            .into_iter()
            .flat_map(Partial::held);
        held.map(|(number, held)| (number, held.from)).collect()
    }
}

/// A picker of `pieces` pieces of four blocks. The last piece has one block and a bit.
fn picker(pieces: u32) -> Picker {
    let total = u64::from(pieces - 1) * 64 * KIB + 20 * KIB;
    Picker::new(total, 64 * KIB as u32, [3; 32])
}

/// The peer chokes us and serves no piece all the same.
fn choked(picker: &mut Picker, now: Timestamp, conn: ConnectionId) {
    picker.choked(now, conn, &Set::new());
}

fn seed(picker: &mut Picker, id: u64, price: u128, rate: u64) -> ConnectionId {
    let pieces = picker.pieces.geometry().piece_count();
    picker.peer_status(conn(id), status(price, rate));
    picker.peer_bitfield(conn(id), Bitfield::full(pieces));
    conn(id)
}

fn pick(picker: &mut Picker, now: Timestamp, conn: ConnectionId, max: usize) -> Vec<BlockRef> {
    let mut out = Vec::new();
    picker.end_abandoned(now, conn);
    picker.pick(now, conn, max, None, &mut out);
    out
}

fn pieces_of(blocks: &[BlockRef]) -> BTreeSet<u32> {
    blocks.iter().map(|b| b.piece.0).collect()
}

/// Delivers blocks, and verifies each piece that completes.
fn deliver(picker: &mut Picker, now: Timestamp, conn: ConnectionId, blocks: &[BlockRef]) {
    for &block in blocks {
        if let Received::Wanted {
            piece_complete: true,
            ..
        } = picker.received(now, conn, block)
        {
            picker.have(block.piece);
        }
    }
}

#[test]
fn blocks_are_16_kib_and_the_last_is_what_remains() {
    let mut picker = picker(3);
    let a = seed(&mut picker, 1, 0, 0);
    let blocks = pick(&mut picker, at(0), a, 100);
    assert_eq!(blocks.len(), 4 + 4 + 2);
    assert_eq!(
        blocks.iter().map(|b| u64::from(b.length)).sum::<u64>(),
        2 * 64 * KIB + 20 * KIB
    );
    deliver(&mut picker, at(1), a, &blocks);
    assert!(picker.is_complete());
    assert!(pick(&mut picker, at(2), a, 100).is_empty());
}

#[test]
fn a_begun_piece_is_finished_before_another_is_begun() {
    let mut picker = picker(20);
    let (a, b) = (seed(&mut picker, 1, 0, 0), seed(&mut picker, 2, 0, 0));
    let first = pick(&mut picker, at(0), a, 2);
    let second = pick(&mut picker, at(0), b, 2);
    assert_eq!(pieces_of(&first), pieces_of(&second));
    assert!(first.iter().all(|block| !second.contains(block)));
}

#[test]
fn something_is_left_while_a_piece_that_somebody_has_is_asked_of_nobody_and_may_be() {
    let mut picker = picker(3);
    assert!(!picker.is_anything_left(), "nobody has any");
    let a = seed(&mut picker, 1, 5, 0);
    picker.set_partial_budget(0);
    assert!(picker.is_anything_left(), "one is begun in any case");
    let first = pick(&mut picker, at(0), a, 2);
    assert!(!picker.is_anything_left(), "there is no room for two");
    picker.set_partial_budget(1 << 20);
    assert!(picker.is_anything_left());
    pick(&mut picker, at(0), a, 100);
    assert!(!picker.is_anything_left(), "all is out");
    deliver(&mut picker, at(1), a, &first[..1]);
    choked(&mut picker, at(1), a);
    picker.set_partial_budget(0);
    assert!(
        picker.is_anything_left(),
        "the begun one waits for somebody"
    );
}

#[test]
fn the_rarest_piece_comes_first_once_there_is_something_to_trade() {
    let mut picker = picker(50);
    let a = seed(&mut picker, 1, 0, 0);
    let mut common = Bitfield::full(50);
    common.remove(33);
    for id in 2..6 {
        picker.peer_bitfield(conn(id), common.clone());
    }
    for piece in 0..RANDOM_FIRST_PIECES {
        picker.have(PieceIndex(piece));
    }
    assert_eq!(pieces_of(&pick(&mut picker, at(0), a, 4)), [33].into());
    assert_eq!(picker.availability(PieceIndex(33)), 1);
    picker.peer_gone(conn(5));
    assert_eq!(picker.availability(PieceIndex(0)), 4);
}

#[test]
fn the_first_pieces_and_ties_are_random_by_the_seed() {
    let first = |seed_byte: u8| {
        let mut picker = Picker::new(100 * 64 * KIB, 64 * KIB as u32, [seed_byte; 32]);
        let a = seed(&mut picker, 1, 0, 0);
        pieces_of(&pick(&mut picker, at(0), a, 16))
    };
    assert_eq!(first(1), first(1));
    assert!((2..10).any(|s| first(s) != first(1)));
}

#[test]
fn a_window_comes_before_everything_in_the_order_of_its_deadlines() {
    let mut picker = picker(100);
    let a = seed(&mut picker, 1, 0, 1_000_000);
    let window = |from: u32, deadline| Window {
        pieces: from..from + 5,
        deadline,
        spacing: Duration::from_secs(1),
    };
    picker.set_windows(&[window(60, at(20_500)), window(20, at(20_000))]);
    let blocks = pick(&mut picker, at(0), a, 16);
    let order: Vec<u32> = blocks.iter().step_by(4).map(|b| b.piece.0).collect();
    assert_eq!(order, [20, 60, 21, 61]);
}

#[test]
fn on_demand_fetches_the_windows_and_nothing_else() {
    let mut picker = picker(100);
    let a = seed(&mut picker, 1, 0, 1_000_000);
    picker.set_wanted(Wanted::Pieces(Vec::new()));
    assert!(picker.is_complete() && !picker.interested(a));
    picker.set_windows(&[Window {
        pieces: 10..12,
        deadline: at(10_000),
        spacing: Duration::from_secs(1),
    }]);
    assert!(picker.interested(a) && !picker.is_complete());
    let blocks = pick(&mut picker, at(0), a, 100);
    assert_eq!(pieces_of(&blocks), [10, 11].into());
    picker.set_windows(&[]);
    assert!(pick(&mut picker, at(1), a, 100).is_empty());
}

#[test]
fn what_a_seller_sends_late_of_a_piece_that_nobody_wants_any_more_is_taken_and_a_free_peers_is_not()
{
    let window = |pieces| Window {
        pieces,
        deadline: at(10_000),
        spacing: Duration::from_secs(1),
    };
    for (price, taken) in [(9, true), (0, false)] {
        let mut picker = picker(100);
        let a = seed(&mut picker, 1, price, 1_000_000);
        picker.set_wanted(Wanted::Pieces(Vec::new()));
        picker.set_windows(&[window(10..12)]);
        let blocks = pick(&mut picker, at(0), a, 8);
        assert_eq!(pieces_of(&blocks), [10, 11].into());
        // A player changes the level, and the peer chokes while all of them are on their way.
        picker.set_windows(&[window(20..21)]);
        choked(&mut picker, at(100), a);
        deliver(&mut picker, at(200), a, &blocks);
        let done = |picker: &Picker| {
            picker.pieces.done().contains(10) && picker.pieces.done().contains(11)
        };
        assert_eq!(done(&picker), taken);
    }
}

#[test]
fn a_late_urgent_block_is_asked_of_a_second_free_peer_and_cancelled_at_the_loser() {
    let mut picker = picker(100);
    let a = seed(&mut picker, 1, 0, 1_000_000);
    let b = seed(&mut picker, 2, 0, 1_000_000);
    picker.set_wanted(Wanted::Pieces(Vec::new()));
    picker.set_windows(&[Window {
        pieces: 10..11,
        deadline: at(2_000),
        spacing: Duration::ZERO,
    }]);
    let out = pick(&mut picker, at(0), a, 4);
    assert!(pick(&mut picker, at(100), b, 4).len() <= 4);
    let third = seed(&mut picker, 3, 0, 1_000_000);
    let copies = pick(&mut picker, at(100) + LATE, third, 4);
    assert!(!copies.is_empty() && copies.iter().all(|c| out.contains(c)));
    let Received::Wanted { cancel, .. } = picker.received(at(900), third, copies[0]) else {
        panic!("wanted");
    };
    assert!(cancel.contains(&a));
    assert_eq!(picker.received(at(901), a, copies[0]), Received::Duplicate);
}

#[test]
fn endgame_asks_free_peers_again_and_paid_peers_never() {
    let mut picker = picker(2);
    let (a, b, c, d) = (
        seed(&mut picker, 1, 0, 0),
        seed(&mut picker, 2, 0, 0),
        seed(&mut picker, 3, 0, 0),
        seed(&mut picker, 4, 0, 0),
    );
    let paid = seed(&mut picker, 5, 9, 0);
    let all = pick(&mut picker, at(0), a, 100);
    assert_eq!(all.len(), 6);
    assert!(pick(&mut picker, at(0), paid, 100).is_empty());
    assert!(pick(&mut picker, at(0), b, 100).is_empty(), "too early");
    assert!(picker.next_timeout(at(0)) <= at(0) + REVIEW);
    let later = at(0) + ENDGAME_LATE;
    assert!(pick(&mut picker, later, paid, 100).is_empty());
    assert_eq!(pick(&mut picker, later, b, 100).len(), ENDGAME_QUEUE);
    let rest = pick(&mut picker, later, c, 100);
    assert_eq!(rest.len(), 2, "the others were asked for just now");
    let again = pick(&mut picker, later + ENDGAME_LATE, c, 100);
    assert_eq!(again.len(), 2);
    let after = later + ENDGAME_LATE + ENDGAME_LATE;
    for block in pick(&mut picker, after, d, 100) {
        assert!(!again.contains(&block), "at most {MAX_COPIES} copies");
    }
    let twice = again[0];
    let Received::Wanted { mut cancel, .. } = picker.received(after, b, twice) else {
        panic!("wanted");
    };
    cancel.sort();
    assert_eq!(cancel, [a, c]);
}

#[test]
fn in_the_endgame_a_fast_peer_soon_helps_a_slow_one_and_not_the_other_way_round() {
    let mut picker = picker(2);
    let slow = seed(&mut picker, 1, 0, 20_000);
    let fast = seed(&mut picker, 2, 0, 1_000_000);
    assert_eq!(pick(&mut picker, at(0), slow, 3).len(), 3);
    let own = pick(&mut picker, at(0), fast, 100);
    deliver(&mut picker, at(100), fast, &own);
    let soon = at(0) + ENDGAME_AFTER;
    assert_eq!(pick(&mut picker, soon, fast, 100).len(), 3);
    assert!(pick(&mut picker, soon, slow, 100).is_empty());
}

#[test]
fn a_paid_piece_has_one_source_asked_in_order() {
    let mut picker = picker(4);
    // The last piece has only two blocks.
    picker.have(PieceIndex(3));
    let a = seed(&mut picker, 1, 10, 0);
    let b = seed(&mut picker, 2, 10, 0);
    let free = conn(3);
    let first = pick(&mut picker, at(0), a, 2);
    assert_eq!((first[0].begin, first[1].begin), (0, 16 * 1024));
    let piece = first[0].piece;
    assert!(!pieces_of(&pick(&mut picker, at(0), b, 100)).contains(&piece.0));
    seed(&mut picker, 3, 0, 0);
    assert!(!pieces_of(&pick(&mut picker, at(0), free, 100)).contains(&piece.0));
    // The seller goes on where it was, before anything else.
    deliver(&mut picker, at(10), a, &first);
    let next = pick(&mut picker, at(10), a, 1);
    assert_eq!((next[0].piece, next[0].begin), (piece, 32 * 1024));
}

#[test]
fn if_the_paid_source_leaves_exactly_one_other_seller_finishes_the_piece() {
    let mut picker = picker(2);
    picker.have(PieceIndex(1));
    let a = seed(&mut picker, 1, 10, 0);
    let got = pick(&mut picker, at(0), a, 2);
    deliver(&mut picker, at(1), a, &got);
    picker.peer_gone(a);
    let (b, c) = (seed(&mut picker, 2, 10, 0), seed(&mut picker, 3, 10, 0));
    assert_eq!(pick(&mut picker, at(2), b, 1).len(), 1);
    assert!(pick(&mut picker, at(2), c, 9).is_empty());
    assert_eq!(pick(&mut picker, at(2), b, 9).len(), 1);
    assert_eq!(picker.sources(PieceIndex(0)), [(0, Some(a)), (1, Some(a))]);
}

#[test]
fn a_sole_source_that_does_nothing_loses_its_piece_after_a_while() {
    let mut picker = picker(1);
    let (a, b) = (seed(&mut picker, 1, 10, 0), seed(&mut picker, 2, 10, 0));
    let got = pick(&mut picker, at(0), a, 1);
    deliver(&mut picker, at(1), a, &got);
    choked(&mut picker, at(1), a);
    assert!(pick(&mut picker, at(2), b, 9).is_empty());
    let later = picker.next_timeout(at(2));
    assert_eq!(later, at(1) + PATIENCE);
    assert_eq!(pick(&mut picker, later, b, 9).len(), 1);
}

#[test]
fn a_piece_that_failed_with_several_sources_comes_whole_from_one() {
    let mut picker = picker(1);
    let (a, b) = (seed(&mut picker, 1, 0, 0), seed(&mut picker, 2, 0, 0));
    let first = pick(&mut picker, at(0), a, 1);
    let second = pick(&mut picker, at(0), b, 1);
    deliver_only(&mut picker, a, &first);
    deliver_only(&mut picker, b, &second);
    assert!(picker.piece_failed(PieceIndex(0), true).is_empty());
    assert_eq!(
        pick(&mut picker, at(1), a, 9),
        second,
        "what it did not send"
    );
    assert!(pick(&mut picker, at(1), b, 9).is_empty());
    // The peer left in the middle: the piece comes whole from another.
    picker.peer_gone(a);
    // An end now would write its block down: it is given up when something is asked for again.
    assert_eq!(picker.sources(PieceIndex(0)), [(0, Some(a))]);
    assert_eq!(picker.take_dropped(), [PieceIndex(0)]);
    assert_eq!(pick(&mut picker, at(2), b, 9), first);
}

#[test]
fn a_failed_piece_that_nobody_wants_is_not_waited_for() {
    let mut picker = picker(2);
    let (a, b) = (seed(&mut picker, 1, 0, 0), seed(&mut picker, 2, 0, 0));
    let first_piece = 0..1;
    picker.set_wanted(Wanted::Pieces(vec![first_piece]));
    let first = pick(&mut picker, at(0), a, 1);
    let second = pick(&mut picker, at(0), b, 1);
    deliver_only(&mut picker, a, &first);
    deliver_only(&mut picker, b, &second);
    picker.piece_failed(PieceIndex(0), true);
    let endangered = |picker: &Picker| {
        let late = (picker.order).endangered(&picker.pieces, at(1), &|_| true);
        late.iter().copied().collect::<Vec<u32>>()
    };
    assert!(picker.order.wants_any_failed());
    assert_eq!(endangered(&picker), [0]);
    picker.set_wanted(Wanted::Pieces(Vec::new()));
    assert!(!picker.order.wants_any_failed());
    assert!(endangered(&picker).is_empty());
    picker.set_wanted(Wanted::All);
    assert!(picker.order.wants_any_failed());
    assert_eq!(endangered(&picker), [0]);
}

fn deliver_only(picker: &mut Picker, conn: ConnectionId, blocks: &[BlockRef]) {
    for &block in blocks {
        assert!(matches!(
            picker.received(at(1), conn, block),
            Received::Wanted { .. }
        ));
    }
}

#[test]
fn what_a_cheaper_peer_delivers_is_not_bought_from_a_dearer_one() {
    let mut picker = picker(200);
    let dear = seed(&mut picker, 1, 100, 1_000_000);
    let mut half = Bitfield::empty(200);
    (0..150).for_each(|piece| {
        half.insert(piece);
    });
    picker.peer_status(conn(2), status(50, 1_000_000));
    picker.peer_bitfield(conn(2), half);
    let blocks = pick(&mut picker, at(0), dear, 40);
    assert!(pieces_of(&blocks).iter().all(|&p| p >= 150), "{blocks:?}");
    assert_eq!(pick(&mut picker, at(0), conn(2), 40).len(), 40);
}

#[test]
fn a_cheaper_peer_that_delivers_nothing_is_passed_over_and_comes_back_when_it_does() {
    let mut picker = picker(200);
    let dear = seed(&mut picker, 1, 100, 1_000_000);
    let cheap = seed(&mut picker, 2, 50, 1_000_000);
    let out = pick(&mut picker, at(0), cheap, 4);
    assert!(pick(&mut picker, at(0), dear, 4).is_empty());
    let patience_ends = picker.next_timeout(at(0));
    assert_eq!(patience_ends, at(0) + PATIENCE);
    assert!(pick(&mut picker, at(3_900), dear, 4).is_empty());
    let bought = pick(&mut picker, patience_ends, dear, 4);
    assert_eq!(bought.len(), 4);
    picker.received(at(5_000), cheap, out[0]);
    deliver(&mut picker, at(5_001), dear, &bought);
    assert!(pick(&mut picker, at(5_002), dear, 4).is_empty());
}

#[test]
fn a_deadline_that_the_cheaper_peer_cannot_meet_is_bought_dearer() {
    let mut picker = picker(200);
    picker.set_wanted(Wanted::Pieces(Vec::new()));
    let dear = seed(&mut picker, 1, 100, 4_000_000);
    let cheap = seed(&mut picker, 2, 50, 64 * KIB);
    // Two pieces per second are due and the cheap peer delivers one per second: it is ever later.
    picker.set_windows(&[Window {
        pieces: 0..20,
        deadline: at(1_000),
        spacing: Duration::from_millis(500),
    }]);
    assert!(!pick(&mut picker, at(0), cheap, 4).is_empty());
    assert!(!pick(&mut picker, at(0), dear, 4).is_empty());
    // There is all the time in the world: nothing is bought at the higher price.
    picker.timed_out(dear);
    picker.set_windows(&[Window {
        pieces: 0..20,
        deadline: at(60_000),
        spacing: Duration::from_secs(2),
    }]);
    assert!(pick(&mut picker, at(0), dear, 4).is_empty());
}

#[test]
fn equal_prices_and_free_peers_work_in_parallel() {
    for price in [0, 7] {
        let mut picker = picker(200);
        for id in 0..5 {
            let peer = seed(&mut picker, id, price, 1_000_000);
            assert_eq!(pick(&mut picker, at(0), peer, 16).len(), 16);
        }
    }
}

#[test]
fn the_partial_budget_bounds_begun_pieces_and_gives_up_stuck_ones() {
    let mut picker = picker(100);
    picker.set_partial_budget(4 * 64 * KIB);
    let a = seed(&mut picker, 1, 0, 0);
    assert_eq!(pick(&mut picker, at(0), a, 1000).len(), 16);
    // A peer delivers one block of each begun piece and leaves. The picker gives up the pieces that the next peer
    // lacks.
    let begun: Vec<u32> = picker.pieces.partials().map(|(piece, _)| piece.0).collect();
    for &piece in &begun {
        let block = picker.block_ref(piece, 0);
        picker.received(at(1), a, block);
    }
    picker.peer_gone(a);
    let mut rest = Bitfield::full(100);
    for &piece in &begun {
        rest.remove(piece);
    }
    picker.peer_status(conn(2), status(0, 0));
    picker.peer_bitfield(conn(2), rest);
    let blocks = pick(&mut picker, at(2), conn(2), 4);
    assert_eq!(blocks.len(), 4);
    assert_eq!(picker.take_dropped().len(), 1);
}

#[test]
fn what_a_restart_finds_is_not_fetched_again() {
    let mut picker = picker(2);
    let mut blocks = Bitfield::empty(4);
    blocks.insert(0);
    blocks.insert(2);
    assert!(!picker.restore_partial(at(0), PieceIndex(0), &blocks));
    assert!(picker.restore_partial(at(0), PieceIndex(1), &Bitfield::full(2)));
    let a = seed(&mut picker, 1, 0, 0);
    let asked = pick(&mut picker, at(1), a, 9);
    let begins: Vec<u32> = asked.iter().map(|b| b.begin).collect();
    assert_eq!(begins, [16 * 1024, 48 * 1024]);
}

#[test]
fn a_choked_peer_is_asked_for_allowed_fast_pieces_only() {
    let mut picker = picker(100);
    let a = seed(&mut picker, 1, 0, 0);
    choked(&mut picker, at(0), a);
    assert!(pick(&mut picker, at(0), a, 9).is_empty());
    let (fast, mut out) = ([7, 99, 1000].into(), Vec::new());
    picker.pick(at(0), a, 100, Some(&fast), &mut out);
    assert_eq!(pieces_of(&out), [7, 99].into());
}

#[test]
fn blocks_that_do_not_exist_are_unrequested() {
    let mut picker = picker(2);
    let a = seed(&mut picker, 1, 0, 0);
    pick(&mut picker, at(0), a, 9);
    let block = |piece, begin, length| BlockRef {
        piece: PieceIndex(piece),
        begin,
        length,
    };
    for wrong in [
        block(0, 0, 1),
        block(0, 7, 16 * 1024),
        block(0, 64 * 1024, 16 * 1024),
        block(1, 16 * 1024, 16 * 1024),
        block(2, 0, 16 * 1024),
        block(u32::MAX, u32::MAX, u32::MAX),
    ] {
        assert_eq!(picker.received(at(0), a, wrong), Received::Unrequested);
        picker.rejected(at(0), a, wrong);
    }
}

#[test]
fn a_refusal_is_respected_for_a_while() {
    let mut picker = picker(20);
    let a = seed(&mut picker, 1, 0, 0);
    let out = pick(&mut picker, at(0), a, 1);
    picker.rejected(at(0), a, out[0]);
    assert!(pick(&mut picker, at(1), a, 1).is_empty());
    assert_eq!(picker.next_timeout(at(1)), at(0) + REFUSAL_PAUSE);
    assert_eq!(pick(&mut picker, at(0) + REFUSAL_PAUSE, a, 1).len(), 1);
}

#[test]
fn picking_stays_cheap_with_10_000_pieces_and_100_peers() {
    const PIECES: u32 = 10_000;
    let mut picker = Picker::new(u64::from(PIECES) * 256 * KIB, 256 * KIB as u32, [5; 32]);
    picker.set_partial_budget(256 << 20);
    let mut rng = ChaCha20Rng::from_seed([6; 32]);
    for id in 0..100 {
        let mut have = Bitfield::empty(PIECES);
        for piece in 0..PIECES {
            // The peers range from a seed down to one with one piece in fifty.
            if id == 0 || rng.next_u32() % 50 <= id as u32 / 2 {
                have.insert(piece);
            }
        }
        picker.peer_bitfield(conn(id), have);
        picker.peer_status(conn(id), status(u128::from(id % 4), 1_000_000));
    }
    picker.set_windows(&[Window {
        pieces: 100..400,
        deadline: at(5_000),
        spacing: Duration::from_millis(200),
    }]);
    let (mut picks, mut most, mut blocks) = (0u64, 0, 0u64);
    picker.order.work = 0;
    for round in 0..200u64 {
        for id in 0..100 {
            let before = picker.order.work;
            let out = pick(&mut picker, at(round * 20), conn(id), 8);
            most = most.max(picker.order.work - before);
            picks += 1;
            blocks += out.len() as u64;
            deliver(&mut picker, at(round * 20 + 10), conn(id), &out);
        }
    }
    assert!(blocks > 20_000, "{blocks} blocks");
    // A scan of all pieces for each pick would be 10,000, and one of all peers for each block 800.
    assert!(
        picker.order.work / picks < 600,
        "{} per pick",
        picker.order.work / picks
    );
    assert!(most < 8_000, "{most} in one pick");
}

/// A player of 300 kB/s and two sellers, each given as `(unit, bytes per second, from millisecond)`. Answers the bytes
/// that each seller delivered and how long the player stalled after its first piece.
fn stream(sellers: [(u128, u64, u64); 2], on_demand: bool) -> ([u64; 2], Duration) {
    const PIECE: u64 = 256 * KIB;
    const STEP: u64 = 20;
    let mut picker = Picker::new(120 * PIECE, PIECE as u32, [8; 32]);
    if on_demand {
        picker.set_wanted(Wanted::Pieces(Vec::new()));
    }
    let per_piece = Duration::from_micros(PIECE * 1_000_000 / 300_000);
    let (mut sent, mut stalled, mut played) = ([0u64; 2], Duration::ZERO, Duration::ZERO);
    let mut queues = [Vec::new(), Vec::new()];
    let mut allowance = [0u64; 2];
    for step in 0..20_000u64 {
        let now = at(step * STEP);
        let head = (played.as_micros() / per_piece.as_micros()) as u32;
        if head >= 120 {
            return (sent, stalled);
        }
        picker.set_windows(&[Window {
            pieces: head..(head + 24),
            deadline: now + per_piece / 4,
            spacing: per_piece,
        }]);
        for (i, (price, rate, from)) in sellers.into_iter().enumerate() {
            let id = conn(i as u64);
            if step * STEP == from {
                seed(&mut picker, id.0, price, 0);
            }
            if step * STEP < from {
                continue;
            }
            let room = 16usize.saturating_sub(queues[i].len());
            queues[i].extend(pick(&mut picker, now, id, room));
            allowance[i] = (allowance[i] + rate * STEP / 1000).min(rate);
            while let Some(&block) = queues[i].first() {
                if u64::from(block.length) > allowance[i] {
                    break;
                }
                allowance[i] -= u64::from(block.length);
                sent[i] += u64::from(queues[i].remove(0).length);
                deliver(&mut picker, now, id, &[block]);
                picker.peer_status(id, status(price, rate));
            }
            if queues[i].is_empty() {
                allowance[i] = 0;
            }
        }
        if picker.pieces.done().contains(head) {
            played += Duration::from_millis(STEP);
        } else if played > Duration::ZERO {
            stalled += Duration::from_millis(STEP);
        }
    }
    panic!("the player came to piece {played:?} only");
}

#[test]
fn most_of_a_film_comes_from_the_cheaper_of_two_sellers_and_the_player_never_waits() {
    for on_demand in [false, true] {
        for late in [0, 100, 1_000] {
            let ([dear, cheap], stalled) =
                stream([(100, 2_000_000, 0), (50, 1_000_000, late)], on_demand);
            assert!(cheap * 10 > (dear + cheap) * 8, "{dear} {cheap} {late}");
            assert_eq!(stalled, Duration::ZERO);
        }
    }
}

#[test]
fn a_cheaper_seller_too_slow_for_the_film_is_helped_by_the_dearer_one() {
    let ([dear, cheap], stalled) = stream([(100, 2_000_000, 0), (50, 150_000, 0)], true);
    assert!(cheap > 0 && dear > cheap / 2, "{dear} {cheap}");
    assert!(stalled < Duration::from_millis(1_500), "{stalled:?}");
}

/// The steps of the model test.
#[derive(Clone, Debug)]
enum Step {
    Pick { peer: u64, max: usize },
    Deliver { peer: u64, count: usize },
    Choke { peer: u64 },
    Unchoke { peer: u64 },
    Leave { peer: u64 },
    Join { peer: u64, pieces: u64 },
    Reject { peer: u64 },
    TimeOut { peer: u64 },
    Fail { whole: bool },
    Seek { piece: u32 },
    Wait { millis: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let peer = 0u64..6;
    prop_oneof![
        6 => (peer.clone(), 1usize..8).prop_map(|(peer, max)| Step::Pick { peer, max }),
        6 => (peer.clone(), 1usize..8).prop_map(|(peer, count)| Step::Deliver { peer, count }),
        1 => peer.clone().prop_map(|peer| Step::Choke { peer }),
        2 => peer.clone().prop_map(|peer| Step::Unchoke { peer }),
        1 => peer.clone().prop_map(|peer| Step::Leave { peer }),
        2 => (peer.clone(), any::<u64>()).prop_map(|(peer, pieces)| Step::Join { peer, pieces }),
        1 => peer.clone().prop_map(|peer| Step::Reject { peer }),
        1 => peer.prop_map(|peer| Step::TimeOut { peer }),
        1 => any::<bool>().prop_map(|whole| Step::Fail { whole }),
        1 => (0u32..12).prop_map(|piece| Step::Seek { piece }),
        2 => (1u64..3_000).prop_map(|millis| Step::Wait { millis }),
    ]
}

/// Peers 0..3 are free, 3 and 4 ask the same price, 5 more.
fn price(peer: u64) -> u128 {
    [0, 0, 0, 10, 10, 20][peer as usize]
}

/// A copy of the picker's state in plain sets, kept from its calls and answers alone.
#[derive(Default)]
struct Model {
    out: BTreeMap<u64, Vec<BlockRef>>,
    here: BTreeMap<u32, BTreeSet<u32>>,
    verified: BTreeSet<u32>,
    fail_next: Option<bool>,
}

impl Model {
    fn forget(&mut self, piece: u32) {
        self.here.remove(&piece);
        for blocks in self.out.values_mut() {
            blocks.retain(|b| b.piece.0 != piece);
        }
    }

    fn run(&mut self, picker: &mut Picker, now: Timestamp, step: &Step) {
        match *step {
            Step::Pick { peer, max } => {
                let chosen = pick(picker, now, conn(peer), max);
                for piece in picker.take_dropped() {
                    self.here.remove(&piece.0);
                }
                // The peer goes on with the blocks that it brought of a failed piece.
                for piece in 0..12 {
                    let sources = picker.sources(PieceIndex(piece));
                    if !sources.is_empty() && !self.here.contains_key(&piece) {
                        assert!(sources.iter().all(|(_, from)| *from == Some(conn(peer))));
                        let begins = sources.iter().map(|(index, _)| index * BLOCK_LEN);
                        self.here.insert(piece, begins.collect());
                    }
                }
                assert!(chosen.len() <= max);
                for block in chosen {
                    self.check_choice(picker, peer, block);
                    self.out.entry(peer).or_default().push(block);
                }
            }
            Step::Deliver { peer, count } => {
                for _ in 0..count {
                    let Some(block) = self.take_oldest(peer) else {
                        return;
                    };
                    self.deliver(picker, now, peer, block);
                }
            }
            Step::Choke { peer } => {
                choked(picker, now, conn(peer));
                self.out.remove(&peer);
            }
            Step::Unchoke { peer } => {
                if picker.peer_pieces(conn(peer)).is_some() {
                    picker.peer_status(conn(peer), status(price(peer), 200_000));
                }
            }
            Step::Leave { peer } => {
                picker.peer_gone(conn(peer));
                self.out.remove(&peer);
            }
            Step::Join { peer, pieces } => {
                if picker.peer_pieces(conn(peer)).is_none() {
                    let bits = pieces.to_be_bytes();
                    let mut have = Bitfield::empty(12);
                    (0..12)
                        .filter(|p| bits[0] >> (p % 8) & 1 == 1 || bits[1] >> (p % 5) & 1 == 1)
                        .for_each(|p| {
                            have.insert(p);
                        });
                    picker.peer_bitfield(conn(peer), have);
                    picker.peer_status(conn(peer), status(price(peer), 200_000));
                }
            }
            Step::Reject { peer } => {
                if let Some(block) = self.take_oldest(peer) {
                    picker.rejected(now, conn(peer), block);
                }
            }
            Step::TimeOut { peer } => {
                picker.timed_out(conn(peer));
                self.out.remove(&peer);
            }
            Step::Fail { whole } => self.fail_next = Some(whole),
            Step::Seek { piece } => {
                picker.set_windows(&[Window {
                    pieces: piece..piece + 3,
                    deadline: now + Duration::from_secs(3),
                    spacing: Duration::from_secs(1),
                }]);
            }
            Step::Wait { .. } => {}
        }
        for piece in picker.take_dropped() {
            self.here.remove(&piece.0);
        }
    }

    fn take_oldest(&mut self, peer: u64) -> Option<BlockRef> {
        let blocks = self.out.get_mut(&peer)?;
        (!blocks.is_empty()).then(|| blocks.remove(0))
    }

    fn deliver(&mut self, picker: &mut Picker, now: Timestamp, peer: u64, block: BlockRef) {
        let Received::Wanted {
            piece_complete,
            cancel,
        } = picker.received(now, conn(peer), block)
        else {
            panic!("{block:?} was asked of {peer} and is missing");
        };
        for (other, blocks) in &mut self.out {
            let had = blocks.len();
            blocks.retain(|&b| b != block);
            assert_eq!(blocks.len() < had, cancel.contains(&conn(*other)));
        }
        let piece = block.piece.0;
        let here = self.here.entry(piece).or_default();
        assert!(here.insert(block.begin), "kept twice");
        let blocks = if piece == 11 { 2 } else { 4 };
        assert_eq!(piece_complete, here.len() == blocks);
        if piece_complete {
            if let Some(whole) = self.fail_next.take() {
                assert!(picker.piece_failed(block.piece, whole).is_empty());
                self.forget(piece);
            } else {
                picker.have(block.piece);
                self.forget(piece);
                self.verified.insert(piece);
            }
        }
    }

    fn check_choice(&self, picker: &Picker, peer: u64, block: BlockRef) {
        let piece = block.piece.0;
        let has = picker.peer_pieces(conn(peer));
        assert!(has.is_some_and(|have| have.contains(piece)), "lacks it");
        assert!(!self.verified.contains(&piece), "verified already");
        let here = self.here.get(&piece);
        assert!(
            here.is_none_or(|h| !h.contains(&block.begin)),
            "here already"
        );
        let mut askers = 0;
        for (&other, blocks) in &self.out {
            for b in blocks.iter().filter(|b| b.piece.0 == piece) {
                if other != peer {
                    assert!(
                        price(peer) == 0 && price(other) == 0,
                        "a paid piece is shared"
                    );
                }
                askers += usize::from(b.begin == block.begin);
                assert!(*b != block || other != peer, "asked of the same peer twice");
            }
        }
        assert!(askers < MAX_COPIES);
        if price(peer) > 0 {
            let asked = |begin| {
                (self.out.values().flatten()).any(|b| b.piece.0 == piece && b.begin == begin)
                    || here.is_some_and(|h| h.contains(&begin))
            };
            assert!(
                (0..block.begin / BLOCK_LEN).all(|i| asked(i * BLOCK_LEN)),
                "out of order"
            );
        }
    }

    fn check_state(&self, picker: &Picker) {
        picker.pieces.assert_agrees();
        for peer in 0..6 {
            let out = self.out.get(&peer).map_or(0, Vec::len);
            assert_eq!(picker.outstanding(conn(peer)), out, "peer {peer}");
        }
        for piece in 0..12 {
            let here = self.here.get(&piece).map_or(0, BTreeSet::len);
            assert_eq!(
                picker.sources(PieceIndex(piece)).len(),
                here,
                "piece {piece}"
            );
            let begun = picker.pieces.partial(PieceIndex(piece)).is_some();
            let open = !begun && !self.verified.contains(&piece);
            assert_eq!(picker.order.rarity.is_listed(piece), open, "piece {piece}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_block_is_lost_whatever_peers_do(
        seed_byte: u8,
        budget in 1u64..8,
        steps in proptest::collection::vec(step(), 0..250),
    ) {
        let total = 11 * 64 * KIB + 20 * KIB;
        let mut picker = Picker::new(total, 64 * KIB as u32, [seed_byte; 32]);
        picker.set_partial_budget(budget * 64 * KIB);
        let mut model = Model::default();
        let mut now = at(0);
        for step in &steps {
            if let Step::Wait { millis } = step {
                now = now + Duration::from_millis(*millis);
            }
            model.run(&mut picker, now, step);
            model.check_state(&picker);
        }
        // One peer that has all pieces brings the torrent to an end, whatever its price and whichever peers linger.
        for peer in 0..6 {
            model.run(&mut picker, now, &Step::Leave { peer });
        }
        let last = seed_byte as u64 % 6;
        let joined = Step::Join { peer: last, pieces: u64::MAX };
        model.run(&mut picker, now, &joined);
        model.fail_next = None;
        for _ in 0..200 {
            now = now + Duration::from_secs(1);
            model.run(&mut picker, now, &Step::Pick { peer: last, max: 5 });
            model.run(&mut picker, now, &Step::Deliver { peer: last, count: 5 });
            model.check_state(&picker);
        }
        prop_assert!(picker.is_complete());
        prop_assert_eq!(model.verified.len(), 12);
    }
}
