//! Data sets by address: a split on the Hugging Face hub, a file of a repository there, any URL.
//!
//! The hub converts public data sets to Parquet, on a branch of its own that the API lists with
//! size and SHA-256 of each file. So a split is fetched as pinned files like those of the
//! catalogue: resumed, verified, and the same the next time, for the note beside them
//! (`origin.json`) is written last and says which commit they are.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::catalogue::{Entry, Kind, Source};
use super::hub::{self, Found};
use super::part::hash_of;
use super::store::{Check, Store, hex, is_plain_name};
use super::{FetchError, FetchProgress, Fetcher, Silent};

/// Where a data set is to be had.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Remote {
    /// A split of a data set on the hub, as the Parquet that the hub makes of it:
    /// `hf://owner/name/split` or `hf://owner/name/config/split`.
    Split {
        /// `owner/name`.
        repo: String,
        /// The configuration; may be left out where only one has the split.
        config: Option<String>,
        /// The split.
        split: String,
    },
    /// A file of a data set's repository: `hf://datasets/owner/name[@revision]/path`.
    File {
        /// `owner/name`.
        repo: String,
        /// Branch, tag or commit.
        revision: String,
        /// The path in the repository.
        path: String,
    },
    /// Any other address of a file.
    Url(String),
}

/// What lies on this machine of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Collection {
    /// The file, or the folder of several: what a data set's `path` is.
    pub path: PathBuf,
    /// Where it came from, and what it is.
    pub origin: Origin,
    /// Whether something was downloaded for it.
    pub downloaded: bool,
}

/// The note beside fetched files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Origin {
    /// The address as it was asked for.
    pub address: Remote,
    /// A page for people.
    pub source: String,
    /// The licence that the hub states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The files.
    pub files: Vec<OriginFile>,
}

/// A fetched file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginFile {
    /// Its name in the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 as it arrived (and, where the hub states one, as the hub has it).
    pub sha256: String,
}

impl Remote {
    /// Reads `text` as an address; `None` where it is none, but a path or a name.
    ///
    /// # Errors
    /// [`FetchError::BadAddress`] for one that begins like an address and is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self, FetchError>> {
        let bad = |reason| FetchError::BadAddress {
            address: text.to_owned(),
            reason,
        };
        if let Some(rest) = text.strip_prefix("hf://") {
            return Some(Self::hub(rest).map_err(bad));
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            let named = reqwest::Url::parse(text)
                .ok()
                .is_some_and(|url| !file_of(&url).is_empty());
            return Some(if named {
                Ok(Self::Url(text.to_owned()))
            } else {
                Err(bad("the address names no file"))
            });
        }
        None
    }

    fn hub(rest: &str) -> Result<Self, &'static str> {
        let parts: Vec<&str> = rest.split('/').collect();
        if parts.iter().any(|part| !is_plain_name(part)) {
            return Err("a part between the slashes is empty or no name");
        }
        match parts[..] {
            ["datasets", owner, name, _, ..] => {
                let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
                if name.is_empty() || revision.is_empty() {
                    return Err("a part between the slashes is empty or no name");
                }
                Ok(Self::File {
                    repo: format!("{owner}/{name}"),
                    revision: revision.to_owned(),
                    path: parts[3..].join("/"),
                })
            }
            ["datasets", ..] => Err("it names no file of the repository"),
            [owner, name, split] => Ok(Self::Split {
                repo: format!("{owner}/{name}"),
                config: None,
                split: split.to_owned(),
            }),
            [owner, name, config, split] => Ok(Self::Split {
                repo: format!("{owner}/{name}"),
                config: Some(config.to_owned()),
                split: split.to_owned(),
            }),
            _ => Err("it names no split"),
        }
    }

    /// Where its files lie, in the folder of data sets.
    fn folder(&self) -> PathBuf {
        match self {
            Self::Split {
                repo,
                config,
                split,
            } => {
                let folder = Path::new("hub").join(repo.replace('/', "--"));
                match config {
                    Some(config) => folder.join(config).join(split),
                    None => folder.join(split),
                }
            }
            Self::File {
                repo,
                revision,
                path,
            } => Path::new("hub")
                .join(repo.replace('/', "--"))
                .join(format!("@{}", short(&format!("{revision}/{path}")))),
            // The whole address tells two files of one name apart, and may hold a key.
            Self::Url(url) => Path::new("web").join(short(url)),
        }
    }

    /// The file's own name, where it is one file.
    fn file(&self) -> Option<String> {
        match self {
            Self::Split { .. } => None,
            Self::File { path, .. } => path.rsplit('/').next().map(str::to_owned),
            Self::Url(url) => reqwest::Url::parse(url).ok().map(|url| file_of(&url)),
        }
    }

    /// What was fetched of it, if all of that is still there.
    #[must_use]
    pub fn fetched(&self, store: &Store) -> Option<Collection> {
        let folder = store
            .root()
            .join(Kind::Dataset.folder())
            .join(self.folder());
        let note = std::fs::read(folder.join(ORIGIN)).ok()?;
        let origin: Origin = serde_json::from_slice(&note).ok()?;
        let is_whole = |file: &OriginFile| {
            let found = std::fs::metadata(folder.join(&file.name));
            is_plain_name(&file.name) && found.is_ok_and(|m| m.is_file() && m.len() == file.bytes)
        };
        if origin.files.is_empty() || !origin.files.iter().all(is_whole) {
            return None;
        }
        let path = match self.file() {
            Some(file) => folder.join(file),
            None => folder,
        };
        Some(Collection {
            path,
            origin,
            downloaded: false,
        })
    }

    /// The path of what was fetched; no network is used.
    ///
    /// # Errors
    /// [`FetchError::AddressNotFetched`] with the command that gets it.
    pub fn local(&self) -> Result<PathBuf, FetchError> {
        let store = Store::open()?;
        let found = self.fetched(&store).map(|collection| collection.path);
        found.ok_or_else(|| FetchError::AddressNotFetched {
            address: self.to_string(),
        })
    }
}

