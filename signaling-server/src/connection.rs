//! One WebSocket connection: frames in, requests to the tracker; its outbox, frames out.
//!
//! A hand-written future, because a future that borrows nothing across an await is a few hundred bytes, and a thousand
//! connections should cost a thousand of those. It stops reading while its peer does not read, so that nobody can make
//! the server queue replies without bound.

use crate::frames::{self, Decoder, Fault, Incoming, Outgoing};
use crate::outbox::{End, Next, Outbox};
use crate::server::Shared;
use crate::tracker::ConnectionId;
use piecework_signaling_protocol::Request;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// RFC 6455 section 7.4.1: going away.
pub(crate) const CLOSE_GOING_AWAY: u16 = 1001;
/// Not UTF-8 where it must be.
const CLOSE_NOT_TEXT: u16 = 1007;
/// Policy violation.
pub(crate) const CLOSE_POLICY: u16 = 1008;
/// Message too big.
const CLOSE_TOO_BIG: u16 = 1009;
/// Malformed frames.
const CLOSE_PROTOCOL: u16 = 1002;

/// Reads before others get their turn.
const READS_PER_TURN: usize = 4;

/// One read: the largest announce in one go.
const READ_LEN: usize = 64 * 1024;

/// Frames given to the kernel at once.
const WRITE_BATCH: usize = 8;

/// With this many bytes waiting for this peer, its next message waits until they are on their way. Otherwise many
/// requests in one read would make a peer that reads look like one that does not.
const PAUSE_BYTES: usize = 16 * 1024;

/// The same for pongs.
const PAUSE_FRAMES: usize = 256;

thread_local! {
    /// The bytes that were just read, by whichever connection: one buffer for a thread, not one for a connection.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_LEN]);
}

/// One WebSocket connection, until it ends.
pub(crate) struct Connection {
    socket: TcpStream,
    decoder: Decoder,
    sending: VecDeque<Outgoing>,
    id: ConnectionId,
    outbox: Arc<Outbox>,
    shared: Arc<Shared>,
    close_sent: bool,
    /// Over, once the rest is sent.
    close_received: bool,
    /// No more input can be understood; the connection only sends the rest of its output.
    broken: bool,
}

impl Connection {
    /// Takes over a socket after its upgrade, with the bytes that the peer sent early.
    pub(crate) fn open(
        socket: TcpStream,
        mut early: Vec<u8>,
        shared: Arc<Shared>,
        peer: Option<IpAddr>,
    ) -> Self {
        let (id, outbox) = shared.register(peer);
        let mut connection = Connection {
            socket,
            decoder: Decoder::default(),
            sending: VecDeque::new(),
            id,
            outbox,
            shared,
            close_sent: false,
            close_received: false,
            broken: false,
        };
        connection.receive(&mut early);
        connection
    }

