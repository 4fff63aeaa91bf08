//! A small record in the state folder: the facts about each file of a torrent, one line a file; a later line takes the
//! place of an earlier one.
//!
//! Invariant: half a line, as a loss of power leaves it, spoils no other line.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The record in memory, and the file that each new line is appended to.
#[derive(Debug)]
pub(super) struct LineLog {
    path: PathBuf,
    /// By the file's names, joined.
    values: HashMap<String, String>,
    out: Option<File>,
    dirty: bool,
}

impl LineLog {
    /// # Errors
    /// The record is there and cannot be read.
    pub(super) fn load(path: PathBuf) -> io::Result<LineLog> {
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e),
        };
        let values = text
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(value, names)| (names.to_owned(), value.to_owned()))
            .collect();
        Ok(LineLog {
            path,
            values,
            out: None,
            dirty: false,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn get(&self, names: &[String]) -> Option<&str> {
        self.values.get(&names.join("/")).map(String::as_str)
    }

    /// Writes a line, unless it is the last one of this file already. A value has no tab.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn set(&mut self, names: &[String], value: String) -> io::Result<()> {
        let names = names.join("/");
        if self.values.get(&names) == Some(&value) {
            return Ok(());
        }
        let mut out = match self.out.take() {
            Some(out) => out,
            None => {
                let mut out = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(&self.path)?;
                // The last line of a process without power, or on a full disk, may be half a line.
                out.write_all(b"\n")?;
                out
            }
        };
        out.write_all(format!("{value}\t{names}\n").as_bytes())?;
        // Kept only after a whole line.
        self.out = Some(out);
        self.dirty = true;
        self.values.insert(names, value);
        Ok(())
    }

    /// Makes it outlive the machine's power.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty)
            && let Some(out) = &self.out
        {
            out.sync_data()?;
        }
        Ok(())
    }

    /// Forgets all.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        self.values.clear();
        self.out = None;
        self.dirty = false;
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_after_half_a_line_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let names = |name: &str| ["film".to_owned(), name.to_owned()];
        for half in ["", "5", "5 bytes", "5 bytes\t", "5 bytes\tfilm/a"] {
            let mut log = LineLog::load(path.clone()).unwrap();
            log.set(&names("a"), "before".to_owned()).unwrap();
            // The disk is full in the middle of a line: a handle that only reads takes nothing more.
            log.out = Some(File::open(&path).unwrap());
            let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
            torn.write_all(half.as_bytes()).unwrap();
            assert!(log.set(&names("a"), "lost".to_owned()).is_err());
            assert_eq!(log.get(&names("a")), Some("before"));
            log.set(&names("a"), "after".to_owned()).unwrap();
            log.set(&names("b"), "too".to_owned()).unwrap();
            let again = LineLog::load(path.clone()).unwrap();
            for log in [&log, &again] {
                assert_eq!(log.get(&names("a")), Some("after"), "{half:?}");
                assert_eq!(log.get(&names("b")), Some("too"), "{half:?}");
            }
            log.remove().unwrap();
        }
    }
}
