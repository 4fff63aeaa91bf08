//! Readers of a torrent's files: what each may be given next, and which pieces they make urgent.
//!
//! A reader gets verified bytes in order, one chunk for each pull, and reading ahead ends where its range ends. A
//! player reads a file by many reads: reading ahead follows the place where the last of them was, also between two of
//! them. A player's reads are held to the place that it shows ([`Players`]).

use std::collections::VecDeque;

use super::players::{JUMP, Players, Waiting};
use crate::io::Playhead;
use crate::metainfo::{FileSpan, Metainfo};
use crate::sorted::{Map, Set};
use crate::time::{Duration, Timestamp};
use crate::types::{BlockRef, PieceIndex, StreamId};
use crate::verify::VerifiedPieces;

/// Streams of one torrent at once.
pub const MAX_STREAMS: usize = 64;
/// Bytes of one chunk.
pub const MAX_CHUNK: u64 = 256 * 1024;
/// A read that nobody waits for and nobody pulled for so long loses its deadlines.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// Bytes ahead of a reader that are fetched before all else.
const READ_AHEAD: u64 = 8 * 1024 * 1024;
/// On demand, where nothing else is fetched, a read gets at most this share of the file, ...
const READ_AHEAD_SHARE: u64 = 16;
/// ... but at least so many bytes.
const LEAST_READ_AHEAD: u64 = 1024 * 1024;
/// Who has missing pieces of a file stays of interest for so long after it was read: a viewer that goes on or seeks
/// would wait for every peer's unchoke.
const STAYS_OF_INTEREST: Duration = Duration::from_secs(120);
/// Bytes at the head and the tail of a file being played: where containers keep their index.
const MARGIN: u64 = 64 * 1024;
/// What follows the playhead comes before the margins, so far: a player that shows its first frame soon needs more than
/// the head, and one that finds its index at the end asks for it.
const BEFORE_MARGINS: u64 = 1024 * 1024;
/// Assumed bytes per second of a media file, for the deadlines, unless its player told: 8 Mbit/s.
const PLAY_RATE: u64 = 1_000_000;
/// A reader waits this long at the most before its first byte should be there.
const FIRST_DEADLINE: Duration = Duration::from_secs(2);
/// Pulls that a reader may have open.
const MAX_PULLS: u32 = 16;

/// One reader.
#[derive(Debug)]
pub struct Stream {
    file: u32,
    position: u64,
    end: u64,
    pulls: u32,
    pulled_at: Timestamp,
    /// Bytes being read by storage.
    reading: u64,
    /// What a player's read may have wherever the players are: up to this byte. `None`: no player holds it.
    granted: Option<u64>,
}

/// Where reading of a file goes on.
#[derive(Debug, Clone, Copy)]
struct Reading {
    position: u64,
    seen: Timestamp,
    granted: Option<u64>,
}

/// Pieces wanted by a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urgent {
    /// From here.
    pub first: PieceIndex,
    /// To here, excluded.
    pub end: PieceIndex,
    /// When the first is due.
    pub deadline: Timestamp,
    /// How much later each following one is.
    pub spacing: Duration,
}

/// All readers of one torrent.
#[derive(Debug, Default)]
pub struct Streams {
    open: Map<StreamId, Stream>,
    /// Where a player's read of a file was last.
    playheads: Map<u32, Reading>,
    /// When each file was read last.
    read: Map<u32, Timestamp>,
    /// Where players' reads ended last, at most [`MAX_STREAMS`]. Of two players of a file, the one's playhead is not
    /// where the other goes on.
    ended: VecDeque<Ended>,
    players: Players,
}

/// A player's read that came to its end.
#[derive(Debug, Clone, Copy)]
struct Ended {
    file: u32,
    position: u64,
    granted: u64,
}

impl Streams {
    /// Begins a read; the caller checked that the range lies within the file. With `plays` it is a player's.
    pub fn open(
        &mut self,
        id: StreamId,
        file: u32,
        offset: u64,
        length: u64,
        plays: bool,
        now: Timestamp,
    ) {
        // A player reads a file by many reads, and one that goes on where another ended is no jump.
        let granted = plays
            .then(|| (self.granted_before(file, offset)).unwrap_or(offset.saturating_add(JUMP)));
        let stream = Stream {
            file,
            position: offset,
            end: offset + length,
            pulls: 0,
            pulled_at: now,
            reading: 0,
            granted,
        };
        note(&mut self.playheads, &stream, now);
        self.read.insert(file, now);
        self.open.insert(id, stream);
    }

