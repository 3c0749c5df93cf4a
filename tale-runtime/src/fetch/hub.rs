//! What the hub's API says of an address: which files, how large, their digests, the licence.

use std::collections::BTreeSet;

use reqwest::{Client, StatusCode, Url, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::catalogue::Source;
use super::http;
use super::settings::Settings;
use super::store::is_plain_name;
use super::{FetchError, Remote};

/// The files at an address.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) files: Vec<File>,
    pub(super) licence: Option<String>,
    pub(super) revision: Option<String>,
    /// A page for people.
    pub(super) page: String,
}

/// One of them.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: Option<String>,
    pub(super) source: Source,
}

/// The branch on which the hub keeps what it made of a data set.
const PARQUET_BRANCH: &str = "refs%2Fconvert%2Fparquet";

/// A data set as `/api/datasets/…` describes it. Most of it is of no concern here.
#[derive(Debug, Deserialize)]
struct About {
    #[serde(default)]
    sha: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    lfs: Option<Lfs>,
}

#[derive(Debug, Deserialize)]
struct Lfs {
    sha256: String,
    #[serde(default)]
    size: Option<u64>,
}

/// The list that the data sets' server gives.
#[derive(Debug, Deserialize)]
struct Listing {
    parquet_files: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    config: String,
    split: String,
    url: String,
    filename: String,
    size: u64,
}

/// Why the API gave no answer.
enum Refused {
    /// There is no such thing there.
    Missing,
    /// Anything else, in one line, and what would help.
    Other(String, Option<String>),
}

/// Asks where the files of an address are.
pub(super) async fn resolve(settings: &Settings, remote: &Remote) -> Result<Found, FetchError> {
    let unresolved = |reason: String, hint: Option<String>| FetchError::Unresolved {
        address: remote.to_string(),
        reason,
        hint,
    };
    let client = http::client(settings)
        .map_err(|e| unresolved(format!("cannot set up HTTP: {}", e.without_url()), None))?;
    let api = Api { client, settings };
    let found = match remote {
        Remote::Url(url) => api.url(url).await,
        Remote::File {
            repo,
            revision,
            path,
        } => api.file(repo, revision, path).await,
        Remote::Split {
            repo,
            config,
            split,
        } => api.split(repo, config.as_deref(), split).await,
    };
    found.map_err(|refused| match refused {
        Refused::Missing => unresolved(
            "there is no such data set".to_owned(),
            Some("look it up on the hub; a private one needs `HF_TOKEN`".to_owned()),
        ),
        Refused::Other(reason, hint) => unresolved(reason, hint),
    })
}

struct Api<'a> {
    client: Client,
    settings: &'a Settings,
}

