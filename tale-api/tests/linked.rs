//! A plugin that is part of the program, through the same descriptor as a loaded one.

use std::sync::Arc;

use serde_json::json;
use tale_api::{
    Attempt, ComponentKind, CreateEnv, Decision, ErrorKind, Events, Feasibility,
    FeasibilityRequest, GenerateEvent, GenerateRequest, Llm, LlmInfo, Question, Result,
    async_trait, host::Plugin,
};

/// Keeps whatever costs less, right or wrong.
struct Cheapest;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    at_least: u32,
}

impl Cheapest {
    #[expect(
        clippy::unused_async,
        reason = "creation is async for those that need it"
    )]
    async fn create(options: Options, _env: CreateEnv) -> Result<Self> {
        assert!(options.at_least < 1000, "at least {}", options.at_least);
        Ok(Self)
    }
}

#[async_trait]
impl Feasibility for Cheapest {
    async fn is_feasible(
        &self,
        request: FeasibilityRequest,
        _llm: Arc<dyn Llm>,
    ) -> Result<Decision> {
        let is_less = request.candidate.output_tokens < request.previous.output_tokens;
        Ok(if is_less {
            Decision::accept("less")
        } else {
            Decision::refuse("no less")
        })
    }
}

tale_api::define_plugin! {
    name: "linked",
    components: [
        feasibility "cheapest" => Cheapest::create, "Keeps whatever costs less",
            r#"{"type": "object", "additionalProperties": false,
                "properties": {"at_least": {"type": "integer"}}}"#;
    ]
}

struct Silent;

#[async_trait]
impl Llm for Silent {
    async fn info(&self) -> Result<LlmInfo> {
        Ok(LlmInfo::default())
    }

    async fn generate(
        &self,
        _request: GenerateRequest,
        _events: Events<GenerateEvent>,
    ) -> Result<tale_api::Completion> {
        Err(tale_api::Error::new(ErrorKind::Unsupported, "silent"))
    }
}

#[tokio::test]
async fn a_linked_plugin_works_like_a_loaded_one() {
    let plugin = Plugin::linked(&PLUGIN).expect("it starts");
    assert_eq!(plugin.manifest().name, "linked");
    assert_eq!(
        plugin.manifest().components[0].kind,
        ComponentKind::Feasibility
    );
    assert_eq!((plugin.path(), plugin.sha256()), (None, None));
    let env = CreateEnv::default();
    let rule = plugin
        .feasibility("cheapest", json!({}), &env)
        .await
        .expect("it is created");
    let request = FeasibilityRequest {
        question: Question::default(),
        previous: Attempt::vanilla("", 10, true),
        candidate: Attempt::under(5, "", 4, false),
        ..FeasibilityRequest::default()
    };
    let decision = rule
        .is_feasible(request, Arc::new(Silent))
        .await
        .expect("it decides");
    assert!(decision.feasible);
    let options = json!({"at_least": 1000});
    let error = plugin
        .feasibility("cheapest", options, &env)
        .await
        .err()
        .expect("it panics");
    assert_eq!(error.kind, ErrorKind::Panicked);
    assert!(error.message.ends_with("at least 1000"), "{error}");
}
