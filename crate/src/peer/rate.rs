//! Bytes per second over the last seconds, and a token bucket, both told the time.

use crate::time::Timestamp;
use crate::types::scaled;

const BUCKETS: usize = 5;

/// A mean over the last five seconds, or over the time since the first byte if that is shorter.
#[derive(Debug, Clone, Default)]
pub struct Rate {
    buckets: [u64; BUCKETS],
    second: u64,
    since: Option<Timestamp>,
    total: u64,
}

impl Rate {
    /// Counts bytes.
    pub fn add(&mut self, now: Timestamp, bytes: u64) {
        self.advance(now);
        self.since.get_or_insert(now);
        self.total += bytes;
        self.buckets[(self.second as usize) % BUCKETS] += bytes;
    }

    /// Bytes per second.
    pub fn per_second(&self, now: Timestamp) -> u64 {
        let Some(since) = self.since else { return 0 };
        let second = now.as_secs();
        let age = second.saturating_sub(self.second) as usize;
        if age >= BUCKETS {
            return 0;
        }
        // Buckets that fell out of the window since the last byte.
        let sum: u64 = (0..BUCKETS - age)
            .map(|back| self.buckets[(self.second as usize + BUCKETS - back) % BUCKETS])
            .sum();
        let window = (BUCKETS as u64 - 1) * 1_000_000 + now.as_micros() % 1_000_000;
        let micros = u128::from(window)
            .min(now.since(since).as_micros())
            .max(500_000);
        scaled(sum, 1_000_000, micros)
    }

    /// Bytes ever counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    fn advance(&mut self, now: Timestamp) {
        let second = now.as_secs();
        let ahead = second.saturating_sub(self.second);
        for step in 0..ahead.min(BUCKETS as u64) {
            self.buckets[((second - step) as usize) % BUCKETS] = 0;
        }
        self.second = self.second.max(second);
    }
}

/// A cap in bytes per second with a burst of one second, or no cap.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    per_second: Option<u64>,
    tokens: u64,
    refilled: Timestamp,
}

impl TokenBucket {
    /// `None`: no cap. 0: nothing passes.
    pub fn new(per_second: Option<u64>, now: Timestamp) -> Self {
        TokenBucket {
            per_second,
            tokens: per_second.unwrap_or(0),
            refilled: now,
        }
    }

    /// Replaces the cap.
    pub fn set(&mut self, per_second: Option<u64>, now: Timestamp) {
        if self.per_second != per_second {
            *self = TokenBucket::new(per_second, now);
        }
    }

    /// Something may pass now. What passes may overdraw by its own size once.
    pub fn is_open(&mut self, now: Timestamp) -> bool {
        let Some(rate) = self.per_second else {
            return true;
        };
        let micros = now.since(self.refilled).as_micros();
        let fresh = scaled(rate, micros, 1_000_000);
        if fresh > 0 {
            self.tokens = self.tokens.saturating_add(fresh).min(rate);
            self.refilled = now;
        }
        // A slow cap still lets a whole block through once a full one has gathered.
        rate > 0 && self.tokens >= rate.min(u64::from(crate::types::BLOCK_LEN))
    }

    /// Bytes that may pass at once; without a cap, any number.
    pub fn left(&self) -> u64 {
        match self.per_second {
            Some(_) => self.tokens,
            None => u64::MAX,
        }
    }

    /// This much passed.
    pub fn take(&mut self, bytes: u64) {
        if self.per_second.is_some() {
            self.tokens = self.tokens.saturating_sub(bytes);
        }
    }

    /// There is a cap, so that waiting makes sense.
    pub fn is_capped(&self) -> bool {
        self.per_second.is_some_and(|rate| rate > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn a_steady_flow_is_measured_and_forgotten() {
        let mut rate = Rate::default();
        let start = Timestamp::from_millis(1_000_000);
        for tenth in 0..100 {
            rate.add(start + Duration::from_millis(tenth * 100), 1_000);
        }
        let seen = rate.per_second(start + Duration::from_secs(10));
        assert!((8_000..=12_000).contains(&seen), "{seen}");
        assert_eq!(rate.per_second(start + Duration::from_secs(30)), 0);
        assert_eq!(rate.total(), 100_000);
    }

    #[test]
    fn a_cap_holds_over_time() {
        let start = Timestamp::from_millis(1_000_000);
        let mut bucket = TokenBucket::new(Some(100_000), start);
        let mut passed = 0u64;
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            while bucket.is_open(now) {
                bucket.take(16_384);
                passed += 16_384;
            }
        }
        assert!((900_000..=1_200_000).contains(&passed), "{passed}");
        assert!(!TokenBucket::new(Some(0), start).is_open(start + Duration::from_secs(9)));
    }
}
