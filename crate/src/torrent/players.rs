//! Players of a torrent's files: how far ahead of the place that is shown a player's reads may make us fetch.
//!
//! Browsers read ahead of what they show, by bounds of their own, and what is fetched for them is paid for. So a page
//! tells where its player is, and bytes further ahead than [`ahead`] are not fetched for the player's reads. A read
//! that is held waits until the player comes nearer. Bytes that are here are never held back.
//!
//! A page tells the place as a share of the film, which is exact only where the film has one bit rate. A player that
//! lacks data while its read is held shows the right place: it has used up all that was read. Nobody knows which read
//! is whose, so what several players read of one file is told apart by where their windows end. Where these lie over
//! each other a held read may be taken for the wrong player's, which then has one window more
//! (docs/decisions/054-pay-for-what-is-watched.md).

use core::ops::RangeInclusive;

use crate::io::Playhead;
use crate::sorted::Map;
use crate::time::{Duration, Timestamp};

/// Players of one torrent at once, of all pages. With more of them no read is held, because a read whose player nobody
/// knows would wait for ever.
pub const MAX_PLAYERS: usize = 16;
/// A player has so many seconds of the film ahead, ...
pub const AHEAD_SECONDS: u64 = 30;
/// ... but at most this share of the file, ...
pub const AHEAD_SHARE: u64 = 8;
/// ... and never less than this.
pub const LEAST_AHEAD: u64 = 1024 * 1024;
/// Beyond that a read which begins somewhere else gets so much, because it may be a seek that the page has not told of
/// yet, or an index.
pub const JUMP: u64 = 512 * 1024;

/// A player that is gone holds its reads for so long: its page may end them after it said so.
pub const HOLDS_ON: Duration = Duration::from_secs(10);

/// All players of one torrent.
#[derive(Debug, Default)]
pub struct Players {
    players: Map<u64, Player>,
    /// There are more than [`MAX_PLAYERS`].
    crowded: bool,
}

#[derive(Debug)]
struct Player {
    head: Playhead,
    /// The place in bytes, as far as it is known.
    position: u64,
    /// What the page's place lacks to the true one.
    skew: i64,
    gone_at: Option<Timestamp>,
}

/// A player's read that waits for bytes; nobody knows whose.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// Where it is.
    pub position: u64,
    /// What it may have wherever the players are: up to this byte.
    pub granted: u64,
}

impl Players {
    /// A player is there, by the last word of its page; `None`: it plays nothing more. `held_at`: where its
    /// read is held ([`Players::held_at`]).
    pub fn set(&mut self, id: u64, head: Option<Playhead>, held_at: Option<u64>, now: Timestamp) {
        let Some(head) = head else {
            if let Some(player) = self.players.get_mut(&id) {
                player.gone_at = Some(now);
            }
            return;
        };
        if !self.players.contains_key(&id) && self.players.len() >= MAX_PLAYERS {
            self.crowded = true;
            return;
        }
        let mut skew = self.skew(id, head);
        if let Some(held) = held_at.filter(|_| head.starved) {
            skew = i64::try_from(i128::from(held) - i128::from(head.position)).unwrap_or(0);
        }
        let player = Player {
            head,
            position: head.position.saturating_add_signed(skew),
            skew,
            gone_at: None,
        };
        self.players.insert(id, player);
    }

    /// What a page's place lacks to the true one, as far as it is known before.
    fn skew(&self, id: u64, head: Playhead) -> i64 {
        let known = (self.players.get(&id)).filter(|known| known.head.file == head.file);
        // After a seek the error of the former place says nothing.
        known.map_or(0, |known| {
            match known.head.position.abs_diff(head.position) > LEAST_AHEAD {
                true => 0,
                false => known.skew,
            }
        })
    }

