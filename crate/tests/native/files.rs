//! The program among users' files: it finds them under their names as they are, leaves those that are not its own, and
//! says what is missing.

use std::fs;
use std::path::Path;
#[cfg(unix)]
use std::process::Command;

use crate::common::{Ended, Film, Program, Tracker, content, create, json, piecework, untouched};
use serde_json::Value;

/// Nobody listens there.
const NO_TRACKER: &str = "ws://127.0.0.1:9";

/// Names as people, other systems and other programs give them.
fn odd_names() -> Vec<String> {
    [
        "Part 1: the start.mp4",
        "who?.mp4",
        "a\\b.mp4",
        "say \"hi\".mp4",
        "it's 'quoted' `here`",
        "a<b>.mp4",
        "star*.mp4",
        "pipe|x",
        "ends with dot.",
        "ends with dots...",
        "ends with blank ",
        " leading.mp4",
        "two  blanks   in it",
        "aux",
        "AUX.mp4",
        "con.txt",
        "nul",
        "COM1.iso",
        "lpt9",
        "CONIN$",
        ".hidden",
        "..two dots",
        "...",
        "-o",
        "--help",
        "~",
        "~user",
        "$HOME",
        "%2e%2e%2f",
        "100%",
        "a&b=c;d#e",
        "left\u{200e}to right.mp4",
        "evil\u{202e}4pm.exe",
        "zero\u{200b}width",
        "\u{feff}mark",
        "replaced\u{fffd}",
        "tab\there",
        "new\nline",
        "bell\u{7}",
        "escape\u{1b}[31m",
        "delete\u{7f}",
        "c1\u{85}control",
        "line\u{2028}separator",
        // One letter composed and decomposed.
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{fb01}lm",
        "Straße İstanbul",
        "фильм.mp4",
        "映画.mp4",
        "🎬🍿 \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}.mp4",
        "records.redb",
        "0123456789abcdef0123456789abcdef01234567.made",
        "0123456789abcdef0123456789abcdef01234567.parts",
        "session.key.state",
        ".piecework2",
        "x.torrent",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([
        "l".repeat(255),
        format!("{}.mp4", "ü".repeat(125)),
        "🎬".repeat(63),
    ])
    .collect()
}

#[cfg(unix)]
#[test]
#[cfg(unix)]
fn torrents_of_many_files_take_no_more_handles_than_a_system_gives() {
    let dir = tempfile::tempdir().unwrap();
    let mut torrents = Vec::new();
    for album in ["a", "b", "c", "d"] {
        let folder = dir.path().join(album);
        fs::create_dir(&folder).unwrap();
        for file in 0..140 {
            fs::write(folder.join(format!("{file:03}")), content(1_000 + file)).unwrap();
        }
        let torrent = format!("{album}.torrent");
        create(dir.path(), album, &torrent, &["--tracker", NO_TRACKER]);
        torrents.push(torrent);
    }
    // As macOS gives; elsewhere it is 1,024, and albums have thousands of files.
    let limited = "ulimit -n 256; exec \"$0\" seed \"$@\" --data . --json --stdin-commands";
    let mut command = Command::new("sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_piecework")]);
    let mut seeder = Program::start_by(command.args(&torrents), dir.path());
    for _ in &torrents {
        let said = seeder.until(|line| line["event"] == "seeding" || line["event"] == "failed");
        assert_eq!(said["event"], "seeding", "{said}");
    }
    seeder.say("quit");
    assert_eq!(seeder.exit_code(), Some(0));
}

#[test]
fn what_create_takes_seed_finds_under_its_very_name() {
    let dir = tempfile::tempdir().unwrap();
    let names = odd_names();
    assert!(names.len() > 50);
    let mut torrents = Vec::new();
    for (number, name) in names.iter().enumerate() {
        // Each alone, in a folder of its own kind: records of this name would be left out elsewhere.
        let bytes = content(20_000 + number);
        fs::write(dir.path().join(name), &bytes).unwrap();
        let torrent = format!("{number}.torrent");
        let args = ["--private-files", "--piece-length", "16K"];
        create(dir.path(), &format!("./{name}"), &torrent, &args);
        torrents.push(torrent);
    }
    let before = untouched(dir.path());
    let mut args = vec!["seed", "--data", ".", "--state", "state", "--json"];
    args.extend(["--tracker", NO_TRACKER]);
    args.extend(torrents.iter().map(String::as_str));
    let mut seeder = Program::start_in(dir.path(), &args);
    for _ in &names {
        let line = seeder.until(|line| line["event"] == "seeding" || line["event"] == "incomplete");
        assert_eq!(line["event"], "seeding", "{line}");
    }
    drop(seeder);
    before.assert_same();
}

