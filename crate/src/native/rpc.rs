//! JSON-RPC to an Ethereum node, from the operator's configuration alone.
//!
//! Owns the HTTP client. Invariant: an answer is at most [`MAX_RESPONSE_LEN`] bytes and comes within
//! [`CALL_TIMEOUT`], or it is an error; nothing in it is believed beyond its form. An error names
//! the host, never the path or login, where providers keep their keys.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde::Deserialize;
use serde_json::{Value, json};

pub use super::answers::{Receipt, RpcError, RpcLog};
use super::answers::{read_answer, shortened};

/// Longest answer that is read, bytes.
pub const MAX_RESPONSE_LEN: u64 = 4 << 20;
/// One call, from the name look-up to the last byte.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// A node. Calls block; run them off the async threads.
#[derive(Clone)]
pub struct Rpc {
    url: String,
    host: String,
    agent: ureq::Agent,
}

// The path may be a secret.
impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rpc")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Rpc {
    /// A client for `http://` or `https://`; contacts nobody yet.
    ///
    /// # Errors
    /// The URL is none.
    pub fn new(url: &str) -> Result<Rpc, RpcError> {
        let rest = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
        let host = authority
            .and_then(|authority| authority.rsplit('@').next())
            .filter(|host| !host.is_empty())
            .ok_or_else(|| RpcError::Url(without_secrets(url)))?;
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(CALL_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("piecework/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Rpc {
            url: url.to_owned(),
            host: host.to_owned(),
            agent,
        })
    }

    /// Host and port, for messages.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Any call.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn call(&self, method: &'static str, params: &Value) -> Result<Value, RpcError> {
        let transport = |reason: String| RpcError::Transport {
            host: self.host.clone(),
            method,
            reason,
        };
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut response = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .send(request.to_string())
            .map_err(|e| transport(e.to_string()))?;
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_RESPONSE_LEN)
            .read_to_vec()
            .map_err(|e| transport(e.to_string()))?;
        match read_answer(&self.host, method, &body) {
            Err(RpcError::Nonsense { .. }) if !status.is_success() => {
                Err(transport(format!("HTTP {status}")))
            }
            answer => answer,
        }
    }

    fn typed<T: for<'de> Deserialize<'de>>(
        &self,
        method: &'static str,
        params: &Value,
    ) -> Result<T, RpcError> {
        serde_json::from_value(self.call(method, params)?)
            .map_err(|e| self.nonsense(method, e.to_string()))
    }

    fn nonsense(&self, method: &'static str, reason: impl Into<String>) -> RpcError {
        RpcError::Nonsense {
            host: self.host.clone(),
            method,
            reason: shortened(&reason.into()),
        }
    }

    fn quantity(&self, method: &'static str, params: &Value) -> Result<u128, RpcError> {
        let value: U256 = self.typed(method, params)?;
        u128::try_from(value).map_err(|_| self.nonsense(method, "the number is too large"))
    }

    /// `eth_chainId`.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn chain_id(&self) -> Result<u64, RpcError> {
        let id = self.quantity("eth_chainId", &json!([]))?;
        u64::try_from(id).map_err(|_| self.nonsense("eth_chainId", "the number is too large"))
    }

    /// `eth_getCode` at the latest block.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn code(&self, address: Address) -> Result<Bytes, RpcError> {
        self.typed("eth_getCode", &json!([address, "latest"]))
    }

    /// `eth_getCode` at the end of a block; nodes without old states refuse.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn code_at(&self, address: Address, block: u64) -> Result<Bytes, RpcError> {
        self.typed("eth_getCode", &json!([address, format!("{block:#x}")]))
    }

    /// `eth_blockNumber`.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn block_number(&self) -> Result<u64, RpcError> {
        let number = self.quantity("eth_blockNumber", &json!([]))?;
        u64::try_from(number)
            .map_err(|_| self.nonsense("eth_blockNumber", "the number is too large"))
    }

    /// Whether the node has a transaction, in a block or waiting for one (`eth_getTransactionByHash`).
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn knows(&self, hash: B256) -> Result<bool, RpcError> {
        let found = self.call("eth_getTransactionByHash", &json!([hash]))?;
        Ok(!found.is_null())
    }

    /// `eth_call` at the latest block.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn read(&self, to: Address, data: &[u8]) -> Result<Bytes, RpcError> {
        let call = json!({"to": to, "data": hex::encode_prefixed(data)});
        self.typed("eth_call", &json!([call, "latest"]))
    }

    /// `eth_getBalance`, wei.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn native_balance(&self, address: Address) -> Result<u128, RpcError> {
        self.quantity("eth_getBalance", &json!([address, "latest"]))
    }

    /// The next nonce, pending transactions counted.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn nonce(&self, address: Address) -> Result<u64, RpcError> {
        self.transactions(address, "pending")
    }

    /// The next nonce, of transactions in blocks alone.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn mined_nonce(&self, address: Address) -> Result<u64, RpcError> {
        self.transactions(address, "latest")
    }

    fn transactions(&self, address: Address, block: &str) -> Result<u64, RpcError> {
        let nonce = self.quantity("eth_getTransactionCount", &json!([address, block]))?;
        u64::try_from(nonce)
            .map_err(|_| self.nonsense("eth_getTransactionCount", "the number is too large"))
    }

    /// `eth_estimateGas` for a call without value, or for a new contract (`to` is `None`).
    ///
    /// # Errors
    /// [`RpcError::Refused`] when the call would revert.
    pub fn estimate_gas(
        &self,
        from: Address,
        to: Option<Address>,
        data: &[u8],
    ) -> Result<u64, RpcError> {
        let mut call = json!({"from": from, "data": hex::encode_prefixed(data)});
        if let Some(to) = to {
            call["to"] = json!(to);
        }
        let gas = self.quantity("eth_estimateGas", &json!([call]))?;
        u64::try_from(gas).map_err(|_| self.nonsense("eth_estimateGas", "the number is too large"))
    }

    /// Base fee of the latest block and a priority fee, wei per gas.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn fees(&self) -> Result<(u128, u128), RpcError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Block {
            base_fee_per_gas: Option<U256>,
        }
        let method = "eth_getBlockByNumber";
        let block: Block = self.typed(method, &json!(["latest", false]))?;
        let base = block
            .base_fee_per_gas
            .and_then(|fee| u128::try_from(fee).ok())
            .ok_or_else(|| self.nonsense(method, "no base fee: the chain lacks EIP-1559"))?;
        let priority = match self.quantity("eth_maxPriorityFeePerGas", &json!([])) {
            Ok(fee) => fee,
            // An optional method; wallets took one gwei before it existed.
            Err(RpcError::Refused { .. }) => 1_000_000_000,
            Err(e) => return Err(e),
        };
        Ok((base, priority))
    }

    /// `eth_sendRawTransaction`.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn send_raw(&self, transaction: &[u8]) -> Result<B256, RpcError> {
        self.typed(
            "eth_sendRawTransaction",
            &json!([hex::encode_prefixed(transaction)]),
        )
    }

    /// `eth_getTransactionReceipt`; `None` while it is in no block.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub fn receipt(&self, hash: B256) -> Result<Option<Receipt>, RpcError> {
        self.typed("eth_getTransactionReceipt", &json!([hash]))
    }
}

