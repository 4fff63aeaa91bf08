//! Quantiles of latencies.

use std::time::Duration;

/// The value that this share of them does not exceed (nearest rank); zero of none.
pub fn quantile(values: &mut [Duration], share: f64) -> Duration {
    let Some(last) = values.len().checked_sub(1) else {
        return Duration::ZERO;
    };
    let rank = (share * values.len() as f64).ceil() as usize;
    let at = rank.saturating_sub(1).min(last);
    *values.select_nth_unstable(at).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_value_of_its_rank() {
        let mut values: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile(&mut values, 0.99), Duration::from_millis(198));
        assert_eq!(quantile(&mut values, 0.5), Duration::from_millis(100));
        assert_eq!(quantile(&mut values, 1.0), Duration::from_millis(200));
        assert_eq!(quantile(&mut [], 0.5), Duration::ZERO);
    }
}
