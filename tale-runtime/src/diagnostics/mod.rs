//! What people are told when something is wrong: what failed, where, and how to mend it.
//!
//! Every error that reaches a person has one look, whether it comes from a manifest, a plugin or the
//! operating system:
//! ```text
//! error: unknown key `temprature` in `[llm]`
//!  --> gsm8k.toml:9:1
//!   |
//! 9 | temprature = 0.1
//!   | ^^^^^^^^^^
//!   help: did you mean `temperature`?
//! ```
//! A [`Diagnostic`] is one such text, [`Diagnostics`] all of them at once; both render plainly, in
//! colour, and as JSON. Colour repeats what the words say and never stands for them.

mod convert;
mod nearest;
mod place;
mod render;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::{Value, json};

pub(crate) use nearest::nearest;
pub use place::{Place, Text};
pub use render::Color;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing goes on before this is mended.
    Error,
    /// Something a person should know; the work goes on.
    Warning,
}

impl Severity {
    /// The word in front of the message.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
///
/// # Examples
/// ```
/// use tale_runtime::diagnostics::{Color, Diagnostic};
/// let d = Diagnostic::error("cannot load plugin `libx.so`")
///     .cause("no symbol `tale_plugin`")
///     .help("`tale plugin check libx.so` shows what it lacks");
/// assert_eq!(
///     d.render(Color::Never),
///     "error: cannot load plugin `libx.so`\n  cause: no symbol `tale_plugin`\n  \
///      help: `tale plugin check libx.so` shows what it lacks\n",
/// );
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: one sentence in lower case without full stop, values in backticks.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// What is said beside the mark in the source line.
    pub label: Option<String>,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// How to mend it; one line each.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// Something that must be mended.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message)
    }

    /// Something that should be known.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    /// An error that has a place; the same as `Diagnostic::error(message).place(place)`.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self::error(message).place(place)
    }

    fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self {
            severity,
            message: message.into(),
            place: None,
            label: None,
            causes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Says where.
    #[must_use]
    pub fn place(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Writes `label` beside the mark in the source line.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds a cause beneath those named already.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds a way to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The text for people, with a line break at its end.
    #[must_use]
    pub fn render(&self, color: Color) -> String {
        render::one(self, color)
    }

    /// The same for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "severity": self.severity.as_str(),
            "message": self.message,
            "label": self.label,
            "causes": self.causes,
            "help": self.help,
        });
        let place = self.place.as_ref().map_or(Value::Null, Place::to_json);
        json["place"] = place;
        json
    }
}

impl fmt::Display for Diagnostic {
    /// The sentence alone, so that it can be the cause of something else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// Everything that is wrong, in the order of the source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether at least one is an error, not a warning.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Puts them into the order of the source, and drops what is said twice.
    pub fn sort(&mut self) {
        self.0
            .sort_by_cached_key(|d| d.place.as_ref().map(Place::order));
        self.0.dedup();
    }

    /// `Ok(value)` if none of them is an error, else all of them.
    pub fn into_result<T>(mut self, value: T) -> Result<T, Self> {
        if self.has_errors() {
            self.sort();
            Err(self)
        } else {
            Ok(value)
        }
    }

    /// The text for people: all of them, an empty line between two.
    #[must_use]
    pub fn render(&self, color: Color) -> String {
        let texts: Vec<_> = self.0.iter().map(|d| d.render(color)).collect();
        texts.join("\n")
    }

    /// The same for programs: an array.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.0.iter().map(Diagnostic::to_json).collect()
    }
}

impl fmt::Display for Diagnostics {
    /// All of them, plainly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Color::Never).trim_end())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl From<Vec<Diagnostic>> for Diagnostics {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        Self(diagnostics)
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        self.0.extend(diagnostics);
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
