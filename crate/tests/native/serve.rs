//! The daemon: what it is told to serve and to fetch, by its configuration, over HTTP, by `ctl` and by a watched
//! folder, and what of it outlives the process.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::daemon::{Daemon, config, torrent_of, with_tracker};
use crate::common::{Ended, Film, Program, content, piecework, untouched};
use serde_json::json;

const PIECE: usize = 16 * 1024;

/// A film whose bytes no other film of the test has.
fn film(name: &str, number: usize, tracker: &str) -> Film {
    Film::named(
        name,
        content(20 * PIECE + number)[number..].to_vec(),
        tracker,
    )
}

/// A table of the configuration.
fn listed(film: &Film) -> String {
    let dir = film.dir.path().display();
    format!("[[torrent]]\nsource = \"{dir}/film.torrent\"\ndata = \"{dir}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn titles_of_several_folders_are_served_and_one_that_lacks_its_data_is_fetched() {
    with_tracker(|tracker| {
        let (a, b, c) = (
            film("a.mp4", 0, &tracker),
            film("b.mp4", 1, &tracker),
            film("c.mp4", 2, &tracker),
        );
        let home = tempfile::tempdir().unwrap();
        // Of the third title the daemon has nothing, and another peer has all.
        let _other = c.seeded();
        let rest = format!(
            "{}{}[[torrent]]\nsource = \"{}/film.torrent\"\n",
            listed(&a),
            listed(&b),
            c.dir.path().display()
        );
        let mut daemon = Daemon::start(home.path(), &config(&tracker, &rest));
        daemon.seeds(&[&a.info_hash, &b.info_hash, &c.info_hash]);
        assert_eq!(fs::read(home.path().join("data/c.mp4")).unwrap(), c.bytes);
        for film in [&a, &b] {
            let into = tempfile::tempdir().unwrap();
            film.get(into.path(), &[]).assert_done();
            assert_eq!(fs::read(into.path().join(&film.name)).unwrap(), film.bytes);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_added_over_http_or_by_the_watch_folder_is_there_after_a_restart() {
    with_tracker(|tracker| {
        let (a, b) = (film("a.mp4", 0, &tracker), film("b.mp4", 1, &tracker));
        let home = tempfile::tempdir().unwrap();
        let watched = home.path().join("watch");
        fs::create_dir(&watched).unwrap();
        let rest = format!(
            "[watch]\nfolder = \"watch\"\nevery = 1\ndata = \"{}\"\n",
            b.dir.path().display()
        );
        let mut daemon = Daemon::start(home.path(), &config(&tracker, &rest));
        let folder = a.dir.path().to_str().unwrap();
        let path = format!("/torrents?data={folder}&fetch=false");
        let bytes = torrent_of(&a);
        let added = daemon.request("POST", &path, Some(("application/x-bittorrent", &bytes)));
        assert_eq!(added.status, 201, "{}", added.text);
        assert_eq!(added.json()["info_hash"], a.info_hash);
        assert_eq!(added.json()["origin"], "http");
        let again = daemon.request("POST", &path, Some(("application/x-bittorrent", &bytes)));
        assert_eq!(again.status, 409, "{}", again.text);
        let dropped = watched.join("b.torrent");
        fs::write(&dropped, torrent_of(&b)).unwrap();
        daemon.until(|line| line["event"] == "added" && line["info_hash"] == b.info_hash);
        daemon.seeds(&[&a.info_hash, &b.info_hash]);

        // The copies that the daemon made are enough.
        fs::remove_file(&dropped).unwrap();
        fs::remove_file(a.dir.path().join("film.torrent")).unwrap();
        let mut daemon = daemon.restart();
        daemon.seeds(&[&a.info_hash, &b.info_hash]);
        let into = tempfile::tempdir().unwrap();
        let link = daemon.get(&format!("/torrents/{}", a.info_hash))["magnet"].clone();
        a.get_from(link.as_str().unwrap(), into.path(), &[])
            .assert_done();
        assert_eq!(fs::read(into.path().join("a.mp4")).unwrap(), a.bytes);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_stays_away_until_it_is_added_again() {
    with_tracker(|tracker| {
        let films: Vec<Film> = (0..3)
            .map(|n| film(&format!("{n}.mp4"), n, &tracker))
            .collect();
        let home = tempfile::tempdir().unwrap();
        let watched = home.path().join("watch");
        fs::create_dir(&watched).unwrap();
        let in_watch = |n: usize| watched.join(format!("{n}.torrent"));
        let rest = format!(
            "[watch]\nfolder = \"watch\"\nevery = 1\nfetch = false\n{}",
            listed(&films[0])
        );
        let mut daemon = Daemon::start(home.path(), &config(&tracker, &rest));
        daemon.seeds(&[&films[0].info_hash]);
        fs::write(in_watch(1), torrent_of(&films[1])).unwrap();
        daemon.until(|line| line["event"] == "added");
        let before = untouched(&films[0].path());
        for film in &films[..2] {
            let path = format!("/torrents/{}", film.info_hash);
            assert_eq!(daemon.request("DELETE", &path, None).status, 200);
            assert_eq!(daemon.request("GET", &path, None).status, 404);
            assert_eq!(daemon.request("DELETE", &path, None).status, 404);
        }
        before.assert_same();
        assert!(daemon.torrents().is_empty());

        // The file lists the one, and the watch folder has the other. The third is looked at after the second.
        let mut daemon = daemon.restart();
        fs::write(in_watch(2), torrent_of(&films[2])).unwrap();
        daemon.until(|line| line["event"] == "added");
        assert_eq!(daemon.torrents(), [films[2].info_hash.clone()].into());

        // Taken out of the folder and put there again it is new.
        fs::remove_file(in_watch(1)).unwrap();
        let state = home.path().join("data/.piecework/serve/torrents.json");
        let forgets = |_: usize| {
            daemon.until(|line| line["event"] == "stats");
            let kept = fs::read_to_string(&state).unwrap();
            !kept.contains(&films[1].info_hash)
        };
        assert!((0..60).any(forgets), "it is not forgotten");
        fs::write(in_watch(1), torrent_of(&films[1])).unwrap();
        daemon.until(|line| line["event"] == "added" && line["info_hash"] == films[1].info_hash);
        let path = films[0].dir.path().join("film.torrent");
        let addition = json!({"path": path, "data": films[0].dir.path()});
        assert_eq!(daemon.post_json("POST", "/torrents", &addition).status, 201);
        let mut daemon = daemon.restart();
        daemon.seeds(&[&films[0].info_hash]);
        assert_eq!(daemon.torrents().len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_deleted_only_where_that_is_asked_for_and_only_what_was_made_here() {
    with_tracker(|tracker| {
        let (a, b) = (film("a.mp4", 0, &tracker), film("b.mp4", 1, &tracker));
        let home = tempfile::tempdir().unwrap();
        let _other = b.seeded();
        let rest = format!(
            "{}[[torrent]]\nsource = \"{}/film.torrent\"\n",
            listed(&a),
            b.dir.path().display()
        );
        let mut daemon = Daemon::start(home.path(), &config(&tracker, &rest));
        daemon.seeds(&[&a.info_hash, &b.info_hash]);
        let wrong = format!("/torrents/{}?data=Delete", a.info_hash);
        assert_eq!(daemon.request("DELETE", &wrong, None).status, 400);
        for film in [&a, &b] {
            let path = format!("/torrents/{}?data=delete", film.info_hash);
            assert_eq!(daemon.request("DELETE", &path, None).status, 200);
        }
        daemon.program.signal("-INT");
        assert_eq!(daemon.program.exit_code(), Some(0));
        assert_eq!(fs::read(a.path()).unwrap(), a.bytes, "the user's own");
        assert!(!home.path().join("data/b.mp4").exists());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_complete_and_is_gone_is_fetched_again_only_when_it_is_added_again() {
    with_tracker(|tracker| {
        let film = film("a.mp4", 0, &tracker);
        let home = tempfile::tempdir().unwrap();
        let _other = film.seeded();
        let mut daemon = Daemon::start(home.path(), &config(&tracker, ""));
        let torrent = torrent_of(&film);
        let body = Some(("application/x-bittorrent", &torrent[..]));
        assert_eq!(daemon.request("POST", "/torrents", body).status, 201);
        daemon.seeds(&[&film.info_hash]);
        // That it is all here goes on record with a look at it.
        daemon.until(|line| line["event"] == "stats");
        daemon.until(|line| line["event"] == "stats");
        // As if its disk were not mounted.
        let got = home.path().join("data/a.mp4");
        fs::rename(&got, home.path().join("elsewhere")).unwrap();
        let mut daemon = daemon.restart();
        daemon.says("incomplete", &[&film.info_hash]);
        for _ in 0..3 {
            let stats = daemon.until(|line| line["event"] == "stats");
            assert_eq!(stats["torrents"][0]["downloaded"], 0, "{stats}");
        }
        assert!(!got.exists());

        let path = format!("/torrents/{}", film.info_hash);
        assert_eq!(daemon.request("DELETE", &path, None).status, 200);
        assert_eq!(daemon.request("POST", "/torrents", body).status, 201);
        daemon.seeds(&[&film.info_hash]);
        assert_eq!(fs::read(&got).unwrap(), film.bytes);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_way_of_one_torrent_stops_no_other() {
    with_tracker(|tracker| {
        let (a, b) = (film("a.mp4", 0, &tracker), film("b.mp4", 1, &tracker));
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("data")).unwrap();
        let mine = home.path().join("data/b.mp4");
        fs::write(&mine, &content(b.bytes.len() + 7)[7..]).unwrap();
        let before = untouched(&mine);
        let source = b.dir.path().join("film.torrent");
        let rest = format!(
            "[[torrent]]\nsource = {:?}\n{}",
            source.to_str().unwrap(),
            listed(&a)
        );
        let mut daemon = Daemon::start(home.path(), &config(&tracker, &rest));
        daemon.seeds(&[&a.info_hash]);
        daemon.says("failed", &[&b.info_hash]);
        let shown = daemon.get(&format!("/torrents/{}", b.info_hash));
        assert_eq!(shown["verified_bytes"], 0, "{shown}");
        before.assert_same();
        let into = tempfile::tempdir().unwrap();
        a.get(into.path(), &[]).assert_done();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctl_lists_adds_removes_and_shows() {
    with_tracker(|tracker| {
        let (a, b) = (film("a.mp4", 0, &tracker), film("b.mp4", 1, &tracker));
        let home = tempfile::tempdir().unwrap();
        let mut daemon = Daemon::start(home.path(), &config(&tracker, &listed(&a)));
        daemon.seeds(&[&a.info_hash]);
        let (url, token_file) = (daemon.url.clone(), daemon.token_file.clone());
        let ctl = |args: &[&str]| {
            let place = ["ctl", "--url", &url, "--token-file", &token_file];
            Ended::of(&piecework(b.dir.path(), &[&place, args].concat()))
        };
        let folder = b.dir.path().to_str().unwrap();
        ctl(&["add", "film.torrent", "--data", folder, "--no-fetch"]).assert_code(0, &b.info_hash);
        daemon.seeds(&[&b.info_hash]);
        let list = ctl(&["list"]);
        list.assert_code(0, &a.info_hash);
        assert_eq!(list.said.lines().count(), 2, "{}", list.said);
        assert!(
            list.said.contains("seeding") && list.said.contains("b.mp4"),
            "{}",
            list.said
        );
        ctl(&["remove", &a.info_hash]).assert_code(0, "removed");
        ctl(&["remove", &a.info_hash]).assert_refused(2, &["is not here"]);
        ctl(&["stats"]).assert_code(0, "torrents    1");
        let stats = ctl(&["--json", "stats"]);
        let stats: serde_json::Value = serde_json::from_str(&stats.said).unwrap();
        assert_eq!(stats["torrents"], 1);
        // A link, and what is neither.
        let link = format!("magnet:?xt=urn:btih:{}", a.info_hash);
        ctl(&["add", &link]).assert_code(0, &a.info_hash);
        ctl(&["add", "nothing.torrent"]).assert_refused(2, &["nothing.torrent"]);
        ctl(&["price", &a.info_hash, "3"]).assert_refused(2, &["[sell]", "payee_key"]);
        ctl(&["price", "a.mp4", "3"]).assert_refused(2, &["not an info hash"]);
        let stranger = home.path().join("other");
        fs::write(&stranger, "0".repeat(64)).unwrap();
        fs::set_permissions(&stranger, fs::Permissions::from_mode(0o600)).unwrap();
        let place = [
            "ctl",
            "--url",
            &url,
            "--token-file",
            stranger.to_str().unwrap(),
            "list",
        ];
        Ended::of(&piecework(home.path(), &place)).assert_refused(2, &["Bearer TOKEN"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctl_finds_the_daemon_by_its_configuration() {
    let home = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let text =
        config("ws://127.0.0.1:9", "").replace("127.0.0.1:0\"", &format!("127.0.0.1:{port}\""));
    let _daemon = Daemon::start(home.path(), &text);
    let elsewhere = tempfile::tempdir().unwrap();
    let config = home.path().join("serve.toml");
    let ctl = ["ctl", "--config", config.to_str().unwrap(), "list"];
    Ended::of(&piecework(elsewhere.path(), &ctl)).assert_code(0, "no torrents");
}

#[test]
fn one_state_folder_has_one_daemon() {
    let home = tempfile::tempdir().unwrap();
    let text = config("ws://127.0.0.1:9", "");
    let first = Daemon::start(home.path(), &text);
    let second = Ended::of(&piecework(home.path(), &["serve", "serve.toml"]));
    second.assert_refused(2, &["is in use by another piecework process"]);
    drop(first);
    Daemon::start_again(home.path());
}

#[test]
fn the_example_is_valid_and_a_broken_configuration_names_key_and_remedy() {
    let home = tempfile::tempdir().unwrap();
    let example = piecework(home.path(), &["serve", "--example"]);
    fs::write(home.path().join("serve.toml"), &example.stdout).unwrap();
    let check = |text: &str| {
        fs::write(home.path().join("broken.toml"), text).unwrap();
        Ended::of(&piecework(
            home.path(),
            &["serve", "broken.toml", "--check"],
        ))
    };
    let valid = Ended::of(&piecework(home.path(), &["serve", "serve.toml", "--check"]));
    valid.assert_code(
        0,
        "serve.toml is valid: 0 torrents, commands at http://127.0.0.1:7070",
    );
    // A check makes nothing.
    assert!(!home.path().join("films").exists());

    piecework(home.path(), &["key", "new", "payee.key"]);
    fs::write(home.path().join("file"), "").unwrap();
    let chain = "[chain]\nvault = \"0x00000000000000000000000000000000000000aa\"\nchain_id = 10\n\
        rpc = \"http://127.0.0.1:9\"\n";
    let sell = format!("{chain}[sell]\npayee_key = \"payee.key\"\n");
    for (rest, says) in [
        (
            "colour = 1".to_owned(),
            ["line 2", "unknown field `colour`", "`data`"],
        ),
        (
            "[http]\nlisten = \"0.0.0.0:7070\"".to_owned(),
            ["http.listen", "other machines", "allow_remote = true"],
        ),
        (
            "[http]\nlisten = \"127.0.0.1\"".to_owned(),
            ["line 3", "http.listen", "127.0.0.1:7070"],
        ),
        (
            "[limits]\nupload = \"fast\"".to_owned(),
            ["line 3", "limits.upload", "64K"],
        ),
        (
            "[[torrent]]\nsource = \"none.torrent\"".to_owned(),
            ["torrent[0].source", "none.torrent", "give a .torrent file"],
        ),
        (
            "[watch]\nfolder = \"none\"".to_owned(),
            ["watch.folder", "is not a folder", "make it first"],
        ),
        (
            "[chain]\nchain_id = 10".to_owned(),
            ["chain", "`deployment`", "`rpc`"],
        ),
        (
            "[sell]\npayee_key = \"payee.key\"".to_owned(),
            ["sell", "the vault is not known", "[chain]"],
        ),
        (
            format!("{chain}[sell]\npayee_key = \"none.key\""),
            ["sell.payee_key", "none.key", "piecework key new"],
        ),
        (
            format!("{sell}price = \"1.2.3\""),
            ["sell.price", "is not a price", "such as 10"],
        ),
        (
            format!("{sell}price = 0.5"),
            ["line 8", "sell.price", "\"0.5\""],
        ),
        (
            format!("{sell}max_gas_percent = 5"),
            ["sell.max_gas_percent", "`coin_price`", "give it"],
        ),
        (
            "[watch]\nfolder = \".\"\nprice = 3".to_owned(),
            ["watch.price", "[sell]", "`payee_key`"],
        ),
        (
            "[network]\nrelay_only = true".to_owned(),
            ["network.relay_only", "TURN", "`ice_servers`"],
        ),
    ] {
        check(&format!("data = \"data\"\n{rest}\n")).assert_refused(2, &says);
    }
    // Nobody answers at that RPC server, and nobody is asked.
    let sells = format!("data = \"data\"\n{sell}price = \"0.5\"\n");
    check(&sells).assert_code(0, "broken.toml is valid");
    check("data = \"file\"").assert_refused(2, &["data", "is not a folder"]);
    check("data = \"d\"\nstate = \"d\"").assert_refused(2, &["a folder each"]);
    check("data = ").assert_refused(2, &["line 1"]);
    check("").assert_refused(2, &["missing field `data`"]);
    let none = Ended::of(&piecework(home.path(), &["serve", "none.toml"]));
    none.assert_refused(2, &["none.toml", "piecework serve --example"]);
    assert!(!home.path().join("data").exists());
}

#[test]
fn a_state_that_cannot_be_understood_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let own = home.path().join("data/.piecework/serve");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("torrents.json"), "{").unwrap();
    fs::write(
        home.path().join("serve.toml"),
        config("ws://127.0.0.1:9", ""),
    )
    .unwrap();
    let ended = run_to_end(home.path());
    ended.assert_refused(2, &["torrents.json", "move it away"]);
    assert_eq!(fs::read_to_string(own.join("torrents.json")).unwrap(), "{");
}

#[test]
fn an_address_that_is_taken_is_named_and_the_state_folder_is_free_again() {
    let home = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = config("ws://127.0.0.1:9", "");
    fs::write(
        home.path().join("serve.toml"),
        text.replace("127.0.0.1:0", &address),
    )
    .unwrap();
    run_to_end(home.path()).assert_refused(1, &[&address, "http.listen"]);
    Daemon::start(home.path(), &text);
}

fn run_to_end(dir: &Path) -> Ended {
    Ended::of(&piecework(dir, &["serve", "serve.toml"]))
}

#[test]
fn without_http_it_serves_and_ends_in_order() {
    let home = tempfile::tempdir().unwrap();
    let one = film("a.mp4", 0, "ws://127.0.0.1:9");
    let text = format!(
        "data = \"data\"\n[network]\nice_servers = []\n{}",
        listed(&one)
    );
    fs::write(home.path().join("serve.toml"), text).unwrap();
    let mut daemon = Program::start_in(home.path(), &["serve", "serve.toml", "--json"]);
    daemon.until(|line| line["event"] == "seeding");
    daemon.signal("-TERM");
    daemon.until(|line| line["event"] == "summary");
    assert_eq!(daemon.exit_code(), Some(0));
    assert!(!home.path().join("data/.piecework/serve/token").exists());
}
