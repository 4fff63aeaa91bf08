//! Slow peers: pieces that the cheap peers will bring too late, and requests that the picker takes back from a peer
//! that keeps a piece from others.

use super::admission::outstanding_bytes;
use super::peers::{Peer, transfer_time};
use super::{Picker, SAFETY, URGENT, length_of};
use crate::pieces::{PieceOwner, Pieces};
use crate::sorted::Set;
use crate::time::{Duration, Timestamp, Wait};
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, FineUnits, PieceIndex};

/// Pieces of windows that the picker compares for a peer that cheaper or faster ones may make unnecessary.
pub(super) const COMPARED_DEADLINES: usize = 64;
/// The time after which a peer whose requests were taken back is asked for one block, to see whether it sends again.
const PROBED_AFTER: Duration = Duration::from_secs(20);

/// The turn of a peer that others are asked before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) conn: ConnectionId,
    pub(super) since: Timestamp,
    /// No other such peer is asked for a block before this time.
    pub(super) until: Timestamp,
}

/// The time at which these peers together will have brought a piece and the `backlog` before it; never if none of them
/// has it.
pub(super) fn arrival(
    pieces: &Pieces,
    now: Timestamp,
    peers: &mut dyn Iterator<Item = (ConnectionId, &Peer)>,
    piece: PieceIndex,
    backlog: u64,
) -> Timestamp {
    let (mut rate, mut bytes) = (0u64, backlog);
    for (conn, peer) in peers.filter(|(_, peer)| peer.have.contains(piece.0)) {
        rate += peer.rate_or_guess();
        bytes += outstanding_bytes(pieces, conn);
    }
    match rate {
        0 => Timestamp::NEVER,
        _ => now + transfer_time(bytes, rate),
    }
}

impl Picker {
    /// Whether the peers that ask no more than `price` will be late with something that a reader needs next.
    pub fn is_late(&self, pieces: &Pieces, now: Timestamp, price: FineUnits) -> bool {
        let cheap: Vec<(ConnectionId, &Peer)> = (self.peers.iter())
            .filter(|(_, peer)| peer.status.price <= price && peer.promising(now))
            .map(|(conn, peer)| (*conn, &**peer))
            .collect();
        let mut backlog = 0;
        let mut deadlines = self.deadlines.iter().take(COMPARED_DEADLINES);
        deadlines.any(|&(due, piece)| {
            let piece = PieceIndex(piece);
            let missing = self.missing_bytes(pieces, piece);
            backlog += missing;
            let at = || arrival(pieces, now, &mut cheap.iter().copied(), piece, backlog);
            missing > 0 && at() + SAFETY > due
        })
    }

    /// The pieces that readers need and that the peers which count will not bring in time, whatever they ask for them;
    /// and the wanted pieces that failed.
    pub fn endangered(
        &self,
        pieces: &Pieces,
        now: Timestamp,
        counts: &dyn Fn(ConnectionId) -> bool,
    ) -> Set<u32> {
        let peers: Vec<(ConnectionId, &Peer)> = (self.peers.iter())
            .filter(|(conn, peer)| counts(**conn) && peer.promising(now))
            .map(|(conn, peer)| (*conn, &**peer))
            .collect();
        let mut backlog = 0;
        let mut late: Set<u32> = self.wanted_failed().collect();
        for &(due, piece) in self.deadlines.iter().take(COMPARED_DEADLINES) {
            let index = PieceIndex(piece);
            let missing = self.missing_bytes(pieces, index);
            let out = pieces
                .partial(index)
                .map_or(0, |partial| partial.requested());
            backlog += missing;
            if missing > 0 || out > 0 {
                // By what they showed: who is asked for little, because a window is full, brings little.
                let (mut rate, mut queue) = (0, backlog);
                for (conn, peer) in peers.iter().filter(|(_, peer)| peer.have.contains(piece)) {
                    rate += peer.believed_rate();
                    queue += outstanding_bytes(pieces, *conn);
                }
                if rate == 0 || now + transfer_time(queue, rate) + SAFETY > due {
                    late.insert(piece);
                }
            }
        }
        late
    }

