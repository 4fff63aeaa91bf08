//! The messages of stock peers, as WebSocket frames, and the part of the replies that the load must understand.
//!
//! Names carry their meaning: an offer's id begins with the number of its announce and its place in it, in hexadecimal.

use memchr::memmem;

/// Lengths of session descriptions, in bytes: a data channel with few and with many candidates.
const SDP_LENGTHS: [usize; 4] = [1_500, 2_000, 3_000, 4_800];
/// Of 20-byte values, as JSON: the rest behind the meaning, as random as real ones: escapes, two-byte characters.
const NOISE: [&str; 11] = [
    "\u{e9}", "\\u0007", "K", "\u{b1}", "\\\"", "\u{fe}", "z", "\\\\", "\u{91}", "\u{3c}", "\u{d7}",
];
/// The number of an announce in an offer's id, and the place of the offer.
const INDEX_DIGITS: usize = 8;
/// Not zero: some servers do not unmask with zeros.
const MASK: [u8; 4] = [0x5a, 0x13, 0xc7, 0x2e];

/// Offers of an announce: five to ten, as clients send them.
pub fn offers_of(index: u32) -> usize {
    5 + index as usize % 6
}

/// Session descriptions made once, as JSON strings without quotes.
pub struct Descriptions(Vec<String>);

impl Descriptions {
    /// In all the lengths.
    pub fn make() -> Self {
        Descriptions(
            SDP_LENGTHS
                .iter()
                .map(|length| description(*length))
                .collect(),
        )
    }

    /// The one that belongs to an offer, and to its answer.
    pub fn of(&self, index: u32, place: usize) -> &str {
        let at = (index as usize + place) % self.0.len().max(1);
        self.0.get(at).map_or("", String::as_str)
    }
}

/// The offer of a browser's data channel, with as many candidates as it takes.
fn description(length: usize) -> String {
    let mut text = String::from(concat!(
        r"v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n",
        r"a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
        r"c=IN IP4 0.0.0.0\r\na=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlsv\r\na=ice-options:trickle\r\n",
        r"a=fingerprint:sha-256 7B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08\r\n",
        r"a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n",
    ));
    let mut port = 49_152;
    while text.len() < length {
        port += 7;
        text.push_str(&format!(
            r"a=candidate:1467250027 1 udp 2122260223 192.168.{}.{} {port} typ host generation 0 network-id 1 network-cost 10\r\n",
            port % 250,
            port % 241,
        ));
    }
    text
}

/// The info hash of a swarm, as JSON without quotes.
pub fn info_hash(swarm: usize) -> String {
    format!("{swarm:09x}{}", NOISE.concat())
}

/// The id of a connection's peer, as JSON without quotes.
pub fn peer_id(connection: usize) -> String {
    format!("-WW0300-{connection:012x}")
}

/// An announce; with no offers it only joins.
pub fn announce(
    index: u32,
    hash: &str,
    peer: &str,
    offers: usize,
    descriptions: &Descriptions,
) -> String {
    let event = if offers == 0 {
        r#","event":"started""#
    } else {
        ""
    };
    let mut text = String::with_capacity(512 + offers * 4_096);
    text.push_str(&format!(
        r#"{{"numwant":{offers},"uploaded":0,"downloaded":1048576,"left":7340032{event},"action":"announce","info_hash":"{hash}","peer_id":"{peer}","offers":["#
    ));
    for place in 0..offers {
        let comma = if place == 0 { "" } else { "," };
        text.push_str(&format!(
            r#"{comma}{{"offer":{{"type":"offer","sdp":"{}"}},"offer_id":"{}"}}"#,
            descriptions.of(index, place),
            offer_id(index, place),
        ));
    }
    text.push_str("]}");
    text
}

/// The answer to an offer.
pub fn answer(
    introduction: Introduction,
    hash: &str,
    peer: &str,
    to: &str,
    descriptions: &Descriptions,
) -> String {
    let Introduction { index, place } = introduction;
    format!(
        r#"{{"action":"announce","info_hash":"{hash}","peer_id":"{peer}","to_peer_id":"{to}","answer":{{"type":"answer","sdp":"{}"}},"offer_id":"{}"}}"#,
        descriptions.of(index, place),
        offer_id(index, place),
    )
}

fn offer_id(index: u32, place: usize) -> String {
    format!("{index:08x}{place:x}{}", NOISE.concat())
}

/// An announce, and one of its offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The announce.
    pub index: u32,
    /// The offer's place in it.
    pub place: usize,
}

/// A message of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The reply to an announce.
    Reply,
    /// Somebody's offer.
    Offer(Introduction),
    /// Somebody's answer.
    Answer(Introduction),
    /// A refusal, or a message that does not belong here; a text that was changed on its way counts, too.
    Refused,
}

/// Tells the kind of a message. A session description cannot be mistaken for a field: inside a string its quotes are
/// escaped.
pub fn understand(text: &[u8], descriptions: &Descriptions) -> Received {
    let Some(introduction) = introduction(text) else {
        let has = |field: &[u8]| memmem::find(text, field).is_some();
        return match has(b"\"interval\":") && !has(b"\"failure reason\"") {
            true => Received::Reply,
            false => Received::Refused,
        };
    };
    let expected = descriptions.of(introduction.index, introduction.place);
    let intact = memmem::find(text, b"\"sdp\":\"").is_some_and(|at| {
        let from = at + b"\"sdp\":\"".len();
        text.get(from..).is_some_and(|rest| {
            rest.starts_with(expected.as_bytes()) && rest.get(expected.len()) == Some(&b'"')
        })
    });
    if !intact {
        Received::Refused
    } else if memmem::find(text, b"\"answer\":{").is_some() {
        Received::Answer(introduction)
    } else {
        Received::Offer(introduction)
    }
}

