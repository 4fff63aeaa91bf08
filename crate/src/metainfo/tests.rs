use super::*;
use proptest::prelude::*;

const BUNNY: &[u8] = include_bytes!("../../fuzz/corpus/metainfo/bunny.torrent");
const FOLDER: &[u8] = include_bytes!("../../fuzz/corpus/metainfo/folder.torrent");
const LEAVES: &[u8] = include_bytes!("../../fuzz/corpus/metainfo/leaves.torrent");
const LOTS: &[u8] = include_bytes!("../../fuzz/corpus/metainfo/lots-of-numbers.torrent");
const CORRUPT: &[u8] = include_bytes!("../../fuzz/corpus/metainfo/corrupt.torrent");

/// A torrent with these bytes in its info dictionary.
fn torrent(info: &str) -> Vec<u8> {
    format!("d4:info{info}e").into_bytes()
}

fn parse(info: &str) -> Result<Metainfo, MetainfoError> {
    Metainfo::from_torrent(&torrent(info))
}

const HASH: &str = "20:aaaaaaaaaaaaaaaaaaaa";

#[test]
fn torrents_made_by_others_have_the_hash_that_others_see() {
    // Info hashes and sizes as npm `parse-torrent` gives them.
    for (torrent, hash, length, pieces, first) in [
        (
            BUNNY,
            "af8f10f30bf9aefecf3686922bfa0d5bd290a395",
            434_839_491,
            830,
            "bbb_sunflower_1080p_30fps_stereo_abl.mp4",
        ),
        (
            FOLDER,
            "b88da2caac6648e6c7d7687e3f89085f7e230e6b",
            15,
            1,
            "folder/file.txt",
        ),
        (
            LEAVES,
            "d2474e86c95b19b8bcfdb92bc12c9d44667cfa36",
            362_017,
            23,
            "Leaves of Grass by Walt Whitman.epub",
        ),
        (
            LOTS,
            "114ead6243792ba56297edbb9a78dfba84d4fc00",
            12,
            1,
            "lots-of-numbers/big numbers/10.txt",
        ),
    ] {
        let metainfo = Metainfo::from_torrent(torrent).unwrap();
        assert_eq!(metainfo.info_hash.to_hex(), hash);
        assert_eq!(metainfo.total_length, length);
        assert_eq!(metainfo.piece_count(), pieces);
        assert_eq!(metainfo.geometry().piece_count(), pieces);
        assert_eq!(metainfo.files[0].path.to_string(), first);
        assert_eq!(
            metainfo.multi_file,
            first.contains('/'),
            "{first} is a folder"
        );
        assert_eq!(
            Metainfo::from_torrent(&metainfo.to_torrent()),
            Ok(metainfo.clone())
        );
        let magnet: MagnetLink = metainfo.magnet().to_string().parse().unwrap();
        assert_eq!(magnet.info_hash, metainfo.info_hash);
    }
    let bunny = Metainfo::from_torrent(BUNNY).unwrap();
    assert!(bunny.private);
    assert_eq!(bunny.web_seeds.len(), 1);
}

#[test]
fn hostile_paths_stay_inside_the_folder_and_apart() {
    let hostile = include_bytes!("../../fuzz/corpus/metainfo/hostile-paths.torrent");
    let metainfo = Metainfo::from_torrent(hostile).unwrap();
    let paths = metainfo.files.iter().map(|f| f.path.to_string());
    assert_eq!(
        paths.collect::<Vec<_>>(),
        [
            ".._/_/_/passwd",
            ".._/_CON",
            ".._/_con (2)",
            ".._/_ (2)",
            ".._/_CON (3)/x",
        ]
    );
}

#[test]
fn a_torrent_without_a_name_is_refused() {
    assert_eq!(
        Metainfo::from_torrent(CORRUPT),
        Err(MetainfoError::Field("info.name"))
    );
}

