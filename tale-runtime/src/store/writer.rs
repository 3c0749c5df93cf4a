//! The one writer of a journal.
//!
//! A thread owns the database. Operations reach it over a bounded channel; it takes what has
//! gathered, does it in one transaction, and answers only after the commit. So a caller that has
//! its answer knows that the record survives a `kill -9`, and a thousand concurrent callers cost
//! one commit, not a thousand.

use std::{
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::{
    CallId, CallKey, CallRow, Cell, CellId, Measure, NewSample, NewSearch, Outcome, SearchMeasure,
    StoreError, gather::DirLock, reader, schema, searches,
};

/// Operations that wait for the writer at most; more make their callers wait.
const QUEUE: usize = 1024;

/// Operations in one transaction at most, so that a flood cannot put off its own commit.
const BATCH: usize = 512;

/// A question, recorded with the first sample that answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewQuestion {
    /// The data set's name in results.
    pub dataset: String,
    /// Position in the data set, from 0.
    pub position: u64,
    /// The question's id.
    pub id: String,
    /// The bare question, options appended.
    pub question: String,
    /// The gold answer.
    pub gold: Option<String>,
    /// Kind of answer.
    pub kind: String,
}

/// The journal of a run, opened for writing. Only one process can have it open.
pub struct Store {
    dir: PathBuf,
    operations: Option<mpsc::Sender<Operation>>,
    thread: Option<JoinHandle<()>>,
    /// Held as long as the journal is open; the system frees it when the process dies.
    _lock: DirLock,
}

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

enum Operation {
    Meta {
        key: String,
        answer: Answer<Option<String>>,
    },
    SetMeta {
        key: String,
        value: String,
        answer: Answer<()>,
    },
    Cell {
        cell: Cell,
        answer: Answer<CellId>,
    },
    Spent {
        answer: Answer<Option<f64>>,
    },
    FindCall {
        key: CallKey,
        answer: Answer<Option<(CallId, CallRow)>>,
    },
    PutCall {
        key: CallKey,
        call: CallRow,
        answer: Answer<CallId>,
    },
    PutSample {
        question: NewQuestion,
        sample: NewSample,
        answer: Answer<Measure>,
    },
    Finished {
        cells: Vec<CellId>,
        from: u64,
        to: u64,
        answer: Answer<Vec<(CellId, Measure)>>,
    },
    PutSearch {
        question: NewQuestion,
        search: NewSearch,
        samples: Vec<NewSample>,
        answer: Answer<SearchMeasure>,
    },
    FinishedSearches {
        cell: CellId,
        from: u64,
        to: u64,
        answer: Answer<Vec<SearchMeasure>>,
    },
}

