//! The HTTP side: one request per connection, which is a look at `/health` or `/stats` or a WebSocket upgrade
//! (RFC 6455 section 4.2). Knows bytes, not sockets.

use std::net::IpAddr;

/// Longest request head, in bytes; a longer one gets status 431.
pub const MAX_HEAD_LEN: usize = 8 * 1024;

/// Most header lines; more get status 431.
const MAX_HEADERS: usize = 64;

/// Longest `Sec-WebSocket-Key` accepted; a proper one has 24 characters.
const MAX_KEY_LEN: usize = 64;

/// A request head that was understood.
#[derive(Debug, PartialEq, Eq)]
pub enum HttpRequest {
    /// `GET` or `HEAD` of something to read.
    Read {
        /// The page that the path of the request names.
        page: Page,
        /// `HEAD`: the reply goes without its body.
        head_only: bool,
    },
    /// A WebSocket upgrade on any path.
    Upgrade {
        /// `Sec-WebSocket-Key`.
        key: String,
        /// `Origin`, if any.
        origin: Option<String>,
        /// Last entry of the header that the configuration names.
        client_ip: Option<IpAddr>,
        /// Bytes of the head.
        head_len: usize,
    },
}

/// The pages that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/health`.
    Health,
    /// `/stats` and `/stats.json`, under the names of `bittorrent-tracker`, for monitors that know those.
    Stats,
}

/// A request that is answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400.
    BadRequest,
    /// 403.
    OriginNotAllowed,
    /// 405.
    MethodNotAllowed,
    /// 426.
    UpgradeRequired,
    /// 429.
    TooManyFromAddress,
    /// 431.
    HeadTooLarge,
    /// 503.
    Full,
}

/// Reads a request head. `None` while it is incomplete.
pub fn parse(bytes: &[u8], client_ip_header: Option<&str>) -> Option<Result<HttpRequest, Refusal>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head_len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD_LEN => len,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD_LEN => return None,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Some(Err(Refusal::HeadTooLarge)),
        Err(_) => return Some(Err(Refusal::BadRequest)),
    };
    Some(understand(&request, head_len, client_ip_header))
}

fn understand(
    request: &httparse::Request<'_, '_>,
    head_len: usize,
    client_ip_header: Option<&str>,
) -> Result<HttpRequest, Refusal> {
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Refusal::MethodNotAllowed),
    };
    let header = |name: &str| {
        let mut found = request
            .headers
            .iter()
            .filter(move |h| h.name.eq_ignore_ascii_case(name));
        found
            .next()
            .and_then(|h| std::str::from_utf8(h.value).ok())
            .map(str::trim)
    };
    // A list may be spread over several lines (RFC 9110 section 5.3).
    let has_token = |name: &str, token: &str| {
        let lines = request.headers.iter();
        let mut items = lines
            .filter(|h| h.name.eq_ignore_ascii_case(name))
            .flat_map(|h| h.value.split(|b| *b == b','));
        items.any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    };
    if head_only || !has_token("upgrade", "websocket") {
        let page = match request.path.unwrap_or("/").split('?').next() {
            Some("/health") => Page::Health,
            Some("/stats" | "/stats.json") => Page::Stats,
            _ => return Err(Refusal::UpgradeRequired),
        };
        return Ok(HttpRequest::Read { page, head_only });
    }
    if header("sec-websocket-version") != Some("13") {
        return Err(Refusal::UpgradeRequired);
    }
    let key = header("sec-websocket-key")
        .filter(|key| !key.is_empty() && key.len() <= MAX_KEY_LEN)
        .ok_or(Refusal::BadRequest)?;
    if !has_token("connection", "upgrade") || request.version != Some(1) {
        return Err(Refusal::BadRequest);
    }
    let client_ip = client_ip_header.and_then(|name| {
        let last = request
            .headers
            .iter()
            .rfind(|h| h.name.eq_ignore_ascii_case(name))?;
        let list = std::str::from_utf8(last.value).ok()?;
        list.rsplit(',').next()?.trim().parse().ok()
    });
    Ok(HttpRequest::Upgrade {
        key: key.to_owned(),
        origin: header("origin").map(str::to_owned),
        client_ip,
        head_len,
    })
}

/// The reply that completes an upgrade.
pub fn switching_protocols(accept_key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept_key}\r\n\r\n"
    )
}

/// A complete JSON reply.
pub fn json(body: &str, head_only: bool) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{}",
        body.len(),
        if head_only { "" } else { body }
    )
}

