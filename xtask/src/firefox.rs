//! The second browser that tests and the demo drive, and the program that drives it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    debian,
    failure::Failure,
    paths,
    shell::{self, Bounded},
    stage::say,
    stamp::Inputs,
};

/// Tests that start Firefox read its path from this variable,
pub const VARIABLE: &str = "PIECEWORK_FIREFOX";
/// and geckodriver's from this one.
pub const DRIVER_VARIABLE: &str = "PIECEWORK_GECKODRIVER";

/// In this order; Debian's name first.
const NAMES: &[&str] = &["firefox-esr", "firefox"];
const PACKAGES: &[&str] = &["firefox-esr"];
/// What is built where there is none as new.
const DRIVER_VERSION: &str = "0.37.1";
const PROBE_LIMIT: Duration = Duration::from_secs(120);
const PROBE_PAGE: &str = "data:text/html,<title>probe</title><p>rendered";
/// A picture of the probe's size is longer than this.
const PROBE_PICTURE_BYTES: u64 = 100;

/// A Firefox, and the geckodriver that drives it.
pub struct Firefox {
    /// The browser.
    pub browser: PathBuf,
    /// geckodriver.
    pub driver: PathBuf,
}

/// A Firefox that has rendered a page here and a geckodriver; installs Debian's Firefox, and builds geckodriver, where there is none.
pub fn require() -> Result<Firefox, Failure> {
    Ok(Firefox {
        browser: browser()?,
        driver: driver()?,
    })
}

fn browser() -> Result<PathBuf, Failure> {
    let mut reasons = Vec::new();
    if let Some(path) = find_working(&mut reasons)? {
        return Ok(path);
    }
    let why = match reasons.as_slice() {
        [] => "Firefox, to run the page".to_owned(),
        _ => format!("a Firefox that works; here {}", reasons.join("; ")),
    };
    if !debian::is_debian() {
        let line = "install Firefox as a package of packages.mozilla.org or from mozilla.org; Ubuntu's `firefox` is a snap, which geckodriver cannot give a profile under /tmp";
        return Err(Failure::Missing {
            what: why,
            line: line.to_owned(),
        });
    }
    if PACKAGES.iter().all(|package| debian::has(package)) {
        return Err(Failure::failed(format!(
            "Debian's firefox-esr is installed and does not render a page: {}",
            reasons.join("; ")
        )));
    }
    debian::install(PACKAGES, &why)?;
    find_working(&mut reasons)?.ok_or_else(|| {
        Failure::failed(format!(
            "firefox-esr was installed and does not work: {}",
            reasons.join("; ")
        ))
    })
}

fn find_working(reasons: &mut Vec<String>) -> Result<Option<PathBuf>, Failure> {
    for path in NAMES.iter().filter_map(|name| shell::find_on_path(name)) {
        match probe(&path)? {
            Ok(()) => return Ok(Some(path)),
            Err(reason) => reasons.push(format!("{}: {reason}", path.display())),
        }
    }
    Ok(None)
}

/// Ubuntu's `/usr/bin/firefox` is a script that starts the snap.
fn is_snap(path: &Path) -> bool {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    target.starts_with("/snap")
        || fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"#!") && contains(&bytes, b"/snap/"))
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// Runs it once per version: it must say its version and render a page without a display.
fn probe(path: &Path) -> Result<Result<(), String>, Failure> {
    if is_snap(path) {
        return Ok(Err(
            "is a snap, which cannot use profiles under /tmp".to_owned()
        ));
    }
    let version = match shell::run_bounded(shell::command(path).arg("--version"), PROBE_LIMIT)? {
        Bounded::Exited(status, stdout, _) if status.success() => stdout.trim().to_owned(),
        Bounded::Exited(status, _, stderr) => {
            return Ok(Err(format!("--version: {status}: {}", last_line(&stderr))));
        }
        Bounded::TimedOut => return Ok(Err("--version does not return".to_owned())),
    };
    let stamp = Inputs::default()
        .word(&path.to_string_lossy())
        .word(&version)
        .word(PROBE_PAGE)
        .stamp(paths::memory().join("firefox-works"));
    if stamp.is_current() {
        say(format_args!("browser: {version}"));
        return Ok(Ok(()));
    }
    let profile = paths::memory().join("firefox-probe");
    // What an interrupted probe left would be taken for a running Firefox.
    let _ = fs::remove_dir_all(&profile);
    fs::create_dir_all(&profile).map_err(Failure::io("make", &profile))?;
    let picture = profile.join("probe.png");
    let mut command = shell::command(path);
    command
        .args(["--headless", "--no-remote", "--profile"])
        .arg(&profile)
        .arg("--screenshot")
        .arg(&picture)
        .arg("--window-size=200,100")
        .arg(PROBE_PAGE)
        .env("HOME", &profile);
    let outcome = match shell::run_bounded(&mut command, PROBE_LIMIT)? {
        Bounded::Exited(..)
            if fs::metadata(&picture).is_ok_and(|found| found.len() > PROBE_PICTURE_BYTES) =>
        {
            stamp.set()?;
            say(format_args!("browser: {version}, renders a page"));
            Ok(())
        }
        Bounded::Exited(status, _, stderr) => Err(format!(
            "did not render a page ({status}: {})",
            last_line(&stderr)
        )),
        Bounded::TimedOut => Err(format!(
            "did not render a page within {} s",
            PROBE_LIMIT.as_secs()
        )),
    };
    // The profile was needed for the probe only; what is left of it disturbs nobody.
    let _ = fs::remove_dir_all(&profile);
    Ok(outcome)
}