/// The note's name in a folder of fetched files.
const ORIGIN: &str = "origin.json";

fn file_of(url: &reqwest::Url) -> String {
    let last = url
        .path_segments()
        .and_then(Iterator::last)
        .unwrap_or_default();
    if is_plain_name(last) {
        last.to_owned()
    } else {
        String::new()
    }
}

fn short(text: &str) -> String {
    hex(Sha256::new_with_prefix(text))[..16].to_owned()
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split {
                repo,
                config: Some(config),
                split,
            } => write!(f, "hf://{repo}/{config}/{split}"),
            Self::Split { repo, split, .. } => write!(f, "hf://{repo}/{split}"),
            Self::File {
                repo,
                revision,
                path,
            } if revision == "main" => write!(f, "hf://datasets/{repo}/{path}"),
            Self::File {
                repo,
                revision,
                path,
            } => write!(f, "hf://datasets/{repo}@{revision}/{path}"),
            Self::Url(url) => f.write_str(url),
        }
    }
}

impl From<Remote> for String {
    fn from(remote: Remote) -> Self {
        remote.to_string()
    }
}

impl TryFrom<String> for Remote {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Self::parse(&text) {
            Some(Ok(remote)) => Ok(remote),
            Some(Err(e)) => Err(e.hint().unwrap_or_else(|| e.to_string())),
            None => Err(format!("`{text}` is no address")),
        }
    }
}

impl Fetcher {
    /// Makes sure that the files at an address are there. `check` is as in [`Fetcher::fetch`]; with
    /// [`Check::Digest`] files are held against the digests noted when they arrived.
    ///
    /// # Errors
    /// [`FetchError::Unresolved`] where the hub does not know them, and those of
    /// [`Fetcher::fetch`].
    pub async fn fetch_remote(
        &self,
        remote: &Remote,
        check: Check,
        progress: &dyn FetchProgress,
    ) -> Result<Collection, FetchError> {
        if let Some(there) = remote.fetched(self.store())
            && (check == Check::Size || self.is_right(&there, remote).await?)
        {
            return Ok(there);
        }
        let found = hub::resolve(self.settings(), remote).await?;
        let folder = remote.folder();
        let mut files = Vec::new();
        for file in &found.files {
            let entry = entry(remote, &found, file, &folder);
            let fetched = self.fetch(&entry, check, progress).await?;
            let sha256 = match &file.sha256 {
                Some(stated) => stated.clone(),
                None => hex(hash_of(fetched.path(), file.bytes, &entry, &Silent).await?),
            };
            files.push(OriginFile {
                name: file.name.clone(),
                bytes: file.bytes,
                sha256,
            });
        }
        let origin = Origin {
            address: remote.clone(),
            source: found.page,
            licence: found.licence,
            revision: found.revision,
            files,
        };
        let folder = self
            .store()
            .root()
            .join(Kind::Dataset.folder())
            .join(folder);
        write_note(&folder, &origin)?;
        let path = match remote.file() {
            Some(file) => folder.join(file),
            None => folder,
        };
        Ok(Collection {
            path,
            origin,
            downloaded: true,
        })
    }

