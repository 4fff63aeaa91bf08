//! A browser that tests and the demo drive: found, tried once per version, and installed where Debian has it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
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

/// One kind of browser.
pub struct Browser {
    /// Its usual name.
    pub name: &'static str,
    /// Programs, the preferred one first.
    pub programs: &'static [&'static str],
    /// Debian's packages, the browser's own first.
    pub packages: &'static [&'static str],
    /// The way to install it where there is no Debian.
    pub elsewhere: &'static str,
    /// The page that it is to render.
    pub page: &'static str,
    /// Far more time than that takes.
    pub limit: Duration,
    /// The reason why this program will not do, if that shows without running it.
    pub refuse: fn(&Path) -> Option<&'static str>,
    /// Renders the page without a display, in a profile of its own.
    pub render: fn(&mut Command, &Path),
    /// Whether it did, by that profile's folder and by its output.
    pub rendered: fn(&Path, &str) -> bool,
}

impl Browser {
    /// One that has rendered a page here; installs Debian's when there is none.
    pub fn require(&self) -> Result<PathBuf, Failure> {
        let mut reasons = Vec::new();
        if let Some(path) = self.find_working(&mut reasons)? {
            return Ok(path);
        }
        let what = match reasons.as_slice() {
            [] => format!("{}, to run the page", self.name),
            _ => format!("a {} that works; here {}", self.name, reasons.join("; ")),
        };
        if !debian::is_debian() {
            let line = self.elsewhere.to_owned();
            return Err(Failure::Missing { what, line });
        }
        let package = self.packages.first().copied().unwrap_or_default();
        if self.packages.iter().all(|package| debian::has(package)) {
            return Err(Failure::failed(format!(
                "Debian's {package} is installed and does not render a page: {}",
                reasons.join("; ")
            )));
        }
        debian::install(self.packages, &what)?;
        self.find_working(&mut reasons)?.ok_or_else(|| {
            Failure::failed(format!(
                "{package} was installed and does not work: {}",
                reasons.join("; ")
            ))
        })
    }

    fn find_working(&self, reasons: &mut Vec<String>) -> Result<Option<PathBuf>, Failure> {
        for path in self
            .programs
            .iter()
            .filter_map(|name| shell::find_on_path(name))
        {
            match self.probe(&path)? {
                Ok(()) => return Ok(Some(path)),
                Err(reason) => reasons.push(format!("{}: {reason}", path.display())),
            }
        }
        Ok(None)
    }

    /// Runs it once per version: it must say its version and render a page without a display.
    fn probe(&self, path: &Path) -> Result<Result<(), String>, Failure> {
        if let Some(reason) = (self.refuse)(path) {
            return Ok(Err(reason.to_owned()));
        }
        let asked = shell::run_bounded(shell::command(path).arg("--version"), self.limit)?;
        let version = match asked {
            Bounded::Exited(status, stdout, _) if status.success() => stdout.trim().to_owned(),
            Bounded::Exited(status, _, stderr) => {
                return Ok(Err(format!("--version: {status}: {}", last_line(&stderr))));
            }
            Bounded::TimedOut => return Ok(Err("--version does not return".to_owned())),
        };
        let name = self.name.to_lowercase();
        let stamp = Inputs::default()
            .word(&path.to_string_lossy())
            .word(&version)
            .word(self.page)
            .stamp(paths::memory().join(format!("{name}-works")));
        if stamp.is_current() {
            say(format_args!("browser: {version}"));
            return Ok(Ok(()));
        }
        let profile = paths::memory().join(format!("{name}-probe"));
        // The leftovers of an interrupted probe would be taken for a running browser.
        let _ = fs::remove_dir_all(&profile);
        fs::create_dir_all(&profile).map_err(Failure::io("make", &profile))?;
        let mut command = shell::command(path);
        (self.render)(&mut command, &profile);
        command.arg(self.page);
        let outcome = match shell::run_bounded(&mut command, self.limit)? {
            Bounded::Exited(_, stdout, _) if (self.rendered)(&profile, &stdout) => {
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
                self.limit.as_secs()
            )),
        };
        // The profile was needed for the probe only; its remains disturb nobody.
        let _ = fs::remove_dir_all(&profile);
        Ok(outcome)
    }
}

fn last_line(text: &str) -> &str {
    text.trim().lines().last().unwrap_or("no message")
}
