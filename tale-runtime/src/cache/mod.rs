//! Answers kept across runs, so that whoever asks the same thing again pays once.
//!
//! One SQLite file in the user's cache directory, which several processes share. The journal of a
//! run stays the truth about that run: an answer taken from here is copied into it, marked as such.
//! An answer that cannot be kept here is no reason to end a run: a warning is logged, and the run
//! goes on without.
//!
//! What is kept is what a journal keeps, without the price: that is worked out anew by whoever takes
//! the answer, at the prices of its own run.

mod manage;
mod table;
mod worker;

use std::path::{Path, PathBuf};

pub use manage::{Cleared, ModelStat, Stat, clear, stat};
pub use table::CacheError;
pub use worker::AnswerCache;

use crate::fetch;

/// What a run does with the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Known answers are taken, new ones kept.
    ReadWrite,
    /// Known answers are taken.
    ReadOnly,
}

/// The file within the user's cache directory.
const FILE: &str = "answers.sqlite";

/// Where the answers lie unless a manifest says otherwise.
///
/// # Errors
/// Where the environment names no home.
pub fn default_path() -> Result<PathBuf, fetch::FetchError> {
    Ok(in_folder(fetch::Store::open()?.root()))
}

/// Where the answers lie in a cache directory.
#[must_use]
pub fn in_folder(root: &Path) -> PathBuf {
    root.join(FILE)
}

#[cfg(test)]
mod tests;
