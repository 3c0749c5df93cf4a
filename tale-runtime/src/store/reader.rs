//! Reading a journal, for reports, listings and replays.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::{
    CallId, CallKey, CallRow, Cell, CellId, Measure, Outcome, SampleRow, StoreError, schema,
};

/// A journal opened for reading; a run may be writing to it at the same time.
pub struct Reader {
    db: Connection,
    /// Holds the upgraded copy of an older journal; removed with the reader.
    _copy: Option<tempfile::TempDir>,
}

impl Reader {
    /// Opens the journal of the run directory `dir`.
    ///
    /// # Errors
    /// [`StoreError::NotARun`] if there is none, [`StoreError::NewerJournal`] if a newer `tale`
    /// wrote it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(schema::FILE);
        if !path.is_file() {
            return Err(StoreError::NotARun {
                dir: dir.to_owned(),
            });
        }
        let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(|e| StoreError::sqlite(&path, e))?;
        schema::check_version(&db, &path)?;
        if schema::version(&db)? < schema::VERSION {
            return Self::of_an_older_version(dir, &db);
        }
        Ok(Self { db, _copy: None })
    }

    /// Reads what an older `tale` wrote through an upgraded copy; the journal itself is upgraded by
    /// the next run that goes on with it, so that whoever only looks changes nothing.
    fn of_an_older_version(dir: &Path, old: &Connection) -> Result<Self, StoreError> {
        let failed = |source: std::io::Error| StoreError::Open {
            path: dir.to_owned(),
            source: source.into(),
        };
        let folder = tempfile::tempdir().map_err(failed)?;
        let path = folder.path().join(schema::FILE);
        old.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
        let db = Connection::open(&path).map_err(|e| StoreError::sqlite(&path, e))?;
        schema::prepare(&db, &path)?;
        Ok(Self {
            db,
            _copy: Some(folder),
        })
    }

    pub(super) fn db(&self) -> &Connection {
        &self.db
    }

    /// A value that the run keeps about itself, for instance `plan` or `created`.
    pub fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        meta(&self.db, key)
    }

    /// The columns of the experiment, in the order of the manifest.
    pub fn cells(&self) -> Result<Vec<(CellId, Cell)>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT id, llm, dataset, method FROM cell ORDER BY id")?;
        let rows = statement.query_map([], |r| {
            let cell = Cell {
                llm: r.get(1)?,
                dataset: r.get(2)?,
                method: r.get(3)?,
            };
            Ok((CellId(r.get(0)?), cell))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The numbers of every sample of `cell`, ordered by position.
    pub fn measures(&self, cell: CellId) -> Result<Vec<Measure>, StoreError> {
        let mut measures = Vec::new();
        self.for_each_measure(cell, |m| measures.push(m))?;
        Ok(measures)
    }

    /// Hands the numbers of every sample of `cell` to `visit`, ordered by position, for those who
    /// need not hold a million of them.
    pub fn for_each_measure(
        &self,
        cell: CellId,
        mut visit: impl FnMut(Measure),
    ) -> Result<(), StoreError> {
        let mut statement = self.db.prepare_cached(MEASURES_BY_CELL)?;
        let mut rows = statement.query([cell.0])?;
        while let Some(row) = rows.next()? {
            visit(measure(row)?);
        }
        Ok(())
    }

    /// Hands every sample of `cell` to `visit`, ordered by position, one at a time.
    pub fn for_each_sample<E: From<StoreError>>(
        &self,
        cell: CellId,
        mut visit: impl FnMut(SampleRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let sqlite = |e: rusqlite::Error| E::from(StoreError::from(e));
        let mut statement = self.db.prepare_cached(SAMPLE_BY_CELL).map_err(sqlite)?;
        let mut rows = statement.query([cell.0]).map_err(sqlite)?;
        while let Some(row) = rows.next().map_err(sqlite)? {
            visit(self.sample(row).map_err(sqlite)?)?;
        }
        Ok(())
    }

    /// The sample of `cell` at `position`, if it is finished.
    pub fn sample_at(&self, cell: CellId, position: u64) -> Result<Option<SampleRow>, StoreError> {
        let mut statement = self.db.prepare_cached(SAMPLE_AT)?;
        Ok(statement
            .query_row(params![cell.0, position], |r| self.sample(r))
            .optional()?)
    }

    /// Number of calls in the journal.
    pub fn call_count(&self) -> Result<u64, StoreError> {
        Ok(self
            .db
            .query_row("SELECT count(*) FROM call", [], |r| r.get(0))?)
    }

    /// Calls that another run paid for, found in the cache.
    pub fn cached_call_count(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM call WHERE from_cache";
        Ok(self.db.query_row(sql, [], |r| r.get(0))?)
    }

    /// The prices of all calls together in US dollars, each counted once however many samples share
    /// it, those from the cache included; absent where no call has a price.
    pub fn cost_usd(&self) -> Result<Option<f64>, StoreError> {
        Ok(self
            .db
            .query_row("SELECT sum(cost_usd) FROM call", [], |r| r.get(0))?)
    }

    /// What this run has paid itself: [`Reader::cost_usd`] less what came from the cache.
    pub fn spent_usd(&self) -> Result<Option<f64>, StoreError> {
        spent_usd(&self.db)
    }

    /// The finished call of that key, if there is one.
    pub fn find_call(&self, key: CallKey) -> Result<Option<(CallId, CallRow)>, StoreError> {
        find_call(&self.db, key)
    }

    fn sample(&self, r: &Row<'_>) -> rusqlite::Result<SampleRow> {
        let estimate_calls: Option<String> = r.get(9)?;
        let mut estimate = Vec::new();
        for id in estimate_calls.iter().flat_map(|ids| ids.split(',')) {
            let mut statement = self.db.prepare_cached(CALL_BY_ID)?;
            estimate.push(statement.query_row([id], |r| call(r, 0))?);
        }
        let error_kind: Option<String> = r.get(10)?;
        let answered = r.get::<_, Option<i64>>(12)?.is_some();
        Ok(SampleRow {
            position: r.get(0)?,
            repeat: r.get(27)?,
            id: r.get(1)?,
            question: r.get(2)?,
            gold: r.get(3)?,
            kind: r.get(4)?,
            outcome: outcome(r, 5)?,
            answer: r.get(6)?,
            reason: r.get(7)?,
            budget: r.get(8)?,
            fallback: r.get(13)?,
            call: if answered { Some(call(r, 14)?) } else { None },
            estimate,
            error: match error_kind {
                Some(kind) => Some((kind, r.get::<_, Option<String>>(11)?.unwrap_or_default())),
                None => None,
            },
        })
    }
}

/// What a run has paid: calls that no cache answered for.
pub(super) fn spent_usd(db: &Connection) -> Result<Option<f64>, StoreError> {
    let sql = "SELECT sum(CASE WHEN from_cache THEN 0 ELSE cost_usd END) FROM call \
               WHERE cost_usd IS NOT NULL";
    Ok(db.query_row(sql, [], |r| r.get(0))?)
}

/// The finished call of that key.
pub(super) fn find_call(
    db: &Connection,
    key: CallKey,
) -> Result<Option<(CallId, CallRow)>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT id, prompt, completion, reasoning, finish_reason, input_tokens, \
         cached_input_tokens, output_tokens, reasoning_tokens, latency_s, cost_usd, model, \
         service_tier, from_cache FROM call WHERE key = ?1",
    )?;
    let found = statement
        .query_row([key.0.as_slice()], |r| Ok((CallId(r.get(0)?), call(r, 1)?)))
        .optional()?;
    Ok(found)
}