impl Refusal {
    /// The complete reply.
    pub fn reply(self) -> String {
        let (status, extra, body) = match self {
            Refusal::BadRequest => ("400 Bad Request", "", "not a valid WebSocket upgrade\n"),
            Refusal::OriginNotAllowed => ("403 Forbidden", "", "this origin may not connect\n"),
            Refusal::MethodNotAllowed => (
                "405 Method Not Allowed",
                "allow: GET, HEAD\r\n",
                "use GET\n",
            ),
            Refusal::UpgradeRequired => (
                "426 Upgrade Required",
                "upgrade: websocket\r\nsec-websocket-version: 13\r\n",
                "this is a WebTorrent tracker: connect by WebSocket, or GET /health or /stats\n",
            ),
            Refusal::TooManyFromAddress => (
                "429 Too Many Requests",
                "retry-after: 60\r\n",
                "too many connections from this address\n",
            ),
            Refusal::HeadTooLarge => (
                "431 Request Header Fields Too Large",
                "",
                "request head is too large\n",
            ),
            Refusal::Full => (
                "503 Service Unavailable",
                "retry-after: 60\r\n",
                "the server is full\n",
            ),
        };
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n{extra}connection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade(extra: &str) -> String {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
        )
    }

    #[test]
    fn an_upgrade_is_read_with_its_origin_and_forwarded_address() {
        let head =
            upgrade("Origin: https://a.example\r\nX-Forwarded-For: 1.1.1.1, 2001:db8::1\r\n");
        for cut in 0..head.len() {
            assert_eq!(parse(&head.as_bytes()[..cut], None), None);
        }
        let parsed = parse(head.as_bytes(), Some("x-forwarded-for"));
        assert_eq!(
            parsed,
            Some(Ok(HttpRequest::Upgrade {
                key: "dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
                origin: Some("https://a.example".to_owned()),
                client_ip: "2001:db8::1".parse().ok(),
                head_len: head.len(),
            }))
        );
    }

    #[test]
    fn what_is_no_upgrade_gets_its_status() {
        for (head, expected) in [
            ("POST /health HTTP/1.1\r\n\r\n", Refusal::MethodNotAllowed),
            ("HEAD / HTTP/1.1\r\n\r\n", Refusal::UpgradeRequired),
            ("GET / HTTP/1.1\r\n\r\n", Refusal::UpgradeRequired),
            ("\u{1}\u{2}nonsense\r\n\r\n", Refusal::BadRequest),
            (
                "GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n",
                Refusal::UpgradeRequired,
            ),
            (
                "GET / HTTP/1.1\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\r\n",
                Refusal::BadRequest,
            ),
        ] {
            assert_eq!(parse(head.as_bytes(), None), Some(Err(expected)), "{head}");
        }
    }

    #[test]
    fn monitors_read_health_and_stats_by_get_and_head() {
        for (line, page, head_only) in [
            ("GET /health?x=1 HTTP/1.0", Page::Health, false),
            ("HEAD /health HTTP/1.1", Page::Health, true),
            ("GET /stats HTTP/1.1", Page::Stats, false),
            ("GET /stats.json HTTP/1.1", Page::Stats, false),
            ("HEAD /stats HTTP/1.1", Page::Stats, true),
        ] {
            let expected = HttpRequest::Read { page, head_only };
            let head = format!("{line}\r\n\r\n");
            assert_eq!(parse(head.as_bytes(), None), Some(Ok(expected)), "{line}");
        }
        let whole = json("{}", false);
        assert_eq!(json("{}", true) + "{}", whole);
    }

    #[test]
    fn a_list_header_may_be_spread_over_several_lines() {
        let is_upgrade = |lines: &str| {
            let head = format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{lines}Sec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            );
            matches!(
                parse(head.as_bytes(), None),
                Some(Ok(HttpRequest::Upgrade { .. }))
            )
        };
        for lines in [
            "Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: Upgrade\r\n",
            "Upgrade: websocket\r\nConnection: Upgrade\r\nConnection: keep-alive\r\n",
            "Upgrade: h2c\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n",
            "Upgrade: h2c ,\twebsocket\r\nConnection: a,,b\r\nCONNECTION: c , UPGRADE\r\n",
        ] {
            assert!(is_upgrade(lines), "{lines}");
        }
        for lines in [
            "Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: close\r\n",
            "Upgrade: web\r\nUpgrade: socket\r\nConnection: Upgrade\r\n",
            "Upgrade: websocket\r\nConnection: no-Upgrade\r\n",
        ] {
            assert!(!is_upgrade(lines), "{lines}");
        }
    }

    #[test]
    fn an_endless_head_is_refused() {
        let long = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(MAX_HEAD_LEN));
        assert_eq!(
            parse(long.as_bytes(), None),
            Some(Err(Refusal::HeadTooLarge))
        );
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "x: y\r\n".repeat(MAX_HEADERS + 1)
        );
        assert_eq!(
            parse(many.as_bytes(), None),
            Some(Err(Refusal::HeadTooLarge))
        );
    }

    #[test]
    fn only_the_entry_that_the_proxy_appends_counts() {
        // The peer can put anything before what the proxy appends.
        let head = upgrade("X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8, 7.7.7.7\r\n");
        let Some(Ok(HttpRequest::Upgrade { client_ip, .. })) =
            parse(head.as_bytes(), Some("x-forwarded-for"))
        else {
            panic!("not an upgrade");
        };
        assert_eq!(client_ip, "7.7.7.7".parse().ok());
    }
}
