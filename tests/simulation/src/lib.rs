//! Simulated swarms: many [`piecework::client::Client`]s against each other in one thread, on a virtual
//! clock, from one seed.
//!
//! A [`SimNet`] is the edge of every client at once. It carries out each `Output` of the core: trackers that speak the
//! WebTorrent protocol, data channels with latency, bandwidth and loss, disks that forget writes that were not flushed,
//! records, a signing key, and a vault that checks every claim with its own arithmetic. The order of bytes on a channel
//! is kept and nothing else: message boundaries move, and effects end in any order.
//!
//! It watches while it runs, and the run fails at once when a client
//! - sends a byte of a block that is not the content's, or gives a reader one;
//! - promises a serial to two payees;
//! - reveals more than the blocks that it received are worth, or a link that is not on its chain;
//! - asks for a piece that it verified and stored durably before, in this life or an earlier one;
//! - sends on a closed channel, writes outside its files, sends too long a message, speaks to a tracker out of
//!   protocol;
//! - spins: asks to be woken again and again without time passing.

// This package is test code from end to end: a broken assumption is to stop the run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod books;
mod channel;
mod content;
mod digests;
mod disk;
mod frames;
mod net;
mod node;
mod puppet;
mod random;
mod seeds;
mod steps;
mod tamper;
mod trace;
mod tracker;
mod vault;
mod watch;
mod web;

pub use books::{Arrived, Books};
pub use channel::Cheat;
pub use content::Content;
pub use disk::Disk;
pub use net::{NetConfig, SimNet, TRACKER, TrackerMood};
pub use node::{EffectCounts, NodeId, Reader, StreamEnd};
pub use puppet::{Said, Script, Wire};
pub use random::Random;
pub use seeds::for_seeds;
pub use steps::Steps;
pub use tamper::{Hand, Overheard, Tamper, fields, overheard, vouchers};
pub use trace::{Replay, replay};
pub use vault::{Deposit, Redemption, SessionKey, SimVault, Slashing};
pub use watch::{CommitSeen, Watch};
pub use web::{Serves, WebServer};
