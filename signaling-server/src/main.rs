//! The command line of the signaling server.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use piecework_signaling::tracker::{Limits, Rate};
use piecework_signaling::{Config, IceConfig, MIN_TTL, SecretError, TurnSecret, serve};
use piecework_signaling_protocol::{MAX_ICE_TTL_SECS, MAX_ICE_URLS, is_ice_url};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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

    /// STUN server that replies name to clients of ours, like stun:turn.example.com:3478; repeat for several.
    #[arg(long, value_name = "URL", value_parser = stun_url)]
    stun: Vec<String>,

    /// TURN server that replies name, with credentials that end by themselves, like
    /// turn:turn.example.com:3478?transport=udp or turns:turn.example.com:5349?transport=tcp; repeat for several.
    #[arg(long, value_name = "URL", requires = "turn_secret_file", value_parser = turn_url)]
    turn: Vec<String>,

    /// File with the secret of the TURN servers, one line: coturn's static-auth-secret, with use-auth-secret.
    #[arg(long, value_name = "FILE", requires = "turn")]
    turn_secret_file: Option<PathBuf>,

    /// Seconds for which handed out credentials hold; at least twice --interval. An open connection outlives them.
    #[arg(long, default_value_t = 3_600, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(MIN_TTL.as_secs()..=MAX_ICE_TTL_SECS))]
    turn_ttl: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if args.min_interval > args.interval {
        let text = format!(
            "--min-interval {} is longer than --interval {}: make it at most as long",
            args.min_interval, args.interval
        );
        refuse(text);
    }
    let names_servers = !args.stun.is_empty() || !args.turn.is_empty();
    if names_servers && args.turn_ttl < 2 * args.interval {
        let text = format!(
            "--turn-ttl {} is less than twice --interval {}: credentials would end before a peer asks for others",
            args.turn_ttl, args.interval
        );
        refuse(text);
    }
    for (flag, urls) in [("--stun", &args.stun), ("--turn", &args.turn)] {
        if urls.len() > MAX_ICE_URLS {
            refuse(format!(
                "{flag} is given {} times: clients take {MAX_ICE_URLS}",
                urls.len()
            ));
        }
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

/// Ends the program as a wrong value does.
fn refuse(text: String) -> ! {
    Args::command()
        .error(ErrorKind::ValueValidation, text)
        .exit()
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("cannot read the TURN secret {}: {}", .0.display(), .1)]
    SecretFile(PathBuf, std::io::Error),
    #[error("the TURN secret {} cannot be used: {}", .0.display(), .1)]
    Secret(PathBuf, SecretError),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

async fn run(args: Args) -> Result<(), RunError> {
    let stop = stop_signal()?;
    let secret = args.turn_secret_file.as_deref().map(read_secret);
    let secret = secret.transpose()?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| RunError::Listen(args.listen, error))?;
    let server = serve(listener, args.into_config(secret))?;
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
    fn into_config(self, secret: Option<TurnSecret>) -> Config {
        let names_servers = !self.stun.is_empty() || secret.is_some();
        let ice = names_servers.then_some(IceConfig {
            stun: self.stun,
            turn: self.turn,
            secret,
            ttl: Duration::from_secs(self.turn_ttl),
        });
        Config {
            ice,
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

/// A secret on the command line could be read by every user of the machine, so it comes from a file.
fn read_secret(path: &Path) -> Result<TurnSecret, RunError> {
    let content = std::fs::read_to_string(path)
        .map_err(|error| RunError::SecretFile(path.to_owned(), error))?;
    TurnSecret::from_file(&content).map_err(|error| RunError::Secret(path.to_owned(), error))
}

fn stun_url(text: &str) -> Result<String, String> {
    ice_url(
        text,
        ["stun:", "stuns:"],
        "write stun:HOST:PORT, such as stun:turn.example.com:3478",
    )
}

fn turn_url(text: &str) -> Result<String, String> {
    ice_url(
        text,
        ["turn:", "turns:"],
        "write turn:HOST:PORT or turns:HOST:PORT, with ?transport=udp or ?transport=tcp if need be, and no user name: \
         each client gets its own",
    )
}

fn ice_url(text: &str, schemes: [&str; 2], advice: &str) -> Result<String, String> {
    let known = schemes.iter().any(|scheme| text.starts_with(scheme));
    match known && is_ice_url(text) {
        true => Ok(text.to_owned()),
        false => Err(advice.to_owned()),
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
