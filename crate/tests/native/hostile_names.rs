//! Torrents whose names and paths mean harm, on a real file system: nothing outside their folder is touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use piecework::client::{
    AddOptions, Client, Command, Config, Effect, EffectResult, Event, Input, Output, Source,
    StorageOp,
};
use piecework::metainfo::Metainfo;
use piecework::metainfo::raw::raw_paths;
use piecework::native::storage::Storage;
use piecework::time::Timestamp;
use piecework::types::{EffectId, InfoHash};
use sha1::{Digest, Sha1};
use tokio::sync::mpsc;

/// A bencoded string (BEP 3).
fn string(text: &[u8]) -> Vec<u8> {
    [format!("{}:", text.len()).as_bytes(), text].concat()
}

/// A .torrent of files of five bytes each.
fn torrent(name: &[u8], paths: &[Vec<&[u8]>]) -> Vec<u8> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(b"d6:lengthi5e4:pathl");
        path.iter().for_each(|part| files.extend(string(part)));
        files.extend(b"ee");
    }
    let content = b"hello".repeat(paths.len());
    let hash = Sha1::digest(&content);
    [
        b"d4:infod5:filesl".to_vec(),
        files,
        b"e4:name".to_vec(),
        string(name),
        b"12:piece lengthi16384e6:pieces".to_vec(),
        string(&hash),
        b"ee".to_vec(),
    ]
    .concat()
}

/// What the client asks of its storage for this torrent.
fn opening(torrent: &[u8]) -> (InfoHash, StorageOp) {
    let mut client = Client::new(Config::default(), [7; 32], Vec::new(), Timestamp::ZERO);
    let add = Command::Add {
        tag: 1,
        source: Source::Torrent(Bytes::copy_from_slice(torrent)),
        options: AddOptions::default(),
    };
    client.handle_input(Timestamp::ZERO, Input::Command(add));
    let mut added = None;
    loop {
        match client.poll_output() {
            Output::Event(Event::Added { result, .. }) => added = Some(result.expect("taken up")),
            Output::Effect {
                effect:
                    Effect::Storage {
                        op: op @ StorageOp::Open { .. },
                        ..
                    },
                ..
            } => return (added.expect("added"), op),
            Output::Timeout(_) => panic!("storage is not opened"),
            _ => {}
        }
    }
}

/// Everything below a folder, with the bytes of its files. Links are not followed.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(tree(&path));
            found.insert(path, None);
        } else if kind.is_symlink() {
            found.insert(path, None);
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, Some(bytes));
        }
    }
    found
}

#[test]
fn hostile_names_and_paths_never_leave_the_data_folder() {
    let parts: Vec<&[u8]> = vec![
        b"..",
        b".",
        b"",
        b"../../outside",
        b"..\\..\\outside",
        b"/tmp/outside",
        b"/",
        b"C:\\outside",
        b"outside\0.txt",
        b"\xc0\xae\xc0\xae/outside",
        b"%2e%2e%2foutside",
        b"~",
        b"<img src=x onerror=alert(1)>",
        b"link",
        b"plain",
    ];
    let mut torrents: Vec<Vec<u8>> = Vec::new();
    for a in &parts {
        // Each as the torrent's name, as a folder, as a file, and climbing.
        torrents.push(torrent(a, &[vec![b"plain"]]));
        torrents.push(torrent(b"plain", &[vec![a]]));
        for b in &parts {
            torrents.push(torrent(
                a,
                &[vec![b"..", a, b], vec![a, b], vec![b, a, b"x"]],
            ));
        }
    }
    let root = tempfile::tempdir().unwrap();
    let (data, state) = (root.path().join("a/b/data"), root.path().join("a/b/state"));
    let bystander = root.path().join("a/b/outside");
    fs::create_dir_all(&data).unwrap();
    fs::create_dir_all(&state).unwrap();
    fs::write(&bystander, "untouched").unwrap();
    // A link that lies where a torrent wants to write must not lead it out.
    #[cfg(unix)]
    std::os::unix::fs::symlink(root.path().join("a"), data.join("link")).unwrap();
    let before = tree(root.path().join("a/b").as_path()).len();
    let (sender, mut results) = mpsc::channel(64);
    let mut storage = Storage::new(&data, &state, false, sender).unwrap();
    let mut next = 0;
    let mut written = 0;
    for bytes in &torrents {
        let meta = Metainfo::from_torrent(bytes).expect("a torrent with odd names is a torrent");
        let (info_hash, open) = opening(bytes);
        let length = meta.total_length;
        let write = StorageOp::Write {
            spans: meta.spans(0, length).collect(),
            chunks: vec![b"hello".repeat(meta.files.len()).into()],
        };
        // The next torrent of these names finds them free.
        let delete = true;
        for op in [open, write, StorageOp::Close { delete }] {
            let writes = matches!(op, StorageOp::Write { .. });
            next += 1;
            let raw = raw_paths(&meta.info);
            if storage.submit(info_hash, EffectId(next), op, raw).is_err() {
                continue;
            }
            let Some(Input::EffectDone { result, .. }) = results.blocking_recv() else {
                panic!("an effect ends");
            };
            written += u32::from(writes && matches!(result, Ok(EffectResult::Done)));
            if !writes {
                continue;
            }
            for (path, bytes) in tree(&data) {
                let name = path.file_name().unwrap().to_str().expect("UTF-8");
                assert!(!name.contains(['<', '>', '"', '\\', ':', '\0']), "{name:?}");
                if let Some(bytes) = bytes {
                    assert_eq!(bytes, b"hello", "{}", path.display());
                }
            }
        }
    }
    storage.finish(true);
    assert_eq!(fs::read(&bystander).unwrap(), b"untouched");
    let outside: Vec<_> = (tree(root.path()).into_keys())
        .filter(|path| !path.starts_with(&data) && !path.starts_with(&state))
        .collect();
    let expected = [
        root.path().join("a"),
        root.path().join("a/b"),
        bystander.clone(),
    ];
    assert_eq!(outside, expected);
    assert!(before >= 3);
    // All but those whose folder is the planted link.
    assert!(written as usize > torrents.len() * 3 / 4, "{written}");
}
