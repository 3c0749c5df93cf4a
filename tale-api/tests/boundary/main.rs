//! Loads real libraries and calls them over the boundary.

#![expect(
    clippy::unwrap_used,
    reason = "a test, also where it is a helper of one"
)]

mod built;
mod conformance;
mod files;
mod healthy;
mod hostile;
#[cfg(target_os = "linux")]
mod isolation;
mod memory;
mod nested;
mod other_language;
mod protocol;
