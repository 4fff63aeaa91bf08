//! The second browser that tests and the demo drive. It is driven over its own socket (WebDriver BiDi).

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{browser::Browser, failure::Failure};

/// Tests that start Firefox read its path from this variable.
pub const VARIABLE: &str = "PIECEWORK_FIREFOX";

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
