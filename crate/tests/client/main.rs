//! The client by its commands, inputs and effects.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod account;
mod identity;
mod limits;
mod receipts;
mod streams;
mod trackers;
