//! The project's own source rules (ARCHITECTURE.md): each reads files and names the lines that break it.
//!
//! A rule sees lines with `//` comments cut off, except the rules about citations and doc comments. Every exception is
//! listed here, and one that is no longer needed is itself a violation: the lists only shrink.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    check::{line_width, pragmas},
    citations, doc_lines,
    failure::Failure,
    paths, shell,
};

/// A rule's name and the function that finds its violations.
pub type Rule = (&'static str, fn() -> Result<Vec<String>, Failure>);

/// Every rule.
pub const ALL: &[Rule] = &[
    (
        "the core reads no clock, file or random source",
        core_is_sans_io,
    ),
    ("imports go downwards only", imports_go_downwards),
    ("what a page loads says nothing by `{:?}`", no_debug_text),
    ("the page builds no HTML from text", no_html_from_text),
    (
        "every package forbids unsafe code",
        unsafe_code_is_forbidden,
    ),
    (
        "every document and heading that is cited is there",
        citations::exist,
    ),
    (
        "no doc comment is a question word, a unit or a pointer alone",
        doc_lines::say_something,
    ),
    ("deployed contracts name one compiler", pragmas::are_exact),
    ("no line is too wide", line_width::fits),
];

/// Words that would let the core learn something on its own.
const IMPURE: &[&str] = &[
    "Instant",
    "SystemTime",
    "std::fs",
    "std::thread",
    "tokio",
    "async",
    "thread_rng",
    "OsRng",
    "getrandom",
];

/// (file, word): uses of [`IMPURE`] words in the core that are allowed. Never add one.
const IMPURE_EXCEPTIONS: &[(&str, &str)] = &[];

/// The edges, which are not part of the core.
const EDGES: &[&str] = &["web", "native"];

const HTML_FROM_TEXT: &[&str] = &[
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "srcdoc",
    "createContextualFragment",
];

fn core_is_sans_io() -> Result<Vec<String>, Failure> {
    let files = core_files()?
        .into_iter()
        .filter(|(module, _)| !EDGES.contains(&module.as_str()));
    let mut used = Vec::new();
    let mut violations = Vec::new();
    for (_, path) in files {
        for (number, line) in code_lines(&path)? {
            for word in IMPURE.iter().filter(|word| has_word(&line, word)) {
                let place = shown(&path);
                if IMPURE_EXCEPTIONS.contains(&(&place, word)) {
                    used.push((place, *word));
                } else {
                    violations.push(format!("{place}:{number}: `{word}` in the core"));
                }
            }
        }
    }
    let stale = IMPURE_EXCEPTIONS
        .iter()
        .filter(|(file, word)| !used.contains(&((*file).to_owned(), *word)));
    violations.extend(stale.map(|(file, word)| {
        format!(
            "{file}: the exception for `{word}` is no longer needed: remove it from xtask/src/rules.rs"
        )
    }));
    Ok(violations)
}

fn imports_go_downwards() -> Result<Vec<String>, Failure> {
    let map = paths::root().join("crate/src/lib.rs");
    let text = fs::read_to_string(&map).map_err(Failure::io("read", &map))?;
    let ranks = ranks_in(&text);
    let rank = |module: &str| {
        ranks
            .iter()
            .position(|line| line.iter().any(|name| name == module))
    };
    let mut violations = Vec::new();
    for (module, path) in core_files()? {
        let Some(own) = rank(&module) else {
            violations.push(format!(
                "{}: module `{module}` is not on the map in crate/src/lib.rs",
                shown(&path)
            ));
            continue;
        };
        let text = code_lines(&path)?;
        for (number, line) in &text {
            if line.starts_with("use super::") && is_module_root(&path) {
                violations.push(format!(
                    "{}:{number}: say `crate::`, so that the order can be read",
                    shown(&path)
                ));
            }
        }
        for (number, name) in crate_paths(&text) {
            if name == module {
                continue;
            }
            match rank(&name) {
                Some(other) if other < own => {}
                Some(other) if other == own => violations.push(format!(
                    "{}:{number}: `{module}` imports its sibling `{name}`",
                    shown(&path)
                )),
                Some(_) => violations.push(format!(
                    "{}:{number}: `{module}` imports `{name}` from below",
                    shown(&path)
                )),
                None => violations.push(format!(
                    "{}:{number}: `crate::{name}` hides which module it comes from",
                    shown(&path)
                )),
            }
        }
    }
    Ok(violations)
}

/// In a page's engine `{:?}` prints nothing: it is built without (`wasm_toolchain`). A text for people must not need
/// it.
fn no_debug_text() -> Result<Vec<String>, Failure> {
    // Records the core's inputs; built with `{:?}` and never shipped.
    let elsewhere = ["tests.rs", "trace.rs"];
    let mut files = core_files()?;
    files.retain(|(module, path)| {
        module != "native" && !elsewhere.iter().any(|name| path.ends_with(name))
    });
    let mut violations = Vec::new();
    for (_, path) in files {
        let lines = code_lines(&path)?;
        let shipped = lines.iter().take_while(|(_, line)| line != "#[cfg(test)]");
        for (number, line) in shipped {
            if line.contains(":?}") || line.contains(":#?}") {
                violations.push(format!(
                    "{}:{number}: `{{:?}}` is empty in a page",
                    shown(&path)
                ));
            }
        }
    }
    Ok(violations)
}

fn no_html_from_text() -> Result<Vec<String>, Failure> {
    let mut violations = Vec::new();
    let page_sources = files_below(&paths::root().join("www"), &["ts", "js", "mjs", "html"])?;
    let generated = [
        "www/npm/dist/",
        "www/npm/wasm/",
        "www/npm/wasm-free/",
        "www/player/dist/",
    ]
    .map(|folder| paths::root().join(folder));
    for path in page_sources
        .iter()
        .filter(|path| !generated.iter().any(|folder| path.starts_with(folder)))
    {
        for (number, line) in code_lines(path)? {
            for word in HTML_FROM_TEXT.iter().filter(|word| line.contains(**word)) {
                violations.push(format!(
                    "{}:{number}: `{word}`: foreign text goes through textContent",
                    shown(path)
                ));
            }
        }
    }
    Ok(violations)
}

fn unsafe_code_is_forbidden() -> Result<Vec<String>, Failure> {
    let root = fs::read_to_string(paths::root().join("Cargo.toml"))
        .map_err(Failure::io("read", Path::new("Cargo.toml")))?;
    let mut violations = Vec::new();
    if !root
        .lines()
        .any(|line| line.trim() == "unsafe_code = \"forbid\"")
    {
        violations
            .push("Cargo.toml: [workspace.lints.rust] lacks unsafe_code = \"forbid\"".to_owned());
    }
    let metadata =
        shell::answer(shell::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))
            .ok_or_else(|| Failure::failed("`cargo metadata` failed"))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)
        .map_err(|error| Failure::failed(format!("`cargo metadata`: {error}")))?;
    let manifests = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| package["manifest_path"].as_str());
    for manifest in manifests.map(Path::new) {
        let text = fs::read_to_string(manifest).map_err(Failure::io("read", manifest))?;
        let mut lines = text
            .lines()
            .map(str::trim)
            .skip_while(|line| *line != "[lints]")
            .skip(1);
        if lines.next() != Some("workspace = true") {
            violations.push(format!(
                "{}: lacks [lints] workspace = true",
                shown(manifest)
            ));
        }
    }
    Ok(violations)
}

