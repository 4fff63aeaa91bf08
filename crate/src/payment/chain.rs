//! The hash chain whose links pay for blocks: `root = w_0`, `w_(i-1) = keccak256(w_i)` (PayWord).
//!
//! Invariant: a chain is made from a fresh seed, lives in memory only, and its links leave one by
//! one in rising order. Never stored, never printed.

use core::fmt;

use alloy_primitives::{B256, keccak256};

/// The longest chain there is.
pub const MAX_STEPS: u16 = 256;

/// A payer's own chain: all its links, 8 KiB at most.
#[derive(Clone)]
pub struct HashChain {
    /// `links[k] = w_k`.
    links: Vec<B256>,
}

// The links are money: never print them.
impl fmt::Debug for HashChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashChain({} steps)", self.steps())
    }
}

impl HashChain {
    /// A chain of `steps` (cut to [`MAX_STEPS`]) whose last link is `tip`, 32 fresh random bytes.
    pub fn generate(tip: B256, steps: u16) -> Self {
        let steps = usize::from(steps.min(MAX_STEPS));
        let mut links = vec![tip; steps + 1];
        for i in (0..steps).rev() {
            links[i] = keccak256(links[i + 1]);
        }
        HashChain { links }
    }

    /// `w_0`.
    pub fn root(&self) -> B256 {
        self.links.first().copied().unwrap_or_default()
    }

    /// How many steps it has.
    pub fn steps(&self) -> u16 {
        (self.links.len().saturating_sub(1)) as u16
    }

    /// `w_k`, or `None` past the end.
    pub fn link(&self, k: u16) -> Option<B256> {
        self.links.get(usize::from(k)).copied()
    }
}

/// `w` hashed `steps` times: from `w_k` to `w_(k - steps)`. At most [`MAX_STEPS`] hashes.
pub fn walk(w: B256, steps: u16) -> B256 {
    let mut w = w;
    for _ in 0..steps.min(MAX_STEPS) {
        w = keccak256(w);
    }
    w
}

/// Whether `w` is link `k` of the chain whose link `known_k` is `known_w`, and further along.
pub fn advances(known_k: u16, known_w: B256, k: u16, w: B256) -> bool {
    k > known_k && k <= MAX_STEPS && walk(w, k - known_k) == known_w
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_walks_back_to_every_earlier_one() {
        let chain = HashChain::generate(B256::repeat_byte(7), 20);
        assert_eq!(chain.steps(), 20);
        for i in 0..=20u16 {
            for j in i..=20u16 {
                assert_eq!(walk(chain.link(j).unwrap(), j - i), chain.link(i).unwrap());
                assert_eq!(
                    advances(i, chain.link(i).unwrap(), j, chain.link(j).unwrap()),
                    j > i
                );
            }
        }
        assert_eq!(chain.link(21), None);
    }

    #[test]
    fn a_wrong_link_or_a_wrong_index_does_not_advance() {
        let chain = HashChain::generate(B256::repeat_byte(7), 20);
        let w9 = chain.link(9).unwrap();
        assert!(!advances(0, chain.root(), 10, w9));
        assert!(!advances(0, chain.root(), 8, w9));
        assert!(!advances(0, chain.root(), u16::MAX, w9));
        assert!(!advances(0, chain.root(), 9, B256::ZERO));
    }

    #[test]
    fn the_length_is_capped_and_a_chain_is_not_printed() {
        let chain = HashChain::generate(B256::repeat_byte(9), u16::MAX);
        assert_eq!(chain.steps(), MAX_STEPS);
        assert_eq!(format!("{chain:?}"), "HashChain(256 steps)");
        assert_eq!(
            HashChain::generate(B256::repeat_byte(9), 0).root(),
            B256::repeat_byte(9)
        );
    }
}
