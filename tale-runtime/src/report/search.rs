//! Budget searches: `search.jsonl`, and their numbers.

use std::{collections::BTreeMap, io::Write, path::Path};

use serde::{Deserialize, Serialize};

use super::{ReportError, files, stats::real, words};
use crate::store::{
    AttemptRow, Cell, Outcome, Reader, SearchEnding, SearchMeasure, SearchRow, StoreError,
};

/// A line of `search.jsonl`. Scripts read it: fields are added at the end, never moved or renamed.
#[derive(Debug, Serialize)]
struct Line<'a> {
    id: &'a str,
    question: &'a str,
    gold: Option<&'a str>,
    vanilla: Option<Vanilla<'a>>,
    trace: Vec<Step<'a>>,
    /// The budget found; absent where the vanilla answer stands, or there is no result.
    budget: Option<u32>,
    /// Of the answer that was kept.
    output_tokens: Option<u64>,
    completion: Option<&'a str>,
    /// Distinct calls, those of the rule of feasibility included.
    calls: u64,
    llm: &'a str,
    dataset: &'a str,
    /// How the search ended: `found`, `no-shorter-budget`, `vanilla-wrong`, `no-gold`,
    /// `vanilla-zero-tokens`, `failed`.
    ending: &'static str,
    /// Calls after halving had stopped.
    extra_calls: u64,
    /// Kind and text, a colon between.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Vanilla<'a> {
    output_tokens: Option<u64>,
    correct: bool,
    completion: &'a str,
    finish_reason: &'a str,
    reason: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Step<'a> {
    budget: Option<u32>,
    output_tokens: Option<u64>,
    correct: bool,
    /// Absent where the rule failed before it decided.
    feasible: Option<bool>,
    reason: Option<&'a str>,
    completion: &'a str,
    finish_reason: &'a str,
    extra: bool,
}

impl<'a> Line<'a> {
    fn of(cell: &'a Cell, s: &'a SearchRow) -> Self {
        let kept = s.kept();
        let trace = s.attempts.iter().skip(1).map(Step::of).collect();
        Self {
            id: &s.id,
            question: &s.question,
            gold: s.gold.as_deref(),
            vanilla: s.vanilla().map(|a| Vanilla {
                output_tokens: a.output_tokens,
                correct: a.outcome == Outcome::Correct,
                completion: &a.call.completion,
                finish_reason: &a.call.finish_reason,
                reason: a.reason.as_deref(),
            }),
            trace,
            budget: s.measure.budget,
            output_tokens: s.measure.tokens,
            completion: kept.map(|a| a.call.completion.as_str()),
            calls: s.measure.calls,
            llm: &cell.llm,
            dataset: &cell.dataset,
            ending: s.measure.ending.as_str(),
            extra_calls: s.measure.extra_calls,
            error: s
                .error
                .as_ref()
                .map(|(kind, text)| format!("{kind}: {text}")),
        }
    }
}

impl<'a> Step<'a> {
    fn of(a: &'a AttemptRow) -> Self {
        Self {
            budget: a.budget,
            output_tokens: a.output_tokens,
            correct: a.outcome == Outcome::Correct,
            feasible: a.feasible,
            reason: a.reason.as_deref(),
            completion: &a.call.completion,
            finish_reason: &a.call.finish_reason,
            extra: a.extra,
        }
    }
}

/// Writes all searches to `path`, one at a time; no file where there are none.
pub(super) fn write(reader: &Reader, path: &Path) -> Result<(), ReportError> {
    let searched = reader.search_cells()?;
    if searched.is_empty() {
        return Ok(());
    }
    files::replace(path, |out| {
        let failed = |source| ReportError::Write {
            path: path.to_owned(),
            source,
        };
        for (id, cell) in reader.cells()? {
            if !searched.contains(&id) {
                continue;
            }
            reader.for_each_search(id, |search| {
                serde_json::to_writer(&mut *out, &Line::of(&cell, &search))
                    .map_err(|e| failed(e.into()))?;
                out.write_all(b"\n").map_err(failed)
            })?;
        }
        Ok(())
    })
}

