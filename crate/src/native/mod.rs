//! The native edge: it runs a [`crate::client::Client`] on a server or in a terminal.
//!
//! Owns the clock, sockets, files, keys and the chain client of this process. Decides nothing that
//! the core decides; see the crate's documentation for the run loop. `driver::start` is the way
//! in; `cli` is the program `piecework` around it.
//!
//! The parts that only read strangers' bytes ([`answers`], [`deployment`], [`sdp`], [`udp_routes`]) build with the
//! feature `native-formats` alone, without the edge's dependencies: for fuzzing.

pub mod answers;
#[cfg(feature = "native")]
pub mod chain;
#[cfg(feature = "native")]
pub mod chain_reads;
#[cfg(feature = "native")]
pub mod cli;
#[cfg(feature = "native")]
pub mod deploying;
pub mod deployment;
#[cfg(feature = "native")]
pub mod driver;
#[cfg(feature = "native")]
mod folder;
#[cfg(feature = "native")]
mod ice_addresses;
#[cfg(feature = "native")]
pub mod ice_server;
#[cfg(feature = "native")]
pub mod keys;
#[cfg(feature = "native")]
mod line_log;
#[cfg(feature = "native")]
mod outgoing;
#[cfg(feature = "native")]
pub mod owner;
#[cfg(feature = "native")]
pub mod records;
#[cfg(feature = "native")]
pub mod registry;
#[cfg(feature = "native")]
pub mod rpc;
pub mod sdp;
#[cfg(feature = "native")]
mod seen;
#[cfg(feature = "native")]
pub mod sending;
#[cfg(feature = "native")]
pub mod session_key;
#[cfg(feature = "native")]
pub mod signaling;
#[cfg(feature = "native")]
pub mod splitting;
#[cfg(feature = "native")]
pub mod storage;
#[cfg(feature = "native")]
mod storage_errors;
#[cfg(feature = "native")]
pub mod transport;
#[cfg(feature = "native")]
mod udp_mux;
pub mod udp_routes;
#[cfg(feature = "native")]
mod users;
#[cfg(feature = "native")]
mod web_seeds;

#[cfg(feature = "native")]
pub use udp_mux::UdpMuxError;
