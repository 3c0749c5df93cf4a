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
//! * [`traits`]: the five traits and their contracts.
//! * [`export`] (feature `export`, on by default): write a plugin. One macro,
//!   [`export_plugin!`], turns a type and its options into a loadable library;
//!   [`define_plugin!`] into a part of a program.
//! * `host` (feature `host`): load plugins and get the traits back.
//! * `conformance` (feature `conformance`): the checks that every plugin should pass, for its tests.
//! * [`abi`]: the C types in between, for those who write a plugin in another language or want to
//!   know.
//!
//! # A plugin in brief
//! ```
//! use tale_api::{CreateEnv, Decision, Feasibility, FeasibilityRequest, Llm, Result, async_trait};
//!
//! struct Greedy;
//!
//! #[derive(serde::Deserialize)]
//! struct Options {}
//!
//! impl Greedy {
//!     async fn create(_options: Options, _env: CreateEnv) -> Result<Self> {
//!         Ok(Self)
//!     }
//! }
//!
//! #[async_trait]
//! impl Feasibility for Greedy {
//!     async fn is_feasible(
//!         &self,
//!         request: FeasibilityRequest,
//!         _llm: std::sync::Arc<dyn Llm>,
//!     ) -> Result<Decision> {
//!         Ok(Decision::by_cost(&request.previous, &request.candidate))
//!     }
//! }
//!
//! tale_api::export_plugin! {
//!     name: "greedy",
//!     components: [
//!         feasibility "greedy" => Greedy::create, "Algorithm 2 of the paper",
//!             r#"{"type": "object", "additionalProperties": false}"#;
//!     ]
//! }
//! # fn main() {}
//! ```
#![deny(missing_docs)]

pub mod abi;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "export")]
pub mod export;
#[cfg(feature = "host")]
pub mod host;
pub mod messages;
#[cfg(any(feature = "export", feature = "host"))]
mod peer;
pub mod traits;

/// This crate's version. Plugins need not know it: what they are held to is
/// [`ABI_MAJOR`](abi::ABI_MAJOR).
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub use messages::*;
pub use traits::*;

pub use async_trait::async_trait;
pub use serde_json;