fn without_secrets(url: &str) -> String {
    let shown = url.rsplit('@').next().unwrap_or_default();
    shown
        .split(['/', '?'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener};

    /// Answers one request with these bytes.
    fn server(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://user:secret@{}/key", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0u8; 4096];
            let _ = stream.read(&mut request).unwrap();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                answer.len()
            );
            let _ = stream.write_all(&answer);
            // A server that closes with a part of the request unread resets the connection, and the answer may be lost
            // with it.
            let _ = stream.shutdown(Shutdown::Write);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        url
    }

    #[test]
    fn an_answer_is_read() {
        let url = server(br#"{"jsonrpc":"2.0","id":1,"result":"0x7a69"}"#.to_vec());
        assert_eq!(Rpc::new(&url).unwrap().chain_id(), Ok(31337));
    }

    #[test]
    fn hostile_answers_are_errors_that_show_no_secret() {
        let endless = vec![b' '; MAX_RESPONSE_LEN as usize + 1];
        for answer in [
            b"".to_vec(),
            b"<html>".to_vec(),
            br#"{"result":"0xffffffffffffffffffffffffff"}"#.to_vec(),
            br#"{"result":{}}"#.to_vec(),
            br#"{"error":{"code":-32000,"message":"no"}}"#.to_vec(),
            endless,
        ] {
            let rpc = Rpc::new(&server(answer)).unwrap();
            let error = rpc.chain_id().unwrap_err().to_string();
            assert!(error.contains("127.0.0.1"), "{error}");
            assert!(
                !error.contains("secret") && !error.contains("key"),
                "{error}"
            );
            assert!(!format!("{rpc:?}").contains("secret"));
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for bad in ["", "ws://x", "http://", "user:secret@host/key"] {
            let error = Rpc::new(bad).unwrap_err().to_string();
            assert!(
                !error.contains("secret") && !error.contains("key"),
                "{error}"
            );
        }
    }
}
