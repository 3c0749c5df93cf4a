//! Options against a plugin's own schema.

use serde_json::{Value, json};

use super::*;

fn plugin_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["model"],
        "properties": {
            "model": { "type": "string", "description": "The model's name or file. Of GGUF form." },
            "slots": { "type": "integer", "format": "uint16", "minimum": 1 },
            "threads": { "type": ["integer", "null"], "format": "uint32" },
            "mmap": { "type": "boolean" },
            "device": { "enum": ["cpu", "cuda", "metal"] },
            "lora": { "type": "array", "items": { "$ref": "#/$defs/Lora" } },
            "proxy": { "anyOf": [{ "$ref": "#/$defs/Proxy" }, { "type": "null" }] },
            "api_key": { "type": "string", "secret": true, "minLength": 8 },
        },
        "$defs": {
            "Lora": {
                "type": "object",
                "additionalProperties": false,
                "required": ["path"],
                "properties": { "path": { "type": "string" }, "scale": { "type": "number" } },
            },
            "Proxy": {
                "type": "object",
                "properties": { "pass": { "type": "string", "secret": true }, "port": { "type": "integer" } },
            },
        },
    })
}

/// What is told of the options of `[llm]`, its `model` lifted.
fn told_of(text: &str, sets: &[&str], schema: &Value) -> Diagnostics {
    let Loaded { manifest, source } = good(text, sets);
    let llm = &manifest.llm.as_slice()[0];
    let mut instance = llm.options.clone();
    instance.extend(
        llm.model
            .iter()
            .map(|m| ("model".to_owned(), Value::from(m.clone()))),
    );
    source
        .check_options(
            &["llm", "0"],
            &["model"],
            "llm `llama-cpp`",
            schema,
            &instance.into(),
        )
        .into()
}

#[test]
fn options_are_explained_as_keys_are() {
    let text = r#"
name = "x"
[llm]
plugin = "llama-cpp"
model = "m"
[llm.options]
slotz = 8
temperature = 3
slots = 0
threads = "4"
mmap = 1
device = "gpu"
lora = [{ path = "a.gguf", scal = 1 }, { scale = "big" }]
proxy = { port = "80" }
[dataset]
plugin = "gsm8k"
"#;
    insta::assert_snapshot!("options", told_of(text, &[], &plugin_schema()).to_string());
    let sets = [
        "llm.options.slots=70000",
        "llm.options.slotz=3",
        "llm.options.lora=[{ x = 3 }]",
    ];
    insta::assert_snapshot!(
        "options_set",
        told_of(SMALL, &sets, &plugin_schema()).to_string()
    );
}

#[test]
fn lifted_options_are_shown_in_the_table_itself() {
    let mut schema = plugin_schema();
    schema["properties"]["model"] = json!({ "enum": ["a", "b"] });
    insta::assert_snapshot!(
        "options_lifted",
        told_of(SMALL, &["llm.model=c"], &schema).to_string()
    );
    schema["properties"]
        .as_object_mut()
        .unwrap()
        .remove("model");
    schema["required"] = json!([]);
    insta::assert_snapshot!(
        "options_lifted_unknown",
        told_of(SMALL, &["llm.model=c"], &schema).to_string()
    );
    // A key of the table that the plugin also has, but that was not lifted, is no option.
    let named = told_of(
        SMALL,
        &["llm.model=c", "llm.name=d"],
        &json!({
            "type": "object", "required": ["name"],
        }),
    );
    assert_eq!(
        named.0[0].place.as_ref().unwrap().one_line(),
        "runs/gsm8k.toml:4:1"
    );
}

#[test]
fn good_options_are_good_and_a_plugin_without_any_says_so() {
    let sets = [
        "llm.model=m",
        "llm.options.slots=8.0",
        "llm.options.proxy={ port = 3 }",
    ];
    assert_eq!(
        told_of(SMALL, &sets, &plugin_schema()),
        Diagnostics::default()
    );
    let none = json!({ "type": "object", "additionalProperties": false });
    let empty = json!({ "type": "object", "additionalProperties": false, "properties": {} });
    for schema in [none, empty] {
        let told = told_of(SMALL, &["llm.options.x=3", "llm.options.y=3"], &schema);
        let told: Vec<_> = told
            .0
            .iter()
            .map(|d| (d.message.as_str(), d.help[0].as_str()))
            .collect();
        let help = "it takes no options";
        let expected = [
            ("llm `llama-cpp` has no option `x`", help),
            ("llm `llama-cpp` has no option `y`", help),
        ];
        assert_eq!(told, expected);
    }
}

#[test]
fn a_broken_schema_is_the_plugins_fault() {
    for schema in [
        json!({ "type": "objekt" }),
        json!({ "$ref": "https://example.com/x.json" }),
        json!(3),
    ] {
        let told = told_of(SMALL, &[], &schema);
        assert_eq!(
            told.0[0].message,
            "llm `llama-cpp` has a broken schema of its options"
        );
        assert!(!told.0[0].causes.is_empty());
    }
}

#[test]
fn secret_options_are_found_and_never_shown() {
    let expected = [vec!["proxy", "pass"], vec!["api_key"]];
    let mut found = secret_options(&plugin_schema());
    found.sort_by_key(|path| std::cmp::Reverse(path.len()));
    assert_eq!(found, expected);
    let sets = [
        "llm.model=m",
        "llm.options.api_key=\"hunt\"",
        "llm.options.proxy={ pass = 2024, port = \"x\" }",
    ];
    let told = told_of(SMALL, &sets, &plugin_schema());
    assert_eq!(told.0.len(), 3, "{told}");
    let told = format!("{told}{}", told.to_json());
    assert!(!told.contains("hunt") && !told.contains("2024"), "{told}");
}

#[test]
fn a_schema_that_refers_to_itself_ends() {
    let schema = json!({
        "type": "object",
        "properties": { "inner": { "$ref": "#" }, "key": { "type": "string", "secret": true } },
        "anyOf": [{ "$ref": "#/properties/inner" }, { "$ref": "#" }],
    });
    assert!(secret_options(&schema).contains(&vec!["key".to_owned()]));
}
