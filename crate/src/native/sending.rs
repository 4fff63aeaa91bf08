//! Transactions of a key: what they cost at most, their place among others of the key, and their end.
//!
//! Owns EIP-1559 transactions. Invariant: a transaction is noted before it is sent ([`super::outgoing`]), costs no more
//! than its cap allows, and is waited for with an end. Never decides what to send.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::{BufMut, Encodable, Header};

use super::answers::{Receipt, RpcError};
use super::chain::ChainError;
use super::keys::KeyPair;
use super::outgoing::{Fees, Outgoing, Place};
use super::rpc::Rpc;
use crate::payment::vault;

/// How long a transaction may wait for its block.
pub const MINING_TIMEOUT: Duration = Duration::from_secs(180);
/// How often its receipt is asked for.
const RECEIPT_INTERVAL: Duration = Duration::from_millis(400);
/// After so many looks at the receipt the nonce is looked at, too.
const NONCE_EVERY: u32 = 5;
/// So many looks in a row show that another transaction has the nonce. One alone may be a node that is behind.
const NONCE_PASSED: u32 = 3;
/// Most gas that one transaction may take; an estimate above it is refused.
const MAX_GAS: u64 = 30_000_000;
/// Most wei that one call of the vault or the token may cost, whatever fee the node asks: 0.02 ether.
pub const MAX_COST_WEI: u128 = 20_000_000_000_000_000;
/// Most wei that a contract may cost to deploy: 0.1 ether.
pub const MAX_DEPLOYMENT_COST_WEI: u128 = 100_000_000_000_000_000;
/// The most that a block's proposer gets, beyond as much as the base fee: 0.1 gwei.
const MAX_TIP_ABOVE_BASE: u128 = 100_000_000;

/// The most that a transaction may cost.
#[derive(Clone, Copy, Debug)]
pub struct GasCap {
    /// Wei for each gas.
    pub max_fee_per_gas: u128,
    /// Wei in all.
    pub max_cost: u128,
    /// Wei that it is worth, at the fee that the node asks now. Nothing is sent that costs more.
    pub worth: Option<u128>,
}

impl GasCap {
    /// For a call of the vault or the token.
    pub fn of_call(max_fee_per_gas: u128) -> GasCap {
        let max_cost = MAX_COST_WEI;
        GasCap {
            max_fee_per_gas,
            max_cost,
            worth: None,
        }
    }

    /// For a deployment.
    pub fn of_deployment(max_fee_per_gas: u128) -> GasCap {
        let max_cost = MAX_DEPLOYMENT_COST_WEI;
        GasCap {
            max_fee_per_gas,
            max_cost,
            worth: None,
        }
    }
}

/// A transaction in a block.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its hash.
    pub hash: B256,
    /// Its number among those of its sender.
    pub nonce: u64,
    /// What the node says of it.
    pub receipt: Receipt,
}

impl Sent {
    /// Its block.
    pub fn block(&self) -> u64 {
        self.receipt.block_number.saturating_to()
    }
}

/// The way of a key's transactions into blocks. Calls block; run them off the async threads.
#[derive(Clone, Debug)]
pub struct Sender {
    rpc: Rpc,
    chain_id: u64,
    patience: Duration,
    /// The last transaction, of whichever clone.
    outgoing: Arc<Outgoing>,
}

/// What a transaction takes and offers, before its place is known.
struct Offer {
    gas_limit: u64,
    fees: Fees,
}

/// Wei for all its gas at a fee.
fn cost(fee: u128, gas_limit: u64) -> u128 {
    fee.saturating_mul(u128::from(gas_limit))
}

impl Sender {
    /// Contacts nobody yet.
    pub fn new(rpc: Rpc, chain_id: u64) -> Sender {
        Sender {
            rpc,
            chain_id,
            patience: MINING_TIMEOUT,
            outgoing: Arc::default(),
        }
    }

    /// Waits so long for a block instead of [`MINING_TIMEOUT`].
    #[must_use]
    pub fn waiting(self, patience: Duration) -> Sender {
        Sender { patience, ..self }
    }

