//! What a client makes of the trackers that it is given, and of torrents that only a tracker can find.

use piecework::client::{
    AddError, AddOptions, Client, Command, Config, Event, Input, Output, Source,
};
use piecework::time::Timestamp;
use piecework::types::InfoHash;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const HASH: InfoHash = InfoHash([0xab; 20]);

struct Rig {
    client: Client,
    outputs: Vec<Output>,
}

impl Rig {
    fn new(trackers: &[&str]) -> Self {
        let config = Config {
            trackers: owned(trackers),
            ..Config::default()
        };
        let mut rig = Rig {
            client: Client::new(config, [7; 32], [], NOW),
            outputs: Vec::new(),
        };
        rig.drain();
        rig
    }

    fn input(&mut self, input: Input) {
        self.client.handle_input(NOW, input);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.client.poll_output() {
                Output::Timeout(_) => break,
                output => self.outputs.push(output),
            }
        }
    }

    fn add(&mut self, source: Source, trackers: &[&str]) -> Result<InfoHash, AddError> {
        let options = AddOptions {
            trackers: owned(trackers),
            ..AddOptions::default()
        };
        let tag = 1;
        self.input(Input::Command(Command::Add {
            tag,
            source,
            options,
        }));
        let added = self.outputs.iter().rev().find_map(|output| match output {
            Output::Event(Event::Added { result, .. }) => Some(result.clone()),
            _ => None,
        });
        added.unwrap()
    }

    fn warnings(&self) -> Vec<&str> {
        let texts = self.outputs.iter().filter_map(|output| match output {
            Output::Event(Event::Warning { text, .. }) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    fn connected_to(&self) -> Vec<&str> {
        let urls = self.outputs.iter().filter_map(|output| match output {
            Output::ConnectTracker { url, .. } => Some(url.as_str()),
            _ => None,
        });
        urls.collect()
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn magnet(rest: &str) -> Source {
    Source::Magnet(format!("magnet:?xt=urn:btih:{HASH}{rest}"))
}

#[test]
fn spellings_of_one_tracker_are_connected_to_once() {
    let mut rig = Rig::new(&[" WSS://T.example/"]);
    let link = magnet("&tr=wss://t.example&tr=WSS://T.Example:443/&tr=ws://u.example/x");
    rig.add(link, &["wss://t.example/"]).unwrap();
    assert_eq!(rig.connected_to(), ["wss://t.example", "ws://u.example/x"]);
    assert_eq!(rig.warnings(), [""; 0]);
}

#[test]
fn what_cannot_be_used_of_the_trackers_given_is_said_where_it_is_given() {
    let mut rig = Rig::new(&["ws://u:p@h", "udp://t.example:80"]);
    assert_eq!(rig.warnings().len(), 2);
    assert!(rig.warnings()[0].starts_with("the tracker ws://u:p@h is not used: it holds a user"));
    rig.outputs.clear();
    // UDP trackers stand in most links, and are no news there.
    let link = magnet("&tr=udp://t.example:80&tr=ws://a%20b&tr=wss://t.example");
    rig.add(link, &["http://t.example", "wss://трекер.example"])
        .unwrap();
    assert_eq!(rig.connected_to(), ["wss://t.example"]);
    let named = ["http://t.example", "wss://трекер.example", "ws://a b"];
    let warnings = rig.warnings();
    assert_eq!(warnings.len(), named.len(), "{warnings:?}");
    for (warning, url) in warnings.iter().zip(named) {
        assert!(
            warning.starts_with(&format!("the tracker {url} is not used: ")),
            "{warning}"
        );
    }
}

#[test]
fn a_bare_info_hash_is_enough_with_a_tracker() {
    let bare = || Source::Magnet(format!(" {HASH}\n"));
    for (configured, given) in [
        (&["ws://t.example"][..], &[][..]),
        (&[], &["ws://t.example"]),
    ] {
        for source in [bare(), Source::Stored(HASH)] {
            let mut rig = Rig::new(configured);
            assert_eq!(rig.add(source, given), Ok(HASH));
            assert_eq!(rig.connected_to(), ["ws://t.example"]);
        }
    }
    let mut rig = Rig::new(&[]);
    for source in [bare(), Source::Stored(HASH)] {
        assert_eq!(rig.add(source, &[]), Err(AddError::NotStored(HASH)));
    }
    let url = Source::Magnet("https://t.example/a.torrent".to_owned());
    let refused = rig.add(url, &["ws://t.example"]).unwrap_err().to_string();
    assert!(
        refused.contains("download the .torrent file first"),
        "{refused}"
    );
}

#[test]
fn a_torrent_that_a_tracker_refuses_is_said_once() {
    let mut rig = Rig::new(&["ws://t.example"]);
    rig.add(magnet(""), &[]).unwrap();
    let tracker = rig.outputs.iter().find_map(|output| match output {
        Output::ConnectTracker { tracker, .. } => Some(*tracker),
        _ => None,
    });
    let tracker = tracker.unwrap();
    rig.input(Input::TrackerConnected { tracker });
    let hash = "\\u00ab".repeat(20);
    let text = format!(
        r#"{{"action":"announce","info_hash":"{hash}","failure reason":"at most 256 torrents"}}"#
    );
    for _ in 0..5 {
        let text = text.clone().into();
        rig.input(Input::TrackerMessage { tracker, text });
    }
    let expected = "the tracker ws://t.example refuses it: at most 256 torrents";
    assert_eq!(rig.warnings(), [expected]);
}
