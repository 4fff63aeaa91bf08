//! Who may download from us: one choker per client, over all its torrents.
//!
//! Owns the round timer, the optimistic turn and nothing else; it sends no messages. Every
//! [`REGULAR_ROUND`] the free slots go to the interested peers with the best rate (tit-for-tat), one
//! of them by turns to anybody ([`OPTIMISTIC_ROUND`]), newcomers three times as often (BEP 3,
//! "Choking and Optimistic Unchoking").
//!
//! Invariants: paying peers are unchoked before all others; a quarter of the slots is kept for peers
//! that do not pay, however many do, and payers beyond the rest take none of it; with no upload
//! nobody is unchoked.

use rand_core::Rng;

use crate::sorted::Set;
use crate::time::{Duration, Timestamp};
use crate::types::ConnectionId;

/// Free slots are given anew this often.
pub const REGULAR_ROUND: Duration = Duration::from_secs(10);
/// The optimistic slot moves on this often.
pub const OPTIMISTIC_ROUND: Duration = Duration::from_secs(30);
/// A peer is a newcomer for this long.
pub const NEWCOMER: Duration = Duration::from_secs(60);
/// How much more often a newcomer gets the optimistic slot.
pub const NEWCOMER_WEIGHT: u32 = 3;
/// Paying peers unchoked at once, per free slot: their number is bounded too.
pub const PAID_SLOTS_PER_SLOT: usize = 3;

/// One connection of any torrent, as the choker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChokeCandidate {
    /// The connection that [`Choker::choose`] puts among the unchoked ones, or leaves out.
    pub conn: ConnectionId,
    /// It wants something of ours (BEP 3 `interested`).
    pub interested: bool,
    /// A range of it is attached and it is within its credit (or has just been given some).
    pub paying: bool,
    /// We may serve it: the handshake is through, the torrent is not paused, and where a price is
    /// asked and free service is off, it pays.
    pub may_send: bool,
    /// Our copy of its torrent is complete: it is judged by what it takes, not by what it gives.
    pub seeding: bool,
    /// It owes us blocks for too long and gave nothing (anti-snub): no regular slot for it.
    pub snubs_us: bool,
    /// Bytes per second it gives us.
    pub download_rate: u64,
    /// Bytes per second it takes.
    pub upload_rate: u64,
    /// When its handshake was through.
    pub connected_at: Timestamp,
}

/// How much may be uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadSlots {
    /// Peers unchoked at once without paying.
    pub slots: usize,
    /// Bytes per second; `None` is no cap, 0 is no upload.
    pub cap: Option<u64>,
}

/// See the module. Call [`Choker::choose`] at [`Choker::next_round`], and at once when a candidate's
/// `interested`, `paying` or `may_send` changes, or one comes or goes.
#[derive(Debug, Default)]
pub struct Choker {
    next_regular: Timestamp,
    next_optimistic: Timestamp,
    optimistic: Option<ConnectionId>,
    /// Who holds the regular slots of this round.
    regular: Vec<ConnectionId>,
}

impl Choker {
    /// One that has unchoked nobody yet.
    pub fn new() -> Choker {
        Choker::default()
    }

    /// When the next round is due.
    pub fn next_round(&self) -> Timestamp {
        self.next_regular.min(self.next_optimistic)
    }

    /// Exactly the connections to be unchoked from now on.
    ///
    /// Between rounds those with a slot keep it while they use it, and slots that come free are given
    /// to the next best, so that a call out of turn never makes peers flap.
    pub fn choose(
        &mut self,
        now: Timestamp,
        upload: UploadSlots,
        candidates: &[ChokeCandidate],
        rng: &mut impl Rng,
    ) -> Set<ConnectionId> {
        let regular_due = now >= self.next_regular;
        let optimistic_due = now >= self.next_optimistic;
        if regular_due {
            self.next_regular = now + REGULAR_ROUND;
        }
        if optimistic_due {
            self.next_optimistic = now + OPTIMISTIC_ROUND;
        }
        if upload.slots == 0 || upload.cap == Some(0) {
            self.regular.clear();
            self.optimistic = None;
            return Set::new();
        }
        let (paying, free): (Vec<_>, Vec<_>) = (candidates.iter())
            .filter(|c| c.interested && c.may_send)
            .partition(|c| c.paying);
        let paid = paid_slots(paying, upload.slots);
        let slots = free_slots(upload.slots, paid.len());
        self.turn_optimistic(now, optimistic_due, &free, slots, rng);
        self.fill_regular(regular_due, &free, slots);
        (paid.into_iter())
            .chain(self.regular.iter().copied())
            .chain(self.optimistic)
            .collect()
    }

