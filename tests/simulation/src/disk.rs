//! One client's storage: files, scratch and records, and the part of them that a crash leaves.
//!
//! A write is readable at once and durable after the next flush. A crash keeps each write that was not flushed wholly,
//! in part or not at all, as chance has it. Lasting records are durable when their effect ends, and so are all before
//! them; others are durable after [`RECORDS_GATHER`]. Of those after them a crash keeps the first few, as chance has
//! it. A process that is killed leaves all that it wrote, still not flushed.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use piecework::client::{Effect, EffectError, EffectResult, RECORDS_GATHER, StorageOp};
use piecework::journal::Batch;
use piecework::metainfo::FileSpan;
use piecework::storage::decode_have;
use piecework::time::Timestamp;
use piecework::torrent::record_key;
use piecework::types::{Durability, InfoHash};

use crate::content::Content;
use crate::digests::Digests;
use crate::random::Random;

/// The files and records of one client, each as it is now and as it is durable.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    torrents: BTreeMap<InfoHash, Files>,
    records: BTreeMap<String, Bytes>,
    full: bool,
    durable_records: BTreeMap<String, Bytes>,
    /// Put since the last lasting ones, in order, and when.
    puts: Vec<(Timestamp, Batch)>,
}

#[derive(Clone, Debug, Default)]
struct Files {
    /// Length that a file may have, and whether it is a pad file.
    shape: Vec<(u64, bool)>,
    now: Image,
    durable: Image,
    /// Not flushed, in order.
    writes: Vec<Pending>,
    /// Files that this process hashed: a flush also makes earlier writes to them durable.
    hashed: BTreeSet<u32>,
    open: bool,
}

#[derive(Clone, Debug, Default)]
struct Image {
    files: Vec<File>,
    scratch: File,
}

/// A file's bytes.
#[derive(Clone, Debug)]
enum File {
    /// As they were laid in place: shared with the content, because many nodes have them and none changes them.
    Placed(Bytes),
    /// Written to.
    Written(Vec<u8>),
}

impl Default for File {
    fn default() -> Self {
        File::Written(Vec::new())
    }
}

impl core::ops::Deref for File {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            File::Placed(bytes) => bytes,
            File::Written(bytes) => bytes,
        }
    }
}

impl File {
    /// A part that is there.
    fn slice(&self, range: Range<usize>) -> Bytes {
        match self {
            File::Placed(bytes) => bytes.slice(range),
            File::Written(bytes) => Bytes::copy_from_slice(&bytes[range]),
        }
    }

    /// To write to.
    fn own(&mut self) -> &mut Vec<u8> {
        if let File::Placed(bytes) = self {
            *self = File::Written(bytes.to_vec());
        }
        match self {
            File::Written(bytes) => bytes,
            File::Placed(_) => unreachable!("it is its own now"),
        }
    }
}

#[derive(Clone, Debug)]
struct Pending {
    place: Place,
    offset: u64,
    bytes: Bytes,
    /// By a process that was killed.
    foreign: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    File(u32),
    Scratch,
}

