//! Blocks and metadata coming in: asked for, matched, hashed, verified, written, paid, blamed.

use bytes::Bytes;

use super::messages::protocol;
use super::metadata::{Attempt, Progress};
use super::outbox::spans_len;
use super::{Buying, Context, Copied, EffectOwner, Purpose, Torrent};
use crate::io::{ClosedReason, Effect, EffectError, Event, StorageOp};
use crate::metainfo::{MAX_INFO_LEN, Metainfo};
use crate::peer::MAX_UNREQUESTED;
use crate::picker::Received;
use crate::pieces::{Block, Held, Saved, Standing};
use crate::sorted::{Map, Set};
use crate::time::{Duration, Timestamp};
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, PieceIndex};
use crate::verify::{Advances, Payable, VerifiedPiece};
use crate::wire::Message;
use crate::wire::extension::{MetadataMessage, UT_METADATA_NAME};

/// A seller that sent nothing for so long may be waiting for money, though it owes what was asked of it.
const ADVANCE_AFTER: Duration = Duration::from_millis(250);
/// Requests per peer, taken back or voided by a choke, whose block is still forgiven: so many of each.
const MAX_CANCELLED: usize = 256;

impl Torrent {
    // ---- requests that end without their block

    /// A choke voids what is out, but for the pieces that the peer serves all the same.
    pub(super) fn void_requests(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        serves: &Set<u32>,
    ) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
            return;
        };
        let out = content.pieces.requests(conn).keys();
        for block in out.filter(|block| !serves.contains(&block.piece.0)) {
            ctx.money.request_ended(conn);
            if !peer.sending.take_back_request(*block) && peer.voided.len() < MAX_CANCELLED {
                peer.voided.insert(*block);
            }
        }
        (content.picker).choked(&mut content.pieces, ctx.now, conn, serves);
        peer.owes(ctx.now, !content.pieces.requests(conn).is_empty());
    }

    /// A free peer owes blocks and sends none: what it owes is asked of others.
    pub(super) fn snub(&mut self, ctx: &mut Context, conn: ConnectionId) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
            return;
        };
        peer.snubbed = true;
        let owed: Vec<BlockRef> = content.pieces.requests(conn).keys().copied().collect();
        content.picker.timed_out(&mut content.pieces, conn);
        for block in owed {
            self.take_back(ctx, conn, block);
        }
    }

    /// Tells a peer that a block is not asked of it any more; the picker knows already.
    pub(super) fn take_back(&mut self, ctx: &mut Context, conn: ConnectionId, block: BlockRef) {
        let owes = !self.requests_out(conn).is_empty();
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.owes(ctx.now, owes);
            ctx.money.request_ended(conn);
            if peer.sending.take_back_request(block) {
                return;
            }
            if peer.cancelled.len() >= MAX_CANCELLED {
                peer.cancelled.clear();
            }
            peer.cancelled.insert(block);
            self.send(ctx, conn, &Message::Cancel(block));
        }
    }

    /// The peer will not serve a request (BEP 6).
    pub(super) fn rejected(&mut self, ctx: &mut Context, conn: ConnectionId, block: BlockRef) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
            return;
        };
        // It answers the request that was taken back; one that was made since stands (BEP 6 answers each).
        if peer.cancelled.remove(&block) {
            return;
        }
        peer.voided.remove(&block);
        if content.pieces.asked_at(conn, block).is_some() {
            (content.picker).rejected(&mut content.pieces, ctx.now, conn, block);
            peer.owes(ctx.now, !content.pieces.requests(conn).is_empty());
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
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
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
        let late = !asked && (peer.cancelled.remove(&block) || peer.voided.remove(&block));
        if !asked && !late {
            self.wasted += u64::from(length);
            peer.unrequested += 1;
            if peer.unrequested > MAX_UNREQUESTED {
                return Err(protocol("sends blocks that nobody asked for"));
            }
            return Ok(());
        }
        let sold = matches!(ctx.money.buying(conn), Buying::Paid(_));
        let owes = content.pieces.requests(conn).len() > usize::from(asked);
        peer.sent_block(ctx.now, asked, sold, owes);
        ctx.money.block_received(conn, block, asked);
        match (content.picker).received(&mut content.pieces, ctx.now, conn, block, &data) {
            Received::Wanted {
                piece_complete,
                cancel,
            } => {
                content.dirty_since.get_or_insert(ctx.now);
                if piece_complete {
                    Self::hash_piece(self.info_hash, content, ctx, piece);
                }
                for other in cancel {
                    self.take_back(ctx, other, block);
                }
            }
            Received::Kept => content.throw_out(piece),
            Received::Duplicate | Received::Unrequested => {
                self.wasted += u64::from(length);
                // What was asked of a paid peer is paid if it is valid, even if it came too late.
                if matches!(ctx.money.buying(conn), Buying::Paid(_)) {
                    let copy = (conn, block, data);
                    if content.pieces.verified().block(block).is_some() {
                        Self::compare(self.info_hash, content, ctx, copy);
                    } else {
                        content.keep_copy(copy);
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads what is stored where a copy of it came.
    fn compare(
        info_hash: crate::types::InfoHash,
        content: &super::Content,
        ctx: &mut Context,
        (conn, block, data): Copied,
    ) {
        let spans = (content.pieces.geometry().block_offset(block))
            .map(|at| content.meta.spans(at, u64::from(block.length)).collect())
            .unwrap_or_default();
        ctx.out.storage(
            info_hash,
            Purpose::CompareBlock(conn, block, data),
            StorageOp::Read { spans },
        );
    }

    /// What is stored came back, to be compared with a late block.
    pub(super) fn block_compared(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        block: BlockRef,
        late: &Bytes,
        stored: &Bytes,
    ) {
        let content = self.content.as_ref();
        let proof = content.and_then(|c| c.pieces.verified().block(block));
        match proof {
            Some(proof) if late == stored => {
                ctx.money.payable(ctx.now, conn, Payable::Verified(proof));
            }
            Some(_) => ctx.money.blocks_invalid(ctx.now, conn, &[block]),
            // The piece was lost meanwhile: nothing shows who is right, so nobody is to blame.
            None => ctx.money.thrown_away(ctx.now, conn, block),
        }
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

    /// What was here of these pieces was given up before it was judged. Of one that failed it is kept, until its sender goes on
    /// with it or a right copy judges it. Nobody will know whether the rest was right: what was paid of it in advance is lost.
    pub(super) fn settle_given_up(&mut self, ctx: &mut Context) {
        let Some(content) = &mut self.content else {
            return;
        };
        for piece in content.pieces.take_given_up() {
            ctx.money
                .restored_judged(ctx.now, self.info_hash, piece, false);
            content.advances.settle(piece);
            content.store.given_up(piece);
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
        content.advances.settle(piece);
        let offset = content.pieces.geometry().piece_offset(piece).unwrap_or(0);
        let length = u64::from(proof.length());
        let spans: Vec<_> = content.meta.spans(offset, length).collect();
        if let Some(partial) = content.pieces.write(proof) {
            content.store.written(piece, &partial);
        }
        content.picker.done(piece);
        content.dirty_since.get_or_insert(ctx.now);
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
        if let Some(id) = self.identity(conn) {
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
        for copy in content.take_copies(piece) {
            Self::compare(self.info_hash, content, ctx, copy);
        }
        let complete = content.picker.is_complete(&content.pieces)
            && !content.pieces.is_writing()
            && self.over_limit.is_none();
        let say_complete = complete && !content.complete_said;
        content.complete_said |= complete;
        for peer in self.peers.values_mut() {
            let has = content.picker.peer_pieces(peer.connection);
            if peer.useful && has.is_some_and(|has| has.contains(piece.0)) {
                peer.useful = content.picker.interested(&content.pieces, peer.connection);
            }
        }
        self.announce_piece(ctx, piece);
        for conn in self.peers.keys().copied().collect::<Vec<_>>() {
            self.tell_interest(ctx, conn);
        }
        ctx.out.event(Event::PieceDone {
            info_hash: self.info_hash,
            piece: piece.0,
        });
        if say_complete {
            self.make_durable_soon();
            ctx.out.event(Event::Complete {
                info_hash: self.info_hash,
            });
        }
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

    // ---- paying in advance (docs/protocol.md, "Advances in v1 torrents")

    /// Pays for durable blocks of the oldest incomplete piece where credit would run dry otherwise.
    pub(super) fn advance_payments(&mut self, ctx: &mut Context) {
        let Some(content) = &mut self.content else {
            return;
        };
        content.advance_at = Timestamp::NEVER;
        for (conn, peer) in &self.peers {
            let conn = *conn;
            let mut wanted = ctx.money.needs_advance(conn);
            if wanted == 0 {
                continue;
            }
            let suspects = content.pieces.suspects_mut().all_mut();
            for suspect in suspects.filter(|s| s.from == conn && !s.advanced) {
                if wanted == 0 {
                    break;
                }
                let advance = Payable::Advance(Advances::suspect(suspect.block));
                suspect.advanced = ctx.money.payable(ctx.now, conn, advance);
                wanted -= u32::from(suspect.advanced);
            }
            if wanted == 0 {
                continue;
            }
            let unpaid = |held: &Held| held.from == Some(conn) && !held.advanced;
            // What is being hashed is paid in a moment: a flush for it would only hold it up.
            let sealed = content.pieces.partials().filter(|(_, p)| p.is_sealed());
            let soon = sealed
                .flat_map(|(_, p)| p.held())
                .filter(|(_, held)| unpaid(held));
            wanted = wanted.saturating_sub(u32::try_from(soon.count()).unwrap_or(u32::MAX));
            if wanted == 0 {
                continue;
            }
            // The one that was begun to be paid for comes before others: of those nothing may be advanced until it is judged.
            let begun = content.pieces.partials();
            let begun = begun.filter(|(_, p)| !p.is_sealed() && p.has_of(conn));
            let oldest = begun
                .min_by_key(|(piece, _)| (content.advances.is_closed_for(conn, *piece), *piece));
            let Some((piece, partial)) = oldest else {
                continue;
            };
            // If what was asked for completes the piece, it is paid as it is. But a seller that counts more as unpaid than we
            // do, as after a run of ours that ended, may wait for money before it sends that.
            let comes = |block: &Block| match block {
                Block::Missing => false,
                Block::Requested(by) => by.all().contains(&conn),
                Block::Held(_) => true,
            };
            let patience = peer.block_at + ADVANCE_AFTER;
            if ctx.now < patience && partial.blocks().iter().all(comes) {
                content.advance_at = content.advance_at.min(patience);
                continue;
            }
            let mut advanced = Vec::new();
            for (number, held) in partial.held().filter(|(_, held)| unpaid(held)) {
                if wanted == 0 {
                    break;
                }
                let Some(block) = content.pieces.geometry().block(piece, number) else {
                    continue;
                };
                match (content.advances).advance(conn, block, held.saved == Saved::Flushed) {
                    Ok(advance) => {
                        if !ctx.money.payable(ctx.now, conn, Payable::Advance(advance)) {
                            break;
                        }
                        advanced.push(number);
                        wanted -= 1;
                    }
                    Err(crate::verify::AdvanceRefused::NotDurable) => {
                        // A cycle that runs may bring it.
                        content.flush_wanted |= content.store.is_idle();
                        break;
                    }
                    Err(crate::verify::AdvanceRefused::OtherPieceOpen) => break,
                }
            }
            for number in advanced {
                content.pieces.note_advanced(piece, number);
            }
        }
    }

    // ---- metadata (BEP 9)

    /// Starts or goes on fetching the info dictionary.
    pub(super) fn fetch_metadata(&mut self, ctx: &mut Context) {
        if self.content.is_some() || !self.wants_peers() {
            return;
        }
        if self.attempt.is_none() {
            let next = self.metadata_sources().min_by_key(|(tries, ..)| *tries);
            self.attempt = next.map(|(tries, conn, size)| Attempt::new(conn, size, tries, ctx.now));
        }
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        let conn = attempt.connection;
        let mut pieces = Vec::new();
        while let Some(piece) = attempt.next_request() {
            pieces.push(piece);
        }
        for piece in pieces {
            self.send_metadata(ctx, conn, &MetadataMessage::Request { piece });
        }
    }

    pub(super) fn send_metadata(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        message: &MetadataMessage,
    ) {
        let id = self
            .peers
            .get(&conn)
            .and_then(|p| p.extension_id(UT_METADATA_NAME));
        if let Some(id) = id {
            let payload = message.encode();
            self.send(ctx, conn, &Message::Extended { id, payload });
        }
    }

    /// Peers that offer metadata: how often each disappointed, and the size it claims.
    fn metadata_sources(&self) -> impl Iterator<Item = (u32, ConnectionId, u32)> {
        self.peers.values().filter_map(|p| {
            let size = p.extensions.as_ref()?.metadata_size?;
            let usable = p.extension_id(UT_METADATA_NAME).is_some()
                && !p.metadata_refused
                && size > 0
                && size as usize <= MAX_INFO_LEN;
            usable.then_some((p.metadata_tries, p.connection, size))
        })
    }

    pub(super) fn time_out_metadata(&mut self, ctx: &Context) {
        let Some(conn) = (self.attempt.as_ref())
            .filter(|attempt| ctx.now >= attempt.gives_up_at())
            .map(|attempt| attempt.connection)
        else {
            return;
        };
        let alone = self.metadata_sources().all(|(_, other, _)| other == conn);
        if let Some(attempt) = &mut self.attempt
            && alone
            && attempt.extend(ctx.now)
        {
            return;
        }
        self.attempt = None;
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.metadata_tries += 1;
        }
    }

    fn leave_metadata_source(&mut self) {
        if let Some(attempt) = self.attempt.take()
            && let Some(peer) = self.peers.get_mut(&attempt.connection)
        {
            peer.metadata_refused = true;
        }
    }

    pub(super) fn metadata_message(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        payload: &Bytes,
    ) -> Result<(), ClosedReason> {
        let message =
            MetadataMessage::decode(payload).map_err(|e| ClosedReason::Protocol(e.to_string()))?;
        match message {
            MetadataMessage::Request { piece } => {
                self.metadata_requested(ctx, conn, piece);
            }
            MetadataMessage::Reject { .. } => {
                if self.attempt.as_ref().is_some_and(|a| a.connection == conn) {
                    self.leave_metadata_source();
                }
            }
            MetadataMessage::Data { piece, data, .. } => {
                let Some(attempt) = &mut self.attempt else {
                    return Ok(());
                };
                if attempt.connection != conn {
                    return Ok(());
                }
                match attempt.data(ctx.now, piece, data) {
                    Progress::More => {}
                    Progress::Wrong => return Err(protocol("metadata of a false size")),
                    Progress::Whole(info) => {
                        self.attempt = None;
                        self.metadata_whole(ctx, conn, info)?;
                    }
                }
            }
            MetadataMessage::Unknown => {}
        }
        Ok(())
    }

    fn metadata_whole(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        info: Bytes,
    ) -> Result<(), ClosedReason> {
        use crate::metainfo::MetainfoError;
        match Metainfo::from_info(info, self.info_hash, self.trackers.clone()) {
            Ok(meta) => {
                self.set_metainfo(ctx, meta);
                Ok(())
            }
            // The hash matched, so every copy is like this: no other peer would help.
            Err(error) if !matches!(error, MetainfoError::InfoHashMismatch { .. }) => {
                self.fail(
                    ctx,
                    format!("the torrent's info dictionary is not valid: {error}"),
                );
                Ok(())
            }
            Err(_) => {
                if let Some(id) = self.identity(conn) {
                    ctx.banned.insert(id);
                }
                Err(ClosedReason::Corrupt)
            }
        }
    }
}
