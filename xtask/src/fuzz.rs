//! `cargo xtask fuzz`: builds the targets of crate/fuzz with libFuzzer and runs each for a while.
//!
//! cargo-fuzz is not needed: the targets are ordinary binaries, built with the compiler flags that cargo-fuzz uses.
//! Those are unstable, so a nightly toolchain builds them, or the present one with `RUSTC_BOOTSTRAP=1`. New inputs stay
//! in `crate/fuzz/target`; only `--minimize` writes to the committed corpora.

mod report;
mod run;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
};

use crate::{
    debian,
    failure::Failure,
    paths, shell,
    stage::{say, stage},
};

/// cargo-fuzz's own flags: coverage counters and traced comparisons for libFuzzer, AddressSanitizer, overflow checks.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    --cfg fuzzing -Zsanitizer=address -Cdebug-assertions";

/// The target of `--quick`,
const QUICK_TARGET: &str = "extensions";
/// and its seconds.
const QUICK_SECONDS: u64 = 3;

/// Runs the fuzz targets of everything that reads foreign bytes, and ends with a table; 1 when something was found
#[derive(clap::Args)]
pub struct Fuzz {
    /// Seconds of fuzzing per target
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u64,
    /// One target for a few seconds, built without optimising: shows that it can be done, and finds little
    #[arg(long, conflicts_with_all = ["seconds", "target", "minimize"])]
    quick: bool,
    /// Run this target alone (may be given more than once)
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Targets that run at once
    #[arg(long, default_value_t = 1, value_name = "N")]
    jobs: usize,
    /// Afterwards keep in crate/fuzz/corpus what reaches code that its named inputs do not, and drop the rest
    #[arg(long)]
    minimize: bool,
}

impl Fuzz {
    /// Builds, runs, reports.
    pub fn run(&self) -> Result<(), Failure> {
        let targets = self.chosen()?;
        let toolchain = Toolchain::find()?;
        let folder = stage("build: fuzz targets", || {
            build(&toolchain, &targets, !self.quick)
        })?;
        let programs: Vec<run::Program> = (targets.iter())
            .map(|target| run::Program::new(target, &folder))
            .collect();
        let rows = stage("fuzz", || self.run_all(&programs))?;
        if self.minimize {
            stage("minimize", || {
                programs.iter().try_for_each(run::Program::minimize)
            })?;
        }
        say(report::table(&rows));
        let mut findings = 0;
        for row in &rows {
            for artifact in &row.findings {
                findings += 1;
                say(report::what_to_do(&row.target, artifact));
            }
        }
        match findings {
            0 => Ok(()),
            count => Err(Failure::failed(format!("fuzzing found {count}; see above"))),
        }
    }

    fn chosen(&self) -> Result<Vec<String>, Failure> {
        let all = targets()?;
        if self.quick {
            return Ok(vec![QUICK_TARGET.to_owned()]);
        }
        if let Some(unknown) = self.target.iter().find(|name| !all.contains(name)) {
            return Err(Failure::failed(format!(
                "there is no fuzz target {unknown}; there are {}",
                all.join(", ")
            )));
        }
        let wanted = |name: &String| self.target.is_empty() || self.target.contains(name);
        Ok(all.into_iter().filter(wanted).collect())
    }

    fn run_all(&self, programs: &[run::Program]) -> Result<Vec<report::Row>, Failure> {
        let seconds = if self.quick {
            QUICK_SECONDS
        } else {
            self.seconds
        };
        let next = Mutex::new(0);
        let rows = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs.clamp(1, programs.len().max(1)))
                .map(|_| {
                    scope.spawn(|| {
                        loop {
                            let index = {
                                let mut next = next
                                    .lock()
                                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                                *next += 1;
                                *next - 1
                            };
                            let Some(program) = programs.get(index) else {
                                return Ok(());
                            };
                            let row = program.fuzz(seconds)?;
                            rows.lock()
                                .unwrap_or_else(std::sync::PoisonError::into_inner)
                                .push((index, row));
                        }
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| {
                (worker.join()).unwrap_or_else(|_| {
                    Err(Failure::failed("a worker of the fuzz command stopped"))
                })
            })
        })?;
        let mut rows = rows
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        rows.sort_by_key(|(index, _)| *index);
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }
}

