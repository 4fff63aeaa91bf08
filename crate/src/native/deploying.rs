//! Deploys a vault, and the registry of titles that it asks, to the chain that a node names.
//!
//! Owns the creation code, which `contracts/artifacts` keeps, and the place where a vault comes to be: by the usual
//! deterministic deployer the same on every chain for the same token, registry, sink, delay and salt. Invariant:
//! nothing is sent before chain, token and what lies at that place are known, and what was deployed answers as it was
//! ordered. Never touches a file.

use alloy_primitives::{Address, B256, Bytes, U256, address, hex, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use serde::Deserialize;

use super::chain::ChainError;
use super::deployment::{DeployedToken, MAX_DECIMALS, shown_symbol};
use super::keys::KeyPair;
use super::sending::{GasCap, Sender, Sent};
use crate::payment::vault;

/// The usual deterministic deployer (github.com/Arachnid/deterministic-deployment-proxy): it creates what it is sent,
/// by CREATE2.
pub const DETERMINISTIC_DEPLOYER: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");
/// Its code. Anything else at its address is not it.
const DETERMINISTIC_DEPLOYER_CODE: [u8; 69] = hex!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
    "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);
/// The sink of burned bonds where nobody names one: nobody holds its key.
pub const DEFAULT_SINK: Address = address!("000000000000000000000000000000000000dEaD");
/// The vault's standard JSON input, for the verification of its source.
pub const VAULT_STANDARD_JSON: &str =
    include_str!("../../../contracts/artifacts/PieceworkVault.standard.json");

/// The same of the registry.
pub const REGISTRY_STANDARD_JSON: &str =
    include_str!("../../../contracts/artifacts/PieceworkRegistry.standard.json");

const REGISTRY_ARTIFACT: &str = include_str!("../../../contracts/artifacts/PieceworkRegistry.json");
const SPLITTERS_ARTIFACT: &str = include_str!("../../../contracts/artifacts/SplitterFactory.json");
const SPLITTER_ARTIFACT: &str = include_str!("../../../contracts/artifacts/Splitter.json");
const VAULT_ARTIFACT: &str = include_str!("../../../contracts/artifacts/PieceworkVault.json");
const DEMO_TOKEN_ARTIFACT: &str = include_str!("../../../contracts/artifacts/DemoToken.json");

mod abi {
    #![allow(missing_docs)]

    alloy_sol_types::sol! {
        function symbol() external view returns (string);
        function decimals() external view returns (uint8);
        function registry() external view returns (address);
        function countOf(bytes20 infoHash) external view returns (uint256);
        function sink() external view returns (address);
        function mint(address to, uint256 amount) external;
        function balanceOf(address owner) external view returns (uint256);
    }
}

/// The reason why there is no vault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeployError {
    /// The node, the chain, or a transaction.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The program was built wrong.
    #[error("the contract's code in this program cannot be read: {0}")]
    Artifact(String),
    /// No contract there.
    #[error("there is no contract at {0} on this chain: check --token and --rpc")]
    NoToken(Address),
    /// It is no token of the usual kind.
    #[error(
        "the contract at {token} does not answer {call} as a token does, and nobody could name sums of it: give another --token"
    )]
    NotAToken {
        /// The contract that was called.
        token: Address,
        /// The call.
        call: &'static str,
    },
    /// Sums of it cannot be shown.
    #[error("the token {token} has {decimals} decimals, and {MAX_DECIMALS} are the most")]
    TooManyDecimals {
        /// The token.
        token: Address,
        /// By its own word.
        decimals: u8,
    },
    /// It is no registry of titles.
    #[error(
        "the contract at {0} does not answer countOf(bytes20) as a registry of titles does: check --registry and --rpc"
    )]
    NotARegistry(Address),
    /// The deployed contract is another one.
    #[error(
        "the contract at {vault} does not answer {call} as ordered: the RPC server lies, or the file names another vault"
    )]
    AnotherVault {
        /// The contract.
        vault: Address,
        /// The call whose answer differs.
        call: &'static str,
    },
    /// The transaction went through without a contract.
    #[error("transaction {0} is in a block, and there is no contract: check the RPC server")]
    NothingThere(B256),
}

