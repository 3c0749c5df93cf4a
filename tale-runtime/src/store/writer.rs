//! The one writer of a journal.
//!
//! A thread owns the database. Operations reach it over a bounded channel; it takes what has
//! gathered, does it in one transaction, and answers only after the commit. So a caller that has
//! its answer knows that the record survives a `kill -9`, and a thousand concurrent callers cost
//! one commit, not a thousand.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot};

use super::{
    CallId, CallKey, CallRow, Cell, CellId, Measure, NewSample, Outcome, StoreError, reader, schema,
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
    _lock: File,
}

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

enum Operation {
    Meta { key: String, answer: Answer<Option<String>> },
    SetMeta { key: String, value: String, answer: Answer<()> },
    Cell { cell: Cell, answer: Answer<CellId> },
    FindCall { key: CallKey, answer: Answer<Option<(CallId, CallRow)>> },
    PutCall { key: CallKey, call: CallRow, answer: Answer<CallId> },
    PutSample { question: NewQuestion, sample: NewSample, answer: Answer<Measure> },
    Finished { cells: Vec<CellId>, from: u64, to: u64, answer: Answer<Vec<(CellId, Measure)>> },
}

impl Store {
    /// Opens the journal in the run directory `dir`, creating both if need be.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process has it open.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let open = |path: &Path, source: std::io::Error| StoreError::Open {
            path: path.to_owned(),
            source: source.into(),
        };
        std::fs::create_dir_all(dir).map_err(|e| open(dir, e))?;
        let lock_path = dir.join("run.lock");
        let lock = File::create(&lock_path).map_err(|e| open(&lock_path, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Busy { dir: dir.to_owned() }),
            Err(TryLockError::Error(e)) => return Err(open(&lock_path, e)),
        }
        let path = dir.join(schema::FILE);
        let db = Connection::open(&path).map_err(|e| StoreError::sqlite(&path, e))?;
        // NORMAL in WAL mode: a commit survives the death of the process; a loss of power may take
        // the last commits with it, but never damages the file.
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
            .map_err(|e| StoreError::sqlite(&path, e))?;
        schema::prepare(&db, &path)?;
        db.set_prepared_statement_cache_capacity(32);

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
        self.ask(|answer| Operation::SetMeta { key, value, answer }).await
    }

    /// The id of `cell`, which is recorded if it is new.
    pub async fn cell(&self, cell: Cell) -> Result<CellId, StoreError> {
        self.ask(|answer| Operation::Cell { cell, answer }).await
    }

    /// The finished call of that key, if there is one.
    pub async fn find_call(&self, key: CallKey) -> Result<Option<(CallId, CallRow)>, StoreError> {
        self.ask(|answer| Operation::FindCall { key, answer }).await
    }

    /// Records a finished call. If the key has been recorded before, that call stands.
    pub async fn put_call(&self, key: CallKey, call: CallRow) -> Result<CallId, StoreError> {
        self.ask(|answer| Operation::PutCall { key, call, answer }).await
    }

    /// Records a finished sample and its question, and gives its numbers. A sample at the same place
    /// is replaced.
    pub async fn put_sample(
        &self,
        question: NewQuestion,
        sample: NewSample,
    ) -> Result<Measure, StoreError> {
        self.ask(|answer| Operation::PutSample { question, sample, answer }).await
    }

    /// The samples of `cells` at positions `from..to` that need no more work: all but failed ones.
    pub async fn finished(
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
