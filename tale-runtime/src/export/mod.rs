//! From searches to training data: the question without a budget, the answer under the searched one
//! as what to say, the vanilla answer as what not to.
//!
//! Reads the journal only, one search at a time, so that a file of any size needs no memory.

mod format;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde::Serialize;
use tale_plugin_standard::PromptSet;

use crate::store::{AttemptRow, Outcome, Reader, SearchEnding, SearchRow, StoreError};

pub use format::Format;

/// Key of the journal under which a run keeps its system message.
pub(crate) const SYSTEM: &str = "system";

/// A training pair.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The question's id.
    pub id: &'a str,
    /// The system message; empty for none.
    pub system: &'a str,
    /// The vanilla prompt: it carries no budget.
    pub prompt: &'a str,
    /// The budget that was found, in tokens.
    pub budget: Option<u32>,
    /// The answer under that budget.
    pub chosen: &'a str,
    /// The vanilla answer.
    pub rejected: &'a str,
    /// Output tokens of `chosen`.
    pub chosen_tokens: Option<u64>,
    /// Output tokens of `rejected`.
    pub rejected_tokens: Option<u64>,
}

/// What an export wrote, and why it left questions out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Pairs written.
    pub pairs: u64,
    /// Questions without a pair, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
}

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The journal cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be written.
    #[error("cannot write the pairs")]
    Write(#[source] io::Error),
    /// The run holds no search.
    #[error("the run holds no search")]
    NoSearch,
}

/// Writes a line for every search of `reader` that gives a pair.
///
/// # Errors
/// See [`ExportError`].
pub fn export(
    reader: &Reader,
    format: Format,
    out: &mut dyn Write,
) -> Result<Exported, ExportError> {
    export_unless(reader, format, |_| false, out)
}

/// As [`export`], but leaves out the questions that `is_held_out` names, counted as `held-out`.
///
/// # Errors
/// See [`ExportError`].
pub fn export_unless(
    reader: &Reader,
    format: Format,
    is_held_out: impl Fn(&str) -> bool,
    out: &mut dyn Write,
) -> Result<Exported, ExportError> {
    let cells = reader.search_cells()?;
    if cells.is_empty() {
        return Err(ExportError::NoSearch);
    }
    let system = match reader.meta(SYSTEM)? {
        Some(system) => system,
        None => PromptSet::standard().system().to_owned(),
    };
    let mut exported = Exported::default();
    for cell in cells {
        reader.for_each_search(cell, |search| {
            let pair = if is_held_out(&search.question) {
                Err("held-out")
            } else {
                pair(&search, &system)
            };
            match pair {
                Ok(pair) => {
                    serde_json::to_writer(&mut *out, &format.line(&pair))
                        .map_err(|e| ExportError::Write(e.into()))?;
                    out.write_all(b"\n").map_err(ExportError::Write)?;
                    exported.pairs += 1;
                }
                Err(reason) => *exported.skipped.entry(reason).or_default() += 1,
            }
            Ok::<(), ExportError>(())
        })?;
    }
    out.flush().map_err(ExportError::Write)?;
    Ok(exported)
}

/// The pair of a search, or why there is none.
fn pair<'a>(search: &'a SearchRow, system: &'a str) -> Result<Pair<'a>, &'static str> {
    let ending = search.measure.ending;
    let (vanilla, kept) = match (search.vanilla(), search.kept()) {
        (Some(vanilla), Some(kept)) if ending == SearchEnding::Found => (vanilla, kept),
        (Some(vanilla), _) if ending == SearchEnding::VanillaWrong && is_cut(vanilla) => {
            return Err("vanilla-cut");
        }
        _ => return Err(ending.as_str()),
    };
    if kept.outcome != Outcome::Correct {
        // Algorithm 1 as it is printed ends with a refused answer.
        return Err("refused-answer-wrong");
    }
    if is_cut(kept) {
        return Err("cut-at-max-tokens");
    }
    if kept.call.completion == vanilla.call.completion {
        return Err("equal-answers");
    }
    if kept.output_tokens >= vanilla.output_tokens {
        return Err("no-cheaper-answer");
    }
    Ok(Pair {
        id: &search.id,
        system,
        prompt: &vanilla.call.prompt,
        budget: search.measure.budget,
        chosen: &kept.call.completion,
        rejected: &vanilla.call.completion,
        chosen_tokens: kept.output_tokens,
        rejected_tokens: vanilla.output_tokens,
    })
}

fn is_cut(attempt: &AttemptRow) -> bool {
    attempt.call.finish_reason == "length"
}
