//! What is sent, per profile and model.

use serde_json::{Value, json};
use tale_api::{Effort, ErrorKind, GenerateRequest, Grammar, Message, ReasoningBudget, Sampling};

use super::*;
use crate::{model, profile};

fn form(profile: &str, model: &str) -> Form {
    let profile = profile::all()[profile].clone();
    let rule = if profile.model_rules {
        model::rule(model)
    } else {
        Rule::default()
    };
    let limiting = match profile.model_rules {
        true if rule.efforts.is_empty() => Limiting::None,
        true => Limiting::Effort,
        false => profile.reasoning,
    };
    Form {
        model: model.to_owned(),
        profile,
        rule,
        limiting,
        service_tier: Some("flex".to_owned()),
        extra: Map::new(),
    }
}

fn request() -> GenerateRequest {
    GenerateRequest {
        messages: vec![Message::system("s"), Message::user("u")],
        sampling: Sampling {
            temperature: Some(0.1),
            top_p: Some(0.9),
            top_k: Some(40),
            repetition_penalty: Some(1.2),
        },
        max_tokens: Some(64),
        stop: vec!["END".to_owned()],
        seed: Some(1024),
        ..GenerateRequest::default()
    }
}

/// Checks everything that is sent besides model and messages.
fn check(profile: &str, model: &str, role: &str, expected: Value) {
    let fields = form(profile, model).fields(&request()).unwrap();
    let mut fields = Value::Object(fields);
    let messages = fields
        .as_object_mut()
        .unwrap()
        .shift_remove("messages")
        .unwrap();
    assert_eq!(
        messages[0],
        json!({"role": role, "content": "s"}),
        "{profile} {model}"
    );
    assert_eq!(messages[1], json!({"role": "user", "content": "u"}));
    let mut expected = expected;
    expected["model"] = model.into();
    assert_eq!(fields, expected, "{profile} {model}");
}

#[test]
fn openai_gets_what_each_model_takes() {
    let plain = json!({"temperature": 0.1, "top_p": 0.9, "max_completion_tokens": 64, "stop": ["END"],
        "seed": 1024, "service_tier": "flex"});
    check("openai", "gpt-4o-mini", "system", plain);
    let reasoning = json!({"max_completion_tokens": 64, "service_tier": "flex"});
    check("openai", "o3-mini", "developer", reasoning.clone());
    check("openai", "gpt-5-mini", "developer", reasoning.clone());
    check("openai", "o1-mini", "user", reasoning);
}

#[test]
fn every_profile_gets_its_own_names() {
    let base = json!({"temperature": 0.1, "top_p": 0.9, "max_tokens": 64, "stop": ["END"]});
    let with = |more: Value| {
        let mut all = base.clone();
        for (name, value) in more.as_object().unwrap() {
            all[name] = value.clone();
        }
        all
    };
    check("yi", "yi-lightning", "system", base.clone());
    check("deepseek", "deepseek-chat", "system", base.clone());
    let full = with(json!({"top_k": 40, "repetition_penalty": 1.2, "seed": 1024}));
    for profile in ["vllm", "sglang", "openrouter"] {
        check(profile, "q", "system", full.clone());
    }
    let llama = with(json!({"top_k": 40, "repeat_penalty": 1.2, "seed": 1024}));
    check("llama-server", "q", "system", llama);
    for profile in ["tgi", "ollama", "generic"] {
        check(profile, "q", "system", with(json!({"seed": 1024})));
    }
}

#[test]
fn what_is_left_out_is_known() {
    let left_out = |profile, model| form(profile, model).left_out(&request());
    assert_eq!(
        left_out("openai", "o3-mini"),
        [
            "temperature",
            "top_p",
            "top_k",
            "repetition_penalty",
            "stop",
            "seed"
        ]
    );
    assert_eq!(
        left_out("openai", "gpt-4o"),
        ["top_k", "repetition_penalty"]
    );
    assert!(left_out("vllm", "q").is_empty());
}

fn limited(
    profile: &str,
    model: &str,
    effort: Option<Effort>,
    max_tokens: Option<u32>,
) -> Result<Value> {
    let request = GenerateRequest {
        reasoning: Some(ReasoningBudget { effort, max_tokens }),
        ..GenerateRequest::new(vec![Message::user("u")])
    };
    let mut fields = form(profile, model).fields(&request)?;
    for name in ["model", "messages", "service_tier"] {
        fields.shift_remove(name);
    }
    Ok(Value::Object(fields))
}

