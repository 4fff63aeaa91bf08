//! Magnet links (BEP 9, "magnet URI format"; BEP 53 for `so`).
//!
//! Owns their parsing and printing. Keys we do not know are ignored; what we know and cannot read
//! is an error that names the key, because a person typed or pasted it. Never contacts anything.

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

use super::{MAX_TRACKERS, MAX_URL_LEN, MAX_WEB_SEEDS};
use crate::types::InfoHash;

/// Longest link, bytes; a longer one is refused.
pub const MAX_MAGNET_LEN: usize = 64 * 1024;
/// Most peer addresses (`x.pe`) kept; further ones are ignored.
pub const MAX_PEER_ADDRESSES: usize = 64;
/// Most exact sources (`xs`) kept; further ones are ignored.
pub const MAX_EXACT_SOURCES: usize = 16;
/// Most file ranges (`so`); a link with more is refused.
pub const MAX_SELECTED_RANGES: usize = 4096;

/// Why a text is not a magnet link that we can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MagnetError {
    /// Another scheme, or none.
    #[error("not a magnet link: it does not start with `magnet:?`")]
    Scheme,
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
    /// Bad percent encoding, or not UTF-8.
    #[error("`{key}` in the magnet link is not percent-encoded UTF-8")]
    Encoding {
        /// The parameter.
        key: &'static str,
    },
    /// A value that cannot be read.
    #[error("`{key}` in the magnet link is invalid: expected {expected}")]
    Value {
        /// The parameter.
        key: &'static str,
        /// What it must look like.
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
    /// `tr`: tracker URLs, not checked beyond UTF-8 and length.
    pub trackers: Vec<String>,
    /// `ws`: web seed URLs, not checked beyond UTF-8 and length.
    pub web_seeds: Vec<String>,
    /// `xs`: URLs of the `.torrent` file itself, not checked beyond UTF-8 and length.
    pub exact_sources: Vec<String>,
    /// `so`: indices of the wanted files (BEP 53); empty means all. Not checked against the torrent.
    pub select_only: Vec<RangeInclusive<u32>>,
    /// `x.pe`: peer addresses as `host:port`, not checked beyond UTF-8 and length.
    pub peer_addresses: Vec<String>,
    /// `pw.content`: registry id of the title (payments.md section 7), 64 hexadecimal digits.
    pub content: Option<[u8; 32]>,
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
        }
    }
}

impl FromStr for MagnetLink {
    type Err = MagnetError;

