//! The vault on its chain: a payee's reads, its transactions, and their answers.
//!
//! Transactions leave by [`super::sending`]; the vault's ABI is in `payment::vault`. Invariant: vault, chain and node
//! come from the operator alone, and nothing is sent before the node's chain id and the vault's code are checked. Never
//! decides what to redeem.

use std::path::Path;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;

use super::answers::RpcError;
use super::keys::KeyPair;
use super::rpc::Rpc;
use super::sending::{GasCap, Sender};
use crate::client::{AccountState, RedeemOutcome};
use crate::payment::vault;
use crate::payment::voucher::MAX_CLAIMS;
use crate::payment::voucher::abi::Claim;
use crate::types::TokenUnits;

/// Shortest time, seconds, that a buyer's withdrawal must leave its payees to redeem: one day.
pub const MIN_EXIT_DELAY_SECS: u64 = 24 * 3600;

mod token {
    #![allow(missing_docs)]

    alloy_sol_types::sol! {
        function balanceOf(address owner) external view returns (uint256);
        function decimals() external view returns (uint8);
        function allowance(address owner, address spender) external view returns (uint256);
    }
}

/// The place of the money, by the operator's word.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    /// The vault.
    pub vault: Address,
    /// EIP-155 id of its chain.
    pub chain_id: u64,
    /// URL of a node of that chain.
    pub rpc_url: String,
    /// The token that the vault must hold, if the operator says.
    pub token: Option<Address>,
}

/// The reason why the chain was of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The node, before anything was sent.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The node, when it was sent a transaction: it may have taken it.
    #[error(transparent)]
    Unsure(RpcError),
    /// The node serves another chain.
    #[error(
        "the RPC server {host} serves chain {actual}, not {expected}: check --rpc and --chain-id"
    )]
    WrongChain {
        /// The node that was asked.
        host: String,
        /// EIP-155 id of the chain that the operator configured.
        expected: u64,
        /// EIP-155 id of the chain that the node serves.
        actual: u64,
    },
    /// No contract there.
    #[error("there is no contract at {0} on this chain: check --vault")]
    NoVault(Address),
    /// Another token there.
    #[error(
        "the vault {vault} holds the token {actual}, not {expected}: check --vault and --token"
    )]
    WrongToken {
        /// The vault.
        vault: Address,
        /// The token that the operator configured.
        expected: Address,
        /// The token that the vault names.
        actual: Address,
    },
    /// The token's decimals differ, so sums would mean something else.
    #[error("the token {token} has {actual} decimals, not {expected}: give --decimals {actual}")]
    WrongDecimals {
        /// The token that the vault holds.
        token: Address,
        /// The decimals that the operator's sums are written with (`--decimals`).
        expected: u8,
        /// The decimals that the token itself names.
        actual: u8,
    },
    /// The contract answered something else than the vault does.
    #[error("the contract at {address} does not answer like the vault ({what}): check --vault")]
    NotAVault {
        /// The contract that was called: the vault, or the token.
        address: Address,
        /// The call that was made to it.
        what: &'static str,
    },
    /// More claims than one transaction takes.
    #[error("{0} claims are more than a transaction takes ({MAX_CLAIMS})")]
    TooMany(usize),
    /// Nothing in the batch pays.
    #[error("nothing in this batch pays: it was redeemed before, or its account was withdrawn")]
    NothingDue,
    /// The sender cannot pay for gas.
    #[error("{address} holds {balance} wei, and the transaction may cost {needed}: send it some")]
    NoGas {
        /// The sender.
        address: Address,
        /// Wei that the sender holds.
        balance: u128,
        /// Wei that the transaction may cost at most.
        needed: u128,
    },
    /// The node wants more gas than any of our transactions can take.
    #[error("the RPC server estimates {0} gas, more than any transaction of ours takes")]
    TooMuchGas(u64),
    /// Gas costs more than the operator allows.
    #[error("gas costs {asked} wei, and --max-fee-per-gas allows {allowed}: wait, or allow more")]
    GasTooDear {
        /// By the node, base fee and tip.
        asked: u128,
        /// By the operator.
        allowed: u128,
    },
    /// A transaction that costs more than one of its kind may.
    #[error(
        "the transaction may cost {cost} wei, and it must not cost more than {most}: wait until gas costs less, or check what the RPC server says of fees"
    )]
    TooDear {
        /// Wei, at the fee that it has to offer.
        cost: u128,
        /// Wei that such a transaction may cost.
        most: u128,
    },
    /// A redemption that costs more than the operator would give for what it brings.
    #[error(
        "the redemption costs {cost} wei as gas is now, and it is worth {worth} wei at most: it waits for more earnings or cheaper gas, or redeem on command"
    )]
    NotWorth {
        /// Wei, at the fee that the node asks now.
        cost: u128,
        /// Wei: the stated part of its sum, by the stated price of the coin.
        worth: u128,
    },
    /// Buyers can withdraw before anybody has time to redeem.
    #[error(
        "the vault {vault} lets buyers withdraw within {secs} s, and a seller needs {MIN_EXIT_DELAY_SECS} to be sure to redeem: choose another vault, or take the risk with --accept-short-exit"
    )]
    ShortExit {
        /// The vault that the operator configured.
        vault: Address,
        /// Seconds that a buyer waits between exit and withdrawal (`exitDelay`).
        secs: u64,
    },
    /// The key would not sign.
    #[error("the key could not sign the transaction")]
    Signing,
    /// Sent, and not in a block in time.
    #[error(
        "transaction {0} is in no block yet, and is waited for no longer: see a block explorer before you send again; what this key sends next takes its place"
    )]
    NotMined(B256),
    /// Sent, and the node forgot it.
    #[error(
        "transaction {0} is in no block, and the RPC server does not know it any more: it was dropped, and may come back; what this key sends next takes its place"
    )]
    Dropped(B256),
    /// Another transaction has its nonce.
    #[error(
        "another transaction of the same key took the place of {0}: see a block explorer before you send again"
    )]
    Replaced(B256),
    /// Sent, and the program waits for it no longer.
    #[error(
        "transaction {0} is out and in no block yet: it may still get into one, and is counted then; if it does not, the next redemption takes its place"
    )]
    LeftBehind(B256),
    /// The operator stopped it.
    #[error("it was stopped before anything was sent: what was earned can be redeemed later")]
    Stopped,
    /// The contract would refuse it, and nothing was sent.
    #[error("the vault would refuse it: {0}")]
    Refused(&'static str),
    /// In a block, without effect.
    #[error("transaction {0} reverted")]
    Reverted(B256),
    /// The note of an earlier transaction.
    #[error("what was sent last cannot be read in {0}: {1}")]
    Note(String, String),
}

