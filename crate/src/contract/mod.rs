//! The contract between the core and its edges: every input, output, effect and setting, as plain data.
//!
//! Owns no behaviour. Edges see it as part of [`crate::client`].

mod config;
mod io;
mod snapshot;

pub use config::{
    AddOptions, BuyConfig, CheckExisting, Config, Credit, Limits, PaymentConfig, ResalePrice,
    SellConfig,
};
pub use io::{
    AccountState, AddError, Claim, ClosedReason, Command, Effect, EffectError, EffectResult, Event,
    Input, Output, PaymentNeed, RECORDS_GATHER, RedeemOutcome, RedeemScope, Signature, Source,
    StreamError,
};
pub use snapshot::{
    ClientSnapshot, LoadSnapshot, MoneySnapshot, PeerPayment, PeerSnapshot, TorrentSnapshot,
    TorrentState, TrackerSnapshot,
};
