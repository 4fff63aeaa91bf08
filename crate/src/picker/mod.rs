//! Which block to ask of whom next, for one torrent.
//!
//! Owns the order: what is wanted, who has what, how rare it is, when it is due, and whose turn it is. Where a block
//! stands is told by [`Pieces`], which every call lends. It sends nothing and knows no files; the torrent tells it what
//! happened and asks it to [`Picker::pick`].
//!
//! Order of choice: blocks ahead of a playhead by deadline, then pieces that failed and whose turn it is to come from
//! this peer, then pieces already begun, then the rarest piece (a random one for the first few), then, when every block is out, the same blocks once more.
//!
//! Invariants, each a test:
//! - a verified piece is never asked for, nor anything a peer lacks;
//! - a piece that a paid peer delivers is asked of that peer alone, in order of offset, so a block is
//!   never out to two paid peers (docs/protocol.md, "Which blocks are charged" and "Advances in v1 torrents");
//! - a piece that failed with several sources is never again mixed of what several sent;
//! - a peer is not paid for what a strictly cheaper one delivers in time;
//! - a request ends in exactly one of received, given back, or its piece verified or failed.

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

/// A cheaper peer that delivers nothing for this long, while a dearer one waits for it, is passed over;
/// a piece whose only source does nothing for this long is given to another.
pub const PATIENCE: Duration = Duration::from_secs(4);
/// Blocks due this soon are urgent: late ones are asked of a second free peer.
pub const URGENT: Duration = Duration::from_secs(4);
/// A request for an urgent block is late after this.
pub const LATE: Duration = Duration::from_millis(700);
/// In the endgame a block that was asked for so long ago is asked of a free peer that would be faster.
pub const ENDGAME_AFTER: Duration = Duration::from_millis(300);
/// How much sooner the last blocks must come for a copy to be worth it: what a peer is about to send can
/// no longer be cancelled.
pub const ENDGAME_GAIN: Duration = Duration::from_secs(1);
/// In the endgame a peer that sent no block for so long is helped out by any free peer.
pub const ENDGAME_LATE: Duration = Duration::from_secs(2);
/// A peer that owes this many blocks is asked for no copies in the endgame.
pub const ENDGAME_QUEUE: usize = 4;
/// How long before its deadline a block should be here when a cheaper peer is to deliver it.
pub const SAFETY: Duration = Duration::from_millis(1_500);
/// Bytes per second expected of a peer not measured yet.
pub const ASSUMED_RATE: u64 = 128 * 1024;
/// Windows (readers) considered; the rest are ignored.
pub const MAX_WINDOWS: usize = 16;
/// Pieces of all windows together that get a deadline; the latest are ignored.
pub const MAX_DEADLINES: usize = 1024;
/// The first pieces are chosen at random, so that a newcomer soon has something to trade.
pub const RANDOM_FIRST_PIECES: u32 = 4;
/// With readers waiting, who can meet a deadline is judged again this often.
pub const REVIEW: Duration = Duration::from_millis(500);
/// A peer that refuses a request though it does not choke is left alone for this long.
pub const REFUSAL_PAUSE: Duration = Duration::from_secs(2);

/// What is to be fetched besides the windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The whole torrent.
    All,
    /// Only these pieces; none for "only what streams ask for".
    Pieces(Vec<Range<u32>>),
}

/// What one reader will need soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Pieces, in the order of need.
    pub pieces: Range<u32>,
    /// When the first of them is due.
    pub deadline: Timestamp,
    /// How much later each following one is due.
    pub spacing: Duration,
}

/// What a block that arrived is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Keep it.
    Wanted {
        /// Every block of the piece is here: verify it, then say [`Picker::done`] or [`Picker::piece_failed`].
        piece_complete: bool,
        /// Cancel the same block at these peers: it was out to them too and no longer counts as asked.
        cancel: Vec<ConnectionId>,
    },
    /// Its piece failed and comes from another peer now. It is kept for the turn of its sender, with what that brought before.
    Kept,
    /// It is here already.
    Duplicate,
    /// Its piece is not being fetched, or there is no such block.
    Unrequested,
}

