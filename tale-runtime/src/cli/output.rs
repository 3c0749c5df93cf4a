//! The only place that writes to stdout and stderr for people.

use std::io::Write;

use serde::Serialize;

use crate::diagnostics::{Color, Diagnostics};

/// Writes a value to stdout as JSON, indented.
pub(super) fn json(value: &impl Serialize) {
    line(&serde_json::to_string_pretty(value).expect("plain data serialises"));
}

/// Writes a value to stdout as one line of JSON.
pub(super) fn json_line(value: &impl Serialize) {
    line(&serde_json::to_string(value).expect("plain data serialises"));
}

/// Writes a line of data to stdout. A reader that went away (`| head`) ends the program in silence.
pub(super) fn line(text: &str) {
    if writeln!(std::io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Writes a part of a line to stdout at once.
pub(super) fn part(text: &str) {
    let mut out = std::io::stdout().lock();
    if write!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Tells people something on stderr.
pub(super) fn note(text: &str) {
    eprintln!("{text}");
}

/// Tells what is wrong.
pub(super) fn failure(diagnostics: &Diagnostics, as_json: bool) {
    if as_json {
        eprintln!("{}", diagnostics.to_json());
    } else {
        eprint!("{}", diagnostics.render(Color::Auto));
    }
}

/// Writes the completion script for `shell` to stdout.
pub(super) fn completions(shell: clap_complete::Shell, command: &mut clap::Command) {
    clap_complete::generate(shell, command, "tale", &mut std::io::stdout());
}
