//! A write-ahead log of batches of small records, in two files that take turns.
//!
//! A database's transaction costs a browser some milliseconds; a write into an open file costs microseconds. So a batch
//! is appended here, and then outlives the process. Some time later the database takes all gathered batches in one
//! transaction, together with the number of the last one. The next start reads back the batches with a higher number
//! than the database has. It ignores all others.
//!
//! Owns the files. Invariants: batches are read back in the order in which they were appended, each whole or not at
//! all, and none after one that is missing. A file is begun anew only when every batch in it is in the database: when
//! the other file holds [`TURN_BYTES`], and at a start. Entries are not flushed: the database's transaction makes them
//! outlive a loss of power.
//!
//! ```text
//! file:   "PWJ1"  salt 16  entry*
//! entry:  length of the body 4  number 8  body  check 8
//! body:   (length of the key 2  key  length of the value 4 or ffffffff for "deleted"  value)*
//! check:  the first 8 bytes of SHA-1(salt | number | body)
//! ```
//!
//! Numbers are big-endian. The salt is random and new each time a file is begun. So neither the remains of an earlier
//! turn behind the end, nor a stranger's bytes in a value, ever read as an entry.

use core::mem;

use bytes::Bytes;
use sha1::{Digest, Sha1};

/// Keys with their new value, or `None` for those that are deleted. Keys are our own, and much shorter than 64 KiB.
pub type Batch = Vec<(String, Option<Bytes>)>;

/// When a file holds this much, the journal turns to the other one, once the other's batches are in the database.
pub const TURN_BYTES: u64 = 256 << 10;
/// A file longer than this is cut when it is begun anew.
const KEPT_BYTES: u64 = 1 << 20;
const MAGIC: &[u8; 4] = b"PWJ1";
const HEADER_LEN: usize = MAGIC.len() + size_of::<Salt>();
const CHECK_LEN: usize = 8;
/// Of an entry without its body.
const FRAME_LEN: usize = 4 + 8 + CHECK_LEN;
const DELETED: u32 = u32::MAX;

/// Tells a file's entries from those of its earlier turns.
pub type Salt = [u8; 16];

/// One of the two files. Written bytes outlive the process at once.
pub trait LogFile {
    /// The error of a file.
    type Error;
    /// All of it.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self) -> Result<Vec<u8>, Self::Error>;
    /// Overwrites or extends it.
    ///
    /// # Errors
    /// Not all was written; some may be.
    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), Self::Error>;
    /// Shortens it, so that the part that is cut off does not come back with a loss of power.
    ///
    /// # Errors
    /// It is as it was.
    fn cut(&self, length: u64) -> Result<(), Self::Error>;
}

/// The two files, the number of the last batch, and the number that the database has reached.
#[derive(Debug)]
pub struct Journal<F> {
    files: [Turn<F>; 2],
    /// The file that is appended to.
    current: usize,
    /// Number of the last batch.
    last: u64,
    /// Number of the last batch that is in the database.
    covered: u64,
}

#[derive(Debug)]
struct Turn<F> {
    file: F,
    /// Of the turn under way; `None`: the file is to be begun.
    salt: Option<Salt>,
    /// Where the next entry goes.
    end: u64,
    /// Number of the last batch in it.
    last: u64,
}

/// The content of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    /// Its salt.
    pub salt: Salt,
    /// Batches and their numbers, one after the other.
    pub batches: Vec<(u64, Batch)>,
    /// Where the next entry goes.
    pub end: usize,
}

