//! The files of torrents in the origin private file system (OPFS).
//!
//! This module owns the sync access handles. It opens each when it is first needed, and at most [`MAX_OPEN_HANDLES`] at
//! once; it closes the least recently used one, flushed. It carries out the effects of one torrent in the order in
//! which they came. Names are opaque: `piecework/<info hash>/<file index>` and `.../scratch`, and `piecework/journal-0`
//! and `-1` for the records. No text of a stranger is ever part of a path.

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use bytes::Bytes;
use gloo_timers::future::TimeoutFuture;
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{FileSystemDirectoryHandle, FileSystemReadWriteOptions, FileSystemSyncAccessHandle};

use super::driver::Driver;
use super::{hash, js};
use crate::io::{EffectError, EffectResult, Input, StorageOp};
use crate::metainfo::FileSpan;
use crate::sorted::Map;
use crate::types::{EffectId, InfoHash};

/// Files that are open at once over all torrents; one more closes the least recently used.
const MAX_OPEN_HANDLES: usize = 48;
/// Neighbouring chunks are written as one run of at most this many bytes, because each call into the browser costs.
const MAX_JOINED: usize = 1 << 20;
/// The longest read that is answered in one piece; a longer one fails.
const MAX_READ: u64 = 64 << 20;
/// The mode of a handle beside which no other one opens.
const ALONE: &str = "readwrite";
/// The mode of a handle that opens although a worker that is still ending holds another one. The Web Lock and the
/// journal see to it that an origin has one engine. Browsers without this mode take it for the other one.
const SHARED: &str = "readwrite-unsafe";
/// The pause before the next try to open a handle that another, ending worker still holds.
const HANDLE_WAIT_MS: u32 = 50;
const HANDLE_WAITS: u32 = 100;
/// The number of the scratch file among file indices; a torrent's own files are far fewer.
const SCRATCH: u32 = u32::MAX;

type Done = Result<EffectResult, EffectError>;

/// The files of all torrents.
pub struct Storage {
    root: FileSystemDirectoryHandle,
    torrents: RefCell<Map<InfoHash, Torrent>>,
    handles: RefCell<Map<(InfoHash, u32), Handle>>,
    uses: Cell<u64>,
    /// Files that are being written before the core knows of them.
    new: RefCell<Vec<Weak<NewFiles>>>,
    /// The memory in which chunks are joined, kept from one write to the next.
    joined: RefCell<Vec<u8>>,
    at: FileSystemReadWriteOptions,
}

#[derive(Default)]
struct Torrent {
    directory: Option<FileSystemDirectoryHandle>,
    waiting: VecDeque<(EffectId, StorageOp)>,
    running: bool,
}

/// The files of a torrent made here, while they are written.
pub struct NewFiles {
    info_hash: InfoHash,
    /// Whether the torrent was here before and was deleted meanwhile: then the bytes that were written are gone.
    deleted: Cell<bool>,
}

impl NewFiles {
    /// Whether the files were deleted while they were written.
    pub fn are_deleted(&self) -> bool {
        self.deleted.get()
    }

    fn require_there(&self) -> Result<(), EffectError> {
        match self.deleted.get() {
            true => Err(EffectError::Storage(
                "the title was removed while its files were stored: share them again".to_owned(),
            )),
            false => Ok(()),
        }
    }
}

struct Handle {
    access: FileSystemSyncAccessHandle,
    last_use: u64,
    /// Whether this process, or maybe an earlier one, wrote to it since the last flush.
    dirty: bool,
}

impl Storage {
    /// Opens the directory of this name, making it at the first visit.
    pub async fn open(name: &str) -> Result<Storage, String> {
        let root = root(name).await.map_err(js::error_text)?;
        Ok(Storage {
            root,
            torrents: RefCell::default(),
            handles: RefCell::default(),
            uses: Cell::new(0),
            new: RefCell::default(),
            joined: RefCell::default(),
            at: FileSystemReadWriteOptions::new(),
        })
    }

