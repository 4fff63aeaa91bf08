//! `piecework vault deploy` on real nodes, and the file that it writes.
//!
//! Needs what `chain.rs` needs.

use std::fs;
use std::path::Path;

use crate::common::{Anvil, Ended, Node, json, piecework};
use alloy_primitives::{Address, U256, hex};
use alloy_sol_types::SolValue;
use piecework::native::deployment::Deployment;
use piecework::native::keys::KeyPair;
use serde_json::{Value, json};

/// The address of the demo token and of its vault on any chain that has the deterministic deployer: they change only
/// with the contracts' code.
const DETERMINISTIC_DEPLOYER: &str = "0x4e59b44847b379578588920cA78FbF26c0B4956C";

/// A folder with a key that has gas on this chain.
fn payer(anvil: &Anvil) -> (tempfile::TempDir, KeyPair) {
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::create(&dir.path().join("deployer.key")).unwrap();
    let gas = json!([key.address(), "0xde0b6b3a7640000"]);
    anvil.call("anvil_setBalance", &gas);
    (dir, key)
}

fn deploy(dir: &Path, rpc: &str, args: &[&str]) -> std::process::Output {
    let fixed = ["vault", "deploy", "--rpc", rpc, "--key", "deployer.key"];
    piecework(dir, &[&fixed[..], &["--json"], args].concat())
}

fn deployed(dir: &Path, rpc: &str, args: &[&str]) -> Value {
    let output = deploy(dir, rpc, args);
    Ended::of(&output).assert_done();
    json(&output)
}

fn file(dir: &Path, name: &str) -> Deployment {
    Deployment::parse(&fs::read(dir.join("deployments").join(name)).unwrap()).unwrap()
}

/// Which registry a vault asks, by its own word.
fn registry_of(anvil: &Anvil, vault: Address) -> Address {
    let call = json!([{"to": vault, "data": "0x7b103999"}, "latest"]);
    let word: U256 = serde_json::from_value(anvil.call("eth_call", &call)).unwrap();
    Address::from_word(word.into())
}

