//! Small records and wrapped keys in IndexedDB.
//!
//! Invariant: a write ends only when the browser says that it is on the disk (`durability: "strict"`), or for
//! what need not outlive a loss of power that it has left the browser (`"relaxed"`: no flush of the disk). It happens whole
//! or not at all, and after those before it. Everything is read once, at start.

use bytes::Bytes;
use js_sys::Array;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    IdbDatabase, IdbFactory, IdbObjectStore, IdbOpenDbRequest, IdbRequest, IdbTransaction,
};

use super::js;
use crate::contract::EffectError;

const DATABASE: &str = "piecework";
const VERSION: u32 = 1;
/// The core's records: text key, `Uint8Array`.
const RECORDS: &str = "records";
/// The edge's own: wrapped keys, the wrapping key, the account's owner.
const KEYS: &str = "keys";
/// Longest record read back; a longer one was not written by us and is left out.
const MAX_RECORD: u32 = 64 << 20;

/// The open database.
pub struct Records {
    database: IdbDatabase,
}

impl Records {
    /// Opens the database, making it at the first visit.
    pub async fn open() -> Result<Records, String> {
        let factory: IdbFactory = js::field(&js::worker(), "indexedDB")
            .dyn_into()
            .map_err(|_| "IndexedDB is not available: leave private browsing".to_owned())?;
        let request = factory
            .open_with_u32(DATABASE, VERSION)
            .map_err(|e| js::error_text(&e))?;
        let upgrade = Closure::<dyn FnMut()>::new({
            let request = request.clone();
            move || make_stores(&request)
        });
        request.set_onupgradeneeded(Some(upgrade.as_ref().unchecked_ref()));
        let opened = answer(&request).await;
        request.set_onupgradeneeded(None);
        let database: IdbDatabase = opened.map_err(|e| js::error_text(&e))?.unchecked_into();
        Ok(Records { database })
    }

    /// Every record.
    pub async fn load_all(&self) -> Result<Vec<(String, Bytes)>, String> {
        self.load().await.map_err(|e| js::error_text(&e))
    }

    async fn load(&self) -> Result<Vec<(String, Bytes)>, JsValue> {
        let store = self
            .database
            .transaction_with_str(RECORDS)?
            .object_store(RECORDS)?;
        // Both requests are made before the first is awaited: a transaction with nothing to do ends.
        let (keys, values) = (store.get_all_keys()?, store.get_all()?);
        let keys: Array = answer(&keys).await?.unchecked_into();
        let values: Array = answer(&values).await?.unchecked_into();
        Ok(keys
            .iter()
            .zip(values.iter())
            .filter_map(|(key, value)| Some((key.as_string()?, js::bytes(&value, MAX_RECORD)?)))
            .collect())
    }

    /// Puts or deletes records, all or none. `lasting`: it outlives the machine's power.
    pub async fn put(
        &self,
        records: &[(String, Option<Bytes>)],
        lasting: bool,
    ) -> Result<(), EffectError> {
        self.write(RECORDS, lasting, |store| {
            for (key, value) in records {
                let key = JsValue::from_str(key);
                match value {
                    Some(value) => store.put_with_key(&js::buffer(value), &key)?,
                    None => store.delete(&key)?,
                };
            }
            Ok(())
        })
        .await
    }

    /// One of the edge's own values; `undefined` if it is not there.
    pub async fn load_own(&self, key: &str) -> Result<JsValue, String> {
        let request = self
            .database
            .transaction_with_str(KEYS)
            .and_then(|transaction| transaction.object_store(KEYS))
            .and_then(|store| store.get(&JsValue::from_str(key)))
            .map_err(|e| js::error_text(&e))?;
        answer(&request).await.map_err(|e| js::error_text(&e))
    }

    /// Puts one of the edge's own values.
    pub async fn put_own(&self, key: &str, value: &JsValue) -> Result<(), EffectError> {
        self.write(KEYS, true, |store| {
            store.put_with_key(value, &JsValue::from_str(key))?;
            Ok(())
        })
        .await
    }

    async fn write(
        &self,
        store: &str,
        lasting: bool,
        fill: impl FnOnce(&IdbObjectStore) -> Result<(), JsValue>,
    ) -> Result<(), EffectError> {
        let transaction = self.begin(store, lasting).map_err(failed)?;
        let filled = transaction
            .object_store(store)
            .and_then(|store| fill(&store));
        if let Err(error) = filled {
            let _ = transaction.abort();
            return Err(failed(error));
        }
        committed(&transaction).await.map_err(failed)
    }

    fn begin(&self, store: &str, lasting: bool) -> Result<IdbTransaction, JsValue> {
        let durability = if lasting { "strict" } else { "relaxed" };
        let options = js::object(&[("durability", durability.into())]);
        let arguments = [store.into(), "readwrite".into(), options];
        js::call(&self.database, "transaction", &arguments).map(JsCast::unchecked_into)
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.database.close();
    }
}

fn make_stores(request: &IdbOpenDbRequest) {
    let Ok(database) = request.result().map(IdbDatabase::from) else {
        return;
    };
    for store in [RECORDS, KEYS] {
        if !database.object_store_names().contains(store) {
            // A failure aborts the upgrade, and the request answers with it.
            let _ = database.create_object_store(store);
        }
    }
}

/// Waits for a request's `success` or `error`.
async fn answer(request: &IdbRequest) -> Result<JsValue, JsValue> {
    let (bring, later) = js::later();
    let on_success = Closure::<dyn FnMut()>::new({
        let (request, bring) = (request.clone(), bring.clone());
        move || bring.bring(request.result())
    });
    let on_error = Closure::<dyn FnMut()>::new({
        let request = request.clone();
        move || bring.bring(Err(js::field(&request, "error")))
    });
    request.set_onsuccess(Some(on_success.as_ref().unchecked_ref()));
    request.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    let result = later.await;
    request.set_onsuccess(None);
    request.set_onerror(None);
    result
}

/// Waits for a transaction's `complete` or `abort`.
async fn committed(transaction: &IdbTransaction) -> Result<(), JsValue> {
    let (bring, later) = js::later();
    let on_complete = Closure::<dyn FnMut()>::new({
        let bring = bring.clone();
        move || bring.bring(Ok(()))
    });
    // `error` is always followed by `abort`.
    let on_abort = Closure::<dyn FnMut()>::new({
        let transaction = transaction.clone();
        move || bring.bring(Err(js::field(&transaction, "error")))
    });
    transaction.set_oncomplete(Some(on_complete.as_ref().unchecked_ref()));
    transaction.set_onabort(Some(on_abort.as_ref().unchecked_ref()));
    let result = later.await;
    transaction.set_oncomplete(None);
    transaction.set_onabort(None);
    result
}

fn failed(error: JsValue) -> EffectError {
    let text = js::error_text(&error);
    if js::is_error(&error, "QuotaExceededError") {
        EffectError::QuotaExceeded(text)
    } else {
        EffectError::Storage(text)
    }
}