    /// Takes up work on a torrent's files. Its result enters the driver as an input.
    pub fn submit(
        self: &Rc<Self>,
        info_hash: InfoHash,
        id: EffectId,
        op: StorageOp,
        driver: &Weak<Driver>,
    ) {
        {
            let mut torrents = self.torrents.borrow_mut();
            let torrent = torrents.entry(info_hash).or_default();
            torrent.waiting.push_back((id, op));
            if torrent.running {
                return;
            }
            torrent.running = true;
        }
        let (storage, driver) = (Rc::clone(self), Weak::clone(driver));
        wasm_bindgen_futures::spawn_local(async move {
            while let Some((id, op)) = storage.next(info_hash) {
                let result = storage.carry_out(info_hash, op).await;
                let Some(driver) = driver.upgrade() else {
                    return;
                };
                driver.input(Input::EffectDone { id, result });
            }
        });
    }

    /// Prepares to write the files of a torrent made here.
    pub fn begin_new(&self, info_hash: InfoHash) -> Rc<NewFiles> {
        let files = Rc::new(NewFiles {
            info_hash,
            deleted: Cell::new(false),
        });
        let mut new = self.new.borrow_mut();
        new.retain(|files| files.strong_count() > 0);
        new.push(Rc::downgrade(&files));
        files
    }

    /// Writes the files of a torrent made here, before the core knows of it. Once they are deleted it writes nothing
    /// more, because that would stand behind a hole.
    pub async fn write_new(
        &self,
        files: &NewFiles,
        file: u32,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), EffectError> {
        files.require_there()?;
        self.ensure_directory(files.info_hash).await?;
        files.require_there()?;
        self.write_at(files.info_hash, file, offset, bytes).await
    }

    /// Makes the bytes that [`Storage::write_new`] wrote durable.
    pub fn flush_new(&self, files: &NewFiles) -> Result<(), EffectError> {
        files.require_there()?;
        self.flush(files.info_hash)
    }

    /// The files of the records' journal, beside the torrents' folders. They open for one engine alone, after an engine
    /// that is still ending in another worker let go of them.
    pub async fn journal(&self) -> Result<[FileSystemSyncAccessHandle; 2], EffectError> {
        Ok([
            open_handle(&self.root, "journal-0", true, ALONE).await?,
            open_handle(&self.root, "journal-1", true, ALONE).await?,
        ])
    }

    /// Whether there is a folder of this torrent.
    pub async fn holds(&self, info_hash: InfoHash) -> bool {
        let found = directory(&self.root, &info_hash.to_hex(), false).await;
        !matches!(found, Err(error) if js::is_error(&error, "NotFoundError"))
    }

    /// Undoes the writes of [`Storage::write_new`], as far as storage lets it.
    pub async fn discard_new(&self, info_hash: InfoHash) {
        let _ = self.close_torrent(info_hash, true).await;
    }

    fn next(&self, info_hash: InfoHash) -> Option<(EffectId, StorageOp)> {
        let mut torrents = self.torrents.borrow_mut();
        let torrent = torrents.get_mut(&info_hash)?;
        let next = torrent.waiting.pop_front();
        if next.is_none() {
            torrent.running = false;
            if torrent.directory.is_none() {
                torrents.remove(&info_hash);
            }
        }
        next
    }

    async fn carry_out(&self, info_hash: InfoHash, op: StorageOp) -> Done {
        match op {
            StorageOp::Open { files, .. } => self.open_torrent(info_hash, &files).await,
            StorageOp::Write { spans, chunks } => {
                self.write_spans(info_hash, &spans, &chunks).await?;
                Ok(EffectResult::Done)
            }
            StorageOp::Read { spans } => {
                let total = total_length(&spans)?;
                let mut out = vec![0u8; total];
                self.read_spans(info_hash, &spans, &mut out).await?;
                Ok(EffectResult::Read(Bytes::from(out)))
            }
            StorageOp::Hash { spans } => self.hash_spans(info_hash, &spans).await,
            StorageOp::WriteScratch { offset, chunks } => {
                let parts: Vec<&[u8]> = chunks.iter().map(Bytes::as_ref).collect();
                self.write_run(info_hash, SCRATCH, offset, &parts).await?;
                Ok(EffectResult::Done)
            }
            StorageOp::ReadScratch { offset, length } => {
                let span = FileSpan {
                    file: SCRATCH,
                    offset,
                    length,
                    pad: false,
                };
                let mut out = vec![0u8; total_length(&[span])?];
                self.read_spans(info_hash, &[span], &mut out).await?;
                Ok(EffectResult::Read(Bytes::from(out)))
            }
            StorageOp::Flush => {
                self.flush(info_hash)?;
                Ok(EffectResult::Done)
            }
            StorageOp::Close { delete } => self.close_torrent(info_hash, delete).await,
        }
    }

