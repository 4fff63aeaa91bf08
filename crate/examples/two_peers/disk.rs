//! Storage in memory, and the other work that the core gives away: hashing and records.

use std::collections::BTreeMap;

use bytes::Bytes;
use piecework::client::{Effect, EffectError, EffectResult, StorageOp};
use sha1::{Digest, Sha1};

/// Storage in memory: the one file of the title, the scratch file, and the records.
#[derive(Default)]
pub struct Disk {
    pub file: Vec<u8>,
    scratch: Vec<u8>,
    records: BTreeMap<String, Bytes>,
}

impl Disk {
    /// Does the work at once. A real edge does it beside the client, and gives the result when it is there.
    pub fn carry_out(&mut self, effect: Effect) -> Result<EffectResult, EffectError> {
        match effect {
            Effect::Storage { op, .. } => self.store(op),
            Effect::Hash { chunks } => Ok(hashed(&chunks.concat())),
            Effect::PutRecords { records, .. } => {
                for (key, value) in records {
                    match value {
                        Some(value) => self.records.insert(key, value),
                        None => self.records.remove(&key),
                    };
                }
                Ok(EffectResult::Done)
            }
            Effect::Sign { .. } => Err(EffectError::Signing("there is no key".into())),
            Effect::ReadAccount { .. } => Err(EffectError::Chain("there is no chain".into())),
        }
    }

    /// Every run of bytes is one span, because the title has one file.
    fn store(&mut self, op: StorageOp) -> Result<EffectResult, EffectError> {
        match op {
            StorageOp::Open { .. } => Ok(EffectResult::Opened {
                file_lengths: vec![self.file.len() as u64],
                scratch_length: self.scratch.len() as u64,
                changed: Vec::new(),
            }),
            StorageOp::Write { spans, chunks } => write(&mut self.file, spans[0].offset, &chunks),
            StorageOp::WriteScratch { offset, chunks } => write(&mut self.scratch, offset, &chunks),
            StorageOp::Read { spans } => {
                read(&self.file, spans[0].offset, spans[0].length).map(EffectResult::Read)
            }
            StorageOp::ReadScratch { offset, length } => {
                read(&self.scratch, offset, length).map(EffectResult::Read)
            }
            StorageOp::Hash { spans } => {
                read(&self.file, spans[0].offset, spans[0].length).map(|bytes| hashed(&bytes))
            }
            StorageOp::Flush | StorageOp::Close { .. } => Ok(EffectResult::Done),
        }
    }
}

fn read(file: &[u8], from: u64, length: u64) -> Result<Bytes, EffectError> {
    let bytes = file.get(from as usize..(from + length) as usize);
    bytes
        .map(Bytes::copy_from_slice)
        .ok_or_else(|| EffectError::Missing("the file ends before that".into()))
}

fn write(file: &mut Vec<u8>, offset: u64, chunks: &[Bytes]) -> Result<EffectResult, EffectError> {
    let bytes = chunks.concat();
    let (from, to) = (offset as usize, offset as usize + bytes.len());
    file.resize(file.len().max(to), 0);
    file[from..to].copy_from_slice(&bytes);
    Ok(EffectResult::Done)
}

fn hashed(bytes: &[u8]) -> EffectResult {
    EffectResult::Hashed(Sha1::digest(bytes).into())
}
