//! Views of the client for pages, edges and operators.

use super::Client;
use crate::io::{
    ClientSnapshot, Limits, LoadSnapshot, MoneySnapshot, TitleStanding, TorrentSnapshot,
};
use crate::metainfo::Metainfo;
use crate::torrent::{Torrent, is_kept};
use crate::types::InfoHash;

impl Client {
    /// All torrents, money and trackers at a glance, with rates as of the last input. A page may ask for it as often as
    /// it likes; each call counts anew.
    pub fn snapshot(&self) -> ClientSnapshot {
        let mut snapshot = ClientSnapshot {
            torrents: self.order.clone(),
            trackers: self.tracker_status.values().cloned().collect(),
            money: self.money_snapshot(),
            ..ClientSnapshot::default()
        };
        for torrent in self.torrents.values() {
            snapshot.download_rate += torrent.rate(self.now);
        }
        for peer in self.torrents.values().flat_map(|s| s.peers().iter()) {
            snapshot.upload_rate += peer.up.per_second(self.now);
        }
        snapshot
    }

    /// The bounds that hold now: those of the last [`crate::io::Command::SetLimits`], or of the configuration. An edge
    /// that changes one of them asks for it to keep the others.
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// One torrent with its peers, for a page that shows it; `None` if it is not taken up.
    pub fn torrent(&self, info_hash: InfoHash) -> Option<TorrentSnapshot> {
        let torrent = self.torrents.get(&info_hash)?;
        let sums = (self.receipts.as_ref()).map(|receipts| receipts.of_title(info_hash));
        let mut snapshot = torrent.snapshot(
            self.now,
            &self.config,
            &self.money,
            sums.unwrap_or_default(),
        );
        snapshot.kept = is_kept(&self.out, info_hash);
        Some(snapshot)
    }

    /// What is known of a torrent's title; `None` if the torrent is not taken up.
    pub fn title(&self, info_hash: InfoHash) -> Option<TitleStanding> {
        Some(self.torrents.get(&info_hash)?.title())
    }

    /// What a .torrent file of this torrent says, with the trackers and web seeds that its link named; `None` while its
    /// info dictionary is not known.
    pub fn metainfo(&self, info_hash: InfoHash) -> Option<Metainfo> {
        self.torrents.get(&info_hash)?.metainfo()
    }

    /// Whether the records name everything that is in the files of all torrents, whatever stops. An edge that ends asks
    /// this after [`crate::io::Event::ShutDown`], to know whether the shutdown was in time.
    pub fn is_durable(&self) -> bool {
        self.torrents.values().all(Torrent::is_durable)
    }

    /// The amounts that strangers make the client hold at the moment. Tests and operators hold it to its bounds with
    /// them.
    pub fn load(&self) -> LoadSnapshot {
        let connections = self.open_connections();
        let mut load = LoadSnapshot {
            connections,
            pending: self.routes.len() - connections,
            receipt_accounts: self.receipts.as_ref().map_or(0, |r| r.accounts()),
            effects: self.out.effects(),
            outputs: self.out.waiting(),
            pumps: self.pumps,
            ..LoadSnapshot::default()
        };
        for torrent in self.torrents.values() {
            load.partial_bytes += torrent.partial_bytes();
            let (lost, asked) = torrent.at_risk();
            load.at_risk_of_one = load.at_risk_of_one.max(lost);
            load.at_risk_and_asked_of_one = load.at_risk_and_asked_of_one.max(lost + asked);
            for peer in torrent.peers().iter() {
                let out = torrent.requests_out(peer.connection).len();
                let queued = self.queues.queued_bytes(peer.connection);
                load.undecoded_bytes += peer.undecoded_bytes();
                load.queued_bytes += queued;
                load.queued_bytes_of_one = load.queued_bytes_of_one.max(queued);
                load.requests_in_of_one = load.requests_in_of_one.max(peer.serving.len());
                load.requests_out_of_one = load.requests_out_of_one.max(out);
            }
        }
        load
    }

    fn money_snapshot(&self) -> MoneySnapshot {
        let payer = self.money.payer.as_ref().map(|p| p.totals());
        let payee = self.money.payee.as_ref().map(|p| p.totals());
        let payer = payer.unwrap_or_default();
        let payee = payee.unwrap_or_default();
        MoneySnapshot {
            account_ready: self.account.is_ready(),
            need: self.money.payment_need(),
            balance: self.account.balance(),
            locked: payer.committed.floor(),
            free: payer.free,
            spent: payer.spent,
            owed_blocks: payer.unpaid_blocks,
            budget: crate::types::FineUnits(payer.spent.0 + payer.budget_left.0).floor(),
            redeemable: payee.redeemable,
            redeemable_fine: payee.earned,
            redeemed: payee.redeemed,
            redeemable_ranges: payee.ranges,
            vouchers_signed: payer.vouchers_signed,
            preimages_released: payer.preimages_released,
            preimages_received: payee.paid_blocks,
        }
    }
}