    /// The bytes of a piece that nobody is asked for.
    pub(super) fn missing_bytes(&self, pieces: &Pieces, piece: PieceIndex) -> u64 {
        match pieces.partial(piece) {
            Some(partial) => u64::from(partial.missing()) * u64::from(BLOCK_LEN),
            None if self.rarity.is_listed(piece.0) => length_of(pieces, piece),
            None => 0,
        }
    }

    /// Takes back requests from a peer that sends too little, so that it keeps no piece from others. Taken back are its
    /// requests for pieces of which one was asked for at `asked_before` or earlier, and which another peer may be asked
    /// for. The others bring the rest of these pieces. From a free peer only pieces that a seller has are taken back,
    /// because free peers share their pieces. With `urgent` only pieces that a reader needs now are. Answers the
    /// requests to cancel.
    pub fn withdraw(
        &mut self,
        pieces: &mut Pieces,
        now: Timestamp,
        conn: ConnectionId,
        asked_before: Timestamp,
        urgent: bool,
    ) -> Vec<BlockRef> {
        let others = self.peers.iter().filter(|(_, other)| other.promising(now));
        let others = others.map(|(conn, _)| *conn).collect();
        self.take_back(pieces, now, conn, asked_before, urgent, &others, usize::MAX)
    }

    /// The same for the sake of peers that owe nothing, promising or not. One piece is taken back for each of them: the
    /// picker would ask this peer again for the pieces that they do not take.
    pub fn pass_on(
        &mut self,
        pieces: &mut Pieces,
        now: Timestamp,
        conn: ConnectionId,
        asked_before: Timestamp,
        urgent: bool,
        idle: &Set<ConnectionId>,
    ) -> Vec<BlockRef> {
        self.take_back(pieces, now, conn, asked_before, urgent, idle, idle.len())
    }

    fn take_back(
        &mut self,
        pieces: &mut Pieces,
        now: Timestamp,
        conn: ConnectionId,
        asked_before: Timestamp,
        urgent: bool,
        others: &Set<ConnectionId>,
        most: usize,
    ) -> Vec<BlockRef> {
        let Some(peer) = self.peers.get(&conn) else {
            return Vec::new();
        };
        let out = pieces.requests(conn);
        let mut slow: Set<PieceIndex> = (out.iter())
            .filter(|(_, asked)| **asked <= asked_before)
            .map(|(block, _)| block.piece)
            .collect();
        let others: Vec<&Peer> = (others.iter().filter(|other| **other != conn))
            .filter_map(|other| self.peers.get(other).map(|other| &**other))
            .filter(|other| !(peer.free() && other.free()))
            .collect();
        slow.retain(|piece| {
            let due = |(due, other): &(Timestamp, u32)| *other == piece.0 && *due <= now + URGENT;
            (!urgent || self.deadlines.iter().any(due))
                && others.iter().any(|other| other.have.contains(piece.0))
        });
        let slow: Set<PieceIndex> = slow.into_iter().take(most).collect();
        let owed = out.keys().filter(|block| slow.contains(&block.piece));
        let owed: Vec<BlockRef> = owed.copied().collect();
        self.release(pieces, conn, |piece| slow.contains(&piece));
        if let Some(peer) = self.peers.get_mut(&conn).filter(|_| !owed.is_empty()) {
            peer.status.snubbed = true;
            peer.probed_at = now + PROBED_AFTER;
        }
        owed
    }

    /// Gives a piece that is paid for in part back to the seller that brought that part. The seller is one that
    /// `may_be_asked`, and it would bring the rest sooner than the peers that went on with it meanwhile, much sooner if
    /// those sell. Until the piece is verified, that seller might be asked for nothing else. A seller that was waited
    /// for in vain meanwhile gets it back too, or it would be asked for nothing before the others are done. A piece
    /// does not go back again soon, nor to the same seller before that seller sent something of it. Answers the
    /// requests to cancel, with their peers.
    pub fn return_staked(
        &mut self,
        pieces: &mut Pieces,
        now: Timestamp,
        may_be_asked: &Set<ConnectionId>,
    ) -> Vec<(ConnectionId, BlockRef)> {
        let mut owed = Vec::new();
        let staked: Vec<u32> = self.staked.iter().copied().collect();
        for piece in staked {
            let piece = PieceIndex(piece);
            let Some(seller) = self.sooner_seller(pieces, now, piece, may_be_asked) else {
                continue;
            };
            let geometry = *pieces.geometry();
            let askers = pieces.partial(piece).into_iter().flat_map(|p| p.askers());
            let out: Vec<(ConnectionId, BlockRef)> = askers
                .filter_map(|(conn, number)| Some((conn, geometry.block(piece, number)?)))
                .collect();
            for (conn, block) in &out {
                pieces.give_back(*conn, *block);
            }
            if let Some(delivery) = pieces.delivery_mut(piece) {
                delivery.owner = PieceOwner::Sole(seller);
                delivery.touched = now;
                delivery.returned = Some(seller);
                delivery.returned_at = now;
            }
            owed.extend(out);
        }
        owed
    }

