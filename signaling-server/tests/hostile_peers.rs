//! The server against peers that misbehave: never a crash, never another peer's place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use piecework_signaling::tracker::{Limits, Rate};
use piecework_signaling::{Config, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn malformed_messages_get_a_failure_with_an_action_and_the_connection_goes_on() {
    let server = start(Config::default()).await;
    let mut a = Client::connect(&server).await;
    for text in [
        "",
        "x",
        "{",
        "[]",
        "null",
        "{}",
        "1e999",
        r#"{"action":"connect"}"#,
        "\u{0}",
    ] {
        a.send_raw(Message::text(text)).await;
        let reply = a.receive().await;
        assert_eq!(reply["action"], "announce", "{text}");
        assert!(reply["failure reason"].is_string(), "{text}");
    }
    a.send_raw(Message::binary(vec![0xff, 0xfe])).await;
    assert!(a.receive().await["failure reason"].is_string());
    assert_eq!(a.ask(&announce('a', &[])).await["incomplete"], 1);
}

#[tokio::test]
async fn wrong_types_in_every_field_are_answered() {
    let server = start(Config::default()).await;
    let mut a = Client::connect(&server).await;
    let mut b = Client::connect(&server).await;
    b.ask(&announce('b', &[])).await;
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let wrong = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0.5),
        json!(u64::MAX),
        json!("x"),
        json!("é".repeat(21)),
        json!([]),
        json!([[{}]]),
        json!({}),
        json!({"type": 1, "sdp": 2}),
        json!({"type": "answer", "sdp": {"a": []}}),
        deep,
    ];
    for (template, fields) in [
        (
            announce('a', &['1']),
            vec![
                "action",
                "info_hash",
                "peer_id",
                "event",
                "uploaded",
                "downloaded",
                "left",
                "numwant",
                "offers",
                "answer",
                "to_peer_id",
                "offer_id",
            ],
        ),
        (
            answer('a', 'b', '1'),
            vec![
                "action",
                "info_hash",
                "peer_id",
                "to_peer_id",
                "offer_id",
                "answer",
            ],
        ),
        (scrape(json!(HASH)), vec!["action", "info_hash"]),
    ] {
        for field in fields {
            for value in &wrong {
                let mut message = template.clone();
                message[field] = value.clone();
                let reply = a.ask(&message).await;
                assert!(
                    reply["action"] == "announce" || reply["action"] == "scrape",
                    "{message} -> {reply}"
                );
                let named = message["info_hash"]
                    .as_str()
                    .filter(|h| h.chars().count() == 20);
                if let Some(hash) = named {
                    assert_eq!(reply["info_hash"], hash, "{message} -> {reply}");
                }
            }
        }
    }
    assert_eq!(server.stats().connections, 2);
}

#[tokio::test]
async fn malformed_offers_are_skipped_and_the_good_one_is_relayed() {
    let server = start(Config::default()).await;
    let (mut a, mut b) = (
        Client::connect(&server).await,
        Client::connect(&server).await,
    );
    b.ask(&announce('b', &[])).await;
    let mut message = announce('a', &[]);
    message["offers"] = json!([
        {"fake_offer": "fake_offer_0"}, null, 7, {"offer_id": "short", "offer": offer('x')["offer"]},
        {"offer_id": id('y'), "offer": {"type": "offer", "sdp": 1}}, offer('1'),
    ]);
    assert_eq!(a.ask(&message).await["incomplete"], 2);
    assert_eq!(b.receive().await["offer_id"], json!(id('1')));
    b.nothing_more().await;
}

#[tokio::test]
async fn an_oversized_message_closes_the_connection_with_1009() {
    let server = start(Config::default()).await;
    let mut a = Client::connect(&server).await;
    let mut fits = announce('a', &[]);
    fits["x"] = json!("");
    let room = 64 * 1024 - fits.to_string().len();
    fits["x"] = json!("x".repeat(room));
    assert_eq!(a.ask(&fits).await["incomplete"], 1);
    fits["x"] = json!("x".repeat(room + 1));
    a.send(&fits).await;
    assert_eq!(a.closed().await, Some(1009));
    until(&server, "gone", |s| s.connections == 0).await;
}

