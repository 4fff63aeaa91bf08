//! A torrent with its bytes.

use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use piecework::metainfo::create::{PieceHashes, TorrentBuilder};
use piecework::metainfo::{FileSpan, Metainfo};
use piecework::types::InfoHash;
use sha1::{Digest, Sha1};

use crate::random::Random;

/// Films of different bytes. Those of more seeds have the bytes of earlier ones under other names, so that hundreds of
/// runs do not draw and hash their own.
const FILMS: u64 = 79;
/// Odd, so that no two films of one net have a block in common.
const BETWEEN_FILMS: usize = 20_011;

/// A torrent and its content.
#[derive(Clone, Debug)]
pub struct Content {
    /// The torrent.
    pub metainfo: Metainfo,
    /// All its bytes, pad files included.
    pub bytes: Bytes,
}

impl Content {
    /// One file of random bytes.
    pub fn file(seed: u64, length: usize, piece_length: u32) -> Content {
        let builder = TorrentBuilder::single_file(format!("film {seed}.mp4"), length as u64);
        Content::make(seed, builder, length, piece_length)
    }

    /// A folder with files of these lengths.
    pub fn folder(seed: u64, lengths: &[usize], piece_length: u32) -> Content {
        let builder = (lengths.iter().enumerate()).fold(
            TorrentBuilder::new(format!("series {seed}")),
            |builder, (i, &length)| builder.file([format!("part {i}")], length as u64),
        );
        Content::make(seed, builder, lengths.iter().sum(), piece_length)
    }

    /// A folder with a name and paths of any bytes, as no builder would make it.
    pub fn named(seed: u64, name: &[u8], files: &[(Vec<Vec<u8>>, usize)]) -> Content {
        let total = files.iter().map(|(_, length)| length).sum();
        let mut bytes = vec![0; total];
        Random::new(seed ^ 0xc0_47e4).fill(&mut bytes);
        let piece_length = 32 * 1024;
        let hashes: Vec<u8> = (bytes.chunks(piece_length))
            .flat_map(|piece| Sha1::digest(piece).to_vec())
            .collect();
        let mut info = b"d5:filesl".to_vec();
        for (path, length) in files {
            info.extend(format!("d6:lengthi{length}e4:pathl").bytes());
            path.iter().for_each(|part| put_string(&mut info, part));
            info.extend(b"ee");
        }
        info.extend(b"e4:name");
        put_string(&mut info, name);
        info.extend(format!("12:piece lengthi{piece_length}e6:pieces").bytes());
        put_string(&mut info, &hashes);
        info.push(b'e');
        let info_hash = InfoHash(Sha1::digest(&info).into());
        let metainfo = Metainfo::from_info(info.into(), info_hash, Vec::new());
        Content {
            metainfo: metainfo.expect("a torrent with odd names is a torrent"),
            bytes: bytes.into(),
        }
    }

    fn make(seed: u64, builder: TorrentBuilder, length: usize, piece_length: u32) -> Content {
        let film = seed % FILMS;
        let bytes = film_bytes(film, length);
        let builder = builder.piece_length(piece_length);
        let hashes = film_hashes((film, length, piece_length), || {
            let mut hasher = builder.hasher().unwrap();
            hasher.update(&bytes);
            hasher.finish().unwrap()
        });
        let metainfo = builder.build(hashes).unwrap();
        assert_eq!(metainfo.total_length as usize, bytes.len());
        Content { metainfo, bytes }
    }

    /// Its info hash.
    pub fn info_hash(&self) -> InfoHash {
        self.metainfo.info_hash
    }

    /// The .torrent file.
    pub fn torrent(&self) -> Bytes {
        self.metainfo.to_torrent().into()
    }

    /// The magnet link.
    pub fn magnet(&self) -> String {
        self.metainfo.magnet().to_string()
    }

    /// Pieces in all.
    pub fn piece_count(&self) -> u32 {
        self.metainfo.piece_count()
    }

    /// Bytes `range` of a file.
    pub fn file_bytes(&self, file: u32, range: Range<u64>) -> Bytes {
        let offset = self.metainfo.files[file as usize].offset;
        (self.bytes).slice((offset + range.start) as usize..(offset + range.end) as usize)
    }

    /// The place in the files of a run of bytes.
    pub fn spans(&self, offset: u64, length: u64) -> Vec<FileSpan> {
        self.metainfo.spans(offset, length).collect()
    }
}

/// Bytes `film` of all films, which are parts of one run of random bytes.
fn film_bytes(film: u64, length: usize) -> Bytes {
    static ALL: Mutex<Bytes> = Mutex::new(Bytes::new());
    let from = film as usize * BETWEEN_FILMS;
    let mut all = ALL.lock().unwrap();
    if all.len() < from + length {
        // A longer run begins with the same bytes.
        let mut longer = vec![0; (from + length).next_power_of_two()];
        Random::new(0xc0_47e4).fill(&mut longer);
        *all = longer.into();
    }
    all.slice(from..from + length)
}

/// The hashes of a film of this number and length, in pieces of this length.
fn film_hashes(key: (u64, usize, u32), hash: impl FnOnce() -> PieceHashes) -> PieceHashes {
    static KNOWN: Mutex<BTreeMap<(u64, usize, u32), PieceHashes>> = Mutex::new(BTreeMap::new());
    let known = KNOWN.lock().unwrap().get(&key).cloned();
    known.unwrap_or_else(|| {
        let hashes = hash();
        KNOWN.lock().unwrap().insert(key, hashes.clone());
        hashes
    })
}

/// A bencoded string (BEP 3).
fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(format!("{}:", text.len()).bytes());
    out.extend(text);
}
