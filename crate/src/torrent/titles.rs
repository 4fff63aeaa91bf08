//! What a publisher says of this torrent and signed (docs/titles.md), and what that lets be bought.
//!
//! Owns whether there is a title and whether it fits, and its exchange with peers (`pw_title`). Peers bring it only to
//! who has a link that says whose title it is to be: anybody can sign a title of any content. Each peer is asked once.
//!
//! Invariant: nothing is bought while a title does not fit, or while the signer that the link names has signed none
//! that is here. A build without payments looks at no title.

use alloy_primitives::{Address, B256};
use bytes::Bytes;

use super::messages::protocol;
use super::{Buying, Context, EffectOwner, Torrent, record_key};
use crate::io::{ClosedReason, Event, TitleStanding};
use crate::paying::Paying;
use crate::peer::HandshakeStage;
use crate::sorted::{Map, Set};
use crate::title::SignedTitle;
use crate::types::{ConnectionId, Durability};
use crate::wire::Message;
use crate::wire::extension::{
    EXTENDED_HANDSHAKE_ID, ExtendedHandshake, PW_TITLE_NAME, TitleClaim, TitleMessage,
};

/// The title of one torrent, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Titles {
    /// It fits.
    signed: Option<Box<SignedTitle>>,
    /// Why the one that is here does not fit.
    fault: Option<String>,
    /// What its handshakes say of it.
    claim: Option<TitleClaim>,
    /// Peers that were asked for the title that they claim; `None`: the answer came.
    asked: Map<ConnectionId, Option<TitleClaim>>,
    /// Peers that it was sent to.
    sent: Set<ConnectionId>,
}

impl Titles {
    /// A peer left.
    pub(super) fn peer_gone(&mut self, conn: ConnectionId) {
        if Paying::HERE.is_some() && !(self.asked.is_empty() && self.sent.is_empty()) {
            self.forget(conn);
        }
    }

    #[inline(never)]
    fn forget(&mut self, conn: ConnectionId) {
        self.asked.remove(&conn);
        self.sent.remove(&conn);
    }
}

fn claim_of(signed: &SignedTitle) -> TitleClaim {
    TitleClaim {
        publisher: signed.title.publisher,
        id: signed.title.id(),
    }
}

impl Torrent {
    /// What is known of its title.
    pub fn title(&self) -> TitleStanding {
        let Titles { signed, fault, .. } = &self.titles;
        match (Paying::HERE, &self.content, signed, fault) {
            (None, ..) | (_, None, ..) => TitleStanding::Unknown,
            (_, _, Some(signed), _) => TitleStanding::Fits(signed.clone()),
            (_, _, _, Some(fault)) => TitleStanding::Wrong(fault.clone()),
            _ if self.options.by.is_some() => TitleStanding::Awaited,
            _ => TitleStanding::Unsigned,
        }
    }

    /// No block is paid for: the title does not fit, or the signer that the link names has none here.
    pub(super) fn title_forbids_buying(&self) -> bool {
        let Titles { signed, fault, .. } = &self.titles;
        Paying::HERE.is_some() && signed.is_none() && (fault.is_some() || self.options.by.is_some())
    }

    /// The id that quotes are given and taken under.
    pub(super) fn content_id(&self) -> B256 {
        self.options.content.map_or(B256::ZERO, B256::from)
    }

    /// The metadata is known: looks at the title that came with it, and at the one that an earlier run kept.
    pub(super) fn look_for_title(&mut self, ctx: &mut Context) {
        if Paying::HERE.is_none() {
            return;
        }
        let Some(content) = &self.content else {
            return;
        };
        let came = content.meta.title.is_some();
        let kept = ctx
            .out
            .record(&record_key(self.info_hash, "title"))
            .is_some();
        if came || kept {
            self.look_at_titles(ctx);
        } else if self.options.by.is_some() {
            self.title_changed(ctx);
        }
        if self.lacks_title() {
            self.ask_for_titles(ctx);
        }
    }

    /// The first that fits counts. If none does, the torrent's own says why, and later runs know that too.
    #[inline(never)]
    fn look_at_titles(&mut self, ctx: &mut Context) {
        let came = (self.content.as_ref()).and_then(|content| content.meta.title.clone());
        let kept = ctx.out.record(&record_key(self.info_hash, "title"));
        let kept = kept.filter(|kept| came.as_ref() != Some(kept)).cloned();
        let titles = came.iter().chain(&kept);
        let judged = titles.map(|title| (title.clone(), self.judge_title(title)));
        let mut judged: Vec<_> = judged.collect();
        let fitting = judged.iter().position(|(_, judged)| judged.is_ok());
        if judged.is_empty() {
            return;
        }
        let (title, judgement) = judged.swap_remove(fitting.unwrap_or(0));
        match judgement {
            Ok(signed) => self.adopt_title(ctx, title, signed),
            Err(fault) => {
                self.keep_title(ctx, title);
                self.titles.fault = Some(fault);
                self.title_changed(ctx);
            }
        }
    }

