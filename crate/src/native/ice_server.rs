//! STUN and TURN servers as an operator writes them.
//!
//! Owns the form of such an address: the user ends at the last colon before the `@`, and both it and the password may
//! be percent-encoded. Never shows a password, not even in an error.

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

/// The reason why an ICE server is refused.
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
        // Time-limited logins have a colon in the user's name. A password with a colon has it as %3A.
        let (username, credential) = match login.rsplit_once(':') {
            Some((user, password)) => (
                percent_decoded(user).ok_or_else(refuse)?,
                percent_decoded(password).ok_or_else(refuse)?,
            ),
            None if login.is_empty() => (String::new(), String::new()),
            None => return Err(refuse()),
        };
        if host.is_empty() || host.starts_with('?') || (is_turn && username.is_empty()) {
            return Err(refuse());
        }
        Ok(IceServer {
            url: format!("{scheme}:{host}"),
            username,
            credential,
        })
    }
}

/// With `%XX` read (RFC 3986, 2.1); a percent sign before anything else stands for itself.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = (*first == b'%').then(|| after.get(..2)).flatten();
        let value = (digits.filter(|d| d.iter().all(u8::is_ascii_hexdigit)))
            .and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok());
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
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
    fn a_login_is_split_at_its_last_colon_and_percent_signs_are_read() {
        for (login, username, credential) in [
            ("1700000000:alice:c2VjcmV0", "1700000000:alice", "c2VjcmV0"),
            ("1700000000%3Aalice:a%3Ab%40", "1700000000:alice", "a:b@"),
            ("me:100%", "me", "100%"),
            ("me:%4", "me", "%4"),
            ("m%C3%A9:x", "mé", "x"),
            ("me:", "me", ""),
        ] {
            let server: IceServer = format!("turn:{login}@h:1").parse().unwrap();
            assert_eq!(server.username, username, "{login}");
            assert_eq!(server.credential, credential, "{login}");
        }
        assert!("turn:%FF:x@host".parse::<IceServer>().is_err());
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
