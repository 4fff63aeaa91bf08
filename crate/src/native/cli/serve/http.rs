//! The local HTTP interface: who may ask, what a request asks for, and its answer as bytes.
//!
//! Owns the listening socket and the bounds of requests; HTTP itself is hyper's. Invariant: nothing of a request but
//! its head is read before its token was found right. Knows no torrent: what is asked goes to the daemon, one wish at a
//! time.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN,
    WWW_AUTHENTICATE,
};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::config::Http;
use super::file::{Given, Tokens};
use super::token::Token;
use crate::native::cli::output::CliError;
use crate::native::cli::torrent::{self, MAX_TORRENT_LEN, Named};
use crate::types::InfoHash;

/// Connections at once; further ones wait until the system refuses them.
const MAX_CONNECTIONS: usize = 32;
/// Longest head of a request, bytes; a longer one gets status 431.
const MAX_HEAD_LEN: usize = 16 * 1024;
/// Most header lines; more get status 431.
const MAX_HEADERS: usize = 64;
/// Longest body in JSON, bytes; a longer one gets status 413, and so does a .torrent of more than [`MAX_TORRENT_LEN`].
const MAX_JSON_LEN: usize = 64 * 1024;
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take from its beginning to its end: longer than a redemption takes as a rule.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
/// Requests that wait for the daemon; further ones wait before that.
const MAX_QUEUED: usize = 16;
/// After a failure to accept, such as too many open files, nobody is accepted for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A wish of who has the token.
pub(super) enum Ask {
    List,
    Show(InfoHash),
    Add(Box<Named>, Wanted),
    Remove { info_hash: InfoHash, delete: bool },
    Price(InfoHash, String),
    Redeem,
    Stats,
    History,
    Metrics,
}

/// How a torrent is to be added.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) data: Option<PathBuf>,
    pub(super) price: Option<String>,
    pub(super) max_price: Option<String>,
    pub(super) fetch: bool,
}

/// The answer to a wish.
pub(super) struct Reply {
    status: StatusCode,
    content_type: &'static str,
    /// The methods that would be right.
    allow: Option<String>,
    body: String,
}

impl Reply {
    pub(super) fn json(value: &Value) -> Reply {
        Reply::with(StatusCode::OK, value)
    }

    pub(super) fn created(value: &Value) -> Reply {
        Reply::with(StatusCode::CREATED, value)
    }

    /// In Prometheus' text format.
    pub(super) fn metrics(body: String) -> Reply {
        Reply {
            status: StatusCode::OK,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            allow: None,
            body,
        }
    }

    pub(super) fn error(status: StatusCode, text: impl Into<String>) -> Reply {
        Reply::with(status, &json!({"error": text.into()}))
    }

    /// What the caller did wrong, or what failed here.
    pub(super) fn of_error(error: &CliError) -> Reply {
        let status = match error {
            CliError::Invalid(_) => StatusCode::BAD_REQUEST,
            CliError::Failed(_) | CliError::Interrupted(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Reply::error(status, error.to_string())
    }

    fn with(status: StatusCode, value: &Value) -> Reply {
        Reply {
            status,
            content_type: "application/json",
            allow: None,
            body: format!("{value}\n"),
        }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(allow) = self
            .allow
            .and_then(|allow| HeaderValue::try_from(allow).ok())
        {
            headers.insert(ALLOW, allow);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A wish, and where its answer goes.
pub(super) struct Asked {
    pub(super) ask: Ask,
    pub(super) answer: oneshot::Sender<Reply>,
}

/// Requests are taken from now on, until nobody listens to them. Answers the address.
///
/// # Errors
/// The address cannot be listened at.
pub(super) async fn start(
    http: &Http,
    token: Token,
) -> Result<(SocketAddr, mpsc::Receiver<Asked>), CliError> {
    let cannot = |e: std::io::Error| {
        CliError::Failed(format!(
            "{} cannot be listened at: {e}: stop what has it, or choose another `http.listen`",
            http.listen
        ))
    };
    let listener = TcpListener::bind(http.listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let (asks, asked) = mpsc::channel(MAX_QUEUED);
    let door = Arc::new(Door {
        token,
        hosts: http.hosts.clone(),
        asks,
    });
    tokio::spawn(accept(listener, door));
    Ok((address, asked))
}

async fn accept(listener: TcpListener, door: Arc<Door>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = door.asks.closed() => return,
        };
        let door = door.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let door = door.clone();
                async move { Ok::<_, Infallible>(door.answer(request).await.into_response()) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD_LEN)
                .max_headers(MAX_HEADERS)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer);
            // Whoever breaks off has no answer to miss.
            let _ = timeout(CONNECTION_TIMEOUT, connection).await;
            drop(place);
        });
    }
}

struct Door {
    token: Token,
    hosts: Vec<String>,
    asks: mpsc::Sender<Asked>,
}

impl Door {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        match self.understand(request).await {
            Err(refusal) => refusal,
            Ok(None) => Reply::json(&json!({"status": "ok"})),
            Ok(Some(ask)) => self.ask(ask).await,
        }
    }

