//! Reading JSON (RFC 8259) without a tree: a cursor over the text that hands out one value after the other.
//!
//! Owns the grammar and nothing of the protocol. A value that the caller does not take is checked and passed over. It
//! is small on purpose: a page loads this, and the general deserialiser weighs ten times as much there. The server
//! reads far more, and keeps that one. A test compares the two. Nesting deeper than [`MAX_DEPTH`] is an error, so no
//! text exhausts the stack.

use crate::lenient::{Field, Leaf};
use std::borrow::Cow;

/// How deep arrays and objects may stand in each other.
const MAX_DEPTH: u32 = 127;

/// The text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

/// A place in a text. After an error it is of no use.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// At the start of a text.
    pub(crate) fn new(text: &'a str) -> Self {
        Reader {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(mut self) -> Result<(), NotJson> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(NotJson),
        }
    }

    /// Reads an object: `member` is called with each key, its escapes resolved, and must read the value. `false`, with
    /// the value passed over: it is no object.
    pub(crate) fn object(
        &mut self,
        member: &mut dyn FnMut(&mut Self, &str) -> Result<(), NotJson>,
    ) -> Result<bool, NotJson> {
        if self.peek() != Some(b'{') {
            self.skip()?;
            return Ok(false);
        }
        self.sequence(b'}', &mut |reader| {
            let key = reader.key()?;
            member(reader, &key)
        })?;
        Ok(true)
    }

    /// Reads an array: `item` must read each value. `false`, with the value passed over: it is no array.
    pub(crate) fn array(
        &mut self,
        item: &mut dyn FnMut(&mut Self) -> Result<(), NotJson>,
    ) -> Result<bool, NotJson> {
        if self.peek() != Some(b'[') {
            self.skip()?;
            return Ok(false);
        }
        self.sequence(b']', item)?;
        Ok(true)
    }

    /// Reads a string or a number as the type that is expected there.
    pub(crate) fn leaf<T: Leaf>(&mut self) -> Result<Field<T>, NotJson> {
        let value = self.literal()?;
        let found = match value.as_bytes().first() {
            Some(b'n') => return Ok(Field::Absent),
            Some(b'"') => unescaped(value).and_then(|text| T::from_str(&text)),
            Some(b'0'..=b'9') => value.parse().ok().and_then(T::from_u64),
            _ => None,
        };
        Ok(found.map_or(Field::Wrong, Field::Is))
    }

    /// Passes over any value and answers its text as it stands there.
    pub(crate) fn literal(&mut self) -> Result<&'a str, NotJson> {
        self.peek();
        let from = self.at;
        self.skip()?;
        Ok(&self.text[from..self.at])
    }

    fn skip(&mut self) -> Result<(), NotJson> {
        match self.peek().ok_or(NotJson)? {
            b'"' => self.string(),
            b'{' => self.sequence(b'}', &mut |reader| {
                reader.key()?;
                reader.skip()
            }),
            b'[' => self.sequence(b']', &mut Self::skip),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    /// Key and colon. A key whose escapes name no text matches no name.
    fn key(&mut self) -> Result<Cow<'a, str>, NotJson> {
        if self.peek() != Some(b'"') {
            return Err(NotJson);
        }
        let from = self.at;
        self.string()?;
        let key = unescaped(&self.text[from..self.at]).unwrap_or_default();
        self.take(b':')?;
        Ok(key)
    }

    /// `[` or `{`, the values between the commas, and the end.
    fn sequence(
        &mut self,
        close: u8,
        item: &mut dyn FnMut(&mut Self) -> Result<(), NotJson>,
    ) -> Result<(), NotJson> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(NotJson);
        }
        if self.peek() == Some(close) {
            self.at += 1;
        } else {
            loop {
                item(self)?;
                if self.peek() == Some(b',') {
                    self.at += 1;
                } else {
                    break self.take(close)?;
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = self.byte()?;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, expected: u8) -> Result<(), NotJson> {
        if self.peek() != Some(expected) {
            return Err(NotJson);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), NotJson> {
        if !self.text[self.at..].starts_with(word) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(())
    }

    fn string(&mut self) -> Result<(), NotJson> {
        self.at += 1;
        loop {
            let byte = self.byte().ok_or(NotJson)?;
            self.at += 1;
            match byte {
                b'"' => return Ok(()),
                0..=0x1f => return Err(NotJson),
                b'\\' => {
                    let escape = self.byte().ok_or(NotJson)?;
                    self.at += 1;
                    match escape {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            for _ in 0..4 {
                                let digit = self.byte().ok_or(NotJson)?;
                                if !digit.is_ascii_hexdigit() {
                                    return Err(NotJson);
                                }
                                self.at += 1;
                            }
                        }
                        _ => return Err(NotJson),
                    }
                }
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Result<(), NotJson> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let first = self.at;
        self.digits()?;
        if self.at > first + 1 && self.text.as_bytes()[first] == b'0' {
            return Err(NotJson);
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let from = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == from {
            return Err(NotJson);
        }
        Ok(())
    }
}

/// The text that a well-formed string literal stands for. `None`: half of a surrogate pair.
pub(crate) fn unescaped(literal: &str) -> Option<Cow<'_, str>> {
    let inner = literal.get(1..literal.len().saturating_sub(1))?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1)?;
        rest = rest.get(at + 2..)?;
        text.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = hex(&mut rest)?;
                let code = if (0xd800..0xdc00).contains(&high) {
                    rest = rest.strip_prefix("\\u")?;
                    let low = hex(&mut rest)?;
                    let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                    0x1_0000 + ((high - 0xd800) << 10) + low
                } else {
                    high
                };
                char::from_u32(code)?
            }
            other => char::from(*other),
        });
    }
    text.push_str(rest);
    Some(Cow::Owned(text))
}

