//! How this peer finds others: announce, offer and answer state for many trackers and many torrents.
//!
//! Owns the facts about each tracker (its socket's state, its backoff), about each announced torrent (its announce
//! times at each tracker, its wish for connections) and about each peer connection from its offer to its end. Opens no
//! socket, makes no session description and reads no clock: it asks the edge for these with a [`SignalingAction`], and
//! the edge reports the results. Never moves a byte of content.
//!
//! # How to drive it
//!
//! Call the inputs below as things happen, each with the time. After each, call [`Signaling::poll`] until `None` and
//! carry out its actions. Call [`Signaling::tick`] at [`Signaling::next_timeout`].
//!
//! One [`ConnectionId`] names one `RTCPeerConnection` for its whole life:
//!
//! ```text
//! I offer:   CreateOffer -> offer_ready -> (announced, perhaps more than once) -> ApplyAnswer
//! I answer:  AcceptOffer -> answer_ready -> (sent)
//! then:      connection_established -> connection_closed, or connection_lost, or connection_doubled
//! at any time before it is established: DropConnection, or offer_failed / answer_failed / connection_closed
//! ```
//!
//! # Invariants
//!
//! - Peer connections, from offer to end, never exceed [`SignalingConfig::max_connections`]. An
//!   offer is only asked for, and another peer's only taken, while a torrent wants connections.
//! - Per torrent there is at most one connection to one remote peer id, and none to my own (while the torrent starves,
//!   one more that is not open yet). When two peers of our kind offer to each other at once, both keep the connection
//!   that the greater id offered. With another client, the connection that the client answered is kept.
//! - Each torrent is announced under an id of its own, and under another one after a tracker said that somebody else
//!   has that one there. So a peer that reads an id in one swarm cannot take it from us in the next.
//! - An unanswered offer is announced again, not made again, until [`SignalingConfig::offer_lifetime`].
//! - A tracker's word is not trusted: every message is bounded ([`MAX_MESSAGE_LEN`]), offers are
//!   taken at a bounded rate, intervals are clamped, and STUN and TURN servers come from configured trackers
//!   alone. A dead tracker costs one timer, for ever.

mod drive;
mod ice;
mod link;
mod responses;
mod torrent;
mod tracker;

use crate::metainfo::{TrackerUrl, TrackerUrlError};
use crate::sorted::Map;
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, InfoHash, PeerId, TrackerId};
use chacha20::ChaCha20Rng;
use ice::Learned;
use link::{Link, LinkState};
use piecework_signaling_protocol as protocol;
pub use piecework_signaling_protocol::MAX_MESSAGE_LEN;
use protocol::{Event as AnnounceEvent, IceServer, Request, Response, Sdp};
use rand_core::{Rng, SeedableRng};
use std::collections::VecDeque;
use torrent::{Membership, Torrent};
use tracker::{Socket, Tracker};

/// How long to wait for an offer asked for, and for the answer to an offer taken.
const DESCRIPTION_TIMEOUT: Duration = Duration::from_secs(15);

/// Torrents announced at once; see [`AnnounceError::TooManyTorrents`].
pub const MAX_TORRENTS: usize = 1024;

/// Ids remembered, of one torrent, under which peers came that were connected already.
const MAX_DOUBLES: usize = 64;

/// Trackers known at once; a further one takes the place of an unused one, else
/// [`AddTrackerError::TooMany`].
pub const MAX_TRACKERS: usize = 64;

/// STUN and TURN servers that the edge is given at once, over all trackers; those of later trackers are left out.
pub const MAX_LEARNED_SERVERS: usize = 2 * protocol::MAX_ICE_SERVERS;

