//! The estimator `none`: no budget, so that whatever falls back does.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use tale_api::{CreateEnv, Estimate, EstimateRequest, Estimator, Llm, Result};

/// Options of [`NoEstimate`]: none.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NoEstimateOptions {}

/// Gives no budget and asks nobody: the control against which an estimator is measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEstimate;

impl NoEstimate {
    /// Creates the estimator.
    ///
    /// # Errors
    /// None.
    #[expect(clippy::unused_async, reason = "the form of a component's constructor")]
    pub async fn create(_: NoEstimateOptions, _: CreateEnv) -> Result<Self> {
        Ok(Self)
    }
}

#[async_trait]
impl Estimator for NoEstimate {
    async fn estimate(&self, _: EstimateRequest, _: Arc<dyn Llm>) -> Result<Estimate> {
        Ok(Estimate {
            fallback: Some("the estimator `none` gives no budget".to_owned()),
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
    async fn there_is_no_budget_and_the_reason_is_given() {
        let llm = Arc::new(ScriptedLlm::saying("[[7]]"));
        let request = EstimateRequest {
            question: Question::default(),
            text: "2+2?".to_owned(),
        };
        let estimate = NoEstimate.estimate(request, llm.clone()).await.unwrap();
        assert_eq!(estimate.budget, None);
        assert!(estimate.fallback.unwrap().contains("`none`"));
        assert_eq!(llm.requests().len(), 0);
    }
}
