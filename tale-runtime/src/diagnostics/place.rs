//! Where something is wrong.

use std::{fmt, ops::Range, sync::Arc};

use serde_json::{Value, json};

/// A text that people wrote: a file, or an argument of the command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    /// The file's path as the user gave it, or the option's name (`--set`).
    name: String,
    content: String,
    kind: TextKind,
    /// Bytes that are never shown, for they hold a secret.
    hidden: Vec<Range<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TextKind {
    File,
    Argument,
}

impl Text {
    /// A file's content.
    pub fn file(name: impl Into<String>, content: impl Into<String>) -> Self {
        Self::new(TextKind::File, name.into(), content.into())
    }

    /// The value of a command line option, for instance of `--set`.
    pub fn argument(option: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(TextKind::Argument, option.into(), value.into())
    }

    fn new(kind: TextKind, name: String, content: String) -> Self {
        Self {
            name,
            content,
            kind,
            hidden: Vec::new(),
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was written, secrets included: not to be shown.
    #[must_use]
    pub fn content(&self) -> &str {
        &self.content
    }

    /// Whether it is an argument of the command line.
    #[must_use]
    pub fn is_argument(&self) -> bool {
        self.kind == TextKind::Argument
    }

    /// Never shows these bytes.
    pub fn hide(&mut self, span: Range<usize>) {
        if span.start < span.end {
            self.hidden.push(span);
        }
    }

    /// What may be shown: as long in bytes as the content, line for line.
    pub(super) fn shown(&self) -> String {
        if self.hidden.is_empty() {
            return self.content.clone();
        }
        let hidden = |at: usize| self.hidden.iter().any(|h| h.contains(&at));
        let mut shown = String::with_capacity(self.content.len());
        for (at, c) in self.content.char_indices() {
            if hidden(at) && c != '\n' && c != '\r' {
                // One star a byte, so that spans behind it still fit.
                shown.extend(std::iter::repeat_n('*', c.len_utf8()));
            } else {
                shown.push(c);
            }
        }
        shown
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    #[must_use]
    pub fn line_column(&self, at: usize) -> (usize, usize) {
        let mut at = at.min(self.content.len());
        while !self.content.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.content[..at];
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}

impl fmt::Debug for Text {
    /// Without the content, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Place {
    /// In a text that is at hand, so that its line can be shown.
    Span {
        /// The text.
        text: Arc<Text>,
        /// Bytes of it; an empty span is a point.
        span: Range<usize>,
    },
    /// In a file that is not at hand, or as a whole.
    File {
        /// Its path, as people know it.
        file: String,
        /// From 1.
        line: Option<usize>,
        /// In characters, from 1.
        column: Option<usize>,
    },
    /// Anything else that a person can find, for instance "plugin `llama-cpp`".
    Named(String),
}

impl Place {
    /// In `text`. A span over several lines is cut at the end of its first one: that is where a
    /// person starts to read.
    #[must_use]
    pub fn span(text: Arc<Text>, span: Range<usize>) -> Self {
        let content = text.content();
        let floor = |mut at: usize| {
            at = at.min(content.len());
            while !content.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor(span.start);
        let end = floor(span.end).max(start);
        let end = content[start..end]
            .find(['\n', '\r'])
            .map_or(end, |n| start + n);
        Self::Span {
            text,
            span: start..end,
        }
    }

    /// A file as a whole.
    pub fn file(file: impl Into<String>) -> Self {
        Self::File {
            file: file.into(),
            line: None,
            column: None,
        }
    }

    /// A line of a file, from 1.
    pub fn line(file: impl Into<String>, line: usize) -> Self {
        Self::File {
            file: file.into(),
            line: Some(line),
            column: None,
        }
    }

    /// Something that has a name but no file.
    pub fn named(name: impl Into<String>) -> Self {
        Self::Named(name.into())
    }

    /// The place in one line, for instance `gsm8k.toml:9:1`.
    #[must_use]
    pub fn one_line(&self) -> String {
        match self {
            Self::Span { text, .. } if text.is_argument() => {
                format!("{} {}", text.name, text.shown())
            }
            Self::Span { text, span } => {
                let (line, column) = text.line_column(span.start);
                format!("{}:{line}:{column}", text.name)
            }
            Self::File { file, line, column } => {
                let number = |n: &Option<usize>| n.map_or(String::new(), |n| format!(":{n}"));
                format!("{file}{}{}", number(line), number(column))
            }
            Self::Named(name) => name.clone(),
        }
    }

    /// What to sort by: files before arguments, then by position.
    pub(super) fn order(&self) -> (u8, String, usize) {
        match self {
            Self::Span { text, span } => {
                (u8::from(text.is_argument()), text.name.clone(), span.start)
            }
            Self::File { file, line, .. } => (0, file.clone(), line.unwrap_or(0)),
            Self::Named(name) => (2, name.clone(), 0),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Span { text, span } if text.is_argument() => json!({
                "option": text.name,
                "argument": text.shown(),
                "column": text.line_column(span.start).1,
                "end_column": text.line_column(span.end).1,
            }),
            Self::Span { text, span } => {
                let (line, column) = text.line_column(span.start);
                let (end_line, end_column) = text.line_column(span.end);
                json!({
                    "file": text.name, "line": line, "column": column,
                    "end_line": end_line, "end_column": end_column,
                })
            }
            Self::File { file, line, column } => {
                json!({ "file": file, "line": line, "column": column })
            }
            Self::Named(name) => json!({ "name": name }),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.one_line())
    }
}
