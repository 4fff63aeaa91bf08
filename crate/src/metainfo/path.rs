//! Safe names for the files of a torrent.
//!
//! Owns the rule that no path of a torrent leaves its folder, names a device, hides text direction, or lands on another
//! file of the same torrent, on any file system that we may write to. Names are changed, not refused: the same torrent
//! gives the same names everywhere. Never touches a file system, and so knows nothing of the files that already lie
//! there. Unicode normalisation is left alone: two names that differ only in composition stay two names.

use core::fmt;
use std::collections::BTreeMap;

use super::fold::fold;
use super::tracker_url::last_of;

/// Longest component, bytes of UTF-8; longer ones are shortened and keep their extension.
pub const MAX_COMPONENT_LEN: usize = 255;
/// Most components of one path; a torrent with a deeper one is refused.
pub const MAX_PATH_DEPTH: usize = 128;
/// Longest extension that survives shortening, bytes with its dot.
const MAX_EXTENSION_LEN: usize = 16;
/// Most bytes of a raw name that are read.
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

/// Hands out the paths of one torrent's files so that no two are equal, also where case is ignored.
///
/// A tree, not a sorted vector: a torrent may name a hundred thousand files in any order.
#[derive(Debug, Default)]
pub(super) struct PathTable {
    /// By directory and folded name.
    names: BTreeMap<(u32, String), Name>,
    directory_count: u32,
}

