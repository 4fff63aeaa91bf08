//! Which peers are asked for how much more: enough to keep their links busy, and no more than storage keeps up with.
//!
//! Invariant: when a request goes out, what would be lost with the process and what peers are asked for is not more
//! than [`Store::may_be_at_risk`] together, but for the first [`LEAST_REQUESTS`] to each peer, and for what peers owe
//! that stopped sending. Nothing at all is asked for where that much has arrived: a cycle ends by itself, and then it
//! goes on.

use super::{Buying, Content, Context, Phase, Torrent};
use crate::peer::{Asked, Peer, SLOW_BELOW};
use crate::picker::{ENDGAME_LATE, PATIENCE, PeerStatus};
use crate::sorted::Set;
use crate::storage::Store;
use crate::time::{Timestamp, Wait};
use crate::types::{BLOCK_LEN, ConnectionId, FineUnits};

/// Among many peers each is asked for so many blocks, or it would show nothing of what it can do.
const LEAST_REQUESTS: usize = 4;
/// How many blocks may be out to whom, so that what arrives while storage is busy is bounded.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    /// Out to all peers and web seeds together.
    all: usize,
    /// Out now, without what is late.
    out: usize,
    /// What would keep every link busy.
    wished: usize,
}

impl Allowance {
    /// How many may be out to a peer that is asked for `out` now and would be kept busy by `wish`.
    fn of(&self, wish: usize, out: usize) -> usize {
        if self.all == 0 {
            return 0;
        }
        let share = match self.wished <= self.all {
            true => usize::MAX,
            false => wish * self.all / self.wished,
        };
        let left = out + self.all.saturating_sub(self.out);
        share.min(left).max(LEAST_REQUESTS)
    }
}

impl Torrent {
    /// Asks every peer for as many blocks as keep it busy and are stored in time. Answers whether another would be
    /// asked for more.
    pub(super) fn request_blocks(&mut self, ctx: &mut Context) -> bool {
        self.take_back_at = Timestamp::NEVER;
        self.waits_for_cap = self.is_downloading() && !ctx.download.is_open(ctx.now);
        if self.wants_peers() {
            self.go_on_with_web_seeds(ctx);
        }
        if !self.wants_peers() || !ctx.download.is_open(ctx.now) {
            return false;
        }
        let running = |content: &Content| matches!(content.phase, Phase::Running);
        if !self.content.as_ref().is_some_and(running) {
            return false;
        }
        let in_vain = self.tell_picker(ctx);
        self.end_turns(ctx);
        self.take_back_from_slow(ctx, &in_vain);
        let Some(content) = &self.content else {
            return false;
        };
        let now = ctx.now;
        let bound = Store::may_be_at_risk(self.rate(now));
        let room = bound.saturating_sub(content.cycles.at_risk(&content.pieces));
        let mut allowance = Allowance {
            all: (room / u64::from(BLOCK_LEN)) as usize,
            out: self.web_seeds.blocks_out(),
            wished: 0,
        };
        let mut wishes: Vec<(Option<Timestamp>, ConnectionId, usize)> = Vec::new();
        for peer in self.peers.iter() {
            let conn = &peer.connection;
            if now < peer.asked.block_at() + ENDGAME_LATE {
                allowance.out += content.pieces.requests(*conn).len();
            }
            let out = content.pieces.requests(*conn).len();
            let wish = wish(peer, out, ctx.money.buying(*conn), now);
            if now < peer.answers_by() {
                self.take_back_at = self.take_back_at.min(peer.answers_by());
            }
            if wish > 0 {
                allowance.wished += wish;
                let last = in_vain.contains(conn) || peer.asked.is_snubbed();
                let probed_at = last.then(|| content.picker.probed_at(*conn));
                wishes.push((probed_at, *conn, wish));
            }
        }
        // Those that were waited for in vain come last, or one that says nothing would be asked again and again before
        // the others; and of them first whose turn is longest ago.
        wishes.sort_unstable();
        for (_, conn, wish) in wishes {
            allowance.out += self.request_from(ctx, conn, wish, &allowance);
        }
        let least = LEAST_REQUESTS.min(allowance.all);
        let room = allowance.all.saturating_sub(allowance.out);
        self.request_from_web_seeds(ctx, room, least);
        let content = self.content.as_ref();
        allowance.all > 0 && content.is_some_and(|c| c.picker.is_anything_left(&c.pieces))
    }

