//! What `tale cache` shows and clears.

use std::{path::Path, time::Duration};

use rusqlite::params;
use serde::Serialize;

use super::{CacheError, table};

/// What a cache holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stat {
    /// Answers.
    pub answers: u64,
    /// Bytes of the file and its log.
    pub bytes: u64,
    /// By the model that was asked, most answers first.
    pub models: Vec<ModelStat>,
}

/// What a cache holds of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelStat {
    /// The model that was asked.
    pub model: String,
    /// Answers.
    pub answers: u64,
    /// Prompt tokens that need not be paid again.
    pub input_tokens: u64,
    /// Output tokens that need not be paid again.
    pub output_tokens: u64,
    /// Seconds since 1970 of the oldest.
    pub oldest: u64,
    /// Seconds since 1970 of the newest.
    pub newest: u64,
}

/// What was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cleared {
    /// Answers that are gone.
    pub removed: u64,
    /// Answers that are left.
    pub left: u64,
}

/// What the cache in the file `path` holds; nothing, where there is none.
///
/// # Errors
/// See [`CacheError`].
pub fn stat(path: &Path) -> Result<Stat, CacheError> {
    if !path.exists() {
        return Ok(Stat::default());
    }
    let db = table::open(path)?;
    let mut statement = db.prepare(
        "SELECT asked, count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), \
         min(created), max(created) FROM answer GROUP BY asked ORDER BY 2 DESC, 1",
    )?;
    let rows = statement.query_map([], |r| {
        Ok(ModelStat {
            model: r.get(0)?,
            answers: r.get(1)?,
            input_tokens: r.get(2)?,
            output_tokens: r.get(3)?,
            oldest: r.get(4)?,
            newest: r.get(5)?,
        })
    })?;
    let models = rows.collect::<Result<Vec<_>, _>>()?;
    let size = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::metadata(Path::new(&name)).map_or(0, |m| m.len())
    };
    Ok(Stat {
        answers: models.iter().map(|m| m.answers).sum(),
        bytes: size("") + size("-wal"),
        models,
    })
}

/// Removes answers from the cache in the file `path`: all, or those of `model` and older than
/// `older_than`. The file shrinks accordingly.
///
/// # Errors
/// See [`CacheError`].
pub fn clear(
    path: &Path,
    model: Option<&str>,
    older_than: Option<Duration>,
) -> Result<Cleared, CacheError> {
    if !path.exists() {
        return Ok(Cleared {
            removed: 0,
            left: 0,
        });
    }
    let db = table::open(path)?;
    let before = match older_than {
        Some(age) => table::now().saturating_sub(age.as_secs()),
        // One that another process keeps in this very second, too.
        None => table::now() + 1,
    };
    let removed = db.execute(
        "DELETE FROM answer WHERE created < ?1 AND (?2 IS NULL OR asked = ?2)",
        params![before, model],
    )?;
    // Gives the room back; not while another process reads, which is no error.
    if let Err(e) = db.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);") {
        tracing::debug!(error = %e, "the answer cache keeps its size for now");
    }
    let left = db.query_row("SELECT count(*) FROM answer", [], |r| r.get(0))?;
    Ok(Cleared {
        removed: removed as u64,
        left,
    })
}
