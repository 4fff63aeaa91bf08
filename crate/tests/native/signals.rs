//! How the program ends when somebody wants it to: also in the middle of a redemption, and when its terminal is closed.

use std::fs;
use std::process::Command;

use crate::common::{Film, Node, Program, content, earned, paid_run};
use alloy_primitives::keccak256;
use alloy_rlp::{Decodable, Header};
use serde_json::Value;

const NO_TRACKER: &str = "ws://127.0.0.1:9";

fn seller(film: &Film, node: &Node, args: &[&str]) -> Program {
    let seed = ["seed", "film.torrent", "--data", ".", "--redeem-every", "0"];
    let mut seller = paid_run(film.dir.path(), node, &[&seed, args].concat());
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
    let (film, node) = (earned(1), Node::start());
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
    let mut alone = paid_run(film.dir.path(), &node, &redeem);
    let sent = node.until_sent(3);
    alone.signal("-INT");
    let report = alone.until(|line| line["batches"].is_array());
    assert_left_behind(&report["batches"][0], &sent[2]);
    assert_eq!(alone.exit_code(), Some(130));
    // Nothing was lost by it.
    node.mines();
    let mut last = paid_run(film.dir.path(), &node, &redeem);
    let report = last.until(|line| line["batches"].is_array());
    assert_eq!(report["batches"][0]["ok"], true, "{report}");
    assert_eq!(last.exit_code(), Some(0));
    let nonces: Vec<u64> = node.sent().iter().map(|raw| nonce(raw)).collect();
    assert_eq!(nonces, [5, 5, 5, 5]);
}

#[test]
fn who_ends_a_redemption_is_not_given_another_one() {
    let (film, node) = (earned(1), Node::start());
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
            "--no-stun",
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
            "trap '' HUP; exec \"$0\" seed film.torrent --data . --no-stun --json --stdin-commands",
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
