//! The file that names a vault: `deployments/CHAINID.json` (docs/deployment.md, "The file").
//!
//! Owns its form, and reads it as a stranger's: it may come from a web page or a chat. Invariant: what was read is
//! within bounds, and is read the same when it is written again. Asks nobody, and opens no file.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::answers::shortened;
use crate::types::is_shown;

/// Longest file that is read, bytes.
pub const MAX_FILE_LEN: usize = 64 * 1024;
/// The version of the form that is read and written.
pub const VERSION: u64 = 1;
/// Longest symbol of a token, characters.
pub const MAX_SYMBOL_LEN: usize = 32;
/// Most decimals of a token: sums are shown and typed in tokens.
pub const MAX_DECIMALS: u8 = 24;
/// Shortest and longest time between exit and withdrawal, seconds: the vault takes no other.
pub const EXIT_DELAYS: std::ops::RangeInclusive<u64> = 3_600..=30 * 24 * 3_600;
/// Longest RPC URL, bytes.
const MAX_URL_LEN: usize = 2_048;
/// Longest name of a compiler's version, bytes.
const MAX_COMPILER_LEN: usize = 64;
/// The largest whole number that JavaScript holds.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// The reason why a file names no vault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeploymentError {
    /// More than [`MAX_FILE_LEN`] bytes.
    #[error("it has more than {MAX_FILE_LEN} bytes, and a deployment has less than one thousand")]
    TooLong,
    /// It is no JSON of this form.
    #[error("it is no deployment: {0}")]
    Form(String),
    /// A later form.
    #[error("it has version {0}, and this program reads version {VERSION}: take a newer program")]
    Version(u64),
    /// One value of it.
    #[error("its {field} is wrong: {reason}")]
    Field {
        /// As written in the file, such as `vault.address`.
        field: &'static str,
        /// What it should be.
        reason: &'static str,
    },
}

/// A vault and its token on a chain. It holds no secret, unless the RPC URL is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// EIP-155 id of the chain.
    pub chain_id: u64,
    /// A node of that chain.
    pub rpc: Option<String>,
    /// The vault.
    pub vault: DeployedVault,
    /// The token that it holds.
    pub token: DeployedToken,
    /// The registry of titles that the vault asks; `None`: it pays no royalties.
    pub registry: Option<DeployedContract>,
    /// What makes splitters there.
    pub splitters: Option<DeployedContract>,
    /// The version of the compiler that made the code.
    pub compiler: String,
}

/// Where a vault is, and how it came there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployedVault {
    /// The contract.
    pub address: Address,
    /// A block before which it was not there: where a search of its events begins.
    pub block: u64,
    /// The transaction that made it, if it is known.
    pub tx_hash: Option<B256>,
    /// With a salt, the contract that made it by CREATE2; else the account that made it by CREATE.
    pub deployer: Address,
    /// The salt of CREATE2.
    pub salt: Option<B256>,
    /// Seconds between a buyer's exit and its withdrawal.
    pub exit_delay: u64,
}

/// Where a contract beside the vault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeployedContract {
    /// The contract.
    pub address: Address,
    /// A block before which it was not there: where a search of its events begins.
    pub block: u64,
}

/// A vault's token, by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployedToken {
    /// The contract.
    pub address: Address,
    /// For people to read; any token may call itself anything.
    pub symbol: String,
    /// Digits after the point of a sum in tokens.
    pub decimals: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileForm {
    version: u64,
    chain_id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rpc: Option<String>,
    vault: VaultForm,
    token: TokenForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registry: Option<ContractForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    splitters: Option<ContractForm>,
    compiler: String,
}

#[derive(Serialize, Deserialize)]
struct ContractForm {
    address: String,
    block: u64,
}

impl ContractForm {
    fn of(contract: &DeployedContract) -> ContractForm {
        ContractForm {
            address: contract.address.to_checksum(None),
            block: contract.block,
        }
    }

