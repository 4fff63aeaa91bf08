//! slither reads the deployed contracts, and each of its findings is answered.
//!
//! An answer is a mended line, a `// slither-disable-next-line NAME` with the reason, or a line of contracts/README.md,
//! "Slither", for what contracts/slither.config.json leaves out as a whole.

use std::{env, fs, path::PathBuf};

use crate::{
    failure::Failure,
    node, paths, pip, rules, shell,
    stage::{say, stage},
    stamp::Inputs,
};

/// The pinned wheels.
const REQUIREMENTS: &str = "xtask/src/slither/requirements.txt";

/// Folders below contracts/ that slither reads: all but the tests.
const FOLDERS: [&str; 3] = ["interfaces", "libraries", "src"];

/// Files besides the sources that a finding depends on.
const SETTINGS: [&str; 3] = [
    "contracts/foundry.toml",
    "contracts/package-lock.json",
    "contracts/slither.config.json",
];

/// slither's Python packages, in a folder of their own.
pub fn require() -> Result<PathBuf, Failure> {
    pip::require("slither", REQUIREMENTS, "Python and pip, for slither")
}

/// Fails for each finding without an answer. Contracts that passed are not read again until they change.
pub fn finds_nothing() -> Result<(), Failure> {
    let contracts = paths::root().join("contracts");
    let mut inputs = Inputs::default().file(&paths::root().join(REQUIREMENTS));
    for setting in SETTINGS {
        inputs = inputs.file(&paths::root().join(setting));
    }
    for folder in FOLDERS {
        for path in rules::files_below(&contracts.join(folder), &["sol"])? {
            inputs = inputs.word(&rules::shown(&path)).file(&path);
        }
    }
    let stamp = inputs.stamp(paths::memory().join("slither-found-nothing"));
    if stamp.is_current() {
        say("the contracts are as they were when slither found nothing");
        return Ok(());
    }
    node::require()?;
    node::install("contracts")?;
    let packages = stage("slither: packages", require)?;
    // It deletes and rebuilds: not the artifacts that others use.
    let output = paths::target().join("slither-output");
    fs::create_dir_all(&output).map_err(Failure::io("make", &output))?;
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(contracts.join("node_modules/.bin"))
        .chain(std::iter::once(packages.join("bin")))
        .chain(env::split_paths(&path));
    let path = env::join_paths(folders)
        .map_err(|error| Failure::failed(format!("a folder of the PATH: {error}")))?;
    shell::run(
        shell::command("python3")
            .current_dir(&contracts)
            .arg(packages.join("bin/slither"))
            .args([".", "--config-file", "slither.config.json"])
            .env("PATH", path)
            .env("PYTHONPATH", &packages)
            .env("FOUNDRY_OUT", output.join("out"))
            .env("FOUNDRY_CACHE_PATH", output.join("cache")),
    )
    .map_err(|failure| {
        Failure::failed(format!(
            "{failure}: mend what it found, or answer it where it stands: `// slither-disable-next-line NAME` and the reason"
        ))
    })?;
    stamp.set()
}
