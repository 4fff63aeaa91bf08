//! The last transaction of a key that may still get into a block: its place among the others, and its fee.
//!
//! Owns the note of it beside the records, so that a later run takes its place too, instead of queueing behind it.
//! Invariant: a transaction is noted before it is sent. Never sends anything.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::Address;

use super::storage::sync_dir;

/// The ending of the note of a transaction; before it stand the sender's address and the chain's id.
const SUFFIX: &str = ".sent";
/// Longest note that is read, bytes.
const MAX_NOTE_LEN: u64 = 1024;

/// A transaction's fee for each gas, wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fees {
    pub(super) max: u128,
    pub(super) max_priority: u128,
}

/// A transaction's place among those of its sender, and its fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) nonce: u64,
    pub(super) fees: Fees,
}

/// The last transaction of one key on one chain, and the note of it.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    last: Mutex<Option<Place>>,
    /// The place of the note; `None` for a caller that keeps no records.
    note: Option<PathBuf>,
    turn: Mutex<()>,
    given_up: AtomicBool,
}

impl Outgoing {
    /// The last transaction of this key on this chain, by the note in `state_dir`. A note that cannot be understood
    /// counts as none: then the next transaction queues.
    ///
    /// # Errors
    /// The note is there and cannot be read.
    pub(super) fn load(state_dir: &Path, from: Address, chain_id: u64) -> io::Result<Outgoing> {
        let note = state_dir.join(format!("{from:#x}-{chain_id}{SUFFIX}"));
        let text = match fs::metadata(&note) {
            Ok(found) if found.len() <= MAX_NOTE_LEN => fs::read_to_string(&note)?,
            Ok(_) => String::new(),
            Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e),
        };
        Ok(Outgoing {
            last: Mutex::new(Place::parse(&text)),
            note: Some(note),
            ..Outgoing::default()
        })
    }

    /// Waits until nobody else sends: another sender would take the place of a transaction that is on its way to a
    /// block.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last(&self) -> Option<Place> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the transaction that is out from now on; `None`: none is. On a full disk only this run knows it, and
    /// earnings are redeemed all the same.
    pub(super) fn remember(&self, place: Option<Place>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = place;
        let Some(note) = &self.note else {
            return;
        };
        let _ = match place {
            Some(place) => write_whole(note, &place.to_line()),
            None => fs::remove_file(note),
        };
    }

    /// From now on nothing is sent, and nothing is waited for.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }
}

impl Place {
    fn to_line(self) -> String {
        let Fees { max, max_priority } = self.fees;
        format!("{} {max} {max_priority}\n", self.nonce)
    }

    fn parse(text: &str) -> Option<Place> {
        let mut fields = text.strip_suffix('\n')?.split(' ');
        let place = Place {
            nonce: fields.next()?.parse().ok()?,
            fees: Fees {
                max: fields.next()?.parse().ok()?,
                max_priority: fields.next()?.parse().ok()?,
            },
        };
        fields.next().is_none().then_some(place)
    }
}

/// Whether a file of this name, in small letters, is such a note.
pub(super) fn is_note(name: &str) -> bool {
    let parts = name.strip_suffix(SUFFIX).and_then(|it| it.split_once('-'));
    parts.is_some_and(|(address, chain)| {
        address.parse::<Address>().is_ok() && chain.parse::<u64>().is_ok()
    })
}

/// A half-written note has another name.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("sent.new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_is_known_to_the_next_run_of_the_same_key_on_the_same_chain() {
        let dir = tempfile::tempdir().unwrap();
        let of = |byte, chain| Outgoing::load(dir.path(), Address::repeat_byte(byte), chain);
        let place = Place {
            nonce: u64::MAX,
            fees: Fees {
                max: u128::MAX,
                max_priority: 0,
            },
        };
        of(1, 10).unwrap().remember(Some(place));
        assert_eq!(of(1, 10).unwrap().last(), Some(place));
        assert_eq!(of(2, 10).unwrap().last(), None);
        assert_eq!(of(1, 11).unwrap().last(), None);
        let note = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap();
        assert!(is_note(&note.file_name().to_string_lossy()));
        let line = fs::read_to_string(note.path()).unwrap();
        for damaged in [
            "".to_owned(),
            line[..line.len() - 2].to_owned(),
            format!("{line}\n"),
            line.replace(' ', "  "),
            format!("-{line}"),
            "9".repeat(5_000),
        ] {
            fs::write(note.path(), &damaged).unwrap();
            assert_eq!(of(1, 10).unwrap().last(), None, "{damaged}");
        }
        of(1, 10).unwrap().remember(None);
        assert!(!note.path().exists());
    }
}