    async fn ask(&self, ask: Ask) -> Reply {
        let (answer, reply) = oneshot::channel();
        let asked = self.asks.send(Asked { ask, answer }).await;
        match (asked, reply.await) {
            (Ok(()), Ok(reply)) => reply,
            _ => Reply::error(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping"),
        }
    }

    /// `None`: whether the daemon is there.
    async fn understand(&self, request: Request<Incoming>) -> Result<Option<Ask>, Reply> {
        self.check_sender(request.uri(), request.headers())?;
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        // A monitor that has no token learns only that somebody listens.
        if path == "/health" {
            only(&head.method, &[Method::GET])?;
            return Ok(None);
        }
        if !self.is_let_in(&head.headers) {
            return Err(Reply::error(
                StatusCode::UNAUTHORIZED,
                "send `Authorization: Bearer TOKEN` with the line of the token file",
            ));
        }
        let query = head.uri.query().unwrap_or_default();
        match path {
            "/torrents" => {
                only(&head.method, &[Method::GET, Method::POST])?;
                if head.method == Method::POST {
                    return addition(&head.headers, query, body).await.map(Some);
                }
                no_query(query)?;
                Ok(Some(Ask::List))
            }
            "/redeem" => {
                only(&head.method, &[Method::POST])?;
                no_query(query)?;
                Ok(Some(Ask::Redeem))
            }
            "/stats" | "/history" | "/metrics" => {
                only(&head.method, &[Method::GET])?;
                no_query(query)?;
                Ok(Some(match path {
                    "/stats" => Ask::Stats,
                    "/history" => Ask::History,
                    _ => Ask::Metrics,
                }))
            }
            _ => {
                let info_hash = (path.strip_prefix("/torrents/")).and_then(InfoHash::from_hex);
                let Some(info_hash) = info_hash else {
                    return Err(Reply::error(
                        StatusCode::NOT_FOUND,
                        "there are /torrents, /torrents/INFO_HASH, /redeem, /stats, /history, /metrics and /health",
                    ));
                };
                only(&head.method, &[Method::GET, Method::DELETE, Method::PATCH])?;
                one_torrent(&head.method, info_hash, query, &head.headers, body)
                    .await
                    .map(Some)
            }
        }
    }

    /// A page of another site can send requests here, and can give this address a name of its own. It cannot hide
    /// either: browsers name the page's origin, and the host that they were told to ask.
    fn check_sender(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Reply> {
        let named = headers.get(HOST).and_then(|host| host.to_str().ok());
        let named = named.and_then(|host| host.parse::<Authority>().ok());
        let is_ours = |authority: &Authority| self.is_ours(authority.host());
        if !named.as_ref().is_some_and(is_ours) || !uri.authority().is_none_or(is_ours) {
            return Err(Reply::error(
                StatusCode::FORBIDDEN,
                "this host is not known here: ask by IP address or as localhost, or name the host in `http.hosts`",
            ));
        }
        let of_a_page = headers
            .get("sec-fetch-site")
            .is_some_and(|site| site != "none");
        if headers.contains_key(ORIGIN) || of_a_page {
            return Err(Reply::error(
                StatusCode::FORBIDDEN,
                "pages may not ask here: requests with an Origin are refused",
            ));
        }
        Ok(())
    }

    fn is_ours(&self, host: &str) -> bool {
        // A name can be made to lead here, an address cannot.
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || self
                .hosts
                .iter()
                .any(|ours| ours.eq_ignore_ascii_case(host))
    }

    fn is_let_in(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(only), None) = (given.next(), given.next()) else {
            return false;
        };
        let Some((scheme, token)) = only.as_bytes().split_at_checked("Bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && self.token.is(token.trim_ascii())
    }
}

/// `HEAD` is `GET` without the body, which hyper leaves out.
fn only(method: &Method, allowed: &[Method]) -> Result<(), Reply> {
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    match allowed.contains(method) {
        true => Ok(()),
        false => {
            let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
            let allowed = allowed.join(", ");
            let text = format!("use {allowed}");
            Err(Reply {
                allow: Some(allowed),
                ..Reply::error(StatusCode::METHOD_NOT_ALLOWED, text)
            })
        }
    }
}

fn bad(text: impl Into<String>) -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, text)
}

fn no_query(query: &str) -> Result<(), Reply> {
    match query {
        "" => Ok(()),
        _ => Err(bad("this takes no parameters")),
    }
}

