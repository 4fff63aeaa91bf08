//! A torrent's files in the data folder: the name that each has there, and whether this program made it.
//!
//! Owns the record of the files that this program made. Invariants: a file counts as made here only if this program
//! created it under that name and it is still the same file; no name leaves the data folder, and no symbolic link is
//! followed. Never writes into a torrent's files.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::line_log::LineLog;
use super::outgoing;
use super::records::RECORDS_FILE;
use super::session_key::KEY_STATE_SUFFIX;
use crate::metainfo::raw::RawPath;
use crate::types::InfoHash;

/// Where one file of a torrent lies.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The names that the torrent's own become where they are made; none for a pad file.
    pub(super) safe: Vec<String>,
    /// The names on disk, below the data folder; none for a pad file.
    pub(super) components: Vec<OsString>,
    /// Bytes that it has in the torrent.
    pub(super) length: u64,
    /// The file that was there when storage looked for it, or that was made since.
    pub(super) found: Option<Stamp>,
    /// This program made it.
    pub(super) ours: bool,
    /// This process writes to it, so that it changes.
    pub(super) written: bool,
    /// Somebody changed it after this program had left it alone.
    pub(super) edited: bool,
    /// Of a file that changed while it was left alone: the bytes that were not hashed again yet.
    pub(super) unchecked: u64,
}

impl Place {
    pub(super) fn is_pad(&self) -> bool {
        self.components.is_empty()
    }

    pub(super) fn path(&self, data_dir: &Path) -> PathBuf {
        let below: PathBuf = self.components.iter().collect();
        data_dir.join(below)
    }

    /// Whether the file there now is the one that was found, changed by no other process.
    pub(super) fn is_still(&self, now: &Metadata) -> bool {
        let now = Stamp::of(now);
        (self.found).is_some_and(|found| found == now || self.written && found.is_same_file(&now))
    }
}

/// The look of a file; a file that is served must still look so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) length: u64,
    modified: Option<SystemTime>,
    /// Seconds and nanoseconds of Unix time. An editor can set a file's time of modification back, but not this one.
    changed: Option<(i64, i64)>,
    identity: Identity,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            changed: changed(metadata),
            identity: Identity::of(metadata),
        }
    }

    fn is_same_file(&self, other: &Stamp) -> bool {
        self.identity == other.identity
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let modified = self
            .modified
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let modified = modified.map_or(0, |at| at.as_nanos());
        let (seconds, nanos) = self.changed.unwrap_or_default();
        let (length, identity) = (self.length, self.identity);
        write!(
            f,
            "{length} bytes of {modified}, {identity}, {seconds} {nanos}"
        )
    }
}

/// The reason why a file cannot lie where it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    #[error("{0:?} is not a plain file name")]
    Name(OsString),
    #[error("{} is a symbolic link: put the file itself there", .0.display())]
    Link(PathBuf),
    #[error("{} is a file, where the torrent has a folder: choose another folder, or move the file away", .0.display())]
    FileInTheWay(PathBuf),
    #[error("{} is not a plain file: move it away", .0.display())]
    NotAFile(PathBuf),
    #[error("{} is where piecework keeps its own records: give them another folder by --state", .0.display())]
    Records(PathBuf),
    #[error("{} would be taken for records of piecework later: no torrent makes such files", .0.display())]
    State(PathBuf),
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, io::Error),
}

/// The path of these names below the folder, none of which leaves it or is a symbolic link.
pub(super) fn checked_path<S: AsRef<OsStr>>(
    data_dir: &Path,
    components: &[S],
) -> Result<PathBuf, PlaceError> {
    let mut path = data_dir.to_owned();
    for (at, component) in components.iter().enumerate() {
        let component = component.as_ref();
        if !is_plain(component) {
            return Err(PlaceError::Name(component.to_owned()));
        }
        path.push(component);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.file_type().is_symlink() => {
                return Err(PlaceError::Link(path));
            }
            Ok(metadata) if at + 1 < components.len() && !metadata.is_dir() => {
                return Err(PlaceError::FileInTheWay(path));
            }
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(PlaceError::Io(path, e)),
        }
    }
    Ok(path)
}

fn is_plain(component: &OsStr) -> bool {
    Path::new(component)
        .components()
        .eq([Component::Normal(component)])
        && !component.as_encoded_bytes().contains(&0)
}

