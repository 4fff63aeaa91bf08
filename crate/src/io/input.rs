//! Inputs: the edge's messages to the core, commands among them.

use alloy_primitives::{Address, B256};
use bytes::Bytes;

use super::config::{AddOptions, Limits, Priority};
use super::effect::{EffectError, EffectResult};
pub use crate::payment::payee::RedeemScope;
use crate::payment::receipts::Side;
use crate::types::{
    ConnectionId, EffectId, FineUnits, InfoHash, StreamId, TokenUnits, TrackerId, WebRequestId,
};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The time of the last [`super::Output::Timeout`] came.
    Tick,
    /// A wish of the page or the operator.
    Command(Command),
    /// A tracker's WebSocket opened.
    TrackerConnected {
        /// The tracker of [`super::Output::ConnectTracker`].
        tracker: TrackerId,
    },
    /// A tracker's WebSocket brought one message (text or binary, as bytes).
    TrackerMessage {
        /// The tracker that sent the message.
        tracker: TrackerId,
        /// Its payload.
        text: Bytes,
    },
    /// A tracker's WebSocket closed or could not be opened.
    TrackerClosed {
        /// The tracker that the edge has no socket to any more.
        tracker: TrackerId,
        /// The reason, for the log and the page.
        reason: String,
    },
    /// Answer to [`super::Output::CreateOffer`]: an SDP offer with its candidates gathered.
    OfferReady {
        /// The connection that [`super::Output::CreateOffer`] named.
        connection: ConnectionId,
        /// SDP.
        sdp: String,
    },
    /// Answer to [`super::Output::AcceptOffer`]: an SDP answer with its candidates gathered.
    AnswerReady {
        /// The connection that [`super::Output::AcceptOffer`] named.
        connection: ConnectionId,
        /// SDP.
        sdp: String,
    },
    /// The connection's data channel is open.
    ConnectionOpen {
        /// The connection that either side offered; the core named it.
        connection: ConnectionId,
        /// A hash of the remote network address, 0 if unknown. It serves only to tell peers of one address.
        address_hash: u64,
        /// The same of each address that the peer's own description names. They prove nothing, and are held against
        /// that peer alone. A peer with several addresses that was banned or is connected at one of them is known by it
        /// at the others.
        claimed: Vec<u64>,
    },
    /// The data channel brought bytes.
    Received {
        /// The connection whose remote sent them.
        connection: ConnectionId,
        /// One message's payload; boundaries mean nothing.
        bytes: Bytes,
    },
    /// The channel's `bufferedAmount` fell to the low-water mark or below.
    SendBuffer {
        /// The connection whose channel has drained that far.
        connection: ConnectionId,
        /// Bytes still buffered at the edge.
        buffered: u64,
    },
    /// The connection failed at any stage, or closed. Nothing more comes from it.
    ConnectionClosed {
        /// The connection that is over; its id is never used again.
        connection: ConnectionId,
        /// The reason, for the log and the page.
        reason: String,
    },
    /// A web seed began to answer [`super::Output::WebSeedGet`].
    WebSeedHead {
        /// The request that is answered.
        request: WebRequestId,
        /// Status and headers of the last answer, after redirects.
        head: WebSeedHead,
    },
    /// A web seed's answer goes on.
    WebSeedBytes {
        /// The request that is answered.
        request: WebRequestId,
        /// The next bytes of the body.
        bytes: Bytes,
    },
    /// A web seed's answer ended, or failed at any stage. Nothing more comes of this request.
    WebSeedEnd {
        /// The request that is over.
        request: WebRequestId,
        /// What went wrong, as the rest of a sentence that begins with the web seed's name; `None`: the body is over.
        error: Option<String>,
    },
    /// An [`super::Output::Effect`] ended.
    EffectDone {
        /// The number that [`super::Output::Effect`] carried.
        id: EffectId,
        /// The answer that belongs to the effect, or the reason why there is none.
        result: Result<EffectResult, EffectError>,
    },
}

