//! The tracker: swarms, their peers, and the offers that wait for their answers.
//!
//! Owns all of the server's state about peers, and no socket, clock or entropy. The edge tells it the time (since any
//! fixed start) and seeds it once; it queues its messages ([`Tracker::poll_output`]).
//!
//! Invariants:
//! - a peer id in a swarm belongs to the connection that announced it first, until that peer stops or
//!   its connection ends: no other connection can stop it, answer for it or take it over;
//! - an answer goes to the peer whose offer it answers, once, and only from a connection to which that
//!   offer was relayed; the answerer may have another id on it than the offer was meant for, because
//!   clients that take up a torrent again do so under a new id and do not always stop the old one;
//! - offers are drawn among connections, not among ids. However many ids a connection has in a swarm, leftovers or a
//!   stranger's, an announce sends it at most one offer, and as likely as any other. A peer that is silent for
//!   [`SILENT_INTERVALS`] leaves the swarm;
//! - a connection gets credentials for TURN with the first reply to an announce, and others only after a quarter of
//!   their time;
//! - every table is bounded by [`Limits`] times the number of connections.

use crate::bucket::Bucket;
pub use crate::bucket::Rate;
use crate::ice::IceConfig;
use chacha20::ChaCha8Rng;
use piecework_signaling_protocol::{
    Action, Announce, AnnounceReply, Answer, Event, IceServers, InfoHash, OfferId, PEER_ID_IN_USE,
    PeerId, Request, RequestError, Response, Scrape, ScrapeEntry,
};
use rand_core::{Rng, SeedableRng};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// A peer that lets this many intervals pass without an announce is taken for gone.
pub const SILENT_INTERVALS: u32 = 3;

/// The limits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time between a peer's announces, as replies tell it.
    pub interval: Duration,
    /// Time that must pass before an early announce, as replies tell it.
    pub min_interval: Duration,
    /// Offers relayed of one announce; further ones are ignored.
    pub offers_per_announce: usize,
    /// Info hashes of one scrape; a longer one is refused.
    pub hashes_per_scrape: usize,
    /// Swarm memberships of one connection; a further announce is refused. A client of ours holds at most this many; a
    /// connection that uses them all takes some 300 kB.
    pub torrents_per_connection: usize,
    /// Messages (announces, answers, scrapes) of one connection; further ones are refused.
    pub messages: Rate,
    /// After this many refused messages in a row the connection is closed.
    pub max_strikes: u16,
    /// Offers relayed for one connection; further ones are ignored.
    pub offers: Rate,
    /// Offers of one peer that wait for an answer; further ones are ignored.
    pub pending_offers_per_peer: u16,
    /// How long a relayed offer may be answered.
    pub offer_lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            interval: Duration::from_secs(120),
            min_interval: Duration::from_secs(5),
            offers_per_announce: 10,
            hashes_per_scrape: 256,
            torrents_per_connection: 1024,
            messages: Rate {
                per_second: 20.0,
                burst: 512.0,
            },
            max_strikes: 100,
            offers: Rate {
                per_second: 10.0,
                burst: 256.0,
            },
            pending_offers_per_peer: 256,
            offer_lifetime: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// The bounds of the request parser.
    pub fn parser(&self) -> piecework_signaling_protocol::Limits {
        piecework_signaling_protocol::Limits {
            offers: self.offers_per_announce,
            scrape: self.hashes_per_scrape,
        }
    }
}

/// One connection, from [`Tracker::connect`] to [`Tracker::disconnect`]; reused afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub usize);

/// A request to the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this text message.
    Send {
        /// To this connection.
        to: ConnectionId,
        /// JSON.
        text: String,
    },
    /// Find out whether this connection is alive: somebody else wants its peer id.
    Probe(ConnectionId),
    /// Close this connection: it goes on sending more than it may.
    Close(ConnectionId),
}

