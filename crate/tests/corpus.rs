//! Replays the committed fuzz corpora through the fuzz targets' own checks.
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)]

#[path = "../fuzz/checks.rs"]
mod checks;

use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        check(&std::fs::read(&path).unwrap());
        replayed += 1;
    }
    assert!(replayed > 0, "no inputs in {}", folder.display());
}

#[test]
fn bencode_corpus() {
    replay("bencode", checks::bencode);
}

#[test]
fn metainfo_corpus() {
    replay("metainfo", checks::metainfo);
}

#[test]
fn magnet_corpus() {
    replay("magnet", checks::magnet);
}

#[test]
fn wire_decoder_corpus() {
    replay("wire_decoder", checks::wire_decoder);
}

#[test]
fn extended_handshake_corpus() {
    replay("extended_handshake", checks::extended_handshake);
}
