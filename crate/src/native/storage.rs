//! Files of torrents below one folder, and their scratch files.
//!
//! Owns one thread per open torrent, which carries out that torrent's effects in the order in which they were
//! submitted. Invariants: nothing is opened outside the data folder, and no symbolic link below it is followed. The
//! program writes into no file, and deletes none, that it did not make, unless the operator asked for a repair:
//! without one, bytes for a foreign file must be there already. Never decides what is written, and never preallocates.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use bytes::{Bytes, BytesMut};
use sha1::{Digest, Sha1};
use tokio::sync::{mpsc, oneshot};

use super::folder::{
    Finder, MADE_SUFFIX, Made, Place, SCRATCH_SUFFIX, SEEN_SUFFIX, Stamp, checked_path,
    has_other_names,
};
use super::seen::{Look, Seen};
use super::storage_errors::{failed, not_ours, unrecorded};
use super::users::Users;
use crate::client::{EffectError, EffectResult, Input, StorageOp};
use crate::metainfo::FileSpan;
use crate::metainfo::raw::RawPath;
use crate::types::{EffectId, InfoHash};

/// Most effects of one torrent that wait for its thread; a further one fails with
/// [`EffectError::Storage`].
pub const MAX_QUEUED_EFFECTS: usize = 16 * 1024;
/// Most file handles that one torrent keeps open; the one used longest ago is closed.
pub const MAX_OPEN_FILES: usize = 128;
/// From this many handles of all torrents on, each keeps no more than it has, and at least one. Systems give a process
/// 1,024, or 256, and connections need some.
pub const MAX_OPEN_FILES_IN_ALL: usize = 128;
/// Most bytes of one read effect; a longer one fails.
pub const MAX_READ_LEN: u64 = 64 << 20;
/// Bytes hashed at a time.
const HASH_CHUNK_LEN: usize = 256 * 1024;

/// Most files that [`Storage::shared`] names.
pub const MAX_SHARED_NAMED: usize = 64;

type Outcome = Result<EffectResult, EffectError>;

/// All torrents' files.
#[derive(Debug)]
pub struct Storage {
    data_dir: PathBuf,
    /// The folders of torrents that lie elsewhere; as many as the operator named.
    elsewhere: HashMap<InfoHash, PathBuf>,
    state_dir: PathBuf,
    repair: bool,
    results: mpsc::Sender<Input>,
    users: Users,
    open_files: OpenFiles,
    torrents: HashMap<InfoHash, Worker>,
    /// Threads of closed torrents that still carry out effects that were submitted before.
    closing: HashMap<InfoHash, JoinHandle<()>>,
}

#[derive(Debug)]
struct Worker {
    queue: SyncSender<Job>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Job {
    /// An effect; for the one that opens files, their names as the torrent has them, too.
    Op(EffectId, StorageOp, Vec<RawPath>),
    Survey(oneshot::Sender<Vec<SurveyedFile>>),
    /// Nothing more is written, and the records name all that was.
    LeaveAlone,
}

/// A file of a torrent as it lies on disk.
#[derive(Clone, Debug)]
pub struct SurveyedFile {
    /// Its place below the data folder, whether or not a file is there.
    pub path: PathBuf,
    /// Bytes there now; `None` without a file.
    pub present: Option<u64>,
    /// It may be written to: no file is there, it is as this program made it, or the operator wants it repaired.
    pub writable: bool,
    /// This program made it, and somebody changed it since.
    pub edited: bool,
}

impl Storage {
    /// Torrents' files go below `data_dir`, scratch files into `state_dir`; both exist. Results are
    /// sent to `results` as [`Input::EffectDone`]. With `repair`, files that this program did not make are written to
    /// as if it had.
    ///
    /// # Errors
    /// When one of the folders cannot be resolved.
    pub fn new(
        data_dir: &Path,
        state_dir: &Path,
        repair: bool,
        results: mpsc::Sender<Input>,
    ) -> io::Result<Storage> {
        Ok(Storage {
            data_dir: fs::canonicalize(data_dir)?,
            elsewhere: HashMap::new(),
            state_dir: fs::canonicalize(state_dir)?,
            repair,
            results,
            users: Users::default(),
            open_files: OpenFiles::default(),
            torrents: HashMap::new(),
            closing: HashMap::new(),
        })
    }