/// How signaling behaves.
#[derive(Clone, Debug)]
pub struct SignalingConfig {
    /// The id of the first torrent that is announced. Those of others have its first eight bytes, the client and its
    /// version.
    pub peer_id: PeerId,
    /// The first id given to a connection; later ones count up from it.
    pub first_connection: ConnectionId,
    /// Offers in one announce while the tracker names no more peers than that. Each costs a peer connection.
    pub offers_per_announce: usize,
    /// Offers in one announce where there are many peers. Stock trackers relay up to 10.
    pub max_offers_per_announce: usize,
    /// Peer connections at once over all torrents, unanswered offers and open ones included.
    pub max_connections: usize,
    /// An unanswered offer may be announced again after this time.
    pub offer_reuse_after: Duration,
    /// An unanswered offer is dropped at this age: its candidates have gone stale.
    pub offer_lifetime: Duration,
    /// Time from an exchanged answer to an open channel.
    pub connect_timeout: Duration,
    /// Offers taken per minute from one tracker; further ones are ignored.
    pub incoming_offers_per_minute: u32,
    /// The trackers whose STUN and TURN servers are used; what others name is passed over.
    pub ice_trackers: Vec<String>,
}

impl SignalingConfig {
    /// The defaults, for this peer id.
    pub fn new(peer_id: PeerId) -> Self {
        SignalingConfig {
            peer_id,
            first_connection: ConnectionId(1),
            offers_per_announce: 5,
            max_offers_per_announce: 10,
            max_connections: 60,
            offer_reuse_after: Duration::from_secs(50),
            offer_lifetime: Duration::from_secs(300),
            connect_timeout: Duration::from_secs(30),
            incoming_offers_per_minute: 60,
            ice_trackers: Vec::new(),
        }
    }
}

/// A request to the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignalingAction {
    /// Open a WebSocket; answer with `tracker_connected` or `tracker_closed`.
    ConnectTracker {
        /// The tracker; the edge names the socket by it.
        tracker: TrackerId,
        /// Its ws:// or wss:// URL.
        url: String,
    },
    /// Send a text message on the tracker's open socket.
    SendTracker {
        /// The tracker whose open socket the message goes out on.
        tracker: TrackerId,
        /// JSON.
        text: String,
    },
    /// Close the tracker's socket after the messages that were sent on it, and report nothing of it any more: the next
    /// `ConnectTracker` is for a new socket.
    CloseTracker {
        /// The tracker; a later `ConnectTracker` may name it again.
        tracker: TrackerId,
    },
    /// Make a peer connection with its channel and an offer with all candidates; answer with
    /// `offer_ready` or `offer_failed`.
    CreateOffer {
        /// Its id from now on.
        connection: ConnectionId,
        /// For this torrent.
        info_hash: InfoHash,
    },
    /// Make a peer connection from this offer, and an answer with all candidates; answer with
    /// `answer_ready` or `answer_failed`.
    AcceptOffer {
        /// Its id from now on.
        connection: ConnectionId,
        /// For this torrent.
        info_hash: InfoHash,
        /// The peer that offers, by its own word.
        remote: PeerId,
        /// The session description, untrusted.
        sdp: String,
    },
    /// Complete the offer of this connection.
    ApplyAnswer {
        /// The connection that `CreateOffer` made.
        connection: ConnectionId,
        /// For this torrent.
        info_hash: InfoHash,
        /// The peer that answers, by its own word.
        remote: PeerId,
        /// The session description, untrusted.
        sdp: String,
    },
    /// Close and forget this peer connection.
    DropConnection {
        /// The connection, whose id is never used again.
        connection: ConnectionId,
    },
    /// Use these STUN and TURN servers, besides those of the configuration, for connections made from now on. They
    /// take the place of those of the last such action; none: the time of those is over.
    UseIceServers {
        /// At most [`MAX_LEARNED_SERVERS`].
        servers: Vec<IceServer>,
    },
    /// Tell the user.
    Event(SignalingEvent),
}

