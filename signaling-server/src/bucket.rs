//! A token bucket: a burst at once, and a rate per second.

use std::time::Duration;

/// The rate that a `Bucket` grants. `per_second` of 0 grants the burst and nothing after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens gained per second.
    pub per_second: f32,
    /// Tokens held at most, and at the start.
    pub burst: f32,
}

/// Eight bytes per connection and limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    tokens: f32,
    /// Milliseconds since the server's start, wrapping after 49 days (a wrap only grants a refill).
    at_ms: u32,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Duration) -> Self {
        Bucket {
            tokens: rate.burst,
            at_ms: millis(now),
        }
    }

    /// Takes up to `wanted` tokens; answers the number that it granted.
    pub(crate) fn take(&mut self, rate: Rate, now: Duration, wanted: usize) -> usize {
        let now_ms = millis(now);
        let passed = now_ms.wrapping_sub(self.at_ms) as f32 / 1000.0;
        self.at_ms = now_ms;
        self.tokens = (self.tokens + passed * rate.per_second).min(rate.burst);
        let granted = wanted.min(self.tokens as usize);
        self.tokens -= granted as f32;
        granted
    }
}

fn millis(now: Duration) -> u32 {
    now.as_millis() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_the_burst_and_then_the_rate() {
        let rate = Rate {
            per_second: 2.0,
            burst: 3.0,
        };
        let mut bucket = Bucket::full(rate, Duration::ZERO);
        assert_eq!(bucket.take(rate, Duration::ZERO, 5), 3);
        assert_eq!(bucket.take(rate, Duration::from_millis(400), 5), 0);
        assert_eq!(bucket.take(rate, Duration::from_millis(600), 5), 1);
        assert_eq!(bucket.take(rate, Duration::from_secs(3600), 5), 3);
    }
}
