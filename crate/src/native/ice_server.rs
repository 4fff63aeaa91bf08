//! STUN and TURN servers as an operator writes them.
//!
//! Owns the form of such an address: the user ends at the last colon before the `@`, and both it and the password may
//! be percent-encoded. Never shows a password, not even in an error. Owns the list of STUN servers that are asked if
//! the operator names none, and the knowledge of what the WebRTC stack can use.

use crate::io;

/// Public STUN servers of two operators, asked if nobody names others. The page has the same list, in
/// `www/npm/src/ice.ts`.
pub const DEFAULT_STUN: [&str; 2] = [
    "stun:stun.l.google.com:19302",
    "stun:stun.cloudflare.com:3478",
];

/// The port of STUN and TURN where none is written (RFC 7064, 7065), and the one over TLS.
const PORT: u16 = 3478;
const TLS_PORT: u16 = 5349;

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

impl IceServer {
    /// [`DEFAULT_STUN`].
    pub fn defaults() -> Vec<IceServer> {
        let stun = |url: &&str| IceServer {
            url: (*url).to_owned(),
            username: String::new(),
            credential: String::new(),
        };
        DEFAULT_STUN.iter().map(stun).collect()
    }

    /// One for each address of a server that a tracker named.
    pub fn of_named(server: &io::IceServer) -> impl Iterator<Item = IceServer> {
        server.urls.iter().map(|url| IceServer {
            url: url.clone(),
            username: server.username.clone(),
            credential: server.credential.clone(),
        })
    }

    /// `stun`, `stuns`, `turn` or `turns`.
    pub fn scheme(&self) -> &str {
        self.url.split(':').next().unwrap_or_default()
    }

    /// Whether it relays.
    pub fn is_turn(&self) -> bool {
        self.scheme().starts_with("turn")
    }

    /// Whether the WebRTC stack of the native peer can use it: over UDP, without TLS.
    pub fn is_usable(&self) -> bool {
        let query = self.url.split_once('?').map(|(_, query)| query);
        !self.scheme().ends_with('s') && query.is_none_or(|query| query == "transport=udp")
    }

    /// Its host, without the brackets of an IPv6 address, and its port.
    pub fn place(&self) -> Option<(&str, u16)> {
        let (_, rest) = self.url.split_once(':')?;
        let place = rest.split('?').next()?;
        let default = match self.scheme().ends_with('s') {
            true => TLS_PORT,
            false => PORT,
        };
        if let Some(rest) = place.strip_prefix('[') {
            let (ip, port) = rest.split_once(']')?;
            return match port.strip_prefix(':') {
                Some(port) => Some((ip, port.parse().ok()?)),
                None if port.is_empty() => Some((ip, default)),
                None => None,
            };
        }
        match place.rsplit_once(':') {
            Some((host, port)) => Some((host, port.parse().ok()?)),
            None => Some((place, default)),
        }
    }
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
    "{input:?} is not an ICE server: write stun:HOST[:PORT] or turn:USER:PASSWORD@HOST[:PORT][?transport=udp|tcp]"
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
        let server = IceServer {
            url: format!("{scheme}:{host}"),
            username,
            credential,
        };
        match server.place() {
            Some((host, _)) if !host.is_empty() => Ok(server),
            _ => Err(refuse()),
        }
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
    fn host_and_port_are_found_and_so_is_what_the_stack_cannot_use() {
        for (url, host, port, usable) in [
            ("stun:h", "h", 3478, true),
            ("stuns:h", "h", 5349, false),
            ("turn:u:p@h:1?transport=udp", "h", 1, true),
            ("turn:u:p@h?transport=tcp", "h", 3478, false),
            ("turns:u:p@h", "h", 5349, false),
            ("stun:[2001:db8::1]", "2001:db8::1", 3478, true),
            ("stun:[2001:db8::1]:7", "2001:db8::1", 7, true),
        ] {
            let server: IceServer = url.parse().unwrap();
            assert_eq!(server.place(), Some((host, port)), "{url}");
            assert_eq!(server.is_usable(), usable, "{url}");
        }
    }

    #[test]
    fn the_page_and_the_native_peer_ask_the_same_stun_servers() {
        let page = include_str!("../../../www/npm/src/ice.ts");
        let (_, list) = page.split_once("DEFAULT_STUN = [").unwrap();
        let (list, _) = list.split_once(']').unwrap();
        let written: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
        assert_eq!(written, DEFAULT_STUN);
        for server in IceServer::defaults() {
            assert_eq!(server.url.parse(), Ok(server));
        }
    }

    #[test]
    fn a_refused_ice_server_does_not_show_its_password() {
        for bad in [
            "http://host",
            "stun:",
            "turn:host",
            "turn:user@host",
            "stun:user:secret@host",
            "stun:host:port",
            "turn:user:secret@host:99999",
            "turn:user:secret@[::1",
            "stun::3478",
        ] {
            let error = bad.parse::<IceServer>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
