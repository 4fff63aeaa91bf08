//! The answers of a node, as bytes only: bodies of JSON-RPC, receipts.
//!
//! Owns no socket and asks nobody. Nothing in an answer is believed beyond its form; a part of it that is shown is
//! short and without control characters.

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde::Deserialize;
use serde_json::Value;

use crate::payment::vault::Log;

/// The reason why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// The text is no URL.
    #[error("{0:?} is not an RPC URL: write http://HOST[:PORT] or https://HOST[/PATH]")]
    Url(String),
    /// No answer.
    #[error("the RPC server {host} did not answer {method}: {reason}; check --rpc and the network")]
    Transport {
        /// The node that was asked.
        host: String,
        /// The JSON-RPC method that was called, such as `eth_call`.
        method: &'static str,
        /// The HTTP client's error, or the status of an answer that is no JSON-RPC.
        reason: String,
    },
    /// It answered with an error.
    #[error("the RPC server {host} refused {method}: {message} (code {code})")]
    Refused {
        /// The node that was asked.
        host: String,
        /// The JSON-RPC method that was called, such as `eth_call`.
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
        /// The node that was asked.
        host: String,
        /// The JSON-RPC method that was called, such as `eth_call`.
        method: &'static str,
        /// The fault of the answer.
        reason: String,
    },
}

impl RpcError {
    /// The node made the call, and the contract did not answer it.
    pub fn is_revert(&self) -> bool {
        matches!(self, RpcError::Refused { code, message, .. } if *code == 3 || message.contains("revert"))
    }
}

/// A log of a receipt; its form is checked, its truth is not.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RpcLog {
    /// The contract that emitted it.
    pub address: Address,
    /// Indexed fields.
    pub topics: Vec<B256>,
    /// The others.
    pub data: Bytes,
}

impl From<&RpcLog> for Log {
    fn from(log: &RpcLog) -> Log {
        Log {
            address: log.address,
            topics: log.topics.clone(),
            data: log.data.to_vec(),
        }
    }
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
    /// Wei paid on top for the data on the chain below, on OP-stack rollups.
    #[serde(default)]
    pub l1_fee: Option<U256>,
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

/// Text from a server, shortened to one line on a screen.
pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