    /// Bytes of blocks a second from all peers and web seeds together.
    pub fn rate(&self, now: Timestamp) -> u64 {
        let peers: u64 = self.peers.iter().map(|p| p.down.per_second(now)).sum();
        peers + self.web_seeds.rate(now)
    }

    /// Tells the picker what each peer asks and what it can do. Answers which sellers were waited for in vain, and
    /// which free peers were left for a seller.
    fn tell_picker(&mut self, ctx: &Context) -> Set<ConnectionId> {
        let mut vain = Set::new();
        let Some(content) = &mut self.content else {
            return vain;
        };
        let (staked, first) = ctx.money.staked(self.info_hash);
        content.picker.set_staked(staked, first);
        for peer in self.peers.iter() {
            let conn = &peer.connection;
            let buying = ctx.money.buying(*conn);
            let price = match buying {
                Buying::Paid(_) => ctx.money.price(*conn).unwrap_or(FineUnits(0)),
                _ => FineUnits(0),
            };
            // Nobody waits for a seller that was waited for in vain, be it the cheapest, or that is asked for nothing.
            let in_vain = match buying {
                Buying::Paid(_) => !ctx.money.is_of_use(*conn),
                _ => peer.asked.is_passed_over(),
            };
            let is_asked = match buying {
                Buying::Paid(_) => {
                    ctx.money.is_wanted(*conn) || !content.pieces.requests(*conn).is_empty()
                }
                Buying::Free => true,
                Buying::Wait => false,
            };
            if in_vain {
                vain.insert(*conn);
            }
            content.picker.peer_status(
                &mut content.pieces,
                *conn,
                PeerStatus {
                    price,
                    usable: !peer.peer_choking && is_asked,
                    rate: peer.down.per_second(ctx.now),
                    snubbed: peer.asked.is_snubbed() || in_vain,
                },
            );
        }
        vain
    }

    /// Nobody keeps a piece by sending little of it: what is out too long to one that was waited for in vain is asked
    /// of others. A free peer is waited for in vain as a seller is, where somebody sells what it owes, if little comes
    /// at all, nothing else is left, or a reader needs it.
    fn take_back_from_slow(&mut self, ctx: &mut Context, in_vain: &Set<ConnectionId>) {
        self.return_staked(ctx);
        let sells = |conn: &ConnectionId| matches!(ctx.money.buying(*conn), Buying::Paid(_));
        if !self.peers.iter().any(|peer| sells(&peer.connection)) {
            return;
        }
        let now = ctx.now;
        let little = self.rate(now) < SLOW_BELOW;
        let Some(content) = &mut self.content else {
            return;
        };
        let urgent = !little && content.picker.is_anything_left(&content.pieces);
        let may_be_asked = |peer: &&Peer| {
            let conn = peer.connection;
            let out = content.pieces.requests(conn).len();
            out == 0 && wish(peer, out, ctx.money.buying(conn), now) > 0
        };
        let idle: Set<ConnectionId> = (self.peers.iter())
            .filter(|peer| in_vain.contains(&peer.connection))
            .filter(may_be_asked)
            .map(|peer| peer.connection)
            .collect();
        let mut slow = Vec::new();
        for peer in self.peers.iter() {
            let conn = &peer.connection;
            let oldest = content.pieces.requests(*conn).values().min().copied();
            let Some(oldest) = oldest else {
                continue;
            };
            let (last, free) = (in_vain.contains(conn), !sells(conn));
            let (at, asked_before, long_ago) = match (last, free) {
                (true, _) => {
                    if now < oldest + Wait::LIMIT {
                        self.take_back_at = self.take_back_at.min(oldest + Wait::LIMIT);
                    }
                    (oldest + PATIENCE, now - PATIENCE, now - Wait::LIMIT)
                }
                (false, true) if peer.asked.wait().is_over(now) => (now, now, now),
                (false, true) => (peer.asked.wait().ends_at(), now, now),
                (false, false) => continue,
            };
            if now < at {
                self.take_back_at = self.take_back_at.min(at);
                continue;
            }
            let (picker, pieces) = (&mut content.picker, &mut content.pieces);
            let urgent = free && urgent;
            let mut blocks = picker.withdraw(pieces, now, *conn, asked_before, urgent);
            if !idle.is_empty() {
                blocks.extend(picker.pass_on(pieces, now, *conn, long_ago, urgent, &idle));
            }
            slow.push((*conn, free, blocks));
        }
        for (conn, free, blocks) in slow {
            if let Some(peer) = self.peers.get_mut(conn)
                && free
                && !blocks.is_empty()
            {
                peer.asked.pass_over();
            }
            for block in blocks {
                self.take_back(ctx, conn, block);
            }
        }
    }

