//! Where pieces, blocks and files lie in a torrent's byte range.
//!
//! Owns the arithmetic, in checked integers: an index out of range is `None` or `false`, never a
//! panic and never a wrapped number. Holds no file handles and no state of a download.

use core::ops::Range;

use super::FileEntry;
use crate::types::{BLOCK_LEN, BlockRef, PieceIndex};

/// The size of a torrent and of its pieces. At least one byte and one piece; at most `u32::MAX`
/// pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    total_length: u64,
    piece_length: u32,
}

impl Geometry {
    /// One byte in one piece.
    pub(super) const ONE_BYTE: Geometry = Geometry {
        total_length: 1,
        piece_length: 1,
    };

    /// `None` if either is zero or there would be more than `u32::MAX` pieces.
    pub fn new(total_length: u64, piece_length: u32) -> Option<Self> {
        if total_length == 0 || piece_length == 0 {
            return None;
        }
        u32::try_from(total_length.div_ceil(u64::from(piece_length))).ok()?;
        Some(Geometry {
            total_length,
            piece_length,
        })
    }

    /// Bytes of the whole torrent, pad files included.
    pub fn total_length(&self) -> u64 {
        self.total_length
    }

    /// Bytes of every piece but the last.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Number of pieces, at least 1.
    pub fn piece_count(&self) -> u32 {
        self.total_length.div_ceil(u64::from(self.piece_length)) as u32
    }

    /// All pieces.
    pub fn pieces(&self) -> PieceRange {
        PieceRange {
            start: 0,
            end: self.piece_count(),
        }
    }

    /// Whether the torrent has this piece.
    pub fn has_piece(&self, piece: PieceIndex) -> bool {
        piece.0 < self.piece_count()
    }

    /// Global offset of the piece's first byte.
    pub fn piece_offset(&self, piece: PieceIndex) -> Option<u64> {
        self.has_piece(piece)
            .then(|| u64::from(piece.0) * u64::from(self.piece_length))
    }

    /// Bytes of the piece; the last may be shorter.
    pub fn piece_len(&self, piece: PieceIndex) -> Option<u32> {
        let left = self.total_length - self.piece_offset(piece)?;
        Some(left.min(u64::from(self.piece_length)) as u32)
    }

    /// Number of blocks of the piece, at least 1.
    pub fn blocks_in(&self, piece: PieceIndex) -> Option<u32> {
        Some(self.piece_len(piece)?.div_ceil(BLOCK_LEN))
    }

    /// Number of blocks of the whole torrent.
    pub fn block_count(&self) -> u64 {
        let last = self.piece_count() - 1;
        let whole = u64::from(last) * u64::from(self.piece_length.div_ceil(BLOCK_LEN));
        whole + u64::from(self.blocks_in(PieceIndex(last)).unwrap_or(0))
    }

    /// Block `n` of the piece.
    pub fn block(&self, piece: PieceIndex, n: u32) -> Option<BlockRef> {
        let len = self.piece_len(piece)?;
        let begin = n.checked_mul(BLOCK_LEN).filter(|begin| *begin < len)?;
        Some(BlockRef {
            piece,
            begin,
            length: (len - begin).min(BLOCK_LEN),
        })
    }

    /// All blocks of the piece in order; none for a piece out of range.
    pub fn blocks(&self, piece: PieceIndex) -> impl Iterator<Item = BlockRef> + use<> {
        let geometry = *self;
        (0..self.blocks_in(piece).unwrap_or(0)).filter_map(move |n| geometry.block(piece, n))
    }

    /// The number of the block within its piece, if it is exactly one of [`Geometry::blocks`].
    pub fn block_number(&self, block: BlockRef) -> Option<u32> {
        let n = block.begin / BLOCK_LEN;
        (self.block(block.piece, n) == Some(block)).then_some(n)
    }

    /// Whether a request may be served: one byte to [`BLOCK_LEN`], inside its piece. It need not
    /// begin where our own blocks do.
    pub fn validate(&self, block: BlockRef) -> bool {
        let Some(len) = self.piece_len(block.piece) else {
            return false;
        };
        (1..=BLOCK_LEN).contains(&block.length)
            && u64::from(block.begin) + u64::from(block.length) <= u64::from(len)
    }

    /// Global offset of the block's first byte, for a valid block.
    pub fn block_offset(&self, block: BlockRef) -> Option<u64> {
        self.validate(block).then(|| {
            self.piece_offset(block.piece)
                .map(|o| o + u64::from(block.begin))
        })?
    }

    /// The piece that holds the byte at the global offset.
    pub fn piece_at(&self, offset: u64) -> Option<PieceIndex> {
        (offset < self.total_length)
            .then(|| PieceIndex((offset / u64::from(self.piece_length)) as u32))
    }

