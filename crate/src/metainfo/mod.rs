//! What a torrent is: its info dictionary, files, pieces and hashes.
//!
//! Owns reading and writing `.torrent` files and magnet links (BEP 3, 9, 12, 19, 47, 53), the v1
//! half of hybrid torrents (BEP 52) included. Invariant of [`Metainfo`]: the number of piece hashes
//! fits the sum of file lengths, file offsets follow on each other, every path is safe and no two
//! are equal. Never reads a file or the network. [`bencode`] lies here and is used by
//! [`crate::wire`] too.

pub mod bencode;
pub mod create;
pub mod fold;
pub mod geometry;
pub mod magnet;
mod path;
pub mod tracker_url;

use bytes::Bytes;
use sha1::{Digest, Sha1};

use crate::sorted::Map;
use crate::types::{InfoHash, PieceIndex};
use bencode::{BencodeError, Document, Item, Limits, Value};
pub use create::{PieceHasher, TorrentBuilder};
pub use geometry::{FileSpan, Geometry, PieceRange};
pub use magnet::{MagnetError, MagnetLink};
use path::{MAX_PATH_DEPTH, PathTable};
pub use path::{SafePath, sanitize_component};
pub use tracker_url::{TrackerUrl, TrackerUrlError};

/// Longest info dictionary, bytes; a longer one is refused.
pub const MAX_INFO_LEN: usize = 8 * 1024 * 1024;
/// Most pieces; a torrent with more is refused.
pub const MAX_PIECES: usize = 1 << 18;
/// Longest piece, bytes; a torrent with longer ones is refused.
pub const MAX_PIECE_LENGTH: u32 = 64 * 1024 * 1024;
/// Most files, pad files included; a torrent with more is refused.
pub const MAX_FILES: usize = 1 << 16;
/// Most trackers kept; further ones are ignored.
pub const MAX_TRACKERS: usize = 128;
/// Most web seeds kept; further ones are ignored.
pub const MAX_WEB_SEEDS: usize = 64;
/// Longest tracker or web seed URL kept, bytes; longer ones are ignored.
pub const MAX_URL_LEN: usize = 2048;
/// Longest comment or creator kept, bytes; the rest is cut off.
pub const MAX_TEXT_LEN: usize = 4096;

/// Top-level key of the registry id of the title (32 bytes, payments.md section 7).
const CONTENT_KEY: &[u8] = b"pw.content";
/// SHA-1 hash, bytes.
const HASH_LEN: usize = 20;

/// Why a torrent is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// Not bencoding.
    #[error("not a valid torrent: {0}")]
    Bencode(#[from] BencodeError),
    /// A key is missing, or its value has the wrong type or range.
    #[error("not a valid torrent: `{0}` is missing or invalid")]
    Field(&'static str),
    /// BitTorrent v2 only (BEP 52).
    #[error(
        "this torrent is BitTorrent v2 only (BEP 52); only v1 and hybrid torrents are supported"
    )]
    OnlyV2,
    /// There is nothing in it.
    #[error("the torrent has no content")]
    Empty,
    /// The number of hashes does not fit the length.
    #[error(
        "the torrent has {hashes} piece hashes for {total_length} bytes in pieces of {piece_length}"
    )]
    PieceCount {
        /// Hashes.
        hashes: usize,
        /// Bytes.
        total_length: u64,
        /// Bytes.
        piece_length: u32,
    },
    /// A bound of this implementation.
    #[error("the torrent has {what} beyond the supported {max}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// The info dictionary is not the one that was asked for.
    #[error("the info dictionary has hash {actual}, expected {expected}")]
    InfoHashMismatch {
        /// Asked for.
        expected: InfoHash,
        /// Found.
        actual: InfoHash,
    },
}

