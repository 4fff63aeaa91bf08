//! Replays the committed fuzz corpora through the fuzz targets' own checks.
#![allow(clippy::panic, clippy::unwrap_used, dead_code, missing_docs)]

#[path = "../fuzz/checks/mod.rs"]
mod checks;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(name)
}

fn replay(target: &str) {
    let (_, check) = checks::ALL
        .iter()
        .find(|(name, _)| *name == target)
        .unwrap();
    let corpus = folder("corpus").join(target);
    let mut replayed = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        // Shown when the check panics.
        println!("{}", path.display());
        check(&std::fs::read(&path).unwrap());
        replayed += 1;
    }
    assert!(replayed > 0, "no inputs in {}", corpus.display());
}

macro_rules! corpora {
    ($($(#[$cfg:meta])* $test:ident: $target:literal;)*) => {
        $($(#[$cfg])* #[test] fn $test() { replay($target); })*

        #[test]
        fn every_target_is_replayed() {
            let replayed: BTreeSet<&str> = [$($(#[$cfg])* $target,)*].into();
            let targets: BTreeSet<&str> = checks::ALL.iter().map(|(name, _)| *name).collect();
            assert_eq!(replayed, targets);
        }
    };
}

corpora! {
    bencode_corpus: "bencode";
    metainfo_corpus: "metainfo";
    magnet_corpus: "magnet";
    wire_decoder_corpus: "wire_decoder";
    extensions_corpus: "extensions";
    records_corpus: "records";
    web_seeds_corpus: "web_seeds";
    #[cfg(feature = "native-formats")]
    signaling_messages_corpus: "signaling_messages";
    #[cfg(feature = "native-formats")]
    signaling_corpus: "signaling";
    #[cfg(feature = "native-formats")]
    tracker_corpus: "tracker";
    #[cfg(feature = "native-formats")]
    title_corpus: "title";
    #[cfg(feature = "native-formats")]
    chain_answers_corpus: "chain_answers";
    #[cfg(feature = "native-formats")]
    deployment_corpus: "deployment";
    #[cfg(feature = "native-formats")]
    network_corpus: "network";
    client_corpus: "client";
}

#[test]
#[cfg(feature = "native-formats")]
fn every_check_has_a_fuzz_target_and_a_corpus() {
    let names = |folder: PathBuf| -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        entries.map(|entry| stem(entry.unwrap().path())).collect()
    };
    let checks: BTreeSet<String> = checks::ALL
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(names(folder("fuzz_targets")), checks);
    assert_eq!(names(folder("corpus")), checks);
}
