//! The built library against the suite that every plugin passes, with a stand-in for Python; with
//! `TALE_TRL_PYTHON` also with the real one.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

mod common;

use std::path::Path;

use tale_api::{
    ComponentKind, TrainMethod,
    conformance::{Sample, check},
    host::{LoadPolicy, Plugin},
};

async fn keeps_every_rule(component: &str, method: TrainMethod, python: &Path, dir: &Path) {
    // The library that this test was built with lies beside it.
    let library = std::env::current_exe()
        .unwrap()
        .with_file_name("libtale_trainer_trl.so");
    let plugin = Plugin::load(&library, &LoadPolicy::default()).unwrap();
    let mut sample = Sample::new(serde_json::json!({
        "python": python, "device": "cpu", "batch": 2, "checkpoint_steps": 2,
    }));
    sample.training = Some(common::job(dir, method, 8));
    let report = check(&plugin, ComponentKind::Trainer, component, &sample).await;
    println!("{report}");
    assert!(report.is_passed(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sft_keeps_every_rule() {
    let dir = tempfile::tempdir().unwrap();
    let python = common::fake_python(dir.path(), "well");
    keeps_every_rule("trl-sft", TrainMethod::Sft, &python, dir.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dpo_keeps_every_rule() {
    let dir = tempfile::tempdir().unwrap();
    let python = common::fake_python(dir.path(), "well");
    keeps_every_rule("trl-dpo", TrainMethod::Dpo, &python, dir.path()).await;
}
