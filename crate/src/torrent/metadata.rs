//! Fetching the info dictionary (BEP 9), from one peer at a time, so that a false one has one author.

use bytes::{Bytes, BytesMut};

use crate::time::{Duration, Timestamp};
use crate::types::ConnectionId;
use crate::wire::extension::METADATA_PIECE_LEN;

/// A peer that sends no metadata for so long is left for another.
const PATIENCE: Duration = Duration::from_secs(10);
/// A peer that has not sent all of it by then is left for another, if there is one. Doubles with each time that it was,
/// so that a slow one comes to its end.
const WHOLE_PATIENCE: Duration = Duration::from_secs(20);
/// Requests out at once.
const WINDOW: usize = 16;

/// One attempt with one peer.
#[derive(Debug)]
pub struct Attempt {
    /// The connection of the peer that sends the dictionary.
    pub connection: ConnectionId,
    pieces: Vec<Option<Bytes>>,
    size: usize,
    asked: usize,
    received: usize,
    progress_at: Timestamp,
    /// For the whole of it.
    patience: Duration,
    ends_at: Timestamp,
}

/// What a `data` message did.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// More to come.
    More,
    /// All bytes, not checked.
    Whole(Bytes),
    /// Wrong length or index: the peer lies.
    Wrong,
}

impl Attempt {
    /// Starts with a peer that says the dictionary has `size` bytes, and was left so many times. The caller checked
    /// the bound.
    pub fn new(connection: ConnectionId, size: u32, tries: u32, now: Timestamp) -> Attempt {
        let size = size as usize;
        let patience = WHOLE_PATIENCE * (1 << tries.min(6));
        Attempt {
            connection,
            pieces: vec![None; size.div_ceil(METADATA_PIECE_LEN)],
            size,
            asked: 0,
            received: 0,
            progress_at: now,
            patience,
            ends_at: now + patience,
        }
    }

    /// There is nobody else: goes on with this peer if it still sends anything.
    pub fn extend(&mut self, now: Timestamp) -> bool {
        let alive = now < self.progress_at + PATIENCE;
        if alive {
            self.ends_at = now + self.patience;
        }
        alive
    }

    /// The next piece to ask for.
    pub fn next_request(&mut self) -> Option<u32> {
        if self.asked < self.pieces.len() && self.asked < self.received + WINDOW {
            self.asked += 1;
            return u32::try_from(self.asked - 1).ok();
        }
        None
    }

    /// Takes a piece.
    pub fn data(&mut self, now: Timestamp, piece: u32, data: Bytes) -> Progress {
        let start = piece as usize * METADATA_PIECE_LEN;
        let Some(place) = self.pieces.get_mut(piece as usize) else {
            return Progress::Wrong;
        };
        if data.len() != METADATA_PIECE_LEN.min(self.size.saturating_sub(start)) {
            return Progress::Wrong;
        }
        if place.is_none() {
            *place = Some(data);
            self.received += 1;
            self.progress_at = now;
        }
        if self.received < self.pieces.len() {
            return Progress::More;
        }
        let mut whole = BytesMut::with_capacity(self.size);
        for piece in self.pieces.iter().flatten() {
            whole.extend_from_slice(piece);
        }
        Progress::Whole(whole.freeze())
    }

    /// When patience with this peer ends.
    pub fn gives_up_at(&self) -> Timestamp {
        (self.progress_at + PATIENCE).min(self.ends_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_any_order_make_the_whole() {
        let now = Timestamp::ZERO;
        let mut attempt = Attempt::new(ConnectionId(1), 20_000, 0, now);
        assert_eq!(attempt.next_request(), Some(0));
        assert_eq!(attempt.next_request(), Some(1));
        assert_eq!(attempt.next_request(), None);
        let tail = Bytes::from(vec![2; 20_000 - METADATA_PIECE_LEN]);
        assert_eq!(attempt.data(now, 1, tail), Progress::More);
        let head = Bytes::from(vec![1; METADATA_PIECE_LEN]);
        let Progress::Whole(whole) = attempt.data(now, 0, head) else {
            panic!("not whole");
        };
        assert_eq!((whole.len(), whole[0], whole[19_999]), (20_000, 1, 2));
    }

    #[test]
    fn a_false_length_is_noticed() {
        let mut attempt = Attempt::new(ConnectionId(1), 20_000, 0, Timestamp::ZERO);
        let short = Bytes::from_static(b"short");
        assert_eq!(attempt.data(Timestamp::ZERO, 0, short), Progress::Wrong);
        assert_eq!(
            attempt.data(Timestamp::ZERO, 9, Bytes::new()),
            Progress::Wrong
        );
    }
}
