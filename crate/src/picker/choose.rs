//! The order of choice for one peer, which the module above describes.

use super::admission::{copyable, outstanding_bytes, request_next};
use super::peers::Peer;
use super::slow::{COMPARED_DEADLINES, Probe, arrival};
use super::{
    ENDGAME_AFTER, ENDGAME_GAIN, ENDGAME_LATE, ENDGAME_QUEUE, LATE, Picker, RANDOM_FIRST_PIECES,
    SAFETY, URGENT,
};
use crate::bitfield::Bitfield;
use crate::paying::Paying;
use crate::pieces::{MAX_COPIES, Partial, PieceOwner, Pieces};
use crate::sorted::Set;
use crate::time::{Timestamp, Wait};
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, PieceIndex};

pub(super) fn choose(
    picker: &mut Picker,
    pieces: &mut Pieces,
    now: Timestamp,
    conn: ConnectionId,
    peer: &mut Peer,
    max: usize,
    only: Option<&Set<u32>>,
    out: &mut Vec<BlockRef>,
) {
    let mut available = match only {
        None => peer.have.clone(),
        Some(only) => {
            let mut both = Bitfield::empty(picker.count);
            for &piece in only.iter().filter(|&&piece| peer.have.contains(piece)) {
                both.insert(piece);
            }
            both
        }
    };
    let sellers = Others::of(picker, &|o| peer.free() && !o.free() && o.promising(now));
    if peer.status.snubbed {
        // The picker leaves its pieces to paid peers: copies are not bought, so a paid peer could not bring a block
        // that is out to this one.
        available = sellers.without(&available);
    }
    let (turns, others) = picker.turns(pieces, now, conn, peer);
    for piece in others {
        available.remove(piece);
    }
    let mut cheaper = Others::asked_before(picker, now, peer, peer.status.snubbed);
    if !peer.status.snubbed {
        cheaper.have_no_say(&turns);
    }
    let before = out.len();
    let mut choice = Choice {
        picker,
        pieces,
        now,
        conn,
        last: peer.status.snubbed,
        peer,
        available,
        cheaper,
        sellers,
        turns,
        left: Set::new(),
        left_bytes: 0,
        barred: false,
        before,
        room: max,
        limit: before.saturating_add(max),
        out,
        held: false,
    };
    choice.own_paid_pieces();
    choice.windows();
    choice.turn_pieces();
    choice.begun_pieces();
    choice.new_pieces();
    choice.endgame();
    choice.note_held();
    choice.probe();
}

/// Some of the other peers.
struct Others {
    conns: Vec<ConnectionId>,
    /// The pieces that any of them has.
    pieces: Option<Bitfield>,
}

impl Others {
    fn of(picker: &mut Picker, is_one: &dyn Fn(&Peer) -> bool) -> Others {
        let (mut words, mut conns) = (Vec::new(), Vec::new());
        picker.work += picker.peers.len() as u64;
        for (&conn, other) in picker.peers.iter().filter(|(_, other)| is_one(other)) {
            conns.push(conn);
            words.resize(other.have.words().len(), 0);
            for (word, has) in words.iter_mut().zip(other.have.words()) {
                *word |= has;
            }
        }
        let pieces = (!conns.is_empty()).then(|| Bitfield::from_words(words, picker.count));
        Others { conns, pieces }
    }

    /// The peers that are asked before a seller: all cheaper ones. If the seller was waited for in vain, simply all.
    fn asked_before(picker: &mut Picker, now: Timestamp, peer: &Peer, all: bool) -> Others {
        let (free, price) = (peer.free(), peer.status.price);
        Others::of(picker, &|other| {
            !free && (all || other.status.price < price) && other.promising(now)
        })
    }

    /// Takes these pieces out: the price of others has no say in the turns of failed pieces.
    fn have_no_say(&mut self, turns: &Set<u32>) {
        for piece in turns {
            if let Some(pieces) = &mut self.pieces {
                pieces.remove(*piece);
            }
        }
    }

    fn has(&self, piece: u32) -> bool {
        self.pieces.as_ref().is_some_and(|p| p.contains(piece))
    }

