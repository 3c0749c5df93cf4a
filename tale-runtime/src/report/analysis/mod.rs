//! What the numbers mean together: scores, bounds, curves, estimators. `docs/analysis.md` explains
//! each of them.
//!
//! The files beside this one are pure functions on plain data; [`gather`] fills them from a journal,
//! `sheets` writes them as tables.

pub(super) mod across;
pub(super) mod curves;
pub(super) mod gather;
pub(crate) mod ideal;
pub(super) mod oracle;
pub(crate) mod quality;
pub(super) mod scores;
pub(super) mod searches;
pub(super) mod sheets;
pub(super) mod training;

use serde::{Deserialize, Serialize};

use super::{
    stats::{real, wilson95},
    summary::neat,
};

/// A number with its 95% interval over the choice of questions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The number.
    pub value: f64,
    /// Lower and upper end; absent where there are too few questions to say.
    pub ci95: Option<[f64; 2]>,
}

/// A part of a whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The part.
    pub of: u64,
    /// The whole.
    pub n: u64,
    /// `of / n`.
    pub value: f64,
    /// Wilson's 95% interval.
    pub ci95: [f64; 2],
}

impl Share {
    /// `None` of nothing.
    #[must_use]
    pub fn new(of: u64, n: u64) -> Option<Self> {
        let ci95 = wilson95(of, n)?;
        Some(Self {
            of,
            n,
            value: neat(real(of) / real(n)),
            ci95: ci95.map(neat),
        })
    }
}

/// What the report finds in one model's answers to one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// The model's name in results.
    pub llm: String,
    /// The data set's name in results.
    pub dataset: String,
    /// Scores of each method that has graded answers of known length, in the order of the manifest.
    pub methods: Vec<Scores>,
    /// The cheapest right method question by question; only of several methods.
    pub oracle: Option<OracleBound>,
    /// TALE-EP by its factor on estimates, smallest first; empty unless several were run (A.8).
    pub alphas: Vec<AlphaStep>,
    /// What was asked for and what was used, per method with a budget, smallest mean budget first.
    pub budgets: Vec<BudgetStep>,
    /// What questions do under several budgets.
    pub curves: Option<Curves>,
    /// Budget searches.
    pub search: Option<SearchFindings>,
}

/// Scores of one method that weigh accuracy against length. Lengths are output tokens with the
/// estimate's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The method.
    pub method: String,
    /// Graded answers of known length.
    pub n: u64,
    /// Mean length.
    pub tokens: Interval,
    /// Mean seconds of all calls of a sample, the estimate's included (A.7).
    pub seconds: Option<Interval>,
    /// Whether no other method is as accurate for fewer tokens (or more accurate for as many).
    pub on_front: bool,
    /// Hard-k concise accuracy for the k of [`HCA_K`].
    pub hca: Vec<Share>,
    /// Soft-k concise accuracy, k and α as in [`SCA_K`] and [`SCA_ALPHA`].
    pub sca: Interval,
    /// Consistent concise accuracy, β as in [`CCA_BETA`].
    pub cca: Interval,
    /// `OckScore`.
    pub ock_score: f64,
}

/// The lengths of HCA, in tokens.
pub(super) const HCA_K: [u32; 3] = [50, 100, 200];
/// The length of SCA and CCA, in tokens.
pub(super) const SCA_K: f64 = 100.0;
/// The tolerance of SCA and CCA, in tokens.
pub(super) const SCA_ALPHA: f64 = 10.0;
/// The deviation that CCA tolerates, in tokens.
pub(super) const CCA_BETA: f64 = 40.0;

/// What choosing the method question by question could reach at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OracleBound {
    /// Methods to choose from.
    pub methods: u64,
    /// Accuracy.
    pub accuracy: Share,
    /// Mean output tokens of the chosen answers, estimates included.
    pub tokens: Interval,
}

/// TALE-EP under one factor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlphaStep {
    /// The factor on estimates.
    pub alpha: f64,
    /// The method that had it.
    pub method: String,
    /// Answered samples.
    pub n: u64,
    /// Mean budget asked for.
    pub budget: Option<f64>,
    /// Accuracy.
    pub accuracy: Option<f64>,
    /// Wilson's interval.
    pub accuracy_ci95: Option<[f64; 2]>,
    /// Mean output tokens of the answers.
    pub output_tokens: Option<f64>,
}

/// Answers under one budget, or one rule for budgets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetStep {
    /// The method.
    pub method: String,
    /// Answers with a budget and a length.
    pub n: u64,
    /// Mean budget asked for, in tokens.
    pub budget: f64,
    /// Accuracy among the graded ones.
    pub accuracy: Option<Share>,
    /// Mean output tokens of the answers.
    pub tokens: Interval,
    /// Obedience: tokens used over tokens asked for, sum over sum.
    pub used_of_asked: Interval,
    /// Answers that kept to their budget.
    pub within: Share,
}

/// Questions under at least two budgets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// How many.
    pub n: u64,
    /// Those whose tokens are higher under the smallest budget than under their best one.
    pub elastic: Option<Share>,
    /// Tokens under the smallest budget over the fewest, sum over sum.
    pub rise: Option<Interval>,
    /// Of those with a searched budget and trials on both sides of it: right from it on, wrong below.
    pub monotone: Option<Share>,
    /// Of those both right and wrong: right from some budget on, wrong below.
    pub monotone_somewhere: Option<Share>,
    /// Questions with an ideal budget range (A.1) and the medians of its ends.
    pub ideal: Option<IdealRanges>,
}

/// Ideal budget ranges of many questions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdealRanges {
    /// Questions that have one.
    pub n: u64,
    /// Median of the lower ends, in tokens.
    pub low: f64,
    /// Median of the upper ends, in tokens.
    pub high: f64,
}

/// Budget searches of many questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchFindings {
    /// Searches with a result: a smaller budget, or a right vanilla answer.
    pub n: u64,
    /// Those that found a smaller budget.
    pub found: Option<Share>,
    /// The 5th, 25th, 50th, 75th and 95th percentile of the budgets found, in tokens.
    pub budgets: Option<[f64; 5]>,
    /// Output tokens of the answers kept over those of vanilla CoT, sum over sum; a search that
    /// found nothing keeps its vanilla answer.
    pub kept_of_vanilla: Option<Interval>,
    /// Mean calls a question.
    pub calls: Option<Interval>,
    /// Ideal budget ranges (A.1) over the budgets tried, the vanilla answer as one of its own length.
    pub ideal: Option<IdealRanges>,
    /// Those whose tokens rose again under the smallest budget tried.
    pub elastic: Option<Share>,
    /// A question for Figure 1: the one whose saving is the median, if any found a budget.
    pub example: Option<Example>,
}

/// One question's answers without and with its searched budget (the paper's Figure 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The question's id.
    pub id: String,
    /// The question.
    pub question: String,
    /// The vanilla answer.
    pub vanilla: String,
    /// Its output tokens.
    pub vanilla_tokens: u64,
    /// The budget found.
    pub budget: u32,
    /// The answer under it.
    pub kept: String,
    /// Its output tokens.
    pub kept_tokens: u64,
}