/// Where the package lies.
fn folder() -> PathBuf {
    paths::root().join("crate/fuzz")
}

/// The binaries of the package, as its manifest names them.
fn targets() -> Result<Vec<String>, Failure> {
    let manifest = folder().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(Failure::io("read", &manifest))?;
    Ok(targets_in(&text))
}

fn targets_in(manifest: &str) -> Vec<String> {
    let names = manifest.split("[[bin]]").skip(1).filter_map(|section| {
        let name = section
            .lines()
            .find_map(|line| line.strip_prefix("name = "))?;
        Some(name.trim_matches('"').to_owned())
    });
    names.collect()
}

/// The toolchain that builds the targets.
struct Toolchain {
    /// Through rustup's nightly; else the present toolchain, told to allow unstable flags.
    nightly: bool,
    triple: String,
}

impl Toolchain {
    fn find() -> Result<Toolchain, Failure> {
        let compilers = ["c++", "g++", "clang++"];
        if !compilers
            .iter()
            .any(|name| shell::find_on_path(name).is_some())
        {
            debian::install(&["g++"], "a C++ compiler, for libFuzzer")?;
        }
        let nightly =
            shell::answer(shell::command("rustup").args(["run", "nightly", "rustc", "-vV"]));
        let (nightly, version) = match nightly {
            Some(version) => (true, version),
            None => {
                let version = shell::answer(shell::command("rustc").arg("-vV"))
                    .ok_or_else(|| Failure::failed("rustc does not run"))?;
                (false, version)
            }
        };
        let line = version.lines().next().unwrap_or_default();
        say(if nightly {
            format!("fuzz targets are built by {line}")
        } else {
            format!("no nightly toolchain: fuzz targets are built by {line} with RUSTC_BOOTSTRAP=1")
        });
        let triple = (version.lines())
            .find_map(|line| line.strip_prefix("host: "))
            .ok_or_else(|| Failure::failed("rustc does not name its host"))?
            .to_owned();
        Ok(Toolchain { nightly, triple })
    }

    fn cargo(&self) -> Command {
        let mut command;
        if self.nightly {
            command = shell::command("rustup");
            command.args(["run", "nightly", "cargo"]);
        } else {
            command = shell::cargo();
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
            .env("RUSTFLAGS", RUSTFLAGS)
            .env("CARGO_TARGET_DIR", folder().join("target"))
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        command
    }
}

/// Builds the targets; gives the folder with their programs. Unoptimised, it leaves out the edges' dependencies, which
/// are most of the work.
fn build(toolchain: &Toolchain, targets: &[String], optimised: bool) -> Result<PathBuf, Failure> {
    let mut command = toolchain.cargo();
    command
        .args(["build", "--locked", "--manifest-path"])
        .arg(folder().join("Cargo.toml"))
        .args(["--target", &toolchain.triple]);
    command.arg(if optimised {
        "--release"
    } else {
        "--no-default-features"
    });
    for name in targets {
        command.args(["--bin", name]);
    }
    shell::run(&mut command)?;
    let profile = if optimised { "release" } else { "debug" };
    Ok(folder()
        .join("target")
        .join(&toolchain.triple)
        .join(profile))
}

/// The files of a folder, by name; none when it is not there.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_of_the_manifest() {
        let manifest = "[package]\nname = \"x\"\n[[bin]]\nname = \"a\"\npath = \"a.rs\"\n\n[[bin]]\nname = \"b\"\n\n[profile.release]\n";
        assert_eq!(targets_in(manifest), ["a", "b"]);
    }

    #[test]
    fn every_target_has_a_corpus() {
        let targets = targets().unwrap();
        assert!(targets.len() > 5);
        for target in targets {
            let corpus = folder().join("corpus").join(&target);
            assert!(!files_in(&corpus).is_empty(), "{}", corpus.display());
        }
    }
}
