//! Every message of version 1, at its smallest and its fullest, as files that are never edited.
//!
//! A file `NAME.json` holds `{"smallest": …, "fullest": …}`. Both must be readable for ever. The
//! fullest must come back as it was, so that no field is renamed or lost; the smallest must be
//! readable without every optional field. With `TALE_WRITE_WIRE=1` files that are missing are
//! written; existing ones never are.

#![expect(
    clippy::unwrap_used,
    reason = "a test, also where it is a helper of one"
)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tale_api::{
    AnswerKind, Attempt, Capabilities, CheckpointRef, Completion, ComponentInfo, ComponentKind,
    CreateEnv, DatasetInfo, Decision, Effort, Error, ErrorKind, Estimate, EstimateRequest,
    FeasibilityRequest, FinishReason, GenerateEvent, GenerateRequest, Grade, GradeRequest, Grammar,
    LlmInfo, Message, Page, PageRequest, PluginManifest, Prices, Question, ReasoningBudget,
    Sampling, Skipped, Timings, TrainEvent, TrainJob, TrainMethod, TrainReport, Usage, Verdict,
};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/wire/v1")
        .join(format!("{name}.json"))
}

/// Holds the file `name` against the type; `smallest` is what a writer may leave everything out of.
#[track_caller]
#[expect(
    clippy::needless_pass_by_value,
    reason = "reads better where it is called"
)]
fn check<T: Serialize + DeserializeOwned>(name: &str, smallest: Value, fullest: &T) {
    let path = file(name);
    let fullest = serde_json::to_value(fullest).unwrap();
    if !path.exists() && std::env::var_os("TALE_WRITE_WIRE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = format!("{:#}\n", json!({"smallest": smallest, "fullest": fullest}));
        fs::write(&path, text).unwrap();
    }
    let text = fs::read_to_string(&path).expect("a file for every message");
    let recorded: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        recorded["fullest"], fullest,
        "{name}: what is written has changed"
    );
    let read: T = serde_json::from_value(recorded["fullest"].clone()).unwrap();
    assert_eq!(
        serde_json::to_value(&read).unwrap(),
        fullest,
        "{name}: a field is lost"
    );
    let _: T = serde_json::from_value(recorded["smallest"].clone()).unwrap();
    // What a later version may add.
    let mut newer = recorded["fullest"].clone();
    if let Some(object) = newer.as_object_mut() {
        object.insert("of_a_later_version".to_owned(), json!({"x": [1]}));
        let _: T = serde_json::from_value(newer).unwrap();
    }
}

fn question() -> Question {
    Question {
        id: "gsm8k-7".to_owned(),
        text: "Was ist 48 + 24? 你好 \u{0} \"".to_owned(),
        gold: Some("72".to_owned()),
        kind: AnswerKind::Choice,
        language: "zh".to_owned(),
        options: vec!["72".to_owned(), "71".to_owned()],
    }
}

fn usage() -> Usage {
    Usage {
        input_tokens: 20,
        cached_input_tokens: 8,
        output_tokens: 12,
        reasoning_tokens: 4,
    }
}

#[test]
fn manifests_and_creation() {
    let component = ComponentInfo {
        kind: ComponentKind::Llm,
        name: "mine".to_owned(),
        description: "A model".to_owned(),
        options: json!({"type": "object", "additionalProperties": false}),
    };
    let manifest = PluginManifest {
        name: "mine".to_owned(),
        version: "1.2.3".to_owned(),
        components: vec![component],
    };
    check(
        "plugin_manifest",
        json!({"name": "mine", "version": "1"}),
        &manifest,
    );
    let env = CreateEnv {
        base_dir: "runs".into(),
        cache_dir: "cache".into(),
        seed: 1024,
    };
    check("create_env", json!({}), &env);
}

#[test]
fn errors() {
    let cause = std::io::Error::other("the cause");
    let error = Error::new(ErrorKind::RateLimited, "HTTP 429")
        .hint("lower `concurrency`")
        .retry_after_s(1.5)
        .operation("generate")
        .context("plugin", "mine")
        .caused_by(&cause);
    check("error", json!({"kind": "internal", "message": ""}), &error);
}

#[test]
fn models() {
    let capabilities = Capabilities {
        seed: true,
        grammar: true,
        reasoning: true,
        logprobs: true,
        batching: true,
        count_tokens: true,
        max_concurrency: Some(16),
        longest_call_s: None,
    };
    let info = LlmInfo {
        model: "qwen".to_owned(),
        digest: Some("ab12".to_owned()),
        context_length: Some(32_768),
        tokenizer: Some("qwen2".to_owned()),
        prices: Some(Prices {
            input: 0.15,
            cached_input: Some(0.075),
            output: 0.6,
        }),
        capabilities,
    };
    check("llm_info", json!({"model": "m"}), &info);
    let mut patient = info;
    patient.capabilities.longest_call_s = Some(86_400);
    check("llm_info_longest_call", json!({"model": "m"}), &patient);
}

