//! `cargo xtask bench`: Piecework measured beside WebTorrent, libtorrent and a bare data channel, on this machine.
//!
//! The signaling servers are measured without a browser (`signaling.rs`). The browser's half is `tests/bench` in Node;
//! it measures and writes one result a line. Here everything is built as it is shipped, the results become ratios of
//! pairs, and those stand beside the goals. A missed goal is no failure.

mod goals;
mod plot;
mod report;
mod results;
mod signaling;
mod statistics;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::{
    builds, chromium,
    demo::{self, children::Children},
    failure::Failure,
    libtorrent, node, paths, setup,
    stage::{say, stage},
};
use report::Report;
use results::Results;

/// The whole browser's half may not take longer.
const LIMIT: Duration = Duration::from_secs(3 * 3600);
/// Fewer do not tell a small difference from noise.
const PAIRS: u32 = 15;
const QUICK_PAIRS: u32 = 2;

/// Measures Piecework beside WebTorrent, libtorrent and a bare data channel, and says what it measured beside the goals
#[derive(clap::Args)]
#[command(after_help = "\
Contestants take turns in one and the same pair of browsers. Of each transfer 64 MiB are measured, after one second of
warm-up; a ratio is the median of the ratios of pairs, with quartiles. CPU time is that of the whole process trees of
both sides. A missed goal is reported and is no failure.

Writes target/bench/bench.json (every measurement), target/bench/bench.svg (a plot) and, with --profile,
target/bench/profiles.

Examples:
  cargo xtask bench --quick
  cargo xtask bench --only transfer --contestant paid --contestant free --pairs 5
  cargo xtask bench --only transfer --contestant free --pairs 1 --profile")]
pub struct Bench {
    /// Measure only this (may be given more than once) [default: everything]
    #[arg(long, value_enum, value_name = "SECTION")]
    only: Vec<Section>,
    /// Let only this contestant transfer (may be given more than once) [default: all]
    #[arg(long, value_enum, value_name = "NAME")]
    contestant: Vec<Contestant>,
    /// Pairs of transfers [default: 15, with --quick 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pairs: Option<u32>,
    /// Take about five minutes: fewer pairs, a shorter stream, which the output says
    #[arg(long)]
    quick: bool,
    /// Afterwards profile a transfer of each contestant: CPU time by thread, the busiest functions, a .cpuprofile for
    /// each thread
    #[arg(long)]
    profile: bool,
}

/// The measurements, each by itself. A section that needs no browser has a module of its own beside this one and adds
/// its tables and goals to the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Section {
    /// Speed and CPU time of transfers
    Transfer,
    /// Time to the first byte and the first frame
    Video,
    /// Memory in a transfer, and in a stream of 1 GiB
    Memory,
    /// The weight of a paying page
    Size,
    /// Our signaling server beside bittorrent-tracker's, under the same load
    Signaling,
}

const ALL: [Section; 5] = [
    Section::Signaling,
    Section::Size,
    Section::Video,
    Section::Transfer,
    Section::Memory,
];

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Video => "video",
            Self::Memory => "memory",
            Self::Size => "size",
            Self::Signaling => "signaling",
        }
    }
}

/// The contestants of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Contestant {
    /// A bare data channel from worker to worker, with our buffer limits
    Raw,
    /// Piecework from page to page, paid for each block
    Paid,
    /// Piecework from page to page, without money
    Free,
    /// WebTorrent from page to page
    Webtorrent,
    /// libtorrent to a page with WebTorrent
    Libtorrent,
    /// Piecework's native seeder to a page
    Native,
    /// Four of them to a page
    Four,
}

impl Contestant {
    fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Paid => "paid",
            Self::Free => "free",
            Self::Webtorrent => "webtorrent",
            Self::Libtorrent => "libtorrent",
            Self::Native => "native",
            Self::Four => "four",
        }
    }
}

/// The facts about the machine that the browser's half gets.
struct Prepared {
    browser: PathBuf,
    binaries: PathBuf,
    libtorrent: Option<PathBuf>,
    video: PathBuf,
}

