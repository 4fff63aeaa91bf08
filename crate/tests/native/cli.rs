//! The program itself: what it prints, and how it ends.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn piecework(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_piecework"))
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

#[test]
fn a_file_becomes_a_torrent_that_info_accepts() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a film.mp4"), vec![7u8; 100_000]).unwrap();
    let made = piecework(
        dir.path(),
        &[
            "create",
            "a film.mp4",
            "--tracker",
            "ws://127.0.0.1:8000",
            "--piece-length",
            "32K",
            "--comment",
            "hello",
            "--json",
        ],
    );
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let made = json(&made);
    assert_eq!(made["total_length"], 100_000);
    assert_eq!(made["pieces"], 4);
    assert_eq!(made["file"], "a film.mp4.torrent");

    let shown = piecework(dir.path(), &["info", "a film.mp4.torrent", "--json"]);
    assert_eq!(code(&shown), 0);
    let shown = json(&shown);
    assert_eq!(shown["valid"], true);
    assert_eq!(shown["info_hash"], made["info_hash"]);
    assert_eq!(shown["comment"], "hello");
    assert_eq!(shown["trackers"][0][0], "ws://127.0.0.1:8000");
    assert_eq!(shown["files"][0]["path"][0], "a film.mp4");

    let magnet = made["magnet"].as_str().unwrap();
    let shown = piecework(dir.path(), &["info", magnet, "--json"]);
    assert_eq!(code(&shown), 0);
    assert_eq!(json(&shown)["info_hash"], made["info_hash"]);
    let text = stdout(&piecework(dir.path(), &["info", magnet]));
    assert!(text.contains(made["info_hash"].as_str().unwrap()), "{text}");
}

#[test]
fn a_folder_becomes_the_same_torrent_each_time_and_leaves_links_out() {
    let dir = tempfile::tempdir().unwrap();
    let album = dir.path().join("album");
    std::fs::create_dir_all(album.join("b/c")).unwrap();
    std::fs::write(album.join("z.txt"), b"last").unwrap();
    std::fs::write(album.join("b/c/deep.bin"), vec![1u8; 50_000]).unwrap();
    std::fs::write(album.join("a.bin"), vec![2u8; 10]).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/etc/passwd", album.join("link")).unwrap();
    let first = json(&piecework(dir.path(), &["create", "album", "--json"]));
    let again = piecework(
        dir.path(),
        &["create", "album", "-o", "album/self.torrent", "--json"],
    );
    let again = json(&again);
    assert_eq!(first["info_hash"], again["info_hash"]);
    // Written into the folder, and left out of the next torrent of it.
    let third = piecework(
        dir.path(),
        &[
            "create",
            "album",
            "-o",
            "album/self.torrent",
            "--force",
            "--json",
        ],
    );
    assert_eq!(json(&third)["info_hash"], first["info_hash"]);
    let shown = json(&piecework(dir.path(), &["info", "album.torrent", "--json"]));
    let paths: Vec<String> = shown["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            let parts: Vec<&str> = file["path"]
                .as_array()
                .unwrap()
                .iter()
                .map(|part| part.as_str().unwrap())
                .collect();
            parts.join("/")
        })
        .collect();
    assert_eq!(paths, ["album/a.bin", "album/z.txt", "album/b/c/deep.bin"]);
}