    /// Sends what is queued. Ready when all of it is with the kernel; an error ends the connection.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        loop {
            while self.sending.len() < WRITE_BATCH {
                let frame = match self.outbox.poll_next(cx.waker()) {
                    (_, End::Drop) => return Poll::Ready(Err(Ended)),
                    (Next::Text(text), _) if !self.close_sent => {
                        Outgoing::new(frames::TEXT, text.into_bytes())
                    }
                    (Next::Ping, _) if !self.close_sent => Outgoing::new(frames::PING, Vec::new()),
                    (Next::Nothing, End::Close(code)) if !self.close_sent => {
                        self.close_sent = true;
                        Outgoing::new(frames::CLOSE, code.to_be_bytes().to_vec())
                    }
                    (Next::Nothing, _) => break,
                    _ => continue,
                };
                self.sending.push_back(frame);
            }
            if self.sending.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let mut parts = [IoSlice::new(&[]); 2 * WRITE_BATCH];
            let left = self.sending.iter().flat_map(|frame| frame.left());
            let mut count = 0;
            for (part, left) in parts.iter_mut().zip(left) {
                *part = IoSlice::new(left);
                count += 1;
            }
            let parts = parts.get(..count).unwrap_or(&[]);
            let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, parts));
            let mut written = match written {
                Ok(written) if written > 0 => written,
                _ => return Poll::Ready(Err(Ended)),
            };
            while let Some(frame) = self.sending.front_mut()
                && frame.advance(&mut written)
            {
                self.sending.pop_front();
            }
        }
    }

    /// Reads once. Ready with an error when the peer is done.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        if self.decoder.paused() {
            self.receive(&mut []);
            return Poll::Ready(Ok(()));
        }
        READ.with_borrow_mut(|bytes| {
            let mut buffer = ReadBuf::new(bytes);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.receive(buffer.filled_mut());
                    Poll::Ready(Ok(()))
                }
                _ => Poll::Ready(Err(Ended)),
            }
        })
    }

    /// Understands the bytes that were read, and those that a pause left.
    fn receive(&mut self, bytes: &mut [u8]) {
        let mut decoder = std::mem::take(&mut self.decoder);
        let result = decoder.feed(bytes, &mut |incoming| self.handle(incoming));
        self.decoder = decoder;
        if let Err(fault) = result {
            let code = match fault {
                Fault::TooBig => CLOSE_TOO_BIG,
                Fault::NotText => CLOSE_NOT_TEXT,
                Fault::Protocol => CLOSE_PROTOCOL,
            };
            // Nothing more can be read, but the peer gets the reason.
            self.broken = true;
            self.shared.close(&self.outbox, code);
        }
    }

    fn handle(&mut self, incoming: Incoming<'_>) -> ControlFlow<()> {
        if self.close_received {
            return ControlFlow::Continue(());
        }
        let now = self.shared.now();
        self.outbox.seen(now);
        match incoming {
            Incoming::Message(text) => self.handle_message(now, text),
            Incoming::NoText => self.handle_message(now, ""),
            // Never more bytes than came, and no further read before they are sent.
            Incoming::Ping(content) if !self.close_sent => self
                .sending
                .push_back(Outgoing::new(frames::PONG, content.to_vec())),
            Incoming::Close(content) => {
                self.close_received = true;
                if !self.close_sent {
                    self.close_sent = true;
                    let code = content.get(..2).unwrap_or(&[]).to_vec();
                    self.sending.push_back(Outgoing::new(frames::CLOSE, code));
                }
            }
            Incoming::Ping(_) | Incoming::Pong => {}
        }
        match self.outbox.bytes() > PAUSE_BYTES || self.sending.len() > PAUSE_FRAMES {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn handle_message(&self, now: std::time::Duration, text: &str) {
        if self.close_sent {
            return;
        }
        // Parsed outside the tracker's lock.
        let request = Request::parse(text, self.shared.parser_limits());
        self.shared.handle_request(now, self.id, request);
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..READS_PER_TURN {
            match this.poll_send(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(Ended)) => return Poll::Ready(()),
                // The outbox could not register for us if the socket was busy before it was asked.
                Poll::Pending => return this.poll_blocked(cx),
            }
            if this.close_received {
                return Poll::Ready(());
            }
            if this.broken {
                return this.poll_linger(cx);
            }
            match this.poll_read(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(Ended)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Connection {
    /// Reads the rest of the peer's bytes and throws it away: closing a socket with unread bytes would destroy the
    /// close frame on its way. The close deadline bounds this.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 2048];
        let stream = &mut self.socket;
        if ready!(Pin::new(&mut *stream).poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        for _ in 0..READS_PER_TURN {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.poll_blocked(cx),
            }
        }
        cx.waker().wake_by_ref();
        self.poll_blocked(cx)
    }

    /// The peer is not reading: wait for room, or for the order to drop it.
    fn poll_blocked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.outbox.poll_end(cx.waker()) {
            End::Drop => Poll::Ready(()),
            End::No | End::Close(_) => Poll::Pending,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.deregister(self.id);
    }
}

/// The connection is over.
struct Ended;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connections_own_state_stays_small() {
        assert!(
            size_of::<Connection>() <= 512,
            "{}",
            size_of::<Connection>()
        );
    }
}
