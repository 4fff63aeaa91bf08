//! The two payment machines as a torrent sees them: what may be asked of a peer, what may be sent to it.
//!
//! Owns the machines of one client. With none configured every peer is a plain BitTorrent peer, and
//! nothing here ever asks for a signature or a chain.

use alloy_primitives::B256;

use crate::paying::{Paid, Paying};
use crate::payment::payee::Payee;
use crate::payment::payer::{Begun, Payer, PayerConnState};
use crate::payment::{PayAction, PaymentNeed, PeerPayInfo, TitleKind};
use crate::sorted::{Map, Set};
use crate::time::Timestamp;
use crate::types::{BlockRef, ConnectionId, FineUnits, InfoHash, PieceIndex};
use crate::verify::Payable;
use crate::wire::pay::{PayMessage, PayMessageError, Recipient};

/// How blocks are asked of a peer now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buying {
    /// For nothing, when it unchokes us.
    Free,
    /// Not now: a range is being agreed on, and what would be asked now might be charged.
    Wait,
    /// For money: so many more requests may go out.
    Paid(u32),
}

/// Which machine an action comes from.
#[derive(Debug)]
pub enum MoneyAction {
    /// Buying.
    Payer(PayAction),
    /// Selling.
    Payee(PayAction),
}

/// What passed on one connection.
#[derive(Debug, Clone, Default)]
struct Traffic {
    asked: FineUnits,
    bought: (u64, FineUnits),
    sold: (u64, FineUnits),
    note: String,
}

/// The client's two machines, each only if it is configured, and what passed on each connection.
#[derive(Debug, Default)]
pub struct Money {
    /// Buying.
    pub payer: Option<Paid<Payer>>,
    /// Selling.
    pub payee: Option<Paid<Payee>>,
    traffic: Map<ConnectionId, Paid<Traffic>>,
}

impl Money {
    /// Both extension handshakes are in; `price` is what a block of this torrent costs here.
    pub fn connected(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        info: PeerPayInfo,
        price: FineUnits,
    ) {
        if let Some(paying) = Paying::HERE {
            let traffic = self.traffic.entry(conn);
            let traffic = traffic.or_insert_with(|| Paid::new(paying, Traffic::default()));
            traffic.asked = price;
        }
        if let Some(payee) = &mut self.payee {
            payee.connected(now, conn, info.clone(), price);
        }
        if let Some(payer) = &mut self.payer {
            payer.connected(now, conn, info);
        }
    }

    /// The connection is gone.
    pub fn disconnected(&mut self, now: Timestamp, conn: ConnectionId) {
        self.traffic.remove(&conn);
        if let Some(payer) = &mut self.payer {
            payer.disconnected(now, conn);
        }
        if let Some(payee) = &mut self.payee {
            payee.disconnected(now, conn);
        }
    }

    /// One `pw_pay` message came. A client that neither buys nor sells does not read it.
    pub fn message(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        payload: &[u8],
    ) -> Result<(), PayMessageError> {
        if self.payer.is_none() && self.payee.is_none() {
            return Ok(());
        }
        let Some(message) = PayMessage::decode(payload)? else {
            return Ok(());
        };
        let recipient = message.recipient();
        if recipient != Recipient::Payee
            && let Some(payer) = &mut self.payer
        {
            payer.message(now, conn, message);
        }
        if recipient != Recipient::Payer
            && let Some(payee) = &mut self.payee
        {
            payee.message(now, conn, message);
        }
        Ok(())
    }

    /// Whether the torrent would buy from this peer, and for how much a block at most.
    pub fn want(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        kind: TitleKind,
        wanted: bool,
        max_price: FineUnits,
    ) {
        if let Some(payer) = &mut self.payer {
            payer.want(now, conn, kind, wanted, max_price);
        }
    }

    /// How blocks are asked of this peer now.
    pub fn buying(&self, conn: ConnectionId) -> Buying {
        let Some(payer) = &self.payer else {
            return Buying::Free;
        };
        match payer.status(conn) {
            PayerConnState::Attached => Buying::Paid(payer.may_request(conn)),
            PayerConnState::Opening => Buying::Wait,
            PayerConnState::NoDeal
            | PayerConnState::AwaitingTerms
            | PayerConnState::Quoted(_)
            | PayerConnState::Ended(_) => Buying::Free,
        }
    }