/// Swarms and their peers.
pub struct Tracker {
    limits: Limits,
    ice: Option<IceConfig>,
    /// Seconds since 1970 at the fixed start.
    unix_at_start: u64,
    rng: ChaCha8Rng,
    connections: Slab<Connection>,
    swarms: Slab<Swarm>,
    by_hash: HashMap<InfoHash, u32>,
    members: Slab<Member>,
    by_peer: HashMap<(u32, PeerId), u32>,
    pending: HashMap<OfferKey, Pending>,
    next_serial: u32,
    outputs: VecDeque<Output>,
}

struct Connection {
    /// Distinguishes it from a later connection in the same slot.
    serial: u32,
    messages: Bucket,
    offers: Bucket,
    strikes: u16,
    /// Who it is to a TURN server: the same number for all connections of one address.
    subscriber: u64,
    /// From then on a reply names STUN and TURN servers again; 0 before the first.
    ice_due_ms: u32,
    members: Vec<u32>,
}

struct Swarm {
    info_hash: InfoHash,
    /// The first member of each connection here, then the connections' other members here.
    members: Vec<u32>,
    /// Connections: the length of the first part of `members`.
    connections: u32,
    seeders: u32,
    downloaded: u32,
}

/// One peer in one swarm.
struct Member {
    peer_id: PeerId,
    swarm: u32,
    connection: ConnectionId,
    /// Its place in the swarm's list.
    position: u32,
    /// Distinguishes it from a later member in the same slot.
    serial: u32,
    /// Its last announce.
    heard_ms: u32,
    pending: u16,
    seeder: bool,
    completed: bool,
}

#[derive(PartialEq, Eq, Hash)]
struct OfferKey {
    /// A member.
    from: u32,
    /// A connection.
    to: u32,
    offer_id: OfferId,
}

struct Pending {
    from_serial: u32,
    to_serial: u32,
    expires_ms: u32,
}

impl Tracker {
    /// An empty tracker. The seed decides which peers get which offers.
    pub fn new(limits: Limits, seed: [u8; 32]) -> Self {
        Tracker {
            limits,
            ice: None,
            unix_at_start: 0,
            rng: ChaCha8Rng::from_seed(seed),
            connections: Slab::new(),
            swarms: Slab::new(),
            by_hash: HashMap::new(),
            members: Slab::new(),
            by_peer: HashMap::new(),
            pending: HashMap::new(),
            next_serial: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Replies name these STUN and TURN servers from now on.
    pub fn name_ice_servers(&mut self, ice: IceConfig) {
        self.ice = Some(ice);
    }

    /// The seconds since 1970 that were at `now`: credentials end at such a time. The clock may be set meanwhile, so
    /// tell it again from time to time.
    pub fn tell_date(&mut self, now: Duration, unix_secs: u64) {
        self.unix_at_start = unix_secs.saturating_sub(now.as_secs());
    }

    /// Names the subscriber to whom a connection belongs: equal for equal addresses, and of no other meaning.
    pub fn set_subscriber(&mut self, connection: ConnectionId, subscriber: u64) {
        if let Some(connection) = self.connections.get_mut(connection.0) {
            connection.subscriber = subscriber;
        }
    }

    /// A peer connected.
    pub fn connect(&mut self, now: Duration) -> ConnectionId {
        self.next_serial = self.next_serial.wrapping_add(1);
        ConnectionId(self.connections.insert(Connection {
            serial: self.next_serial,
            messages: Bucket::full(self.limits.messages, now),
            offers: Bucket::full(self.limits.offers, now),
            strikes: 0,
            subscriber: 0,
            ice_due_ms: 0,
            members: Vec::new(),
        }))
    }

    /// A connection ended: its peers leave their swarms.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        if let Some(gone) = self.connections.try_remove(connection.0) {
            // Backwards: its first member of a swarm leaves last, so that none has to take that one's place.
            for member in gone.members.into_iter().rev() {
                self.remove_member(member);
            }
        }
    }

