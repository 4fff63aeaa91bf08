//! What the picker knows of one peer.

use super::ASSUMED_RATE;
use crate::bitfield::Bitfield;
use crate::time::{Duration, Timestamp};
use crate::types::FineUnits;

/// What a peer showed fades by this time.
const FADES: Duration = Duration::from_secs(8);
/// So much of the time between two blocks counts for that: in a pause nothing is shown.
const MOST_BETWEEN_BLOCKS: Duration = Duration::from_millis(500);

/// What the torrent tells the picker about a peer whenever it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Price per block; 0 is free.
    pub price: FineUnits,
    /// It may be asked now: it does not choke us and, if it sells, it may be paid.
    pub usable: bool,
    /// Bytes per second of blocks it delivered lately; 0: nothing measured yet.
    pub rate: u64,
    /// It let requests time out (anti-snub), or was waited for in vain.
    pub snubbed: bool,
}

impl Default for PeerStatus {
    fn default() -> Self {
        PeerStatus {
            price: FineUnits(0),
            usable: false,
            rate: 0,
            snubbed: false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) have: Bitfield,
    pub(super) status: PeerStatus,
    /// Counted as a seed, not per piece.
    pub(super) seed: bool,
    /// Since when a dearer peer goes without because of this one, and this one delivers nothing.
    pub(super) held_since: Option<Timestamp>,
    pub(super) last_block: Timestamp,
    /// It refused a request though it does not choke: not asked before then.
    pub(super) paused_until: Timestamp,
    /// Others are asked before it: not asked for a block, to see whether it sends again, before then.
    pub(super) probed_at: Timestamp,
    /// The most bytes per second that it showed lately. Its rate falls to nothing while nothing is asked of it, and rises slowly.
    pub(super) measured: u64,
    /// Blocks that it sent.
    pub(super) received: u64,
    /// When it came, by [`super::Picker::order`].
    pub(super) joined: u64,
}

impl Peer {
    pub(super) fn new(pieces: u32, joined: u64) -> Peer {
        Peer {
            have: Bitfield::empty(pieces),
            status: PeerStatus::default(),
            seed: false,
            held_since: None,
            last_block: Timestamp::ZERO,
            paused_until: Timestamp::ZERO,
            probed_at: Timestamp::ZERO,
            measured: 0,
            received: 0,
            joined,
        }
    }

    pub(super) fn free(&self) -> bool {
        self.status.price == FineUnits(0)
    }

    /// Usable, and not known to sit on its hands.
    pub(super) fn promising(&self, now: Timestamp) -> bool {
        self.status.usable
            && !self.status.snubbed
            && self.paused_until <= now
            && self
                .held_since
                .is_none_or(|since| now.since(since) < super::PATIENCE)
    }

    /// It may be asked for a piece, and is expected to bring it.
    pub(super) fn has_now(&self, now: Timestamp, piece: u32) -> bool {
        self.promising(now) && self.have.contains(piece)
    }

    pub(super) fn rate_or_guess(&self) -> u64 {
        if self.status.rate == 0 {
            ASSUMED_RATE
        } else {
            self.status.rate
        }
    }

    /// What it will bring a second, as far as it has shown that. Of one that others are asked before and that showed nothing,
    /// nothing is expected.
    pub(super) fn believed_rate(&self) -> u64 {
        match self.status.rate.max(self.measured) {
            0 if self.status.snubbed => 0,
            0 => ASSUMED_RATE,
            shown => shown,
        }
    }

    /// It sent a block: what it showed before counts less, by half in some six seconds in which it goes on sending.
    pub(super) fn note_rate(&mut self, now: Timestamp) {
        let since = now.since(self.last_block).min(MOST_BETWEEN_BLOCKS);
        let faded = u128::from(self.measured) * since.as_micros() / FADES.as_micros();
        let faded = u64::try_from(faded).unwrap_or(u64::MAX);
        self.measured = self.status.rate.max(self.measured.saturating_sub(faded));
    }

    /// When it will have brought so many bytes, with those that it owes.
    pub(super) fn eta(&self, now: Timestamp, bytes: u64) -> Timestamp {
        now + transfer_time(bytes, self.rate_or_guess())
    }
}

pub(super) fn transfer_time(bytes: u64, rate: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / rate.max(1))
}
