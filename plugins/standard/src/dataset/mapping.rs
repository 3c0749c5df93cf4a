//! Fields of a record, named by dotted paths, and what their JSON means as text.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;
use tale_api::{Error, Result};

use super::broken;

/// A record's top level, its values still as written.
///
/// Values stay raw because a gold answer must not take the detour over `f64`, and because most of a
/// record is never looked at.
pub(super) struct Record<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Record<'a> {
    pub(super) fn parse(line: &'a str) -> Result<Self> {
        match serde_json::from_str::<BTreeMap<Key<'a>, &'a RawValue>>(line) {
            Ok(fields) => Ok(Self(fields.into_iter().map(|(k, v)| (k.0, v)).collect())),
            Err(e) => Err(json_error(&e)),
        }
    }

    /// The value at `path`: a field's whole name, or names and list positions (from 0) joined by dots.
    pub(super) fn get(&self, path: &str) -> Option<&'a RawValue> {
        if let Some(value) = self.0.get(path) {
            return Some(value);
        }
        let (first, rest) = path.split_once('.')?;
        rest.split('.')
            .try_fold(*self.0.get(first)?, |value, step| {
                match value.get().as_bytes().first()? {
                    b'{' => serde_json::from_str::<BTreeMap<Key<'_>, &RawValue>>(value.get())
                        .ok()?
                        .remove(step),
                    b'[' => serde_json::from_str::<Vec<&RawValue>>(value.get())
                        .ok()?
                        .get(step.parse::<usize>().ok()?)
                        .copied(),
                    _ => None,
                }
            })
    }

    /// Every field as a value, for templates.
    pub(super) fn as_json(&self) -> serde_json::Value {
        let value = |raw: &RawValue| serde_json::from_str(raw.get()).unwrap_or_default();
        self.0
            .iter()
            .map(|(name, raw)| (name.clone().into_owned(), value(raw)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// What fields there are, as a hint.
    pub(super) fn fields(&self) -> String {
        let there: Vec<&str> = self.0.keys().take(20).map(AsRef::as_ref).collect();
        format!(
            "there are `{}`; the options name the fields to read",
            there.join("`, `")
        )
    }

    /// The value at `path`, which must be there.
    pub(super) fn require(&self, path: &str) -> Result<&'a RawValue> {
        self.get(path)
            .ok_or_else(|| broken(format!("no field `{path}`")).hint(self.fields()))
    }
}

/// A field's name, borrowed where it holds no escape.
#[derive(serde::Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl std::borrow::Borrow<str> for Key<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A string, number or truth value as text; `None` for `null`.
pub(super) fn text(path: &str, value: &RawValue) -> Result<Option<String>> {
    let written = value.get();
    match written.as_bytes().first() {
        Some(b'"') => serde_json::from_str(written)
            .map(Some)
            .map_err(|e| json_error(&e)),
        Some(b'{' | b'[') => Err(
            broken(format!("`{path}` is a list or an object, no text")).hint(format!(
                "name a part of it, such as `{path}.0` or `{path}.value`"
            )),
        ),
        Some(b'n') | None => Ok(None),
        Some(_) => Ok(Some(whole_if_whole(written).to_owned())),
    }
}

/// A list of texts, or an object whose keys are the letters A, B, C, … in order.
pub(super) fn texts(path: &str, value: &RawValue) -> Result<Vec<String>> {
    let wrong = || {
        broken(format!("`{path}` is no list of texts"))
            .hint("a list, or an object with the keys A, B, C, …")
    };
    let items: Vec<&RawValue> = if value.get().starts_with('{') {
        let by_letter: BTreeMap<Key<'_>, &RawValue> =
            serde_json::from_str(value.get()).map_err(|_| wrong())?;
        if !by_letter
            .keys()
            .map(|k| k.0.as_ref())
            .eq(('A'..='Z').map(String::from).take(by_letter.len()))
        {
            return Err(wrong());
        }
        by_letter.into_values().collect()
    } else {
        serde_json::from_str(value.get()).map_err(|_| wrong())?
    };
    items
        .into_iter()
        .map(|item| text(path, item)?.ok_or_else(wrong))
        .collect()
}

/// `5.0` as `5`; anything else as written.
pub(super) fn whole_if_whole(number: &str) -> &str {
    match number.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => whole,
        _ => number,
    }
}

/// serde's message without its "line 1": a record is one line, and the file's own line is named
/// beside it.
pub(super) fn json_error(error: &serde_json::Error) -> Error {
    let all = error.to_string();
    let what = all
        .rsplit_once(" at line ")
        .map_or(all.as_str(), |(what, _)| what);
    if error.is_data() {
        broken(what)
    } else {
        broken(format!("no valid JSON at byte {}: {what}", error.column()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_paths_lead_into_objects_and_lists() {
        let record =
            Record::parse(r#"{"a": {"b": [10, {"c": "x"}]}, "a.b": 1, "k\u0065y": 2}"#).unwrap();
        let get = |path| record.get(path).map(RawValue::get);
        assert_eq!(get("a.b.1.c"), Some("\"x\""));
        assert_eq!(get("a.b.0"), Some("10"));
        assert_eq!(get("a.b"), Some("1"), "a field's whole name comes first");
        assert_eq!(get("key"), Some("2"));
        for absent in ["b", "a.c", "a.b.2", "a.b.x", "key.0", ""] {
            assert_eq!(get(absent), None, "{absent}");
        }
    }

    #[test]
    fn a_missing_field_names_those_there_are() {
        let error = Record::parse(r#"{"problem": 1, "solution": 2}"#)
            .unwrap()
            .require("question")
            .unwrap_err();
        assert_eq!(error.message, "no field `question`");
        assert!(error.hint.unwrap().contains("`problem`, `solution`"));
    }

    #[test]
    fn numbers_keep_every_digit() {
        let record = Record::parse(r#"{"n": 12345678901234567890123, "s": "5.0", "f": 5.0, "e": 1e3, "t": true, "z": null}"#).unwrap();
        let text = |path| text(path, record.get(path).unwrap()).unwrap();
        assert_eq!(text("n").as_deref(), Some("12345678901234567890123"));
        assert_eq!(text("s").as_deref(), Some("5.0"), "a text is kept as it is");
        assert_eq!(text("f").as_deref(), Some("5"));
        assert_eq!(text("e").as_deref(), Some("1e3"));
        assert_eq!(text("t").as_deref(), Some("true"));
        assert_eq!(text("z"), None);
    }

    #[test]
    fn broken_json_is_placed_by_byte_and_a_wrong_type_by_name() {
        let error = |line| Record::parse(line).err().unwrap().message;
        assert_eq!(
            error(r#"{"a": }"#),
            "no valid JSON at byte 7: expected value"
        );
        assert!(error("5").starts_with("invalid type"), "{}", error("5"));
    }
}
