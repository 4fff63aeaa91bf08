//! Programs that cargo builds from the package registry into `target/tools`, once.

use std::{fs, path::PathBuf};

use crate::{failure::Failure, paths, shell, stage::say};

/// The path of a program of this name, once it is installed.
pub fn path(name: &str) -> PathBuf {
    paths::target().join("tools/bin").join(name)
}

/// Builds a package whose program has its name. Unoptimised it is as quick for us, and built sooner.
pub fn install(name: &str, version: &str, why: &str) -> Result<(), Failure> {
    say(format_args!("building {name}, {why}: a few minutes, once"));
    // Its own target directory, beside ours: it is no package of this workspace.
    let tools = paths::target().join("tools");
    let build = tools.join("build");
    let built = shell::run(
        shell::cargo()
            .args(["install", "--locked", "--debug", "--force", "--root"])
            .arg(&tools)
            .arg(format!("{name}@{version}"))
            .env("CARGO_TARGET_DIR", &build),
    );
    let _ = fs::remove_dir_all(&build); // half a gigabyte that nobody needs again
    built.map_err(|failure| Failure::Missing {
        what: format!("{name}, {why}; {failure}"),
        line: format!("cargo install {name}@{version} --locked"),
    })
}
