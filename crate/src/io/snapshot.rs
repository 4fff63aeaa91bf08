//! The view of a client between inputs, for a page or an operator. Plain data, made anew on each call.

use bytes::Bytes;

use super::config::Priority;
use crate::payment::PaymentNeed;
use crate::title::SignedTitle;
use crate::types::{ConnectionId, FineUnits, InfoHash, TokenUnits};

/// All torrents, money and trackers at a glance.
#[derive(Clone, Debug, Default)]
pub struct ClientSnapshot {
    /// Torrents in the order they were added.
    pub torrents: Vec<InfoHash>,
    /// Bytes per second received as blocks, over the last seconds.
    pub download_rate: u64,
    /// Bytes per second sent as blocks, over the last seconds.
    pub upload_rate: u64,
    /// Trackers.
    pub trackers: Vec<TrackerSnapshot>,
    /// Money.
    pub money: MoneySnapshot,
}

/// The memory that a client holds for others at the moment. Strangers make these amounts grow, so each has a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadSnapshot {
    /// Open connections.
    pub connections: usize,
    /// Connections in the making.
    pub pending: usize,
    /// Bytes received and not decoded yet, over all peers.
    pub undecoded_bytes: usize,
    /// Bytes that wait to be sent, over all peers, without those that the edge holds.
    pub queued_bytes: usize,
    /// The most of these bytes for one peer.
    pub queued_bytes_of_one: usize,
    /// The most requests that one peer waits for.
    pub requests_in_of_one: usize,
    /// The most requests out to one peer.
    pub requests_out_of_one: usize,
    /// Bytes of pieces begun and not verified.
    pub partial_bytes: u64,
    /// Bytes that arrived and would be lost with the process, in the torrent that has most of them ...
    pub at_risk_of_one: u64,
    /// ... and together with the bytes that its peers are asked for.
    pub at_risk_and_asked_of_one: u64,
    /// Accounts of buyers whose redeemed sums the receipts know.
    pub receipt_accounts: usize,
    /// Effects under way.
    pub effects: usize,
    /// Outputs that the edge has not taken yet.
    pub outputs: usize,
    /// How often a torrent went on since the start, because something happened that concerns it.
    pub pumps: u64,
}

/// One tracker.
#[derive(Clone, Debug)]
pub struct TrackerSnapshot {
    /// Its URL.
    pub url: String,
    /// Connected now.
    pub connected: bool,
    /// The last error, a full sentence.
    pub error: Option<String>,
}

/// Money that is spent, earned or locked.
#[derive(Clone, Debug, Default)]
pub struct MoneySnapshot {
    /// An account is set and known to the chain.
    pub account_ready: bool,
    /// Why nothing new can be bought before the user does something about the account.
    pub need: Option<PaymentNeed>,
    /// Last read of the account: balance left on chain.
    pub balance: TokenUnits,
    /// Promised to payees in ranges, and not revealed.
    pub locked: TokenUnits,
    /// Can still be promised. Money that was revealed and not redeemed is in the balance, and not in this.
    pub free: TokenUnits,
    /// Revealed to payees, redeemed or not: everything that this client spent.
    pub spent: FineUnits,
    /// Blocks that came and are not paid yet, as while a promise is renewed.
    pub owed_blocks: u64,
    /// The hard cap.
    pub budget: TokenUnits,
    /// Earned and not redeemed: sum of the floors per range.
    pub redeemable: TokenUnits,
    /// Earned and not redeemed, before flooring.
    pub redeemable_fine: FineUnits,
    /// Redeemed so far.
    pub redeemed: TokenUnits,
    /// Ranges that could be redeemed.
    pub redeemable_ranges: u32,
    /// Vouchers signed.
    pub vouchers_signed: u64,
    /// Chain steps released.
    pub preimages_released: u64,
    /// Chain steps received.
    pub preimages_received: u64,
}

/// What is known of a torrent's title (docs/titles.md). Nothing is bought while it is awaited or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TitleStanding {
    /// The metadata is not known yet, or this build cannot pay and looks at no title.
    Unknown,
    /// Nobody signed it, or nobody whose title is here: that is allowed.
    Unsigned,
    /// The link names who must have signed it, and no such title is here.
    Awaited,
    /// Its publisher signed it, about this content, and is whom the link names if it names one. Whether it is
    /// registered, a chain alone says.
    Fits(Box<SignedTitle>),
    /// It is not of this content, not of whom the link names, or not signed by its publisher: the reason.
    Wrong(String),
}

/// The state of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TorrentState {
    /// Waiting for the info dictionary from peers.
    FetchingMetadata,
    /// Opening storage, hashing the data that is there again.
    Checking,
    /// Fetching; on demand also while no reader asks for anything.
    Downloading,
    /// Holds everything that is selected.
    Seeding,
    /// Paused by the user.
    Paused,
    /// Cannot go on; see the last [`super::Event::Failed`].
    Failed,
}