    /// See [`Payer::is_of_use`].
    pub fn is_of_use(&self, conn: ConnectionId) -> bool {
        self.payer.as_ref().is_some_and(|p| p.is_of_use(conn))
    }

    /// See [`Payer::is_wanted`].
    pub fn is_wanted(&self, conn: ConnectionId) -> bool {
        self.payer.as_ref().is_some_and(|p| p.is_wanted(conn))
    }

    /// See [`Payer::wait_for`].
    pub fn wait_for(&mut self, now: Timestamp, conn: ConnectionId, lacking: bool) -> Timestamp {
        let payer = self.payer.as_mut();
        payer.map_or(Timestamp::NEVER, |p| p.wait_for(now, conn, lacking))
    }

    /// The price it names, per block; `None` if it names none.
    pub fn price(&self, conn: ConnectionId) -> Option<FineUnits> {
        self.payer.as_ref()?.price(conn)
    }

    /// See [`Payer::is_foreign`].
    pub fn is_foreign(&self, conn: ConnectionId) -> bool {
        self.payer.as_ref().is_some_and(|p| p.is_foreign(conn))
    }

    /// A request went out.
    pub fn request_sent(&mut self, conn: ConnectionId) {
        if let Some(payer) = &mut self.payer {
            payer.request_sent(conn);
        }
    }

    /// A request ended without its block.
    pub fn request_ended(&mut self, conn: ConnectionId) {
        if let Some(payer) = &mut self.payer {
            payer.request_ended_without_block(conn);
        }
    }

    /// A block came that is asked for, or was before it was taken back.
    pub fn block_received(&mut self, conn: ConnectionId, block: BlockRef, asked: bool) {
        match &mut self.payer {
            Some(payer) if asked => payer.block_received(conn, block),
            Some(payer) => payer.taken_back_received(conn, block),
            None => {}
        }
    }

    /// A block may be paid for. `true`: it will be; `false`: it was free, or paid in advance, or may not
    /// be advanced.
    pub fn payable(&mut self, now: Timestamp, conn: ConnectionId, payable: Payable) -> bool {
        self.payer
            .as_mut()
            .is_some_and(|payer| payer.payable(now, conn, payable))
    }

    /// Blocks turned out to be wrong.
    pub fn blocks_invalid(&mut self, now: Timestamp, conn: ConnectionId, blocks: &[BlockRef]) {
        if let Some(payer) = &mut self.payer {
            payer.block_invalid(now, conn, blocks);
        }
    }

    /// What is in storage of the pieces that earlier runs paid for in advance.
    pub fn restored(
        &mut self,
        now: Timestamp,
        torrent: InfoHash,
        begun: impl Fn(PieceIndex) -> Begun,
    ) {
        if let Some(payer) = &mut self.payer {
            payer.restored(now, torrent, begun);
        }
    }

    /// A piece was hashed that may be one of them.
    pub fn restored_judged(
        &mut self,
        now: Timestamp,
        torrent: InfoHash,
        piece: PieceIndex,
        good: bool,
    ) {
        if let Some(payer) = &mut self.payer {
            payer.restored_judged(now, torrent, piece, good);
        }
    }

    /// How many blocks of the oldest incomplete piece should be paid in advance.
    pub fn needs_advance(&self, conn: ConnectionId) -> u32 {
        self.payer
            .as_ref()
            .and_then(|p| p.needs_advance(conn))
            .unwrap_or(0)
    }

    /// See [`Payer::thrown_away`].
    pub fn thrown_away(&mut self, now: Timestamp, conn: ConnectionId, block: BlockRef) {
        if let Some(payer) = &mut self.payer {
            payer.thrown_away(now, conn, &[block]);
        }
    }

    /// See [`Payer::staked`].
    pub fn staked(&self, torrent: InfoHash) -> (Set<u32>, bool) {
        let payer = self.payer.as_ref();
        payer.map_or_else(Default::default, |p| p.staked(torrent))
    }

    /// The peer pays for what it gets.
    pub fn is_paying(&self, conn: ConnectionId) -> bool {
        self.payee.as_ref().is_some_and(|p| p.is_paying(conn))
    }

    /// See [`Payee::is_unchoked`].
    pub fn has_place(&self, conn: ConnectionId) -> bool {
        self.payee.as_ref().is_some_and(|p| p.is_unchoked(conn))
    }

    /// One more block may be sent to this paying peer.
    pub fn may_send(&self, conn: ConnectionId) -> bool {
        self.payee.as_ref().is_some_and(|p| p.may_send(conn))
    }