/// What the searches of one model on one data set came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchNumbers {
    /// The model's name in results.
    pub llm: String,
    /// The data set's name in results.
    pub dataset: String,
    /// Questions searched.
    pub n: u64,
    /// How many ended in each way, by the names of `search.jsonl`.
    pub endings: BTreeMap<String, u64>,
    /// Calls in all, and those of them after halving had stopped.
    pub calls: u64,
    /// Calls after halving had stopped.
    pub extra_calls: u64,
    /// Mean budget found.
    pub budget: Option<f64>,
    /// Mean output tokens of the vanilla answers of the questions that have a result.
    pub vanilla_output_tokens: Option<f64>,
    /// Mean output tokens of the results.
    pub output_tokens: Option<f64>,
}

/// The numbers of every searched column.
pub(super) fn numbers(
    reader: &Reader,
    cells: &[(crate::store::CellId, Cell)],
) -> Result<Vec<SearchNumbers>, StoreError> {
    let searched = reader.search_cells()?;
    let mut all = Vec::new();
    for (id, cell) in cells.iter().filter(|(id, _)| searched.contains(id)) {
        let mut sums = Sums::default();
        reader.for_each_search_measure(*id, |m| sums.add(&m))?;
        all.push(sums.numbers(cell));
    }
    Ok(all)
}

#[derive(Default)]
struct Sums {
    endings: BTreeMap<String, u64>,
    n: u64,
    calls: u64,
    extra_calls: u64,
    found: u64,
    budget: u64,
    results: u64,
    before: u64,
    after: u64,
}

impl Sums {
    fn add(&mut self, m: &SearchMeasure) {
        self.n += 1;
        match self.endings.get_mut(m.ending.as_str()) {
            Some(count) => *count += 1,
            None => drop(self.endings.insert(m.ending.as_str().to_owned(), 1)),
        }
        self.calls += m.calls;
        self.extra_calls += m.extra_calls;
        if let Some(budget) = m.budget {
            self.found += 1;
            self.budget += u64::from(budget);
        }
        if let (Some(before), Some(after)) = (m.vanilla_tokens, m.tokens) {
            self.results += 1;
            self.before += before;
            self.after += after;
        }
    }

    fn numbers(self, cell: &Cell) -> SearchNumbers {
        let mean = |sum, n| (n > 0).then(|| real(sum) / real(n));
        SearchNumbers {
            llm: cell.llm.clone(),
            dataset: cell.dataset.clone(),
            n: self.n,
            endings: self.endings,
            calls: self.calls,
            extra_calls: self.extra_calls,
            budget: mean(self.budget, self.found),
            vanilla_output_tokens: mean(self.before, self.results),
            output_tokens: mean(self.after, self.results),
        }
    }
}

impl SearchNumbers {
    /// What came of it, in a sentence or two.
    #[must_use]
    pub fn sentence(&self) -> String {
        let ended = |ending: SearchEnding| {
            let count = self.endings.get(ending.as_str()).copied();
            count.filter(|n| *n > 0)
        };
        let named = SearchEnding::ALL.into_iter().filter_map(|ending| {
            let said = match ending {
                SearchEnding::Found => "a smaller budget found",
                SearchEnding::NoShorterBudget => "no smaller budget",
                SearchEnding::VanillaWrong => "vanilla CoT wrong",
                SearchEnding::NoGold => "no gold answer",
                SearchEnding::VanillaZeroTokens => "vanilla answer of no tokens",
                SearchEnding::Failed => "failed",
            };
            Some(format!("{} {said}", words::count(ended(ending)?)))
        });
        let mut text = format!(
            "{} on {}: {} questions searched with {} calls",
            self.llm,
            self.dataset,
            words::count(self.n),
            words::count(self.calls),
        );
        if self.extra_calls > 0 {
            text.push_str(&format!(
                " ({} of them after halving)",
                words::count(self.extra_calls)
            ));
        }
        text.push_str(&format!(": {}.", named.collect::<Vec<_>>().join(", ")));
        if let (Some(before), Some(after)) = (self.vanilla_output_tokens, self.output_tokens) {
            text.push_str(&format!(
                " Of the questions with a result, {before:.0} output tokens became {after:.0}"
            ));
            if let Some(budget) = self.budget {
                text.push_str(&format!("; mean budget {budget:.0}"));
            }
            text.push('.');
        }
        text
    }
}
