//! An estimator of token budgets (paper, section 4: budget estimation).

use std::sync::Arc;

use async_trait::async_trait;

use super::Llm;
use crate::messages::{Estimate, EstimateRequest, Result};

/// Finds a token budget for a question before it is answered.
#[async_trait]
pub trait Estimator: Send + Sync {
    /// A budget for the question, in output tokens.
    ///
    /// `llm` is the model that will answer, for estimators that ask it; calls made through it are
    /// journalled and priced by the runtime like any other.
    ///
    /// A reply that names no number is no error: return an [`Estimate`] without a budget and with
    /// the reason in `fallback`.
    ///
    /// # Errors
    /// Those of the model asked, handed on unchanged; the question then counts as failed.
    async fn estimate(&self, request: EstimateRequest, llm: Arc<dyn Llm>) -> Result<Estimate>;
}
