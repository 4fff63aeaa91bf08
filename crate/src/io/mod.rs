//! The traffic between the core and an edge: every input, output, effect, event and setting, as plain data.
//!
//! Owns no behaviour. Edges see it as part of [`crate::client`].

mod config;
mod effect;
mod event;
mod input;
mod output;
mod snapshot;

pub use crate::payment::receipts::{BUYER_PREFIX, Period, Receipt, Side, Sum};
pub use config::{
    AddOptions, BuyConfig, CheckExisting, Config, Credit, LEAST_UNITS, Limits, PaymentConfig,
    Priority, ResalePrice, SellConfig, WebSeedUse,
};
pub use effect::{
    AccountState, Effect, EffectError, EffectResult, RECORDS_GATHER, Signature, StorageOp,
};
pub use event::{AddError, Claim, ClosedReason, Event, NO_TRACKER, PaymentNeed, StreamError};
pub use input::{Command, Input, Playhead, RedeemOutcome, RedeemScope, Source, WebSeedHead};
pub use output::Output;
pub use piecework_signaling_protocol::IceServer;
pub use snapshot::{
    ClientSnapshot, LoadSnapshot, MoneySnapshot, PeerPayment, PeerSnapshot, TitleStanding,
    TorrentSnapshot, TorrentState, TrackerSnapshot, WebSeedSnapshot, WebSeedState,
};
