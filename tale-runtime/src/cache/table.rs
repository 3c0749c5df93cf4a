//! The table, its version, and what can go wrong with it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{self, CallKey, CallRow};

/// Version of the table, kept in SQLite's `user_version`.
const VERSION: i64 = 1;

const TABLE: &str = "
CREATE TABLE answer (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    -- The model that was asked, for `tale cache`; seconds since 1970.
    asked TEXT NOT NULL, created INTEGER NOT NULL,
    prompt TEXT NOT NULL, completion TEXT NOT NULL, reasoning TEXT, finish_reason TEXT NOT NULL,
    input_tokens INTEGER, cached_input_tokens INTEGER NOT NULL,
    output_tokens INTEGER, reasoning_tokens INTEGER NOT NULL,
    latency_s REAL NOT NULL, model TEXT, service_tier TEXT
);
CREATE INDEX answer_by_model ON answer (asked);
";

/// How long one process waits for another's transaction, which takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the cache could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The file cannot be made or opened.
    #[error("cannot open the answer cache `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A newer version wrote it.
    #[error("the answer cache `{}` was written by a newer `tale` (version {found}, this one knows {VERSION})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// SQLite reports an error.
    #[error("the answer cache cannot be read or written")]
    Sqlite(#[from] rusqlite::Error),
    /// The thread that owns it has ended.
    #[error("the answer cache was closed")]
    Closed,
}

impl CacheError {
    /// How to mend it, if there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Open { .. } => Some(
                "see to the file and its folder, name another with `path` of `[cache]`, or run \
                 with `--no-cache`",
            ),
            Self::Newer { .. } => Some("update `tale`, or run with `--no-cache`"),
            Self::Sqlite(_) => Some("`tale cache clear` starts it anew; `--no-cache` does without"),
            Self::Closed => None,
        }
    }

    fn open(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Open {
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

/// Opens the file, making it if need be.
pub(super) fn open(path: &Path) -> Result<Connection, CacheError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| CacheError::open(path, e))?;
    }
    private(path).map_err(|e| CacheError::open(path, e))?;
    let mut db = Connection::open(path).map_err(|e| CacheError::open(path, e))?;
    let prepared: Result<(), CacheError> = (|| {
        db.busy_timeout(PATIENCE)?;
        // NORMAL in WAL mode: a commit survives the death of the process, and costs no wait for
        // the disk. A loss of power may take the last ones, which are then asked again.
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")?;
        db.set_prepared_statement_cache_capacity(16);
        // Two processes may come at the same time; the second finds what the first has made.
        let made = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let found: i64 = made.query_row("PRAGMA user_version", [], |r| r.get(0))?;
        match found {
            0 => made.execute_batch(&format!("{TABLE} PRAGMA user_version = {VERSION};"))?,
            VERSION => {}
            found => {
                return Err(CacheError::Newer {
                    path: path.to_owned(),
                    found,
                });
            }
        }
        made.commit()?;
        Ok(())
    })();
    match prepared {
        Ok(()) => Ok(db),
        Err(CacheError::Sqlite(e)) => Err(CacheError::open(path, e)),
        Err(e) => Err(e),
    }
}

/// Prompts and answers are the user's: nobody else reads a file that is made here.
#[cfg(unix)]
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    options.open(path).map(|_| ())
}

#[cfg(not(unix))]
fn private(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// The answer of that key. Its price is nobody's yet.
pub(super) fn find(db: &Connection, key: CallKey) -> Result<Option<CallRow>, CacheError> {
    let mut statement = db.prepare_cached(
        "SELECT prompt, completion, reasoning, finish_reason, input_tokens, cached_input_tokens, \
         output_tokens, reasoning_tokens, latency_s, NULL, model, service_tier, TRUE \
         FROM answer WHERE key = ?1",
    )?;
    let found = statement.query_row([key.0.as_slice()], |r| store::call(r, 0));
    Ok(found.optional()?)
}

/// Keeps an answer; the first of a key stands.
pub(super) fn put(
    db: &Connection,
    key: CallKey,
    asked: &str,
    call: &CallRow,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR IGNORE INTO answer (key, asked, created, prompt, completion, reasoning, \
         finish_reason, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, \
         latency_s, model, service_tier) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute(params![
        key.0.as_slice(),
        asked,
        now(),
        call.prompt,
        call.completion,
        call.reasoning,
        call.finish_reason,
        call.input_tokens,
        call.cached_input_tokens,
        call.output_tokens,
        call.reasoning_tokens,
        call.latency_s,
        call.model,
        call.service_tier,
    ])?;
    Ok(())
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
