//! Requests to web seeds (BEP 19), each on a thread of its own.
//!
//! Owns the sockets, the redirects and the rule of addresses: a web seed that only a torrent names, and a redirect from
//! the internet, never lead to this machine or its network, whatever the name resolves to. Judges no answer; the core
//! does that. A thread sends on only when the driver's queue has room, so nothing gathers here.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use ureq::http::{Response, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body, Error};

use crate::client::{Input, WebSeedHead};
use crate::metainfo::WebSeedUrl;
use crate::sorted::Map;
use crate::types::WebRequestId;

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Bytes that are read at once.
const READ_LEN: usize = 64 * 1024;
/// Longest header that is handed on, bytes.
const MAX_HEADER: usize = 256;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may come. The core's patience is shorter; a request that it ended is over by then.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a whole request may take.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The requests under way.
pub(super) struct WebSeeds {
    client: Arc<Client>,
    /// Torrents' web seeds may be here, too.
    local: bool,
    inputs: mpsc::Sender<Input>,
    /// Set when nothing more is wanted.
    ended: Map<WebRequestId, Arc<AtomicBool>>,
}

impl WebSeeds {
    pub(super) fn new(local: bool, inputs: mpsc::Sender<Input>) -> WebSeeds {
        WebSeeds {
            client: Arc::new(Client::new()),
            local,
            inputs,
            ended: Map::new(),
        }
    }

    /// Begins a request.
    pub(super) fn get(
        &mut self,
        request: WebRequestId,
        url: String,
        range: RangeInclusive<u64>,
        given: bool,
    ) {
        let ended = Arc::new(AtomicBool::new(false));
        self.ended.insert(request, Arc::clone(&ended));
        let (client, inputs) = (Arc::clone(&self.client), self.inputs.clone());
        let local = given || self.local;
        spawn_blocking(move || {
            let send = |input: Input| {
                // If nobody listens, the client is gone.
                !ended.load(Ordering::Relaxed) && inputs.blocking_send(input).is_ok()
            };
            let error = client.fetch(request, &url, &range, local, &send).err();
            send(Input::WebSeedEnd { request, error });
        });
    }

    /// Nothing more of this request is wanted.
    pub(super) fn forget(&mut self, request: WebRequestId) {
        if let Some(ended) = self.ended.remove(&request) {
            ended.store(true, Ordering::Relaxed);
        }
    }
}

/// Connections are kept for the next request to the same server.
struct Client {
    public: Agent,
    local: Agent,
}

impl Client {
    fn new() -> Client {
        let agent = |local| {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .proxy(None)
                .timeout_connect(Some(CONNECT_TIMEOUT))
                .timeout_recv_response(Some(READ_TIMEOUT))
                .timeout_per_read(Some(READ_TIMEOUT))
                .timeout_global(Some(WHOLE_TIMEOUT))
                .user_agent(concat!("piecework/", env!("CARGO_PKG_VERSION")))
                .build();
            let resolver = Side {
                local,
                all: DefaultResolver::default(),
            };
            Agent::with_parts(config, DefaultConnector::default(), resolver)
        };
        Client {
            public: agent(false),
            local: agent(true),
        }
    }

    /// Asks, and hands on what comes. `send` answers `false` when nothing more is wanted.
    fn fetch(
        &self,
        request: WebRequestId,
        url: &str,
        range: &RangeInclusive<u64>,
        mut local: bool,
        send: &dyn Fn(Input) -> bool,
    ) -> Result<(), String> {
        let mut at = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let (answer, was_local) = self.ask(&at, range, local)?;
            local = was_local;
            let status = answer.status().as_u16();
            let to = header(&answer, "location")
                .filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308));
            match to {
                Some(to) => at = redirected(&at, &to)?,
                None => return hand_on(request, answer, range, send),
            }
        }
        Err(format!("redirects more than {MAX_REDIRECTS} times"))
    }

    /// One request, to the public side of the name; or, where it has none, to the local one, if that is allowed.
    /// Answers whether it was the local one.
    fn ask(
        &self,
        url: &str,
        range: &RangeInclusive<u64>,
        local: bool,
    ) -> Result<(Response<Body>, bool), String> {
        let ask = |agent: &Agent| {
            agent
                .get(url)
                .header("range", format!("bytes={}-{}", range.start(), range.end()))
                .header("accept-encoding", "identity")
                .header("accept", "*/*")
                .call()
        };
        match ask(&self.public) {
            Ok(answer) => Ok((answer, false)),
            Err(Error::Other(error)) if error.is::<OtherSide>() => match local {
                true => ask(&self.local).map(|answer| (answer, true)).map_err(said),
                false => Err(
                    "lies on this machine or in its network, where a torrent may not lead: name it by --web-seed, or give --local-web-seeds"
                        .to_owned(),
                ),
            },
            Err(error) => Err(said(error)),
        }
    }
}

fn said(error: Error) -> String {
    match error {
        Error::HostNotFound => "is unknown: no such host".to_owned(),
        Error::Timeout(_) => "did not answer in time".to_owned(),
        error => format!("could not be asked: {error}"),
    }
}

