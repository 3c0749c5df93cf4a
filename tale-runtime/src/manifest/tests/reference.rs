//! The schema is one that editors understand, and `docs/manifest.md` says what it says.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::*;

const BEGIN: &str =
    "<!-- The tables below are made from the JSON Schema: `TALE_BLESS=1` rewrites them. -->\n";

#[test]
fn schema_is_valid_draft_2020_12_and_describes_every_key() {
    let schema = schema();
    jsonschema::meta::validate(&schema).unwrap();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert!(!schema.to_string().contains("null"), "TOML has no null");
    for (table, properties) in tables(&schema) {
        for (key, property) in properties {
            let text = property["description"].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{table}: `{key}` has no description");
        }
    }
}

#[test]
fn defaults_of_the_schema_are_those_of_the_types() {
    let schema = schema();
    let manifest = good(SMALL, &[]).manifest.resolved::<&str>(&[]);
    let top = [("", "")]
        .into_iter()
        .chain([("llm", "/llm"), ("dataset", "/dataset")]);
    for (table, pointer) in top.chain([("evaluate", "/evaluate"), ("estimator", "/estimator")]) {
        let tables = tables(&schema);
        let (_, properties) = tables.iter().find(|(name, _)| name == table).unwrap();
        for (key, property) in *properties {
            let Some(default) = property.get("default").filter(|d| !d.is_object()) else {
                continue;
            };
            let actual = manifest.pointer(&format!("{pointer}/{key}"));
            assert_eq!(actual, Some(default), "[{table}] {key}");
            assert!(
                property["description"]
                    .as_str()
                    .unwrap()
                    .contains("Default: "),
                "{key}"
            );
        }
    }
}

#[test]
fn reference_in_the_docs_is_made_from_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/manifest.md");
    let written = std::fs::read_to_string(&path).expect("docs/manifest.md is part of the project");
    let (prose, made) = written
        .split_once(BEGIN)
        .expect("docs/manifest.md has its marker");
    let wanted = reference();
    if std::env::var_os("TALE_BLESS").is_some() {
        std::fs::write(&path, format!("{prose}{BEGIN}{wanted}")).unwrap();
    } else {
        assert!(
            made == wanted,
            "docs/manifest.md is not what the schema says: TALE_BLESS=1"
        );
    }
}

/// The manifests in the docs are good ones.
#[test]
fn manifests_in_the_docs_are_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/manifest.md");
    let written = std::fs::read_to_string(path).expect("docs/manifest.md is part of the project");
    let blocks: Vec<_> = written
        .split("```toml\n")
        .skip(1)
        .filter_map(|b| b.split("```").next())
        .collect();
    assert!(blocks.len() >= 2, "the docs show manifests");
    for block in blocks.into_iter().filter(|b| b.contains("name = ")) {
        good(block, &[]);
    }
}

/// Every table with its keys; the first is the top level.
fn tables(schema: &Value) -> Vec<(String, &Map<String, Value>)> {
    let mut tables = vec![(String::new(), schema["properties"].as_object().unwrap())];
    let mut at = 0;
    while let Some((name, properties)) = tables.get(at).cloned() {
        for (key, property) in properties {
            let inner = if name.is_empty() {
                key.clone()
            } else {
                format!("{name}.{key}")
            };
            // Of `[plugins.<name>]`, the name is the user's.
            let (inner, property) = match property.get("additionalProperties") {
                Some(each) if each.is_object() => (format!("{inner}.<name>"), each),
                _ => (inner, property),
            };
            tables.extend(properties_of(schema, property).map(|p| (inner, p)));
        }
        at += 1;
    }
    tables
}

fn properties_of<'a>(schema: &'a Value, node: &'a Value) -> Option<&'a Map<String, Value>> {
    if let Some(reference) = node.get("$ref").and_then(Value::as_str) {
        return properties_of(schema, schema.pointer(reference.strip_prefix('#')?)?);
    }
    node.get("properties")
        .and_then(Value::as_object)
        .or_else(|| {
            node.get("anyOf")?
                .as_array()?
                .iter()
                .find_map(|branch| properties_of(schema, branch))
        })
}

/// The reference as Markdown: a heading and a list of keys for each table.
fn reference() -> String {
    let schema = schema();
    let mut out = String::new();
    for (name, properties) in tables(&schema) {
        let heading = match name.as_str() {
            "" => "The top level".to_owned(),
            "llm" | "dataset" => format!("`[{name}]`, or several `[[{name}]]`"),
            _ => format!("`[{name}]`"),
        };
        let _ = write!(
            out,
            "\n## {heading}\n\n| key | type | meaning |\n| --- | --- | --- |\n"
        );
        for (key, property) in properties {
            let kind = kind(&schema, property).join(" or ");
            let text = property["description"]
                .as_str()
                .unwrap_or_default()
                .replace('|', "\\|");
            let _ = writeln!(out, "| `{key}` | {kind} | {text} |");
        }
    }
    out
}

fn kind(schema: &Value, node: &Value) -> Vec<String> {
    if let Some(reference) = node.get("$ref").and_then(Value::as_str) {
        let target = reference.strip_prefix('#').and_then(|p| schema.pointer(p));
        return target.map(|t| kind(schema, t)).unwrap_or_default();
    }
    if let Some(value) = node.get("const").and_then(Value::as_str) {
        return vec![format!("`\"{value}\"`")];
    }
    let branches = ["anyOf", "oneOf"]
        .into_iter()
        .find_map(|word| node.get(word)?.as_array());
    if let Some(branches) = branches {
        return branches
            .iter()
            .flat_map(|branch| kind(schema, branch))
            .collect();
    }
    if let Some(values) = node.get("enum").and_then(Value::as_array) {
        return values.iter().map(|v| format!("`{v}`")).collect();
    }
    let kind = node["type"].as_str().unwrap_or("any");
    vec![match kind {
        "object" => "table".into(),
        "array" => {
            let items = kind_of_items(schema, node);
            if items.is_empty() {
                "array".into()
            } else {
                format!("array of {items}s")
            }
        }
        other => other.to_owned(),
    }]
}

fn kind_of_items(schema: &Value, node: &Value) -> String {
    node.get("items")
        .map(|items| kind(schema, items).join(" or "))
        .unwrap_or_default()
}
