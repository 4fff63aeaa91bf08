//! The lines that name what failed, so that a run of tens of thousands of lines can tell them again at its end.

use std::sync::{Mutex, PoisonError};

/// Lines that are told again; what fails after them is counted only.
const MAX_LINES: usize = 80;
/// Lines after a failed test's name that say why.
const WHY: usize = 2;

static HEARD: Mutex<Heard> = Mutex::new(Heard::new());

/// Takes a printed line.
pub fn hear(label: &str, line: &str) {
    let mut heard = HEARD.lock().unwrap_or_else(PoisonError::into_inner);
    for line in line.lines() {
        heard.line(label, line);
    }
}

/// Takes what was heard, in the order of printing.
pub fn take() -> Vec<String> {
    let mut heard = HEARD.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *heard, Heard::new()).lines
}

struct Heard {
    lines: Vec<String>,
    /// Whose next lines say why, and how many of them.
    why: (String, usize),
}

impl Heard {
    const fn new() -> Self {
        Self {
            lines: Vec::new(),
            why: (String::new(), 0),
        }
    }

    fn line(&mut self, label: &str, line: &str) {
        let why = self.why.1 > 0 && self.why.0 == label && !line.trim().is_empty();
        if names_a_failure(line) {
            self.why = (label.to_owned(), WHY);
        } else if why {
            self.why.1 -= 1;
        } else {
            return;
        }
        if self.lines.len() < MAX_LINES {
            let label = match label {
                "" => String::new(),
                label => format!("[{label}] "),
            };
            self.lines.push(format!("{label}{line}"));
        }
    }
}

/// A failed test of cargo, of its panic, of `node --test`, of our runners and of forge, a stage that failed, and the
/// state in which a play-through failed.
fn names_a_failure(line: &str) -> bool {
    let line = line.trim_start();
    let stage = line.starts_with("== ") && line.contains(": FAILED after ");
    let starts = ["FAILED  ", "state   ", "not ok ", "\u{2716} ", "[FAIL"];
    let panicked = line.starts_with("thread '") && line.contains("panicked at ");
    let cargo = line.starts_with("test ") && line.ends_with(" ... FAILED");
    stage || panicked || cargo || starts.iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tools_failures_are_heard_with_their_reason() {
        let mut heard = Heard::new();
        let printed = [
            "test pair::works ... ok",
            "test pair::breaks ... FAILED",
            "",
            "thread 'pair::breaks' (7) panicked at crate/tests/pair.rs:5:9:",
            "assertion `left == right` failed",
            "  left: 1",
            " right: 2",
            "FAILED  payments/round: the page pays",
            "AssertionError [ERR_ASSERTION]: 1 <= 0",
            "    at redeemed (round.test.mjs:55:10)",
            "ok      payments/other: it works",
            "state   viewer-1: {}",
            "not ok 3 - a name",
            "[FAIL: revert] testSlash() (gas: 7)",
            "== test: npm: FAILED after 3.2 s",
        ];
        for line in printed {
            heard.line("", line);
        }
        let told: Vec<&str> = heard.lines.iter().map(String::as_str).collect();
        let without = [
            "test pair::works ... ok",
            "",
            " right: 2",
            "ok      payments/other: it works",
        ];
        let expected: Vec<&str> = printed
            .into_iter()
            .filter(|line| !without.contains(line))
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn the_reason_is_the_next_line_of_the_same_work() {
        let mut heard = Heard::new();
        heard.line("one", "== one: FAILED after 1.0 s");
        heard.line("two", "== step of two");
        heard.line("one", "the seller is gone");
        assert_eq!(
            heard.lines,
            [
                "[one] == one: FAILED after 1.0 s",
                "[one] the seller is gone"
            ]
        );
    }

    #[test]
    fn what_is_told_again_is_bounded() {
        let mut heard = Heard::new();
        for _ in 0..MAX_LINES + 5 {
            heard.line("", "not ok 1 - a name");
        }
        assert_eq!(heard.lines.len(), MAX_LINES);
    }
}
