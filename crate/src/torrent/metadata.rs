//! The exchange of the info dictionary (BEP 9).
//!
//! Owns what is fetched of it, and which pieces of it peers wait for. It is fetched from one peer at a time, so that a
//! false one has one author.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::messages::protocol;
use super::{Context, Torrent};
use crate::io::ClosedReason;
use crate::metainfo::{MAX_INFO_LEN, Metainfo, MetainfoError};
use crate::sorted::Map;
use crate::time::{Duration, Timestamp};
use crate::types::ConnectionId;
use crate::wire::Message;
use crate::wire::extension::{METADATA_PIECE_LEN, MetadataMessage, UT_METADATA_NAME};

/// A peer that sends no metadata for so long is left for another.
const PATIENCE: Duration = Duration::from_secs(10);
/// A peer that has not sent all of it by then is left for another, if there is one. Doubles with each time that it was,
/// so that a slow one comes to its end.
const WHOLE_PATIENCE: Duration = Duration::from_secs(20);
/// Requests out at once.
const WINDOW: usize = 16;

/// What is fetched of the info dictionary, and what of it is asked for.
#[derive(Debug, Default)]
pub(super) struct MetadataExchange {
    attempt: Option<Attempt>,
    /// By peer, where there is something to know.
    peers: Map<ConnectionId, MetadataPeer>,
}

/// One peer in this exchange.
#[derive(Debug, Default)]
struct MetadataPeer {
    /// Pieces of the dictionary that it waits for.
    waits_for: VecDeque<u32>,
    /// It said that it has none.
    refused: bool,
    /// How often it was left because nothing came in time.
    tries: u32,
}

/// A peer that offers the dictionary: how often it disappointed, and the size that it claims.
type Source = (u32, ConnectionId, u32);

impl MetadataExchange {
    /// A peer left.
    pub(super) fn peer_gone(&mut self, conn: ConnectionId) {
        self.peers.remove(&conn);
        self.attempt.take_if(|attempt| attempt.connection == conn);
    }

    /// When patience with the peer that is asked ends.
    pub(super) fn next_timeout(&self) -> Timestamp {
        let attempt = self.attempt.as_ref();
        attempt.map_or(Timestamp::NEVER, Attempt::gives_up_at)
    }

    /// Of those that offer a dictionary of an allowed size, the peers that did not refuse it.
    fn sources(&self, offers: impl Iterator<Item = (ConnectionId, u32)>) -> Vec<Source> {
        let allowed = offers.filter(|(_, size)| *size > 0 && *size as usize <= MAX_INFO_LEN);
        allowed
            .filter_map(|(conn, size)| match self.peers.get(&conn) {
                Some(peer) if peer.refused => None,
                peer => Some((peer.map_or(0, |peer| peer.tries), conn, size)),
            })
            .collect()
    }

    /// Pieces to ask for now, and of whom. It begins with the source that disappointed least.
    fn requests(&mut self, now: Timestamp, sources: &[Source]) -> Vec<(ConnectionId, u32)> {
        if self.attempt.is_none() {
            let next = sources.iter().min_by_key(|(tries, ..)| *tries);
            self.attempt = next.map(|(tries, conn, size)| Attempt::new(*conn, *size, *tries, now));
        }
        let Some(attempt) = &mut self.attempt else {
            return Vec::new();
        };
        let conn = attempt.connection;
        core::iter::from_fn(|| attempt.next_request())
            .map(|piece| (conn, piece))
            .collect()
    }

    /// A peer said that it has none.
    fn refused(&mut self, conn: ConnectionId) {
        if self
            .attempt
            .take_if(|attempt| attempt.connection == conn)
            .is_some()
        {
            self.peers.entry(conn).or_default().refused = true;
        }
    }

    /// A piece came. What nobody asked this peer for is ignored.
    fn data(&mut self, now: Timestamp, conn: ConnectionId, piece: u32, data: Bytes) -> Progress {
        let attempt = self
            .attempt
            .as_mut()
            .filter(|attempt| attempt.connection == conn);
        let Some(attempt) = attempt else {
            return Progress::More;
        };
        let progress = attempt.data(now, piece, data);
        if let Progress::Whole(_) = progress {
            self.attempt = None;
        }
        progress
    }

    /// Leaves a peer that sends too little, for another if there is one.
    fn time_out(&mut self, now: Timestamp, sources: &[Source]) {
        let Some(attempt) = self
            .attempt
            .as_mut()
            .filter(|attempt| now >= attempt.gives_up_at())
        else {
            return;
        };
        let conn = attempt.connection;
        let alone = sources.iter().all(|(_, other, _)| *other == conn);
        if alone && attempt.extend(now) {
            return;
        }
        self.attempt = None;
        self.peers.entry(conn).or_default().tries += 1;
    }

    /// A peer waits for a piece. Of each there is one at most, so this is bounded by the dictionary.
    fn waits(&mut self, conn: ConnectionId, piece: u32) {
        let waits_for = &mut self.peers.entry(conn).or_default().waits_for;
        if !waits_for.contains(&piece) {
            waits_for.push_back(piece);
        }
    }

    /// Peers that wait for a piece.
    fn waiting(&self) -> Vec<ConnectionId> {
        let waiting = self
            .peers
            .iter()
            .filter(|(_, peer)| !peer.waits_for.is_empty());
        waiting.map(|(conn, _)| *conn).collect()
    }