    async fn open_torrent(&self, info_hash: InfoHash, files: &[(Vec<String>, u64)]) -> Done {
        self.close_handles(info_hash);
        let directory = self.ensure_directory(info_hash).await?;
        let present = present_files(&directory).await.map_err(failed)?;
        let mut file_lengths = vec![0; files.len()];
        let mut scratch_length = 0;
        for (name, length) in present {
            if name == "scratch" {
                scratch_length = length;
            } else if let Some(slot) = name
                .parse::<usize>()
                .ok()
                .and_then(|index| file_lengths.get_mut(index))
            {
                *slot = length;
            }
        }
        Ok(EffectResult::Opened {
            file_lengths,
            scratch_length,
            // Nobody else writes into this page's storage.
            changed: Vec::new(),
        })
    }

    async fn close_torrent(&self, info_hash: InfoHash, delete: bool) -> Done {
        let flushed = if delete {
            self.note_deleted(info_hash);
            Ok(())
        } else {
            self.flush(info_hash)
        };
        self.close_handles(info_hash);
        if let Some(torrent) = self.torrents.borrow_mut().get_mut(&info_hash) {
            torrent.directory = None;
        }
        if delete {
            let options = js::object(&[("recursive", true.into())]);
            let arguments = [info_hash.to_hex().into(), options];
            let removing = js::call(&self.root, "removeEntry", &arguments).map_err(failed)?;
            match js::settled(&removing).await {
                Err(error) if !js::is_error(&error, "NotFoundError") => return Err(failed(error)),
                _ => {}
            }
        }
        flushed.map(|()| EffectResult::Done)
    }

    /// Stops the running writer of this torrent's files, if there is one.
    fn note_deleted(&self, info_hash: InfoHash) {
        for files in self.new.borrow().iter().filter_map(Weak::upgrade) {
            if files.info_hash == info_hash {
                files.deleted.set(true);
            }
        }
    }

    async fn write_spans(
        &self,
        info_hash: InfoHash,
        spans: &[FileSpan],
        chunks: &[Bytes],
    ) -> Result<(), EffectError> {
        let mut chunks = chunks.iter();
        let mut rest: &[u8] = &[];
        let mut parts = Vec::new();
        for span in spans {
            let mut left = span.length;
            parts.clear();
            while left > 0 {
                if rest.is_empty() {
                    rest = chunks.next().ok_or_else(|| {
                        EffectError::Storage("fewer bytes than spans to write".to_owned())
                    })?;
                    continue;
                }
                let now = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let (head, tail) = rest.split_at(now);
                parts.push(head);
                left -= now as u64;
                rest = tail;
            }
            if !span.pad {
                self.write_run(info_hash, span.file, span.offset, &parts)
                    .await?;
            }
        }
        Ok(())
    }

    /// Writes neighbours with as few calls as [`MAX_JOINED`] allows.
    async fn write_run(
        &self,
        info_hash: InfoHash,
        file: u32,
        offset: u64,
        parts: &[&[u8]],
    ) -> Result<(), EffectError> {
        if let [part] = parts {
            return self.write_at(info_hash, file, offset, part).await;
        }
        // Another torrent's write may take its turn while this one waits for a handle. It joins its chunks elsewhere.
        let mut joined = self.joined.take();
        let mut at = offset;
        let mut parts = parts.iter().peekable();
        let mut result = Ok(());
        while result.is_ok() && parts.peek().is_some() {
            joined.clear();
            while let Some(part) =
                parts.next_if(|part| joined.is_empty() || joined.len() + part.len() <= MAX_JOINED)
            {
                joined.extend_from_slice(part);
            }
            result = self.write_at(info_hash, file, at, &joined).await;
            at += joined.len() as u64;
        }
        self.joined.replace(joined);
        result
    }

    async fn write_at(
        &self,
        info_hash: InfoHash,
        file: u32,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), EffectError> {
        let access = self.handle(info_hash, file, true, true).await?;
        write_at(&access, &self.at, offset, bytes)
    }

