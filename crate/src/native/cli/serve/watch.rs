//! A folder whose .torrent files are added.
//!
//! Owns the looks into the folder and the knowledge of which file was seen. It is looked at again and again, because
//! network file systems report no changes. Never writes there, and takes nothing away.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::native::cli::torrent::{self, Named};
use crate::types::InfoHash;

/// Most .torrent files of the folder that are looked at: twice what one client takes. The others are not seen.
pub(super) const MAX_FILES: usize = 1024;
/// Findings that wait for the daemon; the next look waits for room.
const MAX_QUEUED: usize = 4;

/// Looks after which a file that was of no use for the moment is read again.
const LOOKS_BEFORE_ANOTHER_TRY: u32 = 6;

/// What a look into the folder showed.
pub(super) enum Finding {
    /// A .torrent file that is new, or another one than before, or one that was to be tried again.
    Torrent(Box<Named>, Again),
    /// Something that the operator is to know: a full sentence.
    Warning(String),
    /// The look is over; these torrents have a file there.
    Present(BTreeSet<InfoHash>, Option<FolderId>),
}

/// How the daemon says that it could not take up a file, and that it is to come again.
#[derive(Clone, Default)]
pub(super) struct Again(Arc<AtomicBool>);

impl Again {
    pub(super) fn later(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Device and inode of a folder: where a disk is mounted and where none is differ in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FolderId(u64, u64);

impl FolderId {
    /// `None` where the system has no such numbers, or the folder is not there.
    fn of(folder: &Path) -> Option<FolderId> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let metadata = fs::metadata(folder).ok()?;
            Some(FolderId(metadata.dev(), metadata.ino()))
        }
        #[cfg(not(unix))]
        {
            let _ = folder;
            None
        }
    }
}

/// The looks begin, and go on until nobody listens.
pub(super) fn start(folder: PathBuf, every: Duration) -> mpsc::Receiver<Finding> {
    let (findings, received) = mpsc::channel(MAX_QUEUED);
    tokio::spawn(async move {
        let mut seen = Seen::default();
        let mut turn = interval(every);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            let (folder, findings) = (folder.clone(), findings.clone());
            let look = spawn_blocking(move || {
                let heard = seen.look(&folder, |finding| findings.blocking_send(finding).is_ok());
                heard.then_some(seen)
            });
            match look.await {
                Ok(Some(after)) => seen = after,
                _ => return,
            }
        }
    });
    received
}

/// How a file looked.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

struct File {
    stamp: Stamp,
    /// It looked the same twice, so nobody is writing it any more, and was read.
    read: bool,
    info_hash: Option<InfoHash>,
    /// Reading it failed, and this was said: it may be any torrent.
    unreadable: Option<String>,
    again: Again,
    /// Looks since it was to come again.
    waited: u32,
}

#[derive(Default)]
struct Seen {
    files: BTreeMap<PathBuf, File>,
    /// The folder could not be read, which was said.
    trouble: bool,
    /// There were too many files, which was said.
    crowded: bool,
}

impl Seen {
    /// One look. `tell` answers whether somebody listens still, and so does this.
    fn look(&mut self, folder: &Path, mut tell: impl FnMut(Finding) -> bool) -> bool {
        let before = FolderId::of(folder);
        let mut paths = match torrents_in(folder) {
            Ok(paths) => paths,
            Err(e) => {
                let is_news = !std::mem::replace(&mut self.trouble, true);
                return !is_news
                    || tell(Finding::Warning(format!(
                        "the watch folder {} cannot be read: {e}: nothing is added from it until it can",
                        folder.display()
                    )));
            }
        };
        self.trouble = false;
        // A disk may have come or gone meanwhile.
        let id = before.filter(|before| FolderId::of(folder) == Some(*before));
        let crowded = paths.len() > MAX_FILES;
        if crowded && !std::mem::replace(&mut self.crowded, crowded) {
            let text = format!(
                "the watch folder {} has more than {MAX_FILES} .torrent files: only the first by name are looked at, so take away those that were added",
                folder.display()
            );
            if !tell(Finding::Warning(text)) {
                return false;
            }
        }
        self.crowded = crowded;
        paths.truncate(MAX_FILES);
        let known: BTreeSet<&PathBuf> = paths.iter().map(|(path, _)| path).collect();
        self.files.retain(|path, _| known.contains(path));
        for (path, stamp) in &paths {
            let file = match self.files.entry(path.clone()) {
                Entry::Occupied(file) => file.into_mut(),
                // Somebody may be writing it: it is read once it looks the same again.
                Entry::Vacant(place) => {
                    place.insert(File {
                        stamp: *stamp,
                        read: false,
                        info_hash: None,
                        unreadable: None,
                        again: Again::default(),
                        waited: 0,
                    });
                    continue;
                }
            };
            if file.stamp != *stamp {
                (file.stamp, file.read) = (*stamp, false);
                continue;
            }
            if file.read {
                file.waited += u32::from(file.again.is_wanted());
                if file.waited < LOOKS_BEFORE_ANOTHER_TRY {
                    continue;
                }
            }
            if let Some(finding) = file.examine(path)
                && !tell(finding)
            {
                return false;
            }
        }
        // What is not read may be any of them.
        let is_read = |file: &File| file.read && file.unreadable.is_none();
        let all_read = self.files.values().all(is_read);
        let present = self
            .files
            .values()
            .filter_map(|file| file.info_hash)
            .collect();
        !all_read || tell(Finding::Present(present, id))
    }
}

