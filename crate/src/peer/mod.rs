//! One remote: what it said, what is asked of it, what it asks, what waits to be sent to it.
//!
//! Owns no policy and knows no other peer. Everything a remote can make grow has a bound here.

mod asked;
pub mod choke;
mod queues;
mod rate;
mod sending;
mod serving;
mod uplink;

use bytes::Bytes;

use crate::bitfield::Bitfield;
use crate::sorted::Set;
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, PeerId};
use crate::wire::{Decoder, ExtendedHandshake, Handshake, Message};

pub use asked::Asked;
pub use queues::SendQueues;
pub use rate::{Rate, TokenBucket};
pub use sending::SendQueue;
pub use serving::{MAX_REQUESTS_IN, Serving, Taken};
pub use uplink::Uplink;

/// Requests out to a remote that names no `reqq` (BEP 10 suggests 250 as libtorrent's default).
const DEFAULT_REQQ: u32 = 250;
/// `have` messages kept before the metadata is there.
const MAX_EARLY_HAVES: usize = 16_384;
/// A remote must have finished its handshake by then.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// A remote that says nothing for so long is gone (BEP 3: keep-alives every two minutes).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(180);
/// We say something at least so often.
pub const KEEP_ALIVE: Duration = Duration::from_secs(90);
/// A remote that owes blocks and sends none for so long is snubbing us.
pub const SNUB_TIMEOUT: Duration = Duration::from_secs(30);
/// Who sends fewer bytes a second is slow: half a block.
pub const SLOW_BELOW: u64 = 8 * 1024;

/// Who a remote is: the id that it gives itself, where it gives it. The id alone proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// By its own word.
    pub id: PeerId,
    /// See [`Peer::address_hash`].
    pub address_hash: u64,
}

/// What a remote said that it has before the number of pieces was known, unchecked.
#[derive(Debug, Default)]
pub struct EarlyHaves {
    /// `have all` (BEP 6).
    pub all: bool,
    /// `bitfield`.
    pub bitfield: Option<Bytes>,
    /// `have`s.
    pub haves: Set<u32>,
}

impl EarlyHaves {
    /// Notes a `have`. `false`: too many before the metadata.
    #[must_use]
    pub fn note(&mut self, piece: u32) -> bool {
        self.haves.insert(piece);
        self.haves.len() <= MAX_EARLY_HAVES
    }

    /// The number of pieces is known now. `None`: what was said was nonsense.
    pub fn resolve(&self, pieces: u32) -> Option<Bitfield> {
        let mut bits = match &self.bitfield {
            Some(bytes) => Bitfield::from_bytes(bytes, pieces).ok()?,
            None => Bitfield::empty(pieces),
        };
        if self.all {
            bits = Bitfield::full(pieces);
        }
        for piece in &self.haves {
            if *piece >= pieces {
                return None;
            }
            bits.insert(*piece);
        }
        Some(bits)
    }
}

/// How far the connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeStage {
    /// Our handshake is out, theirs is not in.
    Handshaking,
    /// Messages flow.
    Active,
}

/// One remote.
#[derive(Debug)]
pub struct Peer {
    /// Its connection.
    pub connection: ConnectionId,
    /// Tells peers of one network address; 0 if unknown.
    pub address_hash: u64,
    /// The same of the addresses that it says it has.
    pub claimed: Vec<u64>,
    /// The connection that it has besides: this one ends.
    pub double_of: Option<ConnectionId>,
    /// See [`HandshakeStage`].
    pub stage: HandshakeStage,
    /// Since when.
    pub opened_at: Timestamp,
    /// Its peer id, once its handshake is in.
    pub id: Option<PeerId>,
    /// It speaks the fast extension (BEP 6).
    pub fast: bool,
    /// It speaks the extension protocol (BEP 10).
    pub extended: bool,
    /// Its extension handshake.
    pub extensions: Option<ExtendedHandshake>,
    /// What it said that it has. `None`: the picker knows what it has.
    pub early: Option<EarlyHaves>,
    /// It has something that we want and do not have.
    pub useful: bool,
    /// It chokes us.
    pub peer_choking: bool,
    /// We choke it.
    pub am_choking: bool,
    /// It wants something of ours.
    pub peer_interested: bool,
    /// We told it that we want something of its.
    pub am_interested: bool,
    /// Pieces that we may ask for while choked (BEP 6).
    pub allowed_fast: Set<u32>,
    /// What is asked of it.
    pub asked: Asked,
    /// What it asks of us.
    pub serving: Serving,
    /// Block bytes received.
    pub down: Rate,
    /// Block bytes handed to the edge.
    pub up: Rate,
    /// When it last sent anything.
    pub last_received: Timestamp,
    /// When blocks last passed in either direction, or when it came.
    pub of_use_at: Timestamp,
    /// It announced itself as a payee or payer to the payment machines.
    pub in_payments: bool,
    decoder: Decoder,
}

