//! A set of pieces (BEP 3 `bitfield`): piece 0 is the highest bit of the first byte.
//!
//! Invariant: bits past the last piece are zero, so counts and word-wise operations need no mask.

use bytes::Bytes;

const WORD_BITS: u32 = u64::BITS;

/// The set of pieces (or blocks) that a peer has, out of a known number.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Bitfield {
    words: Vec<u64>,
    len: u32,
    ones: u32,
}

/// Why bytes are not a bitfield (BEP 3, "bitfield": the peer should be dropped).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitfieldError {
    /// Wrong number of bytes.
    #[error("a bitfield of {pieces} pieces has {expected} bytes, not {found}")]
    Length {
        /// Pieces of the torrent.
        pieces: u32,
        /// Bytes that it should have.
        expected: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// A bit past the last piece is set.
    #[error("a spare bit past the last of {pieces} pieces is set")]
    SpareBits {
        /// Pieces of the torrent.
        pieces: u32,
    },
}

impl Bitfield {
    /// None of `len` pieces.
    pub fn empty(len: u32) -> Bitfield {
        Bitfield {
            words: vec![0; len.div_ceil(WORD_BITS) as usize],
            len,
            ones: 0,
        }
    }

    /// All of `len` pieces.
    pub fn full(len: u32) -> Bitfield {
        let mut words = vec![u64::MAX; len.div_ceil(WORD_BITS) as usize];
        if let (Some(last), true) = (words.last_mut(), !len.is_multiple_of(WORD_BITS)) {
            *last = u64::MAX << (WORD_BITS - len % WORD_BITS);
        }
        Bitfield {
            words,
            len,
            ones: len,
        }
    }

    /// From the payload of a `bitfield` message: exactly as many bytes as `len` pieces take, spare bits zero.
    pub fn from_bytes(bytes: &[u8], len: u32) -> Result<Bitfield, BitfieldError> {
        let expected = len.div_ceil(8) as usize;
        if bytes.len() != expected {
            return Err(BitfieldError::Length {
                pieces: len,
                expected,
                found: bytes.len(),
            });
        }
        if let (Some(last), true) = (bytes.last(), !len.is_multiple_of(8))
            && last & (0xff >> (len % 8)) != 0
        {
            return Err(BitfieldError::SpareBits { pieces: len });
        }
        let words: Vec<u64> = bytes
            .chunks(8)
            .map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_be_bytes(word)
            })
            .collect();
        let ones = words.iter().map(|w| w.count_ones()).sum();
        Ok(Bitfield { words, len, ones })
    }

    /// The payload of a `bitfield` message.
    pub fn as_bytes(&self) -> Bytes {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|w| w.to_be_bytes()).collect();
        bytes.truncate(self.len.div_ceil(8) as usize);
        bytes.into()
    }

    /// Pieces in all.
    #[allow(clippy::len_without_is_empty)] // a torrent has at least one piece
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Pieces set.
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// Every piece is set.
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// Whether `index` is set; false past the end.
    pub fn contains(&self, index: u32) -> bool {
        index < self.len && self.words[(index / WORD_BITS) as usize] & mask(index) != 0
    }

    /// Sets `index`; answers whether that changed anything. Past the end nothing happens.
    pub fn insert(&mut self, index: u32) -> bool {
        if index >= self.len || self.contains(index) {
            return false;
        }
        self.words[(index / WORD_BITS) as usize] |= mask(index);
        self.ones += 1;
        true
    }

    /// Clears `index`; answers whether that changed anything.
    pub fn remove(&mut self, index: u32) -> bool {
        if !self.contains(index) {
            return false;
        }
        self.words[(index / WORD_BITS) as usize] &= !mask(index);
        self.ones -= 1;
        true
    }

    /// Set pieces, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        ones(&self.words)
    }

    /// 64 pieces per word, the lowest index in the highest bit.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// From words whose spare bits the caller kept zero.
    pub(crate) fn from_words(words: Vec<u64>, len: u32) -> Bitfield {
        let ones = words.iter().map(|w| w.count_ones()).sum();
        Bitfield { words, len, ones }
    }
}

/// Indices of the set bits of words laid out as in [`Bitfield`], ascending.
pub(crate) fn ones(words: &[u64]) -> impl Iterator<Item = u32> + '_ {
    words.iter().enumerate().flat_map(|(i, &word)| {
        let mut rest = word;
        core::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let bit = rest.leading_zeros();
            rest &= !(1 << (WORD_BITS - 1 - bit));
            Some(i as u32 * WORD_BITS + bit)
        })
    })
}

const fn mask(index: u32) -> u64 {
    1 << (WORD_BITS - 1 - index % WORD_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn piece_zero_is_the_highest_bit_of_the_first_byte() {
        let mut bits = Bitfield::empty(10);
        bits.insert(0);
        bits.insert(9);
        assert_eq!(&bits.as_bytes()[..], [0b1000_0000, 0b0100_0000]);
    }

    #[test]
    fn a_wrong_length_and_spare_bits_are_refused() {
        assert!(matches!(
            Bitfield::from_bytes(&[0; 3], 10),
            Err(BitfieldError::Length {
                expected: 2,
                found: 3,
                ..
            })
        ));
        assert_eq!(
            Bitfield::from_bytes(&[0, 0b0010_0000], 10),
            Err(BitfieldError::SpareBits { pieces: 10 })
        );
        assert!(Bitfield::from_bytes(&[0xff, 0b1100_0000], 10).is_ok_and(|b| b.is_full()));
        assert!(Bitfield::from_bytes(&[], 0).is_ok());
    }

    #[test]
    fn full_has_no_spare_bits() {
        for len in [0, 1, 7, 8, 63, 64, 65, 200] {
            let full = Bitfield::full(len);
            assert_eq!(full.iter().count() as u32, len);
            assert_eq!(
                Bitfield::from_bytes(&full.as_bytes(), len).as_ref(),
                Ok(&full)
            );
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_indices(
            len in 1u32..300,
            ops in proptest::collection::vec((any::<bool>(), 0u32..320), 0..200),
        ) {
            let mut bits = Bitfield::empty(len);
            let mut set = std::collections::BTreeSet::new();
            for (insert, index) in ops {
                if insert {
                    prop_assert_eq!(bits.insert(index), index < len && set.insert(index));
                } else {
                    prop_assert_eq!(bits.remove(index), set.remove(&index));
                }
            }
            prop_assert_eq!(bits.count() as usize, set.len());
            prop_assert_eq!(bits.iter().collect::<Vec<_>>(), set.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(Bitfield::from_bytes(&bits.as_bytes(), len), Ok(bits));
        }
    }
}
