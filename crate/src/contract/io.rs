//! The contract between the core and an edge: every input, every output, every effect.

use alloy_primitives::{Address, B256, U256};
use bytes::Bytes;

use super::config::{AddOptions, Limits};
use crate::metainfo::FileSpan;
pub use crate::payment::ChainState as AccountState;
pub use crate::payment::PaymentNeed;
pub use crate::payment::voucher::{Signature, abi::Claim};
use crate::time::{Duration, Timestamp};
use crate::types::{ConnectionId, EffectId, FineUnits, InfoHash, StreamId, TokenUnits, TrackerId};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The time of the last [`Output::Timeout`] came.
    Tick,
    /// The page or the operator wants something.
    Command(Command),
    /// A tracker's WebSocket opened.
    TrackerConnected {
        /// Which.
        tracker: TrackerId,
    },
    /// A tracker's WebSocket brought one message (text or binary, as bytes).
    TrackerMessage {
        /// Which.
        tracker: TrackerId,
        /// Its payload.
        text: Bytes,
    },
    /// A tracker's WebSocket closed or could not be opened.
    TrackerClosed {
        /// Which.
        tracker: TrackerId,
        /// Why, for the log and the page.
        reason: String,
    },
    /// Answer to [`Output::CreateOffer`]: an SDP offer with its candidates gathered.
    OfferReady {
        /// Which.
        connection: ConnectionId,
        /// SDP.
        sdp: String,
    },
    /// Answer to [`Output::AcceptOffer`]: an SDP answer with its candidates gathered.
    AnswerReady {
        /// Which.
        connection: ConnectionId,
        /// SDP.
        sdp: String,
    },
    /// The connection's data channel is open.
    ConnectionOpen {
        /// Which.
        connection: ConnectionId,
        /// A hash of the remote network address, 0 if unknown: serves only to tell peers of one address.
        address_hash: u64,
        /// The same of each address that the peer's own description names. They prove nothing, and are held against it alone: a
        /// peer with several addresses that was banned or is connected at one of them is known by it at the others.
        claimed: Vec<u64>,
    },
    /// The data channel brought bytes.
    Received {
        /// Which.
        connection: ConnectionId,
        /// One message's payload; boundaries mean nothing.
        bytes: Bytes,
    },
    /// The channel's `bufferedAmount` fell to the low-water mark or below.
    SendBuffer {
        /// Which.
        connection: ConnectionId,
        /// Bytes still buffered at the edge.
        buffered: u64,
    },
    /// The connection failed at any stage, or closed. Nothing more comes from it.
    ConnectionClosed {
        /// Which.
        connection: ConnectionId,
        /// Why, for the log and the page.
        reason: String,
    },
    /// An [`Output::Effect`] ended.
    EffectDone {
        /// Which.
        id: EffectId,
        /// How.
        result: Result<EffectResult, EffectError>,
    },
}

