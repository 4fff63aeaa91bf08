//! Web seeds (BEP 19) of the program: real HTTP servers on this machine, good and bad.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::common::web::{Serves, WebServer};
use crate::common::{Ended, Program, content, create, json, piecework};

const NAME: &str = "a film ü.mp4";

/// A folder with a film, and its torrent, which names these web seeds and no tracker.
fn film(length: usize, web_seeds: &[&str]) -> (TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let bytes = content(length);
    fs::write(dir.path().join(NAME), &bytes).unwrap();
    torrent(dir.path(), web_seeds);
    (dir, bytes)
}

fn torrent(dir: &Path, web_seeds: &[&str]) {
    let urls = web_seeds.iter().flat_map(|url| ["--web-seed", url]);
    let args: Vec<&str> = ["--piece-length", "64K", "--force"]
        .into_iter()
        .chain(urls)
        .collect();
    create(dir, NAME, "film.torrent", &args);
}

fn get(dir: &Path, args: &[&str]) -> Ended {
    let all = [&["get", "film.torrent", "-o", "got", "--json"], args].concat();
    Ended::of(&piecework(dir, &all))
}

/// A server with the folder's files.
fn server(dir: &Path, serves: Serves) -> WebServer {
    WebServer::start(dir, serves)
}

fn assert_got(dir: &TempDir, bytes: &[u8]) {
    assert!(fs::read(dir.path().join("got").join(NAME)).unwrap() == bytes);
}

#[test]
fn a_torrent_with_a_web_seed_and_no_tracker_is_fetched() {
    let (dir, bytes) = film(1_500_000, &[]);
    let web = server(dir.path(), Serves::Right);
    torrent(dir.path(), &[&format!("{}/", web.url)]);
    get(dir.path(), &["--local-web-seeds"]).assert_done();
    assert_got(&dir, &bytes);
    let asked = web.asked();
    assert_eq!(asked.keys().collect::<Vec<_>>(), ["/a%20film%20%C3%BC.mp4"]);
    assert!(asked.values().sum::<usize>() < 12, "{asked:?}");
    for request in web.requests() {
        let request = request.to_ascii_lowercase();
        assert!(request.contains("accept-encoding: identity"), "{request}");
        for header in ["cookie", "referer", "authorization"] {
            assert!(!request.contains(header), "{request}");
        }
    }
    // Run again: everything is there, and nobody is asked.
    get(dir.path(), &["--local-web-seeds"]).assert_done();
    assert_eq!(web.asked(), asked);
}

#[test]
fn a_folder_of_files_is_fetched_from_a_web_seed() {
    let dir = tempfile::tempdir().unwrap();
    let album = dir.path().join("Älbum #1");
    fs::create_dir_all(album.join("part 100%")).unwrap();
    fs::write(album.join("a?.bin"), content(300_000)).unwrap();
    fs::write(album.join("empty"), b"").unwrap();
    fs::write(album.join("part 100%/ü+b.bin"), content(450_001)).unwrap();
    let web = server(dir.path(), Serves::Right);
    let args = ["--piece-length", "32K", "--web-seed", &web.url];
    create(dir.path(), "Älbum #1", "film.torrent", &args);
    get(dir.path(), &["--local-web-seeds"]).assert_done();
    // The one has a name that no file has everywhere.
    for (file, safe) in [
        ("a?.bin", "a_.bin"),
        ("part 100%/ü+b.bin", "part 100%/ü+b.bin"),
    ] {
        let got = fs::read(dir.path().join("got/Älbum #1").join(safe)).unwrap();
        assert!(got == fs::read(album.join(file)).unwrap(), "{file}");
    }
}

#[test]
fn a_web_seed_is_in_the_torrent_and_in_its_link() {
    let (dir, _) = film(
        100_000,
        &["https://w.example/films/", "http://x.example/f.mp4"],
    );
    let shown = json(&piecework(dir.path(), &["info", "film.torrent", "--json"]));
    let urls = serde_json::json!(["https://w.example/films/", "http://x.example/f.mp4"]);
    assert_eq!(shown["web_seeds"], urls);
    let link = shown["magnet"].as_str().unwrap();
    let shown = json(&piecework(dir.path(), &["info", link, "--json"]));
    assert_eq!(shown["web_seeds"], urls);
    for bad in ["ftp://w.example/f", "https://u:p@w.example/f", "w.example"] {
        let refused = Ended::of(&piecework(dir.path(), &["create", NAME, "--web-seed", bad]));
        refused.assert_code(2, bad);
    }
}

