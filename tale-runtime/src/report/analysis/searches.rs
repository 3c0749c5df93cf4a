//! What the budget searches of one model and data set found.

use super::{
    Example, SearchFindings, Share,
    curves::Curve,
    gather::{ideal_ranges, mean_of, ratio_of},
    ideal::{Range, Trial, ideal_range},
};
use crate::{
    report::stats::quantile,
    store::{AttemptRow, Outcome, SearchEnding, SearchRow},
};

/// Examples held to choose one from.
const EXAMPLES: usize = 200;

/// Takes searches one after the other.
#[derive(Default)]
pub(in crate::report) struct Searches {
    n: u64,
    budgets: Vec<u32>,
    /// Output tokens of the answer kept and of the vanilla one.
    tokens: Vec<(u32, u32)>,
    calls: Vec<u32>,
    ranges: Vec<Range>,
    turns: u64,
    elastic: u64,
    examples: Vec<Example>,
}

impl Searches {
    pub(in crate::report) fn add(&mut self, search: &SearchRow) {
        self.calls.push(small(search.measure.calls));
        let is_started = matches!(
            search.measure.ending,
            SearchEnding::Found | SearchEnding::NoShorterBudget
        );
        let (Some(vanilla), Some(kept), true) = (search.vanilla(), search.kept(), is_started)
        else {
            return;
        };
        self.n += 1;
        let (Some(before), Some(after)) = (vanilla.output_tokens, kept.output_tokens) else {
            return;
        };
        self.tokens.push((small(after), small(before)));
        if let Some(budget) = kept.budget {
            self.budgets.push(budget);
            if self.examples.len() < EXAMPLES {
                self.examples.push(Example {
                    id: search.id.clone(),
                    question: search.question.clone(),
                    vanilla: vanilla.call.completion.clone(),
                    vanilla_tokens: before,
                    budget,
                    kept: kept.call.completion.clone(),
                    kept_tokens: after,
                });
            }
        }
        let trials: Vec<Trial> = search.attempts.iter().filter_map(trial).collect();
        self.ranges.extend(ideal_range(&trials));
        // The vanilla answer is no trial here: nobody asked it for a length.
        let asked: Vec<Trial> = search.attempts[1..].iter().filter_map(trial).collect();
        if let Some(turn) = Curve::new(&asked).turn() {
            self.turns += 1;
            self.elastic += u64::from(turn.is_elastic());
        }
    }

    /// Vanilla and kept tokens of each question, for the figure.
    pub(in crate::report) fn pairs(&self) -> Vec<(u32, u32)> {
        self.tokens
            .iter()
            .map(|&(kept, vanilla)| (vanilla, kept))
            .collect()
    }

    /// `None` without searches.
    pub(in crate::report) fn finish(mut self) -> Option<SearchFindings> {
        if self.calls.is_empty() {
            return None;
        }
        let mut budgets: Vec<f64> = self.budgets.iter().map(|b| f64::from(*b)).collect();
        budgets.sort_by(f64::total_cmp);
        let quantiles = || [0.05, 0.25, 0.5, 0.75, 0.95].map(|q| quantile(&budgets, q));
        // By the product, so that no ratio of whole numbers is rounded.
        self.examples.sort_by(|a, b| {
            (a.kept_tokens * b.vanilla_tokens).cmp(&(b.kept_tokens * a.vanilla_tokens))
        });
        let middle = self.examples.len() / 2;
        Some(SearchFindings {
            n: self.n,
            found: Share::new(self.budgets.len() as u64, self.n),
            budgets: (!budgets.is_empty()).then(quantiles),
            kept_of_vanilla: ratio_of(&self.tokens),
            calls: mean_of(self.calls.iter().copied()),
            ideal: ideal_ranges(&self.ranges),
            elastic: Share::new(self.elastic, self.turns),
            example: (!self.examples.is_empty()).then(|| self.examples.swap_remove(middle)),
        })
    }
}

/// The attempt as a trial; the vanilla answer as one under its own length.
pub(super) fn trial(attempt: &AttemptRow) -> Option<Trial> {
    let tokens = small(attempt.output_tokens?);
    Some(Trial {
        budget: attempt.budget.unwrap_or(tokens),
        tokens,
        right: attempt.outcome == Outcome::Correct,
    })
}

/// Tokens beyond 2³² are no tokens anybody counts.
fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
