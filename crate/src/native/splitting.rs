//! Splitters on their chain: where one is or will be, whom it pays, and how.
//!
//! Owns their calls. Invariant: a splitter's address is computed here, by the code that this program carries, and the
//! node's word on it does not count. Decides nothing about shares.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::{SolCall, SolValue};

use super::chain::{Chain, ChainError};
use super::deploying::{DeployError, splitter_code};
use super::keys::KeyPair;
use super::sending::{GasCap, Sent};
use crate::types::TokenUnits;

/// Recipients at most, as the contract has it.
pub const MAX_RECIPIENTS: usize = 64;

mod abi {
    #![allow(missing_docs)]

    alloy_sol_types::sol! {
        function create(address[] recipients, uint32[] shares) external returns (address splitter);
        function collect(address vault) external returns (uint256 amount);
        function release(address token, address to) external returns (uint256 amount);
        function due(address token, address to) external view returns (uint256);
        function recipients() external view returns (address[]);
    }
}

/// Whom a splitter pays, and how much of it, in the order of its deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares(Vec<(Address, u32)>);

impl Shares {
    /// What the contract takes.
    ///
    /// # Errors
    /// The part that does not fit, as the end of a sentence.
    pub fn new(shares: Vec<(Address, u32)>) -> Result<Shares, &'static str> {
        if shares.is_empty() || shares.len() > MAX_RECIPIENTS {
            return Err("name 1 to 64 recipients");
        }
        if shares.iter().any(|(to, part)| to.is_zero() || *part == 0) {
            return Err("no part is zero, and none goes to the zero address");
        }
        let distinct: BTreeSet<Address> = shares.iter().map(|(to, _)| *to).collect();
        match distinct.len() == shares.len() {
            true => Ok(Shares(shares)),
            false => Err("name each recipient once"),
        }
    }

    /// Each with its part.
    pub fn parts(&self) -> &[(Address, u32)] {
        &self.0
    }

    fn columns(&self) -> (Vec<Address>, Vec<u32>) {
        self.0.iter().copied().unzip()
    }

    /// Where a factory puts the splitter: by CREATE2, with the salt zero.
    ///
    /// # Errors
    /// [`DeployError::Artifact`].
    pub fn address(&self, factory: Address) -> Result<Address, DeployError> {
        let mut code = splitter_code()?;
        code.extend_from_slice(&self.columns().abi_encode_params());
        Ok(factory.create2(B256::ZERO, keccak256(&code)))
    }

    fn create_call(&self) -> Vec<u8> {
        let (recipients, shares) = self.columns();
        abi::createCall { recipients, shares }.abi_encode()
    }
}

/// A factory of splitters. Calls block; run them off the async threads.
#[derive(Clone, Debug)]
pub struct Factory<'a> {
    /// Of the factory.
    pub chain: &'a Chain,
    /// The contract.
    pub address: Address,
}

impl Factory<'_> {
    /// Whether a contract is at this address.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn is_there(&self, splitter: Address) -> Result<bool, ChainError> {
        Ok(!self.chain.rpc().code(splitter)?.is_empty())
    }

    /// Whether [`Factory::create`] would be sent, as things are.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn rehearse(&self, shares: &Shares, from: Address, cap: GasCap) -> Result<(), ChainError> {
        let data = shares.create_call();
        (self.chain.sender()).rehearse(from, Some(self.address), &data, cap)
    }

    /// Makes the splitter.
    ///
    /// # Errors
    /// See [`super::sending::Sender::transact`].
    pub fn create(&self, shares: &Shares, key: &KeyPair, cap: GasCap) -> Result<Sent, ChainError> {
        let data = shares.create_call();
        (self.chain.sender()).transact(key, Some(self.address), &data, cap)
    }
}

/// Whom a splitter pays, by a node's word: at most [`MAX_RECIPIENTS`], each once.
///
/// # Errors
/// The contract does not answer like a splitter.
pub fn recipients(chain: &Chain, splitter: Address) -> Result<Vec<Address>, ChainError> {
    let what = "recipients";
    let all = chain.ask(splitter, &abi::recipientsCall {}, what)?;
    let distinct: BTreeSet<Address> = all.iter().copied().collect();
    match (1..=MAX_RECIPIENTS).contains(&all.len()) && distinct.len() == all.len() {
        true => Ok(all),
        false => Err(ChainError::NotAVault {
            address: splitter,
            what,
        }),
    }
}

/// What a recipient can take now.
///
/// # Errors
/// See [`ChainError`].
pub fn due(
    chain: &Chain,
    splitter: Address,
    token: Address,
    to: Address,
) -> Result<TokenUnits, ChainError> {
    let due = chain.ask(splitter, &abi::dueCall { token, to }, "due")?;
    let due = u128::try_from(due).map(TokenUnits);
    due.map_err(|_| ChainError::NotAVault {
        address: splitter,
        what: "due",
    })
}

pub(super) fn collect_call(vault: Address) -> impl SolCall {
    abi::collectCall { vault }
}

pub(super) fn release_call(token: Address, to: Address) -> impl SolCall {
    abi::releaseCall { token, to }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_that_the_contract_refuses_are_refused_here() {
        let who = Address::repeat_byte;
        assert!(Shares::new(vec![(who(1), 70), (who(2), 30)]).is_ok());
        let many = (0..=MAX_RECIPIENTS as u8).map(|i| (who(i + 1), 1));
        for wrong in [
            vec![],
            many.collect(),
            vec![(who(0), 1)],
            vec![(who(1), 0)],
            vec![(who(1), 1), (who(1), 2)],
        ] {
            assert!(Shares::new(wrong.clone()).is_err(), "{wrong:?}");
        }
    }
}
