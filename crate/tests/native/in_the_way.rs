//! Whatever lies where a torrent's files are to go stays as it is; the error names it and what to do.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::common::{Ended, Film, Program, Tracker, content, create, piecework, untouched};
use tempfile::TempDir;

/// Nobody listens there: what is refused is refused before anybody is asked for data.
const NO_TRACKER: &str = "ws://127.0.0.1:9";

/// A torrent of a folder `album` with `sub/a.bin` and `b.bin`.
fn album() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("album/sub")).unwrap();
    fs::write(dir.path().join("album/sub/a.bin"), content(40_000)).unwrap();
    fs::write(dir.path().join("album/b.bin"), content(30_000)).unwrap();
    let args = ["--piece-length", "16K", "--tracker", NO_TRACKER];
    create(dir.path(), "album", "album.torrent", &args);
    dir
}

fn get(dir: &Path, torrent: &str, into: &Path, args: &[&str]) -> Ended {
    let into = into.to_str().unwrap();
    let all = [&["get", torrent, "-o", into, "--json"], args].concat();
    Ended::of(&piecework(dir, &all))
}

/// Puts something into a folder; `outside` is another one, with `kept`.
type Plant = fn(into: &Path, outside: &Path);

#[test]
fn what_lies_where_files_or_folders_go_is_left_alone_and_named() {
    let made = album();
    let cases: &[(Plant, &[&str])] = &[
        // A folder where a file goes, full and empty.
        (
            |into, _| {
                fs::create_dir_all(into.join("album/b.bin")).unwrap();
                fs::write(into.join("album/b.bin/mine"), "mine").unwrap();
            },
            &["album/b.bin is not a plain file", "move it away"],
        ),
        (
            |into, _| fs::create_dir_all(into.join("album/sub/a.bin")).unwrap(),
            &["album/sub/a.bin is not a plain file", "move it away"],
        ),
        // A file where a folder goes.
        (
            |into, _| fs::write(into.join("album"), "mine").unwrap(),
            &["album is a file", "choose another folder"],
        ),
        (
            |into, _| {
                fs::create_dir(into.join("album")).unwrap();
                fs::write(into.join("album/sub"), "mine").unwrap();
            },
            &["album/sub is a file", "choose another folder"],
        ),
        // Links to a file, to a folder, and to nowhere, in a file's and in a folder's place.
        (
            |into, outside| {
                fs::create_dir(into.join("album")).unwrap();
                symlink(outside.join("kept"), into.join("album/b.bin")).unwrap();
            },
            &[
                "album/b.bin is a symbolic link",
                "put the file itself there",
            ],
        ),
        (
            |into, outside| symlink(outside, into.join("album")).unwrap(),
            &["album is a symbolic link", "put the file itself there"],
        ),
        (
            |into, outside| {
                fs::create_dir(into.join("album")).unwrap();
                symlink(outside, into.join("album/sub")).unwrap();
            },
            &["album/sub is a symbolic link"],
        ),
        (
            |into, outside| {
                fs::create_dir(into.join("album")).unwrap();
                symlink(outside.join("to be made"), into.join("album/b.bin")).unwrap();
            },
            &["album/b.bin is a symbolic link"],
        ),
        (
            |into, outside| symlink(outside.join("to be made"), into.join("album")).unwrap(),
            &["album is a symbolic link"],
        ),
        (
            |into, _| {
                fs::create_dir(into.join("album")).unwrap();
                symlink("b.bin", into.join("album/b.bin")).unwrap();
            },
            &["album/b.bin is a symbolic link"],
        ),
        // Neither file nor folder.
        (
            |into, _| {
                fs::create_dir(into.join("album")).unwrap();
                let fifo = Command::new("mkfifo")
                    .arg(into.join("album/b.bin"))
                    .status();
                assert!(fifo.unwrap().success());
            },
            &["album/b.bin is not a plain file"],
        ),
    ];
    for (plant, says) in cases {
        let (into, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("kept"), "kept").unwrap();
        plant(into.path(), outside.path());
        let (before, kept) = (names(into.path()), untouched(outside.path()));
        // The operator's wish to repair is about files, not about these.
        for args in [&[][..], &["--repair"]] {
            let refused = get(made.path(), "album.torrent", into.path(), args);
            refused.assert_refused(1, says);
            // One remedy, and not that of a full disk.
            assert!(!refused.said.contains("free it"), "{}", refused.said);
        }
        assert_eq!(names(into.path()), before);
        kept.assert_same();
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }
}

