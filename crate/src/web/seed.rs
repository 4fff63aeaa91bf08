//! A torrent made from files of the page: hashed, stored, and described by a .torrent (BEP 3).
//!
//! The files are read one piece at a time, twice: the info hash names the folder they are stored in.

use bytes::Bytes;
use js_sys::{Array, Uint8Array};
use sha1::{Digest, Sha1};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

use super::storage::Storage;
use super::{hash, js};
use crate::types::InfoHash;

/// Files of one torrent.
const MAX_FILES: usize = 10_000;
/// Pieces aimed at; the piece length doubles until there are no more.
const PIECES: u64 = 1_500;
const SHORTEST_PIECE: u64 = 64 * 1024;
const LONGEST_PIECE: u64 = 8 << 20;
/// Longest name or path component, bytes.
const MAX_NAME: usize = 240;

struct Source {
    path: Vec<String>,
    blob: Blob,
    length: u64,
}

/// Takes `{name, files: [{path, blob}], trackers}`; answers with the .torrent, whose files then lie in
/// storage, complete and flushed.
pub async fn make(storage: &Storage, message: &JsValue) -> Result<Bytes, String> {
    let sources = sources(message)?;
    let total: u64 = sources.iter().map(|source| source.length).sum();
    if total == 0 {
        return Err("the files are empty".to_owned());
    }
    let name = safe_name(&js::text(message, "name").unwrap_or_default())
        .ok_or("the torrent needs a name without slashes")?;
    let mut piece_length = SHORTEST_PIECE;
    while piece_length < LONGEST_PIECE && total.div_ceil(piece_length) > PIECES {
        piece_length *= 2;
    }
    let pieces = hash_pieces(&sources, piece_length).await?;
    let info = info_dictionary(&name, &sources, piece_length, &pieces);
    let info_hash = InfoHash(Sha1::digest(&info).into());
    store(storage, info_hash, &sources, piece_length).await?;
    let trackers = js::texts(message, "trackers", 64);
    Ok(Bytes::from(torrent_file(&info, &trackers)))
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
                .collect::<Option<Vec<_>>>()
                .filter(|path| !path.is_empty())
                .ok_or("a file's path is not safe")?;
            let length = blob.size() as u64;
            Ok(Source { path, blob, length })
        })
        .collect()
}

fn safe_name(name: &str) -> Option<String> {
    let fine = !name.is_empty()
        && name.len() <= MAX_NAME
        && name != "."
        && name != ".."
        && !name
            .chars()
            .any(|c| c == '/' || c == '\\' || c.is_control());
    fine.then(|| name.to_owned())
}

async fn hash_pieces(sources: &[Source], piece_length: u64) -> Result<Vec<u8>, String> {
    let mut pieces = Vec::new();
    let piece = Uint8Array::new_with_length(piece_length as u32);
    let mut filled = 0u32;
    for source in sources {
        let mut at = 0;
        while at < source.length {
            let room = piece_length - u64::from(filled);
            let length = room.min(source.length - at);
            let part = read(&source.blob, at, length).await?;
            piece.set(&part, filled);
            filled += part.length();
            at += length;
            if u64::from(filled) == piece_length {
                pieces.extend(hash::sha1_of_buffer(&piece).await?);
                filled = 0;
            }
        }
    }
    if filled > 0 {
        pieces.extend(hash::sha1_of_buffer(&piece.slice(0, filled)).await?);
    }
    Ok(pieces)
}

async fn store(
    storage: &Storage,
    info_hash: InfoHash,
    sources: &[Source],
    chunk: u64,
) -> Result<(), String> {
    for (index, source) in sources.iter().enumerate() {
        let mut at = 0;
        while at < source.length {
            let length = chunk.min(source.length - at);
            let part = read(&source.blob, at, length).await?.to_vec();
            storage
                .write_new(info_hash, index as u32, at, &part)
                .await
                .map_err(|e| e.to_string())?;
            at += length;
        }
    }
    storage.flush_new(info_hash).map_err(|e| e.to_string())
}

async fn read(blob: &Blob, at: u64, length: u64) -> Result<Uint8Array, String> {
    let end = (at + length) as f64;
    let part = blob
        .slice_with_f64_and_f64(at as f64, end)
        .map_err(|e| js::error_text(&e))?;
    let buffer = js::settled(&part.array_buffer())
        .await
        .map_err(|e| format!("a file cannot be read: {}", js::error_text(&e)))?;
    let part = Uint8Array::new(&buffer);
    if u64::from(part.length()) == length {
        Ok(part)
    } else {
        Err("a file changed while it was read".to_owned())
    }
}

/// Bencoded, keys in order (BEP 3).
fn info_dictionary(name: &str, sources: &[Source], piece_length: u64, pieces: &[u8]) -> Vec<u8> {
    let mut out = b"d".to_vec();
    match sources {
        [one] if one.path.len() == 1 => {
            key(&mut out, "length");
            integer(&mut out, one.length);
        }
        many => {
            key(&mut out, "files");
            out.push(b'l');
            for source in many {
                out.push(b'd');
                key(&mut out, "length");
                integer(&mut out, source.length);
                key(&mut out, "path");
                out.push(b'l');
                for part in &source.path {
                    string(&mut out, part.as_bytes());
                }
                out.extend_from_slice(b"ee");
            }
            out.push(b'e');
        }
    }
    key(&mut out, "name");
    string(&mut out, name.as_bytes());
    key(&mut out, "piece length");
    integer(&mut out, piece_length);
    key(&mut out, "pieces");
    string(&mut out, pieces);
    out.push(b'e');
    out
}

fn torrent_file(info: &[u8], trackers: &[String]) -> Vec<u8> {
    let mut out = b"d".to_vec();
    if let Some(first) = trackers.first() {
        key(&mut out, "announce");
        string(&mut out, first.as_bytes());
        key(&mut out, "announce-list");
        out.push(b'l');
        for tracker in trackers {
            out.push(b'l');
            string(&mut out, tracker.as_bytes());
            out.push(b'e');
        }
        out.push(b'e');
    }
    key(&mut out, "info");
    out.extend_from_slice(info);
    out.push(b'e');
    out
}

fn key(out: &mut Vec<u8>, key: &str) {
    string(out, key.as_bytes());
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}

fn integer(out: &mut Vec<u8>, value: u64) {
    out.push(b'i');
    out.extend_from_slice(value.to_string().as_bytes());
    out.push(b'e');
}
