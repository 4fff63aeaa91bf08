//! Money in swarms on a virtual clock: the cost of faults, restarts and hostile payers and payees, and who bears it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod adversary;
mod bond;
mod decimals;
mod drippers;
mod keeping;
mod levels;
mod payees;
mod payers;
mod payments;
mod prices;
mod receipts;
mod reconcile;
mod restart;
mod restored_profile;
mod royalties;
mod scene;
mod spoilers;
mod steps;
mod titles;
mod watching;
mod web_seeds;