    /// The pieces that hold any byte of the global range; the part past the end is cut off.
    pub fn pieces_of(&self, range: Range<u64>) -> PieceRange {
        let end = range.end.min(self.total_length);
        if range.start >= end {
            return PieceRange::EMPTY;
        }
        let piece_length = u64::from(self.piece_length);
        PieceRange {
            start: (range.start / piece_length) as u32,
            end: end.div_ceil(piece_length) as u32,
        }
    }
}

/// Consecutive pieces, `end` excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceRange {
    /// First piece.
    pub start: u32,
    /// One past the last piece.
    pub end: u32,
}

impl PieceRange {
    /// No piece.
    pub const EMPTY: PieceRange = PieceRange { start: 0, end: 0 };

    /// Number of pieces.
    pub fn len(&self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the piece is one of them.
    pub fn contains(&self, piece: PieceIndex) -> bool {
        (self.start..self.end).contains(&piece.0)
    }

    /// The pieces in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = PieceIndex> + use<> {
        (self.start..self.end).map(PieceIndex)
    }
}

impl IntoIterator for PieceRange {
    type Item = PieceIndex;
    type IntoIter = core::iter::Map<Range<u32>, fn(u32) -> PieceIndex>;

    fn into_iter(self) -> Self::IntoIter {
        (self.start..self.end).map(PieceIndex)
    }
}

/// Part of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSpan {
    /// Index into [`super::Metainfo::files`].
    pub file: u32,
    /// First byte within the file.
    pub offset: u64,
    /// Bytes, at least 1.
    pub length: u64,
    /// The file is padding (BEP 47): reads as zeros and is never stored.
    pub pad: bool,
}

