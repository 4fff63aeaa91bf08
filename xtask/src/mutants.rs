//! `cargo xtask mutants`: breaks the money code in one small place after the other, and counts the breaks that no test
//! notices.
//!
//! Works on copies: the repository's own files are never changed. Mutants that live are listed. A mutant that is known
//! to live and may (`mutants/accepted.txt`, with the reason) is taken off, and the output says so.

mod accepted;
mod contract;
mod payment;
mod tree;

use std::{fmt, str::FromStr};

use crate::{failure::Failure, stage::say};

use accepted::Accepted;

/// Of a hundred mutants at least this many are killed.
const GOAL_PERCENT: usize = 90;

/// Breaks the payment code (or the contract) in small places, and lists what no test notices; 1 when that is more than
/// one in ten
#[derive(clap::Args)]
#[command(after_help = "\
A whole run takes hours; a sample is the same everywhere, as is a part.

Examples:
  cargo xtask mutants --sample 40
  cargo xtask mutants --file 'crate/src/payment/payer/*'
  cargo xtask mutants --shard 0/8
  cargo xtask mutants --contract --sample 40")]
pub struct Mutants {
    /// The contract, by slither's mutators and forge, instead of crate/src/payment by cargo-mutants
    #[arg(long)]
    contract: bool,
    /// Only the K-th of N parts, which together are all: each N-th mutant, from the K-th on
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    /// Only about N of them, evenly spread
    #[arg(long, value_name = "N", conflicts_with = "shard", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// Only mutants of these files (may be given more than once): globs for the payment code, names of contracts for
    /// the contract
    #[arg(long, value_name = "FILE")]
    file: Vec<String>,
    /// Mutants that are tested at once; each has a copy of the tree (the contract: always 1)
    #[arg(long, default_value_t = 1, value_name = "N")]
    jobs: usize,
}

/// One of `of` parts: every `of`-th mutant, from the `index`-th on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    index: usize,
    of: usize,
}

/// The fate of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// A test failed.
    Killed,
    /// No test did.
    Missed,
    /// A test took far longer than without it: noticed too.
    TimedOut,
    /// It does not compile, and shows nothing about the tests.
    Unviable,
}

/// A mutant: its file, its change, and its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mutant {
    /// `FILE:LINE` or `FILE:LINE:COLUMN`.
    place: String,
    what: String,
    fate: Fate,
}

impl Mutants {
    /// Makes the mutants, tests them, reports.
    pub fn run(&self) -> Result<(), Failure> {
        let mutants = match self.contract {
            true => contract::run(self)?,
            false => payment::run(self)?,
        };
        let verdict = Verdict::of(&mutants, &Accepted::read()?);
        say(&verdict);
        if verdict.meets_goal() {
            Ok(())
        } else {
            Err(Failure::failed(format!(
                "fewer than {GOAL_PERCENT} of 100 were killed"
            )))
        }
    }

    /// The wanted ones of this many mutants.
    fn shard_of(&self, count: usize) -> Shard {
        match (self.shard, self.sample) {
            (Some(shard), _) => shard,
            (None, Some(sample)) => Shard {
                index: 0,
                of: count.div_ceil(sample as usize).max(1),
            },
            (None, None) => Shard { index: 0, of: 1 },
        }
    }
}

impl Shard {
    fn has(self, position: usize) -> bool {
        position % self.of == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(index, of)| {
            Some(Shard {
                index: index.parse().ok()?,
                of: of.parse().ok()?,
            })
        });
        parts
            .filter(|shard| shard.index < shard.of)
            .ok_or_else(|| "is K/N with K below N, such as 0/8".to_owned())
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl Mutant {
    /// Its name in the list of those that may live: without the line, which moves.
    fn name(&self) -> String {
        let file = self.place.split(':').next().unwrap_or_default();
        format!("{file}: {}", self.what)
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// The counts, and the mutants that live.
struct Verdict {
    killed: usize,
    timed_out: usize,
    unviable: usize,
    living: Vec<Mutant>,
    accepted: Vec<(Mutant, String)>,
}

impl Verdict {
    fn of(mutants: &[Mutant], accepted: &Accepted) -> Verdict {
        let count = |fate| mutants.iter().filter(|mutant| mutant.fate == fate).count();
        let missed = mutants.iter().filter(|mutant| mutant.fate == Fate::Missed);
        let (accepted, living) = accepted.split(missed.cloned());
        Verdict {
            killed: count(Fate::Killed),
            timed_out: count(Fate::TimedOut),
            unviable: count(Fate::Unviable),
            living,
            accepted,
        }
    }

    fn noticed(&self) -> usize {
        self.killed + self.timed_out
    }

    fn meets_goal(&self) -> bool {
        let judged = self.noticed() + self.living.len();
        judged > 0 && self.noticed() * 100 >= judged * GOAL_PERCENT
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.accepted.is_empty() {
            writeln!(f, "live, and may:")?;
        }
        for (mutant, reason) in &self.accepted {
            writeln!(f, "  {mutant}\n    {reason}")?;
        }
        if !self.living.is_empty() {
            writeln!(f, "live:")?;
        }
        for mutant in &self.living {
            writeln!(f, "  {mutant}")?;
        }
        let (noticed, living, accepted) = (self.noticed(), self.living.len(), self.accepted.len());
        writeln!(
            f,
            "{} killed, {} timed out, {living} missed, {accepted} missed and accepted, {} do not compile",
            self.killed, self.timed_out, self.unviable
        )?;
        write!(
            f,
            "{} % noticed without the accepted, {} % with them; the goal is {GOAL_PERCENT} %",
            percent(noticed, noticed + living),
            percent(noticed, noticed + living + accepted)
        )
    }
}

fn percent(part: usize, whole: usize) -> String {
    match whole {
        0 => "-".to_owned(),
        _ => format!("{:.1}", part as f64 * 100.0 / whole as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(what: &str, fate: Fate) -> Mutant {
        Mutant {
            place: "a.rs:3:5".to_owned(),
            what: what.to_owned(),
            fate,
        }
    }

    #[test]
    fn nine_in_ten_pass_and_accepted_ones_are_taken_off() {
        let mut mutants = vec![mutant("+ to -", Fate::Killed); 8];
        mutants.push(mutant("< to <=", Fate::TimedOut));
        mutants.push(mutant("- to +", Fate::Unviable));
        mutants.push(mutant("== to !=", Fate::Missed));
        let none = Accepted::default();
        assert!(Verdict::of(&mutants, &none).meets_goal());
        mutants.push(mutant("- to +", Fate::Missed));
        assert!(!Verdict::of(&mutants, &none).meets_goal());
        let one = Accepted::parse("a.rs: - to +\n    nobody can tell\n").unwrap();
        let verdict = Verdict::of(&mutants, &one);
        assert!(verdict.meets_goal());
        assert!(verdict.to_string().contains("nobody can tell"));
    }

    #[test]
    fn nothing_tested_is_no_success() {
        assert!(!Verdict::of(&[], &Accepted::default()).meets_goal());
    }

    #[test]
    fn parts_are_all_of_them_once() {
        let parts: Vec<Shard> = (0..3).map(|index| Shard { index, of: 3 }).collect();
        for position in 0..20 {
            assert_eq!(parts.iter().filter(|part| part.has(position)).count(), 1);
        }
        assert_eq!("1/8".parse(), Ok(Shard { index: 1, of: 8 }));
        assert!("8/8".parse::<Shard>().is_err());
        assert!("0/0".parse::<Shard>().is_err());
    }
}
