//! A doc comment of a Rust file has content: no line of it is a question word, a unit or a pointer alone.
//!
//! `/// Which.` above `connection: ConnectionId` satisfies the lint that asks for documentation, and adds nothing to
//! the name. No rule can tell whether a sentence is true; this one finds the lines that are no sentences.

use std::{fs, path::Path};

use crate::{citations, failure::Failure, paths};

/// Lines without content, without their full stop.
const HOLLOW: &[&str] = &[
    "Blocks",
    "By whom",
    "Bytes",
    "Ditto",
    "For what",
    "For whom",
    "From whom",
    "Hashes",
    "How",
    "How many",
    "How much",
    "Likewise",
    "Of which",
    "Of whom",
    "Seconds",
    "See above",
    "See below",
    "See the module",
    "See the module's documentation",
    "See there",
    "The same",
    "To which",
    "To whom",
    "Token units",
    "Wei",
    "What",
    "When",
    "Where",
    "Which",
    "Who",
    "Whose",
    "Why",
    "With what",
    "With whom",
];

/// With one word behind them these repeat the name and its type: `Which torrent.`, `How many keys.`
const ASKING: &[&str] = &[
    "How many ",
    "How much ",
    "Of which ",
    "Of whose ",
    "Which ",
    "Whose ",
];

/// Names every doc line without content.
pub fn say_something() -> Result<Vec<String>, Failure> {
    let root = paths::root();
    let mut violations = Vec::new();
    for path in citations::files(&root)? {
        if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
            violations.extend(faults_in(path.strip_prefix(&root).unwrap_or(&path), &text));
        }
    }
    Ok(violations)
}

fn faults_in(place: &Path, text: &str) -> Vec<String> {
    let numbered = text.lines().enumerate();
    numbered
        .filter_map(|(index, line)| Some((index + 1, doc_of(line)?)))
        .filter(|(_, doc)| is_hollow(doc))
        .map(|(number, doc)| {
            format!(
                "{}:{number}: `{doc}` says nothing: name the actor, the unit, the range, the source or what follows",
                place.display()
            )
        })
        .collect()
}

/// The text of a doc comment's line.
fn doc_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let doc = ["///", "//!"]
        .iter()
        .find_map(|leader| line.strip_prefix(leader))?;
    Some(doc.trim())
}

fn is_hollow(doc: &str) -> bool {
    let words = doc.strip_suffix('.').unwrap_or(doc);
    let repeats = |asked: &str| !asked.is_empty() && asked.chars().all(char::is_alphabetic);
    HOLLOW.contains(&words)
        || ASKING
            .iter()
            .any(|asking| words.strip_prefix(asking).is_some_and(repeats))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        faults_in(Path::new("crate/a.rs"), text)
    }

    #[test]
    fn a_doc_line_of_a_hollow_word_alone_is_named_with_what_to_write_instead() {
        assert_eq!(
            faults("enum E {\n    /// Closes it.\n    Close {\n        /// Which.\n"),
            [
                "crate/a.rs:4: `Which.` says nothing: name the actor, the unit, the range, the source or what follows"
            ]
        );
        for line in [
            "/// Why.",
            "    /// Bytes.",
            "/// Bytes",
            "///  How many. ",
            "//! See the module's documentation.",
            "/// The same.",
            "/// With whom.",
            "/// Which torrent.",
            "/// How many serials.",
            "/// Of which account.",
        ] {
            assert_eq!(faults(line).len(), 1, "{line}");
        }
    }

    #[test]
    fn a_doc_line_that_says_more_passes() {
        for line in [
            "/// The connection that the payment message goes to.",
            "/// Bytes of every piece but the last.",
            "/// Which one is appended to.",
            "/// How many of the claims are sent.",
            "/// See [`Payer::book`].",
            "/// Token units per serial.",
            "///",
            "// Why.",
            "//// Why.",
            "let text = \"/// Why.\";",
            "/// the block, whoever asked and for\n/// which.",
        ] {
            assert_eq!(faults(line), Vec::<String>::new(), "{line}");
        }
    }
}
