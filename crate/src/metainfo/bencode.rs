//! Bencode (BEP 3, "bencoding"): a checked reader over borrowed bytes, and a canonical writer.
//!
//! Owns the grammar. The reader walks the input once, without recursion, into a flat list of
//! nodes that only remember byte ranges, so a value's exact bytes can be hashed or kept.
//! Memory is bounded by [`Limits`], never by a number the input names.
//!
//! Strict: no leading zeros, no `-0`, no integer that fits neither `i64` nor `u64`, no duplicate dictionary keys,
//! nothing after the top value unless the caller uses [`Document::parse_prefix`]. Keys out of order are always read,
//! because torrents in the wild have them and an info hash is over raw bytes anyway. With [`Limits::tolerant`] the
//! reader takes the other liberties of the field too: zeros before a number, `-0`, numbers beyond 64 bits (they are
//! there, but [`Value::as_int`] is `None`), and a key twice, of which the first counts. libtorrent reads them in the
//! same way, and a client that reads the same bytes differently would fetch other files under the same hash. The writer
//! always sorts.

use core::ops::Range;
use std::borrow::Cow;

use crate::sorted::Map;

/// Longest run of digits of an integer (`u64::MAX` has 20).
const MAX_DIGITS: usize = 20;

/// The most that a document may cost. A document that passes one of these bounds is refused whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest input, bytes.
    pub max_len: usize,
    /// Deepest nesting of lists and dictionaries.
    pub max_depth: usize,
    /// Most values, keys included.
    pub max_nodes: usize,
    /// Whether forms are read that the grammar forbids and other clients take.
    pub tolerant: bool,
}

impl Limits {
    /// For a `.torrent` file or an info dictionary.
    pub const TORRENT: Limits = Limits {
        max_len: 16 * 1024 * 1024,
        max_depth: 64,
        max_nodes: 1 << 20,
        tolerant: true,
    };
    /// For one extension message (BEP 10), so that a peer cannot make us hold much.
    pub const MESSAGE: Limits = Limits {
        max_len: 32 * 1024,
        max_depth: 8,
        max_nodes: 1024,
        tolerant: false,
    };
}

/// Why bytes are not an acceptable bencoded value. `at` is a byte offset into the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// The input ends inside a value.
    #[error("the data ends inside a value")]
    Truncated,
    /// A byte that cannot start or continue a value.
    #[error("unexpected byte at offset {at}")]
    Unexpected {
        /// Offset.
        at: usize,
    },
    /// Leading zero, negative zero, no digits, or too many.
    #[error("malformed integer at offset {at}")]
    Integer {
        /// Offset.
        at: usize,
    },
    /// A dictionary key that is not a byte string.
    #[error("dictionary key is not a string at offset {at}")]
    Key {
        /// Offset.
        at: usize,
    },
    /// The same key twice in one dictionary.
    #[error("duplicate dictionary key at offset {at}")]
    DuplicateKey {
        /// Offset of one of the two.
        at: usize,
    },
    /// Bytes after the top value.
    #[error("unexpected bytes after the value, from offset {at}")]
    Trailing {
        /// Offset.
        at: usize,
    },
    /// Longer than [`Limits::max_len`].
    #[error("{len} bytes are more than the {max} allowed")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Deeper than [`Limits::max_depth`].
    #[error("nested deeper than {max} levels")]
    TooDeep {
        /// Levels allowed.
        max: usize,
    },
    /// More values than [`Limits::max_nodes`].
    #[error("more than {max} values")]
    TooManyNodes {
        /// Values allowed.
        max: usize,
    },
}

/// A parsed document: the input and where its values lie. Read it from [`Document::root`].
#[derive(Clone, Debug)]
pub struct Document<'a> {
    input: &'a [u8],
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Kind,
    start: u32,
    end: u32,
    /// Index of the first node that is not inside this value.
    next: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    /// Bytes of the length prefix, colon included.
    Bytes(u8),
    List,
    Dict,
}

