//! From the lines of a run to tables, goals, the results' file and the plot.

use serde_json::{Value, json};

use super::{
    goals::{self, Bound, Goal},
    plot::{self, Panel, Row},
    results::Results,
    statistics::Spread,
    table::Table,
};
use crate::stage::say;

/// A thread that is busy for less of the time is not worth a table.
const WORTH: f64 = 0.02;
const MEGABYTE: f64 = 1e6;

/// The printed and kept results.
#[derive(Default)]
pub struct Report {
    /// In the order they are printed.
    pub tables: Vec<Table>,
    /// Printed after the tables, as one.
    pub goals: Vec<Goal>,
    /// The plot's.
    pub panels: Vec<Panel>,
}

impl Report {
    /// All measurements of the browser's half. A missing one has no table, and its goal says so.
    pub fn of(results: &Results) -> Self {
        let mut report = Self::default();
        report.transfers(results);
        report.videos(results);
        report.memory(results);
        report.size(results);
        report
            .tables
            .extend(results.of_kind("threads").filter_map(threads));
        report
            .tables
            .extend(results.of_kind("profile").filter_map(profile));
        report
    }

    /// Shows it.
    pub fn print(&self) {
        for table in &self.tables {
            say(table.to_text());
        }
        say(goals::table(&self.goals).to_text());
    }

    /// For the results' file.
    pub fn to_json(&self) -> Value {
        Value::Array(self.goals.iter().map(Goal::to_json).collect())
    }

    /// The picture.
    pub fn to_svg(&self, caption: &str) -> String {
        plot::svg(caption, &self.panels)
    }

