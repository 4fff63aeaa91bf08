//! Pieces that are not begun yet, in order of how few peers have them.
//!
//! Owns the availability counts and one array that they order. Invariant: `order[start[a]..start[a+1]]` holds exactly
//! the listed pieces that `a` partial peers have, each group in random order. Every change moves one element across
//! each group boundary on its way, and nothing is ever sorted. Seeds shift all pieces alike, so they are only counted.

use chacha20::ChaCha20Rng;
use rand_core::Rng;

const ABSENT: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Rarity {
    /// The number of peers that have the piece, without seeds.
    partial_peers: Vec<u32>,
    seeds: u32,
    order: Vec<u32>,
    position: Vec<u32>,
    /// The first place of each group; the last entry is the length of `order`.
    start: Vec<u32>,
}

impl Rarity {
    /// Nobody has anything, and no piece is listed.
    pub(super) fn new(pieces: u32) -> Rarity {
        Rarity {
            partial_peers: vec![0; pieces as usize],
            seeds: 0,
            order: Vec::new(),
            position: vec![ABSENT; pieces as usize],
            start: vec![0, 0],
        }
    }

    pub(super) fn availability(&self, piece: u32) -> u32 {
        self.partial_peers[piece as usize] + self.seeds
    }

    pub(super) fn add_seed(&mut self) {
        self.seeds += 1;
    }

    pub(super) fn remove_seed(&mut self) {
        self.seeds = self.seeds.saturating_sub(1);
    }

    /// The listed pieces that any peer has, rarest first.
    pub(super) fn listed_available(&self) -> &[u32] {
        let from = if self.seeds > 0 { 0 } else { self.start[1] };
        &self.order[from as usize..]
    }

    /// The place of a listed piece in the order of [`Self::listed_available`]; a smaller one is rarer.
    pub(super) fn rank(&self, piece: u32) -> u32 {
        self.position[piece as usize]
    }

    pub(super) fn is_listed(&self, piece: u32) -> bool {
        self.position[piece as usize] != ABSENT
    }

    pub(super) fn list(&mut self, piece: u32, rng: &mut ChaCha20Rng) {
        if self.is_listed(piece) {
            return;
        }
        let group = self.partial_peers[piece as usize] as usize;
        self.grow(group);
        // A hole opens at the very end and travels down: each group above gives its first place away.
        let mut hole = self.order.len() as u32;
        self.order.push(piece);
        for g in (group + 1..self.start.len() - 1).rev() {
            let first = self.start[g];
            self.copy(first, hole);
            hole = first;
            self.start[g] += 1;
        }
        if let Some(end) = self.start.last_mut() {
            *end += 1;
        }
        self.put(hole, piece);
        self.shuffle_in(hole, group, rng);
    }

    pub(super) fn unlist(&mut self, piece: u32) {
        let at = self.position[piece as usize];
        if at == ABSENT {
            return;
        }
        let mut hole = at;
        for g in self.partial_peers[piece as usize] as usize..self.start.len() - 1 {
            let last = self.start[g + 1] - 1;
            self.copy(last, hole);
            hole = last;
            self.start[g + 1] -= 1;
        }
        self.order.pop();
        self.position[piece as usize] = ABSENT;
    }

    pub(super) fn increment(&mut self, piece: u32, rng: &mut ChaCha20Rng) {
        let group = self.partial_peers[piece as usize] as usize;
        self.partial_peers[piece as usize] += 1;
        self.grow(group + 1);
        if self.is_listed(piece) {
            let last = self.start[group + 1] - 1;
            self.swap(self.position[piece as usize], last);
            self.start[group + 1] -= 1;
            self.shuffle_in(last, group + 1, rng);
        }
    }

    pub(super) fn decrement(&mut self, piece: u32, rng: &mut ChaCha20Rng) {
        let group = self.partial_peers[piece as usize] as usize;
        if group == 0 {
            return;
        }
        self.partial_peers[piece as usize] -= 1;
        if self.is_listed(piece) {
            let first = self.start[group];
            self.swap(self.position[piece as usize], first);
            self.start[group] += 1;
            self.shuffle_in(first, group - 1, rng);
        }
    }

    fn grow(&mut self, group: usize) {
        while self.start.len() < group + 2 {
            self.start.push(self.order.len() as u32);
        }
    }

    fn shuffle_in(&mut self, at: u32, group: usize, rng: &mut ChaCha20Rng) {
        let (first, end) = (self.start[group], self.start[group + 1]);
        let other = first + rng.next_u32() % (end - first).max(1);
        self.swap(at, other);
    }

    fn swap(&mut self, a: u32, b: u32) {
        let (x, y) = (self.order[a as usize], self.order[b as usize]);
        self.put(a, y);
        self.put(b, x);
    }

    fn copy(&mut self, from: u32, to: u32) {
        // At an empty group both are the hole, which holds a stale copy.
        if from != to {
            let piece = self.order[from as usize];
            self.put(to, piece);
        }
    }

    fn put(&mut self, at: u32, piece: u32) {
        self.order[at as usize] = piece;
        self.position[piece as usize] = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_core::SeedableRng;

    proptest! {
        #[test]
        fn stays_sorted_by_availability_whatever_happens(
            ops in proptest::collection::vec((0u8..4, 0u32..12), 0..300),
        ) {
            let mut rng = ChaCha20Rng::from_seed([7; 32]);
            let mut rarity = Rarity::new(12);
            let mut listed = std::collections::BTreeSet::new();
            let mut peers = [0u32; 12];
            for (op, piece) in ops {
                match op {
                    0 => { rarity.list(piece, &mut rng); listed.insert(piece); }
                    1 => { rarity.unlist(piece); listed.remove(&piece); }
                    2 => { rarity.increment(piece, &mut rng); peers[piece as usize] += 1; }
                    _ => {
                        rarity.decrement(piece, &mut rng);
                        peers[piece as usize] = peers[piece as usize].saturating_sub(1);
                    }
                }
                let mut sorted = rarity.order.clone();
                prop_assert!(sorted.windows(2).all(|w| peers[w[0] as usize] <= peers[w[1] as usize]));
                prop_assert!(rarity.order.iter().enumerate().all(|(i, &p)| rarity.rank(p) == i as u32));
                let available = listed.iter().filter(|&&p| peers[p as usize] > 0).count();
                prop_assert_eq!(rarity.listed_available().len(), available);
                sorted.sort_unstable();
                prop_assert_eq!(sorted, listed.iter().copied().collect::<Vec<_>>());
            }
        }
    }
}