    /// The given pieces without those that any of them has.
    fn without(&self, pieces: &Bitfield) -> Bitfield {
        let Some(theirs) = &self.pieces else {
            return pieces.clone();
        };
        let words = pieces.words().iter().zip(theirs.words());
        Bitfield::from_words(
            words.map(|(own, other)| own & !other).collect(),
            pieces.len(),
        )
    }
}

struct Choice<'a> {
    picker: &'a mut Picker,
    pieces: &'a mut Pieces,
    now: Timestamp,
    conn: ConnectionId,
    peer: &'a mut Peer,
    /// This peer was waited for in vain: others are asked before it.
    last: bool,
    /// The pieces that this peer may be asked for.
    available: Bitfield,
    /// The peers that are asked before this one.
    cheaper: Others,
    /// The sellers, if this peer is free.
    sellers: Others,
    /// Failed pieces that are not begun and that it is this peer's turn to bring.
    turns: Set<u32>,
    /// Pieces that a seller will bring sooner, by enough to matter, and the bytes that are missing of them.
    left: Set<u32>,
    left_bytes: u64,
    /// A piece at stake elsewhere forbade to ask this peer for something.
    barred: bool,
    /// The blocks in `out` before this pick, the number of blocks that the peer takes, and the length of `out` at the
    /// end.
    before: usize,
    room: usize,
    limit: usize,
    out: &'a mut Vec<BlockRef>,
    /// Something was left to a cheaper peer.
    held: bool,
}

