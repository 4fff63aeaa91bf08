//! SHA-1, where it is fastest: short runs in wasm, long ones in the browser's own code.

use bytes::Bytes;
use js_sys::Uint8Array;
use sha1::{Digest, Sha1};

use super::js;

/// From this length on the browser's native code, off this thread, outweighs the copy and the promise.
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
    // Joined here first: one call into JavaScript costs more than a copy.
    let mut all = Vec::with_capacity(total);
    for chunk in chunks {
        all.extend_from_slice(chunk);
    }
    let all = js::buffer(&all);
    sha1_of_buffer(&all).await
}

/// SHA-1 of a JS buffer, by the browser.
pub async fn sha1_of_buffer(bytes: &Uint8Array) -> Result<[u8; 20], String> {
    let failed = |e| js::error_text(&e);
    let subtle = js::worker().crypto().map_err(failed)?.subtle();
    let digest = subtle
        .digest_with_str_and_js_u8_array("SHA-1", bytes)
        .map_err(failed)?;
    let digest = js::settled(&digest).await.map_err(failed)?;
    js::bytes(&digest, 20)
        .and_then(|bytes| bytes.as_ref().try_into().ok())
        .ok_or_else(|| "the browser's SHA-1 has a wrong length".to_owned())
}