/// Finds the files of one torrent, and lists each folder once for it.
pub(super) struct Finder<'a> {
    data_dir: &'a Path,
    made: &'a Made,
    /// Where the records lie below the data folder, if they do.
    records: Option<Vec<OsString>>,
    listings: HashMap<PathBuf, HashSet<OsString>>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(data_dir: &'a Path, made: &'a Made) -> Finder<'a> {
        let below = made
            .0
            .path()
            .parent()
            .and_then(|dir| dir.strip_prefix(data_dir).ok());
        Finder {
            data_dir,
            made,
            records: below.map(|below| below.iter().map(OsStr::to_owned).collect()),
            listings: HashMap::new(),
        }
    }

    /// The place of a file: the file that this program made under its safe name, else a file that lies under the very
    /// name that the torrent gives it, else the safe name.
    ///
    /// # Errors
    /// Something is in the way.
    pub(super) fn find(&mut self, safe: Vec<String>, raw: &RawPath) -> Result<Place, PlaceError> {
        let path = checked_path(self.data_dir, &safe)?;
        if self.is_record(&safe) {
            return Err(PlaceError::Records(path));
        }
        let metadata = look(&path)?;
        let ours = (metadata.as_ref()).is_some_and(|found| self.made.knows(&safe, found));
        // A file that its user put there is the user's to give away.
        if (ours || metadata.is_none()) && looks_like_state(&safe) {
            return Err(PlaceError::State(path));
        }
        if !ours && let Some((components, found)) = self.find_raw(&safe, raw) {
            return Ok(Place {
                safe,
                components,
                found: Some(found),
                ..Place::default()
            });
        }
        Ok(Place {
            components: safe.iter().map(OsString::from).collect(),
            safe,
            found: metadata.as_ref().map(Stamp::of),
            ours,
            ..Place::default()
        })
    }

    /// A file under exactly the names that the torrent gives; where letter case or form are ignored, others do not
    /// count.
    fn find_raw(&mut self, safe: &[String], raw: &RawPath) -> Option<(Vec<OsString>, Stamp)> {
        let same = raw.len() == safe.len()
            && (raw.iter().zip(safe)).all(|(raw, safe)| raw[..] == *safe.as_bytes());
        if raw.is_empty() || same {
            return None;
        }
        let components: Vec<OsString> = (raw.iter())
            .map(|name| name_on_disk(name))
            .collect::<Option<_>>()?;
        if self.is_record(&components) {
            return None;
        }
        let path = checked_path(self.data_dir, &components).ok()?;
        let metadata = look(&path).ok()??;
        let mut folder = self.data_dir.to_owned();
        for component in &components {
            if !self.lists(&folder, component) {
                return None;
            }
            folder.push(component);
        }
        Some((components, Stamp::of(&metadata)))
    }

    /// Whether a file of these names would lie among this program's records; where letter case is ignored, too.
    fn is_record<S: AsRef<OsStr>>(&self, components: &[S]) -> bool {
        let Some(records) = &self.records else {
            return false;
        };
        if records.is_empty() {
            return matches!(components, [name] if is_record_name(name.as_ref()));
        }
        components.len() >= records.len()
            && (records.iter().zip(components))
                .all(|(records, name)| records.eq_ignore_ascii_case(name))
    }

    fn lists(&mut self, folder: &Path, name: &OsStr) -> bool {
        if let Some(listing) = self.listings.get(folder) {
            return listing.contains(name);
        }
        let names: HashSet<OsString> = fs::read_dir(folder)
            .map(|entries| entries.flatten().map(|e| e.file_name()).collect())
            .unwrap_or_default();
        let there = names.contains(name);
        self.listings.insert(folder.to_owned(), names);
        there
    }
}

/// The plain file there, if there is anything.
fn look(path: &Path) -> Result<Option<Metadata>, PlaceError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
        Ok(_) => Err(PlaceError::NotAFile(path.to_owned())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(PlaceError::Io(path.to_owned(), e)),
    }
}

/// A torrent's name as one of this system's file names, if it can be one.
#[cfg(unix)]
fn name_on_disk(raw: &[u8]) -> Option<OsString> {
    use std::os::unix::ffi::OsStrExt;
    let name = OsStr::from_bytes(raw);
    is_plain(name).then(|| name.to_owned())
}

/// Elsewhere some characters and names mean devices, streams and folders, so a name that has one of those is never
/// looked for.
#[cfg(not(unix))]
fn name_on_disk(raw: &[u8]) -> Option<OsString> {
    let name = std::str::from_utf8(raw).ok()?;
    let forbidden = |c: char| c.is_control() || "<>:\"/\\|?*".contains(c);
    let device =
        crate::metainfo::sanitize_component(raw).starts_with('_') && !name.starts_with('_');
    let plain = !name.contains(forbidden) && !name.ends_with(['.', ' ']) && !device;
    (plain && is_plain(OsStr::new(name))).then(|| OsString::from(name))
}

/// The ending of a torrent's scratch file; its name is the info hash.
pub(super) const SCRATCH_SUFFIX: &str = ".parts";
/// The ending of the record of the files made for a torrent; its name is the info hash.
pub(super) const MADE_SUFFIX: &str = ".made";
/// The ending of the record of their looks; its name is the info hash.
pub(super) const SEEN_SUFFIX: &str = ".seen";

/// Whether a file of this name in a state folder is this program's own.
pub(super) fn is_record_name(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_lowercase();
    // A half-written file has another name.
    let name = name.strip_suffix(".new").unwrap_or(&name);
    let of_a_torrent = [SCRATCH_SUFFIX, MADE_SUFFIX, SEEN_SUFFIX]
        .iter()
        .any(|suffix| {
            (name.strip_suffix(suffix)).is_some_and(|hash| InfoHash::from_hex(hash).is_some())
        });
    of_a_torrent || name == RECORDS_FILE || outgoing::is_note(name)
}