/// What lies below a folder but for the state folder: path, kind and mode, size, time of change.
fn names(folder: &Path) -> Vec<(String, u32, u64, i64, i64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with(".piecework") {
            continue;
        }
        let metadata = fs::symlink_metadata(&path).unwrap();
        found.push((
            path.display().to_string(),
            metadata.mode(),
            metadata.size(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        ));
        if metadata.is_dir() {
            found.extend(names(&path));
        }
    }
    found.sort();
    found
}

#[test]
fn files_of_the_right_names_and_other_content_are_named_one_by_one() {
    let made = album();
    let into = tempfile::tempdir().unwrap();
    fs::create_dir_all(into.path().join("album/sub")).unwrap();
    fs::write(into.path().join("album/sub/a.bin"), "mine").unwrap();
    fs::write(into.path().join("album/b.bin"), vec![7; 30_000]).unwrap();
    // Also where they cannot be written to anyway.
    let read_only = fs::Permissions::from_mode(0o444);
    fs::set_permissions(into.path().join("album/b.bin"), read_only).unwrap();
    let before = names(into.path());
    get(made.path(), "album.torrent", into.path(), &[]).assert_refused(
        2,
        &[
            "nothing was written",
            "album/sub/a.bin has 4 bytes, in the torrent it has 40000",
            "album/b.bin has other content",
            "choose another folder, or move the file away; --repair writes over it",
        ],
    );
    assert_eq!(names(into.path()), before);
}

#[test]
fn in_a_deep_folder_too_the_last_words_say_what_to_do() {
    let made = album();
    let root = tempfile::tempdir().unwrap();
    let deep = (0..20).fold(root.path().to_owned(), |folder, n| {
        folder.join(format!("folder number {n}"))
    });
    fs::create_dir_all(deep.join("album/b.bin")).unwrap();
    let folder = deep.to_str().unwrap();
    assert!(folder.len() > 200);
    get(made.path(), "album.torrent", &deep, &[]).assert_refused(
        1,
        &[folder, "album/b.bin is not a plain file", "move it away"],
    );
    fs::remove_dir(deep.join("album/b.bin")).unwrap();
    fs::write(deep.join("album/b.bin"), "mine").unwrap();
    get(made.path(), "album.torrent", &deep, &[]).assert_refused(
        2,
        &[folder, "album/b.bin has 4 bytes", "--repair writes over it"],
    );
}

#[test]
fn no_torrent_writes_among_the_programs_own_records() {
    let hash = "0123456789abcdef0123456789abcdef01234567";
    let own_folder = [
        ".piecework/records.redb",
        ".piecework/x",
        ".PIECEWORK/x",
        ".piecework",
    ];
    let own_files = [
        "records.redb",
        "records.redb.new",
        "0x0123456789abcdef0123456789abcdef01234567-10.sent.new",
        &format!("{hash}.made"),
        &format!("{hash}.parts"),
    ];
    let state_of = |into: &Path, path: &str| match own_folder.contains(&path) {
        true => into.join(".piecework"),
        false => into.to_owned(),
    };
    for path in own_folder.into_iter().chain(own_files) {
        let made = tempfile::tempdir().unwrap();
        let file = made.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content(20_000)).unwrap();
        let top = path.split('/').next().unwrap();
        let args = ["--private-files", "--tracker", NO_TRACKER];
        create(made.path(), top, "t.torrent", &args);
        let into = tempfile::tempdir().unwrap();
        let state = state_of(into.path(), path);
        for extra in [&[][..], &["--repair"]] {
            let args = [&["--state", state.to_str().unwrap()], extra].concat();
            get(made.path(), "t.torrent", into.path(), &args)
                .assert_refused(1, &[path, "keeps its own records", "--state"]);
        }
        let there = fs::read(into.path().join(path)).ok();
        assert_ne!(there, fs::read(&file).ok(), "{path} was made");
    }
}