/// News that a user may want to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignalingEvent {
    /// A tracker answered an announce.
    Announced {
        /// The tracker that answered.
        tracker: TrackerId,
        /// The torrent.
        info_hash: InfoHash,
        /// Peers that have all of it, if told.
        seeders: Option<u64>,
        /// Other peers, if told.
        leechers: Option<u64>,
    },
    /// A tracker sends a warning, but goes on.
    Warning {
        /// The tracker that sent the text.
        tracker: TrackerId,
        /// The torrent.
        info_hash: InfoHash,
        /// Foreign text of at most 256 bytes.
        message: String,
    },
    /// A tracker refused a request.
    Refused {
        /// The tracker that refused.
        tracker: TrackerId,
        /// The torrent, if told.
        info_hash: Option<InfoHash>,
        /// Foreign text of at most 256 bytes.
        reason: String,
    },
    /// A tracker cannot be reached, or was lost; it is tried again by itself.
    Unreachable {
        /// The tracker, whose socket is gone or never opened.
        tracker: TrackerId,
        /// The reason, of at most 256 bytes.
        reason: String,
        /// When it is tried again.
        retry_in: Duration,
    },
}

/// The reason why a tracker's URL was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddTrackerError {
    /// No WebRTC peer can use it.
    #[error(transparent)]
    Url(#[from] TrackerUrlError),
    /// Already [`MAX_TRACKERS`], all in use.
    #[error("too many trackers in use")]
    TooMany,
}

/// The reason why a torrent is not announced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// Already [`MAX_TORRENTS`].
    #[error("too many torrents are announced")]
    TooManyTorrents,
    /// A tracker that `add_tracker` did not answer.
    #[error("unknown tracker {}", .0.0)]
    UnknownTracker(TrackerId),
}

/// Announce, offer and answer state: see the module's documentation for how to drive it.
pub struct Signaling {
    config: SignalingConfig,
    /// No torrent was announced yet: the configured id is still to be used.
    is_new: bool,
    rng: ChaCha20Rng,
    trackers: Map<TrackerId, Tracker>,
    torrents: Map<InfoHash, Torrent>,
    links: Map<ConnectionId, Link>,
    /// By the tracker that named them.
    ice: Map<TrackerId, Learned>,
    /// Counts the times that servers became known after none were.
    ice_generation: u32,
    next_tracker: u32,
    next_connection: u64,
    online: bool,
    actions: VecDeque<SignalingAction>,
    wake_at: Timestamp,
}

impl Signaling {
    /// Nothing announced yet. The seed must be random: offer ids and jitter come from it.
    pub fn new(config: SignalingConfig, seed: [u8; 32]) -> Self {
        Signaling {
            next_connection: config.first_connection.0,
            config,
            is_new: true,
            rng: ChaCha20Rng::from_seed(seed),
            trackers: Map::new(),
            torrents: Map::new(),
            links: Map::new(),
            ice: Map::new(),
            ice_generation: 0,
            next_tracker: 0,
            online: true,
            actions: VecDeque::new(),
            wake_at: Timestamp::NEVER,
        }
    }

    /// Makes a tracker known; the same URL gives the same id. It is connected to when a torrent is
    /// announced to it.
    pub fn add_tracker(&mut self, url: &str) -> Result<TrackerId, AddTrackerError> {
        let url = TrackerUrl::parse(url)?;
        if let Some((id, _)) = self.trackers.iter().find(|(_, t)| t.url == url) {
            return Ok(*id);
        }
        if self.trackers.len() >= MAX_TRACKERS {
            let unused = self
                .trackers
                .keys()
                .find(|id| !self.torrents.values().any(|t| t.trackers.contains_key(id)))
                .copied()
                .ok_or(AddTrackerError::TooMany)?;
            self.trackers.remove(&unused);
        }
        let id = TrackerId(self.next_tracker);
        self.next_tracker = self.next_tracker.wrapping_add(1);
        let offers_per_minute = self.config.incoming_offers_per_minute;
        self.trackers
            .insert(id, Tracker::new(url, offers_per_minute));
        Ok(id)
    }

