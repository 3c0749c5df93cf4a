//! The built library against the suite that every plugin passes.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute"
)]

use serde_json::json;
use tale_api::{
    ComponentKind,
    conformance::{Sample, check},
    host::{LoadPolicy, Plugin},
};

async fn keeps_every_rule(slots: usize) {
    // The library that this test was built with lies beside it.
    let library = std::env::current_exe()
        .unwrap()
        .with_file_name("libtale_llm_llama_tch.so");
    let plugin = Plugin::load(&library, &LoadPolicy::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    tale_weights::testing::write_tiny_model(dir.path()).unwrap();
    let options =
        json!({"path": dir.path(), "device": "cpu", "threads": 1, "slots": slots, "context": 256});
    let sample = Sample::new(options);
    let report = check(&plugin, ComponentKind::Llm, "llama-tch", &sample).await;
    println!("{report}");
    assert!(report.is_passed(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_slots_keep_every_rule() {
    keeps_every_rule(8).await;
}

/// With one slot it also promises that a seed decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_slot_keeps_every_rule() {
    keeps_every_rule(1).await;
}
