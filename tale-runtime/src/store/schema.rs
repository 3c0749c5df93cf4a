//! Tables of the journal, its version, and what can go wrong with it.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// File name within a run directory.
pub(super) const FILE: &str = "run.sqlite";

/// Version of the tables below, kept in SQLite's `user_version`. A change to them raises it and adds
/// an entry to `UPGRADES`.
pub(super) const VERSION: i64 = 3;

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE cell (
    id INTEGER PRIMARY KEY,
    llm TEXT NOT NULL, dataset TEXT NOT NULL, method TEXT NOT NULL,
    UNIQUE (llm, dataset, method)
);
CREATE TABLE question (
    dataset TEXT NOT NULL, position INTEGER NOT NULL,
    id TEXT NOT NULL, question TEXT NOT NULL, gold TEXT, kind TEXT NOT NULL,
    PRIMARY KEY (dataset, position)
) WITHOUT ROWID;
CREATE TABLE call (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    prompt TEXT NOT NULL, completion TEXT NOT NULL, reasoning TEXT, finish_reason TEXT NOT NULL,
    input_tokens INTEGER, cached_input_tokens INTEGER NOT NULL,
    output_tokens INTEGER, reasoning_tokens INTEGER NOT NULL,
    latency_s REAL NOT NULL, cost_usd REAL, model TEXT
);
CREATE TABLE sample (
    cell INTEGER NOT NULL REFERENCES cell (id), position INTEGER NOT NULL,
    outcome TEXT NOT NULL, answer TEXT, reason TEXT, budget INTEGER, fallback TEXT,
    answer_call INTEGER REFERENCES call (id),
    -- Ids of the estimate's calls with commas between, and their sums, so that statistics need no
    -- second join.
    estimate_calls TEXT, estimate_output_tokens INTEGER, estimate_cost_usd REAL,
    estimate_latency_s REAL,
    error_kind TEXT, error TEXT,
    PRIMARY KEY (cell, position)
) WITHOUT ROWID;
";

/// What each version changed, from the second on; a new journal gets all of it, an older one what it
/// lacks.
const UPGRADES: [&str; 2] = [BILLING, SEARCHES];

/// Version 2. A call knows its class of service and whether it was paid for by an earlier run
/// (`from_cache`); a question has several samples of one method, told apart by `repeat`.
const BILLING: &str = "
ALTER TABLE call ADD COLUMN service_tier TEXT;
ALTER TABLE call ADD COLUMN from_cache INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sample RENAME TO sample_before;
CREATE TABLE sample (
    cell INTEGER NOT NULL REFERENCES cell (id), position INTEGER NOT NULL,
    repeat INTEGER NOT NULL,
    outcome TEXT NOT NULL, answer TEXT, reason TEXT, budget INTEGER, fallback TEXT,
    answer_call INTEGER REFERENCES call (id),
    estimate_calls TEXT, estimate_output_tokens INTEGER, estimate_cost_usd REAL,
    estimate_latency_s REAL,
    error_kind TEXT, error TEXT,
    PRIMARY KEY (cell, position, repeat)
) WITHOUT ROWID;
INSERT INTO sample SELECT cell, position, 0, outcome, answer, reason, budget, fallback, answer_call,
    estimate_calls, estimate_output_tokens, estimate_cost_usd, estimate_latency_s, error_kind, error
    FROM sample_before;
DROP TABLE sample_before;
";