    /// `at` and `since`: what the file calls the two.
    fn read(
        &self,
        at: &'static str,
        since: &'static str,
    ) -> Result<DeployedContract, DeploymentError> {
        let wrong = "leave it out where there is no such contract";
        Ok(DeployedContract {
            address: check(at, wrong, address(at, &self.address)?, |a| !a.is_zero())?,
            block: number(since, self.block, 0)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VaultForm {
    address: String,
    block: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tx_hash: Option<String>,
    deployer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    exit_delay: u64,
}

#[derive(Serialize, Deserialize)]
struct TokenForm {
    address: String,
    symbol: String,
    decimals: u8,
}

/// Its version alone: a later form may differ in everything else.
#[derive(Deserialize)]
struct VersionForm {
    version: u64,
}

impl Deployment {
    /// Reads a file.
    ///
    /// # Errors
    /// The error names the value that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Deployment, DeploymentError> {
        if bytes.len() > MAX_FILE_LEN {
            return Err(DeploymentError::TooLong);
        }
        let form = |e: serde_json::Error| DeploymentError::Form(shortened(&e.to_string()));
        let VersionForm { version } = serde_json::from_slice(bytes).map_err(form)?;
        if version != VERSION {
            return Err(DeploymentError::Version(version));
        }
        let file: FileForm = serde_json::from_slice(bytes).map_err(form)?;
        let FileForm { vault, token, .. } = file;
        Ok(Deployment {
            chain_id: number("chainId", file.chain_id, 1)?,
            rpc: file.rpc.map(rpc_url).transpose()?,
            vault: DeployedVault {
                address: address("vault.address", &vault.address)?,
                block: number("vault.block", vault.block, 0)?,
                tx_hash: optional_hash("vault.txHash", vault.tx_hash.as_deref())?,
                deployer: address("vault.deployer", &vault.deployer)?,
                salt: optional_hash("vault.salt", vault.salt.as_deref())?,
                exit_delay: check(
                    "vault.exitDelay",
                    "write seconds, from 3600 (an hour) to 2592000 (thirty days)",
                    vault.exit_delay,
                    |delay| EXIT_DELAYS.contains(delay),
                )?,
            },
            token: DeployedToken {
                address: address("token.address", &token.address)?,
                symbol: check(
                    "token.symbol",
                    "write 1 to 32 visible characters",
                    token.symbol,
                    |symbol| is_symbol(symbol),
                )?,
                decimals: check(
                    "token.decimals",
                    "write a number from 0 to 24",
                    token.decimals,
                    |decimals| *decimals <= MAX_DECIMALS,
                )?,
            },
            registry: (file.registry.as_ref())
                .map(|form| form.read("registry.address", "registry.block"))
                .transpose()?,
            splitters: (file.splitters.as_ref())
                .map(|form| form.read("splitters.address", "splitters.block"))
                .transpose()?,
            compiler: check(
                "compiler",
                "write the compiler's version, such as 0.8.37+commit.f401782d",
                file.compiler,
                |compiler| is_compiler(compiler),
            )?,
        })
    }

    /// As the file is written: with checksummed addresses (EIP-55), indented, with a newline at the end.
    pub fn to_json(&self) -> String {
        let file = FileForm {
            version: VERSION,
            chain_id: self.chain_id,
            rpc: self.rpc.clone(),
            vault: VaultForm {
                address: self.vault.address.to_checksum(None),
                block: self.vault.block,
                tx_hash: self.vault.tx_hash.map(|hash| hash.to_string()),
                deployer: self.vault.deployer.to_checksum(None),
                salt: self.vault.salt.map(|salt| salt.to_string()),
                exit_delay: self.vault.exit_delay,
            },
            token: TokenForm {
                address: self.token.address.to_checksum(None),
                symbol: self.token.symbol.clone(),
                decimals: self.token.decimals,
            },
            registry: self.registry.as_ref().map(ContractForm::of),
            splitters: self.splitters.as_ref().map(ContractForm::of),
            compiler: self.compiler.clone(),
        };
        // Strings and numbers alone: it cannot fail.
        let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// A symbol as a token said it, as far as it can be shown; `None` if nothing of it can.
pub fn shown_symbol(said: &str) -> Option<String> {
    let shown: String = said
        .chars()
        .filter(|c| is_shown(*c))
        .take(MAX_SYMBOL_LEN)
        .collect();
    is_symbol(&shown).then_some(shown)
}

fn is_symbol(text: &str) -> bool {
    (1..=MAX_SYMBOL_LEN).contains(&text.chars().count()) && text.chars().all(is_shown)
}

fn is_compiler(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b".+-".contains(&b);
    (1..=MAX_COMPILER_LEN).contains(&text.len()) && text.bytes().all(known)
}

fn check<T>(
    field: &'static str,
    reason: &'static str,
    value: T,
    is_right: impl FnOnce(&T) -> bool,
) -> Result<T, DeploymentError> {
    match is_right(&value) {
        true => Ok(value),
        false => Err(DeploymentError::Field { field, reason }),
    }
}

fn number(field: &'static str, value: u64, least: u64) -> Result<u64, DeploymentError> {
    let reason = "write a whole number, at most 2^53 - 1";
    check(field, reason, value, |n| (least..=MAX_SAFE).contains(n))
}

fn rpc_url(url: String) -> Result<String, DeploymentError> {
    let reason = "write http://HOST[:PORT] or https://HOST[/PATH]";
    check("rpc", reason, url, |url| {
        let rest = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        let has_host =
            rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#']));
        has_host && url.len() <= MAX_URL_LEN && url.bytes().all(|b| b.is_ascii_graphic())
    })
}

fn address(field: &'static str, text: &str) -> Result<Address, DeploymentError> {
    let wrong = |reason| DeploymentError::Field { field, reason };
    if !text.starts_with("0x") {
        return Err(wrong(NO_ADDRESS));
    }
    read_address(text).map_err(wrong)
}

fn optional_hash(field: &'static str, text: Option<&str>) -> Result<Option<B256>, DeploymentError> {
    let reason = "write 0x and 64 hexadecimal digits";
    let wrong = DeploymentError::Field { field, reason };
    match text {
        None => Ok(None),
        Some(text) if !text.starts_with("0x") => Err(wrong),
        Some(text) => text.parse().map(Some).map_err(|_| wrong),
    }
}

const NO_ADDRESS: &str = "write 0x and 40 hexadecimal digits";

/// An address. In capitals and small letters it shows a wrong digit (EIP-55); tokens sent to a wrong address are lost.
///
/// # Errors
/// What to do about it, as the end of a sentence.
pub fn read_address(text: &str) -> Result<Address, &'static str> {
    let address: Address = text.parse().map_err(|_| NO_ADDRESS)?;
    let digits = text.trim_start_matches("0x");
    let letters = |is: fn(&u8) -> bool| digits.bytes().any(|b| is(&b));
    let mixed = letters(u8::is_ascii_uppercase) && letters(u8::is_ascii_lowercase);
    if mixed && address.to_checksum(None).trim_start_matches("0x") != digits {
        return Err(
            "its capital letters do not fit its digits, so it was copied wrongly: copy it again",
        );
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
  "version": 1,
  "chainId": 10,
  "vault": {
    "address": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "block": 7,
    "txHash": "0x1111111111111111111111111111111111111111111111111111111111111111",
    "deployer": "0x4e59b44847b379578588920cA78FbF26c0B4956C",
    "salt": "0x0000000000000000000000000000000000000000000000000000000000000000",
    "exitDelay": 259200
  },
  "token": {
    "address": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "symbol": "USDC",
    "decimals": 6
  },
  "compiler": "0.8.37+commit.f401782d"
}
"#;

    #[test]
    fn a_file_is_written_as_it_was_read() {
        let read = Deployment::parse(FILE.as_bytes()).unwrap();
        assert_eq!((read.chain_id, read.vault.block), (10, 7));
        assert_eq!(read.to_json(), FILE);
        let by_hand = Deployment {
            rpc: Some("https://rpc.example/key".to_owned()),
            vault: DeployedVault {
                tx_hash: None,
                salt: None,
                ..read.vault.clone()
            },
            ..read.clone()
        };
        assert_eq!(Deployment::parse(by_hand.to_json().as_bytes()), Ok(by_hand));
        let contract = |byte| DeployedContract {
            address: Address::repeat_byte(byte),
            block: u64::from(byte),
        };
        let with_registry = Deployment {
            registry: Some(contract(5)),
            splitters: Some(contract(6)),
            ..read.clone()
        };
        let text = with_registry.to_json();
        assert_eq!(Deployment::parse(text.as_bytes()), Ok(with_registry));
        // What is not known is passed over: a later program may say more.
        let more = FILE.replacen('{', r#"{"later": [1, {}],"#, 1);
        assert_eq!(Deployment::parse(more.as_bytes()), Ok(read));
    }

    #[test]
    fn each_value_out_of_its_bounds_is_named() {
        for (from, to, named) in [
            ("\"chainId\": 10", "\"chainId\": 0", "chainId"),
            (
                "\"chainId\": 10",
                "\"chainId\": 9007199254740992",
                "chainId",
            ),
            ("\"chainId\": 10", "\"chainId\": -1", "no deployment"),
            ("\"chainId\": 10", "\"chainId\": 1e99", "no deployment"),
            ("\"version\": 1", "\"version\": 2", "version 2"),
            ("\"version\": 1", "\"version\": \"1\"", "no deployment"),
            ("b92266", "b92267", "vault.address"),
            ("0xf39Fd6", "f39Fd6", "vault.address"),
            ("0x7099", "0x", "token.address"),
            ("\"block\": 7", "\"block\": 7.5", "no deployment"),
            ("0x1111", "0x", "vault.txHash"),
            ("0x0000", "0000", "vault.salt"),
            ("259200", "3599", "vault.exitDelay"),
            ("259200", "2592001", "vault.exitDelay"),
            ("\"decimals\": 6", "\"decimals\": 25", "token.decimals"),
            ("\"decimals\": 6", "\"decimals\": 256", "no deployment"),
            ("USDC", "", "token.symbol"),
            ("USDC", "US\\u001bDC", "token.symbol"),
            ("USDC", "US\\u202eDC", "token.symbol"),
            ("USDC", &"U".repeat(33), "token.symbol"),
            ("0.8.37+", "0.8.37 ", "compiler"),
            ("\"compiler\"", "\"compilers\"", "compiler"),
            (
                "\"compiler\"",
                "\"registry\": {\"address\": \"0x\", \"block\": 1}, \"compiler\"",
                "registry.address",
            ),
            (
                "\"compiler\"",
                "\"registry\": {\"address\": \"0x0000000000000000000000000000000000000000\", \"block\": 1}, \"compiler\"",
                "leave it out",
            ),
            (
                "\"compiler\"",
                "\"splitters\": {\"address\": \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\", \"block\": 9007199254740992}, \"compiler\"",
                "splitters.block",
            ),
            ("\"chainId\"", "\"rpc\": \"ws://x\", \"chainId\"", "rpc"),
            ("\"chainId\"", "\"rpc\": \"http:///x\", \"chainId\"", "rpc"),
            ("\"chainId\"", "\"rpc\": \"http://a b\", \"chainId\"", "rpc"),
        ] {
            let wrong = FILE.replacen(from, to, 1);
            assert_ne!(wrong, FILE, "{from}");
            let error = Deployment::parse(wrong.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(named), "{to}: {error}");
        }
        let long = " ".repeat(MAX_FILE_LEN + 1);
        assert_eq!(
            Deployment::parse(long.as_bytes()),
            Err(DeploymentError::TooLong)
        );
    }

    #[test]
    fn a_tokens_symbol_is_shown_without_what_would_deceive() {
        assert_eq!(shown_symbol("US\u{202e}D\0C").as_deref(), Some("USDC"));
        assert_eq!(shown_symbol(&"é".repeat(40)), Some("é".repeat(32)));
        assert_eq!(shown_symbol("\u{200b}\n"), None);
    }
}
