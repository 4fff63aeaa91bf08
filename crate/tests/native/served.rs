//! Data that is cut, changed, removed or replaced while it is served: nobody gets a wrong byte, and the seeder says it.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use crate::common::{Film, Program, Tracker, content, create, untouched};
use serde_json::Value;

const PIECE: usize = 16 * 1024;
const LENGTH: usize = 40 * PIECE;

/// Does something to a film's file; how many bytes are right afterwards, in whole pieces.
type Damage = fn(&Path) -> usize;

fn cut_short(path: &Path) -> usize {
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(10 * PIECE as u64 + 5)
        .unwrap();
    10 * PIECE
}

fn grown_in_front(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    fs::write(path, [b"x", &bytes[..]].concat()).unwrap();
    0
}

fn one_byte_changed(path: &Path) -> usize {
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(7 * PIECE as u64)).unwrap();
    // Its first bytes are never zero and one.
    file.write_all(&[0, 1]).unwrap();
    LENGTH - PIECE
}

fn removed(path: &Path) -> usize {
    fs::remove_file(path).unwrap();
    0
}

fn moved_away(path: &Path) -> usize {
    fs::rename(path, path.with_extension("old")).unwrap();
    0
}

fn replaced(path: &Path) -> usize {
    let other = path.with_extension("new");
    fs::write(&other, vec![7; LENGTH]).unwrap();
    // Not even its time of change shows it.
    let time = fs::metadata(path).unwrap().modified().unwrap();
    fs::File::options()
        .write(true)
        .open(&other)
        .unwrap()
        .set_modified(time)
        .unwrap();
    fs::rename(other, path).unwrap();
    0
}

fn made_a_folder(path: &Path) -> usize {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    0
}

/// `number`: of the film, which is like no other.
fn serve_damaged(tracker: &str, number: usize, damage: Damage) {
    let bytes = content(LENGTH + number)[number..].to_vec();
    let film = Film::named("film.mp4", bytes, tracker);
    let into = tempfile::tempdir().unwrap();
    let mut seeder = film.seeded();
    let right = damage(&film.path());
    let mut getter = film.getting(into.path(), &[]);
    let lost = seeder.until(|line| line["event"] == "data_lost");
    assert_eq!(lost["info_hash"], film.info_hash, "{lost}");
    let said = seeder.until(|line| line["event"] == "incomplete" || line["event"] == "failed");
    if said["event"] == "failed" {
        let text = said["text"].as_str().unwrap();
        assert!(
            text.contains("film.mp4") && text.contains("move it away"),
            "{text}"
        );
    } else {
        assert_eq!(said["pieces_missing"], (LENGTH - right) / PIECE, "{said}");
        let remedy = said["remedy"].as_str().unwrap();
        assert!(
            remedy.contains("--data") && remedy.contains("--repair"),
            "{remedy}"
        );
    }
    // What is right still comes, and nothing else.
    let verified = |line: &Value| line["torrents"][0]["verified_bytes"] == right;
    getter.until(|line| line["event"] == "progress" && verified(line));
    drop(getter);
    let got = fs::read(into.path().join("film.mp4")).unwrap_or_default();
    let pieces = got.chunks(PIECE).zip(film.bytes.chunks(PIECE));
    let same = pieces.filter(|(got, whole)| got == whole).count();
    assert_eq!(same * PIECE, right);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_a_wrong_byte_of_data_that_changes_while_it_is_served() {
    let tracker = Tracker::start().await;
    let damages: [Damage; 7] = [
        cut_short,
        grown_in_front,
        one_byte_changed,
        removed,
        moved_away,
        replaced,
        made_a_folder,
    ];
    let mut running = Vec::new();
    for (number, damage) in damages.into_iter().enumerate() {
        let url = tracker.url();
        running.push(tokio::task::spawn_blocking(move || {
            serve_damaged(&url, number, damage)
        }));
    }
    for ran in running {
        ran.await.unwrap();
    }
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_that_is_named_twice_is_watched_as_any() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let film = Film::named("film.mp4", content(LENGTH), &url);
        let dir = film.dir.path();
        let into = tempfile::tempdir().unwrap();
        fs::write(dir.join("other.bin"), content(PIECE)).unwrap();
        create(dir, "other.bin", "other.torrent", &["--tracker", &url]);
        fs::copy(dir.join("film.torrent"), dir.join("copy.torrent")).unwrap();
        let torrents = ["film.torrent", "other.torrent", "copy.torrent"];
        let seed = [&["seed"], &torrents[..], &["--data", ".", "--json"]].concat();
        let mut seeder = Program::start_in(dir, &seed);
        for _ in 0..2 {
            seeder.until(|line| line["event"] == "seeding");
        }
        cut_short(&film.path());
        let _late = film.getting(into.path(), &[]);
        let lost = seeder.until(|line| line["event"] == "data_lost");
        assert_eq!(lost["info_hash"], film.info_hash);
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_and_then_changed_is_neither_served_nor_fetched_over() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let film = Film::named("film.mp4", content(LENGTH), &url);
        let seeder = film.seeded();
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut getter = film.getting(first.path(), &["--seed"]);
        getter.until(|line| line["event"] == "complete");
        drop(seeder);
        let path = first.path().join("film.mp4");
        let right = cut_short(&path);
        let before = untouched(&path);
        let mut late = film.getting(second.path(), &[]);
        getter.until(|line| line["event"] == "data_lost");
        let said = getter.until(|line| line["event"] == "incomplete");
        assert_eq!(said["verified_bytes"], right, "{said}");
        late.until(|line| line["torrents"][0]["verified_bytes"] == right);
        before.assert_same();
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seeder_told_to_repair_fetches_again_what_is_lost_later() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let film = Film::named("film.mp4", content(LENGTH), &url);
        let original = film.seeded();
        let (copy, third) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut repairing = film.seeding_from(copy.path(), &["--repair"]);
        repairing.until(|line| line["event"] == "seeding");
        drop(original);
        let path = copy.path().join("film.mp4");
        cut_short(&path);
        // Somebody must ask for it: then it shows.
        let _late = film.getting(third.path(), &[]);
        repairing.until(|line| line["event"] == "data_lost");
        let _original = film.seeded();
        repairing.until(|line| {
            assert_ne!(line["event"], "incomplete", "{line}");
            line["event"] == "seeding"
        });
        assert_eq!(fs::read(path).unwrap(), film.bytes);
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}
