//! The oracle bound: what a choice of the method question by question could reach.

use std::collections::BTreeMap;

/// One method's answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Best {
    right: bool,
    tokens: u32,
}

/// Takes answers and keeps, per question, the cheapest right one; where none is right, the cheapest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Oracle {
    best: BTreeMap<u64, Best>,
}

/// What the oracle reaches.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bound {
    /// Questions with at least one graded answer of known length.
    pub(crate) n: u64,
    /// Those that some method got right.
    pub(crate) right: u64,
    /// Output tokens of the chosen answers, one per question in the order of the data set.
    pub(crate) tokens: Vec<u32>,
}

impl Oracle {
    /// Takes one answer to the question at `position`; `tokens` with the estimate's.
    pub(crate) fn add(&mut self, position: u64, right: bool, tokens: u32) {
        let new = Best { right, tokens };
        let best = self.best.entry(position).or_insert(new);
        if (new.right, std::cmp::Reverse(new.tokens)) > (best.right, std::cmp::Reverse(best.tokens))
        {
            *best = new;
        }
    }

    /// The bound; `None` without answers.
    #[must_use]
    pub(crate) fn bound(&self) -> Option<Bound> {
        let tokens: Vec<u32> = self.best.values().map(|b| b.tokens).collect();
        (!tokens.is_empty()).then(|| Bound {
            n: self.best.len() as u64,
            right: self.best.values().filter(|b| b.right).count() as u64,
            tokens,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_cheapest_right_answer_is_chosen_and_else_the_cheapest() {
        let mut oracle = Oracle::default();
        for (position, right, tokens) in [
            (0, false, 5),
            (0, true, 90),
            (0, true, 60),
            (1, false, 40),
            (1, false, 7),
            (2, true, 10),
        ] {
            oracle.add(position, right, tokens);
        }
        let bound = oracle.bound().unwrap();
        assert_eq!((bound.n, bound.right), (3, 2));
        assert_eq!(bound.tokens, [60, 7, 10]);
        assert_eq!(Oracle::default().bound(), None);
    }

    proptest! {
        #[test]
        fn no_method_is_more_often_right_than_the_oracle(
            answers in proptest::collection::vec((0_u64..9, 0_usize..4, any::<bool>(), 0_u32..99), 1..60)
        ) {
            let mut oracle = Oracle::default();
            // The last answer of a method to a question is its answer.
            let last: BTreeMap<(u64, usize), (bool, u32)> =
                answers.iter().map(|&(q, m, right, t)| ((q, m), (right, t))).collect();
            for (&(q, _), &(right, tokens)) in &last {
                oracle.add(q, right, tokens);
            }
            let bound = oracle.bound().unwrap();
            for method in 0..4 {
                let right = last.iter().filter(|((_, m), (r, _))| *m == method && *r).count();
                prop_assert!(right as u64 <= bound.right);
            }
        }
    }
}