    /// Where the read of a player that is starved is held, if that is why: `waiting` are the players' reads of its
    /// file.
    pub fn held_at(
        &self,
        id: u64,
        head: Playhead,
        length: u64,
        piece_length: u64,
        waiting: &[Waiting],
    ) -> Option<u64> {
        let is_held = |read: &&Waiting| {
            read.position >= self.limit(head.file, length, read.position, read.granted)
        };
        let position = head.position.saturating_add_signed(self.skew(id, head));
        let own = window(position, ahead(length, head.rate));
        // It may read on, and its peers are slow.
        if (waiting.iter()).any(|read| own.contains(&read.position) && !is_held(&read)) {
            return None;
        }
        let others = self.players.iter().filter(|(other, _)| **other != id);
        let others: Vec<_> = others
            .filter(|(_, player)| player.head.file == head.file)
            .map(|(_, player)| player.window(length))
            .collect();
        // A read goes on to the end of the piece in which its window ends.
        let ends_in = |window: &RangeInclusive<u64>, read: &Waiting| {
            (*window.start()..=window.end().saturating_add(piece_length)).contains(&read.position)
        };
        (waiting.iter().filter(is_held))
            .filter(|read| ends_in(&own, read) || !others.iter().any(|other| ends_in(other, read)))
            .map(|read| read.position)
            .min_by_key(|held| held.abs_diff(*own.end()))
    }

    /// Forgets players that are gone.
    pub fn forget(&mut self, now: Timestamp) {
        let before = self.players.len();
        let stays = |player: &Player| player.gone_at.is_none_or(|gone| now.since(gone) < HOLDS_ON);
        self.players.retain(|_, player| stays(player));
        // One that found no room says again that it is there.
        self.crowded &= self.players.len() == before;
    }

    /// When one is to be forgotten.
    pub fn next_timeout(&self) -> Timestamp {
        let gone = self.players.values().filter_map(|player| player.gone_at);
        gone.min().map_or(Timestamp::NEVER, |at| at + HOLDS_ON)
    }

    /// Ends all.
    pub fn clear(&mut self) {
        self.players.clear();
        self.crowded = false;
    }

    /// Up to which byte of a file a player's read at `position` may make us fetch; no bound without a player. `granted`
    /// is the end of what the read may have wherever the players are.
    pub fn limit(&self, file: u32, length: u64, position: u64, granted: u64) -> u64 {
        if self.crowded {
            return u64::MAX;
        }
        let mut limit = None;
        for player in self.of(file) {
            let window = player.window(length);
            let here = match window.contains(&position) {
                true => granted.max(*window.end()),
                false => granted,
            };
            limit = limit.max(Some(here));
        }
        limit.unwrap_or(u64::MAX)
    }

    /// Bytes per second at which a file plays, if a player told.
    pub fn rate(&self, file: u32) -> Option<u64> {
        self.of(file).map(|player| player.head.rate).max()
    }

    fn of(&self, file: u32) -> impl Iterator<Item = &Player> {
        (self.players.values()).filter(move |player| player.head.file == file)
    }
}

impl Player {
    /// Where its reads are, and end, in a file of this length.
    fn window(&self, length: u64) -> RangeInclusive<u64> {
        window(self.position, ahead(length, self.head.rate))
    }
}

fn window(position: u64, ahead: u64) -> RangeInclusive<u64> {
    position.saturating_sub(ahead)..=position.saturating_add(ahead)
}

/// How many bytes a player of a file has ahead, at `rate` bytes per second of the film.
pub fn ahead(length: u64, rate: u64) -> u64 {
    let time = rate.saturating_mul(AHEAD_SECONDS);
    time.min(length / AHEAD_SHARE).max(LEAST_AHEAD)
}

/// A film and its players, for the tests here and of the readers.
#[cfg(test)]
pub(super) mod scene {
    use super::{Playhead, Timestamp};

