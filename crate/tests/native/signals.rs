//! How the program ends when somebody wants it to: also in the middle of a redemption, and when its terminal is closed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{CHAIN_ID, Film, Node, Program, VAULT, content};
use alloy_primitives::{Address, B256, keccak256};
use alloy_rlp::{Decodable, Header};
use piecework::native::keys::KeyPair;
use piecework::native::records::Records;
use piecework::payment::record::{Key, PayeeRangeLife, PayeeRangeRecord};
use piecework::payment::voucher::{Signature, Vault, Voucher, account_id};
use piecework::types::{EffectId, FineUnits, TokenUnits};
use serde_json::{Value, json};

const NO_TRACKER: &str = "ws://127.0.0.1:9";

/// A film whose seller earned something, and has not redeemed it.
fn earned() -> Film {
    let film = Film::named("film.mp4", content(20_000), NO_TRACKER);
    let payee = KeyPair::create(&film.dir.path().join("payee.key")).unwrap();
    let (owner, session_key) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let record = PayeeRangeRecord {
        session_key,
        voucher: Voucher {
            owner,
            payee: payee.address(),
            first: 7,
            count: 1,
            content: B256::ZERO,
            base: FineUnits(0),
            unit: FineUnits(1 << 30),
            steps: 256,
            root: B256::repeat_byte(3),
            luck: B256::ZERO,
        },
        signature: Signature {
            r: B256::repeat_byte(4),
            vs: B256::repeat_byte(5),
        },
        k: 100,
        w: B256::repeat_byte(6),
        tranche: TokenUnits(10_000),
        life: PayeeRangeLife::Open,
    };
    let vault = Vault {
        address: VAULT,
        chain_id: CHAIN_ID,
    };
    let key = Key::PayeeRange(account_id(owner, session_key), 7).text(&vault);
    let (results, _ended) = tokio::sync::mpsc::channel(8);
    let (records, _) = Records::open(&film.dir.path().join(".piecework"), results).unwrap();
    records
        .submit(EffectId(1), vec![(key, Some(record.encode()))])
        .unwrap();
    records.finish();
    film
}

