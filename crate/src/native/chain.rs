//! The vault on its chain: a payee's reads, its transactions, and their answers.
//!
//! Owns EIP-1559 transactions; the vault's ABI is in `payment::vault`. Invariant: vault,
//! chain and node come from the operator alone, and nothing is sent before the node's chain id and
//! the vault's code are checked. Never decides what to redeem.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::{BufMut, Encodable, Header};
use alloy_sol_types::SolCall;

use super::answers::{Receipt, RpcError};
use super::keys::KeyPair;
use super::outgoing::{Fees, Outgoing, Place};
use super::rpc::Rpc;
use crate::client::{AccountState, RedeemOutcome};
use crate::payment::vault;
use crate::payment::voucher::MAX_CLAIMS;
use crate::payment::voucher::abi::Claim;
use crate::types::TokenUnits;

/// How long a transaction may wait for its block.
pub const MINING_TIMEOUT: Duration = Duration::from_secs(180);
/// How often its receipt is asked for.
const RECEIPT_INTERVAL: Duration = Duration::from_millis(400);
/// Most gas that one redemption may take; an estimate above it is refused.
const MAX_GAS: u64 = 30_000_000;
/// Most wei that one redemption may cost, whatever fee the node asks: 0.02 ether.
pub const MAX_COST_WEI: u128 = 20_000_000_000_000_000;
/// The most that a block's proposer gets, beyond as much as the base fee: 0.1 gwei.
const MAX_TIP_ABOVE_BASE: u128 = 100_000_000;
/// Shortest time, seconds, that a buyer's withdrawal must leave its payees to redeem: one day.
pub const MIN_EXIT_DELAY_SECS: u64 = 24 * 3600;

mod token {
    #![allow(missing_docs)]

