//! Options that must never be shown, and texts made free of them.

use std::{
    borrow::Cow,
    sync::{PoisonError, RwLock},
};

use serde_json::Value;

use crate::messages::Error;

/// In a path: every element of an array, every member of a table.
const EACH: &str = "*";

/// A shorter text is no secret worth the name, and would be found in any other.
const SHORTEST: usize = 4;

/// What stands where a secret was.
const HIDDEN: &str = "[secret]";

/// Paths of the options that a schema marks `"secret": true`, through tables, arrays, choices and
/// references. `*` in a path stands for every element of an array or member of a table.
///
/// # Examples
/// ```
/// let schema = serde_json::json!({"properties": {
///     "keys": {"type": "array", "items": {"type": "string", "secret": true}}}});
/// assert_eq!(tale_api::host::secret_options(&schema), [["keys", "*"]]);
/// ```
#[must_use]
#[cfg_attr(
    not(feature = "host"),
    allow(dead_code, unreachable_pub, reason = "asked by the host only")
)]
pub fn secret_options(schema: &Value) -> Vec<Vec<String>> {
    let mut search = Search {
        root: schema,
        open: Vec::new(),
        found: Vec::new(),
    };
    search.visit(schema, &mut Vec::new());
    search.found
}

/// The paths in `value` that a path with `*` leads to. Where the value is of another kind than the
/// path needs, it leads to that value: whatever was meant, it may hold the secret.
#[must_use]
#[cfg_attr(
    not(feature = "host"),
    allow(dead_code, unreachable_pub, reason = "asked by the host only")
)]
pub fn secret_paths<S: AsRef<str>>(value: &Value, path: &[S]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    follow(value, path, &mut Vec::new(), &mut found);
    found
}

fn follow<S: AsRef<str>>(
    value: &Value,
    path: &[S],
    taken: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) {
    let [first, rest @ ..] = path else {
        found.push(taken.clone());
        return;
    };
    let first = first.as_ref();
    let mut step = |segment: &str, inner: &Value| {
        taken.push(segment.to_owned());
        follow(inner, rest, taken, found);
        taken.pop();
    };
    match value {
        Value::Null => {}
        Value::Object(table) if first == EACH => {
            table.iter().for_each(|(key, inner)| step(key, inner));
        }
        Value::Array(items) if first == EACH => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(i, inner)| step(&i.to_string(), inner));
        }
        Value::Object(table) => {
            if let Some(inner) = table.get(first) {
                step(first, inner);
            }
        }
        _ => found.push(taken.clone()),
    }
}

struct Search<'a> {
    root: &'a Value,
    /// Nodes being visited: a schema may refer to itself.
    open: Vec<&'a Value>,
    found: Vec<Vec<String>>,
}

impl<'a> Search<'a> {
    fn visit(&mut self, node: &'a Value, path: &mut Vec<String>) {
        if self.open.iter().any(|open| std::ptr::eq(*open, node)) {
            return;
        }
        self.open.push(node);
        if !path.is_empty() && node.get("secret") == Some(&Value::Bool(true)) {
            if !self.found.contains(path) {
                self.found.push(path.clone());
            }
        } else {
            self.visit_inner(node, path);
        }
        self.open.pop();
    }

    fn visit_inner(&mut self, node: &'a Value, path: &mut Vec<String>) {
        let reference = node
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|r| r.strip_prefix('#'));
        if let Some(target) = reference.and_then(|pointer| self.root.pointer(pointer)) {
            self.visit(target, path);
        }
        let list = |word: &str| node.get(word).and_then(Value::as_array);
        let branches = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(list);
        for branch in branches.flatten() {
            self.visit(branch, path);
        }
        for branch in ["if", "then", "else"]
            .into_iter()
            .filter_map(|w| node.get(w))
        {
            self.visit(branch, path);
        }
        let table = |word: &str| node.get(word).and_then(Value::as_object);
        for (name, property) in table("properties").into_iter().flatten() {
            path.push(name.clone());
            self.visit(property, path);
            path.pop();
        }
        path.push(EACH.to_owned());
        let inner = [
            "items",
            "contains",
            "additionalProperties",
            "unevaluatedItems",
        ];
        for element in inner.into_iter().filter_map(|word| node.get(word)) {
            self.visit(element, path);
        }
        for element in list("prefixItems").into_iter().flatten() {
            self.visit(element, path);
        }
        for (_, element) in table("patternProperties").into_iter().flatten() {
            self.visit(element, path);
        }
        path.pop();
    }
}

