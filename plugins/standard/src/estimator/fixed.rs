//! The estimator `fixed`: the same budget for every question.

use std::{num::NonZeroU32, sync::Arc};

use async_trait::async_trait;
use serde::Deserialize;
use tale_api::{CreateEnv, Estimate, EstimateRequest, Estimator, Llm, Result};

/// Options of [`Fixed`].
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FixedOptions {
    /// The budget for every question, in tokens.
    pub budget: NonZeroU32,
}

/// Gives every question the same budget and asks nobody.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    budget: NonZeroU32,
}

impl Fixed {
    /// Creates the estimator.
    ///
    /// # Errors
    /// None.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(options: FixedOptions, _: CreateEnv) -> Result<Self> {
        Ok(Self {
            budget: options.budget,
        })
    }
}

#[async_trait]
impl Estimator for Fixed {
    async fn estimate(&self, _: EstimateRequest, _: Arc<dyn Llm>) -> Result<Estimate> {
        Ok(Estimate {
            budget: Some(self.budget.get()),
            ..Estimate::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use tale_api::Question;

    use super::*;
    use crate::estimator::testing::ScriptedLlm;

    #[tokio::test]
    async fn every_question_gets_the_same_budget_and_no_call_is_made() {
        let options = serde_json::from_str(r#"{"budget": 50}"#).unwrap();
        let fixed = Fixed::create(options, CreateEnv::default()).await.unwrap();
        let llm = Arc::new(ScriptedLlm::saying("[[7]]"));
        let request = EstimateRequest {
            question: Question::default(),
            text: "2+2?".to_owned(),
        };
        let estimate = fixed.estimate(request, llm.clone()).await.unwrap();
        assert_eq!(
            estimate,
            Estimate {
                budget: Some(50),
                ..Estimate::default()
            }
        );
        assert_eq!(llm.requests().len(), 0);
    }

    #[test]
    fn a_budget_of_zero_or_a_typing_error_is_refused() {
        for options in [
            r#"{"budget": 0}"#,
            r#"{"budget": -1}"#,
            r#"{"budgt": 5}"#,
            "{}",
        ] {
            assert!(
                serde_json::from_str::<FixedOptions>(options).is_err(),
                "{options}"
            );
        }
    }
}
