//! Small records and wrapped keys, in IndexedDB behind a journal in OPFS ([`crate::journal`]).
//!
//! A record is in the journal when its write ends, and so outlives the process. One that is to outlive a loss of power,
//! too ([`Durability::PowerLoss`]), waits for IndexedDB's transaction (`durability: "strict"`). A transaction takes all
//! that gathered: at once if anybody waits, else [`RECORDS_GATHER`] after the first record. It costs some milliseconds
//! of three processes' time, and a fast transfer puts many records a second. Batches happen whole or not at all, and in
//! their order. Everything is read once, at the start.

use core::cell::{Cell, RefCell};
use core::mem;
use std::rc::Rc;

use bytes::Bytes;
use futures_channel::oneshot;
use gloo_events::EventListener;
use gloo_timers::future::TimeoutFuture;
use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    EventTarget, FileSystemReadWriteOptions, FileSystemSyncAccessHandle, IdbDatabase, IdbFactory,
    IdbOpenDbRequest, IdbRequest, IdbTransaction,
};

use super::js;
use super::keys::fill_random;
use super::storage::{self, Storage};
use crate::io::{EffectError, RECORDS_GATHER};
use crate::journal::{Batch, Journal, LogFile};
use crate::sorted::Map;
use crate::types::Durability;

const VERSION: u32 = 1;
/// The core's records: text key, `Uint8Array`.
const RECORDS: &str = "records";
/// The edge's own values: wrapped keys, the wrapping key, the account's owner.
const KEYS: &str = "keys";
/// The edge's own value that numbers the journal's last batch that the records have.
const COVERED: &str = "journal";
/// From this length on the journal takes nothing while the database refuses its content.
const MOST_IN_JOURNAL: u64 = 8 << 20;
/// The longest record that is read back, in bytes. This engine writes no longer one, so such a record is left out.
const MAX_RECORD: u32 = 64 << 20;

/// The open database and its journal.
pub struct Records {
    database: IdbDatabase,
    state: RefCell<State>,
}

struct State {
    journal: Journal<OpfsFile>,
    /// Records in the journal that are newer than those that the database has or is being given.
    gathered: Map<String, Option<Bytes>>,
    /// The callers that wait until the database has all batches up to a number.
    waiting: Vec<(u64, oneshot::Sender<()>)>,
    work: WriteState,
    /// The error of the last transaction, if it failed.
    failed: Option<EffectError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WriteState {
    /// Nothing gathered.
    Idle,
    /// Records gather for [`RECORDS_GATHER`].
    Gathering,
    /// A transaction is under way.
    Writing,
}

impl Records {
    /// Opens the database of this name, making it at the first visit, and the journal in `storage`.
    pub async fn open(name: &str, storage: &Storage) -> Result<Rc<Records>, String> {
        let database = open_database(name).await?;
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
        let mut stored = self.load().await.map_err(js::error_text)?;
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

    /// The content of a store.
    async fn all(&self, store: &str) -> Result<Vec<(String, JsValue)>, JsValue> {
        let store = self
            .database
            .transaction_with_str(store)?
            .object_store(store)?;
        // Both requests are made before the first is awaited, because a transaction without a request ends.
        let (keys, values) = (store.get_all_keys()?, store.get_all()?);
        let keys: Array = answer(&keys).await?.unchecked_into();
        let values: Array = answer(&values).await?.unchecked_into();
        Ok(keys
            .iter()
            .zip(values.iter())
            .filter_map(|(key, value)| Some((key.as_string()?, value)))
            .collect())
    }

    /// Puts or deletes records, all or none. They outlive the process when this returns. For [`Durability::PowerLoss`]
    /// it answers a future that ends when they outlive a loss of power, too.
    pub fn put(
        self: &Rc<Self>,
        batch: Batch,
        durability: Durability,
    ) -> Result<Option<impl Future<Output = Result<(), EffectError>> + use<>>, EffectError> {
        let durable = {
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
                let (sender, receiver) = oneshot::channel();
                let number = state.journal.last();
                state.waiting.push((number, sender));
                receiver
            })
        };
        self.gather();
        let records = Rc::clone(self);
        Ok(durable.map(|durable| async move {
            // A failed transaction drops the sender.
            durable.await.map_err(|_| records.why_failed())
        }))
    }

    fn why_failed(&self) -> EffectError {
        let failed = self.state.borrow().failed.clone();
        failed.unwrap_or_else(|| EffectError::Storage("the records were not written".to_owned()))
    }

    /// Brings the gathered records into the database: at once if anybody waits.
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
                TimeoutFuture::new(RECORDS_GATHER.as_millis() as u32).await;
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

    /// Runs transactions until nobody waits.
    async fn write_gathered(&self) {
        loop {
            let (number, gathered) = {
                let mut state = self.state.borrow_mut();
                (state.journal.last(), mem::take(&mut state.gathered))
            };
            let result = self.commit(number, &gathered).await;
            let mut state = self.state.borrow_mut();
            // The callers wait in the order of their numbers.
            let over = state.waiting.partition_point(|(until, _)| *until <= number);
            let over = state.waiting.drain(..over);
            match result {
                Ok(()) => {
                    for (_, sender) in over {
                        // This fails if nobody waits any more.
                        let _ = sender.send(());
                    }
                    state.journal.cover(number);
                    state.failed = None;
                }
                Err(error) => {
                    drop(over);
                    state.failed = Some(error);
                    for (key, value) in gathered {
                        state.gathered.entry(key).or_insert(value);
                    }
                }
            }
            if state.waiting.is_empty() {
                state.work = WriteState::Idle;
                return;
            }
        }
    }

