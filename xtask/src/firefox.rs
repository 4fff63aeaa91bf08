//! The second browser that tests and the demo drive, and the program that drives it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{browser::Browser, cargo_tool, failure::Failure, shell, stage::say};

/// Tests that start Firefox read its path from this variable,
pub const VARIABLE: &str = "PIECEWORK_FIREFOX";
/// and geckodriver's from this one.
pub const DRIVER_VARIABLE: &str = "PIECEWORK_GECKODRIVER";

/// What is built where there is none as new.
const DRIVER_VERSION: &str = "0.37.1";
/// The probe's picture, in its profile; a page that was rendered is longer than this.
const PICTURE: &str = "probe.png";
const PICTURE_BYTES: u64 = 100;

const FIREFOX: Browser = Browser {
    name: "Firefox",
    programs: &["firefox-esr", "firefox"],
    packages: &["firefox-esr"],
    elsewhere: "install Firefox as a package of packages.mozilla.org or from mozilla.org; Ubuntu's `firefox` is a snap, which geckodriver cannot give a profile under /tmp",
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
        browser: FIREFOX.require()?,
        driver: driver()?,
    })
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

/// The one on the `PATH` if it is new enough, else one built into `target/tools`, once.
fn driver() -> Result<PathBuf, Failure> {
    let own = cargo_tool::path("geckodriver");
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
    cargo_tool::install("geckodriver", DRIVER_VERSION, "to drive Firefox")?;
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
