//! A document that is cited is in the repository, and so is the heading that is cited of it.
//!
//! A citation is a path that ends in `.md`, in comments, in prose and in links. It counts from the repository's root or
//! from the folder of the citing file. Headings may follow in quotes: `docs/protocol.md, "Credit" and "Folds"`. They
//! may begin on one line and end on the next. A link may name a heading by its anchor instead, `protocol.md#credit`, or
//! `#credit` alone in a document. A number of a section is no citation: numbers change when a section is added.
//!
//! A Rust file that a document names in backticks is in the repository, too, by the end of its path: `picker/turns.rs`.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Component, Path, PathBuf},
};

use crate::{failure::Failure, paths};

/// Endings of the files that are read.
const ENDINGS: &[&str] = &[
    "css", "html", "js", "md", "mjs", "py", "rs", "sol", "toml", "ts",
];

/// Folders whose files are made or fetched, not written.
const NOT_OURS: &[&str] = &[
    "cache",
    "dist",
    "node_modules",
    "out",
    "target",
    "wasm",
    "wasm-free",
];

/// This file: its tests cite documents that are nowhere.
const OWN: &str = "xtask/src/citations.rs";

/// The part of a citation after the document.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Anchor(String),
    Headings(Vec<String>),
    Number,
}

/// Names every line that cites a document or a heading that is not there.
pub fn exist() -> Result<Vec<String>, Failure> {
    let root = paths::root();
    let known: RefCell<BTreeMap<PathBuf, Option<Vec<String>>>> = RefCell::default();
    let headings = |document: &Path| {
        let read = || {
            let text = fs::read_to_string(root.join(document)).ok()?;
            Some(headings_in(&text))
        };
        let mut known = known.borrow_mut();
        known
            .entry(document.to_path_buf())
            .or_insert_with(read)
            .clone()
    };
    let mut violations = Vec::new();
    let files = files(&root)?;
    for path in &files {
        let place = path.strip_prefix(&root).unwrap_or(path);
        if place != Path::new(OWN) {
            let text = fs::read_to_string(path).map_err(Failure::io("read", path))?;
            violations.extend(faults_in(place, &text, &headings));
            if place.extension().is_some_and(|ending| ending == "md") {
                let is_there = |name: &Path| files.iter().any(|file| file.ends_with(name));
                violations.extend(lost_sources(place, &text, &is_there));
            }
        }
    }
    Ok(violations)
}

/// The Rust files that a document at `place` names, by the end of their path in backticks, and that are nowhere.
fn lost_sources(place: &Path, text: &str, is_there: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let mut lost = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        for word in line.split('`').skip(1).step_by(2) {
            let name = word.split([':', ' ']).next().unwrap_or(word);
            let is_path = !name.contains(['*', '{', '<', '[']);
            if name.ends_with(".rs") && is_path && !is_there(Path::new(name)) {
                let place = place.display();
                lost.push(format!(
                    "{place}:{number}: `{name}` is not in the repository"
                ));
            }
        }
    }
    lost
}

/// The faults of the citations of one file at `place`. `headings` knows a document by its path from the root.
fn faults_in(
    place: &Path,
    text: &str,
    headings: &dyn Fn(&Path) -> Option<Vec<String>>,
) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut faults = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let mut fault = |what: String| {
            faults.push(format!("{}:{}: {what}", place.display(), index + 1));
        };
        for (name, end) in documents_in(line) {
            let Some(found) = places(place, name).find_map(|document| headings(&document)) else {
                fault(format!("`{name}` is not in the repository"));
                continue;
            };
            let next = lines.get(index + 1).copied().unwrap_or_default();
            match part_in(&format!("{} {}", &line[end..], without_leader(next))) {
                Part::Whole => {}
                Part::Number => fault(format!("cite the heading of `{name}`, not its number")),
                Part::Anchor(anchor) => {
                    if !slugs(&found).contains(&anchor) {
                        fault(format!("`{name}` has no heading `#{anchor}`"));
                    }
                }
                Part::Headings(cited) => {
                    for heading in cited.iter().filter(|cited| !found.contains(*cited)) {
                        fault(format!("`{name}` has no heading \"{heading}\""));
                    }
                }
            }
        }
        if place.extension().is_some_and(|ending| ending == "md") {
            let own = slugs(&headings_in(text));
            for (at, start) in line.match_indices("](#") {
                let anchor = anchor_at(&line[at + start.len()..]);
                if !own.contains(&anchor) {
                    fault(format!("there is no heading `#{anchor}`"));
                }
            }
        }
    }
    faults
}