#[tokio::test]
async fn an_oversized_message_in_small_frames_closes_the_connection() {
    use tokio_tungstenite::tungstenite::protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    };
    let server = start(Config::default()).await;
    let mut a = Client::connect(&server).await;
    let mut kind = Data::Text;
    for _ in 0..40 {
        let frame = Frame::message(vec![b' '; 2048], OpCode::Data(kind), false);
        if futures_util::SinkExt::send(&mut a.0, Message::Frame(frame))
            .await
            .is_err()
        {
            break;
        }
        kind = Data::Continue;
    }
    assert_eq!(a.closed().await, Some(1009));
    until(&server, "gone", |s| s.connections == 0).await;
}

#[tokio::test]
async fn a_frame_that_claims_a_huge_length_is_refused_unread() {
    let server = start(Config::default()).await;
    let mut stream = raw_websocket(&server).await;
    // Masked text frame of 2^62 bytes.
    let mut frame = vec![0x81, 0xff];
    frame.extend((1u64 << 62).to_be_bytes());
    frame.extend([0; 4]);
    stream.write_all(&frame).await.unwrap();
    // A close frame with 1009, then the end.
    assert_eq!(read_to_end(&mut stream).await, [0x88, 2, 0x03, 0xf1]);
}

#[tokio::test]
async fn broken_framing_ends_the_connection_and_nothing_else() {
    let server = start(Config::default()).await;
    let mut good = Client::connect(&server).await;
    for bytes in [
        &[0x81, 0x01, b'x'][..],         // not masked
        &[0x83, 0x80, 0, 0, 0, 0],       // reserved opcode
        &[0xf1, 0x80, 0, 0, 0, 0],       // reserved bits
        &[0x80, 0x80, 0, 0, 0, 0],       // continuation of nothing
        &[0x81, 0x81, 0, 0, 0, 0, 0xff], // not UTF-8
        &[0x09, 0x80, 0, 0, 0, 0],       // fragmented ping
    ] {
        let mut stream = raw_websocket(&server).await;
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await;
    }
    good.nothing_more().await;
    until(&server, "only the good one is left", |s| s.connections == 1).await;
}

#[tokio::test]
async fn nobody_can_stop_answer_for_or_take_over_another_peer() {
    let server = start(Config::default()).await;
    let (mut owner, mut thief) = (
        Client::connect(&server).await,
        Client::connect(&server).await,
    );
    let mut a = Client::connect(&server).await;
    owner.ask(&announce('o', &[])).await;
    for event in ["started", "stopped", "completed", ""] {
        let mut spoofed = announce('o', &['9']);
        spoofed["event"] = json!(event);
        let reply = thief.ask(&spoofed).await;
        assert!(reply["failure reason"].is_string(), "{event}: {reply}");
        assert_eq!(reply["info_hash"], HASH);
    }
    // The owner is still there, and offers still reach it.
    assert_eq!(a.ask(&announce('a', &['1'])).await["incomplete"], 2);
    assert_eq!(owner.receive().await["offer_id"], json!(id('1')));

    // The thief, under the owner's name and under its own, cannot answer that offer.
    assert!(thief.ask(&answer('o', 'a', '1')).await["failure reason"].is_string());
    let mut joined = announce('t', &[]);
    joined["event"] = json!("");
    thief.ask(&joined).await;
    assert!(thief.ask(&answer('t', 'a', '1')).await["failure reason"].is_string());
    a.nothing_more().await;

    // The owner can.
    owner.send(&answer('o', 'a', '1')).await;
    assert_eq!(a.receive().await["peer_id"], json!(id('o')));
}

#[tokio::test]
async fn an_id_whose_owner_died_silently_becomes_free() {
    let server = start(Config::default()).await;
    // A socket that answers nothing, not even pings.
    let mut dead = raw_websocket(&server).await;
    let text = announce('a', &[]).to_string();
    dead.write_all(&masked_text(text.as_bytes())).await.unwrap();
    until(&server, "joined", |s| s.peers == 1).await;
    let mut back = Client::connect(&server).await;
    assert!(back.ask(&announce('a', &[])).await["failure reason"].is_string());
    until(&server, "the dead one is dropped", |s| s.connections == 1).await;
    assert_eq!(back.ask(&announce('a', &[])).await["incomplete"], 1);
}

