//! The picker of one torrent: it chooses the next block to ask a peer for.
//!
//! The picker owns the order of requests: the wanted pieces, the pieces of each peer, their rarity, their deadlines and
//! the turns. [`Pieces`] knows where each block stands, and every call lends it. The picker sends nothing and knows no
//! files. The torrent reports what happened, and asks for blocks by [`Picker::pick`].
//!
//! The order of choice for one peer:
//! 1. For a seller, the pieces that it alone delivers and those at stake.
//! 2. Blocks ahead of a playhead, by deadline.
//! 3. Pieces that failed and that it is this peer's turn to bring.
//! 4. Pieces that are begun.
//! 5. The rarest piece that is not begun, and a random one for the first few pieces.
//! 6. When every block is out, a free peer is asked for some of them once more.
//!
//! Invariants, each a test:
//! - nobody is asked for a verified piece, and no peer for a piece that it lacks;
//! - a piece that a paid peer delivers is asked of that peer alone, in order of offset, so a block is never out to two
//!   paid peers (docs/protocol.md, "Which blocks are charged" and "Advances in v1 torrents");
//! - blocks of several senders are never mixed again in a piece that failed with several senders;
//! - no peer is paid for a block that a strictly cheaper one delivers in time;
//! - a request ends in exactly one way: the block is received, it is given back, or its piece is verified or fails.

mod admission;
mod choose;
mod peers;
mod rarity;
mod slow;
#[cfg(test)]
mod tests;
mod turns;

use core::ops::Range;

use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use bytes::Bytes;

use crate::bitfield::{Bitfield, ones};
use crate::pieces::{GiveUp, PieceOwner, Pieces, Suspect, Taken};
use crate::sorted::{Map, Set};
use crate::time::{Duration, Timestamp};
use crate::types::{BlockRef, ConnectionId, PieceIndex};

use peers::Peer;
pub use peers::PeerStatus;
use rarity::Rarity;
use slow::Probe;
use turns::Failed;

/// The picker passes over a cheaper peer that delivers nothing for this long while a dearer one waits for it. It gives
/// a piece whose only source does nothing for this long to another peer.
pub const PATIENCE: Duration = Duration::from_secs(4);
/// Blocks due this soon are urgent. The picker asks a second free peer for those that are late.
pub const URGENT: Duration = Duration::from_secs(4);
/// The age at which a request for an urgent block is late.
pub const LATE: Duration = Duration::from_millis(700);
/// In the endgame, the age at which a request is copied to a free peer that would be faster.
pub const ENDGAME_AFTER: Duration = Duration::from_millis(300);
/// The least gain of time for which a copy is worth it in the endgame. A block that its sender is about to send can no
/// longer be cancelled.
pub const ENDGAME_GAIN: Duration = Duration::from_secs(1);
/// In the endgame any free peer helps out a peer that sent no block for this long.
pub const ENDGAME_LATE: Duration = Duration::from_secs(2);
/// In the endgame the picker asks a peer that owes this many blocks for no copies.
pub const ENDGAME_QUEUE: usize = 4;
/// The time before its deadline by which a block should be here when a cheaper peer is to deliver it.
pub const SAFETY: Duration = Duration::from_millis(1_500);
/// Bytes per second that the picker expects of a peer before it is measured.
pub const ASSUMED_RATE: u64 = 128 * 1024;
/// Windows (readers) that the picker considers; it ignores the rest.
pub const MAX_WINDOWS: usize = 16;
/// Pieces of all windows together that get a deadline; the picker ignores the latest ones.
pub const MAX_DEADLINES: usize = 1024;
/// The picker chooses this many first pieces at random, so that a newcomer soon has something to trade.
pub const RANDOM_FIRST_PIECES: u32 = 4;
/// While readers wait, the picker judges this often which peers can meet a deadline.
pub const REVIEW: Duration = Duration::from_millis(500);
/// The picker leaves a peer alone for this long after it refused a request without choking.
pub const REFUSAL_PAUSE: Duration = Duration::from_secs(2);

/// The pieces to fetch besides those of the windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The whole torrent.
    All,
    /// Only these pieces. An empty list means only the pieces that readers ask for.
    Pieces(Vec<Range<u32>>),
}