impl Store {
    /// Opens the journal in the run directory `dir`, creating both if need be.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process has it open.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, |_| Ok(()))
    }

    /// As [`Store::open`], with settings of its own for the connection.
    pub(super) fn open_with(
        dir: &Path,
        settings: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Self, StoreError> {
        let open = |path: &Path, source: std::io::Error| StoreError::Open {
            path: path.to_owned(),
            source: source.into(),
        };
        let lock = DirLock::take(dir)?;
        let path = dir.join(schema::FILE);
        let db = Connection::open(&path).map_err(|e| StoreError::sqlite(&path, e))?;
        // NORMAL in WAL mode: a commit survives the death of the process; a loss of power may take
        // the last commits with it, but never damages the file.
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
            .map_err(|e| StoreError::sqlite(&path, e))?;
        schema::prepare(&db, &path)?;
        db.set_prepared_statement_cache_capacity(32);
        settings(&db)?;

        let (operations, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || work(&db, queue))
            .map_err(|e| open(&path, e))?;
        Ok(Self {
            dir: dir.to_owned(),
            operations: Some(operations),
            thread: Some(thread),
            _lock: lock,
        })
    }

    /// The run directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A value that the run keeps about itself.
    pub async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.ask(|answer| Operation::Meta { key, answer }).await
    }

    /// Keeps a value about the run itself.
    pub async fn set_meta(&self, key: &str, value: String) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.ask(|answer| Operation::SetMeta { key, value, answer })
            .await
    }

    /// The id of `cell`, which is recorded if it is new.
    pub async fn cell(&self, cell: Cell) -> Result<CellId, StoreError> {
        self.ask(|answer| Operation::Cell { cell, answer }).await
    }

    /// What this run has paid so far in US dollars; absent where no call has a price.
    pub async fn spent_usd(&self) -> Result<Option<f64>, StoreError> {
        self.ask(|answer| Operation::Spent { answer }).await
    }

    /// The finished call of that key, if there is one.
    pub async fn find_call(&self, key: CallKey) -> Result<Option<(CallId, CallRow)>, StoreError> {
        self.ask(|answer| Operation::FindCall { key, answer }).await
    }

    /// Records a finished call. If the key has been recorded before, that call stands.
    pub async fn put_call(&self, key: CallKey, call: CallRow) -> Result<CallId, StoreError> {
        self.ask(|answer| Operation::PutCall { key, call, answer })
            .await
    }

    /// Records a finished sample and its question, and gives its numbers. A sample at the same place
    /// is replaced.
    pub async fn put_sample(
        &self,
        question: NewQuestion,
        sample: NewSample,
    ) -> Result<Measure, StoreError> {
        self.ask(|answer| Operation::PutSample {
            question,
            sample,
            answer,
        })
        .await
    }

    /// The samples of `cells` at positions `from..to` that need no more work: all but failed ones.
    pub async fn finished(
        &self,
        cells: Vec<CellId>,
        from: u64,
        to: u64,
    ) -> Result<Vec<(CellId, Measure)>, StoreError> {
        self.ask(|answer| Operation::Finished {
            cells,
            from,
            to,
            answer,
        })
        .await
    }

    /// Records a finished search with its question and the samples that follow from it, and gives its
    /// numbers. A search at the same place is replaced.
    pub async fn put_search(
        &self,
        question: NewQuestion,
        search: NewSearch,
        samples: Vec<NewSample>,
    ) -> Result<SearchMeasure, StoreError> {
        self.ask(|answer| Operation::PutSearch {
            question,
            search,
            samples,
            answer,
        })
        .await
    }

    /// The searches of `cell` at positions `from..to` that need no more work: all but failed ones.
    pub async fn finished_searches(
        &self,
        cell: CellId,
        from: u64,
        to: u64,
    ) -> Result<Vec<SearchMeasure>, StoreError> {
        self.ask(|answer| Operation::FinishedSearches {
            cell,
            from,
            to,
            answer,
        })
        .await
    }

    async fn ask<T>(
        &self,
        operation: impl FnOnce(Answer<T>) -> Operation,
    ) -> Result<T, StoreError> {
        let (answer, result) = oneshot::channel();
        let operations = self.operations.as_ref().ok_or(StoreError::Closed)?;
        operations
            .send(operation(answer))
            .await
            .map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Store {
    /// Waits until everything handed over is committed.
    fn drop(&mut self) {
        drop(self.operations.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported already; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// An answer that is given once the fate of its transaction is known.
type Acknowledgement = Box<dyn FnOnce(Option<&Failure>)>;

/// Why a transaction failed, for every operation in it; an error value itself cannot be shared.
enum Failure {
    Full,
    Other(String),
}

impl Failure {
    fn of(e: &StoreError) -> Self {
        match e {
            StoreError::Full => Self::Full,
            StoreError::Sqlite(cause) => Self::Other(cause.to_string()),
            other => Self::Other(other.to_string()),
        }
    }

    fn error(&self) -> StoreError {
        match self {
            Self::Full => StoreError::Full,
            Self::Other(cause) => StoreError::Commit {
                cause: cause.clone(),
            },
        }
    }
}

fn work(db: &Connection, mut queue: mpsc::Receiver<Operation>) {
    let mut waiting = Vec::with_capacity(BATCH);
    while queue.blocking_recv_many(&mut waiting, BATCH) > 0 {
        let mut batch = Batch {
            db,
            failure: None,
            acknowledgements: Vec::new(),
        };
        batch.note(db.execute_batch("BEGIN IMMEDIATE"));
        for operation in waiting.drain(..) {
            batch.perform(operation);
        }
        if batch.failure.is_none() {
            batch.note(db.execute_batch("COMMIT"));
        }
        if batch.failure.is_some() {
            // A full disk may have ended the transaction already; then there is nothing to undo.
            let _ = db.execute_batch("ROLLBACK");
        }
        for acknowledge in batch.acknowledgements {
            acknowledge(batch.failure.as_ref());
        }
    }
    // A closed journal is one file, easy to copy. Not possible while somebody reads it; then the
    // write-ahead log stays beside it and nothing is lost.
    let _ = db.execute_batch("PRAGMA journal_mode = DELETE");
}

/// The operations of one transaction. They succeed or fail together: an operation that finds an
/// error takes the others with it, and all their callers learn why.
struct Batch<'a> {
    db: &'a Connection,
    failure: Option<Failure>,
    acknowledgements: Vec<Acknowledgement>,
}

impl Batch<'_> {
    fn note(&mut self, result: rusqlite::Result<()>) {
        if let Err(e) = result {
            self.failure = Some(Failure::of(&StoreError::from(e)));
        }
    }

    fn perform(&mut self, operation: Operation) {
        match operation {
            Operation::Meta { key, answer } => self.settle(answer, |db| reader::meta(db, &key)),
            Operation::SetMeta { key, value, answer } => {
                self.settle(answer, |db| set_meta(db, &key, &value));
            }
            Operation::Cell { cell, answer } => self.settle(answer, |db| cell_id(db, &cell)),
            Operation::Spent { answer } => self.settle(answer, reader::spent_usd),
            Operation::FindCall { key, answer } => {
                self.settle(answer, |db| reader::find_call(db, key));
            }
            Operation::PutCall { key, call, answer } => {
                self.settle(answer, |db| put_call(db, key, &call));
            }
            Operation::PutSample {
                question,
                sample,
                answer,
            } => {
                self.settle(answer, |db| put_sample(db, &question, &sample));
            }
            Operation::Finished {
                cells,
                from,
                to,
                answer,
            } => {
                self.settle(answer, |db| finished(db, &cells, from, to));
            }
            Operation::PutSearch {
                question,
                search,
                samples,
                answer,
            } => {
                self.settle(answer, |db| searches::put(db, &question, &search, &samples));
            }
            Operation::FinishedSearches {
                cell,
                from,
                to,
                answer,
            } => {
                self.settle(answer, |db| searches::finished(db, cell, from, to));
            }
        }
    }

    fn settle<T: 'static>(
        &mut self,
        answer: Answer<T>,
        perform: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) {
        let value = match &self.failure {
            Some(_) => None,
            None => match perform(self.db) {
                Ok(value) => Some(value),
                Err(e) => {
                    self.failure = Some(Failure::of(&e));
                    None
                }
            },
        };
        self.acknowledgements.push(Box::new(move |failure| {
            let result = match (failure, value) {
                (Some(failure), _) => Err(failure.error()),
                (None, Some(value)) => Ok(value),
                (None, None) => Err(StoreError::Closed),
            };
            // Nobody waits any more where the call was cancelled; the record stands all the same.
            let _ = answer.send(result);
        }));
    }
}

fn set_meta(db: &Connection, key: &str, value: &str) -> Result<(), StoreError> {
    db.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute([key, value])?;
    Ok(())
}

fn cell_id(db: &Connection, cell: &Cell) -> Result<CellId, StoreError> {
    let names = [&cell.llm, &cell.dataset, &cell.method];
    db.execute(
        "INSERT OR IGNORE INTO cell (llm, dataset, method) VALUES (?1, ?2, ?3)",
        names,
    )?;
    let id = db.query_row(
        "SELECT id FROM cell WHERE llm = ?1 AND dataset = ?2 AND method = ?3",
        names,
        |r| r.get(0),
    )?;
    Ok(CellId(id))
}

fn put_call(db: &Connection, key: CallKey, call: &CallRow) -> Result<CallId, StoreError> {
    let inserted = db
        .prepare_cached(
            "INSERT OR IGNORE INTO call (key, prompt, completion, reasoning, finish_reason, \
         input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, latency_s, cost_usd, \
         model, service_tier, from_cache) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            key.0.as_slice(),
            call.prompt,
            call.completion,
            call.reasoning,
            call.finish_reason,
            call.input_tokens,
            call.cached_input_tokens,
            call.output_tokens,
            call.reasoning_tokens,
            call.latency_s,
            call.cost_usd,
            call.model,
            call.service_tier,
            call.from_cache,
        ])?;
    if inserted == 1 {
        return Ok(CallId(db.last_insert_rowid()));
    }
    let id = db
        .prepare_cached("SELECT id FROM call WHERE key = ?1")?
        .query_row([key.0.as_slice()], |r| r.get(0))?;
    Ok(CallId(id))
}

