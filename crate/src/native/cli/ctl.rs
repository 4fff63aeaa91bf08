//! `ctl`: commands to a running `serve`, over its HTTP interface.

use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::{Method, Request};

use super::output::{CliError, bytes, plain, say, sentence};
use super::payout::redeemed_line;
use super::serve::{endpoint, token::Token};
use super::serve_args::{CtlArgs, CtlVerb};
use super::torrent;
use crate::types::{FineUnits, InfoHash};

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Longest answer that is read, bytes: of 512 torrents with many peers.
const MAX_ANSWER_LEN: u64 = 64 << 20;

/// `piecework ctl`
pub(super) fn ctl(args: &CtlArgs) -> Result<(), CliError> {
    let daemon = Daemon::of(args)?;
    match &args.verb {
        CtlVerb::List => {
            let answer = daemon.ask(Method::GET, "/torrents", None)?;
            print(args, &answer, || list(&answer));
        }
        CtlVerb::Add {
            torrent,
            data,
            price,
            max_price,
            no_fetch,
        } => {
            let data = data.as_deref().map(whole).transpose()?;
            let prices = [("price", price), ("max_price", max_price)];
            let answer = daemon.add(torrent, data.as_deref(), prices, !no_fetch)?;
            print(args, &answer, || {
                vec![format!("added {}", text(&answer["info_hash"]))]
            });
        }
        CtlVerb::Remove {
            info_hash,
            delete_data,
        } => {
            let query = if *delete_data { "?data=delete" } else { "" };
            let path = format!("{}{query}", path_of(info_hash)?);
            let answer = daemon.ask(Method::DELETE, &path, None)?;
            print(args, &answer, || {
                let mut lines = vec![format!("removed {info_hash}")];
                lines.extend(
                    answer["kept_files"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .map(|kept| {
                            let (path, other) = (text(&kept["path"]), text(&kept["info_hash"]));
                            format!("{path} stays: {other} has it, too")
                        }),
                );
                lines
            });
        }
        CtlVerb::Price { info_hash, price } => {
            let body = Body::Json(json!({"price": price}));
            let answer = daemon.ask(Method::PATCH, &path_of(info_hash)?, Some(body))?;
            print(args, &answer, || {
                vec![format!(
                    "{info_hash} costs {} tokens per GB",
                    text(&answer["tokens_per_gb"])
                )]
            });
        }
        CtlVerb::Redeem => {
            let answer = daemon.ask(Method::POST, "/redeem", None)?;
            let batches = answer["batches"].as_array().map_or(&[][..], Vec::as_slice);
            print(args, &answer, || match batches {
                [] => vec!["nothing to redeem".to_owned()],
                batches => batches.iter().map(redeemed_line).collect(),
            });
            if batches.iter().any(|batch| batch["ok"] != json!(true)) {
                return Err(CliError::Failed("not everything was redeemed".to_owned()));
            }
        }
        CtlVerb::Stats => {
            let answer = daemon.ask(Method::GET, "/stats", None)?;
            print(args, &answer, || stats(&answer));
        }
    }
    Ok(())
}

fn print(args: &CtlArgs, answer: &Value, lines: impl FnOnce() -> Vec<String>) {
    if args.json {
        say(&answer.to_string());
    } else {
        lines().iter().for_each(|line| say(line));
    }
}

/// What a string says, for a terminal.
fn text(value: &Value) -> String {
    plain(value.as_str().unwrap_or("-"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn list(answer: &Value) -> Vec<String> {
    let torrents = answer["torrents"].as_array().map_or(&[][..], Vec::as_slice);
    let line = |torrent: &Value| {
        let connected = |peer: &&Value| peer["connected"] == json!(true);
        let peers = torrent["peers"]
            .as_array()
            .map_or(0, |peers| peers.iter().filter(connected).count());
        format!(
            "{}  {}  {} of {}  peers {peers}  {} tokens per GB  {}",
            text(&torrent["info_hash"]),
            text(&torrent["state"]),
            bytes(number(&torrent["verified_bytes"])),
            bytes(number(&torrent["total_length"])),
            text(&torrent["tokens_per_gb"]),
            text(&torrent["name"]),
        )
    };
    match torrents {
        [] => vec!["no torrents".to_owned()],
        torrents => torrents.iter().map(line).collect(),
    }
}

fn stats(answer: &Value) -> Vec<String> {
    let decimals = u8::try_from(number(&answer["decimals"])).unwrap_or_default();
    let tokens = |value: &Value| {
        let units = value
            .as_str()
            .and_then(|units| units.parse().ok())
            .unwrap_or_default();
        super::output::tokens(crate::types::TokenUnits(units), decimals)
    };
    let money = &answer["money"];
    let spent = (money["spent_fine"].as_str())
        .and_then(|fine| fine.parse().ok())
        .unwrap_or_default();
    let mut lines = vec![
        format!("torrents    {}", number(&answer["torrents"])),
        format!("up          {}/s", bytes(number(&answer["upload_rate"]))),
        format!("down        {}/s", bytes(number(&answer["download_rate"]))),
        format!("redeemable  {} tokens", tokens(&money["redeemable"])),
        format!("redeemed    {} tokens", tokens(&money["redeemed"])),
        format!(
            "spent       {} tokens",
            super::output::tokens(FineUnits(spent).floor(), decimals)
        ),
    ];
    for tracker in answer["trackers"].as_array().into_iter().flatten() {
        let state = match (&tracker["connected"], &tracker["error"]) {
            (_, Value::String(error)) => plain(error),
            (Value::Bool(true), _) => "connected".to_owned(),
            _ => "not connected".to_owned(),
        };
        lines.push(format!("tracker     {}: {state}", text(&tracker["url"])));
    }
    lines
}

fn whole(path: &Path) -> Result<PathBuf, CliError> {
    absolute(path).map_err(|e| CliError::Invalid(format!("{} is not a path: {e}", path.display())))
}

fn path_of(info_hash: &str) -> Result<String, CliError> {
    let known = InfoHash::from_hex(info_hash).ok_or_else(|| {
        CliError::Invalid(format!(
            "{info_hash:?} is not an info hash: copy one of `piecework ctl list`, 40 hexadecimal digits"
        ))
    })?;
    Ok(format!("/torrents/{known}"))
}

enum Body {
    Json(Value),
    Torrent(Vec<u8>),
}

/// A running `serve`.
struct Daemon {
    url: String,
    token: Token,
    agent: ureq::Agent,
}

impl Daemon {
    fn of(args: &CtlArgs) -> Result<Daemon, CliError> {
        let (url, token_file) = match (&args.config, &args.url, &args.token_file) {
            (Some(config), _, _) => {
                let http = endpoint(config)?;
                if http.listen.port() == 0 {
                    return Err(CliError::Invalid(format!(
                        "{} takes any free port: give the address that the daemon printed by --url, and --token-file",
                        config.display()
                    )));
                }
                let mut at = http.listen;
                if at.ip().is_unspecified() {
                    at.set_ip(match at.is_ipv4() {
                        true => std::net::Ipv4Addr::LOCALHOST.into(),
                        false => std::net::Ipv6Addr::LOCALHOST.into(),
                    });
                }
                (format!("http://{at}"), http.token_file)
            }
            (None, Some(url), Some(file)) => (url.trim_end_matches('/').to_owned(), file.clone()),
            _ => {
                return Err(CliError::Invalid(
                    "the address of the daemon is not known: give its --config, or --url and --token-file".to_owned(),
                ));
            }
        };
        let token = Token::load(&token_file)?;
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // Nobody else is to see the token.
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("piecework/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Daemon { url, token, agent })
    }

    fn add(
        &self,
        torrent: &str,
        data: Option<&Path>,
        prices: [(&str, &Option<String>); 2],
        fetch: bool,
    ) -> Result<Value, CliError> {
        let file = Path::new(torrent);
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut fields = json!({"fetch": fetch});
        query.append_pair("fetch", if fetch { "true" } else { "false" });
        let folder = data.map(|data| {
            data.to_str().ok_or_else(|| {
                CliError::Invalid(format!(
                    "{} is not text: choose another folder",
                    data.display()
                ))
            })
        });
        let folder = folder.transpose()?.map(str::to_owned);
        let given = prices.into_iter().chain([("data", &folder)]);
        for (name, value) in given.filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            query.append_pair(name, value);
            fields[name] = json!(value);
        }
        if !file.exists() {
            // The error is the same as that of `seed`.
            torrent::read(torrent)?;
            fields["magnet"] = json!(torrent);
            return self.ask(Method::POST, "/torrents", Some(Body::Json(fields)));
        }
        let bytes = torrent::read_file(file)
            .map_err(|e| CliError::Invalid(format!("{torrent} cannot be read: {e}")))?;
        torrent::of_bytes(&bytes, torrent)?;
        let path = format!("/torrents?{}", query.finish());
        self.ask(Method::POST, &path, Some(Body::Torrent(bytes)))
    }

    fn ask(&self, method: Method, path: &str, body: Option<Body>) -> Result<Value, CliError> {
        let url = format!("{}{path}", self.url);
        let failed = |e: &dyn std::fmt::Display| {
            CliError::Failed(format!("the daemon at {} does not answer: {e}", self.url))
        };
        let request = Request::builder()
            .method(method)
            .uri(&url)
            .header("authorization", self.token.header());
        let response = match body {
            None => request
                .body(())
                .map_err(|e| bad_url(&self.url, &e))
                .and_then(|request| self.agent.run(request).map_err(|e| failed(&e))),
            Some(body) => {
                let (kind, bytes) = match body {
                    Body::Json(value) => ("application/json", value.to_string().into_bytes()),
                    Body::Torrent(bytes) => ("application/x-bittorrent", bytes),
                };
                let request = request.header("content-type", kind).body(bytes);
                request
                    .map_err(|e| bad_url(&self.url, &e))
                    .and_then(|request| self.agent.run(request).map_err(|e| failed(&e)))
            }
        };
        let mut response = response?;
        let status = response.status();
        let body = (response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_LEN)
            .read_to_vec())
        .map_err(|e| failed(&e))?;
        let answer: Value = serde_json::from_slice(&body).map_err(|_| {
            failed(&format!(
                "HTTP {status}, and not as a daemon of piecework does"
            ))
        })?;
        if status.is_success() {
            return Ok(answer);
        }
        let error = sentence(answer["error"].as_str().unwrap_or("it does not say why"));
        let said = format!("the daemon refuses: {error}");
        match status.is_client_error() {
            true => Err(CliError::Invalid(said)),
            false => Err(CliError::Failed(said)),
        }
    }
}

fn bad_url(url: &str, error: &dyn std::fmt::Display) -> CliError {
    CliError::Invalid(format!(
        "--url {url:?} is not an address: {error}: write such as http://127.0.0.1:7070"
    ))
}
