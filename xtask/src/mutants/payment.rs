//! The mutants of crate/src/payment, by cargo-mutants.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Fate, Mutant, Mutants, tree};
use crate::{
    cargo_tool,
    failure::Failure,
    paths, shell,
    stage::{say, stage},
};

const NAME: &str = "cargo-mutants";
const VERSION: &str = "27.1.0";
const CODE: &str = "crate/src/payment/**/*.rs";
/// Fewer seeds than in the test command: five hundred runs notice at least as much as ten.
const SEEDS: &str = "10";
/// cargo-mutants' lists of the mutants, one for each fate.
const LISTS: [(&str, Fate); 4] = [
    ("caught.txt", Fate::Killed),
    ("missed.txt", Fate::Missed),
    ("timeout.txt", Fate::TimedOut),
    ("unviable.txt", Fate::Unviable),
];
/// The list of mutants that cargo-mutants takes for judged by an earlier run into the same folder. It is the way to
/// leave mutants out: the regular expressions that cargo-mutants has for this spare no mutant that leaves out a field.
const DONE_BEFORE: &str = "previously_caught.txt";
/// cargo-mutants ends so when some mutants were missed or timed out; we judge that ourselves.
const JUDGED: [i32; 3] = [0, 2, 3];

/// The tests that judge. Mutants that live through one pass go into the next.
struct Pass {
    name: &'static str,
    /// The packages and tests that cargo builds and runs, in cargo's words and in the order of running. Every run of
    /// cargo gets them, because cargo-mutants does not use its own option for packages in the run without a mutant.
    tests: &'static str,
    /// Tests that are left out, by parts of their names.
    left_out: &'static [&'static str],
    /// Many times the length of the tests: only a mutant that hangs takes longer.
    limit_seconds: &'static str,
}

/// The tests of money that take a second or less each: they notice most, in a tenth of the time.
const QUICK: Pass = Pass {
    name: "quick",
    tests: "--lib --test=corpus --test=payment",
    left_out: &[
        "metainfo::",
        "signaling::",
        "journal::",
        "picker::",
        "accounts_that_do_not_exist_cost_few_reads",
        "lost_connections_and_crashes",
        "replayed_and_forged_messages",
        "two_torrents_and_many_sellers",
        "after_any_message",
    ],
    limit_seconds: "120",
};

/// All tests of money, simulations too.
const THOROUGH: Pass = Pass {
    name: "thorough",
    tests: "--package=piecework-simulation --lib --test=corpus --test=payment --test=money",
    left_out: &[],
    limit_seconds: "600",
};

/// Tests the wanted mutants.
pub fn run(wanted: &Mutants) -> Result<Vec<Mutant>, Failure> {
    stage("mutants: cargo-mutants", require)?;
    let tree = stage("mutants: copy", tree::bring)?;
    let listed = shell::answer(about(wanted, &tree).arg("--list"))
        .ok_or_else(|| Failure::failed("cargo-mutants lists no mutants"))?;
    let all: Vec<&str> = listed.lines().collect();
    let shard = wanted.shard_of(all.len());
    say(format_args!("{} mutants, of which {shard}", all.len()));
    let chosen = all.iter().enumerate();
    let chosen = chosen.filter(|(position, _)| shard.has(*position));
    let chosen: Vec<&str> = chosen.map(|(_, name)| *name).collect();
    let (living, mut judged): (Vec<Mutant>, Vec<Mutant>) = QUICK
        .judge(wanted, &tree, &all, &chosen)?
        .into_iter()
        .partition(|mutant| mutant.fate == Fate::Missed);
    if !living.is_empty() {
        say(format_args!("{} are left for all tests", living.len()));
        let names: Vec<String> = living.iter().map(ToString::to_string).collect();
        let chosen: Vec<&str> = names.iter().map(String::as_str).collect();
        judged.extend(THOROUGH.judge(wanted, &tree, &all, &chosen)?);
    }
    Ok(judged)
}

impl Pass {
    /// The fates of the chosen ones of all mutants.
    fn judge(
        &self,
        wanted: &Mutants,
        tree: &Path,
        all: &[&str],
        chosen: &[&str],
    ) -> Result<Vec<Mutant>, Failure> {
        let folder = paths::target().join("mutants").join(self.name);
        let output = folder.join("mutants.out");
        if output.exists() {
            fs::remove_dir_all(&output).map_err(Failure::io("remove", &output))?;
        }
        fs::create_dir_all(&output).map_err(Failure::io("make", &output))?;
        let done = output.join(DONE_BEFORE);
        fs::write(&done, others(all, chosen)).map_err(Failure::io("write", &done))?;
        stage(&format!("mutants: {}", self.name), || {
            let status = shell::show_and_wait(&mut self.command(wanted, tree, &folder))?;
            match status.code() {
                Some(code) if JUDGED.contains(&code) => read(&output),
                _ => Err(Failure::failed(format!(
                    "cargo-mutants ended with {status}"
                ))),
            }
        })
    }

    fn command(&self, wanted: &Mutants, tree: &Path, output: &Path) -> Command {
        let mut command = about(wanted, tree);
        if wanted.jobs == 1 {
            // In the copy itself, with one folder for the builds: nothing is built twice, in this run or the next.
            command
                .arg("--in-place")
                .env("CARGO_TARGET_DIR", paths::target().join("mutants/build"));
        } else {
            command.args(["--jobs", &wanted.jobs.to_string()]);
        }
        command
            .args(["--iterate", "--no-default-features"])
            .args(
                self.tests
                    .split(' ')
                    .map(|test| format!("--cargo-arg={test}")),
            )
            .args(["--minimum-test-timeout", self.limit_seconds])
            .args(["--no-times", "--output"])
            .arg(output)
            .args(["--", "--"])
            .args(self.left_out.iter().map(|part| format!("--skip={part}")))
            .env("PIECEWORK_SEEDS", SEEDS)
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            // A failure is enough: the smallest one takes time to find, and would be kept for the next mutant.
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
        command
    }
}

/// cargo-mutants, with the files of the tree that it is about.
fn about(wanted: &Mutants, tree: &Path) -> Command {
    let mut command = shell::command(program());
    command.args(["mutants", "--package", "piecework", "--colors", "never"]);
    command.arg("--dir").arg(tree);
    match wanted.file.as_slice() {
        [] => command.args(["--file", CODE]),
        files => command.args(files.iter().flat_map(|file| ["--file", file])),
    };
    command
}

/// All but the chosen ones, a line each.
fn others(all: &[&str], chosen: &[&str]) -> String {
    let chosen: BTreeSet<&str> = chosen.iter().copied().collect();
    let others = all.iter().filter(|name| !chosen.contains(*name));
    others.flat_map(|name| [*name, "\n"]).collect()
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
    fn what_is_not_chosen_is_left_out_by_name() {
        let all = ["a.rs:1:2: replace < with <=", "b.rs:3:4: delete !", "c"];
        assert_eq!(others(&all, &all[1..2]), "a.rs:1:2: replace < with <=\nc\n");
    }

    #[test]
    fn what_is_left_out_of_the_quick_pass_is_in_the_thorough_one() {
        let tests = |pass: &Pass| pass.tests.split(' ').collect::<Vec<_>>();
        assert!(
            tests(&QUICK)
                .iter()
                .all(|test| tests(&THOROUGH).contains(test))
        );
        assert!(THOROUGH.left_out.is_empty());
    }

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