#[test]
fn generation() {
    let request = GenerateRequest {
        messages: vec![
            Message::system("s"),
            Message::user("u"),
            Message::assistant("a"),
        ],
        sampling: Sampling {
            temperature: Some(0.1),
            top_p: Some(0.9),
            top_k: Some(40),
            repetition_penalty: Some(1.2),
        },
        max_tokens: Some(1024),
        stop: vec!["\n\n".to_owned()],
        seed: Some(u64::MAX),
        grammar: Some(Grammar::Gbnf("root ::= \"x\"".to_owned())),
        timeout_s: Some(30.0),
        reasoning: None,
    };
    check("generate_request", json!({"messages": []}), &request);
    let request = GenerateRequest {
        reasoning: Some(ReasoningBudget {
            effort: Some(Effort::Low),
            max_tokens: Some(200),
        }),
        ..GenerateRequest::new(vec![Message::user("u")])
    };
    check(
        "generate_request_reasoning",
        json!({"messages": [], "reasoning": {}}),
        &request,
    );
    let completion = Completion {
        text: "[[72]]".to_owned(),
        reasoning: Some("48 + 24".to_owned()),
        finish_reason: FinishReason::Length,
        usage: Some(usage()),
        timings: Timings {
            queue_s: 0.5,
            first_token_s: 0.25,
            total_s: 1.75,
        },
        model: Some("qwen-0.5b".to_owned()),
        service_tier: None,
    };
    check(
        "completion",
        json!({"text": "", "finish_reason": "stop"}),
        &completion,
    );
    let completion = Completion {
        service_tier: Some("batch".to_owned()),
        ..completion
    };
    check(
        "completion_service_tier",
        json!({"text": "", "finish_reason": "stop"}),
        &completion,
    );
    check(
        "generate_event_restart",
        json!({"type": "restart"}),
        &GenerateEvent::Restart,
    );
    let status = GenerateEvent::Status {
        text: "waiting 2 s after 429".to_owned(),
    };
    check(
        "generate_event_status",
        json!({"type": "status", "text": ""}),
        &status,
    );
    let delta = GenerateEvent::Delta {
        text: "72".to_owned(),
    };
    check(
        "generate_event_delta",
        json!({"type": "of_a_later_version", "x": 1}),
        &delta,
    );
    let delta = GenerateEvent::ReasoningDelta {
        text: "48".to_owned(),
    };
    check(
        "generate_event_reasoning_delta",
        json!({"type": "reasoning_delta", "text": ""}),
        &delta,
    );
}

#[test]
fn estimates_and_decisions() {
    let request = EstimateRequest {
        question: question(),
        text: "Q".to_owned(),
    };
    check(
        "estimate_request",
        json!({"question": {"id": "", "text": ""}, "text": ""}),
        &request,
    );
    let estimate = Estimate {
        budget: Some(50),
        usage: usage(),
        raw: Some("[[50]]".to_owned()),
        fallback: Some("clamped".to_owned()),
    };
    check("estimate", json!({}), &estimate);
    let attempt = json!({"text": "", "output_tokens": 0, "correct": false});
    let smallest =
        json!({"question": {"id": "", "text": ""}, "previous": attempt, "candidate": attempt});
    let request = FeasibilityRequest {
        question: question(),
        previous: Attempt::vanilla("72", 240, true),
        candidate: Attempt::under(120, "72", 96, true),
        messages: Vec::new(),
    };
    check("feasibility_request", smallest.clone(), &request);
    let request = FeasibilityRequest {
        messages: vec![Message::system("s"), Message::user("u")],
        ..request
    };
    check("feasibility_request_messages", smallest, &request);
    check(
        "decision",
        json!({"feasible": false, "reason": ""}),
        &Decision::accept("96 < 240"),
    );
}

