//! Puppets in the net: their meetings with clients, and the messages of their scripts.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use bytes::BytesMut;
use piecework::client::{Config, Input};
use piecework::time::Duration;
use piecework::types::{ConnectionId, PeerId, TrackerId};
use piecework_signaling_protocol as protocol;

use super::channels::number_in;
use super::{MAX_MESSAGE, SimNet, TRACKER, What};
use crate::channel::{End, Link};
use crate::content::Content;
use crate::frames::Frames;
use crate::node::{Node, NodeId};
use crate::puppet::{Channel, Puppet, Script, Wire};
use crate::tracker::Socket;

/// The one tracker socket of a puppet.
const SOCKET: TrackerId = TrackerId(0);

impl SimNet {
    /// A remote of the content's swarm that runs a script of its own on each channel. It is in the tracker's
    /// swarm as a seed and takes every offer.
    pub fn puppet(&mut self, content: &Content, make: impl FnMut() -> Script + 'static) -> NodeId {
        let mut peer_id = *b"-XX0001-............";
        self.random.fill(&mut peer_id[8..]);
        self.puppet_as(PeerId(peer_id), content, make)
    }

    /// The same, under a peer id that may be somebody else's.
    pub fn puppet_as(
        &mut self,
        peer_id: PeerId,
        content: &Content,
        make: impl FnMut() -> Script + 'static,
    ) -> NodeId {
        self.watch.know(content);
        let uplink = self.random.number(self.net.uplink.clone());
        let mut node = Node::new(Config::default(), uplink);
        node.puppet = Some(Puppet {
            peer_id,
            content: content.clone(),
            make: Box::new(make),
            channels: BTreeMap::new(),
            next: 0,
        });
        node.sockets.insert(SOCKET, TRACKER.to_owned());
        self.nodes.push(node);
        let id = NodeId(self.nodes.len() - 1);
        self.join(id);
        id
    }

    /// This puppet's messages make sense, and this payee sells its blocks.
    pub fn puppet_sells_for(&mut self, puppet: NodeId, payee: Address) {
        self.nodes[puppet.0].payee = Some(payee);
    }

    /// Lets the tracker know a puppet.
    pub(super) fn join(&mut self, id: NodeId) {
        let Some(puppet) = &self.nodes[id.0].puppet else {
            return;
        };
        let announce = protocol::Request::Announce(protocol::Announce {
            info_hash: protocol::InfoHash(puppet.content.info_hash().0),
            peer_id: protocol::PeerId(puppet.peer_id.0),
            event: protocol::Event::Started,
            uploaded: Some(0),
            downloaded: Some(0),
            left: Some(0),
            numwant: Some(0),
            offers: Vec::new(),
            skipped_offers: 0,
        });
        let socket = self.puppet_socket(id);
        (self.trackers).handle(&mut self.random, TRACKER, socket, &announce.encode());
    }

    /// A puppet offers a channel to this client, as if the tracker had chosen it.
    pub fn puppet_offers(&mut self, puppet: NodeId, to: NodeId) {
        let latency = self.latency();
        let link = self.links.len();
        let life = self.nodes[puppet.0].life;
        let from = self.nodes[puppet.0].puppet.as_mut().expect("a puppet");
        let conn = from.next_connection();
        let (peer_id, info_hash) = (from.peer_id, from.content.info_hash());
        self.links.push(Link {
            ends: [Some(End::new(puppet, life, conn)), None],
            open: false,
            dead: false,
            latency,
        });
        self.attach(puppet, conn, link, 0);
        let mut offer_id = [0; 20];
        self.random.fill(&mut offer_id);
        let sdp = format!("v=0\r\ns=offer {link}\r\n");
        let offer = protocol::Response::Offer {
            info_hash: protocol::InfoHash(info_hash.0),
            peer_id: protocol::PeerId(peer_id.0),
            offer: protocol::Offer {
                offer_id: protocol::OfferId(offer_id),
                sdp: protocol::Sdp::from_text(&sdp).expect("a short description"),
            },
        };
        self.tracker_says(to, &offer.encode());
    }

    /// A tracker that a client is connected to sends it this.
    pub fn tracker_says(&mut self, id: NodeId, text: &str) {
        self.tracker_sends(id, text.as_bytes());
    }

    /// The same with bytes of any kind.
    pub fn tracker_sends(&mut self, id: NodeId, bytes: &[u8]) {
        let node = &self.nodes[id.0];
        let Some(&tracker) = node.sockets.keys().next() else {
            return;
        };
        let (life, text) = (node.life, bytes.to_vec().into());
        let input = Input::TrackerMessage { tracker, text };
        self.schedule(Duration::ZERO, What::Input(id, life, input));
    }

    fn puppet_socket(&self, node: NodeId) -> Socket {
        Socket {
            node,
            life: self.nodes[node.0].life,
            tracker: SOCKET,
        }
    }

