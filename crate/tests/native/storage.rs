//! Files and records on a real file system.

use bytes::Bytes;
use piecework::client::{EffectError, EffectResult, Input, StorageOp};
use piecework::metainfo::FileSpan;
use piecework::native::records::{Records, RecordsError};
use piecework::native::storage::Storage;
use piecework::types::{EffectId, InfoHash};
use sha1::{Digest, Sha1};
use tempfile::TempDir;
use tokio::sync::mpsc;

const TORRENT: InfoHash = InfoHash([0xab; 20]);

struct Disk {
    data: TempDir,
    state: TempDir,
    storage: Storage,
    results: mpsc::Receiver<Input>,
    next: u64,
}

impl Disk {
    fn new() -> Disk {
        let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (sender, results) = mpsc::channel(64);
        let storage = Storage::new(data.path(), state.path(), false, sender).unwrap();
        Disk {
            data,
            state,
            storage,
            results,
            next: 0,
        }
    }

    fn run(&mut self, op: StorageOp) -> Result<EffectResult, EffectError> {
        self.run_of(TORRENT, op)
    }

    fn run_of(&mut self, torrent: InfoHash, op: StorageOp) -> Result<EffectResult, EffectError> {
        self.next += 1;
        let sent = EffectId(self.next);
        self.storage.submit(torrent, sent, op, Vec::new())?;
        match self.results.blocking_recv().unwrap() {
            Input::EffectDone { id, result } => {
                assert_eq!(id, sent);
                result
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    fn open(&mut self, files: &[(&[&str], u64)]) -> Result<EffectResult, EffectError> {
        self.run(StorageOp::Open {
            name: "t".to_owned(),
            files: files
                .iter()
                .map(|(path, length)| (path.iter().map(|c| (*c).to_owned()).collect(), *length))
                .collect(),
        })
    }

    fn write(
        &mut self,
        spans: &[(u32, u64, u64)],
        chunks: &[&'static [u8]],
    ) -> Result<(), EffectError> {
        self.run(StorageOp::Write {
            spans: spans.iter().map(span).collect(),
            chunks: chunks.iter().map(|c| Bytes::from_static(c)).collect(),
        })
        .map(drop)
    }

    fn read(&mut self, spans: &[(u32, u64, u64)]) -> Result<Bytes, EffectError> {
        let op = StorageOp::Read {
            spans: spans.iter().map(span).collect(),
        };
        match self.run(op)? {
            EffectResult::Read(bytes) => Ok(bytes),
            other => panic!("unexpected {other:?}"),
        }
    }
}

fn span(&(file, offset, length): &(u32, u64, u64)) -> FileSpan {
    FileSpan {
        file,
        offset,
        length,
        pad: false,
    }
}

#[test]
fn spans_cross_files_and_what_is_written_is_read_and_hashed() {
    let mut disk = Disk::new();
    let opened = disk.open(&[
        (&["t", "a"], 5),
        (&["t", "empty"], 0),
        (&[], 3),
        (&["t", "sub", "b"], 10),
    ]);
    let Ok(EffectResult::Opened {
        file_lengths,
        scratch_length,
        changed,
    }) = opened
    else {
        panic!("{opened:?}");
    };
    assert_eq!((file_lengths, scratch_length), (vec![0, 0, 3, 0], 0));
    assert_eq!(changed, Vec::<u32>::new());
    assert!(disk.data.path().join("t/empty").is_file());

    // What is written of a pad file goes nowhere: a hybrid torrent's pieces end with it.
    disk.write(
        &[(0, 3, 2), (2, 0, 3), (3, 0, 4)],
        &[b"x", b"y\0", b"\0\0ab", b"cd"],
    )
    .unwrap();
    assert_eq!(disk.read(&[(0, 3, 2), (3, 0, 4)]).unwrap(), "xyabcd");
    // A pad file reads as zeros.
    assert_eq!(
        disk.read(&[(0, 4, 1), (2, 0, 3), (3, 0, 1)]).unwrap(),
        &b"y\0\0\0a"[..]
    );
    let hashed = disk.run(StorageOp::Hash {
        spans: vec![span(&(0, 3, 2)), span(&(2, 0, 3)), span(&(3, 0, 4))],
    });
    let expected: [u8; 20] = Sha1::digest(b"xy\0\0\0abcd").into();
    assert!(
        matches!(hashed, Ok(EffectResult::Hashed(h)) if h == expected),
        "{hashed:?}"
    );
    disk.run(StorageOp::Flush).unwrap();

    // Not written yet, so missing, not zeros.
    assert!(matches!(
        disk.read(&[(3, 4, 1)]),
        Err(EffectError::Missing(_))
    ));
    assert!(matches!(
        disk.write(&[(3, 0, 2)], &[b"abc"]),
        Err(EffectError::Storage(_))
    ));
    let reopened = disk.open(&[(&["t", "a"], 5), (&["t", "sub", "b"], 10)]);
    assert!(
        matches!(&reopened, Ok(EffectResult::Opened { file_lengths, .. }) if *file_lengths == [5, 4]),
        "{reopened:?}"
    );
}

#[test]
fn the_scratch_file_lies_apart_and_goes_with_the_torrent() {
    let mut disk = Disk::new();
    disk.open(&[(&["t", "a"], 5)]).unwrap();
    disk.write(&[(0, 0, 5)], &[b"hello"]).unwrap();
    let scratch = |offset, bytes: &'static [u8]| StorageOp::WriteScratch {
        offset,
        chunks: vec![Bytes::from_static(bytes)],
    };
    disk.run(scratch(16, b"later")).unwrap();
    disk.run(scratch(0, b"first")).unwrap();
    let read = disk.run(StorageOp::ReadScratch {
        offset: 15,
        length: 6,
    });
    assert!(
        matches!(&read, Ok(EffectResult::Read(b)) if b == &b"\0later"[..]),
        "{read:?}"
    );
    disk.run(StorageOp::Flush).unwrap();
    let parts = disk.state.path().join(format!("{TORRENT}.parts"));
    assert_eq!(parts.metadata().unwrap().len(), 21);

    // A stranger's file in the folder keeps the folder.
    std::fs::write(disk.data.path().join("t/mine"), b"").unwrap();
    disk.run(StorageOp::Close { delete: true }).unwrap();
    assert!(!parts.exists() && !disk.data.path().join("t/a").exists());
    assert!(disk.data.path().join("t/mine").exists());
    let closed = disk.read(&[(0, 0, 1)]);
    assert!(matches!(closed, Err(EffectError::Storage(_))), "{closed:?}");
    // And it can be taken up again.
    disk.open(&[(&["t", "a"], 5)]).unwrap();
    disk.write(&[(0, 0, 5)], &[b"again"]).unwrap();
    assert_eq!(disk.read(&[(0, 0, 5)]).unwrap(), "again");
}

#[test]
fn a_file_that_another_torrent_has_is_not_deleted_with_the_one_that_made_it() {
    let other = InfoHash([0xcd; 20]);
    let open = |names: &[&str]| StorageOp::Open {
        name: "t".to_owned(),
        files: names
            .iter()
            .map(|name| (vec!["t".to_owned(), (*name).to_owned()], 5))
            .collect(),
    };
    let mut disk = Disk::new();
    disk.run(open(&["both", "mine"])).unwrap();
    disk.write(&[(0, 0, 5), (1, 0, 5)], &[b"01234", b"56789"])
        .unwrap();
    disk.run(StorageOp::Flush).unwrap();
    disk.run_of(other, open(&["both"])).unwrap();
    disk.run(StorageOp::Close { delete: true }).unwrap();
    let (both, mine) = (
        disk.data.path().join("t/both"),
        disk.data.path().join("t/mine"),
    );
    assert_eq!(std::fs::read(&both).unwrap(), b"01234");
    assert!(!mine.exists());
    let read = StorageOp::Read {
        spans: vec![span(&(0, 0, 5))],
    };
    let read = disk.run_of(other, read);
    assert!(
        matches!(&read, Ok(EffectResult::Read(b)) if b == &b"01234"[..]),
        "{read:?}"
    );
    // The other one did not make it, so it stays for the user.
    disk.run_of(other, StorageOp::Close { delete: true })
        .unwrap();
    assert!(both.exists());
}

#[test]
fn paths_that_leave_the_folder_are_refused() {
    let mut disk = Disk::new();
    for path in [
        &[".."][..],
        &["a", "..", "b"],
        &["/etc/x"],
        &["a/b"],
        &["."],
        &[""],
    ] {
        let opened = disk.open(&[(path, 5)]);
        assert!(
            matches!(opened, Err(EffectError::Storage(_))),
            "{path:?}: {opened:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_not_followed() {
    use std::os::unix::fs::symlink;
    let mut disk = Disk::new();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), b"secret").unwrap();
    symlink(outside.path(), disk.data.path().join("folder")).unwrap();
    symlink(outside.path().join("secret"), disk.data.path().join("file")).unwrap();
    for path in [&["folder", "secret"][..], &["file"]] {
        let opened = disk.open(&[(path, 6)]);
        assert!(
            matches!(opened, Err(EffectError::Storage(_))),
            "{path:?}: {opened:?}"
        );
    }
    // A link put there after the torrent was opened.
    disk.open(&[(&["late", "secret"], 6)]).unwrap();
    symlink(outside.path(), disk.data.path().join("late")).unwrap();
    assert!(disk.write(&[(0, 0, 6)], &[b"robbed"]).is_err());
    assert!(disk.read(&[(0, 0, 6)]).is_err());
    assert_eq!(
        std::fs::read(outside.path().join("secret")).unwrap(),
        b"secret"
    );
}

/// A file of two pieces of five bytes, of which the first is written.
fn begun() -> (Disk, std::path::PathBuf) {
    let mut disk = Disk::new();
    disk.open(&[(&["t", "a"], 10)]).unwrap();
    disk.write(&[(0, 0, 5)], &[b"first"]).unwrap();
    let path = disk.data.path().join("t/a");
    (disk, path)
}

fn missing<T: std::fmt::Debug>(result: &Result<T, EffectError>) -> bool {
    matches!(result, Err(EffectError::Missing(text)) if text.contains("t/a"))
}

#[test]
fn a_file_that_is_removed_or_replaced_meanwhile_is_neither_served_nor_written_to() {
    let replace: [fn(&std::path::Path); 3] = [
        |path| std::fs::remove_file(path).unwrap(),
        |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, b"users").unwrap();
        },
        |path| {
            std::fs::write(path.with_extension("new"), b"users").unwrap();
            std::fs::rename(path.with_extension("new"), path).unwrap();
        },
    ];
    for replace in replace {
        // With a handle that is still open, and without one: the check of a torrent taken up again opens none.
        for reopened in [false, true] {
            let (mut disk, path) = begun();
            disk.run(StorageOp::Flush).unwrap();
            if reopened {
                disk.open(&[(&["t", "a"], 10)]).unwrap();
            }
            replace(&path);
            let left = std::fs::read(&path).ok();
            let read = disk.read(&[(0, 0, 5)]);
            assert!(missing(&read), "{read:?}");
            let written = disk.write(&[(0, 5, 5)], &[b"later"]);
            assert!(missing(&written), "{written:?}");
            assert_eq!(std::fs::read(&path).ok(), left);
            // Looked for again, it is somebody's file, or free.
            let opened = disk.open(&[(&["t", "a"], 10)]);
            assert!(opened.is_ok(), "{opened:?}");
            let written = disk.write(&[(0, 5, 5)], &[b"later"]);
            assert_eq!(written.is_ok(), left.is_none(), "{written:?}");
            if left.is_some() {
                assert_eq!(std::fs::read(&path).ok(), left);
                let close = StorageOp::Close { delete: true };
                disk.run(close).unwrap();
                assert_eq!(std::fs::read(&path).ok(), left, "it was deleted");
            }
        }
    }
}

#[test]
fn what_appeared_before_the_first_write_stays_somebody_elses() {
    for bytes in [&b"users"[..], b""] {
        let mut disk = Disk::new();
        disk.open(&[(&["t", "a"], 10)]).unwrap();
        let path = disk.data.path().join("t/a");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        for _ in 0..2 {
            let written = disk.write(&[(0, 0, 5)], &[b"first"]);
            let Err(EffectError::Storage(text)) = &written else {
                panic!("{written:?}");
            };
            assert!(text.contains("t/a was not made by piecework"), "{text}");
            assert!(text.contains("choose another folder"), "{text}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            disk.open(&[(&["t", "a"], 10)]).unwrap();
        }
    }
}

#[test]
fn what_was_edited_since_it_was_left_is_not_deleted() {
    for edited in [false, true] {
        let (mut disk, path) = begun();
        let close = |delete| StorageOp::Close { delete };
        disk.run(close(false)).unwrap();
        if edited {
            std::fs::write(&path, b"a user's own").unwrap();
        }
        // Hashed again, and left once more: it is the user's still.
        for _ in 0..2 {
            disk.open(&[(&["t", "a"], 10)]).unwrap();
            disk.run(StorageOp::Hash {
                spans: vec![span(&(0, 0, 5))],
            })
            .unwrap();
            disk.run(close(false)).unwrap();
        }
        disk.open(&[(&["t", "a"], 10)]).unwrap();
        disk.run(close(true)).unwrap();
        assert_eq!(path.exists(), edited);
        if edited {
            assert_eq!(std::fs::read(&path).unwrap(), b"a user's own");
        }
    }
}

#[test]
fn records_survive_in_order_and_the_folder_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let (sender, mut results) = mpsc::channel(64);
    let (records, stored) = Records::open(&state, sender.clone()).unwrap();
    assert!(stored.is_empty());
    let second = Records::open(&state, sender.clone());
    assert!(matches!(second, Err(RecordsError::Locked(_))), "{second:?}");
    for (id, batch) in [
        vec![("a".to_owned(), value("1")), ("b".to_owned(), value("1"))],
        vec![("a".to_owned(), value("2")), ("c".to_owned(), value("1"))],
        vec![("b".to_owned(), None)],
    ]
    .into_iter()
    .enumerate()
    {
        records.submit(EffectId(id as u64), batch).unwrap();
    }
    for expected in 0..3 {
        match results.blocking_recv().unwrap() {
            Input::EffectDone { id, result } => {
                assert_eq!(id, EffectId(expected));
                result.unwrap();
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    records.finish();
    let (records, mut stored) = Records::open(&state, sender).unwrap();
    stored.sort();
    assert_eq!(
        stored,
        [
            ("a".to_owned(), Bytes::from_static(b"2")),
            ("c".to_owned(), Bytes::from_static(b"1")),
        ]
    );
    records.finish();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = state.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read the records");
    }
}

#[test]
fn records_that_were_emptied_are_not_begun_anew_and_half_made_ones_are() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let (sender, _results) = mpsc::channel(1);
        Records::open(dir.path(), sender).map(|(records, _)| records.finish())
    };
    // What a process leaves that is killed while it makes them.
    for half in [&b""[..], b"redb", &[0; 100_000]] {
        std::fs::write(dir.path().join("records.redb.new"), half).unwrap();
        open().unwrap();
        assert!(!dir.path().join("records.redb.new").exists());
        std::fs::remove_file(dir.path().join("records.redb")).unwrap();
    }
    open().unwrap();
    let records = dir.path().join("records.redb");
    std::fs::write(&records, b"").unwrap();
    for _ in 0..2 {
        let Err(RecordsError::Database(path, why)) = open() else {
            panic!("they were begun anew");
        };
        assert_eq!(path, records);
        assert!(why.contains("the file is empty"), "{why}");
        assert_eq!(std::fs::metadata(&records).unwrap().len(), 0);
    }
}
