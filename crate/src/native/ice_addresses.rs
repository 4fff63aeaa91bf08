//! Where STUN and TURN servers are: looks up their names, beside the connections that are made.
//!
//! Owns the answers of the resolver. The WebRTC stack would look a name up for every connection, and everything of the
//! connection would wait for the answer: where nobody answers, for ten seconds and longer. Here a name is looked up
//! once for all connections, from the start on, and none waits for longer than [`LOOKUP_WAIT`] after that.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use webrtc::peer_connection::RTCIceServer;

use super::ice_server::IceServer;

/// A connection goes on without a server whose name was not found until then, counted from the begin of the search.
const LOOKUP_WAIT: Duration = Duration::from_secs(1);
/// An answer is used for this long.
const FOUND_FOR: Duration = Duration::from_secs(300);
/// A name that was not found is looked up again after this time.
const LOST_FOR: Duration = Duration::from_secs(30);
/// Names known at once; the rest is not looked up. Trackers name servers, too.
const MAX_NAMES: usize = 64;

/// The names that were looked up, and those that are being looked up.
#[derive(Clone, Debug, Default)]
pub struct IceAddresses {
    names: Arc<Mutex<HashMap<(String, u16), Name>>>,
}

#[derive(Clone, Debug)]
struct Name {
    began: Instant,
    /// `None` until the resolver has answered; then no address, if it found none.
    found: watch::Receiver<Option<Vec<SocketAddr>>>,
}

impl IceAddresses {
    /// Begins to look up what these servers need.
    pub fn prepare(&self, servers: &[IceServer]) {
        for server in servers {
            if let Some((host, port)) = server.place()
                && host.parse::<IpAddr>().is_err()
            {
                self.name(host, port);
            }
        }
    }

    /// The servers as the stack takes them, with addresses for names. Those that it cannot use and those that were not
    /// found are left out.
    pub async fn of(&self, servers: &[IceServer]) -> Vec<RTCIceServer> {
        self.prepare(servers);
        let mut found = Vec::new();
        for server in servers.iter().filter(|server| server.is_usable()) {
            let Some((host, port)) = server.place() else {
                continue;
            };
            let addresses = match host.parse::<IpAddr>() {
                Ok(ip) => vec![SocketAddr::new(ip, port)],
                Err(_) => self.found(host, port).await,
            };
            let urls: Vec<String> = (addresses.iter())
                .map(|address| format!("{}:{address}", server.scheme()))
                .collect();
            if !urls.is_empty() {
                found.push(RTCIceServer {
                    urls,
                    username: server.username.clone(),
                    credential: server.credential.clone(),
                });
            }
        }
        found
    }

    async fn found(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        let Some(mut name) = self.name(host, port) else {
            return Vec::new();
        };
        let answered = name.found.wait_for(Option::is_some);
        match timeout_at(name.began + LOOKUP_WAIT, answered).await {
            Ok(Ok(found)) => found.clone().unwrap_or_default(),
            // Too late, or the runtime ends.
            _ => Vec::new(),
        }
    }

    /// The search for a name, begun now if there is none that still counts.
    fn name(&self, host: &str, port: u16) -> Option<Name> {
        let key = (host.to_owned(), port);
        let mut names = lock(&self.names);
        if let Some(name) = names.get(&key).filter(|name| name.counts()) {
            return Some(name.clone());
        }
        names.retain(|_, name| name.counts());
        if names.len() >= MAX_NAMES {
            return None;
        }
        let (answer, found) = watch::channel(None);
        let name = Name {
            began: Instant::now(),
            found,
        };
        names.insert(key.clone(), name.clone());
        tokio::spawn(async move {
            let found = tokio::net::lookup_host((key.0.as_str(), key.1)).await;
            answer.send_replace(Some(found.map_or_else(|_| Vec::new(), one_of_each_family)));
        });
        Some(name)
    }
}

impl Name {
    fn counts(&self) -> bool {
        let age = self.began.elapsed();
        match &*self.found.borrow() {
            Some(found) if found.is_empty() => age < LOST_FOR,
            Some(_) => age < FOUND_FOR,
            // One search at a time.
            None => true,
        }
    }
}

/// The stack asks a server once from each local address of the server's family.
fn one_of_each_family(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut of_each: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !of_each.iter().any(|it| it.is_ipv4() == address.is_ipv4()) {
            of_each.push(address);
        }
    }
    of_each
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(urls: &[&str]) -> Vec<IceServer> {
        urls.iter().map(|url| url.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn servers_are_given_by_their_addresses() {
        let given = servers(&[
            "stun:192.0.2.7",
            "turn:me:secret@[2001:db8::1]:5000?transport=udp",
            "stun:localhost:3479",
        ]);
        let found = IceAddresses::default().of(&given).await;
        assert_eq!(found[0].urls, ["stun:192.0.2.7:3478"]);
        assert_eq!(found[1].urls, ["turn:[2001:db8::1]:5000"]);
        assert_eq!(found[1].username, "me");
        assert!(found[2].urls.contains(&"stun:127.0.0.1:3479".to_owned()));
    }

    #[tokio::test]
    async fn what_the_stack_cannot_use_and_what_is_not_found_is_left_out() {
        let given = servers(&[
            "turns:me:secret@192.0.2.7",
            "turn:me:secret@192.0.2.7?transport=tcp",
            "stun:nobody.invalid",
        ]);
        assert_eq!(IceAddresses::default().of(&given).await.len(), 0);
    }

    #[tokio::test]
    async fn a_connection_waits_for_a_resolver_that_does_not_answer_once_and_briefly() {
        let addresses = IceAddresses::default();
        let (_answer, found) = watch::channel(None);
        let name = Name {
            began: Instant::now() - LOOKUP_WAIT + Duration::from_millis(200),
            found,
        };
        lock(&addresses.names).insert(("slow.example".to_owned(), 3478), name);
        let given = servers(&["stun:slow.example"]);
        let began = Instant::now();
        assert!(addresses.of(&given).await.is_empty());
        let first = began.elapsed();
        assert!(addresses.of(&given).await.is_empty());
        let second = began.elapsed() - first;
        assert!(first >= Duration::from_millis(190), "{first:?}");
        assert!(second < first, "{second:?} after {first:?}");
    }
}
