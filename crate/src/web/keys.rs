//! The session key and the payee key. The engine makes them here and uses them here, and they never leave the worker.
//!
//! At rest each is encrypted (AES-GCM) with one key that WebCrypto made non-extractable and keeps in IndexedDB. The
//! session key signs vouchers and nothing else. The payee key signs redemptions, and unlike the session key it is
//! money.
//!
//! Beside them lies the number of this start. The pages keep it too, in `localStorage`, which other tools back up and
//! restore. A greater number there was given by a start that this database does not know, so the buyer may have
//! promised more than the database records. Only the start that meets it can tell. It marks all session keys for good,
//! in the transaction that stores its own number.

use core::cell::{Cell, RefCell};

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use js_sys::{Object, Uint8Array};
use k256::ecdsa::SigningKey;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Crypto, CryptoKey};

use super::hash::subtle;
use super::js;
use super::records::Records;
use crate::io::Signature;

/// The name of the wrapping key's record.
const WRAP: &str = "wrap";
/// The prefix of the vault and chain that a session key is for.
const SESSION: &str = "session ";
/// The prefix of the name of a session key that may have promised more than is on record. The mark's value is the key
/// itself as it was stored then, so the mark does not hold for a key that took its place.
const BEHIND: &str = "behind ";
/// The name of the last start's number.
const GENERATION: &str = "generation";
/// The longest wrapped key that is read back, in bytes.
const MAX_STORED_LEN: u32 = 1024;
const NONCE_LEN: usize = 12;
const SECRET_LEN: usize = 32;

/// Both keys, in memory.
pub struct Keys {
    wrap: CryptoKey,
    session: RefCell<SigningKey>,
    /// Whether a new session key is being stored.
    renewing: Cell<bool>,
    payee: SigningKey,
    session_record: String,
    generation: u64,
    behind: Cell<bool>,
}

impl Keys {
    /// Loads the keys, and makes and stores those that are missing. `account` names the vault and chain of the session
    /// key, because a session key is fixed for each account. `seen` is the greatest number of a start that the page
    /// knows.
    pub async fn open(records: &Records, account: &str, seen: Option<u64>) -> Result<Keys, String> {
        let mut own = records.all_own().await?;
        let generation = begin(records, &mut own, seen.unwrap_or(0)).await?;
        let wrap = wrapping_key(records, &own).await?;
        let session_record = format!("{SESSION}{account}");
        let session = stored_or_new(records, &own, &wrap, &session_record).await?;
        let payee = stored_or_new(records, &own, &wrap, "payee").await?;
        let mark = bytes(stored(&own, &format!("{BEHIND}{session_record}")));
        let behind = mark.is_some() && mark == bytes(stored(&own, &session_record));
        Ok(Keys {
            wrap,
            session: RefCell::new(session),
            renewing: Cell::new(false),
            payee,
            session_record,
            generation,
            behind: Cell::new(behind),
        })
    }

    /// The number of this start.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the session key may have promised more than the database has on record.
    pub fn is_behind(&self) -> bool {
        self.behind.get()
    }

    /// The address that signs vouchers.
    pub fn session_address(&self) -> Address {
        address(&self.session.borrow())
    }

    /// The address that is paid.
    pub fn payee_address(&self) -> Address {
        address(&self.payee)
    }

    /// Replaces the session key `old`, because an account is dead for ever after `withdraw`. If another page was first,
    /// answers the key that was made for that page: a deposit for a key that was replaced at once could only be
    /// withdrawn again.
    pub async fn renew_session(&self, records: &Records, old: Address) -> Result<Address, String> {
        if self.session_address() != old {
            return Ok(self.session_address());
        }
        if self.renewing.replace(true) {
            return Err("a new session key is being made for another page: try again".to_owned());
        }
        let made = make(records, &self.wrap, &self.session_record).await;
        self.renewing.set(false);
        let key = made?;
        let address = address(&key);
        *self.session.borrow_mut() = key;
        self.behind.set(false);
        Ok(address)
    }

    /// Signs a voucher's digest.
    pub fn sign_voucher(&self, digest: B256) -> Result<Signature, String> {
        sign(&self.session.borrow(), digest)
    }

    /// Signs a redemption's digest.
    pub fn sign_redemption(&self, digest: B256) -> Result<Signature, String> {
        sign(&self.payee, digest)
    }
}

/// Signs as EIP-2098 has it, with low s (k256 normalises s and the recovery id together).
fn sign(key: &SigningKey, digest: B256) -> Result<Signature, String> {
    let (signature, recovery) = key
        .sign_prehash_recoverable(digest.as_slice())
        .map_err(|_| "the key refused the digest".to_owned())?;
    let r = B256::from_slice(&signature.r().to_bytes());
    let mut vs = B256::from_slice(&signature.s().to_bytes());
    if recovery.is_y_odd() {
        vs.0[0] |= 0x80;
    }
    Ok(Signature { r, vs })
}

fn address(key: &SigningKey) -> Address {
    let point = key.verifying_key().to_encoded_point(false);
    Address::from_raw_public_key(&point.as_bytes()[1..])
}

