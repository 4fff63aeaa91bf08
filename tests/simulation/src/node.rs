//! One client with its edge's storage.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use piecework::client::{Client, Config, Event, StreamError};
use piecework::time::{Duration, Timestamp};
use piecework::types::{ConnectionId, InfoHash, StreamId, TrackerId, WebRequestId};

use crate::channel::Cheat;
use crate::disk::Disk;
use crate::puppet::Puppet;
use crate::tamper::Tamper;
use crate::vault::SessionKey;

/// One client of a net, over all its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// Effects asked for by one node in all its lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EffectCounts {
    /// Signatures.
    pub signs: u64,
    /// Reads of the chain.
    pub account_reads: u64,
    /// Records put.
    pub puts: u64,
    /// Flushes.
    pub flushes: u64,
    /// Bytes for the scratch file.
    pub scratch_bytes: u64,
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// With its last byte.
    Complete,
    /// Early.
    Failed(StreamError),
    /// The reader left.
    Closed,
}

/// Somebody who reads a file in order.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The torrent that the file is in.
    pub info_hash: InfoHash,
    /// Index of the file in its torrent.
    pub file: u32,
    /// Bytes wanted.
    pub range: Range<u64>,
    /// Next byte.
    pub position: u64,
    /// Bytes per second it takes; `None`: as fast as they come.
    pub pace: Option<u64>,
    /// When it was opened.
    pub opened: Timestamp,
    /// When its first bytes came; `None` before.
    pub first_bytes: Option<Timestamp>,
    /// Time it waited for bytes after its first ones.
    pub waited: Duration,
    /// Since when it has waited.
    pub(crate) pulled: Timestamp,
    /// Set at the end.
    pub end: Option<StreamEnd>,
}

/// Effects of one queue are carried out in the order in which they were emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Queue {
    Storage(InfoHash),
    Records,
}

pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) client: Option<Client>,
    /// Instead of a client.
    pub(crate) puppet: Option<Puppet>,
    /// Raised by each stop, so that events of an earlier life are dropped.
    pub(crate) life: u64,
    pub(crate) disk: Disk,
    /// It is busy this long with each effect, one after another; `None`: it takes them as they come.
    pub(crate) storage_busy: Option<Range<Duration>>,
    pub(crate) key: Option<SessionKey>,
    pub(crate) owner: Address,
    /// The configured payee, which redeems.
    pub(crate) payee: Option<Address>,
    pub(crate) cheat: Cheat,
    /// The changes that it makes to its payment messages.
    pub(crate) tamper: Option<Tamper>,
    pub(crate) wake: Timestamp,
    pub(crate) spins: u32,
    pub(crate) sockets: BTreeMap<TrackerId, String>,
    pub(crate) ends: BTreeMap<ConnectionId, (usize, usize)>,
    pub(crate) queues: BTreeMap<Queue, Timestamp>,
    /// Requests to web seeds under way.
    pub(crate) web: BTreeSet<WebRequestId>,
    /// Bytes per second.
    pub(crate) uplink: u64,
    pub(crate) uplink_free: Timestamp,
    pub(crate) events: Vec<(Timestamp, Event)>,
    pub(crate) readers: BTreeMap<StreamId, Reader>,
    pub(crate) effects: EffectCounts,
    pub(crate) next_tag: u64,
    pub(crate) next_stream: u64,
    pub(crate) connects: Vec<Timestamp>,
    pub(crate) announces: Vec<(Timestamp, String)>,
    pub(crate) offers_taken: Vec<Timestamp>,
    /// Block messages that a puppet sent, in bytes.
    pub(crate) blocks_to: BTreeMap<NodeId, u64>,
}

impl Node {
    pub(crate) fn new(config: Config, uplink: u64) -> Node {
        let payee = (config.payment.as_ref())
            .and_then(|p| p.sell.as_ref())
            .map(|sell| sell.payee);
        Node {
            config,
            client: None,
            puppet: None,
            life: 0,
            disk: Disk::default(),
            storage_busy: None,
            key: None,
            owner: Address::ZERO,
            payee,
            cheat: Cheat::Honest,
            tamper: None,
            wake: Timestamp::NEVER,
            spins: 0,
            sockets: BTreeMap::new(),
            ends: BTreeMap::new(),
            queues: BTreeMap::new(),
            web: BTreeSet::new(),
            uplink,
            uplink_free: Timestamp::ZERO,
            events: Vec::new(),
            readers: BTreeMap::new(),
            effects: EffectCounts::default(),
            next_tag: 1,
            next_stream: 1,
            connects: Vec::new(),
            announces: Vec::new(),
            offers_taken: Vec::new(),
            blocks_to: BTreeMap::new(),
        }
    }
}
