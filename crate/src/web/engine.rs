//! The one class of this crate that JavaScript sees: `Engine`.

use core::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use js_sys::Function;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsError, JsValue};
use web_sys::MessagePort;

use super::chain::Chain;
use super::driver::{Driver, Parts};
use super::keys::{self, Keys};
use super::records::Records;
use super::storage::Storage;
use super::{hex, js, seed, snapshot};
use crate::client::Client;
use crate::io::{
    BuyConfig, Command, Config, Credit, Input, Limits, PaymentConfig, ResalePrice, SellConfig,
    WebSeedUse,
};
use crate::paying::{Paid, Paying};
use crate::payment::record;
use crate::types::{FineUnits, TokenUnits};

/// Trackers that are taken from the page's configuration, at most.
const MAX_TRACKERS: usize = 64;
/// The folder and database of an origin's first vault; those of another vault have the page's `store` in their name
/// (docs/decisions/056-an-engine-for-each-vault.md).
const PLACE: &str = "piecework";
/// The prefix of the record that remembers the owner of the deposit in use.
const OWNER: &str = "owner";

/// A Piecework peer in this worker. The worker's script starts it once and then hands it every message of the page.
#[wasm_bindgen]
pub struct Engine {
    driver: Rc<Driver>,
}

#[wasm_bindgen]
impl Engine {
    /// Opens storage, records and keys, and resumes. `config` is `EngineConfig` of `www/npm/src/protocol.ts`. Rejects
    /// with a sentence that names the missing thing.
    /// `ask_web_seed` is `AskWebSeed` of `www/npm/src/webseeds.ts`.
    pub async fn start(config: JsValue, ask_web_seed: Function) -> Result<Engine, JsValue> {
        // The shipped engine stops without a word, and the worker's script sees that. The text alone would weigh 20 kB.
        #[cfg(debug_assertions)]
        std::panic::set_hook(Box::new(|info| {
            // A panic is terminal: the page starts a new worker from the stored state.
            let _ = js::worker().post_message(&js::object(&[
                ("t", "trap".into()),
                ("text", info.to_string().into()),
            ]));
        }));
        let driver = start(&config, ask_web_seed)
            .await
            .map_err(|text| JsError::new(&text))?;
        Ok(Engine { driver })
    }

    /// Handles one message of the page that holds the peer connections: `{t: "page", port}`, `{t: "shutdown"}`, or one
    /// about a connection `c`: `offer`, `answer`, `channel`, `address`, `failed`; and of the worker's script, about a
    /// request to a web seed: `{t: "web", r}`.
    pub fn handle(&self, message: JsValue) {
        match js::text(&message, "t").as_deref() {
            Some("page") => {
                if let Ok(port) = js::field(&message, "port").dyn_into::<MessagePort>() {
                    self.driver.pages.attach(port);
                }
            }
            Some("web") => self.driver.handle_web_seed(&message),
            Some("shutdown") => self.driver.command(Command::Shutdown),
            _ => self.driver.handle_broker(&message),
        }
    }
}

async fn start(config: &JsValue, ask_web_seed: Function) -> Result<Rc<Driver>, String> {
    let place = match js::text(config, "store") {
        Some(store) => format!("{PLACE}-{store}"),
        None => PLACE.to_owned(),
    };
    let storage = Storage::open(&place)
        .await
        .map_err(|e| format!("the browser's file storage (OPFS) cannot be opened: leave private browsing, or allow this site to store data ({e})"))?;
    let records = Records::open(&place, &storage).await?;
    let payment = js::field(config, "payment");
    let (chain, keys) = match payment.is_object().then(|| parts(&payment, &records)) {
        Some(opening) => {
            let (chain, keys) = opening?.await?;
            (Some(chain), Some(keys))
        }
        None => (None, None),
    };
    let core_config = Config {
        trackers: js::texts(config, "trackers", MAX_TRACKERS),
        use_torrent_web_seeds: js::flag(config, "useTorrentWebSeeds").unwrap_or(true),
        web_seed_use: match js::flag(config, "webSeedsAlways") {
            Some(true) => WebSeedUse::Always,
            _ => WebSeedUse::Fallback,
        },
        use_torrent_trackers: js::flag(config, "useTorrentTrackers").unwrap_or(true),
        limits: snapshot::limits(config, &Limits::default()),
        payment: match (&chain, &keys) {
            (Some(chain), Some(keys)) => Some(payment_config(&payment, chain, keys)?),
            _ => None,
        },
        ..Config::default()
    };
    let mut seed = [0u8; 32];
    keys::fill_random(&mut seed)?;
    let mut stored = records.load_all().await?;
    seed::tidy(&storage, &records, &stored).await;
    if let (Some(keys), Some(chain)) = (&keys, &chain)
        && keys.is_behind()
    {
        let mark = record::Key::PayerBehind(keys.session_address());
        stored.push((mark.text(&chain.vault()), Bytes::new()));
    }
    let now = Driver::now();
    #[cfg(feature = "trace")]
    super::trace::began(now, &core_config, &seed, &stored);
    let driver = Driver::new(Parts {
        core: Client::new(core_config, seed, stored, now),
        storage,
        records,
        keys,
        chain,
        ask_web_seed,
    });
    if let Some(remembered) = driver.set_owner(None) {
        remembered.await?;
    }
    driver.input(Input::Tick);
    Ok(driver)
}

