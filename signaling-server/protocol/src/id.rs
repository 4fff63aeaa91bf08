//! The three 20-byte values and their form in JSON: 20 characters U+0000..=U+00FF.

use crate::lenient::Leaf;
use core::fmt;

macro_rules! id20 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 20]);

        impl $name {
            /// From a string of exactly 20 characters U+0000..=U+00FF.
            pub fn from_latin1(s: &str) -> Option<Self> {
                from_latin1(s).map($name)
            }
        }

        impl Leaf for $name {
            fn from_str(s: &str) -> Option<Self> {
                Self::from_latin1(s)
            }
        }
    };
}

id20! {
    /// SHA-1 of a torrent's info dictionary (BEP 3), or the first 20 bytes of a v2 one (BEP 52).
    InfoHash
}
id20! {
    /// A peer's id within a swarm (BEP 20).
    PeerId
}
id20! {
    /// Names one offer of one peer until it is answered.
    OfferId
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

// A peer id names a person's browser: logs get its client prefix (BEP 20) only.
impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].escape_ascii().fmt(f)?;
        f.write_str("…")
    }
}

impl fmt::Debug for OfferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        f.write_str("…")
    }
}

fn from_latin1(s: &str) -> Option<[u8; 20]> {
    let mut id = [0; 20];
    let mut chars = s.chars();
    for byte in &mut id {
        *byte = u8::try_from(u32::from(chars.next()?)).ok()?;
    }
    chars.next().is_none().then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_twenty_latin1_characters_make_an_id() {
        assert_eq!(InfoHash::from_latin1("a").map(|h| h.0), None);
        assert_eq!(
            InfoHash::from_latin1(&"é".repeat(20)),
            Some(InfoHash([0xe9; 20]))
        );
        assert_eq!(InfoHash::from_latin1(&"é".repeat(21)), None);
        assert_eq!(InfoHash::from_latin1(&"é".repeat(19)), None);
        assert_eq!(InfoHash::from_latin1(&"Ā".repeat(20)), None);
    }
}