    /// A title that came when the torrent was here already counts only if it fits, and none does that is here.
    #[inline(never)]
    pub(super) fn title_came(&mut self, ctx: &mut Context, title: &Bytes) {
        if Paying::HERE.is_some()
            && self.titles.signed.is_none()
            && let Ok(signed) = self.judge_title(title)
        {
            self.adopt_title(ctx, title.clone(), signed);
        }
    }

    /// A link names a signer and an id. The last link counts, because the user holds it in hand.
    pub fn pin_title(&mut self, ctx: &mut Context, by: [u8; 20], content: Option<[u8; 32]>) {
        if Paying::HERE.is_none() || self.options.by == Some(by) {
            return;
        }
        self.options.by = Some(by);
        self.titles.claim = None;
        let signed = self.titles.signed.take();
        let signer = signed.as_ref().map(|signed| signed.title.publisher);
        if signer == Some(Address::from(by)) {
            self.titles.claim = signed.as_deref().map(claim_of);
            self.titles.signed = signed;
        } else {
            self.options.content = content;
            self.look_for_title(ctx);
        }
        if let Some(link) = self.link_record(ctx) {
            (ctx.out).put_records(EffectOwner::Nobody, vec![link], Durability::PowerLoss);
        }
    }

    /// Whether it is a title of this content, by whom and under the id that the link or the torrent names.
    #[inline(never)]
    fn judge_title(&self, title: &[u8]) -> Result<Box<SignedTitle>, String> {
        let length = (self.content.as_ref()).map_or(0, |c| c.pieces.geometry().total_length());
        let signed = SignedTitle::from_bytes(title).map_err(|error| error.to_string())?;
        signed
            .check(self.info_hash, length, self.options.by.map(Address::from))
            .and_then(|()| signed.check_id(self.options.content.map(B256::from)))
            .map_err(|fault| fault.to_string())?;
        Ok(Box::new(signed))
    }

    fn adopt_title(&mut self, ctx: &mut Context, title: Bytes, signed: Box<SignedTitle>) {
        self.keep_title(ctx, title);
        // What is registered is sold under its id, also where the link forgot it.
        if self.options.content.is_none() && !signed.registry.address.is_zero() {
            self.options.content = Some(signed.title.id().0);
        }
        self.titles.claim = Some(claim_of(&signed));
        self.titles.signed = Some(signed);
        self.titles.fault = None;
        self.title_changed(ctx);
    }

    /// Puts a title where a later run, and who asks for the .torrent, finds it.
    fn keep_title(&mut self, ctx: &mut Context, title: Bytes) {
        let key = record_key(self.info_hash, "title");
        if ctx.out.record(&key) != Some(&title) {
            let records = vec![(key, Some(title.clone()))];
            (ctx.out).put_records(EffectOwner::Nobody, records, Durability::PowerLoss);
        }
        if let Some(content) = &mut self.content {
            content.meta.title = Some(title);
        }
    }

    /// The page is told, and those with whom quotes are exchanged are dealt with under the id as it is now.
    #[inline(never)]
    fn title_changed(&mut self, ctx: &mut Context) {
        let id = self.content_id();
        for peer in self.peers.iter().filter(|peer| peer.in_payments) {
            ctx.money.set_content(ctx.now, peer.connection, id);
        }
        if self.title_forbids_buying() {
            self.leave_sellers(ctx);
        }
        if self.titles.claim.is_some() {
            self.claim_title(ctx);
        }
        ctx.out.event(Event::Title {
            info_hash: self.info_hash,
            standing: self.title(),
        });
    }

    /// Deals that were made before the title forbade them end here.
    #[inline(never)]
    fn leave_sellers(&mut self, ctx: &mut Context) {
        for conn in self.peers.connections() {
            if matches!(ctx.money.buying(conn), Buying::Paid(_)) {
                let reason = ClosedReason::NotNeeded("the title is not the one that is wanted");
                self.close(ctx, conn, reason);
            }
        }
    }

    /// What its handshakes say of the title.
    pub(super) fn title_claim(&self) -> Option<TitleClaim> {
        self.titles.claim
    }