/// Chooses blocks of one torrent, whose [`Pieces`] every call lends. Drive it so: tell it peers ([`Picker::peer_joined`], [`Picker::peer_bitfield`],
/// [`Picker::peer_has`], [`Picker::peer_status`]) and wishes ([`Picker::set_wanted`],
/// [`Picker::set_windows`]); [`Picker::pick`] whenever a peer has room; report each block by
/// [`Picker::received`] or give it back. [`Pieces::take_given_up`] after each pick.
#[derive(Debug)]
pub struct Picker {
    /// Pieces of the torrent.
    count: u32,
    base_wanted: Bitfield,
    /// `base_wanted` and every piece of a window.
    wanted: Bitfield,
    windows: Vec<Window>,
    /// By time; only pieces not verified.
    deadlines: Vec<(Timestamp, u32)>,
    rarity: Rarity,
    partial_budget: u64,
    /// What all pieces together may take, verified and begun.
    room: u64,
    /// Failed their hash with several sources.
    failed: Map<u32, Failed>,
    /// Boxed: taken out and put back at every pick, and little is moved then.
    peers: Map<ConnectionId, Box<Peer>>,
    /// Counts peers that came, and turns that ended.
    order: u64,
    /// The newest time that it was told.
    seen: Timestamp,
    /// Paid for in part and not verified: not given up for the sake of others.
    staked: Set<u32>,
    /// They come before all others: no further piece could be paid for.
    staked_first: bool,
    /// Who is asked for a block though it was waited for in vain.
    probed: Option<Probe>,
    rng: ChaCha20Rng,
    /// Pieces and peers looked at: what the cost test counts.
    work: u64,
}

