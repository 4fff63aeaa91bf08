//! The effect of each output of a client on the world.

use bytes::Bytes;
use piecework::client::{
    Claim, Command, Effect, EffectError, EffectResult, Event, Input, Output, RedeemOutcome,
    StorageOp,
};
use piecework::time::{Duration, Timestamp};
use piecework::types::{EffectId, StreamId, TokenUnits};

use super::channels::number_in;
use super::{MAX_CHUNK, MAX_MESSAGE, SimNet, TrackerMood, What};
use crate::channel::{End, Link};
use crate::node::{NodeId, Queue, StreamEnd};
use crate::tracker::Socket;

impl SimNet {
    pub(super) fn carry_out(&mut self, id: NodeId, output: Output) {
        let life = self.nodes[id.0].life;
        match output {
            Output::Timeout(_) => {}
            Output::ConnectTracker { tracker, url } => {
                let after = self.latency() * 2;
                let now = self.now;
                let node = &mut self.nodes[id.0];
                node.connects.push(now);
                let refused = |reason: &str| {
                    let reason = reason.to_owned();
                    What::Input(id, life, Input::TrackerClosed { tracker, reason })
                };
                if self.mood == TrackerMood::Down {
                    return self.schedule(after, refused("the server is not there"));
                }
                node.sockets.insert(tracker, url);
                let input = Input::TrackerConnected { tracker };
                self.schedule(after, What::Input(id, life, input));
                if self.mood == TrackerMood::Slam {
                    self.schedule(after * 2, refused("the server closed the connection"));
                }
            }
            Output::SendTracker { tracker, text } => {
                assert!(text.len() <= MAX_MESSAGE, "a long message to a tracker");
                let after = self.latency();
                let node = id;
                let socket = Socket {
                    node,
                    life,
                    tracker,
                };
                self.schedule(after, What::TellTracker(socket, text));
            }
            Output::CloseTracker { tracker } => {
                self.nodes[id.0].sockets.remove(&tracker);
                let node = id;
                self.trackers.closed(Socket {
                    node,
                    life,
                    tracker,
                });
            }
            // Channels here have no addresses.
            Output::UseIceServers { .. } => {}
            Output::CreateOffer { connection } => {
                let latency = self.latency();
                let link = self.links.len();
                self.links.push(Link {
                    ends: [Some(End::new(id, life, connection)), None],
                    open: false,
                    dead: false,
                    latency,
                });
                self.attach(id, connection, link, 0);
                let after = self.random.duration(&self.net.gather);
                let sdp = format!("v=0\r\ns=offer {link}\r\n");
                let input = Input::OfferReady { connection, sdp };
                self.schedule(after, What::Input(id, life, input));
            }
            Output::AcceptOffer { connection, sdp } => {
                let now = self.now;
                self.nodes[id.0].offers_taken.push(now);
                self.accept(id, connection, &sdp);
            }
            Output::ApplyAnswer { connection, sdp } => {
                let Some(&(link, side)) = self.nodes[id.0].ends.get(&connection) else {
                    panic!("{id:?} applies an answer to a connection that is closed");
                };
                let Some(answered) = number_in(&sdp, "s=answer ") else {
                    // A real edge notices when no path leads to the other side.
                    let reason = "no connection could be made".to_owned();
                    let input = Input::ConnectionClosed { connection, reason };
                    return self.schedule(Duration::from_secs(5), What::Input(id, life, input));
                };
                assert_eq!((answered, side), (link, 0), "somebody else's answer");
                let after = self.links[link].latency * 3;
                self.schedule(after, What::Open(link));
            }
            Output::Send { connection, chunks } => self.send(id, connection, chunks),
            Output::SetLowWater { connection, bytes } => {
                if let Some(end) = self.end(id, connection) {
                    end.low_water = bytes;
                    end.owes_report = true;
                    let (link, side) = self.nodes[id.0].ends[&connection];
                    self.schedule(Duration::ZERO, What::Drained(link, side, 0));
                }
            }
            Output::CloseConnection { connection, .. } => self.close(id, connection),
            Output::Effect {
                id: effect,
                effect: what,
            } => self.queue_effect(id, effect, what),
            Output::WebSeedGet {
                request,
                url,
                first,
                last,
                given,
            } => self.web_get(id, request, &url, first..=last, given),
            Output::WebSeedCancel { request } => {
                assert!(self.nodes[id.0].web.remove(&request), "no such request");
            }
            Output::StreamData { stream, data, last } => self.stream_data(id, stream, &data, last),
            Output::StreamFailed { stream, error } => {
                if let Some(reader) = self.nodes[id.0].readers.get_mut(&stream) {
                    reader.end.get_or_insert(StreamEnd::Failed(error));
                }
            }
            Output::Event(event) => self.event(id, event),
        }
    }

