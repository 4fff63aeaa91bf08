//! Money end to end: a native payer, a native payee, the real vault on a real node.
//!
//! Needs what `chain.rs` needs.

use std::io::Write;
use std::path::Path;

use crate::common::{Film, Program, Tracker, World, content};
use alloy_primitives::{B256, hex};
use piecework::native::keys::KeyPair;
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
    let ran = tokio::task::spawn_blocking(move || trade(&url, &["--redeem-every", "0"], LENGTH));
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn full_ranges_are_redeemed_without_a_word_of_the_operator() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let redeems = &["--redeem-every", "1"];
    let ran = tokio::task::spawn_blocking(move || trade(&url, redeems, 3 * LENGTH));
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn what_a_buyer_waits_for_is_redeemed_before_its_turn_comes() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    // Its turn comes in a day.
    let redeems = &["--redeem-every", "86400", "--min-redeem-sum", "0.01"];
    let ran = tokio::task::spawn_blocking(move || trade(&url, redeems, 3 * LENGTH));
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn less_than_the_least_sum_is_redeemed_on_command_alone() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    // A hundred times what is earned here.
    let redeems = &[
        "--redeem-every",
        "1",
        "--min-redeem-sum",
        "12",
        "--stats",
        "1",
    ];
    let ran = tokio::task::spawn_blocking(move || trade(&url, redeems, 3 * LENGTH));
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn what_is_worth_less_than_a_tenth_of_its_gas_is_redeemed_on_command_alone() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    // Gas for a dollar and more, for twelve cents.
    let redeems = &[
        "--redeem-every",
        "1",
        "--min-redeem-sum",
        "0.01",
        "--min-redeem",
        "0.01",
        "--coin-price",
        "3000",
    ];
    let ran = tokio::task::spawn_blocking(move || trade(&url, redeems, 3 * LENGTH));
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

