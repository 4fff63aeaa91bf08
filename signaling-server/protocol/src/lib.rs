//! Messages of the WebTorrent tracker protocol, JSON over WebSocket, for both of its ends.
//!
//! Owns the two parsers ([`Request::parse`] for the server, [`Response::parse`] for the peer) and the two encoders.
//! Both parsers are total: any text gives a message or an error, never a panic. [`Limits`] and the length of the text
//! bound the values that they keep. Session descriptions are borrowed from the text and never unescaped on their way
//! through the server ([`Sdp`]). Knows nothing of sockets, swarms or time.
//!
//! The protocol has no BEP. It is what `bittorrent-tracker`, `aquatic_ws` and libtorrent 2.1 speak:
//!
//! - 20-byte values travel as strings of 20 characters U+0000..=U+00FF;
//! - a peer sends `announce` with up to [`Limits::offers`] WebRTC offers, each under a 20-byte id;
//!   the server hands each to another peer of the swarm, whose answer comes back as an `announce`
//!   with `answer`, `to_peer_id` and `offer_id`;
//! - every message to a peer carries `action` (stock clients drop the socket without it) and, where
//!   it is known, `info_hash`;
//! - a reply to an announce may name STUN and TURN servers ([`IceServers`]), which is ours alone.

mod ice;
mod id;
mod json;
mod lenient;
mod reader;
mod request;
mod response;
mod sdp;

pub use ice::{
    IceServer, IceServers, MAX_ICE_SERVERS, MAX_ICE_TEXT_LEN, MAX_ICE_TTL_SECS, MAX_ICE_URLS,
    is_ice_url,
};
pub use id::{InfoHash, OfferId, PeerId};
pub use request::{
    Action, Announce, Answer, Event, Offer, Request, RequestError, RequestFault, Scrape,
};
pub use response::{AnnounceReply, Response, ResponseError, ScrapeEntry};
pub use sdp::Sdp;

/// Longest message, and longest frame, in either direction: bytes. Longer ones are refused unread.
pub const MAX_MESSAGE_LEN: usize = 64 * 1024;

/// Longest session description, in bytes of its JSON string. An offer with a longer one is skipped.
pub const MAX_SDP_LEN: usize = 16 * 1024;

/// Longest failure reason or warning kept from a message, in bytes; the rest is cut off.
pub const MAX_REASON_LEN: usize = 256;

/// The reason for refusing an announce whose peer id another connection has in that swarm. A peer that reads this comes
/// back under another id.
pub const PEER_ID_IN_USE: &str = "peer id is in use by another connection";

/// The most that a parser keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Offers of one announce. Further ones are counted as skipped, not kept.
    pub offers: usize,
    /// Info hashes of one scrape (or of its reply). A longer request is refused; the rest of a longer reply is left
    /// out.
    pub scrape: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            offers: 10,
            scrape: 256,
        }
    }
}
