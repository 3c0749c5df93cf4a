//! The statistics of the report: intervals, the paired test, ratios of means.
//!
//! Everything here is deterministic. The bootstrap's generator is written out below instead of
//! taken from a crate, so that the same journal gives the same interval under every version.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts below 2⁵³ are exact as f64, and the casts back are of indices within a slice"
)]

use statrs::distribution::{Binomial, DiscreteCDF};

/// The 0.975 quantile of the standard normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

/// Wilson's 95% score interval of a proportion, without continuity correction.
///
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
/// (1927). Unlike the textbook interval it stays within 0 and 1, and has a width at 0 and at n
/// right answers. `None` for `n = 0`.
#[must_use]
pub fn wilson95(right: u64, n: u64) -> Option<[f64; 2]> {
    (n > 0).then(|| wilson(right, n, real(n)))
}

/// Answers to questions of which each may have several, for an interval that knows that answers to
/// one question are alike.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clusters {
    /// Questions with a graded answer.
    pub(super) n: u64,
    /// Graded answers.
    pub(super) graded: u64,
    right: u64,
    shares: f64,
    squares: f64,
}

impl Clusters {
    /// Adds a question of which `right` of `graded` answers were right.
    pub(super) fn add(&mut self, right: u64, graded: u64) {
        if graded == 0 {
            return;
        }
        let share = real(right) / real(graded);
        self.n += 1;
        self.graded += graded;
        self.right += right;
        self.shares += share;
        self.squares += share * share;
    }

    /// Wilson's interval over the effective number of answers: so many independent ones would have
    /// the variance that the questions' means show (Kish, "Survey Sampling", 1965, 8.2). At least
    /// the number of questions, at most that of answers; the same as [`wilson95`] where each
    /// question has one answer.
    pub(super) fn interval95(&self) -> Option<[f64; 2]> {
        if self.graded == 0 {
            return None;
        }
        let (n, graded) = (real(self.n), real(self.graded));
        let p = real(self.right) / graded;
        let effective = if self.n < 2 || self.n == self.graded {
            n
        } else {
            let variance = (self.squares - self.shares * self.shares / n) / (n - 1.0);
            let of_mean = variance / n;
            if of_mean > 0.0 {
                (p * (1.0 - p) / of_mean).clamp(n, graded)
            } else {
                n
            }
        };
        Some(wilson(self.right, self.graded, effective))
    }
}

/// Wilson's interval of `right / n`, as if of `n_f` answers.
fn wilson(right: u64, n: u64, n_f: f64) -> [f64; 2] {
    let z2 = Z95 * Z95;
    let p = real(right) / real(n);
    let centre = p + z2 / (2.0 * n_f);
    let half = Z95 * (p * (1.0 - p) / n_f + z2 / (4.0 * n_f * n_f)).sqrt();
    let scale = 1.0 + z2 / n_f;
    // At the ends the formula gives exactly 0 and 1, but for rounding.
    let low = if right == 0 {
        0.0
    } else {
        (centre - half) / scale
    };
    let high = if right == n {
        1.0
    } else {
        (centre + half) / scale
    };
    [low, high]
}

/// The exact two-sided McNemar test: the probability, if both methods were equally good, of a
/// split of the discordant questions at least as uneven as `only_a` against `only_b`.
///
/// Q. McNemar, Psychometrika 12 (1947), in its exact form: a two-sided binomial test of
/// `min(only_a, only_b)` among `only_a + only_b` with probability ½. 1 where no question separates
/// the two.
#[must_use]
pub fn mcnemar_exact(only_a: u64, only_b: u64) -> f64 {
    match Binomial::new(0.5, only_a + only_b) {
        Ok(binomial) if only_a != only_b => (2.0 * binomial.cdf(only_a.min(only_b))).min(1.0),
        // An even split, 0 : 0 included: nothing can be less extreme.
        _ => 1.0,
    }
}

/// A ratio of sums with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Sum of the first over sum of the second.
    pub value: f64,
    /// Lower and upper end; absent below five pairs, where every such interval is far too narrow
    /// (of one pair it has no width at all).
    pub ci95: Option<[f64; 2]>,
}

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2_000;

/// Below so many pairs there is no interval.
const FEWEST_PAIRS: usize = 5;

