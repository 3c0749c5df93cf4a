//! The JSON Schema of manifests: what editors complete by, and what `load` checks against.

use std::sync::OnceLock;

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use super::Manifest;

/// The identity of the schema, for editors and catalogues.
const ID: &str = "urn:tale:manifest";

/// The JSON Schema of manifests, draft 2020-12.
///
/// `tale schema` prints it. A TOML language server (taplo, Even Better TOML) takes it by a first line
/// `#:schema ./manifest.schema.json` of a manifest.
#[must_use]
pub fn schema() -> Value {
    cached().clone()
}

/// As [`schema`], made once a process.
pub(super) fn cached() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let generator = SchemaSettings::draft2020_12()
            .for_deserialize()
            .into_generator();
        let mut schema = generator.into_root_schema_for::<Manifest>().to_value();
        without_null(&mut schema);
        without_line_breaks(&mut schema);
        bound_integers(&mut schema);
        if let Value::Object(root) = &mut schema {
            root.insert("$id".into(), ID.into());
            root.insert("title".into(), "TALE manifest".into());
        }
        schema
    })
}

/// The run's name.
pub(super) fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]*$",
        "maxLength": 100,
        "x-form": "letters, digits, `.`, `_` and `-`, the first neither `.` nor `-`",
    })
}

/// A trainer's name: it is part of a folder's and of a method's.
pub(super) fn trainer(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": "^[a-z0-9][a-z0-9-]*$",
        "maxLength": 40,
        "x-form": "small letters, digits and `-`, the first no `-`",
    })
}

/// A digest.
pub(super) fn sha256(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": "^[0-9A-Fa-f]{64}$",
        "x-form": "64 hexadecimal digits; `sha256sum FILE` prints them",
    })
}

/// The list of methods. What each means is known to the standard plugin; here only their form.
pub(super) fn methods(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "uniqueItems": true,
        "items": {
            "type": "string",
            "pattern": "^(tale-ep@[0-9]+([.][0-9]{1,3})?|[a-z][a-z0-9-]*)$",
            "examples": [
                "direct", "vanilla-cot", "tale-ep", "tale-ep@0.5", "fixed-100", "chain-of-draft",
                "ccot-45", "concise-cot", "word-limit-50", "token-limit-100", "step-limit-5", "tale-one",
                "effort-low", "thinking-1024",
            ],
            "x-form": "the name of a method or of a template, for instance `tale-ep`, `fixed-100` or `ccot-45`",
        },
    })
}

/// Factors of a sweep.
pub(super) fn factors(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "uniqueItems": true,
        "items": { "type": "number", "exclusiveMinimum": 0, "maximum": 1000 },
    })
}

/// Budgets of a sweep.
pub(super) fn budgets(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "uniqueItems": true,
        "items": { "type": "integer", "minimum": 1, "maximum": 999_999_999 },
    })
}

/// Takes `null` out: TOML has none, and an editor should not offer it.
fn without_null(schema: &mut Value) {
    each_object(schema, &mut |object| {
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|t| t != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                object.insert("type".into(), only);
            }
        }
        if object.get("default").is_some_and(Value::is_null) {
            object.shift_remove("default");
        }
        let Some(Value::Array(branches)) = object.get_mut("anyOf") else {
            return;
        };
        branches.retain(|b| b.get("type").is_none_or(|t| t != "null"));
        if let [Value::Object(only)] = branches.as_mut_slice() {
            let only = std::mem::take(only);
            object.shift_remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    });
}

/// Makes each paragraph of a description one line: its breaks are those of our source files.
fn without_line_breaks(schema: &mut Value) {
    each_object(schema, &mut |object| {
        if let Some(Value::String(text)) = object.get_mut("description") {
            *text = text
                .split("\n\n")
                .map(|p| p.replace('\n', " "))
                .collect::<Vec<_>>()
                .join("\n\n");
        }
    });
}

/// Gives integers the bounds of the Rust type that will hold them.
///
/// `schemars` names the type in `format` and bounds the small ones only, so a number too large would
/// pass the schema and fail later, where its place is no longer known.
pub(super) fn bound_integers(schema: &mut Value) {
    each_object(schema, &mut |object| {
        let (min, max) = match object.get("format").and_then(Value::as_str) {
            Some("uint8") => (json!(0), json!(u8::MAX)),
            Some("uint16") => (json!(0), json!(u16::MAX)),
            Some("uint32") => (json!(0), json!(u32::MAX)),
            // TOML's own integers end at 2^63 - 1.
            Some("uint64" | "uint") => (json!(0), json!(i64::MAX)),
            Some("int32") => (json!(i32::MIN), json!(i32::MAX)),
            _ => return,
        };
        if !object.contains_key("minimum") && !object.contains_key("exclusiveMinimum") {
            object.insert("minimum".into(), min);
        }
        if !object.contains_key("maximum") && !object.contains_key("exclusiveMaximum") {
            object.insert("maximum".into(), max);
        }
    });
}

/// Calls `change` for every object within `value`, the outermost first.
fn each_object(value: &mut Value, change: &mut dyn FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            change(object);
            for inner in object.values_mut() {
                each_object(inner, change);
            }
        }
        Value::Array(items) => {
            for inner in items {
                each_object(inner, change);
            }
        }
        _ => {}
    }
}
