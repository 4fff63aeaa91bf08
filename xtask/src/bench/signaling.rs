//! Our signaling server and bittorrent-tracker's under the same load, by turns.
//!
//! The load is `signaling-server/load`: one thread, pinned to one core; the server has another core to itself, so that
//! neither takes from the other and both servers get the same. A server is started anew for each measurement.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

use super::{
    goals::{Bound, Goal},
    plot::{Panel, Row},
    report::Report,
    results::Results,
    statistics::Spread,
    table::Table,
};
use crate::{
    demo::children::Children,
    failure::Failure,
    interop, node, paths, shell,
    stage::{say, stage},
};

const PAIRS: u32 = 5;
const QUICK_PAIRS: u32 = 2;
/// Connections; a quick run has the first alone.
const SIZES: [usize; 2] = [1_000, 10_000];
/// Files that a server has open besides its connections, generously.
const OTHER_FILES: u64 = 200;
/// One server's measurement may not take longer.
const LIMIT: Duration = Duration::from_secs(900);
const CONTESTANTS: [(&str, &str); 2] = [("ours", "Piecework"), ("theirs", "bittorrent-tracker")];

/// The limits are so high that the servers refuse nothing: refusals are not measured.
const OUR_FLAGS: [&str; 18] = [
    "--listen",
    "127.0.0.1:0",
    "--max-connections",
    "20000",
    "--max-connections-per-ip",
    "0",
    "--max-handshakes",
    "20000",
    "--messages-per-second",
    "1000000",
    "--message-burst",
    "1000000",
    "--offers-per-second",
    "1000000",
    "--offer-burst",
    "1000000",
    "--pending-offers-per-peer",
    "65535",
];
/// bittorrent-tracker queues without bound; ours must not drop a peer because the load came late to read.
const OUR_QUEUE: [&str; 2] = ["--max-queue-bytes", "16777216"];

/// Builds, measures, and appends a line for each measurement.
pub fn measure(
    folder: &Path,
    lines: &Path,
    pairs: Option<u32>,
    quick: bool,
) -> Result<(), Failure> {
    stage("bench: bittorrent-tracker", || {
        node::require().and_then(|()| node::install(interop::FOLDER))
    })?;
    stage("bench: signaling server and load", || {
        shell::run(shell::cargo().args([
            "build",
            "--release",
            "--package",
            "piecework-signaling",
            "--package",
            "piecework-signaling-load",
            "--bins",
        ]))
    })?;
    let pairs = self::pairs(pairs, quick);
    let sizes = if quick { &SIZES[..1] } else { &SIZES[..] };
    for &connections in sizes {
        if let Some(limit) = getrlimit(Resource::Nofile).current
            && limit < connections as u64 + OTHER_FILES
        {
            say(format_args!(
                "NOT MEASURED, signaling with {connections} connections: only {limit} open files are allowed; run `ulimit -n {}` first",
                connections as u64 + OTHER_FILES
            ));
            continue;
        }
        for round in 0..pairs {
            // The server that begins alternates too.
            let turns: Vec<usize> = if round % 2 == 0 {
                vec![0, 1]
            } else {
                vec![1, 0]
            };
            for turn in turns {
                let (contestant, label) = CONTESTANTS[turn];
                let what =
                    format!("bench: signaling, {connections} connections, pair {round}: {label}");
                let line = stage(&what, || one(folder, contestant, connections, round, quick))?;
                let mut file = OpenOptions::new()
                    .append(true)
                    .open(lines)
                    .map_err(Failure::io("append to", lines))?;
                writeln!(file, "{line}").map_err(Failure::io("append to", lines))?;
            }
        }
    }
    Ok(())
}

/// The number, if the caller named none.
pub fn pairs(wanted: Option<u32>, quick: bool) -> u32 {
    wanted.unwrap_or(if quick { QUICK_PAIRS } else { PAIRS })
}

/// One server, from its start to its end.
fn one(
    folder: &Path,
    contestant: &str,
    connections: usize,
    round: u32,
    quick: bool,
) -> Result<Value, Failure> {
    let release = paths::target().join("release");
    let server = match contestant {
        "ours" => {
            let mut server = Command::new(release.join("piecework-signaling"));
            server.args(OUR_FLAGS).args(OUR_QUEUE);
            server
        }
        _ => {
            let mut server = node::node();
            server.arg(paths::root().join(interop::FOLDER).join("stock_server.mjs"));
            server
        }
    };
    let (load_core, server_core) = cores();
    let load = release.join("piecework-signaling-load");
    let mut command = pinned(load_core, &load);
    command
        .env("RUST_LOG", "error")
        .args(["--connections", &connections.to_string()])
        .args(["--seconds", if quick { "2" } else { "4" }])
        .arg("--");
    if let Some(setpriv) = shell::find_on_path("setpriv") {
        command.arg(setpriv).args(["--pdeathsig", "KILL", "--"]);
    }
    let server_command = pinned(server_core, &PathBuf::from(server.get_program()));
    command
        .arg(server_command.get_program())
        .args(server_command.get_args())
        .args(server.get_args());
    let mut children = Children::new(folder.join("logs"))?;
    let name = format!("signaling-{connections}-{contestant}-{round}");
    let id = children.start(&name, &command, false)?;
    let mut measured: Value = children.wait_ready(id, LIMIT, |line| {
        line.starts_with('{')
            .then(|| serde_json::from_str(line).ok())?
    })?;
    children.wait_end(id, LIMIT)?;
    measured["kind"] = json!(kind(connections));
    measured["contestant"] = json!(contestant);
    measured["round"] = json!(round);
    Ok(measured)
}

