//! Readers of a torrent's files: a service worker that answers a `Range` request, or a page.
//!
//! A reader holds the other end of a `MessagePort` and pulls one chunk at a time. The engine never sends a chunk that
//! the reader did not ask for. The engine first posts `{length, start, end}`, or `{error, status}`. The reader posts
//! `"pull"` or `"cancel"`. The answer to each pull is one ArrayBuffer, and at the end `"end"`. Instead of `"pull"` the
//! reader may post the ArrayBuffer that it is done with: the next chunk comes in that, if it is as long.
//!
//! A reader that has all chunks that it asked for and pulls nothing for [`IDLE`] loses its deadlines in the core. Its
//! next pull opens a new core stream where the last one stopped.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::rc::Weak;

use bytes::Bytes;
use gloo_events::EventListener;
use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::MessagePort;

use super::driver::Driver;
use super::js;
use crate::io::Command;
use crate::sorted::Map;
use crate::time::Timestamp;
use crate::types::{InfoHash, StreamId};

/// The time without a pull after which a reader loses its deadlines.
const IDLE: Duration = Duration::from_secs(10);
/// Readers at once, at most. One more takes the place of the longest idle one, or is refused.
const MAX_READERS: usize = 128;

/// All readers.
pub struct Streams {
    driver: Weak<Driver>,
    readers: RefCell<Map<u64, Reader>>,
    /// The reader of each core stream.
    streams: RefCell<Map<StreamId, u64>>,
    next: Cell<u64>,
}

struct Reader {
    port: MessagePort,
    _on_message: EventListener,
    wanted: Wanted,
    state: State,
    last_pull: Timestamp,
    /// The buffer that it gave back.
    spent: Option<ArrayBuffer>,
    /// Pulls that are not yet answered. A reader with such a pull waits for the engine, however long that takes.
    owed: u32,
}

/// The bytes that a reader asked for.
#[derive(Clone, Copy)]
struct Wanted {
    info_hash: InfoHash,
    file: u32,
    start: u64,
    /// One past the last byte. It is narrowed to the file's length once that is known.
    end: u64,
    /// The number of bytes at the end of the file, if the reader asked for these.
    suffix: Option<u64>,
    /// The longest answer, however much the reader asked for.
    longest: u64,
    /// A player's: it asks again for what comes after the longest answer.
    plays: bool,
}

#[derive(Clone, Copy)]
enum State {
    /// The reader waits for the metadata.
    Waiting,
    /// The core holds a stream for it.
    Reading { stream: StreamId, next: u64 },
    /// The reader pulled nothing for too long.
    Idle { next: u64 },
}

impl Streams {
    /// No readers.
    pub fn new(driver: Weak<Driver>) -> Streams {
        Streams {
            driver,
            readers: RefCell::default(),
            streams: RefCell::default(),
            next: Cell::new(1),
        }
    }

    /// Takes up a reader: `{hash, file, start?, end?, suffix?, longest?, port}`.
    pub fn open(&self, message: &JsValue) {
        let Ok(port) = js::field(message, "port").dyn_into::<MessagePort>() else {
            return;
        };
        let wanted = js::text(message, "hash")
            .and_then(|hash| InfoHash::from_hex(&hash))
            .zip(js::number(message, "file").and_then(|file| u32::try_from(file).ok()))
            .map(|(info_hash, file)| Wanted {
                info_hash,
                file,
                start: js::number(message, "start").unwrap_or(0),
                end: js::number(message, "end").unwrap_or(u64::MAX),
                suffix: js::number(message, "suffix"),
                longest: js::number(message, "longest").unwrap_or(u64::MAX),
                plays: js::number(message, "longest").is_some(),
            });
        let known = |wanted: Wanted| {
            self.driver
                .upgrade()
                .is_some_and(|driver| driver.look(|core| core.torrent(wanted.info_hash).is_some()))
        };
        match wanted {
            Some(wanted) if known(wanted) => self.take_up(port, wanted),
            _ => refuse(&port, 404, "no such file"),
        }
    }

    /// The time at which [`Streams::close_idle`] has something to do.
    pub fn deadline(&self) -> Timestamp {
        self.readers
            .borrow()
            .values()
            .filter(|reader| matches!(reader.state, State::Reading { .. }) && reader.owed == 0)
            .map(|reader| reader.last_pull + IDLE)
            .min()
            .unwrap_or(Timestamp::NEVER)
    }

