//! Parts of messages that need no place: types that were wanted, values that are known, and how to
//! write what is there as it should be.

use jsonschema::{JsonType, error::TypeKind};
use serde_json::Value;

use crate::manifest::{source::segments, words};

/// Names of the types that JSON Schema wants; `null` cannot be written in TOML and is left out.
pub(super) fn expected_types(kind: &TypeKind) -> Vec<&'static str> {
    let types: Vec<JsonType> = match kind {
        TypeKind::Single(one) => vec![*one],
        TypeKind::Multiple(several) => several.iter().collect(),
    };
    let number = types.contains(&JsonType::Number);
    types
        .into_iter()
        .filter(|t| *t != JsonType::Null && !(number && *t == JsonType::Integer))
        .map(JsonType::as_str)
        .collect()
}

/// The values that are known, as a help.
pub(super) fn known_values(known: &[Value]) -> Option<String> {
    let known: Vec<_> = known.iter().filter_map(words::short).collect();
    match known.as_slice() {
        [] => None,
        [only] => Some(format!("the only value is {only}")),
        several => Some(format!("the values are {}", words::join(several, "and"))),
    }
}

/// How to write `value` in a type that is wanted.
pub(super) fn mend_type(path: &str, value: &Value, expected: &[&str]) -> Option<String> {
    let wants = |name| expected.contains(&name);
    let segments = segments(path);
    let is_element = segments.last().is_some_and(|s| s.parse::<usize>().is_ok());
    // An element has no key of its own to be written with.
    let written = |value: String| match words::key(&segments) {
        key if is_element || key.is_empty() => format!("`{value}`"),
        key => format!("`{key} = {value}`"),
    };
    match value {
        Value::String(text) => {
            let number = wants("integer") && text.parse::<i64>().is_ok()
                || wants("number") && text.parse::<f64>().is_ok_and(f64::is_finite);
            let boolean = wants("boolean") && matches!(text.as_str(), "true" | "false");
            if number || boolean {
                Some(format!(
                    "write it without quotes: {}",
                    written(text.clone())
                ))
            } else if wants("object") {
                let table = words::table(&segments)?;
                Some(format!(
                    "write it as a table: a line {table}, its keys beneath"
                ))
            } else if wants("array") {
                let shown = words::short(value)?;
                let array = written(format!("[\"{}\"]", shown.trim_matches('`')));
                Some(format!("write it as an array: {array}"))
            } else {
                None
            }
        }
        Value::Number(_) | Value::Bool(_) if wants("string") => Some(format!(
            "write it in quotes: {}",
            written(format!("\"{value}\""))
        )),
        Value::Number(n) if n.is_f64() && wants("integer") => Some("write a whole number".into()),
        _ => None,
    }
}

/// Up to the first full stop, without it, as a part of another sentence.
pub(super) fn first_sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = text
        .split(". ")
        .next()
        .unwrap_or_default()
        .trim_end_matches('.');
    let mut letters = sentence.chars();
    match (letters.next(), letters.clone().next()) {
        // Not of an abbreviation.
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => sentence.to_owned(),
    }
}