struct Open {
    node: usize,
    expects_key: bool,
    last_key: Option<usize>,
    sorted: bool,
}

impl<'a> Document<'a> {
    /// Reads exactly one value that fills `input`.
    pub fn parse(input: &'a [u8], limits: Limits) -> Result<Self, BencodeError> {
        let document = Self::parse_prefix(input, limits)?;
        let at = document.consumed();
        if at != input.len() {
            return Err(BencodeError::Trailing { at });
        }
        Ok(document)
    }

    /// Reads one value at the front of `input`; [`Document::consumed`] says where it ends.
    ///
    /// For BEP 9 `data` messages, whose payload follows the dictionary without a length.
    pub fn parse_prefix(input: &'a [u8], limits: Limits) -> Result<Self, BencodeError> {
        // Node offsets are u32.
        let max = limits.max_len.min(u32::MAX as usize);
        if input.len() > max {
            return Err(BencodeError::TooLong {
                len: input.len(),
                max,
            });
        }
        let mut document = Document {
            input,
            nodes: Vec::new(),
        };
        document.scan(limits)?;
        Ok(document)
    }

    /// Bytes of the input that the top value takes.
    pub fn consumed(&self) -> usize {
        self.nodes.first().map_or(0, |n| n.end as usize)
    }

    /// The top value.
    pub fn root(&self) -> Value<'_, 'a> {
        Value {
            document: self,
            index: 0,
        }
    }

    fn scan(&mut self, limits: Limits) -> Result<(), BencodeError> {
        let mut open: Vec<Open> = Vec::new();
        let mut at = 0usize;
        loop {
            let byte = *self.input.get(at).ok_or(BencodeError::Truncated)?;
            if byte == b'e' {
                let Some(closing) = open.pop() else {
                    return Err(BencodeError::Unexpected { at });
                };
                if self.nodes[closing.node].kind == Kind::Dict {
                    // A key without its value.
                    if !closing.expects_key {
                        return Err(BencodeError::Unexpected { at });
                    }
                    if !closing.sorted && !limits.tolerant {
                        self.refuse_duplicate_keys(closing.node)?;
                    }
                }
                at += 1;
                self.close(closing.node, at);
            } else {
                if self.nodes.len() >= limits.max_nodes {
                    return Err(BencodeError::TooManyNodes {
                        max: limits.max_nodes,
                    });
                }
                let is_key = open
                    .last()
                    .is_some_and(|o| o.expects_key && self.nodes[o.node].kind == Kind::Dict);
                if is_key && !byte.is_ascii_digit() {
                    return Err(BencodeError::Key { at });
                }
                let node = self.nodes.len();
                match byte {
                    b'l' | b'd' => {
                        if open.len() >= limits.max_depth {
                            return Err(BencodeError::TooDeep {
                                max: limits.max_depth,
                            });
                        }
                        let kind = if byte == b'l' { Kind::List } else { Kind::Dict };
                        self.open_node(kind, at);
                        open.push(Open {
                            node,
                            expects_key: true,
                            last_key: None,
                            sorted: true,
                        });
                        at += 1;
                        continue;
                    }
                    b'i' => {
                        self.open_node(Kind::Int, at);
                        at = self.scan_integer(at, limits.tolerant)?;
                    }
                    b'0'..=b'9' => {
                        let (prefix, end) = self.scan_string(at, limits.tolerant)?;
                        self.open_node(Kind::Bytes(prefix), at);
                        at = end;
                    }
                    _ => return Err(BencodeError::Unexpected { at }),
                }
                self.close(node, at);
                if is_key && let Some(dict) = open.last_mut() {
                    if let Some(previous) = dict.last_key {
                        let (a, b) = (self.string_at(previous), self.string_at(node));
                        if a == b && !limits.tolerant {
                            return Err(BencodeError::DuplicateKey {
                                at: self.nodes[node].start as usize,
                            });
                        }
                        dict.sorted &= a < b;
                    }
                    dict.last_key = Some(node);
                    dict.expects_key = false;
                    continue;
                }
            }
            // A value just ended: the top one, or one inside a container.
            match open.last_mut() {
                None => return Ok(()),
                Some(outer) => outer.expects_key = true,
            }
        }
    }