#[test]
fn an_info_dictionary_from_peers_must_have_the_hash() {
    let whole = Metainfo::from_torrent(LEAVES).unwrap();
    let trackers = vec![vec!["ws://tracker.example".to_owned()]];
    let read = Metainfo::from_info(whole.info.clone(), whole.info_hash, trackers.clone()).unwrap();
    assert_eq!(read.files, whole.files);
    assert_eq!(read.trackers, trackers);
    assert_eq!(
        read.piece_hash(PieceIndex(22)),
        whole.piece_hash(PieceIndex(22))
    );
    assert!(read.piece_hash(PieceIndex(22)).is_some());
    assert_eq!(read.piece_hash(PieceIndex(23)), None);
    let mut damaged = whole.info.to_vec();
    damaged[40] ^= 1;
    assert!(matches!(
        Metainfo::from_info(damaged.into(), whole.info_hash, Vec::new()),
        Err(MetainfoError::InfoHashMismatch { .. })
    ));
}

#[test]
fn the_info_hash_is_over_the_bytes_as_they_are() {
    // Keys out of order: still readable, hashed as written.
    let info = format!("d6:pieces{HASH}4:name1:a12:piece lengthi16384e6:lengthi3ee");
    let metainfo = parse(&info).unwrap();
    assert_eq!(metainfo.info, info.as_bytes());
    assert_eq!(metainfo.info_hash.0, <[u8; 20]>::from(Sha1::digest(&info)));
    assert_eq!(metainfo.piece_hash(PieceIndex(0)), Some([b'a'; 20]));
}

#[test]
fn pure_v2_is_named_as_such_and_a_hybrid_is_read_as_v1() {
    let tree = "9:file treed1:ad0:d6:lengthi3e11:pieces root32:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbeee";
    let v2 = format!("d{tree}12:meta versioni2e4:name1:a12:piece lengthi16384ee");
    assert_eq!(parse(&v2), Err(MetainfoError::OnlyV2));
    let hybrid = format!(
        "d{tree}6:lengthi3e12:meta versioni2e4:name1:a12:piece lengthi16384e6:pieces{HASH}e"
    );
    assert_eq!(parse(&hybrid).unwrap().total_length, 3);
    let neither = "d4:name1:a12:piece lengthi16384ee";
    assert_eq!(parse(neither), Err(MetainfoError::Field("info.pieces")));
}

#[test]
fn pad_files_are_marked_and_files_lie_one_after_the_other() {
    let info = format!(
        "d5:filesld6:lengthi3e4:pathl1:xeed4:attr1:p6:lengthi16381e4:pathl4:.pad5:16381ee\
         d4:attr1:x6:lengthi5e4:pathl1:d1:yeee4:name1:n12:piece lengthi16384e6:pieces40:{}e",
        "h".repeat(40)
    );
    let metainfo = parse(&info).unwrap();
    let files: Vec<_> = metainfo
        .files
        .iter()
        .map(|f| (f.path.to_string(), f.offset, f.length, f.pad))
        .collect();
    assert_eq!(
        files,
        [
            ("n/x".to_owned(), 0, 3, false),
            ("n/.pad/16381".to_owned(), 3, 16_381, true),
            ("n/d/y".to_owned(), 16_384, 5, false),
        ]
    );
    assert_eq!(metainfo.pieces_of_file(0), PieceRange { start: 0, end: 1 });
    assert_eq!(metainfo.pieces_of_file(2), PieceRange { start: 1, end: 2 });
    assert!(metainfo.pieces_of_file(3).is_empty());
    assert!(metainfo.file_range_to_pieces(2, 5..9).is_empty());
}

macro_rules! corpus {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../fuzz/corpus/metainfo/", $name, ".torrent")).as_slice())),*]
    };
}

/// Torrents of the corpus.
const CORPUS: [(&str, &[u8]); 15] = corpus![
    "bitcomet-padding",
    "creation-date-huge",
    "creation-date-negative-zero",
    "deep-folders",
    "duplicate-root-key",
    "empty-folder",
    "empty-leading-component",
    "files-empty",
    "latin1-names",
    "path-utf8-empty",
    "piece-of-128-mib",
    "symlink",
    "tracker-uppercase",
    "trailing-comment",
    "trailing-newline",
];

/// The reading of a torrent of the corpus.
fn read(name: &str) -> Result<Metainfo, MetainfoError> {
    let (_, bytes) = CORPUS.iter().find(|(known, _)| *known == name).unwrap();
    Metainfo::from_torrent(bytes)
}

fn files_of(metainfo: &Metainfo) -> Vec<(String, u64, bool)> {
    let files = metainfo.files.iter();
    files
        .map(|f| (f.path.to_string(), f.length, f.pad))
        .collect()
}

