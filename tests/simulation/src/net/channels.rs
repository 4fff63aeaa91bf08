//! Channels from offer to end.

use bytes::Bytes;
use piecework::client::Input;
use piecework::time::{Duration, Timestamp};
use piecework::types::ConnectionId;
use piecework::wire::pay::PayMessage;

use super::{MAX_MESSAGE, SimNet, What};
use crate::channel::{Cheat, End};
use crate::disk::joined;
use crate::frames::Frame;
use crate::node::NodeId;
use crate::tamper::{Hand, pay_message, tampered};

/// Bytes of a packet.
const MTU: u64 = 1_200;

impl SimNet {
    pub(super) fn attach(&mut self, id: NodeId, conn: ConnectionId, link: usize, side: usize) {
        let before = self.nodes[id.0].ends.insert(conn, (link, side));
        assert!(before.is_none(), "{id:?} uses {conn:?} twice");
    }

    pub(super) fn end(&mut self, id: NodeId, conn: ConnectionId) -> Option<&mut End> {
        let &(link, side) = self.nodes[id.0].ends.get(&conn)?;
        self.links[link].ends[side].as_mut()
    }

    pub(super) fn accept(&mut self, id: NodeId, conn: ConnectionId, sdp: &str) {
        let life = self.nodes[id.0].life;
        let after = self.random.duration(&self.net.gather);
        let offered = number_in(sdp, "s=offer ").and_then(|link| {
            let offer = self.links.get(link)?;
            let waits = offer.ends[0].as_ref().is_some_and(|end| !end.closed);
            (waits && offer.ends[1].is_none() && !offer.dead).then_some(link)
        });
        let Some(link) = offered else {
            // A real edge notices when no path leads to the other side.
            let reason = "no connection could be made".to_owned();
            let input = Input::ConnectionClosed {
                connection: conn,
                reason,
            };
            let after = after + Duration::from_secs(5);
            self.schedule(after, What::Input(id, life, input));
            return;
        };
        self.links[link].ends[1] = Some(End::new(id, life, conn));
        self.attach(id, conn, link, 1);
        let sdp = format!("v=0\r\ns=answer {link}\r\n");
        let input = Input::AnswerReady {
            connection: conn,
            sdp,
        };
        self.schedule(after, What::Input(id, life, input));
    }

    pub(super) fn open(&mut self, link: usize) {
        let both = self.links[link].ends.iter().flatten();
        if self.links[link].dead || both.filter(|end| !end.closed).count() < 2 {
            return;
        }
        self.links[link].open = true;
        for side in 0..2 {
            let (end, other) = self.both(link, side);
            let (id, life, connection) = (end.node, end.life, end.conn);
            let address_hash = other.node.0 as u64 + 1;
            let input = Input::ConnectionOpen {
                connection,
                address_hash,
                claimed: Vec::new(),
            };
            if self.lives(id, life) && self.nodes[id.0].ends.contains_key(&connection) {
                self.input(id, input);
            }
        }
    }

    pub(super) fn both(&self, link: usize, side: usize) -> (&End, &End) {
        let ends = &self.links[link].ends;
        let end = |side: usize| ends[side].as_ref().expect("an open channel has two ends");
        (end(side), end(1 - side))
    }

    pub(super) fn send(&mut self, id: NodeId, conn: ConnectionId, chunks: Vec<Bytes>) {
        let message = joined(chunks);
        assert!(
            !message.is_empty() && message.len() <= MAX_MESSAGE,
            "{}",
            message.len()
        );
        let Some(&(link, side)) = self.nodes[id.0].ends.get(&conn) else {
            panic!("{id:?} sends on {conn:?}, which is closed");
        };
        assert!(
            self.links[link].open,
            "{id:?} sends on {conn:?} before it is open"
        );
        let [Some(first), Some(second)] = &mut self.links[link].ends else {
            return;
        };
        let (end, other) = if side == 0 {
            (first, second)
        } else {
            (second, first)
        };
        let frames = end.frames.push(&message);
        for frame in &frames {
            let (direction, back) = (&mut end.direction, &other.direction);
            end.has_pay |= is_pay(frame);
            self.watch
                .frame(&self.vault, (id, other.node), frame, direction, back);
        }
        let paid = frames.iter().any(|frame| pay_message(frame).is_some());
        let node = &mut self.nodes[id.0];
        let message = match &mut node.tamper {
            None => message,
            Some(tamper) => {
                let hand = &mut Hand {
                    to: other.node,
                    vault: &self.vault,
                    key: node.key.as_ref(),
                    payee: other.direction.last_quote,
                    random: &mut self.random,
                };
                tampered(tamper, hand, &frames)
            }
        };
        let length = message.len() as u64;
        let bytes = match self.nodes[id.0].cheat {
            Cheat::Honest => message,
            cheat => end.cheat(cheat, &frames, &mut self.random),
        };
        self.transmit(link, side, bytes, length);
        if paid {
            self.step_of(id);
        }
    }