/// A v1 torrent, or the v1 half of a hybrid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metainfo {
    /// SHA-1 of [`Metainfo::info`].
    pub info_hash: InfoHash,
    /// Name of the torrent: of its file, or of the folder of its files. A safe path component.
    pub name: String,
    /// Bytes of every piece but the last.
    pub piece_length: u32,
    /// SHA-1 of each piece, one after the other; see [`Metainfo::piece_hash`].
    pub piece_hashes: Bytes,
    /// In the order of their bytes; never empty.
    pub files: Vec<FileEntry>,
    /// Whether the torrent is a folder of files, not a single file.
    pub multi_file: bool,
    /// Bytes, pad files included; never zero.
    pub total_length: u64,
    /// Peers come from the trackers only (BEP 27).
    pub private: bool,
    /// The info dictionary's exact bytes.
    pub info: Bytes,
    /// Tracker URLs in tiers (BEP 12), not checked beyond UTF-8 and length.
    pub trackers: Vec<Vec<String>>,
    /// Web seed URLs (BEP 19), not checked beyond UTF-8 and length.
    pub web_seeds: Vec<String>,
    /// Free text.
    pub comment: Option<String>,
    /// Program that made it.
    pub created_by: Option<String>,
    /// Registry id of the title, from our optional top-level key `pw.content`.
    pub content: Option<[u8; 32]>,
}

/// One file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Where to keep it: the file's name for a torrent of a single file, else the torrent's name
    /// and the path below it. Made safe, so it may differ from what the torrent says.
    pub path: SafePath,
    /// Bytes.
    pub length: u64,
    /// Global offset of its first byte.
    pub offset: u64,
    /// Padding (BEP 47, `attr` has `p`): all zeros, never stored, never shown.
    pub pad: bool,
}

impl Metainfo {
    /// Reads a `.torrent` file.
    ///
    /// # Errors
    /// Says which part is missing, invalid or beyond a bound.
    pub fn from_torrent(torrent: &[u8]) -> Result<Self, MetainfoError> {
        let document = Document::parse(torrent, Limits::TORRENT)?;
        let root = document.root();
        if root.as_dict().is_none() {
            return Err(MetainfoError::Field("top-level dictionary"));
        }
        let info = root.get(b"info").ok_or(MetainfoError::Field("info"))?;
        let raw = Bytes::copy_from_slice(info.raw());
        let mut metainfo = Self::read_info(info, raw)?;
        metainfo.trackers = read_trackers(root);
        metainfo.web_seeds = read_web_seeds(root);
        metainfo.comment = root.get(b"comment").and_then(|v| v.as_text(MAX_TEXT_LEN));
        metainfo.created_by = root
            .get(b"created by")
            .and_then(|v| v.as_text(MAX_TEXT_LEN));
        metainfo.content = root
            .get(CONTENT_KEY)
            .and_then(|v| v.as_bytes()?.try_into().ok());
        Ok(metainfo)
    }

    /// Reads an info dictionary that came from peers (BEP 9), for the torrent `expected`.
    ///
    /// # Errors
    /// [`MetainfoError::InfoHashMismatch`] if it is another torrent's or damaged, else as
    /// [`Metainfo::from_torrent`].
    pub fn from_info(
        info: Bytes,
        expected: InfoHash,
        trackers: Vec<Vec<String>>,
    ) -> Result<Self, MetainfoError> {
        if info.len() > MAX_INFO_LEN {
            return Err(info_too_long());
        }
        let actual = hash_info(&info);
        if actual != expected {
            return Err(MetainfoError::InfoHashMismatch { expected, actual });
        }
        let document = Document::parse(&info, Limits::TORRENT)?;
        let mut metainfo = Self::read_info(document.root(), info.clone())?;
        metainfo.trackers = trackers;
        Ok(metainfo)
    }

    /// A `.torrent` file of this torrent, canonical around the info dictionary's exact bytes.
    pub fn to_torrent(&self) -> Vec<u8> {
        let mut entries: Map<&[u8], Item<'_>> = Map::new();
        entries.insert(b"info", Item::Raw(&self.info));
        if let Some(first) = self.trackers.iter().flatten().next() {
            entries.insert(b"announce", Item::str(first));
        }
        if self.trackers.iter().map(Vec::len).sum::<usize>() > 1 {
            let tiers = self
                .trackers
                .iter()
                .map(|tier| Item::List(tier.iter().map(|url| Item::str(url)).collect()));
            entries.insert(b"announce-list", Item::List(tiers.collect()));
        }
        if !self.web_seeds.is_empty() {
            let urls = self.web_seeds.iter().map(|url| Item::str(url)).collect();
            entries.insert(b"url-list", Item::List(urls));
        }
        if let Some(comment) = &self.comment {
            entries.insert(b"comment", Item::str(comment));
        }
        if let Some(created_by) = &self.created_by {
            entries.insert(b"created by", Item::str(created_by));
        }
        if let Some(content) = &self.content {
            entries.insert(CONTENT_KEY, Item::bytes(&content[..]));
        }
        Item::dict(entries).to_vec()
    }