#[test]
fn what_stands_around_the_info_dictionary_refuses_no_torrent() {
    for name in [
        "trailing-newline",
        "trailing-comment",
        "duplicate-root-key",
        "creation-date-huge",
        "creation-date-negative-zero",
        "tracker-uppercase",
    ] {
        let metainfo = read(name).unwrap();
        let hash = "95880d24ca01680e9c4da4e3ae9d1cc5e9f31db2";
        assert_eq!(metainfo.info_hash.to_hex(), hash, "{name}");
        let url = TrackerUrl::parse(&metainfo.trackers[0][0]).unwrap();
        assert_eq!(url.as_str(), "wss://tracker.example", "{name}");
    }
    let info = format!("d6:lengthi3e4:name1:a12:piece lengthi16384e6:pieces{HASH}e");
    let plain = parse(&info).unwrap();
    for behind in [
        "\n",
        "\r\n<!-- cached -->",
        "\0\0\0",
        "e",
        "d4:infodee",
        "garbage",
    ] {
        let torrent = [torrent(&info), behind.into()].concat();
        assert_eq!(Metainfo::from_torrent(&torrent), Ok(plain.clone()));
    }
    for (root, created) in [
        ("13:creation datei0170e", Some(170)),
        ("013:creation datei-0e", Some(0)),
        ("13:creation datei-5e", None),
        ("13:creation date3:now", None),
        ("13:creation dated1:a1:b1:a1:ce", None),
        (
            "8:azureus_li999999999999999999999999999999999999999ee",
            None,
        ),
    ] {
        let torrent = format!("d{root}4:info{info}e");
        let said = Metainfo {
            created,
            ..plain.clone()
        };
        assert_eq!(Metainfo::from_torrent(torrent.as_bytes()), Ok(said));
    }
    let torrent = format!("d8:announce4:ws:a8:announce4:ws:b4:info{info}4:infod4:name1:bee");
    let read = Metainfo::from_torrent(torrent.as_bytes()).unwrap();
    assert_eq!(
        (read.info_hash, read.trackers),
        (plain.info_hash, vec![vec!["ws:a".to_owned()]])
    );
}

#[test]
fn inside_the_info_dictionary_the_first_of_two_keys_counts_and_the_hash_is_over_both() {
    let tail = format!("12:piece lengthi16384e6:pieces{HASH}");
    for info in [
        format!("d6:lengthi3e4:name1:a{tail}3:foo1:x3:foo1:ye"),
        format!("d6:lengthi3e4:name1:a4:name1:b{tail}e"),
        format!("d6:lengthi3e6:lengthi4e4:name1:a{tail}e"),
        format!("d4:name1:a6:lengthi3e4:name1:b{tail}e"),
        format!("d6:lengthi003e4:name01:a{tail}e"),
        format!("d6:lengthi3e4:name1:a10:name.utf-80:{tail}e"),
        format!("d5:files1:x6:lengthi3e4:name1:a{tail}e"),
    ] {
        let metainfo = parse(&info).unwrap();
        assert_eq!(files_of(&metainfo), [("a".to_owned(), 3, false)], "{info}");
        assert_eq!(metainfo.info_hash, hash_info(info.as_bytes()));
        let from_peers = Metainfo::from_info(info.into(), metainfo.info_hash, Vec::new());
        assert_eq!(from_peers, Ok(metainfo));
    }
    let twice = format!(
        "d5:filesld6:lengthi3e4:pathl1:aeee5:filesld6:lengthi3e4:pathl1:beee4:name1:n{tail}e"
    );
    assert_eq!(
        files_of(&parse(&twice).unwrap()),
        [("n/a".to_owned(), 3, false)]
    );
    let huge = format!("d6:lengthi3e4:name1:a12:piece lengthi99999999999999999999e6:pieces{HASH}e");
    assert_eq!(parse(&huge), Err(MetainfoError::Field("info.piece length")));
}