    /// A block is being sent.
    pub fn block_written(&mut self, now: Timestamp, conn: ConnectionId) {
        if let Some(payee) = &mut self.payee {
            payee.block_written(now, conn);
        }
    }

    /// A block costs this much from now on on this connection.
    pub fn set_price(&mut self, now: Timestamp, conn: ConnectionId, price: FineUnits) {
        let Some(traffic) = self.traffic.get_mut(&conn) else {
            return;
        };
        if traffic.asked != price {
            traffic.asked = price;
            if let Some(payee) = &mut self.payee {
                payee.set_price_on(now, conn, price);
            }
        }
    }

    /// What is bought and sold on this connection has this id from now on.
    pub fn set_content(&mut self, now: Timestamp, conn: ConnectionId, content: B256) {
        if let Some(payee) = &mut self.payee {
            payee.set_content_on(now, conn, content);
        }
        if let Some(payer) = &mut self.payer {
            payer.set_content(now, conn, content);
        }
    }

    /// Blocks were paid to a peer.
    pub fn note_paid(&mut self, conn: ConnectionId, blocks: u32, price: FineUnits) {
        if let Some(traffic) = self.traffic.get_mut(&conn) {
            traffic.bought.0 += u64::from(blocks);
            traffic.bought.1.0 += u128::from(blocks) * price.0;
        }
    }

    /// Blocks were paid by a peer.
    pub fn note_earned(&mut self, conn: ConnectionId, blocks: u32, price: FineUnits) {
        if let Some(traffic) = self.traffic.get_mut(&conn) {
            traffic.sold.0 += u64::from(blocks);
            traffic.sold.1.0 += u128::from(blocks) * price.0;
        }
    }

    /// Why nothing is bought from a peer, a full sentence.
    pub fn note_why(&mut self, conn: ConnectionId, why: String) {
        if let Some(traffic) = self.traffic.get_mut(&conn) {
            traffic.note = why;
        }
    }

    /// Blocks bought on this connection, and what was paid for them.
    pub fn paid_to(&self, conn: ConnectionId) -> (u64, FineUnits) {
        self.traffic
            .get(&conn)
            .map(|a| a.bought)
            .unwrap_or_default()
    }

    /// Blocks sold on this connection, and what was earned with them.
    pub fn earned_from(&self, conn: ConnectionId) -> (u64, FineUnits) {
        self.traffic.get(&conn).map(|a| a.sold).unwrap_or_default()
    }

    /// Why nothing is bought from a peer; empty if there is nothing to say.
    pub fn buying_note(&self, conn: ConnectionId) -> String {
        self.traffic
            .get(&conn)
            .map(|a| a.note.clone())
            .unwrap_or_default()
    }

    /// What a block costs a peer here, if prices are spoken of with it.
    pub fn asked(&self, conn: ConnectionId) -> Option<FineUnits> {
        self.traffic.get(&conn).map(|a| a.asked)
    }

    /// All that came in with one input is in.
    pub fn end_of_batch(&mut self, now: Timestamp) {
        if let Some(payer) = &mut self.payer {
            payer.end_of_batch(now);
        }
        if let Some(payee) = &mut self.payee {
            payee.end_of_batch(now);
        }
    }

    /// The time came.
    pub fn tick(&mut self, now: Timestamp) {
        if let Some(payer) = &mut self.payer {
            payer.tick(now);
        }
        if let Some(payee) = &mut self.payee {
            payee.tick(now);
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<MoneyAction> {
        let payee = self.payee.as_mut().and_then(|payee| payee.poll());
        payee.map(MoneyAction::Payee).or_else(|| {
            let payer = self.payer.as_mut().and_then(|payer| payer.poll());
            payer.map(MoneyAction::Payer)
        })
    }

    /// When something is due.
    pub fn next_timeout(&self) -> Timestamp {
        let payer = self.payer.as_ref().map(|payer| payer.next_timeout());
        let payee = self.payee.as_ref().map(|payee| payee.next_timeout());
        payer
            .into_iter()
            .chain(payee)
            .min()
            .unwrap_or(Timestamp::NEVER)
    }

    /// Why nothing new can be bought until the user does something about the account.
    pub fn payment_need(&self) -> Option<PaymentNeed> {
        self.payer.as_ref()?.payment_need()
    }
}
