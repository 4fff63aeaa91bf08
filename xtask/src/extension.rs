//! `cargo xtask extension`: the browser extension, one package for Chromium and one for Firefox.

use crate::{
    builds,
    failure::Failure,
    node,
    stage::{say, stage},
};

/// Builds the browser extension into target/extension: a folder and a zip for Chromium and for Firefox
///
/// A second build beside it, target/extension-loopback, may also speak to servers of this machine: the tests load it.
#[derive(clap::Args)]
pub struct Extension {}

impl Extension {
    /// Builds the engine, the npm package and the extension.
    pub fn run() -> Result<(), Failure> {
        stage("extension: node", || {
            node::require()?;
            node::install("www/npm")?;
            node::install("www/extension")
        })?;
        builds::extension()?;
        say("target/extension/chromium: chrome://extensions, developer mode, \"Load unpacked\"");
        say(
            "target/extension/firefox: about:debugging, \"This Firefox\", \"Load Temporary Add-on\"",
        );
        Ok(())
    }
}
