//! Streams come and go without end.

use piecework::client::{
    AddOptions, Client, Command, Config, Event, Input, Output, Source, StreamError,
};
use piecework::time::Timestamp;
use piecework::types::StreamId;

#[test]
fn streams_that_ended_make_room_for_others() {
    let now = Timestamp::from_millis(1_000_000);
    let mut client = Client::new(Config::default(), [7; 32], [], now);
    let link = format!("magnet:?xt=urn:btih:{}", "ab".repeat(20));
    let command = Command::Add {
        tag: 1,
        source: Source::Magnet(link),
        options: AddOptions::default(),
    };
    client.handle_input(now, Input::Command(command));
    let mut info_hash = None;
    loop {
        match client.poll_output() {
            Output::Event(Event::Added { result, .. }) => info_hash = Some(result.unwrap()),
            Output::Timeout(_) => break,
            _ => {}
        }
    }
    // No metadata, so every one ends at once, and its reader says nothing more of it.
    for number in 0..1_000 {
        let command = Command::OpenStream {
            stream: StreamId(number),
            info_hash: info_hash.unwrap(),
            file: 0,
            offset: 0,
            length: 1,
            plays: true,
        };
        client.handle_input(now, Input::Command(command));
        let mut failed = None;
        loop {
            match client.poll_output() {
                Output::StreamFailed { error, .. } => failed = Some(error),
                Output::Timeout(_) => break,
                _ => {}
            }
        }
        assert_eq!(failed, Some(StreamError::NotFound), "stream {number}");
    }
}
