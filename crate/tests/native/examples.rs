//! The examples of crate/examples, run as a newcomer runs them.

use std::env::consts::EXE_SUFFIX;
use std::path::Path;
use std::process::Command;

use crate::common::{Ended, Program, Tracker, content, piecework};

/// Cargo names no example's path. They lie beside the folder of this program.
fn example(name: &str) -> Command {
    let own = std::env::current_exe().unwrap();
    let built = own.ancestors().nth(2).unwrap().join("examples");
    let path = built.join(format!("{name}{EXE_SUFFIX}"));
    assert!(
        path.exists(),
        "{} is missing: `cargo build -p piecework --examples` builds it, and so does a `cargo test` of everything",
        path.display()
    );
    Command::new(path)
}

fn output(command: &mut Command) -> Ended {
    Ended::of(&command.output().unwrap())
}

#[test]
fn two_peers_in_one_process_exchange_a_title() {
    let ended = output(&mut example("two_peers"));
    ended.assert_done();
    assert!(ended.said.contains("fetcher  Complete"), "{}", ended.said);
    let last = ended.said.lines().last().unwrap();
    assert_eq!(last, "the fetched bytes are the seeded ones, all 300000");
}

#[test]
fn the_short_seeder_without_a_tracker_says_how_it_is_called() {
    output(example("seed").arg("film.mp4")).assert_code(2, "Usage: seed FILE TRACKER");
}

#[test]
fn the_short_seeder_names_the_reason_why_it_does_not_seed() {
    let seed = |file: &Path| output(example("seed").arg(file).arg("ws://127.0.0.1:9"));
    let dir = tempfile::tempdir().unwrap();
    seed(&dir.path().join("missing.mp4")).assert_code(1, "error: ");
    seed(dir.path()).assert_code(1, "error: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_short_seeder_arrives_by_the_link_that_it_prints() {
    let tracker = Tracker::start().await;
    let bytes = content(200_000);
    let (home, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(home.path().join("film.mp4"), &bytes).unwrap();
    let mut seed = example("seed");
    let mut seeder = Program::start_by(seed.args(["film.mp4", &tracker.url()]), home.path());
    let link = seeder.line_with("magnet:");
    Ended::of(&piecework(away.path(), &["get", &link, "-o", "."])).assert_done();
    let fetched = std::fs::read(away.path().join("film.mp4")).unwrap();
    assert!(fetched == bytes, "other bytes arrived");
    #[cfg(unix)]
    {
        seeder.signal("-INT");
        assert_eq!(seeder.exit_code(), Some(0));
    }
}
