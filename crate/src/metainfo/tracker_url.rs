//! Tracker URLs: one rule for those in torrents and links, on the command line and in a page's options.
//!
//! Owns the form of a usable tracker's URL, and its one spelling, so that two spellings of a tracker are one tracker.
//! Browsers' peers meet by WebSocket alone: every scheme but `ws` and `wss` is refused by name. Never resolves a host.

use core::fmt;

use super::MAX_URL_LEN;

/// A tracker that a WebRTC peer can use: `ws://` or `wss://`, host in lower case, without default port and bare `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerUrl(String);

/// Why a text is not the URL of a usable tracker. Each sentence follows the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrackerUrlError {
    /// No `://`.
    #[error("it is no URL: write ws://HOST[:PORT] or wss://HOST[:PORT]")]
    NoScheme,
    /// UDP and HTTP trackers cannot introduce WebRTC peers.
    #[error("only ws:// and wss:// trackers can introduce WebRTC peers")]
    UnsupportedScheme,
    /// Longer than [`MAX_URL_LEN`].
    #[error("it is longer than {MAX_URL_LEN} bytes")]
    TooLong,
    /// A user name: a secret that everybody with the torrent would read.
    #[error("it holds a user name or password, which no tracker of browsers can take")]
    Credentials,
    /// `#`: refused by every browser's WebSocket.
    #[error("it has a fragment (#...), which no WebSocket can have")]
    Fragment,
    /// Letters outside ASCII in the host.
    #[error("its host has letters outside ASCII: write the host in its ASCII form (xn--...)")]
    HostNotAscii,
    /// A blank, a control character, or one outside ASCII.
    #[error("it holds a blank or another character that no URL has: percent-encode it")]
    Character,
    /// No host, or characters that no host has.
    #[error("it names no valid host")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535")]
    Port,
}

impl TrackerUrl {
    /// Reads a URL that somebody typed, pasted or put into a torrent; the text around it is left out.
    ///
    /// # Errors
    /// The error says why no WebRTC peer can use it.
    pub fn parse(text: &str) -> Result<Self, TrackerUrlError> {
        let (origin, path) = read_origin(text, ["ws", "wss"])?;
        if !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TrackerUrlError::Character);
        }
        let path = if path == "/" { "" } else { path };
        Ok(TrackerUrl(origin + path))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that a person copied, without the blanks around it, those without width and direction marks included.
pub fn trim_pasted(text: &str) -> &str {
    let is_mark = |c: char| {
        matches!(c, '\0' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
            || matches!(c, '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let around = |c: char| c.is_whitespace() || is_mark(c);
    text.trim_matches(around)
}

/// Takes a URL of one of two schemes apart, the second of them the safe one: scheme, host and port in their one form,
/// and what follows as it is.
pub(super) fn read_origin<'a>(
    text: &'a str,
    schemes: [&str; 2],
) -> Result<(String, &'a str), TrackerUrlError> {
    let text = trim_pasted(text);
    if text.len() > MAX_URL_LEN {
        return Err(TrackerUrlError::TooLong);
    }
    let (scheme, rest) = split_scheme(text).ok_or(TrackerUrlError::NoScheme)?;
    let scheme = scheme.to_ascii_lowercase();
    let known = schemes.iter().position(|known| *known == scheme);
    let default_port = match known.ok_or(TrackerUrlError::UnsupportedScheme)? {
        0 => 80,
        _ => 443,
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(TrackerUrlError::Credentials);
    }
    if path.contains('#') {
        return Err(TrackerUrlError::Fragment);
    }
    if !authority.is_ascii() {
        return Err(TrackerUrlError::HostNotAscii);
    }
    if !authority.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(TrackerUrlError::Character);
    }
    let (host, port) = split_port(authority);
    if !is_host(host) {
        return Err(TrackerUrlError::Host);
    }
    let port = match parse_port(port)? {
        Some(port) if port != default_port => format!(":{port}"),
        _ => String::new(),
    };
    let host = host.to_ascii_lowercase();
    Ok((format!("{scheme}://{host}{port}"), path))
}

/// What is before the first colon, and what is behind the slashes that follow it. `split_once` would bring the search
/// for a text of any length, a kilobyte of wasm.
pub(super) fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    Some((scheme, rest.strip_prefix("//")?))
}

/// Where an ASCII character stands last. `rfind` would bring a search for any character.
pub(super) fn last_of(text: &str, character: u8) -> Option<usize> {
    text.bytes().rposition(|b| b == character)
}

