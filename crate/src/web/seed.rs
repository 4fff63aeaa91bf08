//! A torrent made from files of the page: hashed, stored, and described by a .torrent.
//!
//! The module reads the files a chunk at a time, twice, because the info hash names the folder that they are stored in.
//! It hashes them both times, because not every browser refuses to read a file that changed since it was chosen. While
//! it writes them, a record says so: the next engine removes the files of one that was killed meanwhile. Only its own
//! state machine writes a torrent that is taken up.

use std::rc::Rc;

use bytes::Bytes;
use js_sys::{Array, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

use super::driver::Driver;
use super::js;
use super::page::Making;
use super::records::Records;
use super::storage::{NewFiles, Storage};
use crate::client::Input;
use crate::metainfo::Metainfo;
use crate::metainfo::create::{CreateError, PieceHasher, PieceHashes, TorrentBuilder};
use crate::torrent::record_key;
use crate::types::{Durability, InfoHash};

/// Files of one torrent, at most.
const MAX_FILES: usize = 10_000;
/// The longest name or path component, in bytes.
const MAX_NAME: usize = 240;
/// The characters of a name that an error repeats.
const MAX_SHOWN: usize = 60;
/// The bytes that are read from a file at once.
const CHUNK: u64 = 1 << 20;
/// The prefix of the info hash in the record of a torrent whose files are being written.
const MAKING: &str = "making/";
/// The reason why files are not shared.
const CHANGED: &str = "a file changed while it was read";
const IN_USE: &str =
    "this title is open here, and not all of it is there: remove it, then share the files again";

struct Source {
    path: Vec<String>,
    blob: Blob,
    length: u64,
}

/// The result of the first read.
struct Made {
    torrent: Metainfo,
    hashes: PieceHashes,
    /// The hasher of the second read.
    hasher: PieceHasher,
}

/// Takes `{name, isFolder, files: [{path, blob}], trackers, webSeeds, pieceLength?, private?, comment?, createdBy?,
/// created?}`. Answers the .torrent, whose files then lie in storage, complete and flushed. Files that do not fit the
/// storage limit are refused. A folder stays one when it holds a single file. The page hears how far it is, and may
/// take it back meanwhile.
pub async fn make(driver: &Driver, message: &JsValue, making: Making) -> Result<Bytes, String> {
    let sources = sources(message)?;
    let total = sources.iter().map(|source| source.length).sum();
    let mut reading = Reading {
        driver,
        making,
        done: 0,
        total,
    };
    let made = hash(message, &sources, &mut reading).await?;
    match taken_up(driver, made.torrent.info_hash) {
        Some(there) => there?,
        None => keep(driver, &sources, &made, &mut reading).await?,
    }
    Ok(Bytes::from(made.torrent.to_torrent()))
}

/// The two reads of the files.
struct Reading<'a> {
    driver: &'a Driver,
    making: Making,
    /// Bytes read so far, in both reads together.
    done: u64,
    /// Bytes of all files.
    total: u64,
}

impl Reading<'_> {
    /// The next chunk of a file. Tells the page how far its request is.
    async fn chunk(&mut self, source: &Source, at: u64) -> Result<Vec<u8>, String> {
        let total = self.total.saturating_mul(2);
        (self.driver.pages).making(self.making, self.done, total)?;
        let chunk = read(&source.blob, at, CHUNK.min(source.length - at)).await?;
        self.done += chunk.len() as u64;
        Ok(chunk)
    }
}

async fn hash(
    message: &JsValue,
    sources: &[Source],
    reading: &mut Reading<'_>,
) -> Result<Made, String> {
    let name = safe_name(&js::text(message, "name").unwrap_or_default())?;
    let mut builder = match sources {
        [one] if js::flag(message, "isFolder") != Some(true) => {
            TorrentBuilder::single_file(name, one.length)
        }
        many => many.iter().fold(TorrentBuilder::new(name), |builder, one| {
            builder.file(one.path.clone(), one.length)
        }),
    };
    for tracker in js::texts(message, "trackers", 64) {
        builder = builder.tracker(tracker);
    }
    for url in js::texts(message, "webSeeds", 64) {
        builder = builder.web_seed(url);
    }
    if let Some(bytes) = js::number(message, "pieceLength") {
        builder = builder.piece_length(u32::try_from(bytes).unwrap_or(u32::MAX));
    }
    builder = builder.private(js::flag(message, "private") == Some(true));
    if let Some(comment) = js::text(message, "comment") {
        builder = builder.comment(comment);
    }
    if let Some(program) = js::text(message, "createdBy") {
        builder = builder.created_by(program);
    }
    if let Some(seconds) = js::number(message, "created") {
        builder = builder.created(seconds);
    }
    let failed = |e: CreateError| e.to_string();
    let unused = builder.hasher().map_err(failed)?;
    let mut hasher = unused.clone();
    for source in sources {
        let mut at = 0;
        while at < source.length {
            let chunk = reading.chunk(source, at).await?;
            hasher.update(&chunk);
            at += chunk.len() as u64;
        }
    }
    let hashes = hasher.finish().map_err(failed)?;
    Ok(Made {
        torrent: builder.build(hashes.clone()).map_err(failed)?,
        hashes,
        hasher: unused,
    })
}

/// Whether nothing is to be stored, because the torrent is taken up: all of it is here, or the reason why it cannot be
/// made so.
fn taken_up(driver: &Driver, info_hash: InfoHash) -> Option<Result<(), String>> {
    let is_whole = driver.look(|core| core.is_whole(info_hash))?;
    Some(if is_whole {
        Ok(())
    } else {
        Err(IN_USE.to_owned())
    })
}

