//! The demo's chain: anvil's opening lines, JSON-RPC to it, the token put on it, and the file that names the other
//! contracts, which `piecework vault deploy` puts there.
//!
//! Only words of 32 bytes are encoded here (addresses, numbers); the accounts are anvil's unlocked ones, so nothing is
//! signed.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use crate::failure::Failure;

/// How long the local chain may take to answer one call.
const RPC_LIMIT: Duration = Duration::from_secs(30);
/// The longest answer that is read; our calls' answers are far smaller.
const ANSWER_LIMIT_BYTES: u64 = 16 * 1024 * 1024;
/// 72 h, as on a public chain.
pub const EXIT_DELAY_SECONDS: u64 = 72 * 3600;
/// Whole tokens for each account that pays.
const FUNDS: u128 = 10_000;
/// Decimals of the demo's dollar.
pub const DOLLAR_DECIMALS: u8 = 6;

/// One of anvil's funded accounts.
#[derive(Clone, Debug)]
pub struct Account {
    /// `0x` and 40 hexadecimal digits.
    pub address: String,
    /// `0x` and 64 hexadecimal digits; known to the whole world, and worthless.
    pub private_key: String,
}

/// Reads anvil's opening lines: accounts, keys, then the address it listens on.
#[derive(Default)]
pub struct Opening {
    addresses: Vec<String>,
    keys: Vec<String>,
}

impl Opening {
    /// Takes a line; the last one gives the socket address and the accounts.
    pub fn read(&mut self, line: &str) -> Option<(SocketAddr, Vec<Account>)> {
        let numbered = line
            .strip_prefix('(')
            .and_then(|rest| rest.split_once(") "));
        if let Some(word) = numbered.and_then(|(_, rest)| rest.split_whitespace().next()) {
            match word.len() {
                42 => self.addresses.push(word.to_owned()),
                66 => self.keys.push(word.to_owned()),
                _ => {}
            }
        }
        let address = line.strip_prefix("Listening on ")?.trim().parse().ok()?;
        let pairs = std::mem::take(&mut self.addresses)
            .into_iter()
            .zip(std::mem::take(&mut self.keys));
        Some((
            address,
            pairs
                .map(|(address, private_key)| Account {
                    address,
                    private_key,
                })
                .collect(),
        ))
    }
}

/// The play money.
#[derive(Debug)]
pub struct Token {
    /// Its contract.
    pub address: String,
    /// Its decimals.
    pub decimals: u8,
}

/// The contracts on the chain, by the file that `piecework vault deploy` wrote.
#[derive(Debug)]
pub struct Deployment {
    /// That file.
    pub file: PathBuf,
    /// The chain's id.
    pub chain_id: u64,
    /// The vault.
    pub vault: String,
    /// The registry of titles that the vault asks.
    pub registry: String,
    /// The block of the vault; logs before it do not concern it.
    pub deploy_block: u64,
}

/// Deploys a token of so many decimals, and gives `payers` their play money. `artifacts` is the compiler's output
/// folder.
pub fn deploy_token(
    rpc: SocketAddr,
    artifacts: &Path,
    deployer: &Account,
    payers: &[&Account],
    decimals: u8,
) -> Result<Token, Failure> {
    let (name, arguments) = match decimals {
        DOLLAR_DECIMALS => ("DemoToken", String::new()),
        _ => ("DemoTokenOf", number_word(decimals.into())),
    };
    let artifact = artifact(artifacts, name)?;
    let code = artifact["bytecode"]["object"]
        .as_str()
        .ok_or_else(|| Failure::failed("the artifact has no bytecode"))?;
    let receipt = send(
        rpc,
        json!({ "from": deployer.address, "data": format!("{code}{arguments}") }),
    )?;
    let address = receipt["contractAddress"]
        .as_str()
        .ok_or_else(|| Failure::failed("the receipt names no contract"))?
        .to_owned();
    let mint = artifact["methodIdentifiers"]["mint(address,uint256)"]
        .as_str()
        .ok_or_else(|| Failure::failed(format!("{name} has no mint(address,uint256)")))?;
    let funds = FUNDS.saturating_mul(10u128.saturating_pow(decimals.into()));
    for payer in payers {
        let data = format!(
            "0x{mint}{}{}",
            address_word(&payer.address)?,
            number_word(funds)
        );
        send(
            rpc,
            json!({ "from": deployer.address, "to": address, "data": data }),
        )?;
    }
    Ok(Token { address, decimals })
}

