//! The second browser that tests and the demo drive, and geckodriver, through which Selenium drives it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{browser::Browser, cargo_tool, failure::Failure, shell, stage::say};

/// Tests that start Firefox read its path from this variable.
pub const VARIABLE: &str = "PIECEWORK_FIREFOX";

/// As its package on crates.io, its program, and the demo's configuration call it.
pub const DRIVER: &str = "geckodriver";
/// Tests that start Firefox read its driver's path from this variable: nothing is looked for over the network.
pub const DRIVER_VARIABLE: &str = "PIECEWORK_GECKODRIVER";
/// The one that is built here: Debian has no package of it.
const DRIVER_VERSION: &str = "0.37.1";
/// The oldest that knows what tests give it (`--allow-system-access`).
const DRIVER_OLDEST: (u32, u32) = (0, 36);

/// The probe's picture, in its profile; a page that was rendered is longer than this.
const PICTURE: &str = "probe.png";
const PICTURE_BYTES: u64 = 100;

const FIREFOX: Browser = Browser {
    name: "Firefox",
    programs: &["firefox-esr", "firefox"],
    packages: &["firefox-esr"],
    elsewhere: "install Firefox as a package of packages.mozilla.org or from mozilla.org; Ubuntu's `firefox` is a snap, which cannot use profiles under /tmp",
    page: "data:text/html,<title>probe</title><p>rendered",
    limit: Duration::from_secs(120),
    refuse: |path| is_snap(path).then_some("is a snap, which cannot use profiles under /tmp"),
    render: |command, profile| {
        command
            .args(["--headless", "--no-remote", "--profile"])
            .arg(profile)
            .arg("--screenshot")
            .arg(profile.join(PICTURE))
            .arg("--window-size=200,100")
            .env("HOME", profile);
    },
    rendered: |profile, _| {
        fs::metadata(profile.join(PICTURE)).is_ok_and(|found| found.len() > PICTURE_BYTES)
    },
};

/// A Firefox that has rendered a page here; installs Debian's where there is none.
pub fn require() -> Result<PathBuf, Failure> {
    FIREFOX.require()
}

/// A geckodriver that is new enough: one that is installed, or the one that is built from crates.io.
pub fn require_driver() -> Result<PathBuf, Failure> {
    let built = cargo_tool::path(DRIVER);
    let usable = || {
        let installed = shell::find_on_path(DRIVER);
        let mut places = installed.into_iter().chain([built.clone()]);
        places.find_map(|path| {
            let said = shell::answer(shell::command(&path).arg("--version"))?;
            let first = said.lines().next().unwrap_or_default().to_owned();
            (driver_version(&first)? >= DRIVER_OLDEST).then_some((path, first))
        })
    };
    let mut found = usable();
    if found.is_none() {
        cargo_tool::install(DRIVER, DRIVER_VERSION, "to drive Firefox")?;
        found = usable();
    }
    let (path, said) = found.ok_or_else(|| {
        Failure::failed(format!("{DRIVER} was built and does not say its version"))
    })?;
    say(said);
    Ok(path)
}

/// `geckodriver 0.37.1 (...)`.
fn driver_version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.split_whitespace().nth(1)?.split('.');
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drivers_version_is_read_and_compared_by_its_numbers() {
        assert_eq!(
            driver_version("geckodriver 0.37.1 (af0fc4d0 2025)"),
            Some((0, 37))
        );
        assert_eq!(driver_version("geckodriver"), None);
        assert_eq!(driver_version("geckodriver x.y"), None);
        assert!(driver_version("geckodriver 0.9.0") < Some(DRIVER_OLDEST));
        assert!(driver_version(&format!("{DRIVER} {DRIVER_VERSION}")) >= Some(DRIVER_OLDEST));
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
