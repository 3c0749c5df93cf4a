//! Finds the answer to a prompt in a recorded file of any size.
//!
//! Only a hash and an offset are kept of each prompt, 16 bytes; text is read from the file when it
//! is asked for, and compared, so that equal hashes never give a wrong answer. A map in memory was
//! rejected: a million samples are gigabytes of text.

use std::{
    collections::BTreeSet,
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tale_api::{Error, ErrorKind, Result};

use crate::record::{Answer, Key, Record, Text};

/// A longer line is no record of an answer.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// The recorded file and where each prompt's answer lies in it.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    file: File,
    /// Sorted, so that of equal prompts the one recorded first comes first.
    entries: Vec<Entry>,
    /// SHA-256 of the file.
    pub digest: String,
    /// The `llm` labels met, in order of the alphabet.
    pub llms: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    hash: u64,
    offset: u64,
}

/// Which lines count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub llm: Option<String>,
    pub method: Option<String>,
}

impl Filter {
    fn takes(&self, record: &Record<'_>) -> bool {
        let fits = |wanted: &Option<String>, found: &Option<Text<'_>>| {
            wanted
                .as_ref()
                .is_none_or(|w| found.as_ref().is_some_and(|f| f.0 == *w))
        };
        fits(&self.llm, &record.llm) && fits(&self.method, &record.method)
    }
}

impl Index {
    /// Reads the file once, a line at a time.
    pub(crate) fn build(path: &Path, filter: &Filter) -> Result<Self> {
        let file = File::open(path).map_err(|e| unreadable(path, &e))?;
        if !file.metadata().map_err(|e| unreadable(path, &e))?.is_file() {
            return Err(unreadable(
                path,
                &io::Error::from(io::ErrorKind::IsADirectory),
            ));
        }
        let mut reader = BufReader::with_capacity(256 << 10, &file);
        let (mut entries, mut llms, mut hash) = (Vec::new(), BTreeSet::new(), Sha256::new());
        let (mut line, mut offset, mut number) = (Vec::new(), 0, 0_u64);
        loop {
            line.clear();
            let bytes = (&mut reader)
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut line)
                .map_err(|e| unreadable(path, &e))? as u64;
            if bytes == 0 {
                break;
            }
            number += 1;
            hash.update(&line);
            if !line.trim_ascii().is_empty() {
                let record = Record::parse(&line).map_err(|e| broken(path, number, &e))?;
                if filter.takes(&record) {
                    entries.extend(record.keys().map(|key| Entry {
                        hash: hash_of(key),
                        offset,
                    }));
                    if let Some(llm) = record.llm.filter(|l| !llms.contains(&*l.0)) {
                        llms.insert(llm.0.into_owned());
                    }
                }
            }
            offset += bytes;
        }
        entries.sort_unstable();
        entries.shrink_to_fit();
        let digest = format!("{:x}", hash.finalize());
        Ok(Self {
            path: path.to_owned(),
            file,
            entries,
            digest,
            llms,
        })
    }

    /// How many answers there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The answer recorded first, if there is one. If all recorded calls failed, an error says how.
    pub(crate) fn find(&self, key: Key<'_>) -> Result<Option<Answer>> {
        let hash = hash_of(key);
        let from = self.entries.partition_point(|e| e.hash < hash);
        let mut failure = None;
        for entry in self.entries[from..].iter().take_while(|e| e.hash == hash) {
            let line = self
                .line_at(entry.offset)
                .map_err(|e| unreadable(&self.path, &e))?;
            let record = Record::parse(&line).map_err(|e| {
                Error::new(
                    ErrorKind::InvalidData,
                    format!("`{}` changed since it was opened", self.path.display()),
                )
                .context("file", self.path.display().to_string())
                .caused_by(&e)
            })?;
            match record.answer(key) {
                Some(Ok(answer)) => return Ok(Some(answer)),
                Some(Err(reason)) => failure = failure.or(Some(reason)),
                None => {}
            }
        }
        match failure {
            None => Ok(None),
            Some(reason) => Err(Error::new(
                ErrorKind::NotFound,
                format!("this prompt failed in the recorded run: {reason}"),
            )
            .context("file", self.path.display().to_string())),
        }
    }

    fn line_at(&self, offset: u64) -> io::Result<Vec<u8>> {
        let (mut line, mut filled) = (vec![0; 4096], 0);
        loop {
            let n = read_at(&self.file, &mut line[filled..], offset + filled as u64)?;
            let end = line[filled..filled + n].iter().position(|b| *b == b'\n');
            if n == 0 || end.is_some() {
                line.truncate(filled + end.unwrap_or(0));
                return Ok(line);
            }
            filled += n;
            if filled == line.len() {
                line.resize(2 * filled, 0);
            }
        }
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

fn hash_of(key: Key<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let (kind, what) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "there is no recorded run"),
        _ => (ErrorKind::InvalidData, "cannot read"),
    };
    Error::new(kind, format!("{what} `{}`", path.display()))
        .context("file", path.display().to_string())
        .hint("`path` names a run directory's `samples.jsonl` or `search.jsonl`, relative to the manifest's folder")
        .caused_by(error)
}

fn broken(path: &Path, number: u64, error: &serde_json::Error) -> Error {
    let text = error.to_string();
    let what = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(what, _)| what);
    let message = format!(
        "line {number} of `{}` is no record, byte {}: {what}",
        path.display(),
        error.column()
    );
    Error::new(ErrorKind::InvalidData, message)
        .context("file", path.display().to_string())
        .context("line", number.to_string())
        .hint("a line holds a JSON object as `tale run` writes them to `samples.jsonl` and `search.jsonl`")
}