#[test]
fn no_torrent_makes_what_would_be_taken_for_records_later() {
    let elsewhere = tempfile::tempdir().unwrap();
    for path in [
        "film/.piecework/records.redb",
        "film/extra/.Piecework/x",
        ".piecework/records.redb",
        ".PIECEWORK",
        "session.key.state/records.redb",
        "film/old.key.STATE/Records.redb",
    ] {
        let made = tempfile::tempdir().unwrap();
        let file = made.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content(20_000)).unwrap();
        let top = path.split('/').next().unwrap();
        let args = ["--private-files", "--tracker", NO_TRACKER];
        create(made.path(), top, "t.torrent", &args);
        let into = tempfile::tempdir().unwrap();
        let state = elsewhere.path().join(top);
        let state = ["--state", state.to_str().unwrap()];
        for extra in [&[][..], &["--repair"]] {
            let args = [&state[..], extra].concat();
            get(made.path(), "t.torrent", into.path(), &args)
                .assert_refused(1, &[path, "would be taken for records of piecework"]);
        }
        assert_eq!(fs::read_dir(into.path()).unwrap().count(), 0, "{path}");
        // Who has it, and made a torrent of it all the same, gives it away.
        let here = made.path().to_str().unwrap();
        let seed = ["seed", "t.torrent", "--data", here, "--json"];
        let mut seeder = Program::start_in(made.path(), &[&seed[..], &state].concat());
        seeder.until(|line| line["event"] == "seeding");
    }
    // Names that only resemble those.
    for path in ["film/piecework/x", "film/records.redb", "a.state/x"] {
        let made = tempfile::tempdir().unwrap();
        fs::create_dir_all(made.path().join(path).parent().unwrap()).unwrap();
        fs::write(made.path().join(path), content(20_000)).unwrap();
        let top = path.split('/').next().unwrap();
        let args = ["--private-files", "--tracker", NO_TRACKER];
        create(made.path(), top, "t.torrent", &args);
        let into = made.path().join("into");
        let args = ["get", "t.torrent", "-o", "into", "--json", "--stats", "1"];
        let mut getter = Program::start_in(made.path(), &args);
        getter.until(|line| line["event"] == "progress");
        drop(getter);
        assert!(into.join(".piecework").is_dir());
    }
}