    fn open_node(&mut self, kind: Kind, start: usize) {
        self.nodes.push(Node {
            kind,
            start: start as u32,
            end: start as u32,
            next: 0,
        });
    }

    fn close(&mut self, node: usize, end: usize) {
        let next = self.nodes.len() as u32;
        self.nodes[node].end = end as u32;
        self.nodes[node].next = next;
    }

    /// Offset behind the `e` of the integer at `at`.
    fn scan_integer(&self, at: usize, tolerant: bool) -> Result<usize, BencodeError> {
        let bad = BencodeError::Integer { at };
        let body = &self.input[at + 1..];
        let longest = if tolerant { body.len() } else { MAX_DIGITS + 2 };
        let window = &body[..body.len().min(longest)];
        let end = |byte: &u8| !byte.is_ascii_digit() && *byte != b'-';
        let Some(len) = window.iter().position(end) else {
            return Err(if window.len() == body.len() {
                BencodeError::Truncated
            } else {
                bad
            });
        };
        let text = &window[..len];
        let is_number = match tolerant {
            true => split_sign(text).is_some(),
            false => is_canonical(text) && parse_integer(text).is_some(),
        };
        if window[len] != b'e' || !is_number {
            return Err(bad);
        }
        Ok(at + 1 + len + 1)
    }

    /// Length of the prefix with its colon, and the offset behind the string at `at`.
    fn scan_string(&self, at: usize, tolerant: bool) -> Result<(u8, usize), BencodeError> {
        let bad = BencodeError::Integer { at };
        let rest = &self.input[at..];
        let window = &rest[..rest.len().min(MAX_DIGITS + 1)];
        let digits = window.iter().position(|b| !b.is_ascii_digit()).ok_or(
            if window.len() == rest.len() {
                BencodeError::Truncated
            } else {
                bad
            },
        )?;
        if window[digits] != b':' {
            return Err(BencodeError::Unexpected { at: at + digits });
        }
        if digits > 1 && window[0] == b'0' && !tolerant {
            return Err(bad);
        }
        let len = window[..digits]
            .iter()
            .try_fold(0usize, |n, d| {
                n.checked_mul(10)?.checked_add(usize::from(d - b'0'))
            })
            .ok_or(bad)?;
        let end = (at + digits + 1)
            .checked_add(len)
            .filter(|end| *end <= self.input.len())
            .ok_or(BencodeError::Truncated)?;
        Ok((digits as u8 + 1, end))
    }

    fn refuse_duplicate_keys(&self, dict: usize) -> Result<(), BencodeError> {
        let value = Value {
            document: self,
            index: dict,
        };
        let mut keys: Vec<&[u8]> = value
            .as_dict()
            .into_iter()
            .flatten()
            .map(|(k, _)| k)
            .collect();
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(()),
            Some(_) => Err(BencodeError::DuplicateKey {
                at: self.nodes[dict].start as usize,
            }),
        }
    }

    fn string_at(&self, node: usize) -> &'a [u8] {
        let n = self.nodes[node];
        match n.kind {
            Kind::Bytes(prefix) => {
                &self.input[n.start as usize + usize::from(prefix)..n.end as usize]
            }
            _ => &[],
        }
    }
}

/// Whether there is a minus, and the digits, of which there is at least one and nothing else.
fn split_sign(text: &[u8]) -> Option<(bool, &[u8])> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let whole = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    whole.then_some((negative, digits))
}