#[test]
fn invalid_input_ends_with_2_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.torrent"), b"d4:infoe").unwrap();
    std::fs::write(dir.path().join("empty"), b"").unwrap();
    std::fs::create_dir(dir.path().join("nothing")).unwrap();
    std::fs::write(dir.path().join("there.torrent"), b"").unwrap();
    std::fs::write(dir.path().join("there"), b"data").unwrap();
    std::fs::write(dir.path().join("not.key"), b"hello").unwrap();
    for (args, says) in [
        (vec!["info", "bad.torrent"], "bad.torrent"),
        (vec!["info", "missing.torrent"], "missing.torrent"),
        (vec!["info", "magnet:?dn=x"], "magnet"),
        (vec!["create", "missing"], "missing"),
        (vec!["create", "empty"], "empty"),
        (vec!["create", "nothing"], "nothing"),
        (vec!["create", "there"], "--force"),
        (
            vec!["create", "there", "--force", "--piece-length", "0"],
            "piece length",
        ),
        (vec!["create", "there", "--piece-length", "x"], "64K"),
        (vec!["seed", "bad.torrent", "--data", "."], "bad.torrent"),
        (vec!["seed", "bad.torrent", "--data", "gone"], "bad.torrent"),
        (
            vec!["seed", "bad.torrent", "--data", ".", "--price", "ten"],
            "ten",
        ),
        (
            vec!["seed", "bad.torrent", "--data", ".", "--price", "10"],
            "--payee-key",
        ),
        (
            vec![
                "seed",
                "x",
                "--data",
                ".",
                "--price",
                "1",
                "--payee-key",
                "not.key",
            ],
            "chmod 600",
        ),
        (
            vec!["get", "bad.torrent", "-o", ".", "--tracker", "udp://x:1"],
            "ws://",
        ),
        (
            vec!["get", "bad.torrent", "-o", ".", "--relay-only"],
            "--relay-only needs a TURN server over UDP: add --ice-server turn:",
        ),
        (
            vec![
                "seed",
                "bad.torrent",
                "--data",
                ".",
                "--relay-only",
                "--ice-server",
                "stun:127.0.0.1:1",
            ],
            "--relay-only needs a TURN server over UDP: add --ice-server turn:",
        ),
        (
            vec![
                "get",
                "c12fe1c06bba254a9dc9f519b335aa7c1367a88a",
                "-o",
                ".",
                "--no-stun",
            ],
            "or a tracker to find it by, with --tracker wss://HOST[:PORT]",
        ),
        (
            vec![
                "vault", "deploy", "--rpc", "x", "--key", "k", "--salt", "0x12",
            ],
            "write 0x and 64 hexadecimal digits",
        ),
        (
            vec![
                "vault",
                "deploy",
                "--rpc",
                "x",
                "--key",
                "k",
                "--exit-delay",
                "5",
            ],
            "write seconds from 3600 (an hour) to 2592000 (thirty days), such as 259200",
        ),
        (
            vec![
                "history",
                "--state",
                ".",
                "--deployment",
                "gone.json",
                "--decimals",
                "3",
            ],
            "cannot be used with",
        ),
        (vec!["nonsense"], "nonsense"),
    ] {
        let output = piecework(dir.path(), &args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stdout(&output));
        assert!(
            stderr(&output).contains(says),
            "{args:?}: {}",
            stderr(&output)
        );
    }
    let output = piecework(dir.path(), &["info", "bad.torrent", "--json"]);
    assert_eq!(json(&output)["valid"], false);
}

#[test]
fn a_sound_torrent_that_is_not_supported_is_not_to_be_downloaded_again() {
    let dir = tempfile::tempdir().unwrap();
    let hash = "a".repeat(20);
    let root = "b".repeat(32);
    let tree = format!("9:file treed1:ad0:d6:lengthi3e11:pieces root32:{root}eee");
    let v1 = |length: u64, piece: u64, hashes: &str| {
        let pieces = format!("6:pieces{}:{hashes}", hashes.len());
        format!("d6:lengthi{length}e4:name1:a12:piece lengthi{piece}e{pieces}e")
    };
    for (info, says) in [
        (
            v1(3, 128 << 20, &hash),
            "a piece length beyond the supported",
        ),
        (v1(0, 16384, ""), "no content"),
        (
            format!("d{tree}12:meta versioni2e4:name1:a12:piece lengthi16384ee"),
            "BitTorrent v2 only",
        ),
    ] {
        std::fs::write(dir.path().join("a.torrent"), format!("d4:info{info}e")).unwrap();
        let refused = piecework(dir.path(), &["get", "a.torrent", "-o", "out"]);
        let text = stderr(&refused);
        assert_eq!(code(&refused), 2, "{text}");
        assert!(
            text.contains(says) && text.contains("cannot be used"),
            "{text}"
        );
        assert!(!text.contains("download it again"), "{text}");
    }
}

#[test]
fn who_seeds_a_film_in_place_of_a_torrent_is_told_how_to_make_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("short.mp4"), "a film").unwrap();
    let long = std::fs::File::create(dir.path().join("long.mp4")).unwrap();
    long.set_len(17 << 20).unwrap();
    std::fs::create_dir(dir.path().join("show")).unwrap();
    for (input, says) in [
        ("short.mp4", "is not a valid .torrent file"),
        ("long.mp4", "it is longer than"),
        ("show", "cannot be read"),
    ] {
        for more in [&[][..], &["--price", "1"], &["--data", "."]] {
            let refused = piecework(dir.path(), &[&["seed", input], more].concat());
            let text = stderr(&refused);
            assert_eq!(code(&refused), 2, "{text}");
            let remedy = format!("to share it, make a torrent of it: piecework create {input}");
            assert!(text.contains(says) && text.contains(&remedy), "{text}");
            assert!(!text.contains("download it again"), "{text}");
        }
    }
    // Of a torrent the rest of the line is what is wrong.
    let made = piecework(dir.path(), &["create", "short.mp4", "-o", "short.torrent"]);
    assert_eq!(code(&made), 0);
    let text = stderr(&piecework(dir.path(), &["seed", "short.torrent"]));
    assert!(text.contains("--data"), "{text}");
    // What is called a torrent, and is none, was spoiled on its way.
    std::fs::write(dir.path().join("film.torrent"), "a page").unwrap();
    let text = stderr(&piecework(
        dir.path(),
        &["seed", "film.torrent", "--data", "."],
    ));
    assert!(text.contains("download it again"), "{text}");
}

