//! Redemptions that the chain makes hard: what costs too much at once, and what fails.

use std::collections::BTreeSet;

use crate::common::{CHAIN_ID, Film, Node, Program, VAULT, earned, exiting, paid_run};
use serde_json::{Value, json};

const GWEI: u128 = 1_000_000_000;

/// Whose ranges were in a transaction.
fn owners(batch: &Value) -> BTreeSet<String> {
    let ranges = batch["ranges"].as_array().unwrap().iter();
    ranges
        .map(|range| range["owner"].as_str().unwrap().to_owned())
        .collect()
}

/// A node on whose chain eight claims are too dear for one transaction: 0.03 of its coin. Fewer are not.
fn dear(node: &Node) {
    node.set_base_fee(3 * GWEI);
    node.set_once("eth_estimateGas", json!("0x3d0900"));
    node.set_quantity("eth_estimateGas", 800_000);
    node.mines();
}

#[test]
fn what_is_too_dear_in_one_transaction_is_redeemed_in_smaller_ones() {
    for gas in ["0x3d0900", "0x1c9c381"] {
        let (film, node) = (earned(8), Node::start());
        dear(&node);
        // Too dear, or more than any redemption may take: twice, so a quarter is left.
        node.set_once("eth_estimateGas", json!(gas));
        let redeem = ["redeem", "--state", ".piecework"];
        let mut redeem = paid_run(film.dir.path(), &node, &redeem);
        let report = redeem.until(|line| line["batches"].is_array());
        let batches = report["batches"].as_array().unwrap();
        assert_eq!(owners(&batches[0]).len(), 2, "{report}");
        // What was left out follows.
        let all: BTreeSet<String> = batches.iter().flat_map(owners).collect();
        assert_eq!(all.len(), 8, "{report}");
        assert_eq!(node.sent().len(), batches.len());
        assert_eq!(redeem.exit_code(), Some(0), "{report}");
    }
    // One claim alone has no smaller part.
    let (film, node) = (earned(1), Node::start());
    dear(&node);
    let redeem = ["redeem", "--state", ".piecework"];
    let mut redeem = paid_run(film.dir.path(), &node, &redeem);
    let report = redeem.until(|line| line["batches"].is_array());
    let error = report["batches"][0]["error"].as_str().unwrap();
    assert!(error.contains("wait until gas costs less"), "{report}");
    assert_eq!(redeem.exit_code(), Some(1));
    assert!(node.sent().is_empty());
}

#[test]
fn what_the_payee_cannot_pay_for_in_one_transaction_is_redeemed_in_smaller_ones() {
    let (film, node) = (earned(8), Node::start());
    node.mines();
    // Twice too little for as many, so a quarter is left.
    node.set_once("eth_getBalance", json!("0x1"));
    node.set_once("eth_getBalance", json!("0x1"));
    let redeem = ["redeem", "--state", ".piecework"];
    let mut run = paid_run(film.dir.path(), &node, &redeem);
    let report = run.until(|line| line["batches"].is_array());
    let batches = report["batches"].as_array().unwrap();
    assert_eq!(owners(&batches[0]).len(), 2, "{report}");
    let all: BTreeSet<String> = batches.iter().flat_map(owners).collect();
    assert_eq!(all.len(), 8, "{report}");
    // Not even for one: it says what is needed.
    let (film, node) = (earned(2), Node::start());
    node.set_quantity("eth_getBalance", 1);
    let mut run = paid_run(film.dir.path(), &node, &redeem);
    let report = run.until(|line| line["batches"].is_array());
    let error = report["batches"][0]["error"].as_str().unwrap();
    assert!(error.contains("send it some"), "{report}");
    assert!(node.sent().is_empty());
}

#[test]
fn what_is_due_at_once_is_tried_again_soon_where_it_failed_or_had_no_room() {
    let (film, node) = (earned(8), Node::start());
    node.set("state(bytes32,uint256)", json!(exiting()));
    // One answer of a node that is busy.
    node.fails("eth_estimateGas", 1);
    dear(&node);
    let seed = [
        "seed",
        "film.torrent",
        "--data",
        ".",
        "--redeem-every",
        "604800",
        "--min-redeem-sum",
        "0.001",
    ];
    let mut seller = paid_run(film.dir.path(), &node, &seed);
    let mut redeemed = || seller.until(|line| line["event"] == "redeemed");
    let first = redeemed();
    assert_eq!(first["ok"], false, "{first}");
    let second = redeemed();
    assert_eq!(second["ok"], true, "{second}");
    assert_eq!(owners(&second).len(), 4, "{second}");
    let third = redeemed();
    assert_eq!(third["ok"], true, "{third}");
    let all: BTreeSet<String> = [&second, &third].into_iter().flat_map(owners).collect();
    assert_eq!(all.len(), 8, "{second} {third}");
}

