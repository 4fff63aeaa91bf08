//! Who may command the daemon, what a request may be, and its metrics.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use crate::common::daemon::{Daemon, config};
use crate::common::{Ended, Film, content, piecework};
use serde_json::json;

const NO_TRACKER: &str = "ws://127.0.0.1:9";

fn daemon(dir: &std::path::Path) -> Daemon {
    Daemon::start(dir, &config(NO_TRACKER, ""))
}

#[test]
fn the_token_is_made_for_the_daemons_user_alone_and_asked_of_every_command() {
    let home = tempfile::tempdir().unwrap();
    let daemon = daemon(home.path());
    let mode = fs::metadata(&daemon.token_file)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = daemon.token();
    let ask = |line: &str, headers: &str| {
        daemon.send(format!("{line} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").as_bytes())
    };
    let right = format!("authorization: bearer {token}\r\n");
    assert_eq!(ask("GET /torrents", &right).status, 200);
    for wrong in [
        String::new(),
        "authorization: Bearer\r\n".to_owned(),
        format!("authorization: Basic {token}\r\n"),
        format!("authorization: Bearer {}\r\n", &token[1..]),
        format!("authorization: Bearer {token}0\r\n"),
        format!("authorization: Bearer {}\r\n", "0".repeat(64)),
        // One of them may be a proxy's.
        format!("{right}authorization: Bearer x\r\n"),
    ] {
        for line in [
            "GET /torrents",
            "POST /torrents",
            "GET /stats",
            "GET /metrics",
            "GET /history",
            "GET /nothing",
        ] {
            let refused = ask(line, &wrong);
            assert_eq!(refused.status, 401, "{line} {wrong}: {}", refused.text);
        }
    }
    assert_eq!(ask("GET /health", "").json(), json!({"status": "ok"}));
    assert_eq!(ask("HEAD /health", "").status, 200);
    assert_eq!(ask("POST /health", "").status, 405);
    // It is made once, and one that others can read is not taken.
    let path = daemon.token_file.clone();
    let daemon = daemon.restart();
    assert_eq!(daemon.token(), token);
    drop(daemon);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = Ended::of(&piecework(home.path(), &["serve", "serve.toml"]));
    ended.assert_refused(2, &["chmod 600"]);
}

#[test]
fn no_page_can_command_it_by_a_name_of_its_own_or_by_its_visitors_browser() {
    let home = tempfile::tempdir().unwrap();
    let daemon = daemon(home.path());
    let right = format!("authorization: Bearer {}\r\n", daemon.token());
    let ask = |path: &str, headers: &str| {
        daemon.send(format!("GET {path} HTTP/1.1\r\n{headers}{right}\r\n").as_bytes())
    };
    let port = daemon.url.rsplit(':').next().unwrap();
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"] {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            assert_eq!(
                ask("/torrents", &format!("host: {host}\r\n")).status,
                200,
                "{host}"
            );
        }
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "a@localhost@b",
    ] {
        for path in ["/torrents", "/health"] {
            let refused = ask(path, &format!("host: {host}:{port}\r\n"));
            assert!(
                matches!(refused.status, 400 | 403),
                "{host}: {}",
                refused.status
            );
        }
    }
    assert_eq!(
        ask("http://evil.example/torrents", "host: localhost\r\n").status,
        403
    );
    assert!(
        matches!(ask("/torrents", "").status, 400 | 403),
        "without a host"
    );
    for header in [
        "origin: https://evil.example",
        "origin: null",
        "origin: http://localhost",
        "sec-fetch-site: cross-site",
    ] {
        for path in ["/torrents", "/health"] {
            let refused = ask(path, &format!("host: localhost\r\n{header}\r\n"));
            assert_eq!(refused.status, 403, "{header}: {}", refused.text);
        }
    }
    assert_eq!(
        ask("/torrents", "host: localhost\r\nsec-fetch-site: none\r\n").status,
        200
    );

    // A name that the operator gave.
    drop(daemon);
    let named = config(NO_TRACKER, "hosts = [\"seeder.example\"]\n");
    let daemon = Daemon::start(home.path(), &named);
    let ask = |host: &str| {
        daemon.send(format!("GET /torrents HTTP/1.1\r\nhost: {host}\r\n{right}\r\n").as_bytes())
    };
    assert_eq!(ask("seeder.example").status, 200);
    assert_eq!(ask("other.example").status, 403);
}