/// Whether a number has no zero before it, and no minus before a zero.
fn is_canonical(text: &[u8]) -> bool {
    text == b"0" || !text.strip_prefix(b"-").unwrap_or(text).starts_with(b"0")
}

/// Digits with an optional minus, within `i64` or `u64`.
fn parse_integer(text: &[u8]) -> Option<i128> {
    let (negative, digits) = split_sign(text)?;
    let zeros = digits.iter().take_while(|d| **d == b'0').count();
    let digits = &digits[zeros..];
    if digits.len() > MAX_DIGITS {
        return None;
    }
    let magnitude = digits
        .iter()
        .fold(0i128, |n, d| n * 10 + i128::from(d - b'0'));
    let n = if negative { -magnitude } else { magnitude };
    (i128::from(i64::MIN)..=i128::from(u64::MAX))
        .contains(&n)
        .then_some(n)
}

/// One value of a [`Document`]; cheap to copy. Strings borrow from the input.
#[derive(Clone, Copy, Debug)]
pub struct Value<'d, 'a> {
    document: &'d Document<'a>,
    index: usize,
}

impl<'d, 'a> Value<'d, 'a> {
    fn node(&self) -> Node {
        self.document.nodes[self.index]
    }

    /// Where the value's exact bytes lie in the input.
    pub fn range(&self) -> Range<usize> {
        let n = self.node();
        n.start as usize..n.end as usize
    }

    /// The value's exact bytes.
    pub fn raw(&self) -> &'a [u8] {
        &self.document.input[self.range()]
    }

    /// The string's content, if this is a string.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        matches!(self.node().kind, Kind::Bytes(_)).then(|| self.document.string_at(self.index))
    }

    /// The string's content, if this is a string in UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The string's content as text of at most `max_len` bytes, if this is a string. Bytes that are not UTF-8 are
    /// replaced, and the rest of a longer text is cut off.
    pub fn as_text(&self, max_len: usize) -> Option<String> {
        let bytes = self.as_bytes()?;
        let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(max_len)]).into_owned();
        let mut end = text.len().min(max_len);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        Some(text)
    }

    /// The integer, if this is one.
    pub fn as_int(&self) -> Option<i128> {
        let raw = self.raw();
        match self.node().kind {
            Kind::Int => parse_integer(&raw[1..raw.len() - 1]),
            _ => None,
        }
    }

    /// The integer, if this is one from 0 to `u64::MAX`.
    pub fn as_u64(&self) -> Option<u64> {
        u64::try_from(self.as_int()?).ok()
    }

    /// The integer, if this is one from 0 to `u32::MAX`.
    pub fn as_u32(&self) -> Option<u32> {
        u32::try_from(self.as_int()?).ok()
    }

    /// The items, if this is a list.
    pub fn as_list(&self) -> Option<impl Iterator<Item = Value<'d, 'a>> + use<'d, 'a>> {
        (self.node().kind == Kind::List).then(|| self.children())
    }

    /// Keys with their values in the order of the input, if this is a dictionary.
    pub fn as_dict(&self) -> Option<impl Iterator<Item = (&'a [u8], Value<'d, 'a>)> + use<'d, 'a>> {
        let mut children = (self.node().kind == Kind::Dict).then(|| self.children())?;
        Some(core::iter::from_fn(move || {
            let key = children.next()?.as_bytes()?;
            Some((key, children.next()?))
        }))
    }

    /// The value under `key`, the first if there are several, if this is a dictionary that has it.
    /// Linear in the number of keys.
    pub fn get(&self, key: &[u8]) -> Option<Value<'d, 'a>> {
        self.as_dict()?.find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    fn children(&self) -> impl Iterator<Item = Value<'d, 'a>> + use<'d, 'a> {
        let document = self.document;
        let end = self.node().next as usize;
        // A container that is still being scanned has no `next` yet: everything so far is inside.
        let end = if end == 0 { document.nodes.len() } else { end };
        let mut at = self.index + 1;
        core::iter::from_fn(move || {
            (at < end).then(|| {
                let value = Value {
                    document,
                    index: at,
                };
                at = value.node().next as usize;
                value
            })
        })
    }
}