/// The pieces that one reader will need soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The pieces, in the order of need.
    pub pieces: Range<u32>,
    /// The time at which the first of them is due.
    pub deadline: Timestamp,
    /// The time between the deadlines of two neighbours.
    pub spacing: Duration,
}

/// The use of a block that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// The torrent keeps it.
    Wanted {
        /// Every block of the piece is here. The torrent verifies it, then calls [`Picker::done`] or
        /// [`Picker::piece_failed`].
        piece_complete: bool,
        /// The other peers that were asked for the same block. The torrent cancels it there; it no longer counts as
        /// asked.
        cancel: Vec<ConnectionId>,
    },
    /// Its piece failed, and another peer brings it now. The block is kept for its sender's next turn, with the blocks
    /// that the sender brought before.
    Kept,
    /// It is here already.
    Duplicate,
    /// Its piece is not being fetched, or there is no such block.
    Unrequested,
}

/// Chooses blocks of one torrent, whose [`Pieces`] every call lends. The torrent reports peers
/// ([`Picker::peer_joined`], [`Picker::peer_bitfield`], [`Picker::peer_has`], [`Picker::peer_status`]) and wishes
/// ([`Picker::set_wanted`], [`Picker::set_windows`]). It calls [`Picker::pick`] whenever a peer has room, and
/// [`Pieces::take_given_up`] after each pick. It reports each block by [`Picker::received`] or gives it back.
#[derive(Debug)]
pub struct Picker {
    count: u32,
    base_wanted: Bitfield,
    /// `base_wanted` and every piece of a window.
    wanted: Bitfield,
    /// The pieces that readers may need later.
    later: Bitfield,
    /// The pieces that come before other wanted ones.
    first: Bitfield,
    windows: Vec<Window>,
    /// Sorted by time; only pieces that are not verified.
    deadlines: Vec<(Timestamp, u32)>,
    rarity: Rarity,
    partial_budget: u64,
    /// The bytes that all pieces together may take, verified and begun.
    room: u64,
    /// The pieces that failed their hash with several senders.
    failed: Map<u32, Failed>,
    /// Boxed: each pick takes a peer out and puts it back, and a box moves few bytes.
    peers: Map<ConnectionId, Box<Peer>>,
    /// Pieces that were to come whole and whose turn ended, to be given up.
    ended: Set<PieceIndex>,
    /// A counter of peers that came and of turns that ended.
    order: u64,
    /// The time of the last block or of the last look at turns.
    seen: Timestamp,
    /// The pieces that are paid for in part and not verified. The picker gives none of them up for the sake of others.
    staked: Set<u32>,
    /// Staked pieces come before all others, because no further piece could be paid for.
    staked_first: bool,
    /// The peer that is asked for one block although it was waited for in vain.
    probed: Option<Probe>,
    rng: ChaCha20Rng,
    /// A count of the pieces and peers that the picker looked at, for the test of its cost.
    work: u64,
}

impl Picker {
    /// A picker that wants all pieces of the torrent. `seed` decides ties.
    pub fn new(pieces: &Pieces, seed: [u8; 32]) -> Picker {
        let count = pieces.geometry().piece_count();
        let mut picker = Picker {
            count,
            base_wanted: Bitfield::empty(count),
            wanted: Bitfield::empty(count),
            later: Bitfield::empty(count),
            first: Bitfield::empty(count),
            windows: Vec::new(),
            deadlines: Vec::new(),
            rarity: Rarity::new(count),
            partial_budget: 32 << 20,
            room: u64::MAX,
            failed: Map::new(),
            peers: Map::new(),
            ended: Set::new(),
            order: 0,
            seen: Timestamp::ZERO,
            staked: Set::new(),
            staked_first: false,
            probed: None,
            rng: ChaCha20Rng::from_seed(seed),
            work: 0,
        };
        picker.set_wanted(pieces, Wanted::All);
        picker
    }

    /// Sets the bytes of begun pieces that may be held. One piece is always allowed. A piece of a window may exceed the
    /// budget by a quarter of it or by one piece, whichever is more.
    pub fn set_partial_budget(&mut self, bytes: u64) {
        self.partial_budget = bytes;
    }

    /// Sets the bytes that pieces may take in all, verified and begun. The picker begins no piece that would exceed
    /// them.
    pub fn set_room(&mut self, bytes: u64) {
        self.room = bytes;
    }

