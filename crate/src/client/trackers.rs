//! Trackers in the client: the torrents' announces, the number of wanted connections, and the requests of the signaling
//! machine.

use super::{Client, Route};
use crate::io::{ClosedReason, Config, Event, NO_TRACKER, Output, TrackerSnapshot};
use crate::metainfo::{TrackerUrl, TrackerUrlError};
use crate::signaling::{
    AddTrackerError, MAX_TRACKERS, Signaling, SignalingAction, SignalingConfig, SignalingEvent,
};
use crate::sorted::Set;
use crate::types::{ConnectionId, InfoHash, PeerId, TrackerId};

/// The longest part of a tracker's URL in a warning, in characters.
const MAX_SHOWN_URL: usize = 200;

pub(super) fn signaling(config: &Config, peer_id: PeerId, seed: [u8; 32]) -> Signaling {
    let config = SignalingConfig {
        ice_trackers: config.trackers.clone(),
        max_connections: config.limits.max_connections + config.limits.max_pending_connections,
        ..SignalingConfig::new(peer_id)
    };
    Signaling::new(config, seed)
}

/// The facts about a torrent that the signaling machine was told last.
#[derive(Debug, Default)]
pub(super) struct AnnouncedState {
    wanted: Option<usize>,
    /// Whether `completed` is to be sent once all pieces are there; `None` before the pieces that were there at the
    /// start are known.
    owes_completed: Option<bool>,
    /// All pieces are there.
    is_complete: bool,
    /// Trackers whose refusal of the torrent was reported.
    refused_by: Set<TrackerId>,
}

impl Client {
    /// Lets a torrent announce to these trackers. Some were `given` for it by hand. Its link or .torrent file `named`
    /// the others, among them trackers that no WebRTC peer can use.
    pub(super) fn follow_trackers(
        &mut self,
        info_hash: InfoHash,
        given: &[String],
        named: &[String],
    ) {
        let mut trackers = Vec::new();
        let urls = given.iter().map(|url| (url, true));
        for (url, is_given) in urls.chain(named.iter().map(|url| (url, false))) {
            match self.follow_tracker(url) {
                Ok(tracker) if trackers.contains(&tracker) => {}
                Ok(tracker) => trackers.push(tracker),
                // Most torrents name UDP and HTTP trackers; a WebRTC peer cannot use them.
                Err(AddTrackerError::Url(TrackerUrlError::UnsupportedScheme)) if !is_given => {}
                Err(error) => self.warn_of_tracker(Some(info_hash), url, &error),
            }
        }
        // Ids only count up: the lowest belong to trackers that gave way to others long ago.
        while self.tracker_status.len() > MAX_TRACKERS {
            self.tracker_status.pop_first();
        }
        if trackers.is_empty() && !self.announced.contains(&info_hash) {
            self.out.event(Event::Warning {
                info_hash: Some(info_hash),
                text: NO_TRACKER.to_owned(),
            });
        }
        self.announced.insert(info_hash);
        self.tell_progress(info_hash);
        let started = self
            .signaling
            .announce_start(self.now, info_hash, &trackers);
        if let Err(error) = started {
            self.out.event(Event::Warning {
                info_hash: Some(info_hash),
                text: format!("it is not announced: {error}"),
            });
        }
        self.touched.insert(info_hash);
    }

    fn follow_tracker(&mut self, url: &str) -> Result<TrackerId, AddTrackerError> {
        let url = TrackerUrl::parse(url)?;
        let tracker = self.signaling.add_tracker(url.as_str())?;
        self.tracker_status
            .entry(tracker)
            .or_insert_with(|| TrackerSnapshot {
                url: url.to_string(),
                connected: false,
                error: None,
            });
        Ok(tracker)
    }

    /// Reports each configured tracker that cannot be used once, and forgets it.
    pub(super) fn check_configured_trackers(&mut self) {
        for url in core::mem::take(&mut self.config.trackers) {
            match TrackerUrl::parse(&url) {
                Ok(_) => self.config.trackers.push(url),
                Err(error) => self.warn_of_tracker(None, &url, &error.into()),
            }
        }
    }

    fn warn_of_tracker(&mut self, info_hash: Option<InfoHash>, url: &str, error: &AddTrackerError) {
        let url: String = url.chars().take(MAX_SHOWN_URL).collect();
        self.out.event(Event::Warning {
            info_hash,
            text: format!("the tracker {url} is not used: {error}"),
        });
    }

    pub(super) fn stop_announcing(&mut self, info_hash: InfoHash) {
        self.told.remove(&info_hash);
        if self.announced.remove(&info_hash) {
            self.signaling.announce_stop(self.now, info_hash);
        }
    }

    pub(super) fn note_tracker(
        &mut self,
        tracker: TrackerId,
        connected: bool,
        error: Option<String>,
    ) {
        if let Some(status) = self.tracker_status.get_mut(&tracker) {
            status.connected = connected;
            if connected || error.is_some() {
                status.error = error;
            }
        }
    }

    fn tell_progress(&mut self, info_hash: InfoHash) {
        if let Some(torrent) = self.torrents.get(&info_hash) {
            let (uploaded, downloaded, left) = torrent.progress();
            self.signaling
                .set_progress(info_hash, uploaded, downloaded, left);
        }
    }

