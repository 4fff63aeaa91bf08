//! Peer connections: one WebRTC peer connection with one data channel each.
//!
//! Owns sockets, ICE, DTLS and the bytes that wait to be sent. Invariant: at most
//! [`MAX_QUEUED_BYTES`] wait per connection, and nothing comes from a connection after its
//! [`Input::ConnectionClosed`]. Never reads what it carries, and never decides whom to connect to.
//!
//! The channel is the one that WebTorrent's simple-peer makes: one per connection, ordered and reliable, opened by the
//! offering side under a random label. Offers and answers carry all candidates.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::transport::RTCIceCandidateType;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState, RTCIceTransportPolicy, RTCPeerConnectionIceEvent, RTCPeerConnectionState,
    RTCSessionDescription, SettingEngineBuilder,
};

use super::ice_addresses::IceAddresses;
use super::ice_server::IceServer;
use super::sdp;
use super::udp_mux::{UdpMux, UdpMuxError};
use crate::client::Input;
use crate::io;
use crate::types::ConnectionId;

/// Most bytes that wait per connection, here and in the SCTP stack; one more message closes it.
pub const MAX_QUEUED_BYTES: u64 = 4 << 20;
/// Most commands that wait per connection; one more closes it.
const MAX_QUEUED_COMMANDS: usize = 4096;
/// Most connections at once, above any sensible [`crate::client::Limits::max_connections`].
pub const MAX_CONNECTIONS: usize = 4096;
/// Longest SDP taken from a remote, bytes.
pub const MAX_SDP_LEN: usize = 64 * 1024;
/// Offers and answers leave with the candidates that were gathered until then: where a TURN server is asked, and where
/// only STUN servers are.
const GATHER_TIMEOUT: Duration = Duration::from_secs(3);
const STUN_TIMEOUT: Duration = Duration::from_millis(1_500);
/// They leave this long after each kind of server brought a candidate, though other servers have yet to answer: so IPv4
/// and IPv6 both have their turn, and a dead server costs nothing more.
const SETTLE: Duration = Duration::from_millis(100);
/// Where no STUN server answered in time, the connections of the next minute wait for them no longer than this.
const STUN_SILENT_TIMEOUT: Duration = Duration::from_millis(100);
const STUN_SILENT_FOR: Duration = Duration::from_secs(60);
/// If there is none by then, as behind a relay that answers late, they leave with the first one, if it comes in this
/// time.
const FIRST_CANDIDATE_TIMEOUT: Duration = Duration::from_secs(20);
/// From both descriptions to the open channel.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// An offer that nobody answers is the core's to close; this is the last resort.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a closed connection may still deliver the messages that it was given.
const LINGER: Duration = Duration::from_secs(2);
/// Time between looks whether the buffer ran low, in case the stack's event came between two sends.
const LOW_WATER_RECHECK: Duration = Duration::from_millis(20);
/// ICE consent lost (RFC 7675): seconds until `disconnected`, and from then to `failed`.
const ICE_DISCONNECTED: Duration = Duration::from_secs(5);
const ICE_FAILED: Duration = Duration::from_secs(10);
const ICE_KEEPALIVE: Duration = Duration::from_secs(2);
/// The low-water mark until the core sets one.
const DEFAULT_LOW_WATER: u64 = 64 * 1024;

/// How connections are made.
#[derive(Clone, Debug, Default)]
pub struct TransportConfig {
    /// STUN and TURN servers of the operator; those that trackers name come after them.
    pub ice_servers: Vec<IceServer>,
    /// Only relayed candidates; needs a TURN server.
    pub relay_only: bool,
    /// The address others see, when this machine stands behind a 1:1 NAT.
    pub external_ip: Option<std::net::IpAddr>,
    /// One UDP port for all connections; `None` takes an ephemeral one for each.
    pub udp_port: Option<u16>,
    /// Also offer loopback addresses: for swarms on one machine.
    pub loopback: bool,
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The fixed port.
    #[error(transparent)]
    UdpPort(#[from] UdpMuxError),
    /// Relay-only without a relay.
    #[error(
        "--relay-only needs a TURN server over UDP: add --ice-server turn:USER:PASSWORD@HOST:PORT"
    )]
    NoRelay,
}