/// One torrent.
#[derive(Clone, Debug)]
pub struct TorrentSnapshot {
    /// The hash that events and commands name it by.
    pub info_hash: InfoHash,
    /// Name, for display as text only (it comes from strangers).
    pub name: String,
    /// State.
    pub state: TorrentState,
    /// Only what readers ask for is fetched.
    pub on_demand: bool,
    /// The user chose to fetch all of it, in this run or an earlier one ([`super::Command::SetOnDemand`]).
    pub kept: bool,
    /// The reason why it cannot go on, while its state is [`TorrentState::Failed`]: a full sentence.
    pub failure: Option<String>,
    /// Bytes in all; 0 until the metadata is there.
    pub total_length: u64,
    /// Bytes per piece.
    pub piece_length: u32,
    /// Pieces in all.
    pub piece_count: u32,
    /// Verified pieces, first piece in the highest bit (BEP 3 `bitfield`).
    pub have: Bytes,
    /// Verified and stored bytes.
    pub verified_bytes: u64,
    /// Blocks in all.
    pub block_count: u64,
    /// Files: path components and length.
    pub files: Vec<(Vec<String>, u64)>,
    /// How much each file is wanted, in the same order.
    pub priorities: Vec<Priority>,
    /// Bytes of the pieces of the files that are selected.
    pub selected_length: u64,
    /// The verified and stored bytes among them.
    pub selected_verified: u64,
    /// Block bytes received in this run, also duplicates and corrupt ones.
    pub downloaded: u64,
    /// Block bytes sent in this run.
    pub uploaded: u64,
    /// Block bytes received more than once or thrown away.
    pub wasted: u64,
    /// Bytes per second received.
    pub download_rate: u64,
    /// Bytes per second sent.
    pub upload_rate: u64,
    /// Selling price, fine units per block.
    pub price: FineUnits,
    /// The most paid, fine units per block.
    pub max_price: FineUnits,
    /// Paid for this torrent's blocks, earlier runs included, as far as it is on record: within half a second.
    pub spent: FineUnits,
    /// Earned with this torrent's blocks, earlier runs included, as far as it is on record.
    pub earned: FineUnits,
    /// The most that the missing blocks can cost at the ceiling, plus the v1 loss budget.
    pub max_cost: FineUnits,
    /// Peers, connected.
    pub peers: Vec<PeerSnapshot>,
    /// Web seeds that are used or were.
    pub web_seeds: Vec<WebSeedSnapshot>,
    /// Seeders and leechers as the trackers last said.
    pub swarm: Option<(u32, u32)>,
}

/// What a web seed does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSeedState {
    /// Nothing is asked of it: the peers suffice, or nothing is missing.
    Idle,
    /// It is asked for something.
    Downloading,
    /// It failed, and is tried again later.
    Waiting,
    /// It is of no use, and is asked for nothing more in this run.
    Dropped,
    /// It sent bytes that do not match their hash, and is asked for nothing more in this run.
    Banned,
}

/// One web seed (BEP 19).
#[derive(Clone, Debug)]
pub struct WebSeedSnapshot {
    /// Its URL, as the torrent or the user named it; it comes from strangers.
    pub url: String,
    /// What it does.
    pub state: WebSeedState,
    /// Why it waits, was dropped or banned, a full sentence; empty otherwise.
    pub note: String,
    /// Block bytes received from it.
    pub downloaded: u64,
    /// Bytes per second received.
    pub download_rate: u64,
}

/// One peer.
#[derive(Clone, Debug)]
pub struct PeerSnapshot {
    /// Connection.
    pub connection: ConnectionId,
    /// Client name it gave (BEP 10 `v`), for display as text only.
    pub client: String,
    /// Pieces it has.
    pub have_count: u32,
    /// Block bytes received from it.
    pub downloaded: u64,
    /// Block bytes sent to it.
    pub uploaded: u64,
    /// Bytes per second received.
    pub download_rate: u64,
    /// Bytes per second sent.
    pub upload_rate: u64,
    /// It chokes us.
    pub peer_choking: bool,
    /// We choke it.
    pub am_choking: bool,
    /// Requests out to it.
    pub requests_out: u32,
    /// Requests it waits for.
    pub requests_in: u32,
    /// Our payments to it.
    pub buying: PeerPayment,
    /// Its payments to us.
    pub selling: PeerPayment,
}

/// Money with one peer in one direction.
#[derive(Clone, Debug, Default)]
pub struct PeerPayment {
    /// Price per block, fine units; `None`: no price was named.
    pub price: Option<FineUnits>,
    /// It is the price of another registration than the title's, or of none: nothing is bought at it. Never so while
    /// the title does not fit or is awaited, because then nobody knows the right registration.
    pub is_foreign: bool,
    /// A range is attached and blocks are being paid.
    pub active: bool,
    /// Paid on this connection.
    pub paid: FineUnits,
    /// Blocks paid on this connection.
    pub blocks: u64,
    /// The reason why nothing is paid, a full sentence; empty if there is none to name.
    pub note: String,
}
