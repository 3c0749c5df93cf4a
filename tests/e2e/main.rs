//! The real binary, really loaded plugins, real files: what a user sees.
//!
//! Nothing here links a plugin or the runtime. Tests that need a model say so when they skip.

#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

mod analysis;
mod bad_input;
mod billing;
mod engine;
mod evaluate;
#[cfg(unix)]
mod isolation;
mod listings;
mod new_plugin;
mod remote;
mod resume;
mod scale;
mod search;
mod secrets;
mod support;
mod third_party;
