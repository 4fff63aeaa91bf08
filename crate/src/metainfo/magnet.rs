//! Magnet links (BEP 9, "magnet URI format"; BEP 53 for `so`).
//!
//! Owns their parsing and printing. A person typed or pasted a link, often out of a page's source or a chat. So the
//! text around a link is left out, and so is a parameter that cannot be read: the hash and the other trackers are
//! enough. Only the parameters that name the torrent, the registry id that is paid for (`pw.content`), and whose
//! signature the title must have (`pw.by`) must be
//! right. Never contacts anything.

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

use super::tracker_url::{last_of, split_scheme, trim_pasted};
use super::{MAX_TRACKERS, MAX_URL_LEN, MAX_WEB_SEEDS};
use crate::types::InfoHash;

/// Longest link, bytes; a longer one is refused.
pub const MAX_MAGNET_LEN: usize = 64 * 1024;
/// Most peer addresses (`x.pe`) kept; further ones are ignored.
pub const MAX_PEER_ADDRESSES: usize = 64;
/// Most exact sources (`xs`) kept; further ones are ignored.
pub const MAX_EXACT_SOURCES: usize = 16;
/// Most file ranges (`so`); a list of more is left out.
pub const MAX_SELECTED_RANGES: usize = 4096;

/// Why a text is not a magnet link that we can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MagnetError {
    /// Another scheme, or none.
    #[error("not a magnet link: it does not start with `magnet:?`")]
    Scheme,
    /// `http://` or `https://`.
    #[error(
        "this is a web address, not a magnet link: download the .torrent file first and give that"
    )]
    WebAddress,
    /// Longer than [`MAX_MAGNET_LEN`].
    #[error("the magnet link is longer than {MAX_MAGNET_LEN} bytes")]
    TooLong,
    /// No `xt=urn:btih:`.
    #[error("the magnet link names no torrent: `xt=urn:btih:` is missing")]
    NoInfoHash,
    /// Only `xt=urn:btmh:` (BEP 52).
    #[error("the magnet link is for BitTorrent v2 only (`urn:btmh`); a v1 info hash is needed")]
    OnlyV2,
    /// The hash is neither 40 hexadecimal nor 32 base32 digits.
    #[error("the info hash in `xt` is neither 40 hexadecimal nor 32 base32 digits")]
    InfoHash,
    /// Two different v1 hashes.
    #[error("the magnet link names two different torrents")]
    TwoInfoHashes,
    /// A value that cannot be read.
    #[error("`{key}` in the magnet link is invalid: expected {expected}")]
    Value {
        /// The parameter.
        key: &'static str,
        /// The form that it must have.
        expected: &'static str,
    },
}

/// A magnet link. `to_string` prints it, `parse` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MagnetLink {
    /// `xt`: the torrent.
    pub info_hash: InfoHash,
    /// `dn`: a name to show until the metadata is there. Foreign text, not a safe path.
    pub display_name: Option<String>,
    /// `tr`: tracker URLs, not checked beyond UTF-8 and length; see [`super::TrackerUrl`].
    pub trackers: Vec<String>,
    /// `ws`: web seed URLs, not checked beyond UTF-8 and length.
    pub web_seeds: Vec<String>,
    /// `xs`: URLs of the `.torrent` file itself, not checked beyond UTF-8 and length.
    pub exact_sources: Vec<String>,
    /// `so`: indices of the wanted files (BEP 53); empty means all. Not checked against the torrent.
    pub select_only: Vec<RangeInclusive<u32>>,
    /// `x.pe`: peer addresses as `host:port`, not checked beyond UTF-8 and length.
    pub peer_addresses: Vec<String>,
    /// `pw.content`: registry id of the title (docs/protocol.md, "Content"), 64 hexadecimal digits.
    pub content: Option<[u8; 32]>,
    /// `pw.by`: the address of who must have signed the title (docs/titles.md), 40 hexadecimal digits.
    pub by: Option<[u8; 20]>,
}

impl MagnetLink {
    /// A link that names the torrent and nothing else.
    pub fn new(info_hash: InfoHash) -> Self {
        MagnetLink {
            info_hash,
            display_name: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            exact_sources: Vec::new(),
            select_only: Vec::new(),
            peer_addresses: Vec::new(),
            content: None,
            by: None,
        }
    }
}

impl FromStr for MagnetLink {
    type Err = MagnetError;

