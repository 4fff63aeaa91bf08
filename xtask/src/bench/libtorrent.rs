//! libtorrent, from its Python wheel: what WebTorrent is also measured against.

use std::{fs, path::PathBuf};

use crate::{debian, failure::Failure, paths, shell, stage::say, stamp::Inputs};

/// Tests and measurements read the folder of the package from this variable.
pub const VARIABLE: &str = "PIECEWORK_LIBTORRENT";
const PACKAGE: &str = "libtorrent==2.1.1";

/// The folder to put on Python's path; installs the package there when it is not.
pub fn require() -> Result<PathBuf, Failure> {
    if shell::find_on_path("python3").is_none()
        || shell::answer(shell::command("python3").args(["-m", "pip", "--version"])).is_none()
    {
        debian::install(
            &["python3", "python3-pip"],
            "Python with pip, for libtorrent",
        )?;
    }
    let folder = paths::target().join("bench/python");
    let python = shell::answer(shell::command("python3").arg("--version")).unwrap_or_default();
    let stamp = Inputs::default()
        .word(PACKAGE)
        .word(&python)
        .stamp(folder.join(".stamp"));
    if !stamp.is_current() {
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Failure::io("empty", &folder))?;
        }
        say(format_args!(
            "installing {PACKAGE} by pip, into target/bench/python"
        ));
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
            "--target",
        ];
        shell::run(
            shell::command("python3")
                .args(install)
                .arg(&folder)
                .arg(PACKAGE),
        )?;
    }
    let version = shell::answer(
        shell::command("python3")
            .args(["-c", "import libtorrent; print(libtorrent.__version__)"])
            .env("PYTHONPATH", &folder),
    )
    .ok_or_else(|| {
        Failure::failed(format!(
            "{PACKAGE} is installed in {} and does not load with {python}",
            folder.display()
        ))
    })?;
    say(format_args!("libtorrent {version}, {python}"));
    stamp.set()?;
    Ok(folder)
}
