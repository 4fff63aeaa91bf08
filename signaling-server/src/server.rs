//! The socket edge: accepts connections, answers HTTP, and carries messages between the WebSocket
//! connections and the one [`Tracker`].
//!
//! Lock order: the shared state, then an outbox. No lock is held across an await.

use crate::Config;
use crate::connection::{CLOSE_GOING_AWAY, CLOSE_POLICY, Connection};
use crate::http::{self, HttpRequest, MAX_HEAD_LEN, Page, Refusal};
use crate::outbox::Outbox;
use crate::tracker::{ConnectionId, Output, Tracker};
use bytes::BufMut;
use piecework_signaling_protocol::{Limits, Request, RequestError};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::{debug, info, warn};

/// Longest time between two looks at timeouts.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Pause after the system refused a socket (too many open files, most often).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves on a listener until [`Handle::shutdown`], or until the handle is dropped.
///
/// Must be called within a Tokio runtime.
pub fn serve(listener: TcpListener, config: Config) -> io::Result<Handle> {
    let local_addr = listener.local_addr()?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    let mut tracker = Tracker::new(config.limits, seed);
    if let Some(ice) = config.ice.clone() {
        tracker.name_ice_servers(ice);
    }
    tracker.tell_date(Duration::ZERO, unix_secs());
    let shared = Arc::new(Shared {
        tracker: Mutex::new(State {
            tracker,
            outboxes: Vec::new(),
            stopping: false,
            stats: Stats::default(),
        }),
        admission: Mutex::new(Admission::default()),
        emptied: Notify::new(),
        subscribers: RandomState::new(),
        started: Instant::now(),
        config,
    });
    let (stop, stopped) = watch::channel(());
    let task = tokio::spawn(run(listener, Arc::clone(&shared), stopped));
    info!(port = local_addr.port(), "listening");
    Ok(Handle {
        local_addr,
        shared,
        stop,
        task,
    })
}

/// A running server.
pub struct Handle {
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Handle {
    /// The address it listens on, with its real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Its numbers, of now and since the start.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Stops: no new connections, a close frame with code 1001 to each open one, and at most
    /// [`Config::close_timeout`] for the peers to answer it.
    pub async fn shutdown(self) {
        // The receiver lives as long as the task.
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            warn!(%error, "the server's task failed");
        }
    }
}

/// A server's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Open WebSocket connections.
    pub connections: usize,
    /// Swarms with at least one peer.
    pub swarms: usize,
    /// Peers, one in several swarms counted in each.
    pub peers: usize,
    /// Those of them that have all of it.
    pub seeders: usize,
    /// Messages read since the start.
    pub messages_in: u64,
    /// Messages queued to peers since the start.
    pub messages_out: u64,
    /// Connections dropped because the peer did not read.
    pub slow_readers: u64,
    /// Connections closed because the peer kept sending more than it may.
    pub floods: u64,
}

impl Stats {
    /// The counts that `bittorrent-tracker` has under `/stats.json`, as far as they are known here.
    fn to_stock_json(self) -> String {
        format!(
            "{{\"torrents\":{swarms},\"activeTorrents\":{swarms},\"peersAll\":{},\
             \"peersSeederOnly\":{},\"peersLeecherOnly\":{}}}",
            self.peers,
            self.seeders,
            self.peers - self.seeders,
            swarms = self.swarms,
        )
    }

    fn to_json(self) -> String {
        format!(
            "{{\"ok\":true,\"connections\":{},\"swarms\":{},\"peers\":{},\"messages_in\":{},\
             \"messages_out\":{},\"slow_readers\":{},\"floods\":{}}}",
            self.connections,
            self.swarms,
            self.peers,
            self.messages_in,
            self.messages_out,
            self.slow_readers,
            self.floods
        )
    }
}

/// The state that the connections share.
pub(crate) struct Shared {
    tracker: Mutex<State>,
    admission: Mutex<Admission>,
    /// Notified when the last connection ended.
    emptied: Notify,
    /// Turns addresses into numbers that tell nothing, and others after each start.
    subscribers: RandomState,
    started: Instant,
    config: Config,
}

struct State {
    tracker: Tracker,
    /// By connection id.
    outboxes: Vec<Option<Arc<Outbox>>>,
    /// New connections are closed at once.
    stopping: bool,
    stats: Stats,
}

