//! Making a v1 torrent from files.
//!
//! Owns the choice of the piece length, the hashing of the bytes as they are read, and the info
//! dictionary. The caller reads the files, in the order in which it named them:
//!
//! ```
//! use piecework::metainfo::TorrentBuilder;
//!
//! let builder = TorrentBuilder::single_file("hello.txt", 5).tracker("ws://tracker.example");
//! let mut hasher = builder.hasher()?;
//! hasher.update(b"hello");
//! let metainfo = builder.build(hasher.finish()?)?;
//! assert_eq!(metainfo.files[0].path.to_string(), "hello.txt");
//! # Ok::<(), piecework::metainfo::create::CreateError>(())
//! ```

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::bencode::Item;
use super::{MAX_PIECE_LENGTH, MAX_PIECES, Metainfo, MetainfoError, hash_info};
use crate::sorted::Map;
use crate::types::BLOCK_LEN;

/// Smallest piece length chosen by itself, bytes: one block.
pub const MIN_DEFAULT_PIECE_LENGTH: u32 = BLOCK_LEN;
/// Largest piece length chosen by itself, bytes, unless the torrent would have too many pieces.
pub const MAX_DEFAULT_PIECE_LENGTH: u32 = 4 * 1024 * 1024;
/// Number of pieces that the choice stays under while it can.
const TARGET_PIECES: u64 = 1500;
/// From this total length on, pieces have at least [`PLAYABLE_PIECE_LENGTH`]. Below that, hashes and have messages
/// outweigh a player's gain by smaller pieces.
const PLAYABLE_FROM: u64 = 16 * 1024 * 1024;
const PLAYABLE_PIECE_LENGTH: u32 = 256 * 1024;

/// The reason why a torrent cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// The bytes hashed are not as many as the files have.
    #[error("{actual} bytes were hashed, the files have {expected}; did a file change meanwhile?")]
    Length {
        /// Sum of the files' lengths.
        expected: u64,
        /// Bytes hashed.
        actual: u64,
    },
    /// Piece length zero, or more than [`MAX_PIECE_LENGTH`].
    #[error("piece length {0} is not between 1 and {MAX_PIECE_LENGTH}")]
    PieceLength(u32),
    /// Too long for the most pieces at the given or largest piece length.
    #[error("{total_length} bytes are too many for pieces of {piece_length}")]
    TooLong {
        /// Sum of the files' lengths, in bytes.
        total_length: u64,
        /// Bytes of every piece but the last: the builder's choice, or the default for the length.
        piece_length: u32,
    },
    /// The result is not a torrent that we would read.
    #[error(transparent)]
    Metainfo(#[from] MetainfoError),
}

/// The piece length for this many bytes: a power of two from 16 KiB to 4 MiB that keeps the number of pieces below
/// about 1500, and at least 256 KiB from 16 MiB on. It is larger only when [`MAX_PIECES`] asks for it.
pub fn default_piece_length(total_length: u64) -> u32 {
    let mut length = match total_length {
        PLAYABLE_FROM.. => PLAYABLE_PIECE_LENGTH,
        _ => MIN_DEFAULT_PIECE_LENGTH,
    };
    let pieces = |length: u32| total_length.div_ceil(u64::from(length));
    while pieces(length) > TARGET_PIECES && length < MAX_DEFAULT_PIECE_LENGTH {
        length *= 2;
    }
    while pieces(length) > MAX_PIECES as u64 && length < MAX_PIECE_LENGTH {
        length *= 2;
    }
    length
}

/// Describes a torrent to be made. Names go into the torrent as they are given; the resulting
/// [`Metainfo`] has them made safe, in the same order.
#[derive(Clone, Debug)]
pub struct TorrentBuilder {
    name: String,
    files: Files,
    piece_length: Option<u32>,
    private: bool,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    comment: Option<String>,
    created_by: Option<String>,
    created: Option<u64>,
    content: Option<[u8; 32]>,
}

#[derive(Clone, Debug)]
enum Files {
    Single(u64),
    Folder(Vec<(Vec<String>, u64)>),
}

