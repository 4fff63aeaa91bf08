//! The peers: many connections on one thread.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use memchr::memmem;
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::messages::{self, Descriptions, Introduction, Received};

/// Nothing takes this long, unless the server stopped.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long after the last announce its answers may still come: far above any bearable latency.
const DRAIN: Duration = Duration::from_secs(20);
/// Connections that shake hands at once.
const HANDSHAKES: usize = 128;
/// Announces on their way at once when there is no schedule.
const WINDOW: usize = 32;
/// Announces sent before the replies get their turn.
const SENDS_PER_TURN: usize = 32;

/// The reason why a measurement is impossible.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Starting or watching the server.
    #[error("{0}: {1}")]
    Server(String, io::Error),
    /// It ended.
    #[error("the server ended during the measurement")]
    Gone,
    /// A socket failed while connecting.
    #[error(
        "connection {0}: {1} (each connection takes a file descriptor here and in the server: see `ulimit -n`)"
    )]
    Connect(usize, io::Error),
    /// The system's polling failed.
    #[error("waiting for sockets: {0}")]
    Poll(#[from] io::Error),
    /// Nothing moves.
    #[error("{0}: not done within a minute")]
    Stuck(&'static str),
    /// Before any rate was tried, everything must arrive.
    #[error("{0}: {1} messages were lost and {2} refused or damaged, at a load that is none")]
    Broken(&'static str, usize, usize),
}

/// The results of a rate.
pub struct Outcome {
    /// Sent.
    pub announces: usize,
    /// Replies and answers that did not come.
    pub lost: usize,
    /// Refusals and damaged messages.
    pub refused: usize,
    /// Due time to reply.
    pub replies: Vec<Duration>,
    /// Due time to answer.
    pub answers: Vec<Duration>,
    /// Due time to the time at which the load sent it.
    pub lateness: Vec<Duration>,
    /// From the first announce's due time to the last one's sending.
    pub elapsed: Duration,
}

/// All peers of one server.
pub struct Load {
    poll: Poll,
    events: Events,
    peers: Vec<Peer>,
    peer_ids: Vec<String>,
    hashes: Vec<String>,
    swarm: usize,
    descriptions: Descriptions,
    scratch: Vec<u8>,
    /// Connections that became WebSockets.
    opened: usize,
    /// The announces of this round, the first of which has the number `base`.
    base: u32,
    sent: Vec<Sent>,
    /// Answers that these must bring.
    expected: usize,
    seen: Seen,
    whole: bool,
}

struct Sent {
    due: Instant,
    peer: usize,
}

#[derive(Default)]
struct Seen {
    replies: Vec<Duration>,
    answers: Vec<Duration>,
    refused: usize,
}

struct Peer {
    stream: TcpStream,
    open: bool,
    closed: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Announces without a reply: replies come in order.
    unanswered: VecDeque<u32>,
}

impl Load {
    /// Connects all of them.
    pub fn connect(address: SocketAddr, count: usize, swarm: usize) -> Result<Self, LoadError> {
        let swarm = swarm.clamp(1, count.max(1));
        let mut load = Load {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            peers: Vec::with_capacity(count),
            peer_ids: (0..count).map(messages::peer_id).collect(),
            hashes: (0..count.div_ceil(swarm))
                .map(messages::info_hash)
                .collect(),
            swarm,
            descriptions: Descriptions::make(),
            scratch: vec![0; 256 * 1024],
            opened: 0,
            base: 0,
            sent: Vec::new(),
            expected: 0,
            seen: Seen::default(),
            whole: true,
        };
        let deadline = Instant::now() + PATIENCE;
        while load.opened < count {
            while load.peers.len() < count && load.peers.len() < load.opened + HANDSHAKES {
                let at = load.peers.len();
                let failed = |error| LoadError::Connect(at, error);
                let mut stream = TcpStream::connect(address).map_err(failed)?;
                load.poll.registry().register(
                    &mut stream,
                    Token(at),
                    Interest::READABLE | Interest::WRITABLE,
                )?;
                let request = format!(
                    "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                );
                load.peers.push(Peer {
                    stream,
                    open: false,
                    closed: false,
                    input: Vec::new(),
                    output: request.into_bytes(),
                    unanswered: VecDeque::new(),
                });
            }
            if Instant::now() > deadline {
                return Err(LoadError::Stuck("connecting"));
            }
            load.turn(Duration::from_secs(1))?;
            if let Some(at) = load.peers.iter().position(|peer| peer.closed) {
                return Err(LoadError::Connect(
                    at,
                    io::ErrorKind::ConnectionReset.into(),
                ));
            }
        }
        Ok(load)
    }

    /// Whether every connection is still there and nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Everybody enters a swarm, without offers.
    pub fn join(&mut self) -> Result<(), LoadError> {
        self.all_at_leisure("joining", false)
    }

    /// Everybody announces with offers, which are answered.
    pub fn everybody_once(&mut self) -> Result<(), LoadError> {
        self.all_at_leisure("announcing", true)
    }

    fn all_at_leisure(&mut self, what: &'static str, offers: bool) -> Result<(), LoadError> {
        self.begin();
        let deadline = Instant::now() + PATIENCE;
        let mut next = 0;
        loop {
            while next < self.peers.len() && next < self.seen.replies.len() + WINDOW {
                self.announce(next, Instant::now(), offers);
                next += 1;
            }
            let done = next == self.peers.len()
                && self.seen.replies.len() >= next
                && self.seen.answers.len() >= self.expected;
            if done {
                break;
            }
            if Instant::now() > deadline {
                return Err(LoadError::Stuck(what));
            }
            self.turn(Duration::from_millis(100))?;
        }
        let closed = self.peers.iter().filter(|peer| peer.closed).count();
        match closed + self.seen.refused {
            0 => Ok(()),
            _ => Err(LoadError::Broken(what, closed, self.seen.refused)),
        }
    }

    /// Announces due `rate` times a second, spread over the peers.
    pub fn at_rate(&mut self, rate: f64, seconds: Duration) -> Result<Outcome, LoadError> {
        self.begin();
        let total = (rate * seconds.as_secs_f64()).round() as usize;
        let start = Instant::now();
        let mut lateness = Vec::with_capacity(total);
        let mut elapsed = Duration::ZERO;
        let mut next = 0;
        loop {
            let mut now = Instant::now();
            let mut wait = DRAIN;
            for _ in 0..SENDS_PER_TURN {
                if next == total {
                    break;
                }
                let due = start + Duration::from_secs_f64(next as f64 / rate);
                if due > now {
                    wait = due - now;
                    break;
                }
                lateness.push(now - due);
                // A stride without a common divisor with any count of peers here: neighbours in time are not in one
                // swarm.
                self.announce(next.wrapping_mul(7_919) % self.peers.len(), due, true);
                next += 1;
                now = Instant::now();
                elapsed = now - start;
                wait = Duration::ZERO;
            }
            if next == total {
                let done =
                    self.seen.replies.len() == total && self.seen.answers.len() == self.expected;
                let late = now.saturating_duration_since(start + elapsed);
                if done || late > DRAIN || self.peers.iter().all(|peer| peer.closed) {
                    break;
                }
                wait = DRAIN.saturating_sub(late).min(Duration::from_millis(100));
            }
            self.turn(wait)?;
        }
        let seen = std::mem::take(&mut self.seen);
        let expected = total + self.expected;
        let lost = expected.saturating_sub(seen.replies.len() + seen.answers.len());
        self.whole &= lost == 0 && self.peers.iter().all(|peer| !peer.closed);
        Ok(Outcome {
            announces: total,
            lost,
            refused: seen.refused,
            replies: seen.replies,
            answers: seen.answers,
            lateness,
            elapsed,
        })
    }

    /// A new round: late messages of the former one are not counted.
    fn begin(&mut self) {
        self.base = self.base.wrapping_add(self.sent.len() as u32);
        self.sent.clear();
        self.expected = 0;
        self.seen = Seen::default();
    }

    /// The number of peers in this peer's swarm.
    fn members(&self, peer: usize) -> usize {
        let from = peer / self.swarm * self.swarm;
        (from + self.swarm).min(self.peers.len()) - from
    }

    fn announce(&mut self, peer: usize, due: Instant, offers: bool) {
        let index = self.base.wrapping_add(self.sent.len() as u32);
        self.sent.push(Sent { due, peer });
        let count = if offers {
            messages::offers_of(index)
        } else {
            0
        };
        self.expected += count.min(self.members(peer) - 1);
        let (hash, id) = (&self.hashes[peer / self.swarm], &self.peer_ids[peer]);
        let text = messages::announce(index, hash, id, count, &self.descriptions);
        let peer = &mut self.peers[peer];
        peer.unanswered.push_back(index);
        messages::push_frame(&mut peer.output, &text);
        peer.flush();
    }

    /// Waits for sockets at most this long, and serves those that are ready.
    fn turn(&mut self, wait: Duration) -> Result<(), LoadError> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        let ready: Vec<(usize, bool, bool)> = self
            .events
            .iter()
            .map(|event| (event.token().0, event.is_readable(), event.is_writable()))
            .collect();
        for (at, readable, writable) in ready {
            if writable {
                self.peers[at].flush();
            }
            if readable {
                self.read(at);
            }
        }
        Ok(())
    }

    fn read(&mut self, at: usize) {
        let mut scratch = std::mem::take(&mut self.scratch);
        loop {
            let peer = &mut self.peers[at];
            match peer.stream.read(&mut scratch) {
                Ok(0) => {
                    peer.closed = true;
                    break;
                }
                Ok(length) => {
                    let mut rest = std::mem::take(&mut self.peers[at].input);
                    if rest.is_empty() {
                        let used = self.consume(at, &scratch[..length]);
                        rest.extend_from_slice(&scratch[used..length]);
                    } else {
                        rest.extend_from_slice(&scratch[..length]);
                        let used = self.consume(at, &rest);
                        rest.drain(..used);
                    }
                    self.peers[at].input = rest;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    peer.closed |= error.kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        self.scratch = scratch;
        self.peers[at].flush();
    }

    /// Understands the complete frames; answers their length.
    fn consume(&mut self, at: usize, bytes: &[u8]) -> usize {
        let mut used = 0;
        if !self.peers[at].open {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
                return 0;
            };
            if !bytes.starts_with(b"HTTP/1.1 101 ") {
                self.peers[at].closed = true;
                return bytes.len();
            }
            used = end + 4;
            self.peers[at].open = true;
            self.opened += 1;
        }
        while let Some(frame) = messages::frame(&bytes[used..]) {
            used += frame.length;
            match frame.opcode {
                1 => self.receive(at, frame.payload),
                8 => self.peers[at].closed = true,
                9 => self.peers[at].output.extend_from_slice(&messages::PONG),
                _ => {}
            }
        }
        used
    }

    fn receive(&mut self, at: usize, text: &[u8]) {
        match messages::understand(text, &self.descriptions) {
            Received::Reply => {
                if let Some(index) = self.peers[at].unanswered.pop_front()
                    && let Some(sent) = self.sent_with(index)
                {
                    let latency = sent.due.elapsed();
                    self.seen.replies.push(latency);
                }
            }
            Received::Offer(introduction) => self.answer(at, introduction),
            Received::Answer(Introduction { index, .. }) => {
                if let Some(sent) = self.sent_with(index) {
                    let latency = sent.due.elapsed();
                    self.seen.answers.push(latency);
                }
            }
            Received::Refused => self.seen.refused += 1,
        }
    }

    fn answer(&mut self, at: usize, introduction: Introduction) {
        let Some(offerer) = self.sent_with(introduction.index).map(|sent| sent.peer) else {
            return;
        };
        let text = messages::answer(
            introduction,
            &self.hashes[at / self.swarm],
            &self.peer_ids[at],
            &self.peer_ids[offerer],
            &self.descriptions,
        );
        messages::push_frame(&mut self.peers[at].output, &text);
    }

    fn sent_with(&self, index: u32) -> Option<&Sent> {
        self.sent.get(index.wrapping_sub(self.base) as usize)
    }
}

impl Peer {
    /// Sends as much as the socket takes; its next event continues.
    fn flush(&mut self) {
        let mut from = 0;
        while from < self.output.len() {
            match self.stream.write(&self.output[from..]) {
                Ok(written) => from += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let waits = matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                    );
                    self.closed |= !waits;
                    break;
                }
            }
        }
        self.output.drain(..from);
        if self.output.is_empty() && self.output.capacity() > 64 * 1024 {
            self.output = Vec::new();
        }
    }
}
