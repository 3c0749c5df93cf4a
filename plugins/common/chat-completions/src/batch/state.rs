//! What is remembered of batches on disk: those under way, and answers that have been fetched.
//!
//! A batch under way is `NAME.batch.json`; once it has ended its answers are `NAME.out.jsonl`, written
//! whole before the other file goes. So at every moment a request is in a batch, or answered, or
//! neither, whenever the process is killed.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tale_api::{Error, ErrorKind, Result};

use super::Digest;

/// Answers are kept as long as providers keep theirs.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// A batch under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Our name for it, which the provider keeps in the batch's metadata.
    pub name: String,
    /// The provider's id; absent between writing this down and hearing of it.
    pub batch: Option<String>,
    /// The uploaded file.
    pub file: Option<String>,
    /// Its requests.
    pub digests: Vec<Digest>,
}

impl Record {
    pub(crate) fn new(digests: Vec<Digest>) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut hash = Sha256::new()
            .chain_update(now.as_nanos().to_le_bytes())
            .chain_update(std::process::id().to_le_bytes());
        for digest in &digests {
            hash.update(digest);
        }
        let name = hash.finalize()[..12]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        Self {
            name,
            batch: None,
            file: None,
            digests,
        }
    }
}

/// A line of fetched answers.
#[derive(Serialize, Deserialize)]
struct Answer<B> {
    digest: Digest,
    body: B,
}

/// Where an answer is.
#[derive(Clone, Copy, Debug)]
struct Place {
    file: usize,
    offset: u64,
    length: usize,
}

/// Everything in one folder.
#[derive(Debug, Default)]
pub(crate) struct State {
    dir: PathBuf,
    records: Vec<Record>,
    pending: HashSet<Digest>,
    files: Vec<PathBuf>,
    answers: HashMap<Digest, Place>,
}

