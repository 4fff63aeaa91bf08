//! What the daemon remembers over restarts, besides CONFIG.toml: the torrents that were added while it ran, prices that
//! were set, where each torrent's data is, and which ones were removed.
//!
//! Owns `torrents.json` and the .torrent files beside it. Invariant: each file is whole, also after a loss of power; a
//! torrent that is named without a link has its .torrent file there first.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::Source;
use crate::native::cli::deployment::write_whole;
use crate::native::cli::output::CliError;
use crate::native::cli::torrent::{self, Named};
use crate::types::InfoHash;

pub(super) const FILE: &str = "torrents.json";
/// The form of the file; another one is left alone.
const VERSION: u32 = 1;
/// Longest file that is read, bytes: far more than 512 torrents with long links take.
const MAX_FILE_LEN: u64 = 64 << 20;

/// Where a torrent comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Origin {
    Config,
    Http,
    Watch,
}

impl Origin {
    pub(super) fn name(self) -> &'static str {
        match self {
            Origin::Config => "config",
            Origin::Http => "http",
            Origin::Watch => "watch",
        }
    }
}

/// One torrent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) origin: Origin,
    /// Its link, if it has no .torrent file here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) magnet: Option<String>,
    /// The folder of its data.
    pub(super) data: PathBuf,
    /// Tokens per GB; without one the configuration's. Of a torrent that CONFIG.toml lists only a price that was set
    /// while the daemon ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) price: Option<String>,
    /// The price in CONFIG.toml when another one was set; once that one changes, it counts again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) instead_of: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_price: Option<String>,
    pub(super) fetch: bool,
    /// All of it was in that folder once.
    #[serde(default)]
    pub(super) complete: bool,
    /// It was removed, and what lists it still does.
    #[serde(default)]
    pub(super) removed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    torrents: BTreeMap<String, Kept>,
}

/// All that is remembered.
#[derive(Debug)]
pub(super) struct Memory {
    dir: PathBuf,
    torrents: BTreeMap<InfoHash, Kept>,
}

impl Memory {
    /// What is in the daemon's folder, which is made if need be.
    ///
    /// # Errors
    /// The folder cannot be used, or what is in it is not of this program's making.
    pub(super) fn open(dir: PathBuf) -> Result<Memory, CliError> {
        make_private(&dir)?;
        let path = dir.join(FILE);
        let cannot = |e: &dyn std::fmt::Display| {
            CliError::Invalid(format!(
                "{} cannot be read: {e}: if it is damaged, move it away; torrents that were added over HTTP or by the watch folder are forgotten then",
                path.display()
            ))
        };
        let mut bytes = Vec::new();
        match fs::File::open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let torrents = BTreeMap::new();
                return Ok(Memory { dir, torrents });
            }
            Err(e) => return Err(cannot(&e)),
            Ok(file) => {
                (file.take(MAX_FILE_LEN).read_to_end(&mut bytes)).map_err(|e| cannot(&e))?
            }
        };
        let written: Written = serde_json::from_slice(&bytes).map_err(|e| cannot(&e))?;
        if written.version != VERSION {
            return Err(cannot(&format!(
                "it has version {}, and this program knows {VERSION}",
                written.version
            )));
        }
        let torrents = written.torrents.into_iter().map(|(hash, kept)| {
            let hash = InfoHash::from_hex(&hash).ok_or_else(|| cannot(&"a hash is none"))?;
            Ok((hash, kept))
        });
        let torrents = torrents.collect::<Result<_, CliError>>()?;
        Ok(Memory { dir, torrents })
    }

    pub(super) fn get(&self, info_hash: &InfoHash) -> Option<&Kept> {
        self.torrents.get(info_hash)
    }

    /// Torrents that no CONFIG.toml has to list.
    pub(super) fn added(&self) -> Vec<(InfoHash, Kept)> {
        let all = self.torrents.iter();
        all.filter(|(_, kept)| kept.origin != Origin::Config && !kept.removed)
            .map(|(hash, kept)| (*hash, kept.clone()))
            .collect()
    }

    /// The torrent of an earlier run.
    ///
    /// # Errors
    /// Its link or its .torrent file is not what it was.
    pub(super) fn named(&self, info_hash: InfoHash, kept: &Kept) -> Result<Named, CliError> {
        match &kept.magnet {
            Some(link) => torrent::link(link),
            None => {
                let path = self.torrent_file(info_hash);
                let shown = path.display().to_string();
                let bytes = torrent::read_file(&path)
                    .map_err(|e| CliError::Invalid(format!("{shown} cannot be read: {e}")))?;
                torrent::of_bytes(&bytes, &shown)
            }
        }
    }

    /// Puts a torrent on record, with what names it.
    ///
    /// # Errors
    /// The disk's. Then nothing has changed.
    pub(super) fn put(
        &mut self,
        info_hash: InfoHash,
        mut kept: Kept,
        source: Option<&Source>,
    ) -> Result<(), CliError> {
        match source {
            Some(Source::Torrent(bytes)) => write_whole(&self.torrent_file(info_hash), bytes)?,
            Some(Source::Magnet(link)) => kept.magnet = Some(link.clone()),
            Some(Source::Stored(_)) | None => {}
        }
        self.change(|torrents| {
            torrents.insert(info_hash, kept);
        })
    }

    /// Changes a torrent's record.
    ///
    /// # Errors
    /// The disk's. Then nothing has changed.
    pub(super) fn update(
        &mut self,
        info_hash: InfoHash,
        change: impl FnOnce(&mut Kept),
    ) -> Result<(), CliError> {
        self.change(|torrents| {
            if let Some(kept) = torrents.get_mut(&info_hash) {
                change(kept);
            }
        })
    }

    /// Forgets the torrents that were removed, but for those that something lists, or may list.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn forget_removed(
        &mut self,
        is_listed: impl Fn(&InfoHash, Origin) -> bool,
    ) -> Result<(), CliError> {
        let gone = |hash: &InfoHash, kept: &Kept| kept.removed && !is_listed(hash, kept.origin);
        self.forget(gone)
    }

    /// Forgets the torrents of an earlier CONFIG.toml.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn forget_unlisted(
        &mut self,
        is_listed: impl Fn(&InfoHash) -> bool,
    ) -> Result<(), CliError> {
        self.forget(|hash, kept| kept.origin == Origin::Config && !is_listed(hash))
    }

    fn forget(&mut self, gone: impl Fn(&InfoHash, &Kept) -> bool) -> Result<(), CliError> {
        let all = self.torrents.iter();
        let hashes: Vec<InfoHash> = (all.filter(|(hash, kept)| gone(hash, kept)))
            .map(|(hash, _)| *hash)
            .collect();
        if hashes.is_empty() {
            return Ok(());
        }
        self.change(|torrents| torrents.retain(|hash, _| !hashes.contains(hash)))?;
        for hash in hashes {
            // One that stays names nothing any more.
            let _ = fs::remove_file(self.torrent_file(hash));
        }
        Ok(())
    }

    fn change(
        &mut self,
        change: impl FnOnce(&mut BTreeMap<InfoHash, Kept>),
    ) -> Result<(), CliError> {
        let mut changed = self.torrents.clone();
        change(&mut changed);
        if changed != self.torrents {
            let torrents: BTreeMap<String, &Kept> = changed
                .iter()
                .map(|(hash, kept)| (hash.to_hex(), kept))
                .collect();
            let written = json!({"version": VERSION, "torrents": torrents});
            write_whole(&self.dir.join(FILE), format!("{written:#}\n").as_bytes())?;
            self.torrents = changed;
        }
        Ok(())
    }

    fn torrent_file(&self, info_hash: InfoHash) -> PathBuf {
        self.dir.join(format!("{info_hash}.torrent"))
    }
}

