//! What a node says of fees, gas and exit delays, believed only as far as the operator allows.

use crate::common::{Ended, Film, Node, Program, content, piecework};
use alloy_primitives::{Address, B256, U256};
use alloy_rlp::{Decodable, Header};
use piecework::native::chain::{Chain, ChainError};
use piecework::native::keys::KeyPair;
use piecework::native::records::Records;
use piecework::native::sending::MAX_COST_WEI;
use piecework::payment::voucher::abi::Claim;
use serde_json::{Value, json};

const GWEI: u128 = 1_000_000_000;
const NO_TRACKER: &str = "ws://127.0.0.1:9";

/// A claim that only this node finds worth anything.
fn claim() -> Claim {
    Claim {
        owner: Address::repeat_byte(2),
        first: 1,
        count: 1,
        content: B256::ZERO,
        base: alloy_primitives::aliases::U96::ZERO,
        unit: alloy_primitives::aliases::U96::from(7),
        steps: 256,
        k: 3,
        w: B256::repeat_byte(1),
        salt: B256::ZERO,
        r: B256::repeat_byte(1),
        vs: B256::repeat_byte(9),
    }
}

fn redeem(node: &Node, max_fee_per_gas: u128) -> Result<(), ChainError> {
    let payee = KeyPair::from_bytes(&[0x52; 32]).unwrap();
    let chain = Chain::new(&node.config()).unwrap();
    let to = payee.address();
    chain
        .redeem(&[claim()], &payee, to, max_fee_per_gas)
        .map(drop)
}

/// Nonce, tip, fee and gas of a raw EIP-1559 transaction.
fn fields(raw: &[u8]) -> (u64, u128, u128, u64) {
    assert_eq!(raw[0], 2);
    let mut rest = &raw[1..];
    assert!(Header::decode(&mut rest).unwrap().list);
    let _chain = u64::decode(&mut rest).unwrap();
    let nonce = u64::decode(&mut rest).unwrap();
    let tip = u128::decode(&mut rest).unwrap();
    let fee = u128::decode(&mut rest).unwrap();
    (nonce, tip, fee, u64::decode(&mut rest).unwrap())
}

/// Tip, fee and gas of a raw EIP-1559 transaction.
fn offered(raw: &[u8]) -> (u128, u128, u64) {
    let (_, tip, fee, gas) = fields(raw);
    (tip, fee, gas)
}

#[test]
fn a_node_that_lies_about_fees_gets_no_more_than_the_operator_allows() {
    // Base fee and tip as told, what is allowed; tip and fee that are offered.
    for (base, tip, allowed, offers) in [
        (GWEI, GWEI, 10 * GWEI, Some((GWEI, 3 * GWEI))),
        (
            GWEI / 1000,
            GWEI / 1000,
            10 * GWEI,
            Some((GWEI / 1000, 3 * GWEI / 1000)),
        ),
        // A tip is no more than the base fee and a tenth of a gwei.
        (
            GWEI,
            u128::MAX,
            10 * GWEI,
            Some((11 * GWEI / 10, 31 * GWEI / 10)),
        ),
        (0, 5000 * GWEI, 10 * GWEI, Some((GWEI / 10, GWEI / 10))),
        // The limit is one on what is offered, not only on what is asked now.
        (4 * GWEI, GWEI, 6 * GWEI, Some((GWEI, 6 * GWEI))),
        (6 * GWEI, GWEI, 6 * GWEI, None),
        (11 * GWEI, 0, 10 * GWEI, None),
        (u128::MAX, u128::MAX, 10 * GWEI, None),
        (GWEI, 0, 1, None),
    ] {
        let node = Node::start();
        node.set_base_fee(base);
        node.set_quantity("eth_maxPriorityFeePerGas", tip);
        node.mines();
        let result = redeem(&node, allowed);
        let sent = node.sent();
        match offers {
            Some((tip, fee)) => {
                assert_eq!(result, Ok(()), "{base} {tip}");
                assert_eq!(offered(&sent[0]), (tip, fee, 125_000));
            }
            None => {
                let error = result.unwrap_err();
                assert!(matches!(error, ChainError::GasTooDear { .. }), "{error}");
                assert!(error.to_string().contains("--max-fee-per-gas"), "{error}");
                assert!(!error.may_be_mined());
                assert!(sent.is_empty(), "{base} {tip}");
            }
        }
    }
}

