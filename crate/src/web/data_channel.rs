//! One peer's data channel: a transferred `RTCDataChannel`, or a `MessagePort` to a page that holds it.
//!
//! Invariant: all handlers are set in the task in which the channel arrived, so no message is lost. Bytes are copied
//! into wasm memory once. It never interprets a message.

use core::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use bytes::Bytes;
use gloo_events::EventListener;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{MessageEvent, MessagePort, RtcDataChannel, RtcDataChannelState, RtcDataChannelType};

use super::driver::Driver;
use super::js;
use crate::types::ConnectionId;

/// The longest message that is taken from a peer. Every browser limits its own messages to this or less. A longer one
/// closes the channel.
const MAX_MESSAGE: u32 = 1 << 20;

/// The report of a channel.
pub enum ChannelEvent {
    /// Open in both directions.
    Open,
    /// One message.
    Message(Bytes),
    /// `bufferedAmount` fell to the low-water mark or below; holds the bytes that are still buffered.
    Drained(u64),
    /// Closed, or broken.
    Closed(String),
}

/// A channel that the engine owns; dropping it unsets its handlers and closes it.
pub enum Channel {
    /// Transferred into this worker.
    Transferred(Transferred),
    /// Held by the page (browsers whose channels cannot be transferred).
    Bridged(Bridged),
}

impl Channel {
    /// Takes the channel or port that the page posted; `None` if the value is neither.
    pub fn take(value: &JsValue, connection: ConnectionId, driver: &Weak<Driver>) -> Option<Self> {
        // A worker may hold a channel without having the constructor that `instanceof` asks for.
        if js::text(value, "readyState").is_some() {
            let channel: RtcDataChannel = value.clone().unchecked_into();
            return Some(Channel::Transferred(Transferred::new(
                channel, connection, driver,
            )));
        }
        let port: MessagePort = value.clone().dyn_into().ok()?;
        Some(Channel::Bridged(Bridged::new(port, connection, driver)))
    }

    /// The event that the channel had on its way here. The driver handles it right after the channel is in place.
    pub fn on_arrival(&self) -> Option<ChannelEvent> {
        let Channel::Transferred(channel) = self else {
            return None;
        };
        match channel.channel.ready_state() {
            // In Firefox the channel may have opened on the way, and only its state shows it.
            RtcDataChannelState::Open => Some(ChannelEvent::Open),
            RtcDataChannelState::Closing | RtcDataChannelState::Closed => Some(
                ChannelEvent::Closed("the data channel closed on its way".to_owned()),
            ),
            _ => None,
        }
    }

    /// Whether the channel can send. A bridge reports that by itself, before its first message.
    pub fn is_open(&self) -> bool {
        match self {
            Channel::Transferred(c) => c.channel.ready_state() == RtcDataChannelState::Open,
            Channel::Bridged(_) => true,
        }
    }

    /// Sends the chunks as one message.
    pub fn send(&mut self, chunks: &[Bytes], scratch: &mut Vec<u8>) -> Result<(), String> {
        let message: &[u8] = match chunks {
            [one] => one,
            many => {
                scratch.clear();
                for chunk in many {
                    scratch.extend_from_slice(chunk);
                }
                scratch
            }
        };
        match self {
            Channel::Transferred(channel) => channel
                .channel
                .send_with_u8_array(message)
                .map_err(js::error_text),
            Channel::Bridged(bridge) => bridge.send(message),
        }
    }

    /// The buffered bytes, if they are no more than the low-water mark. A bridge's page reports them by itself.
    pub fn drained(&self) -> Option<u64> {
        let Channel::Transferred(channel) = self else {
            return None;
        };
        let buffered = channel.channel.buffered_amount();
        (buffered <= channel.low_water.get()).then(|| u64::from(buffered))
    }

    /// Sets the mark at which [`ChannelEvent::Drained`] is reported.
    pub fn set_low_water(&self, bytes: u64) {
        match self {
            Channel::Transferred(channel) => {
                let low_water = u32::try_from(bytes).unwrap_or(u32::MAX);
                channel.low_water.set(low_water);
                (channel.channel).set_buffered_amount_low_threshold(low_water);
            }
            Channel::Bridged(bridge) => {
                let message = js::object(&[("lowWater", js::num(bytes))]);
                // A port never refuses a plain object.
                let _ = bridge.port.post_message(&message);
            }
        }
    }
}

