//! STUN and TURN servers as an operator writes them.
//!
//! Owns the form of such an address. Never shows a password, in an error neither.

/// A STUN or TURN server (RFC 7064, 7065).
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:host:port`, `turn:host:port?transport=udp`, ...
    pub url: String,
    /// For TURN.
    pub username: String,
    /// For TURN.
    pub credential: String,
}

// The credential is a secret.
impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Why an ICE server is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{input:?} is not an ICE server: write stun:HOST[:PORT] or turn:[USER:PASSWORD@]HOST[:PORT][?transport=udp|tcp]"
)]
pub struct IceServerError {
    input: String,
}

impl std::str::FromStr for IceServer {
    type Err = IceServerError;

    /// `stun:host[:port]` or `turn:[user:password@]host[:port][?transport=udp|tcp]`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || IceServerError {
            // Nobody wants a password on the screen.
            input: text.rsplit('@').next().unwrap_or_default().to_owned(),
        };
        let (scheme, rest) = text.split_once(':').ok_or_else(refuse)?;
        let is_turn = match scheme {
            "stun" | "stuns" => false,
            "turn" | "turns" => true,
            _ => return Err(refuse()),
        };
        let (login, host) = match rest.rsplit_once('@') {
            Some((login, host)) if is_turn => (login, host),
            Some(_) => return Err(refuse()),
            None => ("", rest),
        };
        let (username, credential) = match login.split_once(':') {
            Some(pair) => pair,
            None if login.is_empty() => ("", ""),
            None => return Err(refuse()),
        };
        if host.is_empty() || host.starts_with('?') || (is_turn && username.is_empty()) {
            return Err(refuse());
        }
        Ok(IceServer {
            url: format!("{scheme}:{host}"),
            username: username.to_owned(),
            credential: credential.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ice_servers_are_read_with_and_without_a_login() {
        let stun: IceServer = "stun:stun.example.org:3478".parse().unwrap();
        assert_eq!(stun.url, "stun:stun.example.org:3478");
        let turn: IceServer = "turn:me:p@ss@turn.example.org?transport=udp"
            .parse()
            .unwrap();
        assert_eq!(turn.url, "turn:turn.example.org?transport=udp");
        assert_eq!(turn.username, "me");
        assert_eq!(turn.credential, "p@ss");
    }

    #[test]
    fn a_refused_ice_server_does_not_show_its_password() {
        for bad in [
            "http://host",
            "stun:",
            "turn:host",
            "turn:user@host",
            "stun:user:secret@host",
        ] {
            let error = bad.parse::<IceServer>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
