//! Small records that outlive the process, in one file of the state folder.
//!
//! Owns the state folder's lock: a folder that another process uses is refused. Invariants: a batch is stored as a
//! whole or not at all, in the order given, and reported only when durable; the file has its name only when it holds a
//! database. Waiting batches are committed together. Never looks into a value.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableTable, StorageBackend, TableDefinition};
use tokio::sync::mpsc;

use super::storage::sync_dir;
use crate::client::{EffectError, EffectResult, Input};
use crate::journal::Batch;
use crate::types::EffectId;

/// Name of the file in the state folder.
pub const RECORDS_FILE: &str = "records.redb";
/// Its name until it holds a database.
const NEW_FILE: &str = "records.redb.new";
/// Time between looks for the file, where another process may just have made it.
const MAKING_TRIES: u32 = 3;
/// Most batches that wait; a further one fails with [`EffectError::Storage`].
pub const MAX_QUEUED_BATCHES: usize = 4096;
const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");

/// The reason why the records cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// Another process holds the lock.
    #[error(
        "the state folder {0} is in use by another piecework process: stop that one first, or give it the command: a daemon by `piecework ctl`, a seeder by --stdin-commands"
    )]
    Locked(PathBuf),
    /// The folder cannot be made or read.
    #[error("the state folder {0} cannot be used: {1}: make it writable, or choose another")]
    Folder(PathBuf, std::io::Error),
    /// The file is damaged or cannot be read.
    #[error(
        "the records in {0} cannot be read: {1}: if the file is damaged, move it away; all files are hashed again then, and what it alone says of payments is lost"
    )]
    Database(PathBuf, String),
}

/// All records: key and value.
pub type StoredRecords = Vec<(String, Bytes)>;

/// The open records.
#[derive(Debug)]
pub struct Records {
    queue: SyncSender<(EffectId, Batch)>,
    thread: JoinHandle<()>,
}

impl Records {
    /// Opens the records in `state_dir`, and creates them if need be. Locks the folder until [`Records::finish`], and
    /// reads all records. Results go to `results` as [`Input::EffectDone`].
    ///
    /// # Errors
    /// The error names the folder and its fault.
    pub fn open(
        state_dir: &Path,
        results: mpsc::Sender<Input>,
    ) -> Result<(Records, StoredRecords), RecordsError> {
        let (store, stored) = Store::open(state_dir)?;
        let (queue, batches) = sync_channel(MAX_QUEUED_BATCHES);
        let thread = std::thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || run(store, &batches, &results))
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
    Store::open(state_dir).map(drop)
}

/// All records of a folder that nobody uses.
///
/// # Errors
/// See [`RecordsError`].
pub fn read(state_dir: &Path) -> Result<StoredRecords, RecordsError> {
    Store::open(state_dir).map(|(_, stored)| stored)
}

/// Whether there is a record under `key`.
///
/// # Errors
/// See [`RecordsError`].
pub fn holds(state_dir: &Path, key: &str) -> Result<bool, RecordsError> {
    Ok(read(state_dir)?.iter().any(|(known, _)| known == key))
}

/// The open database, and the file that it is in.
struct Store {
    file: LockedFile,
    /// `None` after a failure of the disk.
    database: Option<Database>,
}

impl Store {
    fn open(state_dir: &Path) -> Result<(Store, StoredRecords), RecordsError> {
        create_private_dir(state_dir).map_err(|e| RecordsError::Folder(state_dir.to_owned(), e))?;
        let path = state_dir.join(RECORDS_FILE);
        let file = find_or_make(state_dir, &path)?;
        let read = unless_damaged(|| {
            let database = file.open()?;
            let stored = read_all(&database)?;
            Ok((database, stored))
        });
        let (database, stored) = read.map_err(|e| unreadable(&path, e))?;
        let store = Store {
            file,
            database: Some(database),
        };
        Ok((store, stored))
    }

    /// After a failure a database takes nothing more, even if the disk recovers: it is opened anew for the next group.
    fn commit(&mut self, group: &[(EffectId, Batch)]) -> Result<(), String> {
        let before = self.database.take();
        let database = unless_damaged(|| {
            let database = match before {
                Some(database) => database,
                None => self.file.open()?,
            };
            commit(&database, group)?;
            Ok(database)
        })?;
        self.database = Some(database);
        Ok(())
    }
}

/// The database panics on assertions that a damaged file breaks, also while it is closed.
fn unless_damaged<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| "the file is damaged".to_owned())?
        .map_err(|e| e.to_string())
}

/// The file behind databases that follow one another. Its lock outlives each of them: no other process comes between.
#[derive(Clone, Debug)]
struct LockedFile(Arc<dyn StorageBackend>);

impl LockedFile {
    fn lock(file: File, state_dir: &Path, path: &Path) -> Result<LockedFile, RecordsError> {
        match FileBackend::new(file) {
            Ok(locked) => Ok(LockedFile(Arc::new(locked))),
            Err(DatabaseError::DatabaseAlreadyOpen) => {
                Err(RecordsError::Locked(state_dir.to_owned()))
            }
            Err(other) => Err(unreadable(path, other)),
        }
    }

    fn open(&self) -> Result<Database, DatabaseError> {
        Database::builder().create_with_backend(self.clone())
    }
}

