//! Which torrents of this process have which file.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::types::InfoHash;

/// The torrents that have a file. Two that both repair one would write over each other for ever, and one would write
/// over a file that the other serves.
#[derive(Clone, Debug, Default)]
pub(super) struct Users(Arc<Mutex<HashMap<PathBuf, Uses>>>);

#[derive(Debug, Default)]
struct Uses {
    /// They found it there.
    found: HashSet<InfoHash>,
    writer: Option<InfoHash>,
}

impl Users {
    /// A torrent found a file in its place.
    pub(super) fn found(&self, path: PathBuf, info_hash: InfoHash) {
        self.table()
            .entry(path)
            .or_default()
            .found
            .insert(info_hash);
    }

    /// Another torrent that found it there.
    pub(super) fn other(&self, path: &Path, info_hash: InfoHash) -> Option<InfoHash> {
        let table = self.table();
        let found = &table.get(path)?.found;
        found.iter().copied().find(|other| *other != info_hash)
    }

    /// The files that this torrent and another one have, with that one, by path: so many at the most.
    pub(super) fn shared(&self, info_hash: InfoHash, most: usize) -> Vec<(PathBuf, InfoHash)> {
        let table = self.table();
        let mut shared: Vec<(PathBuf, InfoHash)> = (table.iter())
            .filter(|(_, uses)| uses.found.contains(&info_hash) || uses.writer == Some(info_hash))
            .filter_map(|(path, uses)| {
                let other = uses.found.iter().find(|other| **other != info_hash)?;
                Some((path.clone(), *other))
            })
            .collect();
        shared.sort_unstable();
        shared.truncate(most);
        shared
    }

    /// The torrent that writes to it from now on, or did before.
    pub(super) fn claim(&self, path: &Path, info_hash: InfoHash) -> InfoHash {
        let mut table = self.table();
        let uses = table.entry(path.to_owned()).or_default();
        *uses.writer.get_or_insert(info_hash)
    }

    /// A torrent is closed: it has no file any more.
    pub(super) fn release(&self, info_hash: InfoHash) {
        self.table().retain(|_, uses| {
            uses.found.remove(&info_hash);
            uses.writer.take_if(|writer| *writer == info_hash);
            uses.writer.is_some() || !uses.found.is_empty()
        });
    }

    fn table(&self) -> MutexGuard<'_, HashMap<PathBuf, Uses>> {
        // Each change of it is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