impl ChainError {
    /// Whether fewer claims may do, where so many cost too much in one transaction, or more than the payee has. Nothing
    /// was sent.
    pub fn is_of_size(&self) -> bool {
        matches!(
            self,
            ChainError::TooMuchGas(_) | ChainError::TooDear { .. } | ChainError::NoGas { .. }
        )
    }

    /// Whether a transaction was sent that may still get into a block, as far as is known. A transaction that certainly
    /// was not sent must not be blamed for serials that somebody else redeems.
    pub fn may_be_mined(&self) -> bool {
        match self {
            // A node that is behind may call a transaction replaced that is in a block.
            ChainError::Unsure(_)
            | ChainError::NotMined(_)
            | ChainError::Dropped(_)
            | ChainError::Replaced(_)
            | ChainError::LeftBehind(_) => true,
            ChainError::Rpc(_)
            | ChainError::WrongChain { .. }
            | ChainError::NoVault(_)
            | ChainError::WrongToken { .. }
            | ChainError::WrongDecimals { .. }
            | ChainError::NotAVault { .. }
            | ChainError::TooMany(_)
            | ChainError::NothingDue
            | ChainError::NoGas { .. }
            | ChainError::TooMuchGas(_)
            | ChainError::GasTooDear { .. }
            | ChainError::TooDear { .. }
            | ChainError::NotWorth { .. }
            | ChainError::ShortExit { .. }
            | ChainError::Signing
            | ChainError::Refused(_)
            | ChainError::Stopped
            | ChainError::Note(..)
            | ChainError::Reverted(_) => false,
        }
    }
}