    pub(super) fn tell_tracker(&mut self, socket: Socket, text: &str) {
        let Socket {
            node,
            life,
            tracker,
        } = socket;
        if !self.lives(node, life) {
            return;
        }
        if self.nodes[node.0].client.is_some() {
            let said = (self.now, text.to_owned());
            self.nodes[node.0].announces.push(said);
        }
        if !matches!(self.mood, TrackerMood::Up | TrackerMood::Hasty) {
            return;
        }
        let Some(url) = self.nodes[node.0].sockets.get(&tracker).cloned() else {
            return;
        };
        let replies = (self.trackers).handle(&mut self.random, &url, socket, text);
        for (to, text) in replies {
            let after = self.latency();
            let input = Input::TrackerMessage {
                tracker: to.tracker,
                text: text.into(),
            };
            self.schedule(after, What::Input(to.node, to.life, input));
        }
        if self.mood == TrackerMood::Hasty {
            let reason = "the server closed the connection".to_owned();
            let input = Input::TrackerClosed { tracker, reason };
            let after = self.latency() + Duration::from_secs(1);
            self.schedule(after, What::Input(node, life, input));
        }
    }

    pub(super) fn queue_effect(&mut self, id: NodeId, effect_id: EffectId, effect: Effect) {
        let took = self.random.duration(&self.net.effect);
        let queue = queue_of(&effect);
        let slow = (self.nodes[id.0].storage_busy.as_ref()).filter(|_| queue.is_some());
        let busy = slow.map_or(Duration::ZERO, |time| self.random.duration(time));
        let now = self.now;
        let node = &mut self.nodes[id.0];
        match &effect {
            Effect::Sign { .. } => node.effects.signs += 1,
            Effect::ReadAccount { .. } => node.effects.account_reads += 1,
            Effect::PutRecords { .. } => node.effects.puts += 1,
            Effect::Storage { op, .. } => match op {
                StorageOp::Flush => node.effects.flushes += 1,
                StorageOp::WriteScratch { chunks, .. } => {
                    node.effects.scratch_bytes +=
                        chunks.iter().map(|c| c.len() as u64).sum::<u64>();
                }
                _ => {}
            },
            Effect::Hash { .. } => {}
        }
        let mut at = now + took;
        if let Some(queue) = queue {
            let free = node.queues.entry(queue).or_insert(Timestamp::ZERO);
            at = at.max((*free).max(now) + busy);
            *free = at;
        }
        let life = node.life;
        let durable = is_step(&effect);
        self.schedule_at(at, What::Run(id, life, effect_id, effect));
        if durable {
            self.step_of(id);
        }
    }

    pub(super) fn carry_out_effect(&mut self, id: NodeId, effect_id: EffectId, effect: Effect) {
        let now = self.now;
        let node = &mut self.nodes[id.0];
        let durable = is_step(&effect);
        let result: Result<EffectResult, EffectError> = match effect {
            Effect::Sign { digest } => {
                let key = node
                    .key
                    .as_ref()
                    .expect("a node without a key signs nothing");
                Ok(EffectResult::Signed(self.vault.sign(key, digest)))
            }
            Effect::ReadAccount { .. } if self.vault.down => {
                Err(EffectError::Chain("no answer".into()))
            }
            Effect::ReadAccount { account, word } => {
                Ok(EffectResult::Account(self.vault.state(account, word, now)))
            }
            effect => node.disk.run_knowing(&self.watch.digests, effect, now),
        };
        if durable && self.step_of(id) {
            return;
        }
        let life = self.nodes[id.0].life;
        let back = self.random.duration(&self.net.effect);
        let input = Input::EffectDone {
            id: effect_id,
            result,
        };
        self.schedule(back, What::Input(id, life, input));
    }

