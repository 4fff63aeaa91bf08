//! The looks of a torrent's files when this program last left them alone, so that it notices a change by somebody else.
//!
//! Invariants: a file that this process writes to is on record as such before it is written to, so a killed process
//! makes nothing suspect. A file that looks otherwise than it was left stays suspect until all of it was hashed again
//! and that is on record.

use std::io;
use std::path::PathBuf;

use super::folder::Stamp;
use super::line_log::LineLog;

/// The record: for each file its look when it was left, or the mark that it is written to or suspect.
#[derive(Debug)]
pub(super) struct Seen(LineLog);

/// The verdict on a file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It is as it was left, or was not met before, or an earlier process may have died while it wrote to it.
    Trusted,
    /// It is as it was left, and this program did not write it so.
    Edited,
    /// Somebody changed it: all of it is to be hashed again.
    Changed,
}

/// This program writes to it.
const WRITTEN: &str = "written";
/// It was changed, and not all of it was hashed again.
const SUSPECT: &str = "suspect";
/// Stands before the stamp of a file that was changed, and hashed again.
const EDITED: &str = "edited ";

impl Seen {
    /// # Errors
    /// The record is there and cannot be read.
    pub(super) fn load(path: PathBuf) -> io::Result<Seen> {
        LineLog::load(path).map(Seen)
    }

    /// A file is there and looks like this.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn meet(&mut self, names: &[String], now: &Stamp) -> io::Result<Look> {
        let stamp = now.to_string();
        let look = match self.0.get(names) {
            None => {
                self.0.set(names, stamp)?;
                Look::Trusted
            }
            Some(WRITTEN) => Look::Trusted,
            Some(known) if known == stamp => Look::Trusted,
            Some(known) if known.strip_prefix(EDITED) == Some(&stamp) => Look::Edited,
            Some(_) => {
                self.0.set(names, SUSPECT.to_owned())?;
                Look::Changed
            }
        };
        Ok(look)
    }

    /// A file of these names was met.
    pub(super) fn knows(&self, names: &[String]) -> bool {
        self.0.get(names).is_some()
    }

    /// The file is going to be written to.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write_to(&mut self, names: &[String]) -> io::Result<()> {
        let met = self.0.get(names).is_some_and(|known| known != WRITTEN);
        self.0.set(names, WRITTEN.to_owned())?;
        // After a loss of power, too, the first write must not look like somebody else's.
        if met { self.0.sync() } else { Ok(()) }
    }

    /// The file is left alone and looks like this; `edited`: this program did not write it so.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn leave(&mut self, names: &[String], now: &Stamp, edited: bool) -> io::Result<()> {
        let mark = if edited { EDITED } else { "" };
        self.0.set(names, format!("{mark}{now}"))
    }

    /// Makes it outlive the machine's power.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    /// Forgets all, when the files are deleted.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        self.0.remove()
    }
}