    /// Whether a piece is here, begun, or finds room to begin. Room may come from a begun piece that nobody waits for.
    pub fn has_room_for(&self, pieces: &Pieces, piece: PieceIndex) -> bool {
        if self.fits(pieces, piece) || pieces.done().contains(piece.0) {
            return true;
        }
        let given_up: u64 = (pieces.unrequested().iter())
            .filter(|other| pieces.partial(**other).is_some_and(|p| p.requested() == 0))
            .filter(|other| !self.is_due(**other))
            .map(|other| length_of(pieces, *other))
            .sum();
        pieces.room_taken() - given_up + length_of(pieces, piece) <= self.room
    }

    /// Whether a piece is begun, or fits into the room for all.
    fn fits(&self, pieces: &Pieces, piece: PieceIndex) -> bool {
        pieces.partial(piece).is_some()
            || self.room == u64::MAX
            || pieces.room_taken() + length_of(pieces, piece) <= self.room
    }

    /// Replaces the pieces that are wanted besides those of the windows. Blocks that are out stay out.
    pub fn set_wanted(&mut self, pieces: &Pieces, wanted: Wanted) {
        self.base_wanted = match wanted {
            Wanted::All => Bitfield::full(self.count),
            Wanted::Pieces(ranges) => {
                let mut bits = Bitfield::empty(self.count);
                for range in ranges {
                    for piece in range.start..range.end.min(self.count) {
                        bits.insert(piece);
                    }
                }
                bits
            }
        };
        self.apply_wanted(pieces);
    }

    /// Names the pieces that are paid for in part and not verified. With `first` the picker asks a seller for their
    /// missing blocks before anything else, whatever the readers need, because nothing else could be paid for.
    pub fn set_staked(&mut self, pieces: Set<u32>, first: bool) {
        self.staked = pieces;
        self.staked_first = first;
    }

    /// Replaces the windows of the readers. Pieces of a window are wanted as long as it stands. Answers whether any
    /// piece became wanted or ceased to be, because that may change which peers are interesting.
    pub fn set_windows(&mut self, pieces: &Pieces, windows: &[Window]) -> bool {
        let windows = &windows[..windows.len().min(MAX_WINDOWS)];
        if self.windows == windows {
            return false;
        }
        self.windows = windows.to_vec();
        self.deadlines.clear();
        let share = MAX_DEADLINES / windows.len().max(1);
        for window in windows {
            let end = window.pieces.end.min(self.count);
            for (i, piece) in (window.pieces.start..end).take(share).enumerate() {
                if !pieces.done().contains(piece) {
                    let later = window.spacing.saturating_mul(i as u32);
                    self.deadlines.push((window.deadline + later, piece));
                }
            }
        }
        self.deadlines.sort_unstable();
        let mut seen = Set::new();
        self.deadlines.retain(|&(_, piece)| seen.insert(piece));
        self.apply_wanted(pieces)
    }

    /// A peer connected. It has no pieces and is not usable until the torrent says otherwise.
    pub fn peer_joined(&mut self, conn: ConnectionId) {
        if self.peers.contains_key(&conn) {
            return;
        }
        self.order += 1;
        let peer = Peer::new(self.count, self.order);
        self.peers.insert(conn, Box::new(peer));
    }

    /// Takes a peer's price, its speed and whether it may be asked. A new peer joins. A peer that stops selling shares
    /// its pieces with others, as free peers do. Before a peer begins to sell, the torrent takes back its requests
    /// ([`Picker::timed_out`]).
    pub fn peer_status(&mut self, pieces: &mut Pieces, conn: ConnectionId, status: PeerStatus) {
        self.peer_joined(conn);
        if let Some(peer) = self.peers.get_mut(&conn) {
            if status.usable && !peer.status.usable {
                peer.held_since = None;
            }
            peer.measured = peer.measured.max(status.rate);
            let gives = status.price.0 == 0 && !peer.free();
            peer.status = status;
            if gives {
                share(pieces, conn);
            }
        }
    }