    fn next_for(&mut self, conn: ConnectionId) -> Option<u32> {
        self.peers.get_mut(&conn)?.waits_for.pop_front()
    }
}

impl Torrent {
    fn metadata_sources(&self) -> Vec<Source> {
        let offers = self.peers.iter().filter_map(|peer| {
            let size = peer.extensions.as_ref()?.metadata_size?;
            let speaks = peer.extension_id(UT_METADATA_NAME).is_some();
            speaks.then_some((peer.connection, size))
        });
        self.metadata.sources(offers)
    }

    /// Starts or goes on fetching the info dictionary.
    pub(super) fn fetch_metadata(&mut self, ctx: &mut Context) {
        if self.content.is_some() || !self.wants_peers() {
            return;
        }
        let sources = self.metadata_sources();
        for (conn, piece) in self.metadata.requests(ctx.now, &sources) {
            self.send_metadata(ctx, conn, &MetadataMessage::Request { piece });
        }
    }

    pub(super) fn time_out_metadata(&mut self, ctx: &Context) {
        if ctx.now >= self.metadata.next_timeout() {
            let sources = self.metadata_sources();
            self.metadata.time_out(ctx.now, &sources);
        }
    }

    fn send_metadata(&mut self, ctx: &mut Context, conn: ConnectionId, message: &MetadataMessage) {
        let peer = self.peers.get(conn);
        let id = peer.and_then(|peer| peer.extension_id(UT_METADATA_NAME));
        if let Some(id) = id {
            let payload = message.encode();
            self.send(ctx, conn, &Message::Extended { id, payload });
        }
    }

    /// Sends metadata as the channel takes it: it waits here as a number, not as bytes.
    pub(super) fn serve_metadata(&mut self, ctx: &mut Context) {
        let Some(info) = self.content.as_ref().map(|c| c.meta.info.clone()) else {
            return;
        };
        for conn in self.metadata.waiting() {
            while ctx
                .queues
                .get_mut(conn)
                .is_some_and(|queue| queue.has_room())
                && let Some(piece) = self.metadata.next_for(conn)
            {
                let start = piece as usize * METADATA_PIECE_LEN;
                let end = (start + METADATA_PIECE_LEN).min(info.len());
                let data = MetadataMessage::Data {
                    piece,
                    total_size: info.len() as u32,
                    data: info.slice(start..end),
                };
                self.send_metadata(ctx, conn, &data);
            }
        }
    }

    fn metadata_requested(&mut self, ctx: &mut Context, conn: ConnectionId, piece: u32) {
        let info = self.content.as_ref().map(|content| content.meta.info.len());
        let pieces = info.map_or(0, |length| length.div_ceil(METADATA_PIECE_LEN));
        if piece as usize >= pieces {
            return self.send_metadata(ctx, conn, &MetadataMessage::Reject { piece });
        }
        self.metadata.waits(conn, piece);
    }

    pub(super) fn metadata_message(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        payload: &Bytes,
    ) -> Result<(), ClosedReason> {
        let message =
            MetadataMessage::decode(payload).map_err(|e| ClosedReason::Protocol(e.to_string()))?;
        match message {
            MetadataMessage::Request { piece } => self.metadata_requested(ctx, conn, piece),
            MetadataMessage::Reject { .. } => self.metadata.refused(conn),
            MetadataMessage::Data { piece, data, .. } => {
                match self.metadata.data(ctx.now, conn, piece, data) {
                    Progress::More => {}
                    Progress::Wrong => return Err(protocol("metadata of a false size")),
                    Progress::Whole(info) => self.metadata_whole(ctx, conn, info)?,
                }
            }
            MetadataMessage::Unknown => {}
        }
        Ok(())
    }

    fn metadata_whole(
        &mut self,
        ctx: &mut Context,
        conn: ConnectionId,
        info: Bytes,
    ) -> Result<(), ClosedReason> {
        match Metainfo::from_info(info, self.info_hash, self.trackers.clone()) {
            Ok(meta) => {
                self.set_metainfo(ctx, meta);
                Ok(())
            }
            // The hash matched, so every copy is like this: no other peer would help.
            Err(error) if !matches!(error, MetainfoError::InfoHashMismatch { .. }) => {
                self.fail(
                    ctx,
                    format!("the torrent's info dictionary is not valid: {error}"),
                );
                Ok(())
            }
            Err(_) => {
                if let Some(id) = self.peers.identity(conn) {
                    ctx.banned.insert(id);
                }
                Err(ClosedReason::Corrupt)
            }
        }
    }
}

/// One attempt with one peer.
#[derive(Debug)]
struct Attempt {
    /// The connection of the peer that sends the dictionary.
    connection: ConnectionId,
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
enum Progress {
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
    fn new(connection: ConnectionId, size: u32, tries: u32, now: Timestamp) -> Attempt {
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
    fn extend(&mut self, now: Timestamp) -> bool {
        let alive = now < self.progress_at + PATIENCE;
        if alive {
            self.ends_at = now + self.patience;
        }
        alive
    }

    /// The next piece to ask for.
    fn next_request(&mut self) -> Option<u32> {
        if self.asked < self.pieces.len() && self.asked < self.received + WINDOW {
            self.asked += 1;
            return u32::try_from(self.asked - 1).ok();
        }
        None
    }

    /// Takes a piece.
    fn data(&mut self, now: Timestamp, piece: u32, data: Bytes) -> Progress {
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
    fn gives_up_at(&self) -> Timestamp {
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