impl Bench {
    /// Builds, measures, reports.
    pub fn run(&self) -> Result<(), Failure> {
        let sections: Vec<Section> = ALL
            .into_iter()
            .filter(|section| self.only.is_empty() || self.only.contains(section))
            .collect();
        let pairs = match (self.pairs, self.quick) {
            (Some(pairs), _) => pairs,
            (None, true) => QUICK_PAIRS,
            (None, false) => PAIRS,
        };
        let in_browser: Vec<Section> = sections
            .iter()
            .copied()
            .filter(|section| *section != Section::Signaling)
            .collect();
        let pairs = match in_browser.is_empty() {
            true => signaling::pairs(self.pairs, self.quick),
            false => pairs,
        };
        let prepared = (!in_browser.is_empty())
            .then(|| self.prepare(&in_browser))
            .transpose()?;
        let folder = paths::target().join("bench");
        let profiles = folder.join("profiles");
        fs::create_dir_all(&profiles).map_err(Failure::io("make", &profiles))?;
        let lines = folder.join("results.jsonl");
        let config = folder.join("config.json");
        let surroundings = surroundings();
        let about = json!({
            "surroundings": surroundings,
            "sections": in_browser.iter().map(|section| section.name()).collect::<Vec<_>>(),
            "contestants": self.contestant.iter().map(|contestant| contestant.name()).collect::<Vec<_>>(),
            "pairs": pairs,
            "quick": self.quick,
            "profiles": self.profile.then_some(&profiles),
            "video": prepared.as_ref().map(|prepared| &prepared.video),
            "results": lines,
        });
        fs::write(&config, about.to_string()).map_err(Failure::io("write", &config))?;
        fs::write(&lines, "").map_err(Failure::io("write", &lines))?;
        let finished = match &prepared {
            Some(prepared) => stage("bench: measure", || measure(&folder, &config, prepared)),
            None => Ok(()),
        }
        .and_then(|()| match sections.contains(&Section::Signaling) {
            true => signaling::measure(&folder, &lines, self.pairs, self.quick),
            false => Ok(()),
        });

        // The measurements before a failure are worth showing.
        let results = Results::read(&lines)?;
        let mut report = Report::of(&results);
        signaling::report(&mut report, &results);
        report.print();
        for failed in results.of_kind("failed") {
            say(format_args!(
                "NOT MEASURED, {}: {}",
                failed["section"], failed["error"]
            ));
        }
        let caption = format!(
            "cargo xtask bench{}: {pairs} pairs",
            if self.quick { " --quick" } else { "" }
        );
        say(&caption);
        say(&surroundings);
        if pairs < PAIRS {
            say(format_args!(
                "fewer than {PAIRS} pairs do not tell a small difference from noise"
            ));
        }
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            say(path.display());
            fs::write(&path, text).map_err(Failure::io("write", &path))
        };
        write(
            "bench.json",
            report::document(&report, &results, about).to_string(),
        )?;
        write("bench.svg", report.to_svg(&caption))?;
        finished
    }

    /// Installs what is missing and builds everything as it is shipped.
    fn prepare(&self, sections: &[Section]) -> Result<Prepared, Failure> {
        stage("bench: node", || {
            node::require().and_then(|()| node::install_all())
        })?;
        let browser = stage("bench: chromium", chromium::require)?;
        let runs = |contestant| {
            sections.contains(&Section::Transfer)
                && (self.contestant.is_empty() || self.contestant.contains(&contestant))
        };
        let libtorrent = runs(Contestant::Libtorrent)
            .then(|| stage("bench: libtorrent", libtorrent::require))
            .transpose()?;
        stage("bench: contracts", builds::contracts)?;
        // Where only pages move data, the programs only introduce them: an optimised build would change nothing.
        let optimised = runs(Contestant::Native)
            || runs(Contestant::Four)
            || sections.contains(&Section::Memory);
        let (build, binaries): (fn() -> _, _) = match optimised {
            true => (builds::release_binaries, "release"),
            false => (builds::binaries, "debug"),
        };
        stage("bench: programs", build)?;
        builds::pages()?;
        let video = stage("bench: video", || {
            setup::ffmpeg()?;
            demo::make_videos().map(|videos| videos.fast_start)
        })?;
        Ok(Prepared {
            browser,
            binaries: paths::target().join(binaries),
            libtorrent,
            video,
        })
    }
}

/// The circumstances that the numbers also depend on. A machine that is busy with something else shows in its load.
fn surroundings() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(
            || "unknown processor".to_owned(),
            |(_, name)| name.to_owned(),
        );
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{cores} cores, {processor}; load average before the measuring {load}")
}

fn measure(folder: &Path, config: &Path, prepared: &Prepared) -> Result<(), Failure> {
    let mut command = node::node();
    command
        .arg("tests/bench/bench.mjs")
        .arg(config)
        .env(chromium::VARIABLE, &prepared.browser)
        .env("PIECEWORK_BINARIES", &prepared.binaries);
    if let Some(packages) = &prepared.libtorrent {
        command.env(libtorrent::VARIABLE, packages);
    }
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
