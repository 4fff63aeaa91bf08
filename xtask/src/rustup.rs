//! rustup brings toolchains and components: bounded in time, and a refusal is remembered, not asked for at every run.

use std::time::Duration;

use crate::{
    failure::Failure,
    shell::{self, Bounded},
    stage::say,
    stamp::Stamp,
};

/// How long a download by rustup may take before another way is taken.
const LIMIT: Duration = Duration::from_secs(60);

/// True when rustup did what these words ask for. A refusal sets the stamp, and is no failure.
pub fn bring(name: &str, words: &[&str], refused: &Stamp) -> Result<bool, Failure> {
    if shell::find_on_path("rustup").is_none() {
        say(format_args!(
            "rustup is not installed, which would bring {name}"
        ));
        return Ok(false);
    }
    say(format_args!(
        "$ rustup {}   (at most {} s)",
        words.join(" "),
        LIMIT.as_secs()
    ));
    let mut command = shell::command("rustup");
    command.args(words).env("RUSTUP_MAX_RETRIES", "0");
    let reason = match shell::run_bounded(&mut command, LIMIT)? {
        Bounded::Exited(status, _, _) if status.success() => {
            refused.clear();
            return Ok(true);
        }
        Bounded::Exited(_, _, stderr) => stderr
            .lines()
            .find(|line| line.contains("error"))
            .unwrap_or("no reason given")
            .to_owned(),
        Bounded::TimedOut => "no answer in time".to_owned(),
    };
    say(format_args!("rustup could not bring it: {reason}"));
    refused.set()?;
    Ok(false)
}