#[test]
fn reasoning_is_limited_in_each_servers_words() {
    let (low, no_effort) = (Some(Effort::Low), None);
    for (profile, model, effort, tokens, expected) in [
        (
            "openai",
            "o3-mini",
            low,
            None,
            json!({"reasoning_effort": "low"}),
        ),
        (
            "openai",
            "gpt-5.1",
            no_effort,
            Some(0),
            json!({"reasoning_effort": "none"}),
        ),
        ("vllm", "q", low, None, json!({"reasoning_effort": "low"})),
        (
            "vllm",
            "q",
            no_effort,
            Some(0),
            json!({"chat_template_kwargs": {"enable_thinking": false}}),
        ),
        (
            "openrouter",
            "q",
            no_effort,
            Some(200),
            json!({"reasoning": {"max_tokens": 200}}),
        ),
        (
            "openrouter",
            "q",
            low,
            None,
            json!({"reasoning": {"effort": "low"}}),
        ),
        (
            "deepseek",
            "q",
            no_effort,
            Some(0),
            json!({"thinking": {"type": "disabled"}}),
        ),
        ("openai", "gpt-4o", no_effort, None, json!({})),
    ] {
        assert_eq!(
            limited(profile, model, effort, tokens).unwrap(),
            expected,
            "{profile} {model}"
        );
    }
    let mut form = form("generic", "claude");
    form.limiting = Limiting::ThinkingBudget;
    let budget = ReasoningBudget {
        effort: None,
        max_tokens: Some(99),
    };
    let expected = json!({"type": "enabled", "budget_tokens": 99});
    assert_eq!(form.reasoning(&budget).unwrap(), [("thinking", expected)]);
}

#[test]
fn limits_that_a_server_does_not_know_are_refused() {
    for (profile, model, effort, tokens) in [
        ("openai", "gpt-4o", Some(Effort::Low), None),
        ("openai", "o3-mini", Some(Effort::Minimal), None),
        ("openai", "o3-mini", None, Some(500)),
        ("openai", "o3-mini", None, Some(0)),
        ("yi", "yi-lightning", None, Some(5)),
        ("llama-server", "q", Some(Effort::Low), None),
        ("deepseek", "q", None, Some(5)),
    ] {
        let error = limited(profile, model, effort, tokens).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{profile} {model}");
    }
}

#[test]
fn grammars_go_to_servers_that_obey_them() {
    let mut asked = GenerateRequest::new(vec![Message::user("u")]);
    asked.grammar = Some(Grammar::Gbnf("root ::= \"a\"".to_owned()));
    let fields = form("llama-server", "q").fields(&asked).unwrap();
    assert_eq!(fields["grammar"], "root ::= \"a\"");
    assert_eq!(
        form("openai", "gpt-4o").fields(&asked).unwrap_err().kind,
        ErrorKind::Unsupported
    );
    asked.grammar = Some(Grammar::JsonSchema("{\"type\": \"object\"}".to_owned()));
    let fields = form("llama-server", "q").fields(&asked).unwrap();
    assert_eq!(fields["json_schema"], json!({"type": "object"}));
}

#[test]
fn the_users_own_fields_come_last() {
    let mut form = form("generic", "q");
    form.extra = json!({"temperature": 0.7, "min_p": 0.05})
        .as_object()
        .unwrap()
        .clone();
    let fields = form.fields(&request()).unwrap();
    assert_eq!(
        (&fields["temperature"], &fields["min_p"]),
        (&json!(0.7), &json!(0.05))
    );
}

#[test]
fn impossible_requests_are_refused() {
    let refused = |change: &dyn Fn(&mut GenerateRequest)| {
        let mut asked = request();
        change(&mut asked);
        let error = form("generic", "q").fields(&asked).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
    };
    refused(&|r| r.messages.clear());
    refused(&|r| r.sampling.temperature = Some(-0.1));
    refused(&|r| r.sampling.temperature = Some(f64::NAN));
    refused(&|r| r.sampling.top_p = Some(0.0));
    refused(&|r| r.sampling.repetition_penalty = Some(0.0));
    refused(&|r| r.max_tokens = Some(0));
    refused(&|r| r.timeout_s = Some(-1.0));
}
