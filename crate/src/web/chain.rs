//! Reads of the vault, through the wallet that a page connected, or else through the configured RPC.
//!
//! This module never sends a transaction and never chooses an address. Both come from the page's configuration.

use std::rc::{Rc, Weak};

use alloy_primitives::{Address, B256, U256, uint};
use gloo_timers::future::TimeoutFuture;
use wasm_bindgen::JsValue;

use super::driver::Driver;
use super::{hex, js};
use crate::io::{AccountState, Command};
use crate::payment::vault;
use crate::payment::voucher::Vault;

/// The longest answer of an `eth_call` that is taken, in bytes.
const MAX_ANSWER: usize = 4096;
/// The time that the RPC may take.
const RPC_TIMEOUT_MS: f64 = 15_000.0;
/// The seller sells nothing at a vault that a deposit may leave sooner than this. A seller redeems an hour before, and
/// may be away for hours.
const LEAST_EXIT_DELAY_SECONDS: U256 = uint!(86_400_U256);
/// The time after which the chain is asked for the exit delay again.
const EXIT_DELAY_RETRY_MS: u32 = 30_000;

/// The vault's place, and the way to read it without a wallet.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The vault.
    pub vault: Address,
    /// Its chain.
    pub chain_id: u64,
    /// The URL of a JSON-RPC node, if one is configured.
    pub rpc_url: Option<String>,
}

impl Chain {
    /// The vault as vouchers name it.
    pub fn vault(&self) -> Vault {
        Vault {
            address: self.vault,
            chain_id: self.chain_id,
        }
    }
}

/// `state(account, word)` at the latest block.
pub async fn read_account(
    driver: &Rc<Driver>,
    chain: &Chain,
    account: B256,
    word: U256,
) -> Result<AccountState, String> {
    let bytes = call(driver, chain, &vault::state_call(account, word)).await?;
    vault::state_answer(&bytes).ok_or_else(|| {
        format!(
            "{} does not answer like a Piecework vault: check address and chain",
            hex::to_hex(chain.vault.as_slice())
        )
    })
}

/// `exitDelay()`, in seconds.
async fn read_exit_delay(driver: &Rc<Driver>, chain: &Chain) -> Result<U256, String> {
    let bytes = call(driver, chain, &vault::exit_delay_call()).await?;
    vault::number_answer(&bytes).ok_or_else(|| "the answer is not one word".to_owned())
}

/// Stops selling at a vault that a buyer may leave before its sellers redeem. Called at the first look at a deposit; it
/// asks the chain until that answers.
pub async fn judge_exit_delay(driver: Weak<Driver>) {
    while let Some(driver) = driver.upgrade() {
        let Some(chain) = driver.chain.clone() else {
            return;
        };
        if let Ok(delay) = read_exit_delay(&driver, &chain).await {
            if delay < LEAST_EXIT_DELAY_SECONDS {
                driver.command(Command::StopSelling);
            }
            return;
        }
        drop(driver);
        TimeoutFuture::new(EXIT_DELAY_RETRY_MS).await;
    }
}

/// An `eth_call` of the vault at the latest block.
async fn call(driver: &Rc<Driver>, chain: &Chain, data: &[u8]) -> Result<Vec<u8>, String> {
    let data = hex::to_hex(data);
    let contract = hex::to_hex(chain.vault.as_slice());
    let by_wallet = match driver.pages.ask_wallet(&contract, &data) {
        Some(answer) => Some(answer.await),
        None => None,
    };
    // The RPC still answers if the wallet is on another chain, locked or slow.
    let answer = match (by_wallet, &chain.rpc_url) {
        (Some(Ok(answer)), _) => answer,
        (_, Some(url)) => call_rpc(url, &contract, &data).await?,
        (Some(Err(error)), None) => return Err(error),
        (None, None) => {
            return Err("no wallet is connected and no RPC URL is configured".to_owned());
        }
    };
    hex::from_hex(&answer, MAX_ANSWER).ok_or_else(|| "the answer is not hexadecimal".to_owned())
}

async fn call_rpc(url: &str, to: &str, data: &str) -> Result<String, String> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{{"to":"{to}","data":"{data}"}},"latest"]}}"#
    );
    let headers = js::object(&[("content-type", "application/json".into())]);
    let request = js::object(&[
        ("method", "POST".into()),
        ("headers", headers),
        ("body", body.into()),
    ]);
    let abort = js::field(&js_sys::global(), "AbortSignal");
    if let Ok(signal) = js::call(&abort, "timeout", &[JsValue::from_f64(RPC_TIMEOUT_MS)]) {
        js::set(&request, "signal", &signal);
    }
    let answer = fetch_json(url, request).await.map_err(|error| {
        let why = js::error_text(error);
        format!("the RPC could not be reached: {why}")
    })?;
    js::text(&answer, "result").ok_or_else(|| {
        let error = js::field(&answer, "error");
        format!("the RPC refused: {}", js::error_text(error))
    })
}

async fn fetch_json(url: &str, request: JsValue) -> Result<JsValue, JsValue> {
    let fetching = js::call(&js::worker(), "fetch", &[url.into(), request])?;
    let response = js::settled(&fetching).await?;
    js::settled(&js::call(&response, "json", &[])?).await
}
