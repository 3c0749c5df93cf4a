//! TALE's standard data sets, estimators, feasibility rules and prompts.
//!
//! Linked into the `tale` binary and offered through the same descriptor that a loaded library
//! exports, so that nothing here can do what a third party's plugin cannot. The [`prompts`] are the
//! exception: they are data that the runtime renders, not a component.
#![deny(missing_docs)]

pub mod dataset;
pub mod estimator;
pub mod feasibility;
pub mod prompts;
#[cfg(test)]
mod schema_test;

pub use prompts::{Alpha, LimitUnit, Method, PromptError, PromptSet};

use dataset::{
    CodeSummary, EmpatheticDialogues, Gpqa, Gsm8k, Gsm8kZero, Inline, MathBench, Mbpp, Table,
};
use estimator::{Fixed, Knn, NoEstimate, Regression, ZeroShot};
use feasibility::{Correct, Greedy, Majority};

tale_api::define_plugin! {
    name: "standard",
    components: [
        dataset "gsm8k" => Gsm8k::create,
            "GSM8K: grade-school mathematics in words (MIT)",
            include_str!("../schemas/dataset.gsm8k.json");
        dataset "gsm8k-zero" => Gsm8kZero::create,
            "GSM8K-Zero: questions that hold their own answer",
            include_str!("../schemas/dataset.gsm8k.json");
        dataset "inline" => Inline::create,
            "Questions written in the manifest",
            include_str!("../schemas/dataset.inline.json");
        dataset "mathbench" => MathBench::create,
            "MathBench: mathematics by level, English and Chinese (Apache-2.0)",
            include_str!("../schemas/dataset.mathbench.json");
        dataset "gpqa" => Gpqa::create,
            "GPQA: graduate-level multiple choice (CC-BY-4.0)",
            include_str!("../schemas/dataset.gpqa.json");
        dataset "mbpp" => Mbpp::create,
            "MBPP: small Python programs; compared as text, never run (CC-BY-4.0)",
            include_str!("../schemas/dataset.published.json");
        dataset "code-summary" => CodeSummary::create,
            "CodeXGLUE's code-to-text: code summarised in a sentence (C-UDA-1.0)",
            include_str!("../schemas/dataset.published.json");
        dataset "empathetic-dialogues" => EmpatheticDialogues::create,
            "EmpatheticDialogues: a reply to somebody who tells how they feel (CC-BY-NC-4.0)",
            include_str!("../schemas/dataset.published.json");
        dataset "table" => Table::create,
            "Any JSONL, CSV or Parquet, its fields named by options",
            include_str!("../schemas/dataset.table.json");
        dataset "jsonl" => Table::create,
            "The same as `table`, by an older name",
            include_str!("../schemas/dataset.table.json");
        estimator "zero-shot" => ZeroShot::create,
            "Asks the model itself how many tokens an answer takes (the paper's)",
            include_str!("../schemas/estimator.zero-shot.json");
        estimator "fixed" => Fixed::create,
            "The same budget for every question",
            include_str!("../schemas/estimator.fixed.json");
        estimator "none" => NoEstimate::create,
            "No budget: every question falls back",
            include_str!("../schemas/estimator.none.json");
        estimator "regression" => Regression::create,
            "Ridge regression on numbers of the question, trained on searched budgets; no call",
            include_str!("../schemas/estimator.regression.json");
        estimator "knn" => Knn::create,
            "The budgets of the nearest searched questions; no call",
            include_str!("../schemas/estimator.knn.json");
        feasibility "greedy" => Greedy::create,
            "Right, and cheaper than the attempt accepted last (Algorithm 2 of the paper)",
            include_str!("../schemas/feasibility.greedy.json");
        feasibility "correct" => Correct::create,
            "Right, whatever it costs",
            include_str!("../schemas/feasibility.correct.json");
        feasibility "majority" => Majority::create,
            "As greedy, and right in most of several answers: for models that are not deterministic",
            include_str!("../schemas/feasibility.majority.json");
    ]
}
