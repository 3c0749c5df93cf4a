//! How things of a manifest are called in errors.

use serde_json::Value;

/// `a`, `b` and `c`, each in backticks.
pub(super) fn list<S: AsRef<str>>(names: &[S], last: &str) -> String {
    let quoted: Vec<_> = names.iter().map(|n| format!("`{}`", n.as_ref())).collect();
    join(&quoted, last)
}

/// `a, b and c`, as they are.
pub(super) fn join<S: AsRef<str>>(parts: &[S], last: &str) -> String {
    match parts {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [init @ .., end] => {
            let init: Vec<_> = init.iter().map(AsRef::as_ref).collect();
            format!("{} {last} {}", init.join(", "), end.as_ref())
        }
    }
}

/// What kind of value it is, with its article.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a float",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "a table",
    }
}

/// The same for a type's name in JSON Schema.
pub(super) fn kind_named(name: &str) -> &'static str {
    match name {
        "boolean" => "a boolean",
        "integer" => "an integer",
        "number" => "a number",
        "string" => "a string",
        "array" => "an array",
        "object" => "a table",
        _ => "nothing",
    }
}

/// The table at `segments`, as its header is written: `[llm.options]`, or `[[llm]]` for an element of
/// an array; `None` at the top.
pub(super) fn table(segments: &[String]) -> Option<String> {
    let is_number = |s: &String| s.parse::<usize>().is_ok();
    let names: Vec<_> = segments
        .iter()
        .filter(|s| !is_number(s))
        .map(String::as_str)
        .collect();
    let is_element = is_number(segments.last()?);
    let names = names.join(".");
    Some(if is_element {
        format!("`[[{names}]]`")
    } else {
        format!("`[{names}]`")
    })
}

/// The last key of `segments`, with the numbers behind it: `stop[0]`.
pub(super) fn key(segments: &[String]) -> String {
    let is_number = |s: &&String| s.parse::<usize>().is_ok();
    let numbers = segments.iter().rev().take_while(is_number).count();
    let split = segments.len() - numbers;
    let mut name = split
        .checked_sub(1)
        .map_or(String::new(), |i| segments[i].clone());
    for number in &segments[split..] {
        name.push('[');
        name.push_str(number);
        name.push(']');
    }
    name
}

/// A value short enough to be named in a sentence, in backticks.
pub(super) fn short(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return None,
    };
    let plain = !text.contains(['`', '\n', '\r']) && text.chars().count() <= 60;
    (plain && !text.is_empty()).then(|| format!("`{text}`"))
}

/// Whether a key of this name holds a secret, as far as a name can tell: `api_key`, but neither
/// `api_key_env`, which names a variable, nor `max_tokens`.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase().replace('-', "_");
    let tail = |word: &str| name == word || name.ends_with(&format!("_{word}"));
    name.contains("api_key") && !name.ends_with("_env") && !name.ends_with("_file")
        || [
            "apikey",
            "token",
            "secret",
            "password",
            "passwd",
            "authorization",
            "secret_key",
        ]
        .into_iter()
        .any(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_told_from_names_of_variables() {
        for name in [
            "api_key",
            "API-KEY",
            "openai_api_key",
            "password",
            "hub_token",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "api_key_env",
            "api_key_file",
            "max_tokens",
            "question_key",
            "tokenizer",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn keys_and_tables_are_written_as_in_toml() {
        let path = |p: &[&str]| p.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(key(&path(&["llm", "1", "stop", "0"])), "stop[0]");
        assert_eq!(table(&path(&["llm", "1"])).unwrap(), "`[[llm]]`");
        assert_eq!(
            table(&path(&["llm", "1", "options"])).unwrap(),
            "`[llm.options]`"
        );
        assert_eq!(table(&[]), None);
    }
}