fn introduction(text: &[u8]) -> Option<Introduction> {
    const FIELD: &[u8] = b"\"offer_id\":\"";
    let from = memmem::find(text, FIELD)? + FIELD.len();
    let name = std::str::from_utf8(text.get(from..from + INDEX_DIGITS + 1)?).ok()?;
    let (index, place) = name.split_at_checked(INDEX_DIGITS)?;
    Some(Introduction {
        index: u32::from_str_radix(index, 16).ok()?,
        place: usize::from_str_radix(place, 16).ok()?,
    })
}

/// Appends a text message as a client's frame (RFC 6455 section 5.2), masked.
pub fn push_frame(out: &mut Vec<u8>, text: &str) {
    out.push(0x81);
    match text.len() {
        length @ ..126 => out.push(0x80 | length as u8),
        length => {
            // Nothing here is longer than 64 KiB: servers refuse that.
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let from = out.len();
    out.extend_from_slice(text.as_bytes());
    for chunk in out[from..].chunks_mut(4) {
        for (byte, mask) in chunk.iter_mut().zip(MASK) {
            *byte ^= mask;
        }
    }
}

/// An empty pong.
pub const PONG: [u8; 6] = [0x8a, 0x80, MASK[0], MASK[1], MASK[2], MASK[3]];

/// One frame of a server.
pub struct Frame<'a> {
    /// Its kind: 1 text, 8 close, 9 ping.
    pub opcode: u8,
    /// Its content.
    pub payload: &'a [u8],
    /// Its bytes, head and all.
    pub length: usize,
}

/// The first frame in the bytes that were read; `None` while it is incomplete.
pub fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (head, length): (usize, usize) = match second & 0x7f {
        126 => (
            4,
            u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?) as usize,
        ),
        127 => (
            10,
            u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize,
        ),
        short => (2, short as usize),
    };
    let end = head.checked_add(length)?;
    Some(Frame {
        opcode: first & 15,
        payload: bytes.get(head..end)?,
        length: end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_json_with_values_of_twenty_bytes() {
        let descriptions = Descriptions::make();
        let text = announce(0xabc, &info_hash(3), &peer_id(7), 10, &descriptions);
        assert!(text.len() < 1 << 16, "{}", text.len());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let length = |value: &serde_json::Value| value.as_str().unwrap().chars().count();
        assert_eq!(
            (length(&value["info_hash"]), length(&value["peer_id"])),
            (20, 20)
        );
        assert_eq!(value["offers"].as_array().unwrap().len(), 10);
        assert_eq!(length(&value["offers"][9]["offer_id"]), 20);
        let sdp = value["offers"][0]["offer"]["sdp"].as_str().unwrap();
        assert!(sdp.len() >= 1_400 && sdp.ends_with("\r\n"));
    }

    #[test]
    fn a_relayed_offer_is_recognised_and_a_changed_one_refused() {
        let descriptions = Descriptions::make();
        let wanted = Introduction {
            index: 77,
            place: 9,
        };
        let sdp = descriptions.of(77, 9);
        let text = format!(
            r#"{{"action":"announce","offer":{{"type":"offer","sdp":"{sdp}"}},"offer_id":"{}"}}"#,
            offer_id(77, 9)
        );
        assert_eq!(
            understand(text.as_bytes(), &descriptions),
            Received::Offer(wanted)
        );
        let answer = answer(wanted, "h", "p", "t", &descriptions);
        assert_eq!(
            understand(answer.as_bytes(), &descriptions),
            Received::Answer(wanted)
        );
        let changed = text.replacen("v=0", "v=1", 1);
        assert_eq!(
            understand(changed.as_bytes(), &descriptions),
            Received::Refused
        );
        let refusal = br#"{"action":"announce","failure reason":"no","interval":1}"#;
        assert_eq!(understand(refusal, &descriptions), Received::Refused);
        assert_eq!(
            understand(br#"{"interval":120}"#, &descriptions),
            Received::Reply
        );
    }

    #[test]
    fn frames_of_every_length_survive() {
        for length in [0, 125, 126, 4_000] {
            let text = "x".repeat(length);
            let mut bytes = Vec::new();
            push_frame(&mut bytes, &text);
            // Undo the client's masking: a server does not mask.
            let mask_at = bytes.len() - length - 4;
            bytes.drain(mask_at..mask_at + 4);
            bytes[1] &= 0x7f;
            for (at, byte) in bytes[mask_at..].iter_mut().enumerate() {
                *byte ^= MASK[at % 4];
            }
            assert!(frame(&bytes[..bytes.len() - 1]).is_none());
            let read = frame(&bytes).unwrap();
            assert_eq!(
                (read.opcode, read.payload, read.length),
                (1, text.as_bytes(), bytes.len())
            );
        }
    }
}
