//! Running other programs, visibly.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::tools::Environment;

/// The project's root.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable for `cargo run`; the constant serves a binary started by hand.
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.parent().map_or(here.clone(), Path::to_owned)
}

/// Where the release build lies.
pub(crate) fn target() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    root().join(target).join("release")
}

/// A program to run in the project's root.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    // These describe this package; cargo sets them anew for what it runs itself, and other
    // programs must not take them for their own.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        }) {
            command.env_remove(name);
        }
    }
    command
}

/// The cargo that runs this, with the variables of the build.
pub(crate) fn cargo(environment: &Environment) -> Command {
    let mut command = program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.envs(environment.iter());
    command
}

/// Shows a command and runs it to its end.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(command));
    let name = command.get_program().to_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot run `{}`", name.display()))?;
    if !status.success() {
        bail!("`{}`: {status}", shown(command));
    }
    Ok(())
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program());
    let short = name.strip_prefix(root()).unwrap_or(name);
    // rustup calls cargo by its full path.
    let short = if name.file_stem().is_some_and(|stem| stem == "cargo") {
        Path::new("cargo")
    } else {
        short
    };
    let words = command.get_args().map(|word| {
        let word = word.to_string_lossy();
        if word.is_empty() || word.contains([' ', '"', '$', '*']) {
            format!("'{word}'")
        } else {
            word.into_owned()
        }
    });
    std::iter::once(short.display().to_string())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A list of steps with a summary at its end.
///
/// A failed step does not hide the others: each is run unless it builds on one that failed.
#[derive(Default)]
pub(crate) struct Summary {
    lines: Vec<(String, Outcome, f64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

impl Summary {
    /// Runs a step; says whether it passed.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> bool {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = match work() {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                eprintln!("error: {error:#}");
                Outcome::Failed
            }
        };
        self.lines
            .push((name.to_owned(), outcome, start.elapsed().as_secs_f64()));
        outcome == Outcome::Passed
    }

    /// Notes a step that makes no sense any more.
    pub(crate) fn skip(&mut self, name: &str) {
        self.lines.push((name.to_owned(), Outcome::Skipped, 0.0));
    }

    /// Shows what was run and how it went.
    pub(crate) fn end(self) -> Result<()> {
        eprintln!("\n== summary");
        for (name, outcome, seconds) in &self.lines {
            let word = match outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => "not run",
            };
            eprintln!("{word:>8}  {seconds:>7.1} s  {name}");
        }
        let failed = self
            .lines
            .iter()
            .filter(|(_, outcome, _)| *outcome != Outcome::Passed)
            .count();
        if failed > 0 {
            bail!(
                "{failed} of {} steps failed or could not run",
                self.lines.len()
            );
        }
        Ok(())
    }
}