    fn turn_optimistic(
        &mut self,
        now: Timestamp,
        due: bool,
        free: &[&ChokeCandidate],
        slots: usize,
        rng: &mut impl Rng,
    ) {
        let stays = |conn| free.iter().any(|c| c.conn == conn);
        if slots == 0 {
            self.optimistic = None;
        } else if due || !self.optimistic.is_some_and(stays) {
            // Somebody who has no slot; else somebody else; else the same again.
            let before = self.optimistic;
            let choked = |c: &&ChokeCandidate| !self.regular.contains(&c.conn);
            let other = |c: &&ChokeCandidate| Some(c.conn) != before;
            let mut waiting: Vec<_> = free.iter().copied().filter(other).collect();
            if waiting.iter().any(choked) {
                waiting.retain(choked);
            } else if waiting.is_empty() {
                waiting = free.to_vec();
            }
            let weight = |c: &&ChokeCandidate| {
                if now.since(c.connected_at) < NEWCOMER {
                    NEWCOMER_WEIGHT
                } else {
                    1
                }
            };
            let total: u32 = waiting.iter().map(weight).sum();
            let mut at = rng.next_u32() % total.max(1);
            self.optimistic = waiting.iter().find_map(|c| {
                let w = weight(c);
                if at < w {
                    return Some(c.conn);
                }
                at -= w;
                None
            });
        }
    }

    fn fill_regular(&mut self, due: bool, free: &[&ChokeCandidate], slots: usize) {
        let regular_slots = slots.saturating_sub(usize::from(self.optimistic.is_some()));
        let mut ranked: Vec<_> = (free.iter())
            .filter(|c| Some(c.conn) != self.optimistic && !c.snubs_us)
            .collect();
        // Rates of leeching and seeding torrents are not comparable; each peer has one of the two.
        ranked.sort_by_key(|c| {
            let rate = if c.seeding {
                c.upload_rate
            } else {
                c.download_rate
            };
            let holds = !due && self.regular.contains(&c.conn);
            (core::cmp::Reverse((holds, rate)), c.connected_at, c.conn)
        });
        self.regular = (ranked.iter().take(regular_slots))
            .map(|c| c.conn)
            .collect();
    }
}

/// Slots for peers that do not pay: payers displace them, but never from the last quarter.
fn free_slots(slots: usize, paying: usize) -> usize {
    slots.saturating_sub(paying).max(slots.div_ceil(4))
}