/// The values that the edge has stored for itself, by name.
type Own = [(String, JsValue)];

/// The value of that name. Of several the last one counts.
fn stored<'a>(own: &'a Own, name: &str) -> Option<&'a JsValue> {
    let named = own.iter().rfind(|(stored, _)| stored == name);
    named.map(|(_, value)| value)
}

/// Numbers this start. `seen` is the greatest number that the page knows. If it is greater than the database's, the
/// stored session keys are marked.
async fn begin(
    records: &Records,
    own: &mut Vec<(String, JsValue)>,
    seen: u64,
) -> Result<u64, String> {
    let stored = stored(own, GENERATION)
        .and_then(JsValue::as_f64)
        .map_or(0, |number| number as u64);
    let generation = stored.max(seen).saturating_add(1);
    let mut news = vec![(GENERATION.to_owned(), js::num(generation))];
    if seen > stored {
        let keys = own.iter().filter(|(name, _)| name.starts_with(SESSION));
        news.extend(keys.map(|(name, key)| (format!("{BEHIND}{name}"), key.clone())));
    }
    // The number is durable before a page hears of it: a loss of power never makes the database look restored.
    records
        .put_all_own(&news)
        .await
        .map_err(|e| e.to_string())?;
    own.extend(news);
    Ok(generation)
}

fn bytes(stored: Option<&JsValue>) -> Option<Bytes> {
    js::bytes(stored?, MAX_STORED_LEN)
}

async fn stored_or_new(
    records: &Records,
    own: &Own,
    wrap: &CryptoKey,
    name: &str,
) -> Result<SigningKey, String> {
    let stored = stored(own, name);
    if stored.is_none() {
        return make(records, wrap, name).await;
    }
    // A stored value is never written over: a later version may store keys in another form.
    let stored = bytes(stored).ok_or_else(|| damaged(name))?;
    let (nonce, sealed) = stored
        .split_at_checked(NONCE_LEN)
        .ok_or_else(|| damaged(name))?;
    let plain = subtle()
        .decrypt_with_object_and_u8_array(&gcm(nonce), wrap, sealed)
        .map_err(js::error_text)?;
    let plain = js::settled(&plain).await.map_err(|_| damaged(name))?;
    let plain = js::bytes(&plain, SECRET_LEN as u32).ok_or_else(|| damaged(name))?;
    SigningKey::from_slice(&plain).map_err(|_| damaged(name))
}

/// Makes a key. The caller gets it only once it is durable.
async fn make(records: &Records, wrap: &CryptoKey, name: &str) -> Result<SigningKey, String> {
    let (key, secret) = loop {
        let mut secret = [0u8; SECRET_LEN];
        fill_random(&mut secret)?;
        // This fails for one candidate in 2^128 (zero, or not below the group's order).
        if let Ok(key) = SigningKey::from_slice(&secret) {
            break (key, secret);
        }
    };
    let mut nonce = [0u8; NONCE_LEN];
    fill_random(&mut nonce)?;
    let sealed = subtle()
        .encrypt_with_object_and_u8_array(&gcm(&nonce), wrap, &secret)
        .map_err(js::error_text)?;
    let sealed = js::settled(&sealed).await.map_err(js::error_text)?;
    let sealed =
        js::bytes(&sealed, MAX_STORED_LEN).ok_or("the browser's AES-GCM answered nonsense")?;
    let stored = [&nonce[..], &sealed].concat();
    records
        .put_own(name, &js::buffer(&stored))
        .await
        .map_err(|e| e.to_string())?;
    Ok(key)
}

async fn wrapping_key(records: &Records, own: &Own) -> Result<CryptoKey, String> {
    if let Some(stored) = stored(own, WRAP) {
        return Ok(stored.clone().unchecked_into());
    }
    let algorithm: Object = js::object(&[
        ("name", JsValue::from_str("AES-GCM")),
        ("length", JsValue::from_f64(256.0)),
    ])
    .unchecked_into();
    let usages = js::list(&["encrypt".into(), "decrypt".into()]);
    let made = subtle()
        .generate_key_with_object(&algorithm, false, &usages)
        .map_err(js::error_text)?;
    let key = js::settled(&made).await.map_err(js::error_text)?;
    records
        .put_own(WRAP, &key)
        .await
        .map_err(|e| e.to_string())?;
    Ok(key.unchecked_into())
}

/// Entropy from the browser's cryptographic source.
pub fn fill_random(bytes: &mut [u8]) -> Result<(), String> {
    let crypto: Crypto = js::field(&js::worker(), "crypto").unchecked_into();
    crypto
        .get_random_values_with_u8_array(bytes)
        .map(|_| ())
        .map_err(js::error_text)
}

fn gcm(nonce: &[u8]) -> Object {
    js::object(&[
        ("name", JsValue::from_str("AES-GCM")),
        ("iv", Uint8Array::from(nonce).into()),
    ])
    .unchecked_into()
}

fn damaged(name: &str) -> String {
    format!(
        "the stored {} key cannot be read",
        name.split(' ').next().unwrap_or(name)
    )
}
