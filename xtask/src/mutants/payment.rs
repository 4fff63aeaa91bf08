//! The mutants of crate/src/payment, by cargo-mutants.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Fate, Mutant, Mutants};
use crate::{
    cargo_tool,
    failure::Failure,
    paths, shell,
    stage::{say, stage},
};

const NAME: &str = "cargo-mutants";
const VERSION: &str = "27.1.0";
const CODE: &str = "crate/src/payment/**/*.rs";
/// What builds and tests: the tests of money, in the order in which cargo runs them. They are given to every run of cargo, for what
/// cargo-mutants is told of packages to test it does not do without a mutant.
const TESTS: &str = "--package=piecework-simulation --lib --test=corpus --test=payment_* --test=money_* --test=payments --test=restart";
/// Fewer seeds than in the test command: what ten runs notice, five hundred do.
const SEEDS: &str = "10";
/// Where cargo-mutants leaves what became of each, by its fate.
const LISTS: [(&str, Fate); 4] = [
    ("caught.txt", Fate::Killed),
    ("missed.txt", Fate::Missed),
    ("timeout.txt", Fate::TimedOut),
    ("unviable.txt", Fate::Unviable),
];
/// cargo-mutants ends so when some were missed or timed out, which is for us to judge.
const JUDGED: [i32; 3] = [0, 2, 3];

/// Tests the wanted mutants.
pub fn run(wanted: &Mutants) -> Result<Vec<Mutant>, Failure> {
    stage("mutants: cargo-mutants", require)?;
    let folder = paths::target().join("mutants");
    fs::create_dir_all(&folder).map_err(Failure::io("make", &folder))?;
    let count = shell::answer(chosen(wanted).arg("--list"))
        .ok_or_else(|| Failure::failed("cargo-mutants lists no mutants"))?
        .lines()
        .count();
    let shard = wanted.shard_of(count);
    say(format_args!("{count} mutants, of which {shard}"));
    stage("mutants: test", || {
        let mut command = chosen(wanted);
        command
            .args(["--shard", &shard.to_string(), "--sharding", "round-robin"])
            .arg("--no-default-features")
            .args(TESTS.split(' ').map(|test| format!("--cargo-arg={test}")))
            .args(["--jobs", &wanted.jobs.to_string(), "--no-times", "--output"])
            .arg(&folder)
            .env("PIECEWORK_SEEDS", SEEDS)
            .env("CARGO_PROFILE_DEV_DEBUG", "false");
        if wanted.jobs == 1 {
            // Kept from run to run: dependencies are built once.
            command.env("CARGO_TARGET_DIR", folder.join("build"));
        }
        let status = shell::show_and_wait(&mut command)?;
        match status.code() {
            Some(code) if JUDGED.contains(&code) => Ok(()),
            _ => Err(Failure::failed(format!(
                "cargo-mutants ended with {status}"
            ))),
        }
    })?;
    read(&folder.join("mutants.out"))
}

/// cargo-mutants, told which files it is about.
fn chosen(wanted: &Mutants) -> Command {
    let mut command = shell::command(program());
    command.args(["mutants", "--package", "piecework", "--colors", "never"]);
    match wanted.file.as_slice() {
        [] => command.args(["--file", CODE]),
        files => command.args(files.iter().flat_map(|file| ["--file", file])),
    };
    command
}

fn program() -> PathBuf {
    cargo_tool::path(NAME)
}

fn require() -> Result<(), Failure> {
    let version = || shell::answer(shell::command(program()).args(["mutants", "--version"]));
    let expected = format!("{NAME} {VERSION}");
    if version().as_ref() != Some(&expected) {
        cargo_tool::install(NAME, VERSION, "to break the code in small places")?;
    }
    match version() {
        Some(version) if version == expected => {
            say(version);
            Ok(())
        }
        other => Err(Failure::failed(format!(
            "{NAME} was built and says {}",
            other.unwrap_or_default()
        ))),
    }
}

fn read(folder: &Path) -> Result<Vec<Mutant>, Failure> {
    let mut mutants = Vec::new();
    for (list, fate) in LISTS {
        let path = folder.join(list);
        let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
        mutants.extend(text.lines().filter_map(|line| mutant(line, fate)));
    }
    Ok(mutants)
}

/// `crate/src/payment/policy.rs:12:5: replace < with <= in judge_quote`
fn mutant(line: &str, fate: Fate) -> Option<Mutant> {
    let (place, what) = line.split_once(": ")?;
    Some(Mutant {
        place: place.to_owned(),
        what: what.to_owned(),
        fate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_cargo_mutants_is_read() {
        let line = "crate/src/payment/policy.rs:12:5: replace < with <= in judge_quote";
        let mutant = mutant(line, Fate::Missed).unwrap();
        assert_eq!(mutant.to_string(), line);
        assert_eq!(
            mutant.name(),
            "crate/src/payment/policy.rs: replace < with <= in judge_quote"
        );
    }
}