/// Version 3. A search belongs to the cell whose samples are its results; `attempt` is its trace,
/// step 0 the vanilla chain of thought. `result` is the step whose answer was kept.
const SEARCHES: &str = "
CREATE TABLE search (
    cell INTEGER NOT NULL REFERENCES cell (id), position INTEGER NOT NULL,
    ending TEXT NOT NULL, result INTEGER, budget INTEGER,
    vanilla_tokens INTEGER, tokens INTEGER, calls INTEGER NOT NULL, extra INTEGER NOT NULL,
    error_kind TEXT, error TEXT,
    PRIMARY KEY (cell, position)
) WITHOUT ROWID;
CREATE TABLE attempt (
    cell INTEGER NOT NULL, position INTEGER NOT NULL, step INTEGER NOT NULL,
    budget INTEGER, call INTEGER NOT NULL REFERENCES call (id),
    outcome TEXT NOT NULL, answer TEXT, output_tokens INTEGER, feasible INTEGER, reason TEXT,
    extra INTEGER NOT NULL, decision_calls TEXT,
    PRIMARY KEY (cell, position, step)
) WITHOUT ROWID;
";

/// Why the journal could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory holds no journal.
    #[error("`{}` is no run directory: it holds no `{FILE}`", dir.display())]
    NotARun {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process works on the same run.
    #[error("another `tale` is working in `{}`", dir.display())]
    Busy {
        /// The directory.
        dir: PathBuf,
    },
    /// A newer version wrote the journal.
    #[error("`{}` was written by a newer `tale` (journal version {found}, this one knows {VERSION})", path.display())]
    NewerJournal {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// The disk or the quota is full.
    #[error("no space left for the journal; everything recorded before is safe")]
    Full,
    /// The file is no SQLite database, or damaged.
    #[error("the journal is damaged or no journal")]
    Damaged(#[source] rusqlite::Error),
    /// The directory cannot be made or the file not opened.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A transaction failed, and with it every record in it.
    #[error("the journal could not be written: {cause}")]
    Commit {
        /// What SQLite said.
        cause: String,
    },
    /// The writer's thread has ended.
    #[error("the journal was closed")]
    Closed,
    /// Anything else that SQLite reports.
    #[error("the journal cannot be read or written")]
    Sqlite(#[source] rusqlite::Error),
}

impl StoreError {
    /// How to mend it, if there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotARun { .. } => {
                "name the folder that `tale run` wrote, by default `runs/<manifest's name>`".into()
            }
            Self::Busy { .. } => {
                "wait for it to end, or give this run another folder with `--out DIR`".into()
            }
            Self::NewerJournal { .. } => "update `tale`, or use another folder".into(),
            Self::Full => {
                "free some space, then run the same command again: it goes on from here".into()
            }
            Self::Damaged(_) => {
                "restore the file from a backup, or start over with `--fresh`".into()
            }
            Self::Commit { .. } => {
                "see to the folder, then run the same command again: it goes on from here".into()
            }
            Self::Open { .. } | Self::Closed | Self::Sqlite(_) => return None,
        })
    }

    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        match Self::from(source) {
            Self::Sqlite(source) => Self::Open {
                path: path.to_owned(),
                source: source.into(),
            },
            other => other,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(e: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
        match e.sqlite_error_code() {
            Some(DiskFull) => Self::Full,
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged(e),
            _ => Self::Sqlite(e),
        }
    }
}

/// Creates or upgrades the tables.
pub(super) fn prepare(db: &Connection, path: &Path) -> Result<(), StoreError> {
    check_version(db, path)?;
    let found = version(db)?;
    let mut batch = String::from("BEGIN IMMEDIATE;");
    if found == 0 {
        batch.push_str(TABLES);
    }
    for (upgrade, version) in UPGRADES.iter().zip(2..) {
        if found < version {
            batch.push_str(upgrade);
        }
    }
    if found < VERSION {
        db.execute_batch(&format!("{batch} PRAGMA user_version = {VERSION}; COMMIT;"))?;
    }
    Ok(())
}

/// Refuses what a newer version wrote.
pub(super) fn check_version(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let found = version(db)?;
    if found > VERSION {
        return Err(StoreError::NewerJournal {
            path: path.to_owned(),
            found,
        });
    }
    Ok(())
}

/// The version of the tables; 0 of an empty file.
pub(super) fn version(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("PRAGMA user_version", [], |r| r.get(0))?)
}
