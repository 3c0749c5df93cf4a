//! Budget searches in the journal: what is kept of one, how it is written and read.

use rusqlite::{Connection, Row, params};

use super::{
    CallId, CallRow, CellId, NewQuestion, NewSample, Outcome, Reader, StoreError, reader, writer,
};

/// How the search of a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SearchEnding {
    /// A budget was found.
    Found,
    /// No smaller budget was feasible: the vanilla answer stands.
    NoShorterBudget,
    /// The vanilla answer is not right, so there is nothing to start from.
    VanillaWrong,
    /// The question has no gold answer, so nothing can be right.
    NoGold,
    /// The model says that its right vanilla answer took no tokens, so there is nothing to halve.
    VanillaZeroTokens,
    /// A model or a rule failed; tried again by the next run.
    Failed,
}

impl SearchEnding {
    /// Every ending, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Found,
        Self::NoShorterBudget,
        Self::VanillaWrong,
        Self::NoGold,
        Self::VanillaZeroTokens,
        Self::Failed,
    ];

    /// The name kept in the journal and in `search.jsonl`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NoShorterBudget => "no-shorter-budget",
            Self::VanillaWrong => "vanilla-wrong",
            Self::NoGold => "no-gold",
            Self::VanillaZeroTokens => "vanilla-zero-tokens",
            Self::Failed => "failed",
        }
    }

    /// The ending of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.as_str() == name)
    }
}

/// One answer of a search, to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttempt {
    /// The budget asked for, in tokens; absent for the vanilla chain of thought.
    pub budget: Option<u32>,
    /// The answering call.
    pub call: CallId,
    /// How the answer was judged.
    pub outcome: Outcome,
    /// The answer found in the text.
    pub answer: Option<String>,
    /// Tokens generated: the provider's count, else the model's tokenizer's.
    pub output_tokens: Option<u64>,
    /// Whether the budget was accepted; absent for the vanilla answer.
    pub feasible: Option<bool>,
    /// Why: the rule's words, for the vanilla answer the grader's.
    pub reason: Option<String>,
    /// Whether this candidate came after halving had stopped.
    pub extra: bool,
    /// The calls that the rule itself made for its decision.
    pub decision_calls: Vec<CallId>,
}

/// A finished search of one question, to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSearch {
    /// The column of its results.
    pub cell: CellId,
    /// Position of the question in its data set, from 0.
    pub position: u64,
    /// How it ended.
    pub ending: SearchEnding,
    /// Which attempt is the result; 0 is the vanilla answer.
    pub result: Option<usize>,
    /// The vanilla answer, then every candidate in order. Of a failed search, as far as it came.
    pub attempts: Vec<NewAttempt>,
    /// Distinct calls of all attempts and decisions.
    pub calls: u64,
    /// Kind and text of the error, for [`SearchEnding::Failed`].
    pub error: Option<(String, String)>,
}

/// The numbers of one finished search: small enough to hold a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchMeasure {
    /// Position of the question in its data set.
    pub position: u64,
    /// How it ended.
    pub ending: SearchEnding,
    /// The budget found.
    pub budget: Option<u32>,
    /// Output tokens of the vanilla answer, where there is one.
    pub vanilla_tokens: Option<u64>,
    /// Output tokens of the result, where there is one.
    pub tokens: Option<u64>,
    /// Calls that it took.
    pub calls: u64,
    /// Those of them for candidates after halving had stopped.
    pub extra_calls: u64,
}

/// A finished search joined with its question and calls: a line of `search.jsonl`.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchRow {
    /// The question's id.
    pub id: String,
    /// The bare question, options appended.
    pub question: String,
    /// The gold answer.
    pub gold: Option<String>,
    /// Kind of answer: `number`, `choice`, `math`, `text`.
    pub kind: String,
    /// Its numbers.
    pub measure: SearchMeasure,
    /// Which attempt is the result; 0 is the vanilla answer.
    pub result: Option<usize>,
    /// The vanilla answer, then every candidate in order.
    pub attempts: Vec<AttemptRow>,
    /// Kind and text of the error.
    pub error: Option<(String, String)>,
}