/// Runs the program as a user whom permissions bind, which they do not bind the superuser.
fn bound(args: &[&str]) -> Ended {
    let program = env!("CARGO_BIN_EXE_piecework");
    let is_superuser = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut command = match is_superuser {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set=-dac_override,-dac_read_search", program]);
            command
        }
        false => Command::new(program),
    };
    Ended::of(&command.args(args).output().unwrap())
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_may_not_be_read_is_not_taken_for_wrong_and_not_fetched_again() {
    let film = Film::named("film.mp4", content(100_000), NO_TRACKER);
    mode(&film.path(), 0o000);
    let dir = film.dir.path().to_str().unwrap();
    let torrent = film.dir.path().join("film.torrent");
    let torrent = torrent.to_str().unwrap();
    let says = &[
        "film.mp4",
        "ermission denied",
        "change its permissions, or choose another folder",
    ];
    bound(&["get", torrent, "-o", dir, "--json"]).assert_refused(1, says);
    bound(&["get", torrent, "-o", dir, "--json", "--repair"]).assert_refused(1, says);
    let seeder = bound(&["seed", torrent, "--data", dir, "--json"]);
    assert!(!seeder.said.contains("other content"), "{}", seeder.said);
    let failed = seeder.said.lines().find(|line| line.contains("\"failed\""));
    let failed = failed.unwrap();
    assert!(says.iter().all(|part| failed.contains(part)), "{failed}");
    // Nothing was taken for lost.
    mode(&film.path(), 0o644);
    drop(film.seeded());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_written_to_is_named_with_what_to_do() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let film = Film::named("film.mp4", content(100_000), &url);
        let _seeder = film.seeded();
        let torrent = film.dir.path().join("film.torrent");
        let get = |into: &Path, args: &[&str]| {
            let (torrent, into) = (torrent.to_str().unwrap(), into.to_str().unwrap());
            bound(&[&["get", torrent, "-o", into, "--json"], args].concat())
        };
        let says = &[
            "film.mp4",
            "ermission denied",
            "change its permissions, or choose another folder",
        ];

        // Fetched once, cut short, and protected.
        let into = tempfile::tempdir().unwrap();
        get(into.path(), &[]).assert_done();
        let file = into.path().join("film.mp4");
        fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(50_000)
            .unwrap();
        mode(&file, 0o444);
        let before = untouched(&file);
        get(into.path(), &["--repair"]).assert_refused(1, says);
        get(into.path(), &[]).assert_refused(2, &["it was changed since piecework wrote it"]);
        before.assert_same();

        // Somebody else's, that is to be repaired.
        let into = tempfile::tempdir().unwrap();
        let file = into.path().join("film.mp4");
        fs::write(&file, "mine").unwrap();
        mode(&file, 0o444);
        let before = untouched(&file);
        get(into.path(), &["--repair"]).assert_refused(1, says);
        get(into.path(), &[]).assert_refused(2, &["film.mp4 has 4 bytes"]);
        before.assert_same();

        // A folder: of the data, and of everything.
        let (into, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        mode(into.path(), 0o555);
        get(into.path(), &["--state", state.path().to_str().unwrap()]).assert_refused(1, says);
        get(into.path(), &[])
            .assert_refused(2, &["state folder", "make it writable, or choose another"]);
        assert_eq!(fs::read_dir(into.path()).unwrap().count(), 0);
        mode(into.path(), 0o755);
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_appears_after_the_check_is_left_alone_in_this_run_and_the_next() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let film = Film::named("film.mp4", content(100_000), &url);
        type Late = fn(&Path);
        let plants: [(Late, &[&str]); 4] = [
            (
                |at| fs::write(at, "mine").unwrap(),
                &["was not made by piecework", "choose another folder"],
            ),
            (
                |at| fs::write(at, "").unwrap(),
                &["was not made by piecework", "choose another folder"],
            ),
            (
                |at| fs::create_dir(at).unwrap(),
                &["was not made by piecework", "choose another folder"],
            ),
            (
                |at| symlink("nowhere", at).unwrap(),
                &["is a symbolic link"],
            ),
        ];
        let mut getters = Vec::new();
        for (plant, says) in plants {
            let into = tempfile::tempdir().unwrap();
            let mut getter = film.getting(into.path(), &[]);
            // What was there is known now, and nobody has the data yet.
            getter.until(|line| {
                line["event"] == "progress" && line["torrents"][0]["state"] == "downloading"
            });
            let at = into.path().join("film.mp4");
            plant(&at);
            getters.push((into, getter, says, names(at.parent().unwrap())));
        }
        let _seeder = film.seeded();
        for (into, mut getter, says, before) in getters {
            let failed = getter.until(|line| line["event"] == "failed");
            let text = failed["text"].as_str().unwrap();
            assert!(text.contains("film.mp4"), "{text}");
            for part in says {
                assert!(text.contains(part), "{text}");
            }
            assert_eq!(getter.exit_code(), Some(1));
            assert_eq!(names(into.path()), before);
            let again = film.get(into.path(), &[]);
            assert_ne!(again.code, Some(0));
            assert!(again.said.contains("film.mp4"), "{}", again.said);
            assert_eq!(names(into.path()), before);
        }
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_another_name_too_is_not_repaired_in_place() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let film = Film::named("video.mp4", content(60_000), &url);
        let _seeder = film.seeded();
        let repair = |into: &Path| get(film.dir.path(), "film.torrent", into, &["--repair"]);
        let copy = tempfile::tempdir().unwrap();
        let (video, kept) = (copy.path().join("video.mp4"), copy.path().join("kept"));
        fs::write(&kept, "my diary").unwrap();
        fs::hard_link(&kept, &video).unwrap();
        let says = ["video.mp4", "under another name, too", "put a copy of it"];
        repair(copy.path()).assert_refused(1, &says);
        assert_eq!(fs::read(&kept).unwrap(), b"my diary");
        // A copy in its place is repaired, and the other name keeps what it has.
        fs::remove_file(&video).unwrap();
        fs::copy(&kept, &video).unwrap();
        repair(copy.path()).assert_done();
        assert_eq!(fs::read(&video).unwrap(), film.bytes);
        assert_eq!(fs::read(&kept).unwrap(), b"my diary");
        // What is right needs no writing, whatever other names it has.
        let linked = tempfile::tempdir().unwrap();
        fs::hard_link(&video, linked.path().join("video.mp4")).unwrap();
        repair(linked.path()).assert_done();
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[test]
fn what_is_neither_file_nor_folder_becomes_no_torrent() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = Command::new("mkfifo").arg(dir.path().join("fifo")).status();
    assert!(fifo.unwrap().success());
    for path in ["fifo", "/dev/zero"] {
        let refused = Ended::of(&piecework(dir.path(), &["create", path, "-o", "x.torrent"]));
        refused.assert_refused(2, &[path, "is neither a file nor a folder"]);
    }
    assert!(!dir.path().join("x.torrent").exists());
}