/// A whole sale. `redeems`: when the seeder redeems by itself.
fn trade(tracker: &str, redeems: &[&str], length: usize) {
    let is_dear = redeems.contains(&"--coin-price");
    let on_command = redeems[1] == "0" || redeems.contains(&"12") || is_dear;
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
    let sell = [
        "seed",
        &torrent,
        "--data",
        &seed,
        "--price",
        "10",
        "--payee-key",
        &payee_key,
        "--json",
        "--stdin-commands",
    ];
    let mut seeder = with_chain(&[&sell[..], redeems].concat());
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

    if !on_command {
        // Twelve cents were earned, in ranges of one to four: the full ones are worth their gas.
        let report = seeder.until(|line| line["event"] == "redeemed");
        assert_eq!(report["ok"], true, "{report}");
        let paid = number(&report["paid"]);
        assert!(paid >= u128::from(crate::common::TRANCHE) - 1, "{report}");
        let held = world
            .chain()
            .token_balance(world.token, world.payee.address());
        assert!(held.unwrap() >= TokenUnits(paid));
        seeder.say("quit");
        assert_eq!(seeder.exit_code(), Some(0));
        return;
    }

    if is_dear {
        let report = seeder.until(|line| line["event"] == "redeemed");
        assert_eq!(report["ok"], false, "{report}");
        let why = report["error"].as_str().unwrap();
        assert!(
            why.contains("may go to gas") && why.contains("redeem on command"),
            "{report}"
        );
        let held = world
            .chain()
            .token_balance(world.token, world.payee.address());
        assert_eq!(held, Ok(TokenUnits(0)));
    }
    // Three turns at the least in which nothing was worth a transaction.
    if redeems.contains(&"--stats") {
        for _ in 0..4 {
            let said = seeder.until(|line| line["event"] == "stats" || line["event"] == "redeemed");
            assert_eq!(said["event"], "stats", "{said}");
        }
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

    // Both sides' accounts, from their records alone, name the title, the peer and the same sums.
    let lines = |kind: &str, from: &[&str]| {
        let mut history = run(&[&["history", "--json"], from].concat());
        let accounts = history.until(|_| true);
        assert_eq!(history.exit_code(), Some(0));
        assert_eq!(accounts[0]["vault"], vault, "{accounts}");
        let of_kind = |line: &&Value| line["kind"] == kind;
        let lines = accounts[0]["lines"].as_array().unwrap();
        lines.iter().filter(of_kind).cloned().collect::<Vec<_>>()
    };
    let bought = lines("bought", &["--session-key", &session_key]);
    let sold = lines("sold", &["--state", &state]);
    assert_eq!((bought.len(), sold.len()), (1, 1), "{bought:?} {sold:?}");
    for (line, peer) in [(&bought[0], world.payee.address()), (&sold[0], world.owner)] {
        assert_eq!(number(&line["amount_fine"]), earned, "{line}");
        assert_eq!(line["count"], serde_json::json!(blocks as u64), "{line}");
        assert_eq!(line["name"], "film.mp4", "{line}");
        assert_eq!(line["peer"], peer.to_string(), "{line}");
    }
    let redeemed = lines("redeemed", &["--state", &state]);
    assert_eq!(number(&redeemed[0]["amount"]), ledger, "{redeemed:?}");
    let gas = lines("gas", &["--state", &state, "--days", "2"]);
    assert!(number(&gas[0]["amount_wei"]) > 0, "{gas:?}");
    // The sold line's amount and unit, and how many lines there are.
    let table = |more: &[&str]| {
        let csv = std::process::Command::new(env!("CARGO_BIN_EXE_piecework"))
            .args(["history", "--csv", "--state", &state])
            .args(more)
            .output()
            .unwrap();
        let csv = String::from_utf8(csv.stdout).unwrap();
        let sold = csv.lines().find(|line| line.contains(",sold,film.mp4,"));
        let cells = sold.map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        let sold = cells.map(|cells| (cells[6].clone(), cells[7].clone()));
        (sold, csv.lines().count())
    };
    let (sold, lines) = table(&[]);
    let (amount, unit) = sold.expect("a line");
    assert_eq!(unit, "tokens");
    let units = |amount: &str, decimals: usize| {
        let (whole, part) = amount.split_once('.').unwrap_or((amount, ""));
        format!("{whole}{part:0<decimals$}")
            .parse::<u128>()
            .unwrap()
    };
    // A deployment file names the token of its vault, and other vaults are left out.
    let deployed = |chain_id: u64| {
        let file = serde_json::json!({
            "version": 1,
            "chainId": chain_id,
            "vault": {"address": vault, "block": 1, "deployer": vault, "exitDelay": 259_200},
            "token": {"address": vault, "symbol": "USDX", "decimals": 3},
            "compiler": "0.8.37+commit.f401782d",
        });
        let path = dir.path().join(format!("{chain_id}.json"));
        std::fs::write(&path, file.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (named, count) = table(&["--deployment", &deployed(world.vault.chain_id)]);
    let (in_usdx, unit) = named.expect("a line");
    assert_eq!((unit.as_str(), count), ("USDX", lines));
    assert_eq!(units(&in_usdx, 3), units(&amount, 6));
    assert_ne!(in_usdx, amount);
    let other = table(&["--deployment", &deployed(world.vault.chain_id + 1)]);
    assert_eq!(other, (None, 1), "the heading alone");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn one_key_buys_into_two_folders_and_promises_no_serial_twice() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || buy_into_two_folders(&url));
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

/// Two sellers who know nothing of each other, one buyer; each folder's purchase is paid on chain in full.
fn buy_into_two_folders(tracker: &str) {
    let world = World::new();
    let films = ["one", "two"].map(|name| {
        Film::named(
            name,
            content(LENGTH / 2 + name.len() + usize::from(name.as_bytes()[0])),
            tracker,
        )
    });
    let buyer = tempfile::tempdir().unwrap();
    let key = buyer.path().join("session.key");
    key_file(&key, B256::repeat_byte(0x51));
    let chain = chain_options(&world);
    let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
    let owner = world.owner.to_string();
    // The first is not redeemed when the second is bought: the chain knows of neither.
    let payees = [
        world.payee.clone(),
        KeyPair::from_bytes(&[0x54; 32]).unwrap(),
    ];
    let mut sellers = Vec::new();
    for (film, (payee, byte)) in films.iter().zip(payees.iter().zip([0x52, 0x54])) {
        let gas = serde_json::json!([payee.address(), "0xde0b6b3a7640000"]);
        world.anvil.call("anvil_setBalance", &gas);
        let payee_key = film.dir.path().join("payee.key");
        key_file(&payee_key, B256::repeat_byte(byte));
        let sell = [
            "--price",
            "10",
            "--redeem-every",
            "0",
            "--stdin-commands",
            "--payee-key",
            payee_key.to_str().unwrap(),
        ];
        let mut seller = film.seeding_from(film.dir.path(), &[&sell[..], &chain].concat());
        seller.until(|line| line["event"] == "seeding");
        let into = buyer.path().join(&film.name);
        let buy = [
            "--max-price",
            "10",
            "--budget",
            "1",
            "--owner",
            &owner,
            "--session-key",
            key.to_str().unwrap(),
        ];
        film.get(&into, &[&buy[..], &chain].concat()).assert_done();
        assert_eq!(std::fs::read(into.join(&film.name)).unwrap(), film.bytes);
        sellers.push(seller);
    }
    let mut serials = std::collections::BTreeSet::new();
    for mut seller in sellers {
        seller.say("redeem");
        let redeemed = seller.until(|line| line["command"] == "redeem");
        assert_eq!(redeemed["ok"], true, "{redeemed}");
        assert_eq!(number(&redeemed["money"]["redeemable"]), 0, "{redeemed}");
        for range in redeemed["batches"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|batch| batch["ranges"].as_array().unwrap())
        {
            assert_eq!(range["status"], "paid", "{range}");
            let first = range["first"].as_u64().unwrap();
            for serial in first..first + range["count"].as_u64().unwrap() {
                assert!(serials.insert(serial), "serial {serial} was promised twice");
            }
        }
    }
    assert!(serials.len() >= 2);
}

fn chain_options(world: &World) -> Vec<String> {
    let (vault, token) = (world.vault.address.to_string(), world.token.to_string());
    [
        "--vault",
        &vault,
        "--token",
        &token,
        "--chain-id",
        "31337",
        "--rpc",
        &world.anvil.url,
    ]
    .map(str::to_owned)
    .to_vec()
}