    /// Takes the deadlines from readers that pulled nothing for [`IDLE`].
    pub fn close_idle(&self, now: Timestamp) {
        let mut closed = Vec::new();
        for reader in self.readers.borrow_mut().values_mut() {
            if let State::Reading { stream, next } = reader.state
                && reader.owed == 0
                && reader.last_pull + IDLE <= now
            {
                reader.state = State::Idle { next };
                closed.push(stream);
            }
        }
        for stream in closed {
            self.close_stream(stream);
        }
    }

    /// The metadata is there, so the readers that waited for it are answered.
    pub fn resume_waiting(&self, info_hash: InfoHash) {
        let waiting: Vec<u64> = self
            .readers
            .borrow()
            .iter()
            .filter(|(_, reader)| {
                reader.wanted.info_hash == info_hash && matches!(reader.state, State::Waiting)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.begin(id);
        }
    }

    /// Gives a reader one chunk from the core.
    pub fn deliver(&self, stream: StreamId, data: &Bytes, last: bool) {
        let Some(id) = self.streams.borrow().get(&stream).copied() else {
            return;
        };
        {
            let mut readers = self.readers.borrow_mut();
            let Some(reader) = readers.get_mut(&id) else {
                return;
            };
            if let State::Reading { next, .. } = &mut reader.state {
                *next += data.len() as u64;
            }
            // Idle time counts from here, because it is the time in which the reader asks for nothing.
            reader.owed = reader.owed.saturating_sub(1);
            reader.last_pull = Driver::now();
            let spent = (reader.spent.take()).filter(|b| b.byte_length() as usize == data.len());
            let buffer = match spent {
                Some(buffer) => {
                    Uint8Array::new(&buffer).copy_from(data);
                    buffer
                }
                None => js::buffer(data).buffer(),
            };
            let _ = reader
                .port
                .post_message_with_transferable(&buffer, &js::list(&[buffer.clone().into()]));
        }
        if last {
            self.streams.borrow_mut().remove(&stream);
            self.end(id, &JsValue::from_str("end"));
        }
    }

    /// The core ended a stream early, so its reader is told.
    pub fn fail(&self, stream: StreamId, reason: &str) {
        let id = self.streams.borrow_mut().remove(&stream);
        if let Some(id) = id {
            self.end(
                id,
                &js::object(&[
                    ("error", JsValue::from_str(reason)),
                    ("status", js::num(500)),
                ]),
            );
        }
    }

    fn take_up(&self, port: MessagePort, wanted: Wanted) {
        if self.readers.borrow().len() >= MAX_READERS && !self.forget_longest_idle() {
            return refuse(&port, 503, "too many readers at once");
        }
        let id = self.next.get();
        self.next.set(id + 1);
        let on_message = js::listen(&port, {
            let driver = Weak::clone(&self.driver);
            move |message| {
                let Some(driver) = driver.upgrade() else {
                    return;
                };
                match message.dyn_into::<ArrayBuffer>() {
                    Ok(spent) => driver.streams.pull(id, Some(spent)),
                    Err(word) if word == "pull" => driver.streams.pull(id, None),
                    Err(_) => driver.streams.cancel(id),
                }
            }
        });
        self.readers.borrow_mut().insert(
            id,
            Reader {
                port,
                _on_message: on_message,
                wanted,
                state: State::Waiting,
                last_pull: Driver::now(),
                spent: None,
                owed: 0,
            },
        );
        self.begin(id);
    }

    /// Ends the longest idle reader. A service worker that the browser killed never reports that it is gone.
    fn forget_longest_idle(&self) -> bool {
        let longest = self
            .readers
            .borrow()
            .iter()
            .filter(|(_, reader)| matches!(reader.state, State::Idle { .. }))
            .min_by_key(|(_, reader)| reader.last_pull)
            .map(|(id, _)| *id);
        longest.inspect(|id| self.cancel(*id)).is_some()
    }

    /// Answers with the head as soon as the file's length is known.
    fn begin(&self, id: u64) {
        let Some(driver) = self.driver.upgrade() else {
            return;
        };
        let Some(mut wanted) = self.readers.borrow().get(&id).map(|reader| reader.wanted) else {
            return;
        };
        let Some(torrent) = driver.look(|core| core.torrent(wanted.info_hash)) else {
            return self.end(id, &refusal(404, "no such torrent"));
        };
        if torrent.files.is_empty() {
            return; // the metadata is still to come
        }
        let Some((_, length)) = torrent.files.get(wanted.file as usize) else {
            return self.end(id, &refusal(404, "no such file"));
        };
        let length = *length;
        if let Some(suffix) = wanted.suffix {
            wanted.start = length.saturating_sub(suffix);
        }
        if wanted.start > length || (wanted.start == length && length > 0) {
            let head = refusal(416, "the range lies outside the file");
            js::set(&head, "length", &js::num(length));
            return self.end(id, &head);
        }
        wanted.end = wanted
            .end
            .min(length)
            .min(wanted.start.saturating_add(wanted.longest))
            .max(wanted.start);
        let head = js::object(&[
            ("length", js::num(length)),
            ("start", js::num(wanted.start)),
            ("end", js::num(wanted.end)),
        ]);
        if wanted.start == wanted.end {
            let _ = self.post(id, &head);
            return self.end(id, &JsValue::from_str("end"));
        }
        if let Some(reader) = self.readers.borrow_mut().get_mut(&id) {
            reader.wanted = wanted;
            reader.last_pull = Driver::now();
            reader.state = State::Idle { next: wanted.start };
        }
        let _ = self.post(id, &head);
        self.open_stream(&driver, id);
    }

    fn pull(&self, id: u64, spent: Option<ArrayBuffer>) {
        let Some(driver) = self.driver.upgrade() else {
            return;
        };
        let state = {
            let mut readers = self.readers.borrow_mut();
            let Some(reader) = readers.get_mut(&id) else {
                return;
            };
            reader.last_pull = Driver::now();
            reader.owed = reader.owed.saturating_add(1);
            reader.spent = spent;
            reader.state
        };
        let stream = match state {
            State::Waiting => return,
            State::Reading { stream, .. } => Some(stream),
            State::Idle { .. } => self.open_stream(&driver, id),
        };
        if let Some(stream) = stream {
            driver.command(Command::PullStream { stream });
        }
    }

    /// Opens a core stream for the rest of an idle reader's bytes.
    fn open_stream(&self, driver: &Driver, id: u64) -> Option<StreamId> {
        let (stream, wanted, next) = {
            let mut readers = self.readers.borrow_mut();
            let reader = readers.get_mut(&id)?;
            let State::Idle { next } = reader.state else {
                return None;
            };
            let stream = StreamId(self.next.get());
            self.next.set(stream.0 + 1);
            reader.state = State::Reading { stream, next };
            (stream, reader.wanted, next)
        };
        self.streams.borrow_mut().insert(stream, id);
        driver.command(Command::OpenStream {
            stream,
            info_hash: wanted.info_hash,
            file: wanted.file,
            offset: next,
            length: wanted.end - next,
            plays: wanted.plays,
        });
        Some(stream)
    }

    fn cancel(&self, id: u64) {
        let removed = self.readers.borrow_mut().remove(&id);
        if let Some(reader) = removed {
            js::close(&reader.port);
            if let State::Reading { stream, .. } = reader.state {
                self.close_stream(stream);
            }
        }
    }

    fn close_stream(&self, stream: StreamId) {
        self.streams.borrow_mut().remove(&stream);
        if let Some(driver) = self.driver.upgrade() {
            driver.command(Command::CloseStream { stream });
        }
    }

    fn post(&self, id: u64, message: &JsValue) -> Option<()> {
        let readers = self.readers.borrow();
        readers.get(&id)?.port.post_message(message).ok()
    }

    fn end(&self, id: u64, message: &JsValue) {
        let removed = self.readers.borrow_mut().remove(&id);
        if let Some(reader) = removed {
            let _ = reader.port.post_message(message);
            js::close(&reader.port);
        }
    }
}

fn refuse(port: &MessagePort, status: u64, reason: &str) {
    let _ = port.post_message(&refusal(status, reason));
    js::close(port);
}

fn refusal(status: u64, reason: &str) -> JsValue {
    js::object(&[
        ("error", JsValue::from_str(reason)),
        ("status", js::num(status)),
    ])
}
