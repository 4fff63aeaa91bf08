//! The owner of each datagram of a shared UDP port: the connection that it belongs to.
//!
//! Owns the tables of that: STUN requests go by the user name in them (RFC 8445, section 7.2.2), STUN responses by the
//! transaction that they answer, the rest by the address that it comes from. Invariant: an address belongs to the first
//! connection that proved it with a STUN message, until that connection is gone; every table is bounded. Knows no
//! socket and no clock.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

/// Most remote addresses that one connection may claim.
pub const MAX_ADDRESSES: usize = 64;
/// Most STUN transactions remembered per shared socket; the oldest is forgotten.
pub const MAX_TRANSACTIONS: usize = 16 * 1024;

/// Where a datagram goes: to the queue `Q` of a connection.
#[derive(Debug)]
pub struct Routes<Q> {
    connections: HashMap<u64, Connection<Q>>,
    by_ufrag: HashMap<String, u64>,
    by_address: HashMap<SocketAddr, u64>,
    by_transaction: HashMap<[u8; 12], u64>,
    transactions: VecDeque<[u8; 12]>,
}

#[derive(Debug)]
struct Connection<Q> {
    ufrag: String,
    queue: Q,
    addresses: usize,
}

impl<Q> Default for Routes<Q> {
    fn default() -> Self {
        Routes {
            connections: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_address: HashMap::new(),
            by_transaction: HashMap::new(),
            transactions: VecDeque::new(),
        }
    }
}

impl<Q> Routes<Q> {
    /// Takes up a connection under the ICE user name fragment that its remote will use.
    pub fn insert(&mut self, key: u64, ufrag: &str, queue: Q) {
        self.by_ufrag.insert(ufrag.to_owned(), key);
        self.connections.insert(
            key,
            Connection {
                ufrag: ufrag.to_owned(),
                queue,
                addresses: 0,
            },
        );
    }

    /// A connection sends a STUN request: its response is to come back to it.
    pub fn note_transaction(&mut self, transaction: [u8; 12], key: u64) {
        if self.by_transaction.insert(transaction, key).is_some() {
            return;
        }
        self.transactions.push_back(transaction);
        if self.transactions.len() > MAX_TRANSACTIONS
            && let Some(oldest) = self.transactions.pop_front()
        {
            self.by_transaction.remove(&oldest);
        }
    }

    /// The connection that a datagram is for. A STUN message that names a connection gives it the address.
    pub fn route(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<&Q> {
        let key = match Stun::parse(datagram) {
            Some(stun) => {
                let key = match stun.class() {
                    Class::Request | Class::Indication => match stun.local_ufrag() {
                        Some(ufrag) => *self.by_ufrag.get(ufrag)?,
                        None => *self.by_address.get(&from)?,
                    },
                    Class::Response => *self.by_transaction.get(&stun.transaction)?,
                };
                let connection = self.connections.get_mut(&key)?;
                if connection.addresses < MAX_ADDRESSES && !self.by_address.contains_key(&from) {
                    connection.addresses += 1;
                    self.by_address.insert(from, key);
                }
                key
            }
            None => *self.by_address.get(&from)?,
        };
        self.connections.get(&key).map(|c| &c.queue)
    }

    /// The numbers of remembered addresses and transactions.
    pub fn remembered(&self) -> (usize, usize) {
        (self.by_address.len(), self.by_transaction.len())
    }

    /// Forgets a connection and its entries.
    pub fn remove(&mut self, key: u64) {
        if let Some(connection) = self.connections.remove(&key) {
            self.by_ufrag.remove(&connection.ufrag);
            self.by_address.retain(|_, owner| *owner != key);
            self.by_transaction.retain(|_, owner| *owner != key);
            let known = &self.by_transaction;
            self.transactions.retain(|t| known.contains_key(t));
        }
    }
}

/// Whether a datagram is for a TURN server: ChannelData, or a STUN message of a TURN method.
pub fn is_for_turn(datagram: &[u8]) -> bool {
    match datagram.first() {
        Some(0x40..=0x4f) => true,
        Some(0x00..=0x03) => Stun::parse(datagram).is_some_and(|stun| stun.method() != 0x001),
        _ => false,
    }
}

/// A STUN message (RFC 8489, section 5), as far as routing needs it.
#[derive(Clone, Copy, Debug)]
pub struct Stun<'a> {
    kind: u16,
    transaction: [u8; 12],
    attributes: &'a [u8],
}

/// The class of a STUN message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Wants a response.
    Request,
    /// Wants none.
    Indication,
    /// A success or an error.
    Response,
}

