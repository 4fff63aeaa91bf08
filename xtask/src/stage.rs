//! Headings with seconds, so that a long command shows where it is and where its time went.

use std::{fmt::Display, io::Write, time::Instant};

use crate::failure::Failure;

/// Runs one stage under a heading and prints its seconds.
pub fn stage<T>(name: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    say(format_args!("\n== {name}"));
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    match &result {
        Ok(_) => say(format_args!("== {name}: {seconds:.1} s")),
        Err(_) => say(format_args!("== {name}: FAILED after {seconds:.1} s")),
    }
    result
}

/// Prints a line; a closed stdout is no reason to stop.
pub fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}
