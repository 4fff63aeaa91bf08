//! The subjects of commits have at most 72 columns: tools that list commits cut longer ones off.

use crate::{
    check::{Outcome, report},
    failure::Failure,
    shell,
};

const COLUMNS: usize = 72;

/// The last commit with a longer subject, and its time in seconds. The check judges newer commits.
const BASE: (&str, u64) = ("c2431e87dc9b2673d92d139349caaac7e574ef58", 1_795_991_146);

/// Names the commits since [`BASE`] whose subjects are too long; skipped where git knows no history.
pub fn have_short_subjects() -> Result<Outcome, Failure> {
    let git = |words: &[&str]| shell::answer(shell::command("git").args(words));
    let Some(shallow) = git(&["rev-parse", "--is-shallow-repository"]) else {
        return Ok(Outcome::Skipped("git knows no repository here".to_owned()));
    };
    let (base, made) = BASE;
    let since_base = format!("{base}..HEAD");
    let has_base = git(&["merge-base", "--is-ancestor", base, "HEAD"]).is_some();
    // A shallow clone lacks the base: there, the time tells what is newer.
    let range = match (has_base, shallow.as_str()) {
        (true, _) => &since_base,
        (false, "true") => "HEAD",
        (false, _) => {
            return Ok(Outcome::Skipped(format!(
                "commit {base}, after which subjects are judged, is not in this history"
            )));
        }
    };
    let Some(log) = git(&["log", "--format=%h %ct %s", range]) else {
        return Ok(Outcome::Skipped("git lists no commits".to_owned()));
    };
    report(too_long(&log, made)).map(|()| Outcome::Passed)
}

/// Lines of `HASH SECONDS SUBJECT`.
fn too_long(log: &str, made: u64) -> Vec<String> {
    let commits = log.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ' ');
        let (hash, time) = (parts.next()?, parts.next()?.parse::<u64>().ok()?);
        Some((hash, time, parts.next().unwrap_or_default()))
    });
    commits
        .filter(|(_, time, subject)| *time > made && subject.chars().count() > COLUMNS)
        .map(|(hash, _, subject)| {
            format!(
                "{hash}: the subject has {} columns, {COLUMNS} are the most (git commit --amend, or git rebase): {subject}",
                subject.chars().count()
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_of_73_columns_after_the_base_is_named() {
        let (fits, long) = ("é".repeat(72), "é".repeat(73));
        let log = format!("aaa 12 {fits}\nbbb 11 {long}\nccc 10 {long}\nddd 12 \n");
        let found = too_long(&log, 10);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("bbb: the subject has 73 columns"));
    }
}
