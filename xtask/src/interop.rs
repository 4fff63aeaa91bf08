//! `cargo xtask interop`: our peers and server among software that is not ours.

use std::{fs, path::PathBuf};

use crate::{
    builds, chromium, debian,
    failure::Failure,
    node, paths, shell,
    stage::{say, stage},
    stamp::Inputs,
};

/// The Node package with the tests.
pub const FOLDER: &str = "tests/interop";
/// What pip installs, pinned.
const REQUIREMENTS: &str = "tests/interop/requirements.txt";

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

/// What the tests find built and installed, and the variables that tell them where.
pub fn surroundings() -> Result<Vec<(&'static str, PathBuf)>, Failure> {
    let browser = chromium::require()?;
    let libtorrent = stage("interop: libtorrent", libtorrent)?;
    stage("build: programs", builds::binaries)?;
    builds::pages()?;
    Ok(vec![
        (chromium::VARIABLE, browser),
        ("PIECEWORK_BINARIES", paths::target().join("debug")),
        ("PIECEWORK_LIBTORRENT", libtorrent),
    ])
}

/// libtorrent's Python wheel, in a folder of its own: nothing is installed into the system.
pub fn libtorrent() -> Result<PathBuf, Failure> {
    let folder = paths::target().join("libtorrent");
    let pip = || shell::answer(shell::command("python3").args(["-m", "pip", "--version"]));
    if pip().is_none() {
        debian::install(
            &["python3", "python3-pip"],
            "Python and pip, for libtorrent",
        )?;
    }
    let pip =
        pip().ok_or_else(|| Failure::failed("python3 -m pip is installed and does not run"))?;
    // A wheel is of one version of Python, which pip names.
    let stamp = Inputs::default()
        .word(&pip)
        .file(&paths::root().join(REQUIREMENTS))
        .stamp(folder.join("piecework-installed"));
    if !stamp.is_current() {
        stamp.clear();
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Failure::io("remove", &folder))?;
        }
        let words = "-m pip install --disable-pip-version-check --no-input --only-binary :all: --no-deps --target";
        shell::run(
            shell::command("python3")
                .args(words.split(' '))
                .arg(&folder)
                .args(["--requirement", REQUIREMENTS]),
        )?;
        stamp.set()?;
    }
    let version = shell::answer(
        shell::command("python3")
            .args(["-c", "import libtorrent; print(libtorrent.version)"])
            .env("PYTHONPATH", &folder),
    )
    .ok_or_else(|| Failure::failed("libtorrent is installed and cannot be imported by python3"))?;
    say(format_args!("libtorrent {version}"));
    Ok(folder)
}
