//! What a user chose of a title, as later runs know it.

use std::collections::BTreeMap;

use bytes::Bytes;
use piecework::client::{AddOptions, Client, Command, Config, Effect, Input, Output, Source};
use piecework::time::Timestamp;
use piecework::types::InfoHash;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const HASH: InfoHash = InfoHash([0x61; 20]);

/// A store, and the run of a client over it.
struct Run {
    store: BTreeMap<String, Bytes>,
    client: Client,
}

impl Run {
    /// A run in which the title was taken up on demand.
    fn start(store: BTreeMap<String, Bytes>) -> Run {
        let config = Config {
            trackers: vec!["wss://tracker.example/".to_owned()],
            ..Config::default()
        };
        let client = Client::new(config, [7; 32], store.clone(), NOW);
        let mut run = Run { store, client };
        run.command(Command::Add {
            tag: 1,
            source: Source::Magnet(format!("magnet:?xt=urn:btih:{HASH}")),
            options: AddOptions {
                on_demand: true,
                ..AddOptions::default()
            },
        });
        run
    }

    fn command(&mut self, command: Command) {
        self.client.handle_input(NOW, Input::Command(command));
        loop {
            match self.client.poll_output() {
                Output::Timeout(_) => return,
                Output::Effect {
                    effect: Effect::PutRecords { records, .. },
                    ..
                } => {
                    for (key, value) in records {
                        match value {
                            Some(value) => self.store.insert(key, value),
                            None => self.store.remove(&key),
                        };
                    }
                }
                _ => {}
            }
        }
    }

    fn fetch(&mut self, whole: bool, remember: bool) {
        self.command(Command::SetOnDemand {
            info_hash: HASH,
            on_demand: !whole,
            remember,
        });
    }

    /// Whether it is fetched on demand, and whether it was kept.
    fn look(&self) -> (bool, bool) {
        let torrent = self.client.torrent(HASH).expect("a torrent");
        (torrent.on_demand, torrent.kept)
    }

    fn again(self) -> Run {
        Run::start(self.store)
    }
}

#[test]
fn a_title_that_was_kept_is_known_at_the_next_visit_and_not_fetched_because_of_it() {
    let mut run = Run::start(BTreeMap::new());
    assert_eq!(run.look(), (true, false));
    // An edge that fetches all of it for reasons of its own leaves no trace.
    run.fetch(true, false);
    assert_eq!(run.look(), (false, false));
    let mut run = run.again();
    assert_eq!(run.look(), (true, false));
    run.fetch(true, true);
    assert_eq!(run.look(), (false, true));
    let run = run.again();
    assert_eq!(run.look(), (true, true), "only the user begins it again");
    // What was chosen last counts, and it goes with the title.
    let mut run = run.again();
    run.fetch(false, true);
    assert_eq!(run.look(), (true, false));
    let mut run = run.again();
    assert_eq!(run.look(), (true, false));
    run.fetch(true, true);
    run.command(Command::Remove {
        info_hash: HASH,
        delete_data: true,
    });
    assert_eq!(run.again().look(), (true, false));
}
