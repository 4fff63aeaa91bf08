//! The messages that wait to be sent on one connection, and whether it should end.
//!
//! The only thing that other tasks touch of a connection. Bounded in bytes: a peer that does not read
//! fills it, and its connection is dropped rather than its messages.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// Counted per queued message besides its bytes.
const MESSAGE_OVERHEAD: usize = 64;

#[derive(Default)]
pub(crate) struct Outbox(Mutex<State>);

#[derive(Default)]
struct State {
    queue: VecDeque<String>,
    bytes: usize,
    ping: bool,
    end: End,
    waker: Option<Waker>,
    /// When something last arrived, since the server's start.
    seen: Duration,
    pinged: bool,
    /// When a probe or a close must have been answered.
    deadline: Option<Duration>,
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// Not yet.
    #[default]
    No,
    /// With a close frame of this code, after what is queued.
    Close(u16),
    /// At once.
    Drop,
}

/// The next thing that the connection is to send.
pub(crate) enum Next {
    Text(String),
    Ping,
    Nothing,
}

impl Outbox {
    pub(crate) fn new(now: Duration) -> Self {
        Outbox(Mutex::new(State {
            seen: now,
            ..State::default()
        }))
    }

    /// Queues a message. `false` if it was one too many: the connection is being dropped.
    pub(crate) fn push(&self, text: String, max_bytes: usize) -> bool {
        let mut state = self.lock();
        if state.end != End::No {
            return true;
        }
        let bytes = text.len() + MESSAGE_OVERHEAD;
        let fits = state.bytes + bytes <= max_bytes;
        if fits {
            state.bytes += bytes;
            state.queue.push_back(text);
        } else {
            state.end = End::Drop;
        }
        wake(state);
        fits
    }

    /// The queue's size, as it counts against the bound.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Ends the connection: with a close frame, to be answered until `deadline`.
    pub(crate) fn close(&self, code: u16, deadline: Duration) {
        let mut state = self.lock();
        if state.end == End::No {
            state.end = End::Close(code);
            state.deadline = Some(deadline);
            wake(state);
        }
    }

    /// Ends the connection at once.
    pub(crate) fn drop_now(&self) {
        let mut state = self.lock();
        state.end = End::Drop;
        wake(state);
    }

    /// Pings; without any sign of life until `deadline` the connection is dropped.
    pub(crate) fn probe(&self, deadline: Duration) {
        let mut state = self.lock();
        if state.deadline.is_none() {
            state.ping = true;
            state.deadline = Some(deadline);
            wake(state);
        }
    }

    /// Something arrived.
    pub(crate) fn seen(&self, now: Duration) {
        let mut state = self.lock();
        state.seen = now;
        state.pinged = false;
        if state.end == End::No {
            state.deadline = None;
        }
    }

    /// Pings or drops a connection that has been silent for too long.
    pub(crate) fn check_idle(&self, now: Duration, idle_timeout: Duration) {
        let mut state = self.lock();
        let silent = now.saturating_sub(state.seen);
        if silent >= idle_timeout || state.deadline.is_some_and(|deadline| now >= deadline) {
            state.end = End::Drop;
        } else if silent >= idle_timeout / 2 && !state.pinged {
            state.pinged = true;
            state.ping = true;
        } else {
            return;
        }
        wake(state);
    }

    /// Whether to end, and the waker for a change of that.
    pub(crate) fn poll_end(&self, waker: &Waker) -> End {
        let mut state = self.lock();
        register(&mut state, waker);
        state.end
    }

    /// The next bytes to send, and the waker for more.
    pub(crate) fn poll_next(&self, waker: &Waker) -> (Next, End) {
        let mut state = self.lock();
        register(&mut state, waker);
        let next = if let Some(text) = state.queue.pop_front() {
            state.bytes -= text.len() + MESSAGE_OVERHEAD;
            Next::Text(text)
        } else if state.ping {
            state.ping = false;
            Next::Ping
        } else {
            // An idle connection keeps no queue.
            if state.queue.capacity() > 8 {
                state.queue = VecDeque::new();
            }
            Next::Nothing
        };
        (next, state.end)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn register(state: &mut State, waker: &Waker) {
    if state.waker.as_ref().is_none_or(|w| !w.will_wake(waker)) {
        state.waker = Some(waker.clone());
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_outbox_drops_its_connection() {
        let outbox = Outbox::new(Duration::ZERO);
        assert!(outbox.push("x".repeat(100), 400));
        assert!(outbox.push("x".repeat(100), 400));
        assert!(!outbox.push("x".repeat(100), 400));
        assert_eq!(outbox.poll_next(Waker::noop()).1, End::Drop);
    }

    #[test]
    fn a_silent_connection_is_pinged_then_dropped() {
        let (outbox, idle) = (Outbox::new(Duration::ZERO), Duration::from_secs(60));
        outbox.check_idle(Duration::from_secs(29), idle);
        assert!(matches!(outbox.poll_next(Waker::noop()).0, Next::Nothing));
        outbox.check_idle(Duration::from_secs(30), idle);
        assert!(matches!(outbox.poll_next(Waker::noop()).0, Next::Ping));
        outbox.seen(Duration::from_secs(31));
        outbox.check_idle(Duration::from_secs(90), idle);
        assert_eq!(outbox.poll_next(Waker::noop()).1, End::No);
        outbox.check_idle(Duration::from_secs(91), idle);
        assert_eq!(outbox.poll_next(Waker::noop()).1, End::Drop);
    }
}
