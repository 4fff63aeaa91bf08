//! What a fault of a file means for its torrent, and what the operator can do about it.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::folder::PlaceError;
use crate::client::EffectError;

/// The advice to the operator about a file that is in the way.
pub const IN_THE_WAY: &str =
    "choose another folder, or move the file away; --repair writes over it";

impl From<PlaceError> for EffectError {
    fn from(error: PlaceError) -> EffectError {
        match error {
            PlaceError::Io(path, error) => failed(&path, &error),
            other => EffectError::Storage(other.to_string()),
        }
    }
}

pub(super) fn unrecorded(error: io::Error) -> EffectError {
    EffectError::Storage(format!("the record of the torrent's files: {error}"))
}

pub(super) fn not_ours(path: &Path) -> EffectError {
    EffectError::Storage(format!(
        "{} was not made by piecework, or was changed since, and is not what the torrent says: {IN_THE_WAY}",
        path.display()
    ))
}

/// EIO, ENFILE and EMFILE of every Unix.
const BROKEN: i32 = 5;
const SYSTEM_FULL: i32 = 23;
const PROCESS_FULL: i32 = 24;

pub(super) fn failed(path: &Path, error: &io::Error) -> EffectError {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => EffectError::Storage(
            format!("{text}: change its permissions, or choose another folder"),
        ),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            EffectError::QuotaExceeded(text)
        }
        ErrorKind::NotFound | ErrorKind::UnexpectedEof => EffectError::Missing(text),
        _ => match error.raw_os_error() {
            // Data that a broken disk does not give back is gone.
            Some(BROKEN) if cfg!(unix) => EffectError::Missing(text),
            Some(PROCESS_FULL | SYSTEM_FULL) if cfg!(unix) => EffectError::Storage(format!(
                "{text}: let the program open more files (ulimit -n)"
            )),
            _ => EffectError::Storage(text),
        },
    }
}