    /// The arithmetic of pieces and blocks.
    pub fn geometry(&self) -> Geometry {
        // Both are checked non-zero and the piece count is bounded when this is built.
        Geometry::new(self.total_length, self.piece_length).unwrap_or(Geometry::ONE_BYTE)
    }

    /// Number of pieces, at least 1.
    pub fn piece_count(&self) -> u32 {
        (self.piece_hashes.len() / HASH_LEN) as u32
    }

    /// SHA-1 that the piece must have.
    pub fn piece_hash(&self, piece: PieceIndex) -> Option<[u8; 20]> {
        let start = (piece.0 as usize).checked_mul(HASH_LEN)?;
        self.piece_hashes
            .get(start..)?
            .first_chunk::<HASH_LEN>()
            .copied()
    }

    /// The parts of files that `length` bytes from `global_offset` cover; see [`geometry::spans`].
    pub fn spans(&self, global_offset: u64, length: u64) -> impl Iterator<Item = FileSpan> + '_ {
        geometry::spans(&self.files, global_offset, length)
    }

    /// The pieces that hold any byte of the file; none for an empty or unknown file.
    pub fn pieces_of_file(&self, file: u32) -> PieceRange {
        self.file_range_to_pieces(file, 0..u64::MAX)
    }

    /// The pieces that hold any byte of a range within the file; what lies past its end is cut off.
    pub fn file_range_to_pieces(&self, file: u32, range: core::ops::Range<u64>) -> PieceRange {
        let Some(entry) = self.files.get(file as usize) else {
            return PieceRange::EMPTY;
        };
        let end = range.end.min(entry.length);
        let start = range.start.min(end);
        self.geometry()
            .pieces_of(entry.offset + start..entry.offset + end)
    }

    /// A magnet link to this torrent (BEP 9).
    pub fn magnet(&self) -> MagnetLink {
        MagnetLink {
            display_name: Some(self.name.clone()),
            trackers: self.trackers.iter().flatten().cloned().collect(),
            web_seeds: self.web_seeds.clone(),
            content: self.content,
            ..MagnetLink::new(self.info_hash)
        }
    }

    fn read_info(info: Value<'_, '_>, raw: Bytes) -> Result<Self, MetainfoError> {
        if raw.len() > MAX_INFO_LEN {
            return Err(info_too_long());
        }
        if info.as_dict().is_none() {
            return Err(MetainfoError::Field("info"));
        }
        let Some(pieces) = info.get(b"pieces") else {
            let v2 = info.get(b"meta version").and_then(|v| v.as_int()) == Some(2);
            return Err(if v2 {
                MetainfoError::OnlyV2
            } else {
                MetainfoError::Field("info.pieces")
            });
        };
        let hashes = pieces
            .as_bytes()
            .filter(|h| h.len() % HASH_LEN == 0)
            .ok_or(MetainfoError::Field("info.pieces"))?;
        if hashes.len() / HASH_LEN > MAX_PIECES {
            return Err(MetainfoError::TooLarge {
                what: "pieces",
                max: MAX_PIECES as u64,
            });
        }
        let piece_length = info
            .get(b"piece length")
            .and_then(|v| v.as_u64())
            .filter(|len| *len > 0)
            .ok_or(MetainfoError::Field("info.piece length"))?;
        let piece_length = u32::try_from(piece_length)
            .ok()
            .filter(|len| *len <= MAX_PIECE_LENGTH)
            .ok_or(MetainfoError::TooLarge {
                what: "a piece length",
                max: u64::from(MAX_PIECE_LENGTH),
            })?;
        let raw_name = info
            .get(b"name.utf-8")
            .and_then(|v| v.as_bytes())
            .or_else(|| info.get(b"name")?.as_bytes())
            .ok_or(MetainfoError::Field("info.name"))?;
        let multi_file = info.get(b"files").is_some();
        let files = match info.get(b"files") {
            Some(files) => read_files(files, raw_name)?,
            None => vec![FileEntry {
                path: PathTable::default().insert([raw_name]),
                length: info
                    .get(b"length")
                    .and_then(|v| v.as_u64())
                    .ok_or(MetainfoError::Field("info.length"))?,
                offset: 0,
                pad: false,
            }],
        };
        let total_length = files.last().map_or(0, |f| f.offset + f.length);
        if total_length == 0 {
            return Err(MetainfoError::Empty);
        }
        let pieces_expected = total_length.div_ceil(u64::from(piece_length));
        if pieces_expected != (hashes.len() / HASH_LEN) as u64 {
            return Err(MetainfoError::PieceCount {
                hashes: hashes.len() / HASH_LEN,
                total_length,
                piece_length,
            });
        }
        // The hashes lie inside the info dictionary: share its memory.
        let end = pieces.range().end - info.range().start;
        let piece_hashes = raw.slice(end - hashes.len()..end);
        Ok(Metainfo {
            info_hash: hash_info(&raw),
            name: sanitize_component(raw_name),
            piece_length,
            piece_hashes,
            files,
            multi_file,
            total_length,
            private: info.get(b"private").and_then(|v| v.as_int()) == Some(1),
            info: raw,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            comment: None,
            created_by: None,
            content: None,
        })
    }
}

