//! The Rust tools judge every build that we ship: rustfmt, clippy, rustdoc.

use std::process::Command;

use super::{Work, check};
use crate::{failure::Failure, shell, wasm, wasm_toolchain::WasmToolchain};

/// The machine that a build of the peer runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Host,
    Wasm32,
}

/// The peer's features, as they are built together, besides the default ones: a test holds that each is here.
const FEATURES: &[(Target, &str)] = &[
    (Target::Host, ""),
    (Target::Host, "native-formats"),
    (Target::Host, "payments"),
    (Target::Wasm32, ""),
    (Target::Wasm32, "payments"),
    (Target::Wasm32, "trace"),
];

/// Every check of a Rust tool. A later one uses the dependencies that an earlier one compiled.
pub fn all() -> Vec<(String, Work)> {
    let mut checks = vec![
        check("rustfmt", || {
            shell::run(shell::cargo().args(["fmt", "--all", "--check"]))
        }),
        check("clippy, host", || {
            clippy(shell::cargo().args(["clippy", "--workspace", "--all-targets"]))
        }),
    ];
    for (target, features) in FEATURES {
        checks.push(check(name_of(*target, features), || {
            clippy(&mut peer(*target, "clippy", features)?)
        }));
    }
    checks.push(check("documentation, host", || {
        document(shell::cargo().args(["doc", "--workspace"]))
    }));
    checks.push(check("documentation, wasm32", || {
        document(&mut peer(Target::Wasm32, "doc", "payments")?)
    }));
    checks
}

fn name_of(target: Target, features: &str) -> String {
    let target = match target {
        Target::Host => "host",
        Target::Wasm32 => "wasm32",
    };
    match features {
        "" => format!("clippy, {target} without features"),
        some => format!("clippy, {target} with {some} alone"),
    }
}

/// `cargo clippy` or `cargo doc` of the peer's library with these features alone.
fn peer(target: Target, command: &str, features: &str) -> Result<Command, Failure> {
    let mut line = match target {
        Target::Host => {
            let mut line = shell::cargo();
            line.arg(command);
            line
        }
        Target::Wasm32 => {
            let toolchain = WasmToolchain::find_or_install()?;
            let mut line = match command {
                "doc" => toolchain.doc(),
                _ => toolchain.clippy(),
            };
            line.args(["--profile", wasm::PROFILE]);
            line
        }
    };
    line.args(["--package", "piecework", "--lib", "--no-default-features"]);
    if !features.is_empty() {
        line.args(["--features", features]);
    }
    Ok(line)
}

fn clippy(command: &mut Command) -> Result<(), Failure> {
    shell::run(command.args(["--", "--deny", "warnings"]))
}

/// Links to private items too: who reads the sources follows them.
fn document(command: &mut Command) -> Result<(), Failure> {
    shell::run(
        command
            .args(["--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::paths;

    /// `default`, `native` and `_test` are built with the workspace.
    #[test]
    fn every_feature_of_the_peer_is_checked() {
        let manifest = fs::read_to_string(paths::root().join("crate/Cargo.toml")).unwrap();
        let features = manifest
            .lines()
            .skip_while(|line| *line != "[features]")
            .skip(1)
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split_once(" = "))
            .map(|(name, _)| name)
            .collect::<Vec<_>>();
        assert!(features.len() > 3);
        for feature in features {
            let known = feature == "default"
                || feature == "native"
                || feature == "_test"
                || FEATURES.iter().any(|(_, checked)| *checked == feature);
            assert!(known, "{feature} is in no line of FEATURES");
        }
    }
}
