//! A buyer's session key together with the records of what it promised.
//!
//! Owns where those records lie: in `KEYFILE.state`, beside the key and nowhere else, because two memories of one key
//! promise the same serials twice. Invariant: a key file that says that it has records is of no use without them. Never
//! signs.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use alloy_primitives::B256;

use super::keys::{KeyError, KeyPair};
use super::records::{self, RECORDS_FILE, RecordsError};
use crate::payment::record::Key;
use crate::payment::voucher::Vault;

/// The line of a key file that has records.
const MARK: &str =
    "# piecework keeps the records of this key beside it: move them together, never copy it";

/// Why a session key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SessionKeyError {
    /// The key itself.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its records.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// There were records.
    #[error(
        "the records of the key {key} are not at {records}: was the key file copied or moved? bring them back; if they are lost, open a new account with a new key, and withdraw the old one's deposit"
    )]
    Gone {
        /// The key file.
        key: PathBuf,
        /// Where they should be.
        records: PathBuf,
    },
    /// There are records, and they cannot be read.
    #[error(
        "the records of the key {key} are damaged: {reason}; do not put an older copy in their place, but open a new account with a new key, and withdraw the old one's deposit"
    )]
    Damaged {
        /// The key file.
        key: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// The chain knows promises of it that no record here does.
    #[error(
        "the key {0} was used elsewhere, and what it promised there is not known here: open a new account with a new key"
    )]
    UsedElsewhere(PathBuf),
}

/// A session key, and where its records lie.
#[derive(Clone, Debug)]
pub struct SessionKey {
    /// The key.
    pub pair: KeyPair,
    file: PathBuf,
    records_dir: PathBuf,
}

impl SessionKey {
    /// Makes a key file with a fresh key, and its empty records.
    ///
    /// # Errors
    /// Something exists there already, or cannot be made.
    pub fn create(file: &Path) -> Result<SessionKey, SessionKeyError> {
        let records_dir = records_dir(file);
        if records_dir.exists() {
            let exists = std::io::ErrorKind::AlreadyExists.into();
            return Err(RecordsError::Folder(records_dir, exists).into());
        }
        let pair = KeyPair::create(file)?;
        let key = SessionKey {
            pair,
            file: file.to_owned(),
            records_dir,
        };
        key.begin_records()?;
        Ok(key)
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// It holds no key, or its records are gone.
    pub fn load(file: &Path) -> Result<SessionKey, SessionKeyError> {
        let key = SessionKey {
            pair: KeyPair::load(file)?,
            file: file.to_owned(),
            records_dir: records_dir(file),
        };
        if key.is_marked()? && !key.has_records() {
            return Err(SessionKeyError::Gone {
                key: key.file,
                records: key.records_dir,
            });
        }
        Ok(key)
    }

    /// Where its records lie; locked by whoever uses them.
    pub fn records_dir(&self) -> &Path {
        &self.records_dir
    }

    /// Makes sure that the records of an account are here, if there are any. `is_used` asks the chain whether serials
    /// of the account were redeemed; only if no record knows the account.
    ///
    /// # Errors
    /// [`SessionKeyError::UsedElsewhere`], what `is_used` says, or the disk.
    pub fn claim<E: From<SessionKeyError>>(
        &self,
        vault: &Vault,
        account: B256,
        is_used: impl FnOnce() -> Result<bool, E>,
    ) -> Result<(), E> {
        let record = Key::PayerAccount(account).text(vault);
        let known = self.has_records()
            && records::holds(&self.records_dir, &record).map_err(|e| self.records_error(e))?;
        if known {
            return Ok(());
        }
        if is_used()? {
            return Err(SessionKeyError::UsedElsewhere(self.file.clone()).into());
        }
        Ok(self.begin_records()?)
    }

    fn has_records(&self) -> bool {
        // One without a byte is what a machine without power leaves, and would be taken for a new one.
        let found = std::fs::metadata(self.records_dir.join(RECORDS_FILE));
        found.is_ok_and(|found| found.is_file() && found.len() > 0)
    }

    fn is_marked(&self) -> Result<bool, SessionKeyError> {
        let text = std::fs::read_to_string(&self.file).map_err(|e| self.file_error(e))?;
        Ok(text.lines().any(|line| line == MARK))
    }

    /// First the records, then the word that there are some.
    fn begin_records(&self) -> Result<(), SessionKeyError> {
        if !self.has_records() {
            records::create(&self.records_dir)?;
        }
        if !self.is_marked()? {
            std::fs::OpenOptions::new()
                .append(true)
                .open(&self.file)
                .and_then(|mut file| {
                    file.write_all(format!("\n{MARK}\n").as_bytes())?;
                    file.sync_all()
                })
                .map_err(|e| self.file_error(e))?;
        }
        Ok(())
    }

    fn records_error(&self, error: RecordsError) -> SessionKeyError {
        match error {
            RecordsError::Database(..) => SessionKeyError::Damaged {
                key: self.file.clone(),
                reason: error.to_string(),
            },
            other => other.into(),
        }
    }

    fn file_error(&self, source: std::io::Error) -> SessionKeyError {
        let path = self.file.clone();
        SessionKeyError::Key(KeyError::File { path, source })
    }
}

/// Beside the key itself, also where it is reached by a link.
fn records_dir(file: &Path) -> PathBuf {
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let mut name = OsString::from(file.file_name().unwrap_or_default());
    name.push(".state");
    file.with_file_name(name)
}