/// The documents that a line names, and where each name ends. An address of the web is none.
fn documents_in(line: &str) -> Vec<(&str, usize)> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let ends = line
        .match_indices(".md")
        .map(|(at, ending)| (at, at + ending.len()));
    ends.filter(|(_, end)| !line[*end..].starts_with(in_name) || is_sentence_end(&line[*end..]))
        .filter_map(|(at, end)| {
            let before = line[..at].trim_end_matches(in_name);
            let name = &line[before.len()..end];
            let is_address = before.ends_with(':') && name.starts_with("//");
            let has_stem = at > before.len() && !line[..at].ends_with('/');
            (has_stem && !is_address).then_some((name, end))
        })
        .collect()
}

/// A full stop after a name ends the sentence.
fn is_sentence_end(after: &str) -> bool {
    after
        .strip_prefix('.')
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ')', '"', '`']))
}

/// Where a cited document may lie, from the root.
fn places(place: &Path, name: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let folder = place.parent().unwrap_or(Path::new(""));
    let candidates = [folder.join(name), PathBuf::from(name)];
    candidates.into_iter().filter_map(|path| inside(&path))
}

/// The path without `.` and `..`; none if it leaves the root.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

/// The part of a document that follows its name.
fn part_in(after: &str) -> Part {
    if let Some(anchor) = after.strip_prefix('#') {
        return Part::Anchor(anchor_at(anchor));
    }
    let mut rest = after.strip_prefix('`').unwrap_or(after);
    let word = rest.trim_start_matches([',', ' ', '(']);
    if ["section ", "sections ", "§"]
        .iter()
        .any(|number| word.starts_with(number))
    {
        return Part::Number;
    }
    let mut headings = Vec::new();
    while let Some((heading, further)) = quoted(rest) {
        headings.push(heading.to_owned());
        rest = further;
    }
    match headings.is_empty() {
        true => Part::Whole,
        false => Part::Headings(headings),
    }
}

/// The next heading in quotes, and the text after it. A heading whose quote never ends is taken to the end, and will
/// not be found.
fn quoted(rest: &str) -> Option<(&str, &str)> {
    let inside = [", and ", " and ", ", ", " "]
        .iter()
        .find_map(|between| rest.strip_prefix(between)?.strip_prefix('"'))?;
    Some(inside.split_once('"').unwrap_or((inside, "")))
}

fn anchor_at(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || "-_".contains(*c))
        .collect()
}

/// A line without the characters that begin a comment, so that a heading may go on in it.
fn without_leader(line: &str) -> &str {
    let line = line.trim_start();
    let leader = ["///", "//!", "//", "*", "#"]
        .iter()
        .find_map(|leader| line.strip_prefix(leader));
    leader.unwrap_or(line).trim_start()
}

/// The headings of a document as they are read, without links and code marks.
fn headings_in(document: &str) -> Vec<String> {
    let mut is_code = false;
    let mut headings = Vec::new();
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        let text = line.trim_start_matches('#');
        if !is_code && text.len() < line.len() && text.starts_with(' ') {
            headings.push(without_marks(text.trim()));
        }
    }
    headings
}

/// `[text](target)` becomes `text`; code marks go.
fn without_marks(heading: &str) -> String {
    let mut plain = String::new();
    let mut rest = heading;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((text, after)) = link.split_once("](") else {
            break;
        };
        let Some((_, after)) = after.split_once(')') else {
            break;
        };
        plain.push_str(before);
        plain.push_str(text);
        rest = after;
    }
    plain.push_str(rest);
    plain.replace('`', "")
}

/// The anchors of headings, as GitHub makes them: equal ones get numbers.
fn slugs(headings: &[String]) -> Vec<String> {
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let slug = |heading: &String| {
        let kept = heading.to_lowercase().replace(' ', "-");
        let kept: String = kept
            .chars()
            .filter(|c| c.is_alphanumeric() || "-_".contains(*c))
            .collect();
        let times = used.entry(kept.clone()).or_insert(0);
        *times += 1;
        match *times {
            1 => kept,
            more => format!("{kept}-{}", more - 1),
        }
    };
    headings.iter().map(slug).collect()
}