impl TorrentBuilder {
    /// A folder `name`, to be filled by [`TorrentBuilder::file`].
    pub fn new(name: impl Into<String>) -> Self {
        Self::with_files(name.into(), Files::Folder(Vec::new()))
    }

    /// A single file of `length` bytes.
    pub fn single_file(name: impl Into<String>, length: u64) -> Self {
        Self::with_files(name.into(), Files::Single(length))
    }

    fn with_files(name: String, files: Files) -> Self {
        TorrentBuilder {
            name,
            files,
            piece_length: None,
            private: false,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            comment: None,
            created_by: None,
            created: None,
            content: None,
        }
    }

    /// Adds a file of `length` bytes with its path's components below the folder. Turns a single file into a folder
    /// that holds only the added files.
    pub fn file<S: Into<String>>(mut self, path: impl IntoIterator<Item = S>, length: u64) -> Self {
        let entry = (path.into_iter().map(Into::into).collect(), length);
        match &mut self.files {
            Files::Folder(files) => files.push(entry),
            Files::Single(_) => self.files = Files::Folder(vec![entry]),
        }
        self
    }

    /// Bytes of a piece, instead of [`default_piece_length`].
    pub fn piece_length(mut self, bytes: u32) -> Self {
        self.piece_length = Some(bytes);
        self
    }

    /// Peers come from the trackers only (BEP 27).
    pub fn private(mut self, private: bool) -> Self {
        self.private = private;
        self
    }

    /// Adds a tracker in a tier of its own (BEP 12).
    pub fn tracker(mut self, url: impl Into<String>) -> Self {
        self.trackers.push(vec![url.into()]);
        self
    }

    /// Adds a web seed (BEP 19).
    pub fn web_seed(mut self, url: impl Into<String>) -> Self {
        self.web_seeds.push(url.into());
        self
    }

    /// Free text.
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// The program that makes it.
    pub fn created_by(mut self, program: impl Into<String>) -> Self {
        self.created_by = Some(program.into());
        self
    }

    /// When it is made, in seconds since 1970.
    pub fn created(mut self, seconds: u64) -> Self {
        self.created = Some(seconds);
        self
    }

    /// Registry id of the title (docs/protocol.md, "Content").
    pub fn content(mut self, content: [u8; 32]) -> Self {
        self.content = Some(content);
        self
    }

    /// Bytes of all files.
    pub fn total_length(&self) -> u64 {
        match &self.files {
            Files::Single(length) => *length,
            Files::Folder(files) => files.iter().fold(0, |sum, (_, l)| sum.saturating_add(*l)),
        }
    }

    /// A hasher to be fed with the files' bytes, one after the other in the order given.
    ///
    /// # Errors
    /// No content, or a piece length that is out of bounds.
    pub fn hasher(&self) -> Result<PieceHasher, CreateError> {
        let total_length = self.total_length();
        if total_length == 0 {
            return Err(MetainfoError::Empty.into());
        }
        let piece_length = self
            .piece_length
            .unwrap_or_else(|| default_piece_length(total_length));
        if !(1..=MAX_PIECE_LENGTH).contains(&piece_length) {
            return Err(CreateError::PieceLength(piece_length));
        }
        if total_length.div_ceil(u64::from(piece_length)) > MAX_PIECES as u64 {
            return Err(CreateError::TooLong {
                total_length,
                piece_length,
            });
        }
        Ok(PieceHasher {
            expected: total_length,
            piece_length,
            hashed: 0,
            piece: Sha1::new(),
            in_piece: 0,
            hashes: Vec::new(),
        })
    }

