//! Web seeds' URLs (BEP 19): one rule for those in torrents and links, on the command line and in a page's options.
//!
//! Owns the form of a usable web seed's URL, and the URL of each file below it. Whoever sends a magnet link names URLs
//! that every viewer's browser asks, so nothing but `http` and `https` is used, and no URL with a user name. Never
//! resolves a host.

use bytes::Bytes;

use super::MAX_URL_LEN;
use super::raw::RawPath;
use super::tracker_url::{TrackerUrlError, read_origin};

/// Digits of a percent-encoded byte.
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// A web seed: `http://` or `https://`, host in lower case, without default port, percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSeedUrl(String);

/// Why a text is not the URL of a usable web seed. Each sentence follows the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebSeedUrlError {
    /// Another scheme, or none: nothing but HTTP serves ranges to pages.
    #[error("only http:// and https:// web seeds can be used")]
    Scheme,
    /// Longer than [`MAX_URL_LEN`].
    #[error("it is longer than {MAX_URL_LEN} bytes")]
    TooLong,
    /// A user name: a secret that everybody with the torrent would read.
    #[error("it holds a user name or password, which no page may send")]
    Credentials,
    /// `#`: a part that no server sees.
    #[error("it has a fragment (#...), which no server sees")]
    Fragment,
    /// No host, or characters that no host has, or a port that is no number from 1 to 65535.
    #[error("it names no valid host (write one with letters outside ASCII as xn--...) or port")]
    Host,
}

impl WebSeedUrl {
    /// Reads a URL that somebody typed, pasted or put into a torrent; the text around it is left out. Blanks and
    /// letters outside ASCII in the path are percent-encoded, as browsers do.
    ///
    /// # Errors
    /// The error says why it cannot be used.
    pub fn parse(text: &str) -> Result<Self, WebSeedUrlError> {
        use TrackerUrlError as E;
        let (mut url, path) =
            read_origin(text, ["http", "https"]).map_err(|error| match error {
                E::NoScheme | E::UnsupportedScheme => WebSeedUrlError::Scheme,
                E::TooLong => WebSeedUrlError::TooLong,
                E::Credentials => WebSeedUrlError::Credentials,
                E::Fragment => WebSeedUrlError::Fragment,
                E::HostNotAscii | E::Character | E::Host | E::Port => WebSeedUrlError::Host,
            })?;
        if !path.starts_with('/') {
            url.push('/');
        }
        // What is encoded already stays so.
        encode(&mut url, path.as_bytes(), |b| {
            b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b)
        });
        Ok(WebSeedUrl(url))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        let host = self.0.find(':').map_or(0, |at| at + 3);
        let path = self.0[host..].find('/').unwrap_or(self.0.len() - host);
        &self.0[..host + path]
    }

    /// The URL of one file, by its names as they stand in the torrent (BEP 19): for a torrent of one file the URL
    /// itself, or, if that ends in a slash, the name behind it; for a folder of files always the folder's name and the
    /// path behind it. `None`: no URL leads to a file of that name.
    pub fn of_file(&self, multi_file: bool, names: &RawPath) -> Option<String> {
        let mut url = self.0.clone();
        if !multi_file && !url.ends_with('/') {
            return Some(url);
        }
        if names.is_empty() {
            return None;
        }
        while url.ends_with('/') {
            url.pop();
        }
        for name in names {
            if leads_elsewhere(name) {
                return None;
            }
            url.push('/');
            encode(&mut url, name, |b| {
                b.is_ascii_alphanumeric() || b"-._~!$'()*+,;=:@".contains(&b)
            });
        }
        Some(url)
    }
}

/// A name that stands for another folder, or for none.
fn leads_elsewhere(name: &Bytes) -> bool {
    matches!(&name[..], b"" | b"." | b"..")
}

