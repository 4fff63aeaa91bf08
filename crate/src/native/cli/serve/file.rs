//! The form of CONFIG.toml: its keys, and how each value is written.
//!
//! Owns nothing but that form; what the values mean together is `config.rs`'s. An error names the line and the key, and
//! never shows a value that may be a password.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use crate::metainfo::TrackerUrl;
use crate::native::cli::args::{parse_address, parse_gwei};
use crate::native::cli::output::{CliError, parse_size};
use crate::native::cli::web_seeds;
use crate::native::ice_server::IceServer;

/// Longest configuration that is read, bytes.
const MAX_CONFIG_LEN: u64 = 1 << 20;

/// A value that is written as text, or as a whole number, and read by a rule of its own.
#[derive(Clone, Debug)]
pub(super) struct Given<T>(pub(super) T);

/// How the text of a value is read. The error says what to write instead.
pub(super) trait Rule: Sized {
    fn read(text: &str) -> Result<Self, String>;
}

/// A sum or a price in tokens; its decimals are judged once the token is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tokens(pub(super) String);

/// Bytes, or bytes per second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes(pub(super) u64);

/// Bytes per second, of which there are some.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate(pub(super) u64);

/// A tracker in its one form.
#[derive(Clone, Debug)]
pub(super) struct Tracker(pub(super) String);

/// A web seed in its one form.
#[derive(Clone, Debug)]
pub(super) struct WebSeed(pub(super) String);

/// Wei for each gas, written in gwei.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gwei(pub(super) u128);

impl Rule for Tokens {
    fn read(text: &str) -> Result<Self, String> {
        let is_digit = |c: char| c.is_ascii_digit() || c == '.';
        match !text.is_empty() && text.chars().all(is_digit) {
            true => Ok(Tokens(text.to_owned())),
            false => Err(format!(
                "{text:?} is not a sum of tokens: write such as 10 or \"0.5\""
            )),
        }
    }
}

impl Rule for Bytes {
    fn read(text: &str) -> Result<Self, String> {
        parse_size(text).map(Bytes)
    }
}

impl Rule for Rate {
    fn read(text: &str) -> Result<Self, String> {
        match parse_size(text)? {
            0 => Err("nothing would move: leave the key out for no limit".to_owned()),
            rate => Ok(Rate(rate)),
        }
    }
}

impl Rule for Tracker {
    fn read(text: &str) -> Result<Self, String> {
        let url = TrackerUrl::parse(text).map_err(|e| format!("{text:?}: {e}"))?;
        Ok(Tracker(url.to_string()))
    }
}

impl Rule for WebSeed {
    fn read(text: &str) -> Result<Self, String> {
        let url = web_seeds::usable(text).map_err(|e| format!("{text:?}: {e}"))?;
        Ok(WebSeed(url))
    }
}

impl Rule for IceServer {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|e: crate::native::ice_server::IceServerError| e.to_string())
    }
}

impl Rule for Address {
    fn read(text: &str) -> Result<Self, String> {
        parse_address(text)
    }
}

impl Rule for Gwei {
    fn read(text: &str) -> Result<Self, String> {
        parse_gwei(text).map(Gwei)
    }
}

impl Rule for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            format!("{text:?} is not an address with a port: write such as 127.0.0.1:7070")
        })
    }
}

impl Rule for IpAddr {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("{text:?} is not an IP address: write such as 203.0.113.5"))
    }
}

impl<'de, T: Rule> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(std::marker::PhantomData))
    }
}

struct Reader<T>(std::marker::PhantomData<T>);

impl<T: Rule> Visitor<'_> for Reader<T> {
    type Value = Given<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text in quotes, or a whole number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        T::read(text).map(Given).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    // Money is never read by way of a binary fraction.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Err(E::custom(format!(
            "a number with a point is written in quotes: \"{number}\""
        )))
    }
}

