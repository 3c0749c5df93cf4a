//! The journal of a run: every finished call and sample, in SQLite, committed before it counts.
//!
//! * `rows`: what is kept.
//! * `searches`: what is kept of a budget search.
//! * [`Store`]: the one writer. Pipelines hand it finished calls and samples.
//! * [`gather`]: one journal out of several.
//! * [`Reader`]: read-only; the report sees the run through it and nothing else.

mod gather;
mod reader;
mod rows;
mod schema;
mod searches;
#[cfg(test)]
mod tests;
mod writer;

pub use gather::{DirLock, Part, gather, meta_of};
pub use reader::Reader;
pub(crate) use reader::call;
pub use rows::{CallId, CallKey, CallRow, Cell, CellId, Measure, NewSample, Outcome, SampleRow};
pub use schema::StoreError;
pub use searches::{AttemptRow, NewAttempt, NewSearch, SearchEnding, SearchMeasure, SearchRow};
pub use writer::{NewQuestion, Store};
