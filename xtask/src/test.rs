//! `cargo xtask test`: every suite, each counted, none skipped.
//!
//! A suite whose folder is missing, that does not start, or whose count cannot be read has failed. One suite's failure
//! stops no other; a suite whose build failed is not started and counts as one failure. What failed is told again at
//! the end, and the last line is `N passed, N failed`.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use crate::{
    builds,
    check::{Check, Counts, page},
    chromium, commands,
    demo::{self, Demo, Prepared, Videos},
    failure::Failure,
    firefox, heard, interop, node, npm, paths,
    setup::{self, Setup},
    shell, slither,
    stage::{labelled, say, stage},
};

/// Tests of one Rust program that run at once: those of the native peer wait for network and disk for most of their
/// time.
const RUST_TESTS_AT_ONCE: &str = "4";

/// The Node package with the tests behind NATs.
const NAT_FOLDER: &str = "tests/nat";

/// The Node package that installs the tarball, and opens what bundlers make of it.
const PACKED_FOLDER: &str = "tests/packed";

/// Demos that are played through at once: a viewer watches in real time, and waits for most of it.
const DEMOS_AT_ONCE: usize = 2;

/// A suite in Node writes `{"passed": n, "failed": n}` to the file this variable names.
const SUMMARY_VARIABLE: &str = "PIECEWORK_TEST_SUMMARY";

/// Every suite, in the order of running. All are required: this is the one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Suite {
    /// Formatting, clippy, documentation, dependencies, spelling, source rules
    Check,
    /// Unit and integration tests of every Rust package, native pairs and the simulation among them
    Rust,
    /// The contracts, by forge, by ethers and by slither
    Contracts,
    /// The npm package: types, its unit tests, its public surface; the extension's unit tests
    Npm,
    /// The page in Chromium and in Firefox
    Browser,
    /// The package's tarball, installed with each bundler and opened in browsers
    Packed,
    /// Peers behind NATs, with STUN and TURN, in network namespaces
    Nat,
    /// Our peers and server among WebTorrent, libtorrent and bittorrent-tracker
    Interop,
    /// The demo, played through
    Demo,
    /// The README's command lines, in a short form
    Commands,
}

const ALL: [Suite; 10] = [
    Suite::Check,
    Suite::Rust,
    Suite::Contracts,
    Suite::Npm,
    Suite::Browser,
    Suite::Packed,
    Suite::Nat,
    Suite::Interop,
    Suite::Demo,
    Suite::Commands,
];

/// Runs every suite and ends with `N passed, N failed`
#[derive(clap::Args)]
pub struct Test {
    /// Run this suite alone (may be given more than once)
    #[arg(long, value_enum, value_name = "SUITE")]
    only: Vec<Suite>,
}

impl Test {
    /// Runs the suites; fails when anything failed.
    pub fn run(&self) -> Result<(), Failure> {
        let start = Instant::now();
        let suites = ALL
            .into_iter()
            .filter(|suite| self.only.is_empty() || self.only.contains(suite))
            .collect::<Vec<_>>();
        let mut rows = Vec::new();
        let mut total = Counts::default();
        let mut run = |suite: Suite| {
            let begun = Instant::now();
            let counts = suite.run().unwrap_or_else(|failure| {
                say(format_args!("{}: {failure}", suite.name()));
                Counts {
                    passed: 0,
                    failed: 1,
                }
            });
            total.passed += counts.passed;
            total.failed += counts.failed;
            rows.push((suite, counts, begun.elapsed().as_secs_f64()));
        };
        let mut suites = suites.into_iter().peekable();
        if self.only.is_empty() {
            tell(Setup::compilers());
            thread::scope(|scope| {
                scope.spawn(|| labelled("ahead", prepare));
                if let Some(check) = suites.next_if_eq(&Suite::Check) {
                    run(check);
                }
            });
        }
        suites.for_each(run);
        let failed = heard::take();
        if !failed.is_empty() {
            say("\nwhat failed, once more:");
        }
        for line in failed {
            say(format_args!("  {line}"));
        }
        say("");
        for (suite, counts, seconds) in rows {
            say(format_args!(
                "{:<10} {:>6} passed {:>4} failed {seconds:>8.1} s",
                suite.name(),
                counts.passed,
                counts.failed
            ));
        }
        say(format_args!(
            "{:<10} {:>37.1} s",
            "all",
            start.elapsed().as_secs_f64()
        ));
        say(format_args!(
            "{} passed, {} failed",
            total.passed, total.failed
        ));
        if total.failed == 0 && total.passed > 0 {
            Ok(())
        } else {
            Err(Failure::failed("not everything passed"))
        }
    }
}

