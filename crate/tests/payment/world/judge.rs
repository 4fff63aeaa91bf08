//! What must hold at every step, whatever happens:
//! - no serial is signed for two payees, and a voucher leaves only when its serials and its base are
//!   durable;
//! - a payer never reveals more than the blocks it received are worth;
//! - a payee never counts on more than was revealed;
//! - every claim passes the contract's check, and pays to the last token unit what the ledger says.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, keccak256};
use piecework::payment::payee::RedeemScope;
use piecework::payment::payer::PayerConnState;
use piecework::payment::record::{Key, PayerAccountRecord, PayerRangeRecord};
use piecework::types::{ConnectionId, FineUnits, TokenUnits};
use piecework::wire::pay::{PayMessage, tag as tag_of};

use super::{Item, TRANCHE, Who, World, vault};

impl World {
    pub fn send(&mut self, who: Who, conn: ConnectionId, message: PayMessage) {
        let bytes = message.encode();
        assert_eq!(PayMessage::decode(&bytes), Ok(Some(message)));
        if let Who::Buyer(buyer) = who {
            self.judge_sent(buyer, conn, &message);
        }
        let Some(link) = self.link_of(conn) else {
            return;
        };
        let to = match who {
            Who::Buyer(_) => Who::Seller(self.links[link].seller),
            Who::Seller(_) => Who::Buyer(self.links[link].buyer),
        };
        self.overheard.push(bytes.clone());
        if self.percent(self.faults.forged) {
            self.forge(link, to);
        }
        self.deliver(link, to, Item::Pay(bytes));
    }

    /// An attacker on the other end says something it overheard, perhaps changed.
    pub fn forge(&mut self, link: usize, to: Who) {
        let pick = self.random(self.overheard.len() as u32) as usize;
        let mut bytes = self.overheard[pick].clone();
        if self.random(2) == 0 && bytes.len() > 1 {
            let at = 1 + self.random(bytes.len() as u32 - 1) as usize;
            bytes[at] ^= 1 << self.random(8);
        }
        self.deliver(link, to, Item::Pay(bytes));
    }

    /// What a payer may never do.
    pub fn judge_sent(&mut self, buyer: usize, conn: ConnectionId, message: &PayMessage) {
        let account = self.account_of(buyer);
        match *message {
            PayMessage::Commit { voucher: v, .. } => {
                let store = &self.buyers[buyer].store;
                let next = store
                    .get(&Key::PayerAccount(account).text(&vault()))
                    .and_then(|b| PayerAccountRecord::decode(b))
                    .expect("an allocator record before a voucher leaves")
                    .next;
                assert!(
                    next >= u64::from(v.first) + u64::from(v.count),
                    "serials are durable"
                );
                let range = store
                    .get(&Key::PayerRange(account, v.first).text(&vault()))
                    .and_then(|b| PayerRangeRecord::decode(b))
                    .expect("a range record before a voucher leaves");
                assert!(range.paid >= v.base, "the base is durable");
                let payee = range.payee;
                if self.faults.forged == 0 {
                    let link = self.links.iter().find(|l| l.conn == conn).unwrap();
                    assert_eq!(payee, self.sellers[link.seller].config.payee);
                }
                for serial in v.first..v.first + u32::from(v.count) {
                    let before = self.promised.insert((account, serial), payee);
                    assert!(
                        before.is_none_or(|p| p == payee),
                        "serial {serial} is promised to two payees"
                    );
                }
                let (sum, steps) = (v.base.0, u128::from(v.steps));
                assert!(sum + v.unit.0 * steps <= (u128::from(v.count) * TRANCHE) << 24);
                let known = (v, payee, 0, v.root);
                let id = (account, v.first, tag_of(&v.root));
                let seen = self.vouchers.entry(id).or_insert(known);
                assert_eq!(seen.0, v, "a chain is never used twice");
            }
            PayMessage::Reconcile { voucher: v } => {
                let range = self.buyers[buyer]
                    .store
                    .get(&Key::PayerRange(account, v.first).text(&vault()))
                    .and_then(|b| PayerRangeRecord::decode(b))
                    .expect("a range record before a sum leaves");
                assert!(range.paid >= v.base, "the sum is durable");
                let of_range = (account, v.first, [0; 4])..=(account, v.first, [0xff; 4]);
                let revealed = (self.vouchers.range(of_range))
                    .map(|(_, (v, _, k, _))| v.base.0 + v.unit.0 * u128::from(*k))
                    .max();
                assert!(
                    v.base.0 <= revealed.unwrap_or(0),
                    "no more than was revealed"
                );
                assert_eq!(v.steps, 0);
            }
            PayMessage::Pay { first, tag, k, w } => {
                let seen = self
                    .vouchers
                    .get_mut(&(account, first, tag))
                    .expect("PAY on a voucher that was sent");
                assert!(k > seen.2 && k <= seen.0.steps);
                let known = (seen.2..k).fold(w, |w, _| keccak256(w));
                assert_eq!(known, seen.3, "every link is on the chain");
                (seen.2, seen.3) = (k, w);
                let payee = seen.1;
                // A forged quote may name another payee: then only the sum is known.
                let payee = (self.faults.forged == 0).then_some(payee);
                let revealed = self.revealed(Some(account), payee);
                let received = &self.buyers[buyer].received;
                let held: u64 = match payee {
                    Some(payee) => received.get(&payee).copied().unwrap_or(0),
                    None => received.values().sum(),
                };
                assert!(
                    revealed.0 <= self.unit.0 * u128::from(held),
                    "revealed {} blocks, received {held}",
                    revealed.0 / self.unit.0
                );
            }
            _ => {}
        }
    }