fn hash_info(info: &[u8]) -> InfoHash {
    InfoHash(Sha1::digest(info).into())
}

fn info_too_long() -> MetainfoError {
    MetainfoError::TooLarge {
        what: "an info dictionary",
        max: MAX_INFO_LEN as u64,
    }
}

fn read_files(files: Value<'_, '_>, name: &[u8]) -> Result<Vec<FileEntry>, MetainfoError> {
    let mut paths = PathTable::default();
    let mut out = Vec::new();
    let mut offset = 0u64;
    for file in files.as_list().ok_or(MetainfoError::Field("info.files"))? {
        if out.len() == MAX_FILES {
            return Err(MetainfoError::TooLarge {
                what: "files",
                max: MAX_FILES as u64,
            });
        }
        let length = file
            .get(b"length")
            .and_then(|v| v.as_u64())
            .ok_or(MetainfoError::Field("info.files.length"))?;
        let components = file
            .get(b"path.utf-8")
            .filter(|v| v.as_list().is_some())
            .or_else(|| file.get(b"path"))
            .and_then(|v| v.as_list())
            .ok_or(MetainfoError::Field("info.files.path"))?;
        let mut path = vec![name];
        for component in components {
            if path.len() == MAX_PATH_DEPTH {
                return Err(MetainfoError::TooLarge {
                    what: "a path depth",
                    max: MAX_PATH_DEPTH as u64,
                });
            }
            path.push(
                component
                    .as_bytes()
                    .ok_or(MetainfoError::Field("info.files.path"))?,
            );
        }
        if path.len() == 1 {
            return Err(MetainfoError::Field("info.files.path"));
        }
        let pad = file
            .get(b"attr")
            .and_then(|v| v.as_bytes())
            .is_some_and(|attr| attr.contains(&b'p'));
        out.push(FileEntry {
            path: paths.insert(path),
            length,
            offset,
            pad,
        });
        offset = offset
            .checked_add(length)
            .ok_or(MetainfoError::Field("info.files.length"))?;
    }
    Ok(out)
}

fn read_trackers(root: Value<'_, '_>) -> Vec<Vec<String>> {
    let mut left = MAX_TRACKERS;
    let mut tiers: Vec<Vec<String>> = Vec::new();
    let lists = root.get(b"announce-list").and_then(|v| v.as_list());
    for tier in lists.into_iter().flatten() {
        // Some writers put bare strings where a tier belongs.
        let urls: Vec<String> = match tier.as_list() {
            Some(urls) => urls.filter_map(url).take(left).collect(),
            None => url(tier).into_iter().take(left).collect(),
        };
        left -= urls.len();
        if !urls.is_empty() {
            tiers.push(urls);
        }
    }
    // BEP 12: with an announce-list, `announce` is ignored.
    if tiers.is_empty() {
        tiers.extend(root.get(b"announce").and_then(url).map(|url| vec![url]));
    }
    tiers
}

