//! Small records and wrapped keys: IndexedDB, behind a journal in OPFS ([`crate::journal`]).
//!
//! A record is in the journal when its write ends, and so outlives the process; one that is to outlive a loss of power,
//! too ([`Durability::PowerLoss`]), waits for IndexedDB's transaction (`durability: "strict"`). Transactions take all
//! that gathered: at once if one waits, else [`RECORDS_GATHER`] after the first. A transaction costs some milliseconds
//! of three processes' time, and a fast transfer puts many a second. Batches happen whole or not at all, and after
//! those before them. Everything is read once, at start.

use core::cell::RefCell;
use core::mem;
use std::rc::Rc;

use bytes::Bytes;
use js_sys::Array;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    FileSystemReadWriteOptions, FileSystemSyncAccessHandle, IdbDatabase, IdbFactory,
    IdbOpenDbRequest, IdbRequest, IdbTransaction,
};

use super::js::{self, Bring, Later};
use super::keys::fill_random;
use super::storage::{self, Storage};
use crate::io::{EffectError, RECORDS_GATHER};
use crate::journal::{Batch, Journal, LogFile};
use crate::sorted::Map;
use crate::types::Durability;

const DATABASE: &str = "piecework";
const VERSION: u32 = 1;
/// The core's records: text key, `Uint8Array`.
const RECORDS: &str = "records";
/// The edge's own: wrapped keys, the wrapping key, the account's owner.
const KEYS: &str = "keys";
/// Among the edge's own: the number of the journal's last batch that the records have.
const COVERED: &str = "journal";
/// From this length on the journal takes nothing while the database refuses what is in it.
const MOST_IN_JOURNAL: u64 = 8 << 20;
/// Longest record read back; a longer one was not written by us and is left out.
const MAX_RECORD: u32 = 64 << 20;

/// The open database and its journal.
pub struct Records {
    database: IdbDatabase,
    state: RefCell<State>,
}

struct State {
    journal: Journal<OpfsFile>,
    /// In the journal, and newer than what the database has or is being given.
    gathered: Map<String, Option<Bytes>>,
    /// Who waits until the database has all up to a number.
    waiting: Vec<(u64, Bring<Result<(), EffectError>>)>,
    work: WriteState,
    /// Why the last transaction failed.
    failed: Option<EffectError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WriteState {
    /// Nothing gathered.
    Idle,
    /// It gathers for [`RECORDS_GATHER`].
    Gathering,
    /// A transaction is under way.
    Writing,
}

impl Records {
    /// Opens the database, making it at the first visit, and the journal in `storage`.
    pub async fn open(storage: &Storage) -> Result<Rc<Records>, String> {
        let database = open_database().await?;
        let covered = own(&database, COVERED).await?;
        let covered = covered.as_f64().map_or(0, |number| number as u64);
        let files = storage.journal().await.map_err(|e| e.to_string())?;
        let (journal, missing) =
            Journal::open(files.map(OpfsFile::new), covered).map_err(|e| e.to_string())?;
        let mut gathered = Map::new();
        for (key, value) in missing.into_iter().flatten() {
            gathered.insert(key, value);
        }
        Ok(Rc::new(Records {
            database,
            state: RefCell::new(State {
                journal,
                gathered,
                waiting: Vec::new(),
                work: WriteState::Idle,
                failed: None,
            }),
        }))
    }

    /// Every record, before the first is put.
    pub async fn load_all(self: &Rc<Self>) -> Result<Vec<(String, Bytes)>, String> {
        let mut stored = self.load().await.map_err(|e| js::error_text(&e))?;
        let state = self.state.borrow();
        stored.retain(|(key, _)| !state.gathered.contains_key(key));
        let newer = state.gathered.iter();
        stored.extend(newer.filter_map(|(key, value)| Some((key.clone(), value.clone()?))));
        drop(state);
        self.gather();
        Ok(stored)
    }

