//! Headings with seconds, so that a long command shows where it is and where its time went.

use std::{cell::RefCell, fmt::Display, io::Write, time::Instant};

use crate::{failure::Failure, heard};

thread_local! {
    static LABEL: RefCell<String> = const { RefCell::new(String::new()) };
}

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

/// Prints a line, after the label of this thread's work; a closed stdout is no reason to stop.
pub fn say(line: impl Display) {
    let label = label();
    let line = line.to_string();
    heard::hear(&label, &line);
    let mut out = std::io::stdout().lock();
    let _ = match label.as_str() {
        "" => writeln!(out, "{line}"),
        label => line
            .trim_start_matches('\n')
            .lines()
            .try_for_each(|line| writeln!(out, "[{label}] {line}")),
    };
    let _ = out.flush();
}

/// Does work whose every line carries its label, because other work is done at the same time.
pub fn labelled<T>(label: &str, work: impl FnOnce() -> T) -> T {
    let before = LABEL.replace(label.to_owned());
    let result = work();
    LABEL.set(before);
    result
}

/// The label before each line of this thread.
pub fn label() -> String {
    LABEL.with_borrow(String::clone)
}