    /// Reads a link, or a bare info hash, with blanks around it or not.
    fn from_str(link: &str) -> Result<Self, MagnetError> {
        let link = trim_pasted(link);
        if link.len() > MAX_MAGNET_LEN {
            return Err(MagnetError::TooLong);
        }
        if let Some(hash) = bare_info_hash(link) {
            return Ok(MagnetLink::new(hash));
        }
        let query = strip_prefix_ignore_case(link, "magnet:?").ok_or_else(|| {
            let web = ["http://", "https://"].map(|scheme| strip_prefix_ignore_case(link, scheme));
            match web {
                [None, None] => MagnetError::Scheme,
                _ => MagnetError::WebAddress,
            }
        })?;
        let mut topics = Topics::default();
        let mut out = MagnetLink::new(InfoHash([0; 20]));
        for parameter in query.split('&') {
            let parameter = without_entity(parameter);
            if let Some((key, value)) = trim_pasted(parameter).split_once('=') {
                // Capitals take less room in a QR code.
                match without_number(key).to_ascii_lowercase().as_str() {
                    "xt" => topics.take(value)?,
                    key => out.take(key, value)?,
                }
            }
        }
        out.info_hash = topics.info_hash()?;
        Ok(out)
    }
}

impl MagnetLink {
    /// Takes up one parameter but `xt`, and leaves out one that cannot be read.
    fn take(&mut self, key: &str, value: &str) -> Result<(), MagnetError> {
        match key {
            "dn" => self.display_name = Some(decode_lossy(&value.replace('+', " "))),
            "tr" => {
                for url in decode(value).iter().flat_map(|urls| split_urls(urls)) {
                    keep(&mut self.trackers, MAX_TRACKERS, url);
                }
            }
            "ws" => keep_decoded(&mut self.web_seeds, MAX_WEB_SEEDS, value),
            "xs" => keep_decoded(&mut self.exact_sources, MAX_EXACT_SOURCES, value),
            "x.pe" => keep_decoded(&mut self.peer_addresses, MAX_PEER_ADDRESSES, value),
            "so" => {
                // A part that cannot be read names no file: all files would be fetched, and paid for, because of it.
                let text = decode(value).unwrap_or_default();
                let room = MAX_SELECTED_RANGES - self.select_only.len();
                (self.select_only).extend(selected_ranges(&text).flatten().take(room));
            }
            "pw.content" => {
                self.content = Some(parse_hex("pw.content", "64 hexadecimal digits", value)?)
            }
            "pw.by" => self.by = Some(parse_hex("pw.by", "40 hexadecimal digits", value)?),
            _ => {}
        }
        Ok(())
    }
}

/// The hash that the `xt` of a link give together.
#[derive(Default)]
struct Topics {
    v1: Option<InfoHash>,
    has_v2: bool,
    is_unreadable: bool,
}

impl Topics {
    fn take(&mut self, value: &str) -> Result<(), MagnetError> {
        let topic = decode_lossy(value);
        let topic = trim_pasted(&topic);
        self.has_v2 |= strip_prefix_ignore_case(topic, "urn:btmh:").is_some();
        let Some(digits) = strip_prefix_ignore_case(topic, "urn:btih:") else {
            return Ok(());
        };
        match parse_info_hash(digits) {
            None => self.is_unreadable = true,
            Some(hash) if self.v1.is_some_and(|known| known != hash) => {
                return Err(MagnetError::TwoInfoHashes);
            }
            Some(hash) => self.v1 = Some(hash),
        }
        Ok(())
    }

    fn info_hash(&self) -> Result<InfoHash, MagnetError> {
        self.v1.ok_or(match (self.is_unreadable, self.has_v2) {
            (true, _) => MagnetError::InfoHash,
            (false, true) => MagnetError::OnlyV2,
            (false, false) => MagnetError::NoInfoHash,
        })
    }
}

