//! Pieces that failed their hash with several senders: each comes whole from one peer, by turns
//! (docs/decisions/045-a-failed-piece-comes-whole-by-turns.md).

use super::peers::{Peer, transfer_time};
use super::slow::COMPARED_DEADLINES;
use super::{PATIENCE, Picker};
use crate::pieces::{Partial, PieceOwner, Pieces};
use crate::sorted::{Map, Set};
use crate::time::{Duration, Timestamp};
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, PieceIndex, scaled};

/// The time that a peer has for its turn if the next peer has shown nothing yet.
const TURN: Duration = Duration::from_secs(30);
/// Bytes per second: a peer that brings less of a piece in two minutes gives way to the next peer.
const NEXT_TO_NOTHING: u64 = 8 * 1024;
/// A peer that misses this many turns does not go on with the blocks that it brought.
const MOST_MISSED: u32 = 2;

/// A piece that failed its hash with several senders. From then on it comes whole from one peer, so that the bytes show
/// which peer sent wrong ones. Each peer has its turn, whatever its price, and goes on in its next turn with the blocks
/// that it brought itself. Blocks of two senders are never mixed: a single wrong block would spoil the piece again.
#[derive(Debug, Default)]
pub(super) struct Failed {
    /// By connected peer.
    turns: Map<ConnectionId, Turns>,
    /// The peer whose turn it is and that the piece waits for although another would begin it, and since when.
    pub(super) waits: Option<(Timestamp, ConnectionId)>,
    /// The peer for whose sake the last turn ended: it has the next turn.
    favoured: Option<ConnectionId>,
}

/// The turns that a peer had for a failed piece. The blocks that it brought in them are the [`Pieces`]' suspects.
#[derive(Debug, Default)]
struct Turns {
    /// The value of [`Picker::order`] when its last turn ended, whether it had that turn or did not take it.
    ended: Option<u64>,
    /// The turns that another peer began behind it since its own last one, because it was away for its own or did not
    /// take it.
    missed: u32,
    /// The blocks of the piece that came in its last turn.
    grew: u64,
    /// The bytes per second that it sent in its last turn. Others' turns end for that rate and for no higher one.
    shown: Option<u64>,
    /// Another's turn ended for its sake, or it was waited for in vain. No turn ends for its sake before it had one.
    said: bool,
}

impl Turns {
    /// The rate that counts when others' turns end for its sake.
    fn showed(&self) -> Option<u64> {
        if self.said { Some(0) } else { self.shown }
    }
}

