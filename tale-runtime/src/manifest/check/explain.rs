//! One error of the validator in the words of the manifest.

use jsonschema::{ValidationError, error::ValidationErrorKind as Kind};
use serde_json::Value;

use super::{
    Fix, Subject,
    mend::{expected_types, first_sentence, known_values, mend_type},
};
use crate::diagnostics::{Diagnostic, nearest};
use crate::manifest::{
    source::{child, segments},
    words::{self, kind_named, kind_of, list},
};

/// An explained fault.
pub(super) struct Finding {
    /// What to say; nothing where it was said before.
    pub(super) diagnostic: Option<Diagnostic>,
    /// How the rest can be understood without it, if it can.
    pub(super) fix: Option<Fix>,
    /// Table and key, where the fault is that the key is missing.
    pub(super) missing: Option<(String, String)>,
}

impl Finding {
    /// A fault of the value at `path`.
    fn of_value(path: &str, diagnostic: Option<Diagnostic>) -> Self {
        Self {
            diagnostic,
            fix: Fix::leave_out(path),
            missing: None,
        }
    }
}

impl Subject<'_> {
    /// Adds what `error` means to `out`.
    pub(super) fn explain(&self, error: &ValidationError<'_>, out: &mut Vec<Finding>) {
        let path = error.instance_path().as_str();
        let schema_path = error.schema_path().as_str();
        let value = error.instance().as_ref();
        let node = self.schema_at(schema_path, 1);
        if value.is_null() {
            // What JSON cannot say (a date, an infinity); `tree` has complained of it.
            out.push(Finding::of_value(path, None));
            return;
        }
        match error.kind() {
            Kind::AdditionalProperties { unexpected }
            | Kind::UnevaluatedProperties { unexpected } => {
                let is_table = |key: &String| value.get(key).is_some_and(Value::is_object);
                let unknown = |key: &String| self.unknown_key(path, key, is_table(key), node);
                out.extend(unexpected.iter().map(unknown));
                return;
            }
            // How the validator says it where a table takes no keys at all: once, at the table.
            Kind::FalseSchema if schema_path.ends_with("/additionalProperties") => {
                let table = self.instance.pointer(path).and_then(Value::as_object);
                let entries = table.into_iter().flatten();
                out.extend(
                    entries.map(|(key, v)| self.unknown_key(path, key, v.is_object(), node)),
                );
                return;
            }
            Kind::Required { property } => {
                if let Some(key) = property.as_str() {
                    out.push(self.missing_key(path, key, node));
                }
                return;
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                self.no_branch(error, context, out);
                return;
            }
            _ => {}
        }
        let diagnostic = match error.kind() {
            Kind::Type { kind } => self.wrong_type(path, value, &expected_types(kind)),
            Kind::Enum { options } => {
                let known = options.as_array().cloned().unwrap_or_default();
                self.unknown_value(path, value, &known)
            }
            Kind::Constant { expected_value } => {
                self.unknown_value(path, value, &[expected_value.as_ref().clone()])
            }
            Kind::Pattern { pattern } => self.wrong_form(path, value, pattern, node),
            Kind::UniqueItems => self.repeated(path, value),
            kind => self.out_of_bounds(path, value, kind, error),
        };
        out.push(Finding::of_value(path, Some(diagnostic)));
    }

    fn unknown_key(&self, path: &str, key: &str, is_table: bool, node: Option<&Value>) -> Finding {
        let at = child(path, key);
        let node = node.and_then(|n| self.properties(n));
        let known: Vec<&str> = node
            .iter()
            .flat_map(|p| p.keys())
            .map(String::as_str)
            .collect();
        let near = nearest(key, known.iter().copied());
        let within = self.within(path);
        let message = match &self.options {
            Some(o) if o.is_lifted(&at) => format!("{} takes no `{key}`", o.owner),
            Some(o) if path.is_empty() => format!("{} has no option `{key}`", o.owner),
            Some(o) => format!("{} has no option `{key}` {within}", o.owner),
            None if path.is_empty() && is_table => format!("unknown table `[{key}]`"),
            None => format!("unknown key `{key}` {within}"),
        };
        let mut diagnostic = Diagnostic::at(self.key_place(&at), message);
        diagnostic.help = match near {
            Some(near) => vec![format!("did you mean `{near}`?")],
            None => self.where_instead(path, key, &known),
        };
        let fix = Some(Fix::unknown(path, key, near));
        Finding {
            diagnostic: Some(diagnostic),
            fix,
            missing: None,
        }
    }

    /// What to say of an unknown key that resembles none of its table.
    fn where_instead(&self, path: &str, key: &str, known: &[&str]) -> Vec<String> {
        let mut help = Vec::new();
        if self.options.is_some() {
            if known.is_empty() {
                return vec!["it takes no options".into()];
            }
            return vec![format!("it takes {}", list(known, "and"))];
        }
        if let Some(home) = self.home_of(key) {
            help.push(format!("`{key}` belongs {home}"));
            return help;
        }
        if known.is_empty() {
            return help;
        }
        let table = words::table(&segments(path));
        let taker = table.clone().unwrap_or_else(|| "the top level".to_owned());
        let keys: Vec<_> = known.iter().copied().filter(|k| *k != "options").collect();
        help.push(format!("{taker} takes {}", list(&keys, "and")));
        if let (true, Some(table)) = (known.contains(&"options"), table) {
            let options = format!("`[{}.options]`", table.trim_matches(['`', '[', ']']));
            help.push(format!("options of the plugin itself go in {options}"));
        }
        help
    }

    /// The table of the manifest that has `key`, for instance "in `[estimator]`".
    fn home_of(&self, key: &str) -> Option<String> {
        let top = self.properties(self.schema)?;
        if top.contains_key(key) {
            let table = top
                .get(key)
                .and_then(|node| self.properties(node))
                .is_some();
            return Some(if table {
                format!("at the top level, as `[{key}]`")
            } else {
                "at the top level, above the first table".into()
            });
        }
        let has = |node| self.properties(node).is_some_and(|p| p.contains_key(key));
        let homes: Vec<_> = top
            .iter()
            .filter(|(_, node)| has(node))
            .map(|(n, _)| format!("`[{n}]`"))
            .collect();
        (!homes.is_empty()).then(|| format!("in {}", words::join(&homes, "or")))
    }

    fn missing_key(&self, path: &str, key: &str, node: Option<&Value>) -> Finding {
        let property = node
            .and_then(|n| self.properties(n))
            .and_then(|p| p.get(key));
        let is_table = property.is_some_and(|p| self.properties(p).is_some());
        let within = self.within(path);
        let message = match &self.options {
            Some(o) if path.is_empty() => format!("{} needs option `{key}`", o.owner),
            None if is_table && path.is_empty() => format!("missing table `[{key}]`"),
            _ => format!("missing key `{key}` {within}"),
        };
        let place = match &self.options {
            // The table of options may not be written at all, or by some `--set`.
            Some(o) if path.is_empty() => self.source.place_at(&o.table),
            _ => self.value_place(path),
        };
        let mut diagnostic = Diagnostic::at(place, message);
        let meaning = property
            .and_then(|p| p.get("description"))
            .and_then(Value::as_str);
        diagnostic
            .help
            .extend(meaning.map(|text| format!("`{key}`: {}", first_sentence(text))));
        let missing = Some((path.to_owned(), key.to_owned()));
        Finding {
            diagnostic: Some(diagnostic),
            fix: None,
            missing,
        }
    }

    fn wrong_type(&self, path: &str, value: &Value, expected: &[&str]) -> Diagnostic {
        let kinds: Vec<_> = expected.iter().map(|name| kind_named(name)).collect();
        let kinds = words::join(&kinds, "or");
        let name = self.name(path);
        let message = format!(
            "wrong type for {name}: expected {kinds}, found {}",
            kind_of(value)
        );
        let mut diagnostic = Diagnostic::at(self.value_place(path), message);
        if !self.is_secret(path) {
            diagnostic.help.extend(mend_type(path, value, expected));
        }
        diagnostic
    }

    fn unknown_value(&self, path: &str, value: &Value, known: &[Value]) -> Diagnostic {
        let name = self.name(path);
        let shown = self.shown(path, value);
        let message = match shown {
            Some(shown) => format!("unknown value {shown} for {name}"),
            None => format!("unknown value for {name}"),
        };
        let diagnostic = Diagnostic::at(self.value_place(path), message);
        let names: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
        let near = value
            .as_str()
            .and_then(|text| nearest(text, names.iter().copied()));
        let help = near.map(|near| format!("did you mean `{near}`?"));
        match help.or_else(|| known_values(known)) {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }

    fn wrong_form(
        &self,
        path: &str,
        value: &Value,
        pattern: &str,
        node: Option<&Value>,
    ) -> Diagnostic {
        let name = self.name(path);
        let message = match self.shown(path, value) {
            _ if value == "" => format!("{name} is empty"),
            Some(shown) => format!("{shown} does not fit {name}"),
            None => format!("the value does not fit {name}"),
        };
        let mut diagnostic = Diagnostic::at(self.value_place(path), message);
        let examples = node
            .and_then(|n| n.get("examples"))
            .and_then(Value::as_array);
        let examples = examples.into_iter().flatten().filter_map(Value::as_str);
        let near = value.as_str().and_then(|text| nearest(text, examples));
        diagnostic
            .help
            .extend(near.map(|near| format!("did you mean `{near}`?")));
        let form = node.and_then(|n| n.get("x-form")).and_then(Value::as_str);
        diagnostic.help.push(match form {
            Some(form) => format!("expected {form}"),
            None => format!("it must match the regular expression `{pattern}`"),
        });
        diagnostic
    }

    fn repeated(&self, path: &str, value: &Value) -> Diagnostic {
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        let again = (1..items.len())
            .find(|i| items[..*i].contains(&items[*i]))
            .unwrap_or(0);
        let at = child(path, &again.to_string());
        let name = self.name(path);
        let message = match items.get(again).and_then(|item| self.shown(path, item)) {
            Some(shown) => format!("{shown} stands twice in {name}"),
            None => format!("an element stands twice in {name}"),
        };
        Diagnostic::at(self.value_place(&at), message).help("name each once")
    }

    fn out_of_bounds(
        &self,
        path: &str,
        value: &Value,
        kind: &Kind,
        error: &ValidationError<'_>,
    ) -> Diagnostic {
        let name = self.name(path);
        let not = self
            .shown(path, value)
            .map_or(String::new(), |shown| format!(", not {shown}"));
        let message = match kind {
            Kind::Minimum { limit } => format!("{name} must be at least {limit}{not}"),
            Kind::Maximum { limit } => format!("{name} must be at most {limit}{not}"),
            Kind::ExclusiveMinimum { limit } => format!("{name} must be above {limit}{not}"),
            Kind::ExclusiveMaximum { limit } => format!("{name} must be below {limit}{not}"),
            Kind::MultipleOf { multiple_of } => {
                format!("{name} must be a multiple of {multiple_of}{not}")
            }
            Kind::MinLength { limit: 1 }
            | Kind::MinItems { limit: 1 }
            | Kind::MinProperties { limit: 1 } => {
                format!("{name} is empty")
            }
            Kind::MinLength { limit } => format!("{name} must have at least {limit} characters"),
            Kind::MaxLength { limit } => format!("{name} must have at most {limit} characters"),
            Kind::MinItems { limit } => format!("{name} must have at least {limit} elements"),
            Kind::MaxItems { limit } => format!("{name} must have at most {limit} elements"),
            Kind::OneOfMultipleValid { .. } => format!("{name} can be read in more than one way"),
            _ => format!("{name} is wrong: {}", error.masked_with("the value")),
        };
        Diagnostic::at(self.value_place(path), message)
    }

    /// A value that fits none of several schemas: explained by the one it was meant for.
    fn no_branch(
        &self,
        error: &ValidationError<'_>,
        context: &[Vec<ValidationError<'static>>],
        out: &mut Vec<Finding>,
    ) {
        let path = error.instance_path().as_str();
        let value = error.instance().as_ref();
        let here = |e: &&ValidationError<'_>| e.instance_path().as_str() == path;
        let mut types = Vec::new();
        let mut values = Vec::new();
        let mut meant: Vec<&Vec<ValidationError<'static>>> = Vec::new();
        for branch in context {
            let mut fits = true;
            for e in branch.iter().filter(here) {
                match e.kind() {
                    Kind::Type { kind } => {
                        types.extend(expected_types(kind));
                        fits = false;
                    }
                    Kind::Constant { expected_value } => {
                        values.push(expected_value.as_ref().clone());
                    }
                    Kind::Enum { options } => {
                        values.extend(options.as_array().cloned().unwrap_or_default());
                    }
                    _ => {}
                }
            }
            if fits {
                meant.push(branch);
            }
        }
        let is_value = |branch: &&&Vec<ValidationError<'static>>| {
            let mut here = branch.iter().filter(here);
            here.any(|e| matches!(e.kind(), Kind::Constant { .. } | Kind::Enum { .. }))
        };
        let of_values = meant.iter().filter(is_value).count();
        if meant.is_empty() {
            let mut seen = Vec::new();
            types.retain(|t| {
                !seen.contains(t) && {
                    seen.push(*t);
                    true
                }
            });
            let mut diagnostic = self.wrong_type(path, value, &types);
            if let Some(known) = known_values(&values) {
                let more = if types.contains(&"object") {
                    ", or a table"
                } else {
                    ""
                };
                diagnostic.help = vec![format!("{known}{more}")];
            }
            out.push(Finding::of_value(path, Some(diagnostic)));
        } else if of_values == meant.len() {
            let diagnostic = self.unknown_value(path, value, &values);
            out.push(Finding::of_value(path, Some(diagnostic)));
        } else if let Some(branch) = meant.into_iter().min_by_key(|branch| branch.len()) {
            for e in branch {
                self.explain(e, out);
            }
        }
    }

    /// `concurrency`, or `plugin` in `[llm]`: what a message calls the value at `path`.
    fn name(&self, path: &str) -> String {
        if let Some(options) = &self.options {
            let option = segments(path).join(".");
            return format!("option `{option}` of {}", options.owner);
        }
        let path = segments(path);
        let key = words::key(&path);
        if key.is_empty() {
            return "the manifest".into();
        }
        let mut table = path;
        while table.pop().is_some_and(|s| s.parse::<usize>().is_ok()) {}
        match words::table(&table) {
            Some(table) => format!("`{key}` in {table}"),
            None => format!("`{key}`"),
        }
    }

    /// The value, if it may be shown and is short.
    fn shown(&self, path: &str, value: &Value) -> Option<String> {
        let key = segments(path).pop().unwrap_or_default();
        if self.is_secret(path) || words::is_secret_name(&key) {
            None
        } else {
            words::short(value)
        }
    }
}