    /// The next time that this torrent is opened its files go below another folder than `data_dir`, given as
    /// [`fs::canonicalize`] has it; `None`: below `data_dir`.
    pub fn place(&mut self, info_hash: InfoHash, folder: Option<PathBuf>) {
        match folder {
            Some(folder) => self.elsewhere.insert(info_hash, folder),
            None => self.elsewhere.remove(&info_hash),
        };
    }

    /// Hands work to its torrent's thread; never blocks. `raw` are the torrent's own names of its files, for the effect
    /// that opens them.
    ///
    /// # Errors
    /// The effect did not start, and no result of it will be sent: the torrent is not open, or its
    /// queue is full.
    pub fn submit(
        &mut self,
        info_hash: InfoHash,
        id: EffectId,
        op: StorageOp,
        raw: Vec<RawPath>,
    ) -> Result<(), EffectError> {
        if let StorageOp::Open { .. } = op {
            // A torrent that is opened again goes on in the thread it has.
            if !self.torrents.contains_key(&info_hash) {
                let worker = self.spawn(info_hash).map_err(|error| {
                    EffectError::Storage(format!("no thread for torrent {info_hash}: {error}"))
                })?;
                self.torrents.insert(info_hash, worker);
            }
        }
        let closes = matches!(op, StorageOp::Close { .. });
        let Some(worker) = self.torrents.get(&info_hash) else {
            return Err(EffectError::Storage(format!(
                "torrent {info_hash} is not open"
            )));
        };
        let job = Job::Op(id, op, raw);
        worker.queue.try_send(job).map_err(|e| match e {
            TrySendError::Full(_) => EffectError::Storage(format!(
                "more than {MAX_QUEUED_EFFECTS} effects wait for torrent {info_hash}"
            )),
            TrySendError::Disconnected(_) => {
                EffectError::Storage(format!("the files of torrent {info_hash} are closed"))
            }
        })?;
        if closes && let Some(worker) = self.torrents.remove(&info_hash) {
            self.closing.retain(|_, thread| !thread.is_finished());
            self.closing.insert(info_hash, worker.thread);
        }
        Ok(())
    }

    /// Tells how a torrent's files lie on disk, after everything submitted before; in the torrent's order, pad files
    /// too. No answer comes if the torrent is not open.
    pub fn survey(&self, info_hash: InfoHash, answer: oneshot::Sender<Vec<SurveyedFile>>) {
        if let Some(worker) = self.torrents.get(&info_hash) {
            // Dropped with its question, so the caller sees that nobody answers.
            let _ = worker.queue.try_send(Job::Survey(answer));
        }
    }

    /// The files of a torrent that another one has, too, with that one: the first [`MAX_SHARED_NAMED`] by path. They
    /// stay where the torrent is removed with its data.
    pub fn shared(&self, info_hash: InfoHash) -> Vec<(PathBuf, InfoHash)> {
        self.users.shared(info_hash, MAX_SHARED_NAMED)
    }

    /// Waits for everything submitted. Blocks; results must still be received meanwhile. `recorded`: the records name
    /// the content of every torrent's files.
    pub fn finish(self, recorded: bool) {
        for (_, worker) in self.torrents {
            if recorded {
                let _ = worker.queue.send(Job::LeaveAlone);
            }
            drop(worker.queue);
            // A thread that panicked has nothing left to wait for.
            let _ = worker.thread.join();
        }
        for (_, thread) in self.closing {
            let _ = thread.join();
        }
    }

    fn spawn(&mut self, info_hash: InfoHash) -> io::Result<Worker> {
        let (queue, jobs) = sync_channel(MAX_QUEUED_EFFECTS);
        let files = TorrentFiles {
            info_hash,
            users: self.users.clone(),
            open_files: self.open_files.clone(),
            data_dir: (self.elsewhere.get(&info_hash).unwrap_or(&self.data_dir)).clone(),
            repair: self.repair,
            scratch_path: self.state_dir.join(format!("{info_hash}{SCRATCH_SUFFIX}")),
            made: Made::load(self.state_dir.join(format!("{info_hash}{MADE_SUFFIX}")))?,
            seen: Seen::load(self.state_dir.join(format!("{info_hash}{SEEN_SUFFIX}")))?,
            others_seen: None,
            places: Vec::new(),
            open: HashMap::new(),
            scratch: None,
            scratch_dirty: false,
            dirty_dirs: Vec::new(),
            uses: 0,
        };
        let results = self.results.clone();
        let predecessor = self.closing.remove(&info_hash);
        let thread = std::thread::Builder::new()
            .name("torrent-files".to_owned())
            .spawn(move || {
                // A torrent closed and taken up again: its effects stay in order.
                if let Some(predecessor) = predecessor {
                    let _ = predecessor.join();
                }
                files.run(&jobs, &results);
            })?;
        Ok(Worker { queue, thread })
    }
}

/// How many handles all torrents have.
#[derive(Clone, Debug, Default)]
struct OpenFiles(Arc<AtomicUsize>);

impl OpenFiles {
    fn are_many(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= MAX_OPEN_FILES_IN_ALL
    }

