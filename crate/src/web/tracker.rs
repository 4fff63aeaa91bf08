//! A tracker's WebSocket.
//!
//! Invariant: it reports its end exactly once, and nothing after it. It never interprets a message and
//! never reconnects: that is the core's decision.

use std::rc::Weak;

use bytes::Bytes;
use js_sys::JsString;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use super::driver::Driver;
use super::js;
use crate::io::Input;
use crate::types::TrackerId;

/// Longest message taken from a tracker; a longer one is dropped.
const MAX_MESSAGE: u32 = 256 * 1024;

/// A socket that the engine owns; dropping it unsets its handlers and closes it.
pub struct TrackerSocket {
    socket: WebSocket,
    _on_open: Closure<dyn FnMut()>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut(CloseEvent)>,
}

impl TrackerSocket {
    /// Begins to connect.
    pub fn connect(
        id: TrackerId,
        url: &str,
        driver: &Weak<Driver>,
    ) -> Result<TrackerSocket, String> {
        let socket = WebSocket::new(url).map_err(|e| js::error_text(&e))?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let input = {
            let driver = Weak::clone(driver);
            move |input: Input| {
                if let Some(driver) = driver.upgrade() {
                    driver.handle_tracker(id, input);
                }
            }
        };
        let on_open = Closure::<dyn FnMut()>::new({
            let input = input.clone();
            move || input(Input::TrackerConnected { tracker: id })
        });
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new({
            let input = input.clone();
            move |event: MessageEvent| {
                if let Some(text) = payload(&event.data()) {
                    input(Input::TrackerMessage { tracker: id, text });
                }
            }
        });
        // `error` is always followed by `close`, which alone says why.
        let on_close = Closure::<dyn FnMut(CloseEvent)>::new(move |event: CloseEvent| {
            let reason = match (event.code(), event.reason()) {
                (1006, _) => "the tracker could not be reached or went away".to_owned(),
                (code, reason) => format!("the tracker closed the connection ({code} {reason})"),
            };
            input(Input::TrackerClosed {
                tracker: id,
                reason,
            });
        });
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        Ok(TrackerSocket {
            socket,
            _on_open: on_open,
            _on_message: on_message,
            _on_close: on_close,
        })
    }

    /// Sends one text message; a socket that is not open drops it, and says so by closing.
    pub fn send(&self, text: &str) {
        let _ = self.socket.send_with_str(text);
    }
}

impl Drop for TrackerSocket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        let _ = self.socket.close();
    }
}

fn payload(data: &JsValue) -> Option<Bytes> {
    if let Some(text) = data.dyn_ref::<JsString>() {
        return (text.length() <= MAX_MESSAGE).then(|| Bytes::from(String::from(text)));
    }
    js::bytes(data, MAX_MESSAGE)
}