impl Peer {
    /// A remote whose channel has just opened.
    pub fn new(connection: ConnectionId, address_hash: u64, now: Timestamp) -> Peer {
        Peer {
            connection,
            address_hash,
            claimed: Vec::new(),
            double_of: None,
            stage: HandshakeStage::Handshaking,
            opened_at: now,
            id: None,
            fast: false,
            extended: false,
            extensions: None,
            early: Some(EarlyHaves::default()),
            useful: false,
            peer_choking: true,
            am_choking: true,
            peer_interested: false,
            am_interested: false,
            allowed_fast: Set::new(),
            asked: Asked::new(now),
            serving: Serving::new(now),
            down: Rate::default(),
            up: Rate::default(),
            last_received: now,
            of_use_at: now,
            in_payments: false,
            decoder: Decoder::new(),
        }
    }

    /// Takes received bytes.
    pub fn push(&mut self, now: Timestamp, bytes: Bytes) -> Result<(), crate::wire::WireError> {
        self.last_received = now;
        self.decoder.push(bytes)
    }

    /// Who it is, once its handshake is in.
    pub fn identity(&self) -> Option<Identity> {
        let address_hash = self.address_hash;
        self.id.map(|id| Identity { id, address_hash })
    }

    /// Whoever it would be at the addresses that it has or says it has: only to its own disadvantage.
    pub fn identities(&self, id: PeerId) -> impl Iterator<Item = Identity> {
        let claimed = self.claimed.iter().copied();
        let all = core::iter::once(self.address_hash).chain(claimed);
        all.map(move |address_hash| Identity { id, address_hash })
    }

    /// It delivers, and not next to nothing.
    pub fn delivers(&self, now: Timestamp) -> bool {
        !self.peer_choking && self.down.per_second(now) >= SLOW_BELOW
    }

    /// It exchanged blocks with us, in either direction.
    pub fn was_of_use(&mut self, now: Timestamp) {
        self.of_use_at = now;
    }

    /// Bytes received and not decoded yet.
    pub fn undecoded_bytes(&self) -> usize {
        self.decoder.buffered_len()
    }

    /// The remote's handshake, when it is in.
    pub fn next_handshake(&mut self) -> Result<Option<Handshake>, crate::wire::WireError> {
        self.decoder.next_handshake()
    }

    /// The next whole message.
    pub fn next_message(&mut self) -> Result<Option<Message>, crate::wire::WireError> {
        self.decoder.next_message()
    }

    /// It sent a block that is asked of it, or was before it was taken back. `owes`: other blocks are still out to it.
    pub fn sent_block(&mut self, now: Timestamp, asked: bool, sold: bool, owes: bool) {
        self.was_of_use(now);
        self.asked.sent_block(now, asked, sold, owes);
    }

    /// How many requests should be out to keep its link busy.
    pub fn requests_wanted(&self, now: Timestamp) -> usize {
        let reqq = self.extensions.as_ref().and_then(|e| e.reqq);
        let reqq = reqq.unwrap_or(DEFAULT_REQQ).max(1) as usize;
        self.asked.wanted(self.down.per_second(now), reqq)
    }

    /// Until when a seller has time to answer the requests that its choke voided. Before, it is asked for nothing.
    /// Without BEP 6 it answers none of them.
    pub fn answers_by(&self) -> Timestamp {
        match self.fast {
            true => self.asked.answers_by(),
            false => Timestamp::ZERO,
        }
    }

    /// The id under which it understands an extension.
    pub fn extension_id(&self, name: &str) -> Option<u8> {
        self.extensions.as_ref()?.id_of(name)
    }

    /// When something about it is due even if nothing happens. `owes`: blocks are out to it; `sent`: when we last sent
    /// anything.
    pub fn next_timeout(&self, owes: bool, sent: Timestamp) -> Timestamp {
        if self.stage == HandshakeStage::Handshaking {
            return self.opened_at + HANDSHAKE_TIMEOUT;
        }
        let mut at = (self.last_received + IDLE_TIMEOUT).min(sent + KEEP_ALIVE);
        if owes {
            at = at.min(self.asked.snubs_at());
        }
        at
    }
}