/// Beside the checks, which only compile, this brings and builds the needs of the other suites, as far as that waits
/// for network or for one core. A failure here fails the suites that need the result, and is named there again.
fn prepare() {
    tell(Setup::others());
    tell(stage("build: contracts", builds::contracts));
    tell(builds::pages_and_extension());
}

fn tell(result: Result<(), Failure>) {
    if let Err(failure) = result {
        say(failure);
    }
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Rust => "rust",
            Self::Contracts => "contracts",
            Self::Npm => "npm",
            Self::Browser => "browser",
            Self::Packed => "packed",
            Self::Nat => "nat",
            Self::Interop => "interop",
            Self::Demo => "demo",
            Self::Commands => "commands",
        }
    }

    fn run(self) -> Result<Counts, Failure> {
        match self {
            Self::Check => Ok(Check::count()),
            Self::Rust => stage("test: rust", rust),
            Self::Contracts => {
                in_node()?;
                stage("build: contracts", builds::contracts)?;
                let mut counts = stage("test: contracts", contracts)?;
                let ethers = stage("test: contracts, by ethers", || {
                    builds::npm_script("contracts", "test:ethers")
                });
                counts.add(ethers);
                counts.add(stage("test: contracts, the committed artifacts", || {
                    builds::npm_script("contracts", "test:artifact")
                }));
                counts.add(stage("test: contracts, by slither", slither::finds_nothing));
                Ok(counts)
            }
            Self::Npm => {
                in_node()?;
                builds::pages()?;
                let checked = page::TYPED.map(|(folder, script)| {
                    stage(&format!("test: {folder}, types"), || {
                        builds::npm_script(folder, script)
                    })
                });
                let mut counts = stage("test: npm", || in_folder("www/npm", &[]))?;
                let extension = stage("test: extension", || in_folder("www/extension", &[]))?;
                counts.passed += extension.passed;
                counts.failed += extension.failed;
                for checked in checked {
                    counts.add(checked);
                }
                Ok(counts)
            }
            Self::Browser => {
                in_node()?;
                let surroundings = browser_surroundings()?;
                stage("test: browser", || {
                    in_folder("tests/browser", &surroundings)
                })
            }
            Self::Packed => {
                in_node()?;
                let mut surroundings = browser_surroundings()?;
                npm::pack()?;
                surroundings.push(("PIECEWORK_TARGET", paths::target()));
                stage("test: packed", || in_folder(PACKED_FOLDER, &surroundings))
            }
            Self::Nat => {
                in_node()?;
                nat()
            }
            Self::Interop => {
                in_node()?;
                let surroundings = interop::surroundings()?;
                stage("test: interop", || {
                    in_folder(interop::FOLDER, &surroundings)
                })
            }
            Self::Demo => demos(),
            Self::Commands => {
                in_node()?;
                commands::run()
            }
        }
    }
}

fn in_node() -> Result<(), Failure> {
    node::require()?;
    node::install_all()
}

fn videos() -> Result<Videos, Failure> {
    stage("build: video", || {
        setup::ffmpeg()?;
        demo::make_videos()
    })
}

/// The builds that browser tests find, and the variables that name their paths.
fn browser_surroundings() -> Result<Vec<(&'static str, PathBuf)>, Failure> {
    let browser = chromium::require()?;
    let firefox = stage("test: firefox", firefox::require)?;
    let driver = stage("test: geckodriver", firefox::require_driver)?;
    stage("build: contracts", builds::contracts)?;
    stage("build: programs", builds::binaries)?;
    builds::pages_and_extension()?;
    stage("test: relay", setup::coturn)?;
    let videos = videos()?;
    let long = stage("build: video of ten minutes", demo::make_long_film)?;
    let segments = stage("build: stream in three levels", demo::make_stream)?;
    Ok(vec![
        (chromium::VARIABLE, browser),
        (firefox::VARIABLE, firefox),
        (firefox::DRIVER_VARIABLE, driver),
        ("PIECEWORK_BINARIES", paths::target().join("debug")),
        ("PIECEWORK_VIDEO", videos.fast_start),
        ("PIECEWORK_VIDEO_INDEX_AT_END", videos.index_at_end),
        ("PIECEWORK_VIDEO_LONG", long),
        ("PIECEWORK_STREAM", segments),
    ])
}