#[test]
fn names_and_paths_of_the_field_are_read() {
    let pad = "folder/_____padding_file_0_if you see this file, please update____";
    for (name, files) in [
        ("path-utf8-empty", vec![("folder/a.txt", 6, false)]),
        (
            "latin1-names",
            vec![
                ("folder/caf_ _.flac", 3, false),
                ("folder/caf_ _ (2).flac", 3, false),
            ],
        ),
        (
            "empty-leading-component",
            vec![("folder/_/film.mkv", 6, false)],
        ),
        (
            "empty-folder",
            vec![("folder/a.txt", 6, false), ("folder/sub/_", 0, false)],
        ),
        (
            "bitcomet-padding",
            vec![
                ("folder/a.txt", 6, false),
                (pad, 16_378, true),
                ("folder/b.txt", 6, false),
            ],
        ),
        (
            "symlink",
            vec![("folder/a.txt", 6, false), ("folder/l", 0, true)],
        ),
    ] {
        let files: Vec<_> = files
            .into_iter()
            .map(|(path, length, pad)| (path.to_owned(), length, pad))
            .collect();
        assert_eq!(files_of(&read(name).unwrap()), files, "{name}");
    }
    let deep = read("deep-folders").unwrap();
    assert_eq!(deep.files[0].path.components().len(), 35);
    assert_eq!(read("files-empty"), Err(MetainfoError::Empty));
    let too_large = Err(MetainfoError::TooLarge {
        what: "a piece length",
        max: 64 << 20,
    });
    assert_eq!(read("piece-of-128-mib"), too_large);
}

#[test]
fn links_have_no_bytes_and_padding_needs_no_path() {
    let with = |files: &str| {
        parse(&format!(
            "d5:filesl{files}e4:name1:n12:piece lengthi16384e6:pieces{HASH}e"
        ))
    };
    let (link, file) = (("n/l".to_owned(), 0, true), ("n/a".to_owned(), 6, false));
    for link_entry in [
        "d4:attr1:l4:pathl1:le12:symlink pathl1:aee",
        "d4:attr1:l4:pathl1:lee",
        "d4:attr2:xl6:lengthi0e4:pathl1:le12:symlink pathl2:..6:passwdee",
        "d4:attr1:l6:lengthi5e4:pathl1:le12:symlink pathl1:aee",
        "d4:attr1:l6:lengthi-1e4:pathl1:le12:symlink pathl1:aee",
    ] {
        let metainfo = with(&format!("{link_entry}d6:lengthi6e4:pathl1:aee")).unwrap();
        assert_eq!(
            files_of(&metainfo),
            [link.clone(), file.clone()],
            "{link_entry}"
        );
    }
    let without_attr = "d4:pathl1:le12:symlink pathl1:aeed6:lengthi6e4:pathl1:aee";
    assert_eq!(
        with(without_attr),
        Err(MetainfoError::Field("info.files.length"))
    );
    for path in ["", "4:pathle", "4:path1:x", "4:pathle10:path.utf-8le"] {
        let padding = format!("d6:lengthi3e4:pathl1:aeed4:attr1:p6:lengthi3e{path}e");
        let files = files_of(&with(&padding).unwrap());
        assert_eq!(
            files,
            [
                ("n/a".to_owned(), 3, false),
                ("n/.pad/3".to_owned(), 3, true)
            ]
        );
        let file = padding.replace("4:attr1:p", "");
        assert_eq!(with(&file), Err(MetainfoError::Field("info.files.path")));
    }
    let without_length = "d6:lengthi6e4:pathl1:aeed4:attr1:pe";
    assert_eq!(
        with(without_length),
        Err(MetainfoError::Field("info.files.length"))
    );
}