/// The meaning of a name in a directory.
#[derive(Debug, Default)]
struct Name {
    /// A path of the torrent has it.
    taken: bool,
    /// The directory that wanted this name: its number, and the name that it got.
    directory: Option<(u32, String)>,
    /// Where the search for a free suffix goes on, so that many equal names cost no square; 0: not begun.
    next_suffix: u32,
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
            let known = self.names.get(&key).and_then(|n| n.directory.clone());
            let (id, chosen) = match known {
                Some(known) => known,
                None => {
                    self.directory_count += 1;
                    let made = (self.directory_count, self.claim(directory, name));
                    self.name(key).directory = Some(made.clone());
                    made
                }
            };
            directory = id;
            components.push(chosen);
        }
        components.push(self.claim(directory, file));
        SafePath(components)
    }

    fn name(&mut self, key: (u32, String)) -> &mut Name {
        self.names.entry(key).or_default()
    }

    fn claim(&mut self, directory: u32, name: String) -> String {
        let key = (directory, fold(&name));
        let wanted = self.name(key.clone());
        if !wanted.taken {
            wanted.taken = true;
            return name;
        }
        let mut next = wanted.next_suffix.max(2);
        loop {
            let candidate = with_suffix(&name, next);
            next = next.saturating_add(1);
            let other = self.name((directory, fold(&candidate)));
            if !other.taken {
                other.taken = true;
                self.name(key).next_suffix = next;
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

fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '/' | '\\' | ':' | '<' | '>' | '"' | '|' | '?' | '*')
        // Direction marks, overrides and isolates: `gpj.exe` must not read as `exe.jpg`.
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        // Line and paragraph separators, zero-width space, word joiner, byte order mark, and the replacement for
        // undecodable bytes.
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
    match last_of(name, b'.') {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn insert(table: &mut PathTable, path: &str) -> String {
        table.insert(path.split('/').map(str::as_bytes)).to_string()
    }

    #[test]
    fn dangerous_components_become_harmless() {
        let overlong = format!("{}.mp4", "x".repeat(400));
        let shortened = format!("{}.mp4", "x".repeat(251));
        for (raw, safe) in [
            ("", "_"),
            (".", "_"),
            ("..", "_"),
            ("...", "_"),
            (" ", "_"),
            ("../../etc/passwd", ".._.._etc_passwd"),
            ("..\\up", ".._up"),
            ("C:", "C_"),
            ("C:\\x", "C__x"),
            ("a\0b", "a_b"),
            ("line\nbreak\x7f", "line_break_"),
            ("name. . .", "name"),
            ("  name", "name"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("com1.tar.gz", "_com1.tar.gz"),
            ("LPT\u{b2}", "_LPT\u{b2}"),
            ("aux .txt", "_aux .txt"),
            ("COM10", "COM10"),
            ("console", "console"),
            ("annexe\u{202e}gpj.exe", "annexe_gpj.exe"),
            ("what?*<>|\"", "what______"),
            (".hidden", ".hidden"),
            ("\u{65e5}\u{672c}.mkv", "\u{65e5}\u{672c}.mkv"),
            (&overlong, &shortened),
        ] {
            assert_eq!(sanitize_component(raw.as_bytes()), safe, "{raw:?}");
        }
        assert_eq!(sanitize_component(b"a\xffb"), "a_b");
    }

    #[test]
    fn equal_names_get_numbers_also_where_case_is_ignored() {
        let mut table = PathTable::default();
        assert_eq!(insert(&mut table, "t/a.mp4"), "t/a.mp4");
        assert_eq!(insert(&mut table, "t/A.mp4"), "t/A (2).mp4");
        assert_eq!(insert(&mut table, "t/a?.mp4"), "t/a_.mp4");
        assert_eq!(insert(&mut table, "t/a*.mp4"), "t/a_ (2).mp4");
        assert_eq!(insert(&mut table, "t/a (3).mp4"), "t/a (3).mp4");
        assert_eq!(insert(&mut table, "t/a.mp4"), "t/a (4).mp4");
        assert_eq!(insert(&mut table, "T/other"), "t/other");
        assert_eq!(insert(&mut table, "t/\u{1e9e}"), "t/\u{1e9e}");
        assert_eq!(insert(&mut table, "t/\u{df}"), "t/\u{df} (2)");
        assert_eq!(insert(&mut table, "t/SS"), "t/SS (3)");
    }

    #[test]
    fn a_file_and_a_folder_of_one_name_are_kept_apart() {
        let mut table = PathTable::default();
        assert_eq!(insert(&mut table, "t/x"), "t/x");
        assert_eq!(insert(&mut table, "t/X/1"), "t/X (2)/1");
        assert_eq!(insert(&mut table, "t/x/2"), "t/X (2)/2");
        assert_eq!(insert(&mut table, "t/x (2)"), "t/x (2) (2)");
        assert_eq!(insert(&mut table, "t/d/1"), "t/d/1");
        assert_eq!(insert(&mut table, "t/D"), "t/D (2)");
    }

    #[test]
    fn many_equal_names_stay_cheap_and_distinct() {
        let mut table = PathTable::default();
        let paths: BTreeSet<_> = (0..20_000).map(|_| insert(&mut table, "t/same")).collect();
        assert_eq!(paths.len(), 20_000);
    }

    proptest! {
        #[test]
        fn any_component_becomes_safe_and_stays_as_it_is(
            raw in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..600),
                "[ .a/:\u{202e}]{0,8}(CON|nul|com1)?[ .]{0,3}(\\PC{0,300})?".prop_map(String::into_bytes),
                "(CON|AUX|x)?[ .\u{e9}]{120,260}[.a ]{0,20}".prop_map(String::into_bytes),
            ]
        ) {
            let safe = sanitize_component(&raw);
            prop_assert!(!safe.is_empty() && safe.len() <= MAX_COMPONENT_LEN);
            prop_assert!(!safe.chars().any(is_forbidden));
            prop_assert!(!safe.ends_with(['.', ' ']) && !safe.starts_with(' '));
            prop_assert!(!is_reserved(&safe));
            prop_assert_eq!(sanitize_component(safe.as_bytes()), safe.clone());
        }

        #[test]
        fn no_two_files_meet(
            paths in proptest::collection::vec(
                proptest::collection::vec("[aA?*.]{0,2}( \\([23]\\))?", 1..4), 1..40)
        ) {
            let mut table = PathTable::default();
            let mut files = BTreeSet::new();
            let mut folders = BTreeSet::new();
            for path in &paths {
                let safe = table.insert(path.iter().map(|c| c.as_bytes()));
                prop_assert_eq!(safe.components().len(), path.len());
                let folded: Vec<_> = safe.components().iter().map(|c| fold(c)).collect();
                for depth in 1..folded.len() {
                    folders.insert(folded[..depth].to_vec());
                }
                prop_assert!(files.insert(folded), "{} twice", safe);
            }
            prop_assert!(files.is_disjoint(&folders));
        }
    }
}
