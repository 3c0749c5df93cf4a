//! `summary.json`: the numbers of a run, and nothing that cannot be counted again from its journal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    analysis::Analysis,
    column::{Column, Point},
    data::{Circular, DataNote},
    post_train::PostTraining,
    search::SearchNumbers,
    stats::{Clusters, mcnemar_exact, ratio, real},
};

/// The method every other is compared with.
pub const BASELINE: &str = "vanilla-cot";

/// The numbers of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The run's name: the manifest's, else its folder's.
    pub name: String,
    /// The `tale` that made this summary.
    pub version: String,
    /// One row per model × data set × method, in the order of the manifest.
    pub rows: Vec<MethodRow>,
    /// Every method against vanilla CoT on the same questions.
    pub paired: Vec<Paired>,
    /// The run as a whole.
    pub totals: Totals,
    /// Budget searches, one row per model × data set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub searches: Vec<SearchNumbers>,
    /// What the numbers mean together, per model and data set.
    #[serde(default)]
    pub analysis: Vec<Analysis>,
    /// The data sets as the run found them, by their names in results.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub datasets: BTreeMap<String, DataNote>,
    /// Tasks of several questions, one row per model × data set × method that has such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub circular: Vec<Circular>,
    /// What led to trained models, in a post-training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_train: Option<PostTraining>,
}

/// What one method did on one data set with one model.
///
/// Means are per answered sample and `None` where there is nothing to average.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodRow {
    /// The model's name in results.
    pub llm: String,
    /// The data set's name in results.
    pub dataset: String,
    /// The method.
    pub method: String,
    /// Samples that the model answered. Failed ones are in `errors` and nowhere else.
    pub n: u64,
    /// Samples without an answer from the model.
    pub errors: u64,
    /// Right answers among the graded ones. Undecided and empty answers are wrong here.
    pub accuracy: Option<f64>,
    /// Wilson's 95% interval of `accuracy`. Answers to one question are no independent ones: where
    /// there are several, it is that of the effective number of answers.
    pub accuracy_ci95: Option<[f64; 2]>,
    /// Mean output tokens of the answering call.
    pub output_tokens: Option<f64>,
    /// The same with the estimate's calls.
    pub all_output_tokens: Option<f64>,
    /// Mean price over all calls of the method, in 10⁻⁵ US dollars.
    pub expense_1e5_usd: Option<f64>,
    /// Mean seconds of all calls, one after the other.
    pub latency_s: Option<f64>,
    /// Answers that could be graded: `n` less `ungraded`.
    pub graded: u64,
    /// Right ones among them.
    pub correct: u64,
    /// Answers about which the grader could not tell; wrong in `accuracy`.
    pub undecided: u64,
    /// Answers cut at `max_tokens` before any visible text; wrong in `accuracy`.
    pub empty: u64,
    /// Answers to questions without a gold answer; not in `accuracy`.
    pub ungraded: u64,
    /// Answers whose budget came by the fallback, since the estimate could not be read.
    pub fallbacks: u64,
    /// Mean budget asked for, in tokens, over the answers that had one.
    pub budget: Option<f64>,
    /// Mean prompt tokens of the answering call.
    pub input_tokens: Option<f64>,
    /// Answers whose output tokens nobody could count; left out of the means of tokens.
    pub uncounted: u64,
    /// Answers without a price; left out of `expense_1e5_usd`.
    pub unpriced: u64,
    /// Questions with an answer; fewer than `n` where each was asked several times.
    #[serde(default)]
    pub questions: u64,
    /// Of questions asked several times: the share of which at least one answer was right.
    #[serde(default)]
    pub any_correct: Option<f64>,
}

