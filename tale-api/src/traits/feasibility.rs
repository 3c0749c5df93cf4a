//! The rule by which a budget search goes on or stops.

use std::sync::Arc;

use async_trait::async_trait;

use super::Llm;
use crate::messages::{Decision, FeasibilityRequest, Result};

/// Decides whether a budget search may keep a smaller budget.
///
/// Questions are searched concurrently: one instance sees interleaved calls and keeps no state
/// between them.
#[async_trait]
pub trait Feasibility: Send + Sync {
    /// Judges `request.candidate` against `request.previous`.
    ///
    /// Called once per candidate, in order, after the answer under that candidate is known. Budgets
    /// and `output_tokens` are both in tokens as the provider counts them.
    ///
    /// `llm` is the model under search, for rules that ask again; its calls are journalled and
    /// priced like any other.
    ///
    /// A refusal is no error: return [`Decision::refuse`] with a reason of one line.
    ///
    /// # Errors
    /// Those of a model it asked, handed on unchanged.
    ///
    /// # Source
    /// Algorithm 2 of the paper is [`Decision::by_cost`].
    ///
    /// # Examples
    /// ```
    /// # use tale_api::{Attempt, Decision};
    /// let previous = Attempt::vanilla("48 / 2 = 24, 48 + 24 = 72. [[72]]", 240, true);
    /// let candidate = Attempt::under(120, "48 + 24 = [[72]]", 96, true);
    /// assert!(Decision::by_cost(&previous, &candidate).feasible);
    /// ```
    async fn is_feasible(&self, request: FeasibilityRequest, llm: Arc<dyn Llm>)
    -> Result<Decision>;
}