/// The only deployment in the folder that `piecework vault deploy` wrote to.
pub fn deployment_in(folder: &Path, rpc: SocketAddr) -> Result<Deployment, Failure> {
    let chain_id = quantity(&call(rpc, "eth_chainId", json!([]))?)?;
    let file = folder.join(format!("{chain_id}.json"));
    let text = fs::read_to_string(&file).map_err(Failure::io("read", &file))?;
    let json: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
    let address = |contract: &str| {
        json[contract]["address"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| Failure::failed(format!("{} names no {contract}", file.display())))
    };
    Ok(Deployment {
        chain_id,
        vault: address("vault")?,
        registry: address("registry")?,
        deploy_block: json["vault"]["block"]
            .as_u64()
            .ok_or_else(|| Failure::failed(format!("{} names no block", file.display())))?,
        file,
    })
}

/// One JSON-RPC call; its `result`.
pub fn call(rpc: SocketAddr, method: &str, parameters: Value) -> Result<Value, Failure> {
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters }).to_string();
    let answer = post(rpc, &body).map_err(|source| Failure::Io {
        what: format!("{method} to {rpc}"),
        source,
    })?;
    let mut answer: Value = serde_json::from_str(&answer)
        .map_err(|error| Failure::failed(format!("{method}: the answer is no JSON: {error}")))?;
    match answer.get("error") {
        Some(error) => Err(Failure::failed(format!("{method}: {error}"))),
        None => Ok(answer["result"].take()),
    }
}

/// anvil answers before it has mined; once `evm_mine` has answered, the receipt is there.
fn send(rpc: SocketAddr, transaction: Value) -> Result<Value, Failure> {
    let hash = call(rpc, "eth_sendTransaction", json!([transaction]))?;
    call(rpc, "evm_mine", json!([]))?;
    let receipt = call(rpc, "eth_getTransactionReceipt", json!([hash]))?;
    if receipt["status"] == "0x1" {
        Ok(receipt)
    } else {
        Err(Failure::failed(format!(
            "transaction {hash} failed: {receipt}"
        )))
    }
}

fn artifact(folder: &Path, name: &str) -> Result<Value, Failure> {
    let path = folder.join(format!("{name}.sol/{name}.json"));
    let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

fn address_word(address: &str) -> Result<String, Failure> {
    match address.strip_prefix("0x") {
        Some(digits) if digits.len() == 40 => Ok(format!("{digits:0>64}")),
        _ => Err(Failure::failed(format!("`{address}` is no address"))),
    }
}

fn number_word(number: u128) -> String {
    format!("{number:064x}")
}

fn quantity(value: &Value) -> Result<u64, Failure> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| Failure::failed(format!("`{value}` is no quantity")))
}

fn post(to: SocketAddr, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, RPC_LIMIT)?;
    stream.set_read_timeout(Some(RPC_LIMIT))?;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT_BYTES).read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "no HTTP answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anvils_opening_lines_give_its_accounts_and_its_address() {
        let mut opening = Opening::default();
        let lines = [
            "(0) 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 (10000.000000000000000000 ETH)",
            "Private Keys",
            "(0) 0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        ];
        assert!(lines.iter().all(|line| opening.read(line).is_none()));
        let (address, accounts) = opening.read("Listening on 127.0.0.1:37111").unwrap();
        assert_eq!(address.port(), 37111);
        assert_eq!(accounts.len(), 1);
        assert!(
            accounts[0].address.starts_with("0xf39F") && accounts[0].private_key.ends_with("ff80")
        );
    }

    #[test]
    fn words_are_32_bytes() {
        assert_eq!(
            number_word(EXIT_DELAY_SECONDS.into()),
            format!("{}3f480", "0".repeat(59))
        );
        let word = address_word("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266").unwrap();
        assert_eq!(
            word,
            format!("{}f39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "0".repeat(24))
        );
        assert!(address_word("f39F").is_err());
    }
}