#[test]
fn what_does_not_add_up_is_refused() {
    let single = |length: &str, piece_length: &str, pieces: &str| {
        parse(&format!(
            "d6:lengthi{length}e4:name1:a12:piece lengthi{piece_length}e6:pieces{pieces}e"
        ))
    };
    assert_eq!(single("0", "16384", "0:"), Err(MetainfoError::Empty));
    assert_eq!(
        single("16385", "16384", HASH),
        Err(MetainfoError::PieceCount {
            hashes: 1,
            total_length: 16_385,
            piece_length: 16_384
        })
    );
    let pieces = Err(MetainfoError::Field("info.pieces"));
    assert_eq!(single("1", "16384", "19:aaaaaaaaaaaaaaaaaaa"), pieces);
    let length = Err(MetainfoError::Field("info.piece length"));
    assert_eq!(single("1", "0", HASH), length);
    assert_eq!(single("1", "-1", HASH), length);
    assert!(matches!(
        single("1", "67108865", HASH),
        Err(MetainfoError::TooLarge { .. })
    ));
    let length = Err(MetainfoError::Field("info.length"));
    assert_eq!(single("-1", "16384", HASH), length);
    let overflow = format!(
        "d5:filesld6:lengthi{max}e4:pathl1:xeed6:lengthi{max}e4:pathl1:yeee\
         4:name1:n12:piece lengthi16384e6:pieces{HASH}e",
        max = u64::MAX
    );
    assert_eq!(
        parse(&overflow),
        Err(MetainfoError::Field("info.files.length"))
    );
    for path in ["le", "li1ee", "1:x"] {
        let bad = format!(
            "d5:filesld6:lengthi1e4:path{path}ee4:name1:n12:piece lengthi16384e6:pieces{HASH}e"
        );
        assert_eq!(parse(&bad), Err(MetainfoError::Field("info.files.path")));
    }
    let deep = format!(
        "d5:filesld6:lengthi1e4:pathl{}eee4:name1:n12:piece lengthi16384e6:pieces{HASH}e",
        "1:a".repeat(MAX_PATH_DEPTH)
    );
    assert!(matches!(parse(&deep), Err(MetainfoError::TooLarge { .. })));
}

#[test]
fn large_torrents_are_taken_and_larger_ones_refused() {
    let with_pieces = |count: usize| {
        parse(&format!(
            "d6:lengthi{count}e4:name1:a12:piece lengthi1e6:pieces{}:{}e",
            count * 20,
            "h".repeat(count * 20)
        ))
    };
    assert_eq!(with_pieces(300_000).unwrap().piece_count(), 300_000);
    assert!(with_pieces(MAX_PIECES).is_ok());
    assert!(matches!(
        with_pieces(MAX_PIECES + 1),
        Err(MetainfoError::TooLarge { what: "pieces", .. })
    ));
    let with_files = |count: usize| {
        let names: String = (0..count)
            .map(|n| format!("d6:lengthi1e4:pathl1:d6:{n:06}ee"))
            .collect();
        let length = count.next_power_of_two();
        parse(&format!(
            "d5:filesl{names}e4:name1:n12:piece lengthi{length}e6:pieces{HASH}e"
        ))
    };
    assert_eq!(with_files(70_000).unwrap().files.len(), 70_000);
    assert!(matches!(
        with_files(MAX_FILES + 1),
        Err(MetainfoError::TooLarge { what: "files", .. })
    ));
}

#[test]
fn trackers_come_in_tiers_and_are_bounded() {
    let info = format!("d6:lengthi3e4:name1:a12:piece lengthi16384e6:pieces{HASH}e");
    let read = |rest: &str| {
        Metainfo::from_torrent(format!("d{rest}4:info{info}e").as_bytes())
            .unwrap()
            .trackers
    };
    assert_eq!(read("8:announce4:ws:a"), [["ws:a"]]);
    assert_eq!(
        read("8:announce4:ws:a13:announce-listll4:ws:b4:ws:cel4:ws:dee"),
        [vec!["ws:b", "ws:c"], vec!["ws:d"]]
    );
    assert_eq!(read("8:announce4:ws:a13:announce-listllee"), [["ws:a"]]);
    let many = format!("13:announce-listl{}e", "l4:ws:be".repeat(500));
    assert_eq!(read(&many).len(), MAX_TRACKERS);
}

#[test]
fn the_registry_id_is_read_and_written() {
    let mut metainfo = Metainfo::from_torrent(FOLDER).unwrap();
    assert_eq!(metainfo.content, None);
    metainfo.content = Some([0xc5; 32]);
    let read = Metainfo::from_torrent(&metainfo.to_torrent()).unwrap();
    assert_eq!(read, metainfo);
}

proptest! {
    #[test]
    fn a_damaged_torrent_never_panics_and_what_is_accepted_adds_up(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        which in 0usize..3,
    ) {
        let mut bytes = [FOLDER, LEAVES, LOTS][which].to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(metainfo) = Metainfo::from_torrent(&bytes) {
            let total: u64 = metainfo.spans(0, u64::MAX).map(|s| s.length).sum();
            prop_assert_eq!(total, metainfo.total_length);
            prop_assert_eq!(metainfo.piece_count(), metainfo.geometry().piece_count());
            prop_assert_eq!(Metainfo::from_torrent(&metainfo.to_torrent()), Ok(metainfo));
        }
    }
}