impl State {
    /// Reads the folder; makes it if there is none.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let cannot = |e: std::io::Error| failed(dir, &e);
        fs::create_dir_all(dir).map_err(cannot)?;
        let mut state = Self {
            dir: dir.to_owned(),
            ..Self::default()
        };
        for entry in fs::read_dir(dir).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            let name = path
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            if name.ends_with(".batch.json") {
                let bytes = fs::read(&path).map_err(|e| failed(&path, &e))?;
                // Written in one piece, so what cannot be read is not ours.
                if let Ok(record) = serde_json::from_slice::<Record>(&bytes) {
                    state.note(record);
                }
            } else if name.ends_with(".out.jsonl") {
                let age = fs::metadata(&path)
                    .and_then(|m| m.modified())
                    .ok()
                    .and_then(|t| t.elapsed().ok());
                if age.is_some_and(|age| age > KEPT) {
                    let _ = fs::remove_file(&path);
                } else {
                    state.index(path)?;
                }
            }
        }
        Ok(state)
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.records.clone()
    }

    pub(crate) fn is_pending(&self, digest: &str) -> bool {
        self.pending.contains(digest)
    }

    /// The body of a fetched answer.
    pub(crate) fn answer(&self, digest: &str) -> Result<Option<Value>> {
        let Some(place) = self.answers.get(digest) else {
            return Ok(None);
        };
        let path = &self.files[place.file];
        let read = || {
            let mut file = fs::File::open(path)?;
            file.seek(SeekFrom::Start(place.offset))?;
            let mut line = vec![0; place.length];
            file.read_exact(&mut line)?;
            Ok(serde_json::from_slice::<Answer<Value>>(&line)?.body)
        };
        read()
            .map(Some)
            .map_err(|e: std::io::Error| failed(path, &e))
    }

    /// Writes a batch down, or what has become known of it.
    pub(crate) fn put(&mut self, record: Record) -> Result<()> {
        let bytes = serde_json::to_vec(&record).unwrap_or_default();
        self.write(&self.record_path(&record), &bytes)?;
        self.records.retain(|r| r.name != record.name);
        self.note(record);
        Ok(())
    }

    /// Forgets a batch; its requests may be in another one now.
    pub(crate) fn remove(&mut self, record: &Record) -> Result<()> {
        self.records.retain(|r| r.name != record.name);
        for digest in &record.digests {
            self.pending.remove(digest);
        }
        let path = self.record_path(record);
        fs::remove_file(&path).map_err(|e| failed(&path, &e))
    }

    /// Keeps the answers of a batch that has ended and forgets the batch.
    pub(crate) fn end(&mut self, record: &Record, answers: &[(Digest, Value)]) -> Result<()> {
        let mut bytes = Vec::new();
        for (digest, body) in answers {
            let line = Answer {
                digest: digest.clone(),
                body,
            };
            serde_json::to_writer(&mut bytes, &line).map_err(|e| failed(&self.dir, &e.into()))?;
            bytes.push(b'\n');
        }
        let kept = if answers.is_empty() {
            Ok(())
        } else {
            let path = self.dir.join(format!("{}.out.jsonl", record.name));
            self.write(&path, &bytes).and_then(|()| self.index(path))
        };
        // Also where they could not be kept: the batch itself is over.
        self.remove(record).and(kept)
    }

    fn note(&mut self, record: Record) {
        for digest in &record.digests {
            self.pending.insert(digest.clone());
        }
        self.records.push(record);
    }

    /// Notes where the answers of a file are.
    fn index(&mut self, path: PathBuf) -> Result<()> {
        let bytes = fs::read(&path).map_err(|e| failed(&path, &e))?;
        let file = self.files.len();
        self.files.push(path);
        let mut offset = 0;
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            if let Ok(answer) = serde_json::from_slice::<Answer<serde::de::IgnoredAny>>(line) {
                let length = line.len();
                self.answers.insert(
                    answer.digest,
                    Place {
                        file,
                        offset,
                        length,
                    },
                );
            }
            offset += line.len() as u64;
        }
        Ok(())
    }

    fn record_path(&self, record: &Record) -> PathBuf {
        self.dir.join(format!("{}.batch.json", record.name))
    }

    /// Writes a file so that it is there whole or not at all.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let part = path.with_extension("part");
        let write = || {
            let mut file = fs::File::create(&part)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&part, path)?;
            // The name too must outlive a loss of power.
            #[cfg(unix)]
            fs::File::open(&self.dir)?.sync_all()?;
            Ok(())
        };
        write().map_err(|e: std::io::Error| failed(path, &e))
    }
}

fn failed(path: &Path, e: &std::io::Error) -> Error {
    Error::new(
        ErrorKind::ResourceExhausted,
        format!("cannot keep account of batches in `{}`", path.display()),
    )
    .caused_by(e)
    .hint("`batch.dir` in `[llm.options]` names another folder")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_written_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::load(dir.path()).unwrap();
        let mut record = Record::new(vec!["a".into(), "b".into()]);
        state.put(record.clone()).unwrap();
        record.batch = Some("batch_1".into());
        state.put(record.clone()).unwrap();
        let mut again = State::load(dir.path()).unwrap();
        assert_eq!(again.records(), [record.clone()]);
        assert!(again.is_pending("a") && !again.is_pending("c"));
        again
            .end(
                &record,
                &[("a".into(), json!({"x": "é"})), ("b".into(), json!(2))],
            )
            .unwrap();
        for state in [again, State::load(dir.path()).unwrap()] {
            assert!(state.records().is_empty() && !state.is_pending("a"));
            assert_eq!(state.answer("a").unwrap(), Some(json!({"x": "é"})));
            assert_eq!(state.answer("b").unwrap(), Some(json!(2)));
            assert_eq!(state.answer("c").unwrap(), None);
        }
    }

    #[test]
    fn strange_files_do_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("x.batch.json", "{"),
            ("y.out.jsonl", "no\n{\"digest\": 1}\n"),
            ("z.part", ""),
        ] {
            fs::write(dir.path().join(name), content).unwrap();
        }
        assert!(State::load(dir.path()).unwrap().records().is_empty());
    }
}
