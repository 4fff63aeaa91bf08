//! Which files `get` fetches: `--files`, by index as links name them (BEP 53), and `--select`, by path.

use std::ops::RangeInclusive;

use glob::{MatchOptions, Pattern};

use super::args::GetArgs;
use super::output::{CliError, plain};
use crate::client::{Priority, TorrentSnapshot};
use crate::metainfo::magnet::parse_selection;

/// As shells match: a star stays within a folder, and two stars do not.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// The files that the operator named.
pub(super) struct Choice {
    indices: Vec<RangeInclusive<u32>>,
    patterns: Vec<Pattern>,
}

impl Choice {
    /// `None` if no file is named: all are fetched, or those that a link or an earlier run chose.
    pub(super) fn of(args: &GetArgs) -> Result<Option<Choice>, CliError> {
        if args.files.is_none() && args.select.is_empty() {
            return Ok(None);
        }
        let named = args.files.as_deref().unwrap_or_default();
        let is_empty = args.files.is_some() && named.trim().is_empty();
        let indices = parse_selection(named).filter(|_| !is_empty).ok_or_else(|| {
            CliError::Invalid(format!(
                "--files {named:?} names no files: write indices as `piecework info` lists them, such as 0,2,4-6"
            ))
        })?;
        let pattern = |text: &String| {
            Pattern::new(text)
                .map_err(|e| CliError::Invalid(format!("--select {text:?} is no pattern: {e}")))
        };
        Ok(Some(Choice {
            indices,
            patterns: args.select.iter().map(pattern).collect::<Result<_, _>>()?,
        }))
    }

    /// The priority of each file of a torrent.
    pub(super) fn priorities(
        &self,
        name: &str,
        files: &[(Vec<String>, u64)],
    ) -> Result<Vec<Priority>, CliError> {
        let count = files.len();
        if let Some(range) = self
            .indices
            .iter()
            .find(|range| *range.end() as usize >= count)
        {
            return Err(CliError::Invalid(format!(
                "--files names file {}, and the last one of {} is {}: `piecework info` lists them",
                range.end(),
                plain(name),
                count.saturating_sub(1)
            )));
        }
        // As `info` lists them, or without the torrent's own folder.
        let paths = files.iter().map(|(path, _)| {
            let below = path.get(1..).filter(|below| !below.is_empty());
            [Some(&path[..]), below].map(|path| path.map(|path| path.join("/")).unwrap_or_default())
        });
        let paths: Vec<[String; 2]> = paths.collect();
        let fits = |pattern: &Pattern, paths: &[String; 2]| {
            let mut named = paths.iter().filter(|path| !path.is_empty());
            named.any(|path| pattern.matches_with(path, MATCHING))
        };
        let idle = |pattern: &&Pattern| !paths.iter().any(|paths| fits(pattern, paths));
        if let Some(none) = self.patterns.iter().find(idle) {
            return Err(CliError::Invalid(format!(
                "--select {:?} fits no file of {}: `piecework info` lists their paths",
                none.as_str(),
                plain(name)
            )));
        }
        let chosen = |(at, paths): (usize, &[String; 2])| {
            let by_index = self
                .indices
                .iter()
                .any(|range| range.contains(&(at as u32)));
            match by_index || self.patterns.iter().any(|pattern| fits(pattern, paths)) {
                true => Priority::Normal,
                false => Priority::Skip,
            }
        };
        Ok(paths.iter().enumerate().map(chosen).collect())
    }
}

/// How many of a torrent's files are selected, and how many there are; padding is none.
pub(super) fn selected(torrent: &TorrentSnapshot) -> (usize, usize) {
    let files =
        (torrent.files.iter().zip(&torrent.priorities)).filter(|((path, _), _)| !path.is_empty());
    let selected = files
        .clone()
        .filter(|(_, priority)| **priority > Priority::Skip);
    (selected.count(), files.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<(Vec<String>, u64)> {
        let paths: [&[&str]; 5] = [
            &["it", "a", "One.mp4"],
            &["it", "a", "b", "Two.mp4"],
            &[],
            &["it", "notes.txt"],
            &["it", "One.mp4"],
        ];
        let path = |path: &&[&str]| (path.iter().map(|part| (*part).to_owned()).collect(), 1);
        paths.iter().map(path).collect()
    }

    fn chosen(indices: &str, patterns: &[&str]) -> Result<Vec<usize>, String> {
        let choice = Choice {
            indices: parse_selection(indices).unwrap_or_default(),
            patterns: patterns
                .iter()
                .filter_map(|text| Pattern::new(text).ok())
                .collect(),
        };
        let priorities = choice
            .priorities("it", &files())
            .map_err(|error| error.to_string())?;
        let is_chosen = |at: &usize| {
            priorities
                .get(*at)
                .is_some_and(|priority| *priority != Priority::Skip)
        };
        Ok((0..priorities.len()).filter(is_chosen).collect())
    }

    #[test]
    fn files_are_named_by_index_and_by_path() {
        assert_eq!(chosen("0,3-4", &[]), Ok(vec![0, 3, 4]));
        assert_eq!(chosen("", &["*.mp4"]), Ok(vec![4]));
        assert_eq!(chosen("", &["**/*.mp4"]), Ok(vec![0, 1, 4]));
        assert_eq!(chosen("3", &["a/*"]), Ok(vec![0, 3]));
        assert_eq!(chosen("", &["it/a/**"]), Ok(vec![0, 1]));
        assert_eq!(chosen("", &["**"]), Ok(vec![0, 1, 3, 4]));
        assert_eq!(chosen("", &["notes.txt"]), Ok(vec![3]));
    }

    #[test]
    fn what_names_no_file_is_an_error_with_the_remedy() {
        for (indices, patterns, said) in [
            ("5", &[] as &[&str], "the last one of it is 4"),
            ("", &["*.mkv"], "fits no file of it"),
            ("", &["ONE.mp4"], "fits no file of it"),
        ] {
            let error = chosen(indices, patterns).err().unwrap_or_default();
            assert!(
                error.contains(said) && error.contains("piecework info"),
                "{error}"
            );
        }
    }
}
