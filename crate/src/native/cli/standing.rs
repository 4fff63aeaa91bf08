//! The data of a torrent on disk, file by file, and in words.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::output::{bytes, plain, sentence};
use crate::client::{Priority, TorrentSnapshot};
use crate::native::storage::SurveyedFile;
use crate::native::storage_errors::IN_THE_WAY;

/// What an operator of `seed` or `get` can do about missing data, and one of `serve`.
pub(super) const BY_FLAGS: &str =
    "give the folder that holds it by --data, or fetch what is missing or wrong with --repair";
pub(super) const BY_COMMANDS: &str =
    "put its files back and start again, or remove the torrent and add it again to fetch them";
/// Most files that are named as text; the others are counted.
const MAX_NAMED: usize = 10;

/// A file that lacks pieces.
pub(super) struct Shortfall {
    path: String,
    length: u64,
    present: Option<u64>,
    pieces: u64,
    missing: u64,
    /// The missing pieces among them that belong to a file that is not there or of another length, too.
    shared: u64,
    /// Fetching may write into it.
    writable: bool,
    /// See [`SurveyedFile::edited`].
    edited: bool,
    /// A selected file has bytes in one of its pieces, or it is one.
    wanted: bool,
}

/// The files of a torrent that lack pieces, in its order.
pub(super) fn shortfalls(torrent: &TorrentSnapshot, survey: &[SurveyedFile]) -> Vec<Shortfall> {
    let piece_length = u64::from(torrent.piece_length.max(1));
    let mut offset = 0u64;
    let mut files = Vec::new();
    // Pieces at the ends of files that cannot be whole: they show nothing about their other files.
    let mut unclear = BTreeSet::new();
    let mut wanted = vec![false; torrent.piece_count as usize];
    for (((path, length), file), priority) in
        (torrent.files.iter().zip(survey)).zip(&torrent.priorities)
    {
        let begin = offset;
        offset = offset.saturating_add(*length);
        if path.is_empty() || *length == 0 {
            continue;
        }
        let (first, last) = (begin / piece_length, (offset - 1) / piece_length);
        if file.present != Some(*length) {
            unclear.extend([first, last]);
        }
        if *priority > Priority::Skip {
            for piece in first..=last {
                wanted
                    .get_mut(piece as usize)
                    .into_iter()
                    .for_each(|piece| *piece = true);
            }
        }
        files.push((*length, file, first..=last));
    }
    let shortfall = |(length, file, pieces): (u64, &SurveyedFile, RangeInclusive<u64>)| {
        let lacks = |piece: &u64| !has(&torrent.have, *piece);
        let missing = pieces.clone().filter(lacks).count() as u64;
        let shared = pieces.clone().filter(lacks);
        (missing > 0).then(|| Shortfall {
            path: file.path.display().to_string(),
            length,
            present: file.present,
            pieces: pieces.end() - pieces.start() + 1,
            missing,
            shared: shared.filter(|piece| unclear.contains(piece)).count() as u64,
            writable: file.writable,
            edited: file.edited,
            wanted: (pieces.clone())
                .any(|piece| wanted.get(piece as usize).is_some_and(|wanted| *wanted)),
        })
    };
    files.into_iter().filter_map(shortfall).collect()
}

/// BEP 3: the first piece in the highest bit.
fn has(have: &[u8], piece: u64) -> bool {
    let byte = usize::try_from(piece / 8).ok().and_then(|at| have.get(at));
    byte.is_some_and(|byte| byte & (0x80 >> (piece % 8)) != 0)
}

impl Shortfall {
    /// The fault of a file, as part of a sentence.
    fn problem(&self) -> String {
        let (pieces, missing) = (self.pieces, self.missing);
        match self.present {
            None => "is not there".to_owned(),
            Some(present) if present != self.length => format!(
                "has {present} bytes, in the torrent it has {}: {missing} of {pieces} pieces are missing or wrong",
                self.length
            ),
            Some(_) if self.is_unclear() => {
                format!(
                    "may be right: what is not known to be ({missing} of {pieces} pieces) is shared with files that are not whole"
                )
            }
            Some(_) => format!("has other content: {missing} of {pieces} pieces are wrong"),
        }
    }

