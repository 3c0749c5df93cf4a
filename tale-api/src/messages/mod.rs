//! The messages that cross the plugin boundary, as serde types.
//!
//! They grow by optional fields only: an unknown field is ignored, a missing one has the default
//! that its documentation names. Nothing here does I/O, and nothing here is a type of the manifest
//! or the journal; those are converted by hand, so that the three can change apart.

mod error;
mod estimate;
mod feasibility;
mod generate;
mod info;
mod question;
mod train;

pub use error::{Error, ErrorKind, Result};
pub use estimate::{Estimate, EstimateRequest};
pub use feasibility::{Attempt, Decision, FeasibilityRequest};
pub use generate::{
    Completion, Effort, FinishReason, GenerateEvent, GenerateRequest, Grammar, Message,
    ReasoningBudget, Role, Sampling, Timings, Usage,
};
pub use info::{
    Capabilities, ComponentInfo, ComponentKind, CreateEnv, DatasetInfo, LlmInfo, PluginManifest,
    Prices, Skipped,
};
pub use question::{AnswerKind, Grade, GradeRequest, Page, PageRequest, Question, Verdict};
pub use train::{CheckpointRef, TrainEvent, TrainJob, TrainMethod, TrainReport};
