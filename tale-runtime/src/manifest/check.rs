//! A value against a JSON Schema, every fault explained where it stands.
//!
//! The same code holds a manifest against the manifest's schema and a plugin's options against the
//! plugin's: `Subject` says which.

mod explain;
mod repair;

use std::sync::{Arc, OnceLock};

use jsonschema::Validator;
use serde_json::{Map, Value};

use self::{explain::Finding, repair::Fix};
use super::{
    Manifest,
    schema::{self, secret_options},
    source::{Source, Spot, push, segments},
};
use crate::diagnostics::{Diagnostic, Diagnostics, Place, Text};

/// How often repaired manifests are looked at again. A repair can bring one more fault to light (the
/// value of a misspelt key), hardly two.
const PASSES: usize = 3;

/// Checks the whole manifest. What is wrong is added to `problems`; where faults can be left out
/// without changing what the rest means, the rest is given nevertheless, and `source` follows.
pub(super) fn manifest(source: &mut Source, problems: &mut Diagnostics) -> Option<Manifest> {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    let validator = VALIDATOR.get_or_init(|| {
        jsonschema::validator_for(schema::cached()).expect("the manifest's own schema is a schema")
    });
    for _ in 0..PASSES {
        let findings = Subject::manifest(source).findings(validator, &source.value);
        if findings.is_empty() {
            return match serde_json::from_value(source.value.clone()) {
                Ok(manifest) => Some(manifest),
                Err(e) => {
                    // Not known to happen: the schema says all that the types do.
                    problems.push(Diagnostic::at(source.whole(), e.to_string()));
                    None
                }
            };
        }
        let (diagnostics, fixes): (Vec<_>, Vec<_>) =
            findings.into_iter().map(|f| (f.diagnostic, f.fix)).unzip();
        problems.extend(diagnostics);
        let fixes: Option<Vec<Fix>> = fixes.into_iter().collect();
        fixes?.into_iter().for_each(|fix| fix.apply(source));
    }
    None
}

impl Source {
    /// Holds the options of a plugin's component against the schema that it exports.
    ///
    /// `path` is the component's table, for instance `["llm", "0"]`; `instance` its options with
    /// whatever keys of that table the plugin takes as options too (`model`, `path`). A fault is
    /// shown where the option stands: in `options`, in the table itself, or in a `--set`. Values that
    /// the schema marks `"secret": true` are never shown.
    #[must_use]
    pub fn check_options<S: AsRef<str>>(
        &self,
        path: &[S],
        plugin: &str,
        schema: &Value,
        instance: &Value,
    ) -> Vec<Diagnostic> {
        let mut schema = schema.clone();
        schema::bound_integers(&mut schema);
        let validator = match jsonschema::validator_for(&schema) {
            Ok(validator) => validator,
            Err(e) => {
                let message = format!("plugin `{plugin}` has a broken schema of its options");
                let problem = Diagnostic::at(self.at(path), message).cause(e.to_string());
                return vec![problem.help("this is a fault of the plugin; tell its author")];
            }
        };
        let subject = Subject::options(self, &self.pointer(path), plugin, &schema);
        let findings = subject.findings(&validator, instance);
        let mut diagnostics =
            Diagnostics(findings.into_iter().map(|finding| finding.diagnostic).collect());
        diagnostics.sort();
        diagnostics.0
    }
}

/// What is checked, and how to find it in the text.
struct Subject<'a> {
    source: &'a Source,
    schema: &'a Value,
    /// Where an instance path may stand, the likeliest first.
    roots: Vec<String>,
    /// The plugin whose options these are.
    plugin: Option<&'a str>,
    /// Instance paths of secrets.
    secrets: Vec<String>,
    /// The texts with these secrets hidden.
    texts: Vec<Arc<Text>>,
}

impl<'a> Subject<'a> {
    fn manifest(source: &'a Source) -> Self {
        Self {
            source,
            schema: schema::cached(),
            roots: vec![String::new()],
            plugin: None,
            secrets: Vec::new(),
            texts: source.texts.clone(),
        }
    }

