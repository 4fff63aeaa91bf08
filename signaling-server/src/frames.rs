//! WebSocket frames (RFC 6455 section 5), the server's side: reads those of a client, writes heads of its own.
//!
//! A connection keeps no buffer here: bytes are unmasked and understood where they were read, and only the beginning of
//! a frame without its end is copied. The longest message bounds that copy, however a client cuts it.

use piecework_signaling_protocol::MAX_MESSAGE_LEN;
use std::ops::ControlFlow;

/// RFC 6455 section 5.5: longest content of a control frame.
const MAX_CONTROL_LEN: usize = 125;

pub(crate) const TEXT: u8 = 1;
const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A complete message or control frame of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// Text, or bytes that are text.
    Message(&'a str),
    /// Bytes that are none.
    NoText,
    /// To be answered by a pong with the same content.
    Ping(&'a [u8]),
    /// Not asked for.
    Pong,
    /// With its code and reason, if any.
    Close(&'a [u8]),
}

/// The fault that ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Frames that are none.
    Protocol,
    /// Text that is not UTF-8.
    NotText,
    /// Longer than any message may be.
    TooBig,
}

/// Between two reads.
#[derive(Default)]
pub struct Decoder {
    /// Bytes of a frame that is not complete, or bytes that the handler did not want yet.
    rest: Vec<u8>,
    /// The frames so far of a message in several.
    fragments: Option<Box<Fragments>>,
    paused: bool,
}

struct Fragments {
    text: bool,
    bytes: Vec<u8>,
}

struct Head {
    opcode: u8,
    last: bool,
    mask: [u8; 4],
    start: usize,
    end: usize,
}

impl Decoder {
    /// Whether the handler stopped before everything was understood: call [`Decoder::feed`] with nothing new.
    pub fn paused(&self) -> bool {
        self.paused
    }

    /// Understands the bytes that were read. The handler may ask for a break, after which it gets the rest with the
    /// next call.
    pub fn feed(
        &mut self,
        read: &mut [u8],
        handle: &mut dyn FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        if self.rest.is_empty() {
            let used = self.understand(read, handle)?;
            // Exactly as much as there is: a slow peer's half frame should not cost more.
            self.rest = read.get(used..).unwrap_or_default().to_vec();
            return Ok(());
        }
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(read);
        let used = self.understand(&mut rest, handle)?;
        if used < rest.len() {
            rest.drain(..used);
            self.rest = rest;
        }
        Ok(())
    }

    fn understand(
        &mut self,
        bytes: &mut [u8],
        handle: &mut dyn FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<usize, Fault> {
        self.paused = false;
        let mut used = 0;
        while let Some(rest) = bytes.get_mut(used..)
            && let Some(head) = read_head(rest)?
        {
            self.check(&head)?;
            let Some(content) = rest.get_mut(head.start..head.end) else {
                break;
            };
            unmask(content, head.mask);
            used += head.end;
            if self.take(&head, content, handle)?.is_break() {
                self.paused = used < bytes.len();
                break;
            }
        }
        Ok(used)
    }

    /// The faults that the head alone shows, before the content is waited for.
    fn check(&self, head: &Head) -> Result<(), Fault> {
        let length = head.end - head.start;
        match head.opcode {
            0 => {
                let fragments = self.fragments.as_ref().ok_or(Fault::Protocol)?;
                match fragments.bytes.len() + length > MAX_MESSAGE_LEN {
                    true => Err(Fault::TooBig),
                    false => Ok(()),
                }
            }
            TEXT | BINARY if self.fragments.is_some() => Err(Fault::Protocol),
            TEXT | BINARY => Ok(()),
            CLOSE if length == 1 => Err(Fault::Protocol),
            CLOSE | PING | PONG if head.last && length <= MAX_CONTROL_LEN => Ok(()),
            _ => Err(Fault::Protocol),
        }
    }

    fn take(
        &mut self,
        head: &Head,
        content: &[u8],
        handle: &mut dyn FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Fault> {
        match head.opcode {
            PING => Ok(handle(Incoming::Ping(content))),
            PONG => Ok(handle(Incoming::Pong)),
            CLOSE => match content.get(2..).map(std::str::from_utf8) {
                Some(Err(_)) => Err(Fault::NotText),
                _ => Ok(handle(Incoming::Close(content))),
            },
            opcode if head.last && opcode != 0 => whole(opcode == TEXT, content, handle),
            opcode => {
                let fragments = self.fragments.get_or_insert_with(|| {
                    Box::new(Fragments {
                        text: opcode == TEXT,
                        bytes: Vec::new(),
                    })
                });
                fragments.bytes.extend_from_slice(content);
                if !head.last {
                    return Ok(ControlFlow::Continue(()));
                }
                match self.fragments.take() {
                    Some(fragments) => whole(fragments.text, &fragments.bytes, handle),
                    None => Ok(ControlFlow::Continue(())),
                }
            }
        }
    }
}

fn whole(
    text: bool,
    content: &[u8],
    handle: &mut dyn FnMut(Incoming<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Fault> {
    match std::str::from_utf8(content) {
        Ok(content) => Ok(handle(Incoming::Message(content))),
        Err(_) if text => Err(Fault::NotText),
        Err(_) => Ok(handle(Incoming::NoText)),
    }
}

/// `None`: it is not all there.
fn read_head(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    // Reserved bits belong to extensions, of which there are none; a client must mask (sections 5.2, 5.1).
    if first & 0x70 != 0 || second & 0x80 == 0 {
        return Err(Fault::Protocol);
    }
    let (length, length_len) = match second & 0x7f {
        126 => match rest.first_chunk() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 2),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (u64::from_be_bytes(*length), 8),
            None => return Ok(None),
        },
        short => (u64::from(short), 0),
    };
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= MAX_MESSAGE_LEN)
        .ok_or(Fault::TooBig)?;
    let Some(mask) = rest.get(length_len..).and_then(|rest| rest.first_chunk()) else {
        return Ok(None);
    };
    let start = 2 + length_len + mask.len();
    Ok(Some(Head {
        opcode: first & 0x0f,
        last: first & 0x80 != 0,
        mask: *mask,
        start,
        end: start + length,
    }))
}

/// Sixteen bytes at a time: the compiler makes one instruction of it.
fn unmask(content: &mut [u8], mask: [u8; 4]) {
    let wide: [u8; 16] = std::array::from_fn(|at| mask[at % 4]);
    let mut chunks = content.chunks_exact_mut(wide.len());
    for chunk in &mut chunks {
        for (byte, mask) in chunk.iter_mut().zip(wide) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(wide) {
        *byte ^= mask;
    }
}

/// One frame on its way out.
pub(crate) struct Outgoing {
    head: [u8; 10],
    head_len: u8,
    content: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    pub(crate) fn new(opcode: u8, content: Vec<u8>) -> Self {
        let mut head = [0; 10];
        let length = content.len();
        head[0] = 0x80 | opcode;
        let head_len = if length < 126 {
            head[1] = length as u8;
            2
        } else if let Ok(length) = u16::try_from(length) {
            head[1] = 126;
            head[2..4].copy_from_slice(&length.to_be_bytes());
            4
        } else {
            head[1] = 127;
            head[2..].copy_from_slice(&(length as u64).to_be_bytes());
            10
        };
        Outgoing {
            head,
            head_len,
            content,
            sent: 0,
        }
    }

    /// The rest that is still to be sent: of the head, of the content.
    pub(crate) fn left(&self) -> [&[u8]; 2] {
        let head = self.head.get(..usize::from(self.head_len)).unwrap_or(&[]);
        let of_content = self.sent.saturating_sub(head.len());
        [
            head.get(self.sent..).unwrap_or(&[]),
            self.content.get(of_content..).unwrap_or(&[]),
        ]
    }

    /// Takes the part of this frame from `sent`; answers whether all of it is sent now.
    pub(crate) fn advance(&mut self, sent: &mut usize) -> bool {
        let left: usize = self.left().iter().map(|part| part.len()).sum();
        let taken = left.min(*sent);
        self.sent += taken;
        *sent -= taken;
        taken == left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MASK: [u8; 4] = [1, 2, 3, 254];

    fn masked(first: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match content.len() {
            length @ ..126 => bytes.push(0x80 | length as u8),
            length => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&MASK);
        let content = content.iter().enumerate();
        bytes.extend(content.map(|(at, byte)| byte ^ MASK[at % 4]));
        bytes
    }

    fn decode(pieces: &[&[u8]]) -> (Vec<String>, Result<(), Fault>) {
        let (mut decoder, mut got) = (Decoder::default(), Vec::new());
        for piece in pieces {
            let mut handle = |incoming: Incoming<'_>| {
                got.push(format!("{incoming:?}"));
                ControlFlow::Continue(())
            };
            if let Err(fault) = decoder.feed(&mut piece.to_vec(), &mut handle) {
                return (got, Err(fault));
            }
        }
        assert!(decoder.rest.len() <= MAX_MESSAGE_LEN + 14);
        (got, Ok(()))
    }

    fn fault(bytes: &[u8]) -> Option<Fault> {
        decode(&[bytes]).1.err()
    }

    #[test]
    fn what_the_standard_forbids_ends_the_connection() {
        assert_eq!(
            fault(&masked(0xc1, b"x")),
            Some(Fault::Protocol),
            "reserved bit"
        );
        assert_eq!(fault(&[0x81, 1, b'x']), Some(Fault::Protocol), "not masked");
        assert_eq!(
            fault(&masked(0x83, b"x")),
            Some(Fault::Protocol),
            "reserved opcode"
        );
        assert_eq!(
            fault(&masked(0x09, b"x")),
            Some(Fault::Protocol),
            "ping in pieces"
        );
        assert_eq!(
            fault(&masked(0x89, &[0; 126])),
            Some(Fault::Protocol),
            "long ping"
        );
        assert_eq!(
            fault(&masked(0x88, b"x")),
            Some(Fault::Protocol),
            "half a close code"
        );
        assert_eq!(
            fault(&masked(0x80, b"x")),
            Some(Fault::Protocol),
            "continues nothing"
        );
        let two = [masked(0x01, b"x"), masked(0x81, b"y")].concat();
        assert_eq!(
            fault(&two),
            Some(Fault::Protocol),
            "a message within a message"
        );
        assert_eq!(fault(&masked(0x81, &[0xff])), Some(Fault::NotText));
        assert_eq!(
            fault(&masked(0x82, &[0xff])),
            None,
            "bytes need not be text"
        );
        let too_big = [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1];
        assert_eq!(
            fault(&too_big),
            Some(Fault::TooBig),
            "refused by its head alone"
        );
        let most = vec![b'x'; MAX_MESSAGE_LEN];
        let two = [masked(0x01, &most), masked(0x80, b"y")].concat();
        assert_eq!(fault(&two), Some(Fault::TooBig), "too big in pieces");
    }

    #[test]
    fn a_pause_keeps_the_rest_for_later() {
        let bytes = [masked(0x81, b"a"), masked(0x81, b"b"), masked(0x81, b"c")].concat();
        let (mut decoder, mut got) = (Decoder::default(), Vec::new());
        let mut handle = |incoming: Incoming<'_>| {
            got.push(format!("{incoming:?}"));
            ControlFlow::Break(())
        };
        decoder.feed(&mut bytes.clone(), &mut handle).unwrap();
        assert!(decoder.paused());
        decoder.feed(&mut [], &mut handle).unwrap();
        assert!(decoder.paused());
        decoder.feed(&mut [], &mut handle).unwrap();
        assert!(!decoder.paused() && decoder.rest.is_empty());
        assert_eq!(got.len(), 3);
    }

    proptest! {
        /// However the network cuts the bytes and the client its messages, the same messages come out.
        #[test]
        fn cuts_change_nothing(
            messages in proptest::collection::vec((0..300usize, 1..4usize), 1..6),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (length, frames) in messages {
                let text = "é😀x".repeat(length);
                expected.push(format!("{:?}", Incoming::Message(&text)));
                let each = text.len().div_ceil(frames).max(1);
                let mut parts: Vec<&[u8]> = text.as_bytes().chunks(each).collect();
                if parts.is_empty() {
                    parts.push(b"");
                }
                let last = parts.len() - 1;
                for (at, part) in parts.into_iter().enumerate() {
                    let opcode = if at == 0 { TEXT } else { 0 };
                    bytes.extend(masked(opcode | if at == last { 0x80 } else { 0 }, part));
                    if at < last {
                        bytes.extend(masked(0x80 | PING, b"between"));
                        expected.insert(expected.len() - 1, format!("{:?}", Incoming::Ping(b"between")));
                    }
                }
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(decode(&pieces), (expected, Ok(())));
        }

        #[test]
        fn any_bytes_end_in_a_message_or_a_fault_and_never_in_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = decode(&[&bytes]);
        }

        #[test]
        fn a_frame_out_is_sent_whole_in_whatever_portions(
            length in prop_oneof![0..200usize, 65_000..66_000usize],
            portion in 1..9_000usize,
        ) {
            let mut frame = Outgoing::new(TEXT, vec![b'x'; length]);
            let mut bytes = Vec::new();
            loop {
                let left = frame.left().concat();
                let mut sent = portion.min(left.len());
                bytes.extend_from_slice(&left[..sent]);
                if frame.advance(&mut sent) {
                    break;
                }
            }
            let head = bytes.len() - length;
            prop_assert_eq!(head, if length < 126 { 2 } else if length < 1 << 16 { 4 } else { 10 });
            prop_assert_eq!(bytes[0], 0x81);
        }
    }
}