    /// Whether the files that are there have the digests noted of them. A damaged one is removed.
    async fn is_right(&self, there: &Collection, remote: &Remote) -> Result<bool, FetchError> {
        let folder = self
            .store()
            .root()
            .join(Kind::Dataset.folder())
            .join(remote.folder());
        let mut right = true;
        for file in &there.origin.files {
            let path = folder.join(&file.name);
            let entry = Entry {
                sha256: Some(file.sha256.clone()),
                ..plain(remote, file.bytes)
            };
            if hex(hash_of(&path, file.bytes, &entry, &Silent).await?) != file.sha256 {
                std::fs::remove_file(&path)
                    .map_err(FetchError::storage("remove the damaged", &path))?;
                right = false;
            }
        }
        Ok(right)
    }
}

fn write_note(folder: &Path, origin: &Origin) -> Result<(), FetchError> {
    let path = folder.join(ORIGIN);
    let part = folder.join(format!("{ORIGIN}.part"));
    let json = serde_json::to_vec_pretty(origin).expect("plain data");
    std::fs::write(&part, json).map_err(FetchError::storage("write", &part))?;
    std::fs::rename(&part, &path).map_err(FetchError::storage("write", &path))
}

/// A file at an address as the fetcher takes it.
fn entry(remote: &Remote, found: &Found, file: &hub::File, folder: &Path) -> Entry {
    Entry {
        file: folder.join(&file.name).display().to_string(),
        sha256: file.sha256.clone(),
        licence: found
            .licence
            .clone()
            .unwrap_or_else(|| "not stated".to_owned()),
        homepage: Some(found.page.clone()),
        sources: vec![file.source.clone()],
        ..plain(remote, file.bytes)
    }
}

fn plain(remote: &Remote, bytes: u64) -> Entry {
    // A query may hold a key, and names are shown.
    let shown = remote.to_string();
    let name = shown.split('?').next().unwrap_or_default().to_owned();
    Entry {
        kind: Kind::Dataset,
        name,
        description: String::new(),
        file: String::new(),
        bytes,
        sha256: None,
        licence: "not stated".to_owned(),
        licence_note: None,
        homepage: None,
        sources: vec![Source::Url { url: shown }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let remote = Remote::parse(text).unwrap().unwrap();
        assert_eq!(format!("{remote:?}"), expected);
        assert_eq!(remote.to_string(), text);
    }

    #[test]
    fn addresses_name_splits_files_and_urls() {
        check(
            "hf://openai/gsm8k/test",
            r#"Split { repo: "openai/gsm8k", config: None, split: "test" }"#,
        );
        check(
            "hf://openai/gsm8k/main/test",
            r#"Split { repo: "openai/gsm8k", config: Some("main"), split: "test" }"#,
        );
        check(
            "hf://datasets/openai/gsm8k@v1/data/a b.jsonl",
            r#"File { repo: "openai/gsm8k", revision: "v1", path: "data/a b.jsonl" }"#,
        );
        check(
            "https://host/a.csv?key=1",
            r#"Url("https://host/a.csv?key=1")"#,
        );
        assert!(Remote::parse("data/a.jsonl").is_none());
        assert!(Remote::parse("gsm8k-test").is_none());
    }

    #[test]
    fn what_is_no_address_says_how_one_is_written() {
        for text in [
            "hf://",
            "hf://a",
            "hf://a/b",
            "hf://a/b/c/d/e",
            "hf://a//c",
            "hf://a/../c",
            "hf://datasets/a/b",
            "hf://datasets/a/b@/c",
            "https://host/",
            "https://",
            "http://h/..",
        ] {
            let error = Remote::parse(text).unwrap().unwrap_err();
            assert!(
                error.hint().unwrap().contains("hf://owner/name/split"),
                "{text}"
            );
        }
    }
}
