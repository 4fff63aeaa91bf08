//! A buyer's session key together with the records of its promises.
//!
//! Owns the place of those records: `KEYFILE.state`, beside the key and nowhere else, because two memories of one key
//! promise the same serials twice. Invariant: a key file that names records is of no use without them. Never signs.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::B256;

use super::keys::{KeyError, KeyPair, MAX_KEY_FILE_LEN};
use super::records::{self, RECORDS_FILE, RecordsError};
use crate::payment::record::Key;
use crate::payment::voucher::Vault;

/// The line of a key file that has records.
const MARK: &str =
    "# piecework keeps the records of this key beside it: move them together, never copy it";

/// The ending that the folder of a key's records adds to the key file's name.
pub(super) const KEY_STATE_SUFFIX: &str = ".state";

/// The reason why a session key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SessionKeyError {
    /// The key itself.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its records.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The key file names records, and they are gone.
    #[error(
        "the records of the key {key} are not at {records}: was the key file copied or moved? move the records themselves there, but put no older copy in their place; if they are lost, open a new account with a new key, and withdraw the old one's deposit"
    )]
    Gone {
        /// The key file.
        key: PathBuf,
        /// Their proper place.
        records: PathBuf,
    },
    /// There are records, and they cannot be read.
    #[error(
        "the records of the key {key} are damaged: {reason}; do not put an older copy in their place, but open a new account with a new key, and withdraw the old one's deposit"
    )]
    Damaged {
        /// The key file.
        key: PathBuf,
        /// Their fault.
        reason: String,
    },
    /// A new key would take over the records that are there.
    #[error(
        "{0} is there already, and may be another key's records: choose another name for the new key"
    )]
    Occupied(PathBuf),
    /// The chain knows of no account.
    #[error(
        "no account was ever opened with the key {0}: check --owner, --vault and --session-key, which is no payee's key; if it is to pay, open one first with `piecework deposit`"
    )]
    NoAccount(PathBuf),
    /// The chain knows promises of it that no record here does.
    #[error(
        "the key {0} was used elsewhere, and what it promised there is not known here: open a new account with a new key"
    )]
    UsedElsewhere(PathBuf),
}

/// The chain's state of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChain {
    /// There is none.
    NeverOpened,
    /// Nothing of it was redeemed.
    Unused,
    /// Something of it was redeemed.
    Used,
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
            return Err(SessionKeyError::Occupied(records_dir));
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
        if !key.is_marked()? || has_records(&key.records_dir) {
            return Ok(key);
        }
        let records = key.records_dir.join(RECORDS_FILE);
        Err(match records.metadata() {
            // An error at looking does not show that they are lost.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                RecordsError::Folder(key.records_dir, e).into()
            }
            Ok(found) if found.is_file() => SessionKeyError::Damaged {
                key: key.file,
                reason: format!("{} is empty", records.display()),
            },
            _ => SessionKeyError::Gone {
                key: key.file,
                records: key.records_dir,
            },
        })
    }

    /// The place of its records; the process that uses them locks them.
    pub fn records_dir(&self) -> &Path {
        &self.records_dir
    }

    /// Makes sure that the records of an account are here, if there are any. `look` asks the chain, only if no record
    /// knows the account. A key that was not made to pay becomes a session key only with an account.
    ///
    /// # Errors
    /// [`SessionKeyError::UsedElsewhere`], [`SessionKeyError::NoAccount`], an error of `look`, or of the disk.
    pub fn claim<E: From<SessionKeyError>>(
        &self,
        vault: &Vault,
        account: B256,
        look: impl FnOnce() -> Result<OnChain, E>,
    ) -> Result<(), E> {
        let record = Key::PayerAccount(account).text(vault);
        let known = has_records(&self.records_dir)
            && records::holds(&self.records_dir, &record).map_err(|e| self.records_error(e))?;
        if known {
            return Ok(self.begin_records()?);
        }
        match look()? {
            OnChain::Used => Err(SessionKeyError::UsedElsewhere(self.file.clone()).into()),
            OnChain::NeverOpened if !self.is_marked()? => {
                Err(SessionKeyError::NoAccount(self.file.clone()).into())
            }
            OnChain::NeverOpened | OnChain::Unused => Ok(self.begin_records()?),
        }
    }

    fn is_marked(&self) -> Result<bool, SessionKeyError> {
        is_marked(&self.file).map_err(|e| self.file_error(e))
    }

    /// First the records, then the line that names them.
    fn begin_records(&self) -> Result<(), SessionKeyError> {
        if !has_records(&self.records_dir) {
            records::create(&self.records_dir)?;
        }
        if !self.is_marked()? {
            self.mark().map_err(|e| self.file_error(e))?;
        }
        Ok(())
    }

    fn mark(&self) -> std::io::Result<()> {
        let line = format!("\n{MARK}\n");
        let mut file = std::fs::OpenOptions::new().append(true).open(&self.file)?;
        if file.metadata()?.len() + line.len() as u64 > MAX_KEY_FILE_LEN {
            // It could not be read any more.
            let text = "there are too many words beside the key: take some out";
            return Err(std::io::Error::other(text));
        }
        file.write_all(line.as_bytes())?;
        file.sync_all()
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

/// Whether a state folder holds records.
pub fn has_records(state_dir: &Path) -> bool {
    // A loss of power leaves a file without a byte, which would pass for a new one.
    let found = std::fs::metadata(state_dir.join(RECORDS_FILE));
    found.is_ok_and(|found| found.is_file() && found.len() > 0)
}

/// Whether a key file says that it is a session key.
///
/// # Errors
/// It cannot be read.
pub fn is_marked(file: &Path) -> std::io::Result<bool> {
    if std::fs::metadata(file)?.len() > MAX_KEY_FILE_LEN {
        return Ok(false);
    }
    let text = std::fs::read_to_string(file)?;
    Ok(text.lines().any(|line| line == MARK))
}

/// The session key whose records a folder is for, if there is such a key.
pub fn key_of_records(state_dir: &Path) -> Option<PathBuf> {
    let state_dir = std::fs::canonicalize(state_dir).ok()?;
    let name = state_dir
        .file_name()?
        .to_str()?
        .strip_suffix(KEY_STATE_SUFFIX)?;
    let file = state_dir.with_file_name(name);
    is_marked(&file).is_ok_and(|marked| marked).then_some(file)
}

/// Beside the key itself, also where it is reached by a link.
fn records_dir(file: &Path) -> PathBuf {
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let mut name = OsString::from(file.file_name().unwrap_or_default());
    name.push(KEY_STATE_SUFFIX);
    file.with_file_name(name)
}
