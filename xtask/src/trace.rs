//! `cargo xtask trace`: records anew the browser download that the simulation replays.
//!
//! The engine is built so that it reports its core's inputs and outputs. A real browser downloads a file from the
//! native peer, and the report becomes `tests/simulation/traces/free_download.jsonl`. Afterwards the engine is built
//! again as it is shipped.

use crate::{
    builds, chromium, failure::Failure, node, paths, shell, stage::say, stage::stage, wasm::Wasm,
};

const RECORDING: &str = "tests/simulation/traces/free_download.jsonl";

/// Records anew the browser download that the simulation replays
#[derive(clap::Args)]
pub struct Trace;

impl Trace {
    /// Records, and leaves the pages as they are shipped.
    pub fn run() -> Result<(), Failure> {
        node::require()?;
        node::install_all()?;
        let browser = chromium::require()?;
        stage("build: programs", builds::binaries)?;
        let recorded = Wasm::TRACING.run().and_then(|()| {
            stage("build: www/npm", || builds::npm_script("www/npm", "build"))?;
            stage("trace: record", || {
                shell::run(
                    node::node()
                        .arg(paths::root().join("tests/browser/tools/record_trace.mjs"))
                        .arg(paths::root().join(RECORDING))
                        .env(chromium::VARIABLE, &browser)
                        .env("PIECEWORK_BINARIES", paths::target().join("debug")),
                )
            })
        });
        // Also when it failed: no recording build may be left where pages are built from.
        builds::pages()?;
        recorded?;
        say(format_args!(
            "{RECORDING} is new; cargo test -p piecework-simulation replays it"
        ));
        Ok(())
    }
}
