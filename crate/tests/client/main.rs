//! The client by its commands, inputs and effects.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod account;
mod identity;
mod kept;
mod limits;
mod receipts;
mod streams;
mod trackers;
