//! Small records that outlive the process, in one file of the state folder.
//!
//! Owns the state folder's lock: a folder that another process uses is refused. Invariant: a batch
//! is stored as a whole or not at all, in the order given, and reported only when durable. What
//! waits is committed together. Never looks into a value.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use redb::{Database, DatabaseError, ReadableTable, TableDefinition};
use tokio::sync::mpsc;

use crate::client::{EffectError, EffectResult, Input};
use crate::journal::Batch;
use crate::types::EffectId;

/// Name of the file in the state folder.
pub const RECORDS_FILE: &str = "records.redb";
/// Most batches that wait; a further one fails with [`EffectError::Storage`].
pub const MAX_QUEUED_BATCHES: usize = 4096;
const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");

/// Why the records cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// Another process holds the lock.
    #[error(
        "the state folder {0} is in use by another piecework process: stop that one first, or give it the command (see `piecework seed --help`, --stdin-commands)"
    )]
    Locked(PathBuf),
    /// The folder cannot be made or read.
    #[error("the state folder {0} cannot be used: {1}: make it writable, or choose another")]
    Folder(PathBuf, std::io::Error),
    /// The file is damaged or cannot be read.
    #[error("the records in {0} cannot be read: {1}")]
    Database(PathBuf, String),
}

/// Everything that is stored: key and value.
pub type StoredRecords = Vec<(String, Bytes)>;

/// The open records.
#[derive(Debug)]
pub struct Records {
    queue: SyncSender<(EffectId, Batch)>,
    thread: JoinHandle<()>,
}

impl Records {
    /// Opens (creating what lacks) the records in `state_dir`, locks it until
    /// [`Records::finish`], and reads all of them. Results go to `results` as
    /// [`Input::EffectDone`].
    ///
    /// # Errors
    /// Names the folder and what is wrong with it.
    pub fn open(
        state_dir: &Path,
        results: mpsc::Sender<Input>,
    ) -> Result<(Records, StoredRecords), RecordsError> {
        let (database, stored) = open(state_dir)?;
        let (queue, batches) = sync_channel(MAX_QUEUED_BATCHES);
        let thread = std::thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || run(&database, &batches, &results))
            .map_err(|e| RecordsError::Folder(state_dir.to_owned(), e))?;
        Ok((Records { queue, thread }, stored))
    }

    /// Stores a batch; never blocks.
    ///
    /// # Errors
    /// The batch did not start, and no result of it will be sent.
    pub fn submit(&self, id: EffectId, batch: Batch) -> Result<(), EffectError> {
        self.queue.try_send((id, batch)).map_err(|e| match e {
            TrySendError::Full(_) => EffectError::Storage(format!(
                "more than {MAX_QUEUED_BATCHES} batches of records wait for the disk"
            )),
            TrySendError::Disconnected(_) => {
                EffectError::Storage("the records are closed".to_owned())
            }
        })
    }

    /// Waits for everything submitted and frees the lock. Blocks; results must still be received
    /// meanwhile.
    pub fn finish(self) {
        drop(self.queue);
        let _ = self.thread.join();
    }
}

/// Makes empty records, or leaves those that are there as they are.
///
/// # Errors
/// See [`RecordsError`].
pub fn create(state_dir: &Path) -> Result<(), RecordsError> {
    open(state_dir).map(drop)
}

/// Whether there is a record under `key`.
///
/// # Errors
/// See [`RecordsError`].
pub fn holds(state_dir: &Path, key: &str) -> Result<bool, RecordsError> {
    let (_, stored) = open(state_dir)?;
    Ok(stored.iter().any(|(known, _)| known == key))
}

fn open(state_dir: &Path) -> Result<(Database, StoredRecords), RecordsError> {
    create_private_dir(state_dir).map_err(|e| RecordsError::Folder(state_dir.to_owned(), e))?;
    let path = state_dir.join(RECORDS_FILE);
    // It asserts what a file that was cut short does not hold to.
    let database = catch_unwind(|| Database::create(&path))
        .map_err(|_| RecordsError::Database(path.clone(), "the file is damaged".to_owned()))?
        .map_err(|e| match e {
            DatabaseError::DatabaseAlreadyOpen => RecordsError::Locked(state_dir.to_owned()),
            other => RecordsError::Database(path.clone(), other.to_string()),
        })?;
    let stored =
        read_all(&database).map_err(|e| RecordsError::Database(path.clone(), e.to_string()))?;
    Ok((database, stored))
}

fn run(database: &Database, batches: &Receiver<(EffectId, Batch)>, results: &mpsc::Sender<Input>) {
    while let Ok(first) = batches.recv() {
        // Group commit: one fsync for all that came while the last one ran.
        let group: Vec<(EffectId, Batch)> = std::iter::once(first)
            .chain(batches.try_iter().take(MAX_QUEUED_BATCHES))
            .collect();
        let outcome = commit(database, &group);
        for (id, _) in group {
            let result = match &outcome {
                Ok(()) => Ok(EffectResult::Done),
                Err(e) => Err(EffectError::Storage(format!("storing records failed: {e}"))),
            };
            if results
                .blocking_send(Input::EffectDone { id, result })
                .is_err()
            {
                return;
            }
        }
    }
}

/// Any of redb's errors, boxed because they are large.
#[derive(Debug)]
struct Failure(Box<redb::Error>);

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(Box::new(error.into()))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

fn commit(database: &Database, group: &[(EffectId, Batch)]) -> Result<(), Failure> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(RECORDS)?;
        for (key, value) in group.iter().flat_map(|(_, batch)| batch) {
            match value {
                Some(value) => {
                    table.insert(key.as_str(), value.as_ref())?;
                }
                None => {
                    table.remove(key.as_str())?;
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn read_all(database: &Database) -> Result<StoredRecords, Failure> {
    let transaction = database.begin_write()?;
    // A new file has no table yet.
    transaction.open_table(RECORDS)?;
    transaction.commit()?;
    let transaction = database.begin_read()?;
    let table = transaction.open_table(RECORDS)?;
    let mut out = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        out.push((
            key.value().to_owned(),
            Bytes::copy_from_slice(value.value()),
        ));
    }
    Ok(out)
}

/// The records hold preimages that are money: the folder is its owner's alone.
fn create_private_dir(dir: &Path) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(dir)
}
