//! The errors that all readers share.

use std::{io, path::Path};

use tale_api::{Error, ErrorKind};

/// A file whose content is not what it should be.
pub(crate) fn invalid(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::InvalidData,
        format!("`{}`: {what}", path.display()),
    )
}

/// A file that cannot be read.
pub(crate) fn unreadable(path: &Path, cause: &io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::InvalidData,
    };
    Error::new(kind, format!("cannot read `{}`", path.display())).caused_by(cause)
}

/// A file that cannot be written.
pub(crate) fn unwritable(path: &Path, cause: &io::Error) -> Error {
    let error = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::new(
            ErrorKind::ResourceExhausted,
            format!("no space left to write `{}`", path.display()),
        )
        .hint("free some and start again; what was finished before is kept"),
        _ => Error::new(
            ErrorKind::InvalidData,
            format!("cannot write `{}`", path.display()),
        ),
    };
    error.caused_by(cause)
}
