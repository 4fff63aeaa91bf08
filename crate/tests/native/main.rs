//! The native peer: its program as people run it, and its edges to disk, network and chain.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chain;
mod changed;
mod cli;
mod common;
mod deploy;
mod deposits;
mod examples;
mod fees;
mod files;
mod hostile_names;
mod in_the_way;
mod keys;
mod paid;
mod pair;
mod redeeming;
mod selection;
mod serve;
mod serve_faults;
mod serve_http;
mod serve_paid;
mod served;
#[cfg(unix)]
mod signals;
mod storage;
mod titles;
mod trackers;
mod transport;
mod web_seeds;
