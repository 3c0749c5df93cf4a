//! The look of a diagnostic on a terminal.
//!
//! `annotate-snippets` draws the head and the source line as rustc does. Causes and helps are lines
//! of ours beneath, indented by two, so that an error with a source line and one without look alike.

use std::{ffi::OsString, fmt::Write as _, io::IsTerminal, ops::Range};

use annotate_snippets::{
    AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str,
    renderer::{AnsiColor, Effects, Style},
};

use super::{Diagnostic, Place, Severity, Text};

/// Whether escape codes for colour are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// As fits standard error: colour on a terminal that is not `dumb`, unless `NO_COLOR` is set.
    Auto,
    /// Plain text.
    Never,
    /// Always.
    Always,
}

impl Color {
    /// Whether colour is written, given what standard error is.
    fn is_wanted(self) -> bool {
        match self {
            Self::Auto => fits(std::io::stderr().is_terminal(), |name| {
                std::env::var_os(name)
            }),
            Self::Never => false,
            Self::Always => true,
        }
    }
}

/// `NO_COLOR` counts if it is set to anything but nothing (<https://no-color.org>).
pub(super) fn fits(is_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let refused = variable("NO_COLOR").is_some_and(|v| !v.is_empty());
    let dumb = variable("TERM").is_some_and(|v| v == "dumb");
    is_terminal && !refused && !dumb
}

const CAUSE: Style = AnsiColor::BrightYellow.on_default().effects(Effects::BOLD);
const HELP: Style = AnsiColor::BrightCyan.on_default().effects(Effects::BOLD);
const ARROW: Style = AnsiColor::BrightBlue.on_default().effects(Effects::BOLD);

/// One diagnostic with a line break at its end.
pub(super) fn one(diagnostic: &Diagnostic, color: Color) -> String {
    let color = color.is_wanted();
    let mut out = head(diagnostic, color);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    for cause in &diagnostic.causes {
        line(&mut out, CAUSE, "cause", cause, color);
    }
    for help in &diagnostic.help {
        line(&mut out, HELP, "help", help, color);
    }
    out
}

/// The message, and the place with its source line where there is one.
fn head(diagnostic: &Diagnostic, color: bool) -> String {
    let renderer = if color {
        Renderer::styled().hyperlink(false)
    } else {
        Renderer::plain()
    };
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&diagnostic.message);
    match &diagnostic.place {
        Some(Place::Span { text, span }) if is_drawable(text, span) => {
            // Label and path are written as they are, unlike title and source.
            let label = diagnostic.label.as_deref().map(normalize_untrusted_str);
            let mark = AnnotationKind::Primary.span(span.clone()).label(label);
            let snippet = Snippet::source(text.shown()).annotation(mark);
            if text.is_argument() {
                // An argument has one line, so numbers would only puzzle.
                let drawn = renderer
                    .render(&[title.element(snippet.line_numbering(false).path(None::<&str>))]);
                insert_after_title(&drawn, &arrow(text.name(), color))
            } else {
                renderer
                    .render(&[title.element(snippet.path(normalize_untrusted_str(text.name())))])
            }
        }
        place => {
            let mut out = renderer.render(&[Group::with_title(title)]);
            if let Some(place) = place {
                out.push('\n');
                out.push_str(&arrow(&place.one_line(), color));
            }
            if let Some(label) = &diagnostic.label {
                let _ = write!(out, "\n  {}", normalize_untrusted_str(label));
            }
            out
        }
    }
}

/// Whether a source line would help: not in an empty text, and not for the point at the start of a
/// file, which stands for the file as a whole.
fn is_drawable(text: &Text, span: &Range<usize>) -> bool {
    !text.content().is_empty() && (*span != (0..0) || text.is_argument())
}

fn arrow(place: &str, color: bool) -> String {
    format!(
        "  {} {}",
        paint(ARROW, "-->", color),
        normalize_untrusted_str(place)
    )
}

/// `drawn` with `line` beneath its first line.
fn insert_after_title(drawn: &str, line: &str) -> String {
    match drawn.split_once('\n') {
        Some((title, rest)) => format!("{title}\n{line}\n{rest}"),
        None => format!("{drawn}\n{line}"),
    }
}

/// `  word: text`, further lines of `text` beneath its first.
fn line(out: &mut String, style: Style, word: &str, text: &str, color: bool) {
    let indent = " ".repeat(2 + word.len() + 2);
    let mut lines = text.trim_end().lines();
    let first = normalize_untrusted_str(lines.next().unwrap_or_default());
    let _ = writeln!(
        out,
        "  {} {first}",
        paint(style, &format!("{word}:"), color)
    );
    for more in lines {
        let _ = writeln!(out, "{indent}{}", normalize_untrusted_str(more));
    }
}

fn paint(style: Style, text: &str, color: bool) -> String {
    if color {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}