fn is_web_seed_warning(line: &serde_json::Value) -> bool {
    let text = line["text"].as_str().unwrap_or_default();
    line["event"] == "warning" && text.contains("the web seed")
}

/// Fetches with one web seed, until it is said what is wrong with it.
fn refused(dir: &Path, args: &[&str]) -> String {
    let all = [&["get", "film.torrent", "-o", "got", "--json"], args].concat();
    let mut program = Program::start_in(dir, &all);
    let warning = program.until(is_web_seed_warning);
    warning["text"].as_str().unwrap().to_owned()
}

#[test]
fn a_torrent_does_not_lead_to_this_machine_and_the_user_does() {
    let (dir, bytes) = film(400_000, &[]);
    let web = server(dir.path(), Serves::Right);
    let by_name = web.url.replace("127.0.0.1", "localhost");
    for url in [&web.url, &by_name] {
        torrent(dir.path(), &[&format!("{url}/")]);
        let said = refused(dir.path(), &[]);
        assert!(said.contains("--local-web-seeds"), "{said}");
    }
    assert!(web.asked().is_empty());
    let given = format!("{}/", web.url);
    get(
        dir.path(),
        &["--no-torrent-web-seeds", "--web-seed", &given],
    )
    .assert_done();
    assert_got(&dir, &bytes);
}

#[test]
fn redirects_are_followed_a_few_times_and_nowhere_else() {
    let (dir, bytes) = film(400_000, &[]);
    let web = server(dir.path(), Serves::Right);
    let first = server(dir.path(), Serves::To(web.url.clone()));
    let round = {
        // A server that leads to itself, by its own relative path.
        server(dir.path(), Serves::To(String::new()))
    };
    let away = server(dir.path(), Serves::To("file:///etc".to_owned()));
    for (server, says) in [
        (&round, "redirects more than 5 times"),
        (&away, "redirects to"),
    ] {
        let said = refused(dir.path(), &["--web-seed", &format!("{}/", server.url)]);
        assert!(said.contains(says), "{said}");
        assert!(server.asked().values().sum::<usize>() <= 12);
    }
    get(dir.path(), &["--web-seed", &format!("{}/", first.url)]).assert_done();
    assert_got(&dir, &bytes);
    assert!(!first.asked().is_empty());
}

#[test]
fn each_bad_answer_is_told_and_another_web_seed_brings_the_film() {
    // All at once: most of the time is patience.
    let cases = [
        (Serves::WholeFiles, "must serve ranges"),
        (Serves::Range("bytes 1-2/3"), "another range"),
        (Serves::Header("content-encoding: gzip"), "compresses"),
        (Serves::Status("404 Not Found"), "does not have the file"),
        (Serves::Status("403 Forbidden"), "refuses"),
        (Serves::Status("416 Range Not Satisfiable"), "shorter"),
        (
            Serves::Status("503 Service Unavailable\r\nretry-after: 1"),
            "busy",
        ),
        (Serves::BreaksOff, "broke off"),
        (Serves::Wrong, "not the torrent's"),
        (Serves::Drips, "too slowly"),
    ];
    std::thread::scope(|scope| {
        for (serves, says) in cases {
            scope.spawn(move || tells_and_goes_on(serves, says));
        }
    });
}

fn tells_and_goes_on(serves: Serves, says: &str) {
    let (dir, bytes) = film(2_000_000, &[]);
    let bad = server(dir.path(), serves);
    let good = server(dir.path(), Serves::Right);
    let bad_url = format!("{}/", bad.url);
    let said = refused(dir.path(), &["--web-seed", &bad_url]);
    assert!(said.contains(says) && said.contains(&bad.url), "{said}");
    let good_url = format!("{}/", good.url);
    let args = ["--web-seed", &bad_url, "--web-seed", &good_url];
    get(dir.path(), &args).assert_done();
    assert_got(&dir, &bytes);
}

#[test]
fn a_web_seed_that_is_not_there_is_told_and_given_up() {
    let (dir, _) = film(300_000, &[]);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let said = refused(dir.path(), &["--web-seed", &url]);
    assert!(said.contains("could not be asked"), "{said}");
    let args = [
        "get",
        "film.torrent",
        "-o",
        "got",
        "--json",
        "--stats",
        "1",
        "--web-seed",
        &url,
    ];
    let mut program = Program::start_in(dir.path(), &args);
    let dropped = program.until(|line| {
        line["event"] == "progress" && line["torrents"][0]["web_seeds"][0]["state"] == "dropped"
    });
    let note = &dropped["torrents"][0]["web_seeds"][0]["note"];
    assert!(note.as_str().unwrap().contains("could not be asked"));
}
