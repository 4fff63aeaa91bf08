//! What a node answers, as far as it is only bytes: bodies of JSON-RPC, the vault's state, its events.
//!
//! Owns no socket and asks nobody. Nothing in an answer is believed beyond its form; what is shown of it
//! is short and without control characters.

use std::collections::HashSet;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use alloy_sol_types::{SolCall, SolEvent};
use serde::Deserialize;
use serde_json::Value;

use crate::client::AccountState;
use crate::payment::voucher::abi::Claim;
use crate::types::TokenUnits;

pub(super) mod abi {
    #![allow(missing_docs)]

    alloy_sol_types::sol! {
        function state(bytes32 id, uint256 word) external view returns (
            uint112 balance, uint96 tranche, uint40 consumed, bool known, uint112 bond, uint48 exitAt,
            uint256 spentWord, uint256 chainId, uint256 blockNumber, uint256 timestamp
        );

        event Redeemed(
            bytes32 indexed id, address indexed payee, address indexed owner, uint256 packed, bytes32 content,
            bytes32 root, bytes32 luck, bytes32 r, bytes32 vs, uint256 gross, uint256 cut
        );
        event Skipped(uint256 index, uint8 reason);
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// The URL is none.
    #[error("{0:?} is not an RPC URL: write http://HOST[:PORT] or https://HOST[/PATH]")]
    Url(String),
    /// No answer.
    #[error("the RPC server {host} did not answer {method}: {reason}; check --rpc and the network")]
    Transport {
        /// Whom we asked.
        host: String,
        /// What.
        method: &'static str,
        /// Why.
        reason: String,
    },
    /// It answered with an error.
    #[error("the RPC server {host} refused {method}: {message} (code {code})")]
    Refused {
        /// Whom we asked.
        host: String,
        /// What.
        method: &'static str,
        /// Its code.
        code: i64,
        /// Its words, shortened.
        message: String,
        /// Revert data, if any.
        data: Option<Bytes>,
    },
    /// It answered nonsense.
    #[error("the RPC server {host} answered {method} with something else: {reason}")]
    Nonsense {
        /// Whom we asked.
        host: String,
        /// What.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl RpcError {
    /// The node made the call, and the contract did not answer it.
    pub fn is_revert(&self) -> bool {
        matches!(self, RpcError::Refused { code, message, .. } if *code == 3 || message.contains("revert"))
    }
}

/// A log of a receipt, in form but not in truth checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RpcLog {
    /// Who emitted it.
    pub address: Address,
    /// Indexed fields.
    pub topics: Vec<B256>,
    /// The others.
    pub data: Bytes,
}

/// A transaction in a block.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// 1: it went through.
    pub status: U256,
    /// Gas used.
    pub gas_used: U256,
    /// Wei per gas.
    #[serde(default)]
    pub effective_gas_price: Option<U256>,
    /// Its block.
    pub block_number: U256,
    /// Its logs.
    pub logs: Vec<RpcLog>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Option<Value>,
}

/// Index of a claim, and what the vault paid for it.
pub type Paid = (u32, TokenUnits);
/// Index of a claim, and why the vault paid nothing for it; see [`skip_reason`].
pub type Skip = (u32, u8);

/// The result in the body of an answer; `host` and `method` are for the error.
///
/// # Errors
/// [`RpcError::Refused`] when it is an error, [`RpcError::Nonsense`] when it is no answer.
pub fn read_answer(host: &str, method: &'static str, body: &[u8]) -> Result<Value, RpcError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|e| RpcError::Nonsense {
        host: host.to_owned(),
        method,
        reason: shortened(&e.to_string()),
    })?;
    match answer.error {
        Some(error) => Err(RpcError::Refused {
            host: host.to_owned(),
            method,
            code: error.code,
            message: shortened(&error.message),
            data: error.data.as_ref().and_then(revert_data),
        }),
        None => Ok(answer.result.unwrap_or(Value::Null)),
    }
}

fn revert_data(data: &Value) -> Option<Bytes> {
    let text = match data {
        Value::String(text) => text,
        Value::Object(fields) => fields.get("data")?.as_str()?,
        _ => return None,
    };
    hex::decode(text).ok().map(Bytes::from)
}

