//! Pipelines: what a run does with models, estimators and data sets.
//!
//! A pipeline knows the traits of `tale-api` only, never a plugin.
//!
//! * [`ledger`](Ledger): every call to a model, journalled and never made twice.
//! * [`questions`](Selection): which questions of a data set, streamed.
//! * [`budget`](BudgetRule): from an estimate to the budget that is asked for.
//! * [`evaluate`]: one sample per model, data set, method and question.

mod budget;
mod error;
mod evaluate;
mod grade;
mod ledger;
mod observer;
mod questions;

pub use budget::{BudgetRule, Fallback};
pub use error::PipelineError;
pub use evaluate::{
    BudgetSource, Ending, EstimateOn, EstimatorSetup, Evaluation, LlmSetup, MethodSetup, Render,
    evaluate,
};
pub use grade::{Judgement, judge};
pub use ledger::{CallDefaults, Ledger, RecordedLlm};
pub use observer::{CellProgress, Observer};
pub use questions::{DatasetSetup, Draw, Selection};
