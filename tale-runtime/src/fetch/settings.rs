//! What the environment says about downloads, read once and passed on.

use std::fmt;
use std::time::Duration;

/// Where to download from and how patiently.
///
/// The proxy variables (`HTTPS_PROXY`, `NO_PROXY`, …) are read by the HTTP client itself.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The Hugging Face hub or a mirror of it, without a slash at the end (`HF_ENDPOINT`).
    pub hf_endpoint: String,
    /// Sent to `hf_endpoint` only, and never part of a message (`HF_TOKEN`).
    pub hf_token: Option<String>,
    /// The server that lists the Parquet files of data sets, asked where the hub's own branch of
    /// them is missing (`HF_DATASETS_SERVER`).
    pub datasets_server: String,
    /// The interpreter whose pip fetches from PyPI (`TALE_PYTHON`); by default the first of
    /// `python3` and `python` that has one.
    pub python: Option<String>,
    /// Attempts in a row that may bring no new byte before a source is given up; at least 1.
    pub attempts: u32,
    /// Wait before the second attempt; doubled for each further one, up to 30 s.
    pub first_wait: Duration,
    /// Silence after which a connection counts as cut.
    pub stall: Duration,
}

impl Settings {
    /// The settings of this process's environment.
    #[must_use]
    pub fn from_env() -> Self {
        let var = |name| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.trim().is_empty())
        };
        let defaults = Self::default();
        Self {
            hf_endpoint: var("HF_ENDPOINT").map_or(defaults.hf_endpoint, |url| {
                url.trim().trim_end_matches('/').to_owned()
            }),
            hf_token: var("HF_TOKEN").map(|token| token.trim().to_owned()),
            datasets_server: var("HF_DATASETS_SERVER").map_or(defaults.datasets_server, |url| {
                url.trim().trim_end_matches('/').to_owned()
            }),
            python: var("TALE_PYTHON"),
            ..Self::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hf_endpoint: "https://huggingface.co".to_owned(),
            hf_token: None,
            datasets_server: "https://datasets-server.huggingface.co".to_owned(),
            python: None,
            attempts: 5,
            first_wait: Duration::from_secs(1),
            stall: Duration::from_secs(60),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("hf_endpoint", &self.hf_endpoint)
            .field("hf_token", &self.hf_token.as_ref().map(|_| "…"))
            .field("datasets_server", &self.datasets_server)
            .field("python", &self.python)
            .field("attempts", &self.attempts)
            .field("first_wait", &self.first_wait)
            .field("stall", &self.stall)
            .finish()
    }
}
