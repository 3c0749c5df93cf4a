//! A value against a JSON Schema, every fault explained where it stands.
//!
//! The same code holds a manifest against the manifest's schema and a plugin's options against the
//! plugin's: `Subject` says which.

mod explain;
mod mend;
mod repair;

use std::sync::{Arc, OnceLock};

use jsonschema::Validator;
use serde_json::{Map, Value};
use tale_api::host::{secret_options, secret_paths};

use self::{explain::Finding, repair::Fix};
use super::{
    Manifest, schema,
    source::{Source, Spot, pointer_of, segments},
    words,
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
    let mut left_out = Vec::new();
    for _ in 0..PASSES {
        let mut findings = Subject::manifest(source).findings(validator);
        let all = findings.len();
        findings.retain(|f| {
            f.missing
                .as_ref()
                .is_none_or(|missing| !left_out.contains(missing))
        });
        if findings.len() < all {
            // What is missing was there, but wrong; that has been said.
            problems.extend(findings.into_iter().filter_map(|f| f.diagnostic));
            return None;
        }
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
        problems.extend(diagnostics.into_iter().flatten());
        let fixes: Option<Vec<Fix>> = fixes.into_iter().collect();
        let fixes = fixes?;
        left_out.extend(fixes.iter().filter_map(Fix::leaves_out));
        for fix in fixes {
            fix.apply(source);
        }
    }
    None
}

impl Source {
    /// Holds the options of a plugin's component against the schema that it exports.
    ///
    /// `table` is where the component is named, for instance `["llm", "0"]`; `instance` its options
    /// together with `lifted` keys, which the plugin takes as options but which stand in the table
    /// itself (`model`, `path`). `owner` is what messages call the component, for instance
    /// "llm `llama-cpp`". A fault is shown where the option stands, `--set` included. Values that
    /// the schema marks `"secret": true` are never shown.
    #[must_use]
    pub fn check_options<S: AsRef<str>>(
        &self,
        table: &[S],
        lifted: &[&str],
        owner: &str,
        schema: &Value,
        instance: &Value,
    ) -> Vec<Diagnostic> {
        let mut schema = schema.clone();
        schema::bound_integers(&mut schema);
        let validator = match jsonschema::validator_for(&schema) {
            Ok(validator) => validator,
            Err(e) => {
                let message = format!("{owner} has a broken schema of its options");
                let problem = Diagnostic::at(self.at(table), message).cause(e.to_string());
                return vec![problem.help("this is a fault of the plugin; tell its author")];
            }
        };
        let subject =
            Subject::options(self, &self.pointer(table), lifted, owner, &schema, instance);
        let findings = subject.findings(&validator);
        let mut diagnostics = Diagnostics(
            findings
                .into_iter()
                .filter_map(|finding| finding.diagnostic)
                .collect(),
        );
        diagnostics.sort();
        diagnostics.0
    }
}

/// What is checked, and how to find it in the text.
struct Subject<'a> {
    source: &'a Source,
    schema: &'a Value,
    instance: &'a Value,
    /// What is added in front of an instance path to make it a pointer into the manifest.
    root: String,
    /// The component whose options these are.
    options: Option<Options<'a>>,
    /// Instance paths of secrets.
    secrets: Vec<String>,
    /// The texts with these secrets hidden.
    texts: Vec<Arc<Text>>,
}

/// The options of one component.
struct Options<'a> {
    /// What messages call the component.
    owner: &'a str,
    /// The pointer of its table, within which `lifted` options stand.
    table: String,
    lifted: &'a [&'a str],
}

impl<'a> Subject<'a> {
    fn manifest(source: &'a Source) -> Self {
        Self {
            source,
            schema: schema::cached(),
            instance: &source.value,
            root: String::new(),
            options: None,
            secrets: Vec::new(),
            texts: source.texts.clone(),
        }
    }

    fn options(
        source: &'a Source,
        table: &str,
        lifted: &'a [&'a str],
        owner: &'a str,
        schema: &'a Value,
        instance: &'a Value,
    ) -> Self {
        let patterns = secret_options(schema);
        let paths = patterns
            .iter()
            .flat_map(|path| secret_paths(instance, path));
        let secrets = paths.map(|path: Vec<String>| pointer_of(&path)).collect();
        let mut subject = Self {
            source,
            schema,
            instance,
            root: format!("{table}/options"),
            options: Some(Options {
                owner,
                table: table.to_owned(),
                lifted,
            }),
            secrets,
            texts: Vec::new(),
        };
        // A key that the schema does not know may be a secret's, misspelt.
        if !patterns.is_empty()
            && let Some(known) = subject.properties(schema)
        {
            let written = instance.as_object().into_iter().flat_map(Map::keys);
            let unknown =
                written.filter(|key| !known.contains_key(*key) && !lifted.contains(&key.as_str()));
            subject
                .secrets
                .extend(unknown.map(|key| pointer_of(&[key])));
        }
        let mut hiding = source.clone();
        subject
            .secrets
            .iter()
            .for_each(|path| hiding.hide_at(&subject.pointer(path)));
        subject.texts = hiding.texts;
        subject
    }

    /// Where the value at an instance path stands, if it is written.
    fn pointer(&self, path: &str) -> String {
        let root = match &self.options {
            Some(options) if options.is_lifted(path) => &options.table,
            _ => &self.root,
        };
        format!("{root}{path}")
    }

    fn findings(&self, validator: &Validator) -> Vec<Finding> {
        let mut findings = Vec::new();
        for error in validator.iter_errors(self.instance) {
            self.explain(&error, &mut findings);
        }
        repair::settle(&mut findings);
        findings
    }

    /// Whether the value at `path`, or one around it, is a secret.
    fn is_secret(&self, path: &str) -> bool {
        self.secrets.iter().any(|secret| {
            path.strip_prefix(secret.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Where an instance path is written, or the innermost thing around it.
    fn spot(&self, path: &str) -> Option<&'a Spot> {
        let mut pointer = self.pointer(path);
        loop {
            if let Some(spot) = self.source.spots.get(&pointer) {
                return Some(spot);
            }
            pointer.truncate(pointer.rfind('/')?);
        }
    }

    fn value_place(&self, path: &str) -> Place {
        match self.spot(path) {
            Some(spot) => Place::span(Arc::clone(&self.texts[spot.text]), spot.value.clone()),
            None => Place::span(Arc::clone(&self.texts[0]), 0..0),
        }
    }

    fn key_place(&self, path: &str) -> Place {
        match self.spot(path) {
            Some(spot) => Place::span(Arc::clone(&self.texts[spot.text]), spot.key.clone()),
            None => Place::span(Arc::clone(&self.texts[0]), 0..0),
        }
    }

    /// "in `[llm]`", for the table at an instance path.
    fn within(&self, path: &str) -> String {
        let segments = segments(&self.pointer(path));
        match words::table(&segments) {
            Some(table) => format!("in {table}"),
            None => "at the top level".to_owned(),
        }
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

impl Options<'_> {
    /// Whether an instance path leads into an option that stands in the component's own table.
    fn is_lifted(&self, path: &str) -> bool {
        let first = path.split('/').nth(1).unwrap_or_default();
        self.lifted.contains(&first)
    }
}