fn header<T>(answer: &Response<T>, name: &str) -> Option<String> {
    let value = answer.headers().get(name)?.to_str().ok()?;
    let most = match name {
        "location" => crate::metainfo::MAX_URL_LEN,
        _ => MAX_HEADER,
    };
    (value.len() <= most).then(|| value.to_owned())
}

/// Where a redirect leads (RFC 9110, section 10.2.2).
fn redirected(from: &str, to: &str) -> Result<String, String> {
    let to = to.split('#').next().unwrap_or_default();
    let (scheme, rest) = from.split_once("://").unwrap_or(("http", from));
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let path = rest.split('?').next().unwrap_or_default();
    let whole = if to.contains("://") {
        to.to_owned()
    } else if to.starts_with("//") {
        format!("{scheme}:{to}")
    } else if to.starts_with('/') {
        format!("{scheme}://{host}{to}")
    } else {
        let folder = path.rfind('/').map_or(path, |at| &path[..at]);
        format!("{scheme}://{folder}/{to}")
    };
    let url = WebSeedUrl::parse(&whole).map_err(|why| format!("redirects to {whole:?}: {why}"))?;
    if scheme == "https" && !url.as_str().starts_with("https://") {
        return Err("redirects from https to http, which everybody on the way could change".into());
    }
    Ok(url.as_str().to_owned())
}

fn hand_on(
    request: WebRequestId,
    mut answer: Response<Body>,
    range: &RangeInclusive<u64>,
    send: &dyn Fn(Input) -> bool,
) -> Result<(), String> {
    let head = WebSeedHead {
        status: answer.status().as_u16(),
        content_range: header(&answer, "content-range"),
        content_encoding: header(&answer, "content-encoding"),
        retry_after: header(&answer, "retry-after"),
    };
    if !send(Input::WebSeedHead { request, head }) {
        return Ok(());
    }
    let mut body = answer.body_mut().as_reader();
    let mut left = range.end() + 1;
    let mut buffer = vec![0; READ_LEN];
    loop {
        let read = (body.read(&mut buffer)).map_err(|e| format!("broke off its answer: {e}"))?;
        if read == 0 {
            return Ok(());
        }
        let bytes = Bytes::copy_from_slice(&buffer[..read]);
        // Whatever the core makes of it: no server sends more than the file up to there.
        if !send(Input::WebSeedBytes { request, bytes }) || left == 0 {
            return Ok(());
        }
        left = left.saturating_sub(read as u64);
    }
}

/// Resolves names to the internet's addresses alone, or to all others alone.
#[derive(Debug)]
struct Side {
    local: bool,
    all: DefaultResolver,
}

/// A name has addresses, and none on this side.
#[derive(Debug, thiserror::Error)]
#[error("it has no address on this side")]
struct OtherSide;

impl Resolver for Side {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let all = self.all.resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        for address in all.iter().filter(|a| is_public(a.ip()) != self.local) {
            kept.push(*address);
        }
        match kept.is_empty() {
            true => Err(Error::Other(Box::new(OtherSide))),
            false => Ok(kept),
        }
    }
}

/// An address of the internet (IANA's registries of special-purpose addresses).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocols = (a, b, c) == (192, 0, 0);
    let benchmarks = a == 198 && (18..20).contains(&b);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || shared
        || protocols
        || benchmarks
        || a == 0
        || a >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let last = Ipv4Addr::from((u32::from(segments[6]) << 16) | u32::from(segments[7]));
    match segments {
        // Mapped and translated addresses (RFC 4291, section 2.5.5; RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(last),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => {
            is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        [0x2001, 0xdb8, ..] | [0x2001, 0, ..] => false,
        // Global unicast; all else is local, reserved or multicast.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_its_network_are_not_public() {
        for (address, public) in [
            ("93.184.216.34", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("10.1.2.3", false),
            ("172.31.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("2606:2800:220:1::1", true),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("ff02::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:93.184.216.34", true),
            ("64:ff9b::a00:1", false),
            ("64:ff9b::5db8:d822", true),
            ("2002:7f00:1::", false),
            ("::127.0.0.1", false),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(is_public(parsed), public, "{address}");
        }
    }

    #[test]
    fn a_redirect_leads_where_it_says_and_never_from_https_to_http() {
        let from = "https://w.example/a/b?c=d";
        for (to, meant) in [
            ("https://x.example/y", "https://x.example/y"),
            ("//x.example/y#z", "https://x.example/y"),
            ("/y?z", "https://w.example/y?z"),
            ("y", "https://w.example/a/y"),
        ] {
            assert_eq!(redirected(from, to).as_deref(), Ok(meant));
        }
        assert_eq!(
            redirected("http://w.example/", "https://x.example/").as_deref(),
            Ok("https://x.example/")
        );
        for bad in [
            "http://w.example/a",
            "ftp://w.example/",
            "file:///etc/passwd",
            "https://u:p@w.example/",
        ] {
            assert!(redirected(from, bad).is_err(), "{bad}");
        }
    }
}
