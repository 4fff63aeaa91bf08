//! Every setting of the operator, and the limits that hold without a setting.

use crate::ice::IceConfig;
use crate::tracker::Limits;
use std::time::Duration;

/// How a server behaves. Every queue and table of the server is bounded by a field of this or of
/// [`Limits`].
#[derive(Clone, Debug)]
pub struct Config {
    /// The tracker's own limits for each connection.
    pub limits: Limits,
    /// WebSocket connections at once; above it a peer gets HTTP status 503.
    pub max_connections: usize,
    /// Connections of one address at once (IPv6: of one /64), those still shaking hands included;
    /// above it a peer gets HTTP status 429. 0 is no limit.
    pub max_connections_per_ip: usize,
    /// Connections that have not finished their HTTP request; above it new ones are dropped.
    pub max_handshakes: usize,
    /// Bytes queued to one peer. A peer that lets more pile up is a slow reader: its connection is
    /// dropped and counted.
    pub max_queue_bytes: usize,
    /// A connection on which nothing arrives for this long is closed; after half of it the server pings.
    pub idle_timeout: Duration,
    /// Time for the whole HTTP request.
    pub handshake_timeout: Duration,
    /// Time for a closing connection to answer the close frame.
    pub close_timeout: Duration,
    /// Origins whose pages may connect, like `https://example.com`; empty allows all. A client that
    /// sends no Origin is no web page and is let in.
    pub allowed_origins: Vec<String>,
    /// Header that a trusted proxy in front sets to the peer's address (its last entry counts), such
    /// as `x-forwarded-for`. Without it the socket's address counts.
    pub client_ip_header: Option<String>,
    /// STUN and TURN servers that replies name; `None` names none.
    pub ice: Option<IceConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            limits: Limits::default(),
            max_connections: 20_000,
            max_connections_per_ip: 256,
            max_handshakes: 1_024,
            max_queue_bytes: 256 * 1024,
            idle_timeout: Duration::from_secs(180),
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(3),
            allowed_origins: Vec::new(),
            client_ip_header: None,
            ice: None,
        }
    }
}
