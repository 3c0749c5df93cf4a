//! A text from a record: a field of it, or a template over its fields.

use minijinja::{
    Environment, UndefinedBehavior,
    value::{Serde, Value},
};
use tale_api::{Error, ErrorKind, Result};

use super::{
    broken,
    mapping::{Record, text},
};

/// What an option says a text is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A field by its path.
    Field(String),
    /// A template, kept in [`Templates`] under this name.
    Template(String),
}

impl Source {
    /// How messages name it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Field(name) | Self::Template(name) => name,
        }
    }
}

/// The templates of a data set's options.
///
/// A field that a record lacks is an error, never an empty text: a question with a hole in it would
/// be asked and graded like any other.
#[derive(Debug)]
pub(super) struct Templates(Environment<'static>);

impl Templates {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        Self(environment)
    }

    /// Reads the option `name`: with `{{` or `{%` in it a template, else the path of a field.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`] for an empty one, or a template that cannot be read.
    pub(super) fn source(&mut self, name: &str, written: &str) -> Result<Source> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidOptions, message);
        if written.is_empty() {
            return Err(invalid(format!("`{name}` is empty")));
        }
        if !written.contains("{{") && !written.contains("{%") {
            return Ok(Source::Field(written.to_owned()));
        }
        self.0
            .add_template_owned(name.to_owned(), written.to_owned())
            .map_err(|e| {
                invalid(format!(
                    "the template `{name}` cannot be read: {}",
                    said(&e)
                ))
                .hint("templates are written as in Jinja: `{{ field }}`, `{% for x in list %}`")
            })?;
        Ok(Source::Template(name.to_owned()))
    }

    /// The text that `source` makes of a record; `None` where it is a field that is `null`.
    ///
    /// # Errors
    /// A field that is not there, or that is a list or an object.
    pub(super) fn text(&self, source: &Source, record: &Record<'_>) -> Result<Option<String>> {
        match source {
            Source::Field(path) => text(path, record.require(path)?),
            Source::Template(name) => {
                let template = self.0.get_template(name).map_err(|e| broken(said(&e)))?;
                let fields = Value::from(Serde(record.as_json()));
                template.render(fields).map(Some).map_err(|e| {
                    broken(format!("the template `{name}` fails: {}", said(&e)))
                        .hint(record.fields())
                })
            }
        }
    }
}

/// An error of the engine in one line.
fn said(error: &minijinja::Error) -> String {
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) if line > 1 => format!("{what} (its line {line})"),
        _ => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compose(written: &str, line: &str) -> Result<Option<String>> {
        let mut templates = Templates::new();
        let source = templates.source("question", written)?;
        templates.text(&source, &Record::parse(line)?)
    }

    #[test]
    fn a_template_is_told_from_a_field_by_its_braces() {
        let line = r#"{"a": "x", "b": ["y", "z"], "a{b": "brace"}"#;
        let get = |written| compose(written, line).unwrap().unwrap();
        assert_eq!(get("a"), "x");
        assert_eq!(get("b.1"), "z");
        assert_eq!(get("a{b"), "brace");
        assert_eq!(
            get("{{ a }}: {% for i in b %}{{ i }};{% endfor %}"),
            "x: y;z;"
        );
        assert_eq!(get("{{ c if c is defined else a }}"), "x");
    }

    #[test]
    fn a_missing_field_is_an_error_and_names_those_there_are() {
        let error = compose("Q: {{ text }}", r#"{"question": "q"}"#).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidData);
        assert!(error.message.contains("undefined"), "{error}");
        assert!(error.hint.unwrap().contains("`question`"));
    }

    #[test]
    fn a_template_that_cannot_be_read_is_refused_before_any_record() {
        for written in ["{{ a", "{% for %}", "{% if a %}", ""] {
            let error = compose(written, "{}").unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidOptions, "{written}");
        }
    }
}
