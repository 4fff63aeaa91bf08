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

/// The engine, the page's package, and the page.
pub fn pages() -> Result<(), Failure> {
    package()?;
    stage("build: www/player", || npm_script("www/player", "build"))
}

/// The same, and the extension.
pub fn pages_and_extension() -> Result<(), Failure> {
    pages()?;
    extension_of_package()
}

/// The engine, the page's package, and the extension.
pub fn extension() -> Result<(), Failure> {
    package()?;
    extension_of_package()
}

fn extension_of_package() -> Result<(), Failure> {
    stage("build: www/extension", || {
        npm_script("www/extension", "build")
    })
}

fn package() -> Result<(), Failure> {
    Wasm::SHIPPED.run()?;
    stage("build: www/npm", || npm_script("www/npm", "build"))
}

/// Runs a folder's script, when it has one; a missing folder is a failure.
pub fn npm_script(folder: &str, script: &str) -> Result<(), Failure> {
    if !paths::root().join(folder).join("package.json").is_file() {
        return Err(Failure::failed(format!("{folder} is missing")));
    }
    shell::run(node::npm(folder).args(["run", "--silent", "--if-present", script]))
}