/// Method `a` against method `b` on the questions that both answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// The model's name in results.
    pub llm: String,
    /// The data set's name in results.
    pub dataset: String,
    /// The method.
    pub a: String,
    /// What it is compared with: vanilla CoT.
    pub b: String,
    /// Questions that both answered.
    pub n: u64,
    /// Accuracy of `a` less that of `b`, over `graded` questions.
    pub accuracy_delta: Option<f64>,
    /// Exact two-sided McNemar test of `accuracy_delta`; the sign test over questions where each was
    /// asked several times.
    pub p_value: Option<f64>,
    /// Output tokens of `a` over those of `b`, sum over sum, answering calls only.
    pub output_tokens_ratio: Option<f64>,
    /// 95% interval of it over the choice of questions; absent below five of them.
    pub output_tokens_ratio_ci95: Option<[f64; 2]>,
    /// The same ratio with the estimates' tokens.
    pub all_output_tokens_ratio: Option<f64>,
    /// 95% interval of it.
    pub all_output_tokens_ratio_ci95: Option<[f64; 2]>,
    /// Those of the `n` questions that have a gold answer.
    pub graded: u64,
    /// Accuracy of `a` on them.
    pub accuracy_a: Option<f64>,
    /// Accuracy of `b` on them.
    pub accuracy_b: Option<f64>,
    /// Questions that `a` alone got right, or more often than `b`.
    pub only_a: u64,
    /// Questions that `b` alone got right, or more often than `a`.
    pub only_b: u64,
    /// Questions on which `a` cost more output tokens than `b`, the estimate's included.
    pub a_cost_more: u64,
}

/// The run as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Samples, failed ones included.
    pub samples: u64,
    /// Failed ones among them.
    pub errors: u64,
    /// Finished calls. Two methods that ask the very same thing share one.
    pub calls: u64,
    /// The prices of these calls in US dollars; `None` where no call has a price.
    pub cost_usd: Option<f64>,
    /// What this run paid: `cost_usd` less the calls that the cache answered.
    #[serde(default)]
    pub spent_usd: Option<f64>,
    /// Calls that the cache answered, paid for by an earlier run.
    #[serde(default)]
    pub cached_calls: u64,
}

impl Summary {
    /// The row of `paired` that compares `method` with vanilla CoT, for one model and data set.
    #[must_use]
    pub fn pair(&self, llm: &str, dataset: &str, method: &str) -> Option<&Paired> {
        self.paired
            .iter()
            .find(|p| p.llm == llm && p.dataset == dataset && p.a == method)
    }

    /// Whether the rows come from more than one model or data set.
    #[must_use]
    pub fn is_mixed(&self) -> bool {
        self.rows
            .windows(2)
            .any(|w| w[0].llm != w[1].llm || w[0].dataset != w[1].dataset)
    }
}

impl Paired {
    /// Compares two columns, both ordered by position.
    pub(super) fn of(a: &Column, b: &Column) -> Self {
        let (mut n, mut graded, mut right_a, mut right_b) = (0, 0, 0.0, 0.0);
        let (mut only_a, mut only_b, mut a_cost_more) = (0, 0, 0);
        let (mut answers, mut everything) = (Vec::new(), Vec::new());
        for (x, y) in matched(&a.points, &b.points).filter(|(x, y)| x.answered() && y.answered()) {
            n += 1;
            if let (Some(x), Some(y)) = (x.graded(), y.graded()) {
                graded += 1;
                right_a += x;
                right_b += y;
                only_a += u64::from(x > y);
                only_b += u64::from(y > x);
            }
            if let (Some(p), Some(q)) = (x.output(), y.output()) {
                answers.push((p, q));
                let (all_p, all_q) = (p.saturating_add(x.estimate), q.saturating_add(y.estimate));
                everything.push((all_p, all_q));
                a_cost_more += u64::from(all_p > all_q);
            }
        }
        let (of_answers, of_everything) = (ratio(&answers), ratio(&everything));
        let share = |right: f64| (graded > 0).then(|| neat(right / real(graded)));
        Self {
            llm: a.cell.llm.clone(),
            dataset: a.cell.dataset.clone(),
            a: a.cell.method.clone(),
            b: b.cell.method.clone(),
            n,
            accuracy_delta: share(right_a).zip(share(right_b)).map(|(a, b)| neat(a - b)),
            p_value: (graded > 0).then(|| neat(mcnemar_exact(only_a, only_b))),
            output_tokens_ratio: of_answers.map(|r| neat(r.value)),
            output_tokens_ratio_ci95: of_answers.and_then(|r| r.ci95).map(|ci| ci.map(neat)),
            all_output_tokens_ratio: of_everything.map(|r| neat(r.value)),
            all_output_tokens_ratio_ci95: of_everything.and_then(|r| r.ci95).map(|ci| ci.map(neat)),
            graded,
            accuracy_a: share(right_a),
            accuracy_b: share(right_b),
            only_a,
            only_b,
            a_cost_more,
        }
    }
}

