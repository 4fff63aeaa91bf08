//! `cargo xtask bench`: Piecework measured beside WebTorrent, libtorrent and a bare data channel, on this machine.
//!
//! The browser's half is `tests/bench` in Node; it measures and writes one result a line. Here everything is built as it is
//! shipped, the results become ratios of pairs, and those stand beside the goals. A missed goal is no failure.

mod goals;
mod results;
mod statistics;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    builds, chromium,
    demo::children::Children,
    failure::Failure,
    node, paths,
    stage::{say, stage},
};
use goals::{Bound, Goal};
use results::Results;
use table::Table;

/// The whole of it may not take longer.
const LIMIT: Duration = Duration::from_secs(3 * 3600);
/// As the issue of measuring has it; `--quick` takes fewer.
const PAIRS: u32 = 15;
const QUICK_PAIRS: u32 = 4;

/// Measures Piecework beside WebTorrent and a bare data channel; prints a table with ratios and goals
#[derive(clap::Args)]
pub struct Bench {
    /// Measure only this (may be given more than once)
    #[arg(long, value_enum, value_name = "SECTION")]
    only: Vec<Section>,
    /// Let only this contestant run (may be given more than once): raw, paid, free, webtorrent
    #[arg(long, value_name = "NAME")]
    contestant: Vec<String>,
    /// After the measuring, profile a transfer of each contestant: a `.cpuprofile` per thread in target/bench/profiles, and the
    /// busiest functions in the table
    #[arg(long)]
    profile: bool,
    /// Pairs of transfers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pairs: Option<u32>,
    /// Take about five minutes: fewer pairs, which the output says
    #[arg(long)]
    quick: bool,
}

/// What is measured, each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Section {
    /// Speed and CPU of transfers from page to page
    Transfer,
}

const ALL: [Section; 1] = [Section::Transfer];

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
        }
    }
}

impl Bench {
    /// Builds, measures, reports.
    pub fn run(&self) -> Result<(), Failure> {
        let sections: Vec<Section> = ALL
            .into_iter()
            .filter(|section| self.only.is_empty() || self.only.contains(section))
            .collect();
        let pairs = self
            .pairs
            .unwrap_or(if self.quick { QUICK_PAIRS } else { PAIRS });
        let browser = prepare()?;
        let folder = paths::target().join("bench");
        let profiles = folder.join("profiles");
        fs::create_dir_all(&profiles).map_err(Failure::io("make", &profiles))?;
        let lines = folder.join("results.jsonl");
        let config = folder.join("config.json");
        let text = json!({
            "sections": sections.iter().map(|section| section.name()).collect::<Vec<_>>(),
            "contestants": self.contestant,
            "pairs": pairs,
            "quick": self.quick,
            "profiles": self.profile.then_some(&profiles),
            "results": lines,
        })
        .to_string();
        fs::write(&config, text).map_err(Failure::io("write", &config))?;
        let finished = stage("bench: measure", || measure(&folder, &config, &browser));
        // What was measured before a failure is worth showing.
        let report = Report::of(&Results::read(&lines)?, pairs);
        report.print(self.quick, pairs);
        let path = folder.join("bench.json");
        fs::write(&path, report.to_json(pairs).to_string()).map_err(Failure::io("write", &path))?;
        say(format_args!("\nall of it: {}", path.display()));
        finished
    }
}

/// Installs what is missing and builds everything as it is shipped; the browser's path.
fn prepare() -> Result<PathBuf, Failure> {
    stage("bench: node", || {
        node::require().and_then(|()| node::install_all())
    })?;
    let browser = stage("bench: chromium", chromium::require)?;
    stage("bench: contracts", builds::contracts)?;
    stage("bench: programs", builds::binaries)?;
    builds::pages()?;
    Ok(browser)
}

fn measure(folder: &Path, config: &Path, browser: &Path) -> Result<(), Failure> {
    let mut command = node::node();
    command
        .arg("tests/bench/bench.mjs")
        .arg(config)
        .env(chromium::VARIABLE, browser)
        .env("PIECEWORK_BINARIES", paths::target().join("debug"));
    let mut children = Children::new(folder.join("logs"))?;
    let id = children.start("bench", &command, true)?;
    let status = children.wait_end(id, LIMIT)?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::failed(format!(
            "the measuring ended with {status}; what was measured stands above"
        )))
    }
}

