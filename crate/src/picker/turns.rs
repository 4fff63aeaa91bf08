//! Pieces that failed their hash with several sources: each comes whole from one peer, by turns
//! (docs/decisions/045-a-failed-piece-comes-whole-by-turns.md).

use super::partial::{Block, Partial, PieceOwner};
use super::peers::{Peer, transfer_time};
use super::slow::COMPARED_DEADLINES;
use super::{PATIENCE, Picker};
use crate::bitfield::Bitfield;
use crate::sorted::{Map, Set};
use crate::time::{Duration, Timestamp};
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, PieceIndex};

/// One peer has so long for a piece that is to come whole from it, where the next one has shown nothing yet.
const TURN: Duration = Duration::from_secs(30);
/// Bytes a second: a peer that brings less of a piece in two minutes gives way to whoever is next.
const NEXT_TO_NOTHING: u64 = 8 * 1024;
/// A peer that misses so many turns does not go on with what it brought.
const MOST_MISSED: u32 = 2;

/// A piece that failed its hash with several sources. From then on it comes whole from one peer, so that the bytes tell who sent
/// wrong ones. Each peer has its turn, whatever it asks, and goes on in the next one with what it brought itself. Never is what
/// one sent mixed with what another did: a single block would spoil it again.
#[derive(Debug, Default)]
pub(super) struct Failed {
    /// By connected peer.
    turns: Map<ConnectionId, Turns>,
    /// Since when it waits for the peer whose turn it is, though another would begin it.
    pub(super) waits: Option<(Timestamp, ConnectionId)>,
    /// For whose sake a turn ended last: the next turn is its own.
    favoured: Option<ConnectionId>,
}

/// What the turns of a peer brought of a piece that failed.
#[derive(Debug, Default)]
struct Turns {
    /// The blocks that it brought.
    part: Option<Bitfield>,
    /// When its last turn ended, by [`Picker::order`]: that it had, or that it did not take.
    ended: Option<u64>,
    /// So often since its last one another began a turn behind it, because it was not there for its own, or did not take it.
    missed: u32,
    /// So many blocks of the piece came in its last turn.
    grew: u64,
    /// The bytes a second that it sent in its last turn. Others' turns end for that and for no more.
    shown: Option<u64>,
    /// Another's turn ended for its sake, or its own was waited for in vain: for its sake none ends before it had one.
    said: bool,
}

impl Turns {
    /// What counts when others' turns end for its sake.
    fn showed(&self) -> Option<u64> {
        if self.said { Some(0) } else { self.shown }
    }
}

/// The turn of a free peer ends for the sake of another that is twice as fast, by what that `showed` in its last turn for this
/// piece, or else by what it showed at all. One that is as fast waits, or all would begin and none would end. One that has shown
/// nothing yet waits for half a minute if its turn is the next, and one that showed nothing in its turn for two minutes. So does
/// whoever is next, whatever it showed, behind one that brings next to nothing. A seller's turn ends for nobody: what it brought may
/// be at stake.
fn turn_is_over(
    now: Timestamp,
    partial: &Partial,
    owner: &Peer,
    other: &Peer,
    showed: Option<u64>,
    is_next: bool,
) -> bool {
    let time = now.since(partial.begun);
    let rate = other.measured.min(showed.unwrap_or(u64::MAX));
    if !owner.free() {
        return false;
    }
    let (blocks, ahead) = sent_in_turn(partial, owner);
    let bytes = blocks * u64::from(BLOCK_LEN);
    if is_next && time >= 4 * TURN && transfer_time(bytes, NEXT_TO_NOTHING) < time {
        return true;
    }
    if rate == 0 {
        return is_next && time >= if showed.is_some() { 4 * TURN } else { TURN };
    }
    if time < PATIENCE || time < TURN && ahead > 0 {
        return false;
    }
    transfer_time(2 * bytes, rate) < time
}

/// The blocks that a peer sent in its turn, with those that it was asked for before, which come first; and how many of these it
/// still owes.
fn sent_in_turn(partial: &Partial, owner: &Peer) -> (u64, u64) {
    let brought = u64::from(partial.received().saturating_sub(partial.brought));
    let others = (owner.received).saturating_sub(partial.received_before + brought);
    let before = others.min(partial.ahead);
    (brought + before, partial.ahead - before)
}