impl From<super::answers::RpcError> for DeployError {
    fn from(error: super::answers::RpcError) -> DeployError {
        DeployError::Chain(error.into())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    compiler: String,
    creation_code: Bytes,
}

fn artifact(text: &str) -> Result<Artifact, DeployError> {
    serde_json::from_str(text).map_err(|e| DeployError::Artifact(e.to_string()))
}

/// The version of the compiler that made the vault's code.
///
/// # Errors
/// [`DeployError::Artifact`].
pub fn compiler() -> Result<String, DeployError> {
    Ok(artifact(VAULT_ARTIFACT)?.compiler)
}

/// Where the deterministic deployer puts the demo token.
///
/// # Errors
/// [`DeployError::Artifact`].
pub fn demo_token_address(salt: B256) -> Result<Address, DeployError> {
    let code = artifact(DEMO_TOKEN_ARTIFACT)?.creation_code;
    Ok(DETERMINISTIC_DEPLOYER.create2(salt, keccak256(&code)))
}

/// A contract beside the vault. Its place follows from its code alone, so one of each serves all vaults of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// The registry of titles.
    Registry,
    /// What makes splitters.
    Splitters,
}

impl Beside {
    fn creation(self) -> Result<Vec<u8>, DeployError> {
        let text = match self {
            Beside::Registry => REGISTRY_ARTIFACT,
            Beside::Splitters => SPLITTERS_ARTIFACT,
        };
        Ok(artifact(text)?.creation_code.to_vec())
    }

    /// Where the deterministic deployer puts it, by the salt zero.
    ///
    /// # Errors
    /// [`DeployError::Artifact`].
    pub fn address(self) -> Result<Address, DeployError> {
        let code = keccak256(self.creation()?);
        Ok(DETERMINISTIC_DEPLOYER.create2(B256::ZERO, code))
    }
}

/// The creation code of a splitter, without its arguments.
///
/// # Errors
/// [`DeployError::Artifact`].
pub fn splitter_code() -> Result<Vec<u8>, DeployError> {
    Ok(artifact(SPLITTER_ARTIFACT)?.creation_code.to_vec())
}

/// What a vault is made of. Two vaults of one order are alike in everything but their chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultOrder {
    /// The token that it holds.
    pub token: Address,
    /// The registry of titles that it asks for royalties; zero: it pays none.
    pub registry: Address,
    /// Credited with burned bonds.
    pub sink: Address,
    /// Seconds between a buyer's exit and its withdrawal.
    pub exit_delay: u64,
    /// The salt of CREATE2.
    pub salt: B256,
}

impl VaultOrder {
    /// Creation code with the constructor's arguments.
    fn creation(&self) -> Result<Vec<u8>, DeployError> {
        let delay = U256::from(self.exit_delay);
        let arguments = (self.token, self.registry, self.sink, delay);
        let mut code = artifact(VAULT_ARTIFACT)?.creation_code.to_vec();
        code.extend_from_slice(&arguments.abi_encode_params());
        Ok(code)
    }

    /// Where the deterministic deployer puts it.
    ///
    /// # Errors
    /// [`DeployError::Artifact`].
    pub fn address(&self) -> Result<Address, DeployError> {
        let code = keccak256(self.creation()?);
        Ok(DETERMINISTIC_DEPLOYER.create2(self.salt, code))
    }
}

/// A contract that is on the chain now.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Where it is.
    pub address: Address,
    /// With a salt, the contract that made it by CREATE2; else the account that made it by CREATE.
    pub deployer: Address,
    /// The salt of CREATE2.
    pub salt: Option<B256>,
    /// The transaction that made it now; `None` if it was there.
    pub sent: Option<Sent>,
}

