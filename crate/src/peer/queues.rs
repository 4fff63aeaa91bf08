//! The send queues of all connections. The client owns them and lends them: a torrent queues the messages of its peers,
//! and a payment message goes to its queue without a torrent between.

use bytes::{Bytes, BytesMut};

use crate::sorted::Map;
use crate::time::Timestamp;
use crate::types::ConnectionId;
use crate::wire::Message;
use crate::wire::pay::PayMessage;

use super::SendQueue;

/// The send queues by connection.
#[derive(Debug, Default)]
pub struct SendQueues {
    queues: Map<ConnectionId, Queue>,
}

/// One connection's.
#[derive(Debug)]
struct Queue {
    sending: SendQueue,
    /// When we last sent anything.
    last_sent: Timestamp,
    /// The id under which its remote understands payment messages (BEP 10).
    pay_id: Option<u8>,
}

impl SendQueues {
    /// A channel opened.
    pub fn open(&mut self, now: Timestamp, conn: ConnectionId) {
        let queue = Queue {
            sending: SendQueue::default(),
            last_sent: now,
            pay_id: None,
        };
        self.queues.insert(conn, queue);
    }

    /// A connection is gone. Answers the bytes of it that the edge still holds.
    pub fn close(&mut self, conn: ConnectionId) -> u64 {
        let queue = self.queues.remove(&conn);
        queue.map_or(0, |queue| queue.sending.in_edge())
    }

    /// The queue of an open connection.
    pub fn get_mut(&mut self, conn: ConnectionId) -> Option<&mut SendQueue> {
        self.queues.get_mut(&conn).map(|queue| &mut queue.sending)
    }

    /// Bytes that wait in one queue.
    pub fn queued_bytes(&self, conn: ConnectionId) -> usize {
        let queue = self.queues.get(&conn);
        queue.map_or(0, |queue| queue.sending.queued_bytes())
    }

    /// When we last sent anything on a connection.
    pub fn last_sent(&self, conn: ConnectionId) -> Timestamp {
        let queue = self.queues.get(&conn);
        queue.map_or(Timestamp::NEVER, |queue| queue.last_sent)
    }

    /// Queued messages left.
    pub fn sent(&mut self, now: Timestamp, conn: ConnectionId) {
        if let Some(queue) = self.queues.get_mut(&conn) {
            queue.last_sent = now;
        }
    }

    /// Queues a message. `false`: the remote does not read; close it.
    #[must_use]
    pub fn send(&mut self, now: Timestamp, conn: ConnectionId, message: &Message) -> bool {
        let mut out = BytesMut::new();
        message.encode(&mut out);
        self.send_bytes(now, conn, out.freeze())
    }

    /// Queues bytes of our own making. `false`: the remote does not read; close it.
    #[must_use]
    pub fn send_bytes(&mut self, now: Timestamp, conn: ConnectionId, bytes: Bytes) -> bool {
        let Some(queue) = self.queues.get_mut(&conn) else {
            return true;
        };
        queue.last_sent = now;
        queue.sending.push_control(bytes)
    }

    /// The id under which a remote understands payment messages.
    pub fn set_pay_id(&mut self, conn: ConnectionId, id: Option<u8>) {
        if let Some(queue) = self.queues.get_mut(&conn) {
            queue.pay_id = id;
        }
    }

    /// Queues a payment message, if the remote understands those. `false`: the remote does not read; close it.
    #[must_use]
    pub fn send_pay(&mut self, now: Timestamp, conn: ConnectionId, message: &PayMessage) -> bool {
        let Some(id) = self.queues.get(&conn).and_then(|queue| queue.pay_id) else {
            return true;
        };
        let payload = Bytes::from(message.encode());
        self.send(now, conn, &Message::Extended { id, payload })
    }
}
