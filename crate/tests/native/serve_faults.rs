//! The daemon in trouble: a disk that takes no record, a watch folder that is not there for a while, and what an
//! earlier configuration left on record.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::common::daemon::{Daemon, config, torrent_of, with_tracker};
use crate::common::{Film, content, create};
use serde_json::Value;

/// Turns in which a daemon that looks once a second has looked.
const LOOKS: usize = 4;

fn record(home: &Path) -> String {
    fs::read_to_string(home.join("data/.piecework/serve/torrents.json")).unwrap()
}

/// Some turns, in which the daemon says nothing but what it says in each.
fn is_quiet(daemon: &mut Daemon) {
    for _ in 0..LOOKS {
        let said = daemon.until(|line| {
            ["stats", "warning", "added"].contains(&line["event"].as_str().unwrap_or_default())
        });
        assert_eq!(said["event"], "stats", "{said}");
    }
}

/// Makes the watch folder another folder in one step, as a mount does: the daemon never looks in between.
fn shows(home: &Path, folder: &str) {
    let new = home.join("watch.new");
    symlink(folder, &new).unwrap();
    fs::rename(&new, home.join("watch")).unwrap();
}

fn warning_of<'a>(text: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |line| {
        line["event"] == "warning"
            && line["text"]
                .as_str()
                .is_some_and(|said| said.contains(text))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_written_is_named_once_and_written_later() {
    with_tracker(|tracker| {
        let film = Film::named("a.mp4", content(300_000), &tracker);
        let home = tempfile::tempdir().unwrap();
        let mut daemon = Daemon::start(home.path(), &config(&tracker, ""));
        let body = torrent_of(&film);
        let body = Some(("application/x-bittorrent", &body[..]));
        assert_eq!(daemon.request("POST", "/torrents", body).status, 201);
        // Nothing can be written there.
        let new = home.path().join("data/.piecework/serve/torrents.json.new");
        fs::create_dir(&new).unwrap();
        let _other = film.seeded();
        daemon.until(warning_of("torrents.json cannot be written"));
        is_quiet(&mut daemon);
        assert!(!record(home.path()).contains("\"complete\": true"));
        fs::remove_dir(&new).unwrap();
        let writes = |_: usize| {
            daemon.until(|line| line["event"] == "stats");
            record(home.path()).contains("\"complete\": true")
        };
        assert!((0..60).any(writes), "it is not on record");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_torrent_stays_away_while_the_disk_of_the_watch_folder_is_off_and_after() {
    with_tracker(|tracker| {
        let film = Film::named("a.mp4", content(300_000), &tracker);
        let home = tempfile::tempdir().unwrap();
        let (disk, mount) = (home.path().join("disk"), home.path().join("mount"));
        fs::create_dir(&disk).unwrap();
        fs::create_dir(&mount).unwrap();
        shows(home.path(), "disk");
        let file = disk.join("a.torrent");
        fs::write(&file, torrent_of(&film)).unwrap();
        let rest = "[watch]\nfolder = \"watch\"\nevery = 1\nfetch = false\n";
        let mut daemon = Daemon::start(home.path(), &config(&tracker, rest));
        daemon.until(|line| line["event"] == "added");
        let path = format!("/torrents/{}", film.info_hash);
        assert_eq!(daemon.request("DELETE", &path, None).status, 200);
        // Where it was mounted is an empty folder then. Also a daemon that starts sees nothing but that.
        shows(home.path(), "mount");
        is_quiet(&mut daemon);
        assert!(record(home.path()).contains(&film.info_hash));
        let mut daemon = daemon.restart();
        is_quiet(&mut daemon);
        shows(home.path(), "disk");
        is_quiet(&mut daemon);
        assert!(daemon.torrents().is_empty());
        // Taken out of the same folder and put there again it is new.
        fs::remove_file(&file).unwrap();
        let forgets = |_: usize| {
            daemon.until(|line| line["event"] == "stats");
            !record(home.path()).contains(&film.info_hash)
        };
        assert!((0..60).any(forgets), "it is not forgotten");
        fs::write(&file, torrent_of(&film)).unwrap();
        daemon.until(|line| line["event"] == "added");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_watch_folder_has_and_could_not_be_taken_up_is_tried_again() {
    with_tracker(|tracker| {
        let film = Film::named("a.mp4", content(300_000), &tracker);
        let home = tempfile::tempdir().unwrap();
        let watched = home.path().join("watch");
        fs::create_dir(&watched).unwrap();
        let rest = "[watch]\nfolder = \"watch\"\nevery = 1\nfetch = false\ndata = \"disk/films\"\n";
        let mut daemon = Daemon::start(home.path(), &config(&tracker, rest));
        // No folder can be made there.
        let disk = home.path().join("disk");
        let _ = fs::remove_dir_all(&disk);
        fs::write(&disk, "").unwrap();
        fs::write(watched.join("a.torrent"), torrent_of(&film)).unwrap();
        daemon.until(warning_of("cannot hold data"));
        // Tried in vain it is not named again.
        is_quiet(&mut daemon);
        is_quiet(&mut daemon);
        fs::remove_file(&disk).unwrap();
        daemon.until(|line| line["event"] == "added" && line["info_hash"] == film.info_hash);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_on_record_that_nobody_can_be_paid_stops_no_start() {
    with_tracker(|tracker| {
        let film = Film::named("a.mp4", content(300_000), &tracker);
        let home = tempfile::tempdir().unwrap();
        let dir = film.dir.path().display();
        let rest = format!("[[torrent]]\nsource = \"{dir}/film.torrent\"\ndata = \"{dir}\"\n");
        let mut daemon = Daemon::start(home.path(), &config(&tracker, &rest));
        daemon.seeds(&[&film.info_hash]);
        // As a command left it while there was a table [sell].
        daemon.program.signal("-TERM");
        assert_eq!(daemon.program.exit_code(), Some(0));
        drop(daemon);
        let mut kept: Value = serde_json::from_str(&record(home.path())).unwrap();
        kept["torrents"][&film.info_hash]["price"] = "3".into();
        let file = home.path().join("data/.piecework/serve/torrents.json");
        fs::write(&file, kept.to_string()).unwrap();
        let mut daemon = Daemon::start_again(home.path());
        daemon.says("warning", &[&film.info_hash]);
        daemon.seeds(&[&film.info_hash]);
        let shown = daemon.get(&format!("/torrents/{}", film.info_hash));
        assert_eq!(shown["tokens_per_gb"], "0", "{shown}");
        // The price holds again once somebody can be paid.
        let kept: Value = serde_json::from_str(&record(home.path())).unwrap();
        assert_eq!(kept["torrents"][&film.info_hash]["price"], "3");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_title_has_is_named_and_not_deleted() {
    with_tracker(|tracker| {
        let bytes = content(300_000);
        let one = Film::named("a.mp4", bytes.clone(), &tracker);
        let home = tempfile::tempdir().unwrap();
        let _other = one.seeded();
        let mut daemon = Daemon::start(home.path(), &config(&tracker, ""));
        let add = |daemon: &Daemon, torrent: &[u8]| {
            let body = Some(("application/x-bittorrent", torrent));
            assert_eq!(daemon.request("POST", "/torrents", body).status, 201);
        };
        add(&daemon, &torrent_of(&one));
        daemon.seeds(&[&one.info_hash]);
        // The same file as a torrent of other pieces.
        let second = one.dir.path().join("second.torrent");
        let args = ["--piece-length", "32K", "--tracker", &tracker];
        let made = create(one.dir.path(), "a.mp4", second.to_str().unwrap(), &args);
        add(&daemon, &fs::read(&second).unwrap());
        let other = made["info_hash"].as_str().unwrap();
        daemon.seeds(&[other]);
        let path = format!("/torrents/{}?data=delete", one.info_hash);
        let removed = daemon.request("DELETE", &path, None);
        assert_eq!(removed.status, 200, "{}", removed.text);
        let removed = removed.json();
        assert_eq!(removed["deletes_data"], true, "{removed}");
        assert_eq!(removed["kept_files"][0]["info_hash"], other, "{removed}");
        let kept = removed["kept_files"][0]["path"].as_str().unwrap();
        assert!(kept.ends_with("data/a.mp4"), "{removed}");
        daemon.program.signal("-TERM");
        assert_eq!(daemon.program.exit_code(), Some(0));
        assert_eq!(fs::read(home.path().join("data/a.mp4")).unwrap(), bytes);
    })
    .await;
}
