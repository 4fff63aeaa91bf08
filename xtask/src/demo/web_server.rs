//! The demo's web server: files of the page under the strict headers a site should send.
//!
//! Loopback only, GET and HEAD only, one thread per connection up to a bound. The headers go out with every answer,
//! because a worker and a service worker take their policy from their own script's answer and not from the page's.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::failure::Failure;

/// More connections at once are closed unanswered; a browser opens six.
const CONNECTIONS: usize = 64;
const REQUEST_HEAD_BYTES: u64 = 16 * 1024;
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// The content of the server.
pub struct Site {
    /// (prefix of the path, folder), longest prefix first. `/` is the page.
    pub folders: Vec<(&'static str, PathBuf)>,
    /// (exact path, content type, body): made for this run.
    pub documents: Vec<(&'static str, &'static str, Vec<u8>)>,
    /// The addresses that the page may connect to besides its own: trackers and the chain, as CSP sources.
    pub connect_to: Vec<String>,
}

/// Starts serving on 127.0.0.1, on `port` or any free one, until we end.
pub fn serve(port: u16, site: impl FnOnce(SocketAddr) -> Site) -> Result<SocketAddr, Failure> {
    let failed = |source| Failure::Io {
        what: format!("cannot listen on 127.0.0.1:{port}"),
        source,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let site = Arc::new(site(address));
    let open = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (site, open) = (Arc::clone(&site), Arc::clone(&open));
            thread::spawn(move || {
                // A browser that hangs up has changed its mind.
                let _ = answer(&stream, &site);
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    Ok(address)
}

/// The content security policy of a page that uses Piecework, with the addresses that this site connects to.
pub fn content_security_policy(connect_to: &[String]) -> String {
    let connect = std::iter::once("'self'")
        .chain(connect_to.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(" ");
    [
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self'",
        &format!("connect-src {connect}"),
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types piecework",
    ]
    .join("; ")
}

struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
}

fn answer(mut stream: &TcpStream, site: &Site) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IDLE_LIMIT))?;
    stream.set_write_timeout(Some(IDLE_LIMIT))?;
    let mut head = BufReader::new(stream.take(REQUEST_HEAD_BYTES));
    let mut first = String::new();
    head.read_line(&mut first)?;
    // The rest of the head does not matter here, but must be read before the connection is closed.
    let mut line = String::new();
    while head.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut words = first.split_whitespace();
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let found = match method {
        "GET" | "HEAD" => find(site, path),
        _ => Answer {
            status: "405 Method Not Allowed",
            content_type: "text/plain",
            body: Vec::new(),
        },
    };
    let policy = content_security_policy(&site.connect_to);
    let head = format!(
        "HTTP/1.1 {}\r\ncontent-type: {}\r\ncontent-length: {}\r\n\
         content-security-policy: {policy}\r\nx-content-type-options: nosniff\r\n\
         referrer-policy: no-referrer\r\nservice-worker-allowed: /\r\n\
         cache-control: no-cache\r\nconnection: close\r\n\r\n",
        found.status,
        found.content_type,
        found.body.len(),
    );
    stream.write_all(head.as_bytes())?;
    if method == "GET" {
        stream.write_all(&found.body)?;
    }
    Ok(())
}

fn find(site: &Site, path: &str) -> Answer {
    if let Some((_, content_type, body)) = site.documents.iter().find(|(at, _, _)| *at == path) {
        return Answer {
            status: "200 OK",
            content_type,
            body: body.clone(),
        };
    }
    let not_found = Answer {
        status: "404 Not Found",
        content_type: "text/plain",
        body: b"not found".to_vec(),
    };
    let Some(path) = decoded(path) else {
        return not_found;
    };
    let mount = site
        .folders
        .iter()
        .find_map(|(prefix, folder)| path.strip_prefix(prefix).map(|inside| (folder, inside)));
    let Some((folder, inside)) = mount else {
        return not_found;
    };
    if inside.split('/').any(|part| part.starts_with('.')) || inside.contains(['\\', '\0']) {
        return not_found;
    }
    let mut file = folder.join(inside.trim_start_matches('/'));
    if file.is_dir() {
        file.push("index.html");
    }
    match fs::read(&file) {
        Ok(body) => Answer {
            status: "200 OK",
            content_type: content_type(&file),
            body,
        },
        Err(_) => not_found,
    }
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("mp4") => "video/mp4",
        Some("torrent") => "application/x-bittorrent",
        _ => "application/octet-stream",
    }
}

/// Percent-decoded; `None` when it is no UTF-8 or an escape is broken.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = path.bytes();
    let mut out = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn site(name: &str) -> SocketAddr {
        let folder =
            std::env::temp_dir().join(format!("piecework-site-{}-{name}", std::process::id()));
        fs::create_dir_all(folder.join("page")).unwrap();
        fs::write(folder.join("page/index.html"), "<p>page").unwrap();
        fs::write(folder.join("page/engine.wasm"), "\0asm").unwrap();
        fs::write(folder.join("secret"), "secret").unwrap();
        serve(0, |_| Site {
            folders: vec![("/", folder.join("page"))],
            documents: vec![("/demo.json", "application/json", b"{}".to_vec())],
            connect_to: vec!["ws://127.0.0.1:1".to_owned()],
        })
        .unwrap()
    }

    #[test]
    fn every_answer_carries_the_policy_and_its_type() {
        let address = site("policy");
        for (path, kind, body) in [
            ("/", "text/html", "<p>page"),
            ("/engine.wasm", "application/wasm", "\0asm"),
            ("/demo.json", "application/json", "{}"),
        ] {
            let text = get(
                address,
                &format!("GET {path}?x=1 HTTP/1.1\r\nhost: x\r\n\r\n"),
            );
            assert!(
                text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with(body),
                "{text}"
            );
            assert!(text.contains(&format!("content-type: {kind}")), "{text}");
            assert!(
                text.contains("require-trusted-types-for 'script'; trusted-types piecework"),
                "{text}"
            );
            assert!(
                text.contains("connect-src 'self' ws://127.0.0.1:1;"),
                "{text}"
            );
        }
    }

    #[test]
    fn nothing_outside_the_folder_is_served() {
        let address = site("outside");
        for path in [
            "/../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            "/nothing",
            "/%zz",
            "//etc/passwd",
        ] {
            let text = get(address, &format!("GET {path} HTTP/1.1\r\n\r\n"));
            assert!(text.starts_with("HTTP/1.1 404"), "{path}: {text}");
        }
        assert!(get(address, "POST / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
        assert!(!get(address, "HEAD / HTTP/1.1\r\n\r\n").contains("<p>page"));
    }
}
