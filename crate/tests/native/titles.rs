//! A film is published, registered, sold and its creators paid, by the commands that people type, on real nodes.
//!
//! Needs what `chain.rs` needs, but for those that ask no chain.

use std::fs;
use std::path::Path;

use crate::common::{Anvil, Ended, Film, Node, Program, Tracker, content, create, json, piecework};
use crate::deposits::Bank;
use alloy_primitives::{Address, B256, hex};
use alloy_sol_types::SolValue;
use piecework::metainfo::Metainfo;
use piecework::native::deployment::Deployment;
use piecework::native::keys::KeyPair;
use piecework::native::owner::Owner;
use piecework::native::sending::GasCap;
use piecework::title::SignedTitle;
use serde_json::{Value, json};

fn number(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

/// A key with gas.
fn key(anvil: &Anvil, dir: &Path, name: &str) -> KeyPair {
    let key = KeyPair::create(&dir.join(name)).unwrap();
    let gas = json!([key.address(), "0xde0b6b3a7640000"]);
    anvil.call("anvil_setBalance", &gas);
    key
}

fn sent_by(anvil: &Anvil, key: &KeyPair) -> Value {
    anvil.call("eth_getTransactionCount", &json!([key.address(), "latest"]))
}

fn done(dir: &Path, args: &[&str]) -> Value {
    let output = piecework(dir, &[args, &["--json"]].concat());
    Ended::of(&output).assert_done();
    json(&output)
}

/// The vault's credit of an address.
fn credit(bank: &Bank, of: Address) -> u128 {
    let nobody = KeyPair::from_bytes(&[9; 32]).unwrap();
    let owner = Owner::new(bank.chain(), nobody, GasCap::of_call(0));
    owner.credit_of(of).unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn the_creators_of_a_published_film_get_their_share_and_who_sells_it_unsigned_sells_nothing()
{
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || published(&url));
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

fn published(tracker: &str) {
    const LENGTH: usize = 4_000_000;
    let bank = Bank::new(&[]);
    let film = Film::named("film.mp4", content(LENGTH), tracker);
    let dir = film.dir.path();
    let deployment = ["--deployment", bank.file.as_str()];
    let info = |file: &str| done(dir, &[&["info", file][..], &deployment].concat());
    let publisher = key(&bank.anvil, dir, "publisher.key");
    let creator = key(&bank.anvil, dir, "creator.key");

    // Signed and registered.
    let unsigned = info("film.torrent");
    assert_eq!(unsigned["title"]["signed"], false);
    assert_eq!(unsigned["title"]["registry_looked_at"]["count"], 0);
    let creator_flag = creator.address().to_string();
    let publish = [
        "publish",
        "film.torrent",
        "--key",
        "publisher.key",
        "--register",
    ];
    let words = [
        "--share",
        "2.5",
        "--creator",
        &creator_flag,
        "--licence",
        "CC-BY-4.0",
    ];
    let publish = [&publish[..], &words, &deployment].concat();
    let planned = done(dir, &[&publish[..], &["--dry-run"]].concat());
    assert_eq!(planned["registered"], false);
    assert_eq!(sent_by(&bank.anvil, &publisher), "0x0");
    assert!(!dir.join("film.signed.torrent").exists());
    let published = done(dir, &publish);
    assert_eq!(
        (&published["registered"], &published["found"]),
        (&json!(true), &json!(false))
    );
    let id = published["id"].as_str().unwrap();
    let magnet = published["magnet"].as_str().unwrap();
    assert!(
        magnet.contains(&format!("pw.content={}", &id[2..])),
        "{magnet}"
    );
    let by = publisher.address().to_string();
    assert!(
        magnet.contains(&format!("pw.by={}", &by.to_lowercase()[2..])),
        "{magnet}"
    );
    assert_eq!(done(dir, &["info", magnet])["title"]["by"], by);
    // Again: refused, or found.
    Ended::of(&piecework(dir, &publish)).assert_refused(2, &["film.signed.torrent exists already"]);
    let first = fs::read(dir.join("film.signed.torrent")).unwrap();
    let again = done(dir, &[&publish[..], &["--force"]].concat());
    assert_eq!(again["found"], true);
    assert_eq!(fs::read(dir.join("film.signed.torrent")).unwrap(), first);
    assert_eq!(sent_by(&bank.anvil, &publisher), "0x1");

    let shown = info("film.signed.torrent");
    let title = &shown["title"];
    assert_eq!(
        (&title["signed"], &title["fits"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        (&title["publisher"], &title["id"]),
        (&json!(by), &json!(id))
    );
    assert_eq!(
        (&title["share_percent"], &title["licence"]),
        (&json!("2.5"), &json!("CC-BY-4.0"))
    );
    let looked = &title["registry_looked_at"];
    assert_eq!(
        (&looked["same_words"], &looked["earlier"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(looked["registration"]["creator"], creator_flag);
    assert_eq!(shown["magnet"], magnet);
    assert!(!unsigned["magnet"].as_str().unwrap().contains("pw.by"));

    // Who sells it without the id finds no buyer, and the buyer hears why.
    let owner = bank.owner.address().to_string();
    let buy = |name: &str| {
        let session = bank.dir.path().join(name).to_str().unwrap().to_owned();
        Ended::of(&piecework(
            bank.dir.path(),
            &["key", "new", "--session", name],
        ))
        .assert_done();
        bank.done(&["deposit", "2", "--session-key", &session]);
        let args = ["--max-price", "10", "--budget", "1", "--owner", &owner];
        let args = [&args[..], &["--session-key", &session], &deployment].concat();
        args.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let sell = |torrent: &str, data: &Path, payee: &str| {
        let data = data.to_str().unwrap();
        let args = [
            "seed", "--json", "--stats", "1", torrent, "--data", data, "--price", "10",
        ];
        let payee = [
            "--payee-key",
            payee,
            "--redeem-every",
            "0",
            "--stdin-commands",
        ];
        let mut seller = Program::start_in(dir, &[&args[..], &payee, &deployment].concat());
        seller.until(|line| line["event"] == "seeding");
        seller
    };
    let copy = tempfile::tempdir().unwrap();
    fs::copy(film.path(), copy.path().join("film.mp4")).unwrap();
    key(&bank.anvil, dir, "cheat.key");
    let mut cheat = sell("film.torrent", copy.path(), "cheat.key");
    let flags = buy("first.key");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let got = bank.dir.path().join("got");
    let into = got.to_str().unwrap();
    let get = [
        "get",
        "film.signed.torrent",
        "--json",
        "--stats",
        "1",
        "-o",
        into,
    ];
    let mut buyer = Program::start_in(dir, &[&get[..], &flags].concat());
    let why = "does not sell under this title's registration";
    buyer.until(|line| line.to_string().contains(why));
    let payee = key(&bank.anvil, dir, "payee.key");
    let mut seller = sell("film.signed.torrent", dir, "payee.key");
    assert_eq!(buyer.exit_code(), Some(0));
    assert_eq!(fs::read(got.join("film.mp4")).unwrap(), film.bytes);
    cheat.say("stats");
    let sold = cheat.until(|line| line["command"] == "stats");
    assert_eq!(number(&sold["money"]["redeemable_fine"]), 0, "{sold}");
    cheat.say("quit");
    assert_eq!(cheat.exit_code(), Some(0));

    // The share of each range, rounded down, and nothing lost between the two.
    let redeem = |seller: &mut Program| {
        seller.say("redeem");
        let redeemed = seller.until(|line| line["command"] == "redeem");
        assert_eq!(redeemed["ok"], true, "{redeemed}");
        let batches = redeemed["batches"].as_array().unwrap().clone();
        let ranges = batches
            .iter()
            .flat_map(|batch| batch["ranges"].as_array().unwrap());
        ranges
            .map(|range| number(&range["due"]))
            .collect::<Vec<u128>>()
    };
    let share = |dues: &[u128], bps: u128| dues.iter().map(|due| due * bps / 10_000).sum::<u128>();
    let dues = redeem(&mut seller);
    let (gross, cut) = (dues.iter().sum::<u128>(), share(&dues, 250));
    assert!(cut > 0 && gross >= 39_000, "{gross} {cut}");
    assert_eq!(credit(&bank, creator.address()), cut);
    assert_eq!(bank.holds(payee.address()), gross - cut);
    let claim = ["claim", "--owner-key", "creator.key"];
    done(dir, &[&claim[..], &deployment].concat());
    assert_eq!(bank.holds(creator.address()), cut);
    assert_eq!(credit(&bank, creator.address()), 0);

    // Two creators, by a splitter, and a smaller share.
    let (one, two) = (creator.address(), Address::repeat_byte(0x72));
    let parts = [format!("{one}=70"), format!("{two}=30")];
    let make = [
        "splitter", "create", "--share", &parts[0], "--share", &parts[1],
    ];
    let sender = [&["--key", "publisher.key"][..], &deployment].concat();
    let make = [&make[..], &sender].concat();
    let planned = done(dir, &[&make[..], &["--dry-run"]].concat());
    let made = done(dir, &make);
    assert_eq!(
        (&planned["splitter"], &made["found"]),
        (&made["splitter"], &json!(false))
    );
    assert_eq!(done(dir, &make)["found"], true);
    let splitter = made["splitter"].as_str().unwrap();
    let change = |args: &[&str]| -> Vec<String> {
        let all = [&["title"], args, &sender].concat();
        all.into_iter().map(str::to_owned).collect()
    };
    let run = |args: &[String]| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        piecework(dir, &args)
    };
    let changed = |args: &[&str]| {
        let output = run(&[&change(args)[..], &["--json".to_owned()]].concat());
        Ended::of(&output).assert_done();
        json(&output)
    };
    let lowered = changed(&["lower-share", id, "1"]);
    assert_eq!(lowered["share_percent"], "1");
    changed(&["set-creator", id, splitter]);
    changed(&[
        "set-contact",
        id,
        "wss://tracker.example",
        "https://film.example",
    ]);
    let now = info("film.signed.torrent")["title"]["registry_looked_at"]["registration"].clone();
    assert_eq!(
        (&now["creator"], &now["share_percent"]),
        (&json!(splitter), &json!("1"))
    );
    let said = Ended::of(&piecework(
        dir,
        &[&["info", "film.signed.torrent"][..], &deployment].concat(),
    ));
    said.assert_code(0, "share      1 % now");
    said.assert_code(0, &format!("creator    {splitter} now"));
    for (args, says) in [
        (
            &["lower-share", id, "1"][..],
            "only a smaller one can follow",
        ),
        (
            &["set-creator", id, &Address::ZERO.to_string()],
            "zero address",
        ),
    ] {
        Ended::of(&run(&change(args))).assert_refused(2, &[says]);
    }
    let nobody = B256::repeat_byte(3).to_string();
    let unknown = run(&change(&["lower-share", &nobody, "1"]));
    Ended::of(&unknown).assert_refused(1, &["nobody registered"]);
    let stranger = ["title", "lower-share", id, "0.5", "--key", "creator.key"];
    let stranger = piecework(dir, &[&stranger[..], &deployment].concat());
    Ended::of(&stranger).assert_refused(1, &["only its key may change it"]);
    let flags = buy("second.key");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let second = bank.dir.path().join("second");
    // By the link of another signer nothing is bought, and the buyer hears why.
    let strangers = magnet.replace(&by.to_lowercase()[2..], &"11".repeat(20));
    let third = bank.dir.path().join("third");
    let get = ["get", &strangers, "--json", "-o", third.to_str().unwrap()];
    let mut waiting = Program::start_in(dir, &[&get[..], &flags].concat());
    waiting.until(|line| line["event"] == "title" && line["standing"] == "awaited");
    drop(waiting);
    film.get_from(magnet, &second, &flags).assert_done();
    let dues = redeem(&mut seller);
    let cut = share(&dues, 100);
    let at: Address = splitter.parse().unwrap();
    assert_eq!(credit(&bank, at), cut);
    let claim = [
        "claim",
        "--splitter",
        splitter,
        "--owner-key",
        "creator.key",
    ];
    let claim = [&claim[..], &deployment].concat();
    let stranger = [
        "claim",
        "--own",
        "--splitter",
        splitter,
        "--owner-key",
        "payee.key",
    ];
    let stranger = piecework(dir, &[&stranger[..], &deployment].concat());
    Ended::of(&stranger).assert_refused(1, &["is no recipient"]);
    let before = bank.holds(one);
    done(dir, &[&claim[..], &["--dry-run"]].concat());
    assert_eq!((bank.holds(one), bank.holds(two)), (before, 0));
    done(dir, &[&claim[..], &["--own"]].concat());
    let first = before + cut * 70 / 100;
    assert_eq!((bank.holds(one), bank.holds(two)), (first, 0));
    done(dir, &claim);
    assert_eq!((bank.holds(one), bank.holds(two)), (first, cut * 30 / 100));
    Ended::of(&piecework(dir, &claim)).assert_refused(1, &["nothing is due"]);
    seller.say("quit");
    assert_eq!(seller.exit_code(), Some(0));

    // Somebody else registers the same content later: whose is the earlier one is shown, and told to both.
    key(&bank.anvil, dir, "copier.key");
    let copied = [
        "publish",
        "film.torrent",
        "--key",
        "copier.key",
        "--register",
        "-o",
        "copied.torrent",
    ];
    let copied = Ended::of(&piecework(dir, &[&copied[..], &deployment].concat()));
    copied.assert_done();
    copied.assert_code(0, &format!("{by} registered this content before"));
    let shown = info("copied.torrent");
    let looked = &shown["title"]["registry_looked_at"];
    assert_eq!(
        (&looked["earlier"]["publisher"], &looked["count"]),
        (&json!(by), &json!(2))
    );
    let said = Ended::of(&piecework(
        dir,
        &[&["info", "copied.torrent"][..], &deployment].concat(),
    ));
    said.assert_code(0, &format!("earlier    {by} registered the same content"));
    let first = &info("film.signed.torrent")["title"]["registry_looked_at"];
    assert_eq!(
        (&first["earlier"], &first["count"]),
        (&Value::Null, &json!(2))
    );
    // And nobody is taken for the first publisher of what is unsigned.
    let unsigned = info("film.torrent");
    assert_eq!(
        unsigned["title"]["registry_looked_at"]["earlier"]["publisher"],
        by
    );
}

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn a_registration_that_is_broken_off_is_taken_up_with_the_same_words() {
    let bank = Bank::new(&[]);
    let dir = bank.dir.path();
    fs::write(dir.join("film.mp4"), content(100_000)).unwrap();
    create(dir, "film.mp4", "film.torrent", &[]);
    let publisher = KeyPair::create(&dir.join("publisher.key")).unwrap();
    let file = ["--deployment", bank.file.as_str()];
    let publish = [
        "publish",
        "film.torrent",
        "--key",
        "publisher.key",
        "--register",
        "--wait",
        "1",
    ];
    let publish = [&publish[..], &file].concat();
    // Who cannot pay for it hears that before anything is written.
    Ended::of(&piecework(dir, &publish)).assert_refused(1, &["holds 0 wei", "send it some"]);
    assert!(!dir.join("film.signed.torrent").exists());
    let gas = json!([publisher.address(), "0xde0b6b3a7640000"]);
    bank.anvil.call("anvil_setBalance", &gas);
    bank.anvil.call("evm_setAutomine", &json!([false]));
    Ended::of(&piecework(dir, &publish)).assert_refused(1, &["in no block yet"]);
    let begun = done(dir, &["info", "film.signed.torrent"])["title"].clone();
    assert_eq!(
        (&begun["fits"], &begun["content"]),
        (&json!(true), &Value::Null)
    );
    bank.anvil.call("evm_setAutomine", &json!([true]));
    bank.anvil.call("evm_mine", &json!([]));
    // It came into a block after all.
    let again = done(dir, &[&publish[..], &["--force"]].concat());
    assert_eq!(
        (&again["found"], &again["registered"]),
        (&json!(true), &json!(true))
    );
    let shown = done(dir, &[&["info", "film.signed.torrent"][..], &file].concat());
    let title = &shown["title"];
    assert_eq!(
        (&title["created"], &title["content"]),
        (&begun["created"], &begun["id"])
    );
    assert_eq!(title["registry_looked_at"]["same_words"], true);
    // Other words of the same key are another title, of which the registered one is told.
    let other = [&publish[..], &["--name", "Other", "-o", "other.torrent"]].concat();
    let other = Ended::of(&piecework(dir, &other));
    other.assert_code(0, "the registered title has other words");
    let shown = done(dir, &[&["info", "other.torrent"][..], &file].concat());
    assert_eq!(shown["title"]["registry_looked_at"]["same_words"], false);
    // A deployment without a registry is told from one that has it.
    let bare = Deployment {
        registry: None,
        ..bank.deployment.clone()
    };
    fs::write(dir.join("bare.json"), bare.to_json()).unwrap();
    for args in [
        &["info", "film.torrent"][..],
        &[
            "publish",
            "film.torrent",
            "--key",
            "publisher.key",
            "-o",
            "x",
        ],
    ] {
        let args = [args, &["--deployment", "bare.json"]].concat();
        Ended::of(&piecework(dir, &args)).assert_refused(2, &["bare.json names no registry"]);
    }
}

/// A folder with a torrent, its title signed by `publisher.key`, and that key.
fn signed() -> (tempfile::TempDir, KeyPair) {
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::create(&dir.path().join("publisher.key")).unwrap();
    fs::write(dir.path().join("film.mp4"), content(100_000)).unwrap();
    create(dir.path(), "film.mp4", "film.torrent", &[]);
    let publish = [
        "publish",
        "film.torrent",
        "--key",
        "publisher.key",
        "--name",
        "Evening",
    ];
    done(dir.path(), &publish);
    (dir, key)
}

#[test]
fn a_title_is_signed_without_a_chain_and_what_does_not_fit_is_an_error_with_its_reason() {
    let (dir, key) = signed();
    let dir = dir.path();
    let shown = done(dir, &["info", "film.signed.torrent"]);
    assert_eq!(shown["title"]["publisher"], key.address().to_string());
    assert_eq!(shown["title"]["name"], "Evening");
    assert_eq!(
        shown["title"]["content"],
        Value::Null,
        "it is not registered"
    );
    let text = Ended::of(&piecework(dir, &["info", "film.signed.torrent"]));
    text.assert_code(0, &format!("title      signed by {}", key.address()));
    text.assert_code(0, "licence    none is granted");
    let text = Ended::of(&piecework(dir, &["info", "film.torrent"]));
    text.assert_code(0, "title      unsigned");

    let metainfo =
        Metainfo::from_torrent(&fs::read(dir.join("film.signed.torrent")).unwrap()).unwrap();
    let title = SignedTitle::from_bytes(metainfo.title.as_deref().unwrap()).unwrap();
    let with = |change: &dyn Fn(&mut SignedTitle)| {
        let mut changed = title.clone();
        change(&mut changed);
        changed.to_bytes()
    };
    let other = B256::repeat_byte(1);
    for (bytes, content, says) in [
        (
            with(&|t| t.title.name = "Morning".to_owned()),
            None,
            "the signature is not its publisher's",
        ),
        (
            with(&|t| t.title.publisher = Address::repeat_byte(1)),
            None,
            "the signature is not",
        ),
        (
            with(&|t| t.title.length += 1),
            None,
            "and the content has 100000",
        ),
        (
            with(&|t| t.title.info_hash.0[0] ^= 1),
            None,
            "of other content",
        ),
        (b"de".to_vec(), None, "the title's `v` is missing or wrong"),
        (b"i7e".to_vec(), None, "missing or wrong"),
        (title.to_bytes(), Some(other.0), "its title's id is"),
    ] {
        let wrong = Metainfo {
            title: Some(bytes.into()),
            content,
            ..metainfo.clone()
        };
        fs::write(dir.join("wrong.torrent"), wrong.to_torrent()).unwrap();
        Ended::of(&piecework(dir, &["info", "wrong.torrent"]))
            .assert_refused(2, &["wrong.torrent", says]);
        let seed = piecework(dir, &["seed", "wrong.torrent", "--data", "."]);
        Ended::of(&seed).assert_refused(2, &["wrong.torrent", says]);
        let output = piecework(dir, &["info", "wrong.torrent", "--json"]);
        let shown = json(&output);
        assert!(!shown["magnet"].as_str().unwrap().contains("pw.by"));
        assert_eq!(
            (&shown["valid"], &shown["title"]["fits"]),
            (&json!(false), &json!(false))
        );
        assert!(shown["reason"].as_str().unwrap().contains(says), "{shown}");
    }
    // A second run with the same words writes the same bytes; another name is another title.
    let first = fs::read(dir.join("film.signed.torrent")).unwrap();
    let again = [
        "publish",
        "film.signed.torrent",
        "--key",
        "publisher.key",
        "--force",
    ];
    done(dir, &[&again[..], &["--name", "Evening"]].concat());
    assert_eq!(fs::read(dir.join("film.signed.torrent")).unwrap(), first);
    done(dir, &again);
    assert_eq!(
        done(dir, &["info", "film.signed.torrent"])["title"]["name"],
        "film.mp4"
    );
}

#[test]
fn what_cannot_be_published_is_refused_with_a_reason() {
    let (dir, _) = signed();
    let dir = dir.path();
    fs::write(dir.join("mine.txt"), "mine").unwrap();
    let zero = Address::ZERO.to_string();
    for (args, says) in [
        (&["film.torrent"][..], "film.signed.torrent exists already"),
        (
            &["film.torrent", "--force", "-o", "mine.txt"],
            "not a torrent of the same content",
        ),
        (
            &["film.torrent", "-o", "x", "--creator", &zero],
            "zero address",
        ),
        (
            &["film.mp4", "-o", "x"],
            "film.mp4 is not a valid .torrent file",
        ),
        (&["gone.torrent", "-o", "x"], "gone.torrent cannot be read"),
        (
            &["film.torrent", "-o", "x", "--deployment", "gone.json"],
            "gone.json is not there",
        ),
    ] {
        let args = [&["publish", "--key", "publisher.key"], args].concat();
        Ended::of(&piecework(dir, &args)).assert_refused(2, &[says]);
    }
    assert_eq!(fs::read_to_string(dir.join("mine.txt")).unwrap(), "mine");
    assert!(!dir.join("x").exists());
    // What clap refuses has its help after it.
    for (args, says) in [
        (&["--share", "101"][..], "write percent from 0 to 100"),
        (&["--share", "1.005"], "write percent from 0 to 100"),
        (&["--register"], "--deployment"),
        (&["--name", "a\u{202e}b"], "visible text"),
    ] {
        let args = [&["publish", "film.torrent", "--key", "publisher.key"], args].concat();
        Ended::of(&piecework(dir, &args)).assert_code(2, says);
    }
}

/// A deployment file of the node's vault, with a registry.
fn file_of(node: &Node, dir: &Path, registry: Address) {
    let file = json!({
        "version": 1,
        "chainId": crate::common::CHAIN_ID,
        "rpc": node.config().rpc_url,
        "vault": {
            "address": crate::common::VAULT,
            "block": 0,
            "deployer": Address::repeat_byte(1),
            "exitDelay": 259_200,
        },
        "token": {"address": Address::ZERO, "symbol": "USD", "decimals": 6},
        "registry": {"address": registry, "block": 0},
        "compiler": "0.8.37",
    });
    fs::write(dir.join("chain.json"), file.to_string()).unwrap();
}

#[test]
fn a_node_that_lies_about_registrations_is_found_out_where_it_contradicts_itself() {
    let (dir, key) = signed();
    let dir = dir.path();
    let node = Node::start();
    let registry = Address::repeat_byte(0x55);
    file_of(&node, dir, registry);
    let set = |name: &str, answer: Vec<u8>| node.set(name, json!(hex::encode_prefixed(answer)));
    let count = |n: u64| {
        set(
            "countOf(bytes20)",
            alloy_primitives::U256::from(n).abi_encode(),
        )
    };
    // creator, share, time, publisher, hash
    type Row = (Address, u16, u64, Address, B256);
    let row = |publisher: Address, at: u64| -> Row {
        (Address::repeat_byte(2), 500, at, publisher, B256::ZERO)
    };
    let list = |ids: Vec<B256>, rows: Vec<Row>| {
        let answer = (ids, rows).abi_encode_params();
        set("titlesOf(bytes20,uint256,uint256)", answer);
    };
    let look = || {
        let args = ["info", "film.signed.torrent", "--deployment", "chain.json"];
        Ended::of(&piecework(dir, &args))
    };
    const NOW: u64 = 1_750_000_000;
    let (own, other) = (key.address(), Address::repeat_byte(9));
    set("registry()", other.abi_encode());
    look().assert_refused(
        1,
        &["asks the registry 0x0909", "the deployment file is wrong"],
    );
    set("registry()", registry.abi_encode());
    let nothing: Row = (Address::ZERO, 0, 0, Address::ZERO, B256::ZERO);
    set("record(bytes32)", nothing.abi_encode());
    count(0);
    list(vec![], vec![]);
    look().assert_code(0, "registered no");
    // One that is not the title's, for its id.
    set("record(bytes32)", row(other, NOW).abi_encode());
    look().assert_refused(1, &["does not answer record(bytes32)", "--rpc"]);
    // Shares above the whole, no time, no list, a list of fewer than it counts, one in the wrong order.
    for wrong in [
        (Address::repeat_byte(2), 10_001, NOW, own, B256::ZERO),
        (Address::repeat_byte(2), 500, 0, own, B256::ZERO),
        (Address::ZERO, 500, NOW, own, B256::ZERO),
    ] {
        set("record(bytes32)", wrong.abi_encode());
        look().assert_refused(1, &["does not answer record(bytes32)"]);
    }
    set("record(bytes32)", row(own, NOW).abi_encode());
    count(1);
    look().assert_refused(1, &["does not answer titlesOf("]);
    let id = B256::repeat_byte;
    for (ids, rows) in [
        (vec![id(1), id(2)], vec![row(own, NOW), row(other, NOW - 1)]),
        (vec![id(1), id(1)], vec![row(own, NOW), row(other, NOW)]),
        (vec![id(1), id(2)], vec![row(own, NOW)]),
        ((0..17).map(id).collect(), vec![row(other, NOW); 17]),
    ] {
        list(ids, rows);
        look().assert_refused(1, &["does not answer titlesOf("]);
    }
    // What it says within these bounds is believed, and named for what it is.
    list(vec![id(1)], vec![row(other, NOW - 9)]);
    let said = look();
    said.assert_code(0, "registered since 2025-06-15");
    said.assert_code(0, "with other words than these");
    said.assert_code(
        0,
        &format!("earlier    {other} registered the same content"),
    );
    assert!(node.sent().is_empty());
}
