//! A node that answers what a test wants.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, U256, hex, keccak256};
use alloy_sol_types::SolValue;
use piecework::native::chain::ChainConfig;
use serde_json::{Value, json};

type Answers = Arc<Mutex<BTreeMap<String, Value>>>;

/// Answers JSON-RPC by a table; of the vault's functions, by their signatures.
pub struct Node {
    url: String,
    answers: Answers,
    /// What comes before, each once.
    once: Arc<Mutex<Vec<(String, Value)>>>,
    sent: Arc<Sent>,
}

/// Raw transactions, and who waits for them.
#[derive(Default)]
struct Sent {
    raw: Mutex<Vec<Vec<u8>>>,
    grew: Condvar,
}

pub const VAULT: Address = Address::repeat_byte(0x33);
pub const CHAIN_ID: u64 = 31337;

/// `state(id, word)` of an account that was never opened.
pub fn no_account() -> String {
    let mut words = [U256::ZERO; 10];
    words[7..].copy_from_slice(&[CHAIN_ID, 100, 1_700_000_000].map(U256::from));
    hex::encode_prefixed(words.abi_encode())
}

/// `state(id, word)` of an account with a deposit, of which so many serials are consumed.
pub fn state(consumed: u64) -> String {
    let word = |n: u64| U256::from(n);
    let words = [
        word(2_000_000),
        word(10_000),
        word(consumed),
        word(1),
        word(2_500_000),
        word(0),
        word(1),
        word(CHAIN_ID),
        word(100),
        word(1_700_000_000),
    ];
    hex::encode_prefixed(words.abi_encode())
}

/// The same of an account whose owner wants its deposit back, far in the future.
pub fn exiting() -> String {
    let words = [
        2_000_000,
        10_000,
        1,
        1,
        2_500_000,
        4_000_000_000,
        1,
        CHAIN_ID,
        100,
        1_700_000_000,
    ];
    hex::encode_prefixed(words.map(U256::from).abi_encode())
}

