//! Requests of remotes and reads of players: only verified pieces leave storage.

use bytes::Bytes;

use super::messages::protocol;
use super::{Context, Purpose, Torrent};
use crate::io::{ClosedReason, Output, StorageOp};
use crate::metainfo::FileSpan;
use crate::peer::choke::ChokeCandidate;
use crate::peer::{MAX_REQUESTS_IN, Upload};
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, StreamId};
use crate::wire::{Message, piece_header};

/// Neighbouring blocks read from storage at once.
const MAX_READ_BLOCKS: usize = 8;

impl Torrent {
    /// A remote asks for a block.
    pub(super) fn requested(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        block: BlockRef,
    ) -> Result<(), ClosedReason> {
        let (Some(content), Some(peer)) = (&self.content, self.peers.get_mut(conn)) else {
            return Ok(());
        };
        if block.length > BLOCK_LEN || !content.pieces.geometry().validate(block) {
            return Err(protocol("request of no such block"));
        }
        let servable = content.pieces.verified().block(block).is_some() && !peer.am_choking;
        let room = peer.requests_in.len() < MAX_REQUESTS_IN;
        if servable && room {
            if !peer.requests_in.iter().any(|(b, _)| *b == block) {
                peer.requests_in.push_back((block, Upload::Waiting));
                return Ok(());
            }
        } else if peer.fast {
            self.send(ctx, conn, &Message::RejectRequest(block));
        }
        if self.peers.get_mut(conn).is_some_and(|p| !p.refuse(ctx.now)) {
            return Err(protocol("floods us with requests"));
        }
        Ok(())
    }

    /// A remote takes a request back.
    pub(super) fn cancelled(&mut self, ctx: &mut Context, conn: ConnectionId, block: BlockRef) {
        let Some(peer) = self.peers.get_mut(conn) else {
            return;
        };
        let waiting = peer
            .requests_in
            .iter()
            .position(|(b, state)| *b == block && *state == Upload::Waiting);
        // A block that is being read or queued was counted as sent: it still goes out.
        if let Some(at) = waiting {
            peer.requests_in.remove(at);
            if peer.fast {
                self.send(ctx, conn, &Message::RejectRequest(block));
            }
        }
    }

    /// Reads from storage what the peers wait for, as far as rates, credit and buffers allow.
    pub(super) fn serve_requests(&mut self, ctx: &mut Context) {
        let Some(content) = &self.content else {
            return;
        };
        let free_torrent = self.price(ctx.config).0 == 0;
        for peer in self.peers.iter_mut() {
            let conn = peer.connection;
            let paying = ctx.money.is_paying(conn);
            if peer.am_choking || (!paying && !free_torrent) {
                continue;
            }
            loop {
                let room = peer.sending.room_for_reads().saturating_sub(peer.reading);
                let mut blocks: Vec<BlockRef> = Vec::new();
                let mut bytes = 0;
                for (block, state) in &mut peer.requests_in {
                    if *state != Upload::Waiting {
                        continue;
                    }
                    let adjacent = blocks.last().is_none_or(|last| {
                        last.piece == block.piece && last.begin + last.length == block.begin
                    });
                    if !adjacent
                        || blocks.len() >= MAX_READ_BLOCKS
                        || bytes >= room
                        || !ctx.upload.is_open(ctx.now)
                        || (paying && !ctx.money.may_send(conn))
                    {
                        break;
                    }
                    *state = Upload::Reading;
                    bytes += u64::from(block.length);
                    ctx.upload.take(u64::from(block.length));
                    ctx.money.block_written(ctx.now, conn);
                    blocks.push(*block);
                }
                let Some(first) = blocks.first().copied() else {
                    break;
                };
                peer.reading += bytes;
                let run = BlockRef {
                    length: bytes as u32,
                    ..first
                };
                let proof = content.pieces.verified().block(run);
                let spans: Vec<FileSpan> = proof
                    .and_then(|p| content.pieces.geometry().piece_offset(p.block().piece))
                    .map(|at| {
                        content
                            .meta
                            .spans(at + u64::from(run.begin), bytes)
                            .collect()
                    })
                    .unwrap_or_default();
                ctx.out.storage(
                    self.info_hash,
                    Purpose::ReadBlocks(conn, blocks),
                    StorageOp::Read { spans },
                );
            }
        }
    }