    alloy_sol_types::sol! {
        function balanceOf(address owner) external view returns (uint256);
        function decimals() external view returns (uint8);
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
    /// The payee cannot pay for gas.
    #[error("{address} holds {balance} wei, and the transaction may cost {needed}: send it some")]
    NoGas {
        /// The payee.
        address: Address,
        /// Wei that the payee holds.
        balance: u128,
        /// Wei that the transaction may cost at most.
        needed: u128,
    },
    /// The node wants more gas than a redemption can take.
    #[error("the RPC server estimates {0} gas, more than any redemption takes")]
    TooMuchGas(u64),
    /// Gas costs more than the operator allows.
    #[error("gas costs {asked} wei, and --max-fee-per-gas allows {allowed}: wait, or allow more")]
    GasTooDear {
        /// By the node, base fee and tip.
        asked: u128,
        /// By the operator.
        allowed: u128,
    },
    /// A transaction that costs more than a redemption may.
    #[error(
        "the transaction may cost {0} wei, and no redemption may cost more than {MAX_COST_WEI}: wait until gas costs less, or check what the RPC server says of fees"
    )]
    TooDear(u128),
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
    #[error("the payee key could not sign the transaction")]
    Signing,
    /// Sent, and not in a block in time.
    #[error(
        "transaction {0} is in no block after {seconds} s: see a block explorer before you send again",
        seconds = MINING_TIMEOUT.as_secs()
    )]
    NotMined(B256),
    /// Sent, and the program waits for it no longer.
    #[error(
        "transaction {0} is out and in no block yet: it may still get into one, and is counted then; if it does not, the next redemption takes its place"
    )]
    LeftBehind(B256),
    /// The operator stopped it.
    #[error("it was stopped before anything was sent: what was earned can be redeemed later")]
    Stopped,
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
            ChainError::TooMuchGas(_) | ChainError::TooDear(_) | ChainError::NoGas { .. }
        )
    }

    /// Whether a transaction was sent that may still get into a block, as far as is known. A transaction that certainly
    /// was not sent must not be blamed for serials that somebody else redeems.
    pub fn may_be_mined(&self) -> bool {
        match self {
            ChainError::Unsure(_) | ChainError::NotMined(_) | ChainError::LeftBehind(_) => true,
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
            | ChainError::TooDear(_)
            | ChainError::ShortExit { .. }
            | ChainError::Signing
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
    rpc: Rpc,
    vault: Address,
    chain_id: u64,
    expected_token: Option<Address>,
    /// The last transaction, of whichever clone.
    outgoing: Arc<Outgoing>,
}

impl Chain {
    /// Contacts nobody yet.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn new(config: &ChainConfig) -> Result<Chain, ChainError> {
        Ok(Chain {
            rpc: Rpc::new(&config.rpc_url)?,
            vault: config.vault,
            chain_id: config.chain_id,
            expected_token: config.token,
            outgoing: Arc::default(),
        })
    }

    /// Remembers in a state folder which transaction is out, and takes the place of one that the key's earlier run left
    /// there.
    ///
    /// # Errors
    /// [`ChainError::Note`].
    pub fn remembering(self, state_dir: &Path, from: Address) -> Result<Chain, ChainError> {
        let outgoing = Outgoing::load(state_dir, from, self.chain_id)
            .map_err(|e| ChainError::Note(state_dir.display().to_string(), e.to_string()))?;
        Ok(Chain {
            outgoing: Arc::new(outgoing),
            ..self
        })
    }

    /// From now on no clone of this sends anything, and none waits for a transaction that it sent.
    pub fn give_up(&self) {
        self.outgoing.give_up();
    }

    /// The node.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// Checks that the node serves the configured chain, that a contract is at the vault's address,
    /// and that it holds the configured token.
    ///
    /// # Errors
    /// The error names the part that does not fit, and the option to check.
    pub fn check(&self) -> Result<(), ChainError> {
        let actual = self.rpc.chain_id()?;
        if actual != self.chain_id {
            return Err(ChainError::WrongChain {
                host: self.rpc.host().to_owned(),
                expected: self.chain_id,
                actual,
            });
        }
        if self.rpc.code(self.vault)?.is_empty() {
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
        let answer = self.rpc.read(self.vault, call)?;
        read(&answer).ok_or(ChainError::NotAVault {
            address: self.vault,
            what,
        })
    }

    fn ask<C: SolCall>(
        &self,
        to: Address,
        call: &C,
        what: &'static str,
    ) -> Result<C::Return, ChainError> {
        let answer = self.rpc.read(to, &call.abi_encode())?;
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

    /// Checks that a buyer's withdrawal takes long enough for its payees to redeem first.
    ///
    /// # Errors
    /// [`ChainError::ShortExit`] if not.
    pub fn check_exit_delay(&self) -> Result<(), ChainError> {
        let call = vault::exit_delay_call();
        let delay = self.ask_vault(&call, vault::number_answer, "exitDelay")?;
        let secs: u64 = delay.saturating_to();
        if secs < MIN_EXIT_DELAY_SECS {
            let vault = self.vault;
            return Err(ChainError::ShortExit { vault, secs });
        }
        Ok(())
    }

    /// Sends `redeem(claims, to)` as the payee and waits for its block. Costs at most `max_fee_per_gas` wei for each
    /// gas, and [`MAX_COST_WEI`] in all.
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
        if claims.len() > MAX_CLAIMS {
            return Err(ChainError::TooMany(claims.len()));
        }
        self.check()?;
        let data = vault::redeem_call(claims, to);
        let (hash, receipt) = self.transact(payee, &data, max_fee_per_gas)?;
        let logs: Vec<_> = receipt.logs.iter().map(vault::Log::from).collect();
        let report = vault::redeem_report(self.vault, payee.address(), claims, &logs);
        Ok(Redemption {
            transaction: hash,
            block: receipt.block_number.saturating_to(),
            gas_used: receipt.gas_used.saturating_to(),
            gas_price: receipt.effective_gas_price.map(|p| p.saturating_to()),
            paid: report.paid,
            skipped: report.skipped,
        })
    }

    fn transact(
        &self,
        key: &KeyPair,
        data: &[u8],
        max_fee_per_gas: u128,
    ) -> Result<(B256, Receipt), ChainError> {
        let from = key.address();
        let _turn = self.outgoing.turn();
        self.require_wanted()?;
        let gas = self
            .rpc
            .estimate_gas(from, self.vault, data)
            .map_err(|e| match &e {
                RpcError::Refused {
                    data: Some(data), ..
                } if vault::is_nothing_due(data) => ChainError::NothingDue,
                _ => ChainError::Rpc(e),
            })?;
        if gas > MAX_GAS {
            return Err(ChainError::TooMuchGas(gas));
        }
        let gas_limit = gas + gas / 4;
        let cost = |fee: u128| fee.saturating_mul(u128::from(gas_limit));
        let (base_fee, tip) = self.rpc.fees()?;
        let fees = Fees::within(base_fee, tip, max_fee_per_gas)?;
        if cost(fees.max) > MAX_COST_WEI {
            return Err(ChainError::TooDear(cost(fees.max)));
        }
        let before = self.outgoing.last();
        // A transaction in the place of another one costs no more than any other.
        let most = max_fee_per_gas.min(MAX_COST_WEI / u128::from(gas_limit.max(1)));
        let (nonce, fees, short_of) = self.place(before, from, fees, most)?;
        let transaction = Transaction {
            chain_id: self.chain_id,
            nonce,
            max_priority_fee: fees.max_priority,
            max_fee: fees.max,
            gas_limit,
            to: self.vault,
            data,
        };
        let needed = cost(fees.max);
        let balance = self.rpc.native_balance(from)?;
        if balance < needed {
            return Err(ChainError::NoGas {
                address: from,
                balance,
                needed,
            });
        }
        let raw = transaction.sign(key).ok_or(ChainError::Signing)?;
        let hash = keccak256(&raw);
        // We know the hash ourselves: the node's word on it does not count.
        self.require_wanted()?;
        self.outgoing.remember(Some(Place { nonce, fees }));
        let sent = (self.rpc.send_raw(&raw)).map_err(|error| match (error, short_of) {
            (RpcError::Refused { .. }, Some(asked)) if asked > max_fee_per_gas => {
                ChainError::GasTooDear {
                    asked,
                    allowed: max_fee_per_gas,
                }
            }
            (RpcError::Refused { .. }, Some(asked)) => ChainError::TooDear(cost(asked)),
            (error, _) => ChainError::Unsure(error),
        });
        let end = sent.and_then(|_| self.follow(hash));
        match &end {
            // The transaction that was out before still is.
            Err(
                ChainError::Unsure(RpcError::Refused { .. })
                | ChainError::GasTooDear { .. }
                | ChainError::TooDear(_),
            ) => self.outgoing.remember(before),
            Err(error) if error.may_be_mined() => {}
            _ => self.outgoing.remember(None),
        }
        Ok((hash, end?))
    }

    fn require_wanted(&self) -> Result<(), ChainError> {
        match self.outgoing.is_given_up() {
            true => Err(ChainError::Stopped),
            false => Ok(()),
        }
    }

    /// Waits for a transaction's block. A single look that fails decides nothing.
    fn follow(&self, hash: B256) -> Result<Receipt, ChainError> {
        let deadline = Instant::now() + MINING_TIMEOUT;
        loop {
            if let Ok(Some(receipt)) = self.rpc.receipt(hash) {
                return if receipt.status == U256::ONE {
                    Ok(receipt)
                } else {
                    Err(ChainError::Reverted(hash))
                };
            }
            if self.outgoing.is_given_up() {
                return Err(ChainError::LeftBehind(hash));
            }
            if Instant::now() >= deadline {
                return Err(ChainError::NotMined(hash));
            }
            std::thread::sleep(RECEIPT_INTERVAL);
        }
    }

    /// The nonce of a transaction, and the fee that it offers. The nonce is the next free one, but our own last
    /// transaction's if that is in no block yet. Behind that one, the new one would wait as long, and the payee would
    /// pay gas twice for the claims of both. A noted place behind the next free nonce is given up: the transaction
    /// between the two was dropped, and nothing that is sent there would ever get into a block. The third value is the
    /// fee that the new one had to offer there, if that is more than allowed: a lower fee is enough if no node has the
    /// other transaction.
    fn place(
        &self,
        last: Option<Place>,
        from: Address,
        fees: Fees,
        allowed: u128,
    ) -> Result<(u64, Fees, Option<u128>), ChainError> {
        let next = self.rpc.nonce(from)?;
        match last {
            Some(last) if last.nonce <= next && self.rpc.mined_nonce(from)? <= last.nonce => {
                let fees = fees.in_place_of(last.fees);
                let short_of = (fees.max > allowed).then_some(fees.max);
                Ok((last.nonce, fees.capped(allowed), short_of))
            }
            _ => Ok((next, fees, None)),
        }
    }
}

impl Fees {
    /// By the node's word, within bounds: no tip far above the base fee, nothing above the operator's limit.
    fn within(base_fee: u128, tip: u128, allowed: u128) -> Result<Fees, ChainError> {
        let tip = tip.min(base_fee.saturating_add(MAX_TIP_ABOVE_BASE));
        let asked = base_fee.saturating_add(tip);
        if asked > allowed {
            return Err(ChainError::GasTooDear { asked, allowed });
        }
        Ok(Fees {
            // Holds for six full blocks in a row.
            max: base_fee.saturating_mul(2).saturating_add(tip).min(allowed),
            max_priority: tip,
        })
    }

    /// The fee that a transaction must offer beyond another one, before nodes take it in the other's place.
    fn in_place_of(self, other: Fees) -> Fees {
        let above = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        Fees {
            max: self.max.max(above(other.max)),
            max_priority: self.max_priority.max(above(other.max_priority)),
        }
    }

    fn capped(self, most: u128) -> Fees {
        let max = self.max.min(most);
        Fees {
            max,
            max_priority: self.max_priority.min(max),
        }
    }
}

fn returned<C: SolCall>(
    answer: &[u8],
    address: Address,
    what: &'static str,
) -> Result<C::Return, ChainError> {
    C::abi_decode_returns_validate(answer).map_err(|_| ChainError::NotAVault { address, what })
}

/// An EIP-1559 transaction without value and access list.
struct Transaction<'a> {
    chain_id: u64,
    nonce: u64,
    max_priority_fee: u128,
    max_fee: u128,
    gas_limit: u64,
    to: Address,
    data: &'a [u8],
}

