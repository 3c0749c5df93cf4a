//! A client of every server that speaks OpenAI's chat completions: what `llm-openai` and `llm-yi`
//! share.
//!
//! Servers differ in small things; those are data (`data/profiles.toml`, `data/models.toml`), not
//! code. The path of one call: `body.rs` writes the request; `gate.rs` lets no second call go before
//! address and key have proved right; `limits.rs` waits for its turn; `client.rs` sends it;
//! `reply.rs` and `stream.rs` read what comes, `usage.rs` judges the numbers in it; `failure.rs` says
//! what a fault means and `llm.rs` tries again where that helps.
//!
//! A key never reaches a message, a log or a file: it lives in [`secret::Secret`], and what a server
//! says is searched for it before anyone sees it.
#![deny(missing_docs)]

mod batch;
mod body;
mod client;
mod count;
mod failure;
mod gate;
mod limits;
mod llm;
mod model;
mod options;
mod profile;
mod reply;
mod secret;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod think;
mod tries;
mod usage;

pub use llm::{ChatCompletions, Vendor};
pub use options::{BatchOptions, Mode, Options, SCHEMA, ThinkTags};
pub use profile::Limiting;