/// What the page or the operator may want.
#[derive(Clone, Debug)]
pub enum Command {
    /// Take up a torrent. Answered by [`Event::Added`] with the same tag.
    Add {
        /// Chosen by the caller.
        tag: u64,
        /// What.
        source: Source,
        /// How.
        options: AddOptions,
    },
    /// Stop a torrent and forget it.
    Remove {
        /// Which.
        info_hash: InfoHash,
        /// Delete its data and records too.
        delete_data: bool,
    },
    /// Close a torrent's connections and fetch nothing.
    Pause {
        /// Which.
        info_hash: InfoHash,
    },
    /// Undo [`Command::Pause`].
    Resume {
        /// Which.
        info_hash: InfoHash,
    },
    /// Fetch the whole torrent (`false`) or only what streams ask for (`true`).
    SetOnDemand {
        /// Which.
        info_hash: InfoHash,
        /// See above.
        on_demand: bool,
    },
    /// Replace the limits.
    SetLimits(Limits),
    /// Begin to read bytes of a file in order.
    OpenStream {
        /// Chosen by the edge, never reused.
        stream: StreamId,
        /// Which torrent.
        info_hash: InfoHash,
        /// Index of the file.
        file: u32,
        /// First byte.
        offset: u64,
        /// Bytes wanted in all.
        length: u64,
    },
    /// The reader has room for one more chunk (at most 256 KiB).
    PullStream {
        /// Which.
        stream: StreamId,
    },
    /// The reader is gone.
    CloseStream {
        /// Which.
        stream: StreamId,
    },
    /// Buy from this account: after a deposit, or at start.
    SetAccount {
        /// Depositor.
        owner: Address,
        /// Address of the session key that [`Effect::Sign`] signs with.
        session_key: Address,
    },
    /// The account has more money, or less: read it again now.
    RefreshAccount,
    /// Sell nothing more in this run, because the vault gives a seller too little time to redeem.
    StopSelling,
    /// Replace the hard cap on spending.
    SetBudget {
        /// Everything that the account spent so far and spends from now on stays at or below this; another account begins at 0.
        total: TokenUnits,
    },
    /// The most paid per block for one torrent; zero takes only free peers.
    SetMaxUnit {
        /// Which.
        info_hash: InfoHash,
        /// Fine units per block.
        max_unit: FineUnits,
    },
    /// Selling price per block for one torrent; zero is free.
    SetUnit {
        /// Which.
        info_hash: InfoHash,
        /// Fine units per block.
        unit: FineUnits,
    },
    /// Close ranges durably and hand out their claims by [`Event::ClaimsReady`].
    PrepareRedeem(RedeemScope),
    /// Of the claims handed out by [`Event::ClaimsReady`] only the first are sent, and are answered for by
    /// [`Command::Redeemed`] later; the others can be redeemed again.
    ReturnClaims {
        /// The same tag.
        tag: u64,
        /// How many are sent.
        sent: usize,
    },
    /// What became of claims handed out by [`Event::ClaimsReady`].
    Redeemed {
        /// The same tag.
        tag: u64,
        /// How it went.
        outcome: RedeemOutcome,
    },
    /// The network went away (`false`) or came back (`true`).
    Online(bool),
    /// Say goodbye and make everything durable; ends with [`Event::ShutDown`].
    Shutdown,
}

/// What names a torrent.
#[derive(Clone, Debug)]
pub enum Source {
    /// A magnet link (BEP 9), or a bare info hash in hexadecimal or base32, which is the same as [`Source::Stored`].
    Magnet(String),
    /// The bytes of a .torrent file (BEP 3).
    Torrent(Bytes),
    /// A torrent whose info dictionary is in the records, by its hash; one that is not is fetched, if trackers are given.
    Stored(InfoHash),
}

/// Which ranges to redeem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedeemScope {
    /// Everything that would pay at least one token unit, but not the crumbs of a buyer that leaves many.
    All,
    /// Only full ranges, those without a connection and those of buyers that owe much, each above the dust limit
    /// (docs/protocol.md, "Redeeming"); and of a buyer that withdraws all that is worth its gas.
    Due,
}

/// What became of a redemption.
#[derive(Clone, Debug)]
pub enum RedeemOutcome {
    /// The transaction is in a block: the indices (into the claims) that paid, and what was paid per index.
    Mined {
        /// `(index, token units paid)` of every `Redeemed` event.
        paid: Vec<(u32, TokenUnits)>,
        /// `(index, reason)` of every `Skipped` event.
        skipped: Vec<(u32, u8)>,
    },
    /// Nothing was sent, or it reverted: the claims stay redeemable.
    Failed {
        /// Why, for the page.
        reason: String,
    },
    /// It may have been sent, and is in no block that was seen: the claims stay redeemable, and if their serials are
    /// consumed later, it was by this.
    Unknown {
        /// Why, for the page.
        reason: String,
    },
}

