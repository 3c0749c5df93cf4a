//! TOML to JSON, with the place of everything.

use std::{collections::HashMap, ops::Range, path::Path};

use serde_json::{Map, Number, Value};
use toml_edit::{Document, Item, TableLike};

use super::{
    not_toml,
    source::{Source, Spot, child},
    words::is_secret_name,
};
use crate::diagnostics::{Diagnostic, Diagnostics, Text};

/// Parses a file. What is TOML but has no place in a manifest (dates, infinities) is added to
/// `problems` and becomes null.
///
/// # Errors
/// The first thing that makes it no TOML.
pub(super) fn parse(
    path: &Path,
    bytes: &[u8],
    problems: &mut Diagnostics,
) -> Result<Source, Diagnostic> {
    let name = path.display().to_string();
    let content = match std::str::from_utf8(bytes) {
        Ok(content) => content,
        Err(e) => {
            let at = e.valid_up_to();
            // The text before `at` is the same in both, so the place holds; the mark takes the
            // replacement character's three bytes.
            let text = Text::file(name, String::from_utf8_lossy(bytes));
            let problem = not_toml(text, "it is not UTF-8 text", at..at + 3);
            return Err(problem.help("save the manifest as UTF-8"));
        }
    };
    let document = match Document::parse(content) {
        Ok(document) => document,
        Err(e) => {
            let mut text = Text::file(name, content);
            hide_secret_lines(&mut text);
            let span = e.span().unwrap_or(0..0);
            return Err(not_toml(text, &sentence(e.message()), span));
        }
    };
    let mut reader = Reader {
        spots: HashMap::new(),
        faults: Vec::new(),
    };
    let value = reader.entries(document.as_table(), "");
    let mut source = Source::new(path, Text::file(name, content), value, reader.spots);
    source.seal();
    for (message, span) in reader.faults {
        problems.push(Diagnostic::at(source.place(0, span), message));
    }
    Ok(source)
}

/// A value of the command line, as JSON.
///
/// # Errors
/// Why it is no value that a manifest can hold.
pub(super) fn value(text: &str) -> Result<Value, String> {
    let value: toml_edit::Value = text
        .parse()
        .map_err(|e: toml_edit::TomlError| sentence(e.message()))?;
    let mut reader = Reader {
        spots: HashMap::new(),
        faults: Vec::new(),
    };
    let json = reader.item(&Item::Value(value), "", &(0..0));
    match reader.faults.into_iter().next() {
        Some((message, _)) => Err(message),
        None => Ok(json),
    }
}

struct Reader {
    spots: HashMap<String, Spot>,
    faults: Vec<(String, Range<usize>)>,
}

impl Reader {
    fn entries(&mut self, table: &dyn TableLike, pointer: &str) -> Value {
        let mut entries = Map::new();
        for (name, item) in table.iter() {
            let key = table
                .key(name)
                .and_then(toml_edit::Key::span)
                .unwrap_or(0..0);
            let pointer = child(pointer, name);
            let value = self.item(item, &pointer, &key);
            entries.insert(name.to_owned(), value);
        }
        Value::Object(entries)
    }

    fn item(&mut self, item: &Item, pointer: &str, key: &Range<usize>) -> Value {
        // Tables without a header of their own (`[llm.options]` alone makes `llm`) have no span.
        let span = item.span().unwrap_or_else(|| key.clone());
        self.spots.insert(
            pointer.to_owned(),
            Spot {
                text: 0,
                key: key.clone(),
                value: span.clone(),
            },
        );
        match item {
            Item::None => Value::Null,
            Item::Table(table) => self.entries(table, pointer),
            Item::ArrayOfTables(tables) => {
                let tables = tables.iter().enumerate().map(|(i, table)| {
                    let pointer = child(pointer, &i.to_string());
                    let span = table.span().unwrap_or_else(|| span.clone());
                    let spot = Spot {
                        text: 0,
                        key: span.clone(),
                        value: span,
                    };
                    self.spots.insert(pointer.clone(), spot);
                    self.entries(table, &pointer)
                });
                Value::Array(tables.collect())
            }
            Item::Value(value) => self.value(value, pointer, span),
        }
    }

    /// What JSON cannot say becomes null, after noting why.
    fn value(&mut self, value: &toml_edit::Value, pointer: &str, span: Range<usize>) -> Value {
        use toml_edit::Value as Toml;
        match value {
            Toml::String(text) => text.value().as_str().into(),
            Toml::Integer(number) => (*number.value()).into(),
            Toml::Boolean(yes) => (*yes.value()).into(),
            Toml::Float(number) => float(*number.value()).unwrap_or_else(|| {
                self.faults.push(("a number must be finite".into(), span));
                Value::Null
            }),
            Toml::Datetime(_) => {
                let message = "a date has no meaning here; text stands in quotes";
                self.faults.push((message.into(), span));
                Value::Null
            }
            Toml::Array(items) => {
                let items = items.iter().enumerate().map(|(i, item)| {
                    let pointer = child(pointer, &i.to_string());
                    let span = item.span().unwrap_or_else(|| span.clone());
                    let spot = Spot {
                        text: 0,
                        key: span.clone(),
                        value: span.clone(),
                    };
                    self.spots.insert(pointer.clone(), spot);
                    self.value(item, &pointer, span)
                });
                Value::Array(items.collect())
            }
            Toml::InlineTable(table) => self.entries(table, pointer),
        }
    }
}

/// A float as JSON. A whole one becomes an integer: JSON Schema takes `16.0` for one, so an editor
/// accepts it where an integer is wanted, and then serde must as well.
fn float(number: f64) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
        return Some((number as i64).into());
    }
    Number::from_f64(number).map(Value::Number)
}

/// A parser's message in our form: one line, lower case, no full stop.
fn sentence(message: &str) -> String {
    let mut message = message.split('\n').collect::<Vec<_>>().join(", ");
    message.truncate(message.trim_end_matches('.').len());
    message
}

/// Hides what follows `=` on lines whose key says that it is a secret: the text could not be parsed,
/// so this goes by lines.
fn hide_secret_lines(text: &mut Text) {
    let mut spans = Vec::new();
    let mut start = 0;
    for line in text.content().split_inclusive('\n') {
        let mut parts = line.split('=').peekable();
        let mut at = start;
        while let Some(part) = parts.next() {
            at += part.len() + 1;
            let key = part.trim_end().trim_end_matches(['"', '\'']);
            let key = key
                .rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
                .next();
            if parts.peek().is_some() && key.is_some_and(is_secret_name) {
                spans.push(at..start + line.len());
            }
        }
        start += line.len();
    }
    for span in spans {
        text.hide(span);
    }
}
