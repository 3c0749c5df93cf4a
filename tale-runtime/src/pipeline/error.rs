//! Why a pipeline stopped before its end.

use crate::store::StoreError;

/// Why a pipeline stopped before its end. Everything committed until then is safe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The journal cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data set cannot be read further.
    #[error("data set `{dataset}`: {error}")]
    Dataset {
        /// The data set's name in results.
        dataset: String,
        /// What it said.
        #[source]
        error: tale_api::Error,
    },
    /// A model or estimator failed in a way that every further question would meet too.
    #[error("{dataset} question `{question}`: {error}")]
    Final {
        /// The data set's name in results.
        dataset: String,
        /// The question's id.
        question: String,
        /// What went wrong.
        #[source]
        error: tale_api::Error,
    },
    /// A template cannot be rendered.
    #[error("{dataset} question `{question}`: {cause}")]
    Prompt {
        /// The data set's name in results.
        dataset: String,
        /// The question's id.
        question: String,
        /// What is wrong with the template or the question.
        cause: String,
    },
}

impl PipelineError {
    /// Whether the run may not spend more. Everything that was paid for is in the journal, and a
    /// larger cap goes on from there.
    #[must_use]
    pub fn is_cap_reached(&self) -> bool {
        matches!(self, Self::Final { error, .. } if super::is_cap_reached(error))
    }
}