    fn options(source: &'a Source, pointer: &str, plugin: &'a str, schema: &'a Value) -> Self {
        let roots = vec![format!("{pointer}/options"), pointer.to_owned()];
        let secrets: Vec<_> = secret_options(schema)
            .iter()
            .map(|path| {
                let mut pointer = String::new();
                path.iter().for_each(|segment| push(&mut pointer, segment));
                pointer
            })
            .collect();
        let mut hiding = source.clone();
        for root in &roots {
            secrets.iter().for_each(|secret| hiding.hide_at(&format!("{root}{secret}")));
        }
        Self { source, schema, roots, plugin: Some(plugin), secrets, texts: hiding.texts }
    }

    fn findings(&self, validator: &Validator, instance: &Value) -> Vec<Finding> {
        let mut findings = Vec::new();
        for error in validator.iter_errors(instance) {
            self.explain(&error, &mut findings);
        }
        repair::settle(&mut findings);
        findings
    }

    /// Whether the value at `path`, or one around it, is a secret.
    fn is_secret(&self, path: &str) -> bool {
        self.secrets.iter().any(|secret| {
            path.strip_prefix(secret.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// The full pointer and the spot of an instance path, or of the innermost thing around it.
    fn spot(&self, path: &str) -> (String, Option<&'a Spot>) {
        let mut path = path;
        loop {
            for root in &self.roots {
                let pointer = format!("{root}{path}");
                if let Some(spot) = self.source.spots.get(&pointer) {
                    return (pointer, Some(spot));
                }
            }
            let Some(cut) = path.rfind('/') else { return (self.roots[0].clone(), None) };
            path = &path[..cut];
        }
    }

    fn value_place(&self, path: &str) -> Place {
        match self.spot(path).1 {
            Some(spot) => Place::span(Arc::clone(&self.texts[spot.text]), spot.value.clone()),
            None => Place::span(Arc::clone(&self.texts[0]), 0..0),
        }
    }

    fn key_place(&self, path: &str) -> Place {
        match self.spot(path).1 {
            Some(spot) => Place::span(Arc::clone(&self.texts[spot.text]), spot.key.clone()),
            None => Place::span(Arc::clone(&self.texts[0]), 0..0),
        }
    }

    /// `in `[llm]``, for the table at an instance path.
    fn within(&self, path: &str) -> String {
        let segments = segments(&self.spot(path).0);
        match super::words::table(&segments, self.is_element(&segments)) {
            Some(table) => format!("in {table}"),
            None => "at the top level".to_owned(),
        }
    }

    fn is_element(&self, segments: &[String]) -> bool {
        segments.last().is_some_and(|s| s.parse::<usize>().is_ok())
    }

    /// The schema at a schema path of an error, less its last segments.
    fn schema_at(&self, path: &str, less: usize) -> Option<&'a Value> {
        let mut path = path;
        for _ in 0..less {
            path = &path[..path.rfind('/')?];
        }
        self.schema.pointer(path)
    }

    /// The properties of the table schema that `node` stands for, through references and choices.
    fn properties(&self, node: &'a Value) -> Option<&'a Map<String, Value>> {
        self.properties_within(node, 8)
    }

    fn properties_within(&self, node: &'a Value, depth: usize) -> Option<&'a Map<String, Value>> {
        let depth = depth.checked_sub(1)?;
        if let Some(properties) = node.get("properties").and_then(Value::as_object) {
            return Some(properties);
        }
        if let Some(reference) = node.get("$ref").and_then(Value::as_str) {
            let target = self.schema.pointer(reference.strip_prefix('#')?)?;
            return self.properties_within(target, depth);
        }
        let choices = ["anyOf", "oneOf", "allOf"].into_iter();
        choices
            .filter_map(|word| node.get(word).and_then(Value::as_array))
            .flatten()
            .find_map(|branch| self.properties_within(branch, depth))
    }
}