/// All peer connections.
#[derive(Debug)]
pub struct Transport {
    shared: Arc<Shared>,
    connections: HashMap<ConnectionId, Handle>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    config: TransportConfig,
    mux: Option<UdpMux>,
    inputs: mpsc::Sender<Input>,
    address_hasher: RandomState,
    addresses: IceAddresses,
    /// Servers that trackers named ([`crate::client::Output::UseIceServers`]).
    named: Mutex<Vec<IceServer>>,
    /// When STUN servers were asked and none answered in time.
    stun_silent_at: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Handle {
    commands: mpsc::Sender<ToConnection>,
    /// Bytes handed over and not yet taken by the SCTP stack.
    queued: Arc<AtomicU64>,
}

#[derive(Debug)]
enum ToConnection {
    Answer(String),
    Send(Vec<Bytes>),
    LowWater(u64),
    Close,
}

enum Role {
    Offers,
    Answers { sdp: String },
}

impl Transport {
    /// Connections report to `inputs`.
    ///
    /// # Errors
    /// The configuration cannot be used on this machine.
    pub fn new(
        config: TransportConfig,
        inputs: mpsc::Sender<Input>,
    ) -> Result<Transport, TransportError> {
        let has_relay = config
            .ice_servers
            .iter()
            .any(|server| server.is_turn() && server.is_usable());
        if config.relay_only && !has_relay {
            return Err(TransportError::NoRelay);
        }
        let mux = config.udp_port.map(UdpMux::new).transpose()?;
        let addresses = IceAddresses::default();
        addresses.prepare(&config.ice_servers);
        Ok(Transport {
            shared: Arc::new(Shared {
                config,
                mux,
                inputs,
                address_hasher: RandomState::new(),
                addresses,
                named: Mutex::default(),
                stun_silent_at: Mutex::default(),
            }),
            connections: HashMap::new(),
            tasks: JoinSet::new(),
        })
    }

    /// These servers of trackers are used besides the operator's for connections made from now on.
    pub fn use_ice_servers(&self, servers: &[io::IceServer]) {
        let named: Vec<IceServer> = servers.iter().flat_map(IceServer::of_named).collect();
        self.shared.addresses.prepare(&named);
        *lock(&self.shared.named) = named;
    }

    /// Makes a connection and an offer; ends in [`Input::OfferReady`] or [`Input::ConnectionClosed`].
    pub fn create_offer(&mut self, id: ConnectionId) -> Result<(), String> {
        self.start(id, Role::Offers)
    }

    /// Makes a connection and an answer; ends in [`Input::AnswerReady`] or
    /// [`Input::ConnectionClosed`].
    pub fn accept_offer(&mut self, id: ConnectionId, sdp: String) -> Result<(), String> {
        self.start(id, Role::Answers { sdp })
    }

    /// The remote answered our offer.
    pub fn apply_answer(&mut self, id: ConnectionId, sdp: String) -> Result<(), String> {
        self.tell(id, ToConnection::Answer(sdp))
    }

    /// Sends the chunks as one message of at most 65,535 bytes.
    ///
    /// # Errors
    /// Too much waits already: the connection is being closed and must be reported so. An unknown connection is no
    /// error, because its [`Input::ConnectionClosed`] is on the way.
    pub fn send(&mut self, id: ConnectionId, chunks: Vec<Bytes>) -> Result<(), String> {
        let Some(handle) = self.connections.get(&id) else {
            return Ok(());
        };
        let length: u64 = chunks.iter().map(|c| c.len() as u64).sum();
        let queued = handle.queued.fetch_add(length, Ordering::Relaxed);
        if queued + length > MAX_QUEUED_BYTES {
            self.connections.remove(&id);
            return Err(format!(
                "more than {MAX_QUEUED_BYTES} bytes wait to be sent"
            ));
        }
        self.tell(id, ToConnection::Send(chunks))
    }

    /// Reports [`Input::SendBuffer`] when no more than this is buffered.
    pub fn set_low_water(&mut self, id: ConnectionId, bytes: u64) -> Result<(), String> {
        self.tell(id, ToConnection::LowWater(bytes))
    }

