//! The operator's settings and views: limits, origins, health, timeouts, stopping, the binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use piecework_signaling::tracker::Limits;
use piecework_signaling::{Config, IceConfig, TurnSecret};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Error;

async fn http(address: std::net::SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let status = reply.split(' ').nth(1).unwrap().parse().unwrap();
    let body = reply.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

fn refused_with(result: Result<Client, Error>, status: u16) {
    match result {
        Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), status),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("let in"),
    }
}

#[tokio::test]
async fn health_tells_connections_swarms_and_peers() {
    let server = start(Config::default()).await;
    let mut a = Client::connect(&server).await;
    a.ask(&announce('a', &[])).await;
    a.ask(&announce('b', &[])).await;
    let (status, body) = http(server.local_addr(), "GET /health HTTP/1.1\r\n\r\n").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(
        (
            &body["ok"],
            &body["connections"],
            &body["swarms"],
            &body["peers"]
        ),
        (&json!(true), &json!(1), &json!(1), &json!(2))
    );
}

#[tokio::test]
async fn monitors_may_ask_for_the_head_alone_and_for_stats_under_the_stock_names() {
    let server = start(Config::default()).await;
    let mut a = Client::connect(&server).await;
    a.ask(&announce('a', &[])).await;
    a.ask(&announce('b', &[])).await;
    let address = server.local_addr();
    for path in ["/health", "/stats", "/stats.json"] {
        let head = http(address, &format!("HEAD {path} HTTP/1.1\r\n\r\n")).await;
        assert_eq!(head, (200, String::new()), "{path}");
    }
    let (status, body) = http(address, "GET /stats HTTP/1.1\r\n\r\n").await;
    assert_eq!(status, 200);
    let body: Value = serde_json::from_str(&body).unwrap();
    let expected = json!({
        "torrents": 1,
        "activeTorrents": 1,
        "peersAll": 2,
        "peersSeederOnly": 0,
        "peersLeecherOnly": 2,
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn other_requests_are_told_what_this_is() {
    let server = start(Config::default()).await;
    let address = server.local_addr();
    assert_eq!(http(address, "GET / HTTP/1.1\r\n\r\n").await.0, 426);
    assert_eq!(http(address, "HEAD / HTTP/1.1\r\n\r\n").await.0, 426);
    assert_eq!(http(address, "POST /health HTTP/1.1\r\n\r\n").await.0, 405);
    assert_eq!(http(address, "nonsense\r\n\r\n").await.0, 400);
}

#[tokio::test]
async fn only_allowed_origins_connect() {
    let config = Config {
        allowed_origins: vec!["https://good.example".to_owned()],
        ..Config::default()
    };
    let server = start(config).await;
    for evil in [
        "https://evil.example",
        "https://good.example.evil.example",
        "null",
    ] {
        refused_with(Client::try_connect(&server, Some(evil)).await, 403);
    }
    let page = Client::try_connect(&server, Some("https://good.example")).await;
    page.expect("the page's origin is allowed");
    let native = Client::try_connect(&server, None).await;
    native.expect("a native peer has no origin");
}

#[tokio::test]
async fn connections_are_limited_in_total() {
    let config = Config {
        max_connections: 2,
        ..Config::default()
    };
    let server = start(config).await;
    let a = Client::connect(&server).await;
    let mut b = Client::connect(&server).await;
    refused_with(Client::try_connect(&server, None).await, 503);
    // `/health` still answers.
    assert_eq!(
        http(server.local_addr(), "GET /health HTTP/1.1\r\n\r\n")
            .await
            .0,
        200
    );
    b.nothing_more().await;
    drop(a);
    until(&server, "one left", |s| s.connections == 1).await;
    // The place is given back right after the tracker forgot the connection.
    let wait = async { while Client::try_connect(&server, None).await.is_err() {} };
    tokio::time::timeout(PATIENCE, wait).await.expect("a place");
}

#[tokio::test]
async fn connections_are_limited_per_address() {
    let config = Config {
        max_connections_per_ip: 2,
        ..Config::default()
    };
    let server = start(config).await;
    let _a = Client::connect(&server).await;
    let _b = Client::connect(&server).await;
    refused_with(Client::try_connect(&server, None).await, 429);
}

/// A connection from one of this machine's own addresses, which says nothing.
async fn from(address: &str, server: &piecework_signaling::Handle) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(format!("{address}:0").parse().unwrap())
        .unwrap();
    socket.connect(server.local_addr()).await.unwrap()
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn who_holds_many_half_handshakes_at_one_address_keeps_nobody_else_out() {
    let config = Config {
        max_connections_per_ip: 2,
        max_handshakes: 8,
        handshake_timeout: Duration::from_secs(3600),
        ..Config::default()
    };
    let server = start(config).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(from("127.0.0.1", &server).await);
    }
    // Connections are accepted in their order.
    let mut honest = from("127.0.0.2", &server).await;
    honest
        .write_all(b"GET /health HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let mut reply = String::new();
    let read = honest.read_to_string(&mut reply);
    let read = tokio::time::timeout(PATIENCE, read).await;
    read.expect("nobody answers").unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
}

#[tokio::test]
async fn behind_a_proxy_the_forwarded_address_counts() {
    let config = Config {
        max_connections_per_ip: 1,
        client_ip_header: Some("x-forwarded-for".to_owned()),
        ..Config::default()
    };
    let server = start(config).await;
    let connect = async |address: &str| {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest;
        let mut request = url(&server).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("x-forwarded-for", address.parse().unwrap());
        tokio_tungstenite::connect_async(request)
            .await
            .map(|(socket, _)| Client(socket))
    };
    let _a = connect("192.0.2.1").await.unwrap();
    let _b = connect("192.0.2.2").await.unwrap();
    let _c = connect("2001:db8::1").await.unwrap();
    refused_with(connect("192.0.2.1").await, 429);
    // The peer's own text before the proxy's entry does not count.
    refused_with(connect("198.51.100.7, 192.0.2.1").await, 429);
    // One subscriber has a whole /64.
    refused_with(connect("2001:db8::2").await, 429);
}

#[tokio::test]
async fn torrents_of_one_connection_are_limited() {
    let config = Config {
        limits: Limits {
            torrents_per_connection: 2,
            ..Limits::default()
        },
        ..Config::default()
    };
    let server = start(config).await;
    let mut a = Client::connect(&server).await;
    for (hash, refused) in [('1', false), ('2', false), ('3', true), ('1', false)] {
        let mut message = announce('a', &[]);
        message["info_hash"] = json!(id(hash));
        let reply = a.ask(&message).await;
        assert_eq!(reply["failure reason"].is_string(), refused, "{reply}");
        assert_eq!(reply["info_hash"], json!(id(hash)));
    }
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_one_that_answers_pings_is_kept() {
    let config = Config {
        idle_timeout: Duration::from_millis(400),
        ..Config::default()
    };
    let server = start(config).await;
    // Never polled, so its pings stay unanswered.
    let _silent = Client::connect(&server).await;
    let mut alive = Client::connect(&server).await;
    let polled = tokio::spawn(async move {
        let end = alive.closed().await;
        (alive, end)
    });
    until(&server, "the silent one is closed", |s| s.connections == 1).await;
    assert!(!polled.is_finished());
    server.shutdown().await;
    assert_eq!(polled.await.unwrap().1, Some(1001));
}

#[tokio::test]
async fn stopping_sends_going_away_and_waits_for_nobody_for_long() {
    let config = Config {
        close_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let server = start(config).await;
    let address = server.local_addr();
    let mut polite = Client::connect(&server).await;
    let _deaf = Client::connect(&server).await;
    let (end, ()) = tokio::join!(polite.closed(), server.shutdown());
    assert_eq!(end, Some(1001));
    assert!(TcpStream::connect(address).await.is_err());
}

/// The fields as they are on the wire: the reply has what stock clients look for, and two fields that they pass over.
#[tokio::test]
async fn replies_name_stun_and_turn_servers_with_one_name_for_one_address() {
    let secret = TurnSecret::from_file("north-south-east-west").unwrap();
    let config = Config {
        client_ip_header: Some("x-forwarded-for".to_owned()),
        ice: Some(IceConfig {
            stun: vec!["stun:s.example:3478".to_owned()],
            turn: vec!["turn:t.example:3478?transport=udp".to_owned()],
            secret: Some(secret),
            ttl: Duration::from_secs(600),
        }),
        ..Config::default()
    };
    let server = start(config).await;
    let mut names = Vec::new();
    for (n, address) in ["192.0.2.1", "192.0.2.1", "192.0.2.2"]
        .into_iter()
        .enumerate()
    {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest;
        let mut request = url(&server).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("x-forwarded-for", address.parse().unwrap());
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let reply = Client(socket).ask(&announce(['a', 'b', 'c'][n], &[])).await;
        assert_eq!(reply["action"], "announce");
        assert_eq!(reply["info_hash"], HASH);
        assert_eq!(reply["ice_servers_ttl"], 600);
        let [stun, turn] = &reply["ice_servers"].as_array().unwrap()[..] else {
            panic!("{reply}");
        };
        assert_eq!(stun, &json!({"urls": ["stun:s.example:3478"]}));
        assert_eq!(turn["urls"], json!(["turn:t.example:3478?transport=udp"]));
        let (expiry, name) = turn["username"].as_str().unwrap().split_once(':').unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        assert!((590..=600).contains(&(expiry.parse::<u64>().unwrap() - now)));
        // 20 bytes in base64.
        assert_eq!(turn["credential"].as_str().unwrap().len(), 28);
        assert!(!reply.to_string().contains("north"));
        names.push(name.to_owned());
    }
    assert_eq!(names[0], names[1]);
    assert_ne!(names[0], names[2]);
    assert!(!names.iter().any(|name| name.contains("192")));
}

#[test]
fn a_secret_file_that_is_missing_or_too_short_is_named_and_its_content_is_not() {
    let folder = std::env::temp_dir().join(format!("piecework-secret-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let short = folder.join("short");
    std::fs::write(&short, "hunter2\n").unwrap();
    for (path, says) in [
        (folder.join("none"), "cannot read"),
        (short, "fewer than 16"),
    ] {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_piecework-signaling"))
            .args(["--listen", "127.0.0.1:0", "--turn", "turn:t.example"])
            .arg("--turn-secret-file")
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(1), "{said}");
        assert!(
            said.contains(says) && said.contains(path.to_str().unwrap()),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn the_binary_prints_its_address_and_stops_on_sigterm() {
    for signal in ["TERM", "INT"] {
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_piecework-signaling"))
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).await.unwrap();
        let url = line
            .trim()
            .strip_prefix("piecework-signaling listening on ")
            .unwrap();
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut client = Client(socket);
        client.nothing_more().await;
        let pid = child.id().unwrap().to_string();
        let killed = std::process::Command::new("kill")
            .args([&format!("-{signal}"), &pid])
            .status();
        assert!(killed.unwrap().success());
        assert_eq!(client.closed().await, Some(1001));
        drop(client);
        let status = tokio::time::timeout(PATIENCE, child.wait()).await;
        assert!(status.unwrap().unwrap().success());
    }
}

#[test]
fn options_that_would_serve_nobody_are_refused_with_what_to_write() {
    // One that is taken all the same ends here.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = taken.local_addr().unwrap().to_string();
    for (args, says) in [
        (&["--max-connections", "0"][..], "from 1 on"),
        (&["--max-queue-bytes", "0"], "from 1 on"),
        (&["--messages-per-second", "0"], "above 0"),
        (
            &["--interval", "60", "--min-interval", "61"],
            "at most as long",
        ),
        (&["--listen", "8111"], "0.0.0.0:8000"),
        (&["--listen", "localhost:8111"], "0.0.0.0:8000"),
        (&["--allow-origin", "example.com"], "https://example.com"),
        (
            &["--allow-origin", "https://example.com/"],
            "without a path",
        ),
        (&["--allow-origin", "https://Example.com"], "lower case"),
        (
            &["--allow-origin", "wss://example.com"],
            "https://example.com",
        ),
        (&["--stun", "example.com:3478"], "stun:HOST:PORT"),
        (&["--stun", "turn:example.com"], "stun:HOST:PORT"),
        (
            &["--turn", "turn:user:password@example.com"],
            "no user name",
        ),
        (&["--turn", "turn:example.com"], "--turn-secret-file"),
        (&["--turn-secret-file", "secret"], "--turn <URL>"),
        (&["--turn-ttl", "5"], "20"),
        (
            &["--turn-ttl", "200", "--stun", "stun:example.com"],
            "twice --interval 120",
        ),
    ] {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_piecework-signaling"))
            .env("RUST_LOG", "off")
            .args(args)
            .args(
                ["--listen", &taken_address]
                    .iter()
                    .filter(|_| args[0] != "--listen"),
            )
            .output()
            .unwrap();
        let said = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(2), "{args:?}: {said}");
        assert!(
            said.contains(says) && said.contains(args[0]),
            "{args:?}: {said}"
        );
    }
}
