//! Web servers: what they have, and how they serve it.

use std::collections::BTreeSet;

use piecework::time::{Duration, Timestamp};

use crate::content::Content;

/// How a web server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serves {
    /// As it should.
    Right,
    /// One bit is wrong in the 16 KiB blocks of the torrent with these numbers.
    Wrong(BTreeSet<u64>),
    /// This many bytes a second.
    Drips(u64),
    /// It takes the request, and never answers.
    Nothing,
    /// 200 and the whole file, whatever was asked for.
    WholeFiles,
    /// This status, with `Retry-After` in seconds.
    Status(u16, Option<u64>),
    /// 206 with a range that begins a byte later.
    OtherRange,
    /// 206, and then this many bytes more than was asked for, or fewer.
    Length(i64),
    /// As it should, but for the files with these numbers, which it lacks.
    Without(BTreeSet<u32>),
}

/// A web server with the files of one torrent.
#[derive(Clone, Debug)]
pub struct WebServer {
    pub(crate) content: Content,
    pub(crate) serves: Serves,
    /// Bytes per second over all its answers.
    pub(crate) rate: u64,
    pub(crate) free_at: Timestamp,
    /// Bytes that it sent.
    pub(crate) sent: u64,
    /// When it was asked.
    pub(crate) asked: Vec<Timestamp>,
}

impl WebServer {
    /// A server that sends so many bytes per second.
    pub fn new(content: &Content, serves: Serves, rate: u64) -> WebServer {
        WebServer {
            content: content.clone(),
            serves,
            rate,
            free_at: Timestamp::ZERO,
            sent: 0,
            asked: Vec::new(),
        }
    }

    /// The time that the answer's next bytes take after all that it sends already.
    pub(crate) fn takes(&mut self, now: Timestamp, bytes: u64) -> Timestamp {
        let rate = match self.serves {
            Serves::Drips(rate) => rate,
            _ => self.rate,
        };
        let from = self.free_at.max(now);
        self.free_at = from + Duration::from_micros(bytes * 1_000_000 / rate);
        self.free_at
    }
}
