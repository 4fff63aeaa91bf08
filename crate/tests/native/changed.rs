//! Data that somebody changes while nothing runs: the next start notices, serves no wrong byte, says what is wrong, and
//! writes over nothing.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use crate::common::{Film, Tracker, content, untouched};

const PIECE: usize = 16 * 1024;
const LENGTH: usize = 40 * PIECE;

fn one_byte(path: &Path) -> usize {
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(7 * PIECE as u64)).unwrap();
    // Its first bytes are never zero and one.
    file.write_all(&[0, 1]).unwrap();
    LENGTH - PIECE
}

/// As programs do that write tags into a file.
fn one_byte_at_the_old_time(path: &Path) -> usize {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    let right = one_byte(path);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
    right
}

/// Another file of the same length and time.
fn replaced(path: &Path) -> usize {
    let other = path.with_extension("new");
    fs::write(&other, vec![7; LENGTH]).unwrap();
    let time = fs::metadata(path).unwrap().modified().unwrap();
    let file = fs::File::options().write(true).open(&other).unwrap();
    file.set_modified(time).unwrap();
    fs::rename(other, path).unwrap();
    0
}

fn grown_in_front(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    fs::write(path, [b"x", &bytes[..]].concat()).unwrap();
    0
}

fn blocking<T: Send + 'static>(work: impl FnOnce(String) -> T + Send + 'static) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let tracker = Tracker::start().await;
        let url = tracker.url();
        tokio::task::spawn_blocking(move || work(url))
            .await
            .unwrap();
        tracker.handle.shutdown().await;
    });
}

#[test]
fn a_seeder_says_at_once_what_was_changed_while_it_was_off_and_serves_it_again_when_it_is_right() {
    blocking(|tracker| {
        let changes = [one_byte, one_byte_at_the_old_time, replaced, grown_in_front];
        for (number, change) in changes.into_iter().enumerate() {
            let bytes = content(LENGTH + number)[number..].to_vec();
            let film = Film::named("film.mp4", bytes, &tracker);
            drop(film.seeded());
            let right = change(&film.path());
            // Also when the one before was killed while it looked.
            for _ in 0..2 {
                let mut seeder = film.seeding_from(film.dir.path(), &[]);
                let said = seeder.until(|line| {
                    assert_ne!(line["event"], "seeding", "{line}");
                    line["event"] == "incomplete"
                });
                assert_eq!(said["verified_bytes"], right, "{said}");
                assert!(said.to_string().contains("film.mp4"), "{said}");
            }
            fs::write(film.path(), &film.bytes).unwrap();
            drop(film.seeded());
            drop(film.seeded());
        }
    });
}

#[test]
fn what_get_wrote_and_somebody_edited_is_not_called_whole_nor_written_over_unasked() {
    blocking(|tracker| {
        let film = Film::named("film.mp4", content(LENGTH), &tracker);
        let _seeder = film.seeded();
        for change in [one_byte, replaced, one_byte_at_the_old_time] {
            let into = tempfile::tempdir().unwrap();
            film.get(into.path(), &[]).assert_done();
            let path = into.path().join("film.mp4");
            change(&path);
            let before = untouched(&path);
            for _ in 0..2 {
                let refused = film.get(into.path(), &[]);
                refused.assert_refused(2, &["film.mp4", "wrong", "--repair"]);
                before.assert_same();
            }
            film.get(into.path(), &["--repair"]).assert_done();
            assert_eq!(fs::read(&path).unwrap(), film.bytes);
            film.get(into.path(), &[]).assert_done();
        }
    });
}

#[test]
fn a_file_that_was_only_touched_is_still_whole() {
    blocking(|tracker| {
        let film = Film::named("film.mp4", content(LENGTH), &tracker);
        let seeder = film.seeded();
        let into = tempfile::tempdir().unwrap();
        film.get(into.path(), &[]).assert_done();
        drop(seeder);
        let path = into.path().join("film.mp4");
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        let before = untouched(&path);
        for _ in 0..2 {
            film.get(into.path(), &[]).assert_done();
            before.assert_same();
        }
    });
}

/// Its file looks otherwise than at any quiet moment: that is nobody's edit.
#[test]
fn a_get_that_was_killed_goes_on_in_its_own_file() {
    blocking(|tracker| {
        let film = Film::named("film.mp4", content(LENGTH), &tracker);
        let _seeder = film.seeding_from(film.dir.path(), &["--upload-limit", "100K"]);
        let into = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let mut getter = film.getting(into.path(), &[]);
            getter.until(|line| {
                line["event"] == "progress" && line["torrents"][0]["verified_bytes"] != 0
            });
        }
        film.get(into.path(), &[]).assert_done();
        assert_eq!(fs::read(into.path().join("film.mp4")).unwrap(), film.bytes);
    });
}
