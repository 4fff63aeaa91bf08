//! What several native tests need: a chain, a tracker, the program.

pub mod daemon;
mod earned;
mod files;
mod node;
pub mod web;

pub use earned::{claim_of, earned, paid_run};
pub use files::{Ended, Film, create, json, piecework, torrent_named, untouched};
pub use node::{CHAIN_ID, Node, VAULT, exiting, no_account, state};

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256, hex};
use alloy_sol_types::{SolCall, SolValue};
use piecework::native::chain::{Chain, ChainConfig};
use piecework::native::keys::KeyPair;
use piecework::native::rpc::Rpc;
use piecework::payment::chain::HashChain;
use piecework::payment::voucher::{Vault, Voucher, abi::Claim};
use piecework::types::{FineUnits, TokenUnits};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Bytes that no two pieces share.
pub fn content(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

pub struct Tracker {
    pub handle: piecework_signaling::Handle,
}

impl Tracker {
    pub async fn start() -> Tracker {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let handle = piecework_signaling::serve(listener, piecework_signaling::Config::default());
        Tracker {
            handle: handle.unwrap(),
        }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/", self.handle.local_addr())
    }
}

/// Tests talk to this machine alone, so a peer asks no STUN server unless the test names one.
pub fn on_loopback<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let is_peer = matches!(args.first(), Some(&("seed" | "get")));
    let names_one = args.contains(&"--ice-server");
    let more = (is_peer && !names_one).then_some("--no-stun");
    args.iter().copied().chain(more).collect()
}

/// How long the program may be silent while it is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program, killed when dropped.
pub struct Program {
    pub child: Child,
    lines: Receiver<String>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    pub fn start(args: &[&str]) -> Program {
        Program::start_in(Path::new("."), args)
    }

    pub fn start_in(dir: &Path, args: &[&str]) -> Program {
        let mut program = Command::new(env!("CARGO_BIN_EXE_piecework"));
        Program::start_by(program.args(on_loopback(args)), dir)
    }

    /// By another command, which ends as the program.
    pub fn start_by(command: &mut Command, dir: &Path) -> Program {
        let mut child = command
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        // Ends with the program, or with whoever listens to it.
        std::thread::spawn(move || {
            let mut said = output.lines().map_while(Result::ok);
            said.all(|line| sender.send(line).is_ok())
        });
        Program { child, lines }
    }

    /// The next line; `None` when the program ended.
    fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the program is silent"),
        }
    }

    /// The next line of JSON that is wanted.
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let line = self.line().expect("the program ended");
            let value = serde_json::from_str(&line).unwrap();
            if wanted(&value) {
                return value;
            }
            assert!(begun.elapsed() < PATIENCE, "not said, but {line}");
        }
    }

    /// The next line, not JSON, that has this in it.
    pub fn line_with(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let line = self.line().expect("the program ended");
            if line.contains(text) {
                return line;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{text:?} is not said, but {line}"
            );
        }
    }

    /// As `kill -NAME` does.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status();
        assert!(sent.unwrap().success());
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn exit_code(&mut self) -> Option<i32> {
        while self.line().is_some() {}
        self.child.wait().unwrap().code()
    }
}

pub mod abi {
    alloy_sol_types::sol! {
        struct Permit { uint256 deadline; uint8 v; bytes32 r; bytes32 s; }
        function open(address key, uint96 tranche, uint112 amount, uint112 bond, Permit permit) external;
        function mint(address to, uint256 amount) external;
        function approve(address spender, uint256 amount) external;
    }
}

pub const TRANCHE: u64 = 10_000;
pub const DEPOSIT: u64 = 2_000_000;
pub const BOND: u64 = 2_500_000;

pub struct Anvil {
    pub child: Child,
    pub url: String,
    pub accounts: Vec<Address>,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn contracts() -> PathBuf {
    std::env::var_os("PIECEWORK_CONTRACTS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts")),
        PathBuf::from,
    )
}

impl Anvil {
    pub fn start() -> Anvil {
        Anvil::start_with(&[])
    }

    pub fn start_with(options: &[&str]) -> Anvil {
        let scope = contracts().join("node_modules/@foundry-rs");
        let program = std::fs::read_dir(&scope)
            .unwrap_or_else(|e| panic!("{}: {e}", scope.display()))
            .flatten()
            .map(|entry| entry.path().join("bin/anvil"))
            .find(|path| path.is_file())
            .expect("no anvil for this system");
        let mut child = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0"])
            .args(options)
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

    pub fn call(&self, method: &'static str, params: &Value) -> Value {
        Rpc::new(&self.url).unwrap().call(method, params).unwrap()
    }

    pub fn send(&self, from: Address, to: Option<Address>, data: &[u8]) -> Value {
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

    pub fn deploy(&self, name: &str, arguments: &[u8]) -> Address {
        self.deploy_of(name, name, arguments)
    }

    /// A contract of a file with several.
    pub fn deploy_of(&self, file: &str, name: &str, arguments: &[u8]) -> Address {
        let path = contracts().join(format!("out/{file}.sol/{name}.json"));
        let artifact = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let artifact: Value = serde_json::from_slice(&artifact).unwrap();
        let mut code = hex::decode(artifact["bytecode"]["object"].as_str().unwrap()).unwrap();
        code.extend_from_slice(arguments);
        let receipt = self.send(self.accounts[0], None, &code);
        serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
    }
}

pub struct World {
    pub anvil: Anvil,
    pub token: Address,
    pub vault: Vault,
    pub owner: Address,
    pub session: KeyPair,
    pub payee: KeyPair,
}

impl World {
    /// A vault with one funded account, and a payee with gas.
    pub fn new() -> World {
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

    pub fn config(&self) -> ChainConfig {
        ChainConfig {
            vault: self.vault.address,
            chain_id: self.vault.chain_id,
            rpc_url: self.anvil.url.clone(),
            token: Some(self.token),
        }
    }

    pub fn chain(&self) -> Chain {
        Chain::new(&self.config()).unwrap()
    }

    /// A claim of two serials from `first`, with `k` of 256 steps revealed.
    pub fn claim(&self, first: u32, k: u16) -> (Claim, TokenUnits) {
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