/// Stores the files of a torrent that nobody has taken up, or nothing.
async fn keep(
    driver: &Driver,
    sources: &[Source],
    made: &Made,
    reading: &mut Reading<'_>,
) -> Result<(), String> {
    let storage = &driver.storage;
    let Metainfo {
        info_hash,
        total_length,
        ..
    } = made.torrent;
    let is_new = !storage.holds(info_hash).await;
    driver.change(|core| core.reserve_storage(info_hash, total_length))?;
    if is_new {
        // Half a torrent that nobody knows of would fill the quota for good.
        note(&driver.records, info_hash, true);
    } else {
        driver.change(|core| core.doubt_stored(info_hash));
        // The record leaves before the first byte is written.
        driver.input(Input::Tick);
    }
    let files = storage.begin_new(info_hash);
    let stored = store(driver, &files, sources, made, reading).await;
    // A torrent that was removed meanwhile counts as new. One that was taken up since is not for this function to
    // discard.
    let is_left = (is_new || files.are_deleted()) && taken_up(driver, info_hash).is_none();
    if stored.is_err() && is_left {
        storage.discard_new(info_hash).await;
        driver.change(|core| core.release_storage(info_hash));
    }
    if is_new {
        note(&driver.records, info_hash, false);
    }
    stored
}

/// Notes in the records whether a torrent's files are being written. If the records take nothing, the files of a killed
/// engine stay.
fn note(records: &Rc<Records>, info_hash: InfoHash, is_made: bool) {
    let key = MAKING.to_owned() + &info_hash.to_hex();
    let _ = records.put(vec![(key, is_made.then(Bytes::new))], Durability::Process);
}

/// Removes the unfinished files of an earlier engine that was killed, unless the records name the torrent by now.
pub async fn tidy(storage: &Storage, records: &Rc<Records>, stored: &[(String, Bytes)]) {
    for (key, _) in stored {
        let Some(info_hash) = key.strip_prefix(MAKING).and_then(InfoHash::from_hex) else {
            continue;
        };
        let named = record_key(info_hash, "info");
        if !stored.iter().any(|(key, _)| *key == named) {
            storage.discard_new(info_hash).await;
        }
        note(records, info_hash, false);
    }
}

fn sources(message: &JsValue) -> Result<Vec<Source>, String> {
    let list: Array = js::field(message, "files")
        .dyn_into()
        .map_err(|_| "`files` is not a list")?;
    if list.length() == 0 || list.length() as usize > MAX_FILES {
        return Err(format!("give 1 to {MAX_FILES} files"));
    }
    list.iter()
        .map(|file| {
            let blob: Blob = js::field(&file, "blob")
                .dyn_into()
                .map_err(|_| "a file is not a Blob")?;
            let path = js::texts(&file, "path", 32)
                .iter()
                .map(|part| safe_name(part))
                .collect::<Result<Vec<_>, _>>()?;
            if path.is_empty() {
                return Err("a file has no `path`: give its names, outermost first".to_owned());
            }
            let length = blob.size() as u64;
            Ok(Source { path, blob, length })
        })
        .collect()
}

/// A name that every peer's file system takes as it is. For any other name, the reason and the remedy.
fn safe_name(name: &str) -> Result<String, String> {
    let fine = !name.is_empty()
        && name.len() <= MAX_NAME
        && name != "."
        && name != ".."
        && !name
            .chars()
            .any(|c| c == '/' || c == '\\' || c.is_control());
    if fine {
        return Ok(name.to_owned());
    }
    let mut shown: String = name
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_SHOWN)
        .collect();
    if shown.len() < name.len() {
        shown.push('\u{2026}');
    }
    Err(format!(
        "\"{shown}\" is no name to share under: rename it to at most {MAX_NAME} bytes, other than `.` and `..`, without slashes and control characters"
    ))
}

async fn store(
    driver: &Driver,
    files: &NewFiles,
    sources: &[Source],
    made: &Made,
    reading: &mut Reading<'_>,
) -> Result<(), String> {
    let (storage, info_hash) = (&driver.storage, made.torrent.info_hash);
    let mut hasher = made.hasher.clone();
    for (index, source) in sources.iter().enumerate() {
        let mut at = 0;
        while at < source.length {
            let chunk = reading.chunk(source, at).await?;
            if let Some(there) = taken_up(driver, info_hash) {
                return there;
            }
            hasher.update(&chunk);
            storage
                .write_new(files, index as u32, at, &chunk)
                .await
                .map_err(|e| e.to_string())?;
            at += chunk.len() as u64;
        }
    }
    if hasher.finish().as_ref() != Ok(&made.hashes) {
        return Err(CHANGED.to_owned());
    }
    storage.flush_new(files).map_err(|e| e.to_string())?;
    taken_up(driver, info_hash).unwrap_or(Ok(()))
}

async fn read(blob: &Blob, at: u64, length: u64) -> Result<Vec<u8>, String> {
    let end = (at + length) as f64;
    let part = blob
        .slice_with_f64_and_f64(at as f64, end)
        .map_err(js::error_text)?;
    let buffer = js::settled(&part.array_buffer())
        .await
        .map_err(|e| format!("a file cannot be read: {}", js::error_text(e)))?;
    let part = Uint8Array::new(&buffer);
    if u64::from(part.length()) == length {
        Ok(part.to_vec())
    } else {
        Err(CHANGED.to_owned())
    }
}