    /// The torrent.
    ///
    /// # Errors
    /// Hashes of another length than this torrent's, or a torrent we would refuse to read: an
    /// empty path, too many files.
    pub fn build(self, hashes: PieceHashes) -> Result<Metainfo, CreateError> {
        if hashes.total_length != self.total_length() {
            return Err(CreateError::Length {
                expected: self.total_length(),
                actual: hashes.total_length,
            });
        }
        let mut info: Map<&[u8], Item<'_>> = Map::new();
        info.insert(b"name", Item::str(&self.name));
        info.insert(b"piece length", Item::Int(i128::from(hashes.piece_length)));
        info.insert(b"pieces", Item::bytes(&hashes.hashes[..]));
        if self.private {
            info.insert(b"private", Item::Int(1));
        }
        match &self.files {
            Files::Single(length) => {
                info.insert(b"length", Item::Int(i128::from(*length)));
            }
            Files::Folder(files) => {
                let files = files.iter().map(|(path, length)| {
                    let path = path.iter().map(|c| Item::str(c)).collect();
                    let file: [(&[u8], Item<'_>); 2] = [
                        (b"length", Item::Int(i128::from(*length))),
                        (b"path", Item::List(path)),
                    ];
                    Item::dict(file)
                });
                info.insert(b"files", Item::List(files.collect()));
            }
        }
        let info = Bytes::from(Item::dict(info).to_vec());
        let info_hash = hash_info(&info);
        Ok(Metainfo {
            web_seeds: self.web_seeds,
            comment: self.comment,
            created_by: self.created_by,
            created: self.created,
            content: self.content,
            title: None,
            ..Metainfo::from_info(info, info_hash, self.trackers)?
        })
    }
}

/// Hashes a torrent's bytes piece by piece as they come; holds no more than the hashes.
#[derive(Clone, Debug)]
pub struct PieceHasher {
    expected: u64,
    piece_length: u32,
    hashed: u64,
    piece: Sha1,
    in_piece: u32,
    hashes: Vec<u8>,
}

/// The hashes that a [`PieceHasher`] computed, for [`TorrentBuilder::build`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceHashes {
    total_length: u64,
    piece_length: u32,
    hashes: Vec<u8>,
}

impl PieceHasher {
    /// Bytes of a piece.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Bytes hashed so far.
    pub fn hashed(&self) -> u64 {
        self.hashed
    }