    async fn read_spans(
        &self,
        info_hash: InfoHash,
        spans: &[FileSpan],
        mut out: &mut [u8],
    ) -> Result<(), EffectError> {
        for span in spans {
            let (head, tail) = out.split_at_mut(span.length as usize);
            out = tail;
            if span.pad {
                continue; // zeros already
            }
            let access = self.handle(info_hash, span.file, false, false).await?;
            self.at.set_at(span.offset as f64);
            let read = access
                .read_with_u8_array_and_options(head, &self.at)
                .map_err(failed)?;
            if read as usize != head.len() {
                return Err(missing(span));
            }
        }
        Ok(())
    }

    /// Reads into a JS buffer, so that bytes that are only hashed never enter wasm memory. An earlier process may have
    /// written them without a flush, so the next flush includes the file.
    async fn hash_spans(&self, info_hash: InfoHash, spans: &[FileSpan]) -> Done {
        let total = total_length(spans)?;
        let all = Uint8Array::new_with_length(total as u32);
        let mut filled = 0u32;
        for span in spans {
            let end = filled + span.length as u32;
            let view = all.subarray(filled, end);
            filled = end;
            if span.pad {
                continue;
            }
            let access = self.handle(info_hash, span.file, false, true).await?;
            self.at.set_at(span.offset as f64);
            let read = access
                .read_with_buffer_source_and_options(&view, &self.at)
                .map_err(failed)?;
            if read as u64 != span.length {
                return Err(missing(span));
            }
        }
        hash::sha1_of_buffer(&all)
            .await
            .map(EffectResult::Hashed)
            .map_err(EffectError::Storage)
    }

    fn flush(&self, info_hash: InfoHash) -> Result<(), EffectError> {
        let mut handles = self.handles.borrow_mut();
        for ((owner, _), handle) in handles.iter_mut() {
            if *owner == info_hash && handle.dirty {
                handle.access.flush().map_err(failed)?;
                handle.dirty = false;
            }
        }
        Ok(())
    }

    /// An open handle. The caller uses it before its next `await`: after that another call may have closed it to make
    /// room.
    async fn handle(
        &self,
        info_hash: InfoHash,
        file: u32,
        create: bool,
        dirty: bool,
    ) -> Result<FileSystemSyncAccessHandle, EffectError> {
        let last_use = self.uses.get() + 1;
        self.uses.set(last_use);
        if let Some(handle) = self.handles.borrow_mut().get_mut(&(info_hash, file)) {
            handle.last_use = last_use;
            handle.dirty |= dirty;
            return Ok(handle.access.clone());
        }
        let directory = self
            .torrents
            .borrow()
            .get(&info_hash)
            .and_then(|torrent| torrent.directory.clone())
            .ok_or_else(|| EffectError::Storage("the torrent's storage is not open".to_owned()))?;
        let access = open_handle(&directory, &file_name(file), create, SHARED).await?;
        let mut handles = self.handles.borrow_mut();
        if handles.len() >= MAX_OPEN_HANDLES {
            close_least_recent(&mut handles)?;
        }
        handles.insert(
            (info_hash, file),
            Handle {
                access: access.clone(),
                last_use,
                dirty,
            },
        );
        Ok(access)
    }

    async fn ensure_directory(
        &self,
        info_hash: InfoHash,
    ) -> Result<FileSystemDirectoryHandle, EffectError> {
        let known = self
            .torrents
            .borrow()
            .get(&info_hash)
            .and_then(|torrent| torrent.directory.clone());
        if let Some(directory) = known {
            return Ok(directory);
        }
        let made = directory(&self.root, &info_hash.to_hex(), true)
            .await
            .map_err(failed)?;
        self.torrents
            .borrow_mut()
            .entry(info_hash)
            .or_default()
            .directory = Some(made.clone());
        Ok(made)
    }

    fn close_handles(&self, info_hash: InfoHash) {
        self.handles.borrow_mut().retain(|(owner, _), handle| {
            let stays = *owner != info_hash;
            if !stays {
                js::close(&handle.access);
            }
            stays
        });
    }
}

/// Writes at an offset. The caller lends `at`, which is overwritten.
pub fn write_at(
    access: &FileSystemSyncAccessHandle,
    at: &FileSystemReadWriteOptions,
    offset: u64,
    bytes: &[u8],
) -> Result<(), EffectError> {
    at.set_at(offset as f64);
    let written = access
        .write_with_u8_array_and_options(bytes, at)
        .map_err(failed)?;
    if written as usize == bytes.len() {
        Ok(())
    } else {
        Err(quota("the browser took only a part of a write"))
    }
}

