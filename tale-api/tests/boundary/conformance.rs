//! The suite passes what is healthy and names what is not.

use std::time::Duration;

use serde_json::json;
use tale_api::{
    ComponentKind, TrainJob, TrainMethod,
    conformance::{Outcome, Report, Sample, check},
};

use crate::built;

fn failed(report: &Report) -> Vec<&'static str> {
    report.failed().map(|check| check.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_healthy_component_passes() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = dir.path().join("pairs.jsonl");
    std::fs::write(&pairs, "{}\n{}\n{}\n").unwrap();
    let mut training = Sample::new(json!({}));
    training.training = Some(TrainJob {
        base_model: "none".into(),
        pairs,
        method: TrainMethod::Sft,
        hyperparameters: std::collections::BTreeMap::new(),
        output_dir: dir.path().join("out"),
        seed: 1,
    });
    for (kind, name, sample) in [
        (ComponentKind::Llm, "echo", Sample::new(json!({}))),
        (
            ComponentKind::Llm,
            "echo",
            Sample::new(json!({"delay_ms": 1})),
        ),
        (ComponentKind::Estimator, "asking", Sample::new(json!({}))),
        (ComponentKind::Feasibility, "greedy", Sample::new(json!({}))),
        (
            ComponentKind::Dataset,
            "counting",
            Sample::new(json!({"size": 25})),
        ),
        (
            ComponentKind::Dataset,
            "counting",
            Sample::new(json!({"size": 1000})),
        ),
        (
            ComponentKind::Dataset,
            "counting",
            Sample::new(json!({"size": 0})),
        ),
        (ComponentKind::Trainer, "stepping", training),
    ] {
        let report = check(&built::plugin(), kind, name, &sample).await;
        assert!(report.is_passed(), "{report}");
        assert!(report.checks.len() >= 9, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_fail_the_rules_they_break() {
    let plugin = built::plugin();
    let mut sample = Sample::new(json!({"mode": "flood"}));
    sample.patience = Duration::from_secs(20);
    let report = check(&plugin, ComponentKind::Llm, "faulty", &sample).await;
    let failed_rules = failed(&report);
    for id in ["LLM-02", "LLM-06", "LLM-16", "LLM-17", "LLM-18"] {
        assert!(failed_rules.contains(&id), "{id} passed: {report}");
    }
    let sample = Sample::new(json!({"mode": "panic"}));
    let report = check(&plugin, ComponentKind::Dataset, "faulty", &sample).await;
    assert!(failed(&report).starts_with(&["DAT-01"]), "{report}");
    let text = report.to_string();
    assert!(text.contains("FAIL  DAT-01  `info` names the data set: panicked: plugin `hostile`"));
    let report = check(
        &plugin,
        ComponentKind::Trainer,
        "stepping",
        &Sample::new(json!({})),
    )
    .await;
    let skipped = report
        .checks
        .iter()
        .filter(|c| matches!(c.outcome, Outcome::Skipped { .. }));
    assert_eq!(skipped.count(), 3, "{report}");
}