/// The folder that only its user can look into.
fn make_private(dir: &Path) -> Result<(), CliError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(dir).map_err(|e| {
        CliError::Invalid(format!(
            "{} cannot be made: {e}: make its folder writable, or choose another `state`",
            dir.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(origin: Origin) -> Kept {
        Kept {
            origin,
            magnet: None,
            data: "/srv".into(),
            price: Some("10".to_owned()),
            instead_of: None,
            max_price: None,
            fetch: true,
            complete: false,
            removed: false,
        }
    }

    #[test]
    fn what_is_put_is_there_after_a_restart_and_what_is_forgotten_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("serve");
        let (one, two) = (InfoHash([1; 20]), InfoHash([2; 20]));
        let link = Source::Magnet(format!("magnet:?xt=urn:btih:{two}"));
        let mut memory = Memory::open(own.clone()).unwrap();
        memory.put(one, kept(Origin::Config), None).unwrap();
        memory.put(two, kept(Origin::Http), Some(&link)).unwrap();
        memory.update(two, |kept| kept.price = None).unwrap();

        let mut again = Memory::open(own.clone()).unwrap();
        assert_eq!(again.get(&one), Some(&kept(Origin::Config)));
        let added = again.added();
        assert_eq!(added.len(), 1);
        assert_eq!(added[0].1.price, None);
        assert_eq!(again.named(two, &added[0].1).unwrap().info_hash, two);
        again.update(two, |kept| kept.removed = true).unwrap();
        again.forget_removed(|hash, _| *hash == two).unwrap();
        assert!(again.get(&two).is_some() && again.added().is_empty());
        again.forget_removed(|_, _| false).unwrap();
        again.forget_unlisted(|_| false).unwrap();
        let last = Memory::open(own).unwrap();
        assert!(last.get(&one).is_none() && last.get(&two).is_none());
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_left_as_it_is() {
        for text in [
            "",
            "{}",
            "{\"version\":2,\"torrents\":{}}",
            "{\"version\":1,\"torrents\":{\"x\":{}}}",
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(FILE);
            fs::write(&path, text).unwrap();
            let error = Memory::open(dir.path().to_owned()).unwrap_err().to_string();
            assert!(error.contains("move it away"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
