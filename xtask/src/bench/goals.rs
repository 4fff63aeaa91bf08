//! The goals, and the measurement beside each. A missed goal is reported, and is no failure.

use serde_json::{Value, json};

use super::{statistics::Spread, table::Table};

/// The kind of a bound.
#[derive(Clone, Copy)]
pub enum Bound {
    /// No less than this.
    AtLeast(f64),
    /// No more than this.
    AtMost(f64),
}

impl Bound {
    /// The number.
    pub fn value(self) -> f64 {
        match self {
            Self::AtLeast(bound) | Self::AtMost(bound) => bound,
        }
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("at least {bound}"),
            Self::AtMost(bound) => format!("at most {bound}"),
        }
    }
}

/// One goal.
pub struct Goal {
    /// In words.
    pub what: String,
    /// The measurement that it bounds: usually the median.
    pub bound: Bound,
    /// A second bound, on the lower quartile.
    pub lower: Option<f64>,
    /// `None`: not measured in this run.
    pub measured: Option<Spread>,
    /// Behind the numbers.
    pub unit: &'static str,
}

impl Goal {
    /// Whether it was reached; `None` when it was not measured.
    pub fn met(&self) -> Option<bool> {
        let measured = self.measured?;
        let median = match self.bound {
            Bound::AtLeast(bound) => measured.median >= bound,
            Bound::AtMost(bound) => measured.median <= bound,
        };
        Some(median && self.lower.is_none_or(|bound| measured.lower >= bound))
    }

    fn goal(&self) -> String {
        let unit = self.unit;
        let bound = match self.bound {
            Bound::AtLeast(bound) => format!(">= {bound}{unit}"),
            Bound::AtMost(bound) => format!("<= {bound}{unit}"),
        };
        match self.lower {
            Some(lower) => format!("{bound}, quartile >= {lower}"),
            None => bound,
        }
    }

    /// For the results' file.
    pub fn to_json(&self) -> Value {
        json!({
            "what": self.what,
            "goal": self.goal(),
            "measured": self.measured.map(Spread::to_json),
            "met": self.met(),
        })
    }
}

/// The goals as a table.
pub fn table(goals: &[Goal]) -> Table {
    let mut table = Table::new("goals", &["", "median", "quartiles", "of", "goal", ""]);
    for goal in goals {
        let Some(measured) = goal.measured else {
            table.rows.push(vec![
                goal.what.clone(),
                "not measured".to_owned(),
                String::new(),
                String::new(),
                goal.goal(),
            ]);
            continue;
        };
        let unit = goal.unit;
        table.rows.push(vec![
            goal.what.clone(),
            format!("{:.2}{unit}", measured.median),
            format!("{:.2} .. {:.2}", measured.lower, measured.upper),
            measured.count.to_string(),
            goal.goal(),
            if goal.met() == Some(true) {
                "reached"
            } else {
                "MISSED"
            }
            .to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(bound: Bound, lower: Option<f64>) -> Option<bool> {
        let measured = Spread::of([0.5, 0.9, 0.9, 1.0, 1.0]);
        Goal {
            what: String::new(),
            bound,
            lower,
            measured,
            unit: "",
        }
        .met()
    }

    #[test]
    fn a_goal_holds_for_the_median_and_for_the_lower_quartile() {
        assert_eq!(goal(Bound::AtLeast(0.85), None), Some(true));
        assert_eq!(goal(Bound::AtLeast(0.95), None), Some(false));
        assert_eq!(goal(Bound::AtLeast(0.85), Some(0.9)), Some(true));
        assert_eq!(goal(Bound::AtLeast(0.85), Some(0.95)), Some(false));
        assert_eq!(goal(Bound::AtMost(0.6), None), Some(false));
    }

    #[test]
    fn what_was_not_measured_is_neither_reached_nor_missed() {
        let goal = Goal {
            what: "x".to_owned(),
            bound: Bound::AtMost(1.0),
            lower: None,
            measured: None,
            unit: "",
        };
        assert_eq!(goal.met(), None);
        assert!(table(&[goal]).to_text().contains("not measured"));
    }
}