/// The parts of files that `length` bytes from `global_offset` cover, in order and without gaps. The part past the last
/// file is cut off; empty files never appear.
///
/// `files` are a torrent's, in order, with offsets that follow on each other.
pub fn spans(
    files: &[FileEntry],
    global_offset: u64,
    length: u64,
) -> impl Iterator<Item = FileSpan> + '_ {
    let end = global_offset.saturating_add(length);
    let first = files.partition_point(|f| f.offset.saturating_add(f.length) <= global_offset);
    files
        .iter()
        .enumerate()
        .skip(first)
        .take_while(move |(_, f)| f.offset < end)
        .filter_map(move |(index, f)| {
            let from = f.offset.max(global_offset);
            let to = f.offset.saturating_add(f.length).min(end);
            (from < to).then(|| FileSpan {
                file: index as u32,
                offset: from - f.offset,
                length: to - from,
                pad: f.pad,
            })
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::metainfo::path::PathTable;
    use proptest::prelude::*;

    fn files(lengths: &[(u64, bool)]) -> Vec<FileEntry> {
        let mut table = PathTable::default();
        let mut offset = 0;
        lengths
            .iter()
            .map(|(length, pad)| {
                let file = FileEntry {
                    path: table.insert([&b"f"[..]]),
                    length: *length,
                    offset,
                    pad: *pad,
                };
                offset += length;
                file
            })
            .collect()
    }

    #[test]
    fn the_last_piece_and_its_last_block_may_be_short() {
        let geometry = Geometry::new(100_000, 65_536).unwrap();
        let last = PieceIndex(1);
        assert_eq!(geometry.piece_count(), 2);
        assert_eq!(geometry.piece_len(PieceIndex(0)), Some(65_536));
        assert_eq!(geometry.piece_len(last), Some(34_464));
        assert_eq!(geometry.blocks_in(PieceIndex(0)), Some(4));
        assert_eq!(geometry.blocks_in(last), Some(3));
        assert_eq!(geometry.block_count(), 7);
        let short = geometry.block(last, 2).unwrap();
        assert_eq!((short.begin, short.length), (32_768, 1_696));
        assert_eq!(geometry.block_number(short), Some(2));
        assert_eq!(geometry.block_offset(short), Some(98_304));
        assert_eq!(geometry.block(last, 3), None);
        assert_eq!(geometry.block(last, u32::MAX), None);
        assert_eq!(geometry.piece_len(PieceIndex(2)), None);
        assert_eq!(geometry.piece_at(65_536), Some(last));
        assert_eq!(geometry.piece_at(100_000), None);
    }

    #[test]
    fn pieces_shorter_than_a_block_are_one_block() {
        let geometry = Geometry::new(25, 10).unwrap();
        assert_eq!(geometry.block_count(), 3);
        assert_eq!(geometry.block(PieceIndex(2), 0).unwrap().length, 5);
    }

    #[test]
    fn no_geometry_without_bytes_or_with_too_many_pieces() {
        assert_eq!(Geometry::new(0, 1), None);
        assert_eq!(Geometry::new(1, 0), None);
        assert_eq!(Geometry::new(u64::MAX, 1), None);
        assert_eq!(
            Geometry::new(u64::from(u32::MAX), 1).unwrap().piece_count(),
            u32::MAX
        );
    }

    #[test]
    fn only_requests_inside_their_piece_are_valid() {
        let geometry = Geometry::new(100_000, 65_536).unwrap();
        let valid = |piece, begin, length| {
            geometry.validate(BlockRef {
                piece: PieceIndex(piece),
                begin,
                length,
            })
        };
        assert!(valid(0, 0, 16_384));
        assert!(valid(0, 1, 1));
        assert!(valid(1, 32_768, 1_696));
        assert!(!valid(1, 32_768, 1_697));
        assert!(!valid(0, 0, 0));
        assert!(!valid(0, 0, 16_385));
        assert!(!valid(0, 65_536, 1));
        assert!(!valid(0, u32::MAX, 16_384));
        assert!(!valid(2, 0, 1));
        assert!(!valid(u32::MAX, 0, 1));
        let odd = BlockRef {
            piece: PieceIndex(0),
            begin: 1,
            length: 1,
        };
        assert_eq!(geometry.block_number(odd), None);
    }

    #[test]
    fn spans_skip_empty_files_and_mark_padding() {
        let files = files(&[
            (0, false),
            (3, false),
            (0, false),
            (5, true),
            (4, false),
            (0, false),
        ]);
        let span = |file, offset, length, pad| FileSpan {
            file,
            offset,
            length,
            pad,
        };
        let all: Vec<_> = spans(&files, 0, 100).collect();
        assert_eq!(
            all,
            [
                span(1, 0, 3, false),
                span(3, 0, 5, true),
                span(4, 0, 4, false)
            ]
        );
        let middle: Vec<_> = spans(&files, 2, 7).collect();
        assert_eq!(
            middle,
            [
                span(1, 2, 1, false),
                span(3, 0, 5, true),
                span(4, 0, 1, false)
            ]
        );
        assert_eq!(spans(&files, 12, 1).count(), 0);
        assert_eq!(spans(&files, u64::MAX, u64::MAX).count(), 0);
        assert_eq!(spans(&files, 5, 0).count(), 0);
    }

    proptest! {
        #[test]
        fn blocks_cover_every_byte_once(total in 1u64..3_000_000, piece_length in 1u32..200_000) {
            let geometry = Geometry::new(total, piece_length).unwrap();
            // Small pieces make many: look at the first, the last and one between.
            let count = geometry.piece_count();
            let mut blocks = 0u64;
            for piece in [0, count / 2, count - 1].map(PieceIndex) {
                let mut at = geometry.piece_offset(piece).unwrap();
                let end = at + u64::from(geometry.piece_len(piece).unwrap());
                for block in geometry.blocks(piece) {
                    prop_assert!(geometry.validate(block));
                    prop_assert_eq!(geometry.block_offset(block), Some(at));
                    at += u64::from(block.length);
                    blocks += 1;
                }
                prop_assert_eq!(at, end);
            }
            prop_assert!(blocks > 0);
            let sum: u64 = geometry
                .pieces()
                .iter()
                .map(|p| u64::from(geometry.blocks_in(p).unwrap()))
                .sum();
            prop_assert_eq!(geometry.block_count(), sum);
        }

        #[test]
        fn pieces_of_a_range_are_those_that_hold_its_bytes(
            total in 1u64..10_000,
            piece_length in 1u32..300,
            start in 0u64..12_000,
            len in 0u64..3_000,
        ) {
            let geometry = Geometry::new(total, piece_length).unwrap();
            let range = start..start + len;
            let mut expected: Vec<_> =
                range.clone().filter_map(|o| geometry.piece_at(o)).collect();
            expected.dedup();
            let found: Vec<_> = geometry.pieces_of(range).into_iter().collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn spans_cover_the_range_without_gaps(
            lengths in proptest::collection::vec((0u64..50, any::<bool>()), 1..20),
            start in 0u64..500,
            len in 0u64..300,
        ) {
            let files = files(&lengths);
            let total: u64 = lengths.iter().map(|(l, _)| l).sum();
            let mut at = start;
            for span in spans(&files, start, len) {
                let file = &files[span.file as usize];
                prop_assert_eq!(file.offset + span.offset, at);
                prop_assert!(span.length > 0 && span.offset + span.length <= file.length);
                prop_assert_eq!(span.pad, file.pad);
                at += span.length;
            }
            prop_assert_eq!(at, (start + len).min(total).max(start));
        }
    }
}