    /// What a player's read was granted that was at this place last.
    fn granted_before(&mut self, file: u32, offset: u64) -> Option<u64> {
        let ended = (self.ended.iter())
            .position(|ended| (ended.file, ended.position) == (file, offset))
            .and_then(|at| self.ended.remove(at));
        let playhead = (self.playheads.get(&file)).filter(|before| before.position == offset);
        (ended.map(|ended| ended.granted)).or_else(|| playhead?.granted)
    }

    /// A page tells where a player is; `None`: it plays no more.
    pub fn play(
        &mut self,
        player: u64,
        head: Option<Playhead>,
        meta: Option<&Metainfo>,
        now: Timestamp,
    ) {
        let starved = head.filter(|head| head.starved);
        let held = starved.zip(meta).and_then(|(head, meta)| {
            let length = meta.files.get(head.file as usize)?.length;
            let waiting: Vec<Waiting> = (self.open.values())
                .filter(|stream| {
                    stream.file == head.file && stream.pulls > 0 && stream.reading == 0
                })
                .filter_map(|stream| {
                    let position = stream.position;
                    let granted = stream.granted?;
                    Some(Waiting { position, granted })
                })
                .collect();
            let piece_length = u64::from(meta.piece_length);
            (self.players).held_at(player, head, length, piece_length, &waiting)
        });
        self.players.set(player, head, held, now);
    }

    /// Up to where a reading of a file may make us fetch.
    fn limit(&self, reading: Reading, file: u32, length: u64) -> u64 {
        reading.granted.map_or(u64::MAX, |granted| {
            (self.players).limit(file, length, reading.position, granted)
        })
    }

