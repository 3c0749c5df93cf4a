//! What was asked and what was answered.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use crate::Fault;

/// One request for a completion, alone or in a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Served {
    /// The last message.
    pub prompt: String,
    /// The model asked for.
    pub model: String,
    /// Tells requests apart: the same for the same body, streamed or not.
    pub digest: u64,
    /// What went wrong on purpose.
    pub fault: Option<Fault>,
    /// The status that was sent; 0 if none was.
    pub status: u16,
    /// Whether the whole answer was handed over to the network.
    pub answered: bool,
    /// The batch it came in.
    pub batch: Option<String>,
}

/// Everything that was served, in memory and in a file.
#[derive(Debug, Default)]
pub(crate) struct Log {
    served: Mutex<Vec<Served>>,
    file: Option<File>,
    forget: bool,
}

impl Log {
    pub(crate) fn new(path: Option<&Path>, forget: bool) -> std::io::Result<Self> {
        let append = |path| File::options().append(true).create(true).open(path);
        Ok(Self {
            served: Mutex::default(),
            file: path.map(append).transpose()?,
            forget,
        })
    }

    pub(crate) fn push(&self, served: Served) {
        if let Some(mut file) = self.file.as_ref() {
            let mut line = serde_json::to_string(&served).unwrap_or_default();
            line.push('\n');
            // One write: lines of several threads do not mix. A log that cannot be written shows in
            // the test that reads it.
            let _ = file.write_all(line.as_bytes());
        }
        if !self.forget {
            self.lock().push(served);
        }
    }

    pub(crate) fn all(&self) -> Vec<Served> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
