//! The decisions of the embedding page or the operator. Nothing here ever comes from a peer, a tracker, a torrent or a
//! magnet link.

use core::ops::RangeInclusive;

use alloy_primitives::Address;

use crate::paying::Paying;
pub use crate::payment::ledger::Credit;
pub use crate::payment::payee::LEAST_UNITS;
use crate::time::Duration;
use crate::types::{FineUnits, TokenUnits};

/// How a client behaves. The default is a plain, free BitTorrent peer.
#[derive(Clone, Debug)]
pub struct Config {
    /// Shown in the extension handshake (BEP 10 `v`), e.g. `Piecework 0.1.0`.
    pub user_agent: String,
    /// Trackers announced to besides those that a torrent or magnet names. Their word on STUN and TURN servers counts,
    /// and that of no other tracker.
    pub trackers: Vec<String>,
    /// Announce to the trackers that a torrent or magnet names.
    pub use_torrent_trackers: bool,
    /// Fetch from the web seeds that a torrent or magnet names (BEP 19). Those that the page or the operator names are
    /// used in any case.
    pub use_torrent_web_seeds: bool,
    /// When web seeds are asked for something.
    pub web_seed_use: WebSeedUse,
    /// Bounds and rates.
    pub limits: Limits,
    /// Payments; `None` never contacts a chain.
    pub payment: Option<PaymentConfig>,
}

impl Config {
    /// The payments, in a build that can pay: in one that cannot, the compiler leaves out what would follow from them.
    pub fn payment(&self) -> Option<&PaymentConfig> {
        Paying::HERE.and(self.payment.as_ref())
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            user_agent: concat!("Piecework ", env!("CARGO_PKG_VERSION")).to_owned(),
            trackers: Vec::new(),
            use_torrent_trackers: true,
            use_torrent_web_seeds: true,
            web_seed_use: WebSeedUse::default(),
            limits: Limits::default(),
            payment: None,
        }
    }
}

/// When web seeds are asked for something. They cost their owner bandwidth, and the buyer nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebSeedUse {
    /// Peers first: web seeds bring what a reader needs sooner than the peers would bring it, and everything while the
    /// peers together bring next to nothing.
    #[default]
    Fallback,
    /// As peers that have everything and ask for no money: sellers are asked only for what comes too late otherwise.
    Always,
}

/// Bounds that the user may set, with defaults for a browser tab.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections over all torrents.
    pub max_connections: usize,
    /// Open connections of one torrent.
    pub max_connections_per_torrent: usize,
    /// Connections being made (offers out, answers pending) over all torrents.
    pub max_pending_connections: usize,
    /// Upload cap in bytes per second over all torrents; `None` is no cap, 0 is no upload.
    pub upload_bytes_per_second: Option<u64>,
    /// Download cap in bytes per second over all torrents; `None` is no cap.
    pub download_bytes_per_second: Option<u64>,
    /// Peers unchoked at once over all torrents without paying.
    pub upload_slots: usize,
    /// Bytes of pieces begun but not verified, held in memory over all torrents.
    pub max_partial_bytes: u64,
    /// Bytes of storage that torrents may take together, those of earlier runs included; `None` leaves it to the edge's
    /// quota. Verified pieces and begun ones count, and the whole of a torrent that is fetched whole. A torrent that
    /// does not fit fails ([`super::Event::Failed`]); pieces that readers ask of it are fetched as far as they fit.
    /// Nothing is deleted.
    pub storage_bytes: Option<u64>,
    /// How long a shutdown waits for durable writes and goodbyes.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: 55,
            max_connections_per_torrent: 30,
            max_pending_connections: 20,
            upload_bytes_per_second: None,
            download_bytes_per_second: None,
            upload_slots: 8,
            max_partial_bytes: 32 << 20,
            storage_bytes: None,
            shutdown_grace: Duration::from_secs(3),
        }
    }
}

/// The contract and chain of the money (docs/protocol.md, "Negotiation": vault and chain come from the page's
/// configuration).
#[derive(Clone, Debug)]
pub struct PaymentConfig {
    /// The vault contract.
    pub vault: Address,
    /// EIP-155 chain id of the vault's chain.
    pub chain_id: u64,
    /// Buying; `None` takes only free blocks.
    pub buy: Option<BuyConfig>,
    /// Selling; `None` serves for free.
    pub sell: Option<SellConfig>,
}