/// Something the edge is to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Nothing more to do until this time ([`Timestamp::NEVER`]: until the next input).
    Timeout(Timestamp),
    /// Open a tracker's WebSocket.
    ConnectTracker {
        /// Which.
        tracker: TrackerId,
        /// `ws://` or `wss://`.
        url: String,
    },
    /// Send one text message to a tracker.
    SendTracker {
        /// Which.
        tracker: TrackerId,
        /// JSON.
        text: String,
    },
    /// Close a tracker's WebSocket.
    CloseTracker {
        /// Which.
        tracker: TrackerId,
    },
    /// Make a peer connection with one data channel and an SDP offer.
    CreateOffer {
        /// Its id from now on.
        connection: ConnectionId,
    },
    /// Make a peer connection for a remote's offer and an SDP answer.
    AcceptOffer {
        /// Its id from now on.
        connection: ConnectionId,
        /// The remote's SDP.
        sdp: String,
    },
    /// The remote answered our offer.
    ApplyAnswer {
        /// Which.
        connection: ConnectionId,
        /// The remote's SDP.
        sdp: String,
    },
    /// Send bytes on the data channel as one message (at most 65,535 bytes). Afterwards, once per batch of
    /// outputs, the edge reports [`Input::SendBuffer`] if the channel holds no more than the low-water mark:
    /// a buffer that never rises above the mark never falls to it.
    Send {
        /// Which.
        connection: ConnectionId,
        /// To be sent in this order as one message.
        chunks: Vec<Bytes>,
    },
    /// Report [`Input::SendBuffer`] whenever the buffered bytes fall to this, and once if they are no more already:
    /// what was reported last may have been above this mark.
    SetLowWater {
        /// Which.
        connection: ConnectionId,
        /// Bytes.
        bytes: u64,
    },
    /// Close a peer connection and everything of it; no [`Input::ConnectionClosed`] is needed.
    CloseConnection {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: ClosedReason,
    },
    /// Work that ends with [`Input::EffectDone`].
    Effect {
        /// Which.
        id: EffectId,
        /// What.
        effect: Effect,
    },
    /// Bytes of a stream, in order; one for each [`Command::PullStream`].
    StreamData {
        /// Which.
        stream: StreamId,
        /// Verified bytes.
        data: Bytes,
        /// Nothing follows.
        last: bool,
    },
    /// The stream ended early.
    StreamFailed {
        /// Which.
        stream: StreamId,
        /// Why.
        error: StreamError,
    },
    /// For the page or the operator.
    Event(Event),
}