/// The one on the `PATH` if it is new enough, else one built into `target/tools`, once.
fn driver() -> Result<PathBuf, Failure> {
    let tools = paths::target().join("tools");
    let own = tools.join("bin/geckodriver");
    let found = shell::find_on_path("geckodriver");
    for path in found.iter().chain([&own]) {
        if let Some(version) = driver_version(path).filter(|version| is_new_enough(version)) {
            say(format_args!(
                "geckodriver {version} ({})",
                shell::line_of(&shell::command(path))
            ));
            return Ok(path.clone());
        }
    }
    say("building geckodriver, to drive Firefox: a few minutes, once");
    // Its own target directory, beside ours: it is no package of this workspace. Unoptimised it is as quick for us, and built sooner.
    let build = tools.join("build");
    let built = shell::run(
        shell::cargo()
            .args(["install", "--locked", "--debug", "--force", "--root"])
            .arg(&tools)
            .arg(format!("geckodriver@{DRIVER_VERSION}"))
            .env("CARGO_TARGET_DIR", &build),
    );
    let _ = fs::remove_dir_all(&build); // half a gigabyte that nobody needs again
    built.map_err(|failure| Failure::Missing {
        what: format!("geckodriver, to drive Firefox; {failure}"),
        line: format!("cargo install geckodriver@{DRIVER_VERSION} --locked"),
    })?;
    match driver_version(&own) {
        Some(version) => {
            say(format_args!("geckodriver {version}"));
            Ok(own)
        }
        None => Err(Failure::failed(
            "geckodriver was built and does not say its version",
        )),
    }
}

/// `geckodriver 0.37.1 ( ... )`
fn driver_version(path: &Path) -> Option<String> {
    let text = shell::answer(shell::command(path).arg("--version"))?;
    let word = text.strip_prefix("geckodriver ")?.split_whitespace().next();
    word.map(ToOwned::to_owned)
}

fn is_new_enough(version: &str) -> bool {
    numbers(version) >= numbers(DRIVER_VERSION)
}

fn numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect()
}

fn last_line(text: &str) -> &str {
    text.trim().lines().last().unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_geckodriver_is_not_taken() {
        assert!(is_new_enough(DRIVER_VERSION));
        assert!(is_new_enough("0.40.1"));
        assert!(is_new_enough("1.0.0"));
        assert!(!is_new_enough("0.35.9"));
        assert!(!is_new_enough("unknown"));
    }

    #[test]
    fn a_script_that_starts_a_snap_is_recognized() {
        let folder = std::env::temp_dir().join(format!("piecework-snap-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (snap, plain) = (folder.join("snap"), folder.join("plain"));
        fs::write(&snap, "#!/bin/sh\nexec /snap/bin/firefox \"$@\"\n").unwrap();
        fs::write(&plain, "#!/bin/sh\nexec firefox-esr \"$@\"\n").unwrap();
        assert!(is_snap(&snap));
        assert!(!is_snap(&plain));
        fs::remove_dir_all(&folder).unwrap();
    }
}
