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

    /// The pieces that hold any byte of the global range; what lies past the end is cut off.
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

/// The parts of files that `length` bytes from `global_offset` cover, in order and without gaps.
/// What lies past the last file is cut off; empty files never appear.
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