fn hex(rest: &mut &str) -> Option<u32> {
    let (digits, behind) = rest.split_at_checked(4)?;
    *rest = behind;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts(text: &str) -> bool {
        let mut reader = Reader::new(text);
        reader.literal().is_ok() && reader.end().is_ok()
    }

    fn text() -> impl Strategy<Value = String> {
        let token = prop_oneof![prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            " ",
            "\n",
            "true",
            "false",
            "null",
            "nul",
            "-",
            "0",
            "7",
            "12",
            ".",
            "e",
            "E+",
            "\"a\"",
            "\"\\u00e9\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"\\n\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "{\"k\":1}",
            "[1,2]",
            "\u{1}",
            "é",
            "😀",
        ]),];
        prop::collection::vec(token, 0..14).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn what_is_json_is_what_the_general_reader_takes_for_it(text in text()) {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(accepts(&text), theirs, "{}", text);
        }

        #[test]
        fn a_string_stands_for_what_the_general_reader_makes_of_it(text in text()) {
            let literal = format!("\"{}\"", text.replace('"', ""));
            if accepts(&literal) {
                let theirs = serde_json::from_str::<String>(&literal).ok();
                prop_assert_eq!(unescaped(&literal).map(Cow::into_owned), theirs);
            }
        }

        #[test]
        fn any_string_is_read_as_it_was_written(text in any::<String>()) {
            let literal = serde_json::to_string(&text).unwrap();
            prop_assert!(accepts(&literal));
            prop_assert_eq!(unescaped(&literal).map(Cow::into_owned), Some(text));
        }

        #[test]
        fn a_number_is_a_count_where_the_general_reader_sees_one(text in "-?[0-9]{1,22}(\\.[0-9]{1,3})?(e-?[0-9])?") {
            let ours = Reader::new(&text).leaf::<u64>().ok().map(Field::ok);
            let theirs = serde_json::from_str::<serde_json::Value>(&text).ok().map(|value| value.as_u64());
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_the_end_of_the_stack() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(accepts(&nested(MAX_DEPTH as usize)));
        assert!(!accepts(&nested(MAX_DEPTH as usize + 1)));
        assert!(!accepts(&"[".repeat(60_000)));
    }
}
