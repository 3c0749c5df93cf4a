//! What a plugin that behaves looks like from the host.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::json;
use tale_api::{
    Attempt, ComponentKind, CreateEnv, ErrorKind, EstimateRequest, Events, FeasibilityRequest,
    FinishReason, GenerateEvent, GenerateRequest, Message, PageRequest, Question, TrainEvent,
    TrainJob, TrainMethod, host::Plugin,
};

use crate::built;

fn env() -> CreateEnv {
    CreateEnv::default()
}

#[test]
fn inspection_reads_the_manifest_out_of_the_file() {
    let found = Plugin::inspect(&built::hostile()).unwrap();
    assert_eq!(found.manifest.name, "hostile");
    // Of the crate that calls the macro, which is not this one.
    assert_eq!(found.manifest.version, "0.1.0");
    assert_eq!(found.abi.to_string(), "1.1");
    assert_eq!(found.sha256.len(), 64);
    let echo = &found.manifest.components[0];
    assert_eq!(
        (echo.kind, echo.name.as_str()),
        (ComponentKind::Llm, "echo")
    );
    assert_eq!(echo.options["properties"]["delay_ms"]["type"], "integer");
}

#[tokio::test]
async fn a_model_answers_and_streams() {
    let llm = built::plugin()
        .llm("echo", json!({}), &env())
        .await
        .unwrap();
    assert_eq!(llm.info().await.unwrap().model, "echo");
    assert_eq!(llm.count_tokens("one two three").await.unwrap(), 3);
    let parts = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&parts);
    let events = Events::to(move |event| {
        let GenerateEvent::Delta { text } = event else {
            panic!("{event:?}")
        };
        heard.lock().unwrap().push(text);
    });
    let request = GenerateRequest::new(vec![Message::user("wie geht es dir, 你好 \0 ?")]);
    let completion = llm.generate(request, events).await.unwrap();
    assert_eq!(completion.text, "wie geht es dir, 你好 \0 ?");
    assert_eq!(parts.lock().unwrap().concat(), completion.text);
    assert_eq!(completion.finish_reason, FinishReason::Stop);
    assert_eq!(completion.usage.unwrap().output_tokens, 7);
}

#[tokio::test]
async fn a_call_that_waits_ends_in_the_plugins_runtime() {
    let llm = built::plugin()
        .llm("echo", json!({"delay_ms": 5}), &env())
        .await
        .unwrap();
    let calls = (0..64).map(|i| {
        let llm = Arc::clone(&llm);
        let text = format!("a b c {i}");
        tokio::spawn(async move {
            let request = GenerateRequest::new(vec![Message::user(text.clone())]);
            assert_eq!(
                llm.generate(request, Events::ignored()).await.unwrap().text,
                text
            );
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn an_estimator_asks_the_hosts_model() {
    let plugin = built::plugin();
    let llm = plugin
        .llm("echo", json!({"delay_ms": 1}), &env())
        .await
        .unwrap();
    let estimator = plugin.estimator("asking", json!({}), &env()).await.unwrap();
    let request = EstimateRequest {
        question: Question::default(),
        text: "four words are here".to_owned(),
    };
    let estimate = estimator.estimate(request, llm).await.unwrap();
    assert_eq!(estimate.budget, Some(4));
    assert_eq!(estimate.raw.as_deref(), Some("four words are here"));
}

#[tokio::test]
async fn a_rule_decides() {
    let plugin = built::plugin();
    let llm = plugin.llm("echo", json!({}), &env()).await.unwrap();
    let rule = plugin
        .feasibility("greedy", json!({}), &env())
        .await
        .unwrap();
    let request = FeasibilityRequest {
        question: Question::default(),
        previous: Attempt::vanilla("72", 240, true),
        candidate: Attempt::under(120, "72", 96, true),
        ..FeasibilityRequest::default()
    };
    assert!(rule.is_feasible(request, llm).await.unwrap().feasible);
}

#[tokio::test]
async fn a_data_set_is_paged_without_gap_or_repeat() {
    let dataset = built::plugin()
        .dataset("counting", json!({"size": 25}), &env())
        .await
        .unwrap();
    assert_eq!(dataset.info().await.unwrap().size, Some(25));
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = dataset
            .page(PageRequest { cursor, limit: 7 })
            .await
            .unwrap();
        ids.extend(page.questions.into_iter().map(|q| q.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(ids, (0..25).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_trainer_reports_its_steps() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = dir.path().join("pairs.jsonl");
    std::fs::write(&pairs, "{}\n{}\n{}\n").unwrap();
    let trainer = built::plugin()
        .trainer("stepping", json!({}), &env())
        .await
        .unwrap();
    let steps = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&steps);
    let events = Events::to(move |event| match event {
        TrainEvent::Step { step, .. } => heard.lock().unwrap().push(step),
        TrainEvent::Checkpoint { checkpoint } => {
            assert_eq!(heard.lock().unwrap().last(), Some(&checkpoint.step));
        }
        other => panic!("{other:?}"),
    });
    let job = TrainJob {
        base_model: "none".into(),
        pairs,
        method: TrainMethod::Sft,
        hyperparameters: BTreeMap::new(),
        output_dir: dir.path().join("out"),
        seed: 1,
    };
    let report = trainer.train(job, events).await.unwrap();
    assert_eq!(report.steps, 3);
    assert_eq!(*steps.lock().unwrap(), [1, 2, 3]);
}

#[tokio::test]
async fn options_outside_the_type_are_refused_by_name() {
    let plugin = built::plugin();
    let error = plugin
        .llm("echo", json!({"delay": 1}), &env())
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind, ErrorKind::InvalidOptions);
    assert!(error.message.contains("unknown field `delay`"), "{error}");
    assert_eq!(error.context_value("plugin"), Some("hostile"));
    assert_eq!(error.operation.as_deref(), Some("create"));
    let error = plugin.llm("ecco", json!({}), &env()).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(
        error.hint.as_deref(),
        Some("its llms are `echo`, `instant`, `faulty`, `secretive`, `raw`")
    );
}
