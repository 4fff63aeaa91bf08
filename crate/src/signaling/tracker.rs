//! One tracker: its URL, the state of its socket, and the trust in its word.

use crate::metainfo::TrackerUrl;
use crate::time::{Duration, Timestamp};

/// Bounds of the mean pause before a lost tracker is tried again; it doubles each time.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));

/// A tracker that answers and closes before this time is failing too, and is tried again after the pause of this many
/// failures at least.
const STEADY_AFTER: Duration = Duration::from_secs(45);
const HASTY_FAILURES: u32 = 2;

/// Announces on one socket. Servers close sockets that flood them (ours: 512 messages at once and 20 per second,
/// answers included), and a client may hold a thousand torrents.
const ANNOUNCES_AT_ONCE: u32 = 200;
const ANNOUNCES_PER_SECOND: f64 = 16.0;

/// Announces that early ones leave to regular ones, without which a torrent leaves its swarm.
const KEPT_FOR_REGULAR: f64 = 100.0;

/// A socket that does not open within this time is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// A socket on which an announce stays without reply for this long is dead.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// This many senseless messages in a row end a socket.
const MAX_SENSELESS: u32 = 10;

pub(super) struct Tracker {
    pub(super) url: TrackerUrl,
    pub(super) socket: Socket,
    failures: u32,
    senseless: u32,
    opened_at: Timestamp,
    /// The present socket brought an answer to an announce.
    replied: bool,
    /// Offers that may be taken.
    offers: Allowance,
    /// Announces that may be sent.
    announces: Allowance,
}

/// This many at once, and this many more over time.
struct Allowance {
    left: f64,
    most: f64,
    per_second: f64,
    refilled_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    Idle { retry_at: Timestamp },
    Connecting { deadline: Timestamp },
    Open { reply_due: Timestamp },
}

impl Tracker {
    pub(super) fn new(url: TrackerUrl, offers_per_minute: u32) -> Self {
        Tracker {
            url,
            socket: Socket::Idle {
                retry_at: Timestamp::ZERO,
            },
            failures: 0,
            senseless: 0,
            opened_at: Timestamp::ZERO,
            replied: false,
            offers: Allowance::new(offers_per_minute, f64::from(offers_per_minute) / 60.0),
            announces: Allowance::new(ANNOUNCES_AT_ONCE, ANNOUNCES_PER_SECOND),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.socket, Socket::Open { .. })
    }

    pub(super) fn has_socket(&self) -> bool {
        !matches!(self.socket, Socket::Idle { .. })
    }

    pub(super) fn wants_connect(&self, now: Timestamp) -> bool {
        matches!(self.socket, Socket::Idle { retry_at } if retry_at <= now)
    }

    pub(super) fn connecting(&mut self, now: Timestamp) {
        self.replied = false;
        self.socket = Socket::Connecting {
            deadline: now + CONNECT_TIMEOUT,
        };
    }

    /// Whether a socket was expected to open.
    pub(super) fn connected(&mut self, now: Timestamp) -> bool {
        let expected = matches!(self.socket, Socket::Connecting { .. });
        if expected {
            self.senseless = 0;
            self.opened_at = now;
            self.announces.fill(now);
            self.socket = Socket::Open {
                reply_due: Timestamp::NEVER,
            };
        }
        expected
    }

    /// The socket is gone. Answers the pause before the next try. `interval` is the tracker's own between announces;
    /// `jitter` is in 0..1.
    pub(super) fn lost(&mut self, now: Timestamp, interval: Duration, jitter: f64) -> Duration {
        let mut longest = BACKOFF.1;
        if core::mem::take(&mut self.replied) {
            // Each new socket means an announce: a socket that does not last must not bring more of them than the
            // tracker asked for.
            longest = longest.max(interval);
            self.failures = match now >= self.opened_at + STEADY_AFTER {
                true => 0,
                false => self.failures.max(HASTY_FAILURES),
            };
        }
        let mean = (BACKOFF.0 * (1 << self.failures.min(12))).min(longest);
        self.failures = self.failures.saturating_add(1);
        // From half to one and a half of it, so that the peers of a restarted server come back spread out. The pause is
        // not capped after that, or many would come at the same moment.
        let pause = mean.mul_f64(0.5 + jitter);
        self.socket = Socket::Idle {
            retry_at: now + pause,
        };
        pause
    }

    pub(super) fn forget_failures(&mut self) {
        self.failures = 0;
        if let Socket::Idle { retry_at } = &mut self.socket {
            *retry_at = Timestamp::ZERO;
        }
    }

    /// A message made sense. Only a reply proves that announcing works: a server that accepts and
    /// closes again is a failing one.
    pub(super) fn behaved(&mut self, replied: bool) {
        self.senseless = 0;
        self.replied |= replied;
        if let Socket::Open { reply_due } = &mut self.socket {
            *reply_due = Timestamp::NEVER;
        }
    }

    /// A message made no sense. Answers whether it was one too many.
    pub(super) fn misbehaved(&mut self) -> bool {
        self.senseless += 1;
        self.senseless >= MAX_SENSELESS
    }

    fn expect_reply(&mut self, now: Timestamp) {
        if let Socket::Open { reply_due } = &mut self.socket {
            *reply_due = (*reply_due).min(now + REPLY_TIMEOUT);
        }
    }

    /// Whether one more offer may be taken from it.
    pub(super) fn take_offer(&mut self, now: Timestamp) -> bool {
        self.offers.take(now)
    }

    /// The time from which an announce may be sent to it.
    pub(super) fn announce_from(&self, is_early: bool) -> Timestamp {
        let kept = if is_early { KEPT_FOR_REGULAR } else { 0.0 };
        self.announces.ready_at(kept)
    }

    /// An announce is sent.
    pub(super) fn announced(&mut self, now: Timestamp) {
        self.announces.take(now);
        self.expect_reply(now);
    }

    /// When its present socket is given up.
    pub(super) fn deadline(&self) -> Timestamp {
        match self.socket {
            Socket::Idle { .. } => Timestamp::NEVER,
            Socket::Connecting { deadline } => deadline,
            Socket::Open { reply_due } => reply_due,
        }
    }

    pub(super) fn wake_at(&self, online: bool) -> Timestamp {
        match self.socket {
            Socket::Idle { retry_at } if online => retry_at,
            _ => self.deadline(),
        }
    }
}

impl Allowance {
    fn new(most: u32, per_second: f64) -> Self {
        Allowance {
            left: f64::from(most),
            most: f64::from(most),
            per_second,
            refilled_at: Timestamp::ZERO,
        }
    }

    fn fill(&mut self, now: Timestamp) {
        self.left = self.most;
        self.refilled_at = now;
    }

    /// Whether there was one left.
    fn take(&mut self, now: Timestamp) -> bool {
        let refill = now.since(self.refilled_at).as_secs_f64() * self.per_second;
        self.refilled_at = self.refilled_at.max(now);
        self.left = (self.left + refill).min(self.most);
        let granted = self.left >= 1.0;
        if granted {
            self.left -= 1.0;
        }
        granted
    }

    /// When one can be taken and `kept` stay.
    fn ready_at(&self, kept: f64) -> Timestamp {
        let missing = kept + 1.0 - self.left;
        if missing <= 0.0 {
            return Timestamp::ZERO;
        }
        // A moment later, because of rounding.
        let micros = (missing / self.per_second * 1e6) as u64;
        self.refilled_at + Duration::from_micros(micros) + Duration::from_millis(1)
    }
}
