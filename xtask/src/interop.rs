//! `cargo xtask interop`: our peers and server among other people's software.

use std::path::PathBuf;

use crate::{builds, chromium, failure::Failure, libtorrent, node, paths, shell, stage::stage};

/// The Node package with the tests.
pub const FOLDER: &str = "tests/interop";

/// Exchanges torrents with WebTorrent and libtorrent, at our signaling server and at bittorrent-tracker's
#[derive(clap::Args)]
pub struct Interop {
    /// Every fixture and the large file in all cells, not in some
    #[arg(long)]
    all: bool,
    /// Only what has this in its name, such as `64 MiB` or `native seeds to libtorrent` (may be given more than once)
    #[arg(long, value_name = "WORDS")]
    only: Vec<String>,
}

impl Interop {
    /// Builds what is stale, and runs the tests.
    pub fn run(&self) -> Result<(), Failure> {
        node::require()?;
        node::install_all()?;
        let surroundings = surroundings()?;
        stage("interop", || {
            let mut command = node::node();
            command.arg(format!("{FOLDER}/run.mjs"));
            if self.all {
                command.arg("--all");
            }
            command.args(&self.only).envs(surroundings);
            shell::run(&mut command)
        })
    }
}

/// The builds and installations that the tests find, and the variables that name their paths.
pub fn surroundings() -> Result<Vec<(&'static str, PathBuf)>, Failure> {
    let browser = chromium::require()?;
    let packages = stage("interop: libtorrent", libtorrent::require)?;
    stage("build: programs", builds::binaries)?;
    builds::pages()?;
    Ok(vec![
        (chromium::VARIABLE, browser),
        ("PIECEWORK_BINARIES", paths::target().join("debug")),
        (libtorrent::VARIABLE, packages),
    ])
}