/// The head of a web seed's answer, as far as the edge may see it: a page sees few headers of another origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSeedHead {
    /// HTTP status.
    pub status: u16,
    /// `Content-Range`.
    pub content_range: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<String>,
}

/// The wishes of the page or the operator.
#[derive(Clone, Debug)]
pub enum Command {
    /// Take up a torrent. Answered by [`super::Event::Added`] with the same tag.
    Add {
        /// Chosen by the caller.
        tag: u64,
        /// A magnet link, a .torrent file, or the hash of a torrent on record.
        source: Source,
        /// Settings of this torrent alone, such as its prices and further trackers.
        options: AddOptions,
    },
    /// Stop a torrent and forget it.
    Remove {
        /// The torrent; its readers get [`super::StreamError::NotFound`].
        info_hash: InfoHash,
        /// Delete its data and records too.
        delete_data: bool,
    },
    /// Close a torrent's connections and fetch nothing.
    Pause {
        /// The torrent; an unknown one is ignored.
        info_hash: InfoHash,
    },
    /// Undo [`Command::Pause`].
    Resume {
        /// The torrent; an unknown one is ignored.
        info_hash: InfoHash,
    },
    /// Fetch the whole torrent (`false`) or only what streams ask for (`true`).
    SetOnDemand {
        /// The torrent; an unknown one is ignored.
        info_hash: InfoHash,
        /// Whether only the pieces that readers ask for are fetched.
        on_demand: bool,
        /// The user chose so: later runs tell it by [`super::TorrentSnapshot::kept`], and fetch nothing because of it.
        remember: bool,
    },
    /// Fetch a torrent from this web seed too (BEP 19). One that is known already, or banned, stays as it is.
    AddWebSeed {
        /// The torrent; an unknown one is ignored.
        info_hash: InfoHash,
        /// `http://` or `https://`; another one is refused by [`super::Event::Warning`].
        url: String,
    },
    /// Fetch some files, or fetch them before others, or not at all. A choice is on record.
    SelectFiles {
        /// The torrent; an unknown one, or one without metadata, is ignored.
        info_hash: InfoHash,
        /// Indices of files; those that are not there are passed over.
        files: Vec<u32>,
        /// The priority of these files from now on.
        priority: Priority,
    },
    /// Close the connection with a peer, which may come again.
    ClosePeer {
        /// The torrent; an unknown one is ignored.
        info_hash: InfoHash,
        /// One of its peers; another one is ignored.
        connection: ConnectionId,
    },
    /// Replace the limits.
    SetLimits(Limits),
    /// Begin to read bytes of a file in order.
    OpenStream {
        /// Chosen by the edge, never reused.
        stream: StreamId,
        /// The torrent that the file is in; an unknown one ends the stream at once.
        info_hash: InfoHash,
        /// Index of the file.
        file: u32,
        /// First byte.
        offset: u64,
        /// Bytes wanted in all.
        length: u64,
        /// It is a player's, which reads ahead by itself, and goes on by another read: [`Command::Play`] holds it.
        /// Another read fetches nothing beyond its end, and where nothing else is fetched only a part of that ahead.
        plays: bool,
    },
    /// A player shows a file from this place on, and its reads fetch no more ahead than it needs.
    Play {
        /// The torrent; an unknown one is ignored.
        info_hash: InfoHash,
        /// Chosen by the edge, one for each player.
        player: u64,
        /// Where it is; `None`: it plays no more.
        head: Option<Playhead>,
    },
    /// The reader has room for one more chunk (at most 256 KiB).
    PullStream {
        /// The stream that [`Command::OpenStream`] named.
        stream: StreamId,
    },
    /// The reader is gone.
    CloseStream {
        /// The stream that [`Command::OpenStream`] named; one that ended is ignored.
        stream: StreamId,
    },
    /// Buy from this account: after a deposit, or at start.
    SetAccount {
        /// Depositor.
        owner: Address,
        /// Address of the session key that [`super::Effect::Sign`] signs with.
        session_key: Address,
    },
    /// The account has more money, or less: read it again now.
    RefreshAccount,
    /// Sell nothing more in this run, because the vault gives a seller too little time to redeem.
    StopSelling,
    /// Another dust limit, in place of [`super::SellConfig::dust`]: the edge read what gas costs now.
    SetDust {
        /// The least worth of a claim that is redeemed by itself.
        dust: TokenUnits,
        /// The worth of the gas of one further claim in a batch: nothing smaller is sold.
        item_gas: TokenUnits,
    },
    /// Replace the hard cap on spending.
    SetBudget {
        /// Everything that the account spent so far and spends from now on stays at or below this; another account
        /// begins at 0.
        total: TokenUnits,
    },
    /// The most paid per block for one torrent; zero takes only free peers.
    SetMaxPrice {
        /// The torrent; an unknown one is ignored.
        info_hash: InfoHash,
        /// Fine units per block.
        max_price: FineUnits,
    },
    /// Selling price per block for one torrent; zero is free.
    SetPrice {
        /// The torrent; an unknown one is ignored.
        info_hash: InfoHash,
        /// Fine units per block.
        price: FineUnits,
    },
    /// Close ranges durably and hand out their claims by [`super::Event::ClaimsReady`].
    PrepareRedeem(RedeemScope),
    /// Only the first of the claims handed out by [`super::Event::ClaimsReady`] are sent, and [`Command::Redeemed`]
    /// answers for them later; the others can be redeemed again.
    ReturnClaims {
        /// The tag of the [`super::Event::ClaimsReady`] that handed them out.
        tag: u64,
        /// How many are sent.
        sent: usize,
    },
    /// The end of the claims handed out by [`super::Event::ClaimsReady`].
    Redeemed {
        /// The tag of the [`super::Event::ClaimsReady`] that handed them out.
        tag: u64,
        /// How it went.
        outcome: RedeemOutcome,
    },
    /// Gas was paid for a transaction of this client's: it goes into [`crate::client::Client::receipts`], once, however
    /// many pages saw the transaction's end.
    NoteFee {
        /// The side that it was paid for: a deposit is the buyer's, a redemption the seller's.
        side: Side,
        /// Its hash.
        transaction: B256,
        /// In the smallest unit of the chain's coin.
        amount: u128,
    },
    /// Delete all receipts. What is owed, held and redeemed stays as it is.
    ClearReceipts,
    /// The network went away (`false`) or came back (`true`).
    Online(bool),
    /// Say goodbye and make everything durable; ends with [`super::Event::ShutDown`].
    Shutdown,
}

