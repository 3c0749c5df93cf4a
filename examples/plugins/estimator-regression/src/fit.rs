//! Least squares over a handful of features.

use crate::features::COUNT;

/// Keeps the equations solvable where a feature is constant; far below what a token weighs.
const RIDGE: f64 = 1e-6;

/// The coefficients that bring `features · coefficients` closest to the budgets.
///
/// Solves the normal equations by elimination with pivots: for four features that is exact enough.
pub(crate) fn fit(samples: &[([f64; COUNT], f64)]) -> [f64; COUNT] {
    // The normal equations, with the right side as the last column.
    let mut rows = [[0.0; COUNT + 1]; COUNT];
    for (features, budget) in samples {
        for (row, x) in rows.iter_mut().zip(features) {
            for (cell, y) in row.iter_mut().zip(features.iter().chain([budget])) {
                *cell += x * y;
            }
        }
    }
    for (i, row) in rows.iter_mut().enumerate() {
        row[i] += RIDGE;
    }
    for i in 0..COUNT {
        let pivot = (i..COUNT)
            .max_by(|&a, &b| rows[a][i].abs().total_cmp(&rows[b][i].abs()))
            .unwrap_or(i);
        rows.swap(i, pivot);
        let above = rows[i];
        for row in &mut rows[i + 1..] {
            let factor = row[i] / above[i];
            for (cell, x) in row.iter_mut().zip(above) {
                *cell -= factor * x;
            }
        }
    }
    let mut solution = [0.0; COUNT];
    for i in (0..COUNT).rev() {
        let known: f64 = (i + 1..COUNT).map(|j| rows[i][j] * solution[j]).sum();
        solution[i] = (rows[i][COUNT] - known) / rows[i][i];
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_law_is_found_again() {
        let law = [20.0, 1.5, 12.0, -3.0];
        let samples: Vec<_> = (0..40)
            .map(|i| {
                let x = [1.0, f64::from(i), f64::from(i % 7), f64::from(i % 3)];
                (x, x.iter().zip(law).map(|(x, c)| x * c).sum())
            })
            .collect();
        for (found, expected) in fit(&samples).into_iter().zip(law) {
            assert!((found - expected).abs() < 1e-3, "{found} for {expected}");
        }
    }

    #[test]
    fn questions_that_are_all_alike_give_their_mean() {
        let x = [1.0, 10.0, 2.0, 1.0];
        let found = fit(&[(x, 40.0), (x, 60.0)]);
        let budget: f64 = x.iter().zip(found).map(|(x, c)| x * c).sum();
        assert!((budget - 50.0).abs() < 0.1, "{budget}");
    }
}
