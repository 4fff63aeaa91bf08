//! The rate at which strangers may make this side look at the chain: each COMMIT that passes the cheap checks costs one
//! read.
//!
//! Invariant: accounts that this side does not know cause at most [`STRANGERS`] reads at once, and one each
//! [`STRANGER_EVERY`] after a burst of [`STRANGER_BURST`]. A peer whose COMMIT the chain refused waits as long as an
//! honest payer waits before it asks again, so no honest payer is held up.

use crate::payment::MAX_CONNECTIONS;
use crate::sorted::Map;
use crate::time::{Duration, Timestamp};

/// Reads of unknown accounts on their way at once.
const STRANGERS: usize = 8;
/// One more read of an unknown account is allowed after this ...
const STRANGER_EVERY: Duration = Duration::from_millis(500);
/// ... and this many may be saved up.
const STRANGER_BURST: u32 = 32;
/// The waits of a refused peer, one after the other: a tenth less than payers keep, because delay varies on the way.
const WAITS: [Duration; 5] = [
    Duration::from_millis(1_800),
    Duration::from_millis(3_600),
    Duration::from_millis(7_200),
    Duration::from_millis(14_400),
    Duration::from_millis(27_000),
];

/// The refusals to a peer.
#[derive(Clone, Copy, Debug)]
struct Penalty {
    times: usize,
    until: Timestamp,
}

/// Counts the looks that strangers cause, and holds each refused peer's wait.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// Of strangers.
    in_flight: usize,
    /// When the strangers' allowance will be whole again.
    whole_at: Timestamp,
    /// By address; at most [`MAX_CONNECTIONS`].
    refused: Map<String, Penalty>,
}

impl Looks {
    /// Takes one look for a peer, or gives the time that it has to wait for one.
    pub(super) fn take(&mut self, now: Timestamp, peer: &str, stranger: bool) -> Option<Duration> {
        let refused = self.refused.get(peer).filter(|r| r.until > now);
        if let Some(refused) = refused {
            return Some(refused.until.since(now));
        }
        if !stranger {
            return None;
        }
        if self.in_flight >= STRANGERS {
            return Some(STRANGER_EVERY);
        }
        let whole_at = self.whole_at.max(now) + STRANGER_EVERY;
        let over = whole_at.since(now + STRANGER_EVERY * STRANGER_BURST);
        if !over.is_zero() {
            return Some(over);
        }
        self.whole_at = whole_at;
        self.in_flight += 1;
        None
    }

    /// The chain answered, or not.
    pub(super) fn answered(&mut self, stranger: bool) {
        self.in_flight = self.in_flight.saturating_sub(usize::from(stranger));
    }

    /// The chain's answer was good.
    pub(super) fn accepted(&mut self, peer: &str) {
        self.refused.remove(peer);
    }

    /// The chain's answer was not good, or none came.
    pub(super) fn refuse(&mut self, now: Timestamp, peer: String) {
        let last = WAITS[WAITS.len() - 1];
        if self.refused.len() >= MAX_CONNECTIONS {
            self.refused.retain(|_, r| r.until + last > now);
        }
        if self.refused.len() >= MAX_CONNECTIONS && !self.refused.contains_key(&peer) {
            // That many addresses at once: the strangers' allowance holds all of them.
            return;
        }
        let refused = (self.refused.entry(peer)).or_insert(Penalty {
            times: 0,
            until: now,
        });
        // A peer that was quiet for long begins anew.
        if refused.until + last <= now {
            refused.times = 0;
        }
        refused.until = now + WAITS.get(refused.times).copied().unwrap_or(last);
        refused.times += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    #[test]
    fn strangers_get_a_burst_and_then_two_looks_a_second_from_however_many_addresses() {
        let mut looks = Looks::default();
        let mut taken = 0;
        for ms in (0..60_000).step_by(10) {
            if looks.take(at(ms), &format!("peer {ms}"), true).is_none() {
                taken += 1;
                looks.answered(true);
            }
        }
        assert_eq!(taken, 32 + 2 * 60 - 1);
        // Those that were here before do not wait for them.
        assert_eq!(looks.take(at(60_000), "known", false), None);
    }

    #[test]
    fn strangers_have_eight_looks_on_their_way_at_once() {
        let mut looks = Looks::default();
        for n in 0..8 {
            assert_eq!(looks.take(at(0), &n.to_string(), true), None);
        }
        assert_eq!(looks.take(at(0), "8", true), Some(STRANGER_EVERY));
        assert_eq!(looks.take(at(0), "known", false), None);
        looks.answered(false);
        assert_eq!(looks.take(at(0), "8", true), Some(STRANGER_EVERY));
        looks.answered(true);
        assert_eq!(looks.take(at(0), "8", true), None);
    }

    #[test]
    fn a_refused_peer_waits_longer_each_time_but_never_longer_than_an_honest_payer_does() {
        let mut looks = Looks::default();
        let mut now = 0;
        for pause in [2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            assert_eq!(looks.take(at(now), "a", false), None, "{now}");
            looks.refuse(at(now), "a".to_owned());
            let wait = looks.take(at(now + 1), "a", false);
            let expected = Duration::from_millis(pause * 9 / 10 - 1);
            assert_eq!(wait, Some(expected));
            assert_eq!(looks.take(at(now + 1), "b", false), None, "another address");
            now += pause;
        }
        looks.accepted("a");
        looks.refuse(at(now), "a".to_owned());
        assert_eq!(
            looks.take(at(now), "a", false),
            Some(Duration::from_millis(1_800)),
            "what was good begins anew"
        );
    }

    #[test]
    fn however_many_addresses_are_refused_they_are_forgotten() {
        let mut looks = Looks::default();
        for n in 0..3_000u64 {
            looks.refuse(at(n), n.to_string());
        }
        assert_eq!(looks.refused.len(), MAX_CONNECTIONS);
        looks.refuse(at(100_000), "late".to_owned());
        assert_eq!(looks.refused.len(), 1);
    }
}