impl StorageBackend for LockedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        // A damaged file names any length, and the reader would take that much memory.
        let end = offset.saturating_add(len as u64);
        if end > self.0.len()? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.0.read(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self, eventual: bool) -> io::Result<()> {
        self.0.sync_data(eventual)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

fn find_or_make(state_dir: &Path, path: &Path) -> Result<LockedFile, RecordsError> {
    let unusable = |e| RecordsError::Folder(state_dir.to_owned(), e);
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    for _ in 0..MAKING_TRIES {
        match options.open(path) {
            Ok(file) => {
                let file = LockedFile::lock(file, state_dir, path)?;
                if file.len().map_err(unusable)? == 0 {
                    // We leave no empty file, and the former content may have been money.
                    return Err(unreadable(path, EMPTIED));
                }
                return Ok(file);
            }
            Err(e) if e.kind() == ErrorKind::NotFound && !path.is_symlink() => {}
            Err(e) => return Err(unusable(e)),
        }
        let new = state_dir.join(NEW_FILE);
        let made = options.clone().create(true).truncate(false).open(&new);
        let file = LockedFile::lock(made.map_err(unusable)?, state_dir, &new)?;
        // The process that had the lock before may have finished, and this file may be the one that it made.
        if path.symlink_metadata().is_err() {
            make(&file, &new)?;
            std::fs::rename(&new, path)
                .and_then(|()| sync_dir(state_dir))
                .map_err(unusable)?;
            return Ok(file);
        }
    }
    Err(RecordsError::Locked(state_dir.to_owned()))
}

/// Makes an empty database, durably.
fn make(file: &LockedFile, new: &Path) -> Result<(), RecordsError> {
    file.set_len(0).map_err(|e| unreadable(new, e))?;
    unless_damaged(|| Ok(file.open().map(drop)?)).map_err(|e| unreadable(new, e))
}

/// The message about a file without a byte.
const EMPTIED: &str = "the file is empty, as after a power cut: put a copy of it there if there is one; without it, what was earned and not redeemed is lost, and once the file is removed the records begin anew";

fn unreadable(path: &Path, why: impl std::fmt::Display) -> RecordsError {
    RecordsError::Database(path.to_owned(), why.to_string())
}

fn run(mut store: Store, batches: &Receiver<(EffectId, Batch)>, results: &mpsc::Sender<Input>) {
    while let Ok(first) = batches.recv() {
        // Group commit: one fsync for all batches that came while the last one ran.
        let group: Vec<(EffectId, Batch)> = std::iter::once(first)
            .chain(batches.try_iter().take(MAX_QUEUED_BATCHES))
            .collect();
        let outcome = store.commit(&group);
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

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A disk that takes this many more changes, then no further one.
    #[derive(Debug)]
    struct Disk {
        memory: InMemoryBackend,
        room: Arc<AtomicU64>,
    }

    impl Disk {
        fn use_room(&self) -> io::Result<()> {
            let one_less = |room: u64| room.checked_sub(1);
            (self.room)
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                .map(drop)
                .map_err(|_| ErrorKind::StorageFull.into())
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.memory.len()
        }

        fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
            self.memory.read(offset, len)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.use_room()?;
            self.memory.set_len(len)
        }

        fn sync_data(&self, eventual: bool) -> io::Result<()> {
            self.use_room()?;
            self.memory.sync_data(eventual)
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.use_room()?;
            self.memory.write(offset, data)
        }
    }

    /// One record of this many bytes.
    fn group(key: &str, length: usize) -> Vec<(EffectId, Batch)> {
        let value = Bytes::from(vec![7; length]);
        vec![(EffectId(1), vec![(key.to_owned(), Some(value))])]
    }

    #[test]
    fn once_there_is_room_again_a_disk_that_was_full_takes_records() {
        let room = Arc::new(AtomicU64::new(u64::MAX));
        let disk = Disk {
            memory: InMemoryBackend::new(),
            room: Arc::clone(&room),
        };
        let file = LockedFile(Arc::new(disk));
        let database = Some(file.open().unwrap());
        let mut store = Store { file, database };
        // Long enough that the file has to grow for some of them.
        let group = |key: &str| group(key, 100_000);
        let mut stored = Vec::new();
        for changes in 0..40 {
            let key = |what: &str| format!("{what} {changes:02}");
            room.store(changes, Ordering::SeqCst);
            // The number of changes that a commit takes is redb's affair.
            let first = store.commit(&group(&key("first")));
            assert!(first.is_err() || changes > 0);
            stored.extend(first.is_ok().then(|| key("first")));
            room.store(0, Ordering::SeqCst);
            for _ in 0..2 {
                assert!(store.commit(&group(&key("full"))).is_err());
            }
            room.store(u64::MAX, Ordering::SeqCst);
            store.commit(&group(&key("room"))).unwrap();
            stored.push(key("room"));
        }
        store.database = None;
        let database = store.file.open().unwrap();
        let found = read_all(&database).unwrap();
        for key in stored {
            assert!(found.iter().any(|(known, _)| *known == key), "{key}");
        }
    }

    #[test]
    fn damaged_records_are_read_or_refused_and_end_no_program() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(dir.path()).unwrap();
        for number in 0..20 {
            store
                .commit(&group(&format!("record {number}"), 100))
                .unwrap();
        }
        drop(store);
        let path = dir.path().join(RECORDS_FILE);
        let whole = std::fs::read(&path).unwrap();
        let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
        let (mut refused, mut damaged) = (0, whole.clone());
        for at in (0..100).step_by(9).chain((100..used).step_by(65_521)) {
            damaged[at] ^= 0xff;
            std::fs::write(&path, &damaged).unwrap();
            refused += usize::from(Store::open(dir.path()).is_err());
            damaged[at] = whole[at];
        }
        assert!(refused > 0);
    }
}