    /// Tells the signaling machine the number of wanted connections, and the progress of each torrent.
    pub(super) fn announce(&mut self) {
        // The signaling machine counts the connections that are under way.
        let room = (self.config.limits.max_connections).saturating_sub(self.open_connections());
        for info_hash in self.announced.clone() {
            let Some(torrent) = self.torrents.get(&info_hash) else {
                continue;
            };
            let wanted = if torrent.wants_peers() {
                self.config
                    .limits
                    .max_connections_per_torrent
                    .saturating_sub(torrent.peers().len())
                    .min(room)
            } else {
                0
            };
            let (is_checked, is_complete) = (torrent.is_checked(), torrent.is_downloaded());
            let has_written = torrent.has_written();
            self.tell_progress(info_hash);
            let told = self.told.entry(info_hash).or_default();
            if told.wanted != Some(wanted) {
                told.wanted = Some(wanted);
                self.signaling.set_wanted(self.now, info_hash, wanted);
            }
            // `completed` is for pieces that this run fetched, not for those that were there at its start (BEP 3).
            if is_checked && told.owes_completed.is_none() {
                told.owes_completed = Some(!is_complete);
                if is_complete {
                    self.signaling.found_complete(self.now, info_hash);
                }
            }
            let was_complete = core::mem::replace(&mut told.is_complete, is_complete);
            if is_complete && told.owes_completed == Some(true) {
                if has_written {
                    told.owes_completed = Some(false);
                    self.signaling.completed(self.now, info_hash);
                } else if !was_complete {
                    // What was missing is not selected any more.
                    self.signaling.found_complete(self.now, info_hash);
                }
            }
        }
    }

    pub(super) fn drain_signaling(&mut self) -> bool {
        let mut busy = false;
        while let Some(action) = self.signaling.poll() {
            busy = true;
            match action {
                SignalingAction::ConnectTracker { tracker, url } => {
                    self.out.push(Output::ConnectTracker { tracker, url });
                }
                SignalingAction::SendTracker { tracker, text } => {
                    self.out.push(Output::SendTracker { tracker, text });
                }
                SignalingAction::CloseTracker { tracker } => {
                    self.out.push(Output::CloseTracker { tracker });
                }
                SignalingAction::CreateOffer {
                    connection,
                    info_hash,
                } => {
                    self.route(connection, info_hash);
                    self.out.push(Output::CreateOffer { connection });
                }
                SignalingAction::AcceptOffer {
                    connection,
                    info_hash,
                    sdp,
                    ..
                } => {
                    self.route(connection, info_hash);
                    self.out.push(Output::AcceptOffer { connection, sdp });
                }
                SignalingAction::ApplyAnswer {
                    connection, sdp, ..
                } => {
                    self.out.push(Output::ApplyAnswer { connection, sdp });
                }
                SignalingAction::DropConnection { connection } => {
                    self.routes.remove(&connection);
                    self.out.push(Output::CloseConnection {
                        connection,
                        reason: ClosedReason::TimedOut("nobody answered the offer"),
                    });
                }
                SignalingAction::UseIceServers { servers } => {
                    self.out.push(Output::UseIceServers { servers });
                }
                SignalingAction::Event(event) => self.signaling_event(event),
            }
        }
        busy
    }

    fn route(&mut self, connection: ConnectionId, info_hash: InfoHash) {
        let open = false;
        self.routes.insert(connection, Route { info_hash, open });
    }

    fn signaling_event(&mut self, event: SignalingEvent) {
        match event {
            SignalingEvent::Announced {
                tracker,
                info_hash,
                seeders,
                leechers,
            } => {
                self.note_tracker(tracker, true, None);
                if let Some(torrent) = self.torrents.get_mut(&info_hash)
                    && let (Some(seeders), Some(leechers)) = (seeders, leechers)
                {
                    let peers = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
                    torrent.set_swarm(peers(seeders), peers(leechers));
                }
            }
            SignalingEvent::Warning {
                tracker, message, ..
            } => self.note_tracker(tracker, true, Some(message)),
            SignalingEvent::Refused {
                tracker,
                info_hash,
                reason,
            } => {
                if let Some(info_hash) = info_hash {
                    self.say_refused(tracker, info_hash, &reason);
                }
                self.note_tracker(tracker, true, Some(reason));
            }
            SignalingEvent::Unreachable {
                tracker, reason, ..
            } => self.note_tracker(tracker, false, Some(reason)),
        }
    }

    /// Reports each torrent's refusal once. A tracker's state shows only its last word, which may be about another
    /// torrent.
    fn say_refused(&mut self, tracker: TrackerId, info_hash: InfoHash, reason: &str) {
        let (Some(told), Some(status)) = (
            self.told.get_mut(&info_hash),
            self.tracker_status.get(&tracker),
        ) else {
            return;
        };
        if told.refused_by.insert(tracker) {
            let text = format!("the tracker {} refuses it: {reason}", status.url);
            self.out.event(Event::Warning {
                info_hash: Some(info_hash),
                text,
            });
        }
    }
}
