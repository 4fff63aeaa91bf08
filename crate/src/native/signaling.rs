//! Tracker WebSockets (`ws://`, `wss://`).
//!
//! Owns one socket and one task per tracker. Invariant: no message longer than [`MAX_MESSAGE_LEN`]
//! is taken, and nothing comes from a tracker after its [`Input::TrackerClosed`]. Never reads what
//! it carries, and never decides when to connect again.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::client::Input;
use crate::types::TrackerId;

/// Longest message in either direction, bytes; a longer one closes the socket.
pub const MAX_MESSAGE_LEN: usize = 64 * 1024;
/// Most messages that wait for one tracker; one more closes its socket.
pub const MAX_QUEUED_MESSAGES: usize = 256;
/// Most bytes the socket may hold back.
const MAX_WRITE_BUFFER_LEN: usize = 1 << 20;
/// Most trackers at once.
pub const MAX_TRACKERS: usize = 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A ping goes out after this much silence, and the socket is given up after twice as much.
const PING_AFTER: Duration = Duration::from_secs(45);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// All trackers' sockets.
#[derive(Debug)]
pub struct Trackers {
    inputs: mpsc::Sender<Input>,
    queues: HashMap<TrackerId, mpsc::Sender<String>>,
    tasks: JoinSet<()>,
}

impl Trackers {
    /// Sockets report to `inputs`.
    pub fn new(inputs: mpsc::Sender<Input>) -> Trackers {
        Trackers {
            inputs,
            queues: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Opens a socket; ends in [`Input::TrackerConnected`] or [`Input::TrackerClosed`].
    ///
    /// # Errors
    /// Too many: the tracker must be reported closed.
    pub fn connect(&mut self, tracker: TrackerId, url: String) -> Result<(), String> {
        while self.tasks.try_join_next().is_some() {}
        if self.queues.len() >= MAX_TRACKERS {
            return Err(format!("at most {MAX_TRACKERS} trackers at once"));
        }
        let (queue, messages) = mpsc::channel(MAX_QUEUED_MESSAGES);
        self.queues.insert(tracker, queue);
        let inputs = self.inputs.clone();
        self.tasks.spawn(async move {
            if let Err(reason) = serve(tracker, &url, messages, &inputs).await {
                let _ = inputs.send(Input::TrackerClosed { tracker, reason }).await;
            }
        });
        Ok(())
    }

    /// Sends one text message.
    ///
    /// # Errors
    /// Too much waits: the socket is being closed, and must be reported so.
    pub fn send(&mut self, tracker: TrackerId, text: String) -> Result<(), String> {
        let Some(queue) = self.queues.get(&tracker) else {
            return Ok(());
        };
        match queue.try_send(text) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.queues.remove(&tracker);
                Err(format!("more than {MAX_QUEUED_MESSAGES} messages wait"))
            }
        }
    }

    /// Closes a socket after the waiting messages are sent.
    pub fn close(&mut self, tracker: TrackerId) {
        self.queues.remove(&tracker);
    }

    /// Closes all sockets after the waiting messages are sent.
    pub async fn shutdown(mut self) {
        self.queues.clear();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// `Ok` when the core closed it.
async fn serve(
    tracker: TrackerId,
    url: &str,
    mut messages: mpsc::Receiver<String>,
    inputs: &mpsc::Sender<Input>,
) -> Result<(), String> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_LEN))
        .max_frame_size(Some(MAX_MESSAGE_LEN))
        .max_write_buffer_size(MAX_WRITE_BUFFER_LEN);
    let connecting = timeout(
        CONNECT_TIMEOUT,
        connect_async_with_config(url, Some(config), true),
    );
    let mut socket = match connecting.await {
        Ok(Ok((socket, _response))) => socket,
        Ok(Err(error)) => return Err(explain(&error)),
        Err(_) => return Err("no answer within 15 s".to_owned()),
    };
    if inputs
        .send(Input::TrackerConnected { tracker })
        .await
        .is_err()
    {
        return Ok(());
    }
    let mut last_heard = Instant::now();
    let mut pinged = false;
    loop {
        let silence_ends = last_heard + PING_AFTER * if pinged { 2 } else { 1 };
        tokio::select! {
            message = messages.recv() => match message {
                Some(text) => send(&mut socket, Message::text(text)).await?,
                None => {
                    // The other side's goodbye may never come.
                    let _ = timeout(CLOSE_TIMEOUT, socket.close(None)).await;
                    return Ok(());
                }
            },
            received = socket.next() => {
                last_heard = Instant::now();
                pinged = false;
                let text: Bytes = match received {
                    None | Some(Ok(Message::Close(_))) => return Err("the tracker closed".to_owned()),
                    Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => message.into_data(),
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => return Err(explain(&error)),
                };
                if inputs.send(Input::TrackerMessage { tracker, text }).await.is_err() {
                    return Ok(());
                }
            }
            () = sleep_until(silence_ends) => {
                if pinged {
                    return Err("the tracker fell silent".to_owned());
                }
                pinged = true;
                send(&mut socket, Message::Ping(Bytes::new())).await?;
            }
        }
    }
}