impl File {
    /// Reads it. What was said of it before is not said again.
    fn examine(&mut self, path: &Path) -> Option<Finding> {
        (self.read, self.again, self.waited) = (true, Again::default(), 0);
        let shown = path.display().to_string();
        let bytes = match torrent::read_file(path) {
            Ok(bytes) => bytes,
            Err(e) => {
                let text = format!("{shown} cannot be read: {e}");
                self.info_hash = None;
                self.again.later();
                let said = self.unreadable.replace(text.clone());
                return (said.as_ref() != Some(&text)).then_some(Finding::Warning(text));
            }
        };
        self.unreadable = None;
        let named = torrent::of_bytes(&bytes, &shown);
        self.info_hash = named.as_ref().ok().map(|named| named.info_hash);
        Some(match named {
            Ok(named) => Finding::Torrent(Box::new(named), self.again.clone()),
            Err(e) => Finding::Warning(e.to_string()),
        })
    }
}

/// The plain files whose names end in `.torrent`, by name. Links count as what they lead to.
fn torrents_in(folder: &Path) -> std::io::Result<Vec<(PathBuf, Stamp)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_torrent = (path.extension()).is_some_and(|ext| ext.eq_ignore_ascii_case("torrent"));
        // One that is taken away meanwhile is none.
        let metadata = if is_torrent {
            fs::metadata(&path).ok()
        } else {
            None
        };
        if let Some(metadata) = metadata.filter(fs::Metadata::is_file) {
            let stamp = Stamp {
                length: metadata.len(),
                modified: metadata.modified().ok(),
            };
            found.push((path, stamp));
        }
    }
    found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A .torrent of one byte, by name.
    fn torrent(name: &str) -> Vec<u8> {
        let mut bytes = format!("d4:infod6:lengthi1e4:name{}:{name}", name.len()).into_bytes();
        bytes.extend_from_slice(b"12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee");
        bytes
    }

    /// How many torrents, warnings and ends of looks came.
    fn look(seen: &mut Seen, folder: &Path) -> (usize, Vec<String>, Option<usize>) {
        let (mut torrents, mut warnings, mut present) = (0, Vec::new(), None);
        assert!(seen.look(folder, |finding| {
            match finding {
                Finding::Torrent(..) => torrents += 1,
                Finding::Warning(text) => warnings.push(text),
                Finding::Present(hashes, _) => present = Some(hashes.len()),
            }
            true
        }));
        (torrents, warnings, present)
    }

    #[test]
    fn a_file_is_added_once_and_only_when_nobody_writes_it_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = Seen::default();
        assert_eq!(look(&mut seen, dir.path()), (0, vec![], Some(0)));
        let path = dir.path().join("A.TORRENT");
        let whole = torrent("a");
        fs::write(&path, &whole[..20]).unwrap();
        fs::write(dir.path().join("notes.txt"), "no torrent").unwrap();
        assert_eq!(look(&mut seen, dir.path()), (0, vec![], None));
        // It grows between two looks: half of it would be no torrent.
        fs::write(&path, &whole).unwrap();
        assert_eq!(look(&mut seen, dir.path()), (0, vec![], None));
        assert_eq!(look(&mut seen, dir.path()), (1, vec![], Some(1)));
        assert_eq!(look(&mut seen, dir.path()), (0, vec![], Some(1)));
        fs::remove_file(&path).unwrap();
        assert_eq!(look(&mut seen, dir.path()), (0, vec![], Some(0)));
        // Put there again it is new.
        fs::write(&path, &whole).unwrap();
        look(&mut seen, dir.path());
        assert_eq!(look(&mut seen, dir.path()), (1, vec![], Some(1)));
    }

    #[test]
    fn what_is_no_torrent_is_named_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = Seen::default();
        fs::write(dir.path().join("page.torrent"), "<html>").unwrap();
        look(&mut seen, dir.path());
        let (torrents, warnings, present) = look(&mut seen, dir.path());
        assert_eq!((torrents, present), (0, Some(0)));
        assert!(
            warnings[0].contains("page.torrent is not a valid .torrent file"),
            "{warnings:?}"
        );
        assert_eq!(look(&mut seen, dir.path()).1, Vec::<String>::new());
        let gone = dir.path().join("gone");
        assert!(look(&mut seen, &gone).1[0].contains("cannot be read"));
        assert_eq!(look(&mut seen, &gone).1, Vec::<String>::new());
    }

    #[test]
    fn what_was_of_no_use_is_tried_again_after_some_looks() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.torrent"), torrent("a")).unwrap();
        let mut seen = Seen::default();
        look(&mut seen, dir.path());
        let mut came = 0;
        for _ in 0..2 * LOOKS_BEFORE_ANOTHER_TRY + 1 {
            assert!(seen.look(dir.path(), |finding| {
                if let Finding::Torrent(_, again) = finding {
                    came += 1;
                    again.later();
                }
                true
            }));
        }
        assert_eq!(came, 3);
        // Once it is taken up it does not come again.
        for file in seen.files.values_mut() {
            (file.again, file.waited) = (Again::default(), 0);
        }
        for _ in 0..2 * LOOKS_BEFORE_ANOTHER_TRY {
            assert_eq!(look(&mut seen, dir.path()), (0, vec![], Some(1)));
        }
    }

    #[test]
    fn a_folder_of_too_many_files_is_named_and_the_first_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..=MAX_FILES {
            fs::write(
                dir.path().join(format!("{number:05}.torrent")),
                torrent("a"),
            )
            .unwrap();
        }
        let mut seen = Seen::default();
        assert!(look(&mut seen, dir.path()).1[0].contains("more than 1024"));
        let (torrents, warnings, _) = look(&mut seen, dir.path());
        assert_eq!((torrents, warnings.len()), (MAX_FILES, 0));
        assert_eq!(seen.files.len(), MAX_FILES);
    }
}