async fn one_torrent(
    method: &Method,
    info_hash: InfoHash,
    query: &str,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Ask, Reply> {
    match *method {
        Method::DELETE => match query {
            "" => Ok(Ask::Remove {
                info_hash,
                delete: false,
            }),
            "data=delete" => Ok(Ask::Remove {
                info_hash,
                delete: true,
            }),
            _ => Err(bad("the one parameter is data=delete")),
        },
        Method::PATCH => {
            no_query(query)?;
            if kind(headers) != "application/json" {
                return Err(wrong_kind("application/json"));
            }
            let change: Change = in_json(&read(body, MAX_JSON_LEN).await?)?;
            Ok(Ask::Price(info_hash, change.price.0.0))
        }
        _ => {
            no_query(query)?;
            Ok(Ask::Show(info_hash))
        }
    }
}

/// The body of `PATCH /torrents/INFO_HASH`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    price: Given<Tokens>,
}

/// The body of `POST /torrents` in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    magnet: Option<String>,
    path: Option<PathBuf>,
    data: Option<PathBuf>,
    price: Option<Given<Tokens>>,
    max_price: Option<Given<Tokens>>,
    fetch: Option<bool>,
}

async fn addition(headers: &HeaderMap, query: &str, body: Incoming) -> Result<Ask, Reply> {
    let (named, wanted) = match kind(headers) {
        "application/json" => {
            no_query(query)?;
            let addition: Addition = in_json(&read(body, MAX_JSON_LEN).await?)?;
            let wanted = Wanted {
                data: addition.data,
                price: addition.price.map(|price| price.0.0),
                max_price: addition.max_price.map(|price| price.0.0),
                fetch: addition.fetch.unwrap_or(true),
            };
            let named = match (addition.magnet, addition.path) {
                (Some(link), None) => torrent::link(&link),
                (None, Some(path)) => {
                    let file = spawn_blocking(move || torrent_file(&path)).await;
                    file.map_err(|e| CliError::Failed(e.to_string()))
                        .and_then(|read| read)
                }
                _ => return Err(bad("give `magnet`, or `path` of a .torrent file")),
            };
            (named, wanted)
        }
        "application/x-bittorrent" => {
            let wanted = in_query(query)?;
            let most = usize::try_from(MAX_TORRENT_LEN).unwrap_or(usize::MAX);
            let bytes = read(body, most).await?;
            let named = spawn_blocking(move || torrent::of_bytes(&bytes, "the body")).await;
            (
                named
                    .map_err(|e| CliError::Failed(e.to_string()))
                    .and_then(|read| read),
                wanted,
            )
        }
        _ => {
            return Err(wrong_kind(
                "application/json, or application/x-bittorrent with the bytes of a .torrent file",
            ));
        }
    };
    if wanted
        .data
        .as_ref()
        .is_some_and(|folder| !folder.is_absolute())
    {
        return Err(bad("`data` is a path from the root"));
    }
    let named = named.map_err(|e| Reply::of_error(&e))?;
    Ok(Ask::Add(Box::new(named), wanted))
}

/// A .torrent file on the daemon's machine.
fn torrent_file(path: &std::path::Path) -> Result<Named, CliError> {
    let shown = path.display().to_string();
    let cannot =
        |e: &dyn std::fmt::Display| CliError::Invalid(format!("{shown} cannot be read: {e}"));
    if !path.is_absolute() {
        return Err(cannot(&"`path` is a path from the root"));
    }
    // A pipe would be waited for.
    let metadata = std::fs::metadata(path).map_err(|e| cannot(&e))?;
    if !metadata.is_file() {
        return Err(cannot(&"it is not a plain file"));
    }
    let bytes = torrent::read_file(path).map_err(|e| cannot(&e))?;
    torrent::of_bytes(&bytes, &shown)
}

fn in_query(query: &str) -> Result<Wanted, Reply> {
    let mut wanted = Wanted {
        fetch: true,
        ..Wanted::default()
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*name, &*value) {
            ("data", folder) => wanted.data = Some(PathBuf::from(folder)),
            ("price", price) => wanted.price = Some(price.to_owned()),
            ("max_price", price) => wanted.max_price = Some(price.to_owned()),
            ("fetch", "true") => wanted.fetch = true,
            ("fetch", "false") => wanted.fetch = false,
            _ => {
                return Err(bad(
                    "the parameters are data, price, max_price, and fetch, which is true or false",
                ));
            }
        }
    }
    Ok(wanted)
}

/// The kind of the body, without its parameters.
fn kind(headers: &HeaderMap) -> &str {
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = given.and_then(|given| given.split(';').next());
    kind.unwrap_or_default().trim()
}

fn wrong_kind(right: &str) -> Reply {
    Reply::error(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("send a body of Content-Type {right}"),
    )
}

async fn read(body: Incoming, most: usize) -> Result<Bytes, Reply> {
    let too_long = || {
        Reply::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body may have {most} bytes"),
        )
    };
    // What says that it is too long is not waited for.
    if body.size_hint().lower() > most as u64 {
        return Err(too_long());
    }
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(too_long()),
        Err(e) => Err(bad(format!("the body broke off: {e}"))),
    }
}

fn in_json<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Reply> {
    serde_json::from_slice(body).map_err(|e| bad(format!("the body is not as it should be: {e}")))
}