    /// Announces a torrent to these trackers from now on. For a torrent already announced, adds the
    /// trackers. Wants no connections until [`Signaling::set_wanted`].
    pub fn announce_start(
        &mut self,
        now: Timestamp,
        info_hash: InfoHash,
        trackers: &[TrackerId],
    ) -> Result<(), AnnounceError> {
        if let Some(unknown) = trackers.iter().find(|id| !self.trackers.contains_key(id)) {
            return Err(AnnounceError::UnknownTracker(*unknown));
        }
        if self.torrents.len() >= MAX_TORRENTS && !self.torrents.contains_key(&info_hash) {
            return Err(AnnounceError::TooManyTorrents);
        }
        let torrent = self.torrents.entry(info_hash).or_insert_with(|| {
            let own = self.config.peer_id;
            Torrent::new(match core::mem::take(&mut self.is_new) {
                true => own,
                false => own.redrawn(&mut self.rng),
            })
        });
        for id in trackers {
            torrent
                .trackers
                .entry(*id)
                .or_insert_with(|| Membership::new(now));
        }
        self.drive(now);
        Ok(())
    }

    /// The numbers in the next announces: bytes sent and received since the start, bytes still missing (`None` while
    /// the torrent's size is unknown).
    pub fn set_progress(
        &mut self,
        info_hash: InfoHash,
        uploaded: u64,
        downloaded: u64,
        left: Option<u64>,
    ) {
        if let Some(torrent) = self.torrents.get_mut(&info_hash) {
            torrent.uploaded = uploaded;
            torrent.downloaded = downloaded;
            torrent.left = left;
        }
    }

    /// The download just became complete: every tracker is told once.
    pub fn completed(&mut self, now: Timestamp, info_hash: InfoHash) {
        if let Some(torrent) = self.torrents.get_mut(&info_hash) {
            torrent.left = Some(0);
            for membership in torrent.trackers.values_mut() {
                membership.completed_due = true;
                membership.next_at = now;
            }
        }
        self.drive(now);
    }

    /// The torrent was complete at the start: no tracker hears of a download, but a tracker that heard otherwise hears
    /// so soon.
    pub fn found_complete(&mut self, now: Timestamp, info_hash: InfoHash) {
        if let Some(torrent) = self.torrents.get_mut(&info_hash) {
            torrent.left = Some(0);
            for membership in torrent.trackers.values_mut() {
                membership.found_complete(now);
            }
        }
        self.drive(now);
    }

    /// Leaves the swarm. Connections that are not established are dropped; established ones are
    /// the caller's to close.
    pub fn announce_stop(&mut self, now: Timestamp, info_hash: InfoHash) {
        let Some(torrent) = self.torrents.remove(&info_hash) else {
            return;
        };
        for (id, membership) in &torrent.trackers {
            let open = self.trackers.get(id).is_some_and(Tracker::is_open);
            if open && let Some(peer_id) = membership.joined {
                let event = AnnounceEvent::Stopped;
                let text = torrent.announce(peer_id, info_hash, event, Vec::new());
                self.send(*id, text);
            }
        }
        let unfinished: Vec<ConnectionId> = self
            .links
            .iter()
            .filter(|(_, l)| l.info_hash == info_hash && l.state != LinkState::Established)
            .map(|(id, _)| *id)
            .collect();
        for connection in unfinished {
            self.drop_link(connection);
        }
        self.drive(now);
    }

    /// The number of new connections that the torrent wants. It is counted down as connections are established; set it
    /// again whenever that changes. At 0 nothing is offered and no offer is taken.
    pub fn set_wanted(&mut self, now: Timestamp, info_hash: InfoHash, wanted: usize) {
        if let Some(torrent) = self.torrents.get_mut(&info_hash) {
            if wanted > torrent.wanted && !torrent.is_seed() {
                torrent.hurry(now);
            }
            torrent.wanted = wanted;
        }
        self.drive(now);
    }

    /// The torrent's connections bring nothing. Anybody may connect under another's id, so from now on an open
    /// connection does not keep out one more under the same id. The reader of the handshake can tell whether it is the
    /// same peer once more.
    pub fn set_starving(&mut self, info_hash: InfoHash, starving: bool) {
        if let Some(torrent) = self.torrents.get_mut(&info_hash) {
            torrent.starving = starving;
        }
    }