    fn from_str(link: &str) -> Result<Self, MagnetError> {
        let link = link.trim();
        if link.len() > MAX_MAGNET_LEN {
            return Err(MagnetError::TooLong);
        }
        let query = match link.split_at_checked(8) {
            Some((scheme, query)) if scheme.eq_ignore_ascii_case("magnet:?") => query,
            _ => return Err(MagnetError::Scheme),
        };
        let mut info_hash = None;
        let mut names_v2 = false;
        let mut out = MagnetLink::new(InfoHash([0; 20]));
        for parameter in query.split('&') {
            let Some((key, value)) = parameter.split_once('=') else {
                continue;
            };
            match without_number(key) {
                "xt" => {
                    let topic = decode("xt", value)?;
                    names_v2 |= strip_prefix_ignore_case(&topic, "urn:btmh:").is_some();
                    if let Some(digits) = strip_prefix_ignore_case(&topic, "urn:btih:") {
                        let hash = parse_info_hash(digits).ok_or(MagnetError::InfoHash)?;
                        if info_hash.is_some_and(|known| known != hash) {
                            return Err(MagnetError::TwoInfoHashes);
                        }
                        info_hash = Some(hash);
                    }
                }
                "dn" => out.display_name = Some(decode("dn", &value.replace('+', " "))?),
                "tr" => keep(&mut out.trackers, MAX_TRACKERS, decode("tr", value)?),
                "ws" => keep(&mut out.web_seeds, MAX_WEB_SEEDS, decode("ws", value)?),
                "xs" => keep(
                    &mut out.exact_sources,
                    MAX_EXACT_SOURCES,
                    decode("xs", value)?,
                ),
                "x.pe" => keep(
                    &mut out.peer_addresses,
                    MAX_PEER_ADDRESSES,
                    decode("x.pe", value)?,
                ),
                "so" => out.select_only = parse_selection(&decode("so", value)?)?,
                "pw.content" => out.content = Some(parse_content(&decode("pw.content", value)?)?),
                _ => {}
            }
        }
        out.info_hash = info_hash.ok_or(if names_v2 {
            MagnetError::OnlyV2
        } else {
            MagnetError::NoInfoHash
        })?;
        Ok(out)
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
        if let Some(content) = &self.content {
            f.write_str("&pw.content=")?;
            for byte in content {
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
    match key.rsplit_once('.') {
        Some((name, n)) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => key,
    }
}

fn strip_prefix_ignore_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn keep(list: &mut Vec<String>, max: usize, value: String) {
    if !value.is_empty() && value.len() <= MAX_URL_LEN && list.len() < max {
        list.push(value);
    }
}

fn decode(key: &'static str, value: &str) -> Result<String, MagnetError> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    let digit = |bytes: &mut core::str::Bytes<'_>| {
        let digit = bytes.next().and_then(|b| char::from(b).to_digit(16));
        digit.ok_or(MagnetError::Encoding { key })
    };
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => (digit(&mut bytes)? * 16 + digit(&mut bytes)?) as u8,
            _ => byte,
        });
    }
    String::from_utf8(out).map_err(|_| MagnetError::Encoding { key })
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

fn parse_selection(text: &str) -> Result<Vec<RangeInclusive<u32>>, MagnetError> {
    let bad = || MagnetError::Value {
        key: "so",
        expected: "file numbers and ranges such as 0,2,4-6",
    };
    let mut out = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
            true => text.parse::<u32>().map_err(|_| bad()),
            false => Err(bad()),
        };
        let (from, to) = (number(from)?, number(to)?);
        if from > to || out.len() == MAX_SELECTED_RANGES {
            return Err(bad());
        }
        out.push(from..=to);
    }
    Ok(out)
}

fn parse_content(text: &str) -> Result<[u8; 32], MagnetError> {
    let bad = MagnetError::Value {
        key: "pw.content",
        expected: "64 hexadecimal digits",
    };
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    let mut out = [0u8; 32];
    if digits.len() != 64 {
        return Err(bad);
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16);
        let low = char::from(pair[1]).to_digit(16);
        *byte = match (high, low) {
            (Some(high), Some(low)) => (high * 16 + low) as u8,
            _ => return Err(bad),
        };
    }
    Ok(out)
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
        let link = parse(&format!(
            "magnet:?xt=urn:btih:{HEX}&dn=Leaves+of%20Grass&tr=wss%3A%2F%2Ft.example%2Fx%3Fa%3Db\
             &tr.1=ws://u.example&ws=https%3A%2F%2Fw.example&xs=https%3A%2F%2Fx.example%2Fa.torrent\
             &so=0,2,4-6&x.pe=127.0.0.1:6881&pw.content=0x{content}&unknown=%zz&flag"
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
        assert_eq!(parse("https://x.example"), Err(MagnetError::Scheme));
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
        for value in ["%", "%4", "%zz", "%ff"] {
            let error = with(&format!("tr={value}"));
            assert_eq!(error, MagnetError::Encoding { key: "tr" });
        }
        for value in ["x", "3-1", "1-", "-1", "+1", "4294967296", "1-2-3"] {
            let error = with(&format!("so={value}"));
            assert!(
                matches!(error, MagnetError::Value { key: "so", .. }),
                "{value}"
            );
        }
        for value in ["", "ab", &"g".repeat(64), &"a".repeat(66)] {
            let error = with(&format!("pw.content={value}"));
            let key = "pw.content";
            assert!(matches!(error, MagnetError::Value { key: k, .. } if k == key));
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
        assert!(parse(&format!("magnet:?xt=urn:btih:{HEX}&so={ranges}")).is_err());
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
        )
            .prop_map(|(hash, name, tr, ws, xs, pe, so, content)| MagnetLink {
                info_hash: InfoHash(hash),
                display_name: name,
                trackers: tr,
                web_seeds: ws,
                exact_sources: xs,
                select_only: so,
                peer_addresses: pe,
                content,
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