/// One answer of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRow {
    /// The budget asked for, in tokens; absent for the vanilla chain of thought.
    pub budget: Option<u32>,
    /// How the answer was judged.
    pub outcome: Outcome,
    /// The answer found in the text.
    pub answer: Option<String>,
    /// Tokens generated: the provider's count, else the model's tokenizer's.
    pub output_tokens: Option<u64>,
    /// Whether the budget was accepted; absent for the vanilla answer.
    pub feasible: Option<bool>,
    /// Why.
    pub reason: Option<String>,
    /// Whether this candidate came after halving had stopped.
    pub extra: bool,
    /// The answering call.
    pub call: CallRow,
}

impl SearchRow {
    /// The vanilla answer.
    #[must_use]
    pub fn vanilla(&self) -> Option<&AttemptRow> {
        self.attempts.first()
    }

    /// The answer that was kept.
    #[must_use]
    pub fn kept(&self) -> Option<&AttemptRow> {
        self.attempts.get(self.result?)
    }
}

/// Records a search with its trace, its question and the samples that follow from it. A search at
/// the same place is replaced.
pub(super) fn put(
    db: &Connection,
    question: &NewQuestion,
    search: &NewSearch,
    samples: &[NewSample],
) -> Result<SearchMeasure, StoreError> {
    writer::put_question(db, question)?;
    // The failed sample of an earlier attempt at this search.
    db.prepare_cached("DELETE FROM sample WHERE cell = ?1 AND position = ?2")?
        .execute(params![search.cell.0, search.position])?;
    for sample in samples {
        writer::insert_sample(db, sample)?;
    }
    let at = params![search.cell.0, search.position];
    db.prepare_cached("DELETE FROM attempt WHERE cell = ?1 AND position = ?2")?
        .execute(at)?;
    let mut insert = db.prepare_cached(
        "INSERT INTO attempt (cell, position, step, budget, call, outcome, answer, output_tokens, \
         feasible, reason, extra, decision_calls) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for (step, a) in search.attempts.iter().enumerate() {
        insert.execute(params![
            search.cell.0,
            search.position,
            step,
            a.budget,
            a.call.0,
            a.outcome.as_str(),
            a.answer,
            a.output_tokens,
            a.feasible,
            a.reason,
            a.extra,
            ids(&a.decision_calls),
        ])?;
    }
    let kept = search.result.and_then(|step| search.attempts.get(step));
    db.prepare_cached(
        "INSERT OR REPLACE INTO search (cell, position, ending, result, budget, vanilla_tokens, \
         tokens, calls, extra, error_kind, error) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        search.cell.0,
        search.position,
        search.ending.as_str(),
        search.result,
        kept.and_then(|a| a.budget),
        search.attempts.first().and_then(|a| a.output_tokens),
        kept.and_then(|a| a.output_tokens),
        search.calls,
        search.attempts.iter().filter(|a| a.extra).count(),
        search.error.as_ref().map(|(kind, _)| kind),
        search.error.as_ref().map(|(_, text)| text),
    ])?;
    let recorded = db.prepare_cached(MEASURE_AT)?.query_row(at, measure)?;
    Ok(recorded)
}

