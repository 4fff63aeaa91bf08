//! A line has at most 120 columns, so that two files fit beside each other, and a diff into a window.
//!
//! A line that cannot be broken is excused: a row of a Markdown table, and a line whose longest word (an address, a
//! path) or string literal would be too long on a line of its own, too.

use std::{ffi::OsStr, fs, path::Path};

use crate::{citations, failure::Failure, paths};

const COLUMNS: usize = 120;

/// Endings of the files that are held to it.
const ENDINGS: &[&str] = &["js", "md", "mjs", "rs", "sol", "ts"];

/// Programs write these.
const GENERATED: &[&str] = &[
    "docs/vectors",
    "www/npm/api",
    "www/npm/test/build",
    "www/extension/test/build",
];

/// (file, beginning of a line): a reader copies the line in one piece.
const WHOLE: &[(&str, &str)] = &[
    ("README.md", "Content-Security-Policy: "),
    ("www/npm/README.md", "Content-Security-Policy: "),
];

/// Names every line that is too long.
pub fn fits() -> Result<Vec<String>, Failure> {
    let root = paths::root();
    let mut violations = Vec::new();
    for path in citations::files(&root)? {
        let place = path.strip_prefix(&root).unwrap_or(&path);
        let ending = path.extension().and_then(OsStr::to_str);
        let is_generated = GENERATED.iter().any(|folder| place.starts_with(folder));
        if is_generated || !ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
        violations.extend(faults_in(place, &text));
    }
    Ok(violations)
}

fn faults_in(place: &Path, text: &str) -> Vec<String> {
    let is_document = place.extension().is_some_and(|ending| ending == "md");
    let is_row = |line: &str| is_document && line.trim_start().starts_with('|');
    let is_whole = |line: &str| {
        let mut lines = WHOLE.iter();
        lines.any(|(file, start)| place == Path::new(file) && line.starts_with(start))
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| {
            columns(line) > COLUMNS && !is_row(line) && !is_whole(line) && can_be_broken(line)
        })
        .map(|(index, line)| {
            format!(
                "{}:{}: {} columns, {COLUMNS} are the most: wrap it",
                place.display(),
                index + 1,
                columns(line)
            )
        })
        .collect()
}

/// Whether each part of the line would fit on a line of its own, as far in as this one.
fn can_be_broken(line: &str) -> bool {
    let indent = columns(line) - columns(line.trim_start());
    let longest = parts(line).map(columns).max().unwrap_or_default();
    indent + longest <= COLUMNS
}

/// The words of a line; what stands in quotes is one.
fn parts(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let end = match first {
            '"' | '`' => closing_quote(rest, first),
            'r' => raw_string(rest),
            '/' => pattern(rest),
            _ => None,
        };
        // A quote inside of a word begins a part of its own: `f("..")`.
        let end = end.unwrap_or_else(|| {
            let is_end = |c: char| c.is_whitespace() || c == '"' || c == '`';
            let after = first.len_utf8();
            rest[after..]
                .find(is_end)
                .map_or(rest.len(), |at| after + at)
        });
        let (part, further) = rest.split_at(end);
        rest = further;
        Some(part)
    })
}

/// Where a string of Rust ends that holds quotes: at its end, or with the line.
fn raw_string(text: &str) -> Option<usize> {
    let inside = text.strip_prefix("r#\"")?;
    let end = inside.find("\"#").map(|at| at + "r#\"\"#".len());
    Some(end.unwrap_or(text.len()))
}

/// Where a regular expression of JavaScript ends that has the rest of the line for itself.
fn pattern(text: &str) -> Option<usize> {
    let is_comment = text.starts_with("//") || text.starts_with("/*");
    let ends = ["/,", "/i,", "/;", "/i;"];
    let has_end = ends.iter().any(|end| text.ends_with(end));
    (has_end && !is_comment).then_some(text.len())
}

/// Where the quotation ends that the text begins with.
fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == quote => return Some(at + quote.len_utf8()),
            _ => {}
        }
    }
    None
}

fn columns(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(place: &str, text: &str) -> usize {
        faults_in(Path::new(place), text).len()
    }

    #[test]
    fn a_line_of_121_columns_is_named_with_its_place() {
        let fits = "é ".repeat(60);
        assert_eq!(faults("a.rs", &fits), 0);
        assert_eq!(
            faults_in(Path::new("docs/security.md"), &format!("x\n{fits}é")),
            ["docs/security.md:2: 121 columns, 120 are the most: wrap it"]
        );
    }

    #[test]
    fn what_cannot_be_broken_passes() {
        let long = "x".repeat(130);
        let words = "wo rd ".repeat(25);
        assert_eq!(faults("a.rs", &format!("// {long}")), 0, "an address");
        assert_eq!(faults("README.md", &format!("- {long}")), 0);
        assert_eq!(
            faults("a.ts", &format!("import {{ a }} from \"{long}\";")),
            0
        );
        assert_eq!(faults("a.rs", &format!("    say(\"{words}\");")), 0);
        assert_eq!(
            faults("a.rs", &format!("    say(\"{words}\\\"{words}\");")),
            0
        );
        assert_eq!(
            faults("README.md", &format!("| {words} | {words} |")),
            0,
            "a row"
        );
        let raw = format!("    let text = r#\"{{\"a\": \"{words}\"}}\"#;");
        assert_eq!(faults("a.rs", &raw), 0, "a raw string");
        assert_eq!(faults("a.ts", &format!("  /^(?:{words})$/i,")), 0);
        let nearly = "wo ".repeat(39);
        assert_eq!(
            faults("a.rs", &format!("{}\"{nearly}\",", " ".repeat(8))),
            0
        );
    }

    #[test]
    fn what_a_reader_copies_whole_is_there_and_passes() {
        for (file, start) in WHOLE {
            let text = fs::read_to_string(paths::root().join(file)).unwrap();
            let lines = text.lines().filter(|line| line.starts_with(start));
            assert_eq!(lines.filter(|line| columns(line) > COLUMNS).count(), 1);
            assert_eq!(faults(file, &text), 0);
        }
    }

    #[test]
    fn what_can_be_broken_does_not() {
        let words = "word ".repeat(25);
        assert_eq!(faults("a.rs", &format!("// {words}")), 1);
        assert_eq!(faults("a.rs", &format!("| {words} |")), 1, "no document");
        let short = "word ".repeat(18);
        assert_eq!(
            faults("a.rs", &format!("    one(\"{short}\"); two(\"{short}\");")),
            1
        );
        assert_eq!(
            faults(
                "a.ts",
                &format!("const text = \"{short}\" + a.b.c.d.e.f.g.h.i;")
            ),
            1
        );
        assert_eq!(
            faults("README.md", &format!("it's \"an open quote {words}")),
            1
        );
    }
}