    /// A message came in, understood or not. Unknown connections are ignored.
    pub fn handle_request(
        &mut self,
        now: Duration,
        from: ConnectionId,
        request: Result<Request<'_>, RequestError>,
    ) {
        let Some(connection) = self.connections.get_mut(from.0) else {
            return;
        };
        if connection.messages.take(self.limits.messages, now, 1) == 0 {
            connection.strikes = connection.strikes.saturating_add(1);
            if connection.strikes > self.limits.max_strikes {
                self.outputs.push_back(Output::Close(from));
                return;
            }
            let (action, info_hash) = named_by(&request);
            return self.refuse(from, action, info_hash, "too many messages, slow down");
        }
        connection.strikes = 0;
        match request {
            Ok(Request::Announce(announce)) => self.handle_announce(now, from, &announce),
            Ok(Request::Answer(answer)) => self.handle_answer(now, from, &answer),
            Ok(Request::Scrape(scrape)) => self.handle_scrape(from, &scrape),
            Err(error) => self.refuse(
                from,
                error.action,
                error.info_hash,
                &error.fault.to_string(),
            ),
        }
    }

    /// Forgets offers that nobody answered in time, and peers that fell silent. Call it every few seconds.
    pub fn sweep(&mut self, now: Duration) {
        self.sweep_silent(now);
        let (members, now_ms) = (&mut self.members, millis(now));
        self.pending.retain(|key, pending| {
            let from = members
                .get_mut(key.from as usize)
                .filter(|m| m.serial == pending.from_serial);
            let alive = !expired(pending, now_ms);
            match from {
                Some(from) if !alive => from.pending = from.pending.saturating_sub(1),
                Some(_) => {}
                None => return false,
            }
            alive
        });
        if self.pending.capacity() > 1024 && self.pending.len() < self.pending.capacity() / 4 {
            self.pending.shrink_to(self.pending.len() * 2);
        }
    }