    /// Closes a connection after its messages are delivered, or after [`LINGER`].
    pub fn close(&mut self, id: ConnectionId) {
        // If its queue is full, the dropped handle closes it just as well.
        let _ = self.tell(id, ToConnection::Close);
        self.connections.remove(&id);
    }

    /// To be called for every [`Input::ConnectionClosed`] that passes by.
    pub fn forget(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
        while self.tasks.try_join_next().is_some() {}
    }

    /// Closes all connections and waits until they are.
    pub async fn shutdown(mut self) {
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for id in ids {
            self.close(id);
        }
        while self.tasks.join_next().await.is_some() {}
    }

    fn start(&mut self, id: ConnectionId, role: Role) -> Result<(), String> {
        if self.connections.len() >= MAX_CONNECTIONS {
            return Err(format!("at most {MAX_CONNECTIONS} connections at once"));
        }
        if let Role::Answers { sdp } = &role
            && sdp.len() > MAX_SDP_LEN
        {
            return Err(format!("an SDP of {} bytes is too long", sdp.len()));
        }
        let (commands, receiver) = mpsc::channel(MAX_QUEUED_COMMANDS);
        let queued = Arc::new(AtomicU64::new(0));
        self.connections.insert(
            id,
            Handle {
                commands,
                queued: queued.clone(),
            },
        );
        let connection = Connection {
            id,
            shared: self.shared.clone(),
            commands: receiver,
            queued,
            low_water: DEFAULT_LOW_WATER,
            owes_report: false,
            awaited: Awaited::default(),
        };
        self.tasks.spawn(connection.run(role));
        Ok(())
    }

    fn tell(&mut self, id: ConnectionId, command: ToConnection) -> Result<(), String> {
        let Some(handle) = self.connections.get(&id) else {
            return Ok(());
        };
        match handle.commands.try_send(command) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.connections.remove(&id);
                Err(format!(
                    "more than {MAX_QUEUED_COMMANDS} messages wait to be sent"
                ))
            }
        }
    }
}

impl Shared {
    /// How long a description waits for its candidates.
    fn gather_timeout(&self, awaited: Awaited) -> Duration {
        let silent = lock(&self.stun_silent_at).is_some_and(|at| at.elapsed() < STUN_SILENT_FOR);
        match awaited {
            Awaited { relayed: true, .. } => GATHER_TIMEOUT,
            Awaited {
                reflexive: true, ..
            } if silent => STUN_SILENT_TIMEOUT,
            Awaited {
                reflexive: true, ..
            } => STUN_TIMEOUT,
            _ => GATHER_TIMEOUT,
        }
    }

    /// Remembers whether STUN servers answer.
    fn note_stun(&self, awaited: Awaited, gathered: Gathered) {
        let mut silent_at = lock(&self.stun_silent_at);
        if gathered.reflexive {
            *silent_at = None;
        } else if awaited.reflexive
            && !gathered.all
            && silent_at.is_none_or(|at| at.elapsed() >= STUN_SILENT_FOR)
        {
            *silent_at = Some(Instant::now());
        }
    }
}

/// The stack's progress with its candidates: what it found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Gathered {
    any: bool,
    reflexive: bool,
    relayed: bool,
    all: bool,
}

/// What a connection's description waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Awaited {
    reflexive: bool,
    relayed: bool,
}

impl Gathered {
    /// Each kind of server brought a candidate.
    fn has(self, awaited: Awaited) -> bool {
        self.all
            || (self.any
                && (awaited.reflexive || awaited.relayed)
                && (self.reflexive || !awaited.reflexive)
                && (self.relayed || !awaited.relayed))
    }
}

/// The events of the stack's callbacks; they run on its driver and must not wait.
struct Callbacks {
    gathered: watch::Sender<Gathered>,
    state: watch::Sender<RTCPeerConnectionState>,
    channels: mpsc::Sender<Arc<dyn DataChannel>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Callbacks {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        self.gathered.send_modify(|gathered| {
            gathered.any = true;
            match event.candidate.typ {
                RTCIceCandidateType::Srflx => gathered.reflexive = true,
                RTCIceCandidateType::Relay => gathered.relayed = true,
                _ => {}
            }
        });
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_modify(|gathered| gathered.all = true);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.state.send_replace(state);
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        // Only one channel is used, and the queue has room for it alone.
        let _ = self.channels.try_send(channel);
    }
}