fn sent_by(anvil: &Anvil, key: &KeyPair) -> u64 {
    let count = json!([key.address(), "latest"]);
    let count: U256 =
        serde_json::from_value(anvil.call("eth_getTransactionCount", &count)).unwrap();
    count.to()
}

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn a_vault_has_one_address_on_every_chain_and_a_second_run_finds_it() {
    let mut addresses = Vec::new();
    // An L2 of the OP stack, by its chain id and its rules of gas, and a plain chain.
    for (options, chain_id) in [
        (&["--chain-id", "10", "--network", "optimism"][..], "10"),
        (&[][..], "31337"),
    ] {
        let anvil = Anvil::start_with(options);
        let (dir, key) = payer(&anvil);
        let first = deployed(dir.path(), &anvil.url, &["--demo-token"]);
        assert_eq!(first["chain_id"].to_string(), chain_id);
        assert_eq!(
            (&first["found"], &first["deterministic"]),
            (&json!(false), &json!(true))
        );
        // Token, play money, registry, factory and vault.
        assert_eq!(sent_by(&anvil, &key), 5);
        let name = format!("{chain_id}.json");
        let written = file(dir.path(), &name);
        assert_eq!(written.vault.address.to_string(), first["vault"]);
        assert_eq!(written.vault.deployer.to_string(), DETERMINISTIC_DEPLOYER);
        assert_eq!(written.vault.exit_delay, 259_200);
        assert_eq!(written.token.symbol, "pwUSD");
        assert_eq!((written.token.decimals, written.rpc.as_deref()), (6, None));
        let hash = json!([written.vault.tx_hash.unwrap()]);
        let receipt = anvil.call("eth_getTransactionReceipt", &hash);
        let block: U256 = serde_json::from_value(receipt["blockNumber"].clone()).unwrap();
        assert_eq!(block.to::<u64>(), written.vault.block);
        let input = dir
            .path()
            .join(format!("deployments/{chain_id}.vault.standard.json"));
        let committed = crate::common::contracts().join("artifacts/PieceworkVault.standard.json");
        assert_eq!(fs::read(input).unwrap(), fs::read(committed).unwrap());

        // The same again, and with the file lost: nothing is sent, and the same is written.
        let token = written.token.address.to_string();
        for lost in [false, true] {
            if lost {
                fs::remove_dir_all(dir.path().join("deployments")).unwrap();
                anvil.call("anvil_mine", &json!(["0x20"]));
            }
            let again = deployed(dir.path(), &anvil.url, &["--token", &token]);
            assert_eq!(again["found"], true, "{again}");
            assert_eq!(sent_by(&anvil, &key), 5);
            let same = file(dir.path(), &name);
            assert_eq!(same.vault.block, written.vault.block);
            assert_eq!(same.registry, written.registry);
            assert_eq!(same.splitters, written.splitters);
            // Which transaction it was, a node does not say.
            assert_eq!(same.vault.tx_hash.is_none(), lost);
        }
        let registry = written.registry.unwrap();
        assert!(registry.block < written.vault.block);
        assert_eq!(registry_of(&anvil, written.vault.address), registry.address);
        let input = dir
            .path()
            .join(format!("deployments/{chain_id}.registry.standard.json"));
        let committed =
            crate::common::contracts().join("artifacts/PieceworkRegistry.standard.json");
        assert_eq!(fs::read(input).unwrap(), fs::read(committed).unwrap());
        addresses.push([
            written.vault.address,
            registry.address,
            written.splitters.unwrap().address,
        ]);

        // A vault of another kind takes the registry that is there; one without has none, and is another one.
        let other = ["--token", &token, "--exit-delay", "86400", "-o", "other"];
        let second = deployed(dir.path(), &anvil.url, &other);
        assert_eq!(second["registry"], registry.address.to_string());
        assert_eq!(sent_by(&anvil, &key), 6);
        let none = ["--token", &token, "--no-registry", "-o", "none"];
        let third = deployed(dir.path(), &anvil.url, &none);
        assert_eq!(
            (&third["registry"], &third["splitters"]),
            (&Value::Null, &Value::Null)
        );
        let vault: Address = third["vault"].as_str().unwrap().parse().unwrap();
        assert_eq!(registry_of(&anvil, vault), Address::ZERO);
        assert_eq!(sent_by(&anvil, &key), 7);
        let file = fs::read_to_string(dir.path().join(format!("none/{name}"))).unwrap();
        assert!(!file.contains("registry") && !file.contains("splitters"));
        // Such a file is kept as it is, or refused with both ways out.
        let anew = ["--token", &token, "-o", "none"];
        let refused = Ended::of(&deploy(dir.path(), &anvil.url, &anew));
        refused.assert_refused(2, &["names another vault", "--no-registry keeps it"]);
        assert_eq!(deployed(dir.path(), &anvil.url, &none)["found"], true);
        // One of somebody else's making.
        let given = anvil.deploy("PieceworkRegistry", &[]);
        let given_flag = given.to_string();
        let args = ["--token", &token, "--registry", &given_flag, "-o", "given"];
        let fourth = deployed(dir.path(), &anvil.url, &args);
        assert_eq!(fourth["registry"], given_flag);
        let vault: Address = fourth["vault"].as_str().unwrap().parse().unwrap();
        assert_eq!(registry_of(&anvil, vault), given);
        for wrong in [&token, &Address::repeat_byte(0x99).to_string()] {
            let args = ["--token", &token, "--registry", wrong, "-o", "wrong"];
            let refused = Ended::of(&deploy(dir.path(), &anvil.url, &args));
            refused.assert_refused(1, &["countOf(bytes20)", "--registry"]);
        }
    }
    assert_eq!(addresses[0], addresses[1]);
}

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn without_the_deterministic_deployer_a_vault_is_made_all_the_same_and_it_is_said_aloud() {
    let options = ["--disable-default-create2-deployer", "--chain-id", "8453"];
    let anvil = Anvil::start_with(&options);
    let (dir, key) = payer(&anvil);
    let output = deploy(dir.path(), &anvil.url, &["--demo-token"]);
    let said = Ended::of(&output);
    said.assert_done();
    said.assert_code(0, "an address that it has on no other chain");
    assert_eq!(json(&output)["deterministic"], false);
    let written = file(dir.path(), "8453.json");
    assert_eq!(
        (written.vault.salt, written.vault.deployer),
        (None, key.address())
    );
    assert_eq!(sent_by(&anvil, &key), 5);
    // The file says where it is.
    let token = written.token.address.to_string();
    for args in [&["--token", &token][..], &["--demo-token"]] {
        let again = deployed(dir.path(), &anvil.url, args);
        assert_eq!(again["found"], true, "{again}");
        assert_eq!(file(dir.path(), "8453.json"), written);
    }
    assert_eq!(sent_by(&anvil, &key), 5);

    // Nor is play money made for a file that names another vault, or one of a chain that began anew.
    let foreign = Deployment {
        token: piecework::native::deployment::DeployedToken {
            symbol: "USDC".to_owned(),
            ..written.token.clone()
        },
        ..written.clone()
    };
    let path = dir.path().join("deployments/8453.json");
    fs::write(&path, foreign.to_json()).unwrap();
    let refused = Ended::of(&deploy(dir.path(), &anvil.url, &["--demo-token"]));
    refused.assert_refused(2, &["8453.json names another vault", "--force"]);
    fs::write(&path, written.to_json()).unwrap();

    // Another vault is not written over this one, and nothing is sent for it.
    let other = ["--token", &token, "--exit-delay", "86400"];
    let refused = Ended::of(&deploy(dir.path(), &anvil.url, &other));
    refused.assert_refused(2, &["8453.json names another vault", "--force"]);
    assert_eq!(sent_by(&anvil, &key), 5);
    deployed(
        dir.path(),
        &anvil.url,
        &[&other[..], &["--force", "--write-rpc"]].concat(),
    );
    let forced = file(dir.path(), "8453.json");
    assert_ne!(forced.vault.address, written.vault.address);
    assert_eq!(forced.vault.exit_delay, 86_400);
    assert_eq!(forced.rpc.as_deref(), Some(anvil.url.as_str()));
}

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn what_makes_no_vault_is_refused_with_a_reason_before_anything_is_sent() {
    let anvil = Anvil::start();
    let (dir, key) = payer(&anvil);
    let nameless = anvil.deploy_of("Doubles", "SilentToken", &[]).to_string();
    let nobody = Address::repeat_byte(0x99).to_string();
    let fine = anvil.deploy("DemoToken", &[]).to_string();
    let wide = U256::from(30).abi_encode();
    let wide = anvil
        .deploy_of("Doubles", "DecimalsToken", &wide)
        .to_string();
    let refused = |args: &[&str], code, says: &[&str]| {
        Ended::of(&deploy(dir.path(), &anvil.url, args)).assert_refused(code, says);
        assert_eq!(sent_by(&anvil, &key), 0, "{args:?}");
        assert!(!dir.path().join("deployments").exists());
    };
    refused(
        &["--token", &fine, "--chain-id", "10"],
        1,
        &["serves chain 31337, not 10", "--chain-id"],
    );
    refused(&["--token", &nobody], 1, &["no contract at", "--token"]);
    refused(
        &["--token", &nameless],
        1,
        &["decimals()", "give another --token"],
    );
    refused(&["--token", &wide], 1, &["30 decimals", "24 are the most"]);
    refused(
        &["--token", &fine, "--exit-delay", "3600"],
        2,
        &["less than a day", "--accept-short-exit"],
    );
    refused(
        &["--token", &fine, "--max-fee-per-gas", "0.000000001"],
        1,
        &["--max-fee-per-gas"],
    );
    let poor = json!([key.address(), "0x1"]);
    anvil.call("anvil_setBalance", &poor);
    refused(
        &["--token", &fine],
        1,
        &[&key.address().to_string(), "1 wei", "send it some"],
    );
    // What clap refuses has its help after it.
    for (args, says) in [
        (
            &["--token", &fine, "--exit-delay", "3599"][..],
            "write seconds from 3600",
        ),
        (&["--exit-delay", "86400"], "--token"),
        (&["--token", &fine, "--demo-token"], "--demo-token"),
    ] {
        Ended::of(&deploy(dir.path(), &anvil.url, args)).assert_code(2, says);
    }
}

