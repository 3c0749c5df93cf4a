//! A download under way: the bytes so far, their running digest, and where they came from.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::FetchProgress;
use super::catalogue::Entry;
use super::error::{FetchError, SourceFailure};
use super::progress::Step;
use super::store::{beside, hash_prefix, hex};

/// The `.part` file of an entry.
///
/// Only one exists per entry: the store's lock is held as long as it does. Whatever source its
/// bytes came from they are a beginning of the same file, so any other source may go on with it;
/// were they wrong, the digest would say so at the end.
pub(super) struct Part<'a> {
    entry: &'a Entry,
    target: PathBuf,
    path: PathBuf,
    file: File,
    hash: Sha256,
    length: u64,
    resumed: bool,
    origin: Origin,
}

/// What is remembered about a part beside its bytes, for whoever resumes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Origin {
    /// The source, as it names itself.
    pub(super) source: String,
    /// Its validator, for `If-Range`.
    pub(super) etag: Option<String>,
    /// Packages that are wholly in the part, and the length they make (a source of packages only).
    pub(super) packages: usize,
    pub(super) packages_bytes: u64,
}

/// Why a source did not deliver: its own fault, or this machine's.
#[derive(Debug)]
pub(super) enum Failed {
    /// The next source may do better.
    Source {
        reason: String,
        hint: Option<String>,
    },
    /// No source can mend this.
    Here(FetchError),
}

impl Failed {
    pub(super) fn source(reason: impl Into<String>) -> Self {
        Self::Source {
            reason: reason.into(),
            hint: None,
        }
    }

    pub(super) fn with_hint(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Source {
            reason: reason.into(),
            hint: Some(hint.into()),
        }
    }

    /// As an entry in the list of what was tried.
    pub(super) fn of(self, source: &str) -> Result<SourceFailure, FetchError> {
        match self {
            Self::Source { reason, hint } => Ok(SourceFailure {
                source: source.to_owned(),
                reason,
                hint,
            }),
            Self::Here(error) => Err(error),
        }
    }
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        Self::Here(error)
    }
}

impl<'a> Part<'a> {
    /// Opens what an interrupted fetch left, or begins anew.
    pub(super) async fn open(
        entry: &'a Entry,
        target: &Path,
        progress: &dyn FetchProgress,
    ) -> Result<Self, FetchError> {
        let path = beside(target, ".part");
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(FetchError::storage("write", &path))?;
        let length = file
            .metadata()
            .map_err(FetchError::storage("read", &path))?
            .len();
        let origin = std::fs::read(beside(target, ".part.json"))
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default();
        let mut part = Self {
            entry,
            target: target.to_owned(),
            path,
            file,
            hash: Sha256::new(),
            length: 0,
            resumed: length > 0,
            origin,
        };
        part.cut_to(length.min(entry.bytes), progress).await?;
        Ok(part)
    }

    /// Bytes so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether an earlier attempt's bytes are in it.
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Remembers where the bytes come from. Losing this costs bytes, never correctness, so a
    /// failure to write it is not one of the download.
    pub(super) fn remember(&mut self, origin: Origin) {
        if self.origin != origin {
            let json = serde_json::to_vec(&origin).expect("plain data");
            let _ = std::fs::write(beside(&self.target, ".part.json"), json);
            self.origin = origin;
        }
    }

    /// Appends bytes; refuses more than the entry has.
    ///
    /// The write is an ordinary blocking one: it lands in the page cache within microseconds, and a
    /// download has nothing else to do meanwhile.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        if self.length + bytes.len() as u64 > self.entry.bytes {
            return Err(Failed::source(format!(
                "sends more than {} bytes: another file",
                self.entry.bytes
            )));
        }
        self.file
            .write_all(bytes)
            .map_err(FetchError::storage("write", &self.path))?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Throws all bytes away.
    pub(super) fn restart(&mut self) -> Result<(), FetchError> {
        self.file
            .set_len(0)
            .map_err(FetchError::storage("shorten", &self.path))?;
        self.hash = Sha256::new();
        self.length = 0;
        self.resumed = false;
        Ok(())
    }

    /// Keeps the first `length` bytes, and hashes them anew.
    pub(super) async fn cut_to(
        &mut self,
        length: u64,
        progress: &dyn FetchProgress,
    ) -> Result<(), FetchError> {
        self.file
            .set_len(length)
            .map_err(FetchError::storage("shorten", &self.path))?;
        self.hash = hash_of(&self.path, length, self.entry, progress).await?;
        self.length = length;
        Ok(())
    }

    /// Gives the file its final name, if all of it is there and its digest right.
    ///
    /// A wrong digest throws the bytes away: the next source begins anew.
    pub(super) fn finish(&mut self) -> Result<(), Failed> {
        if self.length != self.entry.bytes {
            let reason = format!(
                "has {} bytes, not {}: another file",
                self.length, self.entry.bytes
            );
            self.restart()?;
            return Err(Failed::source(reason));
        }
        let found = hex(self.hash.clone());
        if self
            .entry
            .sha256
            .as_ref()
            .is_some_and(|wanted| *wanted != found)
        {
            self.restart()?;
            return Err(Failed::source(format!(
                "wrong bytes: their SHA-256 is {found}"
            )));
        }
        // The rename may not become durable before the bytes are: a crash would leave a file of
        // the right name and size with holes in it, which nobody would hash again.
        self.file
            .sync_all()
            .map_err(FetchError::storage("write", &self.path))?;
        std::fs::rename(&self.path, &self.target).map_err(FetchError::storage(
            "rename a finished download to",
            &self.target,
        ))?;
        let _ = std::fs::remove_file(beside(&self.target, ".part.json"));
        Ok(())
    }

    /// Removes an empty part, so that a fetch that got nothing leaves nothing.
    pub(super) fn leave(self) {
        if self.length == 0 {
            let _ = std::fs::remove_file(&self.path);
            let _ = std::fs::remove_file(beside(&self.target, ".part.json"));
        }
    }
}

/// The digest state after the first `length` bytes of `path`, computed off the async threads.
pub(super) async fn hash_of(
    path: &Path,
    length: u64,
    entry: &Entry,
    progress: &dyn FetchProgress,
) -> Result<Sha256, FetchError> {
    if length == 0 {
        return Ok(Sha256::new());
    }
    let (sender, mut steps) = tokio::sync::mpsc::channel(4);
    let file = path.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        // Progress that nobody takes in time is dropped, not waited for.
        hash_prefix(&file, length, &mut hash, |done| {
            let _ = sender.try_send(done);
        })?;
        Ok(hash)
    });
    while let Some(done) = steps.recv().await {
        progress.step(
            entry,
            &Step::Checking {
                done,
                total: length,
            },
        );
    }
    work.await
        .expect("hashing does not panic and is not aborted")
        .map_err(FetchError::storage("read", path))
}