impl Api<'_> {
    async fn split(&self, repo: &str, config: Option<&str>, split: &str) -> Result<Found, Refused> {
        let endpoint = &self.settings.hf_endpoint;
        let about: About = self
            .json(&format!("{endpoint}/api/datasets/{repo}"))
            .await?;
        let branch: Result<About, Refused> = self
            .json(&format!(
                "{endpoint}/api/datasets/{repo}/revision/{PARQUET_BRANCH}?blobs=true"
            ))
            .await;
        let branch = match branch {
            Ok(branch) => branch,
            Err(Refused::Missing) => return self.listed(repo, config, split, about).await,
            Err(other) => return Err(other),
        };
        // `config/split/0000.parquet`; of a data set over 5 GB the beginning, `config/partial-split`.
        let parts: Vec<([&str; 3], &Sibling)> = branch
            .siblings
            .iter()
            .filter_map(|file| {
                let mut parts = file.rfilename.split('/');
                let three = [parts.next()?, parts.next()?, parts.next()?];
                let is_parquet = three[2].ends_with(".parquet") && parts.next().is_none();
                is_parquet.then_some((three, file))
            })
            .collect();
        let is_split = |name: &str| name.strip_prefix("partial-").unwrap_or(name) == split;
        let config = choose(
            config,
            split,
            parts
                .iter()
                .map(|([config, s, _], _)| (*config, is_split(s))),
        )?;
        let revision = branch
            .sha
            .clone()
            .unwrap_or_else(|| "refs/convert/parquet".to_owned());
        let mut files = Vec::new();
        for ([c, s, name], file) in &parts {
            if *c == config && is_split(s) {
                files.push(of_hub(repo, &revision, name, file)?);
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Found {
            files,
            licence: licence(&about.tags),
            revision: branch.sha,
            page: format!("{endpoint}/datasets/{repo}"),
        })
    }

    /// What the data sets' server lists, without digests.
    async fn listed(
        &self,
        repo: &str,
        config: Option<&str>,
        split: &str,
        about: About,
    ) -> Result<Found, Refused> {
        let mut address = Url::parse(&format!("{}/parquet", self.settings.datasets_server))
            .map_err(|e| Refused::Other(format!("`HF_DATASETS_SERVER`: {e}"), None))?;
        address.query_pairs_mut().append_pair("dataset", repo);
        let listing: Listing = self.json(address.as_str()).await.map_err(|e| match e {
            Refused::Missing => Refused::Other(
                "the hub has no Parquet of it".to_owned(),
                Some(format!("name a file of it: `hf://datasets/{repo}/…`")),
            ),
            other @ Refused::Other(..) => other,
        })?;
        let files = &listing.parquet_files;
        let config = choose(
            config,
            split,
            files.iter().map(|f| (f.config.as_str(), f.split == split)),
        )?
        .to_owned();
        let files = files
            .iter()
            .filter(|f| f.config == config && f.split == split)
            .map(|f| File {
                name: f.filename.clone(),
                bytes: f.size,
                sha256: None,
                source: Source::Url { url: f.url.clone() },
            })
            .filter(|f| is_plain_name(&f.name))
            .collect();
        Ok(Found {
            files,
            licence: licence(&about.tags),
            revision: about.sha,
            page: format!("{}/datasets/{repo}", self.settings.hf_endpoint),
        })
    }

    async fn file(&self, repo: &str, revision: &str, path: &str) -> Result<Found, Refused> {
        let endpoint = &self.settings.hf_endpoint;
        let revision = revision.replace('/', "%2F");
        let about: About = self
            .json(&format!(
                "{endpoint}/api/datasets/{repo}/revision/{revision}?blobs=true"
            ))
            .await?;
        let file = about.siblings.iter().find(|f| f.rfilename == path);
        let file = file.ok_or_else(|| {
            let there: Vec<&str> = about
                .siblings
                .iter()
                .map(|f| &*f.rfilename)
                .take(12)
                .collect();
            Refused::Other(
                format!("the repository has no file `{path}`"),
                Some(format!("there are `{}`", there.join("`, `"))),
            )
        })?;
        let commit = about.sha.clone().unwrap_or(revision);
        let name = path.rsplit('/').next().unwrap_or(path);
        Ok(Found {
            files: vec![of_hub(repo, &commit, name, file)?],
            licence: licence(&about.tags),
            revision: about.sha,
            page: format!("{endpoint}/datasets/{repo}"),
        })
    }

    async fn url(&self, url: &str) -> Result<Found, Refused> {
        let request = self
            .client
            .head(url)
            .header(header::ACCEPT_ENCODING, "identity");
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(Refused::Other(format!("HTTP {status}"), None));
        }
        let bytes = response
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let bytes = bytes.ok_or_else(|| {
            Refused::Other(
                "the server does not say how long the file is".to_owned(),
                Some("download it by hand, and give its path".to_owned()),
            )
        })?;
        let parsed = Url::parse(url).map_err(|e| Refused::Other(e.to_string(), None))?;
        let last = parsed.path_segments().and_then(Iterator::last);
        let mut page = parsed.clone();
        page.set_query(None);
        let _ = page.set_password(None);
        Ok(Found {
            files: vec![File {
                name: last.unwrap_or_default().to_owned(),
                bytes,
                sha256: None,
                source: Source::Url {
                    url: url.to_owned(),
                },
            }],
            licence: None,
            revision: None,
            page: page.to_string(),
        })
    }

    async fn json<T: DeserializeOwned>(&self, address: &str) -> Result<T, Refused> {
        let mut request = self.client.get(address);
        // The token is the hub's: a server elsewhere gets none.
        let is_hub = address.starts_with(&format!("{}/", self.settings.hf_endpoint));
        if let Some(token) = self.settings.hf_token.as_deref().filter(|_| is_hub) {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(unreachable)?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::NOT_FOUND => return Err(Refused::Missing),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let hint = if self.settings.hf_token.is_some() {
                    "the token in `HF_TOKEN` does not open it, or its terms are not accepted yet: \
                     open its page on the hub once"
                } else {
                    "there is no such data set, or it is closed: accept its terms on the hub, and \
                     set `HF_TOKEN`"
                };
                let reason = format!("HTTP {}", response.status());
                return Err(Refused::Other(reason, Some(hint.to_owned())));
            }
            status => return Err(Refused::Other(format!("HTTP {status}"), None)),
        }
        let text = response.bytes().await.map_err(unreachable)?;
        serde_json::from_slice(&text).map_err(|e| {
            let hint = "is `HF_ENDPOINT` the hub, or a mirror with its API?".to_owned();
            Refused::Other(format!("no answer of the hub's API: {e}"), Some(hint))
        })
    }
}

