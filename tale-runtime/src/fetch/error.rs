//! What can go wrong between a name and its file, each with a way out.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::catalogue::{Entry, Kind};
use super::store::Status;

/// Why a file could not be found or fetched.
///
/// `Display` says what failed and where; [`FetchError::hint`] says how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The catalogue has no such entry.
    #[error("no {kind} called `{name}` in the catalogue")]
    UnknownName {
        /// Which catalogue was asked.
        kind: Kind,
        /// The name asked for.
        name: String,
        /// The entry whose name is nearest, if one is near enough to be meant.
        nearest: Option<String>,
    },
    /// The entry is known, but its file is not in the cache.
    #[error("{} `{}` is not on this machine{}", .entry.kind, .entry.name, describe(*.status))]
    NotFetched {
        /// The entry asked for.
        entry: Box<Entry>,
        /// What lies in its place.
        status: Status,
    },
    /// A catalogue file of the user cannot be used.
    #[error("cannot use the catalogue {}", .path.display())]
    BadCatalogue {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with line and column.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Neither `TALE_CACHE_DIR` nor a home directory says where the cache is.
    #[error(
        "no folder for downloads: neither `TALE_CACHE_DIR`, `XDG_CACHE_HOME` nor `HOME` is set"
    )]
    NoCacheFolder,
    /// The file system refused an operation of the download.
    #[error("cannot {operation} {}", .path.display())]
    Storage {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        cause: io::Error,
    },
    /// The file system has too little room.
    #[error("not enough room in {} for `{name}`: it needs {} more, {} are free", .folder.display(), bytes(*.needed), bytes(*.free))]
    DiskFull {
        /// Where the file would go.
        folder: PathBuf,
        /// The entry.
        name: String,
        /// Bytes that are still to come.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// No source gave the right bytes.
    #[error("no source has {kind} `{name}`{}", list(.failures))]
    AllSourcesFailed {
        /// What was fetched.
        kind: Kind,
        /// The entry's name.
        name: String,
        /// Every source tried, in order, with the reason it failed.
        failures: Vec<SourceFailure>,
        /// Where a file got by hand belongs.
        destination: PathBuf,
        /// What the file's SHA-256 must be, where that is known.
        sha256: Option<String>,
    },
    /// What a manifest or a command names is no address that can be fetched from.
    #[error("`{address}` is no address of a data set")]
    BadAddress {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The address cannot be turned into files.
    #[error("cannot find the files of `{address}`: {reason}")]
    Unresolved {
        /// The address.
        address: String,
        /// What the hub said, or what is missing there.
        reason: String,
        /// What would help.
        hint: Option<String>,
    },
    /// The address is known, but what lies there has not been fetched.
    #[error("`{address}` is not on this machine")]
    AddressNotFetched {
        /// The address.
        address: String,
    },
}

/// One source that did not deliver, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFailure {
    /// The source as people name it; no query, no credentials.
    pub source: String,
    /// The reason in one line.
    pub reason: String,
    /// What would help with this source, where something would.
    pub hint: Option<String>,
}

impl FetchError {
    /// How to mend it, as one sentence or a few lines.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownName { kind, nearest, .. } => Some(match nearest {
                Some(near) => format!(
                    "did you mean `{near}`? `tale {} list` shows all",
                    kind.command()
                ),
                None => format!("`tale {} list` shows all", kind.command()),
            }),
            Self::NotFetched { entry, .. } => Some(format!(
                "`tale {} fetch {}` gets it ({})",
                entry.kind.command(),
                entry.name,
                bytes(entry.bytes)
            )),
            Self::BadAddress { reason, .. } => Some(format!(
                "{reason}; write `hf://owner/name/split`, `hf://owner/name/config/split`, \
                 `hf://datasets/owner/name/path/of/a/file` or `https://…`"
            )),
            Self::Unresolved { hint, .. } => hint.clone(),
            Self::AddressNotFetched { address } => {
                Some(format!("`tale dataset fetch {address}` gets it"))
            }
            Self::BadCatalogue { .. } => Some(
                "mend the entry, or move the file away to use the built-in catalogue alone"
                    .to_owned(),
            ),
            Self::NoCacheFolder => {
                Some("set `TALE_CACHE_DIR` to a folder that may grow".to_owned())
            }
            Self::Storage { cause, .. } => match cause.kind() {
                io::ErrorKind::PermissionDenied => Some(
                    "make the folder writable, or set `TALE_CACHE_DIR` to one that is".to_owned(),
                ),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(ROOM.to_owned()),
                _ => None,
            },
            Self::DiskFull { .. } => Some(ROOM.to_owned()),
            Self::AllSourcesFailed {
                failures,
                destination,
                sha256,
                ..
            } => {
                let mut lines: Vec<String> =
                    failures.iter().filter_map(|f| f.hint.clone()).collect();
                lines.dedup();
                let sha256 = sha256
                    .as_ref()
                    .map_or_else(String::new, |s| format!(" (SHA-256 {s})"));
                lines.push(format!(
                    "the same command goes on where it stopped; or put the file{sha256} at {} yourself",
                    destination.display()
                ));
                Some(lines.join("\n"))
            }
        }
    }

    pub(super) fn storage(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Storage {
            operation,
            path,
            cause,
        }
    }
}

const ROOM: &str = "free some room and run the same command again (what has arrived is kept), or set `TALE_CACHE_DIR` to another disk";

fn describe(status: Status) -> String {
    match status {
        Status::Partial { have } => format!(" ({} of it have arrived)", bytes(have)),
        Status::WrongSize { have } => format!(": the file there has the wrong size ({have} bytes)"),
        Status::Present | Status::Absent => String::new(),
    }
}

fn list(failures: &[SourceFailure]) -> impl fmt::Display {
    failures.iter().fold(String::new(), |text, f| {
        format!("{text}\n  {}: {}", f.source, f.reason)
    })
}

/// A size for people: decimal units, as disks and download pages have them.
pub(super) fn bytes(n: u64) -> String {
    indicatif::DecimalBytes(n).to_string()
}
