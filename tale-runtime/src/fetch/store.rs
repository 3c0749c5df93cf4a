//! The cache folder: where a fetched file lies and whether it is whole.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::catalogue::Entry;
use super::error::FetchError;

/// The folder of fetched files: `TALE_CACHE_DIR`, else `tale` in the user's cache directory.
///
/// A file that bears its final name is whole: it got there by a rename after its digest was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
}

/// What lies in an entry's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "status")]
#[non_exhaustive]
pub enum Status {
    /// A file of the right size.
    Present,
    /// The beginning of a download; a fetch goes on from there.
    Partial {
        /// Bytes that have arrived.
        have: u64,
    },
    /// A file of another size, which no fetch of ours leaves; a fetch replaces it.
    WrongSize {
        /// Bytes it has.
        have: u64,
    },
    /// Nothing.
    Absent,
}

/// How closely a file that is already there is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Its size must be right: instant.
    Size,
    /// Its digest must be right: reads the whole file.
    Digest,
}

impl Store {
    /// The store of this user.
    ///
    /// # Errors
    /// [`FetchError::NoCacheFolder`] where the environment names no home.
    pub fn open() -> Result<Self, FetchError> {
        if let Some(root) = std::env::var_os("TALE_CACHE_DIR").filter(|value| !value.is_empty()) {
            return Ok(Self::at(root));
        }
        let base = etcetera::choose_base_strategy().map_err(|_| FetchError::NoCacheFolder)?;
        Ok(Self::at(base.cache_dir().join("tale")))
    }

    /// A store in the folder `root`, which need not exist.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the entry's file lies once it is fetched.
    #[must_use]
    pub fn path(&self, entry: &Entry) -> PathBuf {
        self.root.join(entry.kind.folder()).join(&entry.file)
    }

    /// The entry's file, if it is there with the right size.
    #[must_use]
    pub fn present(&self, entry: &Entry) -> Option<PathBuf> {
        (self.status(entry) == Status::Present).then(|| self.path(entry))
    }

    /// What lies in the entry's place.
    #[must_use]
    pub fn status(&self, entry: &Entry) -> Status {
        let path = self.path(entry);
        let size = |path: &Path| {
            std::fs::metadata(path)
                .ok()
                .filter(std::fs::Metadata::is_file)
                .map(|m| m.len())
        };
        match (size(&path), size(&beside(&path, ".part"))) {
            (Some(have), _) if have == entry.bytes => Status::Present,
            (_, Some(have)) if have > 0 => Status::Partial { have },
            (Some(have), _) => Status::WrongSize { have },
            (None, _) => Status::Absent,
        }
    }
}

/// A neighbour of `path` with a suffix after its whole name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether `name` can only name a file in the folder it is joined to.
pub(super) fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(part)), None) if part == name)
        && !name.contains(['/', '\\', '\0'])
}

/// Feeds the first `length` bytes of `path` to `hash`; fails when there are fewer.
pub(super) fn hash_prefix(
    path: &Path,
    length: u64,
    hash: &mut Sha256,
    mut each: impl FnMut(u64),
) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut left = length;
    while left > 0 {
        let want = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let got = file.read(&mut buffer[..want])?;
        if got == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        hash.update(&buffer[..got]);
        left -= got as u64;
        each(length - left);
    }
    Ok(())
}

/// A digest as the catalogue writes it.
pub(super) fn hex(hash: Sha256) -> String {
    use std::fmt::Write as _;
    hash.finalize()
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_name_may_name_a_file_of_the_cache() {
        for (name, plain) in [
            ("a.gguf", true),
            ("a b", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("a/", false),
            ("/a", false),
            ("..\\a", false),
        ] {
            assert_eq!(is_plain_name(name), plain, "{name:?}");
        }
    }
}
