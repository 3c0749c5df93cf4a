//! Ridge regression by its normal equations.

use serde::{Deserialize, Serialize};

use super::features::count;

/// A linear model on standardised inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ridge {
    mean: Vec<f64>,
    /// Standard deviation, 1 where an input never varies.
    scale: Vec<f64>,
    weights: Vec<f64>,
    intercept: f64,
}

impl Ridge {
    /// Minimises Σ (y − ŷ)² + λ |w|² over standardised inputs; the intercept is free.
    ///
    /// # Panics
    /// If `rows` is empty, or longer or shorter than `y`.
    pub(super) fn fit(rows: &[Vec<f64>], y: &[f64], lambda: f64) -> Self {
        assert!(
            !rows.is_empty() && rows.len() == y.len(),
            "a row for each y"
        );
        let width = rows[0].len();
        let n = count(rows.len());
        let mean: Vec<f64> = (0..width)
            .map(|j| rows.iter().map(|r| r[j]).sum::<f64>() / n)
            .collect();
        let scale: Vec<f64> = (0..width)
            .map(|j| {
                let variance = rows.iter().map(|r| (r[j] - mean[j]).powi(2)).sum::<f64>() / n;
                if variance > 1e-12 {
                    variance.sqrt()
                } else {
                    1.0
                }
            })
            .collect();
        let centred: Vec<Vec<f64>> = rows
            .iter()
            .map(|r| (0..width).map(|j| (r[j] - mean[j]) / scale[j]).collect())
            .collect();
        let intercept = y.iter().sum::<f64>() / n;
        let mut normal = vec![vec![0.0; width]; width];
        let mut right = vec![0.0; width];
        for (row, target) in centred.iter().zip(y) {
            for i in 0..width {
                right[i] += row[i] * (target - intercept);
                for j in 0..=i {
                    normal[i][j] += row[i] * row[j];
                }
            }
        }
        for (i, row) in normal.iter_mut().enumerate() {
            // Also where an input never varies, so that the matrix stays positive definite.
            row[i] += lambda.max(1e-9);
        }
        Self {
            mean,
            scale,
            weights: solve(normal, right),
            intercept,
        }
    }

    pub(super) fn predict(&self, row: &[f64]) -> f64 {
        let inputs = row.iter().zip(&self.mean).zip(&self.scale);
        let sum: f64 = inputs
            .zip(&self.weights)
            .map(|(((x, mean), scale), w)| (x - mean) / scale * w)
            .sum();
        self.intercept + sum
    }

    /// Whether it takes `width` inputs.
    pub(super) fn is_of_width(&self, width: usize) -> bool {
        [&self.mean, &self.scale, &self.weights]
            .iter()
            .all(|list| list.len() == width)
    }
}

/// Solves A x = b for a positive definite A, of which the lower half is read, by Cholesky's
/// factorisation A = L Lᵀ.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
            a[i][j] = if i == j {
                (a[i][i] - sum).sqrt()
            } else {
                (a[i][j] - sum) / a[j][j]
            };
        }
    }
    for i in 0..n {
        let sum: f64 = (0..i).map(|k| a[i][k] * b[k]).sum();
        b[i] = (b[i] - sum) / a[i][i];
    }
    for i in (0..n).rev() {
        let sum: f64 = (i + 1..n).map(|k| a[k][i] * b[k]).sum();
        b[i] = (b[i] - sum) / a[i][i];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn a_line_without_noise_is_found() {
        let rows: Vec<Vec<f64>> = (0..20)
            .map(|i| vec![f64::from(i), f64::from(i * i)])
            .collect();
        let y: Vec<f64> = rows.iter().map(|r| 3.0 + 2.0 * r[0] - 0.5 * r[1]).collect();
        let ridge = Ridge::fit(&rows, &y, 0.0);
        for (row, target) in rows.iter().zip(&y) {
            assert!((ridge.predict(row) - target).abs() < 1e-6);
        }
    }

    /// By hand: inputs −1 and 1 (mean 0, deviation 1), targets 0 and 2, so w = 2 / (2 + λ).
    #[test]
    fn the_penalty_shrinks_as_the_formula_says() {
        let ridge = Ridge::fit(&[vec![-1.0], vec![1.0]], &[0.0, 2.0], 2.0);
        close(ridge.predict(&[1.0]), 1.0 + 0.5);
        close(ridge.predict(&[0.0]), 1.0);
    }

    #[test]
    fn inputs_that_never_vary_and_equal_ones_do_no_harm() {
        let rows = [
            vec![1.0, 5.0, 5.0],
            vec![1.0, 6.0, 6.0],
            vec![1.0, 9.0, 9.0],
        ];
        let ridge = Ridge::fit(&rows, &[5.0, 6.0, 9.0], 0.0);
        for row in &rows {
            assert!((ridge.predict(row) - row[1]).abs() < 1e-3);
        }
        let one = Ridge::fit(&rows[..1], &[7.0], 1.0);
        close(one.predict(&[2.0, 3.0, 4.0]), 7.0);
    }
}
