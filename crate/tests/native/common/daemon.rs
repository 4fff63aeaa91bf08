//! A running `serve`, and requests to it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Film, Program, Tracker};

/// The program with a configuration, in a folder of its own, and what it said of its interface.
pub struct Daemon {
    pub program: Program,
    dir: PathBuf,
    pub url: String,
    pub token_file: String,
    said: RefCell<BTreeSet<Said>>,
}

/// An event, and the torrent that it was about.
type Said = (String, String);

/// What came back over HTTP.
pub struct Answer {
    pub status: u16,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

/// The beginning of a configuration: no STUN server, and any free port for commands.
pub fn config(tracker: &str, rest: &str) -> String {
    format!(
        "data = \"data\"\n[network]\ntrackers = [{tracker:?}]\nice_servers = []\n\
         [http]\nlisten = \"127.0.0.1:0\"\n{rest}"
    )
}

/// Runs a test beside a tracker, whose URL it gets.
pub async fn with_tracker(test: impl FnOnce(String) + Send + 'static) {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    tokio::task::spawn_blocking(move || test(url))
        .await
        .unwrap();
    tracker.handle.shutdown().await;
}

/// The .torrent file of a film.
pub fn torrent_of(film: &Film) -> Vec<u8> {
    fs::read(film.dir.path().join("film.torrent")).unwrap()
}

impl Daemon {
    pub fn start(dir: &Path, config: &str) -> Daemon {
        fs::write(dir.join("serve.toml"), config).unwrap();
        Daemon::start_again(dir)
    }

    /// With the configuration that is there.
    pub fn start_again(dir: &Path) -> Daemon {
        let serve = ["serve", "serve.toml", "--json", "--stats", "1"];
        let mut program = Program::start_in(dir, &serve);
        let said = RefCell::default();
        let listening = program.until(|line| {
            remember(&said, line);
            line["event"] == "listening"
        });
        Daemon {
            program,
            dir: dir.to_owned(),
            url: listening["url"].as_str().unwrap().to_owned(),
            token_file: listening["token_file"].as_str().unwrap().to_owned(),
            said,
        }
    }

    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let said = &self.said;
        self.program.until(|line| {
            remember(said, line);
            wanted(line)
        })
    }

    /// Waits until it seeds all of these.
    pub fn seeds(&mut self, hashes: &[&str]) {
        self.says("seeding", hashes);
    }

    /// Waits until it said so of all of these, now or before.
    pub fn says(&mut self, event: &str, hashes: &[&str]) {
        let was_said = |said: &RefCell<BTreeSet<Said>>| {
            let of = |hash: &&str| (event.to_owned(), (*hash).to_owned());
            hashes.iter().all(|hash| said.borrow().contains(&of(hash)))
        };
        if !was_said(&self.said) {
            let said = &self.said;
            self.program.until(|line| {
                remember(said, line);
                was_said(said)
            });
        }
    }

    pub fn token(&self) -> String {
        fs::read_to_string(&self.token_file)
            .unwrap()
            .trim()
            .to_owned()
    }

    /// A request as a script makes it; `body` with its kind.
    pub fn request(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Answer {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n",
            self.token()
        );
        if let Some((kind, body)) = body {
            request += &format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len());
        }
        let body = body.map_or(&[][..], |(_, body)| body);
        self.send(&[request.as_bytes(), b"\r\n", body].concat())
    }

    /// These bytes, and what comes back.
    pub fn send(&self, bytes: &[u8]) -> Answer {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        // It may have answered, and have closed the connection, before it read all.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Answer {
            status: status.unwrap_or_default(),
            text: text.to_owned(),
        }
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = self.request("GET", path, None);
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    pub fn post_json(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        self.request(method, path, Some(("application/json", body.as_bytes())))
    }

    /// The torrents that it has, by hash.
    pub fn torrents(&self) -> BTreeSet<String> {
        let all = self.get("/torrents");
        let all = all["torrents"].as_array().unwrap().iter();
        all.map(|torrent| torrent["info_hash"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Ends it in order, and starts it again.
    #[cfg(unix)]
    pub fn restart(mut self) -> Daemon {
        self.program.signal("-TERM");
        self.until(|line| line["event"] == "summary");
        assert_eq!(self.program.exit_code(), Some(0));
        Daemon::start_again(&self.dir)
    }

    /// As a loss of power does to a process, and starts it again.
    pub fn killed(mut self) -> Daemon {
        self.program.child.kill().unwrap();
        self.program.child.wait().unwrap();
        Daemon::start_again(&self.dir)
    }
}

fn remember(said: &RefCell<BTreeSet<Said>>, line: &Value) {
    if let (Some(event), Some(info_hash)) = (line["event"].as_str(), line["info_hash"].as_str()) {
        let about = (event.to_owned(), info_hash.to_owned());
        said.borrow_mut().insert(about);
    }
}