    pub(super) fn puppet_input(&mut self, id: NodeId, input: Input) {
        match input {
            Input::TrackerMessage { text, .. } => {
                let text = String::from_utf8(text.to_vec()).expect("the tracker speaks UTF-8");
                self.puppet_hears_tracker(id, &text);
            }
            Input::ConnectionOpen { connection, .. } => {
                let puppet = self.nodes[id.0].puppet.as_mut().expect("a puppet");
                let script = (puppet.make)();
                let frames = Frames::default();
                (puppet.channels).insert(connection, Channel { script, frames });
                self.play(id, connection, |channel, wire| {
                    (channel.script)(wire, crate::puppet::Said::Open);
                });
            }
            Input::Received { connection, bytes } => {
                self.play(id, connection, |channel, wire| channel.hear(wire, &bytes));
            }
            Input::ConnectionClosed { connection, .. } => {
                let puppet = self.nodes[id.0].puppet.as_mut().expect("a puppet");
                puppet.channels.remove(&connection);
            }
            _ => {}
        }
    }

    pub(super) fn puppet_wakes(&mut self, id: NodeId, conn: ConnectionId) {
        self.play(id, conn, |channel, wire| {
            (channel.script)(wire, crate::puppet::Said::Wake);
        });
    }

    fn puppet_hears_tracker(&mut self, id: NodeId, text: &str) {
        let response = protocol::Response::parse(text, protocol::Limits::default());
        let life = self.nodes[id.0].life;
        match response.expect("the tracker makes sense") {
            protocol::Response::Offer {
                info_hash,
                peer_id: to_peer_id,
                offer,
            } => {
                let sdp = offer.sdp.to_text();
                let link = number_in(&sdp, "s=offer ").expect("an offer of this net");
                let waits = &self.links[link].ends;
                if waits[1].is_some() || waits[0].as_ref().is_none_or(|end| end.closed) {
                    return;
                }
                let puppet = self.nodes[id.0].puppet.as_mut().expect("a puppet");
                let (conn, peer_id) = (puppet.next_connection(), puppet.peer_id);
                self.links[link].ends[1] = Some(End::new(id, life, conn));
                self.attach(id, conn, link, 1);
                let sdp = format!("v=0\r\ns=answer {link}\r\n");
                let answer = protocol::Request::Answer(protocol::Answer {
                    info_hash,
                    peer_id: protocol::PeerId(peer_id.0),
                    to_peer_id,
                    offer_id: offer.offer_id,
                    sdp: protocol::Sdp::from_text(&sdp).expect("a short description"),
                });
                let socket = self.puppet_socket(id);
                let after = self.latency();
                self.schedule(after, What::TellTracker(socket, answer.encode()));
            }
            protocol::Response::Answer { sdp, .. } => {
                let link = number_in(&sdp.to_text(), "s=answer ").expect("an answer of this net");
                let after = self.links[link].latency * 3;
                self.schedule(after, What::Open(link));
            }
            _ => {}
        }
    }

    /// Runs a channel's script and sends its messages.
    fn play(&mut self, id: NodeId, conn: ConnectionId, act: impl FnOnce(&mut Channel, &mut Wire)) {
        let Some(&(link, side)) = self.nodes[id.0].ends.get(&conn) else {
            return;
        };
        let Some(mut puppet) = self.nodes[id.0].puppet.take() else {
            return;
        };
        let mut wire = Wire {
            content: &puppet.content,
            random: &mut self.random,
            peer_id: puppet.peer_id,
            now: self.now,
            out: BytesMut::new(),
            close: false,
            wake: None,
            quotes: Vec::new(),
        };
        if let Some(channel) = puppet.channels.get_mut(&conn) {
            act(channel, &mut wire);
        }
        let Wire {
            out,
            close,
            wake,
            quotes,
            ..
        } = wire;
        if let Some(end) = self.links[link].ends[side].as_mut() {
            let quotes = quotes.iter().map(|terms| (terms.quote_id, terms.payee));
            end.direction.quotes.extend(quotes);
            end.direction.info_hash = Some(puppet.content.info_hash());
        }
        self.nodes[id.0].puppet = Some(puppet);
        let mut out = out.freeze();
        let other = self.links[link].ends[1 - side].as_ref().map(|end| end.node);
        if let Some(other) = other
            && out.len() > 16 * 1024
        {
            *self.nodes[id.0].blocks_to.entry(other).or_default() += out.len() as u64;
        }
        while !out.is_empty() {
            let part = out.split_to(out.len().min(MAX_MESSAGE));
            let length = part.len() as u64;
            self.transmit(link, side, part, length);
        }
        if close {
            self.close(id, conn);
        }
        if let Some(after) = wake {
            let life = self.nodes[id.0].life;
            self.schedule(after, What::Wake(id, life, conn));
        }
    }
}