    /// See [`Picker::end_turns`](crate::picker::Picker::end_turns).
    fn end_turns(&mut self, ctx: &mut Context) {
        let content = self.content.as_mut();
        let owed = content.map(|c| c.picker.end_turns(&mut c.pieces, ctx.now));
        for (conn, block) in owed.unwrap_or_default() {
            self.take_back(ctx, conn, block);
        }
        self.settle_given_up(ctx);
    }

    /// See [`Picker::return_staked`](crate::picker::Picker::return_staked).
    fn return_staked(&mut self, ctx: &mut Context) {
        let Some(content) = &mut self.content else {
            return;
        };
        if !content.picker.is_anything_staked() {
            return;
        }
        let asked: Set<ConnectionId> = (self.peers.connections().into_iter())
            .filter(|conn| matches!(ctx.money.buying(*conn), Buying::Paid(1..)))
            .collect();
        for (conn, block) in content
            .picker
            .return_staked(&mut content.pieces, ctx.now, &asked)
        {
            self.take_back(ctx, conn, block);
        }
    }

    /// Answers how many blocks it asked for.
    fn request_from(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        wish: usize,
        allowance: &Allowance,
    ) -> usize {
        if let Some(content) = &mut self.content {
            (content.picker).end_abandoned(&mut content.pieces, ctx.now, conn);
        }
        // Before a turn begins: what has no room beside this may be a part of it.
        self.settle_given_up(ctx);
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(conn)) else {
            return 0;
        };
        let only = peer.peer_choking.then(|| peer.allowed_fast.clone());
        let out = content.pieces.requests(conn).len();
        let allowed = allowance.of(wish, out);
        let mut room = Asked::room(peer.requests_wanted(ctx.now).min(allowed), out);
        if let Buying::Paid(credit) = ctx.money.buying(conn) {
            room = room.min(credit as usize);
        }
        let mut blocks = Vec::new();
        if room > 0 {
            let (pieces, only) = (&mut content.pieces, only.as_ref());
            (content.picker).pick(pieces, ctx.now, conn, room, only, &mut blocks);
        }
        let asked = blocks.len();
        peer.asked.requested(ctx.now, &blocks, out == 0);
        for block in blocks {
            if let Some(queue) = ctx.queues.get_mut(conn) {
                queue.push_request(block);
            }
            ctx.money.request_sent(conn);
        }
        self.settle_given_up(ctx);
        asked
    }
}

/// How many requests would be out to a peer, to which so many are now, if storage took everything at once; 0 if it is
/// not to be asked.
fn wish(peer: &Peer, out: usize, buying: Buying, now: Timestamp) -> usize {
    if !peer.useful || peer.peer_choking && peer.allowed_fast.is_empty() {
        return 0;
    }
    match buying {
        Buying::Wait => 0,
        Buying::Free => peer.requests_wanted(now),
        Buying::Paid(_) if now < peer.answers_by() => 0,
        Buying::Paid(credit) => {
            let most = out + credit as usize;
            peer.requests_wanted(now).min(most)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(all: usize, out: usize, wished: usize) -> Allowance {
        Allowance { all, out, wished }
    }

    #[test]
    fn one_peer_may_owe_all_that_may_be_at_risk_and_no_more() {
        assert_eq!(allowance(200, 0, 256).of(256, 0), 200);
        assert_eq!(allowance(200, 150, 256).of(256, 150), 200);
        // So much arrived since that it owes too much already.
        assert!(allowance(100, 150, 256).of(256, 150) <= 150);
    }

    #[test]
    fn where_there_is_room_for_all_wishes_nobody_is_held_to_one() {
        assert!(allowance(200, 32, 64).of(16, 16) >= 168);
    }

    #[test]
    fn peers_share_by_what_they_can_do() {
        let shares = [240, 40, 40].map(|wish| allowance(160, 0, 320).of(wish, 0));
        assert_eq!(shares, [120, 20, 20]);
    }

    #[test]
    fn among_many_each_is_asked_for_a_little() {
        assert_eq!(allowance(64, 64, 1_600).of(16, 0), LEAST_REQUESTS);
        assert_eq!(allowance(64, 300, 1_600).of(16, 0), LEAST_REQUESTS);
    }

    #[test]
    fn nobody_is_asked_for_anything_while_too_much_is_at_risk() {
        assert_eq!(allowance(0, 0, 16).of(16, 0), 0);
    }
}
