//! Whatever happens to pieces and blocks, all records of them agree.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::types::BLOCK_LEN;

const BLOCKS: u32 = 4;

impl Pieces {
    /// Panics unless all records of the pieces agree. For tests.
    pub(crate) fn assert_agrees(&self) {
        let mut out: BTreeSet<(ConnectionId, BlockRef)> = BTreeSet::new();
        let (mut begun, mut held, mut unsaved) = (0, 0, 0);
        for (piece, partial) in self.partials() {
            let (mut missing, mut requested) = (0, 0);
            for (number, block) in (0..).zip(partial.blocks()) {
                match block {
                    Block::Missing => missing += 1,
                    Block::Requested(by) => {
                        requested += 1;
                        assert!(!by.all().is_empty() && by.all().len() <= MAX_COPIES);
                    }
                    Block::Held(block) => {
                        let expected = self.geometry.block(piece, number).expect("a block");
                        assert_eq!(block.data.len(), expected.length as usize);
                    }
                }
            }
            for (conn, number) in partial.askers() {
                let block = self.geometry.block(piece, number).expect("a block");
                assert!(out.insert((conn, block)), "asked twice");
            }
            assert_eq!(partial.missing(), missing);
            assert_eq!(partial.requested(), requested);
            assert_eq!(self.unrequested.contains(&piece), missing > 0);
            assert!(!partial.is_sealed() || partial.is_complete());
            assert!(!self.done.contains(piece.0), "begun and done");
            begun += self.length_of(piece);
            held += partial.bytes();
            unsaved += partial.unsaved();
        }
        assert!(
            self.unrequested
                .iter()
                .all(|piece| self.partials.contains_key(piece))
        );
        assert_eq!(self.begun_bytes, begun);
        assert_eq!(self.held_bytes, held);
        assert_eq!(self.unsaved_bytes, unsaved);
        let indexed = self
            .requests
            .iter()
            .flat_map(|(conn, requests)| requests.keys().map(|block| (*conn, *block)));
        assert_eq!(indexed.collect::<BTreeSet<_>>(), out);
        for piece in self.geometry.pieces().iter() {
            let done = self.verified.contains(piece) || self.writing.contains_key(&piece);
            assert_eq!(self.done.contains(piece.0), done);
            assert!(!(self.verified.contains(piece) && self.writing.contains_key(&piece)));
        }
        for (piece, all) in self.suspects.pieces() {
            let ones: BTreeSet<_> = all.iter().map(|s| (s.from, s.block)).collect();
            assert_eq!(
                ones.len(),
                all.len(),
                "two copies of one block from one peer"
            );
            assert!(all.iter().all(|s| s.block.piece == piece));
        }
    }
}

fn pieces() -> Pieces {
    // Six pieces of four blocks, the last of one block and a bit.
    let total = 5 * u64::from(BLOCKS * BLOCK_LEN) + u64::from(BLOCK_LEN) + 100;
    Pieces::new(Geometry::new(total, BLOCKS * BLOCK_LEN).expect("sizes"))
}

fn block(pieces: &Pieces, piece: u32, number: u32) -> BlockRef {
    let geometry = pieces.geometry();
    let last = geometry.blocks_in(PieceIndex(piece)).expect("a piece") - 1;
    geometry
        .block(PieceIndex(piece), number.min(last))
        .expect("a block")
}

fn data(block: BlockRef, byte: u8) -> Bytes {
    Bytes::from(vec![byte; block.length as usize])
}

const NOW: Timestamp = Timestamp::ZERO;

fn brings(pieces: &mut Pieces, conn: u64, piece: u32, numbers: core::ops::Range<u32>) {
    pieces.begin(NOW, PieceIndex(piece), false);
    for number in numbers {
        let block = block(pieces, piece, number);
        let taken = pieces.receive(NOW, ConnectionId(conn), block, &data(block, conn as u8));
        assert_eq!(taken, Some(Taken::Wanted(Vec::new())));
    }
}

fn verify(pieces: &mut Pieces, piece: u32) -> VerifiedPiece {
    let digest = [7; 20];
    pieces
        .check(PieceIndex(piece), &digest, &digest)
        .expect("equal digests")
}