#[test]
fn data_sets() {
    let info = DatasetInfo {
        name: "gsm8k".to_owned(),
        size: Some(1319),
        license: Some("MIT".to_owned()),
        source: Some("https://github.com/openai/grade-school-math".to_owned()),
        digest: Some("cd34".to_owned()),
        grades: true,
        ..DatasetInfo::default()
    };
    check("dataset_info", json!({"name": "d"}), &info);
    // Fields added after version 1 was written down.
    let info = DatasetInfo {
        name: "mathbench".into(),
        size: Some(996),
        skipped: Some(Skipped {
            records: 3,
            first: "line 17 of `a.jsonl`: no field `question`".into(),
        }),
        group: Some(4),
        ..DatasetInfo::default()
    };
    check("dataset_info_skipped", json!({"name": "d"}), &info);
    let request = PageRequest {
        cursor: Some("7".to_owned()),
        limit: 100,
    };
    check("page_request", json!({"limit": 1}), &request);
    let page = Page {
        questions: vec![question()],
        next: Some("8".to_owned()),
    };
    check("page", json!({"questions": []}), &page);
    let request = GradeRequest {
        question: question(),
        completion: "[[72]]".to_owned(),
    };
    check(
        "grade_request",
        json!({"question": {"id": "", "text": ""}, "completion": ""}),
        &request,
    );
    let grade = Grade {
        answer: Some("72".to_owned()),
        verdict: Verdict::Undecided,
        reason: "no rule".to_owned(),
    };
    check("grade", json!({"verdict": "wrong", "reason": ""}), &grade);
}

#[test]
fn trainings() {
    let job = TrainJob {
        base_model: "llama".into(),
        pairs: "pairs.jsonl".into(),
        method: TrainMethod::Dpo,
        hyperparameters: BTreeMap::from([("beta".to_owned(), json!(0.5))]),
        output_dir: "out".into(),
        seed: 1024,
    };
    let smallest =
        json!({"base_model": "", "pairs": "", "method": "sft", "output_dir": "", "seed": 0});
    check("train_job", smallest, &job);
    let step = TrainEvent::Step {
        step: 1,
        total_steps: 10,
        loss: 2.5,
        tokens_per_s: 100.0,
        metrics: BTreeMap::from([("grad_norm".to_owned(), 1.5)]),
    };
    let smallest =
        json!({"type": "step", "step": 1, "total_steps": 1, "loss": 0.0, "tokens_per_s": 0.0});
    check("train_event_step", smallest, &step);
    let checkpoint = CheckpointRef {
        step: 5,
        path: "out/5".into(),
    };
    let smallest = json!({"type": "checkpoint", "checkpoint": {"step": 0, "path": ""}});
    check(
        "train_event_checkpoint",
        smallest,
        &TrainEvent::Checkpoint { checkpoint },
    );
    let report = TrainReport {
        adapter: "out/adapter".into(),
        steps: 10,
        pairs: 160,
        skipped: BTreeMap::from([("too long".to_owned(), 3)]),
        metrics: BTreeMap::from([("loss".to_owned(), 0.5)]),
    };
    check(
        "train_report",
        json!({"adapter": "", "steps": 0, "pairs": 0}),
        &report,
    );
}

/// What lets a message grow without breaking the source of a plugin that ends its literals with
/// `..Default::default()`; see the decision on how messages grow.
#[test]
fn every_message_that_may_grow_has_a_default() {
    fn has_default<T: Default>() {}
    has_default::<(Attempt, FeasibilityRequest, Estimate, EstimateRequest)>();
    has_default::<(
        GenerateRequest,
        Sampling,
        ReasoningBudget,
        Completion,
        Usage,
        Timings,
    )>();
    has_default::<(LlmInfo, Capabilities, Prices, DatasetInfo, CreateEnv)>();
    has_default::<(Question, PageRequest, Page, GradeRequest, Grade)>();
    has_default::<(TrainJob, TrainReport)>();
    // A default completion claims nothing.
    let completion = Completion::default();
    assert_eq!((completion.usage, completion.text.as_str()), (None, ""));
    assert_eq!(Grade::default().verdict, Verdict::Undecided);
}

/// Whoever implements the protocol reads `docs/abi.md` and no Rust: every field of every message, at
/// any depth, stands there.
#[test]
fn every_field_of_every_message_stands_in_the_protocol() {
    fn keys(value: &Value, found: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    // These are names that users choose, or a schema.
                    let is_open = [
                        "options",
                        "hyperparameters",
                        "skipped",
                        "metrics",
                        "context",
                    ];
                    found.insert(key.clone());
                    if !is_open.contains(&key.as_str()) {
                        keys(value, found);
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../docs/abi.md")).unwrap();
    let mut found = std::collections::BTreeSet::new();
    for entry in fs::read_dir(root.join("tests/wire/v1")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let message: Value = serde_json::from_str(&text).unwrap();
        keys(&message["fullest"], &mut found);
    }
    assert!(found.len() > 60, "{found:?}");
    let missing: Vec<_> = found
        .iter()
        .filter(|key| !page.contains(&format!("`{key}`")) && !page.contains(&format!("\"{key}\"")))
        .collect();
    assert!(missing.is_empty(), "not in docs/abi.md: {missing:?}");
}
