//! A torrent: its info dictionary, files, pieces and hashes.
//!
//! Owns reading and writing `.torrent` files and magnet links (BEP 3, 9, 12, 19, 47, 53), the v1
//! half of hybrid torrents (BEP 52) included. Invariant of [`Metainfo`]: the number of piece hashes
//! fits the sum of file lengths, file offsets follow on each other, every path is safe and no two
//! are equal. Never reads a file or the network. [`bencode`] lies here and is used by
//! [`crate::wire`] too.
//!
//! The reader accepts all that other clients accept, because the hash is over the info dictionary's bytes as they are,
//! and nothing around it is hashed: bytes after the end, a key twice (the first counts), numbers that nobody needs.
//! Where two readings would give other files, ours is libtorrent's.

pub mod bencode;
pub mod create;
pub mod fold;
pub mod geometry;
pub mod magnet;
mod path;
pub mod raw;
pub mod tracker_url;
pub mod web_seed;

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
pub use web_seed::{WebSeedUrl, WebSeedUrlError};

/// Longest info dictionary, bytes; a longer one is refused.
pub const MAX_INFO_LEN: usize = 8 * 1024 * 1024;
/// Most pieces; a torrent with more is refused. Their hashes fill [`MAX_INFO_LEN`] nearly.
pub const MAX_PIECES: usize = 400_000;
/// Longest piece, bytes; a torrent with longer ones is refused. A page holds a piece in memory until it is verified,
/// and pays in advance for one that may prove bad.
pub const MAX_PIECE_LENGTH: u32 = 64 * 1024 * 1024;
/// Most files, pad files included; a torrent with more is refused.
pub const MAX_FILES: usize = 1 << 17;
/// Most trackers kept; further ones are ignored.
pub const MAX_TRACKERS: usize = 128;
/// Most web seeds kept; further ones are ignored.
pub const MAX_WEB_SEEDS: usize = 64;
/// Longest tracker or web seed URL kept, bytes; longer ones are ignored.
pub const MAX_URL_LEN: usize = 2048;
/// Longest comment or creator kept, bytes; the rest is cut off.
pub const MAX_TEXT_LEN: usize = 4096;
/// Longest signed title kept, bytes; a longer one is ignored.
pub const MAX_TITLE_LEN: usize = 16 * 1024;

/// Top-level key of the registry id of the title (32 bytes; docs/protocol.md, "Content").
const CONTENT_KEY: &[u8] = b"pw.content";
const TITLE_KEY: &[u8] = b"pw.title";
/// BitComet's name for its padding files, which it does not mark.
const BITCOMET_PADDING: &[u8] = b"_____padding_file_";
/// SHA-1 hash, bytes.
const HASH_LEN: usize = 20;

/// Why a torrent is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// Not bencoding.
    #[error("{0}")]
    Bencode(#[from] BencodeError),
    /// A key is missing, or its value has the wrong type or range.
    #[error("`{0}` is missing or invalid")]
    Field(&'static str),
    /// BitTorrent v2 only (BEP 52).
    #[error(
        "this torrent is BitTorrent v2 only (BEP 52); only v1 and hybrid torrents are supported"
    )]
    OnlyV2,
    /// The torrent has no bytes.
    #[error("the torrent has no content")]
    Empty,
    /// The number of hashes does not fit the length.
    #[error(
        "the torrent has {hashes} piece hashes for {total_length} bytes in pieces of {piece_length}"
    )]
    PieceCount {
        /// Number of SHA-1 hashes in the info dictionary's `pieces`.
        hashes: usize,
        /// Sum of the files' lengths in bytes, pad files included.
        total_length: u64,
        /// Bytes of every piece but the last, as the info dictionary says.
        piece_length: u32,
    },
    /// A bound of this implementation.
    #[error("the torrent has {what} beyond the supported {max}")]
    TooLarge {
        /// The thing that there is too much of.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// The info dictionary is of another torrent than the caller asked for.
    #[error("the info dictionary has hash {actual}, expected {expected}")]
    InfoHashMismatch {
        /// The hash that the caller asked for.
        expected: InfoHash,
        /// SHA-1 of the info dictionary that came instead.
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
    /// When it was made, in seconds since 1970.
    pub created: Option<u64>,
    /// Registry id of the title, from our optional top-level key `pw.content`.
    pub content: Option<[u8; 32]>,
    /// What a publisher says of it and signed, from our optional top-level key `pw.title`: a bencoded value, not looked
    /// at here (docs/titles.md).
    pub title: Option<Bytes>,
}

/// One file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// The place to keep it: the file's name for a torrent of a single file, else the torrent's name and the path below
    /// it. Made safe, so it may differ from the torrent's own names.
    pub path: SafePath,
    /// Length of the file in bytes, as the info dictionary says; zero for a symbolic link.
    pub length: u64,
    /// Global offset of its first byte.
    pub offset: u64,
    /// Not a file (BEP 47): padding (`attr` has `p`), which is all zeros, or a symbolic link (`l`), which has no bytes
    /// and is never made or followed. It is never stored and never shown. It is in the list so that files keep their
    /// numbers.
    pub pad: bool,
}