impl fmt::Display for MagnetLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xt=urn:btih:{}", self.info_hash)?;
        if let Some(name) = &self.display_name {
            write!(f, "&dn={}", Encoded(name))?;
        }
        for (key, values) in [
            ("tr", &self.trackers),
            ("ws", &self.web_seeds),
            ("xs", &self.exact_sources),
            ("x.pe", &self.peer_addresses),
        ] {
            for value in values {
                write!(f, "&{key}={}", Encoded(value))?;
            }
        }
        for (n, range) in self.select_only.iter().enumerate() {
            f.write_str(if n == 0 { "&so=" } else { "," })?;
            match (range.start(), range.end()) {
                (a, b) if a == b => write!(f, "{a}")?,
                (a, b) => write!(f, "{a}-{b}")?,
            }
        }
        let (content, by) = (self.content.as_ref(), self.by.as_ref());
        let pinned = [
            ("pw.content", content.map(|id| &id[..])),
            ("pw.by", by.map(|address| &address[..])),
        ];
        for (key, bytes) in pinned {
            let Some(bytes) = bytes else { continue };
            write!(f, "&{key}=")?;
            for byte in bytes {
                write!(f, "{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    write!(f, "{}", char::from(byte))?;
                }
                _ => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

/// `tr.1` means `tr`.
fn without_number(key: &str) -> &str {
    let (name, n) = key.split_at(last_of(key, b'.').unwrap_or(key.len()));
    let is_number = n.len() > 1 && n.bytes().skip(1).all(|b| b.is_ascii_digit());
    if is_number { name } else { key }
}

fn strip_prefix_ignore_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// A parameter without the rest of `&amp;`, which a link copied from a page's source has where `&` was meant.
fn without_entity(parameter: &str) -> &str {
    let mut rest = parameter;
    while let Some(behind) = rest.strip_prefix("amp;") {
        rest = behind;
    }
    let numbers = ["#38;", "#038;", "#x26;"];
    let number = numbers.iter().find_map(|number| rest.strip_prefix(number));
    number.unwrap_or(rest)
}

/// The URLs of a list with commas: a new one begins where a scheme follows the comma.
fn split_urls(list: &str) -> Vec<&str> {
    let mut urls = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(comma) = list[at..].find(',') {
        let comma = at + comma;
        at = comma + 1;
        if begins_with_scheme(trim_pasted(&list[at..])) {
            urls.push(trim_pasted(&list[from..comma]));
            from = at;
        }
    }
    urls.push(if from == 0 {
        list
    } else {
        trim_pasted(&list[from..])
    });
    urls
}

fn begins_with_scheme(text: &str) -> bool {
    let scheme = split_scheme(text).map_or("", |(scheme, _)| scheme);
    !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn keep(list: &mut Vec<String>, max: usize, value: &str) {
    if !value.is_empty() && value.len() <= MAX_URL_LEN && list.len() < max {
        list.push(value.to_owned());
    }
}

fn keep_decoded(list: &mut Vec<String>, max: usize, value: &str) {
    if let Some(value) = decode(value) {
        keep(list, max, &value);
    }
}

/// `None`: a broken escape, or bytes that are not UTF-8.
fn decode(value: &str) -> Option<String> {
    let (bytes, is_whole) = unescape(value);
    String::from_utf8(bytes).ok().filter(|_| is_whole)
}

/// Text to be shown: a broken escape stays as it is, and bytes that are not UTF-8 are replaced.
fn decode_lossy(value: &str) -> String {
    String::from_utf8_lossy(&unescape(value).0).into_owned()
}

/// The bytes that a percent-encoded text stands for, and whether each of its escapes was one.
fn unescape(value: &str) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(value.len());
    let mut is_whole = true;
    let mut rest = value.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    while let [byte, behind @ ..] = rest {
        rest = behind;
        let escaped = match (byte, behind) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                out.push((high * 16 + low) as u8);
                rest = &behind[2..];
            }
            None => {
                is_whole &= *byte != b'%';
                out.push(*byte);
            }
        }
    }
    (out, is_whole)
}

/// The hash, if the text is one and nothing else.
pub fn bare_info_hash(text: &str) -> Option<InfoHash> {
    parse_info_hash(trim_pasted(text))
}

fn parse_info_hash(digits: &str) -> Option<InfoHash> {
    match digits.len() {
        40 => InfoHash::from_hex(digits),
        32 => parse_base32(digits),
        _ => None,
    }
}

