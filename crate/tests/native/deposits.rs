//! An owner's money from the command line, and a sale with nothing but a deployment file and keys.
//!
//! Needs what `chain.rs` needs.

use std::fs;
use std::path::Path;

use crate::common::{Anvil, Ended, Film, Tracker, abi, content, json, piecework};
use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolValue};
use piecework::native::chain::{Chain, ChainConfig};
use piecework::native::deployment::Deployment;
use piecework::native::keys::KeyPair;
use piecework::types::TokenUnits;
use serde_json::{Value, json};

/// 72 hours.
const EXIT_DELAY: u64 = 259_200;

/// A chain with a vault, and a folder with the owner's key and the deployment file.
pub struct Bank {
    pub anvil: Anvil,
    pub dir: tempfile::TempDir,
    pub owner: KeyPair,
    pub deployment: Deployment,
    pub file: String,
}

impl Bank {
    /// With play money.
    pub fn new(options: &[&str]) -> Bank {
        Bank::of(Anvil::start_with(options), |_, _| None)
    }

    /// With a token of so many decimals, of which the owner holds 100.
    fn of_decimals(decimals: u8) -> Bank {
        Bank::of(Anvil::start(), |anvil, owner| {
            let arguments = U256::from(decimals).abi_encode();
            let token = anvil.deploy_of("Doubles", "DecimalsToken", &arguments);
            let mint = abi::mintCall {
                to: owner,
                amount: U256::from(100u64) * U256::from(10u64).pow(U256::from(decimals)),
            };
            anvil.send(anvil.accounts[0], Some(token), &mint.abi_encode());
            Some(token)
        })
    }

    fn of(anvil: Anvil, token: impl FnOnce(&Anvil, Address) -> Option<Address>) -> Bank {
        let dir = tempfile::tempdir().unwrap();
        let owner = KeyPair::create(&dir.path().join("owner.key")).unwrap();
        let gas = json!([owner.address(), "0xde0b6b3a7640000"]);
        anvil.call("anvil_setBalance", &gas);
        let token = token(&anvil, owner.address()).map(|token| token.to_string());
        let token: &[&str] = match &token {
            Some(token) => &["--token", token],
            None => &["--demo-token"],
        };
        let deploy = ["vault", "deploy", "--key", "owner.key", "--write-rpc"];
        let deploy = [&deploy[..], &["--rpc", &anvil.url], token].concat();
        Ended::of(&piecework(dir.path(), &deploy)).assert_done();
        let mut files = fs::read_dir(dir.path().join("deployments")).unwrap();
        let file = files
            .find_map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name()?.to_str()?;
                (!name.contains("standard")).then(|| path.to_str().unwrap().to_owned())
            })
            .unwrap();
        Ended::of(&piecework(
            dir.path(),
            &["key", "new", "--session", "session.key"],
        ))
        .assert_done();
        Bank {
            deployment: Deployment::parse(&fs::read(&file).unwrap()).unwrap(),
            anvil,
            dir,
            owner,
            file,
        }
    }

    fn run(&self, args: &[&str]) -> std::process::Output {
        let fixed = ["--owner-key", "owner.key", "--deployment", &self.file];
        piecework(self.dir.path(), &[args, &fixed].concat())
    }

    pub fn done(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        Ended::of(&output).assert_done();
        json(&output)
    }

    fn refused(&self, args: &[&str], code: i32, says: &[&str]) {
        Ended::of(&self.run(args)).assert_refused(code, says);
    }

    pub fn chain(&self) -> Chain {
        Chain::new(&ChainConfig {
            vault: self.deployment.vault.address,
            chain_id: self.deployment.chain_id,
            rpc_url: self.anvil.url.clone(),
            token: Some(self.deployment.token.address),
        })
        .unwrap()
    }

    pub fn holds(&self, of: Address) -> u128 {
        let token = self.deployment.token.address;
        self.chain().token_balance(token, of).unwrap().0
    }

    fn allowance(&self) -> U256 {
        let token = self.deployment.token.address;
        self.chain().allowance(token, self.owner.address()).unwrap()
    }

    fn wait(&self, secs: u64) {
        self.anvil.call("evm_increaseTime", &json!([secs]));
        self.anvil.call("evm_mine", &json!([]));
    }
}