    fn count(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }
}

/// One of them.
struct Counted(OpenFiles);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The files of one torrent; lives on its thread.
struct TorrentFiles {
    info_hash: InfoHash,
    users: Users,
    open_files: OpenFiles,
    data_dir: PathBuf,
    repair: bool,
    scratch_path: PathBuf,
    made: Made,
    seen: Seen,
    /// Facts that other torrents recorded, by the records beside this one's; read when the first file is to be
    /// repaired.
    others_seen: Option<Vec<(InfoHash, Seen)>>,
    places: Vec<Place>,
    open: HashMap<u32, OpenFile>,
    scratch: Option<File>,
    scratch_dirty: bool,
    /// Folders in which something was created since the last flush.
    dirty_dirs: Vec<PathBuf>,
    uses: u64,
}

struct OpenFile {
    file: File,
    writable: bool,
    /// Written to since the last flush, by this process or maybe by an earlier one.
    dirty: bool,
    last_use: u64,
    _counted: Counted,
}

impl OpenFile {
    fn sync(&self, path: &Path) -> io::Result<()> {
        if self.writable {
            return self.file.sync_data();
        }
        // Some systems do not flush through a handle that only reads. We never wrote to a file that cannot be written
        // to.
        match OpenOptions::new().write(true).open(path) {
            Ok(file) => file.sync_data(),
            Err(_) => Ok(()),
        }
    }
}

impl TorrentFiles {
    fn run(mut self, jobs: &Receiver<Job>, results: &mpsc::Sender<Input>) {
        while let Ok(job) = jobs.recv() {
            let (id, op, raw) = match job {
                Job::Op(id, op, raw) => (id, op, raw),
                Job::Survey(answer) => {
                    // The caller may have gone meanwhile.
                    let _ = answer.send(self.survey());
                    continue;
                }
                Job::LeaveAlone => {
                    // Without it these files are hashed again at the next start.
                    let _ = self.leave_alone();
                    continue;
                }
            };
            let last = matches!(op, StorageOp::Close { .. });
            let result = self.carry_out(op, &raw);
            if results
                .blocking_send(Input::EffectDone { id, result })
                .is_err()
                || last
            {
                return;
            }
        }
    }

    fn carry_out(&mut self, op: StorageOp, raw: &[RawPath]) -> Outcome {
        match op {
            StorageOp::Open { files, .. } => self.open_all(files, raw),
            StorageOp::Write { spans, chunks } => self.write(&spans, &chunks),
            StorageOp::Read { spans } => self.read(&spans).map(EffectResult::Read),
            StorageOp::Hash { spans } => self.hash(&spans).map(EffectResult::Hashed),
            StorageOp::WriteScratch { offset, chunks } => self.write_scratch(offset, &chunks),
            StorageOp::ReadScratch { offset, length } => self.read_scratch(offset, length),
            StorageOp::Flush => self.flush(),
            StorageOp::Close { delete } => self.close(delete),
        }
    }

    fn open_all(&mut self, files: Vec<(Vec<String>, u64)>, raw: &[RawPath]) -> Outcome {
        self.open.clear();
        self.places.clear();
        let mut file_lengths = Vec::with_capacity(files.len());
        let mut places = Vec::with_capacity(files.len());
        let mut empty = Vec::new();
        let mut finder = Finder::new(&self.data_dir, &self.made);
        let unnamed = RawPath::new();
        for (index, (safe, length)) in files.into_iter().enumerate() {
            if safe.is_empty() {
                file_lengths.push(length);
                places.push(Place::default());
                continue;
            }
            let mut place = finder.find(safe, raw.get(index).unwrap_or(&unnamed))?;
            place.length = length;
            file_lengths.push(place.found.map_or(0, |found| found.length));
            if place.found.is_some() {
                self.users.found(place.path(&self.data_dir), self.info_hash);
            }
            if length == 0 && place.found.is_none() {
                empty.push(u32::try_from(index).unwrap_or(u32::MAX));
            }
            places.push(place);
        }
        self.places = places;
        let changed = self.look_for_changes()?;
        for file in empty {
            // An empty file has no bytes that would create it later. If the folder cannot be written to, nobody misses
            // it.
            let _ = self.handle(file, true);
        }
        let scratch_length = match fs::symlink_metadata(&self.scratch_path) {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == ErrorKind::NotFound => 0,
            Err(e) => return Err(failed(&self.scratch_path, &e)),
        };
        Ok(EffectResult::Opened {
            file_lengths,
            scratch_length,
            changed,
        })
    }