fn of_hub(repo: &str, revision: &str, name: &str, file: &Sibling) -> Result<File, Refused> {
    let lfs = file.lfs.as_ref();
    let bytes = lfs.and_then(|lfs| lfs.size).or(file.size).ok_or_else(|| {
        Refused::Other(format!("the hub does not say how long `{name}` is"), None)
    })?;
    if !is_plain_name(name) {
        return Err(Refused::Other(
            format!("`{name}` is no name of a file"),
            None,
        ));
    }
    Ok(File {
        name: name.to_owned(),
        bytes,
        sha256: lfs.map(|lfs| lfs.sha256.to_ascii_lowercase()),
        source: Source::HuggingFace {
            repo: repo.to_owned(),
            file: file.rfilename.clone(),
            revision: revision.to_owned(),
            dataset: true,
        },
    })
}

/// The configuration that is meant: the one named, the only one with the split, or `default`.
fn choose<'a>(
    wanted: Option<&str>,
    split: &str,
    all: impl Iterator<Item = (&'a str, bool)>,
) -> Result<&'a str, Refused> {
    let (mut having, mut known) = (BTreeSet::new(), BTreeSet::new());
    for (config, has_split) in all {
        known.insert(config);
        if has_split {
            having.insert(config);
        }
    }
    let list = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join("`, `");
    if let Some(wanted) = wanted {
        return having.get(wanted).copied().ok_or_else(|| {
            Refused::Other(
                format!("no split `{split}` in the configuration `{wanted}`"),
                Some(format!("these have it: `{}`", list(&having))),
            )
        });
    }
    match (having.len(), having.first()) {
        (1, Some(only)) => Ok(only),
        (0, _) => Err(Refused::Other(
            format!("no configuration has a split `{split}`"),
            Some(format!("there are the configurations `{}`", list(&known))),
        )),
        _ => having.get("default").copied().ok_or_else(|| {
            Refused::Other(
                format!("several configurations have a split `{split}`"),
                Some(format!(
                    "name one of `{}` before it: `hf://owner/name/config/{split}`",
                    list(&having)
                )),
            )
        }),
    }
}

/// The licence among the tags of a data set: `license:mit`.
fn licence(tags: &[String]) -> Option<String> {
    let found: Vec<&str> = tags
        .iter()
        .filter_map(|t| t.strip_prefix("license:"))
        .collect();
    (!found.is_empty()).then(|| found.join(", "))
}

/// An error of the client in one line, without the address.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the form of an argument of `map_err`"
)]
fn unreachable(error: reqwest::Error) -> Refused {
    let mut root: &dyn std::error::Error = &error;
    while let Some(deeper) = root.source() {
        root = deeper;
    }
    let hint = "is there a network? a proxy goes into `HTTPS_PROXY`, a mirror of the hub into \
                `HF_ENDPOINT`";
    Refused::Other(format!("no answer: {root}"), Some(hint.to_owned()))
}