impl Disk {
    /// Everything that was put and not deleted.
    pub fn records(&self) -> Vec<(String, Bytes)> {
        (self.records.iter())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Lays the whole content in place, durable, as if it had been there for long.
    pub fn place(&mut self, content: &Content) {
        let files = (content.metainfo.files.iter())
            .map(|f| {
                let from = f.offset as usize;
                File::Placed(content.bytes.slice(from..from + f.length as usize))
            })
            .collect();
        let image = Image {
            files,
            scratch: File::default(),
        };
        let stored = self.torrents.entry(content.info_hash()).or_default();
        stored.now = image.clone();
        stored.durable = image;
    }

    /// The files' bytes as a reader would see them now.
    pub fn holds(&self, content: &Content) -> bool {
        let Some(stored) = self.torrents.get(&content.info_hash()) else {
            return false;
        };
        (content.metainfo.files.iter().enumerate()).all(|(i, f)| {
            let from = f.offset as usize;
            let expected = &content.bytes[from..from + f.length as usize];
            f.pad
                || stored
                    .now
                    .files
                    .get(i)
                    .is_some_and(|file| **file == *expected)
        })
    }

    /// Overwrites durable bytes behind the client's back: bit rot.
    pub fn rot(&mut self, info_hash: InfoHash, file: u32, offset: u64) {
        let stored = self.torrents.get_mut(&info_hash).unwrap();
        for image in [&mut stored.now, &mut stored.durable] {
            image.files[file as usize].own()[offset as usize] ^= 0x55;
        }
    }

    /// No write goes through from now on, or each does again.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Pieces that the have-record names and the files hold.
    pub fn recorded(&self, content: &Content) -> BTreeSet<u32> {
        let info_hash = content.info_hash();
        let length = content.metainfo.piece_length;
        let pieces = content.bytes.len().div_ceil(length as usize) as u32;
        let record = (self.records.get(&record_key(info_hash, "have")))
            .and_then(|bytes| decode_have(bytes, pieces));
        let (Some(record), Some(stored)) = (record, self.torrents.get(&info_hash)) else {
            return BTreeSet::new();
        };
        let held = |piece: &u32| {
            let from = u64::from(*piece) * u64::from(length);
            let to = (from + u64::from(length)).min(content.bytes.len() as u64);
            let mut at = from as usize;
            content.spans(from, to - from).iter().all(|span| {
                let expected = &content.bytes[at..at + span.length as usize];
                at += expected.len();
                span.pad || stored.read(span).is_ok_and(|bytes| bytes == expected)
            })
        };
        record.have.iter().filter(held).collect()
    }

    /// The process stops.
    pub fn close(&mut self) {
        for stored in self.torrents.values_mut() {
            stored.close();
        }
    }

    /// The machine stops.
    pub fn crash(&mut self, random: &mut Random, now: Timestamp) {
        let puts = core::mem::take(&mut self.puts);
        let gathered = puts.partition_point(|(at, _)| *at + RECORDS_GATHER <= now);
        let kept = gathered + random.index(puts.len() - gathered + 1);
        for (_, records) in puts.into_iter().take(kept) {
            put(&mut self.durable_records, records);
        }
        self.records = self.durable_records.clone();
        for stored in self.torrents.values_mut() {
            for write in core::mem::take(&mut stored.writes) {
                let kept = match random.number(0..3) {
                    0 => 0,
                    1 => random.index(write.bytes.len() + 1),
                    _ => write.bytes.len(),
                };
                let bytes = &write.bytes[..kept];
                stored.durable.write(write.place, write.offset, bytes);
            }
            stored.now = stored.durable.clone();
            stored.close();
        }
    }

    /// Carries out a storage or record effect.
    pub fn run(&mut self, effect: Effect, now: Timestamp) -> Result<EffectResult, EffectError> {
        self.run_knowing(&Digests::default(), effect, now)
    }

    /// The same, with pieces whose digests need no computing.
    pub(crate) fn run_knowing(
        &mut self,
        digests: &Digests,
        effect: Effect,
        now: Timestamp,
    ) -> Result<EffectResult, EffectError> {
        match effect {
            Effect::Storage { info_hash, op } => self.store(digests, info_hash, op),
            Effect::Hash { chunks } => {
                let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| &chunk[..]).collect();
                Ok(EffectResult::Hashed(digests.of(&chunks)))
            }
            Effect::PutRecords {
                records,
                durability,
            } => {
                put(&mut self.records, records.clone());
                self.puts.push((now, records));
                if durability == Durability::PowerLoss {
                    self.puts.clear();
                    self.durable_records = self.records.clone();
                }
                Ok(EffectResult::Done)
            }
            Effect::Sign { .. } | Effect::ReadAccount { .. } => {
                panic!("not an effect of a disk: {effect:?}")
            }
        }
    }

    fn store(
        &mut self,
        digests: &Digests,
        info_hash: InfoHash,
        op: StorageOp,
    ) -> Result<EffectResult, EffectError> {
        match op {
            StorageOp::Write { .. } | StorageOp::WriteScratch { .. } if self.full => {
                Err(EffectError::QuotaExceeded("no space is left".to_owned()))
            }
            StorageOp::Open { files, .. } => Ok(self.open(info_hash, &files)),
            StorageOp::Write { spans, chunks } => {
                let stored = self.opened(info_hash);
                let mut bytes = joined(chunks);
                let total: u64 = spans.iter().map(|s| s.length).sum();
                assert_eq!(total, bytes.len() as u64, "spans and chunks of a write");
                for span in spans {
                    let (length, pad) = stored.shape[span.file as usize];
                    assert!(span.offset + span.length <= length, "a write past the end");
                    assert!(!pad, "a write to a pad file");
                    let part = bytes.split_to(span.length as usize);
                    stored.write(Place::File(span.file), span.offset, part);
                }
                Ok(EffectResult::Done)
            }
            StorageOp::Read { spans } => {
                let stored = self.opened(info_hash);
                if let [span] = &spans[..] {
                    stored.read(span)?;
                    let range = span.offset as usize..(span.offset + span.length) as usize;
                    let file = &stored.now.files[span.file as usize];
                    return Ok(EffectResult::Read(file.slice(range)));
                }
                let parts = spans.iter().map(|span| stored.read(span));
                let parts: Vec<&[u8]> = parts.collect::<Result<_, _>>()?;
                Ok(EffectResult::Read(parts.concat().into()))
            }
            StorageOp::Hash { spans } => {
                let stored = self.opened(info_hash);
                for span in &spans {
                    stored.hashed.insert(span.file);
                }
                let stored = &*stored;
                let is_pad = |span: &FileSpan| stored.shape[span.file as usize].1;
                let pads = spans.iter().filter(|span| is_pad(span));
                let zeros = vec![0; pads.map(|span| span.length).max().unwrap_or(0) as usize];
                let chunks = spans.iter().map(|span| match is_pad(span) {
                    true => Ok(&zeros[..span.length as usize]),
                    false => stored.read(span),
                });
                let chunks: Vec<&[u8]> = chunks.collect::<Result<_, _>>()?;
                Ok(EffectResult::Hashed(digests.of(&chunks)))
            }
            StorageOp::WriteScratch { offset, chunks } => {
                let stored = self.opened(info_hash);
                stored.write(Place::Scratch, offset, joined(chunks));
                Ok(EffectResult::Done)
            }
            StorageOp::ReadScratch { offset, length } => {
                let scratch = &self.opened(info_hash).now.scratch;
                let range = offset as usize..(offset + length) as usize;
                (scratch.get(range))
                    .map(|bytes| EffectResult::Read(Bytes::copy_from_slice(bytes)))
                    .ok_or_else(|| EffectError::Missing("scratch ends before that".into()))
            }
            StorageOp::Flush => {
                self.opened(info_hash).flush();
                Ok(EffectResult::Done)
            }
            StorageOp::Close { delete } => {
                self.opened(info_hash).close();
                if delete {
                    self.torrents.remove(&info_hash);
                }
                Ok(EffectResult::Done)
            }
        }
    }