/// The node of a chain, and the key that pays there. Calls block; run them off the async threads.
#[derive(Clone, Debug)]
pub struct Deployer {
    sender: Sender,
    key: KeyPair,
    cap: GasCap,
}

impl Deployer {
    /// Contacts nobody yet.
    pub fn new(sender: Sender, key: KeyPair, cap: GasCap) -> Deployer {
        Deployer { sender, key, cap }
    }

    /// Whether the deterministic deployer is on this chain.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub fn is_deterministic(&self) -> Result<bool, DeployError> {
        let code = self.sender.rpc().code(DETERMINISTIC_DEPLOYER)?;
        Ok(code[..] == DETERMINISTIC_DEPLOYER_CODE)
    }

    /// Whether a contract is at this address.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub fn is_there(&self, address: Address) -> Result<bool, DeployError> {
        Ok(!self.sender.rpc().code(address)?.is_empty())
    }

    /// What a token says of itself.
    ///
    /// # Errors
    /// It does not say so, or it is none.
    pub fn token(&self, token: Address) -> Result<DeployedToken, DeployError> {
        if !self.is_there(token)? {
            return Err(DeployError::NoToken(token));
        }
        let not = |call| DeployError::NotAToken { token, call };
        let decimals = self
            .ask(token, &abi::decimalsCall {})?
            .and_then(|answer| abi::decimalsCall::abi_decode_returns_validate(&answer).ok())
            .ok_or(not("decimals()"))?;
        if decimals > MAX_DECIMALS {
            return Err(DeployError::TooManyDecimals { token, decimals });
        }
        let symbol = self
            .ask(token, &abi::symbolCall {})?
            .and_then(|answer| symbol_in(&answer))
            .ok_or(not("symbol()"))?;
        Ok(DeployedToken {
            address: token,
            symbol,
            decimals,
        })
    }

    /// The answer to a call; `None` if the contract refuses it.
    fn ask(&self, to: Address, call: &impl SolCall) -> Result<Option<Bytes>, DeployError> {
        match self.sender.rpc().read(to, &call.abi_encode()) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.is_revert() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes sure that the vault of an order is on the chain.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub fn vault(&self, order: &VaultOrder, deterministic: bool) -> Result<Placed, DeployError> {
        let placed = self.place(order.creation()?, order.salt, deterministic)?;
        self.check_vault(placed.address, order)?;
        Ok(placed)
    }

    /// Makes sure that a contract beside the vault is on the chain.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub fn beside(&self, which: Beside, deterministic: bool) -> Result<Placed, DeployError> {
        let placed = self.place(which.creation()?, B256::ZERO, deterministic)?;
        if which == Beside::Registry {
            self.check_registry(placed.address)?;
        }
        Ok(placed)
    }

    /// Checks that a contract answers like a registry of titles.
    ///
    /// # Errors
    /// [`DeployError::NotARegistry`] if not.
    pub fn check_registry(&self, registry: Address) -> Result<(), DeployError> {
        let call = abi::countOfCall {
            infoHash: Default::default(),
        };
        let answers = self.is_there(registry)?
            && self
                .ask(registry, &call)?
                .is_some_and(|answer| answer.len() == 32);
        match answers {
            true => Ok(()),
            false => Err(DeployError::NotARegistry(registry)),
        }
    }

    /// Makes sure that play money is on the chain: tests alone have a use for it, because anybody can make as much of
    /// it as they like.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub fn demo_token(&self, salt: B256, deterministic: bool) -> Result<Placed, DeployError> {
        let code = artifact(DEMO_TOKEN_ARTIFACT)?.creation_code.to_vec();
        self.place(code, salt, deterministic)
    }

    /// Whether [`Deployer::vault`] would send its transaction as things are. Nothing is sent.
    ///
    /// # Errors
    /// See [`DeployError`]; such as [`ChainError::NoGas`], where the key's account cannot pay for it.
    pub fn rehearse_vault(
        &self,
        order: &VaultOrder,
        deterministic: bool,
    ) -> Result<(), DeployError> {
        self.rehearse(order.creation()?, order.salt, deterministic)
    }

    /// The same of [`Deployer::demo_token`].
    ///
    /// # Errors
    /// See [`Deployer::rehearse_vault`].
    pub fn rehearse_demo_token(&self, salt: B256, deterministic: bool) -> Result<(), DeployError> {
        let code = artifact(DEMO_TOKEN_ARTIFACT)?.creation_code.to_vec();
        self.rehearse(code, salt, deterministic)
    }

    /// The same of [`Deployer::beside`].
    ///
    /// # Errors
    /// See [`Deployer::rehearse_vault`].
    pub fn rehearse_beside(&self, which: Beside, deterministic: bool) -> Result<(), DeployError> {
        self.rehearse(which.creation()?, B256::ZERO, deterministic)
    }

    fn rehearse(&self, code: Vec<u8>, salt: B256, deterministic: bool) -> Result<(), DeployError> {
        let from = self.key.address();
        let (to, data) = match deterministic {
            true => (
                Some(DETERMINISTIC_DEPLOYER),
                [salt.as_slice(), &code].concat(),
            ),
            false => (None, code),
        };
        Ok(self.sender.rehearse(from, to, &data, self.cap)?)
    }

    /// Whether the key's account has nothing of a token.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub fn holds_nothing(&self, token: Address) -> Result<bool, DeployError> {
        let owner = self.key.address();
        let answer = self.ask(token, &abi::balanceOfCall { owner })?;
        Ok(answer.is_some_and(|balance| balance.iter().all(|byte| *byte == 0)))
    }

    /// Makes play money for the key.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub fn mint(&self, token: Address, units: u128) -> Result<Sent, DeployError> {
        let call = abi::mintCall {
            to: self.key.address(),
            amount: U256::from(units),
        };
        let data = call.abi_encode();
        let cap = GasCap::of_call(self.cap.max_fee_per_gas);
        Ok(self.sender.transact(&self.key, Some(token), &data, cap)?)
    }

    fn place(&self, code: Vec<u8>, salt: B256, deterministic: bool) -> Result<Placed, DeployError> {
        if deterministic {
            let address = DETERMINISTIC_DEPLOYER.create2(salt, keccak256(&code));
            let mut placed = Placed {
                address,
                deployer: DETERMINISTIC_DEPLOYER,
                salt: Some(salt),
                sent: None,
            };
            if !self.is_there(address)? {
                let data = [salt.as_slice(), &code].concat();
                placed.sent = Some(self.send(Some(DETERMINISTIC_DEPLOYER), &data, |_| address)?);
            }
            return Ok(placed);
        }
        let from = self.key.address();
        let created = |sent: &Sent| from.create(sent.nonce);
        let sent = self.send(None, &code, created)?;
        Ok(Placed {
            address: created(&sent),
            deployer: from,
            salt: None,
            sent: Some(sent),
        })
    }

    fn send(
        &self,
        to: Option<Address>,
        data: &[u8],
        created: impl Fn(&Sent) -> Address,
    ) -> Result<Sent, DeployError> {
        let sent = self.sender.transact(&self.key, to, data, self.cap)?;
        match self.is_there(created(&sent))? {
            true => Ok(sent),
            false => Err(DeployError::NothingThere(sent.hash)),
        }
    }

    /// Checks that a contract answers like the vault of an order.
    ///
    /// # Errors
    /// [`DeployError::AnotherVault`] if not.
    pub fn check_vault(&self, vault: Address, order: &VaultOrder) -> Result<(), DeployError> {
        let word = |address: Address| address.into_word();
        let delay = B256::from(U256::from(order.exit_delay));
        let answers: [(&'static str, Vec<u8>, B256); 4] = [
            ("token()", vault::token_call(), word(order.token)),
            ("exitDelay()", vault::exit_delay_call(), delay),
            ("sink()", abi::sinkCall {}.abi_encode(), word(order.sink)),
            (
                "registry()",
                abi::registryCall {}.abi_encode(),
                word(order.registry),
            ),
        ];
        for (call, data, expected) in answers {
            let answer = match self.sender.rpc().read(vault, &data) {
                Ok(answer) => answer,
                Err(error) if error.is_revert() => Bytes::new(),
                Err(error) => return Err(error.into()),
            };
            if answer[..] != expected[..] {
                return Err(DeployError::AnotherVault { vault, call });
            }
        }
        Ok(())
    }

    /// The first block at whose end a contract is there; `None` if the node keeps no states of old blocks.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub fn first_block(&self, address: Address) -> Result<Option<u64>, DeployError> {
        let rpc = self.sender.rpc();
        let (mut without, mut with) = (None, rpc.block_number()?);
        // Halves what is left, so at most 64 times.
        loop {
            let low = without.map_or(0, |block: u64| block.saturating_add(1));
            if low >= with {
                return Ok(Some(with));
            }
            let middle = low + (with - low) / 2;
            match rpc.code_at(address, middle) {
                Ok(code) if code.is_empty() => without = Some(middle),
                Ok(_) => with = middle,
                Err(super::answers::RpcError::Refused { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A symbol as almost all tokens answer it, or as some old ones do: 32 bytes, filled up with zeros.
fn symbol_in(answer: &[u8]) -> Option<String> {
    let said = match <[u8; 32]>::try_from(answer) {
        Ok(word) => {
            let length = word.iter().position(|b| *b == 0).unwrap_or(word.len());
            String::from_utf8_lossy(&word[..length]).into_owned()
        }
        Err(_) => String::abi_decode_validate(answer).ok()?,
    };
    shown_symbol(&said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_artifacts_are_read_and_the_place_follows_from_every_part_of_the_order() {
        let order = VaultOrder {
            token: Address::repeat_byte(1),
            registry: Beside::Registry.address().unwrap(),
            sink: DEFAULT_SINK,
            exit_delay: 259_200,
            salt: B256::ZERO,
        };
        assert!(compiler().unwrap().starts_with("0.8."));
        let mut places = std::collections::BTreeSet::new();
        for change in [
            |_: &mut VaultOrder| {},
            |order: &mut VaultOrder| order.token = Address::repeat_byte(2),
            |order: &mut VaultOrder| order.registry = Address::ZERO,
            |order: &mut VaultOrder| order.sink = Address::repeat_byte(3),
            |order: &mut VaultOrder| order.exit_delay += 1,
            |order: &mut VaultOrder| order.salt = B256::repeat_byte(1),
        ] {
            let mut other = order.clone();
            change(&mut other);
            places.insert(other.address().unwrap());
        }
        assert_eq!(places.len(), 6);
        assert_ne!(
            Beside::Registry.address().unwrap(),
            Beside::Splitters.address().unwrap()
        );
        let input: serde_json::Value = serde_json::from_str(VAULT_STANDARD_JSON).unwrap();
        assert!(input["sources"]["src/PieceworkVault.sol"].is_object());
        let input: serde_json::Value = serde_json::from_str(REGISTRY_STANDARD_JSON).unwrap();
        assert!(input["sources"]["src/PieceworkRegistry.sol"].is_object());
    }

    #[test]
    fn a_symbol_is_read_in_both_forms_and_in_no_other() {
        assert_eq!(
            symbol_in(&"USDC".to_owned().abi_encode()).as_deref(),
            Some("USDC")
        );
        let mut word = [0; 32];
        word[..3].copy_from_slice(b"MKR");
        assert_eq!(symbol_in(&word).as_deref(), Some("MKR"));
        for wrong in [&[][..], &[0; 32], &[0xff; 31], &[0xff; 64]] {
            assert_eq!(symbol_in(wrong), None);
        }
    }
}
