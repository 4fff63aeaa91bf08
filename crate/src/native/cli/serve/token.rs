//! The token that commands over HTTP carry.
//!
//! Owns its file. Invariant: the token is never printed, and comparing it takes the same time whatever was sent.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::hex;
use subtle::ConstantTimeEq;

use crate::native::cli::output::CliError;
use crate::native::keys::readable_by_others;
use crate::native::storage::sync_dir;

/// Longest token file that is read, bytes.
const MAX_FILE_LEN: u64 = 1024;
/// Fewest characters of a token that somebody wrote.
const MIN_LEN: usize = 32;
/// Random bytes of a token of our own.
const RANDOM_BYTES: usize = 32;

/// A secret; its characters are those of RFC 6750, section 2.1.
#[derive(Clone)]
pub(in crate::native::cli) struct Token(String);

// It must not get into a log by way of a containing type.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// The token in a file that is there.
    ///
    /// # Errors
    /// The error names the file, its fault and the way out.
    pub(in crate::native::cli) fn load(path: &Path) -> Result<Token, CliError> {
        let cannot = |e: std::io::Error| {
            let remedy = match e.kind() {
                ErrorKind::PermissionDenied => ": run this as the user of the daemon",
                ErrorKind::NotFound => ": start the daemon, which makes it, or check its name",
                _ => "",
            };
            let path = path.display();
            CliError::Invalid(format!("the token file {path} cannot be read: {e}{remedy}"))
        };
        let metadata = fs::metadata(path).map_err(cannot)?;
        if readable_by_others(&metadata) {
            return Err(CliError::Invalid(format!(
                "the token file {0} can be read by others: run `chmod 600 {0}`",
                path.display()
            )));
        }
        let nonsense = || {
            CliError::Invalid(format!(
                "the token file {} does not hold a token: it is one line of {MIN_LEN} or more letters, digits and -._~+/; delete it, and the daemon makes another",
                path.display()
            ))
        };
        if metadata.len() > MAX_FILE_LEN {
            return Err(nonsense());
        }
        let text = fs::read_to_string(path).map_err(|e| match e.kind() {
            ErrorKind::InvalidData => nonsense(),
            _ => cannot(e),
        })?;
        let token = text.trim();
        let is_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        match token.len() >= MIN_LEN && token.chars().all(is_token) {
            true => Ok(Token(token.to_owned())),
            false => Err(nonsense()),
        }
    }

    /// The token in a file, which is made if it is not there.
    ///
    /// # Errors
    /// The error names the file, its fault and the way out.
    pub(super) fn load_or_make(path: &Path) -> Result<Token, CliError> {
        match path.try_exists() {
            Ok(false) => {}
            _ => return Token::load(path),
        }
        let mut random = [0u8; RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(|e| {
            CliError::Failed(format!("the operating system gave no random bytes: {e}"))
        })?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let token = hex::encode(random);
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        // The file gets its name as a whole, so a daemon that is killed meanwhile leaves no empty token.
        let write = || {
            match fs::remove_file(&new) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let mut file = options.open(&new)?;
            writeln!(file, "{token}")?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            sync_dir(dir)
        };
        write().map_err(|e: std::io::Error| {
            CliError::Invalid(format!(
                "the token file {} cannot be made: {e}: make its folder first, or choose another by `http.token_file`",
                path.display()
            ))
        })?;
        Ok(Token(token))
    }

    /// Whether this is it.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }

    /// The header of a request that carries it.
    pub(in crate::native::cli) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_for_its_user_alone_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert!(Token::load(&path).is_err());
        let made = Token::load_or_make(&path).unwrap();
        let again = Token::load_or_make(&path).unwrap();
        assert_eq!(made.0, again.0);
        assert_eq!(made.0.len(), 2 * RANDOM_BYTES);
        assert!(again.is(made.0.as_bytes()));
        for other in ["", &made.0[1..], &format!("{}0", made.0), &"0".repeat(64)] {
            assert!(!again.is(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{made:?}"), "Token(..)");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let error = Token::load_or_make(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn what_a_killed_daemon_left_of_a_token_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let half = dir.path().join("token.new");
        fs::write(&half, "0123").unwrap();
        let made = Token::load_or_make(&path).unwrap();
        assert_eq!(Token::load_or_make(&path).unwrap().0, made.0);
        assert!(!half.exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_token_is_named_and_not_written_over() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let long = "a".repeat(2000);
        for text in [
            "",
            "short",
            "a token with blanks in it, of many characters",
            &long,
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = Token::load_or_make(&path).unwrap_err().to_string();
            assert!(error.contains("does not hold a token"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