    /// The file may well be right.
    fn is_unclear(&self) -> bool {
        self.present == Some(self.length) && self.missing == self.shared
    }

    fn line(&self) -> String {
        format!("{} {}", sentence(&self.path), self.problem())
    }

    /// The reason why nothing is written to it.
    fn in_the_way(&self) -> String {
        let why = match self.edited {
            true => "it was changed since piecework wrote it",
            false => "piecework did not make it",
        };
        format!("{}, and {why}", self.line())
    }

    fn json(&self) -> Value {
        json!({
            "path": self.path,
            "length": self.length,
            "present": self.present,
            "pieces": self.pieces,
            "pieces_missing": self.missing,
            "problem": self.problem(),
        })
    }
}

/// The reason why a torrent is not fetched: it would write into somebody's files. `None` if it would not, as far as is
/// known.
pub(super) fn in_the_way(torrent: &TorrentSnapshot, shortfalls: &[Shortfall]) -> Option<String> {
    let blocking = shortfalls
        .iter()
        .filter(|file| file.wanted && !file.writable && !file.is_unclear());
    let lines: Vec<String> = blocking.map(Shortfall::in_the_way).collect();
    // Files without bytes, and their folders, are made with the records, before anything is known of the others.
    let has_empty = (torrent.files.iter()).any(|(path, length)| !path.is_empty() && *length == 0);
    let made = match has_empty {
        true => "the records and the torrent's empty files",
        false => "the records",
    };
    (!lines.is_empty()).then(|| {
        format!(
            "nothing was written but {made}: {}: {IN_THE_WAY}",
            listed(lines, "; ")
        )
    })
}

/// A seeder's report on a torrent that is not whole: for JSON, and as text.
pub(super) fn incomplete(
    torrent: &TorrentSnapshot,
    files: &[Shortfall],
    remedy: &str,
) -> (Value, String) {
    let have: u32 = torrent.have.iter().map(|byte| byte.count_ones()).sum();
    let percent = share(torrent);
    let here = match torrent.verified_bytes {
        0 => "nothing of it is here".to_owned(),
        some => format!(
            "{percent:.1} % of it is here and served ({} of {}, {have} of {} pieces)",
            bytes(some),
            bytes(torrent.total_length),
            torrent.piece_count
        ),
    };
    let lines = files.iter().map(Shortfall::line).collect();
    let text = format!(
        "incomplete {} {}: {here}\n  {}\n  {remedy}",
        torrent.info_hash,
        plain(&torrent.name),
        listed(lines, "\n  ")
    );
    let value = json!({
        "info_hash": torrent.info_hash.to_hex(),
        "name": torrent.name,
        "verified_bytes": torrent.verified_bytes,
        "total_length": torrent.total_length,
        "percent": percent,
        "pieces": torrent.piece_count,
        "pieces_missing": torrent.piece_count.saturating_sub(have),
        "files": files.iter().map(Shortfall::json).collect::<Vec<_>>(),
        "remedy": remedy,
    });
    (value, text)
}

fn listed(mut lines: Vec<String>, between: &str) -> String {
    let more = lines.len().saturating_sub(MAX_NAMED);
    lines.truncate(MAX_NAMED);
    if more > 0 {
        lines.push(format!("and {more} more files"));
    }
    lines.join(between)
}

/// None of its files is there, but for empty ones.
pub(super) fn is_gone(torrent: &TorrentSnapshot, survey: &[SurveyedFile]) -> bool {
    let files = torrent.files.iter().zip(survey);
    let mut real = files.filter(|((path, length), _)| !path.is_empty() && *length > 0);
    real.all(|(_, file)| file.present.is_none())
}

/// Percent of a torrent that is verified and stored.
pub(super) fn share(torrent: &TorrentSnapshot) -> f64 {
    100.0 * torrent.verified_bytes as f64 / torrent.total_length.max(1) as f64
}

/// Everything of it is verified and stored.
pub(super) fn is_whole(torrent: &TorrentSnapshot) -> bool {
    torrent.total_length > 0 && torrent.verified_bytes == torrent.total_length
}