/// A value to be written. Built only by our own code, so its depth is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An integer.
    Int(i128),
    /// A byte string.
    Bytes(Cow<'a, [u8]>),
    /// A list.
    List(Vec<Item<'a>>),
    /// A dictionary; the map keeps its keys in canonical order.
    Dict(Map<Cow<'a, [u8]>, Item<'a>>),
    /// A value that is bencoded already, written as it is.
    Raw(&'a [u8]),
}

impl<'a> Item<'a> {
    /// A byte string.
    pub fn bytes(value: impl Into<Cow<'a, [u8]>>) -> Self {
        Item::Bytes(value.into())
    }

    /// A byte string that holds UTF-8.
    pub fn str(value: &'a str) -> Self {
        Item::Bytes(Cow::Borrowed(value.as_bytes()))
    }

    /// A dictionary of `entries`; a later entry replaces an earlier one of the same key.
    pub fn dict<K: Into<Cow<'a, [u8]>>>(entries: impl IntoIterator<Item = (K, Item<'a>)>) -> Self {
        Item::Dict(entries.into_iter().map(|(k, v)| (k.into(), v)).collect())
    }

    /// Appends the canonical encoding to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Item::Int(n) => {
                // Numbers of 128 bits are printed by code of their own, which a page loads only for one.
                let digits = match (u64::try_from(*n), i64::try_from(*n)) {
                    (Ok(n), _) => n.to_string(),
                    (_, Ok(n)) => n.to_string(),
                    _ => n.to_string(),
                };
                out.extend_from_slice(format!("i{digits}e").as_bytes());
            }
            Item::Bytes(bytes) => encode_string(bytes, out),
            Item::List(items) => {
                out.push(b'l');
                for item in items {
                    item.encode(out);
                }
                out.push(b'e');
            }
            Item::Dict(entries) => {
                out.push(b'd');
                for (key, item) in entries {
                    encode_string(key, out);
                    item.encode(out);
                }
                out.push(b'e');
            }
            Item::Raw(raw) => out.extend_from_slice(raw),
        }
    }

    /// The canonical encoding.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

