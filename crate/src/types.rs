//! The words every module shares: identifiers, indices and money.

use chacha20::ChaCha20Rng;
use core::fmt;
use rand_core::Rng;

/// Length of every block but the last of a piece (BEP 3: 16 KiB).
pub const BLOCK_LEN: u32 = 16 * 1024;

/// The loss that a record outlives when its write has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of this process. It outlives a loss of power a little later.
    Process,
    /// A loss of the machine's power, as all records that were written before it.
    PowerLoss,
}

macro_rules! id20 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 20]);

        impl $name {
            /// Lower-case hexadecimal, 40 digits.
            pub fn to_hex(self) -> String {
                self.0.iter().map(|b| format!("{b:02x}")).collect()
            }

            /// From 40 hexadecimal digits of either case.
            pub fn from_hex(s: &str) -> Option<Self> {
                let s = s.as_bytes();
                if s.len() != 40 {
                    return None;
                }
                let mut out = [0u8; 20];
                for (o, pair) in out.iter_mut().zip(s.chunks_exact(2)) {
                    let hi = char::from(pair[0]).to_digit(16)?;
                    let lo = char::from(pair[1]).to_digit(16)?;
                    *o = (hi * 16 + lo) as u8;
                }
                Some($name(out))
            }
        }
    };
}

id20! {
    /// SHA-1 of a torrent's info dictionary (BEP 3).
    InfoHash
}
id20! {
    /// A peer's id (BEP 20 style prefix, then random).
    PeerId
}

impl PeerId {
    /// An id of the same client and version (BEP 20: the first eight bytes); the rest is drawn.
    pub fn redrawn(mut self, rng: &mut ChaCha20Rng) -> PeerId {
        const ALPHABET: &[u8; 64] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
        for byte in &mut self.0[8..] {
            *byte = ALPHABET[(rng.next_u32() % 64) as usize];
        }
        self
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

// A peer id names a person's browser: logs get its client prefix only.
impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix: String = self.0[..8]
            .iter()
            .map(|b| {
                if b.is_ascii_graphic() {
                    char::from(*b)
                } else {
                    '.'
                }
            })
            .collect();
        write!(f, "{prefix}…")
    }
}

/// A piece of a torrent, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(pub u32);

/// One block: `length` bytes from byte `begin` of piece `piece` (BEP 3 `request`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// The piece.
    pub piece: PieceIndex,
    /// First byte within the piece.
    pub begin: u32,
    /// Bytes from `begin` on; we ask for [`BLOCK_LEN`], or for less at the end of a piece.
    pub length: u32,
}

/// One peer connection (one data channel). Assigned by the core, never reused in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One piece of work that the core gave to the edge. Never reused in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId(pub u64);

/// One reader of a file (a `Range` request of a player, or an API read). Assigned by the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// One request to a web seed. Never reused in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebRequestId(pub u64);

/// One tracker, by its place in the client's table. Never reused in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerId(pub u32);

/// Whole base units of the vault's ERC-20 token (for a 6-decimal token, millionths).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenUnits(pub u128);

/// 2^-24 of a token base unit: the unit of prices and of amounts owed (docs/protocol.md, "Fine units").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FineUnits(pub u128);

impl FineUnits {
    /// The whole token units contained, the rest cut off.
    pub const fn floor(self) -> TokenUnits {
        TokenUnits(self.0 >> 24)
    }

    /// The price per block for a price in token base units per 10^9 bytes, rounded up.
    pub const fn per_block_from_per_gb(token_units_per_gb: u128) -> FineUnits {
        let numerator = token_units_per_gb.saturating_mul((BLOCK_LEN as u128) << 24);
        FineUnits(numerator.div_ceil(1_000_000_000))
    }

    /// The price in token base units per 10^9 bytes for a price per block, rounded down.
    pub const fn per_gb_from_per_block(self) -> TokenUnits {
        TokenUnits(self.0.saturating_mul(1_000_000_000) / ((BLOCK_LEN as u128) << 24))
    }
}

impl TokenUnits {
    /// The same amount in fine units.
    pub const fn fine(self) -> FineUnits {
        FineUnits(self.0.saturating_mul(1 << 24))
    }
}

/// `amount * times / of`; as much as there can be where that is more.
pub(crate) fn scaled(amount: u64, times: u128, of: u128) -> u64 {
    // Nearly always all of it fits in 64 bits. A page loads what divides 128 bits only when it must.
    if let (Ok(times), Ok(of)) = (u64::try_from(times), u64::try_from(of))
        && let Some(product) = amount.checked_mul(times)
    {
        return product / of;
    }
    u64::try_from(u128::from(amount).saturating_mul(times) / of).unwrap_or(u64::MAX)
}

/// Whether a stranger's character may stand in text that people read: no control character, and none that turns the
/// direction of the text around (UAX 9) or is not seen at all.
pub fn is_shown(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scaled_is_exact_and_ends_at_the_most_there_is() {
        let wide = u128::from(u64::MAX);
        for (amount, times, of, expected) in [
            (0, 5, 3, 0),
            (7, 5, 3, 11),
            (u64::MAX, 1_000_000, 1_000_000, u64::MAX),
            (u64::MAX, 1_000_000, 2_000_000, u64::MAX / 2),
            (u64::MAX, 2, 1, u64::MAX),
            (3, wide * 4, wide * 2, 6),
        ] {
            assert_eq!(
                scaled(amount, times, of),
                expected,
                "{amount} * {times} / {of}"
            );
        }
    }
}
