//! Blocks coming in: matched with their requests, hashed, verified, written, paid, blamed.

use bytes::Bytes;

use super::late::Copy;
use super::messages::protocol;
use super::outbox::spans_len;
use super::web_seeds::is_web_seed;
use super::{Buying, Context, EffectOwner, Purpose, Torrent};
use crate::io::{ClosedReason, Effect, EffectError, Event, StorageOp};
use crate::picker::Received;
use crate::pieces::Standing;
use crate::sorted::{Map, Set};
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, PieceIndex};
use crate::verify::{Payable, VerifiedPiece};
use crate::wire::Message;

impl Torrent {
    // ---- requests that end without their block

    /// A choke voids what is out, but for the pieces that the peer serves all the same.
    pub(super) fn void_requests(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        serves: &Set<u32>,
    ) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(conn)) else {
            return;
        };
        let out = content.pieces.requests(conn).keys();
        for block in out.filter(|block| !serves.contains(&block.piece.0)) {
            ctx.money.request_ended(conn);
            let waits = ctx
                .queues
                .get_mut(conn)
                .map(|queue| queue.take_back_request(*block));
            if waits == Some(false) {
                peer.asked.voided(ctx.now, *block);
            }
        }
        (content.picker).choked(&mut content.pieces, ctx.now, conn, serves);
        peer.asked
            .owes(ctx.now, !content.pieces.requests(conn).is_empty());
    }

    /// A free peer owes blocks and sends none: what it owes is asked of others.
    pub(super) fn snub(&mut self, ctx: &mut Context, conn: ConnectionId) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(conn)) else {
            return;
        };
        peer.asked.snub();
        let owed: Vec<BlockRef> = content.pieces.requests(conn).keys().copied().collect();
        content.picker.timed_out(&mut content.pieces, conn);
        for block in owed {
            self.take_back(ctx, conn, block);
        }
    }

    /// Tells a peer that a block is not asked of it any more; the picker knows already.
    pub(super) fn take_back(&mut self, ctx: &mut Context, conn: ConnectionId, block: BlockRef) {
        if is_web_seed(conn) {
            return self.take_back_from_web_seed(ctx, conn);
        }
        let owes = !self.requests_out(conn).is_empty();
        if let Some(peer) = self.peers.get_mut(conn) {
            peer.asked.owes(ctx.now, owes);
            ctx.money.request_ended(conn);
            let queue = ctx.queues.get_mut(conn);
            if queue.is_some_and(|queue| queue.take_back_request(block)) {
                return;
            }
            peer.asked.taken_back(block);
            self.send(ctx, conn, &Message::Cancel(block));
        }
    }

    /// The peer will not serve a request (BEP 6).
    pub(super) fn rejected(&mut self, ctx: &mut Context, conn: ConnectionId, block: BlockRef) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(conn)) else {
            return;
        };
        if peer.asked.answers_taken_back(block) {
            return;
        }
        if content.pieces.asked_at(conn, block).is_some() {
            (content.picker).rejected(&mut content.pieces, ctx.now, conn, block);
            peer.asked
                .owes(ctx.now, !content.pieces.requests(conn).is_empty());
            ctx.money.request_ended(conn);
        }
    }

    // ---- blocks

    /// A block came.
    pub(super) fn block_received(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        piece: PieceIndex,
        begin: u32,
        data: Bytes,
    ) -> Result<(), ClosedReason> {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(conn)) else {
            return Err(protocol("a block before the metadata"));
        };
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let block = BlockRef {
            piece,
            begin,
            length,
        };
        peer.down.add(ctx.now, u64::from(length));
        ctx.download.take(u64::from(length));
        self.downloaded += u64::from(length);
        let asked = content.pieces.asked_at(conn, block).is_some();
        let late = !asked && peer.asked.is_late(block);
        if !asked && !late {
            self.wasted += u64::from(length);
            if !peer.asked.forgive_unrequested() {
                return Err(protocol("sends blocks that nobody asked for"));
            }
            return Ok(());
        }
        let sold = matches!(ctx.money.buying(conn), Buying::Paid(_));
        let owes = content.pieces.requests(conn).len() > usize::from(asked);
        peer.sent_block(ctx.now, asked, sold, owes);
        ctx.money.block_received(conn, block, asked);
        if self.take_block(ctx, conn, block, &data) {
            return Ok(());
        }
        self.wasted += u64::from(length);
        // What was asked of a paid peer is paid if it is valid, even if it came too late.
        if matches!(ctx.money.buying(conn), Buying::Paid(_))
            && let Some(content) = &mut self.content
        {
            let from = conn;
            content.came_twice(self.info_hash, ctx, Copy { from, block, data });
        }
        Ok(())
    }

    /// A block that was asked for came, from a peer or a web seed. `false`: it is here already, or not wanted any more.
    pub(super) fn take_block(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        block: BlockRef,
        data: &Bytes,
    ) -> bool {
        let Some(content) = &mut self.content else {
            return false;
        };
        match (content.picker).received(&mut content.pieces, ctx.now, conn, block, data) {
            Received::Wanted {
                piece_complete,
                cancel,
            } => {
                content.cycles.note_dirty(ctx.now);
                if piece_complete {
                    Self::hash_piece(self.info_hash, content, ctx, block.piece);
                }
                for other in cancel {
                    self.take_back(ctx, other, block);
                }
            }
            Received::Kept => content.throw_out(block.piece),
            Received::Duplicate | Received::Unrequested => return false,
        }
        true
    }

    /// Every block of a piece is there.
    pub(super) fn hash_piece(
        info_hash: crate::types::InfoHash,
        content: &mut super::Content,
        ctx: &mut Context,
        piece: PieceIndex,
    ) {
        if let Some(chunks) = content.pieces.seal(piece) {
            ctx.out.effect(
                EffectOwner::Torrent(info_hash, Purpose::HashPiece(piece)),
                Effect::Hash { chunks },
            );
        }
    }

    /// What was here of these pieces was given up before it was judged. Of one that failed it is kept, until its sender
    /// goes on with it or a right copy judges it. Nobody will know whether the rest was right: what was paid of it in
    /// advance is lost.
    pub(super) fn settle_given_up(&mut self, ctx: &mut Context) {
        let Some(content) = &mut self.content else {
            return;
        };
        for piece in content.pieces.take_given_up() {
            ctx.money
                .restored_judged(ctx.now, self.info_hash, piece, false);
            content.advancing.settle(piece);
            content.cycles.given_up(piece);
            if content.picker.has_failed(piece) {
                content.throw_out(piece);
            }
        }
        for suspect in content.pieces.take_forgotten() {
            ctx.money.thrown_away(ctx.now, suspect.from, suspect.block);
        }
    }

    /// A complete piece was hashed.
    pub(super) fn piece_hashed(&mut self, ctx: &mut Context, piece: PieceIndex, digest: &[u8; 20]) {
        let Some(content) = &mut self.content else {
            return;
        };
        let Some(expected) = content.meta.piece_hash(piece) else {
            return;
        };
        // Only of what was sealed for it is this the hash.
        if content.pieces.standing(piece) != Standing::Hashing {
            return;
        }
        match content.pieces.check(piece, &expected, digest) {
            Err(_) => self.piece_corrupt(ctx, piece),
            Ok(proof) => self.piece_right(ctx, proof),
        }
    }

    /// A piece's hash is right: its blocks are paid, the suspects of earlier copies are judged, and it is written.
    fn piece_right(&mut self, ctx: &mut Context, proof: VerifiedPiece) {
        let piece = proof.piece();
        let Some(content) = &mut self.content else {
            return;
        };
        let Some(partial) = content.pieces.partial(piece) else {
            return;
        };
        for (number, held) in partial.held() {
            if let Some(from) = held.from
                && let Some(block) = proof.block(number * BLOCK_LEN)
            {
                ctx.money.payable(ctx.now, from, Payable::Verified(block));
            }
        }
        self.web_seeds.proved(&partial.senders());
        let chunks = partial.chunks();
        let mut guilty: Map<ConnectionId, Vec<BlockRef>> = Map::new();
        for suspect in content.pieces.suspects_mut().close(piece) {
            let (from, block) = (suspect.from, suspect.block);
            if chunks.get((block.begin / BLOCK_LEN) as usize) != Some(&suspect.data) {
                guilty.entry(from).or_default().push(block);
            } else if let Some(block) = proof.block(block.begin) {
                ctx.money.payable(ctx.now, from, Payable::Verified(block));
            }
        }
        ctx.money
            .restored_judged(ctx.now, self.info_hash, piece, true);
        content.advancing.settle(piece);
        let offset = content.pieces.geometry().piece_offset(piece).unwrap_or(0);
        let length = u64::from(proof.length());
        let spans: Vec<_> = content.meta.spans(offset, length).collect();
        if let Some(partial) = content.pieces.write(proof) {
            content.cycles.written(ctx.now, piece, &partial);
        }
        content.picker.done(piece);
        debug_assert_eq!(
            spans_len(&spans),
            chunks.iter().map(|c| c.len() as u64).sum::<u64>()
        );
        ctx.out.storage(
            self.info_hash,
            Purpose::WritePiece(piece),
            StorageOp::Write { spans, chunks },
        );
        for (conn, blocks) in guilty.iter() {
            ctx.money.blocks_invalid(ctx.now, *conn, blocks);
            self.ban(ctx, *conn);
        }
    }

    /// A piece's hash is wrong: one sender is guilty, several are suspects until a whole copy tells.
    fn piece_corrupt(&mut self, ctx: &mut Context, piece: PieceIndex) {
        let Some(content) = &mut self.content else {
            return;
        };
        let Some(partial) = content.pieces.partial(piece) else {
            return;
        };
        self.wasted += partial.bytes();
        let senders = partial.senders();
        // Of several, the liar is not known yet; the honest are paid when a whole copy tells.
        let whole = senders.len() > 1 || senders.contains(&None);
        let guilty = senders.into_iter().flatten().filter(|_| !whole);
        let guilty: Vec<ConnectionId> = guilty.collect();
        let geometry = content.pieces.geometry();
        let blocks: Vec<BlockRef> = (partial.held())
            .filter_map(|(number, _)| geometry.block(piece, number))
            .collect();
        let owed = (content.picker).piece_failed(&mut content.pieces, piece, whole);
        self.settle_given_up(ctx);
        for conn in &guilty {
            ctx.money.blocks_invalid(ctx.now, *conn, &blocks);
        }
        for (conn, block) in owed {
            self.take_back(ctx, conn, block);
        }
        for conn in guilty {
            self.ban(ctx, conn);
        }
    }

    /// Closes a sender of corrupt data and remembers it, also if it has left already.
    fn ban(&mut self, ctx: &mut Context, conn: ConnectionId) {
        if is_web_seed(conn) {
            return self.ban_web_seed(ctx, conn);
        }
        if let Some(id) = self.peers.identity(conn) {
            ctx.banned.insert(id);
        }
        self.close(ctx, conn, ClosedReason::Corrupt);
    }

    /// A verified piece is in the files.
    pub(super) fn piece_written(&mut self, ctx: &mut Context, piece: PieceIndex) {
        let Some(content) = &mut self.content else {
            return;
        };
        if !content.pieces.written(piece) {
            return;
        }
        self.wrote = true;
        content.judge_copies(self.info_hash, ctx, piece);
        for peer in self.peers.iter_mut() {
            let has = content.picker.peer_pieces(peer.connection);
            if peer.useful && has.is_some_and(|has| has.contains(piece.0)) {
                peer.useful = content.picker.interested(&content.pieces, peer.connection);
            }
        }
        self.announce_piece(ctx, piece);
        for conn in self.peers.connections() {
            self.tell_interest(ctx, conn);
        }
        ctx.out.event(Event::PieceDone {
            info_hash: self.info_hash,
            piece: piece.0,
        });
        self.say_if_complete(ctx);
    }

    /// Storage refused a piece.
    pub(super) fn piece_not_written(
        &mut self,
        ctx: &mut Context,
        piece: PieceIndex,
        error: &EffectError,
    ) {
        if let Some(content) = &mut self.content {
            content.lost(piece);
        }
        let remedy = match error {
            EffectError::QuotaExceeded(_) => ": free space, then resume",
            _ => "; resume once that is mended",
        };
        self.fail(ctx, format!("{error}{remedy}"));
    }

    /// The torrent cannot go on until the user does something.
    pub(super) fn fail(&mut self, ctx: &mut Context, text: String) {
        if self.failed.is_none() {
            self.stop_web_seeds(ctx);
            ctx.out.event(Event::Failed {
                info_hash: self.info_hash,
                text: text.clone(),
            });
            self.failed = Some(text);
        }
    }

    /// A piece in the files is gone or wrong.
    pub(super) fn piece_lost(&mut self, ctx: &mut Context, piece: PieceIndex) {
        if let Some(content) = &mut self.content {
            content.lost(piece);
            content.complete_said = false;
        }
        self.wishes_changed(ctx);
    }
}
