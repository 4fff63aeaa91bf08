//! A session key and what it promised: never apart, never in two places.

use std::fs;
use std::path::Path;

use crate::common::{Ended, Film, Node, Program, claim_of, content, no_account, piecework, state};
use alloy_primitives::Address;
use piecework::native::records::Records;
use piecework::payment::record::PayeeRangeLife;
use piecework::payment::voucher::Vault;
use piecework::types::{EffectId, TokenUnits};

const NO_TRACKER: &str = "ws://127.0.0.1:9";
const OWNER: &str = "0x5555555555555555555555555555555555555555";

/// A buyer's command line; `key` and `output` are in the film's folder.
fn buying(node: &Node, key: &str, output: &str) -> Vec<String> {
    let fixed = [
        "get",
        "film.torrent",
        "-o",
        output,
        "--json",
        "--stats",
        "1",
        "--max-price",
        "10",
        "--budget",
        "1",
        "--owner",
        OWNER,
        "--session-key",
        key,
    ];
    fixed
        .iter()
        .map(|arg| (*arg).to_owned())
        .chain(node.options())
        .collect()
}

/// Runs until it is refused.
fn refused(film: &Film, node: &Node, key: &str, output: &str) -> Ended {
    let args = buying(node, key, output);
    Ended::of(&piecework(
        film.dir.path(),
        &args.iter().map(String::as_str).collect::<Vec<_>>(),
    ))
}