/// Work for the edge. Effects may end in any order, but are carried out in the order in which they were
/// emitted as far as they touch the same thing: the storage of one torrent, or the records.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Open (creating what lacks) a torrent's files. Comes before any other storage effect of it.
    OpenStorage {
        /// Whose.
        info_hash: InfoHash,
        /// Name of the torrent, safe as one path component.
        name: String,
        /// Every file: components of its safe relative path, and its length. A pad file (BEP 47) has an empty
        /// path and is never stored: reads of its spans give zeros, writes skip them.
        files: Vec<(Vec<String>, u64)>,
    },
    /// Write verified bytes into files. The spans' lengths add up to the chunks'.
    Write {
        /// Whose.
        info_hash: InfoHash,
        /// Where; pad spans are skipped.
        spans: Vec<FileSpan>,
        /// What, to be read as one run of bytes.
        chunks: Vec<Bytes>,
    },
    /// Read bytes of files.
    Read {
        /// Whose.
        info_hash: InfoHash,
        /// Where; pad spans read as zeros.
        spans: Vec<FileSpan>,
    },
    /// Read bytes of files and answer with their SHA-1.
    HashStored {
        /// Whose.
        info_hash: InfoHash,
        /// Where, in order; pad spans are hashed as zeros.
        spans: Vec<FileSpan>,
    },
    /// Answer with the SHA-1 of these bytes.
    Hash {
        /// To be read as one run of bytes.
        chunks: Vec<Bytes>,
    },
    /// Write unverified bytes into the torrent's scratch file, which nothing but the core reads.
    WriteScratch {
        /// Whose.
        info_hash: InfoHash,
        /// Byte in the scratch file.
        offset: u64,
        /// What.
        chunks: Vec<Bytes>,
    },
    /// Read bytes of the scratch file.
    ReadScratch {
        /// Whose.
        info_hash: InfoHash,
        /// Byte in the scratch file.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Make everything written so far to this torrent's files and scratch durable: it outlives the machine's power.
    /// That includes what an earlier process wrote to the files that [`Effect::HashStored`] read. Everything else
    /// outlives the process without it.
    Flush {
        /// Whose.
        info_hash: InfoHash,
    },
    /// Close a torrent's files, and delete them if asked.
    CloseStorage {
        /// Whose.
        info_hash: InfoHash,
        /// Delete the data and the scratch file.
        delete: bool,
    },
    /// Put (`Some`) or delete (`None`) small records, all or none. Ends when they outlive the process; if `lasting`, when they
    /// and all that were put before outlive the machine's power, which else begins within [`RECORDS_GATHER`] and a
    /// transaction. What failed may come true later all the same.
    PutRecords {
        /// Key and value.
        records: Vec<(String, Option<Bytes>)>,
        /// See above. An edge may do as if it were always set.
        lasting: bool,
    },
    /// Sign this digest with the session key (EIP-2098, low s).
    Sign {
        /// EIP-712 digest.
        digest: B256,
    },
    /// Call the vault's `state(id, word)` at the latest block.
    ReadAccount {
        /// Account id.
        account: B256,
        /// 256-serial word.
        word: U256,
    },
}

/// How an effect ended.
#[derive(Clone, Debug)]
pub enum EffectResult {
    /// Of [`Effect::OpenStorage`]: bytes present of each file, and of the scratch file.
    Opened {
        /// Per file of the effect.
        file_lengths: Vec<u64>,
        /// Of the scratch file.
        scratch_length: u64,
        /// Files, by their place in the effect, that somebody changed since storage was closed: what the records say of them is
        /// not believed.
        changed: Vec<u32>,
    },
    /// Of the reads.
    Read(Bytes),
    /// Of the hashes: SHA-1.
    Hashed([u8; 20]),
    /// Of [`Effect::Sign`].
    Signed(Signature),
    /// Of [`Effect::ReadAccount`].
    Account(AccountState),
    /// Of everything else.
    Done,
}

/// Records that need not last at once gather so long before they are made to outlive the machine's power, together.
pub const RECORDS_GATHER: Duration = Duration::from_secs(1);

/// Why an effect failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EffectError {
    /// Storage is full: free space or raise the quota.
    #[error("storage is full: {0}")]
    QuotaExceeded(String),
    /// Data that should be there is not.
    #[error("data is missing: {0}")]
    Missing(String),
    /// Storage refused.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The key is not there.
    #[error("signing failed: {0}")]
    Signing(String),
    /// The chain could not be read, or answered nonsense.
    #[error("the chain could not be read: {0}")]
    Chain(String),
}

impl EffectError {
    /// What was to be read is not there; else it may be, and storage did not let it be read.
    pub fn says_gone(&self) -> bool {
        matches!(self, EffectError::Missing(_))
    }
}

