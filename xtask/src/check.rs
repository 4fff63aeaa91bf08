//! `cargo xtask check`: formatting, clippy and documentation of every build we ship, and the project's own rules.
//!
//! A check that cannot be made on this machine is skipped aloud, and is not counted as passed.

mod oldest_rust;
mod rust;
mod tools;

use crate::{
    failure::Failure,
    rules,
    stage::{say, stage},
};

/// Checks formatting, clippy, documentation, and the project's source rules
#[derive(clap::Args)]
pub struct Check {}

type Work = Box<dyn FnOnce() -> Result<Outcome, Failure>>;

/// How a check ended that did not fail.
enum Outcome {
    Passed,
    /// It could not be made here, for this reason.
    Skipped(String),
}

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
            "checks: {} passed, {} failed",
            counts.passed, counts.failed
        ));
        if counts.failed == 0 {
            Ok(())
        } else {
            Err(Failure::failed("a check failed"))
        }
    }

    /// Runs every check and counts; says at the end which were skipped.
    pub fn count() -> Counts {
        let mut counts = Counts::default();
        let mut skipped = Vec::new();
        for (name, check) in all() {
            match stage(&format!("check: {name}"), check) {
                Ok(Outcome::Passed) => counts.add(Ok(())),
                Ok(Outcome::Skipped(reason)) => {
                    say(format_args!("skipped: {reason}"));
                    skipped.push(format!("skipped: {name}: {reason}"));
                }
                Err(failure) => counts.add(Err(failure)),
            }
        }
        say("");
        skipped.iter().for_each(say);
        counts
    }
}

fn all() -> Vec<(String, Work)> {
    let mut checks = rust::all();
    checks.push((
        "the oldest Rust that is promised".to_owned(),
        Box::new(oldest_rust::builds),
    ));
    checks.extend(tools::all());
    for (name, rule) in rules::ALL {
        checks.push(check(*name, move || report(rule()?)));
    }
    checks
}

/// A check that is made on every machine.
fn check(
    name: impl Into<String>,
    work: impl FnOnce() -> Result<(), Failure> + 'static,
) -> (String, Work) {
    let work: Work = Box::new(|| work().map(|()| Outcome::Passed));
    (name.into(), work)
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
