//! Debian packages: those that are there, and the installation of the rest when we may.

use std::{
    env, fs,
    sync::{Mutex, PoisonError},
};

use crate::{failure::Failure, shell, stage::say};

/// One installation at a time: apt refuses a second, and the checks run beside what prepares the other suites.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Whether this is Debian itself; Ubuntu's packages of the same name differ (its `chromium` is a snap).
pub fn is_debian() -> bool {
    fs::read_to_string("/etc/os-release")
        .is_ok_and(|text| text.lines().any(|line| line == "ID=debian"))
}

/// Whether a package is installed.
pub fn has(package: &str) -> bool {
    shell::answer(shell::command("dpkg-query").args([
        "--show",
        "--showformat=${db:Status-Status}",
        package,
    ]))
    .as_deref()
        == Some("installed")
}

/// Installs the missing packages; without root, or elsewhere, names the line that does it.
pub fn install(packages: &[&str], why: &str) -> Result<(), Failure> {
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if packages.iter().all(|package| has(package)) {
        return Ok(());
    }
    let missing = packages
        .iter()
        .filter(|package| !has(package))
        .copied()
        .collect::<Vec<_>>()
        .join(" ");
    let line = format!(
        "sudo apt-get update && sudo apt-get install --yes --no-install-recommends {missing}"
    );
    if !is_debian() {
        let what = format!(
            "{why} (on Debian: the packages {missing}; this system is not Debian, its own packages may have other names)"
        );
        return Err(Failure::Missing { what, line });
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::Missing {
            what: format!("{why}, and installing packages needs root"),
            line,
        });
    }
    say(format_args!("installing {missing} ({why})"));
    let mut words = vec!["install", "--yes", "--no-install-recommends"];
    words.extend(packages);
    apt(&["update"])
        .and_then(|()| apt(&words))
        .map_err(|failure| Failure::Missing {
            what: format!("{why}; {failure}"),
            line,
        })
}

fn apt(words: &[&str]) -> Result<(), Failure> {
    let mut command = shell::command("apt-get");
    // A closed network is refused within seconds instead of waited for.
    command.args([
        "-qq",
        "-o",
        "Acquire::Retries=1",
        "-o",
        "Acquire::http::Timeout=20",
        "-o",
        "Acquire::https::Timeout=20",
    ]);
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
    if env::var_os("LANG").is_none() {
        command.env("LC_ALL", "C.UTF-8");
    }
    shell::run(&mut command)
}