#[test]
fn a_piece_goes_through_its_standings_in_order() {
    let mut pieces = pieces();
    let piece = PieceIndex(2);
    assert_eq!(pieces.standing(piece), Standing::Missing);
    brings(&mut pieces, 1, 2, 0..3);
    assert_eq!(pieces.standing(piece), Standing::Begun);
    assert_eq!(pieces.seal(piece), None, "a block is missing");
    brings(&mut pieces, 1, 2, 3..4);
    assert_eq!(pieces.seal(piece).map(|chunks| chunks.len()), Some(4));
    assert_eq!(pieces.seal(piece), None, "it is sealed");
    assert_eq!(pieces.standing(piece), Standing::Hashing);
    let proof = verify(&mut pieces, 2);
    assert_eq!(
        pieces.write(proof).map(|partial| partial.received()),
        Some(4)
    );
    assert_eq!(pieces.standing(piece), Standing::Writing);
    assert!(pieces.done().contains(2) && !pieces.verified().contains(piece));
    assert!(pieces.written(piece) && !pieces.written(piece));
    assert_eq!(pieces.standing(piece), Standing::Verified);
    pieces.begin(NOW, piece, false);
    assert_eq!(
        pieces.standing(piece),
        Standing::Verified,
        "it is not begun again"
    );
    assert!(pieces.lost(piece) && !pieces.lost(piece));
    assert_eq!(pieces.standing(piece), Standing::Missing);
    pieces.assert_agrees();
}

#[test]
fn a_block_that_comes_is_cancelled_where_it_is_out_besides() {
    let mut pieces = pieces();
    let [first, second, third] = [1, 2, 3].map(ConnectionId);
    pieces.begin(NOW, PieceIndex(0), false);
    let block = pieces
        .request_next(NOW, first, PieceIndex(0))
        .expect("missing");
    assert_eq!(
        pieces.request_copy(NOW, second, PieceIndex(0), 0),
        Some(block)
    );
    assert_eq!(
        pieces.request_copy(NOW, second, PieceIndex(0), 0),
        None,
        "asked already"
    );
    assert_eq!(
        pieces.request_copy(NOW, third, PieceIndex(0), 0),
        Some(block)
    );
    assert_eq!(
        pieces.request_copy(NOW, ConnectionId(4), PieceIndex(0), 0),
        None,
        "enough"
    );
    assert_eq!(
        pieces.request_copy(NOW, third, PieceIndex(0), 1),
        None,
        "not out"
    );
    let taken = pieces.receive(NOW, second, block, &data(block, 0));
    assert_eq!(taken, Some(Taken::Wanted(vec![first, third])));
    assert!(
        [first, second, third]
            .iter()
            .all(|conn| pieces.requests(*conn).is_empty())
    );
    let again = pieces.receive(NOW, first, block, &data(block, 0));
    assert_eq!(again, Some(Taken::Duplicate));
    pieces.assert_agrees();
}

#[test]
fn what_failed_is_kept_for_its_sender_and_nobody_else() {
    let mut pieces = pieces();
    let piece = PieceIndex(1);
    brings(&mut pieces, 1, 1, 0..2);
    brings(&mut pieces, 2, 1, 2..4);
    pieces.note_advanced(piece, 0);
    assert_eq!(pieces.give_up(piece, GiveUp::Keep), []);
    assert_eq!(pieces.take_given_up(), [piece]);
    assert_eq!(pieces.suspects().count(piece, ConnectionId(1)), 2);
    pieces.begin(NOW, piece, true);
    pieces.take_up(piece, ConnectionId(1));
    let partial = pieces.partial(piece).expect("begun");
    assert_eq!(partial.received(), 2);
    assert!(partial.held_block(0).is_some_and(|held| held.advanced));
    assert_eq!(pieces.suspects().count(piece, ConnectionId(1)), 0);
    assert_eq!(pieces.suspects().count(piece, ConnectionId(2)), 2);
    // A block that was paid for and thrown away is reported.
    pieces.give_up(piece, GiveUp::Forget);
    let forgotten: Vec<BlockRef> = pieces.take_forgotten().iter().map(|s| s.block).collect();
    assert_eq!(forgotten, [block(&pieces, 1, 0)]);
    pieces.assert_agrees();
}