    /// Replaces the set of a peer's pieces (BEP 3 `bitfield`, BEP 6 have all and have none). A bitfield of another
    /// length is ignored.
    pub fn peer_bitfield(&mut self, conn: ConnectionId, have: Bitfield) {
        if have.len() != self.count {
            return;
        }
        self.peer_joined(conn);
        let Some(mut peer) = self.peers.remove(&conn) else {
            return;
        };
        self.uncount(&peer);
        peer.seed = have.is_full();
        if peer.seed {
            self.rarity.add_seed();
        } else {
            for piece in have.iter() {
                self.rarity.increment(piece, &mut self.rng);
            }
        }
        peer.have = have;
        self.peers.insert(conn, peer);
    }

    /// A peer has one more piece.
    pub fn peer_has(&mut self, conn: ConnectionId, piece: PieceIndex) {
        self.peer_joined(conn);
        if let Some(peer) = self.peers.get_mut(&conn)
            && peer.have.insert(piece.0)
        {
            self.rarity.increment(piece.0, &mut self.rng);
        }
    }

    /// A peer left. Its requests are given back.
    pub fn peer_gone(&mut self, pieces: &mut Pieces, conn: ConnectionId) {
        self.release(pieces, conn, |_| true);
        for failed in self.failed.values_mut() {
            failed.peer_gone(conn);
        }
        if let Some(peer) = self.peers.remove(&conn) {
            self.uncount(&peer);
        }
        pieces.peer_gone(conn);
    }

    /// A piece is verified, or was found in storage. Nobody is asked for it again.
    pub fn done(&mut self, piece: PieceIndex) {
        self.rarity.unlist(piece.0);
        self.failed.remove(&piece.0);
        self.deadlines.retain(|&(_, p)| p != piece.0);
    }

    /// A verified piece is gone from storage and must be fetched again.
    pub fn lost(&mut self, pieces: &Pieces, piece: PieceIndex) {
        self.relist(pieces, piece.0);
        // Its deadlines come back with the next window.
        self.windows.clear();
    }

    /// Blocks that were read back from storage after a restart began a piece.
    pub fn restored(&mut self, pieces: &mut Pieces, piece: PieceIndex) {
        self.rarity.unlist(piece.0);
        // A paid peer may have sent these blocks: one other peer finishes the piece.
        if let Some(delivery) = pieces.delivery_mut(piece) {
            delivery.owner = PieceOwner::Vacant;
        }
    }