#[test]
fn earnings_wait_until_their_gas_is_worth_it_and_that_is_said_once() {
    let (film, node) = (earned(8), Node::start());
    node.set("state(bytes32,uint256)", json!(exiting()));
    // 51,200 units; gas for 0.0024 coins, which are 7.2 tokens.
    dear(&node);
    let seed = [
        "seed",
        "film.torrent",
        "--data",
        ".",
        "--redeem-every",
        "1",
        "--min-redeem-sum",
        "0.001",
        "--min-redeem",
        "0.001",
        "--coin-price",
        "3000",
        "--stats",
        "1",
    ];
    let mut seller = paid_run(film.dir.path(), &node, &seed);
    let first = seller.until(|line| line["event"] == "redeemed");
    assert_eq!(first["ok"], false, "{first}");
    let why = first["error"].as_str().unwrap();
    // Their buyer withdraws, so all of the sum may.
    let says = "at most 0.0512 of the 0.0512 earned may go to gas";
    assert!(why.contains(says) && !why.contains("wei"), "{first}");
    // Some turns later.
    for _ in 0..4 {
        let said = seller.until(|line| line["event"] == "stats" || line["event"] == "redeemed");
        assert_eq!(said["event"], "stats", "{said}");
    }
    assert!(node.sent().is_empty());
    // Their sum is 51,200 units, which are 0.000017 coins. Gas takes more than a tenth of it now, and less than all.
    node.set_base_fee(7_000_000);
    let second = seller.until(|line| line["event"] == "redeemed");
    assert_eq!(second["ok"], true, "{second}");
    assert_eq!(
        owners(&second).len(),
        8,
        "nothing was sent behind others: {second}"
    );
}

#[test]
fn the_least_claim_follows_the_price_of_gas_down() {
    let seed = [
        "seed",
        "film.torrent",
        "--data",
        ".",
        "--redeem-every",
        "1",
        "--coin-price",
        "3000",
        "--stats",
        "1",
    ];
    follows_gas_down(|film, node| paid_run(film.dir.path(), node, &seed));
}

#[test]
fn a_daemons_least_claim_follows_the_price_of_gas_down() {
    follows_gas_down(|film, node| {
        let text = format!(
            "data = \".\"\n[network]\nice_servers = []\n\
             [chain]\nvault = \"{VAULT}\"\nchain_id = {CHAIN_ID}\nrpc = \"{}\"\n\
             [sell]\npayee_key = \"payee.key\"\nredeem_every = 1\ncoin_price = \"3000\"\n\
             [[torrent]]\nsource = \"film.torrent\"\n",
            node.config().rpc_url
        );
        std::fs::write(film.dir.path().join("serve.toml"), text).unwrap();
        let serve = ["serve", "serve.toml", "--json", "--stats", "1"];
        Program::start_in(film.dir.path(), &serve)
    });
}

/// What a seller does that redeems every second and knows that a coin costs 3,000 tokens.
fn follows_gas_down(start: impl FnOnce(&Film, &Node) -> Program) {
    let (film, node) = (earned(8), Node::start());
    node.set("state(bytes32,uint256)", json!(exiting()));
    // A claim's gas is worth 0.24 tokens and more, and each of the claims 0.0064.
    node.set_base_fee(3 * GWEI);
    node.set_quantity("eth_estimateGas", 800_000);
    node.mines();
    let mut seller = start(&film, &node);
    for _ in 0..5 {
        let said = seller.until(|line| line["event"] == "stats" || line["event"] == "redeemed");
        assert_eq!(said["event"], "stats", "{said}");
    }
    assert!(node.sent().is_empty());
    node.set_base_fee(1_000_000);
    let redeemed = seller.until(|line| line["event"] == "redeemed");
    assert_eq!(redeemed["ok"], true, "{redeemed}");
    assert_eq!(owners(&redeemed).len(), 8, "{redeemed}");
}
