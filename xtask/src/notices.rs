//! The licences of the crates that the page's engine is built of, which ask whoever ships it to ship them too.
//!
//! Invariant: each crate that cargo links for wasm is named. One that brings no text of its licence has its authors and
//! its repository in the place of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use crate::{failure::Failure, paths, shell, wasm_toolchain::TARGET};

/// Where the package's `prepack` looks for it.
const OUTPUT: &str = "www/npm/THIRD-PARTY-LICENSES";
const HEADING: &str = "\
piecework_bg.wasm is built of Rust's standard library (https://www.rust-lang.org, MIT OR Apache-2.0), and of the crates
below. Where a crate may be used under one of several licences, Piecework uses it under the one that stands here.
LICENSE-APACHE has the text of Apache-2.0.
";

/// Writes the notices beside the package's own licences.
pub fn write() -> Result<(), Failure> {
    let linked = linked()?;
    let metadata =
        shell::answer(shell::cargo().args(["metadata", "--locked", "--format-version", "1"]))
            .and_then(|text| serde_json::from_str::<Value>(&text).ok())
            .ok_or_else(|| Failure::failed("`cargo metadata` failed"))?;
    let mut names_of = BTreeMap::<String, Vec<String>>::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let text = |field: &str| package[field].as_str().unwrap_or_default();
        let name = format!("{} {}", text("name"), text("version"));
        // The workspace's own packages have no source.
        if package["source"].is_null() || !linked.contains(&name) {
            continue;
        }
        let folder = Path::new(text("manifest_path")).parent();
        let own = folder.map(texts).transpose()?.filter(|own| !own.is_empty());
        let notice = own.unwrap_or_else(|| {
            let authors = package["authors"].as_array().into_iter().flatten();
            let authors: Vec<&str> = authors.filter_map(Value::as_str).collect();
            let authors = authors.join(", ");
            format!("{}\n{authors}\n{}", text("license"), text("repository"))
        });
        names_of.entry(notice).or_default().push(name);
    }
    if names_of.is_empty() {
        return Err(Failure::failed(
            "`cargo tree` names no crate that is linked",
        ));
    }
    let mut parts: Vec<(Vec<String>, String)> = names_of
        .into_iter()
        .map(|(notice, names)| (names, notice))
        .collect();
    parts.sort();
    let mut all = HEADING.to_owned();
    for (names, notice) in parts {
        let names = names.join(", ");
        all.push_str(&format!("\n==== {names}\n\n{}\n", notice.trim()));
    }
    let output = paths::root().join(OUTPUT);
    fs::write(&output, all).map_err(Failure::io("write", &output))
}

/// `name version` of each crate that is linked for wasm; those that only work at build time are not among them.
fn linked() -> Result<BTreeSet<String>, Failure> {
    let tree = shell::answer(shell::cargo().args([
        "tree",
        "--locked",
        "--package",
        "piecework",
        "--no-default-features",
        "--target",
        TARGET,
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))
    .ok_or_else(|| Failure::failed("`cargo tree` failed"))?;
    Ok(crates_in(&tree))
}

/// The lines of `cargo tree`: `name v1.2.3`, and perhaps a folder or a mark.
fn crates_in(tree: &str) -> BTreeSet<String> {
    tree.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
            Some(format!("{name} {version}"))
        })
        .collect()
}

/// The texts of a crate's licence: MIT's if it may be used under it, else all that it has; and what it wants noticed.
fn texts(folder: &Path) -> Result<String, Failure> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::io("read", folder))? {
        let path = entry.map_err(Failure::io("read", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_ascii_uppercase();
        let is_one = ["LICENSE", "LICENCE", "COPYING", "NOTICE"]
            .iter()
            .any(|start| name.starts_with(start));
        if is_one && path.is_file() {
            files.push((name, path));
        }
    }
    files.sort();
    let has_mit = files.iter().any(|(name, _)| name.contains("MIT"));
    let mut all = String::new();
    for (name, path) in files {
        if !has_mit || name.contains("MIT") || name.starts_with("NOTICE") {
            let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
            all.push_str(text.trim());
            all.push_str("\n\n");
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crates_of_a_tree_are_read_without_its_marks() {
        let tree = "piecework v0.1.0 (/somewhere/crate)\nder v0.7.10 (*)\n\nbytes v1.12.1\n";
        let names: Vec<String> = crates_in(tree).into_iter().collect();
        assert_eq!(names, ["bytes 1.12.1", "der 0.7.10", "piecework 0.1.0"]);
    }

    #[test]
    fn of_two_licences_mits_is_taken_and_a_notice_stays() {
        let folder = std::env::temp_dir().join(format!("piecework-notices-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in [
            ("LICENSE-APACHE", "a"),
            ("license-mit", "m"),
            ("NOTICE", "n"),
            ("README", "r"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        let both = texts(&folder).unwrap();
        fs::remove_file(folder.join("license-mit")).unwrap();
        let without = texts(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(both, "m\n\nn\n\n");
        assert_eq!(without, "a\n\nn\n\n");
    }
}
