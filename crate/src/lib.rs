//! The Piecework peer: a sans-IO BitTorrent core, and the two edges that drive it.
//!
//! # The run loop
//!
//! An edge owns one [`client::Client`] and every real resource: clock, sockets, files, keys, chain.
//!
//! [`client::Client`] sorts its methods, says in which order they are called, and has the shortest loop as an example.
//! `crate/examples/two_peers` is a whole edge in memory.
//!
//! 1. Something happens: the edge reads its clock once and calls
//!    [`client::Client::handle_input`] with an [`client::Input`].
//! 2. The edge calls [`client::Client::poll_output`] until it answers
//!    [`client::Output::Timeout`], carrying out each [`client::Output`] on the way.
//! 3. The edge waits for the next event or for that time, whichever is first, and starts over;
//!    when the time came it passes [`client::Input::Tick`].
//!
//! An output that asks for work (storage, hashing, signing, a chain read) carries an
//! [`types::EffectId`]; its result comes back as an input with the same id, at any later time and in
//! any order. The core never reads a clock, never draws entropy of its own and never blocks, so a
//! whole swarm runs in one test process on a virtual clock.
//!
//! # The map
//!
//! Imports go downwards only; modules on one line never import each other.
//!
//! ```text
//! sorted, journal
//! types, time, bitfield
//! metainfo
//! wire
//! verify
//! pieces
//! peer, picker, storage, payment, signaling
//! io
//! torrent
//! client
//! web | native
//! ```

pub mod bitfield;
pub mod client;
pub mod io;
pub mod journal;
pub mod metainfo;
#[cfg(all(feature = "native-formats", not(target_arch = "wasm32")))]
pub mod native;
pub mod payment;
pub mod peer;
pub mod picker;
pub mod pieces;
pub mod signaling;
pub mod sorted;
pub mod storage;
pub mod time;
pub mod torrent;
pub mod types;
pub mod verify;
pub mod web;
pub mod wire;
