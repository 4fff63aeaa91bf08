//! `cargo xtask npm`: the package as npm publishes it.
//!
//! The tarball is made by `npm pack`, whose script `prepack` builds `dist` and brings our licences. The tests of
//! `tests/packed` install it.

use std::{fs, path::PathBuf};

use crate::{
    failure::Failure,
    node, notices, paths, shell,
    stage::{say, stage},
    wasm::Wasm,
};

const FOLDER: &str = "www/npm";

/// Makes the npm package's tarball, piecework-VERSION.tgz
#[derive(clap::Args)]
pub struct Npm {
    /// Where it goes [default: target/npm]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Npm {
    /// Builds, packs, and prints where the tarball is.
    pub fn run(&self) -> Result<(), Failure> {
        stage("npm: node", || {
            node::require().and_then(|()| node::install_all())
        })?;
        Wasm::SHIPPED.run()?;
        let out = self
            .out
            .as_ref()
            .map_or_else(folder, |folder| paths::root().join(folder));
        pack_into(&out)
    }
}

/// Where the tests look for the tarball.
fn folder() -> PathBuf {
    paths::target().join("npm")
}

/// Packs for the tests; the engine is built.
pub fn pack() -> Result<(), Failure> {
    pack_into(&folder())
}

fn pack_into(out: &PathBuf) -> Result<(), Failure> {
    fs::create_dir_all(out).map_err(Failure::io("make", out))?;
    stage("npm: licences of what is in the wasm", notices::write)?;
    stage("npm: pack", || {
        shell::run(
            node::npm(FOLDER)
                .args(["pack", "--silent", "--pack-destination"])
                .arg(out),
        )
    })?;
    say(format_args!("the tarball is in {}", out.display()));
    Ok(())
}
