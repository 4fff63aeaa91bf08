//! The native edge: what runs a [`crate::client::Client`] on a server or in a terminal.
//!
//! Owns the clock, sockets, files, keys and the chain client of this process. Decides nothing that
//! the core decides; see the crate's documentation for the run loop. [`driver::start`] is the way
//! in; [`cli`] is the program `piecework` around it.

pub mod chain;
pub mod cli;
pub mod driver;
pub mod ice_server;
pub mod keys;
pub mod records;
pub mod rpc;
mod sdp;
pub mod signaling;
pub mod storage;
pub mod transport;
mod udp_mux;

pub use udp_mux::UdpMuxError;