/// Above so many pairs the interval comes from the normal approximation: there the two agree to
/// three digits, and 2,000 resamples of a million pairs would take longer than many a run.
const BOOTSTRAP_PAIRS: usize = 10_000;

/// Σ first / Σ second over `pairs`, with a 95% interval over the choice of questions.
///
/// Up to 10,000 pairs a percentile bootstrap (B. Efron, Annals of Statistics 7, 1979) of 2,000
/// resamples, which draws question by question and so keeps the pairing; above that the delta
/// method for the logarithm of a ratio of means. `None` where the second sum is 0, or empty.
#[must_use]
pub fn ratio(pairs: &[(u32, u32)]) -> Option<Ratio> {
    let (a, b) = sums(pairs.iter());
    if b == 0 {
        return None;
    }
    let value = real(a) / real(b);
    let ci95 = if pairs.len() <= BOOTSTRAP_PAIRS {
        bootstrap95(pairs, value)
    } else {
        Some(delta95(pairs, value))
    };
    Some(Ratio { value, ci95 })
}

/// The mean of `values` with its 95% interval over the choice of questions: up to 10,000 values a
/// percentile bootstrap, above that the normal approximation. `None` of nothing.
#[must_use]
pub(super) fn mean95(values: &[f64]) -> Option<(f64, Option<[f64; 2]>)> {
    let n = values.len() as f64;
    let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
    if values.is_empty() {
        return None;
    }
    let value = mean(values);
    let ci95 = if values.len() <= BOOTSTRAP_PAIRS {
        resample95(values, mean)
    } else {
        let squares: f64 = values.iter().map(|x| (x - value).powi(2)).sum();
        let half = Z95 * (squares / (n * (n - 1.0))).sqrt();
        Some([value - half, value + half])
    };
    Some((value, ci95))
}

/// A percentile bootstrap of any statistic of a sample, with as many resamples as 20,000,000 draws
/// allow, at least 200. `None` below five values, and above 100,000, where it would take longer
/// than it is worth.
#[must_use]
pub(super) fn resample95<T: Copy>(
    sample: &[T],
    statistic: impl Fn(&[T]) -> f64,
) -> Option<[f64; 2]> {
    if !(FEWEST_PAIRS..=100_000).contains(&sample.len()) {
        return None;
    }
    let resamples = (20_000_000 / sample.len()).clamp(200, RESAMPLES);
    let mut random = SplitMix64(SEED);
    let mut drawn = sample.to_vec();
    let mut values: Vec<f64> = (0..resamples)
        .map(|_| {
            for slot in &mut drawn {
                *slot = sample[random.below(sample.len())];
            }
            statistic(&drawn)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    Some([quantile(&values, 0.025), quantile(&values, 0.975)])
}

fn bootstrap95(pairs: &[(u32, u32)], value: f64) -> Option<[f64; 2]> {
    resample95(pairs, |drawn| {
        let (a, b) = sums(drawn.iter());
        // A resample without a single token of the second says nothing against the estimate.
        if b == 0 { value } else { real(a) / real(b) }
    })
}

fn delta95(pairs: &[(u32, u32)], value: f64) -> [f64; 2] {
    let n = pairs.len() as f64;
    let (a, b) = sums(pairs.iter());
    let (mean_a, mean_b) = (real(a) / n, real(b) / n);
    if mean_a == 0.0 {
        return [0.0, 0.0];
    }
    // Var(ln R) ≈ Σ (a/ā − b/b̄)² / (n (n − 1)): variances and covariance in one sum.
    let squares: f64 = pairs
        .iter()
        .map(|&(a, b)| (f64::from(a) / mean_a - f64::from(b) / mean_b).powi(2))
        .sum();
    let half = Z95 * (squares / (n * (n - 1.0))).sqrt();
    [value * (-half).exp(), value * half.exp()]
}

fn sums<'a>(pairs: impl Iterator<Item = &'a (u32, u32)>) -> (u64, u64) {
    pairs.fold((0, 0), |(a, b), &(x, y)| {
        (a + u64::from(x), b + u64::from(y))
    })
}

/// The `q` quantile of ascending `sorted`, between neighbours linearly (type 7 of Hyndman and
/// Fan, the default of R and of NumPy).
///
/// # Panics
/// If `sorted` is empty.
pub(super) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - at.floor()) * (sorted[above] - sorted[below])
}

