//! The workspace compiles with the `rust-version` that Cargo.toml promises, as Cargo.lock has its dependencies.
//!
//! clippy's `incompatible_msrv` judges our own lines only. The needs of the dependencies show when they are compiled.

use std::fs;

use super::Outcome;
use crate::{failure::Failure, paths, rustup, shell, stamp::Inputs};

/// Compiles everything with the promised toolchain, which rustup brings if it can.
pub fn builds() -> Result<Outcome, Failure> {
    let path = paths::root().join("Cargo.toml");
    let manifest = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
    let toolchain = promised_by(&manifest)
        .ok_or_else(|| Failure::failed("Cargo.toml: [workspace.package] has no rust-version"))?;
    if !is_there(&toolchain) {
        let refused = Inputs::default()
            .word(&toolchain)
            .stamp(paths::memory().join("rustup-refused-oldest-rust"));
        let words = ["toolchain", "install", &toolchain, "--profile", "minimal"];
        let words = [&words[..], &["--no-self-update"]].concat();
        let brought = !refused.is_current() && rustup::bring(&toolchain, &words, &refused)?;
        if !brought || !is_there(&toolchain) {
            return Ok(Outcome::Skipped(format!(
                "rustup does not bring Rust {toolchain}; this asks again: rustup {}",
                words.join(" ")
            )));
        }
    }
    // A folder of its own: nothing of another compiler can be used.
    let built = shell::run(
        shell::command("rustup")
            .args(["run", &toolchain, "cargo", "check", "--workspace"])
            .args(["--locked", "--target-dir"])
            .arg(paths::target().join("oldest-rust"))
            // Cargo's own, which point to the toolchain that runs us.
            .env_remove("CARGO")
            .env_remove("LD_LIBRARY_PATH"),
    );
    built.map(|()| Outcome::Passed).map_err(|failure| {
        Failure::failed(format!(
            "{failure}: do without what Rust {toolchain} lacks, or raise rust-version in Cargo.toml"
        ))
    })
}

/// The toolchain's name: all three numbers of the version.
fn promised_by(manifest: &str) -> Option<String> {
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""))?
        .strip_suffix('"')?;
    match version.split('.').count() {
        2 => Some(format!("{version}.0")),
        3 => Some(version.to_owned()),
        _ => None,
    }
}

fn is_there(toolchain: &str) -> bool {
    let list = shell::answer(shell::command("rustup").args(["toolchain", "list"]));
    list.is_some_and(|list| {
        let of_host = format!("{toolchain}-");
        list.lines().any(|line| line.starts_with(&of_host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promised_version_names_a_toolchain() {
        let promised = |line: &str| promised_by(&format!("[workspace.package]\n{line}\n"));
        assert_eq!(
            promised("rust-version = \"1.91\""),
            Some("1.91.0".to_owned())
        );
        assert_eq!(
            promised("rust-version = \"1.91.1\""),
            Some("1.91.1".to_owned())
        );
        assert_eq!(promised("rust-version = \"1\""), None);
        assert_eq!(promised("edition = \"2024\""), None);
    }
}
