//! One WebSocket connection: frames in, requests to the tracker; its outbox, frames out.
//!
//! A hand-written future, because one that borrows nothing across an await is a few hundred bytes and
//! a thousand connections should cost a thousand of those. It stops reading while its peer does not
//! read, so that nobody can make the server queue replies without bound.

use crate::outbox::{End, Next, Outbox};
use crate::server::Shared;
use crate::tracker::ConnectionId;
use futures_util::{Sink, Stream};
use piecework_signaling_protocol::{MAX_MESSAGE_LEN, Request};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, error::CapacityError};

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

/// Messages read before others get their turn.
const READS_PER_TURN: usize = 16;

/// Room for the largest reply (a scrape of the most hashes) and a pong before it.
const MAX_WRITE_BUFFER: usize = 256 * 1024;

/// One WebSocket connection, until it ends.
pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    id: ConnectionId,
    outbox: Arc<Outbox>,
    shared: Arc<Shared>,
    close_sent: bool,
    /// The framing layer gave up; only what it still has to send matters.
    broken: bool,
}

impl Connection {
    /// Takes over a socket after its upgrade, with what the peer sent early.
    pub(crate) async fn open(stream: TcpStream, early: Vec<u8>, shared: Arc<Shared>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(4 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            .max_message_size(Some(MAX_MESSAGE_LEN))
            .max_frame_size(Some(MAX_MESSAGE_LEN));
        let socket =
            WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await;
        let (id, outbox) = shared.register();
        Connection {
            socket,
            id,
            outbox,
            shared,
            close_sent: false,
            broken: false,
        }
    }

    /// Sends what is queued. Ready when all of it is with the kernel; an error ends the connection.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        loop {
            if ready!(Pin::new(&mut self.socket).poll_ready(cx)).is_err() {
                return Poll::Ready(Err(Ended));
            }
            let (next, end) = self.outbox.poll_next(cx.waker());
            let message = match (next, end) {
                (_, End::Drop) => return Poll::Ready(Err(Ended)),
                (Next::Text(text), _) if !self.close_sent => Message::Text(text),
                (Next::Ping, _) if !self.close_sent => Message::Ping(Bytes::new()),
                (Next::Nothing, End::Close(code)) if !self.close_sent => {
                    self.close_sent = true;
                    Message::Close(Some(CloseFrame {
                        code: code.into(),
                        reason: "".into(),
                    }))
                }
                (Next::Nothing, _) => {
                    let flushed = Pin::new(&mut self.socket).poll_flush(cx);
                    return flushed.map_err(|_| Ended);
                }
                _ => continue,
            };
            if Pin::new(&mut self.socket).start_send(message).is_err() {
                return Poll::Ready(Err(Ended));
            }
        }
    }

    /// Reads one frame's worth. Ready with an error when the peer is done.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
            Some(Ok(message)) => {
                self.handle_message(message);
                Poll::Ready(Ok(()))
            }
            Some(Err(error)) => {
                let code = match error {
                    Error::Capacity(CapacityError::MessageTooLong { .. }) => CLOSE_TOO_BIG,
                    Error::Utf8(_) => CLOSE_NOT_TEXT,
                    Error::Protocol(_) | Error::Capacity(_) => CLOSE_PROTOCOL,
                    _ => return Poll::Ready(Err(Ended)),
                };
                // Nothing more can be read, but the peer is told why.
                self.broken = true;
                self.shared.close(&self.outbox, code);
                Poll::Ready(Ok(()))
            }
            None => Poll::Ready(Err(Ended)),
        }
    }

    fn handle_message(&mut self, message: Message) {
        let now = self.shared.now();
        self.outbox.seen(now);
        let text = match &message {
            Message::Text(text) => text.as_str(),
            Message::Binary(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
            _ => return,
        };
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
    /// Reads the rest of what the peer sends and throws it away: closing a socket with unread bytes
    /// would destroy the close frame on its way. The close deadline bounds this.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 2048];
        let stream = self.socket.get_mut();
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