/// Runs until it looks for sellers.
fn takes_up(film: &Film, node: &Node, key: &str, output: &str) -> Program {
    let args = buying(node, key, output);
    let mut buyer = Program::start_in(
        film.dir.path(),
        &args.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    buyer.until(|line| line["event"] == "progress");
    buyer
}

fn key_new(dir: &Path, args: &[&str]) -> Ended {
    Ended::of(&piecework(dir, &[&["key", "new"], args].concat()))
}

fn film() -> Film {
    Film::named("film.mp4", content(20_000), NO_TRACKER)
}

#[test]
fn two_folders_share_one_memory_of_a_key_and_not_at_one_time() {
    let (film, node) = (film(), Node::start());
    for (name, session) in [("old.key", false), ("new.key", true)] {
        let args: &[&str] = if session {
            &["--session", name]
        } else {
            &[name]
        };
        key_new(film.dir.path(), args).assert_done();
        let first = takes_up(&film, &node, name, &format!("{name} a"));
        let state = film.dir.path().join(format!("{name}.state"));
        assert!(state.join("records.redb").is_file());
        let at_once = refused(&film, &node, name, &format!("{name} b"));
        at_once.assert_refused(
            2,
            &[
                &format!("{name}.state"),
                "in use by another piecework process",
                "stop that one first",
            ],
        );
        drop(first);
        drop(takes_up(&film, &node, name, &format!("{name} b")));
        #[cfg(unix)]
        {
            // By another way to the same file, it is the same memory.
            let link = format!("link to {name}");
            std::os::unix::fs::symlink(name, film.dir.path().join(&link)).unwrap();
            let first = takes_up(&film, &node, name, "c");
            refused(&film, &node, &link, "d")
                .assert_refused(2, &["in use by another piecework process"]);
            drop(first);
            assert!(!film.dir.path().join(format!("{link}.state")).exists());
        }
    }
}

#[test]
fn a_key_without_its_records_promises_nothing() {
    let (film, node) = (film(), Node::start());
    let at = |name: &str| film.dir.path().join(name);
    key_new(film.dir.path(), &["--session", "made.key"]).assert_done();
    key_new(film.dir.path(), &["used.key"]).assert_done();
    drop(takes_up(&film, &node, "used.key", "out"));
    for name in ["made.key", "used.key"] {
        let says = |copy: &str| {
            let path = format!("the records of the key {copy} are not at");
            refused(&film, &node, copy, "other").assert_refused(
                2,
                &[
                    &path,
                    &format!("{copy}.state"),
                    "put no older copy in their place",
                    "open a new account with a new key",
                ],
            );
        };
        // The key file alone, copied or moved.
        fs::create_dir_all(at("elsewhere")).unwrap();
        fs::copy(at(name), at("elsewhere").join(name)).unwrap();
        says(&format!("elsewhere/{name}"));
        fs::copy(at(name), at(&format!("copy of {name}"))).unwrap();
        says(&format!("copy of {name}"));
        // The folder lost, or only what is in it.
        let (state, kept) = (at(&format!("{name}.state")), at(&format!("{name}.kept")));
        fs::rename(&state, &kept).unwrap();
        says(name);
        assert!(!state.exists(), "lost records were made anew");
        fs::create_dir(&state).unwrap();
        says(name);
        fs::remove_dir(&state).unwrap();
        // Brought back.
        fs::rename(&kept, &state).unwrap();
        drop(takes_up(&film, &node, name, "back"));
        // Both moved together.
        fs::rename(&state, at("elsewhere").join(format!("{name}.state"))).unwrap();
        fs::rename(at(name), at("elsewhere").join(name)).unwrap();
        drop(takes_up(
            &film,
            &node,
            &format!("elsewhere/{name}"),
            "moved",
        ));
    }
}

#[test]
fn records_that_are_damaged_are_not_begun_anew() {
    let (film, node) = (film(), Node::start());
    key_new(film.dir.path(), &["--session", "session.key"]).assert_done();
    drop(takes_up(&film, &node, "session.key", "out"));
    let records = film.dir.path().join("session.key.state/records.redb");
    let whole = fs::read(&records).unwrap();
    let says = [
        "session.key.state/records.redb",
        "do not put an older copy in their place",
        "open a new account with a new key",
        "withdraw the old one's deposit",
    ];
    let mut torn = whole.clone();
    torn[..4096].fill(0xa5);
    for damaged in [
        Vec::new(),
        torn,
        b"text".to_vec(),
        whole[..whole.len() / 3].to_vec(),
    ] {
        fs::write(&records, &damaged).unwrap();
        refused(&film, &node, "session.key", "out").assert_refused(2, &says);
        assert_eq!(fs::read(&records).unwrap(), damaged);
    }
    fs::write(&records, whole).unwrap();
    drop(takes_up(&film, &node, "session.key", "out"));
}

#[test]
fn a_key_whose_promises_the_chain_knows_and_no_record_does_is_refused() {
    let (film, node) = (film(), Node::start());
    let says = &["was used elsewhere", "open a new account with a new key"];
    // Of a key from before it had records; of one with somebody else's, empty ones.
    key_new(film.dir.path(), &["bare.key"]).assert_done();
    key_new(film.dir.path(), &["--session", "empty.key"]).assert_done();
    node.set("state(bytes32,uint256)", state(2).into());
    refused(&film, &node, "bare.key", "a").assert_refused(2, says);
    refused(&film, &node, "empty.key", "b").assert_refused(2, says);
    assert!(
        !film.dir.path().join("bare.key.state").exists(),
        "it looks used"
    );
    // Refused for the account, not for ever: another that was just opened is taken.
    node.set("state(bytes32,uint256)", state(1).into());
    drop(takes_up(&film, &node, "bare.key", "a"));
    // A node that does not answer is not one that knows nothing of it.
    key_new(film.dir.path(), &["third.key"]).assert_done();
    node.set("state(bytes32,uint256)", serde_json::json!("0x"));
    refused(&film, &node, "third.key", "c").assert_refused(1, &["--vault"]);
    assert!(!film.dir.path().join("third.key.state").exists());
    node.set_quantity("eth_chainId", 5);
    refused(&film, &node, "third.key", "c").assert_refused(1, &["--chain-id"]);
}

#[test]
fn a_payees_key_that_is_given_to_pay_with_stays_a_payees_key() {
    let (film, node) = (film(), Node::start());
    key_new(film.dir.path(), &["payee.key"]).assert_done();
    key_new(film.dir.path(), &["--session", "session.key"]).assert_done();
    let before = crate::common::untouched(&film.dir.path().join("payee.key"));
    node.set("state(bytes32,uint256)", no_account().into());
    refused(&film, &node, "payee.key", "out").assert_refused(
        2,
        &["payee.key", "no account was ever opened", "--session-key"],
    );
    before.assert_same();
    assert!(!film.dir.path().join("payee.key.state").exists());
    let selling = [
        "seed",
        "film.torrent",
        "--data",
        ".",
        "--json",
        "--price",
        "10",
        "--payee-key",
        "payee.key",
    ];
    let selling = selling.map(str::to_owned).into_iter();
    let selling: Vec<String> = selling.chain(node.options()).collect();
    let selling: Vec<&str> = selling.iter().map(String::as_str).collect();
    let mut seller = Program::start_in(film.dir.path(), &selling);
    seller.until(|line| line["event"] == "seeding");
    drop(seller);
    // One that was made to pay waits for its account.
    drop(takes_up(&film, &node, "session.key", "out"));
}

#[test]
fn keys_and_records_that_are_there_are_never_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    key_new(dir.path(), &["--session", "session.key"]).assert_done();
    let before = crate::common::untouched(dir.path());
    for args in [&["session.key"][..], &["--session", "session.key"]] {
        key_new(dir.path(), args).assert_refused(2, &["session.key"]);
    }
    before.assert_same();
    // Records of a key whose file is gone.
    fs::remove_file(dir.path().join("session.key")).unwrap();
    key_new(dir.path(), &["--session", "session.key"]).assert_refused(2, &["session.key.state"]);
    assert!(!dir.path().join("session.key").exists());
}

