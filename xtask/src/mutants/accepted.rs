//! The mutants that may live, each with its reason.

use std::fs;

use super::Mutant;
use crate::{failure::Failure, paths};

const LIST: &str = "xtask/src/mutants/accepted.txt";

/// The entries of the committed list, in its order.
#[derive(Debug, Default)]
pub struct Accepted(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    reason: String,
}

impl Accepted {
    /// The committed list.
    pub fn read() -> Result<Accepted, Failure> {
        let path = paths::root().join(LIST);
        let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
        Accepted::parse(&text).map_err(|why| Failure::failed(format!("{LIST}: {why}")))
    }

    /// A name at the margin, its reason indented below it.
    pub fn parse(text: &str) -> Result<Accepted, String> {
        let mut entries: Vec<Entry> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match (line.trim(), line.starts_with(' '), entries.last_mut()) {
                ("", ..) => {}
                (reason, true, Some(entry)) if entry.reason.is_empty() => {
                    reason.clone_into(&mut entry.reason);
                }
                (reason, true, Some(entry)) => entry.reason.extend([" ", reason]),
                (reason, true, None) => return Err(format!("no mutant before `{reason}`")),
                (name, false, _) => entries.push(Entry {
                    name: name.to_owned(),
                    reason: String::new(),
                }),
            }
        }
        match entries.iter().find(|entry| entry.reason.is_empty()) {
            Some(entry) => Err(format!("no reason for `{}`", entry.name)),
            None => Ok(Accepted(entries)),
        }
    }

    /// Those that may live, with the reason, and the others. An entry stands for one mutant.
    pub fn split(
        &self,
        living: impl Iterator<Item = Mutant>,
    ) -> (Vec<(Mutant, String)>, Vec<Mutant>) {
        let mut entries = self.0.clone();
        let (mut accepted, mut others) = (Vec::new(), Vec::new());
        for mutant in living {
            let name = mutant.name();
            match entries.iter().position(|entry| entry.name == name) {
                Some(at) => accepted.push((mutant, entries.swap_remove(at).reason)),
                None => others.push(mutant),
            }
        }
        (accepted, others)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Fate, *};

    #[test]
    fn the_committed_list_can_be_read() {
        Accepted::read().unwrap();
    }

    #[test]
    fn one_entry_accepts_one_mutant() {
        let text = "# why\n\na.rs: x\n    because of this\n    and that\n";
        let list = Accepted::parse(text).unwrap();
        let mutant = |line: u32| Mutant {
            place: format!("a.rs:{line}:1"),
            what: "x".to_owned(),
            fate: Fate::Missed,
        };
        let (accepted, others) = list.split([mutant(1), mutant(9)].into_iter());
        assert_eq!(
            accepted,
            [(mutant(1), "because of this and that".to_owned())]
        );
        assert_eq!(others, [mutant(9)]);
    }

    #[test]
    fn a_mutant_without_a_reason_is_refused() {
        assert!(Accepted::parse("a.rs: x\nb.rs: y\n  why\n").is_err());
        assert!(Accepted::parse("  why\n").is_err());
    }
}