/// The seed of every bootstrap: the paper's (A.3), as in the manifests.
const SEED: u64 = 1024;

/// G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, by D. Lemire's multiplication. Its bias, `n` in 2⁶⁴, cannot be seen.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

/// A count as a real number. Exact up to 2⁵³, more than anybody counts.
pub(super) fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!(
            (a - b).abs() <= tolerance,
            "{a} is not {b} within {tolerance}"
        );
    }

    /// statsmodels 0.15.0: `proportion_confint(right, n, method="wilson")`.
    #[test]
    fn wilson_interval_agrees_with_statsmodels() {
        for (right, n, low, high) in [
            (0, 10, 0.0, 0.277_532_799_862_889),
            (10, 10, 0.722_467_200_137_111, 1.0),
            (5, 10, 0.236_593_090_512_563, 0.763_406_909_487_436),
            (14, 24, 0.388_346_658_652_287, 0.755_323_973_901_882),
            (81, 263, 0.255_288_519_878_274, 0.366_209_576_982_800),
            (1, 1, 0.206_549_314_377_237, 1.0),
        ] {
            let [l, h] = wilson95(right, n).unwrap();
            close(l, low, 1e-12);
            close(h, high, 1e-12);
        }
        assert_eq!(wilson95(0, 0), None);
    }

    #[test]
    fn answers_to_one_question_are_no_independent_ones() {
        let of = |questions: &[(u64, u64)]| {
            let mut clusters = Clusters::default();
            for &(right, graded) in questions {
                clusters.add(right, graded);
            }
            clusters.interval95()
        };
        assert_eq!(of(&[]), None);
        // One answer each: as ever.
        let once: Vec<_> = (0..40).map(|i| (u64::from(i % 4 > 0), 1)).collect();
        assert_eq!(of(&once), wilson95(30, 40));
        // The same answer five times says no more than once.
        let same: Vec<_> = (0..40).map(|i| (5 * u64::from(i % 4 > 0), 5)).collect();
        let [low, high] = of(&same).unwrap();
        let [low_once, high_once] = wilson95(30, 40).unwrap();
        close(low, low_once, 1e-12);
        close(high, high_once, 1e-12);
        // Answers that differ within questions and not between them say as much as so many.
        let alike: Vec<_> = (0..40).map(|i| (3 + i % 2, 4)).collect();
        let width = |[low, high]: [f64; 2]| high - low;
        assert!(width(of(&alike).unwrap()) <= width(wilson95(140, 160).unwrap()) + 1e-12);
        // All right: no variance, so no more than the questions.
        assert_eq!(of(&[(5, 5); 10]), Some(wilson(50, 50, 10.0)));
    }

    /// statsmodels 0.15.0: `mcnemar([[_, a], [b, _]], exact=True).pvalue`; SciPy 1.17.1's
    /// `binomtest(min(a, b), a + b).pvalue` is the same.
    #[test]
    fn mcnemar_agrees_with_statsmodels() {
        for (a, b, p) in [
            (0, 0, 1.0),
            (3, 3, 1.0),
            (0, 1, 1.0),
            (0, 6, 0.031_25),
            (6, 0, 0.031_25),
            (2, 10, 0.038_574_218_75),
            (6, 4, 0.753_906_25),
            (121, 59, 4.434_449_263_755_164_5e-6),
            (500_500, 499_500, 0.317_794_691_363_329_7),
        ] {
            close(mcnemar_exact(a, b), p, p * 1e-9);
        }
        assert!(mcnemar_exact(600_000, 400_000) < 1e-300);
    }

    /// SciPy 1.17.1: `bootstrap((a, b), ratio of sums, paired=True, method="percentile",
    /// n_resamples=200_000)` gives 0.35298 to 0.39964; ours has a hundredth of the resamples.
    #[test]
    fn bootstrap_interval_agrees_with_scipy() {
        let pairs = [
            (88, 210),
            (61, 180),
            (120, 305),
            (45, 150),
            (77, 260),
            (93, 190),
            (150, 320),
            (66, 240),
            (71, 205),
            (84, 230),
            (99, 275),
            (132, 310),
            (58, 170),
            (64, 160),
            (91, 285),
            (73, 225),
            (110, 250),
            (49, 145),
            (80, 195),
            (95, 265),
            (140, 330),
            (62, 175),
            (70, 215),
            (105, 240),
        ];
        let r = ratio(&pairs).unwrap();
        close(r.value, 0.376_672_694_394_213_36, 1e-12);
        close(r.ci95.unwrap()[0], 0.352_98, 2e-3);
        close(r.ci95.unwrap()[1], 0.399_64, 2e-3);
    }

    #[test]
    fn ratio_of_equal_pairs_has_an_interval_of_no_width() {
        let r = ratio(&[(30, 100); 24]).unwrap();
        close(r.value, 0.3, 1e-12);
        close(r.ci95.unwrap()[0], 0.3, 1e-12);
        close(r.ci95.unwrap()[1], 0.3, 1e-12);
    }

    #[test]
    fn ratio_needs_tokens_to_divide_by() {
        assert_eq!(ratio(&[]), None);
        assert_eq!(ratio(&[(5, 0), (3, 0)]), None);
        assert!(ratio(&[(5, 0), (3, 10)]).is_some());
    }

    #[test]
    fn few_pairs_have_a_ratio_and_no_interval() {
        assert_eq!(ratio(&[(3, 10); 4]).unwrap().ci95, None);
        assert!(ratio(&[(3, 10); 5]).unwrap().ci95.is_some());
    }

    /// The two intervals are made by different means, so their agreement where either could be
    /// used says that both are right, and that nothing jumps at the border.
    #[test]
    fn bootstrap_and_delta_method_agree_where_they_meet() {
        let mut random = SplitMix64(7);
        let pairs: Vec<(u32, u32)> = (0..BOOTSTRAP_PAIRS)
            .map(|_| {
                let b = 100 + random.below(400) as u32;
                (b / 4 + random.below(150) as u32, b)
            })
            .collect();
        let value = ratio(&pairs).unwrap().value;
        let (boot, delta) = (bootstrap95(&pairs, value).unwrap(), delta95(&pairs, value));
        let width = delta[1] - delta[0];
        assert!(width > 0.0);
        close(boot[0], delta[0], 0.08 * width);
        close(boot[1], delta[1], 0.08 * width);
    }

    /// Coverage, the meaning of the interval: of 200 experiments with a known ratio about 95% hold
    /// it. With 60 questions the percentile bootstrap is known to fall a little short.
    #[test]
    fn bootstrap_interval_covers_the_truth() {
        let mut random = SplitMix64(99);
        let held = (0..200)
            .filter(|_| {
                let pairs: Vec<(u32, u32)> = (0..60)
                    .map(|_| (random.below(201) as u32, 100 + random.below(201) as u32))
                    .collect();
                let [low, high] = ratio(&pairs).unwrap().ci95.unwrap();
                (low..=high).contains(&0.5)
            })
            .count();
        assert!((180..=199).contains(&held), "{held} of 200");
    }

    /// The standard error of a mean is known, so the bootstrap's interval is about ±1.96 of it.
    #[test]
    fn interval_of_a_mean_is_that_of_its_standard_error() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let (mean, ci) = mean95(&values).unwrap();
        close(mean, 49.5, 1e-12);
        // Population deviation 28.866 over the root of 100.
        let [low, high] = ci.unwrap();
        close(low, 49.5 - 1.96 * 2.8866, 0.4);
        close(high, 49.5 + 1.96 * 2.8866, 0.4);
        let many: Vec<f64> = (0..20_000).map(|i| f64::from(i % 100)).collect();
        let [low, high] = mean95(&many).unwrap().1.unwrap();
        close(high - low, 2.0 * 1.96 * 28.867 / 20_000_f64.sqrt(), 1e-3);
        assert_eq!(mean95(&[]), None);
        assert_eq!(mean95(&[1.0; 4]).unwrap().1, None);
    }

    #[test]
    fn quantiles_agree_with_numpy() {
        let x = [1.0, 2.0, 4.0, 8.0];
        close(quantile(&x, 0.0), 1.0, 0.0);
        close(quantile(&x, 0.5), 3.0, 1e-12);
        close(quantile(&x, 0.25), 1.75, 1e-12);
        close(quantile(&x, 1.0), 8.0, 0.0);
    }
}
