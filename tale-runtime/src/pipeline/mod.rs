//! Pipelines: what a run does with models, estimators and data sets.
//!
//! A pipeline knows the traits of `tale-api` only, never a plugin.
//!
//! * [`ledger`](Ledger): every call to a model, journalled and never made twice.
//! * [`questions`](Selection): which questions of a data set, streamed.
//! * [`budget`](BudgetRule): from an estimate to the budget that is asked for.
//! * [`evaluate`]: one sample per model, data set, method and question.
//! * [`search`]: per question the smallest budget that keeps the answer right.
//! * [`sweep`]: every question under every budget of a list.

mod budget;
mod error;
mod evaluate;
mod grade;
mod key;
mod ledger;
mod observer;
mod questions;
mod recorded;
mod search;
mod subject;
mod sweep;
mod work;

pub use budget::{BudgetRule, Fallback};
pub use error::PipelineError;
pub use evaluate::{
    ApplyBudget, BudgetSource, Ending, EstimateOn, EstimatorSetup, Evaluation, LlmSetup,
    MethodSetup, Render, evaluate,
};
pub use grade::{Judgement, judge};
pub use key::Identity;
use ledger::is_cap_reached;
pub use ledger::{CallDefaults, Ledger};
pub use observer::{CellProgress, Observer};
pub use questions::{DatasetSetup, Draw, Questions, Selection};
pub use recorded::RecordedLlm;
pub(crate) use recorded::completion;
pub use search::{Next, Rule, SEARCHED, Search, Strategy, Trial, search};
pub use subject::asked_text;
pub use sweep::{Sweep, SweepPoint, sweep};
pub use work::Work;