#[cfg(unix)]
#[test]
fn what_create_takes_of_a_folder_seed_finds_under_its_very_names() {
    let dir = tempfile::tempdir().unwrap();
    let album = dir.path().join("Al?bum: odd ");
    // Where a name begins with an own one's form, it is in a folder that is none of this program's.
    let names = odd_names();
    for (number, name) in names.iter().enumerate() {
        let folder = album.join(format!("{number}. ")).join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), content(1_000 + number)).unwrap();
    }
    // Names that other systems take for one.
    for (number, name) in ["readme.txt", "README.txt", "Readme.TXT", "a", "a ", "a."]
        .iter()
        .enumerate()
    {
        fs::write(album.join(name), content(500 + number)).unwrap();
    }
    let args = ["--private-files", "--piece-length", "16K"];
    let made = create(dir.path(), "Al?bum: odd ", "album.torrent", &args);
    assert_eq!(made["files"], names.len() as u64 + 6);
    let before = untouched(&album);
    let mut seeder = Program::start_in(
        dir.path(),
        &[
            "seed",
            "album.torrent",
            "--data",
            ".",
            "--json",
            "--tracker",
            NO_TRACKER,
        ],
    );
    let line = seeder.until(|line| line["event"] == "seeding" || line["event"] == "incomplete");
    assert_eq!(line["event"], "seeding", "{line}");
    drop(seeder);
    before.assert_same();
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn what_get_makes_under_safe_names_is_found_by_get_and_seed() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let dir = tempfile::tempdir().unwrap();
        let names = odd_names();
        for (number, name) in names.iter().enumerate() {
            let folder = dir.path().join("in: ").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), content(100 + number)).unwrap();
        }
        let args = [
            "--private-files",
            "--piece-length",
            "16K",
            "--tracker",
            &url,
        ];
        create(dir.path(), "in: ", "t.torrent", &args);
        let seed = |data: &str, state: &str| {
            let args = [
                "seed",
                "t.torrent",
                "--data",
                data,
                "--state",
                state,
                "--json",
            ];
            let mut seeder = Program::start_in(dir.path(), &args);
            let said =
                seeder.until(|line| line["event"] == "seeding" || line["event"] == "incomplete");
            assert_eq!(said["event"], "seeding", "{said}");
            seeder
        };
        let seeder = seed(".", "state");
        let get = || piecework(dir.path(), &["get", "t.torrent", "-o", "out", "--json"]);
        crate::common::Ended::of(&get()).assert_done();
        drop(seeder);
        let shown = json(&piecework(dir.path(), &["info", "t.torrent", "--json"]));
        for (number, file) in shown["files"].as_array().unwrap().iter().enumerate() {
            let parts = file["path"].as_array().unwrap().iter();
            let path: std::path::PathBuf = parts.map(|part| part.as_str().unwrap()).collect();
            let got = fs::read(dir.path().join("out").join(&path)).unwrap();
            assert_eq!(
                got.len(),
                file["length"].as_u64().unwrap() as usize,
                "{number}"
            );
        }
        let before = untouched(&dir.path().join("out/in_"));
        // By this program's own record, without one, and without anybody to fetch from.
        crate::common::Ended::of(&get()).assert_done();
        drop(seed("out", "out/.piecework"));
        drop(seed("out", "another state"));
        before.assert_same();
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_utf8_is_refused_by_create_and_found_where_a_torrent_has_it() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let bytes = content(16 * 1024);
    for raw in [
        &b"caf\xe9.mp4"[..],
        b"\xff\xfe",
        b"cut \xe2\x82",
        b"lone \xed\xa0\x80",
    ] {
        let name = OsStr::from_bytes(raw);
        fs::write(dir.path().join(name), &bytes).unwrap();
        let refused = std::process::Command::new(env!("CARGO_BIN_EXE_piecework"))
            .args([
                OsStr::new("create"),
                name,
                OsStr::new("-o"),
                OsStr::new("x.torrent"),
            ])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(2));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains("has no name in UTF-8: rename it"), "{said}");
        assert!(!dir.path().join("x.torrent").exists());

        // Other clients make such torrents.
        fs::write(
            dir.path().join("raw.torrent"),
            crate::common::torrent_named(raw, &bytes),
        )
        .unwrap();
        let mut seeder = Program::start_in(
            dir.path(),
            &[
                "seed",
                "raw.torrent",
                "--data",
                ".",
                "--json",
                "--tracker",
                NO_TRACKER,
            ],
        );
        let line = seeder.until(|line| line["event"] == "seeding" || line["event"] == "incomplete");
        assert_eq!(line["event"], "seeding", "{raw:?}: {line}");
        drop(seeder);
        fs::remove_file(dir.path().join(name)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn get_and_seed_write_over_nothing_that_they_did_not_make() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let a = Film::named("video.mp4", content(60_000), &url);
        let b = Film::named("video.mp4", content(80_001)[1..].to_vec(), &url);
        let _seeders = [a.seeded(), b.seeded()];

        // A user's file that was there first.
        let own = tempfile::tempdir().unwrap();
        fs::write(own.path().join("video.mp4"), "my diary").unwrap();
        let before = untouched(own.path().join("video.mp4").as_path());
        let refused = a.get(own.path(), &[]);
        refused.assert_refused(
            2,
            &["video.mp4 has 8 bytes", "choose another folder", "--repair"],
        );
        before.assert_same();

        // Two titles whose file has one name, into one folder; and the first again.
        let out = tempfile::tempdir().unwrap();
        a.get(out.path(), &[]).assert_done();
        let before = untouched(out.path().join("video.mp4").as_path());
        b.get(out.path(), &[])
            .assert_refused(2, &["video.mp4", "piecework did not make it"]);
        before.assert_same();
        a.get(out.path(), &[]).assert_done();
        before.assert_same();

        // A seeder's only original, while somebody else has the other title.
        let orig = tempfile::tempdir().unwrap();
        fs::write(orig.path().join("video.mp4"), &a.bytes).unwrap();
        let before = untouched(orig.path().join("video.mp4").as_path());
        let mut seeder = b.seeding_from(orig.path(), &[]);
        let said = seeder.until(|line| line["event"] == "incomplete");
        assert_eq!(said["verified_bytes"], 0, "{said}");
        drop(seeder);
        before.assert_same();
        // The same where a user's own file is longer, and begins alike.
        let longer = tempfile::tempdir().unwrap();
        fs::write(
            longer.path().join("video.mp4"),
            [&a.bytes[..], b"more"].concat(),
        )
        .unwrap();
        let before = untouched(longer.path().join("video.mp4").as_path());
        a.get(longer.path(), &[]).assert_done();
        before.assert_same();

        // Who wants it so has it so.
        a.get(own.path(), &["--repair"]).assert_done();
        assert_eq!(fs::read(own.path().join("video.mp4")).unwrap(), a.bytes);
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_has_of_an_album_stays_and_the_rest_is_fetched_beside_it() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let made = tempfile::tempdir().unwrap();
        let album = made.path().join("album");
        fs::create_dir(&album).unwrap();
        // The second piece of 16 KiB belongs to two files, the third to three.
        let files = [("1", 20_000), ("2", 20_000), ("3", 3_000), ("4", 30_000)];
        for (name, length) in files {
            fs::write(album.join(name), content(length)).unwrap();
        }
        let args = ["--piece-length", "16K", "--tracker", &url];
        create(made.path(), "album", "album.torrent", &args);
        let seed = ["seed", "album.torrent", "--data", ".", "--json"];
        let mut seeder = Program::start_in(made.path(), &seed);
        seeder.until(|line| line["event"] == "seeding");
        let get = |into: &Path| {
            let into = into.to_str().unwrap();
            let run = piecework(made.path(), &["get", "album.torrent", "-o", into, "--json"]);
            crate::common::Ended::of(&run)
        };
        let with = |names: &[&str]| {
            let into = tempfile::tempdir().unwrap();
            fs::create_dir(into.path().join("album")).unwrap();
            for name in names {
                fs::copy(album.join(name), into.path().join("album").join(name)).unwrap();
            }
            into
        };
        for names in [
            &["1"][..],
            &["2"],
            &["4"],
            &["1", "3"],
            &["2", "4"],
            &["1", "2", "4"],
        ] {
            let into = with(names);
            let before = untouched(&into.path().join("album"));
            get(into.path()).assert_done();
            before.assert_same();
            for (name, _) in files {
                let got = fs::read(into.path().join("album").join(name)).unwrap();
                assert_eq!(got, fs::read(album.join(name)).unwrap(), "{name}");
            }
        }
        // Where the shared piece shows that a file is another one, it is left alone.
        let into = with(&["1"]);
        let path = into.path().join("album/1");
        let mut bytes = fs::read(&path).unwrap();
        bytes[19_999] ^= 1;
        fs::write(&path, bytes).unwrap();
        let before = untouched(&path);
        let says = ["album/1 was not made by piecework", "choose another folder"];
        get(into.path()).assert_refused(1, &says);
        before.assert_same();
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_torrents_that_repair_one_file_do_not_write_over_each_other() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let a = Film::named("video.mp4", content(60_000), &url);
        let b = Film::named("video.mp4", content(60_001)[1..].to_vec(), &url);
        let _seeders = [a.seeded(), b.seeded()];
        let copy = tempfile::tempdir().unwrap();
        let other = b.dir.path().join("film.torrent");
        let both = ["--repair", other.to_str().unwrap()];
        let mut repairing = a.seeding_from(copy.path(), &both);
        let (mut seeding, mut failed) = (None, None);
        while seeding.is_none() || failed.is_none() {
            let line =
                repairing.until(|line| line["event"] == "seeding" || line["event"] == "failed");
            let hash = line["info_hash"].as_str().unwrap().to_owned();
            match line["event"] == "seeding" {
                true => seeding = Some(hash),
                false => {
                    let text = line["text"].as_str().unwrap();
                    assert!(
                        text.contains("video.mp4") && text.contains("another folder"),
                        "{text}"
                    );
                    failed = Some(hash);
                }
            }
        }
        assert_ne!(seeding, failed);
        let whole = [&a, &b]
            .into_iter()
            .find(|film| Some(&film.info_hash) == seeding.as_ref());
        let got = fs::read(copy.path().join("video.mp4")).unwrap();
        assert_eq!(got, whole.unwrap().bytes);
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_torrent_has_is_not_repaired_into_another() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let a = Film::named("video.mp4", content(60_000), &url);
        let b = Film::named("video.mp4", content(60_001)[1..].to_vec(), &url);
        let _seeder = b.seeded();
        // Whichever is named first: what its user has of one is served, and stays.
        for (film, other) in [(&a, &b), (&b, &a)] {
            let copy = tempfile::tempdir().unwrap();
            fs::write(copy.path().join("video.mp4"), &a.bytes).unwrap();
            let other = other.dir.path().join("film.torrent");
            let mut both = film.seeding_from(copy.path(), &["--repair", other.to_str().unwrap()]);
            let (mut seeding, mut failed) = (false, false);
            while !(seeding && failed) {
                let line =
                    both.until(|line| line["event"] == "seeding" || line["event"] == "failed");
                let is_a = line["info_hash"].as_str() == Some(&a.info_hash);
                assert_eq!(is_a, line["event"] == "seeding", "{line}");
                seeding |= is_a;
                if !is_a {
                    let text = line["text"].as_str().unwrap();
                    let says = ["video.mp4", &a.info_hash, "another folder"];
                    assert!(says.iter().all(|word| text.contains(word)), "{text}");
                    failed = true;
                }
            }
            drop(both);
            assert_eq!(fs::read(copy.path().join("video.mp4")).unwrap(), a.bytes);
        }
        // What was fetched of one before stays, too; until its user gives it up.
        let seeder = a.seeded();
        let into = tempfile::tempdir().unwrap();
        a.get(into.path(), &[]).assert_done();
        drop(seeder);
        let path = into.path().join("video.mp4");
        let before = untouched(&path);
        let refused = b.get(into.path(), &["--repair"]);
        refused.assert_refused(1, &["video.mp4", &a.info_hash, "move the file away"]);
        before.assert_same();
        fs::remove_file(&path).unwrap();
        b.get(into.path(), &["--repair"]).assert_done();
        assert_eq!(fs::read(&path).unwrap(), b.bytes);
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[test]
fn seed_says_what_is_missing_or_wrong_and_what_to_do() {
    let film = Film::named("film.mp4", content(50_000), NO_TRACKER);
    let with = |bytes: Option<Vec<u8>>| {
        let dir = tempfile::tempdir().unwrap();
        if let Some(bytes) = bytes {
            fs::write(dir.path().join("film.mp4"), bytes).unwrap();
        }
        let mut seeder = film.seeding_from(dir.path(), &[]);
        let said = seeder.until(|line| line["event"] == "incomplete" || line["event"] == "seeding");
        (dir, said)
    };
    let changed = |at: usize| {
        let mut bytes = film.bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cut = film.bytes[..20_000].to_vec();
    // What is there, pieces missing, problem.
    let cases: Vec<(Option<Vec<u8>>, u64, &str)> = vec![
        (None, 4, "is not there"),
        (
            Some(Vec::new()),
            4,
            "has 0 bytes, in the torrent it has 50000",
        ),
        (
            Some(changed(0)),
            1,
            "has other content: 1 of 4 pieces are wrong",
        ),
        (
            Some(changed(49_999)),
            1,
            "has other content: 1 of 4 pieces are wrong",
        ),
        (Some(cut), 3, "has 20000 bytes, in the torrent it has 50000"),
        (
            Some(content(50_001)[1..].to_vec()),
            4,
            "4 of 4 pieces are wrong",
        ),
    ];
    for (bytes, missing, problem) in cases {
        let (dir, said) = with(bytes.clone());
        assert_eq!(said["event"], "incomplete", "{said}");
        assert_eq!(said["pieces_missing"], missing, "{said}");
        let file = &said["files"][0];
        let path = dir.path().canonicalize().unwrap().join("film.mp4");
        assert_eq!(file["path"], path.to_str().unwrap());
        let text = file["problem"].as_str().unwrap();
        assert!(text.contains(problem), "{text}");
        let remedy = said["remedy"].as_str().unwrap();
        assert!(
            remedy.contains("--data") && remedy.contains("--repair"),
            "{remedy}"
        );
        let after = fs::read(dir.path().join("film.mp4")).ok();
        assert_eq!(after, bytes, "it was written to");
    }
    // In words, too; and a folder that is none.
    let empty = tempfile::tempdir().unwrap();
    let mut seeder = film.seed_in_words(empty.path());
    let line = seeder.line_with("incomplete");
    assert!(line.contains("nothing of it is here"), "{line}");
    assert!(seeder.line_with("film.mp4").contains("is not there"));
    assert!(seeder.line_with("--repair").contains("--data"));
    drop(seeder);
    let nowhere = film.seed_output(&empty.path().join("gone"));
    nowhere.assert_refused(2, &["gone is not a folder", "--data"]);
}

#[test]
fn own_records_and_keys_go_into_no_torrent_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("d");
    fs::create_dir_all(data.join("sub/.git")).unwrap();
    fs::write(data.join("film.mp4"), content(50_000)).unwrap();
    fs::write(data.join("sub/b.txt"), "b").unwrap();
    for (name, text) in [
        (".DS_Store", "x"),
        ("sub/Thumbs.db", "x"),
        ("sub/.git/config", "x"),
    ] {
        fs::write(data.join(name), text).unwrap();
    }
    let key = |args: &[&str]| assert_eq!(piecework(&data, args).status.code(), Some(0));
    key(&["key", "new", "payee.key"]);
    key(&["key", "new", "--session", "session.key"]);
    fs::copy(data.join("payee.key"), data.join("sub/copy of payee.txt")).unwrap();
    // A seeder's records, in their usual place and in another.
    create(&data, "film.mp4", "../film.torrent", &[]);
    for state in [".piecework", "elsewhere"] {
        let args = [
            "seed",
            "../film.torrent",
            "--data",
            ".",
            "--state",
            state,
            "--json",
        ];
        let mut seeder =
            Program::start_in(&data, &[&args[..], &["--tracker", NO_TRACKER]].concat());
        seeder.until(|line| line["event"] == "seeding");
    }
    for name in [
        "0123456789abcdef0123456789abcdef01234567.made",
        "0123456789ABCDEF0123456789abcdef01234567.parts",
    ] {
        fs::write(data.join("sub").join(name), "x").unwrap();
    }
    let made = create(dir.path(), "d", "d.torrent", &[]);
    let paths = |torrent: &str| -> Vec<String> {
        let shown = json(&piecework(dir.path(), &["info", torrent, "--json"]));
        let files = shown["files"].as_array().unwrap().clone();
        let joined = |file: &Value| -> String {
            let parts: Vec<_> = file["path"]
                .as_array()
                .unwrap()
                .iter()
                .map(|p| p.as_str().unwrap())
                .collect();
            parts.join("/")
        };
        files.iter().map(joined).collect()
    };
    assert_eq!(paths("d.torrent"), ["d/film.mp4", "d/sub/b.txt"]);
    let left: Vec<&str> = made["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["path"].as_str().unwrap())
        .collect();
    for name in [
        "payee.key",
        "session.key",
        "session.key.state",
        ".piecework",
        "elsewhere",
        ".DS_Store",
        "sub/copy of payee.txt",
        "sub/Thumbs.db",
        "sub/.git",
        "sub/0123456789abcdef0123456789abcdef01234567.made",
        "sub/0123456789ABCDEF0123456789abcdef01234567.parts",
    ] {
        assert!(
            left.contains(&name),
            "{name} is not said to be left out: {left:?}"
        );
    }
    let alone = piecework(&data, &["create", "payee.key"]);
    assert_eq!(alone.status.code(), Some(2));
    assert!(
        String::from_utf8(alone.stderr)
            .unwrap()
            .contains("--private-files")
    );
    assert!(!data.join("payee.key.torrent").exists());
    // Where nothing else is there, too.
    fs::create_dir(data.join("rest")).unwrap();
    fs::write(data.join("rest/.DS_Store"), "x").unwrap();
    let nothing = piecework(&data, &["create", "rest"]);
    assert_eq!(nothing.status.code(), Some(2));
    let text = String::from_utf8(nothing.stderr).unwrap();
    let says = ["no files", ".DS_Store", "--system-files"];
    assert!(says.iter().all(|word| text.contains(word)), "{text}");
    // A page that was stored under a torrent's name.
    fs::write(data.join("page.torrent"), "<!DOCTYPE html>").unwrap();
    let page = piecework(&data, &["info", "page.torrent"]);
    let text = String::from_utf8(page.stderr).unwrap();
    assert!(text.contains("download it again"), "{text}");
    assert_eq!(text.matches("not a valid").count(), 1, "{text}");
    // Asked for, it goes in.
    create(
        dir.path(),
        "d",
        "all.torrent",
        &["--private-files", "--system-files"],
    );
    assert!(paths("all.torrent").contains(&"d/payee.key".to_owned()));
    assert!(paths("all.torrent").contains(&"d/sub/.git/config".to_owned()));
}

#[cfg(unix)]
#[test]
fn a_link_keeps_its_own_name_and_says_that_seed_wants_the_file_itself() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let (store, links) = (dir.path().join("store"), dir.path().join("links"));
    fs::create_dir_all(store.join("4f2a9d")).unwrap();
    fs::create_dir_all(&links).unwrap();
    fs::write(store.join("4f2a9c.bin"), content(50_000)).unwrap();
    fs::write(store.join("4f2a9d/a.txt"), content(5_000)).unwrap();
    for (to, name) in [
        ("../store/4f2a9c.bin", "Film (2020).mp4"),
        ("../store/4f2a9d", "Album"),
    ] {
        symlink(to, links.join(name)).unwrap();
        let made = json(&piecework(&links, &["create", name, "--json"]));
        assert_eq!(made["name"], name);
        assert_eq!(made["file"], format!("{name}.torrent"));
        let torrent = fs::read(links.join(format!("{name}.torrent"))).unwrap();
        assert!(
            !String::from_utf8_lossy(&torrent).contains("4f2a9"),
            "the store's name is in it"
        );
        let note = made["notes"][0].as_str().unwrap();
        assert!(
            note.contains("is a symbolic link") && note.contains(name),
            "{note}"
        );
        let torrent = format!("{name}.torrent");
        let mut seeder = Program::start_in(
            &links,
            &[
                "seed",
                &torrent,
                "--data",
                ".",
                "--json",
                "--tracker",
                NO_TRACKER,
            ],
        );
        let said = seeder.until(|line| line["event"] == "failed");
        let text = said["text"].as_str().unwrap();
        assert!(
            text.contains(name) && text.contains("put the file itself there"),
            "{text}"
        );
        drop(seeder);
        // As told.
        fs::remove_file(links.join(name)).unwrap();
        fs::rename(links.join(to), links.join(name)).unwrap();
        let mut seeder = Program::start_in(
            &links,
            &[
                "seed",
                &torrent,
                "--data",
                ".",
                "--json",
                "--tracker",
                NO_TRACKER,
            ],
        );
        seeder.until(|line| line["event"] == "seeding");
    }
}

#[test]
fn create_writes_over_nothing_and_says_what_to_do_with_a_name_that_is_too_long() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), content(20_000)).unwrap();
    // What lies where earlier versions wrote first.
    fs::write(dir.path().join("a.torrent.part"), "mine").unwrap();
    create(dir.path(), "a", "a.torrent", &[]);
    assert_eq!(
        fs::read(dir.path().join("a.torrent.part")).unwrap(),
        b"mine"
    );
    let before = untouched(&dir.path().join("a.torrent"));
    let again = piecework(dir.path(), &["create", "a"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8(again.stderr).unwrap().contains("--force"));
    before.assert_same();
    #[cfg(unix)]
    {
        // A link that leads nowhere is somebody's, too.
        std::os::unix::fs::symlink("nowhere", dir.path().join("b.torrent")).unwrap();
        let refused = piecework(dir.path(), &["create", "a", "-o", "b.torrent"]);
        assert_eq!(refused.status.code(), Some(2));
        assert_eq!(
            fs::read_link(dir.path().join("b.torrent")).unwrap(),
            Path::new("nowhere")
        );
    }
    let long = "l".repeat(255);
    fs::write(dir.path().join(&long), content(20_000)).unwrap();
    let refused = piecework(dir.path(), &["create", &long]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("choose another with -o"), "{said}");
    create(dir.path(), &long, "long.torrent", &[]);
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|n| n.to_string_lossy().starts_with(".piecework-")),
        "{left:?}"
    );
}