    /// The next bytes, in portions of any size. Bytes beyond the files' lengths are counted and
    /// not hashed.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let left = self.expected.saturating_sub(self.hashed);
        self.hashed = self.hashed.saturating_add(bytes.len() as u64);
        bytes = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        while !bytes.is_empty() {
            let room = (self.piece_length - self.in_piece) as usize;
            let (part, rest) = bytes.split_at(bytes.len().min(room));
            self.piece.update(part);
            self.in_piece += part.len() as u32;
            if self.in_piece == self.piece_length {
                self.end_piece();
            }
            bytes = rest;
        }
    }

    /// The hashes of all pieces.
    ///
    /// # Errors
    /// [`CreateError::Length`] if fewer or more bytes came than the files have.
    pub fn finish(mut self) -> Result<PieceHashes, CreateError> {
        if self.hashed != self.expected {
            return Err(CreateError::Length {
                expected: self.expected,
                actual: self.hashed,
            });
        }
        if self.in_piece > 0 {
            self.end_piece();
        }
        Ok(PieceHashes {
            total_length: self.expected,
            piece_length: self.piece_length,
            hashes: self.hashes,
        })
    }

    fn end_piece(&mut self) {
        self.hashes.extend_from_slice(&self.piece.finalize_reset());
        self.in_piece = 0;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::types::PieceIndex;
    use proptest::prelude::*;

    #[test]
    fn the_folder_that_others_made_is_made_the_same() {
        // npm `webtorrent-fixtures`, `numbers`: files of 1, 2 and 3 bytes made by `create-torrent`.
        let theirs =
            Metainfo::from_torrent(include_bytes!("../../fuzz/corpus/metainfo/numbers.torrent"))
                .unwrap();
        let builder = TorrentBuilder::new("numbers")
            .file(["1.txt"], 1)
            .file(["2.txt"], 2)
            .file(["3.txt"], 3);
        let mut hasher = builder.hasher().unwrap();
        hasher.update(b"1");
        hasher.update(b"22333");
        let ours = builder.build(hasher.finish().unwrap()).unwrap();
        assert_eq!(ours.piece_hashes, theirs.piece_hashes);
        assert_eq!(ours.files, theirs.files);
        assert_eq!(ours.info_hash, theirs.info_hash);
    }

    #[test]
    fn what_was_said_is_in_the_torrent() {
        let builder = TorrentBuilder::single_file("v.mp4", 40_000)
            .piece_length(16_384)
            .private(true)
            .tracker("wss://a.example")
            .tracker("wss://b.example")
            .web_seed("https://w.example/v.mp4")
            .comment("a comment")
            .created_by("Piecework")
            .created(1_769_990_400)
            .content([9; 32]);
        let mut hasher = builder.hasher().unwrap();
        hasher.update(&vec![1; 40_000]);
        let made = builder.build(hasher.finish().unwrap()).unwrap();
        assert!(made.private && !made.multi_file);
        assert_eq!(made.created, Some(1_769_990_400));
        assert_eq!(made.trackers.len(), 2);
        assert_eq!(made.piece_count(), 3);
        let last: [u8; 20] = Sha1::digest([1; 40_000 - 32_768]).into();
        assert_eq!(made.piece_hash(PieceIndex(2)), Some(last));
        assert_eq!(Metainfo::from_torrent(&made.to_torrent()), Ok(made));
    }

    #[test]
    fn piece_lengths_suit_the_size() {
        const MIB: u64 = 1024 * 1024;
        for (total, length) in [
            (1, 16 * 1024),
            (15 * MIB, 16 * 1024),
            (50 * MIB, 256 * 1024),
            (300 * MIB, 256 * 1024),
            (700 * MIB, 512 * 1024),
            (4096 * MIB, 4 * 1024 * 1024),
            (100 * 1024 * MIB, 4 * 1024 * 1024),
            (2 * 1024 * 1024 * MIB, 8 * 1024 * 1024),
            (u64::MAX, MAX_PIECE_LENGTH),
        ] {
            assert_eq!(default_piece_length(total), length, "{total}");
        }
    }

    #[test]
    fn too_few_or_too_many_bytes_are_an_error() {
        let builder = TorrentBuilder::single_file("x", 10);
        for actual in [9u64, 11, 100_000] {
            let mut hasher = builder.hasher().unwrap();
            hasher.update(&vec![0; actual as usize]);
            let expected = 10;
            let error = hasher.finish().unwrap_err();
            assert_eq!(error, CreateError::Length { expected, actual });
        }
        let mut hasher = builder.hasher().unwrap();
        hasher.update(&[0; 10]);
        let other = TorrentBuilder::single_file("x", 11).build(hasher.finish().unwrap());
        assert!(matches!(other, Err(CreateError::Length { .. })));
    }

    #[test]
    fn what_cannot_be_a_torrent_is_refused_before_hashing() {
        let empty = TorrentBuilder::new("x").file(["a"], 0).hasher();
        assert_eq!(empty.unwrap_err(), MetainfoError::Empty.into());
        for length in [0, MAX_PIECE_LENGTH + 1] {
            let builder = TorrentBuilder::single_file("x", 1).piece_length(length);
            assert_eq!(
                builder.hasher().unwrap_err(),
                CreateError::PieceLength(length)
            );
        }
        let long = TorrentBuilder::single_file("x", MAX_PIECES as u64 + 1).piece_length(1);
        assert!(matches!(
            long.hasher().unwrap_err(),
            CreateError::TooLong { .. }
        ));
    }

    proptest! {
        #[test]
        fn hashes_do_not_depend_on_the_portions(
            data in proptest::collection::vec(any::<u8>(), 1..400),
            piece_length in 1u32..50,
            portion in 1usize..100,
        ) {
            let builder = TorrentBuilder::single_file("x", data.len() as u64)
                .piece_length(piece_length);
            let mut hasher = builder.hasher().unwrap();
            for part in data.chunks(portion) {
                hasher.update(part);
            }
            let made = builder.build(hasher.finish().unwrap()).unwrap();
            for (n, piece) in data.chunks(piece_length as usize).enumerate() {
                let hash: [u8; 20] = Sha1::digest(piece).into();
                prop_assert_eq!(made.piece_hash(PieceIndex(n as u32)), Some(hash));
            }
        }
    }
}