pub(super) fn put_question(db: &Connection, q: &NewQuestion) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO question (dataset, position, id, question, gold, kind) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        q.dataset, q.position, q.id, q.question, q.gold, q.kind
    ])?;
    Ok(())
}

fn put_sample(db: &Connection, q: &NewQuestion, s: &NewSample) -> Result<Measure, StoreError> {
    put_question(db, q)?;
    insert_sample(db, s)?;
    let recorded = db
        .prepare_cached(reader::MEASURE_AT)?
        .query_row(params![s.cell.0, s.position, s.repeat], reader::measure)?;
    Ok(recorded)
}

/// Records a sample whose question is recorded.
pub(super) fn insert_sample(db: &Connection, s: &NewSample) -> Result<(), StoreError> {
    let estimate = estimate_sums(db, &s.estimate_calls)?;
    let ids = s
        .estimate_calls
        .iter()
        .map(|id| id.0.to_string())
        .collect::<Vec<_>>()
        .join(",");
    db.prepare_cached(
        "INSERT OR REPLACE INTO sample (cell, position, outcome, answer, reason, budget, fallback, \
         answer_call, estimate_calls, estimate_output_tokens, estimate_cost_usd, \
         estimate_latency_s, error_kind, error, repeat) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?
    .execute(params![
        s.cell.0,
        s.position,
        s.outcome.as_str(),
        s.answer,
        s.reason,
        s.budget,
        s.fallback,
        s.answer_call.map(|id| id.0),
        (!ids.is_empty()).then_some(ids),
        estimate.output_tokens,
        estimate.cost_usd,
        estimate.latency_s,
        s.error.as_ref().map(|(kind, _)| kind),
        s.error.as_ref().map(|(_, text)| text),
        s.repeat,
    ])?;
    Ok(())
}

#[derive(Default)]
struct EstimateSums {
    output_tokens: Option<u64>,
    cost_usd: Option<f64>,
    latency_s: Option<f64>,
}

fn estimate_sums(db: &Connection, calls: &[CallId]) -> Result<EstimateSums, StoreError> {
    let mut sums = EstimateSums::default();
    for id in calls {
        let (tokens, cost, latency): (Option<u64>, Option<f64>, f64) = db
            .prepare_cached("SELECT output_tokens, cost_usd, latency_s FROM call WHERE id = ?1")?
            .query_row([id.0], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
        if let Some(tokens) = tokens {
            *sums.output_tokens.get_or_insert(0) += tokens;
        }
        if let Some(cost) = cost {
            *sums.cost_usd.get_or_insert(0.0) += cost;
        }
        *sums.latency_s.get_or_insert(0.0) += latency;
    }
    Ok(sums)
}

fn finished(
    db: &Connection,
    cells: &[CellId],
    from: u64,
    to: u64,
) -> Result<Vec<(CellId, Measure)>, StoreError> {
    let mut statement = db.prepare_cached(reader::MEASURES_DONE)?;
    let mut done = Vec::new();
    for &cell in cells {
        let range = params![cell.0, from, to, Outcome::Failed.as_str()];
        for measure in statement.query_map(range, reader::measure)? {
            done.push((cell, measure?));
        }
    }
    Ok(done)
}