    /// Sends bytes from one side of a channel; `length` is the number of bytes that the sender believes it sent.
    pub(super) fn transmit(&mut self, link: usize, side: usize, bytes: Bytes, length: u64) {
        let end = self.links[link].ends[side].as_mut().expect("this end");
        end.buffered += length;
        end.owes_report = true;
        let pays = end.has_pay;
        end.has_pay = false;
        let node = &mut self.nodes[end.node.0];
        let start = self.now.max(node.uplink_free);
        let time = Duration::from_micros((bytes.len() as u64 * 1_000_000 / node.uplink).max(1));
        node.uplink_free = start + time;
        let jitter = self
            .random
            .duration(&(Duration::ZERO..Duration::from_millis(5)));
        let latency = self.links[link].latency;
        let (sent, late) = self.lose_packets(link, side, start + time, bytes.len() as u64);
        let end = self.links[link].ends[side].as_mut().expect("this end");
        end.arrives = end.arrives.max(sent + latency + late + jitter);
        let arrives = end.arrives;
        if pays {
            let id = end.node;
            let took = arrives.since(self.now);
            self.watch.note_pay(id, took);
        }
        self.schedule_at(sent, What::Drained(link, side, length));
        if !bytes.is_empty() {
            self.schedule_at(arrives, What::Arrive(link, 1 - side, bytes));
        }
    }

    /// The effect of lost packets on a reliable, ordered channel. Congestion control slows it to the rate of Mathis et
    /// al. for the round-trip time and the loss. A lost packet comes a round trip later; in one of ten losses (the last
    /// of a flight) it comes a second later. Answers when the bytes have left the sender's buffer, and how late they
    /// arrive.
    fn lose_packets(
        &mut self,
        link: usize,
        side: usize,
        sent: Timestamp,
        bytes: u64,
    ) -> (Timestamp, Duration) {
        let one_in = self.net.lose_packet_one_in;
        if one_in == 0 {
            return (sent, Duration::ZERO);
        }
        let round_trip = self.links[link].latency * 2;
        let per_second = MTU as f64 / round_trip.as_secs_f64() * 1.22 * (one_in as f64).sqrt();
        let takes = Duration::from_micros((bytes as f64 / per_second * 1e6) as u64);
        let end = self.links[link].ends[side].as_mut().expect("this end");
        let left = sent.max(end.paced + takes);
        end.paced = left;
        let mut late = Duration::ZERO;
        for _ in 0..bytes.div_ceil(MTU) {
            if self.random.one_in(one_in) {
                let last = self.random.one_in(10);
                late = late.max(if last {
                    Duration::from_secs(1)
                } else {
                    round_trip
                });
            }
        }
        (left, late)
    }

    pub(super) fn drained(&mut self, link: usize, side: usize, bytes: u64) {
        let Some(end) = &mut self.links[link].ends[side] else {
            return;
        };
        end.buffered -= bytes;
        self.report_if_low(link, side);
    }

    /// As the real edges do: once for the bytes that were sent, or for another mark, and not at every byte that leaves.
    pub(super) fn report_if_low(&mut self, link: usize, side: usize) {
        let Some(end) = &mut self.links[link].ends[side] else {
            return;
        };
        if !end.owes_report || end.buffered > end.low_water {
            return;
        }
        end.owes_report = false;
        let (id, life, connection, buffered) = (end.node, end.life, end.conn, end.buffered);
        if !end.closed && self.lives(id, life) {
            let input = Input::SendBuffer {
                connection,
                buffered,
            };
            self.input(id, input);
        }
    }

    pub(super) fn arrive(&mut self, link: usize, side: usize, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let whole = self.net.split_one_in == 0 || !self.random.one_in(self.net.split_one_in);
            let part = if whole {
                bytes.len()
            } else {
                1 + self.random.index(bytes.len())
            };
            let part = bytes.split_to(part);
            let Some(end) = &self.links[link].ends[side] else {
                return;
            };
            let (id, life, connection) = (end.node, end.life, end.conn);
            if self.links[link].dead || end.closed || !self.lives(id, life) {
                return;
            }
            let bytes = part;
            if self.heard(link, side, &bytes) {
                return;
            }
            self.input(id, Input::Received { connection, bytes });
        }
    }

    /// One side closes in order: the other learns it after all earlier bytes.
    pub(super) fn close(&mut self, id: NodeId, conn: ConnectionId) {
        let Some((link, side)) = self.nodes[id.0].ends.remove(&conn) else {
            return;
        };
        let latency = self.links[link].latency;
        let end = self.links[link].ends[side].as_mut().expect("this end");
        end.closed = true;
        let at = end.arrives.max(self.now + latency);
        let reason = "closed by the other side".to_owned();
        self.schedule_at(at, What::Closed(link, 1 - side, reason));
    }

    /// The channel dies: nothing arrives, and the side that is left notices after a while.
    pub(super) fn kill(&mut self, link: usize) {
        self.links[link].dead = true;
        for side in 0..2 {
            let after = self
                .random
                .duration(&(Duration::from_millis(100)..Duration::from_secs(8)));
            let reason = "the connection was lost".to_owned();
            self.schedule(after, What::Closed(link, side, reason));
        }
    }

    pub(super) fn closed(&mut self, link: usize, side: usize, reason: String) {
        let Some(end) = &mut self.links[link].ends[side] else {
            return;
        };
        if core::mem::replace(&mut end.closed, true) {
            return;
        }
        let (id, life, connection) = (end.node, end.life, end.conn);
        let input = Input::ConnectionClosed { connection, reason };
        self.late_input(id, life, input);
    }
}

pub(super) fn number_in(sdp: &str, mark: &str) -> Option<usize> {
    let line = sdp.lines().find_map(|line| line.strip_prefix(mark))?;
    line.parse().ok()
}

fn is_pay(frame: &Frame) -> bool {
    let payload = frame.payload();
    let message = (frame.id() == Some(20) && payload.len() > 1).then(|| &payload[1..]);
    matches!(
        message.map(PayMessage::decode),
        Some(Ok(Some(PayMessage::Pay { .. })))
    )
}