/// CONFIG.toml.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) data: PathBuf,
    pub(super) state: Option<PathBuf>,
    #[serde(default)]
    pub(super) network: Network,
    #[serde(default)]
    pub(super) limits: Limits,
    pub(super) chain: Option<Chain>,
    pub(super) sell: Option<Sell>,
    pub(super) buy: Option<Buy>,
    pub(super) http: Option<Http>,
    pub(super) watch: Option<Watch>,
    #[serde(default, rename = "torrent")]
    pub(super) torrents: Vec<Torrent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    #[serde(default)]
    pub(super) trackers: Vec<Given<Tracker>>,
    pub(super) ice_servers: Option<Vec<Given<IceServer>>>,
    #[serde(default)]
    pub(super) relay_only: bool,
    pub(super) external_ip: Option<Given<IpAddr>>,
    pub(super) udp_port: Option<std::num::NonZeroU16>,
    #[serde(default)]
    pub(super) loopback: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) upload: Option<Given<Rate>>,
    pub(super) download: Option<Given<Rate>>,
    pub(super) peers: Option<std::num::NonZeroU32>,
    pub(super) storage: Option<Given<Bytes>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chain {
    pub(super) deployment: Option<PathBuf>,
    pub(super) vault: Option<Given<Address>>,
    pub(super) chain_id: Option<u64>,
    pub(super) rpc: Option<String>,
    pub(super) token: Option<Given<Address>>,
    pub(super) decimals: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sell {
    pub(super) payee_key: PathBuf,
    pub(super) price: Option<Given<Tokens>>,
    pub(super) to: Option<Given<Address>>,
    pub(super) min_bond_percent: Option<u16>,
    #[serde(default)]
    pub(super) accept_short_exit: bool,
    pub(super) redeem_every: Option<u64>,
    pub(super) min_redeem: Option<Given<Tokens>>,
    pub(super) min_redeem_sum: Option<Given<Tokens>>,
    pub(super) coin_price: Option<Given<Tokens>>,
    pub(super) max_gas_percent: Option<u8>,
    pub(super) max_fee_per_gas: Option<Given<Gwei>>,
    #[serde(default)]
    pub(super) redeem_on_exit: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Buy {
    pub(super) owner: Given<Address>,
    pub(super) session_key: PathBuf,
    pub(super) max_price: Given<Tokens>,
    pub(super) budget: Given<Tokens>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    pub(super) listen: Given<SocketAddr>,
    pub(super) token_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) allow_remote: bool,
    #[serde(default)]
    pub(super) hosts: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Watch {
    pub(super) folder: PathBuf,
    pub(super) data: Option<PathBuf>,
    pub(super) price: Option<Given<Tokens>>,
    #[serde(default = "yes")]
    pub(super) fetch: bool,
    pub(super) every: Option<std::num::NonZeroU32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Torrent {
    pub(super) source: String,
    pub(super) data: Option<PathBuf>,
    pub(super) price: Option<Given<Tokens>>,
    pub(super) max_price: Option<Given<Tokens>>,
    #[serde(default = "yes")]
    pub(super) fetch: bool,
    #[serde(default)]
    pub(super) web_seeds: Vec<Given<WebSeed>>,
}

fn yes() -> bool {
    true
}

/// The configuration in a file.
///
/// # Errors
/// The error names the file, the line, the key and the way out.
pub(super) fn read(path: &Path) -> Result<Written, CliError> {
    let unreadable = |e: std::io::Error| {
        CliError::Invalid(format!(
            "{} cannot be read: {e}; `piecework serve --example` prints a configuration to begin with",
            path.display()
        ))
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_CONFIG_LEN + 1).read_to_string(&mut text))
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_CONFIG_LEN {
        return Err(CliError::Invalid(format!(
            "{} is longer than {MAX_CONFIG_LEN} bytes: is it the configuration?",
            path.display()
        )));
    }
    parse(&text).map_err(|e| CliError::Invalid(format!("{}, {e}", path.display())))
}

/// `line 3, http.listen: ...` for what is wrong.
pub(super) fn parse(text: &str) -> Result<Written, String> {
    let document = toml::Deserializer::parse(text).map_err(|e| located(text, "", &e))?;
    serde_path_to_error::deserialize(document).map_err(|e| {
        let path = e.path().to_string();
        located(text, &path, e.inner())
    })
}

fn located(text: &str, path: &str, error: &toml::de::Error) -> String {
    let line = (error.span())
        .and_then(|span| text.get(..span.start))
        .map(|before| before.matches('\n').count() + 1);
    let mut place: Vec<String> = line
        .map(|line| format!("line {line}"))
        .into_iter()
        .collect();
    // The path of the whole document is a dot.
    if !matches!(path, "" | ".") {
        place.push(path.to_owned());
    }
    let message = error.message().replace('\n', ": ");
    match place.is_empty() {
        true => message,
        false => format!("{}: {message}", place.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_line_the_key_and_what_to_write() {
        for (text, says) in [
            (
                "data = \"d\"\n[http]\nlisten = \"7070\"\n",
                &["line 3", "http.listen", "127.0.0.1:7070"][..],
            ),
            (
                "data = \"d\"\nprize = 3\n",
                &["line 2", "unknown field `prize`", "`torrent`"],
            ),
            (
                "data = \"d\"\n[[torrent]]\nsource = \"a\"\nprice = 0.5\n",
                &["line 4", "torrent[0].price", "\"0.5\""],
            ),
            (
                "data = \"d\"\n[[torrent]]\nprice = 5\n",
                &["line 2", "torrent[0]", "missing field `source`"],
            ),
            (
                "data = \"d\"\n[network]\ntrackers = [\"udp://t.example\"]\n",
                &["line 3", "network.trackers[0]", "ws"],
            ),
            (
                "data = \"d\"\n[limits]\nupload = \"0\"\n",
                &["line 3", "limits.upload", "leave the key out"],
            ),
            ("data = \"d\"\n[sell\n", &["line 2"]),
            ("", &["missing field `data`"]),
        ] {
            let said = parse(text).err().unwrap_or_default();
            for part in says {
                assert!(said.contains(part), "{text}: {said}");
            }
            assert!(!said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn no_error_shows_the_password_of_a_turn_server() {
        let text = "data = \"d\"\n[network]\nice_servers = [\"turn:user:secret@\"]\n";
        let said = parse(text).err().unwrap();
        assert!(said.contains("network.ice_servers[0]"), "{said}");
        assert!(!said.contains("secret"), "{said}");
        let unclosed = "data = \"d\"\n[network]\nice_servers = [\"turn:user:secret@host]\n";
        let said = parse(unclosed).err().unwrap();
        assert!(!said.contains("secret"), "{said}");
    }

    #[test]
    fn whole_numbers_and_text_are_read_alike() {
        let written = parse("data = \"d\"\n[limits]\nupload = 1024\ndownload = \"1K\"\n").unwrap();
        assert_eq!(written.limits.upload.unwrap().0.0, 1024);
        assert_eq!(written.limits.download.unwrap().0.0, 1024);
    }

    /// Every key that the example names, as `table.key`.
    fn keys(example: &str) -> Vec<String> {
        let mut table = String::new();
        let mut keys = Vec::new();
        for line in example.lines() {
            let line = line.strip_prefix('#').unwrap_or(line);
            if let Some(name) = line.strip_prefix('[') {
                name.trim_matches(['[', ']']).clone_into(&mut table);
            } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with(' '))
            {
                keys.push(format!("{table}.{key}").trim_start_matches('.').to_owned());
            }
        }
        keys
    }

    #[test]
    fn the_example_is_right_as_it_is_and_with_each_of_its_settings() {
        let example = super::super::EXAMPLE;
        let written = parse(example).unwrap();
        assert!(written.http.is_some() && written.torrents.is_empty());
        let all: String = example
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let written = parse(&all).unwrap();
        assert_eq!(written.torrents.len(), 1);
        assert!(written.buy.is_some() && written.watch.is_some());
    }

    #[test]
    fn the_example_has_every_key() {
        // What is not known is refused with the names of all that is.
        let known = |table: &str, prefix: &str| -> Vec<String> {
            let said = parse(&format!("data = \"d\"\n{table}\nunknown = 1\n")).unwrap_err();
            let (_, names) = said.split_once("expected one of ").unwrap();
            let names = names.split(", ").map(|name| name.trim_matches('`'));
            names.map(|name| format!("{prefix}{name}")).collect()
        };
        let tables = ["network", "limits", "chain", "sell", "buy", "http", "watch"];
        let mut all = known("", "");
        all.retain(|name| !tables.contains(&name.as_str()) && name != "torrent");
        for table in tables {
            all.extend(known(&format!("[{table}]"), &format!("{table}.")));
        }
        all.extend(known("[[torrent]]", "torrent."));
        let mut named = keys(super::super::EXAMPLE);
        all.sort();
        named.sort();
        assert_eq!(all, named);
    }

    #[test]
    fn the_manual_names_every_key() {
        let manual = include_str!("../../../../../docs/serve.md");
        for key in keys(super::super::EXAMPLE) {
            let row = format!("| `{key}` |");
            let row = row.replace("torrent.", "[[torrent]] ");
            assert!(manual.contains(&row), "docs/serve.md has no row {row}");
        }
    }
}
