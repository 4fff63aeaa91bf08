//! Swarms on a virtual clock: many peers, hostile ones among them, on thin links and full disks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod free_swarm;
mod harness;
mod hostile_names;
mod hostile_peers;
mod hostile_trackers;
mod many_peers;
mod pace;
mod replay;
mod selection;
mod storage_limit;
mod strangers;
mod streams;
mod thin_links;
mod uplink_use;
mod web_seeds;