#[test]
fn a_key_is_made_once_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let made = piecework(dir.path(), &["key", "new", "payee.key"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let address = stdout(&made);
    assert!(
        address.starts_with("0x") && address.trim().len() == 42,
        "{address}"
    );
    let shown = piecework(dir.path(), &["key", "address", "payee.key"]);
    assert_eq!(stdout(&shown), address);
    assert_eq!(
        code(&piecework(dir.path(), &["key", "new", "payee.key"])),
        2
    );
}

#[test]
fn every_verb_explains_itself() {
    let dir = tempfile::tempdir().unwrap();
    for verb in [
        "create",
        "info",
        "seed",
        "get",
        "redeem",
        "balance",
        "deposit",
        "topup",
        "exit",
        "withdraw",
        "claim",
        "completions",
        "man",
        "publish",
        "splitter create",
        "title",
        "vault deploy",
    ] {
        let words: Vec<&str> = verb.split(' ').chain(["--help"]).collect();
        let output = piecework(dir.path(), &words);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("Example"), "{verb}");
    }
}

#[test]
fn what_does_not_fit_the_storage_limit_is_not_fetched_and_the_reason_is_the_last_word() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("film.mp4"), vec![7u8; 200_000]).unwrap();
    let made = piecework(dir.path(), &["create", "film.mp4"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    // No tracker is needed: what does not fit is known from the torrent alone.
    let got = piecework(
        dir.path(),
        &[
            "get",
            "film.mp4.torrent",
            "-o",
            "downloads",
            "--tracker",
            "ws://127.0.0.1:9",
            "--storage-limit",
            "100K",
        ],
    );
    assert_eq!(code(&got), 1, "{}", stdout(&got));
    let reason = "200 kB of storage are needed, 102 kB of the allowed 102 kB are left: remove torrents with their data, or raise the storage limit";
    assert!(stderr(&got).contains(reason), "{}", stderr(&got));
    let fetched = std::fs::metadata(dir.path().join("downloads/film.mp4"));
    assert!(fetched.is_err() || fetched.unwrap().len() < 200_000);
}

#[test]
fn a_limit_of_nothing_and_an_option_without_effect_are_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("film.mp4"), vec![7u8; 20_000]).unwrap();
    assert_eq!(code(&piecework(dir.path(), &["create", "film.mp4"])), 0);
    let seed = ["seed", "film.mp4.torrent", "--data", "."];
    for (option, says) in [
        (
            &["--upload-limit", "0"][..],
            "leave the option out for no limit",
        ),
        (&["--max-connections", "0"], "from 1 on"),
        (&["--min-redeem-sum", "abc"], "--payee-key"),
        (&["--redeem-every", "5"], "--payee-key"),
        (&["--redeem-on-exit"], "--payee-key"),
        (&["--accept-short-exit"], "--payee-key"),
        (&["--min-bond-percent", "5"], "--payee-key"),
        (
            &["--to", "0x5555555555555555555555555555555555555555"],
            "--payee-key",
        ),
    ] {
        let output = piecework(dir.path(), &[&seed[..], option].concat());
        assert_eq!(code(&output), 2, "{option:?}: {}", stdout(&output));
        let said = stderr(&output);
        assert!(
            said.contains(option[0]) && said.contains(says),
            "{option:?}: {said}"
        );
    }
    // All that a price needs is said at once.
    let output = piecework(
        dir.path(),
        &["get", "film.mp4.torrent", "-o", "out", "--max-price", "10"],
    );
    assert_eq!(code(&output), 2);
    for option in [
        "--owner",
        "--session-key",
        "--budget",
        "--vault",
        "--chain-id",
        "--rpc",
    ] {
        assert!(stderr(&output).contains(option), "{}", stderr(&output));
    }
    // What is free is fetched, and more is not asked for: with a word.
    let output = piecework(
        dir.path(),
        &["get", "film.mp4.torrent", "-o", ".", "--budget", "2"],
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("no effect without --max-price"),
        "{}",
        stderr(&output)
    );
}