impl Node {
    /// One of an honest chain: a vault with an exit delay of three days, and an account that was just opened.
    pub fn start() -> Node {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let node = Node {
            url,
            answers: Answers::default(),
            once: Arc::default(),
            sent: Arc::default(),
        };
        let quantities: [(&str, u128); 5] = [
            ("eth_chainId", CHAIN_ID.into()),
            ("eth_estimateGas", 100_000),
            ("eth_maxPriorityFeePerGas", 1_000_000),
            ("eth_getTransactionCount", 0),
            ("eth_getBalance", 1_000_000_000_000_000_000),
        ];
        for (method, quantity) in quantities {
            node.set_quantity(method, quantity);
        }
        node.set_base_fee(1_000_000);
        node.set("eth_getCode", json!("0x01"));
        node.set("eth_getTransactionReceipt", Value::Null);
        node.set(
            "token()",
            json!(hex::encode_prefixed(Address::ZERO.abi_encode())),
        );
        node.set_exit_delay(72 * 3600);
        node.set("state(bytes32,uint256)", json!(state(1)));
        let (answers, once, sent) = (node.answers.clone(), node.once.clone(), node.sent.clone());
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, once, sent) = (answers.clone(), once.clone(), sent.clone());
                std::thread::spawn(move || answer(stream, &answers, &once, &sent));
            }
        });
        node
    }

    /// The answer to a method, to one at a block (`METHOD latest`), or to `eth_call` of a function.
    pub fn set(&self, method: &str, answer: Value) {
        self.answers
            .lock()
            .unwrap()
            .insert(method.to_owned(), answer);
    }

    /// The answer to a method the next time it is called, before what is set for it; null is an error.
    pub fn set_once(&self, method: &str, answer: Value) {
        let mut once = self.once.lock().unwrap();
        once.push((method.to_owned(), answer));
    }

    /// So many times this method is answered with an error.
    pub fn fails(&self, method: &str, times: u32) {
        for _ in 0..times {
            self.set_once(method, Value::Null);
        }
    }

    /// The token says that it has so many decimals.
    pub fn set_decimals(&self, decimals: u8) {
        let word = U256::from(decimals).abi_encode();
        self.set("decimals()", json!(hex::encode_prefixed(word)));
    }

    pub fn set_quantity(&self, method: &str, quantity: u128) {
        self.set(method, json!(format!("{quantity:#x}")));
    }

    /// Says of each transaction that it is in a block.
    pub fn mines(&self) {
        let receipt =
            json!({"status": "0x1", "gasUsed": "0x186a0", "blockNumber": "0x7", "logs": []});
        self.set("eth_getTransactionReceipt", receipt);
    }

    pub fn set_base_fee(&self, wei: u128) {
        let block = json!({"baseFeePerGas": format!("{wei:#x}")});
        self.set("eth_getBlockByNumber", block);
    }

    pub fn set_exit_delay(&self, secs: u64) {
        let word = U256::from(secs).abi_encode();
        self.set("exitDelay()", json!(hex::encode_prefixed(word)));
    }

    /// Raw transactions that it was sent.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        self.sent.raw.lock().unwrap().clone()
    }

    /// Waits until it was sent so many.
    pub fn until_sent(&self, count: usize) -> Vec<Vec<u8>> {
        let raw = self.sent.raw.lock().unwrap();
        let waits = |raw: &mut Vec<Vec<u8>>| raw.len() < count;
        let (raw, _) = (self.sent.grew)
            .wait_timeout_while(raw, Duration::from_secs(60), waits)
            .unwrap();
        assert!(raw.len() >= count, "{} of {count} were sent", raw.len());
        raw.clone()
    }

    pub fn config(&self) -> ChainConfig {
        ChainConfig {
            vault: VAULT,
            chain_id: CHAIN_ID,
            rpc_url: self.url.clone(),
            token: None,
        }
    }

    /// For the command line.
    pub fn options(&self) -> Vec<String> {
        let (vault, chain) = (VAULT.to_string(), CHAIN_ID.to_string());
        ["--vault", &vault, "--chain-id", &chain, "--rpc", &self.url]
            .map(str::to_owned)
            .to_vec()
    }
}

fn answer(
    stream: TcpStream,
    answers: &Mutex<BTreeMap<String, Value>>,
    once: &Mutex<Vec<(String, Value)>>,
    sent: &Sent,
) {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let method = request["method"].as_str().unwrap();
    let bytes_of = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    let first = {
        let mut once = once.lock().unwrap();
        let at = once.iter().position(|(of, _)| of == method);
        at.map(|at| once.remove(at).1)
    };
    let result = match method {
        _ if first.is_some() => first.filter(|answer| !answer.is_null()),
        "eth_sendRawTransaction" => {
            let raw = bytes_of(&request["params"][0]);
            let hash = keccak256(&raw);
            sent.raw.lock().unwrap().push(raw);
            sent.grew.notify_all();
            Some(json!(hash))
        }
        "eth_call" => {
            let data = bytes_of(&request["params"][0]["data"]);
            let known = answers.lock().unwrap();
            let mut functions = known.iter().filter(|(name, _)| name.contains('('));
            let called = functions.find(|(name, _)| keccak256(name)[..4] == data[..4]);
            called.map(|(_, answer)| answer.clone())
        }
        _ => {
            let answers = answers.lock().unwrap();
            let at_block = format!("{method} {}", request["params"][1].as_str().unwrap_or(""));
            let answer = answers.get(&at_block).or_else(|| answers.get(method));
            answer.cloned()
        }
    };
    let answer = match result {
        Some(result) => json!({"jsonrpc": "2.0", "id": 1, "result": result}),
        None => json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 3, "message": "reverted"}}),
    };
    let body = answer.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // Who asked may have been killed.
    let _ = reader.get_mut().write_all((head + &body).as_bytes());
}
