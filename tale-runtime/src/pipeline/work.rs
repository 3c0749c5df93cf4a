//! What a run does: one of the pipelines, ready to start.

use std::{future::Future, sync::Arc};

use super::{Ending, Evaluation, Observer, PipelineError, Search, Sweep, evaluate, search, sweep};

/// A pipeline with all that it needs.
pub enum Work {
    /// `task = "evaluate"`.
    Evaluate(Evaluation),
    /// `task = "search"`.
    Search(Search),
    /// `task = "sweep"`.
    Sweep(Sweep),
}

impl Work {
    /// Runs it until its end or until `stop` is ready.
    ///
    /// # Errors
    /// See [`PipelineError`].
    pub async fn run(
        &self,
        observer: Arc<dyn Observer>,
        stop: impl Future<Output = ()>,
    ) -> Result<Ending, PipelineError> {
        match self {
            Self::Evaluate(work) => evaluate(work, observer, stop).await,
            Self::Search(work) => search(work, observer, stop).await,
            Self::Sweep(work) => sweep(work, observer, stop).await,
        }
    }
}
