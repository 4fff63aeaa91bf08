//! The 68 bytes that open a connection (BEP 3, "peer protocol").
//!
//! Owns the layout and the reserved bits; never keeps a connection's state.

use crate::types::{InfoHash, PeerId};

/// Length of an encoded handshake, bytes.
pub const HANDSHAKE_LEN: usize = 68;

/// The length byte and name that every handshake starts with.
pub const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// Reserved byte 5, bit 4: extension protocol (BEP 10).
const EXTENSION_BIT: (usize, u8) = (5, 0x10);
/// Reserved byte 7, bit 2: fast extension (BEP 6).
const FAST_BIT: (usize, u8) = (7, 0x04);

/// A handshake, from either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Capability bits.
    pub reserved: [u8; 8],
    /// The torrent the connection is about.
    pub info_hash: InfoHash,
    /// The sender.
    pub peer_id: PeerId,
}

impl Handshake {
    /// Our own bits: fast extension and extension protocol, nothing else.
    pub fn ours(info_hash: InfoHash, peer_id: PeerId) -> Self {
        let mut reserved = [0; 8];
        for (byte, bit) in [EXTENSION_BIT, FAST_BIT] {
            reserved[byte] |= bit;
        }
        Handshake {
            reserved,
            info_hash,
            peer_id,
        }
    }

    /// Whether the sender speaks the fast extension (BEP 6).
    pub fn supports_fast(&self) -> bool {
        self.reserved[FAST_BIT.0] & FAST_BIT.1 != 0
    }

    /// Whether the sender speaks the extension protocol (BEP 10).
    pub fn supports_extensions(&self) -> bool {
        self.reserved[EXTENSION_BIT.0] & EXTENSION_BIT.1 != 0
    }

    /// The bytes to send.
    pub fn encode(&self) -> [u8; HANDSHAKE_LEN] {
        let mut out = [0; HANDSHAKE_LEN];
        out[..20].copy_from_slice(PROTOCOL);
        out[20..28].copy_from_slice(&self.reserved);
        out[28..48].copy_from_slice(&self.info_hash.0);
        out[48..].copy_from_slice(&self.peer_id.0);
        out
    }

    /// Reads a handshake; `None` when it is of another protocol.
    pub fn decode(bytes: &[u8; HANDSHAKE_LEN]) -> Option<Self> {
        let (protocol, rest) = bytes.split_first_chunk::<20>()?;
        let (reserved, rest) = rest.split_first_chunk::<8>()?;
        let (info_hash, rest) = rest.split_first_chunk::<20>()?;
        let (peer_id, _) = rest.split_first_chunk::<20>()?;
        (protocol == PROTOCOL).then_some(Handshake {
            reserved: *reserved,
            info_hash: InfoHash(*info_hash),
            peer_id: PeerId(*peer_id),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_handshake_announces_both_extensions_and_survives_the_wire() {
        let ours = Handshake::ours(InfoHash([7; 20]), PeerId([9; 20]));
        assert!(ours.supports_fast() && ours.supports_extensions());
        let bytes = ours.encode();
        assert_eq!(bytes[..20], *b"\x13BitTorrent protocol");
        assert_eq!(bytes[20..28], [0, 0, 0, 0, 0, 0x10, 0, 0x04]);
        assert_eq!(Handshake::decode(&bytes), Some(ours));
    }

    #[test]
    fn another_protocol_is_not_a_handshake() {
        let mut bytes = Handshake::ours(InfoHash([7; 20]), PeerId([9; 20])).encode();
        bytes[3] ^= 1;
        assert_eq!(Handshake::decode(&bytes), None);
    }
}
