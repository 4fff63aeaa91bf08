//! Money between the clients: its arrivals, the step at which a node is stopped, and the acts of an operator.

use bytes::Bytes;
use piecework::client::{Command, RedeemScope};
use piecework::time::Duration;

use super::{SimNet, What};
use crate::channel::Cheat;
use crate::disk::Disk;
use crate::node::NodeId;
use crate::tamper::{Tamper, pay_message};

const PIECE: u8 = 7;

impl SimNet {
    /// The changes that a node makes to its payment messages from now on.
    pub fn set_tamper(&mut self, id: NodeId, tamper: Tamper) {
        self.nodes[id.0].tamper = Some(tamper);
    }

    /// Lets a node pay with the key of another, of which it knows nothing else.
    pub fn share_key(&mut self, from: NodeId, to: NodeId) {
        let node = &self.nodes[from.0];
        let (key, owner) = (node.key.clone(), node.owner);
        let node = &mut self.nodes[to.0];
        (node.key, node.owner) = (key, owner);
        self.set_account(to);
    }

    /// A reload or a second tab: the old client is gone without a word, the other sides do not notice for this long,
    /// and messages on their way to them still arrive.
    pub fn vanish(&mut self, id: NodeId, unnoticed: Duration) {
        let ends: Vec<(usize, usize)> = self.nodes[id.0].ends.values().copied().collect();
        self.crash(id);
        for (link, side) in ends {
            self.links[link].dead = false;
            let reason = "the connection was lost".to_owned();
            self.schedule(unnoticed, What::Closed(link, 1 - side, reason));
        }
    }

    /// Puts the disk of a stopped node back to an earlier state, as by a backup: it may ask again for pieces that it
    /// had since.
    pub fn restore(&mut self, id: NodeId, backup: Disk) {
        self.nodes[id.0].disk = backup;
        self.watch.restored(id);
    }

    /// Lets a seller redeem all it can.
    pub fn redeem_all(&mut self, id: NodeId) {
        self.command(id, Command::PrepareRedeem(RedeemScope::All));
        self.run_for(Duration::from_secs(30));
    }

    /// A step of the exchange by `id`; true: it is stopped here.
    pub(super) fn step_of(&mut self, id: NodeId) -> bool {
        let stops = self.steps.take(id);
        match self.steps.unnoticed {
            Some(unnoticed) if stops => self.vanish(id, unnoticed),
            None if stops && self.steps.killed => self.kill_process(id),
            None if stops => self.crash(id),
            _ => {}
        }
        stops
    }

    /// Bytes arrive at one side of a channel. True: that side is stopped before it sees them.
    pub(super) fn heard(&mut self, link: usize, side: usize, bytes: &Bytes) -> bool {
        let (end, other) = self.both(link, side);
        let (node, from, hash) = (end.node, other.node, other.direction.info_hash);
        let sender = &self.nodes[from.0];
        let is_puppet = sender.puppet.is_some() && sender.payee.is_none();
        let nonsense = sender.cheat == Cheat::Garbage || is_puppet;
        let inbound = &mut self.watch.books.inbound;
        let frames = inbound
            .entry((link, side))
            .or_insert_with(|| Some(Default::default()));
        if nonsense {
            *frames = None;
        }
        let Some(frames) = frames else {
            return false;
        };
        let frames = frames.push(bytes);
        let mut money = false;
        for frame in frames {
            money |= pay_message(&frame).is_some() || frame.id() == Some(PIECE);
            let payee = self.nodes[from.0].payee;
            if let (Some(PIECE), Some(payee), Some(hash)) = (frame.id(), payee, hash) {
                let good = self.watch.is_content(hash, frame.payload());
                self.watch.books.block(node, payee, good);
            }
        }
        money && self.step_of(node)
    }

    /// The account of a node's key exits.
    pub fn exit(&mut self, id: NodeId) {
        let (account, now) = (self.account_of(id), self.now);
        self.vault.exit(account, now);
    }

    /// The account of a node's key.
    pub fn account_of(&self, id: NodeId) -> alloy_primitives::B256 {
        let node = &self.nodes[id.0];
        let key = node.key.as_ref().expect("a funded node");
        crate::vault::account_id(node.owner, key.address())
    }
}
