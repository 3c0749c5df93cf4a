//! The attempts of a budget search and the decision between them (paper, Algorithm 2).

use serde::{Deserialize, Serialize};

use super::{Message, Question};

/// One answer in a budget search, with what it cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The budget asked for, in tokens; absent for the vanilla chain of thought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u32>,
    /// The model's visible text.
    pub text: String,
    /// Tokens generated, as the provider counts them.
    pub output_tokens: u64,
    /// Whether the answer is right.
    pub correct: bool,
}

impl Attempt {
    /// The vanilla chain of thought.
    pub fn vanilla(text: impl Into<String>, output_tokens: u64, correct: bool) -> Self {
        Self {
            budget: None,
            text: text.into(),
            output_tokens,
            correct,
        }
    }

    /// An answer under `budget` tokens.
    pub fn under(budget: u32, text: impl Into<String>, output_tokens: u64, correct: bool) -> Self {
        Self {
            budget: Some(budget),
            text: text.into(),
            output_tokens,
            correct,
        }
    }
}

/// A request to [`Feasibility::is_feasible`](crate::Feasibility::is_feasible).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeasibilityRequest {
    /// The question.
    pub question: Question,
    /// The attempt accepted last; at the first call the vanilla chain of thought.
    pub previous: Attempt,
    /// The attempt to judge.
    pub candidate: Attempt,
    /// The conversation that the candidate answers, for a rule that asks again. Empty from a runtime
    /// before 0.2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
}

/// Whether a candidate budget is kept, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether the budget is feasible.
    pub feasible: bool,
    /// One line; it lands in `search.jsonl`.
    pub reason: String,
}

impl Decision {
    /// Keeps the candidate.
    pub fn accept(reason: impl Into<String>) -> Self {
        Self {
            feasible: true,
            reason: reason.into(),
        }
    }

    /// Refuses the candidate.
    pub fn refuse(reason: impl Into<String>) -> Self {
        Self {
            feasible: false,
            reason: reason.into(),
        }
    }

    /// Algorithm 2 of the paper: right, and fewer output tokens than the attempt accepted last.
    /// Equal cost is no gain and is refused.
    #[must_use]
    pub fn by_cost(previous: &Attempt, candidate: &Attempt) -> Self {
        if !candidate.correct {
            return Self::refuse("wrong answer");
        }
        let (before, now) = (previous.output_tokens, candidate.output_tokens);
        if now < before {
            Self::accept(format!("right, {now} < {before} output tokens"))
        } else {
            Self::refuse(format!(
                "right, but {now} output tokens are not fewer than {before}"
            ))
        }
    }
}
