//! `get` fetches the files that it is told to, and leaves the others of an album alone.

use std::fs;
use std::path::Path;

use crate::common::{Ended, Program, Tracker, content, create, json, piecework, untouched};

const FILES: [(&str, usize); 5] = [
    ("1.mp4", 100_000),
    ("2.mp4", 200_000),
    ("3.mp4", 150_000),
    ("extras/a.txt", 90_000),
    ("extras/b.txt", 80_000),
];

#[tokio::test(flavor = "multi_thread")]
async fn get_fetches_the_files_that_are_named_by_index_path_or_link_and_no_others() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let made = tempfile::tempdir().unwrap();
        let album = made.path().join("album");
        fs::create_dir_all(album.join("extras")).unwrap();
        for (name, length) in FILES {
            fs::write(album.join(name), content(length)).unwrap();
        }
        let args = ["--piece-length", "16K", "--tracker", &url];
        let torrent = create(made.path(), "album", "album.torrent", &args);
        let info = json(&piecework(
            made.path(),
            &["info", "album.torrent", "--json"],
        ));
        let path = |at: usize| info["files"][at]["path"].as_array().unwrap().len();
        assert_eq!((info["files"][3]["index"].as_u64(), path(3)), (Some(3), 3));
        let seed = ["seed", "album.torrent", "--data", ".", "--json"];
        let mut seeder = Program::start_in(made.path(), &seed);
        seeder.until(|line| line["event"] == "seeding");
        let get = |what: &str, into: &Path, args: &[&str]| {
            let into = into.to_str().unwrap();
            let all = [&["get", what, "-o", into, "--json"], args].concat();
            Ended::of(&piecework(made.path(), &all))
        };
        // What is here afterwards: whole files, and of others next to nothing.
        let holds = |into: &Path, wanted: &[usize]| {
            for (at, (name, length)) in FILES.iter().enumerate() {
                let got = fs::read(into.join("album").join(name)).unwrap_or_default();
                if wanted.contains(&at) {
                    assert_eq!(got, fs::read(album.join(name)).unwrap(), "{name}");
                } else {
                    let there = got.iter().filter(|byte| **byte != 0).count();
                    assert!(
                        there <= 2 * 16 * 1024 && there < *length,
                        "{name}: {there} bytes"
                    );
                }
            }
        };
        let magnet = format!("{}&so=0", torrent["magnet"].as_str().unwrap());
        for (what, args, wanted) in [
            (
                "album.torrent",
                &["--files", "1,3-4"] as &[&str],
                &[1, 3, 4][..],
            ),
            ("album.torrent", &["--select", "extras/*"], &[3, 4]),
            (
                "album.torrent",
                &["--select", "*.mp4", "--files", "4"],
                &[0, 1, 2, 4],
            ),
            (&magnet, &[], &[0]),
        ] {
            let into = tempfile::tempdir().unwrap();
            get(what, into.path(), args).assert_done();
            holds(into.path(), wanted);
        }

        // A later run goes by the choice, and another choice goes on from there.
        let into = tempfile::tempdir().unwrap();
        get("album.torrent", into.path(), &["--files", "1"]).assert_done();
        let before = untouched(&into.path().join("album"));
        get("album.torrent", into.path(), &[]).assert_done();
        before.assert_same();
        get("album.torrent", into.path(), &["--select", "**"]).assert_done();
        holds(into.path(), &[0, 1, 2, 3, 4]);

        // A user's own file that is left out, and shares no piece with a selected one, is in nobody's way.
        let into = tempfile::tempdir().unwrap();
        fs::create_dir_all(into.path().join("album/extras")).unwrap();
        let own = into.path().join("album/extras/b.txt");
        fs::write(&own, "mine").unwrap();
        let before = untouched(&own);
        get("album.torrent", into.path(), &["--files", "0"]).assert_done();
        before.assert_same();
        let says = ["extras/b.txt", "piecework did not make it"];
        get("album.torrent", into.path(), &["--files", "3"]).assert_refused(2, &says);
        before.assert_same();

        for (args, says) in [
            (["--files", "5"], "the last one of album is 4"),
            (["--files", "one"], "write indices"),
            (["--select", "*.mkv"], "fits no file of album"),
        ] {
            let into = tempfile::tempdir().unwrap();
            get("album.torrent", into.path(), &args).assert_code(2, says);
        }
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}