/// Whether a free peer's turn ends for the sake of `other`. It does if `other` is twice as fast. The rate that it
/// `showed` in its last turn for this piece counts, or else the one that it showed at all. A peer that is as fast
/// waits, or all would begin and none would end.
///
/// A peer that has shown nothing yet waits for half a minute if its turn is the next, and for two minutes if it showed
/// nothing in its own turn. The next peer, whatever it showed, also waits two minutes behind one that brings next to
/// nothing. A seller's turn ends for nobody, because its blocks may be at stake.
fn turn_is_over(
    now: Timestamp,
    partial: &Partial,
    owner: &Peer,
    other: &Peer,
    showed: Option<u64>,
    is_next: bool,
) -> bool {
    let time = now.since(partial.delivery().begun);
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

/// The blocks that a peer sent in its turn, and how many older requests it still owes. Older requests come first, and
/// their blocks count, too.
fn sent_in_turn(partial: &Partial, owner: &Peer) -> (u64, u64) {
    let delivery = partial.delivery();
    let brought = u64::from(partial.received().saturating_sub(delivery.brought));
    let others = (owner.received).saturating_sub(delivery.received_before + brought);
    let before = others.min(delivery.ahead);
    (brought + before, delivery.ahead - before)
}

impl Failed {
    /// The peer with the lowest number has the next turn. The number stands for the end of the peer's last turn, or for
    /// the time at which it `joined`.
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

    /// The piece waited for a peer that did not begin its turn, although it `could`.
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
    /// Ends turns that are over where another peer could have its own. Answers the requests to cancel, with their
    /// peers.
    pub fn end_turns(
        &mut self,
        pieces: &mut Pieces,
        now: Timestamp,
    ) -> Vec<(ConnectionId, BlockRef)> {
        self.seen = now;
        self.drop_ended(pieces);
        let over = self.failed.iter().filter_map(|(piece, failed)| {
            let partial = pieces.partial(PieceIndex(*piece));
            let partial = partial.filter(|p| !p.is_complete())?;
            let PieceOwner::Sole(owner) = partial.delivery().owner else {
                return None;
            };
            let sends = self.peers.get(&owner)?;
            let others = || {
                let others = self.peers.iter().filter(|(conn, _)| **conn != owner);
                let others = others.filter(|(conn, peer)| {
                    peer.has_now(now, *piece) && !self.has_earlier(pieces, **conn, peer, *piece)
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
            owed.extend(self.drop_partial(pieces, PieceIndex(piece)));
            if let Some(failed) = self.failed.get_mut(&piece) {
                failed.favoured = Some(other);
                failed.turns.entry(other).or_default().said = true;
            }
        }
        owed
    }

    /// Whether a reader needs the piece.
    pub fn is_due(&self, piece: PieceIndex) -> bool {
        self.deadlines.iter().any(|(_, due)| *due == piece.0)
    }

    /// Whether a reader needs something of this peer before the piece: then the picker asks the peer for that first.
    fn has_earlier(&self, pieces: &Pieces, conn: ConnectionId, peer: &Peer, piece: u32) -> bool {
        let deadlines = self.deadlines.iter().map(|(_, other)| *other);
        let mut before = deadlines
            .take_while(|other| *other != piece)
            .take(COMPARED_DEADLINES);
        before.any(|other| {
            let partial = pieces.partial(PieceIndex(other));
            let owner = partial.map(|partial| partial.delivery().owner);
            let open = match owner {
                Some(PieceOwner::Sole(owner)) => owner == conn,
                _ => !self.failed.contains_key(&other),
            };
            open && peer.have.contains(other) && self.missing_bytes(pieces, PieceIndex(other)) > 0
        })
    }

    /// The time at which the turn of a begun piece may be over.
    pub(super) fn turn_ends_at(partial: &Partial, now: Timestamp) -> Timestamp {
        let begun = partial.delivery().begun;
        let looks = now.since(begun).as_micros() / PATIENCE.as_micros() + 1;
        let next = PATIENCE.saturating_mul(u32::try_from(looks).unwrap_or(u32::MAX));
        let end = begun + TURN;
        match now < end {
            true => end.min(begun + next),
            false => begun + next,
        }
    }

    /// Ends the turns of peers that do nothing any more for a piece that this peer has. The torrent calls it before it
    /// asks this peer for anything, with [`Pieces::take_given_up`] in between.
    pub fn end_abandoned(&mut self, pieces: &mut Pieces, now: Timestamp, conn: ConnectionId) {
        self.seen = now;
        self.drop_ended(pieces);
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        let abandoned = |piece: &u32| {
            let partial = pieces.partial(PieceIndex(*piece));
            peer.have.contains(*piece) && partial.is_some_and(|p| p.abandoned_whole(conn, now))
        };
        let ended: Vec<u32> = self.failed.keys().copied().filter(abandoned).collect();
        for piece in ended {
            self.drop_partial(pieces, PieceIndex(piece));
        }
    }

    /// The pieces that are to come whole and are not begun: first those that it is this peer's turn to bring, then
    /// those that wait a while for another peer.
    pub(super) fn turns(
        &mut self,
        pieces: &Pieces,
        now: Timestamp,
        conn: ConnectionId,
        picks: &Peer,
    ) -> (Set<u32>, Set<u32>) {
        let (mut own, mut others) = (Set::new(), Set::new());
        let mut all = core::mem::take(&mut self.failed);
        for (&piece, failed) in &mut all {
            if pieces.partial(PieceIndex(piece)).is_some() || !picks.have.contains(piece) {
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
                    // The peer went away while the piece waited for it.
                    self.order += 1;
                    failed.passed(waited, self.order, true);
                }
                let (since, _) = *failed.waits.insert(waits.unwrap_or((now, awaited)));
                if now >= since + PATIENCE {
                    // The peer does not take its turn, so the next one has it. No peer could begin the piece where
                    // there is no room for it.
                    let begun = PieceIndex(piece);
                    let can = self.fits(pieces, begun)
                        && self.has_budget_for(pieces, begun, self.is_due(begun));
                    let busy = peers
                        .get(&awaited)
                        .is_none_or(|peer| self.has_earlier(pieces, awaited, peer, piece));
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

    /// A peer begins its turn with the blocks that it brought before.
    pub(super) fn begin_turn(
        &mut self,
        pieces: &mut Pieces,
        now: Timestamp,
        conn: ConnectionId,
        peer: &Peer,
        begins: PieceIndex,
    ) {
        let piece = begins.0;
        let ahead = pieces.requests(conn).len() as u64;
        let delivery = pieces.delivery_mut(begins);
        let delivery = delivery.filter(|d| d.whole && d.owner == PieceOwner::Vacant);
        let (Some(delivery), Some(failed)) = (delivery, self.failed.get_mut(&piece)) else {
            return;
        };
        delivery.owner = PieceOwner::Sole(conn);
        delivery.touched = now;
        delivery.ahead = ahead;
        delivery.received_before = peer.received;
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
        let brought = pieces.suspects().count(begins, conn);
        // A peer that sent all of it sent it wrong.
        if brought > 0 && brought < pieces.geometry().blocks_in(begins).unwrap_or(0) {
            pieces.take_up(begins, conn);
            let received = pieces.partial(begins).map_or(0, Partial::received);
            if let Some(delivery) = pieces.delivery_mut(begins) {
                delivery.brought = received;
            }
        }
    }

    /// A turn is over. Its blocks are kept for the next turn of the same peer, which comes after those of all others.
    pub(super) fn note_end_of_turn(&mut self, pieces: &Pieces, piece: PieceIndex) {
        let partial = pieces.partial(piece).filter(|p| p.has_turn());
        let Some((partial, PieceOwner::Sole(owner))) = partial.map(|p| (p, p.delivery().owner))
        else {
            return;
        };
        self.order += 1;
        if let Some(failed) = self.failed.get_mut(&piece.0) {
            let peer = self.peers.get(&owner);
            let blocks = peer.map_or(0, |peer| sent_in_turn(partial, peer).0);
            let bytes = blocks * u64::from(BLOCK_LEN);
            let micros = self
                .seen
                .since(partial.delivery().begun)
                .as_micros()
                .max(1_000_000);
            let shown = scaled(bytes, 1_000_000, micros);
            let turns = failed.turns.entry(owner).or_default();
            turns.shown = Some(shown);
            let brought = partial.delivery().brought;
            turns.grew = u64::from(partial.received().saturating_sub(brought));
            turns.ended = Some(self.order);
        }
    }

    /// Whether a block of a failed piece came out of its sender's turn and is kept for that turn. One block is always
    /// left for the turn to bring, because the piece is hashed when it comes.
    pub(super) fn is_kept(&self, pieces: &Pieces, conn: ConnectionId, block: BlockRef) -> bool {
        let piece = block.piece;
        let turn = pieces
            .partial(piece)
            .map(|partial| partial.delivery().owner);
        let count = pieces.geometry().blocks_in(piece).unwrap_or(0);
        self.has_failed(piece)
            && turn != Some(PieceOwner::Sole(conn))
            && self.peers.contains_key(&conn)
            && pieces.suspects().count(piece, conn) + 1 < count
            && !pieces.suspects().has(block, conn)
    }

    /// The thousandths of a turn that a peer will need for the rest of a failed piece, if each turn brings as much as
    /// its last one. `None` for a peer that left, that misses its turns, or that brings nothing.
    pub fn turns_left(
        &self,
        pieces: &Pieces,
        piece: PieceIndex,
        conn: ConnectionId,
    ) -> Option<u64> {
        self.peers.get(&conn)?;
        let failed = self.failed.get(&piece.0)?;
        let turns = failed.turns.get(&conn);
        let turns = turns.filter(|turns| turns.missed < MOST_MISSED)?;
        let count = pieces.geometry().blocks_in(piece)?;
        let missing = count.saturating_sub(pieces.suspects().count(piece, conn));
        (u64::from(missing) * 1_000).checked_div(turns.grew)
    }

    /// The number of turns that others began behind a peer since its own last one for a failed piece; the highest
    /// number if it left.
    pub fn missed(&self, piece: PieceIndex, conn: ConnectionId) -> u32 {
        let failed = self.failed.get(&piece.0);
        let turns = failed.and_then(|failed| failed.turns.get(&conn));
        match self.peers.contains_key(&conn) {
            true => turns.map_or(0, |turns| turns.missed),
            false => u32::MAX,
        }
    }
}