    /// The reader has room for one more chunk.
    pub fn pull(&mut self, id: StreamId, now: Timestamp) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.pulls = (stream.pulls + 1).min(MAX_PULLS);
            stream.pulled_at = now;
            note(&mut self.playheads, stream, now);
        }
    }

    /// The reader is gone.
    pub fn close(&mut self, id: StreamId) -> bool {
        self.open.remove(&id).is_some()
    }

    /// Ends all, for a torrent that goes away.
    pub fn drain(&mut self) -> Vec<StreamId> {
        self.playheads.clear();
        self.read.clear();
        self.ended.clear();
        self.players.clear();
        core::mem::take(&mut self.open).into_keys().collect()
    }

    /// Number of readers that are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// The next chunk that can be read: spans of verified pieces only.
    pub fn next_read(
        &mut self,
        meta: &Metainfo,
        verified: &VerifiedPieces,
    ) -> Option<(StreamId, Vec<FileSpan>)> {
        for (id, stream) in &mut self.open {
            if stream.pulls == 0 || stream.reading > 0 || stream.position >= stream.end {
                continue;
            }
            let Some(file) = meta.files.get(stream.file as usize) else {
                continue;
            };
            let start = file.offset + stream.position;
            let most = (stream.end - stream.position).min(MAX_CHUNK);
            let ready = readable(meta, verified, start, most);
            if ready > 0 {
                stream.reading = ready;
                stream.pulls -= 1;
                return Some((*id, meta.spans(start, ready).collect()));
            }
        }
        None
    }

    /// Where readers wait for bytes that are not verified: who, and the piece.
    pub fn waiting(&self, meta: &Metainfo) -> Vec<(StreamId, PieceIndex)> {
        let piece_length = u64::from(meta.piece_length);
        (self.open.iter())
            .filter(|(_, stream)| stream.pulls > 0 && stream.reading == 0)
            .filter_map(|(id, stream)| {
                let file = meta.files.get(stream.file as usize)?;
                let piece = (file.offset + stream.position) / piece_length;
                Some((*id, PieceIndex(piece as u32)))
            })
            .collect()
    }

    /// Bytes that a reader was not given yet.
    pub fn rest_of(&self, id: StreamId) -> u64 {
        (self.open.get(&id)).map_or(0, |stream| stream.end - stream.position)
    }

    /// A chunk was read: whether it was the last, or `None` if the reader is gone.
    pub fn read_done(&mut self, id: StreamId, length: u64, now: Timestamp) -> Option<bool> {
        let stream = self.open.get_mut(&id)?;
        stream.position += length;
        stream.reading = 0;
        note(&mut self.playheads, stream, now);
        let last = stream.position >= stream.end;
        if last {
            let (file, position) = (stream.file, stream.position);
            if let Some(granted) = stream.granted {
                if self.ended.len() >= MAX_STREAMS {
                    self.ended.pop_front();
                }
                self.ended.push_back(Ended {
                    file,
                    position,
                    granted,
                });
            }
            self.open.remove(&id);
        }
        Some(last)
    }

    /// The files that are read, or were a short while ago, whether or not a read waits for anything.
    pub fn files(&mut self, now: Timestamp) -> Set<u32> {
        for stream in self.open.values() {
            self.read.insert(stream.file, now);
        }
        for (file, reading) in &self.playheads {
            let seen = self.read.entry(*file).or_insert(reading.seen);
            *seen = reading.seen.max(*seen);
        }
        self.read
            .retain(|_, seen| now.since(*seen) < STAYS_OF_INTEREST);
        self.read.keys().copied().collect()
    }

    /// What is urgent now; `on_demand`: nothing else is fetched.
    pub fn urgent(&mut self, meta: &Metainfo, now: Timestamp, on_demand: bool) -> Vec<Urgent> {
        self.players.forget(now);
        self.playheads
            .retain(|_, reading| now.since(reading.seen) < FORGOTTEN);
        let mut urgent = Vec::new();
        let piece_length = u64::from(meta.piece_length);
        let mut window = |from: u64, to: u64, deadline: Timestamp, spacing: Duration| {
            let first = from / piece_length;
            let end = to.div_ceil(piece_length).min(u64::from(meta.piece_count()));
            if from < to && first < end {
                urgent.push(Urgent {
                    first: PieceIndex(first as u32),
                    end: PieceIndex(end as u32),
                    deadline,
                    spacing,
                });
            }
        };
        let rate = |file| self.players.rate(file).unwrap_or(PLAY_RATE).max(1);
        let spacing = |file| Duration::from_micros(piece_length * 1_000_000 / rate(file));
        let to = |reading: Reading, file: u32, length: u64| {
            let (ahead, limit) = match on_demand {
                true => (
                    (length / READ_AHEAD_SHARE).clamp(LEAST_READ_AHEAD, READ_AHEAD),
                    self.limit(reading, file, length),
                ),
                false => (READ_AHEAD, u64::MAX),
            };
            (reading.position + ahead).min(length).min(limit)
        };
        for stream in self.open.values() {
            if stream.pulls == 0 && now.since(stream.pulled_at) >= FORGOTTEN {
                continue;
            }
            if let Some(file) = meta.files.get(stream.file as usize) {
                let to = to(stream.as_reading(), stream.file, file.length).min(stream.end);
                window(
                    file.offset + stream.position,
                    file.offset + to,
                    stream.pulled_at + FIRST_DEADLINE,
                    spacing(stream.file),
                );
            }
        }
        for (index, reading) in &self.playheads {
            if let Some(file) = meta.files.get(*index as usize) {
                let (start, end) = (file.offset, file.offset + file.length);
                window(
                    start + reading.position,
                    start + to(*reading, *index, file.length),
                    reading.seen + FIRST_DEADLINE,
                    spacing(*index),
                );
                let later = reading.seen
                    + FIRST_DEADLINE
                    + Duration::from_micros(BEFORE_MARGINS * 1_000_000 / PLAY_RATE);
                window(start, (start + MARGIN).min(end), later, Duration::ZERO);
                window(
                    end.saturating_sub(MARGIN).max(start),
                    end,
                    later,
                    Duration::ZERO,
                );
            }
        }
        urgent
    }

    /// When something urgent stops being so.
    pub fn next_timeout(&self) -> Timestamp {
        self.playheads
            .values()
            .map(|reading| reading.seen + FORGOTTEN)
            .chain(self.read.values().map(|seen| *seen + STAYS_OF_INTEREST))
            .min()
            .unwrap_or(Timestamp::NEVER)
            .min(self.players.next_timeout())
    }
}

