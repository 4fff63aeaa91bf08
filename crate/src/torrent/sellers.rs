//! The sellers of one torrent: with whom to deal, and for whom to wait.

use super::{Buying, Context, Phase, Torrent};
use crate::io::{Event, PaymentNeed};
use crate::payment::{PeerPayInfo, TitleKind};
use crate::peer::Peer;
use crate::sorted::Set;
use crate::time::Timestamp;
use crate::types::{BLOCK_LEN, ConnectionId, FineUnits};
use crate::wire::extension::PayHandshake;

/// Sellers of one torrent that are of use and with whom a range is opened at once: each pair must reach the dust limit.
const MAX_PAID_SOURCES: usize = 4;

/// What was said of buying, and until when a seller is waited for.
#[derive(Debug)]
pub(super) struct Sellers {
    /// What the account lacks, as it was told, and for which price.
    needed_said: Option<(PaymentNeed, FineUnits)>,
    /// When a seller has been waited for in vain.
    in_vain_at: Timestamp,
}

impl Default for Sellers {
    fn default() -> Sellers {
        Sellers {
            needed_said: None,
            in_vain_at: Timestamp::NEVER,
        }
    }
}

impl Sellers {
    /// The limit changed: what the account lacks is told anew.
    pub(super) fn limit_changed(&mut self) {
        self.needed_said = None;
    }

    /// It is news that the account lacks this for a price that is lower than any that was named.
    fn is_news(&mut self, why: PaymentNeed, price: FineUnits) -> bool {
        let news = (self.needed_said).is_none_or(|(said, at)| said != why || price < at);
        if news {
            self.needed_said = Some((why, price));
        }
        news
    }

    pub(super) fn next_timeout(&self) -> Timestamp {
        self.in_vain_at
    }
}

impl Torrent {
    /// Tells the payment machines our price, and with whom to deal: the cheapest who have something for us, until a few
    /// of them are of use (see [`Payer::is_of_use`](crate::payment::payer::Payer::is_of_use)). The others of those are
    /// wanted all the same, and come before all that are dearer.
    pub(super) fn choose_sellers(&mut self, ctx: &mut Context) {
        if ctx.config.payment().is_none() {
            return;
        }
        let max_price = self.max_price(ctx.config);
        let active = self.wants_peers() && !self.title_forbids_buying();
        let running = self
            .content
            .as_ref()
            .filter(|c| matches!(c.phase, Phase::Running));
        let kind = running.map_or(TitleKind::Unknown, |c| TitleKind::V1 {
            piece_blocks: c.meta.piece_length.div_ceil(BLOCK_LEN),
        });
        let mut offers: Vec<(bool, FineUnits, ConnectionId)> = self
            .peers
            .iter()
            .filter(|p| p.in_payments)
            .filter_map(|p| {
                let price = ctx.money.price(p.connection)?;
                let attached = matches!(ctx.money.buying(p.connection), Buying::Paid(_));
                (p.useful && price.0 > 0).then_some((!attached, price, p.connection))
            })
            .collect();
        offers.sort_unstable_by_key(|(fresh, price, conn)| (*price, *fresh, *conn));
        let (mut chosen, mut of_use) = (Set::new(), 0);
        for (_, price, conn) in &offers {
            if !active || *price > max_price || of_use == MAX_PAID_SOURCES {
                break;
            }
            chosen.insert(*conn);
            of_use += usize::from(ctx.money.is_of_use(*conn));
        }
        let price = self.price(ctx.config);
        for peer in self.peers.iter().filter(|p| p.in_payments) {
            ctx.money.set_price(ctx.now, peer.connection, price);
            let wanted = chosen.contains(&peer.connection);
            (ctx.money).want(ctx.now, peer.connection, kind, wanted, max_price);
        }
        // Nothing is bought at a price that leaves the creator out, so no deposit is made for it.
        let of_title = offers.iter().filter(|(_, _, c)| !ctx.money.is_foreign(*c));
        let cheapest = of_title.map(|(_, price, _)| *price).min();
        if let Some(price) = cheapest
            && active
        {
            self.say_needed(ctx, price);
        }
    }

    /// Tells the payment machine which sellers are waited for. One that could be asked and is asked for nothing is not
    /// where a cheaper peer delivers all, as fast as readers need it: no dearer one would be asked for anything then.
    pub(super) fn wait_for_sellers(&mut self, ctx: &mut Context, lacking: bool) {
        self.sellers.in_vain_at = Timestamp::NEVER;
        if ctx.config.payment().is_none() {
            return;
        }
        let content = self.content.as_ref();
        let units: Set<FineUnits> = (self.peers.iter())
            .filter(|p| lacking && p.delivers(ctx.now) && self.is_peer_seed(p.connection))
            .map(|p| ctx.money.price(p.connection).unwrap_or(FineUnits(0)))
            .collect();
        let in_time = |price: &&FineUnits| {
            content.is_some_and(|c| !c.picker.is_late(&c.pieces, ctx.now, **price))
        };
        let enough = units.iter().find(in_time).copied();
        for peer in self.peers.iter().filter(|p| p.in_payments) {
            let conn = peer.connection;
            let gives = !peer.peer_choking && matches!(ctx.money.buying(conn), Buying::Paid(1..));
            let undercut = gives && enough.is_some_and(|price| ctx.money.price(conn) > Some(price));
            let until = (ctx.money).wait_for(ctx.now, conn, lacking && !undercut);
            self.sellers.in_vain_at = self.sellers.in_vain_at.min(until);
        }
    }

    /// Says what the account lacks for the lowest price.
    fn say_needed(&mut self, ctx: &mut Context, price: FineUnits) {
        let Some(why) = ctx.money.payment_need() else {
            self.sellers.needed_said = None;
            return;
        };
        if self.sellers.is_news(why, price) {
            ctx.out.event(Event::PaymentNeeded {
                info_hash: self.info_hash,
                price,
                why,
            });
        }
    }

    /// What the payment machines are told of a peer when both extension handshakes are in.
    pub(super) fn pay_info(&self, peer: &Peer, handshake: PayHandshake) -> PeerPayInfo {
        PeerPayInfo {
            handshake: Some(handshake),
            address: match peer.address_hash {
                0 => String::new(),
                hash => format!("{hash:016x}"),
            },
            torrent: self.info_hash,
            content: self.content_id(),
        }
    }
}
