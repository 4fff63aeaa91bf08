//! The uplink that all connections share: how much of it may be taken by what waits at the edge.
//!
//! Whoever downloads has something urgent to say all the time: payments, requests of a player. None of it can overtake
//! what the edge has already, on whichever connection that is. So while anything is missing the edge holds blocks for
//! about 200 ms of the rate at which all connections together drain, whatever each of them could take by itself. A peer
//! that only serves is not held to this.

use crate::time::Timestamp;

use super::rate::Rate;

/// Held at least: one block leaves while the next one waits. On 1 Mbit/s that and the block that overshoots it are a
/// third of a second.
const MIN_HELD: u64 = 24 * 1024;

/// The bytes that the edge holds for all connections together, and the rate at which they leave it.
#[derive(Debug, Default)]
pub struct Uplink {
    held: u64,
    drained: Rate,
    urgent: bool,
    /// Blocks wait for the uplink alone.
    waiting: bool,
}

impl Uplink {
    /// Whether there is urgent traffic that blocks must not hold up.
    pub fn set_urgent(&mut self, urgent: bool) {
        self.urgent = urgent;
    }

    /// Bytes went to the edge.
    pub fn handed(&mut self, bytes: u64) {
        self.held += bytes;
    }

    /// Bytes left the edge.
    pub fn drained(&mut self, now: Timestamp, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
        self.drained.add(now, bytes);
    }

    /// A connection ended with bytes at the edge.
    pub fn forgotten(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// What the edge may hold over all connections.
    pub fn limit(&self, now: Timestamp) -> u64 {
        if self.urgent {
            (self.drained.per_second(now) / 5).max(MIN_HELD)
        } else {
            u64::MAX
        }
    }

    /// Whether another block may go to the edge; if not, some wait for the uplink from now on.
    pub fn is_open(&mut self, now: Timestamp) -> bool {
        let open = self.held < self.limit(now);
        self.waiting |= !open;
        open
    }

    /// Whether blocks waited for the uplink since the last question.
    pub fn take_waiting(&mut self) -> bool {
        core::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn a_thin_uplink_holds_little_and_a_fat_one_more() {
        let start = Timestamp::from_millis(1_000_000);
        let mut uplink = Uplink::default();
        uplink.handed(1 << 20);
        assert!(uplink.is_open(start), "who only serves is not held back");
        uplink.set_urgent(true);
        assert!(!uplink.is_open(start));
        assert!(uplink.take_waiting() && !uplink.take_waiting());
        uplink.drained(start, 1 << 20);
        for tenth in 0..50 {
            uplink.handed(1_000_000);
            uplink.drained(start + Duration::from_millis(tenth * 100), 1_000_000);
        }
        let limit = uplink.limit(start + Duration::from_secs(5));
        assert!((1_500_000..=2_500_000).contains(&limit), "{limit}");
        let later = start + Duration::from_secs(60);
        assert_eq!(uplink.limit(later), MIN_HELD);
    }
}
