//! Two transports, real sockets on loopback, descriptions handed over in process.

use std::time::Duration;

use bytes::Bytes;
use piecework::client::Input;
use piecework::native::transport::{Transport, TransportConfig};
use piecework::types::ConnectionId;
use tokio::sync::mpsc;
use tokio::time::timeout;

const ID: ConnectionId = ConnectionId(1);
const PATIENCE: Duration = Duration::from_secs(30);

struct Peer {
    transport: Transport,
    inputs: mpsc::Receiver<Input>,
}

impl Peer {
    fn new(config: TransportConfig) -> Peer {
        let (sender, inputs) = mpsc::channel(256);
        let config = TransportConfig {
            loopback: true,
            ..config
        };
        Peer {
            transport: Transport::new(config, sender).unwrap(),
            inputs,
        }
    }

    async fn next(&mut self) -> Input {
        timeout(PATIENCE, self.inputs.recv())
            .await
            .expect("nothing came for 30 s")
            .expect("the transport is gone")
    }

    async fn until_open(&mut self, id: ConnectionId) -> u64 {
        loop {
            match self.next().await {
                Input::ConnectionOpen {
                    connection,
                    address_hash,
                    ..
                } if connection == id => return address_hash,
                Input::ConnectionClosed { reason, .. } => panic!("closed: {reason}"),
                _ => {}
            }
        }
    }
}

/// Connects `a` (offering) and `b`.
async fn connect(a: &mut Peer, b: &mut Peer, id: ConnectionId) {
    connect_with(a, b, id, |sdp| sdp).await;
}

async fn connect_with(
    a: &mut Peer,
    b: &mut Peer,
    id: ConnectionId,
    change: impl Fn(String) -> String,
) {
    a.transport.create_offer(id).unwrap();
    let Input::OfferReady { sdp, .. } = a.next().await else {
        panic!("no offer");
    };
    b.transport.accept_offer(id, change(sdp)).unwrap();
    let Input::AnswerReady { sdp, .. } = b.next().await else {
        panic!("no answer");
    };
    a.transport.apply_answer(id, sdp).unwrap();
    let (a_hash, b_hash) = tokio::join!(a.until_open(id), b.until_open(id));
    assert!(a_hash != 0 && b_hash != 0, "no remote address is known");
}