impl Failed {
    /// What each peer brought of the piece is kept for its turn.
    pub(super) fn keep(&mut self, partial: &Partial) {
        let count = partial.blocks.len() as u32;
        for (index, block) in (0..).zip(&partial.blocks) {
            if let Block::Received(Some(conn)) = block {
                let part = &mut self.turns.entry(*conn).or_default().part;
                part.get_or_insert_with(|| Bitfield::empty(count))
                    .insert(index);
            }
        }
    }

    /// Whose number is lower has its turn before: when its last turn ended, or when it `joined`.
    fn order(&self, conn: ConnectionId, joined: u64) -> u64 {
        match self.favoured == Some(conn) {
            true => 0,
            false => self.place(conn, joined),
        }
    }

    fn place(&self, conn: ConnectionId, joined: u64) -> u64 {
        let turns = self.turns.get(&conn);
        turns.and_then(|turns| turns.ended).unwrap_or(joined)
    }

    /// A peer was waited for and did not begin its turn, though it `could`.
    fn passed(&mut self, conn: ConnectionId, order: u64, could: bool) {
        let turns = self.turns.entry(conn).or_default();
        turns.ended = Some(order);
        turns.said |= could;
        turns.missed += u32::from(could);
        self.favoured.take_if(|favoured| *favoured == conn);
    }

    pub(super) fn peer_gone(&mut self, conn: ConnectionId) {
        self.turns.remove(&conn);
        self.favoured.take_if(|favoured| *favoured == conn);
    }
}

impl Picker {
    /// Ends turns that are over where another peer could have its own. Answers what is to be cancelled, and at whom.
    pub fn end_turns(&mut self, now: Timestamp) -> Vec<(ConnectionId, BlockRef)> {
        self.seen = now;
        let over = self.failed.iter().filter_map(|(piece, failed)| {
            let partial = self.partials.get(piece);
            let partial = partial.filter(|p| p.missing + p.requested > 0)?;
            let PieceOwner::Sole(owner) = partial.owner else {
                return None;
            };
            let sends = self.peers.get(&owner)?;
            let others = || {
                let others = self.peers.iter().filter(|(conn, _)| **conn != owner);
                let others = others.filter(|(conn, peer)| {
                    peer.has_now(now, *piece) && !self.has_earlier(**conn, peer, *piece)
                });
                others.map(|(conn, peer)| (failed.order(*conn, peer.joined), *conn, peer))
            };
            let next = others().map(|(order, ..)| order).min()?;
            let over = others().filter(|(order, conn, other)| {
                let showed = failed.turns.get(conn).and_then(Turns::showed);
                turn_is_over(now, partial, sends, other, showed, next == *order)
            });
            let (_, other, _) = over.min_by_key(|(order, ..)| *order)?;
            Some((*piece, other))
        });
        let over: Vec<(u32, ConnectionId)> = over.collect();
        let mut owed = Vec::new();
        for (piece, other) in over {
            owed.extend(self.drop_partial(piece));
            if let Some(failed) = self.failed.get_mut(&piece) {
                failed.favoured = Some(other);
                failed.turns.entry(other).or_default().said = true;
            }
        }
        owed
    }

    /// A reader needs the piece.
    pub fn is_due(&self, piece: u32) -> bool {
        self.deadlines.iter().any(|(_, due)| *due == piece)
    }

    /// A reader needs something of this peer before the piece: it is asked for that first.
    fn has_earlier(&self, conn: ConnectionId, peer: &Peer, piece: u32) -> bool {
        let deadlines = self.deadlines.iter().map(|(_, other)| *other);
        let mut before = deadlines
            .take_while(|other| *other != piece)
            .take(COMPARED_DEADLINES);
        before.any(|other| {
            let owner = self.partials.get(&other).map(|partial| partial.owner);
            let open = match owner {
                Some(PieceOwner::Sole(owner)) => owner == conn,
                _ => !self.failed.contains_key(&other),
            };
            open && peer.have.contains(other) && self.missing_bytes(other) > 0
        })
    }