/// Host, and the port behind its colon.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    // The colons in an IPv6 address stand inside its brackets.
    let from = last_of(authority, b']').unwrap_or(0);
    match authority[from..].find(':') {
        Some(colon) => {
            let (host, port) = authority.split_at(from + colon);
            (host, Some(&port[1..]))
        }
        None => (authority, None),
    }
}

fn is_host(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    match address {
        Some(address) => {
            let part = |b: u8| b.is_ascii_hexdigit() || b == b':' || b == b'.';
            address.contains(':') && address.bytes().all(part)
        }
        None => {
            let part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
            host.bytes().all(part) && host.bytes().any(|b| b != b'.')
        }
    }
}

/// `None` where the port is left out.
fn parse_port(port: Option<&str>) -> Result<Option<u16>, TrackerUrlError> {
    let Some(digits) = port.filter(|digits| !digits.is_empty()) else {
        return Ok(None);
    };
    let port = digits.bytes().all(|b| b.is_ascii_digit());
    let port = port.then(|| digits.parse().ok()).flatten();
    port.filter(|port| *port > 0)
        .map(Some)
        .ok_or(TrackerUrlError::Port)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_tracker_are_one_tracker() {
        for (written, meant) in [
            ("wss://t.example", "wss://t.example"),
            (" WSS://T.Example/ ", "wss://t.example"),
            ("\u{a0}wss://t.example:443\u{200b}\r\n", "wss://t.example"),
            ("ws://t.example:80/Announce", "ws://t.example/Announce"),
            ("ws://t.example:443", "ws://t.example:443"),
            (
                "wss://t.example:08080/a?B=c%20d",
                "wss://t.example:8080/a?B=c%20d",
            ),
            ("ws://t.example:?a", "ws://t.example?a"),
            ("ws://[2001:DB8::1]:8000/", "ws://[2001:db8::1]:8000"),
            ("ws://127.0.0.1:8000", "ws://127.0.0.1:8000"),
            ("wss://xn--e1afmkfd.example", "wss://xn--e1afmkfd.example"),
            ("ws://my_tracker", "ws://my_tracker"),
        ] {
            let url = TrackerUrl::parse(written).unwrap();
            assert_eq!(url.as_str(), meant, "{written:?}");
            assert_eq!(TrackerUrl::parse(meant), Ok(url));
        }
    }

    #[test]
    fn what_no_webrtc_peer_can_use_is_refused_by_name() {
        use TrackerUrlError as E;
        for (written, error) in [
            ("", E::NoScheme),
            ("t.example:8000", E::NoScheme),
            ("wss:t.example", E::NoScheme),
            ("udp://t.example:80/announce", E::UnsupportedScheme),
            ("https://t.example/announce", E::UnsupportedScheme),
            ("wss://user:secret@t.example", E::Credentials),
            ("wss://user@t.example/x", E::Credentials),
            ("wss://t.example/#x", E::Fragment),
            ("wss://t.example#x", E::Fragment),
            ("wss://трекер.example", E::HostNotAscii),
            ("wss://t\u{200b}.example", E::HostNotAscii),
            ("wss://a b", E::Character),
            ("wss://t.example/a b", E::Character),
            ("wss://t.example/путь", E::Character),
            ("wss://t.example/\n/x", E::Character),
            ("wss://", E::Host),
            ("wss:///x", E::Host),
            ("wss://:8000", E::Host),
            ("wss://..", E::Host),
            ("wss://t.example,wss://u.example", E::Host),
            ("wss://a\\b", E::Host),
            ("wss://[::1", E::Host),
            ("wss://[t]", E::Host),
            ("wss://t.example:0", E::Port),
            ("wss://t.example:65536", E::Port),
            ("wss://t.example:+80", E::Port),
            ("wss://t.example:80:80", E::Port),
        ] {
            assert_eq!(TrackerUrl::parse(written), Err(error), "{written:?}");
        }
        let long = format!("wss://t.example/{}", "a".repeat(MAX_URL_LEN));
        assert_eq!(TrackerUrl::parse(&long), Err(E::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer_and_the_form_is_its_own(text in "(wss?://)?\\PC{0,30}") {
            if let Ok(url) = TrackerUrl::parse(&text) {
                prop_assert_eq!(TrackerUrl::parse(url.as_str()), Ok(url));
            }
        }
    }
}
