//! libtorrent, from its Python wheel: the other side of the interop tests, and a contestant of the measurements.

use std::path::PathBuf;

use crate::{failure::Failure, pip, shell, stage::say};

/// Tests and measurements read the folder of the package from this variable.
pub const VARIABLE: &str = "PIECEWORK_LIBTORRENT";
/// The package for pip, pinned.
const REQUIREMENTS: &str = "tests/interop/requirements.txt";

/// libtorrent's Python wheel, in a folder of its own: nothing is installed into the system.
pub fn require() -> Result<PathBuf, Failure> {
    let folder = pip::require("libtorrent", REQUIREMENTS, "Python and pip, for libtorrent")?;
    let version = shell::answer(
        shell::command("python3")
            .args(["-c", "import libtorrent; print(libtorrent.version)"])
            .env("PYTHONPATH", &folder),
    )
    .ok_or_else(|| Failure::failed("libtorrent is installed and cannot be imported by python3"))?;
    say(format_args!("libtorrent {version}"));
    Ok(folder)
}
