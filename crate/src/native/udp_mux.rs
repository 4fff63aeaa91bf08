//! One UDP port for all peer connections.
//!
//! Owns one shared socket per local address, and which datagram belongs to which connection: STUN
//! requests by the user name in them (RFC 8445, section 7.2.2), STUN responses by the transaction
//! they answer, the rest by the address it comes from. Invariant: an address belongs to the first
//! connection that proved it with a STUN message, until that connection is gone. Never answers a
//! datagram itself.
//!
//! The WebRTC stack binds an ephemeral socket per connection and hands it to its runtime to wrap:
//! there it is exchanged. Traffic with TURN servers keeps the ephemeral socket, because a TURN
//! server knows its clients by their addresses, one allocation each (RFC 8656, section 3.1).

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

/// Most receive batches that wait for one connection; further ones are dropped, as UDP may.
const MAX_QUEUED_BATCHES: usize = 512;
/// Most remote addresses that one connection may claim.
const MAX_ADDRESSES: usize = 64;
/// Most STUN transactions remembered per shared socket; the oldest is forgotten.
const MAX_TRANSACTIONS: usize = 16 * 1024;
/// Longest receive batch: what a socket may coalesce at most (UDP GRO).
const MAX_BATCH_LEN: usize = 64 * 1024;

/// Why there is no fixed port.
#[derive(Debug, thiserror::Error)]
pub enum UdpMuxError {
    /// Taken, or not allowed.
    #[error("UDP port {port} cannot be used: {source}; choose another with --udp-port")]
    Bind {
        /// Which.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes: {0}")]
    Entropy(String),
}

/// The port and its sockets.
#[derive(Clone, Debug)]
pub struct UdpMux {
    port: u16,
    sockets: Arc<Mutex<HashMap<IpAddr, Arc<SharedSocket>>>>,
    /// Makes user names that nobody guesses.
    secret: [u8; 32],
    next: Arc<Mutex<u64>>,
}

impl UdpMux {
    /// Tries whether the port is free; sockets are bound as connections need them.
    ///
    /// # Errors
    /// The port is taken.
    pub fn new(port: u16) -> Result<UdpMux, UdpMuxError> {
        UdpSocket::bind(("0.0.0.0", port)).map_err(|source| UdpMuxError::Bind { port, source })?;
        let mut secret = [0u8; 32];
        getrandom::fill(&mut secret).map_err(|e| UdpMuxError::Entropy(e.to_string()))?;
        Ok(UdpMux {
            port,
            sockets: Arc::default(),
            secret,
            next: Arc::default(),
        })
    }

    /// The fixed port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A runtime for one connection.
    pub fn runtime(&self) -> MuxRuntime {
        let key = {
            let mut next = lock(&self.next);
            *next += 1;
            *next
        };
        let mut seed = self.secret.to_vec();
        seed.extend_from_slice(&key.to_be_bytes());
        let digits = alloy_primitives::hex::encode(alloy_primitives::keccak256(seed));
        let (ufrag, password) = digits.split_at(16);
        MuxRuntime {
            mux: self.clone(),
            key,
            ufrag: ufrag.to_owned(),
            password: password.to_owned(),
        }
    }

