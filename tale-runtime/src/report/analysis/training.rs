//! How good an estimator is on questions that it was not trained on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tale_plugin_standard::estimator::{LearnedModel, Training, question_digest};

use super::{
    ideal::{Range, Trial, ideal_range},
    quality::{Quality, quality},
};

/// A searched question to learn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Searched {
    /// Its text.
    pub(crate) question: String,
    /// The budget that its search kept: where no smaller one was found, the length of the vanilla
    /// answer.
    pub(crate) budget: u32,
    /// Its ideal budget range (A.1).
    pub(crate) range: Range,
    trials: Vec<Trial>,
}

impl Searched {
    /// Takes further trials of the question into its range, from a sweep. A search that halves tries
    /// few budgets, so that its window is a single one.
    pub(crate) fn widen(&mut self, more: &[Trial]) {
        self.trials.extend_from_slice(more);
        // There is a range: the vanilla answer is right.
        self.range = ideal_range(&self.trials).unwrap_or(self.range);
    }
}

/// A line of `search.jsonl`, as far as it is needed.
#[derive(Deserialize)]
struct Line {
    question: String,
    vanilla: Option<Vanilla>,
    #[serde(default)]
    trace: Vec<Step>,
    budget: Option<u32>,
}

#[derive(Deserialize)]
struct Vanilla {
    output_tokens: Option<u32>,
    correct: bool,
}

#[derive(Deserialize)]
struct Step {
    budget: Option<u32>,
    output_tokens: Option<u32>,
    correct: bool,
}

/// Reads a line of `search.jsonl`; `None` for a question without a right vanilla answer of known
/// length, from which nothing can be learned.
///
/// # Errors
/// What is wrong with the line.
pub(crate) fn searched(line: &str) -> Result<Option<Searched>, serde_json::Error> {
    let line: Line = serde_json::from_str(line)?;
    let Some(tokens) = line
        .vanilla
        .filter(|v| v.correct)
        .and_then(|v| v.output_tokens)
        .filter(|t| *t > 0)
    else {
        return Ok(None);
    };
    let mut trials = vec![Trial {
        budget: tokens,
        tokens,
        right: true,
    }];
    trials.extend(line.trace.iter().filter_map(|s| {
        Some(Trial {
            budget: s.budget?,
            tokens: s.output_tokens?,
            right: s.correct,
        })
    }));
    Ok(ideal_range(&trials).map(|range| Searched {
        question: line.question,
        budget: line.budget.unwrap_or(tokens),
        range,
        trials,
    }))
}

/// Estimates for every question by a model that was trained on the others, `folds` parts taking
/// turns. Questions of the same text are in the same part.
pub(crate) fn held_out(questions: &[Searched], how: Training, folds: usize) -> Vec<u32> {
    held_out_by(questions, folds, |part| {
        let model = LearnedModel::train(part, how);
        Box::new(move |text| model.as_ref().map_or(1, |m| m.predict(text)))
    })
}

/// The same for the constant estimator, whose budget is the median of those it has learned from.
pub(crate) fn held_out_median(questions: &[Searched], folds: usize) -> Vec<u32> {
    held_out_by(questions, folds, |part| {
        let mut budgets: Vec<u32> = part.iter().map(|(_, b)| *b).collect();
        budgets.sort_unstable();
        let median = budgets.get(budgets.len() / 2).copied().unwrap_or(1);
        Box::new(move |_| median)
    })
}

type Predict = Box<dyn Fn(&str) -> u32>;

fn held_out_by(
    questions: &[Searched],
    folds: usize,
    train: impl Fn(&[(&str, u32)]) -> Predict,
) -> Vec<u32> {
    let digests: Vec<String> = questions
        .iter()
        .map(|q| question_digest(&q.question))
        .collect();
    // By the order of their digests: as good as drawn, and the same in every run.
    let part_of: BTreeMap<&String, usize> = digests
        .iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .enumerate()
        .map(|(i, digest)| (digest, i % folds))
        .collect();
    let mut estimates = vec![1; questions.len()];
    for fold in 0..folds {
        let is_held_out = |i: &usize| part_of[&digests[*i]] == fold;
        let part: Vec<(&str, u32)> = (0..questions.len())
            .filter(|i| !is_held_out(i))
            .map(|i| (questions[i].question.as_str(), questions[i].budget))
            .collect();
        let predict = train(&part);
        for i in (0..questions.len()).filter(is_held_out) {
            estimates[i] = predict(&questions[i].question);
        }
    }
    estimates
}

/// An estimator's name and how good it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Judged {
    /// Its name, and on what it was judged.
    pub(crate) estimator: String,
    /// How good.
    #[serde(flatten)]
    pub(crate) quality: Quality,
}