/// Every file of a module of `crate/src`, with the module's name; `lib.rs` and the binaries stand above the order.
fn core_files() -> Result<Vec<(String, PathBuf)>, Failure> {
    let source = paths::root().join("crate/src");
    let files = files_below(&source, &["rs"])?
        .into_iter()
        .filter_map(|path| {
            let inside = path.strip_prefix(&source).ok()?;
            let first = inside.components().next()?.as_os_str().to_str()?;
            let module = first.strip_suffix(".rs").unwrap_or(first).to_owned();
            (module != "lib" && module != "bin").then_some((module, path))
        });
    Ok(files.collect())
}

/// The map in the crate's documentation, top to bottom; modules on one line never import each other.
fn ranks_in(crate_docs: &str) -> Vec<Vec<String>> {
    let docs = crate_docs
        .lines()
        .filter_map(|line| line.strip_prefix("//!").map(str::trim));
    docs.skip_while(|line| *line != "# The map")
        .skip_while(|line| *line != "```text")
        .skip(1)
        .take_while(|line| *line != "```")
        .map(|line| {
            let names = line.split([',', '|']).map(|name| name.trim().to_owned());
            names.collect()
        })
        .collect()
}

fn is_module_root(path: &Path) -> bool {
    let source = paths::root().join("crate/src");
    let folder = path.parent();
    folder == Some(source.as_path())
        || (path.ends_with("mod.rs") && folder.and_then(Path::parent) == Some(source.as_path()))
}

