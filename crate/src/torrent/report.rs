//! What a page may see of a torrent.

use super::{Buying, Money, Phase, Torrent};
use crate::io::{Config, PeerPayment, PeerSnapshot, TorrentSnapshot, TorrentState};
use crate::payment::policy;
use crate::peer::{HandshakeStage, Peer};
use crate::time::Timestamp;
use crate::types::{BLOCK_LEN, FineUnits};

impl Torrent {
    /// Plain data, made anew; with what was paid and received for its blocks.
    pub fn snapshot(
        &self,
        now: Timestamp,
        config: &Config,
        money: &Money,
        (spent, earned): (FineUnits, FineUnits),
    ) -> TorrentSnapshot {
        let content = self.content.as_ref();
        let max_price = self.max_price(config);
        let (selected_length, selected_verified) =
            content.map_or((0, 0), super::Content::selected_bytes);
        TorrentSnapshot {
            info_hash: self.info_hash,
            name: self.name.clone().unwrap_or_else(|| self.info_hash.to_hex()),
            state: self.state(),
            on_demand: self.options.on_demand,
            kept: false,
            failure: self.failed.as_ref().or(self.over_limit.as_ref()).cloned(),
            total_length: content.map_or(0, |c| c.pieces.geometry().total_length()),
            piece_length: content.map_or(0, |c| c.pieces.geometry().piece_length()),
            piece_count: content.map_or(0, |c| c.pieces.geometry().piece_count()),
            have: content
                .map(|c| c.pieces.verified().bits().as_bytes())
                .unwrap_or_default(),
            verified_bytes: content.map_or(0, |c| c.pieces.verified().bytes()),
            block_count: content.map_or(0, |c| c.pieces.geometry().block_count()),
            files: content.map(files).unwrap_or_default(),
            priorities: content.map_or_else(Vec::new, |c| c.selection.priorities().to_vec()),
            selected_length,
            selected_verified,
            downloaded: self.downloaded,
            uploaded: self.uploaded,
            wasted: self.wasted,
            download_rate: self.rate(now),
            upload_rate: self.peers.iter().map(|p| p.up.per_second(now)).sum(),
            price: self.price(config),
            max_price,
            spent,
            earned,
            max_cost: self.max_cost(config, max_price),
            peers: self
                .peers
                .iter()
                .filter(|p| p.stage == HandshakeStage::Active)
                .map(|p| self.peer_snapshot(p, money, now))
                .collect(),
            web_seeds: self.web_seeds.snapshot(now),
            swarm: self.swarm,
        }
    }

    fn peer_snapshot(&self, peer: &Peer, money: &Money, now: Timestamp) -> PeerSnapshot {
        let conn = peer.connection;
        let (bought, paid) = money.paid_to(conn);
        let (sold, earned) = money.earned_from(conn);
        PeerSnapshot {
            connection: conn,
            client: peer
                .extensions
                .as_ref()
                .and_then(|e| e.v.clone())
                .unwrap_or_default(),
            have_count: (self.peer_pieces(conn)).map_or(0, crate::bitfield::Bitfield::count),
            downloaded: peer.down.total(),
            uploaded: peer.up.total(),
            download_rate: peer.down.per_second(now),
            upload_rate: peer.up.per_second(now),
            peer_choking: peer.peer_choking,
            am_choking: peer.am_choking,
            requests_out: self.requests_out(conn).len() as u32,
            requests_in: peer.serving.len() as u32,
            buying: PeerPayment {
                price: money.price(conn),
                // A title that does not fit is no measure of a price.
                is_foreign: money.is_foreign(conn) && !self.title_forbids_buying(),
                active: matches!(money.buying(conn), Buying::Paid(_)),
                paid,
                blocks: bought,
                note: money.buying_note(conn),
            },
            selling: PeerPayment {
                price: money.asked(conn),
                is_foreign: false,
                active: money.is_paying(conn),
                paid: earned,
                blocks: sold,
                note: String::new(),
            },
        }
    }

    fn state(&self) -> TorrentState {
        if self.failed.is_some() || self.over_limit.is_some() && !self.paused {
            return TorrentState::Failed;
        }
        if self.paused {
            return TorrentState::Paused;
        }
        match &self.content {
            None => TorrentState::FetchingMetadata,
            Some(c) if !matches!(c.phase, Phase::Running) => TorrentState::Checking,
            Some(c) if c.is_complete() && c.picker.is_complete(&c.pieces) => TorrentState::Seeding,
            Some(_) => TorrentState::Downloading,
        }
    }

    /// Sum over the missing pieces of selected files of their blocks times the ceiling, plus the v1 loss budget
    /// (docs/protocol.md, "The most that a title can cost").
    fn max_cost(&self, config: &Config, max_price: FineUnits) -> FineUnits {
        let Some(content) = &self.content else {
            return FineUnits(0);
        };
        let missing: u64 = (content.pieces.geometry().pieces().iter())
            .filter(|piece| content.selected.contains(piece.0))
            .filter(|piece| !content.pieces.verified().contains(*piece))
            .filter_map(|piece| content.pieces.geometry().blocks_in(piece))
            .map(u64::from)
            .sum();
        let buy = config.payment().and_then(|p| p.buy.as_ref());
        let lost_pieces = buy.map_or(0, |b| b.loss_budget_pieces);
        let per_piece = content.pieces.geometry().piece_length().div_ceil(BLOCK_LEN);
        let blocks = match missing {
            0 => 0,
            n => n + u64::from(policy::loss_budget(lost_pieces, per_piece)),
        };
        FineUnits(max_price.0.saturating_mul(u128::from(blocks)))
    }
}

fn files(content: &super::Content) -> Vec<(Vec<String>, u64)> {
    content
        .meta
        .files
        .iter()
        .map(|f| {
            let path = if f.pad {
                Vec::new()
            } else {
                f.path.components().to_vec()
            };
            (path, f.length)
        })
        .collect()
}
