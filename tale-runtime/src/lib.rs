//! The TALE runtime: from a manifest to a plan, through plugins and the journal, to a report.
//!
//! Data flows one way: manifest → plan → pipeline → calls → store → report. A pipeline knows the
//! traits of `tale-api` only, never a plugin; the report reads the store only, never a pipeline.

pub mod billing;
pub mod cache;
pub mod cli;
pub mod diagnostics;
pub mod export;
pub mod fetch;
pub mod manifest;
pub mod pipeline;
pub mod plan;
pub mod post_train;
pub mod progress;
pub mod registry;
pub mod report;
pub mod run_dir;
pub mod scaffold;
pub mod store;