/// The place that a player shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Playhead {
    /// Index of the file.
    pub file: u32,
    /// The byte where it is, if all parts of the film have one bit rate.
    pub position: u64,
    /// Bytes of the file per second of playing.
    pub rate: u64,
    /// It stands still, because it lacks data.
    pub starved: bool,
}

/// The name of a torrent.
#[derive(Clone, Debug)]
pub enum Source {
    /// A magnet link (BEP 9), or a bare info hash in hexadecimal or base32, which is the same as [`Source::Stored`].
    Magnet(String),
    /// The bytes of a .torrent file (BEP 3).
    Torrent(Bytes),
    /// A torrent whose info dictionary is in the records, by its hash. A torrent that is not in the records is fetched,
    /// if trackers are given.
    Stored(InfoHash),
}

/// The end of a redemption.
#[derive(Clone, Debug)]
pub enum RedeemOutcome {
    /// The transaction is in a block: the indices (into the claims) that paid, and the sum that was paid per index.
    Mined {
        /// `(index, token units paid)` of every `Redeemed` event.
        paid: Vec<(u32, TokenUnits)>,
        /// `(index, reason)` of every `Skipped` event.
        skipped: Vec<(u32, u8)>,
    },
    /// Nothing was sent, or it reverted: the claims stay redeemable.
    Failed {
        /// The reason, for the page.
        reason: String,
    },
    /// It may have been sent, and is in no block that was seen: the claims stay redeemable. If their serials are
    /// consumed later, this transaction did it.
    Unknown {
        /// The reason, for the page.
        reason: String,
    },
}
