//! The browser that tests and the demo drive.

use std::{fs, path::PathBuf, time::Duration};

use crate::{
    debian,
    failure::Failure,
    paths,
    shell::{self, Bounded},
    stage::say,
    stamp::Inputs,
};

/// Tests that start a browser read its path from this variable.
pub const VARIABLE: &str = "PIECEWORK_CHROMIUM";

/// In this order; a system's own `chromium` before Google's build.
const NAMES: &[&str] = &[
    "chromium",
    "google-chrome",
    "google-chrome-stable",
    "chromium-browser",
];
const PACKAGES: &[&str] = &["chromium", "chromium-driver"];
const PROBE_LIMIT: Duration = Duration::from_secs(60);
const PROBE_PAGE: &str =
    "data:text/html,<body><script>document.body.append('rendered ' + 6 * 7)</script>";
const PROBE_ANSWER: &str = "rendered 42";

/// A browser that has rendered a page here; installs Debian's when there is none.
pub fn require() -> Result<PathBuf, Failure> {
    let mut reasons = Vec::new();
    if let Some(browser) = find_working(&mut reasons)? {
        return Ok(browser);
    }
    let why = match reasons.as_slice() {
        [] => "Chromium, to run the page".to_owned(),
        _ => format!("a Chromium that works; here {}", reasons.join("; ")),
    };
    if !debian::is_debian() {
        let line = "install Google Chrome (google.com/chrome); Ubuntu's `chromium` is a snap that cannot use profiles under /tmp";
        return Err(Failure::Missing {
            what: why,
            line: line.to_owned(),
        });
    }
    if PACKAGES.iter().all(|package| debian::has(package)) {
        return Err(Failure::failed(format!(
            "Debian's chromium is installed and does not render a page: {}",
            reasons.join("; ")
        )));
    }
    debian::install(PACKAGES, &why)?;
    find_working(&mut reasons)?.ok_or_else(|| {
        Failure::failed(format!(
            "chromium was installed and does not work: {}",
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

/// Runs it once per version: it must say its version and render a page without a display.
fn probe(path: &PathBuf) -> Result<Result<(), String>, Failure> {
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
        .stamp(paths::memory().join("chromium-works"));
    if stamp.is_current() {
        say(format_args!("browser: {version}"));
        return Ok(Ok(()));
    }
    let profile = paths::memory().join("chromium-probe");
    fs::create_dir_all(&profile).map_err(Failure::io("make", &profile))?;
    let mut command = shell::command(path);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--dump-dom",
    ]);
    command
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(PROBE_PAGE);
    let outcome = match shell::run_bounded(&mut command, PROBE_LIMIT)? {
        Bounded::Exited(_, stdout, _) if stdout.contains(PROBE_ANSWER) => {
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

fn last_line(text: &str) -> &str {
    text.trim().lines().last().unwrap_or("no message")
}