/// A value that a run keeps about itself.
pub(super) fn meta(db: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    let mut statement = db.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(statement.query_row([key], |r| r.get(0)).optional()?)
}

const CALL_BY_ID: &str = "SELECT prompt, completion, reasoning, finish_reason, input_tokens, \
     cached_input_tokens, output_tokens, reasoning_tokens, latency_s, cost_usd, model, \
     service_tier, from_cache FROM call WHERE id = ?1";

macro_rules! sample_query {
    ($condition:literal) => {
        concat!(
            "SELECT s.position, q.id, q.question, q.gold, q.kind, s.outcome, s.answer, s.reason, \
             s.budget, s.estimate_calls, s.error_kind, s.error, s.answer_call, s.fallback, \
             a.prompt, a.completion, a.reasoning, a.finish_reason, a.input_tokens, \
             a.cached_input_tokens, a.output_tokens, a.reasoning_tokens, a.latency_s, a.cost_usd, \
             a.model, a.service_tier, a.from_cache, s.repeat \
             FROM sample s \
             JOIN cell c ON c.id = s.cell \
             JOIN question q ON q.dataset = c.dataset AND q.position = s.position \
             LEFT JOIN call a ON a.id = s.answer_call \
             WHERE ",
            $condition
        )
    };
}

const SAMPLE_BY_CELL: &str = sample_query!("s.cell = ?1 ORDER BY s.position, s.repeat");
const SAMPLE_AT: &str = sample_query!("s.cell = ?1 AND s.position = ?2 ORDER BY s.repeat LIMIT 1");

