//! The peer wire protocol: bytes of one connection into typed messages and back.
//!
//! Owns the formats of BEP 3 (handshake, messages), BEP 6 (fast extension), BEP 10 (extension
//! protocol) and BEP 9 (metadata exchange). Holds no state of a conversation besides bytes not yet
//! decoded; never decides whether a message makes sense at this time or for this torrent: that is
//! [`crate::peer`] and [`crate::torrent`].
//!
//! Invariant: whatever a peer sends, decoding neither panics nor holds more than [`decoder::MAX_BUFFERED_LEN`] bytes.

pub mod decoder;
pub mod extension;
pub mod handshake;
pub mod message;
pub mod pay;

pub use decoder::{Decoder, WireError};
pub use extension::ExtendedHandshake;
pub use handshake::Handshake;
pub use message::{Message, piece_header};