    fn sweep_silent(&mut self, now: Duration) {
        let silence_ms = millis(self.limits.interval * SILENT_INTERVALS);
        let silent: Vec<(u32, ConnectionId)> = self
            .members
            .iter()
            .filter(|(_, m)| millis(now).wrapping_sub(m.heard_ms) >= silence_ms)
            .map(|(id, m)| (id as u32, m.connection))
            .collect();
        for (member, connection) in silent {
            self.leave(connection, member);
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Open connections.
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// Swarms with at least one peer.
    pub fn swarm_count(&self) -> usize {
        self.swarms.len()
    }

    /// Peers, one in several swarms counted in each.
    pub fn peer_count(&self) -> usize {
        self.members.len()
    }

    /// Those of them that have all of it.
    pub fn seeder_count(&self) -> usize {
        self.swarms.iter().map(|(_, s)| s.seeders as usize).sum()
    }

    fn handle_announce(&mut self, now: Duration, from: ConnectionId, announce: &Announce<'_>) {
        let known = self.find(announce.info_hash, announce.peer_id);
        if let Some(member) = known
            && let Some(owner) = self.members.get(member as usize).map(|m| m.connection)
            && owner != from
        {
            // Perhaps the peer came back while its old socket is dying unnoticed.
            self.outputs.push_back(Output::Probe(owner));
            let info_hash = Some(announce.info_hash);
            return self.refuse(from, Action::Announce, info_hash, PEER_ID_IN_USE);
        }
        if announce.event == Event::Stopped {
            if let Some(member) = known {
                self.leave(from, member);
            }
            return self.reply(from, announce.info_hash, None, None);
        }
        let member = match known {
            Some(member) => member,
            None => {
                let room = self.connections.get(from.0).is_some_and(|connection| {
                    connection.members.len() < self.limits.torrents_per_connection
                });
                if !room {
                    let most = self.limits.torrents_per_connection;
                    let reason = format!("too many torrents on one connection: at most {most}");
                    return self.refuse(from, Action::Announce, Some(announce.info_hash), &reason);
                }
                self.add_member(from, announce.info_hash, announce.peer_id)
            }
        };
        self.update_member(now, member, announce);
        let (count, withheld) = self.offers_to_relay(now, from, member, announce);
        let warning = self.offers_warning(announce.skipped_offers as usize, withheld);
        let ice = self.ice_servers(now, from);
        self.reply(from, announce.info_hash, warning, ice);
        self.relay_offers(now, from, member, announce, count);
    }

    fn handle_answer(&mut self, now: Duration, from: ConnectionId, answer: &Answer<'_>) {
        let refusal = match self.take_pending(now, from, answer) {
            Ok(offerer) => {
                let text = Response::Answer {
                    info_hash: answer.info_hash,
                    peer_id: answer.peer_id,
                    offer_id: answer.offer_id,
                    sdp: answer.sdp.clone(),
                }
                .encode();
                return self.outputs.push_back(Output::Send { to: offerer, text });
            }
            Err(refusal) => refusal,
        };
        self.refuse(from, Action::Announce, Some(answer.info_hash), refusal);
    }

    /// Checks the sender and the receiver of an answer, and its swarm; the offer is answered afterwards.
    fn take_pending(
        &mut self,
        now: Duration,
        from: ConnectionId,
        answer: &Answer<'_>,
    ) -> Result<ConnectionId, &'static str> {
        self.find(answer.info_hash, answer.peer_id)
            .and_then(|answerer| self.members.get(answerer as usize))
            .filter(|answerer| answerer.connection == from)
            .ok_or("peer id was not announced on this connection")?;
        let offerer = self
            .find(answer.info_hash, answer.to_peer_id)
            .ok_or("to_peer_id is not in the swarm")?;
        let key = OfferKey {
            from: offerer,
            to: from.0 as u32,
            offer_id: answer.offer_id,
        };
        let gone = "no such offer, or it was answered already";
        let pending = self.pending.remove(&key).ok_or(gone)?;
        let answerer_serial = self.connections.get(from.0).map(|c| c.serial);
        let offerer = self
            .members
            .get_mut(offerer as usize)
            .filter(|m| m.serial == pending.from_serial)
            .ok_or(gone)?;
        offerer.pending = offerer.pending.saturating_sub(1);
        if answerer_serial != Some(pending.to_serial) || expired(&pending, millis(now)) {
            return Err(gone);
        }
        Ok(offerer.connection)
    }

    fn handle_scrape(&mut self, from: ConnectionId, scrape: &Scrape) {
        let files = scrape
            .info_hashes
            .iter()
            .map(|hash| (*hash, self.size_of(*hash)))
            .collect();
        let text = Response::Scrape { files }.encode();
        self.outputs.push_back(Output::Send { to: from, text });
    }

    fn size_of(&self, hash: InfoHash) -> ScrapeEntry {
        let swarm = self
            .by_hash
            .get(&hash)
            .and_then(|swarm| self.swarms.get(*swarm as usize));
        swarm.map_or_else(ScrapeEntry::default, |swarm| ScrapeEntry {
            complete: u64::from(swarm.seeders),
            incomplete: swarm.members.len() as u64 - u64::from(swarm.seeders),
            downloaded: u64::from(swarm.downloaded),
        })
    }

    /// What a reply to this connection names now.
    fn ice_servers(&mut self, now: Duration, to: ConnectionId) -> Option<IceServers> {
        let (ice, connection) = (self.ice.as_ref()?, self.connections.get_mut(to.0)?);
        let now_ms = millis(now);
        let had = connection.ice_due_ms;
        // Wraps with the clock, as far as `expired` does.
        if had != 0 && (now_ms.wrapping_sub(had) as i32) < 0 {
            return None;
        }
        connection.ice_due_ms = millis(now + ice.renewed_after()).max(1);
        Some(ice.issue(self.unix_at_start + now.as_secs(), connection.subscriber))
    }

    fn reply(
        &mut self,
        to: ConnectionId,
        info_hash: InfoHash,
        warning: Option<String>,
        ice: Option<IceServers>,
    ) {
        let size = self.size_of(info_hash);
        let text = Response::Announce(AnnounceReply {
            info_hash,
            interval_secs: Some(self.limits.interval.as_secs()),
            min_interval_secs: Some(self.limits.min_interval.as_secs()),
            complete: Some(size.complete),
            incomplete: Some(size.incomplete),
            warning,
            ice,
        })
        .encode();
        self.outputs.push_back(Output::Send { to, text });
    }

    fn refuse(
        &mut self,
        to: ConnectionId,
        action: Action,
        info_hash: Option<InfoHash>,
        reason: &str,
    ) {
        let text = Response::Failure {
            action,
            info_hash,
            reason: reason.to_owned(),
        }
        .encode();
        self.outputs.push_back(Output::Send { to, text });
    }

    /// The number of announced offers that go out, and the number of others that could but for the limits.
    fn offers_to_relay(
        &mut self,
        now: Duration,
        from: ConnectionId,
        member: u32,
        announce: &Announce<'_>,
    ) -> (usize, usize) {
        let (Some(connection), Some(me)) = (
            self.connections.get_mut(from.0),
            self.members.get(member as usize),
        ) else {
            return (0, 0);
        };
        let swarm = self.swarms.get(me.swarm as usize);
        let others = swarm.map_or(0, Swarm::other_connections);
        let room = (self.limits.pending_offers_per_peer).saturating_sub(me.pending);
        let wanted = (announce.offers.len())
            .min(self.limits.offers_per_announce)
            .min(others);
        let possible = wanted.min(usize::from(room));
        let count = connection.offers.take(self.limits.offers, now, possible);
        (count, wanted - count)
    }

    /// The warning to a peer about offers that nobody gets, so that it does not wait for their answers.
    fn offers_warning(&self, skipped: usize, withheld: usize) -> Option<String> {
        let most = self.limits.offers_per_announce;
        match (skipped, withheld) {
            (0, 0) => None,
            (0, withheld) => Some(format!(
                "{withheld} offers were not passed on: too many at once"
            )),
            (skipped, _) => Some(format!(
                "{skipped} offers were left out: each needs an offer_id of 20 characters of its own, and an announce takes {most}"
            )),
        }
    }

    fn relay_offers(
        &mut self,
        now: Duration,
        from: ConnectionId,
        member: u32,
        announce: &Announce<'_>,
        count: usize,
    ) {
        let Some(me) = self.members.get(member as usize) else {
            return;
        };
        let Some(swarm) = self.swarms.get(me.swarm as usize) else {
            return;
        };
        let my_place = match me.position < swarm.connections {
            true => Some(me.position),
            false => self.place_of(from, me.swarm),
        };
        let Some(my_place) = my_place.map(|place| place as usize) else {
            return;
        };
        let my_serial = me.serial;
        let expires_ms = millis(now + self.limits.offer_lifetime);
        let picks = pick_distinct(&mut self.rng, count, swarm.other_connections());
        for (pick, offer) in picks.into_iter().zip(&announce.offers) {
            // The list without my connection.
            let place = if pick < my_place { pick } else { pick + 1 };
            let Some(to) = swarm
                .members
                .get(place)
                .and_then(|to| self.members.get(*to as usize))
                .map(|to| to.connection)
            else {
                continue;
            };
            let Some(to_serial) = self.connections.get(to.0).map(|c| c.serial) else {
                continue;
            };
            let key = OfferKey {
                from: member,
                to: to.0 as u32,
                offer_id: offer.offer_id,
            };
            let pending = Pending {
                from_serial: my_serial,
                to_serial,
                expires_ms,
            };
            // An offer relayed to the same connection again is counted once. A leftover of this slot's
            // former owner was never counted for me.
            let before = self.pending.insert(key, pending);
            if before.is_none_or(|before| before.from_serial != my_serial)
                && let Some(me) = self.members.get_mut(member as usize)
            {
                me.pending += 1;
            }
            let text = Response::Offer {
                info_hash: announce.info_hash,
                peer_id: announce.peer_id,
                offer: offer.clone(),
            }
            .encode();
            self.outputs.push_back(Output::Send { to, text });
        }
    }

    fn find(&self, info_hash: InfoHash, peer_id: PeerId) -> Option<u32> {
        let swarm = *self.by_hash.get(&info_hash)?;
        self.by_peer.get(&(swarm, peer_id)).copied()
    }

    fn add_member(
        &mut self,
        connection: ConnectionId,
        info_hash: InfoHash,
        peer_id: PeerId,
    ) -> u32 {
        let swarms = &mut self.swarms;
        let swarm = *self.by_hash.entry(info_hash).or_insert_with(|| {
            swarms.insert(Swarm {
                info_hash,
                members: Vec::new(),
                connections: 0,
                seeders: 0,
                downloaded: 0,
            }) as u32
        });
        self.next_serial = self.next_serial.wrapping_add(1);
        let is_first = self.place_of(connection, swarm).is_none();
        let member = self.members.insert(Member {
            peer_id,
            swarm,
            connection,
            position: 0,
            serial: self.next_serial,
            heard_ms: 0,
            pending: 0,
            seeder: false,
            completed: false,
        }) as u32;
        if let Some(swarm) = self.swarms.get_mut(swarm as usize) {
            swarm.put_in(&mut self.members, member, is_first);
        }
        self.by_peer.insert((swarm, peer_id), member);
        if let Some(connection) = self.connections.get_mut(connection.0) {
            // Most connections hold one torrent; a growing list would start with room for four.
            connection.members.reserve_exact(1);
            connection.members.push(member);
        }
        member
    }

    fn update_member(&mut self, now: Duration, member: u32, announce: &Announce<'_>) {
        let Some(member) = self.members.get_mut(member as usize) else {
            return;
        };
        member.heard_ms = millis(now);
        let Some(swarm) = self.swarms.get_mut(member.swarm as usize) else {
            return;
        };
        let completed = announce.event == Event::Completed;
        let seeder = completed || announce.left == Some(0);
        if seeder != member.seeder {
            member.seeder = seeder;
            swarm.seeders = if seeder {
                swarm.seeders + 1
            } else {
                swarm.seeders.saturating_sub(1)
            };
        }
        if completed && !member.completed {
            member.completed = true;
            swarm.downloaded = swarm.downloaded.saturating_add(1);
        }
    }

    fn leave(&mut self, connection: ConnectionId, member: u32) {
        if let Some(connection) = self.connections.get_mut(connection.0) {
            connection.members.retain(|m| *m != member);
        }
        self.remove_member(member);
    }

    /// Takes a member out of its swarm, not out of its connection's list. Its pending offers stay
    /// until the sweep; their serials no longer match.
    fn remove_member(&mut self, member: u32) {
        let Some(gone) = self.members.try_remove(member as usize) else {
            return;
        };
        self.by_peer.remove(&(gone.swarm, gone.peer_id));
        let heir = self.place_of_heir(&gone);
        let Some(swarm) = self.swarms.get_mut(gone.swarm as usize) else {
            return;
        };
        swarm.seeders = swarm.seeders.saturating_sub(u32::from(gone.seeder));
        swarm.take_out(&mut self.members, gone.position, heir);
        if swarm.members.is_empty() {
            let info_hash = swarm.info_hash;
            self.by_hash.remove(&info_hash);
            self.swarms.remove(gone.swarm as usize);
        }
    }

    /// Where a connection's first member in a swarm stands in the swarm's list.
    fn place_of(&self, connection: ConnectionId, swarm: u32) -> Option<u32> {
        let members = &self.connections.get(connection.0)?.members;
        let mut members = members.iter().filter_map(|m| self.members.get(*m as usize));
        members.find(|m| m.swarm == swarm).map(|m| m.position)
    }

    /// The place of the member that is its connection's first in the swarm after this one, if this one was and another
    /// is there.
    fn place_of_heir(&self, gone: &Member) -> Option<u32> {
        let swarm = self.swarms.get(gone.swarm as usize)?;
        let has_further = swarm.members.len() > swarm.connections as usize;
        let was_first = gone.position < swarm.connections;
        (has_further && was_first)
            .then(|| self.place_of(gone.connection, gone.swarm))
            .flatten()
    }
}

impl Swarm {
    /// The number of peers that an offer can go to.
    fn other_connections(&self) -> usize {
        (self.connections as usize).saturating_sub(1)
    }