/// The limits of spending.
#[derive(Clone, Debug)]
pub struct BuyConfig {
    /// The most that is ever paid per block of 16 KiB.
    pub max_price: FineUnits,
    /// Hard cap on everything the account ever reveals, earlier runs included; raised by [`super::Command::SetBudget`].
    pub budget: TokenUnits,
    /// Pieces per v1 torrent that may be advanced and lost to corrupt data (docs/protocol.md, "Advances in v1
    /// torrents").
    pub loss_budget_pieces: u32,
}

/// The terms of selling.
#[derive(Clone, Debug)]
pub struct SellConfig {
    /// The address that is paid.
    pub payee: Address,
    /// Price of a torrent whose [`AddOptions::price`] is `None`.
    pub price: ResalePrice,
    /// The least bond of a buyer's account, in percent of its balance.
    pub min_bond_percent: u16,
    /// Blocks that a buyer may owe.
    pub credit: Credit,
    /// Least worth of a range that is sold or redeemed: [`SellConfig::dust_of`] of the token's decimals.
    pub dust: TokenUnits,
}

impl SellConfig {
    /// 0.01 of a token with these decimals, where nothing else is known; at least [`LEAST_UNITS`]. Below that, the gas
    /// of a redemption weighs too much (docs/protocol.md, "Constants").
    pub const fn dust_of(decimals: u8) -> TokenUnits {
        let places = decimals.saturating_sub(2);
        match places {
            0 => LEAST_UNITS,
            _ => TokenUnits(10u128.saturating_pow(places as u32)),
        }
    }
}

/// How the price of a block is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResalePrice {
    /// This many fine units per block; zero is free.
    Fixed(FineUnits),
    /// This percentage of the average price paid for the torrent's blocks, as it was when it last changed by more than
    /// an eighth, or at start; free until something was paid.
    PercentOfPaid(u8),
}

/// The settings of one torrent.
#[derive(Clone, Debug, Default)]
pub struct AddOptions {
    /// More trackers for this torrent.
    pub trackers: Vec<String>,
    /// Web seeds of this torrent besides those that it names itself.
    pub web_seeds: Vec<String>,
    /// The treatment of data that is already in place.
    pub check: CheckExisting,
    /// Selling price per block; `None` follows [`SellConfig::price`].
    pub price: Option<FineUnits>,
    /// The most paid per block here; `None` follows [`BuyConfig::max_price`]; zero takes only free peers.
    pub max_price: Option<FineUnits>,
    /// Fetch only what streams ask for, not the whole torrent.
    pub on_demand: bool,
    /// Fetch these files alone (indices in the torrent), whatever earlier runs chose; if none of them is in it, none.
    pub files: Option<Vec<RangeInclusive<u32>>>,
    /// The same of a link (BEP 53): what an earlier run chose goes before it. If none of them is in the torrent, all
    /// are fetched.
    pub select_only: Vec<RangeInclusive<u32>>,
    /// Registry id that came with the link, or `None` (docs/protocol.md, "Content").
    pub content: Option<[u8; 32]>,
    /// Who must have signed the title, as the link says it (docs/titles.md, "Links").
    pub by: Option<[u8; 20]>,
}

/// How much a file is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Not at all; a reader of the file still gets what it asks for.
    Skip,
    /// As other files.
    #[default]
    Normal,
    /// Before other files.
    High,
}

/// The treatment of data that is already in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckExisting {
    /// Believe the have-record; re-hash only what it calls recent.
    #[default]
    Resume,
    /// Re-hash everything that is there.
    Recheck,
    /// The edge has just hashed it all itself (a torrent it created).
    Complete,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dust_is_a_hundredth_of_a_token_and_at_least_ten_units() {
        let of = |decimals| SellConfig::dust_of(decimals).0;
        assert_eq!([0, 1, 2, 3, 6].map(of), [10, 10, 10, 10, 10_000]);
        assert_eq!(of(18), 10u128.pow(16));
        assert_eq!(of(u8::MAX), u128::MAX, "not a token's, but no panic");
    }
}
