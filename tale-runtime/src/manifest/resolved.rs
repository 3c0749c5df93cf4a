//! The manifest as it was understood, for the run directory.

use serde_json::{Map, Value};

use super::{
    Manifest,
    source::{child, written_paths},
};

impl Manifest {
    /// The whole manifest as TOML, defaults filled in, without what stands at `secrets`
    /// (for instance `["llm", "0", "options", "api_key"]`; see
    /// [`secret_options`](super::secret_options)).
    ///
    /// Reading it gives the same manifest again, secrets aside.
    ///
    /// # Panics
    /// On a manifest that was not read from TOML and holds what TOML cannot, such as a seed above
    /// 2^63 − 1.
    #[must_use]
    pub fn resolved_toml<S: AsRef<str>>(&self, secrets: &[Vec<S>]) -> String {
        let value = self.resolved(secrets);
        toml_edit::ser::to_string_pretty(&value).expect("what came from TOML goes back into it")
    }

    /// The same as a JSON value, for instance to compare two manifests by [`differences`].
    ///
    /// # Panics
    /// As [`Manifest::resolved_toml`].
    #[must_use]
    pub fn resolved<S: AsRef<str>>(&self, secrets: &[Vec<S>]) -> Value {
        let mut value = serde_json::to_value(self).expect("a manifest is plain data");
        for secret in secrets {
            without_secret(&mut value, secret);
        }
        without_null(&mut value);
        value
    }
}

/// Takes out what stands at `path`, in which `*` is every element or member. An element leaves null
/// behind, so that the others keep their places.
pub fn without_secret<S: AsRef<str>>(value: &mut Value, path: &[S]) {
    for path in written_paths(value, path) {
        remove(value, &path);
    }
}

fn remove(value: &mut Value, path: &[String]) {
    let [first, rest @ ..] = path else {
        *value = Value::Null;
        return;
    };
    match value {
        Value::Object(table) if rest.is_empty() => {
            table.shift_remove(first);
        }
        Value::Object(table) => {
            if let Some(inner) = table.get_mut(first) {
                remove(inner, rest);
            }
        }
        Value::Array(items) => {
            let item = first.parse().ok().and_then(|i: usize| items.get_mut(i));
            if let Some(item) = item {
                remove(item, rest);
            }
        }
        _ => {}
    }
}

/// TOML has no null; what is absent is left out.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(table) => {
            table.retain(|_, inner| !inner.is_null());
            table.values_mut().for_each(without_null);
        }
        Value::Array(items) => {
            items.retain(|inner| !inner.is_null());
            items.iter_mut().for_each(without_null);
        }
        _ => {}
    }
}

/// A key whose value is not the same in two manifests.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The key with dots, for instance `llm.temperature`.
    pub key: String,
    /// The value before; absent: the key is new.
    pub before: Option<Value>,
    /// The value after; absent: the key is gone.
    pub after: Option<Value>,
}

/// The innermost keys that differ between two resolved manifests ([`Manifest::resolved`]).
#[must_use]
pub fn differences(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", Some(before), Some(after), &mut changes);
    changes
}

fn compare(pointer: &str, before: Option<&Value>, after: Option<&Value>, out: &mut Vec<Change>) {
    if before == after {
        return;
    }
    let none = Map::new();
    match (before, after) {
        (Some(Value::Object(b)), Some(Value::Object(a))) => tables(pointer, b, a, out),
        (None, Some(Value::Object(a))) if !a.is_empty() => tables(pointer, &none, a, out),
        (Some(Value::Object(b)), None) if !b.is_empty() => tables(pointer, b, &none, out),
        (Some(Value::Array(b)), Some(Value::Array(a)))
            if b.iter().chain(a).all(Value::is_object) =>
        {
            for i in 0..b.len().max(a.len()) {
                compare(&child(pointer, &i.to_string()), b.get(i), a.get(i), out);
            }
        }
        _ => out.push(Change {
            key: super::source::segments(pointer).join("."),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

fn tables(
    pointer: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    out: &mut Vec<Change>,
) {
    for (key, value) in before {
        compare(&child(pointer, key), Some(value), after.get(key), out);
    }
    for (key, value) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
        compare(&child(pointer, key), None, Some(value), out);
    }
}