/// The searches of `cell` at positions `from..to` that need no more work: all but failed ones.
pub(super) fn finished(
    db: &Connection,
    cell: CellId,
    from: u64,
    to: u64,
) -> Result<Vec<SearchMeasure>, StoreError> {
    let mut statement = db.prepare_cached(MEASURES_DONE)?;
    let range = params![cell.0, from, to, SearchEnding::Failed.as_str()];
    let rows = statement.query_map(range, measure)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Ids with commas between; absent where there are none.
fn ids(calls: &[CallId]) -> Option<String> {
    let texts: Vec<String> = calls.iter().map(|id| id.0.to_string()).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

impl Reader {
    /// The columns that hold searches, in the order of the manifest.
    pub fn search_cells(&self) -> Result<Vec<CellId>, StoreError> {
        let mut statement = self.db().prepare_cached(
            "SELECT id FROM cell c WHERE EXISTS (SELECT 1 FROM search s WHERE s.cell = c.id) \
             ORDER BY id",
        )?;
        let rows = statement.query_map([], |r| Ok(CellId(r.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Hands the numbers of every search of `cell` to `visit`, ordered by position.
    pub fn for_each_search_measure(
        &self,
        cell: CellId,
        mut visit: impl FnMut(SearchMeasure),
    ) -> Result<(), StoreError> {
        let mut statement = self.db().prepare_cached(MEASURES)?;
        let mut rows = statement.query([cell.0])?;
        while let Some(row) = rows.next()? {
            visit(measure(row)?);
        }
        Ok(())
    }

    /// Hands every search of `cell` to `visit`, ordered by position, one at a time.
    pub fn for_each_search<E: From<StoreError>>(
        &self,
        cell: CellId,
        mut visit: impl FnMut(SearchRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let sqlite = |e: rusqlite::Error| E::from(StoreError::from(e));
        let mut statement = self.db().prepare_cached(SEARCHES).map_err(sqlite)?;
        let mut attempts = self.db().prepare_cached(ATTEMPTS).map_err(sqlite)?;
        let mut rows = statement.query([cell.0]).map_err(sqlite)?;
        while let Some(row) = rows.next().map_err(sqlite)? {
            let mut search = search(row).map_err(sqlite)?;
            let at = params![cell.0, search.measure.position];
            let trace = attempts.query_map(at, attempt).map_err(sqlite)?;
            search.attempts = trace.collect::<Result<_, _>>().map_err(sqlite)?;
            visit(search)?;
        }
        Ok(())
    }
}

macro_rules! measure_query {
    ($condition:literal) => {
        concat!(
            "SELECT s.position, s.ending, s.budget, s.vanilla_tokens, s.tokens, s.calls, s.extra \
             FROM search s WHERE ",
            $condition
        )
    };
}

const MEASURE_AT: &str = measure_query!("s.cell = ?1 AND s.position = ?2");
const MEASURES: &str = measure_query!("s.cell = ?1 ORDER BY s.position");
const MEASURES_DONE: &str =
    measure_query!("s.cell = ?1 AND s.position >= ?2 AND s.position < ?3 AND s.ending <> ?4");

const SEARCHES: &str = "SELECT s.position, s.ending, s.budget, s.vanilla_tokens, s.tokens, s.calls, s.extra, \
     s.result, s.error_kind, s.error, q.id, q.question, q.gold, q.kind \
     FROM search s JOIN cell c ON c.id = s.cell \
     JOIN question q ON q.dataset = c.dataset AND q.position = s.position \
     WHERE s.cell = ?1 ORDER BY s.position";

const ATTEMPTS: &str = "SELECT t.budget, t.outcome, t.answer, t.output_tokens, t.feasible, t.reason, t.extra, \
     a.prompt, a.completion, a.reasoning, a.finish_reason, a.input_tokens, a.cached_input_tokens, \
     a.output_tokens, a.reasoning_tokens, a.latency_s, a.cost_usd, a.model, a.service_tier, \
     a.from_cache \
     FROM attempt t JOIN call a ON a.id = t.call \
     WHERE t.cell = ?1 AND t.position = ?2 ORDER BY t.step";

fn measure(r: &Row<'_>) -> rusqlite::Result<SearchMeasure> {
    let ending: String = r.get(1)?;
    let ending = SearchEnding::parse(&ending).ok_or_else(|| {
        let unknown = format!("unknown ending `{ending}`").into();
        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, unknown)
    })?;
    Ok(SearchMeasure {
        position: r.get(0)?,
        ending,
        budget: r.get(2)?,
        vanilla_tokens: r.get(3)?,
        tokens: r.get(4)?,
        calls: r.get(5)?,
        extra_calls: r.get(6)?,
    })
}

/// Everything but the trace.
fn search(r: &Row<'_>) -> rusqlite::Result<SearchRow> {
    let error_kind: Option<String> = r.get(8)?;
    Ok(SearchRow {
        measure: measure(r)?,
        result: r.get(7)?,
        error: match error_kind {
            Some(kind) => Some((kind, r.get::<_, Option<String>>(9)?.unwrap_or_default())),
            None => None,
        },
        id: r.get(10)?,
        question: r.get(11)?,
        gold: r.get(12)?,
        kind: r.get(13)?,
        attempts: Vec::new(),
    })
}

fn attempt(r: &Row<'_>) -> rusqlite::Result<AttemptRow> {
    Ok(AttemptRow {
        budget: r.get(0)?,
        outcome: reader::outcome(r, 1)?,
        answer: r.get(2)?,
        output_tokens: r.get(3)?,
        feasible: r.get(4)?,
        reason: r.get(5)?,
        extra: r.get(6)?,
        call: reader::call(r, 7)?,
    })
}
