//! What a page may see of everything together.

use super::Client;
use crate::contract::{ClientSnapshot, MoneySnapshot, TorrentSnapshot};
use crate::types::InfoHash;

impl Client {
    /// All torrents, money and trackers at a glance.
    pub fn snapshot(&self) -> ClientSnapshot {
        let mut snapshot = ClientSnapshot {
            torrents: self.order.clone(),
            trackers: self.tracker_status.values().cloned().collect(),
            money: self.money_snapshot(),
            ..ClientSnapshot::default()
        };
        for peer in self.sessions.values().flat_map(|s| s.peers().values()) {
            snapshot.download_rate += peer.down.per_second(self.now);
            snapshot.upload_rate += peer.up.per_second(self.now);
        }
        snapshot
    }

    /// One torrent.
    pub fn torrent(&self, info_hash: InfoHash) -> Option<TorrentSnapshot> {
        let session = self.sessions.get(&info_hash)?;
        Some(session.snapshot(self.now, &self.config, &self.money))
    }

    fn money_snapshot(&self) -> MoneySnapshot {
        let payer = self.money.payer.as_ref().map(|p| p.totals());
        let payee = self.money.payee.as_ref().map(|p| p.totals());
        let payer = payer.unwrap_or_default();
        let payee = payee.unwrap_or_default();
        MoneySnapshot {
            account_ready: self.account.is_ready(),
            balance: self.account.balance(),
            locked: payer.committed.floor(),
            spent: payer.spent,
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