/// Sends `total` bytes from each side to the other at once, in messages of `message_len`, as a core
/// would: no more than 1 MiB buffered, more when the edge reports room.
async fn exchange(a: &mut Peer, b: &mut Peer, id: ConnectionId, total: usize, message_len: usize) {
    struct Side {
        sent: usize,
        received: usize,
        buffered: u64,
    }
    const HIGH: u64 = 1 << 20;
    // The byte at position `at` of the stream, different per direction.
    fn pattern(seed: u8, at: usize) -> u8 {
        (at % 251) as u8 ^ seed
    }
    let mut sides = [(); 2].map(|()| Side {
        sent: 0,
        received: 0,
        buffered: 0,
    });
    for peer in [&mut *a, &mut *b] {
        peer.transport.set_low_water(id, HIGH / 2).unwrap();
    }
    loop {
        for (n, peer) in [&mut *a, &mut *b].into_iter().enumerate() {
            let side = &mut sides[n];
            while side.sent < total && side.buffered < HIGH {
                let length = message_len.min(total - side.sent);
                let message: Bytes = (side.sent..side.sent + length)
                    .map(|at| pattern(n as u8, at))
                    .collect();
                let (head, tail) = (message.slice(..length / 3), message.slice(length / 3..));
                peer.transport.send(id, vec![head, tail]).unwrap();
                side.sent += length;
                side.buffered += length as u64;
            }
        }
        if sides.iter().all(|s| s.sent == total && s.received == total) {
            return;
        }
        let (n, input) = timeout(PATIENCE, async {
            tokio::select! {
                input = a.inputs.recv() => (0, input),
                input = b.inputs.recv() => (1, input),
            }
        })
        .await
        .expect("nothing moved for 30 s");
        match input.expect("the transport is gone") {
            Input::Received { bytes, .. } => {
                for byte in &bytes {
                    assert_eq!(*byte, pattern(1 - n as u8, sides[n].received));
                    sides[n].received += 1;
                }
            }
            Input::SendBuffer { buffered, .. } => {
                assert!(buffered <= HIGH / 2, "reported at {buffered}");
                sides[n].buffered = buffered;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_mark_is_reported_too_though_nothing_is_sent_meanwhile() {
    let mut a = Peer::new(TransportConfig::default());
    let mut b = Peer::new(TransportConfig::default());
    connect(&mut a, &mut b, ID).await;
    // As a core whose target fell when it heard how slowly the channel drains.
    a.transport.set_low_water(ID, 1 << 20).unwrap();
    let message = Bytes::from(vec![7; 65_000]);
    for _ in 0..4 {
        a.transport.send(ID, vec![message.clone()]).unwrap();
    }
    let told = async |peer: &mut Peer| match timeout(PATIENCE, peer.inputs.recv()).await {
        Ok(Some(Input::SendBuffer { buffered, .. })) => buffered,
        other => panic!("no report: {other:?}"),
    };
    while told(&mut a).await > 1 << 20 {}
    // Reports of the old mark may be under way; the last one is of the new.
    a.transport.set_low_water(ID, 0).unwrap();
    while told(&mut a).await > 0 {}
    a.transport.set_low_water(ID, 1).unwrap();
    assert_eq!(told(&mut a).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_mebibytes_go_both_ways_and_a_close_is_seen() {
    let mut a = Peer::new(TransportConfig::default());
    let mut b = Peer::new(TransportConfig::default());
    connect(&mut a, &mut b, ID).await;
    exchange(&mut a, &mut b, ID, 8 << 20, 65_535).await;

    // What was sent before the close arrives.
    a.transport
        .send(ID, vec![Bytes::from_static(b"goodbye")])
        .unwrap();
    a.transport.close(ID);
    let mut said = Vec::new();
    loop {
        match b.next().await {
            Input::Received { bytes, .. } => said.extend_from_slice(&bytes),
            Input::ConnectionClosed { connection, .. } => {
                assert_eq!(connection, ID);
                break;
            }
            _ => {}
        }
    }
    assert_eq!(said, b"goodbye");
    a.transport.shutdown().await;
    b.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_udp_port_carries_many_connections() {
    // A port that was free a moment ago.
    let port = std::net::UdpSocket::bind("0.0.0.0:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut server = Peer::new(TransportConfig {
        udp_port: Some(port),
        ..TransportConfig::default()
    });
    let mut clients = [
        Peer::new(TransportConfig::default()),
        Peer::new(TransportConfig::default()),
        Peer::new(TransportConfig::default()),
    ];
    for (n, client) in clients.iter_mut().enumerate() {
        let id = ConnectionId(n as u64);
        // The server offers to one and answers the others.
        if n == 0 {
            connect(&mut server, client, id).await;
        } else {
            connect(client, &mut server, id).await;
        }
    }
    for (n, client) in clients.iter_mut().enumerate() {
        exchange(&mut server, client, ConnectionId(n as u64), 1 << 20, 16_397).await;
    }
    server.transport.create_offer(ConnectionId(99)).unwrap();
    let Input::OfferReady { sdp, .. } = server.next().await else {
        panic!("no offer");
    };
    let candidates: Vec<&str> = sdp
        .lines()
        .filter(|line| line.starts_with("a=candidate:"))
        .collect();
    assert!(!candidates.is_empty());
    for line in candidates {
        assert_eq!(
            line.split(' ').nth(5),
            Some(port.to_string().as_str()),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_hides_behind_names_is_found_by_its_own_checks() {
    let mut a = Peer::new(TransportConfig::default());
    let mut b = Peer::new(TransportConfig::default());
    connect_with(&mut a, &mut b, ID, |sdp| {
        sdp.lines()
            .map(|line| {
                let mut fields: Vec<&str> = line.split(' ').collect();
                if line.starts_with("a=candidate:") {
                    fields[4] = "7e5cdd8e-0000-4000-8000-3a1b3f1e0d2c.local";
                }
                fields.join(" ") + "\r\n"
            })
            .collect()
    })
    .await;
    exchange(&mut a, &mut b, ID, 64 << 10, 16 << 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_for_a_description_closes_that_connection_alone() {
    let mut a = Peer::new(TransportConfig::default());
    for (n, sdp) in ["", "v=0", "\0\0\0", "v=0\r\nm=application 9 x y z\r\n"]
        .into_iter()
        .enumerate()
    {
        let id = ConnectionId(n as u64);
        a.transport.accept_offer(id, sdp.to_owned()).unwrap();
        let Input::ConnectionClosed { connection, .. } = a.next().await else {
            panic!("{sdp:?} was taken for an offer");
        };
        assert_eq!(connection, id);
    }
    let long = "x".repeat(1 << 20);
    assert!(a.transport.accept_offer(ConnectionId(9), long).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_bound_waiting_ends_the_connection() {
    let mut a = Peer::new(TransportConfig::default());
    let mut b = Peer::new(TransportConfig::default());
    connect(&mut a, &mut b, ID).await;
    let message = Bytes::from(vec![0u8; 65_535]);
    let refused = (0..10_000).any(|_| a.transport.send(ID, vec![message.clone()]).is_err());
    assert!(refused, "655 MB were queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named() {
    let taken = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (sender, _inputs) = mpsc::channel(1);
    let error = Transport::new(
        TransportConfig {
            udp_port: Some(port),
            ..TransportConfig::default()
        },
        sender,
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.contains(&port.to_string()) && error.contains("--udp-port"),
        "{error}"
    );
}
