//! Key files: 32 bytes as hexadecimal digits, readable by their owner alone.
//!
//! Owns the private keys of this process. Invariant: no key is ever logged, printed or part of an error. Never judges a
//! digest; the caller does that before.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256, keccak256};
use k256::ecdsa::SigningKey;

use super::storage::sync_dir;
use crate::payment::voucher::Signature;

/// Longest key file that is read, bytes.
pub(super) const MAX_KEY_FILE_LEN: u64 = 1024;

/// The reason why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("the key file {path} cannot be used: {source}{}", remedy(path, source))]
    File {
        /// The key file, which may hold a payee's key or a session key.
        path: PathBuf,
        /// The operating system's error; the message names a remedy for the kinds that have one.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("the key file {0} can be read by others: run `chmod 600 {0}`")]
    Permissions(PathBuf),
    /// It holds something else.
    #[error(
        "the key file {0} does not hold a key: it must be 64 hexadecimal digits; make one with `piecework key new FILE`"
    )]
    Format(PathBuf),
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes: {0}")]
    Entropy(String),
}

/// The way out of a file that cannot be read or made, as the end of a sentence.
fn remedy(path: &Path, error: &std::io::Error) -> &'static str {
    let in_a_folder = (path.parent()).is_none_or(|dir| dir.as_os_str().is_empty() || dir.is_dir());
    match error.kind() {
        ErrorKind::AlreadyExists => ": a key is never written over, choose another name",
        ErrorKind::NotFound if in_a_folder => {
            ": check its name, or make one with `piecework key new FILE`"
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => ": check its folder, or make that first",
        ErrorKind::PermissionDenied => ": run this as the user who owns it",
        _ => "",
    }
}

/// A secp256k1 key.
#[derive(Clone)]
pub struct KeyPair {
    key: SigningKey,
    address: Address,
}

