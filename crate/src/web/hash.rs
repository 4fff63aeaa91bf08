//! SHA-1 where it is fastest: in wasm for short runs, in the browser's own code for long ones.

use bytes::Bytes;
use js_sys::{Promise, Uint8Array};
use sha1::{Digest, Sha1};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::SubtleCrypto;

use super::js;

/// From this length on the browser's native code, which runs off this thread, outweighs the copy and the promise.
const NATIVE_FROM: usize = 64 * 1024;

/// SHA-1 of these chunks as one run of bytes.
pub async fn sha1_of_chunks(chunks: &[Bytes]) -> Result<[u8; 20], String> {
    let total: usize = chunks.iter().map(Bytes::len).sum();
    if total < NATIVE_FROM {
        let mut hash = Sha1::new();
        for chunk in chunks {
            hash.update(chunk);
        }
        return Ok(hash.finalize().into());
    }
    // The chunks are joined here first, because one call into JavaScript costs more than a copy. The browser takes its
    // own copy before it returns.
    let mut all = Vec::with_capacity(total);
    for chunk in chunks {
        all.extend_from_slice(chunk);
    }
    digested(subtle().digest_with_str_and_u8_array("SHA-1", &all)).await
}

/// SHA-1 of a JS buffer, by the browser.
pub async fn sha1_of_buffer(bytes: &Uint8Array) -> Result<[u8; 20], String> {
    digested(subtle().digest_with_str_and_js_u8_array("SHA-1", bytes)).await
}

/// The browser's own cryptography.
pub fn subtle() -> SubtleCrypto {
    js::field(&js::field(&js::worker(), "crypto"), "subtle").unchecked_into()
}

async fn digested(promise: Result<Promise, JsValue>) -> Result<[u8; 20], String> {
    let promise = promise.map_err(js::error_text)?;
    let digest = js::settled(&promise).await.map_err(js::error_text)?;
    js::bytes(&digest, 20)
        .and_then(|bytes| bytes.as_ref().try_into().ok())
        .ok_or_else(|| "the browser's SHA-1 has a wrong length".to_owned())
}
