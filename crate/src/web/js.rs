//! Reading and making JavaScript values: the one place where their shapes are taken apart.
//!
//! A page's message is untrusted: a missing or mistyped field reads as `None`, never as a panic.

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use gloo_events::EventListener;
use js_sys::{Array, ArrayBuffer, BigInt, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent, MessagePort};

/// The most bytes that are taken from one value of a page (a .torrent file).
pub const MAX_BYTES_FROM_PAGE: u32 = 32 << 20;

/// Hears the messages of a port of this engine, which begin to come now.
pub fn listen(port: &MessagePort, mut hear: impl FnMut(JsValue) + 'static) -> EventListener {
    let listener = EventListener::new(port, "message", move |event| {
        hear(event.unchecked_ref::<MessageEvent>().data());
    });
    port.start();
    listener
}

/// The worker that this engine runs in.
pub fn worker() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// A field; `undefined` if it is not there.
pub fn field(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(key)).unwrap_or(JsValue::UNDEFINED)
}

/// A text field.
pub fn text(object: &JsValue, key: &str) -> Option<String> {
    field(object, key).as_string()
}

/// A field that holds a whole number that a double represents exactly.
pub fn number(object: &JsValue, key: &str) -> Option<u64> {
    let value = field(object, key).as_f64()?;
    ((0.0..=9_007_199_254_740_991.0).contains(&value) && value.fract() == 0.0)
        .then_some(value as u64)
}

/// A field that is true or false.
pub fn flag(object: &JsValue, key: &str) -> Option<bool> {
    field(object, key).as_bool()
}

/// A field that holds an amount as a BigInt.
pub fn amount(object: &JsValue, key: &str) -> Option<u128> {
    u128::try_from(field(object, key)).ok()
}

/// A field that holds an address as 0x and 40 hexadecimal digits.
pub fn address(object: &JsValue, key: &str) -> Option<Address> {
    text(object, key)?.parse().ok()
}

/// A field that holds 32 bytes as 0x and 64 hexadecimal digits.
pub fn word(object: &JsValue, key: &str) -> Option<B256> {
    text(object, key)?.parse().ok()
}

/// A list of texts, at most `max` of them.
pub fn texts(object: &JsValue, key: &str, max: usize) -> Vec<String> {
    let Ok(list) = field(object, key).dyn_into::<Array>() else {
        return Vec::new();
    };
    list.iter()
        .take(max)
        .filter_map(|v| v.as_string())
        .collect()
}

/// A list of whole numbers, at most `max` of them; others are left out.
pub fn numbers(object: &JsValue, key: &str, max: usize) -> Option<Vec<u32>> {
    let list = field(object, key).dyn_into::<Array>().ok()?;
    let number = |value: JsValue| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
        (0.0..=f64::from(u32::MAX))
            .contains(&number)
            .then_some(number as u32)
    };
    Some(list.iter().take(max).filter_map(number).collect())
}

/// The bytes of an ArrayBuffer or Uint8Array of at most `max` bytes: the one copy into wasm memory.
pub fn bytes(value: &JsValue, max: u32) -> Option<Bytes> {
    let view = if let Some(buffer) = value.dyn_ref::<ArrayBuffer>() {
        Uint8Array::new(buffer)
    } else {
        value.dyn_ref::<Uint8Array>()?.clone()
    };
    (view.length() <= max).then(|| Bytes::from(view.to_vec()))
}

/// An object of these fields.
pub fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (key, value) in fields {
        set(&object, key, value);
    }
    object.into()
}

/// Sets a field of an object of this engine, which cannot fail.
pub fn set(object: &JsValue, key: &str, value: &JsValue) {
    let _ = Reflect::set(object, &JsValue::from_str(key), value);
}

/// An amount as a BigInt.
pub fn big(amount: u128) -> JsValue {
    BigInt::from(amount).into()
}

/// A count or a size as a number.
pub fn num(count: u64) -> JsValue {
    JsValue::from_f64(count as f64)
}

/// A copy of these bytes in a JS buffer of its own.
pub fn buffer(bytes: &[u8]) -> Uint8Array {
    Uint8Array::from(bytes)
}

/// The text of a thrown value: the only conversion of a JS error.
pub fn error_text(error: JsValue) -> String {
    let message = text(&error, "message")
        .or_else(|| error.as_string())
        .unwrap_or_else(|| "unknown error".to_owned());
    // Only a DOMException has a code, and only its name says more than its message.
    match (number(&error, "code"), text(&error, "name")) {
        (Some(_), Some(name)) => format!("{name}: {message}"),
        _ => message,
    }
}

/// Whether a thrown value is a DOMException of that name.
pub fn is_error(error: &JsValue, name: &str) -> bool {
    text(error, "name").as_deref() == Some(name)
}

/// A list of these values.
pub fn list(values: &[JsValue]) -> Array {
    let list = Array::new();
    for value in values {
        list.push(value);
    }
    list
}

/// Calls a method by name. It serves methods that web-sys does not type, and those that are called so rarely that their
/// binding would weigh more than the name.
pub fn call(object: &JsValue, method: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let function: Function = field(object, method).dyn_into()?;
    function.apply(object, &list(arguments))
}

#[wasm_bindgen]
extern "C" {
    type Closes;

    #[wasm_bindgen(method)]
    fn close(this: &Closes);
}

/// Closes a value that has a `close` method.
pub fn close(what: &JsValue) {
    what.unchecked_ref::<Closes>().close();
}

/// Waits for a promise.
pub fn settled(promise: &JsValue) -> JsFuture {
    JsFuture::from(Promise::resolve(promise))
}