fn close_least_recent(handles: &mut Map<(InfoHash, u32), Handle>) -> Result<(), EffectError> {
    let oldest = handles
        .iter()
        .min_by_key(|(_, handle)| handle.last_use)
        .map(|(key, _)| *key);
    if let Some(handle) = oldest.and_then(|key| handles.remove(&key)) {
        let flushed = if handle.dirty {
            handle.access.flush().map_err(failed)
        } else {
            Ok(())
        };
        js::close(&handle.access);
        flushed?;
    }
    Ok(())
}

async fn open_handle(
    directory: &FileSystemDirectoryHandle,
    name: &str,
    create: bool,
    mode: &str,
) -> Result<FileSystemSyncAccessHandle, EffectError> {
    let options = js::object(&[("create", create.into())]);
    let finding = js::call(directory, "getFileHandle", &[name.into(), options]).map_err(failed)?;
    let file = js::settled(&finding).await.map_err(|error| {
        if js::is_error(&error, "NotFoundError") {
            EffectError::Missing(format!("file {name} is not there"))
        } else {
            failed(error)
        }
    })?;
    let mode = js::object(&[("mode", JsValue::from_str(mode))]);
    let mut waits = 0;
    loop {
        let opening = js::call(
            &file,
            "createSyncAccessHandle",
            core::slice::from_ref(&mode),
        )
        .map_err(failed)?;
        match js::settled(&opening).await {
            Ok(access) => return Ok(access.unchecked_into()),
            Err(error)
                if waits < HANDLE_WAITS && js::is_error(&error, "NoModificationAllowedError") =>
            {
                waits += 1;
                TimeoutFuture::new(HANDLE_WAIT_MS).await;
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

async fn root(name: &str) -> Result<FileSystemDirectoryHandle, JsValue> {
    let storage = js::field(&js::field(&js::worker(), "navigator"), "storage");
    let origin = js::settled(&js::call(&storage, "getDirectory", &[])?).await?;
    directory(origin.unchecked_ref(), name, true).await
}

async fn directory(
    parent: &FileSystemDirectoryHandle,
    name: &str,
    create: bool,
) -> Result<FileSystemDirectoryHandle, JsValue> {
    let options = js::object(&[("create", create.into())]);
    let finding = js::call(parent, "getDirectoryHandle", &[name.into(), options])?;
    Ok(js::settled(&finding).await?.unchecked_into())
}

/// Names and lengths of a directory's files.
async fn present_files(
    directory: &FileSystemDirectoryHandle,
) -> Result<Vec<(String, u64)>, JsValue> {
    let mut found = Vec::new();
    let entries = js::call(directory, "values", &[])?;
    loop {
        let step = js::settled(&js::call(&entries, "next", &[])?).await?;
        if js::flag(&step, "done").unwrap_or(true) {
            return Ok(found);
        }
        let handle = js::field(&step, "value");
        if js::text(&handle, "kind").as_deref() != Some("file") {
            continue;
        }
        let file = js::settled(&js::call(&handle, "getFile", &[])?).await?;
        if let (Some(name), Some(size)) = (js::text(&handle, "name"), js::number(&file, "size")) {
            found.push((name, size));
        }
    }
}

fn file_name(file: u32) -> String {
    if file == SCRATCH {
        "scratch".to_owned()
    } else {
        file.to_string()
    }
}

fn total_length(spans: &[FileSpan]) -> Result<usize, EffectError> {
    let total = spans
        .iter()
        .try_fold(0u64, |sum, span| sum.checked_add(span.length))
        .filter(|total| *total <= MAX_READ);
    match total {
        Some(total) => Ok(total as usize),
        None => Err(EffectError::Storage(format!(
            "a read is longer than {MAX_READ} bytes"
        ))),
    }
}

fn missing(span: &FileSpan) -> EffectError {
    EffectError::Missing(format!(
        "file {} ends before byte {}",
        file_name(span.file),
        span.offset.saturating_add(span.length)
    ))
}

fn quota(what: &str) -> EffectError {
    EffectError::QuotaExceeded(format!(
        "{what}; free space on the device or remove torrents from this site"
    ))
}

/// The error of a failed storage call.
pub fn failed(error: JsValue) -> EffectError {
    let is_full = js::is_error(&error, "QuotaExceededError");
    let text = js::error_text(error);
    if is_full {
        quota(&text)
    } else {
        EffectError::Storage(text)
    }
}
