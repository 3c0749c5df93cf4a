//! What is asked of an estimator, and what it answers.

use serde::{Deserialize, Serialize};

use super::{Question, Usage};

/// A request to [`Estimator::estimate`](crate::Estimator::estimate).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EstimateRequest {
    /// The question a budget is wanted for. Its `gold` is left out: an estimator must not see it.
    pub question: Question,
    /// The text to estimate on. The bare question by default; the rendered prompt where the
    /// manifest says `estimate_on = "full-prompt"`, as the paper's code does.
    pub text: String,
}

/// A budget for one question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The budget in tokens, at least 1. Absent: no budget could be had, and the runtime falls back
    /// as the manifest says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u32>,
    /// Tokens that the estimate itself cost, over all its calls.
    #[serde(default)]
    pub usage: Usage,
    /// The model's raw reply, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// Why there is no budget, or how the one given was come by if not in the usual way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}