impl Stream {
    fn reading_at(&self, seen: Timestamp) -> Reading {
        Reading {
            position: self.position,
            seen,
            granted: self.granted,
        }
    }

    fn as_reading(&self) -> Reading {
        self.reading_at(self.pulled_at)
    }
}

/// Notes where a player's read is. Who reads a part of a file for itself asks for nothing beside it.
fn note(playheads: &mut Map<u32, Reading>, stream: &Stream, now: Timestamp) {
    if stream.granted.is_some() {
        playheads.insert(stream.file, stream.reading_at(now));
    }
}

/// How many bytes from `start` on, at most `most`, lie in verified pieces without a gap.
fn readable(meta: &Metainfo, verified: &VerifiedPieces, start: u64, most: u64) -> u64 {
    let piece_length = u64::from(meta.piece_length);
    let mut ready = 0;
    while ready < most {
        let at = start + ready;
        let piece = PieceIndex((at / piece_length) as u32);
        let begin = at % piece_length;
        let run = (piece_length - begin).min(most - ready);
        let block = BlockRef {
            piece,
            begin: begin as u32,
            length: run as u32,
        };
        match verified.block(block) {
            Some(_) => ready += run,
            None => break,
        }
    }
    ready
}

#[cfg(test)]
mod tests {
    use super::super::players::scene::*;
    use super::*;

    /// What a player of it has ahead.
    const AHEAD: u64 = 1_500_000;
    const PIECE: u64 = 262_144;

    fn film() -> Metainfo {
        let hashes = FILM.div_ceil(PIECE) * 20;
        let mut torrent = format!(
            "d4:infod6:lengthi{FILM}e4:name4:film12:piece lengthi{PIECE}e6:pieces{hashes}:"
        )
        .into_bytes();
        torrent.resize(torrent.len() + hashes as usize, b'h');
        torrent.extend_from_slice(b"ee");
        Metainfo::from_torrent(&torrent).expect("a torrent")
    }

    /// A player's read that got what lies between the two places, and waits for more.
    fn read(streams: &mut Streams, id: u64, from: u64, to: u64) {
        streams.open(StreamId(id), 0, from, FILM - from, true, NOW);
        streams.pull(StreamId(id), NOW);
        streams.read_done(StreamId(id), to - from, NOW);
    }

    fn limit(streams: &Streams, id: u64) -> u64 {
        let stream = streams.open.get(&StreamId(id)).expect("a read");
        streams.limit(stream.as_reading(), 0, FILM)
    }

    #[test]
    fn a_player_whose_peers_are_slow_takes_no_held_read_of_another_for_its_own() {
        let film = film();
        let edge = 2_000_000 + AHEAD;
        // A read goes on to the end of the piece in which the window ends.
        for waits_at in [edge, edge.next_multiple_of(PIECE)] {
            for (slow, full) in [(1, 2), (2, 1)] {
                let mut streams = Streams::default();
                streams.play(full, head(2_000_000, false), Some(&film), NOW);
                streams.play(slow, head(20_000_000, false), Some(&film), NOW);
                read(&mut streams, slow, 20_000_000, 20_300_000);
                read(&mut streams, full, 2_000_000, waits_at);
                let before = (limit(&streams, slow), limit(&streams, full));
                assert_eq!(before.0, 20_000_000 + AHEAD);
                for _ in 0..10 {
                    streams.play(slow, head(20_000_000, true), Some(&film), NOW);
                }
                assert_eq!((limit(&streams, slow), limit(&streams, full)), before);
                // Nor while it has no read at all, between two of them.
                streams.close(StreamId(slow));
                streams.play(slow, head(20_000_000, true), Some(&film), NOW);
                read(&mut streams, slow, 20_000_000, 20_300_000);
                assert_eq!((limit(&streams, slow), limit(&streams, full)), before);
            }
        }
    }

    /// The pieces that are urgent, on demand or not.
    fn urgent(streams: &mut Streams, on_demand: bool) -> Set<u32> {
        let urgent = streams.urgent(&film(), NOW, on_demand);
        (urgent.iter())
            .flat_map(|urgent| urgent.first.0..urgent.end.0)
            .collect()
    }

