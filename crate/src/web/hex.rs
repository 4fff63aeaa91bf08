//! Bytes as wallets and nodes write them: 0x and hexadecimal digits.

use alloy_primitives::hex;

/// 0x and lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    hex::encode_prefixed(bytes)
}

/// The bytes of 0x and an even number of digits, at most `max` of them.
pub fn from_hex(text: &str, max: usize) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    if digits.len() % 2 != 0 || digits.len() / 2 > max {
        return None;
    }
    let mut bytes = vec![0; digits.len() / 2];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}
