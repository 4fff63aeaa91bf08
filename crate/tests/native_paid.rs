//! Money end to end: a native payer, a native payee, the real vault on a real node.
//!
//! Needs what `native_chain.rs` needs.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod native_common;

use std::io::Write;
use std::path::Path;

use alloy_primitives::{B256, hex};
use native_common::{Program, Tracker, World, content};
use piecework::types::{FineUnits, TokenUnits};
use serde_json::Value;

const LENGTH: usize = 4_000_000;

fn key_file(path: &Path, key: B256) {
    std::fs::write(path, "").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut file = std::fs::File::options().write(true).open(path).unwrap();
    writeln!(file, "{}", hex::encode(key)).unwrap();
}

fn number(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn the_seller_is_paid_on_chain_what_its_ledger_says() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || trade(&url, "0", LENGTH));
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn full_ranges_are_redeemed_without_a_word_of_the_operator() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || trade(&url, "1", 3 * LENGTH));
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

/// A whole sale. `redeem_every`: as the seeder is told; "0": it redeems on command.
fn trade(tracker: &str, redeem_every: &str, length: usize) {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let bytes = content(length);
    std::fs::create_dir(dir.path().join("seed")).unwrap();
    std::fs::write(dir.path().join("seed/film.mp4"), &bytes).unwrap();
    key_file(&dir.path().join("payee.key"), B256::repeat_byte(0x52));
    key_file(&dir.path().join("session.key"), B256::repeat_byte(0x51));
    let (torrent, film) = (at("film.torrent"), at("seed/film.mp4"));
    let (seed, got) = (at("seed"), at("got"));
    let (payee_key, session_key) = (at("payee.key"), at("session.key"));
    let (vault, token) = (world.vault.address.to_string(), world.token.to_string());
    let owner = world.owner.to_string();
    let chain = [
        "--vault",
        &vault,
        "--token",
        &token,
        "--chain-id",
        "31337",
        "--rpc",
        &world.anvil.url,
    ];
    let run = |args: &[&str]| Program::start(args);
    let with_chain = |args: &[&str]| Program::start(&[args, &chain[..]].concat());

    let mut create = run(&[
        "create",
        &film,
        "-o",
        &torrent,
        "--tracker",
        tracker,
        "--json",
    ]);
    assert_eq!(create.exit_code(), Some(0));
    let mut seeder = with_chain(&[
        "seed",
        &torrent,
        "--data",
        &seed,
        "--price",
        "10",
        "--payee-key",
        &payee_key,
        "--redeem-every",
        redeem_every,
        "--json",
        "--stdin-commands",
    ]);
    seeder.until(|line| line["event"] == "seeding");

    let mut getter = with_chain(&[
        "get",
        &torrent,
        "-o",
        &got,
        "--max-price",
        "10",
        "--budget",
        "1",
        "--owner",
        &owner,
        "--session-key",
        &session_key,
        "--json",
    ]);
    let bought = getter.until(|line| line["event"] == "summary");
    assert_eq!(getter.exit_code(), Some(0));
    assert_eq!(
        std::fs::read(dir.path().join("got/film.mp4")).unwrap(),
        bytes
    );

    if redeem_every != "0" {
        // Twelve cents were earned, in ranges of one to four: the full ones are worth their gas.
        let report = seeder.until(|line| line["event"] == "redeemed");
        assert_eq!(report["ok"], true, "{report}");
        let paid = number(&report["paid"]);
        assert!(paid >= u128::from(native_common::TRANCHE) - 1, "{report}");
        let held = world
            .chain()
            .token_balance(world.token, world.payee.address());
        assert!(held.unwrap() >= TokenUnits(paid));
        seeder.say("quit");
        assert_eq!(seeder.exit_code(), Some(0));
        return;
    }

    // Every block was paid, at the price asked.
    let blocks = (length as u128).div_ceil(16 * 1024);
    let unit = FineUnits::per_block_from_per_gb(10_000_000);
    seeder.say("stats");
    let sold = seeder.until(|line| line["command"] == "stats");
    let earned = number(&sold["money"]["redeemable_fine"]);
    assert_eq!(earned, blocks * unit.0, "{sold}");
    assert_eq!(number(&bought["money"]["spent_fine"]), earned, "{bought}");
    let ledger = number(&sold["money"]["redeemable"]);

    // What the chain paid is what the ledger said.
    seeder.say("redeem");
    let redeemed = seeder.until(|line| line["command"] == "redeem");
    assert_eq!(redeemed["ok"], true, "{redeemed}");
    let paid: u128 = redeemed["batches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|batch| number(&batch["paid"]))
        .sum();
    assert_eq!(paid, ledger, "{redeemed}");
    assert_eq!(number(&redeemed["money"]["redeemable"]), 0, "{redeemed}");
    let held = world
        .chain()
        .token_balance(world.token, world.payee.address());
    assert_eq!(held, Ok(TokenUnits(ledger)));
    seeder.say("quit");
    assert_eq!(seeder.exit_code(), Some(0));

    let state = at("seed/.piecework");
    let mut balance = with_chain(&[
        "balance",
        "--payee-key",
        &payee_key,
        "--state",
        &state,
        "--json",
    ]);
    let balance = balance.until(|_| true);
    assert_eq!(number(&balance["token_balance"]), ledger);
    assert_eq!(number(&balance["earned"]["redeemable"]), 0);
    let mut redeem = with_chain(&[
        "redeem",
        "--state",
        &state,
        "--payee-key",
        &payee_key,
        "--json",
    ]);
    let nothing = redeem.until(|_| true);
    assert_eq!(nothing["batches"], serde_json::json!([]));
    assert_eq!(redeem.exit_code(), Some(0));
}