fn number(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

const SESSION: [&str; 2] = ["--session-key", "session.key"];

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn a_deposit_comes_and_goes_in_the_tokens_own_decimals() {
    // Decimals, a deposit, its units; the bond and the slice that go with it.
    for (decimals, amount, units, bond, tranche) in [
        (0, "20", 20, 25, 10),
        (6, "2.5", 2_500_000, 3_125_000, 10_000),
        (
            18,
            "1.000000000000000001",
            10u128.pow(18) + 1,
            125 * 10u128.pow(16) + 2,
            10u128.pow(16),
        ),
    ] {
        let bank = Bank::of_decimals(decimals);
        let before = bank.holds(bank.owner.address());
        let deposit = [&["deposit", amount][..], &SESSION].concat();
        // A dry run says the same and does nothing.
        let planned = bank.done(&[&deposit[..], &["--dry-run"]].concat());
        assert_eq!(planned["plan"].as_array().unwrap().len(), 3, "{planned}");
        assert_eq!(
            (&planned["known"], &planned["transactions"]),
            (&json!(false), &json!([]))
        );
        let opened = bank.done(&deposit);
        assert_eq!(opened["plan"], planned["plan"]);
        assert_eq!(opened["transactions"].as_array().unwrap().len(), 2);
        let sums = |said: &Value| (number(&said["balance"]), number(&said["bond"]));
        assert_eq!(sums(&opened), (units, bond), "{decimals}");
        assert_eq!(number(&opened["tranche"]), tranche);
        assert_eq!(bank.holds(bank.owner.address()), before - units - bond);
        assert_eq!(
            bank.allowance(),
            U256::ZERO,
            "it allowed more than the vault took"
        );

        let one = ["topup", "1", "--bond", "0"];
        let more = bank.done(&[&one[..], &SESSION].concat());
        let scale = 10u128.pow(u32::from(decimals));
        assert_eq!(sums(&more), (units + scale, bond));

        let exiting = bank.done(&[&["exit"][..], &SESSION].concat());
        assert!(exiting["exit_at"].as_u64().unwrap() > 0);
        bank.wait(EXIT_DELAY);
        let gone = bank.done(&[&["withdraw"][..], &SESSION].concat());
        assert_eq!(gone["withdrawn"], true);
        assert_eq!(bank.holds(bank.owner.address()), before);
    }
}

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn an_allowance_that_is_there_is_used_or_first_taken_back() {
    let bank = Bank::new(&[]);
    let owner = bank.owner.address();
    bank.anvil.call("anvil_impersonateAccount", &json!([owner]));
    let allow = |units: u64| {
        let call = abi::approveCall {
            spender: bank.deployment.vault.address,
            amount: U256::from(units),
        };
        let token = bank.deployment.token.address;
        bank.anvil.send(owner, Some(token), &call.abi_encode());
    };
    let did = |args: &[&str]| {
        let said = bank.done(&[args, &SESSION].concat());
        let sent = said["transactions"].as_array().unwrap().iter();
        let names: Vec<String> = sent
            .map(|sent| sent["what"].as_str().unwrap().to_owned())
            .collect();
        names.join(" ")
    };
    // Too little: some tokens change no sum into another.
    allow(1);
    assert_eq!(did(&["deposit", "2"]), "approve approve open");
    assert_eq!(bank.allowance(), U256::ZERO);
    // Enough.
    allow(2_250_000);
    assert_eq!(did(&["topup", "1"]), "topUp");
    assert_eq!(bank.allowance(), U256::ZERO);
}

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn what_would_lose_money_or_do_nothing_is_refused_and_says_what_to_do() {
    let bank = Bank::new(&[]);
    let with = |args: &[&'static str]| [args, &SESSION].concat();
    // Before there is an account.
    bank.refused(
        &with(&["topup", "1"]),
        1,
        &["never opened an account", "--deployment"],
    );
    bank.refused(&with(&["exit"]), 1, &["never opened an account"]);
    bank.refused(&with(&["deposit", "0"]), 2, &["AMOUNT \"0\"", "2 or 0.5"]);
    bank.refused(&with(&["deposit", "0.0000001"]), 2, &["at most 6 decimals"]);
    bank.refused(&with(&["deposit", "0.001"]), 2, &["--tranche"]);
    bank.refused(&with(&["deposit", "9e3"]), 2, &["not a sum"]);
    bank.refused(
        &with(&["deposit", "99999999999999999999999999999"]),
        2,
        &["no vault holds so much"],
    );
    bank.refused(
        &with(&["deposit", "9000"]),
        1,
        &["holds 10000 pwUSD", "20250 pwUSD"],
    );
    bank.refused(
        &["deposit", "1", "--session-key", "owner.key"],
        2,
        &["is no session key", "piecework key new --session"],
    );
    let fixed = [
        "deposit",
        "1",
        "--session-key",
        "session.key",
        "--deployment",
        &bank.file,
    ];
    let output = piecework(
        bank.dir.path(),
        &[&fixed[..], &["--owner-key", "session.key"]].concat(),
    );
    Ended::of(&output).assert_refused(2, &["session.key is a session key", "the key of the owner"]);
    bank.refused(&["claim"], 1, &["credits nothing", "piecework redeem"]);

    // A bond that sellers refuse is taken, with a word.
    let thin = Ended::of(&bank.run(&with(&["deposit", "2", "--bond", "1"])));
    thin.assert_code(0, "less than sellers ask for");
    bank.refused(
        &with(&["deposit", "2"]),
        2,
        &["open already", "piecework topup"],
    );
    bank.refused(
        &with(&["withdraw"]),
        1,
        &["did not exit yet", "piecework exit"],
    );
    bank.done(&with(&["exit"]));
    bank.refused(&with(&["topup", "1"]), 1, &["on its way out"]);
    bank.wait(EXIT_DELAY - 5_400);
    bank.refused(
        &with(&["withdraw"]),
        1,
        &["3 pwUSD can be withdrawn from 20", "in 1 h"],
    );
    // A second exit changes nothing, and says when.
    let again = Ended::of(&bank.run(&with(&["exit"])));
    again.assert_code(0, "on its way out already");
    assert!(again.said.contains("UTC on, in 1 h"), "{}", again.said);
    bank.wait(5_400);
    // By the key's address alone, to another purse.
    let session = KeyPair::load(&bank.dir.path().join("session.key")).unwrap();
    let session = session.address().to_string();
    let purse = Address::repeat_byte(0x77);
    let to = purse.to_string();
    bank.done(&["withdraw", "--session", &session, "--to", &to]);
    assert_eq!(bank.holds(purse), 3_000_000);
    bank.refused(&with(&["withdraw"]), 1, &["dead for ever"]);
    bank.refused(
        &with(&["deposit", "2"]),
        2,
        &["was withdrawn", "make a new one"],
    );
}

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn flags_beside_a_deployment_may_name_another_node_and_nothing_else() {
    let bank = Bank::new(&[]);
    let no_rpc = Deployment {
        rpc: None,
        ..bank.deployment.clone()
    };
    let file = bank.dir.path().join("no rpc.json");
    fs::write(&file, no_rpc.to_json()).unwrap();
    let balance = |args: &[&str]| {
        let payee = ["balance", "--payee-key", "owner.key", "--json"];
        piecework(bank.dir.path(), &[&payee[..], args].concat())
    };
    Ended::of(&balance(&["--deployment", &bank.file])).assert_done();
    let by_flag = ["--deployment", "no rpc.json", "--rpc", &bank.anvil.url];
    Ended::of(&balance(&by_flag)).assert_done();
    let vault = bank.deployment.vault.address.to_string();
    Ended::of(&balance(
        &[&by_flag[..], &["--vault", &vault, "--decimals", "6"]].concat(),
    ))
    .assert_done();
    let other = Address::repeat_byte(9).to_string();
    for (args, says) in [
        (
            &["--deployment", "no rpc.json"][..],
            &["no rpc.json", "--rpc"][..],
        ),
        (
            &["--deployment", "gone.json"],
            &["gone.json is not there", "vault deploy"],
        ),
        (
            &["--deployment", "owner.key"],
            &["owner.key", "no deployment"],
        ),
        (
            &["--deployment", &bank.file, "--vault", &other],
            &["--vault 0x0909", &vault],
        ),
        (
            &["--deployment", &bank.file, "--chain-id", "10"],
            &["--chain-id 10", "names 31337"],
        ),
        (
            &["--deployment", &bank.file, "--token", &other],
            &["--token 0x0909", "names 0x"],
        ),
        (
            &["--deployment", &bank.file, "--decimals", "18"],
            &["--decimals 18", "names 6"],
        ),
        (
            &["--vault", &vault],
            &[
                "without --chain-id and --rpc the vault is not known",
                "--deployment",
            ],
        ),
        (
            &["--rpc", "http://127.0.0.1:1"],
            &["without --vault and --chain-id the vault is not known"],
        ),
    ] {
        Ended::of(&balance(args)).assert_refused(2, says);
    }
    // The chain is looked at before any sum.
    let elsewhere = Anvil::start_with(&["--chain-id", "10"]);
    let deposit = [
        "deposit",
        "1",
        "--session-key",
        "session.key",
        "--rpc",
        &elsewhere.url,
    ];
    bank.refused(&deposit, 1, &["serves chain 10, not 31337", "--rpc"]);
    let poor = json!([bank.owner.address(), "0x1"]);
    bank.anvil.call("anvil_setBalance", &poor);
    let deposit = ["deposit", "1", "--session-key", "session.key"];
    bank.refused(&deposit, 1, &["1 wei", "send it some"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn a_vault_a_deposit_a_sale_and_the_way_back_need_one_file_and_keys() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    // An L2 of the OP stack, by its chain id and its rules of gas.
    let ran = tokio::task::spawn_blocking(move || {
        round(&url, &["--chain-id", "10", "--network", "optimism"]);
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs contracts/node_modules and contracts/out"]
async fn what_was_bought_is_sold_again_by_a_share_of_its_price_or_at_a_price() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        resell(&url, &["--resell", "50"], 5);
        resell(&url, &["--sell-price", "3"], 3);
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

/// The first buyer pays 10 tokens per GB, and the second one buys of it alone.
fn resell(tracker: &str, terms: &[&str], price: u128) {
    const LENGTH: usize = 4_000_000;
    let bank = Bank::new(&[]);
    let film = Film::named("film.mp4", content(LENGTH), tracker);
    let gas = |key: &KeyPair| {
        let gas = json!([key.address(), "0xde0b6b3a7640000"]);
        bank.anvil.call("anvil_setBalance", &gas);
    };
    gas(&KeyPair::create(&film.dir.path().join("payee.key")).unwrap());
    let payee = KeyPair::create(&film.dir.path().join("reseller.key")).unwrap();
    gas(&payee);
    for session in ["first.key", "second.key"] {
        let session_key = bank.dir.path().join(session).to_str().unwrap().to_owned();
        Ended::of(&piecework(
            bank.dir.path(),
            &["key", "new", "--session", session],
        ))
        .assert_done();
        bank.done(&["deposit", "2", "--session-key", &session_key]);
    }
    let sell = [
        "--price",
        "10",
        "--payee-key",
        "payee.key",
        "--stdin-commands",
    ];
    let deployment = ["--deployment", bank.file.as_str()];
    let mut seller = film.seeding_from(film.dir.path(), &[&sell[..], &deployment].concat());
    seller.until(|line| line["event"] == "seeding");
    let owner = bank.owner.address().to_string();
    let session = |name: &str| bank.dir.path().join(name).to_str().unwrap().to_owned();
    let (first, second) = (session("first.key"), session("second.key"));
    let buy = |session: &'static str| {
        let key = if session == "first.key" {
            &first
        } else {
            &second
        };
        let fixed = [
            "--max-price",
            "10",
            "--budget",
            "1",
            "--owner",
            &owner,
            "--session-key",
            key,
        ];
        [&fixed[..], &deployment].concat()
    };
    let resells = ["--seed", "--payee-key", "reseller.key", "--redeem-on-exit"];
    let mut reseller = film.getting(
        &bank.dir.path().join("first"),
        &[&buy("first.key")[..], &resells, terms].concat(),
    );
    reseller.until(|line| line["event"] == "seeding");
    seller.say("quit");
    assert_eq!(seller.exit_code(), Some(0));

    film.get(&bank.dir.path().join("second"), &buy("second.key"))
        .assert_done();
    assert_eq!(
        fs::read(bank.dir.path().join("second/film.mp4")).unwrap(),
        film.bytes
    );
    reseller.signal("-INT");
    assert_eq!(reseller.exit_code(), Some(0));
    // Each block is rounded up to a fine unit.
    let due = LENGTH as u128 * price / 1_000;
    let earned = bank.holds(payee.address());
    assert!(
        (due..=due + due / 50).contains(&earned),
        "{earned}, {due} is due"
    );
}

fn round(tracker: &str, options: &[&str]) {
    const LENGTH: usize = 4_000_000;
    let bank = Bank::new(options);
    let at = |path: &Path| path.to_str().unwrap().to_owned();
    let before = bank.holds(bank.owner.address());
    let opened = bank.done(&[&["deposit", "2"][..], &SESSION].concat());
    assert_eq!(number(&opened["balance"]), 2_000_000);

    let film = Film::named("film.mp4", content(LENGTH), tracker);
    let payee = KeyPair::create(&film.dir.path().join("payee.key")).unwrap();
    let gas = json!([payee.address(), "0xde0b6b3a7640000"]);
    bank.anvil.call("anvil_setBalance", &gas);
    let sell = [
        "--price",
        "10",
        "--payee-key",
        "payee.key",
        "--redeem-every",
        "0",
        "--stdin-commands",
        "--deployment",
        &bank.file,
    ];
    let mut seller = film.seeding_from(film.dir.path(), &sell);
    seller.until(|line| line["event"] == "seeding");
    let got = bank.dir.path().join("got");
    let session = at(&bank.dir.path().join("session.key"));
    let buy = [
        "--max-price",
        "10",
        "--budget",
        "1",
        "--owner",
        &bank.owner.address().to_string(),
        "--session-key",
        &session,
        "--deployment",
        &bank.file,
    ];
    film.get(&got, &buy).assert_done();
    assert_eq!(fs::read(got.join("film.mp4")).unwrap(), film.bytes);
    seller.say("redeem");
    let redeemed = seller.until(|line| line["command"] == "redeem");
    assert_eq!(redeemed["ok"], true, "{redeemed}");
    seller.say("quit");
    assert_eq!(seller.exit_code(), Some(0));
    let earned = bank.holds(payee.address());
    // 4 MB at 10 tokens per GB.
    assert!((39_000..=41_000).contains(&earned), "{earned}");
    // What is left, when nobody sells any more.
    let state = at(&film.dir.path().join(".piecework"));
    let redeem = [
        "redeem",
        "--state",
        &state,
        "--payee-key",
        "payee.key",
        "--deployment",
    ];
    let nothing = piecework(
        film.dir.path(),
        &[&redeem[..], &[bank.file.as_str()]].concat(),
    );
    Ended::of(&nothing).assert_code(0, "nothing to redeem");

    bank.done(&[&["exit"][..], &SESSION].concat());
    bank.refused(
        &[&["withdraw"][..], &SESSION].concat(),
        1,
        &["can be withdrawn from"],
    );
    bank.wait(EXIT_DELAY);
    let gone = bank.done(&[&["withdraw"][..], &SESSION].concat());
    assert_eq!(gone["withdrawn"], true);
    assert_eq!(bank.holds(bank.owner.address()), before - earned);
    assert_eq!(
        bank.chain()
            .token_balance(bank.deployment.token.address, bank.deployment.vault.address),
        Ok(TokenUnits(0))
    );
}
