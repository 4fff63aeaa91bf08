//! What a publisher says of this torrent and signed (docs/titles.md), and what that lets be bought.
//!
//! Owns whether there is a title and whether it fits. Invariant: nothing is bought while a title does not fit, or while
//! the signer that the link names has signed none that is here. A build without payments looks at no title.

use bytes::Bytes;

use alloy_primitives::{Address, B256};

use super::{Buying, Context, EffectOwner, Torrent, record_key};
use crate::io::{ClosedReason, Event, TitleStanding};
use crate::paying::Paying;
use crate::title::SignedTitle;
use crate::types::Durability;

/// The title of one torrent, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Titles {
    /// It fits.
    signed: Option<Box<SignedTitle>>,
    /// Why the one that is here does not fit.
    fault: Option<String>,
}

impl Torrent {
    /// What is known of its title.
    pub fn title(&self) -> TitleStanding {
        let Titles { signed, fault } = &self.titles;
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
        let Titles { signed, fault } = &self.titles;
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
        let came = content.meta.title.clone();
        let kept = ctx.out.record(&record_key(self.info_hash, "title"));
        let kept = kept.filter(|kept| came.as_ref() != Some(kept)).cloned();
        if came.is_some() || kept.is_some() {
            self.look_at_titles(ctx, came, kept);
        } else if self.options.by.is_some() {
            self.title_changed(ctx);
        }
    }

    /// The first that fits counts. If none does, the torrent's own says why, and later runs know that too.
    #[inline(never)]
    fn look_at_titles(&mut self, ctx: &mut Context, came: Option<Bytes>, kept: Option<Bytes>) {
        let titles = came.iter().chain(&kept);
        let judged = titles.map(|title| (title.clone(), self.judge_title(title)));
        let mut judged: Vec<_> = judged.collect();
        let fitting = judged.iter().position(|(_, judged)| judged.is_ok());
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
        let signed = self.titles.signed.take();
        let signer = signed.as_ref().map(|signed| signed.title.publisher);
        if signer == Some(Address::from(by)) {
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
        self.titles = Titles {
            signed: Some(signed),
            fault: None,
        };
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
    fn title_changed(&mut self, ctx: &mut Context) {
        let id = self.content_id();
        for peer in self.peers.iter().filter(|peer| peer.in_payments) {
            ctx.money.set_content(ctx.now, peer.connection, id);
        }
        if self.title_forbids_buying() {
            self.leave_sellers(ctx);
        }
        ctx.out.event(Event::Title {
            info_hash: self.info_hash,
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
}
