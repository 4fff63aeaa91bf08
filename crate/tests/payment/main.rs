//! The machines of both sides of a payment, without a network: by hand, and by property in a world of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accounts;
mod adversary;
mod amounts;
mod bookkeeping;
mod boundaries;
mod buyer_calls;
mod buyer_choice;
mod buyer_hears;
mod buyer_remembers;
mod guards;
mod hand;
mod hostile_buyers;
mod hostile_sellers;
mod impostor;
mod losses;
mod lost_claims;
mod machines;
mod messages_payee;
mod messages_payer;
mod nodes;
mod payee;
mod payee_claims;
mod payee_commits;
mod payee_credit;
mod payee_limits;
mod payee_races;
mod payee_scene;
mod payee_store;
mod payer;
mod places;
mod promises;
mod reconcile;
mod redemptions;
mod shop;
mod specification;
mod stakes;
mod switches;
mod vectors;
mod world;
