//! What the program says of trackers that are of no use, and how many torrents one serves.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use crate::common::{Ended, Film, Program, Tracker, content, create, piecework};

const HASH: &str = "145a73e4e56a7b54f636ffb3c24ea103ad3133a9";

/// A server that answers every request with this, and closes.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    // Ends with the process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let read = stream.read(&mut request);
            if read.is_ok() {
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    url
}

/// Nobody listens there any more.
fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("ws://{}", listener.local_addr().unwrap())
}

#[test]
fn the_reason_why_nothing_comes_is_said_in_words_and_in_json() {
    let film = Film::named("film.mp4", content(20_000), "ws://127.0.0.1:9");
    for (tracker, reason) in [
        (dead(), "refused"),
        (
            answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            "404",
        ),
        (
            answering(
                "HTTP/1.1 302 Found\r\nLocation: https://x.example/\r\nContent-Length: 0\r\n\r\n",
            ),
            "302",
        ),
        (
            answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
            "503",
        ),
        (answering("SSH-2.0-OpenSSH_9.2\r\n"), "HTTP"),
        (answering(""), "Handshake"),
    ] {
        let into = tempfile::tempdir().unwrap();
        let out = into.path().to_str().unwrap();
        let link = format!("magnet:?xt=urn:btih:{HASH}&tr={tracker}");
        let mut words = Program::start(&["get", &link, "-o", out]);
        let line = words.line_with(&format!("tracker {tracker} "));
        assert!(
            line.contains("cannot be used now, and is tried again"),
            "{line}"
        );
        assert!(
            line.to_lowercase().contains(&reason.to_lowercase()),
            "{reason}: {line}"
        );
        drop(words);
        for mut program in [
            Program::start(&["get", &link, "-o", out, "--json"]),
            film.seeding_from(film.dir.path(), &["--tracker", &tracker]),
        ] {
            let said =
                program.until(|line| line["event"] == "tracker" && line["url"] == tracker[..]);
            assert_eq!(said["connected"], false, "{said}");
            let error = said["error"].as_str().unwrap();
            assert!(
                error.to_lowercase().contains(&reason.to_lowercase()),
                "{reason}: {error}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trackers_url_is_taken_as_it_is_pasted_wherever_it_is_typed() {
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let film = Film::named("film.mp4", content(20_000), "ws://127.0.0.1:9");
        let _seeder = film.seeding_from(film.dir.path(), &["--tracker", &url]);
        let upper = url.replace("ws://", "WS://");
        for pasted in [
            format!(" {url}"),
            format!("{url}\n"),
            format!("\u{a0}{url} "),
            upper,
        ] {
            let into = tempfile::tempdir().unwrap();
            film.get(into.path(), &["--tracker", &pasted]).assert_done();
            let made = create(
                film.dir.path(),
                "film.mp4",
                "pasted.torrent",
                &["--force", "--tracker", &pasted],
            );
            let magnet = made["magnet"].as_str().unwrap();
            film.get_from(
                magnet,
                tempfile::tempdir().unwrap().path(),
                &["--tracker", &url],
            )
            .assert_done();
        }
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[test]
fn what_is_no_trackers_url_is_refused_where_it_is_typed() {
    let film = Film::named("film.mp4", content(20_000), "ws://127.0.0.1:9");
    let dir = film.dir.path();
    let unusable = [
        "",
        " ",
        "not a url",
        "ws://",
        "ws://a b",
        "ws://h#x",
        "ws://u:p@h",
        "wss://трекер.example",
        "ws://h:99999",
        "tracker.example",
    ];
    for url in unusable {
        for verb in [
            &["create", "film.mp4", "-o", "new.torrent"][..],
            &["seed", "film.torrent", "--data", "."],
            &["get", "film.torrent", "-o", "out"],
        ] {
            let run = piecework(dir, &[verb, &["--tracker", url]].concat());
            Ended::of(&run).assert_code(2, "--tracker");
        }
    }
    assert!(!dir.join("new.torrent").exists() && !dir.join("out").exists());
    // Other clients' trackers go into a torrent, with a word; they are of no use to this program.
    for url in [
        "udp://tracker.example:80",
        "http://tracker.example/announce",
    ] {
        let made = create(
            dir,
            "film.mp4",
            "new.torrent",
            &["--force", "--tracker", url],
        );
        let note = made["notes"][0].as_str().unwrap();
        assert!(
            note.contains("no browser can use") && note.contains("wss://"),
            "{note}"
        );
        let both = [
            "--force",
            "--tracker",
            url,
            "--tracker",
            "wss://tracker.example",
        ];
        let made = create(dir, "film.mp4", "new.torrent", &both);
        assert_eq!(made["notes"], serde_json::json!([]));
        for verb in [
            ["seed", "film.torrent", "--data", "."],
            ["get", "film.torrent", "-o", "out"],
        ] {
            let run = piecework(dir, &[&verb[..], &["--tracker", url]].concat());
            Ended::of(&run).assert_code(2, "ws://");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_torrents_of_one_seeder_are_found_at_one_tracker() {
    const TORRENTS: usize = 300;
    let tracker = Tracker::start().await;
    let url = tracker.url();
    let ran = tokio::task::spawn_blocking(move || {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        let names: Vec<String> = (0..TORRENTS).map(|n| format!("t{n}.torrent")).collect();
        for (number, torrent) in names.iter().enumerate() {
            let file = format!("d/f{number}");
            fs::write(dir.path().join(&file), format!("f{number}")).unwrap();
            create(dir.path(), &file, torrent, &["--tracker", &url]);
        }
        let mut args = vec!["seed", "--data", "d", "--json"];
        args.extend(names.iter().map(String::as_str));
        let mut seeder = Program::start_in(dir.path(), &args);
        for _ in 0..TORRENTS {
            seeder.until(|line| {
                assert!(
                    line["event"] != "warning" && line["event"] != "tracker",
                    "{line}"
                );
                line["event"] == "seeding"
            });
        }
        // The first, the last, and those about where a socket used to be full.
        for number in [0, 255, 256, TORRENTS - 1] {
            let out = format!("out{number}");
            let got = piecework(dir.path(), &["get", &names[number], "-o", &out, "--json"]);
            Ended::of(&got).assert_done();
            let bytes = fs::read(dir.path().join(out).join(format!("f{number}"))).unwrap();
            assert_eq!(bytes, format!("f{number}").as_bytes());
        }
    });
    ran.await.unwrap();
    tracker.handle.shutdown().await;
}

#[test]
fn a_tracker_that_is_left_out_beside_others_is_named() {
    let link = format!(
        "magnet:?xt=urn:btih:{HASH}&tr=ws://127.0.0.1:9&tr=udp://a.example:80&tr=http://b.example/x"
    );
    let into = tempfile::tempdir().unwrap();
    let mut getter = Program::start(&["get", &link, "-o", into.path().to_str().unwrap(), "--json"]);
    let said = getter.until(|line| line["event"] == "warning");
    let text = said["text"].as_str().unwrap();
    assert!(text.contains("udp://a.example:80 and 1 more"), "{text}");
    assert!(text.contains("ws://"), "{text}");
}

#[test]
fn tls_that_meets_none_is_told_which_scheme_to_write() {
    let plain = answering("HTTP/1.1 400 Bad Request\r\n\r\n").replace("ws://", "wss://");
    let link = format!("magnet:?xt=urn:btih:{HASH}&tr={plain}");
    let into = tempfile::tempdir().unwrap();
    let mut getter = Program::start(&["get", &link, "-o", into.path().to_str().unwrap(), "--json"]);
    let said = getter.until(|line| line["event"] == "tracker");
    let error = said["error"].as_str().unwrap();
    assert!(error.contains("write ws:// instead of wss://"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_works_again_is_said_to() {
    let url = dead();
    let into = tempfile::tempdir().unwrap();
    let link = format!("magnet:?xt=urn:btih:{HASH}&tr={url}");
    let mut getter = Program::start(&["get", &link, "-o", into.path().to_str().unwrap(), "--json"]);
    let address = url.trim_start_matches("ws://").to_owned();
    let mut getter = tokio::task::spawn_blocking(move || {
        getter.until(|line| line["event"] == "tracker");
        getter
    })
    .await
    .unwrap();
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let server = piecework_signaling::serve(listener, piecework_signaling::Config::default());
    let server = server.unwrap();
    tokio::task::spawn_blocking(move || {
        let said = getter.until(|line| line["event"] == "tracker" && line["connected"] == true);
        assert!(said["error"].is_null(), "{said}");
    })
    .await
    .unwrap();
    server.shutdown().await;
}
