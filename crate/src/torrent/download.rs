//! Blocks and metadata coming in: asked for, matched, hashed, verified, written, paid, blamed.

use bytes::Bytes;

use super::messages::protocol;
use super::metadata::{Attempt, Progress};
use super::outbox::spans_len;
use super::suspects::Suspect;
use super::{Buying, Context, Copied, EffectOwner, Purpose, Torrent};
use crate::io::{ClosedReason, Effect, EffectError, Event, StorageOp};
use crate::metainfo::{MAX_INFO_LEN, Metainfo};
use crate::peer::MAX_UNREQUESTED;
use crate::picker::Received;
use crate::sorted::{Map, Set};
use crate::storage::Partial;
use crate::time::{Duration, Timestamp};
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, PieceIndex};
use crate::verify::{Advances, Payable};
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
        if let Some(peer) = self.peers.get_mut(&conn) {
            let out = core::mem::take(&mut peer.requests_out).into_iter();
            let (kept, void): (Map<_, _>, Map<_, _>) =
                out.partition(|(block, _)| serves.contains(&block.piece.0));
            peer.requests_out = kept;
            for block in void.into_keys() {
                ctx.money.request_ended(conn);
                if !peer.sending.take_back_request(block) && peer.voided.len() < MAX_CANCELLED {
                    peer.voided.insert(block);
                }
            }
            peer.owes(ctx.now);
        }
    }

    /// A free peer owes blocks and sends none: what it owes is asked of others.
    pub(super) fn snub(&mut self, ctx: &mut Context, conn: ConnectionId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.snubbed = true;
        let blocks: Vec<BlockRef> = core::mem::take(&mut peer.requests_out)
            .into_keys()
            .collect();
        for block in blocks {
            self.take_back(ctx, conn, block);
        }
        if let Some(content) = &mut self.content {
            content.picker.timed_out(conn);
        }
    }

    pub(super) fn take_back(&mut self, ctx: &mut Context, conn: ConnectionId, block: BlockRef) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.requests_out.remove(&block);
            peer.owes(ctx.now);
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
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        // It answers the request that was taken back; one that was made since stands (BEP 6 answers each).
        if peer.cancelled.remove(&block) {
            return;
        }
        peer.voided.remove(&block);
        if peer.requests_out.remove(&block).is_some() {
            peer.owes(ctx.now);
            ctx.money.request_ended(conn);
            if let Some(content) = &mut self.content {
                content.picker.rejected(ctx.now, conn, block);
            }
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
        let asked = peer.requests_out.remove(&block).is_some();
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
        peer.sent_block(ctx.now, asked, sold);
        ctx.money.block_received(conn, block, asked);
        match content.picker.received(ctx.now, conn, block) {
            Received::Wanted {
                piece_complete,
                cancel,
            } => {
                content.store.add(block, data, conn);
                content.dirty_since.get_or_insert(ctx.now);
                if piece_complete {
                    Self::hash_piece(self.info_hash, content, ctx, piece);
                }
                for other in cancel {
                    self.take_back(ctx, other, block);
                }
            }
            Received::Kept => {
                let suspect = Suspect {
                    from: conn,
                    block,
                    data,
                    advanced: false,
                };
                content.keep_late(suspect);
            }
            Received::Duplicate | Received::Unrequested => {
                self.wasted += u64::from(length);
                // What was asked of a paid peer is paid if it is valid, even if it came too late.
                if matches!(ctx.money.buying(conn), Buying::Paid(_)) {
                    let copy = (conn, block, data);
                    if content.verified.block(block).is_some() {
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
        let spans = (content.geometry.block_offset(block))
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
        let proof = self.content.as_ref().and_then(|c| c.verified.block(block));
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
        if let Some(partial) = content.store.partial_mut(piece)
            && partial.is_complete()
        {
            partial.sealed = true;
            let chunks = partial.chunks();
            ctx.out.effect(
                EffectOwner::Torrent(info_hash, Purpose::HashPiece(piece)),
                Effect::Hash { chunks },
            );
        }
    }

    /// What is here of a piece is given up before it was hashed. Of one that failed it is kept, until its sender goes on with it or
    /// a right copy judges it.
    pub(super) fn throw_away(
        info_hash: crate::types::InfoHash,
        content: &mut super::Content,
        ctx: &mut Context,
        piece: PieceIndex,
    ) {
        let Some(partial) = content.store.discard(piece) else {
            return;
        };
        ctx.money.restored_judged(ctx.now, info_hash, piece, false);
        content.advances.settle(piece);
        let blocks = Self::sent(content, piece, partial);
        let forgotten = match content.picker.has_failed(piece) {
            true => content.suspect(piece, blocks),
            false => blocks,
        };
        Self::forget(ctx, &forgotten);
    }

    /// Who sent the blocks of a piece.
    fn sent(content: &super::Content, piece: PieceIndex, partial: Partial) -> Vec<Suspect> {
        let blocks = partial.blocks.into_iter().enumerate();
        blocks
            .filter_map(|(number, held)| {
                let held = held?;
                Some(Suspect {
                    from: held.from?,
                    block: content.geometry.block(piece, number as u32)?,
                    data: held.data,
                    advanced: held.advanced,
                })
            })
            .collect()
    }

    /// Nobody will know whether these were right: what was paid of them in advance is lost.
    fn forget(ctx: &mut Context, suspects: &[Suspect]) {
        for suspect in suspects.iter().filter(|suspect| suspect.advanced) {
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
        if !content.store.partial(piece).is_some_and(|p| p.sealed) {
            return;
        }
        match content.verified.check(piece, &expected, digest) {
            Err(_) => self.piece_corrupt(ctx, piece),
            Ok(proof) => {
                let Some(partial) = content.store.partial(piece) else {
                    return;
                };
                for (number, held) in partial.blocks.iter().enumerate() {
                    if let Some(held) = held
                        && let Some(from) = held.from
                        && let Some(block) = proof.block(number as u32 * BLOCK_LEN)
                    {
                        ctx.money.payable(ctx.now, from, Payable::Verified(block));
                    }
                }
                let chunks = partial.chunks();
                let mut guilty: Map<ConnectionId, Vec<BlockRef>> = Map::new();
                for suspect in content.suspects.remove(&piece).unwrap_or_default() {
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
                let offset = content.geometry.piece_offset(piece).unwrap_or(0);
                let spans: Vec<_> = content
                    .meta
                    .spans(offset, u64::from(proof.length()))
                    .collect();
                content.picker.have(piece);
                content.store.written(piece);
                content.dirty_since.get_or_insert(ctx.now);
                content.writing.insert(piece, proof);
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
        }
    }

    /// A piece's hash is wrong: one sender is guilty, several are suspects until a whole copy tells.
    fn piece_corrupt(&mut self, ctx: &mut Context, piece: PieceIndex) {
        let Some(content) = &mut self.content else {
            return;
        };
        let Some(partial) = content.store.discard(piece) else {
            return;
        };
        ctx.money
            .restored_judged(ctx.now, self.info_hash, piece, false);
        content.advances.settle(piece);
        self.wasted += partial.bytes();
        let senders = partial.senders();
        let whole = senders.len() > 1 || senders.contains(&None);
        let owed = content.picker.piece_failed(piece, whole);
        for conn in senders.iter().flatten() {
            let blocks: Vec<BlockRef> = partial
                .blocks
                .iter()
                .enumerate()
                .filter(|(_, held)| held.as_ref().is_some_and(|h| h.from == Some(*conn)))
                .filter_map(|(number, _)| content.geometry.block(piece, number as u32))
                .collect();
            // Of several, who lied is not known yet; the honest are paid when a whole copy tells.
            if !whole {
                ctx.money.blocks_invalid(ctx.now, *conn, &blocks);
            }
        }
        if whole {
            let sent = Self::sent(content, piece, partial);
            let forgotten = content.suspect(piece, sent);
            Self::forget(ctx, &forgotten);
        }
        for (conn, block) in owed {
            self.take_back(ctx, conn, block);
        }
        if !whole {
            for conn in senders.into_iter().flatten() {
                self.ban(ctx, conn);
            }
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
        let Some(proof) = content.writing.remove(&piece) else {
            return;
        };
        content.verified.insert(proof);
        for copy in content.take_copies(piece) {
            Self::compare(self.info_hash, content, ctx, copy);
        }
        let complete =
            content.picker.is_complete() && content.writing.is_empty() && self.over_limit.is_none();
        let say_complete = complete && !content.complete_said;
        content.complete_said |= complete;
        for peer in self.peers.values_mut() {
            if peer.useful && peer.has(piece) {
                peer.useful = content.picker.interested(peer.connection);
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
            content.writing.remove(&piece);
            content.flush_wanted |= content.store.lost(piece);
            content.picker.lost(piece);
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
            content.verified.remove(piece);
            content.flush_wanted |= content.store.lost(piece);
            content.picker.lost(piece);
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
            let suspects = content.suspects.values_mut().flatten();
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
            // What is being hashed is paid in a moment: a flush for it would only hold it up.
            let sealed = content.store.partials().filter(|(_, p)| p.sealed);
            let hashed = sealed.flat_map(|(_, p)| p.blocks.iter().flatten());
            let soon = hashed.filter(|b| b.from == Some(conn) && !b.advanced);
            wanted = wanted.saturating_sub(u32::try_from(soon.count()).unwrap_or(u32::MAX));
            if wanted == 0 {
                continue;
            }
            // The one that was begun to be paid for comes before others: of those nothing may be advanced until it is judged.
            let of_it = |p: &Partial| p.blocks.iter().flatten().any(|b| b.from == Some(conn));
            let begun = content
                .store
                .partials()
                .filter(|(_, p)| !p.sealed && of_it(p));
            let oldest = begun
                .map(|(piece, _)| piece)
                .min_by_key(|piece| (content.advances.is_closed_for(conn, *piece), *piece));
            let Some(piece) = oldest else { continue };
            let geometry = content.geometry;
            let Some(partial) = content.store.partial_mut(piece) else {
                continue;
            };
            // If what was asked for completes the piece, it is paid as it is. But a seller that counts more as unpaid than we
            // do, as after a run of ours that ended, may wait for money before it sends that.
            let asked = |number: usize| {
                let block = geometry.block(piece, number as u32);
                block.is_some_and(|block| peer.requests_out.contains_key(&block))
            };
            let mut missing = partial.blocks.iter().enumerate();
            let patience = peer.block_at + ADVANCE_AFTER;
            if ctx.now < patience && missing.all(|(number, held)| held.is_some() || asked(number)) {
                content.advance_at = content.advance_at.min(patience);
                continue;
            }
            for (number, held) in partial.blocks.iter_mut().enumerate() {
                let Some(held) = held else { continue };
                if wanted == 0 || held.from != Some(conn) || held.advanced {
                    continue;
                }
                let Some(block) = geometry.block(piece, number as u32) else {
                    continue;
                };
                match content.advances.advance(conn, block, held.durable) {
                    Ok(advance) => {
                        if !ctx.money.payable(ctx.now, conn, Payable::Advance(advance)) {
                            break;
                        }
                        held.advanced = true;
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