/// One connection; lives in its own task.
struct Connection {
    id: ConnectionId,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<ToConnection>,
    queued: Arc<AtomicU64>,
    low_water: u64,
    /// Something was sent, or another mark set, since the last [`Input::SendBuffer`].
    owes_report: bool,
    awaited: Awaited,
}

/// The reason why a connection's task ends.
enum Ended {
    /// The core told us to.
    Told,
    /// Anything else; we tell the core.
    Itself(String),
}

impl From<webrtc::error::Error> for Ended {
    fn from(error: webrtc::error::Error) -> Self {
        Ended::Itself(error.to_string())
    }
}

impl Connection {
    async fn run(mut self, role: Role) {
        if let Err(reason) = self.live(role).await {
            let _ = self
                .shared
                .inputs
                .send(Input::ConnectionClosed {
                    connection: self.id,
                    reason,
                })
                .await;
        }
    }

    /// `Ok` when the core closed it.
    async fn live(&mut self, role: Role) -> Result<(), String> {
        let (gathered, mut gathered_rx) = watch::channel(Gathered::default());
        let (state, mut state_rx) = watch::channel(RTCPeerConnectionState::New);
        let (channels, mut channels_rx) = mpsc::channel(1);
        let callbacks = Arc::new(Callbacks {
            gathered,
            state,
            channels,
        });
        let peer = self.build(callbacks).await.map_err(|e| e.to_string())?;
        let ended = self
            .serve(
                &*peer,
                role,
                &mut gathered_rx,
                &mut state_rx,
                &mut channels_rx,
            )
            .await;
        // A connection that cannot be closed is gone already.
        let _ = peer.close().await;
        match ended {
            Ended::Told => Ok(()),
            Ended::Itself(reason) => Err(reason),
        }
    }

    async fn build(
        &mut self,
        callbacks: Arc<Callbacks>,
    ) -> webrtc::error::Result<Arc<dyn PeerConnection>> {
        let config = &self.shared.config;
        let mut servers = config.ice_servers.clone();
        servers.extend(lock(&self.shared.named).iter().cloned());
        let ice_servers = self.shared.addresses.of(&servers).await;
        let awaits = |scheme: &str| {
            let mut urls = ice_servers.iter().flat_map(|server| &server.urls);
            urls.any(|url| url.starts_with(scheme))
        };
        self.awaited = Awaited {
            reflexive: awaits("stun:") && !config.relay_only,
            relayed: awaits("turn:"),
        };
        let configuration = RTCConfigurationBuilder::new()
            .with_ice_servers(ice_servers)
            .with_ice_transport_policy(if config.relay_only {
                RTCIceTransportPolicy::Relay
            } else {
                RTCIceTransportPolicy::All
            })
            .build();
        let mut engine = SettingEngineBuilder::new()
            .with_include_loopback_candidate(config.loopback)
            // No name is ever looked up, see `sdp`: no socket on the mDNS port, no failure where
            // there is no multicast.
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_ice_timeouts(
                Some(ICE_DISCONNECTED),
                Some(ICE_FAILED),
                Some(ICE_KEEPALIVE),
            );
        let mut builder = PeerConnectionBuilder::new();
        if let Some(mux) = &self.shared.mux {
            let runtime = mux.runtime();
            let (ufrag, password) = runtime.credentials();
            engine = engine.with_ice_credentials(ufrag, password);
            builder = builder.with_runtime(Arc::new(runtime));
        }
        // A wildcard stands for every interface but loopback.
        let mut addresses = vec!["0.0.0.0:0", "[::]:0"];
        if config.loopback {
            addresses.push("127.0.0.1:0");
        }
        let peer = builder
            .with_configuration(configuration)
            .with_setting_engine(engine.build())
            .with_handler(callbacks)
            .with_data_channel_send_buffer_limit(
                usize::try_from(MAX_QUEUED_BYTES).unwrap_or(usize::MAX),
            )
            .with_udp_addrs(addresses)
            .build()
            .await?;
        Ok(Arc::new(peer))
    }