/// Peers behind NATs. A machine that makes no network namespaces says so, except in CI, which must.
fn nat() -> Result<Counts, Failure> {
    stage("test: network namespaces", setup::namespaces)?;
    let forbidden = shell::answer(node::node().arg(format!("{NAT_FOLDER}/able.mjs")))
        .ok_or_else(|| Failure::failed(format!("{NAT_FOLDER}/able.mjs does not run")))?;
    if !forbidden.is_empty() {
        let what = format!("nat: no network namespaces with nftables here: {forbidden}");
        if env::var_os("CI").is_some() {
            return Err(Failure::failed(what));
        }
        say(format_args!("skipped: {what}"));
        return Ok(Counts::default());
    }
    let browser = chromium::require()?;
    stage("build: programs", builds::binaries)?;
    builds::pages()?;
    stage("test: relay", setup::coturn)?;
    let surroundings = [
        (chromium::VARIABLE, browser),
        ("PIECEWORK_BINARIES", paths::target().join("debug")),
    ];
    stage("test: nat", || in_folder(NAT_FOLDER, &surroundings))
}

/// Only tests that want a built contract are ignored, and the contract is there now. Our own tools are tested by
/// themselves: together with them, the programs' dependencies would get other features, and be built once more.
fn rust() -> Result<Counts, Failure> {
    in_node()?;
    stage("build: contracts", builds::contracts)?;
    let mut counts = Counts::default();
    let packages: [&[&str]; 3] = [
        &["--workspace", "--exclude=xtask", "--exclude=xtask-bindgen"],
        &["--package=xtask"],
        &["--package=xtask-bindgen"],
    ];
    for packages in packages {
        let tested = counted(
            shell::cargo()
                .args(["test", "--no-fail-fast"])
                .args(packages)
                .args(["--", "--include-ignored"])
                .args(["--test-threads", RUST_TESTS_AT_ONCE]),
            cargo_counts,
        )?;
        counts.passed += tested.passed;
        counts.failed += tested.failed;
    }
    Ok(counts)
}

