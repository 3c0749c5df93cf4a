//! One journal out of several, for a report on runs that belong together.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, params};

use super::{Cell, StoreError, reader, schema};

/// The run directory of a journal, held so that no second process works there.
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock of `dir`, which is made if need be.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process has it.
    pub fn take(dir: &Path) -> Result<Self, StoreError> {
        let open = |path: &Path, source: std::io::Error| StoreError::Open {
            path: path.to_owned(),
            source: source.into(),
        };
        fs::create_dir_all(dir).map_err(|e| open(dir, e))?;
        let path = dir.join("run.lock");
        let file = File::create(&path).map_err(|e| open(&path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Busy {
                dir: dir.to_owned(),
            }),
            Err(TryLockError::Error(e)) => Err(open(&path, e)),
        }
    }
}

/// A journal that goes into another.
pub struct Part {
    /// Its run directory.
    pub dir: PathBuf,
    /// The columns to take, and what each becomes.
    pub columns: Vec<(Cell, Cell)>,
}

/// Writes the journal of `dir` anew from `parts`, with `meta`. Who reads it sees the old one or the
/// new one. Searches are not taken over, only samples and their calls.
///
/// # Errors
/// A part cannot be read, or the journal not written; then the old one stands.
pub fn gather(dir: &Path, parts: &[Part], meta: &[(&str, String)]) -> Result<(), StoreError> {
    let part = dir.join("run.sqlite.part");
    // What an earlier attempt left, with its side files.
    for ending in ["", "-journal", "-wal"] {
        let _ = fs::remove_file(format!("{}{ending}", part.display()));
    }
    let written = write(&part, parts, meta);
    let whole = dir.join(schema::FILE);
    let placed = written.and_then(|()| {
        fs::rename(&part, &whole).map_err(|e| StoreError::Open {
            path: whole,
            source: e.into(),
        })
    });
    if placed.is_err() {
        // What stopped the writing is the news, not what stops the tidying.
        let _ = fs::remove_file(&part);
    }
    placed
}

fn write(path: &Path, parts: &[Part], meta: &[(&str, String)]) -> Result<(), StoreError> {
    let db = Connection::open(path).map_err(|e| StoreError::sqlite(path, e))?;
    schema::prepare(&db, path)?;
    // In the order of the parts, whatever their samples are.
    for cell in parts.iter().flat_map(|p| &p.columns).map(|(_, new)| new) {
        db.execute(
            "INSERT OR IGNORE INTO cell (llm, dataset, method) VALUES (?1, ?2, ?3)",
            [&cell.llm, &cell.dataset, &cell.method],
        )?;
    }
    for part in parts {
        let file = part.dir.join(schema::FILE);
        // A finished run that an older version wrote has other tables.
        let own = Connection::open(&file).map_err(|e| StoreError::sqlite(&file, e))?;
        schema::prepare(&own, &file)?;
        drop(own);
        db.execute("ATTACH ?1 AS part", [file.to_string_lossy()])?;
        db.execute_batch("BEGIN")?;
        for (old, new) in &part.columns {
            column(&db, old, new)?;
        }
        db.execute_batch("COMMIT; DETACH part")?;
    }
    for (key, value) in meta {
        let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
        db.execute(sql, params![key, value])?;
    }
    Ok(())
}

/// Takes over one column: its questions, its samples, and the calls that these name.
fn column(db: &Connection, old: &Cell, new: &Cell) -> Result<(), StoreError> {
    let id = |table: &str, cell: &Cell| {
        let sql =
            format!("SELECT id FROM {table}.cell WHERE llm = ?1 AND dataset = ?2 AND method = ?3");
        db.query_row(&sql, [&cell.llm, &cell.dataset, &cell.method], |r| r.get(0))
    };
    let (from, to): (i64, i64) = (id("part", old)?, id("main", new)?);
    db.execute(
        "INSERT OR IGNORE INTO main.question SELECT ?1, position, id, question, gold, kind \
         FROM part.question WHERE dataset = ?2",
        [&new.dataset, &old.dataset],
    )?;
    let mut calls = HashMap::new();
    let mut samples = db.prepare(
        "SELECT position, repeat, answer_call, estimate_calls FROM part.sample WHERE cell = ?1",
    )?;
    let mut rows = samples.query([from])?;
    while let Some(row) = rows.next()? {
        let (position, repeat): (u64, u32) = (row.get(0)?, row.get(1)?);
        let answer: Option<i64> = row.get(2)?;
        let estimates: Option<String> = row.get(3)?;
        let answer = answer.map(|id| call(db, id, &mut calls)).transpose()?;
        let estimates = match estimates {
            Some(ids) => Some(moved(db, &ids, &mut calls)?),
            None => None,
        };
        db.prepare_cached(
            "INSERT INTO main.sample (cell, position, repeat, outcome, answer, reason, budget, \
             fallback, answer_call, estimate_calls, estimate_output_tokens, estimate_cost_usd, \
             estimate_latency_s, error_kind, error) \
             SELECT ?1, position, repeat, outcome, answer, reason, budget, fallback, ?2, ?3, \
             estimate_output_tokens, estimate_cost_usd, estimate_latency_s, error_kind, error \
             FROM part.sample WHERE cell = ?4 AND position = ?5 AND repeat = ?6",
        )?
        .execute(params![to, answer, estimates, from, position, repeat])?;
    }
    Ok(())
}

/// The ids of calls, with commas between, as they are in the new journal.
fn moved(db: &Connection, ids: &str, known: &mut HashMap<i64, i64>) -> Result<String, StoreError> {
    let mut new = Vec::new();
    for id in ids.split(',').filter_map(|id| id.parse().ok()) {
        new.push(call(db, id, known)?.to_string());
    }
    Ok(new.join(","))
}

/// The id in the new journal of a call of the part, copied if it is not there yet. A call that two
/// parts made is one call.
fn call(db: &Connection, id: i64, known: &mut HashMap<i64, i64>) -> Result<i64, StoreError> {
    if let Some(new) = known.get(&id) {
        return Ok(*new);
    }
    let columns = "key, prompt, completion, reasoning, finish_reason, input_tokens, \
                   cached_input_tokens, output_tokens, reasoning_tokens, latency_s, cost_usd, \
                   model, service_tier, from_cache";
    db.prepare_cached(&format!(
        "INSERT OR IGNORE INTO main.call ({columns}) SELECT {columns} FROM part.call WHERE id = ?1"
    ))?
    .execute([id])?;
    let new = db
        .prepare_cached(
            "SELECT id FROM main.call WHERE key = (SELECT key FROM part.call WHERE id = ?1)",
        )?
        .query_row([id], |r| r.get(0))?;
    known.insert(id, new);
    Ok(new)
}

/// A value that the journal of `dir` keeps about itself, whatever else is in it; absent where there
/// is no journal.
///
/// # Errors
/// The journal cannot be read.
pub fn meta_of(dir: &Path, key: &str) -> Result<Option<String>, StoreError> {
    match reader::Reader::open(dir) {
        Ok(reader) => reader.meta(key),
        Err(StoreError::NotARun { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}