fn encode(url: &mut String, bytes: &[u8], is_plain: impl Fn(u8) -> bool) {
    for &byte in bytes {
        if is_plain(byte) {
            url.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
            url.push('%');
            url.extend(digits.map(char::from));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(of: &[&str]) -> RawPath {
        of.iter()
            .map(|name| Bytes::copy_from_slice(name.as_bytes()))
            .collect()
    }

    fn of(url: &str, multi_file: bool, path: &[&str]) -> Option<String> {
        WebSeedUrl::parse(url)
            .unwrap()
            .of_file(multi_file, &names(path))
    }

    #[test]
    fn a_url_has_one_form() {
        for (written, meant) in [
            ("https://W.Example:443/a/", "https://w.example/a/"),
            (" HTTP://w.example ", "http://w.example/"),
            ("http://w.example:8080?a=b", "http://w.example:8080/?a=b"),
            (
                "http://w.example/a b/é%20c",
                "http://w.example/a%20b/%C3%A9%20c",
            ),
            ("http://[::1]:8000/f", "http://[::1]:8000/f"),
        ] {
            let url = WebSeedUrl::parse(written).unwrap();
            assert_eq!(url.as_str(), meant);
            assert_eq!(WebSeedUrl::parse(meant), Ok(url));
        }
        let url = WebSeedUrl::parse("http://w.example:8080/a/b?c").unwrap();
        assert_eq!(url.origin(), "http://w.example:8080");
    }

    #[test]
    fn what_no_page_should_ask_is_refused_by_name() {
        use WebSeedUrlError as E;
        for (written, error) in [
            ("", E::Scheme),
            ("w.example/f", E::Scheme),
            ("ftp://w.example/f", E::Scheme),
            ("file:///etc/passwd", E::Scheme),
            ("javascript://w.example/%0aalert(1)", E::Scheme),
            ("http://user:secret@w.example/f", E::Credentials),
            ("http://w.example/#f", E::Fragment),
            ("http://", E::Host),
            ("http:///f", E::Host),
            ("http://a b/f", E::Host),
            ("http://é.example/f", E::Host),
            ("http://w.example:0/f", E::Host),
            ("http://w.example\\@x/f", E::Credentials),
        ] {
            assert_eq!(WebSeedUrl::parse(written), Err(error), "{written:?}");
        }
        let long = format!("http://w.example/{}", "a".repeat(MAX_URL_LEN));
        assert_eq!(WebSeedUrl::parse(&long), Err(E::TooLong));
    }

    #[test]
    fn one_file_lies_at_the_url_or_behind_its_slash() {
        let at = |url| of(url, false, &["a film.mp4"]).unwrap();
        assert_eq!(at("http://w.example/x"), "http://w.example/x");
        assert_eq!(at("http://w.example/x?y=z"), "http://w.example/x?y=z");
        assert_eq!(at("http://w.example/d/"), "http://w.example/d/a%20film.mp4");
        assert_eq!(at("http://w.example"), "http://w.example/a%20film.mp4");
    }

    #[test]
    fn files_of_a_folder_lie_behind_its_name_with_and_without_a_slash() {
        let at = |url| of(url, true, &["Földer", "a/b?", "100%.txt"]).unwrap();
        let meant = "http://w.example/d/F%C3%B6lder/a%2Fb%3F/100%25.txt";
        assert_eq!(at("http://w.example/d/"), meant);
        assert_eq!(at("http://w.example/d"), meant);
        assert_eq!(at("http://w.example/d//"), meant);
    }

    #[test]
    fn a_name_that_leads_elsewhere_has_no_url() {
        for path in [&["d", ".."][..], &["..", "f"], &["d", ""], &["."], &[]] {
            assert_eq!(of("http://w.example/", true, path), None, "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer_and_the_form_is_its_own(text in "(https?://)?\\PC{0,30}") {
            if let Ok(url) = WebSeedUrl::parse(&text) {
                prop_assert!(url.as_str().starts_with(url.origin()));
                if url.as_str().len() <= MAX_URL_LEN {
                    prop_assert_eq!(WebSeedUrl::parse(url.as_str()), Ok(url));
                }
            }
        }

        #[test]
        fn any_name_stays_below_the_url(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            let url = WebSeedUrl::parse("https://w.example/d/").unwrap();
            if let Some(file) = url.of_file(true, &vec![Bytes::from(name)]) {
                let rest = file.strip_prefix("https://w.example/d/").unwrap();
                prop_assert!(rest.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'?' && b != b'#'));
            }
        }
    }
}
