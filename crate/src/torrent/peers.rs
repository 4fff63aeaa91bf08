//! The peers of one torrent: those that are connected, and who those were that left.

use std::collections::VecDeque;

use crate::peer::{Identity, Peer};
use crate::sorted::Map;
use crate::types::ConnectionId;

/// Peers that left are remembered for blame, this many.
const MAX_FORMER: usize = 512;

/// The connected peers by connection. Also after one left, blame finds who it was.
#[derive(Debug, Default)]
pub struct Peers {
    connected: Map<ConnectionId, Peer>,
    former: VecDeque<(ConnectionId, Identity)>,
}

impl Peers {
    /// Number of connected peers.
    pub fn len(&self) -> usize {
        self.connected.len()
    }

    /// Nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.connected.is_empty()
    }

    /// A connected peer.
    pub fn get(&self, conn: ConnectionId) -> Option<&Peer> {
        self.connected.get(&conn)
    }

    pub(super) fn get_mut(&mut self, conn: ConnectionId) -> Option<&mut Peer> {
        self.connected.get_mut(&conn)
    }

    /// The connected peers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Peer> {
        self.connected.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.connected.values_mut()
    }

    /// Their connections, to be gone through while the torrent changes.
    pub(super) fn connections(&self) -> Vec<ConnectionId> {
        self.connected.keys().copied().collect()
    }

    pub(super) fn joined(&mut self, peer: Peer) {
        self.connected.insert(peer.connection, peer);
    }

    /// A peer left. Who it was is remembered.
    pub(super) fn left(&mut self, conn: ConnectionId) -> Option<Peer> {
        let peer = self.connected.remove(&conn)?;
        if let Some(identity) = peer.identity() {
            self.former.push_back((conn, identity));
            if self.former.len() > MAX_FORMER {
                self.former.pop_front();
            }
        }
        Some(peer)
    }

    /// Who a connection is, or was.
    pub(super) fn identity(&self, conn: ConnectionId) -> Option<Identity> {
        let connected = self.get(conn).and_then(Peer::identity);
        connected.or_else(|| {
            let former = self.former.iter().rev().find(|(former, _)| *former == conn);
            former.map(|(_, identity)| *identity)
        })
    }
}