    /// Remembers in a folder which transaction is out, and takes the place of one that the key's earlier run left
    /// there.
    ///
    /// # Errors
    /// [`ChainError::Note`].
    pub fn remembering(self, dir: &Path, from: Address) -> Result<Sender, ChainError> {
        let outgoing = Outgoing::load(dir, from, self.chain_id)
            .map_err(|e| ChainError::Note(dir.display().to_string(), e.to_string()))?;
        Ok(Sender {
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

    /// EIP-155 id of the chain.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Checks that the node serves the configured chain.
    ///
    /// # Errors
    /// [`ChainError::WrongChain`] if not.
    pub fn check_chain(&self) -> Result<(), ChainError> {
        let actual = self.rpc.chain_id()?;
        if actual == self.chain_id {
            return Ok(());
        }
        Err(ChainError::WrongChain {
            host: self.rpc.host().to_owned(),
            expected: self.chain_id,
            actual,
        })
    }

    /// Sends a call without value to `to`, or creates a contract where that is `None`, and waits for its block.
    ///
    /// # Errors
    /// Nothing was sent, or an error with the hash, such as [`ChainError::NotMined`] or [`ChainError::Reverted`].
    pub fn transact(
        &self,
        key: &KeyPair,
        to: Option<Address>,
        data: &[u8],
        cap: GasCap,
    ) -> Result<Sent, ChainError> {
        let max_fee_per_gas = cap.max_fee_per_gas;
        let from = key.address();
        let _turn = self.outgoing.turn();
        self.require_wanted()?;
        let Offer { gas_limit, fees } = self.offer(from, to, data, cap)?;
        let too_dear = |fee| ChainError::TooDear {
            cost: cost(fee, gas_limit),
            most: cap.max_cost,
        };
        let before = self.outgoing.last();
        // A transaction in the place of another one costs no more than any other.
        let most = max_fee_per_gas.min(cap.max_cost / u128::from(gas_limit.max(1)));
        let (nonce, fees, short_of) = self.place(before, from, fees, most)?;
        let transaction = Transaction {
            chain_id: self.chain_id,
            nonce,
            max_priority_fee: fees.max_priority,
            max_fee: fees.max,
            gas_limit,
            to,
            data,
        };
        self.require_balance(from, cost(fees.max, gas_limit))?;
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
            (RpcError::Refused { .. }, Some(asked)) => too_dear(asked),
            (error, _) => ChainError::Unsure(error),
        });
        let end = sent.and_then(|_| self.follow(hash, from, nonce));
        match &end {
            // The transaction that was out before still is.
            Err(
                ChainError::Unsure(RpcError::Refused { .. })
                | ChainError::GasTooDear { .. }
                | ChainError::TooDear { .. },
            ) => self.outgoing.remember(before),
            Err(error) if error.may_be_mined() => {}
            _ => self.outgoing.remember(None),
        }
        let receipt = end?;
        Ok(Sent {
            hash,
            nonce,
            receipt,
        })
    }

    /// Whether [`Sender::transact`] would send the call, as gas and the sender's balance are now. Nothing is sent.
    ///
    /// # Errors
    /// The ones of [`Sender::transact`] where nothing was sent, such as [`ChainError::NoGas`].
    pub fn rehearse(
        &self,
        from: Address,
        to: Option<Address>,
        data: &[u8],
        cap: GasCap,
    ) -> Result<(), ChainError> {
        let Offer { gas_limit, fees } = self.offer(from, to, data, cap)?;
        self.require_balance(from, cost(fees.max, gas_limit))
    }

    /// The gas and the fees of a call, within the operator's bounds.
    fn offer(
        &self,
        from: Address,
        to: Option<Address>,
        data: &[u8],
        cap: GasCap,
    ) -> Result<Offer, ChainError> {
        let gas = self
            .rpc
            .estimate_gas(from, to, data)
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
        let (base_fee, tip) = self.rpc.fees()?;
        let fees = Fees::within(base_fee, tip, cap.max_fee_per_gas)?;
        // The limit has a quarter more gas than it takes, and the fee is twice the one of now: this is what it costs as
        // things are.
        let asked = base_fee.saturating_add(fees.max_priority);
        let cost_now = asked.saturating_mul(u128::from(gas));
        if let Some(worth) = cap.worth.filter(|worth| cost_now > *worth) {
            let cost = cost_now;
            return Err(ChainError::NotWorth { cost, worth });
        }
        let cost = cost(fees.max, gas_limit);
        if cost > cap.max_cost {
            let most = cap.max_cost;
            return Err(ChainError::TooDear { cost, most });
        }
        Ok(Offer { gas_limit, fees })
    }

    fn require_balance(&self, from: Address, needed: u128) -> Result<(), ChainError> {
        let balance = self.rpc.native_balance(from)?;
        match balance < needed {
            true => Err(ChainError::NoGas {
                address: from,
                balance,
                needed,
            }),
            false => Ok(()),
        }
    }

    /// Wei that one gas costs now: base fee and tip, within our bounds.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn gas_price(&self) -> Result<u128, RpcError> {
        let (base_fee, tip) = self.rpc.fees()?;
        Ok(base_fee.saturating_add(bounded_tip(base_fee, tip)))
    }

    fn require_wanted(&self) -> Result<(), ChainError> {
        match self.outgoing.is_given_up() {
            true => Err(ChainError::Stopped),
            false => Ok(()),
        }
    }

    /// Waits for a transaction's block. A single look that fails decides nothing.
    fn follow(&self, hash: B256, from: Address, nonce: u64) -> Result<Receipt, ChainError> {
        let deadline = Instant::now() + self.patience;
        let (mut looks, mut passed) = (0u32, 0);
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
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(NONCE_EVERY)
                && let Ok(next) = self.rpc.mined_nonce(from)
            {
                passed = if next > nonce { passed + 1 } else { 0 };
            }
            if passed >= NONCE_PASSED {
                return Err(ChainError::Replaced(hash));
            }
            if Instant::now() >= deadline {
                return Err(match self.rpc.knows(hash) {
                    Ok(false) => ChainError::Dropped(hash),
                    _ => ChainError::NotMined(hash),
                });
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

fn bounded_tip(base_fee: u128, tip: u128) -> u128 {
    tip.min(base_fee.saturating_add(MAX_TIP_ABOVE_BASE))
}

impl Fees {
    /// By the node's word, within bounds: no tip far above the base fee, nothing above the operator's limit.
    fn within(base_fee: u128, tip: u128, allowed: u128) -> Result<Fees, ChainError> {
        let tip = bounded_tip(base_fee, tip);
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

/// An EIP-1559 transaction without value and access list.
struct Transaction<'a> {
    chain_id: u64,
    nonce: u64,
    max_priority_fee: u128,
    max_fee: u128,
    gas_limit: u64,
    to: Option<Address>,
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
        match self.to {
            Some(to) => to.encode(&mut payload),
            // A contract is created.
            None => payload.put_u8(alloy_rlp::EMPTY_STRING_CODE),
        }
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
            to: Some(address!("5FbDB2315678afecb367f032d93F642f64180aa3")),
            data: &[0xde, 0xad, 0xbe, 0xef],
        };
        assert_eq!(
            hex::encode(transaction.sign(&key).unwrap()),
            include_str!("../../tests/native/vectors/eip1559.hex").trim()
        );
    }
}