macro_rules! measure_query {
    ($condition:literal) => {
        concat!(
            "SELECT s.position, s.outcome, s.fallback IS NOT NULL, s.budget, \
             a.input_tokens, a.output_tokens, coalesce(s.estimate_output_tokens, 0), \
             CASE WHEN a.cost_usd IS NULL AND s.estimate_cost_usd IS NULL THEN NULL \
             ELSE coalesce(a.cost_usd, 0) + coalesce(s.estimate_cost_usd, 0) END, \
             coalesce(a.latency_s, 0) + coalesce(s.estimate_latency_s, 0), s.repeat \
             FROM sample s LEFT JOIN call a ON a.id = s.answer_call WHERE ",
            $condition
        )
    };
}

const MEASURES_BY_CELL: &str = measure_query!("s.cell = ?1 ORDER BY s.position, s.repeat");

/// The measure of the sample of cell ?1 at position ?2, its ?3rd repeat.
pub(super) const MEASURE_AT: &str =
    measure_query!("s.cell = ?1 AND s.position = ?2 AND s.repeat = ?3");

/// The measures of the samples of cell ?1 at positions from ?2 to before ?3, failed ones (?4) left
/// out.
pub(super) const MEASURES_DONE: &str =
    measure_query!("s.cell = ?1 AND s.position >= ?2 AND s.position < ?3 AND s.outcome <> ?4");

/// Reads the row of a measure query.
pub(super) fn measure(r: &Row<'_>) -> rusqlite::Result<Measure> {
    Ok(Measure {
        position: r.get(0)?,
        outcome: outcome(r, 1)?,
        fell_back: r.get(2)?,
        budget: r.get(3)?,
        input_tokens: r.get(4)?,
        output_tokens: r.get(5)?,
        estimate_output_tokens: r.get(6)?,
        cost_usd: r.get(7)?,
        latency_s: r.get(8)?,
        repeat: r.get(9)?,
    })
}

/// Reads a call whose columns start at `at`, in the order of [`CALL_BY_ID`].
pub(crate) fn call(r: &Row<'_>, at: usize) -> rusqlite::Result<CallRow> {
    Ok(CallRow {
        prompt: r.get(at)?,
        completion: r.get(at + 1)?,
        reasoning: r.get(at + 2)?,
        finish_reason: r.get(at + 3)?,
        input_tokens: r.get(at + 4)?,
        cached_input_tokens: r.get(at + 5)?,
        output_tokens: r.get(at + 6)?,
        reasoning_tokens: r.get(at + 7)?,
        latency_s: r.get(at + 8)?,
        cost_usd: r.get(at + 9)?,
        model: r.get(at + 10)?,
        service_tier: r.get(at + 11)?,
        from_cache: r.get(at + 12)?,
    })
}

pub(super) fn outcome(r: &Row<'_>, at: usize) -> rusqlite::Result<Outcome> {
    let name: String = r.get(at)?;
    Outcome::parse(&name).ok_or_else(|| {
        let unknown = format!("unknown outcome `{name}`").into();
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, unknown)
    })
}
