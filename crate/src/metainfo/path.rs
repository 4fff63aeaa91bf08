//! Safe names for what a torrent wants to call its files.
//!
//! Owns the rule that no path of a torrent leaves its folder, names a device, hides text
//! direction, or lands on another file of the same torrent, on any file system we may write to.
//! Names are changed, not refused: the same torrent gives the same names everywhere.
//! Never touches a file system, and so knows nothing of what already lies there. Unicode
//! normalisation is left alone: two names that differ only in composition stay two names.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

/// Longest component, bytes of UTF-8; longer ones are shortened and keep their extension.
pub const MAX_COMPONENT_LEN: usize = 255;
/// Most components of one path; a torrent with a deeper one is refused.
pub const MAX_PATH_DEPTH: usize = 32;
/// Longest extension that survives shortening, bytes with its dot.
const MAX_EXTENSION_LEN: usize = 16;
/// Most bytes of a raw name that are looked at.
const MAX_RAW_LEN: usize = 4 * MAX_COMPONENT_LEN;

/// A relative path of safe components, at least one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafePath(Vec<String>);

impl SafePath {
    /// The components, outermost first. Each is a plain file name on every common system.
    pub fn components(&self) -> &[String] {
        &self.0
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.last().map_or("_", String::as_str)
    }
}

impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// Makes one path component safe. Deterministic, and changes nothing that is safe already.
pub fn sanitize_component(raw: &[u8]) -> String {
    let raw = &raw[..raw.len().min(MAX_RAW_LEN)];
    let replaced: String = String::from_utf8_lossy(raw)
        .chars()
        .map(|c| if is_forbidden(c) { '_' } else { c })
        .collect();
    let mut name = shorten(trim(&replaced), MAX_COMPONENT_LEN);
    if name.is_empty() {
        return "_".to_owned();
    }
    if is_reserved(&name) {
        name.insert(0, '_');
        name = shorten(&name, MAX_COMPONENT_LEN);
    }
    name
}

/// Hands out the paths of one torrent's files so that no two meet, also where case is ignored.
#[derive(Debug, Default)]
pub(super) struct PathTable {
    /// Directory and folded name of everything given out.
    taken: BTreeSet<(u32, String)>,
    /// What a directory of that wanted name became.
    directories: BTreeMap<(u32, String), (u32, String)>,
    /// Where the search for a free suffix goes on, so that many equal names cost no square.
    next_suffix: BTreeMap<(u32, String), u32>,
    directory_count: u32,
}

/// The torrent's own folder.
const ROOT: u32 = 0;

impl PathTable {
    /// The safe path for the next file of the torrent; `raw` has at least one component.
    pub(super) fn insert<'r>(&mut self, raw: impl IntoIterator<Item = &'r [u8]>) -> SafePath {
        let mut wanted: Vec<String> = raw.into_iter().map(sanitize_component).collect();
        let file = wanted.pop().unwrap_or_else(|| "_".to_owned());
        let mut directory = ROOT;
        let mut components = Vec::with_capacity(wanted.len() + 1);
        for name in wanted {
            let key = (directory, fold(&name));
            let (id, chosen) = match self.directories.get(&key) {
                Some(known) => known.clone(),
                None => {
                    self.directory_count += 1;
                    let made = (self.directory_count, self.claim(directory, name));
                    self.directories.insert(key, made.clone());
                    made
                }
            };
            directory = id;
            components.push(chosen);
        }
        components.push(self.claim(directory, file));
        SafePath(components)
    }

    fn claim(&mut self, directory: u32, name: String) -> String {
        let key = (directory, fold(&name));
        if self.taken.insert(key.clone()) {
            return name;
        }
        let next = self.next_suffix.entry(key).or_insert(2);
        loop {
            let candidate = with_suffix(&name, *next);
            *next = next.saturating_add(1);
            if self.taken.insert((directory, fold(&candidate))) {
                return candidate;
            }
        }
    }
}

/// `name (n).ext`.
fn with_suffix(name: &str, n: u32) -> String {
    let (stem, extension) = split_extension(name);
    let suffix = format!(" ({n})");
    let stem = cut(stem, MAX_COMPONENT_LEN - suffix.len() - extension.len());
    format!("{stem}{suffix}{extension}")
}

/// One form for names that a case-insensitive file system takes for the same.
fn fold(name: &str) -> String {
    name.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '/' | '\\' | ':' | '<' | '>' | '"' | '|' | '?' | '*')
        // Direction marks, overrides and isolates: `gpj.exe` must not read as `exe.jpg`.
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        // Line and paragraph separators, zero-width space, word joiner, byte order mark, and
        // what stands in for undecodable bytes.
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{fffd}')
}

/// Windows drops trailing dots and spaces; leading spaces only confuse.
fn trim(name: &str) -> &str {
    name.trim_start_matches(' ').trim_end_matches(['.', ' '])
}

/// Names that are devices on Windows, with any extension.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let upper = stem.to_ascii_uppercase();
    if matches!(
        upper.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) {
        return true;
    }
    let Some(digit) = upper
        .strip_prefix("COM")
        .or_else(|| upper.strip_prefix("LPT"))
    else {
        return false;
    };
    let mut chars = digit.chars();
    matches!(
        (chars.next(), chars.next()),
        (Some('0'..='9' | '¹' | '²' | '³'), None)
    )
}

fn shorten(name: &str, max: usize) -> String {
    if name.len() <= max {
        return name.to_owned();
    }
    let (stem, extension) = split_extension(name);
    let short = format!("{}{extension}", cut(stem, max - extension.len()));
    trim(&short).to_owned()
}

/// Stem, and extension with its dot if it is short enough to be one.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= MAX_EXTENSION_LEN => name.split_at(dot),
        _ => (name, ""),
    }
}

/// The longest prefix of at most `max` bytes that ends between characters.
fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