impl Choice<'_> {
    fn full(&self) -> bool {
        self.out.len() >= self.limit
    }

    fn requests_out(&self) -> usize {
        self.pieces.requests(self.conn).len()
    }

    fn owed(&self, conn: ConnectionId) -> u64 {
        outstanding_bytes(self.pieces, conn)
    }

    /// A paid peer finishes its piece before anything else, wherever the playhead is. The blocks that were paid in
    /// advance are unverified until then, and a second such piece gets no advance. A peer that was waited for in vain
    /// does not go on where another can.
    fn own_paid_pieces(&mut self) {
        if self.peer.free() {
            return;
        }
        let mut own: Vec<PieceIndex> = (self.pieces.unrequested().iter().copied())
            .filter(|piece| {
                self.pieces
                    .partial(*piece)
                    .is_some_and(|p| self.is_own(*piece, p))
            })
            .filter(|piece| !(self.last && self.cheaper.has(piece.0)) || self.went_back(*piece))
            .collect();
        own.sort_by_key(|piece| !self.picker.staked.contains(&piece.0));
        for piece in own {
            self.take_missing(piece);
        }
        self.staked_pieces();
    }

    /// Whether this peer brings the piece alone, or brought a paid part of it and nobody brings it now.
    fn is_own(&self, piece: PieceIndex, partial: &Partial) -> bool {
        partial.delivery().owner == PieceOwner::Sole(self.conn)
            || self.picker.staked.contains(&piece.0)
                && partial.admits(self.conn, false, self.now)
                && partial.has_of(self.conn)
    }

    /// Whether the piece went back to this peer ([`Picker::return_staked`]), which has not had its time for it yet.
    fn went_back(&self, piece: PieceIndex) -> bool {
        self.pieces.partial(piece).is_some_and(|partial| {
            let delivery = partial.delivery();
            let at = delivery.returned_at;
            let is_own = delivery.owner == PieceOwner::Sole(self.conn);
            is_own && at > Timestamp::ZERO && self.now < at + Wait::LIMIT
        })
    }

    /// The pieces that others began and were paid for, if nothing else could be paid for before they are verified.
    fn staked_pieces(&mut self) {
        if !self.picker.staked_first {
            return;
        }
        let open = |piece: &u32| self.available.contains(*piece) && !self.cheaper.has(*piece);
        let staked: Vec<u32> = (self.picker.staked.iter().copied())
            .filter(|piece| open(piece) && !self.pieces.done().contains(*piece))
            .collect();
        for piece in staked {
            let piece = PieceIndex(piece);
            if !self.full() && self.may_begin(piece, true) {
                self.take_missing(piece);
            }
        }
    }

    fn windows(&mut self) {
        // The bytes with an earlier deadline that the cheaper peers deliver first.
        let mut backlog = 0;
        let mut compared = 0;
        let mut i = 0;
        while !self.full() && compared < COMPARED_DEADLINES {
            let Some(&(due, piece)) = self.picker.deadlines.get(i) else {
                return;
            };
            i += 1;
            self.picker.work += 1;
            let piece = PieceIndex(piece);
            let missing = self.picker.missing_bytes(self.pieces, piece);
            let urgent = due <= self.now + URGENT;
            if missing > 0 && self.cheaper.has(piece.0) {
                compared += 1;
                backlog += missing;
                if self.last || self.cheaper_in_time(piece, due, backlog) {
                    self.held = true;
                    continue;
                }
            }
            if !self.available.contains(piece.0) {
                continue;
            }
            if urgent && missing > 0 && self.someone_faster(piece, due) {
                compared += 1;
                continue;
            }
            if missing > 0 && self.leaves_to_sellers(piece, due, missing) {
                compared += 1;
                self.left.insert(piece.0);
                self.left_bytes += missing;
                continue;
            }
            if missing > 0 && self.may_begin(piece, true) {
                self.take_missing(piece);
            }
            if urgent {
                self.take_late_copies(piece, self.now - LATE);
            }
        }
    }

    /// Failed pieces come before all pieces that no reader waits for. The first is the one that this peer is bringing
    /// whole.
    fn turn_pieces(&mut self) {
        let own = PieceOwner::Sole(self.conn);
        let has_turn = |piece: &u32| {
            let partial = self.pieces.partial(PieceIndex(*piece));
            partial.is_some_and(|p| p.has_turn() && p.delivery().owner == own && p.missing() > 0)
        };
        let mut pieces: Vec<u32> = self
            .picker
            .failed
            .keys()
            .copied()
            .filter(has_turn)
            .collect();
        pieces.extend(self.turns.iter().filter(|piece| !self.cheaper.has(**piece)));
        for piece in pieces {
            let open = self.available.contains(piece)
                && self.picker.wanted.contains(piece)
                && !self.left.contains(&piece);
            let piece = PieceIndex(piece);
            if open && !self.full() && self.may_begin(piece, false) {
                self.take_missing(piece);
            }
        }
    }

    fn begun_pieces(&mut self) {
        if self.full() {
            return;
        }
        let mut begun: Vec<(u32, PieceIndex)> = Vec::new();
        for &piece in self.pieces.unrequested() {
            self.picker.work += 1;
            let open = self.available.contains(piece.0) && !self.left.contains(&piece.0);
            if !open || !self.picker.wanted.contains(piece.0) {
                continue;
            }
            let Some(partial) = self.pieces.partial(piece) else {
                continue;
            };
            if partial.admits(self.conn, self.peer.free(), self.now) {
                if self.cheaper.has(piece.0) {
                    self.held = true;
                } else if self.would_be_stuck(piece) {
                    self.barred = true;
                } else {
                    begun.push((partial.missing(), piece));
                }
            }
        }
        begun.sort_unstable();
        for (_, piece) in begun {
            self.take_missing(piece);
        }
    }

    fn new_pieces(&mut self) {
        while !self.full() {
            let Some(piece) = self.next_new_piece().map(PieceIndex) else {
                return;
            };
            if !self.may_begin(piece, false) {
                return;
            }
            self.take_missing(piece);
        }
    }

    /// The rarest piece that is not begun and that this peer has and no cheaper one has; a random one at first.
    fn next_new_piece(&mut self) -> Option<u32> {
        let mut words = self.available.words().to_vec();
        for (word, (wanted, have)) in (words.iter_mut())
            .zip((self.picker.wanted.words().iter()).zip(self.pieces.done().words()))
        {
            *word &= wanted & !have;
        }
        let mut open = Bitfield::from_words(words, self.picker.count);
        let begun = self.pieces.partials().map(|(piece, _)| piece.0);
        for piece in begun.chain(self.left.iter().copied()) {
            open.remove(piece);
        }
        let before = open.count();
        open = self.cheaper.without(&open);
        self.held |= open.count() < before;
        let first: Vec<u64> = (open.words().iter().zip(self.picker.first.words()))
            .map(|(open, first)| open & first)
            .collect();
        if first.iter().any(|word| *word != 0) {
            open = Bitfield::from_words(first, self.picker.count);
        }
        let listed = self.picker.rarity.listed_available().len();
        let few = open.count() as usize;
        if few == 0 {
            return None;
        }
        let from = if self.pieces.done().count() < RANDOM_FIRST_PIECES {
            self.picker.random(listed)
        } else {
            0
        };
        // Walks the sorted list while that is the shorter way to a hit, else the few pieces themselves.
        let walk = listed / few + 64;
        let list = self.picker.rarity.listed_available();
        let hit = (list[from.min(list.len())..].iter().take(walk)).position(|&p| open.contains(p));
        if let Some(steps) = hit {
            self.picker.work += steps as u64 + 1;
            return Some(list[from + steps]);
        }
        self.picker.work += walk as u64 + few as u64;
        open.iter().min_by_key(|&p| self.picker.rarity.rank(p))
    }

    /// Every block is out: asks a free peer with next to nothing to do for blocks that are out to free peers and would
    /// come sooner from this one. The block that was asked for last comes last, so the copies begin with it.
    fn endgame(&mut self) {
        let room = ENDGAME_QUEUE.saturating_sub(self.requests_out());
        let out = |choice: &Self| choice.picker.everything_is_out(choice.pieces);
        if room == 0 || self.full() || !self.peer.free() || !out(self) {
            return;
        }
        let now = self.now;
        let owed = |conn| outstanding_bytes(self.pieces, conn);
        let own = self.peer.eta(now, owed(self.conn) + u64::from(BLOCK_LEN));
        let slow: Set<ConnectionId> = (self.picker.peers.iter())
            .filter(|(conn, other)| other.eta(now, owed(**conn)) > own + ENDGAME_GAIN)
            .map(|(&conn, _)| conn)
            .collect();
        let stuck = |conn: &ConnectionId| {
            let other = self.picker.peers.get(conn);
            other.is_none_or(|other| now.since(other.last_block) >= ENDGAME_LATE)
        };
        let mut copies = Vec::new();
        for (piece, _) in self.pieces.partials() {
            if !self.available.contains(piece.0) {
                continue;
            }
            for (index, last, asked) in copyable(self.pieces, piece, self.conn, MAX_COPIES) {
                let waited = now.since(asked);
                let late = waited >= ENDGAME_LATE && stuck(&last);
                if late || (waited >= ENDGAME_AFTER && slow.contains(&last)) {
                    copies.push((core::cmp::Reverse(asked), piece, index));
                }
            }
        }
        self.picker.work += copies.len() as u64;
        copies.sort_unstable();
        for (_, piece, index) in copies.into_iter().take(room) {
            self.take_copy(piece, index);
        }
    }

    /// Asks an idle peer that all others are asked before for one block now and then, or it could not show that it
    /// sends again. The block belongs to its own piece, to a piece that cheaper peers will bring too late, or to a new
    /// piece.
    fn probe(&mut self) {
        let idle = self.out.len() == self.before && self.requests_out() == 0;
        let waits = self.last && (self.cheaper.pieces.is_some() || self.sellers.pieces.is_some());
        if !(idle && waits && self.now >= self.peer.probed_at) {
            return;
        }
        let Some(since) = self.picker.turn(self.now, self.conn, self.peer) else {
            return;
        };
        self.last = false;
        self.available = self.peer.have.clone();
        self.cheaper = Others::asked_before(self.picker, self.now, self.peer, false);
        self.limit = self.limit.min(self.before + 1);
        self.own_paid_pieces();
        self.last_late_piece();
        self.new_pieces();
        if self.full() {
            let (conn, until) = (self.conn, self.now + super::PATIENCE);
            self.picker.probed = Some(Probe { conn, since, until });
        }
    }

    /// Takes a block of the latest piece among those that a reader needs and that the cheaper peers will not bring in
    /// time. If nothing comes, others have time for that piece.
    fn last_late_piece(&mut self) {
        let (mut backlog, mut found) = (0, None);
        for i in 0..self.picker.deadlines.len().min(COMPARED_DEADLINES) {
            let Some(&(due, piece)) = self.picker.deadlines.get(i) else {
                return;
            };
            let piece = PieceIndex(piece);
            let missing = self.picker.missing_bytes(self.pieces, piece);
            if missing > 0 && self.cheaper.has(piece.0) {
                backlog += missing;
                if self.cheaper_in_time(piece, due, backlog) {
                    continue;
                }
            }
            let partial = self.pieces.partial(piece);
            let admits = partial.is_none_or(|p| p.admits(self.conn, self.peer.free(), self.now));
            if missing > 0 && admits && self.available.contains(piece.0) {
                found = Some(piece);
            }
        }
        if let Some(piece) = found.filter(|piece| !self.full() && self.may_begin(*piece, true)) {
            self.take_missing(piece);
        }
    }

    /// Starts, or ends, the patience with the cheaper peers and with this one.
    fn note_held(&mut self) {
        let cheaper = self.cheaper.conns.iter().filter(|_| self.held);
        let left = !self.left.is_empty();
        let sellers = (self.sellers.conns.iter()).filter(|_| left || self.last && self.peer.free());
        for conn in cheaper.chain(sellers) {
            let other = self.picker.peers.get_mut(conn);
            // A peer that owes something brings it, if slowly.
            let owes = !self.pieces.requests(*conn).is_empty();
            if let Some(other) = other.filter(|_| self.held || left || !owes) {
                other.held_since.get_or_insert(self.now);
            }
        }
        // The picker found nothing to ask this peer for, so nobody waits because of it.
        if self.out.len() == self.before && self.requests_out() == 0 && !self.barred {
            self.peer.held_since = None;
        }
    }

    fn cheaper_in_time(&mut self, piece: PieceIndex, due: Timestamp, backlog: u64) -> bool {
        self.picker.work += self.cheaper.conns.len() as u64;
        let cheaper = self.cheaper.conns.iter();
        let peers = &self.picker.peers;
        let mut cheaper = cheaper.filter_map(|conn| Some((*conn, &**peers.get(conn)?)));
        arrival(self.pieces, self.now, &mut cheaper, piece, backlog) + SAFETY <= due
    }

    /// Whether the free peers together would be late with the `missing` bytes of a piece, and some seller would bring
    /// it sooner. One peer alone brings a paid piece, so the free peers neither begin this one nor go on with it.
    fn leaves_to_sellers(&mut self, piece: PieceIndex, due: Timestamp, missing: u64) -> bool {
        // Without payments nobody sells, and the compiler leaves the rest out.
        if Paying::HERE.is_none() || !self.sellers.has(piece.0) {
            return false;
        }
        let others = &self.picker.peers;
        self.picker.work += others.len() as u64;
        let mut free = (others.iter().map(|(conn, other)| (*conn, &**other)))
            .filter(|(_, other)| other.free() && other.promising(self.now))
            .chain(core::iter::once((self.conn, &*self.peer)));
        let at = arrival(self.pieces, self.now, &mut free, piece, missing);
        let sellers = self.sellers.conns.iter();
        let mut sellers = sellers.filter_map(|conn| Some((*conn, &**others.get(conn)?)));
        let all = self.left_bytes + missing;
        let sooner = |(conn, seller): (ConnectionId, &Peer)| {
            let bytes = outstanding_bytes(self.pieces, conn) + all;
            seller.have.contains(piece.0) && seller.eta(self.now, bytes) < at
        };
        at + SAFETY > due && sellers.any(sooner)
    }

    /// Whether this peer would be late with `piece`, and another that is no dearer would be earlier.
    fn someone_faster(&mut self, piece: PieceIndex, due: Timestamp) -> bool {
        let block = u64::from(BLOCK_LEN);
        let own = if self.last {
            Timestamp::NEVER
        } else {
            self.peer.eta(self.now, self.owed(self.conn) + block)
        };
        if own <= due {
            return false;
        }
        let others = &self.picker.peers;
        self.picker.work += others.len() as u64;
        others.iter().any(|(conn, other)| {
            other.status.price <= self.peer.status.price
                && other.have.contains(piece.0)
                && other.status.rate > 0
                && other.promising(self.now)
                && other.eta(self.now, self.owed(*conn) + block) < own
        })
    }

    /// Whether `piece` is begun or has room to begin. Gives up stuck pieces to make room.
    fn may_begin(&mut self, piece: PieceIndex, for_window: bool) -> bool {
        while !self.picker.fits(self.pieces, piece) {
            let Some(stuck) = self.stuck_piece(for_window) else {
                return false;
            };
            self.picker.drop_partial(self.pieces, stuck);
        }
        if self.would_be_stuck(piece) {
            self.barred = true;
            return false;
        }
        if self.pieces.partial(piece).is_some() {
            return true;
        }
        while !self.picker.has_budget_for(self.pieces, piece, for_window) {
            let Some(stuck) = self.stuck_piece(for_window) else {
                return false;
            };
            self.picker.drop_partial(self.pieces, stuck);
        }
        true
    }

    /// Whether this seller would lend all its credit to `piece` and could still not finish it. None of its blocks could
    /// be paid for before another piece at stake is verified. So the picker could ask this seller for nothing when that
    /// other piece is left to it.
    fn would_be_stuck(&self, piece: PieceIndex) -> bool {
        let missing = self
            .picker
            .missing_bytes(self.pieces, piece)
            .div_ceil(BLOCK_LEN.into());
        if self.peer.free() || missing <= self.room as u64 {
            return false;
        }
        let (mut owns, mut waits, mut sent) = (false, false, false);
        let staked = self.picker.staked.iter().copied().map(PieceIndex);
        for other in staked.filter(|other| *other != piece) {
            let Some(partial) = self.pieces.partial(other) else {
                continue;
            };
            let own = self.is_own(other, partial);
            owns |= own;
            waits |= self.available.contains(other.0);
            sent |= !own && !partial.is_complete() && partial.has_of(self.conn);
        }
        let full = self.picker.staked_first && !self.picker.staked.contains(&piece.0);
        sent || full && waits && !owns
    }

    /// A begun piece that can be given up: nobody is asked for it, it did not fail, and nothing of it is at stake.
    /// Besides, no usable peer has it, or nobody wants it, or (for the sake of a window) it has no deadline. Answers
    /// the one with the fewest blocks here.
    fn stuck_piece(&mut self, for_window: bool) -> Option<PieceIndex> {
        let due: Set<u32> = self.picker.deadlines.iter().map(|&(_, p)| p).collect();
        let (peers, now) = (&self.picker.peers, self.now);
        self.picker.work += self.pieces.unrequested().len() as u64;
        (self.pieces.unrequested().iter().copied())
            .filter_map(|piece| Some((self.pieces.partial(piece)?, piece.0)))
            .filter(|(partial, piece)| {
                let kept = &self.picker;
                let in_turns = kept.failed.contains_key(piece) || kept.staked.contains(piece);
                partial.requested() == 0 && !in_turns
            })
            .filter(|&(_, piece)| {
                let undeliverable = !self.available.contains(piece)
                    && !(peers.values()).any(|p| p.promising(now) && p.have.contains(piece));
                undeliverable
                    || !self.picker.wanted.contains(piece)
                    || (for_window && !due.contains(&piece))
            })
            .min_by_key(|(partial, piece)| (partial.received(), *piece))
            .map(|(_, piece)| PieceIndex(piece))
    }

    fn take_missing(&mut self, piece: PieceIndex) {
        if self.full() {
            return;
        }
        let (now, conn, free) = (self.now, self.conn, self.peer.free());
        self.picker.begin(self.pieces, now, piece);
        self.picker
            .begin_turn(self.pieces, now, conn, self.peer, piece);
        while !self.full() {
            let partial = self.pieces.partial(piece);
            if !partial.is_some_and(|partial| partial.admits(conn, free, now)) {
                break;
            }
            let Some(block) = request_next(self.pieces, now, conn, free, piece) else {
                break;
            };
            self.picker.work += 1;
            self.out.push(block);
        }
    }

    /// Asks for copies of those blocks of an urgent piece that are out to one free peer alone, since `asked_before` or
    /// longer.
    fn take_late_copies(&mut self, piece: PieceIndex, asked_before: Timestamp) {
        if !self.peer.free() || !self.available.contains(piece.0) {
            return;
        }
        let late: Vec<u32> = copyable(self.pieces, piece, self.conn, 2)
            .filter(|&(_, _, asked)| asked <= asked_before)
            .map(|(index, _, _)| index)
            .collect();
        for index in late {
            self.take_copy(piece, index);
        }
    }

    fn take_copy(&mut self, piece: PieceIndex, index: u32) {
        if self.full() {
            return;
        }
        if let Some(block) = self.pieces.request_copy(self.now, self.conn, piece, index) {
            self.picker.work += 1;
            self.out.push(block);
        }
    }
}