/// A channel that lives in this worker.
pub struct Transferred {
    channel: RtcDataChannel,
    /// The mark that the channel was told, so that the driver need not ask the channel after each batch.
    low_water: Cell<u32>,
    _listeners: [EventListener; 5],
}

impl Transferred {
    fn new(channel: RtcDataChannel, connection: ConnectionId, driver: &Weak<Driver>) -> Self {
        let report = reporter(connection, driver);
        channel.set_binary_type(RtcDataChannelType::Arraybuffer);
        let on_message = EventListener::new(&channel, "message", {
            let report = report.clone();
            move |event| {
                let event: &MessageEvent = event.unchecked_ref();
                match js::bytes(&event.data(), MAX_MESSAGE) {
                    Some(bytes) => report(ChannelEvent::Message(bytes)),
                    None => report(ChannelEvent::Closed(
                        "the peer sent text or an oversized message".to_owned(),
                    )),
                }
            }
        });
        // Chromium may bring messages before this event. The driver keeps them until then.
        let on_open = EventListener::new(&channel, "open", {
            let report = report.clone();
            move |_| report(ChannelEvent::Open)
        });
        // `error` is always followed by `close`, and only `error` has the reason.
        let why = Rc::new(RefCell::new(None));
        let on_error = EventListener::new(&channel, "error", {
            let why = Rc::clone(&why);
            move |event| *why.borrow_mut() = Some(js::error_text(js::field(event, "error")))
        });
        let on_close = EventListener::new(&channel, "close", {
            let report = report.clone();
            move |_| {
                let why = why
                    .borrow_mut()
                    .take()
                    .map_or_else(String::new, |why| format!(": {why}"));
                report(ChannelEvent::Closed(format!(
                    "the data channel closed{why}"
                )));
            }
        });
        let on_low = EventListener::new(&channel, "bufferedamountlow", {
            let channel = channel.clone();
            move |_| report(ChannelEvent::Drained(u64::from(channel.buffered_amount())))
        });
        Transferred {
            channel,
            low_water: Cell::new(0),
            _listeners: [on_message, on_open, on_error, on_close, on_low],
        }
    }
}

impl Drop for Transferred {
    fn drop(&mut self) {
        js::close(&self.channel);
    }
}

/// A port to the page's bridge (`www/npm/src/bridge.ts`).
pub struct Bridged {
    port: MessagePort,
    _on_message: EventListener,
    /// The bytes that were posted to the page so far. The page reports how many of them it has handed to the channel.
    posted: Rc<Cell<u64>>,
}

impl Bridged {
    fn new(port: MessagePort, connection: ConnectionId, driver: &Weak<Driver>) -> Self {
        let report = reporter(connection, driver);
        let posted = Rc::new(Cell::new(0u64));
        let on_message = js::listen(&port, {
            let posted = Rc::clone(&posted);
            move |data| {
                if let Some(bytes) = js::bytes(&data, MAX_MESSAGE) {
                    report(ChannelEvent::Message(bytes));
                } else if let Some(word) = data.as_string() {
                    report(if word == "open" {
                        ChannelEvent::Open
                    } else {
                        ChannelEvent::Closed("the data channel closed".to_owned())
                    });
                } else if let (Some(taken), Some(buffered)) =
                    (js::number(&data, "taken"), js::number(&data, "buffered"))
                {
                    let underway = posted.get().saturating_sub(taken);
                    report(ChannelEvent::Drained(underway + buffered));
                }
            }
        });
        Bridged {
            port,
            _on_message: on_message,
            posted,
        }
    }

    fn send(&mut self, message: &[u8]) -> Result<(), String> {
        self.posted.set(self.posted.get() + message.len() as u64);
        let buffer = JsValue::from(js::buffer(message).buffer());
        self.port
            .post_message_with_transferable(&buffer, &js::list(core::slice::from_ref(&buffer)))
            .map_err(js::error_text)
    }
}

impl Drop for Bridged {
    fn drop(&mut self) {
        let _ = self.port.post_message(&JsValue::from_str("close"));
        js::close(&self.port);
    }
}

fn reporter(
    connection: ConnectionId,
    driver: &Weak<Driver>,
) -> impl Fn(ChannelEvent) + Clone + 'static {
    let driver = Weak::clone(driver);
    move |event| {
        if let Some(driver) = driver.upgrade() {
            driver.handle_channel(connection, event);
        }
    }
}