    /// Files that are not as they were left. Of those that this program made, none counts as made here any more.
    fn look_for_changes(&mut self) -> Result<Vec<u32>, EffectError> {
        let mut changed = Vec::new();
        for (index, place) in self.places.iter_mut().enumerate() {
            let Some(found) = place.found.filter(|_| !place.is_pad()) else {
                continue;
            };
            let look = self.seen.meet(&place.safe, &found).map_err(unrecorded)?;
            if look == Look::Changed {
                changed.push(u32::try_from(index).unwrap_or(u32::MAX));
                place.unchecked = found.length.min(place.length);
            }
            if look != Look::Trusted {
                place.edited = place.ours;
                place.ours = false;
            }
        }
        Ok(changed)
    }

    /// Notes the looks of the files that nobody will write to now. A changed one that was not hashed again stays
    /// suspect.
    fn leave_alone(&mut self) -> Result<(), EffectError> {
        for place in self.places.iter().filter(|place| !place.is_pad()) {
            let Ok(now) = fs::symlink_metadata(place.path(&self.data_dir)) else {
                continue;
            };
            if place.found.is_some() && place.is_still(&now) && place.unchecked == 0 {
                let (names, now) = (&place.safe, Stamp::of(&now));
                (self.seen.leave(names, &now, place.edited)).map_err(unrecorded)?;
            }
        }
        self.seen.sync().map_err(unrecorded)
    }

    fn write(&mut self, spans: &[FileSpan], chunks: &[Bytes]) -> Outcome {
        let spanned: u64 = spans.iter().map(|s| s.length).sum();
        let given: u64 = chunks.iter().map(|c| c.len() as u64).sum();
        if spanned != given {
            return Err(EffectError::Storage(format!(
                "{given} bytes given for spans of {spanned}"
            )));
        }
        let mut rest = chunks.iter().cloned();
        let mut chunk = Bytes::new();
        let mut next = |most: u64| -> io::Result<Bytes> {
            while chunk.is_empty() {
                chunk = rest.next().ok_or(ErrorKind::UnexpectedEof)?;
            }
            Ok(chunk.split_to(chunk.len().min(usize::try_from(most).unwrap_or(usize::MAX))))
        };
        for span in spans {
            let mut left = span.length;
            if self.is_pad(span) {
                // Padding is verified with its piece, and never stored.
                while left > 0 {
                    left -= next(left).map_err(|e| failed(&self.data_dir, &e))?.len() as u64;
                }
                continue;
            }
            let path = self.path_of(span.file)?;
            let place = self.place(span.file)?;
            if place.found.is_some() && !place.ours && !self.repair {
                // A piece that belongs to two files may be missing in one of them alone.
                let (file, mut offset) = (self.handle(span.file, false)?, span.offset);
                while left > 0 {
                    let given = next(left).map_err(|e| failed(&path, &e))?;
                    let mut there = vec![0; given.len()];
                    if read_at(&mut file.file, offset, &mut there).is_err() || there != given {
                        return Err(not_ours(&path));
                    }
                    offset += given.len() as u64;
                    left -= given.len() as u64;
                }
                continue;
            }
            let file = self.handle(span.file, true)?;
            let mut write = |out: &mut File| -> io::Result<()> {
                out.seek(SeekFrom::Start(span.offset))?;
                while left > 0 {
                    let bytes = next(left)?;
                    out.write_all(&bytes)?;
                    left -= bytes.len() as u64;
                }
                Ok(())
            };
            write(&mut file.file).map_err(|e| failed(&path, &e))?;
            file.dirty = true;
        }
        Ok(EffectResult::Done)
    }

