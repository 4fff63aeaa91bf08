//! libFuzzer's lines while it runs, and our report at the end.

use std::{fmt, path::Path, path::PathBuf};

use crate::paths;

/// The progress of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub executions: u64,
    /// Edges of the code that were reached.
    pub coverage: u64,
    /// Inputs in use.
    pub inputs: u64,
    /// Most memory, MB.
    pub rss: u64,
}

impl Status {
    /// Takes a line like `#4096 NEW cov: 12 ft: 15 corp: 3/10b lim: 4 exec/s: 0 rss: 33Mb` or a final statistic;
    /// says whether it is one.
    pub fn read(&mut self, line: &str) -> bool {
        if let Some(statistic) = line.strip_prefix("stat::") {
            if let Some(count) = statistic.strip_prefix("number_of_executed_units:") {
                self.executions = number(count);
            }
            if let Some(megabytes) = statistic.strip_prefix("peak_rss_mb:") {
                self.rss = self.rss.max(number(megabytes));
            }
            return true;
        }
        let Some((executions, rest)) = line
            .strip_prefix('#')
            .and_then(|l| l.split_once(['\t', ' ']))
        else {
            return false;
        };
        let field = |name: &str| rest.split_once(name).map(|(_, value)| number(value));
        self.executions = self.executions.max(number(executions));
        self.coverage = field("cov: ").unwrap_or(self.coverage);
        self.inputs = field("corp: ").unwrap_or(self.inputs);
        self.rss = field("rss: ").unwrap_or(self.rss).max(self.rss);
        true
    }
}

/// The number that a text begins with.
fn number(text: &str) -> u64 {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().unwrap_or(0)
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status {
            executions,
            coverage,
            inputs,
            rss,
        } = self;
        write!(
            f,
            "{executions} executions, {coverage} edges, {inputs} inputs, {rss} MB"
        )
    }
}

/// The result of one target.
#[derive(Debug)]
pub struct Row {
    pub target: String,
    pub status: Status,
    pub seconds: u64,
    /// Committed inputs.
    pub corpus: usize,
    /// Artifacts.
    pub findings: Vec<PathBuf>,
}

/// The last thing a run prints.
pub fn table(rows: &[Row]) -> String {
    let mut out = format!(
        "\n{:<20} {:>12} {:>8} {:>8} {:>8} {:>8} {:>8}\n",
        "target", "executions", "seconds", "per s", "edges", "corpus", "findings"
    );
    for row in rows {
        out.push_str(&format!(
            "{:<20} {:>12} {:>8} {:>8} {:>8} {:>8} {:>8}\n",
            row.target,
            row.status.executions,
            row.seconds,
            row.status.executions / row.seconds.max(1),
            row.status.coverage,
            row.corpus,
            row.findings.len()
        ));
    }
    out
}

/// The commands to look at a finding, and to make it a fixture.
pub fn what_to_do(target: &str, artifact: &Path) -> String {
    let root = paths::root();
    let artifact = artifact.strip_prefix(&root).unwrap_or(artifact).display();
    format!(
        "{target} found {artifact}\n  \
         see it:       cp {artifact} crate/fuzz/corpus/{target}/WHAT-IT-SHOWS && \
         cargo test -p piecework --test corpus {target}\n  \
         then fix it:  the named input stays in the corpus, so that every test run replays it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_follows_what_libfuzzer_prints() {
        let mut status = Status::default();
        for line in [
            "INFO: Running with entropic power schedule (0xFF, 100).",
            "==123== ERROR: libFuzzer: deadly signal",
        ] {
            assert!(!status.read(line), "{line}");
        }
        assert!(status.read("#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb"));
        assert!(status.read(
            "#4096\tNEW    cov: 57 ft: 80 corp: 9/40b lim: 4 exec/s: 0 rss: 33Mb L: 4/4 MS: 1 InsertByte-"
        ));
        assert!(
            status.read("#8192\tDONE   cov: 58 ft: 81 corp: 10/44b lim: 4 exec/s: 4096 rss: 34Mb")
        );
        assert!(status.read("stat::number_of_executed_units: 8192"));
        assert!(status.read("stat::peak_rss_mb:              40"));
        let expected = Status {
            executions: 8192,
            coverage: 58,
            inputs: 10,
            rss: 40,
        };
        assert_eq!(status, expected);
    }

    #[test]
    fn a_finding_comes_with_the_line_that_makes_it_a_fixture() {
        let artifact = paths::root().join("crate/fuzz/artifacts/client/crash-1");
        let text = what_to_do("client", &artifact);
        assert!(text.contains("cp crate/fuzz/artifacts/client/crash-1 crate/fuzz/corpus/client/"));
    }
}
