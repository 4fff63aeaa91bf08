//! The edge: it gives inputs to a client and carries out the client's outputs.

use std::collections::BTreeSet;
use std::error::Error;

use bytes::Bytes;
use piecework::client::{Command, Event, Input, Output};
use piecework::time::Duration;
use piecework::types::ConnectionId;
use piecework_signaling_protocol::{Limits, Request, Response};

use crate::{FETCHER, LATENCY, NAMES, SEEDER, START, World};

impl World {
    /// The run loop: one input goes in, and every output is carried out until the client says how long it can wait.
    pub fn feed(&mut self, me: usize, input: Input) -> Result<(), Box<dyn Error>> {
        let other = 1 - me;
        let mut drained = BTreeSet::new();
        self.peers[me].client.handle_input(self.now, input);
        loop {
            let peer = &mut self.peers[me];
            match peer.client.poll_output() {
                Output::Timeout(at) => {
                    peer.wake = at;
                    break;
                }
                Output::Event(event) => self.tell(me, &event),
                Output::Effect { id, effect } => {
                    let result = peer.disk.carry_out(effect);
                    self.send(Duration::ZERO, me, Input::EffectDone { id, result });
                }

                // A tracker introduces the peers to each other.
                Output::ConnectTracker { tracker, .. } => {
                    peer.tracker = Some(tracker);
                    self.send(LATENCY, me, Input::TrackerConnected { tracker });
                }
                Output::SendTracker { text, .. } => self.relay(other, &text),
                Output::CloseTracker { .. } => peer.tracker = None,
                // No network is in between.
                Output::UseIceServers { .. } => {}

                // A channel's description (SDP) says here only what the peer that made it calls the channel.
                Output::CreateOffer { connection } => {
                    let sdp = connection.0.to_string();
                    self.send(LATENCY, me, Input::OfferReady { connection, sdp });
                }
                Output::AcceptOffer { connection, sdp } => {
                    peer.channels.insert(connection, ConnectionId(sdp.parse()?));
                    let sdp = connection.0.to_string();
                    self.send(LATENCY, me, Input::AnswerReady { connection, sdp });
                }
                Output::ApplyAnswer { connection, sdp } => {
                    let answered = ConnectionId(sdp.parse()?);
                    peer.channels.insert(connection, answered);
                    self.open(me, connection);
                    self.open(other, answered);
                }
                Output::Send { connection, chunks } => {
                    let bytes = Bytes::from(chunks.concat());
                    drained.insert(connection);
                    if let Some(&connection) = peer.channels.get(&connection) {
                        self.send(LATENCY, other, Input::Received { connection, bytes });
                    }
                }
                Output::SetLowWater { connection, .. } => {
                    drained.insert(connection);
                }
                Output::CloseConnection { connection, .. } => {
                    if let Some(connection) = peer.channels.remove(&connection) {
                        self.peers[other].channels.remove(&connection);
                        let reason = "the other side closed it".to_owned();
                        let closed = Input::ConnectionClosed { connection, reason };
                        self.send(LATENCY, other, closed);
                    }
                }

                // For readers of a file, and nobody opened a stream.
                Output::StreamData { .. } | Output::StreamFailed { .. } => {}
                // Its torrents name no web seeds.
                Output::WebSeedGet { .. } | Output::WebSeedCancel { .. } => {}
            }
        }
        // These channels keep nothing in their buffers; the client sends more when it hears of that.
        for connection in drained {
            let buffered = 0;
            let report = Input::SendBuffer {
                connection,
                buffered,
            };
            self.send(Duration::ZERO, me, report);
        }
        Ok(())
    }

    fn open(&mut self, at: usize, connection: ConnectionId) {
        let input = Input::ConnectionOpen {
            connection,
            address_hash: 0,
            claimed: Vec::new(),
        };
        self.send(LATENCY, at, input);
    }

    /// The tracker: it hands one offer of an announce, and the answer to an offer, to the other peer.
    fn relay(&mut self, to: usize, text: &str) {
        let message = match Request::parse(text, Limits::default()) {
            Ok(Request::Announce(announce)) => announce.offers.into_iter().next().map(|offer| {
                let (info_hash, peer_id) = (announce.info_hash, announce.peer_id);
                Response::Offer {
                    info_hash,
                    peer_id,
                    offer,
                }
            }),
            Ok(Request::Answer(answer)) => Some(Response::Answer {
                info_hash: answer.info_hash,
                peer_id: answer.peer_id,
                offer_id: answer.offer_id,
                sdp: answer.sdp,
            }),
            _ => None,
        };
        if let (Some(tracker), Some(message)) = (self.peers[to].tracker, message) {
            let text = message.encode().into();
            self.send(LATENCY, to, Input::TrackerMessage { tracker, text });
        }
    }

    fn tell(&mut self, who: usize, event: &Event) {
        let seconds = self.now.since(START).as_secs_f64();
        println!("{seconds:.3} s  {:7}  {event:?}", NAMES[who]);
        match event {
            Event::Complete { .. } if who == FETCHER => {
                for peer in [SEEDER, FETCHER] {
                    self.send(LATENCY, peer, Input::Command(Command::Shutdown));
                }
            }
            Event::ShutDown => self.peers[who].is_shut_down = true,
            _ => {}
        }
    }
}
