//! The ideal budget range of a question (paper A.1).

/// A budget under which a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    /// The budget asked for, in tokens.
    pub(crate) budget: u32,
    /// Output tokens of the answer.
    pub(crate) tokens: u32,
    /// Whether it was right.
    pub(crate) right: bool,
}

/// Budgets from `low` to `high`, both included, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The smallest.
    pub(crate) low: u32,
    /// The largest.
    pub(crate) high: u32,
}

impl Range {
    /// How far `budget` lies outside; 0 inside.
    #[must_use]
    pub(crate) fn distance(self, budget: u32) -> u32 {
        self.low
            .saturating_sub(budget)
            .max(budget.saturating_sub(self.high))
    }
}

/// The trials, smallest budget first; of several under one budget the last counts.
#[must_use]
pub(crate) fn by_budget(trials: &[Trial]) -> Vec<Trial> {
    let last: std::collections::BTreeMap<u32, Trial> =
        trials.iter().map(|t| (t.budget, *t)).collect();
    last.into_values().collect()
}

/// Over the N budgets that keep the answer right, in order of size, the window of k = N/3
/// neighbours (at least one) with the smallest sum of output tokens; of equals the one of smaller
/// budgets. `None` if no budget keeps it right.
///
/// Of several trials under one budget the last counts.
#[must_use]
pub(crate) fn ideal_range(trials: &[Trial]) -> Option<Range> {
    let mut right = by_budget(trials);
    right.retain(|t| t.right);
    let k = (right.len() / 3).max(1);
    let cost = |window: &[Trial]| window.iter().map(|t| u64::from(t.tokens)).sum::<u64>();
    // The first of equals: `min_by_key` keeps it.
    let best = right.windows(k).min_by_key(|window| cost(window))?;
    Some(Range {
        low: best.first()?.budget,
        high: best.last()?.budget,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trials(list: &[(u32, u32, bool)]) -> Vec<Trial> {
        list.iter()
            .map(|&(budget, tokens, right)| Trial {
                budget,
                tokens,
                right,
            })
            .collect()
    }

    #[test]
    fn the_cheapest_third_of_the_right_budgets_is_the_range() {
        // Six right budgets, so windows of two: 10+20 → 70, 20+40 → 65, 40+80 → 80, …
        let list = trials(&[
            (5, 90, false),
            (10, 40, true),
            (20, 30, true),
            (40, 35, true),
            (80, 45, true),
            (160, 60, true),
            (320, 99, true),
        ]);
        assert_eq!(ideal_range(&list), Some(Range { low: 20, high: 40 }));
    }

    #[test]
    fn wrong_budgets_are_no_neighbours() {
        let list = trials(&[
            (10, 10, true),
            (20, 1, false),
            (30, 12, true),
            (40, 50, true),
            (50, 50, true),
            (60, 50, true),
            (70, 50, true),
        ]);
        assert_eq!(ideal_range(&list), Some(Range { low: 10, high: 30 }));
    }

    #[test]
    fn few_right_budgets_give_the_cheapest_and_none_gives_no_range() {
        let list = trials(&[(50, 20, true), (100, 30, true)]);
        assert_eq!(ideal_range(&list), Some(Range { low: 50, high: 50 }));
        assert_eq!(ideal_range(&trials(&[(50, 20, false)])), None);
        assert_eq!(ideal_range(&[]), None);
    }

    #[test]
    fn distance_is_to_the_nearer_end() {
        let range = Range { low: 20, high: 40 };
        assert_eq!(
            [5, 20, 30, 40, 55].map(|b| range.distance(b)),
            [15, 0, 0, 0, 15]
        );
    }

    proptest! {
        #[test]
        fn the_range_lies_between_right_budgets_and_costs_no_more_than_any_other_window(
            list in proptest::collection::vec((1_u32..500, 0_u32..500, any::<bool>()), 0..20)
        ) {
            let list = trials(&list);
            let range = ideal_range(&list);
            let last: std::collections::BTreeMap<u32, Trial> =
                list.iter().map(|t| (t.budget, *t)).collect();
            let right: Vec<Trial> = last.into_values().filter(|t| t.right).collect();
            prop_assert_eq!(range.is_some(), !right.is_empty());
            if let Some(range) = range {
                let inside: Vec<&Trial> =
                    right.iter().filter(|t| range.distance(t.budget) == 0).collect();
                let k = (right.len() / 3).max(1);
                prop_assert_eq!(inside.len(), k);
                let sum: u32 = inside.iter().map(|t| t.tokens).sum();
                for other in right.windows(k) {
                    prop_assert!(sum <= other.iter().map(|t| t.tokens).sum());
                }
            }
        }
    }
}
