//! Requests of remotes and reads of players: only verified pieces leave storage.

use bytes::Bytes;

use super::messages::protocol;
use super::{Context, Purpose, Torrent};
use crate::io::{ClosedReason, Output, StorageOp};
use crate::metainfo::FileSpan;
use crate::peer::Taken;
use crate::peer::choke::ChokeCandidate;
use crate::types::{BLOCK_LEN, BlockRef, ConnectionId, StreamId};
use crate::wire::{Message, piece_header};

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
        let taken = match servable {
            true => peer.serving.requested(block),
            false => Taken::Full,
        };
        match taken {
            Taken::Waits => return Ok(()),
            Taken::Full if peer.fast => self.send(ctx, conn, &Message::RejectRequest(block)),
            Taken::Full | Taken::Known => {}
        }
        if self
            .peers
            .get_mut(conn)
            .is_some_and(|p| !p.serving.refuse(ctx.now))
        {
            return Err(protocol("floods us with requests"));
        }
        Ok(())
    }

    /// A remote takes a request back.
    pub(super) fn cancelled(&mut self, ctx: &mut Context, conn: ConnectionId, block: BlockRef) {
        let Some(peer) = self.peers.get_mut(conn) else {
            return;
        };
        if peer.serving.cancel(block) && peer.fast {
            self.send(ctx, conn, &Message::RejectRequest(block));
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
            while let Some(queue) = ctx.queues.get_mut(conn) {
                let room = queue.room_for_reads();
                let room = room.saturating_sub(peer.serving.reading());
                let blocks = peer.serving.next_read(room, |block| {
                    let may = ctx.upload.is_open(ctx.now) && (!paying || ctx.money.may_send(conn));
                    if may {
                        ctx.upload.take(u64::from(block.length));
                        ctx.money.block_written(ctx.now, conn);
                    }
                    may
                });
                let Some(first) = blocks.first().copied() else {
                    break;
                };
                let bytes: u64 = blocks.iter().map(|block| u64::from(block.length)).sum();
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
        let asked = peer.serving.was_read(blocks);
        let mut at = 0;
        let mut refused = Vec::new();
        for block in blocks {
            let start = at;
            at += block.length as usize;
            if !asked.contains(block) {
                continue;
            }
            match &data {
                Some(data) => {
                    let header = piece_header(block.piece, block.begin, block.length);
                    let header = Bytes::copy_from_slice(&header);
                    if let Some(queue) = ctx.queues.get_mut(conn) {
                        queue.push_block(*block, header, data.slice(start..at));
                    }
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
        let seeding = self.is_complete();
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
                snubs_us: p.asked.is_snubbed(),
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
        let waiting = peer.serving.choke();
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