#[test]
fn play_money_is_for_chains_of_this_machine_and_a_dry_run_sends_nothing() {
    let node = Node::start();
    let dir = tempfile::tempdir().unwrap();
    KeyPair::create(&dir.path().join("deployer.key")).unwrap();
    let away = deploy(dir.path(), "http://rpc.example:1", &["--demo-token"]);
    Ended::of(&away).assert_refused(2, &["rpc.example:1", "for tests", "give a --token"]);
    node.set_decimals(18);
    let symbol = hex::encode_prefixed("WIDE".to_owned().abi_encode());
    node.set("symbol()", json!(symbol));
    let token = Address::repeat_byte(0x44).to_string();
    let rpc = node.config().rpc_url;
    let planned = deployed(dir.path(), &rpc, &["--token", &token, "--dry-run"]);
    assert_eq!(
        planned["deterministic"], false,
        "its code is not the deployer's"
    );
    // Who cannot pay for it hears that from the plan, too.
    node.set_quantity("eth_getBalance", 0);
    for args in [
        &["--token", &token, "--dry-run"][..],
        &["--demo-token", "--dry-run"],
    ] {
        let refused = Ended::of(&deploy(dir.path(), &rpc, args));
        refused.assert_refused(1, &["holds 0 wei", "send it some"]);
    }
    assert!(node.sent().is_empty());
    assert!(!dir.path().join("deployments").exists());
}

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn a_transaction_that_waits_is_given_up_with_a_sentence_and_its_place_is_taken_by_the_next() {
    let anvil = Anvil::start();
    let (dir, key) = payer(&anvil);
    let token = anvil.deploy("DemoToken", &[]).to_string();
    anvil.call("evm_setAutomine", &json!([false]));
    let args = ["--token", &token, "--wait", "1"];
    let late = Ended::of(&deploy(dir.path(), &anvil.url, &args));
    late.assert_refused(1, &["in no block yet", "see a block explorer"]);
    // The node forgets it: it never gets into a block.
    anvil.call("anvil_dropAllTransactions", &json!([]));
    anvil.call("evm_setAutomine", &json!([true]));
    let done = deployed(dir.path(), &anvil.url, &args);
    assert_eq!(done["found"], false);
    // Registry, factory and vault.
    assert_eq!(sent_by(&anvil, &key), 3);
}

#[test]
fn a_transaction_that_is_replaced_or_dropped_is_named() {
    for (sets, says) in [
        // Another one of the key is in a block, with its nonce.
        (
            ("eth_getTransactionCount latest", json!("0x1")),
            "took the place of 0x",
        ),
        (
            ("eth_getTransactionByHash", Value::Null),
            "does not know it any more",
        ),
    ] {
        let node = Node::start();
        let dir = tempfile::tempdir().unwrap();
        KeyPair::create(&dir.path().join("deployer.key")).unwrap();
        node.set_decimals(6);
        let symbol = hex::encode_prefixed("USD".to_owned().abi_encode());
        node.set("symbol()", json!(symbol));
        node.set("eth_getTransactionByHash", json!({}));
        node.set(sets.0, sets.1);
        let token = Address::repeat_byte(0x44).to_string();
        let args = ["--token", &token, "--wait", "8"];
        let ended = Ended::of(&deploy(dir.path(), &node.config().rpc_url, &args));
        ended.assert_refused(1, &[says]);
        assert_eq!(node.sent().len(), 1);
    }
}