async fn send(socket: &mut Socket, message: Message) -> Result<(), String> {
    match timeout(CONNECT_TIMEOUT, socket.send(message)).await {
        Ok(sent) => sent.map_err(|e| explain(&e)),
        Err(_) => Err("the tracker takes nothing".to_owned()),
    }
}

fn explain(error: &tungstenite::Error) -> String {
    match error {
        tungstenite::Error::Http(response) => {
            format!("no WebSocket there: HTTP {}", response.status())
        }
        tungstenite::Error::Capacity(_) => {
            format!("a message was longer than {MAX_MESSAGE_LEN} bytes")
        }
        tungstenite::Error::Io(error) if is_not_tls(error) => {
            "it does not speak TLS there: write ws:// instead of wss://, or check the port"
                .to_owned()
        }
        other => other.to_string(),
    }
}

/// Whether the answer was no TLS at all.
fn is_not_tls(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|e| e.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidMessage(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn next(inputs: &mut mpsc::Receiver<Input>) -> Input {
        timeout(Duration::from_secs(10), inputs.recv())
            .await
            .expect("nothing came for 10 s")
            .expect("closed")
    }

    #[tokio::test]
    async fn text_and_binary_come_in_and_an_oversized_frame_closes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/announce", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            let asked = socket.next().await.unwrap().unwrap();
            assert_eq!(asked, Message::text("hello"));
            socket.send(Message::text("a")).await.unwrap();
            socket
                .send(Message::binary(vec![b'b'; MAX_MESSAGE_LEN]))
                .await
                .unwrap();
            let long = vec![b'c'; MAX_MESSAGE_LEN + 1];
            socket.send(Message::binary(long)).await.unwrap();
            // Until the client is gone.
            while let Some(Ok(_)) = socket.next().await {}
        });
        let (sender, mut inputs) = mpsc::channel(16);
        let mut trackers = Trackers::new(sender);
        let id = TrackerId(3);
        trackers.connect(id, url).unwrap();
        assert!(matches!(
            next(&mut inputs).await,
            Input::TrackerConnected { tracker } if tracker == id
        ));
        trackers.send(id, "hello".to_owned()).unwrap();
        for expected in [vec![b'a'], vec![b'b'; MAX_MESSAGE_LEN]] {
            let Input::TrackerMessage { text, .. } = next(&mut inputs).await else {
                panic!("no message");
            };
            assert_eq!(text, expected);
        }
        let Input::TrackerClosed { reason, .. } = next(&mut inputs).await else {
            panic!("not closed");
        };
        assert!(reason.contains("65536"), "{reason}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_tracker_that_is_not_there_is_reported_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        drop(listener);
        let (sender, mut inputs) = mpsc::channel(16);
        let mut trackers = Trackers::new(sender);
        trackers.connect(TrackerId(0), url).unwrap();
        assert!(matches!(
            next(&mut inputs).await,
            Input::TrackerClosed { .. }
        ));
    }

    #[tokio::test]
    async fn a_shutdown_sends_what_waits_first() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            socket.next().await.unwrap().unwrap()
        });
        let (sender, mut inputs) = mpsc::channel(16);
        let mut trackers = Trackers::new(sender);
        trackers.connect(TrackerId(0), url).unwrap();
        next(&mut inputs).await;
        trackers.send(TrackerId(0), "stopped".to_owned()).unwrap();
        trackers.shutdown().await;
        assert_eq!(server.await.unwrap(), Message::text("stopped"));
    }
}
