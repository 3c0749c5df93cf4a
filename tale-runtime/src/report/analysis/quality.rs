//! How good an estimator's budgets are (paper A.2).

use super::ideal::Range;

/// How estimates compare with the ideal budget ranges of their questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Quality {
    /// Questions with both an estimate and a range.
    pub(crate) n: u64,
    /// Estimates within the range.
    pub(crate) in_range: u64,
    /// Mean distance in tokens of the others to the nearer end of their range.
    pub(crate) out_of_range_distance: Option<f64>,
    /// Mean distance in tokens to the middle of the range, over all.
    pub(crate) mean_abs_error: Option<f64>,
}

/// Compares pairs of estimate and range.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts below 2⁵³ are exact")]
pub(crate) fn quality(pairs: &[(u32, Range)]) -> Quality {
    let n = pairs.len() as u64;
    let outside: Vec<f64> = pairs
        .iter()
        .map(|(estimate, range)| f64::from(range.distance(*estimate)))
        .filter(|d| *d > 0.0)
        .collect();
    let middle = |r: &Range| f64::midpoint(f64::from(r.low), f64::from(r.high));
    let errors: f64 = pairs
        .iter()
        .map(|(estimate, range)| (f64::from(*estimate) - middle(range)).abs())
        .sum();
    Quality {
        n,
        in_range: n - outside.len() as u64,
        out_of_range_distance: (!outside.is_empty())
            .then(|| outside.iter().sum::<f64>() / outside.len() as f64),
        mean_abs_error: (n > 0).then(|| errors / n as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_by_hand() {
        let range = |low, high| Range { low, high };
        let q = quality(&[
            (30, range(20, 40)),
            (50, range(20, 40)),
            (5, range(25, 25)),
            (25, range(25, 25)),
        ]);
        assert_eq!((q.n, q.in_range), (4, 2));
        assert_eq!(q.out_of_range_distance, Some(15.0));
        assert_eq!(q.mean_abs_error, Some((0.0 + 20.0 + 20.0 + 0.0) / 4.0));
    }

    #[test]
    fn nothing_outside_has_no_distance() {
        let q = quality(&[(30, Range { low: 20, high: 40 })]);
        assert_eq!((q.in_range, q.out_of_range_distance), (1, None));
        assert_eq!(quality(&[]), Quality::default());
    }
}