impl Shared {
    /// Since the server's start.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn parser_limits(&self) -> Limits {
        self.config.limits.parser()
    }

    /// `ip` is the peer's address, if it is known.
    pub(crate) fn register(&self, ip: Option<IpAddr>) -> (ConnectionId, Arc<Outbox>) {
        let now = self.now();
        let outbox = Arc::new(Outbox::new(now));
        let mut state = lock(&self.tracker);
        let id = state.tracker.connect(now);
        let subscriber = self.subscribers.hash_one(ip.map(subscriber));
        state.tracker.set_subscriber(id, subscriber);
        if state.outboxes.len() <= id.0 {
            state.outboxes.resize(id.0 + 1, None);
        }
        state.outboxes[id.0] = Some(Arc::clone(&outbox));
        if state.stopping {
            outbox.close(CLOSE_GOING_AWAY, now);
        }
        debug!(connection = id.0, "connected");
        (id, outbox)
    }

    pub(crate) fn deregister(&self, id: ConnectionId) {
        let mut state = lock(&self.tracker);
        state.tracker.disconnect(id);
        if let Some(slot) = state.outboxes.get_mut(id.0) {
            *slot = None;
        }
        if state.tracker.connection_count() == 0 {
            self.emptied.notify_one();
        }
        debug!(connection = id.0, "disconnected");
    }

    pub(crate) fn close(&self, outbox: &Outbox, code: u16) {
        outbox.close(code, self.now() + self.config.close_timeout);
    }

    pub(crate) fn handle_request(
        &self,
        now: Duration,
        from: ConnectionId,
        request: Result<Request<'_>, RequestError>,
    ) {
        let mut state = lock(&self.tracker);
        let state = &mut *state;
        state.stats.messages_in += 1;
        state.tracker.handle_request(now, from, request);
        while let Some(output) = state.tracker.poll_output() {
            let (Output::Send { to, .. } | Output::Probe(to) | Output::Close(to)) = &output;
            let Some(Some(outbox)) = state.outboxes.get(to.0) else {
                continue;
            };
            match output {
                Output::Send { to, text } => {
                    state.stats.messages_out += 1;
                    if !outbox.push(text, self.config.max_queue_bytes) {
                        state.stats.slow_readers += 1;
                        info!(connection = to.0, "dropped: the peer does not read");
                    }
                }
                Output::Probe(_) => outbox.probe(now + self.config.close_timeout),
                Output::Close(to) => {
                    state.stats.floods += 1;
                    info!(connection = to.0, "closed: too many messages");
                    self.close(outbox, CLOSE_POLICY);
                }
            }
        }
    }

    fn stats(&self) -> Stats {
        let state = lock(&self.tracker);
        Stats {
            connections: state.tracker.connection_count(),
            swarms: state.tracker.swarm_count(),
            peers: state.tracker.peer_count(),
            seeders: state.tracker.seeder_count(),
            ..state.stats
        }
    }

    fn outboxes(&self) -> Vec<Arc<Outbox>> {
        lock(&self.tracker)
            .outboxes
            .iter()
            .flatten()
            .cloned()
            .collect()
    }

    async fn wait_until_empty(&self) {
        while lock(&self.tracker).tracker.connection_count() > 0 {
            self.emptied.notified().await;
        }
    }

    fn sweep(&self) {
        let now = self.now();
        let mut state = lock(&self.tracker);
        state.tracker.tell_date(now, unix_secs());
        state.tracker.sweep(now);
        drop(state);
        for outbox in self.outboxes() {
            outbox.check_idle(now, self.config.idle_timeout);
        }
    }
}

/// Connections counted against the limits, from their first byte.
#[derive(Default)]
struct Admission {
    handshakes: usize,
    connections: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// One place in [`Admission`], given back on drop.
struct Place {
    shared: Arc<Shared>,
    /// The address that it is counted for.
    ip: Option<IpAddr>,
    /// The peer's address, counted or not.
    peer: Option<IpAddr>,
    upgraded: bool,
}

impl Place {
    /// A place for a connection that has not sent anything yet. `None`: too many such.
    fn take(shared: &Arc<Shared>) -> Option<Place> {
        let mut admission = lock(&shared.admission);
        if admission.handshakes >= shared.config.max_handshakes {
            return None;
        }
        admission.handshakes += 1;
        Some(Place {
            shared: Arc::clone(shared),
            ip: None,
            peer: None,
            upgraded: false,
        })
    }

    /// Counts it for its address.
    fn set_ip(&mut self, ip: IpAddr) -> Result<(), Refusal> {
        self.peer = Some(ip);
        let limit = self.shared.config.max_connections_per_ip;
        if limit == 0 || self.ip.is_some() {
            return Ok(());
        }
        let ip = subscriber(ip);
        let mut admission = lock(&self.shared.admission);
        let count = admission.by_ip.get(&ip).copied().unwrap_or(0);
        if count >= limit {
            return Err(Refusal::TooManyFromAddress);
        }
        admission.by_ip.insert(ip, count + 1);
        drop(admission);
        self.ip = Some(ip);
        Ok(())
    }

    /// Whether half of all places are taken by connections that have not sent anything yet.
    fn is_crowded(&self) -> bool {
        2 * lock(&self.shared.admission).handshakes > self.shared.config.max_handshakes
    }

