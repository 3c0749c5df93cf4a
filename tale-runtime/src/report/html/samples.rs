//! The samples that the page holds, and the list of questions that cost more.

use std::collections::BTreeSet;

use serde::Serialize;

use super::super::{
    ReportError,
    findings::{Dearer, Findings, Group},
    words,
};
use crate::store::{CallRow, Cell, Outcome, Reader, SampleRow};

/// Samples in the page at most, evenly over the run. `samples.jsonl` has them all.
const SHOWN: u64 = 2_000;

/// Characters of a text in the page at most; a model that repeats itself fills megabytes.
const TEXT: usize = 6_000;

/// What the page shows of the samples.
#[derive(Serialize)]
pub(super) struct Shown {
    samples: Vec<Sample>,
    /// Said where not all samples are in the page.
    count: Option<String>,
    methods: Vec<String>,
    outcomes: Vec<&'static str>,
}

#[derive(Serialize)]
struct Sample {
    llm: String,
    dataset: String,
    method: String,
    id: String,
    question: String,
    gold: Option<String>,
    outcome: &'static str,
    answer: Option<String>,
    reason: Option<String>,
    budget: Option<u32>,
    tokens: Option<u64>,
    fallback: Option<String>,
    error: Option<String>,
    dearer: bool,
    call: Option<Call>,
    estimate: Vec<Call>,
}

#[derive(Serialize)]
struct Call {
    prompt: String,
    reasoning: Option<String>,
    completion: String,
    finish_reason: String,
    tokens: Option<u64>,
    seconds: String,
}

/// Reads the samples that the page shows: of evenly chosen questions all methods, and of those
/// that are listed as costing more.
pub(super) fn read(reader: &Reader, findings: &Findings) -> Result<Shown, ReportError> {
    let total = findings.summary.totals.samples;
    let columns: u64 = findings.groups.iter().map(|g| g.cells.len() as u64).sum();
    let questions = (SHOWN / columns.max(1)).max(1);
    let mut samples = Vec::new();
    let (mut methods, mut outcomes) = (Vec::new(), BTreeSet::new());
    for group in &findings.groups {
        let dearer: BTreeSet<u64> = worst(group).map(|d| d.position).collect();
        let mut positions = evenly(group.last_position, questions);
        positions.extend(&dearer);
        for position in positions {
            for (id, cell) in &group.cells {
                let Some(row) = reader.sample_at(*id, position)? else {
                    continue;
                };
                outcomes.insert(place(row.outcome));
                if !methods.contains(&cell.method) {
                    methods.push(cell.method.clone());
                }
                let is_dearer =
                    cell.method == super::super::findings::SUBJECT && dearer.contains(&position);
                samples.push(Sample::of(cell, row, is_dearer));
            }
        }
    }
    let here = samples.len() as u64;
    Ok(Shown {
        samples,
        count: (here < total).then(|| words::count(here)),
        methods,
        outcomes: outcomes
            .into_iter()
            .map(|i| Outcome::ALL[i].as_str())
            .collect(),
    })
}

/// About `count` of the positions up to `last`, evenly, both ends kept.
fn evenly(last: u64, count: u64) -> BTreeSet<u64> {
    if last < count {
        return (0..=last).collect();
    }
    (0..count).map(|i| i * last / (count - 1).max(1)).collect()
}

fn place(outcome: Outcome) -> usize {
    Outcome::ALL.iter().position(|o| *o == outcome).unwrap_or(0)
}

impl Sample {
    fn of(cell: &Cell, s: SampleRow, dearer: bool) -> Self {
        Self {
            llm: cell.llm.clone(),
            dataset: cell.dataset.clone(),
            method: cell.method.clone(),
            id: s.id,
            question: cut(s.question),
            gold: s.gold.map(cut),
            outcome: s.outcome.as_str(),
            answer: s.answer.map(cut),
            reason: s.reason,
            budget: s.budget,
            tokens: s.call.as_ref().and_then(|c| c.output_tokens),
            fallback: s.fallback,
            error: s.error.map(|(kind, text)| format!("{kind}: {text}")),
            dearer,
            call: s.call.map(Call::of),
            estimate: s.estimate.into_iter().map(Call::of).collect(),
        }
    }
}

impl Call {
    fn of(c: CallRow) -> Self {
        Self {
            prompt: cut(c.prompt),
            reasoning: c.reasoning.map(cut),
            completion: cut(c.completion),
            finish_reason: c.finish_reason,
            tokens: c.output_tokens,
            seconds: words::seconds(Some(c.latency_s)),
        }
    }
}

/// The beginning of a text that is too long for the page.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(TEXT) {
        text.truncate(end);
        text.push_str("\n… (cut here; samples.jsonl has it whole)");
    }
    text
}

/// The questions on which TALE-EP cost more, worst first.
#[derive(Serialize)]
pub(super) struct DearerList {
    rows: Vec<DearerRow>,
    total: String,
    compared: String,
    all_listed: bool,
}

#[derive(Serialize)]
struct DearerRow {
    id: String,
    question: String,
    vanilla: String,
    answer: String,
    estimate: String,
    budget: String,
    excess: String,
    outcome: &'static str,
    vanilla_outcome: Option<&'static str>,
}

/// Rows of the list; the sheer mass is in the figure.
const LISTED: usize = 25;

fn worst(group: &Group) -> impl Iterator<Item = &Dearer> {
    group.saved.iter().flat_map(|s| s.worst.iter().take(LISTED))
}

pub(super) fn dearer(reader: &Reader, group: &Group) -> Result<Option<DearerList>, ReportError> {
    let Some(saved) = &group.saved else {
        return Ok(None);
    };
    let column = |method: &str| group.cells.iter().find(|(_, c)| c.method == method);
    let subject = column(super::super::findings::SUBJECT);
    let baseline = column(super::super::summary::BASELINE);
    let (Some((subject, _)), Some((baseline, _))) = (subject, baseline) else {
        return Ok(None);
    };
    let mut rows = Vec::new();
    for d in worst(group) {
        let Some(sample) = reader.sample_at(*subject, d.position)? else {
            continue;
        };
        let vanilla = reader.sample_at(*baseline, d.position)?;
        rows.push(DearerRow {
            id: sample.id,
            question: cut(sample.question),
            vanilla: words::count(d.vanilla.into()),
            answer: words::count(d.answer.into()),
            estimate: words::count(d.estimate.into()),
            budget: d
                .budget
                .map_or_else(|| "–".to_owned(), |b| words::count(b.into())),
            excess: words::count(d.excess().unsigned_abs()),
            outcome: sample.outcome.as_str(),
            vanilla_outcome: vanilla.map(|v| v.outcome.as_str()),
        });
    }
    Ok(Some(DearerList {
        all_listed: rows.len() as u64 == saved.dearer,
        rows,
        total: words::count(saved.dearer),
        compared: words::count(saved.n),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_even_and_hold_both_ends() {
        assert_eq!(evenly(3, 10).len(), 4);
        let some = evenly(999_999, 600);
        assert_eq!(
            (some.len(), some.first(), some.last()),
            (600, Some(&0), Some(&999_999))
        );
        assert_eq!(evenly(0, 1).len(), 1);
        assert_eq!(evenly(5, 1).len(), 1);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = cut("ß".repeat(TEXT + 1));
        assert!(text.starts_with('ß') && text.contains("(cut here"));
        assert_eq!(cut("short".into()), "short");
    }
}
