//! The chain client against the real vault on a real node.
//!
//! Needs `contracts/node_modules` (anvil) and `contracts/out` (artifacts), which `cargo xtask test`
//! makes; `PIECEWORK_CONTRACTS` names another folder that has them.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256, hex};
use alloy_sol_types::{SolCall, SolValue};
use piecework::native::chain::{Chain, ChainConfig, ChainError};
use piecework::native::keys::KeyPair;
use piecework::native::rpc::Rpc;
use piecework::payment::chain::HashChain;
use piecework::payment::voucher::{Vault, Voucher, abi::Claim, account_id};
use piecework::types::{FineUnits, TokenUnits};
use serde_json::{Value, json};

mod abi {
    alloy_sol_types::sol! {
        struct Permit { uint256 deadline; uint8 v; bytes32 r; bytes32 s; }
        function open(address key, uint96 tranche, uint112 amount, uint112 bond, Permit permit) external;
        function mint(address to, uint256 amount) external;
        function approve(address spender, uint256 amount) external;
    }
}

const TRANCHE: u64 = 10_000;
const DEPOSIT: u64 = 2_000_000;
const BOND: u64 = 2_500_000;

struct Anvil {
    child: Child,
    url: String,
    accounts: Vec<Address>,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn contracts() -> PathBuf {
    std::env::var_os("PIECEWORK_CONTRACTS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts")),
        PathBuf::from,
    )
}

impl Anvil {
    fn start() -> Anvil {
        let scope = contracts().join("node_modules/@foundry-rs");
        let program = std::fs::read_dir(&scope)
            .unwrap_or_else(|e| panic!("{}: {e}", scope.display()))
            .flatten()
            .map(|entry| entry.path().join("bin/anvil"))
            .find(|path| path.is_file())
            .expect("no anvil for this system");
        let mut child = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .by_ref()
            .map(|line| line.unwrap())
            .find_map(|line| Some(format!("http://{}", line.strip_prefix("Listening on ")?)))
            .expect("anvil ended");
        // Its pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        let accounts = Rpc::new(&url).unwrap().call("eth_accounts", &json!([]));
        let accounts = serde_json::from_value(accounts.unwrap()).unwrap();
        Anvil {
            child,
            url,
            accounts,
        }
    }

    fn call(&self, method: &'static str, params: &Value) -> Value {
        Rpc::new(&self.url).unwrap().call(method, params).unwrap()
    }

    fn send(&self, from: Address, to: Option<Address>, data: &[u8]) -> Value {
        let data = hex::encode_prefixed(data);
        let mut transaction = json!({"from": from, "data": data, "gas": "0xf00000"});
        if let Some(to) = to {
            transaction["to"] = json!(to);
        }
        let hash = self.call("eth_sendTransaction", &json!([transaction]));
        // Mined at once; a block none the less takes its time.
        let begun = Instant::now();
        let receipt = loop {
            let receipt = self.call("eth_getTransactionReceipt", &json!([hash]));
            if !receipt.is_null() {
                break receipt;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "in no block");
        };
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt
    }

    fn deploy(&self, name: &str, arguments: &[u8]) -> Address {
        let path = contracts().join(format!("out/{name}.sol/{name}.json"));
        let artifact = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let artifact: Value = serde_json::from_slice(&artifact).unwrap();
        let mut code = hex::decode(artifact["bytecode"]["object"].as_str().unwrap()).unwrap();
        code.extend_from_slice(arguments);
        let receipt = self.send(self.accounts[0], None, &code);
        serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
    }
}

struct World {
    anvil: Anvil,
    token: Address,
    vault: Vault,
    owner: Address,
    session: KeyPair,
    payee: KeyPair,
}

impl World {
    /// A vault with one funded account, and a payee with gas.
    fn new() -> World {
        let anvil = Anvil::start();
        let token = anvil.deploy("DemoToken", &[]);
        let sink = Address::repeat_byte(0xdd);
        let arguments = (token, Address::ZERO, sink, U256::from(72 * 3600)).abi_encode_params();
        let vault = Vault {
            address: anvil.deploy("PieceworkVault", &arguments),
            chain_id: 31337,
        };
        let owner = anvil.accounts[1];
        let session = KeyPair::from_bytes(&[0x51; 32]).unwrap();
        let payee = KeyPair::from_bytes(&[0x52; 32]).unwrap();
        let total = U256::from(DEPOSIT + BOND);
        let mint = abi::mintCall {
            to: owner,
            amount: total,
        };
        anvil.send(owner, Some(token), &mint.abi_encode());
        let approve = abi::approveCall {
            spender: vault.address,
            amount: total,
        };
        anvil.send(owner, Some(token), &approve.abi_encode());
        let open = abi::openCall {
            key: session.address(),
            tranche: TRANCHE.try_into().unwrap(),
            amount: DEPOSIT.try_into().unwrap(),
            bond: BOND.try_into().unwrap(),
            permit: abi::Permit {
                deadline: U256::ZERO,
                v: 0,
                r: B256::ZERO,
                s: B256::ZERO,
            },
        };
        anvil.send(owner, Some(vault.address), &open.abi_encode());
        let gas = json!([payee.address(), "0xde0b6b3a7640000"]);
        anvil.call("anvil_setBalance", &gas);
        World {
            anvil,
            token,
            vault,
            owner,
            session,
            payee,
        }
    }

