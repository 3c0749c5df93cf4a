//! The built library against the suite that every plugin passes.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

mod common;

use tale_api::{
    ComponentKind, TrainMethod,
    conformance::{Sample, check, library},
};

async fn keeps_every_rule(component: &str, method: TrainMethod) {
    let plugin = library("tale-trainer-tch").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut sample = Sample::new(serde_json::json!({"device": "cpu", "threads": 1, "batch": 2}));
    sample.training = Some(common::job(dir.path(), method, 6));
    let report = check(&plugin, ComponentKind::Trainer, component, &sample).await;
    println!("{report}");
    assert!(report.is_passed(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sft_keeps_every_rule() {
    keeps_every_rule("sft", TrainMethod::Sft).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dpo_keeps_every_rule() {
    keeps_every_rule("dpo", TrainMethod::Dpo).await;
}