    async fn serve(
        &mut self,
        peer: &dyn PeerConnection,
        role: Role,
        gathered: &mut watch::Receiver<Gathered>,
        state: &mut watch::Receiver<RTCPeerConnectionState>,
        channels: &mut mpsc::Receiver<Arc<dyn DataChannel>>,
    ) -> Ended {
        let channel = match self.negotiate(peer, role, gathered, state, channels).await {
            Ok(channel) => channel,
            Err(ended) => return ended,
        };
        match self.carry(peer, &*channel, state).await {
            Ok(never) => match never {},
            Err(ended) => {
                if matches!(ended, Ended::Told) {
                    self.linger(&*channel).await;
                }
                let _ = channel.close().await;
                ended
            }
        }
    }

    /// Descriptions back and forth, up to a channel (not yet open for the offering side).
    async fn negotiate(
        &mut self,
        peer: &dyn PeerConnection,
        role: Role,
        gathered: &mut watch::Receiver<Gathered>,
        state: &mut watch::Receiver<RTCPeerConnectionState>,
        channels: &mut mpsc::Receiver<Arc<dyn DataChannel>>,
    ) -> Result<Arc<dyn DataChannel>, Ended> {
        match role {
            Role::Offers => {
                let label = random_label()?;
                let channel = peer
                    .create_data_channel(
                        &label,
                        Some(RTCDataChannelInit {
                            ordered: true,
                            ..Default::default()
                        }),
                    )
                    .await?;
                let offer = peer.create_offer(None).await?;
                peer.set_local_description(offer).await?;
                let sdp = self.gathered_sdp(peer, gathered).await?;
                self.report(Input::OfferReady {
                    connection: self.id,
                    sdp,
                })
                .await?;
                let answer = self.answer().await?;
                let answer = RTCSessionDescription::answer(sdp::without_unresolvable(&answer))?;
                peer.set_remote_description(answer).await?;
                Ok(channel)
            }
            Role::Answers { sdp } => {
                let offer = RTCSessionDescription::offer(sdp::without_unresolvable(&sdp))?;
                peer.set_remote_description(offer).await?;
                let answer = peer.create_answer(None).await?;
                peer.set_local_description(answer).await?;
                let sdp = self.gathered_sdp(peer, gathered).await?;
                self.report(Input::AnswerReady {
                    connection: self.id,
                    sdp,
                })
                .await?;
                let deadline = Instant::now() + CONNECT_TIMEOUT;
                loop {
                    tokio::select! {
                        Some(channel) = channels.recv() => return Ok(channel),
                        failed = until_failed(state) => return Err(Ended::Itself(failed)),
                        command = self.commands.recv() => self.before_open(command)?,
                        () = sleep_until(deadline) => {
                            return Err(Ended::Itself("no connection within 30 s".to_owned()));
                        }
                    }
                }
            }
        }
    }

    async fn gathered_sdp(
        &mut self,
        peer: &dyn PeerConnection,
        gathered: &mut watch::Receiver<Gathered>,
    ) -> Result<String, Ended> {
        let began = Instant::now();
        let awaited = self.awaited;
        let limit = began + self.shared.gather_timeout(awaited);
        self.until(gathered, limit, |gathered| gathered.has(awaited))
            .await?;
        let settled = limit.min(Instant::now() + SETTLE);
        self.until(gathered, settled, |gathered| gathered.all)
            .await?;
        let last = began + FIRST_CANDIDATE_TIMEOUT;
        self.until(gathered, last, |gathered| gathered.any || gathered.all)
            .await?;
        self.shared.note_stun(awaited, *gathered.borrow());
        let description = peer
            .local_description()
            .await
            .ok_or_else(|| Ended::Itself("no local description".to_owned()))?;
        // If relays are the only way allowed, nobody can connect by a description without a candidate.
        if self.shared.config.relay_only && !description.sdp.contains("a=candidate:") {
            return Err(Ended::Itself("no TURN relay answered".to_owned()));
        }
        let port = self.shared.mux.as_ref().map(UdpMux::port);
        Ok(sdp::as_advertised(
            &description.sdp,
            self.shared.config.external_ip,
            port,
        ))
    }