/// For the page or the operator.
#[derive(Clone, Debug)]
pub enum Event {
    /// Answer to [`Command::Add`].
    Added {
        /// The caller's.
        tag: u64,
        /// The torrent, or why not.
        result: Result<InfoHash, AddError>,
    },
    /// A torrent's info dictionary is complete and its storage open.
    Ready {
        /// Which.
        info_hash: InfoHash,
    },
    /// A piece was verified and stored.
    PieceDone {
        /// Which torrent.
        info_hash: InfoHash,
        /// Which piece.
        piece: u32,
    },
    /// Everything wanted is verified and stored.
    Complete {
        /// Which.
        info_hash: InfoHash,
    },
    /// A connection finished its handshake.
    PeerConnected {
        /// Which torrent.
        info_hash: InfoHash,
        /// Which connection.
        connection: ConnectionId,
    },
    /// A connection ended.
    PeerClosed {
        /// Which torrent, if it came so far.
        info_hash: Option<InfoHash>,
        /// Which connection.
        connection: ConnectionId,
        /// Why.
        reason: ClosedReason,
    },
    /// Something the user should know about one torrent, or (`None`) about all.
    Warning {
        /// Which.
        info_hash: Option<InfoHash>,
        /// A full sentence: what is wrong and what to do.
        text: String,
    },
    /// A torrent cannot go on until the user does something.
    Failed {
        /// Which.
        info_hash: InfoHash,
        /// A full sentence: what is wrong and what to do.
        text: String,
    },
    /// A peer asks for money and no account covers it: the page may offer a deposit. Said again for another reason or a lower
    /// price, and when an account that covered it does not any more.
    PaymentNeeded {
        /// Which torrent.
        info_hash: InfoHash,
        /// The lowest price seen, fine units per block.
        unit: FineUnits,
        /// What the account lacks.
        why: PaymentNeed,
    },
    /// Claims to be redeemed: send them, then say [`Command::Redeemed`] with the tag.
    ClaimsReady {
        /// Of this batch.
        tag: u64,
        /// At most 128; may be empty when nothing pays.
        claims: Vec<Claim>,
        /// Sum of the floors.
        total: TokenUnits,
    },
    /// A range is full, or its buyer owes so much that he waits until it is redeemed, or he leaves:
    /// [`Command::PrepareRedeem`] with [`RedeemScope::Due`]. Said once until something of his is redeemed.
    RedeemDue,
    /// A line for the payment log: a full sentence.
    Payment {
        /// Which torrent, if any.
        info_hash: Option<InfoHash>,
        /// A full sentence.
        text: String,
    },
    /// [`Command::Shutdown`] is through.
    ShutDown,
}

/// Why a torrent was not taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The magnet link is not valid.
    #[error("the magnet link is not valid: {0}")]
    Magnet(String),
    /// The .torrent file is not valid.
    #[error("the .torrent file is not valid: {0}")]
    Torrent(String),
    /// No record of that torrent, and no tracker to find it by.
    #[error("no torrent {0} is stored here: give a magnet link, or a tracker to find it by")]
    NotStored(InfoHash),
    /// Too many torrents.
    #[error("at most {0} torrents at once: remove one first")]
    TooMany(usize),
}

/// Why a stream ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// No such torrent or file, or the torrent was removed.
    #[error("no such file")]
    NotFound,
    /// The range lies outside the file.
    #[error("the range lies outside the file of {0} bytes")]
    OutOfRange(u64),
    /// Too many streams at once.
    #[error("at most {0} streams at once")]
    TooMany(usize),
    /// Storage failed.
    #[error("storage failed: {0}")]
    Storage(String),
    /// What is missing does not fit [`Limits::storage_bytes`]; the text says what to do.
    #[error("{0}")]
    StorageLimit(String),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClosedReason {
    /// The other side, or the network.
    #[error("{0}")]
    Remote(String),
    /// It broke the protocol.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// It sent data that does not match its hash.
    #[error("sent corrupt data")]
    Corrupt,
    /// It broke the payment protocol.
    #[error("payment protocol error: {0}")]
    Payment(String),
    /// No room, duplicate, both complete, idle, or the torrent went away.
    #[error("not needed: {0}")]
    NotNeeded(&'static str),
    /// It said nothing, or did nothing, for too long.
    #[error("timed out: {0}")]
    TimedOut(&'static str),
    /// We are shutting down.
    #[error("shutting down")]
    Shutdown,
}
