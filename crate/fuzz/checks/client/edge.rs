//! What an edge keeps for the client: contents, a disk that a crash cuts back to its last flush, records,
//! a key, a chain. Effects are carried out when they are asked for; their results wait to be told.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use alloy_primitives::{Address, B256, U256, keccak256};
use bytes::Bytes;
use k256::ecdsa::SigningKey;
use piecework::client::{AccountState, Effect, EffectError, EffectResult, Signature, StorageOp};
use piecework::metainfo::create::TorrentBuilder;
use piecework::metainfo::{FileSpan, Metainfo};
use piecework::types::{EffectId, InfoHash, TokenUnits};
use sha1::{Digest, Sha1};

/// A file or scratch file that would grow beyond this is refused: storage is full.
const MAX_FILE_LEN: u64 = 1 << 20;
/// Effects that may be under way at once; more means that they pile up.
const MAX_PENDING: usize = 4096;

/// A torrent whose bytes are known.
pub struct Content {
    pub meta: Metainfo,
    pub bytes: Vec<u8>,
}

/// One file of five pieces, the last one short; a folder with an empty file in it.
pub static CONTENTS: LazyLock<[Content; 2]> = LazyLock::new(|| {
    let single = TorrentBuilder::single_file("film.mp4", 140_001).piece_length(32 * 1024);
    let folder = TorrentBuilder::new("series")
        .file(["one"], 20_000)
        .file(["empty"], 0)
        .file(["deep", "two"], 40_000)
        .piece_length(16 * 1024);
    [make(1, single), make(2, folder)]
});

fn make(seed: u32, builder: TorrentBuilder) -> Content {
    let mut state = seed;
    let bytes: Vec<u8> = (0..builder.total_length())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    let meta = builder.hasher().and_then(|mut hasher| {
        hasher.update(&bytes);
        builder.build(hasher.finish()?)
    });
    match meta {
        Ok(meta) => Content { meta, bytes },
        Err(error) => panic!("no torrent: {error}"),
    }
}

/// The content of an info hash.
pub fn content(info_hash: InfoHash) -> Option<&'static Content> {
    CONTENTS.iter().find(|c| c.meta.info_hash == info_hash)
}

/// Token units of one serial of the client's deposit.
pub const TRANCHE: TokenUnits = TokenUnits(10_000);
/// The secret of the client's session key, as [`sign`] takes it.
pub const CLIENT_KEY: u8 = 9;

/// Signs as a session key does: EIP-2098, low s.
pub fn sign(secret: u8, digest: B256) -> Signature {
    let signed = SigningKey::from_slice(&[secret; 32])
        .and_then(|key| key.sign_prehash_recoverable(digest.as_slice()));
    let (signature, id) = signed.unwrap_or_else(|error| panic!("not signed: {error}"));
    let (r, s) = signature.split_bytes();
    let mut vs: [u8; 32] = s.into();
    vs[0] |= u8::from(id.is_y_odd()) << 7;
    Signature {
        r: B256::from_slice(&r),
        vs: vs.into(),
    }
}

/// The address of a key of [`sign`].
pub fn address(secret: u8) -> Address {
    let key = SigningKey::from_slice(&[secret; 32]).unwrap_or_else(|error| panic!("{error}"));
    let point = key.verifying_key().to_encoded_point(false);
    Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
}

#[derive(Clone, Default)]
struct Image {
    files: Vec<Vec<u8>>,
    scratch: Vec<u8>,
}

#[derive(Default)]
struct Files {
    shape: Vec<(u64, bool)>,
    open: bool,
    now: Image,
    durable: Image,
}

/// An edge in memory, whose storage, chain and key fail when they are told to.
pub struct Edge {
    torrents: BTreeMap<InfoHash, Files>,
    records: BTreeMap<String, Bytes>,
    /// While set, storage fails in this way.
    pub failing: Option<EffectError>,
    /// What the chain says of every account.
    pub account: AccountState,
    pub chain_down: bool,
    pub signs: bool,
    pending: Vec<(EffectId, Result<EffectResult, EffectError>)>,
}