    /// Writes all records up to this number.
    async fn commit(
        &self,
        number: u64,
        gathered: &Map<String, Option<Bytes>>,
    ) -> Result<(), EffectError> {
        let buffer = |value: &Bytes| js::buffer(value).into();
        let records: Vec<Change> = (gathered.iter())
            .map(|(key, value)| (key.into(), value.as_ref().map(buffer)))
            .collect();
        let covered = (COVERED.into(), Some(js::num(number)));
        self.write(&records, &[covered]).await
    }

    /// One of the edge's own values; `undefined` if it is not there.
    pub async fn load_own(&self, key: &str) -> Result<JsValue, String> {
        own(&self.database, key).await
    }

    /// All of the edge's own values.
    pub async fn all_own(&self) -> Result<Vec<(String, JsValue)>, String> {
        self.all(KEYS).await.map_err(js::error_text)
    }

    /// Puts one of the edge's own values.
    pub async fn put_own(&self, key: &str, value: &JsValue) -> Result<(), EffectError> {
        let value = Some(value.clone());
        self.write(&[], &[(key.into(), value)]).await
    }

    /// Puts some of the edge's own values, all or none.
    pub async fn put_all_own(&self, values: &[(String, JsValue)]) -> Result<(), EffectError> {
        let own: Vec<Change> = (values.iter())
            .map(|(key, value)| (key.into(), Some(value.clone())))
            .collect();
        self.write(&[], &own).await
    }

    async fn write(&self, records: &[Change], own: &[Change]) -> Result<(), EffectError> {
        let transaction = self.begin().map_err(storage::failed)?;
        let filled = fill(&transaction, RECORDS, records);
        if let Err(error) = filled.and_then(|()| fill(&transaction, KEYS, own)) {
            let _ = transaction.abort();
            return Err(storage::failed(error));
        }
        committed(&transaction).await.map_err(storage::failed)
    }

    fn begin(&self) -> Result<IdbTransaction, JsValue> {
        let stores = js::list(&[RECORDS.into(), KEYS.into()]);
        let options = js::object(&[("durability", "strict".into())]);
        let arguments = [stores.into(), "readwrite".into(), options];
        js::call(&self.database, "transaction", &arguments).map(JsCast::unchecked_into)
    }
}

/// A key and its new value, or `None` to delete it.
type Change = (JsValue, Option<JsValue>);

fn fill(transaction: &IdbTransaction, store: &str, changes: &[Change]) -> Result<(), JsValue> {
    let store = transaction.object_store(store)?;
    for (key, value) in changes {
        match value {
            Some(value) => store.put_with_key(value, key)?,
            None => store.delete(key)?,
        };
    }
    Ok(())
}

impl Drop for Records {
    fn drop(&mut self) {
        js::close(&self.database);
    }
}

async fn open_database(name: &str) -> Result<IdbDatabase, String> {
    let factory = js::field(&js::worker(), "indexedDB");
    if !factory.is_object() {
        return Err("IndexedDB is not available: leave private browsing".to_owned());
    }
    let request = factory
        .unchecked_into::<IdbFactory>()
        .open_with_u32(name, VERSION)
        .map_err(js::error_text)?;
    let _upgrade = EventListener::new(&request, "upgradeneeded", {
        let request = request.clone();
        move |_| make_stores(&request)
    });
    answer(&request)
        .await
        .map(JsCast::unchecked_into)
        .map_err(js::error_text)
}

/// One of the edge's own values; `undefined` if it is not there.
async fn own(database: &IdbDatabase, key: &str) -> Result<JsValue, String> {
    let request = database
        .transaction_with_str(KEYS)
        .and_then(|transaction| transaction.object_store(KEYS))
        .and_then(|store| store.get(&JsValue::from_str(key)))
        .map_err(js::error_text)?;
    answer(&request).await.map_err(js::error_text)
}

fn make_stores(request: &IdbOpenDbRequest) {
    let Ok(database) = request.result().map(IdbDatabase::from) else {
        return;
    };
    for store in [RECORDS, KEYS] {
        // A failure aborts the upgrade, and the request answers with it. A store that is there stays as it is.
        let _ = database.create_object_store(store);
    }
}

/// Waits for a request's `success` or `error`.
async fn answer(request: &IdbRequest) -> Result<JsValue, JsValue> {
    if first_of(request, "success", "error").await {
        request.result()
    } else {
        Err(js::field(request, "error"))
    }
}

/// Waits for a transaction's `complete` or `abort`; its `error` is always followed by `abort`.
async fn committed(transaction: &IdbTransaction) -> Result<(), JsValue> {
    if first_of(transaction, "complete", "abort").await {
        Ok(())
    } else {
        Err(js::field(transaction, "error"))
    }
}

/// Whether the event `good` comes, and not `bad`.
async fn first_of(target: &EventTarget, good: &'static str, bad: &'static str) -> bool {
    let (sender, receiver) = oneshot::channel();
    let sender = Rc::new(Cell::new(Some(sender)));
    let _bad = EventListener::new(target, bad, {
        let sender = Rc::clone(&sender);
        move |_| drop(sender.take())
    });
    let _good = EventListener::new(target, good, move |_| {
        if let Some(sender) = sender.take() {
            let _ = sender.send(());
        }
    });
    receiver.await.is_ok()
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