    /// Blocks for a remote are not there any more.
    pub(super) fn blocks_gone(&mut self, ctx: &mut Context, blocks: &[BlockRef]) {
        if let Some(first) = blocks.first() {
            self.piece_lost(ctx, first.piece);
        }
    }

    /// Storage brought blocks for a remote.
    pub(super) fn blocks_read(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        blocks: &[BlockRef],
        data: Option<Bytes>,
    ) {
        let bytes: u64 = blocks.iter().map(|b| u64::from(b.length)).sum();
        let data = data.filter(|d| d.len() as u64 == bytes);
        let Some(peer) = self.peers.get_mut(conn) else {
            return;
        };
        peer.reading = peer.reading.saturating_sub(bytes);
        let mut at = 0;
        let mut refused = Vec::new();
        for block in blocks {
            let Some(place) = peer.requests_in.iter().position(|(b, _)| b == block) else {
                at += block.length as usize;
                continue;
            };
            peer.requests_in.remove(place);
            match &data {
                Some(data) => {
                    let end = at + block.length as usize;
                    let header = piece_header(block.piece, block.begin, block.length);
                    peer.sending.push_block(
                        *block,
                        Bytes::copy_from_slice(&header),
                        data.slice(at..end),
                    );
                    at = end;
                }
                None if peer.fast => refused.push(*block),
                None => {}
            }
        }
        for block in refused {
            self.send(ctx, conn, &Message::RejectRequest(block));
        }
    }

    // ---- choking

    /// What the choker weighs.
    pub fn choke_candidates(&self, ctx: &Context) -> Vec<ChokeCandidate> {
        let seeding = self.is_seed();
        let sells = self.price(ctx.config).0 > 0;
        self.peers
            .iter()
            .filter(|p| p.stage == crate::peer::HandshakeStage::Active)
            .map(|p| ChokeCandidate {
                conn: p.connection,
                interested: p.peer_interested && self.wants_peers(),
                paying: ctx.money.is_paying(p.connection),
                // A title with a price is not given away, and who pays for it may have to wait.
                may_send: match ctx.money.is_paying(p.connection) {
                    true => ctx.money.has_place(p.connection),
                    false => !sells,
                },
                seeding,
                download_rate: p.down.per_second(ctx.now),
                upload_rate: p.up.per_second(ctx.now),
                snubs_us: p.snubbed,
                connected_at: p.opened_at,
            })
            .collect()
    }

    /// Chokes or unchokes, and says so.
    pub fn set_choked(&mut self, ctx: &mut Context, conn: ConnectionId, choked: bool) {
        let Some(peer) = self.peers.get_mut(conn) else {
            return;
        };
        if peer.am_choking == choked {
            return;
        }
        peer.am_choking = choked;
        if !choked {
            return self.send(ctx, conn, &Message::Unchoke);
        }
        let fast = peer.fast;
        // What storage is reading was counted as sent and still goes out; the rest is refused.
        let waiting: Vec<BlockRef> = peer
            .requests_in
            .iter()
            .filter(|(_, state)| *state == Upload::Waiting)
            .map(|(block, _)| *block)
            .collect();
        peer.requests_in
            .retain(|(_, state)| *state != Upload::Waiting);
        self.send(ctx, conn, &Message::Choke);
        if fast {
            for block in waiting {
                self.send(ctx, conn, &Message::RejectRequest(block));
            }
        }
    }

    // ---- streams

    /// Reads the next chunks of every stream whose bytes are verified.
    pub(super) fn serve_streams(&mut self, ctx: &mut Context) {
        let Some(content) = &self.content else {
            return;
        };
        while let Some((stream, spans)) = self
            .streams
            .next_read(&content.meta, content.pieces.verified())
        {
            ctx.out.storage(
                self.info_hash,
                Purpose::ReadStream(stream),
                StorageOp::Read { spans },
            );
        }
    }

    /// Storage brought bytes for a stream.
    pub(super) fn stream_read(&mut self, ctx: &mut Context, stream: StreamId, data: Bytes) {
        let length = data.len() as u64;
        if let Some(last) = self.streams.read_done(stream, length, ctx.now) {
            ctx.out.push(Output::StreamData { stream, data, last });
        }
    }

    /// Storage could not read for a stream.
    pub(super) fn stream_not_read(&mut self, ctx: &mut Context, stream: StreamId, why: String) {
        if self.streams.close(stream) {
            ctx.out.push(Output::StreamFailed {
                stream,
                error: crate::io::StreamError::Storage(why),
            });
        }
    }
}
