//! From names in a manifest to files: a catalogue's name, or a path relative to the manifest.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Resolver, marks, path};
use crate::{
    diagnostics::Diagnostic,
    fetch::{self, Entry, FetchError, Kind, Remote, Store, catalogue},
    manifest::DatasetSpec,
};

impl Resolver<'_> {
    /// Gives an LLM whose plugin takes a model file the file of its model. Such a plugin says so in
    /// its schema: the option `path` is marked `"x-tale": "model-file"`.
    pub(super) fn model_file(
        &mut self,
        table: &[String],
        schema: &Value,
        options: &mut Map<String, Value>,
    ) {
        if !marks::is_marked(schema, "path", "model-file") || options.contains_key("path") {
            return;
        }
        let Some(model) = options
            .get("model")
            .and_then(Value::as_str)
            .map(str::to_owned)
        else {
            return;
        };
        let file = self.source().base_dir().join(&model);
        if file.exists() {
            options.insert(
                "path".into(),
                Value::from(absolute(file).display().to_string()),
            );
            return;
        }
        match fetched(catalogue::models(), Kind::Model, &model) {
            Ok(file) => {
                options.insert("path".into(), Value::from(file.display().to_string()));
            }
            Err(e) => {
                let place = self.source().at(&path(table, &["model"]));
                self.problems.push(missing(&e).place(place));
                // One fault is told once: the option itself is not what is missing.
                options.insert("path".into(), Value::from(model));
            }
        }
    }

    /// The file of a data set: the path that is given, the catalogue's file of that name, or the
    /// catalogue's file for the plugin. Where that is missing, the fault is told here, and what was
    /// meant is given all the same, so that it is not told again as a missing option.
    pub(super) fn dataset_file(&mut self, spec: &DatasetSpec, table: &[String]) -> Option<PathBuf> {
        if let Some(given) = &spec.path {
            if let Some(remote) = Remote::parse(&given.to_string_lossy()) {
                let found = remote.and_then(|remote| remote.local());
                return Some(found.unwrap_or_else(|e| {
                    let place = self.source().at(&path(table, &["path"]));
                    self.problems.push(missing(&e).place(place));
                    given.clone()
                }));
            }
            let file = self.source().base_dir().join(given);
            if file.exists() {
                return Some(absolute(file));
            }
            let name = given.to_string_lossy();
            let place = self.source().at(&path(table, &["path"]));
            if let Some(found) = address_called(&name) {
                return Some(found.unwrap_or_else(|e| {
                    self.problems.push(missing(&e).place(place));
                    file
                }));
            }
            let entries = catalogue::datasets();
            if entries
                .as_ref()
                .is_ok_and(|e| catalogue::find(e, Kind::Dataset, &name).is_ok())
            {
                return match fetched(entries, Kind::Dataset, &name) {
                    Ok(file) => Some(file),
                    Err(e) => {
                        self.problems.push(missing(&e).place(place));
                        Some(file)
                    }
                };
            }
            let problem = Diagnostic::at(place, format!("no file `{}`", file.display())).help(
                "a path is relative to the manifest's folder; `tale dataset list` shows the names \
                 that stand for fetched files",
            );
            self.problems.push(problem);
            return Some(file);
        }
        if let Some(found) = address_called(&spec.plugin) {
            return Some(found.unwrap_or_else(|e| {
                let place = self.source().at(&path(table, &["plugin"]));
                self.problems.push(missing(&e).place(place));
                PathBuf::from(&spec.plugin)
            }));
        }
        // A plugin that reads no file, or has its own idea of where it lies, is left alone.
        let entries = catalogue::datasets().ok()?;
        let name = [spec.plugin.clone(), format!("{}-test", spec.plugin)]
            .into_iter()
            .find(|name| catalogue::find(&entries, Kind::Dataset, name).is_ok())?;
        match fetched(Ok(entries), Kind::Dataset, &name) {
            Ok(file) => Some(file),
            Err(e) => {
                let place = self.source().at(&path(table, &["plugin"]));
                self.problems.push(missing(&e).place(place));
                Some(PathBuf::from(name))
            }
        }
    }
}

/// What was fetched from the catalogue's address of that name, if it has one.
pub(crate) fn address_called(name: &str) -> Option<Result<PathBuf, FetchError>> {
    let named = catalogue::addresses().ok()?;
    let named = named.into_iter().find(|known| known.name == name)?;
    Some(named.address.local().map_err(|e| match e {
        // The name is shorter, and says the same.
        FetchError::AddressNotFetched { .. } => FetchError::AddressNotFetched {
            address: named.name,
        },
        other => other,
    }))
}

/// The file or folder of a model that is to be trained: `path`, or what was fetched under the name
/// `given`.
pub(crate) fn model(path: &Path, given: &str) -> Result<PathBuf, Diagnostic> {
    if path.exists() {
        return Ok(absolute(path.to_owned()));
    }
    let entries = catalogue::models();
    match &entries {
        Ok(known) if catalogue::find(known, Kind::Model, given).is_err() => {
            let problem = Diagnostic::error(format!("no folder, file or model `{given}`"));
            Err(problem.help("`tale model list` names the models that can be fetched"))
        }
        _ => fetched(entries, Kind::Model, given).map_err(|e| missing(&e)),
    }
}

fn fetched(
    entries: Result<Vec<Entry>, FetchError>,
    kind: Kind,
    name: &str,
) -> Result<PathBuf, FetchError> {
    let entries = entries?;
    let entry = catalogue::find(&entries, kind, name)?;
    let store = Store::open()?;
    store.present(entry).ok_or_else(|| FetchError::NotFetched {
        entry: Box::new(entry.clone()),
        status: store.status(entry),
    })
}

fn missing(e: &fetch::FetchError) -> Diagnostic {
    let diagnostic = Diagnostic::from_error(e);
    match e.hint() {
        Some(hint) => diagnostic.help(hint),
        None => diagnostic,
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
