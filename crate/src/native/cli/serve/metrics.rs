//! The daemon's figures in Prometheus' text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! Sums are in tokens. Counters that begin at 0 with each start of the daemon are named so in their help.

use std::fmt::{Display, Write};

use crate::client::{TorrentSnapshot, TorrentState};
use crate::native::cli::output::tokens;
use crate::native::cli::runner::{Redemptions, state_name};
use crate::native::driver::Snapshot;
use crate::types::{FineUnits, TokenUnits};

/// The states of a torrent, so that each has a sample also while no torrent is in it.
const STATES: [&str; 7] = [
    "fetchingmetadata",
    "checking",
    "incomplete",
    "downloading",
    "seeding",
    "paused",
    "failed",
];

/// All figures. `started`: Unix time in seconds.
pub(super) fn text(
    snapshot: &Snapshot,
    decimals: u8,
    redemptions: Redemptions,
    started: u64,
) -> String {
    let mut page = Page {
        text: String::new(),
    };
    let client = &snapshot.client;
    let money = &client.money;
    let sum = |units: TokenUnits| tokens(units, decimals);
    let fine = |units: FineUnits| tokens(units.floor(), decimals);
    let torrents = &snapshot.torrents;

    page.family("build_info", "gauge", "The program's version.");
    page.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.one(
        "start_time_seconds",
        "gauge",
        "When the daemon started, Unix time.",
        started,
    );
    page.family("torrents", "gauge", "Torrents, by state.");
    for state in STATES {
        let in_it = torrents
            .iter()
            .filter(|torrent| state_name(torrent) == state);
        page.sample("torrents", &[("state", state)], in_it.count());
    }
    let peers: usize = torrents.iter().map(|torrent| torrent.peers.len()).sum();
    page.one("peers", "gauge", "Connected peers.", peers);
    page.one(
        "upload_rate_bytes",
        "gauge",
        "Bytes of blocks sent per second.",
        client.upload_rate,
    );
    page.one(
        "download_rate_bytes",
        "gauge",
        "Bytes of blocks received per second.",
        client.download_rate,
    );
    page.family(
        "tracker_connected",
        "gauge",
        "Whether a tracker is connected.",
    );
    for tracker in &client.trackers {
        page.sample(
            "tracker_connected",
            &[("url", &tracker.url)],
            u8::from(tracker.connected),
        );
    }
    page.one(
        "redeemable_tokens",
        "gauge",
        "Earned and not redeemed.",
        sum(money.redeemable),
    );
    page.one(
        "redeemed_tokens",
        "gauge",
        "Redeemed so far.",
        sum(money.redeemed),
    );
    page.one("spent_tokens", "gauge", "Spent so far.", fine(money.spent));
    page.one(
        "account_balance_tokens",
        "gauge",
        "The buying account on the chain.",
        sum(money.balance),
    );
    page.family(
        "redemptions_total",
        "counter",
        "Redemptions since the start, by whether they came into a block.",
    );
    page.sample("redemptions_total", &[("result", "done")], redemptions.done);
    page.sample(
        "redemptions_total",
        &[("result", "failed")],
        redemptions.failed,
    );

    type Figure<'a> = (
        &'a str,
        &'a str,
        &'a str,
        &'a dyn Fn(&TorrentSnapshot) -> String,
    );
    let figures: [Figure<'_>; 9] = [
        (
            "torrent_length_bytes",
            "gauge",
            "Its length; 0 until that is known.",
            &|t| t.total_length.to_string(),
        ),
        (
            "torrent_verified_bytes",
            "gauge",
            "What is here and right.",
            &|t| t.verified_bytes.to_string(),
        ),
        ("torrent_peers", "gauge", "Its connected peers.", &|t| {
            t.peers.len().to_string()
        }),
        (
            "torrent_uploaded_bytes_total",
            "counter",
            "Bytes of its blocks sent since the start.",
            &|t| t.uploaded.to_string(),
        ),
        (
            "torrent_downloaded_bytes_total",
            "counter",
            "Bytes of its blocks received since the start.",
            &|t| t.downloaded.to_string(),
        ),
        (
            "torrent_price_tokens_per_gb",
            "gauge",
            "What it is sold for; 0 is free.",
            &|t| tokens(t.price.per_gb_from_per_block(), decimals),
        ),
        (
            "torrent_earned_tokens",
            "gauge",
            "Earned with it, earlier runs included.",
            &|t| fine(t.earned),
        ),
        (
            "torrent_spent_tokens",
            "gauge",
            "Spent on it, earlier runs included.",
            &|t| fine(t.spent),
        ),
        (
            "torrent_failed",
            "gauge",
            "Whether it cannot go on.",
            &|t| u8::from(t.state == TorrentState::Failed).to_string(),
        ),
    ];
    page.family(
        "torrent_info",
        "gauge",
        "Its name, which comes from strangers.",
    );
    for torrent in torrents {
        let info_hash = torrent.info_hash.to_hex();
        let labels = [
            ("info_hash", info_hash.as_str()),
            ("name", torrent.name.as_str()),
        ];
        page.sample("torrent_info", &labels, 1);
    }
    for (name, kind, help, figure) in figures {
        page.family(name, kind, help);
        for torrent in torrents {
            let info_hash = torrent.info_hash.to_hex();
            page.sample(name, &[("info_hash", &info_hash)], figure(torrent));
        }
    }
    page.text
}

struct Page {
    text: String,
}

impl Page {
    // Writing to a string does not fail.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.text,
            "# HELP piecework_{name} {help}\n# TYPE piecework_{name} {kind}"
        );
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        let _ = writeln!(self.text, "piecework_{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// A label's value, in which a stranger may have written anything.
fn escaped(value: &str) -> String {
    let mut escaped = String::new();
    for c in value.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_stranger_stays_within_its_label() {
        let mut page = Page {
            text: String::new(),
        };
        page.sample("x", &[("name", "a\"} 1\nb\\c\r")], 1);
        assert_eq!(page.text, "piecework_x{name=\"a\\\"} 1\\nb\\\\c\"} 1\n");
    }
}
