//! Medians and quartiles.

use serde_json::{Value, json};

/// The middle of some measurements and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// A quarter of the values lie below.
    pub lower: f64,
    /// Half of them.
    pub median: f64,
    /// Three quarters.
    pub upper: f64,
    /// How many there are.
    pub count: usize,
}

impl Spread {
    /// `None` without values. Between two values it is linear (Hyndman and Fan's type 7, as R and NumPy have it).
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        sorted.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let at = share * (sorted.len().checked_sub(1)? as f64);
            let (below, above) = (
                sorted.get(at.floor() as usize)?,
                sorted.get(at.ceil() as usize)?,
            );
            Some(below + (above - below) * at.fract())
        };
        Some(Self {
            lower: quantile(0.25)?,
            median: quantile(0.5)?,
            upper: quantile(0.75)?,
            count: sorted.len(),
        })
    }

    /// For the results' file.
    pub fn to_json(self) -> Value {
        json!({ "median": self.median, "lower": self.lower, "upper": self.upper, "count": self.count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quartiles_are_those_of_r_and_numpy() {
        let spread = Spread::of([7.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(
            (spread.lower, spread.median, spread.upper),
            (1.75, 2.5, 4.0)
        );
        let one = Spread::of([5.0]).unwrap();
        assert_eq!(
            (one.lower, one.median, one.upper, one.count),
            (5.0, 5.0, 5.0, 1)
        );
        assert_eq!(Spread::of([]), None);
    }
}
