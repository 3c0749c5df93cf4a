//! The suite passes what is healthy and names what is not.

use std::time::Duration;

use serde_json::json;
use tale_api::{
    ComponentKind, TrainJob, TrainMethod,
    conformance::{Outcome, Report, Sample, all_rules, check},
};

use crate::built;

fn failed(report: &Report) -> Vec<&'static str> {
    report.failed().map(|check| check.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_healthy_component_passes() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = dir.path().join("pairs.jsonl");
    std::fs::write(&pairs, "{}\n".repeat(200)).unwrap();
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
    assert_eq!(skipped.count(), 6, "{report}");
}

/// `docs/conformance.md` lists what the suite checks; with `TALE_BLESS=1` it is written anew.
#[test]
fn the_list_of_rules_in_the_docs_is_that_of_the_code() {
    let mut page = String::from(concat!(
        "# What every plugin should keep\n\n",
        "The rules that `tale plugin check FILE` and `tale_api::conformance` go through, written by a ",
        "test (`TALE_BLESS=1 cargo nextest run -p tale-api --features conformance list_of_rules`). An id is ",
        "never used for another rule. Which of them apply depends on what a component declares; the ",
        "others are listed as skipped, with the reason.\n",
    ));
    let mut last = None;
    for (kind, id, rule) in all_rules() {
        if last != Some(kind) {
            let title = kind.map_or("every kind".to_owned(), |kind| format!("`{kind}`"));
            page += &format!("\n## {title}\n\n| id | rule |\n| --- | --- |\n");
            last = Some(kind);
        }
        page += &format!("| {id} | {rule} |\n");
    }
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    if std::env::var_os("TALE_BLESS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(written, page, "run it with TALE_BLESS=1");
    let ids: std::collections::HashSet<_> = all_rules().map(|(_, id, _)| id).collect();
    assert_eq!(ids.len(), all_rules().count(), "an id is used twice");
}