    fn shared(&self, ip: IpAddr) -> io::Result<Arc<SharedSocket>> {
        let mut sockets = lock(&self.sockets);
        if let Some(shared) = sockets.get(&ip) {
            return Ok(shared.clone());
        }
        let socket = UdpSocket::bind((ip, self.port))?;
        let receiver = TokioRuntime.wrap_udp_socket(socket.try_clone()?)?;
        let routes: Arc<Mutex<Routes>> = Arc::default();
        let shared = Arc::new(SharedSocket {
            socket,
            reader: tokio::spawn(deliver(receiver, routes.clone())).abort_handle(),
            routes,
        });
        sockets.insert(ip, shared.clone());
        Ok(shared)
    }
}

#[derive(Debug)]
struct SharedSocket {
    socket: UdpSocket,
    routes: Arc<Mutex<Routes>>,
    reader: AbortHandle,
}

impl Drop for SharedSocket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Where a datagram goes.
#[derive(Debug, Default)]
struct Routes {
    connections: HashMap<u64, Connection>,
    by_ufrag: HashMap<String, u64>,
    by_address: HashMap<SocketAddr, u64>,
    by_transaction: HashMap<[u8; 12], u64>,
    transactions: VecDeque<[u8; 12]>,
}

#[derive(Debug)]
struct Connection {
    ufrag: String,
    queue: mpsc::Sender<Batch>,
    addresses: usize,
}

#[derive(Debug)]
struct Batch {
    from: SocketAddr,
    stride: usize,
    bytes: Bytes,
}

impl Routes {
    fn note_transaction(&mut self, transaction: [u8; 12], key: u64) {
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

    fn route(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<&mpsc::Sender<Batch>> {
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

    fn remove(&mut self, key: u64) {
        if let Some(connection) = self.connections.remove(&key) {
            self.by_ufrag.remove(&connection.ufrag);
            self.by_address.retain(|_, owner| *owner != key);
            self.by_transaction.retain(|_, owner| *owner != key);
            let known = &self.by_transaction;
            self.transactions.retain(|t| known.contains_key(t));
        }
    }
}

/// Reads the shared socket until it is dropped.
async fn deliver(socket: Arc<dyn AsyncUdpSocket>, routes: Arc<Mutex<Routes>>) {
    let mut buffer = vec![0u8; MAX_BATCH_LEN];
    loop {
        let mut meta = [RecvMeta::default(); 1];
        let received = std::future::poll_fn(|cx| {
            let mut buffers = [IoSliceMut::new(&mut buffer)];
            socket.poll_recv(cx, &mut buffers, &mut meta)
        })
        .await;
        let [meta] = meta;
        if received.is_err() {
            // A port unreachable of some peer; the socket itself lives on. Yield, so that an
            // error that stays cannot keep the thread.
            tokio::task::yield_now().await;
            continue;
        }
        let Some(bytes) = buffer.get(..meta.len) else {
            continue;
        };
        let stride = meta.stride.clamp(1, meta.len.max(1));
        let first = bytes.get(..stride.min(bytes.len())).unwrap_or_default();
        if let Some(queue) = lock(&routes).route(meta.addr, first) {
            // overflow: dropped, as UDP may; SCTP and ICE send again.
            let _ = queue.try_send(Batch {
                from: meta.addr,
                stride,
                bytes: Bytes::copy_from_slice(bytes),
            });
        }
    }
}

/// The tokio runtime, but for sockets.
#[derive(Debug)]
pub struct MuxRuntime {
    mux: UdpMux,
    key: u64,
    ufrag: String,
    password: String,
}

impl MuxRuntime {
    /// ICE user name fragment and password that the connection must use.
    pub fn credentials(&self) -> (String, String) {
        (self.ufrag.clone(), self.password.clone())
    }
}

impl Runtime for MuxRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let local = socket.local_addr()?;
        let shared = self.mux.shared(local.ip())?;
        let (queue, received) = mpsc::channel(MAX_QUEUED_BATCHES);
        {
            let mut routes = lock(&shared.routes);
            routes.by_ufrag.insert(self.ufrag.clone(), self.key);
            routes.connections.insert(
                self.key,
                Connection {
                    ufrag: self.ufrag.clone(),
                    queue,
                    addresses: 0,
                },
            );
        }
        Ok(Arc::new(MuxedSocket {
            local,
            key: self.key,
            private: TokioRuntime.wrap_udp_socket(socket)?,
            // A handle of its own: a tokio socket wakes one waiting sender only.
            sender: TokioRuntime.wrap_udp_socket(shared.socket.try_clone()?)?,
            received: Mutex::new(received),
            shared,
        }))
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote_addr: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        TokioRuntime.connect_tcp(remote_addr)
    }

    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        TokioRuntime.resolve_host(host)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn name(&self) -> &'static str {
        "tokio, one UDP port"
    }
}

/// One connection's end of a shared socket.
#[derive(Debug)]
struct MuxedSocket {
    /// Of the ephemeral socket: how the stack tells its sockets apart.
    local: SocketAddr,
    key: u64,
    private: Arc<dyn AsyncUdpSocket>,
    sender: Arc<dyn AsyncUdpSocket>,
    received: Mutex<mpsc::Receiver<Batch>>,
    shared: Arc<SharedSocket>,
}

impl Drop for MuxedSocket {
    fn drop(&mut self) {
        lock(&self.shared.routes).remove(self.key);
    }
}

impl AsyncUdpSocket for MuxedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if is_for_turn(transmit.contents) {
            return self.private.poll_send(cx, transmit);
        }
        if let Some(stun) = Stun::parse(transmit.contents)
            && matches!(stun.class(), Class::Request)
        {
            lock(&self.shared.routes).note_transaction(stun.transaction, self.key);
        }
        self.sender.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = self.private.poll_recv(cx, bufs, meta) {
            return Poll::Ready(result);
        }
        let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        };
        loop {
            let Some(batch) = ready!(lock(&self.received).poll_recv(cx)) else {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            };
            // A batch that does not fit is cut after its last whole datagram, as UDP may.
            let room = buf.len() / batch.stride * batch.stride;
            let length = batch.bytes.len().min(room);
            if length == 0 {
                continue;
            }
            if let (Some(to), Some(from)) = (buf.get_mut(..length), batch.bytes.get(..length)) {
                to.copy_from_slice(from);
            }
            *meta = RecvMeta::default();
            meta.addr = batch.from;
            meta.len = length;
            meta.stride = batch.stride;
            return Poll::Ready(Ok(1));
        }
    }

    fn max_gso_segments(&self) -> usize {
        self.sender.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.sender.max_gro_segments()
    }
}

