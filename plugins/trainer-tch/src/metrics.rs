//! What a training writes down of each step: `metrics.jsonl`, and a `TensorBoard` event file.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tale_api::{Error, ErrorKind, Result};

use crate::tensorboard::EventFile;

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) step: u64,
    pub(crate) loss: f64,
    pub(crate) tokens_per_s: f64,
    /// Seconds that the steps left will take at this speed.
    pub(crate) left_s: f64,
    #[serde(flatten)]
    pub(crate) more: BTreeMap<String, f64>,
}

/// The open files.
#[derive(Debug)]
pub(crate) struct Metrics {
    path: PathBuf,
    lines: File,
    events: EventFile,
}

impl Metrics {
    /// Opens the files of a training that goes on after `done` steps: lines of later steps, which
    /// will be made again, are taken out.
    pub(crate) fn open(folder: &Path, done: u64) -> Result<Self> {
        let path = folder.join("metrics.jsonl");
        let failed = |e: std::io::Error| unwritable(&path, &e);
        let mut kept = String::new();
        if let Ok(file) = File::open(&path) {
            for line in BufReader::new(file).lines().map_while(std::io::Result::ok) {
                if serde_json::from_str::<Line>(&line).is_ok_and(|line| line.step <= done) {
                    kept.push_str(&line);
                    kept.push('\n');
                }
            }
        }
        std::fs::write(&path, kept).map_err(failed)?;
        let lines = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(failed)?;
        let events = EventFile::create(folder).map_err(failed)?;
        Ok(Self {
            path,
            lines,
            events,
        })
    }

    pub(crate) fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_string(line)
            .map_err(std::io::Error::from)
            .map_err(|e| unwritable(&self.path, &e))?;
        text.push('\n');
        let scalars = [("loss", line.loss), ("tokens_per_s", line.tokens_per_s)];
        let more = line
            .more
            .iter()
            .map(|(name, &value)| (name.as_str(), value));
        self.lines
            .write_all(text.as_bytes())
            .and_then(|()| {
                self.events
                    .scalars(line.step, scalars.into_iter().chain(more))
            })
            .map_err(|e| unwritable(&self.path, &e))
    }
}

pub(crate) fn unwritable(path: &Path, cause: &std::io::Error) -> Error {
    let full = matches!(
        cause.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    );
    let kind = if full {
        ErrorKind::ResourceExhausted
    } else {
        ErrorKind::InvalidData
    };
    let error = Error::new(kind, format!("cannot write `{}`", path.display())).caused_by(cause);
    if full {
        error.hint("free some space and start again; the last checkpoint is kept")
    } else {
        error
    }
}