/// A redemption in a block.
#[derive(Clone, Debug)]
pub struct Redemption {
    /// Its hash.
    pub transaction: B256,
    /// Its block.
    pub block: u64,
    /// Gas used.
    pub gas_used: u64,
    /// Wei per gas, if the node says.
    pub gas_price: Option<u128>,
    /// Wei paid on top of the gas, on a rollup.
    pub rollup_fee: u128,
    /// The end of each claim.
    pub paid: Vec<(u32, TokenUnits)>,
    /// Claims that did not pay, with the vault's reason ([`vault::skip_reason`]).
    pub skipped: Vec<(u32, u8)>,
}

impl Redemption {
    /// For [`crate::client::Command::Redeemed`].
    pub fn outcome(&self) -> RedeemOutcome {
        RedeemOutcome::Mined {
            paid: self.paid.clone(),
            skipped: self.skipped.clone(),
        }
    }
}

/// The vault, by way of a node. Calls block; run them off the async threads.
#[derive(Clone, Debug)]
pub struct Chain {
    sender: Sender,
    vault: Address,
    expected_token: Option<Address>,
}

impl Chain {
    /// Contacts nobody yet.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn new(config: &ChainConfig) -> Result<Chain, ChainError> {
        Ok(Chain {
            sender: Sender::new(Rpc::new(&config.rpc_url)?, config.chain_id),
            vault: config.vault,
            expected_token: config.token,
        })
    }

    /// Remembers in a state folder which transaction is out, and takes the place of one that the key's earlier run left
    /// there.
    ///
    /// # Errors
    /// [`ChainError::Note`].
    pub fn remembering(self, state_dir: &Path, from: Address) -> Result<Chain, ChainError> {
        let sender = self.sender.remembering(state_dir, from)?;
        Ok(Chain { sender, ..self })
    }

    /// Waits so long for a block instead of [`super::sending::MINING_TIMEOUT`].
    #[must_use]
    pub fn waiting(self, patience: Duration) -> Chain {
        let sender = self.sender.waiting(patience);
        Chain { sender, ..self }
    }

    /// From now on no clone of this sends anything, and none waits for a transaction that it sent.
    pub fn give_up(&self) {
        self.sender.give_up();
    }

    /// The node.
    pub fn rpc(&self) -> &Rpc {
        self.sender.rpc()
    }

    /// The way of transactions on this chain.
    pub(super) fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The vault's address.
    pub fn vault(&self) -> Address {
        self.vault
    }

    /// Checks that the node serves the configured chain, that a contract is at the vault's address,
    /// and that it holds the configured token.
    ///
    /// # Errors
    /// The error names the part that does not fit, and the option to check.
    pub fn check(&self) -> Result<(), ChainError> {
        self.sender.check_chain()?;
        if self.rpc().code(self.vault)?.is_empty() {
            return Err(ChainError::NoVault(self.vault));
        }
        let actual = self.token()?;
        match self.expected_token {
            Some(expected) if expected != actual => Err(ChainError::WrongToken {
                vault: self.vault,
                expected,
                actual,
            }),
            _ => Ok(()),
        }
    }

    fn ask_vault<T>(
        &self,
        call: &[u8],
        read: impl Fn(&[u8]) -> Option<T>,
        what: &'static str,
    ) -> Result<T, ChainError> {
        let answer = self.rpc().read(self.vault, call)?;
        read(&answer).ok_or(ChainError::NotAVault {
            address: self.vault,
            what,
        })
    }

    pub(super) fn ask<C: SolCall>(
        &self,
        to: Address,
        call: &C,
        what: &'static str,
    ) -> Result<C::Return, ChainError> {
        let answer = self.rpc().read(to, &call.abi_encode())?;
        returned::<C>(&answer, to, what)
    }

    /// The vault's `state(account, word)` at the latest block.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn account(&self, account: B256, word: U256) -> Result<AccountState, ChainError> {
        let call = vault::state_call(account, word);
        self.ask_vault(&call, vault::state_answer, "state")
    }

    /// The vault's token.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn token(&self) -> Result<Address, ChainError> {
        self.ask_vault(&vault::token_call(), vault::address_answer, "token")
    }

    /// Checks that a sum in tokens means the same to the token. If the token names no decimals, the operator's word
    /// counts.
    ///
    /// # Errors
    /// [`ChainError::WrongDecimals`] if not.
    pub fn check_decimals(&self, expected: u8) -> Result<(), ChainError> {
        let token = self.token()?;
        match self.ask(token, &token::decimalsCall {}, "decimals") {
            Ok(actual) if actual != expected => Err(ChainError::WrongDecimals {
                token,
                expected,
                actual,
            }),
            Ok(_) | Err(ChainError::NotAVault { .. }) => Ok(()),
            Err(ChainError::Rpc(error)) if error.is_revert() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The sum of a token that an address holds.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn token_balance(&self, token: Address, owner: Address) -> Result<TokenUnits, ChainError> {
        let balance = self.ask(token, &token::balanceOfCall { owner }, "balanceOf")?;
        u128::try_from(balance)
            .map(TokenUnits)
            .map_err(|_| ChainError::NotAVault {
                address: token,
                what: "balanceOf",
            })
    }

    /// The sum of a token that the vault may take from an address.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn allowance(&self, token: Address, owner: Address) -> Result<U256, ChainError> {
        let spender = self.vault;
        let call = token::allowanceCall { owner, spender };
        self.ask(token, &call, "allowance")
    }

    /// Seconds between a buyer's exit and its withdrawal.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn exit_delay(&self) -> Result<u64, ChainError> {
        let call = vault::exit_delay_call();
        let delay = self.ask_vault(&call, vault::number_answer, "exitDelay")?;
        Ok(delay.saturating_to())
    }

    /// Checks that a buyer's withdrawal takes long enough for its payees to redeem first.
    ///
    /// # Errors
    /// [`ChainError::ShortExit`] if not.
    pub fn check_exit_delay(&self) -> Result<(), ChainError> {
        let secs = self.exit_delay()?;
        if secs < MIN_EXIT_DELAY_SECS {
            let vault = self.vault;
            return Err(ChainError::ShortExit { vault, secs });
        }
        Ok(())
    }

    /// Wei that one gas costs now.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn gas_price(&self) -> Result<u128, RpcError> {
        self.sender.gas_price()
    }

    /// Sends `redeem(claims, to)` as the payee and waits for its block. Costs at most `max_fee_per_gas` wei for each
    /// gas, and [`super::sending::MAX_COST_WEI`] in all.
    ///
    /// # Errors
    /// Nothing was sent, or [`ChainError::NotMined`] or [`ChainError::Reverted`] with the hash.
    pub fn redeem(
        &self,
        claims: &[Claim],
        payee: &KeyPair,
        to: Address,
        max_fee_per_gas: u128,
    ) -> Result<Redemption, ChainError> {
        self.redeem_within(claims, payee, to, GasCap::of_call(max_fee_per_gas))
    }

    /// The same within a cap of the caller's.
    ///
    /// # Errors
    /// As [`Chain::redeem`].
    pub fn redeem_within(
        &self,
        claims: &[Claim],
        payee: &KeyPair,
        to: Address,
        cap: GasCap,
    ) -> Result<Redemption, ChainError> {
        if claims.len() > MAX_CLAIMS {
            return Err(ChainError::TooMany(claims.len()));
        }
        self.check()?;
        let data = vault::redeem_call(claims, to);
        let sent = self.sender.transact(payee, Some(self.vault), &data, cap)?;
        let receipt = &sent.receipt;
        let logs: Vec<_> = receipt.logs.iter().map(vault::Log::from).collect();
        let report = vault::redeem_report(self.vault, payee.address(), claims, &logs);
        Ok(Redemption {
            transaction: sent.hash,
            block: sent.block(),
            gas_used: receipt.gas_used.saturating_to(),
            gas_price: receipt.effective_gas_price.map(|p| p.saturating_to()),
            rollup_fee: receipt.l1_fee.unwrap_or_default().saturating_to(),
            paid: report.paid,
            skipped: report.skipped,
        })
    }
}

fn returned<C: SolCall>(
    answer: &[u8],
    address: Address,
    what: &'static str,
) -> Result<C::Return, ChainError> {
    C::abi_decode_returns_validate(answer).map_err(|_| ChainError::NotAVault { address, what })
}
