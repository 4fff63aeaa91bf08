//! One peer connection, from its offer to its end.

use crate::time::{Duration, Timestamp};
use crate::types::{InfoHash, PeerId, TrackerId};
use piecework_signaling_protocol::{Offer, OfferId, Sdp};

pub(super) struct Link {
    pub(super) info_hash: InfoHash,
    /// Known from the moment that both sides know of the connection.
    pub(super) remote: Option<PeerId>,
    pub(super) state: LinkState,
    /// The count of [`super::Signaling`] when the connection was asked for.
    pub(super) ice_generation: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LinkState {
    /// The edge is making an offer.
    Offering { deadline: Timestamp },
    /// The offer exists; nobody has answered it.
    Offered {
        offer_id: OfferId,
        sdp: Sdp<'static>,
        sent: Option<SentTo>,
        expires: Timestamp,
    },
    /// The edge is making an answer.
    Answering {
        tracker: TrackerId,
        offer_id: OfferId,
        deadline: Timestamp,
    },
    /// Both descriptions are exchanged.
    Connecting {
        offered_by_me: bool,
        deadline: Timestamp,
    },
    /// The channel is open.
    Established,
}

/// The tracker that it was announced to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SentTo {
    pub(super) tracker: TrackerId,
    pub(super) at: Timestamp,
}

impl Link {
    /// When it is given up.
    pub(super) fn deadline(&self) -> Timestamp {
        match self.state {
            LinkState::Offering { deadline }
            | LinkState::Answering { deadline, .. }
            | LinkState::Connecting { deadline, .. } => deadline,
            LinkState::Offered { expires, .. } => expires,
            LinkState::Established => Timestamp::NEVER,
        }
    }

    /// Whether it has a remote peer, but no channel yet.
    pub(super) fn is_unfinished(&self) -> bool {
        matches!(
            self.state,
            LinkState::Answering { .. } | LinkState::Connecting { .. }
        )
    }

    /// Whether the remote peer offered, and the channel is not open yet.
    pub(super) fn is_my_answer_open(&self) -> bool {
        matches!(
            self.state,
            LinkState::Answering { .. }
                | LinkState::Connecting {
                    offered_by_me: false,
                    ..
                }
        )
    }

    /// Whether this is the unanswered offer of that name, and that tracker was given it last.
    pub(super) fn waits_for_answer(&self, from: TrackerId, name: OfferId) -> bool {
        match &self.state {
            LinkState::Offered { offer_id, sent, .. } => {
                *offer_id == name && sent.is_some_and(|sent| sent.tracker == from)
            }
            _ => false,
        }
    }

    /// When the offer may be announced, again after this time, and its length in JSON.
    pub(super) fn sendable(&self, reuse_after: Duration) -> Option<(Timestamp, usize)> {
        match &self.state {
            LinkState::Offered { sdp, sent, .. } => {
                let at = sent.map_or(Timestamp::ZERO, |sent| sent.at + reuse_after);
                Some((at, sdp.json().len() + 128))
            }
            _ => None,
        }
    }

    /// The offer, as it goes into an announce.
    pub(super) fn offer(&self) -> Option<Offer<'_>> {
        match &self.state {
            LinkState::Offered { offer_id, sdp, .. } => Some(Offer {
                offer_id: *offer_id,
                sdp: sdp.borrowed(),
            }),
            _ => None,
        }
    }

    /// The offer was announced.
    pub(super) fn sent(&mut self, to: SentTo) {
        if let LinkState::Offered { sent, .. } = &mut self.state {
            *sent = Some(to);
        }
    }

    /// That tracker forgot the offer.
    pub(super) fn recall(&mut self, tracker: TrackerId) {
        if let LinkState::Offered { sent, .. } = &mut self.state
            && sent.is_some_and(|sent| sent.tracker == tracker)
        {
            *sent = None;
        }
    }
}
