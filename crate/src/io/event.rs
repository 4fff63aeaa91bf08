//! Events: the core's messages to the page or the operator.

use super::snapshot::TitleStanding;
pub use crate::payment::PaymentNeed;
pub use crate::payment::voucher::abi::Claim;
use crate::types::{ConnectionId, FineUnits, InfoHash, TokenUnits};

/// For the page or the operator.
#[derive(Clone, Debug)]
pub enum Event {
    /// Answer to [`super::Command::Add`].
    Added {
        /// The tag that the caller chose for the command.
        tag: u64,
        /// The torrent, or the reason for the refusal.
        result: Result<InfoHash, AddError>,
    },
    /// A torrent's info dictionary is complete and its storage open.
    Ready {
        /// The torrent; its pieces can be fetched and served from now on.
        info_hash: InfoHash,
    },
    /// What is known of a torrent's title changed.
    Title {
        /// The torrent; its metadata is known.
        info_hash: InfoHash,
        /// As [`crate::client::Client::title`] says it too.
        standing: TitleStanding,
    },
    /// A piece was verified and stored.
    PieceDone {
        /// The torrent that the piece is of.
        info_hash: InfoHash,
        /// Index of the piece, counted from 0.
        piece: u32,
    },
    /// Everything wanted is verified and stored.
    Complete {
        /// The torrent; its peers may still take pieces from us.
        info_hash: InfoHash,
    },
    /// A connection finished its handshake.
    PeerConnected {
        /// The torrent that the remote's handshake names.
        info_hash: InfoHash,
        /// The connection whose BitTorrent handshake came.
        connection: ConnectionId,
    },
    /// A connection ended.
    PeerClosed {
        /// The torrent, if it came so far.
        info_hash: Option<InfoHash>,
        /// The connection; its id is never used again.
        connection: ConnectionId,
        /// The cause: the remote, the network, or a rule of our own.
        reason: ClosedReason,
    },
    /// Something the user should know about one torrent, or (`None`) about all.
    Warning {
        /// The torrent that the text is about.
        info_hash: Option<InfoHash>,
        /// A full sentence: the fault and the way out.
        text: String,
    },
    /// A torrent cannot go on until the user does something.
    Failed {
        /// The torrent that waits for the user.
        info_hash: InfoHash,
        /// A full sentence: the fault and the way out.
        text: String,
    },
    /// A peer asks for money and no account covers it: the page may offer a deposit. The event comes again for another
    /// reason or a lower price, and when an account that covered it does so no longer.
    PaymentNeeded {
        /// The torrent whose peer asks for money.
        info_hash: InfoHash,
        /// The lowest price seen, fine units per block.
        price: FineUnits,
        /// The account's lack.
        why: PaymentNeed,
    },
    /// Claims to be redeemed: send them, then say [`super::Command::Redeemed`] with the tag.
    ClaimsReady {
        /// The number of this batch, which no other batch of the run has.
        tag: u64,
        /// At most 128; may be empty when nothing pays.
        claims: Vec<Claim>,
        /// Sum of the floors.
        total: TokenUnits,
        /// Half of it or more is of buyers that withdraw: what is not redeemed now may be lost, so that all is worth
        /// sending that brings more than its gas.
        is_last_chance: bool,
    },
    /// A range is full, or its buyer leaves, or its buyer owes so much that it waits for a redemption:
    /// [`super::Command::PrepareRedeem`] with [`super::RedeemScope::Due`]. The event comes once, until something of
    /// that buyer's is redeemed.
    RedeemDue,
    /// A line for the payment log: a full sentence.
    Payment {
        /// The torrent, if the text is about one.
        info_hash: Option<InfoHash>,
        /// A full sentence.
        text: String,
    },
    /// [`super::Command::Shutdown`] is done.
    ShutDown,
}

/// The text of the [`Event::Warning`] of a torrent that names no tracker, where the configuration names none either.
pub const NO_TRACKER: &str =
    "no tracker with a ws:// or wss:// address is known, so no peers can be found: add one";

/// The reason why a torrent was not taken up.
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

/// The reason why a stream ended early.
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
    /// The missing pieces do not fit [`super::Limits::storage_bytes`]; the text says what to do.
    #[error("{0}")]
    StorageLimit(String),
}

/// The reason why a connection ended.
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
    /// No room, a duplicate, both complete, idle, or a torrent that went away.
    #[error("not needed: {0}")]
    NotNeeded(&'static str),
    /// It sent nothing, or did nothing, for too long.
    #[error("timed out: {0}")]
    TimedOut(&'static str),
    /// We are shutting down.
    #[error("shutting down")]
    Shutdown,
}
