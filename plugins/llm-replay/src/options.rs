//! Options and their checks.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use tale_api::{Error, ErrorKind, Result};

/// The longest delay that is believed to be meant.
const LONGEST: Duration = Duration::from_secs(3600);

/// What a manifest may say under `[llm.options]`. Either `path` or `constant`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("x-tale" = "recorded")))]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The recorded run: a `samples.jsonl` or `search.jsonl`, relative to the manifest's folder.
    pub path: Option<PathBuf>,
    /// Answers every prompt with this text at once, counting words as tokens: measures everything
    /// but the model.
    pub constant: Option<String>,
    /// The model's name in results. Default: the recorded one.
    pub model: Option<String>,
    /// Takes only what this `llm` of the recorded run answered. Needed where there are several.
    pub llm: Option<String>,
    /// Takes only what was asked under this method.
    pub method: Option<String>,
    /// The prompt file of the recorded search, if it was not the standard one: `search.jsonl` holds
    /// questions and budgets, no prompts.
    pub prompts: Option<PathBuf>,
    /// Milliseconds until an answer begins.
    #[cfg_attr(test, schemars(range(min = 0, max = 3_600_000), extend("x-tale" = "manner")))]
    pub latency_ms: f64,
    /// Milliseconds for each output token.
    #[cfg_attr(test, schemars(range(min = 0, max = 3_600_000), extend("x-tale" = "manner")))]
    pub per_token_ms: f64,
    /// In what parts the text is handed over.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner")))]
    pub stream: Stream,
    /// A file, relative to the manifest's folder, to which every call adds its prompt as a line of
    /// JSON when it begins: tells what was really asked.
    #[cfg_attr(test, schemars(extend("x-tale" = "manner")))]
    pub log: Option<PathBuf>,
}

/// In what parts a text is handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// In one part.
    #[default]
    Whole,
    /// Word by word.
    Words,
}

/// How long an answer takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    pub latency: Duration,
    pub per_token: Duration,
    pub stream: Stream,
}

impl Options {
    /// The pace, if it is a possible one.
    pub(crate) fn pace(&self) -> Result<Pace> {
        let duration = |name: &str, ms: f64| {
            Duration::try_from_secs_f64(ms / 1e3)
                .ok()
                .filter(|d| *d <= LONGEST)
                .ok_or_else(|| invalid(format!("`{name}` is {ms}, not between 0 and 3600000")))
        };
        Ok(Pace {
            latency: duration("latency_ms", self.latency_ms)?,
            per_token: duration("per_token_ms", self.per_token_ms)?,
            stream: self.stream,
        })
    }
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOptions, message).operation("create")
}
