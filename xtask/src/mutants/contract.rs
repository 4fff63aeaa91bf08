//! The mutants of the contract: slither gives the place and the change, forge tests each in a copy of the folder.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Fate, Mutant, Mutants};
use crate::{
    failure::Failure,
    node, paths, shell,
    shell::Bounded,
    slither,
    stage::{say, stage},
};

const LISTER: &str = "xtask/src/mutants/contract.py";
const CONTRACTS: [&str; 3] = ["PieceworkVault", "RoyaltyLib", "VoucherLib"];
/// The sources and tests; builds and installed packages stay behind.
const COPIED: [&str; 7] = [
    "bin",
    "foundry.toml",
    "interfaces",
    "libraries",
    "package.json",
    "src",
    "test",
];
/// For the tests without a mutant, on the slowest machine.
const LONGEST: Duration = Duration::from_secs(3_600);
/// A mutant may take this many times as long as no mutant: only one that hangs takes longer.
const TIMES: u32 = 5;

/// A change of one file: these bytes are replaced.
struct Patch {
    file: String,
    start: usize,
    end: usize,
    replacement: String,
    place: String,
    what: String,
}

/// Tests the wanted mutants.
pub fn run(wanted: &Mutants) -> Result<Vec<Mutant>, Failure> {
    node::require()?;
    node::install("contracts")?;
    let slither = stage("mutants: slither", slither::require)?;
    let folder = stage("mutants: copy", copy)?;
    let patches = stage("mutants: list", || list(&folder, &slither, &wanted.file))?;
    let shard = wanted.shard_of(patches.len());
    say(format_args!("{} mutants, of which {shard}", patches.len()));
    let limit = stage("mutants: without any", || {
        let start = Instant::now();
        match test(&folder, LONGEST)? {
            Fate::Missed => Ok(start.elapsed() * TIMES),
            _ => Err(Failure::failed(
                "the contract's tests fail without a mutant",
            )),
        }
    })?;
    let chosen = patches.iter().enumerate();
    let chosen = chosen.filter(|(position, _)| shard.has(*position));
    stage("mutants: test", || {
        chosen
            .map(|(_, patch)| patch.test(&folder, limit))
            .collect()
    })
}

/// A copy of the folder, as the tests want it: the shared vectors lie beside it.
fn copy() -> Result<PathBuf, Failure> {
    let place = paths::target().join("mutants/contract");
    if place.exists() {
        fs::remove_dir_all(&place).map_err(Failure::io("remove", &place))?;
    }
    let (folder, tests) = (place.join("contracts"), place.join("tests"));
    for made in [&folder, &tests] {
        fs::create_dir_all(made).map_err(Failure::io("make", made))?;
    }
    let original = paths::root().join("contracts");
    let mut command = shell::command("cp");
    command
        .arg("-R")
        .args(COPIED.map(|name| original.join(name)));
    shell::run(command.arg(&folder))?;
    for (from, to) in [
        (original.join("node_modules"), folder.join("node_modules")),
        (paths::root().join("tests/vectors"), tests.join("vectors")),
    ] {
        symlink(&from, &to).map_err(Failure::io("link", &from))?;
    }
    Ok(folder)
}

/// Everything that slither would change.
fn list(folder: &Path, slither: &Path, contracts: &[String]) -> Result<Vec<Patch>, Failure> {
    let mut command = in_folder(folder, "python3");
    command
        .arg(paths::root().join(LISTER))
        .env("PYTHONPATH", slither);
    match contracts {
        [] => command.args(CONTRACTS),
        some => command.args(some),
    };
    let text =
        shell::answer(&mut command).ok_or_else(|| Failure::failed("slither lists no mutants"))?;
    let read = |line: &str| {
        serde_json::from_str(line)
            .ok()
            .and_then(|value| Patch::read(&value))
            .ok_or_else(|| Failure::failed(format!("not a mutant: {line}")))
    };
    text.lines().map(read).collect()
}

/// The result of the folder as it stands.
fn test(folder: &Path, limit: Duration) -> Result<Fate, Failure> {
    let mut command = in_folder(folder, "forge");
    command
        .args(["test", "--offline", "--fail-fast", "--no-match-path"])
        .arg("test/Gas.t.sol")
        // Fewer runs than in the test command, which so notices at least as much.
        .envs([("FOUNDRY_FUZZ_RUNS", "32"), ("FOUNDRY_INVARIANT_RUNS", "4")]);
    Ok(match shell::run_bounded(&mut command, limit)? {
        Bounded::TimedOut => Fate::TimedOut,
        Bounded::Exited(status, ..) if status.success() => Fate::Missed,
        Bounded::Exited(_, out, err) => match (out + &err).contains("Compiler run failed") {
            true => Fate::Unviable,
            false => Fate::Killed,
        },
    })
}

/// A program that finds the folder's own forge.
fn in_folder(folder: &Path, program: &str) -> Command {
    let rest = env::var_os("PATH").unwrap_or_default();
    let own = folder.join("node_modules/.bin");
    let folders = std::iter::once(own).chain(env::split_paths(&rest));
    let mut command = shell::command(program);
    command.current_dir(folder);
    if let Ok(path) = env::join_paths(folders) {
        command.env("PATH", path);
    }
    command
}

impl Patch {
    fn read(value: &Value) -> Option<Patch> {
        let text = |name: &str| value[name].as_str().map(ToOwned::to_owned);
        let number = |name: &str| value[name].as_u64()?.try_into().ok();
        let file = text("file")?;
        let (old, new) = (text("old_string")?, text("new_string")?);
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(Patch {
            start: number("start")?,
            end: number("end")?,
            place: format!("{file}:{}", number("line_number")?),
            what: format!(
                "{}: {} ==> {}",
                text("how")?,
                one_line(&old),
                one_line(&new)
            ),
            replacement: new,
            file,
        })
    }

    /// Changes the file, tests, and changes it back.
    fn test(&self, folder: &Path, limit: Duration) -> Result<Mutant, Failure> {
        let path = folder.join(&self.file);
        let source = fs::read(&path).map_err(Failure::io("read", &path))?;
        let (Some(head), Some(tail)) = (source.get(..self.start), source.get(self.end..)) else {
            return Err(Failure::failed(format!("{} ends before", self.place)));
        };
        let mutated = [head, self.replacement.as_bytes(), tail].concat();
        fs::write(&path, mutated).map_err(Failure::io("write", &path))?;
        let fate = test(folder, limit);
        fs::write(&path, source).map_err(Failure::io("write", &path))?;
        let mutant = Mutant {
            place: self.place.clone(),
            what: self.what.clone(),
            fate: fate?,
        };
        say(format_args!("{:?} {mutant}", mutant.fate));
        Ok(mutant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_of_slither_is_read() {
        let line = r#"{"file": "src/A.sol", "how": "ROR", "start": 5, "end": 9, "old_string": "a <\n b", "new_string": "a > b", "line_number": 47}"#;
        let patch = Patch::read(&serde_json::from_str(line).unwrap()).unwrap();
        assert_eq!(patch.place, "src/A.sol:47");
        assert_eq!(patch.what, "ROR: a < b ==> a > b");
        assert!(Patch::read(&serde_json::json!({"file": "src/A.sol"})).is_none());
    }
}
