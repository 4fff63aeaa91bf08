//! libtorrent, from its Python wheel: the other side of the interop tests, and what is measured beside ours.

use std::{fs, path::PathBuf};

use crate::{debian, failure::Failure, paths, shell, stage::say, stamp::Inputs};

/// Tests and measurements read the folder of the package from this variable.
pub const VARIABLE: &str = "PIECEWORK_LIBTORRENT";
/// What pip installs, pinned.
const REQUIREMENTS: &str = "tests/interop/requirements.txt";

/// libtorrent's Python wheel, in a folder of its own: nothing is installed into the system.
pub fn require() -> Result<PathBuf, Failure> {
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