    /// When the turn of a piece that is begun may be over.
    pub(super) fn turn_ends_at(partial: &Partial, now: Timestamp) -> Timestamp {
        let looks = now.since(partial.begun).as_micros() / PATIENCE.as_micros() + 1;
        let next = PATIENCE.saturating_mul(u32::try_from(looks).unwrap_or(u32::MAX));
        let end = partial.begun + TURN;
        match now < end {
            true => end.min(partial.begun + next),
            false => partial.begun + next,
        }
    }

    /// Ends the turns of those that do nothing any more for a piece that this peer has. To be called before it is asked for
    /// anything, with [`Picker::take_dropped`] in between.
    pub fn end_abandoned(&mut self, now: Timestamp, conn: ConnectionId) {
        self.seen = now;
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        let abandoned = |piece: &u32| {
            let partial = self.partials.get(piece);
            peer.have.contains(*piece) && partial.is_some_and(|p| p.abandoned_whole(conn, now))
        };
        let ended: Vec<u32> = self.failed.keys().copied().filter(abandoned).collect();
        for piece in ended {
            self.drop_partial(piece);
        }
    }

    /// Pieces that are to come whole and are not begun: those that it is this peer's turn to bring, and those that it is another's,
    /// for which they wait a while.
    pub(super) fn turns(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        picks: &Peer,
    ) -> (Set<u32>, Set<u32>) {
        let (mut own, mut others) = (Set::new(), Set::new());
        let mut all = core::mem::take(&mut self.failed);
        for (&piece, failed) in &mut all {
            if self.partials.contains_key(&piece) || !picks.have.contains(piece) {
                continue;
            }
            let peers = &self.peers;
            let before_it = |failed: &Failed| {
                (peers.iter().filter(|(_, peer)| peer.has_now(now, piece)))
                    .map(|(other, peer)| (failed.order(*other, peer.joined), *other))
                    .min()
                    .filter(|(first, _)| *first < failed.order(conn, picks.joined))
            };
            let mut first = before_it(failed);
            if let Some((_, awaited)) = first {
                let waits = failed.waits.filter(|(_, waited)| *waited == awaited);
                if let Some((_, waited)) = failed.waits.filter(|_| waits.is_none())
                    && peers
                        .get(&waited)
                        .is_some_and(|peer| !peer.has_now(now, piece))
                {
                    // It went away while it was waited for.
                    self.order += 1;
                    failed.passed(waited, self.order, true);
                }
                let (since, _) = *failed.waits.insert(waits.unwrap_or((now, awaited)));
                if now >= since + PATIENCE {
                    // It does not take its turn: now it is the next one's. Nobody could where there is no room for the piece.
                    let can = self.fits(piece) && self.has_budget_for(piece, self.is_due(piece));
                    let busy = peers
                        .get(&awaited)
                        .is_none_or(|peer| self.has_earlier(awaited, peer, piece));
                    self.order += 1;
                    failed.passed(awaited, self.order, can && !busy);
                    first = before_it(failed);
                    failed.waits = first.map(|(_, next)| (now, next));
                }
            }
            match first {
                Some(_) => others.insert(piece),
                None => own.insert(piece),
            };
        }
        self.failed = all;
        (own, others)
    }

    /// A peer begins its turn, with what it brought before.
    pub(super) fn begin_turn(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        peer: &Peer,
        piece: u32,
    ) {
        let partial = self.partials.get_mut(&piece);
        let partial = partial.filter(|p| p.whole && p.owner == PieceOwner::Vacant);
        let (Some(partial), Some(failed)) = (partial, self.failed.get_mut(&piece)) else {
            return;
        };
        partial.owner = PieceOwner::Sole(conn);
        partial.touched = now;
        partial.ahead = peer.requests.len() as u64;
        partial.received_before = peer.received;
        failed.waits = None;
        failed.favoured = None;
        let place = failed.place(conn, peer.joined);
        let away = |other: &ConnectionId| {
            let other = self.peers.get(other);
            other.is_some_and(|other| !other.has_now(now, piece))
        };
        for (other, turns) in &mut failed.turns {
            if turns.ended.is_some_and(|ended| ended < place) && away(other) {
                turns.missed += 1;
            }
        }
        let turns = failed.turns.entry(conn).or_default();
        turns.said = false;
        turns.missed = 0;
        // Who sent all of it sent it wrong.
        let part = turns.part.as_ref();
        let Some(part) = part.filter(|part| part.count() > 0 && !part.is_full()) else {
            return;
        };
        for index in part.iter() {
            partial.bring(conn, index);
        }
        partial.brought = partial.received();
        self.resumed.push((PieceIndex(piece), conn));
    }

