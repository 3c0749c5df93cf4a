//! The look of a diagnostic on a terminal.
//!
//! `annotate-snippets` draws the head and the source line as rustc does. Causes and helps are lines
//! of ours beneath, indented by two, so that an error with a source line and one without look alike.

use std::fmt::Write as _;
use std::io::IsTerminal;

use annotate_snippets::{
    AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str,
    renderer::{AnsiColor, Effects, Style},
};

use super::{Diagnostic, Place, Severity};

/// Whether escape codes for colour are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// Plain text.
    Never,
    /// Always.
    Always,
}

impl Color {
    /// As fits standard error: colour on a terminal, unless `NO_COLOR` is set to anything, or the
    /// terminal is a `dumb` one.
    #[must_use]
    pub fn for_stderr() -> Self {
        Self::choose(std::io::stderr().is_terminal(), |name| std::env::var_os(name))
    }

    /// As [`Color::for_stderr`], for standard output.
    #[must_use]
    pub fn for_stdout() -> Self {
        Self::choose(std::io::stdout().is_terminal(), |name| std::env::var_os(name))
    }

    pub(super) fn choose(
        is_terminal: bool,
        variable: impl Fn(&str) -> Option<std::ffi::OsString>,
    ) -> Self {
        let refused = variable("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = variable("TERM").is_some_and(|v| v == "dumb");
        if is_terminal && !refused && !dumb { Self::Always } else { Self::Never }
    }
}

const CAUSE: Style = AnsiColor::BrightYellow.on_default().effects(Effects::BOLD);
const HELP: Style = AnsiColor::BrightCyan.on_default().effects(Effects::BOLD);
const ARROW: Style = AnsiColor::BrightBlue.on_default().effects(Effects::BOLD);

/// One diagnostic with a line break at its end.
pub(super) fn one(diagnostic: &Diagnostic, color: Color) -> String {
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
fn head(diagnostic: &Diagnostic, color: Color) -> String {
    let renderer = match color {
        Color::Never => Renderer::plain(),
        Color::Always => Renderer::styled().hyperlink(false),
    };
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&diagnostic.message);
    match &diagnostic.place {
        Some(Place::Span { text, span }) if is_drawable(text, span) => {
            let mark = AnnotationKind::Primary.span(span.clone()).label(diagnostic.label.as_deref());
            let snippet = Snippet::source(text.shown()).annotation(mark);
            if text.is_argument() {
                // An argument has one line, so numbers would only puzzle.
                let drawn = renderer
                    .render(&[title.element(snippet.line_numbering(false).path(None::<&str>))]);
                insert_after_title(&drawn, &arrow(text.name(), color))
            } else {
                renderer.render(&[title.element(snippet.path(text.name()))])
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

/// Whether a source line would help: not for a point in an empty text, nor for one at the start of a
/// file that stands for the file as a whole, nor beyond any sane width.
fn is_drawable(text: &super::Text, span: &std::ops::Range<usize>) -> bool {
    !(text.content().is_empty() || *span == (0..0) && !text.is_argument())
}

fn arrow(place: &str, color: Color) -> String {
    format!("  {} {}", paint(ARROW, "-->", color), normalize_untrusted_str(place))
}

/// `drawn` with `line` beneath its first line.
fn insert_after_title(drawn: &str, line: &str) -> String {
    match drawn.split_once('\n') {
        Some((title, rest)) => format!("{title}\n{line}\n{rest}"),
        None => format!("{drawn}\n{line}"),
    }
}

/// `  word: text`, further lines of `text` beneath its first.
fn line(out: &mut String, style: Style, word: &str, text: &str, color: Color) {
    let indent = " ".repeat(2 + word.len() + 2);
    let mut lines = text.trim_end().lines();
    let first = normalize_untrusted_str(lines.next().unwrap_or_default());
    let _ = writeln!(out, "  {} {first}", paint(style, &format!("{word}:"), color));
    for more in lines {
        let _ = writeln!(out, "{indent}{}", normalize_untrusted_str(more));
    }
}

fn paint(style: Style, text: &str, color: Color) -> String {
    match color {
        Color::Never => text.to_owned(),
        Color::Always => format!("{style}{text}{style:#}"),
    }
}
