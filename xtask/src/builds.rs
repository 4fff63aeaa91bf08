//! The builds that several commands need.

use crate::{failure::Failure, node, paths, shell, stage::stage, wasm::Wasm};

/// The native programs: `piecework` and `piecework-signaling`, of the library that the tests build as well: it is built
/// once.
pub fn binaries() -> Result<(), Failure> {
    shell::run(shell::cargo().args([
        "build",
        "--package",
        "piecework",
        "--package",
        "piecework-signaling",
        "--bins",
        "--features",
        "piecework/_test",
    ]))
}

/// The same programs, optimised as they are shipped: for measuring.
pub fn release_binaries() -> Result<(), Failure> {
    shell::run(shell::cargo().args([
        "build",
        "--release",
        "--package",
        "piecework",
        "--package",
        "piecework-signaling",
        "--bins",
    ]))
}

/// The contracts' artifacts.
pub fn contracts() -> Result<(), Failure> {
    npm_script("contracts", "build")
}

/// The engine, the page's package, the page, and the extension.
pub fn pages() -> Result<(), Failure> {
    Wasm::SHIPPED.run()?;
    for folder in ["www/npm", "www/player", "www/extension"] {
        stage(&format!("build: {folder}"), || npm_script(folder, "build"))?;
    }
    Ok(())
}

/// Runs a folder's script, when it has one; a missing folder is a failure.
pub fn npm_script(folder: &str, script: &str) -> Result<(), Failure> {
    if !paths::root().join(folder).join("package.json").is_file() {
        return Err(Failure::failed(format!("{folder} is missing")));
    }
    shell::run(node::npm(folder).args(["run", "--silent", "--if-present", script]))
}
