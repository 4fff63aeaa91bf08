//! The picker's knowledge of one peer.

use super::ASSUMED_RATE;
use crate::bitfield::Bitfield;
use crate::time::{Duration, Timestamp};
use crate::types::{FineUnits, scaled};

/// The time constant with which a peer's measured rate fades.
const FADES: Duration = Duration::from_secs(8);
/// The longest part of the time between two blocks that counts for the fading: a peer shows nothing in a pause.
const MOST_BETWEEN_BLOCKS: Duration = Duration::from_millis(500);

/// The facts about a peer that the torrent reports to the picker whenever they change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Price per block; 0 is free.
    pub price: FineUnits,
    /// The picker may ask it now: it does not choke us and, if it sells, it may be paid.
    pub usable: bool,
    /// Bytes per second of the blocks that it delivered lately; 0 if nothing is measured yet.
    pub rate: u64,
    /// It let requests time out (anti-snub), or it was waited for in vain.
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
    /// It has every piece, and counts as a seed instead of for each piece.
    pub(super) seed: bool,
    /// Since when a dearer peer waits because of this one, and this one delivers nothing.
    pub(super) held_since: Option<Timestamp>,
    pub(super) last_block: Timestamp,
    /// It refused a request without choking, and is not asked before this time.
    pub(super) paused_until: Timestamp,
    /// If others are asked before it: the time before which it is asked for no single block that would show whether it
    /// sends again.
    pub(super) probed_at: Timestamp,
    /// The highest rate that it showed lately, in bytes per second. `status.rate` falls to nothing while nobody asks
    /// it, and rises slowly.
    pub(super) measured: u64,
    /// The number of blocks that it sent.
    pub(super) received: u64,
    /// The value of [`super::Picker::order`] when it joined.
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

    /// Whether it is usable, and not known to send nothing.
    pub(super) fn promising(&self, now: Timestamp) -> bool {
        self.status.usable
            && !self.status.snubbed
            && self.paused_until <= now
            && self
                .held_since
                .is_none_or(|since| now.since(since) < super::PATIENCE)
    }

    /// Whether it may be asked for a piece and is expected to bring it.
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

    /// The bytes per second that it will bring, as far as it has shown that. From a peer that others are asked before
    /// and that showed nothing, the picker expects nothing.
    pub(super) fn believed_rate(&self) -> u64 {
        match self.status.rate.max(self.measured) {
            0 if self.status.snubbed => 0,
            0 => ASSUMED_RATE,
            shown => shown,
        }
    }

    /// It sent a block, so its earlier rate counts less: half after some six seconds of sending.
    pub(super) fn note_rate(&mut self, now: Timestamp) {
        let since = now.since(self.last_block).min(MOST_BETWEEN_BLOCKS);
        let faded = scaled(self.measured, since.as_micros(), FADES.as_micros());
        self.measured = self.status.rate.max(self.measured.saturating_sub(faded));
    }

    /// The time at which it will have brought this many bytes.
    pub(super) fn eta(&self, now: Timestamp, bytes: u64) -> Timestamp {
        now + transfer_time(bytes, self.rate_or_guess())
    }
}

pub(super) fn transfer_time(bytes: u64, rate: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / rate.max(1))
}
