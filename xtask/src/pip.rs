//! Python packages, each set in a folder of its own: nothing is installed into the system.

use std::{fs, path::PathBuf};

use crate::{debian, failure::Failure, paths, shell, stamp::Inputs};

/// The packages that this file of the repository pins, as wheels, in `target/FOLDER`; installed again when either
/// changes.
pub fn require(folder: &str, requirements: &str, why: &str) -> Result<PathBuf, Failure> {
    let folder = paths::target().join(folder);
    let pip = || shell::answer(shell::command("python3").args(["-m", "pip", "--version"]));
    if pip().is_none() {
        debian::install(&["python3", "python3-pip"], why)?;
    }
    let pip =
        pip().ok_or_else(|| Failure::failed("python3 -m pip is installed and does not run"))?;
    // A wheel is of one version of Python, which pip names.
    let stamp = Inputs::default()
        .word(&pip)
        .file(&paths::root().join(requirements))
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
                .args(["--requirement", requirements]),
        )?;
        stamp.set()?;
    }
    Ok(folder)
}
