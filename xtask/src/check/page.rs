//! TypeScript's tools: Biome judges every file of the repository, the compiler the package and the page.

use super::Outcome;
use crate::{builds, failure::Failure, node, paths, shell};

/// The engine's own types; the package imports them.
const ENGINE: &str = "www/npm/wasm/piecework.js";

/// Folders whose types are checked, and the script that does it.
pub const TYPED: [(&str, &str); 3] = [
    ("www/npm", "types"),
    ("www/player", "check"),
    ("www/extension", "check"),
];

/// Formatting and lint of all TypeScript and JavaScript.
pub fn biome() -> Result<(), Failure> {
    node::require()?;
    node::install("www/npm")?;
    builds::npm_script("www/npm", "lint").map_err(|failure| {
        Failure::failed(format!(
            "{failure}: `npm run --prefix www/npm format` formats; the rest is above"
        ))
    })
}

/// The types of the package and of the page; skipped where the engine is not built, because a build takes minutes.
pub fn types() -> Result<Outcome, Failure> {
    if !paths::root().join(ENGINE).is_file() {
        return Ok(Outcome::Skipped(
            "the engine is not built; cargo xtask test --only npm builds it and checks them"
                .to_owned(),
        ));
    }
    node::require()?;
    for folder in ["www/npm", "www/player", "www/extension"] {
        node::install(folder)?;
    }
    // The page reads the types that the package publishes.
    shell::run(
        node::node()
            .current_dir(paths::root().join("www/npm"))
            .args([
                "node_modules/typescript/bin/tsc",
                "--project",
                "tsconfig.json",
            ]),
    )?;
    TYPED
        .iter()
        .try_for_each(|(folder, script)| builds::npm_script(folder, script))
        .map(|()| Outcome::Passed)
}