    fn read(&mut self, spans: &[FileSpan]) -> Result<Bytes, EffectError> {
        let length: u64 = spans.iter().map(|s| s.length).sum();
        if length > MAX_READ_LEN {
            return Err(EffectError::Storage(format!(
                "a read of {length} bytes is longer than {MAX_READ_LEN}"
            )));
        }
        let mut out = BytesMut::zeroed(usize::try_from(length).unwrap_or(0));
        let mut at = 0usize;
        for span in spans {
            let end = at + usize::try_from(span.length).unwrap_or(0);
            // A pad file reads as zeros, which are there already.
            if !self.is_pad(span) {
                let path = self.path_of(span.file)?;
                let file = self.handle(span.file, false)?;
                read_at(&mut file.file, span.offset, &mut out[at..end])
                    .map_err(|e| failed(&path, &e))?;
            }
            at = end;
        }
        Ok(out.freeze())
    }

    fn hash(&mut self, spans: &[FileSpan]) -> Result<[u8; 20], EffectError> {
        let mut sha1 = Sha1::new();
        let mut buffer = vec![0u8; HASH_CHUNK_LEN];
        for span in spans {
            let pad = self.is_pad(span);
            let mut offset = span.offset;
            let mut left = span.length;
            if pad {
                buffer.fill(0);
            }
            while left > 0 {
                let now = usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(HASH_CHUNK_LEN);
                if !pad {
                    let path = self.path_of(span.file)?;
                    let file = self.handle(span.file, false)?;
                    read_at(&mut file.file, offset, &mut buffer[..now])
                        .map_err(|e| failed(&path, &e))?;
                    // An earlier process may have written this and not flushed it.
                    file.dirty = true;
                    if let Some(place) = self.places.get_mut(span.file as usize) {
                        place.unchecked = place.unchecked.saturating_sub(now as u64);
                    }
                }
                sha1.update(&buffer[..now]);
                offset += now as u64;
                left -= now as u64;
            }
        }
        Ok(sha1.finalize().into())
    }

    fn write_scratch(&mut self, offset: u64, chunks: &[Bytes]) -> Outcome {
        let path = self.scratch_path.clone();
        let write = |file: &mut File| -> io::Result<()> {
            file.seek(SeekFrom::Start(offset))?;
            for chunk in chunks {
                file.write_all(chunk)?;
            }
            Ok(())
        };
        let result = self.scratch_file(true).and_then(write);
        result.map_err(|e| failed(&path, &e))?;
        self.scratch_dirty = true;
        Ok(EffectResult::Done)
    }

    fn read_scratch(&mut self, offset: u64, length: u64) -> Outcome {
        if length > MAX_READ_LEN {
            return Err(EffectError::Storage(format!(
                "a read of {length} bytes is longer than {MAX_READ_LEN}"
            )));
        }
        let path = self.scratch_path.clone();
        let mut out = BytesMut::zeroed(usize::try_from(length).unwrap_or(0));
        self.scratch_file(false)
            .and_then(|file| read_at(file, offset, &mut out))
            .map_err(|e| failed(&path, &e))?;
        Ok(EffectResult::Read(out.freeze()))
    }

    fn flush(&mut self) -> Outcome {
        self.made.sync().map_err(unrecorded)?;
        let dirty = self.open.iter().filter(|(_, open)| open.dirty);
        for index in dirty.map(|(index, _)| *index).collect::<Vec<_>>() {
            let path = self.path_of(index)?;
            if let Some(open) = self.open.get_mut(&index) {
                open.sync(&path).map_err(|e| failed(&path, &e))?;
                open.dirty = false;
            }
        }
        if self.scratch_dirty {
            if let Some(scratch) = &self.scratch {
                scratch
                    .sync_data()
                    .map_err(|e| failed(&self.scratch_path, &e))?;
            }
            self.scratch_dirty = false;
        }
        for dir in self.dirty_dirs.drain(..) {
            sync_dir(&dir).map_err(|e| failed(&dir, &e))?;
        }
        Ok(EffectResult::Done)
    }

    fn close(&mut self, delete: bool) -> Outcome {
        self.users.release(self.info_hash);
        if !delete {
            self.flush()?;
            self.leave_alone()?;
        }
        self.open.clear();
        self.scratch = None;
        if delete {
            remove_if_there(&self.scratch_path)?;
            self.delete_ours()?;
        }
        Ok(EffectResult::Done)
    }