#[test]
fn what_is_too_long_or_not_as_it_should_be_is_refused_and_the_daemon_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let daemon = daemon(home.path());
    let head = |more: &str| {
        format!(
            "POST /torrents HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n{more}",
            daemon.token()
        )
    };
    let long_head = head(&format!("x: {}\r\n\r\n", "y".repeat(20_000)));
    assert_eq!(daemon.send(long_head.as_bytes()).status, 431);
    let many = head(&format!("{}\r\n", "x: y\r\n".repeat(80)));
    assert_eq!(daemon.send(many.as_bytes()).status, 431);
    assert_eq!(daemon.send(b"nonsense\r\n\r\n").status, 400);

    let json = |body: &str| {
        daemon.request(
            "POST",
            "/torrents",
            Some(("application/json", body.as_bytes())),
        )
    };
    let long = json(&format!("{{\"magnet\":\"{}\"}}", "x".repeat(70_000)));
    assert_eq!(long.status, 413, "{}", long.text);
    // A length that is announced and never comes is not waited for.
    let announced =
        head("content-type: application/x-bittorrent\r\ncontent-length: 99999999999\r\n\r\n");
    let mut stream = TcpStream::connect(daemon.url.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(announced.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    for body in [
        "",
        "[]",
        "{}",
        "{\"magnet\":\"magnet:?dn=x\"}",
        "{\"magnet\":\"/etc/passwd\"}",
        "{\"path\":\"film.torrent\"}",
        "{\"path\":\"/dev/zero\"}",
        "{\"path\":\"/\"}",
        "{\"magnet\":\"a\",\"path\":\"b\"}",
        "{\"magnet\":\"145a73e4e56a7b54f636ffb3c24ea103ad3133a9\",\"colour\":1}",
        "{\"magnet\":\"145a73e4e56a7b54f636ffb3c24ea103ad3133a9\",\"price\":0.5}",
        "{\"magnet\":\"145a73e4e56a7b54f636ffb3c24ea103ad3133a9\",\"price\":\"x\"}",
        "{\"magnet\":\"145a73e4e56a7b54f636ffb3c24ea103ad3133a9\",\"price\":\"3\"}",
        "{\"magnet\":\"145a73e4e56a7b54f636ffb3c24ea103ad3133a9\",\"max_price\":\"3\"}",
        "{\"magnet\":\"145a73e4e56a7b54f636ffb3c24ea103ad3133a9\",\"data\":\"here\"}",
    ] {
        let refused = json(body);
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        assert!(refused.json()["error"].is_string());
    }
    let records = home.path().join("data/.piecework/serve");
    for folder in [records.as_path(), records.parent().unwrap()] {
        let link = "145a73e4e56a7b54f636ffb3c24ea103ad3133a9";
        let refused = json(&json!({"magnet": link, "data": folder}).to_string());
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(refused.text.contains("for records"), "{}", refused.text);
    }
    let torrent = |path: &str, body: &[u8]| {
        daemon.request("POST", path, Some(("application/x-bittorrent", body)))
    };
    assert_eq!(torrent("/torrents", b"d4:infod").status, 400);
    assert_eq!(torrent("/torrents?colour=1", b"").status, 400);
    assert_eq!(
        daemon
            .request("POST", "/torrents", Some(("text/plain", b"{}")))
            .status,
        415
    );
    for (method, path, status) in [
        ("PUT", "/torrents", 405),
        ("POST", "/stats", 405),
        ("GET", "/torrents?x=1", 400),
        ("GET", "/torrents/abc", 404),
        ("GET", "/../etc/passwd", 404),
        (
            "GET",
            "/torrents/145a73e4e56a7b54f636ffb3c24ea103ad3133a9",
            404,
        ),
        (
            "PATCH",
            "/torrents/145a73e4e56a7b54f636ffb3c24ea103ad3133a9",
            415,
        ),
        ("GET", "/redeem", 405),
        ("POST", "/redeem", 400),
    ] {
        let refused = daemon.request(method, path, None);
        assert_eq!(refused.status, status, "{method} {path}: {}", refused.text);
    }
    assert!(daemon.torrents().is_empty());
}

#[test]
fn connections_that_say_nothing_do_not_keep_others_out_for_ever() {
    let home = tempfile::tempdir().unwrap();
    let daemon = daemon(home.path());
    let address = daemon.url.strip_prefix("http://").unwrap();
    // More than are served at once: the request waits until their time is over.
    let silent: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    assert!(daemon.torrents().is_empty());
    drop(silent);
}

/// Samples by name and labels, of a text in Prometheus' format, of which each family has help and type first.
fn parsed(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let (mut helped, mut typed) = (Vec::new(), Vec::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(!words.is_empty() && !helped.contains(&name), "{line}");
            helped.push(name);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(matches!(kind, "gauge" | "counter"), "{line}");
            assert_eq!(helped.last(), Some(&name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            typed.push(name);
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert_eq!(typed.last(), Some(&name), "{line}");
            let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(
                name.starts_with("piecework_") && name.chars().all(is_word),
                "{line}"
            );
            let labels = series.strip_prefix(name).unwrap();
            assert!(
                labels.is_empty() || labels.starts_with('{') && labels.ends_with("\"}"),
                "{line}"
            );
            let value = value.parse().unwrap();
            assert!(samples.insert(series.to_owned(), value).is_none(), "{line}");
        }
    }
    samples
}

#[test]
fn metrics_are_prometheus_text_and_say_what_the_list_says() {
    let film = Film::named("a \"b\\c\".mp4", content(40_000), NO_TRACKER);
    let home = tempfile::tempdir().unwrap();
    let dir = film.dir.path().display();
    let table = format!("[[torrent]]\nsource = \"{dir}/film.torrent\"\ndata = \"{dir}\"\n");
    let mut daemon = Daemon::start(home.path(), &config(NO_TRACKER, &table));
    daemon.seeds(&[&film.info_hash]);
    let answer = daemon.request("GET", "/metrics", None);
    assert_eq!(answer.status, 200);
    let samples = parsed(&answer.text);
    let of_title =
        |name: &str| samples[&format!("piecework_{name}{{info_hash=\"{}\"}}", film.info_hash)];
    assert_eq!(of_title("torrent_length_bytes"), 40_000.0);
    assert_eq!(of_title("torrent_verified_bytes"), 40_000.0);
    assert_eq!(of_title("torrent_failed"), 0.0);
    assert_eq!(samples["piecework_torrents{state=\"seeding\"}"], 1.0);
    assert_eq!(samples["piecework_torrents{state=\"failed\"}"], 0.0);
    assert_eq!(samples["piecework_peers"], 0.0);
    assert_eq!(
        samples["piecework_redemptions_total{result=\"failed\"}"],
        0.0
    );
    assert_eq!(
        samples["piecework_tracker_connected{url=\"ws://127.0.0.1:9\"}"],
        0.0
    );
    assert!(samples["piecework_start_time_seconds"] > 1.7e9);
    let named = format!(
        "piecework_torrent_info{{info_hash=\"{}\",name=\"a _b_c_.mp4\"}}",
        film.info_hash
    );
    assert!(samples.contains_key(&named), "{}", answer.text);
}