    /// A block arrived from `conn`. It may be one that was given back before.
    #[inline(never)]
    pub fn received(
        &mut self,
        pieces: &mut Pieces,
        now: Timestamp,
        conn: ConnectionId,
        block: BlockRef,
        data: &Bytes,
    ) -> Received {
        if pieces.geometry().block_number(block).is_none() {
            return Received::Unrequested;
        }
        self.seen = now;
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.held_since = None;
            peer.note_rate(now);
            peer.last_block = now;
            peer.received += 1;
        }
        if pieces.done().contains(block.piece.0) {
            return Received::Duplicate;
        }
        if self.is_kept(pieces, conn, block) {
            pieces.keep_late(Suspect {
                from: conn,
                block,
                data: data.clone(),
                advanced: false,
            });
            return Received::Kept;
        }
        self.begin_with(pieces, now, conn, block.piece);
        match pieces.receive(now, conn, block, data) {
            None => Received::Unrequested,
            Some(Taken::Duplicate) => Received::Duplicate,
            Some(Taken::Wanted(cancel)) => {
                let piece_complete =
                    (pieces.partial(block.piece)).is_some_and(|partial| partial.is_complete());
                Received::Wanted {
                    piece_complete,
                    cancel,
                }
            }
        }
    }

    /// A peer refused one request (BEP 6), or the torrent took it back. The picker may ask another peer.
    pub fn rejected(
        &mut self,
        pieces: &mut Pieces,
        now: Timestamp,
        conn: ConnectionId,
        block: BlockRef,
    ) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if pieces.asked_at(conn, block).is_some() {
            if peer.status.usable {
                peer.paused_until = now + REFUSAL_PAUSE;
            }
            self.give_back(pieces, conn, block);
            self.let_go(pieces, now, conn);
        }
    }

    /// A peer choked us. Its requests are void, but for pieces that it serves all the same (BEP 6 allowed fast). It
    /// stays the source of a piece that it alone delivers, for [`PATIENCE`].
    pub fn choked(
        &mut self,
        pieces: &mut Pieces,
        now: Timestamp,
        conn: ConnectionId,
        serves: &Set<u32>,
    ) {
        self.give_back_all(pieces, conn, |piece| !serves.contains(&piece.0));
        self.let_go(pieces, now, conn);
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.status.usable = false;
        }
    }

    /// A peer's requests timed out and were cancelled. The picker may ask others for these blocks at once.
    pub fn timed_out(&mut self, pieces: &mut Pieces, conn: ConnectionId) {
        self.release(pieces, conn, |_| true);
    }

    /// A piece failed its hash: all its blocks are wanted again. With `whole_from_one` its blocks came from several
    /// peers. From then on one peer alone brings it, so that the bytes show which peer sent wrong ones. Returns the
    /// peers that still owe blocks of it, to be cancelled.
    pub fn piece_failed(
        &mut self,
        pieces: &mut Pieces,
        piece: PieceIndex,
        whole_from_one: bool,
    ) -> Vec<(ConnectionId, BlockRef)> {
        if piece.0 >= self.count {
            return Vec::new();
        }
        let how = match whole_from_one {
            true => GiveUp::Keep,
            false => GiveUp::Drop,
        };
        if whole_from_one {
            self.failed.entry(piece.0).or_default();
            pieces.suspect(piece);
        }
        let owed = pieces.give_up(piece, how);
        self.relist(pieces, piece.0);
        owed
    }

    /// The edge could not hash a piece: all its blocks are wanted again, and no peer is to blame.
    pub fn piece_not_hashed(&mut self, pieces: &mut Pieces, piece: PieceIndex) {
        pieces.give_up(piece, self.kept_or_forgotten(piece));
        self.relist(pieces, piece.0);
    }

    /// The wanted pieces that failed their hash with several senders and are not verified since.
    pub(super) fn wanted_failed(&self) -> impl Iterator<Item = u32> + '_ {
        let failed = self.failed.keys().copied();
        failed.filter(|piece| self.wanted.contains(*piece))
    }

    /// Whether there is such a piece.
    pub fn wants_any_failed(&self) -> bool {
        self.wanted_failed().next().is_some()
    }

    /// The first wanted pieces from `from` on, at most `count` neighbours, of which `conn`, a free peer, might be asked
    /// for something.
    pub fn next_run(
        &self,
        pieces: &Pieces,
        now: Timestamp,
        conn: ConnectionId,
        from: u32,
        count: usize,
    ) -> Set<u32> {
        let have = self.peers.get(&conn).map(|peer| &peer.have);
        let open = |piece: &u32| {
            self.wanted.contains(*piece)
                && !pieces.done().contains(*piece)
                && have.is_some_and(|have| have.contains(*piece))
                && (pieces.partial(PieceIndex(*piece)))
                    .is_none_or(|p| p.missing() > 0 && p.admits(conn, true, now))
        };
        let mut run = Set::new();
        for piece in from..self.count {
            if open(&piece) {
                run.insert(piece);
            } else if !run.is_empty() {
                break;
            }
            if run.len() == count {
                break;
            }
        }
        run
    }

    /// Whether a piece failed its hash with several senders and is not verified since.
    pub fn has_failed(&self, piece: PieceIndex) -> bool {
        self.failed.contains_key(&piece.0)
    }

    fn kept_or_forgotten(&self, piece: PieceIndex) -> GiveUp {
        match self.has_failed(piece) {
            true => GiveUp::Keep,
            false => GiveUp::Forget,
        }
    }

    /// The pieces of a connected peer.
    pub fn peer_pieces(&self, conn: ConnectionId) -> Option<&Bitfield> {
        self.peers.get(&conn).map(|peer| &peer.have)
    }

    /// Chooses up to `max` blocks for `conn`, appends them to `out` and counts them as asked of it.
    ///
    /// With `only` the picker chooses among these pieces alone, although the peer chokes us (BEP 6 allowed fast).
    #[inline(never)]
    pub fn pick(
        &mut self,
        pieces: &mut Pieces,
        now: Timestamp,
        conn: ConnectionId,
        max: usize,
        only: Option<&Set<u32>>,
        out: &mut Vec<BlockRef>,
    ) {
        // The peer is taken out, so that the picker can look at the others meanwhile.
        let Some(mut peer) = self.peers.remove(&conn) else {
            return;
        };
        if max > 0 && peer.paused_until <= now && (peer.status.usable || only.is_some()) {
            choose::choose(self, pieces, now, conn, &mut peer, max, only, out);
        }
        self.peers.insert(conn, peer);
    }

    /// The time at which another pick for every peer with room may give more, although no block came: the patience with
    /// a peer ends, a deadline comes near, or the last blocks are late.
    pub fn next_timeout(&self, pieces: &Pieces, now: Timestamp) -> Timestamp {
        let endgame = (pieces.partials()).any(|(_, partial)| partial.requested() > 0)
            && self.everything_is_out(pieces);
        let review = (endgame || !self.deadlines.is_empty()).then_some(now + REVIEW);
        let held = self.peers.values().filter_map(|p| p.held_since);
        let paused = self.peers.values().map(|p| p.paused_until);
        let owners = pieces.unrequested().iter().filter_map(|piece| {
            let delivery = pieces.partial(*piece)?.delivery();
            matches!(delivery.owner, PieceOwner::Sole(_)).then_some(delivery.touched)
        });
        let whole = (self.failed.iter()).filter_map(|(piece, failed)| {
            match pieces.partial(PieceIndex(*piece)) {
                Some(partial) => partial.has_turn().then(|| Self::turn_ends_at(partial, now)),
                None => failed.waits.map(|(since, _)| since + PATIENCE),
            }
        });
        let probed = self.peers.values().filter(|p| p.status.snubbed);
        let probed = probed.map(|p| p.probed_at);
        held.chain(owners)
            .map(|since| since + PATIENCE)
            .chain(paused)
            .chain(probed)
            .chain(whole)
            .chain(self.probed.map(|probe| probe.until))
            .filter(|&at| at > now)
            .chain(review)
            .min()
            .unwrap_or(Timestamp::NEVER)
    }

    /// The pieces that are fetched, those of windows among them.
    pub fn wanted(&self) -> &Bitfield {
        &self.wanted
    }

    /// Names the pieces that are begun before other wanted ones.
    pub fn set_first(&mut self, first: Bitfield) {
        self.first = first;
    }

    /// Takes back the requests for pieces that are not wanted any more. A seller's piece of which something came is
    /// finished: what was paid of it would be lost. Answers the requests to cancel, with their peers.
    pub fn withdraw_unwanted(&mut self, pieces: &mut Pieces) -> Vec<(ConnectionId, BlockRef)> {
        let given_up = |(piece, partial): &(PieceIndex, &crate::pieces::Partial)| {
            let paid = match partial.delivery().owner {
                PieceOwner::Sole(conn) => self.peers.get(&conn).is_none_or(|peer| !peer.free()),
                _ => false,
            };
            let stays = self.wanted.contains(piece.0)
                || self.staked.contains(&piece.0)
                || partial.has_turn()
                || paid && partial.received() > 0;
            !stays
        };
        let given_up: Set<PieceIndex> = (pieces.partials().filter(given_up))
            .map(|(piece, _)| piece)
            .collect();
        let mut owed = Vec::new();
        for conn in self.peers.keys().copied() {
            let out = pieces.requests(conn).keys();
            owed.extend(
                out.filter(|block| given_up.contains(&block.piece))
                    .map(|block| (conn, *block)),
            );
        }
        for (conn, block) in &owed {
            self.give_back(pieces, *conn, *block);
        }
        owed
    }

    /// Names the pieces that readers may need later. Nobody is asked for them, but who has them stays of interest: else
    /// a peer would choke us each time that a window is full, and be asked twice for what is out when that crosses with
    /// our next requests.
    pub fn set_later(&mut self, later: Bitfield) {
        self.later = later;
    }

    /// Whether the peer has a piece that is not verified, and that is wanted, or may be later (BEP 3 `interested`).
    pub fn interested(&self, pieces: &Pieces, conn: ConnectionId) -> bool {
        self.peers.get(&conn).is_some_and(|peer| {
            let wanted = (self.wanted.words().iter().zip(self.later.words()))
                .map(|(now, later)| now | later);
            let have = pieces.done().words();
            (peer.have.words().iter().zip(have).zip(wanted)).any(|((p, h), w)| p & w & !h != 0)
        })
    }

    /// Whether a piece is paid for in part and not verified.
    pub fn is_anything_staked(&self) -> bool {
        !self.staked.is_empty()
    }

    /// Whether every wanted piece, those of windows included, is verified.
    pub fn is_complete(&self, pieces: &Pieces) -> bool {
        let done = pieces.done().words();
        (self.wanted.words().iter().zip(done)).all(|(w, h)| w & !h == 0)
    }

    /// Whether the picker may ask for a wanted piece that a peer has and that nobody is asked for.
    pub fn is_anything_left(&self, pieces: &Pieces) -> bool {
        let new = self
            .rarity
            .listed_available()
            .first()
            .copied()
            .map(PieceIndex);
        let for_window = !self.deadlines.is_empty();
        new.is_some_and(|piece| {
            self.fits(pieces, piece) && self.has_budget_for(pieces, piece, for_window)
        }) || (pieces.unrequested().iter()).any(|piece| {
            self.wanted.contains(piece.0)
                && self.rarity.availability(piece.0) > 0
                && (pieces.partial(*piece)).is_some_and(|p| p.requested() == 0 && !p.has_turn())
        })
    }

    /// Whether the budget for begun pieces allows one more.
    fn has_budget_for(&self, pieces: &Pieces, piece: PieceIndex, for_window: bool) -> bool {
        let mut budget = self.partial_budget;
        if for_window {
            budget += (budget / 4).max(u64::from(pieces.geometry().piece_length()));
        }
        let begun = pieces.begun_bytes();
        begun == 0 || begun + length_of(pieces, piece) <= budget
    }

    /// Whether every wanted block that a peer has is out.
    pub fn everything_is_out(&self, pieces: &Pieces) -> bool {
        self.rarity.listed_available().is_empty()
            && !(pieces.unrequested().iter()).any(|piece| {
                self.wanted.contains(piece.0)
                    && self.rarity.availability(piece.0) > 0
                    && pieces.partial(*piece).is_some_and(|p| !p.has_turn())
            })
    }

    /// Answers whether any piece became wanted or ceased to be.
    fn apply_wanted(&mut self, pieces: &Pieces) -> bool {
        let mut wanted = self.base_wanted.clone();
        for &(_, piece) in &self.deadlines {
            wanted.insert(piece);
        }
        let changed: Vec<u64> = (wanted.words().iter().zip(self.wanted.words()))
            .map(|(new, old)| new ^ old)
            .collect();
        self.wanted = wanted;
        for piece in ones(&changed) {
            if self.wanted.contains(piece) {
                self.relist(pieces, piece);
            } else {
                self.rarity.unlist(piece);
            }
        }
        changed.iter().any(|word| *word != 0)
    }

    /// Lists a piece as not begun, if it is wanted and neither begun nor done.
    fn relist(&mut self, pieces: &Pieces, piece: u32) {
        let open = self.wanted.contains(piece)
            && !pieces.done().contains(piece)
            && pieces.partial(PieceIndex(piece)).is_none();
        if open {
            self.rarity.list(piece, &mut self.rng);
        }
    }

    fn begin(&mut self, pieces: &mut Pieces, now: Timestamp, piece: PieceIndex) {
        if pieces.partial(piece).is_none() {
            self.rarity.unlist(piece.0);
            pieces.begin(now, piece, self.has_failed(piece));
        }
    }

    /// Begins a piece again with a block that came after all requests for the piece were taken back. The block is as
    /// good as any, and a peer would be asked for it once more. A seller's is taken although nobody wants the piece any
    /// more: the seller counts it, and it can be paid only if its piece is verified. Unpaid blocks would use up the
    /// seller's credit for good.
    fn begin_with(
        &mut self,
        pieces: &mut Pieces,
        now: Timestamp,
        conn: ConnectionId,
        piece: PieceIndex,
    ) {
        let is_sold = self.peers.get(&conn).is_some_and(|peer| !peer.free());
        let is_new = self.rarity.is_listed(piece.0) || is_sold && pieces.partial(piece).is_none();
        let is_open = is_new && !self.has_failed(piece);
        if !is_open || !self.fits(pieces, piece) || !self.has_budget_for(pieces, piece, true) {
            return;
        }
        self.begin(pieces, now, piece);
        let Some(peer) = self.peers.get(&conn).filter(|peer| !peer.free()) else {
            return;
        };
        // A late block from a peer that chokes, or that was waited for in vain, keeps the piece from no other peer.
        let owner = match peer.promising(now) {
            true => PieceOwner::Sole(conn),
            false => PieceOwner::Vacant,
        };
        if let Some(delivery) = pieces.delivery_mut(piece) {
            delivery.owner = owner;
        }
    }

    /// Gives a begun piece up. The blocks of a failed one are kept for their senders' turns. Answers the requests to
    /// cancel, with their peers.
    fn drop_partial(
        &mut self,
        pieces: &mut Pieces,
        piece: PieceIndex,
    ) -> Vec<(ConnectionId, BlockRef)> {
        self.note_end_of_turn(pieces, piece);
        let owed = pieces.give_up(piece, self.kept_or_forgotten(piece));
        self.relist(pieces, piece.0);
        owed
    }

    /// A block is not asked of a peer after all. The picker may ask others for it at once.
    pub fn give_back(&mut self, pieces: &mut Pieces, conn: ConnectionId, block: BlockRef) {
        pieces.give_back(conn, block);
        // A piece without a request and without a block counts as never begun.
        let partial = pieces.partial(block.piece);
        if partial.is_some_and(|p| p.received() == 0 && p.requested() == 0) {
            self.drop_partial(pieces, block.piece);
        }
    }

    fn give_back_all(
        &mut self,
        pieces: &mut Pieces,
        conn: ConnectionId,
        of: impl Fn(PieceIndex) -> bool,
    ) {
        let owed = pieces.requests(conn).keys().filter(|block| of(block.piece));
        for block in owed.copied().collect::<Vec<_>>() {
            self.give_back(pieces, conn, block);
        }
    }

    /// Takes back a peer's requests for some pieces, and those of these pieces that it alone was to deliver.
    fn release(
        &mut self,
        pieces: &mut Pieces,
        conn: ConnectionId,
        of: impl Fn(PieceIndex) -> bool,
    ) {
        self.give_back_all(pieces, conn, &of);
        let sole = PieceOwner::Sole(conn);
        let own = pieces.partials().filter(|(piece, partial)| {
            of(*piece) && partial.delivery().owner == sole && !partial.is_complete()
        });
        let own: Vec<(PieceIndex, bool)> = own
            .map(|(piece, partial)| (piece, partial.delivery().whole))
            .collect();
        for (piece, whole) in own {
            if whole {
                // Until something is asked for again, its blocks stay: a pause or an end writes them down.
                self.note_end_of_turn(pieces, piece);
                self.ended.insert(piece);
            }
            if let Some(delivery) = pieces.delivery_mut(piece) {
                delivery.owner = PieceOwner::Vacant;
            }
        }
    }

    /// Gives up the pieces whose turn ended because its peer chokes, was waited for in vain, or left.
    pub(crate) fn drop_ended(&mut self, pieces: &mut Pieces) {
        for piece in core::mem::take(&mut self.ended) {
            let partial = pieces.partial(piece).map(|partial| *partial.delivery());
            if partial
                .is_some_and(|delivery| delivery.whole && delivery.owner == PieceOwner::Vacant)
            {
                self.drop_partial(pieces, piece);
            }
        }
    }

    fn uncount(&mut self, peer: &Peer) {
        if peer.seed {
            self.rarity.remove_seed();
        } else {
            for piece in peer.have.iter() {
                self.rarity.decrement(piece, &mut self.rng);
            }
        }
    }

    fn random(&mut self, below: usize) -> usize {
        // The number has the same width on every platform, so that a page's choices can be replayed elsewhere.
        self.rng.next_u64() as u32 as usize % below.max(1)
    }
}

fn length_of(pieces: &Pieces, piece: PieceIndex) -> u64 {
    u64::from(pieces.geometry().piece_len(piece).unwrap_or(0))
}

/// Free peers share from now on the pieces that this seller brought alone.
fn share(pieces: &mut Pieces, conn: ConnectionId) {
    let sole = PieceOwner::Sole(conn);
    for (_, delivery) in pieces.deliveries_mut() {
        if delivery.owner == sole && !delivery.whole {
            delivery.owner = PieceOwner::Shared;
        }
    }
}
