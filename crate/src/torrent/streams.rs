//! Readers of a torrent's files: what each may be given next, and which pieces they make urgent.
//!
//! A reader gets verified bytes in order, one chunk for each pull. Reading ahead follows the place where
//! the last reader of a file was, also between two `Range` requests of a player.

use crate::metainfo::{FileSpan, Metainfo};
use crate::sorted::Map;
use crate::time::{Duration, Timestamp};
use crate::types::{BlockRef, PieceIndex, StreamId};
use crate::verify::VerifiedPieces;

/// Streams of one torrent at once.
pub const MAX_STREAMS: usize = 64;
/// Bytes of one chunk.
pub const MAX_CHUNK: u64 = 256 * 1024;
/// A read that nobody waits for and nobody pulled for so long loses its deadlines.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// Bytes ahead of a playhead that are fetched before all else.
const READ_AHEAD: u64 = 8 * 1024 * 1024;
/// Bytes at the head and the tail of a file being played: where containers keep their index.
const MARGIN: u64 = 64 * 1024;
/// What follows the playhead comes before the margins, so far: a player that shows its first frame soon needs more than
/// the head, and one that finds its index at the end asks for it.
const BEFORE_MARGINS: u64 = 1024 * 1024;
/// Assumed bytes per second of a media file, for the deadlines: 8 Mbit/s.
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
    /// Per file: where reading goes on, and when it last did.
    playheads: Map<u32, (u64, Timestamp)>,
}

impl Streams {
    /// Begins a read; the caller checked that the range lies within the file.
    pub fn open(&mut self, id: StreamId, file: u32, offset: u64, length: u64, now: Timestamp) {
        self.playheads.insert(file, (offset, now));
        self.open.insert(
            id,
            Stream {
                file,
                position: offset,
                end: offset + length,
                pulls: 0,
                pulled_at: now,
                reading: 0,
            },
        );
    }

    /// The reader has room for one more chunk.
    pub fn pull(&mut self, id: StreamId, now: Timestamp) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.pulls = (stream.pulls + 1).min(MAX_PULLS);
            stream.pulled_at = now;
            self.playheads.insert(stream.file, (stream.position, now));
        }
    }

    /// The reader is gone.
    pub fn close(&mut self, id: StreamId) -> bool {
        self.open.remove(&id).is_some()
    }

    /// Ends all, for a torrent that goes away.
    pub fn drain(&mut self) -> Vec<StreamId> {
        self.playheads.clear();
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
        self.playheads.insert(stream.file, (stream.position, now));
        let last = stream.position >= stream.end;
        if last {
            self.open.remove(&id);
        }
        Some(last)
    }

    /// What is urgent now.
    pub fn urgent(&mut self, meta: &Metainfo, now: Timestamp) -> Vec<Urgent> {
        self.playheads
            .retain(|_, (_, seen)| now.since(*seen) < FORGOTTEN);
        let mut urgent = Vec::new();
        let piece_length = u64::from(meta.piece_length);
        let spacing = Duration::from_micros(piece_length * 1_000_000 / PLAY_RATE);
        let mut window = |from: u64, to: u64, deadline: Timestamp, spacing: Duration| {
            let first = from / piece_length;
            let end = to.div_ceil(piece_length).min(u64::from(meta.piece_count()));
            if first < end {
                urgent.push(Urgent {
                    first: PieceIndex(first as u32),
                    end: PieceIndex(end as u32),
                    deadline,
                    spacing,
                });
            }
        };
        for stream in self.open.values() {
            if stream.pulls == 0 && now.since(stream.pulled_at) >= FORGOTTEN {
                continue;
            }
            if let Some(file) = meta.files.get(stream.file as usize) {
                let from = file.offset + stream.position;
                let to = file.offset + stream.end.min(stream.position + READ_AHEAD);
                window(from, to, stream.pulled_at + FIRST_DEADLINE, spacing);
            }
        }
        for (index, (position, seen)) in &self.playheads {
            if let Some(file) = meta.files.get(*index as usize) {
                let (start, end) = (file.offset, file.offset + file.length);
                let from = start + position;
                window(
                    from,
                    (from + READ_AHEAD).min(end),
                    *seen + FIRST_DEADLINE,
                    spacing,
                );
                let later = *seen
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
            .map(|(_, seen)| *seen + FORGOTTEN)
            .min()
            .unwrap_or(Timestamp::NEVER)
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