/// The secrets that a plugin was given. What comes back from it in words (errors, log records) is
/// made free of them, should it be so careless as to repeat one.
#[derive(Default)]
pub(crate) struct Secrets(RwLock<Vec<String>>);

impl Secrets {
    /// Remembers the secrets in `options`.
    #[cfg_attr(
        not(feature = "host"),
        allow(dead_code, reason = "asked by the host only")
    )]
    pub(crate) fn learn(&self, schema: &Value, options: &Value) {
        let patterns = secret_options(schema);
        let paths = patterns.iter().flat_map(|path| secret_paths(options, path));
        let mut texts = Vec::new();
        for path in paths {
            let inner = path.iter().try_fold(options, |value, segment| match value {
                Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
                value => value.get(segment),
            });
            if let Some(value) = inner {
                collect(value, &mut texts);
            }
        }
        if texts.is_empty() {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for text in texts {
            // As it stands in a JSON text, which is what log records are.
            let quoted = Value::from(text.as_str()).to_string();
            let escaped = quoted[1..quoted.len() - 1].to_owned();
            for form in [text, escaped] {
                if !known.contains(&form) {
                    known.push(form);
                }
            }
        }
        // One that contains another goes first.
        known.sort_by_key(|text| std::cmp::Reverse(text.len()));
    }

    pub(crate) fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut text = Cow::Borrowed(text);
        for secret in known.iter() {
            if text.contains(secret) {
                text = Cow::Owned(text.replace(secret, HIDDEN));
            }
        }
        text
    }

    pub(crate) fn hide_in(&self, error: &mut Error) {
        if self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
        {
            return;
        }
        let hide = |text: &mut String| *text = self.hide(text).into_owned();
        hide(&mut error.message);
        error.hint.iter_mut().for_each(hide);
        error.operation.iter_mut().for_each(hide);
        error.causes.iter_mut().for_each(hide);
        for (key, value) in &mut error.context {
            hide(key);
            hide(value);
        }
    }
}

/// The texts within a secret: itself, or those of a table or array that is one.
fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= SHORTEST => texts.push(text.clone()),
        Value::Number(number) if number.to_string().len() >= SHORTEST => {
            texts.push(number.to_string());
        }
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, texts)),
        Value::Object(table) => table.values().for_each(|inner| collect(inner, texts)),
        _ => {}
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "properties": {
                "key": {"type": "string", "secret": true},
                "servers": {"type": "array", "items": {"$ref": "#/$defs/Server"}},
                "headers": {"type": "object", "additionalProperties": {"secret": true}},
                "pair": {"prefixItems": [{"type": "string"}, {"type": "string", "secret": true}]},
            },
            "$defs": {"Server": {"properties": {
                "url": {"type": "string"},
                "login": {"anyOf": [{"properties": {"pass": {"secret": true}}}, {"type": "null"}]},
                "next": {"$ref": "#/$defs/Server"},
            }}},
        })
    }

    #[test]
    fn secrets_are_found_in_tables_arrays_choices_and_references() {
        let found = secret_options(&schema());
        let expected: [&[&str]; 4] = [
            &["key"],
            &["servers", "*", "login", "pass"],
            &["headers", "*"],
            &["pair", "*"],
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for path in expected {
            assert!(found.iter().any(|f| f == path), "{path:?} in {found:?}");
        }
    }

    #[test]
    fn a_value_of_another_kind_than_the_path_needs_is_taken_for_the_secret() {
        let path = ["servers", "*", "key"];
        let check = |value: Value, expected: &[&[&str]]| {
            assert_eq!(secret_paths(&value, &path), expected, "{value}");
        };
        check(
            json!({"servers": [{"key": "a"}, {"url": "b"}, {"key": "c"}]}),
            &[&["servers", "0", "key"], &["servers", "2", "key"]],
        );
        check(json!({"servers": "a"}), &[&["servers"]]);
        check(json!({"servers": ["a"]}), &[&["servers", "0"]]);
        check(json!({"servers": null}), &[]);
        check(json!({}), &[]);
    }

    #[test]
    fn words_of_a_plugin_are_made_free_of_what_it_was_given() {
        let secrets = Secrets::default();
        let options = json!({"key": "sk-\"one\"", "servers": [{"login": {"pass": 12345}}], "pair": ["u", "sk-"]});
        secrets.learn(&schema(), &options);
        assert_eq!(
            secrets.hide("key sk-\"one\" and sk-\\\"one\\\", 12345"),
            "key [secret] and [secret], [secret]"
        );
        // Too short to be hidden without hiding half of every sentence.
        assert_eq!(secrets.hide("u sk-"), "u sk-");
    }
}