    /// The seller that brought a part of a piece and would bring the rest sooner than the peers that are asked for it.
    fn sooner_seller(
        &self,
        pieces: &Pieces,
        now: Timestamp,
        piece: PieceIndex,
        may_be_asked: &Set<ConnectionId>,
    ) -> Option<ConnectionId> {
        let again = |at: Timestamp| at == Timestamp::ZERO || now >= at + PROBED_AFTER;
        let partial = pieces.partial(piece)?;
        let delivery = partial.delivery();
        if delivery.whole || !again(delivery.returned_at) {
            return None;
        }
        let mut by: Set<ConnectionId> = partial.askers().map(|(conn, _)| conn).collect();
        if let PieceOwner::Sole(owner) = delivery.owner {
            by.insert(owner);
        }
        let by_them = by
            .iter()
            .filter_map(|conn| Some((*conn, self.peers.get(conn)?)));
        let (mut rate, mut queue, mut sold) = (0, 0, false);
        for (conn, peer) in by_them {
            rate += peer.believed_rate();
            queue += outstanding_bytes(pieces, conn);
            sold |= !peer.free();
        }
        let missing = u64::from(partial.missing()) * u64::from(BLOCK_LEN);
        let rest = missing + u64::from(partial.requested()) * u64::from(BLOCK_LEN);
        let at = transfer_time(queue + missing, rate);
        let margin = if sold { Wait::LIMIT } else { SAFETY };
        (self.peers.iter())
            .filter(|(conn, peer)| {
                !peer.free()
                    && may_be_asked.contains(*conn)
                    && !by.contains(*conn)
                    && peer.status.usable
            })
            .filter(|(conn, _)| delivery.returned != Some(**conn) && partial.has_of(**conn))
            .filter(|(_, peer)| peer.have.contains(piece.0))
            .map(|(conn, peer)| {
                let bytes = outstanding_bytes(pieces, *conn) + rest;
                (transfer_time(bytes, peer.believed_rate()) + margin, *conn)
            })
            .min()
            .filter(|(sooner, _)| !by.is_empty() && *sooner < at)
            .map(|(_, conn)| conn)
    }

    /// The time from which a peer that others are asked before may be asked for one block.
    pub fn probed_at(&self, conn: ConnectionId) -> Timestamp {
        let peer = self.peers.get(&conn);
        peer.map_or(Timestamp::ZERO, |peer| peer.probed_at)
    }

    /// A peer that was waited for in vain and owes nothing any more, because it chokes or refuses, keeps no piece
    /// either.
    pub(super) fn let_go(&mut self, pieces: &mut Pieces, now: Timestamp, conn: ConnectionId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.status.snubbed && pieces.requests(conn).is_empty() {
            peer.probed_at = now + PROBED_AFTER;
            self.release(pieces, conn, |_| true);
        }
    }

    /// Whether it is this peer's turn to be asked for one block, of the peers that others are asked before, and since
    /// when. They take turns one at a time, or many could keep from others the piece that is needed next. No turn lasts
    /// long, or the others would never show that they send again.
    pub(super) fn turn(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        peer: &mut Peer,
    ) -> Option<Timestamp> {
        let Some(probe) = self.probed.filter(|probe| now <= probe.until) else {
            return Some(now);
        };
        if probe.conn != conn {
            return (now == probe.until).then_some(now);
        }
        if now < probe.since + PROBED_AFTER {
            return Some(probe.since);
        }
        peer.probed_at = now + PROBED_AFTER;
        self.probed = None;
        None
    }
}
