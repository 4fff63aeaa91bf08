//! What remotes say: handshakes and messages, decoded and sent on to where they belong.

use bytes::Bytes;

use super::{Buying, Context, Phase, Torrent};
use crate::bitfield::Bitfield;
use crate::io::{ClosedReason, Event};
use crate::paying::Paying;
use crate::peer::{HandshakeStage, MAX_REQUESTS_IN, Peer};
use crate::sorted::Set;
use crate::types::{ConnectionId, PieceIndex};
use crate::wire::extension::{
    EXTENDED_HANDSHAKE_ID, PW_PAY_ID, PW_PAY_NAME, PW_TITLE_ID, PW_TITLE_NAME, PayHandshake,
    UT_METADATA_ID, UT_METADATA_NAME,
};
use crate::wire::{ExtendedHandshake, Handshake, Message};

impl Torrent {
    /// A data channel brought bytes.
    pub fn received(&mut self, ctx: &mut Context, conn: ConnectionId, bytes: Bytes) {
        let Some(peer) = self.peers.get_mut(conn) else {
            return;
        };
        if let Err(error) = peer.push(ctx.now, bytes) {
            return self.close(ctx, conn, ClosedReason::Protocol(error.to_string()));
        }
        loop {
            match self.next(ctx, conn) {
                Ok(true) => {}
                Ok(false) => return,
                Err(reason) => return self.close(ctx, conn, reason),
            }
        }
    }

    /// Handles one handshake or message. `Ok(false)`: no whole one is there, or the peer is gone.
    fn next(&mut self, ctx: &mut Context, conn: ConnectionId) -> Result<bool, ClosedReason> {
        let protocol = |e: crate::wire::WireError| ClosedReason::Protocol(e.to_string());
        let Some(peer) = self.peers.get_mut(conn) else {
            return Ok(false);
        };
        if peer.stage == HandshakeStage::Handshaking {
            let Some(handshake) = peer.next_handshake().map_err(protocol)? else {
                return Ok(false);
            };
            self.handshake(ctx, conn, &handshake)?;
            return Ok(true);
        }
        let Some(message) = peer.next_message().map_err(protocol)? else {
            return Ok(false);
        };
        self.message(ctx, conn, message)?;
        Ok(true)
    }

    fn handshake(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        handshake: &Handshake,
    ) -> Result<(), ClosedReason> {
        if handshake.info_hash != self.info_hash {
            return Err(ClosedReason::Protocol("another torrent".to_owned()));
        }
        if handshake.peer_id == ctx.peer_id {
            return Err(ClosedReason::NotNeeded("connected to ourselves"));
        }
        let Some(peer) = self.peers.get(conn) else {
            return Ok(());
        };
        let identities: Vec<_> = peer.identities(handshake.peer_id).collect();
        if identities.iter().any(|it| ctx.banned.contains(it)) {
            return Err(ClosedReason::Corrupt);
        }
        // Anybody may give any id: one that comes from elsewhere is somebody else.
        let is_one = |p: &Peer| p.identity().is_some_and(|it| identities.contains(&it));
        let other = self.peers.iter().find(|peer| is_one(peer));
        let other = other.map(|peer| peer.connection);
        let Some(peer) = self.peers.get_mut(conn) else {
            return Ok(());
        };
        if other.is_some() {
            peer.double_of = other;
            return Err(ClosedReason::NotNeeded("connected already"));
        }
        peer.stage = HandshakeStage::Active;
        peer.id = Some(handshake.peer_id);
        peer.fast = handshake.supports_fast();
        peer.extended = handshake.supports_extensions();
        let (fast, extended) = (peer.fast, peer.extended);
        if extended {
            let payload = self.our_extensions(ctx).encode();
            let id = EXTENDED_HANDSHAKE_ID;
            self.send(ctx, conn, &Message::Extended { id, payload });
        }
        let have = self.content.as_ref().map(|c| c.pieces.verified().bits());
        let message = match have {
            Some(bits) if bits.is_full() && fast => Some(Message::HaveAll),
            Some(bits) if bits.count() > 0 => Some(Message::Bitfield(bits.as_bytes())),
            _ if fast => Some(Message::HaveNone),
            _ => None,
        };
        if let Some(message) = message {
            self.send(ctx, conn, &message);
        }
        if let Some(content) = &mut self.content {
            content.picker.peer_joined(conn);
        }
        ctx.out.event(Event::PeerConnected {
            info_hash: self.info_hash,
            connection: conn,
        });
        Ok(())
    }