/// A seller or a redemption, with its chain.
fn run(dir: &Path, node: &Node, args: &[&str]) -> Program {
    let key = ["--payee-key", "payee.key", "--json"];
    let all = args.iter().chain(&key).map(|arg| (*arg).to_owned());
    let all: Vec<String> = all.chain(node.options()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    Program::start_in(dir, &all)
}

fn seller(film: &Film, node: &Node, args: &[&str]) -> Program {
    let seed = ["seed", "film.torrent", "--data", ".", "--redeem-every", "0"];
    let mut seller = run(film.dir.path(), node, &[&seed, args].concat());
    seller.until(|line| line["event"] == "seeding");
    seller
}

/// What is said of a transaction that is out and was not waited for.
fn assert_left_behind(report: &Value, raw: &[u8]) {
    let error = report["error"].as_str().unwrap();
    assert!(error.contains(&keccak256(raw).to_string()), "{report}");
    assert!(error.contains("is out and in no block yet"), "{report}");
    assert!(
        error.contains("the next redemption takes its place"),
        "{report}"
    );
}

fn nonce(raw: &[u8]) -> u64 {
    let mut rest = &raw[1..];
    Header::decode(&mut rest).unwrap();
    let _chain = u64::decode(&mut rest).unwrap();
    u64::decode(&mut rest).unwrap()
}

#[test]
fn a_redemption_ends_in_order_when_the_program_is_to_end_and_the_next_takes_its_place() {
    let (film, node) = (earned(), Node::start());
    node.set_quantity("eth_getTransactionCount latest", 5);
    node.set_quantity("eth_getTransactionCount pending", 5);
    // Asked for on the standard input.
    let mut asked = seller(&film, &node, &["--stdin-commands"]);
    asked.say("redeem");
    let sent = node.until_sent(1);
    asked.signal("-TERM");
    let answer = asked.until(|line| line["command"] == "redeem");
    assert_eq!(answer["ok"], false);
    assert_left_behind(&answer["batches"][0], &sent[0]);
    asked.until(|line| line["event"] == "summary");
    assert_eq!(asked.exit_code(), Some(0));
    // At the end, which is to come sooner.
    node.set_quantity("eth_getTransactionCount pending", 6);
    let mut at_exit = seller(&film, &node, &["--redeem-on-exit"]);
    at_exit.signal("-INT");
    let sent = node.until_sent(2);
    at_exit.signal("-INT");
    let report = at_exit.until(|line| line["event"] == "redeemed");
    assert_left_behind(&report, &sent[1]);
    at_exit.until(|line| line["event"] == "summary");
    assert_eq!(at_exit.exit_code(), Some(0));
    // By a command of its own.
    let redeem = ["redeem", "--state", ".piecework"];
    let mut alone = run(film.dir.path(), &node, &redeem);
    let sent = node.until_sent(3);
    alone.signal("-INT");
    let report = alone.until(|line| line["batches"].is_array());
    assert_left_behind(&report["batches"][0], &sent[2]);
    assert_eq!(alone.exit_code(), Some(130));
    // Nothing was lost by it.
    let receipt = json!({"status": "0x1", "gasUsed": "0x186a0", "blockNumber": "0x7", "logs": []});
    node.set("eth_getTransactionReceipt", receipt);
    let mut last = run(film.dir.path(), &node, &redeem);
    let report = last.until(|line| line["batches"].is_array());
    assert_eq!(report["batches"][0]["ok"], true, "{report}");
    assert_eq!(last.exit_code(), Some(0));
    let nonces: Vec<u64> = node.sent().iter().map(|raw| nonce(raw)).collect();
    assert_eq!(nonces, [5, 5, 5, 5]);
}

#[test]
fn who_ends_a_redemption_is_not_given_another_one() {
    let (film, node) = (earned(), Node::start());
    let mut asked = seller(&film, &node, &["--stdin-commands", "--redeem-on-exit"]);
    asked.say("redeem");
    let sent = node.until_sent(1);
    asked.signal("-TERM");
    let answer = asked.until(|line| line["command"] == "redeem");
    assert_left_behind(&answer["batches"][0], &sent[0]);
    // The redemption at the end is the one that was given up.
    let end = asked.until(|line| line["event"] == "summary" || line["event"] == "redeemed");
    assert_eq!(end["event"], "summary");
    assert_eq!(asked.exit_code(), Some(0));
    assert_eq!(node.sent().len(), 1);
}

/// Whether the process does something of its own at SIGHUP.
fn catches_hangup(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    u64::from_str_radix(caught.unwrap().trim(), 16).unwrap() & 1 == 1
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_that_is_closed_ends_the_program_in_order_unless_it_was_started_to_outlive_it() {
    let film = Film::named("film.mp4", content(20_000), NO_TRACKER);
    // Whoever runs this test may have been started to outlive its terminal, and hands that on.
    let mut seeder = Program::start_by(
        Command::new("env").args([
            "--default-signal=HUP",
            env!("CARGO_BIN_EXE_piecework"),
            "seed",
            "film.torrent",
            "--data",
            ".",
            "--json",
        ]),
        film.dir.path(),
    );
    seeder.until(|line| line["event"] == "seeding");
    assert!(catches_hangup(seeder.child.id()));
    seeder.signal("-HUP");
    seeder.until(|line| line["event"] == "summary");
    assert_eq!(seeder.exit_code(), Some(0));

    let mut outlives = Program::start_by(
        Command::new("sh").args([
            "-c",
            "trap '' HUP; exec \"$0\" seed film.torrent --data . --json --stdin-commands",
            env!("CARGO_BIN_EXE_piecework"),
        ]),
        film.dir.path(),
    );
    outlives.until(|line| line["event"] == "seeding");
    assert!(!catches_hangup(outlives.child.id()));
    outlives.signal("-HUP");
    outlives.say("stats");
    outlives.until(|line| line["command"] == "stats");
    outlives.say("quit");
    outlives.until(|line| line["command"] == "quit");
    assert_eq!(outlives.exit_code(), Some(0));
}