    fn delete_ours(&mut self) -> Result<(), EffectError> {
        let places = std::mem::take(&mut self.places);
        let mut finder = Finder::new(&self.data_dir, &self.made);
        // A file that somebody edited is the editor's.
        for place in places.into_iter().filter(|place| place.ours) {
            // The file that was opened may have been replaced.
            if !finder.find(place.safe, &RawPath::new())?.ours {
                continue;
            }
            let path = checked_path(&self.data_dir, &place.components)?;
            // Another torrent serves it.
            if self.users.other(&path, self.info_hash).is_some() {
                continue;
            }
            remove_if_there(&path)?;
            let mut dir = path.parent();
            // Folders that others use are not empty, and stay.
            while let Some(empty) = dir.filter(|d| *d != self.data_dir) {
                if fs::remove_dir(empty).is_err() {
                    break;
                }
                dir = empty.parent();
            }
        }
        (self.made.remove())
            .and_then(|()| self.seen.remove())
            .map_err(unrecorded)
    }

    fn survey(&self) -> Vec<SurveyedFile> {
        (self.places.iter())
            .map(|place| {
                let path = place.path(&self.data_dir);
                let present = match place.is_pad() {
                    true => None,
                    false => fs::symlink_metadata(&path).ok().map(|found| found.len()),
                };
                SurveyedFile {
                    path,
                    present,
                    writable: self.repair || place.ours || present.is_none(),
                    edited: place.edited,
                }
            })
            .collect()
    }

    fn is_pad(&self, span: &FileSpan) -> bool {
        let place = self.places.get(span.file as usize);
        span.pad || place.is_some_and(Place::is_pad)
    }

    fn place(&self, file: u32) -> Result<&Place, EffectError> {
        (self.places.get(file as usize))
            .filter(|place| !place.is_pad())
            .ok_or_else(|| EffectError::Storage(format!("no file {file} to open")))
    }

    fn path_of(&self, file: u32) -> Result<PathBuf, EffectError> {
        Ok(self.place(file)?.path(&self.data_dir))
    }

    /// An open handle, made if no open one can do the work. The file is still there, and still the same.
    fn handle(&mut self, index: u32, write: bool) -> Result<&mut OpenFile, EffectError> {
        self.uses += 1;
        let usable = self
            .open
            .get(&index)
            .is_some_and(|open| open.writable || !write);
        if usable {
            // The handle outlives the file's name, so this checks the name.
            let path = self.path_of(index)?;
            let now = fs::symlink_metadata(&path).map_err(|e| failed(&path, &e))?;
            self.require_same(index, &now)?;
        } else {
            self.make_room()?;
            let file = if write {
                self.open_to_write(index)?
            } else {
                self.open_to_read(index)?
            };
            let dirty = self.open.get(&index).is_some_and(|open| open.dirty);
            self.open.insert(
                index,
                OpenFile {
                    file,
                    writable: write,
                    dirty,
                    last_use: 0,
                    _counted: self.open_files.count(),
                },
            );
        }
        match self.open.get_mut(&index) {
            Some(open) => {
                open.last_use = self.uses;
                Ok(open)
            }
            None => Err(EffectError::Storage(format!("no file {index} to open"))),
        }
    }

    fn open_to_read(&self, index: u32) -> Result<File, EffectError> {
        let path = checked_path(&self.data_dir, &self.place(index)?.components)?;
        let file = File::open(&path).map_err(|e| failed(&path, &e))?;
        let now = file.metadata().map_err(|e| failed(&path, &e))?;
        self.require_same(index, &now)?;
        Ok(file)
    }

    /// The file there now is the file that was opened; else it is neither served nor written to.
    fn require_same(&self, index: u32, now: &fs::Metadata) -> Result<(), EffectError> {
        let place = self.place(index)?;
        if place.is_still(now) {
            return Ok(());
        }
        let path = place.path(&self.data_dir);
        let text = format!("{} was changed or replaced meanwhile", path.display());
        Err(EffectError::Missing(text))
    }

