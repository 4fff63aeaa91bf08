//! The program among files: films, folders that must stay as they are, and how it ended.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use serde_json::Value;
use sha1::{Digest, Sha1};
use tempfile::TempDir;

use super::{Program, on_loopback};

/// Runs the program in a folder, to its end.
pub fn piecework(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_piecework"))
        .args(on_loopback(args))
        .current_dir(dir)
        .output()
        .unwrap()
}

pub fn json(output: &Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// A torrent of `path`, written to `torrent`; what the program says of it.
pub fn create(dir: &Path, path: &str, torrent: &str, args: &[&str]) -> Value {
    let all = [&["create", path, "-o", torrent, "--json"], args].concat();
    let made = piecework(dir, &all);
    assert_eq!(made.status.code(), Some(0), "{path:?}: {made:?}");
    json(&made)
}

/// A .torrent of one file of 16 KiB whose name need not be text.
pub fn torrent_named(name: &[u8], bytes: &[u8]) -> Vec<u8> {
    assert_eq!(bytes.len(), 16 * 1024);
    let string = |bytes: &[u8]| [format!("{}:", bytes.len()).as_bytes(), bytes].concat();
    [
        b"d4:infod6:lengthi16384e4:name".to_vec(),
        string(name),
        b"12:piece lengthi16384e6:pieces".to_vec(),
        string(&Sha1::digest(bytes)),
        b"ee".to_vec(),
    ]
    .concat()
}

/// Bytes of a file, or target of a link, and when that changed.
type Look = (Vec<u8>, SystemTime);

/// How files looked.
pub struct Untouched(BTreeMap<PathBuf, Look>);

/// Every file and link at or below a path, to be compared later.
pub fn untouched(path: &Path) -> Untouched {
    let mut found = BTreeMap::new();
    collect(path, &mut found);
    assert!(!found.is_empty());
    Untouched(found)
}

fn collect(path: &Path, found: &mut BTreeMap<PathBuf, Look>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), found);
        }
        return;
    }
    let bytes = match metadata.is_symlink() {
        true => fs::read_link(path)
            .unwrap()
            .into_os_string()
            .into_encoded_bytes(),
        false => fs::read(path).unwrap(),
    };
    found.insert(path.to_owned(), (bytes, metadata.modified().unwrap()));
}

impl Untouched {
    pub fn assert_same(&self) {
        for (path, before) in &self.0 {
            let mut now = BTreeMap::new();
            collect(path, &mut now);
            assert!(
                now.get(path) == Some(before),
                "{} was changed",
                path.display()
            );
        }
    }
}

/// A run of the program that ended.
pub struct Ended {
    pub code: Option<i32>,
    pub said: String,
}

impl Ended {
    pub fn of(output: &Output) -> Ended {
        let said = [&output.stdout[..], &output.stderr].concat();
        Ended {
            code: output.status.code(),
            said: String::from_utf8(said).unwrap(),
        }
    }

    pub fn assert_done(&self) {
        assert_eq!(self.code, Some(0), "{}", self.said);
    }

    /// It ended with this code, and said this somewhere.
    pub fn assert_code(&self, code: i32, says: &str) {
        assert_eq!(self.code, Some(code), "{}", self.said);
        assert!(self.said.contains(says), "{}", self.said);
    }

    /// It ended with this code, and its last word has all of this in it.
    pub fn assert_refused(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.said);
        let last = self.said.lines().last().unwrap_or_default();
        for part in says {
            assert!(last.contains(part), "{part:?} is not said: {last}");
        }
    }
}

/// A file, its torrent of 16 KiB pieces, and a folder of its own for both.
pub struct Film {
    pub dir: TempDir,
    pub name: String,
    pub bytes: Vec<u8>,
    pub info_hash: String,
    torrent: String,
}

impl Film {
    pub fn named(name: &str, bytes: Vec<u8>, tracker: &str) -> Film {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), &bytes).unwrap();
        let torrent = dir.path().join("film.torrent");
        let torrent = torrent.to_str().unwrap().to_owned();
        let args = ["--piece-length", "16K", "--tracker", tracker];
        let made = create(dir.path(), name, &torrent, &args);
        Film {
            name: name.to_owned(),
            bytes,
            info_hash: made["info_hash"].as_str().unwrap().to_owned(),
            torrent,
            dir,
        }
    }

    /// Its file in its own folder.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    /// A program that seeds it from its own folder.
    pub fn seeded(&self) -> Program {
        let mut seeder = self.seeding_from(self.dir.path(), &[]);
        seeder.until(|line| line["event"] == "seeding");
        seeder
    }

    pub fn seeding_from(&self, data: &Path, args: &[&str]) -> Program {
        self.start(&["seed", "--json", "--stats", "1", "--data"], data, args)
    }

    pub fn seed_in_words(&self, data: &Path) -> Program {
        self.start(&["seed", "--data"], data, &[])
    }

    pub fn seed_output(&self, data: &Path) -> Ended {
        let data = data.to_str().unwrap();
        Ended::of(&piecework(
            self.dir.path(),
            &["seed", &self.torrent, "--data", data],
        ))
    }

    pub fn getting(&self, into: &Path, args: &[&str]) -> Program {
        self.start(&["get", "--json", "--stats", "1", "-o"], into, args)
    }

    pub fn get(&self, into: &Path, args: &[&str]) -> Ended {
        self.get_from(&self.torrent, into, args)
    }

    /// By another link or .torrent file.
    pub fn get_from(&self, link: &str, into: &Path, args: &[&str]) -> Ended {
        let into = into.to_str().unwrap();
        let all = [&["get", link, "-o", into, "--json"], args].concat();
        Ended::of(&piecework(self.dir.path(), &all))
    }

    fn start(&self, verb: &[&str], folder: &Path, args: &[&str]) -> Program {
        let folder = folder.to_str().unwrap();
        let all = [verb, &[folder, &self.torrent], args].concat();
        Program::start_in(self.dir.path(), &all)
    }
}