#[test]
fn what_costs_nothing_needs_no_records() {
    let (film, node) = (film(), Node::start());
    key_new(film.dir.path(), &["session.key"]).assert_done();
    let mut args = buying(&node, "session.key", "free");
    let price = args.iter().position(|arg| arg == "--max-price").unwrap();
    args[price + 1] = "0".to_owned();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut getter = Program::start_in(film.dir.path(), &args);
    getter.until(|line| line["event"] == "progress");
    assert!(!film.dir.path().join("session.key.state").exists());
}

#[test]
fn records_of_a_seeder_are_looked_for_where_some_are_and_never_made() {
    let (film, node) = (film(), Node::start());
    let dir = film.dir.path();
    key_new(dir, &["payee.key"]).assert_done();
    key_new(dir, &["--session", "session.key"]).assert_done();
    fs::create_dir(dir.join("empty")).unwrap();
    fs::create_dir(dir.join("data")).unwrap();
    fs::create_dir(dir.join("cut")).unwrap();
    fs::write(dir.join("cut/records.redb"), b"").unwrap();
    let mut seeder = film.seeding_from(&dir.join("data"), &[]);
    seeder.until(|line| line["event"] == "incomplete");
    drop(seeder);
    let no_records = "is not a state folder: there is no records.redb in it: give the seeder's --state, or .piecework";
    let before = crate::common::untouched(dir);
    for (state, says) in [
        ("empty", no_records),
        ("cut", no_records),
        ("missing", no_records),
        (".", no_records),
        ("data", "give data/.piecework"),
        ("session.key.state", "records of the session key"),
    ] {
        for verb in [&["redeem"][..], &["redeem", "--dry-run"], &["balance"]] {
            let args = ["--state", state, "--payee-key", "payee.key"].map(str::to_owned);
            let verb = verb.iter().map(|arg| (*arg).to_owned());
            let all: Vec<String> = verb.chain(args).chain(node.options()).collect();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            Ended::of(&piecework(dir, &all)).assert_refused(2, &[state, says]);
        }
    }
    before.assert_same();
    assert!(!dir.join("empty/records.redb").exists() && !dir.join("missing").exists());
}

#[test]
fn what_is_wrong_with_a_key_file_is_said_with_what_to_do() {
    let (film, node) = (film(), Node::start());
    let dir = film.dir.path();
    key_new(dir, &["payee.key"]).assert_done();
    key_new(dir, &["--session", "session.key"]).assert_done();
    let elsewhere = "check its folder, or make that first";
    for (args, says) in [
        (&["key", "new", "payee.key"][..], "choose another name"),
        (
            &["key", "new", "--session", "payee.key"],
            "choose another name",
        ),
        (&["key", "new", "none/x.key"], elsewhere),
        (&["key", "new", "film.torrent/x.key"], elsewhere),
        (&["key", "address", "x.key"], "piecework key new FILE"),
        (&["key", "address", "none/x.key"], elsewhere),
    ] {
        Ended::of(&piecework(dir, args)).assert_refused(2, &[args[args.len() - 1], says]);
    }
    fs::remove_file(dir.join("session.key")).unwrap();
    let left = ["session.key.state is there already", "choose another name"];
    key_new(dir, &["--session", "session.key"]).assert_refused(2, &left);
    // A key that pays is none that is paid, and its records are no place for downloads.
    key_new(dir, &["--session", "other.key"]).assert_done();
    let selling = [
        "seed",
        "film.torrent",
        "--data",
        ".",
        "--price",
        "10",
        "--payee-key",
        "other.key",
    ];
    let selling: Vec<String> = selling
        .map(str::to_owned)
        .into_iter()
        .chain(node.options())
        .collect();
    let selling: Vec<&str> = selling.iter().map(String::as_str).collect();
    Ended::of(&piecework(dir, &selling))
        .assert_refused(2, &["other.key is a session key", "piecework key new FILE"]);
    for verb in [&["seed", "--data", "."][..], &["get", "-o", "out"]] {
        let state = ["film.torrent", "--state", "other.key.state"];
        Ended::of(&piecework(dir, &[verb, &state].concat()))
            .assert_refused(2, &["session key", "other.key", "choose another folder"]);
    }
    assert!(!dir.join("out").exists());
}