    /// The tracker's socket is open.
    pub fn tracker_connected(&mut self, now: Timestamp, id: TrackerId) {
        let Some(tracker) = self.trackers.get_mut(&id) else {
            return;
        };
        if !tracker.connected(now) {
            return;
        }
        for torrent in self.torrents.values_mut() {
            if let Some(membership) = torrent.trackers.get_mut(&id) {
                // The server knows a peer by its socket: this one is new to it.
                membership.rejoin(now);
            }
        }
        self.drive(now);
    }

    /// The tracker's socket could not be opened, or ended. It is tried again with backoff, for ever.
    pub fn tracker_closed(&mut self, now: Timestamp, id: TrackerId, reason: &str) {
        self.lose_tracker(now, id, reason);
        self.drive(now);
    }

    /// A text or binary message came from the tracker.
    #[inline(never)]
    pub fn tracker_message(&mut self, now: Timestamp, id: TrackerId, message: &[u8]) {
        let Some(tracker) = self.trackers.get_mut(&id).filter(|t| t.is_open()) else {
            return;
        };
        let limits = protocol::Limits {
            offers: 1,
            scrape: 1,
        };
        let response = if message.len() > MAX_MESSAGE_LEN {
            None
        } else {
            std::str::from_utf8(message)
                .ok()
                .and_then(|text| Response::parse(text, limits).ok())
        };
        match response {
            None => {
                if tracker.misbehaved() {
                    self.actions
                        .push_back(SignalingAction::CloseTracker { tracker: id });
                    self.lose_tracker(now, id, "it sends messages that make no sense");
                }
            }
            Some(response) => {
                tracker.behaved(matches!(response, Response::Announce(_)));
                self.handle_response(now, id, response);
            }
        }
        self.drive(now);
    }

    /// The offer asked for by [`SignalingAction::CreateOffer`].
    pub fn offer_ready(&mut self, now: Timestamp, connection: ConnectionId, sdp: &str) {
        let made_in = self.links.get(&connection).map(|link| link.ice_generation);
        let lifetime = self.offer_lifetime(made_in.unwrap_or_default());
        if let Some(link) = self.links.get_mut(&connection)
            && matches!(link.state, LinkState::Offering { .. })
        {
            let mut offer_id = [0; 20];
            self.rng.fill_bytes(&mut offer_id);
            match Sdp::from_text(sdp) {
                Some(sdp) => {
                    link.state = LinkState::Offered {
                        offer_id: protocol::OfferId(offer_id),
                        sdp,
                        sent: None,
                        expires: now + lifetime,
                    };
                }
                None => self.drop_link(connection),
            }
        }
        self.drive(now);
    }

    /// The answer asked for by [`SignalingAction::AcceptOffer`].
    pub fn answer_ready(&mut self, now: Timestamp, connection: ConnectionId, sdp: &str) {
        if let Some(link) = self.links.get_mut(&connection)
            && let LinkState::Answering {
                tracker, offer_id, ..
            } = link.state
            && let Some(remote) = link.remote
            && let Some(torrent) = self.torrents.get(&link.info_hash)
        {
            let (info_hash, peer_id) = (link.info_hash, torrent.id_at(tracker));
            let open = self.trackers.get(&tracker).is_some_and(Tracker::is_open);
            match Sdp::from_text(sdp) {
                Some(sdp) if open => {
                    link.state = LinkState::Connecting {
                        offered_by_me: false,
                        deadline: now + self.config.connect_timeout,
                    };
                    let answer = Request::Answer(protocol::Answer {
                        info_hash: protocol::InfoHash(info_hash.0),
                        peer_id: protocol::PeerId(peer_id.0),
                        to_peer_id: protocol::PeerId(remote.0),
                        offer_id,
                        sdp,
                    });
                    self.send(tracker, answer.encode());
                }
                // No connection is there to carry it.
                _ => self.drop_link(connection),
            }
        }
        self.drive(now);
    }