impl Picker {
    /// For a torrent of so many pieces, all of which are wanted. `seed` decides ties.
    pub fn new(pieces: &Pieces, seed: [u8; 32]) -> Picker {
        let count = pieces.geometry().piece_count();
        let mut picker = Picker {
            count,
            base_wanted: Bitfield::empty(count),
            wanted: Bitfield::empty(count),
            windows: Vec::new(),
            deadlines: Vec::new(),
            rarity: Rarity::new(count),
            partial_budget: 32 << 20,
            room: u64::MAX,
            failed: Map::new(),
            peers: Map::new(),
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

    /// Bytes of pieces begun and not verified that may be held. One piece is always allowed; what a
    /// window needs may exceed it by a quarter or one piece, whichever is more.
    pub fn set_partial_budget(&mut self, bytes: u64) {
        self.partial_budget = bytes;
    }

    /// Bytes that pieces may take in all, verified and begun. No piece is begun that would exceed it.
    pub fn set_room(&mut self, bytes: u64) {
        self.room = bytes;
    }

    /// A piece is here, begun, or there is room to begin it, maybe in place of one that nobody waits for.
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

    /// A piece is begun, or may be within the room for all.
    fn fits(&self, pieces: &Pieces, piece: PieceIndex) -> bool {
        pieces.partial(piece).is_some()
            || self.room == u64::MAX
            || pieces.room_taken() + length_of(pieces, piece) <= self.room
    }

    /// Replaces what is wanted besides the windows. Blocks already out stay out.
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

    /// Names the pieces that are paid for in part and not verified. With `first` a paid peer is asked for what is missing of
    /// them before anything else, whatever the readers need: nothing else could be paid for.
    pub fn set_staked(&mut self, pieces: Set<u32>, first: bool) {
        self.staked = pieces;
        self.staked_first = first;
    }

    /// Replaces what the readers need soon. Pieces of a window are wanted as long as it stands. Answers
    /// whether anything became wanted, or ceased to be: who is interesting may have changed.
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

    /// A peer connected. It has nothing and is not usable until said otherwise.
    pub fn peer_joined(&mut self, conn: ConnectionId) {
        if self.peers.contains_key(&conn) {
            return;
        }
        self.order += 1;
        let peer = Peer::new(self.count, self.order);
        self.peers.insert(conn, Box::new(peer));
    }

    /// Price, speed, whether it may be asked. Joins the peer if it is new. Who sells no more shares what it brings, as free peers
    /// do. Before a peer begins to sell, take back what it owes ([`Picker::timed_out`]).
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

    /// Replaces what a peer has (BEP 3 `bitfield`, BEP 6 have all and have none). A bitfield of another
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

    /// A peer left. Its blocks are given back.
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

    /// A piece is verified (also: found in storage). It is never asked for again.
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

    /// A piece was begun by blocks that were read back from storage after a restart.
    pub fn restored(&mut self, pieces: &mut Pieces, piece: PieceIndex) {
        self.rarity.unlist(piece.0);
        // Its blocks came from one paid peer, maybe: one other finishes it.
        if let Some(delivery) = pieces.delivery_mut(piece) {
            delivery.owner = PieceOwner::Vacant;
        }
    }

    /// A block arrived from `conn`, also one that was given back before.
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

    /// A peer refused one request (BEP 6), or the torrent took it back: it may be asked of another.
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

    /// A peer choked us: what it owes is void, but for pieces that it serves all the same (BEP 6 allowed fast). It stays the
    /// source of a piece that it alone delivers, for [`PATIENCE`].
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

    /// A peer's requests timed out (and were cancelled): what it owes may be asked of others at once.
    pub fn timed_out(&mut self, pieces: &mut Pieces, conn: ConnectionId) {
        self.release(pieces, conn, |_| true);
    }

    /// A piece failed its hash: all its blocks are wanted again. With `whole_from_one` (its blocks came
    /// from several peers) it is fetched from one peer alone from then on, so that the bytes tell who sent wrong ones.
    /// Returns the peers that still owe blocks of it, to be cancelled.
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

    /// A piece could not be hashed: all its blocks are wanted again, and nobody is to blame.
    pub fn piece_not_hashed(&mut self, pieces: &mut Pieces, piece: PieceIndex) {
        pieces.give_up(piece, self.kept_or_forgotten(piece));
        self.relist(pieces, piece.0);
    }

    /// A piece failed its hash with several sources, and is not verified since.
    pub fn has_failed(&self, piece: PieceIndex) -> bool {
        self.failed.contains_key(&piece.0)
    }

    fn kept_or_forgotten(&self, piece: PieceIndex) -> GiveUp {
        match self.has_failed(piece) {
            true => GiveUp::Keep,
            false => GiveUp::Forget,
        }
    }

    /// What a connected peer has.
    pub fn peer_pieces(&self, conn: ConnectionId) -> Option<&Bitfield> {
        self.peers.get(&conn).map(|peer| &peer.have)
    }

    /// Chooses up to `max` blocks for `conn`, appends them to `out` and counts them as asked of it.
    ///
    /// `only`: choose among these pieces alone, though it chokes us (BEP 6 allowed fast).
    pub fn pick(
        &mut self,
        pieces: &mut Pieces,
        now: Timestamp,
        conn: ConnectionId,
        max: usize,
        only: Option<&Set<u32>>,
        out: &mut Vec<BlockRef>,
    ) {
        // Taken out, so that the others can be looked at meanwhile.
        let Some(mut peer) = self.peers.remove(&conn) else {
            return;
        };
        if max > 0 && peer.paused_until <= now && (peer.status.usable || only.is_some()) {
            choose::choose(self, pieces, now, conn, &mut peer, max, only, out);
        }
        self.peers.insert(conn, peer);
    }

    /// When picking again, for every peer with room, may give more though nothing was received: patience
    /// with somebody ends, a deadline comes near, or the last blocks are late.
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

    /// The peer has a piece that is wanted and not verified (BEP 3 `interested`).
    pub fn interested(&self, pieces: &Pieces, conn: ConnectionId) -> bool {
        self.peers.get(&conn).is_some_and(|peer| {
            let (have, wanted) = (pieces.done().words(), self.wanted.words());
            (peer.have.words().iter().zip(have).zip(wanted)).any(|((p, h), w)| p & w & !h != 0)
        })
    }

    /// Something is paid for in part and not verified.
    pub fn is_anything_staked(&self) -> bool {
        !self.staked.is_empty()
    }

    /// Everything wanted, windows included, is verified.
    pub fn is_complete(&self, pieces: &Pieces) -> bool {
        let done = pieces.done().words();
        (self.wanted.words().iter().zip(done)).all(|(w, h)| w & !h == 0)
    }

    /// Something wanted that somebody has is asked of nobody, and may be.
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

    /// A piece that is not begun may be, as far as the bytes go that may be held of such pieces.
    fn has_budget_for(&self, pieces: &Pieces, piece: PieceIndex, for_window: bool) -> bool {
        let mut budget = self.partial_budget;
        if for_window {
            budget += (budget / 4).max(u64::from(pieces.geometry().piece_length()));
        }
        let begun = pieces.begun_bytes();
        begun == 0 || begun + length_of(pieces, piece) <= budget
    }

    /// No wanted block that somebody has waits to be asked for.
    fn everything_is_out(&self, pieces: &Pieces) -> bool {
        self.rarity.listed_available().is_empty()
            && !(pieces.unrequested().iter()).any(|piece| {
                self.wanted.contains(piece.0)
                    && self.rarity.availability(piece.0) > 0
                    && pieces.partial(*piece).is_some_and(|p| !p.has_turn())
            })
    }

    /// Answers whether anything became wanted, or ceased to be.
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

    /// Lists a piece as not begun, if that is what it is.
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

    /// A block came of a piece that is not begun any more, because all of it was taken back: it is as good as any, and would be
    /// asked for once more.
    fn begin_with(
        &mut self,
        pieces: &mut Pieces,
        now: Timestamp,
        conn: ConnectionId,
        piece: PieceIndex,
    ) {
        let is_open = self.rarity.is_listed(piece.0) && !self.has_failed(piece);
        if !is_open || !self.fits(pieces, piece) || !self.has_budget_for(pieces, piece, true) {
            return;
        }
        self.begin(pieces, now, piece);
        let Some(peer) = self.peers.get(&conn).filter(|peer| !peer.free()) else {
            return;
        };
        // What comes late from one that chokes, or that was waited for in vain, keeps no piece from others.
        let owner = match peer.promising(now) {
            true => PieceOwner::Sole(conn),
            false => PieceOwner::Vacant,
        };
        if let Some(delivery) = pieces.delivery_mut(piece) {
            delivery.owner = owner;
        }
    }

    /// Gives a begun piece up. Of one that failed, the blocks are kept for the turns of those that sent them. Answers what is
    /// to be cancelled, and at whom.
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

    fn give_back(&mut self, pieces: &mut Pieces, conn: ConnectionId, block: BlockRef) {
        pieces.give_back(conn, block);
        // A piece that nobody delivers and of which nothing is here was never begun.
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

    /// Takes back what a peer owes of some pieces, and those of them that it alone was to deliver.
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
                self.drop_partial(pieces, piece);
            } else if let Some(delivery) = pieces.delivery_mut(piece) {
                delivery.owner = PieceOwner::Vacant;
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
        // As wide on every platform: a page's choices can be replayed elsewhere.
        self.rng.next_u64() as u32 as usize % below.max(1)
    }
}

fn length_of(pieces: &Pieces, piece: PieceIndex) -> u64 {
    u64::from(pieces.geometry().piece_len(piece).unwrap_or(0))
}

/// What a seller brings alone, free peers share from now on.
fn share(pieces: &mut Pieces, conn: ConnectionId) {
    let sole = PieceOwner::Sole(conn);
    for (_, delivery) in pieces.deliveries_mut() {
        if delivery.owner == sole && !delivery.whole {
            delivery.owner = PieceOwner::Shared;
        }
    }
}
