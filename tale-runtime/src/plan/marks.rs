//! Marks in a plugin's schema (`"x-tale": "…"`) by which it says what an option, or the model
//! itself, means to the runtime. `docs/guide/plugin-author.md` lists them.

use serde_json::{Map, Value};

/// On the schema as a whole: answers come over a network from a service that bills them.
const REMOTE: &str = "remote";

/// On the schema as a whole: answers are recorded ones and cost nothing.
const RECORDED: &str = "recorded";

/// On an option: it says how an answer is got, not what it is.
const MANNER: &str = "manner";

/// On an option: the class of service that is asked for.
const SERVICE_TIER: &str = "service-tier";

/// What the component as a whole is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// A model that is here.
    Local,
    /// A service that bills.
    Remote,
    /// Recorded answers.
    Recorded,
}

impl Nature {
    pub(super) fn of(schema: &Value) -> Self {
        match schema.get("x-tale").and_then(Value::as_str) {
            Some(REMOTE) => Self::Remote,
            Some(RECORDED) => Self::Recorded,
            _ => Self::Local,
        }
    }
}

/// The mark of the option `name`.
fn mark<'a>(schema: &'a Value, name: &str) -> Option<&'a str> {
    schema.get("properties")?.get(name)?.get("x-tale")?.as_str()
}

/// Whether the schema marks the option `name` with `what`.
pub(super) fn is_marked(schema: &Value, name: &str, what: &str) -> bool {
    mark(schema, name) == Some(what)
}

/// Whether creating the component reads a model's weights, which may take minutes.
pub(super) fn loads_weights(schema: &Value) -> bool {
    model_file(schema).is_some()
}

/// The option that names a model's file or folder.
pub(crate) fn model_file(schema: &Value) -> Option<&str> {
    let properties = schema.get("properties").and_then(Value::as_object)?;
    let mut names = properties.keys().map(String::as_str);
    names.find(|name| is_marked(schema, name, "model-file"))
}

/// Those of `options` that change answers: not what is marked as changing none, what the runtime
/// fills in by the run's concurrency, or what stands at its default anyway.
pub(crate) fn that_change_answers(
    schema: &Value,
    options: &Map<String, Value>,
) -> Map<String, Value> {
    let default = |name: &str| schema.get("properties")?.get(name)?.get("default");
    options
        .iter()
        .filter(|(name, value)| {
            let has_no_effect = match mark(schema, name) {
                Some(MANNER | SERVICE_TIER | "concurrency") => true,
                _ => default(name) == Some(value),
            };
            !has_no_effect
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The class of service that `options` ask for; `batch` where one of several says so.
pub(super) fn service_tier(schema: &Value, options: &Map<String, Value>) -> Option<String> {
    let asked: Vec<&str> = options
        .iter()
        .filter(|(name, _)| is_marked(schema, name, SERVICE_TIER))
        .filter_map(|(_, value)| value.as_str())
        .collect();
    let batch = asked.iter().find(|tier| **tier == "batch");
    batch.or(asked.first()).map(|tier| (*tier).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other}"),
        }
    }

    fn schema() -> Value {
        json!({
            "x-tale": "remote",
            "properties": {
                "base_url": { "type": "string", "default": "https://api.example.com/v1" },
                "rpm": { "type": "integer", "x-tale": "manner" },
                "slots": { "type": "integer", "x-tale": "concurrency" },
                "service_tier": { "type": "string", "x-tale": "service-tier" },
                "mode": { "type": "string", "x-tale": "service-tier" },
                "logit_bias": { "type": "object" },
            }
        })
    }

    #[test]
    fn only_options_that_change_answers_are_left() {
        let options = map(json!({
            "base_url": "https://api.example.com/v1", "rpm": 10, "slots": 3, "mode": "batch",
            "logit_bias": { "1": 2 }, "unknown": null,
        }));
        let left = that_change_answers(&schema(), &options);
        assert_eq!(
            left,
            map(json!({ "logit_bias": { "1": 2 }, "unknown": null }))
        );
        let elsewhere = map(json!({ "base_url": "http://localhost:8000/v1" }));
        assert_eq!(that_change_answers(&schema(), &elsewhere), elsewhere);
    }

    #[test]
    fn the_class_of_service_is_what_is_asked_for() {
        let tier = |options| service_tier(&schema(), &map(options));
        assert_eq!(tier(json!({})), None);
        assert_eq!(
            tier(json!({ "service_tier": "flex" })).as_deref(),
            Some("flex")
        );
        let both = json!({ "service_tier": "auto", "mode": "batch" });
        assert_eq!(tier(both).as_deref(), Some("batch"));
    }

    #[test]
    fn the_schema_says_what_the_model_is() {
        assert_eq!(Nature::of(&schema()), Nature::Remote);
        assert_eq!(
            Nature::of(&json!({ "x-tale": "recorded" })),
            Nature::Recorded
        );
        assert_eq!(Nature::of(&json!({})), Nature::Local);
        assert!(!loads_weights(&schema()));
        assert!(loads_weights(
            &json!({ "properties": { "path": { "x-tale": "model-file" } } })
        ));
    }
}