fn encode_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STRICT: Limits = Limits {
        tolerant: false,
        ..Limits::TORRENT
    };

    fn parse(input: &[u8]) -> Result<Document<'_>, BencodeError> {
        Document::parse(input, STRICT)
    }

    fn parse_tolerantly(input: &[u8]) -> Result<Document<'_>, BencodeError> {
        Document::parse(input, Limits::TORRENT)
    }

    #[test]
    fn values_give_their_content_and_their_exact_bytes() {
        let input = b"d1:ai-42e1:bl3:xyzi18446744073709551615ee1:cdee";
        let document = parse(input).unwrap();
        let root = document.root();
        assert_eq!(root.raw(), input);
        assert_eq!(root.get(b"a").unwrap().as_int(), Some(-42));
        assert_eq!(root.get(b"a").unwrap().as_u64(), None);
        let list: Vec<_> = root.get(b"b").unwrap().as_list().unwrap().collect();
        assert_eq!(list[0].as_str(), Some("xyz"));
        assert_eq!(list[1].as_u64(), Some(u64::MAX));
        assert_eq!(
            root.get(b"b").unwrap().raw(),
            b"l3:xyzi18446744073709551615ee"
        );
        assert_eq!(root.get(b"b").unwrap().range(), 12..41);
        assert_eq!(root.get(b"c").unwrap().as_dict().unwrap().count(), 0);
        assert!(root.get(b"d").is_none());
    }

    #[test]
    fn malformed_values_are_refused_with_their_place() {
        use BencodeError::*;
        for (input, error) in [
            (&b""[..], Truncated),
            (b"i1", Truncated),
            (b"i", Truncated),
            (b"4:abc", Truncated),
            (b"4", Truncated),
            (b"99999999999999999999:", Integer { at: 0 }),
            (b"999999999999999999999:", Integer { at: 0 }),
            (b"l", Truncated),
            (b"d1:a", Truncated),
            (b"e", Unexpected { at: 0 }),
            (b"x", Unexpected { at: 0 }),
            (b"1x", Unexpected { at: 1 }),
            (b"-1:", Unexpected { at: 0 }),
            (b"d1:ae", Unexpected { at: 4 }),
            (b"d1:ai1e1:be", Unexpected { at: 10 }),
            (b"ie", Integer { at: 0 }),
            (b"i-e", Integer { at: 0 }),
            (b"i01e", Integer { at: 0 }),
            (b"i-0e", Integer { at: 0 }),
            (b"i+1e", Integer { at: 0 }),
            (b"i1.5e", Integer { at: 0 }),
            (b"i18446744073709551616e", Integer { at: 0 }),
            (b"i-9223372036854775809e", Integer { at: 0 }),
            (b"i999999999999999999999999e", Integer { at: 0 }),
            (b"01:a", Integer { at: 0 }),
            (b"di1ei2ee", Key { at: 1 }),
            (b"dlei2ee", Key { at: 1 }),
            (b"d1:ai1e1:ai2ee", DuplicateKey { at: 7 }),
            (b"d1:bi1e1:ai2e1:bi3ee", DuplicateKey { at: 0 }),
            (b"i1e ", Trailing { at: 3 }),
        ] {
            assert_eq!(parse(input).map(|_| ()), Err(error), "{input:?}");
        }
    }

    #[test]
    fn what_the_field_takes_is_read_where_that_is_asked_for() {
        for (input, number) in [
            (&b"i-0e"[..], Some(0)),
            (b"i00e", Some(0)),
            (b"i0170e", Some(170)),
            (b"i-007e", Some(-7)),
            (b"i0000000000000000000000000000000000007e", Some(7)),
            (b"i18446744073709551615e", Some(i128::from(u64::MAX))),
            (b"i18446744073709551616e", None),
            (b"i99999999999999999999e", None),
            (b"i-9223372036854775809e", None),
            (b"i999999999999999999999999999999999999999999999999e", None),
        ] {
            let document = parse_tolerantly(input).unwrap();
            assert_eq!(document.root().as_int(), number, "{input:?}");
            assert_eq!(document.root().as_bytes(), None);
            assert_eq!(document.consumed(), input.len());
        }
        for (input, text) in [
            (&b"07:letters"[..], "letters"),
            (b"000:", ""),
            (b"0001:a", "a"),
        ] {
            let document = parse_tolerantly(input).unwrap();
            assert_eq!(document.root().as_str(), Some(text));
            assert_eq!(document.root().raw(), input);
        }
        // Next to each other, and apart.
        for input in [
            &b"d1:ai1e1:ai2ee"[..],
            b"d1:ai1e1:b0:1:ai2ee",
            b"d1:b0:1:ai1e1:ai2ee",
        ] {
            let document = parse_tolerantly(input).unwrap();
            assert_eq!(document.root().get(b"a").unwrap().as_int(), Some(1));
        }
        for input in [
            &b"ie"[..],
            b"i-e",
            b"i+1e",
            b"i1.5e",
            b"i1-e",
            b"i--1e",
            b"i 1e",
            b"0x1:a",
            b"-1:a",
            b"99999999999999999999:",
            b"d1:ae",
            b"di1ei2ee",
            b"i1e ",
            b"\ni1e",
            b"i1",
        ] {
            assert!(parse_tolerantly(input).is_err(), "{input:?}");
        }
    }

    #[test]
    fn keys_out_of_order_are_read() {
        let document = parse(b"d1:bi1e1:ai2e1:cd1:zi1e1:yi2eee").unwrap();
        assert_eq!(document.root().get(b"a").unwrap().as_int(), Some(2));
        let inner = document.root().get(b"c").unwrap();
        assert_eq!(inner.get(b"y").unwrap().as_int(), Some(2));
    }

    #[test]
    fn a_prefix_says_where_it_ends() {
        let document = Document::parse_prefix(b"d1:ai1eerest", Limits::MESSAGE).unwrap();
        assert_eq!(document.consumed(), 8);
    }

    #[test]
    fn depth_length_and_number_of_values_are_bounded() {
        let limits = Limits {
            max_len: 100,
            max_depth: 3,
            max_nodes: 5,
            tolerant: false,
        };
        assert!(Document::parse(b"llleee", limits).is_ok());
        let deep = Document::parse(b"lllleeee", limits).map(|_| ());
        assert_eq!(deep, Err(BencodeError::TooDeep { max: 3 }));
        assert!(Document::parse(b"l0:0:0:0:e", limits).is_ok());
        let many = Document::parse(b"l0:0:0:0:0:e", limits).map(|_| ());
        assert_eq!(many, Err(BencodeError::TooManyNodes { max: 5 }));
        let long = Document::parse(&[b'l'; 101], limits).map(|_| ());
        assert_eq!(long, Err(BencodeError::TooLong { len: 101, max: 100 }));
        // A million brackets neither overflow the stack nor take long.
        let brackets = vec![b'l'; 1_000_000];
        assert_eq!(
            parse(&brackets).map(|_| ()),
            Err(BencodeError::TooDeep { max: 64 })
        );
    }

    #[test]
    fn the_writer_sorts_keys() {
        let entries: [(&[u8], Item<'_>); 3] = [
            (b"b", Item::Int(-1)),
            (b"aa", Item::List(vec![Item::str("x"), Item::Raw(b"i7e")])),
            (b"a", Item::bytes(vec![0u8, 255])),
        ];
        assert_eq!(
            Item::dict(entries).to_vec(),
            b"d1:a2:\x00\xff2:aal1:xi7ee1:bi-1ee"
        );
    }

    fn item() -> impl Strategy<Value = Item<'static>> {
        let leaf = prop_oneof![
            (i64::MIN..=i64::MAX).prop_map(|n| Item::Int(i128::from(n))),
            any::<u64>().prop_map(|n| Item::Int(i128::from(n))),
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(Item::bytes),
        ];
        leaf.prop_recursive(5, 64, 8, |inner| {
            let key = proptest::collection::vec(any::<u8>(), 0..6);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Item::List),
                proptest::collection::vec((key, inner), 0..8).prop_map(Item::dict),
            ]
        })
    }

    fn to_item<'a>(value: Value<'_, 'a>) -> Item<'a> {
        if let Some(n) = value.as_int() {
            Item::Int(n)
        } else if let Some(bytes) = value.as_bytes() {
            Item::bytes(bytes)
        } else if let Some(items) = value.as_list() {
            Item::List(items.map(to_item).collect())
        } else {
            Item::dict(value.as_dict().unwrap().map(|(k, v)| (k, to_item(v))))
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(item in item()) {
            let bytes = item.to_vec();
            let document = parse(&bytes).unwrap();
            prop_assert_eq!(to_item(document.root()), item);
        }

        #[test]
        fn a_damaged_document_never_panics(
            item in item(),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = item.to_vec();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(document) = parse(&bytes) {
                // An accepted document is consistent: its canonical form means the same.
                let read = to_item(document.root());
                let canonical = read.to_vec();
                prop_assert_eq!(to_item(parse(&canonical).unwrap().root()), read);
            }
        }

        #[test]
        fn every_truncation_is_refused(item in item(), at in any::<prop::sample::Index>()) {
            let bytes = item.to_vec();
            let cut = at.index(bytes.len());
            prop_assert!(parse(&bytes[..cut]).is_err());
        }
    }
}
