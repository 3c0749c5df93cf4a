//! The manifest: what a person writes to say what a run does.
//!
//! [`read`] takes a TOML file to a [`Manifest`] in four steps, and tells everything that is wrong at
//! once, each with file, line and column:
//! 1. `tree`: TOML to a JSON value, remembering where each key and value stands;
//! 2. `set`: `--set key.path=value` laid over it, each value remembering its argument;
//! 3. `check`: the value against the JSON Schema that is made from the types ([`schema()`]), every
//!    error explained in the words of the manifest, with the nearest key;
//! 4. `rules`: what a schema cannot say, such as labels that must differ.
//!
//! What needs more than the text, such as files and plugins, is the plan's to check: it asks
//! [`Source::at`] for places and lets [`Source::check_options`] hold options against a plugin's own
//! schema, so that its errors look like these.

mod check;
mod models;
mod post_train;
mod resolved;
mod rules;
mod schema;
mod searches;
mod set;
mod source;
#[cfg(test)]
mod tests;
mod tree;
mod types;
mod words;

use std::{io::Read as _, path::Path};

use crate::diagnostics::{Diagnostic, Diagnostics, Place, Text, nearest};

pub use models::{CacheMode, CacheSpec, LlmSpec, PricesSpec, RatesSpec};
pub use post_train::{
    AdapterForm, AdapterSpec, Overlap, PostTrainSpec, TrainerSpec, TrainingMethod,
};
pub use resolved::{Change, differences, without_secret};
pub use schema::schema;
pub use searches::{
    FeasibilitySpec, RefineSpec, RelativeTo, SearchSpec, SearchStart, SearchStrategy, SweepSpec,
};
pub use source::Source;
pub use tale_api::host::secret_options;
pub use types::{
    Apply, DatasetSpec, EstimateOn, EstimatorSpec, EvaluateSpec, Fallback, IsolationSpec, Manifest,
    OnError, OneOrMany, PluginSpec, SampleSpec, Task,
};

/// More bytes than this are no manifest: somebody named a model or a data set by mistake.
const MAX_BYTES: u64 = 1 << 20;

/// A manifest with the text it comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What was written, defaults filled in.
    pub manifest: Manifest,
    /// Where it was written.
    pub source: Source,
}

/// Reads the manifest at `path` with the arguments of `--set` (`key.path=value`) laid over it.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn load(path: &Path, sets: &[String]) -> Result<Loaded, Diagnostics> {
    let (loaded, problems) = read(path, sets);
    match loaded {
        Some(loaded) => problems.into_result(loaded),
        None => Err(problems),
    }
}

/// As [`load`], but gives what could be understood along with what is wrong.
///
/// For a caller that has further things to check (files, plugins) and wants to tell everything at
/// once: keys that are unknown are left out of the manifest, or taken for the known key they
/// resemble. There is none where too much is wrong to go on. A run must not start unless the
/// diagnostics hold no error.
#[must_use]
pub fn read(path: &Path, sets: &[String]) -> (Option<Loaded>, Diagnostics) {
    match read_file(path) {
        Ok(bytes) => from_bytes(path, &bytes, sets),
        Err(problem) => (None, problem.into()),
    }
}

/// As [`read`], of bytes at hand; `path` names them and relative paths are relative to its folder.
#[must_use]
pub fn from_bytes(path: &Path, bytes: &[u8], sets: &[String]) -> (Option<Loaded>, Diagnostics) {
    let mut problems = Diagnostics::default();
    let mut source = match tree::parse(path, bytes, &mut problems) {
        Ok(source) => source,
        Err(problem) => return (None, problem.into()),
    };
    set::apply(&mut source, sets, &mut problems);
    source.seal();
    let mut manifest = check::manifest(&mut source, &mut problems);
    if let Some(manifest) = &mut manifest {
        manifest.complete();
    }
    if let Some(manifest) = &manifest {
        rules::check(manifest, &source, &mut problems);
    }
    problems.sort();
    (
        manifest.map(|manifest| Loaded { manifest, source }),
        problems,
    )
}

fn read_file(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let name = path.display();
    let cannot = |e: std::io::Error| {
        let problem =
            Diagnostic::error(format!("cannot read manifest `{name}`")).cause(e.to_string());
        match similar_file(path) {
            Some(other) => problem.help(format!("did you mean `{other}`?")),
            None => problem.help("a manifest is a TOML file; `examples/` has some to start from"),
        }
    };
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > MAX_BYTES {
        let problem =
            Diagnostic::error(format!("`{name}` is no manifest: it is larger than 1 MiB"));
        return Err(problem.help(
            "name the TOML file that names the model and the data set, not one of these themselves",
        ));
    }
    Ok(bytes)
}

/// A TOML file beside `path` whose name resembles it, as the user would write it.
fn similar_file(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let folder = path.parent()?;
    let listed = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let names = std::fs::read_dir(listed).ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        (Path::new(&name).extension()? == "toml").then_some(name)
    });
    let names: Vec<_> = names.take(1000).collect();
    let nearest = nearest(wanted, names.iter().map(String::as_str)).or_else(|| {
        names
            .iter()
            .map(String::as_str)
            .find(|n| n.strip_suffix(".toml") == Some(wanted))
    })?;
    Some(folder.join(nearest).display().to_string())
}

/// The error for a text that is no TOML at all.
fn not_toml(text: Text, message: &str, mut span: std::ops::Range<usize>) -> Diagnostic {
    if span == (0..0) {
        // The first character, not the file as a whole.
        span.end = text.content().chars().next().map_or(0, char::len_utf8);
    }
    let message = format!("not valid TOML: {message}");
    Diagnostic::at(Place::span(text.into(), span), message)
}
