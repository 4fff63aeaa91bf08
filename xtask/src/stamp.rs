//! "Already done": a file that holds the hash of a step's inputs.
//!
//! A wrong stamp can only cost a rebuild: the hash is of contents, and it is written after the step succeeded.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// The inputs of a step.
#[derive(Default)]
pub struct Inputs(DefaultHasher);

impl Inputs {
    /// Adds a word: a version, a flag.
    pub fn word(mut self, word: &str) -> Self {
        word.hash(&mut self.0);
        self
    }

    /// Adds a file's content; an absent file counts as empty.
    pub fn file(mut self, path: &Path) -> Self {
        fs::read(path).unwrap_or_default().hash(&mut self.0);
        self
    }

    /// The stamp that stands for these inputs at `path`.
    pub fn stamp(self, path: PathBuf) -> Stamp {
        Stamp {
            path,
            hash: format!("{:016x}\n", self.0.finish()),
        }
    }
}

/// The memory of one step.
pub struct Stamp {
    path: PathBuf,
    hash: String,
}

impl Stamp {
    /// Whether the step was done from exactly these inputs.
    pub fn is_current(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|held| held == self.hash)
    }

    /// Forgets the step, before it is done again.
    pub fn clear(&self) {
        // An absent stamp is the aim; any other error shows up when the new one is written.
        let _ = fs::remove_file(&self.path);
    }

    /// Remembers the step.
    pub fn set(&self) -> Result<(), Failure> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(Failure::io("make", folder))?;
        }
        fs::write(&self.path, &self.hash).map_err(Failure::io("write", &self.path))
    }
}