    #[test]
    fn a_read_of_a_part_fetches_that_part_alone_and_nothing_once_it_is_over() {
        for on_demand in [true, false] {
            let mut streams = Streams::default();
            streams.open(StreamId(1), 0, 10 * PIECE, PIECE, false, NOW);
            streams.pull(StreamId(1), NOW);
            assert_eq!(
                urgent(&mut streams, on_demand)
                    .into_iter()
                    .collect::<Vec<_>>(),
                [10]
            );
            streams.read_done(StreamId(1), PIECE, NOW);
            assert!(urgent(&mut streams, on_demand).is_empty());
            // Who has the file stays of interest: the next part may be read soon.
            assert!(streams.files(NOW).contains(&0));
        }
    }

    #[test]
    fn a_read_of_a_whole_file_on_demand_fetches_little_ahead() {
        let ahead = (FILM / READ_AHEAD_SHARE).clamp(LEAST_READ_AHEAD, READ_AHEAD);
        let mut streams = Streams::default();
        streams.open(StreamId(1), 0, 0, FILM, false, NOW);
        streams.pull(StreamId(1), NOW);
        let most = urgent(&mut streams, true).into_iter().max();
        assert_eq!(most, Some(ahead.div_ceil(PIECE) as u32 - 1));
    }

    #[test]
    fn a_starved_player_takes_the_held_read_that_is_its_own() {
        let film = film();
        for (mine, other) in [(1, 2), (2, 1)] {
            let mut streams = Streams::default();
            streams.play(mine, head(20_000_000, false), Some(&film), NOW);
            streams.play(other, head(2_000_000, false), Some(&film), NOW);
            read(&mut streams, mine, 20_000_000, 20_000_000 + AHEAD);
            read(&mut streams, other, 2_000_000, 2_000_000 + AHEAD);
            let others = limit(&streams, other);
            streams.play(mine, head(20_100_000, true), Some(&film), NOW);
            assert_eq!(limit(&streams, mine), 20_000_000 + 2 * AHEAD);
            assert_eq!(limit(&streams, other), others);
        }
    }

    #[test]
    fn a_read_that_goes_on_where_its_players_last_one_ended_is_no_jump_beside_another_player() {
        let mut streams = Streams::default();
        let response = 1_000_000;
        streams.open(StreamId(1), 0, 2_000_000, response, true, NOW);
        streams.open(StreamId(2), 0, 20_000_000, response, true, NOW);
        for id in [1, 2] {
            let last = streams.read_done(StreamId(id), response, NOW);
            assert_eq!(last, Some(true));
        }
        for (id, at) in [(3, 2_000_000), (4, 20_000_000)] {
            streams.open(StreamId(id), 0, at + response, response, true, NOW);
            let granted = streams
                .open
                .get(&StreamId(id))
                .and_then(|read| read.granted);
            assert_eq!(granted, Some(at + JUMP));
        }
        // Who comes back there later may have sought it.
        streams.open(StreamId(5), 0, 2_000_000 + response, response, true, NOW);
        let granted = streams.open.get(&StreamId(5)).and_then(|read| read.granted);
        assert_eq!(granted, Some(2_000_000 + response + JUMP));
        for id in 6..1_000 {
            streams.open(StreamId(id), 0, id * 2_000, 1_000, true, NOW);
            streams.read_done(StreamId(id), 1_000, NOW);
        }
        assert_eq!(streams.ended.len(), MAX_STREAMS);
    }

    #[test]
    fn of_players_side_by_side_none_is_held_for_ever() {
        let film = film();
        let mut streams = Streams::default();
        for id in [1, 2] {
            streams.play(id, head(2_000_000 + 50_000 * id, false), Some(&film), NOW);
        }
        let edge = (2_100_000 + AHEAD).next_multiple_of(PIECE);
        for id in [1, 2] {
            read(&mut streams, id, 2_000_000, edge);
        }
        // One is paused: the other, with its last byte shown, goes on.
        streams.play(1, head(2_050_000, true), Some(&film), NOW);
        assert_eq!(limit(&streams, 1), edge + AHEAD);
    }
}