    async fn load(&self) -> Result<Vec<(String, Bytes)>, JsValue> {
        let stored = self.all(RECORDS).await?.into_iter();
        Ok(stored
            .filter_map(|(key, value)| Some((key, js::bytes(&value, MAX_RECORD)?)))
            .collect())
    }

    /// What is in a store.
    async fn all(&self, store: &str) -> Result<Vec<(String, JsValue)>, JsValue> {
        let store = self
            .database
            .transaction_with_str(store)?
            .object_store(store)?;
        // Both requests are made before the first is awaited: a transaction with nothing to do ends.
        let (keys, values) = (store.get_all_keys()?, store.get_all()?);
        let keys: Array = answer(&keys).await?.unchecked_into();
        let values: Array = answer(&values).await?.unchecked_into();
        Ok(keys
            .iter()
            .zip(values.iter())
            .filter_map(|(key, value)| Some((key.as_string()?, value)))
            .collect())
    }

    /// Puts or deletes records, all or none: they outlive the process when this returns. For
    /// [`Durability::PowerLoss`] it answers with a future that ends when they outlive that, too.
    pub fn put(
        self: &Rc<Self>,
        batch: Batch,
        durability: Durability,
    ) -> Result<Option<Later<Result<(), EffectError>>>, EffectError> {
        let later = {
            let mut state = self.state.borrow_mut();
            if state.journal.size() > MOST_IN_JOURNAL
                && let Some(error) = &state.failed
            {
                return Err(error.clone());
            }
            state.journal.append(&batch, || {
                let mut salt = [0; 16];
                fill_random(&mut salt).map_err(EffectError::Storage)?;
                Ok(salt)
            })?;
            for (key, value) in batch {
                state.gathered.insert(key, value);
            }
            (durability == Durability::PowerLoss).then(|| {
                let (bring, later) = js::later();
                let number = state.journal.last();
                state.waiting.push((number, bring));
                later
            })
        };
        self.gather();
        Ok(later)
    }

    /// Sees to it that what gathered comes into the database: at once if somebody waits.
    fn gather(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        let awaited = !state.waiting.is_empty();
        let next = match state.work {
            WriteState::Idle if !awaited && !state.gathered.is_empty() => WriteState::Gathering,
            WriteState::Idle | WriteState::Gathering if awaited => WriteState::Writing,
            _ => return,
        };
        state.work = next;
        let records = Rc::clone(self);
        wasm_bindgen_futures::spawn_local(async move {
            if next == WriteState::Gathering {
                js::sleep(RECORDS_GATHER.as_millis() as i32).await;
                let work = &mut records.state.borrow_mut().work;
                if *work != WriteState::Gathering {
                    return;
                }
                *work = WriteState::Writing;
            }
            records.write_gathered().await;
            records.gather();
        });
    }

    /// Transactions, until nobody waits.
    async fn write_gathered(&self) {
        loop {
            let (number, gathered) = {
                let mut state = self.state.borrow_mut();
                (state.journal.last(), mem::take(&mut state.gathered))
            };
            let result = self.commit(number, &gathered).await;
            let mut state = self.state.borrow_mut();
            match &result {
                Ok(()) => {
                    state.journal.cover(number);
                    state.failed = None;
                }
                Err(error) => {
                    state.failed = Some(error.clone());
                    for (key, value) in gathered {
                        state.gathered.entry(key).or_insert(value);
                    }
                }
            }
            state.waiting.retain(|(until, bring)| {
                let waits = *until > number;
                if !waits {
                    bring.bring(result.clone());
                }
                waits
            });
            if state.waiting.is_empty() {
                state.work = WriteState::Idle;
                return;
            }
        }
    }