    fn put_in(&mut self, members: &mut Slab<Member>, member: u32, is_first: bool) {
        let end = self.members.len() as u32;
        self.members.push(member);
        let mut place = end;
        if is_first {
            place = self.connections;
            self.connections += 1;
        }
        self.swap(members, end, place);
    }

    /// Takes out the member at `place`; the one at `heir` is its connection's first now.
    fn take_out(&mut self, members: &mut Slab<Member>, place: u32, heir: Option<u32>) {
        let mut hole = place;
        if place < self.connections {
            hole = heir.unwrap_or_else(|| {
                self.connections -= 1;
                self.connections
            });
            self.swap(members, place, hole);
        }
        let last = (self.members.len() as u32).saturating_sub(1);
        self.swap(members, hole, last);
        self.members.pop();
    }

    /// Two of the list trade places.
    fn swap(&mut self, members: &mut Slab<Member>, a: u32, b: u32) {
        if (a.max(b) as usize) < self.members.len() {
            self.members.swap(a as usize, b as usize);
        }
        for place in [a, b] {
            let member = self.members.get(place as usize);
            if let Some(member) = member.and_then(|m| members.get_mut(*m as usize)) {
                member.position = place;
            }
        }
    }
}

fn named_by(request: &Result<Request<'_>, RequestError>) -> (Action, Option<InfoHash>) {
    match request {
        Ok(Request::Announce(announce)) => (Action::Announce, Some(announce.info_hash)),
        Ok(Request::Answer(answer)) => (Action::Announce, Some(answer.info_hash)),
        Ok(Request::Scrape(scrape)) => (Action::Scrape, scrape.info_hashes.first().copied()),
        Err(error) => (error.action, error.info_hash),
    }
}

fn millis(now: Duration) -> u32 {
    now.as_millis() as u32
}

fn expired(pending: &Pending, now_ms: u32) -> bool {
    // Wraps with the clock: a lifetime is far below the 24 days that this can tell apart.
    now_ms.wrapping_sub(pending.expires_ms) as i32 >= 0
}

/// `count` distinct numbers below `below` in random order (Floyd's method; `count` is small).
fn pick_distinct(rng: &mut ChaCha8Rng, count: usize, below: usize) -> Vec<usize> {
    let count = count.min(below);
    let mut picks: Vec<usize> = Vec::with_capacity(count);
    for top in below - count..below {
        let pick = random_below(rng, top + 1);
        let pick = if picks.contains(&pick) { top } else { pick };
        // Floyd's order is not random by itself: the later ones tend to the end.
        let at = random_below(rng, picks.len() + 1);
        picks.insert(at, pick);
    }
    picks
}

fn random_below(rng: &mut ChaCha8Rng, below: usize) -> usize {
    // A swarm has fewer than 2^32 peers, so the bias is not worth a second draw.
    ((u64::from(rng.next_u32()) * below as u64) >> 32) as usize
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