/// Work of a build with payments. Boxed, so that a build without them has no code for it.
type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + 'a>>;

/// What an engine that buys and sells has besides: the way to the chain, and its keys.
type Purse = (Paid<Chain>, Paid<Rc<Keys>>);

/// Opens them.
fn parts<'a>(payment: &'a JsValue, records: &'a Records) -> Result<Later<'a, Purse>, String> {
    let paying = Paying::HERE.ok_or(
        "this engine is built without payments: load that of `piecework`, not of `piecework/free`",
    )?;
    let chain = chain(payment)?;
    Ok(Box::pin(async move {
        let seen = js::number(payment, "generation");
        let keys = Keys::open(records, &account_name(&chain), seen).await?;
        Ok((Paid::new(paying, chain), Paid::new(paying, Rc::new(keys))))
    }))
}

impl Driver {
    /// Buys from the account of this owner and remembers it; with `None`, from that of the remembered one, if any.
    /// `None` if payments are not configured.
    pub fn set_owner(
        self: &Rc<Self>,
        owner: Option<alloy_primitives::Address>,
    ) -> Option<Later<'static, ()>> {
        let (chain, keys) = (self.chain.clone()?, self.keys.clone()?);
        let driver = Rc::clone(self);
        Some(Box::pin(async move {
            let record = format!("{OWNER} {}", account_name(&chain));
            let owner = match owner {
                Some(owner) => {
                    let text = JsValue::from(hex::to_hex(owner.as_slice()));
                    let put = driver.records.put_own(&record, &text).await;
                    put.map_err(|e| e.to_string())?;
                    Some(owner)
                }
                None => {
                    let stored = driver.records.load_own(&record).await?;
                    stored.as_string().and_then(|text| text.parse().ok())
                }
            };
            if let Some(owner) = owner {
                driver.command(Command::SetAccount {
                    owner,
                    session_key: keys.session_address(),
                });
            }
            Ok(())
        }))
    }
}

fn chain(payment: &JsValue) -> Result<Chain, String> {
    Ok(Chain {
        vault: js::address(payment, "vault").ok_or("payments: `vault` is not an address")?,
        chain_id: js::number(payment, "chainId").ok_or("payments: `chainId` is missing")?,
        rpc_url: js::text(payment, "rpcUrl"),
    })
}

fn payment_config(payment: &JsValue, chain: &Chain, keys: &Keys) -> Result<PaymentConfig, String> {
    let loss_budget_pieces = within(payment, "lossPieces", 4, 64)? as u32;
    let buy = js::amount(payment, "maxPricePerBlock").map(|max_price| BuyConfig {
        max_price: FineUnits(max_price),
        budget: TokenUnits(js::amount(payment, "budget").unwrap_or(0)),
        loss_budget_pieces,
    });
    let percent = within(payment, "resellPercent", 50, u8::MAX.into())? as u8;
    let price = match js::amount(payment, "sellPricePerBlock") {
        Some(price) => ResalePrice::Fixed(FineUnits(price)),
        None => ResalePrice::PercentOfPaid(percent),
    };
    Ok(PaymentConfig {
        vault: chain.vault,
        chain_id: chain.chain_id,
        buy,
        sell: Some(SellConfig {
            payee: keys.payee_address(),
            price,
            min_bond_percent: within(payment, "minBondPercent", 125, 10_000)? as u16,
            credit: Credit::default(),
            dust: js::amount(payment, "minRedeem").map_or(SellConfig::dust_of(6), TokenUnits),
        }),
    })
}

/// A whole number from 0 to `most`. Any other value is refused, and is not cut to fit.
fn within(payment: &JsValue, name: &str, default: u64, most: u64) -> Result<u64, String> {
    if js::field(payment, name).is_undefined() {
        return Ok(default);
    }
    (js::number(payment, name).filter(|number| *number <= most))
        .ok_or_else(|| format!("payments: `{name}` must be a whole number from 0 to {most}"))
}

/// The name under which an account's local state is kept: its vault and chain.
fn account_name(chain: &Chain) -> String {
    format!("{} {}", chain.chain_id, hex::to_hex(chain.vault.as_slice()))
}