/// RFC 4648 base32 of 20 bytes, either case, no padding.
fn parse_base32(digits: &str) -> Option<InfoHash> {
    let mut out = [0u8; 20];
    for (group, bytes) in digits
        .as_bytes()
        .chunks_exact(8)
        .zip(out.chunks_exact_mut(5))
    {
        let mut bits = 0u64;
        for digit in group {
            let value = match digit.to_ascii_uppercase() {
                letter @ b'A'..=b'Z' => letter - b'A',
                digit @ b'2'..=b'7' => digit - b'2' + 26,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        bytes.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(InfoHash(out))
}

/// File numbers and ranges such as `0,2,4-6` (BEP 53); `None` if it is no list of these, or one of too many.
pub fn parse_selection(text: &str) -> Option<Vec<RangeInclusive<u32>>> {
    let ranges = selected_ranges(text).take(MAX_SELECTED_RANGES + 1);
    let ranges: Option<Vec<_>> = ranges.collect();
    ranges.filter(|ranges| ranges.len() <= MAX_SELECTED_RANGES)
}

/// Each part of such a list; `None` is a part that cannot be read.
fn selected_ranges(text: &str) -> impl Iterator<Item = Option<RangeInclusive<u32>>> {
    let number = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts.map(move |part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (number(from)?, number(to)?);
        (from <= to).then_some(from..=to)
    })
}

/// A value that would be paid for, or trusted, as another if it were guessed: `N` bytes as digits.
fn parse_hex<const N: usize>(
    key: &'static str,
    expected: &'static str,
    text: &str,
) -> Result<[u8; N], MagnetError> {
    let mut out = [0; N];
    match read_hex(text, &mut out) {
        true => Ok(out),
        false => Err(MagnetError::Value { key, expected }),
    }
}

fn read_hex(text: &str, out: &mut [u8]) -> bool {
    let text = decode_lossy(text);
    let text = trim_pasted(&text);
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    let digit = |at: usize| char::from(digits[at]).to_digit(16);
    digits.len() == 2 * out.len()
        && (out.iter_mut().enumerate()).all(|(at, byte)| {
            let pair = digit(2 * at).zip(digit(2 * at + 1));
            *byte = pair.map_or(0, |(high, low)| (high * 16 + low) as u8);
            pair.is_some()
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::reversed_empty_ranges)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "d2474e86c95b19b8bcfdb92bc12c9d44667cfa36";

    fn parse(link: &str) -> Result<MagnetLink, MagnetError> {
        link.parse()
    }

    #[test]
    fn a_full_link_is_read() {
        let content = "ab".repeat(32);
        let by = "Cd".repeat(20);
        let link = parse(&format!(
            "magnet:?xt=urn:btih:{HEX}&dn=Leaves+of%20Grass&tr=wss%3A%2F%2Ft.example%2Fx%3Fa%3Db\
             &tr.1=ws://u.example&ws=https%3A%2F%2Fw.example&xs=https%3A%2F%2Fx.example%2Fa.torrent\
             &so=0,2,4-6&x.pe=127.0.0.1:6881&pw.content=0x{content}&pw.by=0x{by}&unknown=%zz&flag"
        ))
        .unwrap();
        assert_eq!(link.info_hash.to_hex(), HEX);
        assert_eq!(link.display_name.as_deref(), Some("Leaves of Grass"));
        assert_eq!(link.trackers, ["wss://t.example/x?a=b", "ws://u.example"]);
        assert_eq!(link.web_seeds, ["https://w.example"]);
        assert_eq!(link.exact_sources, ["https://x.example/a.torrent"]);
        assert_eq!(link.select_only, [0..=0, 2..=2, 4..=6]);
        assert_eq!(link.peer_addresses, ["127.0.0.1:6881"]);
        assert_eq!(link.content, Some([0xab; 32]));
        assert_eq!(link.by, Some([0xcd; 20]));
        assert_eq!(parse(&link.to_string()), Ok(link));
    }

    #[test]
    fn hashes_come_in_hexadecimal_and_base32_of_either_case() {
        let base32 = "2JDU5BWJLMM3RPH5XEV4CLE5IRTHZ6RW";
        for digits in [HEX, &HEX.to_uppercase(), base32, &base32.to_lowercase()] {
            let link = parse(&format!("MAGNET:?xt=URN:BTIH:{digits}")).unwrap();
            assert_eq!(link.info_hash.to_hex(), HEX);
            assert_eq!(link.to_string(), format!("magnet:?xt=urn:btih:{HEX}"));
        }
    }

    #[test]
    fn a_hybrid_link_gives_its_v1_hash() {
        let v2 = format!("1220{}", "cd".repeat(32));
        let link = parse(&format!("magnet:?xt=urn:btmh:{v2}&xt=urn:btih:{HEX}")).unwrap();
        assert_eq!(link.info_hash.to_hex(), HEX);
        let only = parse(&format!("magnet:?xt=urn:btmh:{v2}"));
        assert_eq!(only, Err(MagnetError::OnlyV2));
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let with = |rest: &str| parse(&format!("magnet:?xt=urn:btih:{HEX}&{rest}")).unwrap_err();
        let long = format!("magnet:?{}", "a".repeat(MAX_MAGNET_LEN));
        for web in ["https://x.example/a.torrent", " HTTP://x.example"] {
            assert_eq!(parse(web), Err(MagnetError::WebAddress));
        }
        assert_eq!(parse("ftp://x.example"), Err(MagnetError::Scheme));
        assert_eq!(parse(""), Err(MagnetError::Scheme));
        assert_eq!(parse("magnet"), Err(MagnetError::Scheme));
        assert_eq!(parse(&long), Err(MagnetError::TooLong));
        assert_eq!(parse("magnet:?dn=x"), Err(MagnetError::NoInfoHash));
        for digits in [
            "",
            "12",
            &HEX[1..],
            "z474e86c95b19b8bcfdb92bc12c9d44667cfa36d",
        ] {
            let link = format!("magnet:?xt=urn:btih:{digits}");
            assert_eq!(parse(&link), Err(MagnetError::InfoHash));
        }
        let other = "a".repeat(40);
        assert_eq!(
            with(&format!("xt=urn:btih:{other}")),
            MagnetError::TwoInfoHashes
        );
        for value in ["", "ab", &"g".repeat(64), &"g".repeat(40), &"a".repeat(66)] {
            for key in ["pw.content", "pw.by"] {
                let error = with(&format!("{key}={value}"));
                assert!(matches!(error, MagnetError::Value { key: k, .. } if k == key));
            }
        }
    }

    #[test]
    fn a_parameter_that_cannot_be_read_is_left_out_and_the_rest_is_used() {
        let rest = "tr=wss://t.example";
        let with = |parameter: &str| {
            let link = parse(&format!("magnet:?xt=urn:btih:{HEX}&{parameter}&{rest}")).unwrap();
            assert_eq!(link.info_hash.to_hex(), HEX, "{parameter}");
            assert_eq!(link.trackers, ["wss://t.example"], "{parameter}");
            link
        };
        for (name, shown) in [
            ("100% pure", "100% pure"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("100%25%20pure", "100% pure"),
            ("caf%E9.flac", "caf\u{fffd}.flac"),
            ("%B2%E2a", "\u{fffd}\u{fffd}a"),
            ("cut%E4%B8", "cut\u{fffd}"),
            ("half%E4%B", "half\u{fffd}%B"),
        ] {
            let link = with(&format!("dn={name}"));
            assert_eq!(link.display_name.as_deref(), Some(shown));
            assert_eq!(parse(&link.to_string()), Ok(link));
        }
        for value in ["%", "%4", "%zz", "%ff", "udp%3A%2F%http://2Ft.example%3A80"] {
            for key in ["tr", "ws", "xs", "x.pe"] {
                let link = with(&format!("{key}={value}"));
                assert_eq!((link.web_seeds.len(), link.exact_sources.len()), (0, 0));
                assert!(link.peer_addresses.is_empty());
            }
        }
        assert!(with("ws=http://d.example/100%/a.iso").web_seeds.is_empty());
        for value in ["all", "6-4", "1-", "-1", "+1", "4294967296", "1-2-3", "%zz"] {
            assert!(with(&format!("so={value}")).select_only.is_empty());
        }
        for value in ["0,x", "x,0,9-7", "0&so=-"] {
            assert_eq!(with(&format!("so={value}")).select_only, [0..=0], "{value}");
        }
        assert_eq!(with("so=0&so=2").select_only, [0..=0, 2..=2]);
        with("xt=urn:btih:short");
        with("xt=%zz");
    }

    #[test]
    fn what_stands_around_a_link_or_inside_it_by_copying_is_left_out() {
        let link = format!("magnet:?xt=urn:btih:{HEX}&dn=a&tr=wss://t.example");
        let plain = parse(&link).unwrap();
        for around in [
            " ",
            "\n",
            "\r\n\t",
            "\u{a0}",
            "\u{200b}",
            "\u{feff}",
            "\u{2060} ",
        ] {
            assert_eq!(parse(&format!("{around}{link}{around}")), Ok(plain.clone()));
        }
        for (from, to) in [
            ("magnet", "MAGNET"),
            ("urn:btih", "URN:BTIH"),
            ("xt=", "XT="),
            ("&dn", "&DN"),
            ("&tr", "&Tr.1"),
            ("&dn", "%20&dn"),
            ("&dn", "%0A&dn"),
            ("&dn", "%C2%A0&dn"),
            ("&dn", " &dn"),
            ("&dn", "\n&dn"),
            ("&dn", "&\n dn"),
            ("&tr", "\r\n&tr"),
            ("&", "&amp;"),
            ("&", "&amp;amp;"),
            ("&", "&#38;"),
            ("&", "&#038;"),
        ] {
            assert_eq!(parse(&link.replace(from, to)), Ok(plain.clone()), "{to:?}");
        }
    }

    #[test]
    fn several_trackers_may_stand_in_one_parameter() {
        for (list, urls) in [
            (
                "wss://t.example,wss://u.example",
                vec!["wss://t.example", "wss://u.example"],
            ),
            (
                "wss%3A%2F%2Ft%2Cudp%3A%2F%2Fu%2C%20ws%3A%2F%2Fv",
                vec!["wss://t", "udp://u", "ws://v"],
            ),
            ("wss://t/a,b", vec!["wss://t/a,b"]),
            ("wss://t/a,b,wss://u", vec!["wss://t/a,b", "wss://u"]),
            (",wss://u,", vec!["wss://u,"]),
        ] {
            let link = parse(&format!("magnet:?xt=urn:btih:{HEX}&tr={list}")).unwrap();
            assert_eq!(link.trackers, urls);
            assert_eq!(parse(&link.to_string()), Ok(link));
        }
    }

    #[test]
    fn a_bare_info_hash_is_a_link_without_trackers() {
        let base32 = "2JDU5BWJLMM3RPH5XEV4CLE5IRTHZ6RW";
        for digits in [HEX, &HEX.to_uppercase(), base32, &format!(" {HEX}\n")] {
            let hash = InfoHash::from_hex(HEX).unwrap();
            assert_eq!(parse(digits), Ok(MagnetLink::new(hash)));
        }
        for digits in [
            &HEX[1..],
            "2JDU5BWJLMM3RPH5XEV4CLE5IRTHZ6R1",
            "film.mp4.torrent",
        ] {
            assert_eq!(parse(digits), Err(MagnetError::Scheme), "{digits}");
        }
    }

    #[test]
    fn lists_are_bounded() {
        let link = format!(
            "magnet:?xt=urn:btih:{HEX}{}",
            "&tr=ws:a&x.pe=h:1".repeat(500)
        );
        let link = parse(&link).unwrap();
        assert_eq!(link.trackers.len(), MAX_TRACKERS);
        assert_eq!(link.peer_addresses.len(), MAX_PEER_ADDRESSES);
        let ranges = "1,".repeat(MAX_SELECTED_RANGES + 1);
        let link = parse(&format!("magnet:?xt=urn:btih:{HEX}&so={ranges}")).unwrap();
        assert_eq!(link.select_only.len(), MAX_SELECTED_RANGES);
    }

    fn link() -> impl Strategy<Value = MagnetLink> {
        let text = || proptest::collection::vec("\\PC{1,20}", 0..4);
        let range = (any::<u32>(), any::<u32>()).prop_map(|(a, b)| a.min(b)..=a.max(b));
        (
            any::<[u8; 20]>(),
            proptest::option::of("\\PC{0,40}"),
            text(),
            text(),
            text(),
            text(),
            proptest::collection::vec(range, 0..5),
            any::<Option<[u8; 32]>>(),
            any::<Option<[u8; 20]>>(),
        )
            .prop_map(|(hash, name, tr, ws, xs, pe, so, content, by)| MagnetLink {
                info_hash: InfoHash(hash),
                display_name: name,
                trackers: tr,
                web_seeds: ws,
                exact_sources: xs,
                select_only: so,
                peer_addresses: pe,
                content,
                by,
            })
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_the_same(link in link()) {
            prop_assert_eq!(parse(&link.to_string()), Ok(link));
        }

        #[test]
        fn any_text_is_an_answer_and_never_a_panic(text in "(magnet:\\?)?(xt=urn:bt[im]h:)?\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn a_damaged_link_never_panics(
            link in link(),
            at in any::<prop::sample::Index>(),
            byte in 0u8..128,
        ) {
            let mut bytes = link.to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(read) = parse(&String::from_utf8(bytes).unwrap()) {
                prop_assert_eq!(parse(&read.to_string()), Ok(read));
            }
        }
    }
}
