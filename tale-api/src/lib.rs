//! The stable surface of TALE: what a plugin implements and what the runtime calls.
//!
//! Five traits carry the framework: [`Llm`], [`Estimator`], [`Feasibility`], [`Dataset`] and
//! [`Trainer`]. A plugin implements one or more of them and names them in
//! `export_plugin!`; the runtime loads the library and sees the same traits again. Between the two
//! lies a small, versioned C table over which JSON messages travel (`include/tale_plugin.h`), so a
//! plugin may come from another compiler, another minor version of this crate or another language.
//! An ordinary `dyn Trait` across libraries was rejected because Rust has no stable ABI;
//! `docs/decisions/0001-json-over-a-c-table.md` weighs the alternatives.
//!
//! # Where things are
//! * [`messages`]: everything that crosses the boundary; plain data, no I/O.
//! * [`traits`](crate::traits): the five traits and their contracts.
#![deny(missing_docs)]

pub mod messages;
pub mod traits;

pub use messages::*;
pub use traits::*;

pub use async_trait::async_trait;
pub use serde_json;