    /// Bytes of the film.
    pub const FILM: u64 = 30_000_000;
    /// Its bytes per second.
    pub const RATE: u64 = 50_000;
    pub const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    /// The word of a page about a player of it.
    pub fn head(position: u64, starved: bool) -> Option<Playhead> {
        Some(Playhead {
            file: 0,
            position,
            rate: RATE,
            starved,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::scene::*;
    use super::*;

    #[test]
    fn a_player_has_half_a_minute_ahead_within_an_eighth_and_a_mebibyte() {
        assert_eq!(ahead(FILM, RATE), 1_500_000);
        assert_eq!(ahead(FILM, 400_000), FILM / 8, "a short film of many bytes");
        assert_eq!(ahead(FILM, 10_000), LEAST_AHEAD, "sound");
        assert_eq!(ahead(3_000_000, RATE), LEAST_AHEAD, "a clip");
        assert_eq!(ahead(u64::MAX, u64::MAX), u64::MAX / 8, "no overflow");
    }

    #[test]
    fn reads_are_bounded_by_the_players_of_their_file_alone() {
        let mut players = Players::default();
        assert_eq!(players.limit(0, FILM, 0, 0), u64::MAX);
        players.set(1, head(3_000_000, false), None, NOW);
        assert_eq!(players.limit(1, FILM, 0, 0), u64::MAX);
        for read in [1_500_000, 3_000_000, 4_500_000] {
            assert_eq!(players.limit(0, FILM, read, 0), 4_500_000);
        }
        // A read elsewhere has what it was granted: a seek, or an index.
        assert_eq!(players.limit(0, FILM, 20_000_000, 20_500_000), 20_500_000);
        players.set(2, head(20_000_000, false), None, NOW);
        assert_eq!(players.limit(0, FILM, 20_000_000, 0), 21_500_000);
        // What is gone holds on until its reads are gone too.
        players.set(2, None, None, NOW);
        players.set(1, None, None, NOW);
        assert_eq!(players.limit(0, FILM, 3_000_000, 0), 4_500_000);
        assert_eq!(players.next_timeout(), NOW + HOLDS_ON);
        players.forget(NOW + HOLDS_ON);
        assert_eq!(players.limit(0, FILM, 0, 0), u64::MAX);
    }

    #[test]
    fn a_starved_player_whose_read_is_held_shows_where_it_is() {
        let mut players = Players::default();
        players.set(1, head(3_000_000, false), None, NOW);
        // The film's first minute has more bytes than the average.
        players.set(1, head(3_100_000, true), Some(4_600_000), NOW);
        assert_eq!(players.limit(0, FILM, 4_600_000, 0), 6_100_000);
        // That stays known ...
        players.set(1, head(3_200_000, false), None, NOW);
        assert_eq!(players.limit(0, FILM, 4_700_000, 0), 6_200_000);
        // ... until a seek.
        players.set(1, head(20_000_000, false), None, NOW);
        assert_eq!(players.limit(0, FILM, 20_000_000, 0), 21_500_000);
        // Without a held read it says nothing: the network is slow.
        players.set(1, head(20_000_000, true), None, NOW);
        assert_eq!(players.limit(0, FILM, 20_000_000, 0), 21_500_000);
    }

    #[test]
    fn players_are_bounded_and_of_too_many_none_is_held() {
        let mut players = Players::default();
        for id in 0..MAX_PLAYERS as u64 {
            players.set(id, head(0, false), None, NOW);
        }
        assert_eq!(players.limit(0, FILM, 0, 0), 1_500_000);
        for id in 0..1_000 {
            players.set(id, head(u64::MAX, true), Some(0), NOW);
        }
        assert_eq!(players.players.len(), MAX_PLAYERS);
        assert_eq!(
            players.limit(0, FILM, 0, 0),
            u64::MAX,
            "nobody waits for ever"
        );
        for id in 0..MAX_PLAYERS as u64 {
            players.set(id, head(0, false), None, NOW);
        }
        players.set(3, None, None, NOW);
        players.forget(NOW + HOLDS_ON);
        assert_eq!(players.limit(0, FILM, 0, 0), 1_500_000);
    }
}
