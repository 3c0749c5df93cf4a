//! Rules by which a budget search goes on.

mod majority;

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use tale_api::{CreateEnv, Decision, Feasibility, FeasibilityRequest, Llm, Result};

pub use majority::{Majority, MajorityOptions};

/// Options of a rule that has none.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

/// Algorithm 2 of the paper: right, and fewer output tokens than the attempt accepted last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Greedy;

impl Greedy {
    /// Creates the rule.
    ///
    /// # Errors
    /// None.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(_: NoOptions, _: CreateEnv) -> Result<Self> {
        Ok(Self)
    }
}

#[async_trait]
impl Feasibility for Greedy {
    async fn is_feasible(&self, request: FeasibilityRequest, _: Arc<dyn Llm>) -> Result<Decision> {
        Ok(Decision::by_cost(&request.previous, &request.candidate))
    }
}

/// Right is enough, whatever it costs: finds how small a budget can be asked for before answers go
/// wrong, where [`Greedy`] stops as soon as the model spends more than before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Correct;

impl Correct {
    /// Creates the rule.
    ///
    /// # Errors
    /// None.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(_: NoOptions, _: CreateEnv) -> Result<Self> {
        Ok(Self)
    }
}

#[async_trait]
impl Feasibility for Correct {
    async fn is_feasible(&self, request: FeasibilityRequest, _: Arc<dyn Llm>) -> Result<Decision> {
        Ok(if request.candidate.correct {
            Decision::accept("right")
        } else {
            Decision::refuse("wrong answer")
        })
    }
}

#[cfg(test)]
mod tests {
    use tale_api::{Attempt, Question};

    use super::*;
    use crate::estimator::testing::ScriptedLlm;

    async fn decide(rule: &dyn Feasibility, output_tokens: u64, correct: bool) -> bool {
        let request = FeasibilityRequest {
            question: Question::default(),
            previous: Attempt::vanilla("[[72]]", 240, true),
            candidate: Attempt::under(120, "[[72]]", output_tokens, correct),
            ..FeasibilityRequest::default()
        };
        rule.is_feasible(request, Arc::new(ScriptedLlm::saying("")))
            .await
            .unwrap()
            .feasible
    }

    #[tokio::test]
    async fn greedy_wants_a_right_answer_that_costs_less() {
        assert!(decide(&Greedy, 239, true).await);
        assert!(!decide(&Greedy, 240, true).await);
        assert!(!decide(&Greedy, 10, false).await);
    }

    #[tokio::test]
    async fn correct_wants_a_right_answer_whatever_it_costs() {
        assert!(decide(&Correct, 500, true).await);
        assert!(!decide(&Correct, 10, false).await);
    }
}