/// The play-through with each kind of wallet, with equal prices and for nothing, in each browser and between them.
fn demos() -> Result<Counts, Failure> {
    let prepared = Prepared::for_all()?;
    // They would all make the video at once.
    videos()?;
    let left = Mutex::new(Demo::play_throughs().into_iter());
    let counts = Mutex::new(Counts::default());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..DEMOS_AT_ONCE {
            scope.spawn(|| {
                while let Some((name, demo)) = next() {
                    labelled(name, || {
                        let result = stage(name, || demo.show(&prepared));
                        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                        counts.add(result);
                    });
                }
            });
        }
    });
    Ok(counts.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn contracts() -> Result<Counts, Failure> {
    counted(
        node::npm("contracts").args(["test", "--silent"]),
        forge_counts,
    )
}

/// `npm test` of a folder, which counts in its summary file or prints what `node --test` prints.
fn in_folder(folder: &str, surroundings: &[(&str, PathBuf)]) -> Result<Counts, Failure> {
    if !paths::root().join(folder).join("package.json").is_file() {
        return Err(Failure::failed(format!(
            "the required folder {folder} is missing"
        )));
    }
    let summary = paths::memory().join(format!("summary-{}.json", folder.replace('/', "-")));
    fs::create_dir_all(paths::memory()).map_err(Failure::io("make", &paths::memory()))?;
    if summary.exists() {
        fs::remove_file(&summary).map_err(Failure::io("remove", &summary))?;
    }
    let mut command = node::npm(folder);
    command
        .args(["test", "--silent"])
        .env(SUMMARY_VARIABLE, &summary);
    for (name, value) in surroundings {
        command.env(name, value);
    }
    let (succeeded, mut counts) = tally(&mut command, node_counts)?;
    if let Ok(text) = fs::read_to_string(&summary) {
        counts = summary_counts(&text)
            .ok_or_else(|| Failure::failed(format!("{}: no summary: {text}", summary.display())))?;
    }
    Ok(settle(succeeded, counts))
}

/// Runs a command with its output shown, adding up the counts that `read` finds in its lines.
fn counted(command: &mut Command, read: fn(&str) -> Option<Counts>) -> Result<Counts, Failure> {
    let (succeeded, counts) = tally(command, read)?;
    Ok(settle(succeeded, counts))
}

/// A run that failed without a failed test, or that counted nothing, is itself one failure.
fn settle(succeeded: bool, mut counts: Counts) -> Counts {
    if (!succeeded && counts.failed == 0) || counts == Counts::default() {
        counts.failed += 1;
    }
    counts
}

fn tally(
    command: &mut Command,
    read: fn(&str) -> Option<Counts>,
) -> Result<(bool, Counts), Failure> {
    let line = shell::line_of(command);
    say(format_args!("$ {line}"));
    let failed = |source| Failure::Io {
        what: format!("cannot run `{line}`"),
        source,
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut counts = Counts::default();
    if let Some(stdout) = child.stdout.take() {
        for bytes in BufReader::new(stdout).split(b'\n') {
            let text = String::from_utf8_lossy(&bytes.map_err(failed)?).into_owned();
            say(&text);
            if let Some(found) = read(&text) {
                counts.passed += found.passed;
                counts.failed += found.failed;
            }
        }
    }
    Ok((child.wait().map_err(failed)?.success(), counts))
}

/// `test result: ok. 12 passed; 0 failed; ...`, once per test binary.
fn cargo_counts(line: &str) -> Option<Counts> {
    passed_and_failed(line.strip_prefix("test result: ")?, ';')
}

/// `Suite result: ok. 5 passed; 0 failed; 0 skipped; ...`, once per contract.
fn forge_counts(line: &str) -> Option<Counts> {
    passed_and_failed(line.trim().strip_prefix("Suite result: ")?, ';')
}

/// `# pass 3` and `# fail 0` (TAP), or the same with a sign of the spec reporter.
fn node_counts(line: &str) -> Option<Counts> {
    let (_, rest) = line
        .trim()
        .split_once(' ')
        .filter(|(sign, _)| matches!(*sign, "#" | "\u{2139}"))?;
    let (what, number) = rest.split_once(' ')?;
    let number = number.trim().parse().ok()?;
    match what {
        "pass" => Some(Counts {
            passed: number,
            failed: 0,
        }),
        "fail" => Some(Counts {
            passed: 0,
            failed: number,
        }),
        _ => None,
    }
}

fn passed_and_failed(text: &str, separator: char) -> Option<Counts> {
    let number = |what: &str| {
        let part = text
            .split(separator)
            .find_map(|part| part.trim().strip_suffix(what))?;
        part.split_whitespace().last()?.parse().ok()
    };
    Some(Counts {
        passed: number(" passed")?,
        failed: number(" failed")?,
    })
}

fn summary_counts(text: &str) -> Option<Counts> {
    let summary: serde_json::Value = serde_json::from_str(text).ok()?;
    Some(Counts {
        passed: summary["passed"].as_u64()?,
        failed: summary["failed"].as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tools_counts_are_read() {
        let seven_two = Some(Counts {
            passed: 7,
            failed: 2,
        });
        assert_eq!(
            cargo_counts(
                "test result: FAILED. 7 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s"
            ),
            seven_two
        );
        assert_eq!(cargo_counts("test peer::tests::works ... ok"), None);
        assert_eq!(
            forge_counts("Suite result: FAILED. 7 passed; 2 failed; 0 skipped; finished in 1.2ms"),
            seven_two
        );
        assert_eq!(
            node_counts("# pass 7"),
            Some(Counts {
                passed: 7,
                failed: 0
            })
        );
        assert_eq!(
            node_counts("\u{2139} fail 2"),
            Some(Counts {
                passed: 0,
                failed: 2
            })
        );
        assert_eq!(node_counts("# duration_ms 12"), None);
        assert_eq!(summary_counts("{\"passed\":7,\"failed\":2}"), seven_two);
    }

    #[test]
    fn a_run_that_counts_nothing_or_dies_has_failed() {
        assert_eq!(settle(true, Counts::default()).failed, 1);
        assert_eq!(
            settle(
                false,
                Counts {
                    passed: 3,
                    failed: 0
                }
            )
            .failed,
            1
        );
        assert_eq!(
            settle(
                false,
                Counts {
                    passed: 3,
                    failed: 2
                }
            )
            .failed,
            2
        );
        assert_eq!(
            settle(
                true,
                Counts {
                    passed: 3,
                    failed: 0
                }
            ),
            Counts {
                passed: 3,
                failed: 0
            }
        );
    }
}