#[test]
fn a_transaction_never_costs_more_than_its_share_of_the_coin() {
    // Gas as estimated, base fee: at 31,250,000 gas, 0.02 of the coin are 0.64 gwei.
    for (gas, base, sends) in [
        (25_000_000, 3 * GWEI / 10, true),
        (25_000_000, 4 * GWEI / 10, false),
        (2_000_000, 9 * GWEI, false),
        (30_000_001, 1, false),
        (u128::from(u64::MAX), 1, false),
        (u128::MAX, 1, false),
    ] {
        let node = Node::start();
        node.set_quantity("eth_estimateGas", gas);
        node.set_base_fee(base);
        node.set_quantity("eth_maxPriorityFeePerGas", 0);
        node.set_quantity("eth_getBalance", u128::MAX);
        node.mines();
        let result = redeem(&node, 10 * GWEI);
        assert_eq!(result.is_ok(), sends, "{gas} {base}: {result:?}");
        let costs = |raw: &Vec<u8>| {
            let (_, fee, gas) = offered(raw);
            fee * u128::from(gas)
        };
        assert_eq!(node.sent().len(), usize::from(sends));
        assert!(node.sent().iter().all(|raw| costs(raw) <= MAX_COST_WEI));
    }
    let node = Node::start();
    node.set_quantity("eth_getBalance", 1);
    assert!(matches!(
        redeem(&node, 10 * GWEI),
        Err(ChainError::NoGas { balance: 1, .. })
    ));
    // Nonsense in the place of numbers.
    for (method, answer) in [
        ("eth_getBlockByNumber", json!({})),
        ("eth_getBlockByNumber", Value::Null),
        ("eth_maxPriorityFeePerGas", json!("-1")),
        ("eth_estimateGas", json!({"gas": 1})),
        (
            "eth_getTransactionCount",
            json!(format!("{:#x}", U256::MAX)),
        ),
    ] {
        let node = Node::start();
        node.set(method, answer);
        assert!(redeem(&node, 10 * GWEI).is_err(), "{method}");
        assert!(node.sent().is_empty(), "{method}");
    }
}

#[test]
fn a_transaction_that_is_out_is_followed_though_a_look_at_it_fails() {
    for answer in [Value::Null, json!("nonsense"), json!({"status": "0x1"})] {
        let node = Node::start();
        node.mines();
        node.set_once("eth_getTransactionReceipt", answer.clone());
        assert_eq!(redeem(&node, 10 * GWEI), Ok(()), "{answer}");
        assert_eq!(node.sent().len(), 1);
    }
}

#[test]
fn a_node_that_fails_before_it_is_sent_anything_was_sent_nothing() {
    for (method, is_out) in [
        ("eth_chainId", false),
        ("eth_getCode", false),
        ("eth_estimateGas", false),
        ("eth_getBlockByNumber", false),
        ("eth_getTransactionCount", false),
        ("eth_getBalance", false),
        ("eth_sendRawTransaction", true),
    ] {
        let node = Node::start();
        node.mines();
        node.set_once(method, Value::Null);
        let error = redeem(&node, 10 * GWEI).unwrap_err();
        assert_eq!(error.may_be_mined(), is_out, "{method}: {error}");
        assert!(node.sent().is_empty(), "{method}");
    }
}

#[test]
fn a_redemption_takes_the_place_of_one_that_is_in_no_block_and_does_not_wait_behind_it() {
    let node = Node::start();
    let payee = KeyPair::from_bytes(&[0x52; 32]).unwrap();
    let chain = Chain::new(&node.config()).unwrap();
    let redeem = |allowed| chain.redeem(&[claim()], &payee, payee.address(), allowed);
    node.set_base_fee(GWEI);
    node.set_quantity("eth_maxPriorityFeePerGas", GWEI);
    let counts = |mined, pending| {
        node.set_quantity("eth_getTransactionCount latest", mined);
        node.set_quantity("eth_getTransactionCount pending", pending);
    };
    // Whether it was taken is not known.
    counts(7, 7);
    node.set_once("eth_sendRawTransaction", json!({"no": "hash"}));
    let error = redeem(10 * GWEI).unwrap_err();
    assert!(error.may_be_mined(), "{error}");
    // It is out, at 3 gwei, and others of this key stand behind it.
    counts(7, 9);
    node.mines();
    // Where the node has it, it takes no other for as little.
    node.fails("eth_sendRawTransaction", 1);
    let dear = redeem(3 * GWEI).unwrap_err();
    assert!(matches!(dear, ChainError::GasTooDear { .. }), "{dear}");
    assert!(!dear.may_be_mined());
    redeem(10 * GWEI).unwrap();
    let (nonce, tip, fee, _) = fields(&node.sent()[0]);
    assert_eq!(nonce, 7);
    // Nodes take one in the place of another for a tenth more.
    assert!(tip > GWEI * 11 / 10 && fee > 33 * GWEI / 10, "{tip} {fee}");
    // That was in a block: the next comes behind all others.
    counts(8, 9);
    redeem(10 * GWEI).unwrap();
    assert_eq!(fields(&node.sent()[1]).0, 9);
}

