//! The daemon's money: prices of titles, what a kill costs, redemption without a command. The real vault on a real
//! node.
//!
//! Needs what `chain.rs` needs.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::daemon::{Daemon, config};
use crate::common::{Ended, Film, Program, Tracker, World, content, piecework};
use alloy_primitives::{B256, hex};
use piecework::types::{FineUnits, TokenUnits};
use serde_json::{Value, json};

const LENGTH: usize = 3_000_000;

fn key_file(path: &Path, key: B256) {
    fs::write(path, hex::encode(key)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn number(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

/// What so many bytes cost at a price in tokens per GB.
fn cost(length: usize, tokens_per_gb: u128) -> u128 {
    let blocks = (length as u128).div_ceil(16 * 1024);
    blocks * FineUnits::per_block_from_per_gb(tokens_per_gb * 1_000_000).0
}

/// A chain, titles, a daemon's folder with a payee's key, and a buyer's key.
struct Market {
    world: World,
    home: tempfile::TempDir,
    tracker: String,
}

impl Market {
    fn new(tracker: &str) -> Market {
        let home = tempfile::tempdir().unwrap();
        key_file(&home.path().join("payee.key"), B256::repeat_byte(0x52));
        key_file(&home.path().join("session.key"), B256::repeat_byte(0x51));
        Market {
            world: World::new(),
            home,
            tracker: tracker.to_owned(),
        }
    }

    fn film(&self, name: &str, number: usize) -> Film {
        let bytes = content(LENGTH + number)[number..].to_vec();
        Film::named(name, bytes, &self.tracker)
    }

    fn chain_table(&self) -> String {
        format!(
            "[chain]\nvault = \"{}\"\nchain_id = 31337\nrpc = \"{}\"\ntoken = \"{}\"\n",
            self.world.vault.address, self.world.anvil.url, self.world.token
        )
    }

    /// A daemon that sells these for so many tokens per GB, the first at the default.
    fn daemon(&self, sell: &str, titles: &[(&Film, Option<&str>)]) -> Daemon {
        let mut rest = format!(
            "{}[sell]\npayee_key = \"payee.key\"\n{sell}\n",
            self.chain_table()
        );
        for (film, price) in titles {
            let dir = film.dir.path().display();
            rest += &format!("[[torrent]]\nsource = \"{dir}/film.torrent\"\ndata = \"{dir}\"\n");
            rest += &price.map_or(String::new(), |price| format!("price = \"{price}\"\n"));
        }
        let mut daemon = Daemon::start(self.home.path(), &config(&self.tracker, &rest));
        let hashes: Vec<&str> = titles
            .iter()
            .map(|(film, _)| film.info_hash.as_str())
            .collect();
        daemon.seeds(&hashes);
        daemon
    }

    /// Buys a title, and answers what it paid for it.
    fn buy(&self, film: &Film) -> u128 {
        let into = tempfile::tempdir().unwrap();
        let owner = self.world.owner.to_string();
        let key = self.home.path().join("session.key");
        let (vault, token) = (
            self.world.vault.address.to_string(),
            self.world.token.to_string(),
        );
        let mut buyer = film.getting(
            into.path(),
            &[
                "--max-price",
                "30",
                "--budget",
                "1",
                "--owner",
                &owner,
                "--session-key",
                key.to_str().unwrap(),
                "--vault",
                &vault,
                "--token",
                &token,
                "--chain-id",
                "31337",
                "--rpc",
                &self.world.anvil.url,
            ],
        );
        let summary = buyer.until(|line| line["event"] == "summary");
        assert_eq!(buyer.exit_code(), Some(0));
        assert_eq!(fs::read(into.path().join(&film.name)).unwrap(), film.bytes);
        let peers = summary["torrents"][0]["peers"].as_array().unwrap().iter();
        peers.map(|peer| number(&peer["bought_fine"])).sum()
    }
}

async fn with_market(test: impl FnOnce(Market) + Send + 'static) {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    tokio::task::spawn_blocking(move || test(Market::new(&url)))
        .await
        .unwrap();
    tracker.handle.shutdown().await;
}

/// What each title earned is on record: waits for that sum.
fn until_earned(daemon: &mut Daemon, sum: u128) {
    daemon.until(|line| {
        let torrents = line["torrents"].as_array().into_iter().flatten();
        let earned: u128 = torrents
            .map(|torrent| number(&torrent["earned_fine"]))
            .sum();
        line["event"] == "stats" && earned == sum
    });
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn each_title_is_sold_at_its_price_and_neither_sales_nor_prices_are_lost_by_a_kill() {
    with_market(|market| {
        let (a, b) = (market.film("a.mp4", 0), market.film("b.mp4", 1));
        let manual = "price = \"10\"\nredeem_every = 0";
        let mut daemon = market.daemon(manual, &[(&a, None), (&b, Some("20"))]);
        let mut earned = 0;
        for (film, price) in [(&a, 10), (&b, 20)] {
            let paid = market.buy(film);
            assert_eq!(paid, cost(LENGTH, price), "{}", film.name);
            earned += paid;
        }

        // The next buyer pays what was set over HTTP.
        let path = format!("/torrents/{}", a.info_hash);
        let set = daemon.post_json("PATCH", &path, &json!({"price": 5}));
        assert_eq!(set.status, 200, "{}", set.text);
        assert_eq!(set.json()["tokens_per_gb"], "5");
        let paid = market.buy(&a);
        assert_eq!(paid, cost(LENGTH, 5));
        earned += paid;

        until_earned(&mut daemon, earned);
        let mut daemon = daemon.killed();
        daemon.seeds(&[&a.info_hash, &b.info_hash]);
        let stats = daemon.get("/stats");
        assert_eq!(
            number(&stats["money"]["redeemable_fine"]),
            earned,
            "{stats}"
        );
        assert_eq!(daemon.get(&path)["tokens_per_gb"], "5");
        let other = daemon.get(&format!("/torrents/{}", b.info_hash));
        assert_eq!(other["tokens_per_gb"], "20");
        let sold = daemon.get("/history");
        let lines = sold["lines"].as_array().unwrap().iter();
        let sold: u128 = lines
            .filter(|line| line["kind"] == "sold")
            .map(|line| number(&line["amount_fine"]))
            .sum();
        assert_eq!(sold, earned);
        assert_eq!(
            market.buy(&a),
            cost(LENGTH, 5),
            "the price outlived the kill"
        );

        earned += cost(LENGTH, 5);
        until_earned(&mut daemon, earned);
        let redeemed = daemon.request("POST", "/redeem", None).json();
        let batches = redeemed["batches"].as_array().unwrap();
        assert!(!batches.is_empty() && batches.iter().all(|batch| batch["ok"] == true));
        let paid: u128 = batches.iter().map(|batch| number(&batch["paid"])).sum();
        assert_eq!(number(&redeemed["money"]["redeemable"]), 0, "{redeemed}");
        let (chain, payee) = (market.world.chain(), market.world.payee.address());
        let held = chain.token_balance(market.world.token, payee);
        assert_eq!(held, Ok(TokenUnits(paid)));

        // Once the operator writes another price, that one counts.
        drop(daemon);
        let daemon = market.daemon(manual, &[(&a, Some("8")), (&b, Some("20"))]);
        assert_eq!(daemon.get(&path)["tokens_per_gb"], "8");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn what_is_due_is_redeemed_without_a_command() {
    with_market(|market| {
        let a = market.film("a.mp4", 0);
        let sell = "price = \"30\"\nredeem_every = 1\nmin_redeem_sum = \"0.01\"";
        let mut daemon = market.daemon(sell, &[(&a, None)]);
        assert_eq!(market.buy(&a), cost(LENGTH, 30));
        let report = daemon.until(|line| line["event"] == "redeemed");
        assert_eq!(report["ok"], true, "{report}");
        let paid = TokenUnits(number(&report["paid"]));
        assert!(paid.0 > 0);
        let (chain, payee) = (market.world.chain(), market.world.payee.address());
        assert!(chain.token_balance(market.world.token, payee).unwrap() >= paid);
        let metrics = daemon.request("GET", "/metrics", None).text;
        let done = "piecework_redemptions_total{result=\"done\"} ";
        let done = metrics
            .lines()
            .find_map(|line| line.strip_prefix(done))
            .unwrap();
        assert!(done.parse::<u64>().unwrap() >= 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn a_daemon_buys_what_it_is_told_to_fetch_and_sells_it_at_its_own_price() {
    with_market(|market| {
        let a = market.film("a.mp4", 0);
        let payee = market.home.path().join("payee.key");
        let (vault, token) = (
            market.world.vault.address.to_string(),
            market.world.token.to_string(),
        );
        let mut seller = a.seeding_from(
            a.dir.path(),
            &[
                "--price",
                "10",
                "--payee-key",
                payee.to_str().unwrap(),
                "--vault",
                &vault,
                "--token",
                &token,
                "--chain-id",
                "31337",
                "--rpc",
                &market.world.anvil.url,
                "--redeem-every",
                "0",
            ],
        );
        seller.until(|line| line["event"] == "seeding");
        let rest = format!(
            "{}[buy]\nowner = \"{}\"\nsession_key = \"session.key\"\nmax_price = 20\nbudget = 1\n",
            market.chain_table(),
            market.world.owner
        );
        let mut daemon = Daemon::start(market.home.path(), &config(&market.tracker, &rest));
        let torrent = fs::read(a.dir.path().join("film.torrent")).unwrap();
        let add = |query: &str| {
            let path = format!("/torrents?{query}");
            daemon.request("POST", &path, Some(("application/x-bittorrent", &torrent)))
        };
        assert_eq!(add("price=12").status, 400, "nobody is paid");
        let added = add("max_price=15");
        assert_eq!(added.status, 201, "{}", added.text);
        daemon.seeds(&[&a.info_hash]);
        assert_eq!(
            fs::read(market.home.path().join("data/a.mp4")).unwrap(),
            a.bytes
        );
        let shown = daemon.get(&format!("/torrents/{}", a.info_hash));
        let paid = shown["peers"].as_array().unwrap().iter();
        let paid: u128 = paid.map(|peer| number(&peer["bought_fine"])).sum();
        assert_eq!(paid, cost(LENGTH, 10), "{shown}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn a_vault_that_buyers_leave_too_soon_gets_no_price_unless_the_operator_says_so() {
    with_market(|market| {
        let a = market.film("a.mp4", 0);
        let sink = alloy_primitives::Address::repeat_byte(0xdd);
        let zero = alloy_primitives::Address::ZERO;
        let hour = alloy_primitives::U256::from(3600);
        let arguments = (market.world.token, zero, sink, hour);
        let arguments = alloy_sol_types::SolValue::abi_encode_params(&arguments);
        let hasty = market.world.anvil.deploy("PieceworkVault", &arguments).to_string();
        let dir = a.dir.path().display();
        let rest = format!(
            "{}[sell]\npayee_key = \"payee.key\"\nprice = 3\n[[torrent]]\nsource = \"{dir}/film.torrent\"\n",
            market.chain_table().replace(&market.world.vault.address.to_string(), &hasty)
        );
        fs::write(market.home.path().join("serve.toml"), config(&market.tracker, &rest)).unwrap();
        let ended = Ended::of(&piecework(market.home.path(), &["serve", "serve.toml"]));
        ended.assert_refused(1, &["exit"]);
        let accepted = rest.replace("price = 3", "price = 3\naccept_short_exit = true");
        fs::write(market.home.path().join("serve.toml"), config(&market.tracker, &accepted)).unwrap();
        let mut daemon = Program::start_in(market.home.path(), &["serve", "serve.toml", "--json"]);
        daemon.until(|line| line["event"] == "listening");
    })
    .await;
}