    /// The connection's channel is open.
    pub fn connection_established(&mut self, now: Timestamp, connection: ConnectionId) {
        if let Some(link) = self.links.get_mut(&connection)
            && link.state != LinkState::Established
        {
            link.state = LinkState::Established;
            let info_hash = link.info_hash;
            let met = self.met(info_hash);
            if let Some(torrent) = self.torrents.get_mut(&info_hash) {
                torrent.wanted = torrent.wanted.saturating_sub(1);
                if torrent.wanted > 0 && !torrent.is_seed() {
                    torrent.hurry_for_more(now, met);
                }
            }
        }
        self.drive(now);
    }

    /// The connection is gone, at whatever stage it was. Unknown ones are ignored.
    pub fn connection_closed(&mut self, now: Timestamp, connection: ConnectionId) {
        if let Some(link) = self.links.remove(&connection)
            && let Some(torrent) = self.torrents.get_mut(&link.info_hash)
            && torrent.wanted > 0
        {
            if link.is_unfinished() {
                torrent.missed();
            }
            torrent.hurry(now);
        }
        self.drive(now);
    }

    /// The same for a connection whose peer is connected by the `other` one: while it is, nothing more is tried under
    /// the id that this one came by.
    pub fn connection_doubled(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        other: ConnectionId,
    ) {
        if let Some(link) = self.links.get(&connection)
            && let Some(remote) = link.remote
            && let Some(torrent) = self.torrents.get_mut(&link.info_hash)
        {
            let links = &self.links;
            torrent
                .doubles
                .retain(|_, other| links.contains_key(&*other));
            if torrent.doubles.len() < MAX_DOUBLES {
                torrent.doubles.insert(remote, other);
            }
        }
        self.connection_closed(now, connection);
    }

    /// The same for a connection that ended while its peer still wanted something: the peer may come back, and need not
    /// have noticed the end, so a seed too looks for it.
    pub fn connection_lost(&mut self, now: Timestamp, connection: ConnectionId) {
        if let Some(link) = self.links.get(&connection)
            && let Some(torrent) = self.torrents.get_mut(&link.info_hash)
        {
            torrent.missed();
        }
        self.connection_closed(now, connection);
    }

    /// There is no network: sockets are closed and nothing is tried until [`Signaling::online`].
    pub fn offline(&mut self, now: Timestamp) {
        self.online = false;
        let busy: Vec<TrackerId> = self
            .trackers
            .iter()
            .filter(|(_, t)| t.has_socket())
            .map(|(id, _)| *id)
            .collect();
        for id in busy {
            self.close_tracker(id);
        }
        self.drive(now);
    }

    /// The network is back: every tracker is tried at once, whatever its backoff was.
    pub fn online(&mut self, now: Timestamp) {
        self.online = true;
        for tracker in self.trackers.values_mut() {
            tracker.forget_failures();
        }
        self.drive(now);
    }

