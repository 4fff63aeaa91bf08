//! An onlooker's books about money: blocks as they arrive, links as they leave. It stops the run when a client reveals
//! more than it received, or a link that is not on its chain.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, keccak256};
use piecework::types::FineUnits;
use piecework::wire::pay::{PayMessage, RejectCode};

use crate::frames::Frames;
use crate::node::NodeId;

/// One voucher that a client sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    payee: Address,
    base: u128,
    unit: u128,
    steps: u16,
    k: u16,
    w: B256,
}

/// Blocks that one node received from one payee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// With the content's bytes.
    pub good: u64,
    /// With others.
    pub bad: u64,
}

/// The blocks that arrived, the links that left and the refusals, by payer and payee.
#[derive(Debug, Default)]
pub struct Books {
    /// By payer, first serial and tag.
    vouchers: BTreeMap<(NodeId, u32, [u8; 4]), Sent>,
    arrived: BTreeMap<(NodeId, Address), Arrived>,
    /// Refusals that clients sent, by sender and receiver.
    pub rejects: BTreeMap<(NodeId, NodeId), Vec<RejectCode>>,
    /// STATEs that clients sent, by sender and receiver.
    pub states: BTreeMap<(NodeId, NodeId), u32>,
    /// Bytes that came in on one side of a channel and are not cut yet; `None`: they are no protocol.
    pub(crate) inbound: BTreeMap<(usize, usize), Option<Frames>>,
}

impl Books {
    /// Everything that `payer` ever revealed to `payee`: per range the best of all its vouchers.
    pub fn revealed(&self, payer: NodeId, payee: Address) -> FineUnits {
        let mut best: BTreeMap<u32, u128> = BTreeMap::new();
        let of_payer = (payer, 0, [0; 4])..=(payer, u32::MAX, [0xff; 4]);
        for ((_, first, _), sent) in self.vouchers.range(of_payer) {
            if sent.payee != payee {
                continue;
            }
            let owed = sent.base + sent.unit * u128::from(sent.k);
            let range = best.entry(*first).or_default();
            *range = (*range).max(owed);
        }
        FineUnits(best.values().sum())
    }

    /// Ranges that `payer` promised and never paid on.
    pub fn idle_ranges(&self, payer: NodeId) -> usize {
        let mut used: BTreeMap<u32, bool> = BTreeMap::new();
        let of_payer = (payer, 0, [0; 4])..=(payer, u32::MAX, [0xff; 4]);
        for ((_, first, _), sent) in self.vouchers.range(of_payer) {
            *used.entry(*first).or_default() |= sent.k > 0 || sent.base > 0;
        }
        used.values().filter(|used| !**used).count()
    }

    /// Blocks that came in at `node` from `payee`.
    pub fn arrived(&self, node: NodeId, payee: Address) -> Arrived {
        self.arrived
            .get(&(node, payee))
            .copied()
            .unwrap_or_default()
    }

    /// A block came in.
    pub(crate) fn block(&mut self, node: NodeId, payee: Address, good: bool) {
        let arrived = self.arrived.entry((node, payee)).or_default();
        arrived.good += u64::from(good);
        arrived.bad += u64::from(!good);
    }

    /// A client promises to `payee`, or pays.
    pub(crate) fn said(&mut self, payer: NodeId, payee: Option<Address>, message: &PayMessage) {
        match *message {
            PayMessage::Commit { voucher: v, .. } => {
                let payee = payee.expect("a COMMIT answers a quote");
                let sent = Sent {
                    payee,
                    base: v.base.0,
                    unit: v.unit.0,
                    steps: v.steps,
                    k: 0,
                    w: v.root,
                };
                let key = (payer, v.first, v.tag());
                self.vouchers.entry(key).or_insert(sent);
            }
            PayMessage::Pay { first, tag, k, w } => {
                let sent = self.vouchers.get_mut(&(payer, first, tag));
                let sent = sent.expect("a PAY on a voucher that was sent");
                assert!(k > sent.k && k <= sent.steps, "step {k} after {}", sent.k);
                let back = (sent.k..k).fold(w, |w, _| keccak256(w));
                assert_eq!(back, sent.w, "a link that is not on the chain");
                (sent.k, sent.w) = (k, w);
                let payee = sent.payee;
                // A reseller's price changes from range to range.
                let to_payee = self.vouchers.values().filter(|sent| sent.payee == payee);
                let unit = to_payee.map(|sent| sent.unit).max().unwrap_or(0);
                let arrived = self.arrived(payer, payee);
                let most = unit * u128::from(arrived.good + arrived.bad);
                let revealed = self.revealed(payer, payee);
                assert!(
                    revealed.0 <= most,
                    "{payer:?} revealed {} blocks to {payee} and received {arrived:?}",
                    revealed.0 / unit
                );
            }
            PayMessage::Reconcile { voucher: v } => {
                let of_range = (payer, v.first, [0; 4])..=(payer, v.first, [0xff; 4]);
                let sums = self.vouchers.range(of_range);
                let revealed = sums
                    .map(|(_, sent)| sent.base + sent.unit * u128::from(sent.k))
                    .max();
                assert!(
                    v.steps == 0 && v.base.0 <= revealed.unwrap_or(0),
                    "{payer:?} names {} of {revealed:?} that it revealed",
                    v.base.0
                );
            }
            PayMessage::Held { .. }
            | PayMessage::Terms(_)
            | PayMessage::Ack { .. }
            | PayMessage::Reject { .. }
            | PayMessage::Need { .. }
            | PayMessage::Seen { .. }
            | PayMessage::State { .. }
            | PayMessage::Bye { .. } => {}
        }
    }
}