    /// Opens the files that this program made, and makes those that are not there.
    fn open_to_write(&mut self, index: u32) -> Result<File, EffectError> {
        let place = self.place(index)?.clone();
        let path = checked_path(&self.data_dir, &place.components)?;
        if place.found.is_some()
            && !place.ours
            && let Some(other) = self.of_another(&path, &place)
        {
            return Err(EffectError::Storage(format!(
                "{} belongs to torrent {other}, too: give one of them another folder, or move the file away",
                path.display()
            )));
        }
        let writer = self.users.claim(&path, self.info_hash);
        if writer != self.info_hash {
            return Err(EffectError::Storage(format!(
                "{} belongs to torrent {writer}, too, which writes to it: give one of them another folder",
                path.display()
            )));
        }
        let file = if place.found.is_none() {
            self.create_parents(&place.components)?;
            self.made.create(&place.safe, &path)
        } else if place.ours || self.repair {
            OpenOptions::new().read(true).write(true).open(&path)
        } else {
            Err(ErrorKind::AlreadyExists.into())
        };
        let file = file.map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => not_ours(&path),
            _ => failed(&path, &e),
        })?;
        let now = file.metadata().map_err(|e| failed(&path, &e))?;
        if place.found.is_some() {
            self.require_same(index, &now)?;
            if !place.ours && has_other_names(&now) {
                return Err(EffectError::Storage(format!(
                    "{} is there under another name, too (a hard link), and would be written over under both: put a copy of it in its place, or move it away",
                    path.display()
                )));
            }
        }
        self.seen.write_to(&place.safe).map_err(unrecorded)?;
        if let Some(place) = self.places.get_mut(index as usize) {
            place.ours |= place.found.is_none();
            place.found = Some(Stamp::of(&now));
            // It changes from now on because we write to it.
            place.written = true;
            place.edited = false;
            place.unchecked = 0;
        }
        Ok(file)
    }

    /// Another torrent that has this file now, or had it by the records beside this one's.
    fn of_another(&mut self, path: &Path, place: &Place) -> Option<InfoHash> {
        let now = self.users.other(path, self.info_hash);
        if now.is_some() {
            return now;
        }
        if self.others_seen.is_none() {
            let records = fs::read_dir(self.scratch_path.parent()?).ok()?;
            let others = records.flatten().filter_map(|record| {
                let name = record.file_name();
                let hash = name.to_str()?.strip_suffix(SEEN_SUFFIX)?;
                let other = InfoHash::from_hex(hash).filter(|other| *other != self.info_hash)?;
                Some((other, Seen::load(record.path()).ok()?))
            });
            self.others_seen = Some(others.collect());
        }
        let mut others = self.others_seen.iter().flatten();
        let other = others.find(|(_, seen)| seen.knows(&place.safe))?;
        Some(other.0)
    }

    fn create_parents(&mut self, components: &[OsString]) -> Result<(), EffectError> {
        let mut dir = self.data_dir.clone();
        for component in &components[..components.len() - 1] {
            let parent = dir.clone();
            dir.push(component);
            match fs::create_dir(&dir) {
                Ok(()) => self.note_created(parent),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(failed(&dir, &e)),
            }
        }
        self.note_created(dir);
        Ok(())
    }

    fn note_created(&mut self, dir: PathBuf) {
        if !self.dirty_dirs.contains(&dir) {
            self.dirty_dirs.push(dir);
        }
    }

    fn make_room(&mut self) -> Result<(), EffectError> {
        if self.open.len() < MAX_OPEN_FILES && !self.open_files.are_many() {
            return Ok(());
        }
        let oldest = self
            .open
            .iter()
            .min_by_key(|(_, open)| open.last_use)
            .map(|(index, _)| *index);
        if let Some(index) = oldest
            && let Some(open) = self.open.remove(&index)
            && open.dirty
        {
            // The next flush cannot reach a closed handle.
            let path = self.path_of(index)?;
            open.sync(&path).map_err(|e| failed(&path, &e))?;
        }
        Ok(())
    }

    fn scratch_file(&mut self, create: bool) -> io::Result<&mut File> {
        let file = match self.scratch.take() {
            Some(file) => file,
            None => OpenOptions::new()
                .read(true)
                .write(true)
                .create(create)
                .truncate(false)
                .open(&self.scratch_path)?,
        };
        Ok(self.scratch.insert(file))
    }
}

fn read_at(file: &mut File, offset: u64, out: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(out)
}

fn remove_if_there(path: &Path) -> Result<(), EffectError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed(path, &e)),
        _ => Ok(()),
    }
}

/// A new name in a folder is durable only when the folder is; only Unix lets us ask for it.
#[cfg(unix)]
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(not(unix))]
pub(super) fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}