    /// A turn is over: what came of it is kept for the next one of that peer, which comes after those of all others.
    pub(super) fn note_end_of_turn(&mut self, piece: u32) {
        let partial = self.partials.get(&piece).filter(|p| p.has_turn());
        let Some((partial, PieceOwner::Sole(owner))) = partial.map(|p| (p, p.owner)) else {
            return;
        };
        self.order += 1;
        if let Some(failed) = self.failed.get_mut(&piece) {
            let peer = self.peers.get(&owner);
            let blocks = peer.map_or(0, |peer| sent_in_turn(partial, peer).0);
            let bytes = blocks * u64::from(BLOCK_LEN);
            let micros = self.seen.since(partial.begun).as_micros().max(1_000_000);
            let shown = u128::from(bytes) * 1_000_000 / micros;
            let turns = failed.turns.entry(owner).or_default();
            turns.shown = Some(u64::try_from(shown).unwrap_or(u64::MAX));
            turns.grew = u64::from(partial.received().saturating_sub(partial.brought));
            turns.ended = Some(self.order);
            failed.keep(partial);
        }
    }

    /// A block of a piece that failed came when it is not its sender's turn: it is kept for that. But one is left for the turn, with
    /// which the piece is hashed.
    pub(super) fn keep_late(&mut self, conn: ConnectionId, piece: u32, index: u32) -> bool {
        let count = self.piece_len(piece).div_ceil(BLOCK_LEN);
        let turn = self.partials.get(&piece).map(|partial| partial.owner);
        let Some(failed) = self.failed.get_mut(&piece) else {
            return false;
        };
        if turn == Some(PieceOwner::Sole(conn)) || !self.peers.contains_key(&conn) {
            return false;
        }
        let part = &mut failed.turns.entry(conn).or_default().part;
        let part = part.get_or_insert_with(|| Bitfield::empty(count));
        part.count() + 1 < count && part.insert(index)
    }

    /// A block that a peer brought of a piece that failed is not kept any more.
    pub fn forget_block(&mut self, conn: ConnectionId, block: BlockRef) {
        let failed = self.failed.get_mut(&block.piece.0);
        let turns = failed.and_then(|failed| failed.turns.get_mut(&conn));
        if let Some(part) = turns.and_then(|turns| turns.part.as_mut()) {
            part.remove(block.begin / BLOCK_LEN);
        }
    }

    /// How many thousandths of a turn a peer will need for the rest of a piece that failed, if each brings what its last one did. Of
    /// one that left, that misses its turns, or that brings nothing, none can be told.
    pub fn turns_left(&self, piece: PieceIndex, conn: ConnectionId) -> Option<u64> {
        self.peers.get(&conn)?;
        let failed = self.failed.get(&piece.0)?;
        let turns = failed.turns.get(&conn);
        let turns = turns.filter(|turns| turns.missed < MOST_MISSED)?;
        let part = turns.part.as_ref()?;
        let missing = u64::from(part.len() - part.count());
        (missing * 1_000).checked_div(turns.grew)
    }

    /// How often others began behind a peer since its last turn for a piece that failed; without end if it left.
    pub fn missed(&self, piece: PieceIndex, conn: ConnectionId) -> u32 {
        let failed = self.failed.get(&piece.0);
        let turns = failed.and_then(|failed| failed.turns.get(&conn));
        match self.peers.contains_key(&conn) {
            true => turns.map_or(0, |turns| turns.missed),
            false => u32::MAX,
        }
    }

    /// Of the blocks that count as received, as a turn begins, these are here; the others are missing.
    pub fn keep_only(&mut self, piece: PieceIndex, held: impl Fn(usize) -> bool) {
        if let Some(partial) = self.partials.get_mut(&piece.0) {
            partial.keep_only(held);
        }
        self.note_unrequested(piece.0);
    }

    /// Turns that began with what the peer had brought before: its blocks count as received.
    pub fn take_resumed(&mut self) -> Vec<(PieceIndex, ConnectionId)> {
        core::mem::take(&mut self.resumed)
    }
}