    /// Counts it as a WebSocket connection.
    fn upgrade(&mut self) -> Result<(), Refusal> {
        let mut admission = lock(&self.shared.admission);
        if admission.connections >= self.shared.config.max_connections {
            return Err(Refusal::Full);
        }
        admission.connections += 1;
        admission.handshakes -= 1;
        drop(admission);
        self.upgraded = true;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut admission = lock(&self.shared.admission);
        if self.upgraded {
            admission.connections -= 1;
        } else {
            admission.handshakes -= 1;
        }
        if let Some(ip) = self.ip
            && let Some(count) = admission.by_ip.get_mut(&ip)
        {
            *count -= 1;
            if *count == 0 {
                admission.by_ip.remove(&ip);
            }
        }
    }
}

/// The address that stands for one subscriber: an IPv6 one has a whole /64.
fn subscriber(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

fn unix_secs() -> u64 {
    // A clock before 1970 makes credentials that ended long ago.
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

async fn run(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<()>) {
    let config = &shared.config;
    let shortest = config.idle_timeout.min(config.close_timeout) / 4;
    let period = SWEEP_INTERVAL.min(shortest).max(Duration::from_millis(10));
    let mut sweep = tokio::time::interval(period);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Sent, or the handle was dropped.
            _ = stopped.changed() => break,
            _ = sweep.tick() => shared.sweep(),
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => accept(stream, address, &shared),
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stop_connections(&shared).await;
    info!("stopped");
}

async fn stop_connections(shared: &Shared) {
    let timeout = shared.config.close_timeout;
    let deadline = shared.now() + timeout;
    lock(&shared.tracker).stopping = true;
    for outbox in shared.outboxes() {
        outbox.close(CLOSE_GOING_AWAY, deadline);
    }
    if tokio::time::timeout(timeout, shared.wait_until_empty())
        .await
        .is_ok()
    {
        return;
    }
    for outbox in shared.outboxes() {
        outbox.drop_now();
    }
    shared.wait_until_empty().await;
}

fn accept(stream: TcpStream, address: SocketAddr, shared: &Arc<Shared>) {
    let Some(mut place) = Place::take(shared) else {
        debug!("dropped a connection: too many handshakes");
        return;
    };
    // Behind a proxy every socket has the proxy's address.
    let counted = match shared.config.client_ip_header {
        Some(_) => Ok(()),
        None => place.set_ip(address.ip()),
    };
    // An address with as many connections as it may have takes at most half of the places, for those that wait for the
    // refusal.
    if counted.is_err() && place.is_crowded() {
        debug!("dropped a connection: too many handshakes, and too many from its address");
        return;
    }
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        if let Some((stream, early)) = upgrade(stream, &mut place, counted, &shared).await {
            Connection::open(stream, early, shared, place.peer).await;
        }
        drop(place);
    });
}

/// Answers the HTTP request. The stream comes back if it is a WebSocket now, with the bytes that the peer sent after
/// its request.
async fn upgrade(
    mut stream: TcpStream,
    place: &mut Place,
    counted: Result<(), Refusal>,
    shared: &Shared,
) -> Option<(TcpStream, Vec<u8>)> {
    // Boxed: these buffers should not stay in a task that lives as long as its connection.
    let exchange = Box::pin(async {
        let (request, mut bytes) = read_request(&mut stream, shared).await?;
        let reply = match counted.and(request) {
            Err(refusal) => Err(refusal.reply()),
            Ok(HttpRequest::Read { page, head_only }) => {
                let stats = shared.stats();
                let body = match page {
                    Page::Health => stats.to_json(),
                    Page::Stats => stats.to_stock_json(),
                };
                Err(http::json(&body, head_only))
            }
            Ok(HttpRequest::Upgrade {
                key,
                origin,
                client_ip,
                head_len,
            }) => {
                bytes.drain(..head_len);
                admit(place, origin.as_deref(), client_ip, &shared.config)
                    .map(|()| http::switching_protocols(&derive_accept_key(key.as_bytes())))
                    .map_err(Refusal::reply)
            }
        };
        let upgraded = reply.is_ok();
        let (Ok(text) | Err(text)) = reply;
        stream.write_all(text.as_bytes()).await?;
        if !upgraded {
            stream.shutdown().await?;
        }
        io::Result::Ok(upgraded.then_some(bytes))
    });
    match tokio::time::timeout(shared.config.handshake_timeout, exchange).await {
        Ok(Ok(Some(early))) => Some((stream, early)),
        Ok(Ok(None)) => None,
        Ok(Err(error)) => {
            debug!(%error, "handshake failed");
            None
        }
        Err(_) => {
            debug!("handshake timed out");
            None
        }
    }
}

fn admit(
    place: &mut Place,
    origin: Option<&str>,
    client_ip: Option<IpAddr>,
    config: &Config,
) -> Result<(), Refusal> {
    let allowed = &config.allowed_origins;
    if let Some(origin) = origin
        && !allowed.is_empty()
        && !allowed.iter().any(|o| o.eq_ignore_ascii_case(origin))
    {
        return Err(Refusal::OriginNotAllowed);
    }
    if let Some(ip) = client_ip {
        place.set_ip(ip)?;
    }
    place.upgrade()
}

/// Reads until the request head is complete, or is none. Gives back every byte read.
async fn read_request(
    stream: &mut TcpStream,
    shared: &Shared,
) -> io::Result<(Result<HttpRequest, Refusal>, Vec<u8>)> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if stream
            .read_buf(&mut (&mut bytes).limit(MAX_HEAD_LEN))
            .await?
            == 0
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(request) = http::parse(&bytes, shared.config.client_ip_header.as_deref()) {
            return Ok((request, bytes));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
