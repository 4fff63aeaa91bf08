//! Everything on its way out, and who waits for which effect.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::io::{Effect, Event, Output, StorageOp};
use crate::metainfo::FileSpan;
use crate::payment::PayEffect;
use crate::sorted::Map;
use crate::types::{
    BlockRef, ConnectionId, Durability, EffectId, InfoHash, PieceIndex, StreamId, WebRequestId,
};

/// Requests to web seeds under way, over all torrents.
const MAX_WEB_REQUESTS: usize = 16;
/// One torrent has at most so many of them for each that is left to the others: 12 if it is the only one, and fewer the
/// more torrents ask. So a torrent that has none finds room while another asks as fast as it can.
const WEB_REQUESTS_PER_FREE: usize = 3;

/// Who an effect's end is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectOwner {
    /// A torrent.
    Torrent(InfoHash, Purpose),
    /// The buying machine.
    Payer(PayEffect),
    /// The selling machine.
    Payee(PayEffect),
    /// The client's look at the account that pays.
    Account,
    /// The account of what was bought and sold.
    Receipts,
    /// Nobody: a record whose loss only costs a repeat.
    Nobody,
}

/// What a torrent's effect was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Storage opens.
    Open,
    /// A piece in the files is hashed again.
    CheckPiece(PieceIndex),
    /// Blocks come back from the scratch file.
    RestoreScratch(PieceIndex),
    /// A complete piece is hashed.
    HashPiece(PieceIndex),
    /// A verified piece is written.
    WritePiece(PieceIndex),
    /// Blocks go to the scratch file, in this durability cycle.
    WriteScratch(u64),
    /// This durability cycle's flush.
    Flush(u64),
    /// This durability cycle's record.
    Record(u64),
    /// Neighbouring blocks are read for a remote.
    ReadBlocks(ConnectionId, Vec<BlockRef>),
    /// A late block of a paid peer is compared with what is stored.
    CompareBlock(ConnectionId, BlockRef, Bytes),
    /// Bytes are read for a stream.
    ReadStream(StreamId),
    /// Storage closes.
    Close,
}

/// The queue of outputs.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Output>,
    owners: Map<EffectId, EffectOwner>,
    records: Map<String, Bytes>,
    next: u64,
    /// Requests to web seeds under way, with their torrents, ...
    web: Map<WebRequestId, InfoHash>,
    /// ... and those that ever were.
    next_web: u64,
}

impl Outbox {
    /// An outbox that knows the records as they were restored.
    pub fn new(records: Map<String, Bytes>) -> Self {
        Outbox {
            records,
            ..Outbox::default()
        }
    }

    /// Queues an output.
    pub fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    /// Queues an event.
    pub fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    /// Queues work.
    pub fn effect(&mut self, owner: EffectOwner, effect: Effect) -> EffectId {
        let id = EffectId(self.next);
        self.next += 1;
        self.owners.insert(id, owner);
        self.push(Output::Effect { id, effect });
        id
    }

    /// Queues work on a torrent's files.
    pub fn storage(&mut self, info_hash: InfoHash, purpose: Purpose, op: StorageOp) {
        let owner = EffectOwner::Torrent(info_hash, purpose);
        self.effect(owner, Effect::Storage { info_hash, op });
    }

    /// Puts records, which [`Outbox::record`] answers from now on.
    pub fn put_records(
        &mut self,
        owner: EffectOwner,
        records: Vec<(String, Option<Bytes>)>,
        durability: Durability,
    ) {
        for (key, value) in &records {
            match value {
                Some(value) => self.records.insert(key.clone(), value.clone()),
                None => self.records.remove(key),
            };
        }
        self.effect(
            owner,
            Effect::PutRecords {
                records,
                durability,
            },
        );
    }

    /// The newest value put under a torrent's key.
    pub fn record(&self, key: &str) -> Option<&Bytes> {
        self.records.get(key)
    }

    /// All keys that begin so.
    pub fn record_keys<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.records
            .range(prefix.to_owned()..)
            .map(|(key, _)| key.as_str())
            .take_while(move |key| key.starts_with(prefix))
    }

    /// Who waits for this effect; each is answered once.
    pub fn take_owner(&mut self, id: EffectId) -> Option<EffectOwner> {
        self.owners.remove(&id)
    }

    /// Whether this torrent may ask a web seed for something more now.
    pub fn has_web_room(&self, info_hash: InfoHash) -> bool {
        let own = self.web.values().filter(|asks| **asks == info_hash).count();
        let free = MAX_WEB_REQUESTS.saturating_sub(self.web.len());
        own < free * WEB_REQUESTS_PER_FREE
    }

    /// Asks a web seed for a part of a file. `None`: there is no room, see [`Outbox::has_web_room`]. The caller answers
    /// for the end of each request, by [`Outbox::web_cancel`] or [`Outbox::web_ended`].
    pub fn web_get(
        &mut self,
        info_hash: InfoHash,
        url: String,
        (first, last): (u64, u64),
        given: bool,
    ) -> Option<WebRequestId> {
        if !self.has_web_room(info_hash) {
            return None;
        }
        let request = WebRequestId(self.next_web);
        self.next_web += 1;
        self.web.insert(request, info_hash);
        self.push(Output::WebSeedGet {
            request,
            url,
            first,
            last,
            given,
        });
        Some(request)
    }

    /// Ends a request to a web seed.
    pub fn web_cancel(&mut self, request: WebRequestId) {
        self.web_ended(request);
        self.push(Output::WebSeedCancel { request });
    }

    /// A request to a web seed ended by itself.
    pub fn web_ended(&mut self, request: WebRequestId) {
        self.web.remove(&request);
    }

    /// A torrent goes away: nobody waits for its effects any more, also not one that takes its place.
    pub fn forget(&mut self, info_hash: InfoHash) {
        self.owners.retain(
            |_, owner| !matches!(owner, EffectOwner::Torrent(hash, _) if *hash == info_hash),
        );
    }

    /// An effect of this kind is under way.
    pub fn waits_for(&self, test: impl Fn(&EffectOwner) -> bool) -> bool {
        self.owners.values().any(test)
    }

    /// Effects under way.
    pub fn effects(&self) -> usize {
        self.owners.len()
    }

    /// Outputs that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The next output.
    pub fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }
}

/// Sum of the spans' lengths.
pub fn spans_len(spans: &[FileSpan]) -> u64 {
    spans.iter().map(|s| s.length).sum()
}