    /// All up to this number.
    async fn commit(
        &self,
        number: u64,
        gathered: &Map<String, Option<Bytes>>,
    ) -> Result<(), EffectError> {
        self.write(|transaction| {
            let records = transaction.object_store(RECORDS)?;
            for (key, value) in gathered.iter() {
                let key = JsValue::from_str(key);
                match value {
                    Some(value) => records.put_with_key(&js::buffer(value), &key)?,
                    None => records.delete(&key)?,
                };
            }
            let own = transaction.object_store(KEYS)?;
            own.put_with_key(&js::num(number), &COVERED.into())?;
            Ok(())
        })
        .await
    }

    /// One of the edge's own values; `undefined` if it is not there.
    pub async fn load_own(&self, key: &str) -> Result<JsValue, String> {
        own(&self.database, key).await
    }

    /// All of the edge's own values.
    pub async fn all_own(&self) -> Result<Vec<(String, JsValue)>, String> {
        self.all(KEYS).await.map_err(|e| js::error_text(&e))
    }

    /// Puts one of the edge's own values.
    pub async fn put_own(&self, key: &str, value: &JsValue) -> Result<(), EffectError> {
        self.put_all_own(&[(key.to_owned(), value.clone())]).await
    }

    /// Puts some of the edge's own values, all or none.
    pub async fn put_all_own(&self, values: &[(String, JsValue)]) -> Result<(), EffectError> {
        self.write(|transaction| {
            let store = transaction.object_store(KEYS)?;
            for (key, value) in values {
                store.put_with_key(value, &JsValue::from_str(key))?;
            }
            Ok(())
        })
        .await
    }

    async fn write(
        &self,
        fill: impl FnOnce(&IdbTransaction) -> Result<(), JsValue>,
    ) -> Result<(), EffectError> {
        let transaction = self.begin().map_err(storage::failed)?;
        if let Err(error) = fill(&transaction) {
            let _ = transaction.abort();
            return Err(storage::failed(error));
        }
        committed(&transaction).await.map_err(storage::failed)
    }

    fn begin(&self) -> Result<IdbTransaction, JsValue> {
        let stores = Array::of2(&RECORDS.into(), &KEYS.into());
        let options = js::object(&[("durability", "strict".into())]);
        let arguments = [stores.into(), "readwrite".into(), options];
        js::call(&self.database, "transaction", &arguments).map(JsCast::unchecked_into)
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.database.close();
    }
}

async fn open_database() -> Result<IdbDatabase, String> {
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
    opened
        .map(JsCast::unchecked_into)
        .map_err(|e| js::error_text(&e))
}

/// One of the edge's own values; `undefined` if it is not there.
async fn own(database: &IdbDatabase, key: &str) -> Result<JsValue, String> {
    let request = database
        .transaction_with_str(KEYS)
        .and_then(|transaction| transaction.object_store(KEYS))
        .and_then(|store| store.get(&JsValue::from_str(key)))
        .map_err(|e| js::error_text(&e))?;
    answer(&request).await.map_err(|e| js::error_text(&e))
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

/// A file of the journal.
struct OpfsFile {
    access: FileSystemSyncAccessHandle,
    at: FileSystemReadWriteOptions,
}

impl OpfsFile {
    fn new(access: FileSystemSyncAccessHandle) -> OpfsFile {
        OpfsFile {
            access,
            at: FileSystemReadWriteOptions::new(),
        }
    }
}

impl LogFile for OpfsFile {
    type Error = EffectError;

    fn read(&self) -> Result<Vec<u8>, EffectError> {
        let size = self.access.get_size().map_err(storage::failed)?;
        let mut bytes = vec![0; size.min(f64::from(MAX_RECORD)) as usize];
        self.at.set_at(0.0);
        let read = self
            .access
            .read_with_u8_array_and_options(&mut bytes, &self.at)
            .map_err(storage::failed)?;
        bytes.truncate(read as usize);
        Ok(bytes)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), EffectError> {
        storage::write_at(&self.access, &self.at, at, bytes)
    }

    fn cut(&self, length: u64) -> Result<(), EffectError> {
        self.access
            .truncate_with_f64(length as f64)
            .and_then(|()| self.access.flush())
            .map_err(storage::failed)
    }
}
