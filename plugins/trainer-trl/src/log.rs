//! What the processes write beside their messages: a file, and its last lines for an error.

use std::{
    collections::VecDeque,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use tale_api::Result;
use tale_training::unwritable;

/// Bytes kept for an error.
const KEPT: usize = 4096;
/// Lines shown of them.
const SHOWN: usize = 12;

/// The log of one start.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    last: VecDeque<u8>,
}

impl Log {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: File::create(path).map_err(|e| unwritable(path, &e))?,
            last: VecDeque::new(),
        })
    }

    /// A log that cannot be written ends no training: its last lines are still here.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        if let Err(e) = self.file.write_all(bytes) {
            tracing::warn!(error = %e, log = %self.path.display(), "the log cannot be written");
        }
        self.last.extend(bytes);
        let surplus = self.last.len().saturating_sub(KEPT);
        self.last.drain(..surplus);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The last lines, without empty ones.
    pub(crate) fn last_lines(&self) -> String {
        let bytes: Vec<u8> = self.last.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text
            .split(['\n', '\r'])
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_however_much_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::create(&dir.path().join("log")).unwrap();
        for i in 0..5000 {
            log.add(format!("line {i}\n\n").as_bytes());
        }
        assert!(log.last_lines().ends_with("line 4998\nline 4999"));
        assert_eq!(log.last_lines().lines().count(), SHOWN);
        assert!(log.last.len() <= KEPT);
    }
}
