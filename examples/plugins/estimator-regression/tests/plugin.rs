//! The built library, loaded as `tale` loads it.

use std::{path::Path, sync::OnceLock};

use serde_json::{Value, json};
use tale_api::{
    ComponentKind, CreateEnv, ErrorKind, EstimateRequest, Events, GenerateEvent, GenerateRequest,
    Llm, LlmInfo, Question, async_trait,
    conformance::{Sample, check, library},
    host::Plugin,
};
use tale_estimator_regression::{Options, SCHEMA};

/// The plugin, loaded once.
fn plugin() -> &'static Plugin {
    static LOADED: OnceLock<Plugin> = OnceLock::new();
    LOADED.get_or_init(|| library("tale-estimator-regression").unwrap())
}

fn env() -> CreateEnv {
    CreateEnv {
        base_dir: Path::new(env!("CARGO_MANIFEST_DIR")).join("data"),
        ..CreateEnv::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loaded_library_keeps_every_rule() {
    for options in [
        json!({"coefficients": "coefficients.json"}),
        json!({"searched": "search.jsonl", "slack": 1.2, "least": 10, "most": 500}),
    ] {
        let mut sample = Sample::new(options);
        sample.env = env();
        let report = check(plugin(), ComponentKind::Estimator, "regression", &sample).await;
        println!("{report}");
        assert!(report.is_passed(), "{report}");
    }
}

#[test]
fn the_schema_says_what_the_options_are() {
    let fullest = json!({
        "coefficients": "a.json", "searched": "b.jsonl", "slack": 1.5, "least": 1, "most": 2
    });
    // Unknown fields are denied, so this has no more than the options have.
    let _: Options = serde_json::from_value(fullest.clone()).unwrap();
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let described = schema["properties"].as_object().unwrap();
    assert!(described.keys().eq(fullest.as_object().unwrap().keys()));
    assert!(
        described
            .values()
            .all(|option| option["description"].is_string())
    );
}

/// No model: this estimator asks none.
struct Nobody;

#[async_trait]
impl Llm for Nobody {
    async fn info(&self) -> tale_api::Result<LlmInfo> {
        Ok(LlmInfo::default())
    }

    async fn generate(
        &self,
        _request: GenerateRequest,
        _events: Events<GenerateEvent>,
    ) -> tale_api::Result<tale_api::Completion> {
        unreachable!("nobody is asked")
    }
}

async fn budget(options: Value, text: &str) -> Option<u32> {
    let estimator = plugin()
        .estimator("regression", options, &env())
        .await
        .unwrap();
    let request = EstimateRequest {
        question: Question::default(),
        text: text.to_owned(),
    };
    let estimate = estimator
        .estimate(request, std::sync::Arc::new(Nobody))
        .await;
    estimate.unwrap().budget
}

#[tokio::test]
async fn given_coefficients_make_the_budget() {
    // 15 + 2 × 5 words + 20 × 1 number + 5 × 1 sentence.
    let options = json!({"coefficients": "coefficients.json"});
    assert_eq!(budget(options, "How much is 5 apples?").await, Some(50));
    let options = json!({"coefficients": "coefficients.json", "slack": 2.0, "most": 80});
    assert_eq!(budget(options, "How much is 5 apples?").await, Some(80));
}

#[tokio::test]
async fn fitted_coefficients_follow_the_searched_budgets() {
    let options = json!({"searched": "search.jsonl"});
    let short = budget(options.clone(), "What is 2 + 2?").await.unwrap();
    let long =
        "A farm has 12 cows. Each gives 8 litres a day. A litre sells at 2 dollars. ".repeat(3);
    let long = budget(options, &long).await.unwrap();
    assert!(
        short < long,
        "{short} for a short question, {long} for a long one"
    );
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_its_place() {
    for (options, kind, words) in [
        (
            json!({}),
            ErrorKind::InvalidOptions,
            "neither `coefficients`",
        ),
        (
            json!({"coefficients": "a", "searched": "b"}),
            ErrorKind::InvalidOptions,
            "both `coefficients`",
        ),
        (
            json!({"searched": "no-such-file"}),
            ErrorKind::NotFound,
            "cannot be opened",
        ),
        (
            json!({"searched": "coefficients.json"}),
            ErrorKind::InvalidData,
            "no searched question",
        ),
        (
            json!({"coefficients": "search.jsonl"}),
            ErrorKind::InvalidData,
            "no JSON object",
        ),
    ] {
        let error = plugin()
            .estimator("regression", options, &env())
            .await
            .err()
            .unwrap();
        assert_eq!(error.kind, kind, "{error:?}");
        assert!(error.message.contains(words), "{error:?}");
    }
}
