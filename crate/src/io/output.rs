//! Outputs: what the core asks the edge to do.

use bytes::Bytes;

use super::effect::Effect;
use super::event::{ClosedReason, Event, StreamError};
use crate::time::Timestamp;
use crate::types::{ConnectionId, EffectId, StreamId, TrackerId};

/// Something the edge is to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Nothing more to do until this time ([`Timestamp::NEVER`]: until the next input).
    Timeout(Timestamp),
    /// Open a tracker's WebSocket.
    ConnectTracker {
        /// Which.
        tracker: TrackerId,
        /// `ws://` or `wss://`.
        url: String,
    },
    /// Send one text message to a tracker.
    SendTracker {
        /// Which.
        tracker: TrackerId,
        /// JSON.
        text: String,
    },
    /// Close a tracker's WebSocket.
    CloseTracker {
        /// Which.
        tracker: TrackerId,
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
        /// Which.
        connection: ConnectionId,
        /// The remote's SDP.
        sdp: String,
    },
    /// Send bytes on the data channel as one message (at most 65,535 bytes). Afterwards, once per batch of
    /// outputs, the edge reports [`super::Input::SendBuffer`] if the channel holds no more than the low-water mark:
    /// a buffer that never rises above the mark never falls to it.
    Send {
        /// Which.
        connection: ConnectionId,
        /// To be sent in this order as one message.
        chunks: Vec<Bytes>,
    },
    /// Report [`super::Input::SendBuffer`] whenever the buffered bytes fall to this, and once if they are no more already:
    /// what was reported last may have been above this mark.
    SetLowWater {
        /// Which.
        connection: ConnectionId,
        /// Bytes.
        bytes: u64,
    },
    /// Close a peer connection and everything of it; no [`super::Input::ConnectionClosed`] is needed.
    CloseConnection {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: ClosedReason,
    },
    /// Work that ends with [`super::Input::EffectDone`].
    Effect {
        /// Which.
        id: EffectId,
        /// What.
        effect: Effect,
    },
    /// Bytes of a stream, in order; one for each [`super::Command::PullStream`].
    StreamData {
        /// Which.
        stream: StreamId,
        /// Verified bytes.
        data: Bytes,
        /// Nothing follows.
        last: bool,
    },
    /// The stream ended early.
    StreamFailed {
        /// Which.
        stream: StreamId,
        /// Why.
        error: StreamError,
    },
    /// For the page or the operator.
    Event(Event),
}
