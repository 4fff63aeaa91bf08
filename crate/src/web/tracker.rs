//! A tracker's WebSocket.
//!
//! Invariant: it reports its end exactly once, and nothing after it. It never interprets a message and never
//! reconnects, because the core decides that.

use std::rc::Weak;

use bytes::Bytes;
use gloo_events::EventListener;
use js_sys::JsString;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{BinaryType, MessageEvent, WebSocket};

use super::driver::Driver;
use super::js;
use crate::io::Input;
use crate::types::TrackerId;

/// The longest message that is taken from a tracker, in bytes; a longer one is dropped.
const MAX_MESSAGE: u32 = 256 * 1024;

/// A socket that the engine owns; dropping it ends its listeners and closes it.
pub struct TrackerSocket {
    socket: WebSocket,
    _listeners: [EventListener; 3],
}

impl TrackerSocket {
    /// Begins to connect.
    pub fn connect(
        id: TrackerId,
        url: &str,
        driver: &Weak<Driver>,
    ) -> Result<TrackerSocket, String> {
        let socket = WebSocket::new(url).map_err(js::error_text)?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let input = {
            let driver = Weak::clone(driver);
            move |input: Input| {
                if let Some(driver) = driver.upgrade() {
                    driver.handle_tracker(id, input);
                }
            }
        };
        let on_open = EventListener::new(&socket, "open", {
            let input = input.clone();
            move |_| input(Input::TrackerConnected { tracker: id })
        });
        let on_message = EventListener::new(&socket, "message", {
            let input = input.clone();
            move |event| {
                let event: &MessageEvent = event.unchecked_ref();
                if let Some(text) = payload(&event.data()) {
                    input(Input::TrackerMessage { tracker: id, text });
                }
            }
        });
        // `error` is always followed by `close`, and only `close` has the reason.
        let on_close = EventListener::new(&socket, "close", move |event| {
            let code = js::number(event, "code").unwrap_or(0);
            let reason = if code == 1006 {
                "the tracker could not be reached or went away".to_owned()
            } else {
                let reason = js::text(event, "reason").unwrap_or_default();
                format!("the tracker closed the connection ({code} {reason})")
            };
            input(Input::TrackerClosed {
                tracker: id,
                reason,
            });
        });
        Ok(TrackerSocket {
            socket,
            _listeners: [on_open, on_message, on_close],
        })
    }

    /// Sends one text message. A socket that is not open drops it, and reports that by closing.
    pub fn send(&self, text: &str) {
        let _ = self.socket.send_with_str(text);
    }
}

impl Drop for TrackerSocket {
    fn drop(&mut self) {
        js::close(&self.socket);
    }
}

fn payload(data: &JsValue) -> Option<Bytes> {
    if let Some(text) = data.dyn_ref::<JsString>() {
        return (text.length() <= MAX_MESSAGE).then(|| Bytes::from(String::from(text)));
    }
    js::bytes(data, MAX_MESSAGE)
}
