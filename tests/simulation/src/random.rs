//! The one source of chance of a run.

use core::ops::Range;

use chacha20::ChaCha8Rng;
use piecework::time::Duration;
use rand_core::{Rng, SeedableRng};

/// Seeded chance.
#[derive(Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// From a number.
    pub fn new(seed: u64) -> Random {
        Random(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number of `range`, which is not empty.
    pub fn number(&mut self, range: Range<u64>) -> u64 {
        range.start + self.0.next_u64() % (range.end - range.start)
    }

    /// An index below `len`, which is not 0.
    pub fn index(&mut self, len: usize) -> usize {
        self.0.next_u64() as usize % len
    }

    /// True once in this many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.0.next_u64().is_multiple_of(times)
    }

    /// A time of `range`, which is not empty.
    pub fn duration(&mut self, range: &Range<Duration>) -> Duration {
        let micros = self.number(range.start.as_micros() as u64..range.end.as_micros() as u64);
        Duration::from_micros(micros)
    }

    /// 32 bytes.
    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// Fills a buffer.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}
