//! `cargo xtask screenshots`: pictures of the page's states, for people to look at.
//!
//! Builds the page's parts and drives the real page in headless Chromium against a signaling server, native seeders and
//! a local chain. Each state comes about as in use, and is taken in phone and wide, light and dark.

use std::{fs, path::PathBuf};

use crate::{
    builds, chromium, demo,
    failure::Failure,
    node, paths, setup, shell,
    stage::{say, stage},
};

const SCRIPT: &str = "tests/browser/tools/screenshots.mjs";
/// The scene of `--quick`: a film arrives and is watched.
const QUICK: &str = "free";
/// Pictures of the README and of the package's, which has its own in the tarball, by the picture they are copies of.
const README: [(&str, &str); 3] = [
    ("playing-paid-wide-light.png", "docs/player.png"),
    ("playing-paid-top-phone-dark.png", "docs/player-phone.png"),
    ("playing-paid-top-phone-dark.png", "www/npm/player.png"),
];

/// Makes pictures of the page's states, each in phone and wide, light and dark
#[derive(clap::Args)]
pub struct Screenshots {
    /// Where they go
    #[arg(long, default_value = "target/screenshots", value_name = "DIR")]
    out: PathBuf,
    /// Only these scenes (all: opening metadata unsupported free pieces paid)
    scenes: Vec<String>,
    /// Only the scene `free`, each state once: wide and light
    #[arg(long, conflicts_with_all = ["scenes", "readme"])]
    quick: bool,
    /// Also renew the pictures of the README
    #[arg(long)]
    readme: bool,
}

impl Screenshots {
    /// Builds, drives, and prints where the pictures are.
    pub fn run(&self) -> Result<(), Failure> {
        stage("screenshots: node", || {
            node::require().and_then(|()| node::install_all())
        })?;
        let browser = stage("screenshots: chromium", chromium::require)?;
        let film = stage("screenshots: film", || {
            setup::ffmpeg()?;
            demo::make_film()
        })?;
        stage("screenshots: contracts", builds::contracts)?;
        stage("screenshots: programs", builds::binaries)?;
        builds::pages()?;
        let out = paths::root().join(&self.out);
        stage("screenshots: take", || {
            let mut command = node::node();
            command.arg(SCRIPT).arg("--out").arg(&out);
            if self.quick {
                command.args(["--once", QUICK]);
            }
            command
                .args(&self.scenes)
                .env(chromium::VARIABLE, browser)
                .env("PIECEWORK_FILM", film)
                .env("PIECEWORK_BINARIES", paths::target().join("debug"));
            shell::run(&mut command)
        })?;
        if self.readme {
            for (picture, copy) in README {
                let (from, to) = (out.join(picture), paths::root().join(copy));
                fs::copy(&from, &to).map_err(Failure::io("copy", &from))?;
                say(format_args!("{copy} is {picture}"));
            }
        }
        Ok(())
    }
}
