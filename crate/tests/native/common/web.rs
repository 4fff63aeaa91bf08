//! A web server with the files of a folder, which answers as a test says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// How it answers.
#[derive(Clone)]
pub enum Serves {
    /// As it should.
    Right,
    /// The same, with every byte of the bodies wrong.
    Wrong,
    /// 200 and the whole file.
    WholeFiles,
    /// 206 with this header instead of the right one.
    Range(&'static str),
    /// 206 with this header besides.
    Header(&'static str),
    /// This status line and header.
    Status(&'static str),
    /// It closes the connection in the middle of the body.
    BreaksOff,
    /// It promises the body, and sends a byte a second.
    Drips,
    /// 302 to this URL and the path behind it.
    To(String),
}

/// One server, until the test ends.
pub struct WebServer {
    pub url: String,
    /// Requests by path, each with its headers.
    asked: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl WebServer {
    pub fn start(folder: &Path, serves: Serves) -> WebServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(BTreeMap::new()));
        let (folder, log) = (folder.to_owned(), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, serves, log) = (folder.clone(), serves.clone(), Arc::clone(&log));
                std::thread::spawn(move || converse(stream, &folder, &serves, &log));
            }
        });
        WebServer { url, asked }
    }

    /// How often it was asked for each path.
    pub fn asked(&self) -> BTreeMap<String, usize> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .map(|(path, all)| (path.clone(), all.len()))
            .collect()
    }

    /// All requests, with their headers.
    pub fn requests(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap()
            .values()
            .flatten()
            .cloned()
            .collect()
    }
}

/// Several requests on one connection.
fn converse(
    mut stream: TcpStream,
    folder: &Path,
    serves: &Serves,
    log: &Mutex<BTreeMap<String, Vec<String>>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut request = String::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            request.push_str(&line);
        }
        let path = request.split(' ').nth(1).unwrap().to_owned();
        log.lock()
            .unwrap()
            .entry(path.clone())
            .or_default()
            .push(request.clone());
        if answer(&mut stream, folder, serves, &path, &request).is_none() {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// `None`: the connection is over.
fn answer(
    stream: &mut TcpStream,
    folder: &Path,
    serves: &Serves,
    path: &str,
    request: &str,
) -> Option<()> {
    let empty = |stream: &mut TcpStream, head: &str| {
        write!(stream, "HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n").ok()
    };
    match serves {
        Serves::Status(head) => return empty(stream, head),
        Serves::To(url) => return empty(stream, &format!("302 Found\r\nlocation: {url}{path}")),
        _ => {}
    }
    let Ok(bytes) = std::fs::read(file_at(folder, path)) else {
        return empty(stream, "404 Not Found");
    };
    let range = request.to_ascii_lowercase();
    let range = range.split("range: bytes=").nth(1)?.split("\r\n").next()?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    let mut body = match serves {
        Serves::WholeFiles => bytes.clone(),
        _ => bytes[first..=last].to_vec(),
    };
    if matches!(serves, Serves::Wrong) {
        body.iter_mut().for_each(|byte| *byte ^= 1);
    }
    let said = match serves {
        Serves::Range(range) => (*range).to_owned(),
        _ => format!("bytes {first}-{last}/{}", bytes.len()),
    };
    let head = match serves {
        Serves::WholeFiles => "200 OK".to_owned(),
        Serves::Header(header) => format!("206 Partial\r\ncontent-range: {said}\r\n{header}"),
        _ => format!("206 Partial\r\ncontent-range: {said}"),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n"
    )
    .ok()?;
    match serves {
        Serves::BreaksOff => {
            stream.write_all(&body[..length / 2]).ok()?;
            None
        }
        Serves::Drips => {
            // The client closes the connection when it has had enough.
            for byte in body.chunks(1) {
                stream.write_all(byte).ok()?;
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
            None
        }
        _ => stream.write_all(&body).ok(),
    }
}

/// The file that a percent-encoded path names.
fn file_at(folder: &Path, path: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let digit = |b: Option<u8>| char::from(b.unwrap()).to_digit(16).unwrap() as u8;
        bytes.push(match byte {
            b'%' => digit(rest.next()) << 4 | digit(rest.next()),
            byte => byte,
        });
    }
    folder.join(String::from_utf8(bytes).unwrap().trim_start_matches('/'))
}
