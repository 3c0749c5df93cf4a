//! The TALE runtime: from a manifest to a plan, through plugins and the journal, to a report.
//!
//! Data flows one way: manifest → plan → pipeline → calls → store → report. A pipeline knows the
//! traits of `tale-api` only, never a plugin; the report reads the store only, never a pipeline.

pub mod diagnostics;
pub mod fetch;
pub mod manifest;
pub mod report;
pub mod store;