/// The state folder in a data folder.
pub(super) const STATE_DIR: &str = ".piecework";

/// Whether a later run would take the file for this program's records, once somebody seeds from the folder around it or
/// keeps a session key there; whatever the letter case.
fn looks_like_state<S: AsRef<OsStr>>(components: &[S]) -> bool {
    let is = |name: &S, what: &str| name.as_ref().eq_ignore_ascii_case(what);
    let is_of_key = |folder: &S| {
        let folder = folder.as_ref().to_string_lossy().to_ascii_lowercase();
        folder.ends_with(KEY_STATE_SUFFIX)
    };
    components.iter().any(|name| is(name, STATE_DIR))
        || matches!(components, [.., folder, file] if is(file, RECORDS_FILE) && is_of_key(folder))
}

/// The files of one torrent that this program made, and the identity of each.
#[derive(Debug)]
pub(super) struct Made(LineLog);

impl Made {
    /// # Errors
    /// The record is there and cannot be read.
    pub(super) fn load(path: PathBuf) -> io::Result<Made> {
        LineLog::load(path).map(Made)
    }

    /// Creates a file and notes that it is ours. A file that appears there first is left alone.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if something is there.
    pub(super) fn create(&mut self, safe: &[String], path: &Path) -> io::Result<File> {
        // A process that is killed between the two, or on a full disk, leaves an empty file, which this line claims.
        let claimed = self.0.get(safe) == Some(UNKNOWN);
        self.0.set(safe, UNKNOWN.to_owned())?;
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let is_empty = || fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.len() == 0);
        let made = match options.clone().create_new(true).open(path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists && claimed && is_empty() => {
                options.open(path)
            }
            made => made,
        };
        let made = made.and_then(|file| {
            let identity = Identity::of(&file.metadata()?).to_string();
            Ok((file, identity))
        });
        match made {
            Ok((file, identity)) => {
                self.0.set(safe, identity)?;
                Ok(file)
            }
            Err(error) => {
                self.0.set(safe, NOT_OURS.to_owned())?;
                Err(error)
            }
        }
    }

    fn knows(&self, safe: &[String], found: &Metadata) -> bool {
        match self.0.get(safe) {
            Some(UNKNOWN) => found.len() == 0,
            Some(known) => *known == Identity::of(found).to_string(),
            None => false,
        }
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

/// The mark of a file whose identity could not be written down.
const UNKNOWN: &str = "-";
/// The mark of a file of somebody else that came first.
const NOT_OURS: &str = "x";

/// The identity of a file, which differs for another file of its name: the time at which it was made, or its number
/// where that time is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    /// Nanoseconds of Unix time.
    Born(u128),
    Number(u64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Identity {
        let born = metadata.created().ok();
        match born.and_then(|born| born.duration_since(UNIX_EPOCH).ok()) {
            Some(born) => Identity::Born(born.as_nanos()),
            None => Identity::Number(number(metadata)),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Born(nanos) => write!(f, "born {nanos}"),
            Identity::Number(number) => write!(f, "number {number}"),
        }
    }
}

/// Whether the same file has other names (hard links): a write to it changes the file under each of them.
#[cfg(unix)]
pub(super) fn has_other_names(metadata: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(metadata) > 1
}

/// Whether the same file has other names; this system does not tell.
#[cfg(not(unix))]
pub(super) fn has_other_names(_metadata: &Metadata) -> bool {
    false
}

#[cfg(unix)]
fn changed(metadata: &Metadata) -> Option<(i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.ctime(), metadata.ctime_nsec()))
}

/// This system does not tell.
#[cfg(not(unix))]
fn changed(_metadata: &Metadata) -> Option<(i64, i64)> {
    None
}

#[cfg(unix)]
fn number(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_metadata: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_made_while_its_record_could_not_be_is_ours_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let safe = ["film".to_owned()];
        let path = dir.path().join("film");
        let made = || Made::load(dir.path().join("log")).unwrap();
        // The file is made, and then the disk is full.
        made().0.set(&safe, UNKNOWN.to_owned()).unwrap();
        File::create_new(&path).unwrap();
        let mut log = made();
        log.create(&safe, &path).unwrap();
        assert!(made().knows(&safe, &fs::metadata(&path).unwrap()));
        // Somebody else's file has bytes, or nothing claims it.
        for (claimed, bytes) in [(true, &b"mine"[..]), (false, b"mine"), (false, b"")] {
            fs::remove_file(&path).unwrap();
            log.remove().unwrap();
            if claimed {
                made().0.set(&safe, UNKNOWN.to_owned()).unwrap();
            }
            fs::write(&path, bytes).unwrap();
            for _ in 0..2 {
                let error = made().create(&safe, &path).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::AlreadyExists);
                assert!(!made().knows(&safe, &fs::metadata(&path).unwrap()));
            }
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }
}
