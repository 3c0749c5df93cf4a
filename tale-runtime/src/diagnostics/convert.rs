//! Other errors in the same look.

use std::error::Error as StdError;

use super::{Diagnostic, Diagnostics, Place};

impl From<&tale_api::Error> for Diagnostic {
    /// Message, hint and causes as they are; `file` or `path`, `line` and `column` of the context
    /// become the place, other pairs name it where there is no file.
    fn from(error: &tale_api::Error) -> Self {
        let mut diagnostic = Self::error(&error.message);
        diagnostic.place = place_of(error);
        diagnostic.causes.clone_from(&error.causes);
        diagnostic.help.extend(error.hint.clone());
        if let Some(seconds) = error.retry_after_s {
            diagnostic
                .causes
                .push(format!("the provider asks to wait {seconds} s"));
        }
        diagnostic
    }
}

fn place_of(error: &tale_api::Error) -> Option<Place> {
    let number = |key| error.context_value(key).and_then(|n| n.parse().ok());
    if let Some(file) = error
        .context_value("file")
        .or_else(|| error.context_value("path"))
    {
        return Some(Place::File {
            file: file.to_owned(),
            line: number("line"),
            column: number("column"),
        });
    }
    let pairs = error
        .context
        .iter()
        .map(|(key, value)| format!("{key} `{value}`"));
    let operation = error.operation.iter().map(|o| format!("operation `{o}`"));
    let parts: Vec<_> = pairs.chain(operation).collect();
    (!parts.is_empty()).then(|| Place::Named(parts.join(", ")))
}

impl Diagnostic {
    /// Any error with the chain of its causes; what the first [`tale_api::Error`] of the chain knows
    /// of place and mending is kept.
    #[must_use]
    pub fn from_error(error: &(dyn StdError + 'static)) -> Self {
        if let Some(diagnostic) = error.downcast_ref::<Self>() {
            return diagnostic.clone();
        }
        if let Some(api) = error.downcast_ref::<tale_api::Error>() {
            return api.into();
        }
        let mut diagnostic = Self::error(error.to_string());
        let mut next = error.source();
        while let Some(cause) = next {
            diagnostic.push_cause(cause.to_string());
            if let Some(api) = cause.downcast_ref::<tale_api::Error>() {
                let inner = Self::from(api);
                diagnostic.place = diagnostic.place.or(inner.place);
                inner
                    .causes
                    .into_iter()
                    .for_each(|c| diagnostic.push_cause(c));
                diagnostic.help.extend(inner.help);
            } else if let Some(inner) = cause.downcast_ref::<Self>() {
                diagnostic.place = diagnostic.place.or_else(|| inner.place.clone());
                inner
                    .causes
                    .iter()
                    .for_each(|c| diagnostic.push_cause(c.clone()));
                diagnostic.help.extend(inner.help.iter().cloned());
            }
            next = cause.source();
        }
        diagnostic
    }

    /// Adds `cause` unless the text above it says so already: some libraries paste the cause into
    /// their own message.
    fn push_cause(&mut self, cause: String) {
        let above = self.causes.last().unwrap_or(&self.message);
        if !above.contains(&cause) {
            self.causes.push(cause);
        }
    }
}

impl Diagnostics {
    /// Any error; what are diagnostics already stays as it is.
    #[must_use]
    pub fn from_error(error: &(dyn StdError + 'static)) -> Self {
        match error.downcast_ref::<Self>() {
            Some(diagnostics) => diagnostics.clone(),
            None => Diagnostic::from_error(error).into(),
        }
    }
}