    /// Peers whose handshake is through already are told of the title by another one (BEP 10).
    #[inline(never)]
    fn claim_title(&mut self, ctx: &mut Context) {
        let speaks = |extensions: &ExtendedHandshake| extensions.id_of(PW_TITLE_NAME).is_some();
        let told = (self.peers.iter())
            .filter(|p| p.stage == HandshakeStage::Active && p.extended)
            .filter(|p| p.extensions.as_ref().is_none_or(speaks));
        let told: Vec<ConnectionId> = told.map(|peer| peer.connection).collect();
        for conn in told {
            let payload = self.our_extensions(ctx).encode();
            let id = EXTENDED_HANDSHAKE_ID;
            self.send(ctx, conn, &Message::Extended { id, payload });
        }
    }

    /// The link says whose title it is to be, or which, and it is not here.
    pub(super) fn lacks_title(&self) -> bool {
        let Titles { signed, .. } = &self.titles;
        let is_named = self.options.by.is_some() || self.options.content.is_some();
        Paying::HERE.is_some() && is_named && signed.is_none() && self.content.is_some()
    }

    /// It is the one that the link names.
    fn is_named(&self, claim: &TitleClaim) -> bool {
        let by = self.options.by.map(Address::from);
        let id = self.options.content.map(B256::from);
        by.is_none_or(|by| by == claim.publisher) && id.is_none_or(|id| id == claim.id)
    }

    #[inline(never)]
    fn ask_for_titles(&mut self, ctx: &mut Context) {
        for conn in self.peers.connections() {
            self.ask_for_title(ctx, conn);
        }
    }

    /// Asks a peer that claims to have the title that the link names, if it was not asked before.
    #[inline(never)]
    pub(super) fn ask_for_title(&mut self, ctx: &mut Context, conn: ConnectionId) {
        let extensions = (self.peers.get(conn)).and_then(|peer| peer.extensions.as_ref());
        let claim = extensions.and_then(|extensions| extensions.title);
        if let Some(claim) = claim.filter(|claim| self.is_named(claim))
            && !self.titles.asked.contains_key(&conn)
        {
            self.titles.asked.insert(conn, Some(claim));
            self.send_title_message(ctx, conn, &TitleMessage::Request);
        }
    }

    fn send_title_message(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        message: &TitleMessage,
    ) {
        let peer = self.peers.get(conn);
        if let Some(id) = peer.and_then(|peer| peer.extension_id(PW_TITLE_NAME)) {
            let payload = message.encode();
            self.send(ctx, conn, &Message::Extended { id, payload });
        }
    }

    #[inline(never)]
    pub(super) fn title_message(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        payload: &Bytes,
    ) -> Result<(), ClosedReason> {
        let message =
            TitleMessage::decode(payload).map_err(|e| ClosedReason::Protocol(e.to_string()))?;
        match message {
            TitleMessage::Request => self.title_requested(ctx, conn),
            TitleMessage::Reject => {
                if let Some(claim) = self.titles.asked.get_mut(&conn) {
                    *claim = None;
                }
            }
            TitleMessage::Title(title) => return self.title_sent(ctx, conn, title),
            TitleMessage::Unknown => {}
        }
        Ok(())
    }

    /// Each peer gets it once.
    fn title_requested(&mut self, ctx: &mut Context, conn: ConnectionId) {
        let title = self.content.as_ref().and_then(|c| c.meta.title.clone());
        let fits = self.titles.signed.is_some();
        let answer = match title {
            Some(title) if fits && self.titles.sent.insert(conn) => TitleMessage::Title(title),
            _ => TitleMessage::Reject,
        };
        self.send_title_message(ctx, conn, &answer);
    }

    /// A title that is not the one that its sender claimed, or not of this content, is a lie, whoever signed it.
    fn title_sent(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        title: Bytes,
    ) -> Result<(), ClosedReason> {
        let asked = self.titles.asked.get_mut(&conn).and_then(Option::take);
        let claim = asked.ok_or_else(|| protocol("a title that nobody asked for"))?;
        let length = (self.content.as_ref()).map_or(0, |c| c.pieces.geometry().total_length());
        let signed = (SignedTitle::from_bytes(&title).ok())
            .filter(|signed| claim_of(signed) == claim)
            .filter(|signed| signed.check(self.info_hash, length, None).is_ok())
            .ok_or(ClosedReason::Corrupt)?;
        // Another link may have been taken up since, or another peer was faster.
        if self.lacks_title() && self.is_named(&claim) {
            self.adopt_title(ctx, title, Box::new(signed));
        }
        Ok(())
    }
}