    fn open(&mut self, info_hash: InfoHash, files: &[(Vec<String>, u64)]) -> EffectResult {
        let stored = self.torrents.entry(info_hash).or_default();
        assert!(!stored.open, "{info_hash} is open already");
        stored.open = true;
        stored.shape = (files.iter())
            .map(|(path, length)| (*length, path.is_empty()))
            .collect();
        for (path, _) in files {
            let safe =
                |c: &String| !c.is_empty() && c != "." && c != ".." && !c.contains(['/', '\\']);
            assert!(path.iter().all(safe), "an unsafe path: {path:?}");
        }
        stored.now.files.resize(files.len(), File::default());
        stored.durable.files.resize(files.len(), File::default());
        EffectResult::Opened {
            file_lengths: stored.now.files.iter().map(|f| f.len() as u64).collect(),
            scratch_length: stored.now.scratch.len() as u64,
            changed: Vec::new(),
        }
    }

    fn opened(&mut self, info_hash: InfoHash) -> &mut Files {
        let stored = self.torrents.get_mut(&info_hash);
        let stored = stored.expect("storage is opened before it is used");
        assert!(stored.open, "storage of {info_hash} is closed");
        stored
    }
}

/// Chunks as one; a single one is not copied.
pub(crate) fn joined(chunks: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(chunks) {
        Ok([chunk]) => chunk,
        Err(chunks) => chunks.concat().into(),
    }
}

fn put(stored: &mut BTreeMap<String, Bytes>, records: Batch) {
    for (key, value) in records {
        match value {
            Some(value) => stored.insert(key, value),
            None => stored.remove(&key),
        };
    }
}

impl Files {
    fn write(&mut self, place: Place, offset: u64, bytes: Bytes) {
        self.now.write(place, offset, &bytes);
        let range = offset..offset + bytes.len() as u64;
        self.writes.retain(|old| {
            let end = old.offset + old.bytes.len() as u64;
            old.place != place || old.offset < range.start || end > range.end
        });
        self.writes.push(Pending {
            place,
            offset,
            bytes,
            foreign: false,
        });
    }

    fn flush(&mut self) {
        let hashed = &self.hashed;
        let reached = |write: &Pending| match write.place {
            Place::File(file) => !write.foreign || hashed.contains(&file),
            Place::Scratch => !write.foreign,
        };
        for write in core::mem::take(&mut self.writes) {
            if reached(&write) {
                self.durable.write(write.place, write.offset, &write.bytes);
            } else {
                self.writes.push(write);
            }
        }
    }

    fn close(&mut self) {
        self.open = false;
        self.hashed.clear();
        for write in &mut self.writes {
            write.foreign = true;
        }
    }

    fn read(&self, span: &FileSpan) -> Result<&[u8], EffectError> {
        let range = span.offset as usize..(span.offset + span.length) as usize;
        (self.now.files[span.file as usize].get(range))
            .ok_or_else(|| EffectError::Missing(format!("file {} ends before that", span.file)))
    }
}

impl Image {
    fn write(&mut self, place: Place, offset: u64, bytes: &[u8]) {
        let file = match place {
            Place::File(index) => &mut self.files[index as usize],
            Place::Scratch => &mut self.scratch,
        };
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        let file = file.own();
        if file.len() == from {
            return file.extend_from_slice(bytes);
        }
        if file.len() < to {
            file.resize(to, 0);
        }
        file[from..to].copy_from_slice(bytes);
    }
}
