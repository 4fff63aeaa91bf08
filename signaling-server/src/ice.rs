//! The STUN and TURN servers that replies name, with credentials that end by themselves.
//!
//! Owns the operator's secret and never shows it. The scheme is that of draft-uberti-behave-turn-rest-00, which coturn
//! implements as `use-auth-secret`: the user name is `EXPIRY:NAME` with the expiry in seconds since 1970, and the
//! password is base64(HMAC-SHA1(secret, user name)). This server and the TURN server share the secret and need not
//! speak with each other. `NAME` is the same for all connections of one address while the server runs, because
//! coturn's `user-quota` counts by it.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use piecework_signaling_protocol::{IceServer, IceServers};
use sha1::Sha1;
use std::fmt;
use std::time::Duration;

/// Shortest time that handed out servers may be used.
pub const MIN_TTL: Duration = Duration::from_secs(20);

/// Bytes of a secret at least: a shorter one is guessed from one pair of credentials.
const MIN_SECRET_LEN: usize = 16;

/// The secret that a TURN server has as `static-auth-secret`.
#[derive(Clone)]
pub struct TurnSecret(Vec<u8>);

impl fmt::Debug for TurnSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TurnSecret")
    }
}

/// The reason why a text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Fewer than 16 bytes.
    #[error(
        "it has fewer than {MIN_SECRET_LEN} characters: write a random one, such as `openssl rand -hex 32` prints"
    )]
    TooShort,
    /// Coturn's own file would read it otherwise.
    #[error("it is not one line of printable characters")]
    NotOneLine,
}

impl TurnSecret {
    /// The content of a secret's file: one line, whose end does not count.
    ///
    /// # Errors
    /// It is too short, or not one line.
    pub fn from_file(content: &str) -> Result<TurnSecret, SecretError> {
        let line = content.trim_end_matches(['\r', '\n']);
        if line.len() < MIN_SECRET_LEN {
            return Err(SecretError::TooShort);
        }
        if !line.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::NotOneLine);
        }
        Ok(TurnSecret(line.as_bytes().to_vec()))
    }

    fn password(&self, username: &str) -> String {
        let mac = Hmac::<Sha1>::new_from_slice(&self.0).map(|mac| mac.chain_update(username));
        // A key of any length is taken.
        mac.map_or(String::new(), |mac| {
            BASE64.encode(&mac.finalize().into_bytes())
        })
    }
}

/// What replies name.
#[derive(Clone, Debug)]
pub struct IceConfig {
    /// Addresses of STUN servers.
    pub stun: Vec<String>,
    /// Addresses of TURN servers that have the secret.
    pub turn: Vec<String>,
    /// The TURN servers' secret; without it none is named.
    pub secret: Option<TurnSecret>,
    /// How long credentials hold.
    pub ttl: Duration,
}

impl IceConfig {
    /// The servers, with credentials from this time on (seconds since 1970) for this subscriber.
    pub(crate) fn issue(&self, unix_secs: u64, subscriber: u64) -> IceServers {
        let ttl_secs = self.ttl.as_secs();
        let mut servers = Vec::new();
        if !self.stun.is_empty() {
            servers.push(IceServer {
                urls: self.stun.clone(),
                username: String::new(),
                credential: String::new(),
            });
        }
        if let Some(secret) = &self.secret {
            let username = format!("{}:{subscriber:016x}", unix_secs + ttl_secs);
            servers.push(IceServer {
                urls: self.turn.clone(),
                credential: secret.password(&username),
                username,
            });
        }
        IceServers { servers, ttl_secs }
    }

    /// A connection that has credentials gets others after this time: three more announces may fail to bring some.
    pub(crate) fn renewed_after(&self) -> Duration {
        self.ttl / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_one_that_coturn_computes() {
        // printf '1700000000:alice' | openssl dgst -sha1 -hmac north-south-east-west -binary | base64
        let secret = TurnSecret::from_file("north-south-east-west\n").unwrap();
        assert_eq!(
            secret.password("1700000000:alice"),
            "xfbW6MP9K0S2ba+Y4YNY+OH5u/M="
        );
    }

    #[test]
    fn a_secret_is_one_long_line_and_never_shown() {
        assert_eq!(
            TurnSecret::from_file("short\n").unwrap_err(),
            SecretError::TooShort
        );
        assert_eq!(
            TurnSecret::from_file("long enough, with blanks").unwrap_err(),
            SecretError::NotOneLine
        );
        let secret = TurnSecret::from_file("0123456789abcdef").unwrap();
        assert!(!format!("{secret:?}").contains("0123"));
    }
}