    /// Our extension handshake (BEP 10), with prices and vault if we buy or sell (docs/protocol.md, "Negotiation").
    pub(super) fn our_extensions(&self, ctx: &Context) -> ExtendedHandshake {
        let mut ours = ExtendedHandshake {
            reqq: Some(MAX_REQUESTS_IN as u32),
            v: Some(ctx.config.user_agent.clone()),
            ..ExtendedHandshake::default()
        };
        ours.m.insert(UT_METADATA_NAME.to_owned(), UT_METADATA_ID);
        if let Some(content) = &self.content {
            ours.metadata_size = u32::try_from(content.meta.info.len()).ok();
        }
        if Paying::HERE.is_some() {
            ours.m.insert(PW_TITLE_NAME.to_owned(), PW_TITLE_ID);
            ours.title = self.title_claim();
        }
        if let Some(payment) = ctx.config.payment() {
            ours.m.insert(PW_PAY_NAME.to_owned(), PW_PAY_ID);
            let mut flags = PayHandshake::UNDERSTANDS_PRICES;
            if payment.sell.is_some() {
                flags |= PayHandshake::SELLS;
            }
            ours.pay = Some(PayHandshake {
                vault: payment.vault,
                chain_id: payment.chain_id,
                flags,
                version: PayHandshake::VERSION,
            });
        }
        ours
    }

    fn message(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        message: Message,
    ) -> Result<(), ClosedReason> {
        let Some(peer) = self.peers.get_mut(conn) else {
            return Ok(());
        };
        match message {
            Message::KeepAlive | Message::SuggestPiece(_) | Message::Unknown { .. } => {}
            Message::Choke => {
                peer.peer_choking = true;
                // Without BEP 6 a choke voids all requests. With it each is rejected or answered by itself, but a peer
                // that does neither would be waited for: but for the pieces that it serves all the same, they are void
                // here, too.
                let serves = match peer.fast {
                    true => peer.allowed_fast.clone(),
                    false => Set::new(),
                };
                self.void_requests(ctx, conn, &serves);
            }
            Message::Unchoke => peer.peer_choking = false,
            Message::Interested => {
                peer.peer_interested = true;
                self.choke_stale = true;
            }
            Message::NotInterested => {
                peer.peer_interested = false;
                self.choke_stale = true;
            }
            Message::Have(piece) => {
                // A peer that begins with nothing may send no bitfield at all (BEP 3).
                self.learn_pieces(ctx, conn)?;
                self.has_piece(ctx, conn, piece)?;
            }
            Message::Bitfield(bytes) => {
                if let Some(early) = &mut peer.early {
                    early.bitfield = Some(bytes);
                    self.learn_pieces(ctx, conn)?;
                } else {
                    let bits = Bitfield::from_bytes(&bytes, self.piece_count())
                        .map_err(|e| ClosedReason::Protocol(e.to_string()))?;
                    self.pieces_known(ctx, conn, bits);
                }
            }
            Message::HaveAll => {
                if let Some(early) = &mut peer.early {
                    early.all = true;
                    self.learn_pieces(ctx, conn)?;
                } else {
                    let all = Bitfield::full(self.piece_count());
                    self.pieces_known(ctx, conn, all);
                }
            }
            Message::HaveNone => self.learn_pieces(ctx, conn)?,
            Message::Request(block) => self.requested(ctx, conn, block)?,
            Message::Cancel(block) => self.cancelled(ctx, conn, block),
            Message::Piece { piece, begin, data } => {
                self.block_received(ctx, conn, piece, begin, data)?;
            }
            Message::RejectRequest(block) => self.rejected(ctx, conn, block),
            Message::AllowedFast(piece) => {
                // BEP 6 sets are small; more is of no use and costs memory.
                if peer.allowed_fast.len() < 64 {
                    peer.allowed_fast.insert(piece.0);
                }
            }
            Message::Extended { id, payload } => self.extended(ctx, conn, id, &payload)?,
        }
        Ok(())
    }

    fn extended(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        id: u8,
        payload: &Bytes,
    ) -> Result<(), ClosedReason> {
        match id {
            EXTENDED_HANDSHAKE_ID => {
                let theirs = ExtendedHandshake::decode(payload)
                    .map_err(|e| ClosedReason::Protocol(e.to_string()))?;
                self.extensions_known(ctx, conn, theirs);
                Ok(())
            }
            UT_METADATA_ID => self.metadata_message(ctx, conn, payload),
            PW_TITLE_ID if Paying::HERE.is_some() => self.title_message(ctx, conn, payload),
            PW_PAY_ID if ctx.config.payment().is_some() => ctx
                .money
                .message(ctx.now, conn, payload)
                .map_err(|e| ClosedReason::Payment(e.to_string())),
            _ => Ok(()),
        }
    }