impl<'a> Stun<'a> {
    /// Reads the header; `None` if it is no STUN message.
    pub fn parse(datagram: &'a [u8]) -> Option<Stun<'a>> {
        const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
        let (header, attributes) = datagram.split_at_checked(20)?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        if kind & 0xc000 != 0 || header[4..8] != MAGIC {
            return None;
        }
        let mut transaction = [0u8; 12];
        transaction.copy_from_slice(&header[8..20]);
        Some(Stun {
            kind,
            transaction,
            attributes,
        })
    }

    /// The transaction id, which its response carries too.
    pub fn transaction(&self) -> [u8; 12] {
        self.transaction
    }

    /// Its class.
    pub fn class(&self) -> Class {
        match self.kind & 0x0110 {
            0x0000 => Class::Request,
            0x0010 => Class::Indication,
            _ => Class::Response,
        }
    }

    /// Its method: 1 is Binding, the others are TURN's.
    pub fn method(&self) -> u16 {
        (self.kind & 0x000f) | (self.kind & 0x00e0) >> 1 | (self.kind & 0x3e00) >> 2
    }

    /// The part of USERNAME before the colon: the connection that the message is for.
    pub fn local_ufrag(&self) -> Option<&'a str> {
        const USERNAME: u16 = 0x0006;
        let mut rest = self.attributes;
        loop {
            let (header, after) = rest.split_at_checked(4)?;
            let kind = u16::from_be_bytes([header[0], header[1]]);
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let value = after.get(..length)?;
            if kind == USERNAME {
                return core::str::from_utf8(value).ok()?.split(':').next();
            }
            rest = after.get(length.next_multiple_of(4)..)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(kind: u16, transaction: u8, username: Option<&str>) -> Vec<u8> {
        let mut out = kind.to_be_bytes().to_vec();
        let mut attributes = Vec::new();
        if let Some(username) = username {
            attributes.extend_from_slice(&0x0006u16.to_be_bytes());
            attributes.extend_from_slice(&u16::try_from(username.len()).unwrap().to_be_bytes());
            attributes.extend_from_slice(username.as_bytes());
            attributes.resize(attributes.len().next_multiple_of(4), 0);
        }
        out.extend_from_slice(&u16::try_from(attributes.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        out.extend_from_slice(&[transaction; 12]);
        out.extend_from_slice(&attributes);
        out
    }

    fn routes() -> Routes<u64> {
        let mut routes = Routes::default();
        for key in [1, 2] {
            routes.insert(key, &format!("ufrag{key}"), key);
        }
        routes
    }

    fn goes_to(routes: &mut Routes<u64>, from: &str, datagram: &[u8]) -> Option<u64> {
        routes.route(from.parse().unwrap(), datagram).copied()
    }

    #[test]
    fn datagrams_follow_user_name_then_address_then_transaction() {
        let mut routes = routes();
        let peer = "192.0.2.1:5000";
        let dtls = [22u8; 40];
        assert_eq!(goes_to(&mut routes, peer, &dtls), None);
        let request = binding(0x0001, 1, Some("ufrag2:theirs"));
        assert_eq!(goes_to(&mut routes, peer, &request), Some(2));
        assert_eq!(goes_to(&mut routes, peer, &dtls), Some(2));

        routes.note_transaction([9; 12], 1);
        let response = binding(0x0101, 9, None);
        let other = "192.0.2.2:5000";
        assert_eq!(goes_to(&mut routes, other, &response), Some(1));
        assert_eq!(goes_to(&mut routes, other, &dtls), Some(1));
        let unknown = binding(0x0101, 8, None);
        assert_eq!(goes_to(&mut routes, other, &unknown), None);
    }

    #[test]
    fn an_address_cannot_be_taken_from_a_living_connection() {
        let mut routes = routes();
        let peer = "192.0.2.1:5000";
        let dtls = [22u8; 40];
        goes_to(&mut routes, peer, &binding(0x0001, 1, Some("ufrag1:a")));
        goes_to(&mut routes, peer, &binding(0x0001, 2, Some("ufrag2:b")));
        assert_eq!(goes_to(&mut routes, peer, &dtls), Some(1));
        routes.remove(1);
        assert_eq!(goes_to(&mut routes, peer, &dtls), None);
        goes_to(&mut routes, peer, &binding(0x0001, 3, Some("ufrag2:b")));
        assert_eq!(goes_to(&mut routes, peer, &dtls), Some(2));
    }

    #[test]
    fn tables_stay_bounded() {
        let mut routes = routes();
        for i in 0..2 * MAX_TRANSACTIONS as u64 {
            let mut transaction = [0u8; 12];
            transaction[..8].copy_from_slice(&i.to_be_bytes());
            routes.note_transaction(transaction, 1);
        }
        assert_eq!(routes.by_transaction.len(), MAX_TRANSACTIONS);
        let request = binding(0x0001, 1, Some("ufrag1:a"));
        for port in 1..1000 {
            goes_to(&mut routes, &format!("192.0.2.1:{port}"), &request);
        }
        assert_eq!(routes.by_address.len(), MAX_ADDRESSES);
        routes.remove(1);
        assert!(routes.by_transaction.is_empty() && routes.transactions.is_empty());
    }

    #[test]
    fn turn_traffic_is_told_from_checks() {
        assert!(is_for_turn(&[0x40, 0, 0, 4, 1, 2, 3, 4]));
        assert!(is_for_turn(&binding(0x0003, 1, None))); // Allocate
        assert!(is_for_turn(&binding(0x0016, 1, None))); // Send indication
        assert!(!is_for_turn(&binding(0x0001, 1, None)));
        assert!(!is_for_turn(&binding(0x0101, 1, None)));
        assert!(!is_for_turn(&[22; 40]));
        assert!(!is_for_turn(&[]));
    }

    #[test]
    fn truncated_stun_is_no_stun() {
        let request = binding(0x0001, 1, Some("ufrag1:a"));
        for length in 0..request.len() {
            let cut = Stun::parse(&request[..length]);
            assert!(cut.is_none_or(|stun| stun.local_ufrag().is_none()));
        }
    }
}
