//! The lines of the browser's half: one JSON object a line.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

use crate::failure::Failure;

use super::statistics::Spread;

/// Everything one run measured.
pub struct Results {
    lines: Vec<Value>,
}

impl Results {
    /// Reads the file; a line that an interruption cut is left out.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(Failure::io("read", path))?;
        Ok(Self::parse(&text))
    }

    /// Reads the lines.
    pub fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        Self {
            lines: lines.collect(),
        }
    }

    /// The results of one kind, in the order they were measured.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["kind"] == kind)
    }

    /// All of them.
    pub fn all(&self) -> &[Value] {
        &self.lines
    }

    /// A number of one contestant in results of one kind, by round.
    pub fn by_round(&self, kind: &str, contestant: &str, field: &str) -> BTreeMap<u64, f64> {
        self.of_kind(kind)
            .filter(|line| line["contestant"] == contestant)
            .filter_map(|line| Some((line["round"].as_u64()?, line[field].as_f64()?)))
            .collect()
    }

    /// A number of one contestant over all rounds.
    pub fn spread(&self, kind: &str, contestant: &str, field: &str) -> Option<Spread> {
        Spread::of(self.by_round(kind, contestant, field).into_values())
    }

    /// The ratios of two contestants, round by round.
    pub fn ratios(&self, kind: &str, field: &str, one: &str, other: &str) -> Vec<f64> {
        let others = self.by_round(kind, other, field);
        let ones = self.by_round(kind, one, field).into_iter();
        let pairs = ones.filter_map(|(round, value)| Some((value, *others.get(&round)?)));
        pairs
            .map(|(value, other)| value / other)
            .filter(|ratio| ratio.is_finite())
            .collect()
    }

    /// Their middle and spread.
    pub fn ratio(&self, kind: &str, field: &str, one: &str, other: &str) -> Option<Spread> {
        Spread::of(self.ratios(kind, field, one, other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_pair_by_pair_not_of_medians() {
        // The machine was ten times slower in the second round; the ratio is the same in both.
        let rounds = [(20.0, 10.0), (2.0, 1.0), (9.0, 3.0), (1.0, 0.0)];
        let lines = rounds.iter().enumerate().map(|(round, (one, other))| {
            format!(
                "{{\"kind\":\"x\",\"contestant\":\"a\",\"round\":{round},\"v\":{one}}}\n{{\"kind\":\"x\",\"contestant\":\"b\",\"round\":{round},\"v\":{other}}}\n"
            )
        });
        let results = Results::parse(&lines.collect::<String>());
        assert_eq!(results.ratios("x", "v", "a", "b"), [2.0, 2.0, 3.0]);
        assert_eq!(results.ratio("x", "v", "a", "b").unwrap().median, 2.0);
    }

    #[test]
    fn only_rounds_in_which_both_ran_are_pairs() {
        let results = Results::parse(
            "{\"kind\":\"transfer\",\"contestant\":\"free\",\"round\":0,\"mbPerSecond\":20.0}\n\
             {\"kind\":\"transfer\",\"contestant\":\"raw\",\"round\":0,\"mbPerSecond\":10.0}\n\
             {\"kind\":\"transfer\",\"contestant\":\"free\",\"round\":1,\"mbPerSecond\":90.0}\n\
             {\"kind\":\"transfer\",\"contestant\":\"raw\",\"rou",
        );
        let ratio = results
            .ratio("transfer", "mbPerSecond", "free", "raw")
            .unwrap();
        assert_eq!((ratio.median, ratio.count), (2.0, 1));
        assert_eq!(
            results
                .spread("transfer", "free", "mbPerSecond")
                .unwrap()
                .count,
            2
        );
        assert_eq!(
            results.ratio("transfer", "mbPerSecond", "free", "nobody"),
            None
        );
    }
}