/// The points of both columns at the same questions.
pub(super) fn matched<'a>(
    a: &'a [Point],
    b: &'a [Point],
) -> impl Iterator<Item = (&'a Point, &'a Point)> {
    let mut rest = b.iter().peekable();
    a.iter().filter_map(move |x| {
        while rest.next_if(|y| y.position < x.position).is_some() {}
        rest.next_if(|y| y.position == x.position).map(|y| (x, y))
    })
}

/// Sums from which a [`MethodRow`] is made, one sample after the other.
#[derive(Default)]
pub(super) struct Tally {
    answered: u64,
    errors: u64,
    correct: u64,
    undecided: u64,
    empty: u64,
    ungraded: u64,
    fallbacks: u64,
    output: Mean,
    all_output: Mean,
    input: Mean,
    budget: Mean,
    cost: Mean,
    latency: Mean,
    questions: u64,
    any_correct: u64,
    clusters: Clusters,
}

impl Tally {
    /// Adds the repeats of one question.
    pub(super) fn question(&mut self, repeats: &[crate::store::Measure]) {
        let before = (self.answered, self.ungraded, self.correct);
        for measure in repeats {
            self.add(measure);
        }
        let graded = (self.answered - before.0) - (self.ungraded - before.1);
        let right = self.correct - before.2;
        self.questions += u64::from(self.answered > before.0);
        self.any_correct += u64::from(right > 0);
        self.clusters.add(right, graded);
    }

    fn add(&mut self, m: &crate::store::Measure) {
        use crate::store::Outcome;
        match m.outcome {
            Outcome::Failed => {
                self.errors += 1;
                return;
            }
            Outcome::Correct => self.correct += 1,
            Outcome::Wrong => {}
            Outcome::Undecided => self.undecided += 1,
            Outcome::Empty => self.empty += 1,
            Outcome::Ungraded => self.ungraded += 1,
        }
        self.answered += 1;
        self.fallbacks += u64::from(m.fell_back);
        self.latency.add(m.latency_s);
        if let Some(tokens) = m.output_tokens {
            self.output.add(f64::from(tokens));
            self.all_output
                .add(f64::from(tokens) + f64::from(m.estimate_output_tokens));
        }
        if let Some(tokens) = m.input_tokens {
            self.input.add(f64::from(tokens));
        }
        if let Some(budget) = m.budget {
            self.budget.add(f64::from(budget));
        }
        if let Some(usd) = m.cost_usd {
            self.cost.add(usd);
        }
    }

    pub(super) fn row(&self, cell: &crate::store::Cell) -> MethodRow {
        let graded = self.answered - self.ungraded;
        MethodRow {
            llm: cell.llm.clone(),
            dataset: cell.dataset.clone(),
            method: cell.method.clone(),
            n: self.answered,
            errors: self.errors,
            accuracy: (graded > 0).then(|| neat(real(self.correct) / real(graded))),
            accuracy_ci95: self.clusters.interval95().map(|ci| ci.map(neat)),
            output_tokens: self.output.get(),
            all_output_tokens: self.all_output.get(),
            expense_1e5_usd: self.cost.get().map(|usd| neat(usd * 1e5)),
            latency_s: self.latency.get(),
            graded,
            correct: self.correct,
            undecided: self.undecided,
            empty: self.empty,
            ungraded: self.ungraded,
            fallbacks: self.fallbacks,
            budget: self.budget.get(),
            input_tokens: self.input.get(),
            uncounted: self.answered - self.output.n,
            unpriced: self.answered - self.cost.n,
            questions: self.questions,
            any_correct: (self.clusters.graded > self.clusters.n)
                .then(|| neat(real(self.any_correct) / real(self.clusters.n))),
        }
    }
}

#[derive(Default)]
struct Mean {
    n: u64,
    sum: f64,
}

impl Mean {
    fn add(&mut self, x: f64) {
        self.n += 1;
        self.sum += x;
    }

    fn get(&self) -> Option<f64> {
        (self.n > 0).then(|| neat(self.sum / real(self.n)))
    }
}

/// `x` to 12 significant digits: more than any of these numbers means, and fewer than the last bits
/// that the order of a summation leaves.
pub(super) fn neat(x: f64) -> f64 {
    format!("{x:.11e}")
        .parse()
        .expect("what f64 prints, f64 reads")
}