impl Judged {
    /// Judges an estimate for each question; those without one are left out.
    pub(crate) fn new(
        estimator: String,
        questions: &[Searched],
        estimates: impl IntoIterator<Item = Option<u32>>,
    ) -> Self {
        let pairs: Vec<(u32, Range)> = questions
            .iter()
            .zip(estimates)
            .filter_map(|(q, estimate)| Some((estimate?, q.range)))
            .collect();
        Self {
            estimator,
            quality: quality(&pairs),
        }
    }
}

#[cfg(test)]
mod tests {
    use tale_plugin_standard::estimator::LearnedKind;

    use super::*;

    fn question(i: u32, budget: u32) -> Searched {
        Searched {
            question: format!("Ann buys {i} {}. How many?", "apples ".repeat(i as usize)),
            budget,
            range: Range {
                low: budget,
                high: budget,
            },
            trials: Vec::new(),
        }
    }

    #[test]
    fn a_line_of_a_search_gives_its_budget_and_ideal_range() {
        let line = r#"{"id": "1", "question": "2+2?", "gold": "4", "new": 1,
            "vanilla": {"output_tokens": 120, "correct": true},
            "trace": [{"budget": 60, "output_tokens": 50, "correct": true, "feasible": true},
                      {"budget": 30, "output_tokens": 40, "correct": true, "feasible": true},
                      {"budget": 15, "output_tokens": 60, "correct": false, "feasible": false}],
            "budget": 30, "output_tokens": 40}"#;
        let q = searched(line).unwrap().unwrap();
        assert_eq!(q.budget, 30);
        // Three right budgets: windows of one, the cheapest is 30.
        assert_eq!(q.range, Range { low: 30, high: 30 });
        let wrong = line.replace(
            "\"output_tokens\": 120, \"correct\": true",
            "\"output_tokens\": 120, \"correct\": false",
        );
        assert_eq!(searched(&wrong).unwrap(), None);
        let none = r#"{"question": "x", "vanilla": {"output_tokens": 9, "correct": true}, "trace": [], "budget": null}"#;
        assert_eq!(searched(none).unwrap().unwrap().budget, 9);
        assert!(searched("{}").is_err());
    }

    #[test]
    fn trials_of_a_sweep_widen_a_range() {
        let line = r#"{"question": "x", "vanilla": {"output_tokens": 90, "correct": true},
            "trace": [{"budget": 45, "output_tokens": 40, "correct": true}], "budget": 45}"#;
        let mut q = searched(line).unwrap().unwrap();
        assert_eq!(q.range, Range { low: 45, high: 45 });
        let trial = |budget, tokens, right| Trial {
            budget,
            tokens,
            right,
        };
        // Right are now 40, 45, 50, 60, 80, 90: windows of two, the cheapest is 40 and 45.
        q.widen(&[
            trial(40, 38, true),
            trial(50, 60, true),
            trial(60, 60, true),
            trial(80, 70, true),
            trial(10, 5, false),
        ]);
        assert_eq!(q.range, Range { low: 40, high: 45 });
        assert_eq!(q.budget, 45);
    }

    /// An estimator that merely remembers would be perfect on what it has seen and is the median on
    /// what it has not.
    #[test]
    fn no_question_is_judged_by_a_model_that_has_seen_it() {
        let questions: Vec<Searched> = (1..=20).map(|i| question(i, 10 * i)).collect();
        let remembered = held_out_by(&questions, 5, |part| {
            let known: BTreeMap<String, u32> =
                part.iter().map(|(t, b)| ((*t).to_owned(), *b)).collect();
            Box::new(move |text| known.get(text).copied().unwrap_or(7))
        });
        assert_eq!(remembered, [7; 20]);
    }

    #[test]
    fn the_same_question_twice_is_held_out_twice() {
        let mut questions: Vec<Searched> = (1..=10).map(|i| question(i, 50)).collect();
        questions.extend((1..=10).map(|i| question(i, 50)));
        let seen = held_out_by(&questions, 3, |part| {
            let known: BTreeSet<String> = part.iter().map(|(t, _)| (*t).to_owned()).collect();
            Box::new(move |text| u32::from(known.contains(text)))
        });
        assert_eq!(seen, [0; 20]);
    }

    #[test]
    fn a_regression_beats_the_median_where_length_decides() {
        let questions: Vec<Searched> = (1..=40).map(|i| question(i, 10 * i)).collect();
        let how = Training {
            kind: LearnedKind::Regression,
            ..Training::default()
        };
        let error = |estimates: Vec<u32>| {
            Judged::new(String::new(), &questions, estimates.into_iter().map(Some))
                .quality
                .mean_abs_error
                .unwrap()
        };
        assert!(error(held_out(&questions, how, 5)) < error(held_out_median(&questions, 5)) / 2.0);
    }
}
