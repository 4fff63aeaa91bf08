//! Outputs: the core's requests to the edge.

use bytes::Bytes;
use piecework_signaling_protocol::IceServer;

use super::effect::Effect;
use super::event::{ClosedReason, Event, StreamError};
use crate::time::Timestamp;
use crate::types::{ConnectionId, EffectId, StreamId, TrackerId, WebRequestId};

/// A request to the edge.
#[derive(Clone, Debug)]
pub enum Output {
    /// Nothing more to do until this time ([`Timestamp::NEVER`]: until the next input).
    Timeout(Timestamp),
    /// Open a tracker's WebSocket.
    ConnectTracker {
        /// The name of the socket in all messages of the edge about it.
        tracker: TrackerId,
        /// `ws://` or `wss://`.
        url: String,
    },
    /// Send one text message to a tracker.
    SendTracker {
        /// The tracker whose socket is open.
        tracker: TrackerId,
        /// JSON.
        text: String,
    },
    /// Close a tracker's WebSocket.
    CloseTracker {
        /// The tracker; [`Output::ConnectTracker`] may name it again later, for a new socket.
        tracker: TrackerId,
    },
    /// Use these STUN and TURN servers, besides the edge's own, for peer connections made from now on. They take the
    /// place of those of the last such output; none: the time of those is over.
    UseIceServers {
        /// From trackers that the configuration names; at most [`crate::signaling::MAX_LEARNED_SERVERS`]. Their
        /// addresses are well-formed ([`piecework_signaling_protocol::is_ice_url`]); a stack may still refuse one.
        servers: Vec<IceServer>,
    },
    /// Make a peer connection with one data channel and an SDP offer.
    CreateOffer {
        /// Its id from now on.
        connection: ConnectionId,
    },
    /// Make a peer connection for a remote's offer and an SDP answer.
    AcceptOffer {
        /// Its id from now on.
        connection: ConnectionId,
        /// The remote's SDP.
        sdp: String,
    },
    /// The remote answered our offer.
    ApplyAnswer {
        /// The connection that [`Output::CreateOffer`] made.
        connection: ConnectionId,
        /// The remote's SDP.
        sdp: String,
    },
    /// Send bytes on the data channel as one message (at most 65,535 bytes). Afterwards, once per batch of
    /// outputs, the edge reports [`super::Input::SendBuffer`] if the channel holds no more than the low-water mark:
    /// a buffer that never rises above the mark never falls to it.
    Send {
        /// The connection whose data channel carries the message.
        connection: ConnectionId,
        /// To be sent in this order as one message.
        chunks: Vec<Bytes>,
    },
    /// Report [`super::Input::SendBuffer`] whenever the buffered bytes fall to this, and once if they are no more
    /// already: the last report may have been above this mark.
    SetLowWater {
        /// The connection whose data channel has this mark from now on.
        connection: ConnectionId,
        /// The mark, in bytes that the channel has not sent yet.
        bytes: u64,
    },
    /// Close a peer connection and everything of it; no [`super::Input::ConnectionClosed`] is needed.
    CloseConnection {
        /// The connection that ends; its id is never used again.
        connection: ConnectionId,
        /// The cause; the edge closes in the same way for each.
        reason: ClosedReason,
    },
    /// Work that ends with [`super::Input::EffectDone`].
    Effect {
        /// The number that [`super::Input::EffectDone`] carries back.
        id: EffectId,
        /// The work, such as a write to files, a signature, or a look at the chain.
        effect: Effect,
    },
    /// Ask a web seed for bytes of one file (BEP 19; RFC 9110, section 14.2): a GET with
    /// `Range: bytes=FIRST-LAST`, without credentials, cookies and referrer. The edge answers with one
    /// [`super::Input::WebSeedHead`], with [`super::Input::WebSeedBytes`] in order, and ends with one
    /// [`super::Input::WebSeedEnd`]. It follows few redirects, and none from `https` to `http`. It reads on only when
    /// the core has taken what came before.
    WebSeedGet {
        /// The name of the request in all messages about it.
        request: WebRequestId,
        /// `http://` or `https://`, percent-encoded.
        url: String,
        /// First byte within the file.
        first: u64,
        /// Last byte within the file.
        last: u64,
        /// The page or the operator named this web seed itself. One that only a torrent or a magnet link names must
        /// not reach into the user's own network, as far as the edge can tell.
        given: bool,
    },
    /// End a request to a web seed at once; nothing more is heard of it.
    WebSeedCancel {
        /// The request, which may have ended meanwhile.
        request: WebRequestId,
    },
    /// Bytes of a stream, in order; one for each [`super::Command::PullStream`].
    StreamData {
        /// The stream whose reader pulled.
        stream: StreamId,
        /// Verified bytes.
        data: Bytes,
        /// Nothing follows.
        last: bool,
    },
    /// The stream ended early.
    StreamFailed {
        /// The stream, which the core has forgotten: its reader need not close it.
        stream: StreamId,
        /// The cause: a wrong range, too many readers, a torrent that went away, or storage.
        error: StreamError,
    },
    /// For the page or the operator.
    Event(Event),
}
