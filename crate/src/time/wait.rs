//! The time that somebody was waited for, less the blocks that came.

use super::{Duration, Timestamp};

/// A peer that sends less than a block in this time, 8 KiB a second, brings nothing.
const WORTH_OF_A_BLOCK: Duration = Duration::from_secs(2);
/// No longer wait is remembered: a peer that delivers after that is soon worth waiting for again.
const MOST_WAITED: Duration = Duration::from_secs(20);

/// A clock that runs while somebody is waited for, and that goes back with each block. Nothing else sets it back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait {
    before: Duration,
    since: Option<Timestamp>,
}

impl Wait {
    /// A peer that was waited for this long was waited for in vain.
    pub const LIMIT: Duration = Duration::from_secs(10);

    /// The length of the wait.
    pub fn time(&self, now: Timestamp) -> Duration {
        let since = self.since.map_or(Duration::ZERO, |at| now.since(at));
        (self.before + since).min(MOST_WAITED)
    }

    /// It was in vain.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.time(now) >= Self::LIMIT
    }

    /// It is waited for from now on, or not.
    pub fn set(&mut self, now: Timestamp, waits: bool) {
        self.before = self.time(now);
        self.since = waits.then_some(now);
    }

    /// It is waited for from now on, in the place of somebody that was waited for this long.
    pub fn begin_after(&mut self, now: Timestamp, before: Duration) {
        self.set(now, true);
        self.before = self.before.max(before);
    }

    /// It sent a block.
    pub fn block(&mut self, now: Timestamp) {
        self.set(now, self.since.is_some());
        self.before = self.before.saturating_sub(WORTH_OF_A_BLOCK);
    }

    /// When it will have been in vain if nothing comes; never where it has been already.
    pub fn ends_at(&self) -> Timestamp {
        let left = Self::LIMIT.saturating_sub(self.before);
        (self.since.filter(|_| left > Duration::ZERO)).map_or(Timestamp::NEVER, |at| at + left)
    }
}