impl<F: LogFile> Journal<F> {
    /// Reads both files. The second value are the batches that the database lacks, which has all up to `covered`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn open(files: [F; 2], covered: u64) -> Result<(Journal<F>, Vec<Batch>), F::Error> {
        let turn = |file: F| {
            let read = read(&file.read()?);
            let (salt, end, batches) = read.map_or((None, 0, Vec::new()), |contents| {
                (Some(contents.salt), contents.end as u64, contents.batches)
            });
            let turn = Turn {
                file,
                salt,
                end,
                last: batches.last().map_or(0, |(number, _)| *number),
            };
            Ok((turn, batches))
        };
        let [one, other] = files;
        let ((one, mut missing), (other, mut after)) = (turn(one)?, turn(other)?);
        if other.last < one.last {
            mem::swap(&mut missing, &mut after);
        }
        let mut files = [one, other];
        missing.append(&mut after);
        missing.retain(|(number, _)| *number > covered);
        let whole = (missing.iter().zip(covered + 1..))
            .take_while(|((number, _), expected)| number == expected)
            .count();
        missing.truncate(whole);
        let last = covered + whole as u64;
        // A loss of power took a batch, and all that followed it: their numbers will be given again.
        for turn in files.iter_mut().filter(|turn| turn.last > last) {
            turn.file.cut(0)?;
            (turn.salt, turn.end, turn.last) = (None, 0, 0);
        }
        // Behind the end there may be entries that lost their predecessors. So it is safer to begin a file anew.
        let current = match files.iter().position(|turn| turn.last <= covered) {
            Some(free) => {
                files[free].salt = None;
                free
            }
            None => {
                let newest = usize::from(files[1].last == last);
                files[newest].file.cut(files[newest].end)?;
                newest
            }
        };
        let journal = Journal {
            files,
            current,
            last,
            covered,
        };
        let missing = missing.into_iter().map(|(_, batch)| batch).collect();
        Ok((journal, missing))
    }

    /// Number of the last batch.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Appends a batch: when this returns, the batch outlives the process. `salt` is drawn when a file is begun.
    ///
    /// # Errors
    /// It is not appended.
    pub fn append(
        &mut self,
        batch: &Batch,
        salt: impl FnOnce() -> Result<Salt, F::Error>,
    ) -> Result<(), F::Error> {
        let full = self.files[self.current].end >= TURN_BYTES;
        if full && self.files[1 - self.current].last <= self.covered {
            self.current = 1 - self.current;
            self.files[self.current].salt = None;
        }
        let turn = &mut self.files[self.current];
        let salt = match turn.salt {
            Some(salt) => salt,
            None => turn.begin(salt()?)?,
        };
        let number = self.last + 1;
        let entry = entry(&salt, number, batch);
        turn.file.write(turn.end, &entry)?;
        turn.end += entry.len() as u64;
        turn.last = number;
        self.last = number;
        Ok(())
    }

    /// Length of the file that is appended to. It grows past [`TURN_BYTES`] only while the database takes nothing.
    pub fn size(&self) -> u64 {
        self.files[self.current].end
    }

    /// The database holds all batches up to this number, and names it when it is opened.
    pub fn cover(&mut self, number: u64) {
        self.covered = self.covered.max(number);
    }
}

impl<F: LogFile> Turn<F> {
    fn begin(&mut self, salt: Salt) -> Result<Salt, F::Error> {
        if self.end > KEPT_BYTES {
            self.file.cut(0)?;
        }
        self.file.write(0, &header(&salt))?;
        self.salt = Some(salt);
        self.end = HEADER_LEN as u64;
        self.last = 0;
        Ok(salt)
    }
}

/// Reads a file up to the first entry that is not whole. `None`: it was never begun.
pub fn read(bytes: &[u8]) -> Option<Contents> {
    let (header, mut rest) = bytes.split_at_checked(HEADER_LEN)?;
    let salt: Salt = header.strip_prefix(MAGIC)?.try_into().ok()?;
    let mut batches: Vec<(u64, Batch)> = Vec::new();
    while let Some((number, batch, after)) = read_entry(&salt, rest) {
        if batches
            .last()
            .is_some_and(|(before, _)| number != before + 1)
        {
            break;
        }
        batches.push((number, batch));
        rest = after;
    }
    Some(Contents {
        salt,
        batches,
        end: bytes.len() - rest.len(),
    })
}

/// The beginning of a file.
pub fn header(salt: &Salt) -> Vec<u8> {
    [MAGIC.as_slice(), salt].concat()
}

/// A batch as a file holds it.
pub fn entry(salt: &Salt, number: u64, batch: &Batch) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in batch {
        body.extend_from_slice(&(key.len() as u16).to_be_bytes());
        body.extend_from_slice(key.as_bytes());
        let length = value.as_ref().map_or(DELETED, |value| value.len() as u32);
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    framed(salt, number, &body)
}

/// An entry with this body.
pub fn framed(salt: &Salt, number: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_LEN + body.len());
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&check(salt, number, body));
    out
}

fn check(salt: &Salt, number: u64, body: &[u8]) -> [u8; CHECK_LEN] {
    let hash = Sha1::new()
        .chain_update(salt)
        .chain_update(number.to_be_bytes())
        .chain_update(body)
        .finalize();
    let mut check = [0; CHECK_LEN];
    check.copy_from_slice(&hash[..CHECK_LEN]);
    check
}

fn read_entry<'a>(salt: &Salt, bytes: &'a [u8]) -> Option<(u64, Batch, &'a [u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let number = u64::from_be_bytes(*number);
    let (body, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let (found, rest) = rest.split_first_chunk()?;
    (check(salt, number, body) == *found && number < u64::MAX)
        .then_some(())
        .and_then(|()| read_body(body))
        .map(|batch| (number, batch, rest))
}

fn read_body(mut body: &[u8]) -> Option<Batch> {
    let mut batch = Batch::new();
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = u32::from_be_bytes(*length);
        let stored = if length == DELETED {
            0
        } else {
            length as usize
        };
        let (value, rest) = rest.split_at_checked(stored)?;
        let key = core::str::from_utf8(key).ok()?.to_owned();
        let value = (length != DELETED).then(|| Bytes::copy_from_slice(value));
        batch.push((key, value));
        body = rest;
    }
    Some(batch)
}

#[cfg(test)]
mod tests;