    /// Waits for the stack to have found this, or until then.
    async fn until(
        &mut self,
        gathered: &mut watch::Receiver<Gathered>,
        then: Instant,
        enough: impl Fn(&Gathered) -> bool + Copy,
    ) -> Result<(), Ended> {
        loop {
            tokio::select! {
                done = gathered.wait_for(enough) => {
                    // An error means that the stack is gone, which the next call reports.
                    drop(done);
                    return Ok(());
                }
                command = self.commands.recv() => self.before_open(command)?,
                () = sleep_until(then) => return Ok(()),
            }
        }
    }

    async fn answer(&mut self) -> Result<String, Ended> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let command = tokio::select! {
                command = self.commands.recv() => command,
                () = sleep_until(deadline) => {
                    return Err(Ended::Itself("no answer within 300 s".to_owned()));
                }
            };
            match command {
                Some(ToConnection::Answer(sdp)) if sdp.len() <= MAX_SDP_LEN => return Ok(sdp),
                Some(ToConnection::Answer(sdp)) => {
                    let length = sdp.len();
                    return Err(Ended::Itself(format!(
                        "an SDP of {length} bytes is too long"
                    )));
                }
                other => self.before_open(other)?,
            }
        }
    }

    /// The commands to a connection that is not open.
    fn before_open(&mut self, command: Option<ToConnection>) -> Result<(), Ended> {
        match command {
            None | Some(ToConnection::Close) => Err(Ended::Told),
            Some(ToConnection::LowWater(bytes)) => {
                self.low_water = bytes;
                Ok(())
            }
            Some(ToConnection::Answer(_)) => {
                Err(Ended::Itself("answered twice, or out of turn".to_owned()))
            }
            Some(ToConnection::Send(_)) => {
                Err(Ended::Itself("sent to before it was open".to_owned()))
            }
        }
    }

    /// Waits for the channel to open, then carries bytes until something ends it.
    async fn carry(
        &mut self,
        peer: &dyn PeerConnection,
        channel: &dyn DataChannel,
        state: &mut watch::Receiver<RTCPeerConnectionState>,
    ) -> Result<std::convert::Infallible, Ended> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        // The answering side may find its channel open already, without an event.
        let mut early = Vec::new();
        loop {
            tokio::select! {
                event = channel.poll() => match event {
                    Some(DataChannelEvent::OnOpen) => break,
                    Some(DataChannelEvent::OnMessage(message)) => {
                        // Data proves it open.
                        early.push(message.data.freeze());
                        break;
                    }
                    Some(DataChannelEvent::OnClosing | DataChannelEvent::OnClose) | None => {
                        return Err(Ended::Itself("closed before it was open".to_owned()));
                    }
                    Some(_) => {}
                },
                failed = until_failed(state) => return Err(Ended::Itself(failed)),
                command = self.commands.recv() => self.before_open(command)?,
                () = sleep_until(deadline) => {
                    return Err(Ended::Itself("no connection within 30 s".to_owned()));
                }
            }
        }
        self.apply_low_water(channel).await?;
        let address_hash = self.address_hash(peer).await;
        let claimed = self.claimed(peer).await;
        self.report(Input::ConnectionOpen {
            connection: self.id,
            address_hash,
            claimed,
        })
        .await?;
        for bytes in early {
            self.report(Input::Received {
                connection: self.id,
                bytes,
            })
            .await?;
        }
        loop {
            let recheck = Instant::now() + LOW_WATER_RECHECK;
            tokio::select! {
                event = channel.poll() => match event {
                    Some(DataChannelEvent::OnMessage(message)) => {
                        self.report(Input::Received {
                            connection: self.id,
                            bytes: message.data.freeze(),
                        })
                        .await?;
                    }
                    Some(DataChannelEvent::OnBufferedAmountLow) => {
                        self.report_if_low(channel).await?;
                    }
                    Some(DataChannelEvent::OnClosing | DataChannelEvent::OnClose) | None => {
                        return Err(Ended::Itself("closed by the other side".to_owned()));
                    }
                    Some(_) => {}
                },
                failed = until_failed(state) => return Err(Ended::Itself(failed)),
                command = self.commands.recv() => match command {
                    None | Some(ToConnection::Close) => return Err(Ended::Told),
                    Some(ToConnection::Answer(_)) => {
                        return Err(Ended::Itself("answered twice".to_owned()));
                    }
                    Some(ToConnection::LowWater(bytes)) => {
                        self.low_water = bytes;
                        self.apply_low_water(channel).await?;
                        // The last report may lie above this mark: the core waits to hear when it is reached.
                        self.owes_report = true;
                        self.report_if_low(channel).await?;
                    }
                    Some(ToConnection::Send(chunks)) => self.send(channel, &chunks).await?,
                },
                () = sleep_until(recheck), if self.owes_report => {
                    self.report_if_low(channel).await?;
                }
            }
        }
    }

    async fn send(&mut self, channel: &dyn DataChannel, chunks: &[Bytes]) -> Result<(), Ended> {
        let length: usize = chunks.iter().map(Bytes::len).sum();
        let mut message = BytesMut::with_capacity(length);
        for chunk in chunks {
            message.extend_from_slice(chunk);
        }
        channel.send(message).await?;
        self.queued.fetch_sub(length as u64, Ordering::Relaxed);
        self.owes_report = true;
        if self.commands.is_empty() {
            self.report_if_low(channel).await?;
        }
        Ok(())
    }

    async fn apply_low_water(&self, channel: &dyn DataChannel) -> Result<(), Ended> {
        let threshold = u32::try_from(self.low_water).unwrap_or(u32::MAX);
        channel
            .set_buffered_amount_low_threshold(threshold)
            .await
            .map_err(Ended::from)
    }

    async fn report_if_low(&mut self, channel: &dyn DataChannel) -> Result<(), Ended> {
        if !self.owes_report {
            return Ok(());
        }
        let outstanding = channel.outstanding_bytes().await?;
        let buffered = outstanding as u64 + self.queued.load(Ordering::Relaxed);
        if buffered <= self.low_water {
            self.owes_report = false;
            self.report(Input::SendBuffer {
                connection: self.id,
                buffered,
            })
            .await?;
        }
        Ok(())
    }

    /// Lets goodbyes out.
    async fn linger(&mut self, channel: &dyn DataChannel) {
        let drained = async {
            while let Ok(outstanding) = channel.outstanding_bytes().await {
                if outstanding == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = timeout(LINGER, drained).await;
    }

    /// The same hashes of the addresses that its description names.
    async fn claimed(&self, peer: &dyn PeerConnection) -> Vec<u64> {
        let description = peer.remote_description().await;
        let addresses = description.map(|it| sdp::addresses(&it.sdp));
        let hash = |ip: IpAddr| self.shared.address_hasher.hash_one(ip.to_string()).max(1);
        addresses.into_iter().flatten().map(hash).collect()
    }

    /// A keyed hash of the remote address: tells peers of one address, and nothing else.
    async fn address_hash(&self, peer: &dyn PeerConnection) -> u64 {
        let Some(sctp) = peer.sctp().await else {
            return 0;
        };
        let pair = sctp
            .transport()
            .ice_transport()
            .get_selected_candidate_pair()
            .await;
        match pair {
            Ok(Some(pair)) => self
                .shared
                .address_hasher
                .hash_one(&pair.remote().address)
                .max(1),
            _ => 0,
        }
    }

    async fn report(&self, input: Input) -> Result<(), Ended> {
        // Nobody listens any more: the client is gone.
        self.shared
            .inputs
            .send(input)
            .await
            .map_err(|_| Ended::Told)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn until_failed(state: &mut watch::Receiver<RTCPeerConnectionState>) -> String {
    let failed = state
        .wait_for(|state| {
            matches!(
                state,
                RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed
            )
        })
        .await;
    match failed.as_deref() {
        Ok(RTCPeerConnectionState::Failed) => "the network connection failed".to_owned(),
        _ => "the connection closed".to_owned(),
    }
}

/// As simple-peer does: 20 random bytes in hexadecimal.
fn random_label() -> Result<String, Ended> {
    let mut bytes = [0u8; 20];
    getrandom::fill(&mut bytes).map_err(|e| Ended::Itself(e.to_string()))?;
    Ok(alloy_primitives::hex::encode(bytes))
}