#[test]
fn a_redemption_that_no_node_has_any_more_stops_no_later_one_however_tight_the_limit() {
    let node = Node::start();
    let payee = KeyPair::from_bytes(&[0x52; 32]).unwrap();
    let chain = Chain::new(&node.config()).unwrap();
    let redeem = || chain.redeem(&[claim()], &payee, payee.address(), 3 * GWEI);
    node.set_base_fee(GWEI);
    node.set_quantity("eth_maxPriorityFeePerGas", GWEI);
    node.set_quantity("eth_getTransactionCount latest", 7);
    node.set_quantity("eth_getTransactionCount pending", 7);
    // Whether it was taken is not known, and it was not. It offered all that is allowed.
    for _ in 0..3 {
        node.set_once("eth_sendRawTransaction", json!({"no": "hash"}));
        assert!(redeem().unwrap_err().may_be_mined());
    }
    node.mines();
    redeem().unwrap();
    let (nonce, _, fee, _) = fields(&node.sent()[0]);
    assert_eq!((nonce, fee), (7, 3 * GWEI));
}

#[test]
fn a_place_behind_transactions_that_no_node_has_any_more_is_given_up() {
    let (node, dir) = (Node::start(), tempfile::tempdir().unwrap());
    let payee = KeyPair::from_bytes(&[0x52; 32]).unwrap();
    // Each is another run.
    let redeem = || {
        let chain = Chain::new(&node.config()).unwrap();
        let chain = chain.remembering(dir.path(), payee.address()).unwrap();
        chain.redeem(&[claim()], &payee, payee.address(), 10 * GWEI)
    };
    node.set_base_fee(GWEI);
    node.set_quantity("eth_maxPriorityFeePerGas", GWEI);
    let counts = |mined, pending| {
        node.set_quantity("eth_getTransactionCount latest", mined);
        node.set_quantity("eth_getTransactionCount pending", pending);
    };
    // Two of this key are out before: of a wallet, or of a second seller that is paid at the same address.
    counts(5, 7);
    node.set_once("eth_sendRawTransaction", json!({"no": "hash"}));
    assert!(redeem().unwrap_err().may_be_mined());
    // Fees rose, and all three were dropped. What is sent at 7 would wait for two that nobody sends.
    counts(5, 5);
    node.set_once("eth_sendRawTransaction", json!({"no": "hash"}));
    assert!(redeem().unwrap_err().may_be_mined());
    // From then on its place is the new one.
    node.mines();
    redeem().unwrap();
    // One of the two is back, the other is not.
    counts(6, 6);
    redeem().unwrap();
    let nonces: Vec<u64> = node.sent().iter().map(|raw| fields(raw).0).collect();
    assert_eq!(nonces, [5, 6]);
}

#[test]
fn what_takes_the_place_of_another_costs_no_more_than_any() {
    let node = Node::start();
    let payee = KeyPair::from_bytes(&[0x52; 32]).unwrap();
    let chain = Chain::new(&node.config()).unwrap();
    let redeem = || chain.redeem(&[claim()], &payee, payee.address(), 10 * GWEI);
    // At 4,000,000 gas 0.02 of the coin are 5 gwei, and 4.8 are offered.
    node.set_quantity("eth_estimateGas", 3_200_000);
    node.set_base_fee(2 * GWEI);
    node.set_quantity("eth_maxPriorityFeePerGas", 8 * GWEI / 10);
    for _ in 0..2 {
        node.set_once("eth_sendRawTransaction", json!({"no": "hash"}));
        assert!(redeem().unwrap_err().may_be_mined());
    }
    // Where a node has the other, it takes none for as little.
    node.fails("eth_sendRawTransaction", 1);
    let dear = redeem().unwrap_err();
    assert!(matches!(dear, ChainError::TooDear { .. }), "{dear}");
    assert!(!dear.may_be_mined());
    // Where none has, it does.
    node.mines();
    redeem().unwrap();
    let (_, fee, gas) = offered(&node.sent()[0]);
    assert_eq!(fee * u128::from(gas), MAX_COST_WEI);
}