/// Whether a datagram is for a TURN server: ChannelData, or a STUN message of a TURN method.
fn is_for_turn(datagram: &[u8]) -> bool {
    match datagram.first() {
        Some(0x40..=0x4f) => true,
        Some(0x00..=0x03) => Stun::parse(datagram).is_some_and(|stun| stun.method() != 0x001),
        _ => false,
    }
}

/// A STUN message (RFC 8489, section 5), as far as routing needs it.
struct Stun<'a> {
    kind: u16,
    transaction: [u8; 12],
    attributes: &'a [u8],
}

enum Class {
    Request,
    Indication,
    Response,
}

impl<'a> Stun<'a> {
    fn parse(datagram: &'a [u8]) -> Option<Stun<'a>> {
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

    fn class(&self) -> Class {
        match self.kind & 0x0110 {
            0x0000 => Class::Request,
            0x0010 => Class::Indication,
            _ => Class::Response,
        }
    }

    fn method(&self) -> u16 {
        (self.kind & 0x000f) | (self.kind & 0x00e0) >> 1 | (self.kind & 0x3e00) >> 2
    }

    /// The part before the colon of USERNAME: whom the message is for.
    fn local_ufrag(&self) -> Option<&'a str> {
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

/// Nothing under these locks can panic half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn routes() -> (Routes, Vec<mpsc::Receiver<Batch>>) {
        let mut routes = Routes::default();
        let mut receivers = Vec::new();
        for key in [1, 2] {
            let (queue, receiver) = mpsc::channel(1);
            receivers.push(receiver);
            let ufrag = format!("ufrag{key}");
            routes.by_ufrag.insert(ufrag.clone(), key);
            routes.connections.insert(
                key,
                Connection {
                    ufrag,
                    queue,
                    addresses: 0,
                },
            );
        }
        (routes, receivers)
    }

    fn goes_to(routes: &mut Routes, from: &str, datagram: &[u8]) -> Option<u64> {
        let queue = routes.route(from.parse().unwrap(), datagram)?.clone();
        routes
            .connections
            .iter()
            .find(|(_, c)| c.queue.same_channel(&queue))
            .map(|(key, _)| *key)
    }

    #[test]
    fn datagrams_follow_user_name_then_address_then_transaction() {
        let (mut routes, _receivers) = routes();
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
        let (mut routes, _receivers) = routes();
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
        let (mut routes, _receivers) = routes();
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
