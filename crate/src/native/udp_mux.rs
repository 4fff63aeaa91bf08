//! One UDP port for all peer connections.
//!
//! Owns one shared socket per local address; `udp_routes` knows which datagram belongs to which
//! connection. Never answers a datagram itself.
//!
//! The WebRTC stack binds an ephemeral socket per connection and hands it to its runtime to wrap:
//! there it is exchanged. Traffic with TURN servers keeps the ephemeral socket, because a TURN
//! server knows its clients by their addresses, one allocation each (RFC 8656, section 3.1).

use std::collections::HashMap;
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

use super::udp_routes::{Class, Routes, Stun, is_for_turn};

/// Most receive batches that wait for one connection; further ones are dropped, as UDP may.
const MAX_QUEUED_BATCHES: usize = 512;
/// Longest receive batch: what a socket may coalesce at most (UDP GRO).
const MAX_BATCH_LEN: usize = 64 * 1024;

/// Why there is no fixed port.
#[derive(Debug, thiserror::Error)]
pub enum UdpMuxError {
    /// Taken, or not allowed.
    #[error("UDP port {port} cannot be used: {source}; choose another with --udp-port")]
    Bind {
        /// The port that the operator asked for.
        port: u16,
        /// The operating system's error.
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
        let routes: Arc<Mutex<Routes<mpsc::Sender<Batch>>>> = Arc::default();
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
    routes: Arc<Mutex<Routes<mpsc::Sender<Batch>>>>,
    reader: AbortHandle,
}

impl Drop for SharedSocket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

#[derive(Debug)]
struct Batch {
    from: SocketAddr,
    stride: usize,
    bytes: Bytes,
}

/// Reads the shared socket until it is dropped.
async fn deliver(socket: Arc<dyn AsyncUdpSocket>, routes: Arc<Mutex<Routes<mpsc::Sender<Batch>>>>) {
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
        lock(&shared.routes).insert(self.key, &self.ufrag, queue);
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
    /// Of the ephemeral socket; by it the stack tells its sockets apart.
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
            lock(&self.shared.routes).note_transaction(stun.transaction(), self.key);
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

/// Nothing under these locks can panic half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
