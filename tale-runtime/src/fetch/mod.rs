//! Models and data sets by name: a catalogue, a cache, and downloads that end in the right bytes.
//!
//! A catalogue entry names a file by size and SHA-256 and lists its sources in order. The digest
//! decides what is kept, whatever the source was, so a mirror, a proxy or a second registry needs
//! no trust. A fetch resumes what an interrupted one left, lands by an atomic rename, and touches
//! no network once the file is there.
//!
//! * [`catalogue`]: the entries, embedded and the user's own.
//! * [`Store`]: the cache folder; where a file lies and whether it is whole.
//! * [`Remote`]: an address, `hf://…` or `https://…`, whose files the hub or server names.
//! * [`Fetcher`]: downloads an entry; [`FetchProgress`] hears how far it is.

pub mod catalogue;
mod error;
mod fetcher;
mod http;
mod hub;
mod part;
mod pip;
mod progress;
mod remote;
mod settings;
mod store;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use catalogue::{Entry, Kind, Named, Source};
pub use error::{FetchError, SourceFailure};
pub use fetcher::{Fetched, Fetcher};
pub use progress::{Bar, FetchProgress, Lines, Silent, Step, for_people};
pub use remote::{Collection, Remote};
pub use settings::Settings;
pub use store::{Check, Status, Store};

/// The file of the model called `name`, which must have been fetched; no network is used.
///
/// Only the size is compared: hashing half a gigabyte at each start would cost a second, and
/// `tale model fetch NAME --verify` does it on demand.
///
/// # Errors
/// [`FetchError::UnknownName`] where the catalogue lacks the name, [`FetchError::NotFetched`] where
/// the file is not there or has another size; both say what to do.
pub fn model(name: &str) -> Result<PathBuf, FetchError> {
    local(&catalogue::models()?, Kind::Model, name)
}

/// The file of the data set called `name`, as [`model`] for models.
///
/// # Errors
/// As [`model`].
pub fn dataset(name: &str) -> Result<PathBuf, FetchError> {
    local(&catalogue::datasets()?, Kind::Dataset, name)
}

fn local(entries: &[Entry], kind: Kind, name: &str) -> Result<PathBuf, FetchError> {
    let entry = catalogue::find(entries, kind, name)?;
    let store = Store::open()?;
    store.present(entry).ok_or_else(|| FetchError::NotFetched {
        entry: Box::new(entry.clone()),
        status: store.status(entry),
    })
}