fn paid_slots(mut paying: Vec<&ChokeCandidate>, slots: usize) -> Vec<ConnectionId> {
    paying.sort_by_key(|c| (core::cmp::Reverse(c.upload_rate), c.connected_at, c.conn));
    paying.truncate(slots.saturating_mul(PAID_SLOTS_PER_SLOT));
    paying.into_iter().map(|c| c.conn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::ChaCha8Rng;
    use rand_core::SeedableRng;

    const FOUR: UploadSlots = UploadSlots {
        slots: 4,
        cap: None,
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn peer(conn: u64) -> ChokeCandidate {
        ChokeCandidate {
            conn: ConnectionId(conn),
            interested: true,
            paying: false,
            may_send: true,
            seeding: false,
            snubs_us: false,
            download_rate: 0,
            upload_rate: 0,
            connected_at: Timestamp::ZERO,
        }
    }

    fn rng(seed: u8) -> ChaCha8Rng {
        ChaCha8Rng::from_seed([seed; 32])
    }

    fn ids(conns: impl IntoIterator<Item = u64>) -> Set<ConnectionId> {
        conns.into_iter().map(ConnectionId).collect()
    }

    fn common(a: &Set<ConnectionId>, b: &Set<ConnectionId>) -> usize {
        a.iter().filter(|conn| b.contains(*conn)).count()
    }

    #[test]
    fn a_leecher_unchokes_those_that_give_most_and_one_at_random() {
        let peers: Vec<_> = (0..10)
            .map(|i| ChokeCandidate {
                download_rate: i * 1000,
                ..peer(i)
            })
            .collect();
        let unchoked = Choker::new().choose(at(100), FOUR, &peers, &mut rng(1));
        assert_eq!(unchoked.len(), 4);
        let best = ids(6..10);
        assert!(common(&unchoked, &best) >= 3, "{unchoked:?}");
    }

    #[test]
    fn a_seed_unchokes_those_that_take_fastest() {
        let peers: Vec<_> = (0..10)
            .map(|i| ChokeCandidate {
                seeding: true,
                download_rate: 1_000_000 - i,
                upload_rate: i * 1000,
                ..peer(i)
            })
            .collect();
        let unchoked = Choker::new().choose(at(100), FOUR, &peers, &mut rng(2));
        assert!(common(&unchoked, &ids(6..10)) >= 3);
    }

    #[test]
    fn payers_come_first_and_a_quarter_of_the_slots_stays_free() {
        let mut peers: Vec<_> = (0..20).map(peer).collect();
        for p in &mut peers[..8] {
            p.paying = true;
        }
        let unchoked = Choker::new().choose(at(100), FOUR, &peers, &mut rng(3));
        assert_eq!(common(&unchoked, &ids(0..8)), 8, "all payers");
        assert_eq!(unchoked.len(), 8 + 1, "one of four slots");
    }

    #[test]
    fn payers_are_bounded_too() {
        let peers: Vec<_> = (0..100)
            .map(|i| ChokeCandidate {
                paying: true,
                ..peer(i)
            })
            .collect();
        let unchoked = Choker::new().choose(at(100), FOUR, &peers, &mut rng(3));
        assert_eq!(unchoked.len(), 4 * PAID_SLOTS_PER_SLOT);
    }

    #[test]
    fn no_upload_chokes_everybody_payers_too() {
        let mut peers: Vec<_> = (0..5).map(peer).collect();
        peers[0].paying = true;
        let mut choker = Choker::new();
        assert!(!choker.choose(at(1), FOUR, &peers, &mut rng(4)).is_empty());
        let off = UploadSlots { slots: 0, ..FOUR };
        assert!(choker.choose(at(2), off, &peers, &mut rng(4)).is_empty());
        let capped = UploadSlots {
            cap: Some(0),
            ..FOUR
        };
        assert!(choker.choose(at(3), capped, &peers, &mut rng(4)).is_empty());
    }

    #[test]
    fn who_wants_nothing_or_may_not_be_served_gets_no_slot() {
        let mut peers: Vec<_> = (0..3).map(peer).collect();
        peers[0].interested = false;
        peers[1].may_send = false;
        let unchoked = Choker::new().choose(at(1), FOUR, &peers, &mut rng(5));
        assert_eq!(unchoked, ids([2]));
    }

    #[test]
    fn the_optimistic_slot_comes_round_and_favours_newcomers_threefold() {
        let mut turns = std::collections::BTreeMap::<ConnectionId, u32>::new();
        for seed in 0..200 {
            let mut choker = Choker::new();
            let mut rng = rng(seed);
            let mut peers: Vec<_> = (0..8).map(peer).collect();
            for (i, p) in peers[..3].iter_mut().enumerate() {
                p.download_rate = 1000 * (i as u64 + 1);
            }
            for p in &mut peers[6..] {
                p.connected_at = at(1000);
            }
            choker.choose(at(1000), FOUR, &peers, &mut rng);
            let first = choker.optimistic;
            choker.choose(at(1030), FOUR, &peers, &mut rng);
            assert_ne!(choker.optimistic, first, "the slot moves on");
            for conn in first.into_iter().chain(choker.optimistic) {
                *turns.entry(conn).or_default() += 1;
            }
        }
        let old: u32 = (3..6).map(|i| turns[&ConnectionId(i)]).sum();
        let new: u32 = (6..8).map(|i| turns[&ConnectionId(i)]).sum();
        // 2 newcomers at weight 3 against 3 or more others at weight 1.
        assert!(new > old, "{turns:?}");
        assert!(old > 0);
    }

    #[test]
    fn a_peer_that_snubs_us_gets_no_regular_slot() {
        let mut peers: Vec<_> = (0..6).map(peer).collect();
        peers[0].snubs_us = true;
        peers[0].download_rate = 1_000_000;
        for seed in 0..20 {
            let mut choker = Choker::new();
            let unchoked = choker.choose(at(100), FOUR, &peers, &mut rng(seed));
            let optimistic = choker.optimistic == Some(ConnectionId(0));
            assert_eq!(unchoked.contains(&ConnectionId(0)), optimistic);
        }
    }

    #[test]
    fn between_rounds_nobody_loses_a_slot_and_free_ones_are_filled() {
        let mut peers: Vec<_> = (0..8).map(peer).collect();
        let (mut choker, mut rng) = (Choker::new(), rng(6));
        let before = choker.choose(at(100), FOUR, &peers, &mut rng);
        for p in &mut peers {
            p.download_rate = 1000 * u64::from(!before.contains(&p.conn));
        }
        assert_eq!(choker.choose(at(105), FOUR, &peers, &mut rng), before);
        let gone = *before.iter().next().unwrap();
        peers.retain(|p| p.conn != gone);
        let after = choker.choose(at(106), FOUR, &peers, &mut rng);
        assert_eq!(after.len(), 4);
        assert_eq!(common(&after, &before), 3);
        assert_eq!(choker.next_round(), at(110));
    }

    #[test]
    fn the_same_rng_gives_the_same_choice() {
        let peers: Vec<_> = (0..30).map(peer).collect();
        let run = || {
            let (mut choker, mut rng) = (Choker::new(), rng(9));
            (0..10)
                .map(|i| choker.choose(at(i * 10), FOUR, &peers, &mut rng))
                .collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }
}
