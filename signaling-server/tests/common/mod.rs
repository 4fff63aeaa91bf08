//! A server on a free port, and a client that speaks raw JSON: the wire is checked without the code
//! that made it.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs
)]

use futures_util::{SinkExt, StreamExt};
use piecework_signaling::{Config, Handle, serve};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message, client::IntoClientRequest};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Far above any time that a test takes here: reaching it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const HASH: &str = "hhhhhhhhhhhhhhhhhhhh";

pub async fn start(config: Config) -> Handle {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve(listener, config).unwrap()
}

pub fn url(server: &Handle) -> String {
    format!("ws://{}/announce", server.local_addr())
}

/// Twenty times the same character.
pub fn id(c: char) -> String {
    c.to_string().repeat(20)
}

pub fn announce(peer: char, offers: &[char]) -> Value {
    let offers: Vec<Value> = offers.iter().map(|c| offer(*c)).collect();
    json!({
        "action": "announce", "info_hash": HASH, "peer_id": id(peer), "event": "started",
        "uploaded": 0, "downloaded": 0, "left": 100, "numwant": offers.len(), "offers": offers,
    })
}

pub fn offer(name: char) -> Value {
    json!({"offer_id": id(name), "offer": {"type": "offer", "sdp": format!("v=0\r\no={name}")}})
}

pub fn answer(peer: char, to: char, name: char) -> Value {
    json!({
        "action": "announce", "info_hash": HASH, "peer_id": id(peer), "to_peer_id": id(to),
        "offer_id": id(name), "answer": {"type": "answer", "sdp": "v=0\r\na"},
    })
}

pub fn scrape(hashes: Value) -> Value {
    json!({"action": "scrape", "info_hash": hashes})
}

pub struct Client(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub async fn connect(server: &Handle) -> Client {
        Client::try_connect(server, None).await.expect("connects")
    }

    pub async fn try_connect(server: &Handle, origin: Option<&str>) -> Result<Client, Error> {
        let mut request = url(server).into_client_request()?;
        if let Some(origin) = origin {
            request
                .headers_mut()
                .insert("origin", origin.parse().unwrap());
        }
        let (socket, _) = timeout(PATIENCE, connect_async(request))
            .await
            .expect("the server answers")?;
        Ok(Client(socket))
    }

    pub async fn send(&mut self, value: &Value) {
        self.send_raw(Message::text(value.to_string())).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.0.send(message).await.expect("sends");
    }

    /// The next frame that is not a ping or pong.
    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        loop {
            let next = timeout(PATIENCE, self.0.next()).await.expect("an answer");
            match next {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => return other,
            }
        }
    }

    /// The next message, as JSON.
    pub async fn receive(&mut self) -> Value {
        match self.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("not a text message: {other:?}"),
        }
    }

    pub async fn ask(&mut self, value: &Value) -> Value {
        self.send(value).await;
        self.receive().await
    }

    /// Waits for the end of the connection; the code of the close frame, if there was one.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|f| f.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Proves that nothing else is on its way: the server's messages are in order.
    pub async fn nothing_more(&mut self) {
        let reply = self.ask(&scrape(json!(id('?')))).await;
        assert_eq!(reply["action"], "scrape", "{reply}");
    }
}

/// Waits until a condition on the server holds.
pub async fn until(
    server: &Handle,
    what: &str,
    holds: impl Fn(piecework_signaling::Stats) -> bool,
) {
    let wait = async {
        while !holds(server.stats()) {
            tokio::task::yield_now().await;
        }
    };
    if timeout(PATIENCE, wait).await.is_err() {
        panic!("never happened: {what}; {:?}", server.stats());
    }
}
