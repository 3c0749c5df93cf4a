//! Scores that put accuracy and length into one number, as the field uses them, and the front of
//! those that no other beats.

/// One answered and graded sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Whether it was right.
    pub(crate) right: bool,
    /// Its length in output tokens.
    pub(crate) tokens: u32,
}

/// The answers that are right and at most `k` tokens long; as a share of all it is hard-k concise
/// accuracy.
///
/// Nayab et al., arXiv 2407.19825.
#[must_use]
pub(crate) fn hca(answers: &[Answer], k: u32) -> u64 {
    answers.iter().filter(|a| a.right && a.tokens <= k).count() as u64
}

/// Soft-k concise accuracy: a right answer of more than `k` tokens still counts, by
/// exp((k − length) / α).
///
/// Nayab et al., arXiv 2407.19825. `None` without answers.
#[must_use]
pub(crate) fn sca(answers: &[Answer], k: f64, alpha: f64) -> Option<f64> {
    mean(answers, |a| {
        if a.right {
            ((k - f64::from(a.tokens)) / alpha).exp().min(1.0)
        } else {
            0.0
        }
    })
}

/// Consistent concise accuracy: [`sca`] times min(1, exp((β − σ) / β)), where σ is the standard
/// deviation of the lengths, right or wrong.
///
/// Nayab et al., arXiv 2407.19825. `None` without answers.
#[must_use]
pub(crate) fn cca(answers: &[Answer], k: f64, alpha: f64, beta: f64) -> Option<f64> {
    let centre = mean(answers, |a| f64::from(a.tokens))?;
    let variance = mean(answers, |a| (f64::from(a.tokens) - centre).powi(2))?;
    let steady = ((beta - variance.sqrt()) / beta).exp().min(1.0);
    Some(sca(answers, k, alpha)? * steady)
}

/// `OckScore`: accuracy in per cent less 10 ln(tokens / 10,000 + 1), `tokens` the mean per problem.
///
/// Du et al., arXiv 2511.05722, as the authors' code computes it. At the lengths of grade-school
/// answers its penalty is small: 0.95 points at 1,000 tokens.
#[must_use]
pub(crate) fn ock_score(accuracy: f64, tokens: f64) -> f64 {
    accuracy * 100.0 - 10.0 * (tokens / 10_000.0).ln_1p()
}

/// Which of the `points` (tokens, accuracy) lie on the front: no other is at least as accurate for
/// at most as many tokens and better in one of the two. Equal points are all on it or all off it.
#[must_use]
pub(crate) fn front(points: &[(f64, f64)]) -> Vec<bool> {
    let beats = |a: &(f64, f64), b: &(f64, f64)| a.0 <= b.0 && a.1 >= b.1 && a != b;
    points
        .iter()
        .map(|p| !points.iter().any(|q| beats(q, p)))
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2⁵³ are exact")]
fn mean(answers: &[Answer], of: impl Fn(&Answer) -> f64) -> Option<f64> {
    let sum: f64 = answers.iter().map(of).sum();
    (!answers.is_empty()).then(|| sum / answers.len() as f64)
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "short lists")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answers(list: &[(bool, u32)]) -> Vec<Answer> {
        list.iter()
            .map(|&(right, tokens)| Answer { right, tokens })
            .collect()
    }

    fn close(a: Option<f64>, b: f64) {
        let a = a.unwrap();
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn concise_accuracies_by_hand() {
        // Lengths 50, 100, 110, 140: mean 100, variance (2500 + 0 + 100 + 1600) / 4 = 1050.
        let list = answers(&[(true, 50), (false, 100), (true, 110), (true, 140)]);
        assert_eq!(
            (hca(&list, 100), hca(&list, 109), hca(&list, u32::MAX)),
            (1, 1, 3)
        );
        let soft = (1.0 + (-1.0_f64).exp() + (-4.0_f64).exp()) / 4.0;
        close(sca(&list, 100.0, 10.0), soft);
        let sigma = 1050.0_f64.sqrt();
        close(
            cca(&list, 100.0, 10.0, 20.0),
            soft * (1.0 - sigma / 20.0).exp(),
        );
        // A deviation below β costs nothing.
        close(cca(&list, 100.0, 10.0, 40.0), soft);
        assert_eq!(cca(&[], 100.0, 10.0, 40.0), None);
    }

    #[test]
    fn ock_score_by_hand() {
        close(Some(ock_score(0.8, 10_000.0)), 80.0 - 10.0 * 2.0_f64.ln());
        close(Some(ock_score(0.5, 0.0)), 50.0);
    }

    #[test]
    fn the_front_holds_what_nothing_beats() {
        let points = [
            (10.0, 0.3),
            (20.0, 0.2),
            (30.0, 0.6),
            (30.0, 0.5),
            (40.0, 0.6),
            (10.0, 0.3),
        ];
        assert_eq!(front(&points), [true, false, true, false, false, true]);
        assert_eq!(front(&[]), Vec::<bool>::new());
    }

    proptest! {
        #[test]
        fn each_score_is_no_more_than_the_softer_one(
            list in proptest::collection::vec((any::<bool>(), 0_u32..400), 1..30),
            k in 1_u32..300,
        ) {
            let list = answers(&list);
            let share = |right: u64| right as f64 / list.len() as f64;
            let k_f = f64::from(k);
            let soft = sca(&list, k_f, 10.0).unwrap();
            prop_assert!(share(hca(&list, k)) <= soft + 1e-12);
            prop_assert!(soft <= share(hca(&list, u32::MAX)) + 1e-12);
            prop_assert!(cca(&list, k_f, 10.0, 40.0).unwrap() <= soft + 1e-12);
        }

        #[test]
        fn what_is_off_the_front_is_beaten_by_something_on_it(
            points in proptest::collection::vec((0_u32..50, 0_u32..20), 1..20)
        ) {
            let points: Vec<(f64, f64)> =
                points.iter().map(|&(x, y)| (f64::from(x), f64::from(y))).collect();
            let on = front(&points);
            for (p, _) in points.iter().zip(&on).filter(|(_, on)| !**on) {
                prop_assert!(points.iter().zip(&on).any(|(q, on)| *on && q.0 <= p.0 && q.1 >= p.1));
            }
            prop_assert!(on.contains(&true));
        }
    }
}