    fn extensions_known(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        theirs: ExtendedHandshake,
    ) {
        let Some(peer) = self.peers.get_mut(conn) else {
            return;
        };
        // A second handshake may update the first (BEP 10), but not who the parties are in money.
        let pay = theirs.pay;
        let pay_id = theirs.id_of(PW_PAY_NAME);
        let claims_title = theirs.title.is_some();
        ctx.queues.set_pay_id(conn, pay_id);
        peer.extensions = Some(theirs);
        if let Some(handshake) = pay
            && pay_id.is_some()
            && ctx.config.payment().is_some()
            && !peer.in_payments
        {
            peer.in_payments = true;
            if let Some(peer) = self.peers.get(conn) {
                let info = self.pay_info(peer, handshake);
                let price = self.price(ctx.config);
                ctx.money.connected(ctx.now, conn, info, price);
            }
        }
        if claims_title && self.lacks_title() {
            self.ask_for_title(ctx, conn);
        }
    }

    fn piece_count(&self) -> u32 {
        let content = self.content.as_ref();
        content.map_or(0, |content| content.pieces.geometry().piece_count())
    }

    /// A peer has one more piece.
    fn has_piece(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        piece: PieceIndex,
    ) -> Result<(), ClosedReason> {
        let Some(peer) = self.peers.get_mut(conn) else {
            return Ok(());
        };
        if let Some(early) = &mut peer.early {
            return match early.note(piece.0) {
                true => Ok(()),
                false => Err(protocol("too many pieces before the metadata")),
            };
        }
        if let Some(content) = &mut self.content {
            let pieces = &content.pieces;
            if !pieces.geometry().has_piece(piece) {
                return Err(protocol("have of no such piece"));
            }
            content.picker.peer_has(conn, piece);
            peer.useful |=
                !pieces.verified().contains(piece) && content.picker.interested(pieces, conn);
        }
        self.tell_interest(ctx, conn);
        Ok(())
    }

    /// Takes up what a peer said that it has, once the metadata is known.
    pub(super) fn learn_pieces(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
    ) -> Result<(), ClosedReason> {
        if self.content.is_none() {
            return Ok(());
        }
        let pieces = self.piece_count();
        let Some(early) = self.peers.get_mut(conn).and_then(|peer| peer.early.take()) else {
            return Ok(());
        };
        let bits = (early.resolve(pieces)).ok_or_else(|| protocol("bitfield of the wrong size"))?;
        self.pieces_known(ctx, conn, bits);
        Ok(())
    }

    fn pieces_known(&mut self, ctx: &mut Context, conn: ConnectionId, bits: Bitfield) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(conn)) else {
            return;
        };
        content.picker.peer_bitfield(conn, bits);
        peer.useful = content.picker.interested(&content.pieces, conn);
        self.tell_interest(ctx, conn);
    }

    /// Says `interested` or `not interested` if that changed (BEP 3).
    pub(super) fn tell_interest(&mut self, ctx: &mut Context, conn: ConnectionId) {
        let running = self
            .content
            .as_ref()
            .is_some_and(|c| matches!(c.phase, Phase::Running));
        let wants = self.wants_peers() && running;
        let Some(peer) = self.peers.get_mut(conn) else {
            return;
        };
        let interested = wants && peer.useful;
        if interested != peer.am_interested {
            peer.am_interested = interested;
            let message = if interested {
                Message::Interested
            } else {
                Message::NotInterested
            };
            self.send(ctx, conn, &message);
        }
    }

    /// Looks again at who has something for us, after our own wishes changed.
    pub(super) fn refresh_interest(&mut self) {
        if let Some(content) = &self.content {
            for peer in self.peers.iter_mut() {
                peer.useful = content.picker.interested(&content.pieces, peer.connection);
            }
        }
    }

    /// Two seeds have nothing to say to each other, once all between them is paid.
    pub(super) fn leave_fellow_seeds(&mut self, ctx: &mut Context) {
        if !self.is_seed() {
            return;
        }
        let seeds: Vec<ConnectionId> = self
            .peers
            .iter()
            .map(|p| p.connection)
            .filter(|conn| self.is_peer_seed(*conn))
            .filter(|conn| !ctx.money.is_paying(*conn))
            .filter(|conn| ctx.money.buying(*conn) == Buying::Free)
            .collect();
        for conn in seeds {
            self.close(ctx, conn, ClosedReason::NotNeeded("both are complete"));
        }
    }

    /// Announces a piece to everybody who lacks it.
    pub(super) fn announce_piece(&mut self, ctx: &mut Context, piece: PieceIndex) {
        let lacks = |conn| (self.peer_pieces(conn)).is_none_or(|has| !has.contains(piece.0));
        let conns: Vec<ConnectionId> = (self.peers.iter())
            .filter(|p| p.stage == HandshakeStage::Active && lacks(p.connection))
            .map(|p| p.connection)
            .collect();
        for conn in conns {
            self.send(ctx, conn, &Message::Have(piece));
        }
    }
}

pub(super) fn protocol(text: &str) -> ClosedReason {
    ClosedReason::Protocol(text.to_owned())
}