impl Transaction<'_> {
    /// The signed transaction: `0x02 || rlp([..., yParity, r, s])`.
    fn sign(&self, key: &KeyPair) -> Option<Vec<u8>> {
        let digest = keccak256(self.encode(None));
        let (r, s, odd) = key.sign_parts(digest)?;
        Some(self.encode(Some((odd, r, s))))
    }

    fn encode(&self, signature: Option<(bool, B256, B256)>) -> Vec<u8> {
        let mut payload = Vec::new();
        self.chain_id.encode(&mut payload);
        self.nonce.encode(&mut payload);
        self.max_priority_fee.encode(&mut payload);
        self.max_fee.encode(&mut payload);
        self.gas_limit.encode(&mut payload);
        self.to.encode(&mut payload);
        U256::ZERO.encode(&mut payload);
        self.data.encode(&mut payload);
        payload.put_u8(alloy_rlp::EMPTY_LIST_CODE);
        if let Some((odd, r, s)) = signature {
            u8::from(odd).encode(&mut payload);
            U256::from_be_bytes(r.0).encode(&mut payload);
            U256::from_be_bytes(s.0).encode(&mut payload);
        }
        let mut out = vec![0x02];
        Header {
            list: true,
            payload_length: payload.len(),
        }
        .encode(&mut out);
        out.extend_from_slice(&payload);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{address, hex};

    #[test]
    fn a_node_that_asks_absurd_fees_is_not_paid_them() {
        const GWEI: u128 = 1_000_000_000;
        let fees = |max, max_priority| Ok(Fees { max, max_priority });
        assert_eq!(Fees::within(GWEI, GWEI, 10 * GWEI), fees(3 * GWEI, GWEI));
        // A tip is no more than the base fee and a tenth of a gwei.
        assert_eq!(
            Fees::within(GWEI, u128::MAX, 10 * GWEI),
            fees(31 * GWEI / 10, 11 * GWEI / 10)
        );
        assert_eq!(Fees::within(4 * GWEI, GWEI, 6 * GWEI), fees(6 * GWEI, GWEI));
        for base in [6 * GWEI, u128::MAX] {
            let refused = Fees::within(base, GWEI, 6 * GWEI);
            assert!(matches!(refused, Err(ChainError::GasTooDear { .. })));
        }
    }

    #[test]
    fn a_signed_transaction_is_what_other_wallets_make() {
        // The EIP-155 example key's transaction, as ethers 6 signs it.
        let key = KeyPair::from_bytes(&[0x46; 32]).unwrap();
        let transaction = Transaction {
            chain_id: 31337,
            nonce: 7,
            max_priority_fee: 1_000_000_000,
            max_fee: 3_000_000_000,
            gas_limit: 100_000,
            to: address!("5FbDB2315678afecb367f032d93F642f64180aa3"),
            data: &[0xde, 0xad, 0xbe, 0xef],
        };
        assert_eq!(
            hex::encode(transaction.sign(&key).unwrap()),
            include_str!("../../tests/native/vectors/eip1559.hex").trim()
        );
    }
}
