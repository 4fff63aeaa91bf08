//! The Piecework peer: a sans-IO BitTorrent core, and the two edges that drive it.
//!
//! # The run loop
//!
//! An edge owns one [`client::Client`] and every real resource: clock, sockets, files, keys, chain.
//!
//! [`client::Client`] sorts its methods, gives the order of their calls, and has the shortest loop as an example.
//! `crate/examples/two_peers` is a whole edge in memory.
//!
//! 1. Something happens: the edge reads its clock once and calls [`client::Client::handle_input`] with an
//!    [`client::Input`].
//! 2. The edge calls [`client::Client::poll_output`] until it answers [`client::Output::Timeout`], and carries out each
//!    [`client::Output`] on the way.
//! 3. The edge waits for the next event or for that time, whichever is first, and starts over. When the time came it
//!    passes [`client::Input::Tick`].
//!
//! An output that asks for work (storage, hashing, signing, a chain read) carries an [`types::EffectId`]. Its result
//! comes back as an input with the same id, at any later time and in any order. The core never reads a clock, never
//! draws entropy of its own and never blocks, so a whole swarm runs in one test process on a virtual clock.
//!
//! # What is public
//!
//! An edge needs [`client`] with [`io`] and [`types`], [`metainfo`] for torrents and links, and [`title`]. It may use [`journal`]
//! for its records and [`vault`] for calls of the chain. The rest is the core's own, and public to tests alone.
//!
//! # The map
//!
//! Imports go downwards only; modules on one line never import each other.
//!
//! ```text
//! sorted, journal, paying
//! types, time, bitfield
//! metainfo
//! wire
//! verify
//! pieces
//! peer, picker, storage, payment, signaling
//! title
//! io
//! torrent
//! client
//! web | native
//! ```

#[cfg(not(feature = "_test"))]
mod bitfield;
#[cfg(feature = "_test")]
pub mod bitfield;
pub mod client;
pub mod io;
pub mod journal;
pub mod metainfo;
#[cfg(all(feature = "native-formats", not(target_arch = "wasm32")))]
pub mod native;
mod paying;
#[cfg(not(feature = "_test"))]
mod payment;
#[cfg(feature = "_test")]
pub mod payment;
#[cfg(not(feature = "_test"))]
mod peer;
#[cfg(feature = "_test")]
pub mod peer;
#[cfg(not(feature = "_test"))]
mod picker;
#[cfg(feature = "_test")]
pub mod picker;
#[cfg(not(feature = "_test"))]
mod pieces;
#[cfg(feature = "_test")]
pub mod pieces;
#[cfg(not(feature = "_test"))]
mod signaling;
#[cfg(feature = "_test")]
pub mod signaling;
#[cfg(not(feature = "_test"))]
mod sorted;
#[cfg(feature = "_test")]
pub mod sorted;
#[cfg(not(feature = "_test"))]
mod storage;
#[cfg(feature = "_test")]
pub mod storage;
pub mod time;
pub mod title;
#[cfg(not(feature = "_test"))]
mod torrent;
#[cfg(feature = "_test")]
pub mod torrent;
pub mod types;
#[cfg(not(feature = "_test"))]
mod verify;
#[cfg(feature = "_test")]
pub mod verify;
pub mod web;
#[cfg(not(feature = "_test"))]
mod wire;
#[cfg(feature = "_test")]
pub mod wire;

pub use payment::vault;
