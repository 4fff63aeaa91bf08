//! The command line of the signaling server.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use piecework_signaling::tracker::{Limits, Rate};
use piecework_signaling::{Config, serve};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// Introduces Piecework and WebTorrent peers to each other: a WebTorrent tracker over WebSocket.
///
/// Prints `piecework-signaling listening on ws://ADDRESS:PORT` as its first line, logs to standard error
/// (RUST_LOG sets the level) and stops cleanly on SIGINT and SIGTERM. `GET /health` and `GET /stats` answer with JSON.
/// It speaks plain ws://; for wss:// put a TLS proxy in front of it (and see --client-ip-header).
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8000", value_name = "ADDRESS:PORT", value_parser = socket_address)]
    listen: SocketAddr,

    /// Origin whose pages may connect, like https://example.com; repeat for several [default: any].
    #[arg(long = "allow-origin", value_name = "ORIGIN", value_parser = origin)]
    allowed_origins: Vec<String>,

    /// Header that a trusted proxy in front sets to the peer's address, like x-forwarded-for.
    #[arg(long, value_name = "NAME")]
    client_ip_header: Option<String>,

    /// WebSocket connections at once (each takes a file descriptor: see `ulimit -n`).
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = at_least_one)]
    max_connections: usize,

    /// Connections of one address (IPv6: one /64) at once; 0 is no limit.
    #[arg(long, default_value_t = 256, value_name = "N")]
    max_connections_per_ip: usize,

    /// Connections that may still be in their HTTP request.
    #[arg(long, default_value_t = 1_024, value_name = "N")]
    max_handshakes: usize,

    /// Bytes that may wait for one peer to read them; above it the peer is dropped.
    #[arg(long, default_value_t = 256 * 1024, value_name = "BYTES", value_parser = at_least_one)]
    max_queue_bytes: usize,

    /// Seconds of silence after which a connection is closed (half of it: ping).
    #[arg(long, default_value_t = 180, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    idle_timeout: u64,

    /// Seconds for the HTTP request.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    handshake_timeout: u64,

    /// Seconds between a peer's announces.
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,

    /// Seconds that a peer must let pass before an early announce; at most --interval.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    min_interval: u64,

    /// Offers relayed of one announce.
    #[arg(long, default_value_t = 10, value_name = "N")]
    offers_per_announce: usize,

    /// Torrents of one connection; each takes about 300 bytes.
    #[arg(long, default_value_t = 1_024, value_name = "N")]
    torrents_per_connection: usize,

    /// Messages per second of one connection.
    #[arg(long, default_value_t = 20.0, value_name = "N", value_parser = some_rate)]
    messages_per_second: f32,

    /// Messages of one connection at once.
    #[arg(long, default_value_t = 512.0, value_name = "N", value_parser = rate)]
    message_burst: f32,

    /// Offers relayed per second of one connection.
    #[arg(long, default_value_t = 10.0, value_name = "N", value_parser = rate)]
    offers_per_second: f32,

    /// Offers relayed of one connection at once.
    #[arg(long, default_value_t = 256.0, value_name = "N", value_parser = rate)]
    offer_burst: f32,

    /// Offers of one peer that may wait for an answer.
    #[arg(long, default_value_t = 256, value_name = "N")]
    pending_offers_per_peer: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if args.min_interval > args.interval {
        let text = format!(
            "--min-interval {} is longer than --interval {}: make it at most as long",
            args.min_interval, args.interval
        );
        Args::command()
            .error(ErrorKind::ValueValidation, text)
            .exit();
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("piecework-signaling: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

async fn run(args: Args) -> Result<(), RunError> {
    let stop = stop_signal()?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| RunError::Listen(args.listen, error))?;
    let server = serve(listener, args.into_config())?;
    let mut stdout = std::io::stdout();
    writeln!(
        stdout,
        "piecework-signaling listening on ws://{}",
        server.local_addr()
    )?;
    stdout.flush()?;
    stop.await;
    server.shutdown().await;
    Ok(())
}

impl Args {
    fn into_config(self) -> Config {
        Config {
            limits: Limits {
                interval: Duration::from_secs(self.interval),
                min_interval: Duration::from_secs(self.min_interval),
                offers_per_announce: self.offers_per_announce,
                torrents_per_connection: self.torrents_per_connection,
                messages: Rate {
                    per_second: self.messages_per_second,
                    burst: self.message_burst,
                },
                offers: Rate {
                    per_second: self.offers_per_second,
                    burst: self.offer_burst,
                },
                pending_offers_per_peer: self.pending_offers_per_peer,
                ..Limits::default()
            },
            max_connections: self.max_connections,
            max_connections_per_ip: self.max_connections_per_ip,
            max_handshakes: self.max_handshakes,
            max_queue_bytes: self.max_queue_bytes,
            idle_timeout: Duration::from_secs(self.idle_timeout),
            handshake_timeout: Duration::from_secs(self.handshake_timeout),
            allowed_origins: self.allowed_origins,
            client_ip_header: self.client_ip_header,
            ..Config::default()
        }
    }
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "write an IP address and a port, such as 0.0.0.0:8000 or [::]:8000".to_owned())
}

/// A browser sends scheme, host and a port that is not the scheme's own, in lower case, and nothing else.
fn origin(text: &str) -> Result<String, String> {
    // Extensions have schemes of their own; a sandboxed page has no origin but this word.
    let known = match text.split_once("://") {
        Some(("ws" | "wss" | "", _)) => false,
        Some((_, host)) => is_origins_host(host),
        None => text == "null",
    };
    match known {
        true => Ok(text.to_owned()),
        false => Err(
            "write it as browsers send it, such as https://example.com: in lower case, without a path"
                .to_owned(),
        ),
    }
}

fn is_origins_host(host: &str) -> bool {
    let is_its_own =
        |b: u8| b.is_ascii_graphic() && !b.is_ascii_uppercase() && !b"/?#@".contains(&b);
    !host.is_empty() && host.bytes().all(is_its_own)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write a number from 1 on; with 0 nobody would be served".to_owned()),
        Ok(number) => Ok(number),
    }
}

fn some_rate(text: &str) -> Result<f32, String> {
    match rate(text)? {
        some if some > 0.0 => Ok(some),
        _ => Err("must be above 0: with 0 nobody would be served".to_owned()),
    }
}

fn rate(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(rate) if rate.is_finite() && rate >= 0.0 => Ok(rate),
        _ => Err("must be a number that is not negative".to_owned()),
    }
}

/// Resolves on SIGINT or SIGTERM; from now on they no longer kill the process.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves on Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // An error means that there is no Ctrl-C to wait for.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