// The key must not get into a log by way of a containing type.
impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl KeyPair {
    /// Reads a key file.
    ///
    /// # Errors
    /// The error names the file, its fault and the way out.
    pub fn load(path: &Path) -> Result<KeyPair, KeyError> {
        let file_error = |source| KeyError::File {
            path: path.to_owned(),
            source,
        };
        let metadata = std::fs::metadata(path).map_err(file_error)?;
        if metadata.len() > MAX_KEY_FILE_LEN {
            return Err(KeyError::Format(path.to_owned()));
        }
        if readable_by_others(&metadata) {
            return Err(KeyError::Permissions(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(file_error)?;
        KeyPair::from_text(&text).ok_or_else(|| KeyError::Format(path.to_owned()))
    }

    fn from_text(text: &str) -> Option<KeyPair> {
        // Lines that begin with # are comments about the key.
        let mut lines =
            (text.lines().map(str::trim)).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let line = lines.next().filter(|_| lines.next().is_none())?;
        let digits = line.strip_prefix("0x").unwrap_or(line);
        let mut bytes = [0u8; 32];
        alloy_primitives::hex::decode_to_slice(digits, &mut bytes).ok()?;
        KeyPair::from_bytes(&bytes)
    }

    /// Makes a key file with a fresh key; a file that exists is never overwritten.
    ///
    /// # Errors
    /// The error names the file and its fault.
    pub fn create(path: &Path) -> Result<KeyPair, KeyError> {
        let file_error = |source| KeyError::File {
            path: path.to_owned(),
            source,
        };
        let (bytes, pair) = loop {
            let mut bytes = [0u8; 32];
            getrandom::fill(&mut bytes).map_err(|e| KeyError::Entropy(e.to_string()))?;
            // All but 2^-128 of the numbers are keys.
            if let Some(pair) = KeyPair::from_bytes(&bytes) {
                break (bytes, pair);
            }
        };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut file = options.open(path).map_err(file_error)?;
        // People may send money to its address as soon as it is printed, so the name is to outlive a power cut, too.
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        writeln!(file, "{}", alloy_primitives::hex::encode(bytes))
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_dir(folder.unwrap_or(Path::new("."))))
            .map_err(file_error)?;
        Ok(pair)
    }

    /// From a big-endian number; `None` if it is zero or not below the group's order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<KeyPair> {
        let key = SigningKey::from_bytes(bytes.into()).ok()?;
        let point = key.verifying_key().to_encoded_point(false);
        let hash = keccak256(point.as_bytes().get(1..)?);
        Some(KeyPair {
            key,
            address: Address::from_slice(&hash[12..]),
        })
    }

    /// Its Ethereum address.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest (EIP-2098 form, low s).
    ///
    /// # Errors
    /// `None` when the signature primitive refuses, which it does for no digest known.
    pub fn sign(&self, digest: B256) -> Option<Signature> {
        let (r, s, odd) = self.sign_parts(digest)?;
        let mut vs = s;
        if odd {
            vs.0[0] |= 0x80;
        }
        Some(Signature { r, vs })
    }

    /// `r`, `s` (low) and the y parity, as a transaction carries them.
    pub(super) fn sign_parts(&self, digest: B256) -> Option<(B256, B256, bool)> {
        let (signature, recovery) = self.key.sign_prehash_recoverable(digest.as_slice()).ok()?;
        let (signature, odd) = match signature.normalize_s() {
            Some(low) => (low, !recovery.is_y_odd()),
            None => (signature, recovery.is_y_odd()),
        };
        let (r, s) = signature.split_bytes();
        Some((B256::from_slice(&r), B256::from_slice(&s), odd))
    }
}

/// Whether a file holds a key and nothing else, whatever its name and its readers: a copy is a key, too.
pub fn looks_like_key_file(path: &Path, metadata: &std::fs::Metadata) -> bool {
    metadata.len() <= MAX_KEY_FILE_LEN
        && std::fs::read_to_string(path).is_ok_and(|text| KeyPair::from_text(&text).is_some())
}

#[cfg(unix)]
pub(super) fn readable_by_others(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

// Elsewhere the access list is the folder's matter.
#[cfg(not(unix))]
pub(super) fn readable_by_others(_metadata: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use k256::ecdsa::{RecoveryId, VerifyingKey};

    #[test]
    fn a_known_key_has_its_known_address() {
        // The first account of anvil and hardhat.
        let bytes = alloy_primitives::hex!(
            "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
        );
        let pair = KeyPair::from_bytes(&bytes).unwrap();
        assert_eq!(
            pair.address().to_string(),
            "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
        );
    }

    #[test]
    fn signatures_recover_to_the_address_and_have_a_low_s() {
        let pair = KeyPair::from_bytes(&[7; 32]).unwrap();
        for i in 0..16u8 {
            let digest = keccak256([i]);
            let Signature { r, vs } = pair.sign(digest).unwrap();
            let odd = vs[0] & 0x80 != 0;
            let mut s = vs;
            s.0[0] &= 0x7f;
            let signature = k256::ecdsa::Signature::from_scalars(r.0, s.0).unwrap();
            assert!(signature.normalize_s().is_none(), "high s");
            let key = VerifyingKey::recover_from_prehash(
                digest.as_slice(),
                &signature,
                RecoveryId::new(odd, false),
            )
            .unwrap();
            assert_eq!(&key, pair.key.verifying_key());
        }
    }

    #[test]
    fn debug_output_holds_no_key() {
        let pair = KeyPair::from_bytes(&[0xab; 32]).unwrap();
        assert!(!format!("{pair:?}").to_lowercase().contains("abababab"));
    }

    #[test]
    fn a_key_file_is_private_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = KeyPair::create(&path).unwrap();
        assert_eq!(KeyPair::load(&path).unwrap().address(), made.address());
        assert!(matches!(KeyPair::create(&path), Err(KeyError::File { .. })));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(matches!(
                KeyPair::load(&path),
                Err(KeyError::Permissions(_))
            ));
        }
    }
}