    fn transfers(&mut self, results: &Results) {
        let mut table = Table::new(
            "transfers: median (quartiles)",
            &["", "MB/s", "", "CPU s per GB", "", "first piece, ms", "of"],
        );
        let mut speed = panel("Speed of a transfer", "MB/s (more is better)");
        let mut cpu = panel(
            "CPU time of both sides, whole process trees",
            "CPU seconds per GB (less is better)",
        );
        for line in results.of_kind("contestant") {
            let Some(name) = line["name"].as_str() else {
                continue;
            };
            let label = line["label"].as_str().unwrap_or(name);
            let mut row = vec![label.to_owned()];
            for field in ["mbPerSecond", "cpuPerGb"] {
                row.extend(median_and_quartiles(
                    results.spread("transfer", name, field),
                ));
            }
            let first = results.spread("transfer", name, "firstMs");
            row.push(first.map_or_else(String::new, |spread| format!("{:.0}", spread.median)));
            let runs = results.spread("transfer", name, "mbPerSecond");
            row.push(runs.map_or_else(String::new, |spread| spread.count.to_string()));
            table.rows.push(row);
            for (panel, field) in [(&mut speed, "mbPerSecond"), (&mut cpu, "cpuPerGb")] {
                let values: Vec<f64> = results
                    .by_round("transfer", name, field)
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
        }
        for line in results.of_kind("raw") {
            table.notes.push(format!(
                "data channel: messages of {} bytes, the faster of two lengths tried here",
                line["chosen"]
            ));
        }
        if !table.rows.is_empty() {
            self.tables.push(table);
        }

        let mut others = Table::new("other ratios of pairs", &["", "median", "quartiles", "of"]);
        for (what, field, one, other) in [
            ("speed: free / data channel", "mbPerSecond", "free", "raw"),
            (
                "speed: WebTorrent / data channel",
                "mbPerSecond",
                "webtorrent",
                "raw",
            ),
            (
                "speed: native seeder to page / free",
                "mbPerSecond",
                "native",
                "free",
            ),
            (
                "speed: native seeder to page / libtorrent to WebTorrent",
                "mbPerSecond",
                "native",
                "libtorrent",
            ),
            ("speed: four seeders / one", "mbPerSecond", "four", "native"),
            ("CPU: paid / free", "cpuPerGb", "paid", "free"),
            (
                "CPU: native seeder to page / libtorrent to WebTorrent",
                "cpuPerGb",
                "native",
                "libtorrent",
            ),
        ] {
            if let Some(ratio) = results.ratio("transfer", field, one, other) {
                let mut row = vec![what.to_owned()];
                row.extend(two_places(ratio));
                others.rows.push(row);
            }
        }
        if !others.rows.is_empty() {
            self.tables.push(others);
        }

        let mut ratios = panel("Ratios of pairs; the broken line is the goal", "ratio");
        for (what, field, one, other, bound, lower) in [
            (
                "speed: paid / free",
                "mbPerSecond",
                "paid",
                "free",
                Bound::AtLeast(0.95),
                None,
            ),
            (
                "speed: paid / data channel",
                "mbPerSecond",
                "paid",
                "raw",
                Bound::AtLeast(0.85),
                Some(0.65),
            ),
            (
                "speed: paid / WebTorrent",
                "mbPerSecond",
                "paid",
                "webtorrent",
                Bound::AtLeast(2.2),
                None,
            ),
            (
                "speed: free / WebTorrent",
                "mbPerSecond",
                "free",
                "webtorrent",
                Bound::AtLeast(2.2),
                None,
            ),
            (
                "CPU per GB: paid / WebTorrent",
                "cpuPerGb",
                "paid",
                "webtorrent",
                Bound::AtMost(0.6),
                None,
            ),
            (
                "CPU per GB: free / WebTorrent",
                "cpuPerGb",
                "free",
                "webtorrent",
                Bound::AtMost(0.6),
                None,
            ),
        ] {
            let values = results.ratios("transfer", field, one, other);
            if !values.is_empty() {
                ratios.rows.push(Row {
                    label: format!("{what}, {}", bound.words()),
                    values: values.clone(),
                    goal: Some(bound.value()),
                });
            }
            self.goals.push(Goal {
                what: what.to_owned(),
                bound,
                lower,
                measured: Spread::of(values),
                unit: "",
            });
        }
        self.panels.extend([speed, cpu, ratios]);
    }

    fn videos(&mut self, results: &Results) {
        let mut table = Table::new(
            "from the navigation of a new browser to the first byte and the first frame: median (quartiles)",
            &["", "first byte, ms", "", "first frame, ms", "", "of"],
        );
        let mut frames = panel(
            "Time to the first video frame, from navigation, in a new browser",
            "milliseconds (less is better)",
        );
        for (name, label) in [("free", "Piecework"), ("webtorrent", "WebTorrent")] {
            let Some(spread) = results.spread("video", name, "firstFrameMs") else {
                continue;
            };
            let mut row = vec![label.to_owned()];
            for field in ["firstByteMs", "firstFrameMs"] {
                row.extend(whole(results.spread("video", name, field)));
            }
            row.push(spread.count.to_string());
            table.rows.push(row);
            let values = results
                .by_round("video", name, "firstFrameMs")
                .into_values()
                .collect();
            frames.rows.push(Row {
                label: label.to_owned(),
                values,
                goal: None,
            });
        }
        if !table.rows.is_empty() {
            self.tables.push(table);
        }
        self.panels.push(frames);
        for (what, field) in [
            ("first frame: Piecework / WebTorrent", "firstFrameMs"),
            ("first byte: Piecework / WebTorrent", "firstByteMs"),
        ] {
            self.goals.push(Goal {
                what: what.to_owned(),
                bound: Bound::AtMost(1.0),
                lower: None,
                measured: results.ratio("video", field, "free", "webtorrent"),
                unit: "",
            });
        }
    }

    fn memory(&mut self, results: &Results) {
        let mut table = Table::new(
            "memory at its most, MB: page, workers and service worker together",
            &[
                "",
                "sum",
                "JS heap",
                "array buffers",
                "wasm",
                "page",
                "worker",
                "service worker",
                "renderer resident",
            ],
        );
        let row = |label: String, line: &Value| {
            let fields = [
                "sum",
                "js",
                "buffers",
                "wasm",
                "page",
                "worker",
                "service_worker",
                "rss",
            ];
            let cells = fields.map(|field| {
                let bytes = line[field].as_f64().unwrap_or(0.0);
                format!("{:.1}", bytes / MEGABYTE)
            });
            std::iter::once(label).chain(cells).collect()
        };
        let word = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
        for line in results.of_kind("memory") {
            table.rows.push(row(
                format!("{}, {}", word(line, "label"), word(line, "side")),
                line,
            ));
        }
        for line in results.of_kind("stream") {
            let megabytes = line["bytes"].as_f64().unwrap_or(0.0) / f64::from(1 << 20);
            table
                .rows
                .push(row(format!("Piecework, streams {megabytes:.0} MiB"), line));
            table.notes.push(format!(
                "the stream came with {:.1} MB/s, each MiB compared with what was seeded",
                line["mbPerSecond"].as_f64().unwrap_or(0.0)
            ));
        }
        if !table.rows.is_empty() {
            table.notes.push(
                "each column is at its most by itself; \
                 `sum` is the most at one time, and what the goal is about"
                    .to_owned(),
            );
            self.tables.push(table);
        }
        self.goals.push(Goal {
            what: "wasm memory + JS heap of a long stream".to_owned(),
            bound: Bound::AtMost(150.0),
            lower: None,
            measured: Spread::of(
                results
                    .of_kind("stream")
                    .filter_map(|line| Some(line["sum"].as_f64()? / MEGABYTE)),
            ),
            unit: " MB",
        });
    }

    fn size(&mut self, results: &Results) {
        let mut table = Table::new(
            "what a paying page loads, by the server's log",
            &["", "bytes", "gzip -9"],
        );
        let (mut raw, mut gzip) = (0, 0);
        for line in results.of_kind("size") {
            let (Some(path), Some(here), Some(zipped)) = (
                line["path"].as_str(),
                line["raw"].as_u64(),
                line["gzip"].as_u64(),
            ) else {
                continue;
            };
            table
                .rows
                .push(vec![path.to_owned(), here.to_string(), zipped.to_string()]);
            (raw, gzip) = (raw + here, gzip + zipped);
        }
        let known = !table.rows.is_empty();
        if known {
            table.rows.push(vec![
                "together".to_owned(),
                raw.to_string(),
                gzip.to_string(),
            ]);
            self.tables.push(table);
        }
        self.goals.push(Goal {
            what: "wasm and JavaScript of a paying page, gzip".to_owned(),
            bound: Bound::AtMost(180.0),
            lower: None,
            measured: known
                .then(|| Spread::of([f64::from(gzip as u32) / 1e3]))
                .flatten(),
            unit: " kB",
        });
    }
}

fn panel(title: &str, axis: &str) -> Panel {
    Panel {
        title: title.to_owned(),
        axis: axis.to_owned(),
        rows: Vec::new(),
    }
}

fn median_and_quartiles(spread: Option<Spread>) -> [String; 2] {
    spread.map_or_else(Default::default, |spread| {
        [
            format!("{:.1}", spread.median),
            format!("({:.1} .. {:.1})", spread.lower, spread.upper),
        ]
    })
}

fn whole(spread: Option<Spread>) -> [String; 2] {
    spread.map_or_else(Default::default, |spread| {
        [
            format!("{:.0}", spread.median),
            format!("({:.0} .. {:.0})", spread.lower, spread.upper),
        ]
    })
}

fn two_places(spread: Spread) -> [String; 3] {
    [
        format!("{:.2}", spread.median),
        format!("{:.2} .. {:.2}", spread.lower, spread.upper),
        spread.count.to_string(),
    ]
}

/// The threads that used the CPU time of one transfer.
fn threads(line: &Value) -> Option<Table> {
    let (bytes, ms) = (line["bytes"].as_f64()?, line["ms"].as_f64()?);
    let title = format!(
        "CPU time of {} by thread, both sides, {:.0} MB in {ms:.0} ms",
        line["contestant"].as_str()?,
        bytes / MEGABYTE
    );
    let mut table = Table::new(&title, &["process: thread", "s", "s per GB"]);
    let per_gigabyte = |name: &str| line["traffic"][name].as_f64().unwrap_or(0.0) / (bytes / 1e9);
    table.notes.push(format!(
        "what the fetching page's connections carried, per GB: \
         {:.0} messages and {:.0} packets in, {:.0} and {:.0} out",
        per_gigabyte("messagesReceived"),
        per_gigabyte("packetsReceived"),
        per_gigabyte("messagesSent"),
        per_gigabyte("packetsSent"),
    ));
    for thread in line["threads"].as_array()? {
        let seconds = thread["seconds"].as_f64()?;
        let name = thread["name"].as_str()?.to_owned();
        table.rows.push(vec![
            name,
            format!("{seconds:.2}"),
            format!("{:.1}", seconds / (bytes / 1e9)),
        ]);
    }
    Some(table)
}

/// The functions that used one thread's time.
fn profile(line: &Value) -> Option<Table> {
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
        let name = function["name"].as_str()?.chars().take(100).collect();
        table.rows.push(vec![
            name,
            format!("{ms:.0}"),
            format!("{:.1} %", 100.0 * ms / all),
        ]);
    }
    table.notes.push(word("path"));
    Some(table)
}

/// The results' file.
pub fn document(report: &Report, results: &Results, about: Value) -> Value {
    json!({ "about": about, "goals": report.to_json(), "results": results.all() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: &str) -> Report {
        Report::of(&Results::parse(lines))
    }

    #[test]
    fn what_was_not_measured_has_no_table_and_its_goals_say_so() {
        let report = report("");
        assert!(report.tables.is_empty());
        assert!(report.goals.len() >= 10 && report.goals.iter().all(|goal| goal.met().is_none()));
    }

    #[test]
    fn a_pages_weight_is_the_sum_of_what_it_asked_for() {
        let report = report(
            "{\"kind\":\"size\",\"path\":\"/a.js\",\"raw\":1000,\"gzip\":70000}\n{\"kind\":\"size\",\"path\":\"/b.wasm\",\"raw\":2000,\"gzip\":120000}",
        );
        let goal = report.goals.iter().find(|goal| goal.unit == " kB").unwrap();
        assert_eq!(goal.measured.map(|spread| spread.median), Some(190.0));
        assert_eq!(goal.met(), Some(false));
    }
}
