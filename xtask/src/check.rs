//! `cargo xtask check`: formatting, clippy on every build we ship, and the project's own rules.

use std::process::Command;

use crate::{
    failure::Failure,
    rules, shell,
    stage::{say, stage},
    wasm,
    wasm_toolchain::WasmToolchain,
};

/// Checks formatting, clippy for host and wasm32 with warnings denied, and the project's source rules
#[derive(clap::Args)]
pub struct Check {}

type Work = Box<dyn FnOnce() -> Result<(), Failure>>;

/// How many checks passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed.
    pub passed: u64,
    /// Failed.
    pub failed: u64,
}

impl Counts {
    /// Counts one more check, and prints why it failed.
    pub fn add(&mut self, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(failure) => {
                say(failure);
                self.failed += 1;
            }
        }
    }
}

impl Check {
    /// Runs every check, also after one that failed.
    pub fn run() -> Result<(), Failure> {
        let counts = Self::count();
        say(format_args!(
            "\nchecks: {} passed, {} failed",
            counts.passed, counts.failed
        ));
        if counts.failed == 0 {
            Ok(())
        } else {
            Err(Failure::failed("a check failed"))
        }
    }

    /// Runs every check and counts.
    pub fn count() -> Counts {
        let mut checks: Vec<(&str, Work)> = vec![
            (
                "rustfmt",
                Box::new(|| shell::run(shell::cargo().args(["fmt", "--all", "--check"]))),
            ),
            (
                "clippy, host",
                Box::new(|| {
                    clippy(shell::cargo().args(["clippy", "--workspace", "--all-targets"]))
                }),
            ),
            (
                "clippy, host without default features",
                Box::new(|| {
                    clippy(shell::cargo().args([
                        "clippy",
                        "--package",
                        "piecework",
                        "--lib",
                        "--no-default-features",
                    ]))
                }),
            ),
            (
                "clippy, wasm32",
                Box::new(|| {
                    clippy(WasmToolchain::find_or_install()?.clippy().args([
                        "--package",
                        "piecework",
                        "--lib",
                        "--no-default-features",
                        "--profile",
                        wasm::PROFILE,
                    ]))
                }),
            ),
        ];
        for (name, rule) in rules::ALL {
            checks.push((name, Box::new(move || report(rule()?))));
        }
        let mut counts = Counts::default();
        for (name, check) in checks {
            counts.add(stage(&format!("check: {name}"), check));
        }
        counts
    }
}

fn clippy(command: &mut Command) -> Result<(), Failure> {
    shell::run(command.args(["--", "--deny", "warnings"]))
}

fn report(violations: Vec<String>) -> Result<(), Failure> {
    for violation in &violations {
        say(violation);
    }
    match violations.len() {
        0 => Ok(()),
        count => Err(Failure::failed(format!("{count} places break this rule"))),
    }
}
