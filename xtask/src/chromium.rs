//! The browser that tests and the demo drive.

use std::{path::PathBuf, time::Duration};

use crate::{browser::Browser, failure::Failure};

/// Tests that start a browser read its path from this variable.
pub const VARIABLE: &str = "PIECEWORK_CHROMIUM";

const PROBE_ANSWER: &str = "rendered 42";

const CHROMIUM: Browser = Browser {
    name: "Chromium",
    // A system's own before Google's build.
    programs: &[
        "chromium",
        "google-chrome",
        "google-chrome-stable",
        "chromium-browser",
    ],
    packages: &["chromium", "chromium-driver"],
    elsewhere: "install Google Chrome (google.com/chrome); \
                Ubuntu's `chromium` is a snap that cannot use profiles under /tmp",
    page: "data:text/html,<body><script>document.body.append('rendered ' + 6 * 7)</script>",
    limit: Duration::from_secs(60),
    refuse: |_| None,
    render: |command, profile| {
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--dump-dom",
            ])
            .arg(format!("--user-data-dir={}", profile.display()));
    },
    rendered: |_, stdout| stdout.contains(PROBE_ANSWER),
};

/// A Chromium that has rendered a page here; installs Debian's when there is none.
pub fn require() -> Result<PathBuf, Failure> {
    CHROMIUM.require()
}