#[test]
fn create_with_force_writes_over_torrents_alone() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (name, bytes) in [
        ("film.mp4", content(20_000)),
        ("notes.txt", b"mine".to_vec()),
    ] {
        fs::write(at(name), bytes).unwrap();
    }
    fs::create_dir(at("album")).unwrap();
    fs::write(at("album/song.mp3"), content(30_000)).unwrap();
    fs::write(at("empty.torrent"), b"").unwrap();
    create(dir.path(), "film.mp4", "film.torrent", &[]);
    let before = untouched(dir.path());
    for args in [
        ["film.mp4", "film.mp4"],
        ["film.mp4", "./album/../film.mp4"],
        ["film.mp4", "notes.txt"],
        ["album", "album/song.mp3"],
        ["album", "album"],
        // A torrent of a torrent, in its own place.
        ["film.torrent", "film.torrent"],
    ] {
        let line = ["create", args[0], "-o", args[1], "--force"];
        let refused = Ended::of(&piecework(dir.path(), &line));
        refused.assert_refused(2, &[args[1], "choose another with -o"]);
    }
    before.assert_same();
    for old in ["film.torrent", "empty.torrent"] {
        create(dir.path(), "album", old, &["--force"]);
        assert!(fs::metadata(at(old)).unwrap().len() > 100);
    }
}