/// A torrent of a folder with one full and one empty file, and a folder with another file in its place.
fn album_in_the_way() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let album = dir.path().join("album");
    std::fs::create_dir_all(&album).unwrap();
    std::fs::write(album.join("a.bin"), vec![7u8; 20_000]).unwrap();
    std::fs::write(album.join("empty.txt"), b"").unwrap();
    let made = piecework(
        dir.path(),
        &["create", "album", "--tracker", "ws://127.0.0.1:9"],
    );
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    std::fs::create_dir_all(dir.path().join("out/album")).unwrap();
    std::fs::write(dir.path().join("out/album/a.bin"), b"mine").unwrap();
    dir
}

#[test]
fn a_refused_get_says_what_it_made_and_says_so_in_json_too() {
    let dir = album_in_the_way();
    let get = ["get", "album.torrent", "-o", "out"];
    let output = piecework(dir.path(), &get);
    assert_eq!(code(&output), 2);
    let said = stderr(&output);
    assert!(
        said.contains("nothing was written but the records and the torrent's empty files: "),
        "{said}"
    );
    let names = |folder: &str| {
        let entries = std::fs::read_dir(dir.path().join(folder)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("out"), [".piecework", "album"]);
    assert_eq!(names("out/album"), ["a.bin", "empty.txt"]);
    assert_eq!(
        std::fs::read(dir.path().join("out/album/a.bin")).unwrap(),
        b"mine"
    );

    let output = piecework(dir.path(), &[&get[..], &["--json"]].concat());
    assert_eq!(code(&output), 2);
    let events: Vec<Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let failed = events
        .iter()
        .find(|event| event["event"] == "failed")
        .unwrap();
    let text = failed["text"].as_str().unwrap();
    assert!(
        text.contains("a.bin") && text.contains("--repair"),
        "{text}"
    );
}

#[test]
fn a_failure_is_said_once_and_a_seeder_with_nothing_left_ends_with_it() {
    let dir = album_in_the_way();
    std::fs::remove_dir_all(dir.path().join("out/album")).unwrap();
    std::fs::write(dir.path().join("out/album"), b"mine").unwrap();
    let output = piecework(dir.path(), &["get", "album.torrent", "-o", "out"]);
    assert_eq!(code(&output), 1);
    let said = [stdout(&output), stderr(&output)].concat();
    assert_eq!(said.matches("out/album is a file").count(), 1, "{said}");

    let output = piecework(dir.path(), &["seed", "album.torrent", "--data", "out"]);
    assert_eq!(code(&output), 1, "{}", stdout(&output));
    assert!(
        stdout(&output).contains("out/album is a file"),
        "{}",
        stdout(&output)
    );
    assert!(
        stderr(&output).contains("nothing is left to serve"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_reseller_without_what_selling_needs_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("film.mp4"), vec![7u8; 20_000]).unwrap();
    assert_eq!(code(&piecework(dir.path(), &["create", "film.mp4"])), 0);
    for key in [&["payee.key"][..], &["--session", "session.key"]] {
        assert_eq!(
            code(&piecework(dir.path(), &[&["key", "new"], key].concat())),
            0
        );
    }
    for (args, says) in [
        (&["--resell", "50"][..], "--payee-key"),
        (&["--sell-price", "5"], "--payee-key"),
        (&["--resell", "0", "--payee-key", "payee.key"], "1..=255"),
        (
            &[
                "--resell",
                "9",
                "--sell-price",
                "5",
                "--payee-key",
                "payee.key",
            ],
            "--sell-price",
        ),
        (&["--payee-key", "payee.key"], "--sell-price or --resell"),
        (&["--sell-price", "ten", "--payee-key", "payee.key"], "ten"),
        (
            &["--sell-price", "5", "--payee-key", "payee.key"],
            "--deployment",
        ),
        (
            &["--resell", "50", "--payee-key", "session.key"],
            "make a payee key",
        ),
    ] {
        let get = ["get", "film.mp4.torrent", "-o", "out", "--seed"];
        let output = piecework(dir.path(), &[&get[..], args].concat());
        assert_eq!(code(&output), 2, "{args:?}: {}", stdout(&output));
        assert!(
            stderr(&output).contains(says),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn completions_and_manual_are_printed_or_written() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = piecework(dir.path(), &["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        assert!(stdout(&output).contains("withdraw"), "{shell}");
    }
    let page = stdout(&piecework(dir.path(), &["man"]));
    assert!(
        page.contains(".SH NAME") && page.contains("withdraw"),
        "{page}"
    );
    assert_eq!(code(&piecework(dir.path(), &["man", "pages"])), 0);
    for page in ["piecework.1", "piecework-get.1", "piecework-vault-deploy.1"] {
        let page = std::fs::read_to_string(dir.path().join("pages").join(page)).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    assert_eq!(
        code(&piecework(dir.path(), &["man", "pages/piecework.1/x"])),
        1
    );
}
