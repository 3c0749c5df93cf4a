//! `samples.jsonl`: a line per model × data set × method × question.

use std::{io::Write, path::Path};

use serde::Serialize;

use super::{ReportError, files};
use crate::store::{CallRow, Cell, Outcome, Reader, SampleRow};

/// A line of `samples.jsonl`. Scripts read it: fields are added at the end, never moved or renamed.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    id: &'a str,
    llm: &'a str,
    dataset: &'a str,
    method: &'a str,
    question: &'a str,
    gold: Option<&'a str>,
    /// The last user message of the answering call.
    prompt: Option<&'a str>,
    completion: Option<&'a str>,
    answer: Option<&'a str>,
    /// Absent where there is nothing to grade: no gold answer, or no answer.
    correct: Option<bool>,
    budget: Option<u32>,
    input_tokens: Option<u64>,
    cached_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    /// Sums over the estimate's calls; absent where there were none, or nobody could count.
    estimate_input_tokens: Option<u64>,
    estimate_output_tokens: Option<u64>,
    /// Over all calls of the sample.
    cost_usd: Option<f64>,
    latency_s: Option<f64>,
    finish_reason: Option<&'a str>,
    /// Kind and text, a colon between.
    error: Option<String>,
    /// Of the estimate's last call, the one from which the budget was read.
    estimate_prompt: Option<&'a str>,
    estimate_completion: Option<&'a str>,
    outcome: &'static str,
    reason: Option<&'a str>,
    fallback: Option<&'a str>,
    /// Which answer to the same question, from 0.
    repeat: u32,
    /// Of the answering call.
    reasoning_tokens: Option<u64>,
    service_tier: Option<&'a str>,
    /// Whether every call of the sample was answered by the cache: `cost_usd` was not paid here.
    from_cache: bool,
}

impl<'a> Line<'a> {
    pub(super) fn of(cell: &'a Cell, s: &'a SampleRow) -> Self {
        let answer = s.call.as_ref();
        let calls = || s.estimate.iter().chain(answer);
        let last = s.estimate.last();
        Self {
            id: &s.id,
            llm: &cell.llm,
            dataset: &cell.dataset,
            method: &cell.method,
            question: &s.question,
            gold: s.gold.as_deref(),
            prompt: answer.map(|c| c.prompt.as_str()),
            completion: answer.map(|c| c.completion.as_str()),
            answer: s.answer.as_deref(),
            correct: correct(s.outcome),
            budget: s.budget,
            input_tokens: answer.and_then(|c| c.input_tokens),
            cached_input_tokens: answer.map(|c| c.cached_input_tokens),
            output_tokens: answer.and_then(|c| c.output_tokens),
            estimate_input_tokens: sum(&s.estimate, |c| c.input_tokens),
            estimate_output_tokens: sum(&s.estimate, |c| c.output_tokens),
            cost_usd: calls().filter_map(|c| c.cost_usd).reduce(|a, b| a + b),
            latency_s: calls().map(|c| c.latency_s).reduce(|a, b| a + b),
            finish_reason: answer.map(|c| c.finish_reason.as_str()),
            error: s
                .error
                .as_ref()
                .map(|(kind, text)| format!("{kind}: {text}")),
            estimate_prompt: last.map(|c| c.prompt.as_str()),
            estimate_completion: last.map(|c| c.completion.as_str()),
            outcome: s.outcome.as_str(),
            reason: s.reason.as_deref(),
            fallback: s.fallback.as_deref(),
            repeat: s.repeat,
            reasoning_tokens: answer.map(|c| c.reasoning_tokens),
            service_tier: answer.and_then(|c| c.service_tier.as_deref()),
            from_cache: answer.is_some() && calls().all(|c| c.from_cache),
        }
    }
}

fn correct(outcome: Outcome) -> Option<bool> {
    match outcome {
        Outcome::Correct => Some(true),
        Outcome::Wrong | Outcome::Undecided | Outcome::Empty => Some(false),
        Outcome::Ungraded | Outcome::Failed => None,
    }
}

/// Absent where there is no call, or one that nobody could count: half a sum is no sum.
fn sum(calls: &[CallRow], tokens: impl Fn(&CallRow) -> Option<u64>) -> Option<u64> {
    if calls.is_empty() {
        None
    } else {
        calls.iter().map(tokens).sum()
    }
}

/// Writes all samples to `path`, one at a time.
pub(super) fn write(reader: &Reader, path: &Path) -> Result<(), ReportError> {
    files::replace(path, |out| {
        let failed = |source| ReportError::Write {
            path: path.to_owned(),
            source,
        };
        for (id, cell) in reader.cells()? {
            reader.for_each_sample(id, |sample| {
                serde_json::to_writer(&mut *out, &Line::of(&cell, &sample))
                    .map_err(|e| failed(e.into()))?;
                out.write_all(b"\n").map_err(failed)
            })?;
        }
        Ok(())
    })
}