    pub(super) fn pull(&mut self, id: NodeId, life: u64, stream: StreamId) {
        if !self.lives(id, life) {
            return;
        }
        let now = self.now;
        let reader = self.nodes[id.0].readers.get_mut(&stream).expect("a reader");
        if reader.end.is_none() {
            reader.pulled = now;
            self.command(id, Command::PullStream { stream });
        }
    }

    pub(super) fn stream_data(&mut self, id: NodeId, stream: StreamId, data: &Bytes, last: bool) {
        let now = self.now;
        let node = &mut self.nodes[id.0];
        let life = node.life;
        let reader = node.readers.get_mut(&stream).expect("a reader");
        if reader.end.is_some() {
            return;
        }
        assert!(data.len() <= MAX_CHUNK, "a chunk of {}", data.len());
        let to = reader.position + data.len() as u64;
        assert!(to <= reader.range.end, "more than was asked for");
        let content = self.watch.content(reader.info_hash).expect("known content");
        let expected = content.file_bytes(reader.file, reader.position..to);
        assert!(
            expected == *data,
            "a reader got wrong bytes at {}",
            reader.position
        );
        reader.position = to;
        if reader.first_bytes.is_none() {
            reader.first_bytes = Some(now);
        } else {
            reader.waited += now.since(reader.pulled);
        }
        assert_eq!(
            last,
            to == reader.range.end,
            "last is said with the last byte"
        );
        if last {
            reader.end = Some(StreamEnd::Complete);
            return;
        }
        let takes = reader.pace.map_or(Duration::ZERO, |rate| {
            Duration::from_micros(data.len() as u64 * 1_000_000 / rate)
        });
        self.schedule(takes, What::Pull(id, life, stream));
    }

    pub(super) fn event(&mut self, id: NodeId, event: Event) {
        let now = self.now;
        let node = &mut self.nodes[id.0];
        match &event {
            Event::ClaimsReady {
                tag, claims, total, ..
            } if !claims.is_empty() && !self.vault.unanswered => {
                let life = node.life;
                let what = What::Redeem(id, life, *tag, claims.clone(), *total);
                self.schedule(Duration::from_secs(2), what);
            }
            _ => {}
        }
        self.nodes[id.0].events.push((now, event));
    }

    pub(super) fn redeem(&mut self, id: NodeId, tag: u64, claims: &[Claim], total: TokenUnits) {
        let payee = self.nodes[id.0].payee.expect("a seller");
        let outcome = self.vault.redeem(payee, claims);
        if let RedeemOutcome::Mined { paid, skipped } = &outcome
            && skipped.is_empty()
        {
            let sum: u128 = paid.iter().map(|(_, amount)| amount.0).sum();
            assert_eq!(sum, total.0, "the chain pays what the ledger says");
        }
        self.command(id, Command::Redeemed { tag, outcome });
    }
}

/// The effects that make something durable, or promise it.
fn is_step(effect: &Effect) -> bool {
    match effect {
        Effect::PutRecords { .. } | Effect::Sign { .. } => true,
        Effect::Storage { op, .. } => matches!(
            op,
            StorageOp::Flush | StorageOp::WriteScratch { .. } | StorageOp::Write { .. }
        ),
        Effect::Hash { .. } | Effect::ReadAccount { .. } => false,
    }
}

fn queue_of(effect: &Effect) -> Option<Queue> {
    match effect {
        Effect::Storage { info_hash, .. } => Some(Queue::Storage(*info_hash)),
        Effect::PutRecords { .. } => Some(Queue::Records),
        Effect::Hash { .. } | Effect::Sign { .. } | Effect::ReadAccount { .. } => None,
    }
}
