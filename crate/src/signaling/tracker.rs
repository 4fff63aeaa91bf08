//! One tracker: its URL, the state of its socket, and how far its word is taken.

use super::AddTrackerError;
use crate::time::{Duration, Timestamp};

/// Bounds of the mean pause before a lost tracker is tried again; it doubles each time.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));

/// A socket that does not open within this time is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// A socket on which an announce stays without reply for so long is dead.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// So many senseless messages in a row end a socket.
const MAX_SENSELESS: u32 = 10;

const MAX_URL_LEN: usize = 2048;

pub(super) struct Tracker {
    pub(super) url: String,
    pub(super) socket: Socket,
    failures: u32,
    senseless: u32,
    offers_per_minute: u32,
    /// Offers that may be taken, refilled over time.
    offer_tokens: f64,
    refilled_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    Idle { retry_at: Timestamp },
    Connecting { deadline: Timestamp },
    Open { reply_due: Timestamp },
}

impl Tracker {
    pub(super) fn new(url: String, offers_per_minute: u32) -> Self {
        Tracker {
            url,
            socket: Socket::Idle {
                retry_at: Timestamp::ZERO,
            },
            failures: 0,
            senseless: 0,
            offers_per_minute,
            offer_tokens: f64::from(offers_per_minute),
            refilled_at: Timestamp::ZERO,
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
        self.socket = Socket::Connecting {
            deadline: now + CONNECT_TIMEOUT,
        };
    }

    /// Whether a socket was expected to open.
    pub(super) fn connected(&mut self) -> bool {
        let expected = matches!(self.socket, Socket::Connecting { .. });
        if expected {
            self.senseless = 0;
            self.socket = Socket::Open {
                reply_due: Timestamp::NEVER,
            };
        }
        expected
    }

    /// The socket is gone. Answers the pause before the next try; `jitter` is in 0..1.
    pub(super) fn lost(&mut self, now: Timestamp, jitter: f64) -> Duration {
        let mean = (BACKOFF.0 * (1 << self.failures.min(7))).min(BACKOFF.1);
        self.failures = self.failures.saturating_add(1);
        // From half to one and a half of it: the peers of a restarted server come back spread out. Nothing is cut off
        // from that, or many would come at the same moment.
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
        if replied {
            self.failures = 0;
        }
        if let Socket::Open { reply_due } = &mut self.socket {
            *reply_due = Timestamp::NEVER;
        }
    }

    /// A message made no sense. Whether it was one too many.
    pub(super) fn misbehaved(&mut self) -> bool {
        self.senseless += 1;
        self.senseless >= MAX_SENSELESS
    }

    pub(super) fn expect_reply(&mut self, now: Timestamp) {
        if let Socket::Open { reply_due } = &mut self.socket {
            *reply_due = (*reply_due).min(now + REPLY_TIMEOUT);
        }
    }

    /// Whether one more offer may be taken from it.
    pub(super) fn take_offer(&mut self, now: Timestamp) -> bool {
        let full = f64::from(self.offers_per_minute);
        let minutes = now.since(self.refilled_at).as_secs_f64() / 60.0;
        self.refilled_at = self.refilled_at.max(now);
        self.offer_tokens = (self.offer_tokens + minutes * full).min(full);
        let granted = self.offer_tokens >= 1.0;
        if granted {
            self.offer_tokens -= 1.0;
        }
        granted
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

/// The URL as it will be connected to.
pub(super) fn check_url(url: &str) -> Result<String, AddTrackerError> {
    let url = url.trim();
    let (scheme, rest) = url.split_once("://").ok_or(AddTrackerError::InvalidUrl)?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "ws" && scheme != "wss" {
        return Err(AddTrackerError::UnsupportedScheme);
    }
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = &rest[..host_end];
    let clean = url.len() <= MAX_URL_LEN && url.chars().all(|c| c.is_ascii_graphic());
    // A user name in the URL would be a secret in a torrent, and a fragment is refused by browsers.
    if !clean
        || host.is_empty()
        || host.starts_with(':')
        || host.contains('@')
        || rest.contains('#')
    {
        return Err(AddTrackerError::InvalidUrl);
    }
    Ok(format!("{scheme}://{rest}"))
}