/// Every file that is written here and may cite; generated files and those of others are left out.
pub fn files(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Failure::io("list", &folder))? {
            let path = entry.map_err(Failure::io("list", &folder))?.path();
            if path.is_dir() {
                if is_ours(&path) {
                    folders.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|ending| ENDINGS.iter().any(|wanted| ending == *wanted))
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_ours(folder: &Path) -> bool {
    let name = folder.file_name().and_then(OsStr::to_str);
    name.is_some_and(|name| !name.starts_with('.') && !NOT_OURS.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with docs/rules.md and README.md.
    fn headings(document: &Path) -> Option<Vec<String>> {
        let text = match document.to_str()? {
            "docs/rules.md" => {
                "# Rules\n\n## Credit\n```\n# no heading\n```\n## Credit\n### Who pays [it](a.md)\n"
            }
            "README.md" => "# Read me\n#not one\n",
            _ => return None,
        };
        Some(headings_in(text))
    }

    fn faults(place: &str, text: &str) -> Vec<String> {
        faults_in(Path::new(place), text, &headings)
    }

    #[test]
    fn a_document_is_found_from_the_root_and_from_its_neighbour_and_nowhere_else() {
        let none: Vec<String> = Vec::new();
        assert_eq!(faults("crate/a.rs", "/// See docs/rules.md."), none);
        assert_eq!(faults("docs/more.md", "[rules](rules.md)"), none);
        assert_eq!(faults("docs/more.md", "[read](../README.md)"), none);
        assert_eq!(
            faults("crate/a.rs", "// x\n/// (rules.md)"),
            ["crate/a.rs:2: `rules.md` is not in the repository"]
        );
        assert_eq!(faults("a.rs", "//! docs/none.md, and README.md").len(), 1);
        assert_eq!(faults("a.rs", "// ../README.md").len(), 1);
    }

    #[test]
    fn a_source_file_that_a_document_names_is_found_by_the_end_of_its_path() {
        let is_there = |name: &Path| Path::new("crate/src/picker/turns.rs").ends_with(name);
        let lost = |text: &str| lost_sources(Path::new("docs/a.md"), text, &is_there);
        let none: Vec<String> = Vec::new();
        assert_eq!(
            lost("see `picker/turns.rs: a_test`, `turns.rs` and `picker/*.rs`"),
            none
        );
        assert_eq!(
            lost("one\nsee `turns.rs` and `picker/partial.rs`"),
            ["docs/a.md:2: `picker/partial.rs` is not in the repository"]
        );
    }

    #[test]
    fn a_heading_is_found_by_its_words_over_two_lines_too() {
        let none: Vec<String> = Vec::new();
        let cites = |text: &str| faults("a.rs", text);
        assert_eq!(cites("/// (docs/rules.md, \"Credit\")"), none);
        assert_eq!(
            cites("/// docs/rules.md, \"Credit\" and \"Who pays it\"."),
            none
        );
        assert_eq!(cites("/// docs/rules.md, \"Who\n/// pays it\"."), none);
        assert_eq!(cites("/// (docs/rules.md,\n/// \"Who pays it\")"), none);
        assert_eq!(
            cites("/// docs/rules.md, \"Credit\" and \"Debt\""),
            ["a.rs:1: `docs/rules.md` has no heading \"Debt\""]
        );
        assert_eq!(cites("/// docs/rules.md, \"no heading\"").len(), 1);
        assert_eq!(cites("/// docs/rules.md, \"Credit").len(), 1, "no end");
    }

    #[test]
    fn a_number_of_a_section_is_no_citation() {
        for text in [
            "// docs/rules.md, section 4",
            "// docs/rules.md section 4",
            "// docs/rules.md, sections 2 and 3",
            "// docs/rules.md,\n// section 4",
        ] {
            assert_eq!(
                faults("a.rs", text),
                ["a.rs:1: cite the heading of `docs/rules.md`, not its number"]
            );
        }
    }

    #[test]
    fn an_anchor_is_a_headings_and_equal_headings_have_numbers() {
        let none: Vec<String> = Vec::new();
        assert_eq!(faults("b.md", "[a](docs/rules.md#credit-1)"), none);
        assert_eq!(faults("b.md", "[a](docs/rules.md#who-pays-it)"), none);
        assert_eq!(
            faults("b.md", "[a](docs/rules.md#credit-2)"),
            ["b.md:1: `docs/rules.md` has no heading `#credit-2`"]
        );
        assert_eq!(faults("b.md", "# One word\n[a](#one-word)"), none);
        assert_eq!(
            faults("b.md", "# One word\n[a](#word)"),
            ["b.md:2: there is no heading `#word`"]
        );
        assert_eq!(faults("b.rs", "// [a](#word)"), none, "no document");
    }

    #[test]
    fn what_only_looks_like_a_document_is_none() {
        let none: Vec<(&str, usize)> = Vec::new();
        for line in [
            "https://example.org/a/none.md",
            "every *.md file",
            "format!(\"{name}.md\")",
            "a.md5 of it",
            "in docs/.md",
        ] {
            assert_eq!(documents_in(line), none, "{line}");
        }
        assert_eq!(
            documents_in("for d in [\"README.md\", \"b.md\"]"),
            [("README.md", 20), ("b.md", 28)]
        );
        assert_eq!(part_in("\", \"b.md\"]"), Part::Whole);
        assert_eq!(documents_in("It is in README.md."), [("README.md", 18)]);
    }
}
