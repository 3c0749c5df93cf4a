//! What a question's answers do as its budget falls: monotony, elasticity, obedience.

use super::ideal::{Trial, by_budget};

/// A question under several budgets, smallest first, no budget twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Curve {
    trials: Vec<Trial>,
}

/// Where the tokens of a curve rise again as its budget falls: token elasticity (paper, Section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// The budget with the fewest output tokens; of equals the smallest.
    pub(crate) budget: u32,
    /// Output tokens there.
    pub(crate) fewest: u32,
    /// Output tokens under the smallest budget.
    pub(crate) at_smallest: u32,
}

impl Turn {
    /// Whether the smallest budget costs more than the best one.
    #[must_use]
    pub(crate) fn is_elastic(self) -> bool {
        self.at_smallest > self.fewest
    }
}

impl Curve {
    /// Of several trials under one budget the last counts.
    #[must_use]
    pub(crate) fn new(trials: &[Trial]) -> Self {
        Self {
            trials: by_budget(trials),
        }
    }

    /// The trials, smallest budget first.
    #[must_use]
    pub(crate) fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// Whether the answers are right under every budget of at least `searched` and wrong under every
    /// smaller one (the paper's notion of a monotone sample). `None` where there are not trials on
    /// both sides, since then one half of the claim is empty.
    #[must_use]
    pub(crate) fn is_monotone(&self, searched: u32) -> Option<bool> {
        let split = self.trials.partition_point(|t| t.budget < searched);
        let (below, above) = self.trials.split_at(split);
        if below.is_empty() || above.is_empty() {
            return None;
        }
        Some(below.iter().all(|t| !t.right) && above.iter().all(|t| t.right))
    }

    /// Whether some split makes the answers wrong below it and right above it: monotone without a
    /// search. `None` below two trials or where the answers are all right or all wrong.
    #[must_use]
    pub(crate) fn is_monotone_somewhere(&self) -> Option<bool> {
        let first_right = self.trials.iter().position(|t| t.right)?;
        let any_wrong = self.trials.iter().any(|t| !t.right);
        any_wrong.then(|| self.trials[first_right..].iter().all(|t| t.right))
    }

    /// Where its tokens are fewest; `None` below two trials.
    #[must_use]
    pub(crate) fn turn(&self) -> Option<Turn> {
        let smallest = self.trials.first()?;
        let best = self.trials.iter().min_by_key(|t| (t.tokens, t.budget))?;
        (self.trials.len() > 1).then_some(Turn {
            budget: best.budget,
            fewest: best.tokens,
            at_smallest: smallest.tokens,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn curve(list: &[(u32, u32, bool)]) -> Curve {
        let trials: Vec<Trial> = list
            .iter()
            .map(|&(budget, tokens, right)| Trial {
                budget,
                tokens,
                right,
            })
            .collect();
        Curve::new(&trials)
    }

    #[test]
    fn monotone_is_wrong_below_and_right_from_the_searched_budget_on() {
        let good = curve(&[(10, 9, false), (20, 18, true), (40, 30, true)]);
        assert_eq!(good.is_monotone(20), Some(true));
        assert_eq!(good.is_monotone(40), Some(false));
        assert_eq!(good.is_monotone(15), Some(true));
        // Nothing below or nothing above: no statement.
        assert_eq!(good.is_monotone(10), None);
        assert_eq!(good.is_monotone(41), None);
        let gap = curve(&[(10, 9, true), (20, 18, false), (40, 30, true)]);
        assert_eq!(gap.is_monotone(40), Some(false));
        assert_eq!(gap.is_monotone_somewhere(), Some(false));
        assert_eq!(good.is_monotone_somewhere(), Some(true));
        assert_eq!(curve(&[(10, 9, true)]).is_monotone_somewhere(), None);
        assert_eq!(
            curve(&[(10, 9, false), (20, 9, false)]).is_monotone_somewhere(),
            None
        );
    }

    #[test]
    fn tokens_that_rise_under_a_small_budget_are_elastic() {
        let turn = curve(&[(10, 80, false), (50, 40, true), (100, 60, true)])
            .turn()
            .unwrap();
        assert_eq!((turn.budget, turn.fewest, turn.at_smallest), (50, 40, 80));
        assert!(turn.is_elastic());
        let obedient = curve(&[(10, 9, false), (50, 40, true)]).turn().unwrap();
        assert!(!obedient.is_elastic());
        // Equal tokens: the smallest budget is the best, and nothing has risen.
        assert!(
            !curve(&[(10, 40, true), (50, 40, true)])
                .turn()
                .unwrap()
                .is_elastic()
        );
        assert_eq!(curve(&[(10, 9, false)]).turn(), None);
    }

    proptest! {
        #[test]
        fn the_order_of_trials_changes_nothing(
            list in proptest::collection::btree_map(1_u32..200, (0_u32..300, any::<bool>()), 0..12)
        ) {
            let trials: Vec<Trial> = list
                .iter()
                .map(|(&budget, &(tokens, right))| Trial { budget, tokens, right })
                .collect();
            let mut back = trials.clone();
            back.reverse();
            prop_assert_eq!(Curve::new(&trials), Curve::new(&back));
            let curve = Curve::new(&trials);
            if let Some(split) = trials.iter().find(|t| t.right).map(|t| t.budget)
                && curve.is_monotone(split) == Some(true)
            {
                prop_assert_eq!(curve.is_monotone_somewhere(), Some(true));
            }
        }
    }
}
