//! Options that every local model has, and how a wrong one is told.

use std::{fmt::Display, path::Path};

use jiff::civil::Date;
use tale_api::{Error, ErrorKind, Result};

/// An error of [`ErrorKind::InvalidOptions`].
pub fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOptions, message)
}

/// Whether the option `name` lies in `least` to `most`.
///
/// # Errors
/// [`ErrorKind::InvalidOptions`] naming value and bounds.
pub fn within<T: PartialOrd + Display + Copy>(
    name: &str,
    value: T,
    least: T,
    most: T,
) -> Result<()> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(invalid(format!(
        "`{name}` is {value}, it must lie in {least} to {most}"
    )))
}

/// The option `date`.
///
/// # Errors
/// [`ErrorKind::InvalidOptions`]: not of the form `YYYY-MM-DD`.
pub fn date(text: Option<&str>) -> Result<Option<Date>> {
    let parse = |text: &str| {
        text.parse().map_err(|e: jiff::Error| {
            let what = format!("`date` is `{text}`, no date of the form `YYYY-MM-DD`");
            invalid(what).caused_by(&e)
        })
    };
    text.map(parse).transpose()
}

/// The error of a model at `path` that neither has a chat template nor is given one.
#[must_use]
pub fn no_chat_template(path: &Path) -> Error {
    let what = format!("`{}` has no chat template", path.display());
    Error::new(ErrorKind::InvalidData, what)
        .hint("it may be a base model; use an instruct model, or set the option `chat_template`")
}

/// The name of a model whose files say none.
#[must_use]
pub fn name_of(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