    /// The time of [`Signaling::next_timeout`] has come.
    pub fn tick(&mut self, now: Timestamp) {
        self.drive(now);
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<SignalingAction> {
        self.actions.pop_front()
    }

    /// When to call [`Signaling::tick`] at the latest.
    pub fn next_timeout(&self) -> Timestamp {
        self.wake_at
    }

    fn lose_tracker(&mut self, now: Timestamp, id: TrackerId, reason: &str) {
        let jitter = self.jitter();
        let memberships = self.torrents.values().filter_map(|t| t.trackers.get(&id));
        let interval = memberships.map(Membership::interval).max();
        let Some(tracker) = self.trackers.get_mut(&id).filter(|t| t.has_socket()) else {
            return;
        };
        let retry_in = tracker.lost(now, interval.unwrap_or(Duration::ZERO), jitter);
        self.recall_offers(id);
        self.event(SignalingEvent::Unreachable {
            tracker: id,
            reason: cut(reason),
            retry_in,
        });
    }

    fn close_tracker(&mut self, id: TrackerId) {
        if let Some(tracker) = self.trackers.get_mut(&id) {
            tracker.socket = Socket::Idle {
                retry_at: Timestamp::ZERO,
            };
            self.actions
                .push_back(SignalingAction::CloseTracker { tracker: id });
            self.recall_offers(id);
        }
    }

    /// A server forgets the offers of a lost socket: they can be announced elsewhere at once.
    fn recall_offers(&mut self, id: TrackerId) {
        for link in self.links.values_mut() {
            link.recall(id);
        }
    }

    /// Somebody else has the torrent's id at this tracker, and may keep it for good: strangers read ids in offers.
    /// Offers that were announced there reached nobody, and can go out again.
    fn take_another_id(&mut self, info_hash: InfoHash, id: TrackerId) {
        let torrent = self.torrents.get_mut(&info_hash);
        let Some(membership) = torrent.and_then(|t| t.trackers.get_mut(&id)) else {
            return;
        };
        membership.joined = None;
        membership.other_id = Some(self.config.peer_id.redrawn(&mut self.rng));
        let links = self.links.values_mut();
        for link in links.filter(|link| link.info_hash == info_hash) {
            link.recall(id);
        }
    }

    /// Makes room for one connection under the cap, if need be by giving up an unanswered offer.
    fn make_room(&mut self) -> bool {
        if self.links.len() < self.config.max_connections {
            return true;
        }
        let unanswered = self
            .links
            .iter()
            .find(|(_, link)| matches!(link.state, LinkState::Offered { .. }))
            .map(|(id, _)| *id);
        unanswered.map(|id| self.drop_link(id)).is_some()
    }

    fn insert_link(&mut self, link: Link) -> ConnectionId {
        let connection = ConnectionId(self.next_connection);
        self.next_connection = self.next_connection.wrapping_add(1);
        self.links.insert(connection, link);
        connection
    }

    fn drop_link(&mut self, connection: ConnectionId) {
        if self.links.remove(&connection).is_some() {
            self.actions
                .push_back(SignalingAction::DropConnection { connection });
        }
    }

    fn link_to(&self, info_hash: InfoHash, remote: PeerId) -> Option<ConnectionId> {
        let torrent = self.torrents.get(&info_hash)?;
        let double = torrent.doubles.get(&remote);
        let mut links = self.links.iter();
        links
            .find(|(id, link)| {
                let ignored = torrent.starving && link.state == LinkState::Established;
                let is_theirs = link.remote == Some(remote) || double == Some(*id);
                link.info_hash == info_hash && is_theirs && !ignored
            })
            .map(|(id, _)| *id)
    }

    /// Connections of the torrent that have a remote peer, but no channel yet.
    fn unfinished(&self, info_hash: InfoHash) -> usize {
        let of_torrent = self.links.values().filter(|l| l.info_hash == info_hash);
        of_torrent.filter(|l| l.is_unfinished()).count()
    }

    /// Connections of the torrent that have a remote peer.
    fn met(&self, info_hash: InfoHash) -> usize {
        let of_torrent = self.links.values().filter(|l| l.info_hash == info_hash);
        of_torrent.filter(|l| l.remote.is_some()).count()
    }

    /// Offers for one announce to a tracker that names so many peers not met.
    fn offers_for(&self, strangers: usize) -> usize {
        let few = self.config.offers_per_announce;
        strangers.clamp(few, self.config.max_offers_per_announce.max(few))
    }

    fn membership(&mut self, info_hash: InfoHash, id: TrackerId) -> Option<&mut Membership> {
        self.torrents.get_mut(&info_hash)?.trackers.get_mut(&id)
    }

    fn send(&mut self, tracker: TrackerId, text: String) {
        self.actions
            .push_back(SignalingAction::SendTracker { tracker, text });
    }

    fn event(&mut self, event: SignalingEvent) {
        self.actions.push_back(SignalingAction::Event(event));
    }

    /// Uniform in 0.0..1.0.
    fn jitter(&mut self) -> f64 {
        f64::from(self.rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(protocol::MAX_REASON_LEN);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests;
