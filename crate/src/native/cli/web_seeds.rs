//! Web seeds on the command line (BEP 19).

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::client::{Config, WebSeedSnapshot, WebSeedState, WebSeedUse};
use crate::metainfo::{WebSeedUrl, WebSeedUrlError};

#[derive(Args, Debug)]
#[command(next_help_heading = "Web seeds")]
pub(super) struct WebSeedArgs {
    /// Web server with the torrent's files, http:// or https://, besides those that the torrent names; may be repeated.
    /// The URL of the file itself, or of the folder that holds what the torrent is named after.
    #[arg(long, value_name = "URL", value_parser = usable)]
    pub(super) web_seed: Vec<String>,
    /// When web seeds are asked for something.
    #[arg(long, value_enum, default_value_t = When::Fallback)]
    web_seed_use: When,
    /// Leave out the web seeds that the torrent or the magnet link names.
    #[arg(long)]
    no_torrent_web_seeds: bool,
    /// Let the web seeds that the torrent or the magnet link names lie on this machine or in its network, too. Whoever
    /// made the link can then have any address there asked.
    #[arg(long)]
    pub(super) local_web_seeds: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum When {
    /// Only for what a reader needs sooner than peers bring it, and while peers bring next to nothing
    Fallback,
    /// As peers that have everything
    Always,
}

impl WebSeedArgs {
    /// Sets what the core is to know.
    pub(super) fn configure(&self, config: &mut Config) {
        config.use_torrent_web_seeds = !self.no_torrent_web_seeds;
        config.web_seed_use = match self.web_seed_use {
            When::Fallback => WebSeedUse::Fallback,
            When::Always => WebSeedUse::Always,
        };
    }
}

/// The URL of a web seed, in its one form.
pub(super) fn usable(text: &str) -> Result<String, WebSeedUrlError> {
    Ok(WebSeedUrl::parse(text)?.as_str().to_owned())
}

/// For `--json`.
pub(super) fn as_json(seed: &WebSeedSnapshot) -> Value {
    json!({
        "url": seed.url,
        "state": name(seed.state),
        "note": seed.note,
        "downloaded": seed.downloaded,
        "download_rate": seed.download_rate,
    })
}

/// How many bring something now, for the line of progress; nothing if there are none.
pub(super) fn active(seeds: &[WebSeedSnapshot]) -> String {
    let active = seeds
        .iter()
        .filter(|seed| seed.state == WebSeedState::Downloading);
    match seeds.len() {
        0 => String::new(),
        all => format!("  web seeds {} of {all}", active.count()),
    }
}

fn name(state: WebSeedState) -> &'static str {
    match state {
        WebSeedState::Idle => "idle",
        WebSeedState::Downloading => "downloading",
        WebSeedState::Waiting => "waiting",
        WebSeedState::Dropped => "dropped",
        WebSeedState::Banned => "banned",
    }
}