/// Text from a server is for one line on a screen.
pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// What a vault's `state` returned; `None`: the bytes are not that.
pub fn read_state(answer: &[u8]) -> Option<AccountState> {
    let state = abi::stateCall::abi_decode_returns_validate(answer).ok()?;
    let small = |value: U256| u64::try_from(value).ok();
    Some(AccountState {
        balance: TokenUnits(state.balance.to()),
        tranche: TokenUnits(state.tranche.to()),
        consumed: state.consumed.to(),
        known: state.known,
        bond: TokenUnits(state.bond.to()),
        exit_at: state.exitAt.to(),
        spent_word: state.spentWord,
        chain_id: small(state.chainId)?,
        block_number: small(state.blockNumber)?,
        timestamp: small(state.timestamp)?,
    })
}

/// What the vault's events say about each claim. A claim is known by its owner, range and
/// signature; each event counts once.
pub fn read_logs(
    vault: Address,
    receipt: &Receipt,
    claims: &[Claim],
    payee: Address,
) -> (Vec<Paid>, Vec<Skip>) {
    let (mut paid, mut skipped) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for log in receipt.logs.iter().filter(|log| log.address == vault) {
        let topics = || log.topics.iter().copied();
        if let Ok(event) = abi::Redeemed::decode_raw_log_validate(topics(), &log.data) {
            let index = claims.iter().enumerate().position(|(i, claim)| {
                event.payee == payee
                    && claim.owner == event.owner
                    && claim.r == event.r
                    && claim.vs == event.vs
                    && event.packed >> 208
                        == (U256::from(claim.first) << 16 | U256::from(claim.count))
                    && !seen.contains(&i)
            });
            let net = event.gross.checked_sub(event.cut).map(u128::try_from);
            if let (Some(index), Some(Ok(net))) = (index, net) {
                seen.insert(index);
                paid.push((index as u32, TokenUnits(net)));
            }
        } else if let Ok(event) = abi::Skipped::decode_raw_log_validate(topics(), &log.data)
            && let Ok(index) = usize::try_from(event.index)
            && index < claims.len()
            && seen.insert(index)
        {
            skipped.push((index as u32, event.reason));
        }
    }
    (paid, skipped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::LogData;

    fn claim(first: u32, owner: u8) -> Claim {
        Claim {
            owner: Address::repeat_byte(owner),
            first,
            count: 4,
            content: B256::ZERO,
            base: alloy_primitives::aliases::U96::from(5),
            unit: alloy_primitives::aliases::U96::from(7),
            steps: 256,
            k: 3,
            w: B256::repeat_byte(1),
            salt: B256::ZERO,
            r: B256::repeat_byte(first as u8),
            vs: B256::repeat_byte(9),
        }
    }

    #[test]
    fn events_are_matched_to_claims_and_others_are_ignored() {
        let vault = Address::repeat_byte(0x11);
        let payee = Address::repeat_byte(0x77);
        let claims = [claim(1, 2), claim(1, 3), claim(9, 2)];
        let redeemed = |claim: &Claim, payee: Address, gross: u64| {
            let event = abi::Redeemed {
                id: B256::ZERO,
                payee,
                owner: claim.owner,
                packed: U256::from(claim.first) << 224 | U256::from(claim.count) << 208,
                content: B256::ZERO,
                root: B256::ZERO,
                luck: B256::ZERO,
                r: claim.r,
                vs: claim.vs,
                gross: U256::from(gross),
                cut: U256::from(1),
            };
            log(vault, event.encode_log_data())
        };
        fn log(address: Address, data: LogData) -> RpcLog {
            RpcLog {
                address,
                topics: data.topics().to_vec(),
                data: data.data,
            }
        }
        let skipped = |index: u64| {
            let event = abi::Skipped {
                index: U256::from(index),
                reason: 6,
            };
            log(vault, event.encode_log_data())
        };
        let mut foreign = redeemed(&claims[0], payee, 999);
        foreign.address = Address::repeat_byte(0x99);
        let receipt = Receipt {
            status: U256::ONE,
            gas_used: U256::ZERO,
            effective_gas_price: None,
            block_number: U256::ONE,
            logs: vec![
                foreign,
                RpcLog {
                    address: vault,
                    topics: vec![],
                    data: Bytes::new(),
                },
                redeemed(&claims[1], payee, 11),
                redeemed(&claims[1], payee, 11),
                redeemed(&claims[2], Address::ZERO, 11),
                redeemed(&claims[2], payee, 21),
                skipped(0),
                skipped(0),
                skipped(1_000),
            ],
        };
        let (paid, skipped) = read_logs(vault, &receipt, &claims, payee);
        assert_eq!(paid, [(1, TokenUnits(10)), (2, TokenUnits(20))]);
        assert_eq!(skipped, [(0, 6)]);
    }
}
