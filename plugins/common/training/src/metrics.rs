//! What a training writes down of each step: `metrics.jsonl`, and a `TensorBoard` event file.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tale_api::{Error, ErrorKind, Result, TrainEvent};

use crate::tensorboard::EventFile;

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Optimiser steps done, from 1.
    pub step: u64,
    /// Mean loss of the step.
    pub loss: f64,
    /// Tokens computed a second.
    pub tokens_per_s: f64,
    /// Seconds that the steps left will take at this speed.
    pub left_s: f64,
    /// What else there is, by name.
    #[serde(flatten)]
    pub more: BTreeMap<String, f64>,
}

/// The open files.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    lines: File,
    events: EventFile,
    /// What the last evaluation found, and what there was before any training.
    evaluation: BTreeMap<String, f64>,
}

impl Line {
    /// The event that tells of the step.
    #[must_use]
    pub fn event(&self, total_steps: u64) -> TrainEvent {
        let left = ("left_s".to_owned(), self.left_s);
        TrainEvent::Step {
            step: self.step,
            total_steps,
            loss: self.loss,
            tokens_per_s: self.tokens_per_s,
            metrics: self.more.clone().into_iter().chain([left]).collect(),
        }
    }
}

impl Metrics {
    /// Opens the files of a training that goes on after `done` steps: lines of later steps, which
    /// will be made again, are taken out.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn open(folder: &Path, done: u64) -> Result<Self> {
        let path = folder.join("metrics.jsonl");
        let failed = |e: std::io::Error| unwritable(&path, &e);
        let (mut kept, mut evaluation) = (String::new(), BTreeMap::new());
        if let Ok(file) = File::open(&path) {
            for line in BufReader::new(file).lines().map_while(std::io::Result::ok) {
                let known = serde_json::from_str::<Line>(&line).ok();
                if let Some(known) = known.filter(|known| known.step <= done) {
                    evaluation.extend(scores(&known));
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
            evaluation,
        })
    }

    /// What the last evaluation found (`eval_…`), and what there was before any training (`base_…`).
    #[must_use]
    pub fn evaluation(&self) -> &BTreeMap<String, f64> {
        &self.evaluation
    }

    /// Adds a step.
    ///
    /// # Errors
    /// [`ResourceExhausted`](ErrorKind::ResourceExhausted): the disk is full.
    pub fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_string(line)
            .map_err(std::io::Error::from)
            .map_err(|e| unwritable(&self.path, &e))?;
        text.push('\n');
        self.evaluation.extend(scores(line));
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

/// What an evaluation wrote into a line.
fn scores(line: &Line) -> impl Iterator<Item = (String, f64)> {
    let is_score = |name: &&String| name.starts_with("eval_") || name.starts_with("base_");
    let names = line.more.keys().filter(is_score);
    names.map(|name| (name.clone(), line.more[name]))
}

/// The error of a file that cannot be written; a full disk is told from other reasons.
#[must_use]
pub fn unwritable(path: &Path, cause: &std::io::Error) -> Error {
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