#[test]
fn a_key_that_may_have_copies_is_warned_of_once() {
    let (film, node) = (film(), Node::start());
    key_new(film.dir.path(), &["bare.key"]).assert_done();
    key_new(film.dir.path(), &["--session", "session.key"]).assert_done();
    // Ends at once: nothing fits the limit.
    let ends = |key: &str| {
        let mut args = buying(&node, key, "out");
        args.extend(["--storage-limit", "1"].map(str::to_owned));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Ended::of(&piecework(film.dir.path(), &args)).said
    };
    let warns = |said: &str| said.contains("make sure that there is no copy of it");
    assert!(warns(&ends("bare.key")));
    assert!(!warns(&ends("bare.key")), "its records are beside it now");
    assert!(!warns(&ends("session.key")));
}

#[test]
fn claims_of_another_key_or_vault_are_spoken_of() {
    let (film, node) = (film(), Node::start());
    let dir = film.dir.path();
    key_new(dir, &["payee.key"]).assert_done();
    let keep = |state: &str, claim: (String, Option<bytes::Bytes>)| {
        let (results, _ended) = tokio::sync::mpsc::channel(8);
        let (records, _) = Records::open(&dir.join(state), results).unwrap();
        records.submit(EffectId(1), vec![claim]).unwrap();
        records.finish();
    };
    let here = Vault {
        address: node.config().vault,
        chain_id: node.config().chain_id,
    };
    // For `balance`: the key holds nothing.
    node.set("balanceOf(address)", format!("0x{}", "0".repeat(64)).into());
    let elsewhere = Vault {
        address: Address::repeat_byte(0x44),
        chain_id: 10,
    };
    let other = Address::repeat_byte(0x77);
    keep("key", claim_of(1, &here, other, PayeeRangeLife::Open));
    keep(
        "vault",
        claim_of(1, &elsewhere, other, PayeeRangeLife::Closed),
    );
    keep(
        "sent",
        claim_of(1, &elsewhere, other, PayeeRangeLife::Claimed),
    );
    let over = PayeeRangeLife::Redeemed(TokenUnits(6_400));
    keep("over", claim_of(1, &here, other, over));
    // Its data are a link, which is not served: it ends at once.
    fs::create_dir(dir.join("links")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../film.mp4", dir.join("links/film.mp4")).unwrap();
    let verbs: [(&[&str], i32); 4] = [
        (&["redeem"], 0),
        (&["redeem", "--dry-run"], 0),
        (&["balance"], 0),
        (
            &["seed", "film.torrent", "--data", "links", "--price", "10"],
            1,
        ),
    ];
    for (verb, code) in verbs {
        let says = |state: &str| {
            let args = ["--state", state, "--payee-key", "payee.key"].map(str::to_owned);
            let verb = verb.iter().map(|arg| (*arg).to_owned());
            let all: Vec<String> = verb.chain(args).chain(node.options()).collect();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let ended = Ended::of(&piecework(dir, &all));
            assert_eq!(ended.code, Some(code), "{}", ended.said);
            ended.said
        };
        let said = says("key");
        let claims = format!("key holds claims of {other} on 0.0064 tokens");
        assert!(said.contains(&claims), "{said}");
        assert!(
            said.contains(&format!("redeem them with the key of {other}")),
            "{said}"
        );
        let said = says("vault");
        let claims = format!("vault holds claims of {other} on 6400 token units");
        assert!(said.contains(&claims), "{said}");
        let at = format!("and the vault 0x{} on chain 10", "44".repeat(20));
        assert!(said.contains(&at), "{said}");
        assert!(says("sent").contains("holds claims"));
        assert!(!says("over").contains("holds claims"));
    }
}

#[test]
fn a_key_file_with_words_in_it_stays_one_that_can_be_read() {
    let (film, node) = (film(), Node::start());
    let key = film.dir.path().join("words.key");
    key_new(film.dir.path(), &["words.key"]).assert_done();
    let digits = fs::read_to_string(&key).unwrap();
    // The last ones leave no room for the words that its records need.
    for (words, fits) in [
        (0, true),
        (380, true),
        (500, true),
        (800, true),
        (940, false),
    ] {
        let text = format!("{digits}# {}\n", "w".repeat(words));
        fs::write(&key, &text).unwrap();
        let state = film.dir.path().join("words.key.state");
        for _ in 0..2 {
            if fits {
                drop(takes_up(&film, &node, "words.key", "out"));
            } else {
                let says = ["too many words beside the key: take some out"];
                refused(&film, &node, "words.key", "out").assert_refused(2, &says);
                assert_eq!(fs::read_to_string(&key).unwrap(), text);
            }
        }
        fs::remove_dir_all(&state).unwrap();
    }
}
