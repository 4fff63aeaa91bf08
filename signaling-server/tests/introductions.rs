//! The protocol between peers that behave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use piecework_signaling::Config;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn an_offer_reaches_another_peer_and_its_answer_comes_back_once() {
    let server = start(Config::default()).await;
    let (mut a, mut b) = (
        Client::connect(&server).await,
        Client::connect(&server).await,
    );

    let reply = b.ask(&announce('b', &[])).await;
    assert_eq!(
        reply,
        json!({"action": "announce", "info_hash": HASH, "interval": 120, "min interval": 5,
               "complete": 0, "incomplete": 1})
    );
    let reply = a.ask(&announce('a', &['1'])).await;
    assert_eq!(reply["incomplete"], 2);

    let mut expected = offer('1');
    expected["action"] = json!("announce");
    expected["info_hash"] = json!(HASH);
    expected["peer_id"] = json!(id('a'));
    assert_eq!(b.receive().await, expected);

    b.send(&answer('b', 'a', '1')).await;
    let relayed = a.receive().await;
    assert_eq!(
        relayed,
        json!({"action": "announce", "info_hash": HASH, "peer_id": id('b'), "offer_id": id('1'),
               "answer": {"type": "answer", "sdp": "v=0\r\na"}})
    );

    let again = b.ask(&answer('b', 'a', '1')).await;
    assert_eq!(
        (&again["action"], &again["info_hash"]),
        (&json!("announce"), &json!(HASH))
    );
    assert!(again["failure reason"].is_string(), "{again}");
    a.nothing_more().await;
}

#[tokio::test]
async fn every_byte_value_of_a_hash_survives() {
    let server = start(Config::default()).await;
    let mut a = Client::connect(&server).await;
    for start in (0..=255u8).step_by(20) {
        let hash: String = (0..20).map(|n| char::from(start.wrapping_add(n))).collect();
        let mut message = announce('a', &[]);
        message["info_hash"] = json!(hash);
        assert_eq!(a.ask(&message).await["info_hash"], json!(hash));
        let sizes = a.ask(&scrape(json!([hash]))).await;
        assert_eq!(sizes["files"][&hash]["incomplete"], 1, "{sizes}");
    }
}

#[tokio::test]
async fn offers_reach_distinct_peers_and_never_their_sender() {
    let server = start(Config::default()).await;
    let mut others = Vec::new();
    for name in "bcdef".chars() {
        let mut peer = Client::connect(&server).await;
        peer.ask(&announce(name, &[])).await;
        others.push(peer);
    }
    let mut a = Client::connect(&server).await;
    a.ask(&announce('a', &['1', '2', '3', '4', '5', '6', '7']))
        .await;
    let mut seen = Vec::new();
    for peer in &mut others {
        seen.push(peer.receive().await["offer_id"].clone());
        peer.nothing_more().await;
    }
    a.nothing_more().await;
    seen.sort_by_key(ToString::to_string);
    seen.dedup();
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn binary_frames_are_read_as_text() {
    let server = start(Config::default()).await;
    let mut a = Client::connect(&server).await;
    let bytes = announce('a', &['1']).to_string().into_bytes();
    a.send_raw(Message::binary(bytes)).await;
    assert_eq!(a.receive().await["incomplete"], 1);
}

#[tokio::test]
async fn scrape_takes_one_hash_or_several_and_answers_zeros_for_unknown_ones() {
    let server = start(Config::default()).await;
    let mut a = Client::connect(&server).await;
    let mut seeder = announce('s', &[]);
    seeder["left"] = json!(0);
    a.ask(&seeder).await;
    a.ask(&announce('a', &[])).await;

    let known = json!({"complete": 1, "incomplete": 1, "downloaded": 0});
    let zeros = json!({"complete": 0, "incomplete": 0, "downloaded": 0});
    let one = a.ask(&scrape(json!(HASH))).await;
    assert_eq!(
        one,
        json!({"action": "scrape", "info_hash": HASH, "files": {HASH: known}})
    );
    let two = a.ask(&scrape(json!([HASH, id('u')]))).await;
    assert_eq!(
        two,
        json!({"action": "scrape", "files": {HASH: known, id('u'): zeros}})
    );
}

#[tokio::test]
async fn events_move_the_counts() {
    let server = start(Config::default()).await;
    let mut a = Client::connect(&server).await;
    let event = |event: &str, left: u64| {
        let mut message = announce('a', &[]);
        message["event"] = json!(event);
        message["left"] = json!(left);
        message
    };
    let mut sizes = Vec::new();
    for message in [
        event("started", 10),
        event("completed", 0),
        event("", 0),
        event("stopped", 0),
    ] {
        let reply = a.ask(&message).await;
        let files = a.ask(&scrape(json!(HASH))).await;
        sizes.push((
            reply["complete"].as_u64().unwrap(),
            reply["incomplete"].as_u64().unwrap(),
            files["files"][HASH]["downloaded"].as_u64().unwrap(),
        ));
    }
    assert_eq!(sizes, [(0, 1, 0), (1, 0, 1), (1, 0, 1), (0, 0, 0)]);
    assert_eq!(server.stats().peers, 0);
}

#[tokio::test]
async fn one_socket_holds_several_torrents_and_leaves_all_when_it_closes() {
    let server = start(Config::default()).await;
    let mut a = Client::connect(&server).await;
    for hash in "123".chars() {
        let mut message = announce('a', &[]);
        message["info_hash"] = json!(id(hash));
        assert_eq!(a.ask(&message).await["info_hash"], json!(id(hash)));
    }
    assert_eq!((server.stats().swarms, server.stats().peers), (3, 3));
    a.0.close(None).await.unwrap();
    until(&server, "all left", |s| {
        (s.swarms, s.peers, s.connections) == (0, 0, 0)
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_reconnects_after_closing_has_its_id_back() {
    let server = start(Config::default()).await;
    let mut a = Client::connect(&server).await;
    a.ask(&announce('a', &[])).await;
    a.0.close(None).await.unwrap();
    until(&server, "left", |s| s.connections == 0).await;
    let mut a = Client::connect(&server).await;
    assert_eq!(a.ask(&announce('a', &[])).await["incomplete"], 1);
}

#[tokio::test]
async fn a_fragmented_message_is_one_message() {
    use tokio_tungstenite::tungstenite::protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    };
    let server = start(Config::default()).await;
    let mut a = Client::connect(&server).await;
    let text = announce('a', &['1', '2']).to_string();
    let mut parts = text.as_bytes().chunks(50).peekable();
    let mut kind = Data::Text;
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let frame = Frame::message(part.to_vec(), OpCode::Data(kind), last);
        a.send_raw(Message::Frame(frame)).await;
        kind = Data::Continue;
    }
    assert_eq!(a.receive().await["incomplete"], 1);
}