/// What is printed and kept.
struct Report {
    tables: Vec<Table>,
    goals: Vec<Goal>,
    lines: Vec<Value>,
}

impl Report {
    fn of(results: &Results, _pairs: u32) -> Self {
        let mut table = Table::new(
            "transfers: median (quartiles)",
            &["", "MB/s", "", "CPU s per GB", ""],
        );
        for line in results.of_kind("contestant") {
            let Some(name) = line["name"].as_str() else {
                continue;
            };
            let mut row = vec![line["label"].as_str().unwrap_or(name).to_owned()];
            for field in ["mbPerSecond", "cpuPerGb"] {
                match results.spread("transfer", name, field) {
                    Some(spread) => row.extend([
                        format!("{:.1}", spread.median),
                        format!("{:.1} .. {:.1}", spread.lower, spread.upper),
                    ]),
                    None => row.extend([String::new(), String::new()]),
                }
            }
            table.rows.push(row);
        }
        let speed = |what: &str, one: &str, other: &str, bound: f64, lower: Option<f64>| Goal {
            what: what.to_owned(),
            bound: Bound::AtLeast(bound),
            lower,
            measured: results.ratio("transfer", "mbPerSecond", one, other),
            unit: "",
        };
        let goals = vec![
            speed("speed: paid / free", "paid", "free", 0.95, None),
            speed(
                "speed: paid / data channel",
                "paid",
                "raw",
                0.85,
                Some(0.65),
            ),
            speed("speed: paid / WebTorrent", "paid", "webtorrent", 2.2, None),
            speed("speed: free / WebTorrent", "free", "webtorrent", 2.2, None),
            Goal {
                what: "CPU per GB: paid / WebTorrent".to_owned(),
                bound: Bound::AtMost(0.6),
                lower: None,
                measured: results.ratio("transfer", "cpuPerGb", "paid", "webtorrent"),
                unit: "",
            },
            Goal {
                what: "CPU per GB: free / WebTorrent".to_owned(),
                bound: Bound::AtMost(0.6),
                lower: None,
                measured: results.ratio("transfer", "cpuPerGb", "free", "webtorrent"),
                unit: "",
            },
        ];
        let mut tables = vec![table];
        tables.extend(results.of_kind("profile").filter_map(profile_table));
        Self {
            tables,
            goals,
            lines: results.all().to_vec(),
        }
    }

    fn print(&self, quick: bool, pairs: u32) {
        for table in &self.tables {
            say(table.to_text());
        }
        say(goals::table(&self.goals).to_text());
        if quick {
            say(format_args!(
                "--quick: {pairs} pairs; only {PAIRS} or more tell small differences from noise"
            ));
        }
    }

    fn to_json(&self, pairs: u32) -> Value {
        json!({
            "pairs": pairs,
            "goals": self.goals.iter().map(Goal::to_json).collect::<Vec<_>>(),
            "results": self.lines,
        })
    }
}

/// Where one thread's time went; nothing for one that did next to nothing.
fn profile_table(line: &Value) -> Option<Table> {
    /// Below this share of the time a thread is not worth a table.
    const WORTH: f64 = 0.02;
    let (all, busy) = (line["ms"].as_f64()?, line["busyMs"].as_f64()?);
    if busy < all * WORTH {
        return None;
    }
    let word = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let title = format!(
        "profile of {}, {} {}: {busy:.0} of {all:.0} ms in script",
        word("contestant"),
        word("side"),
        word("type")
    );
    let mut table = Table::new(&title, &["", "ms", "share of the time"]);
    for function in line["functions"].as_array()? {
        let ms = function["ms"].as_f64()?;
        table.rows.push(vec![
            function["name"].as_str()?.to_owned(),
            format!("{ms:.0}"),
            format!("{:.1} %", 100.0 * ms / all),
        ]);
    }
    table.notes.push(word("path"));
    Some(table)
}