fn read_web_seeds(root: Value<'_, '_>) -> Vec<String> {
    let Some(list) = root.get(b"url-list") else {
        return Vec::new();
    };
    match list.as_list() {
        Some(urls) => urls.filter_map(url).take(MAX_WEB_SEEDS).collect(),
        None => url(list).into_iter().collect(),
    }
}

fn url(value: Value<'_, '_>) -> Option<String> {
    let url = value.as_str()?.trim();
    (!url.is_empty() && url.len() <= MAX_URL_LEN).then(|| url.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BUNNY: &[u8] = include_bytes!("../../fuzz/corpus/metainfo/bunny.torrent");
    const FOLDER: &[u8] = include_bytes!("../../fuzz/corpus/metainfo/folder.torrent");
    const LEAVES: &[u8] = include_bytes!("../../fuzz/corpus/metainfo/leaves.torrent");
    const LOTS: &[u8] = include_bytes!("../../fuzz/corpus/metainfo/lots-of-numbers.torrent");
    const CORRUPT: &[u8] = include_bytes!("../../fuzz/corpus/metainfo/corrupt.torrent");

    /// A torrent of whatever stands in its info dictionary.
    fn torrent(info: &str) -> Vec<u8> {
        format!("d4:info{info}e").into_bytes()
    }

    fn parse(info: &str) -> Result<Metainfo, MetainfoError> {
        Metainfo::from_torrent(&torrent(info))
    }

    const HASH: &str = "20:aaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn torrents_made_by_others_have_the_hash_that_others_see() {
        // Info hashes and sizes as npm `parse-torrent` gives them.
        for (torrent, hash, length, pieces, first) in [
            (
                BUNNY,
                "af8f10f30bf9aefecf3686922bfa0d5bd290a395",
                434_839_491,
                830,
                "bbb_sunflower_1080p_30fps_stereo_abl.mp4",
            ),
            (
                FOLDER,
                "b88da2caac6648e6c7d7687e3f89085f7e230e6b",
                15,
                1,
                "folder/file.txt",
            ),
            (
                LEAVES,
                "d2474e86c95b19b8bcfdb92bc12c9d44667cfa36",
                362_017,
                23,
                "Leaves of Grass by Walt Whitman.epub",
            ),
            (
                LOTS,
                "114ead6243792ba56297edbb9a78dfba84d4fc00",
                12,
                1,
                "lots-of-numbers/big numbers/10.txt",
            ),
        ] {
            let metainfo = Metainfo::from_torrent(torrent).unwrap();
            assert_eq!(metainfo.info_hash.to_hex(), hash);
            assert_eq!(metainfo.total_length, length);
            assert_eq!(metainfo.piece_count(), pieces);
            assert_eq!(metainfo.geometry().piece_count(), pieces);
            assert_eq!(metainfo.files[0].path.to_string(), first);
            assert_eq!(
                metainfo.multi_file,
                first.contains('/'),
                "{first} is a folder"
            );
            assert_eq!(
                Metainfo::from_torrent(&metainfo.to_torrent()),
                Ok(metainfo.clone())
            );
            let magnet: MagnetLink = metainfo.magnet().to_string().parse().unwrap();
            assert_eq!(magnet.info_hash, metainfo.info_hash);
        }
        let bunny = Metainfo::from_torrent(BUNNY).unwrap();
        assert!(bunny.private);
        assert_eq!(bunny.web_seeds.len(), 1);
    }

    #[test]
    fn hostile_paths_stay_inside_the_folder_and_apart() {
        let hostile = include_bytes!("../../fuzz/corpus/metainfo/hostile-paths.torrent");
        let metainfo = Metainfo::from_torrent(hostile).unwrap();
        let paths = metainfo.files.iter().map(|f| f.path.to_string());
        assert_eq!(
            paths.collect::<Vec<_>>(),
            [
                ".._/_/_/passwd",
                ".._/_CON",
                ".._/_con (2)",
                ".._/_ (2)",
                ".._/_CON (3)/x",
            ]
        );
    }

    #[test]
    fn a_torrent_without_a_name_is_refused() {
        assert_eq!(
            Metainfo::from_torrent(CORRUPT),
            Err(MetainfoError::Field("info.name"))
        );
    }

    #[test]
    fn an_info_dictionary_from_peers_must_have_the_hash() {
        let whole = Metainfo::from_torrent(LEAVES).unwrap();
        let trackers = vec![vec!["ws://tracker.example".to_owned()]];
        let read =
            Metainfo::from_info(whole.info.clone(), whole.info_hash, trackers.clone()).unwrap();
        assert_eq!(read.files, whole.files);
        assert_eq!(read.trackers, trackers);
        assert_eq!(
            read.piece_hash(PieceIndex(22)),
            whole.piece_hash(PieceIndex(22))
        );
        assert!(read.piece_hash(PieceIndex(22)).is_some());
        assert_eq!(read.piece_hash(PieceIndex(23)), None);
        let mut damaged = whole.info.to_vec();
        damaged[40] ^= 1;
        assert!(matches!(
            Metainfo::from_info(damaged.into(), whole.info_hash, Vec::new()),
            Err(MetainfoError::InfoHashMismatch { .. })
        ));
    }

    #[test]
    fn the_info_hash_is_over_the_bytes_as_they_are() {
        // Keys out of order: still readable, hashed as written.
        let info = format!("d6:pieces{HASH}4:name1:a12:piece lengthi16384e6:lengthi3ee");
        let metainfo = parse(&info).unwrap();
        assert_eq!(metainfo.info, info.as_bytes());
        assert_eq!(metainfo.info_hash.0, <[u8; 20]>::from(Sha1::digest(&info)));
        assert_eq!(metainfo.piece_hash(PieceIndex(0)), Some([b'a'; 20]));
    }

    #[test]
    fn pure_v2_is_named_as_such_and_a_hybrid_is_read_as_v1() {
        let tree =
            "9:file treed1:ad0:d6:lengthi3e11:pieces root32:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbeee";
        let v2 = format!("d{tree}12:meta versioni2e4:name1:a12:piece lengthi16384ee");
        assert_eq!(parse(&v2), Err(MetainfoError::OnlyV2));
        let hybrid = format!(
            "d{tree}6:lengthi3e12:meta versioni2e4:name1:a12:piece lengthi16384e6:pieces{HASH}e"
        );
        assert_eq!(parse(&hybrid).unwrap().total_length, 3);
        let neither = "d4:name1:a12:piece lengthi16384ee";
        assert_eq!(parse(neither), Err(MetainfoError::Field("info.pieces")));
    }

    #[test]
    fn pad_files_are_marked_and_files_lie_one_after_the_other() {
        let info = format!(
            "d5:filesld6:lengthi3e4:pathl1:xeed4:attr1:p6:lengthi16381e4:pathl4:.pad5:16381ee\
             d4:attr1:x6:lengthi5e4:pathl1:d1:yeee4:name1:n12:piece lengthi16384e6:pieces40:{}e",
            "h".repeat(40)
        );
        let metainfo = parse(&info).unwrap();
        let files: Vec<_> = metainfo
            .files
            .iter()
            .map(|f| (f.path.to_string(), f.offset, f.length, f.pad))
            .collect();
        assert_eq!(
            files,
            [
                ("n/x".to_owned(), 0, 3, false),
                ("n/.pad/16381".to_owned(), 3, 16_381, true),
                ("n/d/y".to_owned(), 16_384, 5, false),
            ]
        );
        assert_eq!(metainfo.pieces_of_file(0), PieceRange { start: 0, end: 1 });
        assert_eq!(metainfo.pieces_of_file(2), PieceRange { start: 1, end: 2 });
        assert!(metainfo.pieces_of_file(3).is_empty());
        assert!(metainfo.file_range_to_pieces(2, 5..9).is_empty());
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let single = |length: &str, piece_length: &str, pieces: &str| {
            parse(&format!(
                "d6:lengthi{length}e4:name1:a12:piece lengthi{piece_length}e6:pieces{pieces}e"
            ))
        };
        assert_eq!(single("0", "16384", "0:"), Err(MetainfoError::Empty));
        assert_eq!(
            single("16385", "16384", HASH),
            Err(MetainfoError::PieceCount {
                hashes: 1,
                total_length: 16_385,
                piece_length: 16_384
            })
        );
        let pieces = Err(MetainfoError::Field("info.pieces"));
        assert_eq!(single("1", "16384", "19:aaaaaaaaaaaaaaaaaaa"), pieces);
        let length = Err(MetainfoError::Field("info.piece length"));
        assert_eq!(single("1", "0", HASH), length);
        assert_eq!(single("1", "-1", HASH), length);
        assert!(matches!(
            single("1", "67108865", HASH),
            Err(MetainfoError::TooLarge { .. })
        ));
        let length = Err(MetainfoError::Field("info.length"));
        assert_eq!(single("-1", "16384", HASH), length);
        let overflow = format!(
            "d5:filesld6:lengthi{max}e4:pathl1:xeed6:lengthi{max}e4:pathl1:yeee\
             4:name1:n12:piece lengthi16384e6:pieces{HASH}e",
            max = u64::MAX
        );
        assert_eq!(
            parse(&overflow),
            Err(MetainfoError::Field("info.files.length"))
        );
        for path in ["le", "li1ee", "1:x"] {
            let bad = format!(
                "d5:filesld6:lengthi1e4:path{path}ee4:name1:n12:piece lengthi16384e6:pieces{HASH}e"
            );
            assert_eq!(parse(&bad), Err(MetainfoError::Field("info.files.path")));
        }
        let deep = format!(
            "d5:filesld6:lengthi1e4:pathl{}eee4:name1:n12:piece lengthi16384e6:pieces{HASH}e",
            "1:a".repeat(MAX_PATH_DEPTH)
        );
        assert!(matches!(parse(&deep), Err(MetainfoError::TooLarge { .. })));
    }

    #[test]
    fn too_many_pieces_and_files_are_refused() {
        let count = MAX_PIECES + 1;
        let info = format!(
            "d6:lengthi{count}e4:name1:a12:piece lengthi1e6:pieces{}:{}e",
            count * 20,
            "h".repeat(count * 20)
        );
        assert!(matches!(
            parse(&info),
            Err(MetainfoError::TooLarge { what: "pieces", .. })
        ));
        let info = format!(
            "d5:filesl{}e4:name1:n12:piece lengthi16384e6:pieces{HASH}e",
            "d6:lengthi0e4:pathl1:xee".repeat(MAX_FILES + 1)
        );
        assert!(matches!(
            parse(&info),
            Err(MetainfoError::TooLarge { what: "files", .. })
        ));
    }

    #[test]
    fn trackers_come_in_tiers_and_are_bounded() {
        let info = format!("d6:lengthi3e4:name1:a12:piece lengthi16384e6:pieces{HASH}e");
        let read = |rest: &str| {
            Metainfo::from_torrent(format!("d{rest}4:info{info}e").as_bytes())
                .unwrap()
                .trackers
        };
        assert_eq!(read("8:announce4:ws:a"), [["ws:a"]]);
        assert_eq!(
            read("8:announce4:ws:a13:announce-listll4:ws:b4:ws:cel4:ws:dee"),
            [vec!["ws:b", "ws:c"], vec!["ws:d"]]
        );
        assert_eq!(read("8:announce4:ws:a13:announce-listllee"), [["ws:a"]]);
        let many = format!("13:announce-listl{}e", "l4:ws:be".repeat(500));
        assert_eq!(read(&many).len(), MAX_TRACKERS);
    }

    #[test]
    fn the_registry_id_is_read_and_written() {
        let mut metainfo = Metainfo::from_torrent(FOLDER).unwrap();
        assert_eq!(metainfo.content, None);
        metainfo.content = Some([0xc5; 32]);
        let read = Metainfo::from_torrent(&metainfo.to_torrent()).unwrap();
        assert_eq!(read, metainfo);
    }

    proptest! {
        #[test]
        fn a_damaged_torrent_never_panics_and_what_is_accepted_adds_up(
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
            which in 0usize..3,
        ) {
            let mut bytes = [FOLDER, LEAVES, LOTS][which].to_vec();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(metainfo) = Metainfo::from_torrent(&bytes) {
                let total: u64 = metainfo.spans(0, u64::MAX).map(|s| s.length).sum();
                prop_assert_eq!(total, metainfo.total_length);
                prop_assert_eq!(metainfo.piece_count(), metainfo.geometry().piece_count());
                prop_assert_eq!(Metainfo::from_torrent(&metainfo.to_torrent()), Ok(metainfo));
            }
        }
    }
}