fn kind(connections: usize) -> String {
    format!("signaling-{connections}")
}

/// The load's and the server's; none where there is but one.
fn cores() -> (Option<usize>, Option<usize>) {
    match thread::available_parallelism().map_or(1, |count| count.get()) {
        1 => (None, None),
        count => (Some(count - 1), Some(count - 2)),
    }
}

/// A program on one core.
fn pinned(core: Option<usize>, program: &Path) -> Command {
    match (core, shell::find_on_path("taskset")) {
        (Some(core), Some(taskset)) => {
            let mut command = shell::command(taskset);
            command.args(["-c", &core.to_string()]).arg(program);
            command
        }
        _ => shell::command(program),
    }
}

/// Adds tables, goals and panels.
pub fn report(report: &mut Report, results: &Results) {
    for connections in SIZES {
        let kind = kind(connections);
        let mut table = Table::new(
            &format!("signaling servers with {connections} connections: median (quartiles)"),
            &[
                "",
                "announces/s",
                "",
                "CPU s per 1,000",
                "",
                "kB per connection, idle",
                "after announcing",
                "of",
            ],
        );
        let mut panel = Panel {
            title: format!("Signaling, {connections} connections"),
            axis: "announces per second and core (more is better)".to_owned(),
            rows: Vec::new(),
        };
        for (contestant, label) in CONTESTANTS {
            let spread = |field| results.spread(&kind, contestant, field);
            let Some(cpu) = spread("cpuPer1000") else {
                continue;
            };
            let kilobytes = |field| {
                spread(field)
                    .map_or_else(String::new, |spread| format!("{:.1}", spread.median / 1e3))
            };
            let mut row = vec![label.to_owned()];
            row.extend(with_quartiles(spread("announcesPerSecond"), 0));
            row.extend(with_quartiles(Some(cpu), 3));
            row.extend([kilobytes("idleBytes"), kilobytes("announcedBytes")]);
            row.push(cpu.count.to_string());
            table.rows.push(row);
            let values: Vec<f64> = results
                .by_round(&kind, contestant, "announcesPerSecond")
                .into_values()
                .collect();
            if !values.is_empty() {
                panel.rows.push(Row {
                    label: label.to_owned(),
                    values,
                    goal: None,
                });
            }
        }
        if !table.rows.is_empty() {
            table.notes.push("announces/s: the highest rate, on one core, at which 99 of 100 replies and answers come within 1 s of their due time and none is lost".to_owned());
            table.notes.push("CPU: of the server, user and system, at 200 announces/s with 5 to 10 offers of 1.5 to 4.8 kB each, every one answered".to_owned());
            report.tables.push(table);
        }
        report.panels.push(panel);
        for (what, field, bound) in [
            ("announces/s", "announcesPerSecond", Bound::AtLeast(4.0)),
            ("CPU per announce", "cpuPer1000", Bound::AtMost(0.25)),
            (
                "memory per idle connection",
                "idleBytes",
                Bound::AtMost(0.5),
            ),
            (
                "memory per connection that announced",
                "announcedBytes",
                Bound::AtMost(0.5),
            ),
        ] {
            report.goals.push(Goal {
                what: format!(
                    "signaling, {connections} connections, {what}: Piecework / bittorrent-tracker"
                ),
                bound,
                lower: None,
                measured: results.ratio(&kind, field, "ours", "theirs"),
                unit: "",
            });
        }
    }
}

fn with_quartiles(spread: Option<Spread>, places: usize) -> [String; 2] {
    spread.map_or_else(Default::default, |spread| {
        [
            format!("{:.places$}", spread.median),
            format!("({:.places$} .. {:.places$})", spread.lower, spread.upper),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_are_compared_pair_by_pair() {
        let line = |contestant, round, rate| {
            json!({ "kind": kind(1_000), "contestant": contestant, "round": round,
                "announcesPerSecond": rate, "cpuPer1000": 1.0, "idleBytes": 2e3, "announcedBytes": 3e3 })
            .to_string()
        };
        let lines = [
            line("ours", 0, 50.0),
            line("theirs", 0, 10.0),
            line("ours", 1, 5.0),
            line("theirs", 1, 1.0),
        ];
        let mut into = Report::default();
        report(&mut into, &Results::parse(&lines.join("\n")));
        let rates = into
            .goals
            .iter()
            .find(|goal| goal.what.contains("announces/s"));
        assert_eq!(rates.and_then(Goal::met), Some(true));
        assert_eq!(into.tables.len(), 1, "what was not measured has no table");
    }
}