impl Edge {
    pub fn new(chain_id: u64) -> Edge {
        Edge {
            torrents: BTreeMap::new(),
            records: BTreeMap::new(),
            failing: None,
            account: AccountState {
                balance: TokenUnits(2_000_000),
                tranche: TRANCHE,
                consumed: 1,
                known: true,
                bond: TokenUnits(2_500_000),
                exit_at: 0,
                spent_word: U256::from(1),
                chain_id,
                block_number: 1,
                timestamp: 1_790_000_000,
            },
            chain_down: false,
            signs: true,
            pending: Vec::new(),
        }
    }

    pub fn records(&self) -> Vec<(String, Bytes)> {
        let records = self.records.iter();
        records.map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// The process stops: files close, nothing is told any more. A crash of the machine also loses what was not
    /// flushed.
    pub fn stop(&mut self, crash: bool) {
        self.pending.clear();
        for files in self.torrents.values_mut() {
            files.open = false;
            if crash {
                files.now = files.durable.clone();
            }
        }
    }

    /// Whether a torrent's files hold these bytes of its content at `offset`.
    pub fn holds(&self, content: &Content, offset: u64, length: u64) -> bool {
        let Some(files) = self.torrents.get(&content.meta.info_hash) else {
            return false;
        };
        let mut at = offset as usize;
        content.meta.spans(offset, length).all(|span| {
            let expected = &content.bytes[at..at + span.length as usize];
            at += expected.len();
            read(files, &span).is_ok_and(|bytes| bytes == expected)
        })
    }

    /// How many results wait.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Takes a result: the first, or any other.
    pub fn take(&mut self, at: usize) -> Option<(EffectId, Result<EffectResult, EffectError>)> {
        (at < self.pending.len()).then(|| self.pending.remove(at))
    }

    pub fn carry_out(&mut self, id: EffectId, effect: Effect) {
        assert!(
            self.pending.iter().all(|(other, _)| *other != id),
            "an id given again"
        );
        let result = self.run(effect);
        self.pending.push((id, result));
        assert!(self.pending.len() <= MAX_PENDING, "effects pile up");
    }

    fn run(&mut self, effect: Effect) -> Result<EffectResult, EffectError> {
        match effect {
            Effect::Sign { digest } if self.signs => {
                Ok(EffectResult::Signed(sign(CLIENT_KEY, digest)))
            }
            Effect::Sign { .. } => Err(EffectError::Signing("locked".to_owned())),
            Effect::ReadAccount { .. } if self.chain_down => {
                Err(EffectError::Chain("no answer".to_owned()))
            }
            Effect::ReadAccount { .. } => Ok(EffectResult::Account(self.account)),
            Effect::Hash { chunks } => {
                let mut hash = Sha1::new();
                chunks.iter().for_each(|chunk| hash.update(chunk));
                Ok(EffectResult::Hashed(hash.finalize().into()))
            }
            Effect::Storage { info_hash, op } => match &self.failing {
                // A close cannot be refused; whatever became of the files, they are closed.
                Some(error) if !matches!(op, StorageOp::Close { .. }) => Err(error.clone()),
                _ => self.store(info_hash, op),
            },
            Effect::PutRecords { records, .. } => {
                if let Some(error) = &self.failing {
                    return Err(error.clone());
                }
                for (key, value) in records {
                    match value {
                        Some(value) => self.records.insert(key, value),
                        None => self.records.remove(&key),
                    };
                }
                Ok(EffectResult::Done)
            }
        }
    }

    fn store(&mut self, info_hash: InfoHash, op: StorageOp) -> Result<EffectResult, EffectError> {
        match op {
            StorageOp::Open { files, .. } => {
                for (path, _) in &files {
                    let unsafe_part = |c: &String| {
                        matches!(c.as_str(), "" | "." | "..") || c.contains(['/', '\\'])
                    };
                    assert!(!path.iter().any(unsafe_part), "an unsafe path: {path:?}");
                }
                let stored = self.torrents.entry(info_hash).or_default();
                assert!(!stored.open, "open already");
                stored.open = true;
                stored.shape = files
                    .iter()
                    .map(|(path, len)| (*len, path.is_empty()))
                    .collect();
                stored.now.files.resize(files.len(), Vec::new());
                Ok(EffectResult::Opened {
                    file_lengths: stored.now.files.iter().map(|f| f.len() as u64).collect(),
                    scratch_length: stored.now.scratch.len() as u64,
                    changed: Vec::new(),
                })
            }
            StorageOp::Write { spans, chunks } => {
                let stored = self.opened(info_hash);
                let mut bytes = &chunks.concat()[..];
                let total: u64 = spans.iter().map(|s| s.length).sum();
                assert_eq!(total, bytes.len() as u64, "spans and chunks of a write");
                for span in spans {
                    let (length, pad) = stored.shape[span.file as usize];
                    assert!(span.offset + span.length <= length, "a write past the end");
                    let (part, rest) = bytes.split_at(span.length as usize);
                    bytes = rest;
                    if !pad {
                        write(&mut stored.now.files[span.file as usize], span.offset, part)?;
                    }
                }
                Ok(EffectResult::Done)
            }
            StorageOp::Read { spans } => {
                let stored = self.opened(info_hash);
                let mut out = Vec::new();
                for span in &spans {
                    out.extend_from_slice(&read(stored, span)?);
                }
                Ok(EffectResult::Read(out.into()))
            }
            StorageOp::Hash { spans } => {
                let stored = self.opened(info_hash);
                let mut hash = Sha1::new();
                for span in &spans {
                    hash.update(read(stored, span)?);
                }
                Ok(EffectResult::Hashed(hash.finalize().into()))
            }
            StorageOp::WriteScratch { offset, chunks } => {
                let stored = self.opened(info_hash);
                write(&mut stored.now.scratch, offset, &chunks.concat())?;
                Ok(EffectResult::Done)
            }
            StorageOp::ReadScratch { offset, length } => {
                let scratch = &self.opened(info_hash).now.scratch;
                (scratch.get(offset as usize..(offset + length) as usize))
                    .map(|bytes| EffectResult::Read(Bytes::copy_from_slice(bytes)))
                    .ok_or_else(|| EffectError::Missing("scratch ends before that".to_owned()))
            }
            StorageOp::Flush => {
                let stored = self.opened(info_hash);
                stored.durable = stored.now.clone();
                Ok(EffectResult::Done)
            }
            StorageOp::Close { delete } => {
                self.torrents.entry(info_hash).or_default().open = false;
                if delete {
                    self.torrents.remove(&info_hash);
                }
                Ok(EffectResult::Done)
            }
        }
    }

    fn opened(&mut self, info_hash: InfoHash) -> &mut Files {
        let files = self.torrents.get_mut(&info_hash);
        files
            .filter(|f| f.open)
            .unwrap_or_else(|| panic!("{info_hash} is not open"))
    }
}

fn read(files: &Files, span: &FileSpan) -> Result<Vec<u8>, EffectError> {
    let (_, pad) = files.shape[span.file as usize];
    if pad {
        return Ok(vec![0; span.length as usize]);
    }
    let range = span.offset as usize..(span.offset + span.length) as usize;
    (files.now.files[span.file as usize].get(range))
        .map(<[u8]>::to_vec)
        .ok_or_else(|| EffectError::Missing("the file ends before that".to_owned()))
}

fn write(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) -> Result<(), EffectError> {
    let end = offset + bytes.len() as u64;
    if end > MAX_FILE_LEN {
        return Err(EffectError::QuotaExceeded(
            "it would be too long".to_owned(),
        ));
    }
    if file.len() < end as usize {
        file.resize(end as usize, 0);
    }
    file[offset as usize..end as usize].copy_from_slice(bytes);
    Ok(())
}
