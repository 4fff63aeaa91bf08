//! The signaling server: a WebTorrent tracker that introduces peers of a swarm to each other.
//!
//! Two halves. [`tracker`] is the server without its sockets: it takes limits, a seed, connections
//! and requests, and queues what is to be sent. [`serve`] is the edge around it: sockets, clock,
//! HTTP upgrade, WebSocket frames, queues to the peers.
//!
//! It keeps nothing on disk and relays no content: session descriptions pass through, unread.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use piecework_signaling::{Config, serve};
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let server = serve(listener, Config::default())?;
//! println!("ws://{}", server.local_addr());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod bucket;
mod config;
mod connection;
pub mod frames;
pub mod http;
mod ice;
mod outbox;
mod server;
pub mod tracker;

pub use config::Config;
pub use ice::{IceConfig, MIN_TTL, SecretError, TurnSecret};
pub use server::{Handle, Stats, serve};