/// The first name after each `crate::`, and each first name in `crate::{...}`, with its line.
fn crate_paths(lines: &[(usize, String)]) -> Vec<(usize, String)> {
    const START: &str = "crate::";
    let mut found = Vec::new();
    // Some: inside `crate::{`, at this depth of braces; a name counts only at depth 1, after `{` or `,`.
    let mut depth: Option<u32> = None;
    for (number, line) in lines {
        let mut rest = line.as_str();
        let mut at_name = depth == Some(1) && !rest.trim().is_empty();
        while !rest.is_empty() {
            if depth.is_none() {
                let Some(at) = rest.find(START) else { break };
                let whole_word =
                    !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
                rest = &rest[at + START.len()..];
                if !whole_word {
                    continue;
                }
                if let Some(inside) = rest.strip_prefix('{') {
                    (rest, depth, at_name) = (inside, Some(1), true);
                } else {
                    found.push((*number, name_at(rest)));
                }
                continue;
            }
            let name = name_at(rest.trim_start());
            if at_name && !name.is_empty() {
                rest = &rest.trim_start()[name.len()..];
                found.push((*number, name));
                at_name = false;
                continue;
            }
            let mut characters = rest.chars();
            let character = characters.next();
            rest = characters.as_str();
            match (character, depth) {
                (Some('{'), Some(open)) => depth = Some(open + 1),
                (Some('}'), Some(1)) => depth = None,
                (Some('}'), Some(open)) => depth = Some(open - 1),
                (Some(','), Some(1)) => at_name = true,
                _ => {}
            }
        }
    }
    found
}

fn name_at(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// Whether `word` stands in the line as a word of its own.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part))
}

/// The file's lines, numbered from 1, with `//` comments cut off.
fn code_lines(path: &Path) -> Result<Vec<(usize, String)>, Failure> {
    let text = fs::read_to_string(path).map_err(Failure::io("read", path))?;
    Ok(text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, without_comment(line).to_owned()))
        .collect())
}

/// A `//` after a colon is taken for an address, not for a comment.
fn without_comment(line: &str) -> &str {
    let start = line
        .match_indices("//")
        .find(|(at, _)| !line[..*at].ends_with(':'));
    start.map_or(line, |(at, _)| &line[..at])
}

/// The files with one of these endings, in order.
pub fn files_below(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(Failure::io("list", &folder))? {
            let path = entry.map_err(Failure::io("list", &folder))?.path();
            if path.is_dir() {
                if !path.ends_with("node_modules") {
                    folders.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted))
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The path from the repository's root.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(paths::root())
        .unwrap_or(path)
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.to_owned()))
            .collect::<Vec<_>>();
        crate_paths(&lines)
            .into_iter()
            .map(|(_, name)| name)
            .collect()
    }

    #[test]
    fn an_import_names_its_modules_in_any_layout() {
        assert_eq!(
            names("use crate::wire::Frame; let x = crate::types::X;"),
            ["wire", "types"]
        );
        assert_eq!(
            names("use crate::{peer::{a, b}, torrent};"),
            ["peer", "torrent"]
        );
        assert_eq!(
            names(
                "use crate::{\n    client::{\n        a, b,\n    },\n    time::Timestamp,\n};\nuse crate::verify;"
            ),
            ["client", "time", "verify"]
        );
        assert_eq!(
            names("use other_crate::wire; $crate::x"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_order_is_the_map_of_the_crates_documentation() {
        let docs = "//! # The map\n//!\n//! Down.\n//!\n//! ```text\n//! types, time\n//! wire\n//! web | native\n//! ```\n//! more\n";
        assert_eq!(
            ranks_in(docs),
            [vec!["types", "time"], vec!["wire"], vec!["web", "native"]]
        );
    }

    #[test]
    fn a_word_is_not_found_inside_another() {
        assert!(has_word("let t = Instant::now();", "Instant"));
        assert!(has_word("use std::fs;", "std::fs"));
        assert!(!has_word("fn asynchronous() { Instantly }", "async"));
        assert!(!has_word("fn asynchronous() { Instantly }", "Instant"));
    }

    #[test]
    fn a_comment_is_cut_and_an_address_is_not() {
        assert_eq!(without_comment("code(); // Instant"), "code(); ");
        assert_eq!(without_comment("//! Instant"), "");
        assert_eq!(
            without_comment("open(\"ws://host\"); // x"),
            "open(\"ws://host\"); "
        );
    }
}