#[test]
fn a_redemption_after_a_restart_takes_the_place_of_one_that_is_in_no_block() {
    let (node, dir) = (Node::start(), tempfile::tempdir().unwrap());
    let payee = KeyPair::from_bytes(&[0x52; 32]).unwrap();
    let other = KeyPair::from_bytes(&[0x53; 32]).unwrap();
    // Each is another run.
    let redeem = |key: &KeyPair| {
        let chain = Chain::new(&node.config()).unwrap();
        let chain = chain.remembering(dir.path(), key.address()).unwrap();
        chain.redeem(&[claim()], key, key.address(), 10 * GWEI)
    };
    node.set_base_fee(GWEI);
    node.set_quantity("eth_maxPriorityFeePerGas", GWEI);
    node.set_quantity("eth_getTransactionCount latest", 7);
    node.set_quantity("eth_getTransactionCount pending", 7);
    node.set_once("eth_sendRawTransaction", json!({"no": "hash"}));
    assert!(redeem(&payee).unwrap_err().may_be_mined());
    node.set_quantity("eth_getTransactionCount pending", 9);
    node.mines();
    // What another key sent is no concern of this one.
    redeem(&other).unwrap();
    redeem(&payee).unwrap();
    // It was in a block, and nothing of it is left.
    redeem(&payee).unwrap();
    let sent: Vec<_> = node.sent().iter().map(|raw| fields(raw)).collect();
    let nonces: Vec<u64> = sent.iter().map(|fields| fields.0).collect();
    assert_eq!(nonces, [9, 7, 9]);
    let (_, tip, fee, _) = sent[1];
    assert!(tip > GWEI * 11 / 10 && fee > 33 * GWEI / 10, "{tip} {fee}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn limits_that_are_no_sums_are_refused_where_they_are_typed() {
    let dir = tempfile::tempdir().unwrap();
    let made = piecework(dir.path(), &["key", "new", "payee.key"]);
    assert_eq!(made.status.code(), Some(0));
    for limit in ["0", "-1", "ten", "1e9", ""] {
        let fee = format!("--max-fee-per-gas={limit}");
        let run = piecework(
            dir.path(),
            &["redeem", "--state", ".", "--payee-key", "payee.key", &fee],
        );
        Ended::of(&run).assert_code(2, "--max-fee-per-gas");
    }
    let film = Film::named("film.mp4", content(20_000), NO_TRACKER);
    let node = Node::start();
    for sum in ["-1", "ten", "0.0000001"] {
        let sum = format!("--min-redeem-sum={sum}");
        let run = selling(&film, &node, &["--price", "10", &sum]);
        Ended::of(&piecework(film.dir.path(), &strs(&run))).assert_code(2, "--min-redeem-sum");
    }
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// The command line of somebody who sells a film.
fn selling(film: &Film, node: &Node, args: &[&str]) -> Vec<String> {
    let key = film.dir.path().join("payee.key");
    if !key.exists() {
        KeyPair::create(&key).unwrap();
    }
    let fixed = [
        "seed",
        "film.torrent",
        "--data",
        ".",
        "--json",
        "--stdin-commands",
        "--payee-key",
        "payee.key",
    ];
    let fixed = fixed.iter().chain(args).map(|arg| (*arg).to_owned());
    fixed.chain(node.options()).collect()
}

#[test]
fn nothing_is_sold_where_buyers_can_leave_within_a_day_unless_the_operator_takes_the_risk() {
    let film = Film::named("film.mp4", content(20_000), NO_TRACKER);
    for secs in [0, 3600, 24 * 3600 - 1] {
        let node = Node::start();
        node.set_exit_delay(secs);
        let refused = piecework(
            film.dir.path(),
            &strs(&selling(&film, &node, &["--price", "10"])),
        );
        let says = [
            &format!("withdraw within {secs} s")[..],
            "choose another vault",
            "--accept-short-exit",
        ];
        Ended::of(&refused).assert_refused(1, &says);
        let args = selling(&film, &node, &["--price", "10", "--accept-short-exit"]);
        let mut seller = Program::start_in(film.dir.path(), &strs(&args));
        seller.until(|line| line["event"] == "seeding");
    }
    let node = Node::start();
    node.set_exit_delay(24 * 3600);
    let args = selling(&film, &node, &["--price", "10"]);
    let mut seller = Program::start_in(film.dir.path(), &strs(&args));
    seller.until(|line| line["event"] == "seeding");
}

/// What a seller answers to a price on its standard input, and what it asks then.
fn price(seller: &mut Program, price: &str) -> (Value, Value) {
    seller.say(&format!("price {price}"));
    let answer = seller.until(|line| line["command"] == "price");
    seller.say("stats");
    let stats = seller.until(|line| line["command"] == "stats");
    (answer, stats["torrents"][0]["tokens_per_gb"].clone())
}

#[test]
fn a_price_set_later_is_checked_as_one_at_the_start() {
    let film = Film::named("film.mp4", content(20_000), NO_TRACKER);
    let node = Node::start();
    node.set_exit_delay(3600);
    let args = selling(&film, &node, &[]);
    let mut seller = Program::start_in(film.dir.path(), &strs(&args));
    seller.until(|line| line["event"] == "seeding");
    let (answer, asks) = price(&mut seller, "10");
    assert_eq!(answer["ok"], false, "{answer}");
    let text = answer["error"].as_str().unwrap();
    assert!(text.contains("--accept-short-exit"), "{text}");
    assert_eq!(asks, "0");
    assert_eq!(
        price(&mut seller, "0").0["ok"],
        true,
        "for nothing it is given to anybody"
    );
    // Other reasons not to sell there.
    node.set_exit_delay(72 * 3600);
    node.set("eth_getCode", json!("0x"));
    assert!(
        price(&mut seller, "10").0["error"]
            .as_str()
            .unwrap()
            .contains("--vault")
    );
    node.set("eth_getCode", json!("0x01"));
    node.set_quantity("eth_chainId", 1);
    assert!(
        price(&mut seller, "10").0["error"]
            .as_str()
            .unwrap()
            .contains("--chain-id")
    );
    // None is left, and what was found out is not asked again.
    node.set_quantity("eth_chainId", 31337);
    let (answer, asks) = price(&mut seller, "10");
    assert_eq!(
        (&answer["ok"], asks),
        (&json!(true), json!("10")),
        "{answer}"
    );
    node.set_exit_delay(0);
    assert_eq!(price(&mut seller, "20").1, "20");
    drop(seller);

    let args = selling(&film, &node, &["--accept-short-exit"]);
    let mut seller = Program::start_in(film.dir.path(), &strs(&args));
    seller.until(|line| line["event"] == "seeding");
    assert_eq!(price(&mut seller, "10").0["ok"], true);
}

#[test]
fn a_look_that_fails_is_no_failure_of_a_transaction_that_is_out() {
    for times in [1, 3] {
        let node = Node::start();
        node.mines();
        node.fails("eth_getTransactionReceipt", times);
        assert_eq!(redeem(&node, 10 * GWEI), Ok(()));
        assert_eq!(node.sent().len(), 1);
    }
}

#[test]
fn sums_are_in_the_tokens_own_decimals_or_nothing_is_bought_sold_or_redeemed() {
    let film = Film::named("film.mp4", content(20_000), NO_TRACKER);
    let dir = film.dir.path();
    for key in [
        &["key", "new", "payee.key"][..],
        &["key", "new", "--session", "session.key"],
    ] {
        Ended::of(&piecework(dir, key)).assert_done();
    }
    let run = |node: &Node, args: &str| {
        let args = args.split(' ').map(str::to_owned).chain(node.options());
        let args: Vec<String> = args.collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Ended::of(&piecework(dir, &args))
    };
    let sells = "seed film.torrent --data . --price 10 --payee-key payee.key --json";
    // What is not refused ends by this.
    let buys = "get film.torrent -o out --max-price 10 --budget 2 --session-key session.key --json \
        --storage-limit 1 --owner 0x5555555555555555555555555555555555555555";
    let redeems = "redeem --state state --payee-key payee.key";
    let (results, _) = tokio::sync::mpsc::channel(1);
    let (records, _) = Records::open(&dir.join("state"), results).unwrap();
    records.finish();
    for (typed, of_token) in [(6, 18), (18, 6), (6, 0)] {
        let node = Node::start();
        node.set_decimals(of_token);
        node.set_exit_delay(60);
        let typed = format!("--decimals {typed}");
        let says = format!("has {of_token} decimals, not");
        for verb in [sells, buys, redeems] {
            let refused = run(&node, &format!("{verb} {typed}"));
            assert_eq!(refused.code, Some(1), "{}", refused.said);
            let remedy = format!("give --decimals {of_token}");
            assert!(refused.said.contains(&says), "{}", refused.said);
            assert!(refused.said.contains(&remedy), "{}", refused.said);
        }
    }
    // With the right ones, and where the token does not say, it goes on.
    for says in [Some(18), None] {
        let node = Node::start();
        if let Some(decimals) = says {
            node.set_decimals(decimals);
        }
        node.set_exit_delay(60);
        let refused = run(&node, &format!("{sells} --decimals 18"));
        assert!(
            refused.said.contains("--accept-short-exit"),
            "{}",
            refused.said
        );
        run(&node, &format!("{redeems} --decimals 18")).assert_code(0, "nothing to redeem");
    }
}