#[tokio::test]
async fn a_flood_of_offers_reaches_the_victim_only_up_to_the_limit() {
    let config = Config {
        limits: Limits {
            offers: Rate {
                per_second: 0.0,
                burst: 15.0,
            },
            ..Limits::default()
        },
        ..Config::default()
    };
    let server = start(config).await;
    let (mut flooder, mut victim) = (
        Client::connect(&server).await,
        Client::connect(&server).await,
    );
    victim.ask(&announce('v', &[])).await;
    let names: Vec<char> = ('A'..='Z').collect();
    for _ in 0..40 {
        assert_eq!(flooder.ask(&announce('f', &names)).await["incomplete"], 2);
    }
    victim.send(&scrape(json!(id('?')))).await;
    let mut offers = 0;
    while victim.receive().await["action"] == "announce" {
        offers += 1;
    }
    assert_eq!(offers, 15);
}

#[tokio::test]
async fn one_that_never_stops_sending_is_closed_with_1008() {
    let config = Config {
        limits: Limits {
            messages: Rate {
                per_second: 0.0,
                burst: 10.0,
            },
            max_strikes: 5,
            ..Limits::default()
        },
        ..Config::default()
    };
    let server = start(config).await;
    let mut a = Client::connect(&server).await;
    for n in 0..15 {
        let reply = a.ask(&announce('a', &[])).await;
        assert_eq!(reply["failure reason"].is_string(), n >= 10, "{n}: {reply}");
        assert_eq!(reply["info_hash"], HASH);
    }
    a.send(&announce('a', &[])).await;
    assert_eq!(a.closed().await, Some(1008));
    assert_eq!(server.stats().floods, 1);
}

#[tokio::test]
async fn a_slow_reader_is_dropped_and_counted_and_others_do_not_notice() {
    // Small kernel buffers, so that little is enough.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(8 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let unlimited = Rate {
        per_second: 1e6,
        burst: 1e6,
    };
    let config = Config {
        limits: Limits {
            messages: unlimited,
            offers: unlimited,
            ..Limits::default()
        },
        max_queue_bytes: 64 * 1024,
        ..Config::default()
    };
    let server = serve(socket.listen(16).unwrap(), config).unwrap();

    // Announces once and never reads again.
    let mut slow = raw_websocket(&server).await;
    let text = announce('s', &[]).to_string();
    slow.write_all(&masked_text(text.as_bytes())).await.unwrap();
    until(&server, "joined", |s| s.peers == 1).await;

    let mut busy = Client::connect(&server).await;
    let mut message = announce('b', &[]);
    let sdp = "s".repeat(15_000);
    message["offers"] = json!([{"offer_id": id('1'), "offer": {"type": "offer", "sdp": sdp}}]);
    // The kernel takes some megabytes at most.
    for _ in 0..2000 {
        let reply = busy.ask(&message).await;
        assert_eq!(reply["action"], "announce");
        if server.stats().slow_readers > 0 {
            break;
        }
    }
    assert_eq!(server.stats().slow_readers, 1);
    until(&server, "dropped", |s| s.peers == 1).await;
    busy.nothing_more().await;
}

#[tokio::test]
async fn one_that_sends_but_never_reads_cannot_make_replies_pile_up() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(8 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = Config {
        limits: Limits {
            messages: Rate {
                per_second: 1e9,
                burst: 1e9,
            },
            ..Limits::default()
        },
        ..Config::default()
    };
    let server = serve(socket.listen(16).unwrap(), config).unwrap();
    let mut stream = raw_websocket(&server).await;
    let hashes: Vec<Value> = (0..250u8)
        .map(|n| json!(char::from(n).to_string().repeat(20)))
        .collect();
    let frame = masked_text(scrape(json!(hashes)).to_string().as_bytes());
    // The server stops reading when its replies no longer leave; then the kernel's buffers fill.
    let mut sent = 0u32;
    loop {
        let write =
            tokio::time::timeout(std::time::Duration::from_secs(2), stream.write_all(&frame));
        match write.await {
            Ok(Ok(())) => sent += 1,
            Ok(Err(_)) | Err(_) => break,
        }
        assert!(sent < 10_000, "the server keeps reading");
    }
    let mut other = Client::connect(&server).await;
    other.nothing_more().await;
}