#[derive(Clone, Debug)]
enum Step {
    Begin(u32, bool),
    Request(u64, u32),
    Copy(u64, u32, u32),
    Receive(u64, u32, u32),
    GiveBack(u64, u32, u32),
    Own(u64, u32),
    Restore(u32, u32),
    Save(u32, u32, u8),
    Seal(u32),
    Write(u32),
    Written(u32),
    Lost(u32),
    GiveUp(u32, u8),
    TakeUp(u64, u32),
    KeepLate(u64, u32, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let (peer, piece, number) = (0u64..5, 0u32..6, 0u32..4);
    let block = (peer.clone(), piece.clone(), number.clone());
    let one = (peer.clone(), piece.clone());
    let at = (piece.clone(), number);
    prop_oneof![
        3 => (piece.clone(), any::<bool>()).prop_map(|(piece, whole)| Step::Begin(piece, whole)),
        8 => one.clone().prop_map(|(peer, piece)| Step::Request(peer, piece)),
        4 => block.clone().prop_map(|(peer, piece, n)| Step::Copy(peer, piece, n)),
        8 => block.clone().prop_map(|(peer, piece, n)| Step::Receive(peer, piece, n)),
        2 => block.clone().prop_map(|(peer, piece, n)| Step::GiveBack(peer, piece, n)),
        2 => one.clone().prop_map(|(peer, piece)| Step::Own(peer, piece)),
        1 => at.clone().prop_map(|(piece, n)| Step::Restore(piece, n)),
        2 => (at, 0u8..4).prop_map(|((piece, n), saved)| Step::Save(piece, n, saved)),
        2 => piece.clone().prop_map(Step::Seal),
        2 => piece.clone().prop_map(Step::Write),
        2 => piece.clone().prop_map(Step::Written),
        1 => piece.clone().prop_map(Step::Lost),
        1 => (piece, 0u8..3).prop_map(|(piece, how)| Step::GiveUp(piece, how)),
        2 => one.prop_map(|(peer, piece)| Step::TakeUp(peer, piece)),
        2 => block.prop_map(|(peer, piece, n)| Step::KeepLate(peer, piece, n)),
    ]
}

fn run(pieces: &mut Pieces, step: &Step) {
    match *step {
        Step::Begin(piece, whole) => pieces.begin(NOW, PieceIndex(piece), whole),
        Step::Request(peer, piece) => {
            pieces.request_next(NOW, ConnectionId(peer), PieceIndex(piece));
        }
        Step::Copy(peer, piece, number) => {
            pieces.request_copy(NOW, ConnectionId(peer), PieceIndex(piece), number);
        }
        Step::Receive(peer, piece, number) => {
            let block = block(pieces, piece, number);
            pieces.receive(NOW, ConnectionId(peer), block, &data(block, peer as u8));
        }
        Step::GiveBack(peer, piece, number) => {
            let block = block(pieces, piece, number);
            pieces.give_back(ConnectionId(peer), block);
        }
        Step::Own(peer, piece) => {
            if let Some(delivery) = pieces.delivery_mut(PieceIndex(piece)) {
                delivery.owner = PieceOwner::Sole(ConnectionId(peer));
            }
        }
        Step::Restore(piece, number) => {
            let block = block(pieces, piece, number);
            pieces.restore(NOW, block, data(block, 9), false);
        }
        Step::Save(piece, number, saved) => {
            let all = [Saved::No, Saved::Asked, Saved::Recorded, Saved::Flushed];
            pieces.set_saved(PieceIndex(piece), number, all[usize::from(saved)]);
        }
        Step::Seal(piece) => {
            pieces.seal(PieceIndex(piece));
        }
        Step::Write(piece) => {
            if pieces.standing(PieceIndex(piece)) == Standing::Hashing {
                let proof = verify(pieces, piece);
                pieces.write(proof);
            }
        }
        Step::Written(piece) => {
            pieces.written(PieceIndex(piece));
        }
        Step::Lost(piece) => {
            pieces.lost(PieceIndex(piece));
        }
        Step::GiveUp(piece, how) => {
            let all = [GiveUp::Keep, GiveUp::Forget, GiveUp::Drop];
            pieces.give_up(PieceIndex(piece), all[usize::from(how)]);
        }
        Step::TakeUp(peer, piece) => pieces.take_up(PieceIndex(piece), ConnectionId(peer)),
        Step::KeepLate(peer, piece, number) => {
            let block = block(pieces, piece, number);
            let from = ConnectionId(peer);
            let data = data(block, peer as u8);
            let advanced = false;
            pieces.keep_late(Suspect {
                from,
                block,
                data,
                advanced,
            });
        }
    }
}

proptest! {
    #[test]
    fn what_is_kept_of_pieces_and_blocks_agrees_whatever_happens(
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let mut pieces = pieces();
        for step in &steps {
            run(&mut pieces, step);
            pieces.assert_agrees();
        }
    }
}