    fn config(&self) -> ChainConfig {
        ChainConfig {
            vault: self.vault.address,
            chain_id: self.vault.chain_id,
            rpc_url: self.anvil.url.clone(),
            token: Some(self.token),
        }
    }

    fn chain(&self) -> Chain {
        Chain::new(&self.config()).unwrap()
    }

    /// A claim of two serials from `first`, with `k` of 256 steps revealed.
    fn claim(&self, first: u32, k: u16) -> (Claim, TokenUnits) {
        let chain = HashChain::generate(B256::repeat_byte(first as u8), 256);
        let voucher = Voucher {
            owner: self.owner,
            payee: self.payee.address(),
            first,
            count: 2,
            content: B256::ZERO,
            base: FineUnits(1_000),
            unit: FineUnits::per_block_from_per_gb(10_000_000),
            steps: 256,
            root: chain.root(),
            luck: B256::ZERO,
        };
        let signature = self.session.sign(voucher.digest(&self.vault)).unwrap();
        let due = voucher.due(k, TokenUnits(u128::from(TRANCHE)));
        (voucher.claim(&signature, k, chain.link(k).unwrap()), due)
    }
}

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn a_payee_is_paid_to_the_last_token_unit_and_only_once() {
    let world = World::new();
    let chain = world.chain();
    chain.check().unwrap();
    assert_eq!(chain.token(), Ok(world.token));
    assert_eq!(chain.decimals(world.token), Ok(6));

    let id = account_id(world.owner, world.session.address());
    let account = chain.account(id, U256::ZERO).unwrap();
    assert!(account.known);
    assert_eq!(account.balance, TokenUnits(u128::from(DEPOSIT)));
    assert_eq!(account.bond, TokenUnits(u128::from(BOND)));
    assert_eq!(account.tranche, TokenUnits(u128::from(TRANCHE)));
    assert_eq!((account.consumed, account.exit_at), (1, 0));
    assert_eq!(account.spent_word, U256::ONE);
    assert_eq!(account.chain_id, 31337);

    let (one, one_due) = world.claim(1, 100);
    let (two, two_due) = world.claim(3, 256);
    // A preimage that leads nowhere.
    let (mut forged, _) = world.claim(5, 10);
    forged.w = B256::repeat_byte(9);
    let claims = [one, forged, two];
    let to = Address::repeat_byte(0x77);
    let redemption = chain.redeem(&claims, &world.payee, to).unwrap();
    assert_eq!(redemption.paid, [(0, one_due), (2, two_due)]);
    assert_eq!(redemption.skipped, [(1, 4)]);
    assert!(redemption.gas_used > 21_000);
    assert_eq!(
        chain.token_balance(world.token, to).unwrap(),
        TokenUnits(one_due.0 + two_due.0)
    );
    let account = chain.account(id, U256::ZERO).unwrap();
    assert_eq!(account.consumed, 5);
    assert_eq!(account.spent_word, U256::from(0b11111));

    let again = chain.redeem(&claims, &world.payee, to);
    assert_eq!(again.unwrap_err(), ChainError::NothingDue);
}

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn what_does_not_fit_is_named_before_anything_is_sent() {
    let world = World::new();
    let with = |change: fn(&mut ChainConfig)| {
        let mut config = world.config();
        change(&mut config);
        let (claim, _) = world.claim(1, 1);
        let to = world.payee.address();
        Chain::new(&config)
            .unwrap()
            .redeem(&[claim], &world.payee, to)
    };
    assert!(matches!(
        with(|c| c.chain_id = 1),
        Err(ChainError::WrongChain {
            expected: 1,
            actual: 31337,
            ..
        })
    ));
    let nobody = Address::repeat_byte(0x99);
    assert!(matches!(
        with(|c| c.vault = Address::repeat_byte(0x99)),
        Err(ChainError::NoVault(address)) if address == nobody
    ));
    assert!(matches!(
        with(|c| c.token = Some(Address::ZERO)),
        Err(ChainError::WrongToken { .. })
    ));
    let mut config = world.config();
    config.vault = world.token;
    let not_a_vault = Chain::new(&config).unwrap().account(B256::ZERO, U256::ZERO);
    assert!(not_a_vault.is_err());

    let gas = json!([world.payee.address(), "0x1"]);
    world.anvil.call("anvil_setBalance", &gas);
    assert!(matches!(
        with(|_| ()),
        Err(ChainError::NoGas { balance: 1, .. } | ChainError::Rpc(_))
    ));
    let nonce = Rpc::new(&world.anvil.url)
        .unwrap()
        .nonce(world.payee.address());
    assert_eq!(nonce, Ok(0), "something was sent");
}
