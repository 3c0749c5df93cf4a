//! Pipelines: what a run does with models, estimators and data sets.
//!
//! A pipeline knows the traits of `tale-api` only, never a plugin.

mod observer;

pub use observer::{CellProgress, Observer};