impl Metainfo {
    /// Reads a `.torrent` file.
    ///
    /// # Errors
    /// The error names the part that is missing, invalid or beyond a bound.
    pub fn from_torrent(torrent: &[u8]) -> Result<Self, MetainfoError> {
        // Servers and editors leave newlines and comments behind the end.
        let document = Document::parse_prefix(torrent, Limits::TORRENT)?;
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
        metainfo.created = root
            .get(b"creation date")
            .and_then(|v| v.as_int()?.try_into().ok());
        metainfo.content = root
            .get(CONTENT_KEY)
            .and_then(|v| v.as_bytes()?.try_into().ok());
        let title = root.get(TITLE_KEY).map(|v| v.raw());
        metainfo.title = title
            .filter(|raw| raw.len() <= MAX_TITLE_LEN)
            .map(Bytes::copy_from_slice);
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
        if let Some(created) = self.created {
            entries.insert(b"creation date", Item::Int(i128::from(created)));
        }
        if let Some(content) = &self.content {
            entries.insert(CONTENT_KEY, Item::bytes(&content[..]));
        }
        if let Some(title) = &self.title {
            entries.insert(TITLE_KEY, Item::Raw(title));
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

    /// The pieces that hold any byte of a range within the file; the part past its end is cut off.
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
        let raw_name = read_name(info).ok_or(MetainfoError::Field("info.name"))?;
        let file_list = info.get(b"files").filter(|v| v.as_list().is_some());
        let multi_file = file_list.is_some();
        let files = match file_list {
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
            created: None,
            content: None,
            title: None,
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
        let has = |letter| {
            let attr = file.get(b"attr").and_then(|v| v.as_bytes());
            attr.is_some_and(|attr| attr.contains(&letter))
        };
        let is_link = has(b'l');
        let length = match file.get(b"length").and_then(|v| v.as_u64()) {
            // A link contributes no bytes to the torrent, whatever length it names.
            _ if is_link => 0,
            length => length.ok_or(MetainfoError::Field("info.files.length"))?,
        };
        let padding = length.to_string();
        let path = match read_path(file, name)? {
            Some(path) => path,
            None if has(b'p') => vec![name, b".pad", padding.as_bytes()],
            None => return Err(MetainfoError::Field("info.files.path")),
        };
        let file_name = path.last().copied().unwrap_or_default();
        let is_padding = has(b'p') || file_name.starts_with(BITCOMET_PADDING);
        out.push(FileEntry {
            path: paths.insert(path),
            length,
            offset,
            pad: is_padding || is_link,
        });
        offset = offset
            .checked_add(length)
            .ok_or(MetainfoError::Field("info.files.length"))?;
    }
    Ok(out)
}

/// The torrent's name as it stands there.
fn read_name<'a>(info: Value<'_, 'a>) -> Option<&'a [u8]> {
    info.get(b"name.utf-8")
        .and_then(|v| v.as_bytes())
        .filter(|name| !name.is_empty())
        .or_else(|| info.get(b"name")?.as_bytes())
}

/// The place of a file, below the torrent's name. `None`: neither of its two keys gives it.
fn read_path<'a>(
    file: Value<'_, 'a>,
    name: &'a [u8],
) -> Result<Option<Vec<&'a [u8]>>, MetainfoError> {
    for key in [&b"path.utf-8"[..], b"path"] {
        let Some(components) = file.get(key).and_then(|v| v.as_list()) else {
            continue;
        };
        let mut path = vec![name];
        for component in components {
            if path.len() == MAX_PATH_DEPTH {
                return Err(MetainfoError::TooLarge {
                    what: "a path depth",
                    max: MAX_PATH_DEPTH as u64,
                });
            }
            let component = component.as_bytes();
            path.push(component.ok_or(MetainfoError::Field("info.files.path"))?);
        }
        if path.len() > 1 {
            return Ok(Some(path));
        }
    }
    Ok(None)
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
mod tests;
