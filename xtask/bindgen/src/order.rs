//! The order of a module's functions, for its weight when it is compressed.
//!
//! gzip finds a repetition within the last 32 KiB. Functions made of the same source for different types are much
//! alike, and a compiler scatters them: side by side they compress better. Nothing else changes: the same functions
//! under other numbers.

use std::collections::{HashMap, VecDeque};

/// Bytes that are compared at once.
const SHINGLE: usize = 6;
/// A shingle in more functions than this shows nothing about two of them.
const MOST_FUNCTIONS: usize = 300;
/// The distance at which a likeness counts: a little less than gzip looks back.
const WINDOW: usize = 30_000;

/// The order of these functions: next comes always the one with the largest part in the window already.
pub(crate) fn order_of(bodies: &[&[u8]]) -> Vec<usize> {
    let mut shingled: Vec<Vec<u32>> = bodies.iter().map(|body| shingles(body)).collect();
    let mut having: HashMap<u32, Vec<usize>> = HashMap::new();
    for (function, shingles) in shingled.iter().enumerate() {
        for shingle in shingles {
            having.entry(*shingle).or_default().push(function);
        }
    }
    // Bytes that only one function has repeat nothing.
    having.retain(|_, functions| (2..=MOST_FUNCTIONS).contains(&functions.len()));
    for shingles in &mut shingled {
        shingles.retain(|shingle| having.contains_key(shingle));
    }
    let mut shared = vec![0usize; bodies.len()];
    let mut in_window: HashMap<u32, usize> = HashMap::new();
    let mut window = VecDeque::new();
    let mut window_bytes = 0;
    let mut left: Vec<usize> = (0..bodies.len()).collect();
    let mut order = Vec::with_capacity(bodies.len());
    while !left.is_empty() {
        // Shares are compared crosswise, so that the result is the same everywhere; a tie goes to the longer one.
        let mut best = 0;
        for candidate in 1..left.len() {
            let (a, b) = (left[candidate], left[best]);
            let share_a = shared[a] * (shingled[b].len() + 1);
            let share_b = shared[b] * (shingled[a].len() + 1);
            if (share_a, bodies[a].len(), b) > (share_b, bodies[b].len(), a) {
                best = candidate;
            }
        }
        let next = left.swap_remove(best);
        order.push(next);
        window.push_back(next);
        window_bytes += bodies[next].len();
        for shingle in &shingled[next] {
            let count = in_window.entry(*shingle).or_default();
            *count += 1;
            if *count == 1 {
                having[shingle].iter().for_each(|other| shared[*other] += 1);
            }
        }
        while window_bytes > WINDOW && window.len() > 1 {
            let Some(old) = window.pop_front() else { break };
            window_bytes -= bodies[old].len();
            for shingle in &shingled[old] {
                let count = in_window.entry(*shingle).or_default();
                *count -= 1;
                if *count == 0 {
                    having[shingle].iter().for_each(|other| shared[*other] -= 1);
                }
            }
        }
    }
    order
}

/// Hashes of a body's shingles, each once.
fn shingles(body: &[u8]) -> Vec<u32> {
    let mut hashes: Vec<u32> = body
        .windows(SHINGLE)
        .map(|shingle| {
            // FNV-1a.
            shingle.iter().fold(0x811c_9dc5_u32, |hash, byte| {
                (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
            })
        })
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_there_once_and_like_ones_stand_together() {
        let bodies: Vec<Vec<u8>> = (0..60u8)
            .map(|n| (0..40).map(|at| at * (1 + n % 3)).chain([n]).collect())
            .collect();
        let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        let order = order_of(&bodies);
        let mut all = order.clone();
        all.sort_unstable();
        assert_eq!(all, (0..60).collect::<Vec<_>>());
        let changes = order.windows(2).filter(|pair| pair[0] % 3 != pair[1] % 3);
        assert_eq!(changes.count(), 2);
    }
}
