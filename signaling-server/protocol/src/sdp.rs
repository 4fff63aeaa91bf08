//! A session description as it lies in the message: one JSON string, quotes and escapes included.

use crate::reader::{NotJson, Reader, unescaped};
use crate::{MAX_SDP_LEN, json, lenient};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A session description (RFC 8866) in its JSON form, borrowed from the message it came in.
///
/// Holds a complete, valid JSON string of at most [`MAX_SDP_LEN`] bytes, so it can be relayed
/// as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdp<'a>(Cow<'a, str>);

impl<'a> Sdp<'a> {
    /// From plain text. `None` if its JSON form is longer than [`MAX_SDP_LEN`].
    pub fn from_text(text: &str) -> Option<Sdp<'static>> {
        if text.len() > MAX_SDP_LEN {
            return None;
        }
        let mut literal = String::with_capacity(text.len() + text.len() / 16 + 2);
        json::push_str(&mut literal, text);
        (literal.len() <= MAX_SDP_LEN).then_some(Sdp(Cow::Owned(literal)))
    }

    /// The JSON string, with its quotes.
    pub fn json(&self) -> &str {
        &self.0
    }

    /// The plain text.
    pub fn to_text(&self) -> String {
        // The constructors let only valid literals in.
        unescaped(&self.0).unwrap_or_default().into_owned()
    }

    /// The same, borrowing this one's text.
    pub fn borrowed(&self) -> Sdp<'_> {
        Sdp(Cow::Borrowed(&self.0))
    }

    /// The same, owning its text.
    pub fn into_owned(self) -> Sdp<'static> {
        Sdp(Cow::Owned(self.0.into_owned()))
    }

    /// From any JSON value as it stands in the message.
    fn from_literal(literal: &'a str) -> Option<Self> {
        if !literal.starts_with('"') || literal.len() > MAX_SDP_LEN {
            return None;
        }
        // The scan that found the literal's end does not check surrogates: half a pair would break strict receivers.
        if literal.as_bytes().windows(2).any(|two| two == b"\\u") && unescaped(literal).is_none() {
            return None;
        }
        Some(Sdp(Cow::Borrowed(literal)))
    }

    /// Reads `{"type": KIND, "sdp": "..."}`; anything else, of whatever shape, is passed over.
    pub(crate) fn read(
        reader: &mut Reader<'a>,
        kind: &str,
    ) -> Result<lenient::Field<Self>, NotJson> {
        let mut kind_matches = false;
        let mut sdp = None;
        let from = reader.literal()?;
        if from == "null" {
            return Ok(lenient::Field::Absent);
        }
        Reader::new(from).object(&mut |reader, key| {
            let value = reader.literal()?;
            match key {
                "type" => {
                    kind_matches =
                        value.starts_with('"') && unescaped(value).is_some_and(|text| text == kind);
                }
                "sdp" => sdp = Sdp::from_literal(value),
                _ => {}
            }
            Ok(())
        })?;
        Ok(match sdp {
            Some(sdp) if kind_matches => lenient::Field::Is(sdp),
            _ => lenient::Field::Wrong,
        })
    }

    /// Appends `{"type":KIND,"sdp":...}`.
    pub(crate) fn push(&self, out: &mut String, kind: &str) {
        out.push_str("{\"type\":\"");
        out.push_str(kind);
        out.push_str("\",\"sdp\":");
        out.push_str(&self.0);
        out.push('}');
    }
}

/// Reads `{"type": KIND, "sdp": "..."}`; anything else, of whatever shape, is consumed and is `None`.
pub(crate) struct SdpSeed(pub(crate) &'static str);

impl<'de> DeserializeSeed<'de> for SdpSeed {
    type Value = lenient::Field<Sdp<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SdpSeed {
    type Value = lenient::Field<Sdp<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session description")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut kind_matches = false;
        let mut sdp = None;
        while let Some(key) = map.next_key_seed(lenient::KeySeed(&["type", "sdp"]))? {
            match key {
                Some(0) => {
                    kind_matches = map.next_value_seed(lenient::Is(self.0))?;
                }
                Some(_) => sdp = Sdp::from_literal(map.next_value::<&RawValue>()?.get()),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(match sdp {
            Some(sdp) if kind_matches => lenient::Field::Is(sdp),
            _ => lenient::Field::Wrong,
        })
    }

    lenient::wrong_unless!(map);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_its_json_form() {
        let text = "v=0\r\no=- \"quoted\" \\ \u{1} é 😀\r\n";
        let sdp = Sdp::from_text(text).unwrap();
        assert_eq!(sdp.to_text(), text);
    }

    #[test]
    fn length_limit_counts_the_json_form() {
        assert!(Sdp::from_text(&"a".repeat(MAX_SDP_LEN - 2)).is_some());
        assert!(Sdp::from_text(&"a".repeat(MAX_SDP_LEN - 1)).is_none());
        assert!(Sdp::from_text(&"\n".repeat(MAX_SDP_LEN / 2)).is_none());
    }
}
