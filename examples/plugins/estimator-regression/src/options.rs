//! What a manifest may say under `[estimator.options]`.

use std::path::PathBuf;

use serde::Deserialize;
use tale_api::{Error, ErrorKind, Result};

/// The same in JSON Schema: `tale` checks manifests against it before this library is loaded.
pub const SCHEMA: &str = include_str!("options.schema.json");

/// The options, as a manifest gives them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// A file of coefficients.
    pub coefficients: Option<PathBuf>,
    /// A file of searched budgets.
    pub searched: Option<PathBuf>,
    /// Factor on the estimate.
    #[serde(default = "one")]
    pub slack: f64,
    /// The smallest budget, in tokens.
    #[serde(default = "least")]
    pub least: u32,
    /// The largest budget, in tokens.
    #[serde(default = "most")]
    pub most: u32,
}

fn one() -> f64 {
    1.0
}

fn least() -> u32 {
    1
}

fn most() -> u32 {
    4096
}

/// Where the coefficients come from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Given(PathBuf),
    Fitted(PathBuf),
}

impl Options {
    /// What a schema cannot say: exactly one source, and limits in order.
    pub(crate) fn source(&self) -> Result<Source> {
        if self.least > self.most {
            let (least, most) = (self.least, self.most);
            return Err(invalid(format!("`least` is {least}, above `most`, {most}")));
        }
        match (&self.coefficients, &self.searched) {
            (Some(file), None) => Ok(Source::Given(file.clone())),
            (None, Some(file)) => Ok(Source::Fitted(file.clone())),
            (Some(_), Some(_)) => Err(invalid("both `coefficients` and `searched` are given")
                .hint("leave one of them out")),
            (None, None) => Err(invalid("neither `coefficients` nor `searched` is given")
                .hint("`searched` is the `search.jsonl` of a run with `task = \"search\"`")),
        }
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOptions, message)
}