    /// What a payee could claim at most: per range the best of all vouchers.
    pub fn revealed(&self, account: Option<B256>, payee: Option<Address>) -> FineUnits {
        let mut best: BTreeMap<(B256, u32), u128> = BTreeMap::new();
        for ((id, first, _), (v, p, k, _)) in &self.vouchers {
            if payee.is_none_or(|payee| payee == *p) && account.is_none_or(|a| a == *id) {
                let owed = v.base.0 + v.unit.0 * u128::from(*k);
                let entry = best.entry((*id, *first)).or_default();
                *entry = (*entry).max(owed);
            }
        }
        FineUnits(best.values().sum())
    }

    pub fn check(&self) {
        for seller in &self.sellers {
            let revealed = self.revealed(None, Some(seller.config.payee));
            let totals = seller.payee.totals();
            assert!(
                totals.earned.0 + seller.redeemed.min(totals.redeemed.0) <= revealed.0
                    || totals.earned <= revealed,
                "a payee counts on more than was revealed"
            );
            assert!(totals.redeemable.0 << 24 <= totals.earned.0);
        }
        for buyer in &self.buyers {
            let totals = buyer.payer.totals();
            assert!(totals.spent <= buyer.config.budget.fine());
        }
    }

    pub fn complete(&self) -> bool {
        self.buyers
            .iter()
            .all(|b| b.orders.values().all(|o| o.have.len() == o.total))
    }

    /// Everything is redeemed, and the chain pays what the ledgers say.
    pub fn redeem_all(&mut self) {
        self.run_on(5 + self.faults.until.since(self.now).as_secs());
        self.check();
        for i in 0..self.sellers.len() {
            let now = self.now;
            self.sellers[i].payee.prepare_redeem(now, RedeemScope::All);
            self.run_actions(Who::Seller(i));
        }
        self.run_on(60);
        for seller in &self.sellers {
            let totals = seller.payee.totals();
            assert_eq!(totals.redeemable, TokenUnits(0));
            assert_eq!(totals.redeemed, TokenUnits(seller.redeemed));
        }
    }

    pub fn paid_blocks(&self, seller: usize) -> u128 {
        self.revealed(None, Some(self.sellers[seller].config.payee))
            .0
            / self.unit.0
    }
}

pub fn why_not(world: &World) -> Vec<(ConnectionId, PayerConnState)> {
    world
        .links
        .iter()
        .filter(|l| l.up)
        .filter(|l| {
            let order = &world.buyers[l.buyer].orders[&l.torrent];
            order.have.len() < order.total
        })
        .map(|l| (l.conn, world.buyers[l.buyer].payer.status(l.conn)))
        .collect()
}
