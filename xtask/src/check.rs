//! `cargo xtask check`: formatting, clippy and documentation of every build we ship, and the project's own rules.
//!
//! A check that this machine cannot make is skipped aloud, and does not count as passed.

mod commits;
pub mod line_width;
mod oldest_rust;
pub mod page;
pub mod pragmas;
mod rust;
mod tools;

use crate::{
    failure::Failure,
    rules,
    stage::{say, stage},
};

/// Checks formatting, clippy, documentation, dependencies, spelling, and the project's source rules
#[derive(Default, clap::Args)]
pub struct Check {
    /// Only the checks that have this in their name (may be given more than once)
    #[arg(long, value_name = "WORDS")]
    only: Vec<String>,
}

type Work = Box<dyn FnOnce() -> Result<Outcome, Failure>>;

/// How a check ended that did not fail.
pub enum Outcome {
    /// It passed.
    Passed,
    /// This machine cannot make it, for this reason.
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
    pub fn run(&self) -> Result<(), Failure> {
        let mut checks = all();
        checks.push(("types of the page".to_owned(), Box::new(page::types)));
        if !checks.iter().any(|(name, _)| self.wants(name)) {
            let names: Vec<String> = checks.into_iter().map(|(name, _)| name).collect();
            return Err(Failure::failed(format!(
                "no check has that in its name: {}",
                names.join("; ")
            )));
        }
        let counts = self.each(checks);
        say(format_args!(
            "checks: {} passed, {} failed",
            counts.passed, counts.failed
        ));
        match counts {
            Counts { failed: 0, .. } => Ok(()),
            _ => Err(Failure::failed("a check failed")),
        }
    }

    /// Runs the checks of the test command.
    pub fn count() -> Counts {
        Self::default().each(all())
    }

    /// Runs the wanted ones and counts; names at the end those that were skipped.
    fn each(&self, checks: Vec<(String, Work)>) -> Counts {
        let mut counts = Counts::default();
        let mut skipped = Vec::new();
        for (name, check) in checks.into_iter().filter(|(name, _)| self.wants(name)) {
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

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|words| name.contains(words))
    }
}

/// Every check of the test command. That command checks the types of the page in another suite, which builds the page.
fn all() -> Vec<(String, Work)> {
    let mut checks = rust::all();
    checks.push((
        "the oldest Rust that is promised".to_owned(),
        Box::new(oldest_rust::builds),
    ));
    checks.extend(tools::all());
    checks.push(check("TypeScript and JavaScript, by Biome", page::biome));
    checks.push((
        "subjects of commits".to_owned(),
        Box::new(commits::have_short_subjects),
    ));
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
