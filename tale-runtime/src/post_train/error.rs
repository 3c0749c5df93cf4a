//! Why a post-training does not come to its end.

use std::{collections::BTreeMap, io, path::PathBuf};

use super::Shared;
use crate::{
    diagnostics::Diagnostic,
    export::ExportError,
    pipeline::PipelineError,
    plan::{self, OpenError},
    report::ReportError,
    run_dir::AdoptError,
    store::StoreError,
};

/// Why a post-training stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostTrainError {
    /// The directory holds a run of another task.
    #[error("`{}` holds a run of another task", dir.display())]
    OtherTask {
        /// The directory.
        dir: PathBuf,
    },
    /// Questions are both searched and held out.
    #[error("{} of the questions that are held out are also trained on", .0.count)]
    Overlap(Shared),
    /// The search gave fewer pairs than are worth a training.
    #[error("the search gave {pairs} training pairs, and `min_pairs` is {wanted}")]
    FewPairs {
        /// How many it gave.
        pairs: u64,
        /// How many are wanted.
        wanted: u64,
        /// Questions without a pair, by reason.
        skipped: BTreeMap<&'static str, u64>,
    },
    /// The trainer left no adapter in the form that the model takes.
    #[error("trainer `{trainer}` left no `{}`, which the model takes", path.display())]
    NoAdapter {
        /// The trainer's name in results.
        trainer: String,
        /// What is missing.
        path: PathBuf,
    },
    /// A trainer failed.
    #[error("trainer `{trainer}` failed")]
    Trainer {
        /// Its name in results.
        trainer: String,
        /// What it said.
        source: tale_api::Error,
    },
    /// A library cannot be loaded.
    #[error(transparent)]
    Load(#[from] Diagnostic),
    /// A component cannot be created.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A journal failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stage's folder belongs to another run.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// The calls of a stage ended before their end.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The pairs cannot be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file of the run directory cannot be read or written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why a post-training cannot be looked at beforehand.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreviewError {
    /// As the run itself would fail.
    #[error(transparent)]
    Run(#[from] PostTrainError),
    /// A stage's questions cannot be read or rendered.
    #[error(transparent)]
    Preview(#[from] plan::PreviewError),
}