#[tokio::test]
async fn one_that_asks_much_at_once_and_reads_is_not_taken_for_a_slow_reader() {
    let config = Config {
        max_queue_bytes: 48 * 1024,
        ..Config::default()
    };
    let server = start(config).await;
    let mut stream = raw_websocket(&server).await;
    // Their replies, 15 kB each, are three times what may wait; the requests fit into one read of the server.
    let hashes: Vec<String> = (0..256).map(|n| format!("{n:020}")).collect();
    let one = masked_text(scrape(json!(hashes)).to_string().as_bytes());
    stream.write_all(&one.repeat(10)).await.unwrap();
    let mut replies = Vec::new();
    let all = async {
        while replies.windows(8).filter(|w| w == b"\"scrape\"").count() < 10 {
            assert_ne!(stream.read_buf(&mut replies).await.unwrap(), 0, "dropped");
        }
    };
    tokio::time::timeout(PATIENCE, all)
        .await
        .expect("every reply");
    assert_eq!(server.stats().slow_readers, 0);
    server.shutdown().await;
}

#[tokio::test]
async fn a_message_in_pieces_with_pings_between_is_one_message() {
    let server = start(Config::default()).await;
    let mut stream = raw_websocket(&server).await;
    let text = scrape(json!(id('p'))).to_string();
    let (first, second) = text.as_bytes().split_at(9);
    let zeros = [0; 4];
    let mut bytes = vec![0x01, 0x80 | first.len() as u8];
    bytes.extend(zeros.iter().chain(first));
    bytes.extend([0x89, 0x82, 0, 0, 0, 0, b'h', b'i']);
    bytes.extend([0x80, 0x80 | second.len() as u8]);
    bytes.extend(zeros.iter().chain(second));
    // And the network cuts where it likes.
    for byte in bytes {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut pong = [0; 4];
    stream.read_exact(&mut pong).await.unwrap();
    assert_eq!(pong, [0x8a, 2, b'h', b'i']);
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[0], 0x81);
    // A close is answered with its code, and then the connection ends.
    stream
        .write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8])
        .await
        .unwrap();
    let rest = read_to_end(&mut stream).await;
    assert!(rest.ends_with(&[0x88, 2, 0x03, 0xe8]), "{rest:?}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_storm_of_reconnects_leaves_nothing_behind_and_others_are_answered() {
    const PEERS: usize = 40;
    let server = start(Config::default()).await;
    let mut good = Client::connect(&server).await;
    good.ask(&announce('g', &[])).await;
    for round in 0..5 {
        let mut storm = Vec::new();
        for n in 0..PEERS {
            let mut peer = Client::connect(&server).await;
            let mut joins = announce('x', &['1']);
            joins["peer_id"] = json!(format!("{n:020}"));
            // An id is free again only when its last socket is known to be gone.
            peer.send(&joins).await;
            storm.push(peer);
        }
        for peer in &mut storm {
            assert_eq!(peer.receive().await["action"], "announce");
        }
        // Some say goodbye, some just go.
        for (n, peer) in storm.into_iter().enumerate() {
            if (n + round) % 2 == 0 {
                let Client(mut socket) = peer;
                let _ = socket.close(None).await;
            }
        }
        until(&server, "the storm is over", |s| s.connections == 1).await;
        until(&server, "only the good one is left", |s| s.peers == 1).await;
        good.send(&announce('g', &[])).await;
        // Offers of the storm came meanwhile; then the reply.
        while good.receive().await.get("interval").is_none() {}
    }
    good.nothing_more().await;
}

#[tokio::test]
async fn an_unfinished_or_endless_http_request_is_ended() {
    let config = Config {
        handshake_timeout: std::time::Duration::from_millis(200),
        ..Config::default()
    };
    let server = start(config).await;
    let mut slow = TcpStream::connect(server.local_addr()).await.unwrap();
    slow.write_all(b"GET / HT").await.unwrap();
    assert_eq!(read_to_end(&mut slow).await, b"");

    let mut long = TcpStream::connect(server.local_addr()).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(8 * 1024));
    long.write_all(head.as_bytes()).await.unwrap();
    assert!(read_to_end(&mut long).await.starts_with(b"HTTP/1.1 431 "));
}

/// A WebSocket of which every byte is in the test's hands.
async fn raw_websocket(server: &piecework_signaling::Handle) -> TcpStream {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream
        .write_all(
            b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // RFC 6455 section 1.3 gives the answer to this key.
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    stream
}

/// A text frame with an all-zero mask.
fn masked_text(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Until the server ends the connection, in whatever way.
async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, read).await.expect("an end");
    bytes
}
